"""The scorecard of a dataset: the measures of its conversations, as `corpus-stats.json`, beside published corpora.

The file holds every measure of `core.turns.TURN_MEASURES` with its definition, of each side, on the recorded and
on the rebuilt timeline. `assets/bands.json` holds what is published of other corpora, each number with its source,
its definition and what is comparable of it; it is compared with that measure of ours which is defined most alike.
It is a comparison and no verdict: which values train a better model has not been measured.
"""

import json
import math
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core import turns
from dailytalk_contiguous.core.documents import Number, typed
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.turns import SIDES, TURN_MEASURES, TimedConversation

#: Percentiles over conversations, by their name in the file.
PERCENTILES = {"p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}

#: Each measure of each side, in the order in which `TimedConversation.measured` gives them.
_MEASURED = [(name, side) for name, measure in TURN_MEASURES.items() for side in measure.sides]


class TurnTaking:
    """Turn-taking of conversations on one timeline, as they were recorded or as they were rebuilt.

    Takes about 1 KB a conversation: every measure of every side, and the floor-transfer offsets.

    Attributes:
        events: how many utterances enter in each way (`core.utterance.EVENTS`).
        seconds, speech_seconds: length of the conversations, and of the speech in them, of both speakers.
    """

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self.seconds = self.speech_seconds = 0.0
        self._offsets = {channel: array("d") for channel in CHANNELS}
        self._figures = array("d")  # of each conversation amount and divisor, in the order of `_MEASURED`

    def add(self, conversation: TimedConversation) -> None:
        """Count one conversation. Missing events are derived from the times."""
        timed = conversation.timed
        speech = conversation.speech
        events = conversation.events
        if not all(events):
            derived = turns.labels_of(speech, len(timed))
            events = [event or by_times for event, by_times in zip(events, derived, strict=True)]
        self.events.update(filter(None, events))
        for channel, offsets in self._offsets.items():
            offsets.extend([span.offset for span in speech if span.channel == channel and span.offset is not None])
        self._figures.extend(conversation.ratios)
        self.speech_seconds += sum([span.end - span.start for span in timed])
        self.seconds += conversation.seconds

    def offsets(self, side: str = "both") -> NDArray[np.float64]:
        """Floor-transfer offsets in seconds of who takes the floor, one of `SIDES`, sorted."""
        return np.sort(np.concatenate([self._offsets[name] for name in (CHANNELS if side == "both" else [side])]))

    def values(self, name: str, side: str) -> NDArray[np.float64]:
        """A measure of each conversation in which it is known, sorted; empty for a side that it has not."""
        amounts, divisors = self._ratios(name, side)
        return np.sort(amounts / divisors)

    def pooled(self, name: str, side: str) -> float:
        """A measure of all conversations as if they were one; NaN where it is unknown."""
        measure = TURN_MEASURES[name]
        if measure.quantile is not None:
            offsets = self.offsets(side)
            return nearest_rank(offsets[offsets > 0] if measure.gaps else offsets, measure.quantile)
        amounts, divisors = self._ratios(name, side)
        return float(amounts.sum() / divisors.sum()) if len(amounts) else math.nan

    def stats(self) -> dict[str, dict[str, Any]]:
        """Every measure of every side: over conversations, how many have it, and all together."""
        stats: dict[str, dict[str, Any]] = {}
        for name, side in _MEASURED if self._figures else ():
            values = self.values(name, side)
            figures = {"pooled": self.pooled(name, side)} if len(values) else {}
            figures |= {key: nearest_rank(values, share) for key, share in PERCENTILES.items() if len(values)}
            rounded = {key: round(value, 6) for key, value in figures.items()}
            stats.setdefault(name, {})[side] = {"conversations": len(values), **rounded}
        return stats

    def _ratios(self, name: str, side: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Amount and divisor of a measure in each conversation in which it is known."""
        if (name, side) not in _MEASURED:
            return np.empty(0), np.empty(0)
        figures = np.frombuffer(self._figures).reshape(-1, len(_MEASURED), 2)[:, _MEASURED.index((name, side))]
        amounts, divisors = figures[(figures[:, 1] > 0) & np.isfinite(figures[:, 0])].T
        return amounts, divisors


def nearest_rank(ordered: NDArray[np.float64], share: float) -> float:
    """A percentile of sorted values by the nearest rank, `share` in (0, 1]; NaN without any."""
    return float(ordered[math.ceil(share * len(ordered) - 1e-9) - 1]) if len(ordered) else math.nan


class _Stats(TypedDict):
    """What is read of the file; unknown measures and sides are left out."""

    timelines: dict[str, dict[str, dict[str, dict[str, Number | None]]]]


#: Percentiles are those of bins: by how much one may be off, as a share of it.
ROUNDED = 0.02

#: The share of a published value under which what is counted is rare: hardly anything is to be learned from it.
RARE = 0.25

#: How far from a single published value ours counts as alike, as a share of it.
ALIKE = 0.1


class Band(NamedTuple):
    """The published values of a measure: `low` and `high` as percentiles 5 and 95, or `middle` alone.

    `sides`: those of ours that are compared with it.
    """

    measure: str
    sides: tuple[str, ...]
    middle: float
    definition: str
    comparable: str
    low: float | None = None
    high: float | None = None

    def text(self) -> str:
        middle = measure_text(self.measure, self.middle)
        if self.low is None or self.high is None:
            return middle
        return f"{middle} ({measure_text(self.measure, self.low, self.high, with_unit=False)})"


class ReferenceCorpus(NamedTuple):
    """A corpus to compare with. `avoid`: it is an example of what to avoid."""

    name: str
    source: str
    bands: tuple[Band, ...]
    avoid: bool = False


@cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(files(__package__).joinpath("assets/bands.json").read_text(encoding="utf-8"))
    return data


@cache
def published_references() -> dict[str, ReferenceCorpus]:
    """Published corpora by the name that options give them."""
    references = {}
    for key, record in _data()["references"].items():
        bands = [Band(**band | {"sides": tuple(band["sides"])}) for band in record["bands"]]
        references[key] = ReferenceCorpus(**record | {"bands": tuple(bands)})
    return references


def reference_of(stats: object, name: str) -> ReferenceCorpus:
    """The content of a corpus-stats.json as a corpus to compare with: rebuilt where it is. Raises BadInput."""
    remedy = "name a corpus-stats.json that dailytalk has written"
    timelines = typed(stats, _Stats, name, remedy)["timelines"]
    measures = timelines.get("rebuilt") or timelines.get("source") or {}
    bands = []
    for measure in TURN_MEASURES:
        for side, values in measures.get(measure, {}).items():
            low, middle, high = (values.get(key) for key in ("p5", "p50", "p95"))
            if side in SIDES and middle is not None:
                bands.append(Band(measure, (side,), middle, "as here", "The same definition.", low, high))
    percentiles = [[at for at in (band.low, band.middle, band.high) if at is not None] for band in bands]
    if not bands or any(own != sorted(own) for own in percentiles):
        reason = f"{name}: no measure of a conversation is in it, or its percentiles are not in order"
        raise BadInput(reason, remedy)
    return ReferenceCorpus(name, name, tuple(bands))


class Comparison(NamedTuple):
    """Where a value is beside a published one: `below`, `inside` or `above`."""

    reference: ReferenceCorpus
    band: Band
    side: str
    value: float
    where: str

    @property
    def is_remarkable(self) -> bool:
        """Return whether it is outside a band or, for a band to be avoided, inside it."""
        return (self.where == "inside") == self.reference.avoid

    def text(self) -> str:
        """Where it is, in words to be followed by the name of the corpus."""
        return ("no more than" if self.reference.avoid else "like") if self.where == "inside" else self.where

    @property
    def meaning(self) -> str | None:
        """The meaning of the difference for a model; None where that is not known."""
        meanings = _data()["meanings"].get(self.band.measure, {})
        is_rare = "rare" in meanings and self.value < RARE * self.band.middle
        meaning: str | None = meanings.get("rare" if is_rare else self.where)
        return meaning

    def sentence(self) -> str:
        """The difference, and its meaning for a model."""
        measure = TURN_MEASURES[self.band.measure]
        side = "both speakers" if self.side == "both" else self.side
        theirs = (
            f"{self.reference.name}{', a corpus to avoid,' if self.reference.avoid else ''} {self.band.text()}"
        )
        values = f"{measure_text(self.band.measure, self.value)}, in {theirs}"
        text = f"{measure.title[0].upper()}{measure.title[1:]} ({side}): {values}"
        return f"{text}: {self.meaning}." if self.meaning else f"{text}."


def comparisons_of(taken: TurnTaking, references: Sequence[ReferenceCorpus] = ()) -> list[Comparison]:
    """The measures of conversations beside those of published corpora and of `references`."""
    return [*compare(taken, (*published_references().values(), *references))] if taken.speech_seconds else []


def compare(taken: TurnTaking, references: Sequence[ReferenceCorpus]) -> Iterator[Comparison]:
    """Where all conversations together are beside each number of these corpora that has one of ours."""
    for reference in references:
        for band in reference.bands:
            for side in band.sides:
                value = taken.pooled(band.measure, side)
                if not math.isnan(value):
                    yield _compared(reference, band, side, value, taken)


def _compared(reference: ReferenceCorpus, band: Band, side: str, value: float, taken: TurnTaking) -> Comparison:
    low = band.low
    middle = band.middle
    high = band.high
    if low is not None and high is not None:
        is_edge = any(math.isclose(value, edge, rel_tol=ROUNDED) for edge in (low, high))
        where = "inside" if is_edge or low <= value <= high else "below" if value < low else "above"
        return Comparison(reference, band, side, value, where)
    if reference.avoid:
        return Comparison(reference, band, side, value, "inside" if value <= middle * (1 + ALIKE) else "above")
    values = taken.values(band.measure, side)
    is_among = nearest_rank(values, PERCENTILES["p5"]) <= middle <= nearest_rank(values, PERCENTILES["p95"])
    is_alike = is_among or abs(value - middle) <= ALIKE * abs(middle)
    return Comparison(
        reference, band, side, value, "inside" if is_alike else "below" if value < middle else "above"
    )


def measure_text(name: str, *values: float, with_unit: bool = True) -> str:
    """Values of a measure as a range, with their unit.

    >>> measure_text("overlap_share", 0.028, 0.209), measure_text("backchannels", 4.74)
    ('2.8 to 20.9 %', '4.74 a minute')
    """
    unit = TURN_MEASURES[name].unit
    scale, unit = (100, "%") if unit == "share" else (1, unit)
    text = " to ".join("–" if math.isnan(value) else f"{scale * value:.3g}" for value in values).replace("-", "−")
    return f"{text} {unit}" if with_unit else text
