"""`dailytalk status`: the progress of the runs in a work folder, from another terminal or another host."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import typer
from rich.live import Live
from rich.text import Text

from dailytalk_contiguous.cli.terminal import AS_JSON, Console, Panel, argument, option, print_json, show_outcome
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.outcome import Outcome
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.run.events import FINISHED, GONE, RUNNING, Run
from dailytalk_contiguous.run.events import run_status as runs_in
from dailytalk_contiguous.sources.addresses import address_of, store_address

#: Seconds between two looks of `--follow`, at a folder of this machine and in a store.
FOLLOW_SECONDS, FOLLOW_STORE_SECONDS = 2.0, 30.0


def status(
    folder: Path = argument("DIR", "Work folder of a run, or s3://BUCKET/FOLDER."),
    follow: bool = option(
        False, Panel.RUN, "Look again until all runs have ended; with --json, a line a look.", "--follow"
    ),
    as_json: bool = AS_JSON,
) -> Outcome:
    """Say what the runs in DIR are doing, and how they ended.

    Each host and process: done, left, speed and money.
    """
    console = Console()
    pause = FOLLOW_STORE_SECONDS if address_of(folder) else FOLLOW_SECONDS
    seen: list[tuple[str, str, str]] = []
    try:
        runs, at = _look(folder)
        if follow and console.is_terminal and not as_json:
            with Live(_text(runs, at), console=console, transient=True) as live:
                while any(run.state == RUNNING for run in runs):
                    time.sleep(pause)
                    runs, at = _look(folder)
                    live.update(_text(runs, at))
        while follow and any(run.state == RUNNING for run in runs):
            states = [(run.run, run.state, run.time) for run in runs]
            if states != seen:  # there is a new event
                _show(runs, at, as_json)
            seen = states
            time.sleep(pause)
            runs, at = _look(folder)
    except KeyboardInterrupt:  # ends only --follow; the runs go on
        interrupts.answered()
        raise typer.Exit(0) from None
    if follow and as_json:
        _show(runs, at, as_json)
        return Outcome(None, "")
    return status_outcome(runs, at)


def _look(folder: Path) -> tuple[list[Run], datetime]:
    if address := store_address(folder):
        from dailytalk_contiguous.run.storage import watched_store  # imports the libraries of stores

        folder = watched_store(folder)
    return runs_in(folder, address or ""), datetime.now(UTC)


def _show(runs: Sequence[Run], at: datetime, as_json: bool) -> None:
    if as_json:
        print_json({"runs": [run.as_dict(at) for run in runs]}, one_line=True)
    else:
        show_outcome(status_outcome(runs, at))


def status_outcome(runs: Sequence[Run], at: datetime) -> Outcome:
    again = any(run.state not in (RUNNING, FINISHED) for run in runs)
    working = sum(run.state == RUNNING for run in runs)
    return Outcome(
        {"runs": [run.as_dict(at) for run in runs]},
        f"{counted(len(runs), 'run')}, {working:,} running",
        details=[*_text(runs, at).plain.splitlines(), *_sentences(runs, at)],
        next="the same command as that run, to go on" if again else "",
    )


def _text(runs: Sequence[Run], at: datetime) -> Text:
    return Text("\n".join(_line(run, at) for run in runs))


def _line(run: Run, at: datetime) -> str:
    """A run as a line, not a row of a table: it can be searched, and no column is ever cut off."""
    part = "" if run.shard == [1, 1] else f" {run.shard[0]}/{run.shard[1]}"
    unit, size, digits = ("h", 3600, 2) if run.audio_seconds >= 3600 else ("min", 60, 1)
    parts = [
        f"{run.done} of {counted(run.shards, 'shard')}",
        f"{run.audio_done / size:.{digits}f} of {run.audio_seconds / size:.{digits}f} {unit}",
    ]
    left = run.left_seconds(at)
    if run.speed is not None:
        parts.append(f"{run.speed:.1f}× real time")
    if left is not None:
        parts.append(f"{length_text(left)} left")
    if run.spent:
        parts.append(f"{run.spent:.4f} USD spent")
    parts.append(f"last event {length_text(run.age(at))} ago")
    return f"{run.kind}{part} on {run.host}, process {run.pid}: {run.state}; {', '.join(parts)}"


def _sentences(runs: Sequence[Run], at: datetime) -> list[str]:
    sentences = []
    for run in runs:
        if run.state == GONE:
            gone = f"no event for {length_text(run.age(at))}: its process {run.pid} on {run.host} is gone"
            sentences.append(f"{run.kind}: {gone}; run the same command again to go on.")
        elif run.state not in (RUNNING, FINISHED):
            sentences.append(f"{run.kind}: {run.reason}.")
        if run.rejects:
            why = "tells why" if run.state == FINISHED else "will tell why, once all is done"
            sentences.append(f"{run.kind}: {run.rejects} rejected; rejects.jsonl {why}.")
    return sentences
