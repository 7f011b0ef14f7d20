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

OPTIONS = {name: command_of(name).params for name in COMMANDS}

#: Options that take a number because their names are a unit.
NAMED = {"shard_minutes", "limit_hours", "sample_minutes", "target_minutes", "min_seconds", "max_seconds", "hours"}
NAMED |= {"voice_hours", "language_hours", "min_length_ratio", "max_length_ratio"}

#: Every option that is a time, by the commands that have it.
TIMES = {
    (name, one.opts[0])
    for name, options in OPTIONS.items()
    for one in options
    if one.metavar == TIME and name != "plan"
}

#: Those of which a number alone may mean minutes or seconds.
AMBIGUOUS = {"--end", "--listen", "--max-conversation", "--max-length", "--start"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15m", 900.0), ("90s", 90.0), ("1.5 H", 5400.0), ("300ms", 0.3), ("0", 0.0), ("0s", 0.0), (" never ", 0.0)],
)
def test_time_with_its_unit_is_in_seconds(text: str, seconds: float) -> None:
    assert time_of({"never": 0.0})(text) == pytest.approx(seconds)


@pytest.mark.parametrize(("text", "seconds"), [("15", 15.0), (" 0.8 ", 0.8), (".8", 0.8), ("2.", 2.0), ("0", 0.0)])
def test_number_alone_is_seconds_where_an_option_needs_no_unit(text: str, seconds: float) -> None:
    assert time_of({}, needs_unit=False)(text) == seconds


@pytest.mark.parametrize("text", ["", ".", "-1", "1e3", "inf", "nan", "0.8.1", "1_0", "0.8 x"])
def test_what_is_no_time_is_refused_without_a_unit_too(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        time_of({}, needs_unit=False)(text)


@pytest.mark.parametrize(
    "text", ["15", "0.8", " 15 ", "1e3", "-15s", "15 x", "soon", "", "never", "9" * 400 + "s", "１５s"]
)
def test_time_without_a_unit_or_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        time_of({})(text)


def test_shortest_time_of_an_option_is_kept() -> None:
    assert time_of({}, least=1.0)("1s") == 1.0
    with pytest.raises(typer.BadParameter, match="1s or more"):
        time_of({}, least=1.0)("0.9s")


@pytest.mark.parametrize("text", [".8", "800ms"])
def test_silence_of_split_and_shortest_utterance_of_tag_are_spelt_alike(
    tmp_path: Path, dailytalk: Command, text: str
) -> None:
    save(tmp_path / "in/call.wav")
    embedded = ("--profile", "embedded", "--language", "en")
    for command, option, *others in (("split", "silence"), ("tag", "min_duration", *embedded)):
        out = tmp_path / command
        dailytalk(command, tmp_path / "in", "--out", out, "--" + option.replace("_", "-"), text, *others)
        assert json.loads((out / "run.json").read_text("utf-8"))["settings"][option] == 0.8


@pytest.mark.parametrize(("command", "option"), sorted(time for time in TIMES if time[1] in AMBIGUOUS))
def test_number_without_a_unit_is_one_sentence_with_both_readings(
    tmp_path: Path, dailytalk: Command, command: str, option: str
) -> None:
    words = {"corpus": ["crema_d", tmp_path]}.get(command, [tmp_path])
    out = [] if command in ("check", "emotion predict") else ["--out", tmp_path / "out"]
    done = dailytalk(command, *words, *out, option, "15")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert f"'{option}': 15 has no unit: give 15m for minutes or 15s for seconds" in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{page.name}" for page in ROOT.glob("docs/*.md"))])
def test_documents_write_every_time_with_its_unit(page: str) -> None:
    written = re.findall(r"(--[a-z-]+)[ =](\d[\w.]*)", (ROOT / page).read_text(encoding="utf-8"))
    times = {option for _, option in TIMES}
    assert not [
        (option, value) for option, value in written if option in times and re.fullmatch(r"\d*\.?\d+", value)
    ]
