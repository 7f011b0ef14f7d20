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
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import soundfile

from dailytalk_contiguous.core.audio import Pcm
from dailytalk_contiguous.core.documents import parse_json, typed
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.schema import (
    CHANNELS,
    SPLITS,
    Row,
    kept_speakers,
    parent_of,
    published_features,
)
from dailytalk_contiguous.core.steps import step
from dailytalk_contiguous.core.utterance import FIELDS, heard_utterances
from dailytalk_contiguous.core.wording import portable
from dailytalk_contiguous.models.failures import without_message
from dailytalk_contiguous.publish.items import SMALL, TOLERANCE, Place, Shards
from dailytalk_contiguous.publish.splits import SplitVoice, disjoint_in, split_conversations
from dailytalk_contiguous.publish.version import DataFile, Packed
from dailytalk_contiguous.store.files import file_name, sha256_of
from dailytalk_contiguous.store.parquet import row_groups, write_parquet

#: The stage that rejects of a push name.
STAGE = "push"

#: Seconds of the conversations of a file. As FLAC an hour has 100 to 250 MB, with which `datasets` and the viewer
#: of the Hub are at ease, and fits in memory; so conversations are read an hour at a time, too.
FILE_SECONDS = 3600.0

#: Bytes of audio behind which a row group ends; a reader of one row fetches as much.
ROW_GROUP_BYTES = 8_000_000

_AGAIN = "build the conversation again"


class Finished(NamedTuple):
    """A conversation that can be published: what decides its split, the place of its row, and a clip's split."""

    voice: SplitVoice
    place: Place
    split: str | None


def read_finished(
    items: Shards, look: Callable[[Row], None]
) -> tuple[dict[str, Finished], set[int], list[Reject]]:
    """Read the finished conversations of a work folder, without audio; `look` is called with each good row.

    Returns those that can be published, by id, the rates of their audio in Hz, and why the others can't be.

    Raises DailytalkError: there are none, a shard is damaged or of no finished dataset, or an id occurs twice.
    """
    finished = dict[str, Finished]()
    rates = set[int]()
    rejects = list[Reject]()
    for path in items.files:
        for place, row in items.rows_of(path, SMALL):
            name = row["conversation_id"]
            if name in finished:
                raise DailytalkError(
                    f"the conversation {name!r} is in {finished[name].place.file} and in {path}",
                    "remove one of the two shards, or build the dataset again",
                )
            problem = _problem(row)
            if problem:
                rejects.append(Reject(name, STAGE, *problem))
                continue
            look(row)
            rates.add(row["sample_rate"])
            voice = SplitVoice(name, kept_speakers(row), row["recording_id"], row["duration"], parent_of(row))
            finished[name] = Finished(voice, place, row["split"] if row["labels"] else None)
    if not finished:
        why = f" that can be published ({rejects[0].id}: {rejects[0].reason})" if rejects else ""
        raise DailytalkError(
            f"{items.where} holds no finished conversations{why}",
            "see its rejects.jsonl, and run dailytalk speak again",
        )
    return finished, rates, rejects


def _problem(row: Row) -> tuple[str, str] | None:
    """Why a row can't be published, and what to do."""
    if row["problem"]:
        return row["problem"], row["remedy"]
    if not row["recording_id"] or not row["sample_rate"] or row["sample_rate"] < 1:
        return "it has no recording_id or no sample_rate", _AGAIN
    if row["labels"] and row["split"] not in SPLITS:
        return f"its split is {row['split']!r}, not {', '.join(SPLITS)}", "run `dailytalk corpus` again"
    try:
        row_provenance(row)
    except BadInput as problem:
        return problem.reason, problem.remedy
    return None


def pack_version(
    items: Shards,
    stage: Path,
    *,
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
        items: the work folder, as `publish.opening.finished_items` opens it.
        stage: a new folder for the files, `CONFIG/SPLIT-00000-of-00004.parquet`.
        per_kind: clips of interaction of each kind at most, as the config `interactivity`.
        splits_before: conversation id to its split in the version before.
        valid_share, test_share, seed: as in `publish.splits.split_conversations`. Clips keep the split that they
            have.
        file_seconds: of the conversations of a file.
        workers: threads that cut and encode.

    Raises DailytalkError: the folder holds no row that can be published, or one of them can't be read.
    """
    from dailytalk_contiguous.publish.interactivity import ClipChoice  # here: it loads exports and their checks

    choice = ClipChoice(per_kind)
    finished, rates, rejects = read_finished(items, choice.add)
    voices = [conversation.voice for conversation in finished.values()]
    if items.labelled:
        split_of = {name: conversation.split or "" for name, conversation in finished.items()}
    else:
        shares = {"validation": valid_share, "test": test_share}
        split_of = split_conversations(voices, shares, splits_before, seed)
    if per_kind and not choice.ids:
        raise DailytalkError(f"nothing in {items.where} can be a clip of interaction", "push with --clips 0")
    sample_rate = min(rates) if len(rates) == 1 else None
    fields = (*FIELDS, *items.fields)
    parts: dict[tuple[str, str], list[tuple[Path, int, float]]] = defaultdict(list)
    make = partial(published_rows, run=items.run, clips=choice.ids)
    done = 0
    with ThreadPoolExecutor(workers, "pack") as pool:
        for split, names in _files(finished, split_of, file_seconds):
            rows_of: dict[str, list[Row]] = defaultdict(list)
            places = sorted(finished[name].place for name in names)
            by_id = {row["conversation_id"]: row for row in items.rows_at(places)}
            missing = [name for name in names if name not in by_id]
            if missing:
                raise DailytalkError(
                    f"another run writes {missing[0]!r} anew", "wait until it has ended, and push again"
                )
            for rows in pool.map(make, map(by_id.pop, names)):
                for config, of_config in rows.items():
                    rows_of[config] += of_config
                done += 1
                step("conversations packed", done, len(finished))
            for config in [config for config, of_config in rows_of.items() if of_config]:
                path = stage / config / f"{split}-{len(parts[config, split]):05d}.parquet"
                features = published_features(config, sample_rate, items.labelled, fields)
                write_parquet(path, features, row_groups(rows_of[config], ROW_GROUP_BYTES), audio="audio.bytes")
                seconds = sum(row["duration"] for row in rows_of[config])
                parts[config, split].append((path, len(rows_of[config]), seconds))
    files = list[DataFile]()
    for (config, split), of_split in parts.items():  # their number is known now, and so are their names
        for number, (path, n_rows, seconds) in enumerate(of_split):
            name = f"{config}/{split}-{number:05d}-of-{len(of_split):05d}.parquet"
            path = path.rename(stage / name)
            size = path.stat().st_size
            files.append(DataFile(name, path, config, split, sha256_of(path), size, n_rows, seconds))
    return Packed(tuple(sorted(files)), disjoint_in(voices, split_of), tuple(rejects), items.fields)


def _files(
    finished: Mapping[str, Finished], split_of: Mapping[str, str], file_seconds: float
) -> Iterator[tuple[str, list[str]]]:
    """The split of each file of conversations, and their ids in order; a file begins in each `file_seconds`."""
    for split in SPLITS:
        names = [name for name in sorted(finished) if split_of[name] == split]
        seconds = [finished[name].voice.seconds for name in names]
        starts = accumulate(seconds, initial=0.0)
        for _, numbered in groupby(zip(names, starts, strict=False), lambda of: of[1] // file_seconds):
            yield split, [name for name, _ in numbered]


class _Model(TypedDict, total=False):
    name: str | None
    licence: str | None
    url: str | None


class Provenance(TypedDict, total=False):
    """The fields of a row's provenance that are read."""

    tool: str | None
    voice: str | None
    settings: dict[str, Any] | None
    models: dict[str, _Model] | None


def recorded_from(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dataset of the recordings of a work folder (`NAME@REVISION`), and its licence, or None."""
    source = run.get("source") or {}
    repository = source.get("repository")
    revision = source.get("revision")
    name = f"{repository}@{revision}" if repository and revision else repository
    return {"source": name, "source_licence": source.get("licence")}


def row_provenance(row: Mapping[str, Any]) -> dict[str, Any]:
    """Parse the provenance of a finished row. Raises BadInput if it is not JSON, or not of its shape."""
    record = parse_json(row["provenance"] or "{}", "its provenance", _AGAIN)
    return {**typed(record, Provenance, "its provenance", _AGAIN)}


def provenance(row: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the provenance of a published row; `run`: run.json of the work folder.

    Models and voices may be named by a folder of this machine, which is private: its last part is published.
    """
    record = row_provenance(row)
    labels = row["labels"]
    settings = record.get("settings")
    origin = recorded_from(run)
    if labels:
        origin = {"source": labels.get("corpus") or origin["source"], "source_licence": labels.get("licence")}
    return {
        "source_id": row["recording_id"],
        **origin,
        "tool": record.get("tool"),
        "voice": portable(record.get("voice")),
        "models": [
            {"role": role} | {name: portable(model.get(name)) for name in ("name", "licence", "url")}
            for role, model in sorted((record.get("models") or {}).items())
        ],
        "stages": [
            {name: stage.get(name) for name in ("name", "digest")}
            for half in (run, run.get("speak") or {})
            for stage in half.get("stages") or ()
        ],
        "settings": None if settings is None else json.dumps(settings, sort_keys=True, ensure_ascii=False),
    }


def published_rows(row: Row, run: Mapping[str, Any], clips: Collection[str]) -> dict[str, list[Row]]:
    """Return the rows of a finished conversation by config.

    Audio of a conversation is copied byte for byte; an utterance is cut from its speaker's channel to the sample.

    Args:
        row: with its audio.
        run: run.json of the work folder.
        clips: ids of the clips of interaction that are published.

    Raises DailytalkError if its audio can't be read or is not stereo at its rate, or an utterance or a clip is
    outside it.
    """
    name = row["conversation_id"]
    rate = row["sample_rate"]
    data = (row["audio"] or {}).get("bytes") or b""
    published = row | _sound(name, data) | {"provenance": provenance(row, run)}
    published["utterances"] = [_published_utterance(utterance) for utterance in row["utterances"] or ()]
    published["model_failures"] = row["model_failures"] and [
        failure | {"reason": without_message(failure["reason"])} for failure in row["model_failures"]
    ]
    rows = {"conversations": [published], "utterances": list[Row](), "interactivity": list[Row]()}
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as sound:
            if (sound.channels, sound.samplerate) != (len(CHANNELS), rate):
                raise BadInput(f"it has {sound.channels} channel(s) at {sound.samplerate} Hz", _AGAIN)
            pcm: Pcm = sound.read(dtype="int16")
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


def _published_utterance(utterance: Row) -> Row:
    """An utterance without what is private in it: folders of models and voices, messages of models' errors."""
    published = dict(utterance)
    if utterance["synthesis"] is not None:
        names = {key: portable(utterance["synthesis"][key]) for key in ("model", "voice")}
        published["synthesis"] = utterance["synthesis"] | names
    for name in ("reason", "text_reason"):
        if utterance.get(name):
            published[name] = without_message(utterance[name])
    return published


def _utterance_rows(row: Row, pcm: Pcm, rate: int) -> Iterator[Row]:
    """The rows of the audible utterances, each with its sound and the words whose middle is in it, cut to it."""
    for utterance in heard_utterances(row):
        start = utterance["start"]
        end = utterance["end"]
        seconds = len(pcm) / rate
        if not -TOLERANCE <= start < end <= seconds + TOLERANCE:
            raise BadInput(
                f"the utterance {utterance['utterance_id']!r} at {start}-{end} s has no length, or is outside its "
                f"{seconds:.3f} s",
                _AGAIN,
            )
        first = min(max(round(start * rate), 0), len(pcm) - 1)
        part = pcm[first : max(round(end * rate), first + 1), CHANNELS.index(utterance["channel"])]
        length = len(part) / rate
        words = []
        for word in row["alignments"] or ():
            middle = (word["start"] + word["end"]) / 2
            if word["speaker"] == utterance["channel"] and start <= middle <= end:
                times = {edge: min(max(round(word[edge] - start, 4), 0.0), length) for edge in ("start", "end")}
                about = {name: word.get(name) for name in ("word", "source", "probability", "filler")}
                words.append(about | times)
        yield {
            **utterance,
            **_sound(utterance["utterance_id"], _flac(part, rate)),
            "sample_rate": rate,
            "conversation_id": row["conversation_id"],
            "recording_id": row["recording_id"],
            "duration": length,
            "language": utterance.get("language") or row["language"],
            "words": words,
            "labels": row["labels"],
        }


def _flac(pcm: Pcm, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, pcm, rate, subtype="PCM_16", format="FLAC")
    return file.getvalue()


def _sound(name: str, data: bytes) -> Row:
    """The columns of FLAC, with a plain file name made from a row's id."""
    audio = {"bytes": data, "path": f"{file_name(name)}.flac"}
    return {"audio": audio, "audio_sha256": hashlib.sha256(data).hexdigest()}
