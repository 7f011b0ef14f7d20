"""The short form of benchmarks/hostile.py: a case of every kind of document, of a seed of its own."""

import os
import subprocess
import sys

import pytest
from audio_files import ROOT

#: One case of each kind.
COMMAND = (
    sys.executable,
    str(ROOT / "benchmarks" / "hostile.py"),
    "--count",
    "1",
    "--seed",
    "12",
    "--strace",
    "0",
)


def test_hostile_documents_open_nothing_outside_and_lose_no_row(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("hostile") / "run"
    environment = os.environ | {"PYTHONPATH": ""}
    done = subprocess.run(
        [*COMMAND, "--folder", folder], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "MISSED" not in done.stdout
