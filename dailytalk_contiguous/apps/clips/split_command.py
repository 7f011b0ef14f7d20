"""`dailytalk split`: recordings cut into pieces at their silences."""

from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.clips.silences import CutAtSilences
from dailytalk_contiguous.apps.clips.splitting import MANIFEST, NON_USABLE, USABLE, SplitSpec, cut_dry
from dailytalk_contiguous.apps.clips.to_clips import split_stages
from dailytalk_contiguous.cli import engine_options, show
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.terminal import Panel, argument, command_line, option, shown_steps
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.outcome import WITH_JSON, Outcome, exit_code, rejected_of, to_run
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.run.run import RunOptions, RunOutcome, run
from dailytalk_contiguous.run.tagging import find
from dailytalk_contiguous.sources.remote import fetch_inputs
from dailytalk_contiguous.stages.base import find_stage
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
        **{name: made[name] for name in ("counts", "seconds", "non_usable")},
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
