"""`dailytalk status`: what the runs in a work folder are doing, from another terminal or another host."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live
from rich.text import Text

from dailytalk_contiguous.cli.terminal import AsJsonOption, Console, HelpPanel, option, print_json
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.run.events import FINISHED, GONE, RUNNING, SILENT, Run, length
from dailytalk_contiguous.run.events import run_status as runs_in
from dailytalk_contiguous.sources.addresses import address_of, store_address

#: Seconds between two looks of `--follow`, at a folder of this machine and in a store.
FOLLOW_SECONDS, FOLLOW_STORE_SECONDS = 2.0, 30.0


def status(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Work folder of a run, or s3://BUCKET/FOLDER.")],
    follow: Annotated[
        bool,
        option(
            HelpPanel.RUN,
            "Look again until all runs have ended; with --json, a line a look.",
            "--follow",
        ),
    ] = False,
    as_json: AsJsonOption = False,
) -> None:
    """What the runs in DIR are doing, each host and process: done, left, speed, money, and how they ended."""
    console = Console()
    pause = FOLLOW_STORE_SECONDS if address_of(folder) else FOLLOW_SECONDS
    runs, at = _look(folder)
    try:
        if not follow:
            _once(console, runs, at, as_json)
        elif as_json or not console.is_terminal:
            _lines(console, folder, as_json, pause)
        else:
            with Live(_text(runs, at), console=console) as live:
                while any(run.state == RUNNING for run in runs):
                    time.sleep(pause)
                    runs, at = _look(folder)
                    live.update(_text(runs, at))
            _sentences(console, runs, at)
    except KeyboardInterrupt:  # ends only --follow; the runs go on
        interrupts.answered()
        raise typer.Exit(0) from None


def _look(folder: Path) -> tuple[list[Run], datetime]:
    if address := store_address(folder):
        from dailytalk_contiguous.run.storage import watched_store  # imports the libraries of stores

        folder = watched_store(folder)
    return runs_in(folder, named=address or ""), datetime.now(UTC)


def _once(console: Console, runs: Sequence[Run], at: datetime, as_json: bool, one_line: bool = False) -> None:
    if as_json:
        print_json({"runs": [run.as_dict(at) for run in runs]}, one_line)
        return
    console.print(_text(runs, at))
    _sentences(console, runs, at)


def _lines(console: Console, folder: Path, as_json: bool, pause: float) -> None:
    """Follow without a terminal: print whenever there is a new event."""
    seen: list[tuple[str, str, datetime]] = []
    while True:
        runs, at = _look(folder)
        states = [(run.run, run.state, run.last_event) for run in runs]
        if states != seen:
            _once(console, runs, at, as_json, one_line=True)
        if not any(run.state == RUNNING for run in runs):
            return
        seen = states
        time.sleep(pause)


def _text(runs: Sequence[Run], at: datetime) -> Text:
    return Text("\n".join(_line(run, at) for run in runs))


def _line(run: Run, at: datetime) -> str:
    """A run as a line, not a row of a table: it can be searched, and no column is ever cut off."""
    part = "" if run.shard == (1, 1) else f" {run.shard[0]}/{run.shard[1]}"
    unit, size, digits = ("h", 3600, 2) if run.audio_seconds >= 3600 else ("min", 60, 1)
    parts = [
        f"{run.done} of {counted(run.shards, 'shard')}",
        f"{run.audio_done / size:.{digits}f} of {run.audio_seconds / size:.{digits}f} {unit}",
    ]
    if run.state == RUNNING and run.stage:
        parts.append(run.stage if run.share is None else f"{run.stage}, {run.share:.0%} of the work done")
    left = run.left_seconds(at)
    if run.speed is not None:
        parts.append(f"{run.speed:.1f}× real time")
    if left is not None:
        parts.append(f"{length(left)} left")
    if run.spent is not None:
        parts.append(f"{run.spent:.4f} USD spent")
    parts.append(f"last event {_age(run, at)} ago")
    return f"{run.kind}{part} on {run.host}, process {run.pid}: {run.state}; {', '.join(parts)}"


def _sentences(console: Console, runs: Sequence[Run], at: datetime) -> None:
    """Print how runs ended, and what to do about it."""
    for run in runs:
        if run.state == GONE:
            sentence = f"no event for {_age(run, at)}: its process {run.pid} on {run.host} is gone"
            _say(console, run, f"{sentence}; run the same command again to go on")
        elif run.state == SILENT:
            _say(console, run, f"no event for {_age(run, at)}; look on {run.host} whether process {run.pid} lives")
        elif run.state not in (RUNNING, FINISHED):
            _say(console, run, run.reason)
        if run.rejects:
            why = "rejects.jsonl tells why" if run.explained else "rejects.jsonl will tell why, once all is done"
            _say(console, run, f"{run.rejects} rejected; {why}")


def _say(console: Console, run: Run, sentence: str) -> None:
    console.print(Text(f"{run.kind}: {sentence}."))


def _age(run: Run, at: datetime) -> str:
    return length(max(0.0, (at - run.last_event).total_seconds()))
