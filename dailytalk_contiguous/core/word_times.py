"""Word times of speech whose text is known, where nobody gives them.

The text is what counts: its words are kept, and only their times are sought. `by_edit_distance` takes the times
of a recogniser that heard about the same; `by_proportion` needs no recogniser and lays the words into the sound by
how long their letters should take. Both end in the same promise: one word per word of the text, in order, of
positive length, inside the audio, without overlap.
"""

import unicodedata
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.packing import Word, fit
from dailytalk_contiguous.core.spans import merge_gaps

#: (start, end) in seconds.
Span = tuple[float, float]

#: Share of the text's words that must be heard as written, or the recogniser is no witness. Half: below that, most
#: words would be placed by proportion anyway, and a few chance matches ("the", "a") would pull them about.
MIN_MATCHED = 0.5

#: Seconds. A longer gap is a pause, which no word straddles; a shorter one may be the closure of a stop consonant
#: (50-120 ms, see `core.spans`).
PAUSE_SECONDS = 0.15

#: Seconds that a word which was not heard needs at least; where its neighbours leave less, they give of theirs.
ROOM_SECONDS = 0.06

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
    """A word as it is compared: case folded, accents and everything but letters and digits taken off.

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


def voiced_spans(
    samples: NDArray[np.float32],
    sample_rate: int,
    below_peak_db: float = 35.0,
    frame_seconds: float = 0.01,
    min_span: float = 0.02,
) -> list[Span]:
    """Where there is sound in clean, synthesised speech: spans in seconds, in order, none shorter than `min_span`.

    Args:
        samples: mono in [-1, 1], shape (samples,).
        sample_rate: in Hz.
        below_peak_db: a frame sounds if its level is at most this far below that of the loud ones (their 95th
            percentile). 35 dB keeps weak fricatives, which lie 20-30 dB under vowels, and leaves out room tone.
        frame_seconds: length of a frame; edges are exact to that.
        min_span: seconds; shorter spans are clicks.

    Returns an empty list for silence (nothing above -80 dBFS). For recorded speech use `core.spans.speech_spans`.
    """
    length = max(1, round(frame_seconds * sample_rate))
    n_frames = -(-len(samples) // length)
    if n_frames == 0:
        return []
    padded = np.zeros(n_frames * length, np.float64)
    padded[: len(samples)] = samples
    level = 10 * np.log10(np.mean(padded.reshape(n_frames, length) ** 2, axis=1) + 1e-20)
    loud = float(np.percentile(level[level > level.max() - 60], 95))
    sounds = level > max(loud - below_peak_db, -80.0)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], sounds, [False])).astype(np.int8)))
    total = len(samples) / sample_rate
    found = [
        (first * length / sample_rate, min(last * length / sample_rate, total))
        for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    ]
    return [(start, end) for start, end in found if end - start >= min_span]


def by_proportion(text_words: Sequence[str], spans: Sequence[Span], duration: float) -> list[Word]:
    """Lay words into the sound by the length of their letters (`sound_length`); their probability is 0.

    First all words are laid along the sound without its pauses. A word that would straddle a pause goes to the
    side where more of it lies, unless a mark (comma, full stop) one word away says where the speaker paused; then
    the words between two pauses fill the sound between them.

    Args:
        text_words: the text's words, with their marks.
        spans: where there is sound (`voiced_spans`), in seconds; gaps up to `PAUSE_SECONDS` are closed. None: the
            whole of the audio.
        duration: seconds of the audio. Raises ValueError unless it is positive.
    """
    _check(duration)
    if not text_words:
        return []
    regions = _inside(merge_gaps(sorted(spans), PAUSE_SECONDS), 0.0, duration) or [(0.0, duration)]
    return _kept(text_words, _lay(text_words, regions), [0.0] * len(text_words), duration)


def by_edit_distance(
    text_words: Sequence[str],
    heard: Sequence[Word],
    duration: float,
    spans: Sequence[Span] = (),
    min_matched: float = MIN_MATCHED,
) -> list[Word] | None:
    """Times of the text's words from what a recogniser heard of them.

    Words that were heard as written (`normalise`) take the heard times and probability. Those between them share,
    by `sound_length`, the room that the recogniser gave to what it misheard there, or else the room between their
    neighbours; their probability is 0.

    Args:
        text_words: the text's words, with their marks.
        heard: the recogniser's words, in seconds of the audio.
        duration: seconds of the audio. Raises ValueError unless it is positive.
        spans: where there is sound, if known (`voiced_spans`): words that were not heard are kept out of pauses.
        min_matched: the share of the text's words that must be heard as written.

    Returns one word per word of the text, or None when too little matches: use `by_proportion` then.
    """
    _check(duration)
    words = sorted(heard, key=lambda word: (word.start, word.end))
    pairs = _matches([normalise(word) for word in text_words], [normalise(word.text) for word in words])
    if not pairs or len(pairs) < min_matched * len(text_words):
        return None
    times: list[Span] = [(0.0, 0.0)] * len(text_words)
    probabilities: list[float | None] = [0.0] * len(text_words)
    for place, other in pairs:
        times[place] = (words[other].start, words[other].end)
        probabilities[place] = words[other].probability
    anchors = [(-1, -1), *pairs, (len(text_words), len(words))]
    for (place, other), (next_place, next_other) in pairwise(anchors):
        if next_place - place > 1:
            misheard = words[other + 1 : next_other]
            _fill(text_words, times, (place + 1, next_place), misheard, duration, spans)
    return _kept(text_words, times, probabilities, duration)


def _fill(
    text_words: Sequence[str],
    times: list[Span],
    run: tuple[int, int],
    misheard: Sequence[Word],
    duration: float,
    spans: Sequence[Span],
) -> None:
    """Give times to the words `run[0]`..`run[1]` - 1, between two matched words or an edge of the audio."""
    first, last = run
    start = times[first - 1][1] if first else 0.0
    end = times[last][0] if last < len(times) else duration
    regions = _inside([(word.start, word.end) for word in misheard], start, end)
    regions = regions or _inside(spans, start, end) or ([] if spans else [(start, end)])
    if sum(stop - begin for begin, stop in regions) < ROOM_SECONDS * (last - first):
        first, last = (
            max(0, first - 1),
            min(len(times), last + 1),
        )  # the neighbours swallowed them: share with them
        start = times[first][0] if first < run[0] else start
        end = times[last - 1][1] if last > run[1] else end
        regions = [(start, max(start, end))]
    times[first:last] = _lay(text_words[first:last], merge_gaps(sorted(regions), PAUSE_SECONDS))


def _matches(text: Sequence[str], heard: Sequence[str]) -> list[tuple[int, int]]:
    """Index pairs of equal words in the cheapest alignment (Levenshtein), in order. Empty words equal nothing."""
    # Of every cell the cost so far, and the move that led there.
    table = [[(place, "extra") for place in range(len(heard) + 1)]]
    for one in text:
        above, row = table[-1], [(table[-1][0][0] + 1, "skip")]
        for place, other in enumerate(heard):
            equal = bool(one) and one == other
            steps = (
                (above[place][0] + (0 if equal else 1), "match" if equal else "swap"),
                (above[place + 1][0] + 1, "skip"),
                (row[place][0] + 1, "extra"),
            )
            row.append(min(steps, key=lambda step: step[0]))
        table.append(row)
    i, j = len(text), len(heard)
    pairs: list[tuple[int, int]] = []
    while i and j:
        move = table[i][j][1]
        if move == "match":
            pairs.append((i - 1, j - 1))
        i, j = i - (move != "extra"), j - (move != "skip")
    return pairs[::-1]


def _lay(words: Sequence[str], regions: Sequence[Span]) -> list[Span]:
    """Spans of words that fill regions, which are in order and are parted by pauses; see `by_proportion`."""
    lengths = np.array([sound_length(word) for word in words])
    sound = np.array([end - start for start, end in regions])
    if len(regions) > 1:  # the words before a written pause are drawn out, as those before a real one
        lengths *= [FINAL_LENGTHENING if _pauses_after(word) else 1.0 for word in words]
    borders = np.concatenate(([0.0], np.cumsum(lengths))) / lengths.sum()
    pauses = np.cumsum(sound)[:-1] / sound.sum()
    cuts = [0, *(_cut(words, borders, float(pause)) for pause in pauses), len(words)]
    times: list[Span] = []
    for (first, last), (start, end) in zip(pairwise(np.maximum.accumulate(cuts).tolist()), regions, strict=True):
        if last > first:
            inner = np.concatenate(([0.0], np.cumsum(lengths[first:last]))) / lengths[first:last].sum()
            times += pairwise((start + inner * (end - start)).tolist())
    return times


def _cut(words: Sequence[str], borders: NDArray[np.float64], pause: float) -> int:
    """How many words come before a pause that lies at `pause` of the sound, in [0, 1]."""
    nearest = int(np.argmin(np.abs(borders - pause)))
    marked = [
        place
        for place in (nearest, nearest - 1, nearest + 1)
        if 0 < place < len(words) and _pauses_after(words[place - 1])
    ]
    return min(marked, key=lambda place: abs(borders[place] - pause)) if marked else nearest


def _pauses_after(word: str) -> bool:
    return not _PAUSE_MARKS.isdisjoint(word.rstrip("\"'”’»)]}」』 ")[-1:])


def _inside(spans: Sequence[Span], start: float, end: float) -> list[Span]:
    """The parts of spans that lie in [start, end]."""
    clipped = ((max(first, start), min(last, end)) for first, last in spans)
    return [(first, last) for first, last in clipped if last > first]


def _kept(
    words: Sequence[str], times: Sequence[Span], probabilities: Sequence[float | None], duration: float
) -> list[Word]:
    """The text's words with times made sound: sorted, of positive length, inside the audio, without overlap."""
    starts = np.maximum.accumulate([start for start, _ in times]).tolist()
    placed = [
        Word("", start, max(start, end), probability)
        for start, (_, end), probability in zip(starts, times, probabilities, strict=True)
    ]
    fitted = fit(placed, duration)
    return [
        Word(word, place.start, place.end, probability)
        for word, place, probability in zip(words, fitted, probabilities, strict=True)
    ]


def _check(duration: float) -> None:
    if not duration > 0:
        raise ValueError(f"audio of {duration} s holds no words")
