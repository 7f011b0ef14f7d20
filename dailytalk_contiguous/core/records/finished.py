"""Finished rows as conversations: the recording and its result in one `Conversation`.

In a finished row some fields have another name than in flight (`core.records.record.FinishedName`): its `start` is
the `new_start` of an utterance, and its `source_start` the `start`.

Rows that other people publish may lack fields, or have null where rows made here have none. `publish.items`
judges a row before it is read here; missing values are then None, or an empty list.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from dailytalk_contiguous.core.records.arrow_types import finished_names
from dailytalk_contiguous.core.records.conversation import Conversation, Mark
from dailytalk_contiguous.core.records.record import (
    AnyRecord,
    BuiltSide,
    LeakSpan,
    SourceSound,
    SynthesisRecord,
    TimelineMeasures,
)
from dailytalk_contiguous.core.records.rows import assign, known_columns
from dailytalk_contiguous.core.records.utterance import UNSET, Utterance
from dailytalk_contiguous.core.words.word import Word

#: Fields of an utterance in a finished row, and those of `Utterance` that hold them under another name; the same
#: of a conversation, and of a sound that is no speech.
OF_UTTERANCE = finished_names(Utterance)
_OF_TALK = finished_names(Conversation)
_OF_SOUND = finished_names(SourceSound)

#: Fields of an utterance in a finished row, and those of `Utterance` that hold them.
_FIELDS = dict(zip(Utterance.__struct_fields__, Utterance.__struct_fields__, strict=True)) | OF_UTTERANCE
del _FIELDS["extra"]

_Record = TypeVar("_Record", bound=msgspec.Struct)


def from_finished(row: Mapping[str, Any]) -> Conversation:
    """Read the conversation of a usable row of `core.records.schema.LABELLED`."""
    columns = {_OF_TALK.get(name, name): value for name, value in row.items()}
    talk = Conversation()
    utterances = columns.pop("utterances", None) or ()
    sides = columns.pop("built_sides", None) or ()
    sounds = columns.pop("sounds", None) or ()
    words = columns.pop("alignments", None) or ()
    unwritten = columns.pop("unwritten_words", None) or ()
    marks = columns.pop("transcript_marks", None)
    timeline = columns.pop("timeline", None)
    assign(talk, columns)
    talk.utterances = []
    for record in utterances:
        fields: dict[str, Any] = {_FIELDS[name]: value for name, value in record.items() if name in _FIELDS}
        extra = {name: value for name, value in record.items() if name not in _FIELDS}
        synthesis = fields.get("synthesis")
        fields["synthesis"] = _record(SynthesisRecord, synthesis, {}) if synthesis else None
        talk.utterances.append(Utterance(**fields, extra=extra))
    talk.built_sides = []
    for side in sides:
        if side:
            spans = [_record(LeakSpan, span, {}) for span in side.get("leaks") or () if span]
            talk.built_sides.append(_record(BuiltSide, {**side, "leaks": spans or None}, {}))
    talk.sounds = [_record(SourceSound, sound, _OF_SOUND) for sound in sounds]
    talk.alignments = [aligned_word(word) for word in words]
    talk.unwritten_words = [aligned_word(word) for word in unwritten]
    talk.transcript_marks = marks and [_record(Mark, mark, {}) for mark in marks if mark]
    if timeline:
        talk.timeline = _record(TimelineMeasures, timeline, {})
    return talk


def aligned_word(word: AnyRecord) -> Word:
    """Read a word of the column `alignments`; its text is empty where it has none."""
    return Word(
        word["word"] or "",
        word["start"],
        word["end"],
        word.get("probability"),
        filler=word.get("filler"),
        speaker=word["speaker"],
        source=word.get("source") or "",
    )


def as_recorded(utterance: Utterance) -> Utterance:
    """Return a tagged utterance as it is in a result that is its recording."""
    return replace(
        utterance,
        channel=utterance.side,
        source_channel=utterance.side,
        new_start=utterance.start,
        new_end=utterance.end,
        new_start_trim=utterance.start_trim,
        new_end_trim=utterance.end_trim,
    )


def finished_fields(utterance: Utterance, names: Iterable[str]) -> dict[str, Any]:
    """Return fields of an utterance by their names in a finished row; null for those that no stage has made."""
    columns = {name: OF_UTTERANCE.get(name, name) for name in names}
    values = known_columns(utterance, columns.values())
    return {name: values[column] for name, column in columns.items()}


def finished_values(utterances: Iterable[Utterance], name: str) -> list[Any]:
    """Return the values of utterances for a field of a finished row; None where one lacks it."""
    field = _FIELDS.get(name)
    if field is None:
        return [utterance.extra.get(name) for utterance in utterances]
    values = [getattr(utterance, field) for utterance in utterances]
    return [None if value is UNSET else value for value in values]


def _record(kind: type[_Record], values: AnyRecord, renamed: Mapping[str, str]) -> _Record:
    """Make an object of a record's values for its fields; those that the record lacks are None."""
    names = kind.__struct_fields__
    n_required = len(names) - len(kind.__struct_defaults__)
    fields: dict[str, Any] = dict.fromkeys(names[:n_required])
    for name, value in values.items():
        field = renamed.get(name, name)
        if field in names:
            fields[field] = value
    return kind(**fields)
