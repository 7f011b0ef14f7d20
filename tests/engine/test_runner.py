"""Who makes shards is chosen in one place, and what can't be is refused there."""

from pathlib import Path

import pytest

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.engine.runner import runner_of
from dailytalk_contiguous.engine.storage import WorkFolder


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
        runner_of(name, address, WorkFolder(tmp_path), ())


@pytest.mark.parametrize(
    ("name", "address", "few", "elsewhere"),
    [("local", "", 1, False), ("ray", "", 0, False), ("ray", "10.0.0.1:6379", 0, True)],
)
def test_only_a_cluster_with_an_address_is_elsewhere(
    tmp_path: Path, name: str, address: str, few: int, elsewhere: bool
) -> None:
    runner = runner_of(name, address, WorkFolder(tmp_path), ())
    assert (runner.few, runner.elsewhere) == (few, elsewhere)
