"""Calls of a stage on items of which it may refuse some, or on some of which its model may fail.

An item is a conversation, or a row of the columns that a stage maps.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.schema import Batch, Row
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.machine.interrupts import check_interrupt
from dailytalk_contiguous.models.failures import each_that_works, failure_text

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

#: Why items can't be used, by their places.
Problems = dict[int, BadInput]


class Called(Protocol):
    """A stage that is called here (`stages.base.Stage`)."""

    @property
    def name(self) -> str: ...

    @property
    def if_model_fails(self) -> str: ...

    @property
    def by_row(self) -> bool: ...


def attempted(
    stage: Called,
    items: Sequence[_Item],
    call: Callable[[Sequence[_Item]], Sequence[_Result]],
    divides: bool = True,
) -> tuple[dict[int, _Result], Problems]:
    """Return the results of a stage for items, and why it has none for the others, by their places.

    A stage that takes its items one by one is called once for each. One that takes several at once is called again
    without an item that it refused, and on ever smaller parts if its model fails (`Stage.if_model_fails`). Between
    two calls, a Ctrl-C is raised.

    Args:
        stage: the stage, whose model may fail.
        items: the items, in order.
        call: returns a result for each item. It raises BadInput, with its place, for one that it refuses.
        divides: whether a group on which the model fails is divided; `call` may do that itself.

    Raises an error of the stage's model that should end the run (`models.failures`).
    """
    results: dict[int, _Result] = {}
    problems = Problems()
    groups: Iterable[list[int]] = [[*range(len(items))]]
    if stage.by_row:
        groups = steps("conversations", [[index] for index in range(len(items))], len(items))
    for group in groups:
        while group:
            check_interrupt()
            try:
                group_results, reasons = _results_of_group(stage, items, group, call, divides)
            except BadInput as error:
                position = error.row or 0
                problems[group.pop(position)] = error
                continue
            results |= group_results
            for index, reason in reasons.items():
                problems[index] = model_failure(stage, reason)
            break
    return results, problems


def _results_of_group(
    stage: Called,
    items: Sequence[_Item],
    group: Sequence[int],
    call: Callable[[Sequence[_Item]], Sequence[_Result]],
    divides: bool,
) -> tuple[dict[int, _Result], dict[int, str]]:
    """The results for a group of items, and why the model failed on the others of it."""

    def call_part(part: Sequence[int]) -> Sequence[_Result]:
        try:
            return call([items[index] for index in part])
        except BadInput as error:
            position = error.row or 0
            raise error.at_row(group.index(part[position])) from error.__cause__

    if divides and stage.if_model_fails:
        return all_that_work(call_part, group, stage.name)
    return dict(zip(group, call_part(group), strict=True)), {}


def all_that_work(
    call: Callable[[Sequence[int]], Sequence[_Result]], items: Sequence[int], model: str
) -> tuple[dict[int, _Result], dict[int, str]]:
    """`models.failures.each_that_works` and, where some fail, a call for all others together.

    A model may compare the items of a batch.
    """
    results, reasons = each_that_works(call, items, model)
    if results and reasons:
        works = [*results]
        try:
            results = dict(zip(works, call(works), strict=True))
        except Exception as error:  # the results of the parts are kept
            if failure_text(error) is None:
                raise
    return results, reasons


def model_failure(stage: Called, reason: str) -> BadInput:
    """The error of an item on which the model of a stage failed."""
    return BadInput(f"the model of {stage.name} failed on it ({reason})", stage.if_model_fails)


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
