"""Which recording is the one that was tagged: its bytes say so, not its name, place or date."""

import os
from pathlib import Path

import pytest

from dailytalk_contiguous.core.audio import to_uri
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.sources.transcribed import BASE, at_hand, identity_of, refuse_outside, tagged_row

BYTES = bytes(number % 251 for number in range(1_000_000))


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_copy_of_another_name_and_date_is_the_same(tmp_path: Path) -> None:
    copy = written(tmp_path / "other/copy.wav", BYTES)
    os.utime(copy, (0, 0))
    assert identity_of(copy) == identity_of(written(tmp_path / "call.wav", BYTES))


@pytest.mark.parametrize("place", [0, 40_000, len(BYTES) // 2, len(BYTES) - 1])
def test_a_byte_at_the_start_the_middle_or_the_end_makes_another(tmp_path: Path, place: int) -> None:
    changed = BYTES[:place] + bytes([BYTES[place] ^ 1]) + BYTES[place + 1 :]
    assert identity_of(written(tmp_path / "a", changed)) != identity_of(written(tmp_path / "b", BYTES))


@pytest.mark.parametrize("size", [0, 1, 44, 65_536, 65_537, 131_072, 200_000])
def test_short_files_have_an_identity_and_their_size_is_part_of_it(tmp_path: Path, size: int) -> None:
    path = written(tmp_path / "a", bytes(size))
    assert identity_of(path) == identity_of(path)
    assert identity_of(path) != identity_of(written(tmp_path / "b", bytes(size + 1)))


def test_a_recording_that_is_not_the_one_that_was_tagged_says_so(tmp_path: Path) -> None:
    path = written(tmp_path / "call.wav", BYTES)
    base = {"audio": {"bytes": None, "path": to_uri(path)}, "audio_file": "call.wav", "audio_identity": "x"}
    with pytest.raises(BadInput, match="is not the one that was tagged"):
        at_hand(base, None)


def test_identity_that_older_shards_hold_is_still_that_of_their_recording(tmp_path: Path) -> None:
    """Another one would have every recording tagged again."""
    assert identity_of(written(tmp_path / "a", BYTES)) == "3ffc2eac9119925970af"


@pytest.mark.needs("a user who is not root")
def test_a_recording_that_the_user_may_not_read_says_so(tmp_path: Path) -> None:
    path = written(tmp_path / "call.wav", BYTES)
    base = {"audio": {"bytes": None, "path": to_uri(path)}, "audio_file": "call.wav", "audio_identity": "x"}
    path.chmod(0)
    with pytest.raises(BadInput, match="can't be read"):
        at_hand(base, None)


@pytest.mark.parametrize("audio", [None, {"bytes": None, "path": None}])
def test_shard_that_names_no_recording_is_refused_with_a_sentence(audio: dict[str, None] | None) -> None:
    with pytest.raises(BadInput, match="does not say where its recording is"):
        at_hand({"audio": audio, "audio_file": "call.wav", "audio_identity": "x"}, None)


@pytest.mark.parametrize("lacking", BASE)
def test_row_that_lacks_a_column_is_refused_with_a_sentence(tmp_path: Path, lacking: str) -> None:
    path = written(tmp_path / "call.wav", BYTES)
    row = {"recording_id": "call", "audio": {"path": to_uri(path)}, "audio_file": "call.wav", "offset": 0.0}
    row |= {"audio_identity": identity_of(path), "duration": 6.0, "sample_rate": 8000, "channels": 2}
    row |= {"utterance_id": [], "channel": [], "run": []}
    assert at_hand(tagged_row(row), None)["audio_file"] == "call.wav"
    del row[lacking]
    with pytest.raises(BadInput, match="run dailytalk tag again"):
        at_hand(tagged_row(row), None)


@pytest.mark.parametrize(
    ("more", "good"),
    [
        ({"offset": 0.0, "duration": 1e9, "sample_rate": 8000, "channels": 1}, True),
        ({"offset": 1e9, "duration": 0.1, "sample_rate": 96000, "channels": 9}, True),
        ({"offset": -0.1}, False),
        ({"offset": 1.1e9}, False),
        ({"duration": 0.0}, False),
        ({"duration": 1.1e9}, False),
        ({"sample_rate": 7999}, False),
        ({"sample_rate": 96001}, False),
        ({"channels": 0}, False),
        ({"utterance_id": ["a", "b"]}, False),
        ({"run": []}, False),
        ({"channel": ["mix"]}, False),
        ({"channel": ["right"]}, True),
    ],
)
def test_tagged_row_describes_a_part_of_a_recording(more: dict[str, object], good: bool) -> None:
    row: dict[str, object] = {"recording_id": "call", "audio_file": "call.wav", "offset": 0.0, "duration": 6.0}
    row |= {"sample_rate": 8000, "channels": 2, "utterance_id": ["u"], "channel": ["left"], "run": [0]}
    assert tagged_row(row) == row
    if good:
        assert tagged_row(row | more) == row | more
    else:
        with pytest.raises(BadInput, match="describes no part of a recording"):
            tagged_row(row | more)


@pytest.mark.parametrize("name", ["/etc/a.wav", "\\a.wav", "a/../b.wav", "a\\..\\b.wav", "..", "a\0.wav"])
def test_name_that_leads_out_of_a_folder_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="leads out of the folder"):
        refuse_outside(name)


@pytest.mark.parametrize("name", ["a.wav", "day/..a.wav", "a..b/c.wav", "a\\b.wav", ""])
def test_name_inside_a_folder_is_taken(name: str) -> None:
    refuse_outside(name)


def test_pipe_in_the_place_of_a_recording_is_gone_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "call.wav")
    base = {"audio": {"bytes": None, "path": str(tmp_path / "call.wav")}, "audio_file": "call.wav"}
    with pytest.raises(BadInput, match="is gone"):
        at_hand(base | {"audio_identity": "x"}, None)
