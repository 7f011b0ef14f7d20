"""TakeConversation: a finished conversation by its place in a folder, for stages that make another one of it."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from datasets import Features, Value

from dailytalk_contiguous.core.audio import from_uri
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.fields import Field, columns_among
from dailytalk_contiguous.core.schema import AUDIO, BUILT, SECONDS, STRING, Row, built
from dailytalk_contiguous.core.settings import unlisted
from dailytalk_contiguous.core.utterance import FIELDS
from dailytalk_contiguous.publish.items import SMALL, Place, Shards
from dailytalk_contiguous.publish.opening import finished_items
from dailytalk_contiguous.stages.base import Stage

#: A conversation that is to be made of `parent`, which is in a row of the Parquet file that `audio` names.
PLACED = Features(
    {
        **dict.fromkeys(("conversation_id", "recording_id", "parent", "input_digest", "folder"), STRING),
        **dict.fromkeys(("variant", "row_group", "row_number"), Value("int32")),
        "audio": AUDIO,
        "duration": SECONDS,
    }
)


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
        object.__setattr__(self, "adds", Features({n: columns[n] for n in columns if n != "conversation_id"}))

    def row(self, row: Row) -> Row:
        place = Place(from_uri(row["audio"]["path"]), row["row_group"], row["row_number"])
        own = (column.name for column in columns_among(self.fields))
        taken = _opened(from_uri(row["folder"])).at(place, [*SMALL, "audio", *own])
        if taken["conversation_id"] != row["parent"]:
            raise BadInput("its folder has changed meanwhile", "run the same command again")
        return {name: taken.get(name) for name in self.adds}


@lru_cache(maxsize=1)
def _opened(folder: Path) -> Shards:
    return finished_items(folder)
