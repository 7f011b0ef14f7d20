"""`dailytalk emotion evaluate`: evaluate a classifier of emotion on speakers outside its training."""

import inspect
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

from dailytalk_contiguous.apps.learn import emotion_evaluation
from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples, Labels, read_examples
from dailytalk_contiguous.apps.learn.emotion_training import fit_emotion
from dailytalk_contiguous.apps.learn.probes import FOLDS
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.options import either, one_of
from dailytalk_contiguous.cli.terminal import Panel, argument, option
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.emotions import CLASS_SETS, VOICE_LINEAR
from dailytalk_contiguous.core.errors import BadValue, DailytalkError
from dailytalk_contiguous.core.outcome import Figures, Outcome, to_run
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models.contracts import EmotionModel
from dailytalk_contiguous.models.devices import resolve_device
from dailytalk_contiguous.models.emotion_folder import EMOTION_KINDS
from dailytalk_contiguous.models.emotion_models import emotion_facts, load_emotion_model
from dailytalk_contiguous.store.files import write_bytes

LABELS: tuple[str, ...] = get_args(Labels)

INPUTS = argument("INPUT", "Folders of dailytalk corpus, mixes, OWNER/NAME@TAG of clips on the Hub.")


def model_option(default: str | None) -> Any:
    about = f"Classifier: {VOICE_LINEAR}, a folder of dailytalk emotion train, OWNER/NAME on the Hub."
    return option(default, Panel.MODELS, about, metavar="NAME|DIR")


def kind_option(default: str | None) -> Any:
    about = f"What is trained: {either(EMOTION_KINDS)}."
    return option(default, Panel.MODELS, about, metavar="NAME", show_default="linear")


def folds_option(default: int | None, least: int, show_default: str | bool = True) -> Any:
    about = "Parts of the speakers, each tested by a model of the others."
    return option(default, Panel.RESULT, about, metavar="N", min=least, max=100, show_default=show_default)


def examples_asked(
    inputs: list[str],
    model: EmotionModel | None,
    *,
    classes: str = option(
        "",
        Panel.INPUT,
        f"Classes: {either(CLASS_SETS)}, or a list such as angry,happy,sad. five is six without neutral.",
        metavar="NAMES",
        show_default="six, or the model's",
    ),
    labels: str = option(
        "acted", Panel.INPUT, f"What says the emotion: what was {either(LABELS)}.", metavar="NAME"
    ),
    mapping: list[str] | None = option(
        None,
        Panel.INPUT,
        "The class of a label that is none, such as calm=neutral.",
        "--map",
        metavar="LABEL=CLASS",
    ),
    agreement: float = option(
        0.0, Panel.RARE, "Least share of raters who agree, where it is known.", metavar="N", min=0.0, max=1.0
    ),
) -> EmotionExamples:
    """The examples for a command line; `model`: its classes are used if none are named.

    The arguments behind these two are options of each command that reads examples.
    """
    chosen: Any = one_of("--labels", labels, LABELS)
    pairs = [text.split("=") for text in mapping or ()]
    if not all(len(pair) == 2 and all(pair) for pair in pairs):
        raise BadValue(f"--map can't be {' '.join(mapping or ())!r}", "give LABEL=CLASS, such as calm=neutral")
    names: Sequence[str] | None = model.classes if model is not None and not classes else None
    if names is None and (names := CLASS_SETS.get(classes or "six", ())) == ():
        names = [name.strip() for name in classes.split(",")]
        if len(names) < 2 or not all(names) or len({*names}) < len(names):
            raise BadValue(
                f"--classes can't be {classes!r}", f"give {either(CLASS_SETS)}, or a list such as angry,happy,sad"
            )
    return read_examples(inputs, names, chosen, dict(pairs), agreement)


#: The options of commands that read examples, each an argument of `examples_asked`.
EXAMPLE_OPTIONS = {
    name: parameter
    for name, parameter in inspect.signature(examples_asked).parameters.items()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY
}


@cli_options.with_options(EXAMPLE_OPTIONS)
def emotion_evaluate(
    inputs: list[str] = INPUTS,
    model: str | None = model_option(None),
    kind: str | None = kind_option(None),
    protocol: str = option(
        "speakers",
        Panel.RESULT,
        f"What is kept apart: {either(emotion_evaluation.PROTOCOLS)}; random shows speakers, too.",
        metavar="NAME",
    ),
    folds: int = folds_option(FOLDS, 2),
    alone: bool = option(
        False, Panel.RESULT, "Classify each utterance by itself, not beside others of its speaker.", "--alone"
    ),
    png: Path | None = cli_options.PNG,
    device: str = cli_options.DEVICE_OPTION,
    seed: int = cli_options.SEED_OPTION,
    **asked: Any,
) -> Outcome:
    """Say how well a classifier does on unheard speakers.

    Recall is the mean of the classes, so chance is one in as many as there are. Published figures are shown with
    what they keep apart. The picture is of what was taken for what. Emotion is a guess from sound, and no
    diagnosis. Needs the extra tokens.
    """
    if model is not None and (kind is not None or protocol != "speakers"):
        raise DailytalkError(
            "--model is trained, and --kind and --protocol are of a training", "leave one of both out"
        )
    kind = one_of("--kind", kind or "linear", EMOTION_KINDS)
    one_of("--protocol", protocol, emotion_evaluation.PROTOCOLS)
    check_file("--png", png, (".png",))
    resolved = resolve_device(device)
    tested = None if model is None else load_emotion_model(model, resolved)
    examples = examples_asked(inputs, tested, **asked)
    if tested is not None:
        known = emotion_facts(str(model)).get("corpora", ())
        evaluation = emotion_evaluation.evaluate_model(tested, examples, seed, alone, known)
    else:

        def fit(known: EmotionExamples) -> EmotionModel:
            return fit_emotion(kind, known, None, resolved, seed)

        evaluation = emotion_evaluation.evaluate_protocol(fit, examples, protocol, folds, seed, alone)
    if png is not None:
        write_bytes(png, evaluation.confusion_png())
    utterances = counted(evaluation.figures.utterances, "utterance")
    return Outcome(
        evaluation.as_dict(),
        f"{evaluation.model}: {utterances} of {counted(evaluation.figures.speakers, 'speaker')}, "
        f"{len(evaluation.classes)} classes, chance {100 * evaluation.chance:.1f} %",
        details=[
            *tables_of(evaluation.tables(), ("protocol", "label", "group", "corpus")),
            *(f"note: {sentence}" for sentence in evaluation.sentences()),
            *([f"in {as_text(png)}"] if png else []),
        ],
        next=to_run("emotion", "train", *inputs, "--out", "DIR") if model is None else "",
    )


def check_file(flag: str, path: Path | None, endings: tuple[str, ...]) -> None:
    """Raise DailytalkError for a path that is no file of this kind: a slip must not overwrite an input."""
    cli_options.on_this_machine(flag, path)
    if path is not None and path.suffix.lower() not in endings:
        raise BadValue(f"{flag} can't be {as_text(path)!r}", f"name a file that ends in {either(endings)}")


def tables_of(
    tables: Iterable[tuple[str, Sequence[str], Sequence[Sequence[str]]]], texts: Sequence[str]
) -> list[str | Figures]:
    """The tables of an evaluation with their titles; columns are of numbers, except those headed by `texts`."""
    parts: list[str | Figures] = []
    for title, head, rows in tables:
        parts += [f"{title}:", Figures([name if name in texts else f">{name}" for name in head], rows, gap=1), ""]
    return parts
