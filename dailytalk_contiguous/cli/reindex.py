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
        Path, typer.Argument(metavar="DIR", help="Folder of the recordings; those in it count on their own.")
    ],
    digits: Annotated[
        int | None,
        option(HelpPanel.RESULT, "Of a number; as it has now if left out.", metavar="N", min=1, max=12),
    ] = None,
    undo: Annotated[
        bool, option(HelpPanel.RESULT, "Give back the names from before the last time.", "--undo")
    ] = False,
    dry_run: DryRunOption = False,
    as_json: AsJsonOption = False,
) -> None:
    """Number recordings NAME_000007.wav (or Audio001.wav) without gaps, each NAME from 1; what names them follows.

    Files beside them (NAME_000007.json, .txt, .TextGrid) follow, and in DIR and the folder above it whisper.json,
    manifest.jsonl, transcript.jsonl and tables; these are kept as they were in .dailytalk-reindex. All is renamed
    or nothing, also after a kill: the next call finishes it.
    """
    done = undo_reindex(folder, dry_run) if undo else reindex_folder(folder, digits, dry_run)
    if as_json:
        print_json(
            {
                "files": done.files,
                "names": {as_text(old): as_text(new) for old, new in done.names.items()},
                "documents": [as_text(name) for name in done.documents],
                "unnamed": [as_text(name) for name in done.unnamed],
                "backup": None if done.backup is None else as_text(done.backup),
            }
        )
        return
    console = Console()
    if done.unnamed:
        more = f" and {len(done.unnamed) - 1:,} more" if len(done.unnamed) > 1 else ""
        console.print(escape(f"without a number, so it stays: {as_text(done.unnamed[0])}{more}"))
    if not done.names:
        nothing = (
            "there is no gap" if done.numbered else "no recording here is called NAME_000007.wav or Audio001.wav"
        )
        console.print(f"nothing to do: {nothing}")
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
