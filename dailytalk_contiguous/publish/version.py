"""Versions of a published dataset: their tags, the manifest of their files, and how they are read without a clone.

The manifest is in the repository beside the data, so that users can verify a download, list versions without
opening a data file, and recognise versions that this tool published. On the Hub the revision is resolved to a
commit once, and every read names that commit: even during a push a reader never sees parts of two versions. Files
are read by ranges, a row group at a time and only the requested columns, without read-ahead: pyarrow already joins
the ranges of neighbouring columns.
"""

import importlib.metadata
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NotRequired, TypedDict, cast

import msgspec
from datasets import Features, List, Value
from huggingface_hub import HfApi, HfFileSystem, hf_hub_download
from huggingface_hub.hf_api import RepoFile

from dailytalk_contiguous.core.documents import JsonObject, Number, Whole, fits, parse_json, quoted, typed
from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.core.records.fields import Field
from dailytalk_contiguous.core.records.finding import Finding
from dailytalk_contiguous.core.records.published_fields import Described, described
from dailytalk_contiguous.core.records.run_record import BalanceFacts, RejectedFacts, RunRecord
from dailytalk_contiguous.core.records.schema import (
    AUDIO_COLUMN,
    BUILT,
    CHANNELS,
    CONFIGS,
    OPTIONAL,
    SPLITS,
    digest_column,
    published_features,
)
from dailytalk_contiguous.core.wording import public, shown_names
from dailytalk_contiguous.machine.read_documents import MOST_OWN_BYTES
from dailytalk_contiguous.machine.sound_columns import SOUND_LAYOUTS
from dailytalk_contiguous.store.files import inside, is_inside, sha256_of
from dailytalk_contiguous.store.hub import TIMEOUTS, Reference, hub_errors
from dailytalk_contiguous.store.parquet import ParquetReader, open_parquet
from dailytalk_contiguous.store.work_folder import run_json

#: A number of a version, without leading zeros. Nobody counts further, and Python refuses numbers of 5,000 digits.
_NUMBER = "(0|[1-9][0-9]{0,17})"

#: A version: three numbers.
_TAG = re.compile(rf"v{_NUMBER}\.{_NUMBER}\.{_NUMBER}")

#: The first version is published for others to read: it isn't a draft.
FIRST = "v1.0.0"


def is_version_tag(text: str) -> bool:
    """Return whether a tag names a version, such as `v1.2.3`: written in one way, so that tags sort."""
    return _TAG.fullmatch(text) is not None


def parse_tag(text: str) -> tuple[int, int, int]:
    """Return the numbers of a version, of https://semver.org. Raises DailytalkError for another tag."""
    match = _TAG.fullmatch(text)
    if match is None:
        raise DailytalkError(
            f"the tag {quoted(text)} is not a version", f"write v and three numbers, such as {FIRST}"
        )
    major, minor, patch = map(int, match.groups())
    return major, minor, patch


def latest(tags: Iterable[str]) -> str | None:
    """Return the tag of the highest version, or None if no tag is a version; other tags are skipped."""
    return max(filter(is_version_tag, tags), key=parse_tag, default=None)


def next_tag(tags: Iterable[str], bump: str) -> str:
    """Return the tag after the highest version for a `publish.hub.compare.Changes.bump`; `FIRST` without a
    version.
    """
    newest = latest(tags)
    if newest is None or not bump:
        return newest or FIRST
    major, minor, patch = parse_tag(newest)
    if bump == "major":
        return f"v{major + 1}.0.0"
    if bump == "minor":
        return f"v{major}.{minor + 1}.0"
    return f"v{major}.{minor}.{patch + 1}"


#: Name of the manifest in a repository.
MANIFEST = "manifest.json"

#: The version of the manifest's layout.
LAYOUT = 1


#: The parts of a run.json that findings follow from, with those of their facts that are kept.
_KEPT_FACTS = {
    "rejected": RejectedFacts.__struct_fields__,
    "speak": ("rejected", "of_earlier_runs"),
    "counts": ("recordings_rejected",),
    "balance": BalanceFacts.__struct_fields__,
}


def kept_run_facts(folder: Path) -> JsonObject:
    """Return the part of a folder's run.json that findings follow from, without paths of this machine.

    It is empty where one of its facts has another type than `RunRecord` says: no reader would take it.
    """
    run = run_json(folder)
    copy = RunRecord.from_json(run).working_copy
    if copy:
        run = copy.run
    kept = {}
    for name, names in _KEPT_FACTS.items():
        part = run.get(name)
        if isinstance(part, dict):
            facts = {key: _published(value) for key, value in part.items() if key in names}
            if facts:
                kept[name] = facts
    return kept if fits(kept, RunRecord) else {}


def _published(value: Any) -> Any:
    """Return a value of run.json, whose texts are without paths."""
    if isinstance(value, str):
        return public(value)
    if isinstance(value, list):
        return [_published(part) for part in value]
    if isinstance(value, dict):
        return {public(name): _published(part) for name, part in value.items()}
    return value


class Total(TypedDict):
    """The size in bytes of a config's files, and how much is in them."""

    rows: NotRequired[Whole | None]
    hours: NotRequired[Number | None]
    size: Whole


class FileFacts(msgspec.Struct):
    """The SHA-256 of a data file, its size in bytes, and the number of its rows."""

    sha256: str
    size: Whole | None = None
    rows: Whole | None = None


class Manifest(msgspec.Struct):
    """The fields of a manifest that are read; None for one that it lacks."""

    layout: object = None
    version: str | None = None
    changes: JsonObject | None = None
    assets: list[str] | None = None
    fields: list[Described] | None = None
    totals: dict[str, Total] | None = None
    files: dict[str, FileFacts] | None = None
    run: JsonObject | None = None


class DataFile(NamedTuple):
    """A Parquet file of a version.

    Attributes:
        name: its name in the repository, `CONFIG/SPLIT-00000-of-00004.parquet`.
        path: the file on this machine.
        config: its config.
        split: its split.
        sha256: its SHA-256 in hexadecimal.
        size: its bytes.
        rows: the number of its rows.
        seconds: seconds of audio in its rows.
    """

    name: str
    path: Path
    config: str
    split: str
    sha256: str
    size: int
    rows: int
    seconds: float


@dataclass(frozen=True)
class Packed:
    """A version that is ready to be sent.

    Attributes:
        files: all data files, sorted by name.
        disjoint: the kind that no two splits share: `speakers` (of the kept side), `recordings`, `conversations`.
        rejects: conversations that could not be published.
        fields: fields of utterances published by people's own stages.
        row_findings: findings of `check` on its rows one by one and on their voices.
        run: `kept_run_facts` of the work folder.
    """

    files: tuple[DataFile, ...]
    disjoint: str
    rejects: tuple[Reject, ...] = ()
    fields: tuple[Field, ...] = ()
    row_findings: tuple[Finding, ...] = ()
    run: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def configs(self) -> dict[str, dict[str, list[DataFile]]]:
        files: dict[str, dict[str, list[DataFile]]] = {}
        for file in self.files:
            splits = files.setdefault(file.config, {})
            splits.setdefault(file.split, []).append(file)
        return files

    def manifest(
        self, tag: str | None, changes: Mapping[str, object], assets: Iterable[str] = ()
    ) -> dict[str, object]:
        """Return the manifest; `changes` are those since `changes["previous"]`, `assets` the card's files."""
        totals: dict[str, Total] = {}
        for config in self.configs:
            files = [file for file in self.files if file.config == config]
            rows = sum(file.rows for file in files)
            hours = sum(file.seconds for file in files) / 3600
            size = sum(file.size for file in files)
            totals[config] = {"rows": rows, "hours": round(hours, 5), "size": size}
        tool_version = importlib.metadata.version("dailytalk-contiguous")
        manifest: dict[str, object] = {
            "layout": LAYOUT,
            "tool": f"dailytalk-contiguous {tool_version}",
            "version": tag,
            "splits_disjoint_in": self.disjoint,
            "changes": dict(changes),
            "totals": totals,
            "files": {
                file.name: {"sha256": file.sha256, "size": file.size, "rows": file.rows} for file in self.files
            },
            "assets": sorted(assets),
        }
        if self.fields:
            manifest["fields"] = described(self.fields)
        if self.run:
            manifest["run"] = dict(self.run)
        return manifest


def manifest_text(record: Mapping[str, object]) -> str:
    return json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


#: The layout of `Dataset.push_to_hub`: the folder is the config.
_DATA_FILE = re.compile(r"(?P<config>[^/]+)/(?P<split>[^/]+)-\d{5}-of-\d{5}\.parquet")

#: The config of a dataset that has just one.
DEFAULT = "default"

#: The folder that `push_to_hub` gives the default config.
_DEFAULT_FOLDER = "data"


@dataclass(frozen=True)
class Version:
    """A version that `open_version` opened.

    Attributes:
        where: as requested.
        commit: that a revision of the Hub is; None for a folder.
        names: the names of all files, as in the repository.
    """

    where: Reference | Path
    commit: str | None
    names: tuple[str, ...]
    _files: HfFileSystem | None = field(default=None, repr=False)
    _features: dict[str, Features] = field(default_factory=dict, repr=False, compare=False)

    def __str__(self) -> str:
        return str(self.where)

    @cached_property
    def configs(self) -> dict[str, dict[str, list[str]]]:
        """The names of the data files, in order, by config and split.

        Raises DailytalkError: some of a split are missing, or are of another number of files.
        """
        layout: dict[str, dict[str, list[str]]] = {}
        order = {name: number for number, name in enumerate((*CONFIGS, *SPLITS))}
        candidates = [_DATA_FILE.fullmatch(name) for name in sorted(self.names)]
        matches = [match for match in candidates if match is not None]
        matches.sort(key=lambda match: [order.get(part, len(order)) for part in match.groups()])
        for match in matches:
            config = DEFAULT if match["config"] == _DEFAULT_FOLDER else match["config"]
            splits = layout.setdefault(config, {})
            splits.setdefault(match["split"], []).append(match.string)
        for config, splits in layout.items():
            for split, files in splits.items():
                ending = f"-of-{len(files):05d}.parquet"
                if not all(file.endswith(ending) for file in files):
                    raise DailytalkError(
                        f"{self} has {len(files)} files of {config}/{split} ({shown_names(files, 3)}), "
                        "of which some are missing or of another version",
                        "delete those of another version, publish or download it again",
                    )
        return layout

    @cached_property
    def conversations(self) -> str | None:
        """The config of conversations: `conversations`, or `default` if it has their columns; None for neither.

        `Dataset.push_to_hub` makes `default` of what a chain of stages returns.
        """
        if CONFIGS[0] in self.configs:
            return CONFIGS[0]
        columns = self.features(DEFAULT) or {}
        return DEFAULT if columns.keys() >= BUILT.keys() - OPTIONAL else None

    @cached_property
    def stored(self) -> dict[str, RepoFile]:
        """The files of a version on the Hub by name, each with its size; `lfs` has the SHA-256 of a large one."""
        if isinstance(self.where, Path) or self._files is None:
            return {}
        api = HfApi(token=self._files.token)
        with hub_errors(self):
            repo = self.where.repo
            tree = api.list_repo_tree(repo, recursive=True, revision=self.commit, repo_type="dataset")
            return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}

    def path(self, name: str) -> Path:
        """Return the path of a file; one on the Hub is downloaded.

        Raises DailytalkError if it is a symbolic link out of the folder, or can't be had.
        """
        if isinstance(self.where, Reference):
            token = self._files and self._files.token
            repo = self.where.repo
            commit = self.commit
            with hub_errors(self):
                path = hf_hub_download(repo, name, repo_type="dataset", revision=commit, token=token)
            return Path(path)
        return inside(self.where, name)

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading by ranges: only these are downloaded. Raises DailytalkError."""
        with hub_errors(self):
            if isinstance(self.where, Path):
                return self.path(name).open("rb")
            assert self._files is not None
            path = f"datasets/{self.where.repo}@{self.commit}/{name}"
            return cast(BinaryIO, self._files.open(path, "rb", cache_type="none"))

    def read(self, name: str) -> bytes:
        """Return the content of a file that is no data, up to a limit. Raises DailytalkError."""
        with hub_errors(self), self.open(name) as file:
            return file.read(MOST_OWN_BYTES + 1)

    @property
    def has_manifest(self) -> bool:
        """Whether this tool has published it, or somebody has put another manifest there."""
        return MANIFEST in self.names

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest (`Packed.manifest`); empty without one. Raises DailytalkError for a damaged one."""
        if not self.has_manifest:
            return Manifest()
        name = f"the {MANIFEST} of {self} is damaged"
        remedy = "publish this version again"
        record = parse_json(self.read(MANIFEST), name, remedy, MOST_OWN_BYTES)
        typed(record, Manifest, name, remedy)
        typed(record.get("run") or {}, RunRecord, name, remedy)
        return msgspec.convert(record, Manifest)

    @property
    def named_files(self) -> dict[str, FileFacts]:
        """The data files that the manifest names."""
        return self.manifest.files or {}

    @cached_property
    def digests(self) -> dict[str, str]:
        """The SHA-256 of each data file that the manifest names and that is there; others' files have none.

        The Hub knows that of a file as it is now: others may have replaced it, and left the manifest as it was.
        """
        digests: dict[str, str] = {}
        for name in self.named_files.keys() & {*self.names}:
            stored = self.stored.get(name)
            digests[name] = stored.lfs.sha256 if stored and stored.lfs else self.named_files[name].sha256
        return digests

    @property
    def published_tag(self) -> str | None:
        """The tag that it was published under; None if others have added, replaced or removed data files since."""
        published = {name: facts.sha256 for name, facts in self.named_files.items()}
        present = {name for name in self.names if _DATA_FILE.fullmatch(name)}
        is_as_published = present == published.keys() and self.digests == published
        return self.manifest.version if is_as_published else None

    def features(self, config: str) -> Features | None:
        """Return the columns of a config, as its first data file declares them; None without such a config."""
        names = [name for files in self.configs.get(config, {}).values() for name in files]
        if names and config not in self._features:
            with self.parquet(names[0]) as file:
                self._features[config] = Features.from_arrow_schema(file.schema)
        return self._features.get(config)

    def types(self, config: str) -> dict[str, str]:
        """Return the type, in words, of each column of a config and of the fields in it, by dotted name."""
        return dict(_types(self.features(config) or {}))

    def columns_without_sound(self, config: str) -> list[str]:
        """Return the columns of a config without those of sound, of which there is a digest.

        The digest of the stereo file says whether the sound changed, also where the sides are apart.
        """
        sounds = {AUDIO_COLUMN, *CHANNELS, *map(digest_column, CHANNELS)}
        return [name for name in self.features(config) or () if name not in sounds]

    @contextmanager
    def parquet(self, name: str, required: Iterable[str] = ()) -> Iterator[ParquetReader]:
        """Open a data file, which has the `required` columns.

        Raises DailytalkError if a column is missing, the file is damaged, or the Hub can't be read.
        """
        remedy = "publish or download it again, or name a dataset that this tool published"
        with (
            hub_errors(self),
            self.open(name) as opened,
            open_parquet(opened, remedy, f"{name} of {self}") as file,
        ):
            file.check(_our_columns(name.partition("/")[0]), required)
            yield file


@cache
def _our_columns(config: str) -> Features:
    """Return all columns that files of a config may have; none of a config that is not ours."""
    features = Features({})
    if config in CONFIGS:
        for columns in SOUND_LAYOUTS.values():
            features |= published_features(config, None, labelled=True, audio_columns=columns)
    return features


def _types(fields: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, feature in fields.items():
        kind = ""
        while isinstance(feature, List):
            feature = feature.feature
            kind = f"{kind}a list of "
        if isinstance(feature, dict):
            yield f"{prefix}{name}", f"{kind}a struct"
            yield from _types(feature, f"{prefix}{name}.")
        else:
            dtype = str(feature.dtype) if isinstance(feature, Value) else repr(feature)
            yield f"{prefix}{name}", kind + dtype


def open_version(where: Reference | Path, token: str | None = None) -> Version:
    """Open a version on the Hub, at the present commit of its revision, or in a folder laid out like a repository.

    Raises DailytalkError: there is no such repository, revision or folder, or it may not be read.
    """
    if isinstance(where, Path):
        if not where.is_dir():
            raise DailytalkError(f"there is no folder {str(where)!r}", "check the path, or name OWNER/NAME@TAG")
        children = list(where.iterdir())
        configs = [path for path in children if path.is_dir() and is_inside(path, where)]
        data_files = [path for config in configs for path in config.glob("*.parquet")]
        paths = [path.relative_to(where) for path in children + data_files]
        return Version(where, None, tuple(path.as_posix() for path in paths))
    with hub_errors(where):
        api = HfApi(token=token)
        info = api.dataset_info(where.repo, revision=where.revision, timeout=TIMEOUTS)
        files = HfFileSystem(token=token, skip_instance_cache=True)
    names = [file.rfilename for file in info.siblings or ()]
    return Version(where, info.sha, tuple(names), files)


class Listed(NamedTuple):
    """A tag or branch.

    Attributes:
        name: its name.
        kind: `version`, `tag` or `branch`.
        date: the date of its commit.
        commit: the whole id of its commit.
        totals: rows, hours and bytes by config, as in `Packed.manifest`; empty where there is no manifest.
        changes: in numbers (`publish.hub.compare.Changes.as_dict`), or None.
    """

    name: str
    kind: str
    date: datetime
    commit: str
    totals: dict[str, Total]
    changes: JsonObject | None


def list_versions(repo: str) -> list[Listed]:
    """List every tag and branch of `OWNER/NAME` by their manifests, without opening a data file.

    Version tags come newest first, then other tags and branches. Versions that were not published by this tool are
    listed too. Raises DailytalkError if it isn't there or may not be read.
    """
    api = HfApi()
    with hub_errors(repo):
        refs = api.list_repo_refs(repo, repo_type="dataset")
    version_tags = [ref for ref in refs.tags if is_version_tag(ref.name)]
    version_tags.sort(key=lambda ref: parse_tag(ref.name), reverse=True)
    kinds = [("version", ref) for ref in version_tags]
    kinds += [("tag", ref) for ref in refs.tags if not is_version_tag(ref.name)]
    kinds += [("branch", ref) for ref in sorted(refs.branches, key=lambda ref: ref.name != "main")]
    listed: list[Listed] = []
    dates: dict[str, datetime] = {}
    for kind, ref in kinds:
        commit = ref.target_commit
        manifest = open_version(Reference(repo, commit)).manifest
        if commit not in dates:  # the history of the newest has most of them
            with hub_errors(repo):
                history = api.list_repo_commits(repo, repo_type="dataset", revision=commit)
            dates |= {entry.commit_id: entry.created_at for entry in history}
        totals = manifest.totals or {}
        listed.append(Listed(ref.name, kind, dates[commit], commit, totals, manifest.changes))
    return listed


def file_differences(
    version: Version, config: str | None = None, download: bool = False
) -> Iterator[tuple[str, str]]:
    """Yield the name of each file that differs from the manifest, and how; of one config, or of all.

    `download` fetches the files into the Hub's cache, as `load_dataset` does, and hashes them there; otherwise the
    Hub is asked for the SHA-256 under which it stores them, so that a stream can be checked without reading it.

    Raises DailytalkError if there is no manifest, or the Hub can't be read.
    """
    if not version.named_files:
        reason = f"{version} has no {MANIFEST}, or one that names no files"
        raise DailytalkError(reason, "load it without checking, or a version that has one")
    named = version.named_files.items()
    listed = {name: facts.sha256 for name, facts in named if config in (None, name.partition("/")[0])}
    present: set[str] = set()
    for present_config, splits in version.configs.items():
        if config in (None, present_config):
            present.update(*splits.values())
    stored = {} if download else version.stored
    for name in sorted({*listed, *present}):
        if name not in listed:
            yield name, "it names no such file"
        elif name not in present:
            yield name, "the file is missing"
        else:
            lfs = stored[name].lfs if name in stored else None
            digest = lfs.sha256 if lfs else sha256_of(version.path(name))
            if digest != listed[name]:
                yield name, f"its SHA-256 is {digest}, not {listed[name]}"
