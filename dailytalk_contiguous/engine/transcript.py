"""transcript.jsonl: one line an utterance, for people and for tools that came before this one.

The first fields, their names and their order are those of the older tool (`vad` there means valence, arousal and
dominance); ours follow. Times are in seconds of the recording, to a millisecond; what is not a number is null.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from dailytalk_contiguous.core.schema import AFFECT, PROSODY
from dailytalk_contiguous.sources.people import People

#: Columns of a shard that a line is made from.
COLUMNS = (
    *("conversation_id", "recording_id", "audio_file", "offset", "duration", "notes", "rejected", "unmatched"),
    *("utterance_id", "channel", "speaker", "start", "end", "kind", "context_seconds"),
    *("text_raw", "words", "language", "avg_logprob", "recogniser", "text_reason", "affect_model"),
    *("tag", "rule", "text", "tagged_text"),
    *("valence_bucket", "arousal_bucket", "dominance_bucket"),
    *("energy_bucket", "rate_bucket", "zcr_bucket", "pitch_bucket", "pitch_var_bucket"),
    *AFFECT,
    *PROSODY,
)

#: Where no table names the speakers.
NOBODY: People = {}

_PROSODY_BUCKETS = ("energy", "rate", "zcr", "pitch", "pitch_var")


def lines(row: Mapping[str, Any], first_id: int = 0, people: People = NOBODY) -> Iterator[dict[str, Any]]:
    """The lines of one conversation, in order of start; `segment_id` counts on from `first_id`.

    `people` (by recording id and channel) give `speaker`, and `gender` and `language` where they are known.
    """
    for place in range(len(row["utterance_id"])):
        line = _line(row, place, first_id + place)
        if people and (person := people.get((row["recording_id"], line["channel"]))):
            line |= {name: value for name, value in person._asdict().items() if value}
        yield line


def to_json(line: Mapping[str, Any]) -> str:
    """A line as JSON, with its line break."""
    return json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n"


def _line(row: Mapping[str, Any], place: int, segment_id: int) -> dict[str, Any]:
    def value(column: str) -> Any:
        return row[column][place]

    start, end = (round(row["offset"] + value(edge), 3) for edge in ("start", "end"))
    return {
        "segment_id": segment_id,
        "audio_file": row["audio_file"],
        "channel": value("channel"),
        "start": start,
        "end": end,
        "duration": round(end - start, 3),
        "vad": {name: number(value(name), 4) for name in AFFECT},
        "features": {name: number(value(name), 5) for name in PROSODY},
        "vad_bucket": {name: value(f"{name}_bucket") for name in AFFECT},
        "prosody_bucket": {name: value(f"{name}_bucket") for name in _PROSODY_BUCKETS},
        "tag": value("tag"),
        "text_raw": value("text_raw"),
        "text": value("text"),
        "tagged_text": value("tagged_text"),
        "utterance_id": value("utterance_id"),
        "conversation_id": row["conversation_id"],
        "speaker": value("speaker"),
        "rule": value("rule"),
        "kind": value("kind"),
        "words": [_word(word, row["offset"]) for word in value("words")],
        "language": value("language"),
        "confidence": _confidence(value("avg_logprob")),
        "models": {"recogniser": value("recogniser"), "affect": value("affect_model")},
        "context_seconds": number(value("context_seconds"), 3),
        "text_reason": value("text_reason"),
    }


def number(value: float | None, digits: int) -> float | None:
    """A number rounded to decimals, or None for what is no number."""
    return None if value is None or not math.isfinite(value) else round(value, digits)


def _word(word: Mapping[str, Any], offset: float) -> dict[str, Any]:
    return {
        "word": word["word"],
        "start": round(offset + word["start"], 3),
        "end": round(offset + word["end"], 3),
        "probability": number(word["probability"], 3),
    }


def _confidence(avg_logprob: float | None) -> float | None:
    """The geometric mean of the words' probabilities, in [0, 1]."""
    return None if avg_logprob is None else number(math.exp(min(avg_logprob, 0.0)), 4)
