"""How many times faster than a plain loop we tag: at equal precision, and by default.

The plain loop takes one utterance at a time, with each library used as its front page shows: Silero chunk by
chunk, Whisper (float32, beam 5), the affect model (float32), and librosa's pYIN with its defaults over C2-C7.
Whisper is trained; the affect model has the real shape and random weights: right for time, worthless for ratings.
All three sides take the same recordings with the same models in one run, one side after another.

Prints processor seconds (and wall seconds beside them), two ratios of processor time with their goals, and the
share of ours outside model calls and pitch (the features of the recogniser count as outside). Main figures are
processor time: on a machine that others use, wall time measures them too. Takes some minutes.

    python benchmarks/end_to_end.py [--recordings 1] [--seconds 30]
    OMP_NUM_THREADS=1 python benchmarks/end_to_end.py          # on a machine that others use, too
"""

import os

# Threads that wait for work would count as busy, so they are told to sleep. Read when the libraries are loaded.
for _name, _value in (("OMP_WAIT_POLICY", "PASSIVE"), ("KMP_BLOCKTIME", "0"), ("OPENBLAS_NUM_THREADS", "1")):
    os.environ.setdefault(_name, _value)

import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections import defaultdict  # noqa: E402
from collections.abc import Callable, Iterator, Sequence  # noqa: E402
from contextlib import contextmanager  # noqa: E402
from dataclasses import dataclass, field  # noqa: E402
from functools import lru_cache  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import measuring  # noqa: E402
import numpy as np  # noqa: E402
from datasets import Dataset  # noqa: E402
from faster_whisper.feature_extractor import FeatureExtractor  # noqa: E402
from tiny_models import make_affect  # noqa: E402

from dailytalk_contiguous import Folder, tag_stages  # noqa: E402
from dailytalk_contiguous.core.records.schema import SOURCE  # noqa: E402
from dailytalk_contiguous.core.sound import prosody  # noqa: E402
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, pcm_to_float  # noqa: E402
from dailytalk_contiguous.machine.audio import read_pcm  # noqa: E402
from dailytalk_contiguous.machine.resources import cores  # noqa: E402
from dailytalk_contiguous.models import affect_network, speech_activity, whisper  # noqa: E402
from dailytalk_contiguous.models.affect import fast_precisions  # noqa: E402
from dailytalk_contiguous.run.shard import after_stage, open_talk  # noqa: E402
from dailytalk_contiguous.stages.base import Stages, UtteranceStage  # noqa: E402

Batch = dict[str, Any]

#: Threads of the models of all sides, and the size of Whisper.
THREADS = int(os.environ.get("OMP_NUM_THREADS") or 0) or cores()
WHISPER = "base"

#: Our sides, their settings, and how many times faster than the plain loop they have to be: by default, 5 times
#: where the CPU computes the affect model in bfloat16.
SIDES: dict[str, tuple[dict[str, str], float]] = {
    "equal precision": ({"compute_type": "float32", "affect_precision": "float32"}, 3.5),
    "defaults": ({}, 5.0 if "bfloat16" in fast_precisions("cpu") else 4.0),
}
OUTSIDE_GOAL = 0.02

PARTS = ("speech activity", "Transcribe", "RateAffect", "pitch")


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


def recordings(empty: str, count: int, seconds: float) -> list[Batch]:
    """The first `seconds` of the first `count` of the bundled recordings, without the transcripts beside them."""
    rows = Folder(inputs=(str(measuring.EXAMPLES),), transcripts=empty).as_streaming_dataset("train")
    found = [row | {"duration": min(row["duration"], seconds)} for row in rows if not row["problem"]]
    return [{name: [value] for name, value in row.items()} for row in found[:count]]


class Plain:
    """One utterance at a time. Models are loaded before the clock starts."""

    def __init__(self, affect: str) -> None:
        import librosa
        import silero_vad
        import torch
        from faster_whisper import WhisperModel

        torch.set_num_threads(THREADS)
        self.clock = Clock()
        self._silero = silero_vad.load_silero_vad()
        weights = whisper.resolve_whisper(WHISPER)
        self._whisper = WhisperModel(weights, "cpu", compute_type="float32", cpu_threads=THREADS)
        self._affect = affect_network.load_affect_model(affect, "cpu")
        self._range = {"fmin": librosa.note_to_hz("C2"), "fmax": librosa.note_to_hz("C7"), "sr": ANALYSIS_RATE}
        torch.set_num_threads(THREADS)  # importing silero_vad leaves it at one

    def __call__(self, batch: Batch) -> None:
        import librosa
        import silero_vad
        import torch

        clock = self.clock
        samples = pcm_to_float(read_pcm(batch["audio"][0], batch["offset"][0], batch["duration"][0]))
        for channel in np.ascontiguousarray(samples.T):
            with clock.timed("speech activity"):
                spans = silero_vad.get_speech_timestamps(
                    torch.from_numpy(channel), self._silero, min_silence_duration_ms=350
                )
            for span in spans:
                speech = channel[span["start"] : span["end"]]
                with clock.timed("Transcribe"):
                    options = {"language": "en", "beam_size": 5, "word_timestamps": True, "temperature": 0.0}
                    segments, _ = self._whisper.transcribe(speech, **options)
                    list(segments)
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
            if stage.models() and isinstance(stage, UtteranceStage):
                stage.map(Dataset.from_dict(one))
        speech_activity.speech_probabilities(np.zeros(ANALYSIS_RATE, np.float32))

    def __call__(self, batches: Sequence[Batch]) -> None:
        """Take conversations through all stages together, each stage's batches as on a shard (see `run.shard`)."""
        talks = []
        for batch in batches:
            row = {name: values[0] for name, values in batch.items()}
            talks.append(open_talk(row, SOURCE))
        with _watched(self.inside):
            for stage in self.stages:
                alone = not stage.by_row and any(stage.models().values())
                parts = [[talk] for talk in talks] if alone else [talks]
                with self.clock.timed(stage.name):
                    talks = [talk for part in parts for talk in after_stage(stage, part)]

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


def main() -> int:
    """Run all sides and print how they compare."""
    parser = measuring.parser(__doc__)
    parser.add_argument("--recordings", type=int, default=1, help="how many of the bundled ones")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each, from its start")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        affect = str(make_affect(Path(folder) / "affect"))
        batches = recordings(folder, chosen.recordings, chosen.seconds)
        seconds = sum(batch["duration"][0] for batch in batches)
        print(f"{len(batches)} recordings, {seconds:.0f} s; Whisper {WHISPER}; {THREADS} threads")
        keep_models()
        same = {"asr_model": WHISPER, "affect_model": affect, "language": "en", "device": "cpu"}
        ours = {name: Ours(tag_stages(**same, **settings)) for name, (settings, _) in SIDES.items()}
        plain = Plain(affect)
        for batch in batches:
            plain(batch)
        for side in ours.values():
            side(batches)
    return report(plain.clock, ours)


def report(plain: Clock, ours: dict[str, Ours]) -> int:
    rows = [line("plain loop", plain, plain)]
    rows += [line(name, side.clock, side.inside) for name, side in ours.items()]
    measuring.print_table(("processor s", "all", "wall", *PARTS), rows)
    met = []
    for name, side in ours.items():
        goal = SIDES[name][1]
        times = sum(plain.cpu.values()) / sum(side.clock.cpu.values())
        met.append(measuring.judged(f"{name}: {times:.2f} times faster, goal {goal:g}", times >= goal))
        wall_times = sum(plain.wall.values()) / sum(side.clock.wall.values())
        print(f"{name}: {wall_times:.2f} times faster by the clock")
        outside = f"outside models and pitch, {name}: {side.outside:.1%}, goal at most {OUTSIDE_GOAL:.0%}"
        met.append(measuring.judged(outside, side.outside <= OUTSIDE_GOAL))
    return int(not all(met))


def line(name: str, whole: Clock, parts: Clock) -> list[str]:
    seconds = [sum(whole.cpu.values()), sum(whole.wall.values()), *(parts.cpu[part] for part in PARTS)]
    return [name, *(f"{value:.2f}" for value in seconds)]


if __name__ == "__main__":
    sys.exit(main())
