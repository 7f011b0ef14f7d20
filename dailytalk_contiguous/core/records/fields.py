"""Fields: values of an utterance or a row, each with its type, unit, description and key in a line.

Rows, lines of a transcript, their readers and their checks are made from fields (`core.records.utterance.FIELDS`,
and what stages publish beside these). This module knows no field by its name.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from typing import Annotated, Any, Literal, TypeAlias, TypedDict, get_args, get_type_hints

import msgspec
import numpy as np
from datasets import List, Value

from dailytalk_contiguous.core.documents import Number, fits
from dailytalk_contiguous.core.records.arrow_types import Feature, feature_of
from dailytalk_contiguous.core.records.record import AnyRecord

#: Depth in lists and objects of a value beyond which it is not searched for NaN; no type is as deep.
DEEPEST = 9

#: The type of a value in a line: a feature; an object of any names with values of one type; a text, or a list of
#: texts.
Shape: TypeAlias = Feature | dict[type[str], Feature] | list[Feature]

#: From a value in a row to one in a line, or back.
Converter: TypeAlias = Callable[[Any], object]

#: Where a value is besides rows: in the tables that queries of whole datasets read, in the files of the tables
#: alone, or nowhere.
TablePlace: TypeAlias = Literal["queries", "file", "rows"]

#: What is counted of a column: nothing; how often it has each value; mean, least and most of its numbers.
TALLIES = ("", "count", "mean")


@dataclasses.dataclass(frozen=True, eq=False)
class Field:
    """A field of an utterance: one of `core.records.utterance.FIELDS` or of `Stage.publishes`.

    One of the package is declared where its type is, in `Annotated[…, Field(…)]` of an attribute of
    `core.records.utterance.Utterance`, which gives its name and its feature.

    Attributes:
        name: name in a row.
        feature: type in a row; if None, that of the column that the stage adds.
        about: description, and where the value comes from.
        unit: unit or range, shown beside the type.
        key: key in a line of transcript.jsonl, such as `vad.valence` for one in an object; empty for the name.
        digits: decimals of numbers in a line; None for all.
        required: whether it must have a value, so that null is wrong.
        editable: whether a person's edit of it counts; fields that follow from others are not editable.
        part: `line` for lines alone, `built` for the output of `speak` alone, so not for transcript.jsonl; empty
            for everywhere.
        only_with: field that has to be set for this one to be written to a line.
        leave_out_empty: whether a line lacks it where it is null, 0 or empty.
        optional: whether rows of other programs may lack it; readers see null.
        shape: type in a line, where that is not `feature`.
        write: function from the value in a row to that in a line.
        read: function from the value in a line to that in a row.
        table: where tables of utterances have it.
        before: field before which it stands in a line, if no attribute holds it.
    """

    name: str = ""
    feature: Feature | None = None
    about: str = dataclasses.field(default="", repr=False)
    unit: str = dataclasses.field(default="", repr=False)
    key: str = ""
    digits: int | None = None
    required: bool = False
    editable: bool = True
    part: str = ""
    only_with: str = ""
    leave_out_empty: bool = False
    optional: bool = False
    shape: Shape | None = None
    write: Converter | None = None
    read: Converter | None = None
    table: TablePlace = "queries"
    before: str = ""

    def __getstate__(self) -> dict[str, object]:
        """Return the attributes alone: values computed from them, such as `kind`, may not be picklable."""
        return {attribute.name: getattr(self, attribute.name) for attribute in dataclasses.fields(self)}

    @cached_property
    def path(self) -> tuple[str, ...]:
        """The key in a line, after the keys of the objects that it is in."""
        key = self.key or self.name
        return tuple(key.split("."))

    @cached_property
    def kind(self) -> object:
        """The type of the value in a line, for `value_problem`."""
        return value_kind(self.feature if self.shape is None else self.shape)

    @cached_property
    def writer(self) -> Converter | None:
        """The function from a row's value, which is not null, to one of a line; None where it is unchanged."""
        if self.write:
            return self.write
        if isinstance(self.feature, Value) and not self.feature.dtype.startswith("float"):
            return None
        return partial(finite, digits=self.digits)

    def value_in(self, line: Mapping[str, object]) -> object:
        """Return its value in a line; None for an empty text, NaN and infinity."""
        value: object = line
        for name in self.path:
            value = value.get(name) if isinstance(value, Mapping) else None
        if self.read:
            return self.read(value)
        if isinstance(value, float) and not math.isfinite(value):
            return None
        if value == "":
            return None
        return value


@dataclasses.dataclass(frozen=True, eq=False)
class Column(Field):
    """A column with one value a conversation: one of `core.records.schema.COLUMNS` or of `Stage.publishes`.

    One of the package is declared at an attribute of `core.records.conversation.Conversation`.

    Attributes:
        tally: kind of count for reports and cards, one of `TALLIES`.
        in_lines: whether each line of a transcript repeats it; an edit of it there has no effect.
    """

    part: str = "line"  # of no utterance
    tally: str = ""
    in_lines: bool = False


def declared_fields(record: type[msgspec.Struct]) -> list[Field]:
    """Return the fields that a class declares for its attributes, in order, with their names and types."""
    fields: list[Field] = []
    hints = get_type_hints(record, include_extras=True)
    for name in record.__struct_fields__:
        for mark in get_args(hints[name]):
            if isinstance(mark, Field):
                fields.append(dataclasses.replace(mark, name=name, feature=feature_of(hints[name])))
    return fields


def columns_among(fields: Iterable[Field]) -> tuple[Column, ...]:
    return tuple(field for field in fields if isinstance(field, Column))


def columns_of_lines(row: AnyRecord, fields: Iterable[Field]) -> dict[str, object]:
    """Return the fields that each line of a conversation repeats of its row, by its columns."""
    values: dict[str, object] = {}
    for column in columns_among(fields):
        if column.in_lines:
            value = row[column.name]
            if column.writer and value is not None:
                value = column.writer(value)
            values[column.path[0]] = value
    return values


def finite(value: Any, digits: int | None = None) -> Any:
    """Copy a value with None in place of NaN and infinity at any depth, and with its numbers rounded to decimals.

    >>> finite({"words": [{"probability": float("nan")}]})
    {'words': [{'probability': None}]}
    """
    if isinstance(value, (float, np.floating)):  # twice as fast as a union of types, and a corpus has millions
        if not math.isfinite(value):
            return None
        return value if digits is None else round(float(value), digits)
    if isinstance(value, (list, tuple)):
        return [finite(item, digits) for item in value]
    if isinstance(value, dict):
        return {name: finite(item, digits) for name, item in value.items()}
    return value


# Types of values, as msgspec checks them and as people read them.


def value_kind(feature: Shape) -> Any:
    """Return the type of a feature's values for `value_problem`; parts of objects may be missing or null.

    A Python list stands for one text, or a list of texts.
    """
    if isinstance(feature, Value):
        return _plain_kind(feature.dtype)
    if isinstance(feature, List):
        return list[value_kind(feature.feature)]  # type: ignore[misc]
    if isinstance(feature, list):
        (text,) = feature
        return str | list[value_kind(text)]  # type: ignore[misc]
    kinds = {key: value_kind(part) | None for key, part in feature.items()}
    for key, kind in kinds.items():
        if key is str:
            return dict[str, kind]  # type: ignore[valid-type]
    # No `msgspec.defstruct`: names may be of others, and no identifiers.
    return TypedDict("object", kinds, total=False)  # type: ignore[operator]


def _plain_kind(dtype: str) -> object:
    if dtype == "string":
        return str
    if dtype == "bool":
        return bool
    if dtype.startswith("int"):
        bits = int(dtype.removeprefix("int"))
        beyond = 1 << (bits - 1)
        return Annotated[int, msgspec.Meta(ge=-beyond, le=beyond - 1)]
    return Number


def value_problem(value: object, kind: object, key: str) -> str | None:
    """Say in a sentence why a value of a line is not of the type of its field (`Field.kind`); None if it is.

    Null and an empty text are of any type. So is the NaN that the older tool wrote inside an object, or in place
    of an object, of a number or of a truth value.
    """
    if value is None or value == "":
        return None
    try:
        msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        substitutes: list[object] = [0, False, {}]
        if not _is_nan(value):
            substitutes = [_without_nan(value, DEEPEST)]
        if not any(fits(substitute, kind) for substitute in substitutes):
            return f"{key}: {error}"
    return None


def _is_nan(value: object) -> bool:
    return value != value


def _without_nan(value: object, depth: int) -> object:
    """Copy a value without the NaN in its objects, down to a depth."""
    if depth and isinstance(value, dict):
        kept = {key: part for key, part in value.items() if not _is_nan(part)}
        return {key: _without_nan(part, depth - 1) for key, part in kept.items()}
    if depth and isinstance(value, list):
        return [_without_nan(part, depth - 1) for part in value]
    return value


def type_in_words(feature: Feature) -> str:
    """Return a type in words: text, number, list of text, {word, start}.

    >>> type_in_words(List({"word": Value("string"), "start": Value("float64")}))
    'list of {word, start}'
    """
    if isinstance(feature, List):
        inner = type_in_words(feature.feature)
        plural = "s" if inner in ("integer", "number") else ""
        return f"list of {inner}{plural}"
    if isinstance(feature, dict):
        names = ", ".join(feature)
        return f"{{{names}}}"
    if feature.dtype == "string":
        return "text"
    if feature.dtype == "bool":
        return "true or false"
    return "integer" if feature.dtype.startswith("int") else "number"
