"""Endpoints on whole repositories: users, making and deleting, what a repository is, its refs and commits."""

import hashlib
from typing import Any

import yaml
from hub.calls import Answer, Call, route, told
from hub.changes import make_commit
from hub.store import MAIN, Refusal, Repository

COMMITS_PER_PAGE = 50


@route("GET", "/api/whoami-v2")
def whoami(call: Call) -> Answer:
    user = call.user
    if user is None:
        raise Refusal(401, "Invalid username or password.")
    token = {"displayName": user.role, "role": user.role}
    identity = hashlib.sha1(user.name.encode()).hexdigest()[:24]
    return told(
        {
            "type": "user",
            "id": identity,
            "name": user.name,
            "fullname": user.name,
            "orgs": [],
            "auth": {"type": "access_token", "accessToken": token},
        }
    )


@route("POST", "/api/repos/create")
def create(call: Call) -> Answer:
    asked = call.json()
    user = call.user
    user_name = user.name if user else ""
    owner = asked.get("organization") or user_name
    name = f"{owner}/{asked['name']}"
    call.writer(name)
    if asked.get("type", "model") not in ("dataset", "model"):
        raise Refusal(400, f"only datasets and models are kept here, not {asked.get('type')!r}")
    address = {"url": f"{call.url}/datasets/{name}", "name": name}
    with call.store.lock:
        if call.store.find(name):
            return told({"error": "You already created this dataset repo", **address}, 409)
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        call.store.create(name, user_name, private)
    return told(address)


@route("GET", "/api/datasets/REPO/auth-check")
def may_read(call: Call, name: str) -> Answer:
    call.repository(name)
    return told({})


@route("GET", "/api/datasets/REPO/auth-check/write")
def may_write(call: Call, name: str) -> Answer:
    call.repository(name, write=True)
    return told({})


@route("PUT", "/api/datasets/REPO/settings")
def settings(call: Call, name: str) -> Answer:
    asked = call.json()
    repository = call.repository(name, write=True)
    with call.store.lock:
        if "visibility" in asked or "private" in asked:
            repository.set(private=asked.get("visibility") == "private" or bool(asked.get("private")))
    return told({"private": repository.settings()["private"]})


@route("GET", "/api/datasets/REPO")
@route("GET", "/api/datasets/REPO/revision/REV")
def info(call: Call, name: str, revision: str = MAIN) -> Answer:
    repository = call.repository(name)
    oid = repository.find(revision)
    commit = repository.commit(oid)
    kept = repository.settings()
    card = card_data(repository, oid)
    siblings: list[dict[str, Any]] = []
    for path, file in sorted(commit.files.items()):
        sibling: dict[str, Any] = {"rfilename": path}
        if "blobs" in call.query:
            sibling |= {"size": file.size, "blobId": file.blob}
            if file.lfs:
                sibling["lfs"] = {"size": file.size, "sha256": file.sha256, "pointerSize": 134}
        siblings.append(sibling)
    return told(
        {
            "_id": kept["id"],
            "id": name,
            "author": name.split("/")[0],
            "sha": oid,
            "createdAt": kept["created"],
            "lastModified": commit.date,
            "private": kept["private"],
            "gated": kept["gated"],
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": card_tags(card),
            "cardData": card,
            "siblings": siblings,
            "usedStorage": sum(file.size for file in commit.files.values()),
        }
    )


def card_data(repository: Repository, oid: str) -> dict[str, Any]:
    """The YAML at the head of the card; empty without one that can be read."""
    file = repository.commit(oid).files.get("README.md")
    if file is None:
        return {}
    try:
        return read_card(repository.object(file.sha256).read_text(encoding="utf-8"))
    except (Refusal, UnicodeDecodeError):
        return {}


def read_card(text: str) -> dict[str, Any]:
    """The YAML between the first two lines of three dashes."""
    head = text.replace("\r\n", "\n").removeprefix("\ufeff")
    if not head.startswith("---\n"):
        return {}
    front = head[4:].split("\n---", 1)[0]
    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(front)):
            return {}  # as JSON it could have gigabytes
        data = yaml.safe_load(front)
    except (yaml.YAMLError, RecursionError) as wrong:
        raise Refusal(400, f"the card's YAML cannot be read: {wrong}") from wrong
    if not isinstance(data, dict | None):
        raise Refusal(400, "the card's YAML is no mapping")
    return data or {}


def card_tags(card: dict[str, Any]) -> list[str]:
    tags = []
    for field in ("task_categories", "language", "license", "size_categories"):
        values = card.get(field) or []
        if not isinstance(values, list):
            values = [values]
        tags += [f"{field}:{value}" for value in values]
    return [*tags, *(card.get("tags") or [])]


@route("POST", "/api/validate-yaml")
def validate(call: Call) -> Answer:
    try:
        card = read_card(call.json()["content"])
    except Refusal as refusal:
        return told({"errors": [{"message": refusal.words}], "warnings": []}, refusal.status)
    missing = [] if card else [{"message": "empty or missing yaml metadata in repo card"}]
    return told({"errors": [], "warnings": missing})


@route("GET", "/api/datasets/REPO/refs")
def refs(call: Call, name: str) -> Answer:
    listed: dict[str, list[dict[str, str]]] = {"branches": [], "tags": [], "converts": [], "pullRequests": []}
    kinds = {"heads": "branches", "tags": "tags", "pr": "pullRequests"}
    repository = call.repository(name)
    for ref, oid in repository.refs().items():
        _, kind, short = ref.split("/", 2)
        listed[kinds[kind]].append({"name": short, "ref": ref, "targetCommit": oid})
    if "include_prs" not in call.query:
        del listed["pullRequests"]
    return told(listed)


@route("GET", "/api/datasets/REPO/commits/REV")
def commits(call: Call, name: str, revision: str) -> Answer:
    repository = call.repository(name)
    history = []
    for oid, commit in repository.history(repository.find(revision)):
        fields = {"id": oid, "title": commit.title, "message": commit.message, "date": commit.date}
        history.append(fields | {"authors": [{"user": commit.author}]})
    return call.page(history, COMMITS_PER_PAGE)


@route("POST", "/api/datasets/REPO/branch/REF")
def make_branch(call: Call, name: str, ref: str) -> Answer:
    return new_ref(call, name, f"refs/heads/{ref}", call.json().get("startingPoint") or MAIN)


@route("POST", "/api/datasets/REPO/tag/REV")
def make_tag(call: Call, name: str, revision: str) -> Answer:
    return new_ref(call, name, f"refs/tags/{call.json()['tag']}", revision)


def new_ref(call: Call, name: str, ref: str, revision: str) -> Answer:
    repository = call.repository(name, write=True)
    with call.store.lock:
        if repository.ref(ref):
            raise Refusal(409, f"Reference already exists: {ref}")
        repository.move(ref, repository.find(revision))
    return told({"name": ref.split("/", 2)[2], "ref": ref})


@route("POST", "/api/datasets/REPO/commit/REV")
def commit(call: Call, name: str, revision: str) -> Answer:
    body = call.body()
    user = call.writer(name)
    repository = call.repository(name, write=True)
    with call.store.lock:
        oid, number = make_commit(repository, revision, body, user.name, "create_pr" in call.query)
    address = f"{call.url}/datasets/{name}"
    made = {"success": True, "commitOid": oid, "commitUrl": f"{address}/commit/{oid}", "hookOutput": ""}
    if number:
        made["pullRequestUrl"] = f"{address}/discussions/{number}"
    return told(made)
