"""A published dataset, written by hand as its layout says: data, manifest, card, and how it gets on a Hub."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from built_conversations import built_row, flac
from huggingface_hub import HfApi

from dailytalk_contiguous.core.records.schema import PROVENANCE, PUBLISHED_WORD, published_features

NAME = "tester/talks"

#: Conversations of each split, and the rows of a shard.
SIZES = {"train": 6, "validation": 2, "test": 2}
SHARD = 2


def published_row(name: str, audio_sha256: str | None = None, **columns: Any) -> dict[str, Any]:
    row = built_row(name, kept_speaker=f"person {name}", **columns)
    provenance = dict.fromkeys(PROVENANCE)
    provenance |= {"source_id": name, "source": "calls", "voice": "anna"}
    provenance |= {"models": [], "stages": [], "settings": "{}"}
    row["provenance"] = provenance
    if audio_sha256 is None:
        audio_sha256 = hashlib.sha256(row["audio"]["bytes"]).hexdigest()
    row["audio_sha256"] = audio_sha256
    return row


def utterance_row(name: str) -> dict[str, Any]:
    row = dict.fromkeys(published_features("utterances", 24000))
    audio = flac(np.arange(4800, dtype=np.int16), 24000)
    word = dict.fromkeys(PUBLISHED_WORD)
    word |= {"word": "Hello", "start": 0.0, "end": 0.2}
    row["utterance_id"] = f"{name}/left/0000"
    row["conversation_id"] = name
    row["audio"] = {"bytes": audio, "path": f"{name}.flac"}
    row["duration"] = 0.2
    row["words"] = [word]
    return row


def write_published(folder: Path, mark: str = "", **columns: Any) -> Path:
    """Write a repository. `mark` goes before each id, `columns` into each row of `conversations`."""
    for split, count in SIZES.items():
        names = [f"{mark}{split}{n}" for n in range(count)]
        rows = [published_row(name, **columns) for name in names]
        shards = [rows[first : first + SHARD] for first in range(0, count, SHARD)]
        for number, shard in enumerate(shards):
            path = folder / _name("conversations", split, number, len(shards))
            _write(path, "conversations", shard)
    utterances = [utterance_row(f"{mark}train{n}") for n in range(SIZES["train"])]
    _write(folder / _name("utterances", "train", 0, 1), "utterances", utterances)
    _describe(folder)
    return folder


def upload(folder: Path, tag: str | None = None) -> str:
    """Put the folder on the Hub as one commit, which is returned."""
    api = HfApi()
    api.create_repo(NAME, repo_type="dataset", exist_ok=True)
    made = api.upload_folder(repo_id=NAME, repo_type="dataset", folder_path=folder)
    if tag:
        api.create_tag(NAME, repo_type="dataset", tag=tag, revision=made.oid)
    return str(made.oid)


def _name(config: str, split: str, number: int, count: int) -> str:
    return f"{config}/{split}-{number:05d}-of-{count:05d}.parquet"


def _write(path: Path, config: str, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    features = published_features(config, 24000)
    table = pa.Table.from_pylist(rows, schema=features.arrow_schema)
    pq.write_table(table, path, row_group_size=1)


def _describe(folder: Path) -> None:
    files = {}
    configs: dict[str, dict[str, str]] = {}
    for path in sorted(folder.rglob("*.parquet")):
        name = path.relative_to(folder).as_posix()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        files[name] = {"sha256": digest, "rows": pq.read_metadata(path).num_rows}
        config, _, file = name.partition("/")
        split, _, _ = file.partition("-")
        configs.setdefault(config, {})[split] = f"{config}/{split}-*.parquet"
    manifest = {"layout": 1, "splits_disjoint_in": "speakers", "files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    entries = []
    for config, splits in configs.items():
        data_files = [{"split": split, "path": path} for split, path in splits.items()]
        entry: dict[str, Any] = {"config_name": config, "data_files": data_files}
        if config == "conversations":
            entry["default"] = True
        entries.append(entry)
    front = yaml.safe_dump({"configs": entries}, sort_keys=False)
    (folder / "README.md").write_text(f"---\n{front}---\n# Talks\n")
