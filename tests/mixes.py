"""Folders as one for a trainer, as `dailytalk mix` makes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from from_apps import from_app


def mix_folders(folders: Sequence[tuple[Path, float | None]], out: Path, **settings: Any) -> Any:
    mixture = from_app("clips.mixture")
    return mixture.mix_folders(folders, out, mixture.Settings(**settings))
