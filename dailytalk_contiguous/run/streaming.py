"""Datasets larger than the disk, a window at a time: tag it, speak it, keep the results, drop the audio.

A window is recordings that have as much audio as a shard should. It goes through the same passes as in other runs,
and makes one shard of `tagged` and one of `dataset`. `position.jsonl` has a line a window with the state of the
source after
it, written once its shards are on disk: a run goes on after the last line, at the commit that it began with. A
crash
before a line loses nothing: the window has the same recordings again, and so the names of its shards.
"""

import contextlib
import itertools
import json
import os
import shutil
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from dailytalk_contiguous.core.documents import MOST_BYTES, numbered_lines, parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.settings import settings_of
from dailytalk_contiguous.core.utterance import FIELDS
from dailytalk_contiguous.run import outputs
from dailytalk_contiguous.run.events import Account, append
from dailytalk_contiguous.run.run import (
    Pass,
    RunOptions,
    Spec,
    make_writable,
    paid_voice,
    refuse_mixing,
    refuse_unwritable,
)
from dailytalk_contiguous.run.shard import ahead
from dailytalk_contiguous.run.speaking import (
    SynthesisInput,
    check_script_tags,
    opened_budget,
    spoken_pass,
    with_provenance,
)
from dailytalk_contiguous.shards import is_held, read_entries, read_rows, stages_digest
from dailytalk_contiguous.sources.folder import FolderConfig, recording_rows
from dailytalk_contiguous.sources.hub_repository import HubStream, Repository, StreamPosition, open_repository
from dailytalk_contiguous.sources.recordings import Names, stem
from dailytalk_contiguous.sources.transcribed import transcribed
from dailytalk_contiguous.stages.base import Stages, published_by
from dailytalk_contiguous.store import work_folder
from dailytalk_contiguous.store.files import inside, json_text, write_lines
from dailytalk_contiguous.store.work_folder import DATASET, TAGGED

#: The file of the windows that are done, after a line on what they are made of; and the version of its layout.
POSITION, LAYOUT = "position.jsonl", 2

#: Folder of the recordings in use, inside a work folder; hidden, and removed after each run.
SCRATCH = ".stream"

#: Why a run ended before its source did.
HOURS, DISK, UNSAID = "--limit-hours", "--limit-disk", "unsaid"

#: The number of windows in a row of which nothing could be said, after which the server counts as gone: the rest
#: of a corpus would be fetched for nothing.
FRUITLESS = 5


@dataclass
class StreamWindow:
    """A window, as `position.jsonl` has it once it is done.

    Attributes:
        number: from 0. start, end: states of the source before and after it. last: whether the source ended with
        it.
        names: files of its recordings, from which later names have to differ.
        problems: recordings that the source could not use. unsaid: rejects of reading its transcript.
        tagged, dataset: names of its shards; None if it made none.
        held: how many conversations the next run tries again. seconds: of audio.
        size: bytes that its recordings and its shards took on the disk, at most.
    """

    number: int
    start: Sequence[int]
    end: Sequence[int]
    last: bool = False
    names: list[str] = field(default_factory=list)
    problems: list[dict[str, str]] = field(default_factory=list)
    unsaid: list[dict[str, str]] = field(default_factory=list)
    tagged: str | None = None
    dataset: str | None = None
    held: int = 0
    seconds: float = 0.0
    size: int = 0


@dataclass
class FetchedWindow:
    """The conversations of a window on this machine; the names of their recordings are relative to `root`."""

    window: StreamWindow
    root: Path
    rows: list[Row] = field(default_factory=list)


class Position:
    """The windows that are done in a work folder, and `about`: what they were made of, None before the first run.

    Raises DailytalkError for a file of another layout, a damaged one, and a link out of the folder.
    """

    def __init__(self, out: Path) -> None:
        self._path = inside(out, POSITION)
        self.about: dict[str, Any] | None = None
        self._windows: dict[int, StreamWindow] = {}
        self._whole = 0
        for number, line in numbered_lines(self._path, "", MOST_BYTES) if self._path.exists() else ():
            if not line.endswith(b"\n"):
                break  # a crash has cut it off
            self._whole += len(line)
            try:
                self._take(parse_json(line, ""))
            except (BadInput, TypeError, KeyError, AttributeError):
                raise DailytalkError(
                    f"line {number} of {self._path} is damaged, or of another version",
                    "choose another --out, or put the file back as it was",
                ) from None

    def _take(self, record: dict[str, Any]) -> None:
        if self.about is None:
            self.about = {name: record[name] for name in ("source", "commit", "chains", *_SETTINGS)}
            if record["layout"] != LAYOUT:
                raise KeyError(LAYOUT)
        else:
            window = StreamWindow(**record)
            self._windows[window.number] = window

    @property
    def windows(self) -> list[StreamWindow]:
        return [self._windows[number] for number in sorted(self._windows)]

    @property
    def complete(self) -> bool:
        return any(window.last for window in self._windows.values())

    @property
    def audio_seconds(self) -> float:
        return sum(window.seconds for window in self._windows.values())

    def begin(self, about: Mapping[str, Any]) -> None:
        """Write what the stream is made of, before its first window."""
        self._append({"layout": LAYOUT, **about})

    def add(self, window: StreamWindow) -> None:
        """Record a window whose shards are on disk; one that was done again replaces its earlier record."""
        self._append(asdict(window))

    def _append(self, record: dict[str, Any]) -> None:
        if self._path.exists():
            os.truncate(self._path, self._whole)
        append(self._path, record, sync=True)
        self._whole = self._path.stat().st_size
        self._take(json.loads(json.dumps(record)))


#: Parts of what a stream is made of that have settings by name.
_SETTINGS = ("tag", "speak", "config")


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

    def stages(self) -> tuple[Stages, Stages]:
        if not self.speaking:
            return self.tagging, ()
        fields = published_by(self.tagging)
        return self.tagging, with_provenance(self.speaking, outputs.models_of(self.tagging), fields)

    def about(self) -> dict[str, Any]:
        """Everything that the results depend on: streams that differ in it may not share a work folder."""
        made_of = {
            "source": {"repository": self.repository.reference.repo, **asdict(self.repository.choice)},
            "commit": self.repository.commit,
            "tag": settings_of(*self.tagging),
            "speak": settings_of(*self.speaking),
            "config": {
                "max_conversation": self.config.max_conversation,
                "transcripts": self.config.transcripts,
                "tier": [*self.config.tier],
            },
        }
        return made_of | {"chains": [stages_digest(stages) for stages in self.stages() if stages]}

    def agree(self, begun: Mapping[str, Any], out: Path) -> None:
        """Raise DailytalkError if the stream in `out`, with `about` as in `begun`, would go on differently.

        A stream drops what it has used, so it can't make its first windows again as other runs would.
        """
        ours = json.loads(json.dumps(self.about()))
        if all(begun[part] == ours[part] for part in ("chains", "config")):
            return
        differences = [
            f"{name}: {begun[part].get(name)!r} there, {value!r} now"
            for part in _SETTINGS
            if begun[part] and ours[part]
            for name, value in ours[part].items()
            if begun[part].get(name) != value
        ]
        how = (
            "; ".join(differences[:3])
            or "its models, its voice, the version of this package, or tag against build"
        )
        raise DailytalkError(
            f"--out {str(out)!r} holds a stream of other settings ({how})",
            "pass those of its first run, or choose another --out",
        )


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
    refuse_unwritable(out / TAGGED)
    refuse_mixing(out)
    about = Position(out).about
    if about is None:
        if any((out / folder).is_dir() and any((out / folder).iterdir()) for folder in (TAGGED, DATASET)):
            raise DailytalkError(
                f"--out {str(out)!r} holds the results of a run without --streaming", "choose another --out"
            )
        return repository
    ours = {"repository": repository.reference.repo, **asdict(repository.choice)}
    if about["source"] != ours:
        description = ", ".join(f"{name} {value}" for name, value in about["source"].items() if value)
        raise DailytalkError(
            f"--out {str(out)!r} holds a stream of another source ({description})", "choose another --out"
        )
    if about["commit"] == repository.commit:
        return repository
    if repository.reference.revision:
        raise DailytalkError(
            f"--out {str(out)!r} holds a stream of commit {about['commit'][:8]}, and "
            f"{repository.reference} is commit {repository.commit[:8]}",
            "choose another --out, or leave the revision out to go on",
        )
    return open_repository(repository.reference._replace(revision=about["commit"]), repository.choice)


class StreamSpec(Spec):
    """A dataset on the Hub, up to some limits; its passes are those of its windows.

    The disk holds two windows: one is fetched while one is worked on. If it stops because of DISK, no outputs are
    written: they need room too, and are begun only if there is enough for all of them.

    Args:
        job: the source and the settings. out: the work folder. limits: where to stop.
        about: goes into run.json as it is.

    Attributes:
        position: the windows that are done. made: seconds of audio of those that this run has made.
        stopped: HOURS, DISK or UNSAID, or empty.

    A run raises DailytalkError for settings that are not those that `out` was begun with, and whatever a stage or
    the source raises; finished windows stay.
    """

    def __init__(self, job: StreamJob, out: Path, limits: Limits, about: Mapping[str, Any] = {}) -> None:
        self._money = opened_budget(job.speaking)
        self.budget = self._money if job.speaking else None
        self.kind = "build" if job.speaking else "tag"
        self.job, self.out, self.limits, self.about = job, out, limits, about
        self.tagging, self.speaking = job.stages()
        self.stages = (*self.tagging, *self.speaking)
        self.position = Position(out)
        self.rejects = []
        self.stopped = ""
        self.made: list[float] = []

    @property
    def held(self) -> int:
        return sum(window.held for window in self.position.windows)

    def left(self) -> Stages:
        """The stages that a run would run; none if no window is left. Writes and downloads nothing.

        Raises DailytalkError for settings that are not those that `out` was begun with.
        """
        if self.position.about is not None:
            self.job.agree(self.position.about, self.out)
        # A window is left if conversations of one were held back, or if there is a new one within the limits.
        ended = self.position.complete or self.limits.reached(self.position.audio_seconds)
        return () if ended and not self.held else self.stages

    def passes(self, options: RunOptions) -> Generator[Pass]:
        make_writable(self.out / TAGGED)
        if self.position.about is None:
            self.position.begin(self.job.about())
        if not self.left():
            self.stopped = "" if self.position.complete else HOURS
            return
        scratch, fruitless, stop = self.out / SCRATCH, 0, Event()
        others = {folder: self._paths(folder) for folder in (TAGGED, DATASET)}
        shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
        try:
            options.runner.preflight(self.stages)
            windows = self._windows(scratch, stop.is_set)
            with contextlib.closing(ahead(lambda _: next(windows, None), itertools.count())) as coming:
                try:
                    while (fetched := next(coming)) is not None:
                        yield from self._window(fetched, others)
                        self.position.add(fetched.window)
                        self.made.append(fetched.window.seconds)
                        shutil.rmtree(scratch / str(fetched.window.number), ignore_errors=True)
                        fruitless = fruitless + 1 if fetched.window.held == len(fetched.rows) > 0 else 0
                        if fruitless == FRUITLESS:
                            self.stopped = UNSAID
                            return
                finally:
                    stop.set()  # else the window that is being fetched would be waited for
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        if not self.stopped and not self.position.complete:
            self.stopped = HOURS

    def _windows(self, scratch: Path, stopped: Callable[[], bool]) -> Iterator[FetchedWindow]:
        """Windows with conversations that were held back, then new ones. Runs in the thread that fetches."""
        done, seconds = self.position.windows, self.position.audio_seconds
        source, largest = HubStream(self.job.repository), max((window.size for window in done), default=0)
        wanted = [window for window in done if window.held]
        number, start = len(done), StreamPosition(*done[-1].end) if done else StreamPosition()
        ended = self.position.complete or self.limits.reached(seconds)
        names = Names(name for window in done for name in window.names)
        coming = itertools.chain(source.coming(start)) if not ended else iter(())
        while (wanted or not ended) and not stopped():
            if shutil.disk_usage(self.out).free - largest < self.limits.free_bytes:
                self.stopped = DISK
                return
            if again := wanted.pop(0) if wanted else None:
                before = Names(name for window in done[: again.number] for name in window.names)
                opened = source.coming(StreamPosition(*again.start))
                window = StreamWindow(again.number, again.start, again.start, again.last)
                fetched = FetchedWindow(window, scratch / str(window.number))
                while window.end != tuple(again.end) and not stopped():
                    self._fetch(next(opened), fetched, before)
            else:
                window = StreamWindow(number, start, start)
                fetched = FetchedWindow(window, scratch / str(number))
                while window.seconds < self.job.window_seconds and not stopped():
                    pending = next(coming, None)
                    if pending is None:
                        break
                    self._fetch(pending, fetched, names)
                # A full last window must not be followed by an empty one.
                following = next(coming, None) if not stopped() else None
                ended = window.last = following is None
                coming = itertools.chain(filter(None, [following]), coming)
                number, start, seconds = number + 1, StreamPosition(*window.end), seconds + window.seconds
                ended |= self.limits.reached(seconds)
            window.size = sum(path.stat().st_size for path in fetched.root.rglob("*") if path.is_file())
            largest = max(largest, window.size)
            if not stopped():
                yield fetched

    def _fetch(self, pending: Any, fetched: FetchedWindow, names: Names) -> None:
        """Bring a recording of the source into a window."""
        window, folder = fetched.window, self.out / SCRATCH / str(fetched.window.number)
        recording = pending.bring(folder, names)
        window.end = pending.after
        if isinstance(recording, Reject):
            window.problems.append(recording.as_dict())
            return
        if stem(recording.audio_file) in names:  # false where the source knew all names beforehand
            window.names.append(recording.audio_file)
        fetched.root = Path(str(recording.path)[: -len(recording.audio_file)])
        rows = [*recording_rows(recording, self.job.config)]
        usable = [row for row in rows if not row["problem"]]
        fetched.rows += usable
        window.seconds += float(sum(row["duration"] for row in usable))
        window.problems += [
            Reject(row["conversation_id"], "Folder", row["problem"], row["remedy"]).as_dict()
            for row in rows
            if row["problem"]
        ]
        if not usable:
            recording.path.unlink()  # a thousand of them must not fill the disk

    def _window(self, fetched: FetchedWindow, others: Mapping[str, Sequence[Path]]) -> Generator[Pass]:
        """The passes of a window; what they make is noted in it. `others`: the shards of earlier runs."""
        window, made = fetched.window, list[Path]()
        if fetched.rows:
            step = Pass(self.out / TAGGED, [fetched.rows], self.tagging, others=others[TAGGED])
            yield step
            made += step.paths
            window.tagged = made[0].name
        if made and self.job.speaking:
            script = self._script(fetched, made[0])
            window.unsaid = [reject.as_dict() for reject in script.rejects]
            if script.rows:
                check_script_tags(script, self.speaking)
                step = spoken_pass(self.out, script.groups, self.speaking, script.fields, others[DATASET])
                yield step
                (dataset,) = step.paths
                made.append(dataset)
                window.dataset = dataset.name
                # A deterministic synthesiser would fail in the same way again.
                if paid_voice(self.speaking) and is_held(dataset):
                    window.held = sum(entry.reject is not None for entry in (read_entries(dataset) or {}).values())
        window.size += sum(path.stat().st_size for path in made)

    def _script(self, fetched: FetchedWindow, tagged: Path) -> SynthesisInput:
        """The input that `dailytalk speak` would read from a window's transcript: times are rounded alike."""
        published = published_by(self.tagging)
        path = self.out / SCRATCH / str(fetched.window.number) / work_folder.TRANSCRIPT
        write_lines(path, self._lines([tagged]))
        fields = (*FIELDS, *published)
        script = SynthesisInput([], [], outputs.models_of(self.tagging), self.job.source, fields=published)
        script.groups.append(list(transcribed(path, tagged, fetched.root, script.rejects, fields)))
        return script

    def _lines(self, paths: Sequence[Path]) -> Iterator[str]:
        """The lines of the transcript of tagged shards."""
        published = published_by(self.tagging)
        for path in paths:
            for row in read_rows(path, outputs.transcript_columns(published)).values():
                yield from map(json_text, outputs.lines(row, fields=(*FIELDS, *published)))

    def _paths(self, folder: str) -> list[Path]:
        names = (window.tagged if folder == TAGGED else window.dataset for window in self.position.windows)
        return [self.out / folder / name for name in names if name]

    def write(self, account: Account) -> dict[str, Any] | None:
        """Write the outputs of all finished windows, as other runs do, where the disk has room for them."""
        windows, before = self.position.windows, work_folder.read_run(self.out) or {}
        if self.stopped == DISK:
            return None
        names = (work_folder.TRANSCRIPT, work_folder.SHIFTED) if self.job.speaking else (work_folder.TRANSCRIPT,)
        written = before.get("streaming", {}).get("windows") == len(windows)
        if written and not self.made and all((self.out / name).is_file() for name in names):
            return before
        tagged, spoken = self._paths(TAGGED), self._paths(DATASET)
        need = sum(len(line.encode()) for line in self._lines(tagged)) + outputs.bytes_to_write(self.out, spoken)
        if shutil.disk_usage(self.out).free - need < self.limits.free_bytes:
            self.stopped = DISK
            return None
        about = dict(self.about) | {
            "source": self.job.source,
            "streaming": {"windows": len(windows), "complete": self.position.complete, "stopped": self.stopped},
            "time": account.as_dict(),
            "settings": {"profile": self.job.profile},
        }
        tagged = tagged or Pass(self.out / TAGGED, [], self.tagging).outputs()
        problems = [Reject(**reject) for window in windows for reject in window.problems]
        record = outputs.write_outputs(self.out, tagged, self.tagging, problems, about)
        if self.job.speaking:
            about |= {"transcript_sha256": record["transcript_sha256"], "money": self._money.as_dict()}
            unsaid = [Reject(**reject) for window in windows for reject in window.unsaid]
            outputs.write_spoken(self.out, spoken, self.speaking, unsaid, about, self.job.source)
            record = work_folder.read_run(self.out) or record
        return record
