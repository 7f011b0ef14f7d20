"""The first half of the product: from recordings to a tagged transcript, one run of it.

Finds the conversations, compares the shards with what they should be, makes what is missing, and writes the
outputs once everything is finished. A run never loses anything: results of recordings that are not in the input
are kept unless `prune` is set, and the ids that go in are those that come out plus rejects, always checked.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from dailytalk_contiguous.core.documents import JsonObject, as_text
from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.core.records.fields import Field
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.run.outputs import FinishedHalf, write_results
from dailytalk_contiguous.run.progress import TimeSpent
from dailytalk_contiguous.run.run import Pass, RunOptions, Spec, refuse_loss, refuse_mixing
from dailytalk_contiguous.shards import PendingConversation, group
from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows
from dailytalk_contiguous.sources.hub.published import published_rows
from dailytalk_contiguous.sources.hub.repository import keep_base
from dailytalk_contiguous.sources.inputs import Inputs
from dailytalk_contiguous.sources.people import People, people_of, read_people
from dailytalk_contiguous.sources.recordings.recording_files import LeftOut
from dailytalk_contiguous.stages.base import Stage, published_by
from dailytalk_contiguous.stages.style import Bucket
from dailytalk_contiguous.store.work_folder import RATED, TAGGED


@dataclass(frozen=True)
class FoundRecordings:
    """The input: groups of conversations that become shards, and rejects.

    Attributes:
        groups: the conversations of each shard.
        problems: the recordings that can't be used.
        inputs: the inputs that were searched.
        source: the dataset's `repository`, `revision` (a commit) and `licence`, as far as they are known.
        left_out: files that were skipped.
        people: the speakers by recording id and channel.
        unmatched_names: names in the table of speakers that are no recordings of the input.
        n_transcribed: recordings that have a transcript.
        fields: the fields of a version beside ours; None unless its rows are taken as they were published.
    """

    groups: list[list[PendingConversation]]
    problems: list[Reject]
    inputs: Inputs = field(default_factory=Inputs)
    source: JsonObject = field(default_factory=dict)
    left_out: LeftOut = field(default_factory=LeftOut)
    people: People = field(default_factory=dict)
    unmatched_names: list[str] = field(default_factory=list)
    n_transcribed: int = 0
    fields: tuple[Field, ...] | None = None

    @property
    def conversations(self) -> list[PendingConversation]:
        return [*chain.from_iterable(self.groups)]


#: Recordings with both sides, cut and transcribed as `tag` does by default.
BOTH_SIDES = FolderConfig()


def list_conversations(
    inputs: Inputs,
    out: Path | None,
    config: FolderConfig = BOTH_SIDES,
    shard_seconds: float = RunOptions.shard_seconds,
    licence: str = "",
    speakers: Path | None = None,
    takes_versions: bool = False,
) -> FoundRecordings:
    """List the conversations of the inputs; a dataset on the Hub is downloaded first.

    Args:
        inputs: the inputs to search.
        out: the folder that results are written to, which is not searched; None for none.
        config: the settings by which recordings become conversations; its `inputs` are not used.
        shard_seconds: seconds of audio in a shard; 0 for `shards.seconds_of_a_shard`.
        licence: the licence of the recordings, if no card names it, or names it wrongly.
        speakers: a table that names them (see `sources.people`).
        takes_versions: whether the rows of a version are taken as they were published; otherwise its sound alone.

    Raises DailytalkError if an input does not exist, if there are no recordings, and if `out` holds some.
    """
    if out is not None:
        refuse_mixing(out)
    table = read_people(speakers) if speakers else {}
    fetched = inputs.fetch()
    source = inputs.about()
    if licence:
        source["licence"] = licence
    left_out = inputs.left_out()
    exclude = None if out is None else str(out)
    config = replace(config, inputs=fetched.folders, exclude=exclude)
    problems = [*fetched.problems]
    conversations: list[PendingConversation] = []
    recordings: set[tuple[str, str]] = set()
    transcribed = set[str]()
    fields = fetched.fields if takes_versions else None
    rows = folder_rows(config, left_out)
    if fields is not None:
        rows = published_rows(fetched.folders, fetched.recordings)
    for row in steps("conversations found", rows):
        if table:
            recordings.add((row["recording_id"], row["audio_file"]))
        if row["problem"]:
            problems.append(Reject(row["conversation_id"], "Folder", row["problem"], row["remedy"]))
            continue
        if row["transcripts"]:
            transcribed.add(row["recording_id"])
        conversations.append(PendingConversation.of_row(row))
    if not conversations and not problems:
        names = ", ".join(repr(as_text(Path(path))) for path in inputs.paths)
        remedy = "name a folder of WAV, FLAC, OGG, MP3 or Opus files"
        if left_out.own_results:
            remedy = f"name what dailytalk made there to take it: {', '.join(left_out.own_results[:3])}"
        raise DailytalkError(f"there are no recordings in {names}", remedy)
    people, unmatched_names = people_of(table, recordings)
    return FoundRecordings(
        groups=list(group(conversations, shard_seconds)),
        problems=problems,
        inputs=inputs,
        source=source,
        left_out=left_out,
        people=people,
        unmatched_names=unmatched_names,
        n_transcribed=len(transcribed),
        fields=fields,
    )


class TagSpec(Spec):
    """Recordings into tagged utterances, as a transcript that people may edit.

    Work is kept in two folders: what models have recognised and rated, before `Bucket`, and all of it.

    Args:
        recordings: the conversations.
        out: the work folder; created if need be.
        stages: from `Segment` to tagged utterances.
        about: goes into run.json as it is.

    Raises DailytalkError as `published_by` does.
    """

    kind = "tag"

    def __init__(
        self, recordings: FoundRecordings, out: Path, stages: Sequence[Stage], about: Mapping[str, object] = {}
    ) -> None:
        published_by(stages)  # a field that clashes is found before any work
        self.recordings = recordings
        self.mirrors = recordings.inputs.mirrors
        self.rejects = [*recordings.problems]
        self.out = out
        self.stages = tuple(stages)
        self.about = about
        self._tagged = self._pass

    def check(self, options: RunOptions) -> None:
        refuse_to_lose(self._tagged, self.recordings, options.prune)

    def passes(self, options: RunOptions) -> Generator[Pass]:
        tagged = self._tagged
        if tagged.before is not None:
            yield tagged.pass_before()
        yield tagged

    @property
    def _pass(self) -> Pass:
        """The pass that tags. Before it is one for the stages before `Bucket`, from which other rules can start.

        It is one pass where a stage after them, such as a person's own, needs what is too heavy to be kept.
        """
        stages = self.stages
        tagged = self.out / TAGGED
        groups = self.recordings.groups
        buckets = [number for number, stage in enumerate(stages) if isinstance(stage, Bucket)]
        if not buckets:
            return Pass(tagged, groups, stages)
        n_rated = buckets[0]
        heavy = {name for stage in stages[:n_rated] for name in stage.transient}
        read_later = {name for stage in stages[n_rated:] for name in (*stage.needs, *stage.uses)}
        if n_rated == 0 or heavy & read_later:
            return Pass(tagged, groups, stages)
        rated = Pass(self.out / RATED, groups, stages[:n_rated])
        return Pass(tagged, groups, stages[n_rated:], before=rated)

    def write(self, time_spent: TimeSpent) -> JsonObject:
        about = dict(self.about)
        addresses = self.recordings.inputs.addresses
        if addresses:
            about["recordings"] = [*addresses]
        if self.recordings.source:
            about["source"] = self.recordings.source
        about["time"] = time_spent
        repository = self.recordings.inputs.repository
        if repository:
            keep_base(repository, self.out)
        half = FinishedHalf(
            out=self.out,
            paths=self._tagged.paths,
            stages=self.stages,
            rejects=self.rejects,
            about=about,
            fields=published_by(self.stages),
            people=self.recordings.people,
        )
        return write_results(half)


def refuse_to_lose(step: Pass, recordings: FoundRecordings, prune: bool) -> None:
    """Raise DailytalkError if the folder of a pass holds recordings that this input does not."""
    if prune:
        return
    recording_ids = {pending.recording_id for pending in recordings.conversations}
    rejected_ids = {problem.id for problem in recordings.problems}
    kept = recording_ids | rejected_ids
    others = {entry.recording_id for _, entry in step.other_entries()}
    refuse_loss(step.folder.parent, others - kept, "recording")
