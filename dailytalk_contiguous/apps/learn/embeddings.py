"""Embeddings of the prosody of utterances: computed from rows with tokens, written with their facts, read."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from datasets import Features, List, Value
from numpy.typing import NDArray

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.documents import as_text, quoted
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import LABELS, SECONDS, STRING, Row
from dailytalk_contiguous.models.prosodic_encoder import ProsodicSequenceEncoder
from dailytalk_contiguous.store.parquet import open_parquet, write_parquet

#: The file in the folder of `dailytalk tokens embed`.
EMBEDDINGS = "embeddings.parquet"

#: Its columns: those of `token_rows` that identify the utterance, and the embedding (hidden_dim,).
COLUMNS = Features(
    {
        **dict.fromkeys(("id", "conversation_id", "channel", "speaker"), STRING),
        "start": SECONDS,
        "end": SECONDS,
        **dict.fromkeys(("text", "language", "tag", "audio_file", "split"), STRING),
        "labels": LABELS,
        "prosody_model": STRING,
        "embedding": List(Value("float32")),
    }
)

#: The largest absolute value in an embedding: the squares of larger ones overflow.
MOST_VALUE = 1e15

#: Utterances that are in memory at a time.
AT_A_TIME = 4096

_AGAIN = "make it again with `dailytalk tokens embed`"


class Embeddings(NamedTuple):
    """Rows without their embeddings, and the embeddings, float32 of shape (n, hidden_dim), in the same order."""

    rows: list[Row]
    vectors: NDArray[np.float32]


def write_embeddings(rows: Iterable[Row], encoder: ProsodicSequenceEncoder, out: Path) -> int:
    """Embed the utterances of `token_rows`, and write them to `EMBEDDINGS` in a folder, whole or not at all.

    Returns their number. Utterances without tokens, which last no time, are left out. Raises BadInput for tokens
    of another codebook than the encoder's, DailytalkError for nothing to embed, OSError as the disk does.
    """
    count = 0

    def groups() -> Iterator[list[Row]]:
        nonlocal count
        spoken = (row for row in rows if row["prosody_tokens"])
        while batch := list(islice(spoken, AT_A_TIME)):
            interrupts.check_interrupt()
            for row in batch:
                check_codebook(row, encoder.config.prosody_model)
            vectors = encoder.embed([row["prosody_tokens"] for row in batch])
            count += len(batch)
            yield [
                {**{name: row[name] for name in COLUMNS if name != "embedding"}, "embedding": vector}
                for row, vector in zip(batch, vectors, strict=True)
            ]
        if not count:
            raise DailytalkError("there is no utterance with tokens to embed", "encode recordings with speech")

    write_parquet(out / EMBEDDINGS, COLUMNS, groups())
    return count


def check_codebook(row: Row, prosody_model: str) -> None:
    """Raise BadInput if a row's tokens are of another codebook than the known `prosody_model`."""
    if prosody_model and row["prosody_model"] != prosody_model:
        raise BadInput(
            f"{row['id']} has tokens of the codebook {row['prosody_model']}, not of {prosody_model}",
            "encode all of it, and what the encoder is trained on, with one codebook",
        )


def read_embeddings(folder: Path) -> Embeddings:
    """Read the result of `write_embeddings` from a folder.

    Raises DailytalkError for a folder without embeddings, and BadInput for a damaged file, a row without an id,
    embeddings of several sizes or with NaN or infinity.
    """
    path = folder / EMBEDDINGS
    if not path.is_file():
        raise DailytalkError(f"{as_text(folder)!r} holds no embeddings", "make them with `dailytalk tokens embed`")
    with open_parquet(path, _AGAIN) as file:
        file.check(COLUMNS, COLUMNS, _AGAIN)
        rows = list(file.rows([name for name in COLUMNS if name != "embedding"]))
        columns = [batch.column("embedding") for batch in file.batches(["embedding"], size=AT_A_TIME)]
    sizes = {size for column in columns for size in column.value_lengths().to_pylist()}
    if len(sizes) > 1 or not all(sizes):
        raise BadInput(f"{path.name} has embeddings of no numbers, or of several sizes", _AGAIN)
    values = [np.zeros(0, np.float32), *(column.flatten().to_numpy(False) for column in columns)]
    embeddings = np.concatenate(values, dtype=np.float32).reshape(len(rows), sizes.pop() if sizes else 0)
    wrong = ~(np.abs(embeddings) <= MOST_VALUE).all(axis=1)
    if wrong.any():
        name = quoted(rows[int(wrong.argmax())]["id"])
        reason = f"the embedding of {name} holds what is no number, or one beyond {MOST_VALUE:.0e}"
        raise BadInput(f"{path.name}: {reason}", _AGAIN)
    return Embeddings(rows, embeddings)
