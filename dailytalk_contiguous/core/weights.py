"""How often each clip of several folders is listed, so that every folder gets its share of the hours.

Audio is never copied for it: a trainer's manifest names a clip twice, or not at all. Which clips are named once
more hangs on their ids and a seed alone, and the hours come out to half a clip.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dailytalk_contiguous.core.errors import DailytalkError


class Weighted(NamedTuple):
    """A clip to list: its id, its seconds, and how often it wants to be seen beside others of its folder."""

    id: str
    seconds: float
    weight: float = 1.0


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

    In the order of a hash, each clip is listed as often as its proportion says without its fraction, and once
    more where half a clip is missing so far. So no number differs from its proportion by one or more, and the sum
    from `seconds` by no more than half of the longest clip.
    """
    held = math.fsum(clip.seconds * clip.weight for clip in clips)
    if not held:
        return {clip.id: 0 for clip in clips}
    found, missing = {}, 0.0
    for clip in sorted(clips, key=lambda one: _place(one.id, seed)):
        proportion = clip.weight * seconds / held
        whole = math.floor(proportion + 1e-9)
        missing += (proportion - whole) * clip.seconds
        # A hair of rounding in the sum is no clip that is missing.
        more = proportion - whole > 1e-9 and missing >= clip.seconds / 2
        missing -= more * clip.seconds
        found[clip.id] = whole + more
    return found


def _place(name: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogateescape")).hexdigest()
