"""`dailytalk emotion evaluate`: evaluate a classifier of emotion on speakers outside its training."""

import inspect
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from dailytalk_contiguous.apps.learn.emotion_evaluation import (
    Answered,
    EmotionEvaluation,
    evaluate_model,
    evaluate_speakers,
)
from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples, read_examples
from dailytalk_contiguous.apps.learn.emotion_settings import NetworkSettings
from dailytalk_contiguous.apps.learn.emotion_training import fit_emotion
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.options import either, pair_of
from dailytalk_contiguous.cli.terminal import Panel, argument, option, shown_steps
from dailytalk_contiguous.core.errors import BadValue, DailytalkError
from dailytalk_contiguous.core.records.outcome import Figures, Outcome, to_run
from dailytalk_contiguous.core.settings import one_of
from dailytalk_contiguous.core.style.emotions import CLASS_SETS, VOICE_LINEAR
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models.contracts import EmotionModel
from dailytalk_contiguous.models.devices import resolve_device
from dailytalk_contiguous.models.emotion_folder import EMOTION_KINDS
from dailytalk_contiguous.models.emotion_models import emotion_facts, load_emotion_model
from dailytalk_contiguous.models.licences import licence_of
from dailytalk_contiguous.stages.classify_emotion import CONFIDENCE

INPUTS = argument("INPUT", "Folders of dailytalk corpus, mixes, OWNER/NAME@TAG of clips on the Hub.")
CONFIDENCE_OPTION = option(
    None, Panel.STYLE, CONFIDENCE.about, metavar="N", min=0, max=1, show_default=CONFIDENCE.shown
)


def model_option(default: str | None) -> Any:
    about = f"Classifier: {VOICE_LINEAR}, a folder of dailytalk emotion train, OWNER/NAME on the Hub."
    shown = f"{VOICE_LINEAR}; to evaluate one that is trained here"
    return option(default, Panel.MODELS, about, metavar="NAME|DIR", show_default=shown)


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
        "Class for a label that is not a class, such as calm=neutral.",
        "--map",
        metavar="LABEL=CLASS",
        parser=pair_of,
        show_default=False,
    ),
) -> EmotionExamples:
    """The examples for a command line; `model`: its classes are used if none are named.

    The arguments behind these two are options of each command that reads examples.
    """
    if model is not None and not classes:
        return read_examples(inputs, model.classes, dict(mapping))
    return read_examples(inputs, _named_classes(classes), dict(mapping))


def _named_classes(classes: str) -> Sequence[str] | None:
    """The classes of `--classes`: of a set by its name (None for all labels), or those of a list."""
    set_name = classes or "six"
    if set_name in CLASS_SETS:
        return CLASS_SETS[set_name]
    names = [name.strip() for name in classes.split(",")]
    if len(names) < 2 or not all(names) or len({*names}) < len(names):
        remedy = f"give {either(CLASS_SETS)}, or a list such as angry,happy,sad"
        raise BadValue(f"--classes can't be {classes!r}", remedy)
    return names


#: The options of commands that read examples, each an argument of `examples_asked`.
EXAMPLE_OPTIONS = {
    name: parameter
    for name, parameter in inspect.signature(examples_asked).parameters.items()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY
}


@cli_options.with_options(EXAMPLE_OPTIONS)
@shown_steps()
def emotion_evaluate(
    inputs: list[str] = INPUTS,
    model: str | None = model_option(None),
    kind: str | None = kind_option(None),
    emotion_confidence: float | None = CONFIDENCE_OPTION,
    device: str = cli_options.DEVICE_OPTION,
    seed: int = cli_options.SEED_OPTION,
    **asked: Any,
) -> Outcome:
    """Say how well a classifier does on unheard speakers.

    Recall is the mean over the classes, so chance is one divided by their number. It is that of utterances beside
    the speaker's others, and of the same utterances each judged alone. Emotion is a guess from sound,
    not a diagnosis. Needs the extra tokens.
    """
    if model is not None and kind is not None:
        raise DailytalkError(
            "--model names a trained classifier, and --kind one to be trained", "leave one of them out"
        )
    kind = one_of("--kind", kind or "linear", EMOTION_KINDS)
    resolved = resolve_device(device)
    if model is None:
        examples = examples_asked(inputs, None, **asked)

        def fit_on(train: EmotionExamples) -> EmotionModel:
            return fit_emotion(kind, train, NetworkSettings(seed=seed), resolved)

        evaluation = evaluate_speakers(fit_on, examples, seed, emotion_confidence)
    else:
        classifier = load_emotion_model(model, resolved)
        examples = examples_asked(inputs, classifier, **asked)
        heard = ""
        if model == VOICE_LINEAR:
            heard = f"it was {licence_of(VOICE_LINEAR).note}, and has heard nobody else"
        corpora = emotion_facts(model).get("corpora", ())
        evaluation = evaluate_model(classifier, examples, corpora, heard, emotion_confidence)
    utterances = counted(evaluation.utterances, "utterance")
    speakers = counted(evaluation.speakers, "speaker")
    figures = figures_sentence(evaluation)
    details: list[str | Figures] = ["what was answered, in percent of each label:"]
    details.append(_confusion_table(evaluation.confusion))
    details += [f"note: {sentence}" for sentence in evaluation.notes]
    return Outcome(
        evaluation.as_dict(),
        f"{evaluation.model}: {utterances} of {speakers}, {len(evaluation.classes)} classes, {figures}",
        details=details,
        next=to_run("emotion", "train", *inputs, "--out", "DIR") if model is None else "",
    )


def _confusion_table(confusion: pd.DataFrame) -> Figures:
    """The answers to each label (a row), in percent of the utterances of the label."""
    answers = [f">{str(name)[:4]}" for name in confusion.columns]
    rows: list[tuple[str, ...]] = []
    for name, counts in confusion.iterrows():
        total = counts.sum()
        percents = [f"{100 * count / max(1, total):.0f}" for count in counts]
        rows.append((str(name), *percents, f"{total:,}"))
    return Figures(("label", *answers, ">n"), rows, gap=1)


def figures_sentence(evaluation: EmotionEvaluation) -> str:
    """The figures of an evaluation in words."""
    chance = 1 / len(evaluation.classes)
    error = _percent_or_none(evaluation.calibration_error)
    confidence = evaluation.confidence
    limits = "the model's limits" if confidence is None else f"{confidence:g}"
    return (
        f"mean recall {evaluation.recall:.1%} (chance {chance:.1%}), "
        f"{evaluation.recall_alone:.1%} where each utterance is judged alone, "
        f"accuracy {evaluation.accuracy:.1%}, F1 {evaluation.macro_f1:.1%}, "
        f"calibration error {error}; "
        f"not unsure by {limits}: {_answered_words(evaluation.answered)} beside others, "
        f"{_answered_words(evaluation.answered_alone)} alone"
    )


def _answered_words(answered: Answered) -> str:
    """The share that was answered, and how often that was right."""
    return f"{answered.share:.1%} answered ({_percent_or_none(answered.right)} of them right)"


def _percent_or_none(share: float) -> str:
    """A share in percent; `none` for NaN, where no answer has one."""
    return "none" if math.isnan(share) else f"{share:.1%}"
