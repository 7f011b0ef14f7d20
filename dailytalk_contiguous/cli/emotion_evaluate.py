"""`dailytalk emotion evaluate`: how well a classifier of emotion does on speakers that it has not heard."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, get_args

import typer
from rich.markup import escape
from rich.table import Table

from dailytalk_contiguous.cli.options import DeviceOption, either, on_this_machine, one_of, seed_option
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
from dailytalk_contiguous.core.emotions import CLASS_SETS
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.learn.emotion_evaluation import (
    PROTOCOLS,
    EmotionEvaluation,
    evaluate_model,
    evaluate_protocol,
)
from dailytalk_contiguous.learn.emotion_examples import EmotionExamples, Labels, read_examples
from dailytalk_contiguous.learn.emotion_training import fit_emotion
from dailytalk_contiguous.learn.probes import FOLDS
from dailytalk_contiguous.models.contracts import EmotionModel
from dailytalk_contiguous.models.devices import resolve_device
from dailytalk_contiguous.models.emotion_folder import EMOTION_KINDS
from dailytalk_contiguous.models.emotion_models import AFFECT_MAP, emotion_facts, load_emotion_model
from dailytalk_contiguous.publish.page import page_of
from dailytalk_contiguous.publish.plots import png
from dailytalk_contiguous.store.files import write_bytes, write_lines

LABELS: tuple[str, ...] = get_args(Labels)

#: What the commands say of options that several of them have.
MODEL_TEXT = f"Classifier: {AFFECT_MAP}, a folder of dailytalk emotion train, OWNER/NAME on the Hub."
KIND_TEXT = f"What is trained: {either(EMOTION_KINDS)}."
CLASSES_TEXT = f"Classes: {either(CLASS_SETS)}, or a list such as angry,happy,sad. five is six without neutral."
FOLDS_TEXT = "Parts of the speakers, each tested by a model of the others."

InputsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT", help="Folders of dailytalk corpus, mixes, OWNER/NAME@TAG of clips on the Hub."
    ),
]
LabelsOption = Annotated[
    str,
    option(HelpPanel.INPUT, f"What says the emotion: what was {either(LABELS)}.", metavar="NAME"),
]
MapOption = Annotated[
    list[str] | None,
    option(
        HelpPanel.INPUT, "The class of a label that is none, such as calm=neutral.", "--map", metavar="LABEL=CLASS"
    ),
]
AgreementOption = Annotated[
    float,
    option(HelpPanel.RARE, "Least share of raters who agree, where it is known.", metavar="N", min=0.0, max=1.0),
]
VotesOption = Annotated[
    Path | None,
    option(
        HelpPanel.RARE,
        "CREMA-D's tabulatedVotes.csv, for --labels votes of rows without votes.",
        metavar="FILE",
    ),
]


def examples_asked(
    inputs: list[str],
    classes: str,
    labels: str,
    mapping: list[str] | None,
    agreement: float,
    votes: Path | None,
    model: EmotionModel | None = None,
) -> EmotionExamples:
    """The examples that a command line asks for; `model`: whose classes they have where none are named."""
    chosen: Any = one_of("--labels", labels, LABELS)
    named = {}
    for text in mapping or ():
        label, _, name = text.partition("=")
        if not label or not name:
            raise DailytalkError(f"--map can't be {text!r}", "give LABEL=CLASS, such as calm=neutral")
        named[label] = name
    return read_examples(
        inputs,
        model.classes if model is not None and not classes else classes_named(classes or "six"),
        chosen,
        named,
        agreement,
        votes,
    )


def classes_named(text: str) -> tuple[str, ...] | None:
    """The classes of a set or a list of names; None for all that there are.

    Raises DailytalkError for one class alone, an empty name, or one that is there twice.
    """
    if text in CLASS_SETS:
        return CLASS_SETS[text]
    names = tuple(name.strip() for name in text.split(","))
    if len(names) < 2 or not all(names) or len({*names}) < len(names):
        raise DailytalkError(
            f"--classes can't be {text!r}", f"give {either(CLASS_SETS)}, or a list such as angry,happy,sad"
        )
    return names


def emotion_evaluate(
    inputs: InputsArgument,
    model: Annotated[
        str | None,
        option(HelpPanel.MODELS, MODEL_TEXT, metavar="NAME|DIR"),
    ] = None,
    kind: Annotated[
        str | None,
        option(
            HelpPanel.MODELS,
            KIND_TEXT,
            metavar="NAME",
            show_default="linear",
        ),
    ] = None,
    protocol: Annotated[
        str,
        option(
            HelpPanel.RESULT,
            f"What is kept apart: {either(PROTOCOLS)}; random shows speakers, too.",
            metavar="NAME",
        ),
    ] = "speakers",
    folds: Annotated[int, option(HelpPanel.RESULT, FOLDS_TEXT, metavar="N", min=2, max=100)] = FOLDS,
    classes: Annotated[
        str,
        option(
            HelpPanel.INPUT,
            CLASSES_TEXT,
            metavar="NAMES",
            show_default="six, or the model's",
        ),
    ] = "",
    labels: LabelsOption = "acted",
    mapping: MapOption = None,
    agreement: AgreementOption = 0.0,
    votes: VotesOption = None,
    alone: Annotated[
        bool,
        option(
            HelpPanel.RESULT, "Classify each utterance by itself, not beside others of its speaker.", "--alone"
        ),
    ] = False,
    page: Annotated[
        Path | None, option(HelpPanel.INPUT, "The same as a page with a picture.", metavar="FILE")
    ] = None,
    picture: Annotated[
        Path | None, option(HelpPanel.INPUT, "What was taken for what, as a PNG.", metavar="FILE")
    ] = None,
    device: DeviceOption = "auto",
    seed: Annotated[int, seed_option()] = 0,
    as_json: AsJsonOption = False,
) -> None:
    """Say how well a classifier of emotion does on speakers that it has not heard.

    Recall is the mean of the classes, so chance is one in as many as there are. Published figures are shown with
    what they keep apart. Emotion is a guess from sound, and no diagnosis. Needs the extra tokens.
    """
    if model is not None and kind is not None:
        raise DailytalkError("--model is trained, and --kind is trained here", "leave one of both out")
    if model is not None and protocol != "speakers":
        raise DailytalkError("--protocol says what is trained on, and --model is trained", "leave one of both out")
    kind, protocol = one_of("--kind", kind or "linear", EMOTION_KINDS), one_of("--protocol", protocol, PROTOCOLS)
    check_file("--page", page, (".html", ".htm"))
    check_file("--picture", picture, (".png",))
    with TemporaryDirectory() as work, interrupts.deferred():
        place = resolve_device(device)
        tested = None if model is None else load_emotion_model(model, place)
        examples = examples_asked(inputs, classes, labels, mapping, agreement, votes, tested)
        if tested is not None:
            corpora = emotion_facts(str(model)).get("corpora")
            known = [*corpora] if isinstance(corpora, dict) else []
            evaluation = evaluate_model(tested, examples, seed, alone, known)
        else:

            def fit(known: EmotionExamples) -> EmotionModel:
                # Folds share what frozen encoders compute.
                return fit_emotion(kind, known, None, place, seed, Path(work))

            progress = tell_nothing if kind == "linear" else tell_fold
            evaluation = evaluate_protocol(fit, examples, protocol, folds, seed, alone, progress)
    if page is not None:
        write_lines(page, page_of("Emotion in classes", [evaluation.section()]))
    if picture is not None:
        write_bytes(picture, png(evaluation.plot()))
    if as_json:
        print_json(evaluation.as_dict())
    else:
        _show(Console(), evaluation)


def tell_fold(name: str) -> None:
    """Say which fold begins: networks take a while for each."""
    say(f"fold {name}", stderr=True)


def tell_nothing(name: str) -> None:
    """Say nothing of a fold: `linear` takes seconds for all."""


def check_file(flag: str, path: Path | None, endings: tuple[str, ...]) -> None:
    """Raise DailytalkError for what is no file of this kind: a slip must not write over what is read."""
    on_this_machine(flag, path)
    if path is not None and path.suffix.lower() not in endings:
        raise DailytalkError(f"{flag} can't be {as_text(path)!r}", f"name a file that ends in {either(endings)}")


def figures_table(head: Sequence[str], rows: Iterable[Sequence[str]], texts: Sequence[str]) -> Table:
    """Rows of an evaluation as a table: columns are of numbers, except those with one of the headings `texts`."""
    table = plain_table(*(name if name in texts else f">{name}" for name in head), padding=(0, 1, 0, 0))
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _show(console: Console, evaluation: EmotionEvaluation) -> None:
    utterances = counted(evaluation.figures.utterances, "utterance")
    console.print(
        f"{evaluation.model}: {utterances} of {counted(evaluation.figures.speakers, 'speaker')}, "
        f"{len(evaluation.classes)} classes, chance {100 * evaluation.chance:.1f} %",
        markup=False,
    )
    for title, head, rows in evaluation.tables():
        console.print(f"\n{title}", markup=False)
        console.print(figures_table(head, rows, ("protocol", "label", "group", "corpus")))
    console.print()
    for sentence in evaluation.sentences():
        console.labelled("note", sentence)
