"""What a request is to the endpoints, what they answer, who may do what, and which endpoint is meant.

Tokens are fixed words, so that a server that was killed and started again knows its clients.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from hub.store import Refusal, Repository, Store

WRITE_TOKEN = "hf_loopbackMayWrite0123456789"
READ_TOKEN = "hf_loopbackMayRead0123456789"
STRANGER_TOKEN = "hf_loopbackStranger0123456789"


class User(NamedTuple):
    name: str
    role: str

    def owns(self, repository: str) -> bool:
        """The stranger owns what is under their name, the tester everything else."""
        return (self.name == "stranger") == repository.startswith("stranger/")


USERS = {
    WRITE_TOKEN: User("tester", "write"),
    READ_TOKEN: User("tester", "read"),
    STRANGER_TOKEN: User("stranger", "write"),
}


@dataclass
class Answer:
    """Status, headers and a body: bytes, or the bytes `start` to `stop` of a file. `size` is told, `body` sent."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    file: Path | None = None
    start: int = 0
    stop: int = 0

    @property
    def size(self) -> int:
        return self.stop - self.start if self.file else len(self.body)

    def chunks(self, size: int = 1 << 16) -> Iterator[bytes]:
        if self.file is None:
            for start in range(0, len(self.body), size):
                yield self.body[start : start + size]
            return
        with self.file.open("rb") as file:
            file.seek(self.start)
            remaining = self.stop - self.start
            while remaining > 0:
                chunk = file.read(min(size, remaining))
                if not chunk:
                    return
                remaining -= len(chunk)
                yield chunk


def told(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer in JSON."""
    all_headers = {"Content-Type": "application/json", **(headers or {})}
    return Answer(status, json.dumps(value).encode(), all_headers)


def refused(refusal: Refusal) -> Answer:
    line = " ".join(refusal.words.split())
    ascii_line = line.encode("ascii", "replace").decode()  # all that a header can hold
    headers = {"X-Error-Message": ascii_line}
    if refusal.code:
        headers["X-Error-Code"] = refusal.code
    return told({"error": refusal.words}, refusal.status, headers | refusal.headers)


@dataclass
class Call:
    """A request: `target` is path and query as sent, `sent` gives the body in chunks, `url` is the server's."""

    method: str
    target: str
    headers: Message
    sent: Iterable[bytes]
    url: str
    store: Store

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)

    def body(self) -> bytes:
        return b"".join(self.sent)

    def json(self) -> Any:
        try:
            return json.loads(self.body() or b"{}")
        except ValueError as wrong:
            raise Refusal(400, f"the body is no JSON: {wrong}") from wrong

    @property
    def user(self) -> User | None:
        """Who asks; None without a token."""
        authorization = self.headers.get("Authorization", "")
        if not authorization:
            return None
        token = authorization.removeprefix("Bearer ")
        if token not in USERS:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return USERS[token]

    def writer(self, name: str) -> User:
        """Who asks, if they may write to a repository of this name."""
        user = self.user
        if user is None:
            raise Refusal(401, "Invalid username or password.")
        if user.role != "write" or not user.owns(name):
            raise Refusal(403, "You don't have the rights to write to this repository with this token")
        return user

    def repository(self, name: str, write: bool = False) -> Repository:
        """A repository that may be read (and written to); to others it does not exist."""
        user = self.user
        repository = self.store.find(name)
        is_owner = user is not None and user.owns(name)
        if repository is None or (repository.settings()["private"] and not is_owner):
            if user is None:
                raise Refusal(401, "Invalid username or password.", "RepoNotFound")
            raise Refusal(404, "Repository not found", "RepoNotFound")
        if write:
            self.writer(name)
        return repository

    def page(self, items: list[Any], size: int) -> Answer:
        """One page of a list, and in the Link header where the next one is."""
        start = int(self.query.get("cursor", ["0"])[0])
        end = start + size
        headers = {}
        if end < len(items):
            query = self.query | {"cursor": [str(end)]}
            path = urlsplit(self.target).path
            address = f"{self.url}{path}?{urlencode(query, doseq=True)}"
            headers["Link"] = f'<{address}>; rel="next"'
        return told(items[start:end], headers=headers)


Endpoint = Callable[..., Answer]
ROUTES: list[tuple[str, re.Pattern[str], Endpoint]] = []

#: What stands for a part of a path in `route`. Parts are unquoted after they were told apart.
PARTS = {
    "REPO": r"(?P<name>[^/]+/[^/]+)",
    "REV": r"(?P<revision>refs/(?:pr|heads|tags|convert)/[^/]+|[^/]+)",
    "PATH": r"(?P<path>.+)",
    "REF": r"(?P<ref>.+)",
    "NUMBER": r"(?P<number>\d+)",
    "OID": r"(?P<oid>[0-9a-f]{64})",
}


def route(method: str, path: str) -> Callable[[Endpoint], Endpoint]:
    """Note the endpoint of a method and a path."""
    pattern = re.compile(re.sub(r"\b(REPO|REV|PATH|REF|NUMBER|OID)\b", lambda part: PARTS[part[0]], path))

    def note(endpoint: Endpoint) -> Endpoint:
        ROUTES.append((method, pattern, endpoint))
        return endpoint

    return note


def as_dataset(path: str) -> str:
    """The path of a dataset for that of a model: both are kept alike."""
    path = re.sub(r"^/api/models/", "/api/datasets/", path)
    return re.sub(r"^(/[^/]+/[^/]+(/resolve/|\.git/))", r"/datasets\1", path)


def answer(call: Call) -> Answer:
    """What the first endpoint that fits answers."""
    path = as_dataset(urlsplit(call.target).path)
    try:
        for method, pattern, endpoint in ROUTES:
            match = pattern.fullmatch(path)
            if match and method == call.method:
                parts = {key: unquote(value) for key, value in match.groupdict().items() if value is not None}
                return endpoint(call, **parts)
        raise Refusal(404, f"{call.method} {path} is not served here")
    except Refusal as refusal:
        return refused(refusal)
