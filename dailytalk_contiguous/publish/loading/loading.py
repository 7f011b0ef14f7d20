"""`load`: a published dataset, or a folder of ours, through `datasets`, with both channels of its audio.

It is `load_dataset` with four promises: the revision is one commit from the first file to the last, audio keeps
its shape (see `publish.loading.stereo`), files can be held against the manifest, and a stream goes on where it
stopped.
What comes back is what `load_dataset` gives: all its methods work.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

from datasets import Audio, load_dataset
from datasets.exceptions import DatasetBuildError

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.published import CONFIGS
from dailytalk_contiguous.core.reference import Reference, reference
from dailytalk_contiguous.core.schema import AUDIO
from dailytalk_contiguous.publish.loading.stereo import StereoFeature
from dailytalk_contiguous.publish.loading.verifying import verify as verify_files
from dailytalk_contiguous.publish.rows import shards
from dailytalk_contiguous.publish.version import PARQUET_ERRORS, Version, cause, open_version
from dailytalk_contiguous.sources.hub_errors import hub_errors

#: Bytes that a stream reads beyond what is asked for. The client's own 5 MB would bring the audio along with every
#: small column that stands before it.
_READ_AHEAD_BYTES = 1 << 16

#: How the ValueErrors of `datasets` begin that say which names there are.
_NAMES = ("BuilderConfig", "Unknown split", "Bad split")


def load(
    where: str | Path | Reference,
    config: str = CONFIGS[0],
    *,
    split: str | None = None,
    revision: str | None = None,
    streaming: bool = False,
    columns: Sequence[str] | None = None,
    verify: bool = False,
    token: str | None = None,
    state: Mapping[str, Any] | None = None,
) -> Any:
    """Load a dataset whose `audio` is a `StereoAudio`: (samples, 2) float32, decoded when it is asked for.

    Args:
        where: a folder that is there (a downloaded repository, a work folder, or its `dataset/`), else a dataset
            on the Hub: `OWNER/NAME`, `OWNER/NAME@v1.0.0`, `hf://datasets/OWNER/NAME@v1.0.0`.
        config: `conversations`, `utterances` or `source`. A work folder has `conversations` alone, in `train`.
        split: as in `load_dataset`; None for all of them.
        revision: a tag, branch or commit; None for the main branch as it is now.
        streaming: read rows over the network while they are asked for.
        columns: only these; what they need is all that a stream reads.
        verify: first hold the files of the config against the manifest of that commit, by SHA-256: the downloaded
            ones, or for a stream those on the server. The rows that `datasets` keeps in a cache of its own are
            not looked at.
        token: of the Hub; None for that of the environment or the login.
        state: what `state_dict()` of the same stream gave. Rows that were read are not read again. It does not
            hold for a shuffle buffer, which loses the rows in it (`datasets` says so).

    Returns:
        What `load_dataset` returns: Dataset or IterableDataset for a split, a dict of them otherwise.

    Raises:
        DailytalkError: there is no such dataset, version, config, split or column, it may not be read, a file is
            not what the manifest says or is damaged, or `state` is given without what makes it hold. A stream
            reads its files later: what is damaged in them is an error of `datasets` or Arrow then.
    """
    version = _version(where, revision, token)
    _refuse_state(version, state, streaming, split)
    work = isinstance(version.where, Path) and not version.configs()
    if not work:
        _refuse_unknown(version, config, columns)
    elif config != CONFIGS[0]:
        raise DailytalkError(f"{version} has no config {config!r}", f"load {CONFIGS[0]}, or publish it first")
    if verify:
        verify_files(version, config, token, download=not streaming)
    source: dict[str, Any] = {"path": "parquet", "data_files": _data_files(version, config, work)}
    if isinstance(version.where, Reference):
        source = {"path": version.where.repo, "name": config, "revision": version.commit, "token": token}
        source |= {"storage_options": {"hf": {"block_size": _READ_AHEAD_BYTES}}}
    with _named(version), hub_errors(version):
        data = load_dataset(**source, split=split, streaming=streaming, columns=list(columns) if columns else None)
    data = _with_stereo(data, version)
    if state is not None:
        data.load_state_dict(dict(state))
    return data


def _version(where: str | Path | Reference, revision: str | None, token: str | None) -> Version:
    local = where if isinstance(where, Path) else Path(where) if isinstance(where, str) else None
    if local is not None and (isinstance(where, Path) or local.is_dir()):
        if revision is not None:
            raise DailytalkError(f"the folder {where} has no revision {revision!r}", "leave revision out")
        return open_version(local)
    named = where if isinstance(where, Reference) else reference(str(where))
    if revision is not None and named.revision is not None:
        raise DailytalkError(f"{named} names a revision, and so does revision={revision!r}", "give one of them")
    return open_version(Reference(named.repo, revision or named.revision), token)


def _refuse_state(version: Version, state: Mapping[str, Any] | None, streaming: bool, split: str | None) -> None:
    if state is None:
        return
    if not streaming or split is None:
        raise DailytalkError("only the stream of one split has a state", "give streaming=True and split= too")
    if isinstance(version.where, Reference) and version.where.revision is None:
        raise DailytalkError(
            "a state holds only for the version that it was taken from, and the main branch moves",
            "give revision= the tag or commit, both before and after the stop",
        )


def _refuse_unknown(version: Version, config: str, columns: Sequence[str] | None) -> None:
    """Before anything is downloaded. A dataset that is laid out in another way is for `datasets` to judge."""
    known = version.configs()
    if known and config not in known:
        raise DailytalkError(f"{version} has no config {config!r}", f"choose one of {', '.join(known)}")
    features = version.features(config) if columns else None
    missing = [name for name in columns or () if features is not None and name not in features]
    if missing:
        raise DailytalkError(
            f"the config {config} of {version} has no column {', '.join(missing)}",
            f"choose among {', '.join(features or ())}",
        )


def _data_files(version: Version, config: str, work: bool) -> dict[str, list[str]]:
    if not isinstance(version.where, Path):
        return {}
    if work:
        return {"train": [escape(str(path)) for path in shards(version.where)]}
    return {
        split: [escape(str(version.path(name))) for name in version.files(config, split)]
        for split in version.configs()[config]
    }


@contextmanager
def _named(version: Version) -> Iterator[None]:
    """Raise as a DailytalkError what `datasets` says of names that aren't there and of files that are damaged."""
    try:
        yield
    except (DatasetBuildError, *PARQUET_ERRORS) as error:
        raise DailytalkError(
            f"{version} has a data file that can't be read ({cause(error.__cause__ or error)})",
            "build the dataset again, or download this version again",
        ) from None
    except ValueError as error:
        if not str(error).startswith(_NAMES):
            raise
        raise DailytalkError(f"{version}: {error}".rstrip("."), "choose one that is there") from None


def _with_stereo(data: Any, version: Version) -> Any:
    if isinstance(data, dict):
        return type(data)({split: _with_stereo(own, version) for split, own in data.items()})
    if data.features is None:
        raise DailytalkError(f"{version} does not declare its columns", "load it with `datasets`, and map it")
    sounds = [name for name, feature in data.features.items() if isinstance(feature, Audio) or feature == AUDIO]
    for name in sounds:
        data = data.cast_column(name, StereoFeature())
    return data
