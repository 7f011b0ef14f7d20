"""A private cache folder, work by several threads, and a limit on memory."""

import itertools
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dailytalk_contiguous.machine import resources
from dailytalk_contiguous.machine.resources import available_memory, cache_folder, side_by_side


def rights(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


def test_cache_that_is_named_is_made_private_and_keeps_its_rights_where_it_is_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "mine"))
    assert rights(cache_folder()) == 0o700
    (tmp_path / "shared").mkdir(mode=0o750)
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "shared"))
    assert rights(cache_folder()) == 0o750


def test_what_was_given_before_a_source_breaks_is_worked_on_first() -> None:
    def source() -> Iterator[int]:
        yield from (1, 2, 3)
        raise OSError("the disk is gone")

    work = side_by_side(lambda number: 10 * number, source(), 2)
    done = [*itertools.islice(work, 3)]
    assert done == [10, 20, 30]
    with pytest.raises(OSError, match="the disk is gone"):
        next(work)


#: Asks for 8 GiB, which nothing writes to, in a process that may have 4; then starts one that may have more.
LIMITED = """
import subprocess
import sys
from dailytalk_contiguous.machine.resources import limit_memory, unlimited_memory

limit_memory(1)
try:
    bytearray(8 << 30)
except MemoryError:
    print("refused")
with unlimited_memory():
    code = "import resource; print(resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    print("unlimited" if done.stdout == "True\\n" else "limited")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
@pytest.mark.skipif(any(path.exists() for path in resources._GPUS), reason="there is no limit beside a GPU")
def test_process_that_asks_for_more_than_its_limit_gets_a_memory_error() -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["refused", "unlimited"]


def test_available_memory_is_no_more_than_the_machine_has() -> None:
    assert 0 < available_memory() <= sys.maxsize
    if sys.platform == "linux":
        facts = Path("/proc/meminfo").read_text()
        totals = re.findall(r"^(?:MemTotal|SwapTotal): +(\d+) kB$", facts, re.MULTILINE)
        assert available_memory() <= sum(map(int, totals)) << 10


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
def test_there_is_no_limit_beside_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    monkeypatch.setattr(resources, "_GPUS", (Path("/dev/null"),))
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resources.limit_memory(1)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
def test_memory_of_a_container_is_that_of_the_narrowest_group_around_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text("0::/batch/job\n")
    (tmp_path / "meminfo").write_text("MemAvailable:   16777216 kB\nSwapFree:       0 kB\n")
    for group, limit in {"": "max", "batch": str(3 << 30), "batch/job": str(5 << 30)}.items():
        folder = tmp_path / "groups" / group
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(f"{limit}\n")
    monkeypatch.setattr(resources, "_PROCESSES", tmp_path)
    monkeypatch.setattr(resources, "_GROUPS", tmp_path / "groups")
    assert available_memory() == 3 << 30
