"""The pipeline from a transcript to finished conversations, a literal list as in `to_text`."""

from dataclasses import replace
from typing import Any

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.schema import NOBODY
from dailytalk_contiguous.core.settings import settings_in
from dailytalk_contiguous.models.contracts import CLONE
from dailytalk_contiguous.models.engines import engine_named
from dailytalk_contiguous.models.profiles import STANDARD
from dailytalk_contiguous.pipelines.to_text import StageMaker, without_models
from dailytalk_contiguous.stages.align import Align
from dailytalk_contiguous.stages.base import Stage, Stages
from dailytalk_contiguous.stages.convert import Convert
from dailytalk_contiguous.stages.finish import Finish
from dailytalk_contiguous.stages.judge_turn_ends import NOT_JUDGED, JudgeTurnEnds
from dailytalk_contiguous.stages.keep import Keep
from dailytalk_contiguous.stages.reconstruct import Reconstruct
from dailytalk_contiguous.stages.synthesis import Speak
from dailytalk_contiguous.stages.voice import ChooseVoice


def speak_stages(profile: str = STANDARD, verify: bool = False, **options: Any) -> Stages:
    """The stages from a transcript to finished stereo conversations.

    Args:
        profile: one of `models.profiles.PROFILES`.
        verify: whether every take is recognised, and rejected for wrong words.
        options: settings of the stages by the names of the options of `dailytalk speak`: `tts`, `timeline`, …

    Raises DailytalkError for a profile or an option that does not exist, and for one of voices where nobody is
    resynthesised.

    >>> from dailytalk_contiguous import speak_stages
    >>> [stage.name for stage in speak_stages("embedded", revoice="right")]
    ['Speak', 'Reconstruct', 'Align', 'Finish']
    >>> [stage.name for stage in speak_stages(revoice="none")]
    ['Keep', 'Align', 'Finish']
    >>> [stage.name for stage in speak_stages(tts="shift", turn_ends="smart-turn")]
    ['Convert', 'Reconstruct', 'Align', 'JudgeTurnEnds', 'Finish']
    """
    make = StageMaker(profile, without_models(options))
    if options.get("revoice") == NOBODY:
        return _kept_stages(make, verify)
    if options.get("tts") and engine_named(options["tts"]).converts:
        return _converted_stages(make, verify)
    if "voice_seed" in options:
        raise DailytalkError("voice_seed has no use with an engine that says text", "choose tts='shift' with it")
    align = make(Align)
    verifier = ""
    if verify:
        verifier = align.recogniser or make.fields["Transcribe"]["model"]
    speak = make(Speak, verify=verifier)
    reconstruct = make(Reconstruct)
    judge = make(JudgeTurnEnds)
    finish = make(Finish)
    make.all_used(speak, reconstruct, align, judge, finish)
    choose: Stages = (make(ChooseVoice),) if options.get("voice") == CLONE else ()
    return (*choose, speak, reconstruct, align, *_if_asked(judge), finish)


def _if_asked(judge: JudgeTurnEnds) -> Stages:
    """The stage that judges ends of turns, if its judge was chosen."""
    return (judge,) if judge.judge != NOT_JUDGED else ()


def _kept_stages(make: StageMaker, verify: bool) -> Stages:
    """The stages of `speak_stages` where nobody is resynthesised: no model has anything to do."""
    keep = make(Keep)
    judge = make(JudgeTurnEnds)
    finish = make(Finish)
    # `Align` only recognises what was synthesised; a recogniser that was chosen is that of `tag`.
    align = replace(make(Align), recogniser="")
    because = "--revoice none, which resynthesises nobody"
    _refuse_unused(make, verify, because, keep, align, judge, finish)
    return (keep, align, *_if_asked(judge), finish)


def _converted_stages(make: StageMaker, verify: bool) -> Stages:
    """The stages of `speak_stages` where the recorded sound is converted: there are no takes."""
    convert = make(Convert)
    reconstruct = make(Reconstruct)
    judge = make(JudgeTurnEnds)
    finish = make(Finish)
    align = replace(make(Align), recogniser="")  # as in `_kept_stages`
    because = f"--tts {make.options['tts']}, which converts the recorded sound"
    _refuse_unused(make, verify, because, convert, reconstruct, align, judge, finish)
    return (convert, reconstruct, align, *_if_asked(judge), finish)


def _refuse_unused(make: StageMaker, verify: bool, because: str, *stages: Stage) -> None:
    """Raise DailytalkError for an option that none of these stages has."""
    chosen = {*make.options}
    if verify:
        chosen.add("verify")
    unused = sorted(chosen - {placed.option for placed in settings_in(*stages)})
    if unused:
        flag = f"--{unused[0].replace('_', '-')}"
        raise DailytalkError(f"{flag} has no use with {because}", "leave one of them out")
