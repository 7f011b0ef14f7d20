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
from dailytalk_contiguous.core.records.fields import Field, columns_among, finite
from dailytalk_contiguous.core.records.judged import MOST_PUBLISHED, read_published
from dailytalk_contiguous.core.records.published_fields import Described, fields_beside, published
from dailytalk_contiguous.core.records.schema import AUDIO_COLUMN, BUILT, LABELLED, OPTIONAL, Row
from dailytalk_contiguous.machine.audio import audio_at, read_header
from dailytalk_contiguous.machine.read_documents import MOST_OWN_BYTES, read_bytes, read_json
from dailytalk_contiguous.sources.hub_repository import Repository, download
from dailytalk_contiguous.sources.recordings import identity_of
from dailytalk_contiguous.sources.transcribed import refuse_outside
from dailytalk_contiguous.store.files import inside, write_text

#: The folder of the finished rows beside the recordings; the search for recordings leaves it out.
FINISHED = ".finished"

_MANIFEST = "manifest.json"

#: The types of the columns of finished rows; the provenance is text in some, and a struct in others.
TYPES = Features({name: LABELLED[name] for name in LABELLED if name not in (AUDIO_COLUMN, "provenance")})


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


def write_published(folder: Path, name: str, row: Row, split: str, fields: Sequence[Field]) -> None:
    """Write a finished row without its sound. Raises BadInput for one that can't be used."""
    if row.get("problem"):
        raise BadInput(row["problem"], row.get("remedy") or "publish it again")
    names = (*TYPES, "provenance", *(column.name for column in columns_among(fields)))
    kept = {column: row[column] for column in names if column in row}
    if not isinstance(row["provenance"], str | None):  # as it is published
        kept["provenance"] = json.dumps(row["provenance"], ensure_ascii=False, sort_keys=True, default=str)
    text = json.dumps(finite(kept | {"split": split}), ensure_ascii=False, sort_keys=True, default=str)
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
    for folder in folders:
        for name in sorted(names):
            yield _source_row(Path(folder), name)


def _source_row(folder: Path, name: str) -> Row:
    finished = inside(folder / FINISHED, Path(name).with_suffix(".json"))
    text = read_bytes(finished, limit=MOST_PUBLISHED).decode()
    row = read_published(text)
    path = folder / name
    header = read_header(audio_at(path))
    identity = identity_of(path)
    digest = hashlib.sha256(f"{identity}\0{text}".encode())
    return {
        "conversation_id": row["conversation_id"],
        "recording_id": row["recording_id"],
        "audio": audio_at(path),
        "audio_file": name,
        "audio_identity": identity,
        "offset": 0.0,
        "duration": header.seconds,
        "sample_rate": header.sample_rate,
        "channels": header.channels,
        "given": [],
        "given_language": row["language"],
        "transcripts": [],
        "side_shift": None,
        "input_digest": digest.hexdigest()[:20],
        "problem": None,
        "remedy": None,
        "published": text,
    }
