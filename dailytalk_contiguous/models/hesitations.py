"""Where a speaker may have hesitated in sound that a recogniser has no word for.

In English a grammar of the recognised words, with a filler between any two, each of which may be said twice or
broken off, finds fillers, repeats and words that are cut off (`models.sphinx`); in other languages, speech that no
word covers may be a filler. Both find more places than there are: a recogniser that is prompted to write fillers
says at which of them a speaker hesitates (`models.whisper`).
"""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.clean_speech import voiced_spans
from dailytalk_contiguous.core.fillers import SPACELESS, are_fillers
from dailytalk_contiguous.core.levels import frame_levels
from dailytalk_contiguous.core.nonspeech_sounds import FRAME
from dailytalk_contiguous.core.sentences import (
    AUXILIARIES,
    DETERMINERS,
    DISCOURSE,
    QUESTION_WORDS,
    SUBJECTS,
    ends_sentence,
)
from dailytalk_contiguous.core.sound_edges import UNDER_PEAK_DB
from dailytalk_contiguous.core.word_times import SHORTEST_WORD, Word
from dailytalk_contiguous.models.sphinx import Sphinx

#: How English fillers sound: "uh", "ah", "er", "um" and "mm", in the phones of the dictionary.
READINGS = ("AH", "AA", "ER", "AH M", "AA M", "M")

#: The beam of the search, and of how many frames it hears one. To hear every frame takes half as long again, and
#: finds no more.
BEAM = 1e-100
EVERY = 2

#: A window is searched in pieces of at least so many seconds, between words that are so far apart: of 939 seconds
#: of calls, the search loses its way in 66; in whole windows, in 160.
PIECE = 6.0
PIECE_GAP = 0.2

#: Seconds of the shortest filler, and of the shortest in the midst of a sentence, where parts of words are like
#: it; and of the shortest repeat. What is less likely (`WordSegment.likelihood`) is none.
SHORTEST = 0.11
SHORTEST_INSIDE = 0.18
SHORTEST_REPEAT = 0.11
LEAST_LIKELY = -6.0

#: Seconds of the longest filler or repeat. More of them than so many between two words, or a longer one, are
#: speech that the recogniser has lost.
LONGEST = 2.0
MOST_BETWEEN = 2

#: By how many dB a filler may be under the sound around it: what is lower leaks from the other side.
MOST_UNDER_DB = 24.0

#: How probable a recogniser must find a filler behind a mark; and in the midst of a sentence, where it is asked
#: for the filler behind a comma that it has not written itself. In the bundled recordings, which have none, it
#: finds 0.0015 behind marks at most. How probable it must find a word behind itself and a comma: where TIMIT's
#: speakers dr1 to dr4 say a word once, it finds 0.002 at most.
LEAST_PROBABLE = 0.04
LEAST_PROBABLE_INSIDE = 0.35
LEAST_PROBABLE_REPEAT = 0.2

#: Sounds of one filler are at most this far apart, in seconds.
TOGETHER = 0.15

#: Seconds that the words around a filler keep at least.
LEAST_KEPT = 0.04

#: The comma of a language, if it is another than ours, and marks behind which none is set.
COMMAS = {"ja": "、", "zh": "，"}
NO_COMMA_AFTER = frozenset(".,;:!?…-–—。、，！？")

#: English words that have a capital only where they begin a sentence.
_OPENING = DISCOURSE | SUBJECTS | DETERMINERS | AUXILIARIES | QUESTION_WORDS
SMALL_WORDS = (_OPENING | {"a", "an", "at", "in", "on"}) - {"i"}


class HesitationPlace(NamedTuple):
    """Where a speaker may hesitate: before word number `before` or behind the last, from `start` to `end` s.

    `is_inside`: it is in the midst of a sentence, behind a word without a mark. `again`: the words that are said
    here, whole or in part, and once more behind it; where there is none, it may be a filler.
    """

    before: int
    start: float
    end: float
    is_inside: bool = False
    again: tuple[Word, ...] = ()

    @property
    def least_probable(self) -> float:
        """How probable a recogniser must find it that a speaker hesitates here."""
        if self.again:
            return LEAST_PROBABLE_REPEAT
        return LEAST_PROBABLE_INSIDE if self.is_inside else LEAST_PROBABLE

    @property
    def shortest(self) -> float:
        """Seconds that a hesitation here has at least."""
        if self.again:
            return SHORTEST_REPEAT
        return SHORTEST_INSIDE if self.is_inside else SHORTEST


class Hesitation(NamedTuple):
    """A filler in a spelling, or the words that are said twice where its place has some; probability in [0, 1]."""

    place: HesitationPlace
    spelling: str
    probability: float


_loading = threading.Lock()


@lru_cache(maxsize=1)
def _loaded() -> Sphinx:
    return Sphinx(BEAM, EVERY)


def _sphinx() -> Sphinx:
    with _loading:  # threads of a recogniser that all come first would load one each
        return _loaded()


def places_of_hesitations(samples: Samples, words: Sequence[Word], language: str) -> list[HesitationPlace]:
    """Where a speaker may hesitate in 16 kHz samples in which these words were recognised, in order.

    No filler is beside one that was recognised, and none where speech was lost.
    """
    places = _in_grammar(samples, words) if language == "en" else _uncovered(samples, words)
    # The first word of a sentence is behind a mark, and behind nothing.
    has_mark = [True, *(word.text.rstrip()[-1:] in NO_COMMA_AFTER for word in words)]
    places = [place._replace(is_inside=not has_mark[place.before]) for place in places]
    places = [place for place in places if place.end - place.start >= place.shortest]
    written = are_fillers([word.text for word in words], language)
    n_between = Counter(place.before for place in places)
    lost = {place.before for place in places if place.end - place.start > LONGEST}
    lost |= {before for before, count in n_between.items() if count > MOST_BETWEEN}
    heard = _audible_level(samples)
    return [
        place
        for place in places
        if place.before not in lost
        and (place.again or not any(written[max(0, place.before - 1) : place.before + 1]))
        and _level(samples, place) > heard * 10 ** (-MOST_UNDER_DB / 10)
    ]


def _audible_level(samples: Samples) -> float:
    """The mean square of what is audible of a window, without the silence between its utterances."""
    levels = frame_levels(samples, FRAME)
    audible = levels[levels > levels.max(initial=0.0) * 10 ** (-UNDER_PEAK_DB / 10)]
    return float(audible.mean()) if len(audible) else 0.0


def _level(samples: Samples, place: HesitationPlace) -> float:
    sound = samples[int(place.start * ANALYSIS_RATE) : int(place.end * ANALYSIS_RATE)]
    return float(np.mean(np.square(sound, dtype=np.float64))) if len(sound) else 0.0


def _in_grammar(samples: Samples, words: Sequence[Word]) -> list[HesitationPlace]:
    """Sounds of English fillers, and of words that are said twice, that none of the words makes."""
    places: list[HesitationPlace] = []
    unlikely: set[int] = set()  # words before which a repeat sounds unlike the word
    for first, last, since, until in _pieces(words, len(samples) / ANALYSIS_RATE):
        piece = samples[int(since * ANALYSIS_RATE) : int(until * ANALYSIS_RATE)]
        spoken = [index for index in range(first, last) if any(map(str.isalnum, words[index].text))]
        texts = [words[index].text for index in spoken]
        for extra in _sphinx().extra_sounds(piece, texts, READINGS):
            before = spoken[extra.before] if extra.before < len(spoken) else last
            place = HesitationPlace(before, extra.start + since, extra.end + since)
            is_unlikely = extra.likelihood < LEAST_LIKELY
            if extra.again is None:
                if is_unlikely:
                    continue
                goes_on = _is_near(places, place)
            else:
                said = _said_in_part(texts[extra.again], extra.share)
                place = place._replace(again=(Word(said, place.start, place.end, None),))
                if is_unlikely or said.startswith("-"):  # a part of a compound
                    unlikely.add(before)
                goes_on = extra.again > extra.before
            if goes_on:
                earlier = places.pop()
                place = place._replace(start=earlier.start, again=earlier.again + place.again)
            places.append(place)
    return [place for place in places if not (place.again and place.before in unlikely)]


def _is_near(places: Sequence[HesitationPlace], place: HesitationPlace) -> bool:
    """Whether a place belongs to the filler of the last of places."""
    if not places:
        return False
    last = places[-1]
    return last.before == place.before and not last.again and place.start - last.end < TOGETHER


def _pieces(words: Sequence[Word], seconds: float) -> Iterator[tuple[int, int, float, float]]:
    """The first word of each piece of a window, the one behind its last, and where it begins and ends."""
    first = 0
    since = 0.0
    for index in range(1, len(words)):
        end = words[index - 1].end
        start = words[index].start
        if start - end >= PIECE_GAP and start - since >= PIECE and seconds - start >= PIECE / 2:
            yield first, index, since, (start + end) / 2
            first = index
            since = (start + end) / 2
    yield first, len(words), since, seconds


def bare_word(word: str) -> str:
    """A recogniser's word without the marks around it, its capital as it is."""
    return word.strip().strip(',.;:!?…"“”')


def _said_in_part(word: str, share: float) -> str:
    """A word without its marks, of which a share is said: "courier", "cour-"."""
    plain = bare_word(word)
    if share == 1:
        return plain
    n_letters = max(1, round(share * len(plain)))
    if are_fillers(["so", plain[:n_letters]], "en")[1]:  # "umbrella"
        n_letters += 1
    return f"{plain[:n_letters]}-"


def _uncovered(samples: Samples, words: Sequence[Word]) -> list[HesitationPlace]:
    """Stretches of voice that no word covers."""
    ends = [0.0, *(word.end for word in words)]
    starts = [*(word.start for word in words), len(samples) / ANALYSIS_RATE]
    voiced = voiced_spans(samples, ANALYSIS_RATE)
    places: list[HesitationPlace] = []
    for before, (since, until) in enumerate(zip(ends, starts, strict=True)):
        clipped = [(max(start, since), min(end, until)) for start, end in voiced]
        places += [HesitationPlace(before, start, end) for start, end in clipped if end > start]
    return places


def with_hesitations(words: Sequence[Word], said: Sequence[Hesitation], language: str) -> list[Word]:
    """A recogniser's words, in order, with hesitations between them, which are in the order of their places.

    The text stays one sentence, with commas around a hesitation, and no word overlaps another.
    """
    result: list[Word] = []
    for index in range(len(words) + 1):
        own = [hesitation for hesitation in said if hesitation.place.before == index]
        begins_sentence = not result or ends_sentence(result[-1].text)
        for place, spelling, probability in own:
            if not place.again:
                _end_in_comma(result, language)
            for word in place.again or (Word(spelling, place.start, place.end, None),):
                _put(result, word._replace(probability=probability), language)
            _end_in_comma(result, language)
        if index == len(words):
            break
        word = words[index]
        if own and begins_sentence:
            word = word._replace(text=_inside_a_sentence(word.text))
        if result:
            earliest = result[-1].end if own else result[-1].start + SHORTEST_WORD
            if word.start < earliest:  # a hesitation has moved it, or the word before
                word = word._replace(start=earliest, end=max(word.end, earliest + LEAST_KEPT))
        result.append(word)
    return result


def _put(words: list[Word], word: Word, language: str) -> None:
    """Put a word of a hesitation behind words, the last of which makes room for it."""
    start = word.start
    begins_sentence = not words or ends_sentence(words[-1].text)
    capitalised = word.text[:1].upper() + word.text[1:]
    text = capitalised if begins_sentence else _inside_a_sentence(word.text)
    if words:
        last = words[-1]
        start = max(start, last.start + LEAST_KEPT)
        words[-1] = last._replace(end=min(last.end, start))
    space = "" if language in SPACELESS else " "
    words.append(Word(f"{space}{text}", start, max(word.end, start + LEAST_KEPT), word.probability))


def _end_in_comma(words: list[Word], language: str) -> None:
    """Set a comma behind the last word, unless it has a mark."""
    text = words[-1].text.rstrip() if words else "."
    if text[-1:] not in NO_COMMA_AFTER:
        words[-1] = words[-1]._replace(text=text + COMMAS.get(language, ","))


def _inside_a_sentence(word: str) -> str:
    """A word that began a sentence, as it is inside of one: a name keeps its capital."""
    plain = bare_word(word).replace("’", "'").casefold()
    return word.casefold() if plain in SMALL_WORDS else word


def without_filler_words(words: Sequence[Word], language: str) -> list[Word]:
    """A recogniser's words without its fillers, as `words_without_fillers` spells them."""
    from dailytalk_contiguous.core.filler_removal import words_without_fillers  # which few runs need

    spelled = [word.text for word in words]
    texts = words_without_fillers(spelled, are_fillers(spelled, language))
    return [word._replace(text=text) for word, text in zip(words, texts, strict=True) if text is not None]
