"""A run says the same in every form: to a pipe, on a terminal, as JSON."""

import json
import re
from pathlib import Path

import pytest
from audio_files import tones
from command import EMBEDDED, Command
from recordings import calls, save
from scripted import SHORT, folder

ON_A_TERMINAL = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLORTERM": "", "COLUMNS": "500"}

#: Colours of the headline: all is done; done, except for what was rejected.
DONE = "\x1b[1;32m"
EXCEPT_REJECTS = "\x1b[1;33m"


def words_of(command: str, root: Path) -> tuple[object, ...]:
    """A command line that makes something in `root`; of recordings one can't be used."""
    if command == "speak":
        work = folder(root / "work", first=SHORT[:1])
        return ("speak", work, "--profile", "embedded", "--tts", "espeak", "--asr-model", "tiny.en")
    quick = ("--out", root / "out", *EMBEDDED, "--asr-model", "tiny.en")
    save(calls(root / "in", "a") / "mono.wav", tones(1, channels=1))
    return ("tag", root / "in", *quick)


@pytest.mark.parametrize(
    ("command", "code", "colour"),
    [("tag", 3, EXCEPT_REJECTS), ("speak", 0, DONE)],
)
def test_run_has_a_bar_and_colours_on_a_terminal_alone_and_its_outcome_alone_on_stdout(
    command: str,
    code: int,
    colour: str,
    tmp_path: Path,
    dailytalk: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = words_of(command, tmp_path)
    with monkeypatch.context() as terminal:
        for name, value in ON_A_TERMINAL.items():
            terminal.setenv(name, value)
        terminal.delenv("NO_COLOR", raising=False)
        made = dailytalk(*words)
        as_json = dailytalk(*words, "--json")
    assert "\x1b[?25" not in made.out  # the cursor, which a bar hides
    assert made.code == code
    assert re.search(r"of 0\.\d min", made.err)
    assert colour in made.out
    assert as_json.code == code
    assert json.loads(as_json.out)
    assert "spoken by" not in made.out + as_json.err  # by the voice of the profile
    plain = dailytalk(*words)
    assert plain.code == code
    assert "\x1b" not in plain.out + plain.err
