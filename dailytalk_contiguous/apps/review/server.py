"""The server of `dailytalk review`: it answers requests of its own page only.

`Guard` refuses all others. Nothing except the opened folder is served, by ids that are looked up and never made
into paths.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from functools import partial
from importlib.resources import files
from typing import Any, TypedDict

from starlette.applications import Starlette
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from dailytalk_contiguous.apps.local_pages import json_response, page_file, refused
from dailytalk_contiguous.apps.review import sound
from dailytalk_contiguous.apps.review.history import why_not_writable
from dailytalk_contiguous.apps.review.layouts import AnyEditable, ChangedElsewhere
from dailytalk_contiguous.apps.review.session import Outdated, Session
from dailytalk_contiguous.core.documents import Whole, parse_json, typed
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.store.files import folder_locked

#: JSON of a page.
PageJson = dict[str, Any]

#: Most bytes of a request's body.
MOST_BODY = 8 << 20

#: The files of the page, beside those that several pages share.
ASSETS = files(__package__) / "assets"


class OpenReview:
    """A folder that is open for review: held against other commands, and served by `app`, behind a `Guard`.

    Raises DailytalkError if another command holds the folder.
    """

    def __init__(self, folder: AnyEditable, author: str) -> None:
        with ExitStack() as stack:
            if (folder.why_not or why_not_writable(folder.root)) is None:
                stack.enter_context(folder_locked(folder.root))
            session = Session(folder, author)
            self._lock = stack.pop_all()
        self.app = make_app(session)

    def close(self) -> None:
        self._lock.close()


class _Edit(TypedDict):
    name: str
    base: Whole
    action: PageJson


class _Names(TypedDict):
    names: list[str]


class _Range(TypedDict):
    first: Whole
    last: Whole


class _Decision(TypedDict):
    mine: bool


#: The type of the body of each POST, which is answered by the session's method.
POSTS: dict[str, type[Any]] = {
    "edit": _Edit,
    "discard": _Names,
    "discard-range": _Range,
    "restore": _Names,
    "decide": _Decision,
}


def make_app(session: Session) -> Starlette:
    """The application for one session."""

    def stretch(request: Request) -> sound.SoundStretch:
        return session.stretch(request.query_params.get("id", ""))

    def peaks(request: Request) -> Response:
        """Peaks of a stretch of an item: int8, shape (channels, count, 2)."""
        part = stretch(request)
        wanted = request.query_params
        try:
            start = float(wanted["start"])
            end = float(wanted["end"])
            count = float(wanted["count"])
        except (KeyError, ValueError):
            start = 0.0
            end = 0.0
            count = 0.0
        # More peaks than a screen has columns of pixels are of no use.
        if not 0 <= start < end <= part.seconds + 1.0 or not 1 <= count <= 20_000:
            raise BadInput(
                f"{start:g} to {end:g} s in {count:g} parts is not a stretch of sound", "reload the page"
            )
        values = sound.peaks_of(part, start, end, int(count))
        headers = {"X-Channels": str(len(values))}
        return Response(values.tobytes(), media_type="application/octet-stream", headers=headers)

    def posted(name: str, body: PageJson) -> object:
        method = getattr(session, name.replace("-", "_"))
        arguments = {key: body[key] for key in POSTS[name].__required_keys__}
        return method(**arguments)

    gets: dict[str, Callable[[Request], object]] = {
        "session": lambda _: session.about(),
        "item": lambda request: session.item(request.query_params.get("id", "")),
        "peaks": peaks,
        "sound": lambda request: sound_response(sound.wav_of(stretch(request)), request.headers.get("range")),
    }
    page = page_of("index.html")
    routes = [Route("/", page), Route("/assets/{name}", page)]
    for name, answer in gets.items():
        routes.append(Route(f"/api/{name}", answering(answer)))
    for name, kind in POSTS.items():
        post = answering(partial(posted, name), kind)
        routes.append(Route(f"/api/{name}", post, methods=["POST"]))
    return Starlette(routes=routes)


def page_of(start: str) -> Callable[[Request], Response]:
    """The endpoint for the files of a page, which begins with `start`."""
    return lambda request: page_file(ASSETS, request.path_params.get("name", start))


def sound_response(wav: sound.Wav, range_header: str | None) -> Response:
    """The sound of an item as a 16-bit WAV, whole or the requested range of bytes."""
    first = 0
    last = wav.size
    status = 200
    headers = {"Accept-Ranges": "bytes"}
    if range_header:
        span = byte_range(range_header, wav.size)
        if span is None:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{wav.size}"})
        first, last = span
        status = 206
        headers["Content-Range"] = f"bytes {first}-{last - 1}/{wav.size}"
    headers["Content-Length"] = str(last - first)
    data = iterate_in_threadpool(wav.read(first, last))
    return StreamingResponse(data, status, media_type="audio/wav", headers=headers)


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """The first byte, and the byte after the last, of a Range header's first range; None if that is not valid.

    >>> byte_range("bytes=100-", 1000), byte_range("bytes=-10", 1000), byte_range("bytes=2000-", 1000)
    ((100, 1000), (990, 1000), None)
    """
    match = re.match(r"\s*bytes\s*=\s*(\d{0,17})-(\d{0,17})\s*(,|$)", header)
    if match is None:
        return None
    first_text = match[1]
    last_text = match[2]
    end = size
    if first_text:
        first = int(first_text)
        if last_text:
            end = min(int(last_text) + 1, size)
    elif last_text:  # so many bytes of the end
        first = max(0, size - int(last_text))
    else:
        return None
    return (first, end) if first < end else None


def answering(
    answer: Callable[..., object], kind: type[Mapping[str, object]] | None = None
) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint whose value is answered as JSON, and whose errors are answered with one sentence.

    `answer` gets the request or, where a type is given, its body; it runs in a thread.
    """

    async def endpoint(request: Request) -> Response:
        try:
            if kind is None:
                value = await run_in_threadpool(answer, request)
            else:
                body = await request_body(request, kind)
                value = await run_in_threadpool(answer, body)
            return value if isinstance(value, Response) else json_response(value)
        except DailytalkError as problem:
            status = 422
            refusal: dict[str, object] = {"reason": problem.reason, "remedy": problem.remedy}
            if isinstance(problem, ChangedElsewhere):
                status = 409
                refusal["changed"] = problem.file
            elif isinstance(problem, Outdated):
                status = 409
                refusal["item"] = problem.item
            return json_response(refusal, status)
        except OSError as problem:
            remedy = "make room, and check the disk and the folder, then do it again: nothing else is lost"
            return refused(503, f"the disk refused it ({problem.strerror})", remedy)

    return endpoint


async def request_body(request: Request, kind: type[Mapping[str, object]]) -> PageJson:
    """Return the JSON of a request. Raises BadInput if it is too long, or of another type (see `typed`)."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > MOST_BODY:
            raise BadInput(f"the request has more than {MOST_BODY >> 20} MiB", "send less at once")
    body = parse_json(bytes(data), "the request", "reload the page", limit=MOST_BODY)
    return {**typed(body, kind, "the request", "reload the page")}
