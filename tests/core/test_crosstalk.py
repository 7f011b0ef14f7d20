"""Crosstalk: the other speaker's leaked voice is no speech of this one, and what this one says always is."""

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import soundfile
from audio_files import REAL_CALLS, conversations, example, reference

from dailytalk_contiguous.core.audio import pcm_to_float, to_pcm
from dailytalk_contiguous.core.crosstalk import leakage
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.stages.segment import Segment

Spans = list[tuple[float, float]]


def segmented(samples: np.ndarray, **settings: Any) -> tuple[dict[str, Spans], list[str]]:
    found = Segment(**settings)(conversations(samples.astype(np.float32)))
    rows = list(zip(found["channel"][0], found["start"][0], found["end"][0], strict=True))
    return {
        name: [(start, end) for channel, start, end in rows if channel == name] for name in ("left", "right")
    }, found["notes"][0]


@lru_cache(maxsize=None)
def clean(name: str) -> dict[str, Spans]:
    spans, notes = segmented(example(name))
    assert notes == []
    return spans


def seconds(spans: Spans) -> float:
    return sum(end - start for start, end in spans)


def leaked(samples: np.ndarray, into: int, level_db: float, delay: int = 0) -> np.ndarray:
    mixed = samples.copy()
    source = samples[: len(samples) - delay, 1 - into]
    mixed[delay:, into] += 10 ** (level_db / 20) * source
    return mixed


CASES = [
    ("burnt_dinner", 0, -30, 0),
    ("old_friends", 1, -20, 80),
    pytest.param("bicycle_repair", 0, -20, 0, marks=pytest.mark.nightly),
    pytest.param("weekend_trip", 0, -30, 80, marks=pytest.mark.nightly),
]


@pytest.mark.parametrize(("name", "into", "level_db", "delay"), CASES)
def test_leakage_makes_no_utterances_and_the_note_says_so(
    name: str, into: int, level_db: float, delay: int
) -> None:
    spans, notes = segmented(leaked(example(name), into, level_db, delay))
    for channel in ("left", "right"):
        assert len(spans[channel]) == len(clean(name)[channel])
        # Where the leak runs up to a word, the word begins some frames early.
        assert seconds(spans[channel]) == pytest.approx(seconds(clean(name)[channel]), rel=0.06)
    (note,) = notes
    assert f"leaked into the {('left', 'right')[into]} channel at -" in note
    assert float(note.split(" at ")[1].split(" dB")[0]) == pytest.approx(level_db, abs=2)
    of_the_other = seconds(clean(name)[("right", "left")[into]])
    assert 0.5 < float(note.split(" s of ")[0]) < 1.1 * of_the_other


@pytest.mark.parametrize(("name", "level_db"), [("bicycle_repair", None), ("old_friends", -20)])
def test_a_soft_backchannel_while_the_other_speaks_stays(name: str, level_db: float | None) -> None:
    spoken = [one for one in reference(name) if one["event"] == "backchannel"]
    samples = example(name).copy()
    for one in spoken:
        place = slice(round(one["start"] * 16000) - 800, round(one["end"] * 16000) + 800)
        samples[place, ("left", "right").index(one["channel"])] *= 10 ** (-9 / 20)
    if level_db is not None:
        for into in (0, 1):
            samples = leaked(samples, into, level_db)
    without = segmented(samples, crosstalk=False)[0]
    spans = segmented(samples)[0]
    for one in spoken:
        covering = [
            seconds(
                [
                    (max(start, one["start"]), min(end, one["end"]))
                    for start, end in found[one["channel"]]
                    if start < one["end"] and end > one["start"]
                ]
            )
            for found in (spans, without)
        ]
        assert covering[0] >= 0.7 * covering[1]
        assert covering[1] > 0


@pytest.mark.parametrize("gain_db", [0.0, -4.0])
def test_one_signal_on_both_channels_is_refused_with_the_way_on(gain_db: float) -> None:
    one = example("bicycle_repair")[: 20 * 16000].sum(axis=1)
    with pytest.raises(
        BadInput, match=r"both channels carry the same sound.*call.left.wav.*--channel mix"
    ) as caught:
        segmented(np.stack((one, 10 ** (gain_db / 20) * one), axis=1))
    assert caught.value.row == 0


def test_a_gated_microphone_still_shows_its_leakage() -> None:
    """Digital silence between words must not make the leak under the words look small."""
    samples = leaked(example("old_friends"), 0, -20)
    quiet = np.convolve(np.abs(samples[:, 0]), np.ones(320) / 320, mode="same") < 10 ** (-58 / 20)
    samples[quiet, 0] = 0
    spans, notes = segmented(samples)
    assert len(spans["left"]) == len(clean("old_friends")["left"])
    assert len(notes) == 1


@pytest.mark.needs("the real calls")
def test_in_real_calls_nothing_is_lost_and_a_leak_with_a_tail_is_found() -> None:
    tail = np.random.default_rng(0).standard_normal(320) * np.exp(-np.arange(320) / 80.0)
    tail = (tail / np.sqrt((tail**2).sum())).astype(np.float32)
    for path in REAL_CALLS:
        samples = soundfile.read(path, dtype="float32")[0][: 60 * 8000]
        samples = np.repeat(samples, 2, axis=0)  # 8 kHz; its images are outside of what matters here
        without = segmented(samples, crosstalk=False)
        assert segmented(samples) == without
        leak = 0.1 * np.convolve(samples[:, 0], tail)[: len(samples)]
        samples[:, 1] += leak
        spans = segmented(samples)[0]
        assert len(spans["right"]) == len(without[0]["right"])
        assert seconds(spans["right"]) == pytest.approx(seconds(without[0]["right"]), rel=0.05)


def test_level_of_a_leak_is_known_in_each_frame_and_over_all() -> None:
    """As mean square of full scale, 20 dB under the voice that leaks."""
    samples = example("old_friends").copy()
    samples[:, 1] = 0.001 * np.random.default_rng(0).standard_normal(len(samples))
    mixed = to_pcm(leaked(samples, 1, -20))
    _, leak = leakage(mixed[:, 0], mixed[:, 1])
    assert leak.leak_db == pytest.approx(-20.0, abs=0.5)
    there = leak.predicted()
    source = pcm_to_float(mixed[:, 0])
    assert float(np.mean(there)) == pytest.approx(0.01 * float(np.mean(source**2)), rel=0.15)
