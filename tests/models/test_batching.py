import gc
import logging

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.models.devices import Room, plan_batches, run_batched, within_memory


@pytest.fixture(autouse=True, scope="module")
def _little_to_look_through() -> None:
    """What ran out of memory once looks for what it can free: not through all that other tests have left."""
    gc.freeze()


LENGTHS = st.lists(st.floats(0, 60), max_size=40)
BUDGETS = st.floats(0.1, 100)


@given(LENGTHS, BUDGETS)
def test_padded_audio_stays_within_the_budget_unless_one_item_exceeds_it(
    seconds: list[float], budget: float
) -> None:
    for batch in plan_batches(seconds, budget):
        longest = max(seconds[index] for index in batch)
        assert longest * len(batch) <= budget or len(batch) == 1


def test_a_single_item_that_never_fits_is_said_with_its_length_and_a_way_out() -> None:
    calls = []

    def call(batch: list[int]) -> list[int]:
        calls.append(batch)
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(DailytalkError, match=r"42\.0 s of audio does not fit .*--workers.*--device cpu"):
        run_batched([0, 1], [3.0, 42.0], 100.0, call)
    assert calls == [[1, 0], [1], [1]]


# As CTranslate2, cuBLAS in CTranslate2, cuBLAS in PyTorch, and PyTorch's allocator say it.
@pytest.mark.parametrize(
    "told",
    ["CUDA failed with error out of memory", "CUDA out of memory. Tried to allocate 2.00 GiB"],
)
def test_memory_that_ran_out_is_known_in_all_its_words(told: str) -> None:
    failures = [RuntimeError(told)]

    def load() -> str:
        if failures:
            raise failures.pop()
        return "a model"

    assert within_memory(load, "it") == "a model"
    failures += [RuntimeError(told), RuntimeError(told)]
    with pytest.raises(DailytalkError, match="it does not fit into memory: run fewer --workers"):
        within_memory(load, "it")


def test_what_did_not_fit_is_known_to_the_next_call_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    room = Room()
    sizes = []

    def call(batch: list[int]) -> list[int]:
        sizes.append(len(batch))
        if len(batch) > 2:
            raise RuntimeError("out of memory")
        return batch

    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            run_batched(range(4), [1.0] * 4, 4.0, call, room)
    assert sizes == [4] + [2] * 6
    assert len(caplog.records) == 1
