"""The formats of transcripts that are read, and whom their names mean."""

import itertools
import re
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from dailytalk_contiguous.core.documents import LATEST, expect, is_number, parse_json, quoted, shown
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.schema import CHANNELS, MAIN
from dailytalk_contiguous.core.word_times import Cue, WordRow, are_word_times, join_words
from dailytalk_contiguous.sources import whisper_json
from dailytalk_contiguous.sources.channel_names import explains_itself
from dailytalk_contiguous.sources.subtitles import TimedWord, are_words, read_subtitles
from dailytalk_contiguous.sources.tier_formats import NUMBER, Tier, read_eaf, read_tiers, speech_tiers
from dailytalk_contiguous.sources.transcript_marks import mark_of, without_marks
from dailytalk_contiguous.sources.transcript_text import MOST_LABELS, broken, read_text, readable_text, refuse_many

# Reading every format of transcript into passages: who speaks when, and what.
#
# A file that breaks off in the middle would get into a dataset unnoticed, so damaged files are rejected. `FORMATS`
# is the one table of what is read, by the ending of a file, and `DOCUMENTS` that of the kinds of JSON. A TextGrid
# is read as Praat reads it, by its strings and numbers in order. Which channel a passage belongs to is decided by
# `sources.transcripts`.


#: Words of one speaker with more than this many seconds between them belong to different cues.
CUE_GAP = 0.35

#: In a subtitle with times inside it at least this share of the words must have one: others are those of phrases.
TIMED_SHARE = 0.7

#: How many fields a record of CTM and of RTTM may have.
_CTM_FIELDS, _RTTM_FIELDS = range(5, 9), range(9, 11)

_ALTERNATIVES = ("<ALT_BEGIN>", "<ALT>", "<ALT_END>")
_NO_LEXEMES = frozenset({"non-lex", "misc", "noscore"})

# What an item of a JSON transcript must be; `?` may be missing or null.
_SUPERVISION: dict[str, Any] = {
    "recording_id": str,
    "start": float,
    "duration": float,
    "text?": str,
    "speaker?": str,
}
_SUPERVISION |= {"alignment?": {str: list}}
_MANIFEST = {"audio_filepath": str, "duration": float, "offset?": float, "text?": str, "pred_text?": str}


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


#: Chooses among the recordings that a file names.
Pick = Callable[[Iterable[str]], Sequence[str]]


def make_word(path: Path, position: str, word: Any, times: tuple[Any, Any], probability: Any = None) -> WordRow:
    """A `core.utterance.WORD` from checked values.

    A number outside 0 to 1 is of another scale (CTM may have log likelihoods), and the probability unknown.
    """
    start, end = _checked(path, position, times)
    if not isinstance(word, str) or not word.strip():
        raise broken(path, f"{position} has the word {quoted(word)}", "give every word as text that isn't empty")
    if not (probability is None or (isinstance(probability, int | float) and not isinstance(probability, bool))):
        raise broken(
            path,
            f"{position} has the probability {quoted(probability)}",
            "give a number from 0 to 1, or leave it out",
        )
    sure = probability if is_number(probability, 0, 1) else None
    return {"word": " ".join(word.split()), "start": start, "end": end, "probability": sure}


def _passage(
    path: Path, position: str, times: tuple[Any, Any], text: str | None, words: list[WordRow], **about: str | None
) -> Passage:
    """A passage from checked values.

    Words that don't spell its text are older than a correction of it, and times that can't be those of words say
    nothing. Both are left out, so that the text is aligned again.
    """
    start, end = _checked(path, position, times)
    if text is not None:
        text = " ".join(text.split())
        in_time = sorted(words, key=lambda word: (word["start"], word["end"]))
        spelled = next((order for order in (words, in_time) if _are_of(text, order)), [])
        words = spelled if are_word_times(spelled, start, end) else []
    return Passage(position, start, end, text, words, **about)


def _are_of(text: str, words: Sequence[WordRow]) -> bool:
    """Whether words spell a text; recognisers leave marks of sounds out of them."""
    joined = " ".join(word["word"] for word in words)
    return _letters(text) == _letters(joined) or _letters(without_marks(text)) == _letters(without_marks(joined))


def _loose(position: str, word: WordRow, **about: str | None) -> Passage:
    return Passage(position, word["start"], word["end"], None, [word], **about)


def _code(language: Any) -> str | None:
    """The ISO 639 code that a transcript gives; None for anything else, such as the name of a language."""
    is_code = isinstance(language, str) and re.fullmatch("[a-z]{2,3}", language) and language != "und"
    return language if is_code else None


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()


def cues_of_words(channel: str, words: Sequence[WordRow]) -> list[Cue]:
    """Words of one speaker, in any order, as cues split at pauses of more than `CUE_GAP` seconds."""
    cues: list[Cue] = []
    for word in sorted(words, key=lambda word: (word["start"], word["end"])):
        if not cues or word["start"] - cues[-1]["end"] > CUE_GAP:
            times = {"start": word["start"], "end": word["end"]}
            cues.append({"channel": channel, **times, "text": "", "words": [], "speaker": None})
        cues[-1]["words"].append(word)
        cues[-1]["end"] = max(cues[-1]["end"], word["end"])
    for cue in cues:
        cue["text"] = join_words(word["word"] for word in cue["words"])
    return cues


def _read_subtitles(path: Path, side: str | None, pick: Pick) -> list[Passage]:
    """Subtitles of one `side`, or (None) of both with a speaker's name in every subtitle.

    In a file of one side a name is taken off the text if every subtitle begins with the same one.
    """
    subtitles = read_subtitles(path)
    leads = [next((line.key for line in item.lines), None) for item in subtitles]
    counts = Counter(key for key in leads if key is not None)
    # Where two names come again, what is before a colon but once is text.
    keys = {key for key, count in counts.items() if count > 1 or sum(n > 1 for n in counts.values()) < 2}
    if side is not None:
        is_named = len(keys) == 1 and None not in leads and (len(subtitles) > 1 or explains_itself(*keys))
        speakers = keys if is_named else set()
    else:
        speakers = keys | {line.key for item in subtitles for line in item.lines if line.key and line.is_certain}
    names: dict[str, str] = {}
    are_single = are_words(subtitles)
    have_times = any(word.start is not None for item in subtitles for word in item.words)
    passages = []
    for item in subtitles:
        turns: list[tuple[str | None, list[TimedWord]]] = []
        for line in item.lines:
            if line.key in speakers and line.key is not None:
                turns.append((names.setdefault(line.key, line.name or line.key), [*line.said]))
            elif turns:
                turns[-1][1].extend(line.words)
            else:
                turns.append((None, [*line.words]))
        for lead in dict.fromkeys(lead for lead, _ in turns):
            said = [word for name, words in turns if name == lead for word in words]
            text, times = " ".join(word.word for word in said), (item.start, item.end)
            if are_single and len(said) == 1:
                passages.append(_loose(item.position, make_word(path, item.position, text, times), speaker=lead))
                continue
            words = [] if len(turns) > 1 or not have_times else _times_inside(path, item.position, said, times)
            passages.append(_passage(path, item.position, times, text, words, speaker=lead))
    return passages


def _times_inside(path: Path, position: str, said: Sequence[TimedWord], cue: tuple[float, float]) -> list[WordRow]:
    """The words of a subtitle with the times inside it, by which each ends where the next begins.

    None where too few words have times, or these run backwards. A single word has those of its cue.
    """
    if len(said) == 1:
        return [make_word(path, position, said[0].word, (said[0].start or cue[0], said[0].end or cue[1]))]
    known = [word.start for word in said[1:] if word.start is not None]
    if (
        not known
        or len(known) < TIMED_SHARE * (len(said) - 1)
        or [cue[0], *known, cue[1]] != sorted([*cue, *known])
    ):
        return []
    timed = [{"start": word.start, "end": word.end} for word in said]
    for number, word in enumerate(timed):
        after = timed[number + 1]["start"] if number + 1 < len(timed) else cue[1]
        if number == 0 and word["start"] is None and (after is not None or word["end"] is not None):
            word["start"] = cue[0]
        if word["start"] is not None and word["end"] is None:
            word["end"] = after
        if word["start"] is None or word["end"] is None:
            word |= {"start": None, "end": None}  # it shares the time to the next known one
    times = _word_times({"start": cue[0], "end": cue[1]}, timed)
    return [make_word(path, position, word.word, of) for word, of in zip(said, times, strict=True)]


def _read_tiers(
    read: Callable[[Path], list[Tier]],
    path: Path,
    side: str | None,
    pick: Pick,
    wanted: Collection[str] = (),
    left: list[str] | None = None,
) -> list[Passage]:
    """Passages of the tiers of speech (those `wanted`, where there are some); the names of others go to `left`."""
    speech, others = speech_tiers(path, read(path), wanted)
    if left is not None:
        left += others
    if not speech:
        raise broken(
            path, "has no interval tier of words or utterances", "add one, or name the right one with --tier"
        )
    names: dict[str, str] = {}
    passages = []
    for tier in speech:
        about = {"speaker": names.setdefault(tier.speaker.casefold(), tier.speaker)}
        for start, end, text in tier.labels:
            if not text:
                continue
            if tier.kind == "words":
                passages.append(_loose(quoted(text), make_word(path, quoted(text), text, (start, end)), **about))
            else:
                passages.append(_passage(path, quoted(text), (start, end), text, [], **about))
    return passages


def _read_ctm(path: Path, side: str | None, pick: Pick) -> list[Passage]:
    """NIST's time-marked words: recording, channel, start, duration, word, then its confidence, kind and speaker.

    Of alternatives (`<ALT_BEGIN>`) the first counts, and what the kind says is no word is left out. See `ctm` in
    the documentation of SCTK, and the evaluation plan of RT-04 for the last two fields.
    """
    passages = []
    alternative = 0  # 1 is the first of several, and counts
    for position, fields in _records(path, _CTM_FIELDS, pick, 0):
        recording, channel, start, duration, word, confidence, kind, speaker = (*fields, "", "", "")[:8]
        if word.upper() in _ALTERNATIVES:
            alternative = {"<ALT_BEGIN>": 1, "<ALT>": alternative + 1, "<ALT_END>": 0}[word.upper()]
        elif alternative < 2 and (mark_of(word) or kind.casefold() not in _NO_LEXEMES):
            times = _span(path, position, start, duration)
            spoken = make_word(
                path, position, word.replace("<space>", " "), times, _confidence(path, position, confidence)
            )
            passages.append(
                _loose(position, spoken, channel=channel, speaker=_or_none(speaker), recording=recording)
            )
    if alternative:
        raise broken(path, "breaks off inside of alternatives: <ALT_END> is missing", "save the file again")
    return passages


def _read_rttm(path: Path, side: str | None, pick: Pick) -> list[Passage]:
    """NIST's rich transcription: who speaks when (SPEAKER), words with speakers (LEXEME), laughs (NON-LEX).

    Other objects are about none of them. See appendix A of the evaluation plan of RT-09.
    """
    passages = []
    for position, fields in _records(path, _RTTM_FIELDS, pick, 1):
        kind, recording, channel, start, duration, word, subtype, speaker, confidence = fields[:9]
        about = {"channel": _or_none(channel), "speaker": _or_none(speaker), "recording": recording}
        if kind == "SPEAKER":
            passages.append(_passage(path, position, _span(path, position, start, duration), None, [], **about))
        elif kind == "LEXEME" and _or_none(word):
            times = _span(path, position, start, duration)
            spoken = make_word(path, position, word, times, _confidence(path, position, confidence))
            passages.append(_loose(position, spoken, **about))
        elif kind == "NON-LEX" and mark_of(f"[{subtype}]"):
            times = _span(path, position, start, duration)
            passages.append(_loose(position, make_word(path, position, f"[{subtype}]", times), **about))
    return passages


def _records(path: Path, counts: range, pick: Pick, name_field: int) -> Iterator[tuple[str, Sequence[str]]]:
    """(position, fields) of the lines of a file that are about the recording; `;;` begins a comment."""
    text = readable_text(path)
    refuse_many(path, text.count("\n"), "lines")
    lines = [
        (number, line.split())
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip() and not line.lstrip().startswith(";;")
    ]
    for number, fields in lines:
        if len(fields) not in counts:
            raise broken(
                path,
                f"line {number} has {len(fields)} fields, not {counts[0]} to {counts[-1]}",
                "save the file again, one record a line",
            )
    chosen = set(pick(dict.fromkeys(fields[name_field] for _, fields in lines)))
    yield from ((f"line {number}", fields) for number, fields in lines if fields[name_field] in chosen)


def _span(path: Path, position: str, start: str, duration: str) -> tuple[float, float]:
    """Start and end of a record with a start and a duration as text."""
    if not (NUMBER.fullmatch(start) and NUMBER.fullmatch(duration)):
        raise broken(
            path, f"{position} has the start {quoted(start)} and the duration {quoted(duration)}", "give seconds"
        )
    return float(start), round(float(start) + float(duration), 6)


def _confidence(path: Path, position: str, text: str) -> float | None:
    if _or_none(text) is None:
        return None
    if not NUMBER.fullmatch(text):
        raise broken(
            path, f"{position} has the confidence {quoted(text)}", "give a number from 0 to 1, or leave it out"
        )
    return float(text)


def _or_none(text: str) -> str | None:
    """A field, or None for one that is not applicable."""
    return None if text.upper() in {"", "<NA>", "NA"} else text


def _read_lines_of_json(path: Path, side: str | None, pick: Pick) -> list[Passage]:
    """JSON Lines, by what the first one is; a file of a whole corpus is read once for all of its recordings."""
    return _of_lines(path, _lines_of(path, path.stat().st_mtime_ns), pick)


def _of_lines(path: Path, parsed: "_Lines", pick: Pick) -> list[Passage]:
    document, groups = parsed
    lines = sorted(line for name in pick(groups) for line in groups[name])  # no number is there twice
    return [passage for number, line in lines for passage in document.line(path, f"line {number}", line)]


@lru_cache(maxsize=2)
def _lines_of(path: Path, modified: int) -> "_Lines":
    """The kind of a JSON Lines file, and its numbered lines by recording."""
    return _grouped_lines(path, read_text(path))


def _grouped_lines(path: Path, text: str) -> "_Lines":
    refuse_many(path, text.count("\n"), "lines", 2 * MOST_LABELS)  # of a whole corpus, perhaps
    numbered = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            value = _loaded(path, line, number)
            if not isinstance(value, dict):
                raise broken(path, f"line {number} is not a JSON object", "give one utterance a line")
            numbered.append((number, value))
    document = next((kind for kind in DOCUMENTS if numbered and kind.is_line(numbered[0][1])), None)
    if numbered and document is None:
        raise broken(path, "is no known kind of transcript", _give(lines=True))
    groups: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for number, value in numbered:
        name = value.get(document.recording) if document else None
        # Only a run's own transcript may leave out what it is about.
        groups.setdefault(name if isinstance(name, str) else "", []).append((number, value))
    return document or DOCUMENTS[0], groups


def _read_json(path: Path, side: str | None, pick: Pick) -> list[Passage]:
    """A JSON document: a whisper.json, or one of the kinds of `DOCUMENTS`. NeMo calls JSON Lines `.json`, too."""
    if whisper_json.begins_with_clip(path):
        return _read_clips(path, pick)
    text = read_text(path)
    refuse_many(path, text.count("[") + text.count("{"), "lists and objects", 2 * MOST_LABELS)
    try:
        data = _loaded(path, text)
    except BadInput:
        if '"audio_filepath"' not in text.lstrip().partition("\n")[0]:
            raise
        return _of_lines(path, _grouped_lines(path, text), pick)
    if isinstance(data, dict) and isinstance(data.get("audio_filepath"), str):
        return _of_lines(path, _grouped_lines(path, text), pick)
    document = next((kind for kind in DOCUMENTS if kind.is_whole(data)), None)
    if document is None:
        raise broken(path, "is no known kind of transcript", _give(lines=False))
    passages = document.whole(path, data)
    chosen = set(pick(dict.fromkeys(passage.recording or "" for passage in passages)))
    return [passage for passage in passages if (passage.recording or "") in chosen]


def _read_clips(path: Path, pick: Pick) -> list[Passage]:
    """The picked entries of a whisper.json, which is read once for all of its recordings."""
    with _CLIPS_LOCK:  # recordings are read side by side, and such a file may be large
        names, entries = _clips_of(path, path.stat().st_mtime_ns)
    passages = []
    for name in pick(names):
        if problem := whisper_json.entry_problem(path.name, name, entries[name]):
            raise problem
        if entries[name].get("segments") is None:
            raise broken(path, f"{quoted(name)} has no segments, so no times", "transcribe it again")
        passages += [item._replace(recording=name) for item in _segments(path, entries[name], f"{quoted(name)}, ")]
    return passages


@lru_cache(maxsize=2)
def _clips_of(path: Path, modified: int) -> tuple[whisper_json.EntryNames, dict[str, Any]]:
    entries = whisper_json.read_whisper_json(path).entries
    return whisper_json.EntryNames(entries), entries


_CLIPS_LOCK = threading.Lock()


def _loaded(path: Path, text: str, first_line: int = 1) -> Any:
    return parse_json(text, f"transcript {shown(path)}", line=first_line, nan=True)


def _expected(path: Path, position: str, value: Any, shape: Any, remedy: str) -> Any:
    return expect(value, shape, f"transcript {shown(path)}: {position}", remedy)


def _alignments(path: Path, data: Any) -> list[Passage]:
    passages = []
    for number, item in enumerate(data["alignments"], 1):
        try:
            # moshi-finetune trains the voice of SPEAKER_MAIN, which it takes from the left channel.
            word, (start, end), speaker = item
        except (TypeError, ValueError) as error:
            raise broken(path, f"word {number} is {quoted(item)}", _like("moshi-finetune")) from error
        spoken = make_word(path, f"word {number}", word, (start, end))
        passages.append(_loose(f"word {number}", spoken, speaker="main" if speaker == MAIN else "other"))
    return passages


def _speaker_words(path: Path, data: Any) -> list[Passage]:
    passages = []
    for number, item in enumerate(data, 1):
        if not item.keys() >= {"speaker", "word", "start", "end"}:
            raise broken(path, f"word {number} is {quoted(item)}", _like("J-Moshi"))
        spoken = make_word(path, f"word {number}", item["word"], (item["start"], item["end"]))
        passages.append(_loose(f"word {number}", spoken, speaker=str(item["speaker"])))
    return passages


def _each(path: Path, noun: str, items: Any, read: Callable[[Path, str, Any], list[Passage]]) -> list[Passage]:
    return [passage for number, item in enumerate(items, 1) for passage in read(path, f"{noun} {number}", item)]


def _utterance(path: Path, position: str, line: Any) -> list[Passage]:
    """An utterance of one of our own transcripts."""
    words_of = line.get("words") or [] if isinstance(line, dict) else None
    if not isinstance(words_of, list) or not all(isinstance(word, dict) for word in words_of):
        raise broken(path, f"{position} is not an utterance: {quoted(line)}", _like("our own"))
    text = line.get("text") if line.get("text_raw") is None else line["text_raw"]
    channel, speaker = line.get("channel"), line.get("speaker")
    if channel not in CHANNELS or not isinstance(text, str):
        raise broken(
            path,
            f"{position} has the channel {quoted(channel)} and the text {quoted(text)}",
            "give every utterance a channel, left or right, and a text, if only an empty one",
        )
    words = [
        make_word(path, position, word.get("word"), (word.get("start"), word.get("end")), word.get("probability"))
        for word in words_of
    ]
    # NAME/left is no name of a person, but the channel of a recording.
    is_name = isinstance(speaker, str) and not speaker.endswith(f"/{channel}")
    about = {"channel": channel, "speaker": speaker if is_name else None, "language": _code(line.get("language"))}
    return [_passage(path, position, (line.get("start"), line.get("end")), text, words, **about)]


def _segments(path: Path, data: Any, where: str = "") -> list[Passage]:
    """Passages of Whisper and WhisperX: segments with words, their probability or score, and perhaps speakers.

    `where` is what a position in the file begins with.
    """
    segments = data if isinstance(data, list) else data["segments"]
    passages = []
    for number, item in enumerate(segments, 1):
        position = f"{where}segment {number}"
        segment = _expected(path, position, item, whisper_json.SEGMENT, _like("Whisper and WhisperX"))
        listed = segment.get("words") or []
        words = [
            make_word(
                path, f"{position}, word {n}", word["word"], times, word.get("probability", word.get("score"))
            )
            for n, (word, times) in enumerate(zip(listed, _word_times(segment, listed), strict=True), 1)
        ]
        names = [word.get("speaker", segment.get("speaker")) for word in listed]
        times = (segment["start"], segment["end"])
        if len(set(names)) > 1 and not are_word_times(words, *times):
            shares = _word_times(segment, [{} for _ in words])
            words = [word | {"start": a, "end": b} for word, (a, b) in zip(words, shares, strict=True)]
        if len(set(names)) < 2:
            speaker = names[0] if names else segment.get("speaker")
            if segment["text"].strip():
                passages.append(_passage(path, position, times, segment["text"], words, speaker=speaker))
            continue
        for speaker, group in itertools.groupby(zip(names, words, strict=True), key=lambda pair: pair[0]):
            group_words = [word for _, word in group]
            times = (group_words[0]["start"], max(word["end"] for word in group_words))
            text = join_words(word["word"] for word in group_words)
            passages.append(_passage(path, position, times, text, group_words, speaker=speaker))
    beside = data.get("words") if isinstance(data, dict) else None
    if isinstance(beside, list) and not any(passage.words or passage.speaker for passage in passages):
        # OpenAI's service gives words beside segments.
        shape = [{"word": str, "start": float, "end": float}]
        words = _expected(path, "words", beside, shape, _like("Whisper and WhisperX"))
        timed = [make_word(path, f"word {n}", x["word"], (x["start"], x["end"])) for n, x in enumerate(words, 1)]
        passages = [_loose(f"word {n}", word) for n, word in enumerate(timed, 1)]
    language = _code(data.get("language")) if isinstance(data, dict) else None
    return [passage._replace(language=language) for passage in passages]


def _word_times(segment: Mapping[str, Any], words: Sequence[Mapping[str, Any]]) -> list[tuple[Any, Any]]:
    """Start and end of each word. WhisperX gives none to numbers, which share what is free between neighbours."""
    times: list[tuple[Any, Any]] = [(word.get("start"), word.get("end")) for word in words]
    index = 0
    while index < len(times):
        if times[index] != (None, None):
            index += 1
            continue
        last = next((n for n in range(index, len(times)) if times[n] != (None, None)), len(times))
        start = times[index - 1][1] if index else segment["start"]
        end = times[last][0] if last < len(times) else segment["end"]
        if not (is_number(start) and is_number(end)):
            return times  # `make_word` says what is wrong with the neighbour
        start = min(start, end)  # neighbours may overlap
        step = (end - start) / (last - index)
        for n in range(index, last):
            first = start + (n - index) * step
            times[n] = (round(first, 6), round(first + step, 6))
        index = last
    return times


def _supervision(path: Path, position: str, item: Any) -> list[Passage]:
    """A lhotse `SupervisionSegment`; the words of its alignment have times of the recording, too."""
    remedy = "save the supervisions from lhotse again"
    item = _expected(path, position, item, _SUPERVISION, remedy)
    channels = item.get("channel", 0)
    channels = channels if isinstance(channels, list) else [channels]
    if not all(isinstance(channel, int) and not isinstance(channel, bool) for channel in channels):
        raise broken(path, f"{position} has the channel {quoted(item['channel'])}", remedy)
    words = []
    for n, entry in enumerate((item.get("alignment") or {}).get("word") or [], 1):
        if not isinstance(entry, list) or not 3 <= len(entry) <= 4 or not all(map(is_number, entry[1:3])):
            raise broken(path, f"{position}, word {n} is {quoted(entry)}", remedy)
        times = (entry[1], round(entry[1] + entry[2], 6))
        words.append(make_word(path, f"{position}, word {n}", entry[0], times, entry[3] if entry[3:] else None))
    text = item.get("text")
    if text is None and words:
        text = join_words(word["word"] for word in words)
    about = {
        "channel": f"ch{channels[0]}" if len(channels) == 1 else None,
        "speaker": item.get("speaker"),
        "recording": item["recording_id"],
        "language": _code(item.get("language")),
    }
    times = (item["start"], round(item["start"] + item["duration"], 6))
    return [_passage(path, position, times, text, words, **about)]


def _manifest_line(path: Path, position: str, item: Any) -> list[Passage]:
    """A line of a NeMo manifest: a stretch of a file, from `offset` (0 s) for `duration`."""
    item = _expected(path, position, item, _MANIFEST, "give audio_filepath, duration and text")
    offset, speaker = item.get("offset") or 0.0, item.get("speaker")
    text = item["text"] if item.get("text") is not None else item.get("pred_text")
    if text is None:
        raise broken(path, f"{position} has no text", "give audio_filepath, duration and text")
    about = {"speaker": None if speaker is None else str(speaker), "recording": item["audio_filepath"]}
    about["language"] = _code(item.get("lang"))
    return [_passage(path, position, (offset, round(offset + item["duration"], 6)), text, [], **about)]


def _never(data: Any) -> bool:
    return False


def _nothing(*arguments: Any) -> list[Passage]:
    return []


@dataclass(frozen=True)
class Document:
    """A kind of JSON transcript: how it looks, and how its whole, or a line of it in JSON Lines, is read.

    `recording` is the field of a line that says what it is about.
    """

    name: str
    shape: str
    is_whole: Callable[[Any], bool] = _never
    whole: Callable[[Path, Any], list[Passage]] = _nothing
    is_line: Callable[[Any], bool] = _never
    line: Callable[[Path, str, Any], list[Passage]] = _nothing
    recording: str = ""


_Lines = tuple[Document, dict[str, list[tuple[int, dict[str, Any]]]]]


def _list_of(*names: str) -> Callable[[Any], bool]:
    """Whether something is a list of objects that all have these names."""
    return lambda data: (
        isinstance(data, list)
        and bool(data)
        and all(isinstance(item, dict) and item.keys() >= {*names} for item in data)
    )


def _holds(name: str) -> Callable[[Any], bool]:
    """Whether something is an object that has a list of this name."""
    return lambda data: isinstance(data, dict) and isinstance(data.get(name), list)


#: Every kind of JSON that is read.
DOCUMENTS = (
    Document(
        name="our own",
        shape='{"utterances": [{"channel", "start", "end", "text"}, …]}',
        is_whole=_holds("utterances"),
        whole=lambda path, data: _each(path, "utterance", data["utterances"], _utterance),
        is_line=lambda line: line.keys() >= {"channel", "start", "end"} and "recording_id" not in line,
        line=_utterance,
        recording="audio_file",
    ),
    Document(
        name="moshi-finetune",
        shape='{"alignments": [[word, [start, end], speaker], …]}',
        is_whole=_holds("alignments"),
        whole=_alignments,
    ),
    Document(
        name="J-Moshi",
        shape='[{"speaker", "word", "start", "end"}, …]',
        is_whole=_list_of("word"),
        whole=_speaker_words,
    ),
    Document(
        name="Whisper and WhisperX",
        shape='{"segments": [{"start", "end", "text"}, …]}',
        is_whole=lambda data: _holds("segments")(data) or _list_of("start", "end", "text")(data),
        whole=_segments,
    ),
    Document(
        name="lhotse supervisions",
        shape='{"recording_id", "start", "duration", "text"}',
        is_whole=_list_of("recording_id", "start", "duration"),
        whole=lambda path, data: _each(path, "segment", data, _supervision),
        is_line=lambda line: "recording_id" in line,
        line=_supervision,
        recording="recording_id",
    ),
    Document(
        name="NeMo manifest",
        shape='{"audio_filepath", "offset", "duration", "text"}',
        is_line=lambda line: "audio_filepath" in line,
        line=_manifest_line,
        recording="audio_filepath",
    ),
)


def _give(lines: bool) -> str:
    """The remedy for a JSON of no known kind."""
    own, *others = [kind for kind in DOCUMENTS if (kind.line if lines else kind.whole) is not _nothing]
    names = ", ".join(kind.name for kind in others)
    return f"give {own.shape} or that of another tool ({names}), or take the file away"


def _like(name: str) -> str:
    """The remedy for a JSON of the kind of that name which is not as it should be."""
    [shape] = [kind.shape for kind in DOCUMENTS if kind.name == name]
    return f"give {shape}, or take the file away"


#: Those of tiers also take the names of the `wanted` ones, and a list that gets those `left`.
TIER_FORMATS: dict[str, Callable[..., list[Passage]]] = {
    ".textgrid": partial(_read_tiers, read_tiers),
    ".eaf": partial(_read_tiers, read_eaf),
}

#: What reads each format, by the ending of its files in lower case: it takes a path, the side in its name, and a
#: choice among the recordings that it names.
FORMATS: dict[str, Callable[..., list[Passage]]] = {
    ".srt": _read_subtitles,
    ".vtt": _read_subtitles,
    ".ass": _read_subtitles,
    **TIER_FORMATS,
    ".ctm": _read_ctm,
    ".rttm": _read_rttm,
    ".json": _read_json,
    ".jsonl": _read_lines_of_json,
    ".jsonl.gz": _read_lines_of_json,
}


def ending_of(name: str) -> str | None:
    """The ending of a transcript's file, as it is written there; None for any other file."""
    return next((name[-len(ending) :] for ending in FORMATS if name.lower().endswith(ending)), None)


def _checked(path: Path, position: str, times: tuple[Any, Any]) -> tuple[float, float]:
    if not all(is_number(time, 0, LATEST) for time in times) or times[0] > times[1]:
        raise broken(
            path,
            f"{position} has the times {quoted(times[0])} to {quoted(times[1])}",
            "give seconds from the start of the recording, the end not before the start",
        )
    return float(times[0]), float(times[1])
