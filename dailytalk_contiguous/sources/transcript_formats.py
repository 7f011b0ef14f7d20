"""The formats of transcripts that are read: every file is records, and one function makes passages of them.

A record is a dict with the names of `KEYS`, whichever format it is from: a line of CTM or RTTM, an item of JSON, a
subtitle, a label of a tier. `FORMATS` is the table of what is read, by the ending of a file, and `DOCUMENTS` that
of the kinds of JSON. A file that breaks off in the middle would get into a dataset unnoticed, so damaged files are
rejected. Which channel a passage belongs to is decided by `sources.transcripts`.
"""

import itertools
import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dailytalk_contiguous.core.cues import Cue, are_word_times
from dailytalk_contiguous.core.documents import LATEST, is_number, parse_json, quoted, shown
from dailytalk_contiguous.core.schema import CHANNELS, MAIN
from dailytalk_contiguous.core.word_times import WordRow, join_words
from dailytalk_contiguous.sources.subtitles import subtitle_records
from dailytalk_contiguous.sources.tier_formats import Tier, read_eaf, read_tiers, speech_tiers
from dailytalk_contiguous.sources.transcript_marks import mark_of, without_marks
from dailytalk_contiguous.sources.transcript_text import NUMBER, broken, read_text

#: Words of one speaker with more than this many seconds between them belong to different cues.
CUE_GAP = 0.35

#: The fields of a record that formats call by other names, the name that counts first.
KEYS = {
    "recording": ("recording_id", "audio_filepath", "audio_file"),
    "start": ("start", "offset"),
    "text": ("text_raw", "text", "pred_text"),
    "probability": ("probability", "score"),
    "language": ("language", "lang"),
}

#: The columns of NIST's formats, of which a line must have at least so many: `ctm` in the documentation of SCTK,
#: and RTTM in appendix A of the plan of RT-09.
COLUMNS = {
    ".ctm": (5, ("recording_id", "channel", "start", "duration", "word", "probability", "kind", "speaker")),
    ".rttm": (
        9,
        ("kind", "recording_id", "channel", "start", "duration", "", "", "speaker", "probability", "ahead"),
    ),
}

#: What lhotse and NeMo call a file with lines of many recordings: cuts_supervisions_train.jsonl.gz, manifest.json.
SHARED = re.compile(r".*(?:supervisions|manifest).*\.(?:json|jsonl|jsonl\.gz)", re.IGNORECASE)

#: Kinds of lines of a CTM that are no words, unless their text is a mark.
_NO_WORDS = ("non-lex", "misc", "noscore")

#: The field of a record that is none, with the error that says so; no file has it.
_PROBLEM = "\0problem"

#: What a record raises in which something has another type than it should.
_MISFITS = (ValueError, TypeError, KeyError, AttributeError, OverflowError)

#: The columns of a word that is a list: those of lhotse's alignments.
_WORD_COLUMNS = ("word", "start", "duration", "probability")


class Passage(NamedTuple):
    """A stretch of speech in a file.

    `text` None: words that are in no sentence (`words` has them), or, without words, a turn of which only the
    speaker is known. `channel` and `speaker` are the file's names for them, `recording` that of its recording,
    `language` an ISO 639 code; None where it has none. `position` is that in the file ("line 12");
    `start` and `end` are seconds of the recording.
    """

    position: str
    start: float
    end: float
    text: str | None
    words: list[WordRow]
    channel: str | None = None
    speaker: str | None = None
    recording: str | None = None
    language: str | None = None


#: A part of a file as a dict, with its position in it.
TranscriptRecord = tuple[str, Mapping[str, Any]]

#: Chooses among the recordings that a file names.
Pick = Callable[[Iterable[str]], Sequence[str]]


def field_of(item: Mapping[str, Any], field: str) -> Any:
    """The value of a field of `KEYS`, or of the one called so; None where there is none."""
    return next((item[key] for key in KEYS.get(field, (field,)) if item.get(key) is not None), None)


def passages_of(position: str, item: Mapping[str, Any]) -> list[Passage]:
    """A record as passages: one, or where its words have several speakers, one for each turn.

    Words that don't spell the record's text are older than a correction of it, and times that can't be those of
    words say nothing. Both are left out, so that the text is aligned again. Raises `_MISFITS` for a record without
    texts and seconds where they should be.
    """
    if problem := item.get(_PROBLEM):
        raise problem
    start, end = _span(item)
    text, language = field_of(item, "text"), field_of(item, "language")
    text = None if text is None else " ".join(text.split())
    channel, speaker, recording = (
        None if (value := field_of(item, field)) is None else str(value)
        for field in ("channel", "speaker", "recording")
    )
    code = language if isinstance(language, str) and re.fullmatch("(?!und)[a-z]{2,3}", language) else None
    whole = Passage(position, start, end, text, [], channel, speaker, recording, code)
    if "word" in item:
        return [whole._replace(text=None, words=[_word(item, (start, end))])]
    turns = [
        (name, [word for _, word in turn])
        for name, turn in itertools.groupby(_words_of(item, whole), key=itemgetter(0))
    ]
    passages = []
    for name, words in turns or [(speaker, list[WordRow]())]:
        if len(turns) > 1:
            start, end = min(word["start"] for word in words), max(word["end"] for word in words)
        joined = join_words(word["word"] for word in words)
        said = joined if len(turns) > 1 or (text is None and words) else text
        is_spelled = said is not None and _letters(said) == _letters(joined)
        words = words if is_spelled and are_word_times(words, start, end) else []
        passages.append(whole._replace(start=start, end=end, text=said, words=words, speaker=name))
    return passages


def _words_of(item: Mapping[str, Any], whole: Passage) -> Iterator[tuple[str | None, WordRow]]:
    """Who says each word of a record, and the words, whatever list they are in.

    Those without times, as WhisperX gives numbers, share what is free between their neighbours.
    """
    alignment = item.get("alignment")
    entries = item.get("words") or (alignment.get("word") if isinstance(alignment, dict) else alignment) or []
    words = [
        dict(zip(_WORD_COLUMNS, entry, strict=False)) if isinstance(entry, list) else entry for entry in entries
    ]
    spans = {number: _span(word) for number, word in enumerate(words) if _times(word) != (None, None)}
    # Word `n` is from `n` to `n + 1` on the axis along which the times of others are interpolated.
    known = [(number + edge, span[edge]) for number, span in spans.items() for edge in (0, 1)]
    axis, times = zip((0, whole.start), *known, (len(words), whole.end), strict=True)
    for number, word in enumerate(words):
        first, last = np.interp([number, number + 1], axis, times).round(6).tolist()
        speaker = word.get("speaker", whole.speaker)
        span = spans.get(number, (min(first, last), last))  # neighbours may overlap
        yield None if speaker is None else str(speaker), _word(word, span)


def _times(item: Mapping[str, Any]) -> tuple[Any, Any]:
    """Start and end of a record or a word, as they are; the end by its duration where it has none."""
    start, end, duration = field_of(item, "start"), item.get("end"), item.get("duration")
    return start, round(start + duration, 6) if end is None and duration is not None else end


def _span(item: Mapping[str, Any]) -> tuple[float, float]:
    start, end = _times(item)
    if not (is_number(start, 0, LATEST) and is_number(end, start, LATEST)):
        raise ValueError(f"its times are {quoted(start)} to {quoted(end)}")
    return float(start), float(end)


def _word(item: Mapping[str, Any], times: tuple[float, float]) -> WordRow:
    """A `core.utterance.WORD`, without a probability on another scale: CTM may have log likelihoods."""
    word, probability = " ".join(item["word"].split()), field_of(item, "probability")
    if not word:
        raise ValueError("it has a word without a letter")
    sure = probability if is_number(probability, 0, 1) else None
    return {"word": word, "start": times[0], "end": times[1], "probability": sure}


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, without_marks(text))).casefold()


def cues_of_words(channel: str, words: Sequence[WordRow]) -> list[Cue]:
    """Words of one speaker, in any order, as cues split at pauses of more than `CUE_GAP` seconds."""
    cues: list[Cue] = []
    for word in sorted(words, key=lambda word: (word["start"], word["end"])):
        if not cues or word["start"] - cues[-1]["end"] > CUE_GAP:
            cues.append({"channel": channel, "start": word["start"], "end": word["end"], "words": []})
        cues[-1]["words"].append(word)
        cues[-1]["end"] = max(cues[-1]["end"], word["end"])
    for cue in cues:
        cue["text"] = join_words(word["word"] for word in cue["words"])
    return cues


# NIST's lines


def _lines(path: Path) -> Iterator[TranscriptRecord]:
    """Words of a CTM, and turns of an RTTM; `;;` begins a comment."""
    text, suffix = read_text(path), path.suffix.lower()
    least, columns = COLUMNS[suffix]
    for number, line in enumerate(text.split("\n"), 1):
        fields = line.split()
        if not fields or fields[0].startswith(";;"):
            continue
        if not least <= len(fields) <= len(columns):
            reason = f"line {number} has {len(fields)} fields, not {least} to {len(columns)}"
            raise broken(path, reason, "save the file again, one record a line")
        item: dict[str, Any] = {
            name: field for name, field in zip(columns, fields, strict=False) if field.upper() != "<NA>"
        }
        for name in ("start", "duration", "probability"):
            if NUMBER.fullmatch(item.get(name, "")):  # what is no number counts where it is needed
                item[name] = float(item[name])
        if suffix == ".ctm":
            item["word"] = word = item.get("word", "").replace("<space>", " ")
            is_said = bool(mark_of(word)) or item.get("kind", "").casefold() not in _NO_WORDS
        else:
            is_said = item.get("kind") == "SPEAKER"
        if is_said:
            yield f"line {number}", item


# JSON


@dataclass(frozen=True)
class Document:
    """A kind of JSON: what it looks like, the list of an object that has its items, and names that each has.

    `record` makes a record of an item. It raises ValueError for one that is none.
    """

    name: str
    shape: str
    holder: str = ""
    names: tuple[str, ...] = ()
    record: Callable[[Any], Mapping[str, Any]] = dict

    def items(self, data: Any) -> list[Any] | None:
        """The items of a document of this kind; None for any other."""
        if isinstance(data, dict):
            held = data.get(self.holder)
            return held if isinstance(held, list) else None
        first = data[0] if isinstance(data, list) and data else None
        return data if self.names and isinstance(first, dict) and first.keys() >= {*self.names} else None


def _own(item: dict[str, Any]) -> dict[str, Any]:
    if item["channel"] not in CHANNELS:
        raise ValueError("its channel is not left or right")
    # NAME/left is no name of a person, but the channel of a recording.
    is_name = isinstance(item.get("speaker"), str) and not item["speaker"].endswith(f"/{item['channel']}")
    return item if is_name else item | {"speaker": None}


def _moshi(item: Any) -> dict[str, Any]:
    """A word of moshi-finetune, which trains the voice of SPEAKER_MAIN, that of the left channel."""
    word, (start, end), speaker = item
    return {"word": word, "start": start, "end": end, "speaker": "main" if speaker == MAIN else "other"}


def _lhotse(item: dict[str, Any]) -> dict[str, Any]:
    """A `SupervisionSegment`; the words of its alignment have times of the recording, too."""
    channels = item.get("channel", 0)
    channels = channels if isinstance(channels, list) else [channels]
    return item | {"channel": f"ch{channels[0]}" if len(channels) == 1 else None}


#: Every kind of JSON that is read, the most telling names first.
DOCUMENTS = (
    Document(
        "lhotse supervisions",
        '{"recording_id", "start", "duration", "text"}',
        names=("recording_id", "start", "duration"),
        record=_lhotse,
    ),
    Document(
        "NeMo manifest",
        '{"audio_filepath", "offset", "duration", "text"}',
        names=("audio_filepath",),
        record=lambda item: {"offset": 0.0} | item,
    ),
    Document(
        "our own",
        '{"utterances": [{"channel", "start", "end", "text"}, …]}',
        "utterances",
        ("channel", "start", "end"),
        _own,
    ),
    Document("moshi-finetune", '{"alignments": [[word, [start, end], speaker], …]}', "alignments", record=_moshi),
    Document("J-Moshi", '[{"speaker", "word", "start", "end"}, …]', names=("speaker", "word")),
    Document(
        "Whisper and WhisperX",
        '{"segments": [{"start", "end", "text"}, …]}',
        "segments",
        ("start", "end", "text"),
    ),
)


def _json(path: Path) -> Iterator[TranscriptRecord]:
    """The items of a JSON document or of JSON Lines, by what the first one is. NeMo calls its lines `.json`."""
    text, title = read_text(path), f"transcript {shown(path)}"
    about: dict[str, Any] = {}
    numbers: Iterator[int] = itertools.count(1)
    if path.suffix.lower() == ".json" and '"audio_filepath"' not in text.lstrip().partition("\n")[0]:
        data, noun = parse_json(text, title, nan=True), "item"
        if isinstance(data, dict):
            about["language"] = data.get("language")
    else:
        lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
        data, noun = [parse_json(line, f"{title}: line {n}", nan=True) for n, line in lines], "line"
        numbers = (n for n, _ in lines)
    kind = next((kind for kind in DOCUMENTS if kind.items(data) is not None), None)
    if kind is None:
        if data == [] or SHARED.fullmatch(path.name):
            return
        shapes = "; ".join(f"{kind.name}: {kind.shape}" for kind in DOCUMENTS)
        raise broken(path, "is no known kind of transcript", f"give one ({shapes}), or take the file away")
    for number, item in zip(numbers, kind.items(data) or [], strict=False):
        try:
            record = about | {**kind.record(item)}
            if all(field_of(record, field) is None for field in ("text", "word", "words", "alignment")):
                raise ValueError("it has no text")
        except _MISFITS as error:  # of a file of many recordings it is one's alone
            named = field_of(item, "recording") if isinstance(item, dict) else None
            record = {"recording_id": named, _PROBLEM: error}
        yield f"{noun} {number}", record


# Of all formats


def _tiers(
    path: Path, read: Callable[[Path], list[Tier]], wanted: Collection[str], left: dict[str, list[str]] | None
) -> Iterator[TranscriptRecord]:
    """The labels of the tiers of speech; the names of other tiers go to `left`."""
    speech, others = speech_tiers(path, read(path), wanted)
    if others and left is not None:
        left[path.name] = others
    names: dict[str, str] = {}
    for tier in speech:
        speaker = names.setdefault(tier.speaker.casefold(), tier.speaker)
        field = "word" if tier.type == "words" else "text"
        for start, end, text in tier.labels:
            if text:
                yield quoted(text), {"start": start, "end": end, field: text, "speaker": speaker}


#: What reads each format, by the ending of its files in lower case.
FORMATS: dict[str, Callable[..., Iterable[Any]]] = {
    ".srt": subtitle_records,
    ".vtt": subtitle_records,
    ".textgrid": read_tiers,
    ".eaf": read_eaf,
    ".ctm": _lines,
    ".rttm": _lines,
    ".json": _json,
    ".jsonl": _json,
    ".jsonl.gz": _json,
}


def ending_of(name: str) -> str | None:
    """The ending of a transcript's file, as it is written there; None for any other file."""
    return next((name[-len(ending) :] for ending in FORMATS if name.lower().endswith(ending)), None)


def read_passages(
    path: Path,
    side: str | None,
    pick: Pick,
    wanted: Collection[str] = (),
    left: dict[str, list[str]] | None = None,
) -> list[Passage]:
    """The passages of a transcript of a format of `FORMATS`.

    Args:
        side: the side in its name, by which a subtitle without a name is that of one speaker.
        pick: chooses among the recordings that it names; "" for what names none.
        wanted: names, or linguistic types, of tiers with speech; `left` gets those of others, by file.

    Raises BadInput.
    """
    read = FORMATS[str(ending_of(path.name)).lower()]
    passages, position = list[Passage](), "its text"
    try:
        if read is subtitle_records:
            records: Iterable[TranscriptRecord] = read(path, side)
        elif read in (read_tiers, read_eaf):
            records = _tiers(path, read, wanted, left)
        else:
            with _LOCK:  # recordings are read side by side, and a file of many may be large
                groups = _by_recording(read, path, path.stat().st_mtime_ns)
                records = [record for name in pick(groups) for record in groups[name]]
        for position, item in records:
            passages += passages_of(position, item)
    except _MISFITS as error:
        remedy = "give it texts, and seconds from the start of the recording, the end not before the start"
        raise broken(path, f"{position} can't be used ({error})", remedy) from None
    return passages


@lru_cache(maxsize=2)
def _by_recording(
    read: Callable[[Path], Iterable[TranscriptRecord]], path: Path, modified: int
) -> dict[str, list[TranscriptRecord]]:
    """The records of a file by the recordings that they name, read once for all of these."""
    groups: dict[str, list[TranscriptRecord]] = {}
    for record in read(path):
        groups.setdefault(str(field_of(record[1], "recording") or ""), []).append(record)
    return groups


_LOCK = threading.Lock()
