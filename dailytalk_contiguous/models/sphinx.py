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
from typing import Any, NamedTuple

import numpy as np

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples, to_pcm

#: Seconds of a frame, and how far a border between words is behind the first frame of the second: a frame is
#: 25.6 ms long and counts for its middle. In speech that people labelled (four speakers of TIMIT) it is 5 ms.
FRAME = 0.01
FRAME_DELAY = 0.005

#: Seconds of room tone before and behind the sound: in a short line without a pause there is too little silence to
#: know the channel by. The level that a sound is brought to, and how far the tone is under it: no model was
#: trained on digital silence. Chosen on four speakers of TIMIT, as recorded and by telephone.
ROOM_SECONDS = 0.6
SPEECH_RMS = 0.05
ROOM_UNDER_DB = 40.0

#: What the logarithms of its scores are divided by.
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


#: What the tokens of other sounds end in, and how likely the grammar takes each of them to be at any place.
EXTRA = "~~"
EXTRA_PROBABILITY = 3e-4

#: What is between a token and the number of its sounds that are said, where they are said again behind it, and how
#: likely the grammar takes it to be at any place.
AGAIN = "^"
AGAIN_PROBABILITY = 1e-6

#: A word is broken off behind two of its sounds at least, and behind so many at most. Each of two words that are
#: said twice ("I was, I was") has so many at most: longer ones are rare, and to look for them takes time.
FEWEST_SOUNDS = 2
MOST_SOUNDS = 4
MOST_SOUNDS_OF_TWO = 3


class Sphinx:
    """A decoder with the given beam. Searches of several threads wait for each other.

    A narrow beam is faster, and may lose its way; a wider one takes longer. `every`: of how many frames one is
    compared with the model; the others have its scores.
    """

    def __init__(self, beam: float, every: int = 1) -> None:
        import pocketsphinx

        model = pocketsphinx.get_model_path("en-us")
        beams = dict.fromkeys(("beam", "pbeam", "wbeam"), beam)
        self._decoder: Any = pocketsphinx.Decoder(
            hmm=f"{model}/en-us",
            lm=None,
            dict=f"{model}/cmudict-en-us.dict",
            bestpath=False,
            loglevel="FATAL",
            ds=every,
            **beams,
        )
        self._lock = threading.Lock()

    def align(self, samples: Samples, words: Sequence[str]) -> list[WordSegment] | None:
        """Where words, each with a letter or digit, are in 16 kHz samples; None if the search is lost."""
        with self._lock:
            tokens = [self._token(word) for word in words]
            self._decoder.set_align_text(" ".join(tokens))
            segments = self._hear(samples)
        return segments if len(segments) == len(tokens) else None

    def extra_sounds(self, samples: Samples, words: Sequence[str], readings: Sequence[str]) -> list[Extra]:
        """Where 16 kHz samples have sounds besides words, before, between or behind these, each said in its order.

        They are `readings`, each in the phones of the dictionary; a word, or two, that are said twice; and the
        beginning of a word that is broken off and said again. Empty if the search is lost.
        """
        with self._lock:
            tokens = [self._token(word) for word in words]
            arcs = [(index, index + 1, 1.0, token) for index, token in enumerate(tokens)]
            for reading in readings:
                token = reading.replace(" ", "-").lower() + EXTRA
                self._add(token, [reading])
                arcs += [(index, index, EXTRA_PROBABILITY, token) for index in range(len(tokens) + 1)]
            arcs += self._words_said_twice(tokens)
            grammar = self._decoder.create_fsg("extra", 0, len(tokens), arcs)
            self._decoder.add_fsg("extra", grammar)
            self._decoder.activate_search("extra")
            segments = self._hear(samples)
            found: list[Extra] = []
            n_words = 0
            for segment in segments:
                if EXTRA in segment.token or AGAIN in segment.token:
                    found.append(self._extra(segment, tokens, n_words))
                else:
                    n_words += 1
        return found if n_words == len(tokens) else []

    def _words_said_twice(self, tokens: Sequence[str]) -> list[tuple[int, int, float, str]]:
        """The arcs of a grammar on which a word is said that is said again: from, to, how likely, token.

        Two words that are said twice need a state between them, which is numbered behind those of the text.
        """
        arcs: list[tuple[int, int, float, str]] = []
        sounds = [str(self._decoder.lookup_word(token)).split() for token in tokens]
        for index, token in enumerate(tokens):
            n_sounds = len(sounds[index])
            for n_said in {*range(FEWEST_SOUNDS, min(n_sounds, MOST_SOUNDS + 1)), n_sounds}:
                said = f"{token}{AGAIN}{n_said}"
                self._add(said, [" ".join(sounds[index][:n_said])])
                arcs.append((index, index, AGAIN_PROBABILITY, said))
        for index, (token, following) in enumerate(pairwise(tokens)):
            n_sounds = len(sounds[index])
            n_following = len(sounds[index + 1])
            if max(n_sounds, n_following) <= MOST_SOUNDS_OF_TWO:
                between = len(tokens) + 1 + index
                arcs.append((index, between, AGAIN_PROBABILITY, f"{token}{AGAIN}{n_sounds}"))
                arcs.append((between, index, 1.0, f"{following}{AGAIN}{n_following}"))
        return arcs

    def _extra(self, segment: WordSegment, tokens: Sequence[str], before: int) -> Extra:
        """A segment that is no word of a text, before word number `before` of its tokens."""
        _, start, end, likelihood = segment
        token, is_again, n_sounds = segment.token.partition(AGAIN)
        if not is_again:
            return Extra(before, start, end, likelihood)
        again = before if tokens[before] == token else before + 1
        share = int(n_sounds) / len(str(self._decoder.lookup_word(token)).split())
        return Extra(before, start, end, likelihood, again, share)

    def sounds(self, token: str) -> list[str]:
        """The sounds of a token of a `WordSegment`."""
        with self._lock:
            return str(self._decoder.lookup_word(token)).split()

    def _hear(self, samples: Samples) -> list[WordSegment]:
        """The words that a search finds in samples, without pauses."""
        self._decoder.reinit_feat()  # else the mean of its features goes on from the sound before
        self._decoder.start_utt()
        self._decoder.process_raw(to_pcm(_in_a_room(samples)).tobytes(), False, True)
        self._decoder.end_utt()
        seconds = len(samples) / ANALYSIS_RATE
        segments = []
        for place in self._decoder.seg() or ():
            if place.word[0] in "<[(":  # a pause or a noise
                continue
            start = place.start_frame * FRAME + FRAME_DELAY - ROOM_SECONDS
            end = (place.end_frame + 1) * FRAME + FRAME_DELAY - ROOM_SECONDS
            n_frames = place.end_frame + 1 - place.start_frame
            likelihood = SCORE_SCALE * log(max(place.ascore, sys.float_info.min)) / n_frames
            start = min(max(start, 0.0), seconds)
            segments.append(WordSegment(place.word, start, min(max(end, 0.0), seconds), likelihood))
        return segments

    def _token(self, word: str) -> str:
        """A word as the decoder's dictionary has it, to which it is added if need be."""
        plain = re.sub(r"[^a-z0-9'.,-]", "", word.lower().replace("’", "'")).strip("'.,-")
        if self._decoder.lookup_word(plain) is not None:
            return plain
        token = f"{plain or 'x'}~"  # a name that no word of the dictionary has
        self._add(token, self._readings(plain))
        return token

    def _add(self, token: str, readings: Iterator[str] | Sequence[str]) -> None:
        """Add a word with its readings, unless the dictionary has it."""
        if self._decoder.lookup_word(token) is None:
            for number, sounds in enumerate(dict.fromkeys(readings), 1):
                name = token if number == 1 else f"{token}({number})"
                self._decoder.add_word(name, sounds, False)

    def _readings(self, word: str) -> Iterator[str]:
        """The sounds of a word that the dictionary lacks; 1984 is nineteen eighty-four, or one thousand …."""
        from num2words import num2words

        for to in ("year", "cardinal"):
            spoken = re.sub(r"\d{1,15}", lambda match: f" {num2words(int(match[0]), to=to)} ", word)  # noqa: B023
            parts = re.findall(r"[a-z']+", spoken)
            letters = (" ".join(LETTERS[letter] for letter in part if letter != "'") for part in parts)
            known = [self._decoder.lookup_word(part) for part in parts]
            sounds = [listed or spelled for listed, spelled in zip(known, letters, strict=True)]
            yield " ".join(sounds).strip() or "AH"


def _in_a_room(samples: Samples) -> Samples:
    """Samples at one level, with room tone under, before and behind them; always the same."""
    level = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0
    silence = np.zeros(round(ROOM_SECONDS * ANALYSIS_RATE), np.float32)
    whole = np.concatenate([silence, samples * np.float32(SPEECH_RMS / max(level, 1e-6)), silence])
    tone = np.random.default_rng(0).standard_normal(len(whole), np.float32)
    return np.asarray(whole + np.float32(SPEECH_RMS * 10 ** (-ROOM_UNDER_DB / 20)) * tone, np.float32)
