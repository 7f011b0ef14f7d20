from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from command import EMBEDDED
from recordings import calls, read_lines, run

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.pipelines.to_text import tag_stages
from dailytalk_contiguous.run.events import EVENTS, Journal, Run, append, read_runs
from dailytalk_contiguous.run.shard import RunPlan, ShardReport, Task
from dailytalk_contiguous.stages.base import Stages

TASK = Task(Path("shard-1.parquet"), [{"conversation_id": "a", "duration": 6.0}])
MADE = ShardReport(TASK.path, 0, 6.0, 2.0, {"Segment": (1.5, 6.0)})


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


# A run


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
            events.planned(RunPlan([TASK.path], [TASK], 0))
            raise error

    with pytest.raises(type(error)):
        fail()
    (run,) = read_runs(tmp_path / EVENTS)
    assert (run.state, run.reason) == (state, reason)


def test_run_with_nothing_to_do_ends_what_a_killed_one_left_open(tmp_path: Path) -> None:
    killed = journal(tmp_path)
    killed.planned(RunPlan([TASK.path], [TASK], 0))
    killed.made(MADE)
    for _ in range(2):
        with journal(tmp_path) as again:
            again.planned(RunPlan([TASK.path], [], 1))
    assert [run.state for run in read_runs(tmp_path / EVENTS)] == ["gone", "finished"]
