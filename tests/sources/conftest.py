"""What tests of sources share."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def unsearchable(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Makes a folder one that can't be listed, as its mode would for a user who is not root."""
    scan, shut = os.scandir, set[str]()

    def refused(path: str) -> object:
        if os.fspath(path) in shut:
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    return lambda folder: shut.add(str(folder))
