"""Work folders of expressive corpora, made on the spot: clips that are tones, measures, what a run tells."""

import atexit
import hashlib
import io
import json
import pickle
import shutil
import tempfile
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from from_apps import from_app

from dailytalk_contiguous.core.records.clip_records import QUALITY_MEASURES
from dailytalk_contiguous.core.records.schema import CONDITIONING, LABELLED, LABELS
from dailytalk_contiguous.core.records.utterance import AFFECT, PROSODY, UTTERANCE
from dailytalk_contiguous.publish.exports.training_folder import annotated_clip

RATE = 24000


@lru_cache(maxsize=64)
def sound(seconds: float) -> bytes:
    """A clip as FLAC: 220 Hz on the left, soft noise on the right."""
    n_samples = round(seconds * RATE)
    t = np.arange(n_samples) / RATE
    left = 0.2 * np.sin(2 * np.pi * 220 * t)
    rng = np.random.default_rng(0)
    right = 0.001 * rng.standard_normal(n_samples)
    samples = np.stack([left, right], axis=1)
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, subtype="PCM_16", format="FLAC")
    return file.getvalue()


def clip_row(name: str, emotion: str | None = "happy", seconds: float = 1.0, **columns: Any) -> dict[str, Any]:
    """A row with exactly the columns of LABELLED; `name` is the id without its corpus.

    `columns` are the audio, words, and fields of its annotation.
    """
    corpus = columns.get("corpus", "acted")
    fields: dict[str, Any] = {
        "id": f"{corpus}/{name}",
        "corpus": corpus,
        "text": "Hello there.",
        "text_source": "corpus",
        "language": "en",
        "speaker": f"{corpus}/{name.partition('-')[0]}",
        "gender": "female",
        "sentence_type": "declarative",
        "length": "short",
        "emotion": emotion,
        "label": emotion,
        "style": "normal",
        "style_source": "rule",
        "affect": {**dict.fromkeys(AFFECT, 0.5), "source": "raters"},
        "prosody": dict.fromkeys(PROSODY, 1.0),
        "quality": dict.fromkeys(QUALITY_MEASURES, 1.0),
        "split": "train",
        "weight": 1.0,
        "licence": "CC-BY-4.0",
        "audio_file": f"{name}.wav",
        "sample_rate": RATE,
        "duration": round(seconds * RATE) / RATE,
        "conditioning": dict.fromkeys(CONDITIONING),
    }
    fields["audio"] = {"bytes": sound(seconds), "path": None}
    row = finished_clip(fields | columns)
    if "words" not in columns:
        hello = {
            "word": "Hello",
            "start": 0.1 * seconds,
            "end": 0.9 * seconds,
            "source": "proportional",
            "speaker": "left",
            "probability": None,
        }
        row["alignments"] = [hello]
    return row


def finished_clip(fields: dict[str, Any]) -> dict[str, Any]:
    """A row with exactly the columns of LABELLED, from its audio, words and fields of its annotation."""
    allowed = {"id", "words", "affect", "prosody", *LABELS, *LABELLED, *UTTERANCE}
    assert fields.keys() <= allowed
    usual = {"speaker": "left", "probability": None}
    words = [word and usual | word for word in fields.get("words") or ()]
    row = annotated_clip(fields)
    row["audio"] = fields.get("audio")
    row["alignments"] = words
    assert set(row) == set(LABELLED)
    return row


def corpus_folder(
    folder: Path,
    rows: Sequence[dict[str, Any]],
    run: dict[str, Any] | None = None,
    rejects: Sequence[dict[str, str]] = (),
    measured: Sequence[dict[str, Any]] = (),
) -> Path:
    """A work folder as `dailytalk corpus` leaves it; `measured` are rows of the shards of the first pass.

    Of the same content it is made once, and copied.
    """
    content = pickle.dumps((rows, run, rejects, measured))
    made = _made_folders() / hashlib.sha256(content).hexdigest()
    if not made.exists():
        _make_folder(made, rows, run, rejects, measured)
    shutil.copytree(made, folder, dirs_exist_ok=True)
    return folder


@cache
def _made_folders() -> Path:
    folder = tempfile.mkdtemp(prefix="dailytalk-corpora-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _make_folder(
    folder: Path,
    rows: Sequence[dict[str, Any]],
    run: dict[str, Any] | None,
    rejects: Sequence[dict[str, str]],
    measured: Sequence[dict[str, Any]],
) -> None:
    if rows:
        shard = folder / "clips" / "shard-0.parquet"
        shard.parent.mkdir(parents=True)
        table = pa.Table.from_pylist(list(rows), schema=LABELLED.arrow_schema)
        pq.write_table(table, shard, row_group_size=1)
        from_app("clips.clip_folder").export_clips([shard], folder / "data")
        record = {"kind": "corpus", **(run or {})}
        (folder / "run.json").write_text(json.dumps(record))
        rejected_lines = [json.dumps(reject) + "\n" for reject in rejects]
        (folder / "rejects.jsonl").write_text("".join(rejected_lines))
    if measured:
        (folder / "measured").mkdir(parents=True)
        table = pa.Table.from_pylist(list(measured))
        pq.write_table(table, folder / "measured" / "shard-0.parquet")


def measures(**values: float | None) -> dict[str, Any]:
    """Measures of a good clip, with some of them changed."""
    good = dict.fromkeys(QUALITY_MEASURES, 0.0)
    good |= {"snr_db": 40.0, "clipping_ratio": 0.0, "bandwidth_hz": 9000.0, "speech_ratio": 0.9}
    good |= {"duration": 2.0, "silence_seconds": 0.1}
    return good | values
