"""Where a speaker may have hesitated in sound that a recogniser has no word for.

In English a grammar of the recognised words, with a filler between any two, each of which may be said twice or
broken off, finds fillers, repeats and words that are cut off (`models.sphinx`); in other languages, speech that no
word covers may be a filler. Both find more places than there are: a recogniser that is prompted to write fillers
says at which of them a speaker hesitates (`models.whisper`).
"""

import re
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from dailytalk_contiguous.core.sound.clean_speech import voiced_spans
from dailytalk_contiguous.core.sound.levels import frame_levels
from dailytalk_contiguous.core.sound.nonspeech_sounds import FRAME
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.sound.sound_edges import UNDER_PEAK_DB
from dailytalk_contiguous.core.words.fillers import SPACELESS, are_fillers
from dailytalk_contiguous.core.words.sentences import (
    AUXILIARIES,
    DETERMINERS,
    DISCOURSE,
    QUESTION_WORDS,
    SUBJECTS,
    ends_sentence,
)
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.core.words.word_times import SHORTEST_WORD, has_words
from dailytalk_contiguous.models.sphinx import Sphinx

#: Seconds of the shortest filler.
SHORTEST = 0.11

#: Seconds of the shortest filler in the midst of a sentence, where parts of words are like one.
SHORTEST_INSIDE = 0.18

#: Seconds of the shortest repeat.
SHORTEST_REPEAT = 0.11

#: How probable a recogniser must find a filler behind a mark. In the bundled recordings, which have none, it finds
#: 0.0015 behind marks at most.
LEAST_PROBABLE = 0.04

#: How probable it must find a filler in the midst of a sentence, where it is asked for the filler behind a comma
#: that it has not written itself.
LEAST_PROBABLE_INSIDE = 0.35

#: How probable it must find a word behind itself and a comma. Where TIMIT's speakers dr1 to dr4 say a word once,
#: it finds 0.002 at most.
LEAST_PROBABLE_REPEAT = 0.2

#: Seconds that the words around a filler keep at least.
LEAST_KEPT = 0.04

#: Marks behind which no comma is set.
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
    """A filler in a spelling, or the words that are said twice if its position has some.

    `probability`: that it was said, in [0, 1].
    """

    position: HesitationPlace
    spelling: str
    probability: float

    @property
    def is_probable(self) -> bool:
        """Whether it is probable enough, at its place, to be written."""
        return self.probability >= self.position.least_probable


_loading = threading.Lock()
_load_sphinx = lru_cache(maxsize=1)(Sphinx)


#: Seconds of the longest filler or repeat: a longer one is speech that the recogniser has lost.
LONGEST = 2.0

#: Fillers and repeats between two words: where there are more, the recogniser has lost speech.
MOST_BETWEEN = 2

#: By how many dB a filler may be under the sound around it. Without this limit, two of the 170 utterances of seven
#: calls got the filler of the next one.
MOST_UNDER_DB = 24.0


def places_of_hesitations(samples: Samples, words: Sequence[Word], language: str) -> list[HesitationPlace]:
    """Where a speaker may hesitate in 16 kHz samples in which these words were recognised, in order.

    No filler is beside one that was recognised, and none where speech was lost.
    """
    candidates = _in_grammar(samples, words) if language == "en" else _uncovered(samples, words)
    # The first word of a sentence is behind a mark, and behind nothing.
    has_mark = [True, *(word.text.rstrip()[-1:] in NO_COMMA_AFTER for word in words)]
    long_enough: list[HesitationPlace] = []
    for candidate in candidates:
        candidate = candidate._replace(is_inside=not has_mark[candidate.before])
        if candidate.end - candidate.start >= candidate.shortest:
            long_enough.append(candidate)
    n_between = Counter(candidate.before for candidate in long_enough)
    lost = {before for before, count in n_between.items() if count > MOST_BETWEEN}
    lost |= {candidate.before for candidate in long_enough if candidate.end - candidate.start > LONGEST}
    is_filler = are_fillers([word.text for word in words], language)
    # The mean square of what is audible of a window, without the silence between its utterances.
    levels = frame_levels(samples, FRAME)
    audible = levels[levels > levels.max(initial=0.0) * 10 ** (-UNDER_PEAK_DB / 10)]
    audible_level = float(audible.mean()) if len(audible) else 0.0
    least_level = audible_level * 10 ** (-MOST_UNDER_DB / 10)
    places: list[HesitationPlace] = []
    for candidate in long_enough:
        beside = is_filler[max(0, candidate.before - 1) : candidate.before + 1]
        is_beside_filler = not candidate.again and any(beside)
        if candidate.before in lost or is_beside_filler:
            continue
        sound = samples[int(candidate.start * ANALYSIS_RATE) : int(candidate.end * ANALYSIS_RATE)]
        if len(sound):
            level = float(np.mean(np.square(sound, dtype=np.float64)))
            if level > least_level:
                places.append(candidate)
    return places


#: How English fillers sound: "uh", "ah", "er", "um" and "mm", in the phones of the dictionary.
READINGS = ("AH", "AA", "ER", "AH M", "AA M", "M")

#: The beam of the search.
BEAM = 1e-100

#: The search compares one frame of so many. To compare every frame takes half as long again, and finds no more.
EVERY = 2

#: `WordSegment.likelihood` under which a sound is neither a filler nor a repeat.
LEAST_LIKELY = -6.0

#: Sounds of one filler are at most this far apart, in seconds.
TOGETHER = 0.15


def _in_grammar(samples: Samples, words: Sequence[Word]) -> list[HesitationPlace]:
    """Sounds of English fillers, and of words that are said twice, that none of the words makes."""
    places: list[HesitationPlace] = []
    unlikely: set[int] = set()  # words before which a repeat sounds unlike the word
    with _loading:  # threads of a recogniser that all come first would load one each
        sphinx = _load_sphinx(BEAM, EVERY)
    for piece in _stretches(samples, words):
        sound = samples[int(piece.start * ANALYSIS_RATE) : int(piece.end * ANALYSIS_RATE)]
        numbers = range(piece.first, piece.behind)
        spoken = [number for number in numbers if has_words(words[number].text)]
        texts = [words[number].text for number in spoken]
        positions = [index for index, number in enumerate([*spoken, piece.behind]) if number in piece.doubtful]
        if not positions or not len(sound):
            continue
        for extra in sphinx.extra_sounds(sound, texts, READINGS, positions):
            before = spoken[extra.before] if extra.before < len(spoken) else piece.behind
            candidate = HesitationPlace(before, extra.start + piece.start, extra.end + piece.start)
            is_unlikely = extra.likelihood < LEAST_LIKELY
            goes_on = False
            if extra.again is None:
                if is_unlikely:
                    continue
                if places:  # it may belong to the filler of the last place
                    last = places[-1]
                    is_together = candidate.start - last.end < TOGETHER
                    goes_on = last.before == before and not last.again and is_together
            else:
                part = _said_in_part(texts[extra.again], extra.share)
                repeated = Word(part, candidate.start, candidate.end, None)
                candidate = candidate._replace(again=(repeated,))
                if is_unlikely or part.startswith("-"):  # a part of a compound
                    unlikely.add(before)
                goes_on = extra.again > extra.before
            if goes_on:
                earlier = places.pop()
                again = earlier.again + candidate.again
                candidate = candidate._replace(start=earlier.start, again=again)
            places.append(candidate)
    return [candidate for candidate in places if not (candidate.again and candidate.before in unlikely)]


#: By how many seconds a word lasts longer than it takes to say, where a hesitation may be in its time.
LONGER = 0.25

#: Seconds of sound between two words, or before the first or behind the last, that may be a hesitation.
UNCOVERED = 0.3

#: By how many dB a frame may be under the loudest tenth of its window and still be sound of a speaker.
UNDER_LOUD_DB = 25.0

#: How many words on either side of a doubtful place are searched with it.
WORDS_AROUND = 2

#: Seconds before the first and behind the last of these words: about as inexact are a recogniser's times.
MARGIN = 0.05


class _Stretch(NamedTuple):
    """A part of a window to search: its words, from number `first` to the one before `behind`, its start and end in
    seconds, and the numbers of the words before which a hesitation may be.
    """

    first: int
    behind: int
    start: float
    end: float
    doubtful: list[int]


def _stretches(samples: Samples, words: Sequence[Word]) -> list[_Stretch]:
    """The parts of a window in which a hesitation may be, in order, without overlap of their words."""
    seconds = len(samples) / ANALYSIS_RATE
    stretches: list[_Stretch] = []
    for before in _doubtful_places(samples, words):
        first = max(0, before - WORDS_AROUND)
        behind = min(len(words), before + WORDS_AROUND)
        doubtful = [before]
        if stretches and first < stretches[-1].behind:
            last = stretches.pop()
            first = last.first
            doubtful = [*last.doubtful, before]
        start = max(0.0, words[first].start - MARGIN) if doubtful[0] > 0 else 0.0
        end = min(words[behind - 1].end + MARGIN, seconds) if before < len(words) else seconds
        stretches.append(_Stretch(first, behind, start, end, doubtful))
    return stretches


def _doubtful_places(samples: Samples, words: Sequence[Word]) -> list[int]:
    """The numbers of the words before which a hesitation may be; that behind the last word for the end.

    A recogniser that leaves a hesitation out gives its time to a word beside it, or leaves it without a word.
    """
    levels = frame_levels(samples, FRAME)
    is_loud = levels > np.quantile(levels, 0.9) * 10 ** (-UNDER_LOUD_DB / 10)
    frames_per_second = ANALYSIS_RATE / FRAME
    is_longer = [word.end - word.start - seconds_to_say(word.text) > LONGER for word in words]
    ends = [0.0, *(word.end for word in words)]
    starts = [*(word.start for word in words), len(samples) / ANALYSIS_RATE]
    doubtful: list[int] = []
    for before, (pause_start, pause_end) in enumerate(zip(ends, starts, strict=True)):
        first_frame = int(pause_start * frames_per_second)
        last_frame = int(pause_end * frames_per_second)
        uncovered = is_loud[first_frame:last_frame].sum() / frames_per_second
        if uncovered > UNCOVERED or any(is_longer[max(0, before - 1) : before + 1]):
            doubtful.append(before)
    return doubtful


#: What a word takes to say: seconds for the word and for each letter, and how many letters a digit or a sign and a
#: capital behind the first letter last; and seconds more before a mark. A regression on the bundled recordings.
WORD_SECONDS = 0.065
LETTER_SECONDS = 0.037
LETTERS_OF_A_DIGIT = 5
LETTERS_OF_A_CAPITAL = 5
MARK_SECONDS = 0.12


def seconds_to_say(word: str) -> float:
    """About how long a word with its marks takes to say, by its letters."""
    n_letters = sum(map(str.isalpha, word))
    n_digits = sum(character.isdigit() or character in "$€£%" for character in word)
    n_capitals = len(re.findall(r"(?<![a-z])[A-Z](?![a-z'])", word)) if n_letters + n_digits > 1 else 0
    n_letters += LETTERS_OF_A_DIGIT * n_digits + (LETTERS_OF_A_CAPITAL - 1) * n_capitals
    seconds = WORD_SECONDS + LETTER_SECONDS * n_letters
    if word.rstrip()[-1:] in NO_COMMA_AFTER:
        seconds += MARK_SECONDS
    return seconds


def bare_word(word: str) -> str:
    """A recogniser's word without the marks around it, its capital as it is."""
    return word.strip().strip(',.;:!?…"“”')


def _said_in_part(word: str, share: float) -> str:
    """A word without its marks, of which a share is said: "courier", "cour-"."""
    plain = bare_word(word)
    if share == 1:
        return plain
    n_letters = max(1, round(share * len(plain)))
    _, is_filler = are_fillers(["so", plain[:n_letters]], "en")
    if is_filler:  # "umbrella"
        n_letters += 1
    return f"{plain[:n_letters]}-"


def _uncovered(samples: Samples, words: Sequence[Word]) -> list[HesitationPlace]:
    """Stretches of voice that no word covers."""
    ends = [0.0, *(word.end for word in words)]
    starts = [*(word.start for word in words), len(samples) / ANALYSIS_RATE]
    voiced = voiced_spans(samples, ANALYSIS_RATE)
    places: list[HesitationPlace] = []
    for before, (pause_start, pause_end) in enumerate(zip(ends, starts, strict=True)):
        for voice_start, voice_end in voiced:
            start = max(voice_start, pause_start)
            end = min(voice_end, pause_end)
            if end > start:
                places.append(HesitationPlace(before, start, end))
    return places


def with_hesitations(words: Sequence[Word], hesitations: Sequence[Hesitation], language: str) -> list[Word]:
    """A recogniser's words, in order, with hesitations between them, which are in the order of their places.

    The text stays one sentence, with commas around a hesitation, and no word overlaps another.
    """
    result: list[Word] = []
    for index in range(len(words) + 1):
        here = [hesitation for hesitation in hesitations if hesitation.position.before == index]
        begins_sentence = not result or ends_sentence(result[-1].text)
        for position, spelling, probability in here:
            if not position.again:
                _end_in_comma(result, language)
            filler = Word(spelling, position.start, position.end, None)
            for word in position.again or (filler,):
                _put(result, word.said_with(probability), language)
            _end_in_comma(result, language)
        if index == len(words):
            break
        word = words[index]
        if here and begins_sentence:
            word = word.spelled(_inside_a_sentence(word.text))
        if result:
            earliest = result[-1].end if here else result[-1].start + SHORTEST_WORD
            if word.start < earliest:  # a hesitation has moved it, or the word before
                end = max(word.end, earliest + LEAST_KEPT)
                word = word.at(earliest, end)
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
        words[-1] = last.at(last.start, min(last.end, start))
    if language not in SPACELESS:
        text = f" {text}"
    end = max(word.end, start + LEAST_KEPT)
    words.append(Word(text, start, end, word.probability))


#: The comma of a language, if it is another than ours.
COMMAS = {"ja": "、", "zh": "，"}


def _end_in_comma(words: list[Word], language: str) -> None:
    """Set a comma behind the last word, unless it has a mark."""
    text = words[-1].text.rstrip() if words else "."
    if text[-1:] not in NO_COMMA_AFTER:
        comma = COMMAS.get(language, ",")
        words[-1] = words[-1].spelled(text + comma)


def _inside_a_sentence(word: str) -> str:
    """A word that began a sentence, as it is inside of one: a name keeps its capital."""
    plain = bare_word(word).replace("’", "'").casefold()
    return word.casefold() if plain in SMALL_WORDS else word


def without_filler_words(words: Sequence[Word], language: str) -> list[Word]:
    """A recogniser's words without its fillers, as `words_without_fillers` spells them."""
    from dailytalk_contiguous.core.words.filler_removal import words_without_fillers  # loads datasets

    spelled = [word.text for word in words]
    is_filler = are_fillers(spelled, language)
    texts = words_without_fillers(spelled, is_filler)
    return [word.spelled(text) for word, text in zip(words, texts, strict=True) if text is not None]
