"""A person's own file writes an export and checks it, with its own options, beside those of the package."""

import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_files import ROOT
from built_conversations import built_row, write_dataset
from command import EMBEDDED, Command
from datasets import Audio, load_dataset
from own_stages import own_file
from recordings import excerpt, read_lines, save

from dailytalk_contiguous.machine.audio import read_pcm

#: Clips for Orpheus-TTS.
CLIPS = (ROOT / "examples/own/export.py").read_text(encoding="utf-8")


@pytest.fixture
def own_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    code = CLIPS.replace("settings=ClipSettings()", "settings=ClipSettings(named=False, longest_seconds=2.5)")
    return own_file(tmp_path, monkeypatch, code)


def test_own_format_is_written_with_its_options_and_checked(
    own_format: Path, tmp_path: Path, dailytalk: Command
) -> None:
    save(tmp_path / "in/call.wav", excerpt(seconds=9.0))
    work = tmp_path / "work"
    out = tmp_path / "clips"
    kept = ("--revoice", "none", "--source-licence", "CC0-1.0")
    done = dailytalk("build", tmp_path / "in", "--out", work, *EMBEDDED, *kept)
    assert done.code == 0
    export = ("export", work, "--format", own_format, "--out", out)
    done = dailytalk(*export)
    assert done.code == 0, done.out
    assert f"3 clips of train in {out}" in done.out
    assert "left out: longer than --longest: 1" in done.out
    lines = read_lines(out / "metadata.jsonl")
    assert not any(": " in line["text"] for line in lines)
    readme = (out / "README.md").read_text(encoding="utf-8")
    assert "Orpheus-TTS" in readme
    check = ("check", out, "--format", own_format)
    assert f"next: dailytalk check {out} --format {own_format}" in done.out
    checked = dailytalk(*check, "--json")
    facts = json.loads(checked.out)["facts"]
    assert facts == {"kind": "orpheus", "files": 3}
    shown = dailytalk(*check)
    assert "good: nothing speaks against training on it; only the check of orpheus has judged it" in shown.out
    (out / lines[0]["file_name"]).unlink()
    broken = dailytalk(*check)
    assert broken.code == 1
    assert "missing-audio" in dailytalk(*check, "--json").out
    assert "it isn't there" in broken.out
    # What check knows by itself is judged as that, too.
    done = dailytalk("check", work, "--json")
    alone = json.loads(done.out)
    (work / "metadata.jsonl").write_text('{"text": "", "file_name": "a.wav"}\n')
    done = dailytalk("check", work, "--format", own_format, "--json")
    both = json.loads(done.out)
    assert both["facts"]["words"] == alone["facts"]["words"]
    kinds_alone = {finding["kind"] for finding in alone["findings"]}
    kinds = {finding["kind"] for finding in both["findings"]}
    assert kinds == {"empty-text", "missing-audio"} | kinds_alone
    assert "neither a work folder" in dailytalk("check", out).err  # nothing in the folder tells what it is
    other = dailytalk("export", work, "--format", "csm", "--out", tmp_path / "csm", "--main", "right")
    assert other.code == 0, other.err


def test_clips_load_as_text_and_audio_in_one_split_with_tags_where_sounds_are(
    tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (("right", 0.5, 2.5, "well that is funny."), ("left", 3.0, 4.0, "Is it?"))
    row = built_row("test", lines, kept_speaker="Ann", sounds=[(1.4, 1.6), (4.5, 4.8)])
    for sound in row["sounds"]:
        sound["label"] = "laughter"
    work = write_dataset(tmp_path / "work", [row])
    out = tmp_path / "test/clips"
    done = dailytalk("export", work, "--format", own_file(tmp_path, monkeypatch, CLIPS), "--out", out)
    assert done.code == 0, done.err
    encoders = types.ModuleType("torchcodec.encoders")
    encoders.AudioEncoder = None  # type: ignore[attr-defined]  # datasets imports it, and here does not use it
    monkeypatch.setitem(sys.modules, "torchcodec", types.ModuleType("torchcodec"))
    monkeypatch.setitem(sys.modules, "torchcodec.encoders", encoders)
    loaded = load_dataset(str(out), split="train", cache_dir=str(tmp_path / "cache"))
    loaded = loaded.cast_column("audio", Audio(decode=False))
    assert sorted(loaded.column_names) == ["audio", "text"]
    assert loaded["text"][:] == ["Ann: well that <laugh> is funny."]
    (sound,) = loaded["audio"]
    written, rate = soundfile.read(sound["path"], dtype="int16")
    said = read_pcm(row["audio"], sample_rate=rate)[:, 1]
    np.testing.assert_array_equal(written, said[round(0.5 * rate) : round(2.5 * rate)])


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (CLIPS.replace("FORMAT =", "LAYOUT ="), "defines no FORMAT: end it with FORMAT = ExportFormat(...)"),
        (CLIPS.replace("import error", "import terror"), "can't be imported (ImportError"),
    ],
)
def test_file_that_is_no_format_is_refused_in_a_sentence(
    code: str, reason: str, tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = own_file(tmp_path, monkeypatch, code)
    done = dailytalk("export", tmp_path, "--format", file, "--out", tmp_path / "out")
    assert done.code == 1, done.err
    assert done.err.count("\n") == 1, done.err
    assert reason in done.err
    assert not (tmp_path / "out").exists()
