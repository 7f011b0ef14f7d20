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
ALL_CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
CELLS = [cell for cell in ALL_CELLS if cell["cell_type"] == "code"]


@pytest.mark.needs("espeakng_loader", "IPython")
@pytest.mark.parametrize(
    "below", ["conversations", pytest.param("examples/conversations", marks=pytest.mark.nightly)]
)
def test_quickstart_runs_in_a_checkout_and_in_its_own_folder(tmp_path: Path, below: str) -> None:
    (tmp_path / below).mkdir(parents=True)
    for name in ("bicycle_repair", "burnt_dinner"):
        samples = excerpt(name, seconds=15.0)
        save(tmp_path / below / f"{name}.flac", samples)
    program = "\n".join("".join(cell["source"]) for cell in CELLS)
    settings = {
        "MPLBACKEND": "agg",
        "HF_HOME": str(tmp_path / "hub"),
        "DAILYTALK_CACHE": str(tmp_path / "cache"),
    }
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
    channels = {talk["conversation_id"]: talk["audio"].channels for talk in talks}
    assert channels == {"bicycle_repair": 2, "burnt_dinner": 2}


def test_quickstart_is_ten_cells_with_small_outputs() -> None:
    assert len(CELLS) == 10
    assert NOTEBOOK.stat().st_size < 100_000
    output_types = {output["output_type"] for cell in CELLS for output in cell["outputs"]}
    assert "error" not in output_types
