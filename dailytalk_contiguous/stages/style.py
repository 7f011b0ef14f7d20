"""Style by measures: a bucket for every measure, a tag by the buckets, and punctuation by the tag."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from datasets import Features
from numpy.typing import NDArray

from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.rows import (
    conversation_features,
    to_flat,
    utterance_features,
    values_of,
)
from dailytalk_contiguous.core.records.utterance import AFFECT, GIVEN, Utterance, is_set, or_none
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.style import buckets, tags
from dailytalk_contiguous.core.style.emotions import VOICE_LINEAR
from dailytalk_contiguous.core.words.sentences import ends_as_question, punctuate, tagged
from dailytalk_contiguous.stages.base import Stage, UtteranceStage

# Buckets of every utterance's measures within its conversation, and its margins against the speaker's median.
#
# A conversation stage, because LOW and HIGH mean nothing for an utterance alone. It works on one channel at a
# time (a loud speaker must not make a quiet one whisper), except with the preset `seed`, which must reproduce a
# tool that did not.


BUCKET_PRESETS = ("percentile", "seed")

#: The margins: column, the measure it compares with the channel's median, and how.
MARGINS = {
    "rms_gain_db": ("rms", buckets.gain_db),
    "f0_ratio": ("f0_mean", buckets.over_median),
    "rate_ratio": ("speech_rate", buckets.over_median),
}


@dataclass(frozen=True)
class Bucket(Stage):
    """Adds eight buckets (LOW, MID, HIGH) and three margins an utterance.

    The preset `seed` was defined over whole recordings; rows are conversations, so it is exact only where
    recordings were not cut into several.

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

    needs: ClassVar[tuple[str, ...]] = ("utterance_id", "channel", *buckets.FEATURES)
    adds: ClassVar[Features] = conversation_features(*buckets.FEATURES.values(), *MARGINS)

    def of_talk(self, talk: Conversation) -> Conversation:
        speakers = _by_channel(talk)
        groups = [talk.utterances] if self.preset == "seed" else speakers
        for feature, name in buckets.FEATURES.items():
            for utterances in groups:
                values = _measured(utterances, feature)
                bucketed = buckets.seed(values) if self.preset == "seed" else buckets.percentile(values, feature)
                for utterance, label in zip(utterances, bucketed.labels, strict=True):
                    utterance.update({name: label})
        for name, (feature, margin) in MARGINS.items():
            for utterances in speakers:
                # Stored as float32, so that a margin read back from disk is the one that was computed here.
                margins = margin(_measured(utterances, feature)).astype(np.float32).tolist()
                for utterance, value in zip(utterances, margins, strict=True):
                    utterance.update({name: value})
        return talk


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

    The column `question` says which utterances ask; without it, those do whose `text_raw` ends in a question mark.
    Measures that are null or NaN satisfy no rule.

    By the rules `careful`, valence, arousal and dominance count as MID where they differ from what is usual for
    the speaker by less than `voice-linear` can tell. Where all three do, and no gate or question holds, the tag is
    empty: percentiles find a third that is LOW in talk without any feeling. By the others each utterance has the
    tag that follows from its buckets and margins.
    """

    VERSION: ClassVar[int] = 2
    rules: str = setting("standard", "Table of tags: {choices}.", panel="style", choices=tuple(tags.PRESETS))

    needs: ClassVar[tuple[str, ...]] = (*BUCKETS.values(), *MEASURES, "text_raw")
    uses: ClassVar[tuple[str, ...]] = ("question", "affect_model", *AFFECT)
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
        choice = tags.choose_tag(evidence, self.rules)
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
