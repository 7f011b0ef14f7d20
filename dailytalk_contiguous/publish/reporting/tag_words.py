"""Finds style tags among words.

A model that reads `(excited)` in its text stream learns to say it. Recognisers never write a tag, but an alignment
made from the tagged text would, in one word or spread over several.
"""

import re
from collections.abc import Iterable, Sequence

from dailytalk_contiguous.core.tag_lists import FISH_S1

_KNOWN = frozenset(tag for group in FISH_S1.values() for tag in group)

#: Words of the longest tag that is looked for.
_MOST_WORDS = 5

_TAG = re.compile(r"\(([^()\[\]]+)\)|\[([^()\[\]]+)\]")


def tags_among(words: Sequence[str], also: Iterable[str] = ()) -> list[str]:
    """The style tags, brackets and all, that stand among words, in order; `also`: tags beside the known ones."""
    known = _KNOWN | set(also)
    found: list[str] = []
    for first, word in enumerate(words):
        if not word.lstrip().startswith(("(", "[")):
            continue
        text = ""
        for following in words[first : first + _MOST_WORDS]:
            text = f"{text} {following.strip()}".strip()
            match = _TAG.match(text)
            if match:
                if (match[1] or match[2]).strip().lower() in known:
                    found.append(match[0])
                break
    return found
