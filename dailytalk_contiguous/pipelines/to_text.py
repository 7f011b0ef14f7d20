"""The pipelines from sound to text, each a literal list of stages that can be read aloud.

A stage's settings are its fields. Here they are chosen by the names of the commands' options; a setting that is
not chosen comes from the profile, or else from the stage's defaults.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.settings import check_known, chosen_for, with_settings
from dailytalk_contiguous.models.profiles import STANDARD, profile_named
from dailytalk_contiguous.stages.base import Stage, Stages
from dailytalk_contiguous.stages.check_given import CheckGiven
from dailytalk_contiguous.stages.classify_emotion import ClassifyEmotion
from dailytalk_contiguous.stages.join_sentences import JoinSentences
from dailytalk_contiguous.stages.match_transcript import MatchTranscript
from dailytalk_contiguous.stages.measure_prosody import MeasureProsody
from dailytalk_contiguous.stages.rate_affect import RateAffect
from dailytalk_contiguous.stages.segment import Segment
from dailytalk_contiguous.stages.style import Bucket, Punctuate, Tag
from dailytalk_contiguous.stages.tokenise_prosody import TokeniseProsody
from dailytalk_contiguous.stages.transcribe import Transcribe

_Kind = TypeVar("_Kind", bound=Stage)

#: Given as a model's name: use no model, although the profile has one.
NO_MODEL = "none"


def tag_stages(profile: str = STANDARD, **options: object) -> Stages:
    """The stages from a recording to tagged, punctuated utterances.

    Args:
        profile: one of `models.profiles.PROFILES`.
        options: settings of the stages by the names of the options of `dailytalk tag`: `language`, `buckets`, …

    Raises DailytalkError for a profile or an option that does not exist.

    >>> from dailytalk_contiguous import Folder, tag_stages
    >>> calls = Folder(inputs=("calls/monday.wav",)).as_streaming_dataset("train")
    >>> for stage in tag_stages("embedded", language="en"):
    ...     calls = stage.map(calls)
    >>> call = next(iter(calls))
    >>> call["channel"], [tagged.startswith("(") for tagged in call["tagged_text"]]
    (['left', 'right'], [True, True])
    """
    make = StageMaker(profile, without_models(options))
    transcribe = make(Transcribe)
    check = make(CheckGiven)
    if check.recognise_absent and not transcribe.model:
        raise DailytalkError("--recognise-absent needs a recogniser", "name one with --asr-model")
    classify = make(ClassifyEmotion, model=NO_MODEL)
    tokenise = make(TokeniseProsody, codebook=NO_MODEL)
    classified: Stages = (classify,) if classify.model != NO_MODEL else ()
    tokenised: Stages = (tokenise,) if tokenise.codebook != NO_MODEL else ()
    stages: Stages = (
        make(Segment),
        make(MatchTranscript),
        check,
        transcribe,
        make(JoinSentences),
        make(MeasureProsody),
        make(RateAffect, context_seconds=3.0),
        *classified,
        *tokenised,
        make(Bucket),
        make(Tag),
        make(Punctuate),
    )
    make.all_used(*stages, classify, tokenise)
    return stages


def without_models(options: Mapping[str, object]) -> dict[str, object]:
    """The options, with the name that stages have for no recogniser and no affect model where none is chosen."""
    chosen = dict(options)
    for name in ("asr_model", "affect_model"):
        if chosen.get(name) == NO_MODEL:
            chosen[name] = ""
    return chosen


class StageMaker:
    """Makes stages, each with its settings from the options, or else from the profile."""

    def __init__(self, profile: str, options: Mapping[str, object]) -> None:
        self.fields = profile_named(profile).fields
        self.options = options

    def __call__(self, kind: type[_Kind], **defaults: Any) -> _Kind:
        fields = dict(defaults)
        fields |= self.fields.get(kind.__name__, {})
        fields |= chosen_for(kind, self.options)
        (stage,) = with_settings((kind(**fields),), self.options)  # those of dataclasses inside it, too
        return stage

    def all_used(self, *stages: Stage) -> None:
        """Raise DailytalkError unless each option belongs to one of the stages."""
        check_known(self.options, *stages)
