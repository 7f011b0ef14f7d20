"""What a report counts, conversation by conversation, so that a corpus of any size takes the same memory.

Nothing here keeps an utterance: distributions are counts in bins that are narrower than anybody can see in a plot
(offsets in hundredths of a second), and quantiles are read from these bins.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dailytalk_contiguous.core import turns
from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.turns import Timed
from dailytalk_contiguous.core.wording import kind_of

#: Bins of offsets a second, and the seconds beyond which an offset counts as just that long.
OFFSET_BINS, OFFSET_LIMIT = 100, 30.0

#: Sides of a cell in the map of valence and arousal, and in the one of lengths (seconds), and its last length.
AFFECT_CELL, LENGTH_CELL, LENGTH_LIMIT = 0.04, 0.5, 12.0

#: Kinds of reasons that are told apart; what comes after them is counted together.
MAX_REASONS = 50
OTHER = "other reasons"

BUCKETED = ("valence", "arousal", "dominance", "energy", "rate", "zcr", "pitch", "pitch_var")


@dataclass
class Side:
    """Turn-taking of all conversations on one side of the rebuild, `offsets` in bins of 1 / `OFFSET_BINS` s."""

    events: Counter[str] = field(default_factory=Counter)
    offsets: Counter[int] = field(default_factory=Counter)
    overlap_seconds: float = 0.0
    speech_seconds: float = 0.0
    seconds: float = 0.0

    def add(
        self, timed: list[Timed], groups: list[list[int]], events: Iterable[str | None], seconds: float
    ) -> None:
        """Count one conversation. Events that are not told are worked out from the times."""
        derived = turns.label(timed, groups)
        self.events.update(given or worked for given, worked in zip(events, derived, strict=True))
        for offset in turns.offsets(turns.stretches(timed, groups)):
            self.offsets[round(max(-OFFSET_LIMIT, min(OFFSET_LIMIT, offset)) * OFFSET_BINS)] += 1
        self.overlap_seconds += turns.overlap_seconds(timed)
        self.speech_seconds += sum(one.end - one.start for one in timed)
        self.seconds += seconds


@dataclass
class Tally:
    """Everything that a page tells of all conversations; `rebuilt` as in `report_rows.Told`."""

    rebuilt: bool
    conversations: int = 0
    utterances: int = 0
    words: int = 0
    seconds: float = 0.0
    before: Side = field(default_factory=Side)
    after: Side = field(default_factory=Side)
    channels: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    voices: Counter[str] = field(default_factory=Counter)
    tags: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    buckets: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    affect: dict[tuple[int, int], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    lengths: Counter[tuple[int, int]] = field(default_factory=Counter)
    ratios: Counter[int] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    word_sources: Counter[str] = field(default_factory=Counter)
    cost: float = 0.0
    bought: set[str] = field(default_factory=set)
    n_retried: int = 0
    error_rates: Counter[int] = field(default_factory=Counter)
    backchannels: int = 0
    backchannels_kept: int = 0
    lost_seconds: float = 0.0
    rejects: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a row of `core.built.BUILT`."""
        utterances = row["utterances"] or ()
        self.conversations += 1
        self.utterances += len(utterances)
        self.words += len(row["alignments"] or ())
        self.seconds += row["duration"] or 0.0
        self.languages[row["language"] or "unknown"] += 1
        self.word_sources.update(word["source"] or "unknown" for word in row["alignments"] or ())
        for one in utterances:
            self._add_utterance(one)
        self._add_turns(row, utterances)
        measures = row["timeline"] or {}
        self.backchannels += measures.get("backchannels") or 0
        self.backchannels_kept += measures.get("backchannels_kept") or 0
        lost = (measures.get("lost_speech_seconds"), measures.get("lost_sound_seconds"))
        self.lost_seconds += sum(value for value in lost if is_number(value))

    def add_reject(self, reject: Mapping[str, str]) -> None:
        """Count a line of rejects.jsonl by its stage and the kind of its reason."""
        count(self.rejects, (reject["stage"], kind_of(reject["reason"])), (reject["stage"], OTHER))

    def _add_utterance(self, one: Mapping[str, Any]) -> None:
        self.channels[one["channel"]] += 1
        if one["tag"]:
            self.tags[one["tag"]][one["channel"]] += 1
        for name in BUCKETED:
            if one.get(f"{name}_bucket"):
                self.buckets[name][one[f"{name}_bucket"]] += 1
        if is_number(one["valence"]) and is_number(one["arousal"]):
            place = (cell(one["valence"], AFFECT_CELL, 1.0), cell(one["arousal"], AFFECT_CELL, 1.0))
            self.affect[place][one["tag"] or "no tag"] += 1
        if one["status"]:
            self.statuses[one["status"]] += 1
        if one["reason"]:
            count(self.reasons, kind_of(one["reason"]), OTHER)
        if one["synthesis"]:
            self._add_synthesis(one, one["synthesis"])

    def _add_synthesis(self, one: Mapping[str, Any], made: Mapping[str, Any]) -> None:
        self.voices[" · ".join(made[name] for name in ("engine", "model", "voice") if made[name])] += 1
        if (
            made["cache_key"] is None or made["cache_key"] not in self.bought
        ):  # a line that is said twice was bought once
            self.bought.add(made["cache_key"])
            self.cost += made["cost"] if is_number(made["cost"]) else 0.0
        self.n_retried += (made["tries"] or 1) > 1
        if is_number(made["word_error_rate"]):
            self.error_rates[round(100 * made["word_error_rate"])] += 1
        times = (one["source_start"], one["source_end"], one["start"], one["end"])
        if one["status"] == "spoken" and all(map(is_number, times)) and times[1] > times[0]:
            source, new = times[1] - times[0], times[3] - times[2]
            self.lengths[cell(source, LENGTH_CELL, LENGTH_LIMIT), cell(new, LENGTH_CELL, LENGTH_LIMIT)] += 1
            self.ratios[round(100 * new / source)] += 1

    def _add_turns(self, row: Mapping[str, Any], utterances: Iterable[Mapping[str, Any]]) -> None:
        # Dropped utterances can't be heard.
        heard = [one for one in utterances if one["status"] != "dropped" and is_number(one["start"])]
        source, rebuilt = (
            [Timed(one["channel"], one[f"{edge}start"], one[f"{edge}end"]) for one in heard]
            for edge in ("source_", "")
        )
        knows_source = all(is_number(one.start) and is_number(one.end) for one in source)
        groups = turns.joined(source if knows_source else rebuilt)
        if knows_source:
            events = [one["source_event"] for one in heard]
            self.before.add(source, groups, events, row["source_duration"] or 0.0)
        if self.rebuilt:
            self.after.add(rebuilt, groups, [one["event"] for one in heard], row["duration"] or 0.0)


def quantile(counts: Mapping[int, int], share: float) -> float:
    """The value of bins below which `share` of the counts lies; NaN without any."""
    total, reached = sum(counts.values()), 0
    for value in sorted(counts):
        reached += counts[value]
        if reached >= share * total:
            return float(value)
    return math.nan


def count(counts: Counter[Any], key: Any, other: Any) -> None:
    """Count a key, or `other` where there are `MAX_REASONS` kinds already."""
    counts[key if key in counts or len(counts) < MAX_REASONS else other] += 1


def cell(value: float, side: float, limit: float) -> int:
    """The number of the cell that a value lies in; what lies beyond the limits is in the first or the last."""
    return max(0, min(math.floor(value / side + 1e-6), round(limit / side) - 1))
