"""MeasureProsody: loudness, pitch, voicing and rate of each utterance."""

import math
from dataclasses import dataclass
from typing import ClassVar

from datasets import Features

from dailytalk_contiguous.core.records.rows import utterance_features
from dailytalk_contiguous.core.records.utterance import PROSODY, Utterance, is_set, or_none
from dailytalk_contiguous.core.sound.prosody import measure_prosody
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, pcm_to_float
from dailytalk_contiguous.core.words.fillers import without_fillers
from dailytalk_contiguous.machine.interrupts import check_interrupt
from dailytalk_contiguous.stages.base import UtteranceStage


@dataclass(frozen=True)
class MeasureProsody(UtteranceStage):
    """Prosody of utterances: rms, zcr, f0_mean, f0_std, speech_rate, voiced_fraction (see `core.sound.prosody`).

    Words are counted in `words`, or else in `text_raw`; fillers, which last as long as their speaker thinks, are
    not. Seconds of speech are `speech_seconds`, or else the utterance's length. Without any words the rate is 0,
    and NaN where both columns are there and null.
    """

    VERSION: ClassVar[int] = 2
    needs: ClassVar[tuple[str, ...]] = ("speech",)
    uses: ClassVar[tuple[str, ...]] = ("words", "text_raw", "speech_seconds", "language")
    adds: ClassVar[Features] = utterance_features(*PROSODY)

    def of_utterance(self, utterance: Utterance) -> None:
        n_words = math.nan
        words = or_none(utterance.words)
        if words is not None:
            n_words = len([word for word in words if not word.filler])
        elif utterance.text_raw is not None:
            text = utterance.text_raw if is_set(utterance.text_raw) else ""
            n_words = len(without_fillers(text.split(), or_none(utterance.language)))
        check_interrupt()  # a Ctrl-C in compiled code may be swallowed there
        samples = pcm_to_float(utterance.speech)
        speech_seconds = or_none(utterance.speech_seconds) or len(samples) / ANALYSIS_RATE
        utterance.update(measure_prosody(samples, n_words, speech_seconds))
