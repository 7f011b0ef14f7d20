"""The two sides that the speed benchmarks compare, on the same models and recordings: a plain loop, and ours.

The plain loop takes one utterance at a time, with each library used as its front page shows: Silero chunk by
chunk, Whisper (float32, beam 5), the affect model (float32), and librosa's pYIN with its defaults over C2-C7.
Whisper is trained; the affect model has the real shape and random weights: right for time, worthless for ratings.

Main figures are processor time: on a machine that others use, wall time measures them too. Threads that wait for
work would count as busy, so they are told to sleep; with `OMP_NUM_THREADS=1` nothing waits at all. With `--avx2`
the libraries use no later instructions, as on a CPU that has none.

`python benchmarks/sides.py --out-of-step` is about the two sides of a recording instead: one is delayed, and
shifts that are found, missed and wrong are counted by their size and by what tells them. It also prints the
processor time of the search beside that of `Segment`. Limits were set on the bundled conversations; other calls
are in `shared/data` beside the repository. One of these (cobalt_call) has an echo 0.14 s behind its source: a
shift that this echo tells is wrong by as much.
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

import argparse  # noqa: E402
import json  # noqa: E402
import math  # noqa: E402
import time  # noqa: E402
from collections import defaultdict  # noqa: E402
from collections.abc import Callable, Iterator, Sequence  # noqa: E402
from contextlib import contextmanager  # noqa: E402
from dataclasses import dataclass, field  # noqa: E402
from functools import lru_cache  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, NamedTuple  # noqa: E402

import measuring  # noqa: E402
import numpy as np  # noqa: E402
from datasets import Dataset, Features  # noqa: E402
from faster_whisper.feature_extractor import FeatureExtractor  # noqa: E402
from scipy.signal import fftconvolve  # noqa: E402
from tiny_models import make_affect  # noqa: E402

from dailytalk_contiguous import Folder  # noqa: E402
from dailytalk_contiguous.core import prosody  # noqa: E402
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, read_pcm, to_pcm  # noqa: E402
from dailytalk_contiguous.core.machine import cores  # noqa: E402
from dailytalk_contiguous.core.schema import SOURCE  # noqa: E402
from dailytalk_contiguous.core.side_shift import shift_by_leak, shift_by_transcript  # noqa: E402
from dailytalk_contiguous.models import affect_network, speech_activity, whisper  # noqa: E402
from dailytalk_contiguous.run.shard import quiet_datasets  # noqa: E402
from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows  # noqa: E402
from dailytalk_contiguous.stages.base import Stages  # noqa: E402
from dailytalk_contiguous.stages.segment import Segment  # noqa: E402

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


# Sides that are out of step.


#: Seconds by which a side is delayed.
DELAYS = (0.3, 0.5, 1.0, 3.0, 10.0)

#: Seconds by which a shift that is found may be wrong.
TOLERANCE = 0.1

#: dB of leaks that are mixed in.
LEAKS_DB = (-20, -35, -50)

#: Recordings with two people that are not part of the repository.
OTHER_CALLS = measuring.ROOT.parent / "shared" / "data"

#: Of those, one with a leak of its own: two microphones in one room.
LEAKY_CALL = "two_mics_bleed"

#: Least seconds of a recording that tells anything.
LEAST_SECONDS = 20.0


@dataclass
class Call:
    """A recording in step: its sound, 16 kHz int16, shape (n, 2), its cues, and the speech of each side."""

    name: str
    pcm: Any
    cues: list[dict[str, Any]]
    speech: dict[str, list[tuple[float, float]]]


@dataclass
class Count:
    """How often a shift was found within `TOLERANCE`, found wrong, and missed; in step, any is wrong."""

    found: int = 0
    wrong: int = 0
    missed: int = 0

    def add(self, measured: float | None, delay: float) -> None:
        """Count what was measured of sides that are out of step by `delay` seconds."""
        if measured is None:
            self.missed += 1
        elif abs(measured - delay) <= TOLERANCE and delay:
            self.found += 1
        else:
            self.wrong += 1


def call_of(row: dict[str, Any], clock: Clock) -> Call:
    """The call of a row of a folder."""
    with clock.timed("Segment"):
        segmented = Segment().row(row)
    pcm = read_pcm(row["audio"], row["offset"], row["duration"])
    with clock.timed("leak"):
        shift_by_leak(pcm[:, 0], pcm[:, 1])
    speech: dict[str, list[tuple[float, float]]] = {"left": [], "right": []}
    for channel, start, end in zip(segmented["channel"], segmented["start"], segmented["end"], strict=True):
        speech[channel].append((start, end))
    cues = row["given"]
    reference = measuring.references().get(row["conversation_id"])
    if reference:
        cues = [{"words": [], **utterance} for utterance in reference["utterances"]]
    return Call(row["conversation_id"], pcm, cues, speech)


def calls_in(folders: Sequence[Path], clock: Clock) -> list[Call]:
    """The recordings of folders that have two speakers and are long enough."""
    calls = []
    for folder in folders:
        for row in folder_rows(FolderConfig(inputs=(str(folder),), language="en", max_conversation=0.0)):
            if row["problem"] or row["duration"] < LEAST_SECONDS:
                print(f"  not used: {row['conversation_id']} ({row['problem'] or 'short'})")
                continue
            calls.append(call_of(row, clock))
    return calls


def delayed(pcm: Any, delay: float) -> Any:
    """A recording whose right side is later by `delay` seconds, or its left one, if that is below 0."""
    n_late = round(abs(delay) * ANALYSIS_RATE)
    left, right = ((0, n_late), (n_late, 0)) if delay > 0 else ((n_late, 0), (0, n_late))
    return np.stack((np.pad(pcm[:, 0], left), np.pad(pcm[:, 1], right)), axis=1)


def with_leak(pcm: Any, decibels: float, into: Sequence[int]) -> Any:
    """A recording with room tone, and in some of its sides (0 left, 1 right) the other one through a room."""
    generator = np.random.default_rng(0)
    room = generator.standard_normal(1920) * np.exp(-np.arange(1920) / 213)
    room /= np.sqrt(np.square(room).sum())
    sound = pcm / 32768.0
    mixed = sound + 3e-4 * generator.standard_normal(sound.shape)
    for side in into:
        leak = fftconvolve(sound[:, 1 - side], room)[: len(sound)]
        mixed[:, side] += 10 ** (decibels / 20) * leak
    return to_pcm(mixed.astype(np.float32))


def moved(speech: dict[str, list[tuple[float, float]]], delay: float) -> dict[str, list[tuple[float, float]]]:
    """The speech of both sides of a recording of which one is delayed, as `delayed` does."""
    later = {"left": max(0.0, -delay), "right": max(0.0, delay)}
    return {
        side: [(start + later[side], end + later[side]) for start, end in spans] for side, spans in speech.items()
    }


def count_shifts(calls: Sequence[Call]) -> dict[str, dict[float, Count]]:
    """Counts by what tells a shift, and by its size; 0 is in step."""
    counts: dict[str, dict[float, Count]] = defaultdict(lambda: defaultdict(Count))
    delays = (0.0, *DELAYS, *(-delay for delay in DELAYS))
    for call in calls:
        as_recorded = "as recorded"
        if call.name == LEAKY_CALL:
            as_recorded = "leak of two microphones in a room"
        leaking = {as_recorded: call.pcm}
        if call.name != LEAKY_CALL:
            for decibels in LEAKS_DB:
                leaking[f"leak {decibels} dB, both ways"] = with_leak(call.pcm, decibels, (0, 1))
                leaking[f"leak {decibels} dB, into the right side"] = with_leak(call.pcm, decibels, (1,))
        for delay in delays:
            for way, pcm in leaking.items():
                shifted = delayed(pcm, delay)
                measured = shift_by_leak(shifted[:, 0], shifted[:, 1])
                counts[way][delay].add(measured, delay)
            if call.cues:
                speech = moved(call.speech, delay)
                counts["transcript"][delay].add(shift_by_transcript(call.cues, speech), delay)
    return counts


def print_counts(counts: dict[str, dict[float, Count]]) -> None:
    for way, by_delay in counts.items():
        parts = []
        for delay, count in sorted(by_delay.items(), key=lambda item: (abs(item[0]), item[0])):
            if delay:
                parts.append(f"{delay:+g} s {count.found}/{count.missed}/{count.wrong}")
            else:
                parts.append(f"in step: {count.wrong} false of {count.wrong + count.missed}; found/missed/wrong:")
        print(f"  {way}: {' '.join(parts)}")


def out_of_step() -> None:
    """Print how many shifts are found, and what the search costs."""
    groups = {
        "bundled (limits were set on these)": [measuring.EXAMPLES],
        "others": [OTHER_CALLS / "talk", OTHER_CALLS / "spokenwoz"],
    }
    false = 0
    for title, folders in groups.items():
        clock = Clock()
        present = [folder for folder in folders if folder.is_dir()]
        calls = calls_in(present, clock)
        counts = count_shifts(calls)
        print(f"{title}: {', '.join(call.name for call in calls)}")
        print_counts(counts)
        false += sum(by_delay[0.0].wrong for by_delay in counts.values())
        if calls:
            spent = {name: round(seconds, 2) for name, seconds in clock.cpu.items()}
            print(f"  seconds of processor: {json.dumps(spent)}")
    measuring.judged(f"{false} false alarms (none allowed)", not false)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out-of-step", action="store_true", required=True)
    parser.parse_args()
    out_of_step()
