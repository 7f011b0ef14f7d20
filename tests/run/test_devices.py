import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import ctranslate2
import pytest

from dailytalk_contiguous.pipelines import speak_stages, tag_stages
from dailytalk_contiguous.run.local import gpus_to_share, networks_device
from dailytalk_contiguous.run.processes import VISIBLE, _start_worker
from dailytalk_contiguous.stages.base import Stage

WHISPER = tag_stages(asr_model="tiny", affect_model="acoustic-estimate")


@pytest.mark.parametrize(
    ("stages", "device"),
    [
        (tag_stages(), "auto"),
        (tag_stages(device="cuda"), "cuda"),
        (WHISPER, "auto"),
        (tag_stages(profile="embedded"), None),
        (tag_stages(device="cpu"), None),
        (speak_stages(tts="fish"), None),
        (speak_stages(tts="fish", verify=True), "auto"),
        (speak_stages(tts="fish", verify=True, asr_model="pocketsphinx"), None),
        (speak_stages(profile="embedded", tts="flite"), None),
    ],
)
def test_device_is_used_where_a_network_runs_that_is_asked_often(
    stages: Sequence[Stage], device: str | None
) -> None:
    assert networks_device(stages) == device


def test_speech_without_word_times_is_timed_on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "tests")
    assert networks_device(speak_stages(tts="openai")) == "auto"


@pytest.mark.parametrize(
    ("there", "chosen", "names"),
    [
        (0, None, []),
        (1, None, []),
        (3, None, ["0", "1", "2"]),
        (2, "5, GPU-1a2b", ["5", "GPU-1a2b"]),
        (1, "3", []),
        (2, "1,0,-1,2", ["1", "0"]),
        (0, "", []),
    ],
)
def test_gpus_to_share_are_those_that_cuda_shows(
    monkeypatch: pytest.MonkeyPatch, there: int, chosen: str | None, names: list[str]
) -> None:
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: there)  # what a machine has
    monkeypatch.delenv(VISIBLE, raising=False)
    if chosen is not None:
        monkeypatch.setenv(VISIBLE, chosen)
    assert gpus_to_share(WHISPER) == names
    assert gpus_to_share(tag_stages(profile="embedded")) == []


def test_workers_take_a_gpu_in_turn_before_anything_that_looks_for_one_is_imported() -> None:
    assert [name for name, _ in started(["3", "7"], 3)] == ["3", "7", "3"]
    ((name, imported),) = started([], 1)
    assert (name, imported) == (os.environ.get(VISIBLE), [])


def started(gpus: list[str], count: int) -> list[tuple[str | None, list[str]]]:
    """What workers see, one begun after the other, and which of the libraries that look for a GPU they have."""
    context = get_context("spawn")
    begun, told = context.Value("i", 0), []
    seen = f"__import__('os').environ.get({VISIBLE!r})"
    imported = "sorted({'torch', 'ctranslate2'} & set(__import__('sys').modules))"
    for _ in range(count):
        with ProcessPoolExecutor(1, context, _start_worker, (1, None, gpus, begun)) as pool:
            told.append(pool.submit(eval, f"({seen}, {imported})").result())
    return told
