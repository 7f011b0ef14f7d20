"""Judges the aligned words of one file as a trainer would use them: in order, audible, inside, one at a time.

moshi-finetune finds the words of a window by binary search on their starts, drops those without length, and trains
those past the end of the audio on padding, all without a message; so each of these is an error here. Of two words
that begin in one frame of 80 ms it loses the first.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from dailytalk_contiguous.core.built import MAIN
from dailytalk_contiguous.core.word_frames import frame_of
from dailytalk_contiguous.publish.checking.findings import Finding, advice, error, several
from dailytalk_contiguous.publish.checking.loudness import Loudness
from dailytalk_contiguous.publish.reporting.tag_words import tags_among
from dailytalk_contiguous.publish.rows import TOLERANCE

#: Share of the words without energy above which their times are wrong altogether. A single one is mostly a mumbled
#: word, or one that the recogniser made up.
SILENT_SHARE = 0.05

#: Share of the words that the trainer may lose to another in their frame: above it, their times are wrong as well.
SAME_FRAME_SHARE = 0.05

#: Seconds; no recording lasts so long.
LATEST = 1e9

_AGAIN = "build it again; after edits by hand run `dailytalk speak` and export anew"


class Said(NamedTuple):
    """A word as it stands in a file, in seconds, with its speaker and that speaker's channel."""

    text: str
    start: float
    end: float
    speaker: str
    channel: int


def word_findings(file: str, words: Sequence[Said], loudness: Loudness | None) -> Iterator[Finding]:
    """Yield what is wrong with the words of a file, given in the order in which they stand there.

    Without `loudness` (the audio can't be read) nothing is said of where they lie in it.
    """
    yield from _order_and_text(file, words)
    if loudness is not None:
        yield from _inside(file, words, loudness)
        yield from _energy(file, words, loudness)


def _order_and_text(file: str, words: Sequence[Said]) -> Iterator[Finding]:
    total = len(words)
    backwards = [_named(after) for before, after in pairwise(words) if after.start < before.start]
    if backwards:
        what = several(backwards, "words start before the one in front of them", total)
        yield error("unsorted-words", file, what, "sort them by start: the trainer loses words that are not")
    empty = [_named(word) for word in words if not word.text.strip()]
    if empty:
        yield error("empty-word", file, several(empty, "words have no text", total), _AGAIN)
    short = [_named(word) for word in words if word.end <= word.start]
    if short:
        yield error("zero-length-word", file, several(short, "words have no length", total), _AGAIN)
    overlapping = _overlapping(words)
    if overlapping:
        what = several(overlapping, "words begin before the same speaker's last one ends", total)
        yield error("overlapping-words", file, what, _AGAIN)
    yield from _same_frame(file, [word for word in words if word.speaker == MAIN])
    for speaker in sorted({word.speaker for word in words}):
        tags = tags_among([word.text for word in words if word.speaker == speaker])
        if tags:
            what = several(tags, "words are style tags, which the model would learn to say", total)
            yield error("tag-among-words", file, what, "align the text without tags")


def _overlapping(words: Sequence[Said]) -> list[str]:
    found = []
    for speaker in sorted({word.speaker for word in words}):
        own = sorted((word for word in words if word.speaker == speaker), key=lambda word: (word.start, word.end))
        found += [_named(after) for before, after in pairwise(own) if after.start < before.end - TOLERANCE]
    return found


def _same_frame(file: str, words: Sequence[Said]) -> Iterator[Finding]:
    """Only Moshi's own words: the trainer reads no others."""
    timed = sorted((word for word in words if 0 <= word.start < word.end < LATEST), key=lambda word: word.start)
    lost = [_named(first) for first, after in pairwise(timed) if frame_of(first.start) == frame_of(after.start)]
    if lost:
        what = several(lost, "words begin in the same 80 ms frame as the next, and are lost", len(words))
        say = error if len(lost) > SAME_FRAME_SHARE * len(words) else advice
        yield say("same-frame", file, what, "export it again with `dailytalk export --format moshi`")


def _inside(file: str, words: Sequence[Said], loudness: Loudness) -> Iterator[Finding]:
    outside = [_named(word) for word in words if word.start < 0 or word.end > loudness.seconds + TOLERANCE]
    if outside:
        what = several(outside, f"words lie outside the {loudness.seconds:.2f} s of audio", len(words))
        yield error("word-outside-audio", file, what, _AGAIN)


def _energy(file: str, words: Sequence[Said], loudness: Loudness) -> Iterator[Finding]:
    # A silent channel is a finding of its own, and a word outside the audio too.
    heard = [
        word
        for word in words
        if word.channel < loudness.channels
        and not loudness.is_silent(word.channel)
        and 0 <= word.start < word.end <= loudness.seconds + TOLERANCE
    ]
    silent = [_named(word) for word in heard if not loudness.has_energy(word.start, word.end, word.channel)]
    if silent:
        what = several(silent, "words lie where nothing is heard", len(words))
        say = error if len(silent) > SILENT_SHARE * len(words) else advice
        yield say("silent-word", file, what, "run `dailytalk check --snap-words`, or align it again")


def _named(word: Said) -> str:
    return f'"{word.text}" at {word.start:.2f} s'
