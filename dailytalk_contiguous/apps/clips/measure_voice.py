"""MeasureVoice: the measures of each clip's voice, by which a speaker's clips are compared with one another."""

from dataclasses import dataclass
from typing import ClassVar

from datasets import Features, List, Value

from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.core.sound.samples import pcm_to_float
from dailytalk_contiguous.models.linear_emotion import measure_voice
from dailytalk_contiguous.stages.base import Stage


@dataclass(frozen=True)
class MeasureVoice(Stage):
    """Adds `voice`, `models.emotion_features.MEASURES` of 16 kHz `speech`; NaN where one is missing."""

    VERSION: ClassVar[int] = 2

    needs: ClassVar[tuple[str, ...]] = ("speech",)
    adds: ClassVar[Features] = Features({"voice": List(Value("float32"))})

    def row(self, row: Row) -> Row:
        return {"voice": measure_voice(pcm_to_float(row["speech"])).tolist()}
