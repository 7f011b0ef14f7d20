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
from dailytalk_contiguous.core.schema import SPLITS

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


def as_given(conversations: Iterable[tuple[str, str | None, float]], side: Mapping[str, str]) -> Split:
    """The division that was settled before: `side` (`train` or `eval`) of each; `conversations` as in `split`.

    Raises DailytalkError if nothing is left to train on.
    """
    given = list(conversations)
    own = {name: side[name] for name, _, _ in given}
    if "train" not in own.values():
        raise DailytalkError("no conversation is left to train on", "give an eval share to divide them anew")
    return Split(own, _disjoint(given, own))


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


class SplitVoice(NamedTuple):
    """What decides the split of a conversation: its kept speaker's name (None: not known) and its recording."""

    id: str
    kept_speaker: str | None
    recording_id: str
    seconds: float


class Splits(NamedTuple):
    """`side`: the split of every conversation id.

    `disjoint`: what no two splits share: `speakers` (all kept ones are known), `recordings`, or `conversations`.
    """

    side: dict[str, str]
    disjoint: str


def split_three(
    conversations: Iterable[SplitVoice],
    before: Mapping[str, str],
    valid_share: float = 0.05,
    test_share: float = 0.05,
    seed: int = 0,
) -> Splits:
    """Divide conversations into `train`, `validation` and `test`, so that a version agrees with the one before.

    Groups that share a kept speaker or a recording stay together if that leaves something for each split; else
    those of one recording do; else each conversation is alone. One conversation trains, of two one validates.

    Args:
        conversations: those of this version.
        before: split of each conversation of the version before; it stays, and draws its group after it.
        valid_share, test_share: share of the seconds, each in (0, 1), together below 1.
        seed: another seed is another division of what is new.

    Raises:
        DailytalkError: a share is out of range, an id occurs twice, or `before` names another split.
    """
    given = sorted(conversations, key=lambda one: one.id)
    if min(valid_share, test_share) <= 0 or valid_share + test_share >= 1:
        raise DailytalkError(
            f"shares of {valid_share} for validation and {test_share} for test leave nothing to one of the splits",
            "give each a share above 0, together below 1",
        )
    if len({one.id for one in given}) < len(given):
        raise DailytalkError("two conversations have the same id", "run `dailytalk check` on the dataset")
    if odd := sorted(set(before.values()) - set(SPLITS)):
        raise DailytalkError(
            f"the version before has the split {odd[0]!r}", f"its splits must be {', '.join(SPLITS)}"
        )
    shares = (("validation", valid_share), ("test", test_share))[: max(0, len(given) - 1)]
    for groups in (_components(given), _by_key(given, [f"recording\0{one.recording_id}" for one in given])):
        side = _assigned(groups, before, shares, seed)
        if side is not None:
            return Splits(side, _disjoint_in(given, side))
    alone = _by_key(given, [f"conversation\0{one.id}" for one in given])
    side = _assigned(alone, before, shares, seed)
    side = side if side is not None else _shortest(given, before, [name for name, _ in shares])
    return Splits(side, _disjoint_in(given, side))


def _disjoint_in(given: Iterable[SplitVoice], side: Mapping[str, str]) -> str:
    """What no two splits share, as `Splits.disjoint` has it."""
    speakers: dict[str | None, set[str]] = defaultdict(set)
    recordings: dict[str, set[str]] = defaultdict(set)
    for one in given:
        speakers[one.kept_speaker].add(side[one.id])
        recordings[one.recording_id].add(side[one.id])
    if any(len(found) > 1 for found in recordings.values()):
        return "conversations"
    apart = None not in speakers and all(len(found) == 1 for found in speakers.values())
    return "speakers" if apart else "recordings"


def _assigned(
    groups: Mapping[str, Sequence[SplitVoice]],
    before: Mapping[str, str],
    shares: Sequence[tuple[str, float]],
    seed: int,
) -> dict[str, str] | None:
    """The split of every id; None if a group was parted before, or what is new leaves a split empty."""
    side: dict[str, str] = {}
    for key, members in groups.items():
        held_by = {before[one.id] for one in members if one.id in before}
        if len(held_by) > 1:
            return None
        if held_by:
            side[key] = held_by.pop()
    lengths = {key: sum(one.seconds for one in members) for key, members in groups.items()}
    total = sum(lengths.values())
    new = sorted(groups.keys() - side.keys(), key=lambda key: _place(key, seed))
    for name, share in shares:
        held = sum(lengths[key] for key, own in side.items() if own == name)
        for key in new:
            if key in side or lengths[key] > LARGEST * share * total:
                continue
            # As in `_front`: a group that ends further from the share than it begins is left to train.
            if held and held + lengths[key] - share * total > share * total - held:
                break
            side[key] = name
            held += lengths[key]
    side = dict.fromkeys(groups.keys() - side.keys(), "train") | side
    if new and {"train", *(name for name, _ in shares)} - set(side.values()):
        return None
    return {one.id: side[key] for key, members in groups.items() for one in members}


def _shortest(given: Sequence[SplitVoice], before: Mapping[str, str], evaluating: Sequence[str]) -> dict[str, str]:
    """So few that each is a large part of all: the shortest new ones evaluate where nothing else does."""
    side = {one.id: before[one.id] for one in given if one.id in before}
    new = [one.id for one in sorted(given, key=lambda one: (one.seconds, one.id)) if one.id not in side]
    to_train = 0 if "train" in side.values() else 1
    for name in evaluating:
        if name not in side.values() and len(new) > to_train:
            side[new.pop(0)] = name
    return side | dict.fromkeys(new, "train")


def _components(given: Sequence[SplitVoice]) -> dict[str, list[SplitVoice]]:
    """Groups of conversations that are linked, through any number of others, by a kept speaker or a recording."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for one in given:
        recording = root(f"recording\0{one.recording_id}")
        if one.kept_speaker is not None:
            speaker = root(f"speaker\0{one.kept_speaker}")
            parent[max(recording, speaker)] = min(recording, speaker)  # named after the first, whatever the order
    return _by_key(given, [root(f"recording\0{one.recording_id}") for one in given])


def _by_key(given: Sequence[SplitVoice], keys: Sequence[str]) -> dict[str, list[SplitVoice]]:
    groups: dict[str, list[SplitVoice]] = defaultdict(list)
    for one, key in zip(given, keys, strict=True):
        groups[key].append(one)
    return dict(groups)
