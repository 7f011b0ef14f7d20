"""Words and spans of time, which every model, transcript and stage passes on."""

from collections.abc import Iterable
from typing import NamedTuple, NotRequired, TypedDict

import msgspec
from msgspec.structs import replace

from dailytalk_contiguous.core.records.record import Flag, Measure, Parts, Seconds, Text


class Span(NamedTuple):
    """A stretch of time in seconds; false where it is empty, as pyannote.core's `Segment`.

    >>> from dailytalk_contiguous import Span
    >>> Span(1.0, 3.0) & Span(2.0, 5.0), Span(1.0, 3.0) | Span(2.0, 5.0), 2.5 in Span(1.0, 3.0)
    (Span(start=2.0, end=3.0), Span(start=1.0, end=5.0), True)
    >>> bool(Span(1.0, 2.0) & Span(2.0, 3.0))
    False
    """

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return max(0.0, self.end - self.start)

    def __bool__(self) -> bool:
        return self.end > self.start

    def __and__(self, other: "Span") -> "Span":
        return Span(max(self.start, other.start), min(self.end, other.end))

    def __or__(self, other: "Span") -> "Span":
        return Span(min(self.start, other.start), max(self.end, other.end))

    def __contains__(self, time: object) -> bool:
        return isinstance(time, int | float) and self.start <= time <= self.end


class Word(msgspec.Struct, frozen=True):
    """A word and its times, in seconds of the conversation or of the utterance, cue or take that it is in.

    Attributes:
        word: written form; a recogniser's has the space before it.
        start: start in seconds.
        end: end in seconds.
        probability: probability in [0, 1] that it was said; None where a person wrote it, or a recogniser or a
            format has none.
        fitted: whether a transcript that came with the recording has no time for it, or one that reaches beyond
            the detected speech (`core.words.cues`).
        filler: whether its speaker holds the turn with it, as with "um" (`core.words.fillers`).
        speaker: side of the result, `left` or `right`, once it is aligned; beside a WAV of a Moshi folder its
            speaker.
        source: source of its times, once it is aligned: `given`, `given-fitted`, `recogniser`, `synthesiser`,
            `recognised-text`, `recognised-synthesis` or `proportional`.
    """

    word: Text
    start: Seconds
    end: Seconds
    probability: Measure | None = None
    fitted: Flag | None = None
    filler: Flag | None = None
    speaker: Text = ""
    source: Text = ""

    @property
    def span(self) -> Span:
        return Span(self.start, self.end)

    @property
    def middle(self) -> float:
        return (self.start + self.end) / 2

    def moved_to(self, start: float, end: float) -> "Word":
        """Return the word at another time."""
        return replace(self, start=start, end=end)

    def shifted(self, seconds: float) -> "Word":
        """Return the word so many seconds later."""
        return self.moved_to(self.start + seconds, self.end + seconds)

    def cut_to(self, span: Span) -> "Word":
        """Return the word cut to a span; it has no length where it is outside."""
        start = min(max(self.start, span.start), span.end)
        end = min(max(self.end, span.start), span.end)
        return self.moved_to(start, end)

    def said_with(self, probability: float | None) -> "Word":
        """Return the word with another probability that it was said."""
        return replace(self, probability=probability)

    def spelled(self, text: str) -> "Word":
        """Return the word with another spelling."""
        return replace(self, word=text)

    def known_by(self, source: str) -> "Word":
        """Return the word with the source of its times."""
        return replace(self, source=source)


class WordRow(TypedDict):
    """A word of a row or a line, with the fields of `Word` that its column keeps."""

    word: Text
    start: Seconds
    end: Seconds
    probability: Measure | None
    fitted: NotRequired[Flag | None]
    filler: NotRequired[Flag | None]
    speaker: NotRequired[Text]
    source: NotRequired[Text]


#: Words of a transcript that came with a recording, of a voice, or of a clip.
TIMED = Parts(("word", "start", "end", "probability"))

#: Words of an utterance.
UTTERED = Parts(("word", "start", "end", "probability", "fitted", "filler"))

#: Words in the result.
ALIGNED = Parts(("word", "start", "end", "speaker", "source", "probability", "filler"))


def words_between(words: Iterable[Word], start: float, end: float) -> list[Word]:
    """Return the words whose middle is from `start` up to `end`, in the time of that part, and cut to it."""
    cut = []
    for word in words:
        if start <= word.middle < end:
            first = max(word.start, start) - start
            last = min(word.end, end) - start
            cut.append(word.moved_to(first, last))
    return cut
