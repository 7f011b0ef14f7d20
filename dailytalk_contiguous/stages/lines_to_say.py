"""Lines to say: the utterances of a batch that are resynthesised, and the columns that each has afterwards.

A line is one utterance with its text, its tag and what is known of its source. A turn is one or more lines that
the voice says in one take (`core.turn_lines`).
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, TypedDict, TypeVar

import numpy as np
from datasets import Features

from dailytalk_contiguous.core.arrow_types import record_features
from dailytalk_contiguous.core.delivery import Performance
from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.records import Flag, Measure, Stored, SynthesisRecord, Text, WordRow
from dailytalk_contiguous.core.schema import Batch
from dailytalk_contiguous.core.spans import merge_gaps
from dailytalk_contiguous.models.contracts import VoiceSample

_Value = TypeVar("_Value")


class SpokenUtterance(TypedDict):
    """What became of an utterance.

    `status`: `spoken`, `kept`, `dropped`, `kept-original` or `failed`. `unspoken_reason` and `unspoken_remedy` say
    why nothing was said and what to do about it. `spoken` is mono int16 PCM; `spoken_words` are in its seconds.
    `tag_said`: whether the voice was given its tag; null without a tag.
    """

    status: Text
    unspoken_reason: Text | None
    unspoken_remedy: Text | None
    spoken: Annotated[bytes, Stored("binary")]
    spoken_seconds: Measure | None
    spoken_words: list[WordRow]
    synthesis: SynthesisRecord | None
    tag_said: Flag | None


#: The columns of an utterance that `Speak` or `Convert` adds, and their types.
SPOKEN_UTTERANCE = Features(record_features(SpokenUtterance))


def without_sound(status: str, reason: str | None = None, remedy: str | None = None) -> SpokenUtterance:
    """The columns of an utterance for which nothing was synthesised."""
    return {
        "status": status,
        "unspoken_reason": reason,
        "unspoken_remedy": remedy,
        "spoken": b"",
        "spoken_seconds": None,
        "spoken_words": [],
        "synthesis": None,
        "tag_said": None,
    }


def unmeasured_synthesis(engine: str, model: str, voice: str) -> SynthesisRecord:
    """The record of a synthesis by an engine, before anything is known of its take."""
    return {
        "engine": engine,
        "model": model,
        "voice": voice,
        "cache_key": None,
        "take": None,
        "take_part": None,
        "tries": None,
        "cost": None,
        "word_error_rate": None,
        "rms": None,
        "f0_mean": None,
        "speech_rate": None,
        "delivery_distance": None,
        "delivery_semitones": None,
        "delivery_decibels": None,
        "delivery_cosine": None,
        "delivery_ending": None,
    }


def spoken_columns(utterances: Sequence[SpokenUtterance]) -> Batch:
    """The columns of utterances, one item an utterance."""
    columns: Batch = {name: [] for name in SPOKEN_UTTERANCE}
    for utterance in utterances:
        for name, value in utterance.items():
            columns[name].append(value)
    return columns


@dataclass(frozen=True)
class LineToSay:
    """An utterance that is to be said, and what is known of its source.

    Attributes:
        utterance_id: as in the batch.
        conversation: the id of its conversation, or its place in a batch without conversations.
        text: what is said, without the tag.
        tag: the style tag; empty for none.
        language: ISO 639-1; `und` where it is unknown.
        source_seconds: how long the words of the source take, without the pauses between them.
        rate: how fast the source is said, as a multiple of its speaker's median in the conversation; None if
            unknown.
        sample_rate: of the recording, in Hz; None if unknown.
        voice_samples: speech of the voice to be cloned; empty where the voice has a name.
        source: the pitch and level of the source; None where `MeasureDelivery` has not measured it.
        source_embedding: the source as an encoder of prosodic tokens describes it; None if unknown.
    """

    utterance_id: str
    conversation: Hashable
    text: str
    tag: str
    language: str
    source_seconds: float
    rate: float | None
    sample_rate: int | None
    voice_samples: tuple[VoiceSample, ...]
    source: Performance | None
    source_embedding: Sequence[float] | None


@dataclass(frozen=True)
class TurnToSay:
    """One or more lines that are said in one take, and the text of that take. Its tag is that of all its lines."""

    text: str
    lines: tuple[LineToSay, ...]

    @property
    def first(self) -> LineToSay:
        return self.lines[0]

    @property
    def source_seconds(self) -> float:
        return sum(line.source_seconds for line in self.lines)

    @property
    def rate(self) -> float | None:
        """The mean rate of its lines, weighted by the seconds that they take; None if that of no line is known."""
        seconds = 0.0
        weighted = 0.0
        for line in self.lines:
            if line.rate is not None:
                seconds += line.source_seconds
                weighted += line.rate * line.source_seconds
        return round(weighted / seconds, 2) if seconds else None


def lines_of_batch(batch: Batch, indices: Sequence[int]) -> dict[int, LineToSay]:
    """The utterances at these places of a batch, by their place."""
    rates = _relative_rates(batch, indices)
    return {index: _line(batch, index, rates.get(index)) for index in indices}


def _line(batch: Batch, index: int, rate: float | None) -> LineToSay:
    sample_rate: int | None = _optional(batch, "sample_rate", index, None)
    voice_samples: tuple[VoiceSample, ...] = ()
    wav = _optional(batch, "voice_wav", index, b"")
    if wav:
        voice_text = _optional(batch, "voice_text", index, "")
        voice_samples = (VoiceSample(wav, voice_text),)
    source = None
    unknown: list[float] = []
    f0 = _optional(batch, "source_f0", index, unknown)
    level = _optional(batch, "source_level", index, unknown)
    if f0 and level:
        source = Performance(np.asarray(f0), np.asarray(level))
    return LineToSay(
        utterance_id=batch["utterance_id"][index],
        conversation=_conversation(batch, index),
        text=batch["text"][index],
        tag=batch["tag"][index],
        language=_optional(batch, "language", index, "und"),
        source_seconds=_source_seconds(batch, index),
        rate=rate,
        sample_rate=sample_rate,
        voice_samples=voice_samples,
        source=source,
        source_embedding=_optional(batch, "source_embedding", index, None) or None,
    )


def _optional(batch: Batch, name: str, index: int, default: _Value) -> _Value:
    """The value of a column at an index; a default where the batch has no such column."""
    if name not in batch:
        return default
    value: _Value = batch[name][index]
    return value


def _conversation(batch: Batch, index: int) -> Hashable:
    conversation: Hashable = _optional(batch, "conversation_id", index, index)
    return conversation


def _source_seconds(batch: Batch, index: int) -> float:
    """Seconds of the words of a source, or of the whole utterance if their times are unknown."""
    start: float = batch["start"][index]
    end: float = batch["end"][index]
    no_words: list[WordRow] = []
    words = _optional(batch, "words", index, no_words) or no_words
    spans = sorted((word["start"], word["end"]) for word in words)
    seconds: float = 0
    for first, last in merge_gaps(spans, 0.0):
        seconds += max(0.0, min(last, end) - max(first, start))
    return seconds or end - start


def _relative_rates(batch: Batch, indices: Iterable[int]) -> dict[int, float]:
    """How fast utterances are said, as multiples of their speaker's median in the conversation."""
    if "speech_rate" not in batch:
        return {}
    by_conversation: defaultdict[Hashable, dict[int, float]] = defaultdict(dict)
    for index in indices:
        rate = batch["speech_rate"][index]
        if is_number(rate) and rate > 0:
            by_conversation[_conversation(batch, index)][index] = rate
    relative: dict[int, float] = {}
    for rates in by_conversation.values():
        median = float(np.median([*rates.values()]))
        for index, rate in rates.items():
            relative[index] = round(rate / median, 2)
    return relative
