"""The first half of the product: from recordings to a tagged transcript, one run of it.

Finds the conversations, compares what is there with what should be, makes what is missing, and writes the
outputs once everything stands. What a run may not do is lose something: results of recordings that are not in
the input are kept until `prune` says otherwise, and ids in are ids out plus rejects, always checked.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.documents import as_text, expect, fits, read_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models.recogniser import check_language
from dailytalk_contiguous.pipelines import TagSettings, measure_stages
from dailytalk_contiguous.run import local
from dailytalk_contiguous.run.events import Account, Journal
from dailytalk_contiguous.run.local import use_device
from dailytalk_contiguous.run.outputs import ABOUT_CORPUS, rejects_by_reason, write_outputs
from dailytalk_contiguous.run.runner import Runner
from dailytalk_contiguous.run.shard import Progress, build_shard
from dailytalk_contiguous.shards import (
    PLANNING_COLUMNS,
    compress_row,
    drop_stale,
    expand_row,
    group,
    index,
    read_entries,
    read_rows,
    shard_path,
)
from dailytalk_contiguous.sources.folder import MAX_CONVERSATION, FolderConfig, folder_rows
from dailytalk_contiguous.sources.hub_repository import HubChoice, Repository, fetch, made_folders, repository_of
from dailytalk_contiguous.sources.people import People, people_of, read_people
from dailytalk_contiguous.sources.recordings import AUDIO_SUFFIXES, LeftOut
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.style import Bucket, corpus_of
from dailytalk_contiguous.store.files import inside

#: Folder of the shards inside a work folder.
TAGGED = "tagged"

_ELSEWHERE = "choose a folder that you may write to"


@dataclass(frozen=True)
class TagOptions:
    """How a run is carried out; none of it changes what comes out.

    Attributes:
        workers: processes. shard: (i, N) makes only every N-th shard, beginning with the i-th (from 1).
        shard_seconds: audio a shard. batch_seconds: audio that a batch of conversations may hold on CUDA.
        prune: whether results of recordings that are not in the input any more may be dropped.
        runner: which engine makes the shards, and where they are kept.
    """

    workers: int = 1
    shard: tuple[int, int] = (1, 1)
    shard_seconds: float = 600.0
    batch_seconds: float = 900.0
    prune: bool = False
    runner: Runner = field(default_factory=Runner)


@dataclass(frozen=True)
class TagOutcome:
    """What a run did.

    Attributes:
        record: what run.json holds, or None while shards of other hosts are missing.
        problems: recordings that the source could not use.
        n_shards, n_made, n_missing: shards in all, made by this run, and still missing after it.
        audio_seconds: of the conversations that this run worked on. wall_seconds: what it took.
        account: where these seconds went.
    """

    record: dict[str, Any] | None
    problems: list[Reject]
    n_conversations: int
    n_shards: int
    n_made: int
    n_missing: int
    audio_seconds: float
    wall_seconds: float
    account: Account


@dataclass(frozen=True)
class FoundRecordings:
    """The input: groups of rows that become shards, and what could not be used.

    Rows may be folded (`shards`) but for `AT_HAND`: words that people gave take 4 MB an hour, folded a tenth.

    `source` is where it is from, as far as known: `repository`, `revision` (a commit), `licence`. `people` are the
    speakers by recording id and channel, `strangers` what their table names that is no recording here.
    """

    groups: list[list[Row]]
    problems: list[Reject]
    source: dict[str, Any] = field(default_factory=dict)
    left_out: LeftOut = field(default_factory=LeftOut)
    people: People = field(default_factory=dict)
    strangers: list[str] = field(default_factory=list)

    @property
    def rows(self) -> list[Row]:
        """All conversations, in order."""
        return [row for rows in self.groups for row in rows]


def find(
    inputs: Sequence[str],
    out: Path,
    settings: TagSettings,
    options: TagOptions,
    max_conversation: float = MAX_CONVERSATION,
    transcripts: str | None = None,
    given: bool = True,
    hub: HubChoice | None = None,
    licence: str = "",
    before_fetch: Callable[[Repository], None] = lambda repository: None,
    follow_links: bool = False,
    speakers: Path | None = None,
) -> FoundRecordings:
    """List the conversations of the inputs; `FolderConfig` says what the settings mean.

    Args:
        hub: what is meant of a dataset on the Hub, which is fetched first.
        licence: of the recordings, where no card names it, or names it wrongly.
        before_fetch: told of a dataset on the Hub before any recording of it is fetched.
        follow_links: whether symbolic links may lead out of the inputs.
        speakers: a table that names them (see `sources.people`).

    Raises DailytalkError if an input does not exist, or holds nothing, and if `out` holds recordings.
    """
    refuse_mixing(out)
    named = read_people(speakers) if speakers else {}
    repository = repository_of(inputs, hub or HubChoice())
    fetched = None
    if repository:
        before_fetch(repository)
        fetched = fetch(repository)
    source = repository.about() if repository else _laid_out(inputs)
    source |= {"licence": licence} if licence else {}
    config = FolderConfig(
        inputs=fetched.folders if fetched else tuple(inputs),
        exclude=str(out),
        channel=settings.channel,
        max_conversation=max_conversation,
        transcripts=transcripts,
        given=given,
        follow_links=follow_links,
    )
    rows: list[Row] = []
    recordings: set[tuple[str, str]] = set()
    left_out = LeftOut(made=made_folders(repository.files) if repository else [])
    problems = [*fetched.problems] if fetched else []
    for row in folder_rows(config, left_out):
        recordings.add((row["recording_id"], row["audio_file"]))
        if row["problem"]:
            problems.append(Reject(row["conversation_id"], "Folder", row["problem"], row["remedy"]))
        else:
            rows.append(compress_row(row, PLANNING_COLUMNS))
    if not rows and not problems:
        raise DailytalkError(
            f"there are no recordings in {', '.join(repr(as_text(Path(one))) for one in inputs)}",
            f"name what dailytalk made there to take it: {', '.join(left_out.made[:3])}"
            if left_out.made
            else "name a folder of WAV, FLAC, OGG, MP3 or Opus files",
        )
    people, strangers = people_of(named, recordings)
    return FoundRecordings(list(group(rows, options.shard_seconds)), problems, source, left_out, people, strangers)


def _laid_out(inputs: Sequence[str]) -> dict[str, Any]:
    """Whose recordings they are, if `dailytalk corpus --as conversations` wrote the one folder that is given."""
    path = Path(inputs[0]) / ABOUT_CORPUS
    if len(inputs) > 1 or not path.is_file():
        return {}
    try:
        about = expect(read_json(inside(path.parent, path.name)), {"count_check": list}, ABOUT_CORPUS)
    except BadInput:  # somebody else's file
        return {}
    return {
        name: about[name] for name in ("name", "licence", "citation", "homepage") if fits(about.get(name), str)
    }


def tag_recordings(
    found: FoundRecordings,
    out: Path,
    settings: TagSettings,
    options: TagOptions,
    about: dict[str, Any],
    progress: Progress = lambda stage, audio, wall: None,
    planned: local.Planned = lambda plan, forecast: None,
) -> TagOutcome:
    """Make what is missing in `out` and, once all shards stand, write the transcript, rejects and record.

    Args:
        found: the conversations.
        out: the work folder; created if need be.
        settings: what to compute. options: how.
        about: goes into run.json as it is.
        progress: told of every stage of every batch. planned: told what is left to do, before it is done.
    """
    started = time.perf_counter()
    with Journal(out, "tag", settings, about.get("command", ""), options.shard, options.workers) as journal:
        folder = out / TAGGED
        _refuse_to_lose(folder, found, options.prune)
        stages = measure_stages(settings) if settings.buckets == "robust" else settings.stages()
        made, plan = _make(folder, found, stages, settings, options, progress, planned, journal)
        if settings.buckets == "robust" and not _missing(folder, found, stages):
            stages = settings.stages(corpus_of(_measures(plan.paths)))
            more, plan = _make(folder, found, stages, settings, options, progress, planned, journal)
            made |= more
        missing = _missing(folder, found, stages)
        record = None
        if not missing:
            _check_balance(plan.paths, found)
            paths = plan.paths or [without_rows(folder, stages)]
            told = about | ({"source": found.source} if found.source else {}) | {"settings": settings.told()}
            told["time"] = journal.account.as_dict()
            record = write_outputs(out, paths, stages, found.problems, told, found.people)
            journal.rejects = rejects_by_reason(out)
            drop_stale(folder, paths)  # now that all rows stand elsewhere
    return TagOutcome(
        record,
        found.problems,
        len(found.rows),
        len(plan.paths),
        len(made),
        missing,
        sum(sum(row["duration"] for row in rows) for rows in made.values()),
        time.perf_counter() - started,
        journal.account,
    )


def intended_tag(
    found: FoundRecordings, out: Path, settings: TagSettings, options: TagOptions
) -> tuple[local.RunPlan, tuple[Stage, ...]]:
    """What `tag` would do: its plan and all its stages. Writes and downloads nothing.

    Raises DailytalkError for whatever `tag` would refuse before its first shard.
    """
    folder = out / TAGGED
    _refuse_to_lose(folder, found, options.prune)
    stages = settings.stages()
    known = stages
    if settings.buckets == "robust":
        known = measure_stages(settings)
        plan = local.plan_run(folder, found.groups, known)
        if not plan.tasks:
            known = stages = settings.stages(corpus_of(_measures(plan.paths)))
    plan = own_shards(local.plan_run(folder, found.groups, known), options.shard)
    _refuse_unfit(plan, known, settings, options.runner, fetch=False)
    refuse_unwritable(folder)
    return plan, stages


def _refuse_unfit(
    plan: local.RunPlan, stages: Sequence[Stage], settings: TagSettings, runner: Runner, fetch: bool = True
) -> None:
    """Raise DailytalkError if stages that are left can't run, or the recogniser can't hear what it would get."""
    if not plan.tasks:
        return
    left = stages[plan.first_stage :]
    runner.preflight(left, settings.device, fetch)
    if any("recogniser" in stage.models() for stage in left):
        try:
            check_language(settings.recogniser, settings.language)
        except DailytalkError:
            # Where people transcribed all of it, there is nothing to hear.
            if not all(expand_row(row).get("given") for task in plan.tasks for row in task.rows):
                raise


def own_shards(plan: local.RunPlan, shard: tuple[int, int]) -> local.RunPlan:
    """The part of a plan that host i of N makes: every N-th shard, by its place among all."""
    number, count = shard
    mine = set(plan.paths[number - 1 :: count])
    return replace(plan, tasks=[task for task in plan.tasks if task.path in mine])


def _make(
    folder: Path,
    found: FoundRecordings,
    stages: Sequence[Stage],
    settings: TagSettings,
    options: TagOptions,
    progress: Progress,
    planned: local.Planned,
    journal: Journal,
) -> tuple[dict[Path, list[Row]], local.RunPlan]:
    plan = own_shards(local.plan_run(folder, found.groups, stages), options.shard)
    planned(plan, journal.forecast)
    runner, device = options.runner, settings.device
    _refuse_unfit(plan, stages, settings, runner)
    make_writable(folder)
    journal.planned(plan, sum(row["duration"] for row in found.rows), [stage.name for stage in stages])
    rows = {task.path: task.rows for task in plan.tasks}
    networks = plan.tasks and use_device(stages) and runner.on_cuda(device)
    batch_seconds = options.batch_seconds if networks else 0.0
    run = runner.run(plan, stages, options.workers, batch_seconds, journal.telling(progress), journal.made, device)
    return {path: rows[path] for path in run}, plan


def _refuse_to_lose(folder: Path, found: FoundRecordings, prune: bool) -> None:
    """Raise DailytalkError if the folder holds recordings that this input does not."""
    here = {row["recording_id"] for row in found.rows} | {problem.id for problem in found.problems}
    gone = sorted({entry.recording_id for _, entry in index(folder).values()} - here) if folder.exists() else []
    if gone and not prune:
        shown = ", ".join(map(repr, gone[:3])) + (", …" if len(gone) > 3 else "")
        raise DailytalkError(
            f"--out {as_text(folder.parent)!r} holds results of {counted(len(gone), 'recording')} "
            f"not in this input ({shown})",
            "choose another --out, or pass --prune to drop them",
        )


def refuse_mixing(out: Path) -> None:
    """Raise DailytalkError if results would lie among recordings: the next run would take them for transcripts."""
    if out.is_dir() and any(path.suffix.lower() in AUDIO_SUFFIXES for path in out.iterdir()):
        raise DailytalkError(f"--out {as_text(out)!r} holds recordings", "choose a folder for the results alone")


def make_writable(folder: Path) -> None:
    """Create the folder of the shards. Raises DailytalkError if nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = (error.strerror or "it can't be created").lower()
        raise DailytalkError(f"--out {as_text(folder.parent)!r} can't be used ({why})", _ELSEWHERE) from error
    refuse_unwritable(folder)


def refuse_unwritable(folder: Path) -> None:
    """Raise DailytalkError if nothing can be written to a folder of shards, or it can't be created."""
    above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise DailytalkError(f"--out {as_text(folder.parent)!r} can't be written to", _ELSEWHERE)


def without_rows(folder: Path, stages: Sequence[Stage]) -> Path:
    """A shard with no rows: without any, `load_dataset` would not open the folder."""
    path = shard_path(folder, [])
    if not path.exists():
        build_shard(path, [], stages, {})
    return path


def _missing(folder: Path, found: FoundRecordings, stages: Sequence[Stage]) -> int:
    return len(local.plan_run(folder, found.groups, stages).tasks)


def _measures(paths: Sequence[Path]) -> Iterator[Row]:
    for path in paths:
        yield from read_rows(path, Bucket.needs).values()


def _check_balance(paths: Sequence[Path], found: FoundRecordings) -> None:
    """Every conversation that went in has a row or a reject. A failure here is a bug, and stops everything."""
    entries = {name: entry for path in paths for name, entry in (read_entries(path) or {}).items()}
    lost = [row["conversation_id"] for row in found.rows if row["conversation_id"] not in entries]
    if lost:
        raise RuntimeError(f"{len(lost)} conversations are neither in the shards nor rejected: {lost[:5]}")
