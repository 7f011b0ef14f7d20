"""Common parts of the cards of published models: their beginning, and their data."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

#: Ids on the Hub of licences with another id in SPDX.
_HUB_NAMES = {"odbl-1.0": "odbl"}


class DataSource(NamedTuple):
    """A source of a model's training data for its card: its name, and its licence (None: not known)."""

    name: str
    licence: str | None = None


def card_opening(title: str, sources: Sequence[DataSource], tags: Iterable[str]) -> list[str]:
    """The first lines of a card: its metadata for the Hub, and its title.

    A licence is named if all data have the same one: by its id on the Hub, which refuses others.
    """
    licences = {source.licence for source in sources}
    licence = (licences.pop() or "").lower() if len(licences) == 1 else ""
    known = _HUB_NAMES.get(licence, licence if re.fullmatch(r"[a-z0-9][a-z0-9.-]*", licence) else "other")
    if known.startswith("licenseref"):
        known = "other"
    lines = ["---", *([f"license: {known}"] if licence else []), "library_name: dailytalk-contiguous"]
    return [*lines, "tags:", *(f"- {tag}" for tag in tags), "---", "", f"# {title}", ""]


def source_lines(sources: Sequence[DataSource]) -> list[str]:
    return [
        "| source | licence |",
        "|---|---|",
        *(f"| {source.name} | {source.licence or 'not known'} |" for source in sources),
        *([] if sources else ["| not named | not known |"]),
        "",
        "The weights carry no recording, but whoever publishes them answers for the terms of the data.",
        "",
    ]
