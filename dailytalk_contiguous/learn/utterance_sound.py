"""The sound of utterances that have tokens: of the recordings that their shards know, or of what was encoded.

A folder may come from somebody else, and a page with sound may be shared. So a recording is taken from where a
shard says only if it is the one that was encoded; anything else the user names.
"""

from pathlib import Path

from dailytalk_contiguous.core.audio import Samples, read_at
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import CHANNELS, Row
from dailytalk_contiguous.learn.token_rows import TOKEN_SHARDS
from dailytalk_contiguous.publish.items import Items, ItemSound, TaggedItems, clip_shards, open_items
from dailytalk_contiguous.run.tagging import TAGGED
from dailytalk_contiguous.store.parquet import open_parquet

_NAME_IT = "name what was encoded with --sound"


def open_sound(folder: Path, source: str | None = None) -> Items:
    """What gives `utterance_sound` the sound of a folder of tokens or embeddings.

    Args:
        folder: of tokens; None of its rows are read.
        source: what was encoded, as `open_items` takes it, or a folder of tokens; None for the recordings that the
            shards of `folder` know.

    Raises DailytalkError where nothing says where the sound is.
    """
    if source is not None and not clip_shards(Path(source) / TOKEN_SHARDS):
        return open_items(source)
    folder = folder if source is None else Path(source)
    shards = next((name for name in (TOKEN_SHARDS, TAGGED) if clip_shards(folder / name)), None)
    if shards is None:
        raise DailytalkError(f"{as_text(folder)!r} does not say where its sound is", _NAME_IT)
    with open_parquet(clip_shards(folder / shards)[0], "make it again with `dailytalk tokens encode`") as file:
        if "run" not in file.schema.names:  # no recordings were searched
            raise DailytalkError(f"{as_text(folder)!r} was encoded from what was finished before", _NAME_IT)
    return TaggedItems(folder, shards)


def utterance_sound(items: Items, row: Row, sample_rate: int, longest: float | None = None) -> Samples:
    """The samples (n, 1) of an utterance at a rate in Hz.

    Args:
        items: of `open_sound`. row: as of `learn.token_rows.token_rows`.
        longest: seconds after which it is cut; None for all of it.

    Raises BadInput if its sound is not there, can't be read or has no such channel.
    """
    return cut_sound(items.sound(row["conversation_id"]), row, sample_rate, longest)


def cut_sound(sound: ItemSound, row: Row, sample_rate: int, longest: float | None = None) -> Samples:
    """The samples of an utterance in the sound of its conversation; the rest is as of `utterance_sound`."""
    audio, offset = sound
    start = max(0.0, row["start"] or 0.0)
    seconds = None if row["end"] is None else max(0.0, row["end"] - start)
    if longest is not None:
        seconds = longest if seconds is None else min(seconds, longest)
    try:
        samples = read_at(audio, sample_rate, offset + start, seconds)
    except OSError as error:
        raise BadInput(f"its sound can't be read ({error.strerror or error})", _NAME_IT) from None
    place = CHANNELS.index(row["channel"]) if row["channel"] in CHANNELS and samples.shape[1] > 1 else 0
    if samples.shape[1] > 2 or not len(samples):
        raise BadInput(f"its sound has the shape {samples.shape}, and no such utterance", _NAME_IT)
    return samples[:, place : place + 1]
