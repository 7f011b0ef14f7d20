"""Segment: the utterances of a conversation, with the very samples that a later run cuts again."""

from functools import lru_cache
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from audio_files import EXAMPLES, Samples, conversations, example, reference, room_tone, wav_bytes
from datasets import Dataset
from stage_calls import columns_after

from dailytalk_contiguous import Folder
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.sound.levels import frame_levels
from dailytalk_contiguous.core.sound.samples import to_pcm
from dailytalk_contiguous.models.speech_activity import hear
from dailytalk_contiguous.stages.segment import Segment

NAME = "old_friends"  # holds a turn of 17 s
NOT_PER_UTTERANCE = ("uncovered_sound", "sound_digest", "side_shift", "sides", "notes", "rejected")
PER_UTTERANCE = [name for name in Segment.adds if name not in NOT_PER_UTTERANCE]


Utterance = dict[str, Any]


@lru_cache(maxsize=None)
def segmented(**settings: Any) -> dict[str, list[Any]]:
    batch = conversations(EXAMPLES / f"{NAME}.flac")
    return one_row(columns_after(Segment(**settings), batch))


def one_row(columns: dict[str, list[Any]]) -> dict[str, Any]:
    assert list(columns) == list(Segment.adds)
    row = {}
    for name, column in columns.items():
        (row[name],) = column
    return row


def segment(recording: Samples | Path) -> dict[str, Any]:
    """A recording of two channels, segmented."""
    return one_row(columns_after(Segment(), conversations(recording)))


def side_of(utterances: list[Utterance], channel: str) -> list[Utterance]:
    return [utterance for utterance in utterances if utterance["channel"] == channel]


def rows_of(row: dict[str, Any]) -> list[Utterance]:
    columns = {name: row[name] for name in PER_UTTERANCE}
    n_utterances = len(row["start"])
    for column in columns.values():
        assert len(column) == n_utterances
    return Dataset.from_dict(columns).to_list()


def seconds(utterance: Utterance) -> float:
    return utterance["end"] - utterance["start"]


def shared_seconds(utterance: Utterance, other: Utterance) -> float:
    """Seconds in which two utterances of a channel overlap; 0 for two channels."""
    if utterance["channel"] != other["channel"]:
        return 0.0
    start = max(utterance["start"], other["start"])
    end = min(utterance["end"], other["end"])
    return max(0.0, end - start)


def test_utterances_are_in_order_and_numbered_within_their_channel() -> None:
    utterances = rows_of(segmented())
    order = [(utterance["start"], utterance["channel"]) for utterance in utterances]
    assert order == sorted(order)
    for channel in ("left", "right"):
        side = side_of(utterances, channel)
        for number, utterance in enumerate(side):
            assert utterance["utterance_id"] == f"call0/{channel}/{number:04d}"
            assert utterance["speaker"] == f"call0/{channel}"
        for first, second in pairwise(side):
            assert first["end"] <= second["start"]
            assert first["run"] <= second["run"]


def test_everything_that_was_said_is_in_an_utterance_of_its_channel() -> None:
    utterances = rows_of(segmented())
    for line in reference(NAME):
        covered = sum(shared_seconds(utterance, line) for utterance in utterances)
        assert covered > 0.85 * seconds(line)


def test_times_are_whole_samples_and_speech_is_just_them() -> None:
    pcm = to_pcm(example(NAME))
    utterances = rows_of(segmented())
    channels = {utterance["channel"] for utterance in utterances}
    assert channels == {"left", "right"}
    for utterance in utterances:
        first = utterance["start"] * 16000
        last = utterance["end"] * 16000
        assert first == round(first)
        assert last == round(last)
        side = CHANNELS.index(utterance["channel"])
        samples = pcm[round(first) : round(last), side]
        assert utterance["speech"] == samples.tobytes()


def inner_cuts(channel: str) -> list[float]:
    """Where an utterance of a channel ends at the beginning of the next."""
    both = rows_of(segmented())
    utterances = side_of(both, channel)
    utterances.sort(key=itemgetter("start"))
    pairs = pairwise(utterances)
    return [first["end"] for first, second in pairs if first["end"] == second["start"]]


def test_a_cut_is_not_inside_a_word() -> None:
    assert inner_cuts("left") + inner_cuts("right")
    for line in reference(NAME):
        cuts = inner_cuts(line["channel"])
        for word in line["words"]:
            start = word["start"] + 0.05
            end = word["end"] - 0.05
            inside = [cut for cut in cuts if start < cut < end]
            assert inside == []


def test_short_utterances_are_kept_and_say_that_they_are_short() -> None:
    utterances = rows_of(segmented())
    for utterance in utterances:
        is_short = seconds(utterance) < 0.8
        assert utterance["kind"] == ("short" if is_short else "speech")
    kinds = {utterance["kind"] for utterance in utterances}
    assert kinds == {"short", "speech"}


def test_only_the_chosen_channel_becomes_utterances() -> None:
    both = rows_of(segmented())
    for channel in ("left", "right"):
        expected = side_of(both, channel)
        assert rows_of(segmented(channel=channel)) == expected


@pytest.mark.parametrize("level", [1.0, 0.4])
def test_mix_of_opposite_sides_is_their_voice_and_not_silence(level: float) -> None:
    voice = example(NAME)[:320_000, :1]
    mix = Segment(channel="mix")
    alone = one_row(columns_after(mix, conversations(voice)))
    opposite = one_row(columns_after(mix, conversations(np.hstack((voice, -level * voice)))))
    assert opposite["start"] == alone["start"]
    (alone_side,) = alone["sides"]
    (opposite_side,) = opposite["sides"]
    lower_db = 20 * np.log10((1 + level) / 2)
    assert opposite_side["level_dbfs"] == pytest.approx(alone_side["level_dbfs"] + lower_db, abs=0.1)


def test_one_channel_or_three_are_refused_with_the_way_on() -> None:
    fine = example(NAME)[:32000]
    reasons = {1: "it has 1 channel,.*call.left.wav", 3: "it has 3 channels,"}
    for count, reason in reasons.items():
        silence = np.zeros((16000, count), np.float32)
        batch = conversations(fine, silence)
        with pytest.raises(BadInput, match=f"{reason}.*--channel mix") as caught:
            columns_after(Segment(), batch)
        assert caught.value.row == 1


def rounded_start(utterance: Utterance, offset: float = 0.0) -> tuple[str, float]:
    start = round(utterance["start"] + offset, 1)
    return utterance["channel"], start


def test_a_part_of_a_recording_has_times_from_its_own_beginning() -> None:
    batch = conversations(EXAMPLES / f"{NAME}.flac", offset=[20.0], duration=[30.0])
    row = one_row(columns_after(Segment(), batch))
    utterances = rows_of(row)
    pcm = to_pcm(example(NAME))[320000:]
    for utterance in utterances:
        assert 0 <= utterance["start"] < utterance["end"] <= 30.0
        first = round(utterance["start"] * 16000)
        last = round(utterance["end"] * 16000)
        side = CHANNELS.index(utterance["channel"])
        samples = pcm[first:last, side]
        assert utterance["speech"] == samples.tobytes()
    whole = rows_of(segmented())
    inner = [utterance for utterance in whole if utterance["start"] > 21 and utterance["end"] < 49]
    shifted = {rounded_start(utterance, 20.0) for utterance in utterances}
    starts = [rounded_start(utterance) for utterance in inner]
    missing = [start for start in starts if start not in shifted]
    assert len(missing) <= 1


def test_a_silent_channel_keeps_the_row_and_is_noted() -> None:
    samples = example(NAME)[: 20 * 16000].copy()
    samples[:, 0] = 0
    row = segment(samples)
    assert row["notes"] == ["the left channel is silent"]
    assert set(row["channel"]) == {"right"}


def test_digest_of_a_recording_is_that_of_its_copies_and_of_nothing_else(tmp_path: Path) -> None:
    samples = to_pcm(example(NAME)[: 4 * 16000])
    other = samples.copy()
    other[1000, 0] += 1
    copy = tmp_path / "copy.flac"
    soundfile.write(copy, samples, 16000)
    wav = tmp_path / "call.wav"
    soundfile.write(wav, samples, 16000)
    digests = [segment(recording)["sound_digest"] for recording in (wav, copy, samples[:, ::-1], other)]
    assert digests[0] == digests[1] == digests[2] != digests[3]


@pytest.mark.parametrize("level", [None, -62.0, -35.0])
def test_a_conversation_without_speech_keeps_its_row_with_empty_lists(level: float | None) -> None:
    n_samples = 10 * 16000
    if level is None:
        samples = np.zeros((n_samples, 2), np.float32)
        note = "the {} channel is silent"
    else:
        sides = [room_tone(n_samples, level, seed) for seed in (1, 2)]
        samples = np.stack(sides, axis=1)
        note = "no speech in the {} channel"
    row = segment(samples)
    for name in PER_UTTERANCE:
        assert row[name] == []
    assert row["notes"] == [note.format("left"), note.format("right")]


@pytest.mark.parametrize("kind", ["noise", "hum"])
def test_sound_in_no_utterance_is_named_with_its_times_and_makes_none(kind: str) -> None:
    call = example("old_friends")[: 10 * 16000]
    times = np.arange(10 * 16000) / 16000
    if kind == "noise":
        sound = np.random.default_rng(0).standard_normal(len(times))
    else:
        sound = np.sin(200 * np.pi * times)
    is_burst = (times > 3) & (times < 6)
    burst = 0.05 * sound * is_burst
    background = [room_tone(len(times), seed=side) for side in range(2)]
    after = np.stack(background, 1)
    after[:, 0] += burst
    samples = np.concatenate([call, after])
    batch = conversations(samples.astype(np.float32))
    segmented_call = columns_after(Segment(), batch)
    (uncovered,) = segmented_call["uncovered_sound"][0]
    assert uncovered == {
        "channel": "left",
        "start": pytest.approx(13, abs=0.05),
        "end": pytest.approx(16, abs=0.05),
    }
    (ends,) = segmented_call["end"]
    assert max(ends) < 11
    batch = conversations(call)
    without_burst = columns_after(Segment(), batch)
    assert without_burst["uncovered_sound"] == [[]]


SHOUTED = EXAMPLES.parents[2] / "shared/data/shouted"


def loud_seconds(line: np.ndarray) -> float:
    """From the first loud frame of a line to its last."""
    levels = frame_levels(line, 512)
    threshold = levels.max() / 300
    (loud,) = np.nonzero(levels > threshold)
    n_frames = loud[-1] - loud[0]
    return float(n_frames * 512 / 16000)


@pytest.mark.needs("the shouted lines")
@pytest.mark.parametrize("gain", [1.0, 0.3])
def test_shout_that_is_no_speech_at_first_is_an_utterance(gain: float) -> None:
    lines = []
    for path in sorted(SHOUTED.glob("*.flac")):
        samples, _ = soundfile.read(path)
        lines.append(samples)
    columns = [gain * line[:, None] for line in lines]
    batch = columns_after(Segment("mix"), conversations(*columns))
    for index, line in enumerate(lines):
        starts = batch["start"][index]
        ends = batch["end"][index]
        covered = sum(ends) - sum(starts)
        assert covered > 0.6 * loud_seconds(line)
        spoken = sum(batch["speech_seconds"][index])
        assert spoken > 0.5 * covered
        samples = (gain * line).astype(np.float32)
        clip = hear(samples, 16000)
        heard = sum(end - start for start, end in clip.speech)
        assert heard > 0.6 * covered


def test_sounds_without_words_are_no_utterances_because_they_are_loud() -> None:
    times = np.arange(5 * 16000) / 16000
    rng = np.random.default_rng(0)

    def tone(hertz: float) -> np.ndarray:
        return np.sin(2 * np.pi * hertz * times)

    bursts = np.clip(tone(1.1), 0, None)
    breath = rng.standard_normal(len(times)) * bursts
    clicks = rng.standard_normal(len(times))
    clicks[np.arange(len(times)) % 8000 >= 40] = 0
    hum = np.zeros(len(times))
    for number in range(1, 8):
        hum += tone(50 * number) / number
    dial_tone = tone(350) + tone(440)
    for level in (0.02, 0.1, 0.3):
        recordings = []
        for sound in (hum, breath, dial_tone, clicks):
            peak = np.abs(sound).max()
            scaled = level * sound / peak
            recordings.append(scaled[:, None])
        batch = conversations(*recordings)
        made = columns_after(Segment("mix"), batch)
        assert made["start"] == [[]] * len(recordings)


def sides(samples: np.ndarray, rate: int = 16000, **settings: Any) -> dict[str, dict[str, Any]]:
    batch = conversations(wav_bytes(samples, rate))
    row = one_row(columns_after(Segment(**settings), batch))
    return {side["channel"]: side for side in row["sides"]}


def test_sides_of_a_recording_are_measured_at_the_rate_of_its_file() -> None:
    clean = example(NAME)[: 20 * 16000].copy()
    clean[:, 0] *= 10 ** (-12 / 20)
    left = soxr.resample(clean[:, 0], 16000, 24000)
    narrow = soxr.resample(clean[:, 1], 16000, 8000)
    telephone = soxr.resample(narrow, 8000, 24000)
    mixed = np.stack((left, telephone), axis=1)
    before = sides(example(NAME)[: 20 * 16000])
    after = sides(mixed, 24000)
    assert list(after) == ["left", "right"]
    assert after["left"]["bandwidth_hz"] > 7000
    assert 3400 <= after["right"]["bandwidth_hz"] <= 4000
    for name, attenuation in (("left", 12), ("right", 0)):
        side = after[name]
        level = before[name]["level_dbfs"] - attenuation
        assert side["level_dbfs"] == pytest.approx(level, abs=1)
        snr = before[name]["snr_db"]
        assert side["snr_db"] == pytest.approx(snr, abs=4)
        speech = before[name]["speech_seconds"]
        assert side["speech_seconds"] == pytest.approx(speech, rel=0.1)
        assert side["clipping_ratio"] == 0.0
        assert side["leak_db"] is None
    assert after["left"]["unheard_words"] is None


def test_a_side_that_carries_no_sound_any_more_is_told_from_a_gated_one() -> None:
    dead = example(NAME)[: 40 * 16000].copy()
    dead[25 * 16000 :, 0] = 0
    ended = sides(dead)
    assert ended["left"]["silent_end"] == pytest.approx(15, abs=0.1)
    assert ended["right"]["silent_end"] == 0
    late = dead.copy()
    late[: 2 * 16000, 0] = 0
    assert sides(late)["left"]["silent_end"] == pytest.approx(15, abs=0.1)
    gated = dead.copy()
    gated[5 * 16000 : 6 * 16000, 0] = 0
    assert sides(gated)["left"]["silent_end"] is None


def music_on_hold(seconds: float, kind: str) -> np.ndarray:
    """Notes of an arpeggio, two a second, or chords of two seconds; peak 1, at 16 kHz."""
    is_chord = kind == "chords"
    step = 2.0 if is_chord else 0.5
    music = np.zeros(round((seconds + 4) * 16000))
    for number in range(round(seconds / step)):
        first = round(number * step * 16000)
        root = (220.0, 174.6, 261.6, 196.0)[int(number * step / 2) % 4]
        times = np.arange(round(1.5 * step * 16000)) / 16000
        loudness = np.exp(-times * (0.3 if is_chord else 3.0)) * np.minimum(1, times / 0.01)
        notes = (1.0, 1.26, 1.5) if is_chord else (1.0, 2 * (1, 1.26, 1.5, 2)[number % 4])
        for note in notes:
            for harmonic in range(1, 6):
                tone = np.sin(2 * np.pi * root * note * harmonic * times) / harmonic
                music[first : first + len(times)] += loudness * tone
    music = music[: round(seconds * 16000)]
    return np.asarray(music / np.abs(music).max())


@pytest.mark.parametrize("kind", ["arpeggio", "chords"])
@pytest.mark.parametrize("name", ["weekend_trip", "burnt_dinner", "bicycle_repair"])
def test_speech_right_behind_music_on_hold_is_found_and_the_music_is_none(name: str, kind: str) -> None:
    """After 15 s of music Silero alone misses three of these 24 utterances, and the first word of others."""
    call = example(name)
    row = one_row(columns_after(Segment(), conversations(call)))
    starts = [start for start, side in zip(row["start"], row["channel"], strict=True) if side == "right"]
    music = 0.3 * music_on_hold(15, kind)
    held = np.stack((np.resize(call[:1600, 0], len(music)), music), axis=1)
    for number, start in enumerate(starts[1:5], start=1):
        cut = round((start - 0.02) * 16000)
        joined = np.concatenate((call[:cut], held, call[cut:]))
        again = one_row(columns_after(Segment(), conversations(joined)))
        begun = [at for at, side in zip(again["start"], again["channel"], strict=True) if side == "right"]
        assert not any(start < at < start + 14.5 for at in begun)
        for channel, first, last in zip(again["channel"], again["start"], again["end"], strict=True):
            for sound in again["uncovered_sound"]:
                shared = min(last, sound["end"]) - max(first, sound["start"])
                assert sound["channel"] != channel or shared < 0.05
        assert begun[number] == pytest.approx(start + 15, abs=0.3)


def spoiled(how: str, right: np.ndarray) -> np.ndarray:
    """A side that began 3 s late, drifts by 3 %, or lost a quarter of a second of every five."""
    if how == "late":
        silence = np.zeros(3 * 16000, np.float32)
        return np.concatenate([silence, right])
    if how == "drifting":
        drifted = np.arange(0, len(right), 1 / 1.03)
        samples = np.interp(drifted, np.arange(len(right)), right)
        return samples.astype(np.float32)
    if how == "lacking":
        kept = round(4.75 * 16000)
        firsts = range(0, len(right), 5 * 16000)
        return np.concatenate([right[first : first + kept] for first in firsts])
    return right


@pytest.mark.parametrize("how", ["in step", "late", "drifting", "lacking"])
def test_two_tracks_that_are_not_in_step_are_named(how: str, tmp_path: Path) -> None:
    sound, rate = soundfile.read(EXAMPLES / f"{NAME}.flac", dtype="float32")
    resampled = np.asarray(soxr.resample(sound, rate, 16000))
    left = resampled[:, 0]
    right = spoiled(how, resampled[:, 1])
    length = max(len(left), len(right))
    both = np.zeros((length, 2), np.float32)
    both[: len(left), 0] = left
    both[: len(right), 1] = right
    soundfile.write(tmp_path / "call.flac", both, 16000)
    inputs = (str(tmp_path),)
    folder = Folder(inputs=inputs, given=False)
    recordings = folder.as_streaming_dataset("train")
    (row,) = Segment().map(recordings)
    noted = any("may not be in step" in note for note in row["notes"])
    assert noted == (how != "in step")


def test_float_samples_that_are_integers_are_heard_and_noted(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    samples = 32768.0 * example("bicycle_repair")[: 6 * 16000]
    soundfile.write(path, samples, 16000, "FLOAT")
    row = segment(path)
    assert len(row["utterance_id"]) == 2
    assert "its float samples are integers, and were divided by 32,768" in row["notes"]


def test_utterance_begins_with_the_soft_sound_of_its_first_word() -> None:
    """Silero is sure of this "oh, hello" from 4.90 s on, and it sounds from 4.74 s."""
    row = segment(EXAMPLES / "bicycle_repair.flac")

    def first_on_the_left(rows: list[Utterance]) -> Utterance:
        (first,) = [line for line in side_of(rows, "left") if line["start"] < 6]
        return first

    utterance = first_on_the_left(rows_of(row))
    line = first_on_the_left(reference("bicycle_repair"))
    assert utterance["start"] == pytest.approx(line["start"], abs=0.01)
