"""The pipeline from one channel to two, each a speaker."""

from typing import Any

from dailytalk_contiguous.apps.mono.diarise import Diarise
from dailytalk_contiguous.apps.mono.separate import PlaceOnSides, Separate
from dailytalk_contiguous.models.profiles import STANDARD
from dailytalk_contiguous.pipelines.to_text import StageMaker
from dailytalk_contiguous.stages.base import Stages


def separate_stages(profile: str = STANDARD, **options: Any) -> Stages:
    """The stages from a recording of one channel to one of two, before those of `tag_stages`.

    They take the rows of `Folder(inputs=…, channel="any")`, which rejects no recording for its channels.

    Args:
        profile: of `models.profiles.PROFILES`.
        options: settings of the stages by the names of the options of `dailytalk separate`: `separator`, …

    Raises DailytalkError for a profile or an option that does not exist.

    >>> from dailytalk_contiguous import separate_stages
    >>> [stage.name for stage in separate_stages("embedded")]
    ['Diarise', 'Separate', 'PlaceOnSides']
    """
    make = StageMaker(profile, options)
    return make.all_used(make(Diarise), make(Separate), PlaceOnSides())
