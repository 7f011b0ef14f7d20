"""Expressive, word-aligned, versioned speech datasets from two-person conversations.

The stages are usable by themselves, on any dataset with 16 kHz `speech`:

    from dailytalk_contiguous import RateAffect, add_speech

    rated = RateAffect().map(add_speech(dataset))

Names are loaded when they are first used, so that importing the package costs nothing.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# onnxruntime, which runs Silero, tells its maker of every session, unless it is told not to before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from dailytalk_contiguous.core.errors import BadInput, DailytalkError, ModelMissing, Reject
    from dailytalk_contiguous.engine.recipe import run_recipe
    from dailytalk_contiguous.pipeline import SpeakSettings, TagSettings, speaking, tagging
    from dailytalk_contiguous.publish.loading.loading import load
    from dailytalk_contiguous.publish.loading.stereo import StereoAudio
    from dailytalk_contiguous.publish.loading.windows import collate_windows, moshi_windows
    from dailytalk_contiguous.sources.folder import Folder
    from dailytalk_contiguous.sources.speech import add_speech
    from dailytalk_contiguous.stages.affect import RateAffect
    from dailytalk_contiguous.stages.align import Align
    from dailytalk_contiguous.stages.base import PerUtterance, Stage
    from dailytalk_contiguous.stages.bucket import Bucket, corpus_of
    from dailytalk_contiguous.stages.finish import Finish
    from dailytalk_contiguous.stages.match_transcript import MatchTranscript
    from dailytalk_contiguous.stages.prosody import MeasureProsody
    from dailytalk_contiguous.stages.punctuate import Punctuate
    from dailytalk_contiguous.stages.reconstruct import Reconstruct
    from dailytalk_contiguous.stages.segment import Segment
    from dailytalk_contiguous.stages.speak import Speak
    from dailytalk_contiguous.stages.tag import Tag
    from dailytalk_contiguous.stages.transcribe import Transcribe

_HOMES = {
    "Align": "stages.align",
    "BadInput": "core.errors",
    "Bucket": "stages.bucket",
    "DailytalkError": "core.errors",
    "Finish": "stages.finish",
    "Folder": "sources.folder",
    "MatchTranscript": "stages.match_transcript",
    "MeasureProsody": "stages.prosody",
    "ModelMissing": "core.errors",
    "PerUtterance": "stages.base",
    "Punctuate": "stages.punctuate",
    "RateAffect": "stages.affect",
    "Reconstruct": "stages.reconstruct",
    "Reject": "core.errors",
    "Segment": "stages.segment",
    "Speak": "stages.speak",
    "SpeakSettings": "pipeline",
    "Stage": "stages.base",
    "StereoAudio": "publish.loading.stereo",
    "Tag": "stages.tag",
    "TagSettings": "pipeline",
    "Transcribe": "stages.transcribe",
    "add_speech": "sources.speech",
    "collate_windows": "publish.loading.windows",
    "corpus_of": "stages.bucket",
    "load": "publish.loading.loading",
    "moshi_windows": "publish.loading.windows",
    "run_recipe": "engine.recipe",
    "speaking": "pipeline",
    "tagging": "pipeline",
}

__all__ = [
    "Align",
    "BadInput",
    "Bucket",
    "DailytalkError",
    "Finish",
    "Folder",
    "MatchTranscript",
    "MeasureProsody",
    "ModelMissing",
    "PerUtterance",
    "Punctuate",
    "RateAffect",
    "Reconstruct",
    "Reject",
    "Segment",
    "Speak",
    "SpeakSettings",
    "Stage",
    "StereoAudio",
    "Tag",
    "TagSettings",
    "Transcribe",
    "add_speech",
    "collate_windows",
    "corpus_of",
    "load",
    "moshi_windows",
    "run_recipe",
    "speaking",
    "tagging",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
