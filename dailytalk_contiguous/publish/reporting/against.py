"""Two sides of a comparison: how many hours, which labels and which measures each has, as HTML and as Markdown.

A corpus is judged beside another that people know, such as DailyTalk by its own labels or DailyTalkContiguous by
what the models rate. Shares are of clips or utterances, never of hours: a label is given to each of them once.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from dailytalk_contiguous.core.documents import as_text, is_number
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import AFFECT
from dailytalk_contiguous.publish.cards.words import escaped, span
from dailytalk_contiguous.publish.cards.words import table as markdown_table
from dailytalk_contiguous.publish.reporting import html
from dailytalk_contiguous.publish.reporting.against_rows import LABELS, Said, source_of
from dailytalk_contiguous.publish.reporting.expressive_parts import affect_map
from dailytalk_contiguous.publish.reporting.expressive_tally import UNKNOWN
from dailytalk_contiguous.publish.reporting.plots import Bar, bars
from dailytalk_contiguous.publish.reporting.tally import AFFECT_CELL, cell

#: Values of a label that have a bar of their own, or a line of the table.
MAX_VALUES = 16

#: Labels with few values, whose cards stand below each other beside the high ones.
_FEW = ("style", "act", "sentence_type", "length")

#: The measures by their names in tables, each with its decimals.
_MEASURES = {
    "seconds": ("length (s)", 1),
    **{name: (name, 2) for name in AFFECT},
    "f0_mean": ("pitch (Hz)", 0),
    "f0_std": ("pitch variation (Hz)", 0),
    "speech_rate": ("rate (words/s)", 1),
}


@dataclass
class Spread:
    """Mean and standard deviation of numbers that are seen once (Welford 1962, Technometrics 4:419)."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """Count a finite number."""
        self.n += 1
        distance = value - self.mean
        self.mean += distance / self.n
        self.squares += distance * (value - self.mean)

    @property
    def deviation(self) -> float:
        """The standard deviation of just these numbers; 0 without any."""
        return math.sqrt(self.squares / self.n) if self.n else 0.0


@dataclass
class Side:
    """One side: its name and unit, how many it has and their seconds, labels, measures, and cells of affect."""

    name: str
    unit: str
    n: int = 0
    seconds: float = 0.0
    labels: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in LABELS})
    measures: dict[str, Spread] = field(default_factory=lambda: {name: Spread() for name in _MEASURES})
    affect: Counter[tuple[int, int]] = field(default_factory=Counter)

    def add(self, one: Said) -> None:
        """Count a clip, file or utterance."""
        self.n += 1
        self.seconds += one.seconds
        for name, found in self.labels.items():
            found[one.labels[name] or UNKNOWN] += 1
        for name, value in {"seconds": one.seconds, **one.measures}.items():
            if is_number(value):
                self.measures[name].add(value)
        valence, arousal = one.measures["valence"], one.measures["arousal"]
        if is_number(valence) and is_number(arousal):
            self.affect[cell(valence, AFFECT_CELL, 1.0), cell(arousal, AFFECT_CELL, 1.0)] += 1

    def share(self, label: str, value: str) -> float:
        """The share in [0, 1] of those that have a value of a label."""
        return self.labels[label][value] / self.n


#: What a page is about, and what it is compared with.
Sides = tuple[Side, Side]


def compare(folder: Path, other: Path) -> Sides:
    """Both sides, read to their ends. Raises DailytalkError if one has nothing to compare, or both are one."""
    if folder.resolve() == other.resolve():
        raise DailytalkError(f"{as_text(folder)!r} can't be compared with itself", "name another with --against")
    names = _names(folder, other)
    return _read(folder, names[0]), _read(other, names[1])


def cards(ours: Side, theirs: Side) -> html.Html:
    """The cards of the section: figures, labels, affect."""
    lines = [
        ("number", *(f"{html.counted(side.n)} {side.unit}" for side in (ours, theirs))),
        ("speech", html.hours(ours.seconds), html.hours(theirs.seconds)),
        *_figures(ours, theirs),
    ]
    note = html.soft("Mean ± standard deviation of what is measured; affect from 0 to 1.")
    figures = html.table(("", ours.name, theirs.name), lines, ()) + note
    maps = _affect_card(ours) + _affect_card(theirs)
    drawn = {label: _label_card(ours, theirs, label) for label in _told(ours, theirs)}
    low = [drawn.pop(label) for label in _FEW if label in drawn]
    high = html.card("Figures", figures, "", "sides") + maps + html.joined(drawn.values())
    return high + html.stack(*low)


def markdown(ours: Side, theirs: Side) -> str:
    """The same figures as one table of Markdown."""
    lines = [
        ("number", *(f"{side.n:,} {side.unit}" for side in (ours, theirs))),
        ("speech", span(ours.seconds), span(theirs.seconds)),
        *_figures(ours, theirs),
    ]
    for label in _told(ours, theirs):
        for value, *found in values(ours, theirs, label):
            lines.append((f"{LABELS[label].lower()}: {escaped(value)}", *map(_percent, found)))
    head = ("mean ± standard deviation (affect: 0 to 1), or share", escaped(ours.name), escaped(theirs.name))
    return markdown_table(head, lines)


def _read(folder: Path, name: str) -> Side:
    found = source_of(folder)
    side = Side(name, found.unit)
    for one in found.said:
        side.add(one)
    if not side.n:
        raise DailytalkError(
            f"{as_text(folder)!r} has no finished {found.unit} to compare", "let the command that makes it finish"
        )
    return side


def _names(folder: Path, other: Path) -> tuple[str, str]:
    """The shortest ends of two different paths that tell them apart."""
    ours, theirs = (path.resolve().parts for path in (folder, other))
    n = next(n for n in count(1) if ours[-n:] != theirs[-n:])
    return as_text(Path(*ours[-n:])), as_text(Path(*theirs[-n:]))


def _told(ours: Side, theirs: Side) -> list[str]:
    """Labels of which one side at least tells something."""
    return [label for label in LABELS if {*ours.labels[label], *theirs.labels[label]} - {UNKNOWN}]


def values(ours: Side, theirs: Side, label: str) -> list[tuple[str, float, float]]:
    """The values of a label with their shares, the commonest first; what is rare as one, what nobody told last."""
    known = {*ours.labels[label], *theirs.labels[label]}
    shares = {value: (ours.share(label, value), theirs.share(label, value)) for value in known}
    unknown = shares.pop(UNKNOWN, None)
    ranked = sorted(shares.items(), key=lambda item: (-sum(item[1]), item[0]))
    found = [(value, *both) for value, both in ranked[:MAX_VALUES]]
    if rest := [both for _, both in ranked[MAX_VALUES:]]:
        found.append((f"{len(rest)} others", sum(one for one, _ in rest), sum(one for _, one in rest)))
    return found + ([(UNKNOWN, *unknown)] if unknown else [])


def _figures(ours: Side, theirs: Side) -> list[tuple[str, ...]]:
    return [
        (title, *(_figure(side, name, digits) for side in (ours, theirs)))
        for name, (title, digits) in _MEASURES.items()
    ]


def _figure(side: Side, name: str, digits: int) -> str:
    found = side.measures[name]
    known = "" if found.n == side.n else f" ({_percent(found.n / side.n)} known)"
    return f"{found.mean:.{digits}f} ± {found.deviation:.{digits}f}{known}" if found.n else "–"


def _percent(share: float) -> str:
    """A share in whole per cent; one that is there and rare is not shown as none."""
    return "< 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def _label_card(ours: Side, theirs: Side, label: str) -> html.Html:
    rows = [
        Bar(value, (one, two), f"{_percent(one)} · {_percent(two)}")
        for value, one, two in values(ours, theirs, label)
    ]
    colours = html.key(("after", ours.name), ("before", theirs.name))
    units = " and of ".join(dict.fromkeys((ours.unit, theirs.unit)))
    plot = bars(f"{LABELS[label]}, in shares of {units}", rows, ("after", "before"), grouped=True)
    return html.card(LABELS[label], colours + plot, "")


def _affect_card(side: Side) -> html.Html:
    title = f"Affect of {side.name} ({html.counted(side.affect.total())} {side.unit})"
    plot = affect_map(title, side.affect, side.unit) if side.affect else ""
    return html.card(title, plot, "no measures of affect")
