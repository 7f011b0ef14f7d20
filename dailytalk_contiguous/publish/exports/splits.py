"""The division of conversations into training and evaluation, with no speaker in both, and the same in every run.

Groups (conversations that kept speakers, equal sound or shared words link) are in the order of a hash of their
name and the seed; those at the front evaluate until the share is reached. A conversation that was divided before
keeps its split: a model may have been trained on it, or must not be. Voices that were synthesised do not count:
they are meant to be the same everywhere.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.settings import SEED, setting
from dailytalk_contiguous.core.style.sampling import joined_groups, order_key
from dailytalk_contiguous.core.words.same_texts import NO_WORDS, Hashes, same_texts

#: The split that gets what no other takes.
TRAIN = "train"

#: Share of the time to evaluate on, where no division is settled.
EVAL_SHARE = 0.1

#: A group longer than this many times the wanted share would take too much of the training data for evaluation.
LARGEST = 2.0


@dataclass(frozen=True)
class DivisionSettings:
    """The settings by which conversations that are not divided yet go to train or eval."""

    eval_share: float | None = setting(
        None, "Share of the time to evaluate on, where no split is settled yet.",
        panel="splits", metavar="SHARE [0.01<=x<=0.5]", least=0.01, most=0.5, shown=f"({EVAL_SHARE})",
    )  # fmt: skip
    divide_anew: bool = setting(
        False, "Divide everything again; otherwise the earlier division in the folder stays.", panel="splits"
    )
    seed: int = setting(0, SEED)


class SplitVoice(NamedTuple):
    """The facts that decide the split of a conversation.

    Attributes:
        id: its id.
        kept_speakers: their names; None is one who is not known, and links no conversations.
        recording_id: its recording.
        seconds: its length.
        sound_digest: that of the sound of its source (see `Segment`); empty if unknown.
        words: hashes of its words (`core.words.same_texts.hash_words`).
    """

    id: str
    kept_speakers: tuple[str | None, ...]
    recording_id: str
    seconds: float
    sound_digest: str = ""
    words: Hashes = NO_WORDS


def split_conversations(
    conversations: Iterable[SplitVoice],
    shares: Mapping[str, float],
    before: Mapping[str, str] = {},
    seed: int = 0,
) -> dict[str, str]:
    """Return the split of every conversation id: `train`, or one of those that evaluate.

    Groups that share a kept speaker or a recording stay together if that leaves conversations for each split; else
    those of one recording do; else each conversation is alone, with its copies. One conversation trains, of two
    one evaluates in the first split.

    Args:
        shares: the splits that evaluate, with the share of the seconds that each gets.
        before: splits by id; one that is named there stays, and its group follows it. Copies that have several
            splits there stay apart.
        seed: another seed is another division.

    Raises DailytalkError: a share is out of range, or `before` names another split.
    """
    if min(shares.values()) <= 0 or sum(shares.values()) >= 1:
        listed = " and ".join(f"{share} for {name}" for name, share in shares.items())
        raise DailytalkError(
            f"shares of {listed} leave nothing to one of the splits", "give each a share above 0, together below 1"
        )
    odd = sorted({*before.values()} - {TRAIN, *shares})
    if odd:
        raise DailytalkError(
            f"the version before has the split {odd[0]!r}", f"its splits must be {', '.join([TRAIN, *shares])}"
        )
    ordered = sorted(conversations, key=lambda item: item.id)
    seconds = {item.id: item.seconds for item in ordered}
    copies = _copies(ordered, before)
    most_splits = max(0, len(seconds) - 1)
    wanted = dict(list(shares.items())[:most_splits])
    splits: dict[str, str] | None = None
    for n_keys, is_last in ((None, False), (2, False), (1, False), (1, True)):
        links = list[tuple[str, str]]()
        for item in ordered:
            recording = f"recording\0{item.recording_id}"
            keys = [copies[item.id], recording, *item.kept_speakers]
            links += [(item.id, key) for key in keys[:n_keys] if key]
        table = pd.DataFrame(links, columns=["name", "key"])
        names = table.groupby(joined_groups(links))["name"]
        first = names.transform("min")
        group_of: dict[str, str] = dict(zip(table["name"], first, strict=True))
        splits = _by_group(group_of, seconds, wanted, before, seed, is_last)
        if splits is not None:
            break
    assert splits is not None
    return splits


def _copies(conversations: Iterable[SplitVoice], before: Mapping[str, str]) -> dict[str, str]:
    """Return a name for the copies that each conversation, by id, is among: those with its sound or its words.

    Copies that have several splits have several names, and new ones that of the first.
    """
    links = [(item.id, f"sound\0{item.sound_digest or item.id}") for item in conversations]
    for longer, shorter in same_texts({item.id: item.words for item in conversations}):
        links.append((longer, f"words\0{longer}"))
        links.append((shorter, f"words\0{longer}"))
    groups = joined_groups(links).tolist()
    first_split: dict[int, str] = {}
    for (name, _), group in zip(links, groups, strict=True):
        if name in before:
            first_split.setdefault(group, before[name])
    copies = {}
    for (name, _), group in zip(links, groups, strict=True):
        split = before.get(name) or first_split.get(group, "")
        copies[name] = f"copies\0{group}\0{split}"
    return copies


def _by_group(
    group_of: Mapping[str, str],
    seconds: Mapping[str, float],
    shares: Mapping[str, float],
    before: Mapping[str, str],
    seed: int,
    is_last: bool,
) -> dict[str, str] | None:
    """Return the split of every name; None if a group was divided before, or new names would leave a split empty.

    The last try is for so few names that each is a large part of all: the shortest new ones evaluate where nothing
    else does.
    """
    split_of: dict[str, str] = {}
    lengths: dict[str, float] = defaultdict(float)
    for name, group in group_of.items():
        lengths[group] += seconds[name]
        if name in before and split_of.setdefault(group, before[name]) != before[name]:
            return None
    undivided = lengths.keys() - split_of.keys()
    new = sorted(undivided, key=lambda group: order_key(group, seed))
    if is_last:
        new.sort(key=lambda group: (lengths[group], group))
    for split, share in shares.items():
        wanted = share * sum(lengths.values())
        held = sum(lengths[group] for group, split_name in split_of.items() if split_name == split)
        for group in new:
            is_too_long = lengths[group] > LARGEST * wanted and not is_last
            if group in split_of or is_too_long:
                continue
            # One is left to train.
            is_left_to_train = TRAIN not in split_of.values() and len(split_of) + 1 == len(lengths)
            # A group that ends further from the share than it begins trains, too.
            ends_further = held + lengths[group] - wanted > wanted - held
            if is_left_to_train or (held and (is_last or ends_further)):
                break
            split_of[group] = split
            held += lengths[group]
    split_of = dict.fromkeys(lengths, TRAIN) | split_of
    empty = {TRAIN, *shares} - {*split_of.values()}
    if new and empty and not is_last:
        return None
    return {name: split_of[group] for name, group in group_of.items()}


def disjoint_in(conversations: Iterable[SplitVoice], split_of: Mapping[str, str]) -> str:
    """Return what no two splits share: `speakers` (all kept ones are known), `recordings` or `conversations`."""
    splits_of_recording: dict[str, set[str]] = defaultdict(set)
    splits_of_speaker: dict[str | None, set[str]] = defaultdict(set)
    for item in conversations:
        split = split_of[item.id]
        for speaker in item.kept_speakers:
            splits_of_recording[item.recording_id].add(split)
            splits_of_speaker[speaker].add(split)
    if any(len(splits) > 1 for splits in splits_of_recording.values()):
        return "conversations"
    are_known = None not in splits_of_speaker
    are_apart = {len(splits) for splits in splits_of_speaker.values()} == {1}
    return "speakers" if are_known and are_apart else "recordings"
