"""The report of an expressive corpus as Markdown, to be put under a heading of a card.

It holds what a reader of the data has to know: hours by label, what is missing, quality, what was rejected, whose
work it is and under which terms. Speakers are too many for a card, and pictures are for the page.
"""

from collections.abc import Sequence

from dailytalk_contiguous.core.licensing import in_words
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.cards.words import escaped, span, table
from dailytalk_contiguous.publish.credits import Credit, credit_cells
from dailytalk_contiguous.publish.reporting import against
from dailytalk_contiguous.publish.reporting.expressive_parts import MAX_LINES, shortfall_lines
from dailytalk_contiguous.publish.reporting.expressive_tally import DIMENSIONS, MEASURES, UNKNOWN, CorpusTally

#: What clips are counted along here.
_SHOWN = tuple(name for name in DIMENSIONS if name != "speaker")


def summary(tally: CorpusTally, credits: Sequence[Credit] = (), sides: against.Sides | None = None) -> str:
    """The figures, whose work it is, and, where there is another side, both beside each other."""
    pieces = [
        f"{counted(tally.all.clips, tally.unit)}, {span(tally.all.seconds)} recorded; "
        f"{span(tally.all.seen)} seen in training, where {tally.all.copies:,} are augmented copies.",
        *(_dimension(tally, name) for name in _SHOWN),
        _missing(tally),
        *_quality(tally),
        _rejected(tally),
        _licences(tally),
        table(("source", "licence", "citation"), map(credit_cells, credits)),
    ]
    if sides:
        pieces += [f"Beside {escaped(sides[1].name)}:", against.markdown(*sides)]
    return "\n\n".join(piece for piece in pieces if piece) + "\n"


def _dimension(tally: CorpusTally, name: str) -> str:
    lines = [
        (escaped(value), f"{one.clips:,}", span(one.seconds), span(one.seen))
        for value, one in sorted(tally.by[name].items())
    ]
    return table((DIMENSIONS[name].lower(), f"{tally.unit}s", "recorded", "seen in training"), lines)


def _missing(tally: CorpusTally) -> str:
    head = ("emotion", "recorded for training", "seen", f"lacks to {tally.target / 60:g} min", "what to record")
    return table(head, [[escaped(value) for value in line] for line in shortfall_lines(tally)])


def _quality(tally: CorpusTally) -> list[str]:
    if not tally.measured:
        return []
    lines = [
        (
            measure.axis.title,
            " and ".join(f"{limit:g}" for limit in measure.limits(tally.limits)) or "none",
            f"{tally.outside[name]:,}",
        )
        for name, measure in MEASURES.items()
    ]
    head = ("measure", "limit", "beyond it")
    return [f"Quality of {counted(tally.measured, 'clip')} as they came:", table(head, lines)]


def _rejected(tally: CorpusTally) -> str:
    ranked = tally.rejects.most_common(MAX_LINES)
    lines = [(escaped(stage), escaped(why), f"{found:,}") for (stage, why), found in ranked]
    return table(("rejected by", "reason", "number"), lines)


def _licences(tally: CorpusTally) -> str:
    lines = [
        (escaped(name or UNKNOWN), f"{one.clips:,}", in_words(name))
        for name, one in sorted(tally.licences.items(), key=str)
    ]
    return table(("licence", f"{tally.unit}s", "asks for"), lines)
