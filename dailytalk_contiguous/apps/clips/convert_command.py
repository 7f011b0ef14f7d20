"""`dailytalk convert`: recordings as WAV, FLAC, MP3 or Opus."""

from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.clips.conversion import CONTAINERS, Conversion, convert_recordings
from dailytalk_contiguous.cli import engine_options, options, show
from dailytalk_contiguous.cli.terminal import Panel, argument, option, shown_steps
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.outcome import Outcome, exit_code, rejected_of, to_run
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.store.work_folder import REJECTS

CONVERT_SETTINGS = options.setting_options(Conversion())


@options.with_options(CONVERT_SETTINGS)
def convert(
    inputs: list[str] = argument("INPUT", "Recordings, or folders of them."),
    to: str = option(..., Panel.INPUT, f"Format: {options.either(CONTAINERS)}.", metavar="NAME"),
    out: Path = options.out_option(),
    overwrite: bool = option(
        False, Panel.RESULT, "Replace files that are there; never one of INPUT.", "--overwrite"
    ),
    workers: int | None = engine_options.WORKERS,
    **settings: Any,
) -> Outcome:
    """Write recordings as WAV, FLAC, MP3 or Opus.

    Folders, names and tags are kept. Every file is read back before it gets its name, and nothing is overwritten:
    what was made before of the same recording in the same way is left as it is, so that a run that was stopped
    goes on.
    """
    options.on_this_machine("--out", out)
    options.one_of("--to", to, CONTAINERS)
    conversion = Conversion(to, **options.chosen(settings, CONVERT_SETTINGS))
    with shown_steps():
        done = convert_recordings(inputs, out, conversion, workers or 1, overwrite)
    show.say_left_out(done.left_out)
    made = done.made + done.done_before
    before = f", {done.done_before:,} done before" if done.done_before else ""
    return Outcome(
        {
            "out": as_text(out),
            "made": done.made,
            "seconds": round(done.seconds, 3),
            "done_before": done.done_before,
            "rejected": [reject.as_dict() for reject in done.rejects],
        },
        f"{counted(done.made, 'file')} ({length_text(done.seconds)}) made{before} in {as_text(out)}"
        if made
        else "no recording could be used",
        exit_code(made, len(done.rejects)),
        rejected=rejected_of(done.rejects, "recording", f"in {as_text(out / REJECTS)}"),
        next=to_run("tag", out, "--out", "DIR") if made else "",
    )
