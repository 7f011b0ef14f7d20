"""Finished rows of others, judged: why a row can't be used, before anything reads it.

Rows come from work folders, versions and repositories, which other people and programs may have made.
"""

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from dailytalk_contiguous.core.documents import is_number, parse_json, quoted, typed
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records import schema
from dailytalk_contiguous.core.records.fields import value_kind
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.core.records.utterance import OPTIONAL_FIELDS, UTTERANCE
from dailytalk_contiguous.core.wording import counted

#: Seconds that a time or a length may have: a month, which no conversation takes.
MOST_SECONDS = 31 * 86400.0

#: Bytes of a finished row without its sound: two hours have a tenth.
MOST_PUBLISHED = 64 << 20

_REMEDY = "take the version again with dailytalk tag"

#: Columns of names, which readers of a dataset hold in memory for all rows.
NAME_COLUMNS = ("conversation_id", "recording_id", "language", "split")

#: Characters of a name: far more than a path has, and the longest ids are paths.
LONGEST_READ_NAME = 10_000

#: Characters of what one person says without a pause: two hours have half as many.
LONGEST_READ_TEXT = 200_000


class _ListColumn(NamedTuple):
    """A column that is a list: what an item is called, the fields that it needs, those of its channel and text."""

    item: str
    fields: frozenset[str]
    channel: str
    text: str


#: Columns that are lists. Rows of other programs may not say which words are fillers, or what a sound is.
_LISTS = {
    "utterances": _ListColumn("utterance", frozenset(UTTERANCE) - OPTIONAL_FIELDS, "channel", "text"),
    "alignments": _ListColumn(
        "word", frozenset(schema.ALIGNED_WORD) - {"filler"} - OPTIONAL_FIELDS, "speaker", "word"
    ),
    "sounds": _ListColumn("sound", frozenset(schema.SOUND) - {"label"} - OPTIONAL_FIELDS, "channel", "label"),
}


def problems_of(row: Row) -> Iterator[tuple[str, str]]:
    """Yield why a finished row can't be used, each with its column: readers rely on these checks.

    It has an id and a length, and no name of more than `LONGEST_READ_NAME` characters. Its lists hold whole
    items, each of a known channel, with a text of at most `LONGEST_READ_TEXT` characters and times that are
    numbers, except dropped utterances, which have none. A clip has one utterance, which begins inside it, and a
    weight of 0 or more. Audio and texts are checked by their users.
    """
    if not (row["conversation_id"] or "").strip():
        yield "conversation_id", "it has no conversation_id"
    for column in NAME_COLUMNS:
        if is_too_long(row.get(column)):
            length = f"{len(row[column]):,} characters"
            yield column, f"its {column} has {length}, and {LONGEST_READ_NAME:,} are read at most"
    for column in ("duration", "source_duration"):
        seconds = row[column]
        is_unknown = seconds is None and column == "source_duration"
        if not is_unknown and not is_number(seconds, 0.0, MOST_SECONDS):
            yield column, f"its {column} is {quoted(seconds)}, no length in seconds"
    for column, listed in _LISTS.items():
        for number, item in enumerate(row[column] or (), 1):
            for problem in _problems_of_item(item, listed):
                yield column, f"its {listed.item} {number} {problem}"
    labels = row.get("labels")
    if labels:
        n_utterances = len(row["utterances"] or ())
        if n_utterances != 1:
            yield "utterances", f"it is a clip and has {counted(n_utterances, 'utterance')}, not one"
        weight = labels.get("weight")
        clip_start = (labels.get("conditioning") or {}).get("clip_start")
        if not is_number(weight or 0.0, 0.0, math.inf):
            yield "labels", f"its weight is {quoted(weight)}"
        if not is_number(clip_start or 0.0, 0.0, row["duration"]):
            yield "labels", f"its clip_start is {quoted(clip_start)}"


def is_too_long(name: str | None) -> bool:
    return name is not None and len(name) > LONGEST_READ_NAME


def _problems_of_item(item: Mapping[str, object] | None, listed: _ListColumn) -> Iterator[str]:
    """Why an utterance, a word or a sound can't be used, as the rest of a sentence about it."""
    if item is None:
        yield "is empty"
        return
    missing = listed.fields - item.keys()
    if missing:
        yield f"has no {', '.join(sorted(missing))}"
        return
    text = item.get(listed.text)
    if isinstance(text, str) and len(text) > LONGEST_READ_TEXT:
        yield f"has a text of {len(text):,} characters, and {LONGEST_READ_TEXT:,} are read at most"
    channel = item[listed.channel]
    if channel not in schema.CHANNELS:
        yield f"names a channel {quoted(channel)}, not {' or '.join(schema.CHANNELS)}"
    elif item.get("status") != "dropped":
        for edge in ("start", "end"):
            time = item[edge]
            if not is_number(time, -MOST_SECONDS, MOST_SECONDS):
                yield f"has the {edge} {quoted(time)}, no time in seconds"


#: Columns that are checked before a row can be used (`problems_of`).
JUDGED = frozenset({"conversation_id", "duration", "source_duration", *_LISTS})


#: The types of the values of a finished row without its sound; a part may be missing or null.
_VALUES = value_kind({name: kind for name, kind in schema.LABELLED.items() if name != schema.AUDIO_COLUMN})


def read_published(text: str) -> Row:
    """Read the column `published`: a finished row without its sound, as JSON. Raises BadInput for another text.

    Columns, and fields of utterances, that it lacks are null.
    """
    row = parse_json(text, "its published row", _REMEDY, MOST_PUBLISHED)
    typed(row, _VALUES, "its published row", _REMEDY)
    published: Row = dict.fromkeys(schema.BUILT) | row
    for _, problem in problems_of(published):
        raise BadInput(problem, _REMEDY)
    published["utterances"] = [dict.fromkeys(UTTERANCE) | record for record in published["utterances"] or ()]
    return published
