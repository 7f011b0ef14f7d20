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
SILENCE, HALVED, FORCED, END = ("silence", "halved", "forced", "end")

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
    """A part of a recording, from sample `start` up to `end`, and why it ends there (`SILENCE`, …).

    `reason` says why it can't be used; None if it can.
    """

    start: int
    end: int
    reason: str | None
    cut: str

    @property
    def length(self) -> int:
        return self.end - self.start


class _Limits(NamedTuple):
    """The seconds of a rule as samples."""

    silence: int
    shortest: int
    longest: int
    least: int


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
    seconds = (rule.silence, rule.shortest, rule.longest, SHORTEST_SILENCE)
    limits = _Limits(*(round(value * sample_rate) for value in seconds))
    silences = np.asarray(silences, np.int64).reshape(-1, 2)
    long_enough = silences[silences[:, 1] - silences[:, 0] >= limits.silence]
    middles = [int(middle) for middle in long_enough.sum(axis=1) // 2 if 0 < middle < n_samples]
    edges = [0, *middles, n_samples] if n_samples else []
    whole = [CutPiece(start, end, None, SILENCE) for start, end in pairwise(edges)]
    pieces = [piece for part in whole for piece in _halved(part, silences, limits)]
    if rule.force and powers is not None:
        pieces = [part for piece in pieces for part in _forced(piece, powers, hop, limits.longest, sample_rate)]
    if pieces:
        pieces[-1] = pieces[-1]._replace(cut=END)
    if rule.merge_short:
        pieces = _merged(pieces, limits)
    return [piece._replace(reason=_reason(piece, silences, limits, rule, sample_rate)) for piece in pieces]


def _halved(piece: CutPiece, silences: Silences, limits: _Limits) -> list[CutPiece]:
    """A piece cut in ever shorter silences until it is short enough, or has none."""
    done: list[CutPiece] = []
    waiting = [(piece, limits.silence)]
    while waiting:
        piece, wanted = waiting.pop()
        inside = _inside(piece, silences) if piece.length > limits.longest else silences[:0]
        lengths, middles = inside[:, 1] - inside[:, 0], inside.sum(axis=1) // 2
        at_edge = (inside[:, 0] == piece.start) | (inside[:, 1] == piece.end)
        fits = np.minimum(middles - piece.start, piece.end - middles) >= np.maximum(limits.shortest, 1)
        allowed = np.where(at_edge, lengths >= max(limits.silence, 2), fits)
        while not (fitting := allowed & (lengths >= wanted)).any() and wanted > limits.least:
            wanted = max(wanted // 2, limits.least)
        if not fitting.any():  # rather a piece that is too short than one that is too long
            fitting = ~at_edge
        if not fitting.any():
            done.append(piece)
            continue
        middles = middles[fitting]
        middle = int(middles[np.argmin(np.abs(2 * middles - piece.start - piece.end))])
        first = piece._replace(end=middle, cut=SILENCE if wanted >= limits.silence else HALVED)
        waiting += [(piece._replace(start=middle), wanted), (first, wanted)]
    return done


def _inside(piece: CutPiece, silences: Silences) -> Silences:
    first = int(np.searchsorted(silences[:, 1], piece.start, side="right"))
    last = int(np.searchsorted(silences[:, 0], piece.end, side="left"))
    return np.clip(silences[first:last], piece.start, piece.end)


def _forced(
    piece: CutPiece, powers: NDArray[np.float32], hop: int, longest: int, sample_rate: int
) -> list[CutPiece]:
    if piece.length <= longest:
        return [piece]
    first, seconds = piece.start // hop, hop / sample_rate
    # Shorter by some frames than allowed: a cut is put on whole frames of the recording.
    frames = powers[first : -(-piece.end // hop)]
    spans = cut_long([(0.0, len(frames) * seconds)], frames, seconds, longest / sample_rate - 3 * seconds)
    cuts = [round((first + span.end / seconds) * hop) for span in spans[:-1]]
    edges = [piece.start, *(cut for cut in cuts if piece.start < cut < piece.end), piece.end]
    parts = [CutPiece(start, end, None, FORCED) for start, end in pairwise(edges)]
    return [*parts[:-1], parts[-1]._replace(cut=piece.cut)]


def _merged(pieces: Sequence[CutPiece], limits: _Limits) -> list[CutPiece]:
    """Pieces, with those that are too short joined to a neighbour, preferably not across a `SILENCE`."""
    merged, index = list(pieces), 0
    while index < len(merged):
        sides = [
            (merged[left].cut == SILENCE, merged[left + 1].end - merged[left].start, left)
            for left in (index - 1, index)
            if 0 <= left < len(merged) - 1
        ]
        fitting = [side for side in sides if side[1] <= limits.longest]
        if merged[index].length >= limits.shortest or not fitting:
            index += 1
            continue
        index = min(fitting)[2]  # it may still be too short
        merged[index : index + 2] = [merged[index + 1]._replace(start=merged[index].start)]
    return merged


def _reason(piece: CutPiece, silences: Silences, limits: _Limits, rule: CutRule, sample_rate: int) -> str | None:
    if _inside(piece, silences).tolist() == [[piece.start, piece.end]]:
        return SILENT_PIECE
    seconds = f"it is {piece.length / sample_rate:.2f} s long"
    if piece.length < limits.shortest:
        return f"{seconds} (at least {rule.shortest:g} s)"
    if piece.length > limits.longest:
        return f"{seconds} (at most {rule.longest:g} s), without a silence to cut it in"
    return None
