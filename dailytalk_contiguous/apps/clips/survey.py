"""The silences of recordings, file by file and together: by level and by speech activity, and where to cut them.

A file is read once for both and held as levels and probabilities alone, so ten hours take no more than one.
"""

import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.apps.clips.cuts import SHORTEST_SILENCE, CutRule
from dailytalk_contiguous.apps.clips.silences import (
    BINS,
    CutOutcome,
    LevelMeter,
    SilenceStatistics,
    suggested,
    together,
    try_cuts,
)
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, blocks_at, pcm_to_float, read_header, to_pcm
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.spans import speech_spans
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.models.speech_activity import FRAME_SECONDS, MIN_SPEECH, SpeechActivity

#: Lengths in seconds, shape (n,).
Lengths = NDArray[np.float64]


@dataclass(frozen=True)
class SilenceSurvey:
    """The silences of one recording, or of several together.

    Attributes:
        name: of the recording; `all` of several. seconds: of audio.
        thresholds_dbfs: of each channel, None if it has none; empty of several recordings.
        by_level, by_speech: lengths of spans under the threshold in all channels, and of those without speech.
        outcomes: the results of cutting at each of `apps.clips.silences.CANDIDATES`.
    """

    name: str
    seconds: float
    thresholds_dbfs: tuple[float | None, ...]
    by_level: Lengths
    by_speech: Lengths
    outcomes: list[CutOutcome]

    @property
    def statistics(self) -> dict[str, SilenceStatistics]:
        return {"level": SilenceStatistics.of(self.by_level), "speech": SilenceStatistics.of(self.by_speech)}

    @property
    def choice(self) -> CutOutcome | None:
        """The silence at which these recordings are best cut; None if nothing would be usable."""
        return suggested(self.outcomes, self.statistics["level"].maximum or 0.0)

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "seconds": round(self.seconds, 3),
            "thresholds_dbfs": list(self.thresholds_dbfs),
            "silences": {found_by: asdict(figures) for found_by, figures in self.statistics.items()},
            "suggested_silence": self.choice and self.choice.silence,
            "candidates": [outcome.as_dict() for outcome in self.outcomes],
        }


def survey(row: Row, rule: CutRule, below: float | None) -> SilenceSurvey:
    """Return the silences of one recording of `sources.folder`; `rule` and `below` as in `dailytalk split`.

    Raises BadInput if it can't be read.
    """
    info = read_header(row["audio"])
    meter = LevelMeter(info.sample_rate, info.channels)
    channels = [SpeechActivity() for _ in range(info.channels)]
    # The loudest voice counts: speech is where anyone speaks.
    probabilities: list[NDArray[np.float32]] = []
    for samples in blocks_at(row["audio"], ANALYSIS_RATE, tap=meter.push):
        block = to_pcm(samples)
        interrupts.check_interrupt()
        heard = [activity.push(pcm_to_float(channel)) for activity, channel in zip(channels, block.T, strict=True)]
        probabilities.append(np.max(heard, axis=0))
    probabilities.append(np.max([activity.flush() for activity in channels], axis=0))
    levels = meter.levels()
    seconds = levels.n_samples / levels.sample_rate
    spoken = np.concatenate(probabilities)
    runs = speech_spans(
        spoken, seconds, FRAME_SECONDS, min_speech=MIN_SPEECH, min_silence=SHORTEST_SILENCE, pad=0.0
    )
    gaps = np.diff(np.array([0.0, *(edge for run in runs for edge in run), seconds]))[::2]
    thresholds = levels.thresholds(below)
    silences = levels.silences(thresholds)
    return SilenceSurvey(
        row["audio_file"],
        seconds,
        tuple(thresholds),
        (silences[:, 1] - silences[:, 0]) / levels.sample_rate,
        gaps[gaps >= SHORTEST_SILENCE],
        try_cuts(levels, silences, speech_spans(spoken, seconds, FRAME_SECONDS, min_speech=MIN_SPEECH), rule),
    )


def all_together(surveys: Iterable[SilenceSurvey]) -> SilenceSurvey:
    several = list(surveys)
    return SilenceSurvey(
        "all",
        sum(recording.seconds for recording in several),
        (),
        np.concatenate([recording.by_level for recording in several]),
        np.concatenate([recording.by_speech for recording in several]),
        together(recording.outcomes for recording in several),
    )


def bin_names() -> list[str]:
    """The names of the bars of a histogram: `0.05–0.1 s`, …, `from 6.4 s`."""
    return [f"{low:g}–{high:g} s" for low, high in pairwise(BINS)] + [f"from {BINS[-1]:g} s"]


def survey_png(whole: SilenceSurvey) -> bytes:
    from matplotlib.figure import Figure  # here, for it takes a second to import

    lengths = {found_by: whole.statistics[found_by].histogram for found_by in ("level", "speech")}
    pieces = [f"{outcome.pieces:,}" for outcome in whole.outcomes]
    cuts = [f"{outcome.silence:g} s" for outcome in whole.outcomes]
    plots = (
        ("Silences by level", bin_names(), lengths["level"], None),
        ("Silences by speech activity", bin_names(), lengths["speech"], None),
        ("Usable audio by --silence, in %", cuts, [100 * outcome.share for outcome in whole.outcomes], pieces),
        ("Cuts inside speech by --silence", cuts, [outcome.inside_speech for outcome in whole.outcomes], pieces),
    )
    figure = Figure((9.0, 1.5 + 0.5 * len(bin_names())), layout="constrained")
    for axes, (title, names, values, labels) in zip(figure.subplots(2, 2).flat, plots, strict=True):
        axes.bar_label(axes.barh(names, values), labels, fmt="{:,.0f}", padding=3)
        axes.set_title(title, fontsize=10)
        axes.invert_yaxis()
        axes.margins(x=0.2)
    chosen = f"; suggested: --silence {whole.choice.silence:g}" if whole.choice else ""
    figure.suptitle(
        f"{counted(whole.statistics['level'].count, 'silence')} in {length_text(whole.seconds)}{chosen}"
    )
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()
