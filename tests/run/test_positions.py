"""position.jsonl, which a stream goes on from, and which anybody may have edited."""

import json
from pathlib import Path
from typing import Any

import pytest

from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.run.streaming import FinishedWindow, Positions
from dailytalk_contiguous.sources.hub_repository import StreamPosition

ABOUT = {"source": {"repository": "a/b"}, "commit": "0" * 40}
WINDOW = FinishedWindow(
    0, StreamPosition(), StreamPosition(1, 2, 3), False, ["a.wav"], [Reject("x", "Hub", "why", "what to do")]
)


def written(out: Path, *lines: Any) -> Path:
    """A file of one good window and of lines after it."""
    out.mkdir(exist_ok=True)
    positions = Positions(out)
    positions.begin(ABOUT)
    positions.add(WINDOW)
    with positions.path.open("a") as file:
        file.writelines(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    return out


def test_windows_come_back_as_they_were_without_what_a_crash_cut_off(tmp_path: Path) -> None:
    positions = Positions(written(tmp_path, '{"window": 1, "sta'))
    assert positions.windows == [WINDOW]
    positions.note_outputs()
    assert (Positions(tmp_path).windows, Positions(tmp_path).written) == ([WINDOW], True)


def test_link_to_another_file_is_neither_read_nor_written(tmp_path: Path) -> None:
    private = written(tmp_path / "private") / "position.jsonl"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "position.jsonl").symlink_to(private)
    with pytest.raises(DailytalkError, match=r"'position.jsonl' is a symbolic link that leads out of its folder"):
        Positions(tmp_path / "out")


@pytest.mark.parametrize(
    "line",
    [
        {},
        [],
        1,
        {"window": 1},
        {"written": "x"},
        {"layout": {}},
        {"layout": 1, "source": 3, "commit": ""},
        "9" * 5000 + "\n",
        *({**json.loads(json.dumps(WINDOW.__dict__ | {"problems": []})), "window": 1} | change for change in (
            {"window": 7},
            {"window": -1},
            {"window": True},
            {"start": [0] * 6},
            {"end": []},
            {"last": None},
            {"problems": [{"id": "x"}]},
            {"tagged": 3},
            {"size": 1.5},
        )),
    ],
)  # fmt: skip
def test_line_that_no_stream_wrote_is_one_sentence(tmp_path: Path, line: Any) -> None:
    with pytest.raises(DailytalkError, match=r"position.jsonl.*choose another `out=`"):
        Positions(written(tmp_path, line))
