"""An expressive corpus from its archive to its folder: read, measure, choose, finish, write.

Two passes with the shards, digests and resume of tagging: every clip is measured as it came; once all are
measured, those that are kept are conditioned and copied. The ids that go in are always checked to be those that
come out plus rejects.
"""

import json
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from operator import itemgetter
from pathlib import Path
from typing import Any

from datasets import Features

from dailytalk_contiguous.apps.clips.augment import KINDS, Augment
from dailytalk_contiguous.apps.clips.clip_plan import (
    PLANNED,
    ClipPlan,
    PlannedClips,
    describe,
    filter_clips,
    plan_clips,
)
from dailytalk_contiguous.apps.clips.condition import Condition
from dailytalk_contiguous.apps.clips.corpora.corpus import Corpus
from dailytalk_contiguous.apps.clips.corpora.registry import corpus_named
from dailytalk_contiguous.core import figures
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.core.machine import PACKAGES
from dailytalk_contiguous.core.quality import NAMES
from dailytalk_contiguous.core.sampling import noun_of
from dailytalk_contiguous.core.schema import CLIP, LABELLED, SOURCE, Row
from dailytalk_contiguous.core.settings import settings_of
from dailytalk_contiguous.core.utterance import AFFECT, EMOTION_GUESS, PROSODY
from dailytalk_contiguous.publish.clip_folder import export_clips, is_complete
from dailytalk_contiguous.run import outputs
from dailytalk_contiguous.run.outputs import tables_in
from dailytalk_contiguous.run.run import Pass, RunOptions, Spec, refuse_mixing
from dailytalk_contiguous.shards import group, read_rows
from dailytalk_contiguous.stages.base import Stage, find_stage
from dailytalk_contiguous.store import work_folder
from dailytalk_contiguous.store.files import json_document, json_text, refuse_inside, write_text
from dailytalk_contiguous.store.work_folder import CLIPS, DATA, MEASURED

#: The default options of a corpus: on CUDA, a batch of its short lines is shorter than one of conversations.
OPTIONS = RunOptions(batch_seconds=300.0)


@dataclass(frozen=True)
class Read:
    """A corpus after reading: usable rows, rejects of the others, and its count check."""

    corpus: Corpus
    rows: list[Row]
    problems: list[Reject]
    counts: list[str]


def read_corpus(name: str, source: Path, out: Path, agreed_only: bool = False) -> Read:
    """Return the rows of a corpus of clips. Audio files stay where they are.

    Raises DailytalkError for a corpus that has no clips, if `out` is inside the source, holds recordings or
    another corpus, and as `Corpus.rows` does.
    """
    corpus = corpus_named(name)
    refuse_inside(out, source)
    refuse_mixing(out)
    before = work_folder.read_run(out)
    if before:
        held = before.get("corpus", {}).get("name") or "conversations"
        if held != name:
            raise DailytalkError(f"--out {as_text(out)!r} holds {held}", "choose another folder")
    rows = sorted(corpus.rows(source), key=itemgetter("id"))
    if agreed_only:
        if not any(row["perceived"] for row in rows):
            raise DailytalkError(f"{name} has no votes of raters to agree with", "leave out --agreed-only")
        rows = [row if row["problem"] or row["perceived"] == row["emotion"] else _disputed(row) for row in rows]
    problems = [Reject(row["id"], "Corpus", row["problem"], row["remedy"]) for row in rows if row["problem"]]
    return Read(corpus, [row for row in rows if not row["problem"]], problems, corpus.count_check(rows))


def _disputed(row: Row) -> Row:
    reason = f"raters heard {row['perceived_label'] or 'nothing that is known'}, {row['label']} was intended"
    return row | {"problem": reason, "remedy": "leave out --agreed-only to keep such clips"}


#: Columns of a clip to be measured.
_CLIPS = Features({**SOURCE, **{name: CLIP[name] for name in ("id", "text", "language", "speaker")}})

#: Columns of the measured shards that planning needs.
_MEASURED = (
    "heard",
    "words",
    "text_raw",
    "text_source",
    "word_sources",
    *NAMES,
    *PROSODY,
    *AFFECT,
    *EMOTION_GUESS,
    "voice",
)

#: Columns of the finished clips whose values are counted.
_COUNTED = (
    "emotion",
    "style",
    "style_source",
    "speaker",
    "gender",
    "language",
    "sentence_type",
    "length",
    "split",
)


class CorpusSpec(Spec):
    """A corpus of clips: measured, planned, finished and written.

    Args:
        read: from `read_corpus`. out: the work folder; created if need be.
        stages: the two lists, measuring and finishing (see `apps.clips.to_clips.clip_stages`).
        wanted: which clips are kept, split, balanced and copied.
        about: goes into run.json as it is.
        text_conditions: whether annotations condition on emotion and style.

    Raises DailytalkError for stages that make no clips; a run also for a plan that the clips can't fulfil.
    """

    kind = "corpus"

    def __init__(
        self,
        read: Read,
        out: Path,
        stages: tuple[Sequence[Stage], Sequence[Stage]],
        wanted: ClipPlan = ClipPlan(),
        about: Mapping[str, Any] = {},
        text_conditions: bool = False,
    ) -> None:
        self.read = read
        self.out = out
        self.about = about
        self.wanted = replace(wanted, split=wanted.split or read.corpus.split)
        self.measuring, self.finishing = (tuple(part) for part in stages)
        self.stages = (*self.measuring, *self.finishing)
        if self.wanted.copies and find_stage(Augment, self.stages) is None:
            raise DailytalkError("--copies needs --augment", f"name some of {', '.join(KINDS)}")
        self.rejects = [*read.problems]
        self.failures = list[Reject]()  # of models, on clips that went on without them
        self.scaled = list[tuple[str, str]]()  # files whose samples were scaled, and `core.audio.scale_note`
        self.text_conditions = text_conditions
        self._clips: PlannedClips | None = None

    def passes(self, options: RunOptions) -> Generator[Pass]:
        groups = list(group(map(clip_to_measure, self.read.rows), options.shard_seconds))
        step = Pass(self.out / MEASURED, groups, self.measuring, _CLIPS, later=self.finishing)
        yield step
        measures = {row["conversation_id"]: row for row in step.rows(_MEASURED)}
        nothing = dict.fromkeys((*AFFECT, *EMOTION_GUESS))
        measured = [
            row | nothing | {name: value for name, value in measures[row["id"]].items() if name in _MEASURED}
            for row in self.read.rows
            if row["id"] in measures
        ]
        described = describe(measured, self.wanted.affect(self.measuring), self.wanted.emotion)
        kept, filtered = filter_clips(described, self.wanted)
        self.rejects += [*step.rejects, *filtered]
        noted = [*step.rows(["model_failures", "scale_note"])]
        self.failures = [Reject(**failure) for row in noted for failure in row["model_failures"] or ()]
        files = {row["id"]: row["audio_file"] for row in self.read.rows}
        self.scaled = [(files[row["conversation_id"]], row["scale_note"]) for row in noted if row["scale_note"]]
        self._clips = plan_clips(kept, self.wanted, self.finishing)
        groups = list(group(self._clips.rows, options.shard_seconds))
        self._finished = Pass(self.out / CLIPS, groups, self.finishing, PLANNED, self.finishing[-1].adds)
        yield self._finished

    def write(self, time_spent: Mapping[str, Any]) -> dict[str, Any] | None:
        """Write the training folder, rejects.jsonl and run.json; returns the content of run.json.

        The training folder is rewritten only if one of its sources has changed or is missing; run.json comes last,
        so that everything it describes exists.
        """
        planned = self._clips
        if planned is None:
            return None
        self.rejects += [*planned.rejects, *self._finished.rejects]
        self._refuse_loss(planned)
        self.rejects += self.failures
        paths = self._finished.paths
        out = self.out
        before = work_folder.read_run(out) or {}
        balance = planned.balance
        fingerprint = outputs.fingerprint_of(paths, self.text_conditions)
        if before.get("fingerprint") != fingerprint or not is_complete(out / DATA):
            export_clips(paths, out / DATA, self.text_conditions)
        write_text(out / work_folder.REJECTS, "".join(json_text(reject.as_dict()) for reject in self.rejects))
        condition = find_stage(Condition, self.finishing)
        counts, hours = _counted(out, paths, condition.reduce_noise_under if condition else None)
        made = (*self.measuring, *filter(None, [self.wanted.emotion]), *self.finishing)
        record = {
            **self.about,
            "settings": settings_of(*made, self.wanted) | dict(self.about.get("settings", {})),
            "kind": "corpus",
            "corpus": {
                "name": self.read.corpus.name,
                **{name: value for name, value in asdict(self.read.corpus.about).items() if name != "title"},
            },
            "version": version("dailytalk-contiguous"),
            "packages": {name: version(name) for name in PACKAGES},
            "models": outputs.models_of(made),
            "stages": [outputs.stage_record(stage) for stage in made],
            "count_check": self.read.counts,
            "counts": {
                "read": len(self.read.rows) + len(self.read.problems),
                **counts,
                "rejects": len(self.rejects),
                "rejects_by_stage": dict(Counter(reject.stage for reject in self.rejects).most_common()),
                "copies_refused": planned.refused,
                "without_prompt": planned.unprompted,
            },
            "hours": hours,
            "split": planned.split
            and {name: value for name, value in planned.split._asdict().items() if name != "side"},
            "balance": balance
            and {
                "by": list(self.wanted.cells_by),
                "target_minutes": round(balance.target / 60, 3),
                "failure": balance.failure(noun_of(self.wanted.cells_by)),
                "minutes_before": _minutes(balance.before),
                "minutes_after": _minutes(balance.after),
                "minutes_lacking": _minutes(balance.shortfalls),
            },
            "fingerprint": fingerprint,
        }
        if before != json.loads(json.dumps(record)):
            write_text(out / work_folder.RUN, json_document(record))
        return record

    def _refuse_loss(self, planned: PlannedClips) -> None:
        """Check that every clip and every copy is finished or rejected, once. A failure here is a bug."""
        went_in = Counter(row["id"] for row in (*self.read.rows, *planned.copies))
        went_in.update(problem.id for problem in self.read.problems)
        came_out = Counter(name for name, entry in self._finished.entries if not entry.reject)
        came_out.update(reject.id for reject in self.rejects)
        if went_in != came_out:
            lost = sorted(went_in - came_out)[:5]
            extra = sorted(came_out - went_in)[:5]
            raise RuntimeError(
                f"of {went_in.total()} clips {came_out.total()} came out: lost {lost}, extra {extra}"
            )


def _minutes(seconds: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value / 60, 3) for name, value in seconds.items()}


def _counted(
    out: Path, paths: Sequence[Path], reduce_noise_under: float | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Counts and hours of all clips; their tables are written meanwhile."""
    without_text = 0
    noise_reduced = 0
    noisy = 0
    with tables_in(out, labelled=True) as maker:
        for path in paths:
            for row in read_rows(path, [name for name in LABELLED if name != "audio"]).values():
                maker.add(row)
                labels = row["labels"]
                if labels["augmented_from"] is not None:
                    continue
                without_text += row["utterances"][0]["text"] is None
                ratio_db = labels["quality"]["snr_db"]
                if labels["conditioning"]["noise_reduced_db"] is not None:
                    noise_reduced += 1
                elif reduce_noise_under is not None and ratio_db is not None and ratio_db < reduce_noise_under:
                    noisy += 1
    made = maker.tables()
    heard = ("emotion_class",) if made.utterances["emotion_model"].notna().any() else ()
    numbers = {}
    for name in (*_COUNTED, "affect_model", *heard):
        sums = figures.sums(made, name)
        known_as = "affect_source" if name == "affect_model" else name
        numbers[known_as] = (sums["conversations"] + sums["copies"]).to_dict()
    numbers["word_source"] = figures.word_sources(made)
    emotions = figures.sums(made, "emotion")
    whole = figures.totals(made)
    seconds = (emotions["seconds"] + emotions["copied"]).to_dict()
    counts: dict[str, Any] = {"clips": int(whole["conversations"]), "copies": int(whole["copies"])}
    counts["without_text"] = without_text
    if reduce_noise_under is not None:
        counts |= {"noise_reduced": noise_reduced, "noise_not_reduced": noisy}
    counts |= {f"by_{name}": dict(sorted(values.items())) for name, values in numbers.items()}
    hours = {"audio": round(sum(seconds.values()) / 3600, 5)}
    return counts, hours | {"by_emotion": {name: round(held / 3600, 5) for name, held in sorted(seconds.items())}}


def clip_to_measure(row: Row) -> Row:
    """A clip as shards take it: a conversation of one clip, with the columns that stages need."""
    clip: Row = dict.fromkeys(SOURCE) | {name: row[name] for name in SOURCE if name in row}
    clip |= {"conversation_id": row["id"], "recording_id": row["id"], "offset": 0.0, "given": []}
    clip |= {"audio_identity": row["input_digest"], "id": row["id"]}
    return clip | {name: row[name] for name in ("text", "language", "speaker")}
