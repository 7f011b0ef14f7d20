"""What texts from outside do to a terminal: nothing."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from built_conversations import built_row, write_dataset
from command import Command
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.cli import terminal
from dailytalk_contiguous.cli.terminal import print_json, visible

#: Sets a title, clears the screen in C1, turns the direction of writing round, ends a line early.
HOSTILE = "\x1b]0;owned\x07\x1b[31m\x9b2J\u202egpj.exe\u2066\x00\r\x7f\u2028\ud800"

FORBIDDEN = set("\x1b\x07\x9b\u202e\u2066\x00\r\x7f\u2028")


@given(st.text(st.characters()))
def test_only_tab_and_newline_are_left_of_the_control_characters(text: str) -> None:
    shown = visible(text)
    assert not any(
        (character < " " and character not in "\t\n") or "\x7f" <= character <= "\x9f" for character in shown
    )
    assert not FORBIDDEN & set(shown)
    shown.encode("utf-8")


@given(st.text(st.characters()))
def test_json_is_what_it_was_and_holds_nothing_that_a_terminal_obeys(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", io.StringIO())
        print_json({text: [text]})
        printed = sys.stdout.getvalue()  # type: ignore[attr-defined]
    assert json.loads(printed) == {text: [text]}
    assert not FORBIDDEN & set(printed)


def strings(value: Any) -> list[str]:
    """All texts of a JSON value."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings(item)]
    return [text for item in value for text in strings(item)] if isinstance(value, list) else [str(value)]


def test_line_break_in_an_id_or_a_reason_begins_no_line_of_ours(dailytalk: Command, tmp_path: Path) -> None:
    forged = "good\ngood: nothing speaks against training on it"
    rows = [built_row(f"a\n{forged}", audio=None), built_row("b", transcript_repair=f"x\n{forged}")]
    done = dailytalk("check", write_dataset(tmp_path / "work", rows))
    assert done.code == 1
    assert not [line for line in done.out.splitlines() if line.startswith("good")]
    assert "\\ngood" in done.out


@pytest.mark.parametrize("as_json", [False, True])
def test_names_of_a_strangers_dataset_never_steer_the_terminal(
    dailytalk: Command, tmp_path: Path, as_json: bool
) -> None:
    name = HOSTILE.replace("\ud800", "")  # which Parquet can't hold
    folder = write_dataset(tmp_path / "work", [built_row(name, audio=None), built_row("good")])
    done = dailytalk("check", folder, *(["--json"] if as_json else []))
    assert not FORBIDDEN & set(done.out + done.err)
    if as_json:
        assert any(name in text for text in strings(json.loads(done.out)))
    else:
        assert "\\u202egpj.exe" in done.out


def test_steps_of_a_long_command_are_lines_where_there_is_no_terminal(
    dailytalk: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_dataset(tmp_path / "work", [built_row("a"), built_row("b")])
    monkeypatch.setattr(terminal, "LINE_SECONDS", 0.0)
    steps = dailytalk("check", folder).err.splitlines()
    assert "conversations of dataset/shard-0.parquet checked: 1" in steps
