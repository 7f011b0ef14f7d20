"""Each app can be deleted: its folder goes from a copy of the package, and everything else works as before."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
from command import Done
from recordings import excerpt, save
from test_floors import BETWEEN_APPS

from dailytalk_contiguous.cli.main import COMMANDS

PACKAGE = Path(__file__).parents[1] / "dailytalk_contiguous"
APPS = sorted(path.parent.name for path in (PACKAGE / "apps").glob("*/app.py"))

#: Opens the commands of named modules, every format and all that cards compare with, and says what there is.
OPENED = """
import json, sys
from dailytalk_contiguous.cli import main
from dailytalk_contiguous.cli.defaults import default_settings
from dailytalk_contiguous.cli.doctor import doctor_outcome, examine
from dailytalk_contiguous.publish.exports.formats import FORMATS
for name, module in main.COMMANDS.items():
    if module.startswith(tuple(sys.argv[1:])):
        main.command_of(name)
code = doctor_outcome(examine()).code
print(json.dumps([main.__file__, sorted(main.COMMANDS), sorted(FORMATS), len(default_settings()), code]))
"""


#: Runs Python with `-c`, or a command, for each line of JSON, and says its exit code; what it printed is in files.
#: Each is a fork of a process that has loaded what takes seconds and is the same without any app.
FORKS = """
import json, os, runpy, sys
import datasets, torch
for line in sys.stdin:
    if not os.fork():
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        words = json.loads(line)
        if words[0] == "-c":
            sys.argv[1:] = words[2:]
            exec(words[1], {})
        else:
            sys.argv[1:] = words
            runpy.run_module("dailytalk_contiguous", run_name="__main__", alter_sys=True)
        sys.exit()
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


class Copy:
    """A copy of the package in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
        environment = dict(os.environ)
        environment["PYTHONPATH"] = str(folder)
        environment["DAILYTALK_CACHE"] = str(folder / "cache")
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._forks = subprocess.Popen(
            [sys.executable, "-c", FORKS], env=environment, cwd=folder, stdin=PIPE, stdout=PIPE, text=True
        )

    @contextmanager
    def without(self, *apps: str) -> Iterator[None]:
        """It lacks these apps."""
        inside = self.folder / PACKAGE.name / "apps"
        aside = self.folder / "aside"
        for app in apps:
            (inside / app).rename(aside.with_suffix(f".{app}"))
        yield
        for app in apps:
            aside.with_suffix(f".{app}").rename(inside / app)

    def run(self, *words: Any, codes: tuple[int, ...] = (0, 3)) -> Done:
        """Python with `-c`, or a command."""
        assert self._forks.stdin is not None
        assert self._forks.stdout is not None
        print(json.dumps([*map(str, words)]), file=self._forks.stdin, flush=True)
        code = int(self._forks.stdout.readline())
        out = (self.folder / "stdout").read_text("utf-8")
        err = (self.folder / "stderr").read_text("utf-8")
        assert code in codes, err
        return Done(code, out, err)

    def close(self) -> None:
        self._forks.communicate()


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    with closing(Copy(tmp_path_factory.mktemp("copy"))) as made:
        yield made


@pytest.mark.parametrize("app", APPS)
def test_without_an_app_the_commands_of_all_others_are_there(app: str, copy: Copy) -> None:
    # Those of the other apps cost seconds, and import it only where `BETWEEN_APPS` says so.
    opened = ["cli."]
    opened += [f"apps.{importer}." for importer, imported in BETWEEN_APPS if imported == app]
    with copy.without(app):
        output = copy.run("-c", OPENED, *opened).out
    last_line = output.splitlines()[-1]
    file, commands, formats, n_defaults, code = json.loads(last_line)
    assert Path(file).is_relative_to(copy.folder)
    modules_of_app = f"apps.{app}."
    others = [name for name, module in COMMANDS.items() if not module.startswith(modules_of_app)]
    assert commands == sorted(others)
    assert len(commands) < len(COMMANDS)
    assert {"moshi", "csm"} <= {*formats}
    assert n_defaults > 10
    assert code == 0


def test_without_any_app_recordings_become_a_dataset_that_is_judged_exported_shown_and_loaded(copy: Copy) -> None:
    save(copy.folder / "calls/call.flac", excerpt("weekend_trip", seconds=8.0))
    work = copy.folder / "work"
    with copy.without(*APPS):
        copy.run("build", "calls", "--out", work, "--revoice", "none", "--profile", "embedded", "--language", "en")
        copy.run("check", work)
        copy.run("export", work, "--format", "moshi", "--out", "data")
        copy.run("report", work)
        load = "import dailytalk_contiguous as d; print(len(d.load('work', split='train')[0]['utterances']) > 2)"
        assert copy.run("-c", load).out == "True\n"
    assert (copy.folder / "data/README.md").is_file()
