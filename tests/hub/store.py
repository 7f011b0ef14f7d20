"""Repositories in a folder, as the Hub keeps them: contents by hash, commits that never change, refs that move.

A commit is one immutable file that names all paths and their contents; it becomes visible only when a ref is moved
to it by a rename. So whatever the moment at which a server is killed, the next one on the same folder sees the old
state or the new one.
"""

import hashlib
import json
import re
import threading
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

MAIN = "refs/heads/main"
ATTRIBUTES = ".gitattributes"
FIRST_FILE = b"*.parquet filter=lfs diff=lfs merge=lfs -text\n*.png filter=lfs diff=lfs merge=lfs -text\n"

NAME = re.compile(r"(?!.*(?:\.\.|--))[\w-][\w.-]{0,95}/[\w-][\w.-]{0,95}(?<!\.git)(?<!\.)")


class Refusal(Exception):
    """An answer that says no: its status, its words and the Hub's name for the error, if it has one."""

    def __init__(self, status: int, words: str, code: str = "", **headers: str) -> None:
        super().__init__(words)
        self.status = status
        self.words = words
        self.code = code
        self.headers = headers


class File(NamedTuple):
    """What a commit says of a path: hash and bytes of its content, whether that is in LFS, git's name for it."""

    sha256: str
    size: int
    lfs: bool
    blob: str

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.blob


@dataclass(frozen=True)
class Commit:
    parent: str | None
    title: str
    message: str
    author: str
    date: str
    files: dict[str, File]


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def git_blob(content: bytes) -> str:
    """Git's name for a content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def pointer(sha256: str, size: int) -> bytes:
    """The small file that git holds in place of one in LFS."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def lfs_file(sha256: str, size: int) -> File:
    return File(sha256, size, True, git_blob(pointer(sha256, size)))


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{uuid.uuid4().hex}.unfinished")
    unfinished.write_bytes(content)
    unfinished.replace(path)


class Repository:
    """One dataset. Its folder holds repo.json, objects/, commits/ and refs/."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name

    def settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = json.loads((self.folder / "repo.json").read_bytes())
        return settings

    def set(self, **settings: Any) -> None:
        changed = self.settings() | settings
        write_whole(self.folder / "repo.json", json.dumps(changed).encode())

    # Contents

    def object(self, sha256: str) -> Path:
        return self.folder / "objects" / sha256

    def size(self, sha256: str) -> int | None:
        """Bytes of a content that is here, or None."""
        path = self.object(sha256)
        return path.stat().st_size if path.is_file() else None

    def keep(self, chunks: Iterable[bytes], sha256: str, size: int) -> None:
        """Take in a content that has to have this hash and size."""
        unfinished = self.object(f"{uuid.uuid4().hex}.unfinished")
        unfinished.parent.mkdir(exist_ok=True)
        digest = hashlib.sha256()
        try:
            with unfinished.open("wb") as file:
                for chunk in chunks:
                    digest.update(chunk)
                    file.write(chunk)
            if digest.hexdigest() != sha256 or unfinished.stat().st_size != size:
                raise Refusal(400, f"the content is not the {size} bytes with sha256 {sha256} that were announced")
            unfinished.replace(self.object(sha256))
        finally:
            unfinished.unlink(missing_ok=True)

    def keep_regular(self, content: bytes) -> File:
        sha256 = hashlib.sha256(content).hexdigest()
        if self.size(sha256) is None:
            self.keep([content], sha256, len(content))
        return File(sha256, len(content), False, git_blob(content))

    # Refs

    def refs(self) -> dict[str, str]:
        """Commit by full name (refs/heads/main, refs/tags/v1.0.0, refs/pr/1)."""
        files = sorted((self.folder / "refs").glob("refs%2F*"))
        return {unquote(file.name): file.read_text() for file in files}

    def ref(self, name: str) -> str | None:
        path = self._ref_file(name)
        return path.read_text() if path.is_file() else None

    def move(self, name: str, commit: str) -> None:
        write_whole(self._ref_file(name), commit.encode())

    def _ref_file(self, name: str) -> Path:
        return self.folder / "refs" / quote(name, safe="")

    def find(self, revision: str) -> str:
        """The commit that a branch, tag, full ref or (shortened) commit id names; tags come first, as in git."""
        for name in (revision, f"refs/tags/{revision}", f"refs/heads/{revision}"):
            commit = self.ref(name) if name.startswith("refs/") else None
            if commit:
                return commit
        if re.fullmatch(r"[0-9a-f]{7,40}", revision):
            commits = list((self.folder / "commits").glob(f"{revision}*.json"))
            if len(commits) == 1:
                return commits[0].stem
        raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def branch(self, revision: str) -> str:
        """The full name of a ref that can be committed to."""
        name = revision if revision.startswith("refs/pr/") else f"refs/heads/{revision}"
        if self.ref(name) is None:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return name

    # Commits

    def commit(self, oid: str) -> Commit:
        return _read_commit(self.folder / "commits" / f"{oid}.json")

    def write_commit(self, commit: Commit) -> str:
        """Its id. Nobody sees it before a ref names it."""
        written = json.dumps(asdict(commit), sort_keys=True).encode()
        oid = hashlib.sha1(written).hexdigest()
        write_whole(self.folder / "commits" / f"{oid}.json", written)
        return oid

    def history(self, oid: str) -> Iterable[tuple[str, Commit]]:
        """From a commit back to the first one."""
        current: str | None = oid
        while current:
            commit = self.commit(current)
            yield current, commit
            current = commit.parent


@lru_cache(maxsize=256)
def _read_commit(path: Path) -> Commit:
    written = json.loads(path.read_bytes())
    files = {name: File(*file) for name, file in written.pop("files").items()}
    return Commit(files=files, **written)


class Store:
    """All repositories of a server. Whoever changes one holds the lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.lock = threading.RLock()

    def find(self, name: str) -> Repository | None:
        if not NAME.fullmatch(name):
            return None
        repository = Repository(self.folder / name, name)
        return repository if (repository.folder / "repo.json").is_file() else None

    def create(self, name: str, author: str, private: bool) -> Repository:
        """A repository with the first commit that the Hub makes, put in its place by a rename."""
        if not NAME.fullmatch(name):
            raise Refusal(400, f"Invalid repository name {name!r}")
        unfinished = Repository(self.folder / f".{uuid.uuid4().hex}", name)
        settings = {"private": private, "gated": False, "created": now(), "id": uuid.uuid4().hex[:24]}
        write_whole(unfinished.folder / "repo.json", json.dumps(settings).encode())
        files = {ATTRIBUTES: unfinished.keep_regular(FIRST_FILE)}
        commit = Commit(None, "initial commit", "", author, now(), files)
        oid = unfinished.write_commit(commit)
        unfinished.move(MAIN, oid)
        folder = self.folder / name
        folder.parent.mkdir(exist_ok=True)
        unfinished.folder.replace(folder)
        return Repository(folder, name)
