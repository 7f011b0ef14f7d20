"""Spans: Silero's own segments, and cuts that lose nothing and fall into pauses."""

import math
from itertools import pairwise

import numpy as np
import pytest
import silero_vad
from figures import figures
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.spans import cut_long, frame_levels, merge_gaps, speech_seconds, speech_spans

FRAME = 0.032

#: Runs of probabilities, so that hysteresis and merging have something to do.
probabilities = st.lists(
    st.tuples(st.sampled_from([0.0, 0.2, 0.36, 0.4, 0.49, 0.5, 0.9]), st.integers(1, 25)), max_size=40
).map(lambda runs: np.repeat([p for p, _ in runs], [n for _, n in runs]).astype(np.float32))


def silero_spans(found: list[dict[str, int]], gap: float) -> list[tuple[float, float]]:
    return merge_gaps([(one["start"] / 16000, one["end"] / 16000) for one in found], gap)


@given(probabilities, st.integers(0, 511))
def test_speech_is_what_silero_makes_of_any_probabilities(found: np.ndarray, short: int) -> None:
    n_samples = max(0, len(found) * 512 - short)
    theirs = silero_vad.utils_vad.get_speech_timestamps_from_probs(
        found.tolist(), min_silence_duration_ms=350, audio_length_samples=n_samples
    )
    ours = speech_spans(found, n_samples / 16000, FRAME)
    # Silero halves the space between two runs in whole samples.
    np.testing.assert_allclose(ours, silero_spans(theirs, 0.35), atol=2 / 16000)


def test_a_short_backchannel_stays_and_a_click_does_not() -> None:
    found = np.zeros(200, np.float32)
    found[20:29] = 0.9  # 0.29 s
    found[100:107] = 0.9  # 0.22 s
    assert speech_spans(found, 6.4, FRAME) == [pytest.approx((20 * FRAME - 0.03, 29 * FRAME + 0.03))]


spans_of_any_length = st.lists(st.tuples(st.floats(0.01, 5.0), st.floats(0.3, 60.0)), min_size=1, max_size=5).map(
    lambda parts: [(round(gap, 3), round(length, 3)) for gap, length in parts]
)


@given(spans_of_any_length, st.floats(1.0, 15.0), st.integers(0, 2**32 - 1))
def test_pieces_cover_their_span_and_none_is_too_long(
    parts: list[tuple[float, float]], longest: float, seed: int
) -> None:
    spans, at = [], 0.0
    for gap, length in parts:
        spans.append((at + gap, at + gap + length))
        at += gap + length
    levels = np.random.default_rng(seed).random(math.ceil(at / FRAME) + 1).astype(np.float32)
    pieces = cut_long(spans, levels, FRAME, longest)
    for run, span in enumerate(spans):
        own = [piece for piece in pieces if piece.run == run]
        assert (own[0].start, own[-1].end) == span
        assert all(before.end == after.start for before, after in pairwise(own))
        assert all(0 < piece.end - piece.start <= longest + 1e-9 for piece in own)
        if span[1] - span[0] <= longest:
            assert len(own) == 1
        else:
            assert all(piece.end - piece.start >= 0.25 * longest - 1e-9 for piece in own)
    assert pieces == sorted(pieces)


@given(st.floats(6.5, 11.5), st.floats(0.2, 0.6))
def test_a_cut_falls_into_the_pause(pause: float, length: float) -> None:
    levels = np.full(math.ceil(18 / FRAME), 0.01, np.float32)
    levels[round(pause / FRAME) : round((pause + length) / FRAME)] = 1e-6
    levels[::7] *= 0.1  # stop consonants: as quiet as half the pause, but short
    first, second = cut_long([(0.0, 18.0)], levels, FRAME)
    assert first.run == second.run == 0
    assert pause - FRAME <= first.end <= pause + length + FRAME


def test_levels_are_mean_squares_of_frames_with_the_last_one_padded() -> None:
    assert frame_levels(np.array([1, -1, 0.5, 0.5, 2], np.float32), 2).tolist() == [1.0, 0.25, 2.0]
    assert frame_levels(np.zeros(0, np.float32), 2).tolist() == []


def test_span_without_levels_is_cut_in_its_middle() -> None:
    first, second = cut_long([(1.0, 19.0)], np.zeros(1, np.float32), FRAME)
    assert (first.start, first.end, second.end) == (1.0, pytest.approx(10.0), 19.0)


def drawn_probabilities() -> np.ndarray:
    chance = np.random.default_rng(3)
    steps = np.repeat(chance.random(160), chance.integers(1, 30, 160))
    return np.clip(steps + 0.1 * chance.standard_normal(len(steps)), 0, 1).astype(np.float32)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [56, 93335.492544, 2294.2168, 2821.2954466]),
        (
            {"threshold": 0.3, "min_speech": 0.0, "min_silence": 0.1, "pad": 0.1},
            [40, 74752.479956, 1754.6682308, 2137.7036006],
        ),
        ({"threshold": 0.12, "min_silence": 0.0}, [36, 72188.809328, 1627.8621714, 1985.4482139]),
        ({"threshold": 0.9, "min_speech": 0.5, "pad": 0.0}, [22, 50179.380836, 1071.0623333, 1302.084983]),
    ],
)
def test_speech_is_where_it_was_in_the_version_before(settings: dict[str, float], expected: list[float]) -> None:
    found = drawn_probabilities()
    spans = speech_spans(found, len(found) * FRAME - 0.01, FRAME, **settings)
    assert figures(spans) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("longest", "expected"),
    [
        (12.0, [27, 33552.332656, 793.87061538, 952.01389941]),
        (3.0, [111, 142672.87934, 3348.9764727, 4041.7340572]),
        (0.7, [435, 562727.54002, 13169.783724, 15927.634516]),
    ],
)
def test_cuts_are_where_they_were_in_the_version_before(longest: float, expected: list[float]) -> None:
    levels = np.random.default_rng(4).random(2400).astype(np.float32)
    pieces = cut_long([(0.3, 12.3), (13.0, 26.5), (27.0, 75.0)], levels, FRAME, longest)
    assert figures(pieces) == pytest.approx(expected, rel=1e-9)


def test_gap_of_just_the_limit_is_closed_and_one_inside_another_changes_nothing() -> None:
    assert merge_gaps([(0.0, 4.0), (1.0, 2.0), (4.5, 5.0), (5.75, 6.0)], 0.5) == [(0.0, 5.0), (5.75, 6.0)]


def test_speech_of_part_of_a_frame_is_its_frames_and_the_threshold_is_speech() -> None:
    found = np.array([0.5, 0.49, 0.5, 0.9, 0.1], np.float32)
    assert speech_seconds((0.5, 3.5), found, 1.0) == 3.0
    assert speech_seconds((1.0, 2.0), found, 1.0) == 1.0
    assert speech_seconds((1.2, 1.2), found, 1.0) == 0.0
    assert speech_seconds((3.0, 5.0), found, 1.0) == 1.0
    assert speech_seconds((0.0, 5.0), found, 1.0, 0.6) == 1.0


def test_run_of_just_the_least_is_no_speech_and_a_probability_at_the_lower_threshold_ends_none() -> None:
    def spans(*probabilities: float) -> list[tuple[float, float]]:
        found = np.array(probabilities, np.float32)
        return speech_spans(found, len(found) * 0.25, 0.25, 0.65, min_speech=0.5, min_silence=0.5, pad=0.0)

    assert spans(0.9, 0.9, 0.0, 0.0, 0.0) == []
    assert spans(0.9, 0.9, 0.9, 0.0, 0.0, 0.0) == [(0.0, 0.75)]
    assert spans(0.0, 0.9, 0.9, 0.5, 0.5, 0.5, 0.5, 0.9) == [(0.25, 2.0)]
    assert spans(0.0, 0.9, 0.9, 0.9, 0.49, 0.49, 0.49, 0.49, 0.9, 0.9, 0.9) == [(0.25, 1.0), (2.0, 2.75)]


def test_span_of_just_the_longest_is_one_piece() -> None:
    levels = np.ones(round(13 / FRAME), np.float32)
    assert cut_long([(0.0, 12.0)], levels, FRAME, 12.0) == [(0.0, 12.0, 0)]
    assert len(cut_long([(0.0, 12.01)], levels, FRAME, 12.0)) == 2
