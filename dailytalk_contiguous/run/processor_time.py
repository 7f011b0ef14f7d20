"""Processor time that some work has used, and that other programs used meanwhile.

Wall time alone does not say whether work is long, or the machine was busy with something else. Where it is well
above processor time divided by cores, the machine may be busy, but the work may also have one thread, or wait for
a service or a GPU. The time of other programs tells the cases apart, where the system counts it (Linux does).
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from dailytalk_contiguous.machine.resources import cores

#: The columns of a core in /proc/stat that count work: time of a guest is a part of `user`, and `steal` is what a
#: hypervisor gave to other machines although there was work to do (proc(5)).
_WORK = ("user", "nice", "system", "irq", "softirq", "steal")

#: The columns of a core in /proc/stat, after its name.
_COLUMNS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


@dataclass(frozen=True)
class ProcessorTime:
    """Seconds since a moment in the past, or between two of them.

    Attributes:
        wall: by the clock.
        process: processor seconds of this process, with all its threads, and of child processes that have ended.
        all_programs: processor seconds of all programs on the cores that this process may use; None if the system
            does not say.
    """

    wall: float = 0.0
    process: float = 0.0
    all_programs: float | None = 0.0

    @property
    def other_programs(self) -> float | None:
        """Processor seconds of other programs; None if unknown."""
        if self.all_programs is None:
            return None
        return max(0.0, self.all_programs - self.process)

    @property
    def others_share(self) -> float | None:
        """The share of this machine's cores that other programs used, at most 1; None if unknown."""
        others = self.other_programs
        if others is None or not self.wall:
            return None
        return min(1.0, others / (self.wall * cores()))

    def __add__(self, other: "ProcessorTime") -> "ProcessorTime":
        all_programs = None
        if self.all_programs is not None and other.all_programs is not None:
            all_programs = self.all_programs + other.all_programs
        return ProcessorTime(self.wall + other.wall, self.process + other.process, all_programs)

    def since(self, earlier: "ProcessorTime") -> "ProcessorTime":
        """Return the seconds between an earlier reading and this one."""
        all_programs = None
        if self.all_programs is not None and earlier.all_programs is not None:
            all_programs = self.all_programs - earlier.all_programs
        return ProcessorTime(self.wall - earlier.wall, self.process - earlier.process, all_programs)


def read_processor_time() -> ProcessorTime:
    """Return the seconds up to now."""
    times = os.times()
    process = times.user + times.system + times.children_user + times.children_system
    return ProcessorTime(time.perf_counter(), process, _work_of_cores())


def _work_of_cores() -> float | None:
    """Seconds of work on the cores that this process may use; None where /proc/stat does not count it."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    try:
        lines = Path("/proc/stat").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    names = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    ticks = 0
    for line in lines:
        name, _, values = line.partition(" ")
        if name not in names:
            continue
        columns = dict(zip(_COLUMNS, values.split(), strict=False))
        ticks += sum(int(columns.get(column, 0)) for column in _WORK)
    if not ticks:  # some sandboxes have the file, without figures
        return None
    return ticks / os.sysconf("SC_CLK_TCK")
