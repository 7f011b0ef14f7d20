"""MeasureProsody: loudness, pitch, voicing and rate of each utterance."""

import math
from dataclasses import dataclass
from typing import ClassVar

from datasets import Features

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, pcm_to_float
from dailytalk_contiguous.core.fillers import without_fillers
from dailytalk_contiguous.core.prosody import measure_prosody
from dailytalk_contiguous.core.schema import MEASURE, Row
from dailytalk_contiguous.core.utterance import PROSODY
from dailytalk_contiguous.stages.base import Stage


@dataclass(frozen=True)
class MeasureProsody(Stage):
    """Prosody of utterances: rms, zcr, f0_mean, f0_std, speech_rate, voiced_fraction (see `core.prosody`).

    Words are counted in `words`, or else in `text_raw`; fillers, which last as long as their speaker thinks, are
    not. Seconds of speech are `speech_seconds`, or else the utterance's length. Without any words the rate is 0,
    and NaN where both columns are there and null.
    """

    VERSION: ClassVar[int] = 2
    needs: ClassVar[tuple[str, ...]] = ("speech",)
    uses: ClassVar[tuple[str, ...]] = ("words", "text_raw", "speech_seconds", "language")
    adds: ClassVar[Features] = Features(dict.fromkeys(PROSODY, MEASURE))

    def row(self, row: Row) -> Row:
        timed = row.get("words")
        text = row.get("text_raw", "")
        n_words = math.nan
        if timed is not None:
            n_words = len([word for word in timed if not word.get("filler")])
        elif text is not None:
            n_words = len(without_fillers(text.split(), row.get("language")))
        samples = pcm_to_float(row["speech"])
        speech_seconds = row.get("speech_seconds") or len(samples) / ANALYSIS_RATE
        return dict(measure_prosody(samples, n_words, speech_seconds))
