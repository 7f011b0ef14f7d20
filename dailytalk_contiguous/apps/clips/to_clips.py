"""The pipelines of clips: of a corpus, and from a clip to its words."""

from dailytalk_contiguous.apps.clips.augment import Augment
from dailytalk_contiguous.apps.clips.clip_words import CutSpeech, TimeWords
from dailytalk_contiguous.apps.clips.condition import Condition
from dailytalk_contiguous.apps.clips.finish_clip import FinishClip
from dailytalk_contiguous.apps.clips.measure_quality import MeasureQuality
from dailytalk_contiguous.apps.clips.measure_voice import MeasureVoice
from dailytalk_contiguous.core.records.schema import MIX
from dailytalk_contiguous.core.style.emotions import VOICE_LINEAR
from dailytalk_contiguous.models.profiles import STANDARD, profile_named
from dailytalk_contiguous.pipelines.to_text import NO_MODEL, StageMaker, without_models
from dailytalk_contiguous.stages.base import Stage, Stages
from dailytalk_contiguous.stages.classify_emotion import ClassifyEmotion
from dailytalk_contiguous.stages.measure_prosody import MeasureProsody
from dailytalk_contiguous.stages.rate_affect import RateAffect
from dailytalk_contiguous.stages.segment import Segment
from dailytalk_contiguous.stages.transcribe import Transcribe


def clip_stages(profile: str = STANDARD, **options: object) -> tuple[Stages, Stages]:
    """Return the stages of every clip of a corpus, and those of every clip that is kept and its copies.

    `apps.clips.clip_plan`, which needs all clips at once, comes between the two. `voice-linear` compares the clips
    of a speaker, so it rates there what a stage has measured here.

    Args:
        profile: of `models.profiles.PROFILES`.
        options: settings of the stages by the names of the options of `dailytalk corpus`: `augment`, … A model
            that is `none` is not used, although the profile has one.

    Raises DailytalkError for a profile or an option that does not exist.
    """
    make = StageMaker(profile, without_models(options))
    rate = make(RateAffect)
    augment = make(Augment, kinds=())
    classify = make(ClassifyEmotion, model=NO_MODEL)
    time_words = make(TimeWords, recogniser=profile_named(profile).models["recogniser"])
    measuring: list[Stage] = [make(MeasureQuality), make(CutSpeech), time_words, make(MeasureProsody)]
    condition = make(Condition)
    make.all_used(*measuring, rate, classify, condition, augment)
    if VOICE_LINEAR in (rate.model, classify.model):
        measuring.append(MeasureVoice())
    if rate.model not in ("", VOICE_LINEAR):
        measuring.append(rate)
    if classify.model not in (NO_MODEL, VOICE_LINEAR):
        measuring.append(classify)
    finishing: list[Stage] = [condition]
    if augment.kinds:
        finishing.append(augment)
    finishing.append(make(FinishClip))
    return tuple(measuring), tuple(finishing)


def transcribe_stages(profile: str = STANDARD, **options: object) -> Stages:
    """The stages from a clip of one speaker to its words.

    Args:
        profile: of `models.profiles.PROFILES`.
        options: settings of `Transcribe` by the names of the options of `dailytalk transcribe`.

    Raises DailytalkError for a profile or an option that does not exist.

    >>> [stage.name for stage in transcribe_stages("embedded")]
    ['Segment', 'Transcribe']
    """
    make = StageMaker(profile, options)
    transcribe = make(Transcribe)
    make.all_used(transcribe)
    return Segment(channel=MIX), transcribe
