"""The types of records in Arrow, made from their classes (`core.records.record`)."""

from dataclasses import is_dataclass
from types import NoneType
from typing import Annotated, TypeAlias, get_args, get_origin, get_type_hints, is_typeddict

import msgspec
from datasets import Audio, List, Value

from dailytalk_contiguous.core.records.record import FinishedName, Parts, Stored, StoredAudio

#: The type of a column or a field, as `datasets` has it.
Feature: TypeAlias = Value | Audio | List | dict[str, "Feature"]


def feature_of(hint: object) -> Feature:
    """Return the feature of `datasets` for a type: its annotation, a list, or a struct.

    A dict that is annotated with a class is a struct with its fields.

    >>> from dailytalk_contiguous.core.records.record import Seconds
    >>> feature_of(list[Seconds] | None)
    List(Value('float64'))
    """
    if get_origin(hint) is Annotated:
        annotated, *marks = get_args(hint)
        for mark in marks:
            if isinstance(mark, Stored):
                return Value(mark.dtype)
            if isinstance(mark, StoredAudio):
                return Audio(num_channels=mark.num_channels)
            if isinstance(mark, type):
                return record_features(mark)
            if isinstance(mark, Parts):
                (record,) = get_args(annotated)
                return List(record_features(record, mark))
        return feature_of(annotated)
    if isinstance(hint, type) and (is_typeddict(hint) or is_dataclass(hint) or issubclass(hint, msgspec.Struct)):
        return record_features(hint)
    if hint is str:
        return Value("string")
    if get_origin(hint) is list:
        (item,) = get_args(hint)
        return List(feature_of(item))
    (present,) = [part for part in get_args(hint) if part is not NoneType]
    return feature_of(present)


def record_features(record: type, parts: Parts | None = None) -> dict[str, Feature]:
    """Return the features of a record's fields, or of these parts of it, by their names in a row, in order."""
    hints = get_type_hints(record, include_extras=True)
    features = {name: feature_of(hint) for name, hint in hints.items()}
    return {name: features[name] for name in parts.names} if parts else features


def finished_names(record: type[msgspec.Struct]) -> dict[str, str]:
    """Return the attributes of a class that have another name in a finished row, by these names."""
    names: dict[str, str] = {}
    for attribute, hint in get_type_hints(record, include_extras=True).items():
        for mark in get_args(hint):
            if isinstance(mark, FinishedName):
                names[mark.name] = attribute
    return names
