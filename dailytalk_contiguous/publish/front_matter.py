"""The front matter of a card: our values merged into what people have written, key by key.

It is edited as text, because parsing and dumping would lose comments and order: the lines of a key are replaced
only where its value changes. A value that is still the one we wrote last is ours to change; any other is the
choice of a person and stays. In lists, entries that people added stay, and entries that they removed stay out.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from dailytalk_contiguous.core.documents import parse_yaml
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import CONFIGS

#: As `huggingface_hub` finds it, but at the start of the file only.
_BLOCK = re.compile(r"\A(\s*---(?:\r\n|\n))([\S\s]*?)((?:\r\n|\n|(?<=\n))---[ \t]*(?:\r\n|\n|\Z))")

_KEY = re.compile(r"""(?:"([^"]+)"|'([^']+)'|([^\W\d][^:#\n]*?))[ \t]*:(?:\s|$)""")

#: Keys that mean something only together.
LICENCE_KEYS = ("license", "license_name", "license_link")

#: Keys that describe the files of this version, with one entry a config.
BY_CONFIG = ("configs", "dataset_info")


class CardDamaged(DailytalkError):
    """A card that can't be updated without losing text that people wrote."""


def divide(card: str) -> tuple[str, str]:
    """Divide a card into its front matter, without the dashes and empty if there is none, and its body."""
    match = _BLOCK.match(card)
    return (match[2], card[match.end() :]) if match else ("", card)


def values_of(front: str) -> dict[str, Any]:
    try:
        values = parse_yaml(front, "the card's front matter")
    except BadInput as problem:
        raise CardDamaged(problem.reason, "mend README.md on the Hub") from None
    if values is not None and not isinstance(values, dict):
        raise CardDamaged("the card's front matter is no mapping", "write `key: value` lines into README.md")
    return dict(values or {})


def merge(old: Mapping[str, Any], new: Mapping[str, Any], last: Mapping[str, Any]) -> dict[str, Any]:
    """Return the new values of our keys; a key with None is removed.

    `old` are the values in the card, `last` those of our last version, without `configs` and `dataset_info`.
    """
    single = {key: value for key, value in new.items() if key not in BY_CONFIG}
    merged: dict[str, Any] = {}
    for key, value in single.items():
        known, before = old.get(key), last.get(key)
        if isinstance(value, list):
            present, before = ([of] if isinstance(of, str) else list(of or ()) for of in (known, before))
            stay = [entry for entry in present if entry in value or entry not in before]
            merged[key] = stay + [entry for entry in value if entry not in stay and entry not in before] or None
        else:
            merged[key] = value if known is None or known == before else known
    dropped = {key: None for key, value in last.items() if key not in new and old.get(key) == value}
    if any(key in old and old[key] != last.get(key) for key in LICENCE_KEYS):
        merged |= {key: old.get(key) for key in LICENCE_KEYS}
    return {**merged, **dropped, **{key: by_config(old.get(key), new[key]) for key in BY_CONFIG}}


def by_config(old: Any, configs: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return the entries of our configs, and those of other configs in the same repository.

    `default` is taken from ours where another config is the default already: two are an error when loading.
    """
    entries = [old] if isinstance(old, dict) else list(old or ())
    with_names = [{"config_name": "default", **entry} for entry in entries]
    foreign = [entry for entry in with_names if entry["config_name"] not in CONFIGS]
    has_default = any(entry["config_name"] == "default" or entry.get("default") for entry in foreign)
    dropped = {"default"} if has_default else set()
    return [{key: config[key] for key in config if key not in dropped} for config in configs] + foreign


def rewrite(front: str, values: Mapping[str, Any]) -> str:
    """Return the front matter with these values; all other lines stay as they are.

    Raises CardDamaged: it is not one key a line, so that values can't be separated.
    """
    line = "\r\n" if "\r\n" in front else "\n"
    old, parts = values_of(front), _parts(front)
    if [name for name, _ in parts if name] != [str(key) for key in old]:
        raise CardDamaged("the card's front matter is not one key a line", "write it so in README.md")
    remaining = dict(values)
    lines: list[str] = []
    for name, text in parts:
        if name in remaining:
            value = remaining.pop(name)
            if value is not None and value == old[name]:
                lines.append(text)
            elif value is not None:
                lines.append(_dump(name, value, line))
        else:
            lines.append(text)
    lines += [_dump(name, value, line) for name, value in remaining.items() if value is not None]
    return "".join(lines)


def _parts(front: str) -> list[tuple[str | None, str]]:
    """The lines of each key, in order; lines before the first have no key."""
    parts: list[tuple[str | None, str]] = []
    ending = "" if not front or front.endswith("\n") else "\r\n" if "\r\n" in front else "\n"
    for text in (front + ending).splitlines(keepends=True):
        match = _KEY.match(text)
        if match:
            parts.append((match[1] or match[2] or match[3], text))
        elif not parts:
            parts.append((None, text))
        else:
            parts[-1] = (parts[-1][0], parts[-1][1] + text)
    return parts


def _dump(name: str, value: Any, line: str) -> str:
    text: str = yaml.safe_dump({name: value}, sort_keys=False, allow_unicode=True, width=1000)
    return text.replace("\n", line)
