"""Uploads data files to where nobody sees them until a commit names them.

What the Hub's store has already, from another version or from a run that was stopped, is not sent again: the
server is asked first. Files go in small batches from the disk, so that memory holds none of them.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.lfs import UploadInfo, post_lfs_batch_info

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.packing.packed import DataFile
from dailytalk_contiguous.publish.pushing.hub import KIND, State, Target
from dailytalk_contiguous.publish.pushing.patience import FAILURES, Patience, retried
from dailytalk_contiguous.publish.pushing.planning import Release, plan
from dailytalk_contiguous.sources.hub_errors import without_tokens

#: Files and bytes that are uploaded in one go: enough to keep the line busy, few enough that a stop loses little.
BATCH_FILES = 8
BATCH_BYTES = 2**31

#: Objects that the Hub is asked about at a time.
_ASKED = 256

_AGAIN = "run the same command again: what was uploaded is not sent again"


class Uploaded(NamedTuple):
    """Bytes sent, bytes that were there already, and the operations for the commit, by name.

    They are to be used for the commit: the client would go through the files of new ones once more.
    """

    sent: int
    there: int
    additions: dict[str, CommitOperationAdd]


def upload(
    api: HfApi, target: Target, state: State, release: Release, patience: Patience, say: Callable[[str], None]
) -> Uploaded:
    """Upload the data files whose content the Hub does not have. Raises what the Hub does, or a DailytalkError."""
    changed = set(plan(state, release).named("add", "replace"))
    files = [file for file in release.packed.files if file.name in changed]
    known = {file.sha256 for file in state.files.values()}
    missing = _missing(api, target, [file for file in files if file.sha256 not in known], patience)
    additions = {file.name: _addition(file) for file in files}
    total, sent = sum(file.size for file in missing), 0
    for batch in _batches(missing):
        some = [additions[file.name] for file in batch]
        retried(functools.partial(_preupload, api, target, some), patience)
        sent += sum(file.size for file in batch)
        say(f"uploaded {sent / 1e6:.1f} of {total / 1e6:.1f} MB")
    return Uploaded(sent, sum(file.size for file in release.packed.files) - sent, additions)


def _missing(api: HfApi, target: Target, files: Sequence[DataFile], patience: Patience) -> list[DataFile]:
    """Those whose content the Hub's store does not have, whatever commit or stopped run it is from."""
    found: list[DataFile] = []
    for start in range(0, len(files), _ASKED):
        some = files[start : start + _ASKED]
        wanted = retried(functools.partial(_wanted, api, target, some), patience)
        found += [file for file in some if file.sha256 in wanted]
    return found


def _wanted(api: HfApi, target: Target, files: Sequence[DataFile]) -> set[str]:
    """The digests of the contents that the Hub would have uploaded."""
    actions, errors, _ = post_lfs_batch_info(
        [UploadInfo(sha256=bytes.fromhex(file.sha256), size=file.size, sample=b"") for file in files],
        token=None,
        repo_type=KIND,
        repo_id=target.repo,
        endpoint=api.endpoint,
    )
    return {str(one["oid"]) for one in actions if one.get("actions")} | {str(one["oid"]) for one in errors}


def _preupload(api: HfApi, target: Target, additions: list[CommitOperationAdd]) -> None:
    with client_errors(target.repo):
        api.preupload_lfs_files(
            target.repo,
            additions,
            repo_type=KIND,
            revision=None if target.pull_request else target.branch,
            create_pr=target.pull_request,
        )


@contextmanager
def client_errors(repo: str) -> Iterator[None]:
    """Raise what the client wraps into errors of its own as what it was, or else as a DailytalkError.

    It does so for a file of many that failed, for what the Hub says of the card's front matter, and Xet's own
    errors have no kind at all.
    """
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if isinstance(error, FAILURES):
            raise
        if isinstance(error.__cause__, FAILURES):
            raise error.__cause__ from None
        said = " ".join(without_tokens(str(error.__cause__ or error)).split())
        raise DailytalkError(f"{repo} can't take what is sent ({said})", _AGAIN) from None


def _batches(files: Sequence[DataFile]) -> Iterator[list[DataFile]]:
    batch: list[DataFile] = []
    for file in files:
        if batch and (len(batch) == BATCH_FILES or sum(one.size for one in batch) + file.size > BATCH_BYTES):
            yield batch
            batch = []
        batch.append(file)
    if batch:
        yield batch


def _addition(file: DataFile) -> CommitOperationAdd:
    made = CommitOperationAdd(file.name, file.path)
    made.upload_info.sha256 = bytes.fromhex(file.sha256)  # else every file is read once more to hash it
    return made
