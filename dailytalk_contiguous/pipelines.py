"""The pipelines, each a literal list of stages that can be read aloud.

A stage's settings are its fields. Here they are chosen by the names of the commands' options; a setting that is
not chosen comes from the profile, or else from the stage's defaults.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import MIX
from dailytalk_contiguous.core.settings import check_known, chosen_for, with_settings
from dailytalk_contiguous.models.affect import ACOUSTIC_ESTIMATE, preview_precision
from dailytalk_contiguous.models.emotion_models import AFFECT_MAP
from dailytalk_contiguous.models.engines import CLONE
from dailytalk_contiguous.models.profiles import STANDARD, profile_named
from dailytalk_contiguous.models.recogniser import POCKETSPHINX
from dailytalk_contiguous.stages.align import Align
from dailytalk_contiguous.stages.augment import Augment
from dailytalk_contiguous.stages.base import PerUtterance, Stage, Stages
from dailytalk_contiguous.stages.classify_emotion import ClassifyEmotion
from dailytalk_contiguous.stages.clip_words import CutSpeech, TimeWords
from dailytalk_contiguous.stages.condition import Condition
from dailytalk_contiguous.stages.cut import CutAtSilences
from dailytalk_contiguous.stages.finish import Finish, FinishClip, TakeConditioned
from dailytalk_contiguous.stages.first_words import FirstWords
from dailytalk_contiguous.stages.match_transcript import MatchTranscript
from dailytalk_contiguous.stages.measure_delivery import NO_DELIVERY, MeasureDelivery
from dailytalk_contiguous.stages.measure_prosody import MeasureProsody
from dailytalk_contiguous.stages.measure_quality import MeasureQuality
from dailytalk_contiguous.stages.rate_affect import RateAffect
from dailytalk_contiguous.stages.reconstruct import Reconstruct
from dailytalk_contiguous.stages.segment import Segment
from dailytalk_contiguous.stages.style import Bucket, Punctuate, Tag
from dailytalk_contiguous.stages.synthesis import Speak
from dailytalk_contiguous.stages.tokenise_prosody import TokeniseClip, TokeniseProsody, TokeniseResult
from dailytalk_contiguous.stages.transcribe import Transcribe
from dailytalk_contiguous.stages.voice import ChooseVoice

_Kind = TypeVar("_Kind", bound=Stage)

#: Given as a model's name: use no model, although the profile has one.
NO_MODEL = "none"


def tag_stages(profile: str = STANDARD, fast: bool = False, **options: Any) -> Stages:
    """The stages from a recording to tagged, punctuated utterances.

    Prosody comes before affect, because the embedded estimate of affect is made from it; emotion comes after both
    and before the tag, on which it may vote.

    Args:
        profile: of `models.profiles.PROFILES`.
        fast: for previews: recogniser windows as short as the utterances, and affect in int8 on a CPU that doesn't
            multiply in bfloat16. The loss of accuracy has not been measured on real speech.
        options: settings of the stages by the names of the options of `dailytalk tag`: `language`, `buckets`, …

    Raises DailytalkError for a profile or an option that does not exist, and for a vote without a classifier.

    >>> from dailytalk_contiguous import Folder, tag_stages
    >>> calls = Folder(inputs=("calls/monday.wav",)).as_streaming_dataset("train")
    >>> for stage in tag_stages("embedded", language="en"):
    ...     calls = stage.map(calls)
    >>> call = next(iter(calls))
    >>> call["channel"], [tagged.startswith("(") for tagged in call["tagged_text"]]
    (['left', 'right'], [True, True])
    """
    if fast:
        precision = preview_precision(options.get("device", "auto"))
        options = {"asr_windows": "short", "affect_precision": precision} | options
    make = _Maker(profile, options)
    classify, tag = make(ClassifyEmotion, model=NO_MODEL), make(Tag)
    if tag.emotion_vote and classify.model == NO_MODEL:
        raise DailytalkError("--emotion-vote needs --emotion", f"name a classifier, such as {AFFECT_MAP}")
    stages: Stages = (
        make(Segment),
        make(MatchTranscript),
        PerUtterance(make(Transcribe)),
        PerUtterance(make(MeasureProsody)),
        PerUtterance(make(RateAffect, context=3.0)),
        *((PerUtterance(classify),) if classify.model != NO_MODEL else ()),
        make(Bucket),
        PerUtterance(tag),
        PerUtterance(make(Punctuate)),
    )
    tokenise = make(TokeniseProsody, codebook=NO_MODEL)
    make.all_used(*stages, classify, tokenise)
    return stages if tokenise.codebook == NO_MODEL else (*stages, PerUtterance(tokenise))


def transcribe_stages(profile: str = STANDARD, **options: Any) -> Stages:
    """The stages from a clip of one speaker to its words.

    Args:
        profile: of `models.profiles.PROFILES`.
        options: settings of `Transcribe` by the names of the options of `dailytalk transcribe`.

    Raises DailytalkError for a profile or an option that does not exist.

    >>> [stage.name for stage in transcribe_stages("embedded")]
    ['Segment', 'Transcribe']
    """
    make = _Maker(profile, options)
    transcribe = make(Transcribe)
    make.all_used(transcribe)
    return Segment(channel=MIX), PerUtterance(transcribe)


def speak_stages(profile: str = STANDARD, verify: bool = False, **options: Any) -> Stages:
    """The stages from a transcript to finished stereo conversations.

    Args:
        profile: of `models.profiles.PROFILES`.
        verify: whether every take is recognised, and rejected for wrong words.
        options: settings of the stages by the names of the options of `dailytalk speak`: `tts`, `timeline`, …

    Raises DailytalkError for a profile or an option that does not exist.

    >>> from dailytalk_contiguous import speak_stages
    >>> [stage.name for stage in speak_stages("embedded", revoice="right")]
    ['Speak', 'Reconstruct', 'Align', 'Finish']
    """
    make = _Maker(profile, options)
    align = make(Align)
    # Candidates are compared by the words that are recognised in them.
    verifier = (align.recogniser or POCKETSPHINX) if verify or options.get("candidates", 1) > 1 else ""
    measure, tokenise = make(MeasureDelivery), make(TokeniseResult, codebook=NO_MODEL)
    speak = PerUtterance(make(Speak, verify=verifier)), make(Reconstruct), align
    finish = make(Finish)
    make.all_used(measure, *speak, tokenise, finish)
    return (
        *((make(ChooseVoice),) if options.get("voice") == CLONE else ()),
        *((measure,) if measure.delivery != NO_DELIVERY else ()),
        *speak,
        *((tokenise,) if tokenise.codebook != NO_MODEL else ()),
        finish,
    )


def clip_stages(profile: str = STANDARD, **options: Any) -> tuple[Stages, Stages]:
    """The stages of every clip of a corpus as it came, and those of every clip that is kept and its copies.

    What needs all clips at once (`run.clip_plan`) comes between the two. The embedded estimate of affect is not a
    stage, because it compares the clips of a speaker; it is made there, and so are the classes of `affect-map`.

    Args:
        profile: of `models.profiles.PROFILES`.
        options: settings of the stages by the names of the options of `dailytalk corpus`: `augment`, … A model
            that is `none` is not used, although the profile has one.

    Raises DailytalkError for a profile or an option that does not exist.
    """
    options |= {"asr_model": ""} if options.get("asr_model") == NO_MODEL else {}
    make = _Maker(profile, options)
    rate, augment = make(RateAffect), make(Augment, kinds=())
    classify = make(ClassifyEmotion, model=NO_MODEL)
    measuring = make(MeasureQuality), make(CutSpeech), make(TimeWords), make(MeasureProsody)
    finishing = make(Condition), make(TakeConditioned)
    tokenise = make(TokeniseClip, codebook=NO_MODEL)
    make.all_used(*measuring, rate, classify, *finishing, augment, tokenise)
    return (
        (
            *measuring,
            *((rate,) if rate.model not in (NO_MODEL, ACOUSTIC_ESTIMATE) else ()),
            *((classify,) if classify.model not in (NO_MODEL, AFFECT_MAP) else ()),
        ),
        (
            *finishing,
            *((augment,) if augment.kinds else ()),
            *((tokenise,) if tokenise.codebook != NO_MODEL else ()),
            make(FinishClip),
        ),
    )


def split_stages(profile: str = STANDARD, words: int = 0, **options: Any) -> Stages:
    """The stages that decide where recordings are cut, and with `words` find the first words of each piece.

    Args:
        profile: of `models.profiles.PROFILES`.
        words: how many first words the name of each piece has; 0 for none.
        options: settings of the stages by the names of the options of `dailytalk split`: `silence`, `max`, …

    Raises DailytalkError for a profile or an option that does not exist.
    """
    make = _Maker(profile, options)
    stages: Stages = with_settings((CutAtSilences(),), options)
    check_known(options, *stages, Transcribe)
    return (*stages, FirstWords(make(Transcribe), words)) if words else stages


class _Maker:
    """Makes stages, each with its settings from the options, or else from the profile."""

    def __init__(self, profile: str, options: Mapping[str, Any]) -> None:
        self.fields = profile_named(profile).fields
        self.options = options

    def __call__(self, kind: type[_Kind], **defaults: Any) -> _Kind:
        return kind(**{**defaults, **self.fields.get(kind.__name__, {}), **chosen_for(kind, self.options)})

    def all_used(self, *stages: Stage) -> Stages:
        """The stages, if each option belongs to one of them. Raises DailytalkError otherwise."""
        check_known(self.options, *stages)
        return stages
