"""Words and their times: packed into the recogniser's windows and back, matched with a text that is known, spread
over speech where only the text is, and placed in a trainer's frames.
"""

import math
import re
import unicodedata
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import accumulate, groupby, pairwise
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from dailytalk_contiguous.core.spans import merge_gaps, true_runs

# Packing several utterances into one window of the recogniser, and giving each word back to its utterance.
#
# Whisper always encodes 30 s, and on a CPU that is most of its time, whether the window holds a second of speech
# or twenty-nine. So utterances of one speaker are packed into windows in their order, with a
# little silence between them. A short utterance gets its context for free.


#: Seconds that a window may hold: under Whisper's 30, whose last second it tends to leave out.
WINDOW_SECONDS = 29.0

#: Seconds of silence between utterances: enough for a recogniser to hear two sentences and not one.
GAP_SECONDS = 0.5

#: Seconds. No word is shorter: some consumers drop a word that has no length.
SHORTEST_WORD = 0.001


class Placed(NamedTuple):
    """Utterance number `utterance` of a batch, which is at `start`..`end` seconds of its window."""

    utterance: int
    start: float
    end: float


class Word(NamedTuple):
    """A word as a recogniser gives it, spaces and all, with times in seconds and its probability in [0, 1].

    None where a recogniser gives none.
    """

    text: str
    start: float
    end: float
    probability: float | None

    def row(self, offset: float = 0.0) -> dict[str, Any]:
        """As a row has it (`core.utterance.WORD`), so many seconds later."""
        times = {"start": self.start + offset, "end": self.end + offset}
        return {"word": self.text.strip(), **times, "probability": self.probability}


def pack_windows(seconds: Sequence[float], speakers: Sequence[Hashable]) -> list[list[Placed]]:
    """Place utterances in windows: one speaker a window, in order, each utterance in exactly one.

    Args:
        seconds: length of each utterance. One that is longer than `WINDOW_SECONDS` gets a separate window.
        speakers: of each utterance; equal values may share a window.
    """
    open_windows: dict[Hashable, list[Placed]] = {}
    windows: list[list[Placed]] = []
    for index, (length, speaker) in enumerate(zip(seconds, speakers, strict=True)):
        current = open_windows.get(speaker)
        if current is None or current[-1].end + GAP_SECONDS + length > WINDOW_SECONDS:
            current = open_windows[speaker] = []
            windows.append(current)
        start = current[-1].end + GAP_SECONDS if current else 0.0
        current.append(Placed(index, start, start + length))
    return windows


def unpack(words: Sequence[Word], window: Sequence[Placed]) -> dict[int, list[Word]]:
    """Give every word to the utterance that holds its midpoint, or else to the nearest one.

    Returns the words of each utterance of the window, by its index, in seconds from the utterance's start,
    sorted, inside it, without overlap and of positive length.
    """
    words_of: dict[int, list[Word]] = {placed.utterance: [] for placed in window}
    for word in words:
        middle = (word.start + word.end) / 2
        nearest = min(window, key=lambda placed: max(placed.start - middle, middle - placed.end, 0.0))
        words_of[nearest.utterance].append(
            word._replace(start=word.start - nearest.start, end=word.end - nearest.start)
        )
    lengths = {placed.utterance: placed.end - placed.start for placed in window}
    return {index: fit(assigned, lengths[index]) for index, assigned in words_of.items()}


def fit(words: Sequence[Word], length: float) -> list[Word]:
    """Words in order of start, pushed into 0..`length` seconds as `fit_spans` does."""
    ordered = sorted(words, key=lambda word: (word.start, word.end))
    spans = fit_spans([(word.start, word.end) for word in ordered], 0.0, length)
    return [word._replace(start=start, end=end) for word, (start, end) in zip(ordered, spans, strict=True)]


# Comparing recognised with expected words, to check a synthesiser.


def compare_words(expected: Sequence[str], heard: Sequence[str]) -> tuple[float, bool]:
    """The word error rate, and whether the last expected word is missing.

    The rate is insertions, deletions and substitutions over the number of expected words (Levenshtein, unit
    costs): 0 for nothing expected and nothing recognised, and the number of recognised words where none was
    expected. The last word is missing if leaving it out accounts for one of these errors, not if another word
    is in its place.

    Words are compared as they are: bring both to one spelling first.
    """
    row = [*range(len(heard) + 1)]
    costs = [row[-1]]
    for number, word in enumerate(expected, 1):
        above, row = row, [number]
        for column, other in enumerate(heard):
            row.append(min(above[column] + (word != other), above[column + 1] + 1, row[-1] + 1))
        costs.append(row[-1])
    return costs[-1] / max(1, len(expected)), bool(expected) and costs[-1] == costs[-2] + 1


# Matching the words of a human transcript with the utterances that speech activity found.
#
# No cue times agree with detected speech to the millisecond, so a word goes to the utterance that contains its
# midpoint, else to the nearest within reach, else it is returned as left over: no word is lost silently. Where a
# cue has no word times, its words share the detected speech under it by their letters; a rough guess, to be
# replaced by forced alignment, but right about which utterance says what.
#
# Lines that people marked begin before the speech and end after it, by 0.3 s in calls that were measured, and the
# words in them may be spread evenly. So the words of a cue that reaches beyond an utterance are scaled together:
# one by one, those at its edges would be cut to nothing, and those outside be put on top of each other.


#: A `core.schema.CUE` and a `core.utterance.WORD` as plain dicts.
Cue = dict[str, Any]
WordRow = dict[str, Any]
TimeSpan = tuple[float, float]
SpanArray = npt.NDArray[np.float64]


#: Seconds of a frame in which a transcript and detected speech are compared, and by how many a transcript may be
#: early or late for it to be noticed.
FRAME, FURTHEST = 0.05, 60.0

#: Seconds by which the words of a cue may begin before it, or end after it: recognisers round both by themselves.
OUTSIDE_CUE = 1.0

#: If each word of a cue keeps this share of its length inside the utterance, only the words at its edge are
#: clipped: an aligner's times differ by so little from detected speech, and those of the other words are right.
CLIPPED_SHARE = 0.8

#: Share of their length that the words of a cue keep at least when they are scaled, if the utterance has room.
SCALED_SHARE = 0.5

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
    """The result of `match_words`: one item an utterance in `texts` and `words`.

    `left_over` has (index of the cue, its words that are near no utterance), by rising index.
    """

    texts: list[str]
    words: list[list[WordRow]]
    left_over: list[tuple[int, list[WordRow]]]


@dataclass(frozen=True)
class _Placed:
    """A word with the cue and the place in it that it came from."""

    cue: int
    index: int
    word: WordRow


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
    placed_in: list[list[_Placed]] = [[] for _ in utterances]
    left_over: dict[int, list[WordRow]] = {}
    written: list[list[str]] = []
    order: list[tuple[float, _Placed]] = []
    for number, cue in enumerate(cues):
        words = sorted(cue["words"] or [], key=lambda word: float(word["start"]))
        if not words:
            words = spread_words(cue["text"] or "", cue["start"], cue["end"], utterances)
        if not cue["words"] or are_spread(words):  # these times say nothing of each word
            words = [word | {"fitted": True} for word in words]
        spelled = [word["word"] for word in words]
        written.append(spelled if cue["words"] else as_written(cue["text"] or "", spelled))
        for index, word in enumerate(words):
            # The guessed words of two cues that overlap must not be shuffled into each other: they stay in the
            # order of their cues, while times that were given decide for themselves.
            order.append((word["start"] if cue["words"] else cue["start"], _Placed(number, index, word)))
    for _, placed in sorted(order, key=lambda item: (item[0], item[1].cue, item[1].index)):
        chosen = nearest(spans, (placed.word["start"] + placed.word["end"]) / 2, max_distance)
        if chosen is None:
            left_over.setdefault(placed.cue, []).append(placed.word)
        else:
            placed_in[chosen].append(placed)
    return Matched(
        texts=[_text(placed, cues, written) for placed in placed_in],
        words=[_fit_cues(placed, start, end) for placed, (start, end) in zip(placed_in, utterances, strict=True)],
        left_over=sorted(left_over.items()),
    )


def are_spread(words: Sequence[WordRow]) -> bool:
    """Whether words follow each other at equal steps, or at steps by their letters: nobody has timed each of them.

    At least three words; steps within 2 ms of each other.
    """
    lengths = np.array([word["end"] - word["start"] for word in words])
    letters = np.array([max(1, sum(map(str.isalnum, word["word"]))) for word in words])
    return len(words) > 2 and any(
        np.ptp(lengths / units) * units.max() <= 0.002 for units in (np.ones(len(words)), letters)
    )


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


def _fit_cues(placed: Sequence[_Placed], start: float, end: float) -> list[WordRow]:
    """The words of an utterance inside of it; those of a cue that reaches beyond it are scaled together."""
    words = [item.word for item in placed]
    hulls: dict[int, TimeSpan] = {}
    for item in placed:
        first, last = hulls.get(item.cue, (math.inf, -math.inf))
        hulls[item.cue] = min(first, item.word["start"]), max(last, item.word["end"])
    cues = merge_gaps(sorted(hulls.values()), -SHORTEST_WORD)  # those that overlap have one scale
    reaching = _reaching(cues, words, start, end)
    targets = _targets(reaching, cues, start, end)
    if targets is None:  # the cues beside them leave no room: all of them make room together
        reaching = [(cues[0][0], cues[-1][1])]
        targets = _targets(reaching, reaching, start, end)
    scaled = []
    for word in words:
        for (first, last), (begin, until) in zip(reaching, targets or (), strict=True):
            if first <= word["start"] and word["end"] <= last:
                scale = (until - begin) / (last - first) if last > first else 1.0
                word = {**word, **{edge: begin + scale * (word[edge] - first) for edge in ("start", "end")}}
                break
        scaled.append(word)
    return [
        fitted if (fitted["start"], fitted["end"]) == (word["start"], word["end"]) else fitted | {"fitted": True}
        for word, fitted in zip(words, fit_words(scaled, start, end), strict=True)
    ]


def _reaching(cues: Sequence[TimeSpan], words: Sequence[WordRow], start: float, end: float) -> list[TimeSpan]:
    """From where to where the cues are that reach before an utterance, and those that reach after it.

    Without those of which no word loses much at the edge.
    """
    early = [cue for cue in cues if cue[0] < start]
    late = [cue for cue in cues if cue[1] > end]
    sides = [cues] if {*early} & {*late} else [early, late]
    spans = [(side[0][0], side[-1][1]) for side in sides if side]

    def loses_much(word: WordRow) -> bool:
        kept = min(word["end"], end) - max(word["start"], start)
        return bool(kept < CLIPPED_SHARE * (word["end"] - word["start"]))

    return [
        (first, last)
        for first, last in spans
        if any(loses_much(word) for word in words if first <= word["start"] and word["end"] <= last)
    ]


def _targets(
    reaching: Sequence[TimeSpan], cues: Sequence[TimeSpan], start: float, end: float
) -> list[TimeSpan] | None:
    """Where in the utterance what reaches beyond it goes: what is inside of it, and if that is less than
    `SCALED_SHARE`, what is free beside it. None where too little is free between other cues.
    """
    targets: list[TimeSpan] = []
    for first, last in reaching:
        low = (
            start if first < start else max([start, *(until for _, until in (*targets, *cues) if until <= first)])
        )
        high = end if last > end else min([end, *(begin for begin, _ in cues if begin >= last)])
        least = SCALED_SHARE * (last - first)
        begin, until = (min(max(edge, low), high) for edge in (first, last))
        until = min(max(until, begin + least), high)
        begin = max(min(begin, until - least), low)
        if len(cues) > 1 and until - begin < least - FRAME:
            return None
        targets.append((begin, until))
    return targets


@dataclass(frozen=True)
class Shift:
    """By how many seconds a transcript is late (early: negative), estimated from speech activity.

    `agreement` in [0, 1] is the Dice coefficient of the time that it fills and that of detected speech as it is,
    `best` that without the shift. `common` is the share of the shorter of both times that is in the other, too: it
    is high even where only some of the speech has text, or lines last until the next one.
    """

    late: float
    agreement: float
    best: float
    common: float


def find_shift(transcribed: Sequence[tuple[Sequence[Cue], Sequence[TimeSpan]]]) -> Shift:
    """The constant shift, at most `FURTHEST`, after which cues and the utterances of their channels agree best.

    `transcribed` has the cues and the (start, end) of the utterances of each transcribed channel, in seconds of
    the same clock.
    """
    from scipy.signal import correlate  # here: it takes a second, which commands that read no sound can spare

    channels = []
    for cues, utterances in transcribed:
        spoken = [(w["start"], w["end"]) for cue in cues for w in cue["words"] or ([cue] if cue["text"] else [])]
        channels.append((spoken, list(utterances)))
    ends = [end for spans in channels for group in spans for _, end in group]
    if not ends:
        return Shift(0.0, 0.0, 0.0, 0.0)
    count = int(max(ends) / FRAME) + 1
    furthest = min(round(FURTHEST / FRAME), count - 1)
    totals, shared = np.zeros(2), np.zeros(2 * furthest + 1)
    for spoken, utterances in channels:
        text, speech = np.zeros((2, count))  # 1 in each frame that a span touches
        for frames, spans in ((text, spoken), (speech, utterances)):
            for start, end in spans:
                frames[max(0, int(start / FRAME)) : max(0, int(end / FRAME) + 1)] = 1.0
        totals += text.sum(), speech.sum()
        shared += correlate(text, speech, method="fft")[count - 1 - furthest : count + furthest]
    best_index = int(np.argmax(shared))
    agreement, best = (float(np.clip(2 * shared[n] / totals.sum(), 0, 1)) for n in (furthest, best_index))
    common = float(np.clip(shared[furthest] / max(1.0, totals.min()), 0, 1))
    return Shift((best_index - furthest) * FRAME, agreement, best, common)


def nearest(spans: SpanArray, time: float, max_distance: float) -> int | None:
    """Index of the span, of (n, 2) in seconds, that holds `time`, else of the nearest; the earlier on ties.

    None where none is within `max_distance` seconds.
    """
    if not len(spans):
        return None
    distances = np.maximum(np.maximum(spans[:, 0] - time, time - spans[:, 1]), 0.0)
    chosen = int(np.argmin(distances))
    return chosen if distances[chosen] <= max_distance else None


def spread_words(text: str, start: float, end: float, spans: Iterable[TimeSpan]) -> list[WordRow]:
    """Share the speech that a cue covers among the words of its text, in proportion to their letters.

    The cue's own time counts where it covers none of `spans` ((start, end) in seconds). No word is across two
    of them: it goes to the one that holds its midpoint. Letters and digits count; a word has at least one.
    """
    words = split_words(text)
    # Those that touch stay apart: they are two utterances.
    parts = _inside(merge_gaps(sorted(spans), -SHORTEST_WORD), start, end) or [(start, end)]
    letters = [max(1, sum(map(str.isalnum, word))) for word in words]
    ends = np.cumsum([part_end - part_start for part_start, part_end in parts])
    borders = ends[-1] * np.cumsum([0, *letters]) / max(1, sum(letters))
    spread: list[WordRow] = []
    for word, (first, last) in zip(words, pairwise(borders.tolist()), strict=True):
        number = min(int(np.searchsorted(ends, (first + last) / 2, "right")), len(parts) - 1)
        part_start, part_end = parts[number]
        shift = part_end - float(ends[number])
        times = [min(max(edge + shift, part_start), part_end) for edge in (first, last)]
        spread.append({"word": word, "start": times[0], "end": times[1], "probability": None})
    return spread


def fit_words(words: Sequence[WordRow], start: float, end: float) -> list[WordRow]:
    """Words in their order, clipped into [start, end] seconds as `fit_spans` does."""
    spans = fit_spans([(word["start"], word["end"]) for word in words], start, end)
    return [{**word, "start": first, "end": last} for word, (first, last) in zip(words, spans, strict=True)]


def fit_spans(spans: Sequence[TimeSpan], start: float, end: float) -> list[TimeSpan]:
    """Clip spans into [start, end] seconds, in their order: none overlaps the next, none is empty.

    Where two overlap, the earlier one ends where the later one begins. Those that are wholly outside move in at
    their edge and share the room that is free there. Every span keeps `SHORTEST_WORD`, or an equal share of the
    whole if that is too short for it.
    """
    if not spans:
        return []
    shortest = min(SHORTEST_WORD, (end - start) / len(spans))
    moved = _moved_inside(spans, start, end)
    starts: list[float] = []
    for index, (first, _) in enumerate(moved):
        earliest = starts[-1] + shortest if starts else start
        starts.append(min(max(first, earliest), end - (len(spans) - index) * shortest))
    return [
        (first, min(max(last, first + shortest), limit))
        for first, (_, last), limit in zip(starts, moved, [*starts[1:], end], strict=True)
    ]


def split_words(text: str) -> list[str]:
    """The words of a text: split at whitespace, and between the characters of Japanese and Chinese.

    Punctuation by itself stays with the word before it (or after it, at the start). No word holds a space.

    >>> split_words("- Well ... 100 % yes !")
    ['-Well...', '100%', 'yes!']
    """
    words: list[str] = []
    lead = ""
    for piece in text.split():
        for token in _BETWEEN_CHARACTERS.split(piece):
            if any(map(str.isalnum, token)):
                words.append(lead + token)
                lead = ""
            elif token and words:
                words[-1] += token
            elif token:
                lead += token
    return words or ([lead] if lead else [])


def as_written(text: str, words: Sequence[str]) -> list[str]:
    """Words of `split_words` with the spaces that their text has inside of them; as they are in another text.

    >>> as_written("Well ... yes !", ["Well...", "yes!"])
    ['Well ...', 'yes !']
    """
    if "".join(words) != "".join(text.split()):
        return [*words]
    places = [place for place, letter in enumerate(text) if not letter.isspace()]
    ends = accumulate(map(len, words), initial=0)
    spans = ((places[first], places[last - 1] + 1) for first, last in pairwise(ends))
    return [" ".join(text[start:end].split()) for start, end in spans]


def join_words(words: Iterable[str]) -> str:
    """Words as a text: with spaces between them, except inside Japanese and Chinese."""
    return _CJK_SPACE.sub("", " ".join(words))


def _moved_inside(spans: Sequence[TimeSpan], start: float, end: float) -> list[TimeSpan]:
    """Clip spans to [start, end]; those wholly outside share the room before the first, after the last inside."""
    edges = np.array(spans, np.float64).reshape(-1, 2)
    before = edges[:, 1] <= start
    after = (edges[:, 0] >= end) & ~before
    clipped = edges.clip(start, end)
    lengths = np.maximum(SHORTEST_WORD, edges[:, 1] - edges[:, 0])
    inside = clipped[~before & ~after]
    if len(inside):
        room_before, room_after = inside[:, 0].min() - start, end - inside[:, 1].max()
    else:
        room_before = (end - start) * lengths[before].sum() / max(lengths.sum(), SHORTEST_WORD)
        room_after = end - start - room_before
    for group, room in ((before, room_before), (after, room_after)):
        scaled = lengths[group] * min(1.0, room / max(lengths[group].sum(), SHORTEST_WORD))
        first = start if group is before else end - scaled.sum()
        clipped[group, 1] = first + np.cumsum(scaled)
        clipped[group, 0] = clipped[group, 1] - scaled
    return [(first, last) for first, last in clipped.tolist()]


def _text(placed: Sequence[_Placed], cues: Sequence[Cue], written: Sequence[Sequence[str]]) -> str:
    """The text of an utterance that got these words: of whole cues their own text, of parts their words."""
    pieces: list[str] = []
    for cue, run in groupby(placed, key=attrgetter("cue")):
        words = [written[cue][item.index] for item in run]
        text = " ".join((cues[cue]["text"] or "").split())
        pieces += [text] if text and len(words) == len(written[cue]) else words
    return join_words(pieces)


# Word times of speech whose text is known, where no engine gives them.
#
# The words of the text stay, and only their times are sought. `by_edit_distance` takes the times of a recogniser
# that recognised about the same; `by_proportion` needs no recogniser and spreads the words over the sound by how
# long their letters should take. Both promise one word per word of the text, in order, of positive length, inside
# the audio, without overlap.


#: Share of the text's words that must be recognised as written, or the recogniser's times are not used. Half:
#: below that, most words would be placed by proportion anyway, and a few chance matches ("the", "a") would pull
#: them about.
MIN_MATCHED = 0.5

#: Seconds. A longer gap is a pause, which no word straddles; a shorter one may be the closure of a stop consonant
#: (50-120 ms, see `core.spans`).
PAUSE_SECONDS = 0.15

#: Seconds that an unrecognised word needs at least; where its neighbours leave less, they give of theirs.
ROOM_SECONDS = 0.06

#: Seconds of a frame of synthesised speech; dB under the loud ones (their 95th percentile) at which one still
#: sounds: that keeps weak fricatives, which are 20-30 dB under vowels, and leaves out room tone. Seconds under
#: which a sound is a click.
VOICED_FRAME, BELOW_LOUD_DB, SHORTEST_SPAN = 0.01, 35.0, 0.02

#: Relative lengths of the letters of a word. English vowels take 1.5 to 2 times as long as consonants, liquids and
#: glides less (means of Crystal and House 1988, J. Acoust. Soc. Am. 83:1553; of the order, not to the digit). A
#: digit is spoken as a short word ("five", "seven": three to five sounds).
VOWEL, SECOND_VOWEL, CONSONANT, GLIDE, DIGIT, SIGN = 1.6, 0.6, 1.0, 0.8, 4.5, 4.0

#: Added once a word, so that "a" is not a third of "the".
WORD_OVERHEAD = 0.6

#: The last word before a pause is lengthened: by about a third of its rhyme (Wightman et al. 1992, J. Acoust. Soc.
#: Am. 91:1707).
FINAL_LENGTHENING = 1.3

_VOWELS = frozenset("aeiouy")
_GLIDES = frozenset("hjlrw")
_DIGRAPHS = frozenset({"th", "sh", "ch", "ck", "ng", "ph", "wh", "gh", "kn", "wr"})
_SPOKEN_SIGNS = frozenset("&%@#*+=$€£¥°")
_PAUSE_MARKS = frozenset(".,!?;:…—–。！？、，؟۔।")


def normalise(word: str) -> str:
    """A word as it is compared: case folded, accents and everything except letters and digits removed.

    >>> normalise(" “Isn’t")
    'isnt'
    """
    return "".join(letter for letter in unicodedata.normalize("NFKD", word.casefold()) if letter.isalnum())


def sound_length(word: str) -> float:
    """How long a word takes to say, in units of one consonant; positive for any word.

    A second vowel letter in a row ("ea"), the second letter of a digraph ("th"), a doubled consonant and a final
    silent "e" add little or nothing.
    A letter outside ASCII counts as a consonant where its script has capitals (Cyrillic, Greek), because it is a
    sound; otherwise (Han, kana, Arabic) as a vowel and a consonant, because it may be a syllable.
    """
    letters = unicodedata.normalize("NFKD", word.casefold())
    letters = "".join(letter for letter in letters if letter.isalnum() or letter in _SPOKEN_SIGNS)
    if len(letters) > 2 and letters.endswith("e") and letters[-2] not in _VOWELS:
        letters = letters[:-1]
    before = ""
    length = WORD_OVERHEAD
    for letter in letters:
        length += _letter_length(letter, before)
        before = letter
    return length


def _letter_length(letter: str, before: str) -> float:
    if letter in _SPOKEN_SIGNS:
        return SIGN
    if letter.isdigit():
        return DIGIT
    if not letter.isascii():
        return VOWEL + CONSONANT if letter.isalpha() and letter.upper() == letter.lower() else CONSONANT
    if letter in _VOWELS:
        return SECOND_VOWEL if before in _VOWELS else VOWEL
    if letter == before or before + letter in _DIGRAPHS:
        return 0.0
    return GLIDE if letter in _GLIDES else CONSONANT


def voiced_spans(samples: NDArray[np.float32], sample_rate: int) -> list[TimeSpan]:
    """Where there is sound in clean, synthesised speech (mono in [-1, 1]): spans in seconds, in order.

    Empty for silence (nothing above -80 dBFS). For recorded speech use `core.spans.speech_spans`.
    """
    length = max(1, round(VOICED_FRAME * sample_rate))
    n_frames = -(-len(samples) // length)
    if n_frames == 0:
        return []
    padded = np.zeros(n_frames * length, np.float64)
    padded[: len(samples)] = samples
    level = 10 * np.log10(np.mean(padded.reshape(n_frames, length) ** 2, axis=1) + 1e-20)
    loud = float(np.percentile(level[level > level.max() - 60], 95))
    sounds = level > max(loud - BELOW_LOUD_DB, -80.0)
    total = len(samples) / sample_rate
    candidates = [
        (first * length / sample_rate, min(last * length / sample_rate, total))
        for first, last in true_runs(sounds).tolist()
    ]
    return [(start, end) for start, end in candidates if end - start >= SHORTEST_SPAN]


def within_sound(words: Sequence[Word], spans: Sequence[TimeSpan]) -> list[Word]:
    """Words without the silence at their edges; `spans` are where there is sound (`voiced_spans`).

    A word that lies in silence as a whole keeps its times.
    """
    tightened = []
    for word in words:
        inside = _inside(spans, word.start, word.end)
        tightened.append(word._replace(start=inside[0][0], end=inside[-1][1]) if inside else word)
    return tightened


def by_proportion(text_words: Sequence[str], spans: Sequence[TimeSpan], duration: float) -> list[Word]:
    """Lay words into the sound by the length of their letters (`sound_length`); their probability is 0.

    First all words are laid along the sound without its pauses. A word that would straddle a pause goes to the
    side where more of it is, unless a mark (comma, full stop) one word away says where the speaker paused; then
    the words between two pauses fill the sound between them.

    Args:
        text_words: the text's words, with their marks.
        spans: where there is sound (`voiced_spans`), in seconds; gaps up to `PAUSE_SECONDS` are closed. None: the
            whole of the audio.
        duration: seconds of the audio.
    """
    if not text_words:
        return []
    regions = _inside(merge_gaps(sorted(spans), PAUSE_SECONDS), 0.0, duration) or [(0.0, duration)]
    return _fitted_words(text_words, _lay(text_words, regions), [0.0] * len(text_words), duration)


def share_spans(text_words: Sequence[str], spans: Mapping[int, TimeSpan], duration: float) -> list[Word]:
    """The words of a text of which some have a span in seconds, by their index; none without any span.

    A word without one shares that of the word before it, and those before the first share its span, by
    `sound_length`.
    """
    if not spans:
        return []
    heads = sorted(spans)
    times: list[TimeSpan] = []
    for head, following in zip([0, *heads[1:]], [*heads[1:], len(text_words)], strict=True):
        start, end = spans[head] if head in spans else spans[heads[0]]
        borders = np.cumsum([0.0, *(sound_length(word) for word in text_words[head:following])])
        times += pairwise((start + (end - start) * borders / borders[-1]).tolist())
    return fit([Word(word, *span, 1.0) for word, span in zip(text_words, times, strict=True)], duration)


def by_edit_distance(
    text_words: Sequence[str], heard: Sequence[Word], duration: float, spans: Sequence[TimeSpan] = ()
) -> list[Word] | None:
    """Return the times of a text's words by those of the words that a recogniser recognised.

    Words recognised as written (`normalise`) take the recognised times and probability. Those between them share,
    by `sound_length`, the room that the recogniser gave to its wrong words there, or else the room between their
    neighbours; their probability is 0.

    Args:
        text_words: the text's words, with their marks.
        heard: the recogniser's words, in seconds of the audio.
        duration: seconds of the audio.
        spans: where there is sound, if known (`voiced_spans`): unrecognised words are kept out of pauses.

    Returns one word per word of the text, or None when too little matches: use `by_proportion` then.
    """
    words = sorted(heard, key=lambda word: (word.start, word.end))
    # A mark by itself has no letters, and equals nothing: it is its number, of which no other has the like.
    written = [normalise(word) or str(-1 - n) for n, word in enumerate(text_words)]
    spoken = [normalise(word.text) or (n,) for n, word in enumerate(words)]
    blocks = SequenceMatcher(None, written, spoken, autojunk=False).get_matching_blocks()
    pairs = [(block.a + n, block.b + n) for block in blocks for n in range(block.size)]
    if not pairs or len(pairs) < MIN_MATCHED * len(text_words):
        return None
    times: list[TimeSpan] = [(0.0, 0.0)] * len(text_words)
    probabilities: list[float | None] = [0.0] * len(text_words)
    for index, heard_index in pairs:
        times[index] = (words[heard_index].start, words[heard_index].end)
        probabilities[index] = words[heard_index].probability
    anchors = [(-1, -1), *pairs, (len(text_words), len(words))]
    for (index, heard_index), (next_place, next_other) in pairwise(anchors):
        if next_place - index == 1:
            continue
        # Words that were not recognised, between two matched ones or an edge of the audio.
        first, last = index + 1, next_place
        start = times[first - 1][1] if first else 0.0
        end = times[last][0] if last < len(times) else duration
        regions = _inside([(word.start, word.end) for word in words[heard_index + 1 : next_other]], start, end)
        regions = regions or _inside(spans, start, end) or ([] if spans else [(start, end)])
        if sum(stop - begin for begin, stop in regions) < ROOM_SECONDS * (last - first):
            # The neighbours swallowed them: share with them.
            first, last = max(0, first - 1), min(len(times), last + 1)
            start = times[first][0] if first <= index else start
            end = times[last - 1][1] if last > next_place else end
            regions = [(start, max(start, end))]
        times[first:last] = _lay(text_words[first:last], merge_gaps(sorted(regions), PAUSE_SECONDS))
    return _fitted_words(text_words, times, probabilities, duration)


def _lay(words: Sequence[str], regions: Sequence[TimeSpan]) -> list[TimeSpan]:
    """Spans of words that fill regions, which are in order and are parted by pauses; see `by_proportion`."""
    lengths = np.array([sound_length(word) for word in words])
    sound = np.array([end - start for start, end in regions])
    if len(regions) > 1:  # the words before a written pause are drawn out, as those before a real one
        lengths *= [FINAL_LENGTHENING if _pauses_after(word) else 1.0 for word in words]
    borders = np.concatenate(([0.0], np.cumsum(lengths))) / lengths.sum()
    pauses = np.cumsum(sound)[:-1] / sound.sum()
    cuts = [0, *(_cut(words, borders, float(pause)) for pause in pauses), len(words)]
    times: list[TimeSpan] = []
    for (first, last), (start, end) in zip(pairwise(np.maximum.accumulate(cuts).tolist()), regions, strict=True):
        if last > first:
            inner = np.concatenate(([0.0], np.cumsum(lengths[first:last]))) / lengths[first:last].sum()
            times += pairwise((start + inner * (end - start)).tolist())
    return times


def _cut(words: Sequence[str], borders: NDArray[np.float64], pause: float) -> int:
    """How many words come before a pause that is at `pause` of the sound, in [0, 1]."""
    nearest = int(np.argmin(np.abs(borders - pause)))
    marked = [
        index
        for index in (nearest, nearest - 1, nearest + 1)
        if 0 < index < len(words) and _pauses_after(words[index - 1])
    ]
    return min(marked, key=lambda index: abs(borders[index] - pause)) if marked else nearest


def _pauses_after(word: str) -> bool:
    return not _PAUSE_MARKS.isdisjoint(word.rstrip("\"'”’»)]}」』 ")[-1:])


def _inside(spans: Sequence[TimeSpan], start: float, end: float) -> list[TimeSpan]:
    clipped = ((max(first, start), min(last, end)) for first, last in spans)
    return [(first, last) for first, last in clipped if last > first]


def _fitted_words(
    words: Sequence[str], times: Sequence[TimeSpan], probabilities: Sequence[float | None], duration: float
) -> list[Word]:
    """The text's words with times made sound: sorted, of positive length, inside the audio, without overlap."""
    spans = fit_spans(times, 0.0, duration)
    return [Word(word, *span, sure) for word, span, sure in zip(words, spans, probabilities, strict=True)]


# Moving the starts of words so that Moshi's trainer keeps them.
#
# moshi-finetune gives every frame of Mimi (80 ms) one token of text. The tokens of a word fill the frames from its
# first one on; where the next word begins, what is left of them is dropped. So of two words that begin in one
# frame the first is lost, and a word of three tokens with one frame to the next one is cut. A start that moves by
# one frame at most, inside its utterance, repairs nearly all of it, which is below the resolution of a codec of 80
# ms a frame.


#: Frames of Mimi in a second.
FRAME_RATE = 12.5

#: Seconds by which a start may move: one frame.
MOST_MOVED = 1 / FRAME_RATE

#: Seconds that a start keeps from the edge of its frame. It survives times that are written to six digits, and the
#: rounding of a trainer that takes the start of its window from them.
_INSIDE = 1e-6

#: Seconds that a word has at least after its start moved: the trainer drops those that have none.
_SHORTEST = 0.02


class SpokenWord(NamedTuple):
    """A word of one speaker, in seconds; `tokens` that it has; its start may move in [`first`, `last`)."""

    start: float
    end: float
    tokens: int
    first: float
    last: float


class FrameTimes(NamedTuple):
    """Start and end of each word in seconds; how many moved to another frame, are lost, and are cut."""

    times: list[tuple[float, float]]
    moved: int
    lost: int
    cut: int


class _Choice(NamedTuple):
    """A frame in which a word may begin, and the start there."""

    frame: int
    start: float
    moved: float


def frame_of(start: float) -> int:
    """The frame in which a word that starts at these seconds begins."""
    return math.floor(start * FRAME_RATE + _INSIDE)


def place_words(words: Sequence[SpokenWord]) -> FrameTimes:
    """The starts with which the fewest words are lost, then the fewest cut, then the least is moved.

    Args:
        words: of one speaker, by start.

    Words stay in order. One that neither has to move nor is in another's way keeps its times; where a word begins
    earlier, the one before it ends there.
    """
    if not words:
        return FrameTimes([], 0, 0, 0)
    # The best way to each choice of a word: lost, cut, seconds moved, the choice, and the way to the word before.
    ways: list[tuple[int, int, float, _Choice, Any]] = [
        (0, 0, choice.moved, choice, None) for choice in _choices(words[0])
    ]
    for before, word in pairwise(words):
        further = []
        for choice in _choices(word):
            reaching = []
            for way in ways:
                # The word before is lost where this one begins in its frame, and cut without room for its tokens.
                lost, cut, moved, earlier, _ = way
                room = choice.frame - earlier.frame
                if choice.start >= earlier.start:
                    costs = lost + (room <= 0), cut + (0 < room < before.tokens), moved + choice.moved
                    reaching.append((*costs, choice, way))
            further += [min(reaching, key=itemgetter(0, 1, 2))] if reaching else []
        ways = further
    way = min(ways, key=itemgetter(0, 1, 2))
    lost, cut = way[:2]
    chosen: list[_Choice] = []
    while way:
        chosen.insert(0, way[3])
        way = way[4]
    n_moved = sum(choice.frame != frame_of(word.start) for choice, word in zip(chosen, words, strict=True))
    return FrameTimes(_times(words, chosen), n_moved, lost, cut)


def _choices(word: SpokenWord) -> list[_Choice]:
    """Its own frame, then the neighbours that its start may move to."""
    frame = frame_of(word.start)
    edge = frame / FRAME_RATE
    choices = [_Choice(frame, max(word.start, edge + _INSIDE), 0.0)]
    for neighbour, start in ((frame - 1, edge - _INSIDE), (frame + 1, edge + MOST_MOVED + _INSIDE)):
        if neighbour >= 0 and word.first <= start < word.last:
            choices.append(_Choice(neighbour, start, abs(start - word.start)))
    return choices


def _times(words: Sequence[SpokenWord], chosen: Sequence[_Choice]) -> list[tuple[float, float]]:
    times = []
    for index, (word, choice) in enumerate(zip(words, chosen, strict=True)):
        end = max(word.end, choice.start + _SHORTEST) if choice.moved else word.end
        if index + 1 < len(words):
            following, limit = words[index + 1], chosen[index + 1].start
            # What overlapped before is not hidden: `check` reports it.
            if choice.start < limit < end and (choice.moved or limit < following.start):
                end = limit
        times.append((choice.start, end))
    return times
