"""The text to be spoken, with its end mark, and the same text with the style tag before it.

The recogniser's text stays in `text_raw`; `text` and `tagged_text` are made from it here and nowhere else, so
that a changed tag changes all three together.
"""

from dataclasses import dataclass
from typing import ClassVar

from datasets import Features

from dailytalk_contiguous.core.punctuation import punctuate, tagged
from dailytalk_contiguous.core.schema import STRING, Batch
from dailytalk_contiguous.core.tag_lists import style_of
from dailytalk_contiguous.stages.base import Stage


@dataclass(frozen=True)
class Punctuate(Stage):
    """Adds `text`, and `tagged_text` in the way that `synthesiser` reads tags (null where there are no words).

    The column `language` (ISO 639 codes) chooses the marks; without it, or where it is null, they are . ? !
    Raises ValueError for a synthesiser without a style list.
    """

    synthesiser: str = "fish-s1"

    needs: ClassVar[tuple[str, ...]] = ("text_raw", "tag")
    uses: ClassVar[tuple[str, ...]] = ("language",)
    adds: ClassVar[Features] = Features({"text": STRING, "tagged_text": STRING})

    def __post_init__(self) -> None:
        style_of(self.synthesiser)

    def __call__(self, batch: Batch) -> Batch:
        languages = batch.get("language", [None] * len(batch["tag"]))
        columns = zip(batch["text_raw"], batch["tag"], languages, strict=True)
        texts = [punctuate(text_raw or "", tag, language) for text_raw, tag, language in columns]
        spoken = [tagged(text, tag, self.synthesiser) for text, tag in zip(texts, batch["tag"], strict=True)]
        return {"text": texts, "tagged_text": spoken}
