"""Rows that wait: a few columns at hand for planning, all the others compressed until the row's turn comes.

A transcript of a thousand hours takes 8 GB as rows of words, and a twentieth of that folded. Folded values never
leave this process and its workers: nothing on disk is written so.
"""

import pickle
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

#: Columns that a conversation shows before it is unfolded: what a plan, or a worker that fetches recordings, asks
#: for.
AT_HAND = ("conversation_id", "recording_id", "audio", "duration", "input_digest")

#: zlib's fastest level: higher ones take several times as long for a tenth less.
LEVEL = 1


class Folded(dict[str, Any]):
    """A row whose items are the columns at hand; asking it for another column is a KeyError."""

    rest: bytes


def fold(value: Any) -> bytes:
    """Any plain value, compressed."""
    return zlib.compress(pickle.dumps(value, pickle.HIGHEST_PROTOCOL), LEVEL)


def unfold(folded: bytes) -> Any:
    """The value that `fold` was given."""
    return pickle.loads(zlib.decompress(folded))


def folded(row: Mapping[str, Any], at_hand: Iterable[str]) -> Folded:
    """A row with only the columns `at_hand` open."""
    found = Folded({name: row[name] for name in at_hand})
    found.rest = fold({name: value for name, value in row.items() if name not in found})
    return found


def unfolded(row: Mapping[str, Any]) -> dict[str, Any]:
    """A new row with all columns, whether it was folded or not."""
    return {**row, **unfold(row.rest)} if isinstance(row, Folded) else dict(row)
