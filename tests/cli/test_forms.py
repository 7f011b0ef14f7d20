"""A run says the same in every form: to a pipe, on a terminal, as JSON, with the seconds of its stages."""

import json
import re
import shlex
from pathlib import Path

import pytest
from audio_files import tones
from command import EMBEDDED, Command
from recordings import calls, save
from scripted import SHORT, folder

ON_A_TERMINAL = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLORTERM": "", "COLUMNS": "500"}

#: Colours of the headline: all is done; done, except for what was rejected.
DONE, EXCEPT_REJECTS = "\x1b[1;32m", "\x1b[1;33m"

TABLE = ["where the time went", "planning", "reading, writing shards", "writing outputs", "by the clock"]


def lines(text: str) -> list[str]:
    """The lines of what was printed, without colours, spaces at their ends, and empty ones."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", text)
    return [line.rstrip() for line in plain.splitlines() if line.strip()]


def seconds_in_table(lines: list[str]) -> list[float]:
    """The seconds in what `--profile-stages` shows last, those by the clock at the end."""
    start = max(place for place, line in enumerate(lines) if line.startswith(TABLE[0]))
    cells = (re.match(r"\S.*?  +([\d.]+)", line) for line in lines[start + 1 :])
    return [float(cell[1]) for cell in cells if cell]


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
        made = dailytalk(*words, "--profile-stages")
        record = json.loads((tmp_path / ("work" if command == "speak" else "out") / "run.json").read_text())
        told = dailytalk(*words, "--json", "--profile-stages")
    asked = shlex.join(["dailytalk", *map(str, words), "--profile-stages"])
    commands = {half["command"] for half in (record, record.get("speak")) if half and "command" in half}
    assert commands == {asked}
    drawn = lines(made.err)
    *parts, by_the_clock = seconds_in_table(drawn)
    assert 0.0 < sum(parts) <= by_the_clock + 0.01 * len(parts)
    assert "\x1b[?25" not in made.out  # the cursor, which a bar hides
    assert (made.code, bool(re.search(r"of 0\.\d min", made.err))) == (code, True)
    assert colour in made.out
    assert (told.code, bool(json.loads(told.out))) == (code, True)
    assert "spoken by" not in made.out + told.err  # by the voice of the profile
    plain, profiled = dailytalk(*words), dailytalk(*words, "--profile-stages")
    assert (plain.code, "\x1b" in plain.out + plain.err) == (code, False)
    assert re.sub(r"\d+\.\d s", "", profiled.out) == re.sub(r"\d+\.\d s", "", plain.out)
    assert [line.split("  ")[0] for line in lines(profiled.err) if line not in lines(plain.err)] == TABLE
    assert [line.split("  ")[0] for line in lines(told.err) if line.split("  ")[0] in TABLE] == TABLE
