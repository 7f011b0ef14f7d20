import os
import platform
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.run.events import EVENTS, RUN_LOCK, Run, append, hold_folder, run_status
from dailytalk_contiguous.store.files import locked

START = datetime(2026, 1, 1, tzinfo=UTC)
HERE = platform.node()


def begin(out: Path, seconds: float = 0, run: str = "r1", host: str = HERE, pid: int = 1234, **fields: Any) -> Run:
    """A run that began so many seconds after `START`."""
    time = (START + timedelta(seconds=seconds)).isoformat()
    fields.setdefault("kind", "tag")
    begun = Run(run, **fields, host=host, pid=pid, started=time, time=time)
    append(out / EVENTS, asdict(begun))
    return begun


def end(out: Path, run: Run, state: str = "finished", reason: str = "") -> None:
    ended = asdict(run) | {"state": state, "reason": reason}
    append(out / EVENTS, ended)


def test_run_on_another_host_is_running_until_it_says_how_it_ended(tmp_path: Path) -> None:
    run = begin(tmp_path, host="elsewhere")
    assert run_status(tmp_path)[0].state == "running"
    end(tmp_path, run, "stopped")
    assert run_status(tmp_path)[0].state == "stopped"


def test_run_here_is_running_while_its_process_holds_the_folder_and_gone_after(tmp_path: Path) -> None:
    begin(tmp_path)
    with locked(tmp_path / RUN_LOCK, "", ""):
        assert run_status(tmp_path)[0].state == "running"
    assert run_status(tmp_path)[0].state == "gone"


def test_later_run_stands_for_an_earlier_one_of_its_part(tmp_path: Path) -> None:
    begin(tmp_path, 0, "r1", shard=[1, 2], pid=1)
    begin(tmp_path, 1, "r2", shard=[2, 2], pid=2)
    begin(tmp_path, 2, "r3", shard=[1, 2], pid=3)
    assert {run.run for run in run_status(tmp_path)} == {"r2", "r3"}


def test_whole_run_that_finished_stands_for_all_before_it(tmp_path: Path) -> None:
    begin(tmp_path, 0, "r1", shard=[1, 2])
    begin(tmp_path, 1, "r2", kind="speak")
    end(tmp_path, begin(tmp_path, 2, "r3"))
    assert [run.run for run in run_status(tmp_path)] == ["r2", "r3"]


def test_folder_is_held_for_a_run_on_another_host_until_it_ends_or_somebody_knows_better(tmp_path: Path) -> None:
    run = begin(tmp_path, host="elsewhere", pid=os.getpid())
    with (
        pytest.raises(DailytalkError, match=r"tag .*on elsewhere, process .*since 2026-01-01T00:00:00") as refused,
        hold_folder(tmp_path, "tag", (1, 1)),
    ):
        pass
    assert refused.value.remedy.endswith("if it was killed, pass --force")
    with hold_folder(tmp_path, "tag", (1, 1), force=True):
        assert (tmp_path / RUN_LOCK).is_file()
    end(tmp_path, run)
    with hold_folder(tmp_path, "speak", (1, 1)):
        pass


def test_parts_of_one_run_work_side_by_side_and_nothing_else(tmp_path: Path) -> None:
    begin(tmp_path, shard=[1, 2])
    with locked(tmp_path / f"{RUN_LOCK}-1-of-2", "", ""):
        with hold_folder(tmp_path, "tag", (2, 2)):
            pass
        for kind, shard in (("tag", (1, 1)), ("speak", (2, 2)), ("tag", (2, 3)), ("tag", (1, 2))):
            with pytest.raises(DailytalkError, match="works in"), hold_folder(tmp_path, kind, shard, force=True):
                pass
