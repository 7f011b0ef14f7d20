"""What each setting is where nobody chose: cards, pages and READMEs list only what differs from it."""

import json
from functools import cache
from typing import Any

from dailytalk_contiguous.core.settings import settings_of
from dailytalk_contiguous.models.profiles import STANDARD
from dailytalk_contiguous.pipelines.to_sound import clip_stages, speak_stages
from dailytalk_contiguous.pipelines.to_text import tag_stages
from dailytalk_contiguous.run.clip_plan import ClipPlan


@cache
def default_settings() -> dict[str, Any]:
    """The defaults by the names of the options; not those that depend on the machine."""
    measuring, finishing = clip_stages()
    values = settings_of(*tag_stages(), *speak_stages(), ClipPlan(), *measuring, *finishing)
    for name in ("compute_type", "affect_precision"):
        values.pop(name, None)
    return {"profile": STANDARD} | {
        name: json.loads(json.dumps(value, default=str)) for name, value in values.items()
    }
