"""Whether a card's own licence says less than those of its sources and models do, and which one follows from them.

What a licence asks for is told in `core.licensing`; here stands what that means for a card.
"""

from collections.abc import Collection, Sequence

from dailytalk_contiguous.core.licensing import OF_DATA, OTHER, PUBLIC_DOMAIN, SAYS, Origin, asked


def derived(sources: Collection[str | None], models: Sequence[Origin]) -> str:
    """The id of the licence that follows from those of sources and models, or `other`."""
    if len(set(sources)) != 1:
        return OTHER
    licence = (next(iter(sources)) or "").strip().lower()
    fits = licence in OF_DATA and not warnings(licence, [Origin("source", "", licence), *models])
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
    if licence not in PUBLIC_DOMAIN:  # all others keep the author's name
        binding -= {"naming"}
    return [
        f"{who} is under {one.licence} ({SAYS[what]}), which {licence} does not say" for what in sorted(binding)
    ]
