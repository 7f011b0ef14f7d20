"""How a published row came about, and how it names its audio, without a word about the machine that made it.

A finished row tells its making in JSON; readers of a published one get columns. Models and voices may have been
named by a folder on somebody's disk, which is nobody else's business and different on every machine: of such a
name the last part is published.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dailytalk_contiguous.engine.outputs import read_run
from dailytalk_contiguous.publish.packing.indexing import Finished
from dailytalk_contiguous.publish.rows import provenance_of

#: What a path begins with and a name on the Hub does not.
_PATH = re.compile(r"(/|~|\.{1,2}[/\\]|\\|[A-Za-z]:[/\\]|file://)")


@dataclass(frozen=True)
class Origin:
    """What a work folder as a whole tells of its rows.

    Attributes:
        source: the dataset that the recordings are from, as `NAME@REVISION`, or None.
        source_licence: its licence, or None.
        tag_stages: name and digest of each stage of the first half.
        speak_stages: names of those of the second half; their digests are the rows' own.
    """

    source: str | None = None
    source_licence: str | None = None
    tag_stages: tuple[tuple[str, str], ...] = ()
    speak_stages: tuple[str, ...] = field(default=())


def origin(folder: Path, source: Mapping[str, Any] | None) -> Origin:
    """Read the record of a work folder; `source` (repository, revision, licence) goes before what it says."""
    run = read_run(folder) or {}
    told = source if source is not None else run.get("source") or {}
    place, revision = told.get("repository"), told.get("revision")
    return Origin(
        f"{place}@{revision}" if place and revision else place,
        told.get("licence"),
        tuple((one["name"], one["digest"]) for one in run.get("stages") or ()),
        tuple(one["name"] for one in (run.get("speak") or {}).get("stages") or ()),
    )


def provenance(row: Mapping[str, Any], one: Finished, known: Origin) -> dict[str, Any]:
    """The provenance of a finished row as `core.published.PROVENANCE` has it."""
    told = provenance_of(row)
    settings = told.get("settings")
    return {
        "source_id": one.recording_id,
        "source": known.source,
        "source_licence": known.source_licence,
        "tool": told.get("tool"),
        "voice": portable(told.get("voice")),
        "models": [
            {
                "role": role,
                "name": portable(model.get("name")),
                "licence": model.get("licence"),
                "url": model.get("url"),
            }
            for role, model in sorted((told.get("models") or {}).items())
        ],
        "stages": _stages(one.chain, known),
        "settings": None if settings is None else json.dumps(settings, sort_keys=True, ensure_ascii=False),
    }


def portable(name: str | None) -> str | None:
    """A name as it is, or the last part of one that is a path on this machine."""
    if name is None or not _PATH.match(name):
        return name
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1]


def utterance(told: Mapping[str, Any]) -> dict[str, Any]:
    """An utterance with portable names of its model and voice."""
    made = told["synthesis"]
    if made is None:
        return dict(told)
    return {**told, "synthesis": {**made, "model": portable(made["model"]), "voice": portable(made["voice"])}}


def _stages(chain: Sequence[str], known: Origin) -> list[dict[str, Any]]:
    stages: list[dict[str, Any]] = [{"name": name, "digest": digest} for name, digest in known.tag_stages]
    # A record of other stages than the row went through would give their names to the wrong digests.
    names = known.speak_stages if len(known.speak_stages) == len(chain) else (None,) * len(chain)
    return stages + [{"name": name, "digest": digest} for name, digest in zip(names, chain, strict=True)]
