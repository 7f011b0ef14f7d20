"""Gives the words of a transcript that people made to the utterances that speech activity found.

Nobody's cue times agree with detected speech to the millisecond, so a word goes to the utterance that holds its
midpoint, else to the nearest within reach, else it is handed back: no word is lost without a trace. Where a cue
has no word times, its words share the detected speech under it by their letters; a rough guess, to be replaced
by forced alignment, but right about which utterance says what.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

#: A `schema.CUE` and a `schema.WORD` as plain dicts.
Cue = dict[str, Any]
Word = dict[str, Any]
Span = tuple[float, float]
Spans = npt.NDArray[np.float64]

#: No fitted word is shorter than this, in seconds, unless its utterance has no room: trainers such as
#: moshi-finetune drop words with end <= start.
SHORTEST_WORD = 0.001

#: Seconds of a frame in which a transcript and detected speech are compared, and by how many a transcript may be
#: early or late for it to be noticed.
FRAME, FURTHEST = 0.05, 60.0

# Hiragana, Katakana (without its middle dot) and Han, written without spaces. Whisper, too, takes each of their
# characters for a word (`split_to_word_tokens` of openai/whisper). Then CJK punctuation and full-width forms.
_SPACELESS = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_CJK = _SPACELESS + "\u3000-\u303f\u30fb\uff01-\uff60"
_OPENING = "「『（【《〈“‘(\\["
_BETWEEN_CHARACTERS = re.compile(
    rf"(?<=[^{_OPENING}])(?=[{_OPENING}]*[{_SPACELESS}])|(?<=[{_CJK}])(?<![{_OPENING}])(?=[A-Za-z0-9])"
)
_CJK_SPACE = re.compile(rf"(?<=[{_CJK}]) (?=[{_CJK}])")


@dataclass(frozen=True)
class Matched:
    """What `match_words` found: one item an utterance in `texts` and `words`.

    `left_over` has (index of the cue, its words that lie near no utterance), by rising index.
    """

    texts: list[str]
    words: list[list[Word]]
    left_over: list[tuple[int, list[Word]]]


@dataclass(frozen=True)
class _Placed:
    """A word with the cue and the place in it that it came from."""

    cue: int
    place: int
    word: Word


def match_words(cues: Sequence[Cue], utterances: Sequence[Span], max_distance: float) -> Matched:
    """Give every word of one channel's cues to one of that channel's utterances.

    Args:
        cues: `schema.CUE`s of one channel, in any order.
        utterances: (start, end) in seconds of the same clock, end > start, by rising start.
        max_distance: how far, in seconds, a word's midpoint may lie from its utterance.

    Returns:
        Per utterance its text (as the cue has it, where it holds all of the cue; else the words, joined) and its
        words, fitted into it by `fit_words`; and the words left over, with the times that they were given.
    """
    spans = np.asarray(utterances, dtype=np.float64).reshape(-1, 2)
    taken: list[list[_Placed]] = [[] for _ in utterances]
    left_over: dict[int, list[Word]] = {}
    sizes = []
    order: list[tuple[float, _Placed]] = []
    for number, cue in enumerate(cues):
        words = sorted(cue["words"] or [], key=lambda word: float(word["start"]))
        if not words:
            words = spread_words(cue["text"] or "", cue["start"], cue["end"], utterances)
        sizes.append(len(words))
        for place, word in enumerate(words):
            # The guessed words of two cues that overlap must not be shuffled into each other: they stay in the
            # order of their cues, while times that were given decide for themselves.
            order.append((word["start"] if cue["words"] else cue["start"], _Placed(number, place, word)))
    for _, placed in sorted(order, key=lambda item: (item[0], item[1].cue, item[1].place)):
        chosen = nearest(spans, (placed.word["start"] + placed.word["end"]) / 2, max_distance)
        if chosen is None:
            left_over.setdefault(placed.cue, []).append(placed.word)
        else:
            taken[chosen].append(placed)
    return Matched(
        texts=[_text(placed, cues, sizes) for placed in taken],
        words=[
            fit_words([item.word for item in placed], start, end)
            for placed, (start, end) in zip(taken, utterances, strict=True)
        ],
        left_over=sorted(left_over.items()),
    )


@dataclass(frozen=True)
class Shift:
    """By how many seconds a transcript is late (early: negative), as well as can be told by speech activity.

    `agreement` in [0, 1] is the Dice coefficient of the time that it fills and that of detected speech as it is,
    `best` that without the shift.
    """

    late: float
    agreement: float
    best: float


def find_shift(said: Sequence[tuple[Sequence[Cue], Sequence[Span]]]) -> Shift:
    """The constant shift, at most `FURTHEST`, after which cues and the utterances of their channels agree best.

    `said` has the cues and the (start, end) of the utterances of each channel that was transcribed, in seconds of
    the same clock.
    """
    channels = []
    for cues, utterances in said:
        spoken = [(w["start"], w["end"]) for cue in cues for w in cue["words"] or ([cue] if cue["text"] else [])]
        channels.append((spoken, list(utterances)))
    ends = [end for spans in channels for group in spans for _, end in group]
    if not ends:
        return Shift(0.0, 0.0, 0.0)
    count = int(max(ends) / FRAME) + 1
    furthest = min(round(FURTHEST / FRAME), count)
    size = 1 << (count + furthest).bit_length()
    total, shared = 0.0, np.zeros(2 * furthest + 1)
    for spoken, utterances in channels:
        text, speech = (_frames(spans, count) for spans in (spoken, utterances))
        total += float(text.sum() + speech.sum())
        product = np.fft.rfft(text, size) * np.conj(np.fft.rfft(speech, size))
        shared += np.roll(np.fft.irfft(product, size), furthest)[: 2 * furthest + 1]
    place = int(np.argmax(shared))
    agreement, best = (float(np.clip(2 * shared[n] / total, 0, 1)) for n in (furthest, place))
    return Shift((place - furthest) * FRAME, agreement, best)


def _frames(spans: Iterable[Span], count: int) -> Spans:
    """1 in each of `count` frames of `FRAME` seconds that a span touches, 0 in the others."""
    frames = np.zeros(count)
    for start, end in spans:
        frames[max(0, int(start / FRAME)) : max(0, int(end / FRAME) + 1)] = 1.0
    return frames


def nearest(spans: Spans, time: float, max_distance: float) -> int | None:
    """Index of the span, of (n, 2) in seconds, that holds `time`, else of the nearest; the earlier on ties.

    None where none is within `max_distance` seconds.
    """
    if not len(spans):
        return None
    distances = np.maximum(np.maximum(spans[:, 0] - time, time - spans[:, 1]), 0.0)
    chosen = int(np.argmin(distances))
    return chosen if distances[chosen] <= max_distance else None


def spread_words(text: str, start: float, end: float, spans: Iterable[Span]) -> list[Word]:
    """Share the speech that a cue covers among the words of its text, in proportion to their letters.

    The cue's own time counts where it covers none of `spans` ((start, end) in seconds). No word lies across two
    of them: it goes to the one that holds its midpoint. Letters and digits count; a word has at least one.
    """
    words = split_words(text)
    parts = _covered(start, end, spans) or [(start, end)]
    lengths = [part_end - part_start for part_start, part_end in parts]
    letters = [max(1, sum(map(str.isalnum, word))) for word in words]
    spread: list[Word] = []
    done = 0
    for word, count in zip(words, letters, strict=True):
        first, last = (sum(lengths) * n / sum(letters) for n in (done, done + count))
        done += count
        before = 0.0  # speech in the parts before this one
        for number, ((part_start, part_end), length) in enumerate(zip(parts, lengths, strict=True)):
            if (first + last) / 2 < before + length or number == len(parts) - 1:
                times = [min(max(part_start + at - before, part_start), part_end) for at in (first, last)]
                spread.append({"word": word, "start": times[0], "end": times[1], "probability": None})
                break
            before += length
    return spread


def fit_words(words: Sequence[Word], start: float, end: float) -> list[Word]:
    """Clip words into [start, end] seconds, in the order given: none overlaps the next, none is empty.

    Words that lie wholly outside move in at their edge and share the room that is free there. Every word keeps
    `SHORTEST_WORD`, or an equal share of the utterance if that is too short for it. Raises ValueError unless
    end > start.
    """
    if not end > start:
        raise ValueError(f"an utterance from {start} s to {end} s has no room for words")
    if not words:
        return []
    shortest = min(SHORTEST_WORD, (end - start) / len(words))
    spans = _moved_inside([(word["start"], word["end"]) for word in words], start, end)
    starts = []
    earliest = start
    for place, (word_start, _) in enumerate(spans):
        starts.append(min(max(word_start, earliest), end - (len(spans) - place) * shortest))
        earliest = starts[-1] + shortest
    limits = [*starts[1:], end]
    return [
        {**word, "start": first, "end": min(max(word_end, first + shortest), limit)}
        for word, first, (_, word_end), limit in zip(words, starts, spans, limits, strict=True)
    ]


def split_words(text: str) -> list[str]:
    """The words of a text: split at whitespace, and between the characters of Japanese and Chinese.

    Punctuation that stands alone stays with the word before it (or after it, at the start).

    >>> split_words("- Well ... 100 % yes !")
    ['- Well ...', '100 %', 'yes !']
    """
    words: list[str] = []
    lead = ""
    for piece in text.split():
        for token in _BETWEEN_CHARACTERS.split(piece):
            if any(map(str.isalnum, token)):
                words.append(lead + token)
                lead = ""
            elif token and words:
                words[-1] = f"{words[-1]} {token}"
            elif token:
                lead += f"{token} "
    return words or ([lead.strip()] if lead else [])


def join_words(words: Iterable[str]) -> str:
    """Words as a text: with a space between them, but for none inside Japanese and Chinese."""
    return _CJK_SPACE.sub("", " ".join(words))


def _covered(start: float, end: float, spans: Iterable[Span]) -> list[Span]:
    """The parts of [start, end] that lie in any of the spans, without overlaps, in order."""
    parts: list[Span] = []
    for span_start, span_end in sorted(spans):
        first = max(start, span_start, parts[-1][1] if parts else start)
        last = min(end, span_end)
        if last > first:
            parts.append((first, last))
    return parts


def _moved_inside(spans: list[Span], start: float, end: float) -> list[Span]:
    """Clip spans to [start, end]; those wholly outside share the room before the first, after the last inside."""
    before = [place for place, span in enumerate(spans) if span[1] <= start]
    after = [place for place, span in enumerate(spans) if span[0] >= end and place not in before]
    clipped = [(min(max(first, start), end), min(max(last, start), end)) for first, last in spans]
    inside = [span for place, span in enumerate(clipped) if place not in {*before, *after}]
    lengths = [max(SHORTEST_WORD, last - first) for first, last in spans]
    needed_before, needed_after = (sum(lengths[place] for place in group) for group in (before, after))
    if inside:
        room_before = min(first for first, _ in inside) - start
        room_after = end - max(last for _, last in inside)
    else:
        room_before = (end - start) * needed_before / max(needed_before + needed_after, SHORTEST_WORD)
        room_after = end - start - room_before
    scale_before = min(1.0, room_before / needed_before) if before else 1.0
    scale_after = min(1.0, room_after / needed_after) if after else 1.0
    after_start = end - needed_after * scale_after
    for group, at, scale in ((before, start, scale_before), (after, after_start, scale_after)):
        for place in group:
            clipped[place] = (at, at + lengths[place] * scale)
            at = clipped[place][1]
    return clipped


def _text(placed: Sequence[_Placed], cues: Sequence[Cue], sizes: Sequence[int]) -> str:
    """The text of an utterance that got these words: of whole cues their own text, of parts the words."""
    pieces: list[str] = []
    at = 0
    while at < len(placed):
        cue = placed[at].cue
        run = at
        while run < len(placed) and placed[run].cue == cue:
            run += 1
        text = " ".join((cues[cue]["text"] or "").split())
        is_whole = text and run - at == sizes[cue]
        pieces += [text] if is_whole else [item.word["word"] for item in placed[at:run]]
        at = run
    return join_words(pieces)
