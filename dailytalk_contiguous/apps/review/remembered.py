"""Where each reviewer was, how the page was set, and its port and secret: in the user's own folder of states.

Never in the data: others get that. A browser stores a page's data under its port, which differs at most starts.
"""

import hashlib
import json
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.local_pages import new_secret
from dailytalk_contiguous.core.documents import fits, read_json
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.machine import PRIVATE, private_folder
from dailytalk_contiguous.store.files import json_document, write_text

#: What is kept of a page, and the most bytes of JSON of each.
KEPT, MOST_KEPT = ("place", "filters", "speed", "with-alt"), 4096

#: Reviewers of one folder whose place is kept: the latest.
MOST_PEOPLE = 50

_SHAPE = {"port": int, "secret?": str, "people": {str: dict}}


class Remembered:
    """What is remembered of the review of one place: nothing, without an error, if the disk refuses."""

    def __init__(self, place: str) -> None:
        """`place` is the absolute path of a folder, or the name of a version."""
        name = hashlib.sha256(os.fsencode(place)).hexdigest()[:20]
        states = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        folder = private_folder(states / "dailytalk_contiguous")  # which only this user may enter
        self._path, self._lock = folder / "review" / f"{name}.json", threading.Lock()
        known: Any = None
        with suppress(BadInput, OSError):
            known = read_json(self._path)
        self._known: dict[str, Any] = known if fits(known, _SHAPE) else {"port": 0, "people": {}}

    @property
    def port(self) -> int:
        """The port of the last time; 0 without one."""
        port: int = self._known["port"]
        return port if 0 < port < 65536 else 0

    def served_at(self, port: int) -> str:
        """Remember the port, so that a page that is still open finds the next server; gives the page's secret.

        It is that of the last time only at the same port: a page that is open goes on asking at its port, so what
        listens there meanwhile gets to know it.
        """
        secret = self._known.get("secret") if port == self.port else None
        self._write({"port": port, "secret": secret or new_secret()})
        return str(self._known["secret"])

    def of(self, author: str) -> dict[str, Any]:
        """What is kept of an author's page."""
        kept: dict[str, Any] = self._known["people"].get(author, {})
        return {name: value for name, value in kept.items() if name in KEPT}

    def keep(self, author: str, values: dict[str, Any]) -> None:
        """Keep more of an author's page. Raises BadInput for what is not kept."""
        for name, value in values.items():
            if name not in KEPT or len(json.dumps(value)) > MOST_KEPT:
                raise BadInput(f"{name[:40]!r} is nothing that is kept of a page", "reload the page")
        with self._lock:
            people = dict(self._known["people"])
            people[author] = people.pop(author, {}) | values
            self._write({"people": dict([*people.items()][-MOST_PEOPLE:])})

    def _write(self, news: dict[str, Any]) -> None:
        self._known = self._known | news
        with suppress(OSError):
            private_folder(self._path.parent).chmod(PRIVATE)  # before a secret is in it
            write_text(self._path, json_document(self._known))
