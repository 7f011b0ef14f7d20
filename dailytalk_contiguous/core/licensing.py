"""Licences: the terms of data and of models, singly and together."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

# Terms of licences, from their names, and the terms of data under several licences together.
#
# No legal advice: only the name of a licence, or a sentence in its place, is read, and only for what it commonly
# asks (no commercial use, no changed versions, no passing on, the same terms for derived work, naming the author,
# research only). What a name does not show is unknown, never assumed to be free.


#: The name for "no single licence covers it".
OTHER = "other"

#: Ids that give all rights away.
PUBLIC_DOMAIN = frozenset(("cc0-1.0", "pddl", "pddl-1.0", "unlicense", "wtfpl"))

#: Licences under which changed versions of data may be published, by their ids on the Hub
#: (https://huggingface.co/docs/hub/repositories-licenses). With SPDX they have the same names, in capitals.
OF_DATA = frozenset(
    (
        "cc0-1.0",
        "cc-by-2.0",
        "cc-by-2.5",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-sa-3.0",
        "cc-by-sa-4.0",
        "cc-by-nc-2.0",
        "cc-by-nc-3.0",
        "cc-by-nc-4.0",
        "cc-by-nc-sa-2.0",
        "cc-by-nc-sa-3.0",
        "cc-by-nc-sa-4.0",
    )
)

#: Everything that a licence may ask for, in words.
SAYS = {
    "commercial": "no commercial use",
    "changes": "no changed versions",
    "terms": "what is derived from it only under the same terms",
    "naming": "its author to be named",
    "research": "research only, by agreement with its makers",
    "sharing": "not to be passed on",
}

#: Terms by which data may not be passed on, whatever was made of it.
NOT_SHARED = frozenset(("research", "sharing"))


class LicenceTerms(NamedTuple):
    """The terms of a licence: `asks` has keys of `SAYS`; `is_known` is false where its name may not show all."""

    asks: frozenset[str]
    is_known: bool = True


class Licence(NamedTuple):
    """A licence by its SPDX name (or `unknown`), the page that describes the model, and a note on its use."""

    licence: str
    url: str
    note: str = ""


#: The role of an origin that is no model.
SOURCE = "source"


class Origin(NamedTuple):
    """A source, or a model by its role, with its licence (None: not known)."""

    role: str
    name: str
    licence: str | None
    url: str = ""


class Combined(NamedTuple):
    """The terms of data under several licences together.

    Attributes:
        licence: the strictest of them where it asks for everything that any of them asks for; else `other`, when
            all of them hold at once.
        asks: keys of `SAYS`, in that order.
        warnings: one sentence for each conflict or restriction, without a full stop.
    """

    licence: str
    asks: tuple[str, ...]
    warnings: tuple[str, ...]


#: Licences of programs, and of weights given away like one: they ask nothing of what was made with them.
_OF_PROGRAMS = ("mit", "apache", "bsd", "gpl", "lgpl", "agpl", "mpl", "isc", "zlib")

#: Parts of the names of special licences that limit use to research.
_RESEARCH = ("research", "academic")

#: Words by which people write down a term where they name no licence. LDC and ELRA sell corpora to their members.
_IN_WORDS = {
    "commercial": re.compile(r"non-?\s?commercial|\bno(t for)? commercial|commercial use (is )?(not|forbid)"),
    "changes": re.compile(r"\bno-?\s?deriv|\bno (changes|modif)|\bnot (be )?(changed|modified)"),
    "research": re.compile(r"\b(research|academic)( use| purposes)? only|only for (research|academic)"),
    "sharing": re.compile(
        # "no redistribution", "not to be shared"; not "no restrictions on sharing", "no commercial redistribution"
        r"(\bnon?\b(?! restrict| limit)|\bnot\b|n't\b|\bnever\b|\bwithout\b|\bforbid\w*|\bprohibit\w*)"
        r"((?!commercial)[^.;,])*?(distribut|publi|\bshar|\bpass\w* (it |them )?on)"
        # "redistribution of the data is prohibited"
        r"|\b(re-?)?(distribut|publi|shar)\w+( [\w-]+){0,5} (not|prohibited|forbidden)\b"
        r"|nonredistribut|\b(ldc|elra)(\b|\d)|\bconfidential|\bproprietary|all rights reserved|internal use"
    ),
}


def terms_of_licence(licence: str | None) -> LicenceTerms:
    """Return the terms of a licence, by its SPDX name, its id on the Hub, or a sentence.

    >>> sorted(terms_of_licence("CC-BY-NC-4.0").asks), terms_of_licence("Contract 7").is_known
    (['commercial', 'naming'], False)
    >>> terms_of_licence("our data, do not redistribute")
    LicenceTerms(asks=frozenset({'sharing'}), is_known=False)
    """
    name = (licence or "").strip().lower()
    if name in PUBLIC_DOMAIN or name.startswith(_OF_PROGRAMS):
        return LicenceTerms(frozenset())
    if name.startswith(("cc-by", "cc by", "cdla-", "odc-by", "odbl")):
        parts = re.split(r"[-\s]", name)
        asks = {"nc": "commercial", "nd": "changes", "sa": "terms", "sharing": "terms", "odbl": "terms"}
        terms = {"naming"}
        for part, term in asks.items():
            if part in parts:
                terms.add(term)
        return LicenceTerms(frozenset(terms))
    is_for_research = not set(name.split("-")).isdisjoint(_RESEARCH)
    if name.startswith("licenseref-") and is_for_research:
        return LicenceTerms(frozenset(("commercial", "naming", "research")))
    written = [term for term, words in _IN_WORDS.items() if words.search(name)]
    return LicenceTerms(frozenset(written), is_known=False)


def licence_in_words(licence: str | None) -> str:
    """Describe the terms of a licence for a table."""
    terms = terms_of_licence(licence)
    sentences = [text for term, text in SAYS.items() if term in terms.asks]
    if not terms.is_known:
        sentences.append("see its terms")
    return "; ".join(sentences) or "nothing of the data"


def combined(users: Mapping[str | None, Collection[str]], also: Collection[str] = ()) -> Combined:
    """Return the terms of data under several licences together.

    Args:
        users: names of the folders or corpora under each licence (None: not known).
        also: keys of `SAYS` that models ask for, by which the data was made.
    """
    names = {}
    terms = {}
    union = frozenset(also)
    for licence, folders in users.items():
        names[licence] = licence or "no licence"
        if folders:
            names[licence] += f" ({', '.join(sorted(folders))})"
        terms[licence] = terms_of_licence(licence)
        union |= terms[licence].asks
    asks = tuple(term for term in SAYS if term in union)
    warnings = (*_restrictions(names, terms), *_conflicts(names, terms))
    return Combined(_strictest(terms, union), asks, warnings)


def derived(origins: Collection[Origin]) -> str:
    """Return the id of the licence of data that follows from its sources and models, or `other`.

    All terms of sources extend to the data, as resynthesised conversations are changed versions of them; of the
    terms of models, only the ban on commercial use does.
    """
    users = {origin.licence: {origin.name} for origin in origins if origin.role == SOURCE}
    licence = combined(users).licence.lower()
    if licence not in OF_DATA or promised_too_much([licence], origins):
        return OTHER
    return licence


def promised_too_much(
    licences: Collection[str], origins: Collection[Origin], is_changed: bool = True
) -> tuple[str, ...]:
    """Return a sentence for each way in which licences of data, ids of the Hub, allow more than its origins.

    `is_changed`: whether the data differs from its sources, as resynthesised conversations do.
    """
    sentences: list[str] = []
    for licence in licences:
        for origin in origins:
            sentences += _excess_promises(licence, origin, is_changed)
    return tuple(dict.fromkeys(sentences))


def _excess_promises(licence: str, origin: Origin, is_changed: bool) -> list[str]:
    """Return a sentence for each term of an origin that a licence of data leaves out."""
    is_source = origin.role == SOURCE
    who = f"the {SOURCE}"
    if origin.name:
        who = f"the {SOURCE if is_source else 'model'} {origin.name}"
    under = f"{who} is under {origin.licence}"
    terms = terms_of_licence(origin.licence)
    if is_source and is_changed and "changes" in terms.asks:
        return [f"{under}, which allows no changed versions, and this is one"]
    if is_source and "sharing" in terms.asks:
        return [f"{under}, by which it is {SAYS['sharing']}"]
    if licence == OTHER:
        return []
    if not terms.is_known and not terms.asks:
        own_licence = origin.licence or "unknown"
        return [
            f"{who} is under terms that have to be read ({own_licence}); {licence} may allow more than they do"
        ]
    binding = terms.asks if is_source else terms.asks & {"commercial"}
    missing = binding - terms_of_licence(licence).asks
    if "terms" in binding and _family(licence) != _family(origin.licence):
        missing |= {"terms"}
    if licence not in PUBLIC_DOMAIN:  # all others keep the author's name
        missing -= {"naming"}
    return [f"{under} ({SAYS[term]}), which {licence} does not keep" for term in sorted(missing)]


def _strictest(terms: Mapping[str | None, LicenceTerms], union: frozenset[str]) -> str:
    """Return the licence that asks for everything, if it includes the others' exclusive terms; else `other`."""
    if not terms or not all(asked_for.is_known for asked_for in terms.values()):
        return OTHER
    # Terms that no other licence has: share-alike, and agreements.
    exclusive = [name for name, asked_for in terms.items() if asked_for.asks & {"terms", "research"}]
    families = {_family(name) for name in exclusive}
    fitting = [name for name, asked_for in terms.items() if name and asked_for.asks >= union]
    fitting_families = {_family(name) for name in fitting}
    if len(families) > 1 or (families and families.isdisjoint(fitting_families)):
        return OTHER
    return max(fitting, key=lambda name: (_family(name) in families, name), default=OTHER)


def _restrictions(names: Mapping[str | None, str], terms: Mapping[str | None, LicenceTerms]) -> list[str]:
    """Return warnings of restrictions of single licences that hold for all of the data."""
    warnings = []
    non_commercial = [name for name, asked_for in terms.items() if "commercial" in asked_for.asks]
    commercial = [
        name for name, asked_for in terms.items() if asked_for.is_known and "commercial" not in asked_for.asks
    ]
    if non_commercial and commercial:
        who = _listed([names[name] for name in non_commercial])
        warnings.append(
            f"{who}: not for commercial use, and neither is anything that was trained on all of it together"
        )
    for name, asked_for in terms.items():
        if not asked_for.is_known:
            warnings.append(f"{names[name]}: its terms have to be read before any use")
        if "changes" in asked_for.asks:
            warnings.append(f"{names[name]}: no changed versions, and this is one; do not pass it on")
        for term in sorted(NOT_SHARED & asked_for.asks):
            warnings.append(f"{names[name]}: {SAYS[term]}; do not pass it on")
    return warnings


def _conflicts(names: Mapping[str | None, str], terms: Mapping[str | None, LicenceTerms]) -> list[str]:
    """Return warnings of share-alike beside terms that it does not allow to be added."""
    warnings = []
    reported: set[str | None] = set()
    for name, asked_for in terms.items():
        if "terms" not in asked_for.asks:
            continue
        reported.add(name)  # a conflict of two share-alike licences is reported once
        conflicting = []
        for other, other_terms in terms.items():
            adds_terms = "terms" in other_terms.asks or other_terms.asks - asked_for.asks
            is_other = other not in reported and _family(other) != _family(name)
            if other_terms.is_known and is_other and adds_terms:
                conflicting.append(names[other])
        if conflicting:
            verb = "contradict" if len(conflicting) > 1 else "contradicts"
            warnings.append(
                f"{names[name]}: what is derived from it only under the same terms, which {_listed(conflicting)} "
                f"{verb}; it may be trained on, but nobody may publish both as one dataset"
            )
    return warnings


def _family(licence: str | None) -> str:
    """Return a licence without its version: a later version accepts data of an earlier one."""
    return re.sub(r"-\d+(\.\d+)*$", "", (licence or "").strip().lower())


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


class Credit(NamedTuple):
    """A source by its name, with its licence, citation and home page; empty where unknown."""

    name: str
    licence: str = ""
    citation: str = ""
    homepage: str = ""
