"""Packs a work folder into the Parquet files of a version on this disk: all of a push except the Hub.

Every conversation is read twice: once to decide its split and its file, without its audio, and once with its
audio. The first pass (`index_folder`) rejects rows that can't be published, and keeps a few hundred bytes of a
conversation, so that a corpus of any length fits in memory. The second pass goes through the rows in the order of
the version: it writes the files of `conversations` and `utterances` side by side, and shows each row as it is
written to those that count and compare. Threads cut and encode rows: decoding, encoding and hashing release the
interpreter lock. A stopped run continues with the first missing file.

A version that adds, changes or drops a few conversations must leave most bytes where they were, because only new
content is sent. So a row's file and position follow from a hash of its id, never from its neighbours; the number
of files is a power of two that is kept as long as file sizes allow, and when it doubles, each file is cut in two.
"""

import errno
import hashlib
import io
import itertools
import json
import re
import shutil
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import Any, Generic, NamedTuple, TypeVar

import pyarrow as pa
import soundfile
from datasets import Features

from dailytalk_contiguous.core.audio import Pcm, from_uri, read_header
from dailytalk_contiguous.core.documents import expect, parse_json, read_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.interaction import AFTER, CONTEXT
from dailytalk_contiguous.core.schema import (
    CHANNELS,
    CONFIGS,
    SPLITS,
    Row,
    kept_speakers,
    parent_of,
    published_features,
)
from dailytalk_contiguous.core.utterance import FIELDS, heard_utterances
from dailytalk_contiguous.core.wording import portable
from dailytalk_contiguous.publish import items as publish_items
from dailytalk_contiguous.publish import opening
from dailytalk_contiguous.publish.clip_folder import listed_clips
from dailytalk_contiguous.publish.interactivity import ClipChoice, clips_of, cut_clips
from dailytalk_contiguous.publish.manifest import DataFile, Packed, PublishedRow
from dailytalk_contiguous.publish.splits import Speakers, SplitVoice, as_decided, split_three
from dailytalk_contiguous.shards import Shard, read_entries, read_rows, read_shard
from dailytalk_contiguous.sources.transcribed import BASE, at_hand, tagged_row
from dailytalk_contiguous.store.files import inside, locked, sha256_of, write_text
from dailytalk_contiguous.store.owned_folder import file_name
from dailytalk_contiguous.store.parquet import open_parquet, writing_parquet
from dailytalk_contiguous.store.work_folder import TAGGED, read_run

#: The stage that rejects of a push name.
STAGE = "push"

#: The fields of a row's provenance that are read (see `core.documents.expect`).
_PROVENANCE: dict[str, Any] = {
    "tool?": str,
    "voice?": str,
    "settings?": dict,
    "models?": {str: {"name?": str, "licence?": str, "url?": str}},
}


class Finished(NamedTuple):
    """A finished conversation, and where its row is.

    Attributes:
        id, recording_id: of the conversation. parent: of which it is a variant, or its own id.
        kept_speakers: names of those whose own voices are in it; None is not known.
        seconds: of audio. heard: number of audible utterances. heard_seconds: their total length.
        chain: digest of each stage of the spoken half, from its shard; empty where the shard has none.
        digest: changes whenever the row may have changed.
        clip: the columns that decide how often a manifest lists it (see `clip_folder.listed_clips`), with its
            split; None of a conversation, whose split is still to be decided.
        place: where the row is.
        interactions: ids of the clips of interaction that are published of it.
    """

    id: str
    recording_id: str
    parent: str
    kept_speakers: Speakers
    seconds: float
    heard: int
    heard_seconds: float
    chain: tuple[str, ...]
    digest: str
    clip: Row | None
    place: publish_items.Place
    interactions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Index:
    """All finished conversations, by id.

    Attributes:
        items: their reader.
        conversations: sorted by id.
        sample_rate: Hz of all of them, or None where they differ.
        bytes_per_second: of their encoded audio, to two digits: the mean hardly depends on how shards are laid
            out, and the rounded one almost never does.
        rejects: rows that can't be published.
    """

    items: publish_items.Shards
    conversations: tuple[Finished, ...]
    sample_rate: int | None
    bytes_per_second: float
    rejects: tuple[Reject, ...] = ()


def index_folder(folder: Path, per_kind: int = 0) -> Index:
    """Index the finished conversations of a work folder, reading no audio.

    `per_kind`: clips of interaction that are published of each kind, at most.

    Raises DailytalkError: there are none, a shard is damaged or of no finished dataset, or an id occurs twice.
    """
    items = opening.finished_items(folder)
    finished: dict[str, Finished] = {}
    rejects: list[Reject] = []
    rates: set[int] = set()
    chains: dict[tuple[str, ...], tuple[str, ...]] = {}  # most rows share one, and memory should too
    choice = ClipChoice(per_kind)
    for path in items.files:
        shard, stat = read_shard(path) or Shard(), path.stat()
        for place, row in items.rows_of(path, publish_items.SMALL):
            name = row["conversation_id"]
            try:
                if row["problem"]:
                    raise BadInput(row["problem"], row["remedy"])
                if not row["recording_id"] or not row["sample_rate"] or row["sample_rate"] < 1:
                    raise BadInput("it has no recording_id or no sample_rate", "build the conversation again")
                if row["labels"] and row["split"] not in SPLITS:
                    known = ", ".join(SPLITS)
                    raise BadInput(f"its split is {row['split']!r}, not {known}", "run `dailytalk corpus` again")
                row_provenance(row)
            except BadInput as problem:
                rejects.append(Reject(name, STAGE, problem.reason, problem.remedy))
                continue
            if name in finished:
                raise DailytalkError(
                    f"the conversation {name!r} is in {finished[name].place.file} and in {path}",
                    "remove one of the two shards, or build the dataset again",
                )
            audible = heard_utterances(row)
            is_ours, clip = name in shard.entries, None
            made_by = path.name if is_ours else ""  # which says what its shard was made from
            identity = f"{name} {stat.st_size} {stat.st_mtime_ns} {place.group} {place.number} {made_by}"
            if labels := row["labels"]:
                identity += f" {row['provenance']}"  # which is in run.json
                weights = {label: labels[label] for label in ("weight", "emotion", "conditioning")}
                columns = {column: row[column] for column in ("conversation_id", "duration", "split")}
                clip = columns | {"labels": weights}
            if per_kind:
                choice.add(row)
            chain = shard.digests if is_ours else ()
            rates.add(row["sample_rate"])
            finished[name] = Finished(
                name,
                row["recording_id"],
                parent_of(row),
                kept_speakers(row),
                row["duration"],
                len(audible),
                sum((utterance["end"] or 0.0) - (utterance["start"] or 0.0) for utterance in audible),
                chains.setdefault(chain, chain),
                hashlib.sha256(identity.encode()).hexdigest()[:16],
                clip,
                place,
            )
    if not finished:
        why = f" that can be published ({rejects[0].id}: {rejects[0].reason})" if rejects else ""
        raise DailytalkError(
            f"{folder} holds no finished conversations{why}",
            "see its rejects.jsonl, and run dailytalk speak again",
        )
    chosen: dict[str, list[str]] = {}
    for clip_id in sorted(choice.ids):
        chosen.setdefault(clip_id.rsplit("/", 2)[0], []).append(clip_id)
    for name, clip_ids in chosen.items():
        finished[name] = finished[name]._replace(interactions=tuple(clip_ids))
    seconds = sum(item.seconds for item in finished.values())
    return Index(
        items,
        tuple(finished[name] for name in sorted(finished)),
        rates.pop() if len(rates) == 1 else None,
        float(f"{max(items.audio_bytes(), 1) / max(seconds, 1e-3):.1e}"),
        tuple(rejects),
    )


def finished_rows(items: publish_items.Shards, members: Sequence[Finished]) -> list[Row]:
    """Return rows with the columns of `core.schema.BUILT`. Raises DailytalkError if one changed."""
    by_place = sorted(members, key=attrgetter("place"))
    rows: dict[str, Row] = {}
    try:
        for finished, row in zip(by_place, items.rows_at([member.place for member in by_place]), strict=True):
            if row["conversation_id"] != finished.id or not (row["audio"] or {}).get("bytes"):
                raise BadInput("another row", "")
            rows[finished.id] = row
    except BadInput as problem:
        changed = by_place[len(rows)]
        raise DailytalkError(
            f"the conversation {changed.id!r} is not whole in {changed.place.file} any more ({problem.reason})",
            "wait until the run that writes there has ended, and push again",
        ) from None
    return [rows[finished.id] for finished in members]


@dataclass(frozen=True)
class RowOrigin:
    """The record of all rows in `run.json` of a work folder.

    Attributes:
        source: the dataset that the recordings are from, as `NAME@REVISION`, or None.
        source_licence: its licence, or None.
        tag_stages: name and digest of each stage of the first half.
        speak_stages: names of those of the second half; their digests are the rows' own.
    """

    source: str | None = None
    source_licence: str | None = None
    tag_stages: tuple[tuple[str, str], ...] = ()
    speak_stages: tuple[str, ...] = field(default=())


def origin(folder: Path) -> RowOrigin:
    run = read_run(folder) or {}
    source = run.get("source") or {}
    repository, revision = source.get("repository"), source.get("revision")
    return RowOrigin(
        f"{repository}@{revision}" if repository and revision else repository,
        source.get("licence"),
        tuple((stage["name"], stage["digest"]) for stage in run.get("stages") or ()),
        tuple(stage["name"] for stage in (run.get("speak") or {}).get("stages") or ()),
    )


def row_provenance(row: Mapping[str, Any]) -> dict[str, Any]:
    """Parse the provenance of a finished row. Raises BadInput if it is not JSON, or not of its shape."""
    text = expect(row["provenance"] or "{}", str, "its provenance", "build the conversation again")
    value = parse_json(text, "its provenance", "build the conversation again")
    record: dict[str, Any] = expect(value, _PROVENANCE, "its provenance", "build the conversation again")
    return record


def provenance(row: Mapping[str, Any], finished: Finished, made_by: RowOrigin) -> dict[str, Any]:
    """Return the provenance of a published row, of columns where a finished row has JSON.

    Models and voices may have been named by a folder on a disk, which is private and different on every machine:
    of such a name the last part is published.
    """
    record = row_provenance(row)
    settings = record.get("settings")
    labels = row["labels"] or {}
    chain = () if labels else finished.chain
    stages: list[dict[str, Any]] = [{"name": name, "digest": digest} for name, digest in made_by.tag_stages]
    # A record of other stages than the row went through would give their names to the wrong digests.
    names = made_by.speak_stages if len(made_by.speak_stages) == len(chain) else (None,) * len(chain)
    stages += [{"name": name, "digest": digest} for name, digest in zip(names, chain, strict=True)]
    return {
        "source_id": finished.recording_id,
        "source": labels.get("corpus") or made_by.source,
        "source_licence": labels.get("licence") if labels else made_by.source_licence,
        "tool": record.get("tool"),
        "voice": portable(record.get("voice")),
        "models": [
            {
                "role": role,
                "name": portable(model.get("name")),
                "licence": model.get("licence"),
                "url": model.get("url"),
            }
            for role, model in sorted((record.get("models") or {}).items())
        ],
        # All stages of clips are in run.json, by both names.
        "stages": stages,
        "settings": None if settings is None else json.dumps(settings, sort_keys=True, ensure_ascii=False),
    }


def published_utterance(fields: Mapping[str, Any]) -> dict[str, Any]:
    synthesis = fields["synthesis"]
    if synthesis is None:
        return dict(fields)
    names = {name: portable(synthesis[name]) for name in ("model", "voice")}
    return {**fields, "synthesis": {**synthesis, **names}}


#: Bytes of a file at most, in the mean of its split, when their number is chosen again: what `datasets` and the
#: viewer of the Hub are at ease with (100-250 MB, see the measures in `benchmarks/publish.py`).
SHARD_BYTES = 250_000_000

#: A number of files that was published stays while their mean size is within these times the wanted size.
LEAST, MOST = 0.3, 1.3

#: Bytes of audio in a row group: below the first never cut unless the next row would pass the last; in between cut
#: with a chance that makes `_BETWEEN` bytes of it the mean. A reader of one row has to fetch as much.
ROW_GROUP_LOW, ROW_GROUP_HIGH = 6_000_000, 16_000_000
_BETWEEN = 4_000_000

Item = TypeVar("Item")


def position(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "big")


def shard_of(name: str, count: int) -> int:
    return position(name) * count >> 64


def shard_count(names: Iterable[str], size: float, before: int | None, shard_bytes: float = SHARD_BYTES) -> int:
    """Return the number of files of a split: a power of two, and no more than leave none of them without a row.

    Args:
        names: ids that decide the place of rows; at least one.
        size: bytes of all rows.
        before: number in the version before, or None. Kept while the mean size allows it.
        shard_bytes: bytes of a file at most, in the mean.
    """
    ids = list(names)
    count = before or 0
    is_ours = count >= 1 and not count & (count - 1)  # there was none before, or it is a power of two
    is_small = count > 1 and is_ours and size / count < LEAST * shard_bytes
    if not is_ours or is_small or size / count > MOST * shard_bytes:
        count = 1
        while size / count > shard_bytes:
            count *= 2
    # An empty file is legal Parquet, but puzzles its readers.
    count = min(count, 1 << max(0, len(ids).bit_length() - 1))
    while len({shard_of(name, count) for name in ids}) < count:
        count //= 2
    return count


class RowGroups(Generic[Item]):
    """Cuts rows into row groups of 6 to 16 MB of audio, each of which is passed to `write`; a larger row is alone.

    Whether a group ends after a row depends on the row, so that behind a change the old borders soon come back.
    """

    def __init__(self, write: Callable[[list[Item]], None]) -> None:
        self._write = write
        self._group: list[Item] = []
        self._bytes = 0

    def add(self, row: Item, name: str, size: int) -> None:
        """Add the next row, with its id and its bytes of audio."""
        if self._bytes + size > ROW_GROUP_HIGH:
            self.end()
        self._group.append(row)
        self._bytes += size
        # Other bits than those that sort the rows, which are much the same in neighbours.
        chance = int.from_bytes(hashlib.sha256(b"border\0" + name.encode("utf-8", "surrogateescape")).digest()[:8])
        if self._bytes >= ROW_GROUP_LOW and chance * _BETWEEN < size << 64:
            self.end()

    def end(self) -> None:
        if self._group:
            self._write(self._group)
        self._group, self._bytes = [], 0


#: Rows by config, each with the seconds of its audio.
PublishedRows = dict[str, list[tuple[Row, float]]]


def published_rows(finished: Finished, row: Row, made_by: RowOrigin, configs: Collection[str]) -> PublishedRows:
    """Return the rows of a finished conversation in each of some configs, in its order, each with its seconds.

    Audio of a conversation is copied byte for byte; an utterance is cut from its speaker's channel to the sample.
    Raises DailytalkError if its audio can't be read or is not the stereo that the column declares, or an utterance
    or a clip is outside it.
    """
    data, rate = row["audio"]["bytes"], row["sample_rate"]
    utterances = [published_utterance(fields) for fields in row["utterances"] or ()]
    rows: PublishedRows = {}
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as sound:
            if (sound.channels, sound.samplerate) != (len(CHANNELS), rate):
                raise _unusable(finished.id, f"it has {sound.channels} channel(s) at {sound.samplerate} Hz")
            if {"utterances", "interactivity"} & {*configs}:
                pcm = sound.read(dtype="int16")
            if "utterances" in configs:
                rows["utterances"] = list(_utterance_rows(row, utterances, pcm, rate))
            if "interactivity" in configs:
                rows["interactivity"] = list(_clip_rows(finished, row, made_by, pcm, rate))
    except soundfile.LibsndfileError as error:
        raise _unusable(finished.id, str(error)) from None
    if "conversations" in configs:
        published = row | {
            "audio": encoded(finished.id, data),
            "audio_sha256": hashlib.sha256(data).hexdigest(),
            "utterances": utterances,
            "provenance": provenance(row, finished, made_by),
        }
        rows["conversations"] = [(published, row["duration"])]
    return rows


def _utterance_rows(
    row: Row, utterances: Iterable[Mapping[str, Any]], pcm: Pcm, rate: int
) -> Iterator[tuple[Row, float]]:
    for utterance in utterances:
        if utterance["status"] == "dropped":
            continue
        part = _cut(utterance, pcm, rate)
        data = _flac(part, rate)
        seconds = len(part) / rate
        published = {
            **utterance,
            "conversation_id": row["conversation_id"],
            "recording_id": row["recording_id"],
            "audio": encoded(utterance["utterance_id"], data),
            "audio_sha256": hashlib.sha256(data).hexdigest(),
            "sample_rate": rate,
            "duration": seconds,
            "language": utterance.get("language") or row["language"],
            "words": list(words_of(utterance, row["alignments"] or (), seconds)),
            "labels": row["labels"],
        }
        yield published, seconds


def _clip_rows(
    finished: Finished, row: Row, made_by: RowOrigin, pcm: Pcm, rate: int
) -> Iterator[tuple[Row, float]]:
    clips = [clip for clip in clips_of(row)[0] if clip.id in finished.interactions]
    try:
        cut = [*cut_clips(row, clips, pcm, rate, made_by.source_licence)]
    except BadInput as problem:
        raise _unusable(finished.id, problem.reason) from None
    for clip, part, facts in cut:
        data = _flac(part, rate)
        sound = {"audio": encoded(clip.id, data), "audio_sha256": hashlib.sha256(data).hexdigest()}
        yield facts | sound | {"sample_rate": rate}, facts["duration"]


def _flac(pcm: Pcm, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, pcm, rate, subtype="PCM_16", format="FLAC")
    return file.getvalue()


def words_of(
    fields: Mapping[str, Any], alignments: Sequence[Mapping[str, Any]], seconds: float
) -> Iterator[dict[str, Any]]:
    """Yield the words of an utterance in seconds of its own audio, which has `seconds`.

    These are the words of its speaker whose middle is in it, cut off at its edges.
    """
    for word in alignments:
        middle = (word["start"] + word["end"]) / 2
        if word["speaker"] == fields["channel"] and fields["start"] <= middle <= fields["end"]:
            start, end = (
                min(max(round(word[edge] - fields["start"], 4), 0.0), seconds) for edge in ("start", "end")
            )
            about = {"source": word["source"], "probability": word.get("probability")}
            yield {"word": word["word"], "start": start, "end": end, **about}


def encoded(name: str, data: bytes, ending: str = ".flac") -> dict[str, Any]:
    """Return the value of an audio column: the bytes, and a plain file name made from a row's id."""
    return {"bytes": data, "path": file_name(name) + ending}


def _unusable(name: str, cause: str) -> DailytalkError:
    return DailytalkError(f"the audio of {name!r} can't be used ({cause})", "build the conversation again")


def _cut(fields: Mapping[str, Any], pcm: Pcm, rate: int) -> Pcm:
    start, end, seconds = fields["start"], fields["end"], len(pcm) / rate
    if fields["channel"] not in CHANNELS:
        raise DailytalkError(
            f"the utterance {fields['utterance_id']!r} is of the channel {fields['channel']!r}",
            f"name {' or '.join(CHANNELS)}, or build the conversation again",
        )
    if (
        start is None
        or end is None
        or not -publish_items.TOLERANCE <= start < end <= seconds + publish_items.TOLERANCE
    ):
        raise DailytalkError(
            f"the utterance {fields['utterance_id']!r} at {start}-{end} s has no length, or is outside the "
            f"{seconds:.3f} s of its conversation",
            "build the conversation again, or run `dailytalk check` on it",
        )
    first = min(max(round(start * rate), 0), len(pcm) - 1)
    return pcm[first : max(round(end * rate), first + 1), CHANNELS.index(fields["channel"])]


#: Bytes of a recording at most. Arrow counts the bytes of a column in 31 bits.
LARGEST_BYTES = 1_900_000_000


class PackedRecording(NamedTuple):
    """A recording that finished conversations were cut from.

    Attributes:
        id: its `recording_id`.
        path: its file. size: bytes. seconds: of its audio.
        identity: its digest (see `sources.transcribed`).
        fields: the tagged row without its audio.
        parts: `conversation_id`, `offset` and `duration` of the conversations that were tagged in it and finished.
    """

    id: str
    path: Path
    size: int
    seconds: float
    identity: str
    fields: Row
    parts: tuple[dict[str, Any], ...]

    @property
    def digest(self) -> tuple[Any, ...]:
        return self.id, self.identity, self.parts


def recordings(folder: Path, conversations: Iterable[Finished]) -> list[PackedRecording]:
    """Return the recordings of finished conversations, for the config `source`, by id.

    A recording is read from its tagged path, and only if it is still the one that was tagged: published beside
    conversations that were made from another file, it would be a false source. Raises DailytalkError if one is not
    known, gone, not the one that was tagged, or too large for Parquet.
    """
    tagged: dict[str, Row] = {}
    for path in sorted((folder / TAGGED).glob("shard-*.parquet")):
        if read_entries(path) is not None:
            tagged |= read_rows(path, BASE)
    parts: dict[str, list[Row]] = {}
    for finished in conversations:
        if finished.id not in tagged:
            raise DailytalkError(
                f"{folder / 'tagged'} does not say from which recording {finished.id!r} is",
                "run dailytalk tag again, or push without --include-source",
            )
        parts.setdefault(finished.recording_id, []).append(tagged_row(tagged[finished.id]))
    return [_recording(name, parts[name]) for name in sorted(parts)]


def split_of(recording: PackedRecording, side: dict[str, str]) -> str:
    splits = {side[part["conversation_id"]] for part in recording.parts}
    return next(name for name in SPLITS if name in splits)


def packed_recording_row(recording: PackedRecording, made_by: RowOrigin) -> tuple[Row, float]:
    """Return the row of config `source`, with its seconds. Raises DailytalkError if the recording changed."""
    data = recording.path.read_bytes()
    if len(data) != recording.size:
        raise DailytalkError(f"the recording {recording.fields['audio_file']!r} changed just now", "push again")
    row = {
        "recording_id": recording.id,
        "audio": encoded(recording.id, data, PurePosixPath(recording.fields["audio_file"]).suffix.lower()),
        "audio_sha256": hashlib.sha256(data).hexdigest(),
        "audio_file": recording.fields["audio_file"],
        "sample_rate": recording.fields["sample_rate"],
        "channels": recording.fields["channels"],
        "conversations": list(recording.parts),
        "source": made_by.source,
        "source_licence": made_by.source_licence,
    }
    return row, recording.seconds


def _recording(name: str, rows: list[Row]) -> PackedRecording:
    first, *others = rows
    try:
        for other in others:  # parts of one recording that say different things of it
            if other["audio_identity"] != first["audio_identity"]:
                raise BadInput("its parts were tagged in different versions of it", "run dailytalk tag again")
        located = at_hand(first, None)
        path = from_uri(located["audio"]["path"])
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            raise BadInput(
                f"it has {size / 1e9:.2f} GB, and a row of Parquet can hold {LARGEST_BYTES / 1e9:.1f}",
                "convert it to FLAC and run dailytalk tag again, or push without --include-source",
            )
        seconds = read_header(located["audio"]).seconds
    except BadInput as error:
        raise DailytalkError(
            f"the recording {first['audio_file']!r} can't be published ({error.reason})", error.remedy
        ) from None
    parts = sorted(rows, key=lambda row: (row["offset"], row["conversation_id"]))
    of_parts = tuple({part: row[part] for part in ("conversation_id", "offset", "duration")} for row in parts)
    return PackedRecording(name, path, size, seconds, first["audio_identity"], first, of_parts)


#: Name of the file that marks a folder as ours.
MARK = ".dailytalk-stage"

_DATA = re.compile(rf"({'|'.join(SPLITS)})-\d{{5}}-of-\d{{5}}\.parquet")

#: Bytes that are left free on the disk: for the footers of files, and for other programs.
_SPARE = 200_000_000


def claim(stage: Path) -> None:
    """Mark the staging folder as ours, or raise DailytalkError for a folder with other files."""
    if not (stage / MARK).is_file():
        if stage.exists() and (not stage.is_dir() or any(stage.iterdir())):
            raise DailytalkError(
                f"{stage} is there already and no stage of a push", "choose another folder, or empty this one"
            )
        write_text(stage / MARK, "Files of a version that waits to be pushed. Can be deleted at any time.\n")


@contextmanager
def exclusive(stage: Path) -> Iterator[None]:
    """Hold a stage for this process: two pushes would pack into, and remove, each other's files.

    Raises DailytalkError while another process holds it.
    """
    reason = f"another dailytalk push works on {str(stage.parent)!r}"
    with locked(stage.with_name(f"{stage.name}.lock"), reason, "wait until it is done, and run this again"):
        yield


_KEPT = {"key": str, "sha256": str, "size": int, "rows": int, "seconds": float}


def staged(stage: Path, name: str, key: str) -> DataFile | None:
    """Return the staged file of a name, if it was made from the rows that `key` identifies, by its small record.

    A file with another record, or with none, was made from other rows or by a run that died, and is made again.
    """
    try:
        path = inside(stage, name)
        record = expect(read_json(inside(stage, _record(Path(name)))), _KEPT, path.name)
        if record["key"] != key or path.stat().st_size != record["size"]:
            return None
    except (BadInput, FileNotFoundError):
        return None
    config, split = name.split("/")[0], path.name.split("-")[0]
    return DataFile(name, path, config, split, record["sha256"], record["size"], record["rows"], record["seconds"])


def keep(file: DataFile, key: str) -> None:
    record = {name: getattr(file, name) for name in _KEPT if name != "key"}
    write_text(_record(file.path), json.dumps({"key": key} | record) + "\n")


def refuse_full_disk(stage: Path, needed: float) -> None:
    free = shutil.disk_usage(stage).free
    if needed and needed + _SPARE > free:
        raise DailytalkError(
            f"packing needs about {(needed + _SPARE) / 1e9:.1f} GB in {stage}, and {free / 1e9:.1f} GB are free",
            "make room, or name a folder on another disk",
        )


def _record(path: Path) -> Path:
    return path.with_name(f".{path.name}.json")


#: Version of the rows that this code makes; another one packs every file again.
_CODE = 1

#: Called after each file with the file, how many are done, and how many there are.
PackProgress = Callable[[DataFile, int, int], None]

Member = Finished | PackedRecording


@dataclass(frozen=True)
class _Job:
    name: str
    config: str
    split: str
    members: tuple[Member, ...]
    size: float
    key: str


def pack_version(
    folder: Path,
    stage: Path,
    *,
    include_source: bool = False,
    per_kind: int = 0,
    splits_before: Mapping[str, str] = {},
    shards_before: Mapping[str, int] = {},
    valid_share: float = 0.05,
    test_share: float = 0.05,
    seed: int = 0,
    shard_bytes: float = SHARD_BYTES,
    workers: int = 2,
    progress: PackProgress = lambda file, done, of: None,
    readers: Sequence[Callable[[PublishedRow], None]] = (),
) -> Packed:
    """Pack the finished conversations of a work folder into the files of one version.

    Args:
        folder: a work folder with `dataset/` (and `tagged/`, for the recordings).
        stage: where the files go, `CONFIG/SPLIT-00000-of-00004.parquet`; existing ones are not made again.
        per_kind: clips of interaction of each kind at most, as the config `interactivity`.
        splits_before: conversation id to its split in the version before.
        shards_before: `CONFIG/SPLIT` to its number of files in the version before.
        valid_share, test_share, seed: as in `publish.splits.split_three`. Clips keep the split that they have.
        shard_bytes: bytes of a file at most, in the mean.
        workers: threads that cut and encode.
        progress: called after each file. readers: each with each conversation, in the order of the version.

    Raises DailytalkError: the folder holds no row that can be published, a recording is missing or another one
    than was tagged, the disk is too small, or the stage holds files that no push wrote.
    """
    index = index_folder(folder, per_kind)
    claim(stage)
    made_by = origin(folder)
    voices = [
        SplitVoice(finished.id, finished.kept_speakers, finished.recording_id, finished.seconds)
        for finished in index.conversations
    ]
    if index.items.labelled:
        side, disjoint = as_decided(
            voices, {item.id: item.clip["split"] for item in index.conversations if item.clip}
        )
    else:
        side, disjoint = split_three(
            voices,
            splits_before,
            valid_share,
            test_share,
            seed,
            {item.id: item.parent for item in index.conversations},
        )
    if include_source and index.items.labelled:
        raise DailytalkError("clips have no recordings to publish beside them", "leave out --include-source")
    if per_kind and not any(finished.interactions for finished in index.conversations):
        raise DailytalkError(f"nothing in {folder} can be a clip of interaction", "push with --clips 0")
    packed = recordings(folder, index.conversations) if include_source else []
    jobs = list(_jobs(index, packed, side, made_by, shards_before, shard_bytes))
    # Data files of other names, and files that killed runs left half written.
    paths = {stage / job.name for job in jobs}
    for config in CONFIGS:
        for path in [*(stage / config).glob("*.parquet"), *(stage / config).glob(".*.tmp")]:
            if path.suffix == ".tmp" or (_DATA.fullmatch(path.name) and path not in paths):
                _record(path).unlink(missing_ok=True)
                path.unlink(missing_ok=True)
    files_by_name = {job.name: file for job in jobs if (file := staged(stage, job.name, job.key))}
    missing = [job for job in jobs if job.name not in files_by_name]
    refuse_full_disk(stage, sum(job.size for job in missing))
    for number, file in enumerate(files_by_name.values(), 1):
        progress(file, number, len(jobs))
    try:
        # Closed at once after any error here: a traceback would keep it, and its threads, alive.
        with closing(_pack(jobs, dict(files_by_name), stage, index, made_by, workers, readers)) as files:
            for file in files:
                files_by_name[file.name] = file
                progress(file, len(files_by_name), len(jobs))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DailytalkError(
            f"the disk of {stage} is full", "make room and push again: what is packed already stays"
        ) from None
    files_in_order = tuple(files_by_name[name] for name in sorted(files_by_name))
    return Packed(files_in_order, index.sample_rate, disjoint, index.rejects, index.items.fields)


def _features(config: str, index: Index) -> Features:
    items = index.items
    return published_features(config, index.sample_rate, items.labelled, (*FIELDS, *items.fields))


def _jobs(
    index: Index,
    packed: Iterable[PackedRecording],
    side: dict[str, str],
    made_by: RowOrigin,
    before: Mapping[str, int],
    shard_bytes: float,
) -> Iterator[_Job]:
    """The files of a version. A split without rows has none: `datasets` fails on one."""
    parts: dict[tuple[str, str], list[Member]] = {}
    for finished in index.conversations:
        parts.setdefault(("conversations", side[finished.id]), []).append(finished)
        if finished.heard:
            parts.setdefault(("utterances", side[finished.id]), []).append(finished)
        if finished.interactions:
            parts.setdefault(("interactivity", side[finished.id]), []).append(finished)
    for recording in packed:
        parts.setdefault(("source", split_of(recording, side)), []).append(recording)
    for config, split in itertools.product(CONFIGS, SPLITS):
        members = parts.get((config, split))
        if not members:
            continue
        sizes: dict[str, float] = {}
        for member in members:
            if isinstance(member, PackedRecording):
                sizes[member.id] = member.size
                continue
            # One speaker of two takes most of a second's bytes, so counts as both.
            seconds = {"conversations": member.seconds, "utterances": member.heard_seconds}
            length = seconds.get(config, len(member.interactions) * (CONTEXT + AFTER))
            sizes[member.id] = index.bytes_per_second * length
        count = shard_count(sizes, sum(sizes.values()), before.get(f"{config}/{split}"), shard_bytes)
        shards: list[list[Member]] = [[] for _ in range(count)]
        for member in sorted(members, key=lambda member: (position(member.id), member.id)):
            shards[shard_of(member.id, count)].append(member)
        libraries = (pa.__version__, soundfile.__libsndfile_version__)
        about = [_CODE, *libraries, str(_features(config, index)), asdict(made_by)]
        for number, shard in enumerate(shards):
            contents: list[Any] = [member.digest for member in shard]
            if config == "interactivity":
                contents += [member.interactions for member in shard if isinstance(member, Finished)]
            key = hashlib.sha256(json.dumps([about, contents]).encode()).hexdigest()
            size = sum(sizes[member.id] for member in shard)
            name = f"{config}/{split}-{number:05d}-of-{count:05d}.parquet"  # as `Dataset.push_to_hub` writes it
            yield _Job(name, config, split, tuple(shard), size, key)


def _pack(
    jobs: Sequence[_Job],
    staged: Mapping[str, DataFile],
    stage: Path,
    index: Index,
    made_by: RowOrigin,
    workers: int,
    readers: Sequence[Callable[[PublishedRow], None]],
) -> Generator[DataFile, None, None]:
    """Write the files that are not staged yet, yield each when it is on disk, and show the rows of all."""
    from dailytalk_contiguous.sources.folder import side_by_side  # here, for it imports all that reads recordings

    in_order = (member for job in jobs if job.config == "conversations" for member in job.members)
    listed = listed_clips(member.clip for member in in_order if isinstance(member, Finished) and member.clip)

    def show(job: _Job, rows: Iterable[Row]) -> None:
        for row in rows:
            published = PublishedRow(row, job.split, listed.get(row["conversation_id"], 1))
            for read in readers:
                read(published)

    def make(read: tuple[Finished, Row, list[str]]) -> tuple[str, PublishedRows]:
        finished, row, configs = read
        return finished.id, published_rows(finished, row, made_by, configs)

    for split in SPLITS:
        of_split = [job for job in jobs if job.split == split]
        missing = [job for job in of_split if job.name not in staged]
        job_of = {(job.config, member.id): job for job in missing for member in job.members}
        with ExitStack() as opened:
            files = {
                config: _Files(
                    opened, stage, _features(config, index), show if config == "conversations" else None
                )
                for config in CONFIGS
            }
            for job in of_split:
                recordings = [member for member in job.members if isinstance(member, PackedRecording)]
                for recording in recordings if job in missing else ():
                    yield from files["source"].add(job, [packed_recording_row(recording, made_by)])
                if job.config != "conversations":
                    continue
                if job.name in staged:
                    with open_parquet(staged[job.name].path, "push again") as packed:
                        show(job, packed.rows(name for name in packed.schema.names if name != "audio"))
                configs = {
                    member.id: [config for config in CONFIGS if (config, member.id) in job_of]
                    for member in job.members
                }
                finished = [
                    member for member in job.members if isinstance(member, Finished) and configs[member.id]
                ]
                reads = ((*read, configs[read[0].id]) for read in _read_ahead(index, finished))
                for name, rows in side_by_side(make, reads, workers):
                    for config in rows:
                        yield from files[config].add(job_of[config, name], rows[config])
                yield from files["conversations"].finish()
            for config in CONFIGS[1:]:
                yield from files[config].finish()


def _read_ahead(index: Index, members: Iterable[Finished]) -> Iterator[tuple[Finished, Row]]:
    """Members with their rows, in this order.

    About as many as a published file holds are read at once, in the order of the folder: short conversations share
    row groups, and to read one of them is to read its neighbours.
    """
    some: list[Finished] = []
    size = 0.0
    for finished in members:
        some.append(finished)
        size += index.bytes_per_second * finished.seconds
        if size >= SHARD_BYTES:
            yield from zip(some, finished_rows(index.items, some), strict=True)
            some, size = [], 0.0
    yield from zip(some, finished_rows(index.items, some), strict=True)


class _Files:
    """Writes the files of a config, one after another; with `opened` ends what is not finished, and is removed.

    `show` is called with the rows of each row group as they are written.
    """

    def __init__(
        self,
        opened: ExitStack,
        stage: Path,
        features: Features,
        show: Callable[[_Job, Iterable[Row]], None] | None,
    ) -> None:
        self._open = opened.enter_context(ExitStack())
        self._stage, self._features, self._show = stage, features, show
        self._job: _Job | None = None

    def add(self, job: _Job, rows: Iterable[tuple[Row, float]]) -> Iterator[DataFile]:
        """Rows of the file of a job, each with its seconds; yields the file before it, which is finished now."""
        if job is not self._job:
            yield from self.finish()
            path = self._stage / job.name
            write = self._open.enter_context(writing_parquet(path, self._features, audio="audio.bytes"))
            self._job, self._rows, self._seconds = job, 0, 0.0
            self._groups = RowGroups(partial(self._write_group, job, write))
        key = next(iter(self._features))
        for row, seconds in rows:
            self._rows += 1
            self._seconds += seconds
            self._groups.add(row, row[key], len(row["audio"]["bytes"]))

    def finish(self) -> Iterator[DataFile]:
        if self._job is None:
            return
        self._groups.end()
        self._open.close()
        job, path = self._job, self._stage / self._job.name
        self._job = None
        size = path.stat().st_size
        file = DataFile(job.name, path, job.config, job.split, sha256_of(path), size, self._rows, self._seconds)
        keep(file, job.key)
        yield file

    def _write_group(self, job: _Job, write: Callable[[Sequence[Row]], pa.Table], rows: list[Row]) -> None:
        written = write(rows)
        if self._show:
            published = written.drop_columns(["audio"]).to_pylist()
            self._show(
                job,
                ({**as_written, "audio": row["audio"]} for as_written, row in zip(published, rows, strict=True)),
            )
