"""What a stream is of and what it makes, and whether a work folder holds the beginning of the same.

A stream drops what it has used, so it can't go back and make its first windows anew as other runs would: what it
began with, it goes on with, and anything else is refused.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.engine.outputs import models_of
from dailytalk_contiguous.engine.positions import Positions
from dailytalk_contiguous.engine.speaking import DATASET, provenance_of
from dailytalk_contiguous.engine.tagging import TAGGED, Options, refuse_mixing, refuse_unwritable
from dailytalk_contiguous.pipeline import SpeakSettings, TagSettings, speaking, tagging
from dailytalk_contiguous.shards import chain_of
from dailytalk_contiguous.sources.folder import FolderConfig
from dailytalk_contiguous.sources.hub_repository import Repository, open_repository
from dailytalk_contiguous.stages.base import Stage


@dataclass(frozen=True)
class Job:
    """What a stream makes of what.

    Attributes:
        repository: at its commit. licence: of the recordings, where no card names it.
        tag, speak: settings; without `speak`, conversations are tagged and no more.
        config: how recordings become conversations; its inputs mean nothing here.
        window_seconds: audio of a window, and so of a shard.
    """

    repository: Repository
    tag: TagSettings
    speak: SpeakSettings | None
    config: FolderConfig
    window_seconds: float = Options.shard_seconds
    licence: str = ""

    def __post_init__(self) -> None:
        if self.tag.buckets == "robust":
            raise DailytalkError(
                "--buckets robust measures the whole corpus before it tags, which a stream does not keep",
                "choose other --buckets, or leave --streaming out",
            )

    @property
    def source(self) -> dict[str, Any]:
        """Where the recordings are from, as run.json tells it."""
        return self.repository.about() | ({"licence": self.licence} if self.licence else {})

    def stages(self) -> tuple[tuple[Stage, ...], tuple[Stage, ...]]:
        """Those that tag, and those that speak, if any do."""
        tag = tagging(self.tag)
        if self.speak is None:
            return tag, ()
        return tag, speaking(self.speak, provenance_of(self.speak, models_of(tag)))

    def about(self) -> dict[str, Any]:
        """All that decides what the stream makes: two that differ in it may not share a work folder."""
        made_of = {
            "source": {"repository": self.repository.reference.repo, **asdict(self.repository.choice)},
            "commit": self.repository.commit,
            "tag": self.tag.told(),
            "speak": self.speak.told() if self.speak else None,
            "config": {"max_conversation": self.config.max_conversation, "transcripts": self.config.transcripts},
        }
        return made_of | {"chains": [chain_of(stages)[-1:] for stages in self.stages()]}

    def agree(self, begun: Mapping[str, Any], out: Path) -> None:
        """Raise DailytalkError if a stream that began in `out` as `about` tells would go on as something else."""
        ours = json.loads(json.dumps(self.about()))
        if all(begun[part] == ours[part] for part in ("chains", "config")):
            return
        told = [
            f"{name}: {begun[part].get(name)!r} there, {value!r} now"
            for part in ("tag", "speak", "config")
            if begun[part] and ours[part]
            for name, value in ours[part].items()
            if begun[part].get(name) != value
        ]
        how = "; ".join(told[:3]) or "its models, its voice, the version of this package, or tag against build"
        raise DailytalkError(
            f"--out {str(out)!r} holds a stream of other settings ({how})",
            "pass those of its first run, or choose another --out",
        )


@dataclass(frozen=True)
class Limits:
    """Where a run stops in good order: `hours` of audio in all windows done; `free_bytes` left on the disk."""

    hours: float | None = None
    free_bytes: float = 0.0

    def reached(self, seconds: float) -> bool:
        """Whether so many seconds of audio are all that was asked for."""
        return self.hours is not None and seconds >= 3600 * self.hours


def pinned(repository: Repository, out: Path) -> Repository:
    """The repository at the commit that the stream in `out` began with.

    Raises DailytalkError if `out` can't be written to or holds something else, or if a revision is asked for by
    name that is another one.
    """
    refuse_unwritable(out / TAGGED)
    refuse_mixing(out)
    about = Positions(out).about
    if about is None:
        if any((out / folder).is_dir() and any((out / folder).iterdir()) for folder in (TAGGED, DATASET)):
            raise DailytalkError(
                f"--out {str(out)!r} holds the results of a run without --streaming", "choose another --out"
            )
        return repository
    ours = {"repository": repository.reference.repo, **asdict(repository.choice)}
    if about["source"] != ours:
        told = ", ".join(f"{name} {value}" for name, value in about["source"].items() if value)
        raise DailytalkError(
            f"--out {str(out)!r} holds a stream of another source ({told})", "choose another --out"
        )
    if about["commit"] == repository.commit:
        return repository
    if repository.reference.revision:
        raise DailytalkError(
            f"--out {str(out)!r} holds a stream of commit {about['commit'][:8]}, and "
            f"{repository.reference} is commit {repository.commit[:8]}",
            "choose another --out, or leave the revision out to go on",
        )
    return open_repository(repository.reference._replace(revision=about["commit"]), repository.choice)
