"""The cues of a transcript: every format is records, and one function makes cues of them.

A record is a dict with the names of `KEYS`, whichever format it is from: a line of CTM or RTTM, an item of JSON, a
subtitle, a label of a tier. Which channel a cue belongs to is decided by
`sources.transcripts.recording_transcripts`.
"""

import itertools
import math
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from dailytalk_contiguous.core.documents import LATEST, is_number, printable_path
from dailytalk_contiguous.core.errors import TooLarge
from dailytalk_contiguous.core.quotas import MOST_RECORDS, MOST_WORDS, Quota, most_words
from dailytalk_contiguous.core.records.conversation import UNUSABLE, Cue
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
from dailytalk_contiguous.sources.formats.private_names import shown_name
from dailytalk_contiguous.sources.formats.records import (
    STYLE_TAG,
    ReadingChoice,
    TranscriptItem,
    TranscriptReader,
    field_of,
)
from dailytalk_contiguous.sources.formats.services import MISFITS, PROBLEM
from dailytalk_contiguous.sources.formats.text_files import broken, letters_of
from dailytalk_contiguous.sources.transcripts.corpus_layouts import files_with
from dailytalk_contiguous.sources.transcripts.filler_notations import plain_fillers
from dailytalk_contiguous.sources.transcripts.named_records import NamedRecords
from dailytalk_contiguous.sources.transcripts.readers import readers_of

#: The longest name of a language that is looked at, once for each of its words.
_LONGEST_LANGUAGE = 40

#: Characters of one cue: 100 hours of one speaker. Longer ones take minutes.
MOST_CUE_TEXT = 6_000_000


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
    if not isinstance(language, str) or len(language) > _LONGEST_LANGUAGE:
        language = None
    is_code = language and re.fullmatch("(?!und)[a-z]{2,3}", language)  # else it may have a region
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
        spellings = plain_fillers(written, language)
        spelled = zip(words, spellings, strict=True)
        plain_words = [word.spelled(spelling) for word, spelling in spelled if spelling]
        joined = join_words(word.word for word in plain_words) if plain_words else None
        spoken_text = joined
        if text is not None and len(turns) == 1:
            tokens = plain_fillers(without_control_tokens(text).split(), language)
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


def read_cues(
    path: Path,
    pick: Callable[[NamedRecords], Sequence[str]],
    choice: ReadingChoice = ReadingChoice(),
    duration: float | None = None,
) -> list[Cue]:
    """Read the cues of a transcript that has a reader, as `cues_of` makes them, with its names of channels.

    Args:
        path: the file.
        pick: chooses among the recordings that it names; "" for what names none.
        choice: facts about it beside its text.
        duration: seconds of the recording, by which its words are limited (`core.quotas.most_words`).

    Raises BadInput.
    """
    reader, *_ = readers_of(path)
    position = "its text"
    subject = f"transcript {printable_path(path)}"
    quota = Quota(subject, most_words(duration), "words", "save its parts in files of their own")
    cues = list[Cue]()
    words = list[Cue]()
    unusable = list[tuple[TranscriptItem, str]]()
    remedy = "give it texts, and seconds from the start of the recording, the end not before the start"
    try:
        if reader.is_of_one:
            records = reader.records(path, choice)
        else:
            with _LOCK:  # recordings are read side by side, and a file of many may be large
                modified = max(file.stat().st_mtime_ns for file in (path, *files_with(path)))
                named = _by_recording(reader, path, modified)
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
def _by_recording(reader: TranscriptReader, path: Path, modified: int) -> NamedRecords:
    """Return the records of a file by the recordings that they name, read once for all of these.

    Raises BadInput.
    """
    named = NamedRecords()
    quota = Quota(
        f"transcript {printable_path(path)}", MOST_RECORDS, "records", "save its parts in files of their own"
    )
    for position, item in reader.records(path):
        quota.take(1)
        name = str(field_of(item, "recording") or "")
        named.by_name.setdefault(name, []).append((position, item))
    return named


_LOCK = threading.Lock()
