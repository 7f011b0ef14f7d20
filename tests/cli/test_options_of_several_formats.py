"""An option that several dataclasses declare by one name, each with its own choices."""

from dataclasses import dataclass

import pytest

from dailytalk_contiguous.cli.options import setting_options
from dailytalk_contiguous.core.errors import BadValue
from dailytalk_contiguous.core.settings import setting


@dataclass(frozen=True)
class Clips:
    layout: str = setting("stereo", "Of clips: {choices}.", choices=("stereo", "mono"))


@dataclass(frozen=True)
class Turns:
    layout: str = setting("parquet", "Of turns: {choices}.", choices=("parquet", "raw"))


def test_settings_of_one_name_are_one_option_with_the_choices_of_all() -> None:
    option = setting_options(Clips(), Turns(), Clips())["layout"].default
    assert option.help == "Of clips: stereo or mono. Of turns: parquet or raw."
    assert option.show_default == "stereo or parquet"
    for choice in ("stereo", "mono", "parquet", "raw"):
        assert option.parser(choice) == choice
    with pytest.raises(BadValue, match="layout"):
        option.parser("tar")


def test_settings_that_are_described_alike_are_described_once() -> None:
    @dataclass(frozen=True)
    class Rows:
        layout: str = setting("parquet", "stereo for clips, parquet for turns.", choices=("parquet",))

    @dataclass(frozen=True)
    class Sounds:
        layout: str = setting("stereo", "stereo for clips, parquet for turns.", choices=("stereo",))

    option = setting_options(Rows(), Sounds())["layout"].default
    assert option.help == "stereo for clips, parquet for turns."
