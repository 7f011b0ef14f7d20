"""The folder for what need not be found twice is its owner's alone; work by several threads loses nothing."""

import itertools
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from dailytalk_contiguous.core.machine import cache_folder, side_by_side


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


def test_what_was_given_before_a_source_breaks_is_worked_on_first() -> None:
    def source() -> Iterator[int]:
        yield from (1, 2, 3)
        raise OSError("the disk is gone")

    work = side_by_side(lambda number: 10 * number, source(), 2)
    done = [*itertools.islice(work, 3)]
    assert done == [10, 20, 30]
    with pytest.raises(OSError, match="the disk is gone"):
        next(work)
