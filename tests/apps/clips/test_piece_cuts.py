"""Pieces of a recording: laid end to end they are the recording, and each is within the limits or says why not."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.apps.clips.silences import SILENT_PIECE, CutAtSilences

RATE = 1000
HOP = 10


def silences(*seconds: tuple[float, float]) -> np.ndarray:
    spans = np.array(seconds).reshape(-1, 2)
    return np.round(spans * RATE).astype(np.int64)


def cut(length: float, rule: CutAtSilences, *where: tuple[float, float]) -> list[tuple[float, str]]:
    """Where each piece ends in seconds, and why."""
    pieces = rule.cut(round(length * RATE), RATE, silences(*where))
    return [(piece.end / RATE, piece.cut) for piece in pieces]


@st.composite
def recordings(draw: st.DrawFn) -> tuple[int, np.ndarray]:
    """A length in samples and silences of whole frames in it, any of which may touch an edge."""
    lengths = draw(st.lists(st.integers(1, 900), max_size=60))
    edges = np.cumsum(lengths) * HOP
    starts_silent = draw(st.booleans())
    first = 0 if starts_silent else 1
    spans = list(pairwise([0, *edges]))[first::2]
    silent = [(start, end) for start, end in spans if end - start >= 50]
    length = int(edges[-1]) if lengths else 0
    return length, np.array(silent, np.int64).reshape(-1, 2)


rules = st.builds(
    CutAtSilences,
    silence_seconds=st.sampled_from([0.05, 0.3, 0.8, 2.0]),
    shortest_seconds=st.sampled_from([0.0, 0.6, 1.5]),
    longest_seconds=st.sampled_from([1.5, 3.0, 11.0]),
)


@given(recordings(), rules)
def test_any_pattern_of_silences_splits_losslessly_and_within_limits(
    recording: tuple[int, np.ndarray], rule: CutAtSilences
) -> None:
    length, spans = recording
    end = 0
    for piece in rule.cut(length, RATE, spans):
        assert piece.start == end
        assert piece.end > piece.start
        end = piece.end
        n_samples = piece.end - piece.start
        if rule.shortest_seconds * RATE <= n_samples <= rule.longest_seconds * RATE:
            assert piece.reason in (None, SILENT_PIECE)
        else:
            assert piece.reason
    assert end == length


@given(recordings(), rules)
def test_every_silence_as_long_as_asked_for_is_cut_at_its_midpoint(
    recording: tuple[int, np.ndarray], rule: CutAtSilences
) -> None:
    length, spans = recording
    ends = {piece.end for piece in rule.cut(length, RATE, spans)}
    for start, end in spans:
        if end - start >= rule.silence_seconds * RATE:
            assert int(start + end) // 2 in ends


def test_piece_that_is_too_long_is_cut_near_its_middle_at_silences_half_as_long() -> None:
    pauses = [(2.0, 2.5), (7.0, 7.5), (11.0, 11.3)]
    assert cut(14.0, CutAtSilences(), *pauses) == [(7.25, "halved"), (14.0, "end")]
