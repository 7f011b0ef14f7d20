"""What a command does where an option is left out: no flag is on, and numbers are those of the settings."""

from dataclasses import MISSING, asdict, fields
from typing import Any

import pytest

from dailytalk_contiguous.cli.main import COMMANDS as NAMES
from dailytalk_contiguous.cli.main import command_of
from dailytalk_contiguous.core.quality import QualityLimits
from dailytalk_contiguous.pipelines import SpeakSettings, TagSettings
from dailytalk_contiguous.publish.mixture import Settings as MixSettings
from dailytalk_contiguous.publish.pushing import PushSettings, Target
from dailytalk_contiguous.run.clip_plan import CorpusSettings
from dailytalk_contiguous.stages.base import PerUtterance

COMMANDS: Any = {name: command_of(name) for name in NAMES}

#: Numbers that options have by default, wherever there is such an option. `seed` is 0 everywhere.
NUMBERS = {
    "affect_context": 3.0,
    "beam": 5,
    "candidates": 1,
    "copies": 0,
    "eval_share": 0.1,
    "max_clipping": 0.005,
    "max_conversation": 900.0,
    "max_length": 0.0,
    "max_seconds": 30.0,
    "max_silence": 1.5,
    "min_bandwidth": 6500.0,
    "min_duration": 0.0,
    "min_seconds": 0.5,
    "min_snr": 10.0,
    "min_speech_ratio": 0.4,
    "sample_minutes": 3.0,
    "seed": 0,
    "shard_minutes": 10.0,
    "temperature": 0.7,
    "test_share": 0.05,
    "top_p": 0.7,
    "valid_share": 0.05,
    "variants": 1,
}

#: Options that begin without a number (the settings have it), or with one that depends on the machine or service.
ELSEWHERE = {"concurrency", "sample_rate", "tries", "workers"}


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


#: The settings that the options of a command are turned into, and options that are called otherwise there.
SETTINGS: dict[str, tuple[type, ...]] = {
    "tag": (TagSettings,),
    "speak": (SpeakSettings,),
    "build": (TagSettings, SpeakSettings),
    "plan": (TagSettings, SpeakSettings),
    "corpus": (CorpusSettings,),
    "mix": (MixSettings,),
    "push": (PushSettings, Target),
}
LIMITS = {
    "min_seconds": "shortest",
    "max_seconds": "longest",
    "min_snr": "lowest_snr_db",
    "max_clipping": "most_clipping",
    "min_bandwidth": "lowest_bandwidth_hz",
    "min_speech_ratio": "lowest_speech_ratio",
    "max_silence": "longest_silence",
}


@pytest.mark.parametrize("name", SETTINGS)
def test_option_that_is_left_out_is_the_default_of_its_setting(name: str) -> None:
    defaults = {field.name: field.default for settings in SETTINGS[name] for field in fields(settings)}
    if name == "speak":
        defaults["profile"] = ""  # that of tag
    options = {
        option.name: option.default
        for option in COMMANDS[name].params
        if defaults.get(option.name, MISSING) is not MISSING
    }
    as_text = {"sample_rate": str, "augment": ",".join, "cache": lambda cache: cache or None}
    as_text["noise_folder"] = as_text["cache"]
    assert options == {option: as_text.get(option, lambda value: value)(defaults[option]) for option in options}
    assert len(options) >= 5


def test_limits_of_clips_that_are_left_out_are_those_of_the_measures() -> None:
    options = {option.name: option.default for option in COMMANDS["corpus"].params}
    assert {limit: options[option] for option, limit in LIMITS.items()} == asdict(QualityLimits())


@pytest.mark.parametrize(
    ("settings", "other"),
    [
        (TagSettings(), {"RateAffect.context"}),  # which a stage has only where it is asked for
        (SpeakSettings(), {"Align.recogniser", "Align.compute_type"}),  # the profile's, and what suits the machine
    ],
)
def test_settings_that_are_left_out_are_those_of_the_stages(settings: Any, other: set[str]) -> None:
    stages = [stage.stage if isinstance(stage, PerUtterance) else stage for stage in settings.stages()]
    assert {
        f"{type(stage).__name__}.{field.name}"
        for stage in stages
        for field in fields(stage)
        if getattr(stage, field.name) != getattr(type(stage)(), field.name)
    } == other
