"""From measures to style: a bucket for every measure, a tag by them, and punctuation by the tag."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from datasets import Features
from numpy.typing import NDArray

from dailytalk_contiguous.core import buckets, tags
from dailytalk_contiguous.core.emotions import VOICE_LINEAR
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import MEASURE, STRING, Batch, Row, per_utterance
from dailytalk_contiguous.core.sentences import ends_as_question, punctuate, tagged
from dailytalk_contiguous.core.settings import setting, unlisted
from dailytalk_contiguous.core.utterance import AFFECT, GIVEN
from dailytalk_contiguous.stages.base import Stage

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

    `corpus` belongs to the preset `robust`, which can't run without it: `fit` makes it. `seed` was defined over
    whole recordings; rows are conversations, so it is exact only where recordings were not cut into several.

    `rms_gain_db` is the distance to the median rms of the channel in this conversation in dB; `f0_ratio` and
    `rate_ratio` are multiples of the medians of f0_mean and speech_rate. All are NaN where the measure is
    unknown or 0.
    """

    preset: str = setting(
        "percentile",
        "How LOW, MID and HIGH are divided: {choices}.",
        option="buckets",
        panel="style",
        choices=tuple(BUCKET_PRESETS),
    )
    corpus: CorpusStatistics = unlisted(())

    needs: ClassVar[tuple[str, ...]] = ("utterance_id", "channel", *buckets.FEATURES)
    adds: ClassVar[Features] = per_utterance(
        Features({**dict.fromkeys(buckets.FEATURES.values(), STRING), **dict.fromkeys(MARGINS, MEASURE)})
    )

    @property
    def unfitted(self) -> bool:
        return self.preset == "robust" and not self.corpus

    def fit(self, rows: Iterable[Row]) -> "Bucket":
        """The stage with the statistics of all conversations. Raises DailytalkError where they are too few."""
        return replace(self, corpus=corpus_of(rows))

    def preflight(self, fetch: bool = True) -> None:
        if self.unfitted:
            raise DailytalkError(
                "--buckets robust measures the whole corpus before it tags, but here it is not known",
                "choose other --buckets, leave --streaming out, or take stage.fit(rows) of earlier stages' rows",
            )

    def row(self, row: Row) -> Row:
        self.preflight()
        n_utterances = len(row["utterance_id"])
        channels = _by_channel(row["channel"])
        groups = [np.arange(n_utterances)] if self.preset == "seed" else channels
        columns: Batch = {}
        for feature, name in buckets.FEATURES.items():
            values = np.array(row[feature], np.float64)  # null as NaN
            labels = [""] * n_utterances
            for indices in groups:
                bucketed = self._bucketed(values[indices], feature)
                for index, label in zip(indices, bucketed.labels, strict=True):
                    labels[index] = label
            columns[name] = labels
        for name, (feature, margin) in MARGINS.items():
            # Stored as float32, so that a margin read back from disk is the one that was computed here.
            margins = np.full(n_utterances, math.nan, dtype=np.float32)
            values = np.array(row[feature], np.float64)
            for indices in channels:
                margins[indices] = margin(values[indices])
            columns[name] = margins.tolist()
        return columns

    def _bucketed(self, values: NDArray[np.float64], feature: str) -> buckets.Buckets:
        """The buckets of one channel's values of a feature."""
        if self.preset == "percentile":
            return buckets.percentile(values, feature)
        if self.preset == "seed":
            return buckets.seed(values)
        usual = {name: buckets.Statistic(median, spread) for name, median, spread in self.corpus}
        return buckets.robust(values, usual[feature])


def corpus_of(rows: Iterable[Mapping[str, Any]]) -> CorpusStatistics:
    """The setting `corpus` of `Bucket`, from conversations with the columns that `Bucket` needs, in one pass.

    A feature that no conversation has (without an affect model) is (0, 0). Raises DailytalkError if no channel of
    any conversation has enough values of a feature.
    """
    arrays: dict[str, list[NDArray[np.float64]]] = {feature: [] for feature in buckets.FEATURES}
    for row in rows:
        for indices in _by_channel(row["channel"]):
            for feature in buckets.FEATURES:
                values = np.array(row[feature], np.float64)
                arrays[feature].append(values[indices])
    statistics = []
    for feature, measured in arrays.items():
        is_measured = any(bool(np.isfinite(channel).any()) for channel in measured)
        if measured and not is_measured:
            statistics.append((feature, 0.0, 0.0))
        else:
            median, spread = buckets.corpus_statistic(measured)
            statistics.append((feature, median, spread))
    return tuple(statistics)


def _by_channel(channels: Sequence[str]) -> list[NDArray[np.intp]]:
    names = np.asarray(channels)
    return [np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())]


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

    With `emotion_vote`, `emotion_class` (see `ClassifyEmotion`) breaks a tie of the rules, unless it is `unsure`:
    see `core.tags.is_tie`. The column `question` says which utterances ask; without it, those do whose `text_raw`
    ends in a question mark. Measures that are null or NaN satisfy no rule.

    By the rules `careful`, valence, arousal and dominance count as MID where they differ from what is usual for
    the speaker by less than `voice-linear` can tell. Where all three do, and no gate or question holds, the tag is
    empty: percentiles find a third that is LOW in talk without any feeling. By the others each utterance has the
    tag that follows from its buckets and margins.
    """

    VERSION: ClassVar[int] = 2
    rules: str = setting("standard", "Table of tags: {choices}.", panel="style", choices=tuple(tags.PRESETS))
    emotion_vote: bool = setting(
        False, "With --emotion: its class chooses the tag if no measure stands out.", panel="style"
    )

    needs: ClassVar[tuple[str, ...]] = (*BUCKETS.values(), *MEASURES, "text_raw")
    uses: ClassVar[tuple[str, ...]] = ("question", "emotion_class", "affect_model", *AFFECT)
    adds: ClassVar[Features] = Features({"tag": STRING, "rule": STRING})

    def __call__(self, batch: Batch) -> Batch:
        if "question" in batch:
            questions = [bool(question) for question in batch["question"]]
        else:
            questions = [ends_as_question(text or "") for text in batch["text_raw"]]
        levels = {field: list(batch[name]) for field, name in BUCKETS.items()}
        as_usual = self._as_usual(batch)
        for column, name in enumerate(AFFECT):
            for index, is_usual in enumerate(as_usual[:, column].tolist()):
                if is_usual:
                    levels[name][index] = buckets.MID
        votes = batch.get("emotion_class") if self.emotion_vote else None
        choices: list[tags.Choice] = []
        for index, question in enumerate(questions):
            values = {field: column[index] for field, column in levels.items()}
            for name in MEASURES:
                value = batch[name][index]
                values[name] = math.nan if value is None else float(value)
            evidence = tags.Evidence(**values, question=question)
            choice = tags.choose_tag(evidence, self.rules, votes[index] if votes else None)
            if as_usual[index].all() and "grid" in choice.rule:
                choice = tags.Choice("", tags.AS_USUAL)
            choices.append(choice)
        return {"tag": [choice.tag for choice in choices], "rule": [choice.rule for choice in choices]}

    def _as_usual(self, batch: Batch) -> NDArray[np.bool_]:
        """Whether valence, arousal and dominance can't be told from what is usual, shape (n, 3)."""
        models = np.array(batch.get("affect_model") or [None] * len(batch["text_raw"]), object)
        compared = models == VOICE_LINEAR
        if self.rules != tags.CAREFUL or not compared.any():
            return np.zeros((len(models), len(AFFECT)), np.bool_)
        from dailytalk_contiguous.models.linear_emotion import bundled_voice  # which few runs need

        affect = np.stack([np.array(batch[name], np.float64) for name in AFFECT], axis=1)
        usual: NDArray[np.bool_] = (np.abs(affect - 0.5) < bundled_voice().affect_error) & compared[:, None]
        return usual


# The text to be spoken, with its end mark, and the same text with the style tag before it.
#
# What was heard or given stays in `text_raw`; `text` and `tagged_text` are made from it here and nowhere else, so
# that a changed tag changes all three together.


#: Which end marks may be set: where a recogniser wrote none (default), or those of the tag everywhere.
MARKS_SET = ("missing", "always")


@dataclass(frozen=True)
class Punctuate(Stage):
    """Adds `text`, and `tagged_text`, the text after its tag (null where there are no words).

    The column `language` (ISO 639 codes) chooses the marks; without it, or where it is null, they are . ? !

    Attributes:
        marks: `missing` sets an end mark only where a recogniser wrote none; a text that a person gave (its
            `recogniser` is `given`) stays as it is. `always` sets the mark of the tag in place of a full stop or a
            comma too, whoever wrote it.
    """

    marks: str = setting(
        MARKS_SET[0],
        "When the tag sets the end mark: {choices}. Missing: where the recogniser wrote none.",
        option="punctuate",
        panel="style",
        choices=MARKS_SET,
    )

    VERSION: ClassVar[int] = 2
    needs: ClassVar[tuple[str, ...]] = ("text_raw", "tag")
    uses: ClassVar[tuple[str, ...]] = ("language", "recogniser")
    adds: ClassVar[Features] = Features({"text": STRING, "tagged_text": STRING})

    def __call__(self, batch: Batch) -> Batch:
        unknown = [None] * len(batch["tag"])
        languages = batch.get("language", unknown)
        recognisers = batch.get("recogniser", unknown)
        columns = zip(batch["text_raw"], batch["tag"], languages, recognisers, strict=True)
        texts: list[str] = []
        tagged_texts: list[str | None] = []
        for text_raw, tag, language, recogniser in columns:
            marks = "never" if self.marks == "missing" and recogniser == GIVEN else self.marks
            text = punctuate(text_raw or "", tag, language, marks)
            texts.append(text)
            tagged_texts.append(tagged(text, tag))
        return {"text": texts, "tagged_text": tagged_texts}
