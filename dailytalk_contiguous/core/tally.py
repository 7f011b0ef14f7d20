"""Statistics of rows in one pass: counts, histograms, means and grids, and the tally that is made of them.

No row is kept, so that memory grows with the names in a dataset and not with its hours: values are counted in bins
that are too narrow to see in a plot, and quantiles are read from these bins. A clip is counted as a conversation
of one utterance with labels, so that what is shown of conversations can be shown of clips, and both compared.
"""

import heapq
import json
import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

import numpy as np

from dailytalk_contiguous.core.documents import expect, fits, has_length, is_number, parse_json
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.licensing import Origin
from dailytalk_contiguous.core.loudness import decibels
from dailytalk_contiguous.core.schema import (
    COLUMNS,
    TIMELINE_MEANS,
    has_recorded_voices,
    is_recorded,
    kept_speakers,
    own_seconds,
    parent_of,
)
from dailytalk_contiguous.core.scorecard import TurnTaking
from dailytalk_contiguous.core.sentences import length_class, sentence_type
from dailytalk_contiguous.core.tags import STYLE_OF_TAG
from dailytalk_contiguous.core.turns import TURN_MEASURES, timed_conversations
from dailytalk_contiguous.core.utterance import (
    AFFECT,
    PROSODY,
    Field,
    columns_among,
    heard_utterances,
    no_text_reason,
)
from dailytalk_contiguous.core.wording import kind_of

_K = TypeVar("_K", bound=Hashable)

_INF = math.inf

#: Share of a bin that a value may be under its lower edge: floats do not meet edges.
_ROUNDING = 1e-6

#: Values that a histogram counts at once.
_COUNTED_AT_ONCE = 1024

#: Kinds that are counted separately; further ones are counted together.
MAX_KINDS = 50
OTHER_KINDS = "other reasons"

#: Values of a label (of which speakers have the most) that are counted separately, and what the others are called.
MAX_VALUES = 50_000
OTHER_VALUES = "others"


#: Characters of a value of a published column that are shown.
LONGEST_VALUE = 100


class LimitedCounter(Counter[_K]):
    """Counts of `MAX_KINDS` kinds at most, and of what comes after them under another name.

    >>> counts = LimitedCounter()
    >>> counts.add("it is too short", OTHER_KINDS)
    >>> counts
    LimitedCounter({'it is too short': 1})
    """

    def add(self, key: _K, other: _K) -> None:
        """Count a key, or `other` where there are `MAX_KINDS` keys already."""
        self[key if key in self or len(self) < MAX_KINDS else other] += 1


@dataclass(slots=True)
class Histogram:
    """Counts of values in bins of one width.

    >>> lengths = Histogram(0.5, 0.0, 12.0)
    >>> for seconds in (0.7, 0.9, 80.0):
    ...     lengths.add(seconds)
    >>> lengths.counts, lengths.quantile(0.5)
    (Counter({1: 2, 23: 1}), 0.5)

    Attributes:
        width: of a bin, in the unit of the values.
        low, high: ends, multiples of the width; what is beyond them is in the outer bins.
        nearest: bins have the multiples of the width as their centres, not as their lower edges, so that a
            quantile is not below the value that it represents.
    """

    width: float
    low: float = -math.inf
    high: float = math.inf
    nearest: bool = False
    _counts: Counter[int] = field(default_factory=Counter, init=False, repr=False)
    _sum: float = field(default=0.0, init=False, repr=False)
    _waiting: list[float | None] = field(default_factory=list, init=False, repr=False)

    def add(self, *values: float | None) -> None:
        """Count values; what is not a number is not counted."""
        self._waiting += values
        if len(self._waiting) >= _COUNTED_AT_ONCE:
            self._count()

    def _count(self) -> None:
        """Count what waits: a dataset has millions of values, and numpy counts many of them at once."""
        if not self._waiting:
            return
        known = [value for value in self._waiting if is_number(value)]
        self._waiting.clear()
        self.add_known(known)

    def add_known(self, known: Sequence[float]) -> None:
        """Count numbers at once."""
        self._sum = math.fsum((self._sum, *known))
        with np.errstate(over="ignore"):  # what is beyond any bin is beyond the ends, too
            bins = np.array(known, np.float64) / self.width
        numbers = np.rint(bins) if self.nearest else np.floor(bins + _ROUNDING)
        first, last = np.rint(np.array((self.low, self.high)) / self.width)
        distinct, counts = np.unique(np.clip(numbers, first, last - (not self.nearest)), return_counts=True)
        self._counts.update(dict(zip(map(int, distinct.tolist()), counts.tolist(), strict=True)))

    @property
    def counts(self) -> Counter[int]:
        """Counts by the number of the bin, which counts from 0."""
        self._count()
        return self._counts

    @property
    def sum(self) -> float:
        self._count()
        return self._sum

    def joined(self, others: Iterable["Histogram"]) -> "Histogram":
        """This one and others with the same bins, as one."""
        histograms = (self, *others)
        whole = replace(self)
        whole._counts = sum((part.counts for part in histograms), Counter())
        whole._sum = math.fsum(part.sum for part in histograms)
        return whole

    @property
    def n(self) -> int:
        return self.counts.total()

    def quantile(self, share: float, above: float = -math.inf) -> float:
        """The bin, as its lower edge or centre, up to which `share` of the values are; NaN without any.

        Only bins `above` a value count.
        """
        counts = self.counts
        numbers = sorted(counts if above == -math.inf else [n for n in counts if n * self.width > above])
        total, reached = sum([counts[number] for number in numbers]), 0
        for number in numbers:
            reached += counts[number]
            if reached >= share * total:
                return number * self.width
        return math.nan

    def share_near(self, value: float, reach: float) -> float:
        """Share in [0, 1] of the values whose bin is within `reach` of a value; NaN without any."""
        first, last = (round((value + side * reach) / self.width) for side in (-1, 1))
        near = sum([n for number, n in self.counts.items() if first <= number <= last])
        return near / self.n if self.n else math.nan

    def shares(self, low: float, high: float, width: float) -> dict[float, float]:
        """Shares in [0, 1] of all values by the lower edges of wider bins; the outer ones hold what is beyond.

        Empty without any value.
        """
        bins: Counter[int] = Counter()
        last = round((high - low) / width) - 1
        for number, n in self.counts.items():
            bins[max(0, min(last, math.floor((number * self.width - low) / width + _ROUNDING)))] += n
        return {round(low + width * number, 6): n / self.n for number, n in sorted(bins.items())}


@dataclass(slots=True)
class Moments:
    """Mean, standard deviation and range of numbers that are seen once (Welford 1962, Technometrics 4:419)."""

    n: int = 0
    mean: float = math.nan
    squares: float = 0.0
    low: float = math.inf
    high: float = -math.inf

    def add(self, *values: float | None) -> None:
        for value in values:
            if (type(value) is float and -_INF < value < _INF) or is_number(value):  # few need the call
                self.n = n = self.n + 1
                before = 0.0 if n == 1 else self.mean
                distance = value - before
                self.mean = mean = before + distance / n
                self.squares += distance * (value - mean)
                if value < self.low:
                    self.low = value
                if value > self.high:
                    self.high = value

    @property
    def deviation(self) -> float:
        return math.sqrt(self.squares / self.n) if self.n else math.nan


@dataclass(slots=True)
class CountGrid:
    """Counts of pairs of values in square cells from 0 to a limit; what is beyond is in the first or last cell."""

    width: float
    limit: float
    counts: Counter[tuple[int, int]] = field(default_factory=Counter)
    _last: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._last = round(self.limit / self.width) - 1

    def add(self, x: float | None, y: float | None) -> None:
        if is_number(x) and is_number(y):
            column, line = self._cell(x), self._cell(y)
            self.counts[column, line] += 1

    def _cell(self, value: float) -> int:
        """The number of a value's cell; what is far beyond the limit can't be divided."""
        if not 0.0 <= value < self.limit:
            return self._last if value > 0 else 0
        return min(math.floor(value / self.width + _ROUNDING), self._last)

    @property
    def n(self) -> int:
        return self.counts.total()

    def points(self) -> Iterator[tuple[float, float, int]]:
        """Centre and count of each cell that has any."""
        for (x, y), n in self.counts.items():
            yield (x + 0.5) * self.width, (y + 0.5) * self.width, n


@dataclass(slots=True)
class Sum:
    """How much there is of something.

    Attributes:
        conversations: of clips: recorded clips.
        utterances, words: in these; of a voice or a tag, the utterances that have it.
        seconds: of audio; of what utterances have, of speech.
        copies, copied: augmented copies of clips, which count nowhere above, and their seconds.
        seen: seconds that are seen in training: of clips and copies, each as often as it is listed.
        left, right: seconds of speech on each channel.
    """

    conversations: int = 0
    utterances: int = 0
    words: int = 0
    seconds: float = 0.0
    copies: int = 0
    seen: float = 0.0
    left: float = 0.0
    right: float = 0.0
    copied: float = 0.0

    def add_utterance(self, seconds: float, channel: str) -> None:
        self.utterances += 1
        self.seconds += seconds
        if channel == "left":
            self.left += seconds
        else:
            self.right += seconds

    def add(self, other: "Sum") -> None:
        for name in self.__dataclass_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


def total(sums: Iterable[Sum]) -> Sum:
    whole = Sum()
    for part in sums:
        whole.add(part)
    return whole


class Purchases:
    """The amount paid, each purchase counted once however often its line is spoken.

    Takes 16 bytes an utterance that cost something (57 while they are summed), because a corpus has millions: a
    purchase is known by 64 bits of its key. Ten million of these all differ, except in one case of 300,000.
    """

    def __init__(self) -> None:
        self._keys, self._costs = array("q"), array("d")

    def add(self, key: str | None, cost: float) -> None:
        """Count a purchase in USD by its key in the cache; one without a key is another each time."""
        self._keys.append(hash(key or ("without a key", len(self._keys))))
        self._costs.append(cost)

    @property
    def total(self) -> float:
        _, first = np.unique(np.asarray(self._keys), return_index=True)
        return math.fsum(np.asarray(self._costs)[first])


#: Lines that are named because their delivery is furthest from the source, or their side is least sure.
MOST_FAR = 10


class FarDelivery(NamedTuple):
    """An utterance whose take is far from its source, and its conversation, empty where the rows have no ids."""

    conversation_id: str
    utterance: Mapping[str, Any]


#: Sides of a cell of valence and arousal, and of lengths in seconds, with the last length.
AFFECT_CELL, LENGTH_CELL, LENGTH_LIMIT = 0.04, 0.5, 12.0

#: The width of a bin of confidence.
CONFIDENCE_BIN = 0.05

#: What is compared between the utterances of a tag and all of their speaker: a measure of `PROSODY`, and what
#: makes it dB, semitones, or a power of 2.
SPEAKER_MEASURES: dict[str, tuple[str, Callable[[float], float]]] = {
    "loudness": ("rms", decibels),
    "pitch": ("f0_mean", lambda hertz: 12 * math.log2(hertz)),
    "rate": ("speech_rate", math.log2),
}

#: What distinguishes synthesised voices.
_VOICE = ("engine", "model", "voice")

#: Before their names where the new voice is measured.
NEW_VOICE = "new_"

BUCKETED = ("valence", "arousal", "dominance", "energy", "rate", "zcr", "pitch", "pitch_var")
_BUCKETS = {name: f"{name}_bucket" for name in BUCKETED}
_MEASURES = (*AFFECT, *PROSODY)

#: The value of an unknown label, and the speaker of what is left in the voice that was to be replaced.
UNKNOWN, LEFT_AS_RECORDED = "unknown", "left as recorded"

#: Labels of recorded clips that are counted together: intended against perceived emotion, and who says what.
_CROSSED = (("emotion", "perceived"), ("gender", "emotion"), ("speaker", "emotion"))

#: Labels of a clip; those of an utterance are tag, style, sentence type, length and speaker or voice.
_CLIP_LABELS = (
    *("corpus", "emotion", "style", "style_source", "tag", "act", "speaker", "gender"),
    *("sentence_type", "length", "licence"),
)


@dataclass
class Tally:
    """All that is shown of a dataset of conversations or of clips.

    Attributes:
        fields: what stages of people's own publish; of its columns `published` has the counts or the moments, by
            name, beside the columns themselves.
        finished: whether conversations are finished ones; if not, utterances have their times in the source.
            recorded: how many of them are as they were recorded. recorded_voices: in how many both voices are.
        derived: how many were made of others, which are the `parents`. What was recorded of these counts once:
            `counted_before` are the ids of what is in `before`, each with what was made of it.
        total: all of it. heard: audible utterances (dropped ones are not), with seconds of speech.
        by: of each label, a sum for each of its values. Conversations have `language`, and `split` where one is
            known. Audible utterances have `tag`, `style`, `sentence_type`, `length`, and `speaker` or,
            where they were synthesised, `voice`. Clips have these, and `corpus`, `emotion`, `act`, `gender`,
            `licence`, `style_source` and `affect_source`. Both have `emotion_class` where a classifier was asked.
        measures: affect, prosody and `seconds` of utterances.
        affect: valence and arousal by emotion (clips) or tag (utterances).
        tag_measures: by tag, the measures of `SPEAKER_MEASURES` of its utterances, each less its speaker's mean in
            the conversation: dB, semitones, and for the rate the power of 2 by which it is another. Those of the
            new voice begin with `NEW_VOICE`, and are less the mean of this voice's takes there. A speaker's only
            utterance is compared with nothing, and left out.
        confidence: of the recogniser in utterances; null is not counted.
        before, after: turn-taking as recorded, and as rebuilt.
        durations: of conversations, in whole seconds.
        lengths: recorded and new length of each utterance that was resynthesised. ratios: of both.
        kinds, recognisers: of utterances. edited: how many of them people have corrected, `edited_fields` in which
            fields, `editors` who. without_text: why utterances have none, without figures.
        tags_said: whether the voice was given the tags of utterances that were resynthesised (`tag_said`).
        reasons: why utterances are not as they should be. rejects: by stage and kind of reason. knows_rejects:
            whether the place of the rows says what was rejected; a published dataset does not.
        lost: seconds of the recorded speaker's `speech` and `sound` that the rebuild lost.
        delivery: how far takes are from their sources, where that was measured, and `delivery_cosines` how alike
            to an encoder; `delivery_of` by tag, `furthest`
            the `MOST_FAR` lines that are furthest, a heap of their distance, a number of their own, and the line.
        timeline: the measures of `TIMELINE_MEANS` over conversations.
        splits_of: recorded speakers by name, with the splits in which they speak.
        models, sources, tools, voices, settings: those of the provenance, with numbers of conversations.
        crossed: of pairs of labels of recorded clips, and of `speaker` or `tag` and `emotion_class` of audible
            utterances, how many have which values. agreement: of the raters of clips.
        emotion_models: classifiers of emotion, with how many utterances or clips each was asked of.
        trained: clips that train, as `core.sampling.BalanceItem` has them. training: seconds of these by emotion.
    """

    finished: bool = True
    recorded: int = 0
    recorded_voices: int = 0
    derived: int = 0
    parents: set[str] = field(default_factory=set)
    counted_before: set[str] = field(default_factory=set)
    total: Sum = field(default_factory=Sum)
    heard: Sum = field(default_factory=Sum)
    by: dict[str, dict[str, Sum]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(Sum)))
    measures: dict[str, Moments] = field(
        default_factory=lambda: {name: Moments() for name in ("seconds", *AFFECT, *PROSODY)}
    )
    affect: dict[str, CountGrid] = field(default_factory=lambda: defaultdict(lambda: CountGrid(AFFECT_CELL, 1.0)))
    tag_measures: dict[str, dict[str, Moments]] = field(
        default_factory=lambda: defaultdict(
            lambda: {f"{prefix}{name}": Moments() for prefix in ("", NEW_VOICE) for name in SPEAKER_MEASURES}
        )
    )
    confidence: Histogram = field(default_factory=lambda: Histogram(CONFIDENCE_BIN, 0.0, 1.0))
    buckets: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    before: TurnTaking = field(default_factory=TurnTaking)
    after: TurnTaking = field(default_factory=TurnTaking)
    durations: Histogram = field(default_factory=lambda: Histogram(1.0))
    channels: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    tags_said: Counter[bool] = field(default_factory=Counter)
    word_sources: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    recognisers: Counter[str] = field(default_factory=Counter)
    without_text: Counter[str] = field(default_factory=Counter)
    edited: int = 0
    edited_fields: LimitedCounter[str] = field(default_factory=LimitedCounter)
    editors: set[str] = field(default_factory=set)
    reasons: LimitedCounter[str] = field(default_factory=LimitedCounter)
    rejects: LimitedCounter[tuple[str, str]] = field(default_factory=LimitedCounter)
    knows_rejects: bool = True
    lengths: CountGrid = field(default_factory=lambda: CountGrid(LENGTH_CELL, LENGTH_LIMIT))
    ratios: Histogram = field(default_factory=lambda: Histogram(0.01, nearest=True))
    error_rates: Histogram = field(default_factory=lambda: Histogram(0.01, nearest=True))
    delivery: Histogram = field(default_factory=lambda: Histogram(0.01, 0.0, 2.0, nearest=True))
    delivery_cosines: Histogram = field(default_factory=lambda: Histogram(0.01, -1.0, 1.0, nearest=True))
    delivery_of: dict[str, Moments] = field(default_factory=lambda: defaultdict(Moments))
    furthest: list[tuple[float, int, FarDelivery]] = field(default_factory=list)
    purchases: Purchases = field(default_factory=Purchases)
    n_retried: int = 0
    backchannels: int = 0
    backchannels_kept: int = 0
    lost: dict[str, float] = field(default_factory=lambda: {"speech": 0.0, "sound": 0.0})
    timeline: dict[str, Moments] = field(default_factory=lambda: {name: Moments() for name in TIMELINE_MEANS})
    splits_of: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    models: Counter[Origin] = field(default_factory=Counter)
    sources: Counter[tuple[str | None, str | None]] = field(default_factory=Counter)
    tools: Counter[str] = field(default_factory=Counter)
    voices: Counter[str] = field(default_factory=Counter)
    settings: Counter[str] = field(default_factory=Counter)
    training: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    trained: list[tuple[Any, ...]] = field(default_factory=list)
    fields: Sequence[Field] = ()
    published: dict[str, "LimitedCounter[str] | Moments"] = field(default_factory=dict)
    crossed: dict[tuple[str, str], Counter[tuple[str, str]]] = field(default_factory=lambda: defaultdict(Counter))
    agreement: Moments = field(default_factory=Moments)
    emotion_models: LimitedCounter[str] = field(default_factory=LimitedCounter)

    def add(self, row: Mapping[str, Any], split: str | None = None) -> None:
        """Count a conversation: a row of `core.schema.BUILT`, with or without audio, of a split where known.

        One with `labels` is a clip, which counts in the split that its row has.
        """
        self.add_made(row)
        if row.get("labels"):
            self._add_clip(row, row["labels"])
            return
        self._count_columns(row)
        utterances, words = row["utterances"] or (), row["alignments"] or ()
        seconds = row["duration"] or 0.0
        amount = Sum(1, len(utterances), len(words), seconds)
        self.total.add(amount)
        language = row["language"] if row["language"] != "und" else None
        self._count({"language": language} | ({"split": split} if split else {}), amount)
        self.durations.add(seconds)
        self._count_word_sources(words)
        self.recorded += is_recorded(row)
        self.recorded_voices += has_recorded_voices(row)
        for speaker in kept_speakers(row):
            if speaker and split:
                self.splits_of[speaker].add(split)
        speakers = row.get("speakers") or {}
        self.confidence.add(*[utterance.get("confidence") for utterance in utterances])
        for utterance in utterances:
            self._count_utterance(utterance)
            if utterance["synthesis"]:
                self._count_synthesis(row.get("conversation_id") or "", utterance, utterance["synthesis"])
        audible = [
            utterance
            for utterance in heard_utterances(row)
            if is_number(utterance["start"]) and is_number(utterance["end"])
        ]
        lengths = [max(0.0, utterance["end"] - utterance["start"]) for utterance in audible]
        self._measure(audible, lengths, [utterance["tag"] for utterance in audible])
        sums = [
            self._count_audible(utterance, seconds, speakers.get(utterance["channel"]), language)
            for utterance, seconds in zip(audible, lengths, strict=True)
        ]
        for part in {id(part): part for parts in sums for part in parts}.values():
            part.conversations += 1
        self._count_tags(audible)
        self._count_turns(row)

    def _add_clip(self, row: Mapping[str, Any], labels: Mapping[str, Any]) -> None:
        (utterance,), words, split = row["utterances"], row["alignments"] or (), row["split"]
        copy, trains, seconds = labels["augmented_from"] is not None, split == "train", own_seconds(row)
        seen = seconds * (1.0 if labels["weight"] is None else labels["weight"]) if trains else 0.0
        recorded = Sum(1, 1, len(words), seconds, left=seconds, seen=seen)
        amount = Sum(copies=1, copied=seconds, seen=seen) if copy else recorded
        said = {"language": row["language"], "affect_source": (utterance["models"] or {}).get("affect")}
        said |= {"emotion_class": utterance["emotion_class"]} if utterance["emotion_model"] else {}
        self.total.add(amount)
        self._count_word_sources(words)
        self._count({name: labels[name] for name in _CLIP_LABELS} | {"split": split} | said, amount)
        if labels["speaker"] and split:
            self.splits_of[labels["speaker"]].add(split)
        if copy:
            return
        self.heard.add(amount)
        self._measure([utterance], [seconds], [labels["emotion"]])
        self.agreement.add(labels["agreement"])
        for pair in _CROSSED:
            self._cross(pair, labels)
        self._count_emotion(utterance | {"emotion": labels["emotion"]}, ("emotion", "speaker"))
        if trains:
            self.training[labels["emotion"] or UNKNOWN] += seconds
            kind = [labels[name] for name in ("emotion", "style", "sentence_type", "length", "speaker")]
            self.trained.append((row["conversation_id"], *kind, seconds))

    def add_reject(self, reject: Mapping[str, str]) -> None:
        """Count a line of rejects.jsonl by its stage and the kind of its reason."""
        self.rejects.add((reject["stage"], kind_of(reject["reason"])), (reject["stage"], OTHER_KINDS))

    def stats(self) -> dict[str, Any]:
        """The content of corpus-stats.json: the measures of conversations, as recorded and as rebuilt.

        `conversations` of a measure are those in which it is known.
        """
        timelines = dict(zip(("source", "rebuilt")[: 1 + self.rebuilt], self.timelines, strict=False))
        return {
            "layout": 1,
            "conversations": self.total.conversations,
            "hours": round(self.total.seconds / 3600, 5),
            "measures": {
                name: {"title": title, "unit": unit, "definition": about, "source": source}
                for name, (title, unit, about, source, *_) in TURN_MEASURES.items()
            },
            "timelines": {timeline: taken.stats() for timeline, taken in timelines.items()},
        }

    @property
    def rebuilt(self) -> bool:
        """Return whether anything was rebuilt: False where all conversations are as they were recorded."""
        return self.finished and not 0 < self.recorded == self.total.conversations

    @property
    def revoiced(self) -> bool:
        """Return whether any voice was synthesised: False where all are as recorded, at whatever times."""
        return self.rebuilt and not 0 < self.recorded_voices == self.total.conversations

    @property
    def timelines(self) -> tuple[TurnTaking, TurnTaking]:
        """Turn-taking as recorded and as rebuilt."""
        return self.before, self.after

    @property
    def turn_taking(self) -> TurnTaking:
        """As it is in the data: rebuilt, or recorded where nothing was rebuilt."""
        return self.timelines[self.rebuilt]

    def origins(self) -> list[Origin]:
        """The models, without recognisers that recognised no words because all utterances had a transcript."""
        return sorted(
            origin
            for origin in self.models
            if origin.role != "recogniser" or not self.recognisers or self.recognisers[origin.name]
        )

    @property
    def cost(self) -> float:
        """USD paid for speech; two utterances of one cached line were bought once."""
        return self.purchases.total

    def all_affect(self) -> CountGrid:
        return CountGrid(AFFECT_CELL, 1.0, sum((grid.counts for grid in self.affect.values()), Counter()))

    def all_settings(self) -> dict[str, list[Any]]:
        """Settings of the synthesis and the timeline by name, each with all its values, in order of their text."""
        values: dict[str, dict[str, Any]] = defaultdict(dict)
        for text in sorted(self.settings):
            settings: dict[str, Any] = expect(parse_json(text, "settings"), dict, "settings")
            for name, value in settings.items():
                values[name].setdefault(json.dumps(value, ensure_ascii=False), value)
        return {name: list(values[name].values()) for name in sorted(values)}

    def _count(self, labels: Mapping[str, str | None], amount: Sum) -> None:
        for part in self._sums(labels):
            part.add(amount)

    def _sums(self, labels: Mapping[str, str | None]) -> list[Sum]:
        """The sums in which something with these labels counts, one a label."""
        parts = []
        for name, value in labels.items():
            sums, key = self.by[name], value or UNKNOWN
            if len(sums) >= MAX_VALUES and key not in sums:
                key = OTHER_VALUES
            parts.append(sums[key])
        return parts

    def _cross(self, pair: tuple[str, str], labels: Mapping[str, Any]) -> None:
        counts, values = self.crossed[pair], (labels.get(pair[0]) or UNKNOWN, labels.get(pair[1]) or UNKNOWN)
        counts[values if values in counts or len(counts) < MAX_VALUES else (OTHER_VALUES, OTHER_VALUES)] += 1

    def _count_emotion(self, labels: Mapping[str, Any], against: Iterable[str]) -> None:
        """Count the class that a classifier chose, if one was used, against other labels."""
        if model := labels.get("emotion_model"):
            self.emotion_models.add(model, OTHER_VALUES)
            for name in against:
                self._cross((name, "emotion_class"), labels)

    def _count_word_sources(self, words: Sequence[Mapping[str, Any]]) -> None:
        for source, n in Counter(map(itemgetter("source"), words)).items():
            self.word_sources[source or UNKNOWN] += n

    def _measure(
        self, measured: Sequence[Mapping[str, Any]], lengths: Sequence[float], labels: Sequence[str | None]
    ) -> None:
        """Count affect and prosody of utterances, their buckets and lengths in seconds, and affect by label."""
        self.measures["seconds"].add(*lengths)
        for name in _MEASURES:
            self.measures[name].add(*[values.get(name) for values in measured])
        for name, column in _BUCKETS.items():
            if buckets := [values[column] for values in measured if values.get(column)]:
                self.buckets[name].update(buckets)
        for values, label in zip(measured, labels, strict=True):
            valence, arousal = values.get("valence"), values.get("arousal")
            if is_number(valence) and is_number(arousal):
                self.affect[label or UNKNOWN].add(valence, arousal)

    def _count_utterance(self, utterance: Mapping[str, Any]) -> None:
        self.channels[utterance["channel"]] += 1
        self.kinds[utterance["kind"] or UNKNOWN] += 1
        if recogniser := (utterance["models"] or {}).get("recogniser"):
            self.recognisers[recogniser] += 1
        editors, fields = utterance.get("edited_by") or (), utterance.get("edited_fields") or ()
        if editors or fields:
            self.edited += 1
            for name in fields:
                self.edited_fields.add(name, OTHER_VALUES)
            if len(self.editors) < MAX_VALUES:
                self.editors.update(editors)
        if reason := no_text_reason(utterance):
            # Reasons hold figures (`23 words in 0.5 s`); what is counted is their kind.
            self.without_text[reason.partition("(")[0].strip()] += 1
        if (tag_said := utterance.get("tag_said")) is not None:
            self.tags_said[tag_said] += 1
        if utterance["status"]:
            self.statuses[utterance["status"]] += 1
        if utterance["reason"]:
            self.reasons.add(kind_of(utterance["reason"]), OTHER_KINDS)

    def _count_synthesis(
        self, conversation_id: str, utterance: Mapping[str, Any], synthesis: Mapping[str, Any]
    ) -> None:
        if synthesis["cost"] and is_number(synthesis["cost"]):
            self.purchases.add(synthesis["cache_key"], synthesis["cost"])
        self.n_retried += (synthesis["tries"] or 1) > 1
        self.error_rates.add(synthesis["word_error_rate"])
        distance = synthesis.get("delivery_distance")
        if not is_number(distance):
            return
        self.delivery.add(distance)
        self.delivery_cosines.add(synthesis.get("delivery_cosine"))
        self.delivery_of[utterance["tag"] or UNKNOWN].add(distance)
        if len(self.furthest) < MOST_FAR or distance > self.furthest[0][0]:
            line = FarDelivery(conversation_id, utterance)
            heapq.heappush(self.furthest, (distance, self.delivery.n, line))
            if len(self.furthest) > MOST_FAR:
                heapq.heappop(self.furthest)

    def _count_audible(
        self, utterance: Mapping[str, Any], seconds: float, speaker: str | None, language: str | None
    ) -> list[Sum]:
        """Count an audible utterance of a length in seconds. Returns the sums of its labels."""
        channel = utterance["channel"]
        self.heard.add_utterance(seconds, channel)
        if utterance["status"] == "spoken":
            start, end = utterance["source_start"], utterance["source_end"]
            if has_length(start, end):
                self.lengths.add(end - start, seconds)
                self.ratios.add(seconds / (end - start))
        who, voice = self._voice(utterance, speaker)
        # The rule for clips derives a style from a tag only where it knows the measures.
        measured = utterance["tag"] and is_number(utterance["arousal"]) and is_number(utterance["voiced_fraction"])
        labels = {
            "tag": utterance["tag"],
            "style": STYLE_OF_TAG.get(utterance["tag"], "normal") if measured else None,
            "sentence_type": sentence_type(utterance["text"], language),
            "length": length_class(seconds),
            who: voice,
        }
        if utterance.get("emotion_model"):
            labels["emotion_class"] = utterance.get("emotion_class")
            self._count_emotion(utterance, ("tag", "speaker"))
        sums = self._sums(labels)
        for part in sums:
            part.add_utterance(seconds, channel)
        return sums

    def _count_tags(self, audible: Sequence[Mapping[str, Any]]) -> None:
        """Count what is measured of the utterances of each tag against the others of their speaker."""
        measured: dict[tuple[str, str], list[tuple[str | None, float]]] = defaultdict(list)
        for utterance in audible:
            sources = [("", utterance)]
            unsaid = utterance.get("tag_said") is False
            if utterance["status"] == "spoken" and utterance["synthesis"] and not unsaid:
                sources.append((NEW_VOICE, utterance["synthesis"]))
            for prefix, values in sources:
                for name, (column, scaled) in SPEAKER_MEASURES.items():
                    value = values.get(column)
                    if value is not None and is_number(value) and value > 0:
                        voice = (str(values.get(part) or "") for part in _VOICE)
                        speaker = " · ".join(voice) if prefix else utterance["channel"]
                        measured[prefix + name, speaker].append((utterance["tag"], scaled(value)))
        for (name, _), pairs in measured.items():
            mean = math.fsum(value for _, value in pairs) / len(pairs)
            for tag, value in pairs if len(pairs) > 1 else ():
                if tag:
                    self.tag_measures[tag][name].add(value - mean)

    def _voice(self, utterance: Mapping[str, Any], speaker: str | None) -> tuple[str, str | None]:
        """Whose voice an utterance is in, with the label it counts under: a speaker's, or a synthesised one."""
        if utterance["status"] == "spoken":
            synthesis = utterance["synthesis"] or {}
            return "voice", " · ".join(filter(None, map(synthesis.get, _VOICE)))
        if not self.finished:
            return "speaker", utterance["speaker"]
        return "speaker", LEFT_AS_RECORDED if utterance["status"] == "kept-original" else speaker

    def _count_turns(self, row: Mapping[str, Any]) -> None:
        conversations = timed_conversations(row)
        is_derived = (parent := parent_of(row)) != (row.get("conversation_id") or "")
        self.derived += is_derived
        is_known = parent in self.parents or (is_derived and parent in self.counted_before)
        if "source" in conversations and not is_known:
            self.before.add(conversations["source"])
            self.counted_before.add(parent)
        if is_derived:
            self.parents.add(parent)
        if self.finished:
            self.after.add(conversations["rebuilt"])
        timeline = row["timeline"] or {}
        self.backchannels += timeline.get("backchannels") or 0
        self.backchannels_kept += timeline.get("backchannels_kept") or 0
        for name in self.lost:
            lost = timeline.get(f"lost_{name}_seconds")
            self.lost[name] += lost if is_number(lost) else 0.0
        for name, moments in self.timeline.items() if timeline else ():
            # A conversation without a change of speaker, or without overlap, has nothing that could be lost.
            value = timeline.get(name)
            moments.add(value if is_number(value) else TIMELINE_MEANS[name])

    def _count_columns(self, row: Mapping[str, Any]) -> None:
        for column in (*COLUMNS, *columns_among(self.fields)):
            value = row.get(column.name)
            if column.tally == "mean":
                moments = self.published.setdefault(column.name, Moments())
                assert isinstance(moments, Moments)
                moments.add(value)
            elif column.tally == "count" and value is not None:
                counts = self.published.setdefault(column.name, LimitedCounter())
                assert not isinstance(counts, Moments)
                for each in value if isinstance(value, list) else [value]:
                    counts.add(str(each)[:LONGEST_VALUE], OTHER_VALUES)

    def add_made(self, row: Mapping[str, Any]) -> None:
        """Count how a row came about, and nothing else of it."""
        provenance = row.get("provenance")
        record = _parsed(provenance) if isinstance(provenance, str) else _provenance(provenance)
        self.sources[record.get("source"), record.get("source_licence")] += 1
        self.tools[record.get("tool") or UNKNOWN] += 1
        self.voices[record.get("voice") or ""] += 1
        self.settings[record.get("settings") or "{}"] += 1
        for model in record.get("models") or ():
            name, url = model.get("name") or "", model.get("url") or ""
            self.models[Origin(model.get("role") or "", name, model.get("licence") or "", url)] += 1


#: The shapes of a row's provenance: as JSON before it is published, and as a struct after.
_MODEL = dict.fromkeys(("name?", "licence?", "url?"), str)
_WRITTEN = {"tool?": str, "voice?": str, "settings?": dict, "models?": {str: _MODEL}}
_PUBLISHED = {"tool?": str, "voice?": str, "settings?": str, "models?": [{"role?": str, **_MODEL}]}


def _provenance(value: Any) -> Mapping[str, Any]:
    """A row's provenance in its published shape; empty where it says nothing that can be read."""
    try:
        record = parse_json(value, "provenance") if isinstance(value, str) else value
    except BadInput:
        return {}
    if fits(record, _PUBLISHED):
        return dict(record)
    if not fits(record, _WRITTEN):
        return {}
    models = [{"role": role, **model} for role, model in sorted((record.get("models") or {}).items())]
    settings = json.dumps(record.get("settings") or {}, sort_keys=True, ensure_ascii=False)
    return {**record, "models": models, "settings": settings}


#: Rows of a run have the same text, and those of one dataset few.
_parsed = lru_cache(maxsize=8)(_provenance)
