"""`dailytalk silences`: how long the silences of recordings are, by level and by speech, and at which to cut them.

A file is read once for both and held as levels and probabilities alone, so ten hours take no more than one.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dailytalk_contiguous.apps.clips.silences import (
    SHORTEST_SILENCE,
    SILENT_PIECE,
    CutAtSilences,
    CutRule,
    LevelMeter,
    SoundLevels,
)
from dailytalk_contiguous.apps.clips.split_command import INPUTS, of_each
from dailytalk_contiguous.apps.clips.to_clips import split_stages
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli import show
from dailytalk_contiguous.cli.terminal import shown_steps
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, blocks_at, pcm_to_float, read_header, to_pcm
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.outcome import Figures, Outcome, exit_code, rejected_of, to_run
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.spans import speech_spans
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.models.speech_activity import FRAME_SECONDS, MIN_SPEECH, SpeechActivity
from dailytalk_contiguous.run.tagging import find
from dailytalk_contiguous.sources.remote import fetch_inputs
from dailytalk_contiguous.store.files import write_bytes

#: Seconds of silence that are compared.
CANDIDATES = (2.0, 1.5, 1.2, 1.0, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05)

#: Share of the audio that a choice may lose against the best one and still count as good: fewer cuts inside
#: speech are worth it.
AS_GOOD = 0.005

#: Seconds at which a bar of the histogram begins; the last one has no end.
BINS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
BIN_NAMES = [f"{low:g}–{high:g} s" for low, high in pairwise(BINS)] + [f"from {BINS[-1]:g} s"]

#: Recordings that have a line of their own; all of them with --json. Characters of the longest bar.
SHOWN, BAR = 20, 40

#: The settings of `dailytalk split` that decide what a candidate for --silence gives.
SILENCE_SETTINGS = cli_options.setting_options(*split_stages(), without=("silence",))


@dataclass(frozen=True)
class SilenceSurvey:
    """The silences of one recording, or of several together.

    Attributes:
        name: of the recording; `all` of several. seconds: of audio.
        thresholds_dbfs: of each channel, None if it has none; empty of several recordings.
        lengths: of spans under the threshold in all channels (`level`), and of those without speech (`speech`).
        outcomes: what cutting at each of `CANDIDATES` gives: `pieces` and `usable` ones, `usable_seconds` and
            `heard_seconds` (of all pieces that are not silent), `cuts` and those `inside_speech`.
    """

    name: str
    seconds: float
    thresholds_dbfs: list[float | None]
    lengths: dict[str, NDArray[np.float64]]
    outcomes: pd.DataFrame

    def candidates(self) -> tuple[pd.DataFrame, float | None]:
        """The outcomes with their `usable_share`, and the best: nearly all usable, the fewest cuts inside speech.

        Of several the longest; none is longer than the longest silence, since others cut nowhere or by force. None
        if nothing is usable.
        """
        shares = (self.outcomes["usable_seconds"] / self.outcomes["heard_seconds"]).fillna(0.0)
        table = self.outcomes.assign(usable_share=shares)
        usable = table[(table.index <= self.lengths["level"].max(initial=0.0)) & (shares > 0)]
        good = usable[usable["usable_share"] >= usable["usable_share"].max() - AS_GOOD]
        return table, good["inside_speech"].idxmin() if len(good) else None  # longer candidates come first

    def as_dict(self) -> dict[str, Any]:
        table, choice = self.candidates()
        return {
            "name": self.name,
            "seconds": round(self.seconds, 3),
            "thresholds_dbfs": self.thresholds_dbfs,
            "silences": {found_by: statistics(lengths) for found_by, lengths in self.lengths.items()},
            "suggested_silence": choice,
            "candidates": table.round({"usable_share": 5}).reset_index(names="silence").to_dict("records"),
        }


def statistics(lengths: NDArray[np.float64]) -> dict[str, Any]:
    """How many silences, and the seconds of the shortest, mean, median and longest (None without any).

    `histogram`: how many begin at each length of `BINS` and are shorter than the next.
    """
    bars, _ = np.histogram(lengths + 1e-9, [*BINS, np.inf])
    described = pd.Series(lengths).describe().round(3).replace({np.nan: None})
    names = {"minimum": "min", "mean": "mean", "median": "50%", "maximum": "max"}
    spread = {ours: described[name] for ours, name in names.items()}
    total = round(float(lengths.sum()), 3)
    return {"count": len(lengths), "seconds": total, **spread, "histogram": bars.tolist()}


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
        interrupts.check_interrupt()
        block = to_pcm(samples).T
        heard = [activity.push(pcm_to_float(channel)) for activity, channel in zip(channels, block, strict=True)]
        probabilities.append(np.max(heard, axis=0))
    probabilities.append(np.max([activity.flush() for activity in channels], axis=0))
    levels = meter.levels()
    seconds, spoken = levels.n_samples / levels.sample_rate, np.concatenate(probabilities)
    speech = speech_spans(spoken, seconds, FRAME_SECONDS, min_speech=MIN_SPEECH)
    runs = speech_spans(
        spoken, seconds, FRAME_SECONDS, min_speech=MIN_SPEECH, min_silence=SHORTEST_SILENCE, pad=0.0
    )
    gaps = np.diff(np.array([0.0, *(edge for run in runs for edge in run), seconds]))[::2]
    thresholds = levels.thresholds(below)
    silences = levels.silences(thresholds)
    lengths = {"level": (silences[:, 1] - silences[:, 0]) / levels.sample_rate}
    lengths["speech"] = gaps[gaps >= SHORTEST_SILENCE]
    outcomes = try_cuts(levels, silences, speech, rule)
    return SilenceSurvey(row["audio_file"], seconds, thresholds, lengths, outcomes)


def try_cuts(
    levels: SoundLevels, silences: NDArray[np.int64], speech: Sequence[tuple[float, float]], rule: CutRule
) -> pd.DataFrame:
    """Return the outcome of each of `CANDIDATES` for a recording, with all other settings of `rule`.

    `speech` are starts and ends of speech in seconds, in order, in which pauses within a sentence are closed.
    """
    edges = np.asarray(speech, np.float64).reshape(-1)
    outcomes = {}
    for silence in CANDIDATES:
        pieces = pd.DataFrame(levels.cut(replace(rule, silence=silence), silences))
        seconds = (pieces["end"] - pieces["start"]) / levels.sample_rate
        usable, cuts = pieces["reason"].isna(), pieces["end"].to_numpy()[:-1] / levels.sample_rate
        outcomes[silence] = {
            "pieces": len(pieces),
            "usable": int(usable.sum()),
            "usable_seconds": float(seconds[usable].sum()),
            "heard_seconds": float(seconds[pieces["reason"] != SILENT_PIECE].sum()),
            "cuts": len(cuts),
            "inside_speech": int(
                np.count_nonzero(np.searchsorted(edges, cuts) % 2)
            ),  # an odd place: after a start
        }
    return pd.DataFrame.from_dict(outcomes, "index")


@cli_options.with_options(SILENCE_SETTINGS)
def silences(
    inputs: list[str] = INPUTS,
    png: Path | None = cli_options.PNG,
    **options: Any,
) -> Outcome:
    """Say how long silences are, and which to split at.

    And which --silence to give `dailytalk split`. Silences are found by level, against each recording's own noise
    floor, and by speech activity. Suggested is the longest silence that makes nearly all of the audio usable with
    the fewest cuts inside speech.
    """
    inputs, _ = fetch_inputs(inputs)
    (split,) = split_stages(**cli_options.chosen(options, SILENCE_SETTINGS))
    assert isinstance(split, CutAtSilences)
    if png is not None and not png.absolute().parent.is_dir():
        raise DailytalkError(f"there is no folder for --png {as_text(png)!r}", "make it first")
    recordings = find(inputs, None, channel="any", max_conversation=0.0, given=False)
    show.say_left_out(recordings.left_out)
    surveys, rejects = list[SilenceSurvey](), [*recordings.problems]
    with shown_steps():
        for row, found in of_each(recordings, lambda row: survey(row, split.rule, split.below)):
            if isinstance(found, BadInput):
                rejects.append(Reject(row["recording_id"], "silences", found.reason, found.remedy))
            else:
                surveys.append(found)
    whole = None
    if surveys:
        lengths = {name: np.concatenate([of.lengths[name] for of in surveys]) for name in ("level", "speech")}
        outcomes = sum((of.outcomes for of in surveys[1:]), surveys[0].outcomes)
        whole = SilenceSurvey("all", sum(of.seconds for of in surveys), [], lengths, outcomes)
    record = {
        "recordings": [silence_survey.as_dict() for silence_survey in surveys],
        "all": whole and whole.as_dict(),
        "rejects": [reject.as_dict() for reject in rejects],
    }
    code, rejected = exit_code(len(surveys), len(rejects)), rejected_of(rejects)
    if whole is None:
        return Outcome(record, "no recording could be read", code, rejected=rejected)
    (table, choice), longest, next_command = whole.candidates(), whole.lengths["level"].max(initial=0.0), ""
    details = _tables(surveys, whole)
    if png is not None:
        write_bytes(png, survey_png(whole))
        details.append(f"picture  {as_text(png)}")
    if longest < min(CANDIDATES):
        headline = "there is no silence to cut at: see --below, and --force"
    elif choice is None:
        headline = "no piece would be usable: see --min, --max, --force and --below"
    else:
        best = table.loc[choice]
        headline = (
            f"suggested: --silence {choice:g}: {best['usable_share']:.1%} of the audio is usable, with "
            f"{best['inside_speech']:,.0f} of {counted(int(best['cuts']), 'cut')} inside speech; the longest "
            f"silence is {longest:.2f} s, and without --silence `dailytalk split` cuts at {CutRule().silence:g} s"
        )
        next_command = to_run("split", *inputs, "--silence", f"{choice:g}", "--out", "DIR")
    return Outcome(record, headline, code, details, rejected, next_command)


def _tables(surveys: Sequence[SilenceSurvey], whole: SilenceSurvey) -> list[str | Figures]:
    rows = []
    for of in [*surveys[:SHOWN], *([whole] if len(surveys) > 1 else [])]:
        for found_by, lengths in of.lengths.items():
            count, _, *spread, _ = statistics(lengths).values()
            figures = ("–" if value is None else f"{value:.2f} s" for value in spread)
            rows.append((of.name, length_text(of.seconds), found_by, f"{count:,}", *figures))
    head = ("recording", ">length", "by", ">silences", ">min", ">mean", ">median", ">max")
    details: list[str | Figures] = [Figures(head, rows)]
    if len(surveys) > SHOWN:
        details.append(f"… {counted(len(surveys) - SHOWN, 'more recording')}, with --json")
    histogram = statistics(whole.lengths["level"])["histogram"]
    details += ["", "silences by level"]
    for name, count in zip(BIN_NAMES, histogram, strict=True):
        details.append(f"  {name:<12}{'█' * -(-BAR * count // max(*histogram, 1))} {count:,}")
    table, choice = whole.candidates()
    candidates = [
        (
            *(f"{silence:g}", f"{of['pieces']:,.0f}", f"{of['usable']:,.0f}", f"{of['usable_share']:.1%}"),
            f"{of['inside_speech']:,.0f} of {of['cuts']:,.0f}",
            "suggested" if silence == choice else "",
        )
        for silence, of in table.iterrows()
    ]
    of_candidates = (">--silence", ">pieces", ">usable", ">usable audio", ">cuts inside speech", "")
    return [*details, "", Figures(of_candidates, candidates)]


def survey_png(whole: SilenceSurvey) -> bytes:
    """How long the silences are, and what cutting at each candidate gives."""
    from matplotlib.figure import Figure  # here, for it takes a second to import

    table, _ = whole.candidates()
    silences = [f"{silence:g} s" for silence in table.index]
    plots = (
        ("Silences by level", BIN_NAMES, statistics(whole.lengths["level"])["histogram"]),
        ("Silences by speech activity", BIN_NAMES, statistics(whole.lengths["speech"])["histogram"]),
        ("Usable audio by --silence, in %", silences, 100 * table["usable_share"]),
        ("Cuts inside speech by --silence", silences, table["inside_speech"]),
    )
    figure = Figure((9.0, 6.5), layout="constrained")
    for axes, (title, names, values) in zip(figure.subplots(2, 2).flat, plots, strict=True):
        axes.bar_label(axes.barh(names, values), fmt="{:,.0f}", padding=3)
        axes.set_title(title, fontsize=10)
        axes.invert_yaxis()
        axes.margins(x=0.2)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()
