"""Lines of a transcript: written from utterances, read as utterances, and checked.

A line of transcript.jsonl has the times of the recording, one of transcript_shifted.jsonl those of the result.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from datasets import List
from msgspec.structs import replace

from dailytalk_contiguous.core.documents import LATEST, is_number, quoted
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.fields import Converter, Field, value_kind, value_problem
from dailytalk_contiguous.core.records.finished import finished_fields
from dailytalk_contiguous.core.records.record import AnyRecord
from dailytalk_contiguous.core.records.rows import assign_flat, known_columns, rows_of_words
from dailytalk_contiguous.core.records.utterance import (
    FIELDS,
    LONGEST_TEXT,
    WORD,
    Utterance,
    features_of_fields,
    or_none,
    words_read,
)
from dailytalk_contiguous.core.words.word import Word


class _Writing(NamedTuple):
    """A rule for writing a field: under `key` in the object `holder` of the line, or in the line itself."""

    name: str
    only_with: str
    holder: str
    key: str
    writer: Converter | None


@lru_cache(maxsize=8)
def _writings(fields: tuple[Field, ...], rebuilt: bool) -> list[_Writing]:
    """Look up once how `_line_of` writes each field: a corpus has millions of lines."""
    parts = ("", "line", "built") if rebuilt else ("", "line")
    writings: list[_Writing] = []
    for field in fields:
        if field.part in parts:
            holder = field.path[0] if len(field.path) > 1 else ""
            key = field.path[-1]
            only_with = field.name if field.leave_out_empty else field.only_with
            writings.append(_Writing(field.name, only_with, holder, key, field.writer))
    return writings


def _line_of(values: AnyRecord, fields: Sequence[Field], rebuilt: bool) -> dict[str, Any]:
    """Write the values of fields as a line of transcript.jsonl or, `rebuilt`, of the shifted one."""
    line: dict[str, Any] = {}
    for name, only_with, holder, key, writer in _writings(tuple(fields), rebuilt):
        if name not in values:
            continue
        if only_with and not values.get(only_with):
            continue
        value = values[name]
        if writer and value is not None:
            value = writer(value)
        if holder:
            line.setdefault(holder, {})[key] = value
        else:
            line[key] = value
    return line


def to_line(utterance: Utterance, talk: Conversation, fields: Sequence[Field] = FIELDS) -> dict[str, Any]:
    """Write a tagged utterance of a conversation as a line of transcript.jsonl.

    Its times are seconds of the recording, to a millisecond.
    """

    def moved(seconds: float) -> float:
        return round(talk.offset + seconds, 3)

    words = [word.moved_to(moved(word.start), moved(word.end)) for word in utterance.words]
    recorded = replace(utterance, start=moved(utterance.start), end=moved(utterance.end), words=words)
    values = known_columns(recorded, [*features_of_fields(fields), "words"])
    values["audio_file"] = talk.audio_file
    values["conversation_id"] = talk.conversation_id
    values["duration"] = round(recorded.end - recorded.start, 3)
    return _line_of(values, fields, rebuilt=False)


def to_shifted_line(utterance: Utterance, talk: Conversation, fields: Sequence[Field] = FIELDS) -> dict[str, Any]:
    """Write a finished utterance as a line of transcript_shifted.jsonl, in seconds of the result."""
    span = utterance.new_span
    values = finished_fields(utterance, features_of_fields(fields))
    values["audio_file"] = or_none(talk.audio_file)
    values["conversation_id"] = talk.conversation_id
    values["duration"] = None if span is None else round(span.end - span.start, 4)
    values["words"] = rows_of_words(utterance.words_among(talk.alignments))
    return _line_of(values, fields, rebuilt=True)


def from_line(line: AnyRecord, fields: Iterable[Field] = FIELDS) -> Utterance:
    """Read the utterance of a line without a problem, in seconds of the recording; missing fields are None.

    Its channel is the `source_channel`: that of the result is not yet known. A person who moves an edge leaves the
    length and the trims as they were, so that the edges of its sound are unknown.
    """
    utterance = Utterance(source_channel=line.get("channel") or "")
    values: dict[str, object] = {}
    for field in fields:
        if not field.part and field.name != "channel":
            values[field.name] = field.value_in(line)
    assign_flat(utterance, values)
    utterance.text = line.get("text") or ""
    utterance.tag = line.get("tag")  # an empty one, too
    utterance.words = []
    for word in words_read(line.get("words")):
        uttered = Word(
            word["word"], word["start"], word["end"], word["probability"], word["fitted"], word["filler"]
        )
        utterance.words.append(uttered)
    length = line.get("duration")
    rounding = 0.0025  # seconds by which a length in milliseconds may differ from that of its edges
    if is_number(length) and abs(utterance.end - utterance.start - length) > rounding:
        utterance.start_trim = None
        utterance.end_trim = None
    return utterance


class LineProblem(NamedTuple):
    """A mistake in a line of a transcript: its key, and a sentence that says what is wrong."""

    key: str
    reason: str


def line_problem(line: AnyRecord, fields: Sequence[Field] = FIELDS, mixed: bool = False) -> LineProblem | None:
    """Return the problem of a line of a transcript, or None: its channel, its times, or the type of a field.

    With `mixed` its channel may be `mix`, that of a recording that was tagged as one speaker.
    """
    channels = ("left", "right", "mix") if mixed else ("left", "right")
    channel = line.get("channel")
    if channel not in channels:
        expected = "left, right or mix" if mixed else "left or right"
        return LineProblem("channel", f"channel is {quoted(channel)}, not {expected}")
    if line.get("status") != "dropped":  # what was left out has no times
        problem = _times_problem(line)
        if problem:
            return problem
    for key, kind in _kinds(tuple(fields)).items():
        misfit = value_problem(line.get(key), kind, key)
        if misfit:
            return LineProblem(key, misfit)
    for field in fields:
        if field.required and field.value_in(line) is None:
            return LineProblem(field.name, f"{field.name} is missing")
    if len(line.get("text") or "") > LONGEST_TEXT:
        return LineProblem("text", f"text has more than {LONGEST_TEXT:,} characters")
    return _words_problem(line.get("words") or [])


def _times_problem(line: AnyRecord) -> LineProblem | None:
    for edge in ("start", "end"):
        seconds = line.get(edge)
        if not is_number(seconds, 0, LATEST):
            return LineProblem(edge, f"{edge} is {quoted(seconds)}, not a number of seconds from 0")
    start = line["start"]
    end = line["end"]
    if end <= start:
        return LineProblem("end", f"it ends at {end} s, not after its start at {start} s")
    return None


def _words_problem(words: Sequence[Mapping[str, object]]) -> LineProblem | None:
    misfit = value_problem(words, _WORDS, "words")
    if misfit:
        return LineProblem("words", misfit)
    for word in words:
        start = word.get("start")
        end = word.get("end")
        has_times = is_number(start, 0, LATEST) and is_number(end, start, LATEST)
        if not isinstance(word.get("word"), str) or not has_times:
            return LineProblem("words", f"one of its words is {quoted(word)}, not a text with its start and end")
    return None


_WORDS = value_kind(List(WORD))


@lru_cache(maxsize=8)
def _kinds(fields: tuple[Field, ...]) -> dict[str, object]:
    """Return the type of each key of a line in the table; an object has that of all its values."""
    kinds: dict[str, object] = {}
    for field in fields:
        if field.name == "words":  # words have sentences of their own
            continue
        key, *inner_keys = field.path
        kinds[key] = value_kind({str: field.feature}) if inner_keys else field.kind
    return kinds
