"""What tests of the core take from apps; a test that does is skipped where the app is not here."""

from typing import Any

import pytest


def from_app(module: str) -> Any:
    """A module of an app, such as `clips.mixture`."""
    reason = f"for want of the app {module.partition('.')[0]}"
    return pytest.importorskip(f"dailytalk_contiguous.apps.{module}", reason=reason)
