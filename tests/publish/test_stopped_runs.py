"""A stopped run leaves shards of the run before it beside its own: the newest row of each conversation counts."""

import os
from pathlib import Path
from typing import Any

import pytest
from built_conversations import built_row
from command import Command
from datasets import Features
from finished_corpora import clip_row, corpus_folder, measures
from from_apps import from_app
from hub.server import HubServer

from dailytalk_contiguous import DailytalkError, load
from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.records.clip_records import QUALITY_MEASURES
from dailytalk_contiguous.core.records.schema import BUILT, SECONDS, STRING
from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.item_tables import tables_of
from dailytalk_contiguous.publish.opening import local_folder, open_items
from dailytalk_contiguous.shards import Entry, PendingConversation, Shard, shard_path, write_shard

pytest_plugins = ["hub.hub_fixtures"]


def pending(name: str) -> PendingConversation:
    return PendingConversation(name, name, None, 6.0, "")


def write(work: Path, made_by: str, *rows: dict[str, Any]) -> Path:
    """A shard of these rows, made by other stages than any that was written before, and of a later generation.

    Its time of modification is earlier than theirs, as a copy may have it.
    """
    folder = work / "dataset"
    folder.mkdir(parents=True, exist_ok=True)
    n_before = len(list(folder.iterdir()))
    path = shard_path(folder, [pending(row["conversation_id"]) for row in rows], made_by)
    entries = {}
    for row in rows:
        entries[row["conversation_id"]] = Entry(row["recording_id"], row["duration"])
    write_shard(path, Shard(list(rows), entries, generation=n_before), BUILT)
    os.utime(path, (1e9 - n_before, 1e9 - n_before))
    return path


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """Three conversations of 6 s, of which the second run had made one, of 7 s, when it was stopped."""
    work = tmp_path / "work"
    write(work, "first", built_row("a"))
    write(work, "first", built_row("b"))
    write(work, "first", built_row("c"))
    write(work, "second", built_row("a", seconds=7.0))
    return work


@pytest.fixture
def halved(tmp_path: Path) -> Path:
    """As `stopped`, where the first run had two of them in one shard."""
    work = tmp_path / "halved"
    write(work, "first", built_row("a"), built_row("b"))
    write(work, "first", built_row("c"))
    write(work, "second", built_row("a", seconds=7.0))
    return work


#: What a reader sees of `stopped` and of `halved`.
LENGTHS = {"a": 7.0, "b": 6.0, "c": 6.0}


def lengths_of(rows: Any) -> dict[str, float]:
    return {row["conversation_id"]: row["duration"] for row in rows}


@pytest.mark.parametrize("name", ["stopped", "halved"])
def test_reader_sees_each_conversation_once(name: str, request: pytest.FixtureRequest) -> None:
    items = open_items(request.getfixturevalue(name))
    rows = items.rows(["conversation_id", "duration"])
    assert lengths_of(rows) == LENGTHS
    assert len(list(items.rows(["conversation_id"]))) == 3
    assert items.row("a")["duration"] == 7.0
    conversations = tables_of(items).conversations
    assert conversations["duration"].sum() == 19.0


def test_reader_of_a_store_sees_the_same(stopped: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "cache"))
    for number in range(5):  # copies have times of their own, by what the store says of the object
        for path in (stopped / "dataset").iterdir():
            os.utime(path, (1e9 + number, 1e9 + number))
        items = open_items(local_folder(Path(f"file://{stopped}")))
        rows = items.rows(["conversation_id", "duration"])
        assert lengths_of(rows) == LENGTHS


@pytest.mark.parametrize("name", ["stopped", "halved"])
@pytest.mark.usefixtures("hub")
def test_commands_take_each_conversation_once(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, dailytalk: Command, hub: HubServer
) -> None:
    work = request.getfixturevalue(name)
    findings, facts = check_folder(work)
    assert facts["conversations"] == 3
    assert facts["hours"] == round(19 / 3600, 7)
    assert "duplicate" not in {finding.kind for finding in findings}
    exported = dailytalk("export", work, "--out", tmp_path / "moshi", "--eval-share", "0.3")
    assert exported.code == 0, exported.err
    assert len(list((tmp_path / "moshi").rglob("*.wav"))) == 3
    pushed = dailytalk("push", work, "tester/calls", "--create", "--tag", "v1.0.0")
    assert pushed.code == 0, pushed.err
    published = []
    for part in load("tester/calls@v1.0.0").values():
        published += [row["duration"] for row in part]
    assert sorted(published) == [6.0, 6.0, 7.0]


@pytest.mark.parametrize("streaming", [False, True])
def test_load_gives_each_conversation_once(stopped: Path, streaming: bool) -> None:
    rows = load(stopped, split="train", streaming=streaming)
    assert lengths_of(rows) == LENGTHS
    assert len(list(rows)) == 3


def test_load_refuses_a_file_of_which_one_row_counts(halved: Path) -> None:
    with pytest.raises(DailytalkError, match=r"'a' is in .*\.parquet and in a newer shard: a run was stopped"):
        load(halved, split="train")


def test_conversation_counts_until_another_takes_its_place(tmp_path: Path) -> None:
    first = write(tmp_path, "first", built_row("a"))
    rejected = shard_path(first.parent, [pending("a")], "second")
    entry = Entry("a", 6.0, Reject("a", "Speak", "the voice is gone", "run it again"))
    write_shard(rejected, Shard([], {"a": entry}), BUILT)
    (row,) = open_items(tmp_path).rows()
    assert row["conversation_id"] == "a"


def test_measures_of_a_clip_count_once(tmp_path: Path) -> None:
    folder = corpus_folder(tmp_path, [clip_row("s1-0", split="train")])
    kinds = {"conversation_id": STRING} | dict.fromkeys(["duration", *QUALITY_MEASURES], SECONDS)
    columns = Features(kinds)
    (folder / "measured").mkdir(exist_ok=True)
    for number, made_by in enumerate(("first", "second")):
        path = shard_path(folder / "measured", [pending("s1-0")], made_by)
        row = {"conversation_id": "s1-0"} | measures(snr_db=10.0 * number)
        shard = Shard([row], {"s1-0": Entry("s1-0", 2.0)}, generation=number)
        write_shard(path, shard, columns)
        os.utime(path, (1e9 - number, 1e9 - number))
    (measured,) = from_app("clips.clip_figures").measured_clips(open_items(folder))
    assert measured["snr_db"] == 10.0
