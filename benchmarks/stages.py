"""What each stage of `tag` and `speak` costs, beside the time of its model alone on the same sound.

    python benchmarks/stages.py [FOLDER]

The bundled recordings, and the calls of `spokenwoz` in FOLDER, are tagged in this process by the profile
`embedded`, and one side of them is said again. A table has for each stage the seconds by the clock and, for each
minute of recordings (two channels), seconds of processor time: all of them, those inside models that would run on
a GPU, the others, and those of its model alone. A machine with a GPU can't be faster than its cores with what is
outside those models. Where CUDA is, the models run on it, and waiting for it counts as time inside.

Models have one thread, as in a worker of a machine that has a worker on each core. Takes two or three minutes.
"""

import os

# Read when the libraries are loaded.
for _name, _value in (("OMP_NUM_THREADS", "1"), ("OMP_WAIT_POLICY", "PASSIVE"), ("OPENBLAS_NUM_THREADS", "1")):
    os.environ[_name] = _value

import io  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections import defaultdict  # noqa: E402
from collections.abc import Callable, Sequence  # noqa: E402
from contextlib import redirect_stderr, redirect_stdout  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import ctranslate2  # noqa: E402
import soundfile  # noqa: E402
from measuring import EXAMPLES, calls, data_parser, judged, print_table, sound_alone  # noqa: E402

from dailytalk_contiguous.cli.main import run_command  # noqa: E402
from dailytalk_contiguous.core.sound import prosody  # noqa: E402
from dailytalk_contiguous.core.sound.samples import pcm_to_float  # noqa: E402
from dailytalk_contiguous.machine.audio import read_header, read_pcm  # noqa: E402
from dailytalk_contiguous.models import linear_emotion  # noqa: E402
from dailytalk_contiguous.models.speech_activity import speech_probabilities  # noqa: E402
from dailytalk_contiguous.models.sphinx import Sphinx  # noqa: E402
from dailytalk_contiguous.models.synthesisers.piper import Piper  # noqa: E402
from dailytalk_contiguous.models.turn_end import SmartTurn  # noqa: E402
from dailytalk_contiguous.run import shard  # noqa: E402
from dailytalk_contiguous.stages.base import Stage  # noqa: E402
from dailytalk_contiguous.stages.segment import Segment  # noqa: E402

#: Processor seconds outside a GPU's models for each minute of recordings; at most.
GOAL = 4.0

#: Cores of the machine that the goal is for.
CORES = 16

#: What would run on a GPU.
ON_A_GPU = [(ctranslate2.models.Whisper, name) for name in ("encode", "generate", "align", "detect_language")]

#: Other models, and what takes as long as one.
ON_A_CPU = [
    (Sphinx, "extra_sounds"),
    (Sphinx, "align"),
    (prosody, "track_pitch"),
    (linear_emotion, "measure_voice"),
    (SmartTurn, "finished"),
    (Piper, "speak"),
]

#: The calls that are the model alone, by stage; that of Segment is measured by itself.
ALONE = {
    "Transcribe": ("Whisper.encode", "Whisper.generate"),
    "MeasureProsody": ("prosody.track_pitch",),
    "RateAffect": ("linear_emotion.measure_voice",),
    "Speak": ("Piper.speak",),
    "Align": ("Sphinx.align",),
    "JudgeTurnEnds": ("SmartTurn.finished",),
}


def label(owner: Any, name: str) -> str:
    """The name of a call of a class or a module: `Whisper.encode`, `prosody.track_pitch`."""
    return f"{owner.__name__.rpartition('.')[2]}.{name}"


class Account:
    """Seconds by what they went into: of each stage, and of each model inside a stage."""

    def __init__(self) -> None:
        self.wall: defaultdict[str, float] = defaultdict(float)
        self.processor: defaultdict[str, float] = defaultdict(float)
        self.inside: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._stage = ""

    def timed_stage(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """`run.shard.after_stage`, whose time counts."""

        def timed(stage: Stage, talks: Sequence[Any]) -> Any:
            self._stage = stage.name
            started = time.perf_counter()
            started_processor = time.process_time()
            try:
                return call(stage, talks)
            finally:
                self.wall[stage.name] += time.perf_counter() - started
                self.processor[stage.name] += time.process_time() - started_processor

        return timed

    def timed_model(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """A call of a model, whose time counts: that of all threads, since some models have their own."""

        def timed(*arguments: Any, **options: Any) -> Any:
            started = time.process_time()
            try:
                return call(*arguments, **options)
            finally:
                self.inside[self._stage, name] += time.process_time() - started

        return timed

    def clear(self) -> None:
        for seconds in (self.wall, self.processor, self.inside):
            seconds.clear()

    def of_models(self, stage: str, names: Sequence[str]) -> float:
        return sum(self.inside[stage, name] for name in names)


def watched() -> Account:
    """An account of whatever stages and models do from now on in this process."""
    account = Account()
    Segment.prepares = False  # on CUDA it would run beside another stage, whose time would count twice
    shard.after_stage = account.timed_stage(shard.after_stage)
    for owner, name in (*ON_A_GPU, *ON_A_CPU):
        setattr(owner, name, account.timed_model(label(owner, name), getattr(owner, name)))
    return account


def command(*words: object) -> float:
    """Run a command in this process; returns its processor time. Ends this process if it fails."""
    sys.argv = ["dailytalk", *map(str, words)]
    printed = io.StringIO()
    started = time.process_time()
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            run_command()
    except SystemExit as end:
        if end.code not in (0, 3):
            raise SystemExit(f"{sys.argv[1]} failed:\n{printed.getvalue()[-2000:]}") from end
    return time.process_time() - started


def silero_alone(recordings: Sequence[Path]) -> float:
    """Processor seconds of speech activity over both channels of recordings, each heard once."""
    channels = []
    for path in recordings:
        sound = {"bytes": None, "path": str(path)}
        samples = read_pcm(sound, 0.0, read_header(sound).seconds)
        channels += [pcm_to_float(channel.copy()) for channel in samples.T]
    started = time.process_time()
    for channel in channels:
        speech_probabilities(channel)
    return time.process_time() - started


def print_account(title: str, account: Account, whole: float, minutes: float, silero: float) -> float:
    """Print the table of a command that took `whole` seconds of processor time.

    Returns the processor seconds outside a GPU's models for each minute of recordings.
    """

    def row(name: str, processor: float, on_gpu: float = 0.0, alone: float = 0.0) -> list[str]:
        seconds = (processor, on_gpu, processor - on_gpu, alone)
        clock = account.wall.get(name)
        shown = [f"{value / minutes:.3f}" if value else "" for value in seconds]
        return [name, f"{clock:.2f}" if clock else "", *shown]

    rows = []
    gpu_models = [label(owner, name) for owner, name in ON_A_GPU]
    outside = whole
    for stage, processor in account.processor.items():
        on_gpu = account.of_models(stage, gpu_models)
        outside -= on_gpu
        alone = silero if stage == "Segment" else account.of_models(stage, ALONE.get(stage, ()))
        rows.append(row(stage, processor, on_gpu, alone))
        searches = account.of_models(stage, ("Sphinx.extra_sounds",))
        if searches:
            rows.append(row("  searches for hesitations", searches))
    rows.append(row("reading, writing", whole - sum(account.processor.values())))
    rows.append(row("all", whole, whole - outside))
    print(f"\n{title}, {minutes:.1f} minutes of recordings, load {os.getloadavg()[0]:.1f}")
    print_table(("stage", "clock s", "processor s a minute", "a GPU's models", "outside", "model alone"), rows)
    return outside / minutes


def main() -> int:
    chosen = data_parser(__doc__, optional=True).parse_args()
    paths = [*sorted(EXAMPLES.glob("*.flac")), *calls(chosen.data)]
    minutes = sum(soundfile.info(path).duration for path in paths) / 60
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recordings = sound_alone(paths, folder / "recordings")
        first = folder / "first"
        work = folder / "work"
        tag_options = ("--profile", "embedded", "--language", "en", "--workers", "1")
        command("tag", sound_alone(paths[:1], folder / "one"), "--out", first, *tag_options)  # loads the models
        command("speak", first, "--profile", "embedded", "--cache", folder / "first speech")
        silero = silero_alone(paths)
        account = watched()
        whole = command("tag", recordings, "--out", work, *tag_options)
        outside = print_account("tag, Whisper base", account, whole, minutes, silero)
        account.clear()
        whole = command("speak", work, "--profile", "embedded", "--cache", folder / "speech")
        print_account("speak, the voice joe", account, whole, minutes, silero)
    speed = 60 * CORES / outside
    print(f"\n{CORES} cores do what is outside {speed:.0f} times as fast as real time")
    figure = f"tag, outside a GPU's models: {outside:.2f} core-seconds a minute (goal {GOAL:g})"
    return int(not judged(figure, outside <= GOAL))


if __name__ == "__main__":
    sys.exit(main())
