"""Batches bounded by seconds of audio, and a way on when one does not fit into memory.

Audio of a batch is padded to its longest item, so what a batch costs is its longest item times its count; a
fixed number of items would waste memory on short ones and burst on long ones. How much fits is only known by
trying, so a batch that does not fit is cut in half, and so are those after it, instead of ending the run. What
was learnt is kept beside the model (`Room`): it is said once, and not tried again with every conversation.
"""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

#: Seconds that an item counts at least: a budget of nothing would hold any number of items of no length.
SHORTEST = 1e-3

Item = TypeVar("Item")
Result = TypeVar("Result")

log = logging.getLogger(__name__)


@dataclass
class Room:
    """How much of a model's batches fits into memory: `seconds` of padded audio, as far as is known."""

    seconds: float = math.inf


def plan(seconds: Sequence[float], budget: float) -> list[list[int]]:
    """Group items into batches whose longest item times their count is at most `budget` seconds.

    An item that is longer than the budget is a batch by itself. Longest items come first, so that what does
    not fit shows at once; items of the same length keep their order.

    Returns:
        The indices of the items, each in exactly one batch.

    Raises:
        ValueError: the budget is not positive, or a length is negative or not a number.
    """
    if not budget > 0:
        raise ValueError(f"the budget of a batch must be positive seconds, not {budget}")
    wrong = [length for length in seconds if not 0 <= length < math.inf]
    if wrong:
        raise ValueError(f"lengths must be finite and not negative, not {wrong[0]}")
    batches: list[list[int]] = []
    for index in sorted(range(len(seconds)), key=lambda index: (-seconds[index], index)):
        if batches and seconds[batches[-1][0]] * (len(batches[-1]) + 1) <= budget:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def run_batched(
    items: Sequence[Item],
    seconds: Sequence[float],
    budget: float,
    call: Callable[[list[Item]], Sequence[Result]],
    room: Room | None = None,
) -> list[Result]:
    """Call `call` on batches of `items` and return its results in the order of `items`.

    Args:
        items: anything; `call` gets a list of them and returns one result for each, in the same order.
        seconds: length of each item.
        budget: seconds of padded audio in a batch, as in `plan`.
        call: run once a batch. If it runs out of memory, that batch and the rest are run in halves.
        room: of the model that `call` runs. No batch is larger, and it shrinks when a batch did not fit.

    Raises:
        RuntimeError: a single item does not fit into memory (as `call` raised it, with a note of its length).
        ValueError: `call` returned another number of results than it got items; or see `plan`.
    """
    if len(items) != len(seconds):
        raise ValueError(f"{len(items)} items but {len(seconds)} lengths")
    seconds = [max(length, SHORTEST) for length in seconds]
    room = room or Room()
    results: dict[int, Result] = {}
    waiting = plan(seconds, min(budget, room.seconds))
    while waiting:
        batch = waiting.pop(0)
        found = _try([items[index] for index in batch], seconds[batch[0]], call)
        if found is None:
            room.seconds = seconds[batch[0]] * len(batch) / 2
            log.warning("a batch of %d items did not fit into memory; going on with halves of it", len(batch))
            left = sorted(batch + [index for later in waiting for index in later])
            waiting = [[left[place] for place in part] for part in plan([seconds[i] for i in left], room.seconds)]
            continue
        if len(found) != len(batch):
            raise ValueError(f"a batch of {len(batch)} items gave {len(found)} results")
        results.update(zip(batch, found, strict=True))
    return [results[index] for index in range(len(items))]


def _try(
    items: list[Item], longest: float, call: Callable[[list[Item]], Sequence[Result]]
) -> Sequence[Result] | None:
    """What `call` returns, or None if it ran out of memory and the batch can be made smaller."""
    try:
        return call(items)
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
        if len(items) == 1:
            error.add_note(f"one item of {longest:.1f} s does not fit into memory by itself")
            raise
    # Only here, with the exception gone, are the tensors that its traceback held free to be given back.
    _free_cached_memory()
    return None


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Whether PyTorch (an own class) or CTranslate2 (a plain RuntimeError) means that memory ran out."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error).lower()


def _free_cached_memory() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
