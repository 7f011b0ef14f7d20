"""A file that has not changed is recognised without being opened, and a change is never missed."""

import os
import time
from pathlib import Path

import pytest

from dailytalk_contiguous.store.file_stamp import settled_stamp

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the system does not say when a file changed")

#: Nanoseconds since 1970, later than all changes of a test.
LATER = time.time_ns() + 3600 * 1_000_000_000


def test_stamp_stays_while_a_file_is_only_read(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"sound")
    before = settled_stamp(path, LATER)
    path.read_bytes()
    assert before
    assert settled_stamp(path, LATER) == before


@pytest.mark.parametrize("way", ["in place", "by another file"])
def test_stamp_tells_a_change_that_keeps_length_and_date(tmp_path: Path, way: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"sound")
    dates = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    before = settled_stamp(path, LATER)
    changed = path if way == "in place" else tmp_path / "b.wav"
    changed.write_bytes(b"music")
    os.utime(changed, ns=dates)
    changed.replace(path)
    assert path.stat().st_mtime_ns == dates[1]
    assert settled_stamp(path, LATER) != before


def test_file_that_has_just_changed_has_no_stamp(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"sound")
    assert settled_stamp(path) == ""
