"""A stage in a person's own file runs by command; its fields are options, lines of run.json and of the report."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from audio_files import ROOT
from command import EMBEDDED, PROGRAM, Command
from datasets import load_dataset
from recordings import calls, excerpt, save

from dailytalk_contiguous.run.outputs import read_run

#: The file that docs/architecture.md shows.
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FILE = re.findall(r"## Add a stage.*?```python\n(.*?)```", PAGE, re.DOTALL)[0]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """It under a name that no other test imports; what importing it changes is undone."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    path = tmp_path / "own" / f"count_words_{tmp_path.name.replace('-', '_')}.py"
    path.parent.mkdir()
    path.write_text(FILE, encoding="utf-8")
    return path


@pytest.fixture
def dailytalk(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capfd)


def counted(out: Path) -> list[list[int]]:
    """By how much the words of five letters and more differ from those that were counted."""
    rows = load_dataset("parquet", data_dir=str(out / "tagged"), split="train")
    assert all(len(row["n_words"]) == len(row["text"]) > 0 for row in rows)
    return [
        [
            sum(len(word) >= 5 for word in text.split()) - n
            for text, n in zip(row["text"], row["n_words"], strict=True)
        ]
        for row in rows
    ]


def test_field_of_an_own_stage_is_an_option_a_setting_and_a_line_of_the_report(
    file: Path, tmp_path: Path, dailytalk: Command
) -> None:
    shown = dailytalk("tag", "--stage", file, "--help")
    assert (shown.code, "--letters" in shown.out) == (0, True)
    assert re.search(r"--letters +N +Letters of CountWords\. \[default: 4\]", shown.out)
    save(tmp_path / "in/call.wav", excerpt(seconds=9.0))
    command = ("tag", tmp_path / "in", "--out", tmp_path / "out", *EMBEDDED, "--stage", file, "--letters")
    assert dailytalk(*command, "5").code == 0
    (row,) = counted(tmp_path / "out")
    assert not any(row)
    record: dict[str, Any] = read_run(tmp_path / "out") or {}
    assert (record["settings"]["letters"], record["stages"][-1]["name"]) == (5, "CountWords")
    assert "nothing to do" in dailytalk(*command, "5").out
    assert dailytalk("report", tmp_path / "out", "--out", tmp_path / "page.html").code == 0
    assert "<td>letters</td><td>5</td>" in (tmp_path / "page.html").read_text(encoding="utf-8")
    done = dailytalk(*command, "6", "--dry-run")
    assert "stages to run: CountWords\n" in done.out


@pytest.mark.parametrize(
    "ways",
    [("--workers", "2"), pytest.param(("--runner", "ray", "--workers", "2"), marks=pytest.mark.needs("ray"))],
)
@pytest.mark.xdist_group("ray")
def test_own_stage_runs_in_other_processes(ways: tuple[str, ...], file: Path, tmp_path: Path) -> None:
    source = calls(tmp_path / "in", "a", "b")
    command = [*PROGRAM, "build", source, "--out", tmp_path / "out", *EMBEDDED, "--shard-minutes", "0.1"]
    done = subprocess.run([*command, "--stage", file, "--letters", "5", *ways], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = counted(tmp_path / "out")
    assert (len(rows), any(map(any, rows))) == (2, False)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (FILE.replace("STAGES =", "OTHERS =").replace("*STAGES", ""), "has no list of stages"),
        (FILE.replace("letters", "beam"), "--beam is an option already"),
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
