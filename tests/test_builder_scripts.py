import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
from audio_files import ROOT, example
from command import EMBEDDED, BuilderScript, Command
from recordings import excerpt, read_lines, save
from scripted import Stubborn, folder, loopback, talk, write_transcript

SCRIPT = ROOT / "builder_scripts" / "process_all.py"
GENERATE = SCRIPT.with_name("generate_tts.py")


@pytest.fixture
def process_all(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> BuilderScript:
    return BuilderScript(SCRIPT, monkeypatch, capfd)


@pytest.fixture
def generate_tts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[BuilderScript]:
    """The script with a server that imitates Fish Audio, and a cache of its own."""
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "cache"))
    with loopback(monkeypatch, Stubborn("bicycle", "silence")):
        yield BuilderScript(GENERATE, monkeypatch, capfd)


def recordings_and_transcript(tmp_path: Path) -> tuple[Path, Path]:
    """A folder of recordings, and a transcript of them elsewhere."""
    work = folder(tmp_path / "work", first=talk("first", 4), second=talk("second", 4))
    return (work / "recordings").rename(tmp_path / "calls"), work / "transcript.jsonl"


def arguments(folder: Path) -> tuple[Any, ...]:
    output = folder / "in/transcript.jsonl"  # beside the recordings, where a transcript would be found
    older = ("--input-dir", folder / "in", "--output", output, "--channel", "left", "--language", "en")
    return (*older, "--device", "cpu", "--profile", "embedded")


def test_older_arguments_write_the_left_channel_with_the_seed_presets(
    tmp_path: Path, process_all: BuilderScript
) -> None:
    save(tmp_path / "in/call.wav", excerpt(seconds=9.0))
    done = process_all(*arguments(tmp_path))
    assert (done.code, done.err.count("\n")) == (0, 2)  # how it began and ended
    lines = read_lines(tmp_path / "in/transcript.jsonl")
    assert {line["channel"] for line in lines} == {"left"}
    assert {line["audio_file"] for line in lines} == {"call.wav"}
    assert f"{len(lines)} utterances of 1 recordings in" in done.out
    again = process_all(*arguments(tmp_path))
    assert again.code == 0
    assert read_lines(tmp_path / "in/transcript.jsonl") == lines  # its own transcript is not taken for a given one
    assert {line["models"]["recogniser"] for line in lines} == {"base"}


def test_resynthesised_conversations_are_in_the_output_folder_itself(
    tmp_path: Path, generate_tts: BuilderScript
) -> None:
    calls, transcript = recordings_and_transcript(tmp_path)
    done = generate_tts("--transcript", transcript, "--output-dir", calls)
    assert (done.code, done.out) == (0, "4 utterances of 2 conversations resynthesised\n")
    shown = sorted(path.name for path in calls.iterdir() if not path.name.startswith("."))
    assert shown == [
        "first.wav",
        "first_edited.wav",
        "second.wav",
        "second_edited.wav",
        "transcript_shifted.jsonl",
    ]
    lines = read_lines(calls / "transcript_shifted.jsonl")
    assert {line["audio_file"] for line in lines} == {"first.wav", "second.wav"}  # as in the transcript
    assert soundfile.info(calls / "first_edited.wav").samplerate == 24000
    options = ("--sample-rate", "source", "--timeline", "sequential", "--output-transcript", tmp_path / "s.jsonl")
    again = generate_tts("--transcript", transcript, "--output-dir", calls, *options)
    assert again.code == 0
    source = soundfile.info(calls / "first.wav").samplerate
    assert soundfile.info(calls / "first_edited.wav").samplerate == source != 24000
    assert len(read_lines(tmp_path / "s.jsonl")) == len(lines)


def test_file_of_somebody_else_in_the_place_of_a_result_is_not_touched(
    tmp_path: Path, generate_tts: BuilderScript
) -> None:
    calls, transcript = recordings_and_transcript(tmp_path)
    theirs = save(calls / "first_edited.wav", excerpt(seconds=1.0)).read_bytes()
    done = generate_tts("--transcript", transcript, "--output-dir", calls)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "first_edited.wav is no result of this script: move it away" in done.err
    assert (calls / "first_edited.wav").read_bytes() == theirs
    assert not (calls / ".dailytalk").exists()


def test_each_row_has_a_tag_that_follows_from_the_buckets_beside_it(
    tmp_path: Path, process_all: BuilderScript
) -> None:
    save(tmp_path / "in" / "call.wav", example("bicycle_repair")[: 40 * 16000])
    done = process_all(*arguments(tmp_path), "--channel", "both")
    assert done.code == 0, done.err
    lines = read_lines(tmp_path / "in" / "transcript.jsonl")
    assert {line["models"]["affect"] for line in lines} == {"voice-linear"}
    assert all(line["tag"] for line in lines)
    of_grid = [line for line in lines if line["rule"].startswith("seed grid")]
    assert len(of_grid) > 3
    for line in of_grid:
        levels = line["vad_bucket"]
        cell = ", ".join(f"{name} {levels[name]}" for name in ("arousal", "valence", "dominance"))
        assert line["rule"].startswith(f"seed grid: {cell}")


def test_a_recording_that_is_missing_is_named_on_the_screen_with_what_helps(
    tmp_path: Path, generate_tts: BuilderScript
) -> None:
    calls, transcript = recordings_and_transcript(tmp_path)
    aside = (calls / "second.wav").rename(tmp_path / "second.wav")
    done = generate_tts("--transcript", transcript, "--output-dir", calls)
    assert done.code == 3
    assert "its recording 'second.wav' is not in" in done.out
    assert "recordings are read from --output-dir" in done.out
    assert "--recordings" not in done.out + done.err
    aside.rename(calls / "second.wav")
    assert generate_tts("--transcript", transcript, "--output-dir", calls).code == 0


def test_transcript_that_was_edited_is_not_written_over(tmp_path: Path, process_all: BuilderScript) -> None:
    save(tmp_path / "in/call.wav", excerpt(seconds=4.0))
    process_all(*arguments(tmp_path))
    (tmp_path / "in/transcript.jsonl").write_text("mine\n")
    done = process_all(*arguments(tmp_path))
    assert done.code == 1
    assert "was edited: move it away" in done.err
    assert (tmp_path / "in/transcript.jsonl").read_text() == "mine\n"


@pytest.mark.parametrize(("script", "option"), [(SCRIPT, "--input-dir"), (GENERATE, "--transcript")])
def test_script_runs_from_any_folder(tmp_path: Path, script: Path, option: str) -> None:
    done = subprocess.run([sys.executable, script, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0
    assert option in done.stdout


def test_the_folder_of_a_script_is_checked_and_exported_as_it_is(
    tmp_path: Path, generate_tts: BuilderScript, process_all: BuilderScript, dailytalk: Command
) -> None:
    calls, transcript = recordings_and_transcript(tmp_path)
    process_all("--input-dir", calls, "--output", calls / "transcript.jsonl", "--asr-model", "none", *EMBEDDED)
    checked = dailytalk("check", calls, "--json")
    assert json.loads(checked.out)["facts"]["conversations"] == 2
    generate_tts("--transcript", transcript, "--output-dir", calls)
    assert json.loads(dailytalk("check", calls, "--json").out)["facts"]["words"] == 48
    done = dailytalk("export", calls, "--format", "moshi", "--out", tmp_path / "moshi")
    assert done.code == 0
    assert dailytalk("check", tmp_path / "moshi").code == 0


def test_what_generate_tts_advises_it_has(
    tmp_path: Path, generate_tts: BuilderScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, transcript = recordings_and_transcript(tmp_path)
    lines = read_lines(transcript)
    lines[0]["text"] = "The bicycle makes a noise again."  # which the server refuses
    write_transcript(transcript.parent, lines)
    arguments = ("--transcript", transcript, "--output-dir", calls)
    held = generate_tts(*arguments)
    assert held.code == 3
    reasons = (calls / ".dailytalk/rejects.jsonl").read_text()
    assert "--on-failure keep-original" in reasons
    assert generate_tts(*arguments, "--on-failure", "keep-original").code in (0, 3)
    assert "first_edited.wav" in {path.name for path in calls.iterdir()}
    of_second = [line for line in lines if line["conversation_id"] == "second"]
    write_transcript(transcript.parent, of_second)
    without_first = generate_tts(*arguments)
    assert without_first.code == 1
    assert "--prune" in without_first.err
    assert generate_tts(*arguments, "--prune").code == 0
    assert generate_tts(*arguments, "--tries", "many").code == 2
    monkeypatch.delenv("FISH_API_KEY")
    monkeypatch.delenv("FISH_AUDIO_BASE_URL")
    tokenless = generate_tts(*arguments)
    assert tokenless.code == 1
    assert "set BEARER_TOKEN" in tokenless.err
    assert "--profile" not in tokenless.err
