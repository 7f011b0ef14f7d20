"""`examples/quickstart.ipynb`: its cells run in order, and what is kept of their output is small."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from audio_files import ROOT
from recordings import excerpt, save

from dailytalk_contiguous import load

NOTEBOOK = ROOT / "examples/quickstart.ipynb"
CELLS = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


@pytest.mark.needs("espeakng_loader", "IPython")
@pytest.mark.parametrize(
    "below", ["conversations", pytest.param("examples/conversations", marks=pytest.mark.nightly)]
)
def test_quickstart_runs_in_a_checkout_and_in_its_own_folder(tmp_path: Path, below: str) -> None:
    (tmp_path / below).mkdir(parents=True)
    for name in ("bicycle_repair.flac", "burnt_dinner.flac"):
        save(tmp_path / below / name, excerpt(name.removesuffix(".flac"), seconds=15.0))
    program = "\n".join("".join(cell["source"]) for cell in CELLS)
    settings = {"MPLBACKEND": "agg", "HF_HOME": str(tmp_path / "hub"), "DAILYTALK_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    talks = load(tmp_path / "quickstart_dataset", split="train")
    assert {talk["conversation_id"]: talk["audio"].channels for talk in talks} == {
        "bicycle_repair": 2,
        "burnt_dinner": 2,
    }


def test_quickstart_is_ten_cells_with_small_outputs() -> None:
    assert len(CELLS) == 10
    assert NOTEBOOK.stat().st_size < 100_000
    assert all(output["output_type"] != "error" for cell in CELLS for output in cell["outputs"])
