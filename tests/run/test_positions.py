"""position.jsonl, which a stream goes on from, and which anybody may have edited."""

import json
from pathlib import Path
from typing import Any

import pytest

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.run.streaming import Position, StreamWindow

ABOUT = {"source": {"repository": "a/b"}, "commit": "0" * 40, "chains": [], "tag": {}, "speak": {}, "config": {}}
REJECT = {"id": "x", "stage": "Hub", "reason": "why", "remedy": "what to do"}
WINDOW = StreamWindow(0, [0, 0, 0], [1, 2, 3], False, ["a.wav"], [REJECT])


def written(out: Path, *lines: Any) -> Path:
    """A file of one good window and of lines after it."""
    out.mkdir(exist_ok=True)
    position = Position(out)
    position.begin(ABOUT)
    position.add(WINDOW)
    with (out / "position.jsonl").open("a") as file:
        file.writelines(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    return out


def test_windows_come_back_as_they_were_without_what_a_crash_cut_off(tmp_path: Path) -> None:
    position = Position(written(tmp_path, '{"number": 1, "sta'))
    assert (position.windows, position.about) == ([WINDOW], ABOUT)


def test_link_to_another_file_is_neither_read_nor_written(tmp_path: Path) -> None:
    private = written(tmp_path / "private") / "position.jsonl"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "position.jsonl").symlink_to(private)
    with pytest.raises(DailytalkError, match=r"'position.jsonl' is a symbolic link that leads out of its folder"):
        Position(tmp_path / "out")


@pytest.mark.parametrize("line", [{}, [], 1, {"number": 1}, {"layout": {}}, "9" * 5000 + "\n"])
def test_line_that_no_stream_wrote_is_one_sentence(tmp_path: Path, line: Any) -> None:
    with pytest.raises(DailytalkError, match=r"position.jsonl.*choose another `out=`"):
        Position(written(tmp_path, line))
