"""The folder for what need not be found twice: nobody but its owner may enter it."""

import stat
from pathlib import Path

import pytest

from dailytalk_contiguous.core.machine import cache_folder


def rights(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


def test_cache_that_is_named_is_made_private_and_keeps_its_rights_where_it_is_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "mine"))
    assert rights(cache_folder()) == 0o700
    (tmp_path / "shared").mkdir(mode=0o750)
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "shared"))
    assert rights(cache_folder()) == 0o750
