"""The row of a clip, a conversation of one utterance, for all code that writes or reads one."""

from collections.abc import Mapping
from typing import Any

from dailytalk_contiguous.core.records import schema
from dailytalk_contiguous.core.records.utterance import AFFECT, EMOTION_GUESS, PROSODY, UTTERANCE

#: Fields of the utterance of a clip that are known before it is conditioned, when they are columns of its row.
SAID = ("text", "language", "models", "rule", *AFFECT, *PROSODY, *EMOTION_GUESS)


def clip_row(clip: schema.Row, words: list[schema.Row]) -> schema.Row:
    """Make the row of a clip, without its sound: a conversation of one utterance, perhaps after a prompt.

    `clip` has the columns that `FinishClip` gets, with the `conditioning` among its `labels`.
    """
    name = clip["conversation_id"]
    labels = clip["labels"]
    text = clip["text"]
    tag = labels["tag"]
    utterance = dict.fromkeys(UTTERANCE)
    utterance |= {field: clip.get(field) for field in SAID}
    conditioning = labels["conditioning"] or {}
    utterance |= {
        "utterance_id": f"{name}/left/0000",
        "channel": "left",
        "source_channel": "left",
        "speaker": labels["speaker"],
        "start": conditioning.get("clip_start") or 0.0,
        "end": clip["duration"],
        "kind": "speech",
        "status": "kept",
        "event": "turn",
        "text_raw": text,
        "tagged_text": f"({tag}) {text}" if tag and text else text,
        "tag": tag,
    }
    side = dict.fromkeys(schema.SIDE)
    for measure, value in (labels["quality"] or {}).items():
        if measure in side:
            side[measure] = value
    side["channel"] = "left"
    return {
        "conversation_id": name,
        "recording_id": labels["augmented_from"] or name,
        "sample_rate": clip["sample_rate"],
        "duration": clip["duration"],
        "source_duration": None,
        "language": clip["language"],
        "utterances": [utterance],
        "alignments": words,
        "sounds": [],
        "sides": [side],
        "speakers": {"left": labels["speaker"], "right": None},
        "timeline": None,
        **{column.name: None for column in schema.COLUMNS},
        "provenance": None,
        "labels": labels,
        "split": clip["split"],
    }


def times_listed(row: Mapping[str, Any]) -> int:
    """Return how often a manifest lists a clip: a training clip by its weight, others once."""
    weight = row["labels"]["weight"]
    if weight is None or row["split"] != "train":
        return 1
    copies: int = round(weight)
    return copies
