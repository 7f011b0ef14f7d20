"""Reading of files of JSON and text of other authors, never more bytes than a limit."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.documents import MOST_BYTES, JsonObject, check_size, parse_json, printable_path
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.machine.regular_files import open_regular

_REMEDY = "correct it or save the file again"

#: Bytes of one line of JSON Lines.
MOST_LINE_BYTES = 8 << 20


#: Bytes of a document that we wrote ourselves, which grows with the corpus: about 100,000 conversations.
MOST_OWN_BYTES = 512 << 20


def read_json(path: Path, remedy: str = _REMEDY, limit: int = MOST_BYTES) -> Any:
    """Read a JSON file. Raises BadInput as `parse_json`, and for a missing file."""
    content = read_bytes(path, remedy, limit)
    return parse_json(content, printable_path(path), remedy, limit)


def read_bytes(path: Path, remedy: str = _REMEDY, limit: int = MOST_BYTES) -> bytes:
    """Read the bytes of a file from outside.

    Raises BadInput for a file that can't be read, or is larger than `limit`.
    """
    try:
        check_size(path.stat().st_size, f"{printable_path(path)}: ", remedy, limit)
        with open_regular(path, f"{printable_path(path)}: ") as file:
            return file.read()
    except OSError as error:
        raise BadInput(f"{printable_path(path)}: it can't be read ({error.strerror})", remedy) from None


def json_lines(
    path: Path,
    remedy: str = "fix or delete the line",
    nan: bool = False,
    first: int = 1,
    last: int | None = None,
) -> Iterator[tuple[int, JsonObject | BadInput]]:
    """Yield the objects of a JSON Lines file with their numbers from 1; blank lines are skipped.

    Lines before `first` are not parsed, and those after `last` are not read.

    In place of a line that can't be used there is a BadInput with the reason, without the line's number, so that
    the others are still read. Raises BadInput for a file that is missing or can't be read.
    """
    for number, line in itertools.islice(numbered_lines(path, remedy), first - 1, last):
        if not line.strip() and len(line) <= MOST_LINE_BYTES:
            continue
        try:
            value = parse_json(line, "", remedy, MOST_LINE_BYTES, nan=nan)
        except BadInput as error:
            yield number, error
            continue
        if isinstance(value, dict):
            yield number, value
        else:
            yield number, BadInput("it is not a JSON object", remedy)


def json_objects(
    path: Path,
    remedy: str = "fix or delete the line",
    nan: bool = False,
    first: int = 1,
    last: int | None = None,
) -> Iterator[tuple[int, JsonObject]]:
    """Yield the objects of a JSON Lines file (see `json_lines`). Raises BadInput for a line that can't be used."""
    for number, line in json_lines(path, remedy, nan, first, last):
        if isinstance(line, BadInput):
            raise BadInput(f"line {number} of {printable_path(path)!r}: {line.reason}", line.remedy)
        yield number, line


def numbered_lines(path: Path, remedy: str = _REMEDY) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file with their ends and their numbers from 1.

    A longer line is cut after `MOST_LINE_BYTES` + 1 bytes. Raises BadInput for a file that can't be read.
    """
    try:
        with open_regular(path, f"{printable_path(path)}: ") as file:
            number = 0
            line = file.readline(MOST_LINE_BYTES + 1)
            while line:
                number += 1
                yield number, line
                while len(line) > MOST_LINE_BYTES and not line.endswith(b"\n"):
                    line = file.readline(len(line))
                line = file.readline(MOST_LINE_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{printable_path(path)}: it can't be read ({error.strerror})", remedy) from None
