"""Times on the command line: with a unit, or as a number of seconds where that can't mean minutes."""

import json
import re
from pathlib import Path

import pytest
import typer
from audio_files import ROOT
from command import Command
from recordings import save

from dailytalk_contiguous.cli.main import COMMANDS, command_of
from dailytalk_contiguous.cli.options import TIME, time_of


#: Every option that is a time, by the commands that have it.
def options_of_times() -> set[tuple[str, str]]:
    times = set[tuple[str, str]]()
    for name in COMMANDS:
        parameters = command_of(name).params
        times |= {(name, each.opts[0]) for each in parameters if each.metavar == TIME}
    return times


TIMES = options_of_times()

#: Those of which a number alone may mean minutes or seconds.
AMBIGUOUS = {"--end", "--listen", "--max-conversation", "--max-length", "--start"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15m", 900.0), ("300ms", 0.3), (" never ", 0.0)],
)
def test_time_with_its_unit_is_in_seconds(text: str, seconds: float) -> None:
    assert time_of({"never": 0.0})(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["15", "-15s", "15 x", ""])
def test_time_without_a_unit_or_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        time_of({})(text)


def test_silence_of_split_and_shortest_utterance_of_tag_are_spelt_alike(
    tmp_path: Path, dailytalk: Command
) -> None:
    save(tmp_path / "in/call.wav")
    embedded = ("--profile", "embedded", "--language", "en")
    for command, option, *others in (("split", "silence"), ("tag", "min_duration", *embedded)):
        out = tmp_path / command
        flag = "--" + option.replace("_", "-")
        dailytalk(command, tmp_path / "in", "--out", out, flag, "800ms", *others)
        record = json.loads((out / "run.json").read_text("utf-8"))
        assert record["settings"][option] == 0.8


@pytest.mark.parametrize(("command", "option"), sorted(time for time in TIMES if time[1] in AMBIGUOUS))
def test_number_without_a_unit_is_one_sentence(
    tmp_path: Path, dailytalk: Command, command: str, option: str
) -> None:
    words = {"corpus": ["crema_d", tmp_path]}.get(command, [tmp_path])
    out = [] if command in ("check", "emotion predict") else ["--out", tmp_path / "out"]
    done = dailytalk(command, *words, *out, option, "15")
    assert done.code == 2
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert f"'{option}': '15' is not a time such as 15m, 90s or 1h" in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{page.name}" for page in ROOT.glob("docs/*.md"))])
def test_documents_write_every_time_with_its_unit(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    times = {option for _, option in TIMES}
    for option, value in re.findall(r"(--[a-z-]+)[ =](\d[\w.]*)", text):
        if option in times:
            assert not re.fullmatch(r"\d*\.?\d+", value), option
