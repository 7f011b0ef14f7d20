"""How much work `build`, `tag` and `speak` keep: after a stop, after an edit, and after a recording was added.

Only the command line is called, with the profile `embedded`, and only what a user can read is read: shards,
events.jsonl and transcript.jsonl. Five parts, each with its goal:

`stops`: Ctrl-C and kills (SIGINT and SIGKILL in turn, to the whole process group) at random moments of `build`
over telephone calls and the recording of `dailytalk demo`. A build is stopped four times, once in each quarter
of its length after the first event, and resumed to its end. Goal: at most one conversation lost a stop. The
count is one of work, not of conversations begun. What a stop loses is the processor time since a conversation
was last added to a shard, less that of starting and loading models if the run has added none in that half of
the build. Conversations not yet kept are counted, in the order of an undisturbed build, until what they took
there covers the loss, so any part of the next conversation is one. A quarter more processor time is allowed,
as it varies by that on shared cores. The time of a shard with several conversations is divided by their length.

`processor`: processor time of the builds of `stops`, all pieces together, relative to the undisturbed one.
Goal: at most 1.3 times, by the median.

`edit`: a folder of 200 conversations with transcripts, one of them 75 s, the others 8 s, is built. A line of
the long one is edited, and `speak` runs again; then another edit, and `build`. Conversations that were made
again are counted by the seconds of audio that went through a stage. Goals: one; at most 5 s by the clock,
program start included.

`added`: a short recording is added to these, and `tag` and `speak` run again. Goal: each makes one
conversation.

`small`: processor time of `tag` over seven minutes of calls with shards of the default size and of ten minutes, in
turn. Goal: at most 3 % more by default, by the median of the pairs.

    python benchmarks/kept.py [--parts stops,edit,…] [--stops 20] [--pairs 3] [--seed 0]

All parts take about half an hour on two idle cores, as estimated from their processor time on busy ones. Wall
time means something on an idle machine alone, so the load is printed beside it. Linux only: processor time is
read from /proc.
"""

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import measuring
import numpy as np
import soundfile
from audio_files import EXAMPLES, example, room_tone
from short_talks import RATE, short_talks

from dailytalk_contiguous.shards import entries_in

#: The folders whose shards keep the work of each half of `build` that takes long.
FOLDERS = {"tag": ("rated", "tagged"), "speak": ("dataset",)}

TAG_OPTIONS = ("--profile", "embedded", "--language", "en", "--device", "cpu")

#: The recording that `dailytalk demo` builds.
DEMO = measuring.ROOT / "dailytalk_contiguous/cli/assets/bicycle_repair.flac"

#: Calls and talks with a speaker on each channel, in spokenwoz/ and talk/.
DATA = measuring.ROOT.parent / "shared/data"

STOPS_A_BUILD = 4

#: Seconds between two looks at the shards of a run.
LOOK_SECONDS = 0.05

#: Seconds after which a run is taken to hang.
PATIENCE = 1800.0

#: By how much the processor time of the same work varies on shared cores.
SLACK = 1.25

#: Seconds of the short conversations and of the long one of `edit`. The remainder says whether the long one is
#: among conversations of which only the length of all together is known.
SHORT = 8
LONG = 75
LONG_NAME = "weekend_trip"

MOST_LOST = 1
MOST_PROCESSOR = 1.3
MOST_EDIT_SECONDS = 5.0
MOST_MORE = 0.03


class Program:
    """A command of `dailytalk` in a process group of its own, all of which ends with the block.

    Args:
        log: the file that gets what it prints to stderr. arguments: of the command.

    Attributes:
        code: its exit code; None while it runs.
        wall: seconds by the clock, from its start to its end.
        printed: what it printed to stdout.
    """

    def __init__(self, log: Path, *arguments: object) -> None:
        self.arguments = [str(argument) for argument in arguments]
        self.code: int | None = None
        self.wall = 0.0
        self.printed = ""
        self._log = log
        self._processor = 0.0

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "dailytalk_contiguous", *self.arguments]
        self._out = tempfile.TemporaryFile("w+", encoding="utf-8")
        self._started = time.monotonic()
        with self._log.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(command, stdout=self._out, stderr=log, start_new_session=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.strike(signal.SIGKILL)
        while not self.has_ended():
            time.sleep(LOOK_SECONDS)
        self._out.seek(0)
        self.printed = self._out.read()
        self._out.close()

    @property
    def processor(self) -> float:
        """Seconds of processor time so far."""
        if self.code is None:
            text = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8")
            _, _, after_name = text.rpartition(")")
            ticks = [int(count) for count in after_name.split()[11:15]]  # its own and its children's
            return sum(ticks) / os.sysconf("SC_CLK_TCK")
        return self._processor

    def has_ended(self) -> bool:
        """Whether it has ended, which is noticed here; ends the benchmark for a run that hangs."""
        if self.code is not None:
            return True
        pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
        wall = time.monotonic() - self._started
        if pid:
            self.code = os.waitstatus_to_exitcode(status)
            self._process.returncode = self.code
            self.wall = wall
            self._processor = usage.ru_utime + usage.ru_stime
        elif wall > PATIENCE:
            raise SystemExit(f"{' '.join(self.arguments)} took over {PATIENCE:g} s")
        return bool(pid)

    def strike(self, number: signal.Signals) -> None:
        """Send a signal to its whole group, what is left of it."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def refuse_failure(self) -> None:
        """End the benchmark unless all, or all except rejects, went well."""
        if self.code not in (0, 3):
            complaints = self._log.read_text(encoding="utf-8")
            raise SystemExit(f"{' '.join(self.arguments)} ended with {self.code}:\n{complaints[-2000:]}")


def run(log: Path, *arguments: object) -> Program:
    """Run a command to its end; returns what it took. Ends the benchmark if it fails."""
    with Program(log, *arguments) as program:
        while not program.has_ended():
            time.sleep(LOOK_SECONDS / 5)
    program.refuse_failure()
    return program


# What a work folder keeps.


def kept_in(work: Path) -> dict[str, dict[str, float]]:
    """The conversations that the shards of each half of `build` keep, with their seconds of audio."""
    kept: dict[str, dict[str, float]] = {}
    for half, folders in FOLDERS.items():
        kept[half] = {}
        for folder in folders:
            entries = entries_in(work / folder)
            kept[half] |= {name: entry.duration for name, (_, entry) in entries.items()}
    return kept


def shard_stamps(work: Path) -> set[tuple[str, int, int]]:
    """The shards of a work folder, with what changes when one is written again."""
    stamps = set()
    for path in work.glob("*/shard-*.parquet"):
        with suppress(FileNotFoundError):  # a run has removed it meanwhile
            status = path.stat()
            stamps.add((str(path), status.st_ino, status.st_mtime_ns))
    return stamps


def journal_runs(work: Path) -> dict[str, dict[str, Any]]:
    """The last line of each run in events.jsonl, by the run's id."""
    runs = {}
    for text in (work / "events.jsonl").read_text(encoding="utf-8").splitlines():
        with suppress(json.JSONDecodeError):  # a kill has cut it off
            line = json.loads(text)
            runs[line["run"]] = line
    return runs


# Stops.


@dataclass(frozen=True)
class Keep:
    """Conversations that a run had added to its shards when it was looked at.

    Attributes:
        processor: seconds of processor time that the run had taken by then.
        added: by the half of `build`, their seconds of audio by id.
    """

    processor: float
    added: Mapping[str, Mapping[str, float]]


@dataclass
class Piece:
    """A run of `build`, up to a stop or to its end.

    Attributes:
        code: its exit code.
        processor: seconds of processor time.
        begun: seconds from its start until its first event.
        wall: seconds from its start to its end.
        seconds_to_end: from the signal to its end.
        keeps: what it added to the shards, in order.
    """

    code: int = 0
    processor: float = 0.0
    begun: float = 0.0
    wall: float = 0.0
    seconds_to_end: float = 0.0
    keeps: list[Keep] = field(default_factory=list)


@dataclass(frozen=True)
class Stop:
    """A signal, and how many seconds after the first event of a run it is sent."""

    seconds: float
    number: signal.Signals


@dataclass(frozen=True)
class Costs:
    """What an undisturbed build takes.

    Attributes:
        piece: the build.
        conversations: by the half, seconds of processor time of each conversation, in the order in which they are
            kept, without the loading of models.
        loading: by the half, seconds of processor time until the first conversation begins.
    """

    piece: Piece
    conversations: Mapping[str, Mapping[str, float]]
    loading: Mapping[str, float]


@dataclass(frozen=True)
class Loss:
    """The work that a stop has lost: processor seconds, and the conversations of which it was."""

    processor: float
    conversations: int
    signal: signal.Signals
    seconds_to_end: float


@dataclass
class StoppedBuild:
    """A build that was stopped and resumed to its end.

    `forgotten`: conversations that were in a shard before a stop, and in none after it.
    """

    losses: list[Loss] = field(default_factory=list)
    processor: float = 0.0
    forgotten: int = 0


class Watch:
    """Looks at a run of `build` and its shards until it ends, and stops it; made before the run begins."""

    def __init__(self, program: Program, work: Path, stop: Stop | None) -> None:
        self.piece = Piece()
        self._program = program
        self._work = work
        self._stop = stop
        self._journal = work / "events.jsonl"
        self._journal_size = self._size_of_journal()
        self._stamps = shard_stamps(work)
        self._kept = kept_in(work)

    def until_end(self) -> Piece:
        program = self._program
        piece = self.piece
        started = time.monotonic()
        stopped_at = 0.0
        while not program.has_ended():
            now = time.monotonic()
            self._look()
            if not piece.begun and self._size_of_journal() > self._journal_size:
                piece.begun = now - started
            is_due = self._stop is not None and piece.begun and now - started >= piece.begun + self._stop.seconds
            if self._stop is not None and is_due and not stopped_at:
                program.strike(self._stop.number)
                stopped_at = now
            time.sleep(LOOK_SECONDS)
        self._look()
        piece.processor = program.processor
        piece.wall = program.wall
        piece.code = program.code or 0
        if stopped_at:
            piece.seconds_to_end = started + piece.wall - stopped_at
        return piece

    def _look(self) -> None:
        """Note the conversations that are new in the shards."""
        stamps = shard_stamps(self._work)
        if stamps == self._stamps:
            return
        processor = self._program.processor
        try:
            kept = kept_in(self._work)
        except OSError:  # a shard was removed meanwhile: the next look sees what is left
            return
        added = {}
        for half, durations in kept.items():
            known = self._kept[half]
            added[half] = {name: seconds for name, seconds in durations.items() if name not in known}
        if any(added.values()):
            self.piece.keeps.append(Keep(processor, added))
        self._stamps = stamps
        self._kept = kept

    def _size_of_journal(self) -> int:
        return self._journal.stat().st_size if self._journal.exists() else 0


class Builds:
    """Builds of the same calls, undisturbed and stopped, for `stops` and `processor`.

    Args:
        folder: empty. data: the folder of spokenwoz/ and talk/. n_stops: of all builds together.
        seed: of the moments.
    """

    def __init__(self, folder: Path, data: Path, n_stops: int, seed: int) -> None:
        folder.mkdir()
        self._folder = folder
        self._n_stops = n_stops
        self._drawn = random.Random(seed)
        self._calls = folder / "all-calls"
        recordings = [*_calls_of(data), DEMO]
        _copy(recordings, self._calls)
        self._names = {path.stem for path in recordings}

    @cached_property
    def undisturbed(self) -> Costs:
        """What a build takes that nobody stops."""
        loading = self._loading()
        piece = self._piece("undisturbed", None)
        if piece.code not in (0, 3):
            raise SystemExit(f"the undisturbed build ended with {piece.code}")
        conversations: dict[str, dict[str, float]] = {half: {} for half in FOLDERS}
        before = 0.0
        for keep in piece.keeps:
            for half, durations in keep.added.items():
                seconds = keep.processor - before
                if not conversations[half]:
                    seconds = max(0.0, seconds - loading[half])
                audio = sum(durations.values())
                for name, duration in durations.items():
                    conversations[half][name] = seconds * duration / audio
            before = keep.processor
        return Costs(piece, conversations, loading)

    @cached_property
    def stopped(self) -> list[StoppedBuild]:
        """Builds with as many stops as are wanted."""
        builds: list[StoppedBuild] = []
        n_left = self._n_stops
        while n_left:
            build = self._stopped_build(f"stopped{len(builds)}", min(STOPS_A_BUILD, n_left))
            builds.append(build)
            n_left -= len(build.losses)
        return builds

    def _loading(self) -> dict[str, float]:
        """Processor seconds of each half for a conversation of a few seconds: those of starting and loading."""
        calls = self._folder / "loading"
        work = self._folder / "loaded"
        (talk,) = short_talks(calls, 1, 1)
        talk.with_suffix(".json").unlink()  # so that the recogniser is loaded, too
        tag = run(self._folder / "log", "tag", calls, "--out", work, *TAG_OPTIONS)
        speak = run(self._folder / "log", "speak", work, "--cache", self._folder / "loaded.cache")
        return {"tag": tag.processor, "speak": speak.processor}

    def _piece(self, name: str, stop: Stop | None) -> Piece:
        """Begin a build, or go on with it, until it is stopped or ends."""
        work = self._folder / name
        arguments = ("build", self._calls, "--out", work, "--cache", f"{work}.cache", *TAG_OPTIONS)
        program = Program(self._folder / f"{name}.log", *arguments)
        watch = Watch(program, work, stop)
        with program:
            return watch.until_end()

    def _stopped_build(self, name: str, n_stops: int) -> StoppedBuild:
        build = StoppedBuild()
        work = self._folder / name
        moment = 0.0
        for next_moment in self._moments(n_stops):
            number = signal.SIGKILL if len(build.losses) % 2 else signal.SIGINT
            kept_before = kept_in(work)
            piece = self._piece(name, Stop(next_moment - moment, number))
            moment = next_moment
            build.processor += piece.processor
            if piece.code in (0, 3):
                break
            self._refuse_other_end(name, piece)
            kept = kept_in(work)
            for half, durations in kept_before.items():
                build.forgotten += len(durations.keys() - kept[half].keys())
            loss = self._loss(piece, kept, number)
            build.losses.append(loss)
            _show(name, loss)
        else:
            piece = self._piece(name, None)
            build.processor += piece.processor
            if piece.code not in (0, 3):
                raise SystemExit(f"the resumed build ended with {piece.code}")
        if kept_in(work)["speak"].keys() != self._names:
            raise SystemExit(f"the resumed build lacks conversations: it has {sorted(kept_in(work)['speak'])}")
        shutil.rmtree(work)
        return build

    def _moments(self, count: int) -> Iterator[float]:
        """A random moment in each of so many equal parts of an undisturbed build: seconds from its first event."""
        piece = self.undisturbed.piece
        length = (piece.wall - piece.begun) / count
        for number in range(count):
            yield length * (number + self._drawn.random())

    def _refuse_other_end(self, name: str, piece: Piece) -> None:
        """End the benchmark if a run ended otherwise than by a signal."""
        if piece.code not in (130, -signal.SIGINT, -signal.SIGKILL):
            complaints = (self._folder / f"{name}.log").read_text(encoding="utf-8")
            raise SystemExit(f"a build ended with {piece.code}:\n{complaints[-2000:]}")

    def _loss(self, piece: Piece, kept: Mapping[str, Mapping[str, float]], number: signal.Signals) -> Loss:
        """What a stop has lost of a piece, after which the shards have these conversations."""
        costs = self.undisturbed
        half = "tag" if costs.conversations["tag"].keys() - kept["tag"].keys() else "speak"
        unkept = piece.processor
        if piece.keeps:
            unkept -= piece.keeps[-1].processor
        has_loaded = any(keep.added[half] for keep in piece.keeps)
        loading = 0.0 if has_loaded else costs.loading[half]
        uncovered = unkept / SLACK - loading
        n_lost = 0
        for name, seconds in costs.conversations[half].items():
            if name not in kept[half] and uncovered > 0:
                uncovered -= seconds
                n_lost += 1
        return Loss(max(0.0, unkept - loading), n_lost, number, piece.seconds_to_end)


def _show(name: str, loss: Loss) -> None:
    lost = f"{loss.processor:.1f} s of processor time, conversations {loss.conversations}"
    print(f"  {name}, {loss.signal.name}: lost {lost}", flush=True)


def stops(builds: Builds) -> bool:
    losses = [loss for build in builds.stopped for loss in build.losses]
    n_kills = sum(loss.signal == signal.SIGKILL for loss in losses)
    lost = [loss.conversations for loss in losses]
    seconds = [loss.processor for loss in losses]
    waits = [loss.seconds_to_end for loss in losses if loss.signal == signal.SIGINT]
    n_forgotten = sum(build.forgotten for build in builds.stopped)
    print(f"stops: {len(losses)} in {len(builds.stopped)} builds, {n_kills} of them kills", flush=True)
    print(f"  processor seconds lost a stop: median {statistics.median(seconds):.1f}, most {max(seconds):.1f}")
    print(f"  seconds from Ctrl-C to the end: median {statistics.median(waits):.1f}, most {max(waits):.1f}")
    figure = f"conversations lost a stop: median {statistics.median(lost):g}, most {max(lost)} (goal: {MOST_LOST})"
    met = measuring.judged(f"  {figure}", max(lost) <= MOST_LOST)
    figure = f"conversations kept before a stop and not after it: {n_forgotten} (goal: 0)"
    met &= measuring.judged(f"  {figure}", not n_forgotten)
    return met


def processor(builds: Builds) -> bool:
    whole = builds.undisturbed.piece.processor
    most_stops = max(len(build.losses) for build in builds.stopped)
    ratios = [build.processor / whole for build in builds.stopped if len(build.losses) == most_stops]
    ratio = statistics.median(ratios)
    print(f"processor: {len(ratios)} builds with {most_stops} stops, undisturbed {whole:.0f} s", flush=True)
    figure = f"median {ratio:.2f} times, {min(ratios):.2f} to {max(ratios):.2f} (goal: {MOST_PROCESSOR})"
    return measuring.judged(f"  processor time: {figure}", ratio <= MOST_PROCESSOR)


# Edits and additions.


class Corpus:
    """A folder of short conversations and a long one, all with transcripts, and what is built of them.

    Args:
        folder: empty. n_talks: conversations.

    Attributes:
        n_talks: conversations.
        seconds: by the clock that the last command took.
    """

    def __init__(self, folder: Path, n_talks: int) -> None:
        self.n_talks = n_talks
        self._folder = folder
        self._calls = folder / "talks"
        self._work = folder / "talks-work"
        self._edits = 0
        self.seconds = 0.0
        for path in short_talks(self._calls, n_talks - 1, min(n_talks - 1, 10)):
            samples, _ = soundfile.read(path)
            _write_padded(path, samples, SHORT)
        _write_padded(self._calls / f"{LONG_NAME}.wav", example(LONG_NAME), LONG)
        said = json.loads((EXAMPLES / f"{LONG_NAME}.reference.json").read_text(encoding="utf-8"))["utterances"]
        keys = ("channel", "start", "end", "text")
        lines = [{key: line[key] for key in keys} | {"language": "en"} for line in said]
        (self._calls / f"{LONG_NAME}.json").write_text(json.dumps({"utterances": lines}), encoding="utf-8")
        made = self.run("build")
        if made != dict.fromkeys(FOLDERS, n_talks):
            raise SystemExit(f"the journal has {made} conversations of {n_talks}")

    def run(self, command: str) -> dict[str, int]:
        """Run `tag`, `speak` or `build`; returns how many conversations each half has made."""
        journal = self._work / "events.jsonl"
        before = journal_runs(self._work).keys() if journal.exists() else set()
        options: tuple[object, ...] = () if command == "tag" else ("--cache", self._folder / "talks.cache")
        if command == "speak":
            program = run(self._folder / "log", "speak", self._work, *options)
        else:
            program = run(self._folder / "log", command, self._calls, "--out", self._work, *TAG_OPTIONS, *options)
        self.seconds = program.wall
        made = dict.fromkeys(FOLDERS, 0)
        for name, line in journal_runs(self._work).items():
            if name not in before:
                audio = [audio for _, audio in line["stages"].values()]
                made[line["kind"]] += n_conversations(max(audio, default=0.0))
        return made

    def edit(self) -> None:
        """Write other words into a line of the long conversation that `speak` resynthesises."""
        path = self._work / "transcript.jsonl"
        lines = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
        of_long = [line for line in lines if line["conversation_id"] == LONG_NAME and line["channel"] == "left"]
        edited = of_long[len(of_long) // 2]
        self._edits += 1
        edited["text"] = f"That was {self._edits + 1} days ago, I think."
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    def add(self) -> None:
        """Add a recording in the middle of the others."""
        for ending in ("wav", "json"):
            shutil.copyfile(self._calls / f"call00001.{ending}", self._calls / f"call00001-again.{ending}")


def n_conversations(audio: float) -> int:
    """How many conversations of a `Corpus` have so many seconds of audio together."""
    is_long = round(audio) % SHORT == LONG % SHORT
    n_long = 1 if is_long else 0
    return n_long + round((audio - n_long * LONG) / SHORT)


def edit(corpus: Corpus) -> bool:
    print(f"edit: a line of one of {corpus.n_talks} conversations, load {os.getloadavg()[0]:.1f}", flush=True)
    met = True
    for command in ("speak", "build"):
        corpus.run(command)
        idle_seconds = corpus.seconds
        corpus.edit()
        made = corpus.run(command)
        n_made = sum(made.values())
        met &= measuring.judged(f"  {command} makes {n_made} again (goal: 1)", n_made == 1)
        took = f"{corpus.seconds:.1f} s by the clock, load {os.getloadavg()[0]:.1f}, {idle_seconds:.1f} s unedited"
        is_fast = corpus.seconds <= MOST_EDIT_SECONDS
        met &= measuring.judged(f"  {command} takes {took} (goal: {MOST_EDIT_SECONDS:g} s)", is_fast)
    return met


def added(corpus: Corpus) -> bool:
    print(f"added: a recording to {corpus.n_talks}", flush=True)
    corpus.add()
    met = True
    for command in ("tag", "speak"):
        n_made = corpus.run(command)[command]
        met &= measuring.judged(f"  {command} makes {n_made} (goal: 1), in {corpus.seconds:.1f} s", n_made == 1)
    return met


def _write_padded(path: Path, samples: np.ndarray, seconds: int) -> None:
    """Write samples of shape (n, 2) with room tone after them, so that they have this length."""
    missing = seconds * RATE - len(samples)
    if missing < 0:
        raise ValueError(f"{path.name} is longer than {seconds} s")
    tone = np.stack([room_tone(missing, seed=side) for side in range(2)], 1)
    soundfile.write(path, np.concatenate((samples, tone)), RATE, "PCM_16")


# The size of shards.


def small(folder: Path, data: Path, n_pairs: int) -> bool:
    calls = _seven_minutes(folder, data)
    sizes: dict[str, tuple[str, ...]] = {"default": (), "ten minutes": ("--shard-minutes", "10")}
    ratios = []
    for number in range(n_pairs):
        spent = {}
        order = [*sizes] if number % 2 == 0 else [*reversed(sizes)]
        for size in order:
            work = folder / f"small{number}-{size}"
            spent[size] = run(folder / "log", "tag", calls, "--out", work, *TAG_OPTIONS, *sizes[size]).processor
        ratios.append(spent["default"] / spent["ten minutes"])
    more = statistics.median(ratios) - 1
    pairs = ", ".join(f"{ratio - 1:+.1%}" for ratio in ratios)
    print(f"small: processor time of `tag` by default, beside shards of ten minutes: {pairs}", flush=True)
    return measuring.judged(f"  median {more:+.1%} (goal: at most {MOST_MORE:.0%} more)", more <= MOST_MORE)


def _calls_of(data: Path) -> list[Path]:
    """The telephone calls and talks with a speaker on each channel."""
    recordings = [*sorted((data / "spokenwoz").glob("*.wav")), *sorted((data / "talk").glob("*.flac"))]
    if not recordings:
        raise SystemExit(f"no calls in {data}: pass --data")
    return recordings


def _seven_minutes(folder: Path, data: Path) -> Path:
    """A folder of calls of one to two minutes."""
    calls = folder / "seven-minutes"
    if not calls.exists():
        recordings = [*_calls_of(data), *sorted(EXAMPLES.glob("*.flac"))[:2]]
        _copy([path for path in recordings if 60 <= soundfile.info(path).duration <= 125], calls)
    return calls


def _copy(recordings: Sequence[Path], folder: Path) -> None:
    """Copy recordings without the transcripts beside them, which would replace recognition."""
    folder.mkdir()
    for path in recordings:
        shutil.copyfile(path, folder / path.name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ["stops", "processor", "edit", "added", "small"]
    parser.add_argument("--parts", default=",".join(names), help="by comma")
    parser.add_argument("--stops", type=int, default=20, help="of all builds together")
    parser.add_argument("--talks", type=int, default=200, help="conversations of edit and added")
    parser.add_argument("--pairs", type=int, default=3, help="of small")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of stops")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of spokenwoz and talk")
    chosen = parser.parse_args()
    wanted = chosen.parts.split(",")
    unknown = [part for part in wanted if part not in names]
    if unknown:
        parser.error(f"--parts knows {', '.join(names)}, not {', '.join(unknown)}")
    # What a shell runs in the background ignores Ctrl-C, and so would the commands.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="dailytalk-kept-") as name:
        folder = Path(name)
        builds = cache(lambda: Builds(folder / "builds", chosen.data, chosen.stops, chosen.seed))
        corpus = cache(lambda: Corpus(folder / "corpus", chosen.talks))
        parts: dict[str, Callable[[], bool]] = {
            "stops": lambda: stops(builds()),
            "processor": lambda: processor(builds()),
            "edit": lambda: edit(corpus()),
            "added": lambda: added(corpus()),
            "small": lambda: small(folder, chosen.data, chosen.pairs),
        }
        met = [parts[part]() for part in wanted]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
