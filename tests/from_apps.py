"""What tests of the core take from apps; a test that does is skipped where the app is not here."""

from importlib import import_module
from typing import Any

import pytest


def from_app(module: str) -> Any:
    """A module of an app, such as `clips.mixture`."""
    app = module.partition(".")[0]
    pytest.importorskip(f"dailytalk_contiguous.apps.{app}", reason=f"for want of the app {app}")
    return import_module(f"dailytalk_contiguous.apps.{module}")
