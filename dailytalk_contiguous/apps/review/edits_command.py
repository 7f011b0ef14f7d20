"""`dailytalk edits`: import annotations that were changed in another program into the transcript."""

from contextlib import nullcontext
from pathlib import Path

from dailytalk_contiguous.apps.review.annotation_edits import bring_back
from dailytalk_contiguous.apps.review.layouts import TaggedLines, open_editable
from dailytalk_contiguous.apps.review.review_command import AUTHOR, author_or_user
from dailytalk_contiguous.apps.review.session import Session
from dailytalk_contiguous.cli.engine_options import DRY_RUN
from dailytalk_contiguous.cli.show import DRY_RUN_NEXT
from dailytalk_contiguous.cli.terminal import SHOWN, argument
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.outcome import Outcome, rejected_of, to_run
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.store.files import folder_locked


def edits(
    work: Path = argument("WORK", "Folder of tag or build that was exported."),
    source: Path = argument(
        "FOLDER|FILE", "What export wrote (textgrid, eaf, srt, vtt, audacity), edited.", exists=True
    ),
    author: str = AUTHOR,
    dry_run: bool = DRY_RUN,
) -> Outcome:
    """Bring edited annotations back into a transcript.

    Texts, times, speakers, tags, deleted and new lines of a file become one edit, which review can undo.
    The next speak says only the changed lines again. Lines that can't be used are rejected; others are applied.
    """
    editable = open_editable(work) if work.is_dir() else None
    if not isinstance(editable, TaggedLines):
        raise DailytalkError(f"{as_text(work)!r} has no transcript.jsonl", "name a folder of tag or build")
    with nullcontext() if dry_run else folder_locked(work):
        session = Session(editable, author_or_user(author))
        n_files, changes, rejects = bring_back(session, source, dry_run)
    details = changes[:SHOWN]
    if len(changes) > SHOWN:
        details.append(f"… {len(changes) - SHOWN:,} more (--json lists all)")
    next_step = DRY_RUN_NEXT if dry_run else to_run("speak", work)
    would_come = " would come" if dry_run else ""
    return Outcome(
        {"files": n_files, "edits": changes, "rejects": [reject.as_dict() for reject in rejects]},
        f"{counted(len(changes), 'edit')}{would_come} of {counted(n_files, 'file')}",
        3 if rejects else 0,
        details,
        rejected_of(rejects),
        next=next_step if changes else "",
    )
