"""The outputs of a run beside its shards: transcripts, sound files, rejects and the record of the run."""

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Features
from msgspec.structs import replace

from dailytalk_contiguous.core.documents import JsonObject, as_text
from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.core.records import figures
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.fields import Field, columns_of_lines
from dailytalk_contiguous.core.records.finished import as_recorded, from_finished
from dailytalk_contiguous.core.records.lines import to_shifted_line
from dailytalk_contiguous.core.records.published_fields import described
from dailytalk_contiguous.core.records.rows import from_row
from dailytalk_contiguous.core.records.schema import CHANNELS, COLUMNS, Row, built
from dailytalk_contiguous.core.records.tables import (
    LABELS,
    TableMaker,
    Tables,
    conversation_columns,
    utterance_columns,
)
from dailytalk_contiguous.core.records.utterance import FIELDS, or_none
from dailytalk_contiguous.core.settings import settings_of
from dailytalk_contiguous.core.wording import kind_of
from dailytalk_contiguous.machine.resources import PACKAGES
from dailytalk_contiguous.models.licences import licence_of
from dailytalk_contiguous.run.merged_transcript import count_edited, write_merged
from dailytalk_contiguous.run.sound_files import sounds_digest, wav_path, write_sounds
from dailytalk_contiguous.run.transcript_counts import count_transcript
from dailytalk_contiguous.shards import LAYOUT, Shard, read_rows, read_shard
from dailytalk_contiguous.sources.people import People
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.script import SILENT_SPEAKERS, Script, tagged_utterances, transcript_lines
from dailytalk_contiguous.store.files import (
    inside,
    json_document,
    json_text,
    sha256_of,
    write_lines,
    write_text,
)
from dailytalk_contiguous.store.parquet import writing_tables
from dailytalk_contiguous.store.work_folder import (
    CONVERSATIONS,
    LINE,
    LINE_DIGESTS,
    REJECTS,
    RUN,
    SHIFTED,
    SPOKEN_STAGES,
    TRANSCRIPT,
    UTTERANCES,
    rejects_in,
    run_json,
)

# What a finished run leaves beside its shards: transcript.jsonl, rejects.jsonl, run.json, and of the second
# half sound files and transcript_shifted.jsonl.
#
# All are made from the shards in one pass, a shard at a time, so that they do not depend on who made the shards
# and in which order. A work folder may hold both halves of the work: the record of the second is the key `speak`
# of run.json, and rejects.jsonl holds the rejects of both.


#: Raised whenever the files that a run leaves beside its shards change, so that the next run writes them again.
OUTPUTS_VERSION = 7


@dataclass(frozen=True)
class FinishedHalf:
    """One half of the work, whose shards are all made.

    Attributes:
        out: the work folder.
        paths: the shards, in order.
        stages: the stages of this half.
        rejects: rejects of the source, and those found before the shards are read.
        about: facts for the record: how the run was started, and its `source`, where the recordings are from.
        fields: the fields that stages publish.
        spoken: whether it is the second half.
        people: the names of the speakers.
    """

    out: Path
    paths: Sequence[Path]
    stages: Sequence[Stage]
    rejects: Sequence[Reject]
    about: Mapping[str, object]
    fields: Sequence[Field] = ()
    spoken: bool = False
    people: People = field(default_factory=dict)

    @property
    def line_fields(self) -> tuple[Field, ...]:
        """All fields of its lines."""
        return (*FIELDS, *self.fields)

    @property
    def columns(self) -> list[str]:
        """The columns of its shards from which its files are made."""
        if self.spoken:
            return [name for name in built(self.line_fields) if name != "audio"]
        read = (*Script.needs, *Script.uses, "sides", "notes", "rejected", "unmatched")
        return [*read, *(column.name for column in (*COLUMNS, *self.fields))]

    def fingerprint(self) -> str:
        """Return a digest of all that its files are made of, and of its sound files."""
        settings = _settings(self.about, self.stages)
        people = sorted(self.people.items())
        facts = [self.about.get(name) for name in ("source", "transcript_sha256", "tagged")]
        inputs = [settings, facts, people]
        sounds = sounds_digest(self.out) if self.spoken else ""
        rejects = [reject.as_dict() for reject in self.rejects]
        return fingerprint_of(self.paths, rejects, inputs, sounds)


def write_results(half: FinishedHalf) -> JsonObject:
    """Write all files of one half of the work from its finished shards.

    Returns what run.json holds on this half. If nothing changed since it was written, nothing is written, and no
    shard is opened; if only sound files did, only those are.
    """
    out = half.out
    run = run_json(out)
    spoken_record = run.pop("speak", None)
    before = (spoken_record or {}) if half.spoken else run
    fingerprint = half.fingerprint()
    if _is_written(half, before, fingerprint):
        return _record_again(half, before)
    shards = {path: finished_shard(path) for path in half.paths}
    if half.spoken:
        write_sounds(out, _sound_digests(shards))
        fingerprint = half.fingerprint()  # with the sound files as they are now
        if _is_written(half, before, fingerprint):
            return _record_again(half, before)
    if before.pop("fingerprint", None):  # if this run is killed, the files may be of neither
        write_text(out / RUN, json_document({**run, "speak": spoken_record} if spoken_record else run))
    reader = _ShardLines(half, shards)
    tables, n_edited = _write_lines_and_tables(reader, half.spoken or spoken_record is None)
    # Beside those of the other half.
    others = [reject for reject in rejects_in(out) if (reject["stage"] in SPOKEN_STAGES) != half.spoken]
    rejects = [reject.as_dict() for reject in reader.rejects]
    ordered = [*others, *rejects] if half.spoken else [*rejects, *others]
    write_lines(out / REJECTS, map(json_text, ordered))
    facts = facts_of_run(half.about, half.stages)
    if half.spoken:
        record = _spoken_record(reader, tables, facts, fingerprint)
        if "source" in facts:
            run["source"] = facts["source"]
        run["speak"] = record
    else:
        record = _with_transcript(out, _tagged_record(reader, tables, facts, fingerprint), n_edited)
        run = dict(record)
        if spoken_record:
            run["speak"] = spoken_record
    if half.fields:
        run["fields"] = described(half.fields)
    write_text(out / RUN, json_document(run))
    return record


def _write_lines_and_tables(reader: "_ShardLines", is_latest: bool) -> tuple[Tables, int]:
    """Write the lines of a half and, if it `is_latest`, the tables: of what is finished, once something is.

    Returns the tables, and how many lines of the transcript people have edited.
    """
    half = reader.half
    unwritten = nullcontext(TableMaker(False, half.fields))
    n_edited = 0
    with tables_in(half.out, half.spoken, half.fields) if is_latest else unwritten as maker:
        if half.spoken:
            write_lines(half.out / SHIFTED, map(json_text, reader.lines(maker)))
        else:
            n_edited = write_merged(half.out, reader.lines(maker))
    return maker.tables(), n_edited


def _is_written(half: FinishedHalf, before: JsonObject, fingerprint: str) -> bool:
    """Whether the files of an earlier run with the record `before` are those of this one."""
    lines = (SHIFTED,) if half.spoken else (TRANSCRIPT, LINE_DIGESTS)
    names = (REJECTS, UTTERANCES, CONVERSATIONS, *lines)
    has_files = all((half.out / name).is_file() for name in names)
    return has_files and before.get("fingerprint") == fingerprint


def _record_again(half: FinishedHalf, before: JsonObject) -> JsonObject:
    """Return the record of an earlier run with the same results, with the time and the money of this run.

    The transcript is counted again if people have edited it since.
    """
    spent = {name: half.about[name] for name in ("time", "money") if name in half.about}
    record = {**before, **spent}
    if half.spoken or sha256_of(inside(half.out, TRANSCRIPT)) == record["transcript_sha256"]:
        return record
    return _with_transcript(half.out, record, count_edited(half.out))


def _sound_digests(shards: Mapping[Path, Shard]) -> dict[Path, dict[str, str]]:
    """Return the digests of the audio of conversations that are a part of the result, by the shard that has it."""
    digests: dict[Path, dict[str, str]] = {}
    for path, shard in shards.items():
        digests[path] = {name: entry.audio for name, entry in shard.all_entries() if not entry.reject}
    return digests


def finished_shard(path: Path) -> Shard:
    """Return a finished shard without its rows. Raises DailytalkError for one that is damaged."""
    shard = read_shard(path)
    if not shard.entries:
        raise DailytalkError(f"{as_text(path)!r} is damaged", "delete it and run the same command again")
    return shard


class _ShardLines:
    """Reads the lines of one half of the work from its shards.

    Attributes:
        rejects: rejects of the source and, from the shards that were read, of conversations and their parts.
        n_parts: how many of them are parts of conversations that go on without them.
        notes: on the conversations that were read.
        silent_speakers: names of who has no line in a tagged conversation, by conversation id and channel.
    """

    def __init__(self, half: FinishedHalf, shards: Mapping[Path, Shard]) -> None:
        self.rejects = [*half.rejects]
        self.n_parts = sum(reject.stage == LINE for reject in half.rejects)
        self.notes = list[dict[str, str]]()
        self.silent_speakers = dict[str, dict[str, str]]()
        self.half = half
        self.shards = shards

    def lines(self, maker: TableMaker) -> Iterator[JsonObject]:
        """Yield the lines in order; each row goes to the maker of tables, too."""
        half = self.half
        numbers = itertools.count()
        for row in self._rows():
            if half.spoken:
                talk = from_finished(row)
                parts = _rejected_in_finished(talk)
                maker.add(talk)
                # The transcript's fields at their new times, then ours.
                talk.audio_file = wav_path(Path(), talk.conversation_id).as_posix()
                columns = columns_of_lines(talk.extra, half.line_fields)
                shifted = [to_shifted_line(utterance, talk, half.line_fields) for utterance in talk.utterances]
                lines: Iterable[JsonObject] = [line | columns for line in shifted]
            else:
                talk = from_row(row)
                parts = _rejected_in_tagged(talk)
                self._note(talk)
                maker.add(_as_finished(talk, half.line_fields))
                lines = _tagged_lines(talk, half)
            self.rejects += parts
            self.n_parts += len(parts)
            for line in lines:
                yield {"segment_id": next(numbers)} | line

    def _note(self, talk: Conversation) -> None:
        """Take over the notes on a tagged conversation, and who of the table of speakers has no line in it."""
        for note in or_none(talk.notes) or ():
            self.notes.append({"conversation_id": talk.conversation_id, "note": note})
        present = {utterance.channel for utterance in talk.utterances}
        for channel in sorted({*CHANNELS} - present):
            person = self.half.people.get((talk.recording_id, channel))
            if person:
                names = self.silent_speakers.setdefault(talk.conversation_id, {})
                names[channel] = person.speaker

    def _rows(self) -> Iterator[Row]:
        """Yield the rows of all conversations that are a part of the result."""
        for path, shard in self.shards.items():
            rows = read_rows(path, self.half.columns)
            for name, entry in shard.entries.items():
                if entry.reject:
                    self.rejects.append(entry.reject)
                if not entry.reject or name in shard.earlier_entries:
                    yield rows[name]


# transcript.jsonl: one line an utterance, for people and for tools that came before this one.
#
# The first fields, their names and their order are those of the older tool (where `vad` means valence, arousal and
# dominance); ours follow. Times are in seconds of the recording, to a millisecond; what is not a number is null.


def _tagged_lines(talk: Conversation, half: FinishedHalf) -> Iterator[JsonObject]:
    """Yield the lines of a tagged conversation, with what the table of speakers knows of who says them."""
    for utterance, line in zip(talk.utterances, transcript_lines(talk, half.line_fields), strict=True):
        person = half.people.get((talk.recording_id, utterance.channel))
        if person:
            line |= {name: value for name, value in person._asdict().items() if value}
        yield line


def _rejected_in_tagged(talk: Conversation) -> list[Reject]:
    """Return the rejected parts of a tagged conversation, and those that went on without a model."""
    failures = or_none(talk.model_failures) or ()
    parts = [failure for failure in failures if failure.stage not in SPOKEN_STAGES]
    return [*parts, *(or_none(talk.rejected) or ()), *(or_none(talk.unmatched) or ())]


def _rejected_in_finished(talk: Conversation) -> list[Reject]:
    """Return the parts of a finished conversation that were rejected since it was tagged, or went without a model.

    An utterance without text is not among them: its row has a reason.
    """
    failures = or_none(talk.model_failures) or ()
    parts = [failure for failure in failures if failure.stage in SPOKEN_STAGES]
    for utterance in talk.utterances:
        if utterance.status == "kept-original" and utterance.text.strip():
            reason = utterance.reason or ""
            parts.append(Reject(utterance.utterance_id, "Speak", reason, "its original voice is kept"))
    return parts


def _as_finished(talk: Conversation, fields: Sequence[Field]) -> Conversation:
    """Return a tagged conversation as a finished one that was not rebuilt."""
    utterances = []
    words = []
    for utterance in tagged_utterances(talk, fields):
        utterances.append(as_recorded(utterance))
        words += [replace(word, speaker=utterance.channel) for word in utterance.words]
    languages = Counter(utterance.language for utterance in talk.utterances if utterance.language)
    commonest = languages.most_common(1)
    return replace(
        talk,
        utterances=utterances,
        alignments=words,
        main_language=commonest[0][0] if commonest else None,
        built_duration=talk.duration,
        built_sides=talk.sides,
    )


# The record of a half in run.json.


def _spoken_record(reader: _ShardLines, tables: Tables, facts: JsonObject, fingerprint: str) -> JsonObject:
    """Return the record of finished conversations for run.json."""
    statuses = figures.counts(tables.utterances["status"])
    by_status = {status.replace("-", "_"): count for status, count in statuses.items()}
    means = figures.timeline_means(tables)
    lost = figures.lost_in_rebuild(tables)
    earlier = itertools.chain.from_iterable(shard.earlier_entries for shard in reader.shards.values())
    return {
        **facts,
        "counts": {**_counts(reader, tables), **by_status},
        "rejected": _rejected(reader),
        "fingerprint": fingerprint,
        "hours": {"audio": _audio_hours(tables)},
        "cost": round(figures.cost(tables), 6),
        "mean": {name: round(mean, 4) for name, mean in means.items()},
        "lost_speech_seconds": lost["speech"],
        "lost_sound_seconds": lost["sound"],
        "of_earlier_runs": sorted(earlier),
    }


def _tagged_record(reader: _ShardLines, tables: Tables, facts: JsonObject, fingerprint: str) -> JsonObject:
    """Return the record of tagged conversations for run.json, without the counts of their transcript."""
    half = reader.half
    models = dict(facts["models"])
    recogniser = models.get("recogniser")
    if recogniser and recogniser["name"] not in figures.counts(tables.utterances["recogniser"]):
        del models["recogniser"]  # all words were given, and it was not loaded
    n_without_utterances = int((tables.conversations["utterances"] == 0).sum())
    kinds = Counter(kind_of(reject.reason) for reject in half.rejects)
    silent_speakers = {SILENT_SPEAKERS: reader.silent_speakers} if reader.silent_speakers else {}
    return {
        **facts,
        "models": models,
        "counts": {
            **_counts(reader, tables),
            "recordings_rejected": len(half.rejects),
            "without_utterances": n_without_utterances,
        },
        "rejected": {**_rejected(reader), "recordings": dict(kinds.most_common())},
        "fingerprint": fingerprint,
        "hours": {"audio": _audio_hours(tables)},
        "notes": reader.notes,
        **silent_speakers,
        "transcript_sha256": sha256_of(half.out / TRANSCRIPT),
    }


def _with_transcript(out: Path, record: JsonObject, n_edited: int) -> JsonObject:
    """Return the record of tagged conversations with the counts of their transcript and its edited lines."""
    transcript = count_transcript(inside(out, TRANSCRIPT))
    counts = record["counts"]
    return {
        **record,
        "counts": {
            **counts,
            "conversations": transcript.conversations + counts["without_utterances"],
            "utterances": transcript.utterances,
            "words": transcript.words,
            "utterances_by_recogniser": dict(transcript.recognisers),
            "edited": n_edited,
        },
        "hours": {**record["hours"], "speech": round(transcript.speech_seconds / 3600, 5)},
    }


def _counts(reader: _ShardLines, tables: Tables) -> dict[str, int]:
    totals = figures.totals(tables)
    counts = {name: int(totals[name]) for name in ("conversations", "utterances", "words")}
    return {**counts, "rejects": len(reader.rejects), "rejected_parts": reader.n_parts}


def _audio_hours(tables: Tables) -> float:
    return round(figures.totals(tables)["seconds"] / 3600, 5)


def _rejected(reader: _ShardLines) -> JsonObject:
    """Rejected conversations and their seconds beside those of all, and seconds by kind of reason.

    `reasons`: the longest first. `remedies`: what to do about each kind, also of what the source rejected.
    """
    entries = [entry for shard in reader.shards.values() for entry in shard.entries.values()]
    n_rejected = 0
    lost: dict[str, float] = {}
    for entry in entries:
        if entry.reject:
            n_rejected += 1
            kind = kind_of(entry.reject.reason)
            lost[kind] = lost.get(kind, 0.0) + entry.duration
    longest_first = sorted(lost, key=lost.__getitem__, reverse=True)
    return {
        "conversations": n_rejected,
        "of_conversations": len(entries),
        "seconds": round(sum(lost.values()), 3),
        "of_seconds": round(sum(entry.duration for entry in entries), 3),
        "reasons": {kind: round(lost[kind], 3) for kind in longest_first},
        "remedies": {kind_of(reject.reason): reject.remedy for reject in reversed(reader.rejects)},
    }


def fingerprint_of(paths: Iterable[Path], *parts: object) -> str:
    """Return a digest that changes whenever the outputs of shards and `parts` would.

    The names of shards identify their contents, and their sizes show that they are whole. No shard is opened: a
    Parquet file of a few conversations takes a thousand times as long as its size.
    """
    digest = hashlib.sha256(json.dumps([OUTPUTS_VERSION, LAYOUT, *parts]).encode())
    for path in filter(Path.is_file, paths):
        digest.update(f"\n{path.name} {path.stat().st_size}".encode())
    return digest.hexdigest()[:20]


def models_of(stages: Sequence[Stage]) -> dict[str, JsonObject]:
    """Return the models of stages by role, each with its name and licence, for run.json."""
    licences = {role: licence for stage in stages for role, licence in stage.licences.items()}
    models = {role: model for stage in stages for role, model in stage.models().items()}
    records = {}
    for role, model in models.items():
        licence = licences.get(role) or licence_of(model, role)
        records[role] = {"name": model, **licence._asdict()}
    return records


def stage_record(stage: Stage) -> JsonObject:
    """Return a stage for run.json."""
    fields: Any = stage  # each stage is a dataclass
    return {"name": stage.name, "digest": stage.digest, "settings": asdict(fields)}


def facts_of_run(about: Mapping[str, object], stages: Sequence[Stage]) -> JsonObject:
    """Return the facts in run.json on every run: how it was started, when, by which version, models and stages."""
    return {
        **about,
        "settings": _settings(about, stages),
        "date": today(),
        "version": version("dailytalk-contiguous"),
        "packages": {name: version(name) for name in PACKAGES},
        "models": models_of(stages),
        "stages": [stage_record(stage) for stage in stages],
    }


def _settings(about: Mapping[str, object], stages: Sequence[Stage]) -> dict[str, object]:
    """Return the settings of a run: the settings of its stages, and the options with which it was started."""
    settings = settings_of(*stages)
    chosen = about.get("settings")
    return {**settings, **chosen} if isinstance(chosen, Mapping) else settings


def today() -> str:
    """Return the date in UTC, such as 2025-01-31, which tells the reader of a page how old the data is."""
    return datetime.now(UTC).date().isoformat()


@contextmanager
def tables_in(
    out: Path, finished: bool = True, fields: Sequence[Field] = (), labelled: bool = False
) -> Iterator[TableMaker]:
    """Yield a maker of tables whose rows are both kept and written: whole at the end of the block, or not at all.

    `labelled`: rows are clips, whose labels are columns. Raises OSError as the disk does.
    """
    columns = conversation_columns(fields)
    kept = {name: column for name, column in columns.items() if labelled or name not in LABELS}
    of_conversations = Features(kept).arrow_schema
    of_utterances = utterance_columns(fields).arrow_schema
    with (
        writing_tables(out / CONVERSATIONS, of_conversations) as write_conversations,
        writing_tables(out / UTTERANCES, of_utterances) as write_utterances,
    ):

        def write(conversations: pa.Table, utterances: pa.Table) -> None:
            write_conversations(conversations.select(of_conversations.names).cast(of_conversations))
            write_utterances(utterances)

        maker = TableMaker(finished, fields, write=write)
        yield maker
        maker.flush()
