"""Packs a work folder into the Parquet files of a version on this disk: all of a push except the Hub.

Every conversation is read twice: once without its audio, to decide its split, and once with its audio. The first
pass rejects rows that can't be published, and keeps a few hundred bytes of a conversation, so that a corpus of any
length fits in memory. The second writes rows in the order of their ids, split by split, file by file. Threads cut
and encode: decoding, encoding and hashing release the interpreter lock.

A file holds a range of ids, and the ranges are those of the version before. So a version that adds, changes or
drops a few conversations sends the files that these are in, and no other, whatever numbers their names have.
"""

import hashlib
import io
import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
import soundfile
from datasets import Audio, Features

from dailytalk_contiguous.core.documents import JsonObject, is_number, parse_json, typed
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.fields import finite
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.judged import MOST_SECONDS
from dailytalk_contiguous.core.records.run_record import RunRecord
from dailytalk_contiguous.core.records.schema import (
    AUDIO_COLUMN,
    CHANNELS,
    CONFIGS,
    PROVENANCE,
    SPLITS,
    Row,
    digest_column,
    published_features,
)
from dailytalk_contiguous.core.records.utterance import FIELDS, or_none
from dailytalk_contiguous.core.sound.samples import Pcm, encoded_sound
from dailytalk_contiguous.core.steps import step
from dailytalk_contiguous.core.wording import kind_of, portable
from dailytalk_contiguous.core.words.same_texts import hash_words
from dailytalk_contiguous.machine.sound_columns import MOST_PCM_BYTES
from dailytalk_contiguous.models.failures import without_message
from dailytalk_contiguous.publish.checks.findings import TOLERANCE
from dailytalk_contiguous.publish.checks.row_check import JudgedRow, RowChecks
from dailytalk_contiguous.publish.exports.splits import SplitVoice, disjoint_in, split_conversations
from dailytalk_contiguous.publish.items import SMALL, Place, Shards
from dailytalk_contiguous.publish.version import (
    DataFile,
    Packed,
    Version,
    kept_run_facts,
    open_version,
)
from dailytalk_contiguous.store.files import file_name, sha256_of
from dailytalk_contiguous.store.parquet import open_parquet, row_groups, write_parquet

#: What divides conversations: it returns the split of each id.
Divider: TypeAlias = Callable[[Iterable[SplitVoice]], dict[str, str]]

#: Unless another is asked for: a twentieth of the time to validate on, and one to test on.
_DIVIDE = partial(split_conversations, shares={"validation": 0.05, "test": 0.05})

_AGAIN = "build the conversation again"

#: Bytes of audio behind which a row group ends; a reader of one row fetches as much.
_GROUP_BYTES = 8_000_000

#: Files that a split has at least, if it has so many conversations: a reader has at most a worker for each file.
_LEAST_FILES = 8
_MANY_CONVERSATIONS = 64


class FileLayout(NamedTuple):
    """The ranges of ids that files of conversations hold.

    Attributes:
        borders: by split, the id with which each file of the version before begins. A file takes the ids from one
            border to the next.
        shard_size: MB of a file, as the work folder stores its conversations; one with more is halved. The default
            is that of `Dataset.push_to_hub`. A file is in memory while it is packed.
    """

    borders: Mapping[str, Sequence[str]] = {}
    shard_size: float = 500.0


_LAYOUT = FileLayout()


class Finished(NamedTuple):
    """A conversation that can be published.

    Its `voice` decides its split, unless it is a clip, which has one. `n_bytes`: those that it takes in the work
    folder; clips that share a row group have equal parts of it.
    """

    voice: SplitVoice
    row_place: Place
    split: str
    sample_rate: int
    n_bytes: float


class Publishable:
    """The finished conversations of a work folder that can be published, read without their audio.

    Attributes:
        finished: these by id.
        rejected: why the others can't be published, and how many seconds they have, 0 where that is unknown.
    """

    def __init__(self, items: Shards) -> None:
        """Read the conversations.

        Raises DailytalkError: there are none, a shard is damaged or of no finished dataset, or an id occurs twice.
        """
        self._items = items
        self.finished: dict[str, Finished] = {}
        self.rejected: list[tuple[Reject, float]] = []
        for path in items.files:
            with open_parquet(path, _AGAIN) as opened:
                groups = zip(opened.stored_bytes(), opened.group_sizes, strict=True)
                n_bytes = [stored / n_rows for stored, n_rows in groups]
            for row_place, row in items.rows_of(path, SMALL):
                name = row["conversation_id"]
                if name in self.finished:
                    raise DailytalkError(
                        f"the conversation {name!r} is in {self.finished[name].row_place.file} and in {path}",
                        "remove one of the two shards, or build the dataset again",
                    )
                try:
                    self.finished[name] = _finished(row, row_place, n_bytes[row_place.group])
                except BadInput as problem:
                    is_known = is_number(row["duration"], 0.0, MOST_SECONDS)
                    reject = Reject(name, "push", problem.reason, problem.remedy)
                    self.rejected.append((reject, row["duration"] if is_known else 0.0))
        if not self.finished:
            why = ""
            if self.rejected:
                first, _ = self.rejected[0]
                why = f" that can be published ({first.id}: {first.reason})"
            raise DailytalkError(
                f"{items.where} holds no finished conversations{why}",
                "see its rejects.jsonl, and run dailytalk speak again",
            )

    @property
    def voices(self) -> list[SplitVoice]:
        return [conversation.voice for conversation in self.finished.values()]

    def split(self, divide: Divider) -> dict[str, str]:
        """Return the split of each id; clips keep the one that they have."""
        if self._items.has_labels:
            return {name: conversation.split for name, conversation in self.finished.items()}
        return divide(self.voices)

    def features(self, config: str, audio_columns: tuple[str, ...]) -> Features:
        """Return the columns of a config; its sound has a rate if all conversations have the same."""
        rates = {conversation.sample_rate for conversation in self.finished.values()}
        sample_rate = min(rates) if len(rates) == 1 else None
        fields = (*FIELDS, *self._items.fields)
        return published_features(config, sample_rate, self._items.has_labels, fields, audio_columns)

    @property
    def rejected_facts(self) -> JsonObject:
        """The rejected part of what was to be published, counted as a run counts what it rejects."""
        reasons = defaultdict[str, float](float)
        remedies: dict[str, str] = {}
        for reject, seconds in self.rejected:
            kind = kind_of(reject.reason)
            reasons[kind] += seconds
            remedies[kind] = reject.remedy
        lost = sum(reasons.values())
        published = sum(voice.seconds for voice in self.voices)
        return {
            "conversations": len(self.rejected),
            "of_conversations": len(self.rejected) + len(self.finished),
            "seconds": round(lost, 3),
            "of_seconds": round(lost + published, 3),
            "reasons": {kind: round(seconds, 3) for kind, seconds in reasons.items()},
            "remedies": remedies,
        }


def _finished(row: Row, row_place: Place, n_bytes: float) -> Finished:
    """Return the facts of a conversation that can be published. Raises BadInput for another one."""
    if row["problem"]:
        raise BadInput(row["problem"], row["remedy"])
    talk = from_finished(row)
    split = talk.extra["split"]
    if not talk.recording_id or not talk.built_rate or talk.built_rate < 1:
        raise BadInput("it has no recording_id or no sample_rate", _AGAIN)
    if talk.labels and split not in SPLITS:
        raise BadInput(f"its split is {split!r}, not {', '.join(SPLITS)}", "run `dailytalk corpus` again")
    Provenance.of_talk(talk)
    seconds = talk.built_duration
    digest = talk.sound_digest or ""
    words = hash_words(talk.alignments)
    voice = SplitVoice(talk.conversation_id, talk.kept_speakers, talk.recording_id, seconds, digest, words)
    return Finished(voice, row_place, split if talk.labels else "", talk.built_rate, n_bytes)


def pack_version(
    items: Shards,
    stage: Path,
    *,
    divide: Divider = _DIVIDE,
    layout: FileLayout = _LAYOUT,
    workers: int = 2,
    audio_columns: tuple[str, ...] = (AUDIO_COLUMN,),
) -> Packed:
    """Pack the finished conversations of a work folder into the files of one version.

    Args:
        items: the work folder, as `publish.opening.finished_items` opens it.
        stage: a new folder for the files, `CONFIG/SPLIT-00000-of-00004.parquet`.
        divide: `publish.exports.splits.split_conversations` with its shares, the splits before and a seed. Clips
            keep the split that they have.
        layout: the ranges of ids of files. While a split of 64 conversations or more has fewer than eight files,
            the largest is halved, too, so that eight workers can read it.
        workers: threads that cut and encode.
        audio_columns: the columns of sound of conversations, one of `SOUND_LAYOUTS`.

    Raises DailytalkError: the folder holds no row that can be published, or one of them can't be read.
    """
    publishable = Publishable(items)
    finished = publishable.finished
    split_of = publishable.split(divide)
    checks = RowChecks()
    pack = partial(_pack, items.run, audio_columns, checks)
    written = defaultdict[tuple[str, str], list[DataFile]](list)
    done = 0
    with ThreadPoolExecutor(workers, "pack") as pool:
        for split, names in _files(finished, split_of, layout):
            collected = defaultdict[str, list[Row]](list)
            places = sorted(finished[name].row_place for name in names)
            row_of = {row["conversation_id"]: row for row in items.rows_at(places)}
            missing = [name for name in names if name not in row_of]
            if missing:
                reason = f"another run writes {missing[0]!r} anew"
                raise DailytalkError(reason, "wait until it has ended, and push again")
            # Each row is let go of once it is taken.
            for rows, judged in pool.map(pack, map(row_of.pop, names)):
                checks.add(judged)
                for config, rows_of_config in rows.items():
                    collected[config] += rows_of_config
                done += 1
                step("conversations packed", done, len(finished))
            for config, rows_of_config in collected.items():
                if rows_of_config:
                    files = written[config, split]
                    path = stage / config / f"{split}-{len(files):05d}.parquet"
                    features = publishable.features(config, audio_columns)
                    files.append(_write(path, features, rows_of_config, config, split))
    named: list[DataFile] = []
    for files in written.values():
        for number, file in enumerate(files):
            name = f"{file.config}/{file.split}-{number:05d}-of-{len(files):05d}.parquet"
            path = (stage / file.name).rename(stage / name)
            named.append(file._replace(name=name, path=path))
    run = kept_run_facts(items.where)
    if publishable.rejected:
        run |= {"push": {"rejected": publishable.rejected_facts}}
    return Packed(
        files=tuple(sorted(named)),
        disjoint=disjoint_in(publishable.voices, split_of),
        rejects=tuple(reject for reject, _ in publishable.rejected),
        fields=items.fields,
        row_findings=tuple(checks.all_findings()),
        run=run,
        kept_findings=tuple(items.kept_findings()),
    )


def write_outline(
    items: Shards,
    folder: Path,
    splits: Mapping[str, str] = {},
    audio_columns: tuple[str, ...] = (AUDIO_COLUMN,),
) -> Version:
    """Write the conversations that `push` would publish, with only the digests of their sound, and open them.

    Without sound, a corpus of any length takes a few megabytes.

    Args:
        items: the work folder, as `publish.opening.finished_items` opens it.
        folder: an empty one.
        splits: the splits of the version that it is compared with; new rows are divided as `push` does by default.
        audio_columns: the columns of sound in that version.

    Raises DailytalkError: the folder holds no row that can be published, or one of them can't be read.
    """
    publishable = Publishable(items)
    features = publishable.features(CONFIGS[0], audio_columns)
    split_of = publishable.split(partial(_DIVIDE, before=splits))
    places = defaultdict[str, list[Place]](list)
    for name, conversation in publishable.finished.items():
        places[split_of[name]].append(conversation.row_place)
    for split, split_places in places.items():
        path = folder / CONFIGS[0] / f"{split}-00000-of-00001.parquet"
        write_parquet(path, features, _without_sound(items, sorted(split_places), features))
    return open_version(folder)


def _without_sound(items: Shards, places: list[Place], features: Features) -> Iterator[list[Row]]:
    """Yield the rows at these places as they would be published, without sound, in groups."""
    for group in row_groups(items.rows_at(places), _GROUP_BYTES):
        outlines = []
        for row in group:
            published = published_conversation(from_finished(row), row, items.run)
            digest = flac_columns("", row[AUDIO_COLUMN]["bytes"] or b"")
            outlines.append(dict.fromkeys(features) | published | digest | {AUDIO_COLUMN: None})
        yield outlines


def _files(
    finished: Mapping[str, Finished], split_of: Mapping[str, str], layout: FileLayout
) -> Iterator[tuple[str, list[str]]]:
    """Yield the split and the ids of each file of conversations, in order."""
    for split in SPLITS:
        names = [name for name in sorted(finished) if split_of[name] == split]
        ends = np.cumsum([0.0, *(finished[name].n_bytes for name in names)])
        borders = layout.borders.get(split, ())
        cuts = sorted({0, len(names), *(bisect_left(names, border) for border in borders[1:])})
        n_least = _LEAST_FILES if len(names) >= _MANY_CONVERSATIONS else 0
        while True:
            # A file of one conversation can't be halved.
            sizes = np.where(np.diff(cuts) > 1, np.diff(ends[cuts]), 0.0)
            if len(sizes) >= n_least and sizes.max(initial=0.0) <= 1e6 * layout.shard_size:
                break
            largest = int(sizes.argmax())
            first, last = cuts[largest : largest + 2]
            middle = int(np.searchsorted(ends, (ends[first] + ends[last]) / 2))
            cuts.insert(largest + 1, min(max(middle, first + 1), last - 1))
        for first, last in pairwise(cuts):
            yield split, names[first:last]


def _write(path: Path, features: Features, rows: list[Row], config: str, split: str) -> DataFile:
    """Write a file, whose name does not yet say how many files its split has."""
    sounds = [name for name, feature in features.items() if isinstance(feature, Audio)]
    write_parquet(path, features, row_groups(rows, _GROUP_BYTES, sounds), audio=sounds)
    seconds = sum(row["duration"] for row in rows)
    name = f"{config}/{path.name}"
    return DataFile(name, path, config, split, sha256_of(path), path.stat().st_size, len(rows), seconds)


#: The field that tells a provenance that was published from one of a work folder.
PUBLISHED_AS = "source_id"


class _Model(msgspec.Struct):
    name: str | None = None
    licence: str | None = None
    url: str | None = None


class Provenance(msgspec.Struct):
    """The fields of a row's provenance that are read.

    `published`: all of it, of a row of a version, in which it was published already.
    """

    tool: str | None = None
    voice: str | None = None
    settings: dict[str, Any] | None = None
    models: dict[str, _Model] | None = None
    published: JsonObject | None = None

    @classmethod
    def of_talk(cls, talk: Conversation) -> "Provenance":
        """Read the provenance of a finished conversation. Raises BadInput if it is no JSON of its shape."""
        record = parse_json(talk.extra["provenance"] or "{}", "its provenance", _AGAIN)
        typed(record, JsonObject, "its provenance", _AGAIN)
        if PUBLISHED_AS in record:
            return cls(published={name: record.get(name) for name in PROVENANCE})
        typed(record, cls, "its provenance", _AGAIN)
        return msgspec.convert(record, cls)


def _provenance(talk: Conversation, run: RunRecord) -> dict[str, object]:
    """Return the provenance of a published row; `run`: run.json of the work folder.

    Models and voices may be named by a folder of this machine, which is private: its last part is published.
    """
    made = Provenance.of_talk(talk)
    if made.published is not None:
        return made.published
    source = run.source.repository
    licence = run.source.licence
    if source and run.source.revision:
        source = f"{source}@{run.source.revision}"
    if talk.labels:
        source = talk.labels.get("corpus") or source
        licence = talk.labels.get("licence")
    models = []
    for role, model in sorted((made.models or {}).items()):
        name = portable(model.name)
        models.append({"role": role, "name": name, "licence": portable(model.licence), "url": portable(model.url)})
    stages = [{"name": stage.name, "digest": stage.digest} for stage in run.stages + run.speak.stages]
    settings = None
    if made.settings is not None:
        settings = json.dumps(made.settings, sort_keys=True, ensure_ascii=False)
    return {
        "source_id": talk.recording_id,
        "source": source,
        "source_licence": licence,
        "tool": made.tool,
        "voice": portable(made.voice),
        "models": models,
        "stages": stages,
        "settings": settings,
    }


def published_conversation(talk: Conversation, row: Row, run: RunRecord) -> Row:
    """Return a finished conversation, of this row, as one of the config `conversations`, but for its sound.

    Models and voices are without folders, and errors of models without messages. A number that is NaN or infinite
    is published as null.

    Args:
        run: run.json of the work folder.
    """
    utterances = []
    for utterance in row["utterances"] or ():
        published = _without_messages(utterance, "reason", "text_reason")
        synthesis = utterance["synthesis"]
        if synthesis is not None:
            names = {name: portable(synthesis[name]) for name in ("model", "voice")}
            published |= {"synthesis": synthesis | names}
        utterances.append(published)
    failures = row["model_failures"]
    columns = {
        "provenance": _provenance(talk, run),
        "utterances": utterances,
        "model_failures": failures and [_without_messages(failure, "reason") for failure in failures],
    }
    with_finite_numbers: Row = finite(row | columns)
    return with_finite_numbers


def _without_messages(record: Row, *names: str) -> Row:
    """Return a record whose reasons under these names are without messages of models' errors."""
    return record | {name: without_message(record[name]) for name in names if record.get(name)}


def _pack(
    run: RunRecord, audio_columns: tuple[str, ...], checks: RowChecks, row: Row
) -> tuple[dict[str, list[Row]], JudgedRow]:
    """Return the rows of a finished conversation by config, and its findings, from its sound decoded once.

    Audio of a conversation is copied byte for byte, or each side of it encoded by itself; an utterance is cut from
    its speaker's channel to the sample.

    Args:
        run: run.json of the work folder.
        row: has its audio.

    Raises DailytalkError if its audio can't be read or is not stereo at its rate, or an utterance is outside
    it.
    """
    talk = from_finished(row)
    rate = talk.built_rate
    published = published_conversation(talk, row, run)
    encoded = talk.built_audio["bytes"] or b""
    try:
        pcm = _decoded(encoded, rate)
        conversation = published | _sound_columns(talk.conversation_id, encoded, pcm, rate, audio_columns)
        utterances = list(_utterance_rows(talk, published, pcm))
    except soundfile.LibsndfileError as problem:
        raise DailytalkError(f"the audio of {talk.conversation_id!r} can't be used ({problem})", _AGAIN) from None
    except BadInput as problem:
        reason = f"the audio of {talk.conversation_id!r} can't be used ({problem.reason})"
        raise DailytalkError(reason, problem.remedy) from None
    rows = {"conversations": [conversation], "utterances": utterances}
    return rows, checks.judge(published, pcm)


def _sound_columns(name: str, encoded: bytes, pcm: Pcm, rate: int, audio_columns: tuple[str, ...]) -> Row:
    """Return the columns of stereo sound with this name, or of its sides, and those of their digests.

    Raises BadInput: readers, which join the sides, would refuse so much sound.
    """
    columns = flac_columns(name, encoded)
    if audio_columns != CHANNELS:
        return columns
    if pcm.nbytes > MOST_PCM_BYTES:
        most = f"sides apart can have {MOST_PCM_BYTES / 1e6:.0f}"
        raise BadInput(
            f"it has {pcm.nbytes / 1e6:.0f} MB of samples, and {most}", "push with --audio-columns audio"
        )
    for number, side in enumerate(CHANNELS):
        columns |= flac_columns(f"{name}.{side}", encoded_sound(pcm[:, number], rate, "FLAC"), side)
    return columns | {AUDIO_COLUMN: None}


def _decoded(encoded: bytes, rate: int) -> Pcm:
    """Decode a conversation, shape (n, 2). Raises BadInput: it is not stereo at that rate in Hz, or cut short."""
    with soundfile.SoundFile(io.BytesIO(encoded)) as sound:
        if (sound.channels, sound.samplerate) != (len(CHANNELS), rate):
            raise BadInput(f"it has {sound.channels} channel(s) at {sound.samplerate} Hz", _AGAIN)
        pcm: Pcm = sound.read(dtype="int16")
        if len(pcm) < sound.frames:
            raise BadInput(f"it ends after {len(pcm)} of the {sound.frames} samples in its header", _AGAIN)
    return pcm


def _utterance_rows(talk: Conversation, published: Row, pcm: Pcm) -> Iterator[Row]:
    """Yield the rows of the audible utterances, each with its sound and the words whose middle is in it.

    Words are cut to the utterance.
    """
    rate = talk.built_rate
    for utterance, columns in zip(talk.utterances, published["utterances"], strict=True):
        span = utterance.new_span
        if not utterance.is_heard or span is None:
            continue
        if not -TOLERANCE <= span.start < span.end <= len(pcm) / rate + TOLERANCE:
            raise BadInput(
                f"the utterance {utterance.utterance_id!r} at {span.start}-{span.end} s has no length, "
                f"or is outside its {len(pcm) / rate:.3f} s",
                _AGAIN,
            )
        first = min(max(round(span.start * rate), 0), len(pcm) - 1)
        last = max(round(span.end * rate), first + 1)
        part = pcm[first:last, CHANNELS.index(utterance.channel)]
        length = len(part) / rate
        words = []
        for word, word_columns in zip(talk.alignments, published["alignments"] or (), strict=True):
            if word.speaker == utterance.channel and span.start <= word.middle <= span.end:
                start = min(max(round(word.start - span.start, 4), 0.0), length)
                end = min(max(round(word.end - span.start, 4), 0.0), length)
                words.append(word_columns | {"start": start, "end": end})
        facts = {
            "sample_rate": rate,
            "conversation_id": talk.conversation_id,
            "recording_id": talk.recording_id,
            "duration": length,
            "language": or_none(utterance.language) or talk.main_language,
            "words": words,
            "labels": published["labels"],
        }
        yield columns | flac_columns(utterance.utterance_id, encoded_sound(part, rate, "FLAC")) | facts


def flac_columns(name: str, data: bytes, column: str = AUDIO_COLUMN) -> Row:
    """Return a column of FLAC with a plain file name made from an id, and that of its digest."""
    audio = {"bytes": data, "path": f"{file_name(name)}.flac"}
    return {column: audio, digest_column(column): hashlib.sha256(data).hexdigest()}
