"""The tutorials tell the truth: what they say to type works, in this order, and prints what they show."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from audio_files import ROOT
from command import Command
from hub.server import HubServer
from recordings import read_lines

pytest_plugins = ["hub.hub_fixtures"]

#: What a reader types (`sh`, `python`), changes in a file (`diff`), and sees (`text`). Other blocks are not typed
#: here: they install, train, or serve until Ctrl-C.
BLOCK = re.compile(r"^```(sh|python|diff|text)\n(.*?)^```", re.DOTALL | re.MULTILINE)


class Reader:
    """Follows a page in a folder that has the recordings where a checkout has them."""

    def __init__(self, dailytalk: Command, capfd: pytest.CaptureFixture[str], folder: Path) -> None:
        (folder / "examples").symlink_to(ROOT / "examples", target_is_directory=True)
        self._dailytalk = dailytalk
        self._capfd = capfd
        self._names: dict[str, Any] = {}

    def follow(self, name: str) -> None:
        page = (ROOT / "docs" / name).read_text(encoding="utf-8")
        printed = ""
        for kind, block in BLOCK.findall(page):
            if kind == "sh":
                printed = "".join(map(self._typed, block.splitlines()))
            elif kind == "python":
                self._capfd.readouterr()
                exec(compile(block, name, "exec"), self._names)
                printed = self._capfd.readouterr().out
            elif kind == "diff":
                change(block)
            else:
                assert missing_lines(block, printed) == [], printed

    def _typed(self, line: str) -> str:
        program, *arguments = shlex.split(line)
        assert program == "dailytalk"
        done = self._dailytalk(*arguments)
        assert done.code == 0, f"{line}: {done.err}"
        return done.out


def change(diff: str) -> None:
    """Change the file that the first line names: each text behind a minus becomes the one behind the next plus."""
    head, *lines = diff.splitlines()
    path = Path(head.removeprefix("--- "))
    text = path.read_text(encoding="utf-8")
    for before, after in zip(lines[::2], lines[1::2], strict=True):
        assert before.startswith("-")
        assert after.startswith("+")
        assert text.count(before[1:]) == 1, before
        text = text.replace(before[1:], after[1:])
    path.write_text(text, encoding="utf-8")


def missing_lines(shown: str, printed: str) -> list[str]:
    """Lines of a page that a command did not print. `…` in them is anything; widths of columns don't count."""
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    missing = []
    for line in shown.splitlines():
        parts = " ".join(line.split()).split("…")
        pattern = ".*".join(map(re.escape, parts))
        if not any(re.fullmatch(pattern, candidate) for candidate in lines):
            missing.append(line)
    return missing


@pytest.fixture
def reader(
    dailytalk: Command, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Reader:
    monkeypatch.chdir(tmp_path)
    return Reader(dailytalk, capfd, tmp_path)


@pytest.mark.nightly
def test_calls_become_a_folder_for_moshi(reader: Reader) -> None:
    reader.follow("calls-to-moshi.md")


@pytest.mark.nightly
def test_new_voice_is_published_twice_and_loaded(reader: Reader, hub: HubServer) -> None:
    reader.follow("revoice-and-publish.md")


def test_calls_become_labels_of_turn_taking(reader: Reader, tmp_path: Path) -> None:
    reader.follow("turn-taking.md")
    utterances = read_lines(tmp_path / "out/turns/transcript_shifted.jsonl")
    assert {utterance["event"] for utterance in utterances} >= {"turn", "overlap"}
    assert {utterance.get("transition") for utterance in utterances} >= {"hold", "shift"}
