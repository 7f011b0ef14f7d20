"""A work folder as the version that it would be, without its sound: to compare it with versions.

The rows are those that `push` would publish; of their sound there is the digest alone, so a corpus of any length
takes a few megabytes.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from datasets import Features

from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.schema import AUDIO_COLUMN, CONFIGS, Row
from dailytalk_contiguous.publish.exports.splits import split_conversations
from dailytalk_contiguous.publish.hub.packing import SHARES, Publishable, flac_columns, published_conversation
from dailytalk_contiguous.publish.items import Place, Shards
from dailytalk_contiguous.publish.version import Version, open_version
from dailytalk_contiguous.store.parquet import write_parquet


def write_outline(
    items: Shards,
    folder: Path,
    splits: Mapping[str, str] = {},
    audio_columns: tuple[str, ...] = (AUDIO_COLUMN,),
) -> Version:
    """Write the finished conversations of a work folder into another folder, without sound, and open them.

    Args:
        items: the work folder, as `publish.opening.finished_items` opens it.
        folder: an empty one.
        splits: of the version that it is compared with; what is new is divided as `push` does by default.
        audio_columns: those of the sound in that version.

    Raises DailytalkError: the folder holds no row that can be published, or one of them can't be read.
    """
    publishable = Publishable(items)
    features = publishable.features(CONFIGS[0], audio_columns)
    split_of = publishable.split(partial(split_conversations, shares=SHARES, before=splits))
    places = defaultdict[str, list[Place]](list)
    for name in sorted(publishable.finished):
        places[split_of[name]].append(publishable.finished[name].row_place)
    for split, split_places in places.items():
        path = folder / CONFIGS[0] / f"{split}-00000-of-00001.parquet"
        write_parquet(path, features, _groups(items, sorted(split_places), features))
    return open_version(folder)


def _groups(items: Shards, places: list[Place], features: Features) -> Iterator[list[Row]]:
    """The rows at these places as they would be published, without sound, in groups."""
    group: list[Row] = []
    for row in items.rows_at(places):
        published = published_conversation(from_finished(row), row, items.run)
        digest = flac_columns("", row[AUDIO_COLUMN]["bytes"] or b"")
        group.append(dict.fromkeys(features) | published | digest | {AUDIO_COLUMN: None})
        if len(group) == 64:
            yield group
            group = []
    if group:
        yield group
