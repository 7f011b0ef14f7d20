"""A dataset repository on the Hub at one commit: what is in it, what its card says, and what can go wrong with it.

The revision is resolved to a commit once, and all that follows names that commit, so that a push in the meantime
can't mix two versions. Every failure that a user can mend becomes one sentence, without the Hub's own words: they
hold addresses and request ids that help nobody.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from datasets.exceptions import DatasetsError
from huggingface_hub import DatasetCard, HfApi, hf_hub_download
from huggingface_hub.errors import (  # type: ignore[attr-defined]
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,  # of httpx or httpx2, whichever its version is built on
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.tqdm import tqdm

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.reference import Reference

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class HubChoice:
    """What of a repository is meant; what is empty is guessed, and refused where a guess would be a gamble.

    Attributes:
        config: of a dataset of tables. Guess: the only one, `source`, `conversations` or `default`.
        split: of a dataset of tables, or a folder of audio files. By default all.
        audio_column: guess: the only one with audio, or the only one whose first row is stereo.
        id_column: names the recordings. Guess: `conversation_id`, `recording_id`, `id`, else the file name.
    """

    config: str = ""
    split: str = ""
    audio_column: str = ""
    id_column: str = ""

    def options(self) -> list[str]:
        """The options of the command line that were given."""
        return [f"--{one.name.replace('_', '-')}" for one in fields(self) if getattr(self, one.name)]


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

    def about(self) -> dict[str, Any]:
        """Where the recordings are from, as `run.json` tells it."""
        return {"repository": self.reference.repo, "revision": self.commit, "licence": self.licence}


def open_repository(reference: Reference, choice: HubChoice) -> Repository:
    """Resolve the revision, list the files and read the card. Raises DailytalkError as `hub_errors` does."""
    api = HfApi()
    with hub_errors(reference):
        commit = str(api.dataset_info(reference.repo, revision=reference.revision).sha)
        tree = api.list_repo_tree(reference.repo, recursive=True, revision=commit, repo_type="dataset")
        files = {
            one.path: HubFile(one.size, one.lfs.sha256 if one.lfs else one.blob_id)
            for one in tree
            if isinstance(one, RepoFile)
        }
        bare = Repository(reference, commit, None, files, choice)
        licence = _licence(download(bare, "README.md")) if "README.md" in files else None
    return Repository(reference, commit, licence, files, choice)


def download(repository: Repository, path: str, folder: Path | None = None) -> Path:
    """A file of the repository in the Hub's own cache on this machine; fetched once, and resumed after a stop.

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


def modified_of(digest: str) -> int:
    """A time of modification that stands for a content: its digest's first 31 bits as seconds since 1970.

    A recording is known by its name, size and time. With the time of its download, whoever clears the cache would
    redo all the work on recordings that did not change.
    """
    return int(digest[:8], 16) >> 1


@contextlib.contextmanager
def hub_errors(reference: Reference) -> Iterator[None]:
    """Say in one sentence what the Hub, the network or the disk refused. Raises DailytalkError."""
    try:
        yield
    except GatedRepoError:
        raise DailytalkError(
            f"{reference.repo} is gated", "accept its terms on its page and log in with that account (HF_TOKEN)"
        ) from None
    except RepositoryNotFoundError:
        raise DailytalkError(
            f"there is no file {reference.repo!r} here, and no such dataset on the Hub that you may read",
            "check the name; if it is private, set HF_TOKEN or log in",
        ) from None
    except RevisionNotFoundError:
        raise DailytalkError(
            f"{reference.repo} has no revision {reference.revision!r}", "name one of its tags, branches or commits"
        ) from None
    except DatasetsError as error:
        told = str(error).partition("\n")[0].rstrip(".")
        raise DailytalkError(
            f"{reference.repo} can't be opened as a dataset ({told})", "name a dataset of recordings"
        ) from None
    except OfflineModeIsEnabled:
        raise DailytalkError("the Hub may not be asked while HF_HUB_OFFLINE is set", "unset it") from None
    except LocalEntryNotFoundError:
        raise _unreachable() from None
    except HfHubHTTPError as error:
        raise _refused(error) from None
    except (HTTPError, ConnectionError, TimeoutError):
        raise _unreachable() from None
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DailytalkError(
            f"the disk has no room for the recordings of {reference.repo}",
            "free some space, or set HF_HOME and DAILYTALK_CACHE to a larger disk, and run the same command again",
        ) from error


def _refused(error: HfHubHTTPError) -> DailytalkError:
    status = error.response.status_code if error.response is not None else 0
    if status in (401, 403):
        return DailytalkError("the Hub refuses your token", "set HF_TOKEN to one that may read, or log in again")
    return DailytalkError(f"the Hub failed (HTTP {status})", "run the same command again later")


def _unreachable() -> DailytalkError:
    where = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    return DailytalkError(
        f"the Hub can't be reached at {where}", "check the network and run the same command again"
    )


def _licence(card: Path) -> str | None:
    """What a card's metadata says: `cc-by-4.0`, or for `other` the name and the link that it gives."""
    try:
        data = DatasetCard(card.read_text(encoding="utf-8"), ignore_metadata_errors=True).data.to_dict()  # type: ignore[no-untyped-call]
    except ValueError:  # metadata that is no YAML says nothing of a licence
        return None
    licence = data.get("license")
    if isinstance(licence, list):
        return ", ".join(map(str, licence)) or None
    named = [str(data[key]) for key in ("license_name", "license_link") if data.get(key)]
    return " ".join(named) if licence == "other" and named else licence


class _Silent(tqdm):
    """No bar of its own for each of thousands of files."""

    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__(*positional, **(named | {"disable": True}))  # type: ignore[no-untyped-call]
