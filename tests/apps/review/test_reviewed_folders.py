"""What can be reviewed besides a tagged folder: clips with their JSON, and training folders."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from dailytalk_contiguous.apps.review.layouts import DISCARDED, DISCARDED_ENTRIES, Editable, open_editable
from dailytalk_contiguous.apps.review.session import Session
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.sources.whisper_json import read_whisper_json

RATE = 16000


def tone(path: Path, seconds: float = 2.0, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.3 * np.sin(np.arange(round(seconds * RATE)) * 0.05)
    soundfile.write(path, np.stack([wave] * channels, axis=1), RATE, subtype="PCM_16")


def segment(number: int, start: float, end: float, text: str) -> dict[str, Any]:
    return {
        "id": number, "seek": 0, "start": start, "end": end, "text": f" {text}", "tokens": [1, 2],
        "temperature": 0.0, "avg_logprob": -0.2, "compression_ratio": 1.1, "no_speech_prob": 0.01,
        "speaker_embedding": [0.5],
    }  # fmt: skip


def clips(folder: Path, count: int = 4, audio: str = "audios") -> Path:
    entries = {}
    for number in range(1, count + 1):
        name = f"talk_{number:06d}.wav"
        tone(folder / audio / name)
        parts = [segment(0, 0.0, 0.9, "it is cold"), segment(1, 1.0, 1.9, f"in room {number}")]
        entries[name] = {
            "text": f" it is cold in room {number}",
            "language": "en",
            "segments": parts,
            "mine": number,
        }
    (folder / "my.json").write_text(json.dumps(entries, indent=4, sort_keys=True), "utf-8")
    return folder


def opened(folder: Path) -> Session:
    editable = open_editable(folder)
    assert editable is not None
    return Session(editable, "Ada")


def edit(session: Session, name: str, **action: Any) -> dict[str, Any]:
    return session.edit(name, session.item(name)["base"], action, "Ada")["item"]


def test_clips_keep_every_field_that_nobody_edited(tmp_path: Path) -> None:
    before = json.loads((clips(tmp_path) / "my.json").read_text("utf-8"))
    session = opened(tmp_path)
    assert (session.editable.kind, session.item("talk_000002.wav")["channels"]) == ("clips", 1)
    item = edit(session, "talk_000002.wav", do="text", line="1", text="in room two Hhhh")
    assert [word["word"] for word in item["lines"][1]["words"]] == ["in", "room", "two", "Hhhh"]
    after = json.loads((tmp_path / "my.json").read_text("utf-8"))
    changed = after["talk_000002.wav"]
    assert changed["text"] == "it is cold in room two Hhhh"
    assert changed["segments"][1]["text"] == " in room two Hhhh"
    assert changed["segments"][1]["tokens"] == []
    assert changed["segments"][1]["speaker_embedding"] == [0.5]
    assert changed["segments"][1]["edited_by"] == "Ada"
    assert changed["segments"][0] == before["talk_000002.wav"]["segments"][0]
    assert {key: entry for key, entry in after.items() if key != "talk_000002.wav"} == {
        key: entry for key, entry in before.items() if key != "talk_000002.wav"
    }
    assert json.loads((tmp_path / "my_backup.json").read_text("utf-8")) == before
    assert (tmp_path / "my.json").read_text("utf-8") == json.dumps(after, indent=4, sort_keys=True) + "\n"


def test_a_clip_without_an_entry_gets_one(tmp_path: Path) -> None:
    tone(tmp_path / "audio" / "a.wav")
    session = opened(tmp_path)
    assert session.item("a.wav")["lines"] == []
    edit(session, "a.wav", do="insert", channel="left", start=0.1, end=1.5, text="hello there")
    entry = read_whisper_json(tmp_path / "whisper.json").entries["a.wav"]
    assert (entry["text"], [part["id"] for part in entry["segments"]]) == ("hello there", [0])


def test_a_range_of_clips_is_discarded_and_restored_with_its_entries(tmp_path: Path) -> None:
    before = json.loads((clips(tmp_path) / "my.json").read_text("utf-8"))
    session = opened(tmp_path)
    names = session.discard_range(2, 3, "Ada")["ids"]
    assert names == ["talk_000002.wav", "talk_000003.wav"]
    aside = tmp_path / "audios" / DISCARDED
    assert sorted(path.name for path in aside.iterdir()) == [DISCARDED_ENTRIES, *names]
    assert {*json.loads((tmp_path / "my.json").read_text("utf-8"))} == {"talk_000001.wav", "talk_000004.wav"}
    assert json.loads((aside / DISCARDED_ENTRIES).read_text("utf-8")) == {name: before[name] for name in names}
    listed = {item["id"]: item["discarded"] for item in session.items("Ada")["items"]}
    assert listed == {f"talk_{number:06d}.wav": number in (2, 3) for number in range(1, 5)}
    assert session.item(names[0])["lines"][1]["text"] == "in room 2"
    with pytest.raises(BadInput, match="discarded"):
        edit(session, names[0], do="text", line="0", text="x")
    assert session.restore(names, "Ada") == {"ids": names}
    assert json.loads((tmp_path / "my.json").read_text("utf-8")) == before
    assert [path.name for path in aside.iterdir()] == [DISCARDED_ENTRIES]


class _Stopped(BaseException):
    """The machine went off."""


@settings(max_examples=20)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 4), st.integers(0, 12)), min_size=1, max_size=5))
def test_discarding_that_is_stopped_anywhere_loses_nothing_and_is_done_when_it_is_asked_again(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bool, int, int]]
) -> None:
    folder = clips(tmp_path_factory.mktemp("clips"))
    aside = folder / "audios" / DISCARDED
    before = json.loads((folder / "my.json").read_text("utf-8"))
    gone: set[str] = set()
    for discarded, number, stop in steps:
        name = f"talk_{number:06d}.wav"
        with pytest.MonkeyPatch.context() as patch:
            stopped_after(patch, stop)
            try:
                opened(folder).discard([name], "Ada", discarded)
            except _Stopped:
                sounds = [path.name for place in (folder / "audios", aside) for path in place.glob("*.wav")]
                assert sorted(sounds) == sorted(before)
                assert entries(folder / "my.json") | entries(aside / DISCARDED_ENTRIES) == before
        opened(folder).discard([name], "Ada", discarded)
        gone = gone | {name} if discarded else gone - {name}
        assert {path.name for path in (folder / "audios").glob("*.wav")} == {*before} - gone
        assert {path.name for path in aside.glob("*.wav")} == gone
    assert {name: entry for name, entry in entries(folder / "my.json").items() if name not in gone} == {
        name: entry for name, entry in before.items() if name not in gone
    }


def entries(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8")) if path.exists() else {}  # type: ignore[no-any-return]


def stopped_after(patch: pytest.MonkeyPatch, count: int) -> None:
    """Renames work so often, and then the machine goes off."""
    left = [count]
    rename = Path.rename
    replace = Path.replace

    def counted(move: Any) -> Any:
        def moved(self: Path, target: Path) -> Path:
            left[0] -= 1
            if left[0] < 0:
                raise _Stopped
            return move(self, target)  # type: ignore[no-any-return]

        return moved

    patch.setattr(Path, "rename", counted(rename))
    patch.setattr(Path, "replace", counted(replace))


def moshi(folder: Path) -> Path:
    for name in ("a", "b"):
        tone(folder / "data_stereo" / f"{name}.wav", 4.0, 2)
        words = [["Good", [0.1, 0.4], "SPEAKER_MAIN"], ["day.", [0.45, 0.8], "SPEAKER_MAIN"],
                 ["Hello", [1.0, 1.5], "SPEAKER_OTHER"], ["again.", [2.4, 2.9], "SPEAKER_MAIN"]]  # fmt: skip
        document = {"alignments": words, "text_conditions": {"style": "calm"}}
        (folder / "data_stereo" / f"{name}.json").write_text(json.dumps(document), "utf-8")
    for side, name in (("train", "a"), ("eval", "b")):
        line = {"path": f"data_stereo/{name}.wav", "duration": 4.0}
        (folder / f"{side}.jsonl").write_text(json.dumps(line) + "\n", "utf-8")
    return folder


def test_words_of_a_training_folder_are_edited_as_lines_and_stay_what_the_trainer_reads(tmp_path: Path) -> None:
    session = opened(moshi(tmp_path))
    name = "data_stereo/a.wav"
    lines = session.item(name)["lines"]
    assert [(line["channel"], line["text"]) for line in lines] == [
        ("left", "Good day."), ("right", "Hello"), ("left", "again."),
    ]  # fmt: skip
    edit(session, name, do="text", line=lines[0]["id"], text="Good old day.")
    edit(session, name, do="tag", line=lines[2]["id"], tag="happy")
    document = json.loads((tmp_path / "data_stereo" / "a.json").read_text("utf-8"))
    assert [(word, speaker) for word, _, speaker in document["alignments"]] == [
        ("Good", "SPEAKER_MAIN"), ("old", "SPEAKER_MAIN"), ("day.", "SPEAKER_MAIN"),
        ("Hello", "SPEAKER_OTHER"), ("again.", "SPEAKER_MAIN"),
    ]  # fmt: skip
    assert document["text_conditions"] == {"style": "calm"}
    assert {path.name for path in tmp_path.rglob("*jsonl")} == {"train.jsonl", "eval.jsonl"}
    session = opened(tmp_path)
    lines = session.item(name)["lines"]
    assert [(line["text"], line["tag"]) for line in lines][::2] == [("Good old day.", None), ("again.", "happy")]
    session.undo("Ada")
    session.undo("Ada")
    document = json.loads((tmp_path / "data_stereo" / "a.json").read_text("utf-8"))
    assert [word for word, *_ in document["alignments"]] == ["Good", "day.", "Hello", "again."]
    assert [row["alignments"] for row in open_items(tmp_path).rows()]


def test_discarded_training_files_leave_their_manifest_and_come_back(tmp_path: Path) -> None:
    session = opened(moshi(tmp_path))
    name = "data_stereo/a.wav"
    assert session.discard([name], "Ada") == {"ids": [name]}
    assert (tmp_path / "train.jsonl").read_text("utf-8") == ""
    assert sorted(path.name for path in (tmp_path / "data_stereo" / DISCARDED).iterdir()) == [
        "a.json", "a.wav", DISCARDED_ENTRIES,
    ]  # fmt: skip
    assert session.restore([name], "Ada") == {"ids": [name]}
    assert json.loads((tmp_path / "train.jsonl").read_text("utf-8"))["path"] == name
    assert session.item(name)["lines"][0]["text"] == "Good day."


def test_a_list_of_edits_never_leads_out_of_its_folder(tmp_path: Path) -> None:
    folder = clips(tmp_path / "in")
    record = {"number": 1, "time": "2026-01-01T00:00:00+00:00", "author": "x", "action": "discard"}
    record |= {"item": "../../secret.wav", "before": {"discarded": False}, "after": {"discarded": True}}
    (folder / ".dailytalk-edits").write_text(json.dumps(record) + "\n", "utf-8")
    tone(tmp_path / "secret.wav")
    session = opened(folder)
    for again in (lambda: session.undo("x"), lambda: session.restore(["../../secret.wav"], "x")):
        with suppress(BadInput):
            again()
    assert (tmp_path / "secret.wav").exists()


def test_a_clip_that_is_a_link_out_of_its_folder_is_not_served(tmp_path: Path) -> None:
    tone(tmp_path / "secret.wav")
    folder = clips(tmp_path / "in")
    (folder / "audios" / "talk_000009.wav").symlink_to(tmp_path / "secret.wav")
    editable = open_editable(folder)
    assert isinstance(editable, Editable)
    assert "talk_000009.wav" not in editable.names()
    with pytest.raises(BadInput):
        editable.stretch("talk_000009.wav")
