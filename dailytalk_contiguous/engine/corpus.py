"""An expressive corpus, from its files to finished clips and a training folder: one run of it.

Two passes with the shards, digests and resume of tagging: every clip is measured as it came; then, with all of
them known, what is kept is conditioned and copied. Ids in are ids out plus rejects, always checked.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.quality import NAMES
from dailytalk_contiguous.core.schema import AFFECT, PROSODY, SOURCE
from dailytalk_contiguous.engine import local
from dailytalk_contiguous.engine.build import Progress
from dailytalk_contiguous.engine.corpus_describe import describe
from dailytalk_contiguous.engine.corpus_outputs import write_outputs
from dailytalk_contiguous.engine.corpus_plan import Planned, plan, sift
from dailytalk_contiguous.engine.corpus_source import Read
from dailytalk_contiguous.engine.corpus_stages import CLIPS, MEASURED, CorpusSettings, finishing, measuring, staged
from dailytalk_contiguous.engine.events import Journal
from dailytalk_contiguous.engine.outputs import rejected
from dailytalk_contiguous.engine.runner import Runner
from dailytalk_contiguous.engine.tagging import make_writable, without_rows
from dailytalk_contiguous.shards import Row, drop_stale, group, read_entries, read_rows
from dailytalk_contiguous.stages.base import Stage

#: Seconds of audio a shard: about 200 acted lines.
SHARD_SECONDS = 500.0

#: Audio that a batch of clips may hold on CUDA.
BATCH_SECONDS = 300.0

#: Columns of the measured shards that planning needs.
_MEASURED = ("heard", "words", "text_raw", "text_source", "word_source", *NAMES, *PROSODY, *AFFECT)


@dataclass(frozen=True)
class Outcome:
    """What a run did.

    Attributes:
        record: what run.json holds; None if only a report was asked for.
        measured: all clips that could be measured. kept: those within the limits.
        rejects: of clips, from all stages. n_made: shards that this run made.
    """

    record: dict[str, Any] | None
    measured: list[Row]
    kept: list[Row]
    rejects: list[Reject]
    n_made: int
    wall_seconds: float

    @property
    def n_clips(self) -> int:
        """Clips that are finished, without copies; of a report those that would be kept."""
        return len(self.kept) if self.record is None else int(self.record["counts"]["clips"])


@dataclass(frozen=True)
class Options:
    """How a run is carried out.

    Attributes:
        workers: processes. text_conditions: whether annotations condition on emotion and style.
        report_only: measure, and tell what would be kept.
    """

    workers: int = 1
    text_conditions: bool = False
    report_only: bool = False


@dataclass
class _Run:
    """What the passes of a run share."""

    out: Path
    options: Options
    progress: Progress
    planned: local.Planned
    journal: Journal
    n_made: int = field(default=0)

    def make(
        self,
        folder: Path,
        rows: Sequence[Row],
        stages: Sequence[Stage],
        later: Sequence[Stage] = (),
        device: str = "cpu",
    ) -> list[Path]:
        """Make what is missing of the shards of `rows`; their files, in order.

        `later`: stages that must be able to run, too, before anything is made. `device`: where networks run. On
        CUDA a model's batch spans clips, and a recogniser's window those of a speaker.
        """
        todo = local.plan(folder, list(group(rows, SHARD_SECONDS)), stages)
        self.planned(todo, self.journal.forecast)
        if todo.tasks:
            Runner().preflight((*stages, *later), device)
        make_writable(folder)
        self.journal.planned(todo, sum(row["duration"] for row in rows), [stage.name for stage in stages])
        batch_seconds = BATCH_SECONDS if todo.tasks and Runner().on_cuda(device) else 0.0
        made = local.run(
            todo,
            stages,
            self.options.workers,
            batch_seconds,
            self.journal.telling(self.progress),
            self.journal.made,
        )
        self.n_made += sum(1 for _ in made)
        return todo.paths


def build_corpus(
    read: Read,
    out: Path,
    settings: CorpusSettings,
    options: Options = Options(),
    about: Mapping[str, Any] | None = None,
    stages: tuple[Sequence[Stage], Sequence[Stage]] | None = None,
    progress: Progress = lambda stage, audio, wall: None,
    planned: local.Planned = lambda plan, forecast: None,
) -> Outcome:
    """Measure, plan, finish and write the clips of a corpus into `out`.

    Args:
        read: from `read_corpus`. out: the work folder; created if need be.
        settings: what to compute. options: how.
        about: goes into run.json as it is.
        stages: the two lists, measuring and finishing; by default those of `settings`, and else they decide.
        progress, planned: told of every stage of every batch, and before each pass of what is left to do.

    Raises DailytalkError if settings contradict each other, or the stages (see `staged`).
    """
    started = time.perf_counter()
    first, second = stages or (measuring(settings), finishing(settings))
    settings = staged(settings, (*first, *second)).for_corpus(read.name)
    settings.check()
    about = dict(about or {})
    make_writable(out / MEASURED)
    with Journal(out, "corpus", settings, about.get("command", ""), workers=options.workers) as journal:
        run = _Run(out, options, progress, planned, journal)
        sources = [_source_row(row) for row in read.rows]
        device = settings.device if settings.has_networks else "cpu"
        paths = run.make(out / MEASURED, sources, first, second, device)
        measured, rejects = _measured(paths, read.rows)
        described = describe(measured, settings.affect, settings.keep)
        kept, sifted = sift(described, settings)
        rejects = [*read.problems, *rejects, *sifted]
        if options.report_only:
            drop_stale(out / MEASURED, paths or [without_rows(out / MEASURED, first)])
            return Outcome(None, described, kept, rejects, run.n_made, time.perf_counter() - started)
        todo = plan(kept, settings)
        made = run.make(out / CLIPS, todo.rows, second) or [without_rows(out / CLIPS, second)]
        finished, failed = _ids(made)
        rejects += [*todo.rejects, *failed]
        _check_balance(read, todo, finished, rejects)
        about |= {"settings": settings.told()}
        record = write_outputs(out, made, (*first, *second), read, todo, rejects, about, options.text_conditions)
        journal.rejects = rejected(out)
        drop_stale(out / MEASURED, paths or [without_rows(out / MEASURED, first)])
        drop_stale(out / CLIPS, made)
    return Outcome(record, described, kept, rejects, run.n_made, time.perf_counter() - started)


def _source_row(row: Row) -> Row:
    """A clip as shards take it: a conversation of its own, with the columns that stages ask for."""
    own: Row = dict.fromkeys(SOURCE) | {name: row[name] for name in SOURCE if name in row}
    own |= {"conversation_id": row["id"], "recording_id": row["id"], "offset": 0.0, "given": []}
    own |= {"audio_identity": row["input_digest"], "id": row["id"]}
    return own | {name: row[name] for name in ("text", "language", "speaker")}


def _measured(paths: Sequence[Path], rows: Sequence[Row]) -> tuple[list[Row], list[Reject]]:
    """Rows of the source with what was measured of them, and rejects of the others."""
    told = {row["id"]: row for row in rows}
    found: dict[str, Row] = {}
    rejects = []
    for path in paths:
        for name, row in read_rows(path, _MEASURED).items():
            found[name] = told[name] | dict.fromkeys(AFFECT) | {key: row[key] for key in row if key in _MEASURED}
        rejects += [entry.reject for entry in (read_entries(path) or {}).values() if entry.reject]
    return [found[row["id"]] for row in rows if row["id"] in found], rejects


def _ids(paths: Sequence[Path]) -> tuple[set[str], list[Reject]]:
    entries = {name: entry for path in paths for name, entry in (read_entries(path) or {}).items()}
    rejects = [entry.reject for entry in entries.values() if entry.reject]
    return set(entries) - {reject.id for reject in rejects}, rejects


def _check_balance(read: Read, planned: Planned, finished: set[str], rejects: Sequence[Reject]) -> None:
    """Every clip and every copy is finished or rejected, once. A failure here is a bug, and stops everything."""
    copies = {row["id"] for row in planned.rows if row["augmented_from"] is not None}
    went_in = [*(row["id"] for row in read.rows), *(problem.id for problem in read.problems), *copies]
    came_out = [*finished, *(reject.id for reject in rejects)]
    if sorted(went_in) != sorted(came_out):
        lost, extra = sorted(set(went_in) - set(came_out))[:5], sorted(set(came_out) - set(went_in))[:5]
        raise RuntimeError(f"{len(went_in)} clips went in, {len(came_out)} came out: lost {lost}, extra {extra}")
