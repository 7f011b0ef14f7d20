"""`dailytalk silences`: how long the silences of recordings are, and where to cut them."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from dailytalk_contiguous.cli import show
from dailytalk_contiguous.cli.options import FollowLinksOption, chosen, setting_options, with_options
from dailytalk_contiguous.cli.terminal import (
    AsJsonOption,
    Console,
    HelpPanel,
    option,
    print_json,
    show_rejects,
)
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.machine import cores
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.pipelines import split_stages
from dailytalk_contiguous.publish.survey import (
    SilenceSurvey,
    all_together,
    bin_names,
    survey,
    survey_png,
)
from dailytalk_contiguous.run.tagging import find
from dailytalk_contiguous.shards import expand_row
from dailytalk_contiguous.sources.folder import AT_ONCE, side_by_side
from dailytalk_contiguous.sources.remote import fetch_inputs
from dailytalk_contiguous.stages.split import Split
from dailytalk_contiguous.store.files import write_bytes

#: Those of the settings of `dailytalk split` that decide what a candidate gives.
SILENCE_SETTINGS = setting_options(*split_stages(), without=("silence",))

#: Recordings that have a line of their own; all of them with --json.
SHOWN = 20

#: Characters of the longest bar.
BAR = 40


@with_options(SILENCE_SETTINGS)
def silences(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT", help="Recordings, folders of them (s3:// too), or OWNER/NAME on the Hub."),
    ],
    png: Annotated[
        Path | None, option(HelpPanel.INPUT, "Draw a picture of it.", "--png", metavar="FILE.png")
    ] = None,
    as_json: AsJsonOption = False,
    follow_links: FollowLinksOption = False,
    **options: Any,
) -> None:
    """Say how long the silences of recordings are, and which --silence to give `dailytalk split`.

    Silences are found by level, against each recording's own noise floor, and by speech activity. Suggested is the
    longest silence that makes nearly all of the audio usable with the fewest cuts inside speech.
    """
    inputs, _ = fetch_inputs(inputs)
    (split,) = split_stages(**chosen(options, SILENCE_SETTINGS))
    assert isinstance(split, Split)
    if png is not None and not png.absolute().parent.is_dir():
        raise DailytalkError(f"there is no folder for --png {as_text(png)!r}", "make it first")
    console = Console(stderr=as_json)
    found = find(inputs, None, channel="any", max_conversation=0.0, given=False, follow_links=follow_links)
    show.left_out(console, found.left_out)
    surveys, rejects = [], list(found.problems)
    for result in side_by_side(partial(_survey, split=split), found.rows, min(AT_ONCE, cores())):
        if isinstance(result, Reject):
            rejects.append(result)
        else:
            surveys.append(result)
    whole = all_together(surveys) if surveys else None
    if png is not None and whole:
        write_bytes(png, survey_png(whole))
    if as_json:
        told = {"recordings": [one.as_dict() for one in surveys], "all": whole and whole.as_dict()}
        print_json(told | {"rejects": [reject.as_dict() for reject in rejects]})
    else:
        if whole:
            _show(console, surveys, whole)
        if rejects:
            show_rejects(console, f"{len(rejects):,}", "all with --json", [one.as_dict() for one in rejects])
        if png is not None and whole:
            console.print(f"picture  {as_text(png)}", markup=False)
    raise typer.Exit(1 if whole is None else 3 if rejects else 0)


def _survey(row: Row, split: Split) -> SilenceSurvey | Reject:
    try:
        return survey(expand_row(row), split.rule, split.below)
    except BadInput as error:
        return Reject(row["recording_id"], "Silences", error.reason, error.remedy)


def _show(console: Console, surveys: list[SilenceSurvey], whole: SilenceSurvey) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("recording")
    for heading in ("length", "by", "silences", "min", "mean", "median", "max"):
        table.add_column(heading, justify="left" if heading == "by" else "right")
    for one in [*surveys[:SHOWN], *([whole] if len(surveys) > 1 else [])]:
        for number, (found_by, figures) in enumerate(one.statistics.items()):
            spread = (figures.minimum, figures.mean, figures.median, figures.maximum)
            table.add_row(
                "" if number else one.name,
                "" if number else length_text(one.seconds),
                found_by,
                f"{figures.count:,}",
                *("–" if value is None else f"{value:.2f} s" for value in spread),
            )
    console.print(table)
    if len(surveys) > SHOWN:
        console.print(f"… {counted(len(surveys) - SHOWN, 'more recording')}, with --json")
    figures = whole.statistics["level"]
    most = max(figures.histogram)
    console.print("\nsilences by level")
    for name, count in zip(bin_names(), figures.histogram, strict=True):
        console.print(f"  {name:<12}{'█' * -(-BAR * count // max(most, 1))} {count:,}", markup=False)
    table = Table(box=None, pad_edge=False)
    for heading in ("--silence", "pieces", "usable", "usable audio", "cuts inside speech", ""):
        table.add_column(heading, justify="left" if not heading else "right")
    choice = whole.choice
    for outcome in whole.outcomes:
        table.add_row(
            f"{outcome.silence:g}",
            f"{outcome.pieces:,}",
            f"{outcome.usable:,}",
            f"{outcome.share:.1%}",
            f"{outcome.inside_speech:,} of {outcome.cuts:,}",
            "suggested" if outcome is choice else "",
        )
    console.print("")
    console.print(table)
    if choice is None:
        console.print("no piece would be usable: see --min, --max, --force and --below")
    else:
        console.print(f"\nsuggested: --silence {choice.silence:g}")
