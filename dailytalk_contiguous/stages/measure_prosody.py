"""MeasureProsody: loudness, pitch, voicing and rate of each utterance."""

import math
from dataclasses import dataclass
from typing import ClassVar

from datasets import Features

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, pcm_to_float
from dailytalk_contiguous.core.prosody import measure_prosody
from dailytalk_contiguous.core.schema import MEASURE, Batch
from dailytalk_contiguous.core.utterance import PROSODY
from dailytalk_contiguous.stages.base import Stage


@dataclass(frozen=True)
class MeasureProsody(Stage):
    """Prosody of utterances: rms, zcr, f0_mean, f0_std, speech_rate, voiced_fraction (see `core.prosody`).

    Words are counted in `words`, or else in `text_raw`; seconds of speech are `speech_seconds`, or else the
    utterance's length. Without any words the rate is 0, and NaN where both columns are there and null.
    """

    needs: ClassVar[tuple[str, ...]] = ("speech",)
    uses: ClassVar[tuple[str, ...]] = ("words", "text_raw", "speech_seconds")
    adds: ClassVar[Features] = Features(dict.fromkeys(PROSODY, MEASURE))

    def __call__(self, batch: Batch) -> Batch:
        count = len(batch["speech"])
        texts = batch.get("text_raw") or [""] * count
        words = batch.get("words") or [None] * count
        seconds = batch.get("speech_seconds") or [None] * count
        rows = []
        for speech, text, timed, spoken in zip(batch["speech"], texts, words, seconds, strict=True):
            n_words: float = len(timed) if timed is not None else len((text or "").split())
            if timed is None and text is None:
                n_words = math.nan
            samples = pcm_to_float(speech)
            rows.append(measure_prosody(samples, n_words, spoken or len(samples) / ANALYSIS_RATE))
        return {name: [row[name] for row in rows] for name in self.adds}
