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

from dailytalk_contiguous.machine.extras import EXTRA_OF_MODULE

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT: dict[str, Any] = PYPROJECT["project"]

#: Distributions whose module has another name.
MODULES = {"faster-whisper": "faster_whisper", "pympi-ling": "pympi", "silero-vad": "silero_vad"}


def names(requirements: Iterable[str]) -> set[str]:
    """The distributions of requirements that hold on this machine, without those that only extras ask for."""
    needed = set()
    for item in map(Requirement, requirements):
        if item.marker is None or item.marker.evaluate({"extra": ""}):
            needed.add(item.name)
    return needed


def link_files(name: str, folder: Path) -> None:
    """Link the packages of a distribution into a folder."""
    installed = distribution(name)
    site = Path(str(installed.locate_file("")))
    tops = {file.parts[0] for file in installed.files or ()}
    for top in tops:
        link = folder / top
        is_package = top != ".." and not top.endswith((".pth", "__pycache__"))
        if is_package and not link.exists():
            link.symlink_to(site / top)


@pytest.fixture(scope="module")
def plain_install(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the modules that `pip install dailytalk-contiguous` brings, and no others."""
    folder = tmp_path_factory.mktemp("plain")
    missing = names(PROJECT["dependencies"])
    installed: set[str] = set()
    while missing:
        name = missing.pop()
        installed.add(name)
        link_files(name, folder)
        requirements = distribution(name).requires or ()
        missing |= names(requirements) - installed
    package = folder / "dailytalk_contiguous"
    package.symlink_to(ROOT / "dailytalk_contiguous")
    return folder


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "work", [built_row()])


def run(plain_install: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # -S: none of the packages of this environment are on the path.
    command = [sys.executable, "-S", *arguments]
    command = [sys.executable, "-S", *arguments]
    folder = str(plain_install)
    environment = {"PYTHONPATH": folder, "HOME": folder}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def dailytalk(plain_install: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    texts = [str(argument) for argument in arguments]
    return run(plain_install, "-m", "dailytalk_contiguous", *texts)


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
    printed = loaded.stdout.split("\n")
    assert printed[:2] == ["2 True", "[]"], loaded.stderr
    out = tmp_path / "moshi"
    exported = dailytalk(plain_install, "export", spoken, "--format", "moshi", "--out", out)
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
    ended = dailytalk(plain_install, *filled, "--out", tmp_path / "out")
    remedy = f"is not installed: pip install '.[{extra}]' in a checkout of dailytalk_contiguous."
    assert ended.returncode == 1
    *first_line, sentence = ended.stderr.splitlines()
    assert sentence.endswith(remedy)
    assert first_line in ([], ["looking for recordings …"])


def test_a_public_name_names_the_extra_that_it_lacks(plain_install: Path) -> None:
    ended = run(plain_install, "-c", "from dailytalk_contiguous import moshi_windows")
    missing = "moshi_windows needs more: torch is not installed: pip install '.[build]'"
    assert missing in ended.stderr


def test_each_extra_brings_the_modules_that_it_is_named_for() -> None:
    extras = PROJECT["optional-dependencies"]
    brought = {}
    for extra in ("build", "formats", "report", "align", "corpora"):
        for name in names(extras[extra]):
            module = MODULES.get(name, name.replace("-", "_"))
            brought[module] = extra
    brought["ctranslate2"] = "build"  # which faster-whisper brings
    assert brought == EXTRA_OF_MODULE


def test_the_offline_extra_brings_the_whole_main_way() -> None:
    extras = PROJECT["optional-dependencies"]
    assert "dailytalk-contiguous[all]" in extras["offline"]
    (everything,) = extras["all"]
    assert Requirement(everything).extras == {"build", "formats", "report", "align", "corpora"}
