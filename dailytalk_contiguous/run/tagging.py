"""The first half of the product: from recordings to a tagged transcript, one run of it.

Finds the conversations, compares the shards with what they should be, makes what is missing, and writes the
outputs once everything is finished. A run never loses anything: results of recordings that are not in the input
are kept unless `prune` is set, and the ids that go in are those that come out plus rejects, always checked.
"""

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.run.run import Pass, RunOptions, Spec, refuse_loss, refuse_mixing
from dailytalk_contiguous.shards import compress_row, group
from dailytalk_contiguous.sources.addresses import HubChoice
from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows
from dailytalk_contiguous.sources.recordings import LeftOut
from dailytalk_contiguous.stages.base import PerUtterance, Stage, published_by
from dailytalk_contiguous.stages.style import Bucket
from dailytalk_contiguous.store.work_folder import RATED, TAGGED

if TYPE_CHECKING:
    from dailytalk_contiguous.sources.hub_repository import Repository
    from dailytalk_contiguous.sources.people import People


@dataclass(frozen=True)
class FoundRecordings:
    """The input: groups of rows that become shards, and rejects.

    Rows may be compressed (`shards`) except for `PLANNING_COLUMNS`: the words of transcripts take 4 MB an hour,
    and a tenth of that compressed.

    `source` is where it is from, as far as known: `repository`, `revision` (a commit), `licence`. `people` are the
    speakers by recording id and channel, `unmatched_names` the names in their table that are no recordings of the
    input. `n_transcribed` recordings have a transcript.
    """

    groups: list[list[Row]]
    problems: list[Reject]
    source: dict[str, Any] = field(default_factory=dict)
    left_out: LeftOut = field(default_factory=LeftOut)
    people: "People" = field(default_factory=dict)
    unmatched_names: list[str] = field(default_factory=list)
    n_transcribed: int = 0

    @property
    def rows(self) -> list[Row]:
        return [row for rows in self.groups for row in rows]


#: Recordings with both sides, cut and transcribed as `tag` does by default.
BOTH_SIDES = FolderConfig()


def find(
    inputs: Sequence[str],
    out: Path | None,
    config: FolderConfig = BOTH_SIDES,
    shard_seconds: float = RunOptions.shard_seconds,
    hub: HubChoice = HubChoice(),
    licence: str = "",
    before_fetch: "Callable[[Repository], None]" = lambda repository: None,
    speakers: Path | None = None,
) -> FoundRecordings:
    """List the conversations of the inputs.

    Args:
        out: the folder that results are written to, which is not searched; None for none.
        config: how recordings become conversations; its `inputs` are not used.
        shard_seconds: audio of a shard.
        hub: which part of a dataset on the Hub is meant; it is fetched first.
        licence: of the recordings, if no card names it, or names it wrongly.
        before_fetch: called with a dataset on the Hub before any recording of it is fetched.
        speakers: a table that names them (see `sources.people`).

    Raises DailytalkError if an input does not exist, if there are no recordings, and if `out` holds some.
    """
    if out is not None:
        refuse_mixing(out)
    named: People = {}
    if speakers:
        from dailytalk_contiguous.sources.people import people_of, read_people

        named = read_people(speakers)
    repository = None
    fetched = None
    if hub.options() or not all(map(os.path.lexists, inputs)):
        from dailytalk_contiguous.sources import hub_audio_files, hub_fetch, hub_repository

        repository = hub_repository.repository_of(inputs, hub)
    if repository:
        before_fetch(repository)
        fetched = hub_fetch.fetch(repository)
    source = repository.about() if repository else {}
    source |= {"licence": licence} if licence else {}
    folders = fetched.folders if fetched else tuple(inputs)
    config = replace(config, inputs=folders, exclude=None if out is None else str(out))
    rows: list[Row] = []
    recordings: set[tuple[str, str]] = set()
    left_out = LeftOut(made=hub_audio_files.made_folders(repository.files) if repository else [])
    problems = [*fetched.problems] if fetched else []
    transcribed = set[str]()
    for row in steps("conversations found", folder_rows(config, left_out)):
        recordings.add((row["recording_id"], row["audio_file"]))
        if row["problem"]:
            problems.append(Reject(row["conversation_id"], "Folder", row["problem"], row["remedy"]))
            continue
        if row["transcripts"]:
            transcribed.add(row["recording_id"])
        rows.append(compress_row(row))
    if not rows and not problems:
        raise DailytalkError(
            f"there are no recordings in {', '.join(repr(as_text(Path(address))) for address in inputs)}",
            f"name what dailytalk made there to take it: {', '.join(left_out.made[:3])}"
            if left_out.made
            else "name a folder of WAV, FLAC, OGG, MP3 or Opus files",
        )
    people, unmatched_names = people_of(named, recordings) if named else ({}, [])
    groups = list(group(rows, shard_seconds))
    return FoundRecordings(groups, problems, source, left_out, people, unmatched_names, len(transcribed))


class TagSpec(Spec):
    """Recordings into tagged utterances, as a transcript that people may edit.

    Work is kept in two folders: what models have recognised and rated, before `Bucket`, and all of it. A stage
    that must know all rows first (`Stage.unfitted`) is fitted once the stages before it are done for all rows.

    Args:
        recordings: the conversations. out: the work folder; created if need be.
        stages: from `Segment` to tagged utterances. about: goes into run.json as it is.

    Raises DailytalkError as `published_by` does.
    """

    kind = "tag"

    def __init__(
        self, recordings: FoundRecordings, out: Path, stages: Sequence[Stage], about: Mapping[str, Any] = {}
    ) -> None:
        published_by(stages)  # a field that clashes is found before any work
        self.recordings = recordings
        self.out = out
        self.stages = tuple(stages)
        self.about = about
        self.rejects = [*recordings.problems]

    def check(self, options: RunOptions) -> None:
        refuse_to_lose(self._pass, self.recordings, options.prune)

    def passes(self, options: RunOptions) -> Generator[Pass]:
        for number, stage in enumerate(self.stages):
            if stage.unfitted:
                before = self.stages[:number]
                later = self.stages[number + 1 :]
                step = Pass(self.out / RATED, self.recordings.groups, before, later=later)
                yield step
                self.stages = (*before, stage.fit(step.rows(stage.needs)), *later)
        yield self._pass

    @property
    def _pass(self) -> Pass:
        """The pass that tags, whose rows are kept before `Bucket`, too.

        They are not where a stage after it, such as a person's own, needs what is too heavy to be kept.
        """
        stages = self.stages
        inner = [stage.stage if isinstance(stage, PerUtterance) else stage for stage in stages]
        n_dear = next((number for number, stage in enumerate(inner) if isinstance(stage, Bucket)), 0)
        heavy = {name for stage in stages[:n_dear] for name in stage.transient}
        is_kept = heavy.isdisjoint(name for stage in stages[n_dear:] for name in (*stage.needs, *stage.uses))
        halfway = (self.out / RATED, n_dear) if n_dear and is_kept else None
        return Pass(self.out / TAGGED, self.recordings.groups, stages, halfway=halfway)

    def write(self, time_spent: Mapping[str, Any]) -> dict[str, Any]:
        from dailytalk_contiguous.run.outputs import write_results  # here: it is for the end, and imports much

        source = {"source": self.recordings.source} if self.recordings.source else {}
        return write_results(
            self.out,
            self._pass.paths,
            self.stages,
            self.rejects,
            {**self.about, **source, "time": time_spent},
            published_by(self.stages),
            people=self.recordings.people,
        )


def refuse_to_lose(step: Pass, recordings: FoundRecordings, prune: bool) -> None:
    """Raise DailytalkError if the folder of a pass holds recordings that this input does not."""
    here = {row["recording_id"] for row in recordings.rows} | {problem.id for problem in recordings.problems}
    if not prune:
        gone = step.gone(here, lambda _, entry: entry.recording_id)
        refuse_loss(step.folder.parent, gone, "recording")
