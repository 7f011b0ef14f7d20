"""pocketsphinx, whose English acoustic model and pronouncing dictionary come in its wheel: words in their sound.

It is not asked what is said: it places words that are known, or says where a sound is that none of them makes.
"""

import re
import string
import sys
import threading
from collections.abc import Iterator, Sequence
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
    """A sound before word number `before` of a text, or behind the last one; see `WordSegment`."""

    before: int
    start: float
    end: float
    likelihood: float


#: What the tokens of such sounds end in, and how likely the grammar takes each of them to be at any place.
EXTRA = "~~"
EXTRA_PROBABILITY = 3e-4


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

        `readings` are the sounds that are sought, each in the phones of the dictionary. Empty if the search is
        lost.
        """
        with self._lock:
            tokens = [self._token(word) for word in words]
            extras = [reading.replace(" ", "-").lower() + EXTRA for reading in readings]
            for token, reading in zip(extras, readings, strict=True):
                self._add(token, [reading])
            arcs = [(index, index + 1, 1.0, token) for index, token in enumerate(tokens)]
            for index in range(len(tokens) + 1):
                arcs += [(index, index, EXTRA_PROBABILITY, token) for token in extras]
            grammar = self._decoder.create_fsg("extra", 0, len(tokens), arcs)
            self._decoder.add_fsg("extra", grammar)
            self._decoder.activate_search("extra")
            segments = self._hear(samples)
        found: list[Extra] = []
        n_words = 0
        for segment in segments:
            if segment.token.endswith(EXTRA):
                found.append(Extra(n_words, segment.start, segment.end, segment.likelihood))
            else:
                n_words += 1
        return found if n_words == len(tokens) else []

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
                self._decoder.add_word(name, sounds, True)

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
