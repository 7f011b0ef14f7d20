"""When each side of a finished conversation speaks, without the pauses inside its utterances."""

from collections.abc import Iterable

from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.records.seen import SeenConversation
from dailytalk_contiguous.core.sound.sound_edges import without_pauses
from dailytalk_contiguous.core.turns.turn_taking import PAUSE, Timed
from dailytalk_contiguous.publish.exports.exporting import SeenTalk

Spans = list[tuple[float, float]]


def speech_of(item: SeenTalk) -> dict[str, Spans]:
    """Return, by channel, the spans in seconds in which a side speaks, without pauses of `PAUSE` and more.

    `item` has samples at 16 kHz.
    """
    speech: dict[str, Spans] = {}
    for column, channel in enumerate(CHANNELS):
        utterances = [utterance.sounding for utterance in item.talk.utterances if utterance.channel == channel]
        # who hesitates is not silent
        words = [word.span for word in item.talk.heard_words if word.speaker == channel]
        speech[channel] = without_pauses(item.pcm[:, column], utterances, words, PAUSE)
    return speech


def spans_between(spans: Iterable[tuple[float, float]], start: float, end: float) -> Spans:
    """Spans in order, cut to a part from `start` to `end`, in its seconds."""
    inside: Spans = []
    for first, last in spans:
        span_start = round(max(first, start) - start, 6)
        span_end = round(min(last, end) - start, 6)
        if span_start < span_end:
            inside.append((span_start, span_end))
    return inside


def timed_of(talk: SeenConversation) -> list[Timed]:
    """Return the times at which the utterances of a conversation sound."""
    return [Timed(utterance.channel, *utterance.sounding) for utterance in talk.utterances]
