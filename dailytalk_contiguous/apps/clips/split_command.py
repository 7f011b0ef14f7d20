"""`dailytalk split` and `dailytalk silences`: recordings cut into pieces, and what their silences are like."""

from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.clips.cut import CutAtSilences
from dailytalk_contiguous.apps.clips.cuts import CutRule
from dailytalk_contiguous.apps.clips.silences import CANDIDATES
from dailytalk_contiguous.apps.clips.splitting import MANIFEST, NON_USABLE, USABLE, SplitSpec, cut_dry
from dailytalk_contiguous.apps.clips.survey import SilenceSurvey, all_together, bin_names, survey, survey_png
from dailytalk_contiguous.apps.clips.to_clips import split_stages
from dailytalk_contiguous.cli import engine_options, show
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.terminal import Panel, argument, command_line, option, shown_steps
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.machine import cores, side_by_side
from dailytalk_contiguous.core.outcome import WITH_JSON, Figures, Outcome, exit_code, rejected_of, to_run
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.run.run import RunOptions, RunOutcome, run
from dailytalk_contiguous.run.tagging import find
from dailytalk_contiguous.shards import expand_row
from dailytalk_contiguous.sources.folder import AT_ONCE
from dailytalk_contiguous.sources.remote import fetch_inputs
from dailytalk_contiguous.stages.base import find_stage
from dailytalk_contiguous.store.files import write_bytes
from dailytalk_contiguous.store.work_folder import REJECTS

INPUTS = argument("INPUT", "Recordings, folders of them (s3:// too), or OWNER/NAME on the Hub.")

#: The options of `split` that are settings of its stages; those of the recogniser are for `--words`.
SPLIT_SETTINGS = cli_options.setting_options(
    *split_stages(words=1, device="cpu"), without=("beam", "compute_type")
)


@cli_options.with_options(SPLIT_SETTINGS)
def split(
    inputs: list[str] = INPUTS,
    out: Path = cli_options.out_option(),
    words: int = option(
        0, Panel.RESULT, "Put the first N words of each piece into its name.", metavar="N", min=0, max=50
    ),
    profile: str = cli_options.profile_option(),
    dry_run: bool = engine_options.DRY_RUN,
    workers: int | None = engine_options.WORKERS,
    prune: bool = engine_options.PRUNE,
    **options: Any,
) -> Outcome:
    """Cut recordings at their silences, and leave nothing out.

    Usable/NAME_000001.wav can be trained on; what is too long, too short or silent is in "Non Usable", with the
    reason in manifest.jsonl. Laid end to end the pieces are the recording, to the sample: a WAV, FLAC or AIFF
    keeps its rate, channels and bit depth; MP3, OGG and Opus are decoded once, to 16 bits; M4A, AAC, WMA and
    video to 24. Run the same command after a stop: it goes on.
    """
    cli_options.on_this_machine("--out", out)
    inputs, _ = fetch_inputs(inputs)
    stages = split_stages(profile, words, **cli_options.chosen(options, SPLIT_SETTINGS))
    with shown_steps():
        recordings = find(inputs, out, channel="any", max_conversation=0.0, given=False)
    show.say_left_out(recordings.left_out)
    if dry_run:
        cut = find_stage(CutAtSilences, stages)
        assert cut is not None
        return split_outcome(cut_dry(recordings, cut), out, 0, dry_run)
    spec = SplitSpec(recordings, out, stages, {"command": command_line()})
    with show.bar() as planned:
        done = run(spec, RunOptions(workers or 1, prune=prune), planned=planned)
    return split_outcome(done, out, spec.n_written, dry_run)


def split_outcome(done: RunOutcome, out: Path, n_written: int, dry_run: bool) -> Outcome:
    made = done.record or {}
    counts, seconds, non_usable = made["counts"], made["seconds"], made["non_usable"]
    record = {
        "dry_run": dry_run,
        "out": as_text(out),
        "counts": counts,
        "seconds": seconds,
        "non_usable": non_usable,
        "written": n_written,
        "rejects": [reject.as_dict() for reject in done.rejects],
        "wall_seconds": round(done.wall_seconds, 3),
    }
    if dry_run:
        details = ["a dry run: nothing is written"]
    elif n_written:
        took = f"{length_text(seconds['audio'])} in {length_text(done.wall_seconds)}"
        details = [f"{took}, {counted(n_written, 'file')} written"]
    else:
        details = ["nothing to do: all pieces are there"]
    not_silent = seconds["audio"] - seconds["silent"]
    share = f" ({seconds['usable'] / not_silent:.1%} of what is not silent)" if not_silent else ""
    details += [
        f"  usable      {counts['usable']:,}, {length_text(seconds['usable'])}{share}",
        f"  non usable  {counts['non_usable']:,}, {length_text(seconds['non_usable'])}",
        *(
            f"    {kind}: {length_text(took)}"
            for kind, took in sorted(non_usable.items(), key=lambda item: -item[1])
        ),
    ]
    for label, name in (("pieces", USABLE), ("others", NON_USABLE), ("list", MANIFEST)):
        details.append(f"{label:<8}{as_text(out / name)}")
    return Outcome(
        record,
        f"{counted(counts['recordings'], 'recording')}, {counted(counts['pieces'], 'piece')}",
        exit_code(counts["recordings"], len(done.rejects)),
        details,
        rejected_of(done.rejects, where=WITH_JSON if dry_run else f"in {as_text(out / REJECTS)}"),
        show.DRY_RUN_NEXT if dry_run else to_run("transcribe", out / USABLE) if counts["usable"] else "",
    )


#: The settings of `dailytalk split` that decide what a candidate for --silence gives.
SILENCE_SETTINGS = cli_options.setting_options(*split_stages(), without=("silence",))

#: Recordings that have a line of their own; all of them with --json.
SHOWN = 20

#: Characters of the longest bar.
BAR = 40


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
    surveys, rejects = [], list(recordings.problems)

    def surveyed(row: Row) -> SilenceSurvey | Reject:
        try:
            return survey(expand_row(row), split.rule, split.below)
        except BadInput as error:
            return Reject(row["recording_id"], "silences", error.reason, error.remedy)

    for result in side_by_side(surveyed, recordings.rows, min(AT_ONCE, cores())):
        if isinstance(result, Reject):
            rejects.append(result)
        else:
            surveys.append(result)
    whole = all_together(surveys) if surveys else None
    if png is not None and whole:
        write_bytes(png, survey_png(whole))
    record = {
        "recordings": [silence_survey.as_dict() for silence_survey in surveys],
        "all": whole and whole.as_dict(),
        "rejects": [reject.as_dict() for reject in rejects],
    }
    code, rejected = exit_code(len(surveys), len(rejects)), rejected_of(rejects)
    if whole is None:
        return Outcome(record, "no recording could be read", code, rejected=rejected)
    details = _tables(surveys, whole)
    if png is not None:
        details.append(f"picture  {as_text(png)}")
    longest, choice, next_command = whole.statistics["level"].maximum or 0.0, whole.choice, ""
    if longest < min(CANDIDATES):
        headline = "there is no silence to cut at: see --below, and --force"
    elif choice is None:
        headline = "no piece would be usable: see --min, --max, --force and --below"
    else:
        headline = (
            f"suggested: --silence {choice.silence:g}: {choice.share:.1%} of the audio is usable, with "
            f"{choice.inside_speech:,} of {counted(choice.cuts, 'cut')} inside speech; the longest silence is "
            f"{longest:.2f} s, and without --silence `dailytalk split` cuts at {CutRule().silence:g} s"
        )
        next_command = to_run("split", *inputs, "--silence", f"{choice.silence:g}", "--out", "DIR")
    return Outcome(record, headline, code, details, rejected, next_command)


def _tables(surveys: list[SilenceSurvey], whole: SilenceSurvey) -> list[str | Figures]:
    rows = []
    for silence_survey in [*surveys[:SHOWN], *([whole] if len(surveys) > 1 else [])]:
        for number, (found_by, figures) in enumerate(silence_survey.statistics.items()):
            spread = (figures.minimum, figures.mean, figures.median, figures.maximum)
            rows.append(
                (
                    "" if number else silence_survey.name,
                    "" if number else length_text(silence_survey.seconds),
                    found_by,
                    f"{figures.count:,}",
                    *("–" if value is None else f"{value:.2f} s" for value in spread),
                )
            )
    head = ("recording", ">length", "by", ">silences", ">min", ">mean", ">median", ">max")
    details: list[str | Figures] = [Figures(head, rows)]
    if len(surveys) > SHOWN:
        details.append(f"… {counted(len(surveys) - SHOWN, 'more recording')}, with --json")
    histogram = whole.statistics["level"].histogram
    most = max(histogram)
    details += ["", "silences by level"]
    for name, count in zip(bin_names(), histogram, strict=True):
        details.append(f"  {name:<12}{'█' * -(-BAR * count // max(most, 1))} {count:,}")
    candidates = [
        (
            f"{outcome.silence:g}",
            f"{outcome.pieces:,}",
            f"{outcome.usable:,}",
            f"{outcome.share:.1%}",
            f"{outcome.inside_speech:,} of {outcome.cuts:,}",
            "suggested" if outcome is whole.choice else "",
        )
        for outcome in whole.outcomes
    ]
    of_candidates = (">--silence", ">pieces", ">usable", ">usable audio", ">cuts inside speech", "")
    return [*details, "", Figures(of_candidates, candidates)]
