"""Published versions as a source: each finished row is kept beside its sound, as it was published.

A version is a working copy: `tag` takes its rows, `speak` copies what nobody has edited.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from datasets import Features

from dailytalk_contiguous.core.documents import JsonObject, typed
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.fields import Field, finite
from dailytalk_contiguous.core.records.judged import MOST_PUBLISHED, read_published
from dailytalk_contiguous.core.records.published_fields import Described, fields_beside, published
from dailytalk_contiguous.core.records.schema import AUDIO_COLUMN, BUILT, CHANNELS, OPTIONAL, Row
from dailytalk_contiguous.machine.read_documents import MOST_OWN_BYTES, read_bytes, read_json
from dailytalk_contiguous.sources.folder import FolderConfig, recording_rows
from dailytalk_contiguous.sources.hub.repository import Repository, download
from dailytalk_contiguous.sources.lines_to_speak import refuse_outside
from dailytalk_contiguous.sources.recordings.recording_files import Recording
from dailytalk_contiguous.store.files import write_text

#: The folder of the finished rows beside the recordings; the search for recordings leaves it out.
FINISHED = ".finished"

_MANIFEST = "manifest.json"


def fields_of_version(repository: Repository, features: Features) -> tuple[Field, ...] | None:
    """Return the fields that finished conversations have beside ours; None for rows that are no finished ones.

    Args:
        features: the columns of a shard.

    Raises DailytalkError for a damaged manifest.
    """
    if not features.keys() >= BUILT.keys() - OPTIONAL - {AUDIO_COLUMN}:
        return None
    described = typed(manifest_of(repository).get("fields") or [], list[Described], _MANIFEST)
    return fields_beside(features, published(described, _MANIFEST))


def manifest_of(repository: Repository) -> JsonObject:
    """Return the manifest of a version; empty where it has none. Raises BadInput for a damaged one."""
    if _MANIFEST not in repository.files:
        return {}
    manifest = read_json(download(repository, _MANIFEST), limit=MOST_OWN_BYTES)
    return typed(manifest, JsonObject, _MANIFEST)


def write_published(folder: Path, name: str, row: Row, split: str) -> None:
    """Write a finished row without its sound. Raises BadInput for one that can't be used."""
    kept = {column: value for column, value in row.items() if column not in (AUDIO_COLUMN, *CHANNELS)}
    kept["split"] = split
    provenance = row.get("provenance")
    if not isinstance(provenance, str | None):  # as it is published
        kept["provenance"] = json.dumps(provenance, ensure_ascii=False, sort_keys=True, default=str)
    text = json.dumps(finite(kept), ensure_ascii=False, sort_keys=True, default=str)
    read_published(text)
    try:
        refuse_outside(row["conversation_id"])
    except ValueError as error:
        raise BadInput(f"its conversation_id {error}", "publish it again") from None
    write_text(folder / FINISHED / f"{name}.json", text)


def published_rows(folders: Iterable[str], names: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of a source (`core.records.schema.SOURCE`) with `published`, in order of their names.

    Args:
        folders: the folder of the recordings of a version, with `FINISHED`; none without recordings.
        names: the paths of the recordings in it.
    """
    config = FolderConfig(channel="any", max_conversation=0.0, given=False)
    for folder in folders:
        for name in sorted(names):
            recording = Recording(Path(folder, name), name, name)
            (row,) = recording_rows(recording, config)
            finished = Path(folder, FINISHED, name).with_suffix(".json")
            text = read_bytes(finished, limit=MOST_PUBLISHED).decode()
            published_row = read_published(text)
            content = f"{row['audio_identity']}\0{text}"
            yield row | {
                "conversation_id": published_row["conversation_id"],
                "recording_id": published_row["recording_id"],
                "given_language": published_row["language"],
                "input_digest": hashlib.sha256(content.encode()).hexdigest()[:20],
                "published": text,
            }
