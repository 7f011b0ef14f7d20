"""Places where a speaker may have hesitated, in sound for which a recogniser has no word.

In English a grammar of the recognised words, with fillers between them, each of which may be said twice or broken
off, finds fillers, repeats and words that are cut off (`models.sphinx`). To search takes time, so it is done only
where a word lasts longer than it takes to say, or a sound has no word. In other languages, speech that no word
covers may be a filler. Both find more places than there are: a recogniser that is prompted to write fillers says
at which of them a speaker hesitates (`models.whisper`).
"""

import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.sound.clean_speech import voiced_spans
from dailytalk_contiguous.core.sound.levels import frame_levels
from dailytalk_contiguous.core.sound.nonspeech_sounds import FRAME, FRAME_SECONDS
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples
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

#: The probability from which a filler behind a mark counts. In the bundled recordings, which have none, it finds
#: 0.0015 behind marks at most.
LEAST_PROBABLE = 0.04

#: The probability from which a filler in the middle of a sentence counts, where the recogniser is asked for it
#: behind a comma that it has not written itself.
LEAST_PROBABLE_INSIDE = 0.35

#: The probability from which a word behind itself and a comma counts. It is at most 0.002 where TIMIT's speakers
#: dr1 to dr4 say a word once.
LEAST_PROBABLE_REPEAT = 0.2

#: Seconds that the words around a filler keep at least.
LEAST_KEPT = 0.04

#: Marks behind which no comma is set.
NO_COMMA_AFTER = frozenset(".,;:!?…-–—。、，！？")

#: English words that have a capital only where they begin a sentence.
_OPENING = DISCOURSE | SUBJECTS | DETERMINERS | AUXILIARIES | QUESTION_WORDS
SMALL_WORDS = (_OPENING | {"a", "an", "at", "in", "on"}) - {"i"}


class HesitationPlace(NamedTuple):
    """A place where a speaker may hesitate.

    Attributes:
        before: the number of the word that follows it; the number of words if it is behind the last one.
        start: start in seconds.
        end: end in seconds.
        is_inside: whether it is in the middle of a sentence, behind a word without a punctuation mark.
        repeated: the words that are said here, whole or in part, and once more behind it; if there are none, a
            filler may have been said here.
    """

    before: int
    start: float
    end: float
    is_inside: bool = False
    repeated: tuple[Word, ...] = ()

    @property
    def least_probable(self) -> float:
        """The probability from which a recogniser's hesitation counts here."""
        if self.repeated:
            return LEAST_PROBABLE_REPEAT
        return LEAST_PROBABLE_INSIDE if self.is_inside else LEAST_PROBABLE

    @property
    def shortest(self) -> float:
        """The shortest hesitation here, in seconds."""
        if self.repeated:
            return SHORTEST_REPEAT
        return SHORTEST_INSIDE if self.is_inside else SHORTEST


class Hesitation(NamedTuple):
    """A filler, or words that are said twice.

    Attributes:
        position: its place.
        spelling: the spelling of a filler.
        probability: the probability that it was said, in [0, 1].
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

#: By how many dB a frame may be under the loudest one of its window to be sound of the speaker.
UNDER_LOUDEST_DB = 30.0

#: By how many dB a filler may be under the sound around it. Without this limit, two of the 170 utterances of seven
#: calls got the filler of the next one.
MOST_UNDER_DB = 24.0


def places_of_hesitations(samples: Samples, words: Sequence[Word], language: str) -> list[HesitationPlace]:
    """Find the places in 16 kHz samples where a speaker may hesitate, given the recognised words, in order.

    No filler is placed beside a recognised one, or where speech was lost.
    """
    levels = frame_levels(samples, FRAME)
    is_audible = levels > levels.max(initial=0.0) * 10 ** (-UNDER_LOUDEST_DB / 10)
    if language == "en":
        stretches = _stretches(words, len(samples) / ANALYSIS_RATE, _doubtful_places(words, is_audible))
        candidates = _in_grammar(samples, words, stretches)
    else:
        candidates = _uncovered(samples, words)
    # The first word of a sentence is behind a mark, and behind nothing.
    has_mark = [True, *(word.word.rstrip()[-1:] in NO_COMMA_AFTER for word in words)]
    long_enough: list[HesitationPlace] = []
    for candidate in candidates:
        candidate = candidate._replace(is_inside=not has_mark[candidate.before])
        if candidate.end - candidate.start >= candidate.shortest:
            long_enough.append(candidate)
    n_between = Counter(candidate.before for candidate in long_enough)
    lost = {before for before, count in n_between.items() if count > MOST_BETWEEN}
    lost |= {candidate.before for candidate in long_enough if candidate.end - candidate.start > LONGEST}
    is_filler = are_fillers([word.word for word in words], language)
    # The mean square of what is audible of a window, without the silence between its utterances.
    audible_level = float(levels[is_audible].mean()) if is_audible.any() else 0.0
    least_level = audible_level * 10 ** (-MOST_UNDER_DB / 10)
    places: list[HesitationPlace] = []
    for candidate in long_enough:
        beside = is_filler[max(0, candidate.before - 1) : candidate.before + 1]
        is_beside_filler = not candidate.repeated and any(beside)
        if candidate.before in lost or is_beside_filler:
            continue
        sound = samples[int(candidate.start * ANALYSIS_RATE) : int(candidate.end * ANALYSIS_RATE)]
        if len(sound):
            level = float(np.mean(np.square(sound, dtype=np.float64)))
            if level > least_level:
                places.append(candidate)
    return places


class _Stretch(NamedTuple):
    """A part of a window: words from number `first` to the one before `behind`, its start and end in seconds."""

    first: int
    behind: int
    start: float
    end: float


#: How many words on either side of a doubtful place are searched with it.
WORDS_AROUND = 2

#: Seconds before and behind these words that are searched, too.
MARGIN = 0.05


def _stretches(words: Sequence[Word], seconds: float, places: Iterable[int]) -> list[_Stretch]:
    """The parts of a window of so many seconds around doubtful places, in order; no word is in two of them."""
    stretches: list[_Stretch] = []
    for before in places:
        first = max(0, before - WORDS_AROUND)
        behind = min(len(words), before + WORDS_AROUND)
        if stretches and first < stretches[-1].behind:
            first = stretches.pop().first
        start = max(0.0, words[first].start - MARGIN) if first > 0 else 0.0
        end = min(words[behind - 1].end + MARGIN, seconds) if behind < len(words) else seconds
        stretches.append(_Stretch(first, behind, start, end))
    return stretches


#: A word that lasts so many seconds longer than it takes to say may have a hesitation in its time. Chosen on four
#: calls and on repeats by eight speakers of TIMIT: with 0.25, eleven repeats of twelve are still found.
LONGER = 0.2

#: Seconds of sound between two words, before the first or behind the last, that may be a hesitation.
UNCOVERED = 0.2


def _doubtful_places(words: Sequence[Word], is_audible: NDArray[np.bool_]) -> Iterator[int]:
    """The numbers of the words before which a hesitation may be, or how many words there are for the end.

    A recogniser gives the time of a hesitation that it leaves out to a word beside it, or to none. `is_audible`:
    of each frame of a window.
    """
    is_longer = [word.end - word.start - seconds_to_say(word.word) > LONGER for word in words]
    ends = [0.0, *(word.end for word in words)]
    starts = [*(word.start for word in words), len(is_audible) * FRAME_SECONDS]
    for before, (pause_start, pause_end) in enumerate(zip(ends, starts, strict=True)):
        pause = is_audible[int(pause_start / FRAME_SECONDS) : int(pause_end / FRAME_SECONDS)]
        uncovered = int(pause.sum()) * FRAME_SECONDS
        is_beside_longer = any(is_longer[max(0, before - 1) : before + 1])
        if is_beside_longer or uncovered > UNCOVERED:
            yield before


#: Seconds that a word and each of its letters take to say, and that the last sounds before a mark take longer; by
#: a regression on the bundled recordings with the words of Whisper base.
WORD_SECONDS = 0.065
LETTER_SECONDS = 0.037
MARK_SECONDS = 0.12

#: How many letters a digit, a sign or a capital inside a word takes, whose name is said: 4 to 10 in the bundled
#: recordings and in four calls.
LETTERS_OF_A_NAME = 5

#: Digits and signs whose names are said, and capitals of abbreviations.
_NAMED = re.compile(r"[\d$€£%]|(?<=[A-Z])[A-Z]|(?<=[-.])[A-Z]")


def seconds_to_say(word: str) -> float:
    """About how long a word takes to say with its marks, by its letters."""
    n_named = len(_NAMED.findall(word))
    n_letters = sum(map(str.isalpha, word)) + LETTERS_OF_A_NAME * n_named
    before_mark = word.rstrip()[-1:] in NO_COMMA_AFTER
    return WORD_SECONDS + LETTER_SECONDS * n_letters + MARK_SECONDS * before_mark


#: How English fillers sound: "uh", "ah", "er", "um" and "mm", in the phones of the dictionary.
READINGS = ("AH", "AA", "ER", "AH M", "AA M", "M")

#: The beam of the search.
BEAM = 1e-100

#: The search compares one frame of so many. To compare every frame takes half as long again, and finds no more.
EVERY = 2

#: Seconds of room tone around a stretch: 0.6 finds as much, and takes an eighth longer.
ROOM_SECONDS = 0.3

#: `WordSegment.likelihood` under which a sound is neither a filler nor a repeat.
LEAST_LIKELY = -6.0

#: Sounds of one filler are at most this far apart, in seconds.
TOGETHER = 0.15


def _in_grammar(samples: Samples, words: Sequence[Word], stretches: Iterable[_Stretch]) -> list[HesitationPlace]:
    """Sounds of English fillers, and of words that are said twice, that none of the words makes."""
    places: list[HesitationPlace] = []
    unlikely: set[int] = set()  # words before which a repeat sounds unlike the word
    with _loading:  # threads of a recogniser that all come first would load one each
        sphinx = _load_sphinx(BEAM, EVERY, ROOM_SECONDS)
    for stretch in stretches:
        sound = samples[int(stretch.start * ANALYSIS_RATE) : int(stretch.end * ANALYSIS_RATE)]
        numbers = range(stretch.first, stretch.behind)
        spoken = [number for number in numbers if has_words(words[number].word)]
        texts = [words[number].word for number in spoken]
        # Its first and last word may be cut off, unless the window begins or ends there.
        first_place = 0 if stretch.first == 0 else 1
        behind_places = len(spoken) + 1 if stretch.behind == len(words) else len(spoken) - 1
        places_searched = range(first_place, behind_places)
        if not places_searched:
            continue
        for extra in sphinx.extra_sounds(sound, texts, READINGS, places_searched):
            before = spoken[extra.before] if extra.before < len(spoken) else stretch.behind
            candidate = HesitationPlace(before, extra.start + stretch.start, extra.end + stretch.start)
            is_unlikely = extra.likelihood < LEAST_LIKELY
            goes_on = False
            if extra.repeated_word is None:
                if is_unlikely:
                    continue
                if places:  # it may belong to the filler of the last place
                    last = places[-1]
                    is_together = candidate.start - last.end < TOGETHER
                    goes_on = last.before == before and not last.repeated and is_together
            else:
                part = _said_in_part(texts[extra.repeated_word], extra.share)
                word = Word(part, candidate.start, candidate.end, None)
                candidate = candidate._replace(repeated=(word,))
                if is_unlikely or part.startswith("-"):  # a part of a compound
                    unlikely.add(before)
                goes_on = extra.repeated_word > extra.before
            if goes_on:
                earlier = places.pop()
                repeated = earlier.repeated + candidate.repeated
                candidate = candidate._replace(start=earlier.start, repeated=repeated)
            places.append(candidate)
    return [candidate for candidate in places if not (candidate.repeated and candidate.before in unlikely)]


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
        begins_sentence = not result or ends_sentence(result[-1].word)
        for position, spelling, probability in here:
            if not position.repeated:
                _end_in_comma(result, language)
            filler = Word(spelling, position.start, position.end, None)
            for word in position.repeated or (filler,):
                _put(result, word.said_with(probability), language)
            _end_in_comma(result, language)
        if index == len(words):
            break
        word = words[index]
        if here and begins_sentence:
            word = word.spelled(_inside_a_sentence(word.word))
        if result:
            earliest = result[-1].end if here else result[-1].start + SHORTEST_WORD
            if word.start < earliest:  # a hesitation has moved it, or the word before
                end = max(word.end, earliest + LEAST_KEPT)
                word = word.moved_to(earliest, end)
        result.append(word)
    return result


def _put(words: list[Word], word: Word, language: str) -> None:
    """Put a word of a hesitation behind words, the last of which makes room for it."""
    start = word.start
    begins_sentence = not words or ends_sentence(words[-1].word)
    capitalised = word.word[:1].upper() + word.word[1:]
    text = capitalised if begins_sentence else _inside_a_sentence(word.word)
    if words:
        last = words[-1]
        start = max(start, last.start + LEAST_KEPT)
        words[-1] = last.moved_to(last.start, min(last.end, start))
    if language not in SPACELESS:
        text = f" {text}"
    end = max(word.end, start + LEAST_KEPT)
    words.append(Word(text, start, end, word.probability))


#: The comma of a language, if it is another than ours.
COMMAS = {"ja": "、", "zh": "，"}


def _end_in_comma(words: list[Word], language: str) -> None:
    """Set a comma behind the last word, unless it has a mark."""
    text = words[-1].word.rstrip() if words else "."
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

    spelled = [word.word for word in words]
    is_filler = are_fillers(spelled, language)
    texts = words_without_fillers(spelled, is_filler)
    return [word.spelled(text) for word, text in zip(words, texts, strict=True) if text is not None]
