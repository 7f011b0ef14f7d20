"""Where a filler may have been said that a recogniser left out: sounds that none of its words makes.

In English a grammar of the recognised words with a filler between any two finds them (`models.sphinx`); in other
languages, speech that no word covers. Both find more places than there are fillers: a recogniser that is prompted
to write fillers says at which of them there is one (`models.whisper`).
"""

import threading
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.fillers import SPACELESS, are_fillers
from dailytalk_contiguous.core.sentences import (
    AUXILIARIES,
    DETERMINERS,
    DISCOURSE,
    QUESTION_WORDS,
    SUBJECTS,
    ends_sentence,
)
from dailytalk_contiguous.core.spans import FRAME, UNDER_PEAK_DB, frame_levels, voiced_spans
from dailytalk_contiguous.core.word_times import SHORTEST_WORD, Word
from dailytalk_contiguous.models.sphinx import Sphinx

#: How English fillers sound: "uh", "ah", "er", "um" and "mm", in the phones of the dictionary.
READINGS = ("AH", "AA", "ER", "AH M", "AA M", "M")

#: The beam of the search, and of how many frames it hears one. It loses its way in one window of 76; to hear every
#: frame takes half as long again, and finds no more.
BEAM, EVERY = 1e-100, 2

#: Seconds of the shortest filler, and of the shortest in the midst of a sentence, where parts of words are like
#: it. What is less likely (`WordSegment.likelihood`) is none.
SHORTEST, SHORTEST_INSIDE = 0.11, 0.18
LEAST_LIKELY = -4.5

#: Seconds of the longest filler. More of them than so many between two words, or a longer one, are speech that the
#: recogniser has lost.
LONGEST, MOST_BETWEEN = 2.0, 2

#: By how many dB a filler may be under the sound around it: what is lower leaks from the other side.
MOST_UNDER_DB = 24.0

#: How probable a recogniser must find a filler behind a mark; and in the midst of a sentence, where it is asked
#: for the filler behind a comma that it has not written itself. In the bundled recordings, which have none, it
#: finds 0.0015 behind marks at most.
LEAST_PROBABLE, LEAST_PROBABLE_INSIDE = 0.04, 0.35

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


class FillerPlace(NamedTuple):
    """Where a filler may be: before word number `before` or behind the last, from `start` to `end` in seconds.

    `is_inside`: it is in the midst of a sentence, behind a word without a mark.
    """

    before: int
    start: float
    end: float
    is_inside: bool = False

    @property
    def least_probable(self) -> float:
        """How probable a recogniser must find a filler here."""
        return LEAST_PROBABLE_INSIDE if self.is_inside else LEAST_PROBABLE

    @property
    def shortest(self) -> float:
        """Seconds that a filler here has at least."""
        return SHORTEST_INSIDE if self.is_inside else SHORTEST


class Filler(NamedTuple):
    """A filler that was said, in a spelling, with its probability in [0, 1]."""

    place: FillerPlace
    spelling: str
    probability: float


_loading = threading.Lock()


@lru_cache(maxsize=1)
def _loaded() -> Sphinx:
    return Sphinx(BEAM, EVERY)


def _sphinx() -> Sphinx:
    with _loading:  # threads of a recogniser that all come first would load one each
        return _loaded()


def places_of_fillers(samples: Samples, words: Sequence[Word], language: str) -> list[FillerPlace]:
    """Where fillers may be in 16 kHz samples in which these words were recognised, in order.

    None is beside a filler that was recognised, and none where speech was lost.
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
        and not any(written[max(0, place.before - 1) : place.before + 1])
        and _level(samples, place) > heard * 10 ** (-MOST_UNDER_DB / 10)
    ]


def _audible_level(samples: Samples) -> float:
    """The mean square of what is audible of a window, without the silence between its utterances."""
    levels = frame_levels(samples, FRAME)
    audible = levels[levels > levels.max(initial=0.0) * 10 ** (-UNDER_PEAK_DB / 10)]
    return float(audible.mean()) if len(audible) else 0.0


def _level(samples: Samples, place: FillerPlace) -> float:
    sound = samples[int(place.start * ANALYSIS_RATE) : int(place.end * ANALYSIS_RATE)]
    return float(np.mean(np.square(sound, dtype=np.float64))) if len(sound) else 0.0


def _in_grammar(samples: Samples, words: Sequence[Word]) -> list[FillerPlace]:
    """Sounds of English fillers that none of the words makes."""
    spoken = [index for index, word in enumerate(words) if any(map(str.isalnum, word.text))]
    places: list[FillerPlace] = []
    for extra in _sphinx().extra_sounds(samples, [words[index].text for index in spoken], READINGS):
        if extra.likelihood < LEAST_LIKELY:
            continue
        before = spoken[extra.before] if extra.before < len(spoken) else len(words)
        if places and places[-1].before == before and extra.start - places[-1].end < TOGETHER:
            places[-1] = places[-1]._replace(end=extra.end)
        else:
            places.append(FillerPlace(before, extra.start, extra.end))
    return places


def _uncovered(samples: Samples, words: Sequence[Word]) -> list[FillerPlace]:
    """Stretches of voice that no word covers."""
    ends = [0.0, *(word.end for word in words)]
    starts = [*(word.start for word in words), len(samples) / ANALYSIS_RATE]
    voiced = voiced_spans(samples, ANALYSIS_RATE)
    places: list[FillerPlace] = []
    for before, (since, until) in enumerate(zip(ends, starts, strict=True)):
        clipped = [(max(start, since), min(end, until)) for start, end in voiced]
        places += [FillerPlace(before, start, end) for start, end in clipped if end > start]
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
        if own and begins_sentence:
            word = word._replace(text=_inside_a_sentence(word.text))
        if result:
            earliest = result[-1].end if own else result[-1].start + SHORTEST_WORD
            if word.start < earliest:  # a filler has moved it, or the word before
                word = word._replace(start=earliest, end=max(word.end, earliest + LEAST_KEPT))
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
    from dailytalk_contiguous.core.filler_removal import words_without_fillers  # which few runs need

    spelled = [word.text for word in words]
    texts = words_without_fillers(spelled, are_fillers(spelled, language))
    return [word._replace(text=text) for word, text in zip(words, texts, strict=True) if text is not None]
