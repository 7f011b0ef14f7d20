"""`dailytalk demo`: without an argument, the whole chain and its page, which the pictures of docs show."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from audio_files import ROOT
from browser import needs_playwright
from command import PROGRAM, Command

DOCS = ROOT / "docs"

#: By the name of each picture of docs, what it says.
PICTURES: dict[str, Any] = json.loads((DOCS / "pictures.json").read_text(encoding="utf-8"))


def test_demo_builds_checks_exports_and_reports_half_a_minute(
    dailytalk: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = dailytalk("demo", "--json")
    assert done.code == 0
    for step in ("build", "check demo", "export demo --format moshi", "report demo"):
        assert f"$ dailytalk {step}" in done.err
    transcript = (tmp_path / "demo/transcript_shifted.jsonl").read_text()
    lines = [json.loads(line) for line in transcript.splitlines()]
    assert {line["models"]["recogniser"] for line in lines} == {"base"}
    engines = {line["synthesis"]["engine"] for line in lines if line["synthesis"]}
    assert "piper" in engines
    assert "bicycle" in " ".join(line["text"] for line in lines)
    assert (tmp_path / "demo/report.html").stat().st_size > 100_000
    assert list((tmp_path / "demo-moshi").rglob("*.wav"))


def test_demo_takes_recordings_of_ones_own_and_says_what_failed(dailytalk: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = dailytalk("demo", tmp_path / "empty", "--out", tmp_path / "out")
    assert done.code == 1
    assert "there are no recordings in" in done.err


# The pictures of docs.


def run(folder: Path, *command: Any) -> None:
    subprocess.run([*map(str, command)], check=True, cwd=folder, stdout=subprocess.DEVNULL)


def pictures_of(folder: Path) -> dict[str, Any]:
    """What the pictures of the work folder `demo` in a folder say, made as `make pictures` does."""
    (folder / "docs").mkdir()
    run(folder, sys.executable, DOCS / "pictures.py", "demo", "docs")
    made: dict[str, Any] = json.loads((folder / "docs/pictures.json").read_text(encoding="utf-8"))
    return made


def test_every_picture_of_docs_was_made_with_the_note_on_what_it_says() -> None:
    shown = set[str]()
    for page in (ROOT / "README.md", *DOCS.glob("*.md")):
        text = page.read_text("utf-8")
        shown.update(re.findall(r"\]\((?:docs/)?([\w-]+\.png)\)", text))
    digests = {}
    for path in DOCS.glob("*.png"):
        digests[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    assert shown == digests.keys()
    assert shown == PICTURES.keys()
    assert digests == {name: note["sha256"] for name, note in PICTURES.items()}


@needs_playwright
def test_labels_in_the_pictures_of_docs_are_those_of_the_pages(tmp_path: Path) -> None:
    run(tmp_path, *PROGRAM, "demo")  # half a minute of the demo in the pictures: only its data are others
    for name, made in pictures_of(tmp_path).items():
        assert made["labels"] == PICTURES[name]["labels"], f"{name} is older than its page: make pictures"


@needs_playwright
@pytest.mark.nightly
def test_pictures_of_docs_say_what_the_pages_say(tmp_path: Path) -> None:
    source = ROOT / "examples/conversations"
    run(tmp_path, *PROGRAM, "demo", source, "--source-licence", "CC0-1.0")
    made = pictures_of(tmp_path)

    def said(notes: dict[str, Any]) -> dict[str, list[str]]:
        """Texts without their figures, of which the last digits differ between processors."""
        texts = {}
        for name, note in notes.items():
            texts[name] = [re.sub(r"\d[\d.:]*", "#", text) for text in note["texts"]]
        return texts

    assert said(made) == said(PICTURES)
