"""Releases made by hand, of data files that are small, and what a repository on loopback holds of them."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hub.server import HubServer

from dailytalk_contiguous.publish.checks.verdict import verdict_of
from dailytalk_contiguous.publish.hub.compare import Changes
from dailytalk_contiguous.publish.hub.pushing import PushSettings, Release, RepositoryState
from dailytalk_contiguous.publish.tables.card import Card
from dailytalk_contiguous.publish.version import DataFile, Packed, Version
from dailytalk_contiguous.store.hub import Reference

REPO = "tester/talk"

CARD = "---\nlicense: cc0-1.0\n---\n# {}\n"


def data_file(folder: Path, name: str, words: str) -> DataFile:
    """A Parquet file of one row that says some words."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"conversation_id": [name], "words": [words]}), path)
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    config, _, file = name.partition("/")
    split, _, _ = file.partition("-")
    return DataFile(name, path, config, split, digest, len(data), 1, seconds=60.0)


def release(
    folder: Path,
    tag: str | None,
    shards: int = 3,
    words: Mapping[int, str] | str = "first",
    assets: Mapping[str, bytes] | None = None,
) -> Release:
    """A version of some shards in one split; `words`: of each shard, or of all."""
    files = []
    for n in range(shards):
        name = f"conversations/train-{n:05d}-of-{shards:05d}.parquet"
        spoken = words if isinstance(words, str) else words[n]
        files.append(data_file(folder, name, spoken))
    packed = Packed(tuple(files), "conversations")
    card = Card(CARD.format(words), dict(assets or {}), (), (), verdict_of([], shards))
    before = RepositoryState(Version(Reference(REPO), None, ()))
    return Release(REPO, PushSettings(), before, packed, Changes(), tag, card, f"Publish {tag}")


def held(hub: HubServer, ref: str = "refs/heads/main", repo: str = REPO) -> dict[str, str]:
    """SHA-256 of each file that a ref names, without going through the server."""
    repository = hub.store.find(repo)
    assert repository is not None
    commit = repository.ref(ref)
    assert commit is not None
    files = repository.commit(commit).files
    return {name: file.sha256 for name, file in files.items() if name != ".gitattributes"}


def refs(hub: HubServer, repo: str = REPO) -> dict[str, str]:
    """All refs, with the commit of each."""
    repository = hub.store.find(repo)
    return repository.refs() if repository else {}


def wanted(release: Release) -> dict[str, str]:
    """What `held` gives once a release is there."""
    texts = {name: hashlib.sha256(data).hexdigest() for name, data in release.texts.items()}
    return {file.name: file.sha256 for file in release.packed.files} | texts
