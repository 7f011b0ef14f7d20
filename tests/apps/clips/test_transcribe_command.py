import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from command import Command
from recordings import excerpt, save

from dailytalk_contiguous.apps.clips import transcribe_command
from dailytalk_contiguous.apps.clips.to_clips import transcribe_stages
from dailytalk_contiguous.apps.clips.transcribe_command import ClipsToHear
from dailytalk_contiguous.core.steps import listening

FIELDS = {"id", "seek", "start", "end", "text", "tokens", "temperature"}
FIELDS |= {"avg_logprob", "compression_ratio", "no_speech_prob", "words"}


def clips(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        sound = excerpt(start=0.0, seconds=4.0 + number / 10)
        save(folder / name, sound[:, :1])
    return folder


def entries(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_embedded_run_hears_the_clips_of_a_folder_in_the_layout_of_whisper(
    tmp_path: Path, dailytalk: Command
) -> None:
    source = tmp_path / "in"
    clips(source, "Usable/a.wav", "b.flac", "Non Usable/c.wav")
    done = dailytalk("transcribe", source, "--profile", "embedded")
    assert done.code == 0
    assert "2 clips heard" in done.out
    text = (source / "whisper.json").read_text(encoding="utf-8")
    made = json.loads(text)
    layout = json.dumps(made, indent=4, sort_keys=True, ensure_ascii=False)
    assert text == layout + "\n"
    assert list(made) == ["Usable/a.wav", "b.flac"]
    entry = made["b.flac"]
    assert "where should we go" in entry["text"]
    assert entry["language"] == "en"
    segments = entry["segments"]
    assert all(segment.keys() == FIELDS for segment in segments)
    assert " ".join(segment["text"] for segment in segments) == entry["text"]
    first = segments[0]
    assert first["avg_logprob"] < 0
    assert 0 <= first["no_speech_prob"] < 0.5
    assert 0.5 < first["compression_ratio"] < 2.4
    assert first["temperature"] == 0.0
    assert 0 <= first["start"] < first["words"][0]["end"] <= first["end"] <= 4.2


def test_entries_that_stand_are_kept_and_the_others_completed(tmp_path: Path, dailytalk: Command) -> None:
    source = tmp_path / "in"
    clips(source / "audio", "É.wav", "b.wav", "broken.wav")
    corrected = {"text": "Corrected.", "reviewer": "Ann", "segments": []}
    decomposed = unicodedata.normalize("NFD", "é.wav")
    before = {decomposed: corrected, "broken.wav": {"text": 3}, "gone.wav": corrected}
    (source / "whisper.json").write_text(json.dumps(before))
    done = dailytalk("transcribe", source, "--profile", "embedded", "--json")
    summary = json.loads(done.out)
    assert done.code == 3
    assert summary["heard"] == ["b.wav"]
    assert {reject["id"] for reject in summary["rejects"]} == {"broken.wav", "gone.wav"}
    made = entries(source / "whisper.json")
    assert {name: entry for name, entry in made.items() if name != "b.wav"} == before
    again = json.loads(dailytalk("transcribe", source, "--profile", "embedded", "--json").out)
    assert again["heard"] == []
    assert again["entries"] == 4
    assert entries(source / "whisper.json") == made


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcribe_command, "SECONDS_AT_ONCE", 1.0)
    source = clips(tmp_path / "in", *(f"{n}.wav" for n in range(4)))
    out = tmp_path / "whisper.json"
    stages = transcribe_stages("embedded")

    def stop(what: str, done: int, of: int | None) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), listening(stop):
        ClipsToHear(source, out).transcribe(stages)
    before = entries(out)
    assert len(before) == 2
    again = ClipsToHear(source, out)
    again.transcribe(stages)
    assert list(entries(out)) == ["0.wav", "1.wav", "2.wav", "3.wav"]
    assert sorted([*before, *again.recognised]) == ["0.wav", "1.wav", "2.wav", "3.wav"]


def test_a_file_that_can_not_be_completed_is_refused_before_anything_is_heard(
    tmp_path: Path, dailytalk: Command
) -> None:
    source = tmp_path / "in"
    clips(source, "a.wav")
    out = tmp_path / "whisper.json"
    out.write_text("{")
    done = dailytalk("transcribe", source, "--out", out, "--profile", "embedded")
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "is not JSON" in done.err
    assert out.read_text() == "{"
