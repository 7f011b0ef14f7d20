"""The training folder of an expressive corpus: moshi-finetune's layout, with an annotation beside each clip.

`data_stereo/NAME.wav` is stereo (left: the speech that the model should learn), `NAME.json` beside it holds the
words as moshi-finetune reads them and the annotation of the clip. Two manifests list the files of each split with
emotion and style; a training clip is listed as often as its weight says, so that the trainer learns the weights.
The trainer reads every `*jsonl` in a folder, so there is no third one. `text_conditions` are written on request
only: a stock model stops on them.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.records.clip import clip_row, times_listed
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.rows import known_columns
from dailytalk_contiguous.core.records.schema import AUDIO_FOLDER, LABELLED, LABELS, Row
from dailytalk_contiguous.core.records.utterance import AFFECT, EMOTION_GUESS, PROSODY
from dailytalk_contiguous.core.words.moshi_words import SpokenWord, alignments_of, place_words
from dailytalk_contiguous.machine.audio import read_pcm
from dailytalk_contiguous.shards import read_rows
from dailytalk_contiguous.store.files import file_name, json_text
from dailytalk_contiguous.store.owned_folder import OwnedFolder, written_before

#: Manifests by split.
MANIFESTS = {"train": "expressive_dataset.jsonl", "validation": "expressive_dataset_validation.jsonl"}


def export_clips(paths: Sequence[Path], out: Path, text_conditions: bool = False) -> dict[str, int]:
    """Write the folder from shards of finished clips, a shard at a time; the same shards give the same bytes.

    Returns the number of lines by split. Raises DailytalkError if `out` holds other files.
    """
    target = OwnedFolder(out, "clips", tuple(MANIFESTS.values()))
    lines: dict[str, list[tuple[str, str]]] = {split: [] for split in MANIFESTS}
    for path in paths:
        for clip_id, row in read_rows(path, list(LABELLED)).items():
            talk = from_finished(row)
            name = f"{AUDIO_FOLDER}/{file_name(clip_id)}"
            pcm = read_pcm(talk.built_audio, sample_rate=talk.built_rate)
            target.write_wav(f"{name}.wav", pcm, talk.built_rate)
            target.write_text(f"{name}.json", json_text(annotation(talk, text_conditions)))
            entry = {"path": f"{name}.wav", "duration": talk.built_duration, **_conditions(talk)}
            line = (clip_id, json_text(entry))
            lines[talk.extra["split"]] += [line] * times_listed(row)
    manifests = {}
    for split, entries in lines.items():
        if entries:
            manifests[MANIFESTS[split]] = [text for _, text in sorted(entries)]
    target.finish(manifests)
    return {split: len(entries) for split, entries in lines.items()}


def is_complete(out: Path) -> bool:
    """Whether an export to `out` was finished, and all files that it wrote still exist."""
    written = written_before(out)
    has_manifest = any(manifest in written for manifest in MANIFESTS.values())
    return has_manifest and all((out / name).is_file() for name in written)


def _conditions(talk: Conversation) -> dict[str, str | None]:
    """Return the labels of a clip that a model may be conditioned on."""
    labels = talk.extra["labels"]
    return {"emotion": labels["emotion"], "style": labels["style"]}


#: Fields of a clip's utterance that its annotation has under their names.
_FIELDS = ("text", "rule", *EMOTION_GUESS)


def annotation(talk: Conversation, text_conditions: bool = False) -> dict[str, object]:
    """Return the JSON beside a clip's WAV: `alignments` first, then labels and measures, to six digits.

    Each word begins in a frame of its own (`core.words.moshi_words`): the trainer would lose all but one of a
    frame.
    """
    (utterance,) = talk.utterances
    first = utterance.new_start or 0.0
    spoken = [SpokenWord(word.start, word.end, 1, first, talk.built_duration) for word in talk.alignments]
    times = place_words(spoken).times
    words = [word.moved_to(*span) for word, span in zip(talk.alignments, times, strict=True)]
    fields: dict[str, object] = {"alignments": alignments_of(words)}
    if text_conditions:
        conditions = _conditions(talk)
        fields["text_conditions"] = {name: value for name, value in conditions.items() if value is not None}
    fields["word_sources"] = [word.source or None for word in talk.alignments]
    prosody = known_columns(utterance, PROSODY)
    has_prosody = any(value is not None for value in prosody.values())
    facts: dict[str, object] = {"id": talk.conversation_id, "language": talk.main_language}
    facts |= {"sample_rate": talk.built_rate, "duration": talk.built_duration}
    facts |= known_columns(utterance, _FIELDS)
    facts["affect"] = known_columns(utterance, AFFECT) | {"source": utterance.models["affect"]}
    facts["prosody"] = prosody if has_prosody else None
    facts |= talk.extra["labels"]
    return fields | {name: _rounded(value) for name, value in facts.items()}


def annotated_clip(fields: Mapping[str, Any]) -> Row:
    """Return the row of these fields of `annotation`, without sound and words; null where a field is missing."""
    affect = fields.get("affect") or {}
    prosody = fields.get("prosody") or {}
    columns = ("language", "sample_rate", "duration", "split")
    clip = {name: fields.get(name) for name in (*columns, *_FIELDS)}
    clip |= {name: affect.get(name) for name in AFFECT}
    clip |= {name: prosody.get(name) for name in PROSODY}
    clip["conversation_id"] = fields["id"]
    clip["models"] = {"recogniser": None, "affect": affect.get("source")}
    clip["labels"] = {name: fields.get(name) for name in LABELS}
    return clip_row(clip, [])


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {name: _rounded(element) for name, element in value.items()}
    if isinstance(value, list):
        return [_rounded(element) for element in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
