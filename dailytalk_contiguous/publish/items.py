"""The one reader of conversations and clips (`Items`).

An item is a conversation, or a clip, which is a conversation of one utterance on the left with `labels`. Rows come
in the order of the files, a row group in memory at a time, and only the requested columns are read. The place of
each row is found once for each reader, on the first request for a row by its id. `publish.opening` opens a folder
or a version as `Items`.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from itertools import groupby, islice
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import msgspec
from datasets import Features, List

from dailytalk_contiguous.core.documents import as_text, printable_path
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.records import schema
from dailytalk_contiguous.core.records.clip import times_listed
from dailytalk_contiguous.core.records.clip_records import QUALITY_MEASURES
from dailytalk_contiguous.core.records.fields import Field, columns_among
from dailytalk_contiguous.core.records.finding import Finding
from dailytalk_contiguous.core.records.judged import JUDGED, NAME_COLUMNS, is_too_long, problems_of
from dailytalk_contiguous.core.records.published_fields import published
from dailytalk_contiguous.core.records.run_record import NO_RUN, RunRecord
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.core.records.utterance import FIELDS, OPTIONAL_FIELDS, features_of_fields
from dailytalk_contiguous.machine.apps import parts
from dailytalk_contiguous.machine.audio import embedded
from dailytalk_contiguous.machine.sound_columns import sound_columns, stereo_sound
from dailytalk_contiguous.publish.version import MANIFEST, Version
from dailytalk_contiguous.shards import CurrentRows
from dailytalk_contiguous.store.addresses import copied_from
from dailytalk_contiguous.store.files import inside
from dailytalk_contiguous.store.parquet import ParquetReader, open_parquet
from dailytalk_contiguous.store.work_folder import (
    CLIPS,
    DATASET,
    MEASURED,
    RUN,
    TABLES,
    TAGGED,
    read_run,
    rejects_in,
)

#: Manifest of a training folder of conversations or a mix: what trains.
TRAIN = "train.jsonl"

#: Manifest of what evaluates.
EVAL = "eval.jsonl"

#: Facts on the conversations of a training folder.
ABOUT = "conversations.json"

#: The manifests by side.
MOSHI_MANIFESTS = {"train": TRAIN, "eval": EVAL}

_CORPUS_AGAIN = "run `dailytalk corpus` again"

#: Columns whose types are checked; `provenance` is a struct in what was published, and only `push` reads it.
_TYPED = Features({name: schema.LABELLED[name] for name in schema.LABELLED if name != "provenance"})

#: Seconds by which a stated length may differ from the audio: less than the 80 ms of a frame of the codec.
DURATION_TOLERANCE = 0.010


def judged(row: Row, name: str) -> Row:
    """Return a finished row with `problem`, its column, and `remedy`; `name` is the id of a row without one."""
    column, problem = next(problems_of(row), (None, None))
    judged_row = row | {column: None for column in NAME_COLUMNS if is_too_long(row.get(column))}
    utterances = row["utterances"]
    if utterances:
        lacking = dict.fromkeys(sorted(OPTIONAL_FIELDS))
        judged_row["utterances"] = [utterance and lacking | utterance for utterance in utterances]
    labels = row["labels"]
    return judged_row | {
        "conversation_id": judged_row["conversation_id"] or name,
        "labels": labels and dict.fromkeys(schema.LABELS) | labels,
        "problem": problem,
        "problem_column": column,
        "remedy": problem and "build the conversation again",
    }


#: All columns of a row except the audio.
SMALL = tuple(name for name in schema.LABELLED if name != "audio")


class ItemSound(NamedTuple):
    """Encoded audio as `machine.audio` takes it, and the second of it at which the item begins."""

    audio: dict[str, Any]
    offset: float = 0.0


class Items(ABC):
    """The conversations or clips of a folder or a version, as `publish.opening.open_items` opens them.

    Attributes:
        where: the folder, or the version.
        kind: `conversations`, `tagged`, `clips`, `measured` (clips, of which nothing is finished), `mix`, `moshi`,
            `version`, or that of an app.
        rebuilt: whether times are of a finished conversation; otherwise they are those of the recording, in both
            places, and rows have no `timeline`.
        remedy: the remedy for a row that can't be used, if it is not to build it again.
    """

    where: Path | Version
    kind: str
    rebuilt = True
    remedy = ""

    def __init__(self, where: Path | Version) -> None:
        self.where = where

    def unused(self, row: Row) -> tuple[str, str] | None:
        """Return why a valid row is in no export: the kind of the finding, and a sentence."""
        return None

    @property
    def knows_rejects(self) -> bool:
        """Whether `rejects` yields those of the run. A version that `push` published does not keep them."""
        return True

    @property
    def has_labels(self) -> bool:
        """Whether rows are clips (in a mix: may be), and have `labels`."""
        return self.kind in ("clips", "measured", "mix")

    @cached_property
    def run(self) -> RunRecord:
        """The run.json of a work folder, or the part of it in a version's manifest."""
        return read_run(self.folder) if self.folder else NO_RUN

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """The fields published by people's own stages. Raises DailytalkError for impossible fields or columns."""
        return published(self.run.fields, RUN)

    @property
    def folder(self) -> Path | None:
        return self.where if isinstance(self.where, Path) else None

    @property
    def name(self) -> str:
        """The title of a page about it."""
        if self.folder is None:
            return str(self.where)
        address = copied_from(self.folder)
        path = PurePosixPath(address) if address else self.folder.absolute()
        return as_text(path.name)

    @abstractmethod
    def rows(self, columns: Collection[str] | None = None, splits: Collection[str] | None = None) -> Iterator[Row]:
        """Yield rows with the columns of `core.records.schema.BUILT`, `labels` and `split`, the last two None if
        unknown.

        A row that can't be used has its `problem` and `remedy`; both are None in the others. `audio` is stereo,
        also where a version has a column for each side.

        Args:
            columns: read only these; `problem` is there if those that are checked are among them.
            splits: only the rows of these; None for all.

        Raises DailytalkError, on the first row at the latest, if a file can't be read.
        """

    @abstractmethod
    def row(self, name: str) -> Row:
        """Return the row of an id, without its audio. Raises BadInput if there is none."""

    @abstractmethod
    def sound(self, name: str) -> ItemSound:
        """Return the sound of the row of an id; no other row's is read. Raises BadInput if there is none."""

    def listed(self, refused: list[Row] | None = None) -> Iterator[Row]:
        """Yield the rows that can be used, without audio; a clip's `weight` is how often a manifest names it.

        Rows with a problem are added to `refused` as they are read; of clips, one without labels is left out.
        """
        for row in self.rows(SMALL):
            labels = row.get("labels")
            if row["problem"]:
                if refused is not None:
                    refused.append(row)
            elif not self.has_labels:
                # A file of a training folder has labels, and may be a conversation.
                yield row | {"labels": None}
            elif labels and self.kind == "mix":
                yield row  # a clip of a mix has its weight
            elif labels:
                weighted = labels | {"weight": times_listed(row)}
                yield row | {"labels": weighted}

    def kept_findings(self) -> list[Finding]:
        """Return what apps have found in the folder, and kept there."""
        return findings_of_apps(self.folder) if self.folder else []

    def measures(self) -> Iterator[Row]:
        """Yield `conversation_id`, `duration` and measures (`core.sound.quality`) of all measured clips, kept or
        not.
        """
        if self.folder is None:
            return
        shards = CurrentRows(clip_shards(self.folder / MEASURED))
        for path in shards.files:
            with open_parquet(path, _CORPUS_AGAIN) as opened:
                for row in opened.rows(["conversation_id", "duration", *QUALITY_MEASURES]):
                    if shards.counts(path, row.get("conversation_id")):
                        yield row

    def splits(self) -> dict[str, str]:
        """Return the splits by id, of rows that have one; no other column is read."""
        rows = self.rows(["conversation_id", "split"])
        return {row["conversation_id"]: row["split"] for row in rows if row["split"]}

    def rejects(self) -> Iterator[dict[str, str]]:
        """Yield the rejects of the run: `id`, `stage`, `reason` and `remedy`; a damaged line is one, too."""
        return rejects_in(self.folder) if self.folder else iter(())

    @property
    @abstractmethod
    def places(self) -> Mapping[str, object]:
        """The place of the row of each id."""

    def place_of(self, name: str) -> Any:
        """Return where the row of an id is. Raises BadInput if there is none."""
        if name not in self.places:
            where = printable_path(self.folder) if self.folder else self.where
            raise BadInput(
                f"{where} has no conversation {name!r}", "give conversation ids as the dataset has them"
            )
        return self.places[name]


class Place(NamedTuple):
    """The place of a row: its file (a path, or a name in a version), its row group, and its number in that."""

    file: Path | str
    group: int
    number: int


class FiledItems(Items):
    """Items in Parquet: a folder of shards, or a version.

    Attributes:
        files: their paths or names, in order.
        split_of: the split of each file that is of one.
        provenance: that of all rows, where it is not in them.
    """

    files: Sequence[Path | str]
    split_of: Mapping[Path | str, str] = {}
    provenance: str | None = None

    def rows(self, columns: Collection[str] | None = None, splits: Collection[str] | None = None) -> Iterator[Row]:
        wanted = None if columns is None else {*columns, "split"}
        for file in self.files:
            if splits is None or self.split_of.get(file) in (None, *splits):
                for _, row in self.rows_of(file, wanted):
                    if splits is None or row["split"] in splits:
                        yield row

    def row(self, name: str) -> Row:
        return next(self.rows_at([self.place_of(name)], SMALL))

    def sound(self, name: str) -> ItemSound:
        row = next(self.rows_at([self.place_of(name)], [schema.AUDIO_COLUMN]))
        return ItemSound(row[schema.AUDIO_COLUMN])

    def rows_of(self, file: Path | str, columns: Collection[str] | None = None) -> Iterator[tuple[Place, Row]]:
        """Yield the rows of one of `files`, each with its place; columns and errors as in `rows`."""
        with self._opened(file, columns) as opened:
            stored = self._stored(opened.schema.names, columns)
            rows = enumerate(opened.rows(stored), 1)
            for group, size in enumerate(opened.group_sizes):
                for number, (count, row) in enumerate(islice(rows, size)):
                    yield Place(file, group, number), self._item(row, file, columns, count)

    def rows_at(self, places: Iterable[Place], columns: Collection[str] | None = None) -> Iterator[Row]:
        """Yield the rows at sorted places; each file is opened once, and each of its row groups read once."""
        for file, group in groupby(places, key=attrgetter("file")):
            file_places = list(group)
            with self._opened(file, columns) as opened:
                numbers = [(position.group, position.number) for position in file_places]
                stored = self._stored(opened.schema.names, columns)
                rows = opened.rows_at(numbers, stored)
                for position, row in zip(file_places, rows, strict=True):
                    yield self._item(row, file, columns, position.number + 1)

    def _item(self, row: Row, file: Path | str, columns: Collection[str] | None, number: int) -> Row:
        lacking = {name: None for name in sorted(schema.OPTIONAL) if columns is None or name in columns}
        item = {"labels": None, "split": None, **lacking, **row}
        if file in self.split_of:
            item |= {"split": self.split_of[file]}
        if columns is None or schema.AUDIO_COLUMN in columns:
            item[schema.AUDIO_COLUMN] = stereo_sound(row)
        for side in schema.CHANNELS:
            item.pop(side, None)
            if columns is not None and side in columns:
                item[side] = embedded(row[side])
        provenance = row.get("provenance")
        if "provenance" in row and provenance is None and self.provenance:
            item |= {"provenance": self.provenance}
        elif not isinstance(provenance, str | None):  # as it is published
            item |= {"provenance": json.dumps(provenance, ensure_ascii=False, sort_keys=True, default=str)}
        if item.keys() >= JUDGED:
            return judged(item, f"row {number} of {Path(file).name}")
        return item

    def _stored(self, names: Collection[str], columns: Collection[str] | None) -> list[str]:
        """Return the columns of a file, which has `names`, that an item with these columns is made of.

        With the utterances come the columns that people's own stages publish. Where the sides are apart, `audio`
        is made of both.
        """
        wanted = {*schema.LABELLED} if columns is None else {"conversation_id", *columns}
        if schema.AUDIO_COLUMN in wanted:
            wanted.update(sound_columns(names))
        if "utterances" in wanted:
            wanted |= {column.name for column in columns_among(self.fields)}
        return [name for name in names if name in wanted]

    @abstractmethod
    def _opened(
        self, file: Path | str, columns: Collection[str] | None
    ) -> AbstractContextManager[ParquetReader]: ...

    @cached_property
    def places(self) -> dict[str, Place]:
        """The place of each row by its id; other columns are not read."""
        places: dict[str, Place] = {}
        for file in self.files:
            for position, row in self.rows_of(file, ["conversation_id"]):
                name = row["conversation_id"]
                if not is_too_long(name):
                    places[name] = position
        return places


class Shards(FiledItems):
    """A work folder of finished conversations or clips, or a folder of shards of conversations.

    Attributes:
        current: the rows that count.
    """

    where: Path
    files: Sequence[Path]

    def __init__(self, folder: Path, labelled: bool) -> None:
        super().__init__(folder)
        paths = clip_shards(folder / CLIPS) if labelled else _shards(folder)
        self.current = CurrentRows(paths)
        self.files = self.current.files
        self.kind = "conversations"
        if labelled:
            self.kind = "clips" if self.files else "measured"
            # Clips have no provenance of their own.
            provenance = {"models": msgspec.to_builtins(self.run.models)}
            if self.run.version:
                provenance["tool"] = f"dailytalk-contiguous {self.run.version}"
            self.provenance = json.dumps(provenance, sort_keys=True)

    def rows_of(self, file: Path | str, columns: Collection[str] | None = None) -> Iterator[tuple[Place, Row]]:
        for position, row in super().rows_of(file, columns):
            if self.current.counts(Path(file), row["conversation_id"]):
                yield position, row

    @contextmanager
    def _opened(self, file: Path | str, columns: Collection[str] | None) -> Iterator[ParquetReader]:
        fields = features_of_fields((*FIELDS, *self.fields))
        features = _TYPED | {column.name: column.feature for column in columns_among(self.fields)}
        features |= {"utterances": List(fields)}
        required = schema.BUILT.keys() - schema.OPTIONAL
        remedy = "name the dataset of finished conversations, or run `dailytalk speak` again"
        if self.has_labels:
            required = schema.LABELLED.keys()
            remedy = _CORPUS_AGAIN
        with open_parquet(Path(file), remedy) as opened:
            opened.check(Features(features), required)
            stored_type = opened.schema.field("utterances").type.value_type
            stored = {stored_field.name for stored_field in stored_type}
            if not self.has_labels and "labels" in opened.schema.names:
                stored.add("labels")
            unknown = stored - fields.keys()
            if unknown:
                raise BadInput(
                    f"{RUN} does not describe the fields {sorted(unknown)}",
                    "put the one of their run beside them, or name the work folder of their corpus",
                )
            yield opened


class VersionItems(FiledItems):
    """The conversations or clips of a version."""

    kind = "version"

    def __init__(self, version: Version) -> None:
        super().__init__(version.where if isinstance(version.where, Path) else version)
        self.version = version
        if version.conversations is None:
            raise DailytalkError(
                f"{version} has no config {schema.CONFIGS[0]!r}",
                "name a dataset that `dailytalk push` published, or a chain of stages that ends in Finish",
            )
        self.config = version.conversations
        split_of = dict[Path | str, str]()
        for split, names in version.configs[self.config].items():
            split_of |= dict.fromkeys(names, split)
        self.split_of = split_of
        self.files = list(split_of)

    @cached_property
    def has_labels(self) -> bool:
        return "labels" in (self.version.features(self.config) or {})

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        return published(self.version.manifest.fields or (), MANIFEST)

    @cached_property
    def run(self) -> RunRecord:
        return RunRecord.from_json(self.version.manifest.run or {})

    def kept_findings(self) -> list[Finding]:
        """Return what apps had found in the work folder when it was published."""
        return self.version.manifest.findings or []

    @property
    def digested_columns(self) -> list[str]:
        """The columns of sound of its rows, and those with their digests, which a chain of stages lacks."""
        names = sound_columns(self.version.features(self.config) or ())
        if self.config not in schema.CONFIGS:
            return [*names]
        return [*names, *map(schema.digest_column, names)]

    @cached_property
    def knows_rejects(self) -> bool:
        """Whether a chain of stages made it, in which a reject stays as a row with its `problem`."""
        if self.config in schema.CONFIGS:
            return False
        columns = self.version.features(self.config) or ()
        return all(name in columns for name in schema.PROBLEM)

    def rows_of(self, file: Path | str, columns: Collection[str] | None = None) -> Iterator[tuple[Place, Row]]:
        for position, row in super().rows_of(file, columns):
            if position not in self._rejected:
                yield position, row

    def rejects(self) -> Iterator[dict[str, str]]:
        for reject in self._rejected.values():
            yield reject.as_dict()

    @cached_property
    def _rejected(self) -> dict[Place, Reject]:
        """The rejects among the rows, by their places."""
        rejected: dict[Place, Reject] = {}
        for file in self.files if self.knows_rejects else ():
            for position, row in super().rows_of(file, ["conversation_id", *schema.PROBLEM]):
                if row["problem"] is not None:
                    stage = row["problem_stage"] or ""
                    remedy = row["remedy"] or ""
                    rejected[position] = Reject(row["conversation_id"] or "", stage, row["problem"], remedy)
        return rejected

    @contextmanager
    def _opened(self, file: Path | str, columns: Collection[str] | None) -> Iterator[ParquetReader]:
        required = set(schema.BUILT)
        if columns is not None:
            required = {"conversation_id", *columns} - {"labels", "split"}
        required -= schema.OPTIONAL
        with self.version.parquet(str(file), required - {schema.AUDIO_COLUMN}) as opened:
            if schema.AUDIO_COLUMN in required:
                opened.check(Features({}), sound_columns(opened.schema.names))
            if self.config not in schema.CONFIGS:  # the types of our configs were checked on opening
                opened.check(Features({**_TYPED, **schema.PROBLEM}), ())
            yield opened


def clip_shards(folder: Path) -> list[Path]:
    """Return the shards of a folder of clips, by name; none where there is no such folder."""
    return sorted(folder.glob("shard-*.parquet"))


def _shards(folder: Path) -> list[Path]:
    """Return the Parquet files of a dataset, by name.

    Raises DailytalkError if there are none, or one is a symbolic link out of the dataset.
    """
    inside_work = folder / DATASET
    if not inside_work.is_dir() and (folder / TAGGED).is_dir():
        raise DailytalkError(
            f"{folder} was tagged but not spoken yet",
            f"run `dailytalk speak {folder}`, with `--revoice none` to keep both voices as they were recorded",
        )
    root = inside_work if inside_work.is_dir() else folder
    # A name with a leading dot is half written, or in the staging folder of a push.
    paths = []
    for path in sorted(root.rglob("*.parquet")):
        is_hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if path.name not in TABLES and not is_hidden:
            paths.append(path)
    if not paths:
        raise DailytalkError(
            f"{folder} holds no finished conversations",
            "name a folder that `dailytalk build` or `dailytalk speak` has written",
        )
    return [inside(root, path.relative_to(root)) for path in paths]


def findings_of_apps(folder: Path) -> list[Finding]:
    """Return the findings of apps that a work folder keeps (`FINDINGS`)."""
    findings: list[Finding] = []
    for findings_in in parts("FINDINGS"):
        findings += findings_in(folder)
    return findings
