"""Style by measures: a bucket for every measure, a tag by the buckets, and punctuation by the tag."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from datasets import Features
from numpy.typing import NDArray

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.conversation import (
    Conversation,
    Utterance,
    conversation_features,
    from_row,
    is_set,
    or_none,
    to_flat,
    utterance_features,
    values_of,
)
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.core.records.utterance import AFFECT, GIVEN
from dailytalk_contiguous.core.settings import setting, unlisted
from dailytalk_contiguous.core.style import buckets, tags
from dailytalk_contiguous.core.style.emotions import VOICE_LINEAR
from dailytalk_contiguous.core.words.sentences import ends_as_question, punctuate, tagged
from dailytalk_contiguous.stages.base import Stage, UtteranceStage

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
    adds: ClassVar[Features] = conversation_features(*buckets.FEATURES.values(), *MARGINS)

    @property
    def unfitted(self) -> bool:
        return self.preset == "robust" and not self.corpus

    def fit(self, rows: Iterable[Row]) -> "Bucket":
        """The stage with the statistics of all conversations. Raises DailytalkError where they are too few."""
        return replace(self, corpus=corpus_of(map(from_row, rows)))

    def preflight(self, fetch: bool = True) -> None:
        if self.unfitted:
            raise DailytalkError(
                "--buckets robust measures the whole corpus before it tags, but here it is not known",
                "choose other --buckets, leave --streaming out, or take stage.fit(rows) of earlier stages' rows",
            )

    def of_talk(self, talk: Conversation) -> Conversation:
        self.preflight()
        speakers = _by_channel(talk)
        groups = [talk.utterances] if self.preset == "seed" else speakers
        for feature, name in buckets.FEATURES.items():
            for utterances in groups:
                bucketed = self._bucketed(_measured(utterances, feature), feature)
                for utterance, label in zip(utterances, bucketed.labels, strict=True):
                    utterance.update({name: label})
        for name, (feature, margin) in MARGINS.items():
            for utterances in speakers:
                # Stored as float32, so that a margin read back from disk is the one that was computed here.
                margins = margin(_measured(utterances, feature)).astype(np.float32).tolist()
                for utterance, value in zip(utterances, margins, strict=True):
                    utterance.update({name: value})
        return talk

    def _bucketed(self, values: NDArray[np.float64], feature: str) -> buckets.Buckets:
        """The buckets of one channel's values of a feature."""
        if self.preset == "percentile":
            return buckets.percentile(values, feature)
        if self.preset == "seed":
            return buckets.seed(values)
        usual = {name: buckets.Statistic(median, spread) for name, median, spread in self.corpus}
        return buckets.robust(values, usual[feature])


def corpus_of(talks: Iterable[Conversation]) -> CorpusStatistics:
    """The setting `corpus` of `Bucket`, from conversations with what `Bucket` needs, in one pass.

    A feature that no conversation has (without an affect model) is (0, 0). Raises DailytalkError if no channel of
    any conversation has enough values of a feature.
    """
    arrays: dict[str, list[NDArray[np.float64]]] = {feature: [] for feature in buckets.FEATURES}
    for talk in talks:
        for utterances in _by_channel(talk):
            for feature, measured in arrays.items():
                measured.append(_measured(utterances, feature))
    statistics = []
    for feature, measured in arrays.items():
        is_measured = any(bool(np.isfinite(channel).any()) for channel in measured)
        if measured and not is_measured:
            statistics.append((feature, 0.0, 0.0))
        else:
            median, spread = buckets.corpus_statistic(measured)
            statistics.append((feature, median, spread))
    return tuple(statistics)


def _by_channel(talk: Conversation) -> list[list[Utterance]]:
    """The utterances of each channel."""
    channels: dict[str, list[Utterance]] = {}
    for utterance in talk.utterances:
        channels.setdefault(utterance.channel, []).append(utterance)
    return [*channels.values()]


def _measured(utterances: Sequence[Utterance], feature: str) -> NDArray[np.float64]:
    """A measure of utterances, NaN where it is null."""
    return np.array(values_of(utterances, feature), np.float64)


# The style tag of every utterance, and why it was chosen.
#
# Reads only buckets and measures that are in the dataset, so that anyone can repeat it. The rules themselves are
# in `core.style.tags`.


#: Fields of the evidence and the columns that they come from.
BUCKETS = {name.removesuffix("_bucket"): name for name in buckets.FEATURES.values()}
MEASURES = ("rms_gain_db", "f0_ratio", "rate_ratio", "speech_rate", "voiced_fraction")


@dataclass(frozen=True)
class Tag(UtteranceStage):
    """Adds `tag` and `rule`, the name of the rule that chose it.

    With `emotion_vote`, `emotion_class` (see `ClassifyEmotion`) breaks a tie of the rules, unless it is `unsure`:
    see `core.style.tags.is_tie`. The column `question` says which utterances ask; without it, those do whose
    `text_raw` ends in a question mark. Measures that are null or NaN satisfy no rule.

    By the rules `careful`, valence, arousal and dominance count as MID where they differ from what is usual for
    the speaker by less than `voice-linear` can tell. Where all three do, and no gate or question holds, the tag is
    empty: percentiles find a third that is LOW in talk without any feeling. By the others each utterance has the
    tag that follows from its buckets and margins.
    """

    VERSION: ClassVar[int] = 2
    rules: str = setting("standard", "Table of tags: {choices}.", panel="style", choices=tuple(tags.PRESETS))
    emotion_vote: bool = setting(
        False, "With --emotion: its class chooses the tag if no measure stands out.", panel="style", hidden=True
    )

    needs: ClassVar[tuple[str, ...]] = (*BUCKETS.values(), *MEASURES, "text_raw")
    uses: ClassVar[tuple[str, ...]] = ("question", "emotion_class", "affect_model", *AFFECT)
    adds: ClassVar[Features] = utterance_features("tag", "rule")

    def of_utterance(self, utterance: Utterance) -> None:
        columns = to_flat(utterance, (*BUCKETS.values(), *MEASURES))
        facts = {field: columns[name] for field, name in BUCKETS.items()}
        as_usual = self._as_usual(utterance)
        facts |= dict.fromkeys(as_usual, buckets.MID)
        for name in MEASURES:
            facts[name] = math.nan if columns[name] is None else columns[name]
        if is_set(utterance.question):
            question = bool(utterance.question)
        else:
            question = ends_as_question(utterance.text_raw or "")
        evidence = tags.Evidence(**facts, question=question)
        vote = or_none(utterance.emotion_class) if self.emotion_vote else None
        choice = tags.choose_tag(evidence, self.rules, vote)
        if len(as_usual) == len(AFFECT) and "grid" in choice.rule:
            choice = tags.Choice("", tags.AS_USUAL)
        utterance.tag = choice.tag
        utterance.rule = choice.rule

    def _as_usual(self, utterance: Utterance) -> list[str]:
        """Return which of valence, arousal and dominance can't be distinguished from the usual."""
        if self.rules != tags.CAREFUL or or_none(utterance.affect_model) != VOICE_LINEAR:
            return []
        from dailytalk_contiguous.models.linear_emotion import bundled_voice  # which few runs need

        ratings = np.array([utterance.valence, utterance.arousal, utterance.dominance], np.float64)
        is_usual = np.abs(ratings - 0.5) < bundled_voice().affect_error
        return [name for name, usual in zip(AFFECT, is_usual, strict=True) if usual]


# The text to be spoken, with its end mark, and the same text with the style tag before it.
#
# The recognised or given text stays in `text_raw`; `text` and `tagged_text` are made from it here and nowhere
# else, so that a changed tag changes all three together.


#: Which end marks may be set: where a recogniser wrote none (default), or those of the tag everywhere.
MARKS_SET = ("missing", "always")


@dataclass(frozen=True)
class Punctuate(UtteranceStage):
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
    adds: ClassVar[Features] = utterance_features("text", "tagged_text")

    def of_utterance(self, utterance: Utterance) -> None:
        is_given = or_none(utterance.recogniser) == GIVEN
        marks = "never" if self.marks == "missing" and is_given else self.marks
        language = or_none(utterance.language)
        tag = utterance.tag or ""
        utterance.text = punctuate(utterance.text_raw or "", tag, language, marks)
        utterance.tagged_text = tagged(utterance.text, tag)
