"""The card (README.md) of a model that was trained here: front matter for the Hub, and what a reader must know.

It says what the model is for, what it was trained on and under which licences, and how well it did on what it had
not seen. `hf upload` takes it with the weights. Templates beside this module place the values.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import EvalResult, ModelCardData

from dailytalk_contiguous.apps.learn.emotion_settings import NetworkSettings
from dailytalk_contiguous.core import licensing
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models.contracts import TrainedEmotionModel
from dailytalk_contiguous.publish.templates import escaped, filled
from dailytalk_contiguous.store.hub import parse_reference

#: The Hub's ids of licences that have another name in SPDX.
_HUB_IDS = {"odbl-1.0": "odbl"}

#: Ids of licences that the Hub knows, beside those of data.
_OF_PROGRAMS = frozenset({"mit", "apache-2.0", "odbl"})

#: Names by which data say that nobody knows their licence.
_UNKNOWN = frozenset({"", "unknown"})


class TrainingSource(NamedTuple):
    """What a model was trained on.

    `licences` are empty if one is not known. `amount` says how much it is, in words. `is_dataset`: whether others
    know it by its name, as a corpus or as OWNER/NAME on the Hub; a folder of this machine is none.
    """

    name: str
    licences: tuple[str, ...]
    amount: str
    is_dataset: bool


def known_licences(licences: Iterable[str | None], other: str = "") -> tuple[str, ...]:
    """The names of licences, sorted; `other` stands for what is not known. None if it is not known, either."""
    names = {other if licence is None or licence in _UNKNOWN else licence for licence in licences}
    return () if "" in names else tuple(sorted(names))


class MeasuredFigure(NamedTuple):
    """A figure of a model: its title, its value, that in words, and its name among the Hub's metrics."""

    title: str
    value: float
    text: str
    metric: str


def model_card(
    template: str,
    title: str,
    task: str,
    sources: Sequence[TrainingSource],
    figures: Sequence[MeasuredFigure],
    datasets: Sequence[str] = (),
    front: Mapping[str, Any] = {},
    **context: Any,
) -> str:
    """Return the text of a card.

    Args:
        template: of its body, in `assets`; it gets `sources`, `figures` and `context`.
        title: the name of the model.
        task: of the Hub's list (`pipeline_tag`).
        datasets: that it was trained on: OWNER/NAME on the Hub, or names of corpora.
        front: further fields of the front matter: `tags`, `language`, `base_model`.
    """
    names = ", ".join(source.name for source in sources)
    results = [
        EvalResult(
            task_type=task,
            dataset_type=names,
            dataset_name=names,
            metric_type=figure.metric,
            metric_name=figure.title,
            metric_value=round(figure.value, 5),
        )
        for figure in figures
    ]
    fields: dict[str, Any] = {**_licence_fields(sources), **front}
    data = ModelCardData(
        model_name=title,
        pipeline_tag=task,
        library_name="dailytalk-contiguous",
        datasets=[*datasets] or None,
        eval_results=results or None,
        **fields,
    )
    rows = [(source.name, ", ".join(source.licences) or "not known", source.amount) for source in sources]
    body = filled(
        template, __package__, sources=rows, figures=[(figure.title, figure.text) for figure in figures], **context
    )
    return f"---\n{data.to_yaml()}\n---\n\n# {escaped(title)}\n\n{body.strip()}\n"


#: What each kind of classifier is, in words.
_KINDS = {
    "linear": "A regression on 90 statistics of pitch, loudness, spectrum and pauses of an utterance, compared "
    "with the speaker's other utterances where there are several.",
    "spectrogram": "An image classifier (a small ResNet) on mel spectrograms.",
    "audio": "An audio classifier on an encoder of speech.",
}

#: How the figures of a classifier were measured.
_FOLDS = (
    "Its speakers were divided into parts, five at most, and each part was tested by a model that was trained in "
    "the same way on the others. The model in this repository was trained on all of them."
)
_HELD_OUT = (
    "It was tested on speakers that it was not trained on. They also chose the epoch that was kept, and the "
    "temperature, so new speakers may be a little harder."
)


def emotion_card(
    title: str,
    model: TrainedEmotionModel,
    facts: Mapping[str, Any],
    sources: Sequence[TrainingSource],
    settings: NetworkSettings,
) -> str:
    """The card of a classifier of emotion; `facts` are those in its `emotion.json`."""
    figures: list[MeasuredFigure] = []
    confusion: list[list[Any]] = []
    lacking: list[str] = []
    evaluation = facts.get("evaluation")
    if evaluation:
        chance = f"{evaluation['chance']:.1%}"
        for name, metric, words in (
            ("recall", "recall", f"mean recall of the classes (chance {chance})"),
            ("accuracy", "accuracy", "accuracy"),
            ("macro_f1", "f1", "mean F1 of the classes"),
            ("calibration_error", "expected_calibration_error", "expected calibration error"),
        ):
            value = evaluation[name]
            if value is not None:
                figures.append(MeasuredFigure(words, value, f"{value:.1%}", metric))
        tested_classes = evaluation["classes"]
        confusion = [["label", *tested_classes, "no answer"]]
        confusion += [[name, *row] for name, row in zip(tested_classes, evaluation["confusion"], strict=True)]
        lacking = [name for name in model.classes if name not in tested_classes]
    shown = {"seed": settings.seed} if model.kind == "linear" else facts["trained_with"]
    front: dict[str, Any] = {"tags": ["speech", "emotion", "speech-emotion-recognition"]}
    if facts["languages"]:
        front["language"] = facts["languages"]
    if model.kind == "audio" and parse_reference(settings.encoder):
        front["base_model"] = settings.encoder
    names = [*facts["datasets"], *(source.name for source in sources if source.is_dataset)]
    return model_card(
        "emotion_card.md",
        title,
        "audio-classification",
        sources,
        figures,
        names,
        front,
        kind_in_words=_KINDS[model.kind],
        classes=model.classes,
        facts=facts,
        tested=_FOLDS if model.kind == "linear" else _HELD_OUT,
        untested=facts.get("not_tested", ""),
        confusion=confusion,
        lacking=lacking,
        temperature=f"{model.temperature:.2f}",
        settings=[(name.replace("_", " "), str(value)) for name, value in shown.items()],
    )


def encoder_card(title: str, record: Mapping[str, Any], sources: Sequence[TrainingSource]) -> str:
    """The card of an encoder of prosodic tokens; `record` is its `training.json`."""
    result = record["result"]
    settings = record["settings"]
    perplexity = math.exp(result["valid_loss"])
    unigram = math.exp(result["unigram_loss"])
    # The other one is no figure of this model.
    figures = [MeasuredFigure("perplexity of masked frames", perplexity, f"{perplexity:.2f}", "perplexity")]
    shown = {name: value for name, value in settings.items() if name not in ("device", "steps", "epochs")}
    return model_card(
        "encoder_card.md",
        title,
        "feature-extraction",
        sources,
        figures,
        [source.name for source in sources if source.is_dataset],
        {"tags": ["speech", "prosody", "prosodic-tokens"]},
        parameters=f"{result['parameters'] / 1e6:.1f} million",
        codebook=record["data"]["prosody_model"],
        unigram=f"{unigram:.2f}",
        has_learned=perplexity < unigram,
        steps=f"{result['steps']:,} of {counted(result['planned'], 'step')}.",
        settings=[(name.replace("_", " "), str(value)) for name, value in shown.items()],
    )


def _licence_fields(sources: Sequence[TrainingSource]) -> dict[str, str]:
    """The licence of the data together, for the Hub: none if that of one source is not known."""
    users: dict[str | None, set[str]] = {}
    for source in sources:
        for licence in source.licences:
            users.setdefault(licence, set()).add(source.name)
    if not users or not all(source.licences for source in sources):
        return {}
    name = licensing.combined(users).licence
    hub_id = _HUB_IDS.get(name.lower(), name.lower())
    if hub_id in licensing.OF_DATA | licensing.PUBLIC_DOMAIN | _OF_PROGRAMS:
        return {"license": hub_id}
    return {"license": licensing.OTHER, "license_name": ", ".join(sorted(filter(None, users)))}


def without_licence(sources: Iterable[TrainingSource]) -> str:
    """A note on sources whose licence is not known; empty if all are."""
    unknown = [source.name for source in sources if not source.licences]
    if not unknown:
        return ""
    return f"the model card names no licence, for that of {', '.join(unknown)} is not known: pass --source-licence"


def repositories_of(inputs: Iterable[str]) -> list[str]:
    """The datasets on the Hub (OWNER/NAME) among the inputs of a training, in order."""
    references = [parse_reference(name) for name in inputs if not Path(name).exists()]
    return list(dict.fromkeys(reference.repo for reference in references if reference))
