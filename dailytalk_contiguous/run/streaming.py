"""Datasets larger than the disk, a window at a time: tag it, speak it, keep the results, drop the audio.

A window is recordings that have as much audio as a shard should. It goes through the same passes as in other
runs, and makes one shard of `tagged` and one of `dataset`. `position.jsonl` has a line a window with the state of
the source after it, written once its shards are on disk: a run goes on after the last line, at the commit that it
began with. A crash before a line loses nothing: the window has the same recordings again, and so the same shards.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from dailytalk_contiguous.core.documents import JsonObject, as_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.records.rows import from_row, to_row
from dailytalk_contiguous.core.records.utterance import FIELDS
from dailytalk_contiguous.machine.read_documents import json_lines
from dailytalk_contiguous.run import outputs
from dailytalk_contiguous.run.progress import TimeSpent
from dailytalk_contiguous.run.run import Pass, RunOptions, Spec, preflight, refuse_mixing
from dailytalk_contiguous.run.speaking import (
    SynthesisInput,
    check_script_tags,
    opened_budget,
    spoken_pass,
    with_provenance,
)
from dailytalk_contiguous.shards import MOST_SECONDS, PendingConversation, drop_stale, read_rows
from dailytalk_contiguous.sources.folder import FolderConfig, recording_rows
from dailytalk_contiguous.sources.hub.recording_rows import StreamPosition
from dailytalk_contiguous.sources.hub.recording_stream import PendingRecording, coming_recordings
from dailytalk_contiguous.sources.hub.repository import Repository, keep_base
from dailytalk_contiguous.sources.inputs import Inputs
from dailytalk_contiguous.sources.recordings.recording_files import Names, stem
from dailytalk_contiguous.sources.transcripts.caller_names import CallerNames
from dailytalk_contiguous.stages.base import Stages, published_by, stages_digest
from dailytalk_contiguous.stages.script import Script, script_row
from dailytalk_contiguous.store.files import open_own
from dailytalk_contiguous.store.full_disk import name_file
from dailytalk_contiguous.store.work_folder import DATASET, SPOKEN_STAGES, TAGGED, run_json

#: The file of the windows that are done, after a line on what they are made of.
POSITION = "position.jsonl"

#: Folder of the recordings in use, inside a work folder; hidden, and removed after each run.
SCRATCH = ".stream"


@dataclass
class StreamWindow:
    """A window, as `position.jsonl` has it once it is done.

    Attributes:
        commit: the commit of the source.
        digest: a digest of everything else that the results depend on.
        end: state of the source after it.
        last: whether the source ended with it.
        names: files of its recordings, from which later names have to differ.
        rejects: recordings that the source could not use, and conversations of which there is nothing to say.
        shards: names of its shards by their folder.
        seconds: seconds of audio.
        callers: how many names `CallerNames` has given up to its end; a run that goes on gives others.
    """

    commit: str
    digest: str
    end: Sequence[int]
    last: bool = False
    names: list[str] = field(default_factory=list)
    rejects: list[dict[str, str]] = field(default_factory=list)
    shards: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    callers: int = 0


def append(path: Path, line: Mapping[str, object]) -> None:
    """Add a line, which is on the disk when this returns. Raises BadInput for a symbolic link, and OSError."""
    text = json.dumps(line, allow_nan=False).encode() + b"\n"
    try:
        with open_own(path, "ab+") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
            if file.read() not in (b"", b"\n"):  # what a crash cut off stays a line of its own
                text = b"\n" + text
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        name_file(error, path)
        raise


def read_position(out: Path) -> list[StreamWindow]:
    """Return the windows of the stream in a work folder that are done.

    Raises DailytalkError for a damaged file.
    """
    path = out / POSITION
    if not path.exists():
        return []
    # What is no JSON was cut off by a crash.
    lines = [line for _, line in json_lines(path) if not isinstance(line, BadInput)]
    try:
        return [StreamWindow(**line) for line in lines]
    except TypeError:
        raise DailytalkError(
            f"{as_text(path)!r} is damaged, or of another version", "choose another --out"
        ) from None


@dataclass(frozen=True)
class StreamSource:
    """The source of a stream.

    Attributes:
        repository: the dataset, at its commit.
        config: the settings by which recordings become conversations; its inputs are not used.
        licence: the licence of the recordings, if no card names it.
        window_seconds: seconds of audio of a window, and so of a shard.
        limit_hours: hours of audio in all windows that are done, after which a run stops; None for no limit.
    """

    repository: Repository
    config: FolderConfig
    licence: str = ""
    window_seconds: float = MOST_SECONDS
    limit_hours: float | None = None

    @property
    def limit_seconds(self) -> float:
        return float("inf") if self.limit_hours is None else 3600 * self.limit_hours

    def about(self) -> JsonObject:
        """Return the dataset, its commit and its licence, for run.json."""
        about = self.repository.about()
        if self.licence:
            about["licence"] = self.licence
        return about

    def settings(self) -> tuple[object, ...]:
        """Return all that the results depend on except the stages and the commit."""
        config = self.config
        choice = asdict(self.repository.choice)
        return (
            self.repository.reference.repo,
            config.max_conversation,
            config.transcripts,
            [*config.tier],
            config.anonymous,
            choice,
        )


class StreamSpec(Spec):
    """A dataset on the Hub, up to some hours of it; its passes are those of its windows.

    The disk holds one window at a time.

    Args:
        source: the dataset, and how much of it is read.
        out: the work folder.
        tagging: the stages of `tag`.
        speaking: the stages of `speak`; without them, conversations are only tagged.
        about: goes into run.json as it is.

    Attributes:
        windows: the windows that are done.
        left_out: unused files beside the recordings of this run.

    A run raises DailytalkError for settings that are not those that `out` was begun with, for a window of which
    nothing could be said (its server may answer by the next run), and whatever a stage or the source raises;
    finished windows stay.
    """

    def __init__(
        self,
        source: StreamSource,
        out: Path,
        tagging: Stages,
        speaking: Stages,
        about: Mapping[str, object] = {},
    ) -> None:
        self._money = opened_budget(speaking)
        self.budget = self._money if speaking else None
        self.kind = "build" if speaking else "tag"
        self.source = source
        self.out = out
        self.about = {**about, "source": source.about()}
        self.fields = published_by(tagging)
        self.tagging = tagging
        self.speaking = speaking
        if speaking:
            self.speaking = with_provenance(speaking, outputs.models_of(tagging), self.fields)
        self.stages = (*self.tagging, *self.speaking)
        digests = [stages_digest(stages) for stages in (tagging, self.speaking)]
        parts = json.dumps([*source.settings(), *digests])
        self._digest = hashlib.sha256(parts.encode()).hexdigest()[:20]
        self.windows = read_position(out)
        n_callers = self.windows[-1].callers if self.windows else 0
        self._callers = CallerNames(source.config.anonymous, n_callers)
        self.rejects = []
        self.left_out = Inputs(repository=source.repository).left_out()
        self._unsaid: DailytalkError | None = None

    @property
    def is_complete(self) -> bool:
        return any(window.last for window in self.windows)

    @property
    def audio_seconds(self) -> float:
        return sum(window.seconds for window in self.windows)

    @property
    def left(self) -> Stages:
        """The stages that a run would run; none if no window is left."""
        is_done = self.is_complete or self.audio_seconds >= self.source.limit_seconds
        return () if is_done else self.stages

    def check(self, options: RunOptions) -> None:
        """Raise DailytalkError for results of anything else in `out`.

        A stream drops what it has used, so it can't make its first windows again as other runs would.
        """
        refuse_mixing(self.out)
        first = self.windows[0] if self.windows else None
        begun = ""
        if first and (first.commit, first.digest) != (self.source.repository.commit, self._digest):
            begun = f"at commit {first.commit}"
        elif (self.out / TAGGED).exists() and not (self.out / POSITION).exists():
            begun = "without --streaming"
        if begun:
            raise DailytalkError(
                f"--out {str(self.out)!r} holds a stream with other settings, another source or version: {begun}",
                "choose another --out, or go on with those that it began with (OWNER/NAME@COMMIT)",
            )

    def passes(self, options: RunOptions) -> Generator[Pass]:
        scratch = self.out / SCRATCH
        self.out.mkdir(parents=True, exist_ok=True)
        open_own(self.out / POSITION, "ab").close()  # before its first shard, which a crash may leave alone
        preflight(self.left, options)
        names = Names(name for window in self.windows for name in window.names)
        start = StreamPosition(*self.windows[-1].end) if self.windows else StreamPosition()
        recordings: Iterator[PendingRecording] = iter(())
        if self.left:
            recordings = coming_recordings(self.source.repository, start)
        pending = next(recordings, None)
        while self.left and not self._unsaid:
            shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
            window = StreamWindow(self.source.repository.commit, self._digest, start)
            conversations = list[PendingConversation]()
            try:
                while window.seconds < self.source.window_seconds and pending:
                    conversations += self._fetched(pending, scratch, window, names)
                    pending = next(recordings, None)  # a full last window is not followed by an empty one
                start = StreamPosition(*window.end)
                window.last = pending is None
                yield from self._window(window, conversations)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)

    def _fetched(
        self, pending: PendingRecording, scratch: Path, window: StreamWindow, names: Names
    ) -> Iterator[PendingConversation]:
        """Bring a recording of the source into a window: its conversations."""
        recording = pending.bring(scratch, names)
        window.end = pending.after
        if isinstance(recording, Reject):
            window.rejects.append(recording.as_dict())
            return
        if stem(recording.audio_file) in names:  # false where the source knew all names beforehand
            window.names.append(recording.audio_file)
        before = window.seconds
        rows = recording_rows(recording, self.source.config, self.left_out)
        for row in map(self._callers.replaced, rows):
            if row["problem"]:
                reject = Reject(row["conversation_id"], "Folder", row["problem"], row["remedy"])
                window.rejects.append(reject.as_dict())
            else:
                conversation = PendingConversation.of_row(row)
                window.seconds += conversation.duration
                yield conversation
        if window.seconds == before:
            recording.path.unlink()  # a thousand of them must not fill the disk

    def _window(self, window: StreamWindow, conversations: list[PendingConversation]) -> Generator[Pass]:
        """Yield the passes of a window, and its line."""
        script = list[PendingConversation]()
        if conversations:
            step = Pass(self.out / TAGGED, [conversations], self.tagging, is_window=True)
            yield step
            window.shards[TAGGED] = step.paths[0].name
            if self.speaking:
                script += self._script(step.paths[0], window)
        if script:
            check_script_tags(SynthesisInput([script], []), self.speaking)
            step = replace(spoken_pass(self.out, [script], self.speaking, self.fields), is_window=True)
            yield step
            window.shards[DATASET] = step.paths[0].name
            may_pass_again = step.paths != step.shard_paths
            if may_pass_again and len(step.rejects) == len(script):
                self._unsaid = DailytalkError(
                    f"nothing could be spoken of a window ({step.rejects[0].reason})",
                    "run the same command again once the synthesiser answers",
                )
                return
        window.callers = self._callers.count
        append(self.out / POSITION, asdict(window))
        self.windows.append(window)

    def _script(self, shard: Path, window: StreamWindow) -> Iterator[PendingConversation]:
        """Yield the conversations that `dailytalk speak` would read from a window's unedited transcript."""
        stage = Script(self.fields)
        kept = script_row((*FIELDS, *self.fields))
        for name, row in read_rows(shard, (*kept, *stage.needs, *stage.uses)).items():
            try:
                talk = stage.of_talk(from_row(row))
            except BadInput as error:
                window.rejects.append(Reject(name, stage.name, error.reason, error.remedy).as_dict())
                continue
            kept_row = {column: row[column] for column in kept if column in row}
            yield PendingConversation.of_row(kept_row | to_row(talk, stage.adds))

    def _paths(self, folder: str) -> list[Path]:
        return [self.out / folder / window.shards[folder] for window in self.windows if folder in window.shards]

    def drop_stale(self, steps: Sequence[Pass]) -> None:
        """Remove the shards of no window, such as those of a window that was stopped and is another one now."""
        drop_stale(self.out / TAGGED, self._paths(TAGGED))
        if self.speaking:
            drop_stale(self.out / DATASET, self._paths(DATASET))

    def write(self, time_spent: TimeSpent) -> JsonObject:
        """Write the outputs of all finished windows, as other runs do."""
        about = dict(self.about)
        about["streaming"] = {"windows": len(self.windows), "complete": self.is_complete}
        about["time"] = time_spent
        rejects = [Reject(**reject) for window in self.windows for reject in window.rejects]
        tagged = outputs.FinishedHalf(
            out=self.out,
            paths=self._paths(TAGGED),
            stages=self.tagging,
            rejects=[reject for reject in rejects if reject.stage not in SPOKEN_STAGES],
            about=about,
            fields=self.fields,
        )
        keep_base(self.source.repository, self.out)
        record = outputs.write_results(tagged)
        if self.speaking:
            money = self._money.as_dict()
            spoken = outputs.FinishedHalf(
                out=self.out,
                paths=self._paths(DATASET),
                stages=self.speaking,
                rejects=[reject for reject in rejects if reject.stage in SPOKEN_STAGES],
                about={**about, "transcript_sha256": record["transcript_sha256"], "money": money},
                fields=self.fields,
                spoken=True,
            )
            outputs.write_results(spoken)
            record = run_json(self.out) or record
        if self._unsaid:
            raise self._unsaid
        return record
