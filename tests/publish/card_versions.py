"""A version in a folder, made of built rows on the spot, as a card reads it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from built_conversations import built_row
from reports import render_card

from dailytalk_contiguous.core.records.run_record import RunRecord
from dailytalk_contiguous.core.records.schema import published_features
from dailytalk_contiguous.publish.tables.card import Card, CardFacts
from dailytalk_contiguous.publish.version import DataFile, Packed, Version, open_version

MODELS = (
    {"role": "recogniser", "name": "medium", "licence": "MIT", "url": "https://github.com/openai/whisper"},
    {
        "role": "synthesiser",
        "name": "espeak/espeak-ng",
        "licence": "GPL-3.0-or-later",
        "url": "https://espeak.org",
    },
)

NON_COMMERCIAL = {
    "role": "affect",
    "name": "audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim",
    "licence": "CC-BY-NC-SA-4.0",
    "url": "https://huggingface.co/audeering",
}


def published_row(
    name: str = "call", source_licence: str | None = "CC-BY-4.0", models: Any = MODELS, **columns: Any
) -> dict[str, Any]:
    """A row of the config `conversations`; other columns as in `built_row`."""
    row = built_row(name, **columns)
    provenance = json.loads(row["provenance"])
    provenance |= {
        "source_id": name,
        "source": "calls",
        "source_licence": source_licence,
        "tool": "dailytalk-contiguous 0.1.0",
        "voice": "anna",
        "models": list(models),
        "stages": [{"name": "Segment", "digest": "0" * 20}],
        "settings": json.dumps({"timeline": "anchor", "sample_rate": 24000}),
    }
    for utterance in row["utterances"]:
        utterance["source_start"] = utterance["start"]
        utterance["source_end"] = utterance["end"]
        utterance["valence"] = 0.6
        utterance["arousal"] = 0.4
    row["provenance"] = provenance
    sound = row["audio"]["bytes"]
    row["audio_sha256"] = hashlib.sha256(sound).hexdigest()
    return row


def write_version(
    folder: Path, splits: Mapping[str, Sequence[Mapping[str, Any]]], disjoint: str = "speakers"
) -> tuple[Packed, Version]:
    """Write the config `conversations`, one file a split."""
    (folder / "conversations").mkdir(parents=True, exist_ok=True)
    schema = published_features("conversations", 24000).arrow_schema
    files = []
    for split, rows in splits.items():
        name = f"conversations/{split}-00000-of-00001.parquet"
        path = folder / name
        table = pa.Table.from_pylist(list(rows), schema=schema)
        pq.write_table(table, path)
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        seconds = sum(row["duration"] for row in rows)
        file = DataFile(name, path, "conversations", split, digest, len(content), len(rows), seconds)
        files.append(file)
    packed = Packed(tuple(sorted(files)), disjoint)
    return packed, open_version(folder)


def card_of(
    old: str | None, packed: Packed, version: Version, facts: CardFacts, run: Any = None, rejects: Any = ()
) -> Card:
    """The card of a version that is written already."""
    return render_card(old, packed, version, facts, RunRecord.from_json(run or {}), rejects=rejects)
