"""`dailytalk silences`: how long the silences of recordings are, and at which to cut them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dailytalk_contiguous.apps.clips.silences import SILENT_PIECE, CutAtSilences, measure_levels
from dailytalk_contiguous.apps.clips.split_command import INPUTS, SPLIT_SETTINGS, of_each
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli import show
from dailytalk_contiguous.cli.terminal import shown_steps
from dailytalk_contiguous.core.outcome import Figures, Outcome, exit_code, rejected_of, to_run
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.settings import with_settings
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.run.tagging import find
from dailytalk_contiguous.sources.folder import FolderConfig
from dailytalk_contiguous.sources.inputs import open_inputs

#: Seconds of silence that are compared, the longest first.
CANDIDATES = (2.0, 1.5, 1.2, 1.0, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05)

#: Share of the audio that a choice may lose against the best one and still count as good: fewer cuts are worth it.
AS_GOOD = 0.005

#: Recordings that have a line of their own; all of them with --json.
SHOWN = 20

#: The settings of `dailytalk split` that decide what a candidate for --silence gives.
SILENCE_SETTINGS = {name: option for name, option in SPLIT_SETTINGS.items() if name != "silence"}


@dataclass(frozen=True)
class SilenceSurvey:
    """The silences of one recording, or of several together.

    Attributes:
        name: of the recording; `all` of several. seconds: of audio. lengths: of the silences, in seconds.
        outcomes: what cutting at each of `CANDIDATES` gives: `pieces` and `usable` ones, `usable_seconds` and
            `heard_seconds` (of all pieces that are not silent).
    """

    name: str
    seconds: float
    lengths: NDArray[np.float64]
    outcomes: pd.DataFrame

    def candidates(self) -> tuple[pd.DataFrame, float | None]:
        """The outcomes with their `usable_share`, and the longest silence that makes nearly all usable.

        It is no longer than the longest silence, since longer ones cut nowhere. None if nothing is usable.
        """
        shares = (self.outcomes["usable_seconds"] / self.outcomes["heard_seconds"]).fillna(0.0)
        usable = shares[(shares.index <= self.lengths.max(initial=0.0)) & (shares > 0)]
        good = usable[usable >= usable.max() - AS_GOOD]
        return self.outcomes.assign(usable_share=shares), good.index[0] if len(good) else None

    def statistics(self) -> dict[str, float | None]:
        """The seconds of the shortest, mean, median and longest silence (None without any)."""
        described = pd.Series(self.lengths).describe().round(3).replace({np.nan: None})
        names = {"minimum": "min", "mean": "mean", "median": "50%", "maximum": "max"}
        return {ours: described[name] for ours, name in names.items()}

    def as_dict(self) -> dict[str, Any]:
        table, choice = self.candidates()
        return {
            "name": self.name,
            "seconds": round(self.seconds, 3),
            "silences": {"count": len(self.lengths), **self.statistics()},
            "suggested_silence": choice,
            "candidates": table.round({"usable_share": 5}).reset_index(names="silence").to_dict("records"),
        }


def survey(row: Row, cut: CutAtSilences) -> SilenceSurvey:
    """The silences of a recording, and the outcome of each of `CANDIDATES` with all other settings of `cut`.

    Raises BadInput if it can't be read.
    """
    levels = measure_levels(row["audio"])
    outcomes = {}
    n_samples = levels.n_samples
    rate = levels.sample_rate
    silences = levels.silences(cut.below)
    for silence in CANDIDATES:
        pieces = pd.DataFrame(replace(cut, silence=silence).cut(n_samples, rate, silences))
        seconds = (pieces["end"] - pieces["start"]) / rate
        usable = pieces["reason"].isna()
        outcomes[silence] = {
            "pieces": len(pieces),
            "usable": int(usable.sum()),
            "usable_seconds": float(seconds[usable].sum()),
            "heard_seconds": float(seconds[pieces["reason"] != SILENT_PIECE].sum()),
        }
    lengths = (silences[:, 1] - silences[:, 0]) / rate
    table = pd.DataFrame.from_dict(outcomes, "index")
    return SilenceSurvey(row["audio_file"], n_samples / rate, lengths, table)


@cli_options.with_options(SILENCE_SETTINGS)
def silences(inputs: list[str] = INPUTS, **options: Any) -> Outcome:
    """Say how long silences are, and which to split at.

    Silences are found against each recording's own noise floor. Suggested for `dailytalk split` is the longest
    --silence that makes nearly all of the audio usable.
    """
    source = open_inputs(inputs)
    (cut,) = with_settings((CutAtSilences(),), cli_options.chosen(options, SILENCE_SETTINGS))
    recordings = find(source, None, FolderConfig(channel="any", max_conversation=0.0, given=False))
    show.say_left_out(recordings.left_out)
    surveys = list[SilenceSurvey]()
    rejects = [*recordings.problems]
    with shown_steps():
        for _, surveyed in of_each(recordings, lambda row: survey(row, cut), "silences", rejects):
            surveys.append(surveyed)
    code = exit_code(len(surveys), len(rejects))
    rejected = rejected_of(rejects)
    record: dict[str, Any] = {"rejects": [reject.as_dict() for reject in rejects]}
    if not surveys:
        return Outcome(record, "no recording could be read", code, rejected=rejected)
    whole = SilenceSurvey(
        "all",
        sum(of.seconds for of in surveys),
        np.concatenate([of.lengths for of in surveys]),
        sum((of.outcomes for of in surveys[1:]), surveys[0].outcomes),
    )
    record |= {"recordings": [of.as_dict() for of in surveys], "all": whole.as_dict()}
    rows = []
    for of in [*surveys[:SHOWN], *([whole] if len(surveys) > 1 else [])]:
        figures = ("–" if value is None else f"{value:.2f} s" for value in of.statistics().values())
        rows.append((of.name, length_text(of.seconds), f"{len(of.lengths):,}", *figures))
    details: list[str | Figures] = [
        Figures(("recording", ">length", ">silences", ">min", ">mean", ">median", ">max"), rows)
    ]
    if len(surveys) > SHOWN:
        details.append(f"… {counted(len(surveys) - SHOWN, 'more recording')}, with --json")
    table, choice = whole.candidates()
    candidates = [
        (
            f"{silence:g}",
            f"{of['pieces']:,.0f}",
            f"{of['usable']:,.0f}",
            f"{of['usable_share']:.1%}",
            "suggested" if silence == choice else "",
        )
        for silence, of in table.iterrows()
    ]
    details += ["", Figures((">--silence", ">pieces", ">usable", ">usable audio", ""), candidates)]
    if choice is None:
        headline = "no silence would give a usable piece: see --min, --max and --below"
        return Outcome(record, headline, code, details, rejected)
    headline = f"suggested: --silence {choice:g}: {table.loc[choice]['usable_share']:.1%} of the audio is usable"
    next_command = to_run("split", *inputs, "--silence", f"{choice:g}", "--out", "DIR")
    return Outcome(record, headline, code, details, rejected, next_command)
