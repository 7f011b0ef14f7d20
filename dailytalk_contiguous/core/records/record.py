"""The small records that a row is made of, each written once as a class.

Arrow's types are made from these classes (`core.records.arrow_types`), so that what mypy knows of a word or a side
is what Parquet and the Hub hold of it. A field may be null where its class says `| None`. A finished row and a
published one have null where a number is unknown or undefined, never NaN or infinity.
"""

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, TypeAlias, TypedDict

import msgspec

#: A row, an utterance or a line of a transcript that is only read. Those of other programs may lack fields, and
#: stages add theirs: nothing is promised of its values.
AnyRecord: TypeAlias = Mapping[str, Any]


class Stored(NamedTuple):
    """The type of a value in Arrow, as `datasets.Value` names it."""

    dtype: str


class StoredAudio(NamedTuple):
    """Audio that `datasets` decodes, with its number of channels."""

    num_channels: int


class Parts(NamedTuple):
    """The fields, by their names in a row, that a column keeps of the records in it."""

    names: tuple[str, ...]


class FinishedName(NamedTuple):
    """The name in a finished row of an attribute that is called otherwise in flight.

    A finished row has the times of the result as `start` and `end`, and those of the recording as `source_start`
    and `source_end`. In flight it is the other way round: `start` and `end` are seconds of the recording,
    `new_start` and `new_end` those of the result.
    """

    name: str


Text = Annotated[str, Stored("string")]
Flag = Annotated[bool, Stored("bool")]
Count = Annotated[int, Stored("int32")]

#: Seconds, or another number of which all digits count.
Seconds = Annotated[float, Stored("float64")]

#: A number that was measured.
Measure = Annotated[float, Stored("float32")]


class EncodedAudio(TypedDict):
    """Encoded audio: its bytes, or null and a path (a plain path, or a `file://` URI where it is not UTF-8)."""

    bytes: Annotated[bytes, Stored("binary")] | None
    path: Text | None


class UncoveredSound(msgspec.Struct):
    """Sound of a channel of the source that no utterance covers, in seconds of the source."""

    channel: Text
    start: Seconds
    end: Seconds


class LackingSound(TypedDict):
    """Sound that a side lacks, such as lost buffers: its `start` in that side as it was, and its length."""

    channel: Text
    start: Seconds
    seconds: Seconds


class SideShift(TypedDict):
    """The shift between sides of a recording that are, or were, out of step.

    `seconds` is how much later the right side begins than the left one; below 0 the left one is later. `drift_ppm`
    is how many microseconds later it becomes in a second, and `lacking` the sound that a side lacks. `known_by` is
    `leak` or `transcript`, or `nothing` where neither shows a shift (see `core.sound.side_shift`). `aligned` says
    whether both sides were laid on one clock; all times are then those after that.
    """

    seconds: Seconds
    drift_ppm: Seconds
    lacking: list[LackingSound]
    known_by: Text
    aligned: Flag


class UsedModel(TypedDict):
    """A model that had a part in a row: its role, name, licence and home page."""

    role: Text
    name: Text
    licence: Text
    url: Text


class NonSpeechSound(TypedDict):
    """A laugh, breath or cough of a kept speaker (see `core.sound.nonspeech_sounds`), in result and source.

    The speaker is on the right of the result, or on either side of a result that is as recorded or was converted.
    `label` is the transcript's name for it; null without one. It is no utterance, and takes no floor.
    """

    channel: Text
    start: Seconds
    end: Seconds
    source_start: Seconds
    source_end: Seconds
    label: Text | None


class LeakSpan(msgspec.Struct):
    """A stretch in which the other speaker's voice leaks into a channel as loud and as late as it does."""

    start: Seconds
    end: Seconds
    leak_db: Measure
    leak_seconds: Seconds


class Side(msgspec.Struct):
    """One side of the sound in `audio` or, where there is none, of the recording.

    `speech_seconds` is the length of its utterances, `level_dbfs` the mean power of its speech without pauses;
    `snr_db`, `bandwidth_hz` and `clipping_ratio` are those of `core.sound.quality`; `leak_db` is the level of the
    other speaker's voice in this channel against its source, `leak_seconds` its delay, and `leaks` says when it is
    how loud and late, all null where none leaks; `silent_end` is the length of its end without any sound, null for
    a channel that is gated; `unheard_words` counts aligned words where nothing is heard. Null is unknown: a silent
    side has no measures of its sound, a recording that was only tagged no aligned words.
    """

    channel: Text
    speech_seconds: Seconds | None = None
    level_dbfs: Measure | None = None
    snr_db: Measure | None = None
    bandwidth_hz: Measure | None = None
    clipping_ratio: Measure | None = None
    leak_db: Measure | None = None
    leak_seconds: Seconds | None = None
    leaks: list[LeakSpan] | None = None
    silent_end: Seconds | None = None
    unheard_words: Count | None = None


class SoundSpan(msgspec.Struct):
    """A stretch in which there is sound, in seconds."""

    start: Seconds
    end: Seconds


class BuiltSide(Side):
    """One side of a result; `audible` has its spans of sound, in seconds of the result."""

    audible: list[SoundSpan] = []


class MovedSound(msgspec.Struct):
    """A sound that is no speech, with its times in the source and in the result, in seconds."""

    channel: Text
    start: Annotated[Seconds, FinishedName("source_start")]
    end: Annotated[Seconds, FinishedName("source_end")]
    new_start: Annotated[Seconds, FinishedName("start")]
    new_end: Annotated[Seconds, FinishedName("end")]


class SourceSound(MovedSound):
    """A sound that is no speech; `label` is the transcript's name for it, None without one."""

    label: Text | None = None


class TimelineMeasures(msgspec.Struct):
    """Turn-taking before and after, in seconds and ratios, as `core.turns.timeline` defines them.

    Offsets are null where the speaker never changes, `overlap_kept` where nothing overlaps in the source.
    """

    mode: Text
    offset_median: Seconds | None
    offset_p10: Seconds | None
    offset_p90: Seconds | None
    source_offset_median: Seconds | None
    source_offset_p10: Seconds | None
    source_offset_p90: Seconds | None
    offset_distance: Seconds | None
    overlap_seconds: Seconds
    source_overlap_seconds: Seconds
    overlap_kept: Measure | None
    backchannels: Count
    backchannels_kept: Count
    duration_ratio: Measure | None
    lost_speech_seconds: Seconds
    lost_sound_seconds: Seconds
    loudness_gain_db: Measure | None
    loudness_missing_db: Measure | None


class Speakers(TypedDict):
    """The names of the speakers on each side, or null."""

    left: Text | None
    right: Text | None


class ModelsOfUtterance(TypedDict):
    """The names of the models that made an utterance's words and its affect."""

    recogniser: Text | None
    affect: Text | None


class EmotionShare(TypedDict):
    """A class of emotion and its probability in [0, 1]."""

    emotion: Text
    probability: Measure


class SynthesisRecord(msgspec.Struct):
    """The cost of a synthesis, its key in the cache, and measures of its sound.

    `rms`, `f0_mean` and `speech_rate` of its take are measured as in `core.sound.prosody`; null where they
    were not measured. `take_part` counts the utterances of a turn that was said in one take, from 1, each with its
    share of the cost; null for an utterance that was said alone.
    """

    engine: Text | None = None
    model: Text | None = None
    voice: Text | None = None
    cache_key: Text | None = None
    take: Count | None = None
    take_part: Count | None = None
    tries: Count | None = None
    cost: Seconds | None = None
    word_error_rate: Measure | None = None
    rms: Measure | None = None
    f0_mean: Measure | None = None
    speech_rate: Measure | None = None
