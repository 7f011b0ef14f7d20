import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from command import EMBEDDED
from recordings import calls, read_lines, run

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.pipelines.to_text import tag_stages
from dailytalk_contiguous.run import events as run_events
from dailytalk_contiguous.run.events import EVENTS, Journal, Run, append, runs_back
from dailytalk_contiguous.run.shard import RunPlan, ShardReport, StageEvent, Task
from dailytalk_contiguous.shards import PendingConversation
from dailytalk_contiguous.stages.base import Stages


def read_runs(path: Path) -> list[Run]:
    """The runs of a file of events, in the order in which they began."""
    return [*runs_back(path)][::-1]


def pending(name: str) -> PendingConversation:
    return PendingConversation(name, "a", None, 6.0, "")


TASK = Task(Path("shard-1.parquet"), [pending("a")])
MADE = ShardReport(TASK.path, TASK.path.name, 0, 2.0, {"Segment": (1.5, 6.0)})


def journal(out: Path) -> Journal:
    return Journal(out, "tag")


def line(**fields: Any) -> dict[str, Any]:
    return asdict(Run("1", "tag", "h", 7, "2026-01-02T12:00:00Z", "2026-01-02T12:00:00Z", shards=1)) | fields


@pytest.fixture
def settings() -> Stages:
    return tag_stages(profile=EMBEDDED[1], language="en", asr_model="tiny.en")


# The file


def test_writers_side_by_side_lose_no_line_and_mix_none(tmp_path: Path) -> None:
    path = tmp_path / EVENTS
    with ThreadPoolExecutor(8) as pool:
        lines = [line(run=str(n), reason="x" * 500) for n in range(400)]
        list(pool.map(partial(append, path), lines))
    assert sorted(int(run.run) for run in read_runs(path)) == list(range(400))


@pytest.mark.parametrize("damage", [b"", b'{"run": "torn', b"\n\n", b"x" * 20_000])
def test_runs_are_found_from_the_end_behind_and_before_lines_that_were_cut_off(
    tmp_path: Path, damage: bytes
) -> None:
    path = tmp_path / EVENTS
    for number in range(3):
        with journal(tmp_path) as events:
            events.record_plan(RunPlan([TASK.path], [TASK]))
            events.record_shard(MADE)
        with path.open("ab") as file:
            file.write(damage)
        assert [run.state for run in read_runs(path)] == ["finished"] * (number + 1)
    assert [run.done for run in read_runs(path)] == [1, 1, 1]


def test_lines_say_where_their_run_begins_and_those_between_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / EVENTS
    with journal(tmp_path) as first:
        first.record_plan(RunPlan([TASK.path], [TASK]))
    with journal(tmp_path) as second:
        second.record_plan(RunPlan([TASK.path], [TASK]))
        begins = second.run.begins
        append(path, line(run="of nobody, and between the lines of the second run"))
    assert begins is not None
    assert path.read_bytes()[begins:].startswith(b'{"run": "' + second.run.run.encode())
    assert [run.run for run in read_runs(path)] == [first.run.run, second.run.run]


def test_journal_that_was_deleted_during_a_run_is_read_by_its_lines(tmp_path: Path) -> None:
    path = tmp_path / EVENTS
    with journal(tmp_path) as first:
        first.record_plan(RunPlan([TASK.path], [TASK]))
    with journal(tmp_path) as second:
        second.record_plan(RunPlan([TASK.path], [TASK]))
        path.unlink()
        append(path, line(run="another"))
    assert [run.run for run in read_runs(path)] == ["another", second.run.run]


# A run


def test_lines_are_written_while_a_stage_reports_nothing_and_none_after_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(run_events, "LINE_SECONDS", 0.01)
    monkeypatch.setattr(run_events.log, "propagate", True)
    caplog.set_level(logging.INFO, "dailytalk_contiguous")
    path = tmp_path / EVENTS
    with journal(tmp_path) as events:
        events.record_plan(RunPlan([TASK.path], [TASK]))
        events.tracking(lambda event: None)(StageEvent("Transcribe", ("a",), 6.0))
        while path.read_bytes().count(b"Transcribe") < 2:
            time.sleep(0.01)
    lines = path.read_bytes().splitlines()
    during = next(json.loads(line) for line in lines if b"Transcribe" in line)
    assert (during["state"], during["conversation"], during["at"]) == ("running", "a", "Transcribe")
    ended = path.read_bytes()
    time.sleep(0.1)
    assert path.read_bytes() == ended
    assert json.loads(ended.splitlines()[-1])["state"] == "finished"
    messages = [record.getMessage() for record in caplog.records]
    assert any("a: Transcribe" in message for message in messages)
    assert "finished in " in messages[-1]


def test_short_run_has_a_line_at_its_start_and_one_at_its_end(tmp_path: Path) -> None:
    tasks = [Task(Path(f"shard-{number}.parquet"), [pending(str(number))]) for number in range(50)]
    with journal(tmp_path) as events:
        events.record_plan(RunPlan([task.path for task in tasks], tasks))
        for task in tasks:
            events.record_shard(ShardReport(task.path, task.path.name, 0, 2.0, {}))
    first, *_, last = map(json.loads, (tmp_path / EVENTS).read_text().splitlines())
    assert (first["conversations"], first["conversations_done"], first["audio_done"]) == (50, 0, 0.0)
    assert (last["conversations"], last["conversations_done"]) == (50, 50)
    assert (last["audio_seconds"], last["audio_done"]) == (300.0, 300.0)


def test_threads_that_report_at_once_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_events, "SHARD_LINE_SECONDS", 0.0)
    monkeypatch.setattr(run_events, "LINE_SECONDS", 0.001)
    tasks = [Task(Path(f"shard-{number}.parquet"), [pending(str(number))]) for number in range(100)]
    with journal(tmp_path) as events, ThreadPoolExecutor(8) as pool:
        events.record_plan(RunPlan([task.path for task in tasks], tasks))
        tell = events.tracking(lambda event: None)

        def make(task: Task) -> None:
            tell(StageEvent("Segment", (task.path.name,), 6.0))
            tell(StageEvent("Segment", (task.path.name,), 6.0, wall=1.0))
            events.record_shard(ShardReport(task.path, task.path.name, 0, 2.0, {"Segment": (1.5, 6.0)}))

        list(pool.map(make, tasks))
    lines = [json.loads(text) for text in (tmp_path / EVENTS).read_text().splitlines()]
    assert {line["run"] for line in lines} == {events.run.run}
    assert lines[-1]["done"] == lines[-1]["conversations_done"] == 100
    assert lines[-1]["stages"] == {"Segment": [150.0, 600.0]}


def test_share_is_that_of_conversations_that_are_done_and_no_time_is_left_before_the_first(tmp_path: Path) -> None:
    tasks = [Task(Path(f"shard-{name}.parquet"), [pending(name)]) for name in "abcd"]
    with journal(tmp_path) as events:
        events.record_plan(RunPlan([task.path for task in tasks], tasks))
        tell = events.tracking(lambda event: None)
        run = events.run
        tell(StageEvent("Segment", ("a",), 6.0, wall=1.0))
        assert run.left_seconds(datetime.now(UTC)) is None
        for n_done, task in enumerate(tasks):
            tell(StageEvent("Transcribe", ("a",), 6.0, kind="pieces", steps_done=9, total=10))
            assert run.share == n_done / 4
            events.record_shard(ShardReport(task.path, task.path.name, 0, 2.0, {}))
        assert run.share == 1.0


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (StageEvent("Transcribe", ("a",), 6.0), "a: Transcribe"),
        (StageEvent("Transcribe", ("a",), 6.0, kind="pieces", steps_done=0, total=12), "a: Transcribe"),
        (
            StageEvent("Transcribe", ("a",), 6.0, kind="pieces", steps_done=3, total=12),
            "a: Transcribe, 3 of 12 pieces",
        ),
        (StageEvent("Speak", ("a",), 6.0, kind="lines", steps_done=3), "a: Speak, lines: 3"),
        (StageEvent("Segment", ("a", "b"), 12.0), "2 conversations: Segment"),
    ],
)
def test_conversation_at_hand_has_its_stage_and_the_steps_that_are_done(
    tmp_path: Path, event: StageEvent, text: str
) -> None:
    with journal(tmp_path) as events:
        events.record_plan(RunPlan([TASK.path], [TASK]))
        events.tracking(lambda event: None)(event)
        assert events.run.current_work == text


def test_nothing_that_was_said_is_in_the_events(tmp_path: Path, settings: Stages) -> None:
    calls(tmp_path / "in", "a")
    run(tmp_path / "in", tmp_path / "out", settings)
    events = (tmp_path / "out" / EVENTS).read_text()
    texts = [line["text_raw"] for line in read_lines(tmp_path / "out/transcript.jsonl")]
    assert any(texts)
    assert not [text for text in texts if text and text in events]


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (DailytalkError("the limit is reached", "raise it"), "failed", "the limit is reached: raise it"),
        (ValueError("somebody said this"), "failed", "ValueError"),
        (KeyboardInterrupt(), "stopped", "stopped"),
    ],
)
def test_end_tells_why_and_never_what_was_said(
    tmp_path: Path, error: BaseException, state: str, reason: str
) -> None:
    def fail() -> None:
        with journal(tmp_path) as events:
            events.record_plan(RunPlan([TASK.path], [TASK]))
            raise error

    with pytest.raises(type(error)):
        fail()
    (run,) = read_runs(tmp_path / EVENTS)
    assert (run.state, run.reason) == (state, reason)


def test_run_with_nothing_to_do_ends_what_a_killed_one_left_open(tmp_path: Path) -> None:
    killed = journal(tmp_path)
    killed.record_plan(RunPlan([TASK.path], [TASK]))
    killed.record_shard(MADE)
    for _ in range(2):
        with journal(tmp_path) as again:
            again.record_plan(RunPlan([TASK.path], [], 1))
    assert [run.state for run in read_runs(tmp_path / EVENTS)] == ["gone", "finished"]
