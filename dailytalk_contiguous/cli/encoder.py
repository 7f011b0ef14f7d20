"""`dailytalk tokens train` and `embed`: the encoder of prosodic tokens.

A module of its own, since it loads PyTorch and transformers, which other commands of tokens do not need at import.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.progress import Progress

from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.terminal import AsJsonOption, Console, HelpPanel, option, print_json, say
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.settings import chosen_for
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.learn.embeddings import EMBEDDINGS, check_codebook, write_embeddings
from dailytalk_contiguous.learn.masked_tokens import (
    PUBLISHED,
    TrainingSettings,
    is_main_process,
    train_encoder,
)
from dailytalk_contiguous.learn.model_cards import DataSource
from dailytalk_contiguous.learn.token_rows import clusters_of, token_rows
from dailytalk_contiguous.models import prosodic_encoder
from dailytalk_contiguous.models.devices import resolve_device
from dailytalk_contiguous.publish.pushing import push_model

TRAIN_SETTINGS = cli_options.setting_options(TrainingSettings())


def encoder_option() -> Any:
    """`--encoder`."""
    about = "Folder of dailytalk tokens train, or OWNER/NAME on the Hub, with @TAG for a version."
    return option(HelpPanel.MODELS, about, "--encoder", metavar="MODEL")


@cli_options.with_options(TRAIN_SETTINGS)
def train(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR", help="What dailytalk tokens encode has written; one or several.")
    ],
    out: Annotated[Path, option(HelpPanel.INPUT, "Folder for the encoder.", metavar="DIR")],
    source_licence: Annotated[str, cli_options.source_licence_option("not known")] = "",
    push: cli_options.PushModelOption = None,
    private: cli_options.PrivateModelOption = False,
    as_json: AsJsonOption = False,
    **options: Any,
) -> None:
    """Train an encoder of prosodic tokens: it learns to predict frames that are masked.

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
    console = Console(stderr=as_json)
    with steps_bar(console, "training", quiet=as_json) as on_step:
        outcome = train_encoder(sequences, out, settings, clusters_of(codebook), codebook, sources, on_step)
    if not is_main_process():
        return
    address = None
    if repo is not None:
        with prosodic_encoder.quiet_transformers():
            address = push_model(repo, out, PUBLISHED, f"Encoder of prosodic tokens ({settings.size})", private)
    perplexity = math.exp(outcome.valid_loss)
    too_little = prosodic_encoder.too_little_learned([*outcome.accuracy.values()] or None)
    if too_little:
        say(f"warning: {too_little}", stderr=True)
    if as_json:
        fields = {name: value for name, value in outcome._asdict().items() if name != "losses"}
        print_json(fields | {"out": as_text(out), "perplexity": perplexity, "published": address})
        return
    if outcome.done_before:
        console.print("nothing to do: it is trained")
    steps = f"{outcome.steps:,} of {counted(outcome.planned, 'step')}"
    console.print(steps + (", stopped as validation got no better" if outcome.stopped_early else ""))
    console.print(
        f"masked frames: loss {outcome.valid_loss:.4f} nats, perplexity {perplexity:.2f}, "
        f"{outcome.valid_accuracy:.1%} predicted"
    )
    if outcome.accuracy:
        shares = ", ".join(f"{model} {share:.1%}" for model, share in outcome.accuracy.items())
        console.print(f"of those of which only the mask is seen: {shares}")
    console.print(f"in {as_text(out)}", markup=False)
    if address is not None:
        console.print(address, markup=False)


@cli_options.with_options({})
def embed(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What dailytalk tokens encode has written.")],
    encoder: Annotated[str, encoder_option()],
    out: Annotated[Path, option(HelpPanel.INPUT, "Folder for the embeddings.", metavar="DIR")],
    device: cli_options.DeviceOption = "auto",
    as_json: AsJsonOption = False,
) -> None:
    """Write an embedding of how it is said for every utterance: a Parquet file with the columns of each."""
    cli_options.on_this_machine("--out", out)
    with interrupts.deferred():
        model = encoder_of(encoder, device)
        count = write_embeddings(token_rows(folder), model, out)
    if too_little := prosodic_encoder.too_little_learned(model.config.masked_accuracy):
        say(f"warning: {too_little}", stderr=True)
    if as_json:
        print_json({"out": as_text(out / EMBEDDINGS), "utterances": count, "size": model.config.hidden_dim})
    else:
        Console().print(f"{counted(count, 'utterance')} in {as_text(out / EMBEDDINGS)}", markup=False)


def encoder_of(text: str, device: str) -> prosodic_encoder.ProsodicSequenceEncoder:
    """The encoder in a folder or on the Hub, on a device. Raises DailytalkError if there is none."""
    model = prosodic_encoder.open_encoder(text)
    model.to(resolve_device(device))  # type: ignore[arg-type]
    return model


def tokens_of(folders: Sequence[Path]) -> tuple[list[NDArray[np.int16]], str]:
    """The tokens of every utterance of folders, and the codebook that all are of.

    Raises BadInput for tokens of another codebook than the first's, DailytalkError for none at all.
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


@contextmanager
def steps_bar(console: Console, what: str, quiet: bool) -> Iterator[Callable[[int, int, float], None]]:
    """A bar of steps on a terminal, and the function to be called after each; elsewhere a line every tenth."""
    shown = console.is_terminal and not quiet and is_main_process()
    with Progress(*Progress.get_default_columns(), console=console, transient=True, disable=not shown) as progress:
        task = progress.add_task(what)

        def on_step(step: int, steps: int, loss: float) -> None:
            progress.update(task, total=steps, completed=step, description=f"{what}, loss {loss:.4f}")
            if not shown and is_main_process() and (step == steps or step % max(1, steps // 10) == 0):
                say(f"{what}: step {step:,} of {steps:,}, loss {loss:.4f}", stderr=True)

        yield on_step
