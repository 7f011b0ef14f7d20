"""The text of a transcript file, in the encodings that people save, within the bounds of what a transcript has."""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from dailytalk_contiguous.core.documents import MOST_BYTES, printable_path, unpack_gzip
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.machine.read_documents import read_bytes

#: A number as formats of lines write it.
NUMBER = re.compile(r"[-+]?\d{1,15}+(?:\.\d*+)?(?:[eE][-+]?\d{1,2})?")

#: A time on a clock: `1:02:03.5`, `02:03,500`, `2:03`.
CLOCK = re.compile(r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2}(?:[.,]\d{1,9})?)")

#: Why a file beside a recording is not used: it is JSON of something else, whole or damaged.
NO_TRANSCRIPT = "JSON of no known kind of transcript"
DAMAGED_JSON = "damaged JSON, in which nothing is named as in a transcript"


class UnknownKind(BadInput):
    """JSON that is of no known kind of transcript, such as metadata; it may lie beside a recording.

    `path` is the file, and `why` is `NO_TRANSCRIPT` or `DAMAGED_JSON`.
    """

    def __init__(self, reason: str, remedy: str, path: Path, why: str) -> None:
        super().__init__(reason, remedy)
        self.path = path
        self.why = why


def broken(path: Path, reason: str, remedy: str) -> BadInput:
    """Return the error for a transcript file that can't be used; names that aren't UTF-8 are shown escaped."""
    return BadInput(f"transcript {printable_path(path)}: {reason}", remedy)


def read_text(path: Path) -> str:
    """Read the text of a file in UTF-8, or in UTF-16 with its mark as Praat writes it, with LF; unpacks `.gz`.

    Raises BadInput.
    """
    try:
        data = read_bytes(path, "check the file, its size and its permissions", MOST_BYTES)
        if path.suffix.lower() == ".gz":
            data = unpack_gzip(data, printable_path(path), "save the file again")
    except BadInput as error:
        raise BadInput(f"transcript {error.reason}", error.remedy) from None
    encoding = "utf-8-sig"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise broken(path, f"line {line} is not UTF-8 or UTF-16 text", "save the file as UTF-8") from error
    if "\0" in text:
        raise broken(path, "holds zeros, as a file does that was not written to its end", "save the file again")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def lines_with_text(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the lines of a file with something in them, each after its position: `line 3`. Raises BadInput."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            yield f"line {number}", line


def number_of_field(text: str) -> float | str:
    """Return a field of a line as a number; other text stays, which is refused where a number is needed."""
    return float(text) if NUMBER.fullmatch(text) else text


def clock_seconds(time: re.Match[str]) -> float:
    """Return the seconds of a match of `CLOCK`, or of another pattern with hours, minutes and seconds.

    >>> [clock_seconds(time) for time in CLOCK.finditer("1:02:03.5 02:03,500 0:05")]
    [3723.5, 123.5, 5.0]
    """
    hours, minutes, seconds = time.groups(default="0")
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds.replace(",", "."))


def letters_of(text: str) -> str:
    """Return the letters and digits of a text, in lower case."""
    return "".join(filter(str.isalnum, text)).casefold()
