"""Spans: Silero's own segments, and cuts that lose nothing and fall into pauses."""

import math
from itertools import pairwise

import numpy as np
import pytest
import silero_vad
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.audio import to_pcm
from dailytalk_contiguous.core.spans import cut_long, merge_gaps, out_of_step, sounding, speech_spans

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


def test_sides_are_in_step_as_far_as_anybody_can_tell_where_one_of_them_never_pauses() -> None:
    """Whenever the other speaks both do, and no other place would be better."""
    assert out_of_step([(0.0, 100.0)], [(5.0, 30.0), (50.0, 70.0)]) is None


def test_sides_that_would_wait_for_each_other_three_seconds_earlier_are_out_of_step() -> None:
    left, right = [], []
    at = 0.0
    for length, answer in [(3, 7), (6, 2), (1, 4), (8, 5), (2, 9), (5, 1), (7, 3), (4, 6)]:
        left.append((at, at + length))
        right.append((at + length, at + length + answer))
        at += length + answer
    assert out_of_step(left, right) is None
    late = [(start + 3.0, end + 3.0) for start, end in right]
    assert "with the right side 3.0 s earlier" in str(out_of_step(left, late))
    assert out_of_step(left[:4], late[:4]) is None  # eighteen seconds of speech tell too little


@pytest.mark.parametrize("room_db", [-90.0, -50.0])
def test_utterance_sounds_from_its_first_to_its_last_sound_in_any_room(room_db: float) -> None:
    """Speech activity ends late. A room hides some milliseconds of an edge, which are given back."""
    t = np.arange(3 * 16000) / 16000
    voice = np.where((t >= 1.0) & (t < 2.0), 0.1 * np.sin(2 * np.pi * 220 * t), 0.0)
    samples = voice + 10 ** (room_db / 20) * np.random.default_rng(0).standard_normal(len(t))
    ((start, end),) = sounding(to_pcm(samples.astype(np.float32)), [(0.9, 2.5)])
    assert start == pytest.approx(1.0, abs=0.02)
    assert end == pytest.approx(2.0, abs=0.03)
