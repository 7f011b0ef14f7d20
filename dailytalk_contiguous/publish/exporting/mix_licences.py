"""`licences.md` of a mix: whose work it is, under which terms, and where these do not go together."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dailytalk_contiguous.core.licensing import OTHER, SAYS, Combined, Origin, asked, in_words
from dailytalk_contiguous.publish.cards.words import escaped, model_name, table, told
from dailytalk_contiguous.publish.credits import Credit, credit_cells
from dailytalk_contiguous.publish.exporting.mix_folders import File

#: What is written of whoever a folder does not name.
_NOBODY = "**not told: ask whoever made the folder**"


class Used(NamedTuple):
    """A folder in the mix: its place, its files that are in it, the models that had a part, whose work it is."""

    place: str
    files: Sequence[File]
    models: Sequence[Origin]
    credits: Sequence[Credit]


def model_warnings(models: Iterable[tuple[str, Origin]]) -> list[str]:
    """One sentence for each model whose terms bind, or may bind, what it made; `models` come with their folder."""
    found: dict[str, None] = {}
    for place, one in models:
        terms = asked(one.licence)
        who = f"{place}: the {one.role.rpartition(': ')[2].replace('_', ' ')} is from {model_name(one.name)}"
        if not terms.known:
            found[f"{who}, whose terms have to be read ({one.licence or 'unknown'})"] = None
        elif "commercial" in terms.what:
            found[f"{who} ({one.licence}): no commercial use"] = None
    return list(found)


def licence_text(parts: Sequence[Used], licence: Combined, warnings: Sequence[str]) -> str:
    """The whole file, in Markdown."""
    holds = (
        "No single licence covers it: those below hold together."
        if licence.licence == OTHER
        else f"The strictest licence, which covers it all: `{escaped(licence.licence)}`."
    )
    asks = "; ".join(SAYS[what] for what in licence.asks) or "nothing that a name tells"
    rows = [
        (escaped(part.place), told(name) if name else "**not known**", f"{count:,}", in_words(name))
        for part in parts
        for name, count in sorted(Counter(one.licence for one in part.files).items(), key=str)
    ]
    models = [
        (
            escaped(part.place),
            escaped(one.role.replace("_", " ")),
            escaped(model_name(one.name)),
            escaped(one.licence or "unknown"),
        )
        for part in parts
        if part.files
        for one in part.models
    ]
    made = ["## Models", table(("folder", "part", "model", "licence"), models)] if models else []
    pieces = [
        "# Licences of this mix",
        f"{holds} Together they ask for: {asks}.",
        "\n".join(f"- {escaped(one)}." for one in warnings),
        "## Recordings",
        table(("folder", "licence", "files", "asks for"), rows),
        "## Sources",
        _credit_table(parts),
        *made,
        "What a licence forbids, it forbids whatever this file says. This is no legal advice.",
    ]
    return "\n\n".join(piece for piece in pieces if piece) + "\n"


def _credit_table(parts: Sequence[Used]) -> str:
    """Whom to name for what: source, licence and citation of each folder that has a part in the mix."""
    rows: list[tuple[str, ...]] = []
    for part in filter(lambda one: one.files, parts):
        unnamed = [(escaped(part.place), _NOBODY, "", "")]
        rows += [(escaped(part.place), *credit_cells(one)) for one in part.credits] or unnamed
    return table(("folder", "source", "licence", "citation"), rows)
