"""The pocketsphinx aligner, for English (see `models.sphinx`).

A word that the dictionary lacks is spelled out by its letters. With all words of a recording spelled out, half of
the edges were still within 10 ms of a person's labels: the sounds around a border place it, not the spelling.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from dailytalk_contiguous.core.sound.levels import frame_levels
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.core.words.word_times import SHORTEST_WORD
from dailytalk_contiguous.core.words.written_forms import UNREADABLE, WrittenForm, written_forms
from dailytalk_contiguous.models.alignment import Aligner
from dailytalk_contiguous.models.sphinx import Sphinx, WordSegment

#: Beams of its search, one after another until every word has a place.
BEAMS = (1e-48, 1e-100, 1e-200)

#: `WordSegment.likelihood` under which a word was not said. It is lower for 2 % of the words that four
#: speakers of TIMIT said (1 % by telephone), and for 80 % of the words that were put where nobody said them.
LEAST_LIKELY = -6.0

#: The same of a written form (`core.words.written_forms`), under which it was said in another way than its
#: readings. Among 70 forms that joe and espeak say, those with one of their readings have at least -3.3, but for
#: two by espeak, and those for which other words are said at most -4.2. It is lower for 0.5 % of the words of over
#: 0.2 s that four speakers of TIMIT said, 3 % by telephone.
LEAST_LIKELY_FORM = -3.7

#: The same of a line's median word, under which the text is that of another sound.
LEAST_LIKELY_LINE = -4.5

#: Seconds from which there is a pause between two words.
PAUSE_SECONDS = 0.03

#: Sounds that come on gradually, so that people hear a word that begins with them later than the model.
GRADUAL = frozenset(("L", "M", "N", "R", "W", "Y"))

#: Seconds by which people hear such a word later.
GRADUAL_DELAY = 0.012

#: Seconds that a word keeps if its edges are corrected.
LEAST_KEPT = 0.02


class PocketSphinx:
    """Places English words, one utterance at a time."""

    def __call__(self, samples: Samples, words: Sequence[str], language: str) -> list[Word | None] | None:
        forms, search = _search_by_readings(samples, words)
        if search is None:
            return None
        likelihoods: list[float | None] = []  # None for a form without readings
        for form, segment in zip(forms, search.segments, strict=True):
            is_readable = form is None or form.readings
            likelihoods.append(segment.likelihood if is_readable else None)
        readable = [likelihood for likelihood in likelihoods if likelihood is not None]
        if not readable or np.median(readable) < LEAST_LIKELY_LINE:
            return None
        edges = _audible(_heard_by_people(search.segments, search.is_gradual), samples)
        placed: list[Word | None] = []
        for word, (start, end), likelihood in zip(words, edges, likelihoods, strict=True):
            is_likely = likelihood is not None and likelihood >= LEAST_LIKELY
            placed.append(Word(word, start, end, None) if is_likely else None)
        return placed


class _Search(NamedTuple):
    """The words that a search has found, and whether each begins with a gradual sound."""

    segments: list[WordSegment]
    is_gradual: list[bool]


def _search(samples: Samples, words: Sequence[str], forms: Sequence[WrittenForm | None]) -> _Search | None:
    """The first search that finds all words, from the narrowest beam; None if each is lost."""
    for beam in BEAMS:
        sphinx = _load_sphinx(beam)
        segments = sphinx.align(samples, words, forms)
        if segments:
            is_gradual = [sphinx.sounds(segment.token)[0] in GRADUAL for segment in segments]
            return _Search(segments, is_gradual)
    return None


_load_sphinx = lru_cache(maxsize=len(BEAMS))(Sphinx)


def _search_by_readings(
    samples: Samples, words: Sequence[str]
) -> tuple[Sequence[WrittenForm | None], _Search | None]:
    """The forms of words, and where these are; a form that is not found as any of its readings is `UNREADABLE`."""
    forms = written_forms(words)
    search = _search(samples, words, forms)
    fitting: list[WrittenForm | None] = []
    for index, form in enumerate(forms):
        is_found = search is not None and search.segments[index].likelihood >= LEAST_LIKELY_FORM
        fitting.append(form if form is None or is_found else UNREADABLE)
    if fitting == forms:
        return forms, search
    # The sound of the others keeps its room, and drags no word beside it.
    return fitting, _search(samples, words, fitting)


def _heard_by_people(segments: Sequence[WordSegment], is_gradual: Sequence[bool]) -> list[list[float]]:
    """The edges of words in seconds, where a border before a gradual sound is later."""
    edges = [[segment.start, segment.end] for segment in segments]
    for (before, after), begins_gradually in zip(pairwise(edges), is_gradual[1:], strict=True):
        is_border = after[0] - before[1] < PAUSE_SECONDS
        is_long_enough = after[1] - after[0] > LEAST_KEPT + GRADUAL_DELAY
        if begins_gradually and is_border and is_long_enough:
            after[0] += GRADUAL_DELAY
            before[1] = min(before[1] + GRADUAL_DELAY, after[0])
    return edges


#: By how many dB under its loudest moment a word begins after a pause, and ends before one.
AUDIBLE_DB = 30.0

#: Seconds in which the level is measured, at the edges of words.
LEVEL_SECONDS = 0.005


def _audible(edges: list[list[float]], samples: Samples) -> Iterator[tuple[float, float]]:
    """Yield the start and end of each word without the silence that the model gives it at a pause."""
    levels = frame_levels(samples, round(LEVEL_SECONDS * ANALYSIS_RATE))
    seconds = len(samples) / ANALYSIS_RATE
    ends_before = [-np.inf, *(end for _, end in edges[:-1])]
    starts_after = [*(start for start, _ in edges[1:]), np.inf]
    for (start, end), before, after in zip(edges, ends_before, starts_after, strict=True):
        first = int(start / LEVEL_SECONDS)
        behind = max(first + 1, round(end / LEVEL_SECONDS))
        word_levels = levels[first:behind]
        threshold = word_levels.max(initial=0.0) * 10 ** (-AUDIBLE_DB / 10)
        audible = np.flatnonzero(word_levels > threshold)
        if len(audible) and start - before >= PAUSE_SECONDS:
            sound_start = (first + int(audible[0])) * LEVEL_SECONDS
            start = max(start, min(sound_start, end - LEAST_KEPT))
        if len(audible) and after - end >= PAUSE_SECONDS:
            sound_end = (first + int(audible[-1]) + 1) * LEVEL_SECONDS
            end = min(end, max(sound_end, start + LEAST_KEPT))
        end = min(max(end, start + SHORTEST_WORD), seconds)
        yield min(start, end - SHORTEST_WORD), end


ALIGNER = Aligner("pocketsphinx", lambda device: PocketSphinx(), ("en",), version=7)
