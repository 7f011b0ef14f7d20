"""Embeddings of the prosody of utterances: computed from rows with tokens, and written with their facts."""

from collections.abc import Iterable
from pathlib import Path

from datasets import Features, List, Value

from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import SECONDS, STRING, Row
from dailytalk_contiguous.models.prosodic_encoder import ProsodicSequenceEncoder
from dailytalk_contiguous.store.parquet import write_parquet

#: The file in the folder of `dailytalk tokens embed`.
EMBEDDINGS = "embeddings.parquet"

#: Its columns: those of `token_rows` that identify the utterance, and the embedding (hidden_dim,).
COLUMNS = Features(
    {
        **dict.fromkeys(("id", "conversation_id", "channel", "speaker"), STRING),
        "start": SECONDS,
        "end": SECONDS,
        **dict.fromkeys(("text", "language", "tag", "audio_file", "prosody_model"), STRING),
        "embedding": List(Value("float32")),
    }
)


def write_embeddings(rows: Iterable[Row], encoder: ProsodicSequenceEncoder, out: Path) -> int:
    """Embed the utterances of `token_rows`, and write them to `EMBEDDINGS` in a folder, whole or not at all.

    Returns their number. Utterances without tokens, which last no time, are left out. Raises BadInput for tokens
    of another codebook than the encoder's, DailytalkError for nothing to embed, OSError as the disk does.
    """
    spoken = [row for row in rows if row["prosody_tokens"]]
    if not spoken:
        raise DailytalkError("there is no utterance with tokens to embed", "encode recordings with speech")
    for row in spoken:
        check_codebook(row, encoder.config.prosody_model)
    vectors = encoder.embed([row["prosody_tokens"] for row in spoken])
    table = [row | {"embedding": vector} for row, vector in zip(spoken, vectors, strict=True)]
    write_parquet(out / EMBEDDINGS, COLUMNS, [[{name: row[name] for name in COLUMNS} for row in table]])
    return len(spoken)


def check_codebook(row: Row, prosody_model: str) -> None:
    """Raise BadInput if a row's tokens are of another codebook than the known `prosody_model`."""
    if prosody_model and row["prosody_model"] != prosody_model:
        raise BadInput(
            f"{row['id']} has tokens of the codebook {row['prosody_model']}, not of {prosody_model}",
            "encode all of it, and what the encoder is trained on, with one codebook",
        )
