"""The package alone loads and exports versions; anything else says which extra brings what is missing."""

import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from built_conversations import built_row, write_dataset
from packaging.requirements import Requirement

from dailytalk_contiguous.core.extras import EXTRA_OF_MODULE

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

#: Distributions whose module has another name.
MODULES = {"faster-whisper": "faster_whisper", "pympi-ling": "pympi", "silero-vad": "silero_vad"}


def names(requirements: Iterable[str]) -> set[str]:
    """The distributions of requirements that hold on this machine, without those that only extras ask for."""
    parsed = map(Requirement, requirements)
    return {item.name for item in parsed if item.marker is None or item.marker.evaluate({"extra": ""})}


@pytest.fixture(scope="module")
def plain_install(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the modules that `pip install dailytalk-contiguous` brings, and no others."""
    folder = tmp_path_factory.mktemp("plain")
    missing = names(PROJECT["dependencies"])
    installed: set[str] = set()
    while missing:
        name = missing.pop()
        installed.add(name)
        found = distribution(name)
        site = Path(str(found.locate_file("")))
        for top in {file.parts[0] for file in found.files or ()}:
            link = folder / top
            if top != ".." and not top.endswith((".pth", "__pycache__")) and not link.exists():
                link.symlink_to(site / top)
        missing |= names(found.requires or ()) - installed
    (folder / "dailytalk_contiguous").symlink_to(ROOT / "dailytalk_contiguous")
    return folder


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "work", [built_row()])


def run(plain_install: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # -S: none of the packages of this environment are on the path.
    command = [sys.executable, "-S", *arguments]
    environment = {"PYTHONPATH": str(plain_install), "HOME": str(plain_install)}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_a_version_is_loaded_and_exported_without_an_extra(
    plain_install: Path, spoken: Path, tmp_path: Path
) -> None:
    program = (
        "import sys\n"
        "from dailytalk_contiguous import heard_utterances, load\n"
        f"rows = load({str(spoken)!r}, split='train')\n"
        "print(rows[0]['audio']['array'].shape[1], len(heard_utterances(rows[0])) > 0)\n"
        "print(sorted({'torch', 'av', 'transformers'} & sys.modules.keys()))\n"
    )
    loaded = run(plain_install, "-c", program)
    assert loaded.stdout.split("\n")[:2] == ["2 True", "[]"], loaded.stderr
    out = tmp_path / "moshi"
    exported = run(
        plain_install, "-m", "dailytalk_contiguous", "export", str(spoken), "--format", "moshi", "--out", str(out)
    )
    assert exported.returncode == 0, exported.stderr
    assert [*out.rglob("*.wav")]


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["build", "examples/conversations"], "build"),
        (["export", "{spoken}", "--format", "textgrid"], "formats"),
        (["report", "{spoken}"], "report"),
    ],
)
def test_a_command_names_the_extra_that_it_lacks(
    plain_install: Path, spoken: Path, tmp_path: Path, arguments: list[str], extra: str
) -> None:
    filled = [argument.format(spoken=spoken) for argument in arguments]
    ended = run(plain_install, "-m", "dailytalk_contiguous", *filled, "--out", str(tmp_path / "out"))
    assert ended.returncode == 1
    assert ended.stderr.strip().endswith(f"is not installed: pip install 'dailytalk-contiguous[{extra}]'.")
    assert ended.stderr.count("\n") == 1


def test_a_public_name_names_the_extra_that_it_lacks(plain_install: Path) -> None:
    ended = run(plain_install, "-c", "from dailytalk_contiguous import moshi_windows")
    assert (
        "moshi_windows needs more: torch is not installed: pip install 'dailytalk-contiguous[build]'"
        in ended.stderr
    )


def test_each_extra_brings_the_modules_that_it_is_named_for() -> None:
    extras = PROJECT["optional-dependencies"]
    brought = {
        MODULES.get(name, name.replace("-", "_")): extra
        for extra in ("build", "formats", "report", "align", "corpora")
        for name in names(extras[extra])
    }
    brought["ctranslate2"] = "build"  # which faster-whisper brings
    assert brought == EXTRA_OF_MODULE


def test_the_offline_extra_brings_the_whole_main_way() -> None:
    assert "dailytalk-contiguous[all]" in PROJECT["optional-dependencies"]["offline"]
    (everything,) = PROJECT["optional-dependencies"]["all"]
    assert Requirement(everything).extras == {"build", "formats", "report", "align", "corpora"}
