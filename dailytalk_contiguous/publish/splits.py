"""The division of conversations into training and evaluation, with no speaker in both, and the same in every run.

Groups (conversations that kept speakers link) are in the order of a hash of their name and the seed; those at
the front evaluate until the share is reached. A conversation that was divided before keeps its side: a model may
have been trained on it, or must not be. Voices that were synthesised do not count: they are meant to be the same
everywhere.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.sampling import joined_groups
from dailytalk_contiguous.core.schema import SPLITS

#: A group longer than this many times the wanted share would take too much of the training data for evaluation.
LARGEST = 2.0

#: The kept speakers of a conversation by name; None is one who is not known, and links no conversations.
Speakers: TypeAlias = tuple[str | None, ...]


class Split(NamedTuple):
    """`side` of every conversation id (`train` or `eval`); `disjoint`: no known kept speaker is on both."""

    side: dict[str, str]
    disjoint: bool


def split_two(
    conversations: Iterable[tuple[str, Speakers, float]],
    eval_share: float = 0.1,
    seed: int = 0,
    parents: Mapping[str, str] = {},
    before: Mapping[str, str] = {},
) -> Split:
    """Divide conversations (id, kept speakers, seconds) into `train` and `eval`.

    `eval_share` is the share of the seconds that evaluate. Each side gets at least one conversation where there
    are two; another seed is another division. `parents` names the conversation that one was made of: these
    are never divided. The side that one of them had `before` stays, and its group follows it.

    Raises DailytalkError for a share that is outside (0, 1).
    """
    if not 0 < eval_share < 1:
        raise DailytalkError(f"an eval share of {eval_share} is not between 0 and 1", "give one such as 0.1")
    listed = [SplitVoice(name, speakers, name, seconds) for name, speakers, seconds in conversations]
    items = _with_derived(listed, parents)
    alone = [f"conversation\0{item.id}" for item in items]
    of_speakers = [""] * len(items)
    for group in _linked(items):
        named = min(
            (speaker for index in group for speaker in items[index].kept_speakers if speaker), default=None
        )
        for index in group:
            of_speakers[index] = alone[index] if named is None else f"speaker\0{named}"
    before = {parents.get(name, name): side_of for name, side_of in before.items()}
    shares = (("eval", eval_share),)[: max(0, len(items) - 1)]
    for keys in (of_speakers, alone):
        side = _assigned(_by_key(items, keys), before, shares, seed)
        if side is not None:
            break
    else:
        side = _shortest(items, before, ["eval"])
    side = _of_derived(listed, parents, side)
    return Split(side, _disjoint(listed, side))


def as_given(conversations: Iterable[tuple[str, Speakers, float]], side: Mapping[str, str]) -> Split:
    """Take an existing division: `side` (`train` or `eval`) of each; `conversations` as in `split_two`.

    Raises DailytalkError if no conversation is left to train on.
    """
    items = [SplitVoice(name, speakers, name, seconds) for name, speakers, seconds in conversations]
    side_of = {item.id: side[item.id] for item in items}
    if "train" not in side_of.values():
        raise DailytalkError("no conversation is left to train on", "give an eval share to divide them again")
    return Split(side_of, _disjoint(items, side_of))


def _disjoint(items: Iterable["SplitVoice"], side: Mapping[str, str]) -> bool:
    sides: dict[str | None, set[str]] = defaultdict(set)
    for item in items:
        for speaker in item.kept_speakers:
            sides[speaker].add(side[item.id])
    return all(len(sides_of) == 1 for speaker, sides_of in sides.items() if speaker is not None)


class SplitVoice(NamedTuple):
    """The facts that decide the split of a conversation: its kept speakers and its recording."""

    id: str
    kept_speakers: Speakers
    recording_id: str
    seconds: float


class Splits(NamedTuple):
    """`side`: the split of every conversation id.

    `disjoint`: no two splits share these: `speakers` (all kept ones are known), `recordings` or `conversations`.
    """

    side: dict[str, str]
    disjoint: str


def split_three(
    conversations: Iterable[SplitVoice],
    before: Mapping[str, str],
    valid_share: float = 0.05,
    test_share: float = 0.05,
    seed: int = 0,
    parents: Mapping[str, str] = {},
) -> Splits:
    """Divide conversations into `train`, `validation` and `test`, so that a version agrees with the one before.

    Groups that share a kept speaker or a recording stay together if that leaves conversations for each split; else
    those of one recording do; else each conversation is alone, with what was made of it (`parents`: what each was
    made of). One conversation trains, of two one validates. The split that one of them had `before`
    stays, and its group follows it.

    Raises DailytalkError: a share is out of range, or `before` names another split.
    """
    listed = sorted(conversations, key=lambda item: item.id)
    items = _with_derived(listed, parents)
    if min(valid_share, test_share) <= 0 or valid_share + test_share >= 1:
        raise DailytalkError(
            f"shares of {valid_share} for validation and {test_share} for test leave nothing to one of the splits",
            "give each a share above 0, together below 1",
        )
    if odd := sorted(set(before.values()) - set(SPLITS)):
        raise DailytalkError(
            f"the version before has the split {odd[0]!r}", f"its splits must be {', '.join(SPLITS)}"
        )
    before = {parents.get(name, name): split for name, split in before.items()}
    shares = (("validation", valid_share), ("test", test_share))[: max(0, len(items) - 1)]
    linked = ([items[index] for index in group] for group in _linked(items))
    components = {f"recording\0{min(item.recording_id for item in group)}": group for group in linked}
    for groups in (components, _by_key(items, [f"recording\0{item.recording_id}" for item in items])):
        side = _assigned(groups, before, shares, seed)
        if side is not None:
            break
    else:
        alone = _by_key(items, [f"conversation\0{item.id}" for item in items])
        side = _assigned(alone, before, shares, seed)
        side = side if side is not None else _shortest(items, before, [name for name, _ in shares])
    side = _of_derived(listed, parents, side)
    return Splits(side, _disjoint_in(listed, side))


def as_decided(conversations: Iterable[SplitVoice], side: Mapping[str, str]) -> Splits:
    """Take an existing division: `side` is the split of each."""
    return Splits(dict(side), _disjoint_in(conversations, side))


def _disjoint_in(items: Iterable[SplitVoice], side: Mapping[str, str]) -> str:
    """The value of `Splits.disjoint`."""
    speakers: dict[str | None, set[str]] = defaultdict(set)
    recordings: dict[str, set[str]] = defaultdict(set)
    for item in items:
        for speaker in item.kept_speakers:
            speakers[speaker].add(side[item.id])
        recordings[item.recording_id].add(side[item.id])
    if any(len(splits) > 1 for splits in recordings.values()):
        return "conversations"
    by_speaker = None not in speakers and all(len(splits) == 1 for splits in speakers.values())
    return "speakers" if by_speaker else "recordings"


def _with_derived(items: Iterable[SplitVoice], parents: Mapping[str, str]) -> list[SplitVoice]:
    """The conversations, each with all that was made of it in one."""
    whole: dict[str, SplitVoice] = {}
    for item in items:
        name = parents.get(item.id, item.id)
        first = whole.setdefault(name, item._replace(id=name, seconds=0.0))
        speakers = dict.fromkeys((*first.kept_speakers, *item.kept_speakers))
        whole[name] = first._replace(kept_speakers=(*speakers,), seconds=first.seconds + item.seconds)
    return [*whole.values()]


def _of_derived(
    items: Iterable[SplitVoice], parents: Mapping[str, str], side: Mapping[str, str]
) -> dict[str, str]:
    return {item.id: side[parents.get(item.id, item.id)] for item in items}


def _assigned(
    groups: Mapping[str, Sequence[SplitVoice]],
    before: Mapping[str, str],
    shares: Sequence[tuple[str, float]],
    seed: int,
) -> dict[str, str] | None:
    """The split of every id; None if a group was divided before, or new ids would leave a split empty."""
    side: dict[str, str] = {}
    for key, members in groups.items():
        held_by = {before[member.id] for member in members if member.id in before}
        if len(held_by) > 1:
            return None
        if held_by:
            side[key] = held_by.pop()
    lengths = {key: sum(member.seconds for member in members) for key, members in groups.items()}
    total = sum(lengths.values())
    new = sorted(
        groups.keys() - side.keys(), key=lambda key: hashlib.sha256(f"{seed}\0{key}".encode()).hexdigest()
    )
    for name, share in shares:
        split_seconds = sum(lengths[key] for key, split_name in side.items() if split_name == name)
        for key in new:
            if key in side or lengths[key] > LARGEST * share * total:
                continue
            if len(shares) == 1 and len(side) + 1 == len(groups):  # the last of two sides: one is left to train
                break
            # A group that ends further from the share than it begins is left to train.
            if split_seconds and split_seconds + lengths[key] - share * total > share * total - split_seconds:
                break
            side[key] = name
            split_seconds += lengths[key]
    side = dict.fromkeys(groups.keys() - side.keys(), "train") | side
    if new and {"train", *(name for name, _ in shares)} - set(side.values()):
        return None
    return {member.id: side[key] for key, members in groups.items() for member in members}


def _shortest(items: Sequence[SplitVoice], before: Mapping[str, str], evaluating: Sequence[str]) -> dict[str, str]:
    """So few that each is a large part of all: the shortest new ones evaluate where nothing else does."""
    side = {item.id: before[item.id] for item in items if item.id in before}
    new = [item.id for item in sorted(items, key=lambda item: (item.seconds, item.id)) if item.id not in side]
    to_train = 0 if "train" in side.values() else 1
    for name in evaluating:
        if name not in side.values() and len(new) > to_train:
            side[new.pop(0)] = name
    return side | dict.fromkeys(new, "train")


def _linked(items: Sequence[SplitVoice]) -> list[list[int]]:
    """Indices of conversations that a kept speaker or a recording links, through any number of others."""
    links = [
        (index, key)
        for index, item in enumerate(items)
        for key in (("recording", item.recording_id), *(("speaker", name) for name in item.kept_speakers if name))
    ]
    groups: dict[int, dict[int, None]] = defaultdict(dict)
    for number, (index, _) in zip(joined_groups(links).tolist(), links, strict=True):
        groups[number][index] = None
    return [[*group] for group in groups.values()]


def _by_key(items: Sequence[SplitVoice], keys: Sequence[str]) -> dict[str, list[SplitVoice]]:
    groups: dict[str, list[SplitVoice]] = defaultdict(list)
    for item, key in zip(items, keys, strict=True):
        groups[key].append(item)
    return dict(groups)
