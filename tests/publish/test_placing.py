from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.publish.packing import ROW_GROUP_HIGH, RowGroups, shard_count, shard_of

NAMES = st.sets(st.text(min_size=1, max_size=12), min_size=1, max_size=60)


def row_groups(rows: Iterable[tuple[Any, str, int]]) -> list[list[Any]]:
    """What rows with their ids and bytes are cut into."""
    groups: list[list[Any]] = []
    cutting = RowGroups(groups.append)
    for row in rows:
        cutting.add(*row)
    cutting.end()
    return groups


def ids(count: int) -> list[str]:
    return [f"call{number}" for number in range(count)]


@given(st.text(), st.integers(0, 10))
def test_doubled_number_of_files_cuts_each_file_in_two(name: str, power: int) -> None:
    assert shard_of(name, 2**power) == shard_of(name, 2 ** (power + 1)) // 2


@given(NAMES, st.floats(1, 1e12), st.one_of(st.none(), st.integers(-3, 300)))
def test_number_of_files_is_a_power_of_two_and_no_file_is_empty(
    names: set[str], size: float, before: int | None
) -> None:
    count = shard_count(names, size, before, 1e6)
    assert count & (count - 1) == 0
    assert {shard_of(name, count) for name in names} == set(range(count))


@pytest.mark.parametrize(
    ("size", "before", "count"),
    [
        *(
            (1.0e9, 8, 8),
            (2.5e9, 8, 8),
            (2.7e9, 8, 16),
            (0.55e9, 8, 4),
            (2.0e9, 24, 8),
            (10.0, 1, 1),
            (2.0e9, 0, 8),
        ),
        *((0.3e9, 4, 4), (0.299e9, 4, 2), (2.6e9, 8, 8), (2.601e9, 8, 16), (0.5e9, None, 2), (0.501e9, None, 4)),
    ],
)
def test_number_of_files_stays_while_their_size_is_bearable(size: float, before: int | None, count: int) -> None:
    assert shard_count(ids(2000), size, before) == count


@given(st.lists(st.integers(1, 40_000_000), max_size=80))
def test_every_row_is_in_one_row_group_that_is_no_larger_than_allowed(sizes: list[int]) -> None:
    rows = [(number, f"id{number}", size) for number, size in enumerate(sizes)]
    groups = row_groups(rows)
    assert [number for group in groups for number in group] == list(range(len(sizes)))
    assert all(len(group) == 1 or sum(sizes[one] for one in group) <= ROW_GROUP_HIGH for group in groups)


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ([6_000_000, 1, 1], [1, 2]),
        ([5_999_999, 1, 1], [3]),
        ([5_000_000, 11_000_000, 1], [2, 1]),
        ([5_000_000, 11_000_001, 1], [1, 1, 1]),
        ([1, 40_000_000, 1], [1, 1, 1]),
    ],
)
def test_row_group_ends_from_6_mb_on_and_before_16_mb_are_passed(
    sizes: list[int], groups: list[int] | None
) -> None:
    made = row_groups((n, f"call{n}", size) for n, size in enumerate(sizes))
    assert [row for group in made for row in group] == list(range(len(sizes)))
    assert [len(group) for group in made] == groups
