"""Two datasets side by side, for `report --against`.

A tables is judged beside another that people know, such as DailyTalk by its own labels or DailyTalkContiguous by
the ratings of models. Shares are of clips or utterances, never of hours: each of them has a label once.
"""

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from dailytalk_contiguous.core import figures
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.scorecard import measure_text
from dailytalk_contiguous.core.tables import UNKNOWN, Tables
from dailytalk_contiguous.core.turns import TURN_MEASURES
from dailytalk_contiguous.core.wording import length_text, percent
from dailytalk_contiguous.publish.conversation_sections import MEASURED_NAMES, MOST_VALUES, affect_map
from dailytalk_contiguous.publish.corpus_sections import label_title
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.publish.plots import Plot
from dailytalk_contiguous.publish.templates import Bar, Table, TableCell

#: Labels that are compared. `act` is the dialogue act of a turn (DailyTalk).
LABELS = ("emotion", "style", "tag", "act", "sentence_type", "length")

#: Measures that are compared.
COMPARED = ("seconds", "valence", "arousal", "dominance", "f0_mean", "f0_std", "speech_rate")


class Compared(NamedTuple):
    """One side of a comparison: its name, its unit (a plural noun), and its tables."""

    name: str
    unit: str
    tables: Tables

    @property
    def n(self) -> int:
        return int(figures.heard(self.tables)["utterances"])

    def shares(self, label: str) -> dict[str, float]:
        """Return the shares in [0, 1] of the values of a label; all are unknown where it is not counted."""
        if label not in self.tables.utterances and not self.tables.conversations["clip"].any():
            return {UNKNOWN: 1.0}
        numbers = figures.sums(self.tables, label)["utterances"]
        return {str(value): n / self.n for value, n in numbers.items() if n} or {UNKNOWN: 1.0}


def compare_folders(folder: Path, other: Path) -> tuple[Compared, Compared]:
    """Read both sides to their ends: folders of `dailytalk corpus`, `mix`, `tag`, `speak` or `build`.

    Raises DailytalkError if one has nothing to compare or holds a damaged file, or both are one folder.
    """
    if folder.resolve() == other.resolve():
        raise DailytalkError(f"{as_text(folder)!r} can't be compared with itself", "name another with --against")
    # Their names are the shortest ends of their paths that differ.
    parts, other_parts = (path.resolve().parts for path in (folder, other))
    n = next(n for n in count(1) if parts[-n:] != other_parts[-n:])
    return _compared(folder, parts[-n:]), _compared(other, other_parts[-n:])


def _compared(folder: Path, name: Sequence[str]) -> Compared:
    """All conversations or clips of a folder; copies are no recordings and don't count."""
    items = open_items(folder)
    unit = "files" if items.kind == "mix" else "clips" if items.labelled else "utterances"
    side = Compared(as_text(Path(*name)), unit, items.tables())
    if not side.n:
        raise DailytalkError(
            f"{as_text(folder)!r} has no finished {side.unit} to compare",
            "name a folder that `dailytalk corpus`, `mix`, `tag`, `speak` or `build` has finished",
        )
    return side


def comparison(ours: Compared, theirs: Compared) -> list[Table | Plot]:
    """Return the figures of both sides, their turn-taking, their maps of affect, and the shares of labels."""
    sides = (ours, theirs)
    rows: list[tuple[TableCell, ...]] = [
        ("number", *(f"{side.n:,} {side.unit}" for side in sides)),
        ("speech", *(length_text(figures.heard(side.tables)["seconds"]) for side in sides)),
    ]
    moments = [figures.moments(side.tables) for side in sides]
    for name in COMPARED:
        title, unit, digits = MEASURED_NAMES[name]
        cells = []
        for side, of_side in zip(sides, moments, strict=True):
            of = of_side.loc[name]
            known = "" if of["count"] == side.n else f" ({percent(of['count'], side.n)} known)"
            spread = f"{of['mean']:.{min(2, digits)}f} ± {of['std']:.{min(2, digits)}f}{known}"
            cells.append(spread if of["count"] else "–")
        rows.append((f"{title} ({unit})", *cells))
    note = "Mean ± standard deviation of what is measured."
    turns = turn_taking_against(ours, theirs)
    return [
        Table("Figures", ("", ours.name, theirs.name), rows, note),
        *([turns] if turns else []),
        *(affect_map(side.tables, f"Affect of {side.name}", side.unit.removesuffix("s")) for side in sides),
        *(table for label in LABELS if (table := label_shares(ours, theirs, label))),
    ]


def turn_taking_against(ours: Compared, theirs: Compared) -> Table:
    """Return the measures of turn-taking of both sides; empty if in one of them the speaker never changes."""
    taken = [side.tables.turn_taking for side in (ours, theirs)]
    changes = [len(of.offsets()) for of in taken]
    rows: list[tuple[TableCell, ...]] = [
        ("conversations", ours.tables.n, theirs.tables.n),
        ("length", *(length_text(of.seconds) for of in taken)),
        ("changes of speaker", *changes),
        *(
            (measure.title, *(measure_text(name, of.pooled(name, "both")) for of in taken))
            for name, measure in TURN_MEASURES.items()
            if "both" in measure.sides
        ),
    ]
    note = "Of both speakers together; what each measure is, says the section on what the conversations teach."
    return Table("Turn-taking", ("", ours.name, theirs.name), rows if all(changes) else [], note)


def label_shares(ours: Compared, theirs: Compared, label: str) -> Table:
    """Return the shares of the values of a label, the commonest first, unknown last; empty if all are unknown."""
    shares = pd.DataFrame({0: ours.shares(label), 1: theirs.shares(label)}).fillna(0.0)
    known = shares.drop(index=UNKNOWN, errors="ignore").sort_index()
    known = known.loc[known.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    if len(rest := known[MOST_VALUES:]) > 1:
        known = pd.concat([known[:MOST_VALUES], rest.sum().to_frame(f"{len(rest):,} others").T])
    rows: list[tuple[TableCell, ...]] = []
    for value, pair in pd.concat([known, shares.loc[shares.index == UNKNOWN]]).iterrows():
        rows.append((str(value), *(Bar(percent(share, 1), share) for share in pair)))
    head = (label.replace("_", " "), *(f"{side.name}: {side.n:,} {side.unit}" for side in (ours, theirs)))
    return Table(label_title(label), head, rows if len(known) else [])
