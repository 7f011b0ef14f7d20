"""Expressive, word-aligned, versioned speech datasets from two-person conversations.

The stages are usable by themselves, on any dataset with 16 kHz `speech`:

    from dailytalk_contiguous import RateAffect, add_speech

    rated = RateAffect().map(add_speech(dataset))

Public names are listed in `__init__.pyi` and loaded when they are first used: importing the package costs nothing.
"""

import os

import lazy_loader

# onnxruntime, which runs Silero, reports every session to its maker unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
