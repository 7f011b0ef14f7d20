"""What a user reads when something is wrong: one sentence, and the exit code."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command import EMBEDDED, Command
from recordings import calls
from scripted import SHORT, folder

from dailytalk_contiguous.cli.terminal import guarded
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.machine import interrupts


@pytest.fixture
def dailytalk(dailytalk: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # no test asks the network
    return dailytalk


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return calls(tmp_path / "in", "a")


def test_too_little_memory_is_one_sentence(source: Path, tmp_path: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (400 << 20,) * 2)"
    program = f"{limit}; from dailytalk_contiguous.__main__ import entry_point; entry_point()"
    command = [sys.executable, "-c", program, "build", source, "--out", tmp_path / "work", *EMBEDDED]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    _, sentence = done.stderr.splitlines()  # after what it looks for
    assert sentence.startswith("dailytalk: there is too little memory: close other programs")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--profile", "best"), "--profile can't be 'best': give standard, embedded."),
        (("--transcripts", "nosuch"), "Invalid value for '--transcripts': path 'nosuch' does not exist"),
        (("--language", "en,xx"), "Whisper base does not know the language en,xx"),
        (("--asr-model", "empty"), "'empty' is not a complete Whisper model in CTranslate2 format: no model.bin"),
    ],
)
def test_wrong_setting_is_one_sentence_and_nothing_is_written(
    tmp_path: Path,
    source: Path,
    dailytalk: Command,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    told: str,
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    done = dailytalk("tag", source, "--out", tmp_path / "out", *EMBEDDED, *options)
    refused = "can't be '" in told or "Invalid value" in told  # whatever is on this machine
    assert (done.code, done.out) == (2 if refused else 1, "")
    assert done.err.startswith(f"dailytalk: {told}")
    assert done.err.count("\n") == 1
    assert not list(tmp_path.glob("out/*.json*"))
    assert not list(tmp_path.glob("out/tagged/*"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("tag",), "Missing argument"),
        (("tag", "x"), "Missing option '--out'"),
        (("tag", "x", "--outt", "y"), "--outt (Possible options: "),
        (("nosuch",), "No such command 'nosuch'"),
    ],
)
def test_wrong_usage_gives_2_and_names_the_option(
    dailytalk: Command, arguments: tuple[str, ...], told: str
) -> None:
    done = dailytalk(*arguments)
    assert done.code == 2
    assert told in done.err
    assert "Traceback" not in done.err


def test_dry_run_misses_no_model_that_the_run_would_download(
    tmp_path: Path, source: Path, dailytalk: Command
) -> None:
    work = folder(tmp_path / "work", first=SHORT)
    out = tmp_path / "out"
    for command in (("tag", source, "--out", out), ("build", source, "--out", out), ("speak", work)):
        done = dailytalk(*command, "--profile", "embedded", "--asr-model", "tiny", "--dry-run")
        assert done.code == 0
        assert done.err == ""
        assert "stages to run: " in done.out


def test_missing_input_and_folder_without_recordings_are_told_apart(tmp_path: Path, dailytalk: Command) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/notes.txt").touch()
    missing = dailytalk("tag", tmp_path / "nosuch", "--out", tmp_path / "out", *EMBEDDED)
    assert missing == (1, "", f"dailytalk: the input '{tmp_path}/nosuch' does not exist: check the path.\n")
    empty = dailytalk("tag", tmp_path / "in", "--out", tmp_path / "out", *EMBEDDED)
    assert empty.code == 1
    assert empty.err.startswith(f"dailytalk: there are no recordings in '{tmp_path}/in': name a folder")


def test_what_comes_before_is_asked_for(tmp_path: Path, dailytalk: Command) -> None:
    (tmp_path / "empty").mkdir()
    done = dailytalk("speak", tmp_path / "empty")
    assert done.code == 1
    assert "there is no transcript" in done.err
    assert "dailytalk tag first" in done.err


def test_text_of_an_older_encoding_is_a_reject_that_says_so(
    tmp_path: Path, source: Path, dailytalk: Command
) -> None:
    (source / "a.srt").write_bytes("1\n00:00:01,000 --> 00:00:02,000\ncafé\n".encode("latin-1"))
    done = dailytalk("tag", source, "--out", tmp_path / "out", *EMBEDDED)
    assert done.code == 1
    assert "line 3 is not UTF-8 or UTF-16 text" in done.out + done.err


def test_out_that_can_not_be_written_is_one_sentence(tmp_path: Path, source: Path, dailytalk: Command) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file/x", "/proc/x", source):
        done = dailytalk("tag", source, "--out", out, *EMBEDDED)
        assert done.code == 1
        assert done.out == ""
        assert done.err.count("\n") == 1
        assert str(out) in done.err


# The guard itself


def raising(error: BaseException) -> Any:
    def command() -> int:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (DailytalkError("it is wrong", "mend it"), 1, "x: it is wrong: mend it.\n"),
        (
            KeyboardInterrupt(),
            130,
            "x: stopped. What is finished is kept; run the same command again to go on.\n",
        ),
    ],
)
def test_expected_error_is_a_sentence_and_a_code(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, told: str
) -> None:
    assert guarded("x", raising(error)) == code
    assert capsys.readouterr().err == told


def test_error_that_nobody_foresaw_is_one_sentence_and_has_its_traceback_with_v(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    error = KeyError("words")
    error.add_note("while reading call.json")
    assert guarded("x", raising(error), has_verbose=True) == 1
    assert "x: KeyError: 'words', while reading call.json (-v shows where" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["dailytalk", "status", "-v"])
    with pytest.raises(KeyError):
        guarded("x", raising(error), has_verbose=True)


IMPATIENT = """
import os, runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == "dailytalk_contiguous.cli.main":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, CtrlC())
runpy.run_module("dailytalk_contiguous", run_name="__main__")
"""


def test_ctrl_c_while_it_loads_is_one_sentence() -> None:
    done = subprocess.run([sys.executable, "-c", IMPATIENT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == f"dailytalk: {interrupts.SENTENCE}.\n"
