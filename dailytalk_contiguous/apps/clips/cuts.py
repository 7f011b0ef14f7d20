"""Cutting a recording into pieces at its silences, so that every sample is in exactly one of them.

Pieces that a model can't be trained on (too long, too short, silent) are marked with the reason and never dropped:
laid end to end, all pieces are the recording. Positions are samples of the source and not seconds, so that this
holds at any rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.spans import cut_long

#: Seconds of the shortest silence in which a piece that is too long is cut: stop consonants close for as long.
SHORTEST_SILENCE = 0.05

#: Reasons for the end of a piece: a silence of `CutRule.silence` or longer, a shorter one because it would be too
#: long, its quietest point, or the end of the recording.
CUTS = SILENCE, HALVED, FORCED, END = ("silence", "halved", "forced", "end")

#: The reason of a piece without audible sound.
SILENT_PIECE = "it is silent"

#: Starts and ends of silences in samples, in order and apart from each other, shape (n, 2).
Silences = NDArray[np.int64]


@dataclass(frozen=True)
class CutRule:
    """The silences at which a recording is cut, and the pieces that can be used.

    Raises DailytalkError if no piece could be within the limits.
    """

    silence: float = setting(
        0.8, "Cut at the midpoint of silences of at least so long.", panel="result", unit="s", least=0.05
    )
    shortest: float = setting(
        0.6, "Shorter pieces are Non Usable.", option="min", panel="result", unit="s", least=0.0
    )
    longest: float = setting(
        11.0,
        "Longer pieces are cut again, at silences half as long, down to 50 ms.",
        option="max",
        panel="result",
        unit="s",
        least=0.5,
    )
    force: bool = setting(
        False, "Cut what is still too long at its quietest point, inside speech, too.", panel="result"
    )
    merge_short: bool = setting(
        False, "Join a piece that is too short to a neighbour, if both stay within --max.", panel="result"
    )

    def __post_init__(self) -> None:
        if self.shortest > self.longest:
            raise DailytalkError(
                f"--min {self.shortest:g} is longer than --max {self.longest:g}", "give a --min under --max"
            )


class CutPiece(NamedTuple):
    """A part of a recording, from sample `start` up to `end`, and why it ends there (one of `CUTS`).

    `reason` says why it can't be used; None if it can.
    """

    start: int
    end: int
    reason: str | None
    cut: str


class _Part(NamedTuple):
    start: int
    end: int
    cut: str

    @property
    def length(self) -> int:
        return self.end - self.start


def cut_recording(
    n_samples: int,
    sample_rate: int,
    silences: Silences,
    rule: CutRule,
    powers: NDArray[np.float32] | None = None,
    hop: int = 1,
) -> list[CutPiece]:
    """The pieces of a recording, in order, without a gap and without overlap.

    A piece that is too long is cut again in one of its silences that are half as long as `rule.silence`, of
    several in the one nearest to its middle that leaves no piece too short, so that few cuts are made; then in one
    of a quarter, and so on down to `SHORTEST_SILENCE`. Silence at the edge of a piece (the half of a long one, or
    the beginning of the recording) is cut again if it is as long as `rule.silence`.

    Args:
        n_samples: of the recording. sample_rate: Hz.
        silences: those of at least `SHORTEST_SILENCE`.
        rule: where to cut.
        powers: mean square of each `hop` samples, shape (ceil(n_samples / hop),), in which `rule.force` finds
            quiet points; None if nothing is forced.
    """
    silences = np.asarray(silences, np.int64).reshape(-1, 2)
    least, longest = round(rule.silence * sample_rate), round(rule.longest * sample_rate)
    long_enough = silences[silences[:, 1] - silences[:, 0] >= least]
    middles = [int(middle) for middle in long_enough.sum(axis=1) // 2 if 0 < middle < n_samples]
    edges = [0, *middles, n_samples] if n_samples else []
    parts = [_Part(start, end, SILENCE) for start, end in pairwise(edges)]
    parts = [piece for part in parts for piece in _halved(part, silences, rule, sample_rate)]
    if rule.force and powers is not None:
        parts = [piece for part in parts for piece in _forced(part, powers, hop, longest, sample_rate)]
    if parts:
        parts[-1] = parts[-1]._replace(cut=END)
    if rule.merge_short:
        parts = _merged(parts, round(rule.shortest * sample_rate), longest)
    return [CutPiece(part.start, part.end, _reason(part, silences, sample_rate, rule), part.cut) for part in parts]


def _halved(part: _Part, silences: Silences, rule: CutRule, sample_rate: int) -> list[_Part]:
    """A part cut in ever shorter silences until it is short enough, or has none."""
    least, longest = round(rule.silence * sample_rate), round(rule.longest * sample_rate)
    shortest = round(SHORTEST_SILENCE * sample_rate)
    done: list[_Part] = []
    waiting = [(part, least)]
    while waiting:
        part, wanted = waiting.pop()
        if part.length <= longest:
            done.append(part)
            continue
        inside = _inside(part, silences)
        lengths, middles = inside[:, 1] - inside[:, 0], inside.sum(axis=1) // 2
        at_edge = (inside[:, 0] == part.start) | (inside[:, 1] == part.end)
        usable = np.minimum(middles - part.start, part.end - middles) >= round(rule.shortest * sample_rate)
        allowed = (middles > part.start) & (middles < part.end) & np.where(at_edge, lengths >= least, usable)
        while not (fitting := allowed & (lengths >= wanted)).any() and wanted > shortest:
            wanted = max(wanted // 2, shortest)
        if not fitting.any():  # rather a piece that is too short than one that is too long
            fitting = ~at_edge
        if not fitting.any():
            done.append(part)
            continue
        middles = middles[fitting]
        middle = int(middles[np.argmin(np.abs(2 * middles - part.start - part.end))])
        first = _Part(part.start, middle, SILENCE if wanted >= least else HALVED)
        waiting += [(_Part(middle, part.end, part.cut), wanted), (first, wanted)]
    return done


def _inside(part: _Part, silences: Silences) -> Silences:
    first = int(np.searchsorted(silences[:, 1], part.start, side="right"))
    last = int(np.searchsorted(silences[:, 0], part.end, side="left"))
    return np.clip(silences[first:last], part.start, part.end)


def _forced(part: _Part, powers: NDArray[np.float32], hop: int, longest: int, sample_rate: int) -> list[_Part]:
    if part.length <= longest:
        return [part]
    first = part.start // hop
    # Shorter by two frames than allowed: a cut is put on whole frames of the recording.
    frames = powers[first : -(-part.end // hop)]
    seconds = hop / sample_rate
    pieces = cut_long([(0.0, len(frames) * seconds)], frames, seconds, longest / sample_rate - 3 * seconds)
    edges = [round((first + piece.end / seconds) * hop) for piece in pieces[:-1]]
    edges = [part.start, *(edge for edge in edges if part.start < edge < part.end), part.end]
    return [_Part(start, end, part.cut if end == part.end else FORCED) for start, end in pairwise(edges)]


def _merged(parts: Sequence[_Part], shortest: int, longest: int) -> list[_Part]:
    """Parts, with those that are too short joined to a neighbour, preferably not across a `SILENCE`."""
    merged = list(parts)
    index = 0
    while index < len(merged):
        part = merged[index]
        sides = [
            (merged[left].cut == SILENCE, merged[left].length + merged[left + 1].length, left)
            for left in (index - 1, index)
            if 0 <= left < len(merged) - 1
        ]
        fitting = [side for side in sides if side[1] <= longest]
        if part.length >= shortest or not fitting:
            index += 1
            continue
        left = min(fitting)[2]
        merged[left : left + 2] = [_Part(merged[left].start, merged[left + 1].end, merged[left + 1].cut)]
        index = left  # it may still be too short
    return merged


def _reason(part: _Part, silences: Silences, sample_rate: int, rule: CutRule) -> str | None:
    inside = _inside(part, silences)
    if len(inside) == 1 and tuple(inside[0]) == (part.start, part.end):
        return SILENT_PIECE
    seconds = part.length / sample_rate
    if part.length < round(rule.shortest * sample_rate):
        return f"it is {seconds:.2f} s long (at least {rule.shortest:g} s)"
    if part.length > round(rule.longest * sample_rate):
        return f"it is {seconds:.2f} s long (at most {rule.longest:g} s), without a silence to cut it in"
    return None
