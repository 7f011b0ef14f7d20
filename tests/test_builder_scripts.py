import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import soundfile
from audio_files import ROOT, tones
from recordings import excerpt, read_lines, save

SCRIPT = ROOT / "builder_scripts" / "process_all.py"


class Done(NamedTuple):
    code: Any
    out: str
    err: str


class Script:
    """Runs process_all.py in this process with the older tool's arguments."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capfd = monkeypatch, capfd

    def __call__(self, *arguments: Any) -> Done:
        self._monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
        self._capfd.readouterr()
        with pytest.raises(SystemExit) as leave:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        return Done(leave.value.code, *self._capfd.readouterr())


@pytest.fixture
def process_all(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Script:
    return Script(monkeypatch, capfd)


def arguments(folder: Path) -> tuple[Any, ...]:
    output = folder / "in/transcript.jsonl"  # beside the recordings, where a transcript would be found
    older = ("--input-dir", folder / "in", "--output", output, "--channel", "left", "--language", "en")
    return (*older, "--device", "cpu", "--profile", "embedded")


def test_older_arguments_write_the_left_channel_with_the_seed_presets(tmp_path: Path, process_all: Script) -> None:
    save(tmp_path / "in/call.wav", excerpt(seconds=9.0))
    done = process_all(*arguments(tmp_path))
    assert (done.code, done.err.count("\n")) == (0, 1)  # the line of its one shard
    lines = read_lines(tmp_path / "in/transcript.jsonl")
    assert {line["channel"] for line in lines} == {"left"}
    assert {line["audio_file"] for line in lines} == {"call.wav"}
    assert f"{len(lines)} utterances of 1 recordings in" in done.out
    again = process_all(*arguments(tmp_path))
    assert again.code == 0
    assert read_lines(tmp_path / "in/transcript.jsonl") == lines  # its own transcript is not taken for a given one
    assert {line["models"]["recogniser"] for line in lines} == {"pocketsphinx"}


def test_what_is_set_aside_is_told_and_gives_3(tmp_path: Path, process_all: Script) -> None:
    save(tmp_path / "in/call.wav", excerpt(seconds=4.0))
    save(tmp_path / "in/mono.wav", tones(1, channels=1))
    done = process_all(*arguments(tmp_path))
    assert done.code == 3
    assert "\nset aside: mono: it has one channel (mono)" in done.err


def test_what_generate_tts_left_in_the_folder_is_told_and_not_tagged(tmp_path: Path, process_all: Script) -> None:
    save(tmp_path / "in/call.wav", excerpt(seconds=4.0))
    for name in ("in/audio/call_edited.wav", "in/call_edited.wav"):
        path = save(tmp_path / name)
        with soundfile.SoundFile(path, "w", 16000, 2, "PCM_16") as wav:
            wav.comment = "dailytalk-sha256 0123"
            wav.write(excerpt(seconds=4.0))
    done = process_all(*arguments(tmp_path))
    assert done.code == 0
    assert {line["audio_file"] for line in read_lines(tmp_path / "in/transcript.jsonl")} == {"call.wav"}
    assert 'passed over 2 made by dailytalk (name one as INPUT to take it): "audio/call_edited.wav"' in done.err


def test_transcript_that_was_edited_is_not_written_over(tmp_path: Path, process_all: Script) -> None:
    save(tmp_path / "in/call.wav", excerpt(seconds=4.0))
    process_all(*arguments(tmp_path))
    (tmp_path / "in/transcript.jsonl").write_text("mine\n")
    done = process_all(*arguments(tmp_path))
    assert done.code == 1
    assert "was edited: move it away" in done.err
    assert (tmp_path / "in/transcript.jsonl").read_text() == "mine\n"


def test_expected_errors_are_one_sentence(tmp_path: Path, process_all: Script) -> None:
    (tmp_path / "in").mkdir()
    done = process_all(*arguments(tmp_path))
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert done.err.startswith("process_all: there are no recordings in")


def test_script_runs_from_any_folder(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0
    assert "--input-dir" in done.stdout
