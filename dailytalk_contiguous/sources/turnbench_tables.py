"""A folder of TurnBench's tables as INPUT: its conversations become files of the cache, as rows of the Hub do.

A folder is one if its first Parquet file, in it or in its `data`, has the sound of both speakers. Each
conversation is written once, as stereo FLAC with the transcript of its annotators beside it.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.core.turns.turnbench_layout import AUDIO_COLUMNS, ID_COLUMN
from dailytalk_contiguous.machine.resources import cache_folder
from dailytalk_contiguous.sources.hub_tables import (
    TRACK_COLUMNS,
    TablePlan,
    WrittenRecordings,
    finished_tables,
    write_tables,
)
from dailytalk_contiguous.sources.recordings import stamp_of
from dailytalk_contiguous.store.parquet import open_parquet

#: Raised whenever other files are made of the same tables.
TABLES_VERSION = 1

_REMEDY = "save the table again"


def turnbench_shards(folder: Path) -> list[Path]:
    """Return the tables of a folder by name; none if it is no folder, or its first table has other columns."""
    shards = sorted(folder.glob("*.parquet")) or sorted(folder.glob("data/*.parquet"))
    if not shards:
        return []
    try:
        with open_parquet(shards[0], _REMEDY) as parquet:
            names = set(parquet.schema.names)
    except (BadInput, OSError):  # whatever it is, it is not known to be TurnBench's
        return []
    return shards if names >= set(AUDIO_COLUMNS) else []


def written_turnbench(shards: Sequence[Path]) -> tuple[Path, WrittenRecordings]:
    """Return the folder of the recordings of these tables and the list of them, written by now at the latest."""
    stamps = [f"{shard.absolute()}\0{stamp_of(shard)}" for shard in shards]
    content = json.dumps([TABLES_VERSION, stamps])
    digest = hashlib.sha256(content.encode("utf-8", "backslashreplace")).hexdigest()
    folder = cache_folder() / "turnbench" / digest[:20]
    record = finished_tables(folder)
    if record is None:
        names = {str(shard): shard for shard in shards}
        plan = TablePlan({"": [*names]}, AUDIO_COLUMNS, ID_COLUMN, TRACK_COLUMNS, folder, "TurnBench")
        record = write_tables(plan, partial(_rows_of_table, names, plan.columns))
    return folder, record


def _rows_of_table(names: dict[str, Path], columns: Sequence[str], name: str) -> Iterator[Row | BadInput]:
    """Yield the rows of a table with these columns as far as it has them, and why no more can be read."""
    try:
        with open_parquet(names[name], _REMEDY) as parquet:
            present = [column for column in columns if column in parquet.schema.names]
            yield from parquet.rows(present)
    except BadInput as problem:
        yield problem
