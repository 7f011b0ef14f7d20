"""One decision for both libraries, a type that the card has, and one sentence for a library that is missing."""

import os
import subprocess
import sys
from pathlib import Path

import ctranslate2
import pytest
import torch

from dailytalk_contiguous.core.errors import DailytalkError, ModelMissing
from dailytalk_contiguous.models import devices

needs_no_gpu = pytest.mark.needs("a machine without a GPU")
needs_gpu = pytest.mark.needs("a GPU")
needs_compiler = pytest.mark.needs("cc")


def test_auto_is_cuda_only_where_both_libraries_can_use_it() -> None:
    both = torch.cuda.is_available() and ctranslate2.get_cuda_device_count() > 0
    assert devices.device_of("auto") == devices.resolve_device("auto") == ("cuda" if both else "cpu")
    assert bool(devices.lacking()) is not both


def test_a_device_that_was_named_is_taken_whether_or_not_it_is_here() -> None:
    assert (devices.device_of("cpu"), devices.device_of("cuda")) == ("cpu", "cuda")
    assert devices.resolve_device("cpu") == "cpu"
    with pytest.raises(
        DailytalkError, match="there is no device 'tpu': pass `device=` with one of auto, cpu, cuda"
    ):
        devices.device_of("tpu")


@needs_no_gpu
def test_cuda_is_refused_by_what_would_run_on_it_here() -> None:
    with pytest.raises(DailytalkError, match=r"no CUDA here: .+: pass `device=` auto or cpu"):
        devices.resolve_device("cuda")


@needs_no_gpu
def test_a_machine_without_a_gpu_is_known_without_pytorch() -> None:
    code = (
        "import sys; from dailytalk_contiguous.models.devices import compute_type_of;"
        "print(compute_type_of('auto', 'auto'), 'torch' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == [devices.CPU_TYPE, "False"]


def test_the_default_of_a_cpu_is_one_that_it_has() -> None:
    assert devices.compute_type_of("cpu", "auto") == devices.CPU_TYPE
    assert devices.CPU_TYPE in ctranslate2.get_supported_compute_types("cpu")


@needs_gpu
def test_the_default_of_a_gpu_is_one_that_it_has() -> None:
    assert devices.compute_type_of("cuda", "auto") in ctranslate2.get_supported_compute_types("cuda")


# What CTranslate2 tells of cards by their compute capability.
@pytest.mark.parametrize(
    ("supported", "chosen"),
    [
        ({"float32", "float16", "bfloat16", "int8", "int8_float32", "int8_float16", "int8_bfloat16"}, "float16"),
        ({"float32", "float16", "int8", "int8_float32", "int8_float16"}, "float16"),
        ({"float32", "int8", "int8_float32"}, "int8"),
        ({"float32"}, "float32"),
    ],
    ids=["Ampere", "Volta", "Pascal", "Maxwell"],
)
def test_a_card_gets_the_first_type_that_it_has(supported: set[str], chosen: str) -> None:
    assert devices.preferred_type(supported) == chosen


def test_a_type_that_the_device_lacks_is_said_with_its_option() -> None:
    devices.check_compute_type("cpu", devices.CPU_TYPE)
    with pytest.raises(
        DailytalkError, match="'float16' on the CPU here: pass `compute_type=` with one of auto, float32"
    ):
        devices.check_compute_type("cpu", "float16")


def test_a_library_that_ctranslate2_can_not_open_is_said_with_both_ways_out() -> None:
    with (
        pytest.raises(ModelMissing, match=r"needs libcublas\.so\.12 .*\[cuda\]', or pass `device=` cpu"),
        devices.naming_libraries(),
    ):
        raise RuntimeError("Library libcublas.so.12 is not found or cannot be loaded")


def install(site: Path) -> Path:
    """A package that looks like NVIDIA's; returns where its library has to be."""
    home = site / "nvidia_cublas_cu12-12.0.dist-info"
    home.mkdir(parents=True)
    (home / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {devices.CUBLAS_PACKAGE}\nVersion: 12.0\n")
    (home / "RECORD").write_text(f"nvidia/cublas/lib/{devices.CUBLAS},,\n")
    library = site / "nvidia/cublas/lib" / devices.CUBLAS
    library.parent.mkdir(parents=True)
    return library


@needs_compiler
def test_a_library_of_the_extra_is_found_by_its_name(tmp_path: Path) -> None:
    library = install(tmp_path)
    source = tmp_path / "cublas.c"
    source.write_text("int answer(void) { return 42; }\n")
    subprocess.run(["cc", "-shared", "-fPIC", f"-Wl,-soname,{devices.CUBLAS}", "-o", library, source], check=True)
    code = (
        "import ctypes; from dailytalk_contiguous.models.devices import cublas; told = cublas();"
        f"print(told, ctypes.CDLL('{devices.CUBLAS}').answer())"
    )
    path = os.pathsep.join([str(tmp_path), os.getcwd()])
    told = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == [devices.CUBLAS_PACKAGE, "12.0", "42"]


def test_a_library_that_was_broken_off_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = install(tmp_path)
    library.write_bytes(b"\x7fELF")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelMissing, match=rf"{devices.CUBLAS} can't be opened .*: pip install --force-reinstall"):
        devices.open_libraries()


@pytest.mark.parametrize(
    ("count", "available", "cuda", "lacks"),
    [
        (1, True, "12.8", ""),
        (1, False, None, "PyTorch, built for CPU only, finds no CUDA device"),
        (2, False, "12.8", "PyTorch, built for CUDA 12.8, which may ask for a newer driver, finds no CUDA device"),
        (
            0,
            True,
            "12.8",
            "CTranslate2 finds no CUDA device (no GPU, a driver older than CUDA 12, or a build without CUDA)",
        ),
    ],
)
def test_cuda_is_lacking_where_either_library_finds_no_device(
    count: int, available: bool, cuda: str | None, lacks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    devices.lacking.cache_clear()
    assert devices.lacking() == lacks
    devices.lacking.cache_clear()
