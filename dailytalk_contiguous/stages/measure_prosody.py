"""MeasureProsody: loudness, pitch, voicing and rate of each utterance."""

import math
from dataclasses import dataclass
from typing import ClassVar

from datasets import Features

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, pcm_to_float
from dailytalk_contiguous.core.prosody import measure_prosody
from dailytalk_contiguous.core.schema import MEASURE, Row
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

    def row(self, row: Row) -> Row:
        timed, text = row.get("words"), row.get("text_raw", "")
        n_words: float = len(timed) if timed is not None else len((text or "").split())
        if timed is None and text is None:
            n_words = math.nan
        samples = pcm_to_float(row["speech"])
        return dict(measure_prosody(samples, n_words, row.get("speech_seconds") or len(samples) / ANALYSIS_RATE))
