"""The types of records in Arrow, made from their classes (`core.records`)."""

from types import NoneType
from typing import Annotated, TypeAlias, get_args, get_origin, get_type_hints, is_typeddict

from datasets import Audio, List, Value

from dailytalk_contiguous.core.records import Stored, StoredAudio

#: The type of a column or a field, as `datasets` has it.
Feature: TypeAlias = Value | Audio | List | dict[str, "Feature"]


def feature_of(hint: object) -> Feature:
    """The feature of `datasets` for a type: the `Value` that it is annotated with, a list, or a struct.

    >>> from dailytalk_contiguous.core.records import Seconds
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
        return feature_of(annotated)
    if isinstance(hint, type) and is_typeddict(hint):
        return record_features(hint)
    if get_origin(hint) is list:
        (item,) = get_args(hint)
        return List(feature_of(item))
    (present,) = [part for part in get_args(hint) if part is not NoneType]
    return feature_of(present)


def record_features(record: type) -> dict[str, Feature]:
    """The features of the fields of a record, in their order."""
    hints = get_type_hints(record, include_extras=True)
    return {name: feature_of(hint) for name, hint in hints.items()}
