"""`dailytalk push`: publish a work folder as a version of a dataset on the Hub."""

import datasets
from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

from dailytalk_contiguous.cli.defaults import default_settings
from dailytalk_contiguous.cli.engine_options import DRY_RUN
from dailytalk_contiguous.cli.judgement import judgement_of, other_lines, reason_lines
from dailytalk_contiguous.cli.options import chosen, setting_options, size_text, with_options
from dailytalk_contiguous.cli.show import DRY_RUN_NEXT
from dailytalk_contiguous.cli.terminal import argument, say, shown_steps
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.outcome import Figures, Judgement, Outcome, exit_code, rejected_of, to_run
from dailytalk_contiguous.core.records.schema import CONFIGS
from dailytalk_contiguous.core.wording import shown_names
from dailytalk_contiguous.publish.hub.compare import diff_in_words
from dailytalk_contiguous.publish.hub.divergence import Diverged, Divergence
from dailytalk_contiguous.publish.hub.pushing import BadVersion, PushSettings, Release, push_version
from dailytalk_contiguous.publish.opening import finished_items
from dailytalk_contiguous.run.merged_transcript import is_transcript_edited
from dailytalk_contiguous.store.hub import MAIN, reference
from dailytalk_contiguous.store.work_folder import TRANSCRIPT

#: Files of a plan that are shown before the reader is sent to --json.
SHOWN = 40

#: The options of a push.
PUSH_SETTINGS = setting_options(PushSettings())


@with_options(PUSH_SETTINGS)
def push(
    source: str = argument("DIR", "Folder of speak, build or corpus (s3:// too)."),
    repo: str = argument("OWNER/NAME", "The dataset on the Hub."),
    dry_run: bool = DRY_RUN,
    **options: object,
) -> Outcome:
    """Publish finished conversations as a version on the Hub.

    Readers see it whole or not at all. The token comes from `hf auth login` or HF_TOKEN. After a stop, run the
    same command again: what is uploaded is not sent again. Conversations keep the split that they had in an
    earlier version. One that can't be published is rejected with its reason (exit code 3), and the others go on.
    A version that dailytalk check calls bad is refused without --even-if-bad, before anything is sent; so is a
    --licence that a source's licence contradicts, without --even-if-forbidden.
    --private is refused for a dataset that is public. --dry-run needs no token if the dataset is public, or does
    not exist yet.
    """
    named = reference(repo)
    if named.revision is not None:
        raise DailytalkError(f"{repo!r} names a version", f"write {named.repo}, and --tag {named.revision}")
    settings = PushSettings(**chosen(options, PUSH_SETTINGS))
    if settings.pr and (settings.branch != MAIN or settings.create):
        raise DailytalkError(
            "--pr proposes changes to main of an existing dataset", "leave --branch and --create out, or --pr"
        )
    # The Hub's client and datasets show a progress bar for every file.
    disable_progress_bars()
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()
    items = finished_items(source)
    unspoken = source if is_transcript_edited(items.where) else None
    if unspoken:
        notice = f"{TRANSCRIPT} was changed since dailytalk speak: what was changed is not in this version"
        say(f"{notice}; run dailytalk speak first")
    try:
        with shown_steps():
            done = push_version(items, named.repo, settings, default_settings(), dry_run)
    except Diverged as refusal:
        record = {"published": None, "divergence": refusal.divergence.as_dict()}
        details = divergence_details(refusal.divergence)
        return Outcome(record, "nothing was published", 1, details, error=refusal)
    except BadVersion as refusal:
        return push_outcome(refusal.release, dry_run, unspoken, refusal)
    return push_outcome(done, dry_run, unspoken)


def divergence_details(divergence: Divergence) -> list[str | Figures]:
    """Return lines on what publishing would take away."""
    details: list[str | Figures] = []
    for kind, names in (("files", divergence.files), ("conversations", divergence.conversations)):
        if names:
            details.append(f"{kind} of others that would go  {shown_names(names, SHOWN)}")
    return details


def push_outcome(done: Release, dry_run: bool, unspoken: str | None, refusal: BadVersion | None = None) -> Outcome:
    """Return the outcome of a push.

    Args:
        unspoken: the work folder, if its transcript was edited since its conversations were made.
        refusal: why the version was not published.
    """
    repo = done.repo
    settings = done.settings
    rejects = done.packed.rejects
    record = push_record(done, dry_run)
    rejected = rejected_of(rejects, "conversation")
    code = exit_code(1, len(rejects))
    revision = done.tag or (settings.branch if settings.branch != MAIN else "")
    arguments = f'"{repo}", revision="{revision}"' if revision else f'"{repo}"'
    load = f"import dailytalk_contiguous; dailytalk_contiguous.load({arguments})"
    if done.card is None:
        headline = f"{repo} has just this already"
        if done.tag:
            headline += f", as {done.tag}"
        if done.held_instead:  # somebody has put the branch back by hand
            headline += f", but {settings.branch} holds other data ({done.held_instead})"
        next_command = to_run("speak", unspoken) if unspoken else load
        return Outcome(record, headline, code, rejected=rejected, next=next_command)
    verdict = done.card.verdict
    details: list[str | Judgement | Figures] = [judgement_of(verdict), *reason_lines(verdict)]
    details += other_lines(verdict)
    details += [f"licence: {warning}" for warning in done.card.warnings]
    if refusal:
        return Outcome(record, "nothing was changed on the Hub", 1, details, rejected, error=refusal)
    details += change_details(done)
    if done.left:
        details.append(f"left there, and no part of the version  {shown_names(done.left, SHOWN)}")
    if dry_run:
        details += plan_details(done)
        if done.divergence and not settings.even_if_diverged:
            details.append("a push would be refused: it takes away what is published; --even-if-diverged does so")
        if verdict.level == "bad" and not settings.even_if_bad:
            details.append("a push would be refused: the version is bad; --even-if-bad publishes it as it is")
        if done.card.contradictions and not settings.even_if_forbidden:
            details.append(f"a push would be refused: --licence {settings.licence} is contradicted")
        return Outcome(record, "nothing was changed on the Hub (--dry-run)", code, details, rejected, DRY_RUN_NEXT)
    if settings.pr:
        load = "after the merge, the same command without --pr, to set the tag"
    verb = "proposed" if settings.pr else "commit"
    return Outcome(record, f"{verb}   {done.url}", code, details, rejected, load)


def push_record(done: Release, dry_run: bool) -> dict[str, object]:
    """The outcome of a push for --json."""
    published = {"commit": done.commit, "url": done.url, "tag": done.tag}
    return {
        "dry_run": dry_run,
        "tag": done.tag,
        "bump": done.changes.bump,
        "changes": done.changes.as_dict(),
        "plan": [change._asdict() for change in done.plan],
        "divergence": done.divergence.as_dict() if done.divergence else None,
        "to_send": done.to_send,
        "size": done.size,
        "published": published if done.commit else None,
        "left": done.left,
        "held_instead": done.held_instead or None,
        "warnings": list(done.card.warnings) if done.card else [],
        "verdict": done.card.verdict.as_dict() if done.card else None,
        "rejects": [reject.as_dict() for reject in done.packed.rejects],
    }


def change_details(done: Release) -> list[str | Judgement | Figures]:
    """Return lines on a release: its changes, its tag, and how much is sent."""
    changes = diff_in_words(done.changes.as_dict())
    if done.changes.previous and done.changes.bump:
        changes += f"; they call for a {done.changes.bump} version"
    lost = divergence_details(done.divergence) if done.divergence else []
    return [
        *lost,
        f"changes  {changes}",
        f"version  {done.tag or 'none: pass --tag to name it'}",
        f"to send  {size_text(done.to_send)} of {size_text(done.size)}",
    ]


def plan_details(done: Release) -> list[str | Judgement | Figures]:
    """The conversations and the files that a push would change."""
    details: list[str | Judgement | Figures] = []
    if done.changes.previous:
        changes = done.changes
        for kind, names in (("added", changes.added), ("removed", changes.removed), ("changed", changes.changed)):
            if names:
                details.append(f"{kind}  {shown_names(names, SHOWN)}")
    published = done.before.head.configs.get(CONFIGS[0], {})
    for split, files in done.packed.configs[CONFIGS[0]].items():
        n_before = len(published.get(split, files))
        if n_before < len(files):
            details.append(f"cut anew  {split}: {n_before} to {len(files)} files")
    changed = [change for change in done.plan if change.action != "keep"]
    rows = [(change.action, change.name, size_text(change.size)) for change in changed[:SHOWN]]
    details.append(Figures(("", f"file ({len(changed)} of {len(done.plan)})", "size"), rows))
    return details
