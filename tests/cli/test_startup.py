"""What commands that only look at things do not load: they answer before a second has passed."""

import subprocess
import sys
from pathlib import Path

import pytest

from dailytalk_contiguous.machine import resources
from dailytalk_contiguous.run.lock import Holder, lock_of

#: Libraries of models, tables and stores, each a good part of a second to import.
HEAVY = (
    "datasets",
    "pandas",
    "pyarrow",
    "torch",
    "transformers",
    "faster_whisper",
    "ctranslate2",
    "onnxruntime",
    "scipy",
    "librosa",
    "matplotlib",
    "fsspec",
    "huggingface_hub",
    "requests",
    "numpy",
    "dailytalk_contiguous.publish",
)

IMPORTED = """
import sys
from dataclasses import asdict
from dailytalk_contiguous.__main__ import entry_point
try:
    entry_point()
finally:
    print("imported:", *(name for name in {heavy!r} if name in sys.modules))
"""


def imported(*arguments: object) -> set[str]:
    """The heavy libraries that a command has imported by its end, and whether it has our room `publish`."""
    program = IMPORTED.format(heavy=HEAVY)
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    last = done.stdout.splitlines()[-1]
    return set(last.split()[1:])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
@pytest.mark.skipif(any(path.exists() for path in resources._GPUS), reason="there is no limit beside a GPU")
def test_every_command_has_a_limit_of_memory() -> None:
    program = (
        "import resource; from dailytalk_contiguous.__main__ import entry_point\n"
        "from dailytalk_contiguous.cli import main\n"
        "main.run_command = lambda: print(resource.getrlimit(resource.RLIMIT_DATA)[0] > 0)\n"
        "entry_point()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    lock = lock_of(tmp_path, (1, 1))
    lock.touch()
    Holder("tag").write(lock)
    return tmp_path


def test_help_version_and_status_import_no_library_of_models_tables_or_stores(work: Path) -> None:
    assert imported("--help") == set()
    assert imported("--version") == set()
    assert imported("status", work) == set()


def test_doctor_imports_neither_datasets_nor_pandas() -> None:
    unwanted = {"datasets", "pandas", "librosa", "matplotlib"}
    assert imported("doctor") & unwanted == set()


def test_speak_loads_what_makes_or_buys_sound_where_they_do_so_and_not_before() -> None:
    heavy = {"torch", "ctranslate2", "onnxruntime", "scipy", "librosa", "matplotlib", "requests"}
    heavy.add("dailytalk_contiguous.publish")
    assert imported("speak", "--help") & heavy == set()
