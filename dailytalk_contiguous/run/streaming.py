"""Datasets larger than the disk, a window at a time: tag it, speak it, keep the results, drop the audio.

A window is recordings that have as much audio as a shard should. It goes through the same passes as in other
runs, and makes one shard of `tagged` and one of `dataset`. `position.jsonl` has a line a window with the state of
the source after it, written once its shards are on disk: a run goes on after the last line, at the commit that it
began with. A crash before a line loses nothing: the window has the same recordings again, and so the same shards.
"""

import contextlib
import hashlib
import itertools
import json
import shutil
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from dailytalk_contiguous.core.documents import json_lines
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.utterance import FIELDS
from dailytalk_contiguous.run import outputs
from dailytalk_contiguous.run.events import append
from dailytalk_contiguous.run.run import Pass, RunOptions, Spec, refuse_mixing
from dailytalk_contiguous.run.shard import ahead
from dailytalk_contiguous.run.speaking import (
    SynthesisInput,
    check_script_tags,
    opened_budget,
    spoken_pass,
    with_provenance,
)
from dailytalk_contiguous.shards import is_held, read_entries, read_rows
from dailytalk_contiguous.sources.folder import FolderConfig, recording_rows
from dailytalk_contiguous.sources.hub_repository import (
    HubStream,
    PendingRecording,
    Repository,
    StreamPosition,
    open_repository,
)
from dailytalk_contiguous.sources.recordings import Names, stem
from dailytalk_contiguous.stages.base import Stages, published_by, stages_digest
from dailytalk_contiguous.stages.script import Script, script_row
from dailytalk_contiguous.store import work_folder
from dailytalk_contiguous.store.files import inside
from dailytalk_contiguous.store.work_folder import DATASET, TAGGED

#: The file of the windows that are done, after a line on what they are made of.
POSITION = "position.jsonl"

#: Folder of the recordings in use, inside a work folder; hidden, and removed after each run.
SCRATCH = ".stream"

#: Why a run ended before its source did.
HOURS, DISK, UNSAID = "--limit-hours", "--limit-disk", "unsaid"


@dataclass
class StreamWindow:
    """A window, as `position.jsonl` has it once it is done.

    Attributes:
        about: everything that the results depend on: streams that differ in it may not share a work folder.
        end: state of the source after it. last: whether the source ended with it.
        names: files of its recordings, from which later names have to differ.
        rejects: recordings that the source could not use, and conversations of which there is nothing to say.
        shards: names of its shards by their folder. seconds: of audio.
    """

    about: dict[str, Any]
    end: Sequence[int]
    last: bool = False
    names: list[str] = field(default_factory=list)
    rejects: list[dict[str, str]] = field(default_factory=list)
    shards: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def read_position(out: Path) -> list[StreamWindow]:
    """The windows of the stream in a work folder that are done.

    Raises DailytalkError for a damaged file, and for a link out of the folder.
    """
    path = inside(out, POSITION)
    lines = json_lines(path, nan=True) if path.exists() else ()
    try:  # what is no JSON was cut off by a crash
        return [StreamWindow(**line) for _, line in lines if not isinstance(line, BadInput)]
    except TypeError:
        raise DailytalkError(f"{path} is damaged, or of another version", "choose another --out") from None


@dataclass(frozen=True)
class StreamJob:
    """The source and the settings of a stream.

    Attributes:
        repository: at its commit. licence: of the recordings, if no card names it.
        tagging, speaking: the stages; without `speaking`, conversations are only tagged.
        profile: the one that the stages are from.
        config: how recordings become conversations; its inputs are not used.
        window_seconds: audio of a window, and so of a shard.
    """

    repository: Repository
    tagging: Stages
    speaking: Stages
    profile: str
    config: FolderConfig
    window_seconds: float = RunOptions.shard_seconds
    licence: str = ""

    def __post_init__(self) -> None:
        if any(stage.unfitted for stage in self.tagging):
            raise DailytalkError(
                "--buckets robust measures the whole corpus before it tags, which a stream does not keep",
                "choose other --buckets, or leave --streaming out",
            )

    @property
    def source(self) -> dict[str, Any]:
        return self.repository.about() | ({"licence": self.licence} if self.licence else {})

    def about(self, *stages: Stages) -> dict[str, Any]:
        """Everything that the results depend on."""
        how = (self.config.max_conversation, self.config.transcripts, [*self.config.tier])
        parts = json.dumps([*map(stages_digest, stages), *how])
        return {
            "source": _source_of(self.repository),
            "commit": self.repository.commit,
            "digest": hashlib.sha256(parts.encode()).hexdigest()[:20],
        }


def _source_of(repository: Repository) -> dict[str, Any]:
    source: dict[str, Any] = json.loads(json.dumps(asdict(repository.choice)))
    return {"repository": repository.reference.repo, **source}


@dataclass(frozen=True)
class Limits:
    """Where a run stops between windows: `hours` of audio in all that are done; `free_bytes` left on the disk."""

    hours: float | None = None
    free_bytes: float = 0.0

    def reached(self, seconds: float) -> bool:
        return self.hours is not None and seconds >= 3600 * self.hours


def pinned(repository: Repository, out: Path) -> Repository:
    """The repository at the commit that the stream in `out` began with.

    Raises DailytalkError if `out` can't be written to or holds something else, or if the revision that the user
    names is another commit.
    """
    refuse_mixing(out)
    windows = read_position(out)
    holds, another = f"--out {str(out)!r} holds", "choose another --out"
    if not windows:
        shards = [*(out / TAGGED).glob("*.parquet"), *(out / DATASET).glob("*.parquet")]
        if shards and not (out / POSITION).exists():
            raise DailytalkError(f"{holds} the results of a run without --streaming", another)
        return repository
    about = windows[0].about
    if about["source"] != _source_of(repository):
        description = ", ".join(f"{name} {value}" for name, value in about["source"].items() if value)
        raise DailytalkError(f"{holds} a stream of another source ({description})", another)
    if about["commit"] == repository.commit:
        return repository
    if repository.reference.revision:
        raise DailytalkError(
            f"{holds} a stream of commit {about['commit'][:8]}, and "
            f"{repository.reference} is commit {repository.commit[:8]}",
            f"{another}, or leave the revision out to go on",
        )
    return open_repository(repository.reference._replace(revision=about["commit"]), repository.choice)


@dataclass
class FetchedWindow:
    """The conversations of a window on this machine: their rows, and the folder of their recordings."""

    window: StreamWindow
    folder: Path
    rows: list[Row] = field(default_factory=list)


class StreamSpec(Spec):
    """A dataset on the Hub, up to some limits; its passes are those of its windows.

    The disk holds two windows: one is fetched while one is worked on. If it stops because of DISK, no outputs are
    written: they need room too. A window of which nothing could be said is not done, and ends the run: its server
    may answer by the next one.

    Args:
        job: the source and the settings. out: the work folder. limits: where to stop.
        about: goes into run.json as it is.

    Attributes:
        windows: those that are done. made: seconds of audio of those that this run has made.
        stopped: HOURS, DISK or UNSAID, or empty.

    A run raises DailytalkError for settings that are not those that `out` was begun with, and whatever a stage or
    the source raises; finished windows stay.
    """

    def __init__(self, job: StreamJob, out: Path, limits: Limits, about: Mapping[str, Any] = {}) -> None:
        self._money = opened_budget(job.speaking)
        self.budget = self._money if job.speaking else None
        self.kind = "build" if job.speaking else "tag"
        self.job, self.out, self.limits, self.about = job, out, limits, about
        self.fields = published_by(job.tagging)
        self.tagging, self.speaking = job.tagging, job.speaking
        if self.speaking:
            self.speaking = with_provenance(self.speaking, outputs.models_of(self.tagging), self.fields)
        self.stages = (*self.tagging, *self.speaking)
        self._about, self.windows = job.about(self.tagging, self.speaking), read_position(out)
        self.rejects = []
        self.stopped = ""
        self.made: list[float] = []

    @property
    def complete(self) -> bool:
        return any(window.last for window in self.windows)

    @property
    def audio_seconds(self) -> float:
        return sum(window.seconds for window in self.windows)

    def left(self) -> Stages:
        """The stages that a run would run; none if no window is left. Writes and downloads nothing.

        Raises DailytalkError for settings that are not those that `out` was begun with: a stream drops what it has
        used, so it can't make its first windows again as other runs would.
        """
        if self.windows and self.windows[0].about["digest"] != self._about["digest"]:
            raise DailytalkError(
                f"--out {str(self.out)!r} holds a stream of other settings, models, or another version",
                "pass those of its first run, or choose another --out",
            )
        return () if self.complete or self.limits.reached(self.audio_seconds) else self.stages

    def passes(self, options: RunOptions) -> Generator[Pass]:
        left, scratch, stop = self.left(), self.out / SCRATCH, Event()
        others = {folder: self._paths(folder) for folder in (TAGGED, DATASET)}
        shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / POSITION).open("ab").close()  # before its first shard, which a crash may leave alone
        options.runner.preflight(left)
        windows = self._windows(scratch, stop.is_set) if left else iter(())
        try:
            with contextlib.closing(ahead(lambda _: next(windows, None), itertools.count())) as coming:
                try:
                    while not self.stopped and (fetched := next(coming)) is not None:
                        yield from self._window(fetched, others)
                        shutil.rmtree(fetched.folder, ignore_errors=True)
                finally:
                    stop.set()  # else the window that is being fetched would be waited for
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        if not self.stopped and not self.complete:
            self.stopped = HOURS

    def _windows(self, scratch: Path, stopped: Callable[[], bool]) -> Iterator[FetchedWindow]:
        """Runs in the thread that fetches."""
        seconds, names = self.audio_seconds, Names(name for window in self.windows for name in window.names)
        start = StreamPosition(*self.windows[-1].end) if self.windows else StreamPosition()
        coming = iter(HubStream(self.job.repository).coming(start))
        pending, number = next(coming, None), 0
        while not self.limits.reached(seconds) and not stopped():
            if shutil.disk_usage(self.out).free < self.limits.free_bytes:
                self.stopped = DISK
                return
            window = StreamWindow(self._about, start, last=pending is None)
            fetched = FetchedWindow(window, scratch / str(number))
            while window.seconds < self.job.window_seconds and pending and not stopped():
                self._fetch(pending, fetched, names)
                pending = next(coming, None)  # a full last window is not followed by an empty one
                window.last = pending is None
            number, start, seconds = number + 1, StreamPosition(*window.end), seconds + window.seconds
            if not stopped():
                yield fetched
            if window.last:
                return

    def _fetch(self, pending: PendingRecording, fetched: FetchedWindow, names: Names) -> None:
        """Bring a recording of the source into a window."""
        window = fetched.window
        recording = pending.bring(fetched.folder, names)
        window.end = pending.after
        if isinstance(recording, Reject):
            window.rejects.append(recording.as_dict())
            return
        if stem(recording.audio_file) in names:  # false where the source knew all names beforehand
            window.names.append(recording.audio_file)
        n_before = len(fetched.rows)
        for row in recording_rows(recording, self.job.config):
            if row["problem"]:
                reject = Reject(row["conversation_id"], "Folder", row["problem"], row["remedy"])
                window.rejects.append(reject.as_dict())
            else:
                fetched.rows.append(row)
                window.seconds += row["duration"]
        if len(fetched.rows) == n_before:
            recording.path.unlink()  # a thousand of them must not fill the disk

    def _window(self, fetched: FetchedWindow, others: Mapping[str, Sequence[Path]]) -> Generator[Pass]:
        """The passes of a window, and its line. `others`: the shards of earlier runs."""
        window, rows = fetched.window, list[Row]()
        if fetched.rows:
            step = Pass(self.out / TAGGED, [fetched.rows], self.tagging, others=others[TAGGED])
            yield step
            window.shards[TAGGED] = step.paths[0].name
            rows = [*self._script(step.paths[0], window)] if self.speaking else []
        if rows:
            check_script_tags(SynthesisInput([rows], []), self.speaking)
            step = spoken_pass(self.out, [rows], self.speaking, self.fields, others[DATASET])
            yield step
            (dataset,) = step.paths
            window.shards[DATASET] = dataset.name
            if is_held(dataset) and all(entry.reject for entry in (read_entries(dataset) or {}).values()):
                self.stopped = UNSAID
                return
        append(self.out / POSITION, asdict(window), sync=True)
        self.windows.append(window)
        self.made.append(window.seconds)

    def _script(self, shard: Path, window: StreamWindow) -> Iterator[Row]:
        """The rows that `dailytalk speak` would read from a window's transcript, which nobody has edited."""
        stage, kept = Script(self.fields), script_row((*FIELDS, *self.fields))
        for name, row in read_rows(shard, (*kept, *stage.needs, *stage.uses)).items():
            try:
                yield {column: row[column] for column in kept if column in row} | stage.row(row)
            except BadInput as error:
                window.rejects.append(Reject(name, stage.name, error.reason, error.remedy).as_dict())

    def _paths(self, folder: str) -> list[Path]:
        return [self.out / folder / window.shards[folder] for window in self.windows if folder in window.shards]

    def write(self, time_spent: Mapping[str, Any]) -> dict[str, Any] | None:
        """Write the outputs of all finished windows, as other runs do, unless the disk is full."""
        before = work_folder.read_run(self.out) or {}
        if self.stopped == DISK:
            return None
        same = not self.made and before.get("streaming", {}).get("windows") == len(self.windows)
        if same and (self.out / work_folder.TRANSCRIPT).is_file():
            return before
        about = dict(self.about) | {
            "source": self.job.source,
            "streaming": {"windows": len(self.windows), "complete": self.complete, "stopped": self.stopped},
            "time": time_spent,
            "settings": {"profile": self.job.profile},
        }
        tagged = self._paths(TAGGED) or Pass(self.out / TAGGED, [], self.tagging).outputs()
        rejects = [Reject(**reject) for window in self.windows for reject in window.rejects]
        of_source = [reject for reject in rejects if reject.stage not in work_folder.SPOKEN_STAGES]
        record = outputs.write_results(self.out, tagged, self.tagging, of_source, about, self.fields)
        if self.job.speaking:
            about |= {"transcript_sha256": record["transcript_sha256"], "money": self._money.as_dict()}
            unsaid = [reject for reject in rejects if reject.stage in work_folder.SPOKEN_STAGES]
            paths = self._paths(DATASET)
            outputs.write_results(self.out, paths, self.speaking, unsaid, about, self.fields, spoken=True)
            record = work_folder.read_run(self.out) or record
        return record
