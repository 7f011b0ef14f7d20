from pathlib import Path

import pytest
from corpus_trees import clip, put, read

from dailytalk_contiguous.core.errors import DailytalkError

NAME = "DC_a01.wav"


def problem(tmp_path: Path, data: bytes) -> str:
    (row,) = read("savee", put(tmp_path, {NAME: data})).values()
    return str(row["problem"])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty (0 bytes)"),
        (clip(1.0)[:9999], "the file is cut short"),
        (b"text " * 300, "it holds no audio that"),
        (clip(0.1, 16000, 3), "it has 3 channels"),
    ],
)
def test_audio_that_is_no_use_is_rejected(tmp_path: Path, data: bytes, reason: str | tuple[str, ...]) -> None:
    assert problem(tmp_path, data).startswith(reason)


def test_sources_that_are_not_there_or_hold_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DailytalkError, match="does not exist"):
        read("savee", tmp_path / "nowhere")
    with pytest.raises(DailytalkError, match=r"no file of SAVEE is in .*get it from http"):
        read("savee", put(tmp_path / "in", {"README.md": b""}))
    with pytest.raises(DailytalkError, match="neither a folder nor a zip archive"):
        read("savee", put(tmp_path / "in", {NAME: clip()}) / NAME)
