"""A stage as the function of `dataset.map(stage, batched=True)`.

`datasets` guesses the types of what a function returns from its first batch, so a first batch of nulls or empty
lists makes the next one fail. For an eager dataset, columns that state their types (`TypedColumn`) prevent that. A
stream keeps no types whatever a function returns, and `datasets` takes a column of audio for a struct: in both
cases the stage refuses, and names `stage.map`, which passes the types.
"""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
from datasets import Features

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.schema import Batch, Row


class TypedColumn(list[object]):
    """The values of a column, which Arrow stores as this type, also where all are null or empty."""

    def __init__(self, values: Iterable[object], kind: pa.DataType) -> None:
        super().__init__(values)
        self._kind = kind

    def __arrow_array__(self, type: pa.DataType | None = None) -> pa.Array:
        """Return the values as Arrow takes them. Raises DailytalkError for more than 2 GB of bytes or text."""
        array = pa.array(list(self), self._kind)
        if isinstance(array, pa.ChunkedArray):  # which `datasets` would join, and Arrow can't
            reason = f"a batch of {len(self)} rows has more than the 2 GB that a column holds"
            raise DailytalkError(reason, "give map a smaller batch_size, or write stage.map(dataset)")
        return array if type is None else array.cast(type)


def refused_plain_map(stage: str, reason: str) -> DailytalkError:
    """The error of a stage of this name that can't be the function of a plain `map`."""
    remedy = "write stage.map(dataset) in place of dataset.map(stage, …)"
    return DailytalkError(f"{stage} can't be given to map as a function: {reason}", remedy)


def shown_by_arrow(features: Features) -> bool:
    """Return whether the Arrow types of columns say all about them: not of `Audio`, which is a struct there."""
    types = pa.schema(list(features.type))
    return bool(Features.from_arrow_schema(types) == features)


def rows_in(batch: Batch, names: Sequence[str]) -> Iterator[Row]:
    """The rows of a batch, with these columns."""
    for values in zip(*(batch[name] for name in names), strict=True):
        yield dict(zip(names, values, strict=True))
