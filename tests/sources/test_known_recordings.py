"""Recordings are opened again only where they have changed, and rows do not depend on it."""

import os
from pathlib import Path
from typing import Any

import pytest
from recordings import excerpt, save

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.sources import known_recordings
from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows
from dailytalk_contiguous.sources.known_recordings import RecordingFacts, recording_facts
from dailytalk_contiguous.store import file_stamp

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the system does not say when a file changed")


@pytest.fixture(autouse=True)
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the recordings that were opened; those of a moment ago count as settled."""
    names: list[str] = []

    def noted(path: Path) -> RecordingFacts:
        names.append(path.name)
        return recording_facts(path)

    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(known_recordings, "recording_facts", noted)
    monkeypatch.setattr(file_stamp, "SETTLING", -3600 * 1_000_000_000)
    return names


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    save(tmp_path / "calls/first.wav", excerpt(start=0.0))
    save(tmp_path / "calls/second.flac", excerpt(start=2.0))
    save(tmp_path / os.fsdecode(b"calls/third \xff.wav"), excerpt(start=4.0))
    return tmp_path / "calls"


def rows(calls: Path) -> list[dict[str, Any]]:
    return list(folder_rows(FolderConfig(inputs=(str(calls),), language="en")))


def test_recording_is_opened_once_however_often_it_is_found(calls: Path, opened: list[str]) -> None:
    before = rows(calls)
    assert len(opened) == 3
    opened.clear()
    assert rows(calls) == before
    assert rows(calls) == before
    assert opened == []


@pytest.mark.parametrize("kept_date", [False, True])
def test_recording_that_changed_is_opened_again_and_is_another_input(
    calls: Path, opened: list[str], kept_date: bool
) -> None:
    first, *others = rows(calls)
    opened.clear()
    path = calls / "first.wav"
    status = path.stat()
    save(path, 0.5 * excerpt(start=0.0))  # as long as before, and softer
    assert path.stat().st_size == status.st_size
    if kept_date:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    changed, *same = rows(calls)
    assert opened == ["first.wav"]
    assert same == others
    assert changed["input_digest"] != first["input_digest"]
    assert changed["audio_identity"] != first["audio_identity"]


def test_recording_that_came_or_went_costs_no_other(calls: Path, opened: list[str]) -> None:
    rows(calls)
    opened.clear()
    (calls / "second.flac").unlink()
    save(calls / "new.wav")
    assert len(rows(calls)) == 3
    assert opened == ["new.wav"]


def test_bad_recording_is_a_reject_each_time(calls: Path) -> None:
    (calls / "bad.wav").write_bytes(b"RIFF")
    with pytest.raises(BadInput):
        recording_facts(calls / "bad.wav")
    for _ in range(2):
        bad, *good = rows(calls)
        assert bad["problem"]
        assert not any(row["problem"] for row in good)


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"half a"])
def test_damaged_cache_is_read_anew(calls: Path, tmp_path: Path, damage: bytes) -> None:
    before = rows(calls)
    (kept,) = (tmp_path / "cache/headers").iterdir()
    content = kept.read_bytes()
    for part in (content[: len(content) // 2], content.replace(b"\t2\t", b"\t" + damage + b"\t"), damage):
        kept.write_bytes(part)
        assert rows(calls) == before


def test_cache_that_can_not_be_written_costs_nothing_else(calls: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/headers").write_text("in the way")
    assert len(rows(calls)) == 3
