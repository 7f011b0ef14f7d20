"""The settings of `dailytalk tag`: what a preview changes, and that the defaults stay."""

import pytest

from dailytalk_contiguous.models.affect import fast_precision
from dailytalk_contiguous.pipeline import TagSettings, tagging
from dailytalk_contiguous.stages.affect import RateAffect
from dailytalk_contiguous.stages.base import PerUtterance
from dailytalk_contiguous.stages.transcribe import Transcribe


def models_of(settings: TagSettings) -> tuple[Transcribe, RateAffect]:
    inner = [stage.stage for stage in tagging(settings) if isinstance(stage, PerUtterance)]
    (heard,) = [stage for stage in inner if isinstance(stage, Transcribe)]
    (rated,) = [stage for stage in inner if isinstance(stage, RateAffect)]
    return heard, rated


def test_defaults_are_packed_windows_and_float32_affect() -> None:
    heard, rated = models_of(TagSettings(device="cpu"))
    assert (heard.windows, heard.compute_type, rated.precision) == ("packed", "int8", "float32")


def test_a_preview_has_short_windows_and_the_precision_of_this_machine() -> None:
    heard, rated = models_of(TagSettings(fast=True, device="cpu"))
    assert (heard.windows, rated.precision) == ("short", fast_precision("cpu"))


def test_windows_that_were_asked_for_stay_in_a_preview() -> None:
    assert models_of(TagSettings(fast=True, asr_windows="packed", device="cpu"))[0].windows == "packed"


def test_a_preview_leaves_the_estimate_of_affect_as_it_is() -> None:
    estimated = (models_of(TagSettings(profile="embedded", fast=fast))[1] for fast in (False, True))
    assert len({stage.digest for stage in estimated}) == 1


def test_what_was_left_to_the_machine_is_told() -> None:
    for settings in (TagSettings(device="cpu"), TagSettings(fast=True), TagSettings(compute_type="float32")):
        heard, rated = models_of(settings)
        told = settings.told()
        assert (told["compute_type"], told["affect_precision"]) == (heard.compute_type, rated.precision)
        assert told["compute_type"] != "auto"


@pytest.mark.needs("a machine without a GPU")
def test_a_driver_without_a_gpu_plans_for_those_of_its_workers() -> None:
    heard, rated = models_of(TagSettings(device="cuda", fast=True))
    assert (heard.compute_type, rated.precision) == ("float16", "bfloat16")


def test_another_context_of_affect_leaves_what_was_recognised(tiny_whisper: str, tiny_affect: str) -> None:
    models = {"asr_model": tiny_whisper, "affect_model": tiny_affect, "device": "cpu"}
    plain, other = (tagging(TagSettings(**models, affect_context=seconds)) for seconds in (3.0, 0.0))
    same = [one.digest == another.digest for one, another in zip(plain, other, strict=True)]
    assert [stage.name for stage, kept in zip(plain, same, strict=True) if not kept] == ["RateAffect"]
