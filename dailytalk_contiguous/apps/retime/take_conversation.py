"""TakeConversation: a finished conversation by its place in a folder, for stages that make another one of it."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from datasets import Features, Value

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.fields import Field, columns_among
from dailytalk_contiguous.core.records.schema import AUDIO, BUILT, SECONDS, STRING, Row, built
from dailytalk_contiguous.core.records.utterance import FIELDS
from dailytalk_contiguous.core.settings import unlisted
from dailytalk_contiguous.machine.audio import from_uri
from dailytalk_contiguous.publish.items import SMALL, Place
from dailytalk_contiguous.publish.opening import finished_items
from dailytalk_contiguous.stages.base import Stage

#: The columns of a conversation that is made of `parent`, a row of the Parquet file that `audio` names.
PLACED = Features(
    {
        "conversation_id": STRING,
        "recording_id": STRING,
        "parent": STRING,
        "input_digest": STRING,
        "folder": STRING,
        "variant": Value("int32"),
        "row_group": Value("int32"),
        "row_number": Value("int32"),
        "audio": AUDIO,
        "duration": SECONDS,
    }
)

#: Of the one folder that rows come from.
_opened_items = lru_cache(maxsize=1)(finished_items)


@dataclass(frozen=True)
class TakeConversation(Stage):
    """All columns of a finished conversation, except its id; rows have the columns of `PLACED`.

    `fields` are those that stages have published in it. Raises BadInput for a row that can't be used.
    """

    fields: tuple[Field, ...] = unlisted(())

    needs: ClassVar[tuple[str, ...]] = ("audio", "folder", "parent", "row_group", "row_number")
    batch_rows: ClassVar[int] = 1
    prepares: ClassVar[bool] = True
    refuses: ClassVar[bool] = True
    adds: ClassVar[Features] = BUILT

    def __post_init__(self) -> None:
        columns = built((*FIELDS, *self.fields))
        del columns["conversation_id"]
        object.__setattr__(self, "adds", columns)

    def row(self, row: Row) -> Row:
        file = from_uri(row["audio"]["path"])
        position = Place(file, row["row_group"], row["row_number"])
        published = [column.name for column in columns_among(self.fields)]
        parents = _opened_items(from_uri(row["folder"]))
        parent = next(parents.rows_at([position], [*SMALL, "audio", *published]))
        if parent["conversation_id"] != row["parent"]:
            raise BadInput("its folder has changed meanwhile", "run the same command again")
        return {name: parent.get(name) for name in self.adds}
