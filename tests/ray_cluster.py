"""A Ray cluster on this machine: a plugin for the tests that need one, which are in one group of xdist."""

from collections.abc import Iterator

import pytest
from ray_head import started_head


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of a head node with two cores that only these tests know of."""
    with started_head() as (address, _):
        yield address
