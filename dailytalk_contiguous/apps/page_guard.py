"""Guards a page that this machine serves against requests of other pages and of other people.

Any other page that is open in the browser can send requests to ours. So the host that a request names (Host) and
the page that it came from (Origin) are checked, and requests that change something must be JSON. Anyone with an
account on this machine can send requests, too. So all paths of a page begin with a secret, and addresses in a page
are relative.
"""

import hmac
import secrets

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dailytalk_contiguous.apps.local_pages import HOST, refused

#: Headers of every answer: nothing is loaded from elsewhere, nothing frames the page, no type is guessed.
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; media-src 'self' blob:; img-src 'self' data: blob:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def new_secret() -> str:
    """A secret for the path of a page: 144 random bits."""
    return secrets.token_urlsafe(18)


class Guard:
    """Refuses requests that our own page did not send, and adds `HEADERS` to every answer.

    Args:
        app: gets the paths of requests without the secret.
        command: of the page, for messages.
        port: of the server.
        secret: the beginning of all paths.
    """

    def __init__(self, app: ASGIApp, command: str, port: int, secret: str) -> None:
        self._app = app
        self._command = command
        self._hosts = {f"{name}:{port}" for name in (HOST, "localhost")}
        self._secret = secret
        self._once = ""

    def hand_over(self) -> str:
        """Return a path that leads to the page, once: other users can read the command line of a browser."""
        self._once = new_secret()
        return f"/{self._once}/"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        answer = self._answer(HTTPConnection(scope))
        scope = {**scope, "root_path": f"/{self._secret}"}
        if scope["type"] == "websocket":
            if answer is None and "origin" in HTTPConnection(scope).headers:
                await self._app(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008})
            return

        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await (answer or self._app)(scope, receive, protected)

    def _answer(self, request: HTTPConnection) -> Response | None:
        """The answer to a request that does not reach the app."""
        elsewhere = f"open the address that {self._command} printed"
        path: str = request.scope["path"]
        headers = request.headers
        host = headers.get("host", "")
        if host not in self._hosts:  # other domains may resolve to the address of this machine, too
            return refused(403, "that is not the address of this server", elsewhere)
        is_link = path.endswith("/") and headers.get("sec-fetch-mode") == "navigate"
        is_own = is_link or headers.get("sec-fetch-site", "none") in ("none", "same-origin")
        own_origins = (None, f"http://{host}", f"https://{host}")
        if not is_own or headers.get("origin") not in own_origins:
            return refused(403, "another page sent this", elsewhere)
        kind, _, _ = headers.get("content-type", "").partition(";")
        is_json = kind.strip().lower() == "application/json"
        if request.scope.get("method", "GET") not in ("GET", "HEAD") and not is_json:
            return refused(415, "the request is not JSON", "send Content-Type: application/json")
        handed_over = f"/{self._once}/"
        if self._once and hmac.compare_digest(path.encode(), handed_over.encode()):
            self._once = ""
            return RedirectResponse(f"/{self._secret}/", 303)
        first, _, _ = path.removeprefix("/").partition("/")
        if not hmac.compare_digest(first.encode(), self._secret.encode()):
            return refused(404, "there is no such page", elsewhere)
        return None
