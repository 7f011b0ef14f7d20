"""What the report of an expressive corpus counts, clip by clip.

Three hours are told apart: recorded (clips, without copies), in training (of these, what trains), and seen (what
trains, copies too, each as often as the manifest names it). Of every clip a few words stay in memory, never its
sound.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dailytalk_contiguous.core.balance import LEAST_HOURS, Clip, Shortfall, plan_balance
from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.finished_clip import own_seconds
from dailytalk_contiguous.core.quality import QualityLimits, failures
from dailytalk_contiguous.core.wording import kind_of
from dailytalk_contiguous.publish.reporting.plots import Axis
from dailytalk_contiguous.publish.reporting.tally import AFFECT_CELL, OTHER, cell, count

#: Along what clips are counted, and how each is named on a page.
DIMENSIONS = {
    "corpus": "Corpus",
    "emotion": "Emotion",
    "style": "Style",
    "speaker": "Speaker",
    "gender": "Gender",
    "sentence_type": "Sentence type",
    "length": "Length",
    "split": "Split",
}

#: What is written where a corpus doesn't tell.
UNKNOWN = "not told"

#: Columns of a clip by which samples are chosen.
_CHOSEN_BY = ("id", "emotion", "style", "speaker", "augmented_from")


@dataclass(frozen=True)
class Measure:
    """A measure of quality as it is plotted: its axis, the width of a bin, its factor, and its limits' names."""

    axis: Axis
    bin_width: float
    factor: float = 1.0
    least: str = ""
    most: str = ""

    def limits(self, given: QualityLimits) -> list[float]:
        """Its limits in units of the axis; those that are set."""
        values = [getattr(given, name) for name in (self.least, self.most) if name]
        return [value * self.factor for value in values if value is not None]


MEASURES = {
    "duration": Measure(Axis("length (s)", 0, 32, 4), 0.5, least="shortest", most="longest"),
    "snr_db": Measure(Axis("signal-to-noise ratio (dB)", -10, 80, 10), 2.0, least="lowest_snr_db"),
    "clipping_ratio": Measure(Axis("clipped samples (%)", 0, 2, 0.5), 0.05, 100.0, most="most_clipping"),
    "bandwidth_hz": Measure(Axis("bandwidth (kHz)", 0, 24, 4), 0.5, 0.001, least="lowest_bandwidth_hz"),
    "speech_ratio": Measure(Axis("share of speech (%)", 0, 100, 20), 2.5, 100.0, least="lowest_speech_ratio"),
    "silence_seconds": Measure(Axis("longest silence inside (s)", 0, 4, 0.5), 0.1, most="longest_silence"),
}


@dataclass
class Group:
    """Clips of one kind: recordings, their seconds, copies, and seconds seen in training."""

    clips: int = 0
    seconds: float = 0.0
    copies: int = 0
    seen: float = 0.0


@dataclass
class CorpusTally:
    """Everything that the page tells; `limits` are those of the run, or the defaults.

    Attributes:
        by: of each of `DIMENSIONS`, a group for each value.
        before: seconds by emotion that could train before balancing, where the run tells.
        target: seconds that every emotion should have: those of the run, or half an hour.
        all: all clips. training: seconds recorded by emotion that train.
        affect: clips by emotion in cells of valence and arousal.
        measured: number of clips measured; bins: of each measure, numbers by the lower edge of the bin.
        unknown: of each measure, how many have none. outside: how many are beyond its limits.
        refused: clips beyond any limit.
        unit: what is counted: `clip`, or `file` in a mix, where a conversation counts too.
    """

    limits: QualityLimits = field(default_factory=QualityLimits)
    before: Mapping[str, float] = field(default_factory=dict)
    target: float = 3600 * LEAST_HOURS
    by: dict[str, dict[str, Group]] = field(default_factory=lambda: {name: {} for name in DIMENSIONS})
    all: Group = field(default_factory=Group)
    training: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    affect: dict[str, Counter[tuple[int, int]]] = field(default_factory=lambda: defaultdict(Counter))
    licences: dict[str | None, Group] = field(default_factory=dict)
    rejects: Counter[tuple[str, str]] = field(default_factory=Counter)
    measured: int = 0
    bins: dict[str, Counter[float]] = field(default_factory=lambda: defaultdict(Counter))
    unknown: Counter[str] = field(default_factory=Counter)
    outside: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    chosen_by: list[dict[str, Any]] = field(default_factory=list)
    balanced: list[Clip] = field(default_factory=list)
    unit: str = "clip"

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a finished clip or copy."""
        copy = row["augmented_from"] is not None
        groups = [self.by[name].setdefault(row[name] or UNKNOWN, Group()) for name in DIMENSIONS]
        groups += [self.all, self.licences.setdefault(row["licence"], Group())]
        trains = row["split"] == "train"
        weight = 1.0 if row["weight"] is None else row["weight"]
        seconds = own_seconds(row)
        for group in groups:
            group.clips += not copy
            group.copies += copy
            group.seconds += 0.0 if copy else seconds
            group.seen += weight * seconds if trains else 0.0
        self.chosen_by.append({name: row[name] for name in _CHOSEN_BY})
        if copy:
            return
        if trains:
            self.training[row["emotion"] or UNKNOWN] += seconds
            told = [row[name] for name in ("emotion", "style", "sentence_type", "length", "speaker")]
            self.balanced.append(Clip._make((row["id"], *told, seconds, ())))
        valence, arousal = ((row["affect"] or {}).get(name) for name in ("valence", "arousal"))
        if is_number(valence) and is_number(arousal):
            place = cell(valence, AFFECT_CELL, 1.0), cell(arousal, AFFECT_CELL, 1.0)
            self.affect[row["emotion"] or UNKNOWN][place] += 1

    def add_measured(self, row: Mapping[str, Any]) -> None:
        """Count the measures of a clip, kept or not."""
        self.measured += 1
        known = {name: row[name] if is_number(row[name]) else None for name in MEASURES}
        for name, measure in MEASURES.items():
            value = known[name]
            if value is None:
                self.unknown[name] += 1
                continue
            axis, width = measure.axis, measure.bin_width
            place = int((value * measure.factor - axis.low) / width + 1e-9)
            last = round((axis.high - axis.low) / width) - 1
            self.bins[name][round(axis.low + width * max(0, min(place, last)), 6)] += 1
            alone = dict.fromkeys(MEASURES) | {name: value}
            self.outside[name] += bool(failures(alone, self.limits))
        self.refused += bool(failures(known, self.limits))

    def add_reject(self, reject: Mapping[str, str]) -> None:
        """Count a line of rejects.jsonl by its stage and the kind of its reason."""
        count(self.rejects, (reject["stage"], kind_of(reject["reason"])), (reject["stage"], OTHER))

    def recorded(self, emotion: str) -> float:
        """Seconds of an emotion that could train: before balancing left any out, if it did."""
        return max(self.training.get(emotion, 0.0), self.before.get(emotion, 0.0))

    def shortfalls(self) -> list[Shortfall]:
        """Emotions whose recordings that could train are under the target, and what is thinnest among them."""
        if not self.balanced:
            return []
        names = {*self.by["emotion"], *self.before} - {UNKNOWN, "other"}
        found = plan_balance(self.balanced, self.target / 3600, "sample", 0, sorted(names)).shortfalls
        known = [one._replace(seconds=self.target - self.recorded(one.emotion)) for one in found]
        return [one for one in known if one.seconds > 0]
