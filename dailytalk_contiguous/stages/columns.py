"""Stages that map columns to columns, as people write theirs: `needs` in, `adds` out, one item a row.

They know no conversation. `ColumnStage` runs them on a batch of which rows may be unusable.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from datasets import Features

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.schema import Batch, Row
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.models.failures import each_that_works, failure_text, record

_Value = TypeVar("_Value")

#: Why rows of a batch can't be used, by their places in it.
Problems = dict[int, BadInput]


class MapsColumns(Protocol):
    """A stage as it is run here (`stages.base.Stage` explains its attributes)."""

    @property
    def needs(self) -> tuple[str, ...]: ...

    @property
    def uses(self) -> tuple[str, ...]: ...

    @property
    def adds(self) -> Features: ...

    @property
    def if_model_fails(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def by_row(self) -> bool: ...

    def row(self, row: Row) -> Row: ...

    def __call__(self, batch: Batch, /) -> Batch: ...


@dataclass(frozen=True)
class ColumnStage:
    """A stage that maps columns, on batches of which rows may be unusable, or its model may fail on some."""

    stage: MapsColumns

    def read(self, columns: Iterable[str]) -> list[str]:
        """Which of these columns the stage reads, in its order."""
        present = {*columns}
        return [name for name in (*self.stage.needs, *self.stage.uses) if name in present]

    def attempt(self, batch: Batch) -> tuple[Batch, Problems]:
        """The columns of the stage, with null for rows that can't be used, and why, by their places.

        A stage that takes its rows one by one is called once for each. A stage that takes a batch as a whole is
        called again without the row that it refused. A Ctrl-C is raised between two calls.
        """
        interrupts.check_interrupt()
        if self.stage.by_row:
            return self._attempt_by_row(batch)
        names = self.read(batch)
        if not names:
            return self.stage(batch), {}
        problems = Problems()
        n_rows = len(batch[names[0]])
        usable = list(range(n_rows))
        while usable:
            interrupts.check_interrupt()
            try:
                columns, failures = self.working(select_items(batch, names, usable))
            except BadInput as error:
                position = error.row or 0
                problems[usable.pop(position)] = error
                continue
            for position, failure in failures.items():
                problems[usable[position]] = failure
            if problems:
                columns = {name: with_nulls(values, usable, n_rows) for name, values in columns.items()}
            return columns, problems
        return {name: [None] * n_rows for name in self.stage.adds}, problems

    def _attempt_by_row(self, batch: Batch) -> tuple[Batch, Problems]:
        problems = Problems()
        results: list[Row] = []
        rows = list(rows_in(batch, self.read(batch)))
        for index, row in enumerate(steps("conversations", rows, len(rows))):
            interrupts.check_interrupt()
            try:
                results.append(self._worked_row(row))
            except BadInput as error:
                results.append(dict.fromkeys(self.stage.adds))
                problems[index] = error
        return columns_from_rows(results, self.stage.adds), problems

    def _worked_row(self, row: Row) -> Row:
        """`row`, with BadInput in place of an error of the stage's model."""
        try:
            columns = self.stage.row(row)
        except Exception as error:  # whatever a model raises
            reason = failure_text(error) if self.stage.if_model_fails else None
            if reason is None:
                raise
            record.failed(self.stage.name, reason)
            raise self._failure(reason) from error
        if self.stage.if_model_fails:
            record.worked(self.stage.name)
        return columns

    def working(self, batch: Batch) -> tuple[Batch, Problems]:
        """The columns of a batch whose rows can be used, with null where the stage's model failed, and why.

        Raises the model's error if that should end the run (`models.failures`), and BadInput as the stage does.
        """
        try:
            columns = self.stage(batch)
        except BadInput:
            raise
        except Exception as error:  # of the stage's model, whatever it is
            if not self.stage.if_model_fails or failure_text(error) is None:
                raise
            return self._in_parts(batch)
        if self.stage.if_model_fails:
            record.worked(self.stage.name)
        return columns, {}

    def _in_parts(self, batch: Batch) -> tuple[Batch, Problems]:
        """`working` for a batch on which the model has failed as a whole."""
        indices = range(len(next(iter(batch.values()))))

        def rows_of_part(part: Sequence[int]) -> list[Row]:
            try:
                columns = self.stage(select_items(batch, batch, part))
            except BadInput as error:
                position = error.row or 0
                raise error.at(part[position]) from None
            return list(rows_in(columns, [*self.stage.adds]))

        rows, reasons = each_that_works(rows_of_part, indices, self.stage.name)
        if rows and reasons:
            # All together again, since a model may compare the utterances of a batch.
            others = [*rows]
            try:
                rows = dict(zip(others, rows_of_part(others), strict=True))
            except Exception as error:  # the results of the parts are kept
                if failure_text(error) is None:
                    raise
        nothing: Row = dict.fromkeys(self.stage.adds)
        columns = columns_from_rows([rows.get(index, nothing) for index in indices], self.stage.adds)
        return columns, {index: self._failure(reason) for index, reason in reasons.items()}

    def _failure(self, reason: str) -> BadInput:
        return BadInput(f"the model of {self.stage.name} failed on it ({reason})", self.stage.if_model_fails)


def rows_in(batch: Batch, names: Sequence[str]) -> Iterator[Row]:
    """The rows of a batch, with these columns."""
    for values in zip(*(batch[name] for name in names), strict=True):
        yield dict(zip(names, values, strict=True))


def columns_from_rows(rows: Sequence[Row], names: Iterable[str]) -> Batch:
    """A batch with these columns of rows."""
    batch: Batch = {}
    for name in names:
        batch[name] = [row[name] for row in rows]
    return batch


def select_items(batch: Batch, names: Iterable[str], indices: Sequence[int]) -> Batch:
    """A batch with these columns, and of each the items at these indices."""
    selected: Batch = {}
    for name in names:
        column = batch[name]
        selected[name] = [column[index] for index in indices]
    return selected


def with_nulls(values: Sequence[_Value], indices: Sequence[int], n_rows: int) -> list[_Value | None]:
    """`values` at `indices` among `n_rows` rows, null at all others."""
    column: list[_Value | None] = [None] * n_rows
    for index, value in zip(indices, values, strict=True):
        column[index] = value
    return column
