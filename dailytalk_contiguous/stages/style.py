"""From measures to style: a bucket for every measure, a tag by them, and punctuation by the tag."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from datasets import Features
from numpy.typing import NDArray

from dailytalk_contiguous.core import buckets, tags
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import MEASURE, STRING, Batch, Row, per_utterance
from dailytalk_contiguous.core.sentences import ends_as_question, punctuate, tagged
from dailytalk_contiguous.core.settings import setting, unlisted
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.transcribe import GIVEN

# Buckets of every utterance's measures within its conversation, and its margins against the speaker's median.
#
# A conversation stage, because LOW and HIGH mean nothing for an utterance alone. It works on one channel at a
# time (a loud speaker must not make a quiet one whisper), except with the preset `seed`, which must reproduce a
# tool that did not.


BUCKET_PRESETS = ("percentile", "robust", "seed")

#: The margins: column, the measure it compares with the channel's median, and how.
MARGINS = {
    "rms_gain_db": ("rms", buckets.gain_db),
    "f0_ratio": ("f0_mean", buckets.over_median),
    "rate_ratio": ("speech_rate", buckets.over_median),
}

#: The setting `corpus`: (feature, median, spread) for every feature.
CorpusStatistics = tuple[tuple[str, float, float], ...]


@dataclass(frozen=True)
class Bucket(Stage):
    """Adds eight buckets (LOW, MID, HIGH) and three margins an utterance.

    `preset` is `percentile`, `robust` or `seed` (see `core.buckets`). `floors` and `min_values` belong to
    `percentile`; `corpus` to `robust`, which can't run without it: `corpus_of` makes it. `seed` was defined over
    whole recordings; rows are conversations, so it is exact only where recordings were not cut into several.

    `rms_gain_db` is the distance to the median rms of the channel in this conversation in dB; `f0_ratio` and
    `rate_ratio` are multiples of the medians of f0_mean and speech_rate. All are NaN where the measure is
    unknown or 0. Raises ValueError for settings that mean nothing.
    """

    preset: str = setting(
        "percentile",
        "How LOW, MID and HIGH are divided: {choices}.",
        option="buckets",
        panel="style",
        choices=tuple(BUCKET_PRESETS),
    )
    floors: tuple[tuple[str, float], ...] = unlisted(tuple(buckets.FLOORS))
    min_values: int = unlisted(buckets.MIN_VALUES)
    corpus: CorpusStatistics = unlisted(())

    needs: ClassVar[tuple[str, ...]] = ("utterance_id", "channel", *buckets.FEATURES)
    adds: ClassVar[Features] = per_utterance(
        Features({**dict.fromkeys(buckets.FEATURES.values(), STRING), **dict.fromkeys(MARGINS, MEASURE)})
    )

    def __post_init__(self) -> None:
        if self.preset not in BUCKET_PRESETS:
            raise ValueError(
                f"there is no bucket preset {self.preset!r}: choose one of {', '.join(BUCKET_PRESETS)}"
            )
        if self.min_values < 1:
            raise ValueError(f"min_values must be at least 1, not {self.min_values}")
        named = [entry[0] for entry in (*self.floors, *self.corpus)]
        if unknown := sorted(set(named) - set(buckets.FEATURES)):
            raise ValueError(
                f"unknown features {unknown} in floors or corpus: they are {', '.join(buckets.FEATURES)}"
            )
        if bad := [entry for entry in self.floors if not entry[1] >= 0]:
            raise ValueError(f"floors must be numbers from 0 up, not {bad}")
        if bad_corpus := [entry for entry in self.corpus if not (math.isfinite(entry[1]) and entry[2] >= 0)]:
            raise ValueError(f"corpus entries are (feature, median, spread from 0 up), not {bad_corpus}")

    @property
    def unfitted(self) -> bool:
        return self.preset == "robust" and not self.corpus

    def fit(self, rows: Iterable[Row]) -> "Bucket":
        """The stage with the statistics of all conversations. Raises DailytalkError where they are too few."""
        return replace(self, corpus=corpus_of(rows))

    def preflight(self, fetch: bool = True) -> None:
        missing = sorted(set(buckets.FEATURES) - {entry[0] for entry in self.corpus})
        if self.preset == "robust" and missing:
            raise DailytalkError(
                f"the bucket preset 'robust' has no corpus statistics of {', '.join(missing)}",
                "take stage.fit(rows) of the rows that the stages before it have made, or the preset 'percentile'",
            )

    def row(self, row: Row) -> Row:
        self.preflight()
        n_utterances = len(row["utterance_id"])
        channels = _places(row["channel"])
        groups = [np.arange(n_utterances)] if self.preset == "seed" else channels
        columns: dict[str, list[Any]] = {}
        for feature, name in buckets.FEATURES.items():
            columns[name] = [""] * n_utterances
            values = _array(row[feature], n_utterances)
            for places in groups:
                for place, label in zip(places, self._bucket(values[places], feature).labels, strict=True):
                    columns[name][place] = label
        for name, (feature, margin) in MARGINS.items():
            # Stored as float32, so that a margin read back from disk is the one that was computed here.
            margins = np.full(n_utterances, math.nan, dtype=np.float32)
            values = _array(row[feature], n_utterances)
            for places in channels:
                margins[places] = margin(values[places])
            columns[name] = margins.tolist()
        return columns

    def _bucket(self, values: NDArray[np.float64], feature: str) -> buckets.Buckets:
        if self.preset == "percentile":
            return buckets.percentile(values, feature, self.floors, self.min_values)
        if self.preset == "robust":
            usual = {name: buckets.Statistic(median, spread) for name, median, spread in self.corpus}
            return buckets.robust(values, usual[feature])
        return buckets.seed(values)


def corpus_of(rows: Iterable[Mapping[str, Any]], min_values: int = 3) -> CorpusStatistics:
    """The setting `corpus` of `Bucket`, from conversations with the columns that `Bucket` needs, in one pass.

    A channel of a conversation counts for a feature if it has `min_values` finite values of it. Raises
    `DailytalkError` if no channel of any row does.
    """
    arrays: dict[str, list[NDArray[np.float64]]] = {feature: [] for feature in buckets.FEATURES}
    for row in rows:
        for places in _places(row["channel"]):
            for feature in buckets.FEATURES:
                arrays[feature].append(_array(row[feature], len(row["channel"]))[places])
    try:
        return tuple(
            (feature, *buckets.corpus_statistic(values, min_values)) for feature, values in arrays.items()
        )
    except ValueError as error:
        raise DailytalkError(f"corpus statistics are impossible: {error}", "give more or longer rows") from error


def _places(channels: Iterable[str]) -> list[NDArray[np.intp]]:
    """Where the utterances of each channel are."""
    names = np.asarray(list(channels))
    return [np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())]


def _array(values: Iterable[float | None], n_utterances: int) -> NDArray[np.float64]:
    """A list column of one row, null as NaN."""
    array = np.array(list(values), dtype=np.float64)
    if array.size != n_utterances:
        raise ValueError(f"a list column has {array.size} values for {n_utterances} utterances")
    return array


# The style tag of every utterance, and why it was chosen.
#
# Reads only buckets and measures that are in the dataset, so that anyone can repeat it, and works on flat
# columns, so that it tags any utterance dataset that has them. The rules themselves are in `core.tags`.


#: Fields of the evidence and the columns that they come from.
BUCKETS = {name.removesuffix("_bucket"): name for name in buckets.FEATURES.values()}
MEASURES = ("rms_gain_db", "f0_ratio", "rate_ratio", "speech_rate", "voiced_fraction")


@dataclass(frozen=True)
class Tag(Stage):
    """Adds `tag` and `rule`, the name of the rule that chose it.

    `rules` is `standard` or `seed`; `synthesiser` is one that must know every tag of the rules. With
    `emotion_vote`, `emotion_class` (see `ClassifyEmotion`) breaks a tie of the rules, unless it is `unsure`: see
    `core.tags.is_tie`. The column `question` says which utterances ask; without it, those do whose `text_raw` ends
    in a question mark. Measures that are null or NaN satisfy no rule. Raises ValueError for settings that don't
    exist.
    """

    rules: str = setting("standard", "Table of tags: {choices}.", panel="style", choices=tuple(tags.PRESETS))
    emotion_vote: bool = setting(
        False, "With --emotion: its class chooses the tag where no measure stands out.", panel="style"
    )
    synthesiser: str = unlisted("fish-s1")

    needs: ClassVar[tuple[str, ...]] = (*BUCKETS.values(), *MEASURES, "text_raw")
    uses: ClassVar[tuple[str, ...]] = ("question", "emotion_class")
    adds: ClassVar[Features] = Features({"tag": STRING, "rule": STRING})

    def __post_init__(self) -> None:
        tags.rules_of(self.rules)
        tags.style_of(self.synthesiser)

    def __call__(self, batch: Batch) -> Batch:
        if "question" in batch:
            questions = [bool(question) for question in batch["question"]]
        else:
            questions = [ends_as_question(text or "") for text in batch["text_raw"]]
        columns = {field: batch[name] for field, name in BUCKETS.items()}
        for name in MEASURES:
            columns[name] = [math.nan if value is None else float(value) for value in batch[name]]
        columns["question"] = questions
        nobody = [None] * len(questions)
        votes = batch.get("emotion_class", nobody) if self.emotion_vote else nobody
        choices = [
            tags.choose_tag(tags.Evidence(**dict(zip(columns, values, strict=True))), self.rules, vote)
            for vote, *values in zip(votes, *columns.values(), strict=True)
        ]
        return {"tag": [choice.tag for choice in choices], "rule": [choice.rule for choice in choices]}

    def preflight(self, fetch: bool = True) -> None:
        by_rules = [rule.tag for rule in tags.rules_of(self.rules)]
        tags.check_tags(
            [*by_rules, *(tags.TAG_OF_EMOTION.values() if self.emotion_vote else ())], self.synthesiser, {}
        )


# The text to be spoken, with its end mark, and the same text with the style tag before it.
#
# What was heard or given stays in `text_raw`; `text` and `tagged_text` are made from it here and nowhere else, so
# that a changed tag changes all three together.


#: Which end marks may be set: where a recogniser wrote none (default), or those of the tag everywhere.
MARKS_SET = ("missing", "always")


@dataclass(frozen=True)
class Punctuate(Stage):
    """Adds `text`, and `tagged_text` in the way that `synthesiser` reads tags (null where there are no words).

    The column `language` (ISO 639 codes) chooses the marks; without it, or where it is null, they are . ? !
    Raises ValueError for a synthesiser without a style list, and for marks that are none of `MARKS_SET`.

    Attributes:
        synthesiser: whose style list says how a tag is written.
        marks: `missing` sets an end mark only where a recogniser wrote none; a text that a person gave (its
            `recogniser` is `given`) keeps its own. `always` sets the mark of the tag in place of a full stop or a
            comma too, whoever wrote it.
    """

    synthesiser: str = unlisted("fish-s1")
    marks: str = setting(
        MARKS_SET[0],
        "When the tag sets the end mark: {choices}. Missing: where the recogniser wrote none.",
        option="punctuate",
        panel="style",
        choices=MARKS_SET,
    )

    needs: ClassVar[tuple[str, ...]] = ("text_raw", "tag")
    uses: ClassVar[tuple[str, ...]] = ("language", "recogniser")
    adds: ClassVar[Features] = Features({"text": STRING, "tagged_text": STRING})

    def __post_init__(self) -> None:
        tags.style_of(self.synthesiser)
        if self.marks not in MARKS_SET:
            raise ValueError(f"marks must be one of {MARKS_SET}, not {self.marks!r}")

    def __call__(self, batch: Batch) -> Batch:
        languages = batch.get("language", [None] * len(batch["tag"]))
        recognisers = batch.get("recogniser", [None] * len(batch["tag"]))
        sets = ["never" if self.marks == "missing" and name == GIVEN else self.marks for name in recognisers]
        columns = zip(batch["text_raw"], batch["tag"], languages, sets, strict=True)
        texts = [punctuate(text_raw or "", *rest) for text_raw, *rest in columns]
        spoken = [tagged(text, tag, self.synthesiser) for text, tag in zip(texts, batch["tag"], strict=True)]
        return {"text": texts, "tagged_text": spoken}
