"""`dailytalk push`, from a work folder to a version on the Hub: check, pack, compare, write the card, commit, tag.

A push that can't succeed is refused before any work: a read-only token otherwise fails after hours of packing.
Then all is planned against one commit, the head that is read at the start. One commit adds, replaces and removes
everything, and the Hub rejects it if the head has moved meanwhile. A row of each split is read back, and only then
is the commit tagged. So readers see the old version or the new one, whenever the push stops, and the same command
completes it: a content that the Hub has is not sent again, and a commit that lacks only its tag is tagged.
"""

import hashlib
import importlib.metadata
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.schema import AUDIO_COLUMN, CONFIGS
from dailytalk_contiguous.core.settings import SEED, VALID_SHARE, one_of, setting
from dailytalk_contiguous.core.steps import step, steps
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.machine.sound_columns import SOUND_LAYOUTS, changed_sounds, sound_columns
from dailytalk_contiguous.publish.checks.plain_load import CARD, obstacles, parsed_card
from dailytalk_contiguous.publish.checks.verdict import Verdict
from dailytalk_contiguous.publish.exports.splits import split_conversations
from dailytalk_contiguous.publish.hub.compare import Changes, compare_versions, diff_in_words
from dailytalk_contiguous.publish.hub.divergence import (
    Diverged,
    Divergence,
    data_files,
    divergence_of,
    version_name,
)
from dailytalk_contiguous.publish.hub.packing import FileLayout, pack_version
from dailytalk_contiguous.publish.items import Shards, VersionItems
from dailytalk_contiguous.publish.tables.card import Card, CardFacts, render_card
from dailytalk_contiguous.publish.version import (
    LAYOUT,
    MANIFEST,
    DataFile,
    Packed,
    Version,
    is_version_tag,
    latest,
    list_versions,
    manifest_text,
    next_tag,
    open_version,
    parse_tag,
)
from dailytalk_contiguous.run.storage import keep_in_store
from dailytalk_contiguous.store.files import locked, sha256_of, write_text
from dailytalk_contiguous.store.hub import (
    EXPECTED,
    MAIN,
    OUR_DATA_FILE,
    TIMEOUTS,
    Reference,
    check_token,
    data_digest,
    hub_errors,
    without_tokens,
)
from dailytalk_contiguous.store.parquet import open_parquet
from dailytalk_contiguous.store.work_folder import BASE, Base, read_base, run_json, write_base

#: What the Hub calls a repository of data.
KIND = "dataset"

#: Folder of packed files that wait to be sent, in the work folder.
STAGE = ".publish"

#: The tag that the changes call for.
AUTO = "auto"

#: The settings of a push that decide its data files.
_OF_FILES = ("audio_columns", "shard_size", "valid_share", "test_share", "seed")


@dataclass(frozen=True)
class PushSettings:
    """The settings of a push."""

    create: bool = setting(False, "Make the dataset if it doesn't exist.", panel="input")
    private: bool = setting(False, "Make the dataset private, for invited people only.", panel="input")
    audio_columns: str | None = setting(
        None, "Columns of sound: audio (stereo), or left,right (a mono one for each side).",
        panel="input", choices=tuple(SOUND_LAYOUTS), metavar="COLUMNS", shown="as the version before, else audio",
    )  # fmt: skip
    shard_size: float = setting(
        500.0, "Most MB of sound in a Parquet file; a split of 64 conversations or more has eight files at least.",
        panel="input", metavar="MB", least=0.001, hidden=True,
    )  # fmt: skip
    tag: str | None = setting(
        None, "The version: v1.0.0, or auto for the one that the changes call for.",
        panel="version", metavar="TAG", shown="no tag",
    )  # fmt: skip
    branch: str = setting(MAIN, "Branch to commit to; made from main if it doesn't exist.", panel="version")
    pr: bool = setting(False, "Open a pull request. It gets no tag.", panel="version")
    even_if_diverged: bool = setting(
        False, "Publish even if it takes away what others have published.", panel="version"
    )
    even_if_bad: bool = setting(False, "Publish even what dailytalk check calls bad.", panel="version")
    even_if_forbidden: bool = setting(
        False, "Publish even under a --licence that a source's licence contradicts.", panel="version", hidden=True
    )
    licence: str | None = setting(
        None, "Licence of the dataset, as the Hub writes it: cc-by-4.0.",
        panel="card", shown="what follows from sources and models",
    )  # fmt: skip
    package_url: str = setting(
        "", "Address from which pip installs this program, for the card: git+https://…",
        panel="card", metavar="URL", shown="that of the version before", hidden=True,
    )  # fmt: skip
    valid_share: float = setting(0.05, VALID_SHARE)
    test_share: float = setting(
        0.05, "Share of the time to test on.", panel="splits", metavar="SHARE", least=0.0, most=0.5
    )
    seed: int = setting(0, SEED)

    @property
    def card_licence(self) -> str | None:
        """The licence as the Hub knows it: in small letters."""
        return self.licence and self.licence.lower()


class RepositoryState(NamedTuple):
    """The repository on the Hub, at one moment.

    Attributes:
        head: the branch, or `main` where the branch is still to be made; without files before the first commit.
        card: its README.md, or "".
        branches: the names of its branches.
        tags: the commit of each tag.
    """

    head: Version
    card: str = ""
    branches: tuple[str, ...] = ()
    tags: Mapping[str, str] = {}


class BadVersion(DailytalkError):
    """A version that `dailytalk check` calls bad: nothing of it was sent."""

    def __init__(self, release: "Release", verdict: Verdict) -> None:
        most_named = 3
        reasons = [finding for finding in verdict.findings if finding.severity == "bad"]
        named = "; ".join(finding.sentence for finding in reasons[:most_named])
        n_more = len(reasons) - most_named
        if n_more > 0:
            named += f"; and {counted(n_more, 'more finding')}"
        super().__init__(
            f"the version is bad, and nothing was published ({named})",
            f"{reasons[0].remedy}, or pass --even-if-bad to publish it as it is",
        )
        self.release = release


class Change(NamedTuple):
    """The change of a file.

    Attributes:
        action: `add`, `replace`, `delete` or `keep`.
        name: the file.
        size: its bytes.
        sha256: its new SHA-256; None where it is deleted.
    """

    action: str
    name: str
    size: int
    sha256: str | None = None


@dataclass
class Release:
    """A version to publish, and the repository before it.

    Attributes:
        repo: `OWNER/NAME`.
        settings: the settings of the push.
        before: the repository that it was planned against.
        packed: its data files.
        changes: the changes against the version before.
        tag: its name; None for none.
        card: its card with pictures; None if just this version is there already.
        message: the message of the commit.
        commit: the id of the commit, once it is published.
        url: the address of its page, or of the pull request's.
        divergence: the data of others that it takes away; None for none.
        held_instead: the data that the branch holds, if the tag is there already and they differ; else "".
        is_new: whether it is to be published; False if just this version is there already.
    """

    repo: str
    settings: PushSettings
    before: RepositoryState
    packed: Packed
    changes: Changes
    tag: str | None
    card: Card | None = None
    message: str = ""
    commit: str | None = None
    url: str = ""
    divergence: Divergence | None = None
    held_instead: str = ""
    is_new: bool = True

    @cached_property
    def texts(self) -> dict[str, bytes]:
        """The files that are no data, by name."""
        if self.card is None:
            return {}
        manifest = self.packed.manifest(self.tag, self.changes.as_dict(), self.card.assets)
        text = manifest_text(manifest)
        texts = {CARD: self.card.text.encode(), MANIFEST: text.encode()}
        return texts | self.card.assets

    @cached_property
    def plan(self) -> list[Change]:
        """The changes of all files, by name; none if just this version is there already.

        A push deletes the files that the manifest before names, and data files in our folders, which readers
        would otherwise take for rows of this version. Git keeps no SHA-256 of short texts: whether one is the same
        is seen when it is sent.
        """
        if self.card is None:
            return []
        stored = self.before.head.stored
        head = self.before.head
        owned = {*head.named_files, *(head.manifest.assets or ())}
        new = {file.name: (file.size, file.sha256) for file in self.packed.files}
        for name, content in self.texts.items():
            new[name] = (len(content), hashlib.sha256(content).hexdigest())
        changes = []
        for name, file in stored.items():
            is_ours = name in owned or OUR_DATA_FILE.fullmatch(name)
            if is_ours and name not in new:
                changes.append(Change("delete", name, file.size))
        for name, (size, sha256) in new.items():
            old = stored.get(name)
            if old is None:
                kind = "add"
            elif old.lfs is not None and old.lfs.sha256 == sha256:
                kind = "keep"
            else:
                kind = "replace"
            changes.append(Change(kind, name, size, sha256))
        return sorted(changes, key=lambda change: change.name)

    @property
    def left(self) -> list[str]:
        """The Parquet files of others, which stay in the repository and are no part of the version."""
        changed = {change.name for change in self.plan}
        return sorted(name for name in self.before.head.names if name.endswith(".parquet") and name not in changed)

    @property
    def size(self) -> int:
        """Bytes of all files of the version: data, card, manifest and pictures; 0 if it is there already."""
        return sum(change.size for change in self.plan if change.action != "delete")

    @property
    def to_send(self) -> int:
        """Bytes of changed files whose content the branch lacks."""
        stored = {file.lfs.sha256 for file in self.before.head.stored.values() if file.lfs}
        written = [change for change in self.plan if change.action in ("add", "replace")]
        return sum(change.size for change in written if change.sha256 not in stored)


def prepare_repository(api: HfApi, repo: str, settings: PushSettings, dry_run: bool = False) -> bool:
    """Make the repository if that is requested; returns whether it exists. A dry run makes and sends nothing.

    Raises DailytalkError before any work: for a tag that is no version, no token, a wrong one, or one that may not
    write there, no such repository if `create` is not set, a public one where `private` is requested, and a Hub
    that can't be reached.
    """
    if settings.tag and settings.tag != AUTO:
        parse_tag(settings.tag)
    if not dry_run:
        check_token()
    with hub_errors(repo):
        if not api.repo_exists(repo, repo_type=KIND):
            if not settings.create:
                raise DailytalkError(
                    f"there is no dataset {repo} on the Hub, or you may not see it",
                    "check the name, or pass --create to make it",
                )
            if dry_run:
                return False
            api.create_repo(repo, repo_type=KIND, private=settings.private)
        if settings.private and not api.dataset_info(repo, timeout=TIMEOUTS).private:
            raise DailytalkError(
                f"{repo} is public already", "make it private in its settings, or leave --private out"
            )
        if not dry_run:  # read access is enough for a pull request
            api.auth_check(repo, repo_type=KIND, write=not settings.pr)
    return True


def read_repository(api: HfApi, repo: str, branch: str = MAIN) -> RepositoryState:
    """Read a repository that exists.

    Raises DailytalkError: it can't be read, its manifest is not ours, or others have files there with which
    `load_dataset` would not find a version.
    """
    with hub_errors(repo):
        refs = api.list_repo_refs(repo, repo_type=KIND)
        branches = {ref.name: ref.target_commit for ref in refs.branches}
        tags = {ref.name: ref.target_commit for ref in refs.tags}
    commit = branches.get(branch, branches.get(MAIN))
    head = Version(Reference(repo), None, ())
    if commit:
        head = open_version(Reference(repo, commit))
    if MANIFEST in head.names and head.manifest.layout != LAYOUT:
        raise DailytalkError(
            f"the repository has a {MANIFEST} that this tool did not write",
            "rename it there, or publish to another repository",
        )
    in_the_way = list(obstacles(head))
    if in_the_way:
        problems = "; ".join(f"{obstacle.name}: {obstacle.problem}" for obstacle in in_the_way)
        remedies = " and ".join(dict.fromkeys(obstacle.remedy for obstacle in in_the_way))
        raise DailytalkError(
            f"{repo} has files of somebody else, which would keep readers from the version ({problems})",
            f"publish to another dataset, or first {remedies}",
        )
    card = head.read(CARD).decode() if CARD in head.names else ""
    return RepositoryState(head, card, branches=tuple(branches), tags=tags)


def push_version(
    items: Shards, repo: str, settings: PushSettings, defaults: Mapping[str, object], dry_run: bool = False
) -> Release:
    """Publish the finished conversations of a work folder.

    Args:
        items: the folder, as `publish.opening.finished_items` opens it.
        defaults: the result of `cli.defaults.default_settings`.
        dry_run: end after the plan.

    Raises DailytalkError if it can't be published as requested; and, unless the settings accept it, also for a
    licence that a source's contradicts, BadVersion if `dailytalk check` calls it bad, and Diverged if it would
    take away what others have published. Readers of the Hub see no change then, unless only the tag could not be
    set, which the sentence says.
    """
    api = HfApi()
    stage = items.where / STAGE
    with locked(
        stage.with_name(f"{STAGE}.lock"),
        f"another dailytalk push works on {str(items.where)!r}",
        "wait until it is done, and run this again",
    ):
        shutil.rmtree(stage, ignore_errors=True)  # of a push that stopped
        base = read_base(items.where) or Base()
        before = RepositoryState(Version(Reference(repo), None, ()))
        if prepare_repository(api, repo, settings, dry_run):
            before = read_repository(api, repo, settings.branch)
        inputs = _inputs_digest(items, settings, before.head)
        if base.inputs == inputs:
            release = plan_release(repo, settings, before, Packed((), ""), before.head)
            if not release.is_new:
                return release
        packed = _pack(items, stage, settings, before.head)
        version = open_version(stage)
        release = plan_release(repo, settings, before, packed, version)
        if release.is_new:
            release.divergence = divergence_of(before.head, version, base.own_digests)
            if release.divergence and not (settings.even_if_diverged or dry_run):
                revision = before.head.published_tag or before.head.commit or str(before.head)
                raise Diverged(repo, items.where, release.divergence, revision)
            describe_release(release, items, version, defaults)
            card = release.card
            if not dry_run:
                if card and card.verdict.level == "bad" and not settings.even_if_bad:
                    raise BadVersion(release, card.verdict)
                if card and card.contradictions and not settings.even_if_forbidden:
                    raise DailytalkError(
                        f"--licence {settings.licence} is contradicted, and nothing was published "
                        f"({'; '.join(card.contradictions)})",
                        "leave it out, so that the card names what follows from the sources, or pass "
                        "--even-if-forbidden if their makers agreed to it",
                    )
                # If this stops after its commit, the next push finds its own data there, and nobody else's.
                base.sent.append(data_digest(version.digests))
                _keep_base(items.where, base)
                publish(api, release)
        if not dry_run:
            if not settings.pr and not release.held_instead:
                published = version.digests if release.is_new else data_files(before.head)
                base.published[settings.branch] = data_digest(published)
                base.sent.clear()
                # If conversations were rejected, the next push has to say so again.
                base.inputs = "" if packed.rejects else _inputs_digest(items, settings, version)
                _keep_base(items.where, base)
            shutil.rmtree(stage)
    return release


def _inputs_digest(items: Shards, settings: PushSettings, version: Version) -> str:
    """Return a digest of data files, and of all that decides them beside the version before."""
    shards = [sha256_of(path) for path in steps("files looked at", items.files, len(items.files))]
    chosen = [getattr(settings, name) for name in _OF_FILES]
    tool = importlib.metadata.version("dailytalk-contiguous")
    record = repr([shards, run_json(items.where), chosen, tool, sorted(version.digests.items())])
    return hashlib.sha256(record.encode()).hexdigest()


def _pack(items: Shards, stage: Path, settings: PushSettings, head: Version) -> Packed:
    """Pack the conversations, laid out and divided as in the version before unless the settings say otherwise."""
    shares = {"validation": settings.valid_share, "test": settings.test_share}
    splits, borders = published_layout(head)
    divide = partial(split_conversations, shares=shares, before=splits, seed=settings.seed)
    audio_columns = SOUND_LAYOUTS[AUDIO_COLUMN]
    if settings.audio_columns:
        audio_columns = SOUND_LAYOUTS[one_of("--audio-columns", settings.audio_columns, SOUND_LAYOUTS)]
    elif head.has_manifest:  # its readers rely on them
        audio_columns = sound_columns(head.features(CONFIGS[0]) or ())
    packed = pack_version(
        items,
        stage,
        divide=divide,
        layout=FileLayout(borders, settings.shard_size),
        audio_columns=audio_columns,
    )
    write_text(stage / MANIFEST, manifest_text(packed.manifest(None, {})))
    return packed


def plan_release(
    repo: str, settings: PushSettings, before: RepositoryState, packed: Packed, version: Version
) -> Release:
    """Compare a version with the one before it, and choose its tag.

    Args:
        version: the files of `packed`, opened for reading.

    Raises DailytalkError as `_is_published`.
    """
    previous = _version_before(repo, before, settings.tag)
    changes = compare_versions(previous, version)
    if previous and changes.previous not in before.tags:
        changes.previous = previous.commit  # a push was stopped before it set the tag
    has_other_licence = False
    if before.card and settings.card_licence:
        has_other_licence = parsed_card(before.card).data.get("license") != settings.card_licence
    held = ""
    # A branch can be put back by hand: then its data files are those of an older version than the newest tag.
    if previous and before.head.commit != previous.commit and before.head.digests != previous.digests:
        held = version_name(before.head)
    tag_of_head = before.head.manifest.version
    # A push that was stopped leaves a version without its tag.
    lacks_tag = tag_of_head is not None and tag_of_head not in before.tags
    if has_other_licence or held or lacks_tag:
        changes.repacked = True
    tag = next_tag(before.tags, changes.bump) if settings.tag == AUTO else settings.tag
    release = Release(repo, settings, before, packed, changes, tag)
    if _is_published(release, version, has_other_licence):
        release.is_new = False
        release.held_instead = held
        if tag is None and not lacks_tag:
            release.tag = tag_of_head
    return release


def describe_release(release: Release, items: Shards, version: Version, defaults: Mapping[str, object]) -> None:
    """Add the card, with the versions before it, and the message of the commit.

    Args:
        items: the work folder.
        version: the files of the release, opened for reading.
        defaults: the result of `cli.defaults.default_settings`.

    Raises CardDamaged: see `publish.tables.card.render_card`.
    """
    changes = release.changes.as_dict()
    difference = diff_in_words(changes)
    release.message = f"Publish {release.tag or 'conversations'}: {difference}"
    history = []
    if release.tag:
        today = datetime.now(UTC).date()
        history.append((release.tag, today.isoformat(), difference))
    earlier = list_versions(release.repo) if release.before.tags else []
    for listed in earlier:
        if listed.kind == "version":
            date = listed.date.date()
            history.append((listed.name, date.isoformat(), diff_in_words(listed.changes or {})))
    rejects = list(items.rejects())
    rejects += [reject.as_dict() for reject in release.packed.rejects]
    settings = release.settings
    facts = CardFacts(
        release.repo, release.tag, settings.card_licence, tuple(history), changes, settings.package_url
    )
    release.card = render_card(release.before.card, release.packed, version, facts, items.run, defaults, rejects)


def _keep_base(folder: Path, base: Base) -> None:
    write_base(folder, base)
    keep_in_store(folder, BASE)


def published_layout(head: Version) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return the split of each published conversation, and, by split, the id with which each file begins."""
    splits: dict[str, str] = {}
    borders = defaultdict[str, list[str]](list)
    if not head.has_manifest or CONFIGS[0] not in head.configs:
        return splits, borders
    items = VersionItems(head)
    for file, split in items.split_of.items():
        talks = [from_finished(row) for _, row in items.rows_of(file, ["conversation_id", "split"])]
        borders[split] += [talk.conversation_id for talk in talks[:1]]
        for talk in talks:
            splits[talk.conversation_id] = split
    return splits, borders


def _version_before(repo: str, before: RepositoryState, tag: str | None) -> Version | None:
    """Return the highest version up to a tag, else the head, if there is one that this tool published.

    None for the first tag: a head without a tag is no version, and may be this one, whose push was stopped.
    """
    versions = [name for name in before.tags if is_version_tag(name)]
    if tag and not versions:
        return None
    if tag and tag != AUTO:
        limit = parse_tag(tag)
        versions = [name for name in versions if parse_tag(name) <= limit]
    newest = latest(versions)
    version = open_version(Reference(repo, newest)) if newest else before.head
    return version if version.has_manifest else None


def _is_published(release: Release, after: Version, has_other_licence: bool) -> bool:
    """Return whether exactly this is already published.

    Raises DailytalkError if the data is a later version already, or the tag exists and names other data or another
    licence, or would break readers of the version before, which only a major version may.
    """
    before = release.before
    tag = release.tag
    changes = release.changes
    if tag is None:
        has_branch = release.settings.branch in before.branches
        is_same = has_branch and before.head.digests == after.digests
        return is_same and not has_other_licence
    # Files may be others with the same rows, as another version of a library writes them.
    if tag in before.tags and changes.has_same_rows and not has_other_licence:
        return True
    versions = [name for name in before.tags if is_version_tag(name) and parse_tag(name) > parse_tag(tag)]
    for name in sorted(versions, key=parse_tag, reverse=True):
        if not has_other_licence and open_version(Reference(release.repo, name)).digests == after.digests:
            raise DailytalkError(
                f"this data is {name} of {release.repo} already, which is later than {tag}",
                f"load {name}, or pass --tag auto",
            )
    if tag in before.tags:
        difference = "another licence" if changes.has_same_rows else "other data"
        free_tag = next_tag(before.tags, changes.bump or "patch")
        raise DailytalkError(
            f"{tag} of {release.repo} names commit {before.tags[tag][:10]} with {difference}, and a tag is never "
            "moved",
            f"pass --tag {free_tag}, or --tag auto",
        )
    previous = changes.previous or ""
    if changes.broken and is_version_tag(previous) and parse_tag(tag)[0] == parse_tag(previous)[0]:
        config, sentences = next(iter(changes.broken.items()))
        raise DailytalkError(
            f"{tag} would break readers of {previous} ({config}: {sentences[0]})",
            f"pass --tag {next_tag(before.tags, 'major')}",
        )
    return False


def publish(api: HfApi, release: Release) -> Release:
    """Make the branch if need be, commit, read a row of each split back, tag.

    Returns the release with its commit and address. Raises DailytalkError: somebody else published meanwhile, or
    the Hub refuses or fails. Readers see the old version then, or, if only the tag is missing, the new one.
    """
    repo = release.repo
    settings = release.settings
    before = release.before
    tag = release.tag
    head = before.head.commit
    sources: dict[str, bytes | Path] = dict(release.texts)
    for file in release.packed.files:
        sources[file.name] = file.path
    operations = list[CommitOperationAdd | CommitOperationDelete]()
    for change in release.plan:
        if change.action == "delete":
            operations.append(CommitOperationDelete(change.name, is_folder=False))
        elif change.action != "keep":
            operations.append(CommitOperationAdd(change.name, sources[change.name]))
    with hub_errors(repo), client_errors(repo):
        if settings.branch not in (*before.branches, MAIN) and not settings.pr:
            api.create_branch(repo, branch=settings.branch, revision=head, repo_type=KIND, exist_ok=True)
        step(f"sending {release.to_send / 1e6:.1f} MB at most", 0)
        created = api.create_commit(  # skips what is there already; of nothing new it makes no commit
            repo,
            operations,
            commit_message=release.message,
            repo_type=KIND,
            revision=None if settings.pr else settings.branch,
            create_pr=settings.pr,
            parent_commit=head,
        )
        commit = created.oid
        version = open_version(Reference(repo, commit))
        for files in release.packed.configs.get(CONFIGS[0], {}).values():
            _read_back(version, files)
        if tag and not settings.pr and before.tags.get(tag) != commit:
            try:
                api.create_tag(repo, tag=tag, revision=commit, repo_type=KIND)
            except HfHubHTTPError as error:
                raise DailytalkError(
                    f"commit {commit[:10]} was made, but got no tag {tag} ({error.server_message or error})",
                    "run the same command again, with --tag auto if somebody else has made this tag meanwhile",
                ) from None
    release.commit = commit
    release.url = created.pr_url or created.commit_url
    return release


def _read_back(version: Version, files: Sequence[DataFile]) -> None:
    """Read a row of the smallest row group of a split, with its sound; `files` are those that were sent.

    Raises DailytalkError if it is not what its own digest says.
    """
    groups = []
    for sent in files:
        with open_parquet(sent.path, "push again") as packed:
            sizes = packed.stored_bytes()
        groups += [(size, sent.name, number) for number, size in enumerate(sizes)]
    if not groups:
        return
    _, name, group = min(groups)
    with version.parquet(name) as file:
        row = next(file.rows_at([(group, 0)]), None)
    if row is None or changed_sounds(row):
        raise DailytalkError(
            f"{version} does not hold {name} as it was sent; it got no tag",
            "run the same command again; if it stays so, look at .gitattributes and .gitignore there",
        )


@contextmanager
def client_errors(repo: str) -> Iterator[None]:
    """Raise the cause of errors that the client wraps, or else a DailytalkError.

    The client wraps the failure of a file among many and the Hub's errors about the card's front matter, and Xet's
    errors have no type.
    """
    try:
        yield
    except EXPECTED:
        raise
    except (RuntimeError, ValueError) as error:
        cause = error.__cause__
        if isinstance(cause, EXPECTED):
            raise cause from None
        message = without_tokens(str(cause or error))
        reason = " ".join(message.split())
        raise DailytalkError(
            f"{repo} rejected the upload ({reason})",
            "run the same command again: what was uploaded is not sent again",
        ) from None
