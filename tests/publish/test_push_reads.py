"""What a push reads: of the finished conversations, and of what an earlier attempt has packed."""

import logging
from collections import Counter
from pathlib import Path

import pytest
from built_conversations import built_row, write_dataset
from hub.server import HubServer
from releases import HASTY

from dailytalk_contiguous.publish.pushing import PushSettings, Target, push_version
from dailytalk_contiguous.publish.version import open_version
from dailytalk_contiguous.store import parquet
from dailytalk_contiguous.store.hub import Reference

pytest_plugins = ["hub.hub_fixtures"]

SETTINGS = PushSettings(tag="v1.0.0", valid_share=0.2, test_share=0.2)


def work_folder(folder: Path, count: int) -> Path:
    """Conversations of which each is a row group to itself, as long ones are."""
    return write_dataset(folder, *([built_row(f"call{n:02}", seconds=6 + n / 10)] for n in range(count)))


def push(work: Path, repo: str, dry_run: bool = False) -> None:
    push_version(work, Target(repo, create=True), SETTINGS, lambda line: None, HASTY, dry_run)


def reads(caplog: pytest.LogCaptureFixture, column: str) -> Counter[tuple[str, int]]:
    """How often a column of each row group was read, by its file and its number."""
    records = [record.args for record in caplog.records if record.name == parquet.log.name]
    return Counter((str(file), group) for file, group, columns in records if column in columns)  # type: ignore[misc]


def test_sound_of_a_conversation_is_read_once_and_its_other_columns_twice(
    hub: HubServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    work = work_folder(tmp_path / "work", 50)
    shards = {(str(path), 0) for path in (work / "dataset").iterdir()}
    with caplog.at_level(logging.DEBUG, parquet.log.name):
        push(work, "tester/talk")
    assert reads(caplog, "audio") == dict.fromkeys(shards, 1)
    assert reads(caplog, "utterances") == dict.fromkeys(shards, 2)


def test_rows_that_an_earlier_attempt_packed_are_read_once_more_and_make_the_same_card(
    hub: HubServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    work = work_folder(tmp_path / "work", 8)
    push(work, "tester/once")
    push(work, "tester/twice", dry_run=True)
    with caplog.at_level(logging.DEBUG, parquet.log.name):
        push(work, "tester/twice")
    assert len(reads(caplog, "audio")) == 1  # the one that the card plays
    packed = {read: times for read, times in reads(caplog, "utterances").items() if "conversations/" in read[0]}
    assert {*packed.values()} == {1}
    once, twice = (open_version(Reference(repo)) for repo in ("tester/once", "tester/twice"))
    assert once.names == twice.names
    for name in once.names:
        with once.open(name) as expected, twice.open(name) as made:
            assert made.read().replace(b"twice", b"once") == expected.read()
