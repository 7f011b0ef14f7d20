"""Versions of a published dataset, made on the spot: as a folder, and as a tag of a Hub on loopback."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from built_conversations import built_row
from datasets import Features
from huggingface_hub import HfApi

from dailytalk_contiguous.core.records.schema import PROVENANCE, published_features
from dailytalk_contiguous.publish.version import DataFile, Packed, manifest_text

REPO = "tester/talks"

Row = dict[str, Any]


@cache
def _made(name: str) -> str:
    row = built_row(name)
    audio = row.pop("audio")
    row["hex"] = audio["bytes"].hex()
    return json.dumps(row)


def row(name: str, **columns: Any) -> Row:
    """A new row of the config `conversations`; `columns` replace its own."""
    made = json.loads(_made(name))
    data = bytes.fromhex(made.pop("hex"))
    provenance: Row = dict.fromkeys(PROVENANCE)
    provenance |= {"tool": "0.1", "models": [], "stages": []}
    made["audio"] = {"bytes": data, "path": f"{name}.flac"}
    made["audio_sha256"] = hashlib.sha256(data).hexdigest()
    made["provenance"] = provenance
    return made | columns


def write_file(path: Path, rows: Sequence[Row], features: Features) -> None:
    """Rows as a Parquet file, a row group each; without statistics, its footer is read at once (64 KiB)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = features.arrow_schema
    arrays = []
    for name in features:
        values = [row[name] for row in rows]
        arrays.append(pa.array(values, schema.field(name).type))
    table = pa.table(arrays, schema=schema)
    pq.write_table(table, path, row_group_size=1, write_statistics=False)


def write_version(
    folder: Path,
    splits: Mapping[str, Sequence[Sequence[Row]]],
    *,
    config: str = "conversations",
    features: Features | None = None,
    tag: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Path:
    """Write the files of each split, and the manifest of those that are given a tag."""
    files = []
    for split, shards in splits.items():
        for number, rows in enumerate(shards):
            name = f"{config}/{split}-{number:05d}-of-{len(shards):05d}.parquet"
            path = folder / name
            write_file(path, rows, features or published_features("conversations", 24000))
            content = path.read_bytes()
            sha256 = hashlib.sha256(content).hexdigest()
            seconds = sum(row["duration"] for row in rows)
            file = DataFile(name, path, config, split, sha256, len(content), len(rows), seconds)
            files.append(file)
    if tag:
        packed = Packed(tuple(files), "conversations")
        manifest = packed.manifest(tag, changes or {})
        (folder / "manifest.json").write_text(manifest_text(manifest))
    return folder


def upload(folder: Path, tag: str | None = None, repo: str = REPO) -> str:
    """Publish a folder as it is, in place of what was there; the id of the commit."""
    api = HfApi()
    api.create_repo(repo, repo_type="dataset", exist_ok=True)
    made = api.upload_folder(repo_id=repo, folder_path=folder, repo_type="dataset", delete_patterns="*")
    if tag:
        api.create_tag(repo, tag=tag, revision=made.oid, repo_type="dataset")
    return str(made.oid)
