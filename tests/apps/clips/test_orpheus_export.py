"""Exports for Orpheus: a text with the speaker's name, and tags where a sound is heard."""

import json
import re
import sys
import types
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import soundfile
from built_conversations import built_row, stereo, write_dataset
from command import Command
from corpus_trees import clip, put
from recordings import read_lines

RATE = 24000
LINES = (
    ("right", 0.5, 2.5, "well that is funny."),
    ("left", 3.0, 4.0, "Is it?"),
    ("right", 4.5, 6.0, "it is"),
    ("right", 9.0, 10.0, "oh no"),
)


def labelled(start: float, end: float, label: str | None) -> dict[str, Any]:
    return {
        "channel": "right",
        "start": start,
        "end": end,
        "source_start": start,
        "source_end": end,
        "label": label,
    }


#: A laugh between "that" and "is", a sigh right behind an utterance, a cough by itself, a noise, and one without a
#: name.
SOUNDS = [
    labelled(1.4, 1.6, "laughter"),
    labelled(6.1, 6.6, "sighs"),
    labelled(7.5, 8.0, "cough"),
    labelled(8.9, 9.0, "door slams"),
    labelled(10.1, 10.3, None),
]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    row = built_row("test", LINES, 11.0, kept_speaker="Ann: Lee")
    row["sounds"] = SOUNDS
    return write_dataset(tmp_path / "work", [row])


def export(dailytalk: Command, source: Path, out: Path) -> dict[str, Any]:
    done = dailytalk("export", source, "--format", "orpheus", "--out", out, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


#: The tags that the README of Orpheus lists.
TAGS = {"laugh", "chuckle", "sigh", "cough", "sniffle", "groan", "yawn", "gasp"}


def texts(folder: Path) -> list[str]:
    """The texts of a folder, read strictly: of each sound one with a name, words, and no other tags than these."""
    lines = read_lines(folder / "metadata.jsonl")
    wavs = [path.relative_to(folder).as_posix() for path in folder.rglob("*.wav")]
    assert sorted(line["file_name"] for line in lines) == sorted(wavs)
    for line in lines:
        info = soundfile.info(folder / line["file_name"])
        assert (info.channels, info.samplerate, info.subtype) == (1, RATE, "PCM_16")
        name, colon, text = line["text"].partition(": ")
        assert name.strip()
        assert colon
        assert {*re.findall("<(.*?)>", text)} <= TAGS
        plain = re.sub("<.*?>", "", text)
        assert re.search(r"\w", plain)
        assert not re.search(r"[<>]|\(excited\)|\(whispering\)|\(in a hurry tone\)", plain)
    return [line["text"] for line in lines]


def test_a_tag_stands_where_its_sound_is_and_the_clip_has_the_sound(
    work: Path, tmp_path: Path, dailytalk: Command
) -> None:
    out = tmp_path / "out"
    outcome = export(dailytalk, work, out)
    assert texts(out) == [
        "Ann Lee: well that <laugh> is funny.",
        "Ann Lee: it is <sigh>",
        "Ann Lee: oh no",
    ]
    samples = stereo(LINES, 11.0, RATE)
    spans = ((0.5, 2.5), (4.5, 6.6), (9.0, 10.0))
    for line, (start, end) in zip(read_lines(out / "metadata.jsonl"), spans, strict=True):
        written, rate = soundfile.read(out / line["file_name"], dtype="int16")
        assert rate == RATE
        np.testing.assert_array_equal(written, samples[round(start * RATE) : round(end * RATE), 1])
    assert outcome["left_out_parts"] == {
        "resynthesised utterances": 1,
        "style tags": 3,
        "labelled sounds apart from utterances": 1,
        "labelled sounds that Orpheus has no tag for": 1,
    }


def test_marks_in_texts_become_tags_and_style_tags_are_left_out(tmp_path: Path, dailytalk: Command) -> None:
    spoken = {
        "test-1.wav": "(excited) You are so funny [laughs], so nice to meet you.",
        "test-2.wav": "Honestly, <sigh>, (in a hurry tone) I don't know.",
        "test-3.wav": "[door slams] Who is <b>there</b>? *giggling*",
        "test-4.wav": "(whispering) Plain (as it is).",
    }
    entries = {name: {"text": text, "language": "en", "segments": []} for name, text in spoken.items()}
    files = {f"audio/{name}": clip(0.5 + number / 10) for number, name in enumerate(spoken)}
    files["whisper.json"] = json.dumps(entries).encode()
    out = tmp_path / "out"
    outcome = export(dailytalk, put(tmp_path / "Mary", files), out)
    assert sorted(text.partition(": ")[2] for text in texts(out)) == [
        "Honestly, <sigh>, I don't know.",
        "Plain (as it is).",
        "Who is there? <chuckle>",
        "You are so funny <laugh>, so nice to meet you.",
    ]
    assert outcome["left_out_parts"] == {"style tags": 3, "marks in texts that are no tag of Orpheus": 3}


def test_the_folder_loads_as_text_and_audio_in_one_split_whatever_its_clips_are_called(
    work: Path, tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "test" / "out"
    export(dailytalk, work, out)
    encoders = types.ModuleType("torchcodec.encoders")
    encoders.AudioEncoder = None  # type: ignore[attr-defined]  # datasets imports it, and here does not use it
    monkeypatch.setitem(sys.modules, "torchcodec", types.ModuleType("torchcodec"))
    monkeypatch.setitem(sys.modules, "torchcodec.encoders", encoders)
    loaded = datasets.load_dataset(str(out), split="train", cache_dir=str(tmp_path / "cache"))
    loaded = loaded.cast_column("audio", datasets.Audio(decode=False))
    assert sorted(loaded.column_names) == ["audio", "text"]
    assert sorted(loaded["text"]) == sorted(texts(out))
    assert all(Path(row["audio"]["path"]).is_file() for row in loaded)
