"""`dailytalk tokens similar` and `evaluate`: search with embeddings, and evaluate embeddings and tokens."""

from pathlib import Path

from dailytalk_contiguous.apps.learn import emotion_evaluate_command as emotion_evaluate
from dailytalk_contiguous.apps.learn.embeddings import read_embeddings
from dailytalk_contiguous.apps.learn.encoder_command import encoder_of, encoder_option
from dailytalk_contiguous.apps.learn.evaluation import evaluate_tokens
from dailytalk_contiguous.apps.learn.similar import find_similar, write_similar_page
from dailytalk_contiguous.apps.learn.token_rows import open_sound
from dailytalk_contiguous.cli.options import DEVICE_OPTION, HTML, MARKDOWN, SEED_OPTION
from dailytalk_contiguous.cli.terminal import Panel, argument, option
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.outcome import Figures, Outcome, to_run
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.store.files import write_text

SOUND = option(
    None,
    Panel.INPUT,
    "What was encoded, or a folder of its tokens, to take the sound from.",
    metavar="DIR|OWNER/NAME",
    show_default="its recordings",
)


def similar(
    name: str = argument("ID", "An utterance; or a clip."),
    folder: Path = option(..., Panel.INPUT, "What dailytalk tokens embed has written.", "--in", metavar="DIR"),
    top: int = option(10, Panel.RESULT, "How many, the most alike first.", metavar="N", min=1),
    other_speakers: bool = option(False, Panel.RESULT, "Only utterances of other speakers.", "--other-speakers"),
    html: Path | None = HTML,
    sound: str | None = SOUND,
) -> Outcome:
    """Find what is said most like an utterance.

    How it is said counts, not its words. All embeddings are compared. They hold traces of who speaks;
    --other-speakers leaves the easy half out. A page has players.
    """
    emotion_evaluate.check_file("--html", html, (".html", ".htm"))
    if sound is not None and html is None:
        raise DailytalkError("--sound goes with --html", "add --html FILE, or leave it out")
    asked, matches = find_similar(read_embeddings(folder), name, top, other_speakers)
    if html is not None:
        write_similar_page(html, asked, matches, open_sound(folder, sound))
    rows = []
    for match in (asked, *matches):
        facts = match.as_dict()
        cells = (facts[name] or "–" for name in ("speaker", "tag", "text"))
        rows.append((facts["id"], "" if match is asked else f"{match.similarity:.3f}", *cells))
    page = None if html is None else as_text(html)
    alike = f"{counted(len(matches), 'utterance')} most like {asked.as_dict()['id']}"
    return Outcome(
        {"asked": asked.as_dict(), "similar": [match.as_dict() for match in matches], "html": page},
        alike if page is None else f"{alike}, to listen to in {page}",
        details=[Figures(("id", ">similarity", "speaker", "tag", "text"), rows)],
        next="" if page else "the same command with --html FILE, to listen to them",
    )


def evaluate(
    folder: Path = argument("DIR", "What dailytalk tokens encode has written."),
    encoder: str | None = encoder_option(None),
    embeddings: Path | None = option(
        None,
        Panel.INPUT,
        "What dailytalk tokens embed has written, in place of an encoder.",
        metavar="DIR",
        show_default="those in DIR",
    ),
    contours: Path | None = option(
        None, Panel.INPUT, "What dailytalk tokens extract has written.", metavar="DIR", show_default="those in DIR"
    ),
    markdown: Path | None = MARKDOWN,
    device: str = DEVICE_OPTION,
    seed: int = SEED_OPTION,
) -> Outcome:
    """Say what tokens and embeddings know.

    Of emotion, tag, question, gender and speaker. Linear probes on speakers that they have not heard, beside
    chance; how much of the speaker is in each kind of features. Needs the extra `tokens`.
    """
    emotion_evaluate.check_file("--markdown", markdown, (".md",))
    if encoder is not None and embeddings is not None:
        raise DailytalkError("--embeddings replaces --encoder", "leave one of both out")
    model = None if encoder is None else encoder_of(encoder, device)
    evaluation = evaluate_tokens(folder, model, embeddings, contours, seed)
    if markdown is not None:
        write_text(markdown, evaluation.markdown())
    utterances, speakers = counted(evaluation.utterances, "utterance"), counted(evaluation.speakers, "speaker")
    return Outcome(
        evaluation.as_dict(),
        f"{utterances} of {speakers}" + (f", in {as_text(markdown)}" if markdown else ""),
        0 if evaluation.probes else 1,
        [
            *emotion_evaluate.tables_of(evaluation.tables(), ("target", "features")),
            *(f"note: {note}" for note in evaluation.notes),
        ],
        next="" if encoder or embeddings else to_run("tokens", "train", folder, "--out", "DIR"),
    )
