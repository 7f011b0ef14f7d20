"""The style tag of every utterance, and why it was chosen.

Reads only buckets and measures that are in the dataset, so that anyone can repeat it, and works on flat columns,
so that it tags any utterance dataset that has them. The rules themselves are in `core.tags`.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from datasets import Features

from dailytalk_contiguous.core.questions import ends_as_question
from dailytalk_contiguous.core.schema import STRING, Batch
from dailytalk_contiguous.core.tag_lists import check_tags, style_of
from dailytalk_contiguous.core.tags import Evidence, choose_tag, rules_of
from dailytalk_contiguous.stages.base import Stage

#: Fields of the evidence and the columns that they come from.
BUCKETS = {
    field: f"{field}_bucket"
    for field in ("valence", "arousal", "dominance", "energy", "rate", "zcr", "pitch", "pitch_var")
}
MEASURES = ("rms_gain_db", "f0_ratio", "rate_ratio", "speech_rate", "voiced_fraction")


@dataclass(frozen=True)
class Tag(Stage):
    """Adds `tag` and `rule`, the name of the rule that chose it.

    `rules` is `standard` or `seed`; `synthesiser` is one that must know every tag of the rules. The column
    `question` says which utterances ask; without it, those do whose `text_raw` ends in a question mark. Measures
    that are null or NaN satisfy no rule. Raises ValueError for settings that don't exist.
    """

    rules: str = "standard"
    synthesiser: str = "fish-s1"

    needs: ClassVar[tuple[str, ...]] = (*BUCKETS.values(), *MEASURES, "text_raw")
    uses: ClassVar[tuple[str, ...]] = ("question",)
    adds: ClassVar[Features] = Features({"tag": STRING, "rule": STRING})

    def __post_init__(self) -> None:
        rules_of(self.rules)
        style_of(self.synthesiser)

    def __call__(self, batch: Batch) -> Batch:
        if "question" in batch:
            questions = [bool(question) for question in batch["question"]]
        else:
            questions = [ends_as_question(text or "") for text in batch["text_raw"]]
        columns = {field: batch[name] for field, name in BUCKETS.items()}
        columns |= {name: [_measure(value) for value in batch[name]] for name in MEASURES}
        columns["question"] = questions
        choices = [
            choose_tag(Evidence(**dict(zip(columns, values, strict=True))), self.rules)
            for values in zip(*columns.values(), strict=True)
        ]
        return {"tag": [choice.tag for choice in choices], "rule": [choice.rule for choice in choices]}

    def preflight(self, fetch: bool = True) -> None:
        check_tags((rule.tag for rule in rules_of(self.rules)), self.synthesiser, {})


def _measure(value: Any) -> float:
    return math.nan if value is None else float(value)
