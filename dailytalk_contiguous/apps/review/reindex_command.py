"""`dailytalk reindex`: numbered recordings without gaps."""

from pathlib import Path

from dailytalk_contiguous.apps.review.edits import Json
from dailytalk_contiguous.apps.review.reindexing import UNDONE, reindex_folder, undo_reindex
from dailytalk_contiguous.cli.engine_options import DRY_RUN
from dailytalk_contiguous.cli.show import DRY_RUN_NEXT
from dailytalk_contiguous.cli.terminal import SHOWN, Panel, argument, option
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.outcome import Outcome, to_run
from dailytalk_contiguous.core.wording import counted


def reindex(
    folder: Path = argument("DIR", "Folder of the recordings; those in it count on their own."),
    digits: int | None = option(
        None, Panel.RESULT, "Digits of a number; by default as many as now.", metavar="N", min=1, max=12
    ),
    undo: bool = option(False, Panel.RESULT, "Put DIR back as it was before the last time.", "--undo"),
    dry_run: bool = DRY_RUN,
) -> Outcome:
    """Number recordings without gaps, also in files that name them.

    NAME_000007.wav, NAME_000007-so-we-went.wav or Audio001.wav, each NAME from 1. Files beside them
    (NAME_000007.json, .txt, .TextGrid) follow, and in DIR and the folder above it whisper.json, manifest.jsonl,
    transcript.jsonl and tables. A copy with the new names (hard links to the audio) takes the place of DIR, which
    stays in .dailytalk-reindex.
    """
    if undo:
        backup = undo_reindex(folder, dry_run)
        said = f"{as_text(folder)} {'would be' if dry_run else 'is'} as it was before it was reindexed"
        kept = "" if dry_run else f"; as it was until now: {as_text(backup / UNDONE)}"
        return Outcome({"backup": as_text(backup)}, said + kept, next=DRY_RUN_NEXT if dry_run else "")
    done = reindex_folder(folder, digits, dry_run)
    record: Json = {
        "files": done.files,
        "names": {as_text(old): as_text(new) for old, new in done.names.items()},
        "documents": [as_text(name) for name in done.documents],
        "unnamed": [as_text(name) for name in done.unnamed],
        "backup": None if done.backup is None else as_text(done.backup),
    }
    details = []
    if done.unnamed:
        more = f" and {len(done.unnamed) - 1:,} more" if len(done.unnamed) > 1 else ""
        details.append(f"without a number, so it stays: {as_text(done.unnamed[0])}{more}")
    if not done.names:
        no_gap = (
            "there is no gap" if done.numbered else "no recording here is called NAME_000007.wav or Audio001.wav"
        )
        return Outcome(record, f"nothing to do: {no_gap}", details=details)
    details += [f"  {old} → {new}" for old, new in [*record["names"].items()][:SHOWN]]
    if len(done.names) > SHOWN:
        details.append(f"  … {len(done.names) - SHOWN:,} more")
    if done.documents:
        details.append(f"also renamed in: {', '.join(record['documents'])}")
    if done.backup:
        details.append(f"as it was: {record['backup']}")
    headline = f"{counted(done.files, 'file')}{' would be' if dry_run else ''} renamed in {as_text(folder)}"
    back = f"{to_run('reindex', folder, '--undo')} puts it back"
    return Outcome(record, headline, details=details, next=DRY_RUN_NEXT if dry_run else back)
