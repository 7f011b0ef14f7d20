import itertools
import math
from collections.abc import Iterable

import librosa
import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dailytalk_contiguous.core.delivery import (
    HOP_SECONDS,
    Delivery,
    Ending,
    Performance,
    Register,
    compare_delivery,
    compare_endings,
    measure_ending,
    performance_of,
    register_of,
    warp,
)
from dailytalk_contiguous.core.takes import Gate, trim
from dailytalk_contiguous.models.contracts import Line, VoiceSettings
from dailytalk_contiguous.models.engines import load_synthesiser

COSTS = st.tuples(st.integers(1, 7), st.integers(1, 7)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(0, 2))
)


def melody(*hertz: float, level: float = -20.0) -> Performance:
    return Performance(np.array(hertz, float), np.full(len(hertz), level))


def compared(source: Performance, take: Performance) -> Delivery:
    registers = [register_of([performance]) for performance in (source, take)]
    assert None not in registers
    delivery = compare_delivery(source, registers[0], take, registers[1])  # type: ignore[arg-type]
    assert delivery is not None
    return delivery


def cheapest(costs: np.ndarray) -> float:
    """The definition, cell by cell."""
    best = np.full((costs.shape[0] + 1, costs.shape[1] + 1), math.inf)
    best[0, 0] = 0.0
    for row, column in itertools.product(*map(range, costs.shape)):
        cost = costs[row, column]
        before = best[row : row + 2, column : column + 2]
        best[row + 1, column + 1] = min(before[0, 0] + 2 * cost, before[0, 1] + cost, before[1, 0] + cost)
    return float(best[-1, -1]) / sum(costs.shape)


@given(COSTS)
def test_warp_finds_the_cheapest_way_and_says_where_it_goes(costs: np.ndarray) -> None:
    distance, path = warp(costs)
    assert distance == pytest.approx(cheapest(costs))
    assert path[0].tolist() == [0, 0]
    assert path[-1].tolist() == [size - 1 for size in costs.shape]
    steps = np.diff(path, axis=0)
    assert {tuple(step) for step in steps.tolist()} <= {(0, 1), (1, 0), (1, 1)}
    weights = [2, *(2 if step.all() else 1 for step in steps)]
    walked = sum(weight * costs[row, column] for weight, (row, column) in zip(weights, path, strict=True))
    assert walked / sum(costs.shape) == pytest.approx(distance)


def test_neither_voice_nor_loudness_nor_pace_of_a_speaker_is_a_difference() -> None:
    rising = melody(*np.linspace(100, 140, 30))
    higher_and_slower = melody(*np.linspace(200, 280, 60), level=-35.0)
    assert compared(rising, higher_and_slower).distance < 0.02


def test_another_melody_is_further_than_the_same_and_its_semitones_are_told() -> None:
    rising = melody(*np.linspace(100, 140, 30))
    falling = melody(*np.linspace(140, 100, 30))
    same = compared(rising, rising)
    other = compared(rising, falling)
    assert same == Delivery(0.0, 0.0, 0.0)
    assert other.distance > 0.2
    assert other.semitones is not None
    assert other.semitones > 1


def test_what_is_not_voiced_has_no_delivery() -> None:
    whisper = melody(0.0, 0.0, 0.0)
    voice = melody(100.0, 110.0)
    usual = register_of([whisper, voice])
    assert usual is not None
    assert compare_delivery(whisper, usual, voice, usual) is None
    assert register_of([whisper]) is None
    assert register_of([]) is None
    assert performance_of(np.zeros(0, np.float32)).f0.shape == (0,)


def of_one_frame(semitones: float, decibels: float) -> Performance:
    """So many semitones and dB over a speaker whose usual values are 100 Hz and -20 dBFS."""
    return melody(100.0 * 2 ** (semitones / 12), level=-20.0 + decibels)


@pytest.mark.parametrize(
    ("semitones", "decibels", "distance"),
    [
        (3.0, 0.0, 0.5),  # half of the 6 semitones that count at most
        (-5.0, 0.0, 5 / 6),
        (18.0, 0.0, 1.0),
        (0.0, 9.0, 0.75),  # of the 12 dB that count at most
        (0.0, -24.0, 1.0),
        (3.0, 6.0, 1.0),
    ],
)
def test_distance_is_the_share_of_six_semitones_and_of_twelve_decibels(
    semitones: float, decibels: float, distance: float
) -> None:
    usual = Register(100.0, -20.0, 0.0, 0.2)
    delivery = compare_delivery(of_one_frame(0.0, 0.0), usual, of_one_frame(semitones, decibels), usual)
    assert delivery is not None
    assert delivery.distance == pytest.approx(distance)
    assert delivery.semitones == pytest.approx(abs(semitones))
    assert delivery.decibels == pytest.approx(abs(decibels))


def test_voiced_against_unvoiced_costs_half_of_the_furthest_pitch() -> None:
    usual = Register(100.0, -20.0, 0.0, 0.2)
    delivery = compare_delivery(melody(100.0, 100.0), usual, melody(100.0, 0.0), usual)
    assert delivery is not None
    # Both voiced frames are alike; from there one step in the take alone, which counts once, over four frames.
    assert delivery.distance == pytest.approx(0.5 / 4)


def test_silence_far_below_a_speaker_is_as_far_as_any_other_silence() -> None:
    """Else the noise of a recording would count as a difference from a synthesiser's digital zero."""
    usual = Register(100.0, -20.0, 0.0, 0.2)
    pitch = np.array([100.0, 0.0, 100.0])
    noisy, silent = (Performance(pitch, np.array([-20.0, level, -20.0])) for level in (-55.0, -120.0))
    delivery = compare_delivery(noisy, usual, silent, usual)
    assert delivery is not None
    assert delivery.distance == 0.0


def test_take_of_a_lively_voice_that_moves_no_further_than_its_source_is_off_by_how_much_livelier_it_is() -> None:
    source = melody(*np.linspace(100.0, 160.0, 40))
    usual = register_of([source])
    assert usual is not None
    duller = usual._replace(semitones=usual.semitones / 2)
    assert compare_delivery(source, usual, source, duller) == Delivery(0.0, 0.0, 0.0)
    livelier = usual._replace(semitones=2 * usual.semitones + 0.5)
    delivery = compare_delivery(source, usual, source, livelier)
    assert delivery is not None
    # Once twice as far, of the two times that count at most, is half of 0.3.
    assert delivery.distance == pytest.approx(0.15)


def test_no_more_than_a_minute_of_a_performance_is_compared() -> None:
    performance = performance_of(np.zeros(70 * 16000, np.float32))
    assert len(performance.f0) == len(performance.level)
    assert len(performance.level) * HOP_SECONDS == pytest.approx(60.0)
    empty = performance_of(np.zeros(0, np.float32))
    assert empty.f0.shape == empty.level.shape == (0,)


# Endings

STATEMENTS = (
    "You have lived in that village for ten years",
    "She is still working in the same old office",
    "The wheel of your bicycle is bent",
    "He told me to wait at the station",
    "We can leave on Sunday morning",
    "Nobody has seen the key",
    "They moved to a house near the sea",
    "Your brother is coming, too",
)


def spoken(voice: str) -> dict[tuple[str, str], Performance]:
    """Lines by espeak, with a full stop and as a question."""
    espeak = load_synthesiser("espeak", VoiceSettings("", voice))
    performances = {}
    for text in STATEMENTS:
        for mark in ".?":
            take = espeak.speak(Line(text + mark, "", "en", 0))
            sound = trim(take.samples, take.sample_rate, Gate())
            performances[text, mark] = performance_of(at_analysis_rate(sound.samples, take.sample_rate))
    return performances


def at_analysis_rate(samples: np.ndarray, rate: int) -> np.ndarray:
    return np.asarray(soxr.resample(samples, rate, 16000), np.float32)


def register(performances: Iterable[Performance]) -> Register:
    usual = register_of(performances)
    assert usual is not None
    return usual


@pytest.mark.needs("espeakng_loader")
def test_a_question_ends_like_a_question_of_another_voice_and_not_like_a_statement() -> None:
    by_voice = [spoken(""), spoken("en-gb-scotland")]
    sources, takes = by_voice
    usual = register(sources.values())
    usual_of_takes = register(takes.values())
    nearest = []
    for text, mark in sources:
        source = measure_ending(sources[text, mark], usual)
        distances = {}
        for other in ".?":
            take = measure_ending(takes[text, other], usual_of_takes)
            assert source is not None
            assert take is not None
            distances[other] = compare_endings(source, take)
        nearest.append(min(distances, key=lambda other: distances[other]) == mark)
    assert np.mean(nearest) >= 0.85
    rises = {}
    for mark in ".?":
        endings = [measure_ending(takes[text, mark], usual_of_takes) for text in STATEMENTS]
        rises[mark] = np.median([ending.rise for ending in endings if ending and ending.rise is not None])
    assert rises["."] < -1 < 1 < rises["?"]


@pytest.mark.needs("espeakng_loader")
def test_a_last_syllable_that_is_held_and_an_end_that_fades_are_heard_in_the_ending() -> None:
    espeak = load_synthesiser("espeak", VoiceSettings("", ""))
    take = espeak.speak(Line("She is still waiting for her tea.", "", "en", 0))
    sound = at_analysis_rate(trim(take.samples, take.sample_rate, Gate()).samples, take.sample_rate)
    n_last = 4000
    held = np.concatenate((sound[:-n_last], librosa.effects.time_stretch(sound[-n_last:], rate=0.5)))
    faded = sound.copy()
    faded[-n_last:] *= np.float32(10 ** (-9 / 20))
    usual = register([performance_of(sound)])
    plain, longer, softer = (measure_ending(performance_of(made), usual) for made in (sound, held, faded))
    assert plain is not None
    assert longer is not None
    assert softer is not None
    assert longer.lengthening > plain.lengthening + 0.3
    assert softer.level == pytest.approx(plain.level - 9, abs=2)
    assert compare_endings(plain, plain) == 0
    assert compare_endings(plain, longer) > 0.1
    assert compare_endings(plain, softer) > 0.1


def test_an_ending_counts_pitch_length_and_level_alike_and_each_up_to_a_limit() -> None:
    flat = Ending(0.0, 0.0, 0.0)
    for other in (Ending(60.0, 0.0, 0.0), Ending(0.0, -60.0, 0.0), Ending(0.0, 0.0, 60.0)):
        assert compare_endings(flat, other) == pytest.approx(1 / 3)
        assert compare_endings(other, flat) == pytest.approx(1 / 3)
    assert 0 < compare_endings(flat, Ending(None, 0.0, 0.0)) < 1 / 3
    assert compare_endings(Ending(None, 0.0, 0.0), Ending(None, 0.0, 0.0)) == 0


def test_what_is_longer_than_a_minute_or_silent_has_no_ending() -> None:
    hum = melody(*[120.0] * 40)
    usual = register([hum])
    assert measure_ending(hum, usual) is not None
    assert measure_ending(melody(*[120.0] * 1900), usual) is None
    assert measure_ending(melody(*[0.0] * 40, level=-90.0), usual) is None
    assert measure_ending(melody(), usual) is None
