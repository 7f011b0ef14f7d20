"""Cards of published models: a template, with metadata for the Hub before it, and the data that it names."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from dailytalk_contiguous.publish.templates import environment

#: Ids on the Hub of licences with another id in SPDX.
_HUB_NAMES = {"odbl-1.0": "odbl"}


class DataSource(NamedTuple):
    """A source of a model's training data for its card: its name, and its licence (None: not known)."""

    name: str
    licence: str | None = None


def model_card(template: str, title: str, sources: Sequence[DataSource], tags: Iterable[str], **facts: Any) -> str:
    """A card by a template of this app, which gets `facts`, and `sources` as rows of a table.

    A licence is named for the Hub if all data have the same one: by its id there, since others are refused.
    """
    licences = {(source.licence or "").lower() for source in sources}
    licence = licences.pop() if len(licences) == 1 else ""
    known = _HUB_NAMES.get(licence, licence)
    if known.startswith("licenseref") or not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", known):
        known = "other"
    lines = ["---", *([f"license: {known}"] if licence else []), "library_name: dailytalk-contiguous"]
    opening = "\n".join([*lines, "tags:", *(f"- {tag}" for tag in tags), "---", "", f"# {title}", ""])
    rows = [(source.name, source.licence or "not known") for source in sources or [DataSource("not named")]]
    return (
        environment(__package__, markdown=True).get_template(template).render(facts, opening=opening, sources=rows)
    )
