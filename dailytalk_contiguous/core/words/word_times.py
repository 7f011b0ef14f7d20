"""The words of a text and their times: the division of a text into words, the length of each when spoken, and the
fitting of times into a span.

Where no engine gives the times of a text, its words stay, and only their times are sought. `by_edit_distance`
takes those of a recogniser that recognised about the same; `by_proportion` needs no recogniser and spreads the
words over the sound by the length that their letters should take. Both promise one word per word of the text, in
order, of positive length, inside the audio, without overlap.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, pairwise

import numpy as np
from rapidfuzz.distance import Levenshtein

from dailytalk_contiguous.core.spans import TimeSpan, merge_gaps
from dailytalk_contiguous.core.words.word import Span, Word, WordRow

#: Seconds. No word is shorter: some consumers drop a word that has no length.
SHORTEST_WORD = 0.001


def word_row(word: Word, offset: float = 0.0) -> WordRow:
    """Write a word as a row has it, so many seconds later."""
    return {
        "word": word.word.strip(),
        "start": word.start + offset,
        "end": word.end + offset,
        "probability": word.probability,
    }


# Hiragana, Katakana (without its middle dot) and Han, written without spaces. Whisper, too, takes each of their
# characters for a word (`split_to_word_tokens` of openai/whisper). Then CJK punctuation and full-width forms.
_SPACELESS = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_CJK = _SPACELESS + "\u3000-\u303f\u30fb\uff01-\uff60"
_OPENING = "「『（【《〈“‘(\\["
_BETWEEN_CHARACTERS = re.compile(
    rf"(?<=[^{_OPENING}])(?=[{_OPENING}]*[{_SPACELESS}])|(?<=[{_CJK}])(?<![{_OPENING}])(?=[A-Za-z0-9])"
)
_CJK_SPACE = re.compile(rf"(?<=[{_CJK}]) (?=[{_CJK}])")


def split_words(text: str) -> list[str]:
    """Split a text into words at whitespace, and between the characters of Japanese and Chinese.

    Punctuation by itself stays with the word before it (or after it, at the start). No word holds a space.

    >>> split_words("- Well ... 100 % yes !")
    ['-Well...', '100%', 'yes!']
    """
    return [word.replace(" ", "") for word in written_words(text)]


def written_words(text: str) -> list[str]:
    """Return the words of `split_words` with the spaces that they have in the text.

    >>> written_words("- Well ... yes !")
    ['- Well ...', 'yes !']
    """
    words: list[str] = []
    lead = ""
    for piece in text.split():
        for index, token in enumerate(_BETWEEN_CHARACTERS.split(piece)):
            spaced = token if index else f" {token}"
            if has_words(token):
                words.append(lead + spaced)
                lead = ""
            elif words:
                words[-1] += spaced.rstrip()
            else:
                lead += spaced.rstrip()
    return [word.strip() for word in words or [lead] if word]


def has_words(text: str) -> bool:
    """Whether a text has a letter or a digit: nobody says marks alone."""
    return any(map(str.isalnum, text))


def join_words(words: Iterable[str]) -> str:
    """Join words to a text, with spaces between them, except inside Japanese and Chinese."""
    return _CJK_SPACE.sub("", " ".join(words))


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
_ACCENTED_E = re.compile("e[\u0300-\u036f]+")
_DOUBLED = re.compile(r"([b-df-hj-np-tv-xz])\1")

#: Added once a word, so that "a" is not a third of "the".
WORD_OVERHEAD = 0.6


def normalise(word: str) -> str:
    """Normalise a word for comparison: case folded, without accents and anything but letters and digits.

    >>> normalise(" “Isn’t")
    'isnt'
    """
    decomposed = unicodedata.normalize("NFKD", word.casefold())
    return "".join(letter for letter in decomposed if letter.isalnum())


def sound_length(word: str) -> float:
    """Return how long a word takes to say, in units of one consonant; positive for any word."""
    decomposed = unicodedata.normalize("NFKD", word.casefold())
    spoken = _ACCENTED_E.sub("a", decomposed)  # as long as any vowel, and never silent
    plain = "".join(letter for letter in spoken if not unicodedata.combining(letter))
    letters = _DOUBLED.sub(r"\1", plain)
    lengths = [*LETTER_LENGTHS.values()]
    patterns = [match.lastindex or 0 for match in _LETTER.finditer(letters)]  # counted from 1
    return WORD_OVERHEAD + sum(lengths[number - 1] for number in patterns)


def fit_within(words: Sequence[Word], length: float) -> list[Word]:
    """Sort words by start, and fit them into 0..`length` seconds by `fit_spans`."""
    ordered = sorted(words, key=lambda word: (word.start, word.end))
    spans = fit_spans([word.span for word in ordered], 0.0, length)
    fitted: list[Word] = []
    for word, (start, end) in zip(ordered, spans, strict=True):
        fitted.append(word.moved_to(start, end))
    return fitted


def fit_words(words: Sequence[WordRow], start: float, end: float) -> list[WordRow]:
    """Fit words in their order into [start, end] seconds by `fit_spans`."""
    times = [(word["start"], word["end"]) for word in words]
    spans = fit_spans(times, start, end)
    fitted: list[WordRow] = []
    for word, (first, last) in zip(words, spans, strict=True):
        fitted.append({**word, "start": first, "end": last})
    return fitted


def fit_spans(spans: Sequence[TimeSpan], start: float, end: float) -> list[TimeSpan]:
    """Clip spans into [start, end] seconds, in their order: none overlaps the next, none is empty.

    Where two overlap, the earlier one ends where the later one begins. Every span keeps `SHORTEST_WORD`, or an
    equal share of the whole if that is too short for it.
    """
    equal_share = (end - start) / max(1, len(spans))
    shortest = min(SHORTEST_WORD, equal_share)
    starts: list[float] = []
    for index, (begin, _) in enumerate(spans):
        earliest = starts[-1] + shortest if starts else start
        latest = end - (len(spans) - index) * shortest
        starts.append(min(max(begin, earliest), latest))
    fitted: list[TimeSpan] = []
    limits = [*starts[1:], end]
    for begin, (_, until), limit in zip(starts, spans, limits, strict=False):
        longer = max(until, begin + shortest)
        fitted.append((begin, min(longer, limit)))
    return fitted


#: Seconds. A longer gap is a pause, which no word straddles; a shorter one may be the closure of a stop consonant
#: (50-120 ms, see `core.sound.cutting.QUIET_SECONDS`).
PAUSE_SECONDS = 0.15


def spread_words(text: str, start: float, end: float, spans: Iterable[TimeSpan]) -> list[Word]:
    """Share the speech that a cue covers among the words of its text, by `sound_length`.

    The cue's own time counts where it covers none of `spans` ((start, end) in seconds). No word is across two
    of them.
    """
    # Spans that touch stay apart: they are two utterances.
    apart = merge_gaps(sorted(spans), -SHORTEST_WORD)
    regions = _inside(apart, start, end) or [(start, end)]
    words = split_words(text)
    return _timed_words(words, _lay(words, regions), None)


def by_proportion(text_words: Sequence[str], spans: Sequence[TimeSpan], duration: float) -> list[Word]:
    """Lay words into the sound by the length of their letters (`sound_length`); their probability is 0.

    First all words are laid along the sound without its pauses. A word that would straddle a pause goes to the
    side where more of it is; then the words between two pauses fill the sound between them.

    Args:
        text_words: words of the text, with their marks.
        spans: spans of sound (`core.sound.clean_speech.voiced_spans`) in seconds; gaps up to `PAUSE_SECONDS` are
            closed. If there are none, the whole audio counts as sound.
        duration: seconds of the audio.
    """
    sounding = merge_gaps(sorted(spans), PAUSE_SECONDS)
    regions = _inside(sounding, 0.0, duration) or [(0.0, duration)]
    times = fit_spans(_lay(text_words, regions), 0.0, duration)
    return _timed_words(text_words, times, 0.0)


def share_spans(text_words: Sequence[str], spans: Mapping[int, TimeSpan], duration: float) -> list[Word]:
    """Return the words of a text, some of which have a span in seconds, by their index; none without any span.

    A word without one shares that of the word before it, and those before the first share its span, by
    `sound_length`.
    """
    if not spans:
        return []
    with_span = sorted(spans)
    first_span = spans[with_span[0]]
    heads = [0, *with_span[1:], len(text_words)]
    times: list[TimeSpan] = []
    for head, following in pairwise(heads):
        shared = spans.get(head, first_span)
        times += _lay(text_words[head:following], [shared])
    words = _timed_words(text_words, times, 1.0)
    return fit_within(words, duration)


#: Share of the text's words that must be recognised as written, or the recogniser's times are not used. Half:
#: below that, most words would be placed by proportion anyway, and a few chance matches ("the", "a") would pull
#: them about.
MIN_MATCHED = 0.5


def by_edit_distance(
    text_words: Sequence[str],
    heard: Sequence[Word],
    duration: float,
    spans: Sequence[TimeSpan] = (),
    min_matched: float = MIN_MATCHED,
) -> list[Word] | None:
    """Return the times of a text's words by those of recognised words.

    Words recognised as written (`normalise`) take the recognised times and probability. The words between them
    share, by `sound_length`, the room that the recogniser gave to its wrong words there, or else the room between
    their neighbours; their probability is 0.

    Args:
        text_words: words of the text, with their marks.
        heard: words of the recogniser, in seconds of the audio.
        duration: seconds of the audio.
        spans: spans of sound, if known: unrecognised words are kept out of pauses.
        min_matched: share of the text's words that must match.

    Returns:
        One word per word of the text, or None when too little matches: use `by_proportion` then.
    """
    words = sorted(heard, key=lambda word: (word.start, word.end))
    # A mark by itself has no letters, and equals nothing.
    written = [normalise(word) or object() for word in text_words]
    spoken = [normalise(word.word) or object() for word in words]
    blocks = Levenshtein.opcodes(written, spoken).as_matching_blocks()
    matches: dict[int, Word] = {}
    for block in blocks:
        for index in range(block.size):
            matches[block.a + index] = words[block.b + index]
    if not matches or len(matches) < min_matched * len(text_words):
        return None
    times: list[TimeSpan] = [(0.0, 0.0)] * len(text_words)
    for index, match in matches.items():
        times[index] = match.span
    first = 0
    first_heard = 0
    for block in blocks:
        if first < block.a:
            # Words that were not recognised, between two matched ones or an edge of the audio.
            wrong_words = words[first_heard : block.b]
            _place_unmatched(times, text_words, first, block.a, wrong_words, spans, duration)
        first = block.a + block.size
        first_heard = block.b + block.size
    placed: list[Word] = []
    fitted = fit_spans(times, 0.0, duration)
    for index, (word, span) in enumerate(zip(text_words, fitted, strict=True)):
        probability = matches[index].probability if index in matches else 0.0
        placed.append(Word(word, *span, probability))
    return placed


#: Seconds that an unrecognised word needs at least; where its neighbours leave less, they give of theirs.
ROOM_SECONDS = 0.06


def _place_unmatched(
    times: list[TimeSpan],
    text_words: Sequence[str],
    first: int,
    last: int,
    wrong_words: Sequence[Word],
    spans: Sequence[TimeSpan],
    duration: float,
) -> None:
    """Set the times of words `first` to `last` (exclusive), which were not recognised: see `by_edit_distance`."""
    start = times[first - 1][1] if first else 0.0
    end = times[last][0] if last < len(times) else duration
    regions = _inside([word.span for word in wrong_words], start, end)
    if not regions:
        regions = _inside(spans, start, end)
    if not regions and not spans:
        regions = [(start, end)]
    room = sum(stop - begin for begin, stop in regions)
    if room < ROOM_SECONDS * (last - first):
        # The neighbours swallowed them: share with them.
        start = times[first - 1][0] if first else start
        end = times[last][1] if last < len(times) else end
        first = max(0, first - 1)
        last = min(len(times), last + 1)
        regions = [(start, max(start, end))]
    merged = merge_gaps(sorted(regions), PAUSE_SECONDS)
    times[first:last] = _lay(text_words[first:last], merged)


def with_times(
    text_words: Sequence[str], placed: Sequence[Word | None], others: Sequence[Word], duration: float
) -> list[Word]:
    """Return the words of a text with the times of `placed`, or of `others` where they have none there.

    A word of `others` keeps to the room between the placed words around it. Where it does not touch that, the
    words of the room share it by `sound_length`. `others` may be empty where no word needs it; a word has its
    probability there, and the source of the word that stands for it. `duration` is in seconds.
    """
    times: list[TimeSpan] = []
    for is_placed, group in groupby(range(len(placed)), key=lambda index: placed[index] is not None):
        indices = [*group]
        if is_placed:
            placed_words = [word for word in placed[indices[0] : indices[-1] + 1] if word]
            times += [word.span for word in placed_words]
            continue
        next_index = indices[-1] + 1
        following = placed[next_index] if next_index < len(placed) else None
        start = times[-1][1] if times else 0.0
        end = following.start if following else duration
        inside = [_inside([others[index].span], start, end) for index in indices]
        if all(inside):
            times += [spans[0] for spans in inside]
        else:
            unplaced = [text_words[index] for index in indices]
            times += _lay(unplaced, [(start, max(start, end))])
    words: list[Word] = []
    fitted = fit_spans(times, 0.0, duration)
    for index, (text, (start, end)) in enumerate(zip(text_words, fitted, strict=True)):
        timed = placed[index] or others[index]
        probability = others[index].probability if others else None
        words.append(Word(text, start, end, probability, source=timed.source))
    return words


def within_sound(words: Sequence[Word], spans: Sequence[TimeSpan]) -> list[Word]:
    """Cut the silence off the edges of words.

    `spans` are those of sound, in seconds (`core.sound.clean_speech.voiced_spans`). A word that is entirely in
    silence keeps its times.
    """
    audible: list[Word] = []
    for word in words:
        inside = _inside(spans, word.start, word.end) or [word.span]
        start, _ = inside[0]
        _, end = inside[-1]
        audible.append(word.moved_to(start, end))
    return audible


def _timed_words(texts: Sequence[str], times: Sequence[TimeSpan], probability: float | None) -> list[Word]:
    words: list[Word] = []
    for text, (start, end) in zip(texts, times, strict=True):
        words.append(Word(text, start, end, probability))
    return words


def _lay(words: Sequence[str], regions: Sequence[TimeSpan]) -> list[TimeSpan]:
    """Return spans of words that fill regions, which are in order with pauses between; see `by_proportion`."""
    if not words:
        return []
    lengths = np.array([sound_length(word) for word in words])
    sound = np.array([end - start for start, end in regions])
    borders = np.cumsum([0.0, *lengths]) / lengths.sum()
    pauses = np.cumsum(sound)[:-1] / max(sound.sum(), SHORTEST_WORD)
    cuts = [0]
    for pause in pauses:
        nearest = int(np.argmin(np.abs(borders - pause)))
        cuts.append(max(nearest, cuts[-1]))
    times: list[TimeSpan] = []
    for (first, last), (start, end) in zip(pairwise([*cuts, len(words)]), regions, strict=True):
        inner = np.cumsum([0.0, *lengths[first:last]])
        edges = start + inner * (end - start) / max(inner[-1], SHORTEST_WORD)
        times += pairwise(edges.tolist())
    return times


def _inside(spans: Sequence[TimeSpan], start: float, end: float) -> list[TimeSpan]:
    """Return the parts of spans between two times; those without a length are left out."""
    parts = [Span(*span) & Span(start, end) for span in spans]
    return [part for part in parts if part]
