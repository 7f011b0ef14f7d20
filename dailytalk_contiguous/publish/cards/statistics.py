"""What a card tells of the rows of a version, counted in one pass that reads no audio.

Turn-taking, tags, affect and buckets are counted as the report counts them (`publish.reporting.tally`); hours by
split, speaker, tag and length, prosody, and where things come from are counted here. Nothing keeps an utterance.
"""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dailytalk_contiguous.core.documents import expect, is_number, parse_json
from dailytalk_contiguous.core.licensing import Origin
from dailytalk_contiguous.core.schema import PROSODY
from dailytalk_contiguous.publish.reporting.tally import Tally

#: Columns of `conversations` that are read: all but the audio.
COLUMNS = (
    *("conversation_id", "recording_id", "duration", "source_duration", "language", "utterances", "alignments"),
    *("sounds", "speakers", "timeline", "provenance"),
)

#: Names of speakers that nobody told.
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
    """All that a card says of the rows.

    Attributes:
        tally: counts of all conversations together.
        splits: sums by split.
        speakers: sums by name and by whether it is a synthesised voice (`seconds` of speech).
        tags, tagged: seconds of speech by tag, then by channel; utterances by tag.
        lengths: conversations by whole seconds.
        prosody: measures by name.
        affect: valence, arousal and dominance.
        models: as provenance tells them, with the conversations that they had a part in.
        sources: name and licence of where recordings are from, with the conversations of each.
        tools, voices, settings: what provenance says, with conversations.
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
        own = self.splits[split]
        own.conversations += 1
        own.utterances += len(utterances)
        own.words += len(row["alignments"] or ())
        own.seconds += row["duration"] or 0.0
        self.lengths[math.floor(row["duration"] or 0.0)] += 1
        if row["language"] not in (None, "", "und"):
            self.languages[row["language"]] += 1
        self._add_provenance(row["provenance"] or {})
        kept = (row["speakers"] or {}).get("right")
        if kept:
            self.shared[kept].add(split)
        self._add_utterances(utterances, kept or UNNAMED)

    def _add_utterances(self, utterances: Iterable[Mapping[str, Any]], kept: str) -> None:
        heard: dict[tuple[str, bool], Sum] = defaultdict(Sum)
        for one in utterances:
            for name, moments in {**self.prosody, **self.affect}.items():
                moments.add(one[name])
            if one["status"] == "dropped" or not (is_number(one["start"]) and is_number(one["end"])):
                continue
            seconds = one["end"] - one["start"]
            tag = one["tag"] or "(no tag)"
            self.tags[tag][one["channel"]] += seconds
            self.tagged[tag] += 1
            speaker = heard[_speaker(one, kept)]
            speaker.utterances += 1
            speaker.seconds += seconds
        for key, found in heard.items():
            sums = self.speakers[key]
            sums.conversations += 1
            sums.utterances += found.utterances
            sums.seconds += found.seconds

    def _add_provenance(self, told: Mapping[str, Any]) -> None:
        self.sources[told.get("source"), told.get("source_licence")] += 1
        self.tools[told.get("tool") or "unknown"] += 1
        self.voices[told.get("voice") or ""] += 1
        self.settings[told.get("settings") or "{}"] += 1
        for model in told.get("models") or ():
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
    found = CardStatistics()
    for split, row in version.rows("conversations", COLUMNS):
        found.add(split, row)
    for reject in rejects:
        found.tally.add_reject({"stage": reject["stage"], "reason": reject["reason"]})
    return found


def _settings(text: str) -> dict[str, Any]:
    settings: dict[str, Any] = expect(parse_json(text, "settings"), dict, "settings")
    return settings


def _speaker(one: Mapping[str, Any], kept: str) -> tuple[str, bool]:
    """Whose voice an utterance is in, and whether it was synthesised."""
    if one["status"] == "spoken":
        made = one["synthesis"] or {}
        return " · ".join(made[name] for name in ("engine", "model", "voice") if made.get(name)) or "unknown", True
    return (kept if one["channel"] == "right" else f"{UNNAMED}, left as recorded"), False
