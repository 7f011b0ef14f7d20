"""What a finished run leaves beside its shards: transcript.jsonl, rejects.jsonl and run.json.

All three are made from the shards in one pass, a shard at a time, so that they are the same whoever made the
shards and in which order. A transcript that a person has edited is never written over.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.code import code_digest
from dailytalk_contiguous.core.documents import expect, fits, json_lines, read_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.machine import PACKAGES
from dailytalk_contiguous.engine import transcript
from dailytalk_contiguous.engine.transcript import NOBODY
from dailytalk_contiguous.files.inside import inside
from dailytalk_contiguous.files.writing import write_lines, write_text
from dailytalk_contiguous.models.licences import licence_of
from dailytalk_contiguous.shards import Entry, Row, chain_of, read_entries, read_rows
from dailytalk_contiguous.sources.people import People
from dailytalk_contiguous.stages.base import Stage

TRANSCRIPT, NEW_TRANSCRIPT = "transcript.jsonl", "transcript.new.jsonl"
REJECTS, RUN = "rejects.jsonl", "run.json"

#: What `dailytalk corpus --as conversations` tells of the recordings that it lays out.
ABOUT_CORPUS = "corpus.json"

#: Key of run.json with the addresses of recordings that lie in a store.
RECORDINGS = "recordings"

#: Digests of transcripts that a run wrote and no run.json tells of yet. It is there from before a transcript gets
#: its name until run.json is written: a run that was killed in between has not edited anything.
_OURS = ".transcript.sha256"

#: Stages of `dailytalk speak`, which may share the work folder: what it wrote of itself is left as it is.
SPOKEN_STAGES = frozenset({"transcript", "ChooseVoice", "Speak", "Reconstruct", "Align", "Finish"})

#: Notes on recordings that run.json repeats; all of them are in the shards.
NOTES_KEPT = 200


#: What a record (run.json, or mix.json of a mix) may hold, as far as anything reads it: people copy and edit it.
_TERMS = {f"{name}?": str for name in ("name", "licence", "citation", "homepage", "repository", "revision")}
_OF_A_HALF = {
    "models?": {str: {"name": str, "licence?": str, "url?": str}},
    "stages?": [{"name": str, "digest?": str}],
    "counts?": {"rejects?": int, "conversations?": int},
    "settings?": dict,
    "fingerprint?": str,
    "transcript_sha256?": str,
}
RECORD = _OF_A_HALF | {
    "speak?": _OF_A_HALF,
    "source?": _TERMS,
    "corpus?": _TERMS,
    "sources?": {str: [_TERMS]},
    "transcript?": str,
    f"{RECORDINGS}?": [str],
    "most_listed?": float,
}


#: What the record of a tagged folder holds, which the next run that changes nothing shows again.
_WHOLE = {
    "counts": {
        **dict.fromkeys(("conversations", "utterances", "short_utterances", "rejects", "notes"), int),
        **{name: {str: int} for name in ("tags", "utterances_by_recogniser", "utterances_without_text")},
    },
    "hours": {"audio": float, "speech": float},
    "transcript": str,
    "stages": [{"name": str, "seconds": float, "realtime_factor?": float, "settings": {"model?": str}}],
    "notes": [{"conversation_id": str, "note": str}],
    "models": dict,
}


@dataclass
class Share:
    """How many conversations of a run were rejected, and how long they are together, beside all of them."""

    conversations: int = 0
    of_conversations: int = 0
    seconds: float = 0.0
    of_seconds: float = 0.0

    def add(self, entry: Entry) -> None:
        """Count a conversation of a shard."""
        self.of_conversations += 1
        self.of_seconds += entry.duration
        if entry.reject:
            self.conversations += 1
            self.seconds += entry.duration

    def as_dict(self) -> dict[str, float]:
        """What run.json holds of it."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


@dataclass
class Tally:
    """What is counted while the shards are read."""

    conversations: int = 0
    utterances: int = 0
    audio_seconds: float = 0.0
    speech_seconds: float = 0.0
    short: int = 0
    without_text: Counter[str] = field(default_factory=Counter)
    tags: Counter[str] = field(default_factory=Counter)
    channels: Counter[str] = field(default_factory=Counter)
    recognisers: Counter[str] = field(default_factory=Counter)
    stage_seconds: dict[str, float] = field(default_factory=dict)
    stage_audio: dict[str, float] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)
    rejected: Share = field(default_factory=Share)
    notes: list[dict[str, str]] = field(default_factory=list)
    n_notes: int = 0


def write_outputs(
    out: Path,
    paths: Sequence[Path],
    stages: Sequence[Stage],
    problems: Sequence[Reject],
    about: Mapping[str, Any],
    people: People = NOBODY,
) -> dict[str, Any]:
    """Write the three files from the finished shards `paths`, in their order, and return what run.json holds.

    `problems` are rejects of the source; `about` says how the run was asked for, and its `source` where the
    recordings are from; `people` name the speakers. If nothing changed since run.json was written, nothing is.
    """
    fingerprint = _fingerprint(paths, stages, problems, people)
    before = read_run(out)
    same = before and before.get("fingerprint") == fingerprint and before.get("source") == about.get("source")
    if before and same and fits(before, _WHOLE) and _all_there(out, before):
        (out / _OURS).unlink(missing_ok=True)
        return before
    tally = Tally()
    there = sha256_of(inside(out, TRANSCRIPT)) if (out / TRANSCRIPT).exists() else None
    edited = there is not None and there not in _ours(out, before)
    target = out / (NEW_TRANSCRIPT if edited else TRANSCRIPT)
    digest = hashlib.sha256()
    write_lines(target, _noted(_transcript(paths, stages, tally, people), digest, out, None if edited else there))
    if edited and digest.hexdigest() == sha256_of(out / TRANSCRIPT):
        # Nobody edited it: it is what this run would write, from a run that was killed before it wrote run.json.
        target.replace(out / TRANSCRIPT)
        target, edited = out / TRANSCRIPT, False
    tally.rejects = [*problems, *tally.rejects]
    write_lines(
        out / REJECTS,
        [
            *(json.dumps(reject.as_dict(), ensure_ascii=False) + "\n" for reject in tally.rejects),
            *_spoken_rejects(out),
        ],
    )
    record = _record(tally, stages, len(problems), about) | {
        "transcript": target.name,
        "transcript_sha256": before.get("transcript_sha256") if edited and before else digest.hexdigest(),
        "fingerprint": fingerprint,
    }
    if before and "speak" in before:
        record["speak"] = before["speak"]
    write_text(out / RUN, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    (out / _OURS).unlink(missing_ok=True)
    return record


def rejected(out: Path) -> int:
    """How many rejects the rejects.jsonl of a work folder tells of, of all halves."""
    with inside(out, REJECTS).open("rb") as file:
        return sum(1 for line in file if line.strip())


def read_run(out: Path) -> dict[str, Any] | None:
    """What run.json holds, or None if there is none, or none that can be used: damaged, or a link out of `out`."""
    try:
        record: dict[str, Any] = expect(read_json(inside(out, RUN)), RECORD, RUN)
    except BadInput:
        return None
    return record


def note_stop(out: Path, kind: str, command: str, error: BaseException, money: Mapping[str, Any]) -> None:
    """Write into run.json, as `stopped`, why a run that spends money did not come to its end, and what it spent.

    Everything else in run.json is of the last run that did; that of the next one takes `stopped` out again.
    """
    stopped = isinstance(error, KeyboardInterrupt)
    reason = str(error) if isinstance(error, DailytalkError) else "Ctrl-C" if stopped else type(error).__name__
    stop = {"run": kind, "command": command, "reason": reason, "money": dict(money)}
    # A full disk may be why the run stops, and is what has to be said then.
    with suppress(OSError):
        write_text(
            out / RUN, json.dumps((read_run(out) or {}) | {"stopped": stop}, indent=1, ensure_ascii=False) + "\n"
        )


def models_of(stages: Sequence[Stage]) -> dict[str, dict[str, Any]]:
    """The models of stages by role, each with its name and licence, as run.json has them."""
    models = {role: model for stage in stages for role, model in stage.models().items()}
    return {role: {"name": model, **licence_of(model)._asdict()} for role, model in models.items()}


def _ours(out: Path, before: Mapping[str, Any] | None) -> set[str]:
    """Digests of transcripts that runs have written: one that is none of them was changed by a person."""
    path = inside(out, _OURS)
    noted = path.read_text(encoding="utf-8").split() if path.is_file() else []
    return {*noted, (before or {}).get("transcript_sha256", "")}


def _spoken_rejects(out: Path) -> list[str]:
    """The lines of rejects.jsonl that `dailytalk speak` wrote."""
    if not (out / REJECTS).is_file():
        return []
    return [transcript.to_json(reject) for reject in rejects_in(out) if reject["stage"] in SPOKEN_STAGES]


def rejects_in(out: Path) -> Iterator[dict[str, str]]:
    """What rejects.jsonl of a work folder tells: `id`, `stage`, `reason` and `remedy` of each; none without it.

    A line that a person or a crash has damaged is a reject itself, so that it is not lost.
    """
    if not (out / REJECTS).is_file():
        return
    try:
        path = inside(out, REJECTS)
    except BadInput as error:
        yield Reject(REJECTS, "rejects", error.reason, error.remedy).as_dict()
        return
    for number, line in json_lines(path):
        if isinstance(line, BadInput):
            line = Reject(f"{REJECTS}:{number}", "rejects", line.reason, line.remedy).as_dict()
        yield {name: str(line.get(name) or "") for name in ("id", "stage", "reason", "remedy")}


def _all_there(out: Path, record: Mapping[str, Any]) -> bool:
    named = record.get("transcript")
    names = (TRANSCRIPT, named, REJECTS)
    return named in (TRANSCRIPT, NEW_TRANSCRIPT) and all((out / str(name)).is_file() for name in names)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _noted(pieces: Iterator[str], digest: Any, out: Path, there: str | None) -> Iterator[str]:
    """The pieces of a transcript as they are; after the last its digest is noted, before the file has its name.

    `there` is the digest of our own one that stands until then: it stays ours if this run is killed here.
    """
    for piece in pieces:
        digest.update(piece.encode("utf-8"))
        yield piece
    write_lines(out / _OURS, [f"{one}\n" for one in (there, digest.hexdigest()) if one])


def _transcript(paths: Sequence[Path], stages: Sequence[Stage], tally: Tally, people: People) -> Iterator[str]:
    """The transcript's lines; fills the tally on the way."""
    for path in paths:
        rows = read_rows(path, transcript.COLUMNS)
        for name, entry in (read_entries(path) or {}).items():
            tally.rejected.add(entry)
            for stage, seconds in zip(stages, entry.seconds, strict=False):
                tally.stage_seconds[stage.name] = tally.stage_seconds.get(stage.name, 0.0) + seconds
                tally.stage_audio[stage.name] = tally.stage_audio.get(stage.name, 0.0) + entry.duration
            if entry.reject:
                tally.rejects.append(entry.reject)
            else:
                _count(rows[name], tally)
                yield from map(transcript.to_json, transcript.lines(rows[name], tally.utterances, people))
                tally.utterances += len(rows[name]["utterance_id"])


def _count(row: Row, tally: Tally) -> None:
    tally.conversations += 1
    tally.audio_seconds += row["duration"]
    tally.speech_seconds += sum(end - start for start, end in zip(row["start"], row["end"], strict=True))
    tally.short += row["kind"].count("short")
    tally.tags.update(row["tag"])
    tally.channels.update(row["channel"])
    tally.recognisers.update(name for name in row["recogniser"] if name)
    # Reasons hold figures (`23 words in 0.5 s`); what is counted is their kind.
    tally.without_text.update(reason.partition("(")[0].strip() for reason in row["text_reason"] if reason)
    tally.rejects += [Reject(**item) for item in (*row["rejected"], *row["unmatched"])]
    for note in row["notes"]:
        tally.n_notes += 1
        if len(tally.notes) < NOTES_KEPT:
            tally.notes.append({"conversation_id": row["conversation_id"], "note": note})


def _record(tally: Tally, stages: Sequence[Stage], n_problems: int, about: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **about,
        "version": version("dailytalk-contiguous"),
        "packages": {name: version(name) for name in PACKAGES},
        "models": models_of(stages),
        "stages": [_stage_record(stage, tally) for stage in stages],
        "counts": {
            "conversations": tally.conversations,
            "utterances": tally.utterances,
            "utterances_by_channel": dict(sorted(tally.channels.items())),
            "utterances_by_recogniser": dict(tally.recognisers.most_common()),
            "short_utterances": tally.short,
            "utterances_without_text": dict(tally.without_text.most_common()),
            "recordings_rejected": n_problems,
            "rejects": len(tally.rejects),
            "rejects_by_stage": dict(Counter(reject.stage for reject in tally.rejects).most_common()),
            "tags": dict(tally.tags.most_common()),
            "notes": tally.n_notes,
        },
        "rejected": tally.rejected.as_dict(),
        "hours": {"audio": round(tally.audio_seconds / 3600, 5), "speech": round(tally.speech_seconds / 3600, 5)},
        "notes": tally.notes,
    }


def _stage_record(stage: Stage, tally: Tally) -> dict[str, Any]:
    seconds, audio = tally.stage_seconds.get(stage.name, 0.0), tally.stage_audio.get(stage.name, 0.0)
    inner: Any = getattr(stage, "stage", stage)
    return {
        "name": stage.name,
        "seconds": round(seconds, 3),
        "realtime_factor": round(seconds / audio, 5) if audio else None,
        "digest": stage.digest,
        "settings": {setting.name: getattr(inner, setting.name) for setting in fields(inner)},
    }


def _fingerprint(
    paths: Sequence[Path], stages: Sequence[Stage], problems: Sequence[Reject], people: People
) -> str:
    """Changes whenever the files would."""
    told = [
        chain_of(stages)[-1],
        [(path.name, path.stat().st_mtime_ns) for path in paths],
        [problem.as_dict() for problem in problems],
        sorted((*key, *person) for key, person in people.items()),
        code_digest(write_outputs),
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:20]
