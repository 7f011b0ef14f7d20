import logging
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dailytalk_contiguous.run import progress as run_progress
from dailytalk_contiguous.run.progress import Run, Tracker
from dailytalk_contiguous.run.shard import RunPlan, ShardReport, StageEvent, Task
from dailytalk_contiguous.shards import PendingConversation


def pending(name: str) -> PendingConversation:
    return PendingConversation(name, "a", None, 6.0, "")


TASK = Task(Path("shard-1.parquet"), [pending("a")])


def tracker() -> Tracker:
    return Tracker(Run("tag"))


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(run_progress.log, "propagate", True)
    caplog.set_level(logging.INFO, "dailytalk_contiguous")
    return caplog


def test_lines_are_logged_while_a_stage_reports_nothing_and_none_after_the_end(
    monkeypatch: pytest.MonkeyPatch, logged: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(run_progress, "LINE_SECONDS", 0.01)
    with tracker() as tracked:
        tracked.record_plan(RunPlan([TASK.path], [TASK]))
        tracked.tracking(lambda event: None)(StageEvent("Transcribe", ("a",), 6.0))
        while sum("a: Transcribe" in record.getMessage() for record in logged.records) < 2:
            time.sleep(0.01)
    ended = len(logged.records)
    assert "finished in " in logged.records[-1].getMessage()
    time.sleep(0.1)
    assert len(logged.records) == ended


def test_run_with_nothing_to_do_and_one_that_fails_say_no_last_line(logged: pytest.LogCaptureFixture) -> None:
    with tracker() as idle:
        idle.record_plan(RunPlan([TASK.path], []))
    assert logged.records == []

    def fail() -> None:
        with tracker() as tracked:
            tracked.record_plan(RunPlan([TASK.path], [TASK]))
            raise ValueError("somebody said this")

    with pytest.raises(ValueError, match="somebody"):
        fail()
    (begun,) = logged.records
    assert "0 of 1 conversation" in begun.getMessage()


def test_threads_that_report_at_once_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_progress, "LINE_SECONDS", 0.001)
    tasks = [Task(Path(f"shard-{number}.parquet"), [pending(str(number))]) for number in range(100)]
    with tracker() as tracked, ThreadPoolExecutor(8) as pool:
        tracked.record_plan(RunPlan([task.path for task in tasks], tasks))
        tell = tracked.tracking(lambda event: None)

        def make(task: Task) -> None:
            tell(StageEvent("Segment", (task.path.name,), 6.0))
            tell(StageEvent("Segment", (task.path.name,), 6.0, wall=1.0))
            tracked.record_shard(ShardReport(task.path, 2.0, {"Segment": (1.5, 6.0)}))

        list(pool.map(make, tasks))
    run = tracked.run
    assert run.done == run.conversations_done == run.conversations == 100
    assert run.audio_done == run.audio_seconds == 600.0
    assert run.time_spent() == {"stages": {"Segment": [150.0, 600.0]}, "outside_stages": 50.0}


def test_share_is_that_of_conversations_that_are_done_and_no_time_is_left_before_the_first() -> None:
    tasks = [Task(Path(f"shard-{name}.parquet"), [pending(name)]) for name in "abcd"]
    with tracker() as tracked:
        tracked.record_plan(RunPlan([task.path for task in tasks], tasks))
        tell = tracked.tracking(lambda event: None)
        run = tracked.run
        tell(StageEvent("Segment", ("a",), 6.0, wall=1.0))
        assert run.seconds_left is None
        for n_done, task in enumerate(tasks):
            tell(StageEvent("Transcribe", ("a",), 6.0, kind="pieces", steps_done=9, total=10))
            assert run.share == n_done / 4
            tracked.record_shard(ShardReport(task.path, 2.0, {}))
        assert run.share == 1.0


@pytest.mark.parametrize(("minutes", "left"), [(0, "60 min left"), (40, "20 min left"), (100, "")])
def test_time_left_is_that_of_the_rest_at_the_speed_so_far_and_is_not_said_once_it_has_run_out(
    minutes: int, left: str
) -> None:
    made = time.monotonic() - 60 * minutes
    run = Run("tag", started=made - 3 * 3600, last_made=made)
    run.conversations = 4
    run.conversations_done = 3
    run.audio_seconds = 4 * 3600.0
    run.audio_done = 3 * 3600.0
    text = run.progress()
    assert text.startswith("75 %, 3.0 of 4.0 h, 3 of 4 conversations, 1.0× real time")
    assert left in text
    assert (" left" in text) == bool(left)


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
def test_conversation_at_hand_has_its_stage_and_the_steps_that_are_done(event: StageEvent, text: str) -> None:
    with tracker() as tracked:
        tracked.record_plan(RunPlan([TASK.path], [TASK]))
        tracked.tracking(lambda event: None)(event)
        assert tracked.run.current_work == text
