"""How many processes a run has by default."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from dailytalk_contiguous.pipelines.to_text import tag_stages
from dailytalk_contiguous.run.workers import bytes_on_gpu, fitting_workers, weights_bytes
from dailytalk_contiguous.stages.base import Stage

GB = 10**9


@pytest.mark.parametrize(
    ("n_cores", "n_gpus", "free_bytes", "worker_bytes", "workers"),
    [
        (16, 1, 80 * GB, 3 * GB, 4),
        (64, 1, 80 * GB, 3 * GB, 4),  # at most four a GPU
        (64, 8, 80 * GB, 3 * GB, 16),  # one for four cores
        (128, 8, 80 * GB, 3 * GB, 32),
        (16, 1, 24 * GB, 11 * GB, 2),  # as many as fit
        (16, 2, 24 * GB, 11 * GB, 4),
        (15, 1, 80 * GB, 3 * GB, 3),
        (2, 1, 80 * GB, 3 * GB, 1),
        (16, 1, 8 * GB, 11 * GB, 1),
        (64, 8, 0, 3 * GB, 1),
    ],
)
def test_workers_have_four_cores_each_and_fit_into_the_memory_of_their_gpu(
    n_cores: int, n_gpus: int, free_bytes: int, worker_bytes: int, workers: int
) -> None:
    assert fitting_workers(n_cores, n_gpus, free_bytes, worker_bytes) == workers


@pytest.mark.parametrize(
    "stages",
    [
        tag_stages("embedded", asr_model="none"),  # affect is rated by voice-linear, on the CPU
        tag_stages("embedded", asr_model="none", affect_model="none"),
        tag_stages("embedded", device="cpu"),
    ],
)
def test_stages_without_a_model_on_a_gpu_take_nothing_of_it(stages: Sequence[Stage]) -> None:
    assert bytes_on_gpu(stages) == 0


def test_larger_models_take_more_of_a_gpu() -> None:
    sizes = [bytes_on_gpu(tag_stages("embedded", asr_model=name)) for name in ("tiny.en", "base", "large-v3")]
    assert sizes == sorted(sizes)
    assert sizes[0] > 2 * GB
    assert 20 * GB < sizes[2] < 24 * GB


def test_weights_in_a_folder_are_counted(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(bytes(1000))
    (tmp_path / "model.safetensors").write_bytes(bytes(500))
    (tmp_path / "config.json").write_text("{}")
    assert weights_bytes(str(tmp_path)) == 1500
    assert weights_bytes("nobody/has-this-model") == 0
