"""Utterances with an emotion, to train and to test classifiers: labels, speakers, sound, and what was left out.

Interfaces first; what reads them follows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.emotions import SIX

Labels = Literal["acted", "perceived", "votes"]


class SoundSource(Protocol):
    """Gives the sound of examples, 16 kHz mono in [-1, 1], shape (n,), by their numbers in it."""

    def sounds(self, numbers: Sequence[int]) -> Iterator[Samples]: ...


@dataclass(frozen=True, eq=False)
class EmotionExamples:
    """Utterances with an emotion; arrays of length n.

    Attributes:
        classes: their names, sorted.
        ids: of the utterances. corpora, speakers, genders, sentences: of each; empty where unknown, and a speaker
            that nobody knows is the same as every other of his corpus.
        labels: places in `classes`.
        groups: numbers of groups that are never on two sides: of equal sound, or copies of one source.
        copies: whether each is an altered copy of another, to train on alone.
        votes: shares of raters, float32 (n, classes), rows that sum to 1; None unless they were asked for.
        left_out: how many utterances were, by reason.
        licences: of what was read, sorted.
        source, numbers: where the sound is.
    """

    classes: tuple[str, ...]
    ids: tuple[str, ...]
    corpora: NDArray[np.str_]
    speakers: NDArray[np.str_]
    genders: NDArray[np.str_]
    sentences: NDArray[np.str_]
    labels: NDArray[np.intp]
    groups: NDArray[np.intp]
    copies: NDArray[np.bool_]
    votes: NDArray[np.float32] | None
    left_out: Mapping[str, int]
    licences: tuple[str, ...]
    source: SoundSource
    numbers: NDArray[np.intp]
    _measured: dict[str, dict[int, NDArray[Any]]] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def sounds(self) -> Iterator[Samples]:
        """The sound of each, 16 kHz mono, shape (n,): read anew from the files, in order, one at a time."""
        return self.source.sounds(self.numbers.tolist())

    def measured(self, name: str, measure: Callable[[Samples], NDArray[Any]]) -> NDArray[Any]:
        """What `measure` gives for the sound of each, stacked: once for all that are taken of the same examples.

        Args:
            name: of the measure and its settings: what was measured under it before is not measured again.
        """
        raise NotImplementedError

    def take(self, places: ArrayLike) -> "EmotionExamples":
        """Those at some places, in their order, with the same classes."""
        raise NotImplementedError


def read_examples(
    inputs: Sequence[str],
    classes: Sequence[str] = SIX,
    labels: Labels = "acted",
    mapping: Mapping[str, str] = {},
    agreement: float = 0.0,
) -> EmotionExamples:
    """The utterances with an emotion of folders of `dailytalk corpus`, mixes, and datasets of clips on the Hub.

    Args:
        inputs: folders or `OWNER/NAME@TAG`, as `open_items` takes them.
        classes: what is told apart.
        labels: what was `acted`, what raters `perceived`, or their `votes` (soft labels).
        mapping: classes of labels that are none, such as `{"calm": "neutral"}`.
        agreement: least share of raters who agree, in [0, 1], where it is known.
    """
    raise NotImplementedError
