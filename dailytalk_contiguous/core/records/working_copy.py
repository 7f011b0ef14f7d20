"""Rows of a version in a work folder that is its working copy: what nobody edits stays as it was published.

An edit that makes no sound changes its own field alone. A conversation with lines that are said anew is rebuilt
from the sound of the version, and keeps all other fields.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from dailytalk_contiguous.core.documents import JsonObject, parse_json, typed
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.finished import as_recorded, finished_fields, from_finished
from dailytalk_contiguous.core.records.record import AnyRecord
from dailytalk_contiguous.core.records.rows import known_columns, rows_of_words
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.core.records.utterance import EDGES, GIVEN, PROPORTIONAL, Utterance
from dailytalk_contiguous.core.wording import portable
from dailytalk_contiguous.core.words.fillers import are_fillers
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.core.words.word_times import by_edit_distance, by_proportion, has_words, split_words

#: Fields of an utterance that change when other lines of its conversation are said anew.
_OF_RESULT = (*EDGES, "event", "transition", "turn_end")

#: Fields that also change in an utterance that is said anew itself.
_OF_TAKE = ("status", "reason", "tag_said", "synthesis")

#: Seconds by which a sound may begin elsewhere when it is found again in the sound of a version.
SAME_PLACE = 0.1

#: Columns of a row that is rebuilt from the sound of the version.
_REBUILT = ("audio", "sample_rate", "duration", "sides")


class Edit(NamedTuple):
    """An edited line of a version.

    Attributes:
        before: the utterance as it was published; None for a line that a person added.
        utterance: the utterance of the line.
        fields: the names of the fields that differ.
    """

    before: Utterance | None
    utterance: Utterance
    fields: frozenset[str]

    def needs_sound(self, voiced_sides: Collection[str]) -> bool:
        """Whether a voice has to say the line, on these sides: its text, tag or place is another."""
        if self.before is None:
            return self.utterance.source_channel in voiced_sides
        if self.before.is_recorded:
            return False
        is_tag_said = self.before.tag_said is True and "tag" in self.fields
        return is_tag_said or not self.fields.isdisjoint(("text", "start", "end"))


def with_edits(row: Row, edits: Mapping[str, Edit], removed: Collection[str], names: Collection[str]) -> Row:
    """Return a published row with the edits of people.

    Args:
        row: the finished row without its sound.
        edits: the edited lines by their ids; an added one is complete.
        removed: the ids of utterances whose lines people deleted.
        names: the fields of an utterance of a finished row.
    """
    words: list[Word] = []
    words_of: dict[str, list[Word]] = {}
    for utterance, group in from_finished(row).words_by_utterance():
        if utterance and (utterance.utterance_id in edits or utterance.utterance_id in removed):
            words_of[utterance.utterance_id] = group
        else:
            words += group
    records: dict[str, AnyRecord] = {}
    for record in row["utterances"]:
        if record["utterance_id"] not in removed:
            records[record["utterance_id"]] = record
    for name, edit in edits.items():
        if edit.before:
            records[name] = {**records[name], **_changes(records[name], edit)}
        elif edit.utterance.keeps_sound:
            recorded = replace(as_recorded(edit.utterance), status="kept")
            records[name] = finished_fields(recorded, names)
        words += _edited_words(words_of.get(name, []), edit)
    return row | {"utterances": [*records.values()], "alignments": _rows(words)}


def _changes(record: AnyRecord, edit: Edit) -> dict[str, Any]:
    """Return the fields of an utterance that an edit changes, with those that are made of them."""
    fields = [name for name in edit.fields if name not in ("words", "channel")]
    values = known_columns(edit.utterance, fields)
    if "channel" in edit.fields:
        values["channel"] = edit.utterance.source_channel
    for edge in ("start", "end"):
        source = record[f"source_{edge}"]
        if edge in values and source is not None:
            values[f"source_{edge}"] = round(source + values[edge] - record[edge], 4)
            # Where it sounds is no longer known.
            values[f"{edge}_trim"] = None
            values[f"source_{edge}_trim"] = None
    if "text" in values or "tag" in values:
        tag = values.get("tag", record["tag"])
        spoken = record["tagged_text"] or record["text"] or ""
        text = values.get("text", spoken.removeprefix(f"({record['tag']}) "))
        values["tagged_text"] = f"({tag}) {text}" if tag and text else text or None
    return values


def _edited_words(words: Sequence[Word], edit: Edit) -> list[Word]:
    """Return the words of an utterance after an edit."""
    utterance = edit.utterance
    if edit.fields.isdisjoint(("words", "text", "channel")):
        return [*words]
    if "words" in edit.fields or (not words and utterance.words):
        words = [word.known_by(GIVEN) for word in utterance.words]
    elif not has_words(utterance.text):
        words = []
    elif "text" in edit.fields:
        start = utterance.start
        seconds = utterance.end - start
        texts = split_words(utterance.text)
        heard = [word.shifted(-start) for word in words]
        placed = by_edit_distance(texts, heard, seconds) if heard else None
        source = words[0].source if placed else PROPORTIONAL
        placed = placed or by_proportion(texts, [(0.0, seconds)], seconds)
        words = [word.shifted(start).known_by(source) for word in placed]
    fillers = are_fillers([word.word for word in words], utterance.language or "und")
    edited: list[Word] = []
    for word, filler in zip(words, fillers, strict=True):
        edited.append(replace(word, word=word.word.strip(), speaker=utterance.source_channel, filler=filler))
    return edited


def _rows(words: Sequence[Word]) -> list[dict[str, Any]]:
    rounded = [word.moved_to(round(word.start, 4), round(word.end, 4)) for word in words]
    return rows_of_words(sorted(rounded, key=lambda word: (word.start, word.end, word.speaker)))


def rebuilt(row: Row, finished: Row) -> Row:
    """Return a published row of which lines were said anew.

    Args:
        row: the published row, with the edits of people.
        finished: the row that stages have made of the version's sound. The status of what was not said is `kept`.
    """
    before = from_finished(row)
    starts = {utterance.utterance_id: utterance.new_start or 0.0 for utterance in before.utterances}
    words_before = _words_by_id(before)
    after = from_finished(finished)
    words_after = _words_by_id(after)
    published = {record["utterance_id"]: record for record in row["utterances"]}
    records: list[AnyRecord] = []
    words: list[Word] = []
    for utterance, record in zip(after.utterances, finished["utterances"], strict=True):
        name = utterance.utterance_id
        names: tuple[str, ...] = _OF_RESULT
        if utterance.status == "kept":
            start = utterance.new_start or 0.0
            shift = start - starts.get(name, 0.0)
            words += [word.shifted(shift) for word in words_before.get(name, [])]
        else:
            names = (*_OF_RESULT, *_OF_TAKE)
            words += words_after.get(name, [])
        if name in published:
            record = published.pop(name) | {field: record[field] for field in names}
        records.append(record)
    records += published.values()  # what the version has left out has no line
    columns = {name: finished[name] for name in _REBUILT}
    columns["utterances"] = records
    columns["alignments"] = _rows(words)
    columns["sounds"] = [_with_source(sound, row["sounds"] or ()) for sound in finished["sounds"]]
    columns["provenance"] = _with_models(row["provenance"], finished["provenance"])
    return row | columns


def _words_by_id(talk: Conversation) -> dict[str, list[Word]]:
    """Return the words of utterances by their ids."""
    return {utterance.utterance_id: words for utterance, words in talk.words_by_utterance() if utterance}


def _with_source(sound: AnyRecord, published: Sequence[AnyRecord]) -> AnyRecord:
    """Return a sound with the label and the source of the published one at its place, if there is one."""
    for other in published:
        is_same = other["channel"] == sound["channel"] and abs(other["start"] - sound["source_start"]) < SAME_PLACE
        if is_same:
            return {**sound, **{name: other[name] for name in ("source_start", "source_end", "label")}}
    return sound


def _with_models(published: str | None, made: str) -> str:
    """Return a published provenance with the models that lines were said anew by: their licences bind, too."""
    record = typed(parse_json(published or "{}", "its provenance"), JsonObject, "its provenance")
    models = record.get("models")
    if isinstance(models, list):
        for role, model in json.loads(made)["models"].items():
            used = {name: portable(model.get(name)) for name in ("name", "licence", "url")} | {"role": role}
            if used not in models:
                models.append(used)
    return json.dumps(record, sort_keys=True, ensure_ascii=False)
