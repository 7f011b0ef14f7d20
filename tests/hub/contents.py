"""Endpoints on what is in a repository: trees, uploads through LFS, and files, in whole or in part."""

import hashlib
import hmac
import re
from base64 import b64decode
from typing import Any
from urllib.parse import parse_qs

from hub.calls import Answer, Call, route, told
from hub.changes import MOST_REGULAR_BYTES
from hub.store import File, Refusal, Repository

PATHS_PER_PAGE = 1000
LARGE_SUFFIXES = (".parquet", ".png", ".wav", ".flac", ".arrow", ".zip", ".tar")
_SIGNS = b"upload addresses of the Hub on loopback"


def _entry(repository: Repository, oid: str, path: str, file: File | None, expand: bool) -> dict[str, Any]:
    """What a tree says of a file, or of a folder if there is none."""
    files = repository.commit(oid).files
    if file is None:
        inside = sorted(f"{name}\0{one.blob}" for name, one in files.items() if name.startswith(f"{path}/"))
        entry: dict[str, Any] = {"type": "directory", "oid": hashlib.sha1("\n".join(inside).encode()).hexdigest()}
        entry |= {"size": 0, "path": path}
    else:
        entry = {"type": "file", "oid": file.blob, "size": file.size, "path": path}
        if file.lfs:
            entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": 134}
    if expand:
        entry["lastCommit"] = _last_change(repository, oid, path)
    return entry


def _last_change(repository: Repository, oid: str, path: str) -> dict[str, str]:
    """The last commit that changed a path or something below it."""

    def below(files: dict[str, File]) -> dict[str, File]:
        return {name: file for name, file in files.items() if name == path or name.startswith(f"{path}/")}

    wanted = below(repository.commit(oid).files)
    found = oid
    for at, commit in repository.history(oid):
        if below(commit.files) != wanted:
            break
        found = at
    commit = repository.commit(found)
    return {"id": found, "title": commit.title, "date": commit.date}


def _is_on(call: Call, switch: str) -> bool:
    return call.query.get(switch, [""])[0].lower() in ("true", "1")


@route("GET", "/api/datasets/REPO/tree/REV(?:/PATH)?")
def tree(call: Call, name: str, revision: str, path: str = "") -> Answer:
    repository = call.repository(name)
    oid = repository.find(revision)
    files = repository.commit(oid).files
    folder = f"{path.strip('/')}/" if path.strip("/") else ""
    found: dict[str, File | None] = {}
    for name_in_repo, file in sorted(files.items()):
        if name_in_repo.startswith(folder):
            steps = name_in_repo[len(folder) :].split("/")
            found |= {folder + "/".join(steps[:n]): None for n in range(1, len(steps))}
            found[name_in_repo] = file
    if folder and not found:
        raise Refusal(404, f"{path} does not exist on {revision!r}", "EntryNotFound")
    if not _is_on(call, "recursive"):
        found = {one: file for one, file in found.items() if "/" not in one[len(folder) :]}
    expand = _is_on(call, "expand")
    return call.page([_entry(repository, oid, one, file, expand) for one, file in found.items()], PATHS_PER_PAGE)


@route("POST", "/api/datasets/REPO/paths-info/REV")
def paths_info(call: Call, name: str, revision: str) -> Answer:
    """What is known of the paths named; those that are not there are left out."""
    body = call.body()
    if "json" in call.headers.get("Content-Type", ""):
        raise Refusal(415, "paths are sent as a form")
    asked = parse_qs(body.decode())
    repository = call.repository(name)
    oid = repository.find(revision)
    files = repository.commit(oid).files
    expand = asked.get("expand", [""])[0].lower() in ("true", "1")
    paths = [path.strip("/") for path in asked.get("paths", [])]
    known = [path for path in paths if path in files or any(one.startswith(f"{path}/") for one in files)]
    return told([_entry(repository, oid, path, files.get(path), expand) for path in known])


@route("POST", "/api/datasets/REPO/preupload/REV")
def preupload(call: Call, name: str, revision: str) -> Answer:
    """Which files go through LFS, and what is there under their names."""
    asked = call.json()
    repository = call.repository(name, write=True)
    files = repository.commit(repository.find(revision)).files
    return told({"files": [_plan(file, files.get(file["path"])) for file in asked["files"]]})


def _plan(asked: dict[str, Any], here: File | None) -> dict[str, Any]:
    try:
        b64decode(asked["sample"]).decode()
        is_text = True
    except UnicodeDecodeError as wrong:  # the sample may end within a letter
        is_text = wrong.end == wrong.start + 1 and wrong.reason == "unexpected end of data"
    large = asked["path"].endswith(LARGE_SUFFIXES) or asked["size"] > MOST_REGULAR_BYTES or not is_text
    mode = "lfs" if large and asked["size"] else "regular"
    plan = {"path": asked["path"], "uploadMode": mode, "shouldIgnore": False}
    return plan | ({"oid": here.etag} if here else {})


def _signature(name: str, oid: str, size: int) -> str:
    return hmac.new(_SIGNS, f"{name}\0{oid}\0{size}".encode(), "sha256").hexdigest()


@route("POST", r"/datasets/REPO\.git/info/lfs/objects/batch")
def batch(call: Call, name: str) -> Answer:
    """Where to upload what; contents that are here need no upload and get no address."""
    asked = call.json()
    repository = call.repository(name, write=True)
    if asked.get("operation") != "upload":
        raise Refusal(400, "only uploads go through LFS here; files are read under resolve/")
    objects = []
    for one in asked["objects"]:
        oid = one["oid"]
        size = one["size"]
        planned: dict[str, Any] = {"oid": oid, "size": size}
        if repository.size(oid) != size:
            address = f"{call.url}/lfs/{name}/{oid}?size={size}&signature={_signature(name, oid, size)}"
            verify = f"{call.url}/datasets/{name}.git/info/lfs/verify"
            planned["actions"] = {"upload": {"href": address, "header": {}}, "verify": {"href": verify}}
        objects.append(planned)
    return told({"transfer": "basic", "objects": objects})


@route("PUT", "/lfs/REPO/OID")
def upload(call: Call, name: str, oid: str) -> Answer:
    """The content at its signed address: no token is asked for, as at the store behind the Hub."""
    size = int(call.query.get("size", ["-1"])[0])
    given = call.query.get("signature", [""])[0]
    repository = call.store.find(name)
    if repository is None or not hmac.compare_digest(given, _signature(name, oid, size)):
        raise Refusal(403, "this upload address is not signed by this server")
    repository.keep(call.sent, oid, size)
    return Answer(headers={"ETag": f'"{oid}"'})


@route("POST", r"/datasets/REPO\.git/info/lfs/verify")
def verify(call: Call, name: str) -> Answer:
    asked = call.json()
    repository = call.repository(name, write=True)
    if repository.size(asked["oid"]) != asked["size"]:
        raise Refusal(404, f"the content {asked['oid']} was not uploaded")
    return told({})


@route("GET", "/datasets/REPO/resolve/REV/PATH")
@route("HEAD", "/datasets/REPO/resolve/REV/PATH")
def resolve(call: Call, name: str, revision: str, path: str) -> Answer:
    repository = call.repository(name)
    oid = repository.find(revision)
    file = repository.commit(oid).files.get(path)
    if file is None:
        raise Refusal(404, "Entry not found", "EntryNotFound", **{"X-Repo-Commit": oid})
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream" if file.lfs else "text/plain; charset=utf-8",
        "ETag": f'"{file.etag}"',
        "X-Repo-Commit": oid,
        "X-Linked-Size": str(file.size),
        "X-Linked-Etag": f'"{file.etag}"',
    }
    start = 0
    stop = file.size
    status = 200
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", call.headers.get("Range", "").strip())
    if asked:
        start, stop = _span(asked[1], asked[2], file.size)
        status = 206
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
    return Answer(status, headers=headers, file=repository.object(file.sha256), start=start, stop=stop)


def _span(first: str, last: str, size: int) -> tuple[int, int]:
    """First byte and the one after the last of a range as RFC 9110 (14.1.2) writes it."""
    if first:
        start = int(first)
        stop = min(int(last) + 1, size) if last else size
    else:
        start = max(0, size - int(last or 0))
        stop = size
    if start >= stop:
        raise Refusal(416, "Range Not Satisfiable", **{"Content-Range": f"bytes */{size}"})
    return start, stop
