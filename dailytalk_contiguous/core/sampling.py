"""Which clips are seen how often, and on which side: balance of emotions, weights of folders, splits.

Every choice is by a hash of an id and a seed: neither the order of rows nor how work is cut changes it.
"""

import bisect
import hashlib
import heapq
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.sentences import LENGTHS, SENTENCE_TYPES

# Balancing a corpus: how often each clip is seen, so that every emotion gets its hours from many voices.
#
# Inside an emotion the clips fall into cells (style × sentence type × length × speaker). Cells are filled like
# connected vessels, all to one level as far as each can go, which is the most even way to reach a sum. A clip is
# never left out while another of its emotion is copied: a recording is worth more than a copy. Clips whose
# emotion is null or `other` are seen once: there is no target for them.


#: Hours that every emotion should have at least (30 minutes).
LEAST_HOURS = 0.5

MODES = ("weights", "sample")

#: How often at most a clip is seen in the mode `weights`.
MOST_WEIGHT = 4.0

#: How many times the minutes of the smallest emotion the largest may have, of emotions that are balanced.
BALANCED = 1.05

#: Share of the mean of all emotions by which one has less of a kind of sentence before advice names that kind.
NOTICEABLE = 0.1

Cell = tuple[str | None, str | None, str | None, str | None]


class BalanceItem(NamedTuple):
    """A clip to balance; `copies` are the seconds of the copies that can be made of it, in their order."""

    id: str
    emotion: str | None
    style: str | None
    sentence_type: str | None
    length: str | None
    speaker: str | None
    seconds: float
    copies: tuple[float, ...] = ()


class Shortfall(NamedTuple):
    """An emotion that stays under its target.

    Attributes:
        emotion: its name.
        seconds: recordings that it lacks: its target less what was recorded, without copies and weights.
        sentence_type, length: those of which it has the least beside the others; None where it has its share.
    """

    emotion: str
    seconds: float
    sentence_type: str | None
    length: str | None

    def to_record(self) -> str:
        kind = " ".join(name for name in (self.length, self.sentence_type) if name)
        advice = f"record {kind} sentences of it" if kind else "record more of it"
        return (
            f"{self.emotion} lacks {self.seconds / 60:.1f} minutes of recordings: {advice}, or add another corpus"
        )


class Balance(NamedTuple):
    """A plan that balances emotions.

    Attributes:
        times: how often each id is to be seen. In the mode `sample` whole numbers: 0 leaves it out, 1 keeps it, n
            adds its first n − 1 copies. In the mode `weights` the weight of the clip and of each of its copies.
        target: seconds that every emotion should have.
        before, after: seconds of each emotion, as recorded and as seen.
        shortfalls: the emotions that stay under the target, by name.
    """

    times: dict[str, float]
    target: float
    before: dict[str, float]
    after: dict[str, float]
    shortfalls: list[Shortfall]

    def failure(self) -> str:
        """Why the emotions are not balanced, in a sentence without a full stop; empty if they are."""
        before, after = disparity(self.before.values()), disparity(self.after.values())
        if not self.shortfalls or after <= BALANCED:
            return ""
        return f"not balanced: largest to smallest emotion {before:.1f} → {after:.1f}"


def disparity(seconds: Iterable[float]) -> float:
    """How many times the seconds of the smallest emotion the largest has, of those that have any; 1.0 of none."""
    positive = [value for value in seconds if value > 0]
    return max(positive) / min(positive) if positive else 1.0


def plan_balance(
    clips: Iterable[BalanceItem],
    target_hours: float | None = None,
    mode: str = "sample",
    seed: int = 0,
    emotions: Iterable[str] = (),
) -> Balance:
    """Bring every emotion to a target.

    The mode `sample` reaches it with whole clips and copies: never less than the target, and more only by less
    than what came last in any cell. The mode `weights` reaches it exactly, with weights up to 1 where there is
    more than enough and from 1 to `MOST_WEIGHT` elsewhere; all copies are there then, and each weighs as much as
    its clip.

    Args:
        clips: the training split, sources only, in any order.
        target_hours: hours for each emotion. None: those of the smallest emotion that has half an hour or more, or
            half an hour if none has.
        mode: of `MODES`.
        seed: decides between clips that are alike.
        emotions: those that should be there besides those that are.

    Raises DailytalkError for a clip without a length.
    """
    items = sorted(clips, key=lambda clip: clip.id)
    _check_lengths(items)
    groups: dict[str, list[BalanceItem]] = {name: [] for name in emotions}
    times: dict[str, float] = {}
    for clip in items:
        if clip.emotion in (None, "other"):
            times[clip.id] = 1
        else:
            groups.setdefault(str(clip.emotion), []).append(clip)
    weighs = mode == "weights"
    groups = dict(sorted(groups.items()))
    recorded = {emotion: math.fsum(clip.seconds for clip in members) for emotion, members in groups.items()}
    available = recorded
    if weighs:
        available = {name: math.fsum(map(_seconds_with_copies, members)) for name, members in groups.items()}
    least = 3600 * LEAST_HOURS
    smallest = min((seconds for seconds in available.values() if seconds >= least), default=least)
    target = smallest if target_hours is None else 3600 * target_hours
    plan = Balance(times, target, recorded, {}, [])
    for emotion, members in groups.items():
        weights = _weights(members, target) if weighs else _counts(members, target, seed)
        times.update(weights)
        seconds_seen = (
            weights[clip.id] * _seconds_with_copies(clip)
            if weighs
            else clip.seconds + math.fsum(clip.copies[: int(weights[clip.id]) - 1])
            for clip in members
            if weighs or int(weights[clip.id])
        )
        plan.after[emotion] = math.fsum(seconds_seen)
        lack = target - plan.after[emotion]
        if lack > 1e-6 * target:
            plan.shortfalls.append(_shortfall(emotion, target - recorded[emotion], groups))
    return plan


def levels(least: Mapping[Cell, float], most: Mapping[Cell, float], total: float) -> dict[Cell, float]:
    """How full each cell gets: all to one level, but none under its least or over its most, adding up to `total`.

    A total below the sum of the least gives the least, one above the sum of the most gives the most.
    """
    if total <= math.fsum(least.values()):
        return dict(least)
    if total >= math.fsum(most.values()):
        return dict(most)
    low, high = 0.0, max(most.values())
    while low < (level := (low + high) / 2) < high:
        filled = math.fsum(min(max(level, least[cell]), most[cell]) for cell in most)
        low, high = (level, high) if filled < total else (low, level)
    return {cell: min(max(high, least[cell]), most[cell]) for cell in most}


def _check_lengths(clips: "Sequence[BalanceItem | SplitItem]") -> None:
    for clip in clips:
        if not 0 < clip.seconds < math.inf:
            raise DailytalkError(f"the clip {clip.id} has no length in seconds", "measure it, or leave it out")


def _cells(clips: Iterable[BalanceItem]) -> dict[Cell, list[BalanceItem]]:
    cells: dict[Cell, list[BalanceItem]] = defaultdict(list)
    for clip in clips:
        cells[(clip.style, clip.sentence_type, clip.length, clip.speaker)].append(clip)
    return dict(cells)


def _seconds_with_copies(clip: BalanceItem) -> float:
    return clip.seconds + math.fsum(clip.copies)


def _weights(clips: Sequence[BalanceItem], target: float) -> dict[str, float]:
    cells = _cells(clips)
    seconds_of = {cell: math.fsum(map(_seconds_with_copies, members)) for cell, members in cells.items()}
    enough = math.fsum(seconds_of.values()) >= target
    least = dict.fromkeys(seconds_of, 0.0) if enough else seconds_of
    most = seconds_of if enough else {cell: MOST_WEIGHT * seconds for cell, seconds in seconds_of.items()}
    filled = levels(least, most, target)
    return {clip.id: filled[cell] / seconds_of[cell] for cell, members in cells.items() for clip in members}


def _counts(clips: Sequence[BalanceItem], target: float, seed: int) -> dict[str, float]:
    """Whole numbers with which the cells come near their levels, and the sum to the target."""
    cells = _cells(clips)
    seconds_of = {cell: math.fsum(clip.seconds for clip in members) for cell, members in cells.items()}
    enough = math.fsum(seconds_of.values()) >= target
    spare = {cell: math.fsum(sum(clip.copies) for clip in members) for cell, members in cells.items()}
    least = dict.fromkeys(seconds_of, 0.0) if enough else seconds_of
    most = seconds_of if enough else {cell: seconds_of[cell] + spare[cell] for cell in seconds_of}
    goals = levels(least, most, target)
    # What can be added to a cell, one after the other: its clips, or their first copies, then the second, …
    steps: dict[Cell, list[tuple[str, float]]] = {}
    for cell, members in cells.items():
        order = sorted(members, key=lambda clip: order_key(clip.id, seed))
        rounds = max(len(clip.copies) for clip in order)
        copies = [(clip.id, clip.copies[n]) for n in range(rounds) for clip in order if n < len(clip.copies)]
        steps[cell] = [(clip.id, clip.seconds) for clip in order] if enough else copies
    n_taken = _filled(steps, goals, least, target, seed)
    counts: dict[str, float] = {clip.id: 0 if enough else 1 for clip in clips}
    for cell in cells:
        for name, _ in steps[cell][: n_taken[cell]]:
            counts[name] += 1
    return counts


def _filled(
    steps: Mapping[Cell, Sequence[tuple[str, float]]],
    goals: Mapping[Cell, float],
    least: Mapping[Cell, float],
    target: float,
    seed: int,
) -> dict[Cell, int]:
    """How many steps of each cell to take: where most is missing, until the target is reached; then some are taken
    back that it can do without."""
    n_taken, seconds_in = dict.fromkeys(steps, 0), dict(least)
    # Cells that are alike come in the order of a hash, so that none is first for its name.
    ranked = sorted((cell for cell in steps if steps[cell]), key=lambda cell: order_key(steps[cell][0][0], seed))
    total = math.fsum(seconds_in.values())
    wanting = [(seconds_in[cell] - goals[cell], rank) for rank, cell in enumerate(ranked)]
    heapq.heapify(wanting)
    while wanting and total < target * (1 - 1e-12):
        _, rank = heapq.heappop(wanting)
        cell = ranked[rank]
        if n_taken[cell] < len(steps[cell]):
            step = steps[cell][n_taken[cell]][1]
            n_taken[cell], seconds_in[cell], total = n_taken[cell] + 1, seconds_in[cell] + step, total + step
            heapq.heappush(wanting, (seconds_in[cell] - goals[cell], rank))
    too_full = [(goals[cell] - seconds_in[cell], rank) for rank, cell in enumerate(ranked)]
    heapq.heapify(too_full)
    while too_full:
        _, rank = heapq.heappop(too_full)
        cell = ranked[rank]
        # What is too long to be taken back now is so for good: the surplus only shrinks.
        if n_taken[cell] and (step := steps[cell][n_taken[cell] - 1][1]) <= total - target:
            n_taken[cell], seconds_in[cell], total = n_taken[cell] - 1, seconds_in[cell] - step, total - step
            heapq.heappush(too_full, (goals[cell] - seconds_in[cell], rank))
    return n_taken


def _shortfall(emotion: str, lack: float, groups: Mapping[str, Sequence[BalanceItem]]) -> Shortfall:
    def thinnest(names: Sequence[str], field: str) -> str | None:
        seconds_by = {name: dict.fromkeys(groups, 0.0) for name in names}
        for group, clips in groups.items():
            for clip in clips:
                if (name := getattr(clip, field)) in seconds_by:
                    seconds_by[name][group] += clip.seconds
        means = {name: math.fsum(seconds_by[name].values()) / len(groups) for name in names}
        gaps = {name: means[name] - seconds_by[name][emotion] for name in names}
        widest = max(names, key=gaps.__getitem__)
        return widest if gaps[widest] > NOTICEABLE * means[widest] else None

    return Shortfall(emotion, lack, thinnest(SENTENCE_TYPES, "sentence_type"), thinnest(LENGTHS, "length"))


def order_key(name: str, seed: int) -> str:
    """The place of a name in a random order that depends on it and the seed alone."""
    return hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogateescape")).hexdigest()


# Mixing folders: how often each clip is listed, so that every folder gets its share of the hours.
#
# Audio is never copied: the manifest names a clip twice, or not at all. Which clips are named once
# more depends on their ids and a seed alone, and the seconds of every group come out to half a clip at worst.


class Weighted(NamedTuple):
    """A clip to list: its id, its seconds, its weight among the clips of its folder, its group.

    Groups, such as emotions, are rounded separately, so that none gains what another loses.
    """

    id: str
    seconds: float
    weight: float = 1.0
    group: str = ""


def goals(held: Mapping[str, float], weights: Mapping[str, float | None], hours: float | None) -> dict[str, float]:
    """Seconds that each folder is to have.

    Args:
        held: seconds of each folder, every clip as often as its own weight says.
        weights: shares of the hours, of all folders or of none (None: each keeps its own share).
        hours: of all of them together; None for as many as are there.

    Raises:
        DailytalkError: only some have a weight, a number is not above 0, or a folder with a weight is empty.
    """
    if hours is not None and not 0 < hours < math.inf:
        raise DailytalkError(f"--hours {hours:g} can't be mixed", "give a number above 0")
    unweighted = [name for name in held if weights[name] is None]
    if unweighted and len(unweighted) < len(held):
        raise DailytalkError(
            f"{unweighted[0]} has no weight, and others have", "give every folder one (DIR:WEIGHT), or none"
        )
    shares = {name: held[name] if (weight := weights[name]) is None else weight for name in held}
    for name, share in shares.items():
        if not unweighted and not 0 < share < math.inf:
            raise DailytalkError(f"{name} can't have the weight {share:g}", "give a number above 0")
        if not unweighted and not held[name]:
            raise DailytalkError(f"{name} has nothing to train on, and a weight", "leave it out")
    total = math.fsum(shares.values())
    seconds = math.fsum(held.values()) if hours is None else 3600 * hours
    return {name: seconds * share / total if total else 0.0 for name, share in shares.items()}


def times(clips: Sequence[Weighted], seconds: float, seed: int = 0) -> dict[str, int]:
    """How often each clip is listed for `seconds` in all, each in proportion to its weight.

    No number differs from its proportion by one or more, and the seconds of a group from their share by no more
    than half of its longest clip; by far less where clips differ in length.
    """
    total = math.fsum(clip.seconds * clip.weight for clip in clips)
    if not total:
        return {clip.id: 0 for clip in clips}
    groups: dict[str, list[Weighted]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: order_key(clip.id, seed)):
        groups[clip.group].append(clip)
    counts: dict[str, int] = {}
    for group in groups.values():
        counts |= _rounded(group, seconds / total)
    return counts


#: How often at most a conversation is seen on the way to a band, and the least share of the hours that is seen at
#: all: nothing would be in every band.
MOST_SEEN, LEAST_KEPT = 4, 0.5

#: What a distance of a band's width costs beside the loss of all hours, and a repeat of all of them: nearness
#: counts first, then hours, then that little is seen again.
_DISTANCE_COST, _REPEAT_COST = 100.0, 0.01

#: What rounding costs that leaves too few hours, beside a distance: more than any of these.
_SHORT_COST = 1e6

#: Fractions of which every way to round them is tried.
_ROUNDED_TOGETHER = 12


def times_towards(
    ids: Sequence[str], seconds: NDArray[np.float64], excess: NDArray[np.float64], seed: int = 0
) -> NDArray[np.int64]:
    """How often each conversation is seen so that the sums over all come as near to their limits as can be.

    A linear program: as little as can be over the limits, then the fewest hours lost (conversations that are not
    seen), then the fewest repeats, a second one before a third of another.

    Args:
        ids: of the conversations, shape (n,).
        seconds: of each, shape (n,).
        excess: shape (limits, n), by how much each conversation is over a limit, in widths of the band, so that
            `excess @ times` should not be above 0; below 0 it makes up for others. Each line is weighed by the
            share that a conversation has in the measure.
        seed: decides between conversations that are alike.

    Returns:
        Whole numbers from 0 to `MOST_SEEN`, shape (n,).

    Raises DailytalkError where the numbers are such that no solution is found.
    """
    from scipy import sparse  # half a second, which only those wait for who mix towards something
    from scipy.optimize import linprog

    share = seconds / seconds.sum()
    # Times seen are 1, less what is lost (0 to 1), and once more for each repeat (0 to 1 each).
    draws = np.array([int(order_key(identity, seed)[:8], 16) / 16**8 for identity in ids])
    repeats = [_REPEAT_COST * number * share * (1 + 0.01 * draws) for number in range(1, MOST_SEEN)]
    cost = np.concatenate([share * (1 + 1e-4 * draws), *repeats, np.full(len(excess), _DISTANCE_COST)])
    # The last lines: as much is listed as there is, or less of everything would be nearer; not too much is lost.
    lines, none = sparse.csr_array(excess), sparse.csr_array((1, len(ids)))
    lost = sparse.vstack([-lines, share[None], share[None]])
    again = sparse.vstack([lines, -share[None], none])
    over = -sparse.eye_array(len(excess) + 2, len(excess))
    sums_of_changes = sparse.hstack([lost, *[again] * (MOST_SEEN - 1), over], format="csr")
    limits = np.append(-excess.sum(axis=1), [0, 1 - LEAST_KEPT])
    bounds = [(0.0, 1.0)] * (len(ids) * MOST_SEEN) + [(0.0, None)] * len(excess)
    found = linprog(cost, A_ub=sums_of_changes, b_ub=limits, bounds=bounds)
    if not found.success:
        raise DailytalkError(
            f"how often to see each conversation can't be worked out ({found.message})", "leave out --towards"
        )
    changes = found.x[: len(ids) * MOST_SEEN].reshape(MOST_SEEN, len(ids))
    exact = 1 - changes[0] + changes[1:].sum(axis=0)
    # There are no more fractions than limits. They are rounded together, so that one makes up for another.
    rounded = np.rint(exact)
    fractions = np.flatnonzero(np.abs(exact - rounded) > 1e-6)[:_ROUNDED_TOGETHER]
    rounded[fractions] = np.floor(exact[fractions])
    ways = (np.arange(2 ** len(fractions))[:, None] >> np.arange(len(fractions))) & 1
    sums = (excess @ rounded)[:, None] + excess[:, fractions] @ ways.T
    distance = np.maximum(sums, 0.0).sum(axis=0)
    kept = np.minimum(rounded, 1) @ share + (ways * (rounded[fractions] < 1)) @ share[fractions]
    listed = rounded @ share + ways @ share[fractions]
    short = np.maximum(LEAST_KEPT - kept, 0) + np.maximum(1 - listed, 0)
    distance += np.where(short > 1e-9, _SHORT_COST * short, 0.0)
    unlike = np.abs(rounded[fractions] + ways - 1) @ share[fractions]
    rounded[fractions] += ways[np.argmin(_DISTANCE_COST * distance + unlike)]
    return np.asarray(rounded, np.int64)


def _rounded(clips: Sequence[Weighted], factor: float) -> dict[str, int]:
    """Whole numbers near `factor` times the weights, with which the seconds come out.

    In the order given each clip is listed as often as its proportion says without its fraction, and once more
    where half a clip is missing so far. What is missing or too much in the end is corrected by listing one clip
    once more, another once less, or both.
    """
    counts, missing = {}, 0.0
    more: list[tuple[float, str]] = []
    less: list[tuple[float, str]] = []
    for clip in clips:
        proportion = clip.weight * factor
        times_seen = math.floor(proportion + 1e-9)
        counts[clip.id] = times_seen
        missing += (proportion - times_seen) * clip.seconds
        # A hair of rounding in the sum is no clip that is missing.
        if proportion - times_seen <= 1e-9:
            continue
        if missing >= clip.seconds / 2:
            missing -= clip.seconds
            counts[clip.id] += 1
            less.append((clip.seconds, clip.id))
        else:
            more.append((clip.seconds, clip.id))
    more = sorted([(0.0, ""), *more])
    best = (abs(missing), "", "")
    for dropped, loser in [(0.0, ""), *less]:
        insertion = bisect.bisect(more, (missing + dropped, ""))
        for added, winner in more[max(0, insertion - 1) : insertion + 1]:
            best = min(best, (abs(missing + dropped - added), winner, loser))
    _, winner, loser = best
    if winner:
        counts[winner] += 1
    if loser:
        counts[loser] -= 1
    return counts


# Splitting a corpus into training and validation: no speaker (or sentence) on both sides, emotions alike on both.
#
# Whole groups change sides. Among all divisions between 10 and 20 % of the seconds one is looked for whose
# validation has the emotions of the whole; few speakers, or speakers who act different emotions, may leave none,
# and then sentences are kept apart instead, or only clips, and the division says so.


#: What the splits don't share, the strictest first, and the choices of a user.
DISJOINT = ("speakers", "sentences", "clips")
WAYS = ("speakers", "sentences", "official")

#: Shares of the seconds that validate.
LEAST_SHARE, MOST_SHARE = 0.10, 0.20

#: Largest share of the validation's seconds that may have another emotion than in a sample of the whole (total
#: variation distance): an emotion that is a fifth of the whole stays between a tenth and three tenths.
MOST_DIFFERENT = 0.1

#: Up to how many groups every division is tried, and up to how many pairs are swapped: with more, chance makes the
#: sides alike. Changes at most after the start.
_ALL_UP_TO, _PAIRS_UP_TO, _MOST_MOVES = 12, 400, 300

#: Shares that are as good as nothing: sums of seconds are exact to less.
_NO_SHARE = 1e-9

#: Official splits that have a side; and a corpus's own test set, which has none: who chose a model by it could not
#: test the model on it any more.
_OFFICIAL, HELD_OUT = ("train", "validation"), "test"

FigureArray = NDArray[np.float64]


def joined_groups(keys: Sequence[Sequence[Any]]) -> NDArray[np.intp]:
    """The number of each item's group: those that share a key at the same place are in one, over any steps.

    >>> joined_groups([("a", 1), ("b", 2), ("a", 3), ("c", 3)]).tolist()
    [0, 1, 0, 0]
    """
    parents: dict[Any, Any] = {}

    def root(key: Any) -> Any:
        parents.setdefault(key, key)
        while parents[key] != key:
            parents[key] = parents[parents[key]]
            key = parents[key]
        return key

    for item in keys:
        first = root((0, item[0]))
        for column, key in enumerate(item):
            parents[root((column, key))] = first
    roots = [root((0, item[0])) for item in keys]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(roots))}
    return np.array([numbers[key] for key in roots], np.intp)


class SplitItem(NamedTuple):
    """The facts that decide the side of a clip; None where the corpus does not state them."""

    id: str
    seconds: float
    speaker: str | None = None
    sentence: str | None = None
    emotion: str | None = None
    official_split: str | None = None


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


def split_corpus(clips: Iterable[SplitItem], by: str = "speakers", seed: int = 0) -> CorpusSplit:
    """Divide clips into `train` and `validation`, independently of their order.

    Args:
        clips: as they were recorded; a copy belongs where its source is.
        by: of `WAYS`. What is impossible gives way to the next of `DISJOINT`; `official` never does, and may have
            any share.
        seed: decides between divisions that are as good.

    Raises:
        DailytalkError: there is no clip, a clip has no length, or `official` is requested and a clip has no
            official split, or a test set's.
    """
    units = sorted(clips, key=lambda clip: clip.id)
    if not units:
        raise DailytalkError("there is no clip to split", "look into the rejects for what was rejected")
    _check_lengths(units)
    if by == "official":
        for unit in units:
            if (split := unit.official_split) not in _OFFICIAL:
                raise DailytalkError(
                    f"the official split of the clip {unit.id} is {split!r}, not train or validation",
                    "leave it out, or split by speakers or sentences instead",
                )
        return _described(units, {unit.id: str(unit.official_split) for unit in units}, None)
    reasons: list[str] = []
    best: tuple[float, dict[str, str]] | None = None
    for way in DISJOINT[DISJOINT.index(by) :]:
        validating, badness, reason = _chosen(units, way, seed)
        side = {unit.id: "validation" if unit.id in validating else "train" for unit in units}
        if reason is None:
            note = f"split by {way} instead of {by}: {'; '.join(reasons)}" if reasons else None
            return _described(units, side, note)
        reasons.append(f"by {way} {reason}")
        if best is None or badness < best[0]:
            best = (badness, side)
    assert best is not None
    return _described(units, best[1], "; ".join(reasons))


def _chosen(units: Sequence[SplitItem], way: str, seed: int) -> tuple[set[str], float, str | None]:
    """Ids that validate, how bad that is, and why it is not acceptable (None: it is)."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, unit in enumerate(units):
        name = unit.id if way == "clips" else unit.speaker if way == "speakers" else unit.sentence
        if name is not None:
            groups[name].append(index)
    emotions = sorted({unit.emotion or "" for unit in units})
    figures = np.zeros((len(units), len(emotions)))
    for index, unit in enumerate(units):
        figures[index, emotions.index(unit.emotion or "")] = unit.seconds
    total = figures.sum(axis=0)
    names = sorted(groups, key=lambda name: order_key(name, seed))
    if not names or (len(names) == 1 and len(groups[names[0]]) == len(units)):
        return set(), float("inf"), f"there is {'but one' if names else 'no known one'}"
    chosen = _search(np.array([figures[groups[name]].sum(axis=0) for name in names]), total)
    validating = {
        units[index].id
        for name, is_chosen in zip(names, chosen, strict=True)
        if is_chosen
        for index in groups[name]
    }
    share, different = _measures(figures[[unit.id in validating for unit in units]].sum(axis=0), total)
    outside = max(LEAST_SHARE - share, share - MOST_SHARE, 0.0)
    if outside > _NO_SHARE:
        return validating, 1 + outside, f"no share between 10 and 20 % was found (nearest: {share:.0%})"
    if different > MOST_DIFFERENT:
        return validating, different, f"emotions would differ by {different:.0%} from the whole"
    return validating, different, None


def _search(groups: FigureArray, all_seconds: FigureArray) -> NDArray[np.bool_]:
    """Which groups validate: the best of all divisions of a few groups.

    Of many: a greedy start in the order given, then single changes and swaps while they help.
    """
    if len(groups) <= _ALL_UP_TO:
        masks = (np.arange(2 ** len(groups))[:, None] >> np.arange(len(groups))) & 1
        return np.asarray(masks[int(np.argmin(_cost(masks @ groups, all_seconds)))] == 1)
    target = all_seconds * (LEAST_SHARE + MOST_SHARE) / 2
    chosen = np.zeros(len(groups), bool)
    total = np.zeros_like(all_seconds)
    for index, group in enumerate(groups):
        if np.abs(total + group - target).sum() < np.abs(total - target).sum():
            chosen[index], total = True, total + group
    cost = _cost(total[None], all_seconds)[0] if chosen.any() else np.inf
    for _ in range(_MOST_MOVES):
        signs = np.where(chosen, -1.0, 1.0)[:, None]
        moves: list[tuple[FigureArray, int | None]] = [(_cost(total + signs * groups, all_seconds), None)]
        inside, outside = np.flatnonzero(chosen), np.flatnonzero(~chosen)
        if len(groups) <= _PAIRS_UP_TO and len(inside) and len(outside):
            swapped = total - groups[inside][:, None] + groups[outside][None]
            moves.append((_cost(swapped, all_seconds).ravel(), len(outside)))
        costs, width = min(moves, key=lambda move: float(move[0].min()))
        best = int(np.argmin(costs))
        if not costs[best] < cost - _NO_SHARE:
            break
        cost = costs[best]
        flipped = [best] if width is None else [int(inside[best // width]), int(outside[best % width])]
        chosen[flipped] = ~chosen[flipped]
        total = groups[chosen].sum(axis=0)
    return chosen


def _cost(chosen_seconds: FigureArray, all_seconds: FigureArray) -> FigureArray:
    """How bad sides with these seconds of each emotion (last axis) are; infinite where one side is empty."""
    share = chosen_seconds.sum(axis=-1) / all_seconds.sum()
    outside = np.maximum(np.maximum(LEAST_SHARE - share, share - MOST_SHARE), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mix = chosen_seconds / chosen_seconds.sum(axis=-1, keepdims=True)
    different = np.abs(mix - all_seconds / all_seconds.sum()).sum(axis=-1) / 2
    # What is acceptable costs less than all that is not. Then shares count first; with the same emotions the
    # middle of the range is better than its border.
    cost = 100 * outside + different + 0.01 * np.abs(share - (LEAST_SHARE + MOST_SHARE) / 2)
    cost = cost + ((outside > _NO_SHARE) | (different > MOST_DIFFERENT))
    return np.asarray(np.where((share < _NO_SHARE) | (share > 1 - _NO_SHARE), np.inf, cost), np.float64)


def _measures(chosen_seconds: FigureArray, all_seconds: FigureArray) -> tuple[float, float]:
    """The share of the seconds, and the total variation distance (1 for an empty side)."""
    total = float(chosen_seconds.sum())
    if not total:
        return 0.0, 1.0
    different = np.abs(chosen_seconds / total - all_seconds / all_seconds.sum()).sum() / 2
    return total / float(all_seconds.sum()), float(different)


def _described(units: Sequence[SplitItem], side: dict[str, str], note: str | None) -> CorpusSplit:
    emotions = sorted({unit.emotion or "" for unit in units})
    validating, all_seconds = np.zeros(len(emotions)), np.zeros(len(emotions))
    for unit in units:
        all_seconds[emotions.index(unit.emotion or "")] += unit.seconds
        validating[emotions.index(unit.emotion or "")] += unit.seconds * (side[unit.id] == "validation")
    share, different = _measures(validating, all_seconds)
    return CorpusSplit(side, _disjoint_in(units, side), share, different, note)


def _disjoint_in(clips: Sequence[SplitItem], side: Mapping[str, str]) -> str:
    for way, field in (("speakers", "speaker"), ("sentences", "sentence")):
        sides: dict[str, set[str]] = defaultdict(set)
        unknown: set[str] = set()
        for clip in clips:
            name = getattr(clip, field)
            (unknown if name is None else sides[name]).add(side[clip.id])
        if sides and "validation" not in unknown and all(len(sides_of) == 1 for sides_of in sides.values()):
            return way
    return "clips"
