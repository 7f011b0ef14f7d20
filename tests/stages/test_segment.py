"""Segment: the utterances of a conversation, with the very samples that a later run cuts again."""

from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from audio_files import EXAMPLES, conversations, example, reference, room_tone, wav_bytes

from dailytalk_contiguous import Folder
from dailytalk_contiguous.core.audio import to_pcm
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.levels import frame_levels
from dailytalk_contiguous.models.speech_activity import hear
from dailytalk_contiguous.stages.segment import Segment

NAME = "old_friends"  # holds a turn of 17 s
PER_UTTERANCE = [name for name in Segment.adds if name not in ("uncovered_sound", "sides", "notes", "rejected")]


@lru_cache(maxsize=None)
def segmented(**settings: Any) -> dict[str, list[Any]]:
    return one_row(Segment(**settings)(conversations(EXAMPLES / f"{NAME}.flac")))


def one_row(columns: dict[str, list[Any]]) -> dict[str, Any]:
    assert list(columns) == list(Segment.adds)
    assert all(len(column) == 1 for column in columns.values())
    return {name: column[0] for name, column in columns.items()}


def rows_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    counts = {len(row[name]) for name in PER_UTTERANCE}
    assert len(counts) == 1
    return [
        dict(zip(PER_UTTERANCE, values, strict=True)) for values in zip(*map(row.get, PER_UTTERANCE), strict=True)
    ]


def test_utterances_are_in_order_and_numbered_within_their_channel() -> None:
    found = rows_of(segmented())
    assert [(one["start"], one["channel"]) for one in found] == sorted(
        (one["start"], one["channel"]) for one in found
    )
    for channel in ("left", "right"):
        own = [one for one in found if one["channel"] == channel]
        assert [one["utterance_id"] for one in own] == [f"call0/{channel}/{n:04d}" for n in range(len(own))]
        assert {one["speaker"] for one in own} == {f"call0/{channel}"}
        assert all(one["end"] <= two["start"] for one, two in pairwise(own))
        assert [one["run"] for one in own] == sorted(one["run"] for one in own)


def test_everything_that_was_said_is_in_an_utterance_of_its_channel() -> None:
    found = rows_of(segmented())
    for said in reference(NAME):
        covered = sum(
            max(0.0, min(one["end"], said["end"]) - max(one["start"], said["start"]))
            for one in found
            if one["channel"] == said["channel"]
        )
        assert covered > 0.85 * (said["end"] - said["start"])


def test_times_are_whole_samples_and_speech_is_just_them() -> None:
    pcm = to_pcm(example(NAME))
    rows = rows_of(segmented())
    assert {one["channel"] for one in rows} == {"left", "right"}
    for one in rows:
        first = one["start"] * 16000
        last = one["end"] * 16000
        assert first == round(first)
        assert last == round(last)
        channel = ("left", "right").index(one["channel"])
        assert one["speech"] == pcm[round(first) : round(last), channel].tobytes()


def test_a_cut_is_not_inside_a_word() -> None:
    found = sorted(rows_of(segmented()), key=lambda one: (one["channel"], one["start"]))
    cuts = [(one["channel"], one["end"]) for one, two in pairwise(found) if one["end"] == two["start"]]
    assert cuts
    for channel, cut in cuts:
        words = [word for said in reference(NAME) if said["channel"] == channel for word in said["words"]]
        assert not any(word["start"] + 0.05 < cut < word["end"] - 0.05 for word in words)


def test_short_utterances_are_kept_and_say_that_they_are_short() -> None:
    found = rows_of(segmented())
    for one in found:
        assert one["kind"] == ("short" if one["end"] - one["start"] < 0.8 else "speech")
    assert {one["kind"] for one in found} == {"short", "speech"}


def test_only_the_chosen_channel_becomes_utterances() -> None:
    both = rows_of(segmented())
    for channel in ("left", "right"):
        assert rows_of(segmented(channel=channel)) == [one for one in both if one["channel"] == channel]


def test_one_channel_or_three_are_refused_with_the_way_on() -> None:
    fine = example(NAME)[:32000]
    for count, said in ((1, "it has 1 channel,.*call.left.wav"), (3, "it has 3 channels,")):
        with pytest.raises(BadInput, match=f"{said}.*--channel mix") as caught:
            Segment()(conversations(fine, np.zeros((16000, count), np.float32)))
        assert caught.value.row == 1


def test_a_part_of_a_recording_has_times_from_its_own_beginning() -> None:
    path = EXAMPLES / f"{NAME}.flac"
    found = rows_of(one_row(Segment()(conversations(path, offset=[20.0], duration=[30.0]))))
    assert all(0 <= one["start"] < one["end"] <= 30.0 for one in found)
    pcm = to_pcm(example(NAME))[320000:]
    for one in found:
        piece = slice(round(one["start"] * 16000), round(one["end"] * 16000))
        assert one["speech"] == pcm[piece, ("left", "right").index(one["channel"])].tobytes()
    whole = [one for one in rows_of(segmented()) if one["start"] > 21 and one["end"] < 49]
    shifted = {(one["channel"], round(one["start"] + 20.0, 1)) for one in found}
    assert sum((one["channel"], round(one["start"], 1)) in shifted for one in whole) >= len(whole) - 1


def test_a_silent_channel_keeps_the_row_and_is_noted() -> None:
    samples = example(NAME)[: 20 * 16000].copy()
    samples[:, 0] = 0
    row = one_row(Segment()(conversations(samples)))
    assert row["notes"] == ["the left channel is silent"]
    assert set(row["channel"]) == {"right"}


@pytest.mark.parametrize("level", [None, -62.0, -35.0])
def test_a_conversation_without_speech_keeps_its_row_with_empty_lists(level: float | None) -> None:
    n_samples = 10 * 16000
    samples = np.zeros((n_samples, 2), np.float32)
    if level is not None:
        samples = np.stack([room_tone(n_samples, level, seed) for seed in (1, 2)], axis=1)
    row = one_row(Segment()(conversations(samples)))
    assert all(row[name] == [] for name in PER_UTTERANCE)
    said = "no speech in the {} channel" if level is not None else "the {} channel is silent"
    assert row["notes"] == [said.format("left"), said.format("right")]


@pytest.mark.parametrize("kind", ["noise", "hum"])
def test_sound_in_no_utterance_is_named_with_its_times_and_makes_none(kind: str) -> None:
    call = example("old_friends")[: 10 * 16000]
    times = np.arange(10 * 16000) / 16000
    burst = (
        np.random.default_rng(0).standard_normal(len(times)) if kind == "noise" else np.sin(200 * np.pi * times)
    )
    after = np.stack([room_tone(len(times), seed=side) for side in range(2)], 1)
    after[:, 0] += np.where((times > 3) & (times < 6), 0.05 * burst, 0)
    found = Segment()(conversations(np.concatenate([call, after]).astype(np.float32)))
    (sound,) = found["uncovered_sound"][0]
    assert sound == {
        "channel": "left",
        "start": pytest.approx(13, abs=0.05),
        "end": pytest.approx(16, abs=0.05),
    }
    assert max(found["end"][0]) < 11
    assert Segment()(conversations(call))["uncovered_sound"] == [[]]


@pytest.mark.needs("the shouted lines")
@pytest.mark.parametrize("gain", [1.0, 0.3])
def test_shout_that_is_no_speech_at_first_is_an_utterance(gain: float) -> None:
    lines = [
        soundfile.read(path)[0] for path in sorted((EXAMPLES.parents[2] / "shared/data/shouted").glob("*.flac"))
    ]
    found = Segment("mix")(conversations(*(gain * line[:, None] for line in lines)))
    for line, starts, ends, spoken in zip(
        lines, found["start"], found["end"], found["speech_seconds"], strict=True
    ):
        levels = frame_levels(line, 512)
        (loud,) = np.nonzero(levels > levels.max() / 300)
        covered = sum(end - start for start, end in zip(starts, ends, strict=True))
        assert covered > 0.6 * (loud[-1] - loud[0]) * 512 / 16000
        assert sum(spoken) > 0.5 * covered
        clip = hear((gain * line).astype(np.float32), 16000)
        assert sum(end - start for start, end in clip.speech) > 0.6 * covered


def test_sounds_without_words_are_no_utterances_because_they_are_loud() -> None:
    times = np.arange(5 * 16000) / 16000
    rng = np.random.default_rng(0)
    bursts = np.clip(np.sin(2 * np.pi * 1.1 * times), 0, None)
    sounds = {
        "hum": sum(np.sin(2 * np.pi * 50 * number * times) / number for number in range(1, 8)),
        "breath": rng.standard_normal(len(times)) * bursts,
        "dial tone": np.sin(2 * np.pi * 350 * times) + np.sin(2 * np.pi * 440 * times),
        "clicks": (np.arange(len(times)) % 8000 < 40) * rng.standard_normal(len(times)),
    }
    for level in (0.02, 0.1, 0.3):
        found = Segment("mix")(
            conversations(*((level * sound / np.abs(sound).max())[:, None] for sound in sounds.values()))
        )
        assert found["start"] == [[]] * len(sounds)


def sides(samples: np.ndarray, rate: int = 16000, **settings: Any) -> dict[str, dict[str, Any]]:
    row = one_row(Segment(**settings)(conversations(wav_bytes(samples, rate))))
    return {side["channel"]: side for side in row["sides"]}


def test_sides_of_a_recording_are_measured_at_the_rate_of_its_file() -> None:
    clean = example(NAME)[: 20 * 16000].copy()
    clean[:, 0] *= 10 ** (-12 / 20)
    telephone = soxr.resample(soxr.resample(clean[:, 1], 16000, 8000), 8000, 24000)
    mixed = np.stack((soxr.resample(clean[:, 0], 16000, 24000), telephone), axis=1)
    before = sides(example(NAME)[: 20 * 16000])
    after = sides(mixed, 24000)
    assert list(after) == ["left", "right"]
    assert after["left"]["bandwidth_hz"] > 7000
    assert 3400 <= after["right"]["bandwidth_hz"] <= 4000
    for name, lost in (("left", 12), ("right", 0)):
        assert after[name]["level_dbfs"] == pytest.approx(before[name]["level_dbfs"] - lost, abs=1)
        assert after[name]["snr_db"] == pytest.approx(before[name]["snr_db"], abs=4)
        assert after[name]["speech_seconds"] == pytest.approx(before[name]["speech_seconds"], rel=0.1)
    assert after["left"]["unheard_words"] is None
    assert {(side["clipping_ratio"], side["leak_db"]) for side in after.values()} == {(0.0, None)}


def spoiled(how: str, right: np.ndarray) -> np.ndarray:
    """A side that began 3 s late, drifts by 3 %, or lost a quarter of a second of every five."""
    if how == "late":
        return np.concatenate([np.zeros(3 * 16000, np.float32), right])
    if how == "drifting":
        return np.interp(np.arange(0, len(right), 1 / 1.03), np.arange(len(right)), right).astype(np.float32)
    if how == "lacking":
        return np.concatenate([right[at : at + round(4.75 * 16000)] for at in range(0, len(right), 5 * 16000)])
    return right


@pytest.mark.parametrize("how", ["in step", "late", "drifting", "lacking"])
@pytest.mark.parametrize("path", [EXAMPLES / f"{NAME}.flac"], ids=lambda path: path.stem)
def test_two_tracks_that_are_not_in_step_are_named(path: Path, how: str, tmp_path: Path) -> None:
    sound, rate = soundfile.read(path, dtype="float32")
    left, right = (np.asarray(soxr.resample(side, rate, 16000)) for side in sound.T)
    right = spoiled(how, right)
    length = max(len(left), len(right))
    both = np.stack([np.pad(side, (0, length - len(side))) for side in (left, right)], axis=1)
    soundfile.write(tmp_path / "call.flac", both, 16000)
    (row,) = Segment().map(Folder(inputs=(str(tmp_path),), given=False).as_streaming_dataset("train"))
    assert any("may not be in step" in note for note in row["notes"]) == (how != "in step")


def test_float_samples_that_are_integers_are_heard_and_noted(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    soundfile.write(path, 32768.0 * example("bicycle_repair")[: 6 * 16000], 16000, "FLOAT")
    row = one_row(Segment()(conversations(path)))
    assert len(row["utterance_id"]) == 2
    assert "its float samples are integers, and were divided by 32,768" in row["notes"]


def test_utterance_begins_with_the_soft_sound_of_its_first_word() -> None:
    """Silero is sure of this "oh, hello" from 4.90 s on, and it sounds from 4.74 s."""
    row = one_row(Segment()(conversations(EXAMPLES / "bicycle_repair.flac")))
    (start,) = [
        start
        for channel, start in zip(row["channel"], row["start"], strict=True)
        if channel == "left" and start < 6
    ]
    (said,) = [said for said in reference("bicycle_repair") if said["channel"] == "left" and said["start"] < 6]
    assert start == pytest.approx(said["start"], abs=0.01)
