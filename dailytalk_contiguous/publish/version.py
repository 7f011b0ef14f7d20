"""A published version, on the Hub or in a folder: its files, read without a clone, and the versions before it.

On the Hub the revision is resolved to a commit once, and every read names that commit: even during a push a reader
never sees parts of two versions. Files are read by ranges, a row group at a time and only the requested columns,
without read-ahead: pyarrow already joins the ranges of neighbouring columns.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from datasets import Features
from huggingface_hub import GitRefInfo, HfApi, HfFileSystem
from huggingface_hub.hf_api import RepoFile

from dailytalk_contiguous.core.audio import embedded
from dailytalk_contiguous.core.changes import is_version_tag, parse_tag
from dailytalk_contiguous.core.documents import MOST_OWN_BYTES, expect, parse_json
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import CONFIGS, SPLITS, published_features
from dailytalk_contiguous.publish.manifest import MANIFEST, MANIFEST_SHAPE
from dailytalk_contiguous.sources.addresses import address_of
from dailytalk_contiguous.store.files import is_inside, sha256_of
from dailytalk_contiguous.store.hub import TIMEOUTS, Reference, hub_errors, parse_reference
from dailytalk_contiguous.store.parquet import ParquetReader, open_parquet
from dailytalk_contiguous.store.work_folder import work_folder_of

#: The layout of `Dataset.push_to_hub`: the folder is the config.
_DATA_FILE = re.compile(r"(?P<config>[^/]+)/(?P<split>[^/]+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.parquet")

#: The config of a dataset that has just one, and the folder that `push_to_hub` gives it.
DEFAULT = "default"
_DEFAULT_FOLDER = "data"

#: The remedy for a symbolic link out of its folder.
COPY = "copy the file into the folder"


@dataclass(frozen=True)
class Version:
    """A version that `open_version` opened.

    Attributes:
        where: as requested.
        commit: that a revision of the Hub is; None for a folder.
        names: of all files, as in the repository.
    """

    where: Reference | Path
    commit: str | None
    names: tuple[str, ...]
    _files: HfFileSystem | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return str(self.where)

    def configs(self) -> dict[str, list[str]]:
        return {config: list(splits) for config, splits in self._layout().items()}

    def files(self, config: str, split: str) -> list[str]:
        """Return the names of the data files of a split, in order; none where there is no such split.

        Raises DailytalkError: some are missing, or are of another number of files.
        """
        return self._layout().get(config, {}).get(split, [])

    def path(self, name: str) -> Path:
        """Return the path of a file of a version in a folder.

        Raises DailytalkError if it is no regular file, or a symbolic link out of the folder.
        """
        assert isinstance(self.where, Path)
        path = self.where / name
        if not is_inside(path, self.where):
            raise DailytalkError(f"{name} of {self} is a symbolic link out of its folder", COPY)
        if not path.is_file():
            raise DailytalkError(f"{name} of {self} is not a regular file", "download this version again")
        return path

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading by ranges: only these are downloaded. Raises DailytalkError."""
        with hub_errors(self):
            if isinstance(self.where, Path):
                return self.path(name).open("rb")
            assert self._files is not None
            path = f"datasets/{self.where.repo}@{self.commit}/{name}"
            return cast(BinaryIO, self._files.open(path, "rb", cache_type="none"))

    def manifest(self) -> dict[str, Any] | None:
        """Return the manifest (`publish.manifest.manifest`), or None without one. A damaged one is an error."""
        return self._read_manifest

    @cached_property
    def _read_manifest(self) -> dict[str, Any] | None:
        if MANIFEST not in self.names:
            return None
        with hub_errors(self), self.open(MANIFEST) as file:
            text = file.read(MOST_OWN_BYTES + 1)
        name, remedy = f"the {MANIFEST} of {self} is damaged", "publish this version again"
        record = expect(parse_json(text, name, remedy, MOST_OWN_BYTES), MANIFEST_SHAPE, name, remedy)
        return {key: value for key, value in record.items() if value is not None}

    def features(self, config: str) -> Features | None:
        """Return the columns of a config, as its first data file declares them; None without such a config."""
        for names in self._layout().get(config, {}).values():
            with self.parquet(names[0]) as file:
                return Features.from_arrow_schema(file.schema)
        return None

    def rows_of(self, name: str, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Yield the rows of one data file, with these columns, or all; holds one row group. Audio is `embedded`.

        Raises DailytalkError if a column is missing, the file is damaged, or the Hub can't be read.
        """
        with self.parquet(name, columns or ()) as file:
            for row in file.rows(columns):
                yield row | {"audio": embedded(row["audio"])} if "audio" in row else row

    @contextmanager
    def parquet(self, name: str, required: Iterable[str] = ()) -> Iterator[ParquetReader]:
        """Open a data file, which has the `required` columns. Raises DailytalkError as `rows_of` does."""
        config = name.partition("/")[0]
        features = published_features(config, None, labelled=True) if config in CONFIGS else Features({})
        remedy = "publish or download this version again"
        with (
            hub_errors(self),
            self.open(name) as opened,
            open_parquet(opened, remedy, f"{name} of {self}") as file,
        ):
            file.check(features, required, "name a dataset that this tool published")
            yield file

    def _layout(self) -> dict[str, dict[str, list[str]]]:
        matches_of: dict[str, dict[str, list[re.Match[str]]]] = {}
        for name in sorted(self.names):
            match = _DATA_FILE.fullmatch(name)
            if match:
                folder = match["config"]
                config = DEFAULT if folder == _DEFAULT_FOLDER else folder
                matches_of.setdefault(config, {}).setdefault(match["split"], []).append(match)
        return {
            config: {
                split: self._complete(matches_of[config][split]) for split in _in_order(matches_of[config], SPLITS)
            }
            for config in _in_order(matches_of, CONFIGS)
        }

    def _complete(self, matches: Sequence[re.Match[str]]) -> list[str]:
        count = int(matches[0]["count"])
        if [(int(match["number"]), int(match["count"])) for match in matches] != [
            (at, count) for at in range(count)
        ]:
            raise DailytalkError(
                f"{self} has {len(matches)} files of {matches[0]['config']}/{matches[0]['split']}, "
                "of which some are missing or of another version",
                "publish or download it again",
            )
        return [match.string for match in matches]


def open_version(where: Reference | Path, token: str | None = None) -> Version:
    """Open a version on the Hub, at the present commit of its revision, or in a folder laid out like a repository.

    Raises DailytalkError: there is no such repository, revision or folder, or it may not be read.
    """
    if isinstance(where, Path):
        if not where.is_dir():
            raise DailytalkError(f"there is no folder {str(where)!r}", "check the path, or name OWNER/NAME@TAG")
        files = [*where.iterdir()]
        configs = [path for path in files if path.is_dir() and is_inside(path, where)]
        files += [path for config in configs for path in config.glob("*.parquet")]
        return Version(where, None, tuple(path.relative_to(where).as_posix() for path in files))
    with hub_errors(where):
        info = HfApi(token=token).dataset_info(where.repo, revision=where.revision, timeout=TIMEOUTS)
        files = HfFileSystem(token=token, skip_instance_cache=True)
    return Version(where, info.sha, tuple(file.rfilename for file in info.siblings or ()), files)


def version_or_path(source: str, revision: str | None) -> Path | Version:
    """Open a version on the Hub or in a folder, or return a path of this machine (a store's folder is copied).

    Args:
        source: a path that exists, else `OWNER/NAME` or `OWNER/NAME@REVISION`. Any other text is a path, too.
        revision: of `--revision`.

    Raises DailytalkError: a revision is given twice or for a path, or the version can't be opened.
    """
    path = Path(source)
    if address_of(source):
        from dailytalk_contiguous.run.storage import open_work  # here, for it imports much

        path = open_work(path).folder
    path = work_folder_of(path)
    named = None if path.exists() else parse_reference(source)
    if named is None:
        if revision is not None:
            raise DailytalkError(f"--revision {revision!r} goes with a dataset on the Hub only", "leave it out")
        version = open_version(path) if path.is_dir() else None
        return version if version and CONFIGS[0] in version.configs() else path
    if revision is not None and named.revision is not None:
        raise DailytalkError(f"{source} names a revision, and so does --revision {revision!r}", "give one of them")
    try:
        return open_version(Reference(named.repo, revision or named.revision))
    except DailytalkError as problem:
        raise DailytalkError(f"there is no folder {source!r} here, and {problem.reason}", problem.remedy) from None


def _in_order(names: Mapping[str, Any], order: Sequence[str]) -> list[str]:
    """Known names first, in their order; the rest by the alphabet."""
    return [name for name in order if name in names] + sorted(set(names) - set(order))


class Listed(NamedTuple):
    """A tag or branch.

    Attributes:
        kind: `version`, `tag` or `branch`.
        date: of its commit.
        commit: the whole id.
        rows, hours: of the conversations; None where there is no manifest.
        size: bytes of all data files, or None.
        changes: in numbers (`publish.compare.Changes.as_dict`), or None.
    """

    name: str
    kind: str
    date: datetime | None
    commit: str
    rows: int | None
    hours: float | None
    size: int | None
    changes: dict[str, Any] | None

    def as_dict(self) -> dict[str, Any]:
        return self._asdict() | {"date": self.date and self.date.isoformat()}


def list_versions(repo: str, token: str | None = None) -> list[Listed]:
    """List every tag and branch of `OWNER/NAME` by their manifests, without opening a data file.

    Version tags come newest first, then other tags and branches. Versions that were not published by this tool are
    listed too, with the facts of the Hub. Raises DailytalkError if it isn't there or may not be read.
    """
    api = HfApi(token=token)
    with hub_errors(repo):
        refs = api.list_repo_refs(repo, repo_type="dataset")
        dates: dict[str, datetime] = {}  # of each commit; one history covers most of them
        for ref in (*refs.branches, *refs.tags):
            if ref.target_commit not in dates:
                history = api.list_repo_commits(repo, repo_type="dataset", revision=ref.target_commit)
                dates |= {commit.commit_id: commit.created_at for commit in history}
    versions = sorted((ref for ref in refs.tags if is_version_tag(ref.name)), key=lambda ref: parse_tag(ref.name))
    others = sorted((ref for ref in refs.tags if not is_version_tag(ref.name)), key=lambda ref: ref.name)
    branches = sorted(refs.branches, key=lambda ref: (ref.name != "main", ref.name))
    kinds = {"version": versions[::-1], "tag": others, "branch": branches}
    return [_listed(repo, token, ref, kind, dates) for kind, refs_of_kind in kinds.items() for ref in refs_of_kind]


def _listed(repo: str, token: str | None, ref: GitRefInfo, kind: str, dates: dict[str, datetime]) -> Listed:
    manifest = open_version(Reference(repo, ref.target_commit), token).manifest() or {}
    totals: dict[str, dict[str, Any]] = manifest.get("totals", {})
    totals_of_conversations = totals.get(CONFIGS[0], {})
    size = sum(config_totals["size"] for config_totals in totals.values()) if totals else None
    date = dates.get(ref.target_commit)
    return Listed(
        ref.name,
        kind,
        date,
        ref.target_commit,
        totals_of_conversations.get("rows"),
        totals_of_conversations.get("hours"),
        size,
        manifest.get("changes"),
    )


# What a version is beside its manifest.


class Difference(NamedTuple):
    name: str
    what: str


def file_differences(
    version: Version, config: str | None = None, token: str | None = None, download: bool = False
) -> Iterator[Difference]:
    """Yield the files that differ from the manifest, by name; arguments as of `publish.loading.verify_version`.

    `config`: None for all.

    Raises DailytalkError if there is no manifest, or the Hub can't be read.
    """
    manifest = version.manifest()
    if manifest is None:
        raise DailytalkError(f"{version} has no {MANIFEST}", "load it without checking, or a version that has one")
    if not (files := manifest.get("files")):
        raise DailytalkError(f"the {MANIFEST} of {version} names no files", "publish this version again")
    listed = {name: entry for name, entry in files.items() if config in (None, name.partition("/")[0])}
    splits = [(name, split) for name, splits in version.configs().items() for split in splits]
    present = {file for name, split in splits if config in (None, name) for file in version.files(name, split)}
    digest_of = _digests(version, token, download)
    for name in sorted(listed | dict.fromkeys(present)):
        if name not in listed:
            yield Difference(name, "it names no such file")
        elif name not in present:
            yield Difference(name, "the file is missing")
        elif (digest := digest_of(name)) != listed[name].get("sha256"):
            yield Difference(name, f"its SHA-256 is {digest}, not {listed[name].get('sha256')}")


def _digests(version: Version, token: str | None, download: bool) -> Callable[[str], str]:
    where, api = version.where, HfApi(token=token)
    stored = {}
    if isinstance(where, Reference) and not download:
        with hub_errors(version):
            tree = api.list_repo_tree(where.repo, recursive=True, revision=version.commit, repo_type="dataset")
            stored = {entry.path: entry.lfs.sha256 for entry in tree if isinstance(entry, RepoFile) and entry.lfs}

    def digest(name: str) -> str:
        if name in stored:
            return stored[name]
        if isinstance(where, Path):
            return sha256_of(version.path(name))
        if download:
            with hub_errors(version):
                path = api.hf_hub_download(where.repo, name, repo_type="dataset", revision=version.commit)
            return sha256_of(Path(path))
        with version.open(name) as file:  # a file that is in git itself has no SHA-256 there
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]

    return digest
