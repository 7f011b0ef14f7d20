"""Fields that stages publish beside those of `core.records.utterance.FIELDS`: their possible names and types, and
their form in run.json and a version's manifest.
"""

from collections.abc import Iterable
from typing import NotRequired, TypedDict

from datasets import Features, List, Value

from dailytalk_contiguous.core.documents import Whole, typed
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.arrow_types import Feature
from dailytalk_contiguous.core.records.fields import TALLIES, Column, Field
from dailytalk_contiguous.core.records.record import AnyRecord
from dailytalk_contiguous.core.records.schema import AUDIO_COLUMN, CHANNELS, LABELLED, PROBLEM, digest_column
from dailytalk_contiguous.core.records.utterance import FIELDS

#: Types that a stage may publish, for they are the same in Arrow, JSON and the Hub's viewer.
PLAIN_TYPES = ("string", "bool", "int8", "int16", "int32", "int64", "float32", "float64")

#: Columns that rows have beside the fields of utterances: those of finished rows, and of ones that can't be used.
NAMES_OF_COLUMNS = frozenset(
    {
        *LABELLED,
        *CHANNELS,
        *map(digest_column, (AUDIO_COLUMN, *CHANNELS)),
        "problem",
        "problem_column",
        "remedy",
    }
)


class Described(TypedDict):
    """A field as `described` writes it."""

    name: str
    type: object
    unit: NotRequired[str | None]
    about: NotRequired[str | None]
    digits: NotRequired[Whole | None]
    required: NotRequired[bool | None]
    tally: NotRequired[str | None]
    in_lines: NotRequired[bool | None]


def described(fields: Iterable[Field]) -> list[Described]:
    """Describe fields that stages publish as JSON."""
    records: list[Described] = []
    for field in fields:
        record: Described = {
            "name": field.name,
            "type": _type_text(field.feature),
            "unit": field.unit,
            "about": field.about,
            "digits": field.digits,
            "required": field.required,
        }
        if isinstance(field, Column):
            record["tally"] = field.tally
            record["in_lines"] = field.in_lines
        records.append(record)
    return records


def published(records: Iterable[AnyRecord], where: str) -> tuple[Field, ...]:
    """Read the fields of `described`, which may come from outside; `where` is the file that has them.

    Raises DailytalkError for a name or a type that no stage can publish; BadInput for a record of another form.
    """
    fields = [_field_of(typed(record, Described, f"the fields of {where}")) for record in records]
    return checked_fields(fields, where)


def checked_fields(fields: Iterable[Field], where: str) -> tuple[Field, ...]:
    """Return fields beside `FIELDS`. Raises DailytalkError for a name in use, or a type that no field may have."""
    taken = set(NAMES_OF_COLUMNS)
    for field in FIELDS:
        taken.update((field.name, field.path[0]))
    checked: list[Field] = []
    for field in fields:
        problem = _field_problem(field, taken)
        if problem:
            raise DailytalkError(f"{where} publishes {field.name!r}, {problem}", "publish it in another way")
        taken.add(field.name)
        checked.append(field)
    return tuple(checked)


def fields_beside(features: Features, described_fields: Iterable[Field]) -> tuple[Field, ...]:
    """Return the columns of a finished dataset, and fields of its utterances, that this package does not have.

    Those that nobody describes are of a newer version, or of other people; one of a type that no stage may publish
    is left out.

    Args:
        features: the columns of the dataset.
        described_fields: the fields that its manifest describes.
    """
    of_utterances = getattr(features["utterances"], "feature", {})
    unknown: list[Field] = [Field(name, feature) for name, feature in of_utterances.items()]
    unknown += [Column(name, feature) for name, feature in features.items()]
    fields = list(described_fields)
    taken = {*NAMES_OF_COLUMNS, *PROBLEM}
    taken.update(field.name for field in (*FIELDS, *fields))
    for field in unknown:
        if _field_problem(field, taken) is None:
            fields.append(field)
            taken.add(field.name)
    return tuple(fields)


def _field_problem(field: Field, taken: set[str]) -> str | None:
    """Say why a stage can't publish a field; None if it can."""
    if field.name in taken:
        return "which is the name of another field"
    if not field.name.isidentifier():
        return "which can't be the name of a column"
    if isinstance(field, Column) and field.tally not in TALLIES:
        tallies = ", ".join(filter(None, TALLIES))
        return f"with a tally that is none of {tallies}"
    if not _is_plain(field.feature):
        plain_types = ", ".join(PLAIN_TYPES)
        return f"with a type that is not made of {plain_types}"
    return None


def _field_of(record: Described) -> Field:
    name = record["name"]
    feature = _type_of(record["type"])
    about = record.get("about") or ""
    unit = record.get("unit") or ""
    digits = record.get("digits")
    required = bool(record.get("required"))
    tally = record.get("tally")
    if tally is None:
        return Field(name, feature, about, unit, digits=digits, required=required)
    in_lines = bool(record.get("in_lines"))
    return Column(name, feature, about, unit, digits=digits, required=required, tally=tally, in_lines=in_lines)


def _is_plain(feature: object) -> bool:
    if isinstance(feature, Value):
        return feature.dtype in PLAIN_TYPES
    if isinstance(feature, List):
        return _is_plain(feature.feature)
    return isinstance(feature, dict) and bool(feature) and all(map(_is_plain, feature.values()))


def _type_text(feature: Feature | None) -> object:
    """Write a type as JSON: the name of a plain one, a list of one type, an object of types by name."""
    if isinstance(feature, List):
        return [_type_text(feature.feature)]
    if isinstance(feature, dict):
        return {name: _type_text(part) for name, part in feature.items()}
    assert isinstance(feature, Value), feature
    return feature.dtype


def _type_of(text: object) -> Feature | None:
    """Read the type that `_type_text` wrote; None for anything else."""
    if isinstance(text, list) and len(text) == 1:
        return List(_type_of(text[0]))
    if isinstance(text, dict):
        return {str(name): _type_of(part) for name, part in text.items()}
    if text in PLAIN_TYPES:
        return Value(text)
    return None
