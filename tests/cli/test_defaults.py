"""What a command does where an option is left out: no flag is on, and numbers are those of the settings."""

from collections.abc import Container
from dataclasses import MISSING, fields
from itertools import chain
from typing import Any

import pytest

from dailytalk_contiguous.cli.main import COMMANDS as NAMES
from dailytalk_contiguous.cli.main import command_of
from dailytalk_contiguous.cli.options import NotGiven
from dailytalk_contiguous.core.settings import settings_in
from dailytalk_contiguous.learn.masked_tokens import TrainingSettings
from dailytalk_contiguous.pipelines import (
    clip_stages,
    speak_stages,
    split_stages,
    tag_stages,
    transcribe_stages,
)
from dailytalk_contiguous.publish.mixture import Settings as MixSettings
from dailytalk_contiguous.publish.pushing import PushSettings, Target
from dailytalk_contiguous.run.clip_plan import ClipPlan
from dailytalk_contiguous.stages.augment import Augment
from dailytalk_contiguous.stages.base import PerUtterance, find_stage
from dailytalk_contiguous.stages.transcribe import Transcribe
from dailytalk_contiguous.stages.voice import ChooseVoice

COMMANDS: Any = {name: command_of(name) for name in NAMES}

#: Numbers that options have by default, wherever there is such an option. `seed` is 0 everywhere.
NUMBERS = {
    "agreement": 0.0,
    "emotion_confidence": 0.4,
    "digits": 6,
    "port": 0,
    "eval_share": 0.1,
    "folds": 5,
    "listen": 10.0,
    "max_conversation": 900.0,
    "max_iter": 1000,
    "max_length": 0.0,
    "n_clusters": 120,
    "sample_minutes": 3.0,
    "seed": 0,
    "shard_minutes": 10.0,
    "start": 0.0,
    "test_share": 0.05,
    "top": 10,
    "valid_share": 0.05,
    "words": 0,
}

#: Options that begin with a number which depends on the machine or the service.
ELSEWHERE = {"sample_rate", "workers"}


@pytest.mark.parametrize("name", COMMANDS)
def test_no_flag_is_on_unless_it_is_given(name: str) -> None:
    assert [one.name for one in COMMANDS[name].params if one.default is True] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_numbers_that_are_left_out_are_the_published_ones(name: str) -> None:
    found = {
        one.name: one.default
        for one in COMMANDS[name].params
        if isinstance(one.default, int | float) and not isinstance(one.default, bool) and one.name not in ELSEWHERE
    }
    assert found == {option: NUMBERS[option] for option in found}


#: Settings that decide something where nobody says anything, and what the help shows of others.
PUBLISHED = {
    "affect_context": 3.0,
    "agreed_only": False,
    "beam": 5,
    "buckets": "percentile",
    "candidates": 1,
    "channel": "both",
    "concurrency": 5,
    "copies": 0,
    "below": None,
    "force": False,
    "max": 11.0,
    "merge_short": False,
    "min": 0.6,
    "silence": 0.8,
    "max_clipping": 0.005,
    "max_seconds": 30.0,
    "max_silence": 1.5,
    "min_bandwidth": 6500.0,
    "min_duration": 0.0,
    "min_seconds": 0.5,
    "min_snr": 10.0,
    "min_speech_ratio": 0.4,
    "measure_takes": "all",
    "no_text": "drop",
    "on_failure": "hold",
    "prompt_channel": False,
    "punctuate": "missing",
    "reduce_noise_under": None,
    "revoice": "left",
    "rules": "standard",
    "sample_rate": 24000,
    "seed": 0,
    "temperature": 0.7,
    "timeline": "anchor",
    "top_p": 0.7,
    "tries": 3,
    "variants": 1,
}

OF_TAG, OF_SPEAK = tag_stages(), (ChooseVoice(), *speak_stages())
OF_CLIPS = (*chain(*clip_stages()), Augment(kinds=()), ClipPlan())

#: What the settings of a command are of, and those that it leaves to themselves.
SETTINGS: dict[str, tuple[tuple[Any, ...], Container[str]]] = {
    "tag": (OF_TAG, ()),
    "speak": (OF_SPEAK, ()),
    "build": (OF_TAG + OF_SPEAK, ()),
    "plan": (OF_TAG + OF_SPEAK, ("cache", "max_cost")),
    "corpus": (OF_CLIPS, ("affect_context",)),
    "split": (split_stages(words=1), ("asr_windows", "beam", "compute_type")),
    "silences": (split_stages(), ("silence",)),
    "tokens train": ((TrainingSettings(),), ()),
    "transcribe": ((find_stage(Transcribe, transcribe_stages()),), ()),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_each_setting_is_an_option_and_is_left_to_its_stage_where_it_is_not_given(name: str) -> None:
    holders, without = SETTINGS[name]
    options = {option.name: option.default for option in COMMANDS[name].params}
    wanted = {place.option for place in settings_in(*holders) if place.option not in without}
    assert wanted <= {*options}
    assert all(isinstance(options[one], NotGiven) or not options[one] for one in wanted - {"seed"})


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_nobody_gives_are_the_published_ones(name: str) -> None:
    values = {place.option: place.value for place in settings_in(*SETTINGS[name][0])}
    if name == "corpus":
        values["affect_context"] = 3.0  # which clips have no use for
    assert {option: values[option] for option in values if option in PUBLISHED} == {
        option: PUBLISHED[option] for option in values if option in PUBLISHED
    }


@pytest.mark.parametrize(("name", "kinds"), [("mix", (MixSettings,)), ("push", (PushSettings, Target))])
def test_option_that_is_left_out_is_the_default_of_its_setting(name: str, kinds: tuple[type, ...]) -> None:
    defaults = {field.name: field.default for kind in kinds for field in fields(kind)}
    options = {
        option.name: option.default
        for option in COMMANDS[name].params
        if defaults.get(option.name, MISSING) is not MISSING
    }
    assert options == {option: defaults[option] for option in options}
    assert len(options) >= 5


@pytest.mark.parametrize(
    ("settings", "other"),
    [
        (tag_stages(), {"RateAffect.context"}),  # which a stage has only where it is asked for
        (speak_stages(), {"Align.recogniser", "Align.compute_type"}),  # the profile's, and what suits the machine
    ],
)
def test_settings_that_are_left_out_are_those_of_the_stages(settings: Any, other: set[str]) -> None:
    stages = [stage.stage if isinstance(stage, PerUtterance) else stage for stage in settings]
    assert {
        f"{type(stage).__name__}.{field.name}"
        for stage in stages
        for field in fields(stage)
        if getattr(stage, field.name) != getattr(type(stage)(), field.name)
    } == other
