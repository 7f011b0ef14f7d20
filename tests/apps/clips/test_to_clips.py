"""The lists of stages of clips: what they refuse, and what only says how they are run."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from dailytalk_contiguous.apps.clips.augment import Augment
from dailytalk_contiguous.apps.clips.clip_words import TimeWords
from dailytalk_contiguous.apps.clips.to_clips import clip_stages, split_stages, transcribe_stages
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.models.profiles import PROFILES
from dailytalk_contiguous.stages.base import PerUtterance

LISTS = pytest.mark.parametrize("stages_of", [clip_stages, split_stages, transcribe_stages])


@LISTS
def test_profile_that_does_not_exist_is_refused_with_those_that_do(stages_of: Callable[..., Any]) -> None:
    with pytest.raises(DailytalkError) as refused:
        stages_of(profile="robot")
    assert refused.value.remedy == f"choose one of {', '.join(PROFILES)}"


@LISTS
def test_option_that_no_stage_has_is_refused_with_those_there_are(stages_of: Callable[..., Any]) -> None:
    with pytest.raises(DailytalkError, match="there is no setting 'colour'"):
        stages_of(colour="red")


def test_copies_of_a_kind_that_does_not_exist_are_refused() -> None:
    with pytest.raises(DailytalkError, match=r"is .*: (choose among|give) "):
        Augment(kinds=("noise", "echo"))


def test_only_the_device_is_in_no_digest() -> None:
    """All other settings are: changed, they let clips be made again."""
    measuring, finishing = clip_stages(augment=("noise",))
    stages = [stage.stage if isinstance(stage, PerUtterance) else stage for stage in (*measuring, *finishing)]
    found = {
        type(stage).__name__: {field.name for field in fields(stage) if field.metadata.get("execution")}
        for stage in stages
    }
    assert found[TimeWords.__name__] == {"device"}
    assert not found["Condition"] | found["Augment"] | found["MeasureQuality"]
