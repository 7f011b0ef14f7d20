"""Embeddings of the prosody of utterances: computed from rows with tokens, and written with their facts."""

from collections.abc import Iterable
from pathlib import Path

from datasets import Features, List, Value

from dailytalk_contiguous.apps.learn.token_rows import token_rows
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.records.schema import SECONDS, STRING, Row
from dailytalk_contiguous.models.prosodic_encoder import ProsodicSequenceEncoder
from dailytalk_contiguous.store.parquet import write_parquet

#: The file in the folder of `dailytalk tokens embed`.
EMBEDDINGS = "embeddings.parquet"

#: Its columns: those of `token_rows` that identify the utterance, and the embedding (hidden_dim,).
COLUMNS = Features(
    {
        "id": STRING,
        "conversation_id": STRING,
        "channel": STRING,
        "speaker": STRING,
        "start": SECONDS,
        "end": SECONDS,
        "text": STRING,
        "language": STRING,
        "tag": STRING,
        "audio_file": STRING,
        "prosody_model": STRING,
        "embedding": List(Value("float32")),
    }
)


def write_embeddings(folder: Path, encoder: ProsodicSequenceEncoder, out: Path) -> int:
    """Embed the utterances of a folder, and write them to `EMBEDDINGS` in another, whole or not at all.

    Returns their number. Raises as `spoken_rows` does, and OSError as the disk does.
    """
    spoken = spoken_rows([folder], encoder.config.prosody_model)
    vectors = encoder.embed([row["prosody_tokens"] for row in spoken])
    table: list[Row] = []
    for row, vector in zip(spoken, vectors, strict=True):
        with_vector = row | {"embedding": vector}
        table.append({name: with_vector[name] for name in COLUMNS})
    write_parquet(out / EMBEDDINGS, COLUMNS, [table])
    return len(spoken)


def spoken_rows(folders: Iterable[Path], prosody_model: str = "") -> list[Row]:
    """The rows of `token_rows` of folders, without utterances that last no time and have no tokens.

    Raises BadInput for tokens of another codebook than `prosody_model` (or that of the first one), and
    DailytalkError if there are none.
    """
    rows: list[Row] = []
    for folder in folders:
        rows += [row for row in token_rows(folder) if row["prosody_tokens"]]
    if not rows:
        raise DailytalkError("there is no utterance with tokens", "encode recordings with speech")
    expected = prosody_model or rows[0]["prosody_model"]
    for row in rows:
        if row["prosody_model"] != expected:
            raise BadInput(
                f"{row['id']} has tokens of the codebook {row['prosody_model']}, not of {expected}",
                "encode all of it, and what the encoder is trained on, with one codebook",
            )
    return rows
