"""Streaming: a dataset on the Hub that is larger than the disk, a window of conversations at a time.

A window is brought, goes through the same stages as everywhere, becomes one shard of `tagged` and one of
`dataset`, and is dropped. What was done is known from `position.jsonl`, so that a run that was stopped in any way
goes on behind the last finished window, at the commit that it began with.
"""

import contextlib
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.engine import local, transcript
from dailytalk_contiguous.engine.build import Progress
from dailytalk_contiguous.engine.devices import use_device
from dailytalk_contiguous.engine.events import Account, Journal
from dailytalk_contiguous.engine.outputs import TRANSCRIPT, models_of, read_run, rejected
from dailytalk_contiguous.engine.positions import Finished, Positions
from dailytalk_contiguous.engine.runner import Runner
from dailytalk_contiguous.engine.speaking import BATCH_SECONDS, DATASET, Script, check_script_tags, spending
from dailytalk_contiguous.engine.stream_job import Job, Limits
from dailytalk_contiguous.engine.stream_outputs import StreamOutputs
from dailytalk_contiguous.engine.tagging import TAGGED, Options, make_writable
from dailytalk_contiguous.engine.windows import Window, Windows, ahead
from dailytalk_contiguous.files.writing import write_lines
from dailytalk_contiguous.models.engines import load_synthesiser, purse
from dailytalk_contiguous.pipeline import saying
from dailytalk_contiguous.shards import Row, part_path, read_entries, read_rows, shard_path
from dailytalk_contiguous.sources.hub_stream import HubStream
from dailytalk_contiguous.sources.naming import Names
from dailytalk_contiguous.sources.transcribed import transcribed
from dailytalk_contiguous.stages.base import Stage

#: Folder of the recordings that are worked on, inside a work folder; hidden, and gone after each run.
SCRATCH = ".stream"

#: Why a run ended before its source did.
HOURS, DISK, UNSAID = "--limit-hours", "--limit-disk", "unsaid"

#: Windows in a row of which nothing could be said, after which a server is taken to be gone: the rest of a corpus
#: would be fetched for nothing.
FRUITLESS = 5


@dataclass(frozen=True)
class Streamed:
    """What a run did.

    Attributes:
        record: what run.json holds, or None where the outputs were not written.
        windows, made: done in all, and by this run. complete: whether the source came to its end.
        stopped: HOURS, DISK or UNSAID, or empty. held: conversations that the next run tries again.
        hours: of audio in all windows. audio_seconds: in those of this run. wall_seconds: what it took.
    """

    record: dict[str, Any] | None
    windows: int
    made: int
    complete: bool
    stopped: str
    held: int
    hours: float
    audio_seconds: float
    wall_seconds: float
    account: Account


def stream(
    job: Job,
    out: Path,
    limits: Limits,
    about: Mapping[str, Any],
    progress: Progress = lambda stage, audio, wall: None,
    planned: local.Planned = lambda plan, forecast: None,
) -> Streamed:
    """Make what is missing of a stream in `out`, up to its limits, and write the outputs of all that is done.

    With DISK as the reason of the stop no outputs are written: they need room too, and are begun only if there is
    enough for all of them. Raises DailytalkError for settings that are not those that `out` was begun with, and
    whatever a stage or the source raises; finished windows stay.
    """
    return _Run(job, out, limits, about, progress, planned).run()


def intended_stream(job: Job, out: Path, limits: Limits) -> tuple[Stage, ...]:
    """The stages that `stream` would run; none where no window is left. Writes and downloads nothing.

    Raises DailytalkError for whatever `stream` would refuse before its first window.
    """
    positions = Positions(out)
    if positions.about is not None:
        job.agree(positions.about, out)
    if not _is_left(positions, limits):
        return ()
    tag_stages, speak_stages = job.stages()
    Runner().preflight((*tag_stages, *speak_stages), job.tag.device, fetch=False)
    return (*tag_stages, *speak_stages)


def _is_left(positions: Positions, limits: Limits) -> bool:
    """Whether there is a window to make: one with conversations held back, or a new one within the limits."""
    held = any(window.held for window in positions.windows)
    return held or not (positions.complete or limits.reached(positions.audio_seconds))


class _Run:
    """One run, with what its windows share."""

    def __init__(
        self,
        job: Job,
        out: Path,
        limits: Limits,
        about: Mapping[str, Any],
        progress: Progress,
        planned: local.Planned,
    ) -> None:
        load_synthesiser.cache_clear()  # the environment may name another token, voice or server than before
        purse.cache_clear()
        self.money = purse(job.speak.max_cost if job.speak else None)
        self.job, self.out, self.limits, self.about = job, out, limits, dict(about)
        self.progress, self.planned = progress, planned
        self.tag_stages, self.speak_stages = job.stages()
        self.positions = Positions(out)
        self.stopped = ""
        self.made: list[Window] = []

    def run(self) -> Streamed:
        """All windows that are left, then the outputs."""
        started = time.perf_counter()
        self._agree()
        scratch = self.out / SCRATCH
        kind, settings = ("build", self.job.speak) if self.job.speak else ("tag", self.job.tag)
        command = self.about.get("command", "")
        spent = (lambda: self.money.spent) if self.job.speak else None
        record = read_run(self.out)
        with Journal(self.out, kind, settings, command, spent=spent) as journal:
            if self._to_do():
                shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
                try:
                    with spending(self.out, kind, command, self.money if self.job.speak else None):
                        self._all_windows(scratch, journal)
                finally:
                    shutil.rmtree(scratch, ignore_errors=True)
            outputs = StreamOutputs(self.job, self.out, self.positions, self.tag_stages, self.speak_stages)
            if self.stopped == DISK:
                record = None
            elif self.made or record is None or not outputs.stand():
                record = self._written(outputs, journal.account)
            if record:
                journal.rejects = rejected(self.out)
        done = self.positions
        return Streamed(
            record,
            len(done.windows),
            len(self.made),
            done.complete,
            self.stopped,
            sum(one.held for one in done.windows),
            done.audio_seconds / 3600,
            sum(window.audio_seconds for window in self.made),
            time.perf_counter() - started,
            journal.account,
        )

    def _agree(self) -> None:
        """Begin the stream, or make sure that it goes on as it began."""
        make_writable(self.out / TAGGED)
        if self.positions.about is None:
            self.positions.begin(self.job.about())
        else:
            self.job.agree(self.positions.about, self.out)

    def _to_do(self) -> bool:
        left = _is_left(self.positions, self.limits)
        if not left and not self.positions.complete:
            self.stopped = HOURS
        return left

    def _all_windows(self, scratch: Path, journal: Journal) -> None:
        Runner().preflight((*self.tag_stages, *self.speak_stages), self.job.tag.device)
        job = self.job
        fruitless = 0
        windows = Windows(HubStream(job.repository), scratch, job.config, job.window_seconds)
        with contextlib.closing(ahead(self._wanted(windows), windows.stop, self._has_room_for_one)) as coming:
            for window in coming:
                finished = self._work(window, journal)
                self.positions.add(finished)
                self.made.append(window)
                fruitless = fruitless + 1 if finished.held == len(window.rows) > 0 else 0
                window.rows = [{"duration": window.audio_seconds}]  # all that is still asked of them
                if fruitless == FRUITLESS:
                    self.stopped = UNSAID
                    return
        if not self.stopped and not self.positions.complete:
            self.stopped = HOURS

    def _wanted(self, windows: Windows) -> Iterator[Window]:
        """Those with conversations that were held back, then new ones. Runs in the thread that brings."""
        done = self.positions.windows
        for one in done:
            if one.held:
                yield windows.again(one, done[: one.window])
        seconds = self.positions.audio_seconds
        if self.positions.complete or self.limits.reached(seconds):
            return
        names = Names(name for one in done for name in one.names)
        for window in windows.all_from(len(done), done[-1].end if done else self.positions.end, names):
            yield window
            seconds += window.audio_seconds
            if self.limits.reached(seconds):
                return

    def _has_room_for_one(self) -> bool:
        """Whether there is room for one more window, as large as the largest so far."""
        return self._has_room(max((one.size for one in self.positions.windows), default=0))

    def _has_room(self, need: int) -> bool:
        """Whether the disk has room for so many bytes above its limit. Where it has not, the run is stopped."""
        if shutil.disk_usage(self.out).free - need >= self.limits.free_bytes:
            return True
        self.stopped = DISK
        return False

    def _work(self, window: Window, journal: Journal) -> Finished:
        """Take a window through all stages."""
        tagged = dataset = None
        unsaid: list[Reject] = []
        held = 0
        if window.rows:
            networks = use_device(self.tag_stages) and Runner().on_cuda(self.job.tag.device)
            batch = Options.batch_seconds if networks else 0.0
            tagged = self._make(self.out / TAGGED, window.rows, self.tag_stages, batch, journal)
        if tagged and self.job.speak:
            script = self._script(window, tagged)
            unsaid = script.rejects
            if script.rows:
                check_script_tags(script, self.job.speak)
                paid = not saying(self.job.speak).synthesiser().deterministic
                batch = BATCH_SECONDS if paid else 0.0
                dataset = self._make(self.out / DATASET, script.rows, self.speak_stages, batch, journal)
                # A synthesiser that says a line always alike would fail alike again.
                held = sum(not one.input_digest for one in self._entries(dataset).values()) if paid else 0
        before = self.positions.windows[window.number : window.number + 1]
        return Finished(
            window.number,
            window.start,
            window.end,
            window.last or any(one.last for one in before),
            window.names,
            window.problems,
            unsaid,
            tagged.name if tagged else None,
            dataset.name if dataset else None,
            held,
            len(window.rows),
            window.audio_seconds,
            window.size + sum(path.stat().st_size for path in (tagged, dataset) if path),
        )

    def _make(
        self, folder: Path, rows: list[Row], stages: tuple[Stage, ...], batch_seconds: float, journal: Journal
    ) -> Path:
        """The shard of these rows, made unless it stands."""
        path = shard_path(folder, rows)
        files = (part_path(path), path)  # of both, what is finished counts
        known = {name: (file, entry) for file in files for name, entry in self._entries(file).items()}
        plan = local.plan(folder, [rows], stages, known)
        self.planned(plan, journal.forecast)
        journal.planned(plan, sum(row["duration"] for row in rows), [stage.name for stage in stages])
        for _ in local.run(plan, stages, 1, batch_seconds, journal.telling(self.progress), journal.made):
            pass
        if lost := {row["conversation_id"] for row in rows} - self._entries(path).keys():
            raise RuntimeError(f"{len(lost)} conversations are neither in {path} nor rejected: {sorted(lost)[:5]}")
        return path

    @staticmethod
    def _entries(path: Path) -> dict[str, Any]:
        return (read_entries(path) or {}) if path.is_file() else {}

    def _script(self, window: Window, tagged: Path) -> Script:
        """What `dailytalk speak` would read of a window's transcript: the same times, rounded in the same way."""
        rows = read_rows(tagged, transcript.COLUMNS)
        path = window.folder / TRANSCRIPT
        lines = (line for row in rows.values() for line in transcript.lines(row))
        write_lines(path, map(transcript.to_json, lines))
        script = Script([], [], models_of(self.tag_stages), self.job.source)
        script.groups.append(list(transcribed(path, tagged, window.root, script.rejects)))
        return script

    def _written(self, outputs: StreamOutputs, account: Account) -> dict[str, Any] | None:
        """What run.json holds of all windows that are done; None if the disk has no room for the outputs."""
        if not self._has_room(outputs.bytes_to_write()):
            return None
        return outputs.write(self.about, self.stopped, account, self.money)
