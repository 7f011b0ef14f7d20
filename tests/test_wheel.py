"""The wheel alone, without the checkout: what somebody has who installed the package."""

import os
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from audio_files import ROOT
from recordings import excerpt, read_lines, save


def pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # a build leaves files beside its source
    shutil.copytree(
        ROOT / "dailytalk_contiguous",
        source / "dailytalk_contiguous",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    pip("wheel", source, "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def programs(wheel: Path) -> Path:
    """The folder of the programs of an environment in which the wheel is installed."""
    environment = wheel.parent / "environment"
    venv.create(environment, symlinks=True)
    programs = environment / "bin"
    pip("--python", programs / "python", "install", "--no-deps", "--no-index", wheel)
    # The packages that are installed here, as paths: what their own .pth files add (the checkout) is not read.
    (site_packages,) = environment.glob("lib/python*/site-packages")
    shared = [path for path in sys.path if path.endswith("site-packages")]
    if not shared:
        shared = site.getsitepackages()
    lines = "".join(f"{path}\n" for path in shared)
    (site_packages / "shared.pth").write_text(lines, encoding="utf-8")
    return programs


def test_wheel_holds_types_pages_and_licence_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    package = ROOT / "dailytalk_contiguous"
    files = set()
    for path in package.rglob("*"):
        is_source = path.suffix != ".pyc" and not path.name.startswith(".")
        if path.is_file() and is_source:
            files.add(path.relative_to(ROOT).as_posix())
    packaged = {name for name in names if ".dist-info/" not in name}
    assert "dailytalk_contiguous/py.typed" in files
    assert "dailytalk_contiguous/publish/tables/assets/page.html" in files
    assert packaged == files
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


@pytest.mark.nightly
def test_installed_command_builds_a_conversation_and_its_report(programs: Path, tmp_path: Path) -> None:
    def dailytalk(*arguments: str | Path) -> None:
        """Run the command in a folder, without what would show it the checkout."""
        hidden = ("PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "VIRTUAL_ENV")
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        environment["DAILYTALK_CACHE"] = str(tmp_path / "cache")
        command = [programs / "dailytalk", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    call = save(tmp_path / "calls/weekend_trip.wav", excerpt())
    dailytalk("build", call, "--out", "work", "--profile", "embedded", "--language", "en")
    assert (tmp_path / "work/audio/weekend_trip_edited.wav").is_file()
    assert read_lines(tmp_path / "work/rejects.jsonl") == []
    dailytalk("report", "work", "--out", "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "weekend_trip" in page
