"""`dailytalk retime`: variants of finished conversations with another timing."""

import tempfile
from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.retime.retime import RETIMED, RETIMING, Retime
from dailytalk_contiguous.apps.retime.retiming import TIMING, RetimeSpec, Variants, timing_for
from dailytalk_contiguous.apps.retime.timing import LEAST, Timing
from dailytalk_contiguous.cli import engine_options, show
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.terminal import Panel, argument, command_line, option, shown_steps
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.outcome import Outcome, exit_code, to_run
from dailytalk_contiguous.core.turns.turn_ends import HOLD
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.publish.opening import finished_items, open_items
from dailytalk_contiguous.run.run import RunOptions, RunOutcome, preflight, run
from dailytalk_contiguous.stages.judge_turn_ends import IF_INSTALLED
from dailytalk_contiguous.store.files import refuse_inside
from dailytalk_contiguous.store.work_folder import DATASET, SHIFTED

RETIME_SETTINGS = cli_options.setting_options(Retime())


@cli_options.with_options(RETIME_SETTINGS)
def retime(
    folder: Path = argument("DIR", "A work folder of finished conversations (build, speak)."),
    out: Path = cli_options.out_option(),
    variants: int = option(
        1, Panel.RESULT, "Variants to make of each conversation.", metavar="N", min=1, max=1000
    ),
    like: str | None = option(
        None,
        Panel.INPUT,
        "Draw from the timing of this work folder, or dataset on the Hub.",
        metavar="DIR|OWNER/NAME@TAG",
        show_default="their own",
    ),
    dry_run: bool = engine_options.DRY_RUN,
    workers: int | None = engine_options.WORKERS,
    prune: bool = engine_options.PRUNE,
    runner: str = engine_options.RUNNER,
    address: str = engine_options.ADDRESS,
    shard: str = engine_options.SHARD,
    shard_minutes: float | None = engine_options.SHARD_MINUTES,
    **options: Any,
) -> Outcome:
    """Give finished conversations the timing of recorded ones.

    Gaps, overlaps at the ends of turns and pauses are drawn. Every sound stays as it was, and backchannels,
    laughs and interruptions keep their place in the other speaker's words. Each variant says in `retiming` what
    was recorded, and what was drawn. After a stop, run the same command again.
    """
    cli_options.on_this_machine("--out", out)
    refuse_inside(out, folder)
    refuse_inside(folder, out / DATASET)
    parents = finished_items(folder)
    if any(field.name == RETIMING for field in parents.fields):
        raise DailytalkError(f"{folder} holds variants already", "name the folder that they were made from")
    with shown_steps():
        timing = timing_for(parents, open_items(like) if like else None)
    run_options = RunOptions(
        workers or 0,
        engine_options.parse_shard(shard),
        prune=prune,
        runner=runner,
        address=address,
        dry_run=dry_run,
    )
    settings = cli_options.chosen(options, RETIME_SETTINGS)
    seed = settings.get("seed", 0)
    judge = settings.get("turn_ends", IF_INSTALLED)
    with tempfile.TemporaryDirectory(prefix="dailytalk-retime-") as scratch:
        timing_folder = Path(scratch) if dry_run else out
        path = timing_folder / TIMING.format(timing.digest)
        drawn = Variants(timing, path, variants, seed, judge)
        about = {"command": command_line()}
        spec = RetimeSpec(parents, out, drawn, engine_options.shard_seconds(shard_minutes), about)
        spec.check(run_options)
        timing.save(path)
        if dry_run:
            return _to_retime(spec, run_options)
        with show.bar() as planned:
            done = run(spec, run_options, planned=planned)
    show.write_readme(done.out, done.title)
    return _retimed(done, spec)


def _to_retime(spec: RetimeSpec, options: RunOptions) -> Outcome:
    """The outcome of a dry run."""
    done = run(spec, options)
    preflight(done.left, options, fetch=False)
    variants = next(spec.passes(options))
    n_rows = sum(map(len, variants.groups))
    details = [
        f"{counted(n_rows, 'variant')} in all, with the timing of {spec.timing.target}",
        *_timing_details(spec.timing),
    ]
    record = {"variants": n_rows, "target": spec.timing.target}
    return show.dry_run(done, record, details, spec.rejects)


def _timing_details(timing: Timing) -> list[str]:
    details: list[str] = []
    for kind, law in timing.laws.items():
        bounds = f"{law.low:.2f} to {law.high:.2f} s (percentiles 5 to 95)"
        details.append(f"{kind}: {len(law.offset):,} to draw from, {bounds}")
    if HOLD not in timing.laws:
        details.append(f"pauses within a turn stay as recorded: there are fewer than {LEAST} to draw from")
    return details


def _retimed(done: RunOutcome, spec: RetimeSpec) -> Outcome:
    """The outcome of a run."""
    record = done.record
    if record is None:
        missing = f"{counted(done.n_missing, 'shard')} still missing"
        return Outcome(
            {"complete": False}, missing, next="nothing: the host that makes the last shard writes the rest"
        )
    counts = done.counts
    retimed = record[RETIMED]
    out = spec.out
    drawn = retimed["drawn"]
    held = retimed["transitions"] - drawn
    timing_file = out / TIMING.format(spec.timing.digest)
    details = [
        show.work_done(done),
        *_timing_details(spec.timing),
        f"{drawn:,} of {counted(retimed['transitions'], 'transition')} drawn, {held:,} held",
        f"timing        {as_text(timing_file)}",
        f"transcript    {as_text(out / SHIFTED)}",
        f"dataset       {as_text(out / DATASET)}",
    ]
    n_variants = counts.get("conversations", 0)
    length = length_text(3600 * record["hours"]["audio"])
    headline = f"{counted(n_variants, 'variant')} with the timing of {spec.timing.target}, {length}"
    code = exit_code(n_variants, counts["rejects"])
    rejected = show.rejected_by(record, out, spoken=True)
    next_command = "" if code == 1 else to_run("check", out)
    return Outcome(record, headline, code, details, rejected, next_command)
