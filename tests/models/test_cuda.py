"""One decision for both libraries, a type that the card has, and one sentence for a library that is missing."""

import ctranslate2
import pytest
import torch

from dailytalk_contiguous.core.errors import DailytalkError, ModelMissing
from dailytalk_contiguous.models import devices

needs_no_gpu = pytest.mark.needs("a machine without a GPU")


def test_auto_is_cuda_only_where_both_libraries_can_use_it() -> None:
    both = torch.cuda.is_available() and ctranslate2.get_cuda_device_count() > 0
    expected = "cuda" if both else "cpu"
    assert devices.device_of("auto") == expected
    assert devices.resolve_device("auto") == expected
    assert bool(devices.lacking()) is not both


def test_a_device_that_was_named_is_taken_whether_or_not_it_is_here() -> None:
    assert devices.device_of("cpu") == "cpu"
    assert devices.device_of("cuda") == "cuda"
    assert devices.resolve_device("cpu") == "cpu"


@needs_no_gpu
def test_cuda_is_refused_by_what_would_run_on_it_here() -> None:
    with pytest.raises(DailytalkError, match=r"no CUDA here: .+: pass --device auto or cpu"):
        devices.resolve_device("cuda")


def test_the_default_of_a_cpu_is_one_that_it_has() -> None:
    assert devices.compute_type_of("cpu", "auto") == devices.CPU_TYPE
    assert devices.CPU_TYPE in ctranslate2.get_supported_compute_types("cpu")


def test_a_library_that_ctranslate2_can_not_open_is_said_with_both_ways_out() -> None:
    with (
        pytest.raises(ModelMissing, match=r"needs libcublas\.so\.12 .*\[cuda\]' .*, or pass --device cpu"),
        devices.naming_libraries(),
    ):
        raise RuntimeError("Library libcublas.so.12 is not found or cannot be loaded")
