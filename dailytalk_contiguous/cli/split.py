"""`dailytalk split` and `dailytalk silences`: recordings cut into pieces, and what their silences are like."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli import show, terminal
from dailytalk_contiguous.core.cuts import CutRule
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.machine import cores
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.silences import CANDIDATES
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.models.profiles import STANDARD
from dailytalk_contiguous.pipelines import split_stages
from dailytalk_contiguous.publish.survey import SilenceSurvey, all_together, bin_names, survey, survey_png
from dailytalk_contiguous.run.outputs import REJECTS
from dailytalk_contiguous.run.passes import RunOptions
from dailytalk_contiguous.run.splitting import MANIFEST, NON_USABLE, USABLE, SplitOutcome, split_dry_run
from dailytalk_contiguous.run.splitting import split_recordings as run_splitting
from dailytalk_contiguous.run.tagging import find
from dailytalk_contiguous.shards import expand_row
from dailytalk_contiguous.sources.folder import AT_ONCE, side_by_side
from dailytalk_contiguous.sources.remote import fetch_inputs
from dailytalk_contiguous.stages.base import find_stage
from dailytalk_contiguous.stages.cut import CutAtSilences
from dailytalk_contiguous.store.files import write_bytes

#: The options of `split` that are settings of its stages; those of the recogniser are for `--words`.
SPLIT_SETTINGS = cli_options.setting_options(
    *split_stages(words=1, device="cpu"), without=("asr_windows", "beam", "compute_type")
)


@cli_options.with_options(SPLIT_SETTINGS)
def split(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT", help="Recordings, folders of them (s3:// too), or OWNER/NAME on the Hub."),
    ],
    out: Annotated[Path, terminal.option(terminal.HelpPanel.INPUT, "Folder for the pieces.", metavar="DIR")],
    words: Annotated[
        int,
        terminal.option(
            terminal.HelpPanel.RESULT,
            "Put the first N words of each piece into its name.",
            metavar="N",
            min=0,
            max=50,
        ),
    ] = 0,
    profile: Annotated[str, cli_options.profile_option()] = STANDARD,
    dry_run: cli_options.DryRunOption = False,
    as_json: terminal.AsJsonOption = False,
    workers: Annotated[int, cli_options.workers_option()] = 1,
    prune: cli_options.PruneOption = False,
    follow_links: cli_options.FollowLinksOption = False,
    **options: Any,
) -> None:
    """Cut recordings into pieces at their silences, and leave nothing out.

    Usable/NAME_000001.wav can be trained on; what is too long, too short or silent is in "Non Usable", with the
    reason in manifest.jsonl. Laid end to end the pieces are the recording, to the sample: a WAV, FLAC or AIFF
    keeps its rate, channels and bit depth; MP3, OGG and Opus are decoded once, to 16 bits; M4A, AAC, WMA and
    video to 24. Run the same command after a stop: it goes on.
    """
    cli_options.on_this_machine("--out", out)
    inputs, _ = fetch_inputs(inputs)
    stages = split_stages(profile, words, **cli_options.chosen(options, SPLIT_SETTINGS))
    console = terminal.Console(stderr=as_json)
    recordings = find(inputs, out, channel="any", max_conversation=0.0, given=False, follow_links=follow_links)
    show.left_out(console, recordings.left_out)
    about = {"command": terminal.command_line()}
    if dry_run:
        cut = find_stage(CutAtSilences, stages)
        assert cut is not None
        outcome = split_dry_run(recordings, cut)
    else:
        with show.bar(console, quiet=as_json) as run_bar:
            outcome = run_splitting(
                recordings, out, stages, RunOptions(workers, prune=prune), about, planned=run_bar.planned
            )
    code = terminal.exit_code(outcome.record["counts"]["recordings"], len(outcome.rejects))
    if as_json:
        terminal.print_json({"dry_run": dry_run} | _summary(outcome, out))
    else:
        _show(console, outcome, out, dry_run)
        terminal.show_verdict(console, code)
    raise typer.Exit(code)


def _summary(outcome: SplitOutcome, out: Path) -> dict[str, Any]:
    record = outcome.record
    return {
        "out": as_text(out),
        "counts": record["counts"],
        "seconds": record["seconds"],
        "non_usable": record["non_usable"],
        "written": outcome.n_written,
        "rejects": [reject.as_dict() for reject in outcome.rejects],
        "wall_seconds": round(outcome.wall_seconds, 3),
    }


def _show(console: terminal.Console, outcome: SplitOutcome, out: Path, dry_run: bool) -> None:
    counts, seconds = outcome.record["counts"], outcome.record["seconds"]
    if dry_run:
        console.print("a dry run: nothing is written")
    elif outcome.n_written:
        console.print(
            f"{length_text(seconds['audio'])} in {length_text(outcome.wall_seconds)}, "
            f"{counted(outcome.n_written, 'file')} written"
        )
    else:
        console.print("nothing to do: all pieces are there")
    not_silent = seconds["audio"] - seconds["silent"]
    share = f" ({seconds['usable'] / not_silent:.1%} of what is not silent)" if not_silent else ""
    console.print(f"{counted(counts['recordings'], 'recording')}, {counted(counts['pieces'], 'piece')}")
    console.print(f"  usable      {counts['usable']:,}, {length_text(seconds['usable'])}{share}")
    console.print(f"  non usable  {counts['non_usable']:,}, {length_text(seconds['non_usable'])}")
    for kind, took in sorted(outcome.record["non_usable"].items(), key=lambda item: -item[1]):
        console.print(f"    {kind}: {length_text(took)}", markup=False)
    terminal.show_rejected(
        console, outcome.rejects, "all with --json" if dry_run else f"in {as_text(out / REJECTS)}"
    )
    for label, name in (("pieces", USABLE), ("others", NON_USABLE), ("list", MANIFEST)):
        console.print(f"{label:<8}{as_text(out / name)}", markup=False)


#: The settings of `dailytalk split` that decide what a candidate for --silence gives.
SILENCE_SETTINGS = cli_options.setting_options(*split_stages(), without=("silence",))

#: Recordings that have a line of their own; all of them with --json.
SHOWN = 20

#: Characters of the longest bar.
BAR = 40


@cli_options.with_options(SILENCE_SETTINGS)
def silences(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT", help="Recordings, folders of them (s3:// too), or OWNER/NAME on the Hub."),
    ],
    png: Annotated[
        Path | None,
        terminal.option(terminal.HelpPanel.INPUT, "Draw a picture of it.", "--png", metavar="FILE.png"),
    ] = None,
    as_json: terminal.AsJsonOption = False,
    follow_links: cli_options.FollowLinksOption = False,
    **options: Any,
) -> None:
    """Say how long the silences of recordings are, and which --silence to give `dailytalk split`.

    Silences are found by level, against each recording's own noise floor, and by speech activity. Suggested is the
    longest silence that makes nearly all of the audio usable with the fewest cuts inside speech.
    """
    inputs, _ = fetch_inputs(inputs)
    (split,) = split_stages(**cli_options.chosen(options, SILENCE_SETTINGS))
    assert isinstance(split, CutAtSilences)
    if png is not None and not png.absolute().parent.is_dir():
        raise DailytalkError(f"there is no folder for --png {as_text(png)!r}", "make it first")
    console = terminal.Console(stderr=as_json)
    recordings = find(inputs, None, channel="any", max_conversation=0.0, given=False, follow_links=follow_links)
    show.left_out(console, recordings.left_out)
    surveys, rejects = [], list(recordings.problems)
    for result in side_by_side(partial(_survey, split=split), recordings.rows, min(AT_ONCE, cores())):
        if isinstance(result, Reject):
            rejects.append(result)
        else:
            surveys.append(result)
    whole = all_together(surveys) if surveys else None
    if png is not None and whole:
        write_bytes(png, survey_png(whole))
    if as_json:
        summary = {
            "recordings": [silence_survey.as_dict() for silence_survey in surveys],
            "all": whole and whole.as_dict(),
        }
        terminal.print_json(summary | {"rejects": [reject.as_dict() for reject in rejects]})
    else:
        if whole:
            _show_silences(console, surveys, whole)
        terminal.show_rejected(console, rejects)
        if png is not None and whole:
            console.print(f"picture  {as_text(png)}", markup=False)
    raise typer.Exit(terminal.exit_code(len(surveys), len(rejects)))


def _survey(row: Row, split: CutAtSilences) -> SilenceSurvey | Reject:
    try:
        return survey(expand_row(row), split.rule, split.below)
    except BadInput as error:
        return Reject(row["recording_id"], "silences", error.reason, error.remedy)


def _show_silences(console: terminal.Console, surveys: list[SilenceSurvey], whole: SilenceSurvey) -> None:
    table = terminal.plain_table("recording", ">length", "by", ">silences", ">min", ">mean", ">median", ">max")
    for silence_survey in [*surveys[:SHOWN], *([whole] if len(surveys) > 1 else [])]:
        for number, (found_by, figures) in enumerate(silence_survey.statistics.items()):
            spread = (figures.minimum, figures.mean, figures.median, figures.maximum)
            table.add_row(
                "" if number else silence_survey.name,
                "" if number else length_text(silence_survey.seconds),
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
    table = terminal.plain_table(">--silence", ">pieces", ">usable", ">usable audio", ">cuts inside speech", "")
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
    longest = figures.maximum or 0.0
    if longest < min(CANDIDATES):
        console.print("there is no silence to cut at: see --below, and --force")
    elif choice is None:
        console.print("no piece would be usable: see --min, --max, --force and --below")
    else:
        console.print(
            f"\nsuggested: --silence {choice.silence:g}: {choice.share:.1%} of the audio is usable, with "
            f"{choice.inside_speech:,} of {counted(choice.cuts, 'cut')} inside speech; the longest silence is "
            f"{longest:.2f} s, and without --silence `dailytalk split` cuts at {CutRule().silence:g} s"
        )
