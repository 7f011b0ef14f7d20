"""A fork of `preloaded` is what a process would be that was started."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import preloaded
import pytest
from preloaded import Forked

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are started on Linux alone")


@pytest.fixture(autouse=True)
def _unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the libraries of tests before these have set for themselves."""
    monkeypatch.setattr(preloaded, "ENVIRONMENT", dict(os.environ))


TELLS = """
import json, os, sys
print(json.dumps([__name__, sys.argv, os.getcwd(), os.environ.get("COLUMNS"), os.getsid(0) == os.getpid(),
    "datasets" in sys.modules, sys.stdin.read(), sorted(map(int, os.listdir("/proc/self/fd")))[:-1]]))
sys.exit(7)
"""


def forked(code: str, *words: str) -> Forked:
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return Forked([sys.executable, "-c", code, *words], text=True, **pipes)


def test_fork_has_its_own_words_folder_environment_session_and_pipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "77")
    process = forked(TELLS, "one", "two words")
    told, errors = process.communicate("said")
    own = ["__main__", ["-c", "one", "two words"], str(tmp_path), "77", True, True, "said", [0, 1, 2]]
    assert (json.loads(told), process.returncode, errors) == (own, 7, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_reach_a_fork_as_a_child(number: signal.Signals) -> None:
    process = forked("import time; print('begun', flush=True); time.sleep(600)")
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    os.killpg(process.pid, number)
    process.communicate()
    assert process.returncode == -number


def test_what_libraries_read_at_their_import_is_read_by_a_process_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    process = forked("import sys; from huggingface_hub import constants; print(constants.ENDPOINT)")
    assert process.communicate() == ("http://127.0.0.1:9\n", "")
