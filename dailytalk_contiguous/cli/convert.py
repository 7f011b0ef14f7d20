"""`dailytalk convert`: recordings as WAV, FLAC, MP3 or Opus."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from dailytalk_contiguous.cli import options
from dailytalk_contiguous.cli.show import left_out
from dailytalk_contiguous.cli.terminal import (
    AsJsonOption,
    Console,
    HelpPanel,
    exit_code,
    option,
    print_json,
    show_rejected,
    show_verdict,
)
from dailytalk_contiguous.core.audio import HIGHEST_RATE, LOWEST_RATE
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.run.conversion import CONTAINERS, Conversion, convert_recordings
from dailytalk_contiguous.run.outputs import REJECTS


def convert(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT", help="Recordings, or folders of them.")],
    to: Annotated[str, option(HelpPanel.INPUT, f"Format: {options.either(CONTAINERS)}.", metavar="NAME")],
    out: Annotated[Path, option(HelpPanel.INPUT, "Folder for the files, laid out as INPUT is.", metavar="DIR")],
    rate: Annotated[
        int | None,
        option(
            HelpPanel.RESULT,
            "Sample rate.",
            metavar="HZ",
            min=LOWEST_RATE,
            max=HIGHEST_RATE,
            show_default="the source's, or the next that the format has",
        ),
    ] = None,
    channels: Annotated[
        int | None,
        option(
            HelpPanel.RESULT,
            "1 for the mean of all channels (both speakers of a call), or 2.",
            metavar="N",
            min=1,
            max=2,
            show_default="the source's",
        ),
    ] = None,
    bits: Annotated[
        int | None,
        option(
            HelpPanel.RESULT,
            "16 or 24, of wav and flac.",
            metavar="N",
            show_default="24 where the source has more than 16, else 16",
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        option(HelpPanel.RESULT, "Replace files that are there; never one of INPUT.", "--overwrite"),
    ] = False,
    workers: Annotated[int, options.workers_option()] = 1,
    as_json: AsJsonOption = False,
    follow_links: options.FollowLinksOption = False,
) -> None:
    """Write recordings as WAV, FLAC, MP3 or Opus; folders, names and tags are kept.

    Every file is read back before it gets its name, and nothing is overwritten: what was made before of the same
    recording in the same way is left as it is, so that a run that was stopped goes on.
    """
    options.on_this_machine("--out", out)
    options.one_of("--to", to, CONTAINERS)
    if bits not in (None, 16, 24):
        raise DailytalkError(f"--bits can't be {bits}", "choose one of 16, 24")
    conversion = Conversion(to, rate, channels, bits)  # type: ignore[arg-type]
    console = Console(stderr=as_json)
    with Progress(
        *(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()),
        console=console,
        transient=True,
        disable=as_json or not console.is_terminal,
    ) as progress:
        shown = progress.add_task("", total=None)
        done = convert_recordings(
            inputs,
            out,
            conversion,
            workers,
            overwrite,
            follow_links,
            planned=lambda count, left: progress.update(shown, total=count, completed=count - left),
            finished=lambda: progress.advance(shown),
        )
    code = exit_code(done.made + done.done_before, len(done.rejects))
    if as_json:
        rejects = [reject.as_dict() for reject in done.rejects]
        seconds = round(done.seconds, 3)
        counts = {"made": done.made, "seconds": seconds, "done_before": done.done_before}
        print_json({"out": as_text(out), **counts, "rejected": rejects})
        raise typer.Exit(code)
    left_out(console, done.left_out)
    before = f", {done.done_before:,} done before" if done.done_before else ""
    made = f"{counted(done.made, 'file')} ({length_text(done.seconds)}) made{before}"
    console.print(f"{made} in {escape(as_text(out))}")
    show_rejected(console, done.rejects, f"in {as_text(out / REJECTS)}", "recording")
    if code and not done.rejects:
        console.print("no recording could be used")
    show_verdict(console, code)
    raise typer.Exit(code)
