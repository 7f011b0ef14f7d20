"""`dailytalk pull`: take what others have published since into a work folder."""

from pathlib import Path

from dailytalk_contiguous.cli.engine_options import DRY_RUN
from dailytalk_contiguous.cli.push import SHOWN, quiet_clients
from dailytalk_contiguous.cli.show import DRY_RUN_NEXT
from dailytalk_contiguous.cli.terminal import Panel, argument, option, shown_steps
from dailytalk_contiguous.core.outcome import Outcome, to_run
from dailytalk_contiguous.core.wording import counted, shown_names
from dailytalk_contiguous.publish.pulling import Pulled, pull_version
from dailytalk_contiguous.run.storage import OF_SPEAK, open_work
from dailytalk_contiguous.store.work_folder import THEIRS


def pull(
    folder: Path = argument("DIR", "Work folder of dailytalk build, or of tag and speak."),
    recordings: Path | None = option(
        None,
        Panel.RARE,
        "Folder of recordings that were moved, or that only the transcript names.",
        metavar="DIR",
        show_default="where tag read them",
    ),
    dry_run: bool = DRY_RUN,
) -> Outcome:
    """Take what others have published since into a work folder.

    The folder knows the version that it was made from. Conversations that only others changed are taken as they
    are published, with their sound. Lines of those that you changed, too, are merged in transcript.jsonl, and
    dailytalk speak makes these conversations. A line that both of you changed stays yours; the other one is
    written to transcript.theirs.jsonl.
    """
    quiet_clients()
    work = open_work(folder)
    with shown_steps():
        done = pull_version(work.folder, recordings, dry_run)
    if not dry_run:
        work.settle(OF_SPEAK)
    return pull_outcome(done, folder, dry_run)


def pull_outcome(done: Pulled, folder: Path, dry_run: bool) -> Outcome:
    record = {"dry_run": dry_run, **done.as_dict()}
    details: list[str] = []
    if done.removed:
        details.append(f"removed  {_named(done.removed)}")
    if done.to_speak:
        details.append(f"merged  {_named(done.to_speak)}: dailytalk speak makes them")
    if done.kept:
        details.append(f"yours stay  {_named(done.kept)}")
    if done.conflicts:
        details.append(f"lines that both changed  {_named(done.conflicts)}: theirs are in {folder / THEIRS}")
    if done.base == done.head:
        return Outcome(record, f"nobody has published since {done.base}")
    if dry_run:
        headline = f"{counted(len(done.taken), 'conversation')} of {done.head} would be taken (--dry-run)"
        return Outcome(record, headline, details=details, next=DRY_RUN_NEXT)
    headline = f"{counted(len(done.taken), 'conversation')} of {done.head} taken into {folder}"
    return Outcome(record, headline, details=details, next=to_run("speak", folder))


def _named(names: list[str]) -> str:
    return f"{len(names)}: {shown_names(names, SHOWN)}"
