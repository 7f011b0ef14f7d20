"""`dailytalk transcribe`: the texts of a folder of clips as one whisper.json."""

import time
from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.clips.to_clips import transcribe_stages
from dailytalk_contiguous.apps.clips.transcribing import TranscribeSpec, default_json, json_in
from dailytalk_contiguous.cli import engine_options, show
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.terminal import Panel, argument, command_line, option
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.outcome import Outcome, exit_code, rejected_of, to_run
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.run.run import RunOptions, run
from dailytalk_contiguous.stages.transcribe import Transcribe

#: The options that are settings of its stage.
TRANSCRIBE_SETTINGS = cli_options.setting_options(Transcribe(device="cpu"))


@cli_options.with_options(TRANSCRIBE_SETTINGS)
def transcribe(
    source: Path = argument("DIR", "Folder of clips of one speaker each, or audio/ in it."),
    out: Path | None = option(
        None,
        Panel.INPUT,
        "File or folder for the result.",
        metavar="FILE.json|DIR",
        show_default="the JSON of DIR, or DIR/whisper.json",
    ),
    profile: str = cli_options.profile_option(),
    workers: int | None = engine_options.WORKERS,
    dry_run: bool = engine_options.DRY_RUN,
    **options: Any,
) -> Outcome:
    """Recognise the clips of a folder into one JSON.

    As Whisper writes it, by the name of each file. Clips that have an entry are not heard again, whoever wrote it:
    run the same command after a stop, or for clips that were added. Delete an entry to have its clip heard anew.
    """
    stages = transcribe_stages(profile, **cli_options.chosen(options, TRANSCRIBE_SETTINGS))
    if not source.is_dir():
        raise DailytalkError(f"{as_text(source)!r} is no folder", "name the folder of the clips")
    started, about = time.perf_counter(), {"command": command_line()}
    file = default_json(source) if out is None else json_in(out)
    spec = TranscribeSpec(source, file, stages, about)
    if dry_run:
        spec.heard, seconds = [*spec.left], sum(row["duration"] for row in spec.left.values())
    else:
        with show.bar() as planned:
            seconds = run(spec, RunOptions(workers or 1), planned=planned).audio_seconds
    return transcribe_outcome(spec, source, seconds, time.perf_counter() - started, dry_run)


def transcribe_outcome(
    spec: TranscribeSpec, source: Path, audio_seconds: float, wall_seconds: float, dry_run: bool
) -> Outcome:
    n_entries = len(spec.entries)
    record = {
        "dry_run": dry_run,
        "out": as_text(spec.file),
        "entries": n_entries,
        "heard": spec.heard,
        "empty": spec.empty,
        "rejects": [reject.as_dict() for reject in spec.rejects],
        "audio_seconds": round(audio_seconds, 2),
        "wall_seconds": round(wall_seconds, 2),
    }
    heard = f"{counted(len(spec.heard), 'clip')} %s, {length_text(audio_seconds)}"
    if not spec.heard:
        details = ["nothing to do: every clip has an entry"]
    elif dry_run:
        details = [heard % "would be heard"]
    else:
        details = [f"{heard % 'heard'} in {length_text(wall_seconds)}"]
    if spec.empty:
        shown = ", ".join(map(repr, spec.empty[:3]))
        details.append(f"without a word: {len(spec.empty):,} ({shown}{', …' if len(spec.empty) > 3 else ''})")
    return Outcome(
        record,
        f"{n_entries:,} entries in {as_text(spec.file)}",
        exit_code(n_entries + dry_run * len(spec.heard), len(spec.rejects)),
        details,
        rejected_of(spec.rejects),
        show.DRY_RUN_NEXT if dry_run else to_run("review", source) if spec.file == default_json(source) else "",
    )
