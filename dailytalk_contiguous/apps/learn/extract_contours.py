"""ExtractContours: six contours of each utterance, a value every 16 ms (see `models.contours`)."""

from dataclasses import dataclass
from typing import ClassVar

from datasets import Features, List, Value

from dailytalk_contiguous.core.records.utterance import Utterance
from dailytalk_contiguous.core.settings import unlisted
from dailytalk_contiguous.core.sound.samples import pcm_to_float
from dailytalk_contiguous.models.contours import CONTOURS, EMPHASIS, SMOOTHING, ProsodicFeatureExtractor
from dailytalk_contiguous.stages.base import UtteranceStage


@dataclass(frozen=True)
class ExtractContours(UtteranceStage):
    """Contours of utterances: f0, f0_width, f1, f2, power, snr in [0, 1], all of one length; 0 where unvoiced."""

    smoothing: str = unlisted("medium", "How far contours are averaged: {choices}.", choices=tuple(SMOOTHING))

    needs: ClassVar[tuple[str, ...]] = ("speech",)
    adds: ClassVar[Features] = Features({"contours": dict.fromkeys(CONTOURS, List(Value("float32")))})

    def of_utterance(self, utterance: Utterance) -> None:
        extractor = ProsodicFeatureExtractor(emphasize_ratio=EMPHASIS, smoothing_level=self.smoothing)
        contours = extractor.extract(audio_tensor=pcm_to_float(utterance.speech))
        utterance.extra["contours"] = {name: values.tolist() for name, values in contours.items()}
