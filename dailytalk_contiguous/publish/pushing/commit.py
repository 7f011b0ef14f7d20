"""Sends a version to the Hub so that readers see the old one or the new one, whenever it stops.

Files are uploaded first, where nobody sees them; then one commit brings all of them, takes away what is stale, and
is refused if anybody else has committed since; then what it holds is checked, and only then is it tagged. A lost
answer to the commit or the tag may still have done its work, so both are looked for before they are tried again.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.pushing.hub import (
    KIND,
    MAIN,
    State,
    Target,
    read_manifest,
    read_state,
    read_tree,
    suitable_transfer,
)
from dailytalk_contiguous.publish.pushing.patience import FAILURES, Patience, retried
from dailytalk_contiguous.publish.pushing.planning import Release, differing, is_published, plan
from dailytalk_contiguous.publish.pushing.uploading import Uploaded, client_errors, upload
from dailytalk_contiguous.sources.hub_errors import hub_errors

Say = Callable[[str], None]


@dataclass(frozen=True)
class Published:
    """What became of a push.

    Attributes:
        commit: its id. url: of its page, or of the pull request's.
        tag: that it has now; None for none.
        sent: bytes uploaded. there: bytes that were on the Hub already.
        committed: False if the commit was there already, from a run that stopped.
    """

    commit: str
    url: str
    tag: str | None
    sent: int
    there: int
    committed: bool = True


def publish(api: HfApi, target: Target, state: State, release: Release, patience: Patience, say: Say) -> Published:
    """Bring a release to the Hub: repository and branch, uploads, one commit, a look at it, the tag.

    Args:
        state: what the release was planned against. A head that is another one by now is an error.
        say: told one line at each step.

    Raises:
        DailytalkError: somebody else published meanwhile, or the Hub refuses or fails for good. Readers see the
            old version then, or, if only the tag is missing, the new one.
    """
    with hub_errors(target.repo):
        if not target.pull_request and is_published(state, release) and state.head:
            prepared(api, target, state, patience)  # a branch that is still to be made holds what main does
            say("the commit is there already")
            total = sum(file.size for file in release.packed.files)
            tag = _tagged(api, target.repo, release.tag, state.head, patience)
            return Published(state.head, _page(api, target.repo, state.head), tag, 0, total, committed=False)
        state = prepared(api, target, state, patience)
        with suitable_transfer(api, target.repo, patience) as way:
            say(way)
            uploaded = upload(api, target, state, release, patience, say)
            commit, url = _commit(api, target, state, release, uploaded, patience)
        _check(api, target, commit, release, patience)
        tag = None if target.pull_request else _tagged(api, target.repo, release.tag, commit, patience)
    return Published(commit, url, tag, uploaded.sent, uploaded.there)


def prepared(api: HfApi, target: Target, state: State, patience: Patience) -> State:
    """Make the repository and the branch that are still to be made, and nothing else; the state then."""
    with hub_errors(target.repo):
        if not state.exists:
            make = functools.partial(
                api.create_repo, target.repo, repo_type=KIND, private=target.private, exist_ok=True
            )
            retried(make, patience)
            state = read_state(api, target, patience)
        if target.branch not in state.branches and target.branch != MAIN and not target.pull_request:
            branch = functools.partial(api.create_branch, revision=state.head, repo_type=KIND, exist_ok=True)
            retried(lambda: branch(target.repo, branch=target.branch), patience)
    return state


def _operations(
    state: State, release: Release, uploaded: Uploaded
) -> list[CommitOperationAdd | CommitOperationDelete]:
    planned = plan(state, release)
    changed = planned.named("add", "replace")
    additions = uploaded.additions | {
        name: CommitOperationAdd(name, release.contents[name].source)
        for name in changed
        if name not in uploaded.additions
    }
    deletions = [CommitOperationDelete(name, is_folder=False) for name in planned.named("delete")]
    return [*(additions[name] for name in changed), *deletions]


def _commit(
    api: HfApi, target: Target, state: State, release: Release, uploaded: Uploaded, patience: Patience
) -> tuple[str, str]:
    """Make the one commit; its id and its page."""
    operations = _operations(state, release, uploaded)
    attempt = 1
    while True:
        try:
            with client_errors(target.repo):
                made = api.create_commit(
                    target.repo,
                    operations,
                    commit_message=release.message,
                    repo_type=KIND,
                    revision=target.branch if not target.pull_request else None,
                    create_pr=target.pull_request,
                    parent_commit=state.head,
                )
            return made.oid, made.pr_url or _page(api, target.repo, made.oid)
        except FAILURES as error:
            if target.pull_request:
                raise  # an answer that was lost may have opened one, and a second is worse than none
            now = _head(api, target, patience)
            if now and now != state.head and _is_ours(api, target, now, release, patience):
                return now, _page(api, target.repo, now)
            if now != state.head or _status(error) == 412:
                raise _overtaken(api, target, now, patience) from None
            if not patience.waits(attempt, error):
                raise
            attempt += 1


def _head(api: HfApi, target: Target, patience: Patience) -> str | None:
    refs = retried(lambda: api.list_repo_refs(target.repo, repo_type=KIND), patience)
    return next((one.target_commit for one in refs.branches if one.name == target.branch), None)


def _is_ours(api: HfApi, target: Target, commit: str, release: Release, patience: Patience) -> bool:
    try:
        return read_manifest(api, target.repo, commit, patience) == release.manifest
    except HfHubHTTPError as error:
        if _status(error) == 404:
            return False
        raise


def _overtaken(api: HfApi, target: Target, now: str | None, patience: Patience) -> DailytalkError:
    latest = retried(lambda: api.list_repo_commits(target.repo, repo_type=KIND, revision=target.branch), patience)
    names = ", ".join(latest[0].authors) if latest else ""
    by = f" by {names}" if names else ""
    return DailytalkError(
        f"somebody else published to {target.repo} meanwhile: commit {(now or 'unknown')[:10]}{by}; "
        "nothing of yours was changed there",
        "look at what they did and run the same command again",
    )


def _check(api: HfApi, target: Target, commit: str, release: Release, patience: Patience) -> None:
    files = read_tree(api, target.repo, commit, patience)
    wrong = differing(files, release.contents.items())
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise DailytalkError(
            f"commit {commit[:10]} of {target.repo} does not hold {wrong[0]}{more} as it was sent; it got no tag",
            "run the same command again; if it stays so, look at .gitattributes and .gitignore there",
        )


def _tagged(api: HfApi, repo: str, tag: str | None, commit: str, patience: Patience) -> str | None:
    """Name a commit. A tag that is there already is never moved."""
    if tag is None:
        return None
    attempt = 1
    while True:
        try:
            api.create_tag(repo, tag=tag, revision=commit, repo_type=KIND)
            return tag
        except FAILURES as error:
            refs = retried(lambda: api.list_repo_refs(repo, repo_type=KIND), patience)
            there = next((one.target_commit for one in refs.tags if one.name == tag), None)
            if there == commit:
                return tag
            if there is not None:
                raise DailytalkError(
                    f"somebody else named commit {there[:10]} {tag} meanwhile, and a tag is never moved; yours is "
                    f"{commit[:10]}, without a tag",
                    "run the same command again with --tag auto",
                ) from None
            if not patience.waits(attempt, error):
                raise
            attempt += 1


def _status(error: Exception) -> int:
    return int(error.response.status_code) if isinstance(error, HfHubHTTPError) else 0


def _page(api: HfApi, repo: str, commit: str) -> str:
    return f"{api.endpoint}/{KIND}s/{repo}/commit/{commit}"
