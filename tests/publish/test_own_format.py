"""A person's own file writes an export and checks it, with its own options, beside those of the package."""

import json
from pathlib import Path

import pytest
from audio_files import ROOT
from command import EMBEDDED, Command
from own_stages import own_file
from recordings import excerpt, save

#: Lines of the main speaker.
LINES = (ROOT / "examples/own/export.py").read_text(encoding="utf-8")


@pytest.fixture
def own_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    code = LINES.replace("settings=LineSettings()", "settings=LineSettings(upper=True, shortest_seconds=2.5)")
    return own_file(tmp_path, monkeypatch, code)


def test_own_format_is_written_with_its_options_and_checked(
    own_format: Path, tmp_path: Path, dailytalk: Command
) -> None:
    save(tmp_path / "in/call.wav", excerpt(seconds=9.0))
    work = tmp_path / "work"
    out = tmp_path / "lines"
    kept = ("--revoice", "none", "--source-licence", "CC0-1.0")
    done = dailytalk("build", tmp_path / "in", "--out", work, *EMBEDDED, *kept)
    assert done.code == 0
    export = ("export", work, "--format", own_format, "--out", out)
    done = dailytalk(*export)
    assert done.code == 0, done.out
    assert f"1 line of train in {out}" in done.out
    assert "left out: shorter than --shortest: 1" in done.out
    text = (out / "lines.jsonl").read_text(encoding="utf-8")
    (line,) = [json.loads(row) for row in text.splitlines()]
    assert line["text"].isupper()
    readme = (out / "README.md").read_text(encoding="utf-8")
    assert "a trainer of one voice" in readme
    check = ("check", out, "--format", own_format)
    assert f"next: dailytalk check {out} --format {own_format}" in done.out
    checked = dailytalk(*check, "--json")
    facts = json.loads(checked.out)["facts"]
    assert facts == {"kind": "lines", "files": 1, "hours": 0.0008269}
    shown = dailytalk(*check)
    assert "good: nothing speaks against training on it; only the check of lines has judged it" in shown.out
    (out / line["path"]).unlink()
    broken = dailytalk(*check)
    assert broken.code == 1
    assert "missing-audio" in dailytalk(*check, "--json").out
    assert "it isn't there" in broken.out
    # What check knows by itself is judged as that, too.
    done = dailytalk("check", work, "--json")
    alone = json.loads(done.out)
    (work / "lines.jsonl").write_text('{"text": "", "path": "a.wav"}\n')
    done = dailytalk("check", work, "--format", own_format, "--json")
    both = json.loads(done.out)
    assert both["facts"]["words"] == alone["facts"]["words"]
    kinds_alone = {finding["kind"] for finding in alone["findings"]}
    kinds = {finding["kind"] for finding in both["findings"]}
    assert kinds == {"empty-text", "missing-audio"} | kinds_alone
    assert "neither a work folder" in dailytalk("check", out).err  # nothing in the folder tells what it is
    other = dailytalk("export", work, "--format", "csm", "--out", tmp_path / "csm", "--main", "right")
    assert other.code == 0, other.err


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (LINES.replace("FORMAT =", "LAYOUT ="), "defines no FORMAT: end it with FORMAT = ExportFormat(...)"),
        (LINES.replace("import error", "import terror"), "can't be imported (ImportError"),
    ],
)
def test_file_that_is_no_format_is_refused_in_a_sentence(
    code: str, reason: str, tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = own_file(tmp_path, monkeypatch, code)
    done = dailytalk("export", tmp_path, "--format", file, "--out", tmp_path / "out")
    assert done.code == 1, done.err
    assert done.err.count("\n") == 1, done.err
    assert reason in done.err
    assert not (tmp_path / "out").exists()
