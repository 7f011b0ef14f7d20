"""The text to be spoken, with its end mark, and the same text with the style tag before it.

What was heard or given stays in `text_raw`; `text` and `tagged_text` are made from it here and nowhere else, so
that a changed tag changes all three together.
"""

from dataclasses import dataclass
from typing import ClassVar

from datasets import Features

from dailytalk_contiguous.core.punctuation import punctuate, tagged
from dailytalk_contiguous.core.schema import STRING, Batch
from dailytalk_contiguous.core.tag_lists import style_of
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.transcribe import GIVEN

#: Which end marks may be set: where a recogniser wrote none (default), or those of the tag everywhere.
MARKS_SET = ("missing", "always")


@dataclass(frozen=True)
class Punctuate(Stage):
    """Adds `text`, and `tagged_text` in the way that `synthesiser` reads tags (null where there are no words).

    The column `language` (ISO 639 codes) chooses the marks; without it, or where it is null, they are . ? !
    Raises ValueError for a synthesiser without a style list, and for marks that are none of `MARKS_SET`.

    Attributes:
        synthesiser: whose style list tells how a tag is written.
        marks: `missing` sets an end mark only where a recogniser wrote none; a text that a person gave (its
            `recogniser` is `given`) keeps its own. `always` sets the mark of the tag in place of a full stop or a
            comma too, whoever wrote it.
    """

    synthesiser: str = "fish-s1"
    marks: str = MARKS_SET[0]

    needs: ClassVar[tuple[str, ...]] = ("text_raw", "tag")
    uses: ClassVar[tuple[str, ...]] = ("language", "recogniser")
    adds: ClassVar[Features] = Features({"text": STRING, "tagged_text": STRING})

    def __post_init__(self) -> None:
        style_of(self.synthesiser)
        if self.marks not in MARKS_SET:
            raise ValueError(f"marks must be one of {MARKS_SET}, not {self.marks!r}")

    def __call__(self, batch: Batch) -> Batch:
        languages = batch.get("language", [None] * len(batch["tag"]))
        recognisers = batch.get("recogniser", [None] * len(batch["tag"]))
        columns = zip(batch["text_raw"], batch["tag"], languages, map(self._sets, recognisers), strict=True)
        texts = [punctuate(text_raw or "", *rest) for text_raw, *rest in columns]
        spoken = [tagged(text, tag, self.synthesiser) for text, tag in zip(texts, batch["tag"], strict=True)]
        return {"text": texts, "tagged_text": spoken}

    def _sets(self, recogniser: str | None) -> str:
        return "never" if self.marks == "missing" and recogniser == GIVEN else self.marks
