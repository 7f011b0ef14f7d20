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
        inside = sorted(f"{name}\0{below.blob}" for name, below in files.items() if name.startswith(f"{path}/"))
        digest = hashlib.sha1("\n".join(inside).encode())
        entry: dict[str, Any] = {"type": "directory", "oid": digest.hexdigest(), "size": 0, "path": path}
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
    last_change = oid
    for earlier, commit in repository.history(oid):
        if below(commit.files) != wanted:
            break
        last_change = earlier
    commit = repository.commit(last_change)
    return {"id": last_change, "title": commit.title, "date": commit.date}


def _is_on(call: Call, switch: str) -> bool:
    value = call.query.get(switch, [""])[0]
    return value.lower() in ("true", "1")


@route("GET", "/api/datasets/REPO/tree/REV(?:/PATH)?")
def tree(call: Call, name: str, revision: str, path: str = "") -> Answer:
    repository = call.repository(name)
    oid = repository.find(revision)
    files = repository.commit(oid).files
    stripped = path.strip("/")
    folder = f"{stripped}/" if stripped else ""
    paths: dict[str, File | None] = {}
    for name_in_repo, file in sorted(files.items()):
        if name_in_repo.startswith(folder):
            steps = name_in_repo.removeprefix(folder).split("/")
            for n in range(1, len(steps)):
                paths[folder + "/".join(steps[:n])] = None
            paths[name_in_repo] = file
    if folder and not paths:
        raise Refusal(404, f"{path} does not exist on {revision!r}", "EntryNotFound")
    recursive = _is_on(call, "recursive")
    expand = _is_on(call, "expand")
    entries = []
    for listed, file in paths.items():
        if recursive or "/" not in listed.removeprefix(folder):
            entries.append(_entry(repository, oid, listed, file, expand))
    return call.page(entries, PATHS_PER_PAGE)


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
    entries = []
    for path in paths:
        is_folder = any(name_in_repo.startswith(f"{path}/") for name_in_repo in files)
        if path in files or is_folder:
            entries.append(_entry(repository, oid, path, files.get(path), expand))
    return told(entries)


@route("POST", "/api/datasets/REPO/preupload/REV")
def preupload(call: Call, name: str, revision: str) -> Answer:
    """Which files go through LFS, and what is there under their names."""
    asked = call.json()
    repository = call.repository(name, write=True)
    files = repository.commit(repository.find(revision)).files
    plans = [_plan(file, files.get(file["path"])) for file in asked["files"]]
    return told({"files": plans})


def _plan(asked: dict[str, Any], here: File | None) -> dict[str, Any]:
    try:
        b64decode(asked["sample"]).decode()
        is_text = True
    except UnicodeDecodeError as wrong:  # the sample may end within a letter
        is_text = wrong.end == wrong.start + 1 and wrong.reason == "unexpected end of data"
    path = asked["path"]
    size = asked["size"]
    is_large = path.endswith(LARGE_SUFFIXES) or size > MOST_REGULAR_BYTES or not is_text
    mode = "lfs" if is_large and size else "regular"
    plan = {"path": path, "uploadMode": mode, "shouldIgnore": False}
    if here:
        plan["oid"] = here.etag
    return plan


def _signature(name: str, oid: str, size: int) -> str:
    message = f"{name}\0{oid}\0{size}".encode()
    return hmac.new(_SIGNS, message, "sha256").hexdigest()


@route("POST", r"/datasets/REPO\.git/info/lfs/objects/batch")
def batch(call: Call, name: str) -> Answer:
    """Where to upload what; contents that are here need no upload and get no address."""
    asked = call.json()
    repository = call.repository(name, write=True)
    if asked.get("operation") != "upload":
        raise Refusal(400, "only uploads go through LFS here; files are read under resolve/")
    objects = []
    for content in asked["objects"]:
        oid = content["oid"]
        size = content["size"]
        planned: dict[str, Any] = {"oid": oid, "size": size}
        if repository.size(oid) != size:
            signature = _signature(name, oid, size)
            address = f"{call.url}/lfs/{name}/{oid}?size={size}&signature={signature}"
            verify = f"{call.url}/datasets/{name}.git/info/lfs/verify"
            planned["actions"] = {"upload": {"href": address, "header": {}}, "verify": {"href": verify}}
        objects.append(planned)
    return told({"transfer": "basic", "objects": objects})


@route("PUT", "/lfs/REPO/OID")
def upload(call: Call, name: str, oid: str) -> Answer:
    """The content at its signed address: no token is asked for, as at the store behind the Hub."""
    size = int(call.query.get("size", ["-1"])[0])
    signature = call.query.get("signature", [""])[0]
    repository = call.store.find(name)
    if repository is None or not hmac.compare_digest(signature, _signature(name, oid, size)):
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
    range_header = call.headers.get("Range", "").strip()
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", range_header)
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
