"""The sections of a page, a card and a summary: facts, tables and plots of a tally, each declared once.

A section is data. `page_html` renders it as HTML for the page, `markdown` as Markdown for a card or a summary, in
which a plot is a picture if pictures are wanted and else a table or nothing. To show a new part, add a function
that makes it of the tally, and name it in a list of sections (`conversation_sections`, `corpus_sections`).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dailytalk_contiguous.core.tally import AFFECT_CELL, CountGrid, Sum, Tally, total
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish import render
from dailytalk_contiguous.publish.plots import Axis, MapPlot, MultiplesPlot, Plot, Series, alternative, png, svg


@dataclass(frozen=True)
class KeyFigures:
    figures: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Table:
    """Rows of cells below a head; `note` and `nothing` are as in `Plot`. A `folded` table is closed at first."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[Sequence[render.TableCell]]
    note: str = ""
    nothing: str = ""
    folded: bool = False

    def __bool__(self) -> bool:
        return bool(self.rows)

    @property
    def characters(self) -> int:
        return sum(max(len(str(cell)) for cell in column) for column in zip(self.head, *self.rows, strict=True))


#: Width of a table that fits beside another.
MOST_CHARACTERS = 52

#: Markup is for pages alone: a player.
SectionPart = KeyFigures | Text | Table | Plot | render.Html


class Section(NamedTuple):
    """A part of a page with a heading; `name` is its anchor."""

    name: str
    title: str
    parts: Sequence[SectionPart]


def page_html(section: Section) -> render.Html:
    pieces, cards = [], []
    for part in (*section.parts, None):
        if isinstance(part, Table | Plot):
            cards.append(_card(part))
            continue
        if cards:
            pieces.append(render.fill('<div class="plots">{}</div>', render.joined(cards)))
            cards = []
        if isinstance(part, KeyFigures):
            figures = []
            for name, value, remark in part.figures:
                small = render.fill("<small>{}</small>", remark) if remark else ""
                figures.append(render.fill("<div><dt>{}</dt><dd>{}{}</dd></div>", name, value, small))
            pieces.append(render.fill('<dl class="facts">{}</dl>', render.joined(figures)))
        elif part:
            pieces.append(render.fill("<p>{}</p>", part.text) if isinstance(part, Text) else part)
    heading = render.fill("<h2>{}</h2>", section.title) if section.title else ""
    return render.fill('<section id="{}">{}{}</section>\n', section.name, heading, render.joined(pieces))


def _card(part: Table | Plot) -> render.Html:
    if not part:
        what = render.fill('<p class="soft">Nothing to show: {}.</p>', part.nothing)
    elif isinstance(part, Plot):
        what = svg(part)
    else:
        what = render.html_table(part.head, part.rows)
        if part.folded:
            what = render.fill("<details><summary>{}</summary>{}</details>", counted(len(part.rows), "line"), what)
        elif part.characters > MOST_CHARACTERS:  # it is scrolled on a telephone, and by keyboard, too
            what = render.fill(
                '<div class="sideways" tabindex="0" role="region" aria-label="{}">{}</div>', part.title, what
            )
    note = render.fill('<p class="soft">{}</p>', part.note) if part and part.note else ""
    is_wide = isinstance(part, MultiplesPlot) or (isinstance(part, Table) and part.characters > MOST_CHARACTERS)
    wide = " wide" if is_wide else ""
    return render.fill('<article class="card{}"><h3>{}</h3>{}{}</article>', wide, part.title, what, note)


def markdown(parts: Iterable[SectionPart], pictures: dict[str, bytes] | None = None) -> str:
    """Render parts as Markdown, without empty ones.

    `pictures` takes plots as PNG, by their path in the repository. None: bars are a table, and plots of
    distributions are left out.
    """
    return "\n\n".join(filter(None, (_markdown_part(part, pictures) for part in parts)))


def summary(sections: Iterable[Section]) -> str:
    texts = []
    for section in sections:
        if text := markdown(section.parts):
            texts += [f"### {render.escaped(section.title)}", text] if section.title else [text]
    return "\n\n".join(texts) + "\n"


def _markdown_part(part: SectionPart, pictures: dict[str, bytes] | None) -> str:
    if isinstance(part, KeyFigures):
        return render.markdown_table(("", "", ""), part.figures)
    if isinstance(part, Text):
        return render.public_cell(part.text)
    if not part or isinstance(part, render.Html):
        return ""
    title, note = render.escaped(part.title), render.public_cell(part.note)
    if isinstance(part, Plot) and pictures is not None:
        path = f"assets/{part.name}.png"
        pictures[path] = png(part)
        return "\n\n".join(filter(None, (f"![{render.escaped(alternative(part))}]({path})", note)))
    text = render.markdown_table(part.head, part.rows if isinstance(part, Table) else part.table())
    if not text:
        return ""
    if isinstance(part, Table) and part.folded:
        return render.details(title, text)
    return "\n\n".join(filter(None, (f"**{title}**", text, note)))


#: Values with a bar or a line of their own; further values are added up.
MOST_VALUES = 25

#: Titles of the axes of affect.
VALENCE, AROUSAL = "valence (0 to 1)", "arousal (0 to 1)"

#: Tags whose affect has a map of its own.
MOST_MAPS = 9

#: The measures of utterances: name, unit and decimals.
MEASURED_NAMES = {
    "seconds": ("length", "s", 2),
    "valence": ("valence", "0 to 1", 3),
    "arousal": ("arousal", "0 to 1", 3),
    "dominance": ("dominance", "0 to 1", 3),
    "rms": ("loudness (RMS)", "full scale", 4),
    "zcr": ("zero crossings", "a sample", 3),
    "f0_mean": ("pitch", "Hz", 1),
    "f0_std": ("pitch variation", "Hz", 1),
    "speech_rate": ("rate", "words/s", 2),
    "voiced_fraction": ("voiced share", "0 to 1", 3),
}


def ranked(sums: Mapping[str, Sum]) -> list[tuple[str, Sum]]:
    """Sort the values of a label, the longest first, and add up those after `MOST_VALUES` if there are several."""
    values = sorted(sums.items(), key=lambda item: (-item[1].seconds, item[0]))
    rest = values[MOST_VALUES:]
    if len(rest) < 2:
        return values
    return [*values[:MOST_VALUES], (f"{len(rest):,} others", total(part for _, part in rest))]


def fitted_axis(title: str, values: Iterable[float]) -> Axis:
    """Return an axis within [0, 1], in tenths, over all values and at least 0.4 long.

    >>> fitted_axis("valence", [0.42, 0.55])
    Axis(title='valence', low=0.3, high=0.7, step=0.1)
    """
    known = list(values) or [0.0, 1.0]
    low, high = math.floor(10 * min(known) + 1e-9), math.ceil(10 * max(known) - 1e-9)
    while high - low < 4:
        low, high = max(0, low - 1), min(10, high + 1)
    return Axis(title, low / 10, high / 10, 0.1 if high - low <= 5 else 0.2)


def affect_axes(grids: Iterable[CountGrid]) -> tuple[Axis, Axis]:
    points = [point for grid in grids for point in grid.points()]
    half = AFFECT_CELL / 2
    valence, arousal = ([point[place] + side for point in points for side in (-half, half)] for place in (0, 1))
    return fitted_axis(VALENCE, valence), fitted_axis(AROUSAL, arousal)


def affect_map(
    title: str, grid: CountGrid, unit: str, name: str = "", style: str = "after", axes: Sequence[Axis] = ()
) -> MapPlot:
    x_axis, y_axis = axes or affect_axes([grid])
    return MapPlot(
        title=f"{title} ({counted(grid.n, unit)})",
        points=list(grid.points()),
        x_axis=x_axis,
        y_axis=y_axis,
        unit=unit,
        nothing="no measures of affect",
        name=name,
        style=style,
    )


def affect_maps(title: str, affect: Mapping[str, CountGrid], unit: str, name: str = "") -> MultiplesPlot:
    """Draw a small map of valence and arousal for each label, the commonest first, before all others in grey."""
    grids = sorted(affect.items(), key=lambda item: (-item[1].n, item[0]))
    hidden = [label for label, _ in grids[MOST_MAPS:]]
    x_axis, y_axis = affect_axes(affect.values())
    return MultiplesPlot(
        title=f"{title} ({counted(sum(grid.n for _, grid in grids), unit)})",
        panels=[(label, list(grid.points())) for label, grid in grids[:MOST_MAPS] if grid.n],
        x_axis=x_axis,
        y_axis=y_axis,
        unit=unit,
        note=f"Grey: all of them. Not drawn: {', '.join(hidden)}." if hidden else "Grey: all of them.",
        nothing="no measures of affect",
        name=name,
    )


def measures_table(tally: Tally) -> Table:
    rows: list[tuple[render.TableCell, ...]] = []
    for name, (title, unit, digits) in MEASURED_NAMES.items():
        moments = tally.measures[name]
        if moments.n:
            values = (moments.mean, moments.deviation, moments.low, moments.high)
            rows.append((title, unit, *(f"{value:.{digits}f}" for value in values), moments.n))
    head = ("measure", "unit", "mean", "deviation", "least", "most", "utterances")
    note = "All except the length describe the source performance."
    return Table("Measures of utterances", head, rows, note, "nothing was measured")


def rejected_table(tally: Tally) -> Table:
    rows = [(*kind, n) for kind, n in sorted(tally.rejects.items(), key=lambda item: (-item[1], item[0]))]
    nothing = "nothing was rejected" if tally.knows_rejects else "what was rejected is not in a published version"
    return Table("Rejected, by kind", ("stage", "reason", "number"), rows, nothing=nothing)


def _rejected_count(tally: Tally) -> str:
    n = tally.rejects.total()
    return f"{n:,}" if n or tally.knows_rejects else "–"


def rejected_section(tally: Tally, examples: Sequence[Mapping[str, str]]) -> Section:
    head = ("id", "stage", "reason", "remedy")
    rows = [[example[name] for name in head] for example in examples]
    first = Table("The first of them, and what to do", head, rows, folded=True)
    return Section("rejected", "Rejected", [rejected_table(tally), *([first] if rows else [])])


#: The columns and colours of turn-taking.
RECORDED, REBUILT = Series("before", "recorded"), Series("after", "rebuilt")

#: The range of drawn offsets at most, in seconds, and the width of a bin; listeners notice 200 ms.
OFFSETS, OFFSET_WIDTH = (-2.0, 3.0), 0.1

_STATUSES = {
    "spoken": "resynthesised",
    "kept": "kept as recorded",
    "kept-original": "kept, though it was to be resynthesised",
    "dropped": "left out (no text)",
}

#: Reasons with a line of their own, and voices that are named among the settings.
MOST_REASONS, MOST_VOICES = 15, 10

#: The names of the roles of models.
ROLES = {
    "speech_activity": "speech activity",
    "recogniser": "words",
    "affect": "affect",
    "emotion": "emotion",
    "synthesiser": "new voice",
    "verifier": "check of the new voice",
}
