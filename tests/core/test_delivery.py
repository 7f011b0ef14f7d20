import itertools
import math

import librosa
import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dailytalk_contiguous.core.style.takes import Gate, trim
from dailytalk_contiguous.models.contracts import Line, VoiceSettings
from dailytalk_contiguous.models.delivery import (
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
from dailytalk_contiguous.models.engines import load_synthesiser

NO_SAMPLES = np.zeros(0, np.float32)
SHAPES = st.tuples(st.integers(1, 7), st.integers(1, 7))


def costs_of(shape: tuple[int, int]) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float64, shape, elements=st.floats(0, 2))


def melody(*hertz: float, level: float = -20.0) -> Performance:
    pitch = np.array(hertz, float)
    levels = np.full(len(hertz), level)
    return Performance(pitch, levels)


def glide(first: float, last: float, n_frames: int, level: float = -20.0) -> Performance:
    """A melody from one pitch to another."""
    return melody(*np.linspace(first, last, n_frames), level=level)


def compared(source: Performance, take: Performance) -> Delivery:
    usual = register(source)
    usual_of_take = register(take)
    delivery = compare_delivery(source, usual, take, usual_of_take)
    assert delivery is not None
    return delivery


def register(*performances: Performance) -> Register:
    usual = register_of(performances)
    assert usual is not None
    return usual


def cheapest(costs: np.ndarray) -> float:
    """The definition, cell by cell."""
    n_rows, n_columns = costs.shape
    best = np.full((n_rows + 1, n_columns + 1), math.inf)
    best[0, 0] = 0.0
    for row, column in itertools.product(range(n_rows), range(n_columns)):
        cost = costs[row, column]
        diagonal = best[row, column] + 2 * cost
        along_row = best[row + 1, column] + cost
        along_column = best[row, column + 1] + cost
        best[row + 1, column + 1] = min(diagonal, along_row, along_column)
    return float(best[-1, -1]) / sum(costs.shape)


@given(SHAPES.flatmap(costs_of))
def test_warp_finds_the_cheapest_way_and_says_where_it_goes(costs: np.ndarray) -> None:
    distance, path = warp(costs)
    assert distance == pytest.approx(cheapest(costs))
    n_rows, n_columns = costs.shape
    first_row, first_column = path[0]
    assert first_row == 0
    assert first_column == 0
    last_row, last_column = path[-1]
    assert last_row == n_rows - 1
    assert last_column == n_columns - 1
    steps = np.diff(path, axis=0)
    kinds = {tuple(step) for step in steps.tolist()}
    assert kinds <= {(0, 1), (1, 0), (1, 1)}
    walked = 2 * costs[0, 0]
    for step, (row, column) in zip(steps, path[1:], strict=True):
        weight = 2 if step.all() else 1
        walked += weight * costs[row, column]
    assert walked / (n_rows + n_columns) == pytest.approx(distance)


def test_neither_voice_nor_loudness_nor_pace_of_a_speaker_is_a_difference() -> None:
    rising = glide(100, 140, 30)
    higher_and_slower = glide(200, 280, 60, level=-35.0)
    assert compared(rising, higher_and_slower).distance < 0.02


def test_another_melody_is_further_than_the_same_and_its_semitones_are_told() -> None:
    rising = glide(100, 140, 30)
    falling = glide(140, 100, 30)
    same = compared(rising, rising)
    other = compared(rising, falling)
    assert same == Delivery(0.0, 0.0, 0.0)
    assert other.distance > 0.2
    assert other.semitones is not None
    assert other.semitones > 1


def test_what_is_not_voiced_has_no_delivery() -> None:
    whisper = melody(0.0, 0.0, 0.0)
    voice = melody(100.0, 110.0)
    usual = register(whisper, voice)
    assert compare_delivery(whisper, usual, voice, usual) is None
    assert register_of([whisper]) is None
    assert register_of([]) is None
    empty = performance_of(NO_SAMPLES)
    assert empty.f0.shape == (0,)


def of_one_frame(semitones: float, decibels: float) -> Performance:
    """So many semitones and dB over a speaker whose usual values are 100 Hz and -20 dBFS."""
    hertz = 100.0 * 2 ** (semitones / 12)
    return melody(hertz, level=-20.0 + decibels)


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
    source = of_one_frame(0.0, 0.0)
    take = of_one_frame(semitones, decibels)
    delivery = compare_delivery(source, usual, take, usual)
    assert delivery is not None
    assert delivery.distance == pytest.approx(distance)
    assert delivery.semitones == pytest.approx(abs(semitones))
    assert delivery.decibels == pytest.approx(abs(decibels))


def test_voiced_against_unvoiced_costs_half_of_the_furthest_pitch() -> None:
    usual = Register(100.0, -20.0, 0.0, 0.2)
    voiced = melody(100.0, 100.0)
    half_voiced = melody(100.0, 0.0)
    delivery = compare_delivery(voiced, usual, half_voiced, usual)
    assert delivery is not None
    # Both voiced frames are alike; from there one step in the take alone, which counts once, over four frames.
    assert delivery.distance == pytest.approx(0.5 / 4)


def test_silence_far_below_a_speaker_is_as_far_as_any_other_silence() -> None:
    """Else the noise of a recording would count as a difference from a synthesiser's digital zero."""
    usual = Register(100.0, -20.0, 0.0, 0.2)
    pitch = np.array([100.0, 0.0, 100.0])
    noise = np.array([-20.0, -55.0, -20.0])
    silence = np.array([-20.0, -120.0, -20.0])
    noisy = Performance(pitch, noise)
    silent = Performance(pitch, silence)
    delivery = compare_delivery(noisy, usual, silent, usual)
    assert delivery is not None
    assert delivery.distance == 0.0


def test_take_of_a_lively_voice_that_moves_no_further_than_its_source_is_off_by_how_much_livelier_it_is() -> None:
    source = glide(100.0, 160.0, 40)
    usual = register(source)
    duller = usual._replace(semitones=usual.semitones / 2)
    same = compare_delivery(source, usual, source, duller)
    assert same == Delivery(0.0, 0.0, 0.0)
    livelier = usual._replace(semitones=2 * usual.semitones + 0.5)
    delivery = compare_delivery(source, usual, source, livelier)
    assert delivery is not None
    # Once twice as far, of the two times that count at most, is half of 0.3.
    assert delivery.distance == pytest.approx(0.15)


def test_no_more_than_a_minute_of_a_performance_is_compared() -> None:
    samples = np.zeros(70 * 16000, np.float32)
    performance = performance_of(samples)
    assert len(performance.f0) == len(performance.level)
    seconds = len(performance.level) * HOP_SECONDS
    assert seconds == pytest.approx(60.0)
    empty = performance_of(NO_SAMPLES)
    assert empty.f0.shape == (0,)
    assert empty.level.shape == (0,)


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


def at_analysis_rate(samples: np.ndarray, rate: int) -> np.ndarray:
    resampled = soxr.resample(samples, rate, 16000)
    return np.asarray(resampled, np.float32)


def sound_of(text: str, voice: str) -> np.ndarray:
    """A text by espeak, without the silence around it."""
    espeak = load_synthesiser("espeak", VoiceSettings("", voice))
    take = espeak.speak(Line(text, "", "en", 0))
    trimmed = trim(take.samples, take.sample_rate, Gate())
    return at_analysis_rate(trimmed.samples, take.sample_rate)


def spoken(voice: str) -> dict[tuple[str, str], Performance]:
    """Lines by espeak, with a full stop and as a question."""
    performances = {}
    for text, mark in itertools.product(STATEMENTS, ".?"):
        sound = sound_of(text + mark, voice)
        performances[text, mark] = performance_of(sound)
    return performances


def ending_of(performance: Performance, usual: Register) -> Ending:
    ending = measure_ending(performance, usual)
    assert ending is not None
    return ending


@pytest.mark.needs("espeakng_loader")
def test_a_question_ends_like_a_question_of_another_voice_and_not_like_a_statement() -> None:
    sources = spoken("")
    takes = spoken("en-gb-scotland")
    usual = register(*sources.values())
    usual_of_takes = register(*takes.values())
    endings = {}
    for line, take in takes.items():
        endings[line] = ending_of(take, usual_of_takes)
    are_nearest = []
    for text, mark in sources:
        other_mark = "?" if mark == "." else "."
        source = ending_of(sources[text, mark], usual)
        to_same = compare_endings(source, endings[text, mark])
        to_other = compare_endings(source, endings[text, other_mark])
        are_nearest.append(to_same < to_other)
    assert np.mean(are_nearest) >= 0.85
    rises = {}
    for mark in ".?":
        voiced = []
        for text in STATEMENTS:
            rise = endings[text, mark].rise
            if rise is not None:
                voiced.append(rise)
        rises[mark] = np.median(voiced)
    assert rises["."] < -1
    assert rises["?"] > 1


@pytest.mark.needs("espeakng_loader")
def test_a_last_syllable_that_is_held_and_an_end_that_fades_are_heard_in_the_ending() -> None:
    sound = sound_of("She is still waiting for her tea.", "")
    n_last = 4000
    end = sound[-n_last:]
    twice_as_long = librosa.effects.time_stretch(end, rate=0.5)
    held = np.concatenate((sound[:-n_last], twice_as_long))
    faded = sound.copy()
    factor = 10 ** (-9 / 20)
    faded[-n_last:] *= np.float32(factor)
    usual = register(performance_of(sound))
    plain = ending_of(performance_of(sound), usual)
    longer = ending_of(performance_of(held), usual)
    softer = ending_of(performance_of(faded), usual)
    assert longer.lengthening > plain.lengthening + 0.3
    assert softer.level == pytest.approx(plain.level - 9, abs=2)
    assert compare_endings(plain, plain) == 0
    assert compare_endings(plain, longer) > 0.1
    assert compare_endings(plain, softer) > 0.1


def test_an_ending_counts_pitch_length_and_level_alike_and_each_up_to_a_limit() -> None:
    flat = Ending(0.0, 0.0, 0.0)
    a_third = pytest.approx(1 / 3)
    for other in (Ending(60.0, 0.0, 0.0), Ending(0.0, -60.0, 0.0), Ending(0.0, 0.0, 60.0)):
        assert compare_endings(flat, other) == a_third
        assert compare_endings(other, flat) == a_third
    unvoiced = Ending(None, 0.0, 0.0)
    assert 0 < compare_endings(flat, unvoiced) < 1 / 3
    assert compare_endings(unvoiced, unvoiced) == 0


def test_what_is_longer_than_a_minute_or_silent_has_no_ending() -> None:
    hum = melody(*[120.0] * 40)
    usual = register(hum)
    too_long = melody(*[120.0] * 1900)
    silent = melody(*[0.0] * 40, level=-90.0)
    assert measure_ending(hum, usual) is not None
    assert measure_ending(too_long, usual) is None
    assert measure_ending(silent, usual) is None
    assert measure_ending(melody(), usual) is None
