"""An expressive corpus from its archive to its folder: read, measure, choose, finish, write.

Two passes with the shards, digests and resume of tagging: every clip is measured as it came; once all are
measured, those that are kept are conditioned and copied. The ids that go in are always checked to be those that
come out plus rejects.
"""

import itertools
import json
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from datasets import DatasetInfo, Features

from dailytalk_contiguous.apps.clips.clip_plan import (
    PLANNED,
    ClipPlan,
    PlannedClips,
    describe,
    filter_clips,
    plan_clips,
)
from dailytalk_contiguous.apps.clips.corpora import registry
from dailytalk_contiguous.core import figures
from dailytalk_contiguous.core.audio import to_uri
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadValue, DailytalkError, Reject
from dailytalk_contiguous.core.machine import PACKAGES
from dailytalk_contiguous.core.quality import NAMES
from dailytalk_contiguous.core.schema import CLIP, LABELLED, SOURCE, Row
from dailytalk_contiguous.core.settings import settings_of
from dailytalk_contiguous.core.utterance import AFFECT, EMOTION_GUESS, PROSODY
from dailytalk_contiguous.publish.clip_folder import export_clips, is_complete, listed_seconds
from dailytalk_contiguous.run import outputs
from dailytalk_contiguous.run.events import Account
from dailytalk_contiguous.run.run import Pass, RunOptions, Spec, refuse_mixing
from dailytalk_contiguous.shards import group, read_rows
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.store import work_folder
from dailytalk_contiguous.store.files import inside, json_document, json_text, write_bytes, write_text
from dailytalk_contiguous.store.owned_folder import OwnedFolder, mark
from dailytalk_contiguous.store.table_files import tables_in
from dailytalk_contiguous.store.work_folder import CLIPS, DATA, MEASURED

#: Folder inside a work folder for clips from archives: hidden, as each machine has its own.
UNPACKED = ".unpacked"


@dataclass(frozen=True)
class Read:
    """A corpus after reading: usable rows, rejects of the others, its description, and its count check."""

    name: str
    rows: list[Row]
    problems: list[Reject]
    info: DatasetInfo
    counts: list[str]


def read_corpus(name: str, source: Path, out: Path, agreed_only: bool = False) -> Read:
    """Return the rows of a corpus of clips. Audio files stay where they are.

    Archives are unpacked into `out`, clip by clip: rows wait together until they are processed, and the bytes of
    all of them would be in memory.

    Raises DailytalkError for a corpus that has no clips, if `out` is inside the source, holds recordings or
    another corpus, and as `corpus_rows` does.
    """
    if name not in registry.CLIP_CORPORA:
        known = ", ".join(sorted(registry.CLIP_CORPORA))
        raise BadValue(f"there is no corpus {name!r} of clips", f"choose one of {known}")
    if agreed_only and "agreed_only" not in registry.options_of(name):
        raise DailytalkError(f"{name} has no votes of raters to agree with", "leave out --agreed-only")
    refuse_inside(source, out)
    refuse_mixing(out)
    before = work_folder.read_run(out)
    if before and before.get("corpus", {}).get("name") != name:
        held = before.get("corpus", {}).get("name") or "conversations"
        raise DailytalkError(f"--out {as_text(out)!r} holds {held}", "choose another folder")
    rows: list[Row] = []
    problems: list[Reject] = []
    counted: list[Row] = []
    chosen = {"agreed_only": True} if agreed_only else {}
    for row in registry.corpus_rows(name, source, **chosen):
        counted.append(row | {"audio": None})
        if row["problem"]:
            problems.append(Reject(row["id"], "Corpus", row["problem"], row["remedy"]))
        else:
            rows.append(row | {"audio": _on_disk(row, out)})
    rows.sort(key=lambda row: str(row["id"]))
    return Read(name, rows, problems, registry.corpus_named(name).about(), registry.count_check(name, counted))


def refuse_inside(source: Path, out: Path) -> None:
    if out.resolve().is_relative_to(source.resolve()):
        raise DailytalkError(f"--out {as_text(out)!r} is inside the corpus", "choose a folder outside of it")


def _on_disk(row: Row, out: Path) -> dict[str, Any]:
    audio: dict[str, Any] = row["audio"]
    if audio["bytes"] is None:
        return audio
    path = out / UNPACKED / f"{row['input_digest']}{Path(row['audio_file']).suffix.lower()}"
    if not path.is_file():
        mark(path.parent, UNPACKED)
        write_bytes(path, audio["bytes"])
    return {"bytes": None, "path": to_uri(path.absolute())}


#: Corpora whose conversations can be written, and the names of their sources.
CONVERSATION_SOURCES = {"dailytalk": "dailytalk_conversations"}


@dataclass(frozen=True)
class WrittenConversations:
    """The result of `write_conversations`: the number of conversations, the rejects, and the count check."""

    conversations: int
    rejects: list[Reject]
    counts: list[str]


def write_conversations(name: str, source: Path, out: Path, seed: int = 0) -> WrittenConversations:
    """Write the conversations of a corpus into the folder `out`; the same source and seed give the same bytes.

    Each is a stereo WAV with a transcript beside it that `dailytalk tag` reads. The transcript also has the
    emotion, act and topic of each turn, so that the corpus's labels can be compared with the ratings.

    Raises DailytalkError for a corpus without dialogues in turns, and if `out` holds other files.
    """
    if name not in CONVERSATION_SOURCES:
        raise DailytalkError(
            f"the clips of {name} make no conversations", f"this is for {', '.join(CONVERSATION_SOURCES)}"
        )
    refuse_inside(source, out)
    target = OwnedFolder(out, "conversations", (work_folder.ABOUT_CORPUS, work_folder.REJECTS))
    rejects: list[Reject] = []
    counted = []
    for row in registry.corpus_rows(CONVERSATION_SOURCES[name], source, seed=seed):
        counted.append(row | {"audio": None})
        if row["problem"]:
            rejects.append(Reject(row["conversation_id"], "Corpus", row["problem"], row["remedy"]))
            continue
        stem, encoded = Path(row["audio_file"]).stem, row["audio"]["bytes"]
        turns = [cue | said for cue, said in zip(row["given"], row["said"], strict=True)]
        for turn in turns:
            del turn["words"]
        target.write_bytes(f"{stem}.wav", encoded)
        target.write_text(f"{stem}.json", json_text({"utterances": turns}))
    info, counts = registry.corpus_named(name).about(), registry.count_check(CONVERSATION_SOURCES[name], counted)
    about = _about(name, info) | {"seed": seed, "count_check": counts}
    lines = [json_text(reject.as_dict()) for reject in rejects]
    target.finish({work_folder.REJECTS: "".join(lines), work_folder.ABOUT_CORPUS: json_document(about)})
    return WrittenConversations(len(counted) - len(rejects), rejects, counts)


def _about(name: str, info: DatasetInfo) -> dict[str, Any]:
    return {"name": name, "licence": info.license, "citation": info.citation, "homepage": info.homepage}


#: Columns of the finished clips whose values are counted.
_COUNTED = (
    *("emotion", "style", "style_source", "speaker", "gender", "language"),
    *("sentence_type", "length", "split"),
)


def write_corpus_outputs(
    out: Path,
    paths: Sequence[Path],
    stages: Sequence[Stage],
    read: Read,
    planned: PlannedClips,
    rejects: Sequence[Reject],
    about: Mapping[str, Any],
    text_conditions: bool,
) -> dict[str, Any]:
    """Write the training folder, rejects.jsonl and run.json of the shards `paths` of finished clips.

    The training folder is rewritten only if one of its sources has changed or is missing; run.json comes last, so
    that everything it describes exists. Returns the content of run.json.
    """
    before = work_folder.read_run(out) or {}
    fingerprint = outputs.fingerprint_of(paths, text_conditions)
    if before.get("fingerprint") != fingerprint or not is_complete(out / DATA):
        export_clips(paths, out / DATA, text_conditions)
    reject_lines = "".join(json_text(reject.as_dict()) for reject in rejects)
    if (
        not (out / work_folder.REJECTS).is_file()
        or inside(out, work_folder.REJECTS).read_text(encoding="utf-8") != reject_lines
    ):
        write_text(out / work_folder.REJECTS, reject_lines)
    counts, hours = _counted(out, paths)
    record = {
        **about,
        "kind": "corpus",
        "corpus": _about(read.name, read.info) | {"description": read.info.description},
        "version": version("dailytalk-contiguous"),
        "packages": {name: version(name) for name in PACKAGES},
        "models": outputs.models_of(stages),
        "stages": [outputs.stage_record(stage) for stage in stages],
        "count_check": read.counts,
        "counts": {
            "read": len(read.rows) + len(read.problems),
            **counts,
            "rejects": len(rejects),
            "rejects_by_stage": dict(Counter(reject.stage for reject in rejects).most_common()),
            "copies_refused": planned.refused,
            "without_prompt": planned.unprompted,
        },
        "hours": hours,
        # Without the split of each clip, which is one of its columns.
        "split": {name: value for name, value in planned.split._asdict().items() if name != "side"}
        if planned.split
        else None,
        "balance": _balance(planned, paths),
        "fingerprint": fingerprint,
    }
    if before != json.loads(json.dumps(record)):
        write_text(out / work_folder.RUN, json_document(record))
    return record


def _counted(out: Path, paths: Sequence[Path]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Counts and hours of all clips; their tables are written meanwhile."""
    without_text = 0
    with tables_in(out, labelled=True) as maker:
        for path in paths:
            for row in read_rows(path, [name for name in LABELLED if name != "audio"]).values():
                maker.add(row)
                without_text += row["utterances"][0]["text"] is None and row["labels"]["augmented_from"] is None
    made = maker.tables()
    heard = ("emotion_class",) if made.utterances["emotion_model"].notna().any() else ()
    numbers = {}
    for name in (*_COUNTED, "affect_model", *heard):
        sums = figures.sums(made, name)
        numbers["affect_source" if name == "affect_model" else name] = (
            sums["conversations"] + sums["copies"]
        ).to_dict()
    numbers["word_source"] = figures.word_sources(made)
    emotions, whole = figures.sums(made, "emotion"), figures.totals(made)
    seconds = (emotions["seconds"] + emotions["copied"]).to_dict()
    counts: dict[str, Any] = {"clips": int(whole["conversations"]), "copies": int(whole["copies"])}
    counts["without_text"] = without_text
    counts |= {f"by_{name}": dict(sorted(values.items())) for name, values in numbers.items()}
    hours = {"audio": round(sum(seconds.values()) / 3600, 5)}
    return counts, hours | {"by_emotion": {name: round(held / 3600, 5) for name, held in sorted(seconds.items())}}


def _balance(planned: PlannedClips, paths: Sequence[Path]) -> dict[str, Any] | None:
    if planned.balance is None:
        return None
    seconds = listed_seconds(paths)
    balance = planned.balance._replace(after={name: seconds.get(name, 0.0) for name in planned.balance.after})
    return {
        "target_minutes": round(balance.target / 60, 3),
        "minutes_before": {name: round(seconds / 60, 3) for name, seconds in balance.before.items()},
        "minutes_after": {name: round(seconds / 60, 3) for name, seconds in balance.after.items()},
        "failure": balance.failure(),
        "shortfalls": [
            {
                "emotion": shortfall.emotion,
                "minutes": round(shortfall.seconds / 60, 3),
                "to_record": shortfall.to_record(),
            }
            for shortfall in balance.shortfalls
        ],
    }


#: The default options of a corpus: on CUDA, a batch of its short lines is shorter than one of conversations.
OPTIONS = RunOptions(batch_seconds=300.0)

#: Columns of a clip to be measured.
_CLIPS = Features({**SOURCE, **{name: CLIP[name] for name in ("id", "text", "language", "speaker")}})

#: Columns of the measured shards that planning needs.
_MEASURED = (
    *("heard", "words", "text_raw", "text_source", "word_source"),
    *(*NAMES, *PROSODY, *AFFECT, *EMOTION_GUESS, "voice"),
)


class CorpusSpec(Spec):
    """A corpus of clips: measured, planned, finished and written.

    Args:
        read: from `read_corpus`. out: the work folder; created if need be.
        stages: the two lists, measuring and finishing (see `apps.clips.to_clips.clip_stages`).
        wanted: which clips are kept, split, balanced and copied.
        about: goes into run.json as it is.
        text_conditions: whether annotations condition on emotion and style.
        report_only: whether to stop after measuring, and find only which clips would be kept.

    Attributes, once all are measured:
        measured: all clips that could be measured. kept: those within the limits.

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
        report_only: bool = False,
    ) -> None:
        wanted.check(itertools.chain(*stages))
        self.read, self.out, self.about = read, out, about
        self.wanted = replace(wanted, split=wanted.split or registry.corpus_named(read.name).SPLIT)
        self.measuring, self.finishing = (tuple(part) for part in stages)
        self.stages = (*self.measuring, *self.finishing)
        self.rejects = [*read.problems]
        self.measured, self.kept = list[Row](), list[Row]()
        self.text_conditions, self.report_only = text_conditions, report_only
        self._clips: PlannedClips | None = None

    def passes(self, options: RunOptions) -> Generator[Pass]:
        rows = map(clip_to_measure, self.read.rows)
        groups = list(group(rows, options.shard_seconds))
        step = Pass(self.out / MEASURED, groups, self.measuring, _CLIPS, later=self.finishing)
        yield step
        measures = {row["conversation_id"]: row for row in step.rows(_MEASURED)}
        nothing = dict.fromkeys((*AFFECT, *EMOTION_GUESS))
        measured = [
            row | nothing | {name: value for name, value in measures[row["id"]].items() if name in _MEASURED}
            for row in self.read.rows
            if row["id"] in measures
        ]
        affect = self.wanted.affect(self.measuring)
        self.measured = describe(measured, affect, self.wanted.emotion)
        self.kept, filtered = filter_clips(self.measured, self.wanted, self.finishing)
        self.rejects += [*step.rejects, *filtered]
        if self.report_only:
            return
        self._clips = plan_clips(self.kept, self.wanted, self.finishing)
        groups = list(group(self._clips.rows, options.shard_seconds))
        keeps = self.finishing[-1].adds
        self._finished = Pass(self.out / CLIPS, groups, self.finishing, PLANNED, keeps)
        yield self._finished

    def write(self, account: Account) -> dict[str, Any] | None:
        if self._clips is None:
            return None
        self.rejects += [*self._clips.rejects, *self._finished.rejects]
        finished = (name for name, entry in self._finished.entries if not entry.reject)
        check_balance(self.read, self._clips, finished, self.rejects)
        made = (*self.measuring, *((self.wanted.emotion,) if self.wanted.emotion else ()), *self.finishing)
        settings = settings_of(*made, self.wanted) | dict(self.about.get("settings", {}))
        return write_corpus_outputs(
            self.out,
            self._finished.outputs(),
            made,
            self.read,
            self._clips,
            self.rejects,
            {**self.about, "settings": settings},
            self.text_conditions,
        )


def check_balance(read: Read, planned: PlannedClips, finished: Iterable[str], rejects: Iterable[Reject]) -> None:
    """Check that every clip and every copy is finished or rejected, once. A failure here is a bug."""
    copies = {row["id"] for row in planned.rows if row["labels"]["augmented_from"] is not None}
    went_in = [*(row["id"] for row in read.rows), *(problem.id for problem in read.problems), *copies]
    came_out = [*finished, *(reject.id for reject in rejects)]
    if sorted(went_in) != sorted(came_out):
        lost, extra = sorted(set(went_in) - set(came_out))[:5], sorted(set(came_out) - set(went_in))[:5]
        raise RuntimeError(f"{len(went_in)} clips went in, {len(came_out)} came out: lost {lost}, extra {extra}")


def clip_to_measure(row: Row) -> Row:
    """A clip as shards take it: a conversation of one clip, with the columns that stages need."""
    clip: Row = dict.fromkeys(SOURCE) | {name: row[name] for name in SOURCE if name in row}
    clip |= {"conversation_id": row["id"], "recording_id": row["id"], "offset": 0.0, "given": []}
    clip |= {"audio_identity": row["input_digest"], "id": row["id"]}
    return clip | {name: row[name] for name in ("text", "language", "speaker")}
