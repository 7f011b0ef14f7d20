"""A dataset repository on the Hub at one commit: what is in it, and what its card says of its licence.

The revision is resolved to a commit once, and all that follows names that commit, so that a push in the meantime
can't mix two versions.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from huggingface_hub import DatasetCard, HfApi, hf_hub_download
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.tqdm import tqdm

from dailytalk_contiguous.core.published import CONFIGS as PUBLISHED
from dailytalk_contiguous.core.reference import Reference
from dailytalk_contiguous.sources.hub_errors import TIMEOUTS, hub_errors


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

    @property
    def revoiced(self) -> bool:
        """Whether what is read of it is what `push` wrote of finished conversations, not their recordings."""
        conversations, utterances, source = (self._has(config) for config in PUBLISHED)
        chosen = self.choice.config or PUBLISHED[2 if source else 0]
        return conversations and utterances and chosen == PUBLISHED[0]

    def _has(self, config: str) -> bool:
        return any(path.startswith(f"{config}/") for path in self.files)


def open_repository(reference: Reference, choice: HubChoice) -> Repository:
    """Resolve the revision, list the files and read the card. Raises DailytalkError as `hub_errors` does."""
    api = HfApi()
    with hub_errors(reference):
        commit = str(api.dataset_info(reference.repo, revision=reference.revision, timeout=TIMEOUTS).sha)
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


def _licence(card: Path) -> str | None:
    """What a card's metadata says: `cc-by-4.0`, or for `other` the name and the link that it gives."""
    try:
        data = DatasetCard(card.read_text(encoding="utf-8"), ignore_metadata_errors=True).data.to_dict()  # type: ignore[no-untyped-call]
    except (ValueError, yaml.YAMLError):  # metadata that is no YAML says nothing of a licence
        return None
    licence = data.get("license")
    named = [str(data[key]) for key in ("license_name", "license_link") if data.get(key)]
    if licence == "other" and named:
        text = " ".join(named)
    else:
        text = ", ".join(map(str, licence)) if isinstance(licence, list) else str(licence or "")
    # YAML can spell halves of characters, which no file that we write could hold.
    return text.encode("utf-8", "backslashreplace").decode() or None


class _Silent(tqdm):
    """No bar of its own for each of thousands of files."""

    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__(*positional, **(named | {"disable": True}))  # type: ignore[no-untyped-call]
