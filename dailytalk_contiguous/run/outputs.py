"""The outputs of a run beside its shards: transcripts, sound files, rejects and the record of the run."""

import hashlib
import io
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import soundfile

from dailytalk_contiguous.core import figures
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.core.machine import PACKAGES
from dailytalk_contiguous.core.schema import COLUMNS, Row, built
from dailytalk_contiguous.core.settings import settings_of
from dailytalk_contiguous.core.tables import TableMaker
from dailytalk_contiguous.core.utterance import (
    FIELDS,
    GIVEN,
    UTTERANCE,
    Field,
    columns_of_lines,
    described,
    line_of,
    words_within,
)
from dailytalk_contiguous.core.wording import kind_of
from dailytalk_contiguous.run.merge import write_merged
from dailytalk_contiguous.shards import Shard, is_held, read_rows, read_shard
from dailytalk_contiguous.sources.recordings import shortened
from dailytalk_contiguous.stages.base import PerUtterance, Stage, find_stage, published_by
from dailytalk_contiguous.stages.finish import Finish
from dailytalk_contiguous.stages.script import Script, tagged_utterances, transcript_lines
from dailytalk_contiguous.store.files import (
    inside,
    json_document,
    json_text,
    replacing,
    sha256_of,
    write_lines,
    write_text,
)
from dailytalk_contiguous.store.owned_folder import EDITED, made_from, mark, wav_writer
from dailytalk_contiguous.store.table_files import tables_in
from dailytalk_contiguous.store.work_folder import (
    AUDIO,
    CONVERSATIONS,
    LINE_DIGESTS,
    REJECTS,
    RUN,
    SHIFTED,
    SPOKEN_STAGES,
    STATS,
    TRANSCRIPT,
    UTTERANCES,
    read_run,
    rejects_in,
)

if TYPE_CHECKING:
    from dailytalk_contiguous.sources.people import People

# transcript.jsonl: one line an utterance, for people and for tools that came before this one.
#
# The first fields, their names and their order are those of the older tool (where `vad` means valence, arousal and
# dominance); ours follow. Times are in seconds of the recording, to a millisecond; what is not a number is null.


def transcript_columns(published: Iterable[Field]) -> tuple[str, ...]:
    """Columns of a shard from which its lines are made, with those that stages publish."""
    names = (field.name for field in (*COLUMNS, *published))
    return ("recording_id", "sides", "notes", "rejected", "unmatched", *Script.needs, *Script.uses, *names)


#: For input without a table of speakers.
NOBODY: "People" = {}


def lines(
    row: Mapping[str, Any], first_id: int = 0, people: "People" = NOBODY, fields: Sequence[Field] = FIELDS
) -> Iterator[dict[str, Any]]:
    """The lines of one conversation, in order of start; `segment_id` counts on from `first_id`.

    `people` (by recording id and channel) give `speaker`, and `gender` and `language` if they are known.
    """
    for number, told in enumerate(transcript_lines(row, fields), first_id):
        line = {"segment_id": number} | told
        if person := people.get((row["recording_id"], line["channel"])):
            line |= {name: value for name, value in person._asdict().items() if value}
        yield line


# What a finished run leaves beside its shards: transcript.jsonl, rejects.jsonl, corpus-stats.json, run.json, and
# of the second half sound files and transcript_shifted.jsonl.
#
# All are made from the shards in one pass, a shard at a time, so that they do not depend on who made the shards
# and in which order. A work folder may hold both halves of the work: the record of the second is the key `speak`
# of run.json, and rejects.jsonl holds the rejects of both.


#: Files with figures of all conversations.
_FIGURES = (STATS, UTTERANCES, CONVERSATIONS)

#: Raised whenever the files that a run leaves beside its shards change, so that the next run writes them again.
OUTPUTS_VERSION = 2

#: The most notes on recordings that run.json repeats; all of them are in the shards.
NOTES_KEPT = 200


class Results:
    """What run.json says of the shards of `tag` or `speak`: rejects, and seconds of the stages."""

    def __init__(self, paths: Iterable[Path], stages: Sequence[Stage], rejects: Sequence[Reject]) -> None:
        self.shards = {path: finished_shard(path) for path in paths}
        self.stages, self.rejects = stages, [*rejects]
        self._taken: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._seconds: dict[str, float] = {}
        self._lost: dict[str, float] = defaultdict(float)
        self._remedies = {kind_of(reject.reason): reject.remedy for reject in reversed(rejects)}
        self._rejected = 0

    def rows(self, columns: Iterable[str]) -> Iterator[Row]:
        """The rows of all shards, with these columns; counts their conversations and rejects on the way."""
        columns = tuple(columns)
        for path, shard in self.shards.items():
            for stage, (took, audio) in shard.seconds.items():
                self._taken[stage][0] += took
                self._taken[stage][1] += audio
            rows = read_rows(path, columns)
            for name, entry in shard.entries.items():
                self._seconds[name] = entry.duration
                if not entry.reject:
                    yield rows[name]
                    continue
                kind = kind_of(entry.reject.reason)
                self.rejects.append(entry.reject)
                self._rejected += 1
                self._lost[kind] += entry.duration
                self._remedies.setdefault(kind, entry.reject.remedy)

    def record(self) -> dict[str, Any]:
        """For run.json: the stages, with wall seconds in all and for a second of audio, and what was rejected.

        `rejected`: conversations and their seconds beside those of all; `reasons`: seconds by kind of reason, the
        longest first; `remedies`: what to do about each kind, and about recordings that the source rejected.
        """
        stages = []
        for stage in self.stages:
            took, audio = self._taken.get(stage.name, (0.0, 0.0))
            factor = round(took / audio, 5) if audio else None
            stages.append(stage_record(stage, {"seconds": round(took, 3), "realtime_factor": factor}))
        rejected: dict[str, Any] = {
            "conversations": self._rejected,
            "of_conversations": len(self._seconds),
            "seconds": round(sum(self._lost.values()), 3),
            "of_seconds": round(sum(self._seconds.values()), 3),
        }
        if self._lost:
            longest = sorted(self._lost, key=lambda kind: -self._lost[kind])
            rejected["reasons"] = {kind: round(self._lost[kind], 3) for kind in longest}
        if self._remedies:
            rejected["remedies"] = self._remedies
        return {"stages": stages, "rejected": rejected}


def write_outputs(
    out: Path,
    paths: Sequence[Path],
    stages: Sequence[Stage],
    problems: Sequence[Reject],
    about: Mapping[str, Any],
    people: "People" = NOBODY,
) -> dict[str, Any]:
    """Write all files from the finished shards `paths`, in their order; returns what run.json holds.

    `problems` are rejects of the source; `about` is how the run was started, and its `source` where the recordings
    are from; `people` name the speakers. If nothing changed since run.json was written, nothing is written.
    """
    named = sorted((*key, *person) for key, person in people.items())
    fingerprint = fingerprint_of(paths, [problem.as_dict() for problem in problems], named)
    before = read_run(out)
    same = before and before.get("fingerprint") == fingerprint and before.get("source") == about.get("source")
    exist = all((out / name).is_file() for name in (TRANSCRIPT, LINE_DIGESTS, REJECTS, *_FIGURES))
    if before and same and exist:
        return before
    published = published_by(stages)
    fields, spoken = (*FIELDS, *published), (before or {}).get("speak")
    results, notes = Results(paths, stages, problems), list[dict[str, str]]()
    languages, fitted, n_utterances = Counter[str](), 0, 0

    def transcript(maker: TableMaker) -> Iterator[dict[str, Any]]:
        nonlocal fitted, n_utterances
        for row in results.rows(transcript_columns(published)):
            yield from lines(row, n_utterances, people, fields)
            n_utterances += len(row["utterance_id"])
            maker.add(row | _as_finished(row, fields))
            results.rejects.extend(Reject(**item) for item in (*row["rejected"], *row["unmatched"]))
            given = [index for index, name in enumerate(row["recogniser"]) if name == GIVEN]
            languages.update({row["language"][index] for index in given})
            fitted += sum(word.get("fitted") is True for index in given for word in row["words"][index])
            notes.extend({"conversation_id": row["conversation_id"], "note": note} for note in row["notes"])

    # The tables are of what is finished, once something is.
    writing = nullcontext(TableMaker(False, published)) if spoken else tables_in(out, False, published)
    with writing as maker:
        edits = write_merged(out, transcript(maker))
    made = maker.tables()
    after = [reject for reject in rejects_in(out) if reject["stage"] in SPOKEN_STAGES]
    _write_rejects(out, [reject.as_dict() for reject in results.rejects], after)
    whole, said = figures.totals(made), made.utterances
    tags, emotions = (
        Counter(figures.sums(made, name)["utterances"].to_dict()) for name in ("tag", "emotion_class")
    )
    recognisers = figures.counts(said["recogniser"])
    facts = facts_of_run(about, stages)
    recogniser = facts["models"].get("recogniser")
    if recogniser and not recognisers[recogniser["name"]]:  # all words were given, and it was not loaded
        del facts["models"]["recogniser"]
    hours = {"audio": whole["seconds"], "speech": figures.heard(made)["seconds"]}
    record: dict[str, Any] = {
        **facts,
        "packages": {name: version(name) for name in PACKAGES},
        **results.record(),
        "counts": {
            "conversations": int(whole["conversations"]),
            "utterances": int(whole["utterances"]),
            "utterances_by_channel": dict(sorted(figures.counts(said["channel"]).items())),
            "utterances_by_recogniser": dict(recognisers.most_common()),
            "conversations_by_given_language": dict(languages.most_common()),
            "words_fitted": fitted,
            "short_utterances": figures.counts(said["kind"])["short"],
            "utterances_without_text": dict(figures.without_text(made).most_common()),
            "recordings_rejected": len(problems),
            "rejects": len(results.rejects),
            "rejects_by_stage": dict(Counter(reject.stage for reject in results.rejects).most_common()),
            "tags": dict(tags.most_common()),
            **({"emotions": dict(emotions.most_common())} if emotions else {}),
            "notes": len(notes),
            "edits_that_differ": edits,
        },
        "hours": {name: round(seconds / 3600, 5) for name, seconds in hours.items()},
        "notes": notes[:NOTES_KEPT],
        "transcript_sha256": sha256_of(out / TRANSCRIPT),
        "fingerprint": fingerprint,
        **({"fields": described(published)} if published else {}),
        **({"unpublished": unpublished} if (unpublished := _unpublished(stages, published)) else {}),
    }
    if spoken:
        record["speak"] = spoken
    else:
        write_text(out / STATS, json_document(figures.corpus_stats(made)))
    write_text(out / RUN, json_document(record))
    return record


def _as_finished(row: Row, fields: Sequence[Field]) -> Row:
    """The columns that a tagged row lacks, as those of a finished conversation that was not rebuilt."""
    languages = Counter(filter(None, row["language"])).most_common(1)
    return {
        "timeline": None,
        "provenance": None,
        "source_duration": row["duration"],
        "alignments": [word | {"source": None} for words in row["words"] for word in words],
        "language": languages[0][0] if languages else None,
        "utterances": tagged_utterances(row, fields),
    }


def _unpublished(stages: Sequence[Stage], published: Sequence[Field]) -> list[str]:
    """Columns that people's own stages add and do not publish: they stay in the shards."""
    names = {field.name for field in published} | set(UTTERANCE)
    inner = [stage.stage if isinstance(stage, PerUtterance) else stage for stage in stages]
    ours = f"{__package__.partition('.')[0]}."
    own = [stage for stage in inner if not type(stage).__module__.startswith(ours)]
    return [name for stage in own for name in stage.adds if name not in names]


def _write_rejects(out: Path, *parts: Iterable[Mapping[str, str]]) -> None:
    rejects = [*itertools.chain(*parts)]  # some are read from the file
    write_lines(out / REJECTS, map(json_text, rejects))


def fingerprint_of(paths: Sequence[Path], *parts: Any) -> str:
    """A digest that changes whenever the outputs of shards and `parts` would: the names of shards say what is in
    them.

    What is tried again may come out otherwise under its name, and counts with its time.
    """
    files = [(path.name, path.stat().st_mtime_ns if is_held(path) else 0) for path in paths]
    return hashlib.sha256(json.dumps([OUTPUTS_VERSION, files, *parts]).encode()).hexdigest()[:20]


def models_of(stages: Sequence[Stage]) -> dict[str, dict[str, Any]]:
    """The models of stages by role, each with its name and licence, for run.json."""
    from dailytalk_contiguous.models.licences import licence_of

    inner: list[Stage] = [getattr(stage, "stage", stage) for stage in stages]
    licences = {role: licence for stage in inner for role, licence in stage.licences.items()}
    models = {role: model for stage in stages for role, model in stage.models().items()}
    return {
        role: {"name": model, **(licences.get(role) or licence_of(model))._asdict()}
        for role, model in models.items()
    }


def stage_record(stage: Stage, measured: Mapping[str, Any] = {}) -> dict[str, Any]:
    """A stage for run.json, with what was measured of it."""
    inner: Any = getattr(stage, "stage", stage)
    return {"name": stage.name, **measured, "digest": stage.digest, "settings": asdict(inner)}


def facts_of_run(about: Mapping[str, Any], stages: Sequence[Stage]) -> dict[str, Any]:
    """The facts in run.json on every run: how it was started, when, by which version, models and stages."""
    return {
        **about,
        "settings": settings_of(*stages) | dict(about.get("settings") or {}),
        "date": today(),
        "version": version("dailytalk-contiguous"),
        "models": models_of(stages),
        "stages": [stage_record(stage) for stage in stages],
    }


def today() -> str:
    """The date in UTC, such as 2025-01-31, which tells the reader of a page how old the data is."""
    return datetime.now(UTC).date().isoformat()


def write_spoken(
    out: Path,
    paths: Sequence[Path],
    stages: Sequence[Stage],
    rejects: Sequence[Reject],
    about: Mapping[str, Any],
    source: Mapping[str, Any] | None = None,
    fields: Sequence[Field] | None = None,
) -> dict[str, Any]:
    """Write the outputs of the finished shards `paths`, and return the record.

    `source` is where the recordings are from: run.json has it even if `dailytalk tag` wrote elsewhere. `fields`
    are those that stages publish, by default those of `Finish`. If nothing changed since the record was written,
    only its description of the run (`about`) is replaced.
    """
    results = Results(paths, stages, rejects)
    fingerprint = fingerprint_of(paths, [reject.as_dict() for reject in rejects])
    before = (read_run(out) or {}).get("speak", {})
    if fields is None:
        finish = find_stage(Finish, stages)
        fields = finish.fields if finish else ()
    about_run = {
        **about,
        "settings": settings_of(*stages) | dict(about.get("settings") or {}),
        "models": models_of(stages),
    }
    changed = _write_sounds(out, results.shards)
    exist = all((out / name).is_file() for name in (SHIFTED, REJECTS, *_FIGURES))
    record = {**before, **about_run}
    if changed or not exist or before.get("fingerprint") != fingerprint:
        written = _write_finished(out, results, (*FIELDS, *fields))
        record = {**about_run, **written, "fingerprint": fingerprint}
    whole = (read_run(out) or {}) | ({"source": dict(source)} if source else {}) | {"speak": record}
    whole |= {"fields": described(fields)} if fields else {}
    write_text(out / RUN, json_document(whole))
    return record


def _write_sounds(out: Path, shards: Mapping[Path, Shard]) -> bool:
    """Write the sound files that are missing or of other rows, and remove those of none; whether there were any.

    Whether a file belongs to its row is decided by the digest of its source in the file, never by its date: clocks
    differ, and are set back.
    """
    wanted, changed = set[Path](), False
    for path, shard in shards.items():
        sounds = {name: entry.audio for name, entry in shard.entries.items() if not entry.reject}
        wanted |= {wav_path(out, name) for name in sounds}
        missing = [name for name, digest in sounds.items() if made_from(out, wav_path(Path(), name)) != digest]
        if missing:
            changed = True
            mark(out / AUDIO, "audio")
        for name, row in (read_rows(path, ["audio"]) if missing else {}).items():
            if name in missing:
                samples, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="int16", always_2d=True)
                with replacing(wav_path(out, name)) as wav:
                    wav_writer([samples], rate, samples.shape[1], digest=sounds[name])(wav)
    for path in (out / AUDIO).rglob(f"*{EDITED}"):  # of conversations that are no longer part of the result
        if path not in wanted:
            changed = True
            path.unlink()
    return changed


def _write_finished(out: Path, results: Results, fields: Sequence[Field]) -> dict[str, Any]:
    """Write lines, tables and rejects; returns their part of the record."""

    def shifted_lines(maker: TableMaker) -> Iterator[str]:
        n_utterances = 0
        for row in results.rows(column for column in built(fields) if column != "audio"):
            # An utterance without text is no reject: its row has a reason, and it is counted.
            results.rejects += [
                Reject(utterance["utterance_id"], "Speak", utterance["reason"], "its original voice is kept")
                for utterance in row["utterances"]
                if utterance["status"] == "kept-original" and utterance["text"].strip()
            ]
            yield from map(json_text, shifted(row, n_utterances, fields))
            n_utterances += len(row["utterances"])
            maker.add(row)

    with tables_in(out, fields=[field for field in fields if field not in FIELDS]) as maker:
        write_lines(out / SHIFTED, shifted_lines(maker))
    made = maker.tables()
    spoken = SPOKEN_STAGES | {stage.name for stage in results.stages}
    before = [reject for reject in rejects_in(out) if reject["stage"] not in spoken]
    _write_rejects(out, before, [reject.as_dict() for reject in results.rejects])
    write_text(out / STATS, json_document(figures.corpus_stats(made)))
    statuses = {name.replace("-", "_"): n for name, n in figures.counts(made.utterances["status"]).items()}
    whole, means, lost = figures.totals(made), figures.timeline_means(made), figures.lost_in_rebuild(made)
    counts = {name: int(whole[name]) for name in ("conversations", "utterances", "words")}
    return {
        "date": today(),
        "counts": {**counts, **statuses, "rejects": len(results.rejects)},
        **results.record(),
        "hours": round(whole["seconds"] / 3600, 5),
        "cost": round(figures.cost(made), 6),
        "mean": {name: round(mean, 4) for name, mean in means.items()} or None,
        "lost_speech_seconds": lost["speech"],
        "lost_sound_seconds": lost["sound"],
    }


def edited_since(out: Path) -> bool:
    """Whether the transcript of a work folder differs from the one that its conversations were made from."""
    spoken = (read_run(out) or {}).get("speak", {}).get("transcript_sha256")
    return bool(spoken) and (out / TRANSCRIPT).exists() and sha256_of(inside(out, TRANSCRIPT)) != spoken


def shifted(row: Row, first_id: int = 0, fields: Sequence[Field] = FIELDS) -> Iterator[dict[str, Any]]:
    """The lines of a finished conversation: the transcript's fields at their new times, then ours."""
    for number, utterance in enumerate(row["utterances"], first_id):
        start, end = utterance["start"], utterance["end"]
        about = {
            "segment_id": number,
            "audio_file": wav_path(Path(), row["conversation_id"]).as_posix(),
            "conversation_id": row["conversation_id"],
            "duration": None if start is None else round(end - start, 4),
            "words": words_within(row["alignments"], utterance),
        }
        yield line_of({**utterance, **about}, rebuilt=True, fields=fields) | columns_of_lines(row, fields)


def wav_path(out: Path, conversation_id: str) -> Path:
    """The sound file of a conversation; an id that is too long for the name of a file is shortened."""
    return out / AUDIO / f"{shortened(conversation_id)}{EDITED}"


def finished_shard(path: Path) -> Shard:
    """A finished shard without its rows. Raises DailytalkError for one that is damaged."""
    shard = read_shard(path)
    if shard is None:
        raise DailytalkError(f"{as_text(path)!r} is damaged", "delete it and run the same command again")
    return shard
