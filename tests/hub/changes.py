"""What changes a repository: a commit as clients send it, on a branch or as a pull request.

Operations are applied in the order in which they came, to a copy of the parent's paths; the ref moves last.
"""

import base64
import json
from collections.abc import Iterable
from typing import Any

from hub.store import Commit, File, Refusal, Repository, lfs_file, now

#: Bytes above which the Hub takes a file through LFS only.
MOST_REGULAR_BYTES = 10_000_000


def read_operations(body: bytes) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]:
    """The header of a commit and its operations."""
    try:
        lines = [json.loads(line) for line in body.splitlines() if line.strip()]
        operations = [(line["key"], line["value"]) for line in lines]
    except (ValueError, KeyError, TypeError) as wrong:
        raise Refusal(400, f"a commit is lines of JSON with a key and a value: {wrong}") from wrong
    if not operations or operations[0][0] != "header":
        raise Refusal(400, "the first line of a commit is its header")
    return operations[0][1], operations[1:]


def make_commit(
    repository: Repository, revision: str, body: bytes, author: str, as_pull: bool
) -> tuple[str, int | None]:
    """Make a commit on a branch, or a pull request that holds it: its id and the request's number."""
    header, operations = read_operations(body)
    target = repository.branch(revision)
    wanted = header.get("parentCommit")
    parent = repository.find(target)
    if as_pull:
        parent = repository.find(wanted or target)
    elif wanted and not parent.startswith(wanted):
        raise Refusal(412, "A commit has happened since. Please refresh and try again.")
    files = apply(repository, repository.commit(parent).files, operations)
    title = header["summary"]
    message = header.get("description", "")
    oid = repository.write_commit(Commit(parent, title, message, author, now(), files))
    if as_pull:
        return oid, open_pull(repository, oid)
    repository.move(target, oid)
    return oid, None


def apply(
    repository: Repository, files: dict[str, File], operations: Iterable[tuple[str, dict[str, Any]]]
) -> dict[str, File]:
    """The paths after the operations."""
    files = dict(files)
    for key, value in operations:
        path = value["path"].rstrip("/")
        if not path or path.startswith("/") or {"", ".", "..", ".git"} & set(path.split("/")):
            raise Refusal(400, f"{value['path']!r} is no path of a repository")
        if key == "file":
            files[path] = _regular(repository, value)
        elif key == "lfsFile":
            files[path] = _large(repository, value)
        elif key in ("deletedFile", "deletedFolder"):
            deleted = [path] if path in files else []
            if key == "deletedFolder":
                deleted = [name for name in files if name.startswith(f"{path}/")]
            if not deleted:
                raise Refusal(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
            for name in deleted:
                del files[name]
        else:
            raise Refusal(400, f"unknown operation {key!r}")
    folders = {name[:end] for name in files for end, letter in enumerate(name) if letter == "/"}
    clash = sorted(folders & set(files))
    if clash:
        raise Refusal(400, f"{clash[0]} would be a file and a folder")
    return files


def _regular(repository: Repository, value: dict[str, Any]) -> File:
    content = value["content"]
    content = base64.b64decode(content) if value.get("encoding") == "base64" else content.encode()
    if len(content) > MOST_REGULAR_BYTES:
        raise Refusal(400, f"{value['path']} ({len(content)} bytes) has to go through LFS")
    return repository.keep_regular(content)


def _large(repository: Repository, value: dict[str, Any]) -> File:
    here = repository.size(value["oid"])
    if here is None or value.get("size", here) != here:
        raise Refusal(400, f"the LFS content {value['oid']} of {value['path']} was not uploaded")
    return lfs_file(value["oid"], here)


def open_pull(repository: Repository, head: str) -> int:
    """A new pull request of the commits up to `head`: its number."""
    number = 1 + sum(name.startswith("refs/pr/") for name in repository.refs())
    repository.move(f"refs/pr/{number}", head)
    return number
