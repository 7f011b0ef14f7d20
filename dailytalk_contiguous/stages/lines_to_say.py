"""Lines to say: the utterances of a conversation that are resynthesised, and what each has afterwards.

A line is one utterance, with what is known of its source. A turn is one or more lines that the voice says in one
take (`core.turn_lines`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np

from dailytalk_contiguous.core.conversation import Conversation, Utterance, is_set, or_none, utterance_features
from dailytalk_contiguous.core.delivery import Performance
from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.records import SynthesisRecord
from dailytalk_contiguous.core.spans import merge_gaps
from dailytalk_contiguous.core.words import Span
from dailytalk_contiguous.models.contracts import VoiceSample

#: What became of an utterance, which `Speak` or `Convert` adds. `status`: `spoken`, `kept`, `dropped`,
#: `kept-original` or `failed`. `unspoken_reason` and `unspoken_remedy` say why nothing was said and what to do
#: about it. `spoken` is mono int16 PCM; `spoken_words` are in its seconds. `tag_said`: whether the voice was given
#: its tag; null without a tag.
SPOKEN_UTTERANCE = utterance_features(
    "status",
    "unspoken_reason",
    "unspoken_remedy",
    "spoken",
    "spoken_seconds",
    "spoken_words",
    "synthesis",
    "tag_said",
)


def leave_unspoken(
    utterance: Utterance, status: str, reason: str | None = None, remedy: str | None = None
) -> None:
    """Fill in an utterance for which nothing was synthesised."""
    utterance.status = status
    utterance.unspoken_reason = reason
    utterance.unspoken_remedy = remedy
    utterance.spoken = b""
    utterance.spoken_seconds = None
    utterance.spoken_words = []
    utterance.synthesis = None
    utterance.tag_said = None


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


@dataclass(frozen=True)
class LineToSay:
    """An utterance that is to be said, and what is known of its source.

    Attributes:
        utterance: is filled in when it is said.
        source_seconds: how long the words of the source take, without the pauses between them.
        rate: how fast the source is said, as a multiple of its speaker's median in the conversation; None if
            unknown.
        source: the pitch and level of the source; None where `MeasureDelivery` has not measured it.
        source_embedding: the source as an encoder of prosodic tokens describes it; None if unknown.
    """

    utterance: Utterance
    source_seconds: float
    rate: float | None
    source: Performance | None
    source_embedding: Sequence[float] | None

    @property
    def text(self) -> str:
        return self.utterance.text


@dataclass(frozen=True)
class TurnToSay:
    """One or more lines of a conversation that are said in one take, and the text of that take.

    Its tag is that of all its lines.
    """

    talk: Conversation
    text: str
    lines: Sequence[LineToSay]

    @property
    def first(self) -> Utterance:
        return self.lines[0].utterance

    @property
    def language(self) -> str:
        """ISO 639-1; `und` where no stage has named it. A null stays one: it is in the keys of what was bought."""
        return self.first.language if is_set(self.first.language) else "und"  # type: ignore[return-value]

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

    @property
    def voice_samples(self) -> tuple[VoiceSample, ...]:
        """Speech of the voice to be cloned; empty where the voice has a name."""
        wav = or_none(self.talk.voice_wav)
        if not wav:
            return ()
        text = self.talk.voice_text if is_set(self.talk.voice_text) else ""
        return (VoiceSample(wav, text),)

    @property
    def sample_rate(self) -> int | None:
        """That of the recording, in Hz; None if unknown."""
        return or_none(self.talk.sample_rate)


def lines_to_say(utterances: Sequence[Utterance]) -> list[LineToSay]:
    """The lines of utterances of one speaker in one conversation."""
    speech_rates = [utterance.speech_rate for utterance in utterances]
    median = float(np.median([rate for rate in speech_rates if _is_rate(rate)] or [math.nan]))
    lines: list[LineToSay] = []
    for utterance, speech_rate in zip(utterances, speech_rates, strict=True):
        rate = round(speech_rate / median, 2) if _is_rate(speech_rate) else None
        source = None
        f0 = or_none(utterance.source_f0)
        level = or_none(utterance.source_level)
        if f0 and level:
            source = Performance(np.asarray(f0), np.asarray(level))
        embedding = or_none(utterance.source_embedding) or None
        lines.append(LineToSay(utterance, _source_seconds(utterance), rate, source, embedding))
    return lines


def _is_rate(value: float | None) -> TypeGuard[float]:
    return is_number(value) and value > 0


def _source_seconds(utterance: Utterance) -> float:
    """Seconds of the words of a source, or of the whole utterance if their times are unknown."""
    words = or_none(utterance.words) or []
    spans = sorted((word.start, word.end) for word in words)
    seconds = 0.0
    for start, end in merge_gaps(spans, 0.0):
        seconds += (utterance.span & Span(start, end)).seconds
    return seconds or utterance.end - utterance.start
