"""Spans: Silero's own segments, and cuts that lose nothing and fall into pauses."""

import math
from itertools import pairwise

import numpy as np
import pytest
import silero_vad
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.sound.cutting import cut_long
from dailytalk_contiguous.core.sound.samples import to_pcm
from dailytalk_contiguous.core.sound.sound_edges import sounding
from dailytalk_contiguous.core.sound.speech_runs import speech_spans
from dailytalk_contiguous.core.spans import merge_gaps
from dailytalk_contiguous.core.turns.synchrony import out_of_step

FRAME = 0.032

Spans = list[tuple[float, float]]

#: Runs of probabilities, so that hysteresis and merging have something to do.
RUN = st.tuples(st.sampled_from([0.0, 0.2, 0.36, 0.4, 0.49, 0.5, 0.9]), st.integers(1, 25))


def by_frame(runs: list[tuple[float, int]]) -> np.ndarray:
    """The probability of each frame of runs of a probability and a number of frames."""
    values = [probability for probability, _ in runs]
    counts = [count for _, count in runs]
    return np.repeat(values, counts).astype(np.float32)


probabilities = st.lists(RUN, max_size=40).map(by_frame)


def silero_spans(segments: list[dict[str, int]], gap: float) -> Spans:
    spans = []
    for segment in segments:
        start = segment["start"] / 16000
        end = segment["end"] / 16000
        spans.append((start, end))
    return merge_gaps(spans, gap)


@given(probabilities, st.integers(0, 511))
def test_speech_is_what_silero_makes_of_any_probabilities(speech: np.ndarray, short: int) -> None:
    n_samples = max(0, len(speech) * 512 - short)
    theirs = silero_vad.utils_vad.get_speech_timestamps_from_probs(
        speech.tolist(), min_silence_duration_ms=350, audio_length_samples=n_samples
    )
    ours = speech_spans(speech, n_samples / 16000, FRAME)
    # Silero halves the space between two runs in whole samples.
    expected = silero_spans(theirs, 0.35)
    np.testing.assert_allclose(ours, expected, atol=2 / 16000)


def test_a_short_backchannel_stays_and_a_click_does_not() -> None:
    speech = np.zeros(200, np.float32)
    speech[20:29] = 0.9  # 0.29 s
    speech[100:107] = 0.9  # 0.22 s
    backchannel = (20 * FRAME - 0.03, 29 * FRAME + 0.03)
    (span,) = speech_spans(speech, 6.4, FRAME)
    assert span == pytest.approx(backchannel)


GAP = st.floats(0.01, 5.0)
LENGTH = st.floats(0.3, 60.0)


def in_milliseconds(parts: Spans) -> Spans:
    return [(round(gap, 3), round(length, 3)) for gap, length in parts]


parts_of_any_length = st.lists(st.tuples(GAP, LENGTH), min_size=1, max_size=5)


@given(parts_of_any_length.map(in_milliseconds), st.floats(1.0, 15.0), st.integers(0, 2**32 - 1))
def test_pieces_cover_their_span_and_none_is_too_long(
    parts: list[tuple[float, float]], longest: float, seed: int
) -> None:
    spans = []
    end = 0.0
    for gap, length in parts:
        start = end + gap
        spans.append((start, start + length))
        end += gap + length
    n_frames = math.ceil(end / FRAME) + 1
    generator = np.random.default_rng(seed)
    levels = generator.random(n_frames).astype(np.float32)
    pieces = cut_long(spans, levels, FRAME, longest)
    for run, (start, end) in enumerate(spans):
        parts_of_run = [piece for piece in pieces if piece.run == run]
        lengths = [piece.end - piece.start for piece in parts_of_run]
        assert parts_of_run[0].start == start
        assert parts_of_run[-1].end == end
        for before, after in pairwise(parts_of_run):
            assert before.end == after.start
        assert min(lengths) > 0
        assert max(lengths) <= longest + 1e-9
        if end - start <= longest:
            assert len(parts_of_run) == 1
        else:
            assert min(lengths) >= 0.25 * longest - 1e-9
    assert pieces == sorted(pieces)


@given(st.floats(6.5, 11.5), st.floats(0.2, 0.6))
def test_a_cut_falls_into_the_pause(pause: float, length: float) -> None:
    n_frames = math.ceil(18 / FRAME)
    levels = np.full(n_frames, 0.01, np.float32)
    first_frame = round(pause / FRAME)
    last_frame = round((pause + length) / FRAME)
    levels[first_frame:last_frame] = 1e-6
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
