"""`dailytalk silences`: how long the silences of recordings are, and at which to cut them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dailytalk_contiguous.apps.clips.silences import SILENT_PIECE, CutAtSilences, measure_levels
from dailytalk_contiguous.apps.clips.split_command import INPUTS, SPLIT_SETTINGS, WHOLE_RECORDINGS, of_each
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli import show
from dailytalk_contiguous.cli.terminal import shown_steps
from dailytalk_contiguous.core.records.outcome import Figures, Outcome, exit_code, rejected_of, to_run
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.core.settings import with_settings
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.run.tagging import list_conversations
from dailytalk_contiguous.sources.inputs import open_inputs

#: Share of the audio that a choice may lose against the best one and still count as good: fewer cuts are worth it.
AS_GOOD = 0.005

#: Recordings that have a line of their own; all of them with --json.
SHOWN = 20


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
        shares = self.outcomes["usable_seconds"] / self.outcomes["heard_seconds"]
        shares = shares.fillna(0.0)
        cuts_somewhere = shares.index <= self.lengths.max(initial=0.0)
        usable = shares[cuts_somewhere & (shares > 0)]
        good = usable[usable >= usable.max() - AS_GOOD]
        table = self.outcomes.assign(usable_share=shares)
        return table, good.index[0] if len(good) else None

    def statistics(self) -> dict[str, float | None]:
        """The seconds of the shortest, mean, median and longest silence (None without any)."""
        described = pd.Series(self.lengths).describe()
        described = described.round(3).replace({np.nan: None})
        names = {"minimum": "min", "mean": "mean", "median": "50%", "maximum": "max"}
        return {ours: described[name] for ours, name in names.items()}

    def as_dict(self) -> dict[str, object]:
        table, choice = self.candidates()
        candidates = table.round({"usable_share": 5}).reset_index(names="silence")
        return {
            "name": self.name,
            "seconds": round(self.seconds, 3),
            "silences": {"count": len(self.lengths), **self.statistics()},
            "suggested_silence": choice,
            "candidates": candidates.to_dict("records"),
        }

    def line(self) -> tuple[str, ...]:
        """The length of the recording and the statistics of its silences, for a table."""
        figures = []
        for value in self.statistics().values():
            figures.append("–" if value is None else f"{value:.2f} s")
        return self.name, length_text(self.seconds), f"{len(self.lengths):,}", *figures


#: Seconds of silence that are compared, the longest first.
CANDIDATES = (2.0, 1.5, 1.2, 1.0, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05)


def survey(row: Row, cut: CutAtSilences) -> SilenceSurvey:
    """The silences of a recording, and the outcome of each of `CANDIDATES` with all other settings of `cut`.

    Raises BadInput if it can't be read.
    """
    levels = measure_levels(row["audio"])
    outcomes = {}
    n_samples = levels.n_samples
    rate = levels.sample_rate
    silences = levels.silences()
    for silence in CANDIDATES:
        candidate = replace(cut, silence_seconds=silence)
        pieces = pd.DataFrame(candidate.cut(n_samples, rate, silences))
        seconds = (pieces["end"] - pieces["start"]) / rate
        is_usable = pieces["reason"].isna()
        is_heard = pieces["reason"] != SILENT_PIECE
        usable_seconds = float(seconds[is_usable].sum())
        heard_seconds = float(seconds[is_heard].sum())
        outcomes[silence] = {
            "pieces": len(pieces),
            "usable": int(is_usable.sum()),
            "usable_seconds": usable_seconds,
            "heard_seconds": heard_seconds,
        }
    lengths = (silences[:, 1] - silences[:, 0]) / rate
    table = pd.DataFrame.from_dict(outcomes, "index")
    return SilenceSurvey(row["audio_file"], n_samples / rate, lengths, table)


#: The settings of `dailytalk split` that decide what a candidate for --silence gives.
SILENCE_SETTINGS = {name: option for name, option in SPLIT_SETTINGS.items() if name != "silence"}


@cli_options.with_options(SILENCE_SETTINGS)
def silences(inputs: list[str] = INPUTS, **options: object) -> Outcome:
    """Say how long silences are, and which to split at.

    It measures silences relative to each recording's own noise floor, and suggests for `dailytalk split` the
    longest --silence that makes nearly all of the audio usable.
    """
    source = open_inputs(inputs)
    settings = cli_options.chosen(options, SILENCE_SETTINGS)
    (cut,) = with_settings((CutAtSilences(),), settings)
    recordings = list_conversations(source, None, WHOLE_RECORDINGS)
    show.say_left_out(recordings.left_out)
    surveys: list[SilenceSurvey] = []
    rejects = [*recordings.problems]
    with shown_steps():
        for _, surveyed in of_each(recordings, lambda row: survey(row, cut), "silences", rejects):
            surveys.append(surveyed)
    code = exit_code(len(surveys), len(rejects))
    rejected = rejected_of(rejects)
    reject_rows = [reject.as_dict() for reject in rejects]
    record: dict[str, object] = {"rejects": reject_rows}
    if not surveys:
        return Outcome(record, "no recording could be read", code, rejected=rejected)
    whole = _together(surveys)
    record["recordings"] = [recording.as_dict() for recording in surveys]
    record["all"] = whole.as_dict()
    rows = [recording.line() for recording in surveys[:SHOWN]]
    if len(surveys) > 1:
        rows.append(whole.line())
    headings = ("recording", ">length", ">silences", ">min", ">mean", ">median", ">max")
    details: list[str | Figures] = [Figures(headings, rows)]
    if len(surveys) > SHOWN:
        details.append(f"… {counted(len(surveys) - SHOWN, 'more recording')}, with --json")
    table, choice = whole.candidates()
    candidates = []
    for silence, outcome in table.iterrows():
        pieces = f"{outcome['pieces']:,.0f}"
        usable = f"{outcome['usable']:,.0f}"
        share = f"{outcome['usable_share']:.1%}"
        note = "suggested" if silence == choice else ""
        candidates.append((f"{silence:g}", pieces, usable, share, note))
    candidate_headings = (">--silence", ">pieces", ">usable", ">usable audio", "")
    details += ["", Figures(candidate_headings, candidates)]
    if choice is None:
        headline = "no silence would give a usable piece: see --min and --max"
        return Outcome(record, headline, code, details, rejected)
    share = f"{table.loc[choice]['usable_share']:.1%}"
    headline = f"suggested: --silence {choice:g}: {share} of the audio is usable"
    next_command = to_run("split", *inputs, "--silence", f"{choice:g}", "--out", "DIR")
    return Outcome(record, headline, code, details, rejected, next_command)


def _together(surveys: Sequence[SilenceSurvey]) -> SilenceSurvey:
    """The silences of several recordings as one survey."""
    outcomes = surveys[0].outcomes
    for other in surveys[1:]:
        outcomes = outcomes + other.outcomes
    seconds = sum(recording.seconds for recording in surveys)
    lengths = np.concatenate([recording.lengths for recording in surveys])
    return SilenceSurvey("all", seconds, lengths, outcomes)
