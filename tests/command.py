"""The command as a user calls it, in this process or in one of its own."""

import os
import re
import runpy
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from huggingface_hub.utils import logging
from preloaded import Forked

from dailytalk_contiguous.cli.main import COMMANDS, FIRST_LINES, command_of, run_command

# As `run` has it by the environment, which is read once: in this process it was read before.
logging.set_verbosity_error()  # type: ignore[no-untyped-call]

#: `dailytalk` in a process of its own.
PROGRAM = (sys.executable, "-m", "dailytalk_contiguous")

#: What makes a run quick and free of downloads.
EMBEDDED = ("--profile", "embedded", "--language", "en")


class Done(NamedTuple):
    """How a command ended: its exit code, and what it printed; `err` without the first line (`FIRST_LINES`)."""

    code: int
    out: str
    err: str


#: An option in a line of output, and a command that is named there.
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9]\b")
_LONGEST_FIRST = sorted(map(re.escape, COMMANDS), key=len, reverse=True)
_ANY_COMMAND = "|".join(_LONGEST_FIRST)
NAMED = re.compile(rf"(?<![\w./-])(?:{_ANY_COMMAND})(?![\w-])")

#: Options of every command, and of `dailytalk` itself.
EVERYWHERE = {"--json", "--help", "--help-all", "--verbose", "--insecure", "--version"}

#: Where the sentences are about other commands: `doctor` says what is needed `to speak`, and how pip installs
#: weights; an export of J-Moshi ends with commands of its trainer.
ABOUT_OTHERS = ("  to speak:", "next: ", "voices, which check compares:")


def foreign_options(words: Sequence[str], output: str) -> list[str]:
    """Options that a command names in its output and that neither it has nor a command named in the same line.

    Args:
        words: of the command line. Help and JSON are not looked at, and what they repeat is left out.
        output: the lines.
    """
    beginnings = (" ".join(words[:2]), " ".join(words[:1]))
    name = next((beginning for beginning in beginnings if beginning in COMMANDS), "")
    is_help_or_json = {"--help", "--help-all", "--json"} & {*words}
    names_a_script = any(word.endswith(".py") for word in words)
    if not name or is_help_or_json or names_a_script:
        return []
    foreign = []
    for line in output.splitlines():
        options = OPTION.findall(line)
        if not options or line.startswith(ABOUT_OTHERS):
            continue
        allowed = EVERYWHERE | {*words}
        for command in {name, *NAMED.findall(line)}:
            for parameter in command_of(command).params:
                allowed |= set(parameter.opts)
        for option in options:
            if option not in allowed:
                foreign.append(f"{name} names {option}: {line}")
    return foreign


class Command:
    """Calls `dailytalk` with arguments and keeps what it printed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capfd = capfd

    def __call__(self, *arguments: Any) -> Done:
        words = [*map(str, arguments)]
        if words and words[0] in COMMANDS:  # some are two words
            words[:1] = words[0].split()
        self._monkeypatch.setattr(sys, "argv", ["dailytalk", *words])
        self._capfd.readouterr()
        with pytest.raises(SystemExit) as leave:
            run_command()
        out, err = self._capfd.readouterr()
        for line in {*FIRST_LINES.values()}:
            err = err.removeprefix(f"{line}\n")
        done = Done(int(leave.value.code or 0), out, err)
        assert foreign_options(words, f"{done.out}\n{done.err}") == []
        return done


class BuilderScript:
    """Runs a script of `builder_scripts` in this process with arguments and keeps what it printed."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self._path = path
        self._monkeypatch = monkeypatch
        self._capfd = capfd

    def __call__(self, *arguments: Any) -> Done:
        self._monkeypatch.setattr(sys, "argv", [str(self._path), *map(str, arguments)])
        self._monkeypatch.syspath_prepend(self._path.parent)  # as Python does
        self._capfd.readouterr()
        with pytest.raises(SystemExit) as leave:
            runpy.run_path(str(self._path), run_name="__main__")
        return Done(int(leave.value.code or 0), *self._capfd.readouterr())


#: `dailytalk` that goes no further than a number of shards: it says "held" on stdout and waits for a signal.
HELD = """
import signal, socket, sys
from dailytalk_contiguous.run.progress import Tracker

left = [int(sys.argv.pop(1))]

def record_shard(tracker, shard, note=Tracker.record_shard):
    note(tracker, shard)
    left[0] -= 1
    if not left[0]:
        signals, theirs = socket.socketpair()
        theirs.setblocking(False)
        signal.set_wakeup_fd(theirs.fileno())  # one that comes before we wait ends the wait, too
        print("held", flush=True)
        while signals.recv(1):
            pass

Tracker.record_shard = record_shard
if __name__ == "__main__":
    from dailytalk_contiguous.__main__ import entry_point
    entry_point()
"""

#: `dailytalk` that says "held" before a file gets its name, if that ends so, after a number of such files. It
#: waits for the end of its stdin, in whichever thread that is.
HELD_BEFORE = """
import sys
left, end = [int(sys.argv.pop(1))], sys.argv.pop(1)

def renamed(event, arguments):
    if event == "os.rename" and str(arguments[1]).endswith(end):
        left[0] -= 1
        if left[0] == -1:
            print("held", flush=True)
            sys.stdin.read()

sys.addaudithook(renamed)
from dailytalk_contiguous.__main__ import entry_point
entry_point()
"""

#: `dailytalk` on a disk that has no room for a file of so many bytes.
FULL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))
from dailytalk_contiguous.__main__ import entry_point
entry_point()
"""


def start(*arguments: Any, program: tuple[str, ...] = PROGRAM, **options: Any) -> "subprocess.Popen[str]":
    """Begin `dailytalk` in a session of its own, so that signals reach it and its workers alone."""
    return Forked(
        [*program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        **options,
    )


def start_full(size: int, *arguments: Any) -> "subprocess.Popen[str]":
    """`start`, where a file can have so many bytes: that fails in the same place as on a disk that is full."""
    return start(*arguments, program=(sys.executable, "-c", FULL.format(size)))


def start_held(shards: int, *arguments: Any) -> "subprocess.Popen[str]":
    """`start`, returned once so many shards stand; it goes no further (its workers may)."""
    process = start(shards, *arguments, program=(sys.executable, "-c", HELD))
    return _held(process)


def start_held_before(files: int, end: str, *arguments: Any) -> "subprocess.Popen[str]":
    """`start`, returned once so many files whose names end so are there; `communicate` lets it have the next."""
    program = (sys.executable, "-c", HELD_BEFORE)
    process = start(files, end, *arguments, program=program, stdin=subprocess.PIPE)
    return _held(process)


def _held(process: "subprocess.Popen[str]") -> "subprocess.Popen[str]":
    assert process.stdout is not None
    line = process.stdout.readline()
    while line != "held\n":
        assert line, process.communicate()
        line = process.stdout.readline()
    return process


def until(true: Callable[[], Any], process: "subprocess.Popen[str] | None" = None) -> None:
    """Return once something is so that only a look at it shows; `process` must not end before that.

    Five minutes, since a Ray cluster on two busy cores was seen to take more than one to start its first actor.
    """
    for _ in range(30_000):
        if true():
            return
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError("it never happened")
