"""pocketsphinx, whose English acoustic model and pronouncing dictionary come in its wheel: words in their sound.

It is not asked what is said: it places words that are known, or says where a sound is that none of them makes.
"""

import re
import string
import sys
import threading
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import log
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples, to_pcm
from dailytalk_contiguous.core.written_forms import WrittenForm, written_forms

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

#: The level that a sound is brought to: the root mean square of its samples.
SPEECH_RMS = 0.05

#: How far the room tone is under that, in dB: no model was trained on digital silence.
ROOM_UNDER_DB = 40.0

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


CONTINUES = "+"
GARBAGE = 0.0
PHONES = "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH".split()


class WordSegment(NamedTuple):
    """A word of a search: its token, start and end in seconds of the sound, and how likely it was said there.

    `likelihood` is the mean log likelihood of its frames, each against the likeliest sound of that frame: 0 at
    most.
    """

    token: str
    start: float
    end: float
    likelihood: float


class Extra(NamedTuple):
    """A sound before word number `before` of a text, or behind the last one; see `WordSegment`.

    `again`: the number of the word that it is, or begins, and that is said again behind it; None for another
    sound. `share`: how much of that word it is, in (0, 1].
    """

    before: int
    start: float
    end: float
    likelihood: float
    again: int | None = None
    share: float = 1.0


#: The end of the tokens of sounds that are no words.
EXTRA = "~~"

#: How likely the grammar takes each of these sounds to be between any two words.
EXTRA_PROBABILITY = 3e-4

#: The mark between a token and the number of its sounds that are said, where the word is said again behind it.
AGAIN = "^"

#: How likely the grammar takes such a repeat to be between any two words.
AGAIN_PROBABILITY = 1e-6

#: The fewest sounds of a word behind which it is broken off.
FEWEST_SOUNDS = 2

#: The most sounds of a word behind which it is broken off.
MOST_SOUNDS = 4

#: The most sounds of each of two words that are said twice ("I was, I was"): longer ones are rare, and to look for
#: them takes time.
MOST_SOUNDS_OF_TWO = 3


class GrammarArc(NamedTuple):
    """A step of a grammar: from a state to a state, how likely it is, and the token that is said."""

    start: int
    end: int
    probability: float
    token: str


class Sphinx:
    """A decoder with the given beam. Searches of several threads wait for each other.

    A narrow beam is faster, and may lose its way; a wider one takes longer. `every`: of how many frames one is
    compared with the model; the others have its scores.
    """

    def __init__(self, beam: float, every: int = 1) -> None:
        import pocketsphinx

        model = pocketsphinx.get_model_path("en-us")
        files = {"hmm": f"{model}/en-us", "lm": None, "dict": f"{model}/cmudict-en-us.dict"}
        beams = {"beam": beam, "pbeam": beam, "wbeam": beam}
        self._decoder: Decoder = pocketsphinx.Decoder(**files, bestpath=False, loglevel="FATAL", ds=every, **beams)
        self._lock = threading.Lock()

    def align(self, samples: Samples, words: Sequence[str]) -> list[WordSegment] | None:
        """Where words, each with a letter or digit, are in 16 kHz samples; None if the search is lost."""
        forms = written_forms(words)
        with self._lock:
            if not any(forms):
                tokens = [self._token(word) for word in words]
                self._decoder.set_align_text(" ".join(tokens))
                segments = self._search(samples)
            else:
                arcs = self._arcs(words, forms)
                grammar = self._decoder.create_fsg("forms", 0, len(words), arcs)
                self._decoder.add_fsg("forms", grammar)
                self._decoder.activate_search("forms")
                segments = _whole_words(self._search(samples))
        return segments if len(segments) == len(words) else None

    def _arcs(self, words: Sequence[str], forms: Sequence[WrittenForm | None]) -> list[GrammarArc]:
        """A grammar of words, from state 0 to that of their number; states inside of written forms follow it."""
        arcs: list[GrammarArc] = []
        n_states = len(words) + 1
        for index, (word, form) in enumerate(zip(words, forms, strict=True)):
            if form is None:
                arcs.append(GrammarArc(index, index + 1, 1.0, self._token(word)))
                continue
            states = {0: index, form.length: index + 1}
            for position in range(1, form.length):
                states[position] = n_states
                n_states += 1
            for reading in form.readings:
                state = states[reading.start]
                tokens = [self._token(spoken) for spoken in reading.words]
                for number, token in enumerate(tokens):
                    is_first = reading.start == 0 and number == 0
                    if not is_first:
                        token = self._continuing(token)
                    following = n_states
                    if number == len(tokens) - 1:
                        following = states[reading.end]
                    else:
                        n_states += 1
                    arcs.append(GrammarArc(state, following, 1.0, token))
                    state = following
            if GARBAGE:
                first, inner = n_states, n_states + 1
                n_states += 1
                for phone in PHONES:
                    tok = "#" + phone.lower()
                    self._add(tok, [phone])
                    arcs.append(GrammarArc(index, first, GARBAGE, tok))
                    self._add(CONTINUES + tok, [phone])
                    arcs.append(GrammarArc(first, first, GARBAGE, CONTINUES + tok))
                    arcs.append(GrammarArc(first, index + 1, GARBAGE, CONTINUES + tok))
        return arcs

    def _continuing(self, token: str) -> str:
        """A token with the sounds of another, for a word that is said behind others of one written word."""
        name = CONTINUES + token
        if self._decoder.lookup_word(name) is None:
            sounds = []
            number = 1
            listed = self._decoder.lookup_word(token)
            while listed:
                sounds.append(listed)
                number += 1
                listed = self._decoder.lookup_word(f"{token}({number})")
            self._add(name, sounds)
        return name

    def extra_sounds(self, samples: Samples, words: Sequence[str], readings: Sequence[str]) -> list[Extra]:
        """Where 16 kHz samples have sounds besides words, before, between or behind these, each said in its order.

        They are `readings`, each in the phones of the dictionary; a word, or two, that are said twice; and the
        beginning of a word that is broken off and said again. Empty if the search is lost.
        """
        with self._lock:
            tokens = [self._token(word) for word in words]
            arcs = [GrammarArc(index, index + 1, 1.0, token) for index, token in enumerate(tokens)]
            for reading in readings:
                sound = reading.replace(" ", "-").lower() + EXTRA
                self._add(sound, [reading])
                for index in range(len(tokens) + 1):
                    arcs.append(GrammarArc(index, index, EXTRA_PROBABILITY, sound))
            arcs += self._words_said_twice(tokens)
            grammar = self._decoder.create_fsg("extra", 0, len(tokens), arcs)
            self._decoder.add_fsg("extra", grammar)
            self._decoder.activate_search("extra")
            segments = self._search(samples)
            extras: list[Extra] = []
            n_words = 0
            for segment in segments:
                if EXTRA in segment.token or AGAIN in segment.token:
                    extras.append(self._extra(segment, tokens, n_words))
                else:
                    n_words += 1
        return extras if n_words == len(tokens) else []

    def _words_said_twice(self, tokens: Sequence[str]) -> list[GrammarArc]:
        """The arcs of a grammar on which a word is said that is said again.

        Two words that are said twice need a state between them, which is numbered behind those of the text.
        """
        arcs: list[GrammarArc] = []
        sounds = [str(self._decoder.lookup_word(token)).split() for token in tokens]
        for index, token in enumerate(tokens):
            n_sounds = len(sounds[index])
            broken_off = range(FEWEST_SOUNDS, min(n_sounds, MOST_SOUNDS + 1))
            for n_said in {*broken_off, n_sounds}:
                part = f"{token}{AGAIN}{n_said}"
                self._add(part, [" ".join(sounds[index][:n_said])])
                arcs.append(GrammarArc(index, index, AGAIN_PROBABILITY, part))
        for index, (token, following) in enumerate(pairwise(tokens)):
            n_sounds = len(sounds[index])
            n_following = len(sounds[index + 1])
            if max(n_sounds, n_following) <= MOST_SOUNDS_OF_TWO:
                between = len(tokens) + 1 + index
                first = f"{token}{AGAIN}{n_sounds}"
                second = f"{following}{AGAIN}{n_following}"
                arcs.append(GrammarArc(index, between, AGAIN_PROBABILITY, first))
                arcs.append(GrammarArc(between, index, 1.0, second))
        return arcs

    def _extra(self, segment: WordSegment, tokens: Sequence[str], before: int) -> Extra:
        """A segment that is no word of a text, before word number `before` of its tokens."""
        _, start, end, likelihood = segment
        token, is_again, n_sounds = segment.token.partition(AGAIN)
        if not is_again:
            return Extra(before, start, end, likelihood)
        again = before if tokens[before] == token else before + 1
        sounds = str(self._decoder.lookup_word(token)).split()
        share = int(n_sounds) / len(sounds)
        return Extra(before, start, end, likelihood, again, share)

    def sounds(self, token: str) -> list[str]:
        """The sounds of a token of a `WordSegment`."""
        with self._lock:
            return str(self._decoder.lookup_word(token)).split()

    def _search(self, samples: Samples) -> list[WordSegment]:
        """The words that a search finds in samples, without pauses."""
        self._decoder.reinit_feat()  # else the mean of its features goes on from the sound before
        self._decoder.start_utt()
        pcm = to_pcm(_in_a_room(samples))
        self._decoder.process_raw(pcm.tobytes(), False, True)
        self._decoder.end_utt()
        seconds = len(samples) / ANALYSIS_RATE
        segments: list[WordSegment] = []
        for segment in self._decoder.seg() or ():
            if segment.word[0] in "<[(":  # a pause or a noise
                continue
            start = segment.start_frame * FRAME + FRAME_DELAY - ROOM_SECONDS
            end = (segment.end_frame + 1) * FRAME + FRAME_DELAY - ROOM_SECONDS
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
        self._add(token, self._readings(plain))
        return token

    def _add(self, token: str, readings: Iterator[str] | Sequence[str]) -> None:
        """Add a word with its readings, unless the dictionary has it."""
        if self._decoder.lookup_word(token) is not None:
            return
        for number, sounds in enumerate(dict.fromkeys(readings), 1):
            name = token if number == 1 else f"{token}({number})"
            self._decoder.add_word(name, sounds, False)

    def _readings(self, word: str) -> Iterator[str]:
        """The sounds of a word that the dictionary lacks; 1984 is nineteen eighty-four, or one thousand …."""
        from num2words import num2words

        for kind in ("year", "cardinal"):
            spoken = ""
            for part in re.split(r"(\d{1,15})", word):
                spoken += f" {num2words(int(part), to=kind)} " if part.isdecimal() else part
            sounds: list[str] = []
            for part in re.findall(r"[a-z']+", spoken):
                listed = self._decoder.lookup_word(part)
                spelled = " ".join(LETTERS[letter] for letter in part if letter != "'")
                sounds.append(listed or spelled)
            yield " ".join(sounds).strip() or "AH"


def _whole_words(segments: Sequence[WordSegment]) -> list[WordSegment]:
    words: list[WordSegment] = []
    for segment in segments:
        if not segment.token.startswith(CONTINUES):
            words.append(segment)
            continue
        first = words[-1]
        so_far = first.end - first.start
        more = segment.end - segment.start
        likelihood = (first.likelihood * so_far + segment.likelihood * more) / (so_far + more)
        words[-1] = first._replace(end=segment.end, likelihood=likelihood)
    return words


def _in_a_room(samples: Samples) -> Samples:
    """Samples at one level, with room tone under, before and behind them; always the same."""
    level = 0.0
    if len(samples):
        level = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    levelled = samples * np.float32(SPEECH_RMS / max(level, 1e-6))
    silence = np.zeros(round(ROOM_SECONDS * ANALYSIS_RATE), np.float32)
    whole = np.concatenate([silence, levelled, silence])
    tone = np.random.default_rng(0).standard_normal(len(whole), np.float32)
    tone_level = np.float32(SPEECH_RMS * 10 ** (-ROOM_UNDER_DB / 20))
    return np.asarray(whole + tone_level * tone, np.float32)
