"""Tables of recordings on the Hub: a row a recording, in Parquet or WebDataset shards.

Each row's encoded audio is written once, as it is, to a file of this machine's cache, named by the row's id, with
the row's word times beside it where it has some. A list of the written files is written last, so that a finished
folder is never fetched again and an unfinished one never used.
"""

import hashlib
import json
import os
import re
from collections.abc import Collection, Container, Iterator, Sequence
from dataclasses import astuple
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, NotRequired, TypedDict

from datasets import Audio, Features, get_dataset_config_names, load_dataset_builder

from dailytalk_contiguous.core.documents import typed
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.records.fields import Field, columns_among
from dailytalk_contiguous.core.records.published_fields import Described, described
from dailytalk_contiguous.core.records.schema import CHANNELS, LABELLED, Row
from dailytalk_contiguous.machine.read_documents import MOST_OWN_BYTES, read_json
from dailytalk_contiguous.machine.resources import cache_folder
from dailytalk_contiguous.machine.sound_columns import stereo_sound
from dailytalk_contiguous.sources.formats.json_documents import is_transcript
from dailytalk_contiguous.sources.hub.published import fields_of_version, write_published
from dailytalk_contiguous.sources.hub.repository import Repository, download, modified_of
from dailytalk_contiguous.sources.hub.shard_rows import TABLE_SUFFIXES, columns_of, rows_of
from dailytalk_contiguous.sources.hub.webdataset_samples import KEY
from dailytalk_contiguous.sources.recordings.joined import put_together
from dailytalk_contiguous.sources.recordings.pairs import Pair
from dailytalk_contiguous.sources.recordings.recording_files import shortened
from dailytalk_contiguous.store.files import inside, write_bytes, write_text
from dailytalk_contiguous.store.foreign_card import USE_ITS_FILES, check_card
from dailytalk_contiguous.store.parquet import cause

#: The configs to take where there are several, the first that exists.
CONFIGS = ("conversations", "default")

#: The file that lists the recordings of a finished folder.
_DONE = ".fetched.json"


class TablePlan(NamedTuple):
    """Shards by split, and the columns to read.

    `audio`: the column of a recording's sound, or the mono ones of its left and right side. `fields`: those of
    finished conversations beside ours; None where rows are recordings.
    """

    shards: dict[str, list[str]]
    audio: tuple[str, ...]
    named_by: str
    words: list[str]
    fields: tuple[Field, ...] | None = None

    @property
    def columns(self) -> list[str]:
        columns = dict.fromkeys([*self.audio, self.named_by, *self.words])
        if self.fields is not None:
            of_rows = [column.name for column in columns_among(self.fields)]
            columns |= dict.fromkeys([*LABELLED, *of_rows])
        return [name for name in columns if name]


class WrittenRecordings(TypedDict):
    """The list that closes a folder: its recordings by their paths in it, and the rows that can't be used.

    `fields`: of finished conversations, the fields that they have beside ours; such a row is beside its recording
    (`sources.hub.published`).
    """

    recordings: list[str]
    problems: list[dict[str, str]]
    fields: NotRequired[list[Described]]


#: Columns that name a recording.
ID_COLUMNS = ("conversation_id", "recording_id", "id")

#: Columns with the words of a recording and their times: our own, WebDataset's member, and what others call it.
WORD_COLUMNS = ("alignments", "json", "transcript")


def plan_of(repository: Repository) -> TablePlan:
    """Choose what to read of which shards. Raises DailytalkError if a column, config or split must be chosen."""
    shards = chosen_shards(repository)
    paths = [path for split_paths in shards.values() for path in split_paths]
    features = _first_columns(repository, paths)
    named_by = next((name for name in (*ID_COLUMNS, KEY) if name in features), "")
    id_column = repository.choice.id_column
    if id_column:
        named_by = _one_of(features, id_column, "column", "--id-column", repository)
    audio = _audio_columns(repository, features)
    words = [name for name in WORD_COLUMNS if name in features]
    chooses_columns = id_column or repository.choice.audio_column
    fields = None if chooses_columns else fields_of_version(repository, features)
    return TablePlan(shards, audio, named_by, words, fields)


def chosen_shards(repository: Repository) -> dict[str, list[str]]:
    """Shards by split, of the config and split that are meant. Raises DailytalkError if there are none."""
    repo = repository.reference.repo
    split = repository.choice.split
    check_card(repo, repository.files, lambda name: download(repository, name).read_bytes())
    try:
        builder = load_dataset_builder(repo, _config(repository), revision=repository.commit)
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # its values have other types
        raise BadInput(f"`datasets` can't use the card of {repo} ({cause(error)})", USE_ITS_FILES) from None
    prefix = f"hf://datasets/{repo}@{repository.commit}/"
    shards: dict[str, list[str]] = {}
    for name, addresses in (builder.config.data_files or {}).items():
        tables = [address for address in addresses if address.lower().endswith(TABLE_SUFFIXES)]
        shards[str(name)] = [address.removeprefix(prefix) for address in tables]
    splits = [_one_of(shards, split, "split", "--split", repository)] if split else list(shards)
    chosen = {name: shards[name] for name in splits if shards[name]}
    if not chosen:
        raise DailytalkError(f"{repo} has no Parquet or WebDataset shards there", "choose another --config")
    return chosen


def _config(repository: Repository) -> str:
    repo = repository.reference.repo
    configs = get_dataset_config_names(repo, revision=repository.commit)
    chosen = repository.choice.config
    if chosen:
        return _one_of(configs, chosen, "config", "--config", repository)
    usual = configs if len(configs) == 1 else [name for name in CONFIGS if name in configs]
    if usual:
        return str(usual[0])
    raise DailytalkError(f"{repo} has several configs", f"choose --config from {', '.join(configs)}")


def _first_columns(repository: Repository, paths: Sequence[str]) -> Features:
    """`columns_of` the first shard that can be read. Raises BadInput if none can."""
    for path in paths:
        try:
            return columns_of(repository, path)
        except BadInput as error:
            problem = error
    raise problem


def _audio_columns(repository: Repository, features: Features) -> tuple[str, ...]:
    """Return the chosen columns, the left one first, else the only one with audio, else those of both sides."""
    chosen = repository.choice.audio_column
    if chosen:
        columns = (chosen,) if chosen in features else tuple(chosen.split(",", 1))
        for name in columns:
            _one_of(features, name, "column", "--audio-column", repository)
        return columns
    audio = []
    for name, feature in features.items():
        is_struct = isinstance(feature, dict) and feature.keys() == {"bytes", "path"}
        if is_struct or isinstance(feature, Audio):
            audio.append(name)
    if {*audio} == {*CHANNELS}:
        return CHANNELS
    if len(audio) != 1:
        number = "several columns" if audio else "no column"
        reason = f"{repository.reference.repo} has {number} with audio ({', '.join(audio or features)})"
        remedy = "choose one with --audio-column (two mono ones as LEFT,RIGHT), or another --config"
        raise DailytalkError(reason, remedy)
    return (audio[0],)


def _one_of(available: Collection[str], name: str, kind: str, option: str, repository: Repository) -> str:
    """Return the name that an option gives. Raises DailytalkError if it is not among the available ones."""
    if name not in available:
        reason = f"{repository.reference.repo} has no {kind} {name!r}"
        raise DailytalkError(reason, f"choose {option} from {', '.join(available)}")
    return name


def written_tables(repository: Repository) -> tuple[Path, WrittenRecordings]:
    """Return the folder of the recordings of a repository and the list of them, written by now at the latest."""
    folder = tables_folder(repository)
    record = finished_tables(folder)
    if record is not None:
        return folder, record
    plan = plan_of(repository)
    written: dict[str, str] = {}
    record = {"recordings": [], "problems": []}
    for row in table_rows(repository, plan, StreamPosition()):
        written_row = write_row(plan, folder, row, written)
        if isinstance(written_row, Reject):
            record["problems"].append(written_row.as_dict())
        else:
            name, path = written_row
            written[name] = path.relative_to(folder).as_posix()
    record["recordings"] = list(written.values())
    if plan.fields is not None:
        record["fields"] = described(plan.fields)
    write_text(folder / _DONE, json.dumps(record, indent=1, ensure_ascii=False))
    return folder, record


def tables_folder(repository: Repository) -> Path:
    """Return the folder of this machine's cache for the recordings of the chosen part of a repository."""
    choice = json.dumps(astuple(repository.choice))
    digest = hashlib.sha256(choice.encode()).hexdigest()[:8]
    repo = repository.reference.repo.replace("/", "--")
    return cache_folder() / "hub" / repo / repository.commit / digest


def finished_tables(folder: Path) -> WrittenRecordings | None:
    """Return the list that closes a folder; None if it is not finished, or if files were taken out of it since."""
    try:
        content = read_json(inside(folder, _DONE), limit=MOST_OWN_BYTES)
        record = typed(content, WrittenRecordings, _DONE)
    except BadInput:
        return None
    is_complete = all((folder / name).is_file() for name in record["recordings"])
    return record if is_complete else None


class StreamPosition(NamedTuple):
    """The position in a source.

    Attributes:
        shard: the number of the shard.
        inside: the position in it, as `rows_of` counts.
        number: how many recordings came before, of the split or of all files.
    """

    shard: int = 0
    inside: int = 0
    number: int = 0


class TableRow(NamedTuple):
    """A row, or why it can't be read: its split, its number in that from 0, and the position after it."""

    content: Row | BadInput
    split: str
    number: int
    after: StreamPosition


def table_rows(repository: Repository, plan: TablePlan, start: StreamPosition) -> Iterator[TableRow]:
    """Yield the rows of all shards from a position on."""
    shards = [(split, path) for split, paths in plan.shards.items() for path in paths]
    number = start.number
    for index in range(start.shard, len(shards)):
        split, path = shards[index]
        if index > start.shard and split != shards[index - 1][0]:
            number = 0
        inside = start.inside if index == start.shard else 0
        for content, after in rows_of(repository, path, plan.columns, inside):
            yield TableRow(content, split, number, StreamPosition(index, after, number + 1))
            number += 1


def write_row(
    plan: TablePlan, folder: Path, table_row: TableRow, written: Container[str]
) -> tuple[str, Path] | Reject:
    """Write a row's recording into a folder: its name and its file. An unusable one is a Reject.

    `written` are the names of the rows before it.
    """
    row, split, number, _ = table_row
    name = f"{split}-{number:06d}"
    if isinstance(row, BadInput):
        return Reject(name, "Hub", row.reason, row.remedy)
    try:
        row_id = _row_id(row, plan, split) or name
        if row_id in written:
            raise BadInput(f"its id {row_id!r} is already that of another row", "choose another --id-column")
        name = row_id
        if plan.fields is not None:
            write_published(folder, name, row, split)
        return name, _write(plan, folder / name, row)
    except BadInput as error:
        return Reject(name, "Hub", error.reason, error.remedy)


def _row_id(row: Row, plan: TablePlan, split: str) -> str | None:
    """Return the name of a row's recording; None where nothing names it. File names begin with their split."""
    if plan.named_by and plan.named_by != KEY:
        row_id = row.get(plan.named_by)
        return None if row_id in (None, "") else table_file_name(str(row_id))
    audio = row.get(plan.audio[0])
    path = row.get(KEY)
    if not path and isinstance(audio, dict):
        path = audio.get("path")
    if not path:
        return None
    stem = str(path)
    if not plan.named_by:
        file_name = stem.rpartition("/")[2]
        stem = re.sub(r"\.[^./]*$", "", file_name)
    return table_file_name(f"{split}/{stem}" if len(plan.shards) > 1 else stem)


#: Characters that some systems forbid in file names, and a leading dot, which would hide the file.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|%\ud800-\udfff]|^\.')

#: Bytes of a file's name that leave room for an ending and the temporary name that it is written under.
_LONGEST_NAME = 200


def table_file_name(name: str) -> str:
    """Return a recording's name as a path without an ending: what no file may be called is percent-encoded.

    Slashes make folders. Different names stay different; one that is too long ends in a digest.
    """
    parts = []
    for part in name.split("/"):
        encoded = _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", part)
        parts.append(encoded or "%")
    return shortened("/".join(parts), _LONGEST_NAME)


def _write(plan: TablePlan, stem: Path, row: Row) -> Path:
    """Write a row's recording, and its words beside it, to files of this path with an ending."""
    if plan.fields is not None:
        data = _encoded(dict(stereo_sound(row)))  # the stereo file, also where each side is a column
    elif len(plan.audio) == 1:
        data = _encoded(row.get(plan.audio[0]))
    else:
        data = _joined(plan.audio, row)
    file = stem.with_name(stem.name + suffix_of(data))
    seconds = modified_of(hashlib.sha256(data).hexdigest())
    transcripts = [_transcript_json(row.get(column)) for column in plan.words]
    contents = [content for content in transcripts if content]
    if contents:
        # The member `json` of a WebDataset is often metadata, beside which there may be words.
        content = next(filter(is_transcript, contents), contents[0])
        write_bytes(stem.with_name(f"{stem.name}.json"), content)
    write_bytes(file, data)
    os.utime(file, (seconds, seconds))
    return file


def _encoded(audio: object) -> bytes:
    """Return the bytes of a value of a column of audio. Raises BadInput if it has none."""
    data = audio.get("bytes") if isinstance(audio, dict) else audio
    if not isinstance(data, bytes) or not data:
        path = audio.get("path") if isinstance(audio, dict) else None
        path_only = f": only the path {path!r}" if path else ""
        raise BadInput(f"it has no audio{path_only}", "embed the audio in the dataset")
    return data


def _joined(columns: Sequence[str], row: Row) -> bytes:
    """Return two mono columns of a row, the left one first, as stereo FLAC. Raises BadInput as `put_together`."""
    files = []
    with TemporaryDirectory() as folder:
        for column in columns:
            data = _encoded(row.get(column))
            file = Path(folder, table_file_name(column) + suffix_of(data))
            write_bytes(file, data)
            files.append(file)
        joined = put_together(Pair(files[0], files[1]), "joined.flac")
        data = joined.read_bytes()
        joined.unlink()
    return data


#: How the encoded audio of files with an ending begins.
_BEGINNINGS = {
    ".wav": rb"RIFF|RF64",
    ".flac": rb"fLaC",
    ".opus": rb".{28}OpusHead",
    ".ogg": rb"OggS",
    ".mp3": rb"ID3|\xff[\xf2\xf3\xfa\xfb]",
    ".aiff": rb"FORM",
    ".caf": rb"caff",
    ".m4a": rb".{4}ftyp",
    ".au": rb"\.snd",
    ".mka": rb"\x1aE\xdf\xa3",
}


def suffix_of(data: bytes) -> str:
    """Return the ending for encoded audio, by how it begins. Raises BadInput for an unknown format."""
    for suffix, beginning in _BEGINNINGS.items():
        if re.match(beginning, data, re.DOTALL):
            return suffix
    raise BadInput("its audio is in no known format", "check that the column holds encoded audio, such as FLAC")


def _transcript_json(value: object) -> bytes | None:
    """Return a transcript as the content of a JSON file, which `sources.transcripts` reads or ignores."""
    if isinstance(value, list | dict):
        if not value:
            return None
        # JSON has no dates or bytes. They are no part of a transcript, and their text does no harm.
        return json.dumps(value, ensure_ascii=False, default=str).encode()
    data = value.encode() if isinstance(value, str) else value
    if not isinstance(data, bytes):
        return None
    return data if data.lstrip()[:1] in (b"{", b"[") else None
