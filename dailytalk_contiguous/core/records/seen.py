"""A result as a recording of its own, as a trainer of the speaker on one of its sides sees it.

That speaker is on the left, whichever side of the result it is on, and all times are seconds of the result.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.records.conversation import Conversation, Mark
from dailytalk_contiguous.core.records.record import SourceSound
from dailytalk_contiguous.core.records.utterance import Utterance, or_none, sounding_between
from dailytalk_contiguous.core.words.word import Span, Word


class SeenUtterance(msgspec.Struct):
    """An audible utterance of a result; `finished` is what a finished row says of it."""

    finished: Utterance
    channel: str
    start: float
    end: float
    text: str

    @property
    def span(self) -> Span:
        return Span(self.start, self.end)

    @property
    def sounding(self) -> Span:
        """The span of its sound; its start and end where the trims are not known."""
        start_trim = self.finished.new_start_trim
        end_trim = self.finished.new_end_trim
        return Span(*sounding_between(self.start, self.end, start_trim, end_trim))


class SeenSound(NamedTuple):
    """A sound of a result that is no speech; `label` is the transcript's name for it, None without one."""

    channel: str
    start: float
    end: float
    label: str | None


class SeenConversation(msgspec.Struct):
    """A result as a trainer sees it.

    Attributes:
        finished: the conversation as it was read, on the sides of the result.
        main: the side of the result that is on the left here.
        sample_rate: rate of the wanted sound in Hz.
        duration: seconds.
        utterances: those that are in the result, by start; the other lists are by start, too.
        alignments: its words.
        unwritten_words: its words and the fillers that were left out of them; empty where none were.
        sounds: sounds that are no speech.
        transcript_marks: the marks in utterances that were kept.
    """

    finished: Conversation
    main: str
    sample_rate: int
    duration: float
    utterances: list[SeenUtterance]
    alignments: list[Word]
    unwritten_words: list[Word]
    sounds: list[SeenSound]
    transcript_marks: list[Mark]

    @property
    def conversation_id(self) -> str:
        return self.finished.conversation_id

    @property
    def recording_id(self) -> str:
        return self.finished.recording_id

    @property
    def main_language(self) -> str:
        return self.finished.main_language

    @property
    def heard_words(self) -> list[Word]:
        """The words that are heard: `alignments`, and fillers that were left out (`core.words.filler_removal`)."""
        words = self.unwritten_words or self.alignments
        return [word for word in words if word.word.strip()]

    def side(self, channel: str) -> list[SeenUtterance]:
        """Return the utterances on a channel."""
        return [utterance for utterance in self.utterances if utterance.channel == channel]

    def person(self, channel: str) -> str | None:
        """Return the name of the person on a channel; None where nobody is named."""
        return self.finished.person(sides_for(self.main)[channel])


def sides_for(main: str) -> dict[str, str]:
    """Return the side of a result that each channel is for a trainer of the speaker on the side `main`, and back.

    >>> sides_for("right")
    {'left': 'right', 'right': 'left'}
    """
    other = "right" if main == "left" else "left"
    return {"left": main, "right": other}


def seen_result(finished: Conversation, sample_rate: int, main: str) -> SeenConversation:
    """Return a finished conversation as a trainer of the speaker on the side `main` sees it.

    `sample_rate` is that of the wanted sound in Hz.
    """
    sides = sides_for(main)
    utterances: list[SeenUtterance] = []
    for utterance in finished.audible_utterances:
        span = utterance.new_span
        assert span is not None, utterance.utterance_id  # every audible utterance has times
        seen = SeenUtterance(utterance, sides[utterance.channel], *span, text=utterance.text or "")
        utterances.append(seen)
    words = [replace(word, speaker=sides[word.speaker]) for word in finished.alignments]
    unwritten = [replace(word, speaker=sides[word.speaker]) for word in or_none(finished.unwritten_words) or ()]
    sounds: list[SeenSound] = []
    for sound in finished.sounds:
        label = sound.label if isinstance(sound, SourceSound) else None
        sounds.append(SeenSound(sides[sound.channel], sound.new_start, sound.new_end, label))
    return SeenConversation(
        finished,
        main,
        sample_rate,
        finished.built_duration,
        utterances=sorted(utterances, key=_by_time),
        alignments=sorted(words, key=_by_time),
        unwritten_words=sorted(unwritten, key=_by_time),
        sounds=sorted(sounds, key=_by_time),
        transcript_marks=_marks_of_result(finished, sides),
    )


def _marks_of_result(finished: Conversation, sides: Mapping[str, str]) -> list[Mark]:
    """Return the marks in utterances that were kept, in seconds of the result, on the sides of a trainer."""
    marks: list[Mark] = []
    recorded = []
    for utterance in finished.audible_utterances:
        if utterance.is_recorded and utterance.has_recorded_times:
            recorded.append(utterance)
    for mark in finished.transcript_marks or ():
        if not is_number(mark.start) or not is_number(mark.end):
            continue
        for utterance in recorded:
            marked = utterance.span & mark.span
            is_same_side = utterance.source_channel == mark.channel
            if is_same_side and marked and utterance.new_start is not None:
                shift = utterance.new_start - utterance.start
                start = marked.start + shift
                end = marked.end + shift
                marks.append(replace(mark, channel=sides[utterance.channel], start=start, end=end))
    return marks


def _by_time(timed: SeenUtterance | Word | SeenSound) -> tuple[float, float]:
    return timed.start, timed.end
