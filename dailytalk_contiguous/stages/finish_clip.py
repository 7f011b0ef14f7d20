"""TakeConditioned and FinishClip: a conditioned clip takes its source's place, and in the end its row is closed.

Augment changes what a row's `audio` holds, so conditioned audio has to become that first, with its words moved to
where they are heard in it. The last stage keeps what is published and drops the rest.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from datasets import Features, List

from dailytalk_contiguous.core.audio import probe
from dailytalk_contiguous.core.finished_clip import CONDITIONING, FINISHED, TOLD
from dailytalk_contiguous.core.matching import fit_words
from dailytalk_contiguous.core.schema import AUDIO, SECONDS, WORD, Batch
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.clip_words import PROPORTIONAL, RECOGNISER


@dataclass(frozen=True)
class TakeConditioned(Stage):
    """Gives back `audio`, `duration` and `words`: those of the conditioned clip (see `Condition`)."""

    needs: ClassVar[tuple[str, ...]] = (
        *("conditioned", "conditioned_duration", "clip_start", "trim_start", "trim_end", "words"),
    )
    adds: ClassVar[Features] = Features({"audio": AUDIO, "duration": SECONDS, "words": List(WORD)})

    def __call__(self, batch: Batch) -> Batch:
        words = []
        for place, timed in enumerate(batch["words"]):
            start, trimmed = batch["clip_start"][place], batch["trim_start"][place]
            moved = [word | {name: word[name] - trimmed + start for name in ("start", "end")} for word in timed]
            words.append(fit_words(moved, start, batch["conditioned_duration"][place]))
        return {
            "audio": [{"bytes": encoded, "path": None} for encoded in batch["conditioned"]],
            "duration": batch["conditioned_duration"],
            "words": words,
        }


@dataclass(frozen=True)
class FinishClip(Stage):
    """Closes rows: the columns of `core.finished_clip.FINISHED`, each word with the source of its times."""

    needs: ClassVar[tuple[str, ...]] = (
        *("conversation_id", "audio", "duration", "words", "word_source"),
        *TOLD,
        *CONDITIONING,
    )
    adds: ClassVar[Features] = FINISHED
    final: ClassVar[bool] = True

    def __call__(self, batch: Batch) -> Batch:
        count = len(batch["conversation_id"])
        rows = [self._row({name: batch[name][place] for name in self.needs}) for place in range(count)]
        return {name: [row[name] for row in rows] for name in self.adds}

    def _row(self, row: dict[str, Any]) -> dict[str, Any]:
        conditioning = {name: row[name] for name in CONDITIONING}
        if (copy := row["augmentation"]) and copy["kind"] == "stretch" and row["clip_start"]:
            conditioning["clip_start"] *= copy["amount"]  # the prompt before the clip is stretched with it
        told = {name: row[name] for name in ("conversation_id", "audio", "duration", *TOLD)}
        return told | {
            "sample_rate": probe(row["audio"]).sample_rate,
            "words": [
                {name: word[name] for name in ("word", "start", "end")} | {"source": _source(word, row)}
                for word in row["words"]
            ],
            "conditioning": conditioning,
        }


def _source(word: dict[str, Any], row: dict[str, Any]) -> str:
    unheard = row["word_source"] == RECOGNISER and row["text_source"] != RECOGNISER and word["probability"] == 0
    return PROPORTIONAL if unheard else str(row["word_source"])
