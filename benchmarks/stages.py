"""Every stage against the plainest loop that does the same, on the same models, in one run.

The models have the real shapes and random weights (a Whisper of the size asked for, audEERING's affect model):
right for time, worthless for text. The Whisper says a fixed number of words for a second of speech on both sides.
Both sides run in float32 with beam 5. The plain loop takes one utterance at a time: Silero chunk by chunk, Whisper
on each utterance, the affect model on each, pitch by librosa's pYIN with its defaults over C2-C7 (at our hop, so
that both sides track as many frames).

Prints seconds and real-time factors of both, their ratios and the goals (2 times end to end, speech activity 5
times, pitch 8 times), the share of our wall time outside model calls and pitch (goal: at most 5 %), and peak
memory. Takes some minutes.

    python benchmarks/stages.py [--whisper base] [--recordings 2]
"""

import argparse
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # the makers of random models serve tests and benchmarks alike

from tiny_models import make_affect, make_whisper  # noqa: E402

from dailytalk_contiguous import Folder, TagSettings, tagging  # noqa: E402
from dailytalk_contiguous.core import prosody  # noqa: E402
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, read_analysis  # noqa: E402
from dailytalk_contiguous.core.packing import pack  # noqa: E402
from dailytalk_contiguous.engine.build import as_stored  # noqa: E402
from dailytalk_contiguous.models import affect, affect_network, speech_activity  # noqa: E402

#: Words in a second of conversational speech, and what Whisper needs for one.
WORDS_PER_SECOND = 3.0

GOALS = {"end to end": 2.0, "speech activity": 5.0, "pitch": 8.0}
OUTSIDE_GOAL = 0.05

Clock = dict[str, float]


def main() -> int:
    """Run both sides and print how they compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--whisper", default="base", choices=("tiny", "base", "small", "medium"))
    parser.add_argument("--recordings", type=int, default=2, help="how many of the bundled ones")
    parser.add_argument("--folder", default=str(ROOT / "examples"))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = list(Folder(inputs=(chosen.folder,), transcripts=folder).as_streaming_dataset("train"))
        rows = [row for row in rows if not row["problem"]][: chosen.recordings]
        batches = [{name: [value] for name, value in row.items()} for row in rows]
        audio = sum(row["duration"] for row in rows)
        rated = str(make_affect(Path(folder, "affect")))
        segments = tagging(TagSettings())[0]
        lengths = [_seconds_of(segments(batch)) for batch in batches]
        alone, packed = _words_a_window(lengths)
        words = f"{alone} words an utterance, {packed} a window"
        print(f"{len(rows)} recordings, {audio:.0f} s; Whisper {chosen.whisper}, {words}")
        plain = _plain(batches, str(make_whisper(Path(folder, "alone"), chosen.whisper, alone)), rated)
        ours, inside = _ours(batches, str(make_whisper(Path(folder, "packed"), chosen.whisper, packed)), rated)
    return _report(plain, ours, inside, audio)


def _seconds_of(found: dict[str, Any]) -> list[tuple[float, str]]:
    times = zip(found["start"][0], found["end"][0], found["channel"][0], strict=True)
    return [(end - start, channel) for start, end, channel in times]


def _words_a_window(lengths: list[list[tuple[float, str]]]) -> tuple[int, int]:
    """Words that the model must say for an utterance, and for a packed window, to say as many in all."""
    seconds = [length for row in lengths for length, _ in row]
    windows = sum(len(pack([one for one, _ in row], [channel for _, channel in row])) for row in lengths)
    words = WORDS_PER_SECOND * sum(seconds)
    return max(1, round(words / len(seconds))), max(1, round(words / windows))


def _plain(batches: list[dict[str, Any]], recogniser: str, rated: str) -> Clock:
    """One utterance at a time, each library used as its front page shows."""
    import librosa
    import silero_vad
    import torch
    from faster_whisper import WhisperModel

    torch.set_num_threads(2)
    silero = silero_vad.load_silero_vad()
    heard = WhisperModel(recogniser, device="cpu", compute_type="float32", cpu_threads=2)
    rated_by = affect.load_affect_model(rated, "cpu")
    low, high = librosa.note_to_hz("C2"), librosa.note_to_hz("C7")
    clock: Clock = defaultdict(float)
    wide: Clock = defaultdict(float)
    for batch in batches:
        samples = read_analysis(batch["audio"][0]).astype(np.float32) / np.float32(32768)
        for channel in np.ascontiguousarray(samples.T):
            with _timed(clock, "speech activity"):
                spans = silero_vad.get_speech_timestamps(
                    torch.from_numpy(channel), silero, min_silence_duration_ms=350
                )
            for span in spans:
                speech = channel[span["start"] : span["end"]]
                with _timed(clock, "Transcribe"):
                    list(
                        heard.transcribe(
                            speech, language="en", beam_size=5, word_timestamps=True, temperature=0.0
                        )[0]
                    )
                with _timed(clock, "RateAffect"):
                    rated_by.rate([speech])
                with _timed(clock, "pitch"):
                    librosa.pyin(speech, fmin=low, fmax=high, sr=ANALYSIS_RATE, hop_length=prosody.F0_HOP)
                with _timed(wide, "pitch"):
                    librosa.pyin(speech, fmin=low, fmax=high, sr=ANALYSIS_RATE)
    print(f"(pitch over C2-C7 at librosa's own hop, half as many frames: {wide['pitch']:.2f} s)")
    return clock


def _ours(batches: list[dict[str, Any]], recogniser: str, rated: str) -> tuple[Clock, Clock]:
    """The pipeline as it is, in float32; also the seconds inside model calls and pitch."""
    settings = TagSettings(asr_model=recogniser, affect_model=rated, compute_type="float32", language="en")
    stages = tagging(settings)
    from faster_whisper import BatchedInferencePipeline

    clock: Clock = defaultdict(float)
    inside: Clock = defaultdict(float)
    _load_all(settings)
    _watch(speech_activity.SpeechActivity, "_run", inside, "speech activity")
    _watch(prosody, "track_pitch", inside, "pitch")
    _watch(affect_network.AffectModel, "rate", inside, "RateAffect")
    _watch(BatchedInferencePipeline, "forward", inside, "Transcribe")  # without the features, which are ours
    for batch in batches:
        made = dict(batch)
        for stage in stages:
            with _timed(clock, stage.name):
                there = {name: made[name] for name in (*stage.needs, *stage.uses) if name in made}
                made |= as_stored(stage(there), stage)
    return clock, inside


def _load_all(settings: TagSettings) -> None:
    """Load every model, so that neither side's time holds it (the plain side loads before its clock starts)."""
    from dailytalk_contiguous.models.recogniser import load_recogniser

    silence = np.zeros(ANALYSIS_RATE, np.float32)
    load_recogniser(settings.recogniser, "auto", settings.compute_type, settings.beam, 16)
    affect.load_affect_model(settings.affect, affect.resolve_device("auto"))
    speech_activity.speech_probabilities(silence)
    prosody.track_pitch(silence)


class _timed:  # noqa: N801 (reads as a word of the language)
    """Adds the wall time of a block to a clock."""

    def __init__(self, clock: Clock, name: str) -> None:
        self.clock, self.name = clock, name

    def __enter__(self) -> None:
        self.started = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self.clock[self.name] += time.perf_counter() - self.started


def _watch(owner: Any, name: str, clock: Clock, label: str) -> None:
    """Time every call of a function or method."""
    inner: Callable[..., Any] = getattr(owner, name)

    def watched(*args: Any, **options: Any) -> Any:
        with _timed(clock, label):
            return inner(*args, **options)

    setattr(owner, name, watched)


def _report(plain: Clock, ours: Clock, inside: Clock, audio: float) -> int:
    wall = sum(ours.values())
    # Both channels run side by side in Segment: the wall time of its model calls is at most that of the stage.
    activity = min(inside["speech activity"], ours["Segment"])
    rows = {
        "speech activity": (plain["speech activity"], activity),
        "Transcribe": (plain["Transcribe"], ours["Transcribe"]),
        "RateAffect": (plain["RateAffect"], ours["RateAffect"]),
        "pitch": (plain["pitch"], inside["pitch"]),
        "end to end": (sum(plain.values()), wall),
    }
    print(f"{'':<18}{'plain s':>9}{'ours s':>9}{'times':>8}{'goal':>7}{'plain RTF':>11}{'our RTF':>9}")
    met = True
    for name, (theirs, own) in rows.items():
        goal = GOALS.get(name)
        met &= goal is None or theirs / own >= goal
        print(
            f"{name:<18}{theirs:>9.2f}{own:>9.2f}{theirs / own:>8.1f}{goal or '':>7}"
            f"{theirs / audio:>11.4f}{own / audio:>9.4f}"
        )
    for name, seconds in ours.items():
        print(f"  our stage {name:<16}{seconds:>8.2f} s{seconds / audio:>9.4f} × real time")
    models = activity + inside["pitch"] + inside["RateAffect"] + inside["Transcribe"]
    outside = 1 - models / wall
    met &= outside <= OUTSIDE_GOAL
    print(f"outside model calls and pitch: {outside:.1%} of our wall time (goal: at most {OUTSIDE_GOAL:.0%})")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of both sides: {peak:.0f} MB")
    print("goals met" if met else "goals MISSED")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
