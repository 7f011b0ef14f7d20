"""The balance of a corpus: how often each clip is seen, so that every cell gets its hours from all its speakers.

A cell is an emotion, or a combination of emotion, style, type and length of the sentence. The hours of a cell are
shared out among its speakers as evenly as what each has allows. A clip is never left out while another of its cell
is seen again: a recording is worth more than a repetition. Clips without a cell are seen once: there is no target
for them. The order of clips changes nothing.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dailytalk_contiguous.core.style.sampling import order_key

SecondsArray = NDArray[np.float64]


class Weighted(NamedTuple):
    """A clip to list: its id, its seconds, its weight (how often it should be seen), its group and its speaker.

    Groups, such as emotions, are rounded separately, so that none gains what another loses.
    """

    id: str
    seconds: float
    weight: float = 1.0
    group: str = ""
    speaker: str = ""


def times(clips: Iterable[Weighted], seed: int = 0) -> dict[str, int]:
    """Round weights to whole numbers, so that the seconds of each group are right to half a clip at worst.

    A clip is listed as often as its weight says without the fraction, and once more where half of it is missing
    so far. Speakers come one after another, so that the seconds of each are right, too; the seed decides which of
    a speaker's clips are listed once more.
    """
    counts: dict[str, int] = {}

    def position(clip: Weighted) -> tuple[str, str, str]:
        return clip.group, clip.speaker, order_key(clip.id, seed)

    ordered = sorted(clips, key=position)
    for _, members in itertools.groupby(ordered, key=lambda clip: clip.group):
        missing = 0.0
        for clip in members:
            count = math.floor(clip.weight + 1e-9)
            fraction = clip.weight - count
            missing += fraction * clip.seconds
            if fraction > 1e-9 and missing >= clip.seconds / 2:  # a hair of rounding is no clip that is missing
                count += 1
                missing -= clip.seconds
            counts[clip.id] = count
    return counts


#: The labels by which a corpus can be balanced, and their columns.
CELL_COLUMNS = {"emotion": "emotion", "style": "style", "type": "sentence_type", "length": "length"}

#: The labels that name a cell unless others are chosen.
BY_EMOTION = ("emotion",)

#: Hours that every emotion should have at least (30 minutes).
LEAST_HOURS = 0.5

#: How many times the minutes of the smallest cell the largest may have, of cells that are balanced.
BALANCED = 1.05


def cell_of(labels: Mapping[str, object], by: Sequence[str] = BY_EMOTION) -> str | None:
    """Return the cell of a clip by labels of `CELL_COLUMNS`; None if one is not known, or its emotion is `other`.

    >>> cell_of({"emotion": "happy", "length": "short"}, ["emotion", "length"])
    'happy, short'
    """
    values: list[str] = []
    for name in by:
        value = labels[CELL_COLUMNS[name]]
        if not isinstance(value, str):
            return None
        if name == "emotion" and value == "other":
            return None
        values.append(value)
    return ", ".join(values)


def noun_of(by: Sequence[str]) -> str:
    """Return the noun for cells by these labels: `emotion`, or `combination` for several labels."""
    return by[0] if len(by) == 1 else "combination"


def least_hours(cells: Iterable[str]) -> float:
    """Return the least hours of a cell: those of an emotion (or the cells' first label) shared among its cells."""
    names = {*cells}
    if not names:
        return LEAST_HOURS
    first_labels = {name.partition(", ")[0] for name in names}
    return LEAST_HOURS * len(first_labels) / len(names)


class Balance(NamedTuple):
    """A plan that balances cells.

    Attributes:
        times: how often each id is to be seen; 0 leaves it out.
        target: seconds that every cell should have.
        before: seconds of each cell as recorded.
        after: seconds of each cell as seen.
        shortfalls: seconds of recordings, each seen once, that a cell lacks to reach the target.
        limited_by: cell that can't have more however often its clips are seen, if that set the target.
    """

    times: dict[str, int]
    target: float
    before: dict[str, float]
    after: dict[str, float]
    shortfalls: dict[str, float]
    limited_by: str = ""

    def failure(self, noun: str = "emotion") -> str:
        """Say why the cells are not balanced and what would be, without a full stop; empty if they are.

        `noun` is the noun for a cell.
        """
        before = disparity(self.before.values())
        after = disparity(self.after.values())
        if not self.shortfalls or after <= BALANCED:
            return ""
        smallest = min(seconds for seconds in self.after.values() if seconds > 0)
        minutes = math.floor(smallest / 0.6) / 100
        equal = f"; --target-minutes {minutes:g} makes them equal" if minutes else ""
        return f"not balanced: largest to smallest {noun} {before:.1f} → {after:.1f}{equal}"


def disparity(seconds: Iterable[float]) -> float:
    """Return the ratio of the largest to the smallest cell that has any seconds; 1.0 if none has."""
    positive = [value for value in seconds if value > 0]
    if not positive:
        return 1.0
    return max(positive) / min(positive)


def quotas(least: SecondsArray, most: SecondsArray, total: float) -> SecondsArray:
    """Share a total equally, so that none gets less than its least or more than its most.

    A total below the sum of the least gives the least, one above the sum of the most gives the most.

    >>> quotas(np.array([0.0, 0.0, 0.0]), np.array([1.0, 9.0, 9.0]), 11.0).round(6).tolist()
    [1.0, 5.0, 5.0]
    """
    low = 0.0
    high = float(most.max(initial=0.0))
    for _ in range(100):
        level = (low + high) / 2
        if np.clip(level, least, most).sum() < total:
            low = level
        else:
            high = level
    return np.asarray(np.clip(high, least, most), np.float64)


def plan_balance(
    clips: pd.DataFrame, target_hours: float | None = None, seed: int = 0, cells: Iterable[str] = ()
) -> Balance:
    """Bring every cell to a target, to half a clip.

    If some clips may be seen more often than others, that may leave cells further apart than they were. Then each
    clip is seen once.

    Args:
        clips: the training split, sources only, in any order: `id`, `cell` (of `cell_of`), `speaker`, `seconds`,
            and `most`, how often the clip may be seen.
        target_hours: hours for each cell. None means those of the smallest cell that has its `least_hours` or
            more, or these if none has; but no more than every recorded cell reaches with each clip as often as it
            may be seen.
        seed: seed of the choice between clips that are alike.
        cells: names of cells that should exist even if no clip has them.
    """
    clips = clips.sort_values("id").fillna({"speaker": ""})
    celled = clips[clips["cell"].notna()]
    before = celled.groupby("cell")["seconds"].sum()
    before = before.reindex(sorted({*cells, *celled["cell"]}), fill_value=0.0)
    hours = least_hours(before.index) if target_hours is None else target_hours
    target = 3600 * hours
    if target_hours is None and (before >= target).any():
        target = float(before[before >= target].min())
    limited_by = ""
    reach = (celled["seconds"] * celled["most"]).groupby(celled["cell"]).sum()
    if target_hours is None and (reach < target).any():
        limited_by = str(reach.idxmin())
        target = float(reach.min())
    once_each = dict.fromkeys(clips["id"], 1)
    plan = Balance(once_each, target, before.to_dict(), {}, {}, limited_by)
    for cell, recorded in plan.before.items():
        members = celled[celled["cell"] == cell]
        seconds = members["seconds"]
        speakers = members["speaker"]
        is_reached = recorded >= target
        fewest = 0 if is_reached else 1
        most = 1 if is_reached else members["most"]
        low = (seconds * fewest).groupby(speakers).sum()
        high = (seconds * most).groupby(speakers).sum()
        quota = quotas(low.to_numpy(), high.to_numpy(), target)
        share = ((quota - low) / (high - low)).fillna(0.0)  # of what can be added, for each speaker
        weights = fewest + (most - fewest) * speakers.map(share).astype(float)
        table = zip(members["id"], seconds, weights, itertools.repeat(cell), speakers, strict=False)
        weighted = itertools.starmap(Weighted, table)
        plan.times.update(times(weighted, seed))
        counts = members["id"].map(plan.times).astype(float)
        plan.after[cell] = math.fsum(seconds * counts)
        if high.sum() < target * (1 - 1e-6):
            plan.shortfalls[cell] = target - recorded
    is_worse = disparity(plan.after.values()) > disparity(plan.before.values())
    if is_worse and celled["most"].nunique() > 1:
        return plan._replace(times=dict.fromkeys(clips["id"], 1), after=plan.before)
    return plan
