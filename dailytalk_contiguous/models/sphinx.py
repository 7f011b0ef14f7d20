"""CMU Pocketsphinx: the recogniser of the embedded profile, which needs nothing but its wheel.

A preview: it hears clear readers of English well and telephone talk badly, and writes neither capitals nor
marks. Cepstral means are taken over each utterance (`cmn=batch`) and its front end is set up anew for each:
otherwise a row would depend on what was heard before it.
"""

import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, to_pcm
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.packing import Word
from dailytalk_contiguous.models.recognised import Recognised, Samples

#: Seconds of one frame of its word times.
FRAME_SECONDS = 0.01

#: Variants of pronunciation are written `was(2)`.
_VARIANT = re.compile(r"\(\d+\)$")


class Sphinx:
    """Pocketsphinx with its US English model."""

    packs = False
    punctuates = False

    def __init__(self) -> None:
        from pocketsphinx import Decoder

        self._decoder: Any = Decoder(samprate=ANALYSIS_RATE, cmn="batch", loglevel="FATAL")

    def detect_language(self, samples: Samples) -> str:
        """English: the wheel holds no other model."""
        return "en"

    def transcribe(self, windows: Sequence[Samples], languages: Sequence[str]) -> list[Recognised]:
        """Words of each window. Raises DailytalkError for another language than English."""
        check_english(languages)
        return [self._recognise(window) for window in windows]

    def _recognise(self, window: Samples) -> Recognised:
        interrupts.check()
        decoder = self._decoder
        decoder.reinit_feat()  # 0.2 ms; with `cmn=batch` alone, words of two in nine utterances still moved
        decoder.start_utt()
        decoder.process_raw(to_pcm(window).tobytes(), no_search=False, full_utt=True)
        decoder.end_utt()
        words = []
        for segment in decoder.seg() or ():
            if segment.word[0] in "<[":  # silence, noise, sentence edges
                continue
            words.append(
                Word(
                    " " + _VARIANT.sub("", segment.word),
                    segment.start_frame * FRAME_SECONDS,
                    (segment.end_frame + 1) * FRAME_SECONDS,
                    None,  # its posteriors come to 1 for nearly every word, right or wrong
                )
            )
        return Recognised(words, math.nan, math.nan)


def check_english(languages: Iterable[str]) -> None:
    """Raise DailytalkError for languages other than English, of which the wheel holds no model."""
    foreign = sorted(set(languages) - {"en"})
    if foreign:
        raise DailytalkError(
            f"pocketsphinx understands English only, not {', '.join(foreign)}",
            "use --asr-model with a Whisper model, or --language en",
        )


@lru_cache(maxsize=1)
def load_sphinx() -> Sphinx:
    """The decoder of this process."""
    return Sphinx()
