"""The training folder of an expressive corpus: moshi-finetune's layout, with an annotation beside each clip.

`data_stereo/NAME.wav` is stereo (left: the speech that the model should learn), `NAME.json` beside it holds the
words as moshi-finetune reads them and the annotation of the clip. Two manifests list the files of each split with
emotion and style; a training clip is listed as often as its weight says, so that the trainer learns the weights.
The trainer reads every `*jsonl` in a folder, so there is no third one. `text_conditions` are written on request
only: a stock model stops on them.
"""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import soundfile

from dailytalk_contiguous.core.clip import clip_row, times_listed
from dailytalk_contiguous.core.documents import json_lines
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.moshi_words import SpokenWord, place_words
from dailytalk_contiguous.core.schema import AUDIO_FOLDER, LABELLED, LABELS, MAIN, Row
from dailytalk_contiguous.core.utterance import AFFECT, EMOTION_GUESS, PROSODIC_TOKENS, PROSODY
from dailytalk_contiguous.store.files import file_name, json_text
from dailytalk_contiguous.store.owned_folder import OwnedFolder, written_before

#: Manifests by split.
MANIFESTS = {"train": "expressive_dataset.jsonl", "validation": "expressive_dataset_validation.jsonl"}


def export_clips(paths: Sequence[Path], out: Path, text_conditions: bool = False) -> dict[str, int]:
    """Write the folder from shards of finished clips, a shard at a time; the same shards give the same bytes.

    Returns the number of lines by split. Raises DailytalkError if `out` holds other files.
    """
    from dailytalk_contiguous.shards import read_rows  # here: readers of the folder need no shards

    target = OwnedFolder(out, "clips", tuple(MANIFESTS.values()))
    lines: dict[str, list[tuple[str, str]]] = {split: [] for split in MANIFESTS}
    for path in paths:
        for clip_id, row in read_rows(path, list(LABELLED)).items():
            name = f"{AUDIO_FOLDER}/{file_name(clip_id)}"
            pcm, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="int16")
            target.write_wav(f"{name}.wav", pcm, rate)
            target.write_text(f"{name}.json", json_text(annotation(row, text_conditions)))
            entry = {"path": f"{name}.wav", "duration": row["duration"]}
            entry |= {key: row["labels"][key] for key in ("emotion", "style")}
            lines[row["split"]] += [(clip_id, json_text(entry))] * times_listed(row)
    target.finish(
        {
            MANIFESTS[split]: "".join(line for _, line in sorted(entries))
            for split, entries in lines.items()
            if entries
        }
    )
    return {split: len(entries) for split, entries in lines.items()}


def is_complete(out: Path) -> bool:
    """Whether an export to `out` was finished, and its manifests and all files that they list still exist."""
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


#: Columns of a clip, and fields of its utterance, that its annotation has under their names, beside its labels.
_COLUMNS = ("language", "sample_rate", "duration")
_FIELDS = ("text", "rule", *PROSODIC_TOKENS, *EMOTION_GUESS)


def annotation(row: Row, text_conditions: bool = False) -> dict[str, Any]:
    """Return the JSON beside a clip's WAV: `alignments` first, then labels and measures, to six digits.

    Each word begins in a frame of its own (`core.moshi_words`): the trainer would lose all but one of a frame.
    """
    labels = row["labels"]
    (utterance,) = row["utterances"]
    words = row["alignments"]
    first = utterance["start"]
    last = row["duration"]
    spans = place_words([SpokenWord(word["start"], word["end"], 1, first, last) for word in words]).times
    fields: dict[str, Any] = {
        "alignments": [
            [word["word"], [round(start, 6), round(end, 6)], MAIN]
            for word, (start, end) in zip(words, spans, strict=True)
        ]
    }
    if text_conditions:
        fields["text_conditions"] = {
            name: labels[name] for name in ("emotion", "style") if labels[name] is not None
        }
    fields["word_sources"] = [word["source"] for word in words]
    prosody = {name: utterance[name] for name in PROSODY}
    known = {
        "id": row["conversation_id"],
        **{name: row[name] for name in _COLUMNS},
        **{name: utterance[name] for name in _FIELDS},
        "affect": {**{name: utterance[name] for name in AFFECT}, "source": utterance["models"]["affect"]},
        "prosody": prosody if any(value is not None for value in prosody.values()) else None,
        **labels,
    }
    return fields | {name: _shown(value) for name, value in known.items()}


def annotated_clip(fields: Mapping[str, Any]) -> Row:
    """Return the row of these fields of `annotation`, without sound and words; null where a field is missing."""
    affect = fields.get("affect") or {}
    prosody = fields.get("prosody") or {}
    known = {name: fields.get(name) for name in (*_COLUMNS, *_FIELDS, "split")}
    known |= {name: affect.get(name) for name in AFFECT} | {name: prosody.get(name) for name in PROSODY}
    models = {"recogniser": None, "affect": affect.get("source")}
    labels = {name: fields.get(name) for name in LABELS}
    return clip_row(known | {"conversation_id": fields["id"], "models": models, "labels": labels}, [])


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shown(element) for name, element in value.items()}
    if isinstance(value, list):
        return [_shown(element) for element in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
