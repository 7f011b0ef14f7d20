"""What a dataset repository is before we publish to it: whether we may, and what lies there.

Everything that can be refused is found out here, before the first byte of work: a read-only token otherwise fails
after hours of packing, and a server without Xet at the end of the upload. All that follows is planned against one
commit, the head that is read here, and is refused by the Hub if the head is another one by then.
"""

import contextlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from huggingface_hub import HfApi, constants, get_token, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    build_hf_headers,
    get_session,
    hf_raise_for_status,
)

from dailytalk_contiguous.core.documents import MOST_OWN_BYTES, fits, parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.publish.packing.packed import LAYOUT, MANIFEST, MANIFEST_SHAPE
from dailytalk_contiguous.publish.pushing.patience import Patience, retried
from dailytalk_contiguous.sources.hub_errors import TIMEOUTS, hub_errors

MAIN = "main"
CARD = "README.md"
KIND = "dataset"

_READ_ONLY = "make one with the right to write in your settings there, and set HF_TOKEN to it"


@dataclass(frozen=True)
class Target:
    """Where to publish.

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
    """What lies on the Hub, at one moment.

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


def check_access(api: HfApi, target: Target, patience: Patience) -> bool:
    """Whether the repository is there. Makes nothing.

    Raises:
        DailytalkError: no token, a wrong one, or one that may not write there; no such repository and `create` is
            not set; a public one where `private` is asked for; the Hub can't be reached.
    """
    if get_token() is None:
        raise DailytalkError("there is no token for the Hub", "log in with `hf auth login`, or set HF_TOKEN")
    with hub_errors(target.repo):
        # A wrong address or no network is likelier here than a failure that passes.
        user = retried(api.whoami, replace(patience, tries=min(2, patience.tries)))
        try:
            told = retried(lambda: api.dataset_info(target.repo, timeout=TIMEOUTS), patience)
        except RepositoryNotFoundError:
            _check_creation(target, user)
            return False
        if target.private and not told.private:
            raise DailytalkError(
                f"{target.repo} is public already", "make it private in its settings, or leave --private out"
            )
        try:
            # Whoever may read may propose.
            retried(lambda: api.auth_check(target.repo, repo_type=KIND, write=not target.pull_request), patience)
        except HfHubHTTPError as error:
            if error.response.status_code != 403:
                raise
            raise DailytalkError(
                f"the token of {user.get('name')} may not write to {target.repo}", _READ_ONLY
            ) from None
    return True


def read_state(api: HfApi, target: Target, patience: Patience) -> State:
    """What lies in a repository that is there. Raises DailytalkError as the Hub does."""
    with hub_errors(target.repo):
        refs = retried(lambda: api.list_repo_refs(target.repo, repo_type=KIND), patience)
        branches = {one.name: one.target_commit for one in refs.branches}
        head = branches.get(target.branch, branches.get(MAIN))
        files = read_tree(api, target.repo, head, patience) if head else {}
        manifest = read_manifest(api, target.repo, head, patience) if head and MANIFEST in files else None
        card = read_text(api, target.repo, head, CARD, patience) if head and CARD in files else None
    tags = {one.name: one.target_commit for one in refs.tags}
    return State(True, head, tuple(branches), tags, files, manifest, card)


def read_tree(api: HfApi, repo: str, revision: str, patience: Patience) -> dict[str, RemoteFile]:
    """All files of a revision, by name."""
    tree = retried(
        lambda: list(api.list_repo_tree(repo, recursive=True, revision=revision, repo_type=KIND)), patience
    )
    return {
        one.path: RemoteFile(one.size, one.lfs.sha256 if one.lfs else None, one.blob_id)
        for one in tree
        if isinstance(one, RepoFile)
    }


def read_manifest(api: HfApi, repo: str, revision: str, patience: Patience) -> dict[str, Any] | None:
    """The manifest of a revision that has a file of that name; None if it is not one of ours."""
    try:
        told = parse_json(read_text(api, repo, revision, MANIFEST, patience), MANIFEST, limit=MOST_OWN_BYTES)
    except (BadInput, UnicodeDecodeError):
        return None
    return told if fits(told, MANIFEST_SHAPE | {"files": dict}) and told.get("layout") == LAYOUT else None


def read_text(api: HfApi, repo: str, revision: str, name: str, patience: Patience) -> str:
    """A small text file of a revision. Not by way of the client's cache: it is read once, and must be this one."""

    def fetch() -> str:
        url = hf_hub_url(repo, name, repo_type=KIND, revision=revision, endpoint=api.endpoint)
        response = get_session().get(url, headers=build_hf_headers())
        hf_raise_for_status(response)
        return response.content.decode("utf-8")

    return retried(fetch, patience)


@contextlib.contextmanager
def suitable_transfer(api: HfApi, repo: str, patience: Patience) -> Iterator[str]:
    """Have what follows upload by a way that the server knows; yields which one, as a sentence.

    With `hf_xet` installed the client takes Xet for granted, and fails at the first upload to a server without
    it. The switch is the client's own setting, which it reads at each upload; it is put back afterwards.
    """
    before = constants.HF_HUB_DISABLE_XET
    told = "uploads by LFS"
    if not before and _has_xet_installed():
        if _gives_xet_tokens(api, repo, patience):
            told = "uploads by Xet: only chunks that are new are sent"
        else:
            constants.HF_HUB_DISABLE_XET = True
            told = "uploads by LFS, for the server has no Xet"
    try:
        yield told
    finally:
        constants.HF_HUB_DISABLE_XET = before


def _has_xet_installed() -> bool:
    return bool(importlib.util.find_spec("hf_xet"))


def _gives_xet_tokens(api: HfApi, repo: str, patience: Patience) -> bool:
    def ask() -> bool:
        url = f"{api.endpoint}/api/{KIND}s/{repo}/xet-write-token/{MAIN}"
        response = get_session().get(url, headers=build_hf_headers())
        if response.status_code in (404, 405, 501):
            return False
        hf_raise_for_status(response)
        return True

    return retried(ask, patience)


def _check_creation(target: Target, user: dict[str, Any]) -> None:
    """Whether a repository that isn't there may be made, as far as the user's own record tells."""
    if not target.create:
        raise DailytalkError(
            f"there is no dataset {target.repo} on the Hub, or you may not see it",
            "check the name, or pass --create to make it",
        )
    if target.pull_request:
        raise DailytalkError(f"{target.repo} does not exist: there is nothing to propose to", "leave --pr out")
    owner = target.repo.partition("/")[0]
    names = [user.get("name"), *(one.get("name") for one in user.get("orgs") or ())]
    if owner not in names:
        raise DailytalkError(
            f"you are {user.get('name')} on the Hub and can't make a dataset of {owner}",
            f"name one of your own, such as {user.get('name')}/{target.repo.partition('/')[2]}",
        )
    role = ((user.get("auth") or {}).get("accessToken") or {}).get("role")
    if role == "read":
        raise DailytalkError(f"the token of {user.get('name')} may only read", _READ_ONLY)
