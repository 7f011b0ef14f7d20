"""Cues of a transcript that people gave: whether the times of their words can be right, which of them are in a
conversation, and which utterances of detected speech the words belong to.

No cue times agree with detected speech to the millisecond, so a word goes to the utterance that contains its
midpoint, else to the nearest within reach, else it is returned as left over: no word is lost silently. Where a cue
has no word times, its words share the detected speech under it by their letters; a rough guess, to be replaced by
forced alignment, but right about which utterance says what.

Lines that people marked begin before the speech and end after it, by 0.3 s in calls that were measured, and the
words in them may be spread evenly. So the words of a cue that reaches beyond an utterance are scaled together: one
by one, those at its edges would be cut to nothing, and those outside be put on top of each other.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import NamedTuple

import numpy as np

from dailytalk_contiguous.core.records import Cue, UtteredWord, WordRow
from dailytalk_contiguous.core.schema import OPEN
from dailytalk_contiguous.core.spans import touched_frames
from dailytalk_contiguous.core.word_times import (
    TimeSpan,
    fit_spans,
    join_words,
    spread_words,
    written_words,
)

#: Seconds of a frame in which a transcript and detected speech are compared.
FRAME = 0.05

#: Seconds by which the words of a cue may begin before it, or end after it: recognisers round both by themselves.
OUTSIDE_CUE = 1.0

#: If each word of a cue keeps this share of its length inside the utterance, only the words at its edge are
#: clipped: an aligner's times differ by so little from detected speech, and those of the other words are right.
CLIPPED_SHARE = 0.8

#: Share of their length that the words of a cue keep at least when they are scaled, if the utterance has room.
SCALED_SHARE = 0.5


class Matched(NamedTuple):
    """The result of `match_words`: one item an utterance in `texts` and `words`.

    `left_over` has (index of the cue, its words that are near no utterance), by rising index.
    """

    texts: list[str]
    words: list[list[UtteredWord]]
    left_over: list[tuple[int, list[UtteredWord]]]


class _CueWord(NamedTuple):
    """Word number `number` of a cue, how it is written there, and the seconds by which it is in order."""

    time: float
    cue: int
    number: int
    word: UtteredWord
    written: str


def match_words(cues: Sequence[Cue], utterances: Sequence[TimeSpan], max_distance: float) -> Matched:
    """Give every word of one channel's cues to one of that channel's utterances.

    Args:
        cues: `core.schema.CUE`s of one channel, in any order.
        utterances: (start, end) in seconds of the same clock, end > start, by rising start.
        max_distance: how far, in seconds, a word's midpoint may be from its utterance.

    Returns:
        Per utterance its text (as the cue has it, where it holds all of the cue; else the words, joined) and its
        words, inside it, in order and apart; those whose times were changed, or are not of single words, have a
        true `fitted`.
        And the words left over, with their own times.
    """
    spans = np.asarray(utterances, dtype=np.float64).reshape(-1, 2)
    placed_in: list[list[_CueWord]] = [[] for _ in utterances]
    left_over: defaultdict[int, list[UtteredWord]] = defaultdict(list)
    order: list[_CueWord] = []
    for number, cue in enumerate(cues):
        text = cue["text"] or ""
        listed = sorted(cue["words"] or [], key=itemgetter("start"))
        if listed:
            written = [word["word"] for word in listed]
        else:
            written = written_words(text)
            listed = spread_words(text, cue["start"], cue["end"], utterances)
        are_fitted = not cue["words"] or are_spread(listed)  # these times say nothing of each word
        words = [_uttered(word, are_fitted) for word in listed]
        for index, (word, spelled) in enumerate(zip(words, written, strict=True)):
            # The guessed words of two cues that overlap must not be shuffled into each other: they stay in the
            # order of their cues, while times that were given decide for themselves.
            time = word["start"] if cue["words"] else cue["start"]
            order.append(_CueWord(time, number, index, word, spelled))
    for item in sorted(order, key=attrgetter("time", "cue", "number")):
        middle = (item.word["start"] + item.word["end"]) / 2
        distances = np.maximum(spans[:, 0] - middle, middle - spans[:, 1]).clip(0.0)
        if distances.min(initial=math.inf) <= max_distance:
            placed_in[int(distances.argmin())].append(item)
        else:
            left_over[item.cue].append(item.word)
    n_words = Counter(item.cue for item in order)
    return Matched(
        texts=[_text(placed, cues, n_words) for placed in placed_in],
        words=[_fit_cues(placed, *span) for placed, span in zip(placed_in, utterances, strict=True)],
        left_over=sorted(left_over.items()),
    )


def _uttered(word: WordRow, is_fitted: bool) -> UtteredWord:
    uttered = UtteredWord(word=word["word"], start=word["start"], end=word["end"], probability=word["probability"])
    if is_fitted:
        uttered["fitted"] = True
    return uttered


def _text(placed: Sequence[_CueWord], cues: Sequence[Cue], n_words: Mapping[int, int]) -> str:
    """The text of an utterance that got these words: of whole cues their own text, of parts their words."""
    pieces: list[str] = []
    for cue, run in groupby(placed, key=attrgetter("cue")):
        words = [item.written for item in run]
        text = " ".join((cues[cue]["text"] or "").split())
        pieces += [text] if text and len(words) == n_words[cue] else words
    return join_words(pieces)


def are_spread(words: Sequence[WordRow]) -> bool:
    """Whether at least three words are equally long, within 2 ms: nobody has timed each of them."""
    return len(words) > 2 and bool(np.ptp([word["end"] - word["start"] for word in words]) <= 0.002)


def are_word_times(words: Sequence[WordRow], start: float, end: float) -> bool:
    """Whether the words of a cue, in the order of its text, have times that can be theirs.

    They rise, most are no other word's, and none is more than `OUTSIDE_CUE` seconds outside of the cue.
    """
    starts = [word["start"] for word in words]
    return not words or (
        starts == sorted(starts)
        and len({*starts}) > len(starts) / 2
        and starts[0] >= start - OUTSIDE_CUE
        and max(word["end"] for word in words) <= end + OUTSIDE_CUE
    )


def _fit_cues(placed: Sequence[_CueWord], start: float, end: float) -> list[UtteredWord]:
    """The words of an utterance inside of it. If a word would lose much, those of its cue are scaled together."""
    spans = np.array([[item.word["start"], item.word["end"]] for item in placed]).reshape(-1, 2)
    of_cue = np.array([item.cue for item in placed])
    loses_much = np.diff(spans.clip(start, end))[:, 0] < CLIPPED_SHARE * np.diff(spans)[:, 0]
    for cue in {*of_cue[loses_much].tolist()}:
        own = spans[of_cue == cue]
        first = own.min()
        last = own.max()
        least = min(SCALED_SHARE * (last - first), end - start)
        begin = min(max(first, start), end - least)
        spans[of_cue == cue] = np.interp(own, [first, last], [begin, max(min(last, end), begin + least)])
    fitted = fit_spans([(first, last) for first, last in spans.tolist()], start, end)
    return [
        item.word
        if (item.word["start"], item.word["end"]) == (first, last)
        else item.word | {"start": first, "end": last, "fitted": True}
        for item, (first, last) in zip(placed, fitted, strict=True)
    ]


def shared_time(transcribed: Sequence[tuple[Sequence[Cue], Sequence[TimeSpan]]]) -> float:
    """The share of the time of cues, or of detected speech where that is shorter, that is in both.

    `transcribed` has the cues and the (start, end) of the utterances of each transcribed channel, in seconds of
    the same clock.
    """
    shared = 0
    totals = np.zeros(2)
    for cues, utterances in transcribed:
        spoken: list[TimeSpan] = []
        for cue in cues:
            if cue["words"]:
                spoken += [(word["start"], word["end"]) for word in cue["words"]]
            elif cue["text"]:
                spoken.append((cue["start"], cue["end"]))
        count = int(max((end for _, end in [*spoken, *utterances]), default=0.0) / FRAME) + 1
        text, speech = (touched_frames(count, spans, FRAME) for spans in (spoken, utterances))
        shared += int((text & speech).sum())
        totals += text.sum(), speech.sum()
    return float(shared / max(1.0, totals.min()))


def cues_within(cues: Sequence[Cue], offset: float, duration: float, last: bool = False) -> list[Cue]:
    """The part of a recording's cues that is in [offset, offset + duration), in seconds from `offset`.

    A word belongs to the side of a border that holds its midpoint, and so does the whole of a cue without word
    times; times are clipped to the border. `last`: this is the end of the recording, and what is beyond it
    belongs here too, with its times as they are, so that it is missed later on and reported. A channel that is
    silent here but has cues elsewhere keeps one empty cue: it was transcribed and is not to be recognised. A cue
    that only names the speaker of a channel belongs to every part.
    """
    end = math.inf if last else offset + duration

    def is_inside(item: Cue | WordRow) -> bool:
        return offset <= (item["start"] + item["end"]) / 2 < end

    def moved(time: float) -> float:
        return min(max(time, offset), end) - offset

    parts: list[Cue] = []
    everywhere: dict[str, Cue] = {}
    for cue in cues:
        is_turn = cue["text"] is None and not cue["mark"] and cue["channel"][0] != OPEN
        if is_turn or cue["text"] is not None:
            silent = cue.copy()
            silent["start"] = 0.0
            silent["end"] = duration
            silent["text"] = cue["text"] and ""
            silent["words"] = []
            silent["language"] = None
            everywhere[cue["channel"]] = silent
        words: list[WordRow] = []
        for word in cue["words"] or ():
            if is_inside(word):
                moved_word = word.copy()
                moved_word["start"] = moved(word["start"])
                moved_word["end"] = moved(word["end"])
                words.append(moved_word)
        part = cue.copy()
        part["words"] = words
        if words and len(words) < len(cue["words"]):
            part["start"] = words[0]["start"]
            part["end"] = max(word["end"] for word in words)
            part["text"] = join_words(word["word"] for word in words)
            parts.append(part)
        elif not is_turn and (words or (not cue["words"] and is_inside(cue))):
            part["start"] = moved(cue["start"])
            part["end"] = moved(cue["end"])
            parts.append(part)
    missing = everywhere.keys() - {cue["channel"] for cue in parts}
    return [*map(everywhere.__getitem__, sorted(missing)), *parts]
