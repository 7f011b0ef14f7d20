"""The two sides that the speed benchmarks compare, on the same models and recordings: a plain loop, and ours.

The plain loop takes one utterance at a time, with each library used as its front page shows: Silero chunk by
chunk, Whisper (float32, beam 5), the affect model (float32), and librosa's pYIN with its defaults over C2-C7.
Whisper is trained; the affect model has the real shape and random weights: right for time, worthless for ratings.

Main figures are processor time: on a machine that others use, wall time measures them too. Threads that wait for
work would count as busy, so they are told to sleep; with `OMP_NUM_THREADS=1` nothing waits at all. With `--avx2`
the libraries use no later instructions, as on a CPU that has none.
"""

import os
import sys

# The last as the command sets it.
for _name, _value in (("OMP_WAIT_POLICY", "PASSIVE"), ("KMP_BLOCKTIME", "0"), ("OPENBLAS_NUM_THREADS", "1")):
    os.environ.setdefault(_name, _value)  # read once, when the libraries below are loaded

AVX2 = "--avx2" in sys.argv
for _name in ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS", "CT2_FORCE_CPU_ISA"):
    if AVX2:  # ATen wants it in small letters
        os.environ[_name] = "avx2" if _name.startswith("ATEN") else "AVX2"

import math  # noqa: E402
import time  # noqa: E402
from collections import defaultdict  # noqa: E402
from collections.abc import Callable, Iterator, Sequence  # noqa: E402
from contextlib import contextmanager  # noqa: E402
from dataclasses import dataclass, field  # noqa: E402
from functools import lru_cache  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, NamedTuple  # noqa: E402

import measuring  # noqa: E402, F401
import numpy as np  # noqa: E402
from datasets import Dataset, Features  # noqa: E402
from faster_whisper.feature_extractor import FeatureExtractor  # noqa: E402
from tiny_models import make_affect  # noqa: E402

from dailytalk_contiguous import Folder  # noqa: E402
from dailytalk_contiguous.core import prosody  # noqa: E402
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, read_pcm  # noqa: E402
from dailytalk_contiguous.core.machine import cores  # noqa: E402
from dailytalk_contiguous.core.schema import SOURCE  # noqa: E402
from dailytalk_contiguous.models import affect_network, speech_activity, whisper  # noqa: E402
from dailytalk_contiguous.run.shard import quiet_datasets  # noqa: E402
from dailytalk_contiguous.stages.base import Stages  # noqa: E402

Batch = dict[str, Any]

#: Threads of the models of both sides.
THREADS = int(os.environ.get("OMP_NUM_THREADS") or 0) or cores()


@dataclass
class Clock:
    """Seconds of processor time and of wall time, by what they went into."""

    cpu: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    wall: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def timed(self, name: str, processor: Callable[[], float] = time.process_time) -> Iterator[None]:
        """Add the time of a block."""
        cpu = processor()
        wall = time.perf_counter()
        try:
            yield
        finally:
            self.cpu[name] += processor() - cpu
            self.wall[name] += time.perf_counter() - wall


class Material(NamedTuple):
    """Recordings as batches of one conversation, and the models for both sides: a size of Whisper, a folder."""

    batches: list[Batch]
    audio_seconds: float
    whisper: str
    affect: str


def recordings(folder: str, empty: str, count: int | None = None, seconds: float = math.inf) -> list[Batch]:
    """The first `seconds` of the first `count` of the recordings, without the transcripts beside them."""
    rows = Folder(inputs=(folder,), transcripts=empty).as_streaming_dataset("train")
    found = [row | {"duration": min(row["duration"], seconds)} for row in rows if not row["problem"]]
    return [{name: [value] for name, value in row.items()} for row in found[:count]]


def prepare(folder: Path, inputs: str, count: int, seconds: float, size: str) -> Material:
    """Make an affect model in `folder` for the first `seconds` of the first `count` of the recordings."""
    batches = recordings(inputs, str(folder), count, seconds)
    return Material(
        batches,
        sum(batch["duration"][0] for batch in batches),
        size,
        str(make_affect(folder / "affect")),
    )


class Plain:
    """One utterance at a time. Models are loaded before the clock starts."""

    def __init__(self, material: Material) -> None:
        import librosa
        import silero_vad
        import torch
        from faster_whisper import WhisperModel

        torch.set_num_threads(THREADS)
        self.clock = Clock()
        self._silero = silero_vad.load_silero_vad()
        self._whisper = WhisperModel(
            whisper.find_whisper(material.whisper), "cpu", compute_type="float32", cpu_threads=THREADS
        )
        self._affect = affect_network.load_affect_model(material.affect, "cpu")
        self._range = {"fmin": librosa.note_to_hz("C2"), "fmax": librosa.note_to_hz("C7"), "sr": ANALYSIS_RATE}
        torch.set_num_threads(THREADS)  # importing silero_vad leaves it at one

    def __call__(self, batch: Batch) -> None:
        import librosa
        import silero_vad
        import torch

        clock = self.clock
        samples = read_pcm(batch["audio"][0], batch["offset"][0], batch["duration"][0]).astype(
            np.float32
        ) / np.float32(32768)
        for channel in np.ascontiguousarray(samples.T):
            with clock.timed("speech activity"):
                spans = silero_vad.get_speech_timestamps(
                    torch.from_numpy(channel), self._silero, min_silence_duration_ms=350
                )
            for span in spans:
                speech = channel[span["start"] : span["end"]]
                with clock.timed("Transcribe"):
                    list(
                        self._whisper.transcribe(
                            speech, language="en", beam_size=5, word_timestamps=True, temperature=0.0
                        )[0]
                    )
                with clock.timed("RateAffect"):
                    self._affect.rate([speech])
                with clock.timed("pitch"):
                    librosa.pyin(speech, **self._range)


class Ours:
    """The pipeline: seconds of each stage, and of those the ones inside models, pitch and `pcm_to_float`."""

    def __init__(self, stages: Stages) -> None:
        self.clock = Clock()
        self.inside = Clock()
        self.stages = stages
        silence = np.zeros(2 * ANALYSIS_RATE, np.int16).tobytes()
        one = {"speech": [silence], "conversation_id": [""], "channel": ["left"]}
        for stage in self.stages:  # loads the models
            if stage.models() and hasattr(stage, "stage"):
                stage.stage(one)
        speech_activity.speech_probabilities(np.zeros(ANALYSIS_RATE, np.float32))

    def __call__(self, batches: Sequence[Batch]) -> None:
        """Take conversations through all stages together, each stage's batches as on a shard (see `run.shard`)."""
        rows = {name: [value for batch in batches for value in batch[name]] for name in batches[0]}
        dataset = Dataset.from_dict(rows, Features({name: SOURCE[name] for name in rows}))
        with _watched(self.inside), quiet_datasets():
            for stage in self.stages:
                alone = not stage.by_row and any(stage.models().values())
                options = {"keep_in_memory": True, "new_fingerprint": stage.name}
                options |= {"batch_size": 1 if alone else len(batches)}
                with self.clock.timed(stage.name):
                    dataset = stage.map(dataset, **options)

    @property
    def outside(self) -> float:
        """Share of the processor time outside model calls and pitch."""
        return 1 - sum(self.inside.cpu.values()) / sum(self.clock.cpu.values())


def keep_models() -> None:
    """Let models of several sides stay loaded: a process of ours holds one of a kind."""
    whisper._load = lru_cache(maxsize=8)(whisper._load.__wrapped__)
    affect_network.load_affect_model = lru_cache(maxsize=8)(affect_network.load_affect_model.__wrapped__)


@contextmanager
def _watched(clock: Clock) -> Iterator[None]:
    """Time every model call, pitch, and what makes floats of 16-bit sound, while the block runs."""
    features = Clock()
    # Both channels, and batches, run side by side: the time of the process would count the other ones', too. But
    # CTranslate2 computes in threads of its own.
    watched = [
        (speech_activity.SpeechActivity, "_run", "speech activity", clock, time.thread_time),
        (prosody, "track_pitch", "pitch", clock, time.process_time),
        (affect_network.AffectModel, "rate", "RateAffect", clock, time.thread_time),
        (whisper.Whisper, "transcribe", "Transcribe", clock, time.process_time),
        (FeatureExtractor, "__call__", "Transcribe", features, time.thread_time),
    ]
    inner = [getattr(owner, name) for owner, name, *_ in watched]
    for (owner, name, *how), call in zip(watched, inner, strict=True):
        setattr(owner, name, _timing(call, *how))
    try:
        yield
    finally:
        for (owner, name, *_), call in zip(watched, inner, strict=True):
            setattr(owner, name, call)
        clock.cpu["Transcribe"] -= features.cpu["Transcribe"]  # the features are ours


def _timing(
    call: Callable[..., Any], label: str, clock: Clock, processor: Callable[[], float]
) -> Callable[..., Any]:
    def timing(*args: Any, **options: Any) -> Any:
        with clock.timed(label, processor):
            return call(*args, **options)

    return timing
