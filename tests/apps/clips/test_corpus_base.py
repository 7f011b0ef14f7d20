from pathlib import Path

import pytest
from corpus_trees import clip, put, read

from dailytalk_contiguous.core.errors import DailytalkError

NAME = "DC_a01.wav"


def problem(tmp_path: Path, data: bytes) -> str:
    source = put(tmp_path, {NAME: data})
    (row,) = read("savee", source).values()
    return str(row["problem"])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty (0 bytes)"),
        (clip(1.0)[:9999], "the file is cut short"),
        (clip(0.1, 16000, 3), "it has 3 channels"),
    ],
)
def test_audio_that_is_no_use_is_rejected(tmp_path: Path, data: bytes, reason: str | tuple[str, ...]) -> None:
    assert problem(tmp_path, data).startswith(reason)


def test_sources_that_are_not_there_or_hold_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DailytalkError, match="does not exist"):
        read("savee", tmp_path / "nowhere")
    source = tmp_path / "in"
    with pytest.raises(DailytalkError, match=r"no file of SAVEE is in .*get it from http"):
        read("savee", put(source, {"README.md": b""}))
    with pytest.raises(DailytalkError, match="neither a folder nor a zip archive"):
        read("savee", put(source, {NAME: clip()}) / NAME)


@pytest.mark.parametrize(
    ("corpus", "name", "reason"),
    [
        ("crema_d", "1092_DFA_ANG_XX.wav", "its actor '1092' is unknown"),
        ("ravdess", "01-01-06-01-02-01-12.mp4", "RAVDESS is not known to hold a file like"),
        ("tess", "OAF_back.wav", "its name 'OAF_back.wav' is not like OAF_back_angry.wav"),
    ],
)
def test_name_that_does_not_fit_is_rejected_with_its_code(
    tmp_path: Path, corpus: str, name: str, reason: str
) -> None:
    source = put(tmp_path, {name: clip()})
    (row,) = read(corpus, source).values()
    assert str(row["problem"]).startswith(reason)
