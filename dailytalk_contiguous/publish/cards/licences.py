"""What licences of sources and models forbid, and whether a card's own licence says less than they do.

No legal advice: licences are told apart by their names alone, and only in what they commonly forbid (commercial
use, changed versions, other terms for what follows, use without naming the author). What can't be told from a name
is said to be unknown, never assumed to be free.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

#: What the YAML says where no single licence covers everything.
OTHER = "other"

#: Licences of programs, and of weights given away like one: they ask nothing of what was made with them.
_OF_PROGRAMS = ("mit", "apache", "bsd", "gpl", "lgpl", "agpl", "mpl", "isc", "zlib")

#: Ids of the Hub that give all rights away.
_PUBLIC_DOMAIN = frozenset(("cc0-1.0", "pddl", "unlicense", "wtfpl"))

#: Licences under which changed versions of data may be published, by their ids on the Hub
#: (https://huggingface.co/docs/hub/repositories-licenses). With SPDX they have the same names, in capitals.
_OF_DATA = frozenset(
    (
        *("cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0"),
        *("cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
    )
)

_SAYS = {
    "commercial": "no commercial use",
    "changes": "no changed versions",
    "terms": "what follows from it only under the same terms",
    "naming": "its author to be named",
}


class Asked(NamedTuple):
    """What a licence asks for: some of `_SAYS`; `known` is False where its name does not tell."""

    what: frozenset[str]
    known: bool = True


class Origin(NamedTuple):
    """A source, or a model by its role, with the licence that it is under (None: not told)."""

    role: str
    name: str
    licence: str | None
    url: str = ""
    note: str = ""


def asked(licence: str | None) -> Asked:
    """What a licence asks for, by its SPDX name or its id on the Hub."""
    name = (licence or "").strip().lower()
    if name in _PUBLIC_DOMAIN or name.startswith(_OF_PROGRAMS):
        return Asked(frozenset())
    if name.startswith(("cc-by", "cdla-", "odc-by", "odbl")):
        parts = name.split("-")
        found = {"nc": "commercial", "nd": "changes", "sa": "terms", "sharing": "terms", "odbl": "terms"}
        return Asked(frozenset({what for short, what in found.items() if short in parts} | {"naming"}))
    return Asked(frozenset(), known=False)


def in_words(licence: str | None) -> str:
    """What a licence asks for, for a table."""
    found = asked(licence)
    if not found.known:
        return "**see its terms**"
    return "; ".join(text for what, text in _SAYS.items() if what in found.what) or "nothing of the data"


def derived(sources: Collection[str | None], models: Sequence[Origin]) -> str:
    """The id of the licence that follows from those of sources and models, or `other`."""
    if len(set(sources)) != 1:
        return OTHER
    licence = (next(iter(sources)) or "").strip().lower()
    fits = licence in _OF_DATA and not warnings(licence, [Origin("source", "", licence), *models])
    return licence if fits else OTHER


def warnings(licence: str, origins: Sequence[Origin]) -> tuple[str, ...]:
    """One sentence for each way in which a card's licence promises more than its sources and models allow.

    Args:
        licence: the card's, an id of the Hub.
        origins: sources have the role `source`. Of models only the ban on commercial use goes over to what they
            made; of sources everything does, as re-voiced conversations are changed versions of them.
    """
    found: dict[str, None] = {}
    for one in origins:
        for sentence in _against(licence, one):
            found[sentence] = None
    return tuple(found)


def _against(licence: str, one: Origin) -> list[str]:
    source = one.role == "source"
    who = f"the {'source' if source else 'model'} {one.name}" if one.name else "the source"
    theirs, given = asked(one.licence), asked(licence)
    if source and "changes" in theirs.what:
        return [f"{who} is under {one.licence}, which allows no changed versions, and this is one"]
    if licence == OTHER:
        return []
    if not theirs.known:
        if source and not one.licence:
            return [f"the licence of {who} is not known, so that nobody can say whether {licence} may be given"]
        return [
            f"{who} is under terms that have to be read ({one.licence}); {licence} may allow more than they do"
        ]
    binding = (theirs.what if source else theirs.what & {"commercial"}) - given.what
    if licence not in _PUBLIC_DOMAIN:  # all others keep the author's name
        binding -= {"naming"}
    return [
        f"{who} is under {one.licence} ({_SAYS[what]}), which {licence} does not say" for what in sorted(binding)
    ]
