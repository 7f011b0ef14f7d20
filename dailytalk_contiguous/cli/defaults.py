"""The defaults of all settings: cards, pages and READMEs list only the values that differ from them."""

import json
from functools import cache

from dailytalk_contiguous.core.settings import settings_of
from dailytalk_contiguous.machine.apps import parts
from dailytalk_contiguous.models.profiles import STANDARD
from dailytalk_contiguous.pipelines.to_sound import speak_stages
from dailytalk_contiguous.pipelines.to_text import tag_stages
from dailytalk_contiguous.stages.judge_turn_ends import JudgeTurnEnds


@cache
def default_settings() -> dict[str, object]:
    """Return the defaults by the names of the options, also of apps, except those that depend on the machine."""
    values = settings_of(*tag_stages(), *speak_stages(), JudgeTurnEnds())
    for defaults in parts("DEFAULTS"):
        values = defaults() | values
    for name in ("compute_type", "affect_precision"):
        values.pop(name, None)
    return {"profile": STANDARD} | {
        name: json.loads(json.dumps(value, default=str)) for name, value in values.items()
    }
