"""Which conversations train and which evaluate, so that nobody is heard in both and a rerun decides the same.

Groups (the conversations of one kept speaker) stand in the order of a hash of their name and the seed; those at
the front evaluate until the share is reached. So a group's side hangs on its own name and on the share alone, and
more conversations later move a few at the border, not all. Voices that were synthesised do not count: they are
meant to be the same everywhere.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from dailytalk_contiguous.core.errors import DailytalkError

#: A group longer than this many times the wanted share would take too much of the training data for evaluation.
LARGEST = 2.0


class Split(NamedTuple):
    """`side` of every conversation id (`train` or `eval`); `disjoint`: no known kept speaker is on both."""

    side: dict[str, str]
    disjoint: bool


def split(conversations: Iterable[tuple[str, str | None, float]], eval_share: float = 0.1, seed: int = 0) -> Split:
    """Divide conversations into `train` and `eval`.

    Args:
        conversations: id, name of the kept speaker (None: not known) and seconds of each.
        eval_share: share of the seconds that evaluate, in (0, 1). Each side gets at least one conversation
            where there are two.
        seed: another seed is another division.

    Raises:
        DailytalkError: `eval_share` is outside (0, 1), or an id occurs twice.
    """
    if not 0 < eval_share < 1:
        raise DailytalkError(f"an eval share of {eval_share} is not between 0 and 1", "give one such as 0.1")
    given = list(conversations)
    seconds = {name: length for name, _, length in given}
    if len(seconds) < len(given):
        raise DailytalkError("two conversations have the same id", "run `dailytalk check` on the dataset")
    if len(given) < 2:
        return Split(dict.fromkeys(seconds, "train"), disjoint=True)
    groups: dict[str, list[str]] = defaultdict(list)
    for name, speaker, _ in given:
        groups[f"conversation\0{name}" if speaker is None else f"speaker\0{speaker}"].append(name)
    chosen = _front(groups, seconds, eval_share, seed)
    if chosen is None:
        alone = {f"conversation\0{name}": [name] for name in seconds}
        chosen = _front(alone, seconds, eval_share, seed) or {min(seconds, key=lambda one: (seconds[one], one))}
    side = {name: "eval" if name in chosen else "train" for name in seconds}
    return Split(side, _disjoint(given, side))


def _front(
    groups: Mapping[str, Sequence[str]], seconds: Mapping[str, float], share: float, seed: int
) -> set[str] | None:
    """Ids of the groups that evaluate; None if every group is too large, or there is just one."""
    total = sum(seconds.values())
    lengths = {key: sum(seconds[name] for name in names) for key, names in groups.items()}
    fitting = [key for key in groups if lengths[key] <= LARGEST * share * total]
    chosen: set[str] = set()
    held = 0.0
    for key in sorted(fitting, key=lambda one: _place(one, seed)):
        # A group that ends further from the share than it begins is left to train, but one always evaluates.
        if chosen and held + lengths[key] - share * total > share * total - held:
            break
        if len(chosen) + len(groups[key]) == len(seconds):
            break
        chosen.update(groups[key])
        held += lengths[key]
    return chosen or None


def _disjoint(given: Iterable[tuple[str, str | None, float]], side: Mapping[str, str]) -> bool:
    sides: dict[str, set[str]] = defaultdict(set)
    for name, speaker, _ in given:
        if speaker is not None:
            sides[speaker].add(side[name])
    return all(len(found) == 1 for found in sides.values())


def _place(key: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}\0{key}".encode()).hexdigest()
