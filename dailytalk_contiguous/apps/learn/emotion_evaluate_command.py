"""`dailytalk emotion evaluate`: evaluate a classifier of emotion on speakers outside its training."""

import inspect
from collections.abc import Sequence
from typing import Any

from dailytalk_contiguous.apps.learn.emotion_evaluation import (
    EmotionEvaluation,
    evaluate_model,
    evaluate_speakers,
)
from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples, read_examples
from dailytalk_contiguous.apps.learn.emotion_settings import NetworkSettings
from dailytalk_contiguous.apps.learn.emotion_training import fit_emotion
from dailytalk_contiguous.apps.learn.folds import FOLDS
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.options import either, pair_of
from dailytalk_contiguous.cli.terminal import Panel, argument, option
from dailytalk_contiguous.core.emotions import CLASS_SETS, VOICE_LINEAR
from dailytalk_contiguous.core.errors import BadValue, DailytalkError
from dailytalk_contiguous.core.outcome import Figures, Outcome, to_run
from dailytalk_contiguous.core.settings import one_of
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models.contracts import EmotionModel
from dailytalk_contiguous.models.devices import resolve_device
from dailytalk_contiguous.models.emotion_folder import EMOTION_KINDS
from dailytalk_contiguous.models.emotion_models import emotion_facts, load_emotion_model
from dailytalk_contiguous.models.licences import licence_of

INPUTS = argument("INPUT", "Folders of dailytalk corpus, mixes, OWNER/NAME@TAG of clips on the Hub.")
FOLDS_OPTION = option(
    FOLDS,
    Panel.RESULT,
    "Parts of the speakers, each tested by a model of the others.",
    metavar="N",
    min=2,
    max=100,
)


def model_option(default: str | None) -> Any:
    about = f"Classifier: {VOICE_LINEAR}, a folder of dailytalk emotion train, OWNER/NAME on the Hub."
    return option(default, Panel.MODELS, about, metavar="NAME|DIR")


def kind_option(default: str | None) -> Any:
    about = f"What is trained: {either(EMOTION_KINDS)}."
    return option(default, Panel.MODELS, about, metavar="NAME", show_default="linear")


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
    mapping: list[Any] = option(
        [],
        Panel.INPUT,
        "The class for a label that is no class, such as calm=neutral.",
        "--map",
        metavar="LABEL=CLASS",
        parser=pair_of,
        show_default=False,
    ),
) -> EmotionExamples:
    """The examples for a command line; `model`: its classes are used if none are named.

    The arguments behind these two are options of each command that reads examples.
    """
    names: Sequence[str] | None = model.classes if model is not None and not classes else None
    if names is None and (names := CLASS_SETS.get(classes or "six", ())) == ():
        names = [name.strip() for name in classes.split(",")]
        if len(names) < 2 or not all(names) or len({*names}) < len(names):
            raise BadValue(
                f"--classes can't be {classes!r}", f"give {either(CLASS_SETS)}, or a list such as angry,happy,sad"
            )
    return read_examples(inputs, names, dict(mapping))


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
    folds: int = FOLDS_OPTION,
    device: str = cli_options.DEVICE_OPTION,
    seed: int = cli_options.SEED_OPTION,
    **asked: Any,
) -> Outcome:
    """Say how well a classifier does on unheard speakers.

    Recall is the mean of the classes, so chance is one in as many as there are. Emotion is a guess from sound, and
    no diagnosis. Needs the extra tokens.
    """
    if model is not None and kind is not None:
        raise DailytalkError("--model is trained, and --kind is of a training", "leave one of both out")
    kind = one_of("--kind", kind or "linear", EMOTION_KINDS)
    resolved = resolve_device(device)
    tested = None if model is None else load_emotion_model(model, resolved)
    examples = examples_asked(inputs, tested, **asked)
    if tested is not None:
        is_bundled = model == VOICE_LINEAR
        known = f"it was {licence_of(VOICE_LINEAR).note}, and has heard nobody else" if is_bundled else ""
        evaluation = evaluate_model(tested, examples, emotion_facts(str(model)).get("corpora", ()), known)
    else:

        def fit(known: EmotionExamples) -> EmotionModel:
            return fit_emotion(kind, known, NetworkSettings(seed=seed), resolved)

        evaluation = evaluate_speakers(fit, examples, folds, seed)
    utterances = counted(evaluation.utterances, "utterance")
    confusion = evaluation.confusion
    rows = [
        (str(name), *(f"{100 * n / max(1, row.sum()):.0f}" for n in row), f"{row.sum():,}")
        for name, row in confusion.iterrows()
    ]
    head = ("label", *(f">{str(name)[:4]}" for name in confusion.columns), ">n")
    return Outcome(
        evaluation.as_dict(),
        f"{evaluation.model}: {utterances} of {counted(evaluation.speakers, 'speaker')}, "
        f"{len(evaluation.classes)} classes, {figures_sentence(evaluation)}",
        details=[
            "what was answered, in percent of each label:",
            Figures(head, rows, gap=1),
            *(f"note: {sentence}" for sentence in evaluation.notes),
        ],
        next=to_run("emotion", "train", *inputs, "--out", "DIR") if model is None else "",
    )


def figures_sentence(evaluation: EmotionEvaluation) -> str:
    return (
        f"mean recall {evaluation.recall:.1%} (chance {1 / len(evaluation.classes):.1%}), "
        f"accuracy {evaluation.accuracy:.1%}, F1 {evaluation.macro_f1:.1%}, "
        f"calibration error {evaluation.calibration_error:.1%}"
    )
