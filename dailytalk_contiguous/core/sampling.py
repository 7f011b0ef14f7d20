"""Which clips are seen how often, and on which side: balance of emotions, weights, splits.

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

Seconds = NDArray[np.float64]


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


# Balancing a corpus: how often each clip is seen, so that every emotion gets its hours from all of its speakers.
#
# The hours of an emotion are shared out among its speakers as evenly as what each has allows. A clip is never left
# out while another of its emotion is copied: a recording is worth more than a copy. Clips whose emotion is null or
# `other` are seen once: there is no target for them.

#: Hours that every emotion should have at least (30 minutes).
LEAST_HOURS = 0.5

MODES = ("weights", "sample")

#: How often at most a clip is seen in the mode `weights`.
MOST_WEIGHT = 4.0

#: How many times the minutes of the smallest emotion the largest may have, of emotions that are balanced.
BALANCED = 1.05


class Balance(NamedTuple):
    """A plan that balances emotions.

    Attributes:
        times: how often each id is to be seen. In the mode `sample` whole numbers: 0 leaves it out, 1 keeps it, n
            adds its first n − 1 copies. In the mode `weights` the weight of the clip and of each of its copies.
        target: seconds that every emotion should have.
        before, after: seconds of each emotion, as recorded and as seen.
        shortfalls: seconds of recordings, without copies and weights, that an emotion lacks to reach the target.
    """

    times: dict[str, float]
    target: float
    before: dict[str, float]
    after: dict[str, float]
    shortfalls: dict[str, float]

    def failure(self) -> str:
        """Why the emotions are not balanced, in a sentence without a full stop; empty if they are."""
        before, after = disparity(self.before.values()), disparity(self.after.values())
        if not self.shortfalls or after <= BALANCED:
            return ""
        return f"not balanced: largest to smallest emotion {before:.1f} → {after:.1f}"

    def as_dict(self, seen: Mapping[str, float]) -> dict[str, Any]:
        """The plan for run.json; `seen` are the seconds of each emotion that came out."""
        done = self._replace(after={name: seen.get(name, 0.0) for name in self.after})
        minutes = {"before": done.before, "after": done.after, "lacking": done.shortfalls}
        return {
            "target_minutes": round(self.target / 60, 3),
            "failure": done.failure(),
            **{
                f"minutes_{when}": {name: round(seconds / 60, 3) for name, seconds in of_emotion.items()}
                for when, of_emotion in minutes.items()
            },
        }


def disparity(seconds: Iterable[float]) -> float:
    """How many times the seconds of the smallest emotion the largest has, of those that have any; 1.0 of none."""
    positive = [value for value in seconds if value > 0]
    return max(positive) / min(positive) if positive else 1.0


def quotas(least: Seconds, most: Seconds, total: float) -> Seconds:
    """How much each gets of a total: all the same, but none less than its least or more than its most.

    A total below the sum of the least gives the least, one above the sum of the most gives the most.

    >>> quotas(np.array([0.0, 0.0, 0.0]), np.array([1.0, 9.0, 9.0]), 11.0).round(6).tolist()
    [1.0, 5.0, 5.0]
    """
    low, high = 0.0, float(most.max(initial=0.0))
    for _ in range(100):
        level = (low + high) / 2
        low, high = (level, high) if np.clip(level, least, most).sum() < total else (low, level)
    return np.asarray(np.clip(high, least, most), np.float64)


def plan_balance(
    clips: pd.DataFrame,
    target_hours: float | None = None,
    mode: str = "sample",
    seed: int = 0,
    emotions: Iterable[str] = (),
) -> Balance:
    """Bring every emotion to a target.

    The mode `sample` reaches it with whole clips and copies, to half a clip. The mode `weights` reaches it
    exactly, with weights up to 1 where there is more than enough and from 1 to `MOST_WEIGHT` elsewhere; all copies
    are there then, and each weighs as much as its clip.

    Args:
        clips: the training split, sources only, in any order: `id`, `emotion`, `speaker`, `sentence_type`,
            `length`, `seconds`, `copies` (how many can be made) and `copied` (the seconds of these).
        target_hours: hours for each emotion. None: those of the smallest emotion that has half an hour or more, or
            half an hour if none has.
        mode: of `MODES`.
        seed: decides between clips that are alike.
        emotions: those that should be there besides those that are.
    """
    weighs = mode == "weights"
    clips = clips.sort_values("id").fillna({"speaker": ""})
    known = clips[clips["emotion"].notna() & (clips["emotion"] != "other")]
    known = known.assign(held=known["seconds"] + (known["copied"] if weighs else 0.0))
    names = sorted({*emotions, *known["emotion"]})
    sums = known.groupby("emotion")[["seconds", "held"]].sum().reindex(names, fill_value=0.0)
    target = 3600 * LEAST_HOURS if target_hours is None else 3600 * target_hours
    if target_hours is None and (sums["held"] >= target).any():
        target = float(sums["held"][sums["held"] >= target].min())
    plan = Balance(dict.fromkeys(clips["id"], 1.0), target, sums["seconds"].to_dict(), {}, {})
    for emotion in names:
        members = known[known["emotion"] == emotion].copy()
        own, copied = (members.groupby("speaker")[name].sum() for name in ("held", "copied"))
        enough = own.sum() >= target
        most = own if enough else MOST_WEIGHT * own if weighs else own + copied
        quota = pd.Series(quotas((0 if enough else 1) * own.to_numpy(), most.to_numpy(), target), own.index)
        if enough or weighs:
            members["weight"] = members["speaker"].map(quota / own).astype(float)
        else:
            share = ((quota - own) / copied.where(copied > 0)).fillna(0.0)
            members["weight"] = 1 + members["speaker"].map(share).astype(float) * members["copies"]
        # What once more adds: the clip again, or a copy of it.
        members["step"] = members["seconds"] if enough else members["copied"] / members["copies"].clip(lower=1)
        if not weighs:
            fields = members[["id", "step", "weight", "emotion", "speaker"]].itertuples(index=False)
            members["weight"] = members["id"].map(times(itertools.starmap(Weighted, fields), seed)).astype(float)
        plan.times.update(zip(members["id"], members["weight"].tolist(), strict=True))
        seen = members["weight"] * members["held"]
        if not (weighs or enough):
            seen = members["seconds"] + (members["weight"] - 1) * members["step"]
        plan.after[emotion] = float(seen.sum())
        if most.sum() < target * (1 - 1e-6):
            plan.shortfalls[emotion] = target - plan.before[emotion]
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
LEAST_SHARE, MOST_SHARE = 0.10, 0.20

#: Largest share of the validation's seconds that may have another emotion than in a sample of the whole (total
#: variation distance): an emotion that is a fifth of the whole stays between a tenth and three tenths.
MOST_DIFFERENT = 0.1

#: Random orders of the groups that are tried, of few groups and of many.
_MOST_ORDERS, _LEAST_ORDERS, _GROUPS_IN_ALL = 1000, 20, 200_000

#: Shares that are as good as nothing: sums of seconds are exact to less.
_NO_SHARE = 1e-9

#: Official splits that have a side; and a corpus's own test set, which has none: who chose a model by it could not
#: test the model on it any more.
_OFFICIAL, HELD_OUT = ("train", "validation"), "test"


class CorpusSplit(NamedTuple):
    """A division.

    Attributes:
        side: `train` or `validation` of every id.
        disjoint_in: the first of `DISJOINT` that holds: known speakers, or else known sentences, are on one side
            only. Clips whose speaker (sentence) is not known always train.
        share: of the seconds that validate.
        different: total variation distance between the emotions of validation and of the whole, in [0, 1].
        note: why it is not the requested one, or None.
    """

    side: dict[str, str]
    disjoint_in: str
    share: float
    different: float
    note: str | None

    def as_dict(self) -> dict[str, Any]:
        """The division without the side of each clip, which is one of its columns."""
        return {name: value for name, value in self._asdict().items() if name != "side"}


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
    if by == "official":
        if len(others := clips[~clips["official_split"].isin(_OFFICIAL)]):
            raise DailytalkError(
                f"the official split of the clip {others['id'].iloc[0]} is neither train nor validation",
                "leave it out, or split by speakers or sentences instead",
            )
        return _division(clips, clips["official_split"] == "validation", None)
    divisions: list[tuple[float, CorpusSplit]] = []
    reasons: list[str] = []
    for way in DISJOINT[DISJOINT.index(by) :]:
        groups = clips[_COLUMNS[way]]
        cost, chosen = _best_groups(clips, groups, seed)
        note = f"split by {way} instead of {by}: {'; '.join(reasons)}" if reasons else None
        division = _division(clips, groups.isin(chosen), note)
        if cost < 1:
            return division
        share, different = f"{division.share:.0%}", f"{division.different:.0%}"
        why = f"{share} would validate, of which {different} differ in emotion (limits: 10 to 20 %, 10 %)"
        if math.isinf(cost):
            why = "there is but one" if groups.notna().any() else "there is no known one"
        reasons.append(f"by {way} {why}")
        divisions.append((cost, division))
    return min(divisions, key=lambda division: division[0])[1]._replace(note="; ".join(reasons))


def _best_groups(clips: pd.DataFrame, groups: "pd.Series[Any]", seed: int) -> tuple[float, list[str]]:
    """The groups that validate, and what that costs; infinite where one side would be empty."""
    whole = clips.groupby("emotion")["seconds"].sum()
    table = clips.assign(group=groups).pivot_table("seconds", "group", "emotion", "sum")
    seconds = table.reindex(columns=whole.index).fillna(0.0).to_numpy()
    chance = np.random.default_rng(seed)
    best = math.inf, list[str]()
    for _ in range(int(np.clip(_GROUPS_IN_ALL // max(len(table), 1), _LEAST_ORDERS, _MOST_ORDERS))):
        order = chance.permutation(len(table))
        *_, costs = _judged(seconds[order].cumsum(axis=0), whole.to_numpy())
        if len(costs) and costs.min() < best[0]:
            first = int(costs.argmin()) + 1
            best = float(costs.min()), table.index[order[:first]].tolist()
    return best


def _judged(chosen: Seconds, whole: Seconds) -> tuple[Seconds, Seconds, Seconds]:
    """Of sides with these seconds of each emotion (last axis): their share of all seconds, by how much their
    emotions differ, and how bad that is; infinite where the other side is empty.
    """
    seconds = chosen.sum(axis=-1)
    share = seconds / whole.sum()
    mix = chosen / np.maximum(seconds, _NO_SHARE)[..., None]
    different = np.where(seconds > 0, np.abs(mix - whole / whole.sum()).sum(axis=-1) / 2, 1.0)
    outside = np.maximum(np.maximum(LEAST_SHARE - share, share - MOST_SHARE), 0.0)
    # What is acceptable costs less than all that is not. Then shares count first; with the same emotions the
    # middle of the range is better than its border.
    cost = 100 * outside + different + 0.01 * np.abs(share - (LEAST_SHARE + MOST_SHARE) / 2)
    cost += (outside > _NO_SHARE) | (different > MOST_DIFFERENT)
    return share, different, np.where(share > 1 - _NO_SHARE, np.inf, cost)


def _division(clips: pd.DataFrame, validates: "pd.Series[bool]", note: str | None) -> CorpusSplit:
    whole = clips.groupby("emotion")["seconds"].sum()
    chosen = clips[validates].groupby("emotion")["seconds"].sum().reindex(whole.index, fill_value=0.0)
    share, different, _ = _judged(chosen.to_numpy(), whole.to_numpy())
    disjoint_in = "clips"
    for way in ("sentences", "speakers"):
        groups = clips[_COLUMNS[way]]
        alone = validates.groupby(groups).nunique() == 1
        if len(alone) and alone.all() and not validates[groups.isna()].any():
            disjoint_in = way
    sides = np.where(validates, "validation", "train").tolist()
    side = dict(zip(clips["id"], sides, strict=True))
    return CorpusSplit(side, disjoint_in, float(share), float(different), note)
