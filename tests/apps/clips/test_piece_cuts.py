"""Pieces of a recording: laid end to end they are the recording, and each is within the limits or says why not."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.apps.clips.silences import SILENT_PIECE, CutRule, cut_recording

RATE, HOP = 1000, 10


def silences(*seconds: tuple[float, float]) -> np.ndarray:
    return np.array([[round(start * RATE), round(end * RATE)] for start, end in seconds], np.int64).reshape(-1, 2)


def cut(length: float, rule: CutRule, *where: tuple[float, float]) -> list[tuple[float, str]]:
    """Where each piece ends in seconds, and why."""
    powers = np.ones(-(-round(length * RATE) // HOP), np.float32)
    pieces = cut_recording(round(length * RATE), RATE, silences(*where), rule, powers, HOP)
    return [(piece.end / RATE, piece.cut) for piece in pieces]


@st.composite
def recordings(draw: st.DrawFn) -> tuple[int, np.ndarray]:
    """A length in samples and silences of whole frames in it, any of which may touch an edge."""
    lengths = draw(st.lists(st.integers(1, 900), max_size=60))
    edges = np.cumsum(lengths) * HOP
    starts_silent = draw(st.booleans())
    spans = [(start, end) for start, end in pairwise([0, *edges])][not starts_silent :: 2]
    return int(edges[-1]) if len(edges) else 0, np.array(
        [span for span in spans if span[1] - span[0] >= 50], np.int64
    ).reshape(-1, 2)


rules = st.builds(
    CutRule,
    silence=st.sampled_from([0.05, 0.3, 0.8, 2.0]),
    shortest=st.sampled_from([0.0, 0.6, 1.5]),
    longest=st.sampled_from([1.5, 3.0, 11.0]),
    force=st.booleans(),
    merge_short=st.booleans(),
)


@given(recordings(), rules, st.integers(0, 5))
def test_any_pattern_of_silences_splits_losslessly_and_within_limits(
    recording: tuple[int, np.ndarray], rule: CutRule, seed: int
) -> None:
    length, spans = recording
    powers = np.random.default_rng(seed).random(-(-length // HOP)).astype(np.float32)
    pieces = cut_recording(length, RATE, spans, rule, powers, HOP)
    assert [piece.start for piece in pieces] == [0, *(piece.end for piece in pieces[:-1])][: len(pieces)]
    assert (pieces[-1].end if pieces else 0) == length
    assert all(piece.end > piece.start for piece in pieces)
    within = [rule.shortest * RATE <= piece.end - piece.start <= rule.longest * RATE for piece in pieces]
    assert all(fits or piece.reason for fits, piece in zip(within, pieces, strict=True))
    unusable = [piece for fits, piece in zip(within, pieces, strict=True) if fits and piece.reason]
    assert {piece.reason for piece in unusable} <= {SILENT_PIECE}
    if rule.force:
        assert all(piece.end - piece.start <= rule.longest * RATE for piece in pieces)


@given(recordings(), rules)
def test_every_silence_as_long_as_asked_for_is_cut_at_its_midpoint(
    recording: tuple[int, np.ndarray], rule: CutRule
) -> None:
    length, spans = recording
    if rule.merge_short:
        rule = CutRule(rule.silence, rule.shortest, rule.longest, rule.force)
    ends = {piece.end for piece in cut_recording(length, RATE, spans, rule)}
    assert {int(start + end) // 2 for start, end in spans if end - start >= rule.silence * RATE} <= ends


def test_piece_that_is_too_long_is_cut_near_its_middle_at_silences_half_as_long() -> None:
    pauses = [(2.0, 2.5), (7.0, 7.5), (11.0, 11.3)]
    assert cut(14.0, CutRule(), *pauses) == [(7.25, "halved"), (14.0, "end")]


def test_short_piece_is_joined_to_the_neighbour_with_room_across_the_lesser_cut() -> None:
    pauses = [(3.0, 4.0), (4.2, 5.2), (9.0, 10.0)]
    kept = cut_recording(12 * RATE, RATE, silences(*pauses), CutRule(shortest=1.5))
    assert [piece.reason is None for piece in kept] == [True, False, True, True]
    joined = cut_recording(12 * RATE, RATE, silences(*pauses), CutRule(shortest=1.5, merge_short=True))
    assert [(piece.start, piece.end, piece.reason) for piece in joined] == [
        (0, 4700, None),
        (4700, 9500, None),
        (9500, 12000, None),
    ]
