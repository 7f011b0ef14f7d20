"""What a command does where an option is left out: no flag is on, and numbers are those of the settings."""

from typing import Any

import pytest

from dailytalk_contiguous.cli.main import COMMANDS as NAMES
from dailytalk_contiguous.cli.main import command_of

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
