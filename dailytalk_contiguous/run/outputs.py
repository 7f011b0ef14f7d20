"""The outputs of a run beside its shards: transcripts, sound files, rejects and the record of the run."""

import hashlib
import io
import itertools
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import soundfile
from datasets import Features

from dailytalk_contiguous.core import figures
from dailytalk_contiguous.core.conversation import Conversation, from_row, known_columns, or_none
from dailytalk_contiguous.core.documents import as_text, numbered_lines, parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.fields import Field, columns_of_lines
from dailytalk_contiguous.core.machine import PACKAGES
from dailytalk_contiguous.core.published_fields import described
from dailytalk_contiguous.core.schema import CHANNELS, COLUMNS, Row, built
from dailytalk_contiguous.core.settings import settings_of
from dailytalk_contiguous.core.tables import LABELS, TableMaker, Tables, conversation_columns, utterance_columns
from dailytalk_contiguous.core.utterance import EDGES, FIELDS, features_of_fields, line_of, words_within
from dailytalk_contiguous.core.wording import kind_of
from dailytalk_contiguous.models.licences import licence_of
from dailytalk_contiguous.run.transcript_counts import count_transcript
from dailytalk_contiguous.shards import LAYOUT, Entry, Shard, is_held, read_rows, read_shard
from dailytalk_contiguous.sources.people import People
from dailytalk_contiguous.sources.recordings import shortened
from dailytalk_contiguous.stages.base import PerUtterance, Stage
from dailytalk_contiguous.stages.script import SILENT_SPEAKERS, Script, tagged_utterances, transcript_lines
from dailytalk_contiguous.store.files import (
    inside,
    json_document,
    json_text,
    replacing,
    sha256_of,
    write_lines,
    write_text,
)
from dailytalk_contiguous.store.owned_folder import EDITED, made_from, mark, source_digest, write_sound
from dailytalk_contiguous.store.parquet import writing_tables
from dailytalk_contiguous.store.work_folder import (
    AUDIO,
    CONVERSATIONS,
    LINE,
    LINE_DIGESTS,
    REJECTS,
    RUN,
    SHIFTED,
    SPOKEN_STAGES,
    STATS,
    TRANSCRIPT,
    UTTERANCES,
    RunRecord,
    read_run,
    rejects_in,
)

# transcript.jsonl: one line an utterance, for people and for tools that came before this one.
#
# The first fields, their names and their order are those of the older tool (where `vad` means valence, arousal and
# dominance); ours follow. Times are in seconds of the recording, to a millisecond; what is not a number is null.


#: A line of a transcript.
TranscriptLine: TypeAlias = dict[str, Any]


def transcript_columns(published: Iterable[Field]) -> tuple[str, ...]:
    """Columns of a shard from which its lines are made, with those that stages publish."""
    names = [column.name for column in (*COLUMNS, *published)]
    return ("recording_id", "sides", "notes", "rejected", "unmatched", *Script.needs, *Script.uses, *names)


#: For input without a table of speakers.
NOBODY: People = {}


def tagged_lines(
    talk: Conversation, first_id: int = 0, people: People = NOBODY, fields: Sequence[Field] = FIELDS
) -> Iterator[TranscriptLine]:
    """The lines of one conversation, in order of start; `segment_id` counts on from `first_id`.

    `people` (by recording id and channel) give `speaker`, and `gender` and `language` if they are known.
    """
    lines = transcript_lines(talk, fields)
    for number, (utterance, content) in enumerate(zip(talk.utterances, lines, strict=True), first_id):
        line = {"segment_id": number} | content
        person = people.get((talk.recording_id, utterance.channel))
        if person:
            line |= {name: value for name, value in person._asdict().items() if value}
        yield line


# What a finished run leaves beside its shards: transcript.jsonl, rejects.jsonl, corpus-stats.json, run.json, and
# of the second half sound files and transcript_shifted.jsonl.
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
        stages: of this half.
        rejects: of the source, and of what is read before the shards.
        about: goes into the record: how the run was started, and its `source`, where the recordings are from.
        fields: that stages publish.
        spoken: whether it is the second half.
        people: name the speakers.
        earlier: shards of earlier runs by rejected conversations whose rows in them stay a part of the result.
    """

    out: Path
    paths: Sequence[Path]
    stages: Sequence[Stage]
    rejects: Sequence[Reject]
    about: Mapping[str, object]
    fields: Sequence[Field] = ()
    spoken: bool = False
    people: People = field(default_factory=dict)
    earlier: Mapping[str, Path] = field(default_factory=dict)

    @property
    def line_fields(self) -> tuple[Field, ...]:
        """All fields of its lines."""
        return (*FIELDS, *self.fields)

    @property
    def file_names(self) -> tuple[str, ...]:
        """The names of the files that it leaves, except run.json and sound files."""
        lines = (SHIFTED,) if self.spoken else (TRANSCRIPT, LINE_DIGESTS)
        return (REJECTS, STATS, UTTERANCES, CONVERSATIONS, *lines)

    def fingerprint(self, settings: Mapping[str, object]) -> str:
        """A digest of all that its files are made of, and of its sound files; `settings` as run.json has them."""
        earlier = sorted((name, path.name) for name, path in self.earlier.items())
        people = sorted(self.people.items())
        facts = [self.about.get(name) for name in ("source", "transcript_sha256", "tagged")]
        inputs = [settings, facts, people, earlier]
        sounds = sounds_digest(self.out) if self.spoken else ""
        rejects = [reject.as_dict() for reject in self.rejects]
        return fingerprint_of([*self.paths, *self.earlier.values()], rejects, inputs, sounds)


def write_results(half: FinishedHalf) -> RunRecord:
    """Write all files of one half of the work from its finished shards.

    Returns what run.json holds on this half. If nothing changed since it was written, nothing is written, and no
    shard is opened; if only sound files did, only those are.
    """
    out = half.out
    run = read_run(out) or {}
    facts = facts_of_run(half.about, half.stages)
    spoken_record = run.pop("speak", None)
    before = (spoken_record or {}) if half.spoken else run
    has_files = all((out / name).is_file() for name in half.file_names)
    as_before = {**before, **{name: half.about[name] for name in ("time", "money") if name in half.about}}
    fingerprint = half.fingerprint(facts["settings"])
    if has_files and before.get("fingerprint") == fingerprint:
        return as_before if half.spoken else _counted_again(out, as_before)
    shards = {path: finished_shard(path) for path in half.paths}
    if half.spoken:
        _write_sounds(out, shards, half.earlier)
        fingerprint = half.fingerprint(facts["settings"])  # with the sound files as they are now
    if has_files and before.get("fingerprint") == fingerprint:
        return as_before if half.spoken else _counted_again(out, as_before)
    reader = _ShardLines(half, shards)
    # The tables are of what is finished, once something is.
    is_latest = half.spoken or spoken_record is None
    unwritten = nullcontext(TableMaker(False, half.fields))
    n_edited = 0
    with tables_in(out, half.spoken, half.fields) if is_latest else unwritten as maker:
        if half.spoken:
            write_lines(out / SHIFTED, map(json_text, reader.lines(maker)))
        else:
            n_edited = write_merged(out, reader.lines(maker))
    tables = maker.tables()
    if is_latest:
        write_text(out / STATS, json_document(figures.corpus_stats(tables)))
    rejects = [reject.as_dict() for reject in reader.rejects]
    _write_rejects(out, rejects, half.spoken)
    totals = figures.totals(tables)
    counts = {name: int(totals[name]) for name in ("conversations", "utterances", "words")}
    counts["rejects"] = len(rejects)
    counts["rejected_parts"] = reader.n_parts
    entries = [entry for shard in shards.values() for entry in shard.entries.values()]
    record = {
        **facts,
        "counts": counts,
        "rejected": _rejected_record(entries, reader.rejects),
        "fingerprint": fingerprint,
        "hours": {"audio": round(totals["seconds"] / 3600, 5)},
    }
    if half.spoken:
        _add_spoken(record, tables, sorted(half.earlier))
        if "source" in facts:
            run["source"] = facts["source"]
        run["speak"] = record
    else:
        _add_tagged(record, tables, half.rejects)
        record["notes"] = reader.notes
        if reader.silent_speakers:
            record[SILENT_SPEAKERS] = reader.silent_speakers
        record["transcript_sha256"] = sha256_of(out / TRANSCRIPT)
        record = _with_counts(out, record, n_edited)
        run = dict(record)
        if spoken_record:
            run["speak"] = spoken_record
    if half.fields:
        run["fields"] = described(half.fields)
    write_text(out / RUN, json_document(run))
    return record


class _ShardLines:
    """Reads the lines of one half of the work from its shards.

    Attributes:
        rejects: what was rejected: of the source and, of the shards that were read, conversations and less.
        n_parts: how many of them are parts of conversations that go on without them.
        notes: on the conversations that were read.
        silent_speakers: names of who has no line in a tagged conversation, by conversation id and channel.
    """

    def __init__(self, half: FinishedHalf, shards: Mapping[Path, Shard]) -> None:
        self.rejects = [*half.rejects]
        self.n_parts = sum(reject.stage == LINE for reject in half.rejects)
        self.notes = list[dict[str, str]]()
        self.silent_speakers = dict[str, dict[str, str]]()
        self._half = half
        self._shards = shards
        self._columns: Sequence[str] = transcript_columns(half.fields)
        if half.spoken:
            self._columns = [name for name in built(half.line_fields) if name != "audio"]

    def lines(self, maker: TableMaker) -> Iterator[TranscriptLine]:
        """The lines in order; each row goes to the maker of tables, too."""
        half = self._half
        fields = half.line_fields
        n_lines = 0
        for row in self._rows():
            if half.spoken:
                parts = _rejected_in_finished(row)
                maker.add(row)
                lines = shifted(row, n_lines, fields)
            else:
                talk = from_row(row)
                parts = _rejected_in_tagged(talk)
                self._note(talk)
                maker.add(row | _as_finished(talk, fields))
                lines = tagged_lines(talk, n_lines, half.people, fields)
            self.rejects += parts
            self.n_parts += len(parts)
            for line in lines:
                yield line
                n_lines += 1

    def _note(self, talk: Conversation) -> None:
        """Take over the notes on a tagged conversation, and who of the table of speakers has no line in it."""
        for note in or_none(talk.notes) or ():
            self.notes.append({"conversation_id": talk.id, "note": note})
        present = {utterance.channel for utterance in talk.utterances}
        for channel in sorted({*CHANNELS} - present):
            person = self._half.people.get((talk.recording_id, channel))
            if person:
                names = self.silent_speakers.setdefault(talk.id, {})
                names[channel] = person.speaker

    def _rows(self) -> Iterator[Row]:
        """The rows of all conversations that are a part of the result."""

        @lru_cache(maxsize=2)  # conversations that keep an earlier row were neighbours then, too
        def rows_of(path: Path) -> dict[str, Row]:
            return read_rows(path, self._columns)

        earlier = self._half.earlier
        for path, shard in self._shards.items():
            for name, entry in shard.entries.items():
                if entry.reject:
                    self.rejects.append(entry.reject)
                if not entry.reject or name in earlier:
                    yield rows_of(earlier.get(name, path))[name]
        tried = {name for shard in self._shards.values() for name in shard.entries}
        for name, path in earlier.items():
            if name not in tried:
                yield rows_of(path)[name]


def _write_rejects(out: Path, rejects: Sequence[Mapping[str, str]], spoken: bool) -> None:
    """Write the rejects of one half of the work beside those of the other half."""
    others = [reject for reject in rejects_in(out) if (reject["stage"] in SPOKEN_STAGES) != spoken]
    first, second = (others, rejects) if spoken else (rejects, others)
    write_lines(out / REJECTS, map(json_text, [*first, *second]))


def _add_spoken(record: RunRecord, tables: Tables, earlier: Sequence[str]) -> None:
    """Add to a record what only finished conversations have."""
    lost = figures.lost_in_rebuild(tables)
    for status, count in figures.counts(tables.utterances["status"]).items():
        record["counts"][status.replace("-", "_")] = count
    record["cost"] = round(figures.cost(tables), 6)
    record["mean"] = {name: round(mean, 4) for name, mean in figures.timeline_means(tables).items()}
    record["lost_speech_seconds"] = lost["speech"]
    record["lost_sound_seconds"] = lost["sound"]
    record["of_earlier_runs"] = earlier


def _add_tagged(record: RunRecord, tables: Tables, rejects: Sequence[Reject]) -> None:
    """Add to a record what only tagged conversations have; `rejects`: the recordings that the source rejected."""
    recognisers = dict(figures.counts(tables.utterances["recogniser"]))
    recogniser = record["models"].get("recogniser")
    if recogniser and recogniser["name"] not in recognisers:
        del record["models"]["recogniser"]  # all words were given, and it was not loaded
    record["counts"]["recordings_rejected"] = len(rejects)
    kinds = Counter(kind_of(reject.reason) for reject in rejects)
    record["rejected"]["recordings"] = dict(kinds.most_common())
    record["counts"]["without_utterances"] = int((tables.conversations["utterances"] == 0).sum())


def _with_counts(out: Path, record: RunRecord, n_edited: int) -> RunRecord:
    """The record of tagged conversations, with what their transcript holds, `n_edited` lines of it edited."""
    totals = count_transcript(inside(out, TRANSCRIPT))
    n_without_lines = record["counts"]["without_utterances"]
    counts = {
        **record["counts"],
        "conversations": totals.conversations + n_without_lines,
        "utterances": totals.utterances,
        "words": totals.words,
        "utterances_by_recogniser": dict(totals.recognisers),
        "edited": n_edited,
    }
    hours = {**record["hours"], "speech": round(totals.speech_seconds / 3600, 5)}
    return {**record, "counts": counts, "hours": hours}


def _counted_again(out: Path, record: RunRecord) -> RunRecord:
    """The record of an earlier run, with what is in its transcript if people have edited that since."""
    if sha256_of(inside(out, TRANSCRIPT)) == record["transcript_sha256"]:
        return record
    digests = _read_digests(out)
    _, edited, _ = _sorted_lines(out, digests)
    return _with_counts(out, record, _count_edited(edited, digests))


def _count_edited(edited: Iterable[str], digests: Mapping[str, set[str]]) -> int:
    """How many of the edited lines, by their ids, are of utterances that a run has written."""
    return len([identity for identity in edited if _short(identity) in digests])


def _rejected_in_tagged(talk: Conversation) -> list[Reject]:
    """What is smaller than a tagged conversation and was rejected, or went on without a model."""
    failures = or_none(talk.model_failures) or ()
    parts = [failure for failure in failures if failure.stage not in SPOKEN_STAGES]
    return [*parts, *(or_none(talk.rejected) or ()), *(or_none(talk.unmatched) or ())]


def _rejected_in_finished(row: Row) -> list[Reject]:
    """What is smaller than a finished row and was rejected after it was tagged, or went on without a model.

    An utterance without text is none: its row has a reason.
    """
    failures = [Reject(**failure) for failure in row.get("model_failures") or ()]
    parts = [failure for failure in failures if failure.stage in SPOKEN_STAGES]
    for utterance in row["utterances"]:
        if utterance["status"] == "kept-original" and utterance["text"].strip():
            reason = utterance["reason"]
            parts.append(Reject(utterance["utterance_id"], "Speak", reason, "its original voice is kept"))
    return parts


def _rejected_record(entries: Sequence[Entry], rejects: Sequence[Reject]) -> RunRecord:
    """For run.json: rejected conversations and their seconds beside those of all, and seconds by kind of reason.

    `reasons`: the longest first. `remedies`: what to do about each kind, also of what the source rejected.
    """
    lost: dict[str, float] = {}
    n_rejected = 0
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
        "remedies": {kind_of(reject.reason): reject.remedy for reject in reversed(rejects)},
    }


def _as_finished(talk: Conversation, fields: Sequence[Field]) -> Row:
    """The columns that a tagged row lacks, as those of a finished conversation that was not rebuilt."""
    names = features_of_fields(fields)
    utterances: list[Row] = []
    alignments: list[Row] = []
    for utterance in tagged_utterances(talk, fields):
        struct = known_columns(utterance, names)
        for name in ("channel", *EDGES):
            struct[f"source_{name}"] = struct[name]
        utterances.append(struct)
        for word in utterance.words:
            alignments.append(
                {
                    "word": word.text,
                    "start": word.start,
                    "end": word.end,
                    "speaker": utterance.channel,
                    "source": None,
                    "probability": word.probability,
                    "filler": word.filler,
                }
            )
    languages = Counter(utterance.language for utterance in talk.utterances if utterance.language)
    commonest = languages.most_common(1)
    return {
        "timeline": None,
        "provenance": None,
        "source_duration": talk.duration,
        "alignments": alignments,
        "language": commonest[0][0] if commonest else None,
        "utterances": utterances,
    }


def fingerprint_of(paths: Iterable[Path], *parts: object) -> str:
    """A digest that changes whenever the outputs of shards and `parts` would: the names of shards say what is in
    them, and their sizes that they are whole.

    What is tried again may come out otherwise under its name, and counts with its time. No shard is opened: a
    Parquet file of a few conversations takes a thousand times as long as its size.
    """
    digest = hashlib.sha256(json.dumps([OUTPUTS_VERSION, LAYOUT, *parts]).encode())
    for path in filter(Path.is_file, paths):
        status = path.stat()
        time = status.st_mtime_ns if is_held(path) else 0
        digest.update(f"\n{path.name} {status.st_size} {time}".encode())
    return digest.hexdigest()[:20]


def sounds_digest(out: Path) -> str:
    """A digest of the names of the sound files of a work folder, and of what they are copies of.

    It changes where one is missing, added, or made of another row. A link is none of ours.
    """
    names = list[str]()
    for folder, _, files in os.walk(out / AUDIO):
        names += [os.path.join(folder, name) for name in files if name.endswith(EDITED)]
    digest = hashlib.sha256()
    for name in sorted(names):
        source = None if os.path.islink(name) else source_digest(name)
        digest.update(f"{os.path.relpath(name, out)}\0{source}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def models_of(stages: Sequence[Stage]) -> dict[str, RunRecord]:
    """The models of stages by role, each with its name and licence, for run.json."""
    licences = {role: licence for stage in stages for role, licence in _inner(stage).licences.items()}
    models = {role: model for stage in stages for role, model in stage.models().items()}
    records = {}
    for role, model in models.items():
        licence = licences.get(role) or licence_of(model, role)
        records[role] = {"name": model, **licence._asdict()}
    return records


def _inner(stage: Stage) -> Stage:
    return stage.stage if isinstance(stage, PerUtterance) else stage


def stage_record(stage: Stage) -> RunRecord:
    """A stage for run.json."""
    inner: Any = _inner(stage)  # each stage is a dataclass
    return {"name": stage.name, "digest": stage.digest, "settings": asdict(inner)}


def facts_of_run(about: Mapping[str, object], stages: Sequence[Stage]) -> RunRecord:
    """The facts in run.json on every run: how it was started, when, by which version, models and stages."""
    settings = settings_of(*stages)
    chosen = about.get("settings")
    if isinstance(chosen, Mapping):
        settings |= chosen
    return {
        **about,
        "settings": settings,
        "date": today(),
        "version": version("dailytalk-contiguous"),
        "packages": {name: version(name) for name in PACKAGES},
        "models": models_of(stages),
        "stages": [stage_record(stage) for stage in stages],
    }


def today() -> str:
    """The date in UTC, such as 2025-01-31, which tells the reader of a page how old the data is."""
    return datetime.now(UTC).date().isoformat()


def _write_sounds(out: Path, shards: Mapping[Path, Shard], earlier: Mapping[str, Path]) -> None:
    """Write the sound files that are missing or of other rows, and remove those of none.

    Whether a file belongs to its row is decided by the digest of its source in the file, never by its date: clocks
    differ, and are set back.
    """
    digests: dict[Path, dict[str, str]] = {}
    for path, shard in shards.items():
        digests[path] = {name: entry.audio for name, entry in shard.entries.items() if not entry.reject}
    for name, path in earlier.items():
        digests.setdefault(path, {})[name] = finished_shard(path).entries[name].audio
    wanted = set[Path]()
    for path, sounds in digests.items():
        wanted |= {wav_path(out, name) for name in sounds}
        missing = {
            name: digest for name, digest in sounds.items() if made_from(out, wav_path(Path(), name)) != digest
        }
        if missing:
            mark(out / AUDIO, "audio")
            _write_sounds_of(out, path, missing)
    for path in (out / AUDIO).rglob(f"*{EDITED}"):  # of conversations that are no longer part of the result
        if path not in wanted:
            path.unlink()


def _write_sounds_of(out: Path, shard: Path, digests: Mapping[str, str]) -> None:
    """Write the sound files of conversations of a shard, each with the digest of its source."""
    for name, row in read_rows(shard, ["audio"]).items():
        if name in digests:
            encoded = io.BytesIO(row["audio"]["bytes"])
            samples, rate = soundfile.read(encoded, dtype="int16", always_2d=True)
            with replacing(wav_path(out, name)) as wav:
                write_sound(wav, [samples], rate, samples.shape[1], digest=digests[name])


def edited_since(out: Path) -> bool:
    """Whether the transcript of a work folder differs from the one that its conversations were made from."""
    run = read_run(out) or {}
    digest = run.get("speak", {}).get("transcript_sha256")
    if not digest or not (out / TRANSCRIPT).exists():
        return False
    return sha256_of(inside(out, TRANSCRIPT)) != str(digest)


def shifted(row: Row, first_id: int = 0, fields: Sequence[Field] = FIELDS) -> Iterator[TranscriptLine]:
    """The lines of a finished conversation: the transcript's fields at their new times, then ours."""
    for number, utterance in enumerate(row["utterances"], first_id):
        start = utterance["start"]
        end = utterance["end"]
        about = {
            "segment_id": number,
            "audio_file": wav_path(Path(), row["conversation_id"]).as_posix(),
            "conversation_id": row["conversation_id"],
            "duration": None if start is None else round(end - start, 4),
            "words": words_within(row["alignments"], utterance),
        }
        line = line_of({**utterance, **about}, rebuilt=True, fields=fields)
        yield line | columns_of_lines(row, fields)


def wav_path(out: Path, conversation_id: str) -> Path:
    """The sound file of a conversation; an id that is too long for the name of a file is shortened."""
    return out / AUDIO / f"{shortened(conversation_id)}{EDITED}"


def finished_shard(path: Path) -> Shard:
    """A finished shard without its rows. Raises DailytalkError for one that is damaged."""
    shard = read_shard(path)
    if shard is None:
        raise DailytalkError(f"{as_text(path)!r} is damaged", "delete it and run the same command again")
    return shard


# A new transcript where people have edited the last one: their lines stay, and all others are those of the run.
#
# `transcript.sha256` has a digest of every line that the last run wrote, so a line without one was edited, and an
# utterance without a line was deleted.


def write_merged(out: Path, made: Iterable[TranscriptLine]) -> int:
    """Write the lines `made` by a run to the transcript of a work folder, but those that people edited or deleted.

    A run that is killed on the way takes none of its own lines for an edit. Returns how many lines stay as people
    edited them.
    """
    before = _read_digests(out)
    unedited, edited, others = _sorted_lines(out, before)
    n_edited = _count_edited(edited, before)
    new: dict[str, set[str]] = {}
    numbers = itertools.count()

    def merged() -> Iterator[str]:
        for line in made:
            identity = line["utterance_id"]
            key = _short(identity)
            new[key] = {_digest(line)}
            if identity not in edited and identity not in unedited and key in before:
                continue  # somebody has deleted it
            kept = edited.pop(identity, line)
            if "segment_id" in kept:
                kept = kept | {"segment_id": next(numbers)}
            yield json_text(kept)
        yield from map(json_text, edited.values())
        yield from others
        both = {key: before.get(key, set()) | new.get(key, set()) for key in {*before, *new}}
        _write_digests(out, both)

    write_lines(out / TRANSCRIPT, merged())
    _write_digests(out, before | new)
    return n_edited


def _read_digests(out: Path) -> dict[str, set[str]]:
    """The digests of the lines that runs wrote, by utterance; a killed run leaves those of both runs."""
    digests = defaultdict[str, set[str]](set)
    if (out / LINE_DIGESTS).is_file() and (out / TRANSCRIPT).is_file():
        for text in inside(out, LINE_DIGESTS).read_text("utf-8", "replace").splitlines():
            key, _, digest = text.partition(" ")
            digests[key].add(digest)
    return dict(digests)


def _write_digests(out: Path, digests: Mapping[str, set[str]]) -> None:
    lines = (f"{key} {digest}\n" for key in sorted(digests) for digest in sorted(digests[key]))
    write_lines(out / LINE_DIGESTS, lines)


def _sorted_lines(
    out: Path, digests: Mapping[str, set[str]]
) -> tuple[set[str], dict[str, TranscriptLine], list[str]]:
    """The transcript: ids of unedited lines, edited lines by id, and those that people added, as text.

    `digests`: as `_read_digests` returns them.
    """
    unedited = set[str]()
    edited = dict[str, TranscriptLine]()
    others = list[str]()
    if not (out / TRANSCRIPT).exists():
        return unedited, edited, others
    for _, text in numbered_lines(inside(out, TRANSCRIPT)):
        try:
            line = parse_json(text, "", nan=True)
            identity = line["utterance_id"]
            digest = _digest(line)
        except (BadInput, KeyError, TypeError, ValueError):
            identity = None  # such a line is rejected where the transcript is read
        if not isinstance(identity, str) or identity in unedited or identity in edited:
            if text.strip():
                others.append(text.decode("utf-8", "replace").rstrip("\n") + "\n")
        elif digest in digests.get(_short(identity), ()):
            unedited.add(identity)
        else:
            edited[identity] = line
    return unedited, edited, others


def _digest(line: TranscriptLine) -> str:
    """A digest of all of a line except its number, which depends on the lines before it."""
    unnumbered = {name: value for name, value in line.items() if name != "segment_id"}
    return _short(json_text(unnumbered))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


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
