"""Two datasets side by side, for `report --against`.

A dataset is judged beside another that people know, such as DailyTalk by its own labels or DailyTalkContiguous by
the ratings of models.
"""

from itertools import count
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from dailytalk_contiguous.core import figures
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.tables import UNKNOWN, Tables
from dailytalk_contiguous.publish.opening import open_items


class Compared(NamedTuple):
    """One side of a comparison: its name, its unit (a plural noun), and its tables."""

    name: str
    unit: str
    tables: Tables

    @property
    def n(self) -> int:
        return int(figures.heard(self.tables)["utterances"])

    def shares(self, other: "Compared", label: str) -> pd.DataFrame:
        """The shares in [0, 1] of the values of a label here (`ours`) and there (`theirs`).

        The commonest is first, `UNKNOWN` last; empty if all are unknown. Copies are no recordings and don't count.
        """
        numbers = {}
        for name, side in (("ours", self), ("theirs", other)):
            is_counted = label in side.tables.utterances or side.tables.conversations["clip"].any()
            counted = (
                figures.sums(side.tables, label)["utterances"] if is_counted else pd.Series({UNKNOWN: side.n})
            )
            numbers[name] = counted.set_axis(counted.index.astype(str)) / side.n
        shares = pd.DataFrame(numbers).fillna(0.0)
        shares = shares[shares.sum(axis=1) > 0].sort_index()
        known = shares.drop(index=UNKNOWN, errors="ignore")
        known = known.loc[known.sum(axis=1).sort_values(ascending=False, kind="stable").index]
        unknown = shares.loc[shares.index == UNKNOWN]
        return pd.concat([figures.with_others(known, figures.MOST_VALUES), unknown]) if len(known) else known


def compare_folders(folder: Path, other: Path) -> tuple[Compared, Compared]:
    """Read both sides to their ends: folders of `dailytalk corpus`, `mix`, `tag`, `speak` or `build`.

    Raises DailytalkError if one has nothing to compare or holds a damaged file, or both are one folder.
    """
    if folder.resolve() == other.resolve():
        raise DailytalkError(f"{as_text(folder)!r} can't be compared with itself", "name another with --against")
    # Their names are the shortest ends of their paths that differ.
    parts, other_parts = (path.resolve().parts for path in (folder, other))
    n = next(n for n in count(1) if parts[-n:] != other_parts[-n:])
    return _compared(folder, Path(*parts[-n:])), _compared(other, Path(*other_parts[-n:]))


def _compared(folder: Path, name: Path) -> Compared:
    items = open_items(folder)
    unit = "files" if items.kind == "mix" else "clips" if items.labelled else "utterances"
    side = Compared(as_text(name), unit, items.tables())
    if not side.n:
        raise DailytalkError(
            f"{as_text(folder)!r} has no finished {side.unit} to compare",
            "name a folder that `dailytalk corpus`, `mix`, `tag`, `speak` or `build` has finished",
        )
    return side
