"""`--streaming` of `dailytalk tag` and `dailytalk build`: a dataset on the Hub that is larger than the disk."""

from dailytalk_contiguous.cli import engine_options, show
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.tag_options import TagOptions
from dailytalk_contiguous.cli.terminal import command_line, say
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.outcome import Outcome, Rejected, exit_code, to_run
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.run.run import RunOptions, RunOutcome, preflight, run
from dailytalk_contiguous.run.streaming import StreamSource, StreamSpec
from dailytalk_contiguous.shards import MOST_SECONDS
from dailytalk_contiguous.sources.hub.fetching import to_fetch
from dailytalk_contiguous.sources.hub.repository import repository_of
from dailytalk_contiguous.stages.base import Stages
from dailytalk_contiguous.store import work_folder
from dailytalk_contiguous.store.work_folder import DATASET, TAGGED

#: Options that a stream can't use, because it has one position, and the values that they may have.
_UNUSED = {
    "workers": (None, 1),
    "shard": ("1/1",),
    "runner": ("local",),
    "address": ("",),
    "recordings": (None,),
    "speakers": (None,),
    "align_sides": (False,),
    "pairs": ("",),
    "left": ("",),
    "prune": (False,),
}


def stream(options: TagOptions, values: cli_options.OptionValues, tagging: Stages, speaking: Stages) -> Outcome:
    """Tag a dataset, and speak it if there are stages for that; `values`: of the command's options."""
    for name, unused in _UNUSED.items():
        if values.get(name, unused[0]) not in unused:  # `tag` lacks some of them
            option_name = name.replace("_", "-")
            raise DailytalkError(f"--{option_name} can't be used with --streaming", "leave it out")
    out = options.out
    cli_options.on_this_machine("--out", out)
    repository = repository_of(options.inputs, options.hub_choice)
    if repository is None:
        raise DailytalkError("--streaming is for datasets on the Hub", "leave it out for files and folders")
    if repository.is_version and not options.hear_again:
        raise DailytalkError(
            f"{repository.reference} is a version, of which a stream would hear the sound anew",
            "leave --streaming out to take it as it was published, or pass --hear-again",
        )
    source = StreamSource(
        repository,
        options.folder_config(tagging),
        options.source_licence,
        window_seconds=engine_options.shard_seconds(options.shard_minutes) or MOST_SECONDS,
        limit_hours=options.limit_hours,
    )
    about = {"command": command_line(), "settings": {"profile": options.profile}}
    spec = StreamSpec(source, out, tagging, speaking, about)
    spec.check(RunOptions())
    if options.dry_run:
        preflight(spec.left, fetch=False)
        return show.to_fetch_outcome(repository, to_fetch(repository), spec.left)
    say(f"streaming {repository.reference.repo}, commit {repository.commit[:8]}")
    with show.bar() as planned:
        done = run(spec, RunOptions(force=options.force), planned=planned)
    show.say_left_out(spec.left_out)
    show.write_readme(done.out, done.title)
    return stream_outcome(spec, done)


def stream_outcome(spec: StreamSpec, done: RunOutcome) -> Outcome:
    """The outcome of a stream that has come to its end, or to the limit of its hours."""
    out = done.out
    record = done.record or {}
    is_spoken = bool(spec.speaking)
    hours = spec.audio_seconds / 3600
    summary = {
        "record": record,
        "windows": len(spec.windows),
        "complete": spec.is_complete,
        "hours": hours,
        "wall_seconds": done.wall_seconds,
        "out": str(out),
    }
    work = "nothing to do"
    if done.run.done:
        work = f"{counted(done.run.done, 'shard')} made in {length_text(done.wall_seconds)}"
    shards = out / (DATASET if is_spoken else TAGGED)
    transcript = out / work_folder.TRANSCRIPT
    counts = [record["counts"]]
    if is_spoken:
        counts.append(record["speak"]["counts"])
    n_rejected = sum(of_half["rejects"] for of_half in counts)
    has_result = all(of_half["conversations"] for of_half in counts)
    rejected: tuple[Rejected, ...] = ()
    if n_rejected:
        share = ", ".join(show.rejected_text(of_half) for of_half in counts if of_half["rejects"])
        rejected = (Rejected(share, work_folder.rejects_in(out), f"in {out / work_folder.REJECTS}"),)
    extent = "to the end of the source" if spec.is_complete else "so far"
    next_step = "stopped at --limit-hours; a higher one goes on from there"
    if spec.is_complete:
        next_step = to_run("check" if is_spoken else "speak", out)
    return Outcome(
        summary,
        f"{counted(len(spec.windows), 'window')}, {hours:.2f} h {extent}",
        exit_code(has_result, n_rejected),
        [work, f"in {shards}, {transcript}"],
        rejected,
        next_step,
    )
