"""The pocketsphinx decoder: places words in their sound.

Its English acoustic model and pronouncing dictionary come in its wheel. It does not recognise speech here: it
places known words, or finds sounds that none of them makes.
"""

import re
import string
import sys
import threading
from collections.abc import Iterator, Sequence
from itertools import count, pairwise
from math import log
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples, to_pcm
from dailytalk_contiguous.core.words.written_forms import WrittenForm, written_forms

if TYPE_CHECKING:
    from pocketsphinx import Decoder

#: Seconds of a frame.
FRAME = 0.01

#: Seconds from the first frame of a word to its border: a frame is 25.6 ms long and counts for its middle.
#: Measured in speech that people labelled (four speakers of TIMIT).
FRAME_DELAY = 0.005

#: Seconds of room tone before and behind the sound: in a short line without a pause there is too little silence to
#: know the channel by. Chosen on four speakers of TIMIT, as recorded and by telephone, as the next two are.
ROOM_SECONDS = 0.6

#: The divisor of the logarithms of its scores.
SCORE_SCALE = 1024

#: English letters, and how each is mostly said, in the sounds of the dictionary.
LETTERS = dict(
    zip(
        string.ascii_lowercase,
        "AE|B|K|D|EH|F|G|HH|IH|JH|K|L|M|N|AA|P|K|R|S|T|AH|V|W|K S|IY|Z".split("|"),  # noqa: SIM905 (a table)
        strict=True,
    )
)


class WordSegment(NamedTuple):
    """A word that a search has placed.

    Attributes:
        token: the token of the word in the decoder's dictionary.
        start: start in seconds of the sound.
        end: end in seconds of the sound.
        likelihood: mean log likelihood of its frames, each against the likeliest sound of that frame: 0 at most.
    """

    token: str
    start: float
    end: float
    likelihood: float


class Extra(NamedTuple):
    """A sound between the words of a text, with times and likelihood as in `WordSegment`.

    Attributes:
        before: the number of the word that follows it; the number of words if it is behind the last one.
        start: start in seconds.
        end: end in seconds.
        likelihood: mean of its frames.
        repeated_word: the number of the word that is said here, whole or in part, and once more behind it; None
            for another sound.
        share: the part of that word that is said here, in (0, 1].
    """

    before: int
    start: float
    end: float
    likelihood: float
    repeated_word: int | None = None
    share: float = 1.0


#: The end of the tokens of sounds that are no words.
EXTRA = "~~"

#: The grammar's probability of each of these sounds between any two words.
EXTRA_PROBABILITY = 3e-4

#: The mark between a token and the number of its sounds that are said, where the word is said again behind it.
AGAIN = "^"

#: The grammar's probability of such a repeat between any two words.
AGAIN_PROBABILITY = 1e-6

#: The mark before the token of a word that is said behind others for one written word.
BEHIND = "+"

#: The mark behind a sound that is said for a written word of which no reading is known.
ANY_SOUND = "?"

#: The grammar's probability of each of these sounds behind any other.
ANY_PROBABILITY = 0.01

#: The sounds of the dictionary.
VOWELS = "AA|AE|AH|AO|AW|AY|EH|ER|EY|IH|IY|OW|OY|UH|UW"
CONSONANTS = "B|CH|D|DH|F|G|HH|JH|K|L|M|N|NG|P|R|S|SH|T|TH|V|W|Y|Z|ZH"

#: The mark behind the token of a word in capitals that the dictionary lacks.
ABBREVIATION = "="

#: The most letters of a word in capitals that may be said by their names: "XKCD".
MOST_LETTERS = 5

#: The fewest sounds of a word behind which it is broken off.
FEWEST_SOUNDS = 2

#: The most sounds of a word behind which it is broken off.
MOST_SOUNDS = 4

#: The most sounds of each of two words that are said twice ("I was, I was"): longer ones are rare, and to look for
#: them takes time.
MOST_SOUNDS_OF_TWO = 3


class GrammarArc(NamedTuple):
    """A step of a grammar from state `start` to state `end`: its probability, and the token that is said."""

    start: int
    end: int
    probability: float
    token: str


class Sphinx:
    """A decoder with the given beam. Searches of several threads wait for each other.

    Args:
        beam: the width of the search. A narrow beam is faster, and may lose its way; a wider one takes longer.
        every: the number of frames of which one is compared with the model; the others have its scores.
        room_seconds: seconds of room tone before and behind the sound.
    """

    def __init__(self, beam: float, every: int = 1, room_seconds: float = ROOM_SECONDS) -> None:
        import pocketsphinx

        model = pocketsphinx.get_model_path("en-us")
        files = {"hmm": f"{model}/en-us", "lm": None, "dict": f"{model}/cmudict-en-us.dict"}
        beams = {"beam": beam, "pbeam": beam, "wbeam": beam}
        self._decoder: Decoder = pocketsphinx.Decoder(**files, bestpath=False, loglevel="FATAL", ds=every, **beams)
        self._room_seconds = room_seconds
        self._lock = threading.Lock()

    def align(
        self, samples: Samples, words: Sequence[str], forms: Sequence[WrittenForm | None]
    ) -> list[WordSegment] | None:
        """Place words, each with a letter or digit, in 16 kHz samples; None if the search is lost.

        `forms` are their `written_forms`. Any sound may stand for a form without readings.
        """
        with self._lock:
            if any(forms):
                self._set_grammar("forms", self._arcs(words, forms), len(words))
            else:
                tokens = [self._token(word) for word in words]
                self._decoder.set_align_text(" ".join(tokens))
            segments = _whole_words(self._search(samples))
        return segments if len(segments) == len(words) else None

    def _set_grammar(self, name: str, arcs: Sequence[GrammarArc], last: int) -> None:
        """Make the next search one for a way from state 0 to the last one."""
        grammar = self._decoder.create_fsg(name, 0, last, arcs)
        self._decoder.add_fsg(name, grammar)
        self._decoder.activate_search(name)

    def _arcs(self, words: Sequence[str], forms: Sequence[WrittenForm | None]) -> list[GrammarArc]:
        """A grammar that leads from the state before each word to that behind it.

        These are numbered from 0; states inside of written forms follow them.
        """
        arcs: list[GrammarArc] = []
        states = count(len(words) + 1)
        for index, (word, form) in enumerate(zip(words, forms, strict=True)):
            if form is None:
                arcs.append(GrammarArc(index, index + 1, 1.0, self._token(word)))
            elif form.readings:
                arcs += self._arcs_of_form(form, index, states)
            else:
                arcs += self._arcs_of_any_sound(index, next(states))
        return arcs

    def _arcs_of_form(self, form: WrittenForm, index: int, states: Iterator[int]) -> Iterator[GrammarArc]:
        """The arcs of the readings of word number `index`."""
        inside = {position: next(states) for position in range(1, form.length)}
        state_at = {0: index, form.length: index + 1} | inside
        for reading in form.readings:
            state = state_at[reading.start]
            for number, spoken in enumerate(reading.words, 1):
                is_last = number == len(reading.words)
                following = state_at[reading.end] if is_last else next(states)
                token = self._token(spoken)
                if state != index:
                    token = self._behind(token)
                yield GrammarArc(state, following, 1.0, token)
                state = following

    def _arcs_of_any_sound(self, index: int, inside: int) -> Iterator[GrammarArc]:
        """The arcs of two or more sounds for word number `index`, of which no reading is known."""
        for sound in f"{VOWELS}|{CONSONANTS}".split("|"):
            token = sound.lower() + ANY_SOUND
            self._add(token, [sound])
            behind = self._behind(token)
            yield GrammarArc(index, inside, ANY_PROBABILITY, token)
            yield GrammarArc(inside, inside, ANY_PROBABILITY, behind)
            yield GrammarArc(inside, index + 1, ANY_PROBABILITY, behind)

    def _behind(self, token: str) -> str:
        """The token for what another token says, where it is not the first of a written word."""
        readings: list[str] = []
        reading = self._decoder.lookup_word(token)
        while reading is not None:
            readings.append(reading)
            reading = self._decoder.lookup_word(f"{token}({len(readings) + 1})")
        self._add(BEHIND + token, readings)
        return BEHIND + token

    def extra_sounds(
        self, samples: Samples, words: Sequence[str], readings: Sequence[str], places: Sequence[int]
    ) -> list[Extra]:
        """Find sounds in 16 kHz samples between words that are said in their order.

        The sounds that are found are `readings`, each in the phones of the dictionary; a word, or two, that are
        said twice; and the beginning of a word that is broken off and said again. Sounds are looked for before the
        words with the numbers in `places`; the number behind that of the last word stands for the end. Empty if
        the search is lost.
        """
        forms = written_forms(words)
        with self._lock:
            arcs = self._arcs(words, forms)
            n_states = 1 + max((arc.end for arc in arcs), default=0)
            # No part of a written form is looked for twice.
            tokens = ["" if form else self._token(word) for word, form in zip(words, forms, strict=True)]
            for reading in readings:
                sound = reading.replace(" ", "-").lower() + EXTRA
                self._add(sound, [reading])
                for index in places:
                    arcs.append(GrammarArc(index, index, EXTRA_PROBABILITY, sound))
            arcs += self._words_said_twice(tokens, n_states, places)
            self._set_grammar("extra", arcs, len(words))
            segments = _whole_words(self._search(samples))
            extras: list[Extra] = []
            n_words = 0
            for segment in segments:
                if EXTRA in segment.token or AGAIN in segment.token:
                    extras.append(self._extra(segment, tokens, n_words))
                else:
                    n_words += 1
        return extras if n_words == len(tokens) else []

    def _words_said_twice(self, tokens: Sequence[str], n_states: int, places: Sequence[int]) -> list[GrammarArc]:
        """The arcs of a grammar on which a word is said that is said again, for the tokens at `places`.

        An empty token has none. Two words that are said twice need a state between them, numbered from `n_states`.
        """
        arcs: list[GrammarArc] = []
        sounds = [str(self._decoder.lookup_word(token)).split() if token else [] for token in tokens]
        for index, token in enumerate(tokens):
            if not token or index not in places:
                continue
            n_sounds = len(sounds[index])
            broken_off = range(FEWEST_SOUNDS, min(n_sounds, MOST_SOUNDS + 1))
            for n_said in {*broken_off, n_sounds}:
                part = f"{token}{AGAIN}{n_said}"
                self._add(part, [" ".join(sounds[index][:n_said])])
                arcs.append(GrammarArc(index, index, AGAIN_PROBABILITY, part))
        states = count(n_states)
        for index, (token, following) in enumerate(pairwise(tokens)):
            n_sounds = len(sounds[index])
            n_following = len(sounds[index + 1])
            if index in places and token and following and max(n_sounds, n_following) <= MOST_SOUNDS_OF_TWO:
                between = next(states)
                first = f"{token}{AGAIN}{n_sounds}"
                second = f"{following}{AGAIN}{n_following}"
                self._add(second, [" ".join(sounds[index + 1])])
                arcs.append(GrammarArc(index, between, AGAIN_PROBABILITY, first))
                arcs.append(GrammarArc(between, index, 1.0, second))
        return arcs

    def _extra(self, segment: WordSegment, tokens: Sequence[str], before: int) -> Extra:
        """A segment that is no word of a text, before word number `before` of its tokens."""
        _, start, end, likelihood = segment
        token, is_again, n_sounds = segment.token.partition(AGAIN)
        if not is_again:
            return Extra(before, start, end, likelihood)
        repeated_word = before if tokens[before] == token else before + 1
        sounds = str(self._decoder.lookup_word(token)).split()
        share = int(n_sounds) / len(sounds)
        return Extra(before, start, end, likelihood, repeated_word, share)

    def sounds(self, token: str) -> list[str]:
        """The sounds of a token of a `WordSegment`."""
        with self._lock:
            return str(self._decoder.lookup_word(token)).split()

    def _search(self, samples: Samples) -> list[WordSegment]:
        """The words that a search finds in samples, without pauses."""
        self._decoder.reinit_feat()  # else the mean of its features goes on from the sound before
        self._decoder.start_utt()
        pcm = to_pcm(_in_a_room(samples, self._room_seconds))
        self._decoder.process_raw(pcm.tobytes(), False, True)
        self._decoder.end_utt()
        seconds = len(samples) / ANALYSIS_RATE
        segments: list[WordSegment] = []
        for segment in self._decoder.seg() or ():
            if segment.word[0] in "<[(":  # a pause or a noise
                continue
            start = segment.start_frame * FRAME + FRAME_DELAY - self._room_seconds
            end = (segment.end_frame + 1) * FRAME + FRAME_DELAY - self._room_seconds
            start = min(max(start, 0.0), seconds)
            end = min(max(end, 0.0), seconds)
            n_frames = segment.end_frame + 1 - segment.start_frame
            score = max(segment.ascore, sys.float_info.min)
            likelihood = SCORE_SCALE * log(score) / n_frames
            segments.append(WordSegment(segment.word, start, end, likelihood))
        return segments

    def _token(self, word: str) -> str:
        """A word as the decoder's dictionary has it, to which it is added if need be."""
        lowered = word.lower().replace("’", "'")
        plain = re.sub(r"[^a-z0-9'.,-]", "", lowered).strip("'.,-")
        if self._decoder.lookup_word(plain) is not None:
            return plain
        token = f"{plain or 'x'}~"  # a name that no word of the dictionary has
        readings = [self._spelled(plain)]
        if word.isupper() and plain.isalpha() and len(plain) <= MOST_LETTERS:
            token += ABBREVIATION
            # The first reading of "a" is that of the article.
            names = [self._decoder.lookup_word("a(2)" if letter == "a" else letter) for letter in plain]
            readings.append(" ".join(map(str, names)))
        self._add(token, readings)
        return token

    def _add(self, token: str, readings: Sequence[str]) -> None:
        """Add a word with its readings, unless the dictionary has it."""
        if self._decoder.lookup_word(token) is not None:
            return
        for number, sounds in enumerate(dict.fromkeys(readings), 1):
            name = token if number == 1 else f"{token}({number})"
            self._decoder.add_word(name, sounds, False)

    def _spelled(self, word: str) -> str:
        """The sounds of a word that the dictionary lacks, by its parts that it has, and by its letters."""
        sounds: list[str] = []
        for part in re.findall(r"[a-z']+", word):
            listed = self._decoder.lookup_word(part)
            spelled = " ".join(LETTERS[letter] for letter in part if letter != "'")
            sounds.append(listed or spelled)
        return " ".join(sounds).strip() or "AH"


def _whole_words(segments: Sequence[WordSegment]) -> list[WordSegment]:
    """Segments in which all that is said for one written word is one, with the token of its first."""
    words: list[WordSegment] = []
    for segment in segments:
        if not segment.token.startswith(BEHIND):
            words.append(segment)
            continue
        first = words[-1]
        # Words that a search has put outside of the sound have no length there.
        so_far = max(first.end - first.start, FRAME)
        more = max(segment.end - segment.start, FRAME)
        likelihood = (first.likelihood * so_far + segment.likelihood * more) / (so_far + more)
        words[-1] = first._replace(end=segment.end, likelihood=likelihood)
    return words


#: The level that a sound is brought to: the root mean square of its samples.
SPEECH_RMS = 0.05

#: How far the room tone is under that, in dB: no model was trained on digital silence.
ROOM_UNDER_DB = 40.0


def _in_a_room(samples: Samples, room_seconds: float) -> Samples:
    """Samples at one level, with room tone under, before and behind them; always the same."""
    level = 0.0
    if len(samples):
        level = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    levelled = samples * np.float32(SPEECH_RMS / max(level, 1e-6))
    silence = np.zeros(round(room_seconds * ANALYSIS_RATE), np.float32)
    whole = np.concatenate([silence, levelled, silence])
    tone = np.random.default_rng(0).standard_normal(len(whole), np.float32)
    tone_level = np.float32(SPEECH_RMS * 10 ** (-ROOM_UNDER_DB / 20))
    return np.asarray(whole + tone_level * tone, np.float32)
