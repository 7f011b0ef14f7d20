"""Expressive, word-aligned, versioned speech datasets from two-person conversations.

The stages are usable by themselves, on any dataset with 16 kHz `speech`:

    from dailytalk_contiguous import RateAffect, add_speech

    rated = RateAffect().map(add_speech(dataset))

Names are loaded when they are first used, so that importing the package costs nothing.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# onnxruntime, which runs Silero, reports every session to its maker unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from dailytalk_contiguous.core.contours import ProsodicFeatureExtractor
    from dailytalk_contiguous.core.errors import BadInput, DailytalkError, ModelMissing, Reject
    from dailytalk_contiguous.core.utterance import Field
    from dailytalk_contiguous.learn.clusters import ArrayClass, ClusteringPipeline
    from dailytalk_contiguous.learn.embeddings import read_embeddings
    from dailytalk_contiguous.learn.evaluation import evaluate_tokens
    from dailytalk_contiguous.learn.masked_tokens import TrainingSettings, train_encoder
    from dailytalk_contiguous.learn.similar import find_similar
    from dailytalk_contiguous.learn.token_rows import token_rows
    from dailytalk_contiguous.models.codebook import Codebook
    from dailytalk_contiguous.models.prosodic_encoder import ProsodicSequenceEncoder
    from dailytalk_contiguous.models.prosodic_sequences import ProsodicClusterSequences
    from dailytalk_contiguous.pipelines import clip_stages, speak_stages, tag_stages
    from dailytalk_contiguous.publish.loading import StereoAudio, collate_windows, load, moshi_windows
    from dailytalk_contiguous.run.build import run_recipe
    from dailytalk_contiguous.sources.folder import Folder
    from dailytalk_contiguous.sources.speech import add_speech
    from dailytalk_contiguous.stages.align import Align
    from dailytalk_contiguous.stages.base import PerUtterance, Stage, published_by
    from dailytalk_contiguous.stages.classify_emotion import ClassifyEmotion
    from dailytalk_contiguous.stages.extract_contours import ExtractContours
    from dailytalk_contiguous.stages.finish import Finish
    from dailytalk_contiguous.stages.match_transcript import MatchTranscript
    from dailytalk_contiguous.stages.measure_prosody import MeasureProsody
    from dailytalk_contiguous.stages.rate_affect import RateAffect
    from dailytalk_contiguous.stages.reconstruct import Reconstruct
    from dailytalk_contiguous.stages.script import Script
    from dailytalk_contiguous.stages.segment import Segment
    from dailytalk_contiguous.stages.style import Bucket, Punctuate, Tag, corpus_of
    from dailytalk_contiguous.stages.synthesis import Speak
    from dailytalk_contiguous.stages.tokenise_prosody import TokeniseProsody
    from dailytalk_contiguous.stages.transcribe import Transcribe

_HOMES = {
    "Align": "stages.align",
    "ArrayClass": "learn.clusters",
    "BadInput": "core.errors",
    "Bucket": "stages.style",
    "ClassifyEmotion": "stages.classify_emotion",
    "ClusteringPipeline": "learn.clusters",
    "Codebook": "models.codebook",
    "DailytalkError": "core.errors",
    "ExtractContours": "stages.extract_contours",
    "Field": "core.utterance",
    "Finish": "stages.finish",
    "Folder": "sources.folder",
    "MatchTranscript": "stages.match_transcript",
    "MeasureProsody": "stages.measure_prosody",
    "ModelMissing": "core.errors",
    "PerUtterance": "stages.base",
    "ProsodicClusterSequences": "models.prosodic_sequences",
    "ProsodicFeatureExtractor": "core.contours",
    "ProsodicSequenceEncoder": "models.prosodic_encoder",
    "Punctuate": "stages.style",
    "RateAffect": "stages.rate_affect",
    "Reconstruct": "stages.reconstruct",
    "Reject": "core.errors",
    "Script": "stages.script",
    "Segment": "stages.segment",
    "Speak": "stages.synthesis",
    "Stage": "stages.base",
    "StereoAudio": "publish.loading",
    "Tag": "stages.style",
    "TokeniseProsody": "stages.tokenise_prosody",
    "TrainingSettings": "learn.masked_tokens",
    "Transcribe": "stages.transcribe",
    "add_speech": "sources.speech",
    "clip_stages": "pipelines",
    "collate_windows": "publish.loading",
    "corpus_of": "stages.style",
    "evaluate_tokens": "learn.evaluation",
    "find_similar": "learn.similar",
    "load": "publish.loading",
    "moshi_windows": "publish.loading",
    "published_by": "stages.base",
    "read_embeddings": "learn.embeddings",
    "run_recipe": "run.build",
    "speak_stages": "pipelines",
    "tag_stages": "pipelines",
    "token_rows": "learn.token_rows",
    "train_encoder": "learn.masked_tokens",
}

__all__ = [
    "Align",
    "ArrayClass",
    "BadInput",
    "Bucket",
    "ClassifyEmotion",
    "ClusteringPipeline",
    "Codebook",
    "DailytalkError",
    "ExtractContours",
    "Field",
    "Finish",
    "Folder",
    "MatchTranscript",
    "MeasureProsody",
    "ModelMissing",
    "PerUtterance",
    "ProsodicClusterSequences",
    "ProsodicFeatureExtractor",
    "ProsodicSequenceEncoder",
    "Punctuate",
    "RateAffect",
    "Reconstruct",
    "Reject",
    "Script",
    "Segment",
    "Speak",
    "Stage",
    "StereoAudio",
    "Tag",
    "TokeniseProsody",
    "TrainingSettings",
    "Transcribe",
    "add_speech",
    "clip_stages",
    "collate_windows",
    "corpus_of",
    "evaluate_tokens",
    "find_similar",
    "load",
    "moshi_windows",
    "published_by",
    "read_embeddings",
    "run_recipe",
    "speak_stages",
    "tag_stages",
    "token_rows",
    "train_encoder",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
