"""TakePublished: a conversation of a version as a tagged one, in place of all stages that hear.

The sound of the version is its recording, so that all times are those of the result, and the speaker with another
voice is on the left.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from datasets import Features
from msgspec.structs import replace

from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.fields import Column, Field, columns_among
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.judged import read_published
from dailytalk_contiguous.core.records.rows import conversation_features
from dailytalk_contiguous.core.records.schema import CHANNELS, COLUMNS, per_utterance
from dailytalk_contiguous.core.records.seen import seen_result
from dailytalk_contiguous.core.records.utterance import FIELDS, GIVEN_FITTED, UNSET, or_none
from dailytalk_contiguous.core.settings import unlisted
from dailytalk_contiguous.stages.base import Stage

#: The finished row of a version that a row of the source is, without its sound, as JSON.
PUBLISHED = conversation_features("published")

#: Columns of tagged utterances: fields of a line, and what its other fields are made of.
_OF_UTTERANCES = (
    *(field.name for field in FIELDS if not field.part and field.name not in ("confidence", "models")),
    "run",
    "words",
    "avg_logprob",
    "recogniser",
    "affect_model",
)


@dataclass(frozen=True)
class TakePublished(Stage):
    """Adds the columns of a tagged conversation from its published row: nothing is heard, and no model is loaded.

    Utterances that the version has left out have no line. `fields` are those that the version has beside ours.
    """

    fields: tuple[Field, ...] = unlisted(())

    needs: ClassVar[tuple[str, ...]] = ("published",)
    batch_rows: ClassVar[int] = 1
    refuses: ClassVar[bool] = True
    adds: ClassVar[Features] = Features(
        {**PUBLISHED, **conversation_features("sides", *_OF_UTTERANCES), **{c.name: c.feature for c in COLUMNS}}
    )

    def __post_init__(self) -> None:
        of_utterances = {field.name: field.feature for field in self.fields if not isinstance(field, Column)}
        of_rows = {field.name: field.feature for field in self.fields if isinstance(field, Column)}
        adds = {**type(self).adds, **per_utterance(Features(of_utterances)), **of_rows}
        object.__setattr__(self, "adds", Features(adds))
        object.__setattr__(self, "publishes", self.fields)

    def of_talk(self, talk: Conversation) -> Conversation:
        finished = from_finished(read_published(talk.published))
        seen = seen_result(finished, talk.sample_rate, CHANNELS[0])
        others = dict.fromkeys(field.name for field in self.fields)
        talk.utterances = []
        for number, heard in enumerate(seen.utterances):
            utterance = replace(
                heard.finished,
                source_channel=UNSET,
                start=heard.start,
                end=heard.end,
                start_trim=or_none(heard.finished.new_start_trim),
                end_trim=or_none(heard.finished.new_end_trim),
                text=heard.text,
                run=number,
            )
            utterance.tag = utterance.tag or ""
            utterance.language = utterance.language or finished.main_language
            utterance.words = []
            for word in utterance.words_among(seen.alignments):
                utterance.words.append(replace(word, fitted=word.source == GIVEN_FITTED))
            models = utterance.models or {"recogniser": None, "affect": None}
            utterance.recogniser = models["recogniser"] or ""
            utterance.affect_model = models["affect"]
            utterance.avg_logprob = math.log(utterance.confidence) if utterance.confidence else None
            utterance.extra = others | utterance.extra
            talk.utterances.append(utterance)
        talk.sides = [side for side in finished.built_sides if side.channel in CHANNELS]
        for column in (*COLUMNS, *columns_among(self.fields)):
            talk.extra[column.name] = finished.extra.get(column.name)
        return talk
