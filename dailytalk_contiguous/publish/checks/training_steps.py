"""What a number of steps of moshi-finetune show a model: windows, hours, words and silence.

The trainer (`finetune/data/dataset.py`, and `dataset_jsonl` of sphn) cuts every file from its start into windows
of `duration_sec` and pads the last one. In a pass each window comes once, in a new order; several GPUs share a
pass. A batch that is not full at the end of a pass is filled from the next one, so N steps show exactly N batches.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dailytalk_contiguous.core.records.finding import Finding, FindingLimits, advice
from dailytalk_contiguous.core.records.schema import MAIN
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.core.words.moshi_words import FRAME_RATE, frame_of
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.publish.checks.findings import Loudness


@dataclass(frozen=True)
class TrainingSteps:
    """The length of a training that a person asks about; what is None comes from the trainer's configuration.

    `batch`: windows a step, over all GPUs and micro-batches.
    """

    steps: int | None = None
    batch: int | None = None

    @property
    def is_asked(self) -> bool:
        return self.steps is not None or self.batch is not None


#: Nothing is asked: the configuration says all.
ALL_FROM_CONFIG = TrainingSteps()


class CheckedFile(NamedTuple):
    """A file that a manifest names, as it was found to be, and what a pass over it shows.

    `n_words`: those beside it. `voices`: names of those with which it was resynthesised. `windows`: of a pass; the
    trainer skips what has no sound that can be read, which has none. `seconds`: of its sound. `trained_words`,
    `main_silent`, `both_silent`: see `trained_words` and `silent_seconds`.
    """

    name: str
    n_words: int = 0
    is_clip: bool = False
    is_silent_right: bool = False
    voices: tuple[str, ...] = ()
    windows: int = 0
    seconds: float = 0.0
    trained_words: int = 0
    main_silent: float = 0.0
    both_silent: float = 0.0


def trained_words(words: Sequence[Word], seconds: float, duration_sec: float) -> int:
    """Count the words of the main side that get a token of text in windows of `duration_sec`.

    A frame of 80 ms has one token, so of words that begin in one frame the last stays. Words without length, or
    that begin outside the `seconds` of sound, have none.
    """
    frames = set[tuple[int, int]]()
    for word in words:
        if word.side == MAIN and word.start < word.end and 0 <= word.start < seconds:
            window = math.floor(word.start / duration_sec)
            frame = frame_of(word.start - window * duration_sec)
            frames.add((window, frame))
    return len(frames)


def silent_seconds(loudness: Loudness) -> tuple[float, float]:
    """Return the seconds of Moshi's frames in which the left side is silent, and of those in which all are."""
    per_frame = max(1, round(1 / (FRAME_RATE * loudness.frame)))
    lacking = -len(loudness.dbfs) % per_frame
    is_silent = []
    for channel in range(loudness.channels):
        sounding = np.pad(loudness.sounding(channel), (0, lacking))
        is_silent.append(~sounding.reshape(-1, per_frame).any(axis=1))
    left = float(is_silent[0].sum()) / FRAME_RATE
    both = float(np.all(is_silent, axis=0).sum()) / FRAME_RATE
    return min(left, loudness.seconds), min(both, loudness.seconds)


class PlannedTraining(NamedTuple):
    """Steps of `batch` windows over files, of which there is one for each line of the manifest."""

    steps: int
    batch: int
    files: Sequence[CheckedFile]

    @property
    def windows(self) -> int:
        """The windows of a pass."""
        return sum(file.windows for file in self.files)

    @property
    def passes(self) -> float:
        return self.steps * self.batch / self.windows

    def seen(self) -> dict[str, float]:
        """Return what the steps show.

        `steps`, and `batch`: windows a step. `windows`: of a pass. `passes`: how often each window comes, on
        average; any two differ by one at most on one GPU. `hours`: of sound, without padding. `words`: of the main
        side. `main_silent`, `both_silent`: shares of the sound.
        """
        seconds = sum(file.seconds for file in self.files)
        words = sum(file.trained_words for file in self.files)
        main_silent = sum(file.main_silent for file in self.files)
        both_silent = sum(file.both_silent for file in self.files)
        return {
            "steps": self.steps,
            "batch": self.batch,
            "windows": self.windows,
            "passes": round(self.passes, 3),
            "hours": round(self.passes * seconds / 3600, 7),
            "words": round(self.passes * words),
            "main_silent": round(main_silent / seconds, 4),
            "both_silent": round(both_silent / seconds, 4),
        }

    def findings(self, manifest: str, limits: FindingLimits) -> Iterator[Finding]:
        """Yield advice on a batch that a pass does not fill, and on windows that come too often or too seldom."""
        if self.windows < self.batch:
            problem = f"it has {counted(self.windows, 'window')}, and a step takes {self.batch:,}: "
            problem += "a step has windows more than once"
            remedy = f"set the batch to {self.windows} at most, or add conversations"
            yield advice("less-than-a-batch", manifest, problem, remedy)
        most = limits["often-seen"]
        steps = f"{self.steps:,} steps of {counted(self.batch, 'window')}"
        if most is not None and self.passes > most:
            fewer = math.floor(most * self.windows / self.batch)
            problem = (
                f"{steps} show each window {self.passes:,.0f} times, over {most:g}: it may be learnt by heart"
            )
            remedy = "add conversations, or take a smaller batch"
            if fewer:
                remedy = f"add conversations, or set max_steps to {fewer:,}"
            yield advice("often-seen", manifest, problem, remedy, "note")
            return
        fewest = limits["few-windows-of-voice"] or 0.0
        windows_of = Counter[str]()
        for file in self.files:
            windows_of.update(dict.fromkeys(file.voices, file.windows))
        for voice, in_a_pass in sorted(windows_of.items()):
            n_seen = round(self.passes * in_a_pass)
            if n_seen < fewest:
                problem = f"{steps} show {counted(n_seen, 'window')} with the voice {voice}, under {fewest:,g}: "
                problem += "after 6,400 of one voice, a user's LoRA still sounded different (moshi-finetune#9)"
                yield advice("few-windows-of-voice", manifest, problem, "raise max_steps or the batch", "note")


def context_findings(model: str, duration_sec: float, config: str) -> Iterator[Finding]:
    """Yield advice where windows are longer than the context of a model, a name on the Hub."""
    context = 3000  # frames that a frame of Moshi attends to, in `moshi/models/loaders.py`
    others = {"kyutai/stt-1b": 750, "kyutai/stt-2.6b": 375}  # `context` in the config.json of each
    for beginning, frames in others.items():
        if model.startswith(beginning):
            context = frames
    longest = context / FRAME_RATE
    if duration_sec > longest:
        problem = f"duration_sec {duration_sec:g} is longer than the context of {model}, {longest:g} s "
        problem += f"({context:,} frames): what is farther back is not seen"
        yield advice("long-window", config, problem, f"set duration_sec to {longest:g} at most", "note")
