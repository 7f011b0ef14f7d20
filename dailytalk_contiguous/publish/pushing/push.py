"""A push from a work folder to a version on the Hub: check, pack, compare, write the card, commit, tag.

Everything before the commit changes nothing on the Hub, and everything packed stays in `.publish` of the work
folder until the push is through, so that the same command after any stop goes on where it was. `--dry-run` goes
all the way to the plan.
"""

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.reference import Reference
from dailytalk_contiguous.core.versions import is_version_tag, latest, next_tag, parse_tag
from dailytalk_contiguous.engine.outputs import read_run, rejects_in
from dailytalk_contiguous.files.writing import write_text
from dailytalk_contiguous.publish.cards.card import Card, CardFacts, render_card
from dailytalk_contiguous.publish.cards.front_matter import divide, values_of
from dailytalk_contiguous.publish.compare import Changes, compare, counted
from dailytalk_contiguous.publish.history import list_versions
from dailytalk_contiguous.publish.packing.packed import MANIFEST, Packed, manifest, manifest_text
from dailytalk_contiguous.publish.packing.packing import pack
from dailytalk_contiguous.publish.packing.staging import alone
from dailytalk_contiguous.publish.pushing.commit import Published, publish
from dailytalk_contiguous.publish.pushing.hub import State, Target, check_access, read_manifest, read_state
from dailytalk_contiguous.publish.pushing.patience import Patience
from dailytalk_contiguous.publish.pushing.plain import check_plain, publish_plainly
from dailytalk_contiguous.publish.pushing.planning import ASSETS, Plan, Release, plan, same_data
from dailytalk_contiguous.publish.rows import shards
from dailytalk_contiguous.publish.version import Version, open_version
from dailytalk_contiguous.sources.hub_errors import hub_errors

#: Folder of packed files that wait to be sent, in the work folder.
STAGE = ".publish"

AUTO = "auto"
METHODS = ("commit", "push_to_hub")

Say = Callable[[str], None]


@dataclass(frozen=True)
class PushSettings:
    """What is to be published, and how.

    Attributes:
        tag: a version such as `v1.0.0`, `auto` for the one that the changes call for, or None for no tag.
        message: of the commit; empty: made from the tag.
        method: of `METHODS`.
        include_source: publish the untouched recordings too; None: where the version before has them.
        valid_share, test_share, seed: of conversations that no version before has placed.
        licence, title, contact: for the card; None: what it says already, or what follows from the data.
    """

    tag: str | None = None
    message: str = ""
    method: str = METHODS[0]
    include_source: bool | None = None
    valid_share: float = 0.05
    test_share: float = 0.05
    seed: int = 0
    licence: str | None = None
    title: str | None = None
    contact: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What a push has done, or would do.

    Attributes:
        tag: of the version, or None. changes: against the version before.
        packed: its files. plan: what changes on the Hub; None if nothing has to.
        published: None in a dry run, and where nothing had to be done.
        warnings: of the card, about licences.
    """

    tag: str | None
    changes: Changes
    packed: Packed
    plan: Plan | None = None
    published: Published | None = None
    warnings: tuple[str, ...] = field(default=())


def push(
    folder: Path,
    target: Target,
    settings: PushSettings,
    say: Say,
    patience: Patience = Patience(),  # noqa: B008  (frozen)
    dry_run: bool = False,
) -> Outcome:
    """Publish the finished conversations of a work folder.

    Raises:
        DailytalkError: it can't be published as asked. Readers of the Hub see no change then, unless only the tag
            could not be set, which the sentence says.
    """
    shards(folder)  # before the Hub is asked: there is something to publish
    api, stage = HfApi(), folder / STAGE
    with alone(stage):
        exists = check_wish(api, target, settings, patience)
        state = read_state(api, target, patience) if exists else State()
        packed = _packed(folder, stage, target, state, settings, say)
        write_text(stage / MANIFEST, manifest_text(manifest(packed, None, {})))  # which `compare` need not read
        after = open_version(stage)
        changes = compare(_before(target.repo, state, settings.tag), after)
        changes.repacked |= _asks_other_card(state.card, settings)
        tag = settings.tag if settings.tag != AUTO else next_tag(state.tags, changes.bump)
        if _is_there(api, target, state, packed, after, tag, changes, settings, patience):
            if not dry_run:
                shutil.rmtree(stage)
            return Outcome(tag or (state.manifest or {}).get("version"), changes, packed)
        _check_tag(tag, state, changes)
        card = _card(folder, target.repo, tag, state, packed, after, changes, settings)
        release = _release(packed, tag, changes, card, settings)
        planned = plan(state, release)
        if settings.method != METHODS[0]:
            check_plain(target, release)
        if dry_run:
            return Outcome(tag, changes, packed, planned, warnings=card.warnings)
        way = publish if settings.method == METHODS[0] else publish_plainly
        published = way(api, target, state, release, patience, say)
        shutil.rmtree(stage)
        return Outcome(tag, changes, packed, planned, published, card.warnings)


def check_wish(api: HfApi, target: Target, settings: PushSettings, patience: Patience) -> bool:
    """Whether the repository is there. Makes nothing.

    Raises DailytalkError for all that can be refused before a byte of work: a tag that is no version, what the
    card can't hold, and what `check_access` finds.
    """
    if settings.tag not in (None, AUTO):
        parse_tag(str(settings.tag))
    CardFacts(target.repo, None, licence=settings.licence, contact=settings.contact)
    return check_access(api, target, patience)


def _packed(folder: Path, stage: Path, target: Target, state: State, settings: PushSettings, say: Say) -> Packed:
    sides: dict[str, str] = {}
    counts: Counter[str] = Counter()
    if state.manifest and state.head:
        with hub_errors(target.repo):
            before = open_version(Reference(target.repo, state.head))
            rows = before.rows("conversations", columns=["conversation_id"])
            sides = {row["conversation_id"]: split for split, row in rows}
        counts = Counter(name.split("-")[0] for name in state.manifest["files"])
    before_had_source = any(name.startswith("source/") for name in counts)
    return pack(
        folder,
        stage,
        include_source=before_had_source if settings.include_source is None else settings.include_source,
        splits_before=sides,
        shards_before=counts,
        valid_share=settings.valid_share,
        test_share=settings.test_share,
        seed=settings.seed,
        progress=lambda file, done, of: say(f"packed {done} of {of} files") if _is_tenth(done, of) else None,
    )


def _is_tenth(done: int, of: int) -> bool:
    """Whether another tenth is done: hundreds of files are no reason for hundreds of lines."""
    return done * 10 // of > (done - 1) * 10 // of


def _before(repo: str, state: State, tag: str | None) -> Version | None:
    """The version to compare with: the highest below the tag, else what the branch holds, else none."""
    below = [
        one
        for one in state.tags
        if is_version_tag(one) and (tag in (None, AUTO) or parse_tag(one) < parse_tag(str(tag)))
    ]
    revision = latest(below) or (state.head if state.manifest else None)
    if revision is None:
        return None
    found = open_version(Reference(repo, revision))
    return found if found.manifest() else None


def _is_there(
    api: HfApi,
    target: Target,
    state: State,
    packed: Packed,
    after: Version,
    tag: str | None,
    changes: Changes,
    settings: PushSettings,
    patience: Patience,
) -> bool:
    """Whether just this is published already, so that nothing is left to do.

    Raises DailytalkError if the tag is there and names something else.
    """
    asked = _asks_other_card(state.card, settings)
    if tag is None or target.pull_request:
        on_branch = target.branch in state.branches and not asked
        return tag is None and on_branch and same_data(state.manifest, packed)
    there = state.tags.get(tag)
    if there is None:
        return False
    with hub_errors(target.repo):
        same = same_data(read_manifest(api, target.repo, there, patience), packed)
    # Files may be others with the same rows, as another method or version of a library writes them.
    same = same or _same_rows(compare(open_version(Reference(target.repo, there)), after))
    if same and not asked:
        return True
    other = "another card" if same else "other data"
    raise DailytalkError(
        f"{tag} of {target.repo} names commit {there[:10]} with {other}, and a tag is never moved",
        f"pass --tag {next_tag(state.tags, changes.bump or 'patch')}, or --tag auto",
    )


def _asks_other_card(card: str | None, settings: PushSettings) -> bool:
    """Whether the options name a licence, a title or a contact that the card does not have yet."""
    if card is None:
        return False
    values = values_of(divide(card)[0])
    asked = ((settings.licence, values.get("license")), (settings.title, values.get("pretty_name")))
    return any(wish and wish != has for wish, has in asked) or (settings.contact or "") not in card


def _same_rows(changes: Changes) -> bool:
    found = (changes.added, changes.removed, changes.changed, changes.moved, changes.broken, changes.columns)
    return not any(found)


def _check_tag(tag: str | None, state: State, changes: Changes) -> None:
    """Raise DailytalkError if a version breaks readers and its tag does not say so."""
    previous = changes.previous
    if tag is None or previous is None or not changes.broken or not is_version_tag(previous):
        return
    if parse_tag(tag).major > parse_tag(previous).major:
        return
    config, sentences = next(iter(changes.broken.items()))
    raise DailytalkError(
        f"{tag} would break readers of {previous} ({config}: {sentences[0]})",
        f"pass --tag {next_tag(state.tags, 'major')}",
    )


def _card(
    folder: Path,
    repo: str,
    tag: str | None,
    state: State,
    packed: Packed,
    after: Version,
    changes: Changes,
    settings: PushSettings,
) -> Card:
    before = [one for one in list_versions(repo) if one.kind == "version"] if state.tags else []
    history = [
        (one.name, one.date.date().isoformat() if one.date else "", in_words(one.changes or {})) for one in before
    ]
    told = changes.as_dict()
    new = [(tag, datetime.now(UTC).date().isoformat(), in_words(told))] if tag else []
    facts = CardFacts(
        repo,
        tag,
        licence=settings.licence,
        pretty_name=settings.title,
        history=(*new, *history),
        changes=told,
        contact=settings.contact,
    )
    return render_card(state.card, packed, after, facts, read_run(folder) or {}, _rejects(folder, packed))


def _release(packed: Packed, tag: str | None, changes: Changes, card: Card, settings: PushSettings) -> Release:
    told = manifest(packed, tag, changes.as_dict()) | {ASSETS: sorted(card.assets)}
    message = settings.message or f"Publish {tag or 'conversations'}: {in_words(changes.as_dict())}"
    return Release(packed, tag, told, card.text, card.assets, message)


def in_words(changes: dict[str, Any]) -> str:
    """The changes of a manifest as a few words: `2 added, 1 changed`."""
    if not changes.get("previous"):
        return "first version"
    return counted(changes) or "the same conversations"


def _rejects(folder: Path, packed: Packed) -> list[dict[str, str]]:
    """Those of the run, and those of this push."""
    return [*rejects_in(folder), *(reject.as_dict() for reject in packed.rejects)]
