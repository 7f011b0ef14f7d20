"""How often each clip is to be seen, so that every emotion gets its hours and no single voice fills them.

Inside an emotion the clips fall into cells (style × sentence type × length × speaker). Cells are filled like
connected vessels, all to one level as far as each can go, which is the most even way to reach a sum. A clip is
never left out while another of its emotion is copied: a recording is worth more than a copy. Clips whose emotion
is null or `other` are seen once: nobody records more of them on purpose.
"""

import hashlib
import heapq
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.sentences import LENGTHS, SENTENCE_TYPES

#: Hours that every emotion should have (30 minutes, as the report counts them).
LEAST_HOURS = 0.5

MODES = ("weights", "sample")

#: How often at most a clip is seen in the mode `weights`.
MOST_WEIGHT = 4.0

#: How many times the minutes of the smallest emotion the largest may have, of emotions that are balanced.
BALANCED = 1.05

#: Share of the mean of all emotions by which one has less of a kind of sentence before advice names that kind.
NOTICEABLE = 0.1

Cell = tuple[str | None, str | None, str | None, str | None]


class Clip(NamedTuple):
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
        seconds: recordings that it lacks: its target less what was recorded, whatever copies and weights add.
        sentence_type, length: those of which it has the least beside the others; None where it has its share.
    """

    emotion: str
    seconds: float
    sentence_type: str | None
    length: str | None

    def to_record(self) -> str:
        """What to record, in one sentence without a full stop."""
        kind = " ".join(name for name in (self.length, self.sentence_type) if name)
        what = f"record {kind} sentences of it" if kind else "record more of it"
        return f"{self.emotion} lacks {self.seconds / 60:.1f} minutes of recordings: {what}, or add another corpus"


class Balance(NamedTuple):
    """What to do.

    Attributes:
        times: how often each id is to be seen. In the mode `sample` whole numbers: 0 leaves it out, 1 keeps it, n
            adds its first n − 1 copies. In the mode `weights` the weight of the clip and of each of its copies.
        before, after: seconds of each emotion, as recorded and as seen.
        shortfalls: the emotions that stay under their target, by name.
    """

    times: dict[str, float]
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
    held = [value for value in seconds if value > 0]
    return max(held) / min(held) if held else 1.0


def plan_balance(
    clips: Iterable[Clip],
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
        target_hours: hours for each emotion. None: at least half an hour, and all there is where there is more.
        mode: of `MODES`.
        seed: decides between clips that are alike.
        emotions: those that should be there besides those that are.

    Raises:
        DailytalkError: the target is not a positive number, the mode unknown, a clip has no length, or an id
        twice.
    """
    given = sorted(clips, key=lambda clip: clip.id)
    _check(given, target_hours, mode)
    groups: dict[str, list[Clip]] = {name: [] for name in sorted(set(emotions))}
    times: dict[str, float] = {}
    for clip in given:
        if clip.emotion in (None, "other"):
            times[clip.id] = 1
        else:
            groups.setdefault(str(clip.emotion), []).append(clip)
    plan = Balance(times, {}, {}, [])
    for emotion, members in sorted(groups.items()):
        have = math.fsum(clip.seconds for clip in members)
        weighs = mode == "weights"
        there = math.fsum(map(_whole, members)) if weighs else have
        target = 3600 * target_hours if target_hours is not None else max(3600 * LEAST_HOURS, there)
        own = _weights(members, target) if weighs else _counts(members, target, seed)
        times.update(own)
        plan.before[emotion] = have
        seen = (own[clip.id] * _whole(clip) if weighs else _kept(clip, int(own[clip.id])) for clip in members)
        plan.after[emotion] = math.fsum(seen)
        lack = target - plan.after[emotion]
        if lack > 1e-6 * target:
            plan.shortfalls.append(_shortfall(emotion, target - have, groups))
    return plan


def levels(least: Mapping[Cell, float], most: Mapping[Cell, float], total: float) -> dict[Cell, float]:
    """How full each cell gets: all to one level, but none under its least or over its most, adding up to `total`.

    What lies under the sum of the least or over that of the most gives just these.
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


def _check(clips: Sequence[Clip], target_hours: float | None, mode: str) -> None:
    if mode not in MODES:
        raise DailytalkError(f"there is no way to balance named {mode!r}", f"choose one of {', '.join(MODES)}")
    if target_hours is not None and not 0 < target_hours < math.inf:
        raise DailytalkError(
            f"a target of {target_hours} hours can't be reached", "give hours over 0, such as 0.5"
        )
    if len({clip.id for clip in clips}) < len(clips):
        raise DailytalkError("two clips have the same id", "run `dailytalk check` on the dataset")
    for clip in clips:
        if not all(0 < seconds < math.inf for seconds in (clip.seconds, *clip.copies)):
            raise DailytalkError(f"the clip {clip.id} has no length in seconds", "measure it, or leave it out")


def _cells(clips: Iterable[Clip]) -> dict[Cell, list[Clip]]:
    cells: dict[Cell, list[Clip]] = defaultdict(list)
    for clip in clips:
        cells[(clip.style, clip.sentence_type, clip.length, clip.speaker)].append(clip)
    return dict(cells)


def _whole(clip: Clip) -> float:
    """Seconds of a clip with all its copies."""
    return clip.seconds + math.fsum(clip.copies)


def _kept(clip: Clip, times: int) -> float:
    """Seconds of a clip with its first `times` − 1 copies; 0 of one that is left out."""
    return clip.seconds + math.fsum(clip.copies[: times - 1]) if times else 0.0


def _weights(clips: Sequence[Clip], target: float) -> dict[str, float]:
    cells = _cells(clips)
    own = {cell: math.fsum(map(_whole, members)) for cell, members in cells.items()}
    enough = math.fsum(own.values()) >= target
    least = dict.fromkeys(own, 0.0) if enough else own
    most = own if enough else {cell: MOST_WEIGHT * seconds for cell, seconds in own.items()}
    filled = levels(least, most, target)
    return {clip.id: filled[cell] / own[cell] for cell, members in cells.items() for clip in members}


def _counts(clips: Sequence[Clip], target: float, seed: int) -> dict[str, float]:
    """Whole numbers near the levels, then mended until nothing is missing and nothing superfluous is there."""
    cells = _cells(clips)
    own = {cell: math.fsum(clip.seconds for clip in members) for cell, members in cells.items()}
    enough = math.fsum(own.values()) >= target
    spare = {cell: math.fsum(sum(clip.copies) for clip in members) for cell, members in cells.items()}
    least = dict.fromkeys(own, 0.0) if enough else own
    most = own if enough else {cell: own[cell] + spare[cell] for cell in own}
    goals = levels(least, most, target)
    steps = {cell: _steps(members, enough, seed) for cell, members in cells.items()}
    taken = {cell: _up_to(steps[cell], goals[cell] - least[cell]) for cell in cells}
    _mend(steps, taken, goals, least, target, seed)
    counts: dict[str, float] = {clip.id: 0 if enough else 1 for clip in clips}
    for cell, members in steps.items():
        for name, _ in members[: taken[cell]]:
            counts[name] += 1
    return counts


def _steps(clips: Sequence[Clip], enough: bool, seed: int) -> list[tuple[str, float]]:
    """What can be added to a cell, one after the other: its clips, or their first copies, then the second, …"""
    order = sorted(clips, key=lambda clip: _place(clip.id, seed))
    if enough:
        return [(clip.id, clip.seconds) for clip in order]
    rounds = max((len(clip.copies) for clip in order), default=0)
    return [(clip.id, clip.copies[n]) for n in range(rounds) for clip in order if n < len(clip.copies)]


def _up_to(steps: Sequence[tuple[str, float]], seconds: float) -> int:
    """How many steps come nearest to `seconds`."""
    total = 0.0
    for number, (_, step) in enumerate(steps):
        if total + step / 2 > seconds:
            return number
        total += step
    return len(steps)


def _mend(
    steps: Mapping[Cell, Sequence[tuple[str, float]]],
    taken: dict[Cell, int],
    goals: Mapping[Cell, float],
    least: Mapping[Cell, float],
    target: float,
    seed: int,
) -> None:
    """Add where most is missing until the target is reached; then take back what it can do without."""
    held = {cell: least[cell] + math.fsum(step for _, step in steps[cell][: taken[cell]]) for cell in steps}
    # Cells that are alike come in the order of a hash, so that none is first for its name.
    ranked = sorted((cell for cell in steps if steps[cell]), key=lambda cell: _place(steps[cell][0][0], seed))
    total = math.fsum(held.values())
    wanting = [(held[cell] - goals[cell], rank) for rank, cell in enumerate(ranked)]
    heapq.heapify(wanting)
    while wanting and total < target * (1 - 1e-12):
        _, rank = heapq.heappop(wanting)
        cell = ranked[rank]
        if taken[cell] < len(steps[cell]):
            step = steps[cell][taken[cell]][1]
            taken[cell], held[cell], total = taken[cell] + 1, held[cell] + step, total + step
            heapq.heappush(wanting, (held[cell] - goals[cell], rank))
    too_full = [(goals[cell] - held[cell], rank) for rank, cell in enumerate(ranked)]
    heapq.heapify(too_full)
    while too_full:
        _, rank = heapq.heappop(too_full)
        cell = ranked[rank]
        # What is too long to be taken back now is so for good: the surplus only shrinks.
        if taken[cell] and (step := steps[cell][taken[cell] - 1][1]) <= total - target:
            taken[cell], held[cell], total = taken[cell] - 1, held[cell] - step, total - step
            heapq.heappush(too_full, (goals[cell] - held[cell], rank))


def _shortfall(emotion: str, lack: float, groups: Mapping[str, Sequence[Clip]]) -> Shortfall:
    def thinnest(names: Sequence[str], field: str) -> str | None:
        held = {name: dict.fromkeys(groups, 0.0) for name in names}
        for group, clips in groups.items():
            for clip in clips:
                if (name := getattr(clip, field)) in held:
                    held[name][group] += clip.seconds
        means = {name: math.fsum(held[name].values()) / len(groups) for name in names}
        gaps = {name: means[name] - held[name][emotion] for name in names}
        widest = max(names, key=gaps.__getitem__)
        return widest if gaps[widest] > NOTICEABLE * means[widest] else None

    return Shortfall(emotion, lack, thinnest(SENTENCE_TYPES, "sentence_type"), thinnest(LENGTHS, "length"))


def _place(name: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogateescape")).hexdigest()
