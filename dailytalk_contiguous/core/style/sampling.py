"""Sampling of clips: balance of emotions or finer cells, shares of a mix, and splits.

Every choice is by a hash of an id, or by a generator, and a seed: neither the order of rows nor how work is cut
changes it. Clips are tables (`pandas.DataFrame`) with a line each.
"""

import hashlib
import itertools
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dailytalk_contiguous.core.errors import DailytalkError

SecondsArray = NDArray[np.float64]


def order_key(name: str, seed: int) -> str:
    """Return the position of a name in a random order that depends on it and the seed alone."""
    return hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogateescape")).hexdigest()


def joined_groups(keys: Sequence[Sequence[Hashable]]) -> NDArray[np.intp]:
    """Return the number of each item's group; items that share a key at one position are in one, over any steps.

    >>> joined_groups([("a", 1), ("b", 2), ("a", 3), ("c", 3)]).tolist()
    [0, 1, 0, 0]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    numbers: dict[tuple[int, Hashable], int] = {}
    items: list[int] = []
    nodes: list[int] = []
    for item, item_keys in enumerate(keys):
        for column, key in enumerate(item_keys):
            number = numbers.setdefault((column, key), len(numbers))
            items.append(item)
            nodes.append(len(keys) + number)
    size = len(keys) + len(numbers)
    ends = (np.array(items, np.intp), np.array(nodes, np.intp))
    graph = coo_array((np.ones(len(items)), ends), shape=(size, size))
    _, groups = connected_components(graph, directed=False)
    return np.asarray(groups[: len(keys)], np.intp)


# How often each clip is listed.


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


# Balancing a corpus: how often each clip is seen, so that every cell gets its hours from all of its speakers. A
# cell is an emotion, or a combination of emotion, style, type and length of the sentence.
#
# The hours of a cell are shared out among its speakers as evenly as what each has allows. A clip is never left out
# while another of its cell is seen again: a recording is worth more than a repetition. Clips without a cell are
# seen once: there is no target for them.

#: The labels by which a corpus can be balanced, and their columns.
CELL_COLUMNS = {"emotion": "emotion", "style": "style", "type": "sentence_type", "length": "length"}

#: The labels that name a cell unless others are chosen.
BY_EMOTION = ("emotion",)

#: Hours that every emotion should have at least (30 minutes).
LEAST_HOURS = 0.5

#: How often at most a clip is listed.
MOST_WEIGHT = 4.0

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


# Splitting a corpus into training and validation: no speaker (or sentence) on both sides, emotions alike on both.
#
# Whole groups change sides. Of many random divisions the one is taken whose validation has 10 to 20 % of the
# seconds and the emotions of the whole; few speakers, or speakers who act different emotions, may leave none, and
# then sentences are kept apart instead, or only clips, and the division says so.


#: The ways to split that a user may choose.
WAYS = ("speakers", "sentences", "official")

#: The least share of the seconds that validates.
LEAST_SHARE = 0.10

#: The largest share of the seconds that validates.
MOST_SHARE = 0.20

#: A corpus's own test set, which has no side: who chose a model by it could not test the model on it any more.
HELD_OUT = "test"


class CorpusSplit(NamedTuple):
    """A division of clips.

    Attributes:
        side: `train` or `validation` for every id.
        divided_by: one of `DISJOINT`, which the two sides don't share, or `official`. Clips whose speaker
            (sentence) is not known always train.
        share: share of the seconds that validate.
        note: reason why it is not the requested division, or None.
    """

    side: dict[str, str]
    divided_by: str
    share: float
    note: str | None = None


#: What the two splits don't share, the strictest first.
DISJOINT = ("speakers", "sentences", "clips")

#: The columns of `DISJOINT`.
_COLUMNS = {"speakers": "speaker", "sentences": "sentence", "clips": "id"}

#: Largest share of the validation's seconds that may have another emotion than in a sample of the whole (total
#: variation distance): an emotion that is a fifth of the whole stays between a tenth and three tenths.
MOST_DIFFERENT = 0.1

#: Official splits that have a side.
_OFFICIAL = ("train", "validation")


def split_corpus(clips: pd.DataFrame, by: str = "speakers", seed: int = 0) -> CorpusSplit:
    """Divide clips into `train` and `validation`, independently of their order.

    Args:
        clips: recorded clips, as a copy belongs where its source is: `id`, `seconds`, `speaker`, `sentence`,
            `emotion` and `official_split`, null where the corpus does not state them.
        by: one of `WAYS`. An impossible one gives way to the next of `DISJOINT`; `official` never does, and may
            have any share.
        seed: seed of the choice between divisions that are equally good.

    Raises DailytalkError if `official` is requested and a clip has no official split, or a test set's.
    """
    clips = clips.sort_values("id", ignore_index=True).fillna({"emotion": ""})
    validates = clips["official_split"] == "validation"
    reasons = list[str]()
    way = by
    if by == "official":
        others = clips[~clips["official_split"].isin(_OFFICIAL)]
        if len(others):
            reason = f"the official split of the clip {others['id'].iloc[0]} is neither train nor validation"
            raise DailytalkError(reason, "leave it out, or split by speakers or sentences instead")
    ways = () if by == "official" else DISJOINT[DISJOINT.index(by) :]
    for way in ways:
        groups = clips[_COLUMNS[way]]
        division = _best_division(clips.assign(group=groups), seed)
        validates = groups.isin(division.groups)
        if LEAST_SHARE <= division.share <= MOST_SHARE and division.difference <= MOST_DIFFERENT:
            break
        if division.groups:
            shares = f"{division.share:.0%} would validate, of which {division.difference:.0%} differ in emotion"
            why = f"{shares} (limits: 10 to 20 %, 10 %)"
        elif groups.notna().any():
            why = "there is but one"
        else:
            why = "there is no known one"
        reasons.append(f"by {way} {why}")
    note = None
    if reasons:
        instead = "" if way == by else f" instead of {by}"
        note = f"split by {way}{instead}: {'; '.join(reasons)}"
    sides = np.where(validates, "validation", "train").tolist()
    side = dict(zip(clips["id"], sides, strict=True))
    share = clips["seconds"][validates].sum() / clips["seconds"].sum()
    return CorpusSplit(side, way, float(share), note)


class _Division(NamedTuple):
    """The groups that validate, their share of all seconds, and how their emotions differ from the whole."""

    groups: list[str]
    share: float
    difference: float


#: Random orders of the groups that are tried where groups are few.
_MOST_ORDERS = 1000

#: Random orders of the groups that are tried where groups are many.
_LEAST_ORDERS = 20

#: Groups in all orders together, between these limits.
_GROUPS_IN_ALL = 200_000


def _best_division(clips: pd.DataFrame, seed: int) -> _Division:
    """Return the best of many random divisions of clips by their column `group`."""
    whole = clips.groupby("emotion")["seconds"].sum()
    table = clips.pivot_table("seconds", "group", "emotion", "sum")
    table = table.reindex(columns=whole.index).fillna(0.0)
    total = float(whole.sum())
    mix = (whole / total).to_numpy()
    generator = np.random.default_rng(seed)
    best = _Division(groups=[], share=0.0, difference=1.0)
    least_cost = math.inf
    orders = _GROUPS_IN_ALL // max(len(table), 1)
    for _ in range(int(np.clip(orders, _LEAST_ORDERS, _MOST_ORDERS))):
        order = generator.permutation(len(table))[:-1]  # one group trains
        if not len(order):
            break
        chosen = table.to_numpy()[order].cumsum(axis=0)
        seconds = chosen.sum(axis=1)
        share = seconds / total
        chosen_mix = chosen / seconds[:, None]
        difference = np.abs(chosen_mix - mix).sum(axis=1) / 2
        # Shares count first; with the same emotions the middle of the range is better than its border.
        distance = np.abs(share - (LEAST_SHARE + MOST_SHARE) / 2)
        excess = np.maximum(distance - (MOST_SHARE - LEAST_SHARE) / 2, 0.0)
        costs = 100 * excess + difference + 0.01 * distance
        if costs.min() < least_cost:
            number = int(costs.argmin())
            least_cost = float(costs[number])
            groups = table.index[order[: number + 1]].tolist()
            best = _Division(groups, float(share[number]), float(difference[number]))
    return best
