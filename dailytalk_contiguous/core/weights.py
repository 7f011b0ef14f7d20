"""How often each clip of several folders is listed, so that every folder gets its share of the hours.

Audio is never copied for it: a trainer's manifest names a clip twice, or not at all. Which clips are named once
more depends on their ids and a seed alone, and the seconds of every group come out to half a clip at worst.
"""

import bisect
import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dailytalk_contiguous.core.errors import DailytalkError


class Weighted(NamedTuple):
    """A clip to list: its id, its seconds, how often it wants to be seen beside others of its folder, its group.

    Groups, such as emotions, are rounded each by itself, so that none gains what another loses.
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
    held = math.fsum(clip.seconds * clip.weight for clip in clips)
    if not held:
        return {clip.id: 0 for clip in clips}
    groups: dict[str, list[Weighted]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: _place(clip.id, seed)):
        groups[clip.group].append(clip)
    counts: dict[str, int] = {}
    for group in groups.values():
        counts |= _rounded(group, seconds / held)
    return counts


def _rounded(clips: Sequence[Weighted], factor: float) -> dict[str, int]:
    """Whole numbers near `factor` times the weights, with which the seconds come out.

    In the order given each clip is listed as often as its proportion says without its fraction, and once more
    where half a clip is missing so far. What is missing or too much in the end is mended by listing one clip once
    more, another once less, or both.
    """
    counts, missing = {}, 0.0
    more: list[tuple[float, str]] = []
    less: list[tuple[float, str]] = []
    for clip in clips:
        proportion = clip.weight * factor
        whole = math.floor(proportion + 1e-9)
        counts[clip.id] = whole
        missing += (proportion - whole) * clip.seconds
        # A hair of rounding in the sum is no clip that is missing.
        if proportion - whole <= 1e-9:
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
        place = bisect.bisect(more, (missing + dropped, ""))
        for added, winner in more[max(0, place - 1) : place + 1]:
            best = min(best, (abs(missing + dropped - added), winner, loser))
    _, winner, loser = best
    if winner:
        counts[winner] += 1
    if loser:
        counts[loser] -= 1
    return counts


def _place(name: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogateescape")).hexdigest()
