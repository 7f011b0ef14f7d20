"""Who makes shards is chosen in one place, and what can't be is refused there."""

from pathlib import Path

import pytest

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.run.run import Runner
from dailytalk_contiguous.run.storage import WorkFolder


@pytest.mark.parametrize(
    ("name", "address", "told"),
    [
        ("slurm", "", "--runner can't be 'slurm': choose one of local, ray"),
        ("local", "auto", "--address is that of a Ray cluster: add --runner ray"),
    ],
)
def test_runner_that_there_is_not_and_an_address_without_ray_are_refused(
    tmp_path: Path, name: str, address: str, told: str
) -> None:
    with pytest.raises(DailytalkError, match=told):
        Runner(name, address, WorkFolder(tmp_path), ())
