"""MeasureQuality: the quality of each clip's recording, and the spans of it that are audible.

Nothing is filtered here: every figure is a column, and `core.sound.quality.failures` says which are out of bounds,
so that thresholds are chosen from a plot and changed without measuring again.
"""

from dataclasses import dataclass
from typing import ClassVar

from datasets import Features

from dailytalk_contiguous.core.records.arrow_types import record_features
from dailytalk_contiguous.core.records.clip_records import ClipQuality
from dailytalk_contiguous.core.records.record import SoundSpan, Text
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.core.sound.quality import measure_quality
from dailytalk_contiguous.machine.audio import scale_note
from dailytalk_contiguous.models import speech_activity
from dailytalk_contiguous.models.speech_activity import hear, read_clip
from dailytalk_contiguous.stages.base import Stage


class ClipMeasures(ClipQuality):
    """The columns of `MeasureQuality`."""

    channel_taken: Text
    heard: list[SoundSpan]
    scale_note: Text | None


@dataclass(frozen=True)
class MeasureQuality(Stage):
    """Adds the measures of `core.sound.quality.measure_quality` (null if not defined), and their basis.

    `channel_taken` is the channel of the file (see `machine.audio`); `heard` the spans, in seconds of the file, in
    which there is sound, which `Condition` uses instead of measuring again; `scale_note` what `machine.audio` says
    of a file whose samples it scales. Raises BadInput for a clip that can't be read or whose two channels differ.
    """

    VERSION: ClassVar[int] = 2
    needs: ClassVar[tuple[str, ...]] = ("audio",)
    refuses: ClassVar[bool] = True
    adds: ClassVar[Features] = Features(record_features(ClipMeasures))

    def models(self) -> dict[str, str]:
        return {"speech_activity": speech_activity.NAME}

    def row(self, row: Row) -> Row:
        clip = read_clip(row["audio"])
        heard = hear(clip.samples, clip.sample_rate)
        measures = measure_quality(clip.samples, clip.sample_rate, heard.speech, heard.sounds)
        columns: Row = {**measures}
        columns["channel_taken"] = clip.channel
        columns["heard"] = [{"start": start, "end": end} for start, end in heard.sounds]
        columns["scale_note"] = scale_note(row["audio"]) or None
        return columns
