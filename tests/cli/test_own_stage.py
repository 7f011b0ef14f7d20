"""A stage in a person's own file runs by command; its fields are options, lines of run.json and of the report.

That it runs in other processes is seen in tests/test_chain.py.
"""

import re
from pathlib import Path
from typing import Any

import pytest
from command import EMBEDDED, Command
from own_stages import OWN_STAGE, miscounts, own_stage
from recordings import excerpt, save

from dailytalk_contiguous.run.outputs import read_run


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return own_stage(tmp_path, monkeypatch)


@pytest.fixture
def dailytalk(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capfd)


def test_field_of_an_own_stage_is_an_option_a_setting_and_a_line_of_the_report(
    file: Path, tmp_path: Path, dailytalk: Command
) -> None:
    shown = dailytalk("tag", "--stage", file, "--help")
    assert (shown.code, "--letters" in shown.out) == (0, True)
    assert re.search(r"--letters +N +Letters of CountWords\. \[default: 4\]", shown.out)
    save(tmp_path / "in/call.wav", excerpt(seconds=9.0))
    command = ("tag", tmp_path / "in", "--out", tmp_path / "out", *EMBEDDED, "--stage", file, "--letters")
    assert dailytalk(*command, "5").code == 0
    (row,) = miscounts(tmp_path / "out", letters=5)
    assert not any(row)
    record: dict[str, Any] = read_run(tmp_path / "out") or {}
    assert (record["settings"]["letters"], record["stages"][-1]["name"]) == (5, "CountWords")
    assert "nothing to do" in dailytalk(*command, "5").out
    assert dailytalk("report", tmp_path / "out", "--out", tmp_path / "page.html").code == 0
    assert "<td>letters</td><td>5</td>" in (tmp_path / "page.html").read_text(encoding="utf-8")
    done = dailytalk(*command, "6", "--dry-run")
    assert "stages to run: CountWords\n" in done.out


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (OWN_STAGE.replace("STAGES =", "OTHERS =").replace("*STAGES", ""), "has no list of stages"),
        (OWN_STAGE.replace("letters", "beam"), "--beam is an option already"),
        (None, "is no file of Python"),
    ],
)
def test_file_without_stages_is_refused_in_a_sentence(
    text: str | None, reason: str, file: Path, tmp_path: Path, dailytalk: Command
) -> None:
    file.unlink()
    if text:
        file.write_text(text, encoding="utf-8")
    done = dailytalk("tag", tmp_path, "--out", tmp_path / "out", "--stage", file)
    assert (done.code, done.err.count("\n"), reason in done.err) == (1, 1, True)
    assert not (tmp_path / "out").exists()
