"""The front matter of a card: our values put into what a person has written, key by key.

Edited as text, because parsing and writing it anew would lose comments and order: the lines of a key are
replaced only where its value changes. A value that is still the one we wrote last is ours to change; any other is
somebody's choice and stays. Of lists, what somebody added stays and what somebody took out stays out.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from dailytalk_contiguous.core.documents import parse_yaml
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.published import CONFIGS
from dailytalk_contiguous.publish.cards.sections import CardDamaged

#: As `huggingface_hub` finds it, but at the start of the file only.
_BLOCK = re.compile(r"\A(\s*---(?:\r\n|\n))([\S\s]*?)((?:\r\n|\n|(?<=\n))---[ \t]*(?:\r\n|\n|\Z))")

_KEY = re.compile(r"""(?:"([^"]+)"|'([^']+)'|([^\W\d][^:#\n]*?))[ \t]*:(?:\s|$)""")

#: Keys of which one without the others says nothing.
LICENCE_KEYS = ("license", "license_name", "license_link")

#: Keys that must tell of the files of this version, and hold one entry a config.
BY_CONFIG = ("configs", "dataset_info")


def divide(card: str) -> tuple[str, str]:
    """A card's front matter, without its dashes, and its body. The first is empty where there is none."""
    found = _BLOCK.match(card)
    return (found[2], card[found.end() :]) if found else ("", card)


def values_of(front: str) -> dict[str, Any]:
    """The front matter's values. Raises CardDamaged if it is no YAML, or no mapping."""
    try:
        told = parse_yaml(front, "the card's front matter")
    except BadInput as problem:
        raise CardDamaged(problem.reason, "mend README.md on the Hub") from None
    if told is not None and not isinstance(told, dict):
        raise CardDamaged("the card's front matter is no mapping", "write `key: value` lines into README.md")
    return dict(told or {})


def merge(old: Mapping[str, Any], ours: Mapping[str, Any], last: Mapping[str, Any]) -> dict[str, Any]:
    """The values of our keys as they shall be; a key with None is taken out.

    Args:
        old: what the card says now.
        ours: what we would say.
        last: what we said last time, without `configs` and `dataset_info`.
    """
    merged = {key: _one(old.get(key), value, last.get(key)) for key, value in ours.items() if key not in BY_CONFIG}
    dropped = {key: None for key, value in last.items() if key not in ours and old.get(key) == value}
    if any(key in old and old[key] != last.get(key) for key in LICENCE_KEYS):
        merged |= {key: old.get(key) for key in LICENCE_KEYS}
    return {**merged, **dropped, **{key: by_config(old.get(key), ours[key]) for key in BY_CONFIG}}


def by_config(old: Any, ours: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Entries of our configs, and those that others keep in the same repository.

    `default` is taken from ours where another config is the default already: two are an error when loading.
    """
    entries = [old] if isinstance(old, dict) else list(old or ())
    named = [{"config_name": "default", **entry} for entry in entries]
    theirs = [entry for entry in named if entry["config_name"] not in CONFIGS]
    taken = any(entry["config_name"] == "default" or entry.get("default") for entry in theirs)
    own = [{key: value for key, value in one.items() if not (taken and key == "default")} for one in ours]
    return own + theirs


def rewrite(front: str, values: Mapping[str, Any]) -> str:
    """The front matter with these values; all other lines stay as they are.

    Raises:
        CardDamaged: it is not one key a line, so that a value can't be told from the next.
    """
    line = "\r\n" if "\r\n" in front else "\n"
    old, parts = values_of(front), _parts(front)
    if [name for name, _ in parts if name] != [str(key) for key in old]:
        raise CardDamaged("the card's front matter is not one key a line", "write it so in README.md")
    wanted = dict(values)
    kept: list[str] = []
    for name, text in parts:
        if name in wanted:
            value = wanted.pop(name)
            if value is not None and value == old[name]:
                kept.append(text)
            elif value is not None:
                kept.append(_dump(name, value, line))
        else:
            kept.append(text)
    kept += [_dump(name, value, line) for name, value in wanted.items() if value is not None]
    return "".join(kept)


def with_front(front: str, body: str) -> str:
    """A card of both parts."""
    line = "\r\n" if "\r\n" in front else "\n"
    return f"---{line}{front}---{line}{body}"


def _one(old: Any, ours: Any, last: Any) -> Any:
    if isinstance(ours, list):
        present = [old] if isinstance(old, str) else list(old or ())
        before = [last] if isinstance(last, str) else list(last or ())
        stay = [value for value in present if value in ours or value not in before]
        return stay + [value for value in ours if value not in stay and value not in before] or None
    return ours if old is None or old == last else old


def _parts(front: str) -> list[tuple[str | None, str]]:
    """The lines of each key, in order; lines before the first have no key."""
    parts: list[tuple[str | None, str]] = []
    for text in _lines(front):
        found = _KEY.match(text)
        if found:
            parts.append((found[1] or found[2] or found[3], text))
        elif not parts:
            parts.append((None, text))
        else:
            parts[-1] = (parts[-1][0], parts[-1][1] + text)
    return parts


def _lines(front: str) -> Iterable[str]:
    ending = "\r\n" if "\r\n" in front else "\n"
    return (front if not front or front.endswith("\n") else front + ending).splitlines(keepends=True)


def _dump(name: str, value: Any, line: str) -> str:
    text: str = yaml.safe_dump({name: value}, sort_keys=False, allow_unicode=True, width=1000)
    return text.replace("\n", line)
