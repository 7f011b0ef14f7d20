"""The words of a text and their times: how a text is divided into words, how long each of them takes to say, and
how times are fitted to where they have to be.

Where no engine gives the times of a text, its words stay, and only their times are sought. `by_edit_distance`
takes those of a recogniser that recognised about the same; `by_proportion` needs no recogniser and spreads the
words over the sound by how long their letters should take. Both promise one word per word of the text, in order,
of positive length, inside the audio, without overlap.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np
from rapidfuzz.distance import Levenshtein

from dailytalk_contiguous.core.records import UtteredWord, WordRow
from dailytalk_contiguous.core.spans import merge_gaps

TimeSpan = tuple[float, float]

#: Seconds. No word is shorter: some consumers drop a word that has no length.
SHORTEST_WORD = 0.001


class Word(NamedTuple):
    """A word as a recogniser gives it, spaces and all, with times in seconds and its probability in [0, 1].

    None where a recogniser gives none.
    """

    text: str
    start: float
    end: float
    probability: float | None

    def row(self, offset: float = 0.0) -> UtteredWord:
        """As a row has it, so many seconds later."""
        return {
            "word": self.text.strip(),
            "start": self.start + offset,
            "end": self.end + offset,
            "probability": self.probability,
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
    """A word as it is compared: case folded, accents and everything except letters and digits removed.

    >>> normalise(" “Isn’t")
    'isnt'
    """
    return "".join(letter for letter in unicodedata.normalize("NFKD", word.casefold()) if letter.isalnum())


def sound_length(word: str) -> float:
    """How long a word takes to say, in units of one consonant; positive for any word."""
    decomposed = unicodedata.normalize("NFKD", word.casefold())
    spoken = _ACCENTED_E.sub("a", decomposed)  # as long as any vowel, and never silent
    letters = _DOUBLED.sub(r"\1", "".join(letter for letter in spoken if not unicodedata.combining(letter)))
    lengths = [*LETTER_LENGTHS.values()]
    return WORD_OVERHEAD + sum(lengths[int(match.lastindex or 0) - 1] for match in _LETTER.finditer(letters))


def fit(words: Sequence[Word], length: float) -> list[Word]:
    """Words in order of start, pushed into 0..`length` seconds as `fit_spans` does."""
    ordered = sorted(words, key=lambda word: (word.start, word.end))
    spans = fit_spans([(word.start, word.end) for word in ordered], 0.0, length)
    return [word._replace(start=start, end=end) for word, (start, end) in zip(ordered, spans, strict=True)]


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


#: Seconds. A longer gap is a pause, which no word straddles; a shorter one may be the closure of a stop consonant
#: (50-120 ms, see `core.cutting.QUIET_SECONDS`).
PAUSE_SECONDS = 0.15

#: Share of the text's words that must be recognised as written, or the recogniser's times are not used. Half:
#: below that, most words would be placed by proportion anyway, and a few chance matches ("the", "a") would pull
#: them about.
MIN_MATCHED = 0.5

#: Seconds that an unrecognised word needs at least; where its neighbours leave less, they give of theirs.
ROOM_SECONDS = 0.06


def spread_words(text: str, start: float, end: float, spans: Iterable[TimeSpan]) -> list[WordRow]:
    """Share the speech that a cue covers among the words of its text, by `sound_length`.

    The cue's own time counts where it covers none of `spans` ((start, end) in seconds). No word is across two
    of them.
    """
    # Those that touch stay apart: they are two utterances.
    regions = _inside(merge_gaps(sorted(spans), -SHORTEST_WORD), start, end) or [(start, end)]
    words = split_words(text)
    return [Word(word, *span, None).row() for word, span in zip(words, _lay(words, regions), strict=True)]


def by_proportion(text_words: Sequence[str], spans: Sequence[TimeSpan], duration: float) -> list[Word]:
    """Lay words into the sound by the length of their letters (`sound_length`); their probability is 0.

    First all words are laid along the sound without its pauses. A word that would straddle a pause goes to the
    side where more of it is; then the words between two pauses fill the sound between them.

    Args:
        text_words: the text's words, with their marks.
        spans: where there is sound (`core.clean_speech.voiced_spans`), in seconds; gaps up to `PAUSE_SECONDS` are
            closed.
            None: the whole of the audio.
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
        spans: where there is sound, if known: unrecognised words are kept out of pauses.
        min_matched: share of the text's words that must match.

    Returns one word per word of the text, or None when too little matches: use `by_proportion` then.
    """
    words = sorted(heard, key=lambda word: (word.start, word.end))
    # A mark by itself has no letters, and equals nothing.
    written = [normalise(word) or object() for word in text_words]
    spoken = [normalise(word.text) or object() for word in words]
    blocks = Levenshtein.opcodes(written, spoken).as_matching_blocks()
    known = {block.a + n: words[block.b + n] for block in blocks for n in range(block.size)}
    if not known or len(known) < min_matched * len(text_words):
        return None
    times = [known[n][1:3] if n in known else (0.0, 0.0) for n in range(len(text_words))]
    first = 0
    heard_first = 0
    for block in blocks:
        last = block.a
        if first < last:
            # Words that were not recognised, between two matched ones or an edge of the audio.
            start = times[first - 1][1] if first else 0.0
            end = times[last][0] if last < len(times) else duration
            regions = _inside([word[1:3] for word in words[heard_first : block.b]], start, end)
            regions = regions or _inside(spans, start, end) or ([] if spans else [(start, end)])
            if sum(stop - begin for begin, stop in regions) < ROOM_SECONDS * (last - first):
                # The neighbours swallowed them: share with them.
                start = times[first - 1][0] if first else start
                end = times[last][1] if last < len(times) else end
                first = max(0, first - 1)
                last = min(len(times), last + 1)
                regions = [(start, max(start, end))]
            times[first:last] = _lay(text_words[first:last], merge_gaps(sorted(regions), PAUSE_SECONDS))
        first = block.a + block.size
        heard_first = block.b + block.size
    return [
        Word(word, *span, known[n].probability if n in known else 0.0)
        for n, (word, span) in enumerate(zip(text_words, fit_spans(times, 0.0, duration), strict=True))
    ]


def with_times(
    text_words: Sequence[str], placed: Sequence[Word | None], others: Sequence[Word], duration: float
) -> list[Word]:
    """The words of a text by the times of `placed`; those that have none there have that of `others`.

    A word of `others` keeps to the room between the placed words around it. Where it does not touch that, the
    words of the room share it by `sound_length`. `others` may be empty where no word needs it; a word has the
    probability that it has there. `duration` is in seconds.
    """
    times: list[TimeSpan] = []
    for is_placed, group in groupby(range(len(placed)), key=lambda index: placed[index] is not None):
        indices = [*group]
        if is_placed:
            times += [(word.start, word.end) for index in indices if (word := placed[index])]
            continue
        following = placed[indices[-1] + 1] if indices[-1] + 1 < len(placed) else None
        room = times[-1][1] if times else 0.0, following.start if following else duration
        inside = [_inside([(others[index].start, others[index].end)], *room) for index in indices]
        if all(inside):
            times += [spans[0] for spans in inside]
        else:
            times += _lay([text_words[index] for index in indices], [(room[0], max(room))])
    probabilities = [word.probability for word in others] or [None] * len(text_words)
    words = zip(text_words, fit_spans(times, 0.0, duration), probabilities, strict=True)
    return [Word(text, start, end, probability) for text, (start, end), probability in words]


def within_sound(words: Sequence[Word], spans: Sequence[TimeSpan]) -> list[Word]:
    """Words without the silence at their edges.

    `spans` are where there is sound, in seconds (`core.clean_speech.voiced_spans`).
    A word that lies in silence as a whole keeps its times.
    """
    inside = [_inside(spans, word.start, word.end) or [(word.start, word.end)] for word in words]
    return [word._replace(start=own[0][0], end=own[-1][1]) for word, own in zip(words, inside, strict=True)]


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
