"""`dailytalk transcribe`: the texts of a folder of clips as one whisper.json."""

from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.clips.to_clips import transcribe_stages
from dailytalk_contiguous.apps.clips.transcribing import ClipsToHear, default_json
from dailytalk_contiguous.cli import engine_options, show
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.terminal import Panel, argument, option, shown_steps
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.outcome import Outcome, exit_code, rejected_of, to_run
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.run.run import RunOptions, refuse_language
from dailytalk_contiguous.sources.whisper_json import WHISPER_JSON
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
    file = out or default_json(source)
    if out and (out.suffix.lower() != ".json" or out.is_dir()):
        file = out / WHISPER_JSON
    clips = ClipsToHear(source, file)
    if clips.left and not dry_run:
        RunOptions().runner.preflight(stages)
        refuse_language(stages)
    with shown_steps():
        if not dry_run:
            clips.transcribe(stages)
    heard = [*clips.left] if dry_run else clips.heard
    empty = [name for name in clips.heard if not clips.entries[name]["text"]]
    record = {
        "dry_run": dry_run,
        "out": as_text(file),
        "entries": len(clips.entries),
        "heard": heard,
        "empty": empty,
        "rejects": [reject.as_dict() for reject in clips.rejects],
    }
    details = ["nothing to do: every clip has an entry"]
    if heard:
        done = "would be heard" if dry_run else "heard"
        details = [f"{counted(len(heard), 'clip')} {done}, {length_text(clips.seconds)}"]
    if empty:
        details.append(f"without a word: {len(empty):,} ({show.first_names(empty)})")
    return Outcome(
        record,
        f"{len(clips.entries):,} entries in {as_text(file)}",
        exit_code(len(clips.entries) + dry_run * len(heard), len(clips.rejects)),
        details,
        rejected_of(clips.rejects),
        show.DRY_RUN_NEXT if dry_run else to_run("review", source) if file == default_json(source) else "",
    )
