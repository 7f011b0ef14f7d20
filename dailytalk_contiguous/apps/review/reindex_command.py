"""`dailytalk reindex`: numbered recordings without gaps."""

from pathlib import Path

from dailytalk_contiguous.apps.review.reindexing import UNDONE, Reindexed, reindex_folder, undo_reindex
from dailytalk_contiguous.cli.engine_options import DRY_RUN
from dailytalk_contiguous.cli.show import DRY_RUN_NEXT
from dailytalk_contiguous.cli.terminal import SHOWN, Panel, argument, option
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.records.outcome import Outcome, to_run
from dailytalk_contiguous.core.wording import counted


def reindex(
    folder: Path = argument("DIR", "Folder of the recordings; each folder in it is numbered on its own."),
    undo: bool = option(False, Panel.RESULT, "Put DIR back as it was before the last reindex.", "--undo"),
    dry_run: bool = DRY_RUN,
) -> Outcome:
    """Number recordings without gaps, also in files that name them.

    NAME_000007.wav, NAME_000007-so-we-went.wav or Audio001.wav, each NAME from 1. Files beside them
    (NAME_000007.json, .txt, .TextGrid) follow, and so do whisper.json and manifest.jsonl in DIR and the folder
    above it. A copy with the new names (hard links to the audio) takes the place of DIR, which stays in
    .dailytalk-reindex.
    """
    if undo:
        backup = undo_reindex(folder, dry_run)
        record = {"backup": as_text(backup)}
        if dry_run:
            headline = f"{as_text(folder)} would be as it was before it was reindexed"
            return Outcome(record, headline, next=DRY_RUN_NEXT)
        kept = f"as it was until now: {as_text(backup / UNDONE)}"
        return Outcome(record, f"{as_text(folder)} is as it was before it was reindexed; {kept}")
    done = reindex_folder(folder, dry_run)
    return _renamed(folder, done, dry_run)


def _renamed(folder: Path, done: Reindexed, dry_run: bool) -> Outcome:
    """The outcome of a reindex."""
    names = {as_text(old): as_text(new) for old, new in done.names.items()}
    documents = [as_text(name) for name in done.documents]
    unnamed = [as_text(name) for name in done.unnamed]
    backup = None if done.backup is None else as_text(done.backup)
    record = {"files": done.files, "names": names, "documents": documents, "unnamed": unnamed, "backup": backup}
    details: list[str] = []
    if unnamed:
        more = f" and {len(unnamed) - 1:,} more" if len(unnamed) > 1 else ""
        details.append(f"without a number, so it stays: {unnamed[0]}{more}")
    if not names:
        no_gap = (
            "there is no gap" if done.numbered else "no recording here is called NAME_000007.wav or Audio001.wav"
        )
        return Outcome(record, f"nothing to do: {no_gap}", details=details)
    for old, new in [*names.items()][:SHOWN]:
        details.append(f"  {old} → {new}")
    if len(names) > SHOWN:
        details.append(f"  … {len(names) - SHOWN:,} more")
    if documents:
        details.append(f"also renamed in: {', '.join(documents)}")
    if backup:
        details.append(f"as it was: {backup}")
    would_be = " would be" if dry_run else ""
    headline = f"{counted(done.files, 'file')}{would_be} renamed in {as_text(folder)}"
    back = f"{to_run('reindex', folder, '--undo')} puts it back"
    return Outcome(record, headline, details=details, next=DRY_RUN_NEXT if dry_run else back)
