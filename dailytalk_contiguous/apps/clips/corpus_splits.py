"""The split of a corpus: no speaker (or sentence) in training and validation, and emotions alike in both.

Whole groups change sides. Of many random divisions the one is taken whose validation has 10 to 20 % of the seconds
and the emotions of the whole; few speakers, or speakers who act different emotions, may leave none, and then
sentences are kept apart instead, or only clips, and the division says so.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from dailytalk_contiguous.core.errors import DailytalkError

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
