"""Figures of many rows in one pass: of conversations, of clips, and for the dataset card."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dailytalk_contiguous.core import turns
from dailytalk_contiguous.core.documents import expect, is_number, parse_json
from dailytalk_contiguous.core.licensing import Origin
from dailytalk_contiguous.core.quality import QualityLimits, failures
from dailytalk_contiguous.core.sampling import LEAST_HOURS, BalanceItem, Shortfall, plan_balance
from dailytalk_contiguous.core.schema import PROSODY, own_seconds
from dailytalk_contiguous.core.turns import Timed
from dailytalk_contiguous.core.wording import kind_of
from dailytalk_contiguous.publish.plots import Axis

# Statistics of a report, conversation by conversation, so that a corpus of any size takes the same memory.
#
# No utterance is kept: distributions are counts in bins that are too narrow to see in a plot (offsets in
# hundredths of a second), and quantiles are read from these bins.


#: Bins of offsets a second, and the seconds beyond which an offset counts as just that long.
OFFSET_BINS, OFFSET_LIMIT = 100, 30.0

#: Sides of a cell in the map of valence and arousal, and in the one of lengths (seconds), and its last length.
AFFECT_CELL, LENGTH_CELL, LENGTH_LIMIT = 0.04, 0.5, 12.0

#: Kinds of reasons that are counted separately; further ones are counted together.
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
        """Count one conversation. Missing events are derived from the times."""
        derived = turns.label(timed, groups)
        self.events.update(event or worked for event, worked in zip(events, derived, strict=True))
        for offset in turns.turn_offsets(turns.stretches(timed, groups)):
            self.offsets[round(max(-OFFSET_LIMIT, min(OFFSET_LIMIT, offset)) * OFFSET_BINS)] += 1
        self.overlap_seconds += turns.overlap_seconds(timed)
        self.speech_seconds += sum(turn.end - turn.start for turn in timed)
        self.seconds += seconds


@dataclass
class Tally:
    """All statistics of a page of conversations; `rebuilt` as in `publish.items.Items`."""

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
        """Count a row of `core.schema.BUILT`."""
        utterances = row["utterances"] or ()
        self.conversations += 1
        self.utterances += len(utterances)
        self.words += len(row["alignments"] or ())
        self.seconds += row["duration"] or 0.0
        self.languages[row["language"] or "unknown"] += 1
        self.word_sources.update(word["source"] or "unknown" for word in row["alignments"] or ())
        for utterance in utterances:
            self._add_utterance(utterance)
        self._add_turns(row, utterances)
        measures = row["timeline"] or {}
        self.backchannels += measures.get("backchannels") or 0
        self.backchannels_kept += measures.get("backchannels_kept") or 0
        lost = (measures.get("lost_speech_seconds"), measures.get("lost_sound_seconds"))
        self.lost_seconds += sum(value for value in lost if is_number(value))

    def add_reject(self, reject: Mapping[str, str]) -> None:
        """Count a line of rejects.jsonl by its stage and the kind of its reason."""
        count(self.rejects, (reject["stage"], kind_of(reject["reason"])), (reject["stage"], OTHER))

    def _add_utterance(self, utterance: Mapping[str, Any]) -> None:
        self.channels[utterance["channel"]] += 1
        if utterance["tag"]:
            self.tags[utterance["tag"]][utterance["channel"]] += 1
        for name in BUCKETED:
            if utterance.get(f"{name}_bucket"):
                self.buckets[name][utterance[f"{name}_bucket"]] += 1
        if is_number(utterance["valence"]) and is_number(utterance["arousal"]):
            bin_ = (cell(utterance["valence"], AFFECT_CELL, 1.0), cell(utterance["arousal"], AFFECT_CELL, 1.0))
            self.affect[bin_][utterance["tag"] or "no tag"] += 1
        if utterance["status"]:
            self.statuses[utterance["status"]] += 1
        if utterance["reason"]:
            count(self.reasons, kind_of(utterance["reason"]), OTHER)
        if utterance["synthesis"]:
            self._add_synthesis(utterance, utterance["synthesis"])

    def _add_synthesis(self, utterance: Mapping[str, Any], synthesis: Mapping[str, Any]) -> None:
        self.voices[" · ".join(synthesis[name] for name in ("engine", "model", "voice") if synthesis[name])] += 1
        if (
            synthesis["cache_key"] is None or synthesis["cache_key"] not in self.bought
        ):  # two utterances of one cached line were bought once
            self.bought.add(synthesis["cache_key"])
            self.cost += synthesis["cost"] if is_number(synthesis["cost"]) else 0.0
        self.n_retried += (synthesis["tries"] or 1) > 1
        if is_number(synthesis["word_error_rate"]):
            self.error_rates[round(100 * synthesis["word_error_rate"])] += 1
        times = (utterance["source_start"], utterance["source_end"], utterance["start"], utterance["end"])
        if utterance["status"] == "spoken" and all(map(is_number, times)) and times[1] > times[0]:
            source, new = times[1] - times[0], times[3] - times[2]
            self.lengths[cell(source, LENGTH_CELL, LENGTH_LIMIT), cell(new, LENGTH_CELL, LENGTH_LIMIT)] += 1
            self.ratios[round(100 * new / source)] += 1

    def _add_turns(self, row: Mapping[str, Any], utterances: Iterable[Mapping[str, Any]]) -> None:
        # Dropped utterances are not in the audio.
        audible = [
            utterance
            for utterance in utterances
            if utterance["status"] != "dropped" and is_number(utterance["start"])
        ]
        source, rebuilt = (
            [
                Timed(utterance["channel"], utterance[f"{edge}start"], utterance[f"{edge}end"])
                for utterance in audible
            ]
            for edge in ("source_", "")
        )
        knows_source = all(is_number(utterance.start) and is_number(utterance.end) for utterance in source)
        groups = turns.join_spans(source if knows_source else rebuilt)
        if knows_source:
            events = [utterance["source_event"] for utterance in audible]
            self.before.add(source, groups, events, row["source_duration"] or 0.0)
        if self.rebuilt:
            self.after.add(rebuilt, groups, [utterance["event"] for utterance in audible], row["duration"] or 0.0)


def quantile(counts: Mapping[int, int], share: float) -> float:
    """The value of bins below which `share` of the counts is; NaN without any."""
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
    """The number of the cell that a value is in; what is beyond the limits is in the first or the last."""
    return max(0, min(math.floor(value / side + 1e-6), round(limit / side) - 1))


# Statistics of the report of an expressive corpus, clip by clip.
#
# There are three kinds of hours: recorded (clips, without copies), in training (of these, what trains), and seen
# (what trains, copies too, each as often as the manifest names it). Only a few words on every clip stay in memory,
# never its sound.


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

#: The text where a corpus doesn't say.
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

    def limits(self, all_limits: QualityLimits) -> list[float]:
        """Its limits in units of the axis; those that are set."""
        values = [getattr(all_limits, name) for name in (self.least, self.most) if name]
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
    """All statistics of the page; `limits` are those of the run, or the defaults.

    Attributes:
        by: of each of `DIMENSIONS`, a group for each value.
        before: seconds by emotion that could train before balancing, if the run records them.
        target: seconds that every emotion should have: those of the run, or half an hour.
        all: all clips. training: seconds recorded by emotion that train.
        affect: clips by emotion in cells of valence and arousal.
        measured: number of clips measured; bins: of each measure, numbers by the lower edge of the bin.
        unknown: of each measure, how many have none. outside: how many are beyond its limits.
        refused: clips beyond any limit.
        unit: `clip`, or `file` in a mix, which may have conversations too.
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
    balanced: list[BalanceItem] = field(default_factory=list)
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
            labels = [row[name] for name in ("emotion", "style", "sentence_type", "length", "speaker")]
            self.balanced.append(BalanceItem._make((row["id"], *labels, seconds, ())))
        valence, arousal = ((row["affect"] or {}).get(name) for name in ("valence", "arousal"))
        if is_number(valence) and is_number(arousal):
            bin_ = cell(valence, AFFECT_CELL, 1.0), cell(arousal, AFFECT_CELL, 1.0)
            self.affect[row["emotion"] or UNKNOWN][bin_] += 1

    def add_measured(self, row: Mapping[str, Any]) -> None:
        """Count the measures of a clip, kept or not."""
        self.measured += 1
        values = {name: row[name] if is_number(row[name]) else None for name in MEASURES}
        for name, measure in MEASURES.items():
            value = values[name]
            if value is None:
                self.unknown[name] += 1
                continue
            axis, width = measure.axis, measure.bin_width
            bin_ = int((value * measure.factor - axis.low) / width + 1e-9)
            last = round((axis.high - axis.low) / width) - 1
            self.bins[name][round(axis.low + width * max(0, min(bin_, last)), 6)] += 1
            alone = dict.fromkeys(MEASURES) | {name: value}
            self.outside[name] += bool(failures(alone, self.limits))
        self.refused += bool(failures(values, self.limits))

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
        planned = plan_balance(self.balanced, self.target / 3600, "sample", 0, sorted(names)).shortfalls
        missing = [
            shortfall._replace(seconds=self.target - self.recorded(shortfall.emotion)) for shortfall in planned
        ]
        return [shortfall for shortfall in missing if shortfall.seconds > 0]


# Statistics of a card, counted in one pass over the rows of a version that reads no audio.
#
# Turn-taking, tags, affect and buckets are counted as in the report; hours by split, speaker, tag and length,
# prosody and provenance are counted here. No utterance is kept.


#: Columns of `conversations` that are read: all except the audio.
COLUMNS = (
    *("conversation_id", "recording_id", "duration", "source_duration", "language", "utterances", "alignments"),
    *("sounds", "speakers", "timeline", "provenance"),
)

#: The name of unnamed speakers.
UNNAMED = "(not named)"


class Rows(Protocol):
    """A version whose rows can be read (see `publish.version`)."""

    def rows(self, config: str, columns: Sequence[str]) -> Iterable[tuple[str, Mapping[str, Any]]]:
        """Split and row of each row of a config, with these columns."""


@dataclass
class Sum:
    """Conversations, utterances and seconds of something."""

    conversations: int = 0
    utterances: int = 0
    words: int = 0
    seconds: float = 0.0


@dataclass
class Moments:
    """Mean and deviation of a measure, of which only sums are kept."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0
    low: float = math.inf
    high: float = -math.inf

    def add(self, value: float | None) -> None:
        """Count a value; null is none."""
        if is_number(value):
            self.n += 1
            self.total += value
            self.squares += value * value
            self.low, self.high = min(self.low, value), max(self.high, value)

    @property
    def mean(self) -> float:
        """The mean, or NaN without values."""
        return self.total / self.n if self.n else math.nan

    @property
    def deviation(self) -> float:
        """The standard deviation, or NaN without values."""
        return math.sqrt(max(0.0, self.squares / self.n - self.mean**2)) if self.n else math.nan


@dataclass
class CardStatistics:
    """All statistics of a card.

    Attributes:
        tally: counts of all conversations together.
        splits: sums by split.
        speakers: sums by name and by whether it is a synthesised voice (`seconds` of speech).
        tags, tagged: seconds of speech by tag, then by channel; utterances by tag.
        lengths: conversations by whole seconds.
        prosody: measures by name.
        affect: valence, arousal and dominance.
        models: those of the provenance, with the number of conversations that they made.
        sources: name and licence of where recordings are from, with the conversations of each.
        tools, voices, settings: those of the provenance, with conversations.
        shared: kept speakers by name, with the splits in which they are heard.
    """

    tally: Tally = field(default_factory=lambda: Tally(rebuilt=True))
    splits: dict[str, Sum] = field(default_factory=lambda: defaultdict(Sum))
    speakers: dict[tuple[str, bool], Sum] = field(default_factory=lambda: defaultdict(Sum))
    tags: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(float)))
    tagged: Counter[str] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)
    prosody: dict[str, Moments] = field(default_factory=lambda: {name: Moments() for name in PROSODY})
    affect: dict[str, Moments] = field(
        default_factory=lambda: {name: Moments() for name in ("valence", "arousal", "dominance")}
    )
    languages: Counter[str] = field(default_factory=Counter)
    models: Counter[Origin] = field(default_factory=Counter)
    sources: Counter[tuple[str | None, str | None]] = field(default_factory=Counter)
    tools: Counter[str] = field(default_factory=Counter)
    voices: Counter[str] = field(default_factory=Counter)
    settings: Counter[str] = field(default_factory=Counter)
    shared: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, split: str, row: Mapping[str, Any]) -> None:
        """Count a row of the config `conversations`."""
        self.tally.add(row)
        utterances = row["utterances"] or ()
        sums = self.splits[split]
        sums.conversations += 1
        sums.utterances += len(utterances)
        sums.words += len(row["alignments"] or ())
        sums.seconds += row["duration"] or 0.0
        self.lengths[math.floor(row["duration"] or 0.0)] += 1
        if row["language"] not in (None, "", "und"):
            self.languages[row["language"]] += 1
        self._add_provenance(row["provenance"] or {})
        kept_speaker = (row["speakers"] or {}).get("right")
        if kept_speaker:
            self.shared[kept_speaker].add(split)
        self._add_utterances(utterances, kept_speaker or UNNAMED)

    def _add_utterances(self, utterances: Iterable[Mapping[str, Any]], kept_speaker: str) -> None:
        by_speaker: dict[tuple[str, bool], Sum] = defaultdict(Sum)
        for utterance in utterances:
            for name, moments in {**self.prosody, **self.affect}.items():
                moments.add(utterance[name])
            if utterance["status"] == "dropped" or not (
                is_number(utterance["start"]) and is_number(utterance["end"])
            ):
                continue
            seconds = utterance["end"] - utterance["start"]
            tag = utterance["tag"] or "(no tag)"
            self.tags[tag][utterance["channel"]] += seconds
            self.tagged[tag] += 1
            speaker = by_speaker[_speaker(utterance, kept_speaker)]
            speaker.utterances += 1
            speaker.seconds += seconds
        for key, spoken in by_speaker.items():
            sums = self.speakers[key]
            sums.conversations += 1
            sums.utterances += spoken.utterances
            sums.seconds += spoken.seconds

    def _add_provenance(self, record: Mapping[str, Any]) -> None:
        self.sources[record.get("source"), record.get("source_licence")] += 1
        self.tools[record.get("tool") or "unknown"] += 1
        self.voices[record.get("voice") or ""] += 1
        self.settings[record.get("settings") or "{}"] += 1
        for model in record.get("models") or ():
            self.models[
                Origin(model["role"] or "", model["name"] or "", model["licence"], model["url"] or "")
            ] += 1

    @property
    def decided(self) -> Iterator[tuple[str, Any]]:
        """Settings of the synthesis and the timeline that all conversations share; of others, all values."""
        values: dict[str, dict[str, None]] = defaultdict(dict)
        for text in sorted(self.settings):
            for name, value in _settings(text).items():
                values[name][json.dumps(value, ensure_ascii=False)] = None
        for name in sorted(values):
            yield name, [json.loads(text) for text in values[name]]


def statistics_of(version: Rows, rejects: Iterable[Mapping[str, str]]) -> CardStatistics:
    """Read a version's conversations once, and what was rejected on the way to it."""
    stats = CardStatistics()
    for split, row in version.rows("conversations", COLUMNS):
        stats.add(split, row)
    for reject in rejects:
        stats.tally.add_reject({"stage": reject["stage"], "reason": reject["reason"]})
    return stats


def _settings(text: str) -> dict[str, Any]:
    settings: dict[str, Any] = expect(parse_json(text, "settings"), dict, "settings")
    return settings


def _speaker(utterance: Mapping[str, Any], kept_speaker: str) -> tuple[str, bool]:
    """Whose voice an utterance is in, and whether it was synthesised."""
    if utterance["status"] == "spoken":
        synthesis = utterance["synthesis"] or {}
        names = (synthesis.get(name) for name in ("engine", "model", "voice"))
        return " · ".join(filter(None, names)) or "unknown", True
    return (kept_speaker if utterance["channel"] == "right" else f"{UNNAMED}, left as recorded"), False
