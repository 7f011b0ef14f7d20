"""`dailytalk split`: recordings cut into pieces at their silences."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from dailytalk_contiguous.cli import show
from dailytalk_contiguous.cli.options import (
    FollowLinksOption,
    PruneOption,
    chosen,
    on_this_machine,
    profile_option,
    setting_options,
    with_options,
    workers_option,
)
from dailytalk_contiguous.cli.terminal import (
    AsJsonOption,
    Console,
    HelpPanel,
    option,
    print_json,
    show_rejects,
    show_verdict,
)
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.models.profiles import STANDARD
from dailytalk_contiguous.pipelines import split_stages
from dailytalk_contiguous.run.outputs import REJECTS
from dailytalk_contiguous.run.passes import RunOptions
from dailytalk_contiguous.run.splitting import MANIFEST, NON_USABLE, USABLE, SplitOutcome
from dailytalk_contiguous.run.splitting import split_recordings as run_splitting
from dailytalk_contiguous.run.tagging import find
from dailytalk_contiguous.sources.remote import fetch_inputs

#: The options of `split` that are settings of its stages; those of the recogniser are for `--words`.
SPLIT_SETTINGS = setting_options(
    *split_stages(words=1, device="cpu"), without=("asr_windows", "beam", "compute_type")
)


@with_options(SPLIT_SETTINGS)
def split(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT", help="Recordings, folders of them (s3:// too), or OWNER/NAME on the Hub."),
    ],
    out: Annotated[Path, option(HelpPanel.INPUT, "Folder for the pieces.", metavar="DIR")],
    words: Annotated[
        int,
        option(HelpPanel.RESULT, "Put the first N words of each piece into its name.", metavar="N", min=0, max=50),
    ] = 0,
    profile: Annotated[str, profile_option()] = STANDARD,
    as_json: AsJsonOption = False,
    workers: Annotated[int, workers_option()] = 1,
    prune: PruneOption = False,
    follow_links: FollowLinksOption = False,
    **options: Any,
) -> None:
    """Cut recordings into pieces at their silences, and leave nothing out.

    Usable/NAME_000001.wav can be trained on; what is too long, too short or silent is in "Non Usable", with the
    reason in manifest.jsonl. Laid end to end the pieces are the recording, to the sample: a WAV, FLAC or AIFF
    keeps its rate, channels and bit depth; MP3, OGG and Opus are decoded once, to 16 bits; what only ffmpeg reads,
    to 24. Run the same command after a stop: it goes on.
    """
    on_this_machine("--out", out)
    inputs, _ = fetch_inputs(inputs)
    stages = split_stages(profile, words, **chosen(options, SPLIT_SETTINGS))
    console = Console(stderr=as_json)
    found = find(inputs, out, channel="any", max_conversation=0.0, given=False, follow_links=follow_links)
    show.left_out(console, found.left_out)
    about = {"command": as_text(shlex.join(["dailytalk", *sys.argv[1:]]))}
    with show.bar(console, quiet=as_json) as told:
        outcome = run_splitting(found, out, stages, RunOptions(workers, prune=prune), about, planned=told.planned)
    code = _exit_code(outcome)
    if as_json:
        print_json(_told(outcome, out))
    else:
        _show(console, outcome, out)
        show_verdict(console, code)
    raise typer.Exit(code)


def _exit_code(outcome: SplitOutcome) -> int:
    if not outcome.record["counts"]["recordings"]:
        return 1
    return 3 if outcome.rejects else 0


def _told(outcome: SplitOutcome, out: Path) -> dict[str, Any]:
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


def _show(console: Console, outcome: SplitOutcome, out: Path) -> None:
    counts, seconds = outcome.record["counts"], outcome.record["seconds"]
    if outcome.n_written:
        console.print(
            f"{length_text(seconds['audio'])} in {length_text(outcome.wall_seconds)}, "
            f"{counted(outcome.n_written, 'file')} written"
        )
    else:
        console.print("nothing to do: all pieces stand")
    heard = seconds["audio"] - seconds["silent"]
    share = f" ({seconds['usable'] / heard:.1%} of what is not silent)" if heard else ""
    console.print(f"{counted(counts['recordings'], 'recording')}, {counted(counts['pieces'], 'piece')}")
    console.print(f"  usable      {counts['usable']:,}, {length_text(seconds['usable'])}{share}")
    console.print(f"  non usable  {counts['non_usable']:,}, {length_text(seconds['non_usable'])}")
    for kind, took in sorted(outcome.record["non_usable"].items(), key=lambda item: -item[1]):
        console.print(f"    {kind}: {length_text(took)}", markup=False)
    if outcome.rejects:
        rejects = [reject.as_dict() for reject in outcome.rejects]
        show_rejects(console, f"{len(rejects):,}", f"in {as_text(out / REJECTS)}", rejects)
    for label, name in (("pieces", USABLE), ("others", NON_USABLE), ("list", MANIFEST)):
        console.print(f"{label:<8}{as_text(out / name)}", markup=False)
