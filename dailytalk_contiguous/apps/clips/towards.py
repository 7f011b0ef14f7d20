"""How often conversations are seen so that together they are like a published corpus: `dailytalk mix --towards`.

A linear program: as near the bands of the corpus as can be, then with the fewest hours lost (conversations that
are not seen), then with the fewest repeats.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.sampling import order_key
from dailytalk_contiguous.core.scorecard import ReferenceCorpus, TurnTaking
from dailytalk_contiguous.core.turns import TURN_MEASURES, TimedConversation

#: How often at most a conversation is seen, and the least share of the hours that is seen at all: nothing would be
#: in every band.
MOST_SEEN, LEAST_KEPT = 4, 0.5

#: What a distance of a band's width costs beside the loss of all hours, and a repeat of all of them.
_DISTANCE_COST, _REPEAT_COST = 100.0, 0.01

#: The least width of a band by which distances are measured, as a share of its ends, or of the present value.
_LEAST_WIDTH = 0.01

Shares = NDArray[np.float64]


class Approach(NamedTuple):
    """The distance of a mix from a reference.

    `reference` is its name. `measures` are those that it has: `measure` and `side`, the band from `low` to `high`,
    and the values `before` and `after`. `times` says how often each conversation is seen. `hours` and `lost` are
    of the conversations that may train, and of those that are not seen.
    """

    reference: str
    measures: list[dict[str, Any]]
    times: list[int]
    hours: float
    lost: float

    def as_dict(self) -> dict[str, Any]:
        """For mix.json; `seen` counts conversations by how often each is seen."""
        counts = dict(sorted(Counter(self.times).items()))
        return {name: value for name, value in self._asdict().items() if name != "times"} | {"seen": counts}


def approach(
    ids: Sequence[str],
    lengths: Sequence[float],
    conversations: Sequence[TimedConversation],
    reference: ReferenceCorpus,
    seed: int = 0,
) -> Approach:
    """Say how often each conversation is to be seen; `lengths` are their seconds.

    Raises DailytalkError if none of the reference's measures is known of them, or no solution is found.
    """
    before, after = TurnTaking(), TurnTaking()
    for timed in conversations:
        before.add(timed)
    bands: list[dict[str, Any]] = [
        {"measure": band.measure, "side": side, "low": low, "high": high, "before": value}
        for band in reference.bands
        for side in band.sides
        for low, high in [band.limits()]
        if not math.isnan(value := before.pooled(band.measure, side))
    ]
    if not bands:
        raise DailytalkError(
            f"nothing that {reference.name} says is known of what trains here",
            "name folders of conversations that `build` or `export --format moshi` has finished",
        )
    figures, seconds = [timed.measured() for timed in conversations], np.array(lengths)
    lines = [
        line
        for band in bands
        for line in _excess(band, [of[band["measure"]][band["side"]] for of in figures], seconds)
    ]
    draws = np.array([int(order_key(name, seed)[:8], 16) / 16**8 for name in ids])
    times = _times(seconds / seconds.sum(), np.array(lines), draws)
    for timed, count in zip(conversations, times, strict=True):
        for _ in range(count):
            after.add(timed)
    measures = [band | {"after": after.pooled(band["measure"], band["side"])} for band in bands]
    lost = float(seconds[np.array(times) == 0].sum())
    return Approach(reference.name, measures, times, float(seconds.sum()) / 3600, lost / 3600)


def _excess(band: dict[str, Any], figures: Sequence[Any], seconds: Shares) -> list[Shares]:
    """By how much each conversation is over a band, and under it, in widths of the band, shape (n,) each.

    Below 0 it makes up for others. A line is weighed by the share that a conversation has in the measure; one of
    which a ratio is unknown counts as all others together do: it neither helps nor harms.
    """
    low, high = band["low"], band["high"]
    if (quantile := TURN_MEASURES[band["measure"]].quantile) is not None:
        # It is in the band if no more values than its share are under the band, and no more than the rest over it.
        counts = [[len(of), sum(value < low for value in of), sum(value > high for value in of)] for of in figures]
        n, under, over = np.array(counts).T / np.sum(counts, axis=0)[0]
        return [over - (1 - quantile) * n, under - quantile * n]
    amount, per = np.array(figures, np.float64).T
    unknown = per <= 0
    value = amount.sum() / per.sum()
    per = np.where(unknown, per.sum() / seconds[~unknown].sum() * seconds, per)
    amount = np.where(unknown, value * per, amount)
    width = max(high - low, _LEAST_WIDTH * max(abs(low), abs(high), abs(value))) or 1.0
    return [line / (width * per.sum()) for line in (amount - high * per, low * per - amount)]


def _times(share: Shares, excess: Shares, draws: Shares) -> list[int]:
    """Whole numbers from 0 to `MOST_SEEN` with which `excess @ times` is as little above 0 as can be.

    Args:
        share: of each conversation in the hours, shape (n,).
        excess: shape (limits, n).
        draws: from 0 to 1, shape (n,), which decide between conversations that are alike.
    """
    from scipy.optimize import linprog  # half a second, which only those wait for who mix towards something

    # Times seen are 1, less what is lost (0 to 1), and once more for each repeat (0 to 1 each), a second one of a
    # conversation before a third of another. The last lines: as much is listed as there is, or less of everything
    # would be nearer; not too much is lost.
    n, (n_limits, _) = len(share), excess.shape
    repeats = [_REPEAT_COST * number * share * (1 + 0.01 * draws) for number in range(1, MOST_SEEN)]
    cost = np.concatenate([share * (1 + 1e-4 * draws), *repeats, np.full(n_limits, _DISTANCE_COST)])
    again = np.vstack([excess, -share, np.zeros(n)])
    over = -np.eye(n_limits + 2, n_limits)
    lines = np.hstack([np.vstack([-excess, share, share]), *[again] * (MOST_SEEN - 1), over])
    limits = np.append(-excess.sum(axis=1), [0, 1 - LEAST_KEPT])
    bounds = [(0.0, 1.0)] * (n * MOST_SEEN) + [(0.0, None)] * n_limits
    found = linprog(cost, A_ub=lines, b_ub=limits, bounds=bounds)
    if not found.success:
        raise DailytalkError(
            f"how often to see each conversation can't be worked out ({found.message})", "leave out --towards"
        )
    changes = found.x[: n * MOST_SEEN].reshape(MOST_SEEN, n)
    exact = 1 - changes[0] + changes[1:].sum(axis=0)
    rounded = np.floor(exact + 1e-6)
    # There are no more fractions than limits. Each is rounded so that the sums stay near, and enough is kept.
    for index in np.flatnonzero(exact - rounded > 1e-6):
        rounded[index] += 1
        more = np.maximum(excess @ rounded, 0.0).sum()
        rounded[index] -= 1
        less = np.maximum(excess @ rounded, 0.0).sum()
        short = np.minimum(rounded, 1) @ share < LEAST_KEPT or rounded @ share < 1
        rounded[index] += short or more < less or (more == less and exact[index] % 1 >= 0.5)
    return [int(count) for count in rounded]
