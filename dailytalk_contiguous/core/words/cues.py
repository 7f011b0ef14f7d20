"""Cues of the user's own transcript: checks of the times of their words, the cues of a conversation, and the
utterances of detected speech to which the words belong.

No cue times agree with detected speech to the millisecond, so a word goes to the utterance that contains its
midpoint, else to the nearest within reach, else it is returned as unmatched: no word is lost silently. Where a cue
has no word times, its words share the detected speech under it by their letters; a rough guess, to be replaced by
forced alignment, but right about the utterance of each word.

Lines that people marked begin before the speech and end after it, by 0.3 s in calls that were measured, and the
words in them may be spread evenly. So the words of a cue that reaches beyond an utterance are scaled together: one
by one, those at its edges would be cut to nothing, and those outside put on top of each other.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from dailytalk_contiguous.core.records.conversation import Cue
from dailytalk_contiguous.core.records.schema import OPEN
from dailytalk_contiguous.core.spans import TimeSpan, touched_frames
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.core.words.word_times import fit_spans, join_words, spread_words, written_words

#: Seconds of a frame in which a transcript and detected speech are compared.
FRAME = 0.05


class Matched(NamedTuple):
    """The result of `match_words`: one item an utterance in `texts` and `words`.

    `unmatched` has (index of the cue, its words that are near no utterance), by rising index.
    """

    texts: list[str]
    words: list[list[Word]]
    unmatched: list[tuple[int, list[Word]]]


class _CueWord(NamedTuple):
    """Word number `number` of a cue, its written form there, and the seconds by which it is sorted."""

    time: float
    cue: int
    number: int
    word: Word
    written: str


def match_words(cues: Sequence[Cue], utterances: Sequence[TimeSpan], max_distance: float) -> Matched:
    """Give every word of one channel's cues to one of that channel's utterances.

    Args:
        cues: `core.records.conversation.Cue`s of one channel, in any order.
        utterances: (start, end) in seconds of the same clock, end > start, by rising start.
        max_distance: greatest distance in seconds of a word's midpoint from its utterance.

    Returns:
        For each utterance its text (that of the cue, where it holds all of the cue; else the words, joined) and
        its words, inside it, in order and apart; `fitted` is true for those whose times were changed, or are not
        of single words. Unmatched words keep their own times.
    """
    spans = np.asarray(utterances, dtype=np.float64).reshape(-1, 2)
    starts = spans[:, 0]
    ends = spans[:, 1]
    cue_words: list[_CueWord] = []
    for number, cue in enumerate(cues):
        cue_words += _words_of_cue(number, cue, utterances)
    by_utterance: list[list[_CueWord]] = [[] for _ in utterances]
    unmatched: defaultdict[int, list[Word]] = defaultdict(list)
    for item in sorted(cue_words, key=attrgetter("time", "cue", "number")):
        middle = item.word.middle
        distances = np.maximum(starts - middle, middle - ends).clip(0.0)
        if distances.min(initial=math.inf) <= max_distance:
            nearest = int(distances.argmin())
            by_utterance[nearest].append(item)
        else:
            unmatched[item.cue].append(item.word)
    n_words = Counter(item.cue for item in cue_words)
    texts: list[str] = []
    words: list[list[Word]] = []
    for items, (start, end) in zip(by_utterance, utterances, strict=True):
        texts.append(_text(items, cues, n_words))
        words.append(_fit_cues(items, start, end))
    return Matched(texts, words, sorted(unmatched.items()))


def _words_of_cue(number: int, cue: Cue, utterances: Sequence[TimeSpan]) -> list[_CueWord]:
    """Return the words of cue `number` with their times, which are guessed where it has none."""
    text = cue.text or ""
    has_times = bool(cue.words)
    if has_times:
        timed = sorted(cue.words, key=attrgetter("start"))
        written = [word.word for word in timed]
    else:
        timed = spread_words(text, cue.start, cue.end, utterances)
        written = written_words(text)
    if not has_times or are_spread(timed):  # these times say nothing of each word
        timed = [replace(word, fitted=True) for word in timed]
    items: list[_CueWord] = []
    for index, (word, spelled) in enumerate(zip(timed, written, strict=True)):
        # The guessed words of two cues that overlap must not be shuffled into each other: they stay in the
        # order of their cues, while times that were given decide for themselves.
        time = word.start if has_times else cue.start
        items.append(_CueWord(time, number, index, word, spelled))
    return items


def _text(items: Sequence[_CueWord], cues: Sequence[Cue], n_words: Mapping[int, int]) -> str:
    """Return the text of an utterance with these words: the text of whole cues, the words of parts of cues."""
    pieces: list[str] = []
    for cue, run in groupby(items, key=attrgetter("cue")):
        words = [item.written for item in run]
        is_whole = len(words) == n_words[cue]
        # The text of a cue may be long, and its words in many runs.
        text = " ".join((cues[cue].text or "").split()) if is_whole else ""
        pieces += [text] if text else words
    return join_words(pieces)


#: Seconds by which the lengths of words may differ that are called equal.
SAME_LENGTH = 0.002


def are_spread(words: Sequence[Word]) -> bool:
    """Whether at least three words are equally long, within 2 ms, so that nobody has timed each of them."""
    if len(words) < 3:
        return False
    lengths = [word.end - word.start for word in words]
    return bool(np.ptp(lengths) <= SAME_LENGTH)


#: Seconds by which the words of a cue may begin before it, or end after it: recognisers round both by themselves.
OUTSIDE_CUE = 1.0


def are_word_times(words: Sequence[Word], start: float, end: float) -> bool:
    """Whether the words of a cue, in the order of its text, have plausible times.

    Times have to rise, most must not be shared with another word, and none may be more than `OUTSIDE_CUE` seconds
    outside of the cue.
    """
    if not words:
        return True
    starts = [word.start for word in words]
    last_end = max(word.end for word in words)
    if starts != sorted(starts):
        return False
    if len(set(starts)) <= len(starts) / 2:
        return False
    return starts[0] >= start - OUTSIDE_CUE and last_end <= end + OUTSIDE_CUE


#: If each word of a cue keeps this share of its length inside the utterance, only the words at its edge are
#: clipped: an aligner's times differ by so little from detected speech, and those of the other words are right.
CLIPPED_SHARE = 0.8

#: Share of their length that the words of a cue keep at least when they are scaled, if the utterance has room.
SCALED_SHARE = 0.5


def _fit_cues(items: Sequence[_CueWord], start: float, end: float) -> list[Word]:
    """Fit words into their utterance. If a word would lose much, those of its cue are scaled together."""
    spans = np.array([item.word.span for item in items]).reshape(-1, 2)
    cues = np.array([item.cue for item in items])
    lengths = np.diff(spans)[:, 0]
    lengths_inside = np.diff(spans.clip(start, end))[:, 0]
    loses_much = lengths_inside < CLIPPED_SHARE * lengths
    order = np.argsort(cues, kind="stable")
    losing_cues = np.unique(cues[loses_much])
    firsts = np.searchsorted(cues[order], losing_cues)
    ends_of_cues = np.searchsorted(cues[order], losing_cues, side="right")
    for first_item, end_item in zip(firsts.tolist(), ends_of_cues.tolist(), strict=True):
        items_of_cue = order[first_item:end_item]
        cue_spans = spans[items_of_cue]
        first = cue_spans.min()
        last = cue_spans.max()
        least = min(SCALED_SHARE * (last - first), end - start)
        scaled_first = min(max(first, start), end - least)
        scaled_last = max(min(last, end), scaled_first + least)
        spans[items_of_cue] = np.interp(cue_spans, [first, last], [scaled_first, scaled_last])
    fitted = fit_spans([(first, last) for first, last in spans.tolist()], start, end)
    words: list[Word] = []
    for item, span in zip(items, fitted, strict=True):
        word = item.word
        if word.span != span:
            word = replace(word.moved_to(*span), fitted=True)
        words.append(word)
    return words


def spoken_spans(cues: Iterable[Cue]) -> list[TimeSpan]:
    """Return starts and ends of the words of cues; a cue's own where only its text has times."""
    spans: list[TimeSpan] = []
    for cue in cues:
        if cue.words:
            spans += [word.span for word in cue.words]
        elif cue.text:
            spans.append(cue.span)
    return spans


def shared_time(transcribed: Sequence[tuple[Sequence[TimeSpan], Sequence[TimeSpan]]]) -> float:
    """Return the share of the time of words, or of detected speech where that is shorter, that is in both.

    `transcribed` has the (start, end) of the words and of the utterances of each transcribed channel, in seconds
    of the same clock.
    """
    shared = 0
    totals = np.zeros(2)
    for spoken, utterances in transcribed:
        ends = [end for _, end in (*spoken, *utterances)]
        last_end = max([0.0, *ends])
        count = int(last_end / FRAME) + 1
        text = touched_frames(count, spoken, FRAME)
        speech = touched_frames(count, utterances, FRAME)
        shared += int((text & speech).sum())
        totals += text.sum(), speech.sum()
    return float(shared / max(1.0, totals.min()))


def cues_within(cues: Sequence[Cue], offset: float, duration: float, last: bool = False) -> list[Cue]:
    """Return the part of a recording's cues that is in [offset, offset + duration), in seconds from `offset`.

    A word belongs to the side of a border that holds its midpoint, and so does the whole of a cue without word
    times; times are clipped to the border. With `last` this is the end of the recording, and later cues belong
    here too, with their times as they are, so that they are missed later on and reported. A channel that is silent
    here but has cues elsewhere keeps one empty cue: it was transcribed and is not to be recognised. A cue that
    only names the speaker of a channel belongs to every part.
    """
    end = math.inf if last else offset + duration

    def is_inside(item: Cue | Word) -> bool:
        middle = (item.start + item.end) / 2
        return offset <= middle < end

    def moved(time: float) -> float:
        return min(max(time, offset), end) - offset

    parts: list[Cue] = []
    everywhere: dict[str, Cue] = {}
    for cue in cues:
        is_turn = cue.text is None and not cue.mark and cue.channel[0] != OPEN
        if is_turn or cue.text is not None:
            text = None if cue.text is None else ""
            silent = replace(cue, start=0.0, end=duration, text=text, words=[], language=None)
            everywhere[cue.channel] = silent
        words = [word.moved_to(moved(word.start), moved(word.end)) for word in cue.words if is_inside(word)]
        if words and len(words) < len(cue.words):
            last_end = max(word.end for word in words)
            text = join_words(word.word for word in words)
            parts.append(replace(cue, start=words[0].start, end=last_end, text=text, words=words))
            continue
        belongs_here = bool(words) if cue.words else is_inside(cue)
        if belongs_here and not is_turn:
            parts.append(replace(cue, start=moved(cue.start), end=moved(cue.end), words=words))
    missing = everywhere.keys() - {cue.channel for cue in parts}
    silences = [everywhere[channel] for channel in sorted(missing)]
    return [*silences, *parts]


def later_cue(cue: Cue, seconds: float, stretch: float = 1.0) -> Cue:
    """Move a cue with its words to a clock that shows `stretch` times as much, and so many seconds more."""

    def later(time: float) -> float:
        return time * stretch + seconds

    words = [word.moved_to(later(word.start), later(word.end)) for word in cue.words]
    return replace(cue, start=later(cue.start), end=later(cue.end), words=words)
