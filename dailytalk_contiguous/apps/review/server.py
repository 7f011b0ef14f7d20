"""The server of `dailytalk review`: it answers requests of its own page only.

`Guard` refuses all others. Nothing except the opened folder is served, by ids that are looked up and never made
into paths.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any
from urllib.parse import quote, unquote

from starlette.applications import Starlette
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from dailytalk_contiguous.apps.local_pages import json_response, page_file, page_json, refused
from dailytalk_contiguous.apps.review import sound
from dailytalk_contiguous.apps.review.editable import ChangedElsewhere
from dailytalk_contiguous.apps.review.session import END, Conflict, Session
from dailytalk_contiguous.core.documents import LATEST, expect, is_number, parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError

log = logging.getLogger("dailytalk_contiguous")

#: Most bytes of a request's body, and most characters of an author's name and of a query.
MOST_BODY, LONGEST_NAME, MOST_QUERY = 8 << 20, 80, 500

#: The cookie with the name that a person entered in the page.
AUTHOR_COOKIE = "author"

#: Seconds between signs of life to a page that listens.
HEARTBEAT = 15.0

#: The files of the page, beside those of `SHARED`.
ASSETS = files(__package__) / "assets"

_Endpoint = Callable[[Request], Awaitable[Response]]

#: The values that a request's body has, with the function of the author and the body that answers it.
_Post = tuple[dict[str, Any], Callable[[str, dict[str, Any]], Any]]


def make_app(session: Session) -> Starlette:
    """The application for one session; a `Guard` goes before it."""
    pages = Pages(session)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        pages.loop = asyncio.get_running_loop()
        session.start()
        yield

    def posted(shape: dict[str, Any], answer: Callable[[str, dict[str, Any]], Any]) -> _Endpoint:
        return in_json(lambda request, body: answer(pages.author(request), body), shape)

    routes = [
        *(Route(path, _asset) for path in ("/", "/assets/{name}")),
        Route("/api/events", pages.events),
        *(Route(f"/api/{name}", in_json(answer)) for name, answer in pages.gets().items()),
        *(Route(f"/api/{name}", posted(*post), methods=["POST"]) for name, post in pages.posts().items()),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


async def _asset(request: Request) -> Response:
    return page_file(ASSETS, request.path_params.get("name", "index.html"))


class Pages:
    """The answers of all addresses."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.loop: asyncio.AbstractEventLoop | None = None
        self._queues: set[asyncio.Queue[tuple[str, dict[str, Any]] | None]] = set()
        self._overviews = sound.Overviews()
        self._proposed: tuple[int, bytes] = (0, b"")
        session.listen(self._hear)

    def gets(self) -> dict[str, Callable[[Request], Any]]:
        session = self.session
        return {
            "session": lambda request: session.about(self.author(request)),
            "items": lambda request: session.items(_integer(request, "since", -1)),
            "search": lambda request: session.search(request.query_params.get("q", "")[:MOST_QUERY]),
            "item": lambda request: session.item(*_item(request)),
            "peaks": self.peaks,
            "sound": self.sound,
            "proposal": self.proposal,
            "progress": lambda request: session.progress(),
            "sides": lambda request: session.sides(),
        }

    def posts(self) -> dict[str, _Post]:
        session = self.session
        return {
            "edit": (
                {"id": str, "base?": int, "action": dict},
                lambda author, body: session.edit(body["id"], body.get("base") or 0, body["action"], author),
            ),
            "undo": ({"id?": str}, lambda author, body: session.undo(author, body.get("id"))),
            "redo": ({"id?": str}, lambda author, body: session.undo(author, body.get("id"), again=True)),
            "here": ({"id?": str}, self.here),
            "author": ({"author": str}, self.name),
            "discard": ({"ids?": [str], "first?": int, "last?": int}, self.discard),
            "restore": ({"ids": [str]}, lambda author, body: {"ids": session.discard(body["ids"], author, False)}),
            "sides": (
                {"by": str, "share": float, "seed?": int},
                lambda _, body: session.propose_sides(body["by"], float(body["share"]), body.get("seed") or 0),
            ),
            "divide": (
                {"sides": {str: object}, "since": int},
                lambda author, body: {"before": session.divide(body["sides"], body["since"], author)},
            ),
            "ask": ({"id": str, "line": str, "what": str, "tag?": str}, self.ask),
            "decide": (
                {"id": str, "mine": bool},
                lambda author, body: {"kept": session.decide(body["id"], body["mine"], author)},
            ),
        }

    def author(self, request: Request) -> str:
        """The author of a request: the name entered in the page, otherwise that of the command."""
        return _author(unquote(request.cookies.get(AUTHOR_COOKIE, ""))) or self.session.author

    def peaks(self, request: Request) -> Response:
        """Peaks of a stretch of an item: int8, shape (channels, count, 2)."""
        name, of = _item(request)
        start, end = _number(request, "start"), _number(request, "end")
        count = _integer(request, "count", 0)
        if not 0 <= start < end <= LATEST or not 1 <= count <= sound.MOST_PEAKS:
            raise BadInput(f"{start:g} to {end:g} s in {count} parts is no stretch", "reload the page")
        stretch = self.session.stretch(name, of)
        end = min(end, start + 86400.0 * 31)
        if min(end, stretch.seconds) - start <= sound.EXACT_SECONDS:
            peaks = sound.window_peaks(stretch, start, end, count)
        else:
            peaks = sound.coarser(self._overviews.of((name, of), stretch), start, end, count)
        headers = {"X-Channels": str(peaks.shape[0])}
        return Response(peaks.tobytes(), media_type="application/octet-stream", headers=headers)

    def sound(self, request: Request) -> Response:
        """The sound of an item as a 16-bit WAV, whole or the requested range of bytes."""
        wav = sound.wav_of(self.session.stretch(*_item(request)))
        first, last, status = 0, wav.size, 200
        headers = {"Accept-Ranges": "bytes"}
        if range_header := request.headers.get("range"):
            span = byte_range(range_header, wav.size)
            if span is None:
                return Response(status_code=416, headers={"Content-Range": f"bytes */{wav.size}"})
            (first, last), status = span, 206
            headers["Content-Range"] = f"bytes {first}-{last - 1}/{wav.size}"
        headers["Content-Length"] = str(last - first)
        data = iterate_in_threadpool(_quiet(wav.read(first, last)))
        return StreamingResponse(data, status, media_type="audio/wav", headers=headers)

    def discard(self, author: str, body: dict[str, Any]) -> Any:
        """Discard items by their ids, or a range by the numbers in their names."""
        names: Any = body.get("ids")
        if names is None:
            span = expect(body, {"first": int, "last": int}, "the request", "give two whole numbers")
            names = self.session.numbered(span["first"], span["last"])
        return {"ids": self.session.discard(names, author)}

    def ask(self, author: str, body: dict[str, Any]) -> Any:
        proposal = self.session.ask(body["id"], body["line"], body["what"], body.get("tag"))
        if proposal.wav is None:
            return {"proposal": proposal.fields}
        self._proposed = (self._proposed[0] + 1, proposal.wav)
        address = f"api/proposal?number={self._proposed[0]}"
        return {"proposal": proposal.fields, "sound": address, "about": proposal.about}

    def proposal(self, request: Request) -> Response:
        number, wav = self._proposed
        if _integer(request, "number", 0) != number or not wav:
            raise NotThere("that proposal is gone", "ask again")
        return Response(wav, media_type="audio/wav")

    def here(self, author: str, body: dict[str, Any]) -> Any:
        name = body.get("id")
        self.session.is_here(author, name)
        return {"here": self.session.here(name) if name else []}

    def name(self, author: str, body: dict[str, Any]) -> Response:
        """Give the author another name, in a cookie."""
        author = _author(body["author"])
        if not author:
            raise BadInput("that is no name", f"give one of at most {LONGEST_NAME} letters")
        answer = json_response({"author": author})
        answer.set_cookie(
            AUTHOR_COOKIE, quote(author), max_age=365 * 86400, httponly=True, samesite="strict", path="/"
        )
        return answer

    async def events(self, request: Request) -> Response:
        """A stream of the edits and moves of others, as they happen."""
        since = _integer(request, "since", self.session.history.number)
        if last := request.headers.get("last-event-id", ""):
            since = int(last) if last.isdecimal() and len(last) < 18 else since
        queue: asyncio.Queue[tuple[str, dict[str, Any]] | None] = asyncio.Queue()
        self._queues.add(queue)

        async def stream() -> AsyncIterator[bytes]:
            try:
                for event in self.session.edits_since(since):
                    yield _event(*event)
                yield b": here\n\n"
                while True:
                    try:
                        news = await asyncio.wait_for(queue.get(), HEARTBEAT)
                    except TimeoutError:
                        yield b": alive\n\n"
                        continue
                    if news is None:
                        return
                    yield _event(*news)
            finally:
                self._queues.discard(queue)

        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(stream(), media_type="text/event-stream", headers=headers)

    def _hear(self, kind: str, data: dict[str, Any]) -> None:
        if self.loop is not None and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._spread, None if kind == END else (kind, data))

    def _spread(self, event: tuple[str, dict[str, Any]] | None) -> None:
        for queue in self._queues:
            queue.put_nowait(event)


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """The first byte, and the byte after the last, of a Range header's first range; None if that is not valid.

    >>> byte_range("bytes=100-", 1000), byte_range("bytes=-10", 1000), byte_range("bytes=2000-", 1000)
    ((100, 1000), (990, 1000), None)
    """
    unit, _, ranges = header.partition("=")
    first, dash, last = ranges.partition(",")[0].strip().partition("-")
    digits = [part for part in (first, last) if part]
    if unit.strip() != "bytes" or not dash or not digits or not all(d.isdecimal() and len(d) < 18 for d in digits):
        return None
    if not first:
        return (max(0, size - int(last)), size) if int(last) else None
    end = min(int(last) + 1, size) if last else size
    return (int(first), end) if int(first) < end else None


def in_json(answer: Callable[..., Any], shape: dict[str, Any] | None = None) -> _Endpoint:
    """An endpoint whose value is answered as JSON, and whose errors are answered with one sentence.

    `answer` gets the request and, where a shape is given, its body; it runs in a thread.
    """

    async def endpoint(request: Request) -> Response:
        try:
            given = () if shape is None else (await request_body(request, shape),)
            value = await run_in_threadpool(answer, request, *given)
            return value if isinstance(value, Response) else json_response(value)
        except ChangedElsewhere as problem:
            body = {
                "reason": problem.reason,
                "remedy": problem.remedy,
                "id": problem.item,
                "changed": problem.file,
            }
            return json_response(body, 409)
        except Conflict as conflict:
            newer = {"reason": conflict.reason, "remedy": conflict.remedy, "item": conflict.item}
            return json_response(newer | {"author": conflict.author, "time": conflict.time}, 409)
        except NotThere as problem:
            return refused(404, problem.reason, problem.remedy)
        except DailytalkError as problem:
            return refused(422, problem.reason, problem.remedy)
        except OSError as problem:
            if problem.errno is None:
                raise
            remedy = "make room, and check the disk and the folder, then do it again: nothing else is lost"
            return refused(503, f"the disk refused it ({problem.strerror})", remedy)

    return endpoint


def _item(request: Request) -> tuple[str, str | None]:
    """The item of a request, and whether its rebuilt conversation is meant."""
    return request.query_params.get("id", ""), request.query_params.get("of")


class NotThere(BadInput):
    """The requested object does not exist."""


async def request_body(request: Request, shape: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON of a request. Raises BadInput if it is too long, or has another shape (see `expect`)."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > MOST_BODY:
            raise BadInput(f"the request has more than {MOST_BODY >> 20} MiB", "send less at once")
    body = parse_json(bytes(data), "the request", "reload the page", limit=MOST_BODY)
    checked: dict[str, Any] = expect(body, shape, "the request", "reload the page")
    return checked


def _author(name: str) -> str:
    """The name of a person, or "" for an invalid one."""
    clean = " ".join(name.split())
    return clean if clean.isprintable() and len(clean) <= LONGEST_NAME else ""


def _integer(request: Request, name: str, default: int) -> int:
    value = request.query_params.get(name, "")
    return int(value) if value.isdecimal() and len(value) < 18 else default


def _number(request: Request, name: str) -> float:
    try:
        value = float(request.query_params.get(name, ""))
    except ValueError:
        value = float("nan")
    if not is_number(value):
        raise BadInput(f"{name} is no number", "reload the page")
    return value


def _event(kind: str, data: Mapping[str, Any]) -> bytes:
    number = f"id: {data['number']}\n" if kind in ("edit", "edits") else ""
    return b"%sevent: %s\ndata: %s\n\n" % (number.encode(), kind.encode(), page_json(data))


def _quiet(data: Iterator[bytes]) -> Iterator[bytes]:
    """Bytes of a sound; a recording that breaks off ends the answer, with its reason in the log."""
    try:
        yield from data
    except (BadInput, OSError) as problem:
        log.warning("a recording could not be played to its end: %s", problem)
        raise
