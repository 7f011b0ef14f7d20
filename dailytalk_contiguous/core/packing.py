"""Several utterances in one window of the recogniser, and every word back to its utterance.

Whisper always encodes 30 s, and on a CPU that is most of its time, whether the window holds a second of speech
or twenty-nine. So utterances of one speaker are laid into windows in the order in which they were said, with a
little silence between them. A short utterance gets its context for free.
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

#: Seconds that a window may hold: under Whisper's 30, whose last second it tends to leave out.
WINDOW_SECONDS = 29.0

#: Seconds of silence between utterances: enough for a recogniser to hear two sentences and not one.
GAP_SECONDS = 0.5

#: Seconds. No word is shorter: some consumers drop a word that has no length.
SHORTEST_WORD = 0.001


class Placed(NamedTuple):
    """Utterance number `utterance` of a batch, which lies at `start`..`end` seconds of its window."""

    utterance: int
    start: float
    end: float


class Word(NamedTuple):
    """A word as a recogniser gives it, spaces and all, with times in seconds and its probability in [0, 1].

    None where a recogniser gives none.
    """

    text: str
    start: float
    end: float
    probability: float | None


def pack(
    seconds: Sequence[float],
    speakers: Sequence[Hashable],
    window: float = WINDOW_SECONDS,
    gap: float = GAP_SECONDS,
) -> list[list[Placed]]:
    """Lay utterances into windows: one speaker a window, in the order given, each utterance in just one.

    Args:
        seconds: length of each utterance. One that is longer than the window gets a window of its own.
        speakers: of each utterance; equal values may share a window.
        window: seconds at most. 0 gives each utterance a window of its own.
        gap: seconds of silence between utterances.
    """
    open_windows: dict[Hashable, list[Placed]] = {}
    windows: list[list[Placed]] = []
    for index, (length, speaker) in enumerate(zip(seconds, speakers, strict=True)):
        current = open_windows.get(speaker)
        if current is None or current[-1].end + gap + length > window:
            current = open_windows[speaker] = []
            windows.append(current)
        start = current[-1].end + gap if current else 0.0
        current.append(Placed(index, start, start + length))
    return windows


def unpack(words: Sequence[Word], window: Sequence[Placed]) -> dict[int, list[Word]]:
    """Give every word to the utterance that holds its midpoint, or else to the nearest one.

    Returns the words of each utterance of the window, by its index, in seconds from the utterance's start,
    sorted, inside it, without overlap and of positive length.
    """
    found: dict[int, list[Word]] = {placed.utterance: [] for placed in window}
    for word in words:
        middle = (word.start + word.end) / 2
        nearest = min(window, key=lambda placed: max(placed.start - middle, middle - placed.end, 0.0))
        found[nearest.utterance].append(
            word._replace(start=word.start - nearest.start, end=word.end - nearest.start)
        )
    lengths = {placed.utterance: placed.end - placed.start for placed in window}
    return {index: fit(given, lengths[index]) for index, given in found.items()}


def fit(words: Sequence[Word], length: float) -> list[Word]:
    """Words in order of start, pushed into 0..`length` seconds, without overlap and of positive length.

    A word keeps its times where they fit. Where two overlap, the earlier one ends where the later one begins;
    where too little is left, each that follows is given at least `SHORTEST_WORD`.
    """
    ordered = sorted(words, key=lambda word: (word.start, word.end))
    shortest = min(SHORTEST_WORD, length / max(1, len(ordered)))
    fitted: list[Word] = []
    at = 0.0
    for index, word in enumerate(ordered):
        room_after = shortest * (len(ordered) - index - 1)
        latest_end = length - room_after
        start = max(at, min(word.start, latest_end - shortest))
        following = ordered[index + 1].start if index + 1 < len(ordered) else latest_end
        end = min(max(min(word.end, max(following, start + shortest)), start + shortest), latest_end)
        fitted.append(word._replace(start=start, end=end))
        at = end
    return fitted
