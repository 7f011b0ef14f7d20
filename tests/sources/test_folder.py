import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from audio_files import tones
from recordings import excerpt, save

from dailytalk_contiguous import Folder
from dailytalk_contiguous.machine.audio import read_pcm
from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows, recording_rows
from dailytalk_contiguous.sources.recordings.recording_files import LeftOut, list_recordings


def rows(*inputs: Path, **settings: Any) -> list[dict[str, Any]]:
    paths = tuple(map(str, inputs))
    chosen = {"inputs": paths, "language": "en"} | settings
    return list(folder_rows(FolderConfig(**chosen)))


def problem(path: Path, **settings: Any) -> str:
    (row,) = rows(path, **settings)
    assert row["remedy"] or not row["problem"]
    return row["problem"] or ""


# What a row is


def test_eager_and_streaming_and_plain_rows_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "in"
    save(folder / "a.wav")
    save(folder / "b.wav", tones(1, channels=1))
    (folder / "a.left.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nhi\n")
    inputs = (str(folder),)
    cache = str(tmp_path / "cache")
    builder = Folder(inputs=inputs, cache_dir=cache)
    builder.download_and_prepare()
    eager = builder.as_dataset("train").to_list()
    streaming = Folder(inputs=inputs, cache_dir=cache).as_streaming_dataset("train")
    assert list(streaming) == eager
    plain = folder_rows(FolderConfig(inputs=inputs))
    assert list(plain) == eager
    assert [row["problem"] is None for row in eager] == [True, False]


def digest_of(path: Path) -> str:
    (row,) = rows(path)
    return row["input_digest"]


def test_digest_changes_with_the_file_and_the_transcript_and_nothing_else(tmp_path: Path) -> None:
    path = save(tmp_path / "call.wav")
    digest = digest_of(path)
    assert digest_of(path) == digest
    (tmp_path / "call.left.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nhi\n")
    with_transcript = digest_of(path)
    os.utime(path, ns=(0, 1))
    touched = digest_of(path)
    size = path.stat().st_size
    save(path, 0.5 * excerpt())  # as long as before, and softer
    assert path.stat().st_size == size
    os.utime(path, ns=(0, 1))
    assert len({digest, with_transcript, touched, digest_of(path)}) == 4


def test_few_words_are_no_reason_to_reject_a_recording_for_its_language(tmp_path: Path) -> None:
    path = save(tmp_path / "call.wav")
    (tmp_path / "call.left.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nHello there.\n")
    (tmp_path / "call.right.srt").write_text("1\n00:00:04,000 --> 00:00:05,000\nHi.\n")
    left_out = LeftOut()
    config = FolderConfig(inputs=(str(path),), language="auto")
    (row,) = folder_rows(config, left_out)
    assert row["problem"] is None
    assert row["given_language"] is None
    assert left_out.unclear == ["call.wav"]


# What can't be used


@pytest.mark.parametrize(
    ("samples", "rate", "reason"),
    [
        (tones(1, channels=1), 16000, "it has one channel (mono)"),
        (tones(1, rate=4000), 4000, "its sample rate is 4000 Hz"),
        (tones(0), 16000, "it holds no audio"),
    ],
)
def test_unusable_recording_keeps_a_row_with_the_reason(
    tmp_path: Path, samples: Any, rate: int, reason: str
) -> None:
    path = save(tmp_path / "call.wav", samples, rate)
    assert problem(path).startswith(reason)


def test_mono_is_taken_as_one_speaker_and_three_channels_never(tmp_path: Path) -> None:
    save(tmp_path / "one.wav", tones(1, channels=1))
    save(tmp_path / "three.wav", tones(1, channels=3))
    mono, three = rows(tmp_path, channel="mix")
    assert mono["problem"] is None
    assert three["problem"] == "it has 3 channels, not one for each of two speakers"


def test_links_to_nowhere_round_or_out_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "endless.wav").symlink_to("/dev/zero")
    (tmp_path / "gone.wav").symlink_to("nothing")
    (tmp_path / "round.wav").symlink_to("round.wav")
    (tmp_path / "folder.wav").mkdir()
    save(tmp_path / "good.wav")
    problems = {row["conversation_id"]: row["problem"] for row in rows(tmp_path)}
    assert problems == {
        "endless": "it is a symbolic link that leads out of the input",
        "gone": "it can't be read (No such file or directory)",
        "good": None,
        "round": "it can't be read (Too many levels of symbolic links)",
    }


def test_transcript_that_is_a_link_out_of_the_input_is_not_opened(tmp_path: Path) -> None:
    save(tmp_path / "in/call.wav")
    (tmp_path / "notes.json").write_text('{"recorded": "2020-01-01"}')  # no transcript, as a look would show
    (tmp_path / "in/call.json").symlink_to("../notes.json")
    assert "a symbolic link that leads out of the input" in problem(tmp_path / "in")


# Transcripts


def test_broken_transcript_rejects_the_recording_and_is_named(tmp_path: Path) -> None:
    recording = save(tmp_path / "call.wav")
    transcript = tmp_path / "call.json"
    transcript.write_text('{"alignments": [')
    assert f"transcript {transcript}: it is not JSON" in problem(recording)


# Cuts


def test_long_recording_becomes_numbered_conversations_that_leave_nothing_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "cache"))
    path = save(tmp_path / "call.wav", excerpt(seconds=50))
    parts = rows(path, max_conversation=20.0)
    end = 0.0
    pieces = []
    for number, part in enumerate(parts):
        assert part["conversation_id"] == f"call.{number:03d}"
        assert part["recording_id"] == "call"
        assert part["offset"] == pytest.approx(end)
        assert part["duration"] <= 20.0
        end = part["offset"] + part["duration"]
        pieces.append(read_pcm(part["audio"], part["offset"], part["duration"]))
    assert parts[0]["offset"] == 0.0
    assert end == pytest.approx(50.0)
    whole, _ = soundfile.read(path, dtype="int16")
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


# Several at once


def test_recordings_that_are_read_side_by_side_give_the_rows_of_one_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):  # the first is the longest to search
        part = excerpt(start=number, seconds=40 - 15 * number)
        save(tmp_path / f"in/{number}.wav", part)
    save(tmp_path / "in/1.mono.wav", tones(1, channels=1))
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "one"))
    config = FolderConfig(inputs=(str(tmp_path / "in"),), max_conversation=10.0)
    alone: list[dict[str, Any]] = []
    for recording in list_recordings(config.inputs):
        alone += recording_rows(recording, config)
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "many"))
    assert list(folder_rows(config)) == alone
    recordings = {row["recording_id"] for row in alone}
    assert len(recordings) == 4 < len(alone)
