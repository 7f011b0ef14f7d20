"""Lines to say: the utterances of a conversation that are resynthesised, and what each has afterwards.

A turn is one or more of them that the voice says in one take (`core.turns.turn_lines`).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np

from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.rows import utterance_features
from dailytalk_contiguous.core.records.utterance import Utterance, is_set, or_none
from dailytalk_contiguous.core.spans import merge_gaps
from dailytalk_contiguous.core.words.word import Span
from dailytalk_contiguous.models.contracts import VoiceSample

#: The outcome of an utterance, which `Speak` or `Convert` adds. `status`: `spoken`, `kept`, `dropped`,
#: `kept-original` or `failed`. `reason` and `unspoken_remedy` say why nothing was said and what to do
#: about it. `spoken` is mono int16 PCM; `spoken_words` are in its seconds. `tag_said`: whether the voice was given
#: its tag; null without a tag.
SPOKEN_UTTERANCE = utterance_features(
    "status",
    "reason",
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
    utterance.reason = reason
    utterance.unspoken_remedy = remedy
    utterance.spoken = b""
    utterance.spoken_seconds = None
    utterance.spoken_words = []
    utterance.synthesis = None
    utterance.tag_said = None


@dataclass(frozen=True)
class TurnToSay:
    """Utterances of a conversation that are said in one take; they are filled in when they are said.

    Attributes:
        talk: the conversation.
        text: the text of the take.
        utterances: one or more, with one tag as the voice is given it.
        usual_rate: the usual rate of their speaker in the conversation (see `usual_rate`).
    """

    talk: Conversation
    text: str
    utterances: Sequence[Utterance]
    usual_rate: float

    @property
    def first(self) -> Utterance:
        return self.utterances[0]

    @property
    def language(self) -> str:
        """ISO 639-1; `und` if no stage has named it. Null stays null: the keys of bought takes have it."""
        return self.first.language if is_set(self.first.language) else "und"  # type: ignore[return-value]

    @property
    def source_seconds(self) -> float:
        return sum(map(source_seconds, self.utterances))

    @property
    def rate(self) -> float | None:
        """The rate at which the source is said, as a multiple of the usual one; None if unknown.

        It is the mean of its utterances, weighted by the seconds that they take.
        """
        seconds = 0.0
        weighted = 0.0
        for utterance in self.utterances:
            if _is_rate(utterance.speech_rate):
                rate = round(utterance.speech_rate / self.usual_rate, 2)
                length = source_seconds(utterance)
                seconds += length
                weighted += rate * length
        return round(weighted / seconds, 2) if seconds else None

    @property
    def voice_samples(self) -> tuple[VoiceSample, ...]:
        """Speech of the voice to be cloned; empty where the voice has a name."""
        wav = or_none(self.talk.voice_wav)
        if not wav:
            return ()
        text = self.talk.voice_text if is_set(self.talk.voice_text) else ""
        return (VoiceSample(wav, text),)


def usual_rate(utterances: Iterable[Utterance]) -> float:
    """The median rate of speech of utterances, in words a second; NaN where that of none is known."""
    rates = [utterance.speech_rate for utterance in utterances if _is_rate(utterance.speech_rate)]
    return float(np.median(rates or [math.nan]))


def _is_rate(value: float | None) -> TypeGuard[float]:
    return is_number(value) and value > 0


def source_seconds(utterance: Utterance) -> float:
    """Seconds of the words of a source, without pauses between them; all of it where no times are known."""
    words = or_none(utterance.words) or []
    spans = sorted((word.start, word.end) for word in words)
    seconds = 0.0
    for start, end in merge_gaps(spans, 0.0):
        seconds += (utterance.span & Span(start, end)).seconds
    return seconds or utterance.end - utterance.start
