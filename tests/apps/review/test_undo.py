"""Undo gives the bytes of before, and redo those of after: each kind of edit, in files of several programs."""

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from command import Command
from hypothesis import given
from hypothesis import strategies as st
from recordings import read_lines
from reviewable import dialogue, work_folder
from test_edits import actions
from test_reviewed_folders import clips, segment, tone

from dailytalk_contiguous.apps.review.layouts import open_editable
from dailytalk_contiguous.apps.review.session import Session
from dailytalk_contiguous.core.errors import BadInput

SECONDS = 2.0


def opened(folder: Path) -> Session:
    editable = open_editable(folder)
    assert editable is not None
    return Session(editable, "Ada")


def edit(session: Session, name: str, **action: Any) -> dict[str, Any]:
    base = session.item(name)["base"]
    return session.edit(name, base, action)


# Folders of clips: what each program writes of its own.


def said(start: float, end: float, text: str, **fields: Any) -> dict[str, Any]:
    return {"start": start, "end": end, "text": text, **fields}


def timed(*words: str) -> list[dict[str, Any]]:
    timed_words = []
    for number, word in enumerate(words):
        start = 0.1 * number
        timed_words.append({"word": word, "start": start, "end": start + 0.09, "probability": 0.5})
    return timed_words


#: Entries of whisper.json by the program that they are of, or by what they lack.
ENTRIES: dict[str, Any] = {
    "ai-voice-cloning": {
        "text": " It was so.",
        "segments": [said(0.0, 0.9, " It was so.", id=0)],
        "language": "en",
    },
    "Whisper": {
        "text": " it is cold in room 2",
        "segments": [segment(0, 0.0, 0.9, "it is cold"), segment(1, 1.0, 1.9, "in room 2")],
        "language": "en",
    },
    "Whisper with words": {
        "text": " oh no no",
        "segments": [segment(0, 0.0, 0.9, "oh no no") | {"words": timed(" oh", " no", " no")}],
    },
    "WhisperX": {
        "segments": [said(0.0, 1.5, "In 2019 it", words=[{"word": "In"}, {"word": "2019"}, {"word": "it"}])]
    },
    "a text alone": {"text": "  two  spaces, and no\nsegments "},
    "null for segments": {"text": "it is null", "segments": None, "mine": [1.0, float("nan")]},
    "NaN": {
        "text": " so so",
        "segments": [segment(0, 0.0, 0.5, "so"), segment(1, 0.5, 1, "so") | {"p": float("nan")}],
    },
    "nothing said": {"text": "", "segments": []},
    "no order, and no ids": {
        "text": "b a",
        "segments": [said(1.0, 1.5, "b"), said(0.2, 0.2, "a"), said(0.3, 1, "c ")],
    },
    "ids that are double, or texts": {
        "text": "a b c",
        "segments": [said(0, 0.5, "a", id=0), said(0.5, 0.9, "b", id=0), said(1, 1.5, "c", id="last")],
    },
    "fields of ours": {
        "text": "with a tag",
        "segments": [said(0.1, 1.1, "with a tag", id=7, speaker="S1", tag="calm", channel="left", duration=1.0)],
    },
}


def whisper_folder(folder: Path, layout: Callable[[Any], str]) -> Path:
    """A clip of each kind of entry, one without an entry, and a file in a program's own layout."""
    (folder / "audio").mkdir(parents=True)
    tone(folder / "audio" / "clip_000.wav", SECONDS)
    entries = {}
    for number, entry in enumerate(ENTRIES.values(), 1):
        name = f"clip_{number:03d}.wav"
        shutil.copy(folder / "audio" / "clip_000.wav", folder / "audio" / name)
        entries[name] = entry
    (folder / "whisper.json").write_text(layout(entries), "utf-8")
    return folder


#: How programs write a whisper.json.
LAYOUTS: dict[str, Callable[[Any], str]] = {
    "as we do": lambda entries: json.dumps(entries, ensure_ascii=False, indent=4, sort_keys=True) + "\n",
    "on one line": json.dumps,
    "by tabs": lambda entries: "\ufeff" + json.dumps(entries, indent="\t").replace("\n", "\r\n"),
}


def without_texts(folder: Path) -> Path:
    tone(folder / "audio" / "clip_000.wav", SECONDS)
    return folder


# Work folders.


def spoken_folder(folder: Path) -> Path:
    items = [(name, name, 0.0, dialogue(name, 20.0, 12)) for name in ("a", "bb", "ccc")]
    return work_folder(folder, items)


def foreign_folder(folder: Path) -> Path:
    """A transcript by another program: in no order, with lines that are none, and without ids."""
    work = spoken_folder(folder)
    lines = read_lines(work / "transcript.jsonl")
    lines[3] |= {"note": float("nan"), "duration": 99}
    texts = ["# by hand"]
    for number, line in enumerate(lines):
        if number % 3 == 0:
            del line["utterance_id"]
        del line["rule"]
        entry = {"segment_id": 100 - number, **line}
        texts.append(json.dumps(entry, separators=(",", ":")))
        if number % 4 == 1:
            texts.append("")
    texts[1], texts[-1] = texts[-1], texts[1]
    data = "\r\n".join(texts).encode()
    (work / "transcript.jsonl").write_bytes(data + b"\n\xff\xfe")
    return work


def numbered_folder(folder: Path) -> Path:
    """A transcript as `dailytalk tag` writes it."""
    work = spoken_folder(folder)
    path = work / "transcript.jsonl"
    entries = [{"segment_id": number, **line} for number, line in enumerate(read_lines(path))]
    texts = [json.dumps(entry, ensure_ascii=False) for entry in entries]
    path.write_text("".join(f"{text}\n" for text in texts), "utf-8")
    return work


FOLDERS: dict[str, Callable[[Path], Path]] = {
    "a transcript of ours": numbered_folder,
    "a transcript without numbers": spoken_folder,
    "a transcript of another program": foreign_folder,
    "clips without texts": without_texts,
}
for layout_name, layout in LAYOUTS.items():
    FOLDERS[f"a whisper.json {layout_name}"] = partial(whisper_folder, layout=layout)


@pytest.fixture(scope="module", params=FOLDERS.values(), ids=FOLDERS)
def copied(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Makes copies of a folder, whose sounds are links, since nobody writes them."""
    made: Path = request.param(tmp_path_factory.mktemp("made"))

    def copy() -> Path:
        target = tmp_path_factory.mktemp("copies") / "copy"
        shutil.copytree(made, target, copy_function=os.link)
        for path in target.glob("*.json*"):
            data = path.read_bytes()
            path.unlink()
            path.write_bytes(data)
        return target

    return copy


def bytes_of(session: Session) -> bytes | None:
    """What the file with the lines is on the disk; None if there is no such file."""
    path = session.editable.path
    return path.read_bytes() if path.exists() else None


@given(data=st.data())
def test_undo_of_any_edits_gives_the_bytes_of_before(copied: Callable[[], Path], data: st.DataObject) -> None:
    folder = copied()
    session = opened(folder)
    names = sorted(session.editable.names())
    #: By item, the states of the file before each edit that is in effect, and after each that is undone.
    name = data.draw(st.sampled_from(names))
    before: list[bytes | None] = []
    after: list[bytes | None] = []
    for _ in range(data.draw(st.integers(1, 8))):
        now = bytes_of(session)
        step = data.draw(st.sampled_from(["edit", "edit", "edit", "undo", "redo", "restart"]))
        if step == "restart":
            session = opened(folder)
        elif step == "undo" and before:
            edit(session, name, do="undo")
            assert bytes_of(session) == before.pop()
            after.append(now)
        elif step == "redo" and after:
            edit(session, name, do="redo")
            assert bytes_of(session) == after.pop()
            before.append(now)
        elif step == "edit":
            lines = session.lines(name)
            number = session.history.number
            duration = session.item(name)["duration"]
            action = data.draw(actions(lines, duration))
            try:
                edit(session, name, **action)
            except BadInput:
                continue
            if session.history.number > number:
                before.append(now)
                after.clear()
    while before:
        edit(session, name, do="undo")
        assert bytes_of(session) == before.pop()


@given(data=st.data())
def test_items_that_are_discarded_and_restored_in_any_order_leave_the_bytes_of_before(
    copied: Callable[[], Path], data: st.DataObject
) -> None:
    folder = copied()
    session = opened(folder)
    before = bytes_of(session)
    names = [*session.editable.names()]
    for _ in range(data.draw(st.integers(1, 6))):
        some = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3))
        step = data.draw(st.sampled_from(["discard", "discard", "restore", "restart"]))
        if step == "restart":
            session = opened(folder)
        else:
            session.discard(some, discarded=step == "discard")
    for name in data.draw(st.permutations(names)):
        session.restore([name])
    assert bytes_of(session) == before
    assert [*opened(folder).editable.names()] == names


def test_a_conversation_whose_lines_were_all_deleted_comes_back_after_a_restart(tmp_path: Path) -> None:
    folder = numbered_folder(tmp_path)
    session = opened(folder)
    before = bytes_of(session)
    keys = [*session.lines("bb")]
    for key in keys:
        edit(session, "bb", do="delete", line=key)
    for _ in keys:
        session = opened(folder)
        assert [*session.editable.names()] == ["a", "bb", "ccc"]
        edit(session, "bb", do="undo")
    assert bytes_of(session) == before


def test_an_edit_changes_nothing_of_other_segments(tmp_path: Path) -> None:
    folder = whisper_folder(tmp_path, json.dumps)
    first = segment(0, 0.0, 0.5, "so")
    second = {"start": 0.5, "end": 1.0, "text": " 9 ", "id": 1, "words": [{"word": "9"}]}
    entry = {"text": "so 9", "segments": [first, second]}
    path = folder / "whisper.json"
    path.write_text(json.dumps({"clip_001.wav": entry}), "utf-8")
    edit(opened(folder), "clip_001.wav", do="text", line="0", text="well")
    after = json.loads(path.read_text("utf-8"))["clip_001.wav"]
    assert after["text"] == "well 9"
    assert after["segments"][1] == second


def test_an_undo_leaves_what_another_program_changed_in_the_same_entry(tmp_path: Path) -> None:
    folder = clips(tmp_path)
    name = "talk_000001.wav"
    edit(opened(folder), name, do="text", line="1", text="somewhere else")
    path = folder / "whisper.json"
    entries = json.loads(path.read_text("utf-8"))
    segments = entries[name]["segments"]
    segments[0]["text"] = " it was cold"
    segments[1]["note"] = "mine"
    path.write_text(json.dumps(entries), "utf-8")
    edit(opened(folder), name, do="undo")
    first, second = json.loads(path.read_text("utf-8"))[name]["segments"]
    assert first == segments[0]
    expected = segment(1, 1.0, 1.9, "in room 1")
    assert second == expected | {"note": "mine", "tokens": second["tokens"]}


def texts_of(export: Path) -> dict[str, str]:
    """The lists of an export, and its whisper.json."""
    paths = [*export.rglob("*.txt"), *export.rglob("whisper.json")]
    return {path.name: path.read_text("utf-8") for path in paths}


def test_words_of_an_undone_text_reach_no_export(tmp_path: Path, dailytalk: Command) -> None:
    folder = clips(tmp_path / "in")
    before = dailytalk("export", folder, "--format", "tortoise", "--out", tmp_path / "before")
    assert before.code == 0, before
    session = opened(folder)
    edit(session, "talk_000001.wav", do="text", line="1", text="in room 1 Hhhh")
    edit(session, "talk_000001.wav", do="undo")
    dailytalk("export", folder, "--format", "tortoise", "--out", tmp_path / "after")
    assert texts_of(tmp_path / "after") == texts_of(tmp_path / "before")


def test_a_whisper_json_of_which_everything_is_discarded_is_there_without_entries(tmp_path: Path) -> None:
    folder = clips(tmp_path, 2)
    session = opened(folder)
    session.discard(session.editable.names())
    assert json.loads((folder / "whisper.json").read_text("utf-8")) == {}
