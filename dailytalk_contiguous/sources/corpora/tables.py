"""Tables and texts that come with a corpus.

A table that is damaged stops the import, unlike a damaged clip: without it every label would be missing, and the
user can mend one file.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.sources.corpora.tree import Found

Value = TypeVar("Value")


def decoded(found: Found, data: bytes) -> str:
    """UTF-8 (with or without its mark) as text with newlines as LF. Raises BadInput."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BadInput(f"line {line} of {found.name} is not UTF-8", "save the file as UTF-8") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def table_text(found: Found) -> str:
    """The text of a table. Raises DailytalkError if it can't be read."""
    try:
        return decoded(found, found.read())
    except BadInput as error:
        raise DailytalkError(f"the table {found.name!r} can't be used: {error.reason}", error.remedy) from error


#: What to do about a table of a corpus that is damaged.
_AGAIN = "download the table again"


def read_table(found: Found, columns: Sequence[str], remedy: str = _AGAIN) -> list[dict[str, str]]:
    """The lines of a CSV file, of which it must have these columns, each once.

    Raises DailytalkError, with the line; `remedy` is what to do about a table that is damaged.
    """
    reader = csv.DictReader(io.StringIO(table_text(found)))
    try:
        names = list(reader.fieldnames or [])
        lines = list(reader)
    except csv.Error as error:  # a field of over 128 kB, mostly for a quotation mark that is never closed
        raise DailytalkError(f"line {reader.line_num} of {found.name!r} is no CSV ({error})", remedy) from error
    if missing := [name for name in columns if name not in names]:
        raise DailytalkError(
            f"the table {found.name!r} has no column {missing[0]!r}, but {quoted(names)}",
            "put the table back as it was published" if remedy == _AGAIN else remedy,
        )
    if twice := [name for name in columns if names.count(name) > 1]:
        raise DailytalkError(f"the table {found.name!r} has two columns {twice[0]!r}", remedy)
    for number, line in enumerate(lines, 2):
        if any(line[name] is None for name in columns):
            raise DailytalkError(f"line {number} of {found.name!r} is cut short", remedy)
    return lines


def by_clip(table: Found, lines: Iterable[dict[str, str]], column: str) -> dict[str, dict[str, str]]:
    """Lines by what their column says. Raises DailytalkError where two lines say different things of one clip."""
    found: dict[str, dict[str, str]] = {}
    for line in lines:
        if found.setdefault(line[column], line) != line:
            raise DailytalkError(
                f"two lines of {table.name!r} say different things of {line[column]}", "keep the right one"
            )
    return found


def measure(value: float) -> float:
    """A number as its 32-bit column holds it, so that a row is the same before and after it was stored."""
    return float(np.float32(value))


def known(table: Mapping[str, Value], code: str, what: str, where: str = "") -> Value:
    """The meaning of a code in a clip's name, or in the table `where`. Raises BadInput if it has none."""
    if code not in table:
        raise BadInput(
            f"its {what} {code!r}{f' in {where}' if where else ''} is unknown (known are {', '.join(table)})",
            "correct the table, or leave the file out" if where else "correct the name, or leave the file out",
        )
    return table[code]
