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

from dailytalk_contiguous.core.schema import PROVENANCE, PUBLISHED_WORD, published_features

NAME = "tester/talks"

#: Conversations of each split, and the rows of a shard.
SIZES = {"train": 6, "validation": 2, "test": 2}
SHARD = 2


def published_row(name: str, audio_sha256: str | None = None, **columns: Any) -> dict[str, Any]:
    row = built_row(name, kept_speaker=f"person {name}", **columns)
    provenance = dict.fromkeys(PROVENANCE) | {"source_id": name, "source": "calls", "voice": "anna"}
    return row | {
        "audio_sha256": audio_sha256 or hashlib.sha256(row["audio"]["bytes"]).hexdigest(),
        "provenance": provenance | {"models": [], "stages": [], "settings": "{}"},
    }


def utterance_row(name: str) -> dict[str, Any]:
    told = published_features("utterances", 24000)
    audio = flac(np.arange(4800, dtype=np.int16), 24000)
    word = dict.fromkeys(PUBLISHED_WORD) | {"word": "Hello", "start": 0.0, "end": 0.2}
    return dict.fromkeys(told) | {
        "utterance_id": f"{name}/left/0000",
        "conversation_id": name,
        "audio": {"bytes": audio, "path": f"{name}.flac"},
        "duration": 0.2,
        "words": [word],
    }


def write_published(folder: Path, mark: str = "", **columns: Any) -> Path:
    """Write a repository. `mark` goes before each id, `columns` into each row of `conversations`."""
    names = {split: [f"{mark}{split}{n}" for n in range(count)] for split, count in SIZES.items()}
    for split, own in names.items():
        shards = [own[first : first + SHARD] for first in range(0, len(own), SHARD)]
        for number, ids in enumerate(shards):
            rows = [published_row(name, **columns) for name in ids]
            _write(folder / _name("conversations", split, number, len(shards)), "conversations", rows)
    _write(folder / _name("utterances", "train", 0, 1), "utterances", [utterance_row(n) for n in names["train"]])
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
    table = pa.Table.from_pylist(rows, schema=published_features(config, 24000).arrow_schema)
    pq.write_table(table, path, row_group_size=1)


def _describe(folder: Path) -> None:
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*.parquet"))}
    told = {
        name: {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "rows": pq.read_metadata(path).num_rows}
        for name, path in files.items()
    }
    (folder / "manifest.json").write_text(
        json.dumps({"layout": 1, "splits_disjoint_in": "speakers", "files": told})
    )
    configs = {name.partition("/")[0]: {} for name in files}
    for name in files:
        config, _, file = name.partition("/")
        configs[config][file.partition("-")[0]] = f"{config}/{file.partition('-')[0]}-*.parquet"
    card = {
        "configs": [
            {
                "config_name": config,
                "data_files": [{"split": split, "path": path} for split, path in splits.items()],
            }
            | ({"default": True} if config == "conversations" else {})
            for config, splits in configs.items()
        ]
    }
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(card, sort_keys=False)}---\n# Talks\n")
