"""`dailytalk transcribe`: the texts of a folder of clips as one whisper.json."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli import terminal
from dailytalk_contiguous.cli.show import bar
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.models.profiles import STANDARD
from dailytalk_contiguous.pipelines import transcribe_stages
from dailytalk_contiguous.run.passes import RunOptions
from dailytalk_contiguous.run.transcribing import TranscribedClips, default_json, transcribe_clips
from dailytalk_contiguous.stages.transcribe import Transcribe

#: The options that are settings of its stage.
TRANSCRIBE_SETTINGS = cli_options.setting_options(Transcribe(device="cpu"))


@cli_options.with_options(TRANSCRIBE_SETTINGS)
def transcribe(
    source: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of clips of one speaker each, or audio/ in it.")
    ],
    out: Annotated[
        Path | None,
        terminal.option(
            terminal.HelpPanel.INPUT,
            "The JSON to write or to complete; entries that are there stay as they are.",
            metavar="FILE",
            show_default="the JSON of DIR, or DIR/whisper.json",
        ),
    ] = None,
    profile: Annotated[str, cli_options.profile_option()] = STANDARD,
    workers: Annotated[int, cli_options.workers_option()] = 1,
    follow_links: cli_options.FollowLinksOption = False,
    dry_run: cli_options.DryRunOption = False,
    as_json: terminal.AsJsonOption = False,
    **options: Any,
) -> None:
    """Recognise the clips of a folder into one JSON, as Whisper writes it, by the name of each file.

    Clips that have an entry are not heard again, whoever wrote it: run the same command after a stop, or for clips
    that were added. Delete an entry to have its clip heard anew.
    """
    stages = transcribe_stages(profile, **cli_options.chosen(options, TRANSCRIBE_SETTINGS))
    if not source.is_dir():
        raise DailytalkError(f"{as_text(source)!r} is no folder", "name the folder of the clips")
    console = terminal.Console(stderr=as_json)
    with bar(console, quiet=as_json) as run_bar:
        done = transcribe_clips(
            source,
            out or default_json(source),
            stages,
            RunOptions(workers),
            terminal.command_line(),
            follow_links,
            planned=run_bar.planned,
            dry_run=dry_run,
        )
    code = terminal.exit_code(done.entries + dry_run * len(done.heard), len(done.rejects))
    if as_json:
        terminal.print_json({"dry_run": dry_run} | _summary(done))
    else:
        _show(console, done, dry_run)
        terminal.show_verdict(console, code)
    raise typer.Exit(code)


def _summary(done: TranscribedClips) -> dict[str, Any]:
    return {
        "out": as_text(done.out),
        "entries": done.entries,
        "heard": done.heard,
        "empty": done.empty,
        "rejects": [reject.as_dict() for reject in done.rejects],
        "audio_seconds": round(done.audio_seconds, 2),
        "wall_seconds": round(done.wall_seconds, 2),
    }


def _show(console: terminal.Console, done: TranscribedClips, dry_run: bool) -> None:
    if done.heard and dry_run:
        console.print(f"{counted(len(done.heard), 'clip')} would be heard, {length_text(done.audio_seconds)}")
    elif done.heard:
        heard = f"{counted(len(done.heard), 'clip')} heard, {length_text(done.audio_seconds)}"
        console.print(f"{heard} in {length_text(done.wall_seconds)}")
    else:
        console.print("nothing to do: every clip has an entry")
    console.print(f"{done.entries:,} entries in {escape(as_text(done.out))}")
    if done.empty:
        shown = ", ".join(map(repr, done.empty[:3]))
        console.print(
            f"without a word: {len(done.empty):,} ({escape(shown)}{', …' if len(done.empty) > 3 else ''})"
        )
    terminal.show_rejected(console, done.rejects)
