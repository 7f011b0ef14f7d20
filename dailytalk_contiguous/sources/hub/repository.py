"""A dataset repository on the Hub at one commit: its files, and the licence in its card.

The revision is resolved to a commit once, and all that follows names that commit, so that a push in the meantime
can't mix two versions.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.tqdm import tqdm

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.schema import CONFIGS as PUBLISHED
from dailytalk_contiguous.store.addresses import HubChoice
from dailytalk_contiguous.store.hub import MAIN, TIMEOUTS, Reference, data_digest, hub_errors, parse_reference
from dailytalk_contiguous.store.work_folder import Base, read_base, read_run, write_base


class HubFile(NamedTuple):
    """A file of the repository: its size in bytes, and a digest of its content in hexadecimal."""

    size: int
    digest: str


@dataclass(frozen=True)
class Repository:
    """A dataset repository at one commit. `licence`: what its card names, or None; `files`: by path."""

    reference: Reference
    commit: str
    licence: str | None
    files: dict[str, HubFile]
    choice: HubChoice

    def about(self) -> dict[str, str | None]:
        return {"repository": self.reference.repo, "revision": self.commit, "licence": self.licence}

    @property
    def is_version(self) -> bool:
        """Whether the chosen part holds finished conversations that `push` wrote."""
        folders = {path.partition("/")[0] for path in self.files if "/" in path}
        is_published = {*PUBLISHED[:2]} <= folders
        return is_published and self.choice.config in ("", PUBLISHED[0])


def keep_base(repository: Repository, out: Path) -> None:
    """Record a version that `push` wrote as the one that a work folder is made from.

    Call it before run.json is written. A folder that was made from the same commit before keeps its record: it
    may have been published since.
    """
    revision = read_run(out).source.revision
    was_made_from_it = revision == repository.commit and read_base(out) is not None
    if repository.is_version and not was_made_from_it:
        digests = {name: file.digest for name, file in repository.files.items()}
        write_base(out, Base(published={MAIN: data_digest(digests)}))


def repository_of(inputs: Sequence[str], choice: HubChoice) -> Repository | None:
    """Return the repository that INPUT names, at its commit; None if it names files or folders.

    A local path takes precedence over a repository of that name. Raises DailytalkError for a repository
    beside other inputs (names would depend on what their folders have in common), and as `open_repository`.
    """
    references = [parse_reference(name) for name in inputs if not os.path.lexists(name)]
    named = [reference for reference in references if reference]
    if not named:
        options = choice.options()
        if options:
            raise DailytalkError(f"{options[0]} is for datasets on the Hub", "leave it out for files and folders")
        return None
    if len(inputs) > 1:
        others = [name for name in inputs if parse_reference(name) != named[0]]
        raise DailytalkError(
            f"{named[0].repo!r} is not a file or folder here, and a dataset on the Hub can't have inputs beside "
            "it "
            f"({', '.join(map(repr, others or inputs))})",
            "check the path, or give each dataset a run and an --out of its own",
        )
    try:
        return open_repository(named[0], choice)
    except DailytalkError as problem:  # it may have been meant as a path
        raise DailytalkError(
            f"there is no {inputs[0]!r} on this machine, and {problem.reason}", problem.remedy
        ) from None


def open_repository(reference: Reference, choice: HubChoice) -> Repository:
    """Resolve the revision and list the files. Raises DailytalkError as `hub_errors` does."""
    api = HfApi()
    files = {}
    with hub_errors(reference):
        info = api.dataset_info(reference.repo, revision=reference.revision, timeout=TIMEOUTS)
        commit = str(info.sha)
        tree = api.list_repo_tree(reference.repo, recursive=True, revision=commit, repo_type="dataset")
        for entry in tree:
            if isinstance(entry, RepoFile):
                digest = entry.lfs.sha256 if entry.lfs else entry.blob_id
                files[entry.path] = HubFile(entry.size, digest)
    return Repository(reference, commit, _licence(info.card_data), files, choice)


def _licence(card: object) -> str | None:
    """Return the licence that the Hub read in a card: `cc-by-4.0`, or for `other` its name and link."""
    licence = getattr(card, "license", None)
    parts = licence if isinstance(licence, list) else [licence]
    separator = ", "
    if licence == "other":
        parts = [getattr(card, "license_name", None), getattr(card, "license_link", None)]
        separator = " "
    texts = [part for part in parts if part and isinstance(part, str)]
    if licence == "other" and not texts:
        texts = [licence]
    # JSON can spell halves of characters, which no file that we write could hold.
    encoded = separator.join(texts).encode("utf-8", "backslashreplace")
    return encoded.decode() or None


def download(repository: Repository, path: str, folder: Path | None = None) -> Path:
    """Fetch a file of the repository into the Hub's own cache on this machine, once; resumed after a stop.

    With `folder` it is put there instead, for a caller that drops it after use.
    """
    local = hf_hub_download(
        repository.reference.repo,
        path,
        repo_type="dataset",
        revision=repository.commit,
        local_dir=folder,
        tqdm_class=_Silent,
    )
    return Path(local)


class _Silent(tqdm):
    """No progress bar for each of thousands of files."""

    def __init__(self, *positional: object, **named: object) -> None:
        named["disable"] = True
        super().__init__(*positional, **named)  # type: ignore[no-untyped-call]


def modified_of(digest: str) -> int:
    """Return a time of modification that identifies a content: its digest's first 31 bits as seconds since 1970.

    A recording is identified by its name, size and time. With the time of its download, clearing the cache would
    redo all the work on recordings that did not change.
    """
    return int(digest[:8], 16) >> 1
