"""A run that makes variants of finished conversations: their plan, the timing they get, and what is written."""

import hashlib
import json
from collections.abc import Generator, Iterator, Mapping, Set
from pathlib import Path
from typing import Any, NamedTuple

from dailytalk_contiguous.apps.retime.retime import COLUMN, RETIMED, RETIMING, Retime, Retiming, name_of
from dailytalk_contiguous.apps.retime.take_conversation import PLACED, TakeConversation
from dailytalk_contiguous.apps.retime.timing import Timing, timing_of
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.schema import ORIGIN, Row, built
from dailytalk_contiguous.core.records.utterance import FIELDS
from dailytalk_contiguous.machine.audio import audio_at, to_uri
from dailytalk_contiguous.publish.items import SMALL, Items, Shards
from dailytalk_contiguous.run import outputs
from dailytalk_contiguous.run.run import Pass, RunOptions, Spec, refuse_loss
from dailytalk_contiguous.shards import PendingConversation, entries_in, group, read_entries
from dailytalk_contiguous.stages.judge_turn_ends import IF_INSTALLED
from dailytalk_contiguous.store.files import json_document, write_text
from dailytalk_contiguous.store.parquet import open_parquet
from dailytalk_contiguous.store.work_folder import DATASET, RUN, TAGGED, run_json

#: The file of the timing in a folder of variants, by its digest: workers of another run may be reading theirs.
TIMING = "timing-{}.json"


class Variants(NamedTuple):
    """The variants that are made of each conversation.

    Attributes:
        timing: what they get.
        path: the file where `Timing.save` will have written it before the run.
        per_conversation: how many of each.
        seed: of the draws.
        judge: of `stages.judge_turn_ends`.
    """

    timing: Timing
    path: Path
    per_conversation: int = 1
    seed: int = 0
    judge: str = IF_INSTALLED


class RetimeSpec(Spec):
    """Finished conversations into variants of each, with the timing of their corpus or of another.

    Args:
        parents: the conversations.
        out: the folder of the variants.
        variants: what is made of each.
        shard_seconds: of a shard, at most.
        about: goes into run.json as it is.
    """

    kind = "retime"

    def __init__(
        self,
        parents: Shards,
        out: Path,
        variants: Variants,
        shard_seconds: float = RunOptions.shard_seconds,
        about: Mapping[str, object] = {},
    ) -> None:
        self.parents = parents
        self.out = out
        self.timing = variants.timing
        self.variants = variants.per_conversation
        self.about = about
        self.rejects = list[Reject]()
        self.fields = (*parents.fields, COLUMN, ORIGIN)
        retime = Retime(to_uri(variants.path), seed=variants.seed, judge=variants.judge)
        self.stages = (TakeConversation(parents.fields), retime)
        kept_columns = built((*FIELDS, *self.fields))
        groups = list(group(map(PendingConversation.of_row, self._rows()), shard_seconds))
        self._pass = Pass(out / DATASET, groups, self.stages, PLACED, kept_columns)

    def _rows(self) -> Iterator[Row]:
        """A row of `PLACED` for each variant of each conversation that can be used; the others are rejected."""
        folder = self.parents.folder
        assert folder is not None
        names: set[str] = set()
        for file in self.parents.files:
            entries = read_entries(file)
            # Its shards say what is in a row's sound; those of others are read for it.
            has_digests = bool(entries) and all(entry.audio for entry in entries.values())
            columns = SMALL if has_digests else (*SMALL, "audio")
            for position, parent in self.parents.rows_of(file, (*columns, ORIGIN.name)):
                name = parent["conversation_id"]
                audio = parent.pop("audio", None) or {}
                sound = audio.get("bytes") or b""
                entry = entries.get(name)
                digest = entry.audio if entry else ""
                parent["sound"] = digest or hashlib.sha256(sound).hexdigest()
                reject = self._reject(parent, names)
                if reject is not None:
                    self.rejects.append(reject)
                    continue
                names.add(name)
                content = json.dumps(parent, sort_keys=True, default=str)
                input_digest = hashlib.sha256(content.encode()).hexdigest()[:20]
                for variant in range(1, self.variants + 1):
                    yield {
                        "conversation_id": name_of(name, variant),
                        "recording_id": parent["recording_id"],
                        "audio": audio_at(Path(file)),
                        "duration": parent["duration"],
                        "input_digest": input_digest,
                        "parent": name,
                        "variant": variant,
                        "folder": to_uri(folder.absolute()),
                        "row_group": position.group,
                        "row_number": position.number,
                    }

    def _reject(self, parent: Row, names: Set[str]) -> Reject | None:
        """The reject of a conversation that can't be used, by the `names` of those before it; None if it can."""
        name = parent["conversation_id"]
        problem = parent["problem"]
        remedy = parent["remedy"]
        if not problem and from_finished(parent).parent != name:
            problem = "it is a variant already"
            remedy = "name the folder that it was made from"
        if not problem and name in names:
            problem = "another conversation has its id"
            remedy = "give each an id of its own"
        if not problem:
            return None
        return Reject(name, "TakeConversation", problem, remedy)

    def check(self, options: RunOptions) -> None:
        """Raise DailytalkError if `out` has other results, or variants of what is not in the input any more."""
        run = run_json(self.out)
        is_other = bool(run) and RETIMED not in run
        if not run:  # a run that was stopped leaves variants, and no run.json
            for path in (self.out / DATASET).glob("*.parquet"):
                with open_parquet(path, "delete it, or choose another --out") as file:
                    if RETIMING not in file.schema.names:
                        is_other = True
        if is_other or (self.out / TAGGED).exists():
            raise DailytalkError(f"--out {as_text(self.out)!r} holds other results", "choose another folder")
        if options.prune:
            return
        names: set[str] = set()
        for conversations in self._pass.groups:
            names.update(pending.id for pending in conversations)
        lost = entries_in(self.out / DATASET).keys() - names
        refuse_loss(self.out, lost, "variant")

    def passes(self, options: RunOptions) -> Generator[Pass]:
        yield self._pass

    def close(self) -> None:
        for path in self.out.glob(TIMING.format("*")):
            if path.name != TIMING.format(self.timing.digest):
                path.unlink(missing_ok=True)

    def write(self, time_spent: Mapping[str, object]) -> dict[str, Any]:
        parents_run = run_json(self.parents.folder) if self.parents.folder else {}
        run: dict[str, Any] = {}
        for name, value in parents_run.items():
            if name in ("models", "source", "version"):
                run[name] = value
        n_transitions = 0
        n_drawn = 0
        for row in self._pass.rows([RETIMING]):
            retiming: Retiming = row[RETIMING]
            for event in retiming["events"]:
                n_transitions += 1
                if event["drawn"]:
                    n_drawn += 1
        retimed = {
            "of": self.parents.name,
            "target": self.timing.target,
            "variants": self.variants,
            "transitions": n_transitions,
            "drawn": n_drawn,
        }
        run[RETIMED] = retimed
        write_text(self.out / RUN, json_document(run_json(self.out) | run))
        about = {**self.about, "time": time_spent}
        half = outputs.FinishedHalf(
            out=self.out,
            paths=self._pass.paths,
            stages=self.stages,
            rejects=[*self.rejects],
            about=about,
            fields=self.fields,
            spoken=True,
        )
        record = outputs.write_results(half)
        return {**record, RETIMED: retimed}


#: Columns that a timing is made from.
_TIMED = ("conversation_id", "duration", "source_duration", "utterances", "alignments", "sounds")


def timing_for(parents: Items, like: Items | None) -> Timing:
    """The timing that the conversations of `parents` get: that of `like`, or their own."""
    rows = parents.rows(_TIMED)
    if like is None:
        return timing_of(rows, parents.name)
    return timing_of(rows, like.name, like.rows(_TIMED))
