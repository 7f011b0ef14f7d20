import os
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from command import EMBEDDED
from recordings import calls, read_lines, run

from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.pipelines.to_text import tag_stages
from dailytalk_contiguous.run.events import EVENTS, Journal, append, journals, read_events, runs_of
from dailytalk_contiguous.run.local import RunPlan
from dailytalk_contiguous.run.shard import ShardReport, Task
from dailytalk_contiguous.stages.base import Stages

TASK = Task(Path("shard-1.parquet"), [{"conversation_id": "a", "duration": 6.0}])
MADE = ShardReport(TASK.path, 1, 0, 6.0, 2.0, {"Segment": 1.5}, {"Segment": 6.0}, 4711)


def journal(out: Path) -> Journal:
    return Journal(out, "tag")


def kinds(out: Path) -> list[str]:
    return [event["event"] for event in read_events(out / EVENTS)]


#: What all events have.
PLAIN = {"event": "other", "time": "2026-01-02T12:00:00Z", "run": "1"}


@pytest.fixture
def settings() -> Stages:
    return tag_stages(profile=EMBEDDED[1], language="en", asr_model="tiny.en")


# The file


def test_writers_side_by_side_lose_no_event_and_mix_none(tmp_path: Path) -> None:
    path = tmp_path / EVENTS
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: append(path, PLAIN | {"n": n, "text": "x" * 500}), range(400)))
    assert sorted(event["n"] for event in read_events(path)) == list(range(400))


def test_line_without_an_end_is_passed_over_and_never_held(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    append(path, PLAIN | {"event": "first"})
    with path.open("r+b") as file:
        file.truncate(200 << 20)
    append(path, PLAIN | {"event": "last"})
    tracemalloc.start()
    events = read_events(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [event["event"] for event in events] == ["first", "last"]
    assert peak < 64 << 20


EVENT = {"event": "planned", "time": "2026-01-02T12:00:00Z", "run": "1", "kind": "tag", "shard": [1, 1]}
EVENT |= {"host": "h", "pid": 7, "shards": 1, "shards_left": 1, "hours_left": 0.5}


@pytest.mark.parametrize(
    ("changes", "whole"),
    [
        ({}, True),
        ({"pid": "x"}, False),
        ({"shard": [1]}, False),
        ({"time": "noon"}, False),
        ({"hours_left": None}, False),
        ({"event": "shard"}, False),
    ],
)
def test_event_of_a_strangers_journal_counts_where_readers_find_what_they_rely_on(
    changes: dict[str, Any], whole: bool
) -> None:
    shards = sum(run.shards for run in runs_of([EVENT | changes]))
    assert shards == whole


# A run


def test_run_tells_its_plan_every_shard_and_its_end(tmp_path: Path, settings: Stages) -> None:
    calls(tmp_path / "in", "a", "b")
    outcome = run(tmp_path / "in", tmp_path / "out", settings)
    events = read_lines(tmp_path / "out" / EVENTS)
    assert [event["event"] for event in events] == ["planned", "shard", "shard", "finished"]
    started, first = events[:2]
    assert (started["kind"], started["pid"], started["shard"], started["workers"]) == (
        "tag",
        os.getpid(),
        [1, 1],
        1,
    )
    assert started["shards_left"] == 2
    assert started["hours_left"] == pytest.approx(12 / 3600, abs=1e-6)
    assert (first["conversations"], first["rejects"], first["worker"]) == (1, 0, os.getpid())
    assert next(iter(first["stages"])) == "Segment"
    assert sum(first["stages"].values()) <= first["wall_seconds"] + 0.01
    assert {path.name for path in (tmp_path / "out/tagged").iterdir()} == {event["shard"] for event in events[1:3]}
    assert all(event["time"].endswith("Z") for event in events)
    assert outcome.record is not None
    assert outcome.record["time"]["stages"]["Segment"]["audio_seconds"] == pytest.approx(12, abs=0.1)


def test_nothing_that_was_said_is_in_the_events(tmp_path: Path, settings: Stages) -> None:
    calls(tmp_path / "in", "a")
    run(tmp_path / "in", tmp_path / "out", settings)
    told = (tmp_path / "out" / EVENTS).read_text()
    texts = [line["text_raw"] for line in read_lines(tmp_path / "out/transcript.jsonl")]
    assert any(texts)
    assert not [text for text in texts if text and text in told]


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (DailytalkError("the limit is reached", "raise it"), "failed", "the limit is reached: raise it"),
        (OSError(28, "No space left on device"), "failed", "no space left on device"),
        (ValueError("somebody said this"), "failed", "ValueError"),
        (KeyboardInterrupt(), "stopped", "stopped"),
    ],
)
def test_end_tells_why_and_never_what_was_said(
    tmp_path: Path, error: BaseException, kind: str, reason: str
) -> None:
    def fail() -> None:
        with journal(tmp_path) as told:
            told.planned(RunPlan([TASK.path], [TASK], 0), 1, 6.0, ["Segment"])
            raise error

    with pytest.raises(type(error)):
        fail()
    last = read_events(tmp_path / EVENTS)[-1]
    assert (last["event"], last["reason"]) == (kind, reason)


def test_run_with_nothing_to_do_ends_what_a_killed_one_left_open(tmp_path: Path) -> None:
    told = journal(tmp_path)
    told.planned(RunPlan([TASK.path], [TASK], 0), 1, 6.0, ["Segment"])
    told.made(MADE)  # and killed
    for _ in range(2):
        with journal(tmp_path) as again:
            again.planned(RunPlan([TASK.path], [], 1), 1, 6.0, ["Segment"])
    assert kinds(tmp_path) == ["planned", "shard", "planned", "finished"]


# Small things


def test_events_are_neither_read_through_a_link_out_of_the_folder_nor_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    private = tmp_path / "private.jsonl"
    append(private, {"event": "x"})
    before = private.read_bytes()
    (out / EVENTS).symlink_to(private)
    assert journals(out) == []
    with pytest.raises(BadInput, match="is a symbolic link that leads out of its folder"), journal(out) as told:
        told.planned(RunPlan([TASK.path], [TASK], 0), 1, 6.0, [])
    assert private.read_bytes() == before
