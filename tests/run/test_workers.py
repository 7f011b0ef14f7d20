"""How many processes a run has by default."""

import heapq
from collections.abc import Sequence
from pathlib import Path

import pytest

from dailytalk_contiguous.core.records.schema import SOURCE
from dailytalk_contiguous.pipelines.to_text import tag_stages
from dailytalk_contiguous.run.shard import Task, neighbours
from dailytalk_contiguous.run.workers import fitting_workers, weights_bytes, weights_on_gpu
from dailytalk_contiguous.shards import PendingConversation
from dailytalk_contiguous.stages.base import Stage

GB = 10**9


#: Bytes of the weights of Whisper base, and of Whisper large.
BASE = 145_000_000
LARGE = 3_100_000_000


@pytest.mark.parametrize(
    ("n_cores", "n_gpus", "free_on_gpu", "free_memory", "weights", "workers"),
    [
        (16, 1, 80 * GB, 128 * GB, BASE, 16),  # one for each core
        (2, 1, 80 * GB, 128 * GB, BASE, 2),
        (128, 8, 80 * GB, 512 * GB, BASE, 128),
        (64, 1, 24 * GB, 128 * GB, BASE, 8),  # as many as fit on the GPU
        (64, 2, 24 * GB, 128 * GB, BASE, 16),
        (16, 1, 80 * GB, 128 * GB, LARGE, 3),
        (16, 1, 80 * GB, 16 * GB, BASE, 7),  # as many as fit into main memory
        (16, 1, 8 * GB, 128 * GB, LARGE, 1),
        (64, 8, 0, 128 * GB, BASE, 1),
        (16, 1, 80 * GB, 1 * GB, BASE, 1),
    ],
)
def test_there_is_a_worker_for_each_core_as_far_as_they_fit_into_memory(
    n_cores: int, n_gpus: int, free_on_gpu: int, free_memory: int, weights: int, workers: int
) -> None:
    assert fitting_workers(n_cores, n_gpus, free_on_gpu, free_memory, weights) == workers


@pytest.mark.parametrize(
    "stages",
    [
        tag_stages("embedded", asr_model="none"),  # affect is rated by voice-linear, on the CPU
        tag_stages("embedded", asr_model="none", affect_model="none"),
        tag_stages("embedded", device="cpu"),
    ],
)
def test_stages_without_a_model_on_a_gpu_take_nothing_of_it(stages: Sequence[Stage]) -> None:
    assert weights_on_gpu(stages) == 0


def test_larger_models_take_more_of_a_gpu() -> None:
    sizes = [weights_on_gpu(tag_stages("embedded", asr_model=name)) for name in ("tiny.en", "base", "large-v3")]
    assert sizes == sorted(sizes)
    assert 3 * GB < sizes[2] < 3.5 * GB


def test_weights_in_a_folder_are_counted(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(bytes(1000))
    (tmp_path / "model.safetensors").write_bytes(bytes(500))
    (tmp_path / "config.json").write_text("{}")
    assert weights_bytes(str(tmp_path)) == 1500
    assert weights_bytes("nobody/has-this-model") == 0


def batches_of(seconds: float, conversation: float, workers: int) -> list[list[Task]]:
    """The batches of so many seconds of conversations of one length, each of which is a shard."""
    row = dict.fromkeys(SOURCE) | {"cues": [], "input_digest": "d", "duration": conversation}
    tasks: list[Task] = []
    for number in range(round(seconds / conversation)):
        pending = PendingConversation.of_row(row | {"conversation_id": f"{number}", "recording_id": f"{number}"})
        tasks.append(Task(Path(f"{number}"), [pending]))
    return [*neighbours(tasks, 900.0, workers)]


@pytest.mark.parametrize(("seconds", "workers"), [(7200.0, 16), (7200.0, 4), (36000.0, 16), (36000.0, 1)])
def test_batches_become_shorter_so_that_all_workers_end_at_about_the_same_time(
    seconds: float, workers: int
) -> None:
    lengths = [sum(task.seconds for task in batch) for batch in batches_of(seconds, 60.0, workers)]
    assert sum(lengths) == seconds
    assert max(lengths) <= 900.0
    ends = [0.0] * workers
    for length in lengths:
        heapq.heappush(ends, heapq.heappop(ends) + length)
    assert max(ends) - min(ends) <= 60.0


def test_batches_of_a_large_corpus_are_long() -> None:
    assert [len(batch) for batch in batches_of(360_000.0, 60.0, 16)[:300]] == [15] * 300
