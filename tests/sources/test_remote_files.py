"""Copies of objects of a store: which times they have."""

import hashlib
import os
from pathlib import Path

from dailytalk_contiguous.sources.hub_repository import modified_of
from dailytalk_contiguous.sources.remote_files import Mirror


def test_copy_has_the_time_of_the_store_and_a_recording_one_that_stands_for_its_content(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store/a.wav").write_bytes(b"sound")
    os.utime(tmp_path / "store/a.wav", (1_600_000_000, 1_600_000_000))
    address = f"file://{tmp_path}/store"
    plain, stamped = Mirror(address, tmp_path / "plain"), Mirror(address, tmp_path / "stamped", stamped=True)
    token = plain.pull()["a.wav"].token
    stamped.pull()
    assert (tmp_path / "plain/a.wav").stat().st_mtime == 1_600_000_000
    digest = hashlib.sha256(token.encode()).hexdigest()
    assert (tmp_path / "stamped/a.wav").stat().st_mtime == modified_of(digest)
