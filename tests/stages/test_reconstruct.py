"""The rebuilt conversation: what is kept comes through bit for bit, and no quiet is digital silence."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import soundfile
from audio_files import REAL_CALLS, example, reference, struct_of
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from revoicing import Result, Said, columns, longest_zero_run, rebuilt, recording, voice
from stage_calls import columns_after

from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.records.utterance import EDGES, sounding_between
from dailytalk_contiguous.core.sound.crosstalk import Leak
from dailytalk_contiguous.core.sound.loudness import loudness
from dailytalk_contiguous.core.sound.samples import pcm_to_float, to_pcm
from dailytalk_contiguous.stages.reconstruct import Reconstruct
from dailytalk_contiguous.stages.recorded_sides import audible_leak
from dailytalk_contiguous.stages.segment import Segment

#: A little conversation with a gap, an overlap, a backchannel and an interruption.
TALK = (
    Said("left", 0.5, 2.5, 0.8),
    Said("right", 2.8, 5.0),
    Said("left", 4.6, 7.5, 1.3),
    Said("right", 5.5, 5.9),
    Said("right", 7.1, 9.0),
    Said("left", 9.4, 10.2, 0.6),
    Said("right", 10.6, 11.2),
)
SECONDS = 12.0
KEPT = Reconstruct(sample_rate=0)


def talk(stage: Reconstruct = KEPT, rate: int = 16000, lines=TALK, tone: float | None = -62.0) -> Result:
    samples = recording(lines, SECONDS, rate, tone)
    batch = columns(lines, samples, rate, stage.sample_rate, stage.revoice)
    return rebuilt(stage, batch)


def rebuild(lines: Sequence[Said], samples: np.ndarray, rate: int = 16000) -> Result:
    """A conversation whose left speaker is resynthesised, at the rate of its recording."""
    batch = columns(lines, samples, rate, 0)
    return rebuilt(KEPT, batch)


def source_of(utterance: Said, samples: np.ndarray, rate: int) -> np.ndarray:
    side = CHANNELS.index(utterance.channel)
    first = round(utterance.start * rate)
    last = round(utterance.end * rate)
    return to_pcm(samples[first:last, side])


def seconds_of(utterance: Said) -> float:
    return utterance.end - utterance.start


def assert_kept_side_comes_through(
    result: Result, lines: Sequence[Said], samples: np.ndarray, kept: str = "right"
) -> None:
    for index, utterance in enumerate(lines):
        if utterance.channel == kept:
            source = source_of(utterance, samples, result.rate)
            heard = result.heard(1, index)
            assert np.array_equal(heard, source)


@pytest.mark.parametrize("rate", [8000, 44100])
@pytest.mark.parametrize("mode", ["anchor", "sequential"])
def test_every_kept_utterance_comes_through_bit_for_bit(mode: str, rate: int) -> None:
    samples = recording(TALK, SECONDS, rate)
    batch = columns(TALK, samples, rate, 0)
    stage = Reconstruct(mode, 0)
    result = rebuilt(stage, batch)
    assert result.rate == result.row["built_rate"] == rate
    assert_kept_side_comes_through(result, TALK, samples)
    for index, utterance in enumerate(TALK):
        if utterance.channel == "right":
            first = result.row["new_start"][index] * rate
            assert first == pytest.approx(round(first), abs=1e-6)
    timeline = result.row["timeline"]
    assert timeline["lost_speech_seconds"] == 0.0
    assert timeline["lost_sound_seconds"] == 0.0
    assert timeline["mode"] == mode


@settings(max_examples=15)
@given(
    st.lists(st.tuples(st.sampled_from(["left", "right"]), st.integers(0, 900), st.integers(60, 900)), max_size=7),
    st.floats(0.4, 2.5),
    st.sampled_from([8000, 11025]),
)
def test_no_conversation_loses_a_kept_sample(drawn: list[tuple[str, int, int]], factor: float, rate: int) -> None:
    ends = {"left": 0, "right": 0}
    lines = []
    for channel, gap, length in drawn:
        start = ends[channel] + gap
        ends[channel] = start + length
        end = ends[channel]
        lines.append(Said(channel, start / 1000, end / 1000, factor))
    seconds = max([0.5, *(utterance.end for utterance in lines)])
    samples = recording(lines, seconds, rate)
    result = rebuild(lines, samples, rate)
    row = result.row
    assert_kept_side_comes_through(result, lines, samples)
    for index, utterance in enumerate(lines):
        if utterance.channel == "left":
            expected = round(seconds_of(utterance) * factor * rate) / rate
            length = row["new_end"][index] - row["new_start"][index]
            assert length == pytest.approx(expected, abs=1.1 / rate)
    assert row["built_duration"] == len(result.pcm) / rate
    assert row["timeline"]["lost_speech_seconds"] == 0.0


def sixteen_bit(samples: np.ndarray) -> np.ndarray:
    """Stereo samples as a file of 16 bits holds them."""
    pcm = to_pcm(samples).tobytes()
    return pcm_to_float(pcm).reshape(-1, 2)


def with_sounds(lines: tuple[Said, ...], spans: list[tuple[float, float]], rate: int) -> np.ndarray:
    """The recording with laughs on its right channel."""
    samples = recording(lines, SECONDS, rate)
    for seed, (start, end) in enumerate(spans):
        first = round(start * rate)
        last = round(end * rate)
        samples[first:last, 1] = voice(end - start, rate, 50 + seed, 0.05)
    return sixteen_bit(samples)


def assert_sounds_come_through(result: Result, samples: np.ndarray, side: int) -> None:
    """Each sound that is kept from a side of the recording is on the right of what is built, bit for bit."""
    for sound in result.row["sounds"]:
        first = round(sound["start"] * result.rate)
        last = round(sound["end"] * result.rate)
        new_first = round(sound["new_start"] * result.rate)
        new_last = new_first + last - first
        expected = to_pcm(samples[first:last, side])
        kept = result.pcm[new_first:new_last, 1]
        assert np.array_equal(kept, expected)


@pytest.mark.parametrize("run", [-1, 3])
def test_laughs_of_the_kept_speaker_come_through_and_near_ones_move_with_their_utterance(run: int) -> None:
    rate = 16000
    runs = range(len(TALK))
    if run < 0:
        runs = range(-2, -2 - len(TALK), -1)
    numbered = zip(TALK, runs, strict=True)
    lines = tuple(utterance._replace(run=number) for utterance, number in numbered)
    spans = [(1.0, 1.4), (6.7, 7.0), (9.3, 9.6), (11.5, 11.8)]
    samples = with_sounds(lines, spans, rate)
    result = rebuild(lines, samples, rate)
    sounds = result.row["sounds"]
    times = [(sound["start"], sound["end"]) for sound in sounds]
    assert np.allclose(times, spans, atol=0.011)
    assert_sounds_come_through(result, samples, 1)
    # a breath 0.1 s before an interruption: alone it would keep its share of the turn, which lasts longer now
    near = sounds[1]
    utterance = 4
    distance = lines[utterance].start - near["start"]
    new_distance = result.row["new_start"][utterance] - near["new_start"]
    assert new_distance == pytest.approx(distance, abs=2 / rate)
    assert result.row["timeline"]["lost_sound_seconds"] == 0.0


def spoken_pcm(batch: dict[str, list[Any]], index: int) -> np.ndarray:
    """The samples of a resynthesised utterance."""
    (spoken,) = batch["spoken"]
    return np.frombuffer(spoken[index], "<i2")


@pytest.mark.parametrize("out_rate", [0, 24000])
def test_nowhere_is_digital_silence(out_rate: int) -> None:
    kept = TALK[3]._replace(status="kept")
    before = TALK[:3]
    after = TALK[4:]
    lines = (*before, kept, *after)
    samples = recording(lines, SECONDS, 16000, -75.0)
    batch = columns(lines, samples, 16000, out_rate)
    hushed = spoken_pcm(batch, 2).copy()
    hushed[4000:12000] = 0  # a pause inside a sentence, as synthesisers make them
    batch["spoken"][0][2] = hushed.tobytes()
    stage = Reconstruct(sample_rate=out_rate)
    result = rebuilt(stage, batch)
    for side in (0, 1):
        assert longest_zero_run(result.pcm[:, side]) < 24


def quiet_levels(result: Result, lines: Sequence[Said], speaker: str, side: int) -> np.ndarray:
    """Levels in dB of full scale of the frames of 800 samples of a side in which a speaker says nothing."""
    silent = np.ones(len(result.pcm), bool)
    for index, utterance in enumerate(lines):
        if utterance.channel == speaker:
            first = round(result.row["new_start"][index] * result.rate)
            last = round(result.row["new_end"][index] * result.rate)
            silent[first:last] = False
    whole = len(silent) // 800 * 800
    quiet = silent[:whole].reshape(-1, 800).all(axis=1)
    samples = result.pcm[:whole, side] / 32768
    frames = samples.reshape(-1, 800)
    levels = np.std(frames, axis=1)
    return 20 * np.log10(levels[quiet])


def late_utterance(line: dict[str, Any], number: int, revoice: str) -> Said:
    """A line of a recording; speech activity heard those of the kept speaker 0.1 s late."""
    factor = 0.9 + 0.05 * (number % 6)
    if line["channel"] == revoice:
        return Said(line["channel"], line["start"], line["end"], factor, "spoken")
    return Said(line["channel"], line["start"] + 0.1, line["end"], factor, "kept")


@pytest.mark.parametrize("leak_db", [-20.0, -30.0])
@pytest.mark.parametrize("revoice", ["left", "right"])
def test_nobody_is_heard_where_the_revoiced_side_is_silent(revoice: str, leak_db: float) -> None:
    """The kept voice that leaked into that side is no room tone, also where speech activity heard it late."""
    name = "old_friends"
    samples = example(name).copy()
    rate = 16000
    side = CHANNELS.index(revoice)
    gain = np.float32(10 ** (leak_db / 20))
    samples[96:, side] += gain * example(name)[:-96, 1 - side]
    numbered = enumerate(reference(name))
    lines = [late_utterance(line, number, revoice) for number, line in numbered]
    batch = columns(lines, samples, rate, 0, revoice)
    stage = Reconstruct(sample_rate=0, revoice=revoice)
    result = rebuilt(stage, batch)
    levels = quiet_levels(result, lines, revoice, 0)
    assert levels.max() < -62.0 + 6.0


def test_the_background_of_the_kept_speaker_is_that_of_the_recording() -> None:
    """A plosive before a word, a soft click and the noise between events come through as they were."""
    rate = 16000
    samples = recording(TALK, SECONDS, rate)
    for seed, (start, seconds) in enumerate([(2.7, 0.03), (6.5, 0.01), (10.5, 0.02)]):
        first = round(start * rate)
        last = round((start + seconds) * rate)
        samples[first:last, 1] = voice(seconds, rate, seed, 0.02)
    samples = sixteen_bit(samples)
    source = to_pcm(samples[:, 1])
    lines = tuple(utterance._replace(factor=1.3) for utterance in TALK)  # no gap of the kept side loses time
    result = rebuild(lines, samples, rate)
    heard = sliding_window_view(result.pcm[:, 1], 160)
    right = [utterance for utterance in TALK if utterance.channel == "right"]
    spans = [(utterance.start - 0.01, utterance.end) for utterance in right]
    kept = 0.0
    energy = 0.0
    for first in range(0, len(source) - 160, 160):
        if any(start < first / rate < end for start, end in spans):
            continue
        part = source[first : first + 160]
        amplitudes = part.astype(float)
        power = float(np.sum(amplitudes**2))
        energy += power
        candidates = heard[heard[:, 0] == part[0]]
        if (candidates == part).all(axis=1).any():
            kept += power
    assert kept >= 0.99 * energy


def test_the_new_voice_has_the_loudness_of_the_old_by_one_gain() -> None:
    rate = 24000
    lines = tuple(utterance._replace(peak=0.1) for utterance in TALK)
    samples = recording(lines, SECONDS, rate)
    batch = columns(lines, samples, rate, 0)
    soft = spoken_pcm(batch, 0) // 3
    batch["spoken"][0][0] = soft.astype("<i2").tobytes()
    result = rebuilt(KEPT, batch)
    timeline = result.row["timeline"]
    new = []
    old = []
    gains = []
    for index, utterance in enumerate(lines):
        if utterance.channel == "left":
            heard = result.heard(0, index)
            new.append(heard)
            source = source_of(utterance, samples, rate)
            old.append(pcm_to_float(source.tobytes()))
            spoken_level = np.std(spoken_pcm(batch, index))
            gains.append(np.std(heard / 1.0) / spoken_level)
    new_voice = np.concatenate(new).astype(np.float32) / 32768
    old_loudness = loudness(np.concatenate(old), rate)
    new_loudness = loudness(new_voice, rate)
    assert new_loudness == pytest.approx(old_loudness, abs=0.5)
    assert timeline["loudness_missing_db"] == 0.0
    decibels = 20 * np.log10(gains)
    assert np.allclose(decibels, timeline["loudness_gain_db"], atol=0.2)


def test_a_dropped_utterance_becomes_room_tone_and_has_no_times() -> None:
    dropped = TALK[2]._replace(status="dropped")
    lines = (TALK[0], TALK[1], dropped, *TALK[3:])
    row, pcm, rate = talk(lines=lines)
    is_dropped = [utterance.status == "dropped" for utterance in lines]
    for name in ("new_start", "new_end", "event", "source_event"):
        assert [value is None for value in row[name]] == is_dropped
    first = round(row["new_end"][0] * rate)
    last = round(row["new_start"][5] * rate)
    between = pcm[first:last, 0]
    assert np.abs(between).max() < 300


@pytest.mark.parametrize(
    "lines",
    [
        (),
        (Said("left", 1.0, 2.0, 1.5),),
        (Said("left", 0.0, 12.0, status="kept-original"),),
    ],
)
def test_one_sided_and_empty_conversations_are_rebuilt(lines: tuple[Said, ...]) -> None:
    result = talk(lines=lines)
    expected = SECONDS
    for utterance in lines:
        expected += seconds_of(utterance) * (utterance.factor - 1)
    duration = result.row["built_duration"]
    assert duration == pytest.approx(expected, abs=1e-4)
    is_filled = any(seconds_of(utterance) == SECONDS for utterance in lines)
    if not is_filled:
        for side in (0, 1):
            assert longest_zero_run(result.pcm[:, side]) < 24
    batch = {name: [value] for name, value in result.row.items()}
    dataset = Dataset.from_dict({"row": [0]})
    features = Reconstruct.adds
    rows = dataset.map(lambda _: batch, batched=True, features=features, remove_columns="row")
    assert rows.num_rows == 1  # types hold, also of what could not be measured


@pytest.mark.needs("the real calls")
@pytest.mark.parametrize("revoice", ["left", pytest.param("right", marks=pytest.mark.nightly)])
def test_real_calls_lose_nothing_of_the_kept_speaker(revoice: str) -> None:
    kept = CHANNELS[1 - CHANNELS.index(revoice)]
    for path in REAL_CALLS:
        samples, rate = soundfile.read(path, dtype="float32")
        audio = struct_of(path)
        source = {
            "conversation_id": ["a"],
            "recording_id": ["a"],
            "audio": [audio],
            "offset": [0.0],
            "duration": [len(samples) / rate],
        }
        made = columns_after(Segment(), source)
        segmented = {name: values[0] for name, values in made.items()}
        n_utterances = len(segmented["start"])
        factors = np.random.default_rng(7).uniform(0.6, 1.6, n_utterances)
        lines = []
        for index, factor in enumerate(factors.tolist()):
            channel = segmented["channel"][index]
            start = segmented["start"][index]
            end = segmented["end"][index]
            run = segmented["run"][index]
            lines.append(Said(channel, start, end, factor, run=run))
        batch = columns(lines, samples, rate, 0, revoice)
        batch["audio"] = [audio]
        stage = Reconstruct(sample_rate=0, revoice=revoice)
        result = rebuilt(stage, batch)
        assert_kept_side_comes_through(result, lines, samples, kept)
        assert result.row["sounds"]
        assert_sounds_come_through(result, samples, CHANNELS.index(kept))
        timeline = result.row["timeline"]
        assert timeline["lost_speech_seconds"] == 0.0
        assert timeline["lost_sound_seconds"] == 0.0
        assert longest_zero_run(result.pcm[:, 0]) < 40


def test_a_take_sounds_where_its_source_did_and_what_is_kept_where_it_was() -> None:
    lines = (
        Said("left", 1.0, 3.0),
        Said("right", 3.4, 5.0),
        Said("left", 5.5, 7.0),
        Said("right", 6.0, 8.0),
    )
    start_trim = [0.02, -0.1, 0.0, 0.03]
    end_trim = [0.08, 0.1, 0.06, 0.1]
    samples = recording(lines, 9.0, 16000)
    batch = columns(lines, samples, 16000, 16000, start_trim=[start_trim], end_trim=[end_trim])
    quiet = np.zeros(480, np.int16).tobytes()
    (takes,) = batch["spoken"]
    batch["spoken"] = [[quiet + take + quiet if take else take for take in takes]]
    stage = Reconstruct(sample_rate=16000)
    row = rebuilt(stage, batch).row
    edges = {name: row[f"new_{name}"] for name in EDGES}
    utterances = Dataset.from_dict(edges).to_list()
    heard = [sounding_between(**utterance) for utterance in utterances]
    gaps = [after[0] - before[1] for before, after in pairwise(heard)]
    assert gaps == pytest.approx([0.38, 0.6, -0.91], abs=0.012)  # to a frame of 10 ms
    start_trims = [utterance["start_trim"] for utterance in utterances]
    assert start_trims[1::2] == [-0.1, 0.03]
    assert start_trims[::2] == pytest.approx([0.03, 0.03], abs=0.011)
    overlap = row["timeline"]["source_overlap_seconds"]
    assert overlap == pytest.approx(0.91, abs=0.012)


#: Samples by which a voice leaks later, at 16 kHz: 6 ms.
LEAK_SAMPLES = 96

#: TALK without overlaps.
APART = (TALK[0], TALK[1], TALK[2]._replace(start=5.2), *TALK[5:])


def leaking(lines: tuple[Said, ...], level_db: float) -> np.ndarray:
    """A recording at 16 kHz in which the left voice is heard on the right, too."""
    samples = recording(lines, SECONDS, 16000)
    gain = np.float32(10 ** (level_db / 20))
    samples[LEAK_SAMPLES:, 1] += gain * samples[:-LEAK_SAMPLES, 0]
    return samples


def test_leak_of_the_old_voice_is_measured_where_words_that_are_kept_hold_it() -> None:
    """Without overlap nothing of the leak comes along."""
    row = rebuild(TALK, leaking(TALK, -20.0)).row
    left, right = row["built_sides"]
    assert left["leak_db"] is None  # nothing of its recording is kept
    assert right["leak_db"] == pytest.approx(-20.0, abs=1.5)
    starts = [row["new_start"][index] for index, line in enumerate(TALK) if line.channel == "right"]
    for span in right["leaks"]:
        assert span["leak_db"] == pytest.approx(right["leak_db"])
        assert min(abs(start - span["start"]) for start in starts) < 0.01
    left, right = rebuild(APART, leaking(APART, -20.0)).row["built_sides"]
    assert left["leak_db"] is None
    assert right["leak_db"] is right["leaks"] is None


def test_old_voice_that_leaked_is_not_heard_between_the_words_that_are_kept() -> None:
    samples = leaking(APART, -25.0)
    result = rebuild(APART, samples)
    assert result.row["sounds"] == []  # a leak is no laugh of the kept speaker
    levels = quiet_levels(result, APART, "right", 1)
    assert levels.max() < -62.0 + 3.0


def test_leak_is_audible_from_just_under_the_room_tone() -> None:
    rate = 16000
    frame = 512
    tone = np.full(rate, 0.001, np.float32)
    power = 0.001**2
    levels = np.array([-2.5, -3.5, 2.5, -20.0])
    powers = power * 10 ** (levels / 10)
    leak = Leak(-20.0, 0.0, [], np.repeat(powers, 2).astype(np.float32), np.ones(8, bool))
    silence = np.zeros(8 * frame, np.float32)
    fade = 160
    audible = [(-fade, 2 * frame + fade), (4 * frame - fade, 6 * frame + fade)]
    assert audible_leak(silence, leak, tone, rate) == audible
