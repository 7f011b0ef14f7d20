"""docs/turn-taking.md: every command and line of Python on the page works, from calls to folders to train on."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from audio_files import EXAMPLES
from command import Command
from recordings import read_lines

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/turn-taking.md").read_text(encoding="utf-8")


def test_page_goes_from_calls_to_folders_that_models_of_turn_taking_read(
    dailytalk: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    calls = tmp_path / "calls"
    calls.mkdir()
    for recording in sorted(EXAMPLES.glob("*.flac"))[1:]:  # of two, too little is left to divide
        shutil.copy(recording, calls)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```(sh|python)\n(.*?)```", PAGE, re.DOTALL)
    printed = ""
    for kind, block in blocks:
        if kind == "python":
            exec(compile(block, "docs/turn-taking.md", "exec"), {})
            printed = capfd.readouterr().out
            continue
        for line in block.splitlines():
            program, *arguments = shlex.split(line)
            assert program == "dailytalk"
            done = dailytalk(*arguments)
            assert done.code == 0, f"{line}: {done.err}"
    utterances = read_lines(tmp_path / re.findall(r"Each utterance in `(\S+)`", PAGE)[0])
    assert {utterance["event"] for utterance in utterances} >= {"turn", "overlap"}
    assert {utterance.get("transition") for utterance in utterances} >= {"hold", "shift"}
    clip, window, event = printed.splitlines()
    assert float(clip.split()[0]) <= 16
    assert window.startswith("(320000, 2) ")
    assert event.split()[0] in ("pause", "turn", "backchannel", "user_backchannel", "interruption")
