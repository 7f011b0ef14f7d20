"""Pieces of a conversation for a trainer: cut in silence, and without what the transcript calls inaudible."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from dailytalk_contiguous.core.records.seen import SeenConversation
from dailytalk_contiguous.core.sound.cutting import balanced_range
from dailytalk_contiguous.core.spans import merge_gaps
from dailytalk_contiguous.core.words.word import Span, words_between
from dailytalk_contiguous.store.files import file_name

#: Seconds of mutual silence at least: a cut in less would clip a breath or the end of a room's echo.
SHORTEST_SILENCE = 0.2


class TrainedPiece(NamedTuple):
    """A piece: the name of its file, without ending, and its samples from `first` up to `last`."""

    name: str
    first: int
    last: int


def cut_points(busy: Iterable[tuple[float, float]], duration: float, longest: float) -> list[float]:
    """Return the edges of the pieces of a conversation, from 0.0 to `duration` seconds.

    The trainer itself cuts every file each `duration_sec`, in the middle of a word if need be. These cuts are
    even, in silence of both speakers, and never split a word, an utterance or a laugh.

    Args:
        busy: starts and ends in seconds of all speech and sounds of both speakers, in any order.
        longest: seconds that a piece may have; longer only where no silence allows a cut. 0 never cuts.
    """
    silences: dict[float, float] = {}  # seconds by the middle
    for (_, end), (start, _) in pairwise(merge_gaps(sorted(busy), 0.0)):
        if start - end >= SHORTEST_SILENCE and start < duration:
            silences[(end + start) / 2] = start - end
    edges = [0.0]
    while longest and duration - edges[-1] > longest:
        low, high = balanced_range(duration - edges[-1], longest)
        first = edges[-1] + low
        last = edges[-1] + high
        inside = [middle for middle in silences if first <= middle <= last]
        before = [middle for middle in silences if edges[-1] < middle < first]
        after = [middle for middle in silences if middle > last]
        if inside:
            edges.append(max(inside, key=silences.__getitem__))
        elif before and before[-1] > edges[-1] + low / 2:
            edges.append(before[-1])
        elif after:
            edges.append(after[0])
        else:
            break
    return [*edges, duration]


def inaudible_spans(talk: SeenConversation) -> list[Span]:
    """Return when the main speaker says what the transcript calls inaudible.

    A stretch ends at the words that reach into it: the times of a mark may be an estimate.
    """
    words = [word for word in talk.heard_words if word.speaker == "left"]
    spans = []
    for mark in talk.transcript_marks:
        if mark.kind != "inaudible" or mark.channel != "left":
            continue
        start = mark.start
        end = mark.end
        for word in words:
            if word.start < end and start < word.end:
                if word.start + word.end < start + end:
                    start = word.end
                else:
                    end = word.start
        if start < end:
            spans.append(Span(start, end))
    return spans


def trained_pieces(talk: SeenConversation, inaudible: Sequence[Span], longest: float) -> list[TrainedPiece]:
    """Return the pieces of a conversation, each of `longest` seconds at most; 0 never cuts.

    Inaudible spans are in no piece, nor are stretches between them without a word of the main speaker: a model
    would learn to speak without text. A single piece has the name of its conversation.
    """
    shortest_piece = 1.0  # seconds, beside what is inaudible
    rate = talk.sample_rate
    busy = [word.span for word in talk.alignments]
    busy += [utterance.span for utterance in talk.utterances]
    busy += [Span(sound.start, sound.end) for sound in talk.sounds]
    edges = [round(cut * rate) for cut in cut_points(busy, talk.duration, longest)]
    pieces = list(pairwise(edges))
    for span in inaudible:
        start = round(span.start * rate)
        end = round(span.end * rate)
        parts = []
        for first, last in pieces:
            parts.append((first, min(last, start)))
            parts.append((max(first, end), last))
        pieces = [(first, last) for first, last in parts if last - first >= shortest_piece * rate]
    if inaudible:
        spoken = [word for word in talk.alignments if word.speaker == "left"]
        pieces = [(first, last) for first, last in pieces if words_between(spoken, first / rate, last / rate)]
    name = file_name(talk.conversation_id)
    if len(pieces) == 1:
        return [TrainedPiece(name, *pieces[0])]
    return [TrainedPiece(f"{name}--{number:03d}", first, last) for number, (first, last) in enumerate(pieces)]
