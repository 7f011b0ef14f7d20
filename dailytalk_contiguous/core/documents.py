"""Reads JSON, YAML and CSV of other authors, and says what is wrong with it in one sentence.

Half a surrogate pair can't be encoded again hours later, and NaN is no time: both are rejected where the text is
parsed.
"""

import csv
import errno
import gzip
import io
import itertools
import json
import math
import os
import re
import stat
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TypeGuard

import yaml

from dailytalk_contiguous.core.errors import BadInput, DailytalkError

#: Bytes of a document (about 100 hours of words with times) and of one line of JSON Lines.
MOST_BYTES, MOST_LINE_BYTES = 64 << 20, 8 << 20

#: Bytes of a document that we wrote ourselves, which grows with the corpus: about 100,000 conversations.
MOST_OWN_BYTES = 512 << 20

#: Seconds; no recording lasts so long.
LATEST = 1e9

#: The largest float: some integers are beyond it.
_LARGEST = sys.float_info.max

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_REMEDY = "correct it or save the file again"
_LONGEST_QUOTE = 120


def parse_json(
    text: bytes | str,
    name: str,
    remedy: str = _REMEDY,
    limit: int = MOST_BYTES,
    line: int = 1,
    nan: bool = False,
    surrogates: bool = False,
) -> Any:
    """The value of a JSON document.

    Args:
        text: UTF-8, with or without byte order mark, or text.
        name: what the document is called in an error, such as its path; empty where the caller says so.
        remedy: what to do about any error.
        limit: bytes that it may have.
        line: its line in a file of many, by which errors name a place.
        surrogates: whether halves of characters may stay: file names that are no UTF-8 have them.
        nan: whether NaN and Infinity are taken as numbers, as Python writes them; the caller checks each value.

    Raises:
        BadInput: it is too large, not UTF-8, not JSON, nested too deep, or holds NaN, Infinity, a number that is
            infinite as a float, a lone surrogate, or an object with the same name twice.
    """

    def refuse(reason: str) -> NoReturn:
        raise BadInput(f"{name}: {reason}" if name else reason, remedy) from None

    if len(text) > limit:
        refuse(f"it has {_size(len(text))}, more than {_size(limit)}")
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        value = (_WITH_NAN if nan else _DECODER).decode(text.removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        before = error.object[: error.start].count(b"\n")
        refuse(f"line {line + before} is not UTF-8" if name else "it is not UTF-8")
    except json.JSONDecodeError as error:
        refuse(f"{f'line {line + error.lineno - 1}' if name else 'it'} is not JSON ({error.msg})")
    except RecursionError:
        refuse("it is nested too deep")
    except ValueError as error:
        refuse(str(error))
    if not surrogates and _SURROGATE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            refuse(f"it holds half a character ({error.object[error.start]!r}, a lone surrogate)")
    return value


def read_json(path: Path, remedy: str = _REMEDY, limit: int = MOST_BYTES) -> Any:
    """The value of a JSON file. Raises BadInput as `parse_json`, and for what is missing."""
    return parse_json(read_bytes(path, remedy, limit), shown(path), remedy, limit)


def open_regular(path: Path) -> BinaryIO:
    """Open a file that others may have sent; OSError for a pipe or a device, which would be waited for."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path.open("rb")


def read_bytes(path: Path, remedy: str = _REMEDY, limit: int = MOST_BYTES) -> bytes:
    """The bytes of a file from outside.

    Raises BadInput for one that can't be read, or is larger than `limit`.
    """
    try:
        with open_regular(path) as file:
            if (size := os.fstat(file.fileno()).st_size) > limit:
                raise BadInput(f"{shown(path)}: it has {_size(size)}, more than {_size(limit)}", remedy)
            return file.read()
    except OSError as error:
        reason = (
            "it is not there" if isinstance(error, FileNotFoundError) else f"it can't be read ({error.strerror})"
        )
        raise BadInput(f"{shown(path)}: {reason}", remedy) from None


def unpack_gzip(data: bytes, name: str, remedy: str = _REMEDY, limit: int = MOST_BYTES) -> bytes:
    """The content of a gzip file.

    Never more than `limit` bytes are made: 64 KiB can hold 64 MiB. Raises BadInput for what holds more, breaks off
    or is no gzip.
    """
    try:
        unpacked = gzip.GzipFile(fileobj=io.BytesIO(data)).read(limit + 1)
    except EOFError:
        raise BadInput(f"{name}: it is gzip that breaks off", remedy) from None
    except (OSError, zlib.error):
        raise BadInput(f"{name}: it is not gzip, or it is damaged", remedy) from None
    if len(unpacked) > limit:
        raise BadInput(f"{name}: it holds more than {_size(limit)}", remedy)
    return unpacked


def json_lines(
    path: Path,
    remedy: str = "mend or delete the line",
    nan: bool = False,
    first: int = 1,
    last: int | None = None,
) -> Iterator[tuple[int, dict[str, Any] | BadInput]]:
    """The objects of a JSON Lines file with their numbers from 1; blank lines are skipped.

    Lines before `first` are not parsed, and those after `last` are not read.

    A line that can't be used is the BadInput that says why, without its place, so that the others are still read.
    Raises BadInput for a file that is missing or can't be read.
    """
    for number, line in itertools.islice(numbered_lines(path, remedy), first - 1, last):
        if len(line) > MOST_LINE_BYTES:
            yield number, BadInput(f"it has more than {_size(MOST_LINE_BYTES)}", remedy)
        elif line.strip():
            try:
                value = parse_json(line, "", remedy, nan=nan)
            except BadInput as error:
                yield number, error
                continue
            if isinstance(value, dict):
                yield number, value
            else:
                yield number, BadInput("it is not a JSON object", remedy)


def numbered_lines(path: Path, remedy: str = _REMEDY, limit: int = MOST_LINE_BYTES) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their ends and their numbers from 1; of one over `limit` bytes, `limit` and one.

    Raises BadInput for a file that is missing or can't be read.
    """
    try:
        with open_regular(path) as file:
            number = 0
            while line := file.readline(limit + 1):
                number += 1
                yield number, line
                while len(line) > limit and not line.endswith(b"\n"):
                    line = file.readline(len(line))
    except OSError as error:
        raise BadInput(f"{shown(path)}: it can't be read ({error.strerror})", remedy) from None


class _PlainLoader(yaml.SafeLoader):  # type: ignore[misc]
    """Refuses `<<`, which copies what it names, and with aliases of aliases fills memory."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None: ...


def utf8_text(data: bytes, name: str) -> str:
    """UTF-8 (with or without its mark) as text with newlines as LF. Raises BadInput."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BadInput(f"line {line} of {name} is not UTF-8", "save the file as UTF-8") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def csv_lines(text: str, name: str, columns: Sequence[str], remedy: str) -> list[dict[str, str]]:
    """The lines of a CSV file, of which it must have these columns, each once.

    Raises DailytalkError, with the line; `remedy` is what to do about a table that is damaged.
    """
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        names = list(reader.fieldnames or [])
        lines = list(reader)
    except csv.Error as error:  # a quotation mark that is never closed, or a field of over 128 kB
        where = reader.line_num + 1  # where the line begins that could not be read
        raise DailytalkError(f"line {where} of {name!r} is no CSV ({error})", remedy) from error
    if missing := [column for column in columns if column not in names]:
        raise DailytalkError(f"the table {name!r} has no column {missing[0]!r}, but {quoted(names)}", remedy)
    if twice := [column for column in columns if names.count(column) > 1]:
        raise DailytalkError(f"the table {name!r} has two columns {twice[0]!r}", remedy)
    for number, line in enumerate(lines, 2):
        if any(line[column] is None for column in columns):
            raise DailytalkError(f"line {number} of {name!r} is cut short", remedy)
    return lines


def parse_yaml(text: str, name: str) -> Any:
    """The value of a YAML document, with plain types alone.

    Raises BadInput if it is not YAML, or can't be read for its depth, its numbers or its dates.
    """
    if len(text) > MOST_LINE_BYTES:
        raise BadInput(f"{name}: it has {_size(len(text))}, more than {_size(MOST_LINE_BYTES)}", _REMEDY)
    try:
        return yaml.load(text, _PlainLoader)
    except RecursionError:
        raise BadInput(f"{name}: it is nested too deep", _REMEDY) from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError) as error:
        # PyYAML lets what int(), float() and datetime() raise through, and fails on some keys of mappings.
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise BadInput(f"{name}: it is not YAML ({reason})", _REMEDY) from None


def expect(value: Any, shape: Any, name: str, remedy: str = _REMEDY) -> Any:
    """The value, if it has a shape; raises BadInput naming the first place that has not.

    A shape is a type (`float`: any finite number, `object`: anything), a range of whole numbers, a list of one
    shape for all items, or a dict: of `{str: shape}` for all values, or of shapes by name, where a name that ends
    in `?` may be missing or null.

    >>> expect({"path": "a.wav"}, {"path": str, "duration": float}, "train.jsonl")
    Traceback (most recent call last):
    dailytalk_contiguous.core.errors.BadInput: train.jsonl: duration is missing: correct it or save the file again
    """
    problem = misfit_of(value, shape)
    if problem:
        raise BadInput(f"{name}: {problem}", remedy)
    return value


def fits(value: Any, shape: Any) -> bool:
    """Return whether `expect` accepts a value."""
    return misfit_of(value, shape) is None


def misfit_of(value: Any, shape: Any, path: str = "it") -> str | None:
    """Why a value has not a shape of `expect`, in a sentence; None if it has."""
    inner = "" if path == "it" else f"{path}."
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{path} is {quoted(value)}, not a list"
        # Seen at once, for an index of shards holds millions of numbers.
        is_plain = shape[0] in (str, float) and {*map(type, value)} <= {shape[0]}
        if is_plain and (shape[0] is str or all(map(math.isfinite, value))):
            return None
        items: Any = ((f"{inner}{number}", child, shape[0]) for number, child in enumerate(value, 1))
    elif isinstance(shape, dict):
        if not isinstance(value, dict):
            return f"{path} is {quoted(value)}, not an object"
        if str in shape:
            items = ((f"{inner}{key}", child, shape[str]) for key, child in value.items())
        else:
            missing = [key for key in shape if not key.endswith("?") and value.get(key) is None]
            if missing:
                return f"{inner}{missing[0]} is missing"
            items = (
                (f"{inner}{key.removesuffix('?')}", value[key.removesuffix("?")], kind)
                for key, kind in shape.items()
                if value.get(key.removesuffix("?")) is not None
            )
    elif shape is float:
        return None if is_number(value) else f"{path} is {quoted(value)}, not a number"
    elif isinstance(shape, range):
        return None if type(value) is int and value in shape else f"{path} is {quoted(value)}, not a whole number"
    elif shape is int:
        right = isinstance(value, int) and is_number(value)
        return None if right else f"{path} is {quoted(value)}, not a whole number"
    else:
        return None if isinstance(value, shape) else f"{path} is {quoted(value)}, not {_KINDS.get(shape, shape)}"
    return next((problem for item in items if (problem := misfit_of(item[1], item[2], item[0]))), None)


_KINDS = {str: "text", bool: "true or false", dict: "an object", list: "a list"}


def with_null(value: Any) -> Any:
    """Copy a JSON value, with null in place of NaN and infinity at any depth.

    >>> with_null({"words": [{"probability": float("nan")}]})
    {'words': [{'probability': None}]}
    """
    if isinstance(value, Mapping):
        return {name: with_null(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [with_null(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def is_number(value: Any, low: float = -math.inf, high: float = math.inf) -> TypeGuard[float]:
    """Return whether a value is a finite number (no bool) from `low` to `high`."""
    if type(value) is float:  # as nearly all are, and a dataset has millions
        return -math.inf < value < math.inf and low <= value <= high
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return -_LARGEST <= value <= _LARGEST and low <= value <= high


def has_length(start: Any, end: Any) -> bool:
    """Return whether two values are finite numbers, the second above the first."""
    if type(start) is float and type(end) is float:
        return -math.inf < start < end < math.inf
    return is_number(start) and is_number(end) and start < end


def shown(path: Path) -> str:
    """A path in a sentence: bytes that are no UTF-8 are escaped."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def as_text(path: str | Path) -> str:
    """A path as text that any file and terminal takes: with forward slashes, and `\\xff` for what is not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace").replace(os.sep, "/")


def quoted(value: Any) -> str:
    """A value in a sentence: its `repr`, cut where it is long; a text is between its marks all the same."""
    text = repr(value)
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…{text[-1]}"


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {_cut(digits)} is too large")
    return value


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of these names and values. Raises ValueError if it has a name twice."""
    value = dict(pairs)
    if len(value) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common()[0]
        raise ValueError(f"an object has the name {_cut(twice)!r} twice")
    return value


_DECODER = json.JSONDecoder(parse_float=_float, parse_constant=_constant, object_pairs_hook=without_doubles)
_WITH_NAN = json.JSONDecoder(parse_float=_float, object_pairs_hook=without_doubles)


def _cut(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:24]}…"


def _size(count: int) -> str:
    return f"{count / (1 << 20):.1f} MiB"
