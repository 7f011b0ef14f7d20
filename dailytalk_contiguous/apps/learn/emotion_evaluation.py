"""The evaluation of classifiers of emotion, on speakers that they were not trained on.

The measure is the mean recall of the classes (unweighted average recall), whose chance level is one in as many as
there are classes. A protocol defines which properties training and test never share. `random` divides by equal
sound alone: the same speakers train and test, as in many published figures, so it is only shown beside `speakers`.
"""

import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.apps.learn import probes
from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import ANALYSIS_RATE
from dailytalk_contiguous.core.emotions import calibration_error
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.sampling import joined_groups
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models.contracts import EmotionGuess, EmotionModel
from dailytalk_contiguous.models.linear_emotion import LinearEmotion
from dailytalk_contiguous.publish.templates import Bar, Table, TableCell, page

#: Trains a classifier on its examples.
Fit = Callable[[EmotionExamples], EmotionModel]

#: The property that is kept apart, by the name of the protocol.
PROTOCOLS = {
    "speakers": "no speaker is on both sides",
    "corpus": "one corpus is left out after the other",
    "emobox": "the folds of EmoBox, whose speakers are apart",
    "random": "nothing but equal sound is kept apart: the same speakers are on both sides",
}

#: The protocol of a model that was trained before.
FIXED = "fixed"

#: Seconds of one speaker that a model gets at once.
MOST_TOGETHER = 1800.0

#: Speakers with the lowest and with the highest recall that a table shows.
SHOWN_SPEAKERS = 3


class EmoBoxFigures(NamedTuple):
    """EmoBox's (Ma et al. 2024, "EmoBox: Multilingual Multi-corpus Speech Emotion Recognition Toolkit and
    Benchmark") report on a corpus: unweighted recall in percent of two frozen encoders, and the division.
    """

    corpus: str
    classes: int | None
    protocol: str
    whisper: float
    wavlm: float


#: Published figures, for comparison with ours.
EMOBOX_FIGURES = (
    EmoBoxFigures("ravdess", 8, "speakers apart, 6 folds", 75.3, 72.0),
    EmoBoxFigures("savee", 7, "speakers apart, 4 folds", 74.1, 66.7),
    EmoBoxFigures("esd", 5, "speakers apart, 5 folds", 84.6, 79.1),
    EmoBoxFigures("crema_d", 6, "speakers mixed: 91 of 91 on both sides", 76.8, 74.5),
    EmoBoxFigures("tess", 7, "speakers mixed: 2 of 2 on both sides", 99.96, 99.8),
    EmoBoxFigures("msp_podcast", None, "its own test set, real talk", 22.2, 18.6),
)

#: The test speakers of each fold of EmoBox with separate speakers, without the corpus before the slash.
EMOBOX_FOLDS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "ravdess": tuple(
        tuple(f"{actor:02d}" for actor in fold)
        for fold in (
            (1, 11, 20, 21),
            (4, 10, 12, 14),
            (8, 9, 19, 23),
            (3, 5, 7, 24),
            (2, 15, 16, 18),
            (6, 13, 17, 22),
        )
    ),
    "savee": (("DC",), ("JE",), ("JK",), ("KL",)),
    "esd": tuple(
        tuple(f"{speaker:04d}" for speaker in fold)
        for fold in ((5, 11, 16, 18), (12, 14, 15, 19), (3, 4, 6, 9), (7, 8, 13, 20), (1, 2, 10, 17))
    ),
}

#: Corpora whose published splits have the same speakers on both sides, and how many of how many.
MIXED_IN_EMOBOX = {"crema_d": (91, 91), "tess": (2, 2)}

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
    if protocol not in PROTOCOLS:
        raise BadInput(f"there is no protocol {protocol!r}", f"choose among {', '.join(PROTOCOLS)}")
    notes = list[str]()
    mixed = protocol == "random"
    kept_apart = (
        examples.groups if mixed else joined_groups([*zip(examples.groups, examples.speakers, strict=True)])
    )
    if protocol in ("speakers", "random"):
        if not mixed and len(np.unique(kept_apart)) < 2:
            raise BadInput(
                f"all {counted(len(examples), 'utterance')} are of one speaker",
                "add others, or compare within him by --protocol random",
            )
        try:
            parts = probes.divided(examples.labels, kept_apart, count, seed)
        except BadInput as problem:
            raise BadInput(problem.reason, "add speakers, or ask for fewer --folds") from None
        folds = [Fold(f"{number} of {len(parts)}", *part) for number, part in enumerate(parts, 1)]
    elif protocol == "corpus":
        folds = _by_corpus(examples)
    else:
        folds = _by_list(examples, notes)
    made, unheard = [], 0
    for name, train, test in folds:
        test = test[~examples.copies[test]]
        alike = np.isin(kept_apart[train], kept_apart[test])
        unheard += int(alike.sum())
        if not len(test):
            continue
        if not len(train := train[~alike]):
            raise BadInput(
                f"nothing is left to learn from for {name}", "add speakers, or choose another --protocol"
            )
        made.append(Fold(name, train, test))
    if unheard:
        what = "sound" if mixed else "speaker or sound"
        notes.append(f"{counted(unheard, 'utterance')} with the {what} of what is tested on were not learned from")
    if not made:
        raise BadInput("there are only altered copies, and nothing to test on", "add what they were made of")
    return made, notes


def _by_corpus(examples: EmotionExamples) -> list[Fold]:
    names, numbers = np.unique(examples.corpora, return_inverse=True)
    if len(names) < 2:
        raise BadInput(
            f"all utterances are of one corpus ({names[0]})", "add others, or choose --protocol speakers"
        )
    return [
        Fold(str(name), np.flatnonzero(numbers != number), np.flatnonzero(numbers == number))
        for number, name in enumerate(names)
    ]


def _by_list(examples: EmotionExamples, notes: list[str]) -> list[Fold]:
    folds = []
    for corpus in np.unique(examples.corpora).tolist():
        own = np.flatnonzero(examples.corpora == corpus)
        if corpus not in EMOBOX_FOLDS:
            mixed = MIXED_IN_EMOBOX.get(corpus)
            why = (
                f"its published split has {mixed[0]} of {mixed[1]} speakers on both sides: see --protocol speakers"
                if mixed
                else "there is no list of folds for it"
            )
            notes.append(f"{corpus or 'no corpus'}: {counted(len(own), 'utterance')} left out, {why}")
            continue
        fold_of = {
            f"{corpus}/{name}": number for number, names in enumerate(EMOBOX_FOLDS[corpus]) for name in names
        }
        numbers = np.array([fold_of.get(name, -1) for name in examples.speakers[own].tolist()])
        if (numbers < 0).any():
            unknown = counted(int((numbers < 0).sum()), "utterance")
            notes.append(f"{corpus}: {unknown} left out, whose speakers are in no fold")
        for number, names in enumerate(EMOBOX_FOLDS[corpus]):
            test, train = own[numbers == number], own[(numbers >= 0) & (numbers != number)]
            if len(test):
                folds.append(Fold(f"{corpus} {', '.join(names)}", train, test))
    if not folds:
        raise BadInput(
            "no utterance is of a fold of EmoBox whose speakers are apart",
            f"it has those of {', '.join(EMOBOX_FOLDS)}; for others choose --protocol speakers",
        )
    return folds


class EmotionFigures(NamedTuple):
    """The figures of a protocol.

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


def figures_of(
    labels: NDArray[np.intp],
    predicted: NDArray[np.intp],
    confidences: NDArray[np.float64],
    speakers: NDArray[np.str_],
    n_classes: int,
    seed: int = 0,
) -> EmotionFigures:
    """Compute the figures of answers.

    Args:
        labels: classes, shape (n,). predicted: the answers; -1 for none.
        confidences: probability of each answer, NaN without one.
        speakers: of each. seed: of the draws of speakers.
    """
    people, owners = np.unique(speakers, return_inverse=True)
    counts = np.zeros((len(people), n_classes, n_classes + 1))
    np.add.at(counts, (owners, labels, predicted), 1)  # -1 is the last column

    def accuracy(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        right, all_of = np.einsum("scc->s", counts[:, :, :n_classes]), counts.sum(axis=(1, 2))
        return np.asarray((weights @ right) / (weights @ all_of))

    def macro_f1(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        right = weights @ np.einsum("scc->sc", counts[:, :, :n_classes])
        both = weights @ (counts.sum(axis=2) + counts[:, :, :n_classes].sum(axis=1))
        return np.asarray(
            np.nanmean(np.divide(2 * right, both, np.full_like(both, np.nan), where=both > 0), axis=1)
        )

    said = predicted >= 0
    return EmotionFigures(
        probes.mean_recall(labels, predicted, speakers, seed),
        probes.drawn_score(accuracy, len(people), seed),
        probes.drawn_score(macro_f1, len(people), seed),
        calibration_error(confidences[said], predicted[said] == labels[said]),
        len(labels),
        len(people),
        int((~said).sum()),
    )


@dataclass(frozen=True, eq=False)
class EmotionEvaluation:
    """The figures of a classifier, by one protocol.

    Attributes:
        model: its name. protocol: of `PROTOCOLS`, or `FIXED`.
        classes: those that it distinguishes. figures: of the whole test.
        beside: figures of the same by other protocols, by name.
        confusion: counts (classes, classes + 1), by label and answer; last, no answer.
        by_speaker, by_gender, by_corpus: mean recall of each, with its utterances.
        folds: of each, utterances of its training and its test, and the mean recall.
        answers: of every tested utterance: id, label, answer (None for none), confidence.
        licences: of the examples. notes: a sentence on everything that was left out, or limits the result.
    """

    model: str
    protocol: str
    classes: tuple[str, ...]
    figures: EmotionFigures
    beside: Mapping[str, EmotionFigures]
    confusion: NDArray[np.intp]
    by_speaker: Mapping[str, tuple[probes.Score, int]]
    by_gender: Mapping[str, tuple[probes.Score, int]]
    by_corpus: Mapping[str, tuple[probes.Score, int]]
    folds: Sequence[tuple[str, int, int, float]]
    answers: Sequence[tuple[str, str, str | None, float]]
    licences: tuple[str, ...]
    notes: tuple[str, ...]

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
            **_figures_dict(self.figures),
            "beside": {name: _figures_dict(figures) for name, figures in self.beside.items()},
            "confusion": self.confusion.tolist(),
            **{
                name: {key: score._asdict() | {"utterances": n} for key, (score, n) in getattr(self, name).items()}
                for name in ("by_speaker", "by_gender", "by_corpus")
            },
            "folds": [dict(zip(("name", "train", "test", "recall"), fold, strict=True)) for fold in self.folds],
            "published": [row._asdict() for row in self.published()],
            "licences": list(self.licences),
            "notes": list(self.notes),
        }

    def published(self) -> list[EmoBoxFigures]:
        rows = [row for row in EMOBOX_FIGURES if row.corpus in self.by_corpus or row.corpus == "msp_podcast"]
        return rows if len(rows) > 1 or "msp_podcast" in self.by_corpus else []

    def tables(self) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
        """Tables for a terminal: title, head and rows of each; an empty one is left out."""
        head, confusion = self._confusion_rows()
        made: list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]] = [
            ("figures in percent, with intervals over speakers", _FIGURES, self._figure_rows()),
            ("recall by class, and what was answered, in percent", head, confusion),
            ("recall by group", ("group", "recall %", "interval", "utterances"), self._group_rows()),
            (
                "published: unweighted recall of frozen encoders (EmoBox)",
                ("corpus", "classes", "Whisper-large-v3", "WavLM-large", "protocol"),
                [
                    (row.corpus, str(row.classes or "–"), str(row.whisper), str(row.wavlm), row.protocol)
                    for row in self.published()
                ],
            ),
        ]
        return [table for table in made if table[2]]

    def page(self) -> Iterator[str]:
        """Yield the pieces of a page with the same, and a picture of the confusion."""
        tables = [Table(title[0].upper() + title[1:], head, rows) for title, head, rows in self.tables()]
        protocol = PROTOCOLS.get(self.protocol, "trained before, tested on everything")
        error = f"{_share(self.figures.calibration_error)} %"
        context: dict[str, Any] = {"evaluation": self, "tables": tables, "protocol": protocol, "error": error}
        return page("Emotion in classes", "emotion.html", __package__, **context)

    def answered(self) -> tuple[str, ...]:
        """Return the classes that can be answered: the columns of `confusion`."""
        return (*self.classes, "none") if self.figures.unanswered else self.classes

    def confusion_table(self) -> Table:
        rows: list[tuple[TableCell, ...]] = []
        for name, counts in zip(self.classes, self.confusion.tolist(), strict=True):
            cells = counts[: len(self.answered())]
            rows.append((name, *(Bar(f"{n:,}", n / max(1, sum(cells))) for n in cells)))
        title = f"What it is and what was answered ({counted(self.figures.utterances, 'utterance')})"
        return Table(title, ("", *self.answered()), rows, "Rows: the label; columns: the answer.")

    def confusion_png(self) -> bytes:
        """Return `confusion` as a picture; the column of no answer is left out."""
        from matplotlib.figure import Figure  # here, for both take seconds to import
        from sklearn.metrics import ConfusionMatrixDisplay

        n = len(self.classes)
        figure = Figure((1.5 + 0.6 * n, 1.2 + 0.6 * n), layout="constrained")
        shown = ConfusionMatrixDisplay(self.confusion[:, :n], display_labels=self.classes)
        shown.plot(ax=figure.subplots(), xticks_rotation=40, cmap="Greens", colorbar=False)
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=180, metadata={"Software": None})
        return file.getvalue()

    def sentences(self) -> tuple[str, ...]:
        return (*self.notes, _ACTED, _NO_DIAGNOSIS)

    def _figure_rows(self) -> list[tuple[str, ...]]:
        return [
            (
                name,
                *figures.recall.shown(),
                *figures.accuracy.shown(),
                f"{100 * figures.macro_f1.value:.1f}",
                _share(figures.calibration_error),
                f"{figures.utterances:,}",
            )
            for name, figures in {self.protocol: self.figures, **self.beside}.items()
        ]

    def _confusion_rows(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        columns = (*self.classes, "none") if self.figures.unanswered else self.classes
        rows = list[tuple[str, ...]]()
        for name, counts in zip(self.classes, self.confusion.tolist(), strict=True):
            whole = sum(counts)
            rows.append(
                (name, *(f"{100 * n / whole:.0f}" if n else "·" for n in counts[: len(columns)]), f"{whole:,}")
            )
        return ("label", *(name[:3] for name in columns), "n"), rows

    def _group_rows(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = [
            (name or "unknown", *score.shown(), f"{n:,}")
            for groups in (self.by_corpus, self.by_gender)
            if len(groups) > 1
            for name, (score, n) in groups.items()
        ]
        ordered = sorted(self.by_speaker.items(), key=lambda item: item[1][0].value)
        if len(ordered) > 2 * SHOWN_SPEAKERS:
            ordered = ordered[:SHOWN_SPEAKERS] + ordered[-SHOWN_SPEAKERS:]
        rows += [(name, f"{100 * score.value:.1f}", "–", f"{n:,}") for name, (score, n) in ordered]
        return rows


_FIGURES = ("protocol", "recall", "interval", "accuracy", "interval", "F1", "ECE", "utterances")


def _figures_dict(figures: EmotionFigures) -> dict[str, Any]:
    scores = {name: getattr(figures, name)._asdict() for name in ("recall", "accuracy", "macro_f1")}
    error = figures.calibration_error
    return figures._asdict() | scores | {"calibration_error": None if np.isnan(error) else error}


def _share(value: float) -> str:
    return "–" if np.isnan(value) else f"{100 * value:.1f}"


def evaluate_protocol(
    fit: Fit,
    examples: EmotionExamples,
    protocol: str = "speakers",
    folds: int = probes.FOLDS,
    seed: int = 0,
    alone: bool = False,
    progress: Callable[[str], None] = lambda fold: None,
) -> EmotionEvaluation:
    """Train on some speakers, test on others, by a protocol.

    Args:
        fit: trains a classifier; called once a fold. Its classes include those of the examples.
        protocol: of `PROTOCOLS`. By `random`, figures of `speakers` are beside, if there are several.
        folds: parts of `speakers` and `random`. seed: of the folds and the draws.
        alone: each utterance is classified by itself; otherwise beside others of its speaker.
        progress: called with the name of each fold at its beginning.

    Classes of one speaker or one utterance are left out.

    Raises DailytalkError if scikit-learn is missing, BadInput if the examples can't be divided.
    """
    probes.check_sklearn()
    examples, notes = _with_enough(examples, 1 if protocol == "random" else 2)
    parts, more = folds_of(protocol, examples, folds, seed)
    tested = _Tested(examples)
    for fold in parts:
        interrupts.check_interrupt()
        progress(fold.name)
        # If speakers are mixed, the held-out part of a network has them too: otherwise it would stop before it
        # knows their voices, and the effect of mixing would not show.
        learned = replace(examples.take(fold.train), mixed=protocol == "random")
        tested.add(fold, fit(learned), alone)
    beside = {}
    if protocol == "random":
        try:
            apart = evaluate_protocol(fit, examples, "speakers", folds, seed, alone, progress)
            beside = {"speakers": apart.figures}
            more += [
                f"the same speakers on both sides are worth "
                f"{100 * (tested.figures(seed).recall.value - apart.figures.recall.value):+.1f} points of recall"
            ]
        except BadInput as problem:
            more.append(f"speakers apart: not to be shown, {problem.reason}")
    return tested.evaluation(protocol, beside, [*notes, *more], seed)


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
    places = np.flatnonzero(~examples.copies)
    if not len(places):
        raise BadInput("there are only altered copies, and nothing to test on", "add what they were made of")
    tested = _Tested(examples)
    tested.add(Fold("all", np.array([], np.intp), places), model, alone)
    heard = sorted({*trained_on} & {*examples.corpora.tolist()})
    if heard:
        note = f"it was trained on {', '.join(heard)}, so it may have heard these speakers: --kind tests on others"
    elif trained_on:
        note = ""
    else:
        note = "what it was trained on is not known, and it may have heard these speakers"
    return tested.evaluation(FIXED, {}, [note] if note else [], seed)


def left_out_sentences(examples: EmotionExamples) -> list[str]:
    return [f"{counted(n, 'utterance')} left out: {why}" for why, n in examples.left_out.items()]


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
        all_few = ", ".join(f"{name} has {why}" for name, why in few.items())
        rest = f", what is left is {kept[0]} alone" if kept else ""
        people = np.unique(examples.speakers)
        if len(people) == 1 and speakers > 1:
            raise BadInput(
                f"all {counted(len(examples), 'utterance')} are of one speaker ({people[0]})",
                "add others, or compare within one by --protocol random",
            )
        raise BadInput(
            f"too few utterances to tell classes apart: {all_few}{rest}", "add some, or choose --classes"
        )
    if not few:
        return examples, []
    notes = [f"{name} is left out: it has {why}" for name, why in few.items()]
    return examples.of_classes(kept, "its class has too few"), notes


class _Tested:
    def __init__(self, examples: EmotionExamples) -> None:
        self._examples = examples
        self._places: list[NDArray[np.intp]] = []
        self._predicted: list[NDArray[np.intp]] = []
        self._confidences: list[NDArray[np.float64]] = []
        self._folds: list[tuple[str, int, int, float]] = []
        self._name = ""

    def add(self, fold: Fold, model: EmotionModel, alone: bool) -> None:
        examples = self._examples
        predicted, confidences = _answers(model, examples.take(fold.test), alone)
        self._name = model.name
        self._places.append(fold.test)
        self._predicted.append(predicted)
        self._confidences.append(confidences)
        recall = probes.recall_of(examples.labels[fold.test], predicted)
        self._folds.append((fold.name, len(fold.train), len(fold.test), recall))

    def figures(self, seed: int) -> EmotionFigures:
        places, predicted, confidences = self._all()
        examples = self._examples
        return figures_of(
            examples.labels[places], predicted, confidences, examples.speakers[places], len(examples.classes), seed
        )

    def evaluation(
        self, protocol: str, beside: Mapping[str, EmotionFigures], notes: Sequence[str], seed: int
    ) -> EmotionEvaluation:
        places, predicted, confidences = self._all()
        examples, classes = self._examples, self._examples.classes
        labels, speakers = examples.labels[places], examples.speakers[places]
        confusion = np.zeros((len(classes), len(classes) + 1), np.intp)
        np.add.at(confusion, (labels, predicted), 1)

        def recalls(of: NDArray[np.str_]) -> dict[str, tuple[probes.Score, int]]:
            groups = {name: of == name for name in np.unique(of).tolist()}
            return {
                name: (probes.mean_recall(labels[own], predicted[own], speakers[own], seed), int(own.sum()))
                for name, own in groups.items()
            }

        left_out = left_out_sentences(examples)
        people = len(np.unique(speakers))
        if people < probes.LEAST_DRAWN:
            left_out.append(f"{counted(people, 'speaker')}, too few for an interval")
        unknown = sorted({name for name in speakers.tolist() if name.endswith("/?")})
        left_out += [f"{name.removesuffix('/?')}: its speakers are unknown, and taken for one" for name in unknown]
        answers = [
            (examples.ids[place], classes[label], classes[answer] if answer >= 0 else None, float(confidence))
            for place, label, answer, confidence in zip(places, labels, predicted, confidences, strict=True)
        ]
        return EmotionEvaluation(
            self._name,
            protocol,
            classes,
            self.figures(seed),
            beside,
            confusion,
            recalls(speakers),
            recalls(examples.genders[places]),
            recalls(examples.corpora[places]),
            tuple(self._folds),
            answers,
            tuple(sorted({*chain(*examples.licences.values())})),
            (*notes, *left_out),
        )

    def _all(self) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
        places = np.concatenate(self._places)
        order = np.argsort(places, kind="stable")
        predicted, confidences = np.concatenate(self._predicted), np.concatenate(self._confidences)
        return places[order], predicted[order], confidences[order]


def _answers(
    model: EmotionModel, examples: EmotionExamples, alone: bool
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The class that a model answers for each example, -1 for none, and its probability.

    An answer outside the examples' classes is none. Raises BadInput if the model doesn't know a class.
    """
    if missing := [name for name in examples.classes if name not in model.classes]:
        raise BadInput(
            f"{model.name} does not know {', '.join(missing)}, only {', '.join(model.classes)}",
            "choose --classes among its own",
        )
    place_of = [examples.classes.index(name) if name in examples.classes else -1 for name in model.classes]
    predicted, confidences = np.full(len(examples), -1), np.full(len(examples), np.nan)
    for places, guesses in _guesses(model, examples, alone):
        interrupts.check_interrupt()
        for place, guess in zip(places, guesses, strict=True):
            if len(guess.probabilities):
                best = int(np.argmax(guess.probabilities))
                predicted[place] = place_of[best]
                confidences[place] = guess.probabilities[best] if place_of[best] >= 0 else np.nan
    return predicted.astype(np.intp), confidences


def _guesses(
    model: EmotionModel, examples: EmotionExamples, alone: bool
) -> Iterator[tuple[list[int], list[EmotionGuess]]]:
    """Indices of examples and a model's guesses for them, those of one speaker together."""
    if isinstance(model, LinearEmotion):  # its measures are known from its training, or kept for the next model
        measured = examples.measured(model.measure_name, model.measure)
        for speaker in np.unique(examples.speakers):
            places = np.flatnonzero(examples.speakers == speaker).tolist()
            speakers = None if alone else [str(speaker)] * len(places)
            yield places, model.of_measures(measured[places], speakers)
        return
    for places, sounds in examples_together(examples):
        yield places, model.classify(sounds, None if alone else examples.speakers[places].tolist())


def examples_together(examples: EmotionExamples) -> Iterator[tuple[list[int], list[NDArray[np.float32]]]]:
    """Indices and sounds of examples, those of one speaker together up to `MOST_TOGETHER` seconds."""
    order = np.argsort(examples.speakers, kind="stable")
    places, sounds, seconds, speaker = list[int](), list[NDArray[np.float32]](), 0.0, ""
    for place, sound in zip(order.tolist(), examples.take(order).sounds(), strict=True):
        if places and (str(examples.speakers[place]) != speaker or seconds > MOST_TOGETHER):
            yield places, sounds
            places, sounds, seconds = [], [], 0.0
        speaker = str(examples.speakers[place])
        places.append(place)
        sounds.append(sound)
        seconds += len(sound) / ANALYSIS_RATE
    if places:
        yield places, sounds
