"""`dailytalk push`, from a work folder to a version on the Hub: check, pack, compare, write the card, commit, tag.

Everything that can be rejected is checked before any work: a read-only token otherwise fails after hours of
packing, and a server without Xet at the end of the upload. All that follows is planned against one commit, the
head that is read then, and the Hub rejects the push if the head has moved. Everything before the commit changes
nothing on the Hub, and everything packed stays in `.publish` of the work folder until the push has succeeded, so
that the same command resumes after any stop.

Readers see the old version or the new one, even if the push stops at any point: files are uploaded first, unseen
by readers; then one commit adds all of them and removes stale ones; then its contents are checked, and only then
is it tagged. A lost answer to the commit or the tag may still have done its work, so both are looked for before
they are tried again.
"""

import contextlib
import functools
import hashlib
import importlib.util
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, get_token, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.lfs import UploadInfo, post_lfs_batch_info
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    build_hf_headers,
    get_session,
    hf_raise_for_status,
)

from dailytalk_contiguous.core.changes import is_version_tag, latest, next_tag, parse_tag
from dailytalk_contiguous.core.documents import MOST_OWN_BYTES, fits, parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.retries import Backoff, retry_after
from dailytalk_contiguous.core.schema import CONFIGS, SPLITS
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.card import Card, CardFacts, CardRows, parsed_card, render_card
from dailytalk_contiguous.publish.compare import Changes, NewRows, count_in_words
from dailytalk_contiguous.publish.interactivity import PER_KIND
from dailytalk_contiguous.publish.manifest import (
    LAYOUT,
    MANIFEST,
    MANIFEST_SHAPE,
    DataFile,
    Packed,
    manifest,
    manifest_text,
)
from dailytalk_contiguous.publish.opening import finished_items, open_items
from dailytalk_contiguous.publish.packing import exclusive, pack_version
from dailytalk_contiguous.publish.version import Version, list_versions, open_version
from dailytalk_contiguous.store.files import write_text
from dailytalk_contiguous.store.hub import TIMEOUTS, Reference, check_token, hub_errors, without_tokens
from dailytalk_contiguous.store.work_folder import read_run, rejects_in

Answer = TypeVar("Answer")

#: Statuses after which the same request may succeed: timeouts, too many requests, and failures of the server.
_PASSING = (408, 429, 500, 502, 503, 504)

#: The error of the client library for a connection that failed. Its HTTP library changed with huggingface_hub 2.0,
#: so it is named through the one error that all versions share.
_CONNECTION: type[Exception] = HfHubHTTPError.__bases__[0]

#: The errors of a request, for callers that handle each failure themselves.
FAILURES = (_CONNECTION, ConnectionError, TimeoutError)


@dataclass(frozen=True)
class RetryPolicy(Backoff):
    """How often a request is made, at least once, and how long to wait in between; `sleep` waits for seconds."""

    tries: int = 5
    sleep: Callable[[float], None] = time.sleep

    def waits(self, attempt: int, error: Exception) -> bool:
        """Wait before the next try, if there is to be one; `attempt` counts the failed tries from 1."""
        if attempt >= self.tries or not is_passing(error):
            return False
        headers = error.response.headers if isinstance(error, HfHubHTTPError) else {}
        self.sleep(self.seconds(attempt - 1, retry_after(headers.get("Retry-After"))))
        return True


def is_passing(error: Exception) -> bool:
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in _PASSING
    return isinstance(error, FAILURES) and not isinstance(error, OfflineModeIsEnabled)


def with_retries(request: Callable[[], Answer], patience: RetryPolicy) -> Answer:
    """Make a request that may be made more than once (no commit). Raises the error of its last try.

    It is repeated after some statuses of the answer and after a failed connection, at growing intervals.
    """
    attempt = 1
    while True:
        try:
            return request()
        except FAILURES as error:
            if not patience.waits(attempt, error):
                raise
            attempt += 1


MAIN = "main"
CARD = "README.md"
KIND = "dataset"

_READ_ONLY = "make one with the right to write in your settings there, and set HF_TOKEN to it"


@dataclass(frozen=True)
class Target:
    """The repository and the branch to publish to.

    Attributes:
        repo: `OWNER/NAME`.
        branch: to commit to; made from `main` where there is none of that name.
        pull_request: propose the commit instead of making it.
        create: make the repository if there is none. private: then for invited people only.
    """

    repo: str
    branch: str = MAIN
    pull_request: bool = False
    create: bool = False
    private: bool = False


class RemoteFile(NamedTuple):
    """A file on the Hub: bytes, SHA-256 (None if it is not in LFS), and Git's own SHA-1 of a plain file."""

    size: int
    sha256: str | None
    blob: str


@dataclass(frozen=True)
class State:
    """The repository on the Hub, at one moment.

    Attributes:
        exists: whether there is such a repository.
        head: commit of the branch, or of `main` where the branch is still to be made; None in an empty repository.
        branches: names. tags: the commit of each.
        files: of `head`, by name.
        manifest: of `head`; None if there is none of ours.
        card: of `head`; None if there is none.
    """

    exists: bool = False
    head: str | None = None
    branches: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    files: dict[str, RemoteFile] = field(default_factory=dict)
    manifest: dict[str, Any] | None = None
    card: str | None = None


def check_access(api: HfApi, target: Target, patience: RetryPolicy, dry_run: bool = False) -> bool:
    """Return whether the repository exists. Creates nothing. A dry run needs no token: it sends nothing.

    Raises DailytalkError: no token, a wrong one, or one that may not write there; no such repository and `create`
    is not set; a public one where `private` is requested; the Hub can't be reached.
    """
    anonymous = dry_run and get_token() is None
    if not anonymous:
        check_token()
    with hub_errors(target.repo):
        # A wrong address or no network is likelier here than a failure that passes.
        user = None if anonymous else with_retries(api.whoami, replace(patience, tries=min(2, patience.tries)))
        try:
            info = with_retries(lambda: api.dataset_info(target.repo, timeout=TIMEOUTS), patience)
        except RepositoryNotFoundError:
            _check_creation(target, user)
            return False
        if target.private and not info.private:
            raise DailytalkError(
                f"{target.repo} is public already", "make it private in its settings, or leave --private out"
            )
        if user is None:
            return True
        try:
            # Read access is enough for a pull request.
            with_retries(
                lambda: api.auth_check(target.repo, repo_type=KIND, write=not target.pull_request), patience
            )
        except HfHubHTTPError as error:
            if error.response.status_code != 403:
                raise
            raise DailytalkError(
                f"the token of {user.get('name')} may not write to {target.repo}", _READ_ONLY
            ) from None
    return True


def read_state(api: HfApi, target: Target, patience: RetryPolicy) -> State:
    with hub_errors(target.repo):
        refs = with_retries(lambda: api.list_repo_refs(target.repo, repo_type=KIND), patience)
        branches = {ref.name: ref.target_commit for ref in refs.branches}
        head = branches.get(target.branch, branches.get(MAIN))
        files = read_tree(api, target.repo, head, patience) if head else {}
        manifest = read_manifest(api, target.repo, head, patience) if head and MANIFEST in files else None
        card = read_hub_text(api, target.repo, head, CARD, patience) if head and CARD in files else None
    tags = {ref.name: ref.target_commit for ref in refs.tags}
    return State(True, head, tuple(branches), tags, files, manifest, card)


def read_tree(api: HfApi, repo: str, revision: str, patience: RetryPolicy) -> dict[str, RemoteFile]:
    tree = with_retries(
        lambda: list(api.list_repo_tree(repo, recursive=True, revision=revision, repo_type=KIND)), patience
    )
    return {
        entry.path: RemoteFile(entry.size, entry.lfs.sha256 if entry.lfs else None, entry.blob_id)
        for entry in tree
        if isinstance(entry, RepoFile)
    }


def read_manifest(api: HfApi, repo: str, revision: str, patience: RetryPolicy) -> dict[str, Any] | None:
    """Read the manifest of a revision that has a file of that name; None if it is not one of ours."""
    try:
        text = read_hub_text(api, repo, revision, MANIFEST, patience)
        record = parse_json(text, MANIFEST, limit=MOST_OWN_BYTES)
    except (BadInput, UnicodeDecodeError):
        return None
    is_ours = fits(record, MANIFEST_SHAPE | {"files": dict}) and record.get("layout") == LAYOUT
    return record if is_ours else None


def read_hub_text(api: HfApi, repo: str, revision: str, name: str, patience: RetryPolicy) -> str:
    """Read a small text file of a revision, not from the client's cache: it is read once, and must be current."""

    def fetch() -> str:
        url = hf_hub_url(repo, name, repo_type=KIND, revision=revision, endpoint=api.endpoint)
        response = get_session().get(url, headers=build_hf_headers())
        hf_raise_for_status(response)
        return response.content.decode("utf-8")

    return with_retries(fetch, patience)


@contextlib.contextmanager
def suitable_transfer(api: HfApi, repo: str, patience: RetryPolicy, kind: str = KIND) -> Iterator[str]:
    """Upload within the block by a way that the server has; yields which one, as a sentence.

    With `hf_xet` installed the client takes Xet for granted, and fails at the first upload to a server without
    it. The switch is the client's own setting, which it reads at each upload; it is put back afterwards.
    """
    before = constants.HF_HUB_DISABLE_XET
    method = "uploads by LFS"
    if not before and importlib.util.find_spec("hf_xet"):
        if _gives_xet_tokens(api, repo, patience, kind):
            method = "uploads by Xet: only chunks that are new are sent"
        else:
            constants.HF_HUB_DISABLE_XET = True
            method = "uploads by LFS, for the server has no Xet"
    try:
        yield method
    finally:
        constants.HF_HUB_DISABLE_XET = before


def _gives_xet_tokens(api: HfApi, repo: str, patience: RetryPolicy, kind: str) -> bool:
    def ask() -> bool:
        url = f"{api.endpoint}/api/{kind}s/{repo}/xet-write-token/{MAIN}"
        response = get_session().get(url, headers=build_hf_headers())
        if response.status_code in (404, 405, 501):
            return False
        hf_raise_for_status(response)
        return True

    return with_retries(ask, patience)


def _check_creation(target: Target, user: dict[str, Any] | None) -> None:
    if not target.create:
        raise DailytalkError(
            f"there is no dataset {target.repo} on the Hub, or you may not see it",
            "check the name, or pass --create to make it",
        )
    if target.pull_request:
        raise DailytalkError(f"{target.repo} does not exist: there is nothing to propose to", "leave --pr out")
    if user is None:
        return
    owner = target.repo.partition("/")[0]
    names = [user.get("name"), *(organisation.get("name") for organisation in user.get("orgs") or ())]
    if owner not in names:
        raise DailytalkError(
            f"you are {user.get('name')} on the Hub and can't make a dataset of {owner}",
            f"name one of your own, such as {user.get('name')}/{target.repo.partition('/')[2]}",
        )
    role = ((user.get("auth") or {}).get("accessToken") or {}).get("role")
    if role == "read":
        raise DailytalkError(f"the token of {user.get('name')} may only read", _READ_ONLY)


#: The folder of the card's pictures; the manifest names them under this key.
ASSETS = "assets"

_OURS = re.compile(rf"({'|'.join(CONFIGS)})/({'|'.join(SPLITS)})-\d{{5}}-of-\d{{5}}\.parquet")


class Content(NamedTuple):
    """A file to publish: a path on this machine or the bytes themselves, its size, and SHA-256 in hexadecimal."""

    source: Path | bytes
    size: int
    sha256: str

    def is_in(self, remote: RemoteFile | None) -> bool:
        if remote is None or remote.size != self.size:
            return False
        if remote.sha256:
            return remote.sha256 == self.sha256
        data = self.source if isinstance(self.source, bytes) else self.source.read_bytes()
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False)
        return remote.blob == blob.hexdigest()


@dataclass(frozen=True)
class Release:
    """A whole version: its data, card, pictures and manifest. `tag`: its name; None for no tag."""

    packed: Packed
    tag: str | None
    manifest: Mapping[str, Any]
    card: str
    assets: Mapping[str, bytes]
    message: str

    @cached_property
    def contents(self) -> dict[str, Content]:
        data = {file.name: Content(file.path, file.size, file.sha256) for file in self.packed.files}
        texts = {CARD: self.card.encode(), MANIFEST: manifest_text(self.manifest).encode(), **self.assets}
        return data | {
            name: Content(text, len(text), hashlib.sha256(text).hexdigest()) for name, text in texts.items()
        }


class Change(NamedTuple):
    """The change of a file: `add`, `replace`, `delete` or `keep`; its bytes (those it had, if it is deleted)."""

    what: str
    name: str
    size: int


@dataclass(frozen=True)
class PushPlan:
    """All changes, sorted by name. `to_send`: bytes of content that the branch does not have under any name."""

    changes: tuple[Change, ...]
    to_send: int

    def named(self, *whats: str) -> list[str]:
        return [change.name for change in self.changes if change.what in whats]


def plan_push(state: State, release: Release) -> PushPlan:
    """Compare a release with the repository, file by file, before anything is sent.

    Raises DailytalkError: a file that is not ours has the name of our manifest.
    """
    if MANIFEST in state.files and state.manifest is None:
        raise DailytalkError(
            f"the repository has a {MANIFEST} that is not ours",
            "rename it there, or publish to another repository",
        )
    changes = []
    for name, content in release.contents.items():
        remote = state.files.get(name)
        what = "add" if remote is None else "keep" if content.is_in(remote) else "replace"
        changes.append(Change(what, name, content.size))
    stale = sorted(owned(state) - set(release.contents))
    changes += [Change("delete", name, state.files[name].size) for name in stale]
    present = {file.sha256 for file in state.files.values()}
    sizes = {
        content.sha256: content.size
        for name, content in release.contents.items()
        if content.sha256 not in present and not content.is_in(state.files.get(name))
    }
    return PushPlan(tuple(sorted(changes, key=lambda change: change.name)), sum(sizes.values()))


def owned(state: State) -> set[str]:
    """Return the files that a push may delete.

    These are the files that the previous manifest names, and data files of our layout in our config folders, which
    readers would otherwise take for rows of this version.
    """
    manifest = state.manifest or {}
    names = {*manifest.get("files", {}), *(manifest.get(ASSETS) or ())}
    return {name for name in state.files if name in names or _OURS.fullmatch(name)}


def same_data(manifest: Mapping[str, Any] | None, packed: Packed) -> bool:
    if manifest is None:
        return False
    published = {name: file.get("sha256") for name, file in manifest.get("files", {}).items()}
    return published == {file.name: file.sha256 for file in packed.files}


def is_published(state: State, release: Release) -> bool:
    """Whether the head is this very version already, from a run that stopped before its tag."""
    return (
        same_data(state.manifest, release.packed)
        and state.manifest is not None
        and state.manifest.get("version") == release.tag
        and not differing(state.files, ((file.name, release.contents[file.name]) for file in release.packed.files))
    )


def differing(files: Mapping[str, RemoteFile], contents: Iterable[tuple[str, Content]]) -> list[str]:
    return [name for name, content in contents if not content.is_in(files.get(name))]


#: Files and bytes that are uploaded at once: enough to keep the line busy, few enough that a stop loses little.
BATCH_FILES = 8
BATCH_BYTES = 2**31

#: Objects that the Hub is asked about at a time.
_ASKED = 256

_AGAIN = "run the same command again: what was uploaded is not sent again"


def upload(
    api: HfApi,
    target: Target,
    state: State,
    release: Release,
    planned: PushPlan,
    patience: RetryPolicy,
    say: Callable[[str], None],
) -> tuple[int, dict[str, CommitOperationAdd]]:
    """Upload the data files whose content the Hub does not have from any commit or stopped run: it is asked first.

    Files are sent from the disk in small batches, so that memory holds none of them. Returns the bytes sent, and
    the operations for the commit, by name: for new ones the client would read the files once more. Raises the
    errors of the Hub's client, or DailytalkError.
    """
    changed, present = set(planned.named("add", "replace")), {file.sha256 for file in state.files.values()}
    files = [file for file in release.packed.files if file.name in changed]
    additions = {file.name: CommitOperationAdd(file.name, file.path) for file in files}
    for file in files:
        additions[file.name].upload_info.sha256 = bytes.fromhex(
            file.sha256
        )  # else it is read once more to hash it
    unknown = [file for file in files if file.sha256 not in present]
    missing: list[DataFile] = []
    for start in range(0, len(unknown), _ASKED):
        some = unknown[start : start + _ASKED]
        digests = with_retries(functools.partial(_asked_for_upload, api, target, some), patience)
        missing += [file for file in some if file.sha256 in digests]

    def preupload(operations: list[CommitOperationAdd]) -> None:
        revision = None if target.pull_request else target.branch
        with client_errors(target.repo):
            api.preupload_lfs_files(
                target.repo, operations, repo_type=KIND, revision=revision, create_pr=target.pull_request
            )

    total, sent = sum(file.size for file in missing), 0
    for batch in _batches(missing):
        operations = [additions[file.name] for file in batch]
        with_retries(functools.partial(preupload, operations), patience)
        sent += sum(file.size for file in batch)
        say(f"uploaded {sent / 1e6:.1f} of {total / 1e6:.1f} MB")
    return sent, additions


def _asked_for_upload(api: HfApi, target: Target, files: Sequence[DataFile]) -> set[str]:
    actions, errors, _ = post_lfs_batch_info(
        [UploadInfo(sha256=bytes.fromhex(file.sha256), size=file.size, sample=b"") for file in files],
        token=None,
        repo_type=KIND,
        repo_id=target.repo,
        endpoint=api.endpoint,
    )
    wanted = [entry for entry in actions if entry.get("actions")]
    return {str(entry["oid"]) for entry in [*wanted, *errors]}


@contextmanager
def client_errors(repo: str) -> Iterator[None]:
    """Raise the cause of errors that the client wraps, or else a DailytalkError.

    The client wraps the failure of a file among many and the Hub's errors about the card's front matter, and Xet's
    errors have no type.
    """
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if isinstance(error, FAILURES):
            raise
        if isinstance(error.__cause__, FAILURES):
            raise error.__cause__ from None
        reason = " ".join(without_tokens(str(error.__cause__ or error)).split())
        raise DailytalkError(f"{repo} can't take what is sent ({reason})", _AGAIN) from None


def _batches(files: Sequence[DataFile]) -> Iterator[list[DataFile]]:
    batch: list[DataFile] = []
    for file in files:
        if batch and (
            len(batch) == BATCH_FILES or sum(earlier.size for earlier in batch) + file.size > BATCH_BYTES
        ):
            yield batch
            batch = []
        batch.append(file)
    if batch:
        yield batch


Say = Callable[[str], None]


@dataclass(frozen=True)
class Published:
    """A published version.

    Attributes:
        commit: its id. url: of its page, or of the pull request's.
        tag: of the commit; None for none.
        sent: bytes uploaded. present: bytes that were on the Hub already.
        committed: False if the commit was there already, from a run that stopped.
    """

    commit: str
    url: str
    tag: str | None
    sent: int
    present: int
    committed: bool = True


def publish(
    api: HfApi,
    target: Target,
    state: State,
    release: Release,
    patience: RetryPolicy,
    say: Say,
    planned: PushPlan | None = None,
) -> Published:
    """Publish a release: repository and branch, uploads, one commit, a check of it, the tag.

    Args:
        state: what the release was planned against. If the head has moved since, that is an error.
        say: called with one line at each step.
        planned: the plan for this state, if it was made already.

    Raises DailytalkError: there was another push meanwhile, or the Hub refuses or keeps failing. Readers see the
    old version then, or, if only the tag is missing, the new one.
    """
    with hub_errors(target.repo):
        total = sum(file.size for file in release.packed.files)
        if not target.pull_request and is_published(state, release) and state.head:
            prepared(api, target, state, patience)  # a new branch starts from main
            say("the commit is there already")
            tag = _tagged(api, target.repo, release.tag, state.head, patience)
            return Published(state.head, _page(api, target.repo, state.head), tag, 0, total, committed=False)
        planned = planned or plan_push(state, release)
        read_before, state = state, prepared(api, target, state, patience)
        if state is not read_before:
            changed, planned = planned, plan_push(state, release)
            for change in sorted({*planned.changes} - {*changed.changes}):
                say(f"{change.what} {change.name}: the repository has changed since the plan")
        with suitable_transfer(api, target.repo, patience) as way:
            say(way)
            sent, additions = upload(api, target, state, release, planned, patience, say)
            commit, url = _commit(api, target, state, release, planned, additions, patience)
        wrong = differing(read_tree(api, target.repo, commit, patience), release.contents.items())
        if wrong:
            more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            raise DailytalkError(
                f"commit {commit[:10]} of {target.repo} does not hold {wrong[0]}{more} as it was sent; "
                "it got no tag",
                "run the same command again; if it stays so, look at .gitattributes and .gitignore there",
            )
        tag = None if target.pull_request else _tagged(api, target.repo, release.tag, commit, patience)
    return Published(commit, url, tag, sent, total - sent)


def push_model(
    repo: str,
    folder: Path,
    names: Sequence[str],
    message: str,
    private: bool = False,
    patience: RetryPolicy = RetryPolicy(),
) -> str:
    """Publish files of a folder as a model, made if it isn't there, in one commit; returns its address.

    Raises DailytalkError: no token, or one that may not write there; a public model where `private` is requested;
    the Hub refuses or keeps failing. Readers see the old files then.
    """
    check_token()
    api, kind = HfApi(), "model"
    with hub_errors(repo), client_errors(repo):
        with_retries(lambda: api.create_repo(repo, repo_type=kind, private=private, exist_ok=True), patience)
        if private and not with_retries(lambda: api.model_info(repo, timeout=TIMEOUTS), patience).private:
            raise DailytalkError(f"{repo} is public already", "make it private in its settings, or leave it so")
        with suitable_transfer(api, repo, patience, kind):
            additions = [CommitOperationAdd(name, folder / name) for name in names]
            return str(api.create_commit(repo, additions, commit_message=message, repo_type=kind).commit_url)


def prepared(api: HfApi, target: Target, state: State, patience: RetryPolicy) -> State:
    """Make the repository and the branch that do not exist yet, and nothing else; returns the new state."""
    with hub_errors(target.repo):
        if not state.exists:
            make = functools.partial(api.create_repo, repo_type=KIND, private=target.private, exist_ok=True)
            with_retries(lambda: make(target.repo), patience)
            state = read_state(api, target, patience)
        if target.branch not in state.branches and target.branch != MAIN and not target.pull_request:
            branch = functools.partial(api.create_branch, revision=state.head, repo_type=KIND, exist_ok=True)
            with_retries(lambda: branch(target.repo, branch=target.branch), patience)
    return state


def _commit(
    api: HfApi,
    target: Target,
    state: State,
    release: Release,
    planned: PushPlan,
    additions: Mapping[str, CommitOperationAdd],
    patience: RetryPolicy,
) -> tuple[str, str]:
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        additions.get(name) or CommitOperationAdd(name, release.contents[name].source)
        for name in planned.named("add", "replace")
    ]
    operations += [CommitOperationDelete(name, is_folder=False) for name in planned.named("delete")]
    attempt = 1
    while True:
        try:
            with client_errors(target.repo):
                commit = api.create_commit(
                    target.repo,
                    operations,
                    commit_message=release.message,
                    repo_type=KIND,
                    revision=target.branch if not target.pull_request else None,
                    create_pr=target.pull_request,
                    parent_commit=state.head,
                )
            return commit.oid, commit.pr_url or _page(api, target.repo, commit.oid)
        except FAILURES as error:
            if target.pull_request:
                raise  # an answer that was lost may have opened one, and a second is worse than none
            refs = with_retries(lambda: api.list_repo_refs(target.repo, repo_type=KIND), patience)
            now = next((ref.target_commit for ref in refs.branches if ref.name == target.branch), None)
            if now and now != state.head and _is_ours(api, target, now, release, patience):
                return now, _page(api, target.repo, now)
            if now != state.head or _status(error) == 412:
                raise _overtaken(api, target, now, patience) from None
            if not patience.waits(attempt, error):
                raise
            attempt += 1


def _is_ours(api: HfApi, target: Target, commit: str, release: Release, patience: RetryPolicy) -> bool:
    try:
        return read_manifest(api, target.repo, commit, patience) == release.manifest
    except HfHubHTTPError as error:
        if _status(error) == 404:
            return False
        raise


def _overtaken(api: HfApi, target: Target, now: str | None, patience: RetryPolicy) -> DailytalkError:
    commits = functools.partial(api.list_repo_commits, repo_type=KIND, revision=target.branch)
    latest = with_retries(lambda: commits(target.repo), patience)
    names = ", ".join(latest[0].authors) if latest else ""
    by = f" by {names}" if names else ""
    return DailytalkError(
        f"somebody else published to {target.repo} meanwhile: commit {(now or 'unknown')[:10]}{by}; "
        "nothing of yours was changed there",
        "look at what they did and run the same command again",
    )


def _tagged(api: HfApi, repo: str, tag: str | None, commit: str, patience: RetryPolicy) -> str | None:
    if tag is None:
        return None
    attempt = 1
    while True:
        try:
            api.create_tag(repo, tag=tag, revision=commit, repo_type=KIND)
            return tag
        except FAILURES as error:
            refs = with_retries(lambda: api.list_repo_refs(repo, repo_type=KIND), patience)
            tagged_commit = next((ref.target_commit for ref in refs.tags if ref.name == tag), None)
            if tagged_commit == commit:
                return tag
            if tagged_commit is not None:
                raise DailytalkError(
                    f"somebody else named commit {tagged_commit[:10]} {tag} meanwhile, and a tag is never moved; "
                    f"yours is {commit[:10]}, without a tag",
                    "run the same command again with --tag auto",
                ) from None
            if not patience.waits(attempt, error):
                raise
            attempt += 1


def _status(error: Exception) -> int:
    return int(error.response.status_code) if isinstance(error, HfHubHTTPError) else 0


def _page(api: HfApi, repo: str, commit: str) -> str:
    return f"{api.endpoint}/{KIND}s/{repo}/commit/{commit}"


#: Folder of packed files that wait to be sent, in the work folder.
STAGE = ".publish"

AUTO = "auto"


@dataclass(frozen=True)
class PushSettings:
    """The settings of a push.

    Attributes:
        tag: a version such as `v1.0.0`, `auto` for the one that the changes call for, or None for no tag.
        message: of the commit; empty: made from the tag.
        include_source: publish the untouched recordings too; None: where the version before has them.
        clips: of interaction of each kind, at most; None: `PER_KIND` where the version before has any.
        valid_share, test_share, seed: of conversations that no version before has placed.
        licence, title, contact: for the card; None: those of the card, or those that follow from the data.
    """

    tag: str | None = None
    message: str = ""
    include_source: bool | None = None
    clips: int | None = None
    valid_share: float = 0.05
    test_share: float = 0.05
    seed: int = 0
    licence: str | None = None
    title: str | None = None
    contact: str | None = None


@dataclass(frozen=True)
class PushOutcome:
    """The outcome of a push, or of a dry run.

    Attributes:
        tag: of the version, or None. changes: against the version before.
        packed: its files. plan: the changes on the Hub; None if there are none.
        published: None in a dry run, and if there was no change.
        card: of the version; None if there was no change.
    """

    tag: str | None
    changes: Changes
    packed: Packed
    plan: PushPlan | None = None
    published: Published | None = None
    card: Card | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.card.warnings if self.card else ()


def push_version(
    folder: Path,
    target: Target,
    settings: PushSettings,
    say: Say,
    patience: RetryPolicy = RetryPolicy(),
    dry_run: bool = False,
    *,
    defaults: Mapping[str, Any],
) -> PushOutcome:
    """Publish the finished conversations of a work folder; `defaults` are of `cli.defaults.default_settings`.

    `dry_run` ends after the plan. Raises DailytalkError if it can't be published as requested. Readers of the Hub
    see no change then, unless only the tag could not be set, which the sentence says.
    """
    fields = finished_items(folder).fields  # before the Hub is asked: there is something to publish
    api, stage = HfApi(), folder / STAGE
    with exclusive(stage):
        exists = validate_request(api, target, settings, patience, dry_run)
        state = read_state(api, target, patience) if exists else State()
        sides: dict[str, str] = {}
        counts: Counter[str] = Counter()
        if state.manifest and state.head:
            with hub_errors(target.repo):
                before = open_version(Reference(target.repo, state.head))
                if CONFIGS[0] in before.configs():
                    items = open_items(before)
                    sides = items.splits()
                    # One that is gone decides for what was made of the same conversation.
                    sides |= {parent: sides[name] for name, parent in items.parents().items() if name in sides}
            counts = Counter(name.split("-")[0] for name in state.manifest["files"])
        compared_with = _before(target.repo, state, settings.tag)

        def say_packed(file: DataFile, done: int, of: int) -> None:
            if done * 10 // of > (done - 1) * 10 // of:  # hundreds of files should not print hundreds of lines
                say(f"packed {done} of {counted(of, 'file')}")

        card_rows, new_rows = CardRows(fields), NewRows(with_texts=state.head is not None)
        before_had_source = any(name.startswith("source/") for name in counts)
        before_had_clips = any(name.startswith("interactivity/") for name in counts)
        packed = pack_version(
            folder,
            stage,
            include_source=before_had_source if settings.include_source is None else settings.include_source,
            per_kind=PER_KIND * before_had_clips if settings.clips is None else settings.clips,
            splits_before=sides,
            shards_before=counts,
            valid_share=settings.valid_share,
            test_share=settings.test_share,
            seed=settings.seed,
            progress=say_packed,
            readers=(card_rows.add, new_rows.add),
        )
        write_text(stage / MANIFEST, manifest_text(manifest(packed, None, {})))  # which `compare` need not read
        after = open_version(stage)
        changes = new_rows.changes(compared_with, after)
        changes.repacked |= _asks_other_card(state.card, settings)
        tag = settings.tag if settings.tag != AUTO else next_tag(state.tags, changes.bump)
        if _is_there(api, target, state, packed, after, new_rows, tag, changes, settings, patience):
            if not dry_run:
                shutil.rmtree(stage)
            return PushOutcome(tag or (state.manifest or {}).get("version"), changes, packed)
        _check_tag(tag, state, changes)
        record = changes.as_dict()
        history = [(tag, datetime.now(UTC).date().isoformat(), push_in_words(record))] if tag else []
        for version in list_versions(target.repo) if state.tags else ():
            if version.kind == "version":
                date = version.date.date().isoformat() if version.date else ""
                history.append((version.name, date, push_in_words(version.changes or {})))
        facts = CardFacts(
            target.repo,
            tag,
            licence=settings.licence,
            pretty_name=settings.title,
            history=tuple(history),
            changes=record,
            contact=settings.contact,
        )
        for reject in (*rejects_in(folder), *(reject.as_dict() for reject in packed.rejects)):
            card_rows.maker.add_reject(reject)
        card = render_card(state.card, packed, after, card_rows, facts, read_run(folder) or {}, defaults)
        manifest_of_version = manifest(packed, tag, record) | {ASSETS: sorted(card.assets)}
        message = settings.message or f"Publish {tag or 'conversations'}: {push_in_words(record)}"
        release = Release(packed, tag, manifest_of_version, card.text, card.assets, message)
        planned = plan_push(state, release)
        if dry_run:
            return PushOutcome(tag, changes, packed, planned, card=card)
        published = publish(api, target, state, release, patience, say, planned)
        shutil.rmtree(stage)
        return PushOutcome(tag, changes, packed, planned, published, card)


def validate_request(
    api: HfApi, target: Target, settings: PushSettings, patience: RetryPolicy, dry_run: bool = False
) -> bool:
    """Return whether the repository exists. Creates nothing.

    Raises DailytalkError for all that can be rejected before any work: a tag that is no version, values that the
    card can't hold, and targets that `check_access` rejects.
    """
    if settings.tag not in (None, AUTO):
        parse_tag(str(settings.tag))
    CardFacts(target.repo, None, licence=settings.licence, contact=settings.contact)
    return check_access(api, target, patience, dry_run)


def _before(repo: str, state: State, tag: str | None) -> Version | None:
    below = [
        tag_name
        for tag_name in state.tags
        if is_version_tag(tag_name) and (tag in (None, AUTO) or parse_tag(tag_name) < parse_tag(str(tag)))
    ]
    revision = latest(below) or (state.head if state.manifest else None)
    if revision is None:
        return None
    version = open_version(Reference(repo, revision))
    return version if version.manifest() else None


def _is_there(
    api: HfApi,
    target: Target,
    state: State,
    packed: Packed,
    after: Version,
    new_rows: NewRows,
    tag: str | None,
    changes: Changes,
    settings: PushSettings,
    patience: RetryPolicy,
) -> bool:
    """Whether exactly this is already published.

    Raises DailytalkError if the tag exists and names other data or another card.
    """
    asks_card = _asks_other_card(state.card, settings)
    if tag is None or target.pull_request:
        on_branch = target.branch in state.branches and not asks_card
        return tag is None and on_branch and same_data(state.manifest, packed)
    tagged_commit = state.tags.get(tag)
    if tagged_commit is None:
        return False
    with hub_errors(target.repo):
        same = same_data(read_manifest(api, target.repo, tagged_commit, patience), packed)
    # Files may be others with the same rows, as another version of a library writes them.
    same = same or new_rows.changes(open_version(Reference(target.repo, tagged_commit)), after).same_rows
    if same and not asks_card:
        return True
    difference = "another card" if same else "other data"
    raise DailytalkError(
        f"{tag} of {target.repo} names commit {tagged_commit[:10]} with {difference}, and a tag is never moved",
        f"pass --tag {next_tag(state.tags, changes.bump or 'patch')}, or --tag auto",
    )


def _asks_other_card(card: str | None, settings: PushSettings) -> bool:
    if card is None:
        return False
    values = parsed_card(card).data
    wishes = ((settings.licence, values.get("license")), (settings.title, values.get("pretty_name")))
    return any(wish and wish != has for wish, has in wishes) or (settings.contact or "") not in card


def _check_tag(tag: str | None, state: State, changes: Changes) -> None:
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


def push_in_words(changes: dict[str, Any]) -> str:
    if not changes.get("previous"):
        return "first version"
    return count_in_words(changes) or "the same conversations"
