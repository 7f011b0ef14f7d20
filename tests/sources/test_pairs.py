"""Recordings with a file for each speaker: which files belong together, and the one recording that they make."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_files import Samples, room_tone
from recordings import excerpt, run, save

from dailytalk_contiguous import tag_stages
from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.machine.audio import read_pcm
from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows
from dailytalk_contiguous.sources.pairs import pairs
from dailytalk_contiguous.sources.recordings import LeftOut, list_recordings
from dailytalk_contiguous.sources.transcribed import transcribed

LEFT = excerpt()[:, 0]
RIGHT = excerpt()[:, 1]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "cache"))


def sides(folder: Path, left: str, right: str) -> Path:
    """A folder with a file for each speaker of one excerpt."""
    save(folder / left, LEFT)
    save(folder / right, RIGHT)
    return folder


def rows(folder: Path, **options: str) -> list[dict[str, object]]:
    return list(folder_rows(FolderConfig(inputs=(str(folder),), language="en", **options)))  # type: ignore[arg-type]


def heard(row: dict[str, object]) -> Samples:
    return np.asarray(read_pcm(row["audio"], sample_rate=16000), np.float32) / 32768  # type: ignore[arg-type]


def named(*names: str, channels: int = 1) -> dict[str, list[str]]:
    """Which files of these names are put together, by what they are called then."""
    paired = {}
    with tempfile.TemporaryDirectory() as folder:
        files = {Path(name): Path(folder, name) for name in names}
        for path in files.values():
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, np.zeros((80, channels)), 8000, format="WAV")
        for whole, match in pairs(files).items():
            paired[str(whole)] = [str(path.relative_to(folder)) for path in match.pair.files]
    return paired


# Names


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("talk.left.mp3", "talk.right.mp3"),
        ("talk.A.wav", "talk.B.wav"),
        ("talk_1.wav", "talk_2.wav"),
        ("talk-L.flac", "talk-R.flac"),
        ("talk.left.mp3", "talk.right.flac"),
    ],
)
def test_two_mono_files_of_such_names_are_one_recording(left: str, right: str) -> None:
    ((whole, files),) = named(right, left).items()
    assert Path(whole).name == "talk.flac"
    assert files == [left, right]


@pytest.mark.parametrize(
    "names",
    [
        ("talk_1.wav", "talk_2.wav", "talk_3.wav"),  # takes that are counted
        ("talk.left.wav", "talk.left.mp3", "talk.right.wav"),  # which of two is the left side?
        ("talk.left.wav", "talk.right.wav", "talk.wav"),  # the whole is there already
        ("a/talk_1.wav", "b/talk_2.wav"),
        ("talk_1.wav", "talk_B.wav"),
    ],
)
def test_files_that_may_be_something_else_are_not_put_together(names: tuple[str, ...]) -> None:
    assert named(*names) == {}


def test_stereo_files_are_recordings_of_their_own(tmp_path: Path) -> None:
    assert named("talk_1.wav", "talk_2.wav", channels=2) == {}
    save(tmp_path / "in/talk_1.wav")
    save(tmp_path / "in/talk_2.wav", LEFT)
    recordings = list_recordings([tmp_path / "in"], sides=True)
    assert [recording.recording_id for recording in recordings] == ["talk_1", "talk_2"]


# The recording


def test_pair_is_one_row_whose_channels_are_its_files_to_the_bit(tmp_path: Path) -> None:
    folder = sides(tmp_path / "in", "talk.left.wav", "talk.right.wav")
    (row,) = rows(folder)
    assert row["conversation_id"] == "talk"
    assert row["audio_file"] == "talk.flac"
    assert row["channels"] == 2
    left = heard_file(folder / "talk.left.wav")
    right = heard_file(folder / "talk.right.wav")
    expected = np.stack([left, right], axis=1)
    assert (heard(row) == expected).all()


def heard_file(path: Path) -> Samples:
    samples: Samples = soundfile.read(path, dtype="float32")[0]
    return samples


def test_files_are_put_together_once_and_again_when_one_changes(tmp_path: Path) -> None:
    folder = sides(tmp_path / "in", "talk_1.wav", "talk_2.wav")
    (first,) = rows(folder)
    made = Path(first["audio"]["path"])  # type: ignore[index]
    before = made.stat().st_mtime_ns
    (second,) = rows(folder)
    assert second == first
    assert made.stat().st_mtime_ns == before
    save(folder / "talk_2.wav", RIGHT[::-1].copy())
    (third,) = rows(folder)
    assert third["conversation_id"] == "talk"
    assert third["input_digest"] != first["input_digest"]
    before_right = heard(first)[:, 1]
    after_right = heard(third)[:, 1]
    assert (after_right != before_right).any()


# What can't be used


def problem(folder: Path, name: str = "talk") -> str:
    conversations = rows(folder)
    (row,) = [row for row in conversations if row["conversation_id"] == name]
    return str(row["problem"])


@pytest.mark.parametrize(("side", "other"), [("left", "right"), ("right", "left")])
def test_missing_side_is_a_reject_with_the_id_of_the_pair(tmp_path: Path, side: str, other: str) -> None:
    save(tmp_path / f"in/talk.{side}.wav", LEFT)
    assert problem(tmp_path / "in") == f"'talk.{side}.wav' is one side of it, but its {other} side is missing"


@pytest.mark.parametrize(
    ("longer", "shorter", "reason"),
    [
        (3.0, 1.9, "its sides 'talk_1.wav' and 'talk_2.wav' last 3.0 and 1.9 s"),
        (20.0, 17.9, "its sides 'talk_1.wav' and 'talk_2.wav' last 20.0 and 17.9 s"),
    ],
)
def test_sides_are_of_one_recording_up_to_a_second_or_a_tenth_apart(
    tmp_path: Path, longer: float, shorter: float, reason: str
) -> None:
    folder = tmp_path / "in"
    long = room_tone(round(longer * 8000))
    short = room_tone(round(shorter * 8000))
    first = save(folder / "talk_1.wav", long, rate=8000)
    second = save(folder / "talk_2.wav", short, rate=8000)
    assert problem(folder) == reason
    third = first.rename(folder / "talk_3.wav")
    second.rename(first)
    third.rename(second)
    assert (problem(folder) == "None") == (reason == "None")  # whichever is the longer one


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "the file is empty (0 bytes)"), (b"no sound", "it holds no audio"), (b"RIFF\x24\x00\x00\x00WAVE", "")],
)
def test_damaged_side_is_a_reject_that_names_it(tmp_path: Path, data: bytes, reason: str) -> None:
    folder = sides(tmp_path / "in", "talk.left.wav", "talk.right.wav")
    (folder / "talk.right.wav").write_bytes(data)
    assert problem(folder).startswith(f"its right side 'talk.right.wav': {reason}")


def test_side_that_leads_out_of_the_input_is_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    save(folder / "talk.left.wav", LEFT)
    secret = save(tmp_path / "secret.wav", RIGHT)
    (folder / "talk.right.wav").symlink_to(secret)
    assert "its right side is missing" in problem(folder)
    assert "leads out of the input" in problem(folder, "talk.right")


# What it is told with


def test_pairs_are_named_and_a_mono_channel_takes_the_files_alone(tmp_path: Path) -> None:
    folder = sides(tmp_path / "in/day", "talk.left.wav", "talk.right.wav")
    save(tmp_path / "in/lone.left.wav", LEFT)
    left_out = LeftOut()
    recordings = list_recordings([folder.parent], left_out=left_out, sides=True)
    assert len(recordings) == 2
    assert left_out.paired == ["day/talk"]
    alone = rows(folder, channel="mix")
    assert [row["conversation_id"] for row in alone] == ["talk.left", "talk.right"]


@pytest.mark.parametrize(("left", "right"), [("talk.left", "talk.right"), ("talk_1", "talk_2")])
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_subtitles_beside_each_file_are_of_its_side(tmp_path: Path, left: str, right: str, suffix: str) -> None:
    folder = sides(tmp_path / "in", f"{left}.{suffix}", f"{right}.{suffix}")
    texts = {left: "where should we go", right: "to the sea"}
    for name, text in texts.items():
        (folder / f"{name}.srt").write_text(f"1\n00:00:01,000 --> 00:00:02,000\n{text}\n")
    (row,) = rows(folder)
    lines = [(cue["channel"], cue["text"]) for cue in row["cues"]]  # type: ignore[attr-defined]
    assert sorted(lines) == [("left", "where should we go"), ("right", "to the sea")]


# Afterwards


def test_recording_of_two_files_is_spoken_and_made_again_where_the_cache_is_gone(tmp_path: Path) -> None:
    source = sides(tmp_path / "in", "talk.left.wav", "talk.right.wav")
    out = tmp_path / "out"
    transcript = out / "transcript.jsonl"
    run(source, out, tag_stages(profile="embedded", language="en"))
    shutil.rmtree(tmp_path / "cache")
    rejects: list[Reject] = []
    assert list(transcribed(transcript, out / "tagged", None, rejects)) == []
    assert "is gone" in rejects[0].reason
    for tagged in (out / "tagged", None):  # with what tag knows, and as the older scripts do it
        (row,) = transcribed(transcript, tagged, source, [])
        assert row["conversation_id"] == "talk"
        assert row["channels"] == 2
        assert Path(row["audio"]["path"]).is_file()
