"""What a push would change in a repository, file by file, worked out before anything is sent.

Only files that are ours are ever deleted: those that the previous manifest names, and data files of our layout in
our config folders, which readers would otherwise take for rows of this version. A stranger's file stays.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.published import CONFIGS, SPLITS
from dailytalk_contiguous.publish.packing.packed import MANIFEST, Packed, manifest, manifest_text
from dailytalk_contiguous.publish.pushing.hub import CARD, RemoteFile, State

#: Where the card's pictures lie; the manifest names them under this key.
ASSETS = "assets"

_OURS = re.compile(rf"({'|'.join(CONFIGS)})/({'|'.join(SPLITS)})-\d{{5}}-of-\d{{5}}\.parquet")


class Content(NamedTuple):
    """A file to publish: a path on this machine or the bytes themselves, its size, and SHA-256 in hexadecimal."""

    source: Path | bytes
    size: int
    sha256: str

    def is_in(self, remote: RemoteFile | None) -> bool:
        """Whether a file on the Hub has just this content."""
        if remote is None or remote.size != self.size:
            return False
        return remote.sha256 == self.sha256 if remote.sha256 else remote.blob == self._git_blob()

    def _git_blob(self) -> str:
        data = self.source if isinstance(self.source, bytes) else self.source.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Release:
    """A version, whole: its data, card, pictures and manifest. `tag`: what it is to be called; None for no tag."""

    packed: Packed
    tag: str | None
    manifest: Mapping[str, Any]
    card: str
    assets: Mapping[str, bytes]
    message: str

    @cached_property
    def contents(self) -> dict[str, Content]:
        """All files of ours in the repository, by name."""
        data = {file.name: Content(file.path, file.size, file.sha256) for file in self.packed.files}
        texts = {CARD: self.card.encode(), MANIFEST: manifest_text(self.manifest).encode(), **self.assets}
        return data | {name: _content(held) for name, held in texts.items()}

    def of(self, packed: Packed) -> "Release":
        """The same release of other files."""
        told = manifest(packed, self.tag, self.manifest["changes"]) | {ASSETS: self.manifest[ASSETS]}
        return replace(self, packed=packed, manifest=told)


class Change(NamedTuple):
    """What becomes of a file: `add`, `replace`, `delete` or `keep`; its bytes (those it had, where it goes)."""

    what: str
    name: str
    size: int


@dataclass(frozen=True)
class Plan:
    """All changes, sorted by name. `to_send`: bytes of content that the branch does not have under any name."""

    changes: tuple[Change, ...]
    to_send: int

    def named(self, *whats: str) -> list[str]:
        """Names of the files to which one of these happens."""
        return [change.name for change in self.changes if change.what in whats]


def plan(state: State, release: Release) -> Plan:
    """Compare a release with what is there.

    Raises:
        DailytalkError: a stranger's file has the name of our manifest.
    """
    if MANIFEST in state.files and state.manifest is None:
        raise DailytalkError(
            f"the repository has a {MANIFEST} that is not ours",
            "rename it there, or publish to another repository",
        )
    changes = [_change(name, held, state.files.get(name)) for name, held in release.contents.items()]
    stale = sorted(owned(state) - set(release.contents))
    changes += [Change("delete", name, state.files[name].size) for name in stale]
    there = {file.sha256 for file in state.files.values()}
    wanted = {
        held.sha256: held.size
        for name, held in release.contents.items()
        if held.sha256 not in there and not held.is_in(state.files.get(name))
    }
    return Plan(tuple(sorted(changes, key=lambda change: change.name)), sum(wanted.values()))


def owned(state: State) -> set[str]:
    """Names of the files there that are ours, apart from the card and the manifest."""
    told = state.manifest or {}
    named = {*told.get("files", {}), *(told.get(ASSETS) or ())}
    return {name for name in state.files if name in named or _OURS.fullmatch(name)}


def same_data(told: Mapping[str, Any] | None, packed: Packed) -> bool:
    """Whether a manifest names just these data files with just this content."""
    if told is None:
        return False
    theirs = {name: file.get("sha256") for name, file in told.get("files", {}).items()}
    return theirs == {file.name: file.sha256 for file in packed.files}


def is_published(state: State, release: Release) -> bool:
    """Whether the head is this very version already: a run that stopped before its tag has made it so."""
    return (
        same_data(state.manifest, release.packed)
        and state.manifest is not None
        and state.manifest.get("version") == release.tag
        and not differing(state.files, ((file.name, release.contents[file.name]) for file in release.packed.files))
    )


def differing(files: Mapping[str, RemoteFile], wanted: Iterable[tuple[str, Content]]) -> list[str]:
    """Names of the contents that a tree does not hold."""
    return [name for name, held in wanted if not held.is_in(files.get(name))]


def _change(name: str, held: Content, remote: RemoteFile | None) -> Change:
    what = "add" if remote is None else "keep" if held.is_in(remote) else "replace"
    return Change(what, name, held.size)


def _content(data: bytes) -> Content:
    return Content(data, len(data), hashlib.sha256(data).hexdigest())
