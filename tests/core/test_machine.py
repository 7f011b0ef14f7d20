"""The folder for what need not be found twice: nobody but its owner may enter it."""

import stat
from pathlib import Path

import pytest

from dailytalk_contiguous.core.machine import cache_folder


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
