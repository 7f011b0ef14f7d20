"""The folder for what need not be found twice: nobody but its owner may enter it."""

import ctypes
import os
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dailytalk_contiguous.core.machine import cache_folder, cores, give_back_memory, private_folder
from dailytalk_contiguous.models.contracts import Spoken
from dailytalk_contiguous.models.speech_cache import SpeechCache


def rights(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("DAILYTALK_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "dailytalk_contiguous"


def test_users_cache_is_for_its_owner_alone_also_where_an_earlier_version_left_it_open(home: Path) -> None:
    assert cache_folder() == home
    assert rights(home) == 0o700
    home.chmod(0o755)
    cache_folder()
    assert rights(home) == 0o700


def test_cache_that_is_named_is_made_private_and_keeps_its_rights_where_it_is_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "mine"))
    assert rights(cache_folder()) == 0o700
    (tmp_path / "shared").mkdir(mode=0o750)
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "shared"))
    assert rights(cache_folder()) == 0o750


def test_cache_of_speech_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    cache = SpeechCache(tmp_path / "bought" / "speech")
    with cache.buying("ab" * 32):
        cache.put("ab" * 32, Spoken(np.zeros(8, np.float32), 8000, None, 0.0))
    assert rights(cache.folder) == 0o700


def test_folder_that_can_not_be_made_is_told_by_who_writes_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert private_folder(tmp_path / "file" / "cache") == tmp_path / "file" / "cache"


def test_where_the_system_does_not_say_which_cores_are_ours_all_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", {0: {0, 3}}.__getitem__, raising=False)
    assert cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert cores() == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


def test_cache_is_in_the_home_of_who_has_named_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("DAILYTALK_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")
    assert cache_folder() == tmp_path / ".cache" / "dailytalk_contiguous"
    assert rights(tmp_path / ".cache" / "dailytalk_contiguous") == 0o700


@pytest.mark.parametrize(
    ("platform", "has_it", "trimmed"), [("linux", True, [0]), ("linux", False, []), ("darwin", True, [])]
)
def test_memory_is_given_back_all_of_it_where_the_system_can(
    platform: str, has_it: bool, trimmed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    library = SimpleNamespace(malloc_trim=kept.append) if has_it else SimpleNamespace()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(sys, "platform", platform)
    give_back_memory()
    assert kept == trimmed


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process as Linux shows it")
def test_what_arrow_has_freed_goes_back_to_the_system() -> None:
    # In a process of its own, where nobody else allocates meanwhile.
    script = """
import pyarrow
from dailytalk_contiguous.core.machine import give_back_memory
def held():
    return int(open("/proc/self/status").read().split("VmRSS:")[1].split()[0]) // 1024
before = held()
column = pyarrow.nulls(25 << 20, pyarrow.int64()).fill_null(1)
assert held() > before + 150
del column
give_back_memory()
assert held() < before + 100, (before, held())
"""
    subprocess.run([sys.executable, "-c", script], check=True)
