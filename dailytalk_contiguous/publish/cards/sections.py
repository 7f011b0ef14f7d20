"""The body of a card: our sections between markers, and a person's own text around them.

A section is known by `<!-- dailytalk:NAME:start -->` and `<!-- dailytalk:NAME:end -->`; every byte outside stays
as it was. What we wrote last time is kept in a comment of one line, so that the next version can tell a section
that somebody took out from one that is new, and a value that somebody set from one of ours.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from dailytalk_contiguous.core.documents import expect, parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError

_MARKER = re.compile(r"<!-- dailytalk:([a-z_]+):(start|end) -->")
_WRITTEN = re.compile(r"<!-- dailytalk:written (\{.*\}) -->")


class CardDamaged(DailytalkError):
    """A card that can't be continued without losing somebody's text."""


def sections_of(text: str) -> dict[str, str]:
    """The sections in a text by name, in order, with their markers.

    Raises:
        CardDamaged: a start without an end, an end without a start, one inside another, or one twice.
    """
    found: dict[str, str] = {}
    opened: tuple[str, int] | None = None
    for marker in _MARKER.finditer(text):
        name, edge = marker[1], marker[2]
        if edge == "start" and (opened or name in found):
            raise _damaged(opened[0] if opened else name, "has no end" if opened else "is there twice")
        if edge == "start":
            opened = name, marker.start()
        elif opened is None or opened[0] != name:
            raise _damaged(name, "has an end without a start")
        else:
            found[name] = text[opened[1] : marker.end()]
            opened = None
    if opened:
        raise _damaged(opened[0], "has no end")
    return found


_WRITTEN_SHAPE = {"sections?": [str], "values?": dict, "contact?": str}


def written_of(text: str) -> dict[str, Any]:
    """What the last version of ours wrote: `sections`, a list of names, `values` of the front matter, `contact`.

    Empty for a card that has no such comment. Raises CardDamaged if it can't be read.
    """
    found = _WRITTEN.search(text)
    if found is None:
        return {}
    try:
        told = expect(parse_json(found[1], "the card"), _WRITTEN_SHAPE, "the card")
    except BadInput:
        raise CardDamaged(
            "the card's comment <!-- dailytalk:written … --> can't be read", "take it out of README.md"
        ) from None
    return dict(told)


def update_body(
    body: str, title: str, sections: Mapping[str, str], values: Mapping[str, Any], contact: str | None = None
) -> str:
    """A card's body with our sections as they are now.

    Args:
        body: what is there now; empty for a new card, which begins with the title.
        title: of a new card.
        sections: ours by name, with markers, in their order. One that was there before and was taken out stays
            out; one that the card has never had is added at the end.
        values, contact: kept for the next version (see `written_of`).

    Raises:
        CardDamaged: as `sections_of` and `written_of`.
    """
    line = "\r\n" if "\r\n" in body else "\n"
    there = sections_of(body)
    known = written_of(body).get("sections") or (list(sections) if there.keys() & sections.keys() else [])
    for name, old in there.items():
        if name in sections:
            body = body.replace(old, sections[name].replace("\n", line), 1)
    new = [text.replace("\n", line) for name, text in sections.items() if name not in there and name not in known]
    told = {"sections": list(dict.fromkeys([*known, *sections])), "values": dict(values)}
    comment = _comment(told | ({"contact": contact} if contact else {}))
    has_comment = _WRITTEN.search(body) is not None
    body = _WRITTEN.sub(lambda _: comment, body, count=1)
    parts = ([f"# {title}"] if not body.strip() else []) + new + ([] if has_comment else [comment])
    if not parts:
        return body
    before = body if not body or body.endswith(line * 2) else body.rstrip("\r\n") + line * 2
    return before + (line * 2).join(parts) + line


def _comment(told: Mapping[str, Any]) -> str:
    # `>` could end the comment from within.
    text = json.dumps(told, ensure_ascii=False, sort_keys=True).replace(">", "\\u003e")
    return f"<!-- dailytalk:written {text} -->"


def _damaged(name: str, problem: str) -> CardDamaged:
    return CardDamaged(
        f"the card's section {name!r} {problem}",
        f"mend the markers <!-- dailytalk:{name}:… --> in README.md, or take them all out",
    )
