"""Published versions, or folders of ours, as datasets: both channels of sound, and checksums.

`load` is `load_dataset` with four promises: the revision is one commit from the first file to the last, audio
keeps its channels, files can be verified against the manifest, and a stream resumes where it stopped. The result
is that of `load_dataset`: all its methods work.
"""

import copy
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any, TypeAlias

import datasets
from datasets import Audio, load_dataset_builder
from datasets.exceptions import DatasetBuildError
from datasets.iterable_dataset import FormattedExamplesIterable
from datasets.utils.info_utils import is_small_dataset

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records import schema
from dailytalk_contiguous.machine.stereo_audio import StereoFeature
from dailytalk_contiguous.publish.items import Shards
from dailytalk_contiguous.publish.opening import finished_items, local_folder
from dailytalk_contiguous.publish.version import MANIFEST, Version, file_differences, open_version
from dailytalk_contiguous.shards import read_shard
from dailytalk_contiguous.store.addresses import address_of, stores_named_in_errors
from dailytalk_contiguous.store.foreign_card import check_card
from dailytalk_contiguous.store.full_disk import disk_problem, name_file
from dailytalk_contiguous.store.hub import Reference, hub_errors, reference
from dailytalk_contiguous.store.parquet import PARQUET_ERRORS, cause, open_parquet

#: What `load_dataset` returns: the rows of a split, or those of each.
Loaded: TypeAlias = (
    datasets.Dataset | datasets.IterableDataset | datasets.DatasetDict | datasets.IterableDatasetDict
)


_AGAIN = "download it again, or load another version"


@stores_named_in_errors()
def load(
    where: str | Path | Reference,
    config: str = schema.CONFIGS[0],
    *,
    split: str | None = None,
    revision: str | None = None,
    streaming: bool = False,
    columns: Sequence[str] | None = None,
    verify: bool = False,
    token: str | None = None,
    state: Mapping[str, object] | None = None,
) -> Loaded:
    """Load a dataset whose `audio` is a `StereoAudio`: (samples, 2) float32, decoded on access.

    A version that was pushed with `--audio-columns left,right` has `left` and `right` in its place: (samples,).

    >>> from dailytalk_contiguous import load
    >>> calls = load("work", split="train")  # or load("OWNER/NAME", split="train", revision="v1.0.0")
    >>> calls[0]["audio"]["array"].shape, calls[0]["audio"]["sampling_rate"]
    ((144000, 2), 24000)
    >>> calls[0]["audio"].read(1.0, 1.5).shape  # decodes this half second alone
    (12000, 2)

    Args:
        where: an existing folder (a downloaded repository, a work folder, or its `dataset/`), one in a store
            (`s3://BUCKET/FOLDER`, copied to this machine), else a dataset on the Hub: `OWNER/NAME`,
            `OWNER/NAME@v1.0.0`, `hf://datasets/OWNER/NAME@v1.0.0`.
        config: `conversations` or `utterances`. A work folder has `conversations` alone, in
            `train`, and one of `dailytalk corpus` its clips as such, with `labels`, in the splits that they have.
            For `conversations` a dataset may have `default` instead, with the columns of
            `core.records.schema.BUILT`, as `Dataset.push_to_hub` leaves one.
        split: as in `load_dataset`; None for all of them.
        revision: a tag, branch or commit; None for the main branch as it is now.
        streaming: read rows over the network as they are used.
        columns: only these; a stream reads nothing else.
        verify: first compare the files of the config with the manifest of that commit, by SHA-256: the downloaded
            ones, or for a stream those on the server. The rows that `datasets` keeps in its own cache are
            not checked.
        token: a token of the Hub; None for that of the environment or the login.
        state: the `state_dict()` of the same stream. Rows that were read are not read again. It does not cover a
            shuffle buffer, which loses the rows in it (as `datasets` documents). It names the version and split,
            or for a folder a digest of its files. A state of other rows is refused here, and at the first row
            after `load_state_dict` of the stream, or of what `map` or `filter` made of it.

    Returns a Dataset or IterableDataset for a split, a dict of them otherwise, as `load_dataset` does.

    Raises DailytalkError: there is no such dataset, version, config or column, it may not be read, a file differs
    from the manifest, is damaged or would fill memory, a disk is full, a stopped run left a file of which only
    some rows count, or `state` comes without a stream of one split, or is not of this one.
    Raises ValueError of `datasets`, or KeyError for clips: there is no such split. A stream reads its files later:
    damage in them, or their size, is an error of `datasets` or Arrow then.
    """
    if state is not None and not (state and streaming and split):
        raise DailytalkError(
            "a state belongs to a stream of one split",
            "give streaming=True and split=, and what its state_dict() returned before the stop",
        )
    version = _opened(where, revision, token)
    configs = {name: [*splits] for name, splits in version.configs.items()}
    items = None
    if isinstance(version.where, Path) and not configs:
        items = finished_items(version.where)
        _refuse_halves(items)
        configs = {schema.CONFIGS[0]: ["train"]}
    if config == schema.CONFIGS[0] and config not in configs and version.conversations:
        config = version.conversations
    if configs and config not in configs:  # a dataset with another layout is left to `datasets`
        raise DailytalkError(f"{version} has no config {config!r}", f"choose one of {', '.join(configs)}")
    if verify:
        for name, difference in file_differences(version, config, download=not streaming):
            raise DailytalkError(
                f"{name} of {version} is not what {MANIFEST} names: {difference}",
                "load another version" if streaming else "delete it from the cache and load it again",
            )
    chosen = list(columns) if columns else None
    published = itertools.chain.from_iterable(version.configs.get(config, {}).values())
    paths = items.files if items else map(version.path, published)
    with _name_in_errors(version), hub_errors(version):
        if items is not None and items.has_labels:
            data = _clips(items, split, chosen, streaming)
        elif isinstance(version.where, Path):
            patterns = {"train": _paths(items.files)} if items else {}
            for split_name, names in version.configs.get(config, {}).items():  # none in a work folder
                patterns[split_name] = _paths(map(version.path, names))
            builder = load_dataset_builder("parquet", data_files=patterns, columns=chosen)
            data = _rows_of(builder, paths, split, streaming)
        else:
            # A stream reads 64 kB ahead: the client's own 5 MB would bring the audio along with every small column
            # that is before it.
            storage = {"hf": {"block_size": 1 << 16}}
            options = {"revision": version.commit, "token": token, "storage_options": storage, "columns": chosen}
            check_card(version, version.names, version.read)
            builder = load_dataset_builder(version.where.repo, config, **options)
            data = _rows_of(builder, paths, split, streaming)
    origin = f"{_source(version, paths)} {config}/{split or ''}" if streaming else ""
    data = _with_stereo(data, origin)
    if state is not None:
        data.load_state_dict(dict(state))
        data._prepare_ex_iterable_for_iteration()  # reads the state, as the first row would
    return data


class OriginRows(FormattedExamplesIterable):  # type: ignore[misc]
    """The rows of a stream, whose state names their origin; that of what is made of the stream holds it, too.

    Attributes:
        origin: the version, config and split that the rows are of, or the digest of their files.
    """

    def __init__(self, rows: Any, origin: str) -> None:
        super().__init__(rows, None, None, {})  # the rows as they are
        self.origin = origin

    def _init_state_dict(self) -> "_RowsState":
        self._state_dict = _RowsState({self.origin: super()._init_state_dict()})
        return self._state_dict

    def shuffle_data_sources(self, *arguments: Any) -> "OriginRows":
        return OriginRows(self.ex_iterable.shuffle_data_sources(*arguments), self.origin)

    def shard_data_sources(self, *arguments: Any, **options: Any) -> "OriginRows":
        return OriginRows(self.ex_iterable.shard_data_sources(*arguments, **options), self.origin)


class _RowsState(dict[str, Any]):
    """A position in rows, by their origin; `datasets` takes each key of a state that is loaded from here."""

    def __deepcopy__(self, memo: object) -> dict[str, Any]:
        return copy.deepcopy(dict(self))  # whoever keeps a state needs no class of ours to read it

    def __missing__(self, name: str) -> None:
        (origin,) = self
        raise DailytalkError(
            f"the state names {name!r}, and not {origin!r}, which this stream is of",
            "load what it names (the commit is the revision), or start without a state",
        )


def _source(version: Version, paths: Iterable[Path]) -> str:
    """Return what the rows of a stream come from: a commit on the Hub, or a folder's files, by their footers."""
    if isinstance(version.where, Reference):
        return f"{version.where.repo}@{version.commit}"
    digest = hashlib.sha256()
    for path in paths:
        with open_parquet(path, _AGAIN) as parquet:
            digest.update(parquet.footer())
    return f"shards {digest.hexdigest()}"


def _opened(where: str | Path | Reference, revision: str | None, token: str | None) -> Version:
    """Open the version or the folder that `load` reads; a folder in a store is copied to this machine first."""
    if isinstance(where, Reference):
        return open_version(where.at_revision(revision), token)
    path = Path(where)
    is_stored = address_of(where) is not None
    if isinstance(where, str) and not is_stored and not path.is_dir():
        return open_version(reference(where).at_revision(revision), token)
    if revision is not None:
        raise DailytalkError(f"the folder {where} has no revision {revision!r}", "leave revision out")
    return open_version(local_folder(path) if is_stored else path)


def _refuse_halves(items: Shards) -> None:
    """Raise DailytalkError if a part of a file doesn't count: `datasets` reads whole files."""
    for file in items.files:
        for name, entry in read_shard(file).entries.items():
            if not entry.reject and not items.current.counts(file, name):
                raise DailytalkError(
                    f"the conversation {name!r} is in {file} and in a newer shard: a run was stopped here",
                    "run the same command again, which removes the older one",
                )


def _rows_of(
    builder: datasets.DatasetBuilder, paths: Iterable[Path], split: str | None, streaming: bool
) -> Loaded:
    """Return the rows of a builder, as `load_dataset` returns them; `split` and `streaming` are as there.

    `paths`: its files, on this machine. They are checked unless they are streamed, or `datasets` has their rows in
    its cache.

    Raises BadInput for a file that would fill memory: `datasets` unpacks a row group at once, whatever its size.
    """
    if streaming:
        stream = builder.as_streaming_dataset(split=split)
        missing = [name for name in builder.config.columns or () if name not in builder.info.features]
        if missing:
            raise DailytalkError(f"there is no column {missing[0]!r}", "correct columns= (see docs/columns.md)")
        return stream
    if not Path(builder.cache_dir).exists():
        for path in paths:
            with open_parquet(path, _AGAIN) as parquet:
                parquet.check_size(builder.config.columns)
    builder.download_and_prepare()
    return builder.as_dataset(split=split, in_memory=is_small_dataset(builder.info.dataset_size))


def _paths(paths: Iterable[Path]) -> list[str]:
    """Paths for `datasets`, which takes them for patterns."""
    return [escape(str(path)) for path in paths]


def _clips(items: Shards, split: str | None, columns: list[str] | None, streaming: bool) -> Loaded:
    """Return the clips of a work folder in the splits that they have, of which a shard holds several."""
    present = {*items.splits().values()}
    columns = columns or [name for name in schema.LABELLED if name != "split"]
    patterns = _paths(items.files)
    parts = {}
    for name in schema.SPLITS:
        if name in present and split in (None, name):
            filters = [("split", "==", name)]
            builder = load_dataset_builder("parquet", data_files=patterns, columns=columns, filters=filters)
            parts[name] = _rows_of(builder, items.files, "train", streaming)
    if split:
        return parts[split]
    kind = datasets.IterableDatasetDict if streaming else datasets.DatasetDict
    return kind(parts)


@contextmanager
def _name_in_errors(version: Version) -> Iterator[None]:
    try:
        yield
    except (DatasetBuildError, *PARQUET_ERRORS) as error:
        failure = error.__cause__ or error
        if isinstance(failure, OSError):
            name_file(failure, datasets.config.HF_DATASETS_CACHE)
        no_room = disk_problem(failure)
        if no_room:
            raise no_room from None
        raise DailytalkError(
            f"{version} has a data file that can't be read ({cause(failure)})",
            "correct columns=, build the dataset again, or download this version again",
        ) from None


def _with_stereo(data: Loaded, origin: str) -> Loaded:
    if isinstance(data, dict):
        return type(data)({split: _with_stereo(rows, f"{origin}{split}") for split, rows in data.items()})
    if isinstance(data, datasets.IterableDataset):
        rows = OriginRows(data._ex_iterable, origin)
        data = datasets.IterableDataset(rows, data.info, data.split, token_per_repo_id=data._token_per_repo_id)
    for name, feature in (data.features or {}).items():  # None of a stream that does not declare its columns
        if isinstance(feature, Audio) or feature == schema.AUDIO:
            data = data.cast_column(name, StereoFeature())
    return data
