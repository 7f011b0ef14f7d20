"""The bar of a run, and the lines on its plan and its results.

While a run works, a person sees a bar on a terminal, elsewhere a line on stderr each half a minute. The lines are
those that the package logs at INFO, so that the log of a batch job shows its progress; they never go to stdout,
which may be JSON.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType, RenderResult
from rich.progress import Progress, ProgressColumn, Task
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from dailytalk_contiguous.cli.defaults import default_settings
from dailytalk_contiguous.cli.terminal import SHOWN, Console, say
from dailytalk_contiguous.core.documents import JsonObject
from dailytalk_contiguous.core.errors import BadInput, Reject
from dailytalk_contiguous.core.records.outcome import Outcome, Rejected
from dailytalk_contiguous.core.wording import counted, cut_middle, length_text
from dailytalk_contiguous.machine.audio import AudioStruct, scale_note
from dailytalk_contiguous.run.progress import Run, log
from dailytalk_contiguous.run.run import RunOutcome, lacking_weights
from dailytalk_contiguous.run.shard import RunPlan
from dailytalk_contiguous.run.tagging import FoundRecordings
from dailytalk_contiguous.sources.hub.fetching import ToFetch
from dailytalk_contiguous.sources.hub.repository import Repository
from dailytalk_contiguous.sources.recordings.recording_files import LeftOut
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.store import work_folder

#: The fewest characters of a conversation's id that are shown.
SHORTEST_ID = 9

#: Columns of the bar. Where the text leaves less room, there is none.
BAR_COLUMNS = 20


@dataclass(frozen=True)
class RunLines:
    """Two lines on a run: what is at hand, with a bar behind it, and the figures.

    The figures are never cut, but go on in the next line where the terminal is narrow.

    Attributes:
        run: how far it is; None before it is planned.
    """

    run: Run | None

    def __rich_console__(self, console: RichConsole, options: ConsoleOptions) -> RenderResult:
        text = "looking for what is left to do"
        if self.run is not None:
            text = at_hand_text(self.run, options.max_width)
        grid = Table.grid(Column(ratio=1, no_wrap=True), Column(), expand=True)
        cells: list[RenderableType] = [Text(text)]
        if len(text) + 2 + BAR_COLUMNS <= options.max_width:
            share = None if self.run is None else self.run.share
            total = None if share is None else 1.0  # without a total, the bar shows only that work goes on
            cells.append(ProgressBar(total, share or 0.0, BAR_COLUMNS))
        grid.add_row(*cells)
        yield grid
        if self.run is not None:
            yield Text(f"{self.run.kind}: {self.run.progress()}")


def at_hand_text(run: Run, width: int) -> str:
    """Return the work in hand as text of at most `width` columns; a long id loses its middle."""
    text = run.current_work or "at work"
    n_over = len(text) - width
    if n_over > 0 and run.conversation:
        conversation = cut_middle(run.conversation, max(SHORTEST_ID, len(run.conversation) - n_over))
        text = f"{conversation}: {run.at}"
    return cut_middle(text, width)


class RunColumn(ProgressColumn):
    """The only column of the bar of a run."""

    def render(self, task: Task) -> RunLines:
        return RunLines(task.fields["run"])


@contextmanager
def bar() -> Iterator[Callable[[RunPlan, Run], None]]:
    """Show a progress bar on stderr, or lines if it is no terminal.

    Yields what a run calls with its plan.
    """
    console = Console(stderr=True)
    shown = console.is_terminal
    log.handlers = [] if shown else [_StderrHandler()]
    log.propagate = False
    log.setLevel(logging.INFO)
    with Progress(RunColumn(), console=console, expand=True, transient=True, disable=not shown) as progress:
        task = progress.add_task("", total=None, run=None)

        def planned(plan: RunPlan, run: Run) -> None:
            if plan.tasks:
                progress.update(task, run=run)

        yield planned


class _StderrHandler(logging.Handler):
    """Prints what is logged as other lines of a command are printed."""

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record))


DRY_RUN_NEXT = "the same command without --dry-run"


def write_readme(folder: Path, title: str) -> None:
    """Write the README of a work folder after a run."""
    # It imports pandas and the rest of `publish`, which the help of a command does not need.
    from dailytalk_contiguous.publish.tables.readme import write_work_readme

    write_work_readme(folder, title, default_settings())


def transcripts(recordings: FoundRecordings) -> str:
    n_recordings = len({pending.recording_id for pending in recordings.conversations})
    return f"transcripts for {recordings.n_transcribed:,} of {counted(n_recordings, 'recording')}"


def each_reject(rejects: Sequence[Reject]) -> list[str]:
    """Return a line for each reject and its reason, for commands that write no file of rejects."""
    lines = []
    for reject in rejects:
        name = json.dumps(reject.id, ensure_ascii=False)
        lines.append(f"  rejected: {name}: {reject.reason}; {reject.remedy}")
    return lines


def stages_to_run(stages: Sequence[Stage]) -> list[str]:
    """Return lines on the stages that are left: their names, their models, and the weights that are not here."""
    names = ", ".join(stage.name for stage in stages)
    lines = [f"stages to run: {names or 'none'}"]
    for stage in stages:
        lines += [f"  {role}: {model}" for role, model in stage.models().items()]
    lacking = lacking_weights(stages)
    if lacking:
        lines.append(f"to be downloaded once: {lacking}")
    return lines


def to_fetch_text(repository: Repository, missing: ToFetch) -> str:
    files = f"{counted(missing.files, 'file')}, {missing.size / 1e6:,.1f} MB"
    return f"to fetch from {repository.reference.repo}, commit {repository.commit[:8]}: {files}"


def say_dataset(repository: Repository, missing: ToFetch) -> None:
    """Print what a run will fetch from a dataset on the Hub."""
    if missing.files:
        say(to_fetch_text(repository, missing))


def to_fetch_outcome(repository: Repository, missing: ToFetch, stages: Sequence[Stage] = ()) -> Outcome:
    """Return the files that a dry run over a dataset on the Hub would fetch, and the stages to run, if known."""
    record = {
        "source": repository.about(),
        "to_fetch": missing._asdict(),
        "stages": [stage.name for stage in stages],
    }
    details = stages_to_run(stages) if stages else ()
    return Outcome(record, to_fetch_text(repository, missing), details=details, next=DRY_RUN_NEXT)


def dry_run(
    done: RunOutcome,
    record: Mapping[str, object],
    details: Iterable[str] = (),
    rejects: Sequence[Reject] = (),
    rejected: Sequence[Rejected] = (),
) -> Outcome:
    """The outcome of a dry run: what is to be made, by which stages, and the rejects.

    `rejects` are listed one by one; many are `rejected`, by their kind.
    """
    plan = done.plan
    summary = {
        "shards": {"all": len(plan.paths), "to_make": len(plan.tasks)},
        "audio_seconds": round(plan.seconds, 2),
        "stages": [stage.name for stage in done.left],
        "rejected": [reject.as_dict() for reject in rejects],
    }
    lines = [*details]
    if plan.tasks:
        lines += stages_to_run(done.left)
    lines += each_reject(rejects)
    return Outcome(
        {**summary, **record},
        f"{counted(plan.conversations, 'conversation')} to make ({length_text(plan.seconds)})",
        details=lines,
        rejected=rejected,
        next=DRY_RUN_NEXT,
    )


def say_left_out(left_out: LeftOut) -> None:
    """Print the files that were passed over (hidden, or made by dailytalk), the paired and the unused ones."""
    names_by_kind = {
        "passed over, hidden (name one as INPUT to take it)": left_out.hidden,
        "passed over, made by dailytalk (name one as INPUT to take it)": left_out.own_results,
        "with a file for each side": left_out.paired,
        "taken as the two sides of a call (--pairs names others, --left swaps them)": left_out.guessed,
        "in an unknown language, because their transcripts have few words (--language names it)": left_out.unclear,
    }
    for why, names in left_out.unread.items():
        names_by_kind[f"not used ({why})"] = names
    for name, tiers in left_out.tiers.items():
        names_by_kind[f"no tiers of speech in {name} (--tier NAME sets those that are)"] = tiers
    for kind, names in names_by_kind.items():
        if names:
            say(f"{kind}: {first_names(names)}")


def scaled_in(recordings: Iterable[tuple[str, AudioStruct]]) -> Iterator[tuple[str, str]]:
    """Yield the names of the recordings whose samples are scaled as they are read, and `machine.audio.scale_note`.

    `recordings`: the name of each, and its `{"bytes", "path"}` struct.
    """
    for name, audio in recordings:
        with suppress(BadInput, OSError):  # it is among the rejects
            note = scale_note(audio)
            if note:
                yield name, note


def say_scaled(notes: Iterable[tuple[str, str]]) -> None:
    """Print a line for each recording whose samples were scaled: its name, and what was done."""
    scaled = [*notes]
    for name, note in scaled[:SHOWN]:
        say(f"note: {json.dumps(name, ensure_ascii=False)}: {note}")
    if len(scaled) > SHOWN:
        say(f"note: the same of {len(scaled) - SHOWN:,} more")


def first_names(names: Sequence[str]) -> str:
    shown = ", ".join(json.dumps(name, ensure_ascii=False) for name in names[:SHOWN])
    if len(names) > SHOWN:
        shown += f", … {len(names) - SHOWN} more"
    return shown


def work_done(done: RunOutcome) -> str:
    run = done.run
    took = length_text(done.wall_seconds)
    if not run.conversations_done:
        return f"nothing to do: {counted(done.n_conversations, 'conversation')} done ({took})"
    speed = f"{run.audio_done / done.wall_seconds:.1f}× real time"
    made = counted(run.conversations_done, "conversation")
    verb = "tagged" if run.kind == "tag" else "made"
    return f"{length_text(run.audio_done)} in {took} ({speed}), {made} {verb}"


def rejected_by(record: JsonObject, out: Path, spoken: bool) -> tuple[Rejected, ...]:
    """Return the rejects of the stages before (`tag`) or from (`speak`) the synthesis, and where they are."""
    if not record["counts"]["rejects"]:
        return ()
    rejects = (
        reject
        for reject in work_folder.rejects_in(out)
        if (reject["stage"] in work_folder.SPOKEN_STAGES) == spoken
    )
    return (Rejected(rejected_text(record["counts"]), rejects, f"in {out / work_folder.REJECTS}"),)


def rejected_text(counts: Mapping[str, int]) -> str:
    """Return the numbers of what one half of the work rejected: recordings, conversations, and parts of others."""
    n_recordings = counts.get("recordings_rejected", 0)
    n_parts = counts["rejected_parts"]
    n_conversations = counts["rejects"] - n_recordings - n_parts
    texts = []
    if n_recordings:
        texts.append(counted(n_recordings, "recording"))
    if n_conversations:
        texts.append(counted(n_conversations, "conversation"))
    if n_parts:
        texts.append(f"{counted(n_parts, 'part')} of conversations that are used")
    return ", ".join(texts)
