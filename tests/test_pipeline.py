"""The pipelines: where each setting goes, and that the defaults stay."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.settings import settings_of
from dailytalk_contiguous.models.profiles import PROFILES
from dailytalk_contiguous.pipelines.to_sound import speak_stages
from dailytalk_contiguous.pipelines.to_text import tag_stages
from dailytalk_contiguous.stages.base import Stage, Stages
from dailytalk_contiguous.stages.rate_affect import RateAffect
from dailytalk_contiguous.stages.transcribe import Transcribe


def models_of(settings: Stages) -> tuple[Transcribe, RateAffect]:
    (heard,) = [stage for stage in settings if isinstance(stage, Transcribe)]
    (rated,) = [stage for stage in settings if isinstance(stage, RateAffect)]
    return heard, rated


def test_what_was_left_to_the_machine_is_told() -> None:
    for stages in (tag_stages(device="cpu"), tag_stages(compute_type="float32")):
        heard, rated = models_of(stages)
        reported = settings_of(*stages)
        assert reported["compute_type"] == heard.compute_type
        assert reported["affect_precision"] == rated.precision
        assert reported["compute_type"] != "auto"


def test_another_context_of_affect_leaves_what_was_recognised(tiny_affect: str) -> None:
    models = {"asr_model": "tiny.en", "affect_model": tiny_affect, "device": "cpu"}
    with_context = tag_stages(**models, affect_context=3.0)
    without_context = tag_stages(**models, affect_context=0.0)
    changed = []
    for stage, other in zip(with_context, without_context, strict=True):
        if stage.digest != other.digest:
            changed.append(stage.name)
    assert changed == ["RateAffect"]


def test_utterances_and_their_edges_are_found_without_a_gpu() -> None:
    """Of the recogniser's work only the words count, by which `JoinSentences` joins."""
    finders = [stage for stage in tag_stages() if not {"utterance_id", "start", "end"}.isdisjoint(stage.adds)]
    assert [stage.name for stage in finders] == ["Segment", "MatchTranscript", "JoinSentences"]
    assert not any(hasattr(stage, "device") for stage in finders)


def field_of(stages: Sequence[Stage], path: str) -> Any:
    """A setting of the one stage of a name: `Segment.channel`."""
    name, field = path.split(".")
    inner = [getattr(stage, "stage", stage) for stage in stages]
    (stage,) = [stage for stage in inner if type(stage).__name__ == name]
    return getattr(stage, field)


@pytest.mark.parametrize(
    ("setting", "value", "path"),
    [
        ("channel", "left", "Segment.channel"),
        ("asr_model", "base", "Transcribe.model"),
        ("language", "de", "Transcribe.language"),
        ("affect_model", "voice-linear", "RateAffect.model"),
        ("buckets", "seed", "Bucket.preset"),
        ("rules", "seed", "Tag.rules"),
        ("device", "cuda", "Transcribe.device"),
    ],
)
def test_each_setting_of_tag_reaches_its_stage(setting: str, value: Any, path: str) -> None:
    settings = {"device": "cpu"} | {setting: value}
    assert field_of(tag_stages(**settings), path) == value
    assert field_of(tag_stages(device="cpu"), path) != value


@pytest.mark.parametrize(
    ("setting", "value", "paths"),
    [
        ("tts", "piper", ["Speak.engine"]),
        ("voice", "anna", ["Speak.voice"]),
        ("revoice", "right", ["Speak.revoice", "Reconstruct.revoice", "Align.revoice", "Finish.revoice"]),
        ("timeline", "sequential", ["Reconstruct.mode"]),
        ("sample_rate", 16000, ["Speak.sample_rate", "Reconstruct.sample_rate"]),
        ("map_tag", (("calm", "soft tone"),), ["Speak.tag_map"]),
        ("tries", 2, ["Speak.tries"]),
        ("asr_model", "base", ["Align.recogniser"]),
        ("no_text", "keep-original", ["Speak.no_text"]),
        ("max_cost", 1.5, ["Speak.max_cost_usd"]),
    ],
)
def test_each_setting_of_speak_reaches_its_stages(setting: str, value: Any, paths: list[str]) -> None:
    usual = {"asr_model": "tiny", "verify": True}
    changed = usual | {setting: value}
    for path in paths:
        assert field_of(speak_stages(**changed), path) == value
        assert field_of(speak_stages(**usual), path) != value


@pytest.mark.parametrize("stages_of", [tag_stages, speak_stages])
def test_option_that_no_stage_has_is_refused_with_those_there_are(stages_of: Callable[..., Any]) -> None:
    with pytest.raises(DailytalkError, match="there is no setting 'colour'") as refused:
        stages_of(colour="red")
    assert "asr_model" in refused.value.remedy


@pytest.mark.parametrize("profile", PROFILES)
def test_models_are_those_of_the_profile_unless_they_are_named(profile: str) -> None:
    tag = tag_stages(profile)
    speak = speak_stages(profile)
    usual = PROFILES[profile].fields
    for stages, kinds in ((tag, ("Transcribe", "RateAffect")), (speak, ("Speak", "Align"))):
        for kind in kinds:
            for name, value in usual[kind].items():
                assert field_of(stages, f"{kind}.{name}") == value
    tag = tag_stages(profile, asr_model="some/ears", affect_model="feelings")
    speak = speak_stages(profile, tts="openai", asr_model="some/ears")
    assert field_of(tag, "Transcribe.model") == "some/ears"
    assert field_of(tag, "RateAffect.model") == "feelings"
    assert field_of(speak, "Speak.engine") == "openai"
    assert field_of(speak, "Align.recogniser") == "some/ears"


def test_a_seed_of_voices_is_refused_for_an_engine_that_says_text() -> None:
    with pytest.raises(DailytalkError, match="voice_seed has no use with an engine that says text"):
        speak_stages(tts="piper", voice_seed=1)
