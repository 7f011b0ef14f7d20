"""Packs a work folder into the Parquet files of a version on this disk: all of a push except the Hub.

Every conversation is read twice: once without its audio, to decide its split, and once with its audio. The first
pass rejects rows that can't be published, and keeps a few hundred bytes of a conversation, so that a corpus of any
length fits in memory. The second writes rows in the order of their ids, split by split, an hour of conversations
to a file of each config. Threads cut and encode: decoding, encoding and hashing release the interpreter lock.

A version that adds, changes or drops a few conversations moves the borders of files. Their content is cut into
chunks by what is in it (content-defined chunking of Parquet, and Xet's own), so the Hub gets the new chunks alone.
"""

import hashlib
import io
import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar

import soundfile

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
from dailytalk_contiguous.store.parquet import open_parquet, row_groups, write_parquet
from dailytalk_contiguous.store.work_folder import TAGGED, read_run

Item = TypeVar("Item")

#: The stage that rejects of a push name.
STAGE = "push"

#: Seconds of the conversations of a file. As FLAC an hour has 100 to 250 MB, with which `datasets` and the viewer
#: of the Hub are at ease, and fits in memory; so conversations are read an hour at a time, too.
FILE_SECONDS = 3600.0

#: Bytes of audio behind which a row group ends; a reader of one row fetches as much.
ROW_GROUP_BYTES = 8_000_000

#: Bytes that are left free on the disk: for the footers of files, and for other programs.
_SPARE = 200_000_000

_AGAIN = "build the conversation again"


class Finished(NamedTuple):
    """A finished conversation that can be published.

    Attributes:
        voice: what decides its split.
        place: where its row is.
        digests: of each stage of the spoken half, from its shard; empty where the shard has none.
        split: of a clip; None of a conversation, whose split is still to be decided.
    """

    voice: SplitVoice
    place: Place
    digests: tuple[str, ...]
    split: str | None


def read_finished(
    items: Shards, look: Callable[[Row], None]
) -> tuple[dict[str, Finished], set[int], list[Reject]]:
    """Read the finished conversations of a work folder, without audio; `look` is called with each good row.

    Returns those that can be published, by id, the rates of their audio in Hz, and why the others can't be.

    Raises DailytalkError: there are none, a shard is damaged or of no finished dataset, or an id occurs twice.
    """
    finished, rates, rejects = dict[str, Finished](), set[int](), list[Reject]()
    for path in items.files:
        shard = read_shard(path) or Shard()
        for place, row in items.rows_of(path, SMALL):
            name = row["conversation_id"]
            if name in finished:
                raise DailytalkError(
                    f"the conversation {name!r} is in {finished[name].place.file} and in {path}",
                    "remove one of the two shards, or build the dataset again",
                )
            try:
                if row["problem"]:
                    raise BadInput(row["problem"], row["remedy"])
                if not row["recording_id"] or not row["sample_rate"] or row["sample_rate"] < 1:
                    raise BadInput("it has no recording_id or no sample_rate", _AGAIN)
                if row["labels"] and row["split"] not in SPLITS:
                    known = ", ".join(SPLITS)
                    raise BadInput(f"its split is {row['split']!r}, not {known}", "run `dailytalk corpus` again")
                row_provenance(row)
            except BadInput as problem:
                rejects.append(Reject(name, STAGE, problem.reason, problem.remedy))
                continue
            look(row)
            rates.add(row["sample_rate"])
            finished[name] = Finished(
                SplitVoice(name, kept_speakers(row), row["recording_id"], row["duration"], parent_of(row)),
                place,
                shard.digests if name in shard.entries else (),
                row["split"] if row["labels"] else None,
            )
    if not finished:
        why = f" that can be published ({rejects[0].id}: {rejects[0].reason})" if rejects else ""
        raise DailytalkError(
            f"{items.where} holds no finished conversations{why}",
            "see its rejects.jsonl, and run dailytalk speak again",
        )
    return finished, rates, rejects


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
    file_seconds: float = FILE_SECONDS,
    workers: int = 2,
) -> Packed:
    """Pack the finished conversations of a work folder into the files of one version.

    Args:
        folder: a work folder with `dataset/` (and `tagged/`, for the recordings).
        stage: a new folder for the files, `CONFIG/SPLIT-00000-of-00004.parquet`.
        per_kind: clips of interaction of each kind at most, as the config `interactivity`.
        splits_before: conversation id to its split in the version before.
        valid_share, test_share, seed: as in `publish.splits.split_conversations`. Clips keep the split that they
            have.
        file_seconds: of the conversations of a file.
        workers: threads that cut and encode.

    Raises DailytalkError: the folder holds no row that can be published, a recording is missing or another one
    than was tagged, or the disk is too small.
    """
    from dailytalk_contiguous.publish.interactivity import ClipChoice  # here: it loads exports and their checks

    items, choice = opening.finished_items(folder), ClipChoice(per_kind)
    finished, rates, rejects = read_finished(items, choice.add)
    voices = [conversation.voice for conversation in finished.values()]
    if items.labelled:
        if include_source:
            raise DailytalkError("clips have no recordings to publish beside them", "leave out --include-source")
        split_of = {name: conversation.split or "" for name, conversation in finished.items()}
    else:
        shares = {"validation": valid_share, "test": test_share}
        split_of = split_conversations(voices, shares, splits_before, seed)
    if per_kind and not choice.ids:
        raise DailytalkError(f"nothing in {folder} can be a clip of interaction", "push with --clips 0")
    # Each second is in a conversation, on two channels, and mostly in one utterance, on one.
    stage.mkdir(parents=True, exist_ok=True)
    size = 2 * sum(path.stat().st_size for path in items.files) + _SPARE
    if size > (free := shutil.disk_usage(stage).free):
        raise DailytalkError(
            f"packing needs about {size / 1e9:.1f} GB in {stage}, and {free / 1e9:.1f} GB are free",
            "make room, or name a folder on another disk",
        )
    run, sample_rate = read_run(folder) or {}, min(rates) if len(rates) == 1 else None
    fields = (*FIELDS, *items.fields)
    features = {config: published_features(config, sample_rate, items.labelled, fields) for config in CONFIGS}
    paths: dict[tuple[str, str], list[Path]] = defaultdict(list)

    def write(config: str, split: str, rows: Iterable[Row]) -> None:
        own = paths[config, split]
        own.append(stage / config / f"{split}-{len(own):05d}.parquet")
        write_parquet(own[-1], features[config], row_groups(rows, ROW_GROUP_BYTES), audio="audio.bytes")

    if include_source:
        of_split: dict[str, list[list[Row]]] = defaultdict(list)
        for parts in _recordings(folder, finished):
            of_split[min((split_of[part["conversation_id"]] for part in parts), key=SPLITS.index)].append(parts)
        for split, recordings in of_split.items():
            for some in _groups(recordings, lambda parts: sum(part["duration"] for part in parts), file_seconds):
                write("source", split, (recording_row(parts, run) for parts in some))
    make = partial(published_rows, run=run, clips=choice.ids)
    with ThreadPoolExecutor(workers, "pack") as pool:
        done = 0
        for split in SPLITS:
            own = [finished[name] for name in sorted(finished) if split_of[name] == split]
            for group in _groups(own, lambda one: one.voice.seconds, file_seconds):
                rows_of: dict[str, list[Row]] = defaultdict(list)
                for rows in pool.map(make, _read(items, group), group):
                    for config, of_config in rows.items():
                        rows_of[config] += of_config
                    done += 1
                    step("conversations packed", done, len(finished))
                for config, of_config in rows_of.items():
                    if of_config:
                        write(config, split, of_config)
    files = [file for (config, split), own in paths.items() for file in _named(stage, config, split, own)]
    return Packed(tuple(sorted(files)), sample_rate, disjoint_in(voices, split_of), tuple(rejects), items.fields)


def _named(stage: Path, config: str, split: str, paths: Sequence[Path]) -> Iterator[DataFile]:
    """The files of a split by the names that `Dataset.push_to_hub` gives, now that their number is known."""
    for number, path in enumerate(paths):
        name = f"{config}/{split}-{number:05d}-of-{len(paths):05d}.parquet"
        renamed = path.rename(stage / name)
        with open_parquet(renamed, "push again") as opened:
            seconds = [row["duration"] for row in opened.rows(["duration"])]
        size = renamed.stat().st_size
        yield DataFile(name, renamed, config, split, sha256_of(renamed), size, len(seconds), sum(seconds))


def _groups(items: Iterable[Item], seconds_of: Callable[[Item], float], most: float) -> Iterator[list[Item]]:
    """Items in order, in groups that end where they would have more seconds than `most`."""
    group, seconds = list[Item](), 0.0
    for item in items:
        if group and seconds + seconds_of(item) > most:
            yield group
            group, seconds = [], 0.0
        group.append(item)
        seconds += seconds_of(item)
    if group:
        yield group


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


def _read(items: Shards, group: Sequence[Finished]) -> list[Row]:
    """The rows of some conversations. Raises DailytalkError if one is not where it was."""
    rows = items.rows_at(sorted(conversation.place for conversation in group))
    by_id = {row["conversation_id"]: row for row in rows if (row["audio"] or {}).get("bytes")}
    for voice, place, *_ in group:
        if voice.id not in by_id:
            raise DailytalkError(
                f"the conversation {voice.id!r} is not whole in {place.file} any more",
                "wait until the run that writes there has ended, and push again",
            )
    return [by_id[conversation.voice.id] for conversation in group]


#: The fields of a row's provenance that are read (see `core.documents.expect`).
_PROVENANCE: dict[str, Any] = {
    "tool?": str,
    "voice?": str,
    "settings?": dict,
    "models?": {str: {"name?": str, "licence?": str, "url?": str}},
}

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


def provenance(row: Mapping[str, Any], digests: Sequence[str], run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the provenance of a published row.

    Models and voices may be named by a folder of this machine, which is private: its last part is published.

    Args:
        digests: those after the stages of the spoken half.
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
        names = names if len(names) == len(digests) else [None] * len(digests)
        stages += [{"name": name, "digest": digest} for name, digest in zip(names, digests, strict=True)]
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


def published_rows(
    row: Row, conversation: Finished, run: Mapping[str, Any], clips: Collection[str]
) -> dict[str, list[Row]]:
    """Return the rows of a finished conversation by config.

    Audio of a conversation is copied byte for byte; an utterance is cut from its speaker's channel to the sample.

    Args:
        row: with its audio.
        conversation: what was read of it before.
        run: run.json of the work folder.
        clips: ids of the clips of interaction that are published.

    Raises DailytalkError if its audio can't be read or is not stereo at its rate, or an utterance or a clip is
    outside it.
    """
    name, data, rate = row["conversation_id"], row["audio"]["bytes"], row["sample_rate"]
    published = row | _sound(name, data) | {"provenance": provenance(row, conversation.digests, run)}
    published["utterances"] = [
        utterance
        if (synthesis := utterance["synthesis"]) is None
        else utterance | {"synthesis": synthesis | {key: portable(synthesis[key]) for key in ("model", "voice")}}
        for utterance in row["utterances"] or ()
    ]
    rows = {"conversations": [published], "utterances": list[Row](), "interactivity": list[Row]()}
    heard = heard_utterances(row)
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as sound:
            if (sound.channels, sound.samplerate) != (len(CHANNELS), rate):
                raise BadInput(f"it has {sound.channels} channel(s) at {sound.samplerate} Hz", _AGAIN)
            pcm: Pcm = sound.read(-1 if heard else 0, dtype="int16")
        if heard:
            rows["utterances"] = [*_utterance_rows(published, pcm, rate)]
        if clips:
            from dailytalk_contiguous.publish.interactivity import clips_of, cut_clips  # here: it loads exports

            own = [clip for clip in clips_of(row)[0] if clip.id in clips]
            rows["interactivity"] = [
                facts | _sound(clip.id, _flac(part, rate)) | {"sample_rate": rate}
                for clip, part, facts in cut_clips(row, own, pcm, rate, recorded_from(run)["source_licence"])
            ]
    except (soundfile.LibsndfileError, BadInput) as problem:
        reason = problem.reason if isinstance(problem, BadInput) else str(problem)
        raise DailytalkError(f"the audio of {name!r} can't be used ({reason})", _AGAIN) from None
    return rows


def _utterance_rows(row: Row, pcm: Pcm, rate: int) -> Iterator[Row]:
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
        yield {
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


def recording_row(parts: Sequence[Row], run: Mapping[str, Any]) -> Row:
    """Return the row of config `source` of a recording.

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
    return {
        "recording_id": first["recording_id"],
        **_sound(first["recording_id"], path.read_bytes(), PurePosixPath(first["audio_file"]).suffix.lower()),
        **{name: first[name] for name in ("audio_file", "sample_rate", "channels")},
        "conversations": [
            {name: part[name] for name in ("conversation_id", "offset", "duration")} for part in ordered
        ],
        **recorded_from(run),
        "duration": seconds,
    }
