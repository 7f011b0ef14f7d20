import os
import platform
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.run.events import EVENTS, RUN_LOCK, Run, alone, append, run_status
from dailytalk_contiguous.store.files import locked

START = datetime(2026, 1, 1, tzinfo=UTC)
HERE = platform.node()


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def tell(out: Path, seconds: float, event: str, run: str = "r1", **told: Any) -> None:
    append(out / EVENTS, {"event": event, "time": at(seconds).isoformat(), "run": run, **told})


def begin(out: Path, seconds: float = 0, run: str = "r1", shards: int = 4, **told: Any) -> None:
    about = {"kind": "tag", "shard": [1, 1], "host": HERE, "pid": 1234}
    plan = {"shards": 8, "shards_left": shards, "hours": 2.0, "hours_left": shards / 4, "stages": []}
    tell(out, seconds, "planned", run, **(about | plan | told))


def made(out: Path, seconds: float, run: str = "r1", **told: Any) -> None:
    shard = {"shard": "s", "conversations": 3, "rejects": 1, "audio_seconds": 900.0, "wall_seconds": 90.0}
    tell(out, seconds, "shard", run, **(shard | {"stages": {"Segment": 9.0}, "worker": 55} | told))


def seen(out: Path, *working: str) -> list[Run]:
    """The runs of a folder, in which processes hold these locks."""
    with ExitStack() as held:
        for name in working or (RUN_LOCK,):
            held.enter_context(locked(out / name, "", ""))
        return run_status(out)


def test_run_on_another_host_is_running_until_it_says_how_it_ended(tmp_path: Path) -> None:
    begin(tmp_path, host="elsewhere")
    assert run_status(tmp_path)[0].state == "running"
    tell(tmp_path, 9, "stopped")
    assert run_status(tmp_path)[0].state == "stopped"


@pytest.mark.parametrize(("end", "reason"), [("finished", ""), ("failed", "no room"), ("stopped", "stopped")])
def test_end_stands_whatever_became_of_the_process(tmp_path: Path, end: str, reason: str) -> None:
    begin(tmp_path)
    tell(tmp_path, 5, end, **({"reason": reason} if reason else {}))
    (run,) = run_status(tmp_path)
    assert (run.state, run.reason) == (end, reason)


def test_later_run_stands_for_an_earlier_one_of_its_part(tmp_path: Path) -> None:
    begin(tmp_path, 0, "r1", shard=[1, 2], pid=1)
    begin(tmp_path, 1, "r2", shard=[2, 2], pid=2)
    begin(tmp_path, 2, "r3", shard=[1, 2], pid=3)
    assert [run.run for run in run_status(tmp_path)] == ["r2", "r3"]


def test_whole_run_that_finished_stands_for_all_before_it(tmp_path: Path) -> None:
    begin(tmp_path, 0, "r1", shard=[1, 2])
    begin(tmp_path, 1, "r2", kind="speak")
    begin(tmp_path, 2, "r3")
    tell(tmp_path, 3, "finished", "r3")
    assert [run.run for run in run_status(tmp_path)] == ["r2", "r3"]


def test_second_pass_adds_to_what_is_to_be_done(tmp_path: Path) -> None:
    begin(tmp_path, shards=2)
    plan = {"shards": 8, "shards_left": 2, "hours": 2.0, "hours_left": 0.5, "stages": []}
    tell(tmp_path, 5, "planned", **plan)
    (run,) = seen(tmp_path)
    assert (run.shards, run.audio_seconds) == (4, 3600)


def test_folder_is_held_for_a_run_on_another_host_until_it_ends_or_somebody_knows_better(tmp_path: Path) -> None:
    begin(tmp_path, host="elsewhere", pid=os.getpid())
    with (
        pytest.raises(DailytalkError, match=r"tag .*on elsewhere, process .*since 2026-01-01 00:00:00") as refused,
        alone(tmp_path, "tag", (1, 1)),
    ):
        pass
    assert refused.value.remedy.endswith("if it was killed, pass --force, or delete events.jsonl there")
    with alone(tmp_path, "tag", (1, 1), force=True):
        assert (tmp_path / RUN_LOCK).is_file()
    tell(tmp_path, 140, "finished")
    with alone(tmp_path, "speak", (1, 1)):
        pass


def test_parts_of_one_run_work_side_by_side_and_nothing_else(tmp_path: Path) -> None:
    begin(tmp_path, shard=[1, 2])
    with locked(tmp_path / f"{RUN_LOCK}-1-of-2", "", ""):
        with alone(tmp_path, "tag", (2, 2)):
            pass
        for kind, shard in (("tag", (1, 1)), ("speak", (2, 2)), ("tag", (2, 3)), ("tag", (1, 2))):
            with pytest.raises(DailytalkError, match="works in"), alone(tmp_path, kind, shard, force=True):
                pass
