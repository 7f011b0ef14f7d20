"""Words and their times: packed into the recogniser's windows and back, matched with a text that is known, spread
over speech where only the text is, and placed in a trainer's frames.
"""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.spans import merge_gaps, touched_frames, true_runs

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

#: Seconds of a frame in which a transcript and detected speech are compared.
FRAME = 0.05

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


class Matched(NamedTuple):
    """The result of `match_words`: one item an utterance in `texts` and `words`.

    `left_over` has (index of the cue, its words that are near no utterance), by rising index.
    """

    texts: list[str]
    words: list[list[WordRow]]
    left_over: list[tuple[int, list[WordRow]]]


class _CueWord(NamedTuple):
    """Word number `number` of a cue, and how it is written there."""

    cue: int
    number: int
    word: WordRow
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
    left_over: defaultdict[int, list[WordRow]] = defaultdict(list)
    order: list[tuple[float, _CueWord]] = []
    for number, cue in enumerate(cues):
        text = cue["text"] or ""
        words = sorted(cue["words"] or [], key=itemgetter("start"))
        written = [word["word"] for word in words] if words else written_words(text)
        words = words or spread_words(text, cue["start"], cue["end"], utterances)
        if not cue["words"] or are_spread(words):  # these times say nothing of each word
            words = [word | {"fitted": True} for word in words]
        for index, (word, spelled) in enumerate(zip(words, written, strict=True)):
            # The guessed words of two cues that overlap must not be shuffled into each other: they stay in the
            # order of their cues, while times that were given decide for themselves.
            time = word["start"] if cue["words"] else cue["start"]
            order.append((time, _CueWord(number, index, word, spelled)))
    for _, item in sorted(order, key=lambda entry: (entry[0], *entry[1][:2])):
        middle = (item.word["start"] + item.word["end"]) / 2
        distances = np.maximum(spans[:, 0] - middle, middle - spans[:, 1]).clip(0.0)
        if distances.min(initial=math.inf) <= max_distance:
            placed_in[int(distances.argmin())].append(item)
        else:
            left_over[item.cue].append(item.word)
    n_words = Counter(item.cue for _, item in order)
    return Matched(
        texts=[_text(placed, cues, n_words) for placed in placed_in],
        words=[_fit_cues(placed, *span) for placed, span in zip(placed_in, utterances, strict=True)],
        left_over=sorted(left_over.items()),
    )


def _text(placed: Sequence[_CueWord], cues: Sequence[Cue], n_words: Mapping[int, int]) -> str:
    """The text of an utterance that got these words: of whole cues their own text, of parts their words."""
    pieces: list[str] = []
    for cue, run in groupby(placed, key=itemgetter(0)):
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


def _fit_cues(placed: Sequence[_CueWord], start: float, end: float) -> list[WordRow]:
    """The words of an utterance inside of it. If a word would lose much, those of its cue are scaled together."""
    spans = np.array([[item.word["start"], item.word["end"]] for item in placed]).reshape(-1, 2)
    of_cue = np.array([item.cue for item in placed])
    loses_much = np.diff(spans.clip(start, end))[:, 0] < CLIPPED_SHARE * np.diff(spans)[:, 0]
    for cue in {*of_cue[loses_much].tolist()}:
        own = spans[of_cue == cue]
        first, last = own.min(), own.max()
        least = min(SCALED_SHARE * (last - first), end - start)
        begin = min(max(first, start), end - least)
        spans[of_cue == cue] = np.interp(own, [first, last], [begin, max(min(last, end), begin + least)])
    return [
        item.word
        | (
            {}
            if (item.word["start"], item.word["end"]) == span
            else {"start": span[0], "end": span[1], "fitted": True}
        )
        for item, span in zip(placed, fit_spans([*map(tuple, spans.tolist())], start, end), strict=True)
    ]


def shared_time(transcribed: Sequence[tuple[Sequence[Cue], Sequence[TimeSpan]]]) -> float:
    """The share of the time of cues, or of detected speech where that is shorter, that is in both.

    `transcribed` has the cues and the (start, end) of the utterances of each transcribed channel, in seconds of
    the same clock.
    """
    shared, totals = 0, np.zeros(2)
    for cues, utterances in transcribed:
        spoken = [(w["start"], w["end"]) for cue in cues for w in cue["words"] or ([cue] if cue["text"] else [])]
        count = int(max((end for _, end in [*spoken, *utterances]), default=0.0) / FRAME) + 1
        text, speech = (touched_frames(count, spans, FRAME) for spans in (spoken, utterances))
        shared += int((text & speech).sum())
        totals += text.sum(), speech.sum()
    return float(shared / max(1.0, totals.min()))


def spread_words(text: str, start: float, end: float, spans: Iterable[TimeSpan]) -> list[WordRow]:
    """Share the speech that a cue covers among the words of its text, by `sound_length`.

    The cue's own time counts where it covers none of `spans` ((start, end) in seconds). No word is across two
    of them.
    """
    # Those that touch stay apart: they are two utterances.
    regions = _inside(merge_gaps(sorted(spans), -SHORTEST_WORD), start, end) or [(start, end)]
    words = split_words(text)
    return [Word(word, *span, None).row() for word, span in zip(words, _lay(words, regions), strict=True)]


def fit_words(words: Sequence[WordRow], start: float, end: float) -> list[WordRow]:
    """Words in their order, clipped into [start, end] seconds as `fit_spans` does."""
    spans = fit_spans([(word["start"], word["end"]) for word in words], start, end)
    return [{**word, "start": first, "end": last} for word, (first, last) in zip(words, spans, strict=True)]


def fit_spans(spans: Sequence[TimeSpan], start: float, end: float) -> list[TimeSpan]:
    """Clip spans into [start, end] seconds, in their order: none overlaps the next, none is empty.

    Where two overlap, the earlier one ends where the later one begins. Every span keeps `SHORTEST_WORD`, or an
    equal share of the whole if that is too short for it.
    """
    shortest = min(SHORTEST_WORD, (end - start) / max(1, len(spans)))
    starts: list[float] = []
    for index, (begin, _) in enumerate(spans):
        earliest = starts[-1] + shortest if starts else start
        starts.append(min(max(begin, earliest), end - (len(spans) - index) * shortest))
    return [
        (begin, min(max(until, begin + shortest), limit))
        for begin, (_, until), limit in zip(starts, spans, [*starts[1:], end], strict=False)
    ]


def split_words(text: str) -> list[str]:
    """The words of a text: split at whitespace, and between the characters of Japanese and Chinese.

    Punctuation by itself stays with the word before it (or after it, at the start). No word holds a space.

    >>> split_words("- Well ... 100 % yes !")
    ['-Well...', '100%', 'yes!']
    """
    return [word.replace(" ", "") for word in written_words(text)]


def written_words(text: str) -> list[str]:
    """The words of `split_words` with the spaces that they have in the text.

    >>> written_words("- Well ... yes !")
    ['- Well ...', 'yes !']
    """
    words: list[str] = []
    lead = ""
    for piece in text.split():
        for number, token in enumerate(_BETWEEN_CHARACTERS.split(piece)):
            spaced = token if number else f" {token}"
            if any(map(str.isalnum, token)):
                words.append(lead + spaced)
                lead = ""
            elif words:
                words[-1] += spaced.rstrip()
            else:
                lead += spaced.rstrip()
    return [word.strip() for word in words or [lead] if word]


def join_words(words: Iterable[str]) -> str:
    """Words as a text: with spaces between them, except inside Japanese and Chinese."""
    return _CJK_SPACE.sub("", " ".join(words))


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

#: Relative lengths of the letters of a word; the first pattern that fits counts. English vowels take 1.5 to 2
#: times as long as consonants, liquids and glides less (means of Crystal and House 1988, J. Acoust. Soc. Am.
#: 83:1553; of the order, not to the digit). A digit is spoken as a short word ("five", "seven": three to five
#: sounds). A silent "e", a second vowel letter ("ea") and the second letter of a digraph ("th") add little or
#: nothing. A letter of a script without capitals (Han, kana, Arabic) may be a syllable.
LETTER_LENGTHS = {
    r"[&%@#*+=$€£¥°]": 4.0,
    r"\d": 4.5,
    r"(?<=\w[^\Waeiouy])e\b": 0.0,
    r"(?<=[aeiouy])[aeiouy]": 0.6,
    r"[aeiouy]": 1.6,
    r"(?<=[tscpwg])h|(?<=c)k|(?<=n)g|(?<=k)n|(?<=w)r": 0.0,
    r"[hjlrw]": 0.8,
    r"[^\W_\0-\u058f]": 2.6,
    r"[^\W_]": 1.0,
}
_LETTER = re.compile("|".join(f"({pattern})" for pattern in LETTER_LENGTHS))
_DOUBLED = re.compile(r"([b-df-hj-np-tv-xz])\1")

#: Added once a word, so that "a" is not a third of "the".
WORD_OVERHEAD = 0.6


def normalise(word: str) -> str:
    """A word as it is compared: case folded, accents and everything except letters and digits removed.

    >>> normalise(" “Isn’t")
    'isnt'
    """
    return "".join(letter for letter in unicodedata.normalize("NFKD", word.casefold()) if letter.isalnum())


def sound_length(word: str) -> float:
    """How long a word takes to say, in units of one consonant; positive for any word."""
    letters = _DOUBLED.sub(r"\1", unicodedata.normalize("NFKD", word.casefold()))
    lengths = [*LETTER_LENGTHS.values()]
    return WORD_OVERHEAD + sum(lengths[int(match.lastindex or 0) - 1] for match in _LETTER.finditer(letters))


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
    inside = [_inside(spans, word.start, word.end) or [(word.start, word.end)] for word in words]
    return [word._replace(start=own[0][0], end=own[-1][1]) for word, own in zip(words, inside, strict=True)]


def by_proportion(text_words: Sequence[str], spans: Sequence[TimeSpan], duration: float) -> list[Word]:
    """Lay words into the sound by the length of their letters (`sound_length`); their probability is 0.

    First all words are laid along the sound without its pauses. A word that would straddle a pause goes to the
    side where more of it is; then the words between two pauses fill the sound between them.

    Args:
        text_words: the text's words, with their marks.
        spans: where there is sound (`voiced_spans`), in seconds; gaps up to `PAUSE_SECONDS` are closed. None: the
            whole of the audio.
        duration: seconds of the audio.
    """
    regions = _inside(merge_gaps(sorted(spans), PAUSE_SECONDS), 0.0, duration) or [(0.0, duration)]
    times = fit_spans(_lay(text_words, regions), 0.0, duration)
    return [Word(word, *span, 0.0) for word, span in zip(text_words, times, strict=True)]


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
        times += _lay(text_words[head:following], [spans.get(head, spans[heads[0]])])
    return fit([Word(word, *span, 1.0) for word, span in zip(text_words, times, strict=True)], duration)


def by_edit_distance(
    text_words: Sequence[str],
    heard: Sequence[Word],
    duration: float,
    spans: Sequence[TimeSpan] = (),
    min_matched: float = MIN_MATCHED,
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
        min_matched: share of the text's words that must match.

    Returns one word per word of the text, or None when too little matches: use `by_proportion` then.
    """
    words = sorted(heard, key=lambda word: (word.start, word.end))
    # A mark by itself has no letters, and equals nothing: it is its number, of which no other has the like.
    written = [normalise(word) or str(-1 - n) for n, word in enumerate(text_words)]
    spoken = [normalise(word.text) or (n,) for n, word in enumerate(words)]
    opcodes = SequenceMatcher(None, written, spoken, autojunk=False).get_opcodes()
    known = {
        first + n: words[heard_first + n]
        for tag, first, last, heard_first, _ in opcodes
        if tag == "equal"
        for n in range(last - first)
    }
    if not known or len(known) < min_matched * len(text_words):
        return None
    times = [known[n][1:3] if n in known else (0.0, 0.0) for n in range(len(text_words))]
    for _, first, last, heard_first, heard_last in opcodes:
        if first == last or first in known:
            continue
        # Words that were not recognised, between two matched ones or an edge of the audio.
        start, end = times[first - 1][1] if first else 0.0, times[last][0] if last < len(times) else duration
        regions = _inside([word[1:3] for word in words[heard_first:heard_last]], start, end)
        regions = regions or _inside(spans, start, end) or ([] if spans else [(start, end)])
        if sum(stop - begin for begin, stop in regions) < ROOM_SECONDS * (last - first):
            # The neighbours swallowed them: share with them.
            start, end = times[first - 1][0] if first else start, times[last][1] if last < len(times) else end
            first, last = max(0, first - 1), min(len(times), last + 1)
            regions = [(start, max(start, end))]
        times[first:last] = _lay(text_words[first:last], merge_gaps(sorted(regions), PAUSE_SECONDS))
    return [
        Word(word, *span, known[n].probability if n in known else 0.0)
        for n, (word, span) in enumerate(zip(text_words, fit_spans(times, 0.0, duration), strict=True))
    ]


def _lay(words: Sequence[str], regions: Sequence[TimeSpan]) -> list[TimeSpan]:
    """Spans of words that fill regions, which are in order and are parted by pauses; see `by_proportion`."""
    if not words:
        return []
    lengths = np.array([sound_length(word) for word in words])
    sound = np.array([end - start for start, end in regions])
    borders = np.cumsum([0.0, *lengths]) / lengths.sum()
    cuts = [0]
    for pause in np.cumsum(sound)[:-1] / max(sound.sum(), SHORTEST_WORD):
        cuts.append(max(int(np.argmin(np.abs(borders - pause))), cuts[-1]))
    times: list[TimeSpan] = []
    for (first, last), (start, end) in zip(pairwise([*cuts, len(words)]), regions, strict=True):
        inner = np.cumsum([0.0, *lengths[first:last]])
        times += pairwise((start + inner * (end - start) / max(inner[-1], SHORTEST_WORD)).tolist())
    return times


def _inside(spans: Sequence[TimeSpan], start: float, end: float) -> list[TimeSpan]:
    clipped = ((max(first, start), min(last, end)) for first, last in spans)
    return [(first, last) for first, last in clipped if last > first]


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


def frame_of(start: float) -> int:
    """The frame in which a word that starts at these seconds begins."""
    return math.floor(start * FRAME_RATE + _INSIDE)


def place_words(words: Sequence[SpokenWord]) -> FrameTimes:
    """Give each word a frame of its own, or where there is room as many as it has tokens.

    Args:
        words: of one speaker, by start.

    A word moves by a frame at most, and only if the one before it needs its frame, or the one after it the next.
    Words stay in order; where one begins earlier, the one before it ends there.
    """
    own = [frame_of(word.start) for word in words]
    reach = [
        (
            frame - (frame > 0 and frame / FRAME_RATE - _INSIDE >= word.first),
            frame + ((frame + 1) / FRAME_RATE + _INSIDE < word.last),
        )
        for word, frame in zip(words, own, strict=True)
    ]
    latest: list[float] = [math.inf]  # frames in which words leave room for those after them
    for word, (first, last) in zip(reversed(words), reversed(reach), strict=True):
        latest.insert(0, max(first, min(last, latest[0] - word.tokens)))
    starts: list[float] = []
    at, room = -math.inf, 1
    for word, frame, (first, last), limit in zip(words, own, reach, latest, strict=False):
        at = max(at, min(last, max(first, at + 1, min(max(frame, at + room), limit))))
        room = word.tokens
        edge = at / FRAME_RATE
        moved = edge + (MOST_MOVED - _INSIDE if at < frame else _INSIDE)
        starts.append(max(word.start, edge + _INSIDE) if at == frame else moved)
    times = []
    for index, (word, start) in enumerate(zip(words, starts, strict=True)):
        is_moved = frame_of(start) != own[index]
        end = max(word.end, start + _SHORTEST) if is_moved else word.end
        limit = starts[index + 1] if index + 1 < len(words) else end
        # What overlapped before is not hidden: `check` reports it.
        if start < limit < end and (is_moved or limit < words[index + 1].start):
            end = limit
        times.append((start, end))
    frames = [frame_of(start) for start in starts]
    rooms = [after - before for before, after in pairwise(frames)]
    return FrameTimes(
        times,
        sum(frame != before for frame, before in zip(frames, own, strict=True)),
        sum(room <= 0 for room in rooms),
        sum(0 < room < word.tokens for room, word in zip(rooms, words, strict=False)),
    )
