import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.run.lock import Holder, hold_folder, holders, lock_of
from dailytalk_contiguous.run.storage import WorkFolder
from dailytalk_contiguous.store.files import locked
from dailytalk_contiguous.store.work_folder import RUN_LOCK

HERE = platform.node()


def left_behind(out: Path, **facts: Any) -> Path:
    """The lock of a run that was killed, or that works on another host."""
    holder = Holder(**{"kind": "tag", **facts})
    lock = lock_of(out, holder.shard)
    lock.touch()
    holder.write(lock)
    return lock


@contextmanager
def held(out: Path, kind: str = "tag", shard: tuple[int, int] = (1, 1), force: bool = False) -> Iterator[Path]:
    with hold_folder(WorkFolder(out), Holder(kind, shard=shard), force) as lock:
        yield lock


def states(out: Path) -> dict[str, bool]:
    """Whether each run of a folder is gone, by the name of its lock."""
    return {lock.name: holder.is_gone(lock) for lock, holder in holders(out)}


def test_lock_says_who_holds_the_folder_and_goes_with_its_run(tmp_path: Path) -> None:
    with held(tmp_path) as lock:
        ((_, holder),) = holders(tmp_path)
        assert (holder.kind, holder.host, holder.shard) == ("tag", HERE, (1, 1))
        holder.step, holder.shards_made, holder.shards = "rated", 2, 3
        holder.write(lock)
        ((_, later),) = holders(tmp_path)
        assert later == holder
        later.step = ""  # a shorter line leaves nothing of a longer one
        later.write(lock)
        assert [*holders(tmp_path)] == [(lock, later)]
    assert not lock.exists()


def test_run_goes_on_without_a_lock_that_somebody_has_removed(tmp_path: Path) -> None:
    with held(tmp_path) as lock:
        lock.unlink()
        Holder("tag", step="rated").write(lock)
        assert not lock.exists()


@pytest.mark.parametrize("error", [DailytalkError("no room", "make some"), KeyboardInterrupt()])
def test_lock_goes_with_a_run_that_fails_or_is_stopped(tmp_path: Path, error: BaseException) -> None:
    def fail() -> None:
        with held(tmp_path):
            raise error

    with pytest.raises(type(error)):
        fail()
    assert [*tmp_path.iterdir()] == []


def test_run_here_is_gone_once_its_process_holds_the_folder_no_more(tmp_path: Path) -> None:
    lock = left_behind(tmp_path)
    with locked(lock, "", ""):
        assert states(tmp_path) == {RUN_LOCK: False}
    assert states(tmp_path) == {RUN_LOCK: True}
    with held(tmp_path, "speak"):
        ((_, holder),) = holders(tmp_path)
        assert holder.kind == "speak"


def test_folder_is_held_for_a_run_on_another_host_until_it_ends_or_somebody_knows_better(tmp_path: Path) -> None:
    lock = left_behind(tmp_path, host="elsewhere", started="2026-01-01T00:00:00Z")
    assert states(tmp_path) == {RUN_LOCK: False}
    told = r"tag .*on elsewhere, process .*since 2026-01-01T00:00:00"
    with pytest.raises(DailytalkError, match=told) as refused, held(tmp_path):
        pass
    assert refused.value.remedy.endswith("if it was killed, pass --force")
    with held(tmp_path, force=True):
        assert states(tmp_path) == {RUN_LOCK: False}
    assert not lock.exists()


def test_parts_of_one_run_work_side_by_side_and_nothing_else(tmp_path: Path) -> None:
    lock = left_behind(tmp_path, shard=(1, 2))
    with locked(lock, "", ""):
        with held(tmp_path, shard=(2, 2)):
            assert len(states(tmp_path)) == 2
        for kind, shard in (("tag", (1, 1)), ("speak", (2, 2)), ("tag", (2, 3)), ("tag", (1, 2))):
            with pytest.raises(DailytalkError, match="works in"), held(tmp_path, kind, shard, force=True):
                pass


def test_whole_run_takes_the_place_of_parts_that_are_gone(tmp_path: Path) -> None:
    left_behind(tmp_path, shard=(1, 3))
    left_behind(tmp_path, shard=(2, 3), host="elsewhere")
    with held(tmp_path, shard=(3, 3)):
        assert len(states(tmp_path)) == 3
    with pytest.raises(DailytalkError, match="on elsewhere"), held(tmp_path):
        pass
    with held(tmp_path, force=True):
        assert [*states(tmp_path)] == [RUN_LOCK]


@pytest.mark.parametrize(
    "text", ["", "\0", '\0{"kind": "tag", "ho', "\0[]\n", '\0{"kind": "tag", "shard": [1]}\n']
)
def test_lock_that_says_nothing_is_that_of_no_run(tmp_path: Path, text: str) -> None:
    (tmp_path / RUN_LOCK).write_text(text)
    assert [*holders(tmp_path)] == []
    with held(tmp_path):
        assert len(states(tmp_path)) == 1


def test_lock_that_is_a_link_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    text = json.dumps({"kind": "tag", "host": "elsewhere"})
    (tmp_path / "theirs").write_text(f"\0{text}\n")
    (tmp_path / "out" / RUN_LOCK).symlink_to(tmp_path / "theirs")
    assert [*holders(tmp_path / "out")] == []
