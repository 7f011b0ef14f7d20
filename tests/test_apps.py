"""Each app can be deleted: its folder goes from a copy of the package, and everything else works as before."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from recordings import excerpt, save

from dailytalk_contiguous.cli.main import COMMANDS

PACKAGE = Path(__file__).parents[1] / "dailytalk_contiguous"
APPS = sorted(path.parent.name for path in (PACKAGE / "apps").glob("*/app.py"))

#: Opens every command with its options, every format and all that cards compare with, and says which there are.
OPENED = """
import json, sys
from dailytalk_contiguous.cli import main
from dailytalk_contiguous.cli.defaults import default_settings
from dailytalk_contiguous.cli.doctor import doctor
from dailytalk_contiguous.publish.formats import FORMATS
for name in main.COMMANDS:
    main.command_of(name)
print(json.dumps([main.__file__, sorted(main.COMMANDS), sorted(FORMATS), len(default_settings()), doctor().code]))
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def without(folder: Path, apps: Iterable[str]) -> Run:
    """Python, or a command of the package, on a copy of it in `folder` that lacks these apps."""
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    for app in apps:
        shutil.rmtree(folder / PACKAGE.name / "apps" / app)
    environment = os.environ | {"PYTHONPATH": str(folder), "DAILYTALK_CACHE": str(folder / "cache")}

    def run(*words: Any) -> "subprocess.CompletedProcess[str]":
        command = words if words[0] == "-c" else ("-m", PACKAGE.name, *words)
        done = subprocess.run(
            [sys.executable, *map(str, command)], env=environment, cwd=folder, capture_output=True, text=True
        )
        assert done.returncode in (0, 3), done.stderr
        return done

    return run


@pytest.mark.parametrize("app", APPS)
def test_without_an_app_the_commands_of_all_others_are_there(app: str, tmp_path: Path) -> None:
    run = without(tmp_path, [app])
    file, commands, formats, n_defaults, code = json.loads(run("-c", OPENED).stdout.splitlines()[-1])
    assert Path(file).is_relative_to(tmp_path)
    own = f"apps.{app}."
    assert commands == sorted(name for name, module in COMMANDS.items() if not module.startswith(own))
    assert len(commands) < len(COMMANDS)
    assert {"moshi", "csm"} <= {*formats}
    assert (n_defaults > 30, code) == (True, 0)


def test_without_any_app_recordings_become_a_dataset_that_is_judged_exported_shown_and_loaded(
    tmp_path: Path,
) -> None:
    run = without(tmp_path, APPS)
    shown = run("--help").stdout
    assert "build" in shown
    assert "review" not in shown
    save(tmp_path / "calls/call.flac", excerpt("weekend_trip", seconds=20))
    quick = ("--profile", "embedded", "--language", "en")
    run("build", "calls", "--out", "work", "--revoice", "none", *quick)
    run("check", "work")
    run("export", "work", "--format", "moshi", "--out", "data")
    assert (tmp_path / "data/README.md").is_file()
    run("report", "work")
    load = "import dailytalk_contiguous as d; print(len(d.load('work', split='train')[0]['utterances']) > 2)"
    assert run("-c", load).stdout == "True\n"
