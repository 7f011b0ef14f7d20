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

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples, pcm_to_float, read_at, to_pcm
from dailytalk_contiguous.core.emotions import SIX, emotion_class
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.machine import side_by_side
from dailytalk_contiguous.core.sampling import joined_groups
from dailytalk_contiguous.core.schema import CHANNELS, Row
from dailytalk_contiguous.core.wording import counted, kind_of
from dailytalk_contiguous.models.devices import thread_count
from dailytalk_contiguous.models.emotion_folder import why_unheard
from dailytalk_contiguous.models.linear_emotion import Numbers, measure_voice
from dailytalk_contiguous.publish.items import FiledItems, ItemSound
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.stages.transcribe import UNDETERMINED

#: Seconds; a longer utterance is left out: it is no utterance, and would take much memory.
LONGEST_SECONDS = 120.0

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

    def __getitem__(self, number: int) -> Samples:
        start, end = self._ends[number : number + 2]
        return pcm_to_float(os.pread(self._file.fileno(), end - start, start))

    def measured(self, numbers: Iterable[int]) -> Numbers:
        """What `measure_voice` says of some sounds, stacked; of each sound it is asked once."""
        numbers = [*numbers]
        missing = [number for number in numbers if number not in self._measures]
        values = side_by_side(measure_voice, map(self.__getitem__, missing), thread_count())
        for number, value in zip(missing, values, strict=True):
            interrupts.check_interrupt()
            self._measures[number] = value
        return np.stack([self._measures[number] for number in numbers])


@dataclass(frozen=True, eq=False)
class EmotionExamples:
    """Utterances with an emotion; arrays of length n.

    Attributes:
        classes: their names, sorted.
        ids, corpora, speakers: of each. Utterances of a corpus whose speaker is unknown count as those of one
            person.
        labels: indices into `classes`.
        groups: numbers of groups that are never on two sides: of equal sound, or copies of one source.
        copies: whether each is an altered copy of another: to train on, not to test on.
        numbers: of their sounds in `sounds`.
        left_out: number of omitted utterances, by reason.
        licences: of the utterances of each corpus that was read; None where it is not known.
        languages: of what was read, as far as they are known.
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

    def sound(self, place: int) -> Samples:
        """16 kHz mono samples, shape (n,)."""
        return self.sounds[int(self.numbers[place])]

    def take(self, places: ArrayLike) -> "EmotionExamples":
        """The examples at some indices (numbers or a mask), in their order, with the same classes."""
        at = np.arange(len(self))[np.asarray(places)]
        arrays = ("ids", "corpora", "speakers", "labels", "groups", "copies", "numbers")
        return replace(self, **{name: getattr(self, name)[at] for name in arrays})

    def of_classes(self, classes: Iterable[str], reason: str) -> "EmotionExamples":
        """The examples of some classes, which are the only ones left; others are left out for `reason`."""
        places = [place for place, name in enumerate(self.classes) if name in {*classes}]
        kept = self.take(np.isin(self.labels, places))
        left_out = Counter(self.left_out) + Counter({reason: len(self) - len(kept)})
        names = tuple(self.classes[place] for place in places)
        return replace(kept, classes=names, labels=np.searchsorted(places, kept.labels), left_out=dict(left_out))


def read_examples(
    inputs: Sequence[str], classes: Sequence[str] | None = SIX, mapping: Mapping[str, str] = {}
) -> EmotionExamples:
    """The utterances with an emotion of folders of `dailytalk corpus`, mixes, and datasets of clips on the Hub.

    Every sound is read once, into a temporary file: unreadable ones are left out, and equal sound is found.

    Args:
        inputs: folders or `OWNER/NAME@TAG`, as `open_items` takes them.
        classes: those to distinguish; None for every label except `other`.
        mapping: classes of labels that are none, such as `{"calm": "neutral"}` (`core.emotions.emotion_class`).

    Raises DailytalkError for a missing input, and if no utterance has an emotion.
    """
    sounds = Sounds()
    facts = dict[str, Row]()
    left_out = Counter[str]()
    for name in dict.fromkeys(inputs):
        items = open_items(name)
        filed = isinstance(items, FiledItems)  # those give sound with their rows
        for row in items.rows([*_READ, "audio"] if filed else _READ):
            interrupts.check_interrupt()
            n_utterances = max(1, len(row["utterances"] or ()))
            try:
                fact = _facts_of(row, classes, mapping)
                if row["conversation_id"] in facts:
                    raise BadInput("an utterance of its id was read before", "")
                sound = ItemSound(row["audio"]) if filed else items.sound(row["conversation_id"])
                samples = _cut(sound, row["utterances"][0])
                reason = why_unheard(samples)
                if reason:
                    raise BadInput(reason, "")
            except BadInput as problem:
                left_out[kind_of(problem.reason)] += n_utterances
                continue
            except OSError:
                left_out["its sound can't be read"] += n_utterances
                continue
            facts[row["conversation_id"]] = fact | {"digest": sounds.append(samples)}
    if not facts:
        reasons = "; ".join(f"{counted(n, 'utterance')}: {why}" for why, n in left_out.most_common(3))
        raise DailytalkError(
            f"no utterance has an emotion to learn or to test ({reasons or 'there is none'})",
            "name a corpus with labels, or other classes",
        )
    rows = [*facts.values()]
    licences: dict[str, dict[str | None, None]] = {}
    for row in rows:
        licences.setdefault(row["corpus"], {})[row["licence"]] = None
    names = tuple(sorted({*(classes or ()), *(row["emotion"] for row in rows)}))
    return EmotionExamples(
        names,
        np.array([*facts]),
        np.array([row["corpus"] for row in rows]),
        np.array([row["speaker"] for row in rows]),
        labels=np.array([names.index(row["emotion"]) for row in rows], np.intp),
        groups=joined_groups([(row["digest"], row["source"] or name) for name, row in facts.items()]),
        copies=np.array([bool(row["source"]) for row in rows]),
        numbers=np.arange(len(rows)),
        sounds=sounds,
        left_out=dict(left_out.most_common()),
        licences={corpus: tuple(known) for corpus, known in licences.items()},
        languages=tuple(sorted({row["language"] for row in rows} - {None, UNDETERMINED})),
    )


def _facts_of(row: Row, classes: Sequence[str] | None, mapping: Mapping[str, str]) -> Row:
    """What is known of an utterance. Raises BadInput, without a remedy, for one that is left out."""
    labels = {name: value for name, value in (row["labels"] or {}).items() if value is not None}
    if row["problem"]:
        raise BadInput(row["problem"], "")
    label = labels.get("emotion")
    if not label or len(row["utterances"] or ()) != 1:
        raise BadInput("it has no emotion", "")
    if labels.get("style") == "sung":
        raise BadInput("it is sung", "")
    emotion = emotion_class(label, classes, mapping)
    if emotion is None:
        raise BadInput(f"it is {label}, which is no class", "")
    (utterance,) = row["utterances"]
    start = utterance["start"]
    end = utterance["end"]
    if start is None or end is None or end - start > LONGEST_SECONDS:
        raise BadInput(f"it is not in the sound, or longer than {LONGEST_SECONDS:g} s", "")
    corpus = labels.get("corpus", "")
    return {
        "corpus": corpus,
        "speaker": utterance["speaker"] or f"{corpus}/?",
        "emotion": emotion,
        "licence": labels.get("licence"),
        "language": utterance["language"] or row["language"],
        "source": labels.get("augmented_from", ""),
    }


def _cut(sound: ItemSound, utterance: Row) -> Samples:
    """The samples of an utterance in the sound of its conversation."""
    audio, offset = sound
    start = max(0.0, utterance["start"])
    samples = read_at(audio, ANALYSIS_RATE, offset + start, max(0.0, utterance["end"] - start))
    is_second = samples.shape[1] > 1 and utterance["channel"] == CHANNELS[1]
    return samples[:, int(is_second)]
