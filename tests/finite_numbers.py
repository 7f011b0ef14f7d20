"""What no published number may be: NaN, or infinite."""

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow.parquet as pq


def numbers(value: object, field: str) -> Iterator[tuple[str, float]]:
    """All floats in a value, each with its field."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from numbers(part, f"{field}.{name}")
    elif isinstance(value, list):
        for part in value:
            yield from numbers(part, field)
    elif isinstance(value, float):
        yield field, value


def assert_finite(paths: Iterable[Path]) -> None:
    """All numbers in all columns of Parquet files are finite, or null."""
    for path in paths:
        table = pq.read_table(path).drop_columns(["audio"])
        for row in table.to_pylist():
            for field, number in numbers(row, path.parent.name):
                assert math.isfinite(number), field
