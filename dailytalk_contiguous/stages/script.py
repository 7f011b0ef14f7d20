"""Script: what is to be said and kept of a tagged conversation, by its transcript.

Between tagging and speaking there is a transcript for people to read and edit. It has times in milliseconds of the
recording, measures of a few digits, and other names for some columns. Both directions are here: `dailytalk tag`
writes lines with `transcript_line`, `dailytalk speak` reads them with `script_columns`, and `Script` does both at
once where there is no file.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from datasets import Features, List, Value

from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.schema import (
    AFFECT,
    CHANNELS,
    EMOTION_GUESS,
    PROSODIC_TOKENS,
    PROSODY,
    SOURCE,
    STRING,
    UTTERANCE,
    UTTERED_WORD,
    Row,
    per_utterance,
)
from dailytalk_contiguous.stages.base import AnyDataset, Stage
from dailytalk_contiguous.stages.segment import Segment

#: Columns of the source that are needed to the end.
KEPT = (
    *("conversation_id", "recording_id", "audio", "audio_file", "offset", "duration"),
    *("sample_rate", "channels", "input_digest"),
)

#: Buckets of prosody in the order of a transcript; those of affect go by the names of `AFFECT`.
PROSODY_BUCKETS = ("energy", "rate", "zcr", "pitch", "pitch_var")

_BUCKETS = tuple(f"{name}_bucket" for name in (*AFFECT, *PROSODY_BUCKETS))

#: Who corrected a line, and what of it; not in a line that nobody has corrected.
EDITS = ("edited_by", "edited_fields")

#: Fields of a finished utterance that are made after the script.
_LATER = frozenset(
    {
        *("channel", "source_start", "source_end", "status", "reason", "event", "source_event", "synthesis"),
        *PROSODIC_TOKENS,
    }
)

#: Columns of an utterance: fields of a finished one, and what is needed on the way.
_UTTERANCE = Features(
    {name: feature for name, feature in UTTERANCE.items() if name not in _LATER}
    | {"run": Value("int32"), "words": List(UTTERED_WORD), "recogniser": STRING}
)


@dataclass(frozen=True)
class Script(Stage):
    """The first stage after `Punctuate`: the columns that `Speak` and the stages after it read.

    They are those that `dailytalk speak` reads from an unedited transcript.jsonl: `source_channel`,
    `main_language`, times in whole milliseconds of the recording, utterances in order of start, and those of a
    channel that was not tagged, without text. `map` drops what was only needed to tag.

    Raises BadInput for a conversation in which nobody speaks, or without a channel for each speaker.
    """

    needs: ClassVar[tuple[str, ...]] = (
        *("conversation_id", "recording_id", "audio", "audio_file", "offset", "duration", "channels"),
        *("utterance_id", "channel", "speaker", "start", "end", "kind", "run", "context_seconds"),
        *("text_raw", "words", "language", "avg_logprob", "recogniser", "text_reason", "affect_model"),
        *("tag", "rule", "text", "tagged_text", *AFFECT, *PROSODY, *_BUCKETS),
    )
    uses: ClassVar[tuple[str, ...]] = ("given", *EMOTION_GUESS)
    refuses: ClassVar[bool] = True
    batch_rows: ClassVar[int] = 1
    adds: ClassVar[Features] = Features({"main_language": STRING, **per_utterance(_UTTERANCE)})

    def row(self, row: Row) -> Row:
        return _script(row)

    def map(self, dataset: AnyDataset, **options: Any) -> AnyDataset:
        return super().map(dataset, **{"remove_columns": columns_besides((*KEPT, *self.adds), dataset)} | options)


#: What `Script.map` leaves, and a transcript is read as: what `Speak` and the stages after it find.
SCRIPT = Features({**{name: SOURCE[name] for name in KEPT}, **Script.adds})


def columns_besides(names: Iterable[str], dataset: AnyDataset) -> list[str]:
    """The columns of a dataset that are not among `names`."""
    kept = {*names}
    return [name for name in dataset.features or dataset._resolve_features().features if name not in kept]


def _script(row: Row) -> Row:
    if "mix" in row["channel"]:
        raise BadInput("it was tagged as one speaker (channel mix)", "tag both channels to re-voice one of them")
    if not row["utterance_id"]:
        raise BadInput("nobody speaks in it, so there is nothing to say", "leave it out")
    lines = (transcript_line(row, place) for place in range(len(row["utterance_id"])))
    return script_columns(row, ((line["utterance_id"], place, line) for place, line in enumerate(lines)))


def transcript_line(row: Mapping[str, Any], place: int) -> dict[str, Any]:
    """The line of transcript.jsonl for utterance `place` of a tagged conversation, in seconds of its recording."""

    def value(column: str) -> Any:
        return row[column][place]

    start, end = (round(row["offset"] + value(edge), 3) for edge in ("start", "end"))
    return {
        "audio_file": row["audio_file"],
        "channel": value("channel"),
        "start": start,
        "end": end,
        "duration": round(end - start, 3),
        **described(row["conversation_id"], value),
        "words": [_word(word, row["offset"]) for word in value("words")],
        "language": value("language"),
        "confidence": _confidence(value("avg_logprob")),
        "models": {"recogniser": value("recogniser"), "affect": value("affect_model")},
        "context_seconds": number(value("context_seconds"), 3),
        "text_reason": value("text_reason"),
        **(guessed(value) if "emotion_model" in row else {}),
    }


def described(conversation_id: str, value: Callable[[str], Any]) -> dict[str, Any]:
    """The part of a line that says what an utterance is; `value` gives its columns by name."""
    return {
        "vad": {name: number(value(name), 4) for name in AFFECT},
        "features": {name: number(value(name), 5) for name in PROSODY},
        "vad_bucket": {name: value(f"{name}_bucket") for name in AFFECT},
        "prosody_bucket": {name: value(f"{name}_bucket") for name in PROSODY_BUCKETS},
        **{name: value(name) for name in ("tag", "text_raw", "text", "tagged_text", "utterance_id")},
        "conversation_id": conversation_id,
        **{name: value(name) for name in ("speaker", "rule", "kind")},
    }


def guessed(value: Callable[[str], Any]) -> dict[str, Any]:
    """The part of a line that says what a classifier of emotion makes of it; empty where none was asked."""
    if not value("emotion_model"):
        return {}
    shares = value("emotion_probabilities") or ()
    return {
        "emotion_class": value("emotion_class"),
        # What a file from outside holds may be empty.
        "emotion_probabilities": {
            share["emotion"]: number(share["probability"], 4) for share in shares if share and share["emotion"]
        },
        "emotion_model": value("emotion_model"),
    }


def guess_of(line: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of `core.schema.EMOTION_GUESS` of a line; null where it has none."""
    shares = line.get("emotion_probabilities") or {}
    return {
        "emotion_class": line.get("emotion_class"),
        "emotion_probabilities": [
            {"emotion": name, "probability": share} for name, share in shares.items() if is_number(share)
        ]
        or None,
        "emotion_model": line.get("emotion_model"),
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
        **({"fitted": True} if word.get("fitted") else {}),
    }


def _confidence(avg_logprob: float | None) -> float | None:
    """The geometric mean of the words' probabilities, in [0, 1]."""
    return None if avg_logprob is None else number(math.exp(min(avg_logprob, 0.0)), 4)


def script_columns(base: Row, lines: Iterable[tuple[str, int, Mapping[str, Any]]]) -> Row:
    """The columns of `Script` for one conversation.

    Args:
        base: its columns of the source and of `Segment`; `given` may be missing.
        lines: of a transcript, each after the id of its utterance and its place among the conversation's lines.

    Raises BadInput if there is no line, or no channel for each of two speakers.
    """
    if base["channels"] != 2:
        raise BadInput(
            f"its recording has {base['channels']} channels", "only recordings of two channels can be re-voiced"
        )
    runs = dict(zip(base["utterance_id"], base["run"], strict=True))
    utterances = [_utterance(identity, place, line, base, runs) for identity, place, line in lines]
    if not utterances:
        raise BadInput("none of its lines can be used", "mend its lines, or delete them to leave it out")
    # Not a side of which people deleted every line: a shard knows that it had some.
    present = {utterance["source_channel"] for utterance in utterances} | set(base["channel"])
    for channel in sorted(set(CHANNELS) - present):
        utterances += _silent_side(base, channel)
    utterances.sort(key=lambda utterance: (utterance["start"], utterance["source_channel"]))
    language = _language(utterances)
    for utterance in utterances:  # an added line need not name what all others do
        utterance["language"] = utterance["language"] or language
    return {"main_language": language} | {
        column: [utterance[column] for utterance in utterances] for column in _UTTERANCE
    }


def texts_of(value: Any) -> list[str] | None:
    """One text or several as a list, each once and none empty; None where there is none.

    >>> texts_of("Ann"), texts_of(["tag", "text", "tag"]), texts_of([])
    (['Ann'], ['tag', 'text'], None)
    """
    texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return [*dict.fromkeys(text for text in texts if isinstance(text, str) and text.strip())] or None


def seconds_within(seconds: float, base: Row) -> float:
    """Seconds of the recording as seconds of the conversation, and inside it."""
    return float(min(max(seconds - base["offset"], 0.0), base["duration"]))


def _utterance(
    identity: str, place: int, line: Mapping[str, Any], base: Row, runs: Mapping[str, int]
) -> dict[str, Any]:
    affect, features = line.get("vad") or {}, line.get("features") or {}
    buckets = (line.get("vad_bucket") or {}) | (line.get("prosody_bucket") or {})
    text, models = line["text"].strip(), line.get("models") or {}
    return {
        "utterance_id": identity,
        "source_channel": line["channel"],
        "speaker": line.get("speaker") or f"{base['recording_id']}/{line['channel']}",
        "start": seconds_within(line["start"], base),
        "end": seconds_within(line["end"], base),
        "kind": line.get("kind") or "speech",
        "text_raw": line.get("text_raw") or text,
        "text": text,
        # Made again: a person edits the text and the tag, and forgets the line that holds both.
        "tagged_text": f"({line['tag']}) {text}" if text and line["tag"] else text or None,
        "tag": line["tag"],
        "rule": line.get("rule") or None,
        **{measure: affect.get(measure) for measure in AFFECT},
        **{measure: features.get(measure) for measure in PROSODY},
        **{column: buckets.get(column.removesuffix("_bucket")) or None for column in _BUCKETS},
        # Nothing else has negative numbers: an added line is a separate run.
        "run": runs.get(identity, -1 - place),
        "words": [
            {
                "word": word["word"],
                "start": seconds_within(word["start"], base),
                "end": seconds_within(word["end"], base),
                "probability": word.get("probability"),
                "fitted": word.get("fitted") is True,
            }
            for word in line.get("words") or []
        ],
        "recogniser": models.get("recogniser") or "",
        "models": {name: models.get(name) for name in ("recogniser", "affect")},
        "language": line.get("language"),
        "confidence": line.get("confidence"),
        "context_seconds": line.get("context_seconds"),
        "text_reason": None if text else line.get("text_reason"),
        **{name: texts_of(line.get(name)) for name in EDITS},
        **guess_of(line),
    }


def _silent_side(base: Row, channel: str) -> list[dict[str, Any]]:
    """The utterances of a channel that the transcript leaves out: their times, without text."""
    needed = {column: [base[column]] for column in Segment.needs} | {"given": [base.get("given")]}
    segments = {column: values[0] for column, values in Segment(channel=channel)(needed).items()}
    empty = dict.fromkeys((*AFFECT, *PROSODY, *_BUCKETS, "rule"))
    return [
        empty
        | {
            column: segments[column][place]
            for column in ("utterance_id", "speaker", "start", "end", "kind", "run")
        }
        | {"source_channel": channel, "text_raw": "", "text": "", "tagged_text": None, "tag": ""}
        | {"words": [], "recogniser": "", "language": None, "confidence": None, "context_seconds": None}
        | {"models": dict.fromkeys(("recogniser", "affect")), "text_reason": None}
        | dict.fromkeys((*EDITS, *EMOTION_GUESS))
        for place in range(len(segments["utterance_id"]))
    ]


def _language(utterances: Sequence[Mapping[str, Any]]) -> str:
    """The language that most utterances name; `und` where none does."""
    named = [utterance["language"] for utterance in utterances if utterance.get("language")]
    return max(sorted(set(named)), key=named.count) if named else "und"
