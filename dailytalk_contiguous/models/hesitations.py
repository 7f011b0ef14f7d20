"""Where a filler may have been said that a recogniser left out: sounds that none of its words makes.

In English a grammar of the recognised words with a filler between any two finds them (`models.sphinx`); in other
languages, speech that no word covers. Both find more places than there are fillers: a recogniser that is prompted
to write fillers says at which of them there is one (`models.whisper`).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.filler_removal import words_without_fillers
from dailytalk_contiguous.core.fillers import SPACELESS, are_fillers
from dailytalk_contiguous.core.sentences import (
    AUXILIARIES,
    DETERMINERS,
    DISCOURSE,
    QUESTION_WORDS,
    SUBJECTS,
    ends_sentence,
)
from dailytalk_contiguous.core.spans import voiced_spans
from dailytalk_contiguous.core.word_times import Word
from dailytalk_contiguous.models.sphinx import Sphinx

#: How English fillers sound: "uh", "ah", "er", "um" and "mm", in the phones of the dictionary.
READINGS = ("AH", "AA", "ER", "AH M", "AA M", "M")

#: The beam of the search, and of how many frames it hears one. It loses its way in one window of 76; to hear every
#: frame takes half as long again, and finds no more.
BEAM, EVERY = 1e-100, 2

#: A sound that is shorter than this, in seconds, or less likely (`Segment.likelihood`) is not taken for a filler.
SHORTEST, LEAST_LIKELY = 0.11, -4.5

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


class Place(NamedTuple):
    """Where a filler may be: before word number `before` or behind the last, from `start` to `end` in seconds."""

    before: int
    start: float
    end: float


class Filler(NamedTuple):
    """A filler that was said, in a spelling, with its probability in [0, 1]."""

    place: Place
    spelling: str
    probability: float


@lru_cache(maxsize=1)
def _sphinx() -> Sphinx:
    return Sphinx(BEAM, EVERY)


def places_of_fillers(samples: Samples, words: Sequence[Word], language: str) -> list[Place]:
    """Where fillers may be in 16 kHz samples in which these words were recognised, in order.

    None is beside a filler that was recognised.
    """
    places = _in_grammar(samples, words) if language == "en" else _uncovered(samples, words)
    fillers = are_fillers([word.text for word in words], language)

    def is_written(place: Place) -> bool:
        return any(fillers[max(0, place.before - 1) : place.before + 1])

    return [place for place in places if place.end - place.start >= SHORTEST and not is_written(place)]


def _in_grammar(samples: Samples, words: Sequence[Word]) -> list[Place]:
    """Sounds of English fillers that none of the words makes."""
    spoken = [index for index, word in enumerate(words) if any(map(str.isalnum, word.text))]
    places: list[Place] = []
    for extra in _sphinx().extra_sounds(samples, [words[index].text for index in spoken], READINGS):
        if extra.likelihood < LEAST_LIKELY:
            continue
        before = spoken[extra.before] if extra.before < len(spoken) else len(words)
        if places and places[-1].before == before and extra.start - places[-1].end < TOGETHER:
            places[-1] = places[-1]._replace(end=extra.end)
        else:
            places.append(Place(before, extra.start, extra.end))
    return places


def _uncovered(samples: Samples, words: Sequence[Word]) -> list[Place]:
    """Stretches of voice that no word covers."""
    ends = [0.0, *(word.end for word in words)]
    starts = [*(word.start for word in words), len(samples) / ANALYSIS_RATE]
    voiced = voiced_spans(samples, ANALYSIS_RATE)
    places: list[Place] = []
    for before, (since, until) in enumerate(zip(ends, starts, strict=True)):
        clipped = [(max(start, since), min(end, until)) for start, end in voiced]
        places += [Place(before, start, end) for start, end in clipped if end > start]
    return places


def with_fillers(words: Sequence[Word], fillers: Sequence[Filler], language: str) -> list[Word]:
    """A recogniser's words, in order, with fillers between them, which are in the order of their places.

    The text stays one sentence, with commas around a filler, and no word overlaps another.
    """
    result: list[Word] = []
    for index in range(len(words) + 1):
        own = [filler for filler in fillers if filler.place.before == index]
        begins_sentence = not result or ends_sentence(result[-1].text)
        for filler in own:
            _put(result, filler, language)
        if index == len(words):
            break
        word = words[index]
        if own:
            start = max(word.start, result[-1].end)
            text = _inside_a_sentence(word.text) if begins_sentence else word.text
            word = word._replace(text=text, start=start, end=max(word.end, start + LEAST_KEPT))
        result.append(word)
    return result


def _put(words: list[Word], filler: Filler, language: str) -> None:
    """Put a filler behind words, the last of which makes room for it."""
    comma = COMMAS.get(language, ",")
    start = filler.place.start
    spelling = filler.spelling.capitalize()
    if words:
        last = words[-1]
        text = last.text.rstrip()
        if not ends_sentence(text):
            spelling = filler.spelling
        if text[-1:] not in NO_COMMA_AFTER:
            text += comma
        start = max(start, last.start + LEAST_KEPT)
        words[-1] = last._replace(text=text, end=min(last.end, start))
    space = "" if language in SPACELESS else " "
    end = max(filler.place.end, start + LEAST_KEPT)
    words.append(Word(f"{space}{spelling}{comma}", start, end, filler.probability))


def _inside_a_sentence(word: str) -> str:
    """A word that began a sentence, as it is inside of one: a name keeps its capital."""
    plain = word.strip().strip(",.;:!?…").replace("’", "'").casefold()
    return word.casefold() if plain in SMALL_WORDS else word


def without_filler_words(words: Sequence[Word], language: str) -> list[Word]:
    """A recogniser's words without its fillers, as `words_without_fillers` spells them."""
    spelled = [word.text for word in words]
    texts = words_without_fillers(spelled, are_fillers(spelled, language))
    return [word._replace(text=text) for word, text in zip(words, texts, strict=True) if text is not None]
