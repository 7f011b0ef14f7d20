"""A stage as the function of `dataset.map(stage, batched=True)`.

`datasets` guesses the types of what a function returns from its first batch, so a first batch of nulls or empty
lists makes the next one fail. For an eager dataset, columns that state their types (`TypedColumn`) prevent that. A
stream keeps no types whatever a function returns, and `datasets` takes a column of audio for a struct: in both
cases the stage refuses, and names `stage.map`, which passes the types.
"""

import functools
import sys
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

import pyarrow as pa
from datasets import Features
from datasets.formatting.formatting import LazyBatch

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.schema import Batch

#: The modules of `datasets` that call the function of `map`.
_CALLERS = frozenset({"datasets.arrow_dataset", "datasets.iterable_dataset"})


class PlainlyMapped(Protocol):
    """A stage as a plain map needs it."""

    @property
    def name(self) -> str: ...

    def plain_map(self, batch: LazyBatch) -> Batch: ...


_Mapped = TypeVar("_Mapped", bound=PlainlyMapped)


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


def takes_plain_map(call: Callable[[_Mapped, Batch], Batch]) -> Callable[[_Mapped, Batch], Batch]:
    """Return the `__call__` of a stage which, called by the `map` of an eager dataset, runs its `plain_map`.

    The result raises DailytalkError if `datasets` calls it with a batch to which types can't be given.
    """

    # Not with the names of `call`: a class of a notebook is pickled whole, and would take this module along.
    @functools.wraps(call, assigned=("__doc__",))
    def called(stage: _Mapped, batch: Batch) -> Batch:
        if isinstance(batch, LazyBatch):
            return stage.plain_map(batch)
        # A batch of a stream is a dict as any other. Only its caller shows where the columns go.
        caller = sys._getframe(1).f_globals.get("__name__")
        if caller in _CALLERS:
            raise refused_plain_map(stage, "only batches of an eager dataset without a format take its types")
        return call(stage, batch)

    return called


def refused_plain_map(stage: PlainlyMapped, reason: str) -> DailytalkError:
    """The error of a stage that can't be the function of a plain `map`."""
    remedy = "write stage.map(dataset) in place of dataset.map(stage, …)"
    return DailytalkError(f"{stage.name} can't be given to map as a function: {reason}", remedy)


def shown_by_arrow(features: Features) -> bool:
    """Return whether the Arrow types of columns say all about them: not of `Audio`, which is a struct there."""
    types = pa.schema(list(features.type))
    return bool(Features.from_arrow_schema(types) == features)
