"""The parts of one side of a conversation that end with the end of a turn, or with a pause inside an utterance.

A conversation is as `Conversation.seen_by` gives it.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from dailytalk_contiguous.core.records.conversation import Conversation, Utterance, or_none
from dailytalk_contiguous.core.turns.turn_ends import HOLD, SHIFT, TurnEnd, turn_ends
from dailytalk_contiguous.core.turns.turn_taking import PAUSE
from dailytalk_contiguous.core.words.filler_removal import filler_flags, language_of
from dailytalk_contiguous.core.words.fillers import PATTERNS, language_code
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.models.turn_end import HEARD_SECONDS
from dailytalk_contiguous.publish.exports.speech_spans import Spans, timed_of

#: Seconds that a clip lasts at most: a hundredth under the 16 s of the trainer's guide.
LONGEST_CLIP = 15.99

#: Seconds of quiet before the first word of a clip, where the gap before it has as much.
LEAD = 0.1


class TurnEndClip(NamedTuple):
    """A part of one side up to an end of a turn and the silence behind it, in seconds of its conversation.

    Attributes:
        start: seconds.
        end: seconds.
        utterance: its last one.
        number: of that utterance among those of both sides.
        pause: of `core.turns.inner_pauses`, the number of the pause in that utterance; None for its end.
        is_complete: whether the other side has the next turn.
    """

    start: float
    end: float
    utterance: Utterance
    number: int
    pause: int | None
    is_complete: bool


class SideSpeech(NamedTuple):
    """What is heard of one side.

    Attributes:
        utterances: by start.
        words: all that are heard, by their middle, each with whether it is a filler.
        written: those that are written; `--fillers drop` leaves some out.
        uncut: spans in seconds in which no clip may begin, by start: words, sounds, utterances without words.
    """

    utterances: list[Utterance]
    words: list[Word]
    written: list[Word]
    uncut: Spans


def side_speech(talk: Conversation, channel: str) -> SideSpeech:
    """What is heard of a side of a conversation."""
    utterances = [utterance for utterance in talk.utterances if utterance.channel == channel]
    words = _words_of(replace(talk, alignments=talk.heard_words), channel)
    written = _words_of(talk, channel)
    uncut = [(word.start, word.end) for word in words]
    uncut += [(sound.start, sound.end) for sound in talk.sounds if sound.channel == channel]
    for utterance in utterances:
        if not words_in(words, utterance.start, utterance.end):
            uncut.append((utterance.start, utterance.end))
    return SideSpeech(utterances, words, written, sorted(uncut))


def _words_of(talk: Conversation, channel: str) -> list[Word]:
    """The aligned words of a side, by their middle, each with whether it is a filler."""
    flagged: list[Word] = []
    for utterance, words in talk.words_by_utterance():
        flags = filler_flags(words, language_of(utterance, talk))
        flagged += [replace(word, filler=flag) for word, flag in zip(words, flags, strict=True)]
    of_side = [word for word in flagged if word.side == channel]
    return sorted(of_side, key=_middle)


def _middle(word: Word) -> float:
    return word.middle


def words_in(words: Sequence[Word], start: float, end: float) -> Sequence[Word]:
    """Those of words, which are by their middle, whose middle is between two times in seconds."""
    first = bisect_left(words, start, key=_middle)
    last = bisect_left(words, end, key=_middle)
    return words[first:last]


def ends_in(talk: Conversation) -> list[TurnEnd]:
    """The ends of turns of a conversation, by the index of their utterance.

    They are those with a `transition`. In a conversation without any, which an earlier version made, they follow
    from the times.
    """
    ends: list[TurnEnd] = []
    for number, utterance in enumerate(talk.utterances):
        transition = or_none(utterance.transition)
        if transition in (HOLD, SHIFT):
            ends.append(TurnEnd(number, utterance.sounding.end, transition))
    return ends or turn_ends(timed_of(talk))


def clip_start(uncut: Sequence[tuple[float, float]], end: float) -> float | None:
    """The second at which a clip begins that ends at `end`, between the words of its side; None if it can't.

    It is at least `HEARD_SECONDS` before the end, or the beginning of the recording, and at most `LONGEST_CLIP`.
    The latest pause (`PAUSE`) is taken; without one the widest gap between two words.

    Args:
        uncut: spans in seconds in which it can't begin, by start.
        end: seconds.

    >>> clip_start([(0.5, 2.0), (2.5, 9.0)], 11.0)
    2.4
    """
    latest = end - HEARD_SECONDS
    earliest = max(0.0, end - LONGEST_CLIP)
    if latest <= 0:
        return 0.0
    gaps = list(_gaps(uncut, earliest, latest))
    pauses = [(start, stop) for start, stop in gaps if stop - start >= PAUSE]
    if pauses:
        start, stop = pauses[-1]
    elif gaps:
        start, stop = max(gaps, key=lambda gap: gap[1] - gap[0])
    else:
        return 0.0 if earliest == 0 else None
    return max((start + stop) / 2, stop - LEAD)


def _gaps(uncut: Sequence[tuple[float, float]], earliest: float, latest: float) -> Iterator[tuple[float, float]]:
    """The gaps between spans, cut to two times; spans that touch have a gap of no length between them."""
    reach = 0.0
    for start, end in [*uncut, (latest, latest)]:
        first = max(reach, earliest)
        last = min(start, latest)
        if first <= last:
            yield first, last
        reach = max(reach, end)


class FillerColumns(NamedTuple):
    """Whether a clip has fillers before its last words, and ends with one; None where that is unknown."""

    midfiller: bool | None
    endfiller: bool | None


def filler_columns(words: Iterable[Word], language: str | None) -> FillerColumns:
    """The fillers among the words of a clip; unknown without words, or in a language without a table of fillers.

    Fillers with which it ends are not before its last words.
    """
    flags = [word.filler for word in words]
    if not flags or language_code(language) not in PATTERNS:
        return FillerColumns(None, None)
    ends_with_filler = flags[-1]
    while flags and flags[-1]:
        flags.pop()
    return FillerColumns(any(flags), ends_with_filler)
