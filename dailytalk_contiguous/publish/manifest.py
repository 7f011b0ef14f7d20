"""One version of a published dataset: its data files, and the manifest that names them all.

The manifest is in the repository beside the data, so that users can verify a download, list versions
without opening a data file, and recognise versions that this tool published.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.utterance import DESCRIBED, Field, described

#: Name of the manifest in a repository, and the version of its layout.
MANIFEST = "manifest.json"
LAYOUT = 1

#: The fields of a manifest that are read (see `core.documents.expect`).
MANIFEST_SHAPE: dict[str, Any] = {
    "version?": str,
    "changes?": dict,
    "assets?": [str],
    "fields?": DESCRIBED,
    "totals?": {str: {"rows?": int, "hours?": float, "size": int}},
    "files?": {str: {"sha256": str, "size?": int, "rows?": int, "seconds?": float}},
}


class DataFile(NamedTuple):
    """A Parquet file of a version.

    Attributes:
        name: in the repository, `CONFIG/SPLIT-00000-of-00004.parquet`. path: where it is on this machine.
        sha256: in hexadecimal. size: bytes. seconds: of audio in its rows.
    """

    name: str
    path: Path
    config: str
    split: str
    sha256: str
    size: int
    rows: int
    seconds: float


@dataclass(frozen=True)
class Packed:
    """A version that is ready to be sent.

    Attributes:
        files: all data files, sorted by name.
        sample_rate: Hz of all conversations, or None where they differ.
        disjoint: the kind that no two splits share: `speakers` (of the kept side), `recordings`, `conversations`.
        rejects: conversations that could not be published.
        fields: those of utterances that people's own stages publish.
    """

    files: tuple[DataFile, ...]
    sample_rate: int | None
    disjoint: str
    rejects: tuple[Reject, ...] = ()
    fields: tuple[Field, ...] = ()

    @property
    def configs(self) -> dict[str, dict[str, list[DataFile]]]:
        files_of: dict[str, dict[str, list[DataFile]]] = {}
        for file in self.files:
            files_of.setdefault(file.config, {}).setdefault(file.split, []).append(file)
        return files_of


def manifest(packed: Packed, tag: str | None, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest of a version; `changes` are those since `changes["previous"]`, in numbers."""
    files_of = {
        config: [file for files in splits.values() for file in files] for config, splits in packed.configs.items()
    }
    return {
        "layout": LAYOUT,
        "tool": f"dailytalk-contiguous {version('dailytalk-contiguous')}",
        "version": tag,
        "splits_disjoint_in": packed.disjoint,
        "changes": dict(changes),
        **({"fields": described(packed.fields)} if packed.fields else {}),
        "totals": {
            config: {
                "rows": sum(file.rows for file in files),
                "hours": round(sum(file.seconds for file in files) / 3600, 5),
                "size": sum(file.size for file in files),
            }
            for config, files in files_of.items()
        },
        "files": {
            file.name: {name: getattr(file, name) for name in ("sha256", "size", "rows")}
            | {"seconds": round(file.seconds, 3)}
            for file in packed.files
        },
    }


def manifest_text(record: Mapping[str, Any]) -> str:
    return json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
