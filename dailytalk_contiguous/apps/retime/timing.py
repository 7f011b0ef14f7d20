"""The timing of a corpus: the transitions of its conversations, from which those of others are drawn.

How long people wait depends on what was before, and nobody has a theory of it; recordings have the joint law. So
the next offset is that of a transition like this one: of its kind, after a like offset and a turn as long (after a
long one the next speaker takes longer: arXiv 2602.04776), in a pair of its pace (pairs have a timing of their own:
arXiv 2505.24736, 2509.15808). What the neighbours differ by is corrected for by linear regression, because few are
exactly alike (as in approximate Bayesian computation: Beaumont et al. 2002, Genetics 162:2025).
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.apps.retime.units import KINDS, Transition, units_of
from dailytalk_contiguous.core.documents import Number, as_text, parse_json, read_bytes, typed
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.turn_ends import HOLD, SHIFT
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.store.files import json_document, write_text

_Array = NDArray[np.float64]

#: Transitions one of which is drawn, the least number of a kind to draw from, and the most of a kind that are
#: kept: more make a draw slower, and no better.
NEAREST = 12
LEAST = 20
MOST = 20_000

#: Percentiles of the offsets of a kind that no drawn one is beyond: an answer that is moved by much is no longer
#: the answer of that moment.
LOWEST = 5.0
HIGHEST = 95.0

#: Weights of the squared distances in deviations: of the offset before, of the turn, of the pace.
WEIGHTS = np.array([2.0, 1.0, 1.0])

#: Nothing that a turn lasts counts as shorter (s). Paces have 4 digits, and those that differ by less are equal.
_SHORTEST = 0.05
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


@dataclass(frozen=True)
class Timing:
    """What a conversation's transitions are drawn from.

    Attributes:
        target: the name of the corpus that has this timing.
        laws: its transitions by kind; without a kind of which it has too few, which stays as it was recorded.
        paces: those of its pairs, sorted.
        pairs: the paces of those that get this timing, by conversation, in order: a pair gets the pace that has
            its rank in the target. Those of one pace are in an order by chance.
    """

    target: str
    laws: Mapping[str, Law]
    paces: _Array
    pairs: Mapping[str, float]

    def pace_of(self, transitions: Sequence[Transition]) -> float:
        """How much later a pair answers than others, in deviations of the offsets; 0 without an answer."""
        scale = self._scales[SHIFT]
        own = [each.offset for each in transitions if each.kind == SHIFT]
        return (sum(own) / len(own) - scale.mean) / scale.deviation if own else 0.0

    def pace_for(
        self, name: str, transitions: Sequence[Transition], spin: float, rng: np.random.Generator
    ) -> float:
        """The pace in the target of a conversation.

        Args:
            name: its id, by which conversations of one pace get different ones. transitions: its own.
            spin: in [0, 1), by how much of all of one pace each is on another place than they are in order.
            rng: chance between two places.
        """
        own = self.pace_of(transitions)
        first, last = np.searchsorted(self._own_paces, (own - _SAME_PACE, own + _SAME_PACE)).tolist()
        same = max(last - first, 1)
        place = self._places.get(name, first + int(rng.integers(same)))
        turned = first + (place - first + int(spin * same)) % same
        return float(np.quantile(self.paces, min((turned + rng.random()) / max(len(self.pairs), 1), 1.0)))

    def drawn(
        self, transition: Transition, before: float | None, pace: float, least: float, rng: np.random.Generator
    ) -> float | None:
        """The offset of one of the transitions that are most like this one; at least `least` seconds.

        Args:
            transition: as it was recorded, of which the offset counts for nothing.
            before: the offset that the one of its kind before it was given; None of the first.
            pace: from `pace_for`.
            least: seconds.

        Returns None where nothing in the target is as long, or its transitions of this kind are too few.
        """
        if transition.kind not in self.laws:
            return None
        law = self.laws[transition.kind]
        scale = self._scales[transition.kind]
        features = scale.features
        own = np.array([scale.mean if before is None else before, log_turn(transition), pace])
        corrected = law.offset + (own - features) @ scale.slopes
        for offsets in (np.clip(each, law.low, law.high) for each in (corrected, law.offset)):
            possible = np.flatnonzero(offsets >= least)
            if len(possible):
                break
        else:
            return None
        # The sum in one order, and the first of equals: the same on every machine.
        distances = (np.square((features[possible] - own) / scale.deviations) * WEIGHTS).sum(axis=1)
        nearest = np.argsort(distances, kind="stable")[:NEAREST]
        return float(offsets[possible[rng.choice(nearest)]])

    @cached_property
    def _own_paces(self) -> _Array:
        return np.array([*self.pairs.values()], np.float64)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.pairs)}

    @cached_property
    def _scales(self) -> dict[str, "_Scale"]:
        return {kind: _Scale.of(law) for kind, law in self.laws.items()}

    @property
    def digest(self) -> str:
        """Of all that is drawn from: 16 hexadecimal digits."""
        return hashlib.sha256(self._text.encode()).hexdigest()[:16]

    def save(self, path: str | Path) -> None:
        """Write it as JSON, for `Retime`."""
        write_text(Path(path), self._text)

    @cached_property
    def _text(self) -> str:
        document = {
            "target": self.target,
            "transitions": {
                kind: {name: getattr(law, name).round(4).tolist() for name in _COLUMNS}
                | {"low": law.low, "high": law.high}
                for kind, law in self.laws.items()
            },
            "paces": self.paces.tolist(),
            "pairs": dict(self.pairs),
        }
        return json_document(document)


class _Scale(NamedTuple):
    """Of the transitions of a kind: the mean and the deviation of the offsets, and what makes them alike.

    `features` have the shape (n, 3): the offset before, the logarithm of the turn, the pace. An offset before that
    none can have counts as the nearest. `slopes`: how much the offset grows with each.
    """

    mean: float
    deviation: float
    features: _Array
    deviations: _Array
    slopes: _Array

    @classmethod
    def of(cls, law: Law) -> "_Scale":
        offsets = np.clip(law.offset, law.low, law.high)
        features = np.stack((np.clip(law.before, law.low, law.high), law.turn, law.pace), axis=1)
        slopes, *_ = np.linalg.lstsq(features - features.mean(axis=0), offsets - offsets.mean(), rcond=None)
        deviations = np.maximum(features.std(axis=0), 1e-3)
        deviation = max(float(offsets.std()), 1e-3)
        # Rounded, so that machines whose sums differ in the last digit draw the same.
        return cls(float(offsets.mean()), deviation, features, deviations, slopes.round(6))


def log_turn(transition: Transition) -> float:
    return math.log(max(transition.turn, _SHORTEST))


def transitions_of(row: Row) -> list[Transition]:
    """The transitions of a finished conversation, in order."""
    return [unit.transition for unit in units_of(row) if unit.transition]


def timing_of(rows: Iterable[Row], target: str, like: Iterable[Row] | None = None) -> Timing:
    """The timing for conversations: that of others (`like`), or by default their own.

    Args:
        rows: of `core.schema.BUILT`, or of a version; those that can't be used count for nothing.
        target: the name of the corpus that is drawn from, which goes into the rows.

    Raises DailytalkError where the speaker changes too seldom in the corpus that is drawn from.
    """
    own = _usable(rows)
    others = own if like is None else _usable(like)
    laws: dict[str, Law] = {}
    for kind in KINDS:
        offsets = np.array([each.offset for of in others.values() for each in of if each.kind == kind])
        if len(offsets) < LEAST:
            if kind == HOLD:
                continue
            raise DailytalkError(
                f"{target} has {counted(len(offsets), 'change')} of speaker, and {LEAST} are needed to draw from",
                "name a corpus that has more with --like",
            )
        low, high = np.percentile(offsets, (LOWEST, HIGHEST)).tolist()
        # With the paces that are to come: they are measured by the offsets.
        laws[kind] = Law(offsets, np.full(len(offsets), offsets.mean()), offsets * 0, offsets * 0, low, high)
    measure = Timing(target, laws, np.empty(0), {})
    paces, pairs = (
        {name: round(measure.pace_of(of), 4) for name, of in corpus.items()} for corpus in (others, own)
    )
    for kind, law in laws.items():
        mean = measure._scales[kind].mean
        columns = [row for name, of in others.items() for row in _columns(of, kind, mean, paces[name])]
        offset, before, turn, of_pair = np.array(columns[:: -(-len(columns) // MOST)]).T
        laws[kind] = Law(offset, before, turn, of_pair, law.low, law.high)
    by_pace = sorted(pairs, key=lambda name: (pairs[name], hashlib.sha256(name.encode()).digest()))
    return Timing(target, laws, np.sort([*paces.values()]), {name: pairs[name] for name in by_pace})


def _usable(rows: Iterable[Row]) -> dict[str, list[Transition]]:
    return {
        row["conversation_id"]: transitions
        for row in rows
        if not row.get("problem") and (transitions := transitions_of(row))
    }


def _columns(
    transitions: Iterable[Transition], kind: str, mean: float, pace: float
) -> Iterable[tuple[float, float, float, float]]:
    before = mean
    for each in transitions:
        if each.kind == kind:
            yield each.offset, before, log_turn(each), pace
            before = each.offset


def read_timing(path: Path) -> Timing:
    """Read what `Timing.save` wrote. Raises BadInput for another file."""
    return _read(path, path.stat().st_mtime_ns if path.is_file() else 0)


@lru_cache(maxsize=2)
def _read(path: Path, _: int) -> Timing:
    name = as_text(path)
    known: dict[str, Any] = {**typed(parse_json(read_bytes(path, _REMEDY), name, _REMEDY), _Timing, name, _REMEDY)}
    laws = {}
    for kind, law in ((kind, known["transitions"].get(kind)) for kind in KINDS):
        if law is None:
            continue
        offset, before, turn, pace = (np.array(law[name], np.float64) for name in _COLUMNS)
        laws[kind] = Law(offset, before, turn, pace, law["low"], law["high"])
    pairs = dict(sorted(known["pairs"].items(), key=lambda pair: pair[1]))
    return Timing(known["target"], laws, np.sort(np.array(known["paces"], np.float64)), pairs)
