"""What `dailytalk tag` prints at its end: a line a stage, what was rejected and why, where the results are."""

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from dailytalk_contiguous.cli.rejects import SHOWN, share_text, show_rejects
from dailytalk_contiguous.cli.terminal import Console
from dailytalk_contiguous.core.documents import as_text, json_lines
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.engine.local import Plan
from dailytalk_contiguous.engine.outputs import NEW_TRANSCRIPT, REJECTS, RUN, SPOKEN_STAGES, rejects_in
from dailytalk_contiguous.engine.tagging import TAGGED, Found, Outcome
from dailytalk_contiguous.models.profiles import PROFILES
from dailytalk_contiguous.pipeline import TagSettings
from dailytalk_contiguous.sources.hub import ToFetch
from dailytalk_contiguous.sources.hub_repository import Repository
from dailytalk_contiguous.sources.listing import LeftOut
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.transcribe import GIVEN


def dry_run(console: Console, found: Found, plan: Plan, stages: Sequence[Stage]) -> None:
    """What a run would do."""
    rows = found.rows
    hours = sum(row["duration"] for row in rows) / 3600
    recordings = len({row["recording_id"] for row in rows})
    of_what = f"{counted(recordings, 'recording')}, {counted(len(rows), 'conversation')}"
    console.print(f"{of_what}, {length_text(3600 * hours)}")
    console.print(
        f"{counted(len(plan.paths), 'shard')}, {len(plan.tasks):,} of them to make ({length_text(plan.seconds)})"
    )
    if plan.tasks:
        stages_to_run(console, stages[plan.first_stage :])
    for problem in found.problems:  # all of them: a dry run leaves no file that has them
        name = json.dumps(problem.id, ensure_ascii=False)
        console.labelled("  rejected", f"{name}: {problem.reason}; {problem.remedy}")


def stages_to_run(console: Console, stages: Sequence[Stage]) -> None:
    """The names of stages, and the models that they need."""
    left = ", ".join(stage.name for stage in stages)
    console.print(f"stages to run: {left or 'none; finished rows are put together anew'}")
    for stage in stages:
        for role, model in stage.models().items():
            console.print(f"  {role}: {escape(model)}")


def revoiced(console: Console, repository: Repository) -> None:
    """That the input is a result of ours."""
    told = f"{repository.reference.repo} holds finished conversations: one speaker of what is read was re-voiced"
    remedy = "its recordings would be the config source, which `dailytalk push --include-source` publishes"
    console.print(escape(f"{told}; {remedy}"))


def to_fetch(console: Console, repository: Repository, missing: ToFetch) -> None:
    """What of a dataset on the Hub is not on this machine yet."""
    console.print(
        f"to fetch from {repository.reference.repo}, commit {repository.commit[:8]}: "
        f"{counted(missing.files, 'file')}, {missing.size / 1e6:,.1f} MB",
        highlight=False,
    )


def left_out(console: Console, passed_over: LeftOut) -> None:
    """What was passed over, because it is hidden or a result of ours, and what was paired."""
    kinds = (
        (passed_over.hidden, "passed over {} hidden (name one as INPUT to take it)"),
        (passed_over.made, "passed over {} made by dailytalk (name one as INPUT to take it)"),
        (passed_over.paired, "{} with a file for each side"),
    )
    for names, what in kinds:
        if names:
            shown = ", ".join(json.dumps(name, ensure_ascii=False) for name in names[:SHOWN])
            more = f", … {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            console.print(escape(f"{what.format(len(names))}: {shown}{more}"), highlight=False)


def strangers(console: Console, names: Sequence[str]) -> None:
    """What the table of speakers names that is no recording of the input."""
    if names:
        shown = ", ".join(json.dumps(name, ensure_ascii=False) for name in names[:SHOWN])
        more = f", … {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        console.print(escape(f"--speakers names {counted(len(names), 'recording')} not in INPUT: {shown}{more}"))


def outcome(console: Console, result: Outcome, out: Path, settings: TagSettings) -> None:
    """What a run did."""
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
    given = counts["utterances_by_recogniser"].get(GIVEN, 0)
    if given:
        console.print(f"  {given} with the words of a transcript that came with the recording")
    for reason, count in counts["utterances_without_text"].items():
        console.print(f"  {count} without text: {escape(reason)}")
    for note in record["notes"][:SHOWN]:
        console.print(f"  note: {escape(note['conversation_id'])}: {escape(note['note'])}")
    if counts["notes"] > SHOWN:
        console.print(f"  … {counted(counts['notes'] - SHOWN, 'more note')} in {RUN}")
    if counts["rejects"]:
        rejects = (reject for reject in rejects_in(out) if reject["stage"] not in SPOKEN_STAGES)
        show_rejects(console, share_text(record), f"in {as_text(out / REJECTS)}", rejects)
    if settings.profile != "standard":
        console.print(f"profile {settings.profile}: {PROFILES[settings.profile].about}.")
    _results(console, out, record)


def _stages(console: Console, record: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("stage", "seconds", "real-time factor", "model"):
        table.add_column(heading, justify="left" if heading in ("stage", "model") else "right")
    for stage in record["stages"]:
        factor = stage["realtime_factor"]
        model = stage["settings"].get("model", "")
        table.add_row(
            stage["name"], f"{stage['seconds']:.1f}", "" if factor is None else f"{factor:.4f}", escape(model)
        )
    console.print(table)


def _results(console: Console, out: Path, record: dict[str, Any]) -> None:
    console.print(f"transcript  {escape(as_text(out / record['transcript']))}")
    if record["transcript"] == NEW_TRANSCRIPT:
        console.print("  (transcript.jsonl was edited since it was written, and is left as it is)")
    console.print(f"shards      {escape(as_text(out / TAGGED))}")
    console.print(f"record      {escape(as_text(out / RUN))}")
    try:
        preview = [_preview(line) for line in _read(out / record["transcript"], SHOWN)]
    except (ValueError, KeyError, TypeError) as error:
        console.print(f"  (its first lines are not as they were written: {escape(repr(error))})")
        return
    for line in preview:
        console.print(line)


def _preview(line: dict[str, Any]) -> str:
    said = line["tagged_text"] or f"(no text: {line['text_reason']})"
    return f"  {line['start']:7.2f}  {line['channel']:<5}  {escape(said)}"


def nothing_to_do(n_shards: int) -> str:
    """That every shard is finished already."""
    return "nothing to do: the shard stands" if n_shards == 1 else f"nothing to do: all {n_shards:,} shards stand"


def _read(path: Path, count: int) -> list[Any]:
    return [line for _, line in islice(json_lines(path, nan=True), count) if isinstance(line, dict)]
