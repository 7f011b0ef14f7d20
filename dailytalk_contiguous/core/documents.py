"""Reading of JSON, YAML and CSV of other authors, never more bytes than a limit.

NaN is no time: it is rejected where the text is parsed. Any other error is that of the library that reads it.
"""

import csv
import gzip
import io
import json
import math
import os
import sys
import unicodedata
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeAlias, TypeGuard, TypeVar, cast

import msgspec
import yaml

from dailytalk_contiguous.core.errors import BadInput, DailytalkError, TooLarge
from dailytalk_contiguous.core.quotas import Quota

#: Bytes of a document (about 100 hours of words with times).
MOST_BYTES = 64 << 20


#: Seconds; no recording lasts so long.
LATEST = 1e9

#: The largest float: some integers are beyond it.
_LARGEST = sys.float_info.max

#: A finite number in a type of `typed`; msgspec takes NaN for a float.
Number: TypeAlias = Annotated[float, msgspec.Meta(ge=-_LARGEST, le=_LARGEST)]

#: A whole number of 64 bits: JSON has some that no float holds.
Whole: TypeAlias = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]

#: An object of JSON that others may have written: nothing is known of its values.
JsonObject: TypeAlias = dict[str, Any]

_T = TypeVar("_T")

_REMEDY = "correct it or save the file again"
_LONGEST_QUOTE = 120


def parse_json(
    text: bytes | str, name: str, remedy: str = _REMEDY, limit: int = MOST_BYTES, nan: bool = False
) -> Any:
    """Parse a JSON document.

    Args:
        text: UTF-8, with or without byte order mark, or text.
        name: name of the document in an error, such as its path; empty where the caller adds it.
        remedy: remedy for any error.
        limit: most bytes that it may have.
        nan: whether NaN and Infinity are accepted as numbers, as Python writes them; the caller checks each value.

    Raises:
        BadInput: it has too many bytes, or there is too little memory for its values; it is not UTF-8, not JSON,
            nested too deep, or holds NaN, Infinity or half a surrogate pair.
    """
    prefix = f"{name}: " if name else ""
    parse_constant = None if nan else _refuse_constant
    check_size(len(text), prefix, remedy, limit)
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        value = json.loads(decoded.removeprefix("\ufeff"), parse_constant=parse_constant)
        if "\\ud" in decoded.lower():  # half a surrogate pair can't be encoded again hours later
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:  # of UTF-8, too
        raise BadInput(f"{prefix}it is not JSON ({error})", remedy) from None
    except MemoryError:
        raise TooLarge.for_input(f"{prefix}it") from None
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def check_size(size: int, prefix: str, remedy: str, limit: int) -> None:
    """Raise BadInput for more than `limit` bytes; `prefix` begins its sentence. Called before they are read."""
    if size > limit:
        mebibytes = size / (1 << 20)
        most_mebibytes = limit / (1 << 20)
        raise BadInput(f"{prefix}it has {mebibytes:.1f} MiB, more than {most_mebibytes:.1f} MiB", remedy)


def unpack_gzip(data: bytes, name: str, remedy: str = _REMEDY, limit: int = MOST_BYTES) -> bytes:
    """Unpack a gzip file to at most `limit` bytes: 64 KiB can hold 64 MiB.

    Raises BadInput for a file that holds more, breaks off or is no gzip.
    """
    try:
        unpacked = gzip.GzipFile(fileobj=io.BytesIO(data)).read(limit + 1)
    except (EOFError, OSError, zlib.error) as error:
        raise BadInput(f"{name}: it can't be unpacked ({error})", remedy) from None
    check_size(len(unpacked), f"{name}: unpacked ", remedy, limit)
    return unpacked


def utf8_text(data: bytes, name: str) -> str:
    """Decode UTF-8 (with or without its mark) as text with newlines as LF. Raises BadInput."""
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise BadInput(f"{name} is not UTF-8 ({error})", "save the file as UTF-8") from None


#: Fields of a table. A line that lacks columns has empty fields in their place, so that 20,000 columns and as many
#: lines of one letter would take 8 GB.
MOST_FIELDS = 10_000_000


def csv_lines(text: str, name: str, columns: Sequence[str], remedy: str) -> list[dict[str, str]]:
    """Read the lines of a CSV file, which must have these columns; missing values of a line are empty.

    Raises DailytalkError; `remedy` is that for a damaged table.
    """
    reader = csv.DictReader(io.StringIO(text), strict=True, restval="")
    quota = Quota(f"the table {name!r}", MOST_FIELDS, "fields", remedy)
    lines = []
    try:
        names = Counter(reader.fieldnames or ())
        for line in reader:
            quota.take(len(line))
            lines.append(line)
    except csv.Error as error:  # a quotation mark that is never closed, or a field of over 128 kB
        raise DailytalkError(f"{name!r} is not CSV ({error})", remedy) from error
    except MemoryError:
        lines.clear()  # they fill it: there is none for the error
        raise TooLarge.for_input(f"the table {name!r}") from None
    wrong = {column for column in columns if names[column] != 1}
    if wrong:
        raise DailytalkError(f"the table {name!r} has no column {min(wrong)!r}, or several", remedy)
    return lines


#: Bytes of a YAML document: PyYAML takes five seconds for a megabyte.
MOST_YAML_BYTES = 256 << 10


def parse_yaml(text: str, name: str) -> Any:
    """Parse a YAML document, with plain types alone. Aliases are refused: those of aliases fill memory.

    Raises BadInput if it is not YAML, or can't be read for its aliases, its depth, its numbers or its dates.
    """
    check_size(len(text), f"{name}: ", _REMEDY, MOST_YAML_BYTES)
    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise yaml.YAMLError("it has aliases, such as *a, which are never read")
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError) as error:
        # PyYAML lets what int(), float() and datetime() raise through, and fails on some keys of mappings.
        first_line, _, _ = str(error).partition("\n")
        raise BadInput(f"{name}: its YAML can't be read ({first_line})", _REMEDY) from None


def typed(value: object, kind: type[_T], name: str, remedy: str = _REMEDY) -> _T:
    """Return the value, if `msgspec.convert` accepts it as a type: nothing is changed, and unknown keys stay.

    Raises BadInput, which names the first place with another type.

    >>> typed({"path": 3}, dict[str, str], "a.json", "save it again")
    Traceback (most recent call last):
    dailytalk_contiguous.core.errors.BadInput: a.json: Expected `str`, got `int` - at `$[...]`: save it again
    """
    try:
        msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        raise BadInput(f"{name}: {error}", remedy) from None
    except MemoryError:
        raise TooLarge.for_input(name) from None
    return cast(_T, value)


def fits(value: object, kind: object) -> bool:
    """Return whether `typed` accepts a value."""
    try:
        msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError:
        return False
    return True


def is_number(value: object, low: float = -math.inf, high: float = math.inf) -> TypeGuard[float]:
    """Return whether a value is a finite number (no bool) from `low` to `high`."""
    # Most values are floats, for which the first comparison is enough.
    if type(value) is not float and (isinstance(value, bool) or not isinstance(value, (int, float))):
        return False
    return -_LARGEST <= value <= _LARGEST and low <= value <= high


def printable_path(path: object) -> str:
    """Return a path for a sentence: bytes that are no UTF-8 are escaped."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def as_text(path: str | Path) -> str:
    """Return a path as text for any file and terminal, with forward slashes and `\\xff` for bytes not in UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace").replace(os.sep, "/")


def composed(name: str) -> str:
    """Normalise a name for comparison, to Unicode's NFC: names of older macOS have `é` as two characters."""
    return unicodedata.normalize("NFC", name)


def quoted(value: object) -> str:
    """Return a value for a sentence: its `repr`, cut where it is long; a text keeps both quotation marks."""
    if isinstance(value, str):
        value = value[: 2 * _LONGEST_QUOTE]
    text = repr(value)
    if len(text) <= _LONGEST_QUOTE:
        return text
    return f"{text[:_LONGEST_QUOTE]}…{text[-1]}"
