"""Repositories on the Hub that hold tables: a row a recording, in Parquet or WebDataset shards.

Each row's encoded audio is written once, as it is, to a file of this machine's cache, named by the row's id, with
the row's word times beside it where it has some. A list of what was written closes the folder, so that a finished
one is never fetched again and an unfinished one never taken for whole.
"""

import hashlib
import json
import os
import re
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from datasets import get_dataset_config_names, load_dataset_builder

from dailytalk_contiguous.core.audio import probe
from dailytalk_contiguous.core.documents import MOST_OWN_BYTES, expect, read_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.machine import cache_folder
from dailytalk_contiguous.files.inside import inside
from dailytalk_contiguous.files.writing import write_bytes, write_text
from dailytalk_contiguous.sources.hub_errors import hub_errors
from dailytalk_contiguous.sources.hub_repository import Repository, modified_of
from dailytalk_contiguous.sources.hub_shards import KEY, PARQUET, TAR, Row, columns_of, rows_of
from dailytalk_contiguous.sources.naming import shortened

TABLE_SUFFIXES = (PARQUET, TAR)

#: Columns that name a recording; and the configs to take where several are, our own untouched recordings first.
ID_COLUMNS = ("conversation_id", "recording_id", "id")
CONFIGS = ("source", "conversations", "default")

#: Columns with the words of a recording and their times: our own, WebDataset's member, and what others call it.
WORD_COLUMNS = ("alignments", "json", "transcript")

_DONE = ".complete.json"

#: What encoded audio begins with, at which byte.
_MAGIC = (
    *((0, b"RIFF", ".wav"), (0, b"RF64", ".wav"), (0, b"fLaC", ".flac"), (28, b"OpusHead", ".opus")),
    *(
        (0, b"OggS", ".ogg"),
        (0, b"ID3", ".mp3"),
        (0, b"FORM", ".aiff"),
        (0, b"caff", ".caf"),
        (4, b"ftyp", ".m4a"),
    ),
    *((0, b".snd", ".au"), (0, b"\x1aE\xdf\xa3", ".mka")),
    *((0, start, ".mp3") for start in (b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xfa")),
)

#: What a name of a file may not hold on every system, or at its start, where it would hide the file.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|%\ud800-\udfff]|^\.')

#: Bytes of a file's name that leave room for an ending and the temporary name that it is written under.
_LONGEST_NAME = 200


class Plan(NamedTuple):
    """Shards by split, the columns to read, and the folder that recordings are written to."""

    shards: dict[str, list[str]]
    audio: str
    named_by: str
    words: list[str]
    folder: Path

    @property
    def columns(self) -> list[str]:
        """All that are read."""
        return [name for name in dict.fromkeys([self.audio, self.named_by, *self.words]) if name]


def fetch_tables(repository: Repository) -> Iterator[tuple[Path, Path] | Reject]:
    """Write the recordings to files, and yield each with its folder; rows that can't be used are Rejects."""
    with hub_errors(repository.reference):
        folder = _folder(repository)
        known = _finished(folder)
        if known is None:
            yield from _write_all(plan_of(repository, folder), repository)
        else:
            yield from ((folder / name, folder) for name in known["recordings"])
            yield from (Reject(**problem) for problem in known["problems"])


def missing_tables(repository: Repository) -> list[str]:
    """Shards that `fetch_tables` would have to read: all, or none."""
    with hub_errors(repository.reference):
        if _finished(_folder(repository)) is not None:
            return []
        return [path for paths in _shards(repository).values() for path in paths]


def file_name(name: str) -> str:
    """A recording's name as a path without an ending: what no file may be called is percent-encoded.

    Slashes make folders. Different names stay different; one that is too long ends in a digest. Raises BadInput
    for a name that is empty.
    """
    parts = [_UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", part) for part in name.split("/")]
    if not all(parts):
        raise BadInput(f"its id {name[:60]!r} can't be the name of a file", "choose another --id-column")
    return shortened("/".join(parts), _LONGEST_NAME)


def suffix_of(data: bytes) -> str:
    """The ending for encoded audio, by what it begins with. Raises BadInput if it is nothing known."""
    for place, start, suffix in _MAGIC:
        if data[place : place + len(start)] == start:
            return suffix
    raise BadInput("its audio is in no known format", "check that the column holds encoded audio, such as FLAC")


def write_row(
    plan: Plan, row: Row | BadInput, split: str, number: int, written: Container[str]
) -> tuple[str, Path] | Reject:
    """Write a row's recording below the plan's folder: its name and its file. One that can't be used is a Reject.

    `number` is its place in the split. `written` are the names of the rows before it.
    """
    name = place = f"{split}-{number:06d}"
    try:
        if isinstance(row, BadInput):
            raise row
        named = _name(row, plan, split) or place
        if named in written:
            raise BadInput(f"its id {named!r} was another row's already", "choose another --id-column")
        name = named
        return name, _write(plan, name, row)
    except BadInput as error:
        return Reject(name, "Hub", error.reason, error.remedy)


def _write_all(plan: Plan, repository: Repository) -> Iterator[tuple[Path, Path] | Reject]:
    written: dict[str, Path] = {}
    problems: list[Reject] = []
    for split, shards in plan.shards.items():
        number = 0
        for shard in shards:
            for row, _ in rows_of(repository, shard, plan.columns):
                found = write_row(plan, row, split, number, written)
                number += 1
                if isinstance(found, Reject):
                    problems.append(found)
                    yield found
                else:
                    written[found[0]] = found[1]
                    yield found[1], plan.folder
    told = {
        "recordings": [path.relative_to(plan.folder).as_posix() for path in written.values()],
        "problems": [problem.as_dict() for problem in problems],
    }
    write_text(plan.folder / _DONE, json.dumps(told, indent=1, ensure_ascii=False))


def _name(row: Row, plan: Plan, split: str) -> str | None:
    """The name of a row's recording; None where nothing names it. File names are told apart by their split."""
    if plan.named_by and plan.named_by != KEY:
        if row.get(plan.named_by) in (None, ""):
            raise BadInput(f"its {plan.named_by} is empty", "choose another --id-column")
        return file_name(str(row[plan.named_by]))
    value = row.get(plan.audio)
    path = row.get(KEY) or (value.get("path") if isinstance(value, dict) else None)
    if not path:
        return None
    told = str(path) if plan.named_by else re.sub(r"\.[^./]*$", "", str(path).rpartition("/")[2])
    return file_name(f"{split}/{told}" if len(plan.shards) > 1 else told)


def _write(plan: Plan, name: str, row: Row) -> Path:
    value = row.get(plan.audio)
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes) or not data:
        where = f": only the path {value['path']!r}" if isinstance(value, dict) and value.get("path") else ""
        raise BadInput(f"it has no audio{where}", "embed the audio in the dataset")
    path = plan.folder / (name + suffix_of(data))
    seconds = modified_of(hashlib.sha256(data).hexdigest())
    if path.is_file() and (path.stat().st_size, int(path.stat().st_mtime)) == (len(data), seconds):
        return path  # written by a run that was stopped; its time was set last
    words = next((found for column in plan.words if (found := _words(row.get(column)))), None)
    if words:
        write_bytes(plan.folder / f"{name}.json", words)
    write_bytes(path, data)
    os.utime(path, (seconds, seconds))
    return path


def _words(value: Any) -> bytes | None:
    """A transcript as the content of a JSON file, which `sources.transcripts` reads or passes over."""
    if isinstance(value, list | dict):
        # What JSON has no word for (a date, bytes) is no part of a transcript, and its text harms none.
        return json.dumps(value, ensure_ascii=False, default=str).encode() if value else None
    data = value.encode() if isinstance(value, str) else value
    return data if data and data.lstrip()[:1] in (b"{", b"[") else None


def plan_of(repository: Repository, folder: Path) -> Plan:
    """What to read of which shards. Raises DailytalkError where a column, config or split has to be chosen."""
    shards = _shards(repository)
    first, names, audio = _first_columns(repository, [path for paths in shards.values() for path in paths])
    id_column = repository.choice.id_column
    if id_column and id_column not in names:
        raise _no_such("column", id_column, "--id-column", names, repository)
    guess = next((name for name in (*ID_COLUMNS, KEY) if name in names), "")
    words = [name for name in WORD_COLUMNS if name in names]
    return Plan(shards, _audio_column(repository, first, names, audio), id_column or guess, words, folder)


def _first_columns(repository: Repository, paths: Sequence[str]) -> tuple[str, list[str], list[str]]:
    """The first shard that can be read, its columns, and those that hold audio. Raises BadInput if none can."""
    for path in paths:
        try:
            return path, *columns_of(repository, path)
        except BadInput as error:
            problem = error
    raise problem


def _audio_column(repository: Repository, shard: str, names: list[str], audio: list[str]) -> str:
    chosen = repository.choice.audio_column
    if chosen:
        if chosen not in names:
            raise _no_such("column", chosen, "--audio-column", names, repository)
        return chosen
    if not audio:
        raise DailytalkError(
            f"{repository.reference.repo} has no column with audio ({', '.join(names)})",
            "name it with --audio-column if one holds encoded audio, or choose another --config",
        )
    stereo = audio if len(audio) == 1 else _stereo(next(rows_of(repository, shard, audio), ({}, 0))[0])
    if len(stereo) != 1:
        raise DailytalkError(
            f"{repository.reference.repo} has several columns with audio ({', '.join(audio)})",
            "choose one with --audio-column",
        )
    return stereo[0]


def _stereo(row: Row | BadInput) -> list[str]:
    """The columns of a row with audio of two channels."""
    found = []
    for name, value in row.items() if not isinstance(row, BadInput) else ():
        data = value.get("bytes") if isinstance(value, dict) else value
        with suppress(
            BadInput
        ):  # it is no candidate, and as the column that was chosen it would be told row by row
            if data and probe({"bytes": data, "path": None}).channels == 2:
                found.append(name)
    return found


def _shards(repository: Repository) -> dict[str, list[str]]:
    """Shards by split, of the config and split that are meant. Raises DailytalkError if there are none."""
    repo, choice = repository.reference.repo, repository.choice
    builder = load_dataset_builder(repo, _config(repository), revision=repository.commit)
    before = f"hf://datasets/{repo}@{repository.commit}/"
    shards = {
        str(split): [path.removeprefix(before) for path in paths if path.lower().endswith(TABLE_SUFFIXES)]
        for split, paths in (builder.config.data_files or {}).items()
    }
    if choice.split and choice.split not in shards:
        raise _no_such("split", choice.split, "--split", list(shards), repository)
    chosen = {split: paths for split, paths in shards.items() if paths and choice.split in ("", split)}
    if not chosen:
        raise DailytalkError(f"{repo} has no Parquet or WebDataset shards there", "choose another --config")
    return chosen


def _config(repository: Repository) -> str:
    configs = get_dataset_config_names(repository.reference.repo, revision=repository.commit)
    chosen = repository.choice.config
    if chosen:
        if chosen not in configs:
            raise _no_such("config", chosen, "--config", configs, repository)
        return chosen
    guess = configs[0] if len(configs) == 1 else next((name for name in CONFIGS if name in configs), None)
    if guess is None:
        raise DailytalkError(
            f"{repository.reference.repo} has several configs", f"choose --config from {', '.join(configs)}"
        )
    return str(guess)


def _no_such(kind: str, name: str, option: str, known: list[str], repository: Repository) -> DailytalkError:
    return DailytalkError(
        f"{repository.reference.repo} has no {kind} {name!r}", f"choose {option} from {', '.join(known)}"
    )


def _folder(repository: Repository) -> Path:
    choice = json.dumps(
        [getattr(repository.choice, name) for name in ("config", "split", "audio_column", "id_column")]
    )
    digest = hashlib.sha256(choice.encode()).hexdigest()[:8]
    return cache_folder() / "hub" / repository.reference.repo.replace("/", "--") / repository.commit / digest


_LIST = {"recordings": [str], "problems": [{"id": str, "stage": str, "reason": str, "remedy": str}]}


def _finished(folder: Path) -> dict[str, Any] | None:
    """The list that closes a folder; None if it is not finished, or if files were taken out of it since."""
    try:
        told: dict[str, Any] = expect(read_json(inside(folder, _DONE), limit=MOST_OWN_BYTES), _LIST, _DONE)
    except BadInput:
        return None
    return told if all((folder / name).is_file() for name in told["recordings"]) else None
