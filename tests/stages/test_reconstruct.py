"""The rebuilt conversation: what is kept comes through bit for bit, and no quiet is digital silence."""

from itertools import pairwise

import numpy as np
import pytest
import soundfile
from audio_files import REAL_CALLS, example, reference, struct_of
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from revoicing import Result, Said, columns, longest_zero_run, rebuilt, recording, voice

from dailytalk_contiguous.core.audio import pcm_to_float, to_pcm
from dailytalk_contiguous.core.loudness import loudness
from dailytalk_contiguous.core.utterance import EDGES, sounding_span
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


def talk(stage: Reconstruct = KEPT, rate: int = 16000, said=TALK, tone: float | None = -62.0) -> Result:
    samples = recording(said, SECONDS, rate, tone)
    return rebuilt(stage, columns(said, samples, rate, stage.sample_rate, stage.revoice))


def source_of(one: Said, place: int, samples: np.ndarray, rate: int) -> np.ndarray:
    side = ("left", "right").index(one.channel)
    return to_pcm(samples[round(one.start * rate) : round(one.end * rate), side])


@pytest.mark.parametrize("rate", [8000, 44100])
@pytest.mark.parametrize("mode", ["anchor", "sequential"])
def test_every_kept_utterance_comes_through_bit_for_bit(mode: str, rate: int) -> None:
    samples = recording(TALK, SECONDS, rate)
    result = rebuilt(Reconstruct(mode, 0), columns(TALK, samples, rate, 0))
    assert result.rate == result.row["built_rate"] == rate
    for place, one in enumerate(TALK):
        if one.channel == "right":
            assert np.array_equal(result.heard(1, place), source_of(one, place, samples, rate))
            assert result.row["new_start"][place] * rate == pytest.approx(
                round(result.row["new_start"][place] * rate), abs=1e-6
            )
    assert result.row["timeline"]["lost_speech_seconds"] == 0.0
    assert result.row["timeline"]["lost_sound_seconds"] == 0.0
    assert result.row["timeline"]["mode"] == mode


@settings(max_examples=15)
@given(
    st.lists(st.tuples(st.sampled_from(["left", "right"]), st.integers(0, 900), st.integers(60, 900)), max_size=7),
    st.floats(0.4, 2.5),
    st.sampled_from([8000, 11025]),
)
def test_no_conversation_loses_a_kept_sample(drawn: list[tuple[str, int, int]], factor: float, rate: int) -> None:
    at = {"left": 0, "right": 0}
    said = []
    for channel, gap, length in drawn:
        start = at[channel] + gap
        at[channel] = at[channel] + gap + length
        said.append(Said(channel, start / 1000, at[channel] / 1000, factor))
    seconds = max([0.5, *(one.end for one in said)])
    samples = recording(said, seconds, rate)
    result = rebuilt(KEPT, columns(said, samples, rate, 0))
    for place, one in enumerate(said):
        if one.channel == "right":
            assert np.array_equal(result.heard(1, place), source_of(one, place, samples, rate))
        else:
            expected = round((one.end - one.start) * factor * rate) / rate
            assert result.row["new_end"][place] - result.row["new_start"][place] == pytest.approx(
                expected, abs=1.1 / rate
            )
    assert result.row["built_duration"] == len(result.pcm) / rate
    assert result.row["timeline"]["lost_speech_seconds"] == 0.0


def with_sounds(said: tuple[Said, ...], places: list[tuple[float, float]], rate: int) -> np.ndarray:
    """The recording with laughs on its right channel."""
    samples = recording(said, SECONDS, rate)
    for seed, (start, end) in enumerate(places):
        samples[round(start * rate) : round(end * rate), 1] = voice(end - start, rate, 50 + seed, 0.05)
    return pcm_to_float(to_pcm(samples).tobytes()).reshape(-1, 2)


@pytest.mark.parametrize("run", [-1, 3])
def test_laughs_of_the_kept_speaker_come_through_and_near_ones_move_with_their_utterance(run: int) -> None:
    rate = 16000
    said = tuple(one._replace(run=-2 - place if run < 0 else place) for place, one in enumerate(TALK))
    places = [(1.0, 1.4), (6.7, 7.0), (9.3, 9.6), (11.5, 11.8)]
    samples = with_sounds(said, places, rate)
    result = rebuilt(KEPT, columns(said, samples, rate, 0))
    found = result.row["sounds"]
    assert np.allclose([(one["start"], one["end"]) for one in found], places, atol=0.011)
    for one in found:
        first = round(one["start"] * rate)
        length = round(one["end"] * rate) - round(one["start"] * rate)
        new_first = round(one["new_start"] * rate)
        expected = to_pcm(samples[first : first + length, 1])
        assert np.array_equal(result.pcm[new_first : new_first + length, 1], expected)
    # a breath 0.1 s before an interruption: alone it would keep its share of the turn, which lasts longer now
    near = found[1]
    utterance = 4
    assert result.row["new_start"][utterance] - near["new_start"] == pytest.approx(
        said[utterance].start - near["start"], abs=2 / rate
    )
    assert result.row["timeline"]["lost_sound_seconds"] == 0.0


@pytest.mark.parametrize("tone", [-75.0])
@pytest.mark.parametrize("out_rate", [0, 24000])
def test_nowhere_is_digital_silence(tone: float | None, out_rate: int) -> None:
    said = (*TALK[:3], TALK[3]._replace(status="kept"), *TALK[4:])
    samples = recording(said, SECONDS, 16000, tone)
    batch = columns(said, samples, 16000, out_rate)
    hushed = np.frombuffer(batch["spoken"][0][2], "<i2").copy()
    hushed[4000:12000] = 0  # a pause inside a sentence, as synthesisers make them
    batch["spoken"][0][2] = hushed.tobytes()
    result = rebuilt(Reconstruct(sample_rate=out_rate), batch)
    for side in (0, 1):
        assert longest_zero_run(result.pcm[:, side]) < 24


@pytest.mark.parametrize("leak_db", [-20.0, -30.0])
@pytest.mark.parametrize("revoice", ["left", "right"])
def test_nobody_is_heard_where_the_revoiced_side_is_silent(revoice: str, leak_db: float) -> None:
    """The kept voice that leaked into that side is no room tone, also where speech activity heard it late."""
    name = "old_friends"
    samples = example(name).copy()
    rate = 16000
    side = ("left", "right").index(revoice)
    samples[96:, side] += np.float32(10 ** (leak_db / 20)) * example(name)[:-96, 1 - side]
    said = [
        Said(
            line["channel"], line["start"] + 0.1 * (line["channel"] != revoice), line["end"], 0.9 + 0.05 * (n % 6)
        )
        for n, line in enumerate(reference(name))
    ]
    said = [one._replace(status="spoken" if one.channel == revoice else "kept") for one in said]
    result = rebuilt(Reconstruct(sample_rate=0, revoice=revoice), columns(said, samples, rate, 0, revoice))
    silent = np.ones(len(result.pcm), bool)
    for place, one in enumerate(said):
        if one.channel == revoice:
            first, last = (round(result.row[key][place] * rate) for key in ("new_start", "new_end"))
            silent[first:last] = False
    frames = slice(0, len(silent) // 800 * 800)
    quiet = silent[frames].reshape(-1, 800).all(axis=1)
    levels = 20 * np.log10(np.std(result.pcm[frames, 0].reshape(-1, 800) / 32768, axis=1)[quiet])
    assert levels.max() < -62.0 + 6.0


def test_the_background_of_the_kept_speaker_is_that_of_the_recording() -> None:
    """A plosive before a word, a soft click and the noise between events come through as they were."""
    rate = 16000
    samples = recording(TALK, SECONDS, rate)
    for seed, (start, seconds) in enumerate([(2.7, 0.03), (6.5, 0.01), (10.5, 0.02)]):
        samples[round(start * rate) : round((start + seconds) * rate), 1] = voice(seconds, rate, seed, 0.02)
    samples = pcm_to_float(to_pcm(samples).tobytes()).reshape(-1, 2)
    source = to_pcm(samples[:, 1])
    said = tuple(one._replace(factor=1.3) for one in TALK)  # no gap of the kept side loses time
    result = rebuilt(KEPT, columns(said, samples, rate, 0))
    heard = sliding_window_view(result.pcm[:, 1], 160)
    spans = [(one.start - 0.01, one.end) for one in TALK if one.channel == "right"]
    kept = 0.0
    energy = 0.0
    for first in range(0, len(source) - 160, 160):
        if any(start < first / rate < end for start, end in spans):
            continue
        part = source[first : first + 160]
        power = float(np.sum(part.astype(float) ** 2))
        energy += power
        kept += power * (heard[heard[:, 0] == part[0]] == part).all(axis=1).any()
    assert kept >= 0.99 * energy


def test_the_new_voice_has_the_loudness_of_the_old_by_one_gain() -> None:
    said = tuple(one._replace(peak=0.1) for one in TALK)
    samples = recording(said, SECONDS, 24000)
    batch = columns(said, samples, 24000, 0)
    soft = np.frombuffer(batch["spoken"][0][0], "<i2") // 3
    batch["spoken"][0][0] = soft.astype("<i2").tobytes()
    result = rebuilt(KEPT, batch)
    left = [place for place, one in enumerate(said) if one.channel == "left"]
    new = np.concatenate([result.heard(0, place) for place in left]).astype(np.float32) / 32768
    old = np.concatenate([pcm_to_float(source_of(said[p], p, samples, 24000).tobytes()) for p in left])
    assert loudness(new, 24000) == pytest.approx(loudness(old, 24000), abs=0.5)
    assert result.row["timeline"]["loudness_missing_db"] == 0.0
    gains = [
        np.std(result.heard(0, place) / 1.0) / np.std(np.frombuffer(batch["spoken"][0][place], "<i2"))
        for place in left
    ]
    assert np.allclose(20 * np.log10(gains), result.row["timeline"]["loudness_gain_db"], atol=0.2)


def test_a_dropped_utterance_becomes_room_tone_and_has_no_times() -> None:
    said = (TALK[0], TALK[1], TALK[2]._replace(status="dropped"), *TALK[3:])
    result = talk(said=said)
    for name in ("new_start", "new_end", "event", "source_event"):
        assert [value is None for value in result.row[name]] == [one.status == "dropped" for one in said]
    between = slice(round(result.row["new_end"][0] * 16000), round(result.row["new_start"][5] * 16000))
    assert np.abs(result.pcm[between, 0]).max() < 300


@pytest.mark.parametrize(
    "said",
    [
        (),
        (Said("left", 1.0, 2.0, 1.5),),
        (Said("left", 0.0, 12.0, status="kept-original"),),
    ],
)
def test_one_sided_and_empty_conversations_are_rebuilt(said: tuple[Said, ...]) -> None:
    result = talk(said=said)
    expected = SECONDS + sum((one.end - one.start) * (one.factor - 1) for one in said)
    assert result.row["built_duration"] == pytest.approx(expected, abs=1e-4)
    for side in (0, 1):
        filled = [one for one in said if one.end - one.start == SECONDS]
        if not filled:
            assert longest_zero_run(result.pcm[:, side]) < 24
    rows = Dataset.from_dict({"row": [0]}).map(
        lambda _: {name: [value] for name, value in result.row.items()},
        batched=True,
        features=Reconstruct.adds,
        remove_columns="row",
    )
    assert rows.num_rows == 1  # types hold, also of what could not be measured


@pytest.mark.needs("the real calls")
@pytest.mark.parametrize("revoice", ["left", pytest.param("right", marks=pytest.mark.nightly)])
def test_real_calls_lose_nothing_of_the_kept_speaker(revoice: str) -> None:
    for path in REAL_CALLS:
        samples, rate = soundfile.read(path, dtype="float32")
        audio = struct_of(path)
        source = {"conversation_id": ["a"], "recording_id": ["a"], "audio": [audio]}
        source |= {"offset": [0.0], "duration": [len(samples) / rate]}
        found = {name: values[0] for name, values in Segment()(source).items()}
        factors = np.random.default_rng(7).uniform(0.6, 1.6, len(found["start"]))
        said = [
            Said(*one)
            for one in zip(found["channel"], found["start"], found["end"], factors.tolist(), strict=True)
        ]
        said = [one._replace(run=run) for one, run in zip(said, found["run"], strict=True)]
        batch = columns(said, samples, rate, 0, revoice) | {"audio": [audio]}
        result = rebuilt(Reconstruct(sample_rate=0, revoice=revoice), batch)
        kept = 1 - ("left", "right").index(revoice)
        for place, one in enumerate(said):
            if one.channel != revoice:
                assert np.array_equal(result.heard(1, place), source_of(one, place, samples, rate))
        assert result.row["sounds"]
        for one in result.row["sounds"]:
            first = round(one["start"] * rate)
            last = round(one["end"] * rate)
            new = round(one["new_start"] * rate)
            there = result.pcm[new : new + last - first, 1]
            assert np.array_equal(there, to_pcm(samples[first:last, kept]))
        timeline = result.row["timeline"]
        assert (timeline["lost_speech_seconds"], timeline["lost_sound_seconds"]) == (0.0, 0.0)
        assert longest_zero_run(result.pcm[:, 0]) < 40


def test_a_take_sounds_where_its_source_did_and_what_is_kept_where_it_was() -> None:
    said = (Said("left", 1.0, 3.0), Said("right", 3.4, 5.0), Said("left", 5.5, 7.0), Said("right", 6.0, 8.0))
    trims = {"start_trim": [[0.02, -0.1, 0.0, 0.03]], "end_trim": [[0.08, 0.1, 0.06, 0.1]]}
    batch = columns(said, recording(said, 9.0, 16000), 16000, 16000, **trims)
    quiet = np.zeros(480, np.int16).tobytes()
    batch["spoken"] = [[quiet + take + quiet if take else take for take in batch["spoken"][0]]]
    row = rebuilt(Reconstruct(sample_rate=16000), batch).row
    columns_of = zip(*(row[f"new_{name}"] for name in EDGES), strict=True)
    utterances = [dict(zip(EDGES, edges, strict=True)) for edges in columns_of]
    heard = [sounding_span(utterance) for utterance in utterances]
    gaps = [after[0] - before[1] for before, after in pairwise(heard)]
    assert gaps == pytest.approx([0.38, 0.6, -0.91], abs=0.012)  # to a frame of 10 ms
    assert [utterance["start_trim"] for utterance in utterances[1::2]] == [-0.1, 0.03]
    assert [utterance["start_trim"] for utterance in utterances[::2]] == pytest.approx([0.03, 0.03], abs=0.011)
    assert row["timeline"]["source_overlap_seconds"] == pytest.approx(0.91, abs=0.012)


#: Samples by which a voice leaks later, at 16 kHz: 6 ms.
LEAK_SAMPLES = 96

#: TALK without overlaps.
APART = (TALK[0], TALK[1], TALK[2]._replace(start=5.2), *TALK[5:])


def leaking(said: tuple[Said, ...], level_db: float) -> np.ndarray:
    """A recording at 16 kHz in which the left voice is heard on the right, too."""
    samples = recording(said, SECONDS, 16000)
    samples[LEAK_SAMPLES:, 1] += np.float32(10 ** (level_db / 20)) * samples[:-LEAK_SAMPLES, 0]
    return samples


def test_leak_of_the_old_voice_is_measured_where_words_that_are_kept_hold_it() -> None:
    """Without overlap nothing of the leak comes along."""
    for said, leaked in ((TALK, True), (APART, False)):
        row = rebuilt(KEPT, columns(said, leaking(said, -20.0), 16000, 0)).row
        left, right = row["built_sides"]
        assert left["leak_db"] is None  # nothing of its recording is kept
        assert right["leak_db"] == (pytest.approx(-20.0, abs=1.5) if leaked else None)


def test_old_voice_that_leaked_is_not_heard_between_the_words_that_are_kept() -> None:
    result = rebuilt(KEPT, columns(APART, leaking(APART, -25.0), 16000, 0))
    assert result.row["sounds"] == []  # a leak is no laugh of the kept speaker
    silent = np.ones(len(result.pcm), bool)
    for place, utterance in enumerate(APART):
        if utterance.channel == "right":
            first, last = (round(result.row[key][place] * 16000) for key in ("new_start", "new_end"))
            silent[first:last] = False
    frames = slice(0, len(silent) // 800 * 800)
    quiet = silent[frames].reshape(-1, 800).all(axis=1)
    levels = 20 * np.log10(np.std(result.pcm[frames, 1].reshape(-1, 800) / 32768, axis=1)[quiet])
    assert levels.max() < -62.0 + 3.0


def test_leak_is_audible_from_just_under_the_room_tone() -> None:
    rate = 16000
    frame = 512
    tone = np.full(rate, 0.001, np.float32)
    power = 0.001**2
    decibels = [-2.5, -3.5, 2.5, -20.0]
    leak = np.repeat([power * 10 ** (level / 10) for level in decibels], 2)
    assert audible_leak(leak, tone, rate) == [(0, 2 * frame), (4 * frame, 6 * frame)]
