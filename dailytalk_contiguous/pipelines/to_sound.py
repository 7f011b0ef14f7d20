"""The pipelines that make sound: finished conversations, clips, and the pieces of recordings."""

from typing import Any

from dailytalk_contiguous.core.emotions import AFFECT_MAP
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import NOBODY
from dailytalk_contiguous.core.settings import check_known, settings_in, with_settings
from dailytalk_contiguous.models.affect import ACOUSTIC_ESTIMATE
from dailytalk_contiguous.models.engines import CLONE
from dailytalk_contiguous.models.profiles import STANDARD
from dailytalk_contiguous.models.recogniser import POCKETSPHINX
from dailytalk_contiguous.pipelines.to_text import NO_MODEL, StageMaker, without_recogniser
from dailytalk_contiguous.stages.align import Align
from dailytalk_contiguous.stages.augment import Augment
from dailytalk_contiguous.stages.base import PerUtterance, Stages
from dailytalk_contiguous.stages.classify_emotion import ClassifyEmotion
from dailytalk_contiguous.stages.clip_words import CutSpeech, TimeWords
from dailytalk_contiguous.stages.condition import Condition
from dailytalk_contiguous.stages.cut import CutAtSilences
from dailytalk_contiguous.stages.finish import Finish
from dailytalk_contiguous.stages.finish_clip import FinishClip, TakeConditioned
from dailytalk_contiguous.stages.first_words import FirstWords
from dailytalk_contiguous.stages.keep import Keep
from dailytalk_contiguous.stages.measure_delivery import NO_DELIVERY, MeasureDelivery
from dailytalk_contiguous.stages.measure_prosody import MeasureProsody
from dailytalk_contiguous.stages.measure_quality import MeasureQuality
from dailytalk_contiguous.stages.rate_affect import RateAffect
from dailytalk_contiguous.stages.reconstruct import Reconstruct
from dailytalk_contiguous.stages.synthesis import Speak
from dailytalk_contiguous.stages.tokenise_prosody import TokeniseClip, TokeniseResult
from dailytalk_contiguous.stages.transcribe import Transcribe
from dailytalk_contiguous.stages.voice import ChooseVoice


def speak_stages(profile: str = STANDARD, verify: bool = False, **options: Any) -> Stages:
    """The stages from a transcript to finished stereo conversations.

    Args:
        profile: of `models.profiles.PROFILES`.
        verify: whether every take is recognised, and rejected for wrong words.
        options: settings of the stages by the names of the options of `dailytalk speak`: `tts`, `timeline`, …

    Raises DailytalkError for a profile or an option that does not exist, and for one of voices where nobody is
    resynthesised.

    >>> from dailytalk_contiguous import speak_stages
    >>> [stage.name for stage in speak_stages("embedded", revoice="right")]
    ['Speak', 'Reconstruct', 'Align', 'Finish']
    >>> [stage.name for stage in speak_stages(revoice="none")]
    ['Keep', 'Align', 'Finish']
    """
    make = StageMaker(profile, without_recogniser(options))
    if options.get("revoice") == NOBODY:
        return _kept_stages(make, verify)
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


def _kept_stages(make: StageMaker, verify: bool) -> Stages:
    """The stages of `speak_stages` where nobody is resynthesised: no model has anything to do."""
    # `Align` only recognises what was synthesised; a model that was chosen is that of `tag`.
    keep, align, finish = make(Keep), Align(NOBODY), make(Finish)
    tokenise = make(TokeniseResult, codebook=NO_MODEL)
    used = {placed.option for placed in settings_in(keep, align, finish, tokenise)}
    if unused := sorted({*make.options, *(("verify",) if verify else ())} - used):
        raise DailytalkError(
            f"--{unused[0].replace('_', '-')} has no use with --revoice none, which resynthesises nobody",
            "leave one of them out",
        )
    return (keep, align, *((tokenise,) if tokenise.codebook != NO_MODEL else ()), finish)


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
    make = StageMaker(profile, without_recogniser(options))
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
    make = StageMaker(profile, options)
    stages: Stages = with_settings((CutAtSilences(),), options)
    check_known(options, *stages, Transcribe)
    return (*stages, FirstWords(make(Transcribe), words)) if words else stages
