"""FinishClip: the last stage of a clip, which keeps the published columns and drops the rest."""

from dataclasses import dataclass
from typing import ClassVar

from datasets import Features

from dailytalk_contiguous.core.records import schema
from dailytalk_contiguous.core.records.clip import SAID, clip_row
from dailytalk_contiguous.machine.audio import read_header
from dailytalk_contiguous.stages.base import Stage


@dataclass(frozen=True)
class FinishClip(Stage):
    """Closes rows: the columns of `core.records.schema.LABELLED`, each word with the source of its times."""

    needs: ClassVar[tuple[str, ...]] = (
        "conversation_id",
        "audio",
        "duration",
        "words",
        "word_sources",
        "labels",
        "split",
        *SAID,
        *schema.CONDITIONING,
    )
    adds: ClassVar[Features] = schema.LABELLED

    def row(self, row: schema.Row) -> schema.Row:
        conditioning = {name: row[name] for name in schema.CONDITIONING}
        copy = row["labels"]["augmentation"]
        if copy and copy["kind"] == "stretch" and row["clip_start"]:
            conditioning["clip_start"] *= copy["amount"]  # the prompt before the clip is stretched with it
        clip = dict(row)
        clip["labels"] = row["labels"] | {"conditioning": conditioning}
        clip["sample_rate"] = read_header(row["audio"]).sample_rate
        words = []
        for word, source in zip(row["words"] or (), row["word_sources"] or (), strict=True):
            aligned = {name: word[name] for name in ("word", "start", "end")}
            aligned |= {"speaker": "left", "source": source, "probability": None}
            words.append(aligned)
        finished = clip_row(clip, words)
        finished["audio"] = row["audio"]
        return finished
