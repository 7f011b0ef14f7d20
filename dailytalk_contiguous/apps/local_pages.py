"""Pages that this machine serves to its own browser: their files, their answers as JSON, and the socket."""

import json
import mimetypes
import socket
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.responses import Response

from dailytalk_contiguous import apps
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.fields import finite
from dailytalk_contiguous.publish import tables

#: Files that several pages share: colours (reports use them, too), controls, and functions that make elements.
SHARED: Mapping[str, Traversable] = {
    "house.css": files(tables) / "assets" / "house.css",
    "controls.css": files(apps) / "assets" / "controls.css",
    "elements.js": files(apps) / "assets" / "elements.js",
    "icon.svg": files(apps) / "assets" / "icon.svg",
}


#: Pages are for this machine alone.
HOST = "127.0.0.1"


def page_file(folder: Traversable, name: str) -> Response:
    """A file of a page: from `SHARED`, otherwise from the page's folder."""
    path = SHARED.get(name)
    if path is None:
        path = next((file for file in folder.iterdir() if file.name == name), None)
    if path is None:
        return refused(404, "there is no such file", "reload the page")
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Response(path.read_bytes(), media_type=kind, headers={"Cache-Control": "no-cache"})


def refused(status: int, reason: str, remedy: str) -> Response:
    """An answer with the reason for a refusal, and the remedy."""
    return json_response({"reason": reason, "remedy": remedy}, status)


def json_response(value: object, status: int = 200) -> Response:
    return Response(page_json(value), status, media_type="application/json")


def page_json(value: object) -> bytes:
    """A value as the JSON that a page can read: NaN and infinity are null, at any depth."""
    text = json.dumps(finite(value), ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")


def bound(port: int) -> socket.socket:
    """A socket bound for a server; port 0 takes a free port. Raises DailytalkError if it can't be bound."""
    try:
        return socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        remedy = "choose another --port, or 0 for a free one"
        raise DailytalkError(f"{HOST}:{port} can't be served ({error})", remedy) from None
