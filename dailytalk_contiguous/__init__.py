"""Expressive, word-aligned, versioned speech datasets from two-person conversations.

The stages are usable by themselves, on any dataset with 16 kHz `speech`:

    from dailytalk_contiguous import RateAffect, add_speech

    rated = RateAffect().map(add_speech(dataset))

Public names are listed in `__init__.pyi` and loaded when they are first used: importing the package costs nothing.
"""

import os
from typing import Any

import lazy_loader

from dailytalk_contiguous.machine.extras import missing_extra

# onnxruntime, which runs Silero, reports every session to its maker unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_loaded, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    """Load a public name. Raises ModuleNotFoundError that says which extra is missing."""
    try:
        return _loaded(name)
    except ModuleNotFoundError as error:
        sentence = missing_extra(error)
        if not sentence:
            raise
        raise ModuleNotFoundError(f"{name} needs more: {sentence}", name=error.name) from None
