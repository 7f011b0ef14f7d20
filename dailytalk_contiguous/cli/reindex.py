"""`dailytalk reindex`: numbered recordings without gaps."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from dailytalk_contiguous.cli.options import DryRunOption
from dailytalk_contiguous.cli.terminal import SHOWN, AsJsonOption, Console, HelpPanel, option, print_json
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.sources.reindexing import reindex_folder, undo_reindex


def reindex(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder with recordings NAME_000007.wav, at any depth.")
    ],
    digits: Annotated[int, option(HelpPanel.RESULT, "Of a number, at least.", metavar="N", min=1, max=12)] = 6,
    undo: Annotated[
        bool, option(HelpPanel.RESULT, "Give back the names from before the last time.", "--undo")
    ] = False,
    dry_run: DryRunOption = False,
    as_json: AsJsonOption = False,
) -> None:
    """Number recordings NAME_000007.wav without gaps, each NAME from 1; what names them follows.

    Files beside them (NAME_000007.json, .txt, .TextGrid), whisper.json, manifest.jsonl, transcript.jsonl and
    tables follow; they are kept as they were in .dailytalk-reindex. All is renamed or nothing, also after a kill:
    the next call finishes it.
    """
    done = undo_reindex(folder, dry_run) if undo else reindex_folder(folder, digits, dry_run)
    if as_json:
        print_json(
            {
                "files": done.files,
                "names": {as_text(old): as_text(new) for old, new in done.names.items()},
                "documents": [as_text(name) for name in done.documents],
                "backup": None if done.backup is None else as_text(done.backup),
            }
        )
        return
    console = Console()
    if not done.names:
        console.print("nothing to do: there is no gap")
        return
    would = " would be" if dry_run else ""
    console.print(f"{counted(done.files, 'file')}{would} renamed in {escape(as_text(folder))}")
    for old, new in [*done.names.items()][:SHOWN]:
        console.print(escape(f"  {as_text(old)} → {as_text(new)}"))
    if len(done.names) > SHOWN:
        console.print(f"  … {len(done.names) - SHOWN:,} more")
    if done.documents:
        console.print(escape(f"what names them follows: {', '.join(map(as_text, done.documents))}"))
    if done.backup:
        console.print(escape(f"as they were: {as_text(done.backup)}"))
    if not dry_run and not undo:
        console.print(escape(f"back: dailytalk reindex {as_text(folder)} --undo"))
