"""Sentences of the voice joe, and where a part of each ends that is no sentence."""

from functools import cache

import numpy as np
import soxr
from numpy.typing import NDArray

from dailytalk_contiguous.models.contracts import Line, VoiceSettings
from dailytalk_contiguous.models.engines import load_synthesiser, synthesise

#: A sentence, and its first words.
SENTENCES = (
    ("We could take the early train and have breakfast on the way.", 6),
    ("Yes, I think that is a very good idea.", 5),
    ("I would like to have the bicycle back by tomorrow evening.", 5),
)


@cache
def spoken_sentences() -> list[tuple[NDArray[np.float32], float]]:
    """Samples at 16 kHz up to the last word, and the second at which the last of the first words ends."""
    spoken = []
    for text, first_words in SENTENCES:
        synthesiser = load_synthesiser("piper", VoiceSettings("", "joe"))
        take = synthesise(synthesiser, Line(text, "", "en", 0, None))
        assert take.words
        last_word = take.words[-1]
        n_samples = round(last_word.end * 16000)
        samples = soxr.resample(take.samples, take.sample_rate, 16000)[:n_samples]
        end_of_first_words = take.words[first_words - 1].end
        spoken.append((np.asarray(samples, np.float32), end_of_first_words))
    return spoken
