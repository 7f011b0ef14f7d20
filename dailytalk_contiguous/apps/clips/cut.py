"""CutAtSilences: the positions at which a recording is cut. The output of the pass writes the pieces."""

from dataclasses import dataclass
from typing import ClassVar

from datasets import Features, List, Value

from dailytalk_contiguous.apps.clips.cuts import CutRule
from dailytalk_contiguous.apps.clips.silences import LevelMeter
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import blocks, read_header
from dailytalk_contiguous.core.schema import MEASURE, STRING, Row
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.stages.base import Stage

#: Seconds of a recording that are measured at a time: a block that fits a core's cache takes half the time.
BLOCK_SECONDS = 2.0

#: A part of a recording: its samples from `start` up to `end`, why it can't be used (null if it can), and why it
#: ends there.
PIECE = {"start": Value("int64"), "end": Value("int64"), "reason": STRING, "cut": STRING}


@dataclass(frozen=True)
class CutAtSilences(Stage):
    """The pieces of a recording, whatever its rate and number of channels; laid end to end they are all of it.

    `below` is the dBFS under which all channels must be for a silence; None for each channel's own noise floor.
    """

    rule: CutRule = CutRule()
    below: float | None = setting(
        None,
        "Level of a silence in dBFS.",
        panel="result",
        least=-120.0,
        most=0.0,
        metavar="DB",
        shown="from the recording's noise floor",
    )

    needs: ClassVar[tuple[str, ...]] = ("audio",)
    prepares: ClassVar[bool] = True
    refuses: ClassVar[bool] = True
    batch_rows: ClassVar[int] = 1
    adds: ClassVar[Features] = Features({"pieces": List(PIECE), "thresholds_dbfs": List(MEASURE)})

    def row(self, row: Row) -> Row:
        info = read_header(row["audio"])
        meter = LevelMeter(info.sample_rate, info.channels)
        for block in blocks(row["audio"], block_seconds=BLOCK_SECONDS):
            interrupts.check_interrupt()
            meter.push(block)
        levels = meter.levels()
        thresholds = levels.thresholds(self.below)
        pieces = levels.cut(self.rule, levels.silences(thresholds))
        return {"pieces": [piece._asdict() for piece in pieces], "thresholds_dbfs": thresholds}
