"""An expressive corpus from its archive to its folder: read, measure, choose, finish, write.

Two passes with the shards, digests and resume of tagging: every clip is measured as it came; once all are
measured, those that are kept are conditioned and copied. The ids that go in are always checked to be those that
come out plus rejects.
"""

import json
import logging
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from operator import itemgetter
from pathlib import Path
from typing import Any, TypedDict

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
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.core.records import figures
from dailytalk_contiguous.core.records.clip_records import QUALITY_MEASURES, ClipSource
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.schema import CLIP, LABELLED, SOURCE, Row
from dailytalk_contiguous.core.records.utterance import AFFECT, EMOTION_GUESS, PROSODY
from dailytalk_contiguous.core.settings import settings_of
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.core.style.sampling import Balance, noun_of
from dailytalk_contiguous.machine.resources import PACKAGES
from dailytalk_contiguous.publish.exports.clip_folder import export_clips, is_complete
from dailytalk_contiguous.run import outputs
from dailytalk_contiguous.run.outputs import tables_in
from dailytalk_contiguous.run.run import Pass, RunOptions, Spec, refuse_mixing
from dailytalk_contiguous.shards import PendingConversation, group, read_rows
from dailytalk_contiguous.stages.base import Stage, find_stage
from dailytalk_contiguous.store import work_folder
from dailytalk_contiguous.store.files import json_document, json_text, refuse_inside, write_text
from dailytalk_contiguous.store.work_folder import CLIPS, DATA, MEASURED

log = logging.getLogger(__name__)

#: The default options of a corpus: on CUDA, a batch of its short lines is shorter than one of conversations.
OPTIONS = RunOptions(batch_seconds=300.0)


@dataclass(frozen=True)
class Read:
    """A corpus after reading: usable rows, rejects of the others, and its count check."""

    corpus: Corpus
    rows: list[ClipSource]
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
    before = work_folder.run_json(out)
    if before:
        corpus_before = before.get("corpus", {})
        held = corpus_before.get("name") or "conversations"
        if held != name:
            raise DailytalkError(f"--out {as_text(out)!r} holds {held}", "choose another folder")
    rows = sorted(steps("clips found", corpus.rows(source)), key=itemgetter("id"))
    if agreed_only:
        if not any(row["perceived"] for row in rows):
            raise DailytalkError(f"{name} has no votes of raters to compare with", "leave out --agreed-only")
        for row in rows:
            if not row["problem"] and row["perceived"] != row["emotion"]:
                perceived = row["perceived_label"] or "nothing that is known"
                row["problem"] = f"raters heard {perceived}, {row['label']} was intended"
                row["remedy"] = "leave out --agreed-only to keep such clips"
    usable = []
    problems = []
    for row in rows:
        if row["problem"]:
            remedy = row["remedy"] or ""
            problems.append(Reject(row["id"], "Corpus", row["problem"], remedy))
        else:
            usable.append(row)
    return Read(corpus, usable, problems, corpus.count_check(rows))


#: Columns of a clip to be measured.
_CLIPS = Features(
    {
        **SOURCE,
        "id": CLIP["id"],
        "text": CLIP["text"],
        "language": CLIP["language"],
        "speaker": CLIP["speaker"],
    }
)

#: Columns of the measured shards that planning needs.
_MEASURED = (
    "heard",
    "words",
    "text_raw",
    "text_source",
    "word_sources",
    *QUALITY_MEASURES,
    *PROSODY,
    *AFFECT,
    *EMOTION_GUESS,
    "voice",
)


class BalanceFigures(TypedDict):
    """The balance of clips, for run.json: minutes of each cell (see `core.style.sampling.Balance`)."""

    target_minutes: float
    limited_by: str
    failure: str
    minutes_before: dict[str, float]
    minutes_after: dict[str, float]
    minutes_lacking: dict[str, float]


class CorpusHours(TypedDict):
    """Hours of all clips with their copies, for run.json."""

    audio: float
    by_emotion: dict[str, float]


class CorpusSpec(Spec):
    """A corpus of clips: measured, planned, finished and written.

    Args:
        read: from `read_corpus`. out: the work folder; created if need be.
        stages: the two lists, measuring and finishing (see `apps.clips.to_clips.clip_stages`).
        plan: which clips are kept, split, balanced and copied.
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
        plan: ClipPlan = ClipPlan(),
        about: Mapping[str, Any] = {},
        text_conditions: bool = False,
    ) -> None:
        self.read = read
        self.out = out
        self.about = about
        split = plan.split_by or read.corpus.split
        self.clip_plan = replace(plan, split_by=split)
        measuring, finishing = stages
        self.measuring = tuple(measuring)
        self.finishing = tuple(finishing)
        self.stages = (*self.measuring, *self.finishing)
        if self.clip_plan.copies and find_stage(Augment, self.stages) is None:
            raise DailytalkError("--copies needs --augment", f"name some of {', '.join(KINDS)}")
        self.rejects = [*read.problems]
        #: Of models, on clips that went on without their results.
        self.failures: list[Reject] = []
        #: Files whose samples were scaled, each with its `machine.audio.scale_note`.
        self.scaled: list[tuple[str, str]] = []
        self.text_conditions = text_conditions
        self._clips: PlannedClips | None = None

    def passes(self, options: RunOptions) -> Generator[Pass]:
        clips = map(clip_to_measure, self.read.rows)
        groups = list(group(clips, options.shard_seconds))
        folder = self.out / MEASURED
        step = Pass(folder, groups, self.measuring, _CLIPS, later=self.finishing)
        yield step
        measured = self._measured(step)
        affect_model = self.clip_plan.affect(self.measuring)
        described = describe(measured, affect_model, self.clip_plan.emotion)
        kept, filtered = filter_clips(described, self.clip_plan)
        self.rejects += [*step.rejects, *filtered]
        files = {row["id"]: row["audio_file"] for row in self.read.rows}
        self.failures = []
        self.scaled = []
        for row in step.rows(["model_failures", "scale_note"]):
            self.failures += [Reject(**failure) for failure in row["model_failures"] or ()]
            if row["scale_note"]:
                file = files[row["conversation_id"]]
                self.scaled.append((file, row["scale_note"]))
        self._clips = plan_clips(kept, self.clip_plan, self.finishing)
        planned = map(PendingConversation.of_row, self._clips.rows)
        groups = list(group(planned, options.shard_seconds))
        kept_columns = self.finishing[-1].adds
        self._finished = Pass(self.out / CLIPS, groups, self.finishing, PLANNED, kept_columns)
        balance = self._clips.balance
        failure = balance.failure(noun_of(self.clip_plan.cells_by)) if balance else ""
        if failure and self._finished.missing:
            log.warning(failure)
        yield self._finished

    def _measured(self, step: Pass) -> list[Row]:
        """The clips that were measured, each with its measures."""
        measures_by_id = {row["conversation_id"]: row for row in step.rows(_MEASURED)}
        measured = []
        for clip in self.read.rows:
            measures = measures_by_id.get(clip["id"])
            if measures is None:
                continue
            row: Row = {**clip}
            row |= dict.fromkeys((*AFFECT, *EMOTION_GUESS))
            row |= {name: value for name, value in measures.items() if name in _MEASURED}
            measured.append(row)
        return measured

    def write(self, time_spent: Mapping[str, object]) -> dict[str, Any] | None:
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
        before = work_folder.run_json(out)
        fingerprint = outputs.fingerprint_of(paths, self.text_conditions)
        if before.get("fingerprint") != fingerprint or not is_complete(out / DATA):
            export_clips(paths, out / DATA, self.text_conditions)
        reject_lines = [json_text(reject.as_dict()) for reject in self.rejects]
        write_text(out / work_folder.REJECTS, "".join(reject_lines))
        record = self._record(planned, paths, fingerprint)
        if before != json.loads(json.dumps(record)):
            write_text(out / work_folder.RUN, json_document(record))
        return record

    def _record(self, planned: PlannedClips, paths: Sequence[Path], fingerprint: str) -> dict[str, object]:
        """The content of run.json; the tables of the clips are written meanwhile."""
        condition = find_stage(Condition, self.finishing)
        reduce_noise_under = condition.reduce_noise_under_db if condition else None
        clip_counts, hours = _counted(self.out, paths, reduce_noise_under)
        stages = [*self.measuring, *self.finishing]
        if self.clip_plan.emotion:
            stages.insert(len(self.measuring), self.clip_plan.emotion)
        settings = settings_of(*stages, self.clip_plan)
        settings |= self.about.get("settings", {})
        about = asdict(self.read.corpus.about)
        about.pop("title")
        corpus = {"name": self.read.corpus.name, **about}
        by_stage = Counter(reject.stage for reject in self.rejects)
        counts = {
            "read": len(self.read.rows) + len(self.read.problems),
            **clip_counts,
            "rejects": len(self.rejects),
            "rejects_by_stage": dict(by_stage.most_common()),
            "copies_refused": planned.refused,
            "without_prompt": planned.unprompted,
        }
        split = None
        if planned.split:
            split = {"by": planned.split.divided_by, "share": planned.split.share, "note": planned.split.note}
        balance = None
        if planned.balance:
            figures = _balance_figures(planned.balance, noun_of(self.clip_plan.cells_by))
            balance = {"by": list(self.clip_plan.cells_by), **figures}
        return {
            **self.about,
            "settings": settings,
            "kind": "corpus",
            "corpus": corpus,
            "version": version("dailytalk-contiguous"),
            "packages": {name: version(name) for name in PACKAGES},
            "models": outputs.models_of(stages),
            "stages": [outputs.stage_record(stage) for stage in stages],
            "count_check": self.read.counts,
            "counts": counts,
            "hours": hours,
            "split": split,
            "balance": balance,
            "fingerprint": fingerprint,
        }

    def _refuse_loss(self, planned: PlannedClips) -> None:
        """Check that every clip and every copy is finished or rejected, once. A failure here is a bug."""
        went_in = Counter(row["id"] for row in self.read.rows)
        went_in.update(row["id"] for row in planned.copies)
        went_in.update(problem.id for problem in self.read.problems)
        came_out: Counter[str] = Counter()
        for name, entry in self._finished.entries:
            if not entry.reject:
                came_out[name] += 1
        came_out.update(reject.id for reject in self.rejects)
        if went_in != came_out:
            lost = sorted(went_in - came_out)[:5]
            extra = sorted(came_out - went_in)[:5]
            raise RuntimeError(
                f"of {went_in.total()} clips {came_out.total()} came out: lost {lost}, extra {extra}"
            )


def _balance_figures(balance: Balance, noun: str) -> BalanceFigures:
    """The figures of a balance whose cells are called by a noun."""
    return {
        "target_minutes": round(balance.target / 60, 3),
        "limited_by": balance.limited_by,
        "failure": balance.failure(noun),
        "minutes_before": _minutes(balance.before),
        "minutes_after": _minutes(balance.after),
        "minutes_lacking": _minutes(balance.shortfalls),
    }


def _minutes(seconds: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value / 60, 3) for name, value in seconds.items()}


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


def _counted(
    out: Path, paths: Sequence[Path], reduce_noise_under: float | None
) -> tuple[dict[str, object], CorpusHours]:
    """Counts and hours of all clips; their tables are written meanwhile."""
    n_without_text = 0
    n_reduced = 0
    n_noisy = 0
    columns = [name for name in LABELLED if name != "audio"]
    with tables_in(out, labelled=True) as maker:
        for path in paths:
            for row in read_rows(path, columns).values():
                talk = from_finished(row)
                maker.add(talk)
                labels = talk.labels
                if labels["augmented_from"] is not None:
                    continue
                if talk.utterances[0].text is None:
                    n_without_text += 1
                quality = labels["quality"]
                ratio_db = quality["snr_db"] if quality else None
                if labels["conditioning"]["noise_reduced_db"] is not None:
                    n_reduced += 1
                elif reduce_noise_under is not None and ratio_db is not None and ratio_db < reduce_noise_under:
                    n_noisy += 1
    tables = maker.tables()
    whole = figures.totals(tables)
    counts: dict[str, object] = {
        "clips": int(whole["conversations"]),
        "copies": int(whole["copies"]),
        "without_text": n_without_text,
    }
    if reduce_noise_under is not None:
        counts["noise_reduced"] = n_reduced
        counts["noise_not_reduced"] = n_noisy
    labels_counted = {name: name for name in _COUNTED}
    labels_counted["affect_model"] = "affect_source"
    if tables.utterances["emotion_model"].notna().any():
        labels_counted["emotion_class"] = "emotion_class"
    for name, name_in_record in labels_counted.items():
        sums = figures.sums(tables, name)
        numbers = (sums["conversations"] + sums["copies"]).to_dict()
        counts[f"by_{name_in_record}"] = dict(sorted(numbers.items()))
    word_sources = figures.word_sources(tables)
    counts["by_word_source"] = dict(sorted(word_sources.items()))
    emotions = figures.sums(tables, "emotion")
    seconds = (emotions["seconds"] + emotions["copied"]).to_dict()
    hours_by_emotion = {}
    for name, total in sorted(seconds.items()):
        hours_by_emotion[name] = round(total / 3600, 5)
    hours = round(sum(seconds.values()) / 3600, 5)
    return counts, {"audio": hours, "by_emotion": hours_by_emotion}


def clip_to_measure(clip: ClipSource) -> PendingConversation:
    """A clip as shards take it: a conversation of one clip, with the columns that stages need."""
    row: Row = dict.fromkeys(SOURCE)
    row |= {name: value for name, value in clip.items() if name in SOURCE}
    row["conversation_id"] = clip["id"]
    row["recording_id"] = clip["id"]
    row["audio_identity"] = clip["input_digest"]
    row["offset"] = 0.0
    row["cues"] = []
    row["id"] = clip["id"]
    row["text"] = clip["text"]
    row["language"] = clip["language"]
    row["speaker"] = clip["speaker"]
    return PendingConversation.of_row(row)
