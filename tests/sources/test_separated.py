"""Recordings that came with one channel: what is beside them, the side of each line, and lines that change it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from audio_files import SEPARATED_BY, example, reference, separate_example
from command import Command

from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.sources.folder import Folder, FolderConfig, folder_rows
from dailytalk_contiguous.sources.hub_repository import companions
from dailytalk_contiguous.stages.segment import Segment

RATE = 16000


def rows(folder: Path, **settings: Any) -> list[dict[str, Any]]:
    return list(folder_rows(FolderConfig(inputs=(str(folder),), **settings)))


def test_turns_and_models_beside_a_recording_are_in_its_row_and_null_in_others(tmp_path: Path) -> None:
    separate_example(tmp_path, doubtful=(1,))
    soundfile.write(tmp_path / "two.wav", example("weekend_trip"), RATE)
    separated, recorded = Folder(inputs=(str(tmp_path),)).as_streaming_dataset("train")
    assert separated["separated_by"] == SEPARATED_BY
    assert separated["given"] == []  # the file is no transcript
    written = json.loads((tmp_path / "old_friends.separated.json").read_text())["turns"]
    written.sort(key=lambda turn: (turn["start"], turn["channel"]))
    assert separated["separated_turns"] == [
        {**turn, "confidence": pytest.approx(turn["confidence"])} for turn in written
    ]
    assert (recorded["separated_turns"], recorded["separated_by"]) == (None, None)


def test_turns_are_beside_the_recording_where_its_transcripts_are_elsewhere(tmp_path: Path) -> None:
    separate_example(tmp_path / "calls")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/old_friends.srt").write_text("1\n00:00:00,700 --> 00:00:02,400\nA: Maria, is that you?\n")
    (row,) = rows(tmp_path / "calls", transcripts=str(tmp_path / "texts"))
    assert (row["problem"], row["separated_by"]) == (None, SEPARATED_BY)
    assert row["given"]


def test_turns_are_those_of_each_part_of_a_recording_that_is_cut(tmp_path: Path) -> None:
    separate_example(tmp_path)
    (whole,) = rows(tmp_path)
    parts = rows(tmp_path, max_conversation=30.0)
    assert len(parts) > 2
    again = [
        (
            turn["channel"],
            pytest.approx(turn["start"] + part["offset"]),
            pytest.approx(turn["end"] + part["offset"]),
        )
        for part in parts
        for turn in part["separated_turns"]
    ]
    assert again == [(turn["channel"], turn["start"], turn["end"]) for turn in whole["separated_turns"]]
    assert all(part["separated_by"] == SEPARATED_BY for part in parts)


def test_digest_and_cache_know_what_is_beside_a_recording(tmp_path: Path) -> None:
    path = separate_example(tmp_path)
    before, made = rows(tmp_path)[0]["input_digest"], Folder(inputs=(str(tmp_path),)).config.listing
    beside = path.with_suffix(".separated.json")
    beside.write_text(beside.read_text().replace("Apache-2.0", "MIT"))
    assert rows(tmp_path)[0]["input_digest"] != before
    assert Folder(inputs=(str(tmp_path),)).config.listing != made


def changed_turn(**facts: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda record: record | {"turns": [record["turns"][0] | facts, *record["turns"][1:]]}


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda record: [], "not an object"),
        (lambda record: {**record, "turns": None}, "turns is missing"),
        (lambda record: {**record, "models": []}, "0 models"),
        (lambda record: {**record, "models": [{"role": "diariser"}]}, "name is missing"),
        (lambda record: {**record, "models": [{"role": "x", "name": "y" * 5000}]}, "characters"),
        (lambda record: {**record, "duration": 12.0}, "12 s"),
        (changed_turn(channel="mix"), "mix"),
        (changed_turn(origin="copied"), "copied"),
        (changed_turn(start=-1.0), "-1.0"),
        (changed_turn(end=0.1), "0.1"),
        (changed_turn(end=500.0), "500.0"),
        (changed_turn(confidence=1.5), "1.5"),
    ],
)
def test_damaged_turns_reject_the_recording_and_are_named(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], Any], word: str
) -> None:
    beside = separate_example(tmp_path).with_suffix(".separated.json")
    beside.write_text(json.dumps(spoil(json.loads(beside.read_text()))))
    (row,) = rows(tmp_path)
    assert row["problem"].startswith("old_friends.separated.json: ")
    assert word in row["problem"]
    assert "separate" in row["remedy"]


def test_turns_that_are_too_long_or_lead_out_reject_the_recording(tmp_path: Path) -> None:
    beside = separate_example(tmp_path / "in").with_suffix(".separated.json")
    beside.write_text(beside.read_text() + " " * (16 << 20))
    assert "MiB" in rows(tmp_path / "in")[0]["problem"]
    beside.rename(tmp_path / "out.json")
    beside.symlink_to(tmp_path / "out.json")
    assert "old_friends.separated.json" in rows(tmp_path / "in")[0]["problem"]
    (tmp_path / "out.json").unlink()
    assert rows(tmp_path / "in")[0]["problem"]


def test_converted_recording_is_still_known_as_separated(dailytalk: Command, tmp_path: Path) -> None:
    separate_example(tmp_path / "calls")
    done = dailytalk("convert", tmp_path / "calls", "--to", "wav", "--out", tmp_path / "wavs")
    assert done.code == 0, done.err
    (before,), (after,) = rows(tmp_path / "calls"), rows(tmp_path / "wavs")
    assert (after["audio_file"], after["separated_turns"]) == ("old_friends.wav", before["separated_turns"])


def test_repository_brings_the_turns_of_its_recordings() -> None:
    files = ["a/call.flac", "a/call.separated.json", "b/call.separated.json", "a/call.json"]
    assert companions(["a/call.flac"], files) == {"a/call.flac": ["a/call.json", "a/call.separated.json"]}


def segmented(folder: Path, **settings: Any) -> dict[str, Any]:
    return Segment(**settings).row(rows(folder)[0])


def spoken(found: dict[str, Any]) -> list[tuple[str, float, float]]:
    return list(zip(found["channel"], found["start"], found["end"], strict=True))


def test_side_has_speech_in_its_turns_alone_and_says_how_its_samples_came(tmp_path: Path) -> None:
    path = separate_example(tmp_path, doubtful=(1,))
    # Somebody is heard on the left for four seconds of which all are the right side's.
    samples, _ = soundfile.read(path)
    samples[18 * RATE : 22 * RATE, 0] = samples[18 * RATE : 22 * RATE, 1]
    soundfile.write(path, samples, RATE, subtype="PCM_16")
    found = segmented(tmp_path)
    assert found["notes"] == []
    truth = sorted((turn["channel"], turn["start"], turn["end"]) for turn in reference("old_friends"))
    assert len({(channel, round(end)) for channel, _, end in truth}) == len(truth)
    for channel, start, end in spoken(found):
        assert any(side == channel and first - 0.12 < start and end < last + 0.12 for side, first, last in truth)
    assert not any(side == "left" and 17 < start < 23 for side, start, _ in spoken(found))
    origins = [
        origin for origin, (_, start, end) in zip(found["origin"], spoken(found), strict=True) if start < 6.4 < end
    ]
    assert origins == ["mixed", "mixed"]
    assert found["origin"][:2] == ["recorded", "recorded"]
    assert found["side_confidence"] == pytest.approx([0.95, 0.6, *[0.95] * (len(found["origin"]) - 2)])
    assert all(side["leak_db"] is None for side in found["sides"])


def test_sides_that_hold_one_sound_are_no_error_where_it_is_known_why(tmp_path: Path) -> None:
    path = separate_example(tmp_path)
    mono = example("old_friends").mean(axis=1)
    soundfile.write(path, np.stack([mono, mono], 1), RATE, subtype="PCM_16")
    turns = [
        {"channel": side, "start": 0.0, "end": 76.0, "origin": "mixed", "confidence": 0.5}
        for side in ("left", "right")
    ]
    beside = path.with_suffix(".separated.json")
    beside.write_text(json.dumps(json.loads(beside.read_text()) | {"turns": turns}))
    assert set(segmented(tmp_path)["origin"]) == {"mixed"}


def test_recording_of_two_channels_has_neither_origin_nor_confidence(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "two.wav", example("weekend_trip")[: 20 * RATE], RATE)
    found = segmented(tmp_path)
    assert found["origin"] == found["side_confidence"] == [None] * len(found["utterance_id"]) != []


# Lines that change their side.


@pytest.mark.needs("espeakng_loader")
def test_sound_of_a_line_follows_it_to_the_other_side(dailytalk: Command, tmp_path: Path) -> None:
    work, path = tmp_path / "work", separate_example(tmp_path / "calls", doubtful=(2,), words=True)
    done = dailytalk("tag", path.parent, "--out", work, "--profile", "embedded", "--language", "en")
    assert done.code == 0, done.err
    transcript = work / "transcript.jsonl"
    lines = [json.loads(line) for line in transcript.read_text().splitlines()]
    assert all(line["origin"] in ("recorded", "mixed") for line in lines)
    number = next(number for number, line in enumerate(lines) if line["side_confidence"] < 0.75)
    moved = lines[number]
    assert moved["channel"] == "left"
    moved |= {"channel": "right", "speaker": "old_friends/right"}
    transcript.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = dailytalk("speak", work, "--tts", "espeak", "--sample-rate", RATE)
    assert done.code == 0, done.err
    (row,) = open_items(work, finished=True).rows()
    assert row["separated_by"] == SEPARATED_BY
    kept = [utterance for utterance in row["utterances"] if utterance["channel"] == "right"]
    assert moved["utterance_id"] in {utterance["utterance_id"] for utterance in kept}
    sound, _ = soundfile.read(work / "audio" / "old_friends_edited.wav", dtype="int16")
    recorded, _ = soundfile.read(path, dtype="int16")
    lefts = [turn for turn in reference("old_friends") if turn["channel"] == "left"]
    (turn,) = [turn for turn in lefts if moved["start"] < turn["start"] + 0.2 < moved["end"]]
    expected, span = recorded[:, 1].copy(), slice(*(round(turn[edge] * RATE) for edge in ("start", "end")))
    expected[span] = recorded[span, 0]
    for utterance in kept:  # sample for sample, from the side on which it was
        first, last = (round(utterance[f"source_{edge}"] * RATE) for edge in ("start", "end"))
        at = round(utterance["start"] * RATE)  # its times are rounded to a tenth of a millisecond
        heard = (sound[at + shift : at + shift + last - first, 1] for shift in (-1, 0, 1))
        assert any(np.array_equal(samples, expected[first:last]) for samples in heard), utterance["utterance_id"]
