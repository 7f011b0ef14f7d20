"""`dailytalk push`: publish a work folder as a version of a dataset on the Hub."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import datasets
import typer
from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]
from rich.markup import escape
from rich.table import Table

from dailytalk_contiguous.cli.options import DryRunOption, one_of, seed_option, size_text
from dailytalk_contiguous.cli.terminal import AsJsonOption, Console, HelpPanel, option, print_json, show_rejects
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.pushing import MAIN, METHODS, PushOutcome, PushSettings, Target, push_in_words
from dailytalk_contiguous.publish.pushing import push_version as run_push
from dailytalk_contiguous.run.outputs import TRANSCRIPT, edited_since
from dailytalk_contiguous.store.hub import reference

#: Files of a plan that are shown before the reader is sent to --json.
SHOWN = 40


def push(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of dailytalk speak, build or corpus.")],
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The dataset on the Hub.")],
    create: Annotated[bool, option(HelpPanel.INPUT, "Make the dataset if it isn't there.", "--create")] = False,
    private: Annotated[
        bool, option(HelpPanel.INPUT, "With --create: for invited people only.", "--private")
    ] = False,
    include_source: Annotated[
        bool | None,
        option(
            HelpPanel.INPUT,
            "The untouched recordings too, as config source.",
            "--include-source/--no-source",
            show_default="as in the version before",
        ),
    ] = PushSettings.include_source,
    tag: Annotated[
        str | None,
        option(
            HelpPanel.VERSION,
            "The version: v1.0.0, or auto for the one that the changes call for.",
            metavar="TAG",
            show_default="no tag",
        ),
    ] = PushSettings.tag,
    branch: Annotated[
        str, option(HelpPanel.VERSION, "To commit to; made from main if it isn't there.", metavar="NAME")
    ] = MAIN,
    pr: Annotated[bool, option(HelpPanel.VERSION, "Open a pull request. It gets no tag.", "--pr")] = False,
    message: Annotated[
        str,
        option(
            HelpPanel.VERSION, "Of the commit.", metavar="TEXT", show_default="made from the tag and the changes"
        ),
    ] = PushSettings.message,
    method: Annotated[
        str,
        option(
            HelpPanel.VERSION,
            "commit: all in one commit. push_to_hub: the way of datasets, a commit for each config and one "
            "for the card, then the tag; at most 50 files a config.",
            metavar="NAME",
        ),
    ] = PushSettings.method,
    licence: Annotated[
        str | None,
        option(
            HelpPanel.CARD,
            "Of the dataset, as the Hub writes it: cc-by-4.0.",
            metavar="NAME",
            show_default="what follows from sources and models",
        ),
    ] = PushSettings.licence,
    title: Annotated[
        str | None, option(HelpPanel.CARD, "Of the card.", metavar="TEXT", show_default="the name")
    ] = PushSettings.title,
    contact: Annotated[
        str | None,
        option(
            HelpPanel.CARD,
            "How to reach you.",
            metavar="TEXT",
            show_default="what the card says, else its discussions",
        ),
    ] = PushSettings.contact,
    valid_share: Annotated[
        float, option(HelpPanel.SPLITS, "Share of the time to validate on.", metavar="SHARE", min=0, max=0.5)
    ] = PushSettings.valid_share,
    test_share: Annotated[
        float, option(HelpPanel.SPLITS, "Share of the time to test on.", metavar="SHARE", min=0, max=0.5)
    ] = PushSettings.test_share,
    dry_run: DryRunOption = False,
    as_json: AsJsonOption = False,
    seed: Annotated[int, seed_option()] = PushSettings.seed,
) -> None:
    """Publish finished conversations as a version on the Hub that readers see whole or not at all.

    The token is that of `hf auth login`, or HF_TOKEN. After a stop, run the same command again: what is packed and
    uploaded is not done again. Conversations stay in the split in which a version before had them. One that can't
    be published is rejected with its reason (exit code 3), and the others go on.
    """
    one_of("--method", method, METHODS)
    target = _target(repo, branch, pr, create, private)
    settings = PushSettings(
        tag, message, method, include_source, valid_share, test_share, seed, licence, title, contact
    )
    quiet_clients()
    console = Console(stderr=as_json)
    if edited_since(folder):
        notice = f"{TRANSCRIPT} was changed since dailytalk speak: what was changed is not in this version"
        console.print(escape(f"{notice}; run dailytalk speak first"))
    outcome = run_push(folder, target, settings, lambda line: console.print(escape(line)), dry_run=dry_run)
    if as_json:
        print_json(_summary(outcome, dry_run))
    else:
        _show(console, outcome, target, dry_run)
        if rejects := outcome.packed.rejects:
            rows = sum(file.rows for file in outcome.packed.files if file.config == "conversations")
            share = f"{len(rejects):,} of {counted(rows + len(rejects), 'conversation')}"
            show_rejects(console, share, "all with --json", (reject.as_dict() for reject in rejects))
    if outcome.packed.rejects:
        raise typer.Exit(3)


def quiet_clients() -> None:
    """Switch off the progress bars of the Hub's client and of datasets: they show one for every file."""
    disable_progress_bars()
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()


def _target(repo: str, branch: str, pr: bool, create: bool, private: bool) -> Target:
    named = reference(repo)
    if named.revision is not None:
        raise DailytalkError(f"{repo!r} names a version", f"write {named.repo}, and --tag {named.revision}")
    if pr and branch != MAIN:
        raise DailytalkError("--pr proposes to main and does not go with --branch", "leave one of them out")
    if private and not create:
        raise DailytalkError(
            "--private is for a dataset that --create makes", "pass --create too, or change it in its settings"
        )
    return Target(named.repo, branch, pr, create, private)


def _summary(outcome: PushOutcome, dry_run: bool) -> dict[str, Any]:
    plan = outcome.plan
    return {
        "dry_run": dry_run,
        "tag": outcome.tag,
        "bump": outcome.changes.bump,
        "changes": outcome.changes.as_dict(),
        "plan": [change._asdict() for change in plan.changes] if plan else [],
        "to_send": plan.to_send if plan else 0,
        "published": asdict(outcome.published) if outcome.published else None,
        "warnings": list(outcome.warnings),
        "rejects": [reject.as_dict() for reject in outcome.packed.rejects],
    }


def _show(console: Console, outcome: PushOutcome, target: Target, dry_run: bool) -> None:
    def line(text: str) -> None:
        console.print(escape(text))

    if outcome.plan is None:
        line(f"{target.repo} has just this already{f', as {outcome.tag}' if outcome.tag else ''}: nothing to do")
        return
    for warning in outcome.warnings:
        line(f"licence: {warning}")
    line(f"changes  {push_in_words(outcome.changes.as_dict())}; they call for {_called(outcome)}")
    if dry_run:
        line(f"version  {outcome.tag or 'none: pass --tag to name it'}")
        _show_plan(console, outcome)
        return
    done = outcome.published
    assert done is not None
    own = [file for file in outcome.packed.files if file.config == "conversations"]
    hours = sum(file.seconds for file in own) / 3600
    line(f"{'proposed' if target.pull_request else 'commit  '} {done.url}")
    line(f"rows     {counted(sum(file.rows for file in own), 'conversation')}, {hours:.2f} hours")
    line(f"sent     {size_text(done.sent)}; {size_text(done.present)} were there already")
    if target.pull_request:
        line("tag      none: after the merge, run the same command without --pr to set it")
        return
    line(f"tag      {done.tag or 'none: readers of the branch see it; pass --tag to name it'}")
    revision = done.tag or (target.branch if target.branch != MAIN else "")
    line("")
    line("from datasets import load_dataset")
    line(f'load_dataset("{target.repo}"' + (f', revision="{revision}")' if revision else ")"))


def _show_plan(console: Console, outcome: PushOutcome) -> None:
    assert outcome.plan is not None
    table = Table("", "file", "size", box=None, pad_edge=False)
    shown = [change for change in outcome.plan.changes if change.what != "keep"]
    for change in shown[:SHOWN]:
        table.add_row(change.what, escape(change.name), size_text(change.size))
    console.print(table)
    if len(shown) > SHOWN:
        console.print(f"… {len(shown) - SHOWN} more (--json lists all)")
    kept = len(outcome.plan.changes) - len(shown)
    console.print(f"{counted(kept, 'file')} unchanged; {size_text(outcome.plan.to_send)} to send at most")
    console.print("nothing was changed on the Hub (--dry-run)")


def _called(outcome: PushOutcome) -> str:
    bump = outcome.changes.bump
    if outcome.changes.previous is None:
        return outcome.tag or "v1.0.0"
    why = next((f" ({config}: {sentences[0]})" for config, sentences in outcome.changes.broken.items()), "")
    return f"a {bump} version{why}" if bump else "no new version"
