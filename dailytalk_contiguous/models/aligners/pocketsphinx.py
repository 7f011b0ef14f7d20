"""pocketsphinx, the aligner of English: its acoustic model and its dictionary come in its wheel.

Times are multiples of 10 ms. On 58 words that were labelled by hand half of both edges are within 10 ms. A word
that the dictionary lacks is said by its letters: with all words of that recording said so, half were still within
10 ms, because the sounds around a border place it, and not the spelling.
"""

import itertools
import re
import threading
from collections.abc import Iterator, Sequence
from math import log
from typing import Any

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples, to_pcm
from dailytalk_contiguous.core.word_times import Word
from dailytalk_contiguous.models.alignment import Aligner

#: Beams of its search, one after another until every word has a place. Wider ones take longer.
BEAMS = (1e-48, 1e-100, 1e-200)

#: Seconds of a frame.
FRAME = 0.01

#: Mean log likelihood of a frame, against that of any phones in any order, under which these words were not said.
#: Of 91 lines (Piper's, and of two real calls) 3 % have less with their own words, and over half with another's.
LEAST_LIKELY = -20e-4

#: Beam of the search of any phones. A wider one takes five times as long and tells no more.
PHONE_BEAM = 1e-5

#: Readings of a word that are tried at most: 1984 is nineteen eighty-four, one thousand …, or one nine eight four.
MOST_READINGS = 4

#: English letters in the sounds of the dictionary; the longest that fits is taken. An e at the end is silent.
LETTERS = {
    "tion": "SH AH N",
    "ough": "AO",
    "igh": "AY",
    "tch": "CH",
    "sch": "SH",
    "ch": "CH",
    "sh": "SH",
    "th": "TH",
    "ph": "F",
    "ck": "K",
    "ng": "NG",
    "qu": "K W",
    "wh": "W",
    "ee": "IY",
    "ea": "IY",
    "oo": "UW",
    "ou": "AW",
    "ow": "OW",
    "ai": "EY",
    "ay": "EY",
    "oi": "OY",
    "oy": "OY",
    "au": "AO",
    "aw": "AO",
    "ar": "AA R",
    "er": "ER",
    "ir": "ER",
    "or": "AO R",
    "ur": "ER",
    "a": "AE",
    "b": "B",
    "c": "K",
    "d": "D",
    "e": "EH",
    "f": "F",
    "g": "G",
    "h": "HH",
    "i": "IH",
    "j": "JH",
    "k": "K",
    "l": "L",
    "m": "M",
    "n": "N",
    "o": "AA",
    "p": "P",
    "q": "K",
    "r": "R",
    "s": "S",
    "t": "T",
    "u": "AH",
    "v": "V",
    "w": "W",
    "x": "K S",
    "y": "IY",
    "z": "Z",
}
_GRAPHEMES = re.compile("|".join(sorted(LETTERS, key=len, reverse=True)))


class PocketSphinx:
    """Places English words, one utterance at a time."""

    def __init__(self) -> None:
        self._decoders: dict[float | None, Any] = {}
        self._lock = threading.Lock()

    def __call__(self, samples: Samples, words: Sequence[str], language: str) -> list[Word] | None:
        pcm = to_pcm(samples).tobytes()
        with self._lock:
            for beam in BEAMS:
                decoder = self._decoder(beam)
                tokens = [_token(decoder, word) for word in words]
                decoder.set_align_text(" ".join(tokens))
                decoder.reinit_feat()  # else the mean of its features goes on from the utterance before
                decoder.start_utt()
                decoder.process_raw(pcm, False, True)
                decoder.end_utt()
                places = [segment for segment in decoder.seg() or () if segment.word[0] not in "<[("]
                if len(places) == len(tokens):
                    break
            else:
                return None
            phones = self._decoder(None)
            phones.reinit_feat()
            phones.start_utt()
            phones.process_raw(pcm, False, True)
            phones.end_utt()
            frames = max(1, len(samples) / ANALYSIS_RATE / FRAME)
            if (log(decoder.hyp().score) - log(phones.hyp().score)) / frames < LEAST_LIKELY:
                return None
        return [
            Word(
                word,
                place.start_frame * FRAME,
                min((place.end_frame + 1) * FRAME, len(samples) / ANALYSIS_RATE),
                None,
            )
            for word, place in zip(words, places, strict=True)
        ]

    def _decoder(self, beam: float | None) -> Any:
        """The decoder of words with a beam; without one, that of any phones."""
        if beam not in self._decoders:
            import pocketsphinx

            model = pocketsphinx.get_model_path("en-us")
            search: dict[str, Any] = {
                "allphone": f"{model}/en-us-phone.lm.bin",
                "beam": PHONE_BEAM,
                "pbeam": PHONE_BEAM,
                "lw": 2.0,
            }
            if beam:
                search = {"dict": f"{model}/cmudict-en-us.dict", "bestpath": False, "beam": beam, "pbeam": beam}
                search["wbeam"] = beam
            self._decoders[beam] = pocketsphinx.Decoder(hmm=f"{model}/en-us", lm=None, loglevel="FATAL", **search)
        return self._decoders[beam]


def _token(decoder: Any, word: str) -> str:
    """A word as the decoder's dictionary has it, to which it is added if need be."""
    plain = re.sub(r"[^a-z0-9'.,-]", "", word.lower().replace("’", "'")).strip("'.,-")
    if decoder.lookup_word(plain) is not None:
        return plain
    token = f"{plain or 'x'}~"  # a name that no word of the dictionary has
    if decoder.lookup_word(token) is None:
        for number, phones in enumerate(dict.fromkeys(_readings(decoder, plain)), 1):
            decoder.add_word(token if number == 1 else f"{token}({number})", phones, True)
            if number == MOST_READINGS:
                break
    return token


def _readings(decoder: Any, word: str) -> Iterator[str]:
    """The sounds of a word that the dictionary lacks, in each way in which its parts may be read."""
    parts = re.findall(r"\d+(?:[.,]\d+)*|[a-z']+", word)
    for readings in itertools.product(*(_numbers(part) if part[0].isdigit() else (part,) for part in parts)):
        words = re.findall(r"[a-z']+", " ".join(readings))
        yield " ".join(decoder.lookup_word(each) or _by_letters(each) for each in words) or "AH"


def _by_letters(word: str) -> str:
    word = word.replace("'", "")
    silent = len(word) > 2 and word.endswith("e")
    return " ".join(LETTERS[part] for part in _GRAPHEMES.findall(word[:-1] if silent else word))


def _numbers(digits: str) -> Iterator[str]:
    from num2words import num2words

    plain = digits.replace(",", "")
    if plain.isdigit() and len(plain) == 4:
        yield num2words(int(plain), to="year")
    if plain.count(".") <= 1 and len(plain) <= 15:
        yield num2words(float(plain) if "." in plain else int(plain))
    yield " ".join(num2words(int(digit)) for digit in plain if digit.isdigit())


ALIGNER = Aligner("pocketsphinx", lambda device: PocketSphinx(), ("en",), version=2)
