"""What changes a repository: a commit as clients send it, and the merge of a pull request.

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
    target, wanted = repository.branch(revision), header.get("parentCommit")
    parent = repository.find(target)
    if as_pull:
        parent = repository.find(wanted or target)
    elif wanted and not parent.startswith(wanted):
        raise Refusal(412, "A commit has happened since. Please refresh and try again.")
    files = apply(repository, repository.commit(parent).files, operations)
    title, message = header["summary"], header.get("description", "")
    oid = repository.write_commit(Commit(parent, title, message, author, now(), files))
    if as_pull:
        return oid, open_pull(repository, title, author, parent, target, oid)
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
            within = key == "deletedFolder"
            gone = [name for name in files if (name.startswith(f"{path}/") if within else name == path)]
            if not gone:
                raise Refusal(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
            for name in gone:
                del files[name]
        else:
            raise Refusal(400, f"unknown operation {key!r}")
    folders = {name[:at] for name in files for at, letter in enumerate(name) if letter == "/"}
    if clash := sorted(folders & set(files)):
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


def open_pull(repository: Repository, title: str, author: str, base: str, target: str, head: str) -> int:
    """A new pull request of the commits from `base` to `head`: its number."""
    number = max(repository.pulls(), default=0) + 1
    pull = {"title": title, "author": author, "status": "open", "base": base, "target": target, "created": now()}
    repository.move(f"refs/pr/{number}", head)
    repository.set_pull(number, pull | {"merged": None})
    return number


def merge_pull(repository: Repository, number: int, author: str) -> str:
    """Bring what a pull request changed onto its target in one commit, unless both changed a path: its id."""
    pull = repository.pulls()[number]
    if pull["status"] != "open":
        raise Refusal(409, f"pull request {number} is {pull['status']}")
    head = repository.find(pull["target"])
    ours, theirs = repository.commit(head).files, repository.commit(repository.find(f"refs/pr/{number}")).files
    base = repository.commit(pull["base"]).files
    changed = [path for path in sorted(base.keys() | theirs.keys()) if base.get(path) != theirs.get(path)]
    clash = [path for path in changed if ours.get(path) not in (base.get(path), theirs.get(path))]
    if clash:
        raise Refusal(409, f"pull request {number} conflicts with {pull['target']} in {', '.join(clash)}")
    files = {path: file for path, file in ours.items() if path not in changed}
    files |= {path: theirs[path] for path in changed if path in theirs}
    oid = repository.write_commit(Commit(head, f"{pull['title']} (#{number})", "", author, now(), files))
    repository.move(pull["target"], oid)
    repository.set_pull(number, pull | {"status": "merged", "merged": oid})
    return oid
