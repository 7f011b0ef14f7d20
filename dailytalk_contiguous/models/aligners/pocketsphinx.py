"""pocketsphinx, the aligner of English: its acoustic model and its dictionary come in its wheel.

Times are multiples of 10 ms. On 58 words that were labelled by hand half of both edges are within 10 ms. A word
that the dictionary lacks is said by its letters: with all words of that recording said so, half were still within
10 ms, because the sounds around a border place it, and not the spelling.
"""

import re
import string
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

#: English letters, and how each is mostly said, in the sounds of the dictionary.
LETTERS = dict(
    zip(
        string.ascii_lowercase,
        "AE|B|K|D|EH|F|G|HH|IH|JH|K|L|M|N|AA|P|K|R|S|T|AH|V|W|K S|IY|Z".split("|"),  # noqa: SIM905 (a table)
        strict=True,
    )
)


class PocketSphinx:
    """Places English words, one utterance at a time."""

    def __init__(self) -> None:
        self._decoders: dict[float | None, Any] = {}
        self._lock = threading.Lock()

    def __call__(self, samples: Samples, words: Sequence[str], language: str) -> list[Word] | None:
        pcm, seconds = to_pcm(samples).tobytes(), len(samples) / ANALYSIS_RATE
        with self._lock:
            for beam in BEAMS:
                decoder = self._decoder(beam)
                tokens = [_token(decoder, word) for word in words]
                decoder.set_align_text(" ".join(tokens))
                _hear(decoder, pcm)
                places = [segment for segment in decoder.seg() or () if segment.word[0] not in "<[("]
                if len(places) == len(tokens):
                    break
            else:
                return None
            phones = self._decoder(None)
            _hear(phones, pcm)
            if not decoder.hyp() or not phones.hyp():
                return None
            likelihood = decoder.hyp().score
            likelihood_of_any = phones.hyp().score
            if not likelihood or not likelihood_of_any:  # 0: a search was lost before the sound ended
                return None
            n_frames = max(1, seconds / FRAME)
            if (log(likelihood) - log(likelihood_of_any)) / n_frames < LEAST_LIKELY:
                return None
        return [
            Word(word, place.start_frame * FRAME, min((place.end_frame + 1) * FRAME, seconds), None)
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
                beams = dict.fromkeys(("beam", "pbeam", "wbeam"), beam)
                search = {"dict": f"{model}/cmudict-en-us.dict", "bestpath": False, **beams}
            self._decoders[beam] = pocketsphinx.Decoder(hmm=f"{model}/en-us", lm=None, loglevel="FATAL", **search)
        return self._decoders[beam]


def _hear(decoder: Any, pcm: bytes) -> None:
    decoder.reinit_feat()  # else the mean of its features goes on from the utterance before
    decoder.start_utt()
    decoder.process_raw(pcm, False, True)
    decoder.end_utt()


def _token(decoder: Any, word: str) -> str:
    """A word as the decoder's dictionary has it, to which it is added if need be."""
    plain = re.sub(r"[^a-z0-9'.,-]", "", word.lower().replace("’", "'")).strip("'.,-")
    if decoder.lookup_word(plain) is not None:
        return plain
    token = f"{plain or 'x'}~"  # a name that no word of the dictionary has
    if decoder.lookup_word(token) is None:
        for number, phones in enumerate(dict.fromkeys(_readings(decoder, plain)), 1):
            decoder.add_word(token if number == 1 else f"{token}({number})", phones, True)
    return token


def _readings(decoder: Any, word: str) -> Iterator[str]:
    """The sounds of a word that the dictionary lacks; 1984 is nineteen eighty-four, or one thousand …."""
    from num2words import num2words

    for to in ("year", "cardinal"):
        spoken = re.sub(r"\d{1,15}", lambda match: f" {num2words(int(match[0]), to=to)} ", word)  # noqa: B023
        parts = re.findall(r"[a-z']+", spoken)
        letters = (" ".join(LETTERS[letter] for letter in part if letter != "'") for part in parts)
        phones = [decoder.lookup_word(part) or spelled for part, spelled in zip(parts, letters, strict=True)]
        yield " ".join(phones).strip() or "AH"


ALIGNER = Aligner("pocketsphinx", lambda device: PocketSphinx(), ("en",), version=5)
