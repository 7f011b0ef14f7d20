"""The card (README.md) of a model that was trained here: front matter for the Hub, and what a reader must know.

It says what the model is for, what it was trained on and under which licences, and how well it did on what it had
not seen. `hf upload` takes it with the weights. Templates beside this module place the values.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from huggingface_hub import EvalResult, ModelCardData

from dailytalk_contiguous.apps.learn.emotion_evaluation import EvaluationRecord
from dailytalk_contiguous.apps.learn.emotion_settings import NetworkSettings
from dailytalk_contiguous.apps.learn.emotion_training import TrainingFacts
from dailytalk_contiguous.core import licensing
from dailytalk_contiguous.core.style.emotions import CARE, RIGHT_ALONE, RIGHT_BESIDE
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models.contracts import TrainedEmotionModel
from dailytalk_contiguous.publish.tables.templates import escaped, filled
from dailytalk_contiguous.store.hub import parse_reference

#: Names by which data say that nobody knows their licence.
_UNKNOWN = frozenset({"", "unknown"})


class TrainingSource(NamedTuple):
    """Data that a model was trained on.

    Attributes:
        name: of the data.
        licences: their names; empty if one is not known.
        amount: how much data it is, in words.
        is_dataset: whether others know it by its name, as a corpus or as OWNER/NAME on the Hub; a folder of this
            machine is none.
    """

    name: str
    licences: tuple[str, ...]
    amount: str
    is_dataset: bool


def known_licences(licences: Iterable[str | None], other: str = "") -> tuple[str, ...]:
    """The names of licences, sorted; `other` stands for unknown ones. Empty if one stays unknown."""
    names: set[str] = set()
    for licence in licences:
        if licence is None or licence in _UNKNOWN:
            names.add(other)
        else:
            names.add(licence)
    return () if "" in names else tuple(sorted(names))


class MeasuredFigure(NamedTuple):
    """A figure of a model: its title, its value, the value in words, and its name among the Hub's metrics."""

    title: str
    value: float
    text: str
    metric: str


class FrontMatter(TypedDict, total=False):
    """Fields of a card's front matter, as the Hub names them."""

    tags: list[str]
    language: list[str]
    base_model: str


@dataclass(frozen=True)
class ModelCard:
    """The card of a model, apart from what its template places.

    Attributes:
        title: the name of the model.
        task: of the Hub's list (`pipeline_tag`).
        sources: the data that it was trained on.
        figures: how well it did.
        datasets: those sources that others know: OWNER/NAME on the Hub, or names of corpora.
        front: further fields of the front matter.
    """

    title: str
    task: str
    sources: Sequence[TrainingSource]
    figures: Sequence[MeasuredFigure]
    datasets: Sequence[str]
    front: FrontMatter

    def text(self, template: str, **context: object) -> str:
        """The text of the card. `template`, in `assets`, gets `sources`, `figures` and `context`."""
        sources = []
        for source in self.sources:
            licences = ", ".join(source.licences) or "not known"
            sources.append((source.name, licences, source.amount))
        figures = [(figure.title, figure.text) for figure in self.figures]
        body = filled(template, __package__, sources=sources, figures=figures, **context)
        return f"---\n{self._data().to_yaml()}\n---\n\n# {escaped(self.title)}\n\n{body.strip()}\n"

    def _data(self) -> ModelCardData:
        """The front matter."""
        names = ", ".join(source.name for source in self.sources)
        results: list[EvalResult] = []
        for figure in self.figures:
            result = EvalResult(
                task_type=self.task,
                dataset_type=names,
                dataset_name=names,
                metric_type=figure.metric,
                metric_name=figure.title,
                metric_value=round(figure.value, 5),
            )
            results.append(result)
        fields: dict[str, Any] = {**_licence_fields(self.sources), **self.front}
        return ModelCardData(
            model_name=self.title,
            pipeline_tag=self.task,
            library_name="dailytalk-contiguous",
            datasets=[*self.datasets] or None,
            eval_results=results or None,
            **fields,
        )


#: Each kind of classifier in words.
_KINDS = {
    "linear": "A regression on 60 statistics of pitch, dynamics, spectrum and pauses of an utterance, compared "
    "with the speaker's other utterances where there are several.",
    "spectrogram": "A small network of convolutions on mel spectrograms, compared with the speaker's other "
    "utterances where there are several.",
    "audio": "An audio classifier on an encoder of speech.",
}

#: How the figures of `linear` were measured.
_FOLDS = (
    "Its speakers were divided into parts, five at most, and each part was tested by a model that was trained in "
    "the same way on the others. The model in this repository was trained on all of them."
)

#: How the figures of a network were measured.
_HELD_OUT = (
    "It was tested on speakers that it was not trained on. They also chose the epoch that was kept, and the "
    "temperature, so new speakers may be a little harder."
)


def emotion_card(
    title: str,
    model: TrainedEmotionModel,
    facts: TrainingFacts,
    sources: Sequence[TrainingSource],
    settings: NetworkSettings,
) -> str:
    """The card of a classifier of emotion; `facts` are those in its `emotion.json`."""
    is_linear = model.kind == "linear"
    figures: list[MeasuredFigure] = []
    confusion: list[list[object]] = []
    lacking: list[str] = []
    evaluation = facts.get("evaluation")
    if evaluation:
        figures = _emotion_figures(evaluation)
        tested_classes = evaluation["classes"]
        confusion.append(["label", *tested_classes, "no answer"])
        for name, row in zip(tested_classes, evaluation["confusion"], strict=True):
            confusion.append([name, *row])
        lacking = [name for name in model.classes if name not in tested_classes]
    shown = {"seed": settings.seed} if is_linear else facts["trained_with"]
    front: FrontMatter = {"tags": ["speech", "emotion", "speech-emotion-recognition"]}
    if facts["languages"]:
        front["language"] = facts["languages"]
    if model.kind == "audio" and parse_reference(settings.encoder):
        front["base_model"] = settings.encoder
    corpora = [source.name for source in sources if source.is_dataset]
    datasets = [*facts["datasets"], *corpora]
    card = ModelCard(title, "audio-classification", sources, figures, datasets, front)
    return card.text(
        "emotion_card.md",
        kind_in_words=_KINDS[model.kind],
        classes=model.classes,
        facts=facts,
        tested=_FOLDS if is_linear else _HELD_OUT,
        untested=facts.get("not_tested", ""),
        confusion=confusion,
        lacking=lacking,
        temperature=f"{model.temperature:.2f}",
        limits=[f"{limit:.2f}" for limit in model.limits],
        right=[f"{share:.0%}" for share in (RIGHT_ALONE, RIGHT_BESIDE)],
        care=f"{CARE:g}",
        settings=_setting_rows(shown),
    )


def _emotion_figures(evaluation: EvaluationRecord) -> list[MeasuredFigure]:
    """The figures of an evaluation (`EmotionEvaluation.as_dict`)."""
    chance = f"{evaluation['chance']:.1%}"
    figures: list[MeasuredFigure] = []
    for value, metric, words in (
        (evaluation["recall"], "recall", f"mean recall of the classes (chance {chance})"),
        (evaluation["recall_alone"], "recall", "mean recall where each utterance is judged alone"),
        (evaluation["accuracy"], "accuracy", "accuracy"),
        (evaluation["macro_f1"], "f1", "mean F1 of the classes"),
        (evaluation["calibration_error"], "expected_calibration_error", "expected calibration error"),
        (evaluation["answered_share"], "answered_share", "answered, not unsure"),
        (evaluation["answered_right"], "answered_right", "right of what is answered"),
        (evaluation["answered_share_alone"], "answered_share", "answered where each utterance is judged alone"),
        (evaluation["answered_right_alone"], "answered_right", "right of what is then answered"),
    ):
        if value is not None:
            figures.append(MeasuredFigure(words, value, f"{value:.1%}", metric))
    return figures


def _setting_rows(settings: Mapping[str, object]) -> list[tuple[str, str]]:
    """Settings as a card shows them: name and value."""
    return [(name.replace("_", " "), str(value)) for name, value in settings.items()]


def encoder_card(title: str, record: Mapping[str, Any], sources: Sequence[TrainingSource]) -> str:
    """The card of an encoder of prosodic tokens; `record` is its `training.json`."""
    result = record["result"]
    settings = record["settings"]
    perplexity = math.exp(result["valid_loss"])
    unigram = math.exp(result["unigram_loss"])
    # `unigram` is no figure of this model.
    figures = [MeasuredFigure("perplexity of masked frames", perplexity, f"{perplexity:.2f}", "perplexity")]
    shown = {name: value for name, value in settings.items() if name not in ("device", "steps", "epochs")}
    datasets = [source.name for source in sources if source.is_dataset]
    front: FrontMatter = {"tags": ["speech", "prosody", "prosodic-tokens"]}
    millions = result["parameters"] / 1e6
    planned = counted(result["planned"], "step")
    card = ModelCard(title, "feature-extraction", sources, figures, datasets, front)
    return card.text(
        "encoder_card.md",
        parameters=f"{millions:.1f} million",
        codebook=record["data"]["prosody_model"],
        unigram=f"{unigram:.2f}",
        has_learned=perplexity < unigram,
        steps=f"{result['steps']:,} of {planned}.",
        settings=_setting_rows(shown),
    )


#: The Hub's ids of licences that have another name in SPDX.
_HUB_IDS = {"odbl-1.0": "odbl"}

#: Ids of licences that the Hub knows, beside those of data.
_OF_PROGRAMS = frozenset({"mit", "apache-2.0", "odbl"})


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
    names = sorted(filter(None, users))
    return {"license": licensing.OTHER, "license_name": ", ".join(names)}


def without_licence(sources: Iterable[TrainingSource]) -> str:
    """A note on sources whose licence is not known; empty if all are."""
    unknown = [source.name for source in sources if not source.licences]
    if not unknown:
        return ""
    names = ", ".join(unknown)
    return f"the model card names no licence, for that of {names} is not known: pass --source-licence"


def repositories_of(inputs: Iterable[str]) -> list[str]:
    """The datasets on the Hub (OWNER/NAME) among the inputs of a training, in order."""
    references = [parse_reference(name) for name in inputs if not Path(name).exists()]
    return list(dict.fromkeys(reference.repo for reference in references if reference))
