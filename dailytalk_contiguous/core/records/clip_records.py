"""The labels of an expressive clip, each written once as a class; Arrow's types are made from them.

The corpora name emotions in different ways, so there is one vocabulary here, and the corpus's own label is always
kept beside it. A value that a corpus does not have is null, never guessed.
"""

from typing import Annotated, TypedDict

from dailytalk_contiguous.core.records.record import Count, Measure, Seconds, Stored, Text


class EmotionVote(TypedDict):
    """An emotion that raters heard, and the share of them in [0, 1] who heard it."""

    emotion: Text
    share: Measure


class ClipPerformance(TypedDict):
    """The performance of a clip, according to its corpus and to raters.

    `label` is the corpus's own word or code for `emotion`. `perceived` is the emotion that raters heard, and
    `perceived_label` the corpus's code for it. `perceived_votes` has the share of raters who heard each emotion;
    it is null where only the winner is known. `act` is the dialogue act, as the corpus names it. `agreement` is
    the share of raters who heard `perceived`, and `perceived_intensity` how strongly they heard it, both in [0,
    1]. `intensity` is how strongly it was to be performed, in the corpus's word.
    """

    emotion: Text | None
    label: Text | None
    perceived: Text | None
    perceived_label: Text | None
    perceived_votes: list[EmotionVote] | None
    act: Text | None
    agreement: Measure | None
    perceived_intensity: Measure | None
    intensity: Text | None
    style: Text | None


class Conditioning(TypedDict):
    """The conditioning of a clip.

    The clip begins `clip_start` seconds into the result, after its prompt. `trim_start` and `trim_end` are the
    seconds of silence that were cut off. `gain_db` was added to the clip. `noise_reduced_db` is how much softer
    its quiet stretches became, null where noise was not reduced. The loudness and the true peak are those of the
    result.
    """

    clip_start: Seconds
    trim_start: Seconds
    trim_end: Seconds
    gain_db: Measure
    noise_reduced_db: Measure | None
    loudness_lufs_after: Measure
    true_peak_dbtp_after: Measure


class ClipQuality(TypedDict):
    """The measures of a clip's original recording (`core.sound.quality.measure_quality`); null where undefined."""

    snr_db: Measure | None
    clipping_ratio: Measure | None
    bandwidth_hz: Measure | None
    speech_ratio: Measure | None
    silence_seconds: Measure | None
    peak_dbfs: Measure | None
    loudness_lufs: Measure | None
    dc_offset: Measure | None


#: What `core.sound.quality.measure_quality` returns.
QUALITY_MEASURES = tuple(ClipQuality.__annotations__)


class CopyRecipe(TypedDict):
    """The changes in a copy."""

    kind: Text
    amount: Annotated[float, Stored("float64")]
    detail: Text | None
    seed: Annotated[int, Stored("int64")]


class ClipSpeech(TypedDict):
    """The text of a clip: its source, its speaker and its kind of sentence.

    `text_source` is `given` or `recogniser`, and null without a text. `age` is in years. `sentence_type` and
    `length` are classes of `core.words.sentences`.
    """

    corpus: Text
    text_source: Text | None
    speaker: Text | None
    gender: Text | None
    age: Count | None
    sentence: Text | None
    sentence_type: Text | None
    length: Text | None


class PlannedLabels(ClipSpeech, ClipPerformance):
    """The labels of a clip that are known before it is conditioned.

    `style_source` is `label` or `rule` (null without a style). `weight` is how often a trainer should see the
    clip. `augmented_from` and `augmentation` are null except in a copy. A copy is not measured again, so its
    `quality` is null. `prompt_id` is the clip before it, on the right channel.
    """

    style_source: Text | None
    quality: ClipQuality | None
    tag: Text | None
    official_split: Text | None
    split: Text
    weight: Measure
    augmented_from: Text | None
    augmentation: CopyRecipe | None
    prompt_id: Text | None
    licence: Text
    audio_file: Text


class Labels(PlannedLabels):
    """The labels of a clip's row, beside the columns of a conversation, whose one utterance has the rest."""

    conditioning: Conditioning
