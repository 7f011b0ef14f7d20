"""Which recording is the one that was tagged: its bytes say so, not its name, place or date."""

import os
from pathlib import Path

import pytest

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.sources.lines_to_speak import with_recording
from dailytalk_contiguous.sources.recordings.recording_files import identity_of

BYTES = bytes(range(250)) * 4000


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_copy_of_another_name_and_date_is_the_same(tmp_path: Path) -> None:
    original = written(tmp_path / "call.wav", BYTES)
    copy = written(tmp_path / "other/copy.wav", BYTES)
    os.utime(copy, (0, 0))
    assert identity_of(copy) == identity_of(original)


@pytest.mark.parametrize("index", [0, 40_000, len(BYTES) // 2, len(BYTES) - 1])
def test_a_byte_at_the_start_the_middle_or_the_end_makes_another(tmp_path: Path, index: int) -> None:
    changed = bytearray(BYTES)
    changed[index] ^= 1
    original = written(tmp_path / "b", BYTES)
    other = written(tmp_path / "a", bytes(changed))
    assert identity_of(other) != identity_of(original)


def test_pipe_in_the_place_of_a_recording_is_gone_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    os.mkfifo(path)
    row = {
        "audio": {"bytes": None, "path": str(path)},
        "audio_file": "call.wav",
        "audio_identity": "x",
    }
    with pytest.raises(BadInput, match="is gone"):
        with_recording(row, None)
