"""The windows, hours, words and silence that a number of steps of moshi-finetune show a model.

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

    Attributes:
        n_words: words beside it.
        voices: names of those with which it was resynthesised.
        windows: windows of a pass; 0 without sound that can be read, since the trainer skips the file.
        seconds: length of its sound.
        trained_words: see the function `trained_words`.
        main_silent: see `silent_seconds`.
        both_silent: see `silent_seconds`.
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

    def facts(self) -> dict[str, float]:
        """Return the amounts that the steps show, for `--json`.

        `batch` is the number of windows a step, `windows` that of a pass. Each window comes `passes` times on
        average; on one GPU any two differ by one at most. `hours` are of sound, without padding; `words` are of
        the main side; `main_silent` and `both_silent` are shares of the sound.
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

    @property
    def sentence(self) -> str:
        """The steps in words."""
        return f"{self.steps:,} steps of {counted(self.batch, 'window')}"

    def findings(self, manifest: str, limits: FindingLimits) -> list[Finding]:
        """Return advice on a batch that a pass does not fill, and on windows that come too often or too seldom."""
        often = self._often_seen(manifest, limits)
        findings = [*filter(None, (self._small_pass(manifest), often))]
        if not often:
            findings += self._few_windows(manifest, limits)
        return findings

    def _small_pass(self, manifest: str) -> Finding | None:
        """The finding on a pass with fewer windows than a batch."""
        if self.windows >= self.batch:
            return None
        problem = f"it has {counted(self.windows, 'window')}, and a step takes {self.batch:,}: "
        problem += "a step has windows more than once"
        remedy = f"set the batch to {self.windows} at most, or add conversations"
        return advice("less-than-a-batch", manifest, problem, remedy)

    def _often_seen(self, manifest: str, limits: FindingLimits) -> Finding | None:
        """The finding on windows that come too often."""
        most = limits["often-seen"]
        if most is None or self.passes <= most:
            return None
        fewer = math.floor(most * self.windows / self.batch)
        times = f"{self.passes:,.0f} times, over {most:g}"
        problem = f"{self.sentence} show each window {times}: it may be learnt by heart"
        remedy = "add conversations, or take a smaller batch"
        if fewer:
            remedy = f"add conversations, or set max_steps to {fewer:,}"
        return advice("often-seen", manifest, problem, remedy, "note")

    def _few_windows(self, manifest: str, limits: FindingLimits) -> Iterator[Finding]:
        """The findings on voices of which too few windows come."""
        fewest = limits["few-windows-of-voice"] or 0.0
        windows_of = Counter[str]()
        for file in self.files:
            windows_of.update(dict.fromkeys(file.voices, file.windows))
        for voice, in_a_pass in sorted(windows_of.items()):
            n_seen = round(self.passes * in_a_pass)
            if n_seen < fewest:
                windows = counted(n_seen, "window")
                problem = f"{self.sentence} show {windows} with the voice {voice}, under {fewest:,g}"
                remedy = (
                    "raise max_steps or the batch: after 6,400 windows of one voice, a user's LoRA still sounded "
                    "different (moshi-finetune#9)"
                )
                yield advice("few-windows-of-voice", manifest, problem, remedy, "note")


def long_window(model: str, duration_sec: float, config: str) -> Finding | None:
    """Return advice where windows are longer than the context of a model, a name on the Hub."""
    context = 3000  # frames that a frame of Moshi attends to, in `moshi/models/loaders.py`
    others = {"kyutai/stt-1b": 750, "kyutai/stt-2.6b": 375}  # `context` in the config.json of each
    for beginning, frames in others.items():
        if model.startswith(beginning):
            context = frames
    longest = context / FRAME_RATE
    if duration_sec <= longest:
        return None
    problem = f"duration_sec {duration_sec:g} is longer than the context of {model}, {longest:g} s "
    problem += f"({context:,} frames)"
    remedy = f"set duration_sec to {longest:g} at most: the model does not see farther back"
    return advice("long-window", config, problem, remedy, "note")
