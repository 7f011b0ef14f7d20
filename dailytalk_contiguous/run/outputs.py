"""The outputs of a run beside its shards: transcripts, sound files, rejects and the record of the run."""

import hashlib
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
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
from dailytalk_contiguous.core.tables import TableMaker, Tables
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
from dailytalk_contiguous.shards import Entry, Shard, audio_digest, is_held, read_rows, read_shard
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


# What a finished run leaves beside its shards: transcript.jsonl, rejects.jsonl, corpus-stats.json and run.json.
#
# All are made from the shards in one pass, a shard at a time, so that they do not depend on who made the
# shards and in which order. A transcript that a person has edited is never overwritten.


#: Files with figures of all conversations.
_FIGURES = (STATS, UTTERANCES, CONVERSATIONS)

#: Raised whenever the files that a run leaves beside its shards change, so that the next run writes them again.
OUTPUTS_VERSION = 1

#: The most notes on recordings that run.json repeats; all of them are in the shards.
NOTES_KEPT = 200


class Results:
    """What run.json says of the shards of `tag` or `speak`: rows, rejects, and seconds of the stages."""

    def __init__(self, stages: Sequence[Stage], rejects: Sequence[Reject], maker: TableMaker) -> None:
        self.stages = stages
        self.rejects = [*rejects]
        self.maker = maker
        self.n_utterances = 0
        self.notes: list[dict[str, str]] = []
        self.n_notes = 0
        self.seconds: dict[str, float] = defaultdict(float)
        self.audio: dict[str, float] = defaultdict(float)
        self.rejected = {"conversations": 0, "of_conversations": 0, "seconds": 0.0, "of_seconds": 0.0}
        self.reasons: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self.remedies = {kind_of(reject.reason): reject.remedy for reject in reversed(rejects)}
        self.given_languages: Counter[str] = Counter()
        self.fitted_words = 0

    def add_shard(self, shard: Shard) -> None:
        """Count what the stages took for a shard."""
        for stage, (took, audio) in shard.seconds.items():
            self.seconds[stage] += took
            self.audio[stage] += audio

    def add(self, entry: Entry) -> bool:
        """Count a conversation of a shard; returns whether it has a row."""
        for part in ("of_", "") if entry.reject else ("of_",):
            self.rejected[f"{part}conversations"] += 1
            self.rejected[f"{part}seconds"] += entry.duration
        if entry.reject:
            self.rejects.append(entry.reject)
            kind = kind_of(entry.reject.reason)
            self.reasons[kind][kind_of(entry.reject.reason, quotes=True)] += entry.duration
            self.remedies.setdefault(kind, entry.reject.remedy)
        return not entry.reject

    def add_tagged(self, row: Row) -> None:
        """Count a tagged row, with its rejected utterances and its notes."""
        # As a finished conversation that was not rebuilt.
        words = [word | {"source": None} for words in row["words"] for word in words]
        languages = Counter(filter(None, row["language"])).most_common(1)
        finished = {"timeline": None, "provenance": None, "source_duration": row["duration"], "alignments": words}
        finished |= {"language": languages[0][0] if languages else None}
        finished |= {"utterances": tagged_utterances(row, (*FIELDS, *self.maker.fields))}
        self.add_finished(row | finished)
        self.rejects += [Reject(**item) for item in (*row["rejected"], *row["unmatched"])]
        given = [index for index, name in enumerate(row["recogniser"]) if name == GIVEN]
        self.given_languages.update({row["language"][index] for index in given})
        self.fitted_words += sum(word.get("fitted") is True for index in given for word in row["words"][index])
        self.n_notes += len(row["notes"])
        notes = row["notes"][: max(0, NOTES_KEPT - len(self.notes))]
        self.notes += [{"conversation_id": row["conversation_id"], "note": note} for note in notes]

    def add_finished(self, row: Row) -> None:
        self.n_utterances += len(row["utterances"] or ())
        self.maker.add(row)

    def measured(self, stage: Stage) -> dict[str, float | None]:
        """Wall seconds of a stage, in all and for a second of audio."""
        seconds, audio = self.seconds.get(stage.name, 0.0), self.audio.get(stage.name, 0.0)
        return {"seconds": round(seconds, 3), "realtime_factor": round(seconds / audio, 5) if audio else None}

    def rejected_record(self) -> dict[str, Any]:
        """How many conversations were rejected, and their seconds, beside those of all, for run.json.

        `reasons`: seconds by kind of reason, the longest first; a kind of which all quote the same has the quote.
        `remedies`: what to do about each kind, and about recordings that the source rejected.
        """
        rounded: dict[str, Any] = {name: round(value, 3) for name, value in self.rejected.items()}
        remedies = dict(self.remedies)
        reasons = {}
        for kind, quoted in sorted(self.reasons.items(), key=lambda item: (-sum(item[1].values()), item[0])):
            name = next(iter(quoted)) if len(quoted) == 1 else kind
            reasons[name], remedies[name] = round(sum(quoted.values()), 3), remedies.pop(kind)
        return rounded | {name: value for name, value in (("reasons", reasons), ("remedies", remedies)) if value}


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
    failed = [problem.as_dict() for problem in problems]
    named = sorted((*key, *person) for key, person in people.items())
    fingerprint = fingerprint_of(paths, failed, named)
    before = read_run(out)
    same = before and before.get("fingerprint") == fingerprint and before.get("source") == about.get("source")
    exist = all((out / name).is_file() for name in (TRANSCRIPT, LINE_DIGESTS, REJECTS, *_FIGURES))
    if before and same and exist:
        return before
    published = published_by(stages)
    spoken = (before or {}).get("speak")
    # The tables are of what is finished, once something is.
    writing = nullcontext(TableMaker(False, published)) if spoken else tables_in(out, False, published)
    with writing as maker:
        results = Results(stages, problems, maker)
        write_merged(out, _transcript(paths, results, people, published))
    made = maker.tables()
    rejects = [json_text(reject.as_dict()) for reject in results.rejects]
    after = [json_text(reject) for reject in rejects_in(out) if reject["stage"] in SPOKEN_STAGES]
    write_lines(out / REJECTS, [*rejects, *after])
    record = _record(results, made, len(problems), about) | {
        "transcript_sha256": sha256_of(out / TRANSCRIPT),
        "fingerprint": fingerprint,
    }
    record |= {"fields": described(published)} if published else {}
    # Columns that people's own stages add and do not publish stay in the shards.
    names = {field.name for field in published} | set(UTTERANCE)
    unpublished = []
    for stage in (stage.stage if isinstance(stage, PerUtterance) else stage for stage in stages):
        if not type(stage).__module__.startswith(f"{__package__.partition('.')[0]}."):
            unpublished += [name for name in stage.adds if name not in names]
    if unpublished:
        record["unpublished"] = unpublished
    if spoken:
        record["speak"] = spoken
    else:
        write_text(out / STATS, json_document(figures.corpus_stats(made)))
    write_text(out / RUN, json_document(record))
    return record


def fingerprint_of(paths: Sequence[Path], *parts: Any) -> str:
    """A digest that changes whenever the outputs of shards and `parts` would: the names of shards say what is in
    them.

    What is tried again may come out otherwise under its name, and counts with its time.
    """
    files = [(path.name, path.stat().st_mtime_ns if is_held(path) else 0) for path in paths]
    return hashlib.sha256(json.dumps([OUTPUTS_VERSION, files, *parts]).encode()).hexdigest()[:20]


def note_stop(out: Path, kind: str, command: str, error: BaseException, money: Mapping[str, Any]) -> None:
    """Write into run.json, as `stopped`, why a run that spends money ended early, and what it spent.

    Everything else in run.json is about the last run that finished; the next one that does removes `stopped`.
    """
    stopped = isinstance(error, KeyboardInterrupt)
    reason = error.sentence if isinstance(error, DailytalkError) else "Ctrl-C" if stopped else type(error).__name__
    stop = {"run": kind, "command": command, "reason": reason, "money": dict(money)}
    # If a full disk stopped the run, that error is the one to report.
    with suppress(OSError):
        write_text(out / RUN, json_document((read_run(out) or {}) | {"stopped": stop}))


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


def _transcript(
    paths: Sequence[Path], results: Results, people: "People", published: Sequence[Field]
) -> Iterator[dict[str, Any]]:
    """The lines of the transcript; `results` counts them as they are read."""
    for path in paths:
        rows, shard = read_rows(path, transcript_columns(published)), finished_shard(path)
        results.add_shard(shard)
        for name, entry in shard.entries.items():
            if results.add(entry):
                row = rows[name]
                yield from lines(row, results.n_utterances, people, (*FIELDS, *published))
                results.add_tagged(row)


def _settled(about: Mapping[str, Any], stages: Sequence[Stage]) -> dict[str, Any]:
    """How a run was started, with the settings of its stages."""
    return {**about, "settings": settings_of(*stages) | dict(about.get("settings") or {})}


def facts_of_run(about: Mapping[str, Any], stages: Sequence[Stage]) -> dict[str, Any]:
    """The facts in run.json on every run: how it was started, when, by which version, models and stages."""
    return {
        **_settled(about, stages),
        "date": today(),
        "version": version("dailytalk-contiguous"),
        "models": models_of(stages),
        "stages": [stage_record(stage) for stage in stages],
    }


def _record(results: Results, made: Tables, n_problems: int, about: Mapping[str, Any]) -> dict[str, Any]:
    whole, said = figures.totals(made), made.utterances
    hours = {"audio": whole["seconds"], "speech": figures.heard(made)["seconds"]}
    tags, emotions = (
        Counter(figures.sums(made, name)["utterances"].to_dict()) for name in ("tag", "emotion_class")
    )
    recognisers = figures.counts(said["recogniser"])
    facts = facts_of_run(about, results.stages)
    recogniser = facts["models"].get("recogniser")
    if recogniser and not recognisers[recogniser["name"]]:  # all words were given, and it was not loaded
        del facts["models"]["recogniser"]
    return {
        **facts,
        "packages": {name: version(name) for name in PACKAGES},
        "stages": [stage_record(stage, results.measured(stage)) for stage in results.stages],
        "counts": {
            "conversations": int(whole["conversations"]),
            "utterances": int(whole["utterances"]),
            "utterances_by_channel": dict(sorted(figures.counts(said["channel"]).items())),
            "utterances_by_recogniser": dict(recognisers.most_common()),
            "conversations_by_given_language": dict(results.given_languages.most_common()),
            "words_fitted": results.fitted_words,
            "short_utterances": figures.counts(said["kind"])["short"],
            "utterances_without_text": dict(figures.without_text(made).most_common()),
            "recordings_rejected": n_problems,
            "rejects": len(results.rejects),
            "rejects_by_stage": dict(Counter(reject.stage for reject in results.rejects).most_common()),
            "tags": dict(tags.most_common()),
            **({"emotions": dict(emotions.most_common())} if emotions else {}),
            "notes": results.n_notes,
        },
        "rejected": results.rejected_record(),
        "hours": {name: round(seconds / 3600, 5) for name, seconds in hours.items()},
        "notes": results.notes,
    }


def today() -> str:
    """The date in UTC, such as 2025-01-31, which tells the reader of a page how old the data is."""
    return datetime.now(UTC).date().isoformat()


# What `dailytalk speak` leaves beside its shards: sound files, transcript_shifted.jsonl, rejects, the record.
#
# A work folder may hold both halves of the work, so what the first half wrote is kept: the record of the second is
# the key `speak` of run.json, and rejects.jsonl holds the rejects of both. Sound is read only if its file is
# missing, and lines are written only if something changed.


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
    shards = {path: finished_shard(path) for path in paths}
    if any(not entry.reject for shard in shards.values() for entry in shard.entries.values()):
        mark(out / AUDIO, "audio")
    failed = [reject.as_dict() for reject in rejects]
    fingerprint = fingerprint_of(paths, failed)
    before = (read_run(out) or {}).get("speak", {})
    if fields is None:
        finish = find_stage(Finish, stages)
        fields = finish.fields if finish else ()
    about_run = {**_settled(about, stages), "models": models_of(stages)}
    if before.get("fingerprint") == fingerprint and _speak_outputs_exist(out, shards):
        record = {**before, **about_run}
    else:
        written = _written(out, shards, stages, rejects, fields)
        record = {**about_run, **written, "fingerprint": fingerprint}
    whole = (read_run(out) or {}) | ({"source": dict(source)} if source else {}) | {"speak": record}
    whole.pop("stopped", None)
    whole |= {"fields": described(fields)} if fields else {}
    write_text(out / RUN, json_document(whole))
    return record


def _written(
    out: Path,
    shards: Mapping[Path, Shard],
    stages: Sequence[Stage],
    rejects: Sequence[Reject],
    fields: Sequence[Field],
) -> dict[str, Any]:
    """Write sound, lines and rejects; returns their part of the record."""
    wanted: set[Path] = set()

    def shifted_lines(results: Results) -> Iterator[str]:
        for path, shard in shards.items():
            results.add_shard(shard)
            missing = [
                name
                for name, entry in shard.entries.items()
                if not entry.reject and not _is_current(out, name, entry)
            ]
            for name, row in (read_rows(path, ["audio"]) if missing else {}).items():
                if name in missing and made_from(out, wav_path(Path(), name)) != audio_digest(row):
                    flac = io.BytesIO(row["audio"]["bytes"])
                    samples, rate = soundfile.read(flac, dtype="int16", always_2d=True)
                    with replacing(wav_path(out, name)) as wav:
                        wav_writer([samples], rate, samples.shape[1], digest=audio_digest(row))(wav)
            rows = read_rows(path, [column for column in built((*FIELDS, *fields)) if column != "audio"])
            for name, entry in shard.entries.items():
                if not results.add(entry):
                    continue
                wanted.add(wav_path(out, name))
                # An utterance without text is no reject: its row has a reason, and it is counted.
                remedy = "the original voice is kept there, flagged"
                results.rejects += [
                    Reject(utterance["utterance_id"], "Speak", utterance["reason"], remedy)
                    for utterance in rows[name]["utterances"]
                    if utterance["status"] == "kept-original" and utterance["text"].strip()
                ]
                yield from map(json_text, shifted(rows[name], results.n_utterances, (*FIELDS, *fields)))
                results.add_finished(rows[name])

    with tables_in(out, fields=fields) as maker:
        results = Results(stages, rejects, maker)
        write_lines(out / SHIFTED, shifted_lines(results))
    made = maker.tables()
    for path in (out / AUDIO).rglob(f"*{EDITED}"):  # of conversations that are no longer part of the result
        if path not in wanted:
            path.unlink()
    ours = [json_text(reject.as_dict()) for reject in results.rejects]
    spoken = SPOKEN_STAGES | {stage.name for stage in stages}
    before = [json_text(reject) for reject in rejects_in(out) if reject["stage"] not in spoken]
    write_lines(out / REJECTS, [*before, *ours])
    write_text(out / STATS, json_document(figures.corpus_stats(made)))
    statuses = {name.replace("-", "_"): n for name, n in figures.counts(made.utterances["status"]).items()}
    whole, means, lost = figures.totals(made), figures.timeline_means(made), figures.lost_in_rebuild(made)
    counts = {name: int(whole[name]) for name in ("conversations", "utterances", "words")}
    return {
        "date": today(),
        "counts": {**counts, **statuses, "rejects": len(results.rejects)},
        "rejected": results.rejected_record(),
        "hours": round(whole["seconds"] / 3600, 5),
        "cost": round(figures.cost(made), 6),
        "mean": {name: round(mean, 4) for name, mean in means.items()} or None,
        "lost_speech_seconds": lost["speech"],
        "lost_sound_seconds": lost["sound"],
        "stages": [stage_record(stage, results.measured(stage)) for stage in stages],
    }


def edited_since(out: Path) -> bool:
    """Whether the transcript of a work folder differs from the one that its conversations were made from."""
    spoken_digest = (read_run(out) or {}).get("speak", {}).get("transcript_sha256")
    return bool(spoken_digest) and _transcript_digest(out) not in (None, spoken_digest)


def _transcript_digest(out: Path) -> str | None:
    if not (out / TRANSCRIPT).exists():
        return None
    return sha256_of(inside(out, TRANSCRIPT))


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


def _speak_outputs_exist(out: Path, shards: Mapping[Path, Shard]) -> bool:
    sounds = {
        name: entry for shard in shards.values() for name, entry in shard.entries.items() if not entry.reject
    }
    files = all((out / name).is_file() for name in (SHIFTED, REJECTS, *_FIGURES))
    n_sounds = sum(1 for _ in (out / AUDIO).rglob(f"*{EDITED}"))
    return files and all(_is_current(out, *sound) for sound in sounds.items()) and n_sounds == len(sounds)


def _is_current(out: Path, name: str, entry: Entry) -> bool:
    """Whether a sound file belongs to its row: an earlier run may have made the row and been stopped before the
    file.

    Decided by the digest of its source in the file, never by its date: clocks differ, and are set back.
    """
    return bool(entry.audio) and made_from(out, wav_path(Path(), name)) == entry.audio
