"""A work folder as the version that it would be, without its sound: to compare it with versions.

The rows are those that `push` would publish; of their sound there is the digest alone, so a corpus of any length
takes a few megabytes.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from datasets import Features

from dailytalk_contiguous.core.records.schema import AUDIO_COLUMN, CONFIGS, Row, published_features
from dailytalk_contiguous.core.records.utterance import FIELDS
from dailytalk_contiguous.publish.exports.splits import split_conversations
from dailytalk_contiguous.publish.hub.packing import SHARES, published_conversation, read_finished
from dailytalk_contiguous.publish.items import Place, Shards
from dailytalk_contiguous.publish.version import Version, open_version
from dailytalk_contiguous.store.parquet import write_parquet

#: Rows of a row group.
_ROWS = 64


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
    finished, rates, _ = read_finished(items, look=lambda row: None)
    sample_rate = min(rates) if len(rates) == 1 else None
    fields = (*FIELDS, *items.fields)
    features = published_features(CONFIGS[0], sample_rate, items.labelled, fields, audio_columns)
    if items.labelled:
        split_of = {name: conversation.split or "" for name, conversation in finished.items()}
    else:
        voices = [conversation.voice for conversation in finished.values()]
        split_of = split_conversations(voices, SHARES, splits)
    names_of = defaultdict[str, list[str]](list)
    for name in sorted(finished):
        names_of[split_of[name]].append(name)
    for split, names in names_of.items():
        path = folder / CONFIGS[0] / f"{split}-00000-of-00001.parquet"
        groups = _groups(items, [finished[name].row_place for name in names], features)
        write_parquet(path, features, groups)
    return open_version(folder)


def _groups(items: Shards, places: list[Place], features: Features) -> Iterator[list[Row]]:
    """The rows at these places as they would be published, without sound, in groups."""
    group = list[Row]()
    for row in items.rows_at(sorted(places)):
        published = published_conversation(row, items.run)
        published[AUDIO_COLUMN] = None
        group.append(dict.fromkeys(features) | published)
        if len(group) == _ROWS:
            yield group
            group = []
    if group:
        yield group
