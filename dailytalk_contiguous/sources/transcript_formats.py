"""The formats of transcripts that are read: every file is records, and one function makes cues of them.

A record is a dict with the names of `KEYS`, whichever format it is from: a line of CTM or RTTM, an item of JSON, a
subtitle, a label of a tier. `FORMATS` is the table of what is read, by the ending of a file, and `DOCUMENTS` that
of the kinds of JSON. A file that breaks off in the middle would get into a dataset unnoticed, so damaged files are
rejected. Which channel a cue belongs to is decided by `sources.transcripts`.
"""

import itertools
import json
import math
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from dailytalk_contiguous.core.documents import LATEST, is_number, parse_json, printable_path
from dailytalk_contiguous.core.errors import BadInput, TooLarge
from dailytalk_contiguous.core.quotas import MOST_RECORDS, MOST_WORDS, Quota, most_words
from dailytalk_contiguous.core.records.conversation import UNUSABLE, Cue
from dailytalk_contiguous.core.records.schema import CHANNELS, MAIN
from dailytalk_contiguous.core.words.cues import are_word_times
from dailytalk_contiguous.core.words.transcript_marks import (
    SILENCE,
    TranscriptMark,
    blanked,
    mark_of,
    marks_in,
    without_control_tokens,
    without_marks,
)
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.core.words.word_times import SHORTEST_WORD, has_words, join_words
from dailytalk_contiguous.sources.candor_transcripts import CANDOR_TRANSCRIPTS, candor_records
from dailytalk_contiguous.sources.corpus_layouts import SWITCHBOARD_ENDINGS, files_with, switchboard_stems
from dailytalk_contiguous.sources.corpus_lines import mrk_records, ms98_records, stm_records
from dailytalk_contiguous.sources.filler_notations import plain_fillers
from dailytalk_contiguous.sources.named_records import NamedRecords, TranscriptItem, TranscriptRecord
from dailytalk_contiguous.sources.private_names import shown_name
from dailytalk_contiguous.sources.services import (
    MISFITS,
    PROBLEM,
    SERVICES,
    is_named_in,
    service_of,
    service_records,
)
from dailytalk_contiguous.sources.subtitles import subtitle_records
from dailytalk_contiguous.sources.text_transcripts import AUDACITY, text_kind, text_records
from dailytalk_contiguous.sources.tier_formats import tier_records
from dailytalk_contiguous.sources.transcript_text import (
    DAMAGED_JSON,
    NO_TRANSCRIPT,
    UnknownKind,
    broken,
    letters_of,
    lines_with_text,
    number_of_field,
    read_text,
)

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

#: The longest name of a language that is looked at, once for each of its words.
_LONGEST_LANGUAGE = 40

#: The field of a record with the tag of our own utterances: what other formats call `tag` is none.
STYLE_TAG = "style_tag"

#: What a file about many recordings is called: of lhotse and NeMo cuts_supervisions_train.jsonl.gz, manifest.json,
#: of Label Studio project-1-at-2026-01-31-12-00-0a1b2c3d.json.
SHARED = re.compile(
    r".*(?:supervisions|manifest).*\.(?:json|jsonl|jsonl\.gz)|project-\d+-at-.*\.json", re.IGNORECASE
)

#: Characters of one cue: 100 hours of one speaker. Longer ones take minutes.
MOST_CUE_TEXT = 6_000_000

_JSON_REMEDY = "save the file again, or take it away"


def field_of(item: TranscriptItem, field: str) -> Any:
    """Return the value of a field, by any of its names in `KEYS`; None where there is none."""
    for key in KEYS.get(field, (field,)):
        value = item.get(key)
        if value is not None:
            return value
    return None


def cues_of(item: TranscriptItem) -> Iterator[Cue]:
    """Yield a record as cues: one, or where its words have several speakers, one for each turn.

    `channel` and `speaker` are the file's names. A turn with a speaker only has neither text nor words. Marks
    (laughter) follow it as cues of their own, with a `mark` and no text; marks of silence make no cue. Fillers
    become words without the signs of the transcriber.

    Words that don't spell the record's text are older than a correction of it, and times that can't be those of
    words say nothing. Both are left out, so that the text is aligned again. Raises `MISFITS` for a record without
    texts and seconds where they should be.
    """
    problem = item.get(PROBLEM)
    if problem:
        raise problem
    (start, end) = _span(*_times(item))
    text = field_of(item, "text")
    if isinstance(text, str) and len(text) > MOST_CUE_TEXT:
        raise ValueError(f"its text has more than {MOST_CUE_TEXT:,} characters")
    language = field_of(item, "language")
    is_code = isinstance(language, str) and re.fullmatch("(?!und)[a-z]{2,3}", language)
    named_language = language if isinstance(language, str) else None  # with a region, too
    if named_language and len(named_language) > _LONGEST_LANGUAGE:
        named_language = None
    channel = item.get("channel")
    turns: list[tuple[str | None, list[Word]]] = []
    for name, turn in itertools.groupby(_words_of(item, start, end), key=itemgetter(0)):
        turns.append((name, [word for _, word in turn]))
    if not turns:
        turns.append((item.get("speaker"), []))
    for name in (channel, *(name for name, _ in turns)):
        if isinstance(name, dict | list):
            raise ValueError(f"its speaker or channel is {shown_name(name)}")
    for name, words in turns:
        if len(turns) > 1:
            start = min(word.start for word in words)
            end = max(word.end for word in words)
        written = [without_control_tokens(word.word) for word in words]
        spellings = plain_fillers(written, named_language)
        spelled = zip(words, spellings, strict=True)
        plain_words = [word.spelled(spelling) for word, spelling in spelled if spelling]
        joined = join_words(word.word for word in plain_words) if plain_words else None
        spoken_text = joined
        if text is not None and len(turns) == 1:
            tokens = plain_fillers(without_control_tokens(text).split(), named_language)
            spoken_text = " ".join(filter(None, tokens))
        letters = letters_of(without_marks(joined or ""))
        is_spelled = letters_of(without_marks(spoken_text or "")) == letters
        is_timed = is_spelled and are_word_times(plain_words, start, end)
        cue = Cue(
            channel=_name(channel),  # type: ignore[arg-type]  # until its side is known
            start=start,
            end=end,
            text=spoken_text,
            words=plain_words if is_timed else [],
            speaker=_name(name),
            language=language if is_code else None,
            tag=_name(item.get(STYLE_TAG)),
        )
        if spoken_text:
            yield from _without_marks(cue, is_word="word" in item)
        else:
            yield cue


def _name(value: object) -> str | None:
    return None if value is None else str(value)


def _words_of(item: TranscriptItem, start: float, end: float) -> Iterator[tuple[str | None, Word]]:
    """Yield the speaker of each word of a record, and the word; a record may be a word itself.

    Words without times (WhisperX gives none to numbers) share the time between their neighbours.
    """
    words = [item] if "word" in item else item.get("words") or []
    if len(words) > MOST_WORDS:
        raise ValueError(f"it has more than {MOST_WORDS:,} words")
    # Word `n` is from `n` to `n + 1` on the axis along which the times that words lack are interpolated.
    axis = [0]
    times = [start]
    for number, word in enumerate(words):
        for edge, time in enumerate(_times(word)):
            if is_number(time, 0, LATEST):
                axis.append(number + edge)
                times.append(time)
    axis.append(len(words))
    times.append(end)
    # Of all words in one call, since each call looks at the whole axis.
    edges = np.interp(np.arange(len(words) + 1), axis, times).round(6).tolist()
    for word, (free_start, free_end) in zip(words, itertools.pairwise(edges), strict=True):
        first, last = _times(word)
        if last is None:
            last = max(first or 0.0, free_end)  # neighbours may overlap
        if first is None:
            first = min(free_start, last)
        first, last = _span(first, last)
        text = " ".join(word["word"].split())
        probability = field_of(word, "probability")
        if not text:
            raise ValueError("it has a word without a letter")
        is_probability = is_number(probability, 0, 1)  # CTM may have log likelihoods
        spoken = Word(text, first, last, probability if is_probability else None)
        yield word.get("speaker", item.get("speaker")), spoken


def _times(item: TranscriptItem) -> tuple[Any, Any]:
    """Start and end of a record or a word, as they are; the end by its duration where it has none."""
    start = field_of(item, "start")
    end = item.get("end")
    duration = item.get("duration")
    if end is None and is_number(start) and is_number(duration):
        end = round(start + duration, 6)
    return start, end


class ImpossibleTimes(ValueError):
    """A record, or a word of it, ends before it begins, or at a time that is out of bounds."""


def _span(start: object, end: object) -> tuple[float, float]:
    if not (is_number(start, 0, LATEST) and is_number(end, start, LATEST)):
        are_times = isinstance(start, int | float) and isinstance(end, int | float)
        kind = ImpossibleTimes if are_times else ValueError
        raise kind(f"its times are {shown_name(start)} to {shown_name(end)}")
    return float(start), float(end)


def _without_marks(cue: Cue, is_word: bool) -> Iterator[Cue]:
    """Yield a cue without its marks (with an empty text if it has nothing else), and its marks as cues.

    The times of marks follow from their positions in the text, between the words that have times.
    """
    text = cue.text or ""
    marks = list(marks_in(text))
    if is_word:
        mark = mark_of(text)
        marks = [(0, len(text), mark)] if mark else []
    tokens = _tokens_outside(text, marks)
    words: list[Word] = []
    for word in cue.words:
        if mark_of(word.word) is None:
            spelling = without_marks(word.word) if "*" in word.word else word.word  # a mask may end a word
            words.append(word.spelled(spelling))
    if len(tokens) != len(words):
        tokens = []
        words = []
    unmarked = cue
    if marks:
        unmarked = replace(cue, text=without_marks(text), words=words)
    yield unmarked
    positions = [0]
    times = [cue.start]
    for (first, last), word in zip(tokens, words, strict=True):
        positions += [first, last]
        times += [word.start, word.end]
    positions.append(len(text))
    times.append(cue.end)
    bounds = [bound for first, last, _ in marks for bound in (first, last)]
    mark_times = np.interp(bounds, positions, times).tolist() if marks else []
    for (_, _, mark), start, end in zip(marks, mark_times[::2], mark_times[1::2], strict=True):
        if mark.kind != SILENCE:
            yield Cue(
                channel=cue.channel,
                start=start,
                end=max(end, start + SHORTEST_WORD),
                speaker=cue.speaker,
                language=cue.language,
                mark=mark.name,
                mark_kind=mark.kind,
            )


def _tokens_outside(text: str, marks: Sequence[tuple[int, int, TranscriptMark]]) -> list[tuple[int, int]]:
    """First character and end of each token of a text without its marks, which are in order, and apart.

    Punctuation that is left of a token beside a mark is none.
    """
    tokens = []
    for token in re.finditer(r"\S+", blanked(text, marks)):
        first, last = token.span()
        is_whole = text[max(0, first - 1) : last + 1].strip() == token[0]
        if is_whole or has_words(token[0]):
            tokens.append((first, last))
    return tokens


#: Words of one speaker with more than this many seconds between them belong to different cues.
CUE_GAP = 0.35


def joined_words(words: Iterable[Cue]) -> list[Cue]:
    """Cues of a word each, in any order, joined for each speaker up to a pause of more than `CUE_GAP` seconds."""
    runs: list[list[Cue]] = []
    latest: dict[tuple[str | None, str | None], list[Cue]] = {}
    ends: dict[tuple[str | None, str | None], float] = defaultdict(lambda: -math.inf)
    for word in sorted(words, key=attrgetter("start", "end")):
        speaker = word.channel, word.speaker
        if word.start - ends[speaker] > CUE_GAP:
            latest[speaker] = []
            runs.append(latest[speaker])
        latest[speaker].append(word)
        ends[speaker] = max(ends[speaker], word.end)
    joined: list[Cue] = []
    for run in runs:
        spoken: list[Word] = []
        for cue in run:
            spoken += cue.words
        text = join_words(word.word for word in spoken)
        joined.append(replace(run[0], end=max(cue.end for cue in run), text=text, words=spoken))
    return joined


# NIST's lines


_NUMBERS = ("start", "duration", "probability")

#: Kinds of lines of a CTM that are no words, unless their text is a mark.
_NO_WORDS = ("non-lex", "misc", "noscore")


def _lines(path: Path) -> Iterator[TranscriptRecord]:
    """Words of a CTM, and turns of an RTTM; `;;` begins a comment."""
    suffix = path.suffix.lower()
    least, columns = COLUMNS[suffix]
    for position, line in lines_with_text(path):
        fields = line.split()
        if fields[0].startswith(";;"):
            continue
        if not least <= len(fields) <= len(columns):
            reason = f"{position} has {len(fields)} fields, not {least} to {len(columns)}"
            raise broken(path, reason, "save the file again, one record a line")
        item: dict[str, Any] = {}
        for name, field in zip(columns, fields, strict=False):
            if field.upper() == "<NA>":
                continue
            item[name] = number_of_field(field) if name in _NUMBERS else field
        if suffix == ".ctm":
            word = item.get("word", "").replace("<space>", " ")
            item["word"] = word
            is_speech = bool(mark_of(word)) or item.get("kind", "").casefold() not in _NO_WORDS
        else:
            is_speech = item.get("kind") == "SPEAKER"
        if is_speech:
            yield position, item


# JSON


class Document(NamedTuple):
    """A kind of JSON: its name, an example, and how it is recognised and read.

    Attributes:
        shape: an example, for errors.
        holder: the key of the list of items in an object.
        names: the keys that the first item of a list has.
        record: makes a record of an item; raises ValueError for an item that is none.
    """

    name: str
    shape: str
    holder: str = ""
    names: tuple[str, ...] = ()
    record: Callable[[Any], TranscriptItem] = dict

    def items(self, data: object) -> list[object] | None:
        """Return the items of a document of this kind; None for any other."""
        match data:
            case {self.holder: [*items]}:
                return items
            case [{**first}, *_] if self.names and first.keys() >= {*self.names}:
                return [*data]
        return None

    def is_named_in(self, text: str) -> bool:
        """Whether a text that is no JSON has the names by which this kind is recognised: it is a damaged one."""
        names = [self.holder] if self.holder else self.names
        return all(f'"{name}"' in text for name in names)


def _our_utterance(item: TranscriptItem) -> TranscriptItem:
    if item["channel"] not in CHANNELS:
        raise ValueError("its channel is not left or right")
    tag = item.get("tag")
    return {**item, STYLE_TAG: tag if isinstance(tag, str) and tag else None}


def _moshi_word(item: Any) -> TranscriptItem:
    """Return the record of a word of moshi-finetune, whose SPEAKER_MAIN is the speaker on the left channel."""
    word, (start, end), speaker = item
    side = "main" if speaker == MAIN else "other"
    return {"word": word, "start": start, "end": end, "speaker": side}


def _lhotse_supervision(item: TranscriptItem) -> TranscriptItem:
    """Return the record of a `SupervisionSegment`; its words have times of the recording, too."""
    record = {**item}
    channels = item.get("channel", 0)
    if not isinstance(channels, list):
        channels = [channels]
    record["channel"] = f"ch{channels[0]}" if len(channels) == 1 else None
    alignment = item.get("alignment") or {}
    names = ("word", "start", "duration", "probability")
    entries = alignment.get("word") or []
    words = [dict(zip(names, entry, strict=False)) for entry in entries]
    record["words"] = words or None
    return record


#: Every kind of JSON that is read, the most telling names first.
DOCUMENTS = (
    Document(
        "Seamless Interaction",
        '{"metadata:transcript": [{"transcript", "start", "end", "words"}, …]}',
        "metadata:transcript",
        record=lambda item: {**item, "text": item["transcript"]},
    ),
    Document(
        "lhotse supervisions",
        '{"recording_id", "start", "duration", "text"}',
        names=("recording_id", "start", "duration"),
        record=_lhotse_supervision,
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
        _our_utterance,
    ),
    Document(
        "moshi-finetune",
        '{"alignments": [[word, [start, end], speaker], …]}',
        "alignments",
        record=_moshi_word,
    ),
    Document("J-Moshi", '[{"speaker", "word", "start", "end"}, …]', names=("speaker", "word")),
    Document(
        "Whisper and WhisperX",
        '{"segments": [{"start", "end", "text"}, …]}',
        "segments",
        ("start", "end", "text"),
    ),
)


def _json(path: Path) -> Iterator[TranscriptRecord]:
    """Yield the items of a JSON document or of JSON Lines, by what the first one is. NeMo calls its lines `.json`.

    Raises UnknownKind for what is no transcript, and BadInput for a damaged one.
    """
    text = read_text(path)
    title = f"transcript {printable_path(path)}"
    about: dict[str, object] = {}
    try:
        positions, data = _parsed(path, text, title)
    except BadInput as error:
        # A file that is empty, or no JSON at all, may have been a transcript.
        begins_as_json = text.lstrip().startswith(("{", "["))
        is_of_document = any(kind.is_named_in(text) for kind in DOCUMENTS)
        is_of_service = any(is_named_in(text, service) for service in SERVICES)
        if begins_as_json and not is_of_document and not is_of_service:
            raise UnknownKind(error.reason, _JSON_REMEDY, path, DAMAGED_JSON) from None
        raise
    if isinstance(data, dict):
        about["language"] = data.get("language")
    kinds = [kind for kind in DOCUMENTS if kind.items(data) is not None]
    # Lists may be long, and are known by their first item.
    records = None if kinds and isinstance(data, list) else _of_service(data, title)
    if records is not None:
        yield from records
        return
    if not kinds:
        if data == [] or SHARED.fullmatch(path.name):
            return
        shapes = "; ".join(f"{kind.name}: {kind.shape}" for kind in DOCUMENTS)
        names = ", ".join(dict.fromkeys(service.name for service in SERVICES))
        remedy = f"give one ({shapes}; the JSON of {names}), or take the file away"
        raise UnknownKind(f"{title}: is not a known kind of transcript", remedy, path, NO_TRANSCRIPT)
    kind = kinds[0]
    items = kind.items(data) or []
    quota = Quota(title, MOST_RECORDS, "records", "save its parts in files of their own")
    quota.take(len(items))
    for position, item in zip(positions, items, strict=False):
        try:
            record = about | {**kind.record(item)}
            texts = [field_of(record, field) for field in ("text", "word", "words")]
            if texts == [None, None, None]:
                raise ValueError("it has no text")
        except MISFITS as error:  # in a file of many recordings it concerns one of them
            recording = field_of(item, "recording") if isinstance(item, dict) else None
            record = {"recording_id": recording, PROBLEM: error.with_traceback(None)}
        yield position, record


def _parsed(path: Path, text: str, title: str) -> tuple[Iterable[str], Any]:
    """Parse the items of a file, with their positions. Raises BadInput."""
    if path.suffix.lower() == ".json" and '"audio_filepath"' not in text.lstrip().partition("\n")[0]:
        positions = map("item {}".format, itertools.count(1))
        try:
            return positions, parse_json(text, title, nan=True)
        except TooLarge:
            raise
        except BadInput:
            documents = _documents(text)
            if not documents:
                raise
        return positions, [parse_json(document, title, nan=True) for document in documents]
    quota = Quota(title, MOST_RECORDS, "records", "save its parts in files of their own")
    quota.take(text.count("\n"))
    numbered = enumerate(text.split("\n"), 1)
    lines = {f"line {number}": line for number, line in numbered if line.strip()}
    return lines, [parse_json(line, f"{title}: {position}", nan=True) for position, line in lines.items()]


#: What may stand between two documents of JSON.
_SPACE = re.compile(r"\s*+")


def _documents(text: str) -> list[str]:
    """Return the documents of a text, one after the other, as tools for Vosk write them; none if one is broken."""
    decoder = json.JSONDecoder()
    documents: list[str] = []
    start = 0
    while start < len(text):
        try:
            document, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            return []
        if not isinstance(document, dict) or len(documents) == MOST_RECORDS:
            return []
        documents.append(text[start:end])
        space = _SPACE.match(text, end)
        start = space.end() if space else end
    return documents


def _of_service(data: object, title: str) -> list[TranscriptRecord] | None:
    """Return the records of a document of a service, with their positions; None for any other. Raises BadInput."""
    try:
        recognised = service_of(data)
    except ValueError as error:
        raise BadInput(f"{title}: can't be used ({error})", _JSON_REMEDY) from None
    if recognised is None:
        return None
    service, items = recognised
    records = service_records(service, items, data)
    return [(f"item {number}", record) for number, record in enumerate(records, 1)]


def is_transcript(content: bytes) -> bool:
    """Whether JSON is of a kind of transcript that is read."""
    try:
        data = parse_json(content, "", nan=True)
        is_of_service = service_of(data) is not None
    except (BadInput, ValueError):  # a damaged one, which is named where it is read
        return True
    return is_of_service or any(kind.items(data) is not None for kind in DOCUMENTS)


# Of all formats


#: What reads each format, by the ending of its files in lower case.
FORMATS: dict[str, Callable[..., Iterable[TranscriptRecord]]] = {
    ".srt": subtitle_records,
    ".vtt": subtitle_records,
    ".textgrid": tier_records,
    ".eaf": tier_records,
    ".ctm": _lines,
    ".rttm": _lines,
    ".json": _json,
    ".jsonl": _json,
    ".jsonl.gz": _json,
    ".txt": text_records,
    ".sbv": subtitle_records,
    ".stm": stm_records,
    ".mrk": mrk_records,
    "-word.text": ms98_records,
    "-trans.text": ms98_records,
    **dict.fromkeys(CANDOR_TRANSCRIPTS, candor_records),
}


def ending_of(name: str) -> str | None:
    """Return the ending of a transcript's file, as it is written there; None for any other file."""
    for ending in FORMATS:
        is_whole_name = ending[0] not in ".-"
        if ending in SWITCHBOARD_ENDINGS and not switchboard_stems(name):
            continue
        if name == ending or (name.lower().endswith(ending) and not is_whole_name):
            return name[-len(ending) :]
    return None


def read_cues(
    path: Path,
    side: str | None,
    pick: Callable[[NamedRecords], Sequence[str]],
    wanted: Collection[str] = (),
    left: dict[str, list[str]] | None = None,
    duration: float | None = None,
) -> list[Cue]:
    """Read the cues of a transcript of a format of `FORMATS`, as `cues_of` makes them, with its names of channels.

    Args:
        side: the side in its name, by which a subtitle without a name is that of one speaker.
        pick: chooses among the recordings that it names; "" for what names none.
        wanted: names, or linguistic types, of tiers with speech; `left` gets those of others, by file.
        duration: seconds of the recording, by which its words are limited (`core.quotas.most_words`).

    Raises BadInput.
    """
    read = FORMATS[str(ending_of(path.name)).lower()]
    position = "its text"
    subject = f"transcript {printable_path(path)}"
    quota = Quota(subject, most_words(duration), "words", "save its parts in files of their own")
    cues = list[Cue]()
    words = list[Cue]()
    unusable = list[tuple[TranscriptItem, str]]()
    remedy = "give it texts, and seconds from the start of the recording, the end not before the start"
    try:
        has_labels = read is text_records and text_kind(path) == AUDACITY
        if read is subtitle_records or has_labels:
            records: Iterable[TranscriptRecord] = subtitle_records(path, side)
        elif read is tier_records:
            records = read(path, wanted, {} if left is None else left)
        else:
            with _LOCK:  # recordings are read side by side, and a file of many may be large
                modified = max(file.stat().st_mtime_ns for file in (path, *files_with(path)))
                named = _by_recording(read, path, modified)
                records = [record for name in pick(named) for record in named.by_name[name]]
        for position, item in records:
            list_of_kind = words if "word" in item else cues
            try:
                cues_of_item = [*cues_of(item)]
            except ImpossibleTimes as error:
                unusable.append((item, f"{position} can't be used ({error})"))
                continue
            for cue in cues_of_item:
                text = cue.text or ""
                n_words = len(cue.words) or text.count(" ") + 1
                quota.take(n_words)
                list_of_kind.append(cue)
        if len(unusable) > len(cues) + len(words):
            raise broken(path, unusable[0][1], remedy)
    except MISFITS as error:
        raise broken(path, f"{position} can't be used ({error})", remedy) from None
    except MemoryError as error:
        error.__traceback__ = None  # its frames hold what was read, and leave none for the error
        cues.clear()
        words.clear()
        raise TooLarge.for_input(subject) from None
    cues += [cue for cue in words if not cue.text]
    cues += [_unusable(item, f"{printable_path(path.name)}: {reason}") for item, reason in unusable]
    return cues + joined_words(cue for cue in words if cue.text)


def _unusable(item: TranscriptItem, reason: str) -> Cue:
    """Return a cue that stands for a record with impossible times and says why it is left out."""
    start = field_of(item, "start")
    time = float(start) if is_number(start, 0, LATEST) else 0.0
    return Cue(
        channel=_name(item.get("channel")),  # type: ignore[arg-type]  # until its side is known
        start=time,
        end=time,
        speaker=_name(item.get("speaker")),
        mark=reason,
        mark_kind=UNUSABLE,
    )


@lru_cache(maxsize=2)
def _by_recording(read: Callable[[Path], Iterable[TranscriptRecord]], path: Path, modified: int) -> NamedRecords:
    """Return the records of a file by the recordings that they name, read once for all of these.

    Raises BadInput.
    """
    named = NamedRecords()
    quota = Quota(
        f"transcript {printable_path(path)}", MOST_RECORDS, "records", "save its parts in files of their own"
    )
    for position, item in read(path):
        quota.take(1)
        named.add(str(field_of(item, "recording") or ""), (position, item))
    return named


_LOCK = threading.Lock()
