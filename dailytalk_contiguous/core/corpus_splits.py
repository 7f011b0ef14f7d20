"""Which clips of a corpus train and which validate: nobody (or no sentence) on both sides, emotions alike on both.

Whole groups change sides. Among all divisions between 10 and 20 % of the seconds one is looked for whose
validation has the emotions of the whole; few speakers, or speakers who act different emotions, may leave none,
and then sentences are kept apart instead, or only clips, and the division says so. A copy is always where its
source is.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.errors import DailytalkError

#: What is kept apart, the strictest first, and what can be asked for.
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

Figures = NDArray[np.float64]


class Clip(NamedTuple):
    """What decides the side of a clip; None is what the corpus does not tell."""

    id: str
    seconds: float
    speaker: str | None = None
    sentence: str | None = None
    emotion: str | None = None
    official_split: str | None = None
    augmented_from: str | None = None


class CorpusSplit(NamedTuple):
    """A division.

    Attributes:
        side: `train` or `validation` of every id.
        disjoint_in: the first of `DISJOINT` that holds: known speakers, or else known sentences, are on one side
            only. Clips whose speaker (sentence) is not known always train.
        share: of the seconds that validate, copies left aside.
        different: total variation distance between the emotions of validation and of the whole, in [0, 1].
        note: why it is not what was asked for, or None.
    """

    side: dict[str, str]
    disjoint_in: str
    share: float
    different: float
    note: str | None


def split_corpus(clips: Iterable[Clip], by: str = "speakers", seed: int = 0) -> CorpusSplit:
    """Divide clips into `train` and `validation`, whatever their order.

    Args:
        clips: sources, and copies that name their source (which may be missing).
        by: of `WAYS`. What is impossible gives way to the next of `DISJOINT`; `official` never does, and may have
            any share.
        seed: decides between divisions that are as good.

    Raises:
        DailytalkError: `by` is unknown, there is no clip, an id occurs twice, a clip has no length, copies name
            each other as source, or `official` is asked for and a clip has no official split, or a test set's.
    """
    given = sorted(clips, key=lambda clip: clip.id)
    _check(given, by)
    roots = _roots(given)
    units = [clip for clip in given if roots[clip.id] == clip.id]
    orphans = {
        roots[clip.id]: clip for clip in reversed(given)
    }  # of lost sources: their first copy speaks for them
    known = {clip.id for clip in units}
    units += [orphans[root]._replace(id=root) for root in sorted(orphans.keys() - known)]
    if by == "official":
        return _told(given, units, roots, _official(units), None)
    reasons: list[str] = []
    best: tuple[float, dict[str, str]] | None = None
    for way in DISJOINT[DISJOINT.index(by) :]:
        validating, badness, reason = _chosen(units, way, seed)
        side = {unit.id: "validation" if unit.id in validating else "train" for unit in units}
        if reason is None:
            return _told(given, units, roots, side, _note(by, way, reasons))
        reasons.append(f"by {way} {reason}")
        if best is None or badness < best[0]:
            best = (badness, side)
    assert best is not None
    return _told(given, units, roots, best[1], "; ".join(reasons))


def _check(clips: Sequence[Clip], by: str) -> None:
    if by not in WAYS:
        raise DailytalkError(f"there is no way to split named {by!r}", f"choose one of {', '.join(WAYS)}")
    if not clips:
        raise DailytalkError("there is no clip to split", "look into the rejects for what was rejected")
    if len({clip.id for clip in clips}) < len(clips):
        raise DailytalkError("two clips have the same id", "run `dailytalk check` on the dataset")
    for clip in clips:
        if not 0 < clip.seconds < float("inf"):
            raise DailytalkError(f"the clip {clip.id} has no length in seconds", "measure it, or leave it out")


def _roots(clips: Sequence[Clip]) -> dict[str, str]:
    """The first source of every clip, itself where it is no copy."""
    source = {clip.id: clip.augmented_from for clip in clips}
    found = {}
    for clip in clips:
        name, seen = clip.id, {clip.id}
        while (above := source.get(name)) is not None:
            if above in seen:
                raise DailytalkError(f"{clip.id} is a copy of itself, through {above}", "make the copies anew")
            seen.add(above)
            name = above
        found[clip.id] = name
    return found


def _official(units: Sequence[Clip]) -> dict[str, str]:
    for unit in units:
        if unit.official_split not in _OFFICIAL:
            raise DailytalkError(
                f"the official split of the clip {unit.id} is {unit.official_split!r}, not train or validation",
                "leave it out, or split by speakers or sentences instead",
            )
    return {unit.id: str(unit.official_split) for unit in units}


def _chosen(units: Sequence[Clip], way: str, seed: int) -> tuple[set[str], float, str | None]:
    """Ids that validate, how bad that is, and why it is not acceptable (None: it is)."""
    groups: dict[str, list[int]] = defaultdict(list)
    for place, unit in enumerate(units):
        name = unit.id if way == "clips" else unit.speaker if way == "speakers" else unit.sentence
        if name is not None:
            groups[name].append(place)
    emotions = sorted({unit.emotion or "" for unit in units})
    figures = np.zeros((len(units), len(emotions)))
    for place, unit in enumerate(units):
        figures[place, emotions.index(unit.emotion or "")] = unit.seconds
    whole = figures.sum(axis=0)
    names = sorted(
        groups, key=lambda name: hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogateescape")).digest()
    )
    if not names or (len(names) == 1 and len(groups[names[0]]) == len(units)):
        return set(), float("inf"), f"there is {'but one' if names else 'no known one'}"
    chosen = _search(np.array([figures[groups[name]].sum(axis=0) for name in names]), whole)
    validating = {
        units[place].id for name, one in zip(names, chosen, strict=True) if one for place in groups[name]
    }
    share, different = _measures(figures[[unit.id in validating for unit in units]].sum(axis=0), whole)
    outside = max(LEAST_SHARE - share, share - MOST_SHARE, 0.0)
    if outside > _NO_SHARE:
        return validating, 1 + outside, f"no share between 10 and 20 % was found (nearest: {share:.0%})"
    if different > MOST_DIFFERENT:
        return validating, different, f"emotions would differ by {different:.0%} from the whole"
    return validating, different, None


def _search(groups: Figures, whole: Figures) -> NDArray[np.bool_]:
    """Which groups validate: the best of all divisions of a few groups.

    Of many: a greedy start in the order given, then single changes and swaps while they help.
    """
    if len(groups) <= _ALL_UP_TO:
        masks = (np.arange(2 ** len(groups))[:, None] >> np.arange(len(groups))) & 1
        return np.asarray(masks[int(np.argmin(_cost(masks @ groups, whole)))] == 1)
    wanted = whole * (LEAST_SHARE + MOST_SHARE) / 2
    chosen = np.zeros(len(groups), bool)
    held = np.zeros_like(whole)
    for place, group in enumerate(groups):
        if np.abs(held + group - wanted).sum() < np.abs(held - wanted).sum():
            chosen[place], held = True, held + group
    cost = _cost(held[None], whole)[0] if chosen.any() else np.inf
    for _ in range(_MOST_MOVES):
        signs = np.where(chosen, -1.0, 1.0)[:, None]
        moves: list[tuple[Figures, int | None]] = [(_cost(held + signs * groups, whole), None)]
        inside, outside = np.flatnonzero(chosen), np.flatnonzero(~chosen)
        if len(groups) <= _PAIRS_UP_TO and len(inside) and len(outside):
            swapped = held - groups[inside][:, None] + groups[outside][None]
            moves.append((_cost(swapped, whole).ravel(), len(outside)))
        costs, width = min(moves, key=lambda move: float(move[0].min()))
        best = int(np.argmin(costs))
        if not costs[best] < cost - _NO_SHARE:
            break
        cost = costs[best]
        flipped = [best] if width is None else [int(inside[best // width]), int(outside[best % width])]
        chosen[flipped] = ~chosen[flipped]
        held = groups[chosen].sum(axis=0)
    return chosen


def _cost(held: Figures, whole: Figures) -> Figures:
    """How bad sides with these seconds of each emotion (last axis) are; infinite where one side is empty."""
    share = held.sum(axis=-1) / whole.sum()
    outside = np.maximum(np.maximum(LEAST_SHARE - share, share - MOST_SHARE), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mix = held / held.sum(axis=-1, keepdims=True)
    different = np.abs(mix - whole / whole.sum()).sum(axis=-1) / 2
    # What is acceptable costs less than all that is not. Then shares count first; with the same emotions the
    # middle of the range is better than its border.
    cost = 100 * outside + different + 0.01 * np.abs(share - (LEAST_SHARE + MOST_SHARE) / 2)
    cost = cost + ((outside > _NO_SHARE) | (different > MOST_DIFFERENT))
    return np.asarray(np.where((share < _NO_SHARE) | (share > 1 - _NO_SHARE), np.inf, cost), np.float64)


def _measures(held: Figures, whole: Figures) -> tuple[float, float]:
    """The share of the seconds, and the total variation distance (1 for an empty side)."""
    total = float(held.sum())
    if not total:
        return 0.0, 1.0
    return total / float(whole.sum()), float(np.abs(held / total - whole / whole.sum()).sum() / 2)


def _told(
    given: Sequence[Clip],
    units: Sequence[Clip],
    roots: Mapping[str, str],
    own: Mapping[str, str],
    note: str | None,
) -> CorpusSplit:
    side = {clip.id: own[roots[clip.id]] for clip in given}
    emotions = sorted({unit.emotion or "" for unit in units})
    held, whole = np.zeros(len(emotions)), np.zeros(len(emotions))
    for unit in units:
        whole[emotions.index(unit.emotion or "")] += unit.seconds
        held[emotions.index(unit.emotion or "")] += unit.seconds * (own[unit.id] == "validation")
    share, different = _measures(held, whole)
    return CorpusSplit(side, _disjoint_in(given, side), share, different, note)


def _disjoint_in(clips: Sequence[Clip], side: Mapping[str, str]) -> str:
    for way, field in (("speakers", "speaker"), ("sentences", "sentence")):
        sides: dict[str, set[str]] = defaultdict(set)
        unknown: set[str] = set()
        for clip in clips:
            name = getattr(clip, field)
            (unknown if name is None else sides[name]).add(side[clip.id])
        if sides and "validation" not in unknown and all(len(found) == 1 for found in sides.values()):
            return way
    return "clips"


def _note(asked: str, way: str, reasons: Sequence[str]) -> str | None:
    return f"split by {way} instead of {asked}: {'; '.join(reasons)}" if reasons else None
