"""`dailytalk separate`: recordings of one channel as two channels, one a speaker."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.mono.separating import TURNS_FOLDER, SeparateSpec
from dailytalk_contiguous.apps.mono.to_sides import separate_stages
from dailytalk_contiguous.cli import engine_options, show
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.tag import say_what_is_fetched, tag
from dailytalk_contiguous.cli.terminal import argument, command_line, say, shown_steps
from dailytalk_contiguous.core.audio import from_uri
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.outcome import Figures, Outcome, exit_code, rejected_of, to_run
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.run.run import Runner, RunOptions, RunOutcome, intended, run
from dailytalk_contiguous.run.tagging import find
from dailytalk_contiguous.sources.remote import fetch_inputs
from dailytalk_contiguous.sources.transcripts import find_transcripts
from dailytalk_contiguous.store.work_folder import REJECTS

#: The options of `separate` that are settings of its stages.
SEPARATE_SETTINGS = cli_options.setting_options(*separate_stages(device="cpu"))

#: Options of `tag` for an input on the Hub.
_OF_HUB = {
    name: inspect.signature(tag).parameters[name] for name in ("split", "config", "audio_column", "id_column")
}

#: Recordings whose figures are shown; all of them are in the list.
SHOWN = 20


@cli_options.with_options(SEPARATE_SETTINGS | _OF_HUB)
def separate(
    inputs: list[str] = argument(
        "INPUT", "Recordings of one channel, folders of them (s3:// too), or a dataset on the Hub."
    ),
    out: Path = cli_options.out_option(),
    source_licence: str = cli_options.SOURCE_LICENCE,
    profile: str = cli_options.profile_option(),
    dry_run: bool = engine_options.DRY_RUN,
    workers: int | None = engine_options.WORKERS,
    prune: bool = engine_options.PRUNE,
    runner: str = engine_options.RUNNER,
    address: str = engine_options.ADDRESS,
    shard: str = engine_options.SHARD,
    shard_minutes: float = engine_options.SHARD_MINUTES,
    **options: Any,
) -> Outcome:
    """Make two channels, one a speaker, of recordings of one.

    NAME.flac has the recording's own samples on the side of who speaks, and its room tone on the other. Where both
    speak, both sides have the recording, or with --separator a voice each. NAME.separated.json says which is
    which, and how sure that is; other commands read it. The one who is heard first is on the left. Run the same
    command after a stop: it goes on.
    """
    cli_options.on_this_machine("--out", out)
    engine = Runner(runner, address)
    settings = cli_options.chosen(options, SEPARATE_SETTINGS)
    settings |= {"device": engine.device(settings.get("device", "auto"))}
    stages = separate_stages(profile, **settings)
    run_options = RunOptions(
        workers or engine.few, engine_options.parse_shard(shard), 60 * shard_minutes, prune=prune, runner=engine
    )
    if not (out / TURNS_FOLDER).exists():  # what is finished needs no model, and may be where there is none
        engine.preflight(stages, fetch=not dry_run)
    inputs, _ = fetch_inputs(inputs)
    # Without `out`, which is to hold recordings.
    with shown_steps():
        recordings = find(
            inputs,
            None,
            "any",
            run_options.shard_seconds,
            max_conversation=0.0,
            given=False,
            hub=engine_options.hub_choice(options),
            licence=source_licence,
            before_fetch=say_what_is_fetched,
        )
    show.say_left_out(recordings.left_out)
    paths = [from_uri(row["audio"]["path"]) for row in recordings.rows]
    if n_with := sum(bool(find_transcripts(path, None, Path(path.name))) for path in paths):
        unused = "does not say on which side its words are, and is not used: name it with tag --transcripts"
        say(f"what is written beside {counted(n_with, 'recording')} {unused}")
    # The last stage makes a row's sound; a run writes it to files, block by block.
    spec = SeparateSpec(recordings, out, stages[:-1], {"command": command_line()})
    if dry_run:
        return show.dry_run(*intended(spec, run_options), {}, rejects=spec.rejects)
    with show.bar() as run_bar:
        done = run(spec, run_options, planned=run_bar.planned)
    return separate_outcome(done, spec)


def separate_outcome(done: RunOutcome, spec: SeparateSpec) -> Outcome:
    record, out = done.record, spec.out
    summary: dict[str, Any] = {
        "out": as_text(out),
        "complete": record is not None,
        "written": spec.n_written,
        "rejects": [reject.as_dict() for reject in done.rejects],
        "wall_seconds": round(done.wall_seconds, 3),
        "run": record,
    }
    if record is None:
        missing = f"{counted(done.n_missing, 'shard')} still missing"
        return Outcome(summary, missing, next="nothing: the host that makes the last shard writes the recordings")
    counts, seconds = record["counts"], record["seconds"]
    rows = [_figures(part) for part in spec.parts[:SHOWN]]
    details: list[str | Figures] = [
        show.work_done(done),
        Figures(("recording", ">from", ">to", ">left", ">right", ">both", ">turns", ">doubtful", "cut out"), rows),
    ]
    if len(spec.parts) > SHOWN:
        details.append(f"… {counted(len(spec.parts) - SHOWN, 'more part')}")
    if "separator" not in record["models"] and seconds.get("both"):
        details.append(
            f"{length_text(seconds['both'])} in which both speak: both sides have both voices there; name a "
            "--separator to separate them"
        )
    details.append(f"list  {as_text(spec.manifest)}")
    total = length_text(seconds.get("audio", 0.0))
    return Outcome(
        summary,
        f"{counted(counts.get('recordings', 0), 'recording')}, "
        f"{counted(counts.get('conversations', 0), 'conversation')} of two channels, {total}",
        exit_code(counts.get("conversations", 0), len(done.rejects)),
        details,
        rejected_of(done.rejects, where=f"in {as_text(out / REJECTS)}"),
        to_run("tag", out, "--out", "DIR") if counts.get("conversations") else "",
    )


def _figures(line: Mapping[str, Any]) -> tuple[str, ...]:
    """A part of a recording as a row of the table."""
    times = (f"{line[name]:.1f}" for name in ("start", "end", "left", "right", "both"))
    shown = (f"{line['turns']:,}", f"{line['doubtful']:,}") if line["file"] else ("", "")
    return (line["file"] or line["source"], *times, *shown, line["reason"] or "")
