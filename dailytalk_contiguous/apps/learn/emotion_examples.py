"""Utterances with an emotion, to train and to test classifiers: labels, speakers, sound, and omissions.

Nothing is guessed: an utterance without a label of a class or without a sound is left out, and counted by reason.
Equal sound, and copies of one source, have the same number in `groups`, so that they are never on two sides.
"""

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.schema import CHANNELS, Row
from dailytalk_contiguous.core.records.utterance import Utterance
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples, pcm_to_float, to_pcm
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.core.style.emotions import SIX, emotion_class
from dailytalk_contiguous.core.style.sampling import joined_groups
from dailytalk_contiguous.core.wording import counted, kind_of
from dailytalk_contiguous.machine import interrupts
from dailytalk_contiguous.machine.audio import read_at
from dailytalk_contiguous.machine.resources import side_by_side
from dailytalk_contiguous.models.devices import thread_count
from dailytalk_contiguous.models.emotion_folder import why_unheard
from dailytalk_contiguous.models.linear_emotion import Numbers, measure_voice
from dailytalk_contiguous.publish.items import FiledItems, Items, ItemSound
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.stages.transcribe import UNDETERMINED

#: Seconds; a longer utterance is left out: it is no utterance, and would take much memory.
LONGEST_SECONDS = 120.0


class Sounds:
    """Sounds of 16 kHz in a temporary file, one after the other, as 16-bit samples."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (as long as this lives)
        self._ends = [0]
        self._measures: dict[int, Numbers] = {}

    def append(self, sound: Samples) -> str:
        """Write a sound. Returns the digest of its samples."""
        data = to_pcm(sound).tobytes()
        self._file.write(data)
        self._file.flush()
        self._ends.append(self._ends[-1] + len(data))
        return hashlib.sha256(data).hexdigest()

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> Samples:
        start, end = self._ends[number : number + 2]
        return pcm_to_float(os.pread(self._file.fileno(), end - start, start))

    def measured(self, numbers: Iterable[int]) -> Numbers:
        """The numbers of `measure_voice` for some sounds, stacked; each sound is measured once."""
        wanted = list(numbers)
        missing = [number for number in wanted if number not in self._measures]
        sounds = map(self.__getitem__, missing)
        values = side_by_side(measure_voice, sounds, thread_count())
        for number, value in zip(missing, steps("utterances measured", values, len(missing)), strict=True):
            interrupts.check_interrupt()
            self._measures[number] = value
        return np.stack([self._measures[number] for number in wanted])


@dataclass(frozen=True, eq=False)
class EmotionExamples:
    """Utterances with an emotion; arrays of length n.

    Attributes:
        classes: their names, sorted.
        ids: of each utterance.
        corpora: of each utterance.
        speakers: of each utterance; all utterances of a corpus without speakers count as one person's.
        labels: indices into `classes`.
        groups: numbers of groups that are never on two sides: of equal sound, or copies of one source.
        copies: whether each is an altered copy of another: to train on, not to test on.
        numbers: of their sounds in `sounds`.
        sounds: of all utterances that were read.
        left_out: number of omitted utterances, by reason.
        licences: of the utterances of each corpus that was read; None where it is not known.
        languages: of the utterances that were read, as far as they are known.
    """

    classes: tuple[str, ...]
    ids: NDArray[np.str_]
    corpora: NDArray[np.str_]
    speakers: NDArray[np.str_]
    labels: NDArray[np.intp]
    groups: NDArray[np.intp]
    copies: NDArray[np.bool_]
    numbers: NDArray[np.intp]
    sounds: Sounds = field(repr=False)
    left_out: Mapping[str, int] = field(default_factory=dict)
    licences: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    languages: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def sound(self, index: int) -> Samples:
        """16 kHz mono samples, shape (n,)."""
        number = int(self.numbers[index])
        return self.sounds[number]

    def present_classes(self) -> list[str]:
        """The classes of which there is an example."""
        return [name for label, name in enumerate(self.classes) if (self.labels == label).any()]

    def take(self, indices: ArrayLike) -> "EmotionExamples":
        """The examples at some indices (numbers or a mask), in their order, with the same classes."""
        selected = np.arange(len(self))[np.asarray(indices)]
        return replace(
            self,
            ids=self.ids[selected],
            corpora=self.corpora[selected],
            speakers=self.speakers[selected],
            labels=self.labels[selected],
            groups=self.groups[selected],
            copies=self.copies[selected],
            numbers=self.numbers[selected],
        )

    def of_classes(self, classes: Iterable[str], reason: str) -> "EmotionExamples":
        """The examples of some classes, which are the only ones left; others are left out for `reason`."""
        wanted = {*classes}
        old_labels = [label for label, name in enumerate(self.classes) if name in wanted]
        kept = self.take(np.isin(self.labels, old_labels))
        left_out = Counter(self.left_out) + Counter({reason: len(self) - len(kept)})
        names = tuple(self.classes[label] for label in old_labels)
        labels = np.searchsorted(old_labels, kept.labels)
        return replace(kept, classes=names, labels=labels, left_out=dict(left_out))


class _Facts(TypedDict):
    """The facts on an utterance; `source` is the id of the clip that it is an altered copy of, or empty."""

    corpus: str
    speaker: str
    emotion: str
    licence: str | None
    language: str | None
    source: str


class _Reading:
    """The utterances that were read so far, by id, and the number of those that were left out, by reason."""

    def __init__(self, classes: Sequence[str] | None, mapping: Mapping[str, str]) -> None:
        self.sounds = Sounds()
        self.facts: dict[str, _Facts] = {}
        self.digests: list[str] = []
        self.left_out: Counter[str] = Counter()
        self._classes = classes
        self._mapping = mapping

    def add(self, row: Row, items: Items) -> None:
        """Read the utterance of a row, or count it as left out."""
        name = row["conversation_id"]
        n_utterances = max(1, len(row["utterances"] or ()))
        try:
            if row["problem"]:
                raise BadInput(row["problem"], "")
            talk = from_finished(row)
            facts = _facts_of(talk, self._classes, self._mapping)
            if name in self.facts:
                raise BadInput("an utterance of its id was read before", "")
            sound = ItemSound(row["audio"]) if isinstance(items, FiledItems) else items.sound(name)
            samples = utterance_sound(sound, talk.utterances[0])
            reason = why_unheard(samples)
            if reason:
                raise BadInput(reason, "")
        except BadInput as problem:
            self.left_out[kind_of(problem.reason)] += n_utterances
        except OSError:
            self.left_out["its sound can't be read"] += n_utterances
        else:
            self.facts[name] = facts
            self.digests.append(self.sounds.append(samples))

    def examples(self) -> EmotionExamples:
        """The examples that were read. Raises DailytalkError without one."""
        rows = [*self.facts.values()]
        if not rows:
            most = self.left_out.most_common(3)
            reasons = "; ".join(f"{counted(count, 'utterance')}: {reason}" for reason, count in most)
            raise DailytalkError(
                f"no utterance has an emotion to learn or to test ({reasons or 'there is none'})",
                "name a corpus with labels, or other classes",
            )
        licences: dict[str, list[str | None]] = {}
        for row in rows:
            of_corpus = licences.setdefault(row["corpus"], [])
            if row["licence"] not in of_corpus:
                of_corpus.append(row["licence"])
        languages: set[str] = set()
        for row in rows:
            language = row["language"]
            if language is not None and language != UNDETERMINED:
                languages.add(language)
        present = [row["emotion"] for row in rows]
        classes = sorted({*(self._classes or ()), *present})
        corpora = [row["corpus"] for row in rows]
        speakers = [row["speaker"] for row in rows]
        labels = [classes.index(row["emotion"]) for row in rows]
        copies = [bool(row["source"]) for row in rows]
        sources = [row["source"] or name for name, row in self.facts.items()]
        groups = joined_groups([*zip(self.digests, sources, strict=True)])
        return EmotionExamples(
            tuple(classes),
            ids=np.array([*self.facts]),
            corpora=np.array(corpora),
            speakers=np.array(speakers),
            labels=np.array(labels, np.intp),
            groups=groups,
            copies=np.array(copies),
            numbers=np.arange(len(rows)),
            sounds=self.sounds,
            left_out=dict(self.left_out.most_common()),
            licences={corpus: tuple(names) for corpus, names in licences.items()},
            languages=tuple(sorted(languages)),
        )


#: Columns that are read beside the sound.
_READ = (
    "conversation_id",
    "duration",
    "source_duration",
    "language",
    "utterances",
    "alignments",
    "sounds",
    "labels",
    "split",
)


def read_examples(
    inputs: Sequence[str], classes: Sequence[str] | None = SIX, mapping: Mapping[str, str] = {}
) -> EmotionExamples:
    """The utterances with an emotion of folders of `dailytalk corpus`, mixes, and datasets of clips on the Hub.

    Every sound is read once, into a temporary file: unreadable ones are left out, and equal sound is found.

    Args:
        inputs: folders or `OWNER/NAME@TAG`, as `open_items` takes them.
        classes: those to distinguish; None for every label except `other`.
        mapping: classes for labels that are no classes, such as `{"calm": "neutral"}` (see
            `core.style.emotions.emotion_class`).

    Raises DailytalkError for a missing input, and if no utterance has an emotion.
    """
    reading = _Reading(classes, mapping)
    for name in dict.fromkeys(inputs):
        items = open_items(name)
        # Filed items give sound with their rows.
        columns = [*_READ, "audio"] if isinstance(items, FiledItems) else _READ
        for row in items.rows(columns):
            interrupts.check_interrupt()
            reading.add(row, items)
    return reading.examples()


def _facts_of(talk: Conversation, classes: Sequence[str] | None, mapping: Mapping[str, str]) -> _Facts:
    """The facts on an utterance. Raises BadInput, without a remedy, for one that is left out."""
    labels = {name: value for name, value in talk.labels.items() if value is not None}
    label = labels.get("emotion")
    if not label or len(talk.utterances) != 1:
        raise BadInput("it has no emotion", "")
    if labels.get("style") == "sung":
        raise BadInput("it is sung", "")
    emotion = emotion_class(label, classes, mapping)
    if emotion is None:
        raise BadInput(f"it is {label}, which is not a class", "")
    (utterance,) = talk.utterances
    span = utterance.new_span
    if span is None or span.end - span.start > LONGEST_SECONDS:
        raise BadInput(f"it is not in the sound, or longer than {LONGEST_SECONDS:g} s", "")
    corpus = labels.get("corpus", "")
    return {
        "corpus": corpus,
        "speaker": utterance.speaker or f"{corpus}/?",
        "emotion": emotion,
        "licence": labels.get("licence"),
        "language": utterance.language or talk.main_language,
        "source": labels.get("augmented_from", ""),
    }


def utterance_sound(sound: ItemSound, utterance: Utterance) -> Samples:
    """The samples of an utterance in the sound of its conversation: 16 kHz mono, shape (n,)."""
    audio, offset = sound
    assert utterance.new_span is not None
    start = max(0.0, utterance.new_span.start)
    seconds = max(0.0, utterance.new_span.end - start)
    samples = read_at(audio, ANALYSIS_RATE, offset + start, seconds)
    is_second = samples.shape[1] > 1 and utterance.channel == CHANNELS[1]
    return samples[:, 1] if is_second else samples[:, 0]
