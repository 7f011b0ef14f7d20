"""A training folder as others find it: its manifests, and what its export has kept of each conversation."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core import documents
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.sampling import MOST_WEIGHT
from dailytalk_contiguous.core.schema import MAIN
from dailytalk_contiguous.core.turns import SPACELESS, Timed, TimedConversation, join_spans
from dailytalk_contiguous.publish import items
from dailytalk_contiguous.publish.clip_folder import MANIFESTS
from dailytalk_contiguous.store.files import inside
from dailytalk_contiguous.store.work_folder import RECORD

#: Names of the two manifests of the folder of a corpus, by side.
CLIP_MANIFESTS = {"train": MANIFESTS["train"], "eval": MANIFESTS["validation"]}


#: Words of a turn that a folder may speak of.
_MOST_WORDS = 1_000_000


#: What is known of the conversations of an export, by their ids.
ABOUT_SHAPE = {
    str: {
        "files": [str],
        "split": str,
        "kept_speakers?": [str],
        "duration": float,
        "voices": [str],
        "language?": str,
        "turns": [list],
        "measures?": {str: float},
        "unsure?": {str: int},
        "recorded_overlap?": float,
        "talk?": bool,
        "separated?": {"utterances": int, "doubtful": int, "seconds": float, "mixed": float},
        "separated_by?": [{"role?": str, "name": str, "licence?": str, "url?": str}],
    }
}


def most_listed(path: Path) -> int:
    """How often the manifest of a training folder may name a file that trains: more than once only by weight."""
    if manifests_in(path, CLIP_MANIFESTS):
        return math.ceil(MOST_WEIGHT)
    return (
        int(items.read_shaped(inside(path, items.MIX), RECORD).get("most_listed") or 1)
        if (path / items.MIX).is_file()
        else 1
    )


def manifests_in(data: Path, names: Mapping[str, str]) -> dict[str, str]:
    """The manifests of a folder, of these names by side."""
    return {side: name for side, name in names.items() if (data / name).is_file()}


def about_conversations(data: Path) -> dict[str, Any]:
    """What an export has kept of its conversations, by their ids; empty without. Raises BadInput."""
    return (
        items.read_shaped(inside(data, items.ABOUT), ABOUT_SHAPE, documents.MOST_OWN_BYTES)
        if (data / items.ABOUT).is_file()
        else {}
    )


def timed_conversation(name: str, conversation: Mapping[str, Any]) -> TimedConversation:
    """Who speaks when in a conversation of an export, the main speaker left. Raises BadInput, with its name."""
    timed, words = [], list[int | None]()
    for turn in conversation["turns"]:
        match turn:
            case [int() | float() as start, int() | float() as end, str(side), *counted] if (
                0 <= start <= end <= documents.LATEST
            ):
                timed.append(Timed("left" if side == MAIN else "right", start, end))
                is_count = len(counted) == 1 and type(counted[0]) is int and 0 <= counted[0] <= _MOST_WORDS
                words.append(counted[0] if is_count else None)
            case _:
                problem = f"a turn of {documents.quoted(name)} is {documents.quoted(turn)}"
                raise BadInput(f"{problem}, not [start, end, speaker, words]", items.AGAIN)
    if not documents.is_number(conversation["duration"], 0.0, documents.LATEST):
        raise BadInput(f"{documents.quoted(name)} lasts {conversation['duration']} s", items.AGAIN)
    known = [] if conversation.get("language") in SPACELESS else [count for count in words if count is not None]
    return TimedConversation(
        timed,
        join_spans(timed),
        [None] * len(timed),
        conversation["duration"],
        known if len(known) == len(timed) else None,
    )
