"""The bar of a run, and the lines on its plan and its results.

While a run works, a person sees a bar on a terminal, elsewhere a line a finished shard on stderr. The lines are
those that the package logs at INFO, so that the log of a batch job shows its progress; they never go to stdout,
which may be JSON.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.text import Text

from dailytalk_contiguous.cli.terminal import SHOWN, Console, say, visible
from dailytalk_contiguous.core.documents import json_lines
from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.outcome import Outcome, Rejected
from dailytalk_contiguous.core.utterance import no_text_reason
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.run.events import Run, log
from dailytalk_contiguous.run.run import RunOutcome, lacking_weights
from dailytalk_contiguous.run.shard import RunPlan
from dailytalk_contiguous.run.tagging import FoundRecordings
from dailytalk_contiguous.sources.recordings import LeftOut
from dailytalk_contiguous.stages.base import Stage, find_stage
from dailytalk_contiguous.stages.transcribe import Transcribe
from dailytalk_contiguous.store import work_folder

if TYPE_CHECKING:
    from dailytalk_contiguous.sources.hub_repository import Repository, ToFetch


class RunColumn(ProgressColumn):
    """The stage at hand, what is done, money, speed relative to real time, and the time left."""

    def render(self, task: Task) -> Text:
        run: Run = task.fields["run"]
        task.completed, task.total = run.audio_done, run.audio_seconds  # for the bar beside it
        return Text(f"{run.at or 'starting'}  {run.progress(datetime.now(UTC))}", no_wrap=True)


@contextmanager
def bar() -> Iterator[Callable[[RunPlan, Run], None]]:
    """Show a progress bar on stderr once a run is planned, or lines if it is no terminal.

    Yields what a run calls with its plan.
    """
    console = Console(stderr=True)
    columns = RunColumn(), BarColumn(None)
    logged = nullcontext() if console.is_terminal else _logged()
    with (
        logged,
        Progress(
            *columns, console=console, expand=True, transient=True, disable=not console.is_terminal
        ) as progress,
    ):

        def planned(plan: RunPlan, run: Run) -> None:
            if plan.tasks and not progress.tasks:
                progress.add_task("", total=None, run=run)

        yield planned


@contextmanager
def _logged() -> Iterator[None]:
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


DRY_RUN_NEXT = "the same command without --dry-run"


def write_readme(folder: Path, title: str, n_made: int) -> None:
    """Write the README of a work folder after a run that made so many shards."""
    from dailytalk_contiguous.cli.defaults import default_settings  # here, for they import much
    from dailytalk_contiguous.publish.readme import write_work_readme

    write_work_readme(folder, title, n_made, default_settings())


def transcripts(recordings: FoundRecordings, stages: Sequence[Stage]) -> str:
    n_recordings = len({row["recording_id"] for row in recordings.rows})
    recogniser = find_stage(Transcribe, stages)
    others = "words are recognised" if recogniser and recogniser.model else "nothing is recognised"
    used = "used instead of recognition" if recordings.n_transcribed else others
    return f"transcripts for {recordings.n_transcribed:,} of {counted(n_recordings, 'recording')}; {used}"


def each_reject(rejects: Sequence[Reject]) -> list[str]:
    """Return a line for each reject and its reason, for commands that write no file of rejects."""
    return [
        f"  rejected: {json.dumps(reject.id, ensure_ascii=False)}: {reject.reason}; {reject.remedy}"
        for reject in rejects
    ]


def stages_to_run(stages: Sequence[Stage]) -> list[str]:
    names = ", ".join(stage.name for stage in stages)
    models = [f"  {role}: {model}" for stage in stages for role, model in stage.models().items()]
    lacking = lacking_weights(stages)
    fetched = [f"to be downloaded once: {lacking}"] if lacking else []
    return [f"stages to run: {names or 'none; finished rows are put together anew'}", *models, *fetched]


def to_fetch_lines(repository: "Repository", missing: "ToFetch") -> list[str]:
    lines, repo = [], repository.reference.repo
    if repository.revoiced:
        notice = f"{repo} holds finished conversations: one speaker of what is read was re-voiced, or none"
        remedy = "name the dataset of its recordings, if you have it"
        lines.append(f"{notice}; {remedy}")
    if missing.files:
        files = f"{counted(missing.files, 'file')}, {missing.size / 1e6:,.1f} MB"
        lines.append(f"to fetch from {repo}, commit {repository.commit[:8]}: {files}")
    return lines


def to_fetch_outcome(
    repository: "Repository", missing: "ToFetch", stages: Sequence[Stage] | None = None
) -> Outcome:
    """Return the files that a dry run over a dataset on the Hub would fetch, and the stages to run, if known."""
    record: dict[str, Any] = {"source": repository.about(), "to_fetch": missing._asdict()}
    *details, headline = to_fetch_lines(repository, missing) or ["nothing to fetch"]
    if stages is not None:
        record["stages"] = [stage.name for stage in stages]
        details += stages_to_run(stages)
    return Outcome(record, headline, details=details, next=DRY_RUN_NEXT)


def dry_run(
    plan: RunPlan,
    stages: Sequence[Stage],
    record: Mapping[str, Any],
    details: Iterable[str] = (),
    rejects: Sequence[Reject] = (),
    rejected: Sequence[Rejected] = (),
) -> Outcome:
    """The outcome of a dry run: the shards that are to be made, by which stages, and the rejects.

    `rejects` are listed one by one; many are `rejected`, by their kind.
    """
    stages_left = stages_to_run(stages) if plan.tasks else []
    of_plan = {
        "shards": {"all": len(plan.paths), "to_make": len(plan.tasks)},
        "audio_seconds": round(plan.seconds, 2),
        "stages": [stage.name for stage in stages],
        "rejected": [reject.as_dict() for reject in rejects],
    }
    return Outcome(
        {**of_plan, **record},
        f"{counted(len(plan.paths), 'shard')}, {len(plan.tasks):,} of them to make ({length_text(plan.seconds)})",
        details=[*details, *stages_left, *each_reject(rejects)],
        rejected=rejected,
        next=DRY_RUN_NEXT,
    )


def say_left_out(passed_over: LeftOut) -> None:
    """Print the files that were passed over (hidden, or made by dailytalk), the paired and the unused ones."""
    kinds = (
        (passed_over.hidden, "passed over {} hidden (name one as INPUT to take it)"),
        (passed_over.made, "passed over {} made by dailytalk (name one as INPUT to take it)"),
        (passed_over.paired, "{} with a file for each side"),
    )
    for names, what in kinds:
        if names:
            say(f"{what.format(len(names))}: {first_names(names)}")
    for why, names in passed_over.unread.items():
        say(f"not used, {counted(len(names), 'file')} beside recordings ({why}): {first_names(names)}")
    for tiers in sorted({tuple(names) for names in passed_over.tiers.values()}):
        files = [file for file, names in passed_over.tiers.items() if tuple(names) == tiers]
        say(f"{first_names(tiers)} of {first_names(files)}: no tiers of speech; --tier NAME sets those that are")


def first_names(names: Sequence[str]) -> str:
    shown = ", ".join(json.dumps(name, ensure_ascii=False) for name in names[:SHOWN])
    return shown + (f", … {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def work_done(done: RunOutcome) -> str:
    took, n_shards, run = length_text(done.wall_seconds), done.n_shards, done.run
    if not run.done:
        shards = "the shard is done" if n_shards == 1 else f"all {n_shards:,} shards are done"
        return f"nothing to do: {shards} ({took})"
    speed = f"{run.audio_done / done.wall_seconds:.1f}× real time"
    return f"{length_text(run.audio_done)} in {took} ({speed}), {run.done} of {counted(n_shards, 'shard')} made"


def rejected_by(record: dict[str, Any], out: Path, spoken: bool) -> tuple[Rejected, ...]:
    """Return the rejects of the stages before (`tag`) or from (`speak`) the synthesis, by the record of their run.

    The count is `3 (1 recording; 1 of 2 conversations, 119.8 of 202.7 s)`: recordings that can't be used are no
    conversations of the run, as their length is not known.
    """
    count, share = record["counts"]["rejects"], record.get("rejected") or {}
    if not count:
        return ()
    parts = []
    if recordings := record["counts"].get("recordings_rejected"):
        parts.append(counted(recordings, "recording"))
    if share.get("conversations"):
        seconds, whole = share["seconds"], share["of_seconds"]
        lengths = (
            f"{seconds:.1f} of {whole:.1f} s" if whole < 600 else f"{length_text(seconds)} of {length_text(whole)}"
        )
        conversations = f"{share['conversations']:,} of {counted(share['of_conversations'], 'conversation')}"
        parts.append(f"{conversations}, {lengths}")
    rejects = (
        reject
        for reject in work_folder.rejects_in(out)
        if (reject["stage"] in work_folder.SPOKEN_STAGES) == spoken
    )
    in_parts = f" ({'; '.join(parts)})" if parts else ""
    return (Rejected(f"{count:,}{in_parts}", rejects, f"in {out / work_folder.REJECTS}"),)


def first_lines(transcript: Path) -> list[str]:
    lines = (line for _, line in islice(json_lines(transcript, nan=True), SHOWN))
    return [
        f"  {line['start']:7.2f}  {line['channel']:<5}  "
        + (line["tagged_text"] or f"(no text: {no_text_reason(line)})")
        for line in lines
        if isinstance(line, dict)
    ]
