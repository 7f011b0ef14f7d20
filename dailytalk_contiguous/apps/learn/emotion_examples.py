"""Utterances with an emotion, to train and to test classifiers: labels, speakers, sound, and omissions.

Nothing is guessed: an utterance without a label of a class, without a sound, or on which raters did not agree is
left out, and counted by reason. Equal sound, and copies of one source, have the same number in `groups`, so that
no protocol puts them on two sides.
"""

import hashlib
import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dailytalk_contiguous.apps.learn.token_rows import cut_sound, utterance_items
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples, pcm_to_float, to_pcm
from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.emotions import SIX, emotion_class
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.machine import side_by_side
from dailytalk_contiguous.core.sampling import joined_groups
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.wording import counted, kind_of
from dailytalk_contiguous.models.devices import thread_count
from dailytalk_contiguous.models.emotion_folder import why_unheard
from dailytalk_contiguous.publish.items import FiledItems, ItemSound

#: The source of an utterance's emotion: the acted one, the one most raters perceived, or the votes of each.
Labels = Literal["acted", "perceived", "votes"]

#: Seconds; a longer utterance is left out: it is no utterance, and would take much memory.
LONGEST_SECONDS = 120.0

#: Columns that are read beside the sound.
_READ = ("conversation_id", "duration", "source_duration", "utterances", "alignments", "sounds", "labels", "split")

_NO_EMOTION = {
    "acted": "it has no emotion",
    "perceived": "nobody said what emotion is heard",
    "votes": "its raters' votes are not known",
}


class Sounds:
    """Sounds of 16 kHz in a temporary file, one after the other, as 16-bit samples."""

    def __init__(self, sounds: Iterable[Samples] = ()) -> None:
        self._file, self._ends = tempfile.TemporaryFile(), [0]  # noqa: SIM115 (as long as this lives)
        for sound in sounds:
            self.append(sound)

    def append(self, sound: Samples) -> str:
        """Write a sound. Returns the digest of its samples."""
        data = to_pcm(sound).tobytes()
        self._file.write(data)
        self._file.flush()
        self._ends.append(self._ends[-1] + len(data))
        return hashlib.sha256(data).hexdigest()

    def read(self, number: int) -> Samples:
        start, end = self._ends[number : number + 2]
        return pcm_to_float(os.pread(self._file.fileno(), end - start, start))


@dataclass(frozen=True, eq=False)
class SoundsAt(Sequence[Samples]):
    """Some of `Sounds`, each read when it is asked for: 16 kHz mono, shape (n,)."""

    source: Sounds
    numbers: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, place: Any) -> Any:
        return self.source.read(int(self.numbers[place]))


@dataclass(frozen=True, eq=False)
class EmotionExamples:
    """Utterances with an emotion; arrays of length n.

    Attributes:
        classes: their names, sorted.
        ids, corpora, speakers, genders: of each; empty if unknown. Utterances of a corpus whose speaker is unknown
            count as those of one person.
        labels: indices into `classes`.
        groups: numbers of groups that are never on two sides: of equal sound, or copies of one source.
        copies: whether each is an altered copy of another: to train on, not to test on.
        sounds: of each, 16 kHz mono, shape (samples,).
        votes: shares of raters, float32 (n, classes), rows that sum to 1; None unless they are the labels.
        left_out: number of omitted utterances, by reason.
        licences: of the utterances of each input, sorted.
        mixed: the held-out part of a network has the same speakers, as by the protocol `random`.
    """

    classes: tuple[str, ...]
    ids: NDArray[np.str_]
    corpora: NDArray[np.str_]
    speakers: NDArray[np.str_]
    genders: NDArray[np.str_]
    labels: NDArray[np.intp]
    groups: NDArray[np.intp]
    copies: NDArray[np.bool_]
    sounds: SoundsAt = field(repr=False)
    votes: NDArray[np.float32] | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    licences: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    mixed: bool = False
    _measured: dict[str, dict[int, NDArray[Any]]] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def measured(self, name: str, measure: Callable[[Samples], NDArray[Any]]) -> NDArray[Any]:
        """Return `measure` of the sound of each, stacked; computed once for all subsets of the same examples.

        Args:
            name: of the measure and its settings: an earlier result under this name is not computed again.
            measure: returns arrays of one shape; called from several threads.
        """
        known, numbers = self._measured.setdefault(name, {}), self.sounds.numbers.tolist()
        missing = [number for number in dict.fromkeys(numbers) if number not in known]
        values = side_by_side(measure, map(self.sounds.source.read, missing), thread_count())
        for number, value in zip(missing, values, strict=True):
            interrupts.check_interrupt()
            known[number] = value
        return np.stack([known[number] for number in numbers])

    def take(self, places: ArrayLike) -> "EmotionExamples":
        """The examples at some indices (numbers or a mask), in their order, with the same classes."""
        at = np.arange(len(self))[np.asarray(places)]
        arrays = ("ids", "corpora", "speakers", "genders", "labels", "groups", "copies")
        return replace(
            self,
            **{name: getattr(self, name)[at] for name in arrays},
            sounds=SoundsAt(self.sounds.source, self.sounds.numbers[at]),
            votes=None if self.votes is None else self.votes[at],
        )

    def of_classes(self, classes: Iterable[str], reason: str) -> "EmotionExamples":
        """The examples of some classes, which are the only ones left; others are left out for `reason`."""
        places = [place for place, name in enumerate(self.classes) if name in {*classes}]
        kept = self.take(np.isin(self.labels, places))
        votes = kept.votes
        if votes is not None:
            votes = votes[:, places]
            votes = votes / np.maximum(votes.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        left_out = Counter(self.left_out) + Counter({reason: len(self) - len(kept)})
        names = tuple(self.classes[place] for place in places)
        labels = np.searchsorted(places, kept.labels)
        return replace(kept, classes=names, labels=labels, votes=votes, left_out=dict(left_out))


def read_examples(
    inputs: Sequence[str],
    classes: Sequence[str] | None = SIX,
    labels: Labels = "acted",
    mapping: Mapping[str, str] = {},
    agreement: float = 0.0,
) -> EmotionExamples:
    """The utterances with an emotion of folders of `dailytalk corpus`, mixes, and datasets of clips on the Hub.

    Every sound is read once, into a temporary file: unreadable ones are left out, and equal sound is found.

    Args:
        inputs: folders or `OWNER/NAME@TAG`, as `open_items` takes them.
        classes: those to distinguish; None for every label except `other`.
        labels: the `acted` class, the one most raters `perceived`, or `votes`: the class with most votes, and the
            share of each.
        mapping: classes of labels that are none, such as `{"calm": "neutral"}` (`core.emotions.emotion_class`).
        agreement: least share of raters who agree, in [0, 1], where it is known.

    Raises DailytalkError for a missing input or one without utterances, and if none has an emotion.
    """
    if classes is not None and len({*classes}) < 2:
        raise DailytalkError("one class distinguishes nothing", "name at least two")
    names = None if classes is None else tuple(classes)
    sounds, facts = Sounds(), dict[str, Row]()
    left_out, licences = Counter[str](), defaultdict[str, set[str]](set)
    for name in dict.fromkeys(inputs):
        items = utterance_items(name)
        if items is None:
            if not Path(name).exists():
                raise DailytalkError(f"the input {name!r} does not exist", "check the path")
            raise DailytalkError(
                f"{name!r} holds recordings without labels", "name what `dailytalk corpus` has made"
            )
        filed = isinstance(items, FiledItems)  # those give sound with their rows
        for row in items.rows([*_READ, "audio"] if filed else _READ):
            interrupts.check_interrupt()
            n_utterances = max(1, len(row["utterances"] or ()))
            try:
                fact = _facts_of(row, names, labels, mapping, agreement)
                if row["conversation_id"] in facts:
                    raise BadInput("an utterance of its id was read before", "")
                sound = ItemSound(row["audio"]) if filed else items.sound(row["conversation_id"])
                samples = cut_sound(sound, row["utterances"][0], ANALYSIS_RATE)[:, 0]
                if reason := why_unheard(samples):
                    raise BadInput(reason, "")
            except BadInput as problem:
                left_out[kind_of(problem.reason)] += n_utterances
                continue
            facts[row["conversation_id"]] = fact | {"digest": sounds.append(samples)}
            licences[name] |= {fact["licence"]} - {""}
    if not facts:
        reasons = "; ".join(f"{counted(n, 'utterance')}: {why}" for why, n in left_out.most_common(3))
        remedy = "name a corpus with labels, or other classes"
        if labels == "votes":
            remedy = "make the corpus again with tabulatedVotes.csv in its folder"
        raise DailytalkError(
            f"no utterance has an emotion to learn or to test ({reasons or 'there is none'})", remedy
        )
    rows = [*facts.values()]
    names = tuple(sorted({*(names or ())}.union(*({row["emotion"], *row["votes"]} for row in rows))))
    shares = np.array([[row["votes"].get(name, 0.0) for name in names] for row in rows], np.float32)
    return EmotionExamples(
        names,
        np.array([*facts]),
        np.array([row["corpus"] for row in rows]),
        np.array([row["speaker"] for row in rows]),
        np.array([row["gender"] for row in rows]),
        labels=np.array([names.index(row["emotion"]) for row in rows], np.intp),
        groups=joined_groups([(row["digest"], row["source"] or name) for name, row in facts.items()]),
        copies=np.array([bool(row["source"]) for row in rows]),
        sounds=SoundsAt(sounds, np.arange(len(rows))),
        votes=shares / shares.sum(axis=1, keepdims=True) if labels == "votes" else None,
        left_out=dict(left_out.most_common()),
        licences={name: tuple(sorted(terms)) for name, terms in licences.items()},
    )


def _facts_of(
    row: Row, classes: Sequence[str] | None, kind: Labels, mapping: Mapping[str, str], agreement: float
) -> Row:
    """What is known of an utterance. Raises BadInput, without a remedy, for one that is left out."""
    labels = {name: value for name, value in (row["labels"] or {}).items() if value is not None}
    if row["problem"]:
        raise BadInput(row["problem"], "")
    if not labels or len(row["utterances"] or ()) != 1:
        raise BadInput(_NO_EMOTION["acted"], "")
    if labels.get("style") == "sung":
        raise BadInput("it is sung", "")
    if labels.get("agreement", 1.0) < agreement:
        raise BadInput("fewer raters agree than are asked for", "")
    votes: Counter[str] = Counter()
    label = labels.get("perceived" if kind == "perceived" else "emotion")
    if kind == "votes":
        for vote in filter(None, labels.get("perceived_votes", ())):
            name, share = vote["emotion"], vote["share"]
            voted = emotion_class(name, classes, mapping) if name and is_number(share, 0.0) else None
            if voted and share:
                votes[voted] += share
        best = [name for name in sorted(votes) if votes[name] == max(votes.values())]
        label = label if label in best else next(iter(best), None)
    if not label:
        raise BadInput(_NO_EMOTION[kind], "")
    emotion = emotion_class(label, classes, mapping)
    if emotion is None:
        raise BadInput(f"it is {label}, which is no class", "")
    (utterance,) = row["utterances"]
    if utterance["start"] is None or utterance["end"] is None:
        raise BadInput("it is not in the sound", "")
    if utterance["end"] - utterance["start"] > LONGEST_SECONDS:
        raise BadInput(f"it is longer than {LONGEST_SECONDS:g} s", "")
    known = {name: labels.get(name, "") for name in ("corpus", "gender", "licence")}
    return known | {
        "speaker": utterance["speaker"] or f"{known['corpus']}/?",
        "emotion": emotion,
        "votes": votes,
        "source": labels.get("augmented_from", ""),
    }
