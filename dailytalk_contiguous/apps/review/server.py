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
from dailytalk_contiguous.apps.review.session import END, REBUILT, Conflict, Session
from dailytalk_contiguous.core.audio import read_header
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

_Endpoint = Callable[[Request], Any]


def make_app(session: Session) -> Starlette:
    """The application for one session; a `Guard` goes before it."""
    pages = Pages(session)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        pages.loop = asyncio.get_running_loop()
        session.start()
        yield

    routes = [
        Route("/", pages.asset),
        Route("/assets/{name}", pages.asset),
        *(Route(f"/api/{name}", in_json(answer)) for name, answer in pages.gets().items()),
        *(Route(f"/api/{name}", in_json(answer), methods=["POST"]) for name, answer in pages.posts().items()),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


class Pages:
    """The answers of all addresses."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.loop: asyncio.AbstractEventLoop | None = None
        self._queues: set[asyncio.Queue[tuple[str, dict[str, Any]] | None]] = set()
        self._overviews = sound.Overviews(
            lambda name: session.tell("item", {"id": name.partition("\0")[0], "peaks": True})
        )
        self._proposed: tuple[int, bytes] = (0, b"")
        session.listen(self._hear)

    def gets(self) -> dict[str, _Endpoint]:
        return {
            "session": lambda request: self.session.about(self.author(request)),
            "items": lambda request: self.session.items(_integer(request, "since", -1)),
            "search": lambda request: self.session.search(request.query_params.get("q", "")[:MOST_QUERY]),
            "item": self.item,
            "peaks": self.peaks,
            "sound": self.sound,
            "proposal": self.proposal,
            "events": self.events,
            "progress": lambda request: self.session.progress(),
            "sides": lambda request: self.session.sides(),
        }

    def posts(self) -> dict[str, _Endpoint]:
        return {
            "edit": self.edit,
            "undo": self.undo,
            "redo": self.undo,
            "here": self.here,
            "author": self.name,
            "discard": self.discard,
            "restore": self.restore,
            "sides": self.sides,
            "divide": self.divide,
            "ask": self.ask,
            "decide": self.decide,
        }

    def author(self, request: Request) -> str:
        """The author of a request: the name entered in the page, otherwise that of the command."""
        return _author(unquote(request.cookies.get(AUTHOR_COOKIE, ""))) or self.session.author

    async def asset(self, request: Request) -> Response:
        return page_file(ASSETS, request.path_params.get("name", "index.html"))

    def item(self, request: Request) -> Any:
        return self.session.item(request.query_params.get("id", ""), request.query_params.get("of"))

    async def peaks(self, request: Request) -> Response:
        """Peaks of a stretch of an item: int8, shape (channels, count, 2)."""
        name = request.query_params.get("id", "")
        start, end = _number(request, "start"), _number(request, "end")
        count = _integer(request, "count", 0)
        if not 0 <= start < end <= LATEST or not 1 <= count <= sound.MOST_PEAKS:
            raise BadInput(f"{start:g} to {end:g} s in {count} parts is no stretch", "reload the page")
        of = REBUILT if request.query_params.get("of") == REBUILT else None
        peaks, complete = await run_in_threadpool(self._peaks, name, of, start, end, count)
        headers = {"X-Channels": str(peaks.shape[0]), "X-Complete": str(int(complete))}
        return Response(peaks.tobytes(), media_type="application/octet-stream", headers=headers)

    def _peaks(self, name: str, of: str | None, start: float, end: float, count: int) -> tuple[Any, bool]:
        import numpy as np

        stretch = self.session.stretch(name, of)
        end = min(end, start + 86400.0 * 31)
        if min(end, stretch.seconds) - start <= sound.EXACT_SECONDS:
            return sound.window_peaks(stretch, start, end, count), True
        overview = self._overviews.get(f"{name}\0{of}", stretch)
        if overview is None:
            return np.zeros((read_header(stretch.audio).channels, count, 2), np.int8), False
        return sound.coarser(overview, start, end, count), True

    async def sound(self, request: Request) -> Response:
        """The sound of an item as a 16-bit WAV, whole or the requested range of bytes."""
        name = request.query_params.get("id", "")
        wav = await run_in_threadpool(
            lambda: sound.wav_of(self.session.stretch(name, request.query_params.get("of")))
        )
        first, last = 0, wav.size
        headers = {"Accept-Ranges": "bytes"}
        status = 200
        if range_header := request.headers.get("range"):
            span = byte_range(range_header, wav.size)
            if span is None:
                return Response(status_code=416, headers={"Content-Range": f"bytes */{wav.size}"})
            first, last = span
            status = 206
            headers["Content-Range"] = f"bytes {first}-{last - 1}/{wav.size}"
        headers["Content-Length"] = str(last - first)
        data = iterate_in_threadpool(_quiet(wav.read(first, last)))
        return StreamingResponse(data, status, media_type="audio/wav", headers=headers)

    async def edit(self, request: Request) -> Any:
        body = await request_body(request, {"id": str, "base?": int, "action": dict})
        return await run_in_threadpool(
            self.session.edit, body["id"], body.get("base") or 0, body["action"], self.author(request)
        )

    async def undo(self, request: Request) -> Any:
        """Undo the author's last edit, or redo the one that the author undid last."""
        name = (await request_body(request, {"id?": str})).get("id")
        again = request.url.path.endswith("/redo")
        return await run_in_threadpool(self.session.undo, self.author(request), name, again)

    async def discard(self, request: Request) -> Any:
        """Discard items by their ids, or a range by the numbers in their names."""
        body = await request_body(request, {"ids?": [str], "first?": int, "last?": int})
        names: Any = body.get("ids")
        if names is None:
            span = expect(body, {"first": int, "last": int}, "the request", "give two whole numbers")
            names = await run_in_threadpool(self.session.numbered, span["first"], span["last"])
        return {"ids": await run_in_threadpool(self.session.discard, names, self.author(request))}

    async def restore(self, request: Request) -> Any:
        names = (await request_body(request, {"ids": [str]}))["ids"]
        return {"ids": await run_in_threadpool(self.session.discard, names, self.author(request), False)}

    async def sides(self, request: Request) -> Any:
        """Propose a side for every item."""
        body = await request_body(request, {"by": str, "share": float, "seed?": int})
        return await run_in_threadpool(
            self.session.propose_sides, body["by"], float(body["share"]), body.get("seed") or 0
        )

    async def divide(self, request: Request) -> Any:
        """Put items on sides, all at once; answers with the sides that they had."""
        body = await request_body(request, {"sides": {str: object}, "since": int})
        before = await run_in_threadpool(self.session.divide, body["sides"], body["since"], self.author(request))
        return {"before": before}

    async def decide(self, request: Request) -> Any:
        """Keep the state of a file that another program has written, or ours; the other one is kept beside it."""
        body = await request_body(request, {"id": str, "mine": bool})
        kept = await run_in_threadpool(self.session.decide, body["id"], body["mine"], self.author(request))
        return {"kept": kept}

    async def ask(self, request: Request) -> Any:
        body = await request_body(request, {"id": str, "line": str, "what": str, "tag?": str})
        proposal = await run_in_threadpool(
            self.session.ask, body["id"], body["line"], body["what"], body.get("tag")
        )
        if proposal.wav is None:
            return {"proposal": proposal.fields}
        self._proposed = (self._proposed[0] + 1, proposal.wav)
        address = f"api/proposal?number={self._proposed[0]}"
        return {"proposal": proposal.fields, "sound": address, "about": proposal.about}

    async def proposal(self, request: Request) -> Response:
        number, wav = self._proposed
        if _integer(request, "number", 0) != number or not wav:
            raise NotThere("that proposal is gone", "ask again")
        return Response(wav, media_type="audio/wav")

    async def here(self, request: Request) -> Any:
        name = (await request_body(request, {"id?": str})).get("id")
        self.session.is_here(self.author(request), name)
        return {"here": self.session.here(name) if name else []}

    async def name(self, request: Request) -> Response:
        """Give the author another name, in a cookie."""
        author = _author((await request_body(request, {"author": str}))["author"])
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


def in_json(endpoint: _Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint whose value is answered as JSON, and whose errors are answered with one sentence."""

    async def answer(request: Request) -> Response:
        try:
            value = (
                await endpoint(request)
                if asyncio.iscoroutinefunction(endpoint)
                else await run_in_threadpool(endpoint, request)
            )
            return value if isinstance(value, Response) else json_response(value)
        except ChangedElsewhere as problem:
            return json_response(
                {"reason": problem.reason, "remedy": problem.remedy, "changed": problem.file}, 409
            )
        except Conflict as conflict:
            body = {"reason": conflict.reason, "remedy": conflict.remedy, "item": conflict.item}
            return json_response(body | {"author": conflict.author, "time": conflict.time}, 409)
        except NotThere as problem:
            return refused(404, problem.reason, problem.remedy)
        except DailytalkError as problem:
            return refused(422, problem.reason, problem.remedy)
        except OSError as problem:
            if problem.errno is None:
                raise
            remedy = "make room, and check the disk and the folder, then do it again: nothing else is lost"
            return refused(503, f"the disk refused it ({problem.strerror})", remedy)

    return answer


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
