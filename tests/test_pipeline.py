"""The settings of `dailytalk tag`: what a preview changes, and that the defaults stay."""

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
    heard, rated = models_of(TagSettings())
    assert (heard.windows, heard.compute_type, rated.precision) == ("packed", "auto", "float32")


def test_a_preview_has_short_windows_and_the_precision_of_this_machine() -> None:
    heard, rated = models_of(TagSettings(fast=True, device="cpu"))
    assert (heard.windows, rated.precision) == ("short", fast_precision("cpu"))


def test_windows_that_were_asked_for_stay_in_a_preview() -> None:
    assert models_of(TagSettings(fast=True, asr_windows="packed", device="cpu"))[0].windows == "packed"


def test_a_preview_leaves_the_estimate_of_affect_as_it_is() -> None:
    estimated = (models_of(TagSettings(profile="embedded", fast=fast))[1] for fast in (False, True))
    assert len({stage.digest for stage in estimated}) == 1
