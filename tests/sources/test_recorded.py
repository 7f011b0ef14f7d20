"""Which recording is the one that was tagged: its bytes say so, not its name, place or date."""

import os
from pathlib import Path

import pytest

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.sources.recordings import identity_of
from dailytalk_contiguous.sources.transcribed import at_hand

BYTES = bytes(range(250)) * 4000


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


def test_pipe_in_the_place_of_a_recording_is_gone_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "call.wav")
    base = {"audio": {"bytes": None, "path": str(tmp_path / "call.wav")}, "audio_file": "call.wav"}
    with pytest.raises(BadInput, match="is gone"):
        at_hand(base | {"audio_identity": "x"}, None)
