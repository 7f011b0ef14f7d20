"""Packs a work folder into the Parquet files of a version on this disk: all of a push except the Hub.

Every conversation is read twice: once without its audio, to decide its split, and once with its audio. The first
pass rejects rows that can't be published, and keeps a few hundred bytes of a conversation, so that a corpus of any
length fits in memory. The second writes rows in the order of their ids, split by split, and the files of all
configs side by side. Threads cut and encode: decoding, encoding and hashing release the interpreter lock.

A version that adds, changes or drops a few conversations moves the borders of files. Their content is cut into
chunks by what is in it (content-defined chunking of Parquet, and Xet's own), so the Hub gets the new chunks alone.
"""

import hashlib
import io
import json
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import groupby
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import soundfile
from datasets import Features

from dailytalk_contiguous.core.audio import Pcm, from_uri, read_header
from dailytalk_contiguous.core.documents import expect, parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.schema import (
    CHANNELS,
    CONFIGS,
    SPLITS,
    Row,
    kept_speakers,
    parent_of,
    published_features,
)
from dailytalk_contiguous.core.steps import step
from dailytalk_contiguous.core.utterance import FIELDS, heard_utterances
from dailytalk_contiguous.core.wording import portable
from dailytalk_contiguous.publish import opening
from dailytalk_contiguous.publish.items import SMALL, TOLERANCE, Place, Shards
from dailytalk_contiguous.publish.splits import SplitVoice, disjoint_in, split_conversations
from dailytalk_contiguous.publish.version import DataFile, Packed
from dailytalk_contiguous.shards import Shard, entries_in, read_rows, read_shard
from dailytalk_contiguous.store.files import sha256_of
from dailytalk_contiguous.store.owned_folder import file_name
from dailytalk_contiguous.store.parquet import writing_parquet
from dailytalk_contiguous.store.work_folder import TAGGED, read_run

#: The stage that rejects of a push name.
STAGE = "push"

#: Bytes of audio of a file at most: `datasets` and the viewer of the Hub are at ease with 100 to 250 MB.
FILE_BYTES = 250_000_000

#: Bytes of audio behind which a row group ends; a reader of one row fetches as much.
ROW_GROUP_BYTES = 8_000_000

#: Seconds of conversations that are read at once, in the order of the folder: short conversations share row
#: groups, and to read one of them is to read its neighbours.
READ_SECONDS = 3600.0

#: Bytes that are left free on the disk: for the footers of files, and for other programs.
_SPARE = 200_000_000


class Finished(NamedTuple):
    """A finished conversation that is published, and where its row is.

    Attributes:
        voice: what decides its split. parent: what it was made of, or its own id.
        is_heard: whether it has audible utterances.
        chain: digest of each stage of the spoken half, from its shard; empty where the shard has none.
        split: of a clip; None of a conversation, whose split is still to be decided.
        place: where the row is.
        interactions: ids of the clips of interaction that are published of it.
    """

    voice: SplitVoice
    parent: str
    is_heard: bool
    chain: tuple[str, ...]
    split: str | None
    place: Place
    interactions: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return self.voice.id


class Index(NamedTuple):
    """The conversations that are published, by id; the rates of their audio in Hz; and the rows that can't be."""

    finished: dict[str, Finished]
    rates: set[int]
    rejects: list[Reject]


def index_folder(items: Shards, per_kind: int = 0) -> Index:
    """Index the finished conversations of a work folder, reading no audio.

    `per_kind`: clips of interaction that are published of each kind, at most.

    Raises DailytalkError: there are none, a shard is damaged or of no finished dataset, or an id occurs twice.
    """
    from dailytalk_contiguous.publish.interactivity import ClipChoice  # here: it loads exports and their checks

    index = Index({}, set(), [])
    choice = ClipChoice(per_kind)
    for path in items.files:
        shard = read_shard(path) or Shard()
        for place, row in items.rows_of(path, SMALL):
            name = row["conversation_id"]
            if name in index.finished:
                raise DailytalkError(
                    f"the conversation {name!r} is in {index.finished[name].place.file} and in {path}",
                    "remove one of the two shards, or build the dataset again",
                )
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
                index.rejects.append(Reject(name, STAGE, problem.reason, problem.remedy))
                continue
            if per_kind:
                choice.add(row)
            index.rates.add(row["sample_rate"])
            index.finished[name] = Finished(
                SplitVoice(name, kept_speakers(row), row["recording_id"], row["duration"]),
                parent_of(row),
                bool(heard_utterances(row)),
                shard.digests if name in shard.entries else (),
                row["split"] if row["labels"] else None,
                place,
            )
    if not index.finished:
        first = next(iter(index.rejects), None)
        why = f" that can be published ({first.id}: {first.reason})" if first else ""
        raise DailytalkError(
            f"{items.where} holds no finished conversations{why}",
            "see its rejects.jsonl, and run dailytalk speak again",
        )
    for clip_id in sorted(choice.ids):
        name = clip_id.rsplit("/", 2)[0]
        made = index.finished[name]
        index.finished[name] = made._replace(interactions=(*made.interactions, clip_id))
    return index


def pack_version(
    folder: Path,
    stage: Path,
    *,
    include_source: bool = False,
    per_kind: int = 0,
    splits_before: Mapping[str, str] = {},
    valid_share: float = 0.05,
    test_share: float = 0.05,
    seed: int = 0,
    file_bytes: float = FILE_BYTES,
    workers: int = 2,
) -> Packed:
    """Pack the finished conversations of a work folder into the files of one version.

    Args:
        folder: a work folder with `dataset/` (and `tagged/`, for the recordings).
        stage: a new folder for the files, `CONFIG/SPLIT-00000-of-00004.parquet`.
        per_kind: clips of interaction of each kind at most, as the config `interactivity`. splits_before:
        conversation id to its split in the version before. valid_share, test_share, seed: as in
        `publish.splits.split_conversations`. Clips keep the split that they have. file_bytes: of audio in a file
        at most. workers: threads that cut and encode.

    Raises DailytalkError: the folder holds no row that can be published, a recording is missing or another one
    than was tagged, or the disk is too small.
    """
    items = opening.finished_items(folder)
    finished, rates, rejects = index_folder(items, per_kind)
    voices = [conversation.voice for conversation in finished.values()]
    if items.labelled:
        if include_source:
            raise DailytalkError("clips have no recordings to publish beside them", "leave out --include-source")
        split_of = {name: conversation.split or "" for name, conversation in finished.items()}
    else:
        parents = {name: conversation.parent for name, conversation in finished.items()}
        shares = {"validation": valid_share, "test": test_share}
        split_of = split_conversations(voices, shares, splits_before, seed, parents)
    if per_kind and not any(conversation.interactions for conversation in finished.values()):
        raise DailytalkError(f"nothing in {folder} can be a clip of interaction", "push with --clips 0")
    # Each second is in a conversation, on two channels, and mostly in one utterance, on one.
    stage.mkdir(parents=True, exist_ok=True)
    size = 2 * sum(path.stat().st_size for path in items.files) + _SPARE
    if size > (free := shutil.disk_usage(stage).free):
        raise DailytalkError(
            f"packing needs about {size / 1e9:.1f} GB in {stage}, and {free / 1e9:.1f} GB are free",
            "make room, or name a folder on another disk",
        )
    run = read_run(folder) or {}
    sample_rate = min(rates) if len(rates) == 1 else None
    fields = (*FIELDS, *items.fields)
    features = {config: published_features(config, sample_rate, items.labelled, fields) for config in CONFIGS}
    with ExitStack() as opened, ThreadPoolExecutor(workers, "pack") as pool:
        files = {
            (config, split): PackedFiles(opened, stage, config, split, features[config], file_bytes)
            for split in SPLITS
            for config in CONFIGS
        }
        for parts in _recordings(folder, finished) if include_source else ():
            splits = {split_of[part["conversation_id"]] for part in parts}
            files["source", min(splits, key=SPLITS.index)].add([recording_row(parts, run)])

        def make(conversation: Finished, row: Row) -> PublishedRows:
            chain, clips = conversation.chain, conversation.interactions
            return published_rows(row, chain, run, clips, conversation.is_heard)

        done = 0
        for split in SPLITS:
            of_split = [finished[name] for name in sorted(finished) if split_of[name] == split]
            for some in _batches(of_split):
                for rows in pool.map(make, some, _read(items, some)):
                    for config, of_config in rows.items():
                        files[config, split].add(of_config)
                    done += 1
                    step("conversations packed", done, len(finished))
        written = sorted(file for of_split in files.values() for file in of_split.finish())
    return Packed(tuple(written), sample_rate, disjoint_in(voices, split_of), tuple(rejects), items.fields)


def _recordings(folder: Path, finished: Mapping[str, Finished]) -> Iterator[list[Row]]:
    """The tagged rows of the finished conversations of each recording, by its id."""
    from dailytalk_contiguous.sources.transcribed import BASE, tagged_row  # here: it loads the stages that tag

    tagged: dict[str, Row] = {}
    for path in sorted({path for path, _ in entries_in(folder / TAGGED).values()}):
        tagged |= read_rows(path, BASE)
    if missing := sorted(finished.keys() - tagged.keys()):
        raise DailytalkError(
            f"{folder / TAGGED} does not say from which recording {missing[0]!r} is",
            "run dailytalk tag again, or push without --include-source",
        )
    rows = sorted((tagged_row(tagged[name]) for name in finished), key=itemgetter("recording_id"))
    for _, parts in groupby(rows, itemgetter("recording_id")):
        yield [*parts]


def _batches(conversations: Sequence[Finished]) -> Iterator[list[Finished]]:
    some: list[Finished] = []
    seconds = 0.0
    for conversation in conversations:
        some.append(conversation)
        seconds += conversation.voice.seconds
        if seconds >= READ_SECONDS:
            yield some
            some, seconds = [], 0.0
    if some:
        yield some


def _read(items: Shards, conversations: Sequence[Finished]) -> list[Row]:
    """The rows of some conversations. Raises DailytalkError if one is not where it was."""
    rows = items.rows_at(sorted(conversation.place for conversation in conversations))
    by_id = {row["conversation_id"]: row for row in rows if (row["audio"] or {}).get("bytes")}
    for conversation in conversations:
        if conversation.id not in by_id:
            raise DailytalkError(
                f"the conversation {conversation.id!r} is not whole in {conversation.place.file} any more",
                "wait until the run that writes there has ended, and push again",
            )
    return [by_id[conversation.id] for conversation in conversations]


class PackedFiles:
    """The files of a split of a config, written one after another: the next begins where one would be too large.

    They are named once their number is known. What `opened` still holds when it is left by an error is removed.
    """

    def __init__(
        self, opened: ExitStack, stage: Path, config: str, split: str, features: Features, file_bytes: float
    ) -> None:
        self._opened, self._file = opened, ExitStack()
        self._folder, self._config, self._split = stage / config, config, split
        self._features, self._most = features, file_bytes
        self._written: list[tuple[Path, int, float]] = []  # path, rows, seconds
        self._group: list[Row] = []
        self._file_bytes = self._group_bytes = 0

    def add(self, rows: Sequence[tuple[Row, float]]) -> None:
        """Add rows, each with the seconds of its audio."""
        for row, seconds in rows:
            size = len(row["audio"]["bytes"])
            if not self._written or self._file_bytes + size > self._most:
                self._close()
                path = self._folder / f"{self._split}-{len(self._written):05d}.parquet"
                self._file = self._opened.enter_context(ExitStack())
                self._write = self._file.enter_context(writing_parquet(path, self._features, audio="audio.bytes"))
                self._written.append((path, 0, 0.0))
                self._file_bytes = 0
            path, n_rows, total = self._written[-1]
            self._written[-1] = path, n_rows + 1, total + seconds
            self._group.append(row)
            self._file_bytes += size
            self._group_bytes += size
            if self._group_bytes >= ROW_GROUP_BYTES:
                self._end_group()

    def _end_group(self) -> None:
        if self._group:
            self._write(self._group)
        self._group, self._group_bytes = [], 0

    def _close(self) -> None:
        self._end_group()
        self._file.close()

    def finish(self) -> Iterator[DataFile]:
        """Close the last file; yield all of them by the names that `Dataset.push_to_hub` gives."""
        self._close()
        for number, (path, n_rows, seconds) in enumerate(self._written):
            name = f"{self._config}/{self._split}-{number:05d}-of-{len(self._written):05d}.parquet"
            path = path.rename(self._folder.parent / name)
            size = path.stat().st_size
            yield DataFile(name, path, self._config, self._split, sha256_of(path), size, n_rows, seconds)


#: The fields of a row's provenance that are read (see `core.documents.expect`).
_PROVENANCE: dict[str, Any] = {
    "tool?": str,
    "voice?": str,
    "settings?": dict,
    "models?": {str: {"name?": str, "licence?": str, "url?": str}},
}

_AGAIN = "build the conversation again"

#: Bytes of a recording at most. Arrow counts the bytes of a column in 31 bits.
LARGEST_BYTES = 1_900_000_000


def recorded_from(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dataset of the recordings of a work folder (`NAME@REVISION`), and its licence, or None."""
    source = run.get("source") or {}
    repository, revision = source.get("repository"), source.get("revision")
    name = f"{repository}@{revision}" if repository and revision else repository
    return {"source": name, "source_licence": source.get("licence")}


def row_provenance(row: Mapping[str, Any]) -> dict[str, Any]:
    """Parse the provenance of a finished row. Raises BadInput if it is not JSON, or not of its shape."""
    record = parse_json(row["provenance"] or "{}", "its provenance", _AGAIN)
    return dict(expect(record, _PROVENANCE, "its provenance", _AGAIN))


def provenance(row: Mapping[str, Any], chain: Sequence[str], run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the provenance of a published row.

    Models and voices may be named by a folder of this machine, which is private: its last part is published.

    Args:
        chain: the digests after the stages of the spoken half.
        run: run.json of the work folder, which names the stages.
    """
    record = row_provenance(row)
    settings, labels = record.get("settings"), row["labels"]
    stages = [{name: stage[name] for name in ("name", "digest")} for stage in run.get("stages") or ()]
    origin = recorded_from(run)
    if labels:  # all stages of clips are in run.json, by both names
        origin = {"source": labels.get("corpus") or origin["source"], "source_licence": labels.get("licence")}
    else:
        names = [stage["name"] for stage in (run.get("speak") or {}).get("stages") or ()]
        # A record of other stages than the row went through would give their names to the wrong digests.
        names = names if len(names) == len(chain) else [None] * len(chain)
        stages += [{"name": name, "digest": digest} for name, digest in zip(names, chain, strict=True)]
    return {
        "source_id": row["recording_id"],
        **origin,
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
        "stages": stages,
        "settings": None if settings is None else json.dumps(settings, sort_keys=True, ensure_ascii=False),
    }


#: Rows by config, each with the seconds of its audio.
PublishedRows = dict[str, list[tuple[Row, float]]]


def published_rows(
    row: Row, chain: Sequence[str], run: Mapping[str, Any], clips: Collection[str], utterances: bool
) -> PublishedRows:
    """Return the rows of a finished conversation by config, each with its seconds.

    Audio of a conversation is copied byte for byte; an utterance is cut from its speaker's channel to the sample.

    Args:
        row: with its audio.
        chain, run: as in `provenance`.
        clips: ids of the clips of interaction that are published of it.
        utterances: whether it has rows of `utterances`.

    Raises DailytalkError if its audio can't be read or is not stereo at its rate, or an utterance or a clip is
    outside it.
    """
    name, data, rate = row["conversation_id"], row["audio"]["bytes"], row["sample_rate"]
    published = row | _sound(name, data) | {"provenance": provenance(row, chain, run)}
    published["utterances"] = [
        utterance
        if (synthesis := utterance["synthesis"]) is None
        else utterance | {"synthesis": synthesis | {key: portable(synthesis[key]) for key in ("model", "voice")}}
        for utterance in row["utterances"] or ()
    ]
    rows: PublishedRows = {"conversations": [(published, row["duration"])]}
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as sound:
            if (sound.channels, sound.samplerate) != (len(CHANNELS), rate):
                raise BadInput(f"it has {sound.channels} channel(s) at {sound.samplerate} Hz", _AGAIN)
            pcm: Pcm = sound.read(-1 if utterances or clips else 0, dtype="int16")
        if utterances:
            rows["utterances"] = [*_utterance_rows(published, pcm, rate)]
        if clips:
            from dailytalk_contiguous.publish.interactivity import clips_of, cut_clips  # here: it loads exports

            of_row = [clip for clip in clips_of(row)[0] if clip.id in clips]
            rows["interactivity"] = [
                (facts | _sound(clip.id, _flac(part, rate)) | {"sample_rate": rate}, facts["duration"])
                for clip, part, facts in cut_clips(row, of_row, pcm, rate, recorded_from(run)["source_licence"])
            ]
    except (soundfile.LibsndfileError, BadInput) as problem:
        reason = problem.reason if isinstance(problem, BadInput) else str(problem)
        raise DailytalkError(f"the audio of {name!r} can't be used ({reason})", _AGAIN) from None
    return rows


def _utterance_rows(row: Row, pcm: Pcm, rate: int) -> Iterator[tuple[Row, float]]:
    for utterance in row["utterances"]:
        if utterance["status"] == "dropped":
            continue
        start, end, seconds = utterance["start"], utterance["end"], len(pcm) / rate
        if not -TOLERANCE <= start < end <= seconds + TOLERANCE:
            raise BadInput(
                f"the utterance {utterance['utterance_id']!r} at {start}-{end} s has no length, or is outside its "
                f"{seconds:.3f} s",
                _AGAIN,
            )
        first = min(max(round(start * rate), 0), len(pcm) - 1)
        part = pcm[first : max(round(end * rate), first + 1), CHANNELS.index(utterance["channel"])]
        length = len(part) / rate
        published = {
            **utterance,
            **_sound(utterance["utterance_id"], _flac(part, rate)),
            "sample_rate": rate,
            "conversation_id": row["conversation_id"],
            "recording_id": row["recording_id"],
            "duration": length,
            "language": utterance.get("language") or row["language"],
            "words": [*words_of(utterance, row["alignments"] or (), length)],
            "labels": row["labels"],
        }
        yield published, length


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


def _flac(pcm: Pcm, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, pcm, rate, subtype="PCM_16", format="FLAC")
    return file.getvalue()


def _sound(name: str, data: bytes, ending: str = ".flac") -> Row:
    """The columns of encoded audio, with a plain file name made from a row's id."""
    audio = {"bytes": data, "path": file_name(name) + ending}
    return {"audio": audio, "audio_sha256": hashlib.sha256(data).hexdigest()}


def recording_row(parts: Sequence[Row], run: Mapping[str, Any]) -> tuple[Row, float]:
    """Return the row of config `source` of a recording, and the seconds of its audio.

    It is read from its tagged path, and only if it is still the one that was tagged: published beside
    conversations that were made from another file, it would be a false source.

    Args:
        parts: the tagged rows of the conversations that were cut from it and finished.
        run: run.json of the work folder.

    Raises DailytalkError if it is gone, not the one that was tagged, or too large for Parquet.
    """
    from dailytalk_contiguous.sources.transcribed import at_hand  # here: it loads the stages that tag

    first = parts[0]
    try:
        if any(part["audio_identity"] != first["audio_identity"] for part in parts):
            raise BadInput("its parts were tagged in different versions of it", "run dailytalk tag again")
        audio = at_hand(first, None)["audio"]
        path = from_uri(audio["path"])
        if (size := path.stat().st_size) > LARGEST_BYTES:
            raise BadInput(
                f"it has {size / 1e9:.2f} GB, and a row of Parquet can hold {LARGEST_BYTES / 1e9:.1f}",
                "convert it to FLAC and run dailytalk tag again, or push without --include-source",
            )
        seconds = read_header(audio).seconds
    except BadInput as error:
        raise DailytalkError(
            f"the recording {first['audio_file']!r} can't be published ({error.reason})", error.remedy
        ) from None
    ordered = sorted(parts, key=lambda part: (part["offset"], part["conversation_id"]))
    row = {
        "recording_id": first["recording_id"],
        **_sound(first["recording_id"], path.read_bytes(), PurePosixPath(first["audio_file"]).suffix.lower()),
        **{name: first[name] for name in ("audio_file", "sample_rate", "channels")},
        "conversations": [
            {name: part[name] for name in ("conversation_id", "offset", "duration")} for part in ordered
        ],
        **recorded_from(run),
    }
    return row, seconds
