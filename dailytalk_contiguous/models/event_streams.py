"""Server-sent events: the parts of an answer as they come, made into events by the rules of the HTML standard."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dailytalk_contiguous.models.request_failures import ShortRead


class ServerEvent(NamedTuple):
    """An event of a stream: its type, empty where none is named, and its data, lines of text."""

    type: str
    data: str


def server_events(parts: Iterable[bytes]) -> Iterator[ServerEvent]:
    """The events of a stream that comes in parts of any size, by the rules of the HTML standard.

    (https://html.spec.whatwg.org/multipage/server-sent-events.html: lines end in CR, LF or both, an empty line
    ends an event, what begins with a colon is a comment, and what no empty line ends is no event.) Raises
    ShortRead for what is not UTF-8.
    """
    event_type = ""
    data: list[str] = []
    unfinished = b""
    for part in parts:
        # A CR at the end may be half of an end, so it waits for the next part.
        *lines, unfinished = re.split(rb"\r\n|\n|\r(?!$)", unfinished + part)
        for line in lines:
            try:
                name, _, value = line.decode("utf-8-sig").partition(":")
            except UnicodeDecodeError:
                raise ShortRead("it is not UTF-8") from None
            if name == "data":
                data.append(value.removeprefix(" "))
            elif name == "event":
                event_type = value.removeprefix(" ")
            elif not line:
                if data:
                    yield ServerEvent(event_type, "\n".join(data))
                event_type = ""
                data = []
