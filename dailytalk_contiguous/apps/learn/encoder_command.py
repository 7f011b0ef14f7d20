"""`dailytalk tokens train` and `embed`: the encoder of prosodic tokens.

A module of its own, since it loads PyTorch and transformers, which other commands of tokens do not need at import.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from dailytalk_contiguous.apps.learn.embeddings import EMBEDDINGS, spoken_rows, write_embeddings
from dailytalk_contiguous.apps.learn.masked_tokens import RECORD, TrainingSettings, train_encoder
from dailytalk_contiguous.apps.learn.model_cards import (
    TrainingSource,
    encoder_card,
    known_licences,
    without_licence,
)
from dailytalk_contiguous.apps.learn.token_rows import clusters_of, token_rows
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.terminal import Panel, argument, option
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.records.outcome import Outcome, to_run
from dailytalk_contiguous.core.settings import chosen_for
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.machine.read_documents import read_json
from dailytalk_contiguous.models import prosodic_encoder
from dailytalk_contiguous.models.devices import resolve_device
from dailytalk_contiguous.store.files import write_text
from dailytalk_contiguous.store.owned_folder import README
from dailytalk_contiguous.store.work_folder import read_run

TRAIN_SETTINGS = cli_options.setting_options(TrainingSettings())


@cli_options.with_options(TRAIN_SETTINGS)
def train(
    folders: list[Path] = argument("DIR", "Folders of dailytalk tokens encode, one or several."),
    out: Path = cli_options.out_option(),
    source_licence: str = cli_options.SOURCE_LICENCE,
    **options: Any,
) -> Outcome:
    """Train an encoder to predict masked frames.

    The encoder gives an embedding of how an utterance is said. After a stop, the same command goes on from the
    last checkpoint. The folder has a card, README.md, and can be published as it is: hf upload OWNER/NAME DIR.
    """
    cli_options.on_this_machine("--out", out)
    chosen = cli_options.chosen(options, TRAIN_SETTINGS)
    settings = TrainingSettings(**chosen_for(TrainingSettings, chosen))
    rows = spoken_rows(folders)
    sequences = [np.asarray(row["prosody_tokens"], np.int16) for row in rows]
    codebook = rows[0]["prosody_model"]
    done = train_encoder(sequences, out, settings, clusters_of(codebook), codebook)
    perplexity = math.exp(done.valid_loss)
    unigram = math.exp(done.unigram_loss)
    details = [
        f"{done.steps:,} of {counted(done.planned, 'step')}",
        f"perplexity of masked frames {perplexity:.2f}, of who knows how frequent tokens are {unigram:.2f}",
    ]
    if perplexity >= unigram:
        details.append("warning: it has learned nothing: train for longer, or on more speech")
    sources = [_source_of(folder, source_licence) for folder in folders]
    write_text(out / README, encoder_card(out.name, read_json(out / RECORD), sources))
    note = without_licence(sources)
    if note:
        details.append(f"note: {note}")
    record = done._asdict()
    record["out"] = as_text(out)
    record["perplexity"] = perplexity
    following = to_run("tokens", "embed", folders[0], "--encoder", out, "--out", "DIR")
    return Outcome(record, f"an encoder in {as_text(out)}", details=details, next=following)


def _source_of(folder: Path, other_licence: str) -> TrainingSource:
    """A folder of tokens as a source on a card: the dataset of its recordings, if it is known, or the folder."""
    rows = [*token_rows(folder)]
    seconds = sum(row["end"] - row["start"] for row in rows)
    source = read_run(folder).source
    amount = f"{counted(len(rows), 'utterance')}, {length_text(seconds)}"
    name = source.repository or folder.resolve().name
    licences = known_licences([source.licence], other_licence)
    return TrainingSource(name, licences, amount, is_dataset=bool(source.repository))


def embed(
    folder: Path = argument("DIR", "Folder of dailytalk tokens encode."),
    encoder: str = option(
        ...,
        Panel.MODELS,
        "Folder of dailytalk tokens train, or OWNER/NAME on the Hub, with @TAG for a version.",
        "--encoder",
        metavar="MODEL",
    ),
    out: Path = cli_options.out_option(),
    device: str = cli_options.DEVICE_OPTION,
) -> Outcome:
    """Write an embedding of how each utterance is said.

    It writes a Parquet file with the columns of each.
    """
    cli_options.on_this_machine("--out", out)
    model = prosodic_encoder.open_encoder(encoder)
    model.to(resolve_device(device))  # type: ignore[arg-type]
    count = write_embeddings(folder, model, out)
    path = as_text(out / EMBEDDINGS)
    record = {"out": path, "utterances": count, "size": model.config.hidden_dim}
    return Outcome(record, f"{counted(count, 'utterance')} in {path}")
