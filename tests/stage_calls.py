"""A stage on rows that are written down in a test."""

from collections.abc import Mapping, Sequence
from typing import Any

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.rows import from_flat, from_row, to_flat, to_row
from dailytalk_contiguous.core.records.schema import CONVERSATION_COLUMNS, Batch, Row
from dailytalk_contiguous.stages.base import Stage, UtteranceStage


def columns_after(stage: Stage, batch: Mapping[str, Sequence[Any]]) -> Batch:
    """The columns that a stage adds to a batch of conversations, or of utterances.

    Raises BadInput, with its place, for the first row that the stage can't use.
    """
    rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
    if isinstance(stage, UtteranceStage) and not all(isinstance(row.get("utterance_id"), list) for row in rows):
        return columns_of_utterances(stage, rows)
    after = [to_row(talk, stage.columns) for talk in used(stage, [from_row(row) for row in rows])]
    return {name: [row[name] for row in after] for name in stage.columns}


def row_after(stage: Stage, row: Row) -> Row:
    """The columns that a stage adds to a conversation."""
    columns = columns_after(stage, {name: [value] for name, value in row.items()})
    return {name: value for name, (value,) in columns.items()}


def columns_of_utterances(stage: Stage, rows: Sequence[Row]) -> Batch:
    talks, utterances = from_flat(rows, CONVERSATION_COLUMNS)
    before = [id(utterance) for talk in talks for utterance in talk.utterances]
    after = [utterance for talk in used(stage, talks) for utterance in talk.utterances]
    made = {key: to_flat(utterance, stage.adds) for key, utterance in zip(before, after, strict=True)}
    return {name: [made[id(utterance)][name] for utterance in utterances] for name in stage.adds}


def used(stage: Stage, talks: Sequence[Any]) -> list[Any]:
    after = stage.apply(talks)
    for index, talk in enumerate(after):
        if talk.problem:
            raise BadInput(talk.problem, talk.remedy, index)
    return after
