"""Who makes shards is chosen in one place, and what can't be is refused there."""

from pathlib import Path
from typing import Any

import pytest

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.settings import with_settings
from dailytalk_contiguous.pipelines import speak_stages, tag_stages
from dailytalk_contiguous.run import on_ray
from dailytalk_contiguous.run.local import RunPlan
from dailytalk_contiguous.run.run import Runner, RunOptions
from dailytalk_contiguous.run.shard import Task
from dailytalk_contiguous.run.storage import WorkFolder
from dailytalk_contiguous.stages.base import Stages


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


@pytest.mark.parametrize(
    ("name", "address", "few", "elsewhere"),
    [("local", "", 1, False), ("ray", "", 0, False), ("ray", "10.0.0.1:6379", 0, True)],
)
def test_only_a_cluster_with_an_address_is_elsewhere(
    tmp_path: Path, name: str, address: str, few: int, elsewhere: bool
) -> None:
    runner = Runner(name, address, WorkFolder(tmp_path), ())
    assert (runner.few, runner.elsewhere) == (few, elsewhere)


@pytest.mark.parametrize(
    ("settings", "device", "gpus"),
    [
        (tag_stages(asr_model="tiny"), "cuda", True),
        (tag_stages(asr_model="tiny"), "cpu", False),
        (tag_stages(profile="embedded"), "cuda", False),
        (tag_stages(profile="embedded"), "cpu", False),
    ],
)
def test_cluster_gives_gpus_to_networks_that_are_to_run_there_and_to_nothing_else(
    settings: Stages, device: str, gpus: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[on_ray.Cluster] = []
    monkeypatch.setattr(
        on_ray, "run_on_ray", lambda plan, setup, cluster, *rest: asked.append(cluster) or iter(())
    )
    plan = RunPlan([Path("a")], [Task(Path("a"), [], {})], 0)
    run: Any = Runner("ray", "head:1").run(plan, with_settings(settings, {"device": device}), RunOptions(3))
    assert list(run) == []
    assert asked == [on_ray.Cluster("head:1", 3, gpus)]


def test_workers_of_a_cluster_must_see_the_cache_that_was_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "usual"))
    seen: list[str] = []
    monkeypatch.setattr(on_ray, "run_on_ray", lambda plan, setup, *rest: seen.append(setup.shared) or iter(()))
    plan = RunPlan([Path("a")], [Task(Path("a"), [], {})], 0)
    for cache in (str(tmp_path / "chosen"), ""):
        stages = speak_stages(tts="fish", cache=cache, device="cpu")
        assert list(Runner("ray").run(plan, stages, RunOptions(2))) == []
    assert seen == [str(tmp_path / "chosen"), str(tmp_path / "usual" / "speech")]
