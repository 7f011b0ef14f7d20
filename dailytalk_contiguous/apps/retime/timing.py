"""The timing of a corpus: the transitions of its conversations, from which those of others are drawn.

How long people wait depends on what was before, and nobody has a theory of it; recordings have the joint law. So
the next offset is that of a transition like this one: of its kind, after a like offset and a turn as long (after a
long one the next speaker takes longer: arXiv 2602.04776), in a pair of its pace (pairs have a timing of their own:
arXiv 2505.24736, 2509.15808). Linear regression corrects for what the neighbours differ by, because few are
exactly alike (as in approximate Bayesian computation: Beaumont et al. 2002, Genetics 162:2025).
"""

import hashlib
import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.apps.retime.units import KINDS, Transition, units_of
from dailytalk_contiguous.core.documents import Number, as_text, parse_json, typed
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.core.turns.turn_ends import HOLD, SHIFT
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.machine.read_documents import read_bytes
from dailytalk_contiguous.store.files import json_document, write_text

_Array = NDArray[np.float64]

#: The least number of transitions of a kind to draw from.
LEAST = 20

#: The most transitions of a kind that are kept: more make a draw slower, and no better.
MOST = 20_000

#: The percentile of the offsets of a kind below which none is drawn: an answer that is moved by much is no longer
#: the answer of that moment.
LOWEST = 5.0

#: The percentile of the offsets of a kind above which none is drawn.
HIGHEST = 95.0

#: Weights of the squared distances in deviations: of the offset before, of the turn, of the pace.
WEIGHTS = np.array([2.0, 1.0, 1.0])

#: Paces that differ by less are equal: they have 4 digits.
_SAME_PACE = 6e-5

_REMEDY = "make it again with timing_of, or with dailytalk retime"
_COLUMNS = ("offset", "before", "turn", "pace")


class _Law(TypedDict):
    offset: list[Number]
    before: list[Number]
    turn: list[Number]
    pace: list[Number]
    low: Number
    high: Number


class _Transitions(TypedDict):
    shift: _Law
    hold: NotRequired[_Law | None]


class _Timing(TypedDict):
    target: str
    transitions: _Transitions
    paces: list[Number]
    pairs: dict[str, Number]


class Law(NamedTuple):
    """The transitions of a kind: float64 arrays of shape (n,), and the percentiles that no drawn offset is beyond.

    `offset`: in seconds. `before`: that of the kind before it in its conversation, or the mean of all where it is
    the first. `turn`: the logarithm of the seconds of the turn before. `pace`: of its pair (`Timing.pace_of`).
    """

    offset: _Array
    before: _Array
    turn: _Array
    pace: _Array
    low: float
    high: float


#: The number of nearest transitions from which one is drawn.
NEAREST = 12


@dataclass(frozen=True)
class Timing:
    """The transitions from which those of a conversation are drawn.

    Attributes:
        target: the name of the corpus that has this timing.
        laws: its transitions by kind; without a kind of which it has too few, which stays as it was recorded.
        paces: those of its pairs, sorted.
        pairs: the paces of those that get this timing, by conversation, in order: a pair gets the pace that has
            its rank in the target. Pairs of one pace are in random order.
    """

    target: str
    laws: Mapping[str, Law]
    paces: _Array
    pairs: Mapping[str, float]

    def pace_of(self, transitions: Sequence[Transition]) -> float:
        """Return how much later a pair answers than others, in deviations of the offsets; 0 without an answer."""
        offsets = [transition.offset for transition in transitions if transition.kind == SHIFT]
        if not offsets:
            return 0.0
        scale = self._scales[SHIFT]
        mean = sum(offsets) / len(offsets)
        return (mean - scale.mean) / scale.deviation

    def pace_for(
        self, name: str, transitions: Sequence[Transition], spin: float, rng: np.random.Generator
    ) -> float:
        """The pace in the target of a conversation.

        Args:
            name: its id, by which conversations of one pace get different ones.
            transitions: those of the conversation.
            spin: in [0, 1), the share of the conversations of one pace by which each moves up among their ranks.
            rng: chance between two ranks.
        """
        pace = self.pace_of(transitions)
        paces_of_pairs = [*self.pairs.values()]
        first = bisect_left(paces_of_pairs, pace - _SAME_PACE)
        last = bisect_left(paces_of_pairs, pace + _SAME_PACE)
        n_same = max(last - first, 1)
        drawn_rank = first + int(rng.integers(n_same))
        rank = [*self.pairs].index(name) if name in self.pairs else drawn_rank
        turned_rank = first + (rank - first + int(spin * n_same)) % n_same
        quantile = (turned_rank + rng.random()) / max(len(self.pairs), 1)
        return float(np.quantile(self.paces, min(quantile, 1.0)))

    def draw_offset(
        self, transition: Transition, before: float | None, pace: float, least: float, rng: np.random.Generator
    ) -> float | None:
        """The offset of one of the transitions that are most like this one; at least `least` seconds.

        Args:
            transition: as it was recorded; its offset counts for nothing.
            before: the offset that the one of its kind before it got; None for the first.
            pace: from `pace_for`.
            least: seconds.
            rng: draws one of the nearest.

        Returns None where nothing in the target is as long, or its transitions of this kind are too few.
        """
        if transition.kind not in self.laws:
            return None
        law = self.laws[transition.kind]
        scale = self._scales[transition.kind]
        features = scale.features
        offset_before = scale.mean if before is None else before
        wanted = np.array([offset_before, log_turn(transition), pace])
        corrected = law.offset + (wanted - features) @ scale.slopes
        offsets = np.clip(corrected, law.low, law.high)
        possible = np.flatnonzero(offsets >= least)
        if not len(possible):
            offsets = np.clip(law.offset, law.low, law.high)
            possible = np.flatnonzero(offsets >= least)
        if not len(possible):
            return None
        # The sum in one order, and the first of equals: the same on every machine.
        deviations = (features[possible] - wanted) / scale.deviations
        distances = (np.square(deviations) * WEIGHTS).sum(axis=1)
        nearest = np.argsort(distances, kind="stable")[:NEAREST]
        chosen = possible[rng.choice(nearest)]
        return float(offsets[chosen])

    @cached_property
    def _scales(self) -> dict[str, "_Scale"]:
        return {kind: _Scale.from_law(law) for kind, law in self.laws.items()}

    @property
    def digest(self) -> str:
        """The digest of all transitions and paces: 16 hexadecimal digits."""
        return hashlib.sha256(self._text.encode()).hexdigest()[:16]

    def save(self, path: str | Path) -> None:
        """Write it as JSON, for `Retime`."""
        write_text(Path(path), self._text)

    @cached_property
    def _text(self) -> str:
        transitions: dict[str, dict[str, list[float] | float]] = {}
        for kind, law in self.laws.items():
            transitions[kind] = {name: getattr(law, name).round(4).tolist() for name in _COLUMNS}
            transitions[kind]["low"] = law.low
            transitions[kind]["high"] = law.high
        document = {
            "target": self.target,
            "transitions": transitions,
            "paces": self.paces.tolist(),
            "pairs": dict(self.pairs),
        }
        return json_document(document)


class _Scale(NamedTuple):
    """The mean and the deviation of the offsets of a kind of transitions, and the features that make them alike.

    `features` have the shape (n, 3): the offset before, the logarithm of the turn, the pace. An offset before that
    is beyond the percentiles counts as the nearer one. `slopes`: how much the offset grows with each.
    """

    mean: float
    deviation: float
    features: _Array
    deviations: _Array
    slopes: _Array

    @classmethod
    def from_law(cls, law: Law) -> "_Scale":
        offsets = np.clip(law.offset, law.low, law.high)
        before = np.clip(law.before, law.low, law.high)
        features = np.stack((before, law.turn, law.pace), axis=1)
        centred = features - features.mean(axis=0)
        slopes, *_ = np.linalg.lstsq(centred, offsets - offsets.mean(), rcond=None)
        deviations = np.maximum(features.std(axis=0), 1e-3)
        deviation = max(float(offsets.std()), 1e-3)
        # Rounded, so that machines whose sums differ in the last digit draw the same.
        return cls(float(offsets.mean()), deviation, features, deviations, slopes.round(6))


#: Seconds; a shorter turn counts as one of this length.
_SHORTEST = 0.05


def log_turn(transition: Transition) -> float:
    return math.log(max(transition.turn, _SHORTEST))


def transitions_of(row: Row) -> list[Transition]:
    """The transitions of a finished conversation, in order."""
    return [unit.transition for unit in units_of(from_finished(row)) if unit.transition]


def timing_of(rows: Iterable[Row], target: str, like: Iterable[Row] | None = None) -> Timing:
    """The timing for conversations: that of others (`like`), or by default their own.

    Args:
        rows: of `core.records.schema.BUILT`, or of a version; rows that can't be used count for nothing.
        target: the name of the corpus that is drawn from, which goes into the rows.
        like: rows of the corpus that is drawn from.

    Raises DailytalkError where the speaker changes too seldom in the corpus that is drawn from.
    """
    corpus = _usable(rows)
    target_corpus = corpus if like is None else _usable(like)
    laws = _laws_of_offsets(target_corpus, target)
    measure = Timing(target, laws, np.empty(0), {})
    paces = _paces(measure, target_corpus)
    pairs = _paces(measure, corpus)
    for kind, law in laws.items():
        mean = measure._scales[kind].mean
        columns: list[tuple[float, float, float, float]] = []
        for name, transitions in target_corpus.items():
            offset_before = mean
            for transition in transitions:
                if transition.kind == kind:
                    columns.append((transition.offset, offset_before, log_turn(transition), paces[name]))
                    offset_before = transition.offset
        step = -(-len(columns) // MOST)
        offset, before, turn, pace = np.array(columns[::step]).T
        laws[kind] = Law(offset, before, turn, pace, law.low, law.high)

    # Those of one pace are in the order of the digests of their names: by chance, and always the same.
    def rank(name: str) -> tuple[float, bytes]:
        return pairs[name], hashlib.sha256(name.encode()).digest()

    sorted_pairs = {name: pairs[name] for name in sorted(pairs, key=rank)}
    return Timing(target, laws, np.sort([*paces.values()]), sorted_pairs)


def _usable(rows: Iterable[Row]) -> dict[str, list[Transition]]:
    """The transitions of the conversations that can be used and have some, by their ids."""
    usable: dict[str, list[Transition]] = {}
    for row in rows:
        if row.get("problem"):
            continue
        transitions = transitions_of(row)
        if transitions:
            usable[row["conversation_id"]] = transitions
    return usable


def _laws_of_offsets(corpus: Mapping[str, Sequence[Transition]], target: str) -> dict[str, Law]:
    """The laws of a corpus as far as paces are measured by them: by offsets, without turns and paces.

    Raises DailytalkError where the speaker changes too seldom.
    """
    laws: dict[str, Law] = {}
    for kind in KINDS:
        offsets_of_kind: list[float] = []
        for transitions in corpus.values():
            offsets_of_kind.extend(transition.offset for transition in transitions if transition.kind == kind)
        if len(offsets_of_kind) < LEAST:
            if kind == HOLD:
                continue
            changes = counted(len(offsets_of_kind), "change")
            raise DailytalkError(
                f"{target} has {changes} of speaker, and {LEAST} are needed to draw from",
                "name a corpus that has more with --like",
            )
        offsets = np.array(offsets_of_kind)
        low, high = np.percentile(offsets, (LOWEST, HIGHEST)).tolist()
        before = np.full(len(offsets), offsets.mean())
        laws[kind] = Law(offsets, before, offsets * 0, offsets * 0, low, high)
    return laws


def _paces(measure: Timing, corpus: Mapping[str, Sequence[Transition]]) -> dict[str, float]:
    return {name: round(measure.pace_of(transitions), 4) for name, transitions in corpus.items()}


def read_timing(path: Path) -> Timing:
    """Read what `Timing.save` wrote. Raises BadInput for another file."""
    return _read(path, path.stat().st_mtime_ns if path.is_file() else 0)


@lru_cache(maxsize=2)
def _read(path: Path, _modified: int) -> Timing:
    name = as_text(path)
    content = parse_json(read_bytes(path, _REMEDY), name, _REMEDY)
    document = typed(content, _Timing, name, _REMEDY)
    laws: dict[str, Law] = {SHIFT: _law(document["transitions"]["shift"])}
    hold = document["transitions"].get("hold")
    if hold is not None:
        laws[HOLD] = _law(hold)
    pairs = dict(sorted(document["pairs"].items(), key=lambda pair: pair[1]))
    paces = np.sort(np.array(document["paces"], np.float64))
    return Timing(document["target"], laws, paces, pairs)


def _law(columns: _Law) -> Law:
    offset = np.array(columns["offset"], np.float64)
    before = np.array(columns["before"], np.float64)
    turn = np.array(columns["turn"], np.float64)
    pace = np.array(columns["pace"], np.float64)
    return Law(offset, before, turn, pace, columns["low"], columns["high"])
