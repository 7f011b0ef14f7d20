import json
from pathlib import Path
from typing import Any

from corpus_trees import clip, problems, put, read
from spoken_corpora import rows_of, run, spoken

HELLO = {
    "text": " Hello  there.",
    "language": "en",
    "segments": [{"start": 0, "end": 0.05, "text": "Hello there."}],
}


def texts(**entries: Any) -> bytes:
    named = {f"{name}.wav": entry for name, entry in entries.items()}
    return json.dumps(named).encode()


def clips(tmp_path: Path, files: dict[str, bytes], **options: Any) -> dict[str, dict[str, Any]]:
    return read("clips", put(tmp_path / "Mary", files), **options)


def speakers(tmp_path: Path, *names: str, **files: bytes) -> dict[str, str]:
    sounds = dict.fromkeys(names, clip())
    rows = clips(tmp_path, sounds | files)
    return {name: row["speaker"].removeprefix("clips/") for name, row in rows.items()}


def test_text_and_language_of_a_clip_are_those_of_its_entry(tmp_path: Path) -> None:
    files = {"a.wav": clip(), "b.wav": clip(0.07), "whisper.json": texts(a=HELLO)}
    rows = clips(tmp_path, files)
    wanted = {
        "id": "clips/a",
        "text": "Hello there.",
        "language": "en",
        "sentence": "hello there",
        "problem": None,
    }
    assert {name: rows["a.wav"][name] for name in wanted} == wanted
    assert rows["b.wav"]["text"] is None
    assert rows["b.wav"]["language"] is None
    assert rows["b.wav"]["problem"] is None


def test_the_speaker_is_told_by_folder_name_or_manifest(tmp_path: Path) -> None:
    line = json.dumps({"file": "Usable/P_000001.wav", "source": "calls/Peter.flac", "usable": True})
    manifest = {"manifest.jsonl": line.encode()}
    expected = {
        "anna/clip_0001.wav": "anna",
        "Usable/BOB_000001.wav": "BOB",
        "Usable/P_000001.wav": "Peter",
        "c_000002_good_day.wav": "c",
        "1.wav": "Mary",
    }
    assert speakers(tmp_path, *expected, **manifest) == expected


def test_a_bad_entry_rejects_its_clip_alone_and_an_entry_without_audio_is_a_row(tmp_path: Path) -> None:
    entries = {"a.wav": HELLO, "b.wav": {"text": 3}, "gone.wav": HELLO, "../up.wav": HELLO}
    files = {"a.wav": clip(), "b.wav": clip(0.07)}
    files["whisper.json"] = json.dumps(entries).encode()
    faults = problems(clips(tmp_path, files))
    assert faults.keys() == {"b.wav", "gone.wav", "../up.wav"}
    assert "got `int` - at `$.text`" in faults["b.wav"]
    for name in ("gone.wav", "../up.wav"):
        assert faults[name] == f"'{name}' is the name of no audio file, or of several"


def test_clips_are_finished_with_the_texts_that_there_are(tmp_path: Path) -> None:
    files = {f"Usable/ANN_00000{n}.wav": spoken(n) for n in range(4)}
    entries = {f"ANN_00000{n}.wav": {"text": f"This is line {n}."} for n in range(3)}
    files["whisper.json"] = json.dumps(entries).encode()
    out = tmp_path / "out"
    done = run(put(tmp_path / "in", files), out, "clips")
    assert not done.rejects
    rows = rows_of(out).values()
    recorded = {row["utterances"][0]["text"] for row in rows}
    assert recorded == {None, "This is line 0.", "This is line 1.", "This is line 2."}
    assert {row["labels"]["speaker"] for row in rows} == {"clips/ANN"}
