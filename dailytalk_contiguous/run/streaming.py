"""Datasets larger than the disk, a window at a time: tag it, speak it, keep the results, drop the audio."""

import contextlib
import itertools
import json
import os
import shutil
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from threading import Event
from typing import Any

from dailytalk_contiguous.core.documents import MOST_BYTES, expect, numbered_lines, parse_json, quoted
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.settings import settings_of
from dailytalk_contiguous.core.utterance import FIELDS
from dailytalk_contiguous.run import outputs
from dailytalk_contiguous.run.events import Account
from dailytalk_contiguous.run.run import (
    Pass,
    RunOptions,
    Spec,
    make_writable,
    paid_voice,
    refuse_mixing,
    refuse_unwritable,
)
from dailytalk_contiguous.run.speaking import (
    SynthesisInput,
    check_script_tags,
    opened_budget,
    spoken_pass,
    with_provenance,
)
from dailytalk_contiguous.shards import digest_of, is_held, read_entries, read_rows
from dailytalk_contiguous.sources.folder import FolderConfig, recording_rows
from dailytalk_contiguous.sources.hub_repository import (
    HubStream,
    PendingRecording,
    Repository,
    StreamPosition,
    open_repository,
)
from dailytalk_contiguous.sources.recordings import Names, stem
from dailytalk_contiguous.sources.transcribed import transcribed
from dailytalk_contiguous.stages.base import Stages, published_by
from dailytalk_contiguous.store import work_folder
from dailytalk_contiguous.store.files import inside, json_text, write_lines, write_text
from dailytalk_contiguous.store.work_folder import DATASET, TAGGED

# position.jsonl: how far a stream has come, a line a window, written once the window's shards are on disk.
#
# It is beside the shards and not inside them: a window makes two shards, or none if nothing in it could be used,
# and its position must be known in all these cases. A crash between a shard and its line loses nothing: the window
# is done again from the line before it, finds its finished shards, and adds its line.


POSITION = "position.jsonl"

#: Version of the file's layout.
LAYOUT = 1


@dataclass(frozen=True)
class FinishedWindow:
    """A window that is done.

    Attributes:
        window: its number, from 0. start, end: positions in the source before and after it.
        last: whether the source ended with it.
        names: files of its recordings, from which later names have to differ.
        problems: recordings that the source could not use. unsaid: rejects of reading its transcript.
        tagged, dataset: names of its shards; None if it made none.
        held: how many conversations the next run tries again.
        conversations, audio_seconds: of what went in.
        size: bytes that its recordings and its shards took on the disk, at most.
    """

    window: int
    start: StreamPosition
    end: StreamPosition
    last: bool
    names: list[str] = field(default_factory=list)
    problems: list[Reject] = field(default_factory=list)
    unsaid: list[Reject] = field(default_factory=list)
    tagged: str | None = None
    dataset: str | None = None
    held: int = 0
    conversations: int = 0
    audio_seconds: float = 0.0
    size: int = 0


_REJECT = {"id": str, "stage": str, "reason": str, "remedy": str}
_POSITION = [int]

#: Types of the three kinds of lines: what the stream is made of, that the outputs are written, a window.
_ABOUT, _WRITTEN = {"layout": int, "source": dict, "commit": str}, {"written": int}
_WINDOW = {"window": int, "start": _POSITION, "end": _POSITION, "last": bool, "names": [str]}
_WINDOW |= {"problems": [_REJECT], "unsaid": [_REJECT], "tagged?": str, "dataset?": str, "held": int}
_WINDOW |= {"conversations": int, "audio_seconds": float, "size": int}

_PUT_BACK = "choose another --out, or put the file back as it was"


class Positions:
    """The windows that are done in a work folder, and `about`: what they were made of, None before the first run.

    Raises DailytalkError for a file of another layout, a damaged one, and a link out of the folder.
    """

    def __init__(self, out: Path) -> None:
        self.path = inside(out, POSITION)
        self.about: dict[str, Any] | None = None
        self._windows: dict[int, FinishedWindow] = {}
        self._written = -1
        self._whole = 0
        for number, line in numbered_lines(self.path, _PUT_BACK, MOST_BYTES) if self.path.exists() else ():
            if line.endswith(b"\n"):  # a line that a crash has cut off does not count
                name = f"line {number} of {self.path}"
                self._take(parse_json(line, name, _PUT_BACK), name)
                self._whole += len(line)

    @property
    def windows(self) -> list[FinishedWindow]:
        return [self._windows[number] for number in range(len(self._windows))]

    @property
    def end(self) -> StreamPosition:
        return self._windows[len(self._windows) - 1].end if self._windows else StreamPosition()

    @property
    def complete(self) -> bool:
        return bool(self._windows) and self._windows[len(self._windows) - 1].last

    @property
    def audio_seconds(self) -> float:
        return sum(window.audio_seconds for window in self._windows.values())

    @property
    def written(self) -> bool:
        """Whether the transcript and the other outputs cover all of them."""
        return self._written == len(self._windows)

    def begin(self, about: Mapping[str, Any]) -> None:
        """Write what the stream is made of, before its first window."""
        self.about = json.loads(json.dumps({"layout": LAYOUT, **about}))
        text = json.dumps(self.about) + "\n"
        write_text(self.path, text)
        self._whole = len(text.encode())

    def add(self, finished: FinishedWindow) -> None:
        """Record a window whose shards are on disk; one that was done again replaces its earlier record."""
        self._append(asdict(finished))

    def note_outputs(self) -> None:
        self._append({"written": len(self._windows)})

    def _append(self, record: dict[str, Any]) -> None:
        line = json.dumps(record).encode() + b"\n"
        with self.path.open("r+b") as file:
            file.truncate(self._whole)
            file.seek(self._whole)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._whole += len(line)
        self._take(json.loads(line), "")

    def _take(self, line: Any, name: str) -> None:
        """Read a line; `name` is what errors call it. Raises BadInput for a line of another kind."""
        expect(line, dict, name, _PUT_BACK)
        if "layout" in line:
            if line["layout"] != LAYOUT:
                raise DailytalkError(
                    f"{self.path} is of another version (layout {quoted(line['layout'])}, not {LAYOUT})",
                    "choose another --out, or go on with the version that began it",
                )
            self.about = expect(line, _ABOUT, name, _PUT_BACK)
        elif "written" in line:
            self._written = expect(line, _WRITTEN, name, _PUT_BACK)["written"]
        else:
            window = expect(line, _WINDOW, name, _PUT_BACK)
            whole = all(len(window[edge]) == len(StreamPosition._fields) for edge in ("start", "end"))
            if not whole or not 0 <= window["window"] <= len(self._windows):
                raise BadInput(f"{name}: it is not the window that follows", _PUT_BACK)
            finished = {attribute.name: window.get(attribute.name) for attribute in fields(FinishedWindow)}
            finished |= {edge: StreamPosition._make(window[edge]) for edge in ("start", "end")}
            for kind in ("problems", "unsaid"):
                finished[kind] = [Reject(**{part: reject[part] for part in _REJECT}) for reject in window[kind]]
            self._windows[window["window"]] = FinishedWindow(**finished)
            self._written = -1


# Windows of a stream: recordings fetched to this machine until they have as much audio as a shard should.
#
# The content of a window depends on its start and its length, so that one that is fetched again after a crash is
# the same. The next one is fetched while one is processed, and never a third: a stream takes the room of two
# windows, whatever its length.


@dataclass
class StreamWindow:
    """Conversations on this machine, and the positions in the source before and after them.

    `folder` holds the recordings, and their names are relative to `root` in it. `last`: whether the source ended
    with it. `whole`: whether it has its full length, and was not cut off by a stop.
    """

    number: int
    start: StreamPosition
    end: StreamPosition
    folder: Path
    root: Path
    last: bool = False
    whole: bool = False
    rows: list[Row] = field(default_factory=list)
    problems: list[Reject] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    @property
    def audio_seconds(self) -> float:
        return float(sum(row["duration"] for row in self.rows))

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def drop(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


class Windows:
    """Fetches the windows of a source, one after another. Raises as `HubStream` does.

    Args:
        source: of recordings. scratch: the folder that they are fetched to.
        config: how they become conversations; its inputs are not used.
        seconds: audio after which a window is full.
    """

    def __init__(self, source: HubStream, scratch: Path, config: FolderConfig, seconds: float) -> None:
        self._source, self._scratch, self._config, self._seconds = source, scratch, config, seconds
        self._coming: Iterator[PendingRecording] = iter(())
        self._reached: StreamPosition | None = None
        self._stop = Event()

    def again(self, done: FinishedWindow, before: list[FinishedWindow]) -> StreamWindow:
        """The recordings of a window that was done; `before` are those before it."""
        self._reached = None
        names = Names(name for window in before for name in window.names)
        return self._bring(done.window, done.start, names, done.end)

    def all_from(self, number: int, start: StreamPosition, names: Names) -> Iterator[StreamWindow]:
        """Window `number` and those after it, up to the end of the source or a stop."""
        while True:
            window = self._bring(number, start, names, None)
            yield window
            if window.last or not window.whole:
                return
            number, start = number + 1, window.end

    def stop(self) -> None:
        """Stop after the recording that is being fetched. Can be called from another thread."""
        self._stop.set()

    def _bring(self, number: int, start: StreamPosition, names: Names, end: StreamPosition | None) -> StreamWindow:
        if self._reached != start:  # otherwise, what was read ahead is used
            self._coming = self._source.coming(start)
        folder = self._scratch / f"{number:06d}"
        window = StreamWindow(number, start, start, folder, folder)
        held = 0.0
        while not self._stop.is_set():
            pending = next(self._coming, None)
            if pending is None:
                window.last = window.whole = True
                break
            held += self._take(pending, window, names)
            self._reached = window.end = pending.after
            if pending.after == end or (end is None and held >= self._seconds):
                window.whole = True
                # A full last window must not be followed by an empty one.
                following = next(self._coming, None)
                window.last = following is None
                if following is not None:
                    self._coming = itertools.chain([following], self._coming)
                break
        return window

    def _take(self, coming: PendingRecording, window: StreamWindow, names: Names) -> float:
        """Fetch a recording into a window; returns the seconds of its conversations."""
        recording = coming.bring(window.folder, names)
        if isinstance(recording, Reject):
            window.problems.append(recording)
            return 0.0
        if stem(recording.audio_file) in names:  # false where the source knew all names beforehand
            window.names.append(recording.audio_file)
        window.root = Path(str(recording.path)[: -len(recording.audio_file)])
        rows = [*recording_rows(recording, self._config)]
        usable = [row for row in rows if not row["problem"]]
        window.rows += usable
        window.problems += [
            Reject(row["conversation_id"], "Folder", row["problem"], row["remedy"])
            for row in rows
            if row["problem"]
        ]
        if not usable:
            recording.path.unlink()  # a thousand of them must not fill the disk
        return float(sum(row["duration"] for row in usable))


def windows_ahead(
    windows: Iterator[StreamWindow], stop: Callable[[], None], may_begin: Callable[[], bool]
) -> Generator[StreamWindow]:
    """Yield windows while a thread fetches the next one; each is dropped once the next is asked for.

    Args:
        windows: where they come from. stop: makes them end soon.
        may_begin: called before the first is fetched, and before each is yielded; False ends everything.
    """
    window: StreamWindow | None = None
    with ThreadPoolExecutor(1, "stream") as pool:
        if not may_begin():
            return
        coming = pool.submit(next, windows, None)
        try:
            while (window := coming.result()) is not None and window.whole and may_begin():
                coming = pool.submit(next, windows, None)
                yield window
                window.drop()
        finally:
            stop()
            for unused in (window, coming.result() if not coming.cancel() and not coming.exception() else None):
                if unused is not None:
                    unused.drop()


# The source and the settings of a stream, and whether a work folder holds the beginning of the same stream.
#
# A stream drops what it has used, so it can't go back and make its first windows again as other runs would: it
# goes on with what it began with, and anything else is refused.


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
            "config": {"max_conversation": self.config.max_conversation, "transcripts": self.config.transcripts},
        }
        return made_of | {"chains": [digest_of(stages) for stages in self.stages() if stages]}

    def agree(self, begun: Mapping[str, Any], out: Path) -> None:
        """Raise DailytalkError if the stream in `out`, with `about` as in `begun`, would go on differently."""
        ours = json.loads(json.dumps(self.about()))
        if all(begun[part] == ours[part] for part in ("chains", "config")):
            return
        differences = [
            f"{name}: {begun[part].get(name)!r} there, {value!r} now"
            for part in ("tag", "speak", "config")
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
    about = Positions(out).about
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


# Streaming: a dataset on the Hub that is larger than the disk, a window of conversations at a time.
#
# A window is fetched, goes through the same stages as in other runs, becomes one shard of `tagged` and one of
# `dataset`, and is dropped. `position.jsonl` records what was done, so that a run that was stopped in any way goes
# on after the last finished window, at the commit that it began with. The bytes of the outputs are counted before
# any are written: the sound files of an hour are at least twice as large as the shards that they are made from.


#: Folder of the recordings in use, inside a work folder; hidden, and removed after each run.
SCRATCH = ".stream"

#: Why a run ended before its source did.
HOURS, DISK, UNSAID = "--limit-hours", "--limit-disk", "unsaid"

#: The number of windows in a row of which nothing could be said, after which the server counts as gone: the rest
#: of a corpus would be fetched for nothing.
FRUITLESS = 5


class StreamSpec(Spec):
    """A dataset on the Hub, up to some limits; its passes are those of its windows.

    If it stops because of DISK, no outputs are written: they need room too, and are begun only if there is enough
    for all of them.

    Args:
        job: the source and the settings. out: the work folder. limits: where to stop.
        about: goes into run.json as it is.

    Attributes:
        positions: the windows that are done. made: seconds of audio of those that this run has made.
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
        self.positions = Positions(out)
        self.rejects = []
        self.stopped = ""
        self.made: list[float] = []

    @property
    def held(self) -> int:
        return sum(window.held for window in self.positions.windows)

    def left(self) -> Stages:
        """The stages that a run would run; none if no window is left. Writes and downloads nothing.

        Raises DailytalkError for settings that are not those that `out` was begun with.
        """
        if self.positions.about is not None:
            self.job.agree(self.positions.about, self.out)
        # A window is left if conversations of one were held back, or if there is a new one within the limits.
        ended = self.positions.complete or self.limits.reached(self.positions.audio_seconds)
        return () if ended and not self.held else self.stages

    def passes(self, options: RunOptions) -> Generator[Pass]:
        make_writable(self.out / TAGGED)
        if self.positions.about is None:
            self.positions.begin(self.job.about())
        if not self.left():
            self.stopped = "" if self.positions.complete else HOURS
            return
        scratch, fruitless = self.out / SCRATCH, 0
        others = {folder: self._paths(folder) for folder in (TAGGED, DATASET)}
        shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
        try:
            options.runner.preflight(self.stages)
            source = HubStream(self.job.repository)
            windows = Windows(source, scratch, self.job.config, self.job.window_seconds)
            ahead = windows_ahead(
                self._wanted(windows),
                windows.stop,
                lambda: self._has_room(max((window.size for window in self.positions.windows), default=0)),
            )
            with contextlib.closing(ahead) as coming:
                for window in coming:
                    finished = yield from self._window(window, others)
                    self.positions.add(finished)
                    self.made.append(window.audio_seconds)
                    fruitless = fruitless + 1 if finished.held == len(window.rows) > 0 else 0
                    if fruitless == FRUITLESS:
                        self.stopped = UNSAID
                        return
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        if not self.stopped and not self.positions.complete:
            self.stopped = HOURS

    def _wanted(self, windows: Windows) -> Iterator[StreamWindow]:
        """Windows with conversations that were held back, then new ones. Runs in the thread that fetches."""
        done = self.positions.windows
        for finished in done:
            if finished.held:
                yield windows.again(finished, done[: finished.window])
        seconds = self.positions.audio_seconds
        if self.positions.complete or self.limits.reached(seconds):
            return
        names = Names(name for finished in done for name in finished.names)
        for window in windows.all_from(len(done), self.positions.end, names):
            yield window
            seconds += window.audio_seconds
            if self.limits.reached(seconds):
                return

    def _has_room(self, need: int) -> bool:
        """Whether the disk has room for so many bytes above its limit; if not, the run is stopped."""
        if shutil.disk_usage(self.out).free - need >= self.limits.free_bytes:
            return True
        self.stopped = DISK
        return False

    def _window(
        self, window: StreamWindow, others: Mapping[str, Sequence[Path]]
    ) -> Generator[Pass, None, FinishedWindow]:
        """The passes of a window; returns what is recorded of it. `others`: the shards of earlier runs."""
        tagged = dataset = None
        unsaid: list[Reject] = []
        held = 0
        if window.rows:
            step = Pass(self.out / TAGGED, [window.rows], self.tagging, others=others[TAGGED])
            yield step
            (tagged,) = step.paths
        if tagged and self.job.speaking:
            script = self._script(window, tagged)
            unsaid = script.rejects
            if script.rows:
                check_script_tags(script, self.speaking)
                step = spoken_pass(self.out, script.groups, self.speaking, script.fields, others[DATASET])
                yield step
                (dataset,) = step.paths
                # A deterministic synthesiser would fail in the same way again.
                if paid_voice(self.speaking) and is_held(dataset):
                    held = sum(entry.reject is not None for entry in (read_entries(dataset) or {}).values())
        before = self.positions.windows[window.number : window.number + 1]
        return FinishedWindow(
            window.number,
            window.start,
            window.end,
            window.last or any(earlier.last for earlier in before),
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

    def _script(self, window: StreamWindow, tagged: Path) -> SynthesisInput:
        """The input that `dailytalk speak` would read from a window's transcript: times are rounded alike."""
        published = published_by(self.tagging)
        path = window.folder / work_folder.TRANSCRIPT
        write_lines(path, self._lines([tagged]))
        fields = (*FIELDS, *published)
        script = SynthesisInput([], [], outputs.models_of(self.tagging), self.job.source, fields=published)
        script.groups.append(list(transcribed(path, tagged, window.root, script.rejects, fields)))
        return script

    def _lines(self, paths: Sequence[Path]) -> Iterator[str]:
        """The lines of the transcript of tagged shards."""
        published = published_by(self.tagging)
        for path in paths:
            for row in read_rows(path, outputs.transcript_columns(published)).values():
                yield from map(json_text, outputs.lines(row, fields=(*FIELDS, *published)))

    def _paths(self, folder: str) -> list[Path]:
        names = (window.tagged if folder == TAGGED else window.dataset for window in self.positions.windows)
        return [self.out / folder / name for name in names if name]

    def write(self, account: Account) -> dict[str, Any] | None:
        """Write the outputs of all finished windows, as other runs do, where the disk has room for them."""
        positions, before = self.positions, work_folder.read_run(self.out)
        if self.stopped == DISK:
            return None
        names = (work_folder.TRANSCRIPT, work_folder.SHIFTED) if self.job.speaking else (work_folder.TRANSCRIPT,)
        exist = positions.written and all((self.out / name).is_file() for name in names)
        if exist and before and not self.made:
            return before
        tagged, spoken = self._paths(TAGGED), self._paths(DATASET)
        need = sum(len(line.encode()) for line in self._lines(tagged))
        if not self._has_room(need + outputs.bytes_to_write(self.out, spoken)):
            return None
        done = positions.windows
        about = dict(self.about) | {
            "source": self.job.source,
            "streaming": {"windows": len(done), "complete": positions.complete, "stopped": self.stopped},
            "time": account.as_dict(),
            "settings": {"profile": self.job.profile},
        }
        tagged = tagged or Pass(self.out / TAGGED, [], self.tagging).outputs()
        problems = [problem for window in done for problem in window.problems]
        record = outputs.write_outputs(self.out, tagged, self.tagging, problems, about)
        if self.job.speaking:
            about |= {"transcript_sha256": record["transcript_sha256"], "money": self._money.as_dict()}
            unsaid = [reject for window in done for reject in window.unsaid]
            outputs.write_spoken(self.out, spoken, self.speaking, unsaid, about, self.job.source)
            record = work_folder.read_run(self.out) or record
        positions.note_outputs()
        return record
