"""Which clips are seen how often, and on which side: balance of emotions or finer cells, shares of a mix, splits.

Every choice is by a hash of an id, or by a generator, and a seed: neither the order of rows nor how work is cut
changes it. Clips are tables (`pandas.DataFrame`) with a line each.
"""

import hashlib
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dailytalk_contiguous.core.errors import DailytalkError

SecondsArray = NDArray[np.float64]


def order_key(name: str, seed: int) -> str:
    """The place of a name in a random order that depends on it and the seed alone."""
    return hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogateescape")).hexdigest()


def joined_groups(keys: Sequence[Sequence[Any]]) -> NDArray[np.intp]:
    """The number of each item's group: those that share a key at the same place are in one, over any steps.

    >>> joined_groups([("a", 1), ("b", 2), ("a", 3), ("c", 3)]).tolist()
    [0, 1, 0, 0]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    numbers: dict[tuple[int, Any], int] = {}
    edges = [
        (item, len(keys) + numbers.setdefault((column, key), len(numbers)))
        for item, of_item in enumerate(keys)
        for column, key in enumerate(of_item)
    ]
    size = len(keys) + len(numbers)
    ends = np.array(edges, np.intp).reshape(-1, 2).T
    graph = coo_array((np.ones(len(edges)), (ends[0], ends[1])), shape=(size, size))
    _, groups = connected_components(graph, directed=False)
    return np.asarray(groups[: len(keys)], np.intp)


# How often each clip is listed.


class Weighted(NamedTuple):
    """A clip to list: its id, its seconds, how often it should be seen, its group and its speaker.

    Groups, such as emotions, are rounded separately, so that none gains what another loses.
    """

    id: str
    seconds: float
    weight: float = 1.0
    group: str = ""
    speaker: str = ""


def times(clips: Iterable[Weighted], seed: int = 0) -> dict[str, int]:
    """Whole numbers in place of weights, with which the seconds of each group come out to half a clip at worst.

    A clip is listed as often as its weight says without the fraction, and once more where half of it is missing
    so far. Speakers come one after another, so that the seconds of each come out, too; the seed decides which of
    a speaker's clips are listed once more.
    """
    counts: dict[str, int] = {}
    ordered = sorted(clips, key=lambda clip: (clip.group, clip.speaker, order_key(clip.id, seed)))
    for _, members in itertools.groupby(ordered, key=lambda clip: clip.group):
        missing = 0.0
        for clip in members:
            counts[clip.id] = math.floor(clip.weight + 1e-9)
            fraction = clip.weight - counts[clip.id]
            missing += fraction * clip.seconds
            if fraction > 1e-9 and missing >= clip.seconds / 2:  # a hair of rounding is no clip that is missing
                counts[clip.id] += 1
                missing -= clip.seconds
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


def cell_of(labels: Mapping[str, Any], by: Sequence[str] = BY_EMOTION) -> str | None:
    """The cell of a clip by labels of `CELL_COLUMNS`; None if one is not known, or its emotion is `other`.

    >>> cell_of({"emotion": "happy", "length": "short"}, ["emotion", "length"])
    'happy, short'
    """
    values = [labels[CELL_COLUMNS[name]] for name in by]
    if not all(isinstance(value, str) for value in values):
        return None
    is_other = any(name == "emotion" and value == "other" for name, value in zip(by, values, strict=True))
    return None if is_other else ", ".join(values)


def noun_of(by: Sequence[str]) -> str:
    """What cells by these labels are called: `emotion`, or `combination` of several labels."""
    return by[0] if len(by) == 1 else "combination"


def least_hours(cells: Iterable[str]) -> float:
    """The least hours of a cell: those of an emotion (or the first label of the cells) shared among its cells."""
    names = {*cells}
    first_labels = {name.partition(", ")[0] for name in names}
    return LEAST_HOURS * len(first_labels) / len(names) if names else LEAST_HOURS


class Balance(NamedTuple):
    """A plan that balances cells.

    Attributes:
        times: how often each id is to be seen; 0 leaves it out.
        target: seconds that every cell should have.
        before, after: seconds of each cell, as recorded and as seen.
        shortfalls: seconds of recordings, each seen once, that a cell lacks to reach the target.
    """

    times: dict[str, int]
    target: float
    before: dict[str, float]
    after: dict[str, float]
    shortfalls: dict[str, float]

    def failure(self, noun: str = "emotion") -> str:
        """Why the cells are not balanced, in a sentence without a full stop; empty if they are.

        `noun` is what a cell is called.
        """
        before, after = (disparity(seconds.values()) for seconds in (self.before, self.after))
        if not self.shortfalls or after <= BALANCED:
            return ""
        return f"not balanced: largest to smallest {noun} {before:.1f} → {after:.1f}"


def disparity(seconds: Iterable[float]) -> float:
    """How many times the seconds of the smallest cell the largest has, of those that have any; 1.0 of none."""
    positive = [value for value in seconds if value > 0]
    return max(positive) / min(positive) if positive else 1.0


def quotas(least: SecondsArray, most: SecondsArray, total: float) -> SecondsArray:
    """How much each gets of a total: all the same, but none less than its least or more than its most.

    A total below the sum of the least gives the least, one above the sum of the most gives the most.

    >>> quotas(np.array([0.0, 0.0, 0.0]), np.array([1.0, 9.0, 9.0]), 11.0).round(6).tolist()
    [1.0, 5.0, 5.0]
    """
    low = 0.0
    high = float(most.max(initial=0.0))
    for _ in range(100):
        level = (low + high) / 2
        low, high = (level, high) if np.clip(level, least, most).sum() < total else (low, level)
    return np.asarray(np.clip(high, least, most), np.float64)


def plan_balance(
    clips: pd.DataFrame, target_hours: float | None = None, seed: int = 0, cells: Iterable[str] = ()
) -> Balance:
    """Bring every cell to a target, to half a clip.

    Args:
        clips: the training split, sources only, in any order: `id`, `cell` (of `cell_of`), `speaker`, `seconds`,
            and `most`, how often the clip may be seen.
        target_hours: hours for each cell. None: those of the smallest cell that has its `least_hours` or more, or
            these if none has.
        seed: decides between clips that are alike.
        cells: those that should be there besides those that are.
    """
    clips = clips.sort_values("id").fillna({"speaker": ""})
    known = clips[clips["cell"].notna()]
    before = known.groupby("cell")["seconds"].sum()
    before = before.reindex(sorted({*cells, *known["cell"]}), fill_value=0.0)
    target = 3600 * (least_hours(before.index) if target_hours is None else target_hours)
    if target_hours is None and (before >= target).any():
        target = float(before[before >= target].min())
    plan = Balance(dict.fromkeys(clips["id"], 1), target, before.to_dict(), {}, {})
    for cell, recorded in plan.before.items():
        members = known[known["cell"] == cell]
        seconds = members["seconds"]
        speakers = members["speaker"]
        fewest, most = (0, 1) if recorded >= target else (1, members["most"])
        low, high = ((seconds * number).groupby(speakers).sum() for number in (fewest, most))
        quota = quotas(low.to_numpy(), high.to_numpy(), target)
        share = ((quota - low) / (high - low)).fillna(0.0)  # of what can be added, for each speaker
        weights = fewest + (most - fewest) * speakers.map(share).astype(float)
        table = zip(members["id"], seconds, weights, itertools.repeat(cell), speakers, strict=False)
        plan.times.update(times(itertools.starmap(Weighted, table), seed))
        plan.after[cell] = math.fsum(seconds * members["id"].map(plan.times).astype(float))
        if high.sum() < target * (1 - 1e-6):
            plan.shortfalls[cell] = target - recorded
    return plan


# Splitting a corpus into training and validation: no speaker (or sentence) on both sides, emotions alike on both.
#
# Whole groups change sides. Of many random divisions the one is taken whose validation has 10 to 20 % of the
# seconds and the emotions of the whole; few speakers, or speakers who act different emotions, may leave none, and
# then sentences are kept apart instead, or only clips, and the division says so.


#: What the splits don't share, the strictest first, and the choices of a user.
DISJOINT = ("speakers", "sentences", "clips")
WAYS = ("speakers", "sentences", "official")
_COLUMNS = {"speakers": "speaker", "sentences": "sentence", "clips": "id"}

#: Shares of the seconds that validate.
LEAST_SHARE = 0.10
MOST_SHARE = 0.20

#: Largest share of the validation's seconds that may have another emotion than in a sample of the whole (total
#: variation distance): an emotion that is a fifth of the whole stays between a tenth and three tenths.
MOST_DIFFERENT = 0.1

#: Random orders of the groups that are tried, of few groups and of many.
_MOST_ORDERS = 1000
_LEAST_ORDERS = 20
_GROUPS_IN_ALL = 200_000

#: Official splits that have a side; and a corpus's own test set, which has none: who chose a model by it could not
#: test the model on it any more.
_OFFICIAL = ("train", "validation")
HELD_OUT = "test"


class CorpusSplit(NamedTuple):
    """A division.

    Attributes:
        side: `train` or `validation` of every id.
        by: what the two sides don't share, of `DISJOINT`, or `official`. Clips whose speaker (sentence) is not
            known always train.
        share: of the seconds that validate.
        note: why it is not the requested one, or None.
    """

    side: dict[str, str]
    by: str
    share: float
    note: str | None = None


def split_corpus(clips: pd.DataFrame, by: str = "speakers", seed: int = 0) -> CorpusSplit:
    """Divide clips into `train` and `validation`, independently of their order.

    Args:
        clips: as they were recorded; a copy belongs where its source is. `id`, `seconds`, `speaker`, `sentence`,
            `emotion` and `official_split`, null where the corpus does not state them.
        by: of `WAYS`. What is impossible gives way to the next of `DISJOINT`; `official` never does, and may have
            any share.
        seed: decides between divisions that are as good.

    Raises DailytalkError if `official` is requested and a clip has no official split, or a test set's.
    """
    clips = clips.sort_values("id", ignore_index=True).fillna({"emotion": ""})
    validates = clips["official_split"] == "validation"
    reasons = list[str]()
    way = by
    if by == "official" and len(others := clips[~clips["official_split"].isin(_OFFICIAL)]):
        raise DailytalkError(
            f"the official split of the clip {others['id'].iloc[0]} is neither train nor validation",
            "leave it out, or split by speakers or sentences instead",
        )
    for way in DISJOINT[DISJOINT.index(by) :] if by != "official" else ():
        groups = clips[_COLUMNS[way]]
        chosen, share, different = _best_groups(clips.assign(group=groups), seed)
        validates = groups.isin(chosen)
        if LEAST_SHARE <= share <= MOST_SHARE and different <= MOST_DIFFERENT:
            break
        why = f"{share:.0%} would validate, of which {different:.0%} differ in emotion (limits: 10 to 20 %, 10 %)"
        if not chosen:
            why = "there is but one" if groups.notna().any() else "there is no known one"
        reasons.append(f"by {way} {why}")
    note = f"split by {way}{f' instead of {by}' * (way != by)}: {'; '.join(reasons)}" if reasons else None
    side = dict(zip(clips["id"], np.where(validates, "validation", "train").tolist(), strict=True))
    return CorpusSplit(side, way, float(clips["seconds"][validates].sum() / clips["seconds"].sum()), note)


def _best_groups(clips: pd.DataFrame, seed: int) -> tuple[list[str], float, float]:
    """The groups that validate, their share of all seconds, and by how much their emotions differ."""
    whole = clips.groupby("emotion")["seconds"].sum()
    table = clips.pivot_table("seconds", "group", "emotion", "sum").reindex(columns=whole.index).fillna(0.0)
    total = float(whole.sum())
    mix = (whole / total).to_numpy()
    chance = np.random.default_rng(seed)
    best: tuple[list[str], float, float] = [], 0.0, 1.0
    least = math.inf
    for _ in range(int(np.clip(_GROUPS_IN_ALL // max(len(table), 1), _LEAST_ORDERS, _MOST_ORDERS))):
        order = chance.permutation(len(table))[:-1]  # one group trains
        if not len(order):
            break
        chosen = table.to_numpy()[order].cumsum(axis=0)
        seconds = chosen.sum(axis=1)
        share = seconds / total
        different = np.abs(chosen / seconds[:, None] - mix).sum(axis=1) / 2
        # Shares count first; with the same emotions the middle of the range is better than its border.
        off = np.abs(share - (LEAST_SHARE + MOST_SHARE) / 2)
        costs = 100 * np.maximum(off - (MOST_SHARE - LEAST_SHARE) / 2, 0.0) + different + 0.01 * off
        if costs.min() < least:
            first = int(costs.argmin())
            least = float(costs[first])
            best = table.index[order[: first + 1]].tolist(), float(share[first]), float(different[first])
    return best
