"""A run that makes variants of finished conversations: their plan, the timing they get, and what is written."""

import hashlib
import json
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

from datasets import Features

from dailytalk_contiguous.apps.retime.retime import COLUMN, RETIMED, RETIMING, Retime, name_of
from dailytalk_contiguous.apps.retime.take_conversation import PLACED, TakeConversation
from dailytalk_contiguous.apps.retime.timing import Timing, timing_of
from dailytalk_contiguous.core.audio import to_uri
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.core.schema import ORIGIN, Row, built, parent_of
from dailytalk_contiguous.core.utterance import FIELDS
from dailytalk_contiguous.publish.items import SMALL, Items, Shards
from dailytalk_contiguous.run import outputs
from dailytalk_contiguous.run.run import Pass, RunOptions, Spec, refuse_loss
from dailytalk_contiguous.shards import entries_in, group, read_entries
from dailytalk_contiguous.stages.judge_turn_ends import IF_INSTALLED
from dailytalk_contiguous.store.files import json_document, write_text
from dailytalk_contiguous.store.parquet import open_parquet
from dailytalk_contiguous.store.work_folder import DATASET, RUN, TAGGED, read_run

#: The file of the timing in a folder of variants, by its digest: workers of another run may be reading theirs.
TIMING = "timing-{}.json"

#: The key of run.json that says what they are variants of.

#: Columns that a timing is made from.
_TIMED = ("conversation_id", "duration", "source_duration", "utterances", "alignments", "sounds")


class RetimeSpec(Spec):
    """Finished conversations into variants of each, with the timing of their corpus or of another.

    Args:
        parents: the conversations. out: the folder of the variants.
        timing: what they get, and `path` the file where `Timing.save` will have written it before the run.
        variants: how many of each. seed: of the draws.
        about: goes into run.json as it is.
        judge: of `stages.judge_turn_ends`.
    """

    kind = "retime"

    def __init__(
        self,
        parents: Shards,
        out: Path,
        timing: Timing,
        path: Path,
        variants: int = 1,
        seed: int = 0,
        shard_seconds: float = RunOptions.shard_seconds,
        about: Mapping[str, Any] = {},
        judge: str = IF_INSTALLED,
    ) -> None:
        self.parents = parents
        self.out = out
        self.timing = timing
        self.variants = variants
        self.about = about
        self.rejects = list[Reject]()
        self.fields = (*parents.fields, COLUMN, ORIGIN)
        self.stages = (TakeConversation(parents.fields), Retime(to_uri(path), seed=seed, judge=judge))
        keeps = Features({**built((*FIELDS, *self.fields))})
        groups = list(group(self._rows(), shard_seconds))
        self._pass = Pass(out / DATASET, groups, self.stages, PLACED, keeps)

    def _rows(self) -> Iterator[Row]:
        folder = self.parents.folder
        assert folder is not None
        taken: set[str] = set()
        for file in self.parents.files:
            entries = read_entries(file)
            # Its shards say what is in a row's sound; those of others are read for it.
            columns = SMALL if all(entry.audio for entry in entries.values()) and entries else (*SMALL, "audio")
            for place, parent in self.parents.rows_of(file, (*columns, ORIGIN.name)):
                name = parent["conversation_id"]
                sound = (parent.pop("audio", None) or {}).get("bytes") or b""
                entry = entries.get(name)
                heard = entry.audio if entry else ""
                parent["sound"] = heard or hashlib.sha256(sound).hexdigest()
                problem = parent["problem"]
                remedy = parent["remedy"]
                if not problem and parent_of(parent) != name:
                    problem = "it is a variant already"
                    remedy = "name the folder that it was made from"
                if not problem and name in taken:
                    problem = "another conversation has its id"
                    remedy = "give each an id of its own"
                if problem:
                    self.rejects.append(Reject(name, "TakeConversation", problem, remedy))
                    continue
                taken.add(name)
                content = json.dumps(parent, sort_keys=True, default=str)
                for variant in range(1, self.variants + 1):
                    yield {
                        "conversation_id": name_of(name, variant),
                        "recording_id": parent["recording_id"],
                        "audio": {"bytes": None, "path": to_uri(Path(file).absolute())},
                        "duration": parent["duration"],
                        "input_digest": hashlib.sha256(content.encode()).hexdigest()[:20],
                        "parent": name,
                        "variant": variant,
                        "folder": to_uri(folder.absolute()),
                        "row_group": place.group,
                        "row_number": place.number,
                    }

    def check(self, options: RunOptions) -> None:
        """Raise DailytalkError if `out` has other results, or variants of what is not in the input any more."""
        run = read_run(self.out)
        is_other = run is not None and RETIMED not in run
        if run is None:  # of a run that was stopped there are variants alone
            for path in (self.out / DATASET).glob("*.parquet"):
                with open_parquet(path, "delete it, or choose another --out") as file:
                    is_other |= RETIMING not in file.schema.names
        if is_other or (self.out / TAGGED).exists():
            raise DailytalkError(f"--out {as_text(self.out)!r} holds other results", "choose another folder")
        here = {row["conversation_id"] for rows in self._pass.groups for row in rows}
        if not options.prune:
            refuse_loss(self.out, entries_in(self.out / DATASET).keys() - here, "variant")

    def passes(self, options: RunOptions) -> Generator[Pass]:
        yield self._pass

    def close(self) -> None:
        for path in self.out.glob(TIMING.format("*")):
            if path.name != TIMING.format(self.timing.digest):
                path.unlink(missing_ok=True)

    def write(self, time_spent: Mapping[str, Any]) -> dict[str, Any]:
        of_parents = read_run(self.parents.folder) if self.parents.folder else None
        run = {
            name: value for name, value in (of_parents or {}).items() if name in ("models", "source", "version")
        }
        events = [event for row in self._pass.rows([RETIMING]) for event in row[RETIMING]["events"]]
        run[RETIMED] = {
            "of": self.parents.name,
            "target": self.timing.target,
            "variants": self.variants,
            "transitions": len(events),
            "drawn": sum(event["drawn"] for event in events),
        }
        write_text(self.out / RUN, json_document((read_run(self.out) or {}) | run))
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
        return {**record, RETIMED: run[RETIMED]}


def timing_for(parents: Items, like: Items | None) -> Timing:
    """The timing that the conversations of `parents` get: that of `like`, or their own."""
    return timing_of(parents.rows(_TIMED), (like or parents).name, like.rows(_TIMED) if like else None)
