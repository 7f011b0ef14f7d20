"""MeasureDelivery: pitch and level over time of the utterances that are re-voiced, for `Speak` to compare with."""

from dataclasses import dataclass
from typing import ClassVar

from datasets import Features, List, Value

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, pcm_to_float, read_analysis
from dailytalk_contiguous.core.delivery import performance_of
from dailytalk_contiguous.core.schema import CHANNELS, Row
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.stages.base import REVOICE, Stage

NONE, CONTOURS = "none", "contours"


@dataclass(frozen=True)
class MeasureDelivery(Stage):
    """Adds `source_f0` in Hz, 0 where unvoiced, and `source_level` in dBFS, a value every 32 ms of each utterance.

    Both are empty for the other speaker, and for utterances without text. See `core.delivery`.
    """

    revoice: str = setting(CHANNELS[0], REVOICE)
    delivery: str = setting(
        NONE,
        "Compare takes with their source in melody and loudness; --candidates chooses the nearest: {choices}.",
        panel="result",
        choices=(NONE, CONTOURS),
    )

    needs: ClassVar[tuple[str, ...]] = ("audio", "offset", "duration", "source_channel", "start", "end", "text")
    prepares: ClassVar[bool] = True
    batch_rows: ClassVar[int] = 1
    adds: ClassVar[Features] = Features(
        {"source_f0": List(List(Value("float32"))), "source_level": List(List(Value("float32")))}
    )

    def __post_init__(self) -> None:
        if self.revoice not in CHANNELS or self.delivery not in (NONE, CONTOURS):
            raise ValueError(f"there is no channel {self.revoice!r}, or no delivery {self.delivery!r}")

    def row(self, row: Row) -> Row:
        channel = read_analysis(row["audio"], row["offset"], row["duration"])[:, CHANNELS.index(self.revoice)]
        lines = zip(*(row[name] for name in ("source_channel", "start", "end", "text")), strict=True)
        performances = []
        for side, start, end, text in lines:
            first = round(start * ANALYSIS_RATE)
            last = round(end * ANALYSIS_RATE) if side == self.revoice and text.strip() else first
            performances.append(performance_of(pcm_to_float(channel[first:last].tobytes())))
        return {
            "source_f0": [performance.f0.tolist() for performance in performances],
            "source_level": [performance.level.tolist() for performance in performances],
        }
