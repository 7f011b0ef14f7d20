"""What a reader, or the next run after a power cut, finds of a file."""

import errno
import os
from pathlib import Path

import pytest

from dailytalk_contiguous.store.files import json_text, replacing, write_bytes, write_lines, write_text


def test_file_is_written_into_a_folder_that_is_made_for_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "x"
    write_text(path, "äöü\n")
    assert path.read_bytes() == "äöü\n".encode()
    write_bytes(path, b"\xff\0")
    assert path.read_bytes() == b"\xff\0"
    write_lines(path, iter(["a\n", "b"]))
    assert path.read_text() == "a\nb"
    assert [file.name for file in path.parent.iterdir()] == ["x"]


def test_failure_to_rename_leaves_nothing_half_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=os.strerror(errno.EISDIR)), replacing(tmp_path / "folder"):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def test_json_is_a_line_of_readable_text_and_nothing_that_is_no_number() -> None:
    assert json_text({"text": "wörld", "n": 1.5}) == '{"text": "wörld", "n": 1.5}\n'
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not JSON compliant"):
            json_text(value)
