"""The one way to the terminal: what comes from outside is shown there, and never obeyed.

Names, transcripts, reasons and a server's words may hold control characters, which a terminal takes for commands
(its title, its colours, its clipboard), and marks that turn the direction of writing, so that a line reads as
another than it is. Both are written out, `\\x1b` and `\\u202e`. In JSON they are escapes: a program reads what was
there. On a terminal lines are broken between words, and never inside a path; a file or a pipe gets each of them
whole, because who searches a log counts on one a row.
"""

import json
import re
import sys
from collections.abc import Iterable
from typing import Any

from rich import console as rich_console
from rich.cells import cell_len
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

#: C0 except tab and newline, DEL and C1; embeddings, overrides and isolates of direction; line and paragraph
#: separators; halves of surrogate pairs, which no terminal's encoding has.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

#: Columns of a line that goes to no terminal, unless somebody says how many.
_WIDE = 10_000

#: How the words that begin a line are shown where there are colours.
_COLOURS = {"error": "bold red", "advice": "yellow", "rejected": "yellow", "note": "cyan"}


def visible(text: str) -> str:
    """A text with its control characters written out."""
    return _UNPRINTABLE.sub(lambda match: _escape(ord(match[0])), text)


def say(text: str, stderr: bool = False, end: str = "\n") -> None:
    """Print a text without markup."""
    stream = sys.stderr if stderr else sys.stdout
    if stream.isatty():
        Console(stderr=stderr).print(text, markup=False, end=end)
    else:
        print(visible(text), end=end, file=stream)


def print_json(value: Any, one_line: bool = False) -> None:
    """Print a value as JSON, at once, by default a line a field; what a terminal would obey is escaped."""
    text = json.dumps(value, indent=None if one_line else 1, ensure_ascii=False)
    print(_UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text), flush=True)


class Console(rich_console.Console):
    """rich's, whose texts are made visible however they come to be drawn: lines, tables, progress bars."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**({"highlight": False, "emoji": False} | options))
        if "width" not in options and not self.is_terminal:
            self.width = _WIDE

    def print(self, *objects: Any, **options: Any) -> None:
        """rich's; one text alone is broken between words on a terminal, and nowhere elsewhere."""
        if len(objects) == 1 and isinstance(objects[0], str | Text):
            text = objects[0]
            if isinstance(text, str):
                markup = options.pop("markup", self._markup)
                text = Text.from_markup(text, emoji=False) if markup else Text(text)
            objects = (_broken(text, self.width) if self.is_terminal else text,)
            options = {"soft_wrap": True} | options
        super().print(*objects, **options)

    def labelled(self, label: str, text: str) -> None:
        """Print `label: text`, the label (`error`, `advice`, `rejected`, `note`) in its colour."""
        self.print(Text.assemble((label, _COLOURS.get(label.strip(), "")), ": ", text))

    def verdict(self, good: bool | None, text: str) -> None:
        """Print the sentence that all comes to: `good` is green, not good red, None (with reservations) yellow."""
        self.print(Text(text, {True: "bold green", False: "bold red", None: "bold yellow"}[good]))

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


def _broken(text: Text, width: int) -> Text:
    """A text with line breaks where a word would pass the width; a word that is longer than a line stays whole."""
    lines = Text()
    for line in text.split("\n", allow_blank=True):
        breaks: list[int] = []
        start = 0
        for word in re.finditer(r"\S+", line.plain):
            if cell_len(line.plain[start : word.end()]) > width and line.plain[start : word.start()].strip():
                start = word.start()
                breaks.append(start)
        for part in line.divide(breaks):
            part.rstrip()
            lines = lines + part + "\n"
    return lines[:-1]


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
