"""The server of `dailytalk review`: it answers requests of its own page only.

`Guard` refuses all others. Nothing except the opened folder is served, by ids that are looked up and never made
into paths.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
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
from dailytalk_contiguous.apps.review.edits import Json
from dailytalk_contiguous.apps.review.history import why_not_writable
from dailytalk_contiguous.apps.review.layouts import ChangedElsewhere, Editable
from dailytalk_contiguous.apps.review.session import END, Conflict, Session
from dailytalk_contiguous.core.documents import expect, is_number, parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.store.files import folder_locked

log = logging.getLogger("dailytalk_contiguous")

#: Most bytes of a request's body, and most characters of an author's name and of a query.
MOST_BODY, LONGEST_NAME, MOST_QUERY = 8 << 20, 80, 500

#: The cookie with the name that a person entered in the page.
AUTHOR_COOKIE = "author"

#: Seconds between signs of life to a page that listens.
HEARTBEAT = 15.0

#: The files of the page, beside those that several pages share.
ASSETS = files(__package__) / "assets"


class OpenReview:
    """A folder that is open for review: held against other commands, and served by `app`, behind a `Guard`.

    `count` is the number of its items. Raises DailytalkError if another command holds the folder.
    """

    def __init__(self, folder: Editable, author: str) -> None:
        with ExitStack() as stack:
            if (folder.why_not or why_not_writable(folder.root)) is None:
                stack.enter_context(folder_locked(folder.root))
            session = Session(folder, author)
            stack.callback(session.close)
            self._held = stack.pop_all()
        self.app, self.count = make_app(session), len(folder.names())
        session.start()

    def close(self) -> None:
        self._held.close()


def make_app(session: Session) -> Starlette:
    """The application for one session."""
    pages = Pages(session)

    #: The answer to each request of the page, of the request's query.
    gets: dict[str, Callable[[Request], Any]] = {
        "session": lambda request: session.about(pages.author(request)),
        "items": lambda request: session.items(_integer(request, "since", -1)),
        "search": lambda request: session.search(request.query_params.get("q", "")[:MOST_QUERY]),
        "item": lambda request: session.item(*_item(request)),
        "peaks": pages.peaks,
        "sound": pages.sound,
        "progress": lambda request: session.progress(),
        "sides": lambda request: session.sides(
            request.query_params.get("by"), _number(request, "share", 0.1), _integer(request, "seed", 0)
        ),
    }
    #: The shape of a body, and its answer, of the author and the values of the body.
    posts: dict[str, tuple[Json, Callable[..., Any]]] = {
        "edit": ({"name": str, "base": int, "action": dict}, session.edit),
        "undo": ({"name?": str}, session.undo),
        "redo": ({"name?": str}, session.redo),
        "here": ({"name": str}, session.is_here),
        "author": ({"name": str}, _named),
        "discard": ({"names": [str]}, session.discard),
        "discard-range": ({"first": int, "last": int}, session.discard_range),
        "restore": ({"names": [str]}, session.restore),
        "divide": ({"sides": {str: object}, "since": int}, session.divide),
        "ask": ({"name": str, "line": str, "what": str}, session.ask),
        "decide": ({"name": str, "mine": bool}, session.decide),
    }

    def posted(shape: Json, answer: Callable[..., Any]) -> Any:
        known = {key.removesuffix("?") for key in shape}

        def answered(request: Request, body: Json) -> Any:
            values = {key: value for key, value in body.items() if key in known}
            return answer(author=pages.author(request), **values)

        return answering(answered, shape)

    routes = [
        *(Route(path, page_of("index.html")) for path in ("/", "/assets/{name}")),
        Route("/api/events", pages.events),
        *(Route(f"/api/{name}", answering(answer)) for name, answer in gets.items()),
        *(Route(f"/api/{name}", posted(*post), methods=["POST"]) for name, post in posts.items()),
    ]
    return Starlette(routes=routes)


def page_of(start: str) -> Callable[[Request], Response]:
    """The endpoint for the files of a page, which begins with `start`."""
    return lambda request: page_file(ASSETS, request.path_params.get("name", start))


class Pages:
    """The answers that are no JSON, and what the open pages are told."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._loop: asyncio.AbstractEventLoop | None = None  # known once a page listens
        self._queues: set[asyncio.Queue[tuple[str, Json]]] = set()
        self._overviews = sound.Overviews()
        session.listen(self._hear)

    def author(self, request: Request) -> str:
        """The author of a request: the name entered in the page, otherwise that of the command."""
        return _clean_name(unquote(request.cookies.get(AUTHOR_COOKIE, ""))) or self.session.author

    def peaks(self, request: Request) -> Response:
        """Peaks of a stretch of an item: int8, shape (channels, count, 2)."""
        item = _item(request)
        start, end = (_number(request, name) for name in ("start", "end"))
        count = _integer(request, "count", 0)
        stretch = self.session.stretch(*item)
        if not 0 <= start < end <= stretch.seconds + 1.0 or not 1 <= count <= sound.MOST_PEAKS:
            raise BadInput(f"{start:g} to {end:g} s in {count} parts is no stretch", "reload the page")
        peaks = self._overviews.peaks(item, stretch, start, end, count)
        headers = {"X-Channels": str(peaks.shape[0])}
        return Response(peaks.tobytes(), media_type="application/octet-stream", headers=headers)

    def sound(self, request: Request) -> Response:
        """The sound of an item as a 16-bit WAV, whole or the requested range of bytes."""
        wav = sound.wav_of(self.session.stretch(*_item(request)))
        (first, last), status = (0, wav.size), 200
        headers = {"Accept-Ranges": "bytes"}
        if range_header := request.headers.get("range"):
            span = byte_range(range_header, wav.size)
            if span is None:
                return Response(status_code=416, headers={"Content-Range": f"bytes */{wav.size}"})
            (first, last), status = span, 206
            headers["Content-Range"] = f"bytes {first}-{last - 1}/{wav.size}"
        headers["Content-Length"] = str(last - first)
        data = iterate_in_threadpool(_logged(wav.read(first, last)))
        return StreamingResponse(data, status, media_type="audio/wav", headers=headers)

    async def events(self, request: Request) -> Response:
        """A stream of the edits and moves of others, as they happen."""
        queue: asyncio.Queue[tuple[str, Json]] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._queues.add(queue)

        async def stream() -> AsyncIterator[bytes]:
            try:
                yield b": here\n\n"
                while True:
                    try:
                        kind, data = await asyncio.wait_for(queue.get(), HEARTBEAT)
                    except TimeoutError:
                        yield b": alive\n\n"
                        continue
                    if kind == END:
                        return
                    yield b"event: %s\ndata: %s\n\n" % (kind.encode(), page_json(data))
            finally:
                self._queues.discard(queue)

        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(stream(), media_type="text/event-stream", headers=headers)

    def _hear(self, kind: str, data: Json) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._spread, (kind, data))

    def _spread(self, event: tuple[str, Json]) -> None:
        for queue in self._queues:
            queue.put_nowait(event)


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """The first byte, and the byte after the last, of a Range header's first range; None if that is not valid.

    >>> byte_range("bytes=100-", 1000), byte_range("bytes=-10", 1000), byte_range("bytes=2000-", 1000)
    ((100, 1000), (990, 1000), None)
    """
    match = re.match(r"\s*bytes\s*=\s*(\d{0,17})-(\d{0,17})\s*(,|$)", header)
    if match is None or not (match[1] or match[2]):
        return None
    first = int(match[1]) if match[1] else max(0, size - int(match[2]))
    end = min(int(match[2]) + 1, size) if match[1] and match[2] else size
    return (first, end) if first < end else None


def answering(answer: Callable[..., Any], shape: Json | None = None) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint whose value is answered as JSON, and whose errors are answered with one sentence.

    `answer` gets the request and, where a shape is given, its body; it runs in a thread.
    """

    async def endpoint(request: Request) -> Response:
        try:
            body = () if shape is None else (await request_body(request, shape),)
            value = await run_in_threadpool(answer, request, *body)
            return value if isinstance(value, Response) else json_response(value)
        except DailytalkError as problem:
            status, about = 422, Json()
            if isinstance(problem, ChangedElsewhere):
                status, about = 409, {"id": problem.item, "changed": problem.file}
            elif isinstance(problem, Conflict):
                status, about = 409, {"item": problem.item, "author": problem.author, "time": problem.time}
            return json_response({"reason": problem.reason, "remedy": problem.remedy, **about}, status)
        except OSError as problem:
            if problem.errno is None:
                raise
            remedy = "make room, and check the disk and the folder, then do it again: nothing else is lost"
            return refused(503, f"the disk refused it ({problem.strerror})", remedy)

    return endpoint


async def request_body(request: Request, shape: Json) -> Json:
    """Return the JSON of a request. Raises BadInput if it is too long, or has another shape (see `expect`)."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > MOST_BODY:
            raise BadInput(f"the request has more than {MOST_BODY >> 20} MiB", "send less at once")
    body = parse_json(bytes(data), "the request", "reload the page", limit=MOST_BODY)
    checked: Json = expect(body, shape, "the request", "reload the page")
    return checked


def _item(request: Request) -> tuple[str, str | None]:
    """The item of a request, and whether its rebuilt conversation is meant."""
    return request.query_params.get("id", ""), request.query_params.get("of")


def _named(author: str, name: str) -> Response:
    """Give the author another name, in a cookie."""
    named = _clean_name(name)
    if not named:
        raise BadInput("that is no name", f"give one of at most {LONGEST_NAME} letters")
    answer = json_response({"author": named})
    answer.set_cookie(AUTHOR_COOKIE, quote(named), max_age=365 * 86400, httponly=True, samesite="strict")
    return answer


def _clean_name(name: str) -> str:
    """The name of a person, or "" for an invalid one."""
    clean = " ".join(name.split())
    return clean if clean.isprintable() and len(clean) <= LONGEST_NAME else ""


def _integer(request: Request, name: str, default: int) -> int:
    value = request.query_params.get(name, "")
    return int(value) if value.isdecimal() and len(value) < 18 else default


def _number(request: Request, name: str, default: float | None = None) -> float:
    with suppress(ValueError):
        value = float(request.query_params.get(name, "" if default is None else default))
        if is_number(value):
            return value
    raise BadInput(f"{name} is no number", "reload the page")


def _logged(data: Iterator[bytes]) -> Iterator[bytes]:
    """Bytes of a sound; a recording that breaks off ends the answer, with its reason in the log."""
    try:
        yield from data
    except (BadInput, OSError) as problem:
        log.warning("a recording could not be played to its end: %s", problem)
        raise
