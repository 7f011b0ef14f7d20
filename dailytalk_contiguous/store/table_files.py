"""The tables of utterances and conversations as files of a work folder, made while its rows are read."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from dailytalk_contiguous.core.tables import LABELS, TableMaker, conversation_columns, utterance_columns
from dailytalk_contiguous.core.utterance import Field
from dailytalk_contiguous.store.parquet import writing_tables
from dailytalk_contiguous.store.work_folder import CONVERSATIONS, UTTERANCES


@contextmanager
def tables_in(
    out: Path, finished: bool = True, fields: Sequence[Field] = (), labelled: bool = False
) -> Iterator[TableMaker]:
    """Yield a maker of tables whose rows are both kept and written: whole at the end of the block, or not at all.

    `labelled`: rows are clips, whose labels are columns. Raises OSError as the disk does.
    """
    of_conversations = conversation_columns(fields).arrow_schema
    if not labelled:
        names = [name for name in of_conversations.names if name not in LABELS]
        of_conversations = pa.schema([of_conversations.field(name) for name in names])
    of_utterances = utterance_columns(fields).arrow_schema
    with (
        writing_tables(out / CONVERSATIONS, of_conversations) as write_conversations,
        writing_tables(out / UTTERANCES, of_utterances) as write_utterances,
    ):

        def write(conversations: pa.Table, utterances: pa.Table) -> None:
            write_conversations(conversations.select(of_conversations.names).cast(of_conversations))
            write_utterances(utterances)

        maker = TableMaker(finished, fields, write=write)
        yield maker
        maker.flush()
