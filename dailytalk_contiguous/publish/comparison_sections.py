"""Two tallies side by side, for `report --against`.

A corpus is judged beside another that people know, such as DailyTalk by its own labels or DailyTalkContiguous by
the ratings of models. Shares are of clips or utterances, never of hours: each of them has a label once.
"""

import math
from dataclasses import replace
from typing import NamedTuple

from dailytalk_contiguous.core.scorecard import measure_text
from dailytalk_contiguous.core.tally import UNKNOWN, Tally
from dailytalk_contiguous.core.turns import TURN_MEASURES
from dailytalk_contiguous.core.wording import length_text
from dailytalk_contiguous.publish import render, sections
from dailytalk_contiguous.publish.corpus_sections import label_title
from dailytalk_contiguous.publish.plots import Bar, BarPlot, Series

#: Labels that are compared. `act` is the dialogue act of a turn (DailyTalk).
LABELS = ("emotion", "style", "tag", "act", "sentence_type", "length")

#: Measures that are compared.
COMPARED = ("seconds", "valence", "arousal", "dominance", "f0_mean", "f0_std", "speech_rate")


class Compared(NamedTuple):
    """One side of a comparison: its name, its unit (a plural noun), and its tally."""

    name: str
    unit: str
    tally: Tally

    @property
    def n(self) -> int:
        return self.tally.heard.utterances

    def shares(self, label: str) -> dict[str, float]:
        """Return the shares in [0, 1] of the values of a label; all are unknown where it is not counted."""
        counts = {value: part.utterances for value, part in self.tally.by[label].items()}
        return {value: n / self.n for value, n in counts.items() if n} or {UNKNOWN: 1.0}


def against_section(ours: Compared, theirs: Compared) -> sections.Section:
    sides = (ours, theirs)
    rows: list[tuple[render.TableCell, ...]] = [
        ("number", *(f"{side.n:,} {side.unit}" for side in sides)),
        ("speech", *(length_text(side.tally.heard.seconds) for side in sides)),
    ]
    for name in COMPARED:
        title, unit, digits = sections.MEASURED_NAMES[name]
        cells = []
        for side in sides:
            moments = side.tally.measures[name]
            known = "" if moments.n == side.n else f" ({render.percent(moments.n, side.n)} known)"
            spread = f"{moments.mean:.{min(2, digits)}f} ± {moments.deviation:.{min(2, digits)}f}{known}"
            cells.append(spread if moments.n else "–")
        rows.append((f"{title} ({unit})", *cells))
    note = "Mean ± standard deviation of what is measured."
    table = sections.Table("Figures", ("", ours.name, theirs.name), rows, note)
    grids = [side.tally.all_affect() for side in sides]
    axes = sections.affect_axes(grids)
    most = max((n for grid in grids for n in grid.counts.values()), default=0)
    maps = [
        replace(
            sections.affect_map(
                f"Affect of {side.name}", grid, side.unit.removesuffix("s"), style=style, axes=axes
            ),
            full=most,
        )
        for side, grid, style in zip(sides, grids, ("after", "other"), strict=True)
    ]
    plots = [plot for label in LABELS if (plot := label_plot(ours, theirs, label))]
    turns = [turns_against] if (turns_against := turn_taking_against(ours, theirs)) else []
    return sections.Section("against", f"Against {theirs.name}", [table, *turns, *maps, *plots])


def turn_taking_against(ours: Compared, theirs: Compared) -> sections.Table:
    """Return the measures of turn-taking of both sides; empty if in one of them the speaker never changes."""
    sides = [side.tally.turn_taking for side in (ours, theirs)]
    rows: list[tuple[render.TableCell, ...]] = [
        ("conversations", *(side.tally.total.conversations for side in (ours, theirs))),
        ("length", *(length_text(side.seconds) for side in sides)),
        ("changes of speaker", *(f"{len(side.offsets()):,}" for side in sides)),
        *(
            (measure.title, *(measure_text(name, side.pooled(name, "both")) for side in sides))
            for name, measure in TURN_MEASURES.items()
            if "both" in measure.sides
        ),
    ]
    note = "Of both speakers together; what each measure is, says the section on what the conversations teach."
    known = all(len(side.offsets()) for side in sides)
    nothing = "one of both has no change of speaker"
    return sections.Table("Turn-taking", ("", ours.name, theirs.name), rows if known else [], note, nothing)


def label_plot(ours: Compared, theirs: Compared, label: str) -> BarPlot:
    """Plot the shares of the values of a label, the commonest first, unknown last; empty if all are unknown."""
    left, right = ours.shares(label), theirs.shares(label)
    pairs = {value: (left.get(value, 0.0), right.get(value, 0.0)) for value in {*left, *right}}
    unknown = pairs.pop(UNKNOWN, None)
    values = sorted(pairs.items(), key=lambda item: (-sum(item[1]), item[0]))
    rest = [pair for _, pair in values[sections.MOST_VALUES :]]
    if len(rest) > 1:
        sums = (math.fsum(pair[0] for pair in rest), math.fsum(pair[1] for pair in rest))
        values = [*values[: sections.MOST_VALUES], (f"{len(rest):,} others", sums)]
    if unknown and values:
        values.append((UNKNOWN, unknown))
    units = " and of ".join(dict.fromkeys((ours.unit, theirs.unit)))
    return BarPlot(
        title=f"{label_title(label)} ({', '.join(f'{side.n:,} {side.unit}' for side in (ours, theirs))})",
        head=(label_title(label).lower(), ours.name, theirs.name),
        rows=[
            Bar(value, pair, (render.percent(pair[0], 1), render.percent(pair[1], 1))) for value, pair in values
        ],
        series=[Series("after", ours.name), Series("other", theirs.name)],
        axis=f"share of {units}",
        grouped=True,
        name=label,
    )
