"""`dailytalk tokens similar` and `evaluate`: what embeddings and tokens of how something is said are good for."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from dailytalk_contiguous.cli.emotion_evaluate import check_file, figures_table
from dailytalk_contiguous.cli.encoder import encoder_of, encoder_option
from dailytalk_contiguous.cli.options import DeviceOption, seed_option
from dailytalk_contiguous.cli.terminal import (
    AsJsonOption,
    Console,
    HelpPanel,
    option,
    plain_table,
    print_json,
    say,
)
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.learn.embeddings import encoder_accuracy, read_embeddings
from dailytalk_contiguous.learn.evaluation import Evaluation, evaluate_tokens
from dailytalk_contiguous.learn.masked_tokens import RECORD, read_record
from dailytalk_contiguous.learn.similar import Match, find_similar, write_similar_page
from dailytalk_contiguous.learn.token_rows import open_sound
from dailytalk_contiguous.models.prosodic_encoder import too_little_learned
from dailytalk_contiguous.store.files import write_text

SoundOption = Annotated[
    str | None,
    option(
        HelpPanel.INPUT,
        "What was encoded, or a folder of its tokens, to take the sound from.",
        metavar="DIR|OWNER/NAME",
        show_default="its recordings",
    ),
]


def similar(
    name: Annotated[str, typer.Argument(metavar="ID", help="An utterance; or a clip.")],
    folder: Annotated[
        Path, option(HelpPanel.INPUT, "What dailytalk tokens embed has written.", "--in", metavar="DIR")
    ],
    top: Annotated[int, option(HelpPanel.RESULT, "How many, the most alike first.", metavar="N", min=1)] = 10,
    other_speakers: Annotated[
        bool, option(HelpPanel.RESULT, "Only utterances of other speakers.", "--other-speakers")
    ] = False,
    html: Annotated[
        Path | None, option(HelpPanel.INPUT, "A page with players, too: one file, no network.", metavar="FILE")
    ] = None,
    sound: SoundOption = None,
    as_json: AsJsonOption = False,
) -> None:
    """Find what is said most like an utterance: how it is said counts, not its words.

    All embeddings are compared. They hold traces of who speaks; --other-speakers leaves the easy half out.
    """
    check_file("--html", html, (".html", ".htm"))
    if sound is not None and html is None:
        raise DailytalkError("--sound goes with --html", "add --html FILE, or leave it out")
    asked, matches = find_similar(read_embeddings(folder), name, top, other_speakers)
    if too_little := too_little_learned(encoder_accuracy(folder)):
        say(f"warning: {too_little}", stderr=True)
    if html is not None:
        write_similar_page(html, asked, matches, open_sound(folder, sound))
    if as_json:
        page = None if html is None else as_text(html)
        print_json({"asked": asked.as_dict(), "similar": [match.as_dict() for match in matches], "html": page})
        return
    _show(Console(), asked, matches)
    if html is not None:
        Console().print(f"{counted(len(matches), 'utterance')} to listen to in {as_text(html)}", markup=False)


def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What dailytalk tokens encode has written.")],
    encoder: Annotated[str | None, encoder_option()] = None,
    embeddings: Annotated[
        Path | None,
        option(
            HelpPanel.INPUT,
            "What dailytalk tokens embed has written, in place of an encoder.",
            metavar="DIR",
            show_default="those in DIR",
        ),
    ] = None,
    contours: Annotated[
        Path | None,
        option(
            HelpPanel.INPUT,
            "What dailytalk tokens extract has written.",
            metavar="DIR",
            show_default="those in DIR",
        ),
    ] = None,
    sound: SoundOption = None,
    out: Annotated[
        Path | None, option(HelpPanel.INPUT, "The same as a short text in Markdown.", metavar="FILE")
    ] = None,
    device: DeviceOption = "auto",
    seed: Annotated[int, seed_option()] = 0,
    as_json: AsJsonOption = False,
) -> None:
    """Say what tokens and embeddings tell: of emotion, tag, question, gender and speaker, and of masked tokens.

    Linear probes on speakers that they have not heard, beside chance; how much of the speaker is in each kind of
    features; an encoder beside counts. Needs the extra `tokens`. With opensmile installed, whose licence forbids
    commercial use, eGeMAPS is beside them.
    """
    check_file("--out", out, (".md",))
    if encoder is not None and embeddings is not None:
        raise DailytalkError("--embeddings replaces --encoder", "leave one of both out")
    with interrupts.deferred():
        model = None if encoder is None else encoder_of(encoder, device)
        is_trained = encoder is not None and (Path(encoder) / RECORD).is_file()
        training = read_record(Path(str(encoder))) if is_trained else None
        evaluation = evaluate_tokens(folder, model, training, embeddings, contours, sound, seed)
    if out is not None:
        write_text(out, evaluation.markdown())
    if as_json:
        print_json(evaluation.as_dict())
    else:
        _show_evaluation(Console(), evaluation)
    if not evaluation.probes and not evaluation.predictions:
        raise typer.Exit(1)


def _show_evaluation(console: Console, evaluation: Evaluation) -> None:
    utterances, speakers = counted(evaluation.utterances, "utterance"), counted(evaluation.speakers, "speaker")
    console.print(f"{utterances} of {speakers}")
    for title, head, rows in evaluation.tables():
        console.print(f"\n{title}", markup=False)
        console.print(figures_table(head, rows, ("target", "features", "model")))
    if evaluation.notes:
        console.print()
    for note in evaluation.notes:
        console.labelled("note", note)


def _show(console: Console, asked: Match, matches: list[Match]) -> None:
    table = plain_table("id", ">similarity", "speaker", "tag", "text")
    for match in (asked, *matches):
        facts = match.as_dict()
        cells = (escape(facts[name] or "–") for name in ("speaker", "tag", "text"))
        table.add_row(escape(facts["id"]), "" if match is asked else f"{match.similarity:.3f}", *cells)
    console.print(table)
