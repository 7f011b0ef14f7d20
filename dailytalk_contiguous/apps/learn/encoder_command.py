"""`dailytalk tokens train` and `embed`: the encoder of prosodic tokens.

A module of its own, since it loads PyTorch and transformers, which other commands of tokens do not need at import.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray

from dailytalk_contiguous.apps.learn.embeddings import EMBEDDINGS, check_codebook, write_embeddings
from dailytalk_contiguous.apps.learn.masked_tokens import (
    PUBLISHED,
    TrainingSettings,
    is_main_process,
    train_encoder,
)
from dailytalk_contiguous.apps.learn.model_cards import DataSource
from dailytalk_contiguous.apps.learn.token_rows import clusters_of, token_rows
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.terminal import Panel, argument, option
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.outcome import Outcome, to_run
from dailytalk_contiguous.core.settings import chosen_for
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models import prosodic_encoder
from dailytalk_contiguous.models.devices import resolve_device
from dailytalk_contiguous.publish.pushing import push_model

TRAIN_SETTINGS = cli_options.setting_options(TrainingSettings())


def encoder_option(default: Any = ...) -> Any:
    about = "Folder of dailytalk tokens train, or OWNER/NAME on the Hub, with @TAG for a version."
    return option(default, Panel.MODELS, about, "--encoder", metavar="MODEL")


@cli_options.with_options(TRAIN_SETTINGS)
def train(
    folders: list[Path] = argument("DIR", "What dailytalk tokens encode has written; one or several."),
    out: Path = cli_options.out_option(),
    source_licence: str = cli_options.SOURCE_LICENCE,
    push: str | None = cli_options.PUSH_MODEL,
    private: bool = cli_options.PRIVATE,
    **options: Any,
) -> Outcome:
    """Train an encoder: it predicts frames that are masked.

    It gives an embedding of how an utterance is said. Run the same command after a stop: it goes on from the last
    checkpoint. On several GPUs: torchrun --nproc-per-node 4 -m dailytalk_contiguous tokens train …
    """
    cli_options.on_this_machine("--out", out)
    settings = TrainingSettings(**chosen_for(TrainingSettings, cli_options.chosen(options, TRAIN_SETTINGS)))
    repo = cli_options.model_to_push(push, private)
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise DailytalkError("a folder of tokens is named twice", "name each of them once")
    sequences, codebook = tokens_of(folders)
    sources = [DataSource(folder.resolve().name, source_licence or None) for folder in folders]
    done = train_encoder(sequences, out, settings, clusters_of(codebook), codebook, sources)
    if not is_main_process():
        raise typer.Exit(0)
    address = None
    if repo is not None:
        with prosodic_encoder.quiet_transformers():
            address = push_model(repo, out, PUBLISHED, f"Encoder of prosodic tokens ({settings.size})", private)
    perplexity = math.exp(done.valid_loss)
    details = [
        f"{done.steps:,} of {counted(done.planned, 'step')}",
        f"masked frames: loss {done.valid_loss:.4f} nats, perplexity {perplexity:.2f}",
    ]
    shares = ", ".join(f"{model} {share:.1%}" for model, share in done.accuracy.items())
    details.append(f"predicted of those of which only the mask is seen: {shares}")
    if done.accuracy["encoder"] <= max(done.accuracy["bigram"], done.accuracy["unigram"]):
        details.append("warning: counting predicts as many: train for longer, or on more speech")
    return Outcome(
        done._asdict() | {"out": as_text(out), "perplexity": perplexity, "published": address},
        f"an encoder in {as_text(out)}" + (f", published as {address}" if address else ""),
        details=details,
        next=to_run("tokens", "embed", folders[0], "--encoder", out, "--out", "DIR"),
    )


def embed(
    folder: Path = argument("DIR", "What dailytalk tokens encode has written."),
    encoder: str = encoder_option(),
    out: Path = cli_options.out_option(),
    device: str = cli_options.DEVICE_OPTION,
) -> Outcome:
    """Write an embedding of how each utterance is said.

    A Parquet file with the columns of each.
    """
    cli_options.on_this_machine("--out", out)
    model = encoder_of(encoder, device)
    count = write_embeddings(token_rows(folder), model, out)
    written = as_text(out / EMBEDDINGS)
    return Outcome(
        {"out": written, "utterances": count, "size": model.config.hidden_dim},
        f"{counted(count, 'utterance')} in {written}",
        next=to_run("tokens", "similar", "ID", "--in", out),
    )


def encoder_of(text: str, device: str) -> prosodic_encoder.ProsodicSequenceEncoder:
    """The encoder in a folder or on the Hub, on a device. Raises DailytalkError if there is none."""
    model = prosodic_encoder.open_encoder(text)
    model.to(resolve_device(device))  # type: ignore[arg-type]
    return model


def tokens_of(folders: Sequence[Path]) -> tuple[list[NDArray[np.int16]], str]:
    """The tokens of every utterance of folders, and their codebook.

    Raises BadInput for tokens of another codebook than the first's, DailytalkError without tokens.
    """
    sequences, codebook = [], ""
    for row in (row for folder in folders for row in token_rows(folder)):
        codebook = codebook or row["prosody_model"]
        check_codebook(row, codebook)
        if row["prosody_tokens"]:
            sequences.append(np.asarray(row["prosody_tokens"], np.int16))
    if not sequences:
        raise DailytalkError("there is no utterance with tokens to train on", "encode recordings with speech")
    return sequences, codebook
