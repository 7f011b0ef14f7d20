import gc
import itertools
import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.models.devices import (
    GROW_AFTER,
    Room,
    plan_batches,
    run_batched,
    run_side_by_side,
    within_memory,
)


@pytest.fixture(autouse=True, scope="module")
def _little_to_look_through() -> None:
    """What ran out of memory once looks for what it can free: not through all that other tests have left."""
    gc.freeze()


LENGTHS = st.lists(st.floats(0, 60), max_size=40)
BUDGETS = st.floats(0.1, 100)


@given(LENGTHS, BUDGETS)
def test_every_item_is_in_one_batch(seconds: list[float], budget: float) -> None:
    assert sorted(index for batch in plan_batches(seconds, budget) for index in batch) == list(range(len(seconds)))


@given(LENGTHS, BUDGETS)
def test_padded_audio_stays_within_the_budget_unless_one_item_exceeds_it(
    seconds: list[float], budget: float
) -> None:
    for batch in plan_batches(seconds, budget):
        longest = max(seconds[index] for index in batch)
        assert longest * len(batch) <= budget or len(batch) == 1


@given(LENGTHS, BUDGETS)
def test_no_two_neighbouring_batches_fit_into_one(seconds: list[float], budget: float) -> None:
    batches = plan_batches(seconds, budget)
    for first, second in itertools.pairwise(batches):
        assert max(seconds[index] for index in first) * (len(first) + 1) > budget
        assert min(seconds[index] for index in first) >= max(seconds[index] for index in second)


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, 5.0]), st.sampled_from("ab")), max_size=20), BUDGETS)
def test_items_of_different_kinds_share_no_batch_and_each_kind_is_batched_as_if_alone(
    items: list[tuple[float, str]], budget: float
) -> None:
    seconds, kinds = [length for length, _ in items], [kind for _, kind in items]
    batches = plan_batches(seconds, budget, kinds)
    for kind in "ab":
        places = [place for place, other in enumerate(kinds) if other == kind]
        alone = plan_batches([seconds[place] for place in places], budget)
        assert [batch for batch in batches if kinds[batch[0]] == kind] == [
            [places[index] for index in batch] for batch in alone
        ]
    assert sum(map(len, batches)) == len(items)


def test_items_of_one_length_keep_their_order() -> None:
    assert plan_batches([2.0, 5.0, 2.0, 5.0, 2.0], 10.0) == [[1, 3], [0, 2, 4]]


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="positive seconds, not 0"):
        plan_batches([1.0], 0)


@pytest.mark.parametrize("length", [float("nan"), -1.0, float("inf")])
def test_a_length_that_is_none_is_refused(length: float) -> None:
    with pytest.raises(ValueError, match="finite and not negative"):
        plan_batches([1.0, length], 10.0)


@given(LENGTHS, BUDGETS)
def test_results_come_back_in_the_order_of_the_items(seconds: list[float], budget: float) -> None:
    items = [str(index) for index in range(len(seconds))]
    assert run_batched(items, seconds, budget, lambda batch: [item + "!" for item in batch]) == [
        item + "!" for item in items
    ]


@given(LENGTHS, st.integers(1, 9))
def test_a_batch_that_does_not_fit_is_halved_until_it_does(seconds: list[float], fits: int) -> None:
    def double(batch: list[int]) -> list[int]:
        if len(batch) > fits:
            raise torch.OutOfMemoryError("no room")
        return [2 * item for item in batch]

    assert run_batched(range(len(seconds)), seconds, 1000.0, double) == [2 * i for i in range(len(seconds))]


def test_the_rest_is_not_tried_again_at_the_size_that_failed() -> None:
    sizes = []

    def call(batch: list[int]) -> list[int]:
        sizes.append(len(batch))
        if len(batch) > 4:
            raise RuntimeError("CUDA failed with error out of memory")
        return batch

    run_batched(range(32), [1.0] * 32, 8.0, call)
    assert sizes == [8] + [4] * 8


@given(st.lists(st.tuples(st.floats(0, 60), st.sampled_from("ab")), max_size=20), st.integers(1, 9))
def test_halves_are_of_one_kind_too(items: list[tuple[float, str]], fits: int) -> None:
    kinds = [kind for _, kind in items]

    def call(batch: list[int]) -> list[int]:
        assert len({kinds[index] for index in batch}) == 1
        if len(batch) > fits:
            raise torch.OutOfMemoryError("no room")
        return batch

    seconds = [length for length, _ in items]
    assert run_batched(range(len(items)), seconds, 1000.0, call, kinds=kinds) == list(range(len(items)))


def test_what_does_not_fit_beside_others_on_a_cpu_is_one_sentence() -> None:
    def call(batch: list[int]) -> list[int]:
        raise torch.OutOfMemoryError("no room")

    with (
        ThreadPoolExecutor(2) as pool,
        pytest.raises(DailytalkError, match=r"7\.0 s of audio does not fit into memory"),
    ):
        run_side_by_side([0], [7.0], 30.0, call, pool)


def test_halving_is_said_once_each_time(caplog: pytest.LogCaptureFixture) -> None:
    def call(batch: list[int]) -> list[int]:
        if len(batch) > 1:
            raise RuntimeError("out of memory")
        return batch

    with caplog.at_level(logging.WARNING):
        run_batched(range(4), [1.0] * 4, 4.0, call)
    assert [record.args for record in caplog.records] == [(4,), (2,)]


def test_a_single_item_that_never_fits_is_said_with_its_length_and_a_way_out() -> None:
    calls = []

    def call(batch: list[int]) -> list[int]:
        calls.append(batch)
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(DailytalkError, match=r"42\.0 s of audio does not fit .*no room.*--workers.*--device cpu"):
        run_batched([0, 1], [3.0, 42.0], 100.0, call)
    assert calls == [[1, 0], [1], [1]]


def test_a_single_item_is_tried_once_more() -> None:
    failures = [torch.OutOfMemoryError("no room")]

    def call(batch: list[int]) -> list[int]:
        if failures:
            raise failures.pop()
        return batch

    assert run_batched([7], [42.0], 100.0, call) == [7]


# As CTranslate2, cuBLAS in CTranslate2, cuBLAS in PyTorch, and PyTorch's allocator say it.
@pytest.mark.parametrize(
    "told",
    [
        "CUDA failed with error out of memory",
        "cuBLAS failed with status CUBLAS_STATUS_ALLOC_FAILED",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA out of memory. Tried to allocate 2.00 GiB",
    ],
)
def test_memory_that_ran_out_is_known_in_all_its_words(told: str) -> None:
    failures = [RuntimeError(told)]

    def load() -> str:
        if failures:
            raise failures.pop()
        return "a model"

    assert within_memory(load, "it") == "a model"


def test_another_error_of_a_second_try_stays_what_it_is() -> None:
    failures = [RuntimeError("shapes differ"), RuntimeError("out of memory")]

    def load() -> str:
        raise failures.pop()

    with pytest.raises(RuntimeError, match="shapes differ"):
        within_memory(load, "it")


def test_another_error_is_not_taken_for_lack_of_memory() -> None:
    calls = []

    def call(batch: list[int]) -> list[int]:
        calls.append(batch)
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        run_batched([0, 1], [1.0, 1.0], 9.0, call)
    assert len(calls) == 1


def test_a_call_that_loses_an_item_is_refused() -> None:
    with pytest.raises(ValueError, match="2 items gave 1 results"):
        run_batched([0, 1], [1.0, 1.0], 9.0, lambda batch: batch[:1])


def test_items_without_a_length_are_refused_before_anything_is_called() -> None:
    with pytest.raises(ValueError, match="2 items but 1 lengths"):
        run_batched(["a", "b"], [1.0], 10.0, lambda items: pytest.fail("called"))


def test_what_did_not_fit_is_known_to_the_next_call_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    room, sizes = Room(), []

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


def test_room_grows_again_once_enough_batches_have_fitted(caplog: pytest.LogCaptureFixture) -> None:
    room, sizes, fits = Room(), [], [2]

    def call(batch: list[int]) -> list[int]:
        sizes.append(len(batch))
        if len(batch) > fits[0]:
            raise RuntimeError("out of memory")
        return batch

    with caplog.at_level(logging.WARNING):
        for _ in range(GROW_AFTER // 2 + 1):
            run_batched(range(4), [1.0] * 4, 4.0, call, room)
        assert sizes == [4] + [2] * GROW_AFTER + [4, 2, 2]  # too early: nothing was freed yet
        fits[0] = 4
        for _ in range(GROW_AFTER // 2):
            run_batched(range(4), [1.0] * 4, 4.0, call, room)
    assert sizes[-1] == 4
    assert len(caplog.records) == 1


def test_room_doubles_with_every_64th_batch_that_fits() -> None:
    room = Room(seconds=1.0)
    found = []
    for _ in range(2 * GROW_AFTER):
        room.grow()
        found.append(room.seconds)
    assert found == [1.0] * 63 + [2.0] * 64 + [4.0]
