"""The scorecard of a dataset: the measures of its conversations, as `corpus-stats.json`, beside published corpora.

The file holds every measure of `core.turns.turn_taking.TURN_MEASURES` with its definition, of each side, on the
recorded and on the rebuilt timeline. `assets/bands.json` holds published numbers of other corpora, each with its
source, its definition and how far it is comparable; each is compared with the measure whose definition is most
like its own. It is a comparison and no verdict: which values train a better model has not been measured.
"""

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple, TypedDict

import msgspec
import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.documents import Number, typed
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.turns import turn_taking as turns
from dailytalk_contiguous.core.turns.turn_taking import SIDES, TURN_MEASURES, TimedConversation, nearest_rank

#: Percentiles over conversations, by their name in the file.
PERCENTILES = {"p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}

#: Each measure of each side, in the order in which `TimedConversation.measured` gives them.
_MEASURED = [(name, side) for name, measure in TURN_MEASURES.items() for side in measure.sides]


class TurnTaking:
    """Turn-taking of conversations on one timeline, as they were recorded or as they were rebuilt.

    A conversation takes about 1 KB: every measure of every side, and the floor-transfer offsets.

    Attributes:
        events: number of utterances by the way in which they enter (`core.records.utterance.EVENTS`).
        seconds: length of the conversations.
        speech_seconds: length of the speech of both speakers in them.
    """

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self.seconds = 0.0
        self.speech_seconds = 0.0
        self._offsets = {channel: array("d") for channel in CHANNELS}
        self._figures = array("d")  # amounts and divisors of each conversation, in the order of `_MEASURED`

    def add(self, conversation: TimedConversation) -> None:
        """Count one conversation. Missing events are derived from the times."""
        timed = conversation.timed
        speech = conversation.speech
        events = conversation.events
        if not all(events):
            derived = turns.labels_of(speech, len(timed))
            events = [event or by_times for event, by_times in zip(events, derived, strict=True)]
        self.events.update(filter(None, events))
        for span in speech:
            if span.offset is not None:
                self._offsets[span.channel].append(span.offset)
        self._figures.extend(conversation.ratios)
        self.speech_seconds += sum([span.end - span.start for span in timed])
        self.seconds += conversation.seconds

    def offsets(self, side: str = "both") -> NDArray[np.float64]:
        """Return the floor-transfer offsets in seconds of the side that takes the floor (`SIDES`), sorted."""
        channels = CHANNELS if side == "both" else (side,)
        return np.sort(np.concatenate([self._offsets[channel] for channel in channels]))

    def values(self, name: str, side: str) -> NDArray[np.float64]:
        """Return a measure of each conversation in which it is known, sorted; empty for a side without it."""
        amounts, divisors = self._ratios(name, side)
        return np.sort(amounts / divisors)

    def pooled(self, name: str, side: str) -> float:
        """Return a measure of all conversations as if they were one; NaN where it is unknown."""
        measure = TURN_MEASURES[name]
        if measure.quantile is not None:
            offsets = self.offsets(side)
            if measure.gaps:
                offsets = offsets[offsets > 0]
            return nearest_rank(offsets, measure.quantile)
        amounts, divisors = self._ratios(name, side)
        if not len(amounts):
            return math.nan
        return float(amounts.sum() / divisors.sum())

    def stats(self) -> dict[str, dict[str, dict[str, float]]]:
        """Return every measure of every side: percentiles over conversations, their number, and a pooled value."""
        stats: dict[str, dict[str, dict[str, float]]] = {}
        if not self._figures:
            return stats
        for name, side in _MEASURED:
            values = self.values(name, side)
            figures: dict[str, float] = {"conversations": len(values)}
            if len(values):
                figures["pooled"] = round(self.pooled(name, side), 6)
                for key, share in PERCENTILES.items():
                    figures[key] = round(nearest_rank(values, share), 6)
            stats.setdefault(name, {})[side] = figures
        return stats

    def _ratios(self, name: str, side: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return amount and divisor of a measure in each conversation in which it is known."""
        if (name, side) not in _MEASURED:
            return np.empty(0), np.empty(0)
        figures = np.frombuffer(self._figures).reshape(-1, len(_MEASURED), 2)
        pairs = figures[:, _MEASURED.index((name, side))]
        is_known = (pairs[:, 1] > 0) & np.isfinite(pairs[:, 0])
        amounts, divisors = pairs[is_known].T
        return amounts, divisors


class _Stats(TypedDict):
    """The part of a corpus-stats.json that is read; unknown measures and sides are left out."""

    timelines: dict[str, dict[str, dict[str, dict[str, Number | None]]]]


#: How far a published percentile may be off, as a share of it: it is that of bins.
ROUNDED = 0.02

#: The share of a published value under which an event is rare: a model hardly learns anything from it.
RARE = 0.25

#: How far from a single published value ours counts as alike, as a share of it.
ALIKE = 0.1


class Band(msgspec.Struct, frozen=True):
    """The published values of a measure: `low` and `high` as percentiles 5 and 95, or `middle` alone.

    `sides` are those of this dataset that are compared with it.
    """

    measure: str
    sides: tuple[str, ...]
    middle: int | float
    definition: str
    comparable: str
    low: int | float | None = None
    high: int | float | None = None

    def text(self) -> str:
        middle = measure_text(self.measure, self.middle)
        if self.low is None or self.high is None:
            return middle
        return f"{middle} ({measure_text(self.measure, self.low, self.high, with_unit=False)})"


class ReferenceCorpus(msgspec.Struct, frozen=True):
    """A corpus to compare with; with `avoid` it is a corpus to avoid."""

    name: str
    source: str
    bands: tuple[Band, ...]
    avoid: bool = False


class _Bands(msgspec.Struct):
    """The content of bands.json: corpora by name; for a measure, the meanings of `below`, `above` and `rare`."""

    references: dict[str, ReferenceCorpus]
    meanings: dict[str, dict[str, str]]


@cache
def _data() -> _Bands:
    content = files(__package__).joinpath("assets/bands.json").read_bytes()
    return msgspec.json.decode(content, type=_Bands)


def published_references() -> dict[str, ReferenceCorpus]:
    """Return the published corpora by their names in options."""
    return _data().references


def reference_of(stats: object, name: str) -> ReferenceCorpus:
    """Read a corpus-stats.json as a corpus to compare with, rebuilt if it has that timeline. Raises BadInput."""
    remedy = "name a corpus-stats.json that dailytalk has written"
    timelines = typed(stats, _Stats, name, remedy)["timelines"]
    measures = timelines.get("rebuilt") or timelines.get("source") or {}
    bands = []
    are_ordered = True
    for measure in TURN_MEASURES:
        for side, values in measures.get(measure, {}).items():
            low = values.get("p5")
            middle = values.get("p50")
            high = values.get("p95")
            if side in SIDES and middle is not None:
                bands.append(Band(measure, (side,), middle, "as here", "The same definition.", low, high))
                percentiles = [value for value in (low, middle, high) if value is not None]
                are_ordered = are_ordered and percentiles == sorted(percentiles)
    if not bands or not are_ordered:
        reason = f"{name}: no measure of a conversation is in it, or its percentiles are not in order"
        raise BadInput(reason, remedy)
    return ReferenceCorpus(name, name, tuple(bands))


class Comparison(NamedTuple):
    """The position of a value beside a published one: `where` is `below`, `inside` or `above`."""

    reference: ReferenceCorpus
    band: Band
    side: str
    value: float
    where: str

    @property
    def is_remarkable(self) -> bool:
        """Whether it is outside a band or, for a band to be avoided, inside it."""
        return (self.where == "inside") == self.reference.avoid

    def text(self) -> str:
        """Return the position in words, to be followed by the name of the corpus."""
        if self.where != "inside":
            return self.where
        return "no more than" if self.reference.avoid else "like"

    @property
    def meaning(self) -> str | None:
        """The meaning of the difference for a model; None where that is not known."""
        meanings = _data().meanings.get(self.band.measure, {})
        is_rare = "rare" in meanings and self.value < RARE * self.band.middle
        return meanings.get("rare" if is_rare else self.where)

    def sentence(self) -> str:
        """Return the difference, and its meaning for a model, in a sentence."""
        title = TURN_MEASURES[self.band.measure].title
        capitalised = title[0].upper() + title[1:]
        side = "both speakers" if self.side == "both" else self.side
        value = measure_text(self.band.measure, self.value)
        warning = ", a corpus to avoid," if self.reference.avoid else ""
        text = f"{capitalised} ({side}): {value}, in {self.reference.name}{warning} {self.band.text()}"
        return f"{text}: {self.meaning}." if self.meaning else f"{text}."


def comparisons_of(turn_taking: TurnTaking, references: Sequence[ReferenceCorpus] = ()) -> list[Comparison]:
    """Compare all conversations together with each number of published corpora and of `references`.

    Only known measures are compared.
    """
    comparisons: list[Comparison] = []
    if not turn_taking.speech_seconds:
        return comparisons
    for reference in (*published_references().values(), *references):
        for band in reference.bands:
            for side in band.sides:
                value = turn_taking.pooled(band.measure, side)
                if not math.isnan(value):
                    where = _where(value, band, side, turn_taking, reference.avoid)
                    comparisons.append(Comparison(reference, band, side, value, where))
    return comparisons


def _where(value: float, band: Band, side: str, turn_taking: TurnTaking, avoid: bool) -> str:
    """Return the position of the value of all conversations beside a band."""
    low = band.low
    middle = band.middle
    high = band.high
    if low is not None and high is not None:
        is_edge = any(math.isclose(value, edge, rel_tol=ROUNDED) for edge in (low, high))
        if is_edge or low <= value <= high:
            return "inside"
        return "below" if value < low else "above"
    if avoid:
        return "inside" if value <= middle * (1 + ALIKE) else "above"
    values = turn_taking.values(band.measure, side)
    is_among = nearest_rank(values, PERCENTILES["p5"]) <= middle <= nearest_rank(values, PERCENTILES["p95"])
    if is_among or abs(value - middle) <= ALIKE * abs(middle):
        return "inside"
    return "below" if value < middle else "above"


def measure_text(name: str, *values: float, with_unit: bool = True) -> str:
    """Write values of a measure as a range, with their unit.

    >>> measure_text("overlap_share", 0.028, 0.209), measure_text("backchannels", 4.74)
    ('2.8 to 20.9 %', '4.74 a minute')
    """
    unit = TURN_MEASURES[name].unit
    scale = 1
    if unit == "share":
        unit = "%"
        scale = 100
    texts = ["–" if math.isnan(value) else f"{scale * value:.3g}" for value in values]
    text = " to ".join(texts).replace("-", "−")
    return f"{text} {unit}" if with_unit else text
