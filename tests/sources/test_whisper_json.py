import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.sources.whisper_json import (
    clips_folder,
    match_names,
    read_whisper_json,
    whisper_json_text,
)

SEGMENT = {
    "id": 0,
    "seek": 0,
    "start": 0.0,
    "end": 1.5,
    "text": " Good morning.",
    "tokens": [50364, 2205],
    "temperature": 0.0,
    "avg_logprob": -0.25,
    "compression_ratio": 0.9,
    "no_speech_prob": 0.01,
}
ENTRY = {"text": " Good morning.", "language": "en", "segments": [SEGMENT]}


def save(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return path


def reason(path: Path) -> str:
    with pytest.raises(BadInput) as error:
        read_whisper_json(path)
    return str(error.value)


# Reading and writing


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_fields_that_nobody_knows_survive_a_save(tmp_path: Path) -> None:
    reviewer = {"name": "Ánna", "marks": [1, None, 0.1]}
    segment = SEGMENT | {"mood": "😀"}
    entry = ENTRY | {"reviewer": reviewer, "segments": [segment]}
    path = save(tmp_path / "whisper.json", {"b.wav": entry, "a.wav": ENTRY})
    read = read_whisper_json(path)
    path.write_text(whisper_json_text(read.entries), encoding="utf-8")
    assert load(path) == {"a.wav": ENTRY, "b.wav": entry}
    assert list(read.entries) == ["b.wav", "a.wav"]
    assert not read.problems


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("Good morning.", "'a.wav': Expected `object`, got `str`"),
        ({"text": 3}, "got `int` - at `$.text`"),
        ({"segments": [{"start": 0, "text": "x"}]}, "missing required field `end` - at `$.segments[0]`"),
        ({"segments": [SEGMENT | {"start": 2.0}]}, "segment 1 has the times 2.0 to 1.5"),
    ],
)
def test_a_bad_entry_is_a_reject_and_stays_in_the_file(tmp_path: Path, entry: Any, sentence: str) -> None:
    path = save(tmp_path / "whisper.json", {"a.wav": entry, "b.wav": ENTRY})
    before = json.dumps(load(path), sort_keys=True)
    read = read_whisper_json(path)
    assert list(read.problems) == ["a.wav"]
    reason = read.problems["a.wav"].reason
    assert sentence in reason
    assert "whisper.json" in reason
    path.write_text(whisper_json_text(read.entries), encoding="utf-8")
    assert json.dumps(load(path), sort_keys=True) == before


@pytest.mark.parametrize("name", ["../a.wav", "/etc/a.wav", "x/../../a.wav", "..\\a.wav", "C:\\a.wav", "a\0.wav"])
def test_a_name_that_leads_out_of_the_folder_is_a_reject(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / "whisper.json", {name: ENTRY, "b.wav": ENTRY})
    read = read_whisper_json(path)
    matches = match_names(read.entries, ["a.wav", "x/a.wav", "b.wav"])
    assert matches.keys == {"b.wav": "b.wav"}
    assert list(matches.problems) == [name]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"a.wav": {"text": "x"', "is not JSON"),
        ('{"a.wav": ' + "[" * 100_000 + "]" * 100_000 + "}", "recursion"),
    ],
)
def test_a_file_that_is_none_is_refused_with_its_name(tmp_path: Path, content: str, sentence: str) -> None:
    path = save(tmp_path / "whisper.json", content)
    message = reason(path)
    assert sentence in message
    assert str(path) in message


# Matching


NAMES = st.text(st.sampled_from("aAbBéÉß/."), min_size=1, max_size=6)


@given(st.lists(NAMES, unique=True), st.lists(NAMES, unique=True))
def test_every_entry_is_matched_once_or_a_reject(keys: list[str], names: list[str]) -> None:
    matches = match_names(keys, names)
    entries = [*matches.keys.values(), *matches.problems]
    assert sorted(entries) == sorted(keys)
    assert matches.keys.keys() <= set(names)
    for name in set(keys) & set(names):
        assert matches.keys[name] == name


def test_a_name_that_could_mean_two_files_means_none() -> None:
    matches = match_names(["Clip.wav"], ["clip.wav", "CLIP.wav"])
    assert not matches.keys
    problem = matches.problems["Clip.wav"]
    assert "'Clip.wav' is the name of no audio file, or of several" in problem.reason


# Which file is meant


@pytest.mark.parametrize("name", ["audio", "audios"])
def test_clips_are_in_the_folder_beside_the_texts(tmp_path: Path, name: str) -> None:
    audio = tmp_path / name
    audio.mkdir()
    path = save(tmp_path / "whisper.json", {"a.wav": ENTRY})
    assert clips_folder(tmp_path) == (audio, path)
    assert clips_folder(path) == (audio, path)


def test_a_broken_whisper_json_is_meant_all_the_same(tmp_path: Path) -> None:
    assert clips_folder(tmp_path).json is None
    path = save(tmp_path / "whisper.json", "{")
    assert clips_folder(tmp_path).json == path


def test_links_that_lead_out_are_not_followed(tmp_path: Path) -> None:
    secret = save(tmp_path / "private" / "whisper.json", {"a.wav": ENTRY})
    clips = tmp_path / "clips"
    clips.mkdir()
    (clips / "audio").symlink_to(secret.parent)
    with pytest.raises(BadInput, match="symbolic link"):
        clips_folder(clips)
    (clips / "audio").unlink()
    (clips / "whisper.json").symlink_to(secret)
    with pytest.raises(BadInput, match="symbolic link"):
        clips_folder(clips)
