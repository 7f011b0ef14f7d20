"""The evaluation of classifiers of emotion, on speakers that they were not trained on.

The measure is the mean recall of the classes (unweighted average recall), whose chance level is one in as many as
there are classes. A protocol defines which properties training and test never share. `random` divides by equal
sound alone: the same speakers train and test, as in many published figures, so it is only shown beside `speakers`.
"""

import io
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dailytalk_contiguous.apps.learn import probes
from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.emotions import calibration_error
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.sampling import joined_groups
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models.contracts import EmotionGuess, EmotionModel
from dailytalk_contiguous.models.linear_emotion import LinearEmotion, measure_voice

#: Trains a classifier on its examples.
Fit = Callable[[EmotionExamples], EmotionModel]

#: The property that is kept apart, by the name of the protocol.
PROTOCOLS = {
    "speakers": "no speaker is on both sides",
    "corpus": "one corpus is left out after the other",
    "random": "nothing but equal sound is kept apart: the same speakers are on both sides",
}

#: The protocol of a model that was trained before.
FIXED = "fixed"

#: Utterances of one speaker that a model gets at once.
MOST_TOGETHER = 500

#: Speakers with the lowest and with the highest recall that a table shows.
SHOWN_SPEAKERS = 3

#: EmoBox's (Ma et al. 2024, "EmoBox: Multilingual Multi-corpus Speech Emotion Recognition Toolkit and Benchmark")
#: report: corpus, classes, unweighted recall in percent of frozen Whisper-large-v3 and WavLM-large, the division.
PUBLISHED = (
    ("ravdess", "8", "75.3", "72.0", "speakers apart, 6 folds"),
    ("savee", "7", "74.1", "66.7", "speakers apart, 4 folds"),
    ("esd", "5", "84.6", "79.1", "speakers apart, 5 folds"),
    ("crema_d", "6", "76.8", "74.5", "speakers mixed: 91 of 91 on both sides"),
    ("tess", "7", "99.96", "99.8", "speakers mixed: 2 of 2 on both sides"),
    ("msp_podcast", "–", "22.2", "18.6", "its own test set, real talk"),
)

_ACTED = (
    "Acted figures say little about real talk: encoders whose recall is 75 % on actors never heard have "
    "some 20 % on MSP-Podcast."
)
_NO_DIAGNOSIS = "Emotion in classes is a guess from sound, and no diagnosis."


class Fold(NamedTuple):
    name: str
    train: NDArray[np.intp]
    test: NDArray[np.intp]


def folds_of(
    protocol: str, examples: EmotionExamples, count: int = probes.FOLDS, seed: int = 0
) -> tuple[list[Fold], list[str]]:
    """Return the folds of a protocol, and a sentence on everything that they leave out.

    Altered copies are used for training, and never for testing. Examples that share a group
    (`EmotionExamples.groups`) with a test example are not used for training; nor are those that share a speaker
    with it, except by `random`.

    `protocol` is of `PROTOCOLS`. `count` is the number of parts of `speakers` and `random`, or the number of
    speakers if that is smaller. Raises BadInput if the examples can't be divided so.
    """
    people, apart = examples.speakers, examples.groups
    if protocol != "random":
        apart = joined_groups([*zip(examples.groups, people, strict=True)])
    if protocol == "corpus":
        folds = [
            Fold(
                str(name), *(np.flatnonzero(side) for side in (examples.corpora != name, examples.corpora == name))
            )
            for name in np.unique(examples.corpora)
        ]
    elif protocol in PROTOCOLS:
        if protocol == "speakers" and len(np.unique(people)) < 2:
            raise BadInput(
                f"all {counted(len(examples), 'utterance')} are of one speaker ({people[0]})",
                "add others, or compare within one by --protocol random",
            )
        parts = probes.divided(examples.labels, apart, count, seed)
        folds = [Fold(f"{number} of {len(parts)}", *part) for number, part in enumerate(parts, 1)]
    else:
        raise BadInput(f"there is no protocol {protocol!r}", f"choose among {', '.join(PROTOCOLS)}")
    made, notes, used = [], list[str](), 0
    for name, train, test in folds:
        test = test[~examples.copies[test]]
        alike = np.isin(apart[train], apart[test])
        used += int(alike.sum())
        if len(test) and alike.all():
            raise BadInput(f"nothing is left to learn from for {name}", "add others, or choose another --protocol")
        if len(test):
            made.append(Fold(name, train[~alike], test))
    if used:
        notes.append(f"{counted(used, 'utterance')} with the speaker or sound of a test were not learned from")
    if not made:
        raise BadInput(f"there is nothing to test on by {protocol}", "add speakers, or choose another --protocol")
    return made, notes


class EmotionFigures(NamedTuple):
    """The figures of answers.

    Attributes:
        recall: mean recall of the classes. accuracy: share that is right. macro_f1: mean of their F1; all with
            the interval of 95 % of 1,000 draws of speakers.
        calibration_error: of `core.emotions.calibration_error`; NaN without an answer.
        utterances, speakers: of the test. unanswered: utterances without an answer or with another class: they
            count as wrong.
    """

    recall: probes.Score
    accuracy: probes.Score
    macro_f1: probes.Score
    calibration_error: float
    utterances: int
    speakers: int
    unanswered: int

    def as_dict(self) -> dict[str, Any]:
        scores = {name: getattr(self, name)._asdict() for name in ("recall", "accuracy", "macro_f1")}
        error = self.calibration_error
        return self._asdict() | scores | {"calibration_error": None if np.isnan(error) else error}


def figures_of(answers: pd.DataFrame, classes: Sequence[str], seed: int = 0) -> EmotionFigures:
    """Compute the figures of answers: rows with `label`, `answer` (null for none), `confidence` and `speaker`.

    `seed` is of the draws of speakers.
    """
    owners, people = pd.factorize(answers["speaker"])
    labels, predicted = (pd.Categorical(answers[name], classes).codes for name in ("label", "answer"))
    counts = np.zeros((len(people), len(classes), len(classes) + 1))
    np.add.at(counts, (owners, labels, predicted), 1)  # -1 is the last column
    right = np.einsum("scc->sc", counts[:, :, :-1])
    asked, answered = counts.sum(axis=2), counts[:, :, :-1].sum(axis=1)
    said = predicted >= 0
    return EmotionFigures(
        probes.share_of_classes(right, asked, seed),
        probes.share_of_classes(right.sum(axis=1, keepdims=True), asked.sum(axis=1, keepdims=True), seed),
        probes.share_of_classes(2 * right, asked + answered, seed),
        calibration_error(answers["confidence"][said], (labels == predicted)[said]),
        len(answers),
        len(people),
        int((~said).sum()),
    )


@dataclass(frozen=True, eq=False)
class EmotionEvaluation:
    """The answers of a classifier, by one protocol, and their figures.

    Attributes:
        model: its name. protocol: of `PROTOCOLS`, or `FIXED`.
        classes: those that it distinguishes.
        answers: a row for every tested utterance: `id`, `corpus`, `speaker`, `gender`, `label`, `answer` (null for
            none), `confidence`.
        folds: of each, utterances of its training and its test.
        licences: of the examples. notes: a sentence on everything that was left out, or limits the result.
        seed: of the draws of speakers.
        beside: figures of the same by other protocols, by name.
    """

    model: str
    protocol: str
    classes: tuple[str, ...]
    answers: pd.DataFrame
    folds: Sequence[tuple[str, int, int]]
    licences: tuple[str, ...]
    notes: tuple[str, ...]
    seed: int = 0
    beside: Mapping[str, EmotionFigures] = field(default_factory=dict)

    @cached_property
    def figures(self) -> EmotionFigures:
        return figures_of(self.answers, self.classes, self.seed)

    def by(self, column: str) -> dict[str, tuple[probes.Score, int]]:
        """Mean recall and utterances of each `corpus`, `gender` or `speaker`."""
        groups = self.answers.groupby(column)
        figures = {str(name): figures_of(own, self.classes, self.seed) for name, own in groups}
        return {name: (own.recall, own.utterances) for name, own in figures.items()}

    @property
    def confusion(self) -> pd.DataFrame:
        """Counts by label (rows) and answer (columns, of which the last is `none`)."""
        answers = self.answers["answer"].fillna("none")
        counts = pd.crosstab(self.answers["label"], answers)
        return counts.reindex(index=[*self.classes], columns=[*self.classes, "none"], fill_value=0)

    @property
    def chance(self) -> float:
        return 1 / len(self.classes)

    def as_dict(self) -> dict[str, Any]:
        """All of it except the single answers, for JSON."""
        return {
            "model": self.model,
            "protocol": self.protocol,
            "classes": list(self.classes),
            "chance": self.chance,
            **self.figures.as_dict(),
            "beside": {name: figures.as_dict() for name, figures in self.beside.items()},
            "confusion": self.confusion.to_numpy().tolist(),
            **{
                f"by_{column}": {
                    name: score._asdict() | {"utterances": n} for name, (score, n) in self.by(column).items()
                }
                for column in ("speaker", "gender", "corpus")
            },
            "folds": [{"name": name, "train": train, "test": test} for name, train, test in self.folds],
            "published": [list(row) for row in self.published()],
            "licences": list(self.licences),
            "notes": list(self.notes),
        }

    def published(self) -> list[tuple[str, ...]]:
        corpora = {*self.answers["corpus"]}
        rows = [row for row in PUBLISHED if row[0] in corpora]
        return [*rows, PUBLISHED[-1]] if rows else []

    def tables(self) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
        """Tables for a terminal: title, head and rows of each; an empty one is left out."""
        confusion = self.confusion if self.figures.unanswered else self.confusion.drop(columns="none")
        figures: list[tuple[str, ...]] = [
            (
                name,
                *own.recall.shown(),
                *own.accuracy.shown(),
                own.macro_f1.shown()[0],
                "–" if np.isnan(own.calibration_error) else f"{100 * own.calibration_error:.1f}",
                f"{own.utterances:,}",
            )
            for name, own in {self.protocol: self.figures, **self.beside}.items()
        ]
        shares: list[tuple[str, ...]] = [
            (str(name), *(f"{100 * n / max(1, row.sum()):.0f}" if n else "·" for n in row), f"{row.sum():,}")
            for name, row in confusion.iterrows()
        ]
        groups: list[tuple[str, ...]] = [
            (name or "unknown", *score.shown(), f"{n:,}")
            for column in ("corpus", "gender")
            if len(own := self.by(column)) > 1
            for name, (score, n) in own.items()
        ]
        people = sorted(self.by("speaker").items(), key=lambda item: item[1][0].value)
        if len(people) > 2 * SHOWN_SPEAKERS:
            people = people[:SHOWN_SPEAKERS] + people[-SHOWN_SPEAKERS:]
        groups += [(name, score.shown()[0], "–", f"{n:,}") for name, (score, n) in people]
        head = ("protocol", "recall", "interval", "accuracy", "interval", "F1", "ECE", "utterances")
        made: list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]] = [
            ("figures in percent, with intervals over speakers", head, figures),
            (
                "recall by class, and what was answered, in percent",
                ("label", *(str(name)[:3] for name in confusion.columns), "n"),
                shares,
            ),
            ("recall by group", ("group", "recall %", "interval", "utterances"), groups),
            (
                "published: unweighted recall of frozen encoders (EmoBox)",
                ("corpus", "classes", "Whisper-large-v3", "WavLM-large", "protocol"),
                self.published(),
            ),
        ]
        return [table for table in made if table[2]]

    def confusion_png(self) -> bytes:
        """Return `confusion` as a picture; the column of no answer is left out."""
        from matplotlib.figure import Figure  # here, for both take seconds to import
        from sklearn.metrics import ConfusionMatrixDisplay

        n = len(self.classes)
        figure = Figure((1.5 + 0.6 * n, 1.2 + 0.6 * n), layout="constrained")
        counts = self.confusion.drop(columns="none").to_numpy()
        shown = ConfusionMatrixDisplay(counts, display_labels=self.classes)
        shown.plot(ax=figure.subplots(), xticks_rotation=40, cmap="Greens", colorbar=False)
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=180, metadata={"Software": None})
        return file.getvalue()

    def sentences(self) -> tuple[str, ...]:
        return (*self.notes, _ACTED, _NO_DIAGNOSIS)


def evaluate_protocol(
    fit: Fit,
    examples: EmotionExamples,
    protocol: str = "speakers",
    folds: int = probes.FOLDS,
    seed: int = 0,
    alone: bool = False,
) -> EmotionEvaluation:
    """Train on some speakers, test on others, by a protocol.

    Args:
        fit: trains a classifier; called once a fold. Its classes include those of the examples.
        protocol: of `PROTOCOLS`. By `random`, figures of `speakers` are beside, if there are several.
        folds: parts of `speakers` and `random`. seed: of the folds and the draws.
        alone: each utterance is classified by itself; otherwise beside others of its speaker.

    Classes of one speaker or one utterance are left out.

    Raises DailytalkError if scikit-learn is missing, BadInput if the examples can't be divided.
    """
    probes.check_sklearn()
    examples, notes = _with_enough(examples, 1 if protocol == "random" else 2)
    parts, more = folds_of(protocol, examples, folds, seed)
    notes += more
    tables, name = [], ""
    for fold in parts:
        interrupts.check_interrupt()
        # If speakers are mixed, the held-out part of a network has them too: otherwise it would stop before it
        # knows their voices, and the effect of mixing would not show.
        model = fit(replace(examples.take(fold.train), mixed=protocol == "random"))
        tables.append(_answers(model, examples.take(fold.test), alone))
        name = model.name
    made = _evaluation(name, protocol, examples, tables, notes, seed)
    made = replace(made, folds=[(fold.name, len(fold.train), len(fold.test)) for fold in parts])
    if protocol == "random":
        try:
            apart = evaluate_protocol(fit, examples, "speakers", folds, seed, alone).figures
        except BadInput as problem:
            return replace(made, notes=(*made.notes, f"speakers apart: not to be shown, {problem.reason}"))
        worth = 100 * (made.figures.recall.value - apart.recall.value)
        note = f"the same speakers on both sides are worth {worth:+.1f} points of recall"
        made = replace(made, beside={"speakers": apart}, notes=(*made.notes, note))
    return made


def evaluate_model(
    model: EmotionModel,
    examples: EmotionExamples,
    seed: int = 0,
    alone: bool = False,
    trained_on: Collection[str] = (),
) -> EmotionEvaluation:
    """Test a classifier that was trained before on all examples except altered copies.

    Args:
        trained_on: names of corpora in its training, as far as they are known.

    Raises BadInput if it doesn't know one of their classes.
    """
    tested = examples.take(~examples.copies)
    if not len(tested):
        raise BadInput("there are only altered copies, and nothing to test on", "add what they were made of")
    notes = []
    if heard := sorted({*trained_on} & {*examples.corpora.tolist()}):
        notes = [
            f"it was trained on {', '.join(heard)}, so it may have heard these speakers: --kind tests on others"
        ]
    elif not trained_on:
        notes = ["what it was trained on is not known, and it may have heard these speakers"]
    return _evaluation(model.name, FIXED, examples, [_answers(model, tested, alone)], notes, seed)


def left_out_sentences(examples: EmotionExamples) -> list[str]:
    return [f"{counted(n, 'utterance')} left out: {why}" for why, n in examples.left_out.items()]


def _evaluation(
    name: str,
    protocol: str,
    examples: EmotionExamples,
    tables: Sequence[pd.DataFrame],
    notes: Sequence[str],
    seed: int,
) -> EmotionEvaluation:
    answers = pd.concat(tables).sort_values("id", ignore_index=True)
    notes = [*notes, *left_out_sentences(examples)]
    people = answers["speaker"].unique().tolist()
    if len(people) < probes.LEAST_DRAWN:
        notes.append(f"{counted(len(people), 'speaker')}, too few for an interval")
    unknown = sorted(name.removesuffix("/?") for name in people if name.endswith("/?"))
    notes += [f"{corpus}: its speakers are unknown, and taken for one" for corpus in unknown]
    licences = tuple(sorted({*chain(*examples.licences.values())}))
    return EmotionEvaluation(name, protocol, examples.classes, answers, (), licences, tuple(notes), seed)


def _with_enough(examples: EmotionExamples, speakers: int) -> tuple[EmotionExamples, list[str]]:
    """The examples of classes with at least two utterances and speakers, and a note on the others."""
    few = {}
    for place, name in enumerate(examples.classes):
        own = (examples.labels == place) & ~examples.copies
        n_speakers = len(np.unique(examples.speakers[own]))
        if own.sum() < 2:
            few[name] = counted(int(own.sum()), "utterance")
        elif n_speakers < speakers:
            few[name] = counted(n_speakers, "speaker")
    kept = [name for name in examples.classes if name not in few]
    if len(kept) < 2:
        reasons = ", ".join(f"{name} has {why}" for name, why in few.items())
        raise BadInput(
            f"too few utterances to tell classes apart: {reasons}",
            "add some, choose --classes, or compare within one speaker by --protocol random",
        )
    notes = [f"{name} is left out: it has {why}" for name, why in few.items()]
    return (examples.of_classes(kept, "its class has too few") if few else examples), notes


def _answers(model: EmotionModel, examples: EmotionExamples, alone: bool) -> pd.DataFrame:
    """What a model answers for each example; an answer outside the examples' classes is none.

    Raises BadInput if the model doesn't know a class.
    """
    if missing := [name for name in examples.classes if name not in model.classes]:
        raise BadInput(
            f"{model.name} does not know {', '.join(missing)}, only {', '.join(model.classes)}",
            "choose --classes among its own",
        )
    shares = [
        (np.nan,) if not len(guess.probabilities) else guess.probabilities
        for guess in guesses_of(model, examples, alone)
    ]
    answers = [model.classes[int(np.argmax(own))] if np.isfinite(own[0]) else None for own in shares]
    answers = [answer if answer in examples.classes else None for answer in answers]
    table = {
        "id": examples.ids,
        "corpus": examples.corpora,
        "speaker": examples.speakers,
        "gender": examples.genders,
        "label": np.array(examples.classes)[examples.labels],
        "answer": pd.array(answers, dtype="string"),
        "confidence": [float(max(own)) if answer else np.nan for own, answer in zip(shares, answers, strict=True)],
    }
    return pd.DataFrame(table)


def guesses_of(model: EmotionModel, examples: EmotionExamples, alone: bool = False) -> list[EmotionGuess]:
    """A model's guess for each example, those of one speaker together unless each is to be `alone`."""
    guesses: dict[int, EmotionGuess] = {}
    for speaker in np.unique(examples.speakers):
        places = np.flatnonzero(examples.speakers == speaker)
        for part in np.array_split(places, -(-len(places) // MOST_TOGETHER)):
            interrupts.check_interrupt()
            speakers = None if alone else [str(speaker)] * len(part)
            if isinstance(model, LinearEmotion):  # its measures may be known from its training
                measured = examples.take(part).measured("voice", measure_voice)
                answers = model.of_measures(measured, speakers)
            else:
                answers = model.classify([examples.sounds[place] for place in part], speakers)
            guesses |= dict(zip(part.tolist(), answers, strict=True))
    return [guesses[place] for place in range(len(examples))]
