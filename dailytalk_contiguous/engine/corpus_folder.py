"""The training folder of an expressive corpus: moshi-finetune's layout, with what is known of a clip beside it.

`data_stereo/NAME.wav` is stereo (left: what the model should say), `NAME.json` beside it holds the words as
moshi-finetune reads them and the annotation of the clip; two manifests name the files of each side with emotion
and style, a clip that trains as often as its weight says: that is how a trainer is told of weights. The trainer
reads every `*jsonl` in a folder, so there is no third one. `text_conditions` are written on request only: a
stock model stops on them.
"""

import io
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import soundfile

from dailytalk_contiguous.core.built import AUDIO_FOLDER, MAIN
from dailytalk_contiguous.core.documents import json_lines
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.finished_clip import FINISHED, own_seconds
from dailytalk_contiguous.core.weights import Weighted, times
from dailytalk_contiguous.core.word_frames import Spoken, place_words
from dailytalk_contiguous.files.owned_folder import OwnedFolder, file_name, written_before
from dailytalk_contiguous.files.writing import json_text
from dailytalk_contiguous.shards import read_rows

#: Manifests by split.
MANIFESTS = {"train": "expressive_dataset.jsonl", "validation": "expressive_dataset_validation.jsonl"}

#: Columns that only shards have.
_UNTOLD = frozenset({"conversation_id", "audio", "words"})

Row = dict[str, Any]


def export_clips(paths: Sequence[Path], out: Path, text_conditions: bool = False) -> dict[str, int]:
    """Write the folder from shards of finished clips, a shard at a time; the same shards give the same bytes.

    Returns the number of lines by split. Raises DailytalkError if `out` holds what is not ours.
    """
    target = OwnedFolder(out, "clips", tuple(MANIFESTS.values()))
    lines: dict[str, list[tuple[str, str]]] = {split: [] for split in MANIFESTS}
    counts = listed(_light_rows(paths))
    for path in paths:
        for row in read_rows(path, list(FINISHED)).values():
            if not counts[row["id"]]:
                continue
            name = f"{AUDIO_FOLDER}/{file_name(row['id'])}"
            pcm, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="int16")
            target.write_wav(f"{name}.wav", pcm, rate)
            target.write_text(f"{name}.json", json_text(annotation(row, text_conditions)))
            entry = {"path": f"{name}.wav", "duration": row["duration"]}
            entry |= {key: row[key] for key in ("emotion", "style")}
            lines[row["split"]] += [(row["id"], json_text(entry))] * counts[row["id"]]
    target.finish(
        {
            MANIFESTS[split]: "".join(line for _, line in sorted(entries))
            for split, entries in lines.items()
            if entries
        }
    )
    return {split: len(entries) for split, entries in lines.items()}


def listed(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How often the manifest names each clip: whole numbers whose seconds, in every emotion, are the weights'."""
    counts, train = {}, []
    for row in rows:
        counts[row["id"]] = 1
        if row["split"] == "train":
            weight = 1.0 if row["weight"] is None else row["weight"]
            train.append(Weighted(row["id"], own_seconds(row), weight, row["emotion"] or ""))
    return counts | times(train, math.fsum(clip.seconds * clip.weight for clip in train))


def listed_seconds(paths: Sequence[Path]) -> dict[str, float]:
    """Seconds of each emotion in the manifest that trains, each clip as often as it is named."""
    rows = _light_rows(paths)
    counts = listed(rows)
    seconds: dict[str, float] = defaultdict(float)
    for row in rows:
        if row["split"] == "train" and row["emotion"]:
            seconds[row["emotion"]] += counts[row["id"]] * own_seconds(row)
    return dict(seconds)


def _light_rows(paths: Sequence[Path]) -> list[Row]:
    columns = ("id", "duration", "conditioning", "emotion", "weight", "split")
    return [row for path in paths for row in read_rows(path, columns).values()]


def is_complete(out: Path) -> bool:
    """Whether an export to `out` came to its end, and its manifests and all that they name are still there."""
    named: list[str] = []
    noted = written_before(out)
    if any(name in noted and not (out / name).is_file() for name in MANIFESTS.values()):
        return False
    for manifest in MANIFESTS.values():
        for _, line in json_lines(out / manifest) if (out / manifest).is_file() else ():
            if isinstance(line, BadInput) or not isinstance(line.get("path"), str):
                return False
            named.append(line["path"])
    folder = out / AUDIO_FOLDER
    files = {f"{AUDIO_FOLDER}/{path.name}" for path in folder.iterdir()} if folder.is_dir() else set()
    return bool(named) and all({name, str(Path(name).with_suffix(".json"))} <= files for name in named)


def annotation(row: Row, text_conditions: bool = False) -> dict[str, Any]:
    """What stands beside a clip's WAV: `alignments` first, then its columns; measures to six digits.

    Each word begins in a frame of its own (`core.word_frames`), or the trainer would lose it.
    """
    first = (row["conditioning"] or {}).get("clip_start") or 0.0
    words = [Spoken(word["start"], word["end"], 1, first, row["duration"]) for word in row["words"]]
    spans = place_words(words).times
    told: dict[str, Any] = {
        "alignments": [
            [word["word"], [round(start, 6), round(end, 6)], MAIN]
            for word, (start, end) in zip(row["words"], spans, strict=True)
        ]
    }
    if text_conditions:
        told["text_conditions"] = {name: row[name] for name in ("emotion", "style") if row[name] is not None}
    told["word_sources"] = [word["source"] for word in row["words"]]
    return told | {name: _shown(value) for name, value in row.items() if name not in _UNTOLD}


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shown(one) for name, one in value.items()}
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
