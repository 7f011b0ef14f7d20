"""What the commands show of a run: the bar, what it would do, what it did."""

import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.progress import Progress, ProgressColumn, Task
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from dailytalk_contiguous.cli.terminal import SHOWN, Console, plain_table, share_text, show_rejects, visible
from dailytalk_contiguous.core.documents import as_text, json_lines
from dailytalk_contiguous.core.utterance import why_silent
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.models.affect import fast_precisions
from dailytalk_contiguous.models.devices import device_of
from dailytalk_contiguous.models.emotion_models import AFFECT_MAP
from dailytalk_contiguous.run import outputs
from dailytalk_contiguous.run.events import Account, length, log
from dailytalk_contiguous.run.forecast import Forecast
from dailytalk_contiguous.run.local import RunPlan
from dailytalk_contiguous.run.price import Price
from dailytalk_contiguous.run.speaking import DATASET, SpeakOutcome, SynthesisInput
from dailytalk_contiguous.run.tagging import TAGGED, FoundRecordings, TagOutcome
from dailytalk_contiguous.sources.hub_repository import Repository, ToFetch
from dailytalk_contiguous.sources.recordings import LeftOut
from dailytalk_contiguous.stages.base import Stage, find_stage
from dailytalk_contiguous.stages.rate_affect import RateAffect
from dailytalk_contiguous.stages.synthesis import Speak
from dailytalk_contiguous.stages.transcribe import GIVEN

# What a person sees while a run works: a bar on a terminal, elsewhere a line a finished shard on stderr.
#
# The lines are what the package logs at INFO, so that the log of a batch job tells how far it is; they never go
# to stdout, which may be JSON.


class Working(ProgressColumn):
    """The stage that works now."""

    def render(self, task: Task) -> Text:
        """The column\'s text."""
        return Text(task.fields["forecast"].stage or "starting", no_wrap=True)


class WorkBar(ProgressColumn):
    """The share of the work that is done, in seconds of work; a bar that moves where that is not known yet."""

    def render(self, task: Task) -> ProgressBar:
        """The column\'s bar, as wide as the other columns leave it."""
        share = task.fields["forecast"].share
        return ProgressBar(1.0, share or 0.0, pulse=share is None, animation_time=task.get_time())


class StageProgress(ProgressColumn):
    """Audio that is finished, and money."""

    def render(self, task: Task) -> Text:
        """The column\'s text."""
        done, whole = task.fields["forecast"].audio
        unit, size = ("h", 3600) if whole >= 3600 else ("min", 60)
        spent = task.fields["spent"]
        money = f"  {spent():.4f} USD" if spent else ""
        return Text(f"{done / size:.1f} of {whole / size:.1f} {unit}{money}", no_wrap=True)


class Left(ProgressColumn):
    """How much faster than real time a run is, and how long the rest takes; empty until that can be estimated."""

    def render(self, task: Task) -> Text:
        """The column\'s text."""
        forecast: Forecast = task.fields["forecast"]
        left = forecast.seconds_left
        if left is None:
            return Text("")
        speed = forecast.audio[1] / max(forecast.elapsed + left, 1e-3)
        return Text(f"{speed:.1f}× real time  {length(left)} left", no_wrap=True)


class RunBar:
    """Shows the forecast of a run from when it is planned."""

    def __init__(self, progress: Progress, spent: Callable[[], float] | None) -> None:
        self.progress, self._spent = progress, spent
        self._task: Any = None

    def planned(self, plan: RunPlan, forecast: Forecast) -> None:
        """Begin the bar, unless a plan has nothing left to do or the bar has begun."""
        if self._task is None and plan.tasks:
            self._task = self.progress.add_task("", total=None, forecast=forecast, spent=self._spent)


@contextmanager
def bar(console: Console, quiet: bool, spent: Callable[[], float] | None = None) -> Iterator[RunBar]:
    """A progress bar on `console`, or lines on stderr if it is no terminal or `quiet`.

    `spent` gives the USD spent so far, where a run may spend any.
    """
    shown = console.is_terminal and not quiet
    with (
        nullcontext() if shown else _logged(),
        Progress(
            *(Working(), WorkBar(table_column=Column(ratio=1)), StageProgress(), Left()),
            console=console,
            expand=True,
            transient=True,
            disable=not shown,
        ) as progress,
    ):
        yield RunBar(progress, spent)


@contextmanager
def _logged() -> Iterator[None]:
    """Show on stderr what the package logs at INFO."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Visible())
    before = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.level, log.propagate = before


class _Visible(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def profile_table(account: Account, wall_seconds: float) -> Table:
    """Where the seconds of a run went. Shares are of all seconds, which with several workers exceed wall time."""
    outside = {
        "planning": account.planning,
        "reading, writing shards": account.outside,
        "writing outputs": account.outputs,
    }
    whole = sum(account.stages.values()) + sum(outside.values())
    table = plain_table("where the time went", ">seconds", ">share", ">real-time factor")
    for name, took in (*account.stages.items(), *outside.items()):
        audio = account.audio.get(name)
        share = f"{took / whole if whole else 0.0:.1%}"
        table.add_row(name, f"{took:.2f}", share, f"{took / audio:.5f}" if audio else "")
    table.add_row("by the clock", f"{wall_seconds:.2f}", "", "")
    return table


def tag_dry_run(console: Console, recordings: FoundRecordings, plan: RunPlan, stages: Sequence[Stage]) -> None:
    """Print what a run would do."""
    rows = recordings.rows
    n_recordings = len({row["recording_id"] for row in rows})
    of_what = f"{counted(n_recordings, 'recording')}, {counted(len(rows), 'conversation')}"
    console.print(f"{of_what}, {length_text(sum(row['duration'] for row in rows))}")
    transcripts(console, recordings)
    console.print(
        f"{counted(len(plan.paths), 'shard')}, {len(plan.tasks):,} of them to make ({length_text(plan.seconds)})"
    )
    if plan.tasks:
        stages_to_run(console, stages[plan.first_stage :])
    problems(console, recordings)


def transcripts(console: Console, recordings: FoundRecordings) -> None:
    """Print which transcripts are used instead of recognition."""
    counts = recordings.transcripts
    kinds = ", ".join(f"{name} ({n:,})" for name, n in counts.kinds.items())
    in_them = f", in {', '.join(counts.languages)}" if counts.languages else ""
    of_all = (
        f"{counts.recordings:,} of {counted(len({row['recording_id'] for row in recordings.rows}), 'recording')}"
    )
    used = f"used instead of recognition: {kinds}{in_them}" if counts.recordings else "words are recognised"
    console.print(escape(f"transcripts for {of_all}; {used}"), highlight=False)


def problems(console: Console, recordings: FoundRecordings) -> None:
    """Print every recording that can't be used, and why: what writes no file with them says all of them."""
    for problem in recordings.problems:
        name = json.dumps(problem.id, ensure_ascii=False)
        console.labelled("  rejected", f"{name}: {problem.reason}; {problem.remedy}")


def stages_to_run(console: Console, stages: Sequence[Stage]) -> None:
    """Print the names of stages, and the models that they need."""
    left = ", ".join(stage.name for stage in stages)
    console.print(f"stages to run: {left or 'none; finished rows are put together anew'}")
    for stage in stages:
        for role, model in stage.models().items():
            console.print(f"  {role}: {escape(model)}")


def revoiced_text(console: Console, repository: Repository) -> None:
    """Print that the input was made by dailytalk."""
    notice = f"{repository.reference.repo} holds finished conversations: one speaker of what is read was re-voiced"
    remedy = "its recordings would be the config source, which `dailytalk push --include-source` publishes"
    console.print(escape(f"{notice}; {remedy}"))


def show_to_fetch(console: Console, repository: Repository, missing: ToFetch) -> None:
    """Print what of a dataset on the Hub is not on this machine yet."""
    console.print(
        f"to fetch from {repository.reference.repo}, commit {repository.commit[:8]}: "
        f"{counted(missing.files, 'file')}, {missing.size / 1e6:,.1f} MB",
        highlight=False,
    )


def left_out(console: Console, passed_over: LeftOut) -> None:
    """Print what was passed over, because it is hidden or made by dailytalk, and what was paired."""
    kinds = (
        (passed_over.hidden, "passed over {} hidden (name one as INPUT to take it)"),
        (passed_over.made, "passed over {} made by dailytalk (name one as INPUT to take it)"),
        (passed_over.paired, "{} with a file for each side"),
    )
    for names, what in kinds:
        if names:
            console.print(escape(f"{what.format(len(names))}: {_first(names)}"), highlight=False)


def strangers(console: Console, names: Sequence[str]) -> None:
    """Print which recordings the table of speakers names that are not in the input."""
    if names:
        console.print(escape(f"--speakers names {counted(len(names), 'recording')} not in INPUT: {_first(names)}"))


def _first(names: Sequence[str]) -> str:
    shown = ", ".join(json.dumps(name, ensure_ascii=False) for name in names[:SHOWN])
    return shown + (f", … {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def slow_precision(console: Console, stages: Iterable[Stage], precision: str | None) -> None:
    """Print that the device is slower in the affect model's `precision` than in float32, if it is."""
    rate = find_stage(RateAffect, stages)
    if rate and precision not in (None, "auto") and rate.precision not in ("auto", *fast_precisions(rate.device)):
        here = device_of(rate.device).upper()
        console.print(f"the {here} here doesn't multiply in {precision}: affect takes longer than in float32")


def tag_outcome(console: Console, result: TagOutcome, out: Path) -> None:
    """Print what a run did."""
    if result.n_made:
        speed = result.audio_seconds / result.wall_seconds
        console.print(
            f"{length_text(result.audio_seconds)} in {length_text(result.wall_seconds)} ({speed:.1f}× real time), "
            f"{result.n_made} of {counted(result.n_shards, 'shard')} made"
        )
    else:
        console.print(nothing_to_do(result.n_shards))
    if not result.n_conversations:
        console.print("no recording could be used")
    if result.record is None:
        console.print(
            f"{counted(result.n_missing, 'shard')} still missing; the host that makes the last one writes the "
            "transcript. If all hosts are done, run once more without --shard."
        )
        return
    record = result.record
    _stages(console, record)
    counts = record["counts"]
    console.print(
        f"{counted(counts['conversations'], 'conversation')}, {counted(counts['utterances'], 'utterance')} "
        f"({counts['short_utterances']} short), {record['hours']['speech'] * 60:.1f} min of speech"
    )
    from_transcripts = counts["utterances_by_recogniser"].get(GIVEN, 0)
    if from_transcripts:
        console.print(f"  {from_transcripts} with the words of a transcript that came with the recording")
        if languages := counts["conversations_by_given_language"]:
            in_them = ", ".join(f"{name} ({counted(n, 'conversation')})" for name, n in languages.items())
            console.print(f"  their language: {escape(in_them)}; --language sets another")
        if fitted := counts["words_fitted"]:
            console.print(
                f"  {counted(fitted, 'word')} fitted to the speech that was found: the given times go beyond it"
            )
    for reason, count in counts["utterances_without_text"].items():
        console.print(f"  {count} without text: {escape(reason)}")
    if heard := counts.get("emotions"):
        numbers = ", ".join(f"{name} {count:,}" for name, count in heard.items())
        is_estimate = record["models"].get("emotion", {}).get("name") == AFFECT_MAP
        estimate = ", here an estimate" if is_estimate else ""
        console.print(f"  emotion: {escape(numbers)} (a guess from sound{estimate}, and no diagnosis)")
    for note in record["notes"][:SHOWN]:
        console.print(f"  note: {escape(note['conversation_id'])}: {escape(note['note'])}")
    if counts["notes"] > SHOWN:
        console.print(f"  … {counted(counts['notes'] - SHOWN, 'more note')} in {outputs.RUN}")
    if counts["rejects"]:
        rejects = (reject for reject in outputs.rejects_in(out) if reject["stage"] not in outputs.SPOKEN_STAGES)
        show_rejects(console, share_text(record), f"in {as_text(out / outputs.REJECTS)}", rejects)
    _results(console, out, record)


def _stages(console: Console, record: dict[str, Any]) -> None:
    table = plain_table("stage", ">seconds", ">real-time factor")
    for stage in record["stages"]:
        factor = stage["realtime_factor"]
        table.add_row(stage["name"], f"{stage['seconds']:.1f}", "" if factor is None else f"{factor:.4f}")
    console.print(table)
    notes = {model["name"]: model["note"] for model in record["models"].values() if model["note"]}
    is_given = record["counts"]["utterances_by_recogniser"].keys() == {GIVEN}
    for stage in record["stages"]:
        model = stage["settings"].get("model")
        if model and not (is_given and stage["name"] == "Transcribe"):
            note = f" ({notes[model]})" if model in notes else ""
            console.print(escape(f"model of {stage['name']}: {model}{note}"))


def _results(console: Console, out: Path, record: dict[str, Any]) -> None:
    console.print(f"transcript  {escape(as_text(out / record['transcript']))}")
    if record["transcript"] == outputs.NEW_TRANSCRIPT:
        console.print("  (transcript.jsonl was edited since it was written, and is left as it is)")
    console.print(f"shards      {escape(as_text(out / TAGGED))}")
    if kept := record.get("unpublished"):
        console.print(f"  (only there: {escape(', '.join(kept))}, which no stage publishes)")
    console.print(f"record      {escape(as_text(out / outputs.RUN))}")
    try:
        lines = (line for _, line in islice(json_lines(out / record["transcript"], nan=True), SHOWN))
        preview = [_preview(line) for line in lines if isinstance(line, dict)]
    except (ValueError, KeyError, TypeError) as error:
        console.print(f"  (its first lines are not as they were written: {escape(repr(error))})")
        return
    for line in preview:
        console.print(line)


def _preview(line: dict[str, Any]) -> str:
    text = line["tagged_text"] or f"(no text: {why_silent(line)})"
    return f"  {line['start']:7.2f}  {line['channel']:<5}  {escape(text)}"


def nothing_to_do(n_shards: int) -> str:
    """The message of a run whose shards are all finished already."""
    return (
        "nothing to do: the shard is done" if n_shards == 1 else f"nothing to do: all {n_shards:,} shards are done"
    )


def speak_dry_run(
    console: Console,
    script: SynthesisInput,
    cost: Price,
    voice: Speak,
    plan: RunPlan,
    stages: Sequence[Stage],
) -> None:
    """Print what synthesising a script would take and cost."""
    console.print(
        f"{counted(len(script.rows), 'conversation')}, {counted(cost.utterances, 'utterance')} to say by "
        f"{voice.engine} ({cost.hours * 60:.1f} min in the recordings), "
        f"{cost.cached:,} of them in the cache or said before"
    )
    console.print(f"{counted(cost.text_bytes, 'byte')} of text; about {cost.price:.4f} USD to spend")
    console.print(f"{counted(len(plan.paths), 'shard')}, {len(plan.tasks):,} of them to make")
    if plan.tasks:
        stages_to_run(console, stages)
    if cost.without_text:
        console.print(f"{counted(cost.without_text, 'utterance')} without text: {voice.no_text}")
    if cost.not_cloned:
        console.print(f"{counted(cost.not_cloned, 'conversation')} with too little speech to clone a voice from")
    for reject in script.rejects:
        console.labelled("  rejected", f"{reject.id}: {reject.reason}; {reject.remedy}")


def speak_outcome(console: Console, result: SpeakOutcome, out: Path) -> None:
    """Print what a run made, what became of turn-taking, and where everything is."""
    record = result.record
    if result.n_made:
        speed = result.audio_seconds / result.wall_seconds
        console.print(
            f"{result.audio_seconds / 60:.1f} min in {result.wall_seconds:.1f} s ({speed:.1f}× real time), "
            f"{result.n_made} of {counted(result.n_shards, 'shard')} made"
        )
    else:
        console.print(nothing_to_do(result.n_shards))
    for stage in record["stages"]:
        console.print(f"  {stage['name']:<16}{stage['seconds']:>9.1f} s")
    counts = record["counts"]
    console.print(
        f"{counted(counts.get('conversations', 0), 'conversation')}, "
        f"{counted(counts.get('spoken', 0), 'utterance')} resynthesised, "
        f"{counts.get('kept', 0):,} kept as recorded, {counted(counts.get('words', 0), 'word')} aligned"
    )
    for status, meaning in (
        ("dropped", "left out, without text"),
        ("kept_original", "with their original voice"),
    ):
        if counts.get(status):
            console.print(f"  {counts[status]} {meaning}")
    _turn_taking(console, record)
    money = record["money"]
    console.print(f"spent {money['spent']:.4f} USD, saved by the cache {money['saved_by_cache']:.4f} USD")
    if counts["rejects"]:
        rejects = (reject for reject in outputs.rejects_in(out) if reject["stage"] in outputs.SPOKEN_STAGES)
        show_rejects(console, share_text(record), f"in {out / outputs.REJECTS}", rejects)
    for label, path in (
        ("conversations", outputs.AUDIO),
        ("transcript", outputs.SHIFTED),
        ("dataset", DATASET),
        ("record", outputs.RUN),
    ):
        console.print(f"{label:<14}{escape(str(out / path))}")


def _turn_taking(console: Console, record: dict[str, Any]) -> None:
    mean = record.get("mean")
    if mean:
        console.print(
            f"turn-taking: offsets {1000 * mean['offset_distance']:.0f} ms from the source's, "
            f"{mean['overlap_kept']:.0%} of possible overlap kept, length ×{mean['duration_ratio']:.2f}; "
            f"lost of the kept speaker: {record['lost_speech_seconds']:.2f} s of speech, "
            f"{record['lost_sound_seconds']:.2f} s of other sounds"
        )
