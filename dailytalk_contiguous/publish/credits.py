"""Whose work lies in a folder: the corpora and datasets that its record names, each with its terms.

Licences ask for the author to be named, so whatever is made of several folders has to know who that is. A corpus
tells all of it, conversations from the Hub their dataset, a mix what its folders told; nothing is looked up.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from dailytalk_contiguous.publish.cards.words import escaped, link

#: Key of the record of a mix: the credits of each of its folders.
CREDITS = "sources"

_DATASET = "https://huggingface.co/datasets/"


class Credit(NamedTuple):
    """A source by its name, with its licence, citation and home page; empty where nobody tells."""

    name: str
    licence: str = ""
    citation: str = ""
    homepage: str = ""


def credits_of(record: Mapping[str, Any]) -> tuple[Credit, ...]:
    """The sources that the record of a work folder or of a mix (run.json, mix.json) names, each once.

    A folder in a mix that named none stands for itself, so that nobody takes the others for all.
    """
    mixed = (record.get(CREDITS) or {}).items()
    found = [Credit(**one) for place, own in mixed for one in own or [{"name": place}]]
    for told in (record.get("corpus"), record.get("source")):
        name = (told or {}).get("name") or (told or {}).get("repository")
        if told and name:
            page = told.get("homepage") or (f"{_DATASET}{name}" if "repository" in told else "")
            found.append(Credit(name, told.get("licence") or "", told.get("citation") or "", page))
    return tuple(dict.fromkeys(found))


def credit_cells(one: Credit) -> tuple[str, str, str]:
    """A source, linked to its home page, its licence and its citation, as cells of a table in Markdown."""
    return link(one.name, one.homepage), escaped(one.licence or "not told"), escaped(one.citation or "not told")
