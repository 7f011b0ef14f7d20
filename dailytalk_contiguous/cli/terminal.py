"""The one way to the terminal: what comes from outside is shown there, and never obeyed.

Names, transcripts, reasons and a server's words may hold control characters, which a terminal takes for commands
(its title, its colours, its clipboard), and marks that turn the direction of writing, so that a line reads as
another than it is. Both are written out, `\\x1b` and `\\u202e`. In JSON they are escapes: a program reads what was
there.
"""

import json
import re
import sys
from collections.abc import Iterable
from typing import Any

from rich import console as rich_console
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

#: C0 except tab and newline, DEL and C1; embeddings, overrides and isolates of direction; line and paragraph
#: separators; halves of surrogate pairs, which no terminal's encoding has.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """A text with its control characters written out."""
    return _UNPRINTABLE.sub(lambda match: _escape(ord(match[0])), text)


def say(text: str, stderr: bool = False, end: str = "\n") -> None:
    """Print a text without markup."""
    print(visible(text), end=end, file=sys.stderr if stderr else sys.stdout)


def print_json(value: Any, indent: int | None = 1) -> None:
    """Print a value as JSON, at once; what a terminal would obey is escaped."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    print(_UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text), flush=True)


class Console(rich_console.Console):
    """rich's, whose texts are made visible however they come to be drawn: lines, tables, progress bars."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
