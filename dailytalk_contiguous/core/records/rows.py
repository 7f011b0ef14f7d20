"""Rows and objects: the codec between a conversation in flight and its row.

A column of a row is a field of the conversation, or a list of one field of its utterances, since that is what
Parquet and `datasets` hold.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, get_args, get_type_hints

import msgspec
import numpy as np
import pyarrow as pa
from datasets import Features, List
from msgspec.structs import replace

from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.records.arrow_types import Feature, feature_of
from dailytalk_contiguous.core.records.conversation import Conversation, Cue
from dailytalk_contiguous.core.records.utterance import UNSET, Utterance, is_set, or_none
from dailytalk_contiguous.core.words.word import Word


class _Codec(NamedTuple):
    """A codec of a column: its types, and whether its values are objects."""

    hint: Any
    feature: Feature
    holds_objects: bool
    listed: List

    def read(self, value: Any) -> Any:
        """Read the value of the field from that of a row, whose lists and dicts stay as they are."""
        if value is not None and self.holds_objects:
            return msgspec.convert(value, self.hint)
        return [*value] if isinstance(value, list) else value

    def write(self, value: Any) -> Any:
        """Write the value of a row from that of the field."""
        if not self.holds_objects:
            return value
        return _plain(msgspec.to_builtins(value, enc_hook=_python_number), self.feature)


def _codecs(record: type[msgspec.Struct]) -> dict[str, _Codec]:
    """Return the codecs of the fields of a class, by the names of their columns."""
    codecs: dict[str, _Codec] = {}
    hints = get_type_hints(record, include_extras=True)
    for name in record.__struct_fields__:
        if name not in ("utterances", "extra"):
            hint = hints[name]
            feature = feature_of(hint)
            codecs[name] = _Codec(hint, feature, _holds_objects(hint), List(feature))
    return codecs


def _holds_objects(hint: object) -> bool:
    """Whether values of a type are objects or contain any."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct | Reject):
        return True
    return any(map(_holds_objects, get_args(hint)))


def _python_number(value: object) -> object:
    """Turn a number of NumPy, which the user's own aligners may return, into one of Python."""
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(f"a {type(value).__name__} in a column")


def _plain(value: Any, feature: Feature) -> Any:
    """Return a value with the fields of its type alone: words have more than most columns keep."""
    if isinstance(feature, List) and value is not None:
        return [_plain(item, feature.feature) for item in value]
    if isinstance(feature, dict) and value is not None:
        return {name: _plain(value[name], kind) for name, kind in feature.items()}
    return value


_OF_CONVERSATION = _codecs(Conversation)

_OF_UTTERANCE = _codecs(Utterance)

#: The names of all columns that are fields.
_KNOWN = _OF_CONVERSATION.keys() | _OF_UTTERANCE.keys()


def conversation_features(*names: str) -> Features:
    """Return the types of columns of a conversation."""
    features: dict[str, Feature] = {}
    for name in names:
        if name in _OF_CONVERSATION:
            features[name] = _OF_CONVERSATION[name].feature
        else:
            features[name] = List(_OF_UTTERANCE[name].feature)
    return Features(features)


def utterance_features(*names: str) -> Features:
    """Return the types of columns of single utterances."""
    return Features({name: _OF_UTTERANCE[name].feature for name in names})


def from_row(row: Mapping[str, Any], features: Features | None = None) -> Conversation:
    """Make the conversation with these columns. Raises ValueError where its utterances lack a value each."""
    talk = Conversation()
    assign(talk, row, features)
    return talk


def assign(talk: Conversation, row: Mapping[str, Any], features: Features | None = None) -> None:
    """Set these columns of a conversation, whose utterances a row with `utterance_id` may make anew.

    A list is a column of the utterances if a field of `Utterance` has its name. Values of a column to which
    `features` give another type than its field has, and words without text in other people's rows, are kept as
    they are in `extra`. Raises ValueError, with its name, for a column without a value for each utterance.
    """
    of_utterances: dict[str, list[Any]] = {}
    for name, value in row.items():
        kind = features[name] if features else None
        of_talk = _OF_CONVERSATION.get(name)
        of_utterance = _OF_UTTERANCE.get(name)
        talk.extra[name] = value
        try:
            if of_talk and kind in (None, of_talk.feature):
                setattr(talk, name, of_talk.read(value))
                del talk.extra[name]
            elif of_utterance and isinstance(value, list) and kind in (None, of_utterance.listed):
                of_utterances[name] = [of_utterance.read(item) for item in value]
                del talk.extra[name]
        except msgspec.ValidationError:
            continue
    if not of_utterances:
        return
    count = len(of_utterances.get("utterance_id") or next(iter(of_utterances.values())))
    if is_set(talk.utterances) and "utterance_id" not in row:
        count = len(talk.utterances)
    for name, values in of_utterances.items():
        if len(values) != count:
            raise ValueError(f"the column {name!r} has {len(values)} values for {count} utterances")
    if not is_set(talk.utterances) or count != len(talk.utterances):
        talk.utterances = [Utterance() for _ in range(count)]
    for name, values in of_utterances.items():
        for utterance, value in zip(talk.utterances, values, strict=True):
            setattr(utterance, name, value)


def from_flat(
    rows: Iterable[Mapping[str, Any]], shared: Container[str]
) -> tuple[list[Conversation], list[Utterance]]:
    """Make the conversations of rows that are one utterance each, and their utterances in the order of the rows.

    Rows with the same `conversation_id` are one conversation; a row without it, or with null, is one by itself.
    The columns of `shared` are those of the conversation, as its first row has them.
    """
    talks: dict[object, Conversation] = {}
    utterances: list[Utterance] = []
    for row in rows:
        key = row.get("conversation_id")
        if key is None:
            key = object()
        if key not in talks:
            talks[key] = from_row({name: value for name, value in row.items() if name in shared})
            talks[key].utterances = []
        utterance = Utterance()
        assign_flat(utterance, {name: value for name, value in row.items() if name not in shared})
        talks[key].utterances.append(utterance)
        utterances.append(utterance)
    return [*talks.values()], utterances


def assign_flat(utterance: Utterance, row: Mapping[str, Any]) -> None:
    """Set these columns of an utterance; those without a field, or with a value not of its type, in `extra`."""
    for name, value in row.items():
        codec = _OF_UTTERANCE.get(name)
        utterance.extra[name] = value
        if codec is None:
            continue
        try:
            setattr(utterance, name, codec.read(value))
            del utterance.extra[name]
        except msgspec.ValidationError:
            continue


def known_columns(utterance: Utterance, names: Iterable[str]) -> dict[str, Any]:
    """Return these columns of an utterance; null for those that no stage has made."""
    record: dict[str, Any] = {}
    for name in names:
        if name in _OF_UTTERANCE:
            codec = _OF_UTTERANCE[name]
            record[name] = codec.write(or_none(getattr(utterance, name)))
        else:
            record[name] = utterance.extra.get(name)
    return record


def to_flat(utterance: Utterance, names: Iterable[str]) -> dict[str, Any]:
    """Return these columns of an utterance. Raises KeyError, with its name, for one that no stage has made."""
    return {name: _of_utterance(utterance, name) for name in names}


def has_column(talk: Conversation, name: str) -> bool:
    """Whether a column of a conversation is made; every column of utterances is where it has none."""
    if name in talk.extra:
        return True
    if name in _OF_CONVERSATION:
        return is_set(getattr(talk, name))
    if not is_set(talk.utterances):
        return False
    codec = _OF_UTTERANCE.get(name)
    if not talk.utterances:
        return codec is not None
    first = talk.utterances[0]
    return is_set(getattr(first, name)) if codec else name in first.extra


def to_row(talk: Conversation, names: Iterable[str]) -> dict[str, Any]:
    """Return these columns of a conversation. Raises KeyError, with its name, for one that no stage has made."""
    row: dict[str, Any] = {}
    for name in names:
        if name in talk.extra:
            row[name] = talk.extra[name]
        elif name in _OF_CONVERSATION:
            codec = _OF_CONVERSATION[name]
            row[name] = _written(codec, talk, name)
        else:
            row[name] = values_of(talk.utterances, name)
    return row


def cues_of_row(row: Mapping[str, Any]) -> list[Cue]:
    """Read the cues of a row of a source; none where it has no transcript."""
    cues: list[Cue] = _OF_CONVERSATION["cues"].read(row.get("cues") or [])
    return cues


def rows_of_cues(cues: Sequence[Cue]) -> list[dict[str, Any]]:
    """Write cues as a row has them in `cues`."""
    rows: list[dict[str, Any]] = _OF_CONVERSATION["cues"].write(cues)
    return rows


def rows_of_words(words: Sequence[Word]) -> list[dict[str, Any]]:
    """Write words of a result as a row has them in `alignments`."""
    rows: list[dict[str, Any]] = _OF_CONVERSATION["alignments"].write(words)
    return rows


def values_of(utterances: Iterable[Utterance], name: str) -> list[Any]:
    """Return a column of utterances. Raises KeyError, with its name, for one that no stage has made."""
    return [_of_utterance(utterance, name) for utterance in utterances]


def _of_utterance(utterance: Utterance, name: str) -> Any:
    if name in utterance.extra or name not in _OF_UTTERANCE:
        return utterance.extra[name]
    return _written(_OF_UTTERANCE[name], utterance, name)


def _written(codec: _Codec, record: msgspec.Struct, name: str) -> Any:
    value = getattr(record, name)
    if value is UNSET:
        raise KeyError(name)
    return codec.write(value)


def set_null(utterance: Utterance, names: Iterable[str]) -> None:
    """Set these columns of an utterance to null."""
    assign_flat(utterance, dict.fromkeys(names))


def share_out(talk: Conversation, names: Iterable[str]) -> None:
    """Give each utterance its value of the columns among these that no field has."""
    for name in names:
        values = talk.extra.get(name)
        if not is_set(talk.utterances) or not isinstance(values, list) or len(values) != len(talk.utterances):
            continue
        for utterance, value in zip(talk.utterances, values, strict=True):
            utterance.extra[name] = value


def gather(talk: Conversation, names: Iterable[str]) -> None:
    """Move the columns among these that utterances have in `extra` to the conversation."""
    if not is_set(talk.utterances):
        return
    for name in names:
        if name in _KNOWN and not talk.utterances:
            continue
        if all(name in utterance.extra for utterance in talk.utterances):
            talk.extra[name] = [utterance.extra[name] for utterance in talk.utterances]


def malformed(talk: Conversation, names: Iterable[str]) -> list[str]:
    """Return the columns among these whose values are not of the type of their field."""
    return [name for name in names if name in talk.extra and name in _KNOWN]


def copied(talk: Conversation) -> Conversation:
    """Copy a conversation and its utterances, so that changes to the copy leave the original as it is."""
    utterances = talk.utterances
    if is_set(utterances):
        utterances = [replace(utterance, extra={**utterance.extra}) for utterance in utterances]
    return replace(talk, utterances=utterances, extra={**talk.extra})


def with_only(talks: Iterable[Conversation], utterances: Container[int]) -> list[Conversation]:
    """Return conversations with those of their utterances whose `id()` is among `utterances`.

    A conversation without any of them is left out.
    """
    parts: list[Conversation] = []
    for talk in talks:
        chosen = [utterance for utterance in talk.utterances if id(utterance) in utterances]
        if chosen:
            parts.append(replace(talk, utterances=chosen))
    return parts


def as_stored(row: Mapping[str, Any], features: Features) -> dict[str, Any]:
    """Return these columns with the values that a file of these types would give back, between two stages.

    float64 becomes float32 where that is the type, a NumPy number a Python one, a tuple a list, and a missing
    field of a struct null. Raises the error of Arrow for a value of another type.
    """
    types = features.type
    stored: dict[str, Any] = {}
    for name, value in row.items():
        (stored[name],) = pa.array([value], types.field(name).type).to_pylist()
    return stored
