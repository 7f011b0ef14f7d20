"""A conversation in flight, which stages take and return, and the codec between it and a row.

A row has a list column for each field of an utterance, since that is what Parquet and `datasets` hold. Here an
utterance is an object, and so is a word:

    Conversation "monday"           0 s        2 s        4 s        6 s
      left   Utterance …/left/0000  ├──────────┤
               Word "Hello" "there"  ──── ─────
      right  Utterance …/right/0000          ├──────────────┤
               Word "I" "am" "back"           ─ ── ────
      left   Utterance …/left/0001                            ├──────┤

Times are seconds of the conversation, as it was recorded: `start` and `end`; in the result: `new_start` and
`new_end`. A conversation is made step by step: values that no stage has made yet are `UNSET`, and columns that no
class here names (those of the user's own stages, or of a finished row) are in `extra`.
"""

from bisect import bisect_right
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, TypeAlias, TypeVar, get_args, get_type_hints

import msgspec
import numpy as np
import pyarrow as pa
from datasets import Features, List
from msgspec.structs import replace

from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.records.arrow_types import Feature, feature_of
from dailytalk_contiguous.core.records.record import (
    BuiltSide,
    Count,
    EmotionShare,
    EncodedAudio,
    Flag,
    Measure,
    ModelsOfUtterance,
    MovedSound,
    Seconds,
    Side,
    SideShift,
    Speakers,
    Stored,
    SynthesisRecord,
    Text,
    TimelineMeasures,
    UncoveredSound,
)
from dailytalk_contiguous.core.words.word import ALIGNED, TIMED, UTTERED, Span, Word

#: Seconds beyond its start and end that an utterance may sound (`core.sound.sound_edges.sounding` looks no further
#: than 0.2).
MOST_BEYOND = 1.0

#: `tries` of an utterance that is the recorded sound in another voice: no take of its text was made.
CONVERTED_TRIES = 0

#: Seconds by which times may differ and be called the same.
SAME_TIME = 1e-6

#: The mode of a timeline whose times, and both voices, are those of the recording.
AS_RECORDED = "recorded"

#: The value of a field that no stage has made yet.
UNSET = msgspec.UNSET

_Value = TypeVar("_Value")

#: The default of a field, whatever its type: a stage is only called with all that it needs.
_unset: Any = UNSET

Sound: TypeAlias = Annotated[bytes, Stored("binary")]
Token: TypeAlias = Annotated[int, Stored("int16")]


def is_set(value: object) -> bool:
    """Whether a stage has made the value of a field; None counts as made."""
    return value is not UNSET


def or_none(value: _Value | None) -> _Value | None:
    """Return the value of a field, or None where no stage has made it."""
    return value if is_set(value) else None


def known_trims(length: float, start_trim: object, end_trim: object) -> tuple[float | None, float | None]:
    """Return the seconds without sound at the start and the end of an utterance, by its length and its trims.

    A trim is None where it is unknown or impossible.
    """
    before = start_trim if is_number(start_trim, -MOST_BEYOND, length) else None
    after = end_trim if is_number(end_trim, -MOST_BEYOND, length) else None
    trimmed_start = before or 0.0
    trimmed_end = after or 0.0
    if trimmed_start + trimmed_end < length:
        return before, after
    return None, None


def sounding_between(start: float, end: float, start_trim: object, end_trim: object) -> tuple[float, float]:
    """Return start and end of an utterance's sound; those of the utterance where the trims are not known."""
    before, after = known_trims(end - start, start_trim, end_trim)
    if before is not None:
        start += before
    if after is not None:
        end -= after
    return start, end


class TokenRun(msgspec.Struct, frozen=True):
    """A prosodic token, and the number of frames in a row that have it."""

    token: Token
    frames: Count


class ProsodicWord(msgspec.Struct, rename={"text": "word"}):
    """The prosody of a word; unknown values are None.

    Attributes:
        text: written form of the word.
        start: start in seconds.
        end: end in seconds.
        tokens: tokens of the frames whose middle is in the word.
        pitch: pitch in semitones above the speaker's median.
        slope: slope of the pitch in semitones a second.
        duration: ratio to the median length of the speaker's words.
        energy: level in dB above the speaker's median.
    """

    text: Text
    start: Seconds
    end: Seconds
    tokens: list[Token]
    pitch: Measure | None = None
    slope: Measure | None = None
    duration: Measure | None = None
    energy: Measure | None = None


#: `Cue.mark_kind` of lines that can't be used.
UNUSABLE = "unusable"


class Cue(msgspec.Struct, frozen=True):
    """A stretch of a transcript that came with the recording, on a channel.

    Attributes:
        channel: a side, or `core.records.schema.OPEN` and a name where the transcript does not say the side.
        start: start in seconds.
        end: end in seconds.
        text: spoken text; None where the transcript says who speaks but not the words.
        words: words with times; empty where only the text has times.
        speaker: name of the person; None where the transcript does not name anybody.
        language: ISO 639 code of its language; None where the transcript does not say.
        mark: name of a sound or note that is no word (laughter), or why lines can't be used; the cue has no text.
        mark_kind: kind of the mark (`core.words.transcript_marks.KINDS`), or `UNUSABLE`.
        tag: style tag in a transcript of this program; None in any other.
    """

    channel: Text
    start: Seconds
    end: Seconds
    text: Text | None = None
    words: Annotated[list[Word], TIMED] = []
    speaker: Text | None = None
    language: Text | None = None
    mark: Text | None = None
    mark_kind: Text | None = None
    tag: Text | None = None

    @property
    def span(self) -> Span:
        return Span(self.start, self.end)


class Mark(msgspec.Struct, frozen=True):
    """A mark of a transcript for something that is no word, in seconds of the source.

    `name` is its name in the transcript; `kind` is `sound`, `inaudible` or `unheard`
    (`core.words.transcript_marks`).
    """

    channel: Text
    start: Seconds
    end: Seconds
    name: Text
    kind: Text

    @property
    def span(self) -> Span:
        return Span(self.start, self.end)


class Utterance(msgspec.Struct, rename={"id": "utterance_id"}):
    """A stretch of speech of one speaker, with the fields that stages have made.

    Each field is a column of conversations, with one value an utterance; the stage that adds it and
    docs/columns.md describe it.
    """

    id: Text = _unset
    channel: Text = _unset
    speaker: Text = _unset
    start: Seconds = _unset
    end: Seconds = _unset
    start_trim: Seconds | None = _unset
    end_trim: Seconds | None = _unset
    kind: Text = _unset
    run: Count = _unset
    speech_seconds: Measure = _unset
    leak_share: Measure | None = _unset
    speech: Sound = _unset
    speech_start: Seconds | None = _unset
    # of a transcript that came with the recording
    given_text: Text | None = _unset
    given_words: Annotated[list[Word], UTTERED] | None = _unset
    # of a recogniser
    text_raw: Text | None = _unset
    words: Annotated[list[Word], UTTERED] = _unset
    language: Text | None = _unset
    avg_logprob: Measure | None = _unset
    no_speech_prob: Measure | None = _unset
    recogniser: Text = _unset
    question: Flag | None = _unset
    text_reason: Text | None = _unset
    joined: list[Text] | None = _unset
    # of its sound
    rms: Measure | None = _unset
    zcr: Measure | None = _unset
    f0_mean: Measure | None = _unset
    f0_std: Measure | None = _unset
    speech_rate: Measure | None = _unset
    voiced_fraction: Measure | None = _unset
    valence: Measure | None = _unset
    arousal: Measure | None = _unset
    dominance: Measure | None = _unset
    affect_model: Text | None = _unset
    context_seconds: Measure | None = _unset
    emotion_class: Text | None = _unset
    emotion_probabilities: list[EmotionShare] | None = _unset
    emotion_model: Text | None = _unset
    prosody_tokens: list[Token] | None = _unset
    prosody_runs: list[TokenRun] | None = _unset
    prosody_words: list[ProsodicWord] | None = _unset
    prosody_model: Text | None = _unset
    # of its style
    valence_bucket: Text | None = _unset
    arousal_bucket: Text | None = _unset
    dominance_bucket: Text | None = _unset
    energy_bucket: Text | None = _unset
    rate_bucket: Text | None = _unset
    zcr_bucket: Text | None = _unset
    pitch_bucket: Text | None = _unset
    pitch_var_bucket: Text | None = _unset
    rms_gain_db: Measure | None = _unset
    f0_ratio: Measure | None = _unset
    rate_ratio: Measure | None = _unset
    tag: Text | None = _unset
    rule: Text | None = _unset
    text: Text = _unset
    tagged_text: Text | None = _unset
    # of the transcript that people may edit
    source_channel: Text = _unset
    verbatim: Text = _unset
    confidence: Measure | None = _unset
    models: ModelsOfUtterance = _unset
    edited_by: list[Text] | None = _unset
    edited_fields: list[Text] | None = _unset
    keeps_sound: Flag | None = _unset
    # of its new voice
    status: Text = _unset
    unspoken_reason: Text | None = _unset
    unspoken_remedy: Text | None = _unset
    spoken: Sound = _unset
    spoken_seconds: Measure | None = _unset
    spoken_words: Annotated[list[Word], TIMED] = _unset
    synthesis: SynthesisRecord | None = _unset
    tag_said: Flag | None = _unset
    # of the result
    new_start: Seconds | None = _unset
    new_end: Seconds | None = _unset
    new_start_trim: Seconds | None = _unset
    new_end_trim: Seconds | None = _unset
    event: Text | None = _unset
    source_event: Text | None = _unset
    transition: Text | None = _unset
    source_transition: Text | None = _unset
    turn_end: Measure | None = _unset
    source_turn_end: Measure | None = _unset
    extra: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def span(self) -> Span:
        return Span(self.start, self.end)

    @property
    def side(self) -> str:
        """The channel of the recording that it is on."""
        return self.source_channel if is_set(self.source_channel) else self.channel

    @property
    def has_recorded_times(self) -> bool:
        """Whether it has times in the recording, which rows of others may lack."""
        return is_number(self.start) and is_number(self.end)

    @property
    def sounding(self) -> Span:
        """The span of its sound in the recording; its start and end where the trims are not known."""
        return Span(*sounding_between(self.start, self.end, self.start_trim, self.end_trim))

    @property
    def new_span(self) -> Span | None:
        """Its span in the result; None where it was left out."""
        if self.new_start is None or self.new_end is None:
            return None
        return Span(self.new_start, self.new_end)

    @property
    def new_sounding(self) -> Span | None:
        """The span of its sound in the result; None where it was left out."""
        span = self.new_span
        if span is None:
            return None
        return Span(*sounding_between(*span, self.new_start_trim, self.new_end_trim))

    @property
    def is_heard(self) -> bool:
        """Whether it is in the result; one that was left out has a reason, and no times there."""
        return self.status != "dropped"

    @property
    def is_converted(self) -> bool:
        """Whether it is its recorded sound in another voice, and no take of its text."""
        synthesis = or_none(self.synthesis)
        return synthesis is not None and synthesis.tries == CONVERTED_TRIES

    @property
    def is_recorded(self) -> bool:
        """Whether its sound is the recorded one, or that in another voice."""
        return self.status != "spoken" or self.is_converted

    @property
    def said_tag(self) -> str | None:
        """The style tag of its audible speech; None where a new voice did not get the source's (`tag_said`)."""
        return None if self.tag_said is False else self.tag

    def words_among(self, words: Iterable[Word]) -> list[Word]:
        """Return the words of its channel of the result whose middle is in it; none where it was left out."""
        span = self.new_span
        if span is None:
            return []
        first = span.start - SAME_TIME
        last = span.end + SAME_TIME
        of_channel = [word for word in words if word.side == self.channel]
        return [word for word in of_channel if first <= word.middle <= last]

    def update(self, values: Mapping[str, Any]) -> None:
        """Set fields by their names. Raises AttributeError for a name that no field has."""
        for name, value in values.items():
            setattr(self, name, value)

    def shifted(self, seconds: float) -> "Utterance":
        """Return the utterance and its words moved so many seconds later."""
        words = [word.shifted(seconds) for word in self.words] if is_set(self.words) else self.words
        return replace(self, start=self.start + seconds, end=self.end + seconds, words=words)


class Conversation(msgspec.Struct, rename={"id": "conversation_id", "cues": "given"}):
    """A conversation in flight, as this module describes it."""

    id: Text = _unset
    recording_id: Text = _unset
    audio: EncodedAudio = _unset
    audio_file: Text = _unset
    audio_identity: Text = _unset
    offset: Seconds = _unset
    duration: Seconds = _unset
    sample_rate: Count = _unset
    channels: Count = _unset
    cues: list[Cue] = _unset
    given_language: Text | None = _unset
    transcripts: list[Text] = _unset
    side_shift: SideShift | None = _unset
    input_digest: Text = _unset
    published: Text = _unset
    # of its sound
    sides: list[Side] = _unset
    uncovered_sound: list[UncoveredSound] = _unset
    sound_digest: Text = _unset
    notes: list[Text] = _unset
    rejected: list[Reject] = _unset
    # of a transcript that came with it
    unmatched: list[Reject] = _unset
    transcript_repair: Text | None = _unset
    transcript_marks: list[Mark] = _unset
    # of the transcript that people may edit
    main_language: Text = _unset
    silent_speakers: Speakers | None = _unset
    # of its new voice
    voice_wav: Sound = _unset
    voice_text: Text = _unset
    converted: Sound = _unset
    # of the result
    built_audio: EncodedAudio = _unset
    built_rate: Count = _unset
    built_duration: Seconds = _unset
    built_sides: list[BuiltSide] = _unset
    timeline: TimelineMeasures = _unset
    sounds: list[MovedSound] = _unset
    alignments: Annotated[list[Word], ALIGNED] = _unset
    unwritten_words: Annotated[list[Word], ALIGNED] = _unset
    speakers: Speakers | None = _unset
    model_failures: list[Reject] | None = _unset
    # why it can't be used
    problem: Text | None = _unset
    problem_stage: Text | None = _unset
    remedy: Text | None = _unset
    utterances: list[Utterance] = _unset
    extra: dict[str, Any] = msgspec.field(default_factory=dict)

    def side(self, channel: str) -> list[Utterance]:
        """Return the utterances on a channel of the recording."""
        return [utterance for utterance in self.utterances if utterance.side == channel]

    @property
    def audible_utterances(self) -> list[Utterance]:
        """The utterances that are in the result."""
        return [utterance for utterance in self.utterances if utterance.is_heard]

    @property
    def heard_words(self) -> list[Word]:
        """The words that are heard: `alignments`, and fillers that were left out (`core.words.filler_removal`)."""
        words = or_none(self.unwritten_words) or self.alignments
        return [word for word in words if word.text.strip()]

    @property
    def labels(self) -> Mapping[str, Any]:
        """The labels of a clip (`core.records.clip_records.Labels`); empty for any other conversation."""
        labels: Mapping[str, Any] = self.extra.get("labels") or {}
        return labels

    @property
    def is_turned(self) -> bool:
        """Whether the left side of the result is the right one of the recording."""
        return any(utterance.side not in (None, utterance.channel) for utterance in self.utterances)

    @property
    def is_recorded(self) -> bool:
        """Whether both voices of the result, and all its times, are those of the recording."""
        timeline = or_none(self.timeline)
        return timeline is not None and timeline.mode == AS_RECORDED

    @property
    def has_recorded_sides(self) -> bool:
        """Whether people are heard on both sides of the result: as recorded, or one of them converted."""
        return self.is_recorded or any(utterance.is_converted for utterance in self.utterances)

    @property
    def own_seconds(self) -> float:
        """Seconds of the result without the prompt before a clip."""
        conditioning = self.labels.get("conditioning") or {}
        clip_start: float = conditioning.get("clip_start") or 0.0
        return self.built_duration - clip_start

    def person(self, side: str) -> str | None:
        """Return the name of the person on a side of the result; None where nobody is named."""
        names = or_none(self.speakers)
        if not names:
            return None
        name = names.get("left") if side == "left" else names.get("right")
        return None if name in ("", "left", "right") else name

    @property
    def kept_speakers(self) -> tuple[str | None, ...]:
        """Names of the people who are heard in the result: on the right, of a clip on the left; None if unknown.

        A result that is as recorded, or was converted into another voice, has them on both sides.
        """
        if self.has_recorded_sides:
            return self.person("left"), self.person("right")
        return (self.person("left" if self.labels else "right"),)

    @property
    def voices(self) -> tuple[str, ...]:
        """Names of the voices with which utterances were resynthesised, or else of their engines, sorted.

        A converted voice is that of its speaker, so it has the name of its engine here.
        """
        names: set[str | None] = set()
        for utterance in self.utterances:
            synthesis = or_none(utterance.synthesis)
            if synthesis:
                voice = None if utterance.is_converted else synthesis.voice
                names.add(voice or synthesis.engine)
        return tuple(sorted(str(name) for name in names if name))

    def words_by_utterance(self) -> list[tuple[Utterance | None, list[Word]]]:
        """Return the utterances of each side of the result that have words, by start, with their words by start.

        A word belongs to the last utterance of its side that begins before its middle; words before the first have
        None.
        """
        groups: list[tuple[Utterance | None, list[Word]]] = []
        for channel in ("left", "right"):
            utterances = [utterance for utterance in self.audible_utterances if utterance.channel == channel]
            utterances.sort(key=_new_start)
            starts = [_new_start(utterance) for utterance in utterances]
            groups_of_side: list[tuple[Utterance | None, list[Word]]] = [(None, [])]
            groups_of_side += [(utterance, []) for utterance in utterances]
            for word in self.alignments:
                if word.side == channel:
                    _, words = groups_of_side[bisect_right(starts, word.middle)]
                    words.append(word)
            groups += groups_of_side
        for _, words in groups:
            words.sort(key=lambda word: word.start)
        return [(utterance, words) for utterance, words in groups if words]

    def seen_by(self, sample_rate: int, main: str) -> "Conversation":
        """Return the result as a recording of its own, as a trainer of the speaker on the side `main` sees it.

        That speaker is on the left, and all times are seconds of the result. Its utterances, words, sounds and
        marks are in order; only marks in utterances that were kept are included. `sample_rate` is that of the
        wanted sound in Hz.
        """
        other = "right" if main == "left" else "left"
        sides = {main: "left", other: "right"}
        utterances: list[Utterance] = []
        for utterance in self.audible_utterances:
            seen = replace(
                utterance,
                channel=sides[utterance.channel],
                source_channel=UNSET,
                start=utterance.new_start,
                end=utterance.new_end,
                start_trim=or_none(utterance.new_start_trim),
                end_trim=or_none(utterance.new_end_trim),
                text=utterance.text or "",
            )
            utterances.append(seen)
        words = [replace(word, side=sides[word.side]) for word in self.alignments]
        unwritten = [replace(word, side=sides[word.side]) for word in or_none(self.unwritten_words) or ()]
        sounds: list[MovedSound] = []
        for sound in self.sounds:
            channel = sides[sound.channel]
            sounds.append(replace(sound, channel=channel, start=sound.new_start, end=sound.new_end))
        known_sides = [side for side in self.built_sides if side.channel in sides]
        built_sides = [replace(side, channel=sides[side.channel]) for side in known_sides]
        names = or_none(self.speakers)
        speakers = {sides[channel]: names.get(channel) if names else None for channel in ("left", "right")}
        return replace(
            self,
            audio=self.built_audio,
            sample_rate=sample_rate,
            duration=self.built_duration,
            utterances=sorted(utterances, key=_by_time),
            alignments=sorted(words, key=_by_time),
            unwritten_words=sorted(unwritten, key=_by_time),
            sounds=sorted(sounds, key=_by_time),
            built_sides=built_sides,
            transcript_marks=self._marks_of_result(sides),
            speakers=speakers,
        )

    def _marks_of_result(self, sides: Mapping[str, str]) -> list[Mark]:
        """Return the marks in utterances that were kept, in seconds of the result, on the sides of a trainer."""
        marks: list[Mark] = []
        recorded = []
        for utterance in self.audible_utterances:
            if utterance.is_recorded and utterance.has_recorded_times:
                recorded.append(utterance)
        for mark in self.transcript_marks or ():
            if not is_number(mark.start) or not is_number(mark.end):
                continue
            for utterance in recorded:
                marked = utterance.span & mark.span
                is_same_side = utterance.source_channel == mark.channel
                if is_same_side and marked and utterance.new_start is not None:
                    shift = utterance.new_start - utterance.start
                    start = marked.start + shift
                    end = marked.end + shift
                    marks.append(replace(mark, channel=sides[utterance.channel], start=start, end=end))
        return marks

    def has_take(self, utterance: Utterance) -> bool:
        """Whether a voice speaks the text of an utterance anew; sound from `Convert` is recorded sound."""
        return or_none(utterance.status) == "spoken" and not or_none(self.converted)


def _new_start(utterance: Utterance) -> float:
    return utterance.new_start or 0.0


def _by_time(timed: Utterance | Word | MovedSound) -> tuple[float, float]:
    return timed.start, timed.end


# Rows and objects. A column of a row is a field of the conversation, or a list of one field of its utterances.


class _Codec(NamedTuple):
    """A codec of a column: its field, its types, and whether its values are objects."""

    field: str
    hint: Any
    feature: Feature
    holds_objects: bool
    listed: List

    def read(self, value: Any) -> Any:
        """Read the value of the field from that of a row, whose lists and dicts stay as they are."""
        if value is not None and self.holds_objects:
            return msgspec.convert(value, self.hint)
        return [*value] if isinstance(value, list) else value

    def write(self, value: Any) -> Any:
        """Write the value of a row from that of the field."""
        if not self.holds_objects:
            return value
        return _plain(msgspec.to_builtins(value, enc_hook=_python_number), self.feature)


def _codecs(record: type[msgspec.Struct]) -> dict[str, _Codec]:
    """Return the codecs of the fields of a class, by the names of their columns."""
    codecs: dict[str, _Codec] = {}
    hints = get_type_hints(record, include_extras=True)
    for field, name in zip(record.__struct_fields__, record.__struct_encode_fields__, strict=True):
        if field not in ("utterances", "extra"):
            hint = hints[field]
            feature = feature_of(hint)
            codecs[name] = _Codec(field, hint, feature, _holds_objects(hint), List(feature))
    return codecs


def _holds_objects(hint: object) -> bool:
    """Whether values of a type are objects or contain any."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct | Reject):
        return True
    return any(map(_holds_objects, get_args(hint)))


def _python_number(value: object) -> object:
    """Turn a number of NumPy, which the user's own aligners may return, into one of Python."""
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(f"a {type(value).__name__} in a column")


def _plain(value: Any, feature: Feature) -> Any:
    """Return a value with the fields of its type alone: words have more than most columns keep."""
    if isinstance(feature, List) and value is not None:
        return [_plain(item, feature.feature) for item in value]
    if isinstance(feature, dict) and value is not None:
        return {name: _plain(value[name], kind) for name, kind in feature.items()}
    return value


_OF_CONVERSATION = _codecs(Conversation)

_OF_UTTERANCE = _codecs(Utterance)

#: The names of all columns that are fields.
_KNOWN = _OF_CONVERSATION.keys() | _OF_UTTERANCE.keys()


def conversation_features(*names: str) -> Features:
    """Return the types of columns of a conversation."""
    features: dict[str, Feature] = {}
    for name in names:
        if name in _OF_CONVERSATION:
            features[name] = _OF_CONVERSATION[name].feature
        else:
            features[name] = List(_OF_UTTERANCE[name].feature)
    return Features(features)


def utterance_features(*names: str) -> Features:
    """Return the types of columns of single utterances."""
    return Features({name: _OF_UTTERANCE[name].feature for name in names})


def from_row(row: Mapping[str, Any], features: Features | None = None) -> Conversation:
    """Make the conversation with these columns. Raises ValueError where its utterances lack a value each."""
    talk = Conversation()
    assign(talk, row, features)
    return talk


def assign(talk: Conversation, row: Mapping[str, Any], features: Features | None = None) -> None:
    """Set these columns of a conversation, whose utterances a row with `utterance_id` may make anew.

    A list is a column of the utterances if a field of `Utterance` has its name. Values of a column to which
    `features` give another type than its field has, and words without text in other people's rows, are kept as
    they are in `extra`. Raises ValueError, with its name, for a column without a value for each utterance.
    """
    of_utterances: dict[str, list[Any]] = {}
    for name, value in row.items():
        kind = features[name] if features else None
        of_talk = _OF_CONVERSATION.get(name)
        of_utterance = _OF_UTTERANCE.get(name)
        talk.extra[name] = value
        try:
            if of_talk and kind in (None, of_talk.feature):
                setattr(talk, of_talk.field, of_talk.read(value))
                del talk.extra[name]
            elif of_utterance and isinstance(value, list) and kind in (None, of_utterance.listed):
                of_utterances[name] = [of_utterance.read(item) for item in value]
                del talk.extra[name]
        except msgspec.ValidationError:
            continue
    if not of_utterances:
        return
    count = len(of_utterances.get("utterance_id") or next(iter(of_utterances.values())))
    if is_set(talk.utterances) and "utterance_id" not in row:
        count = len(talk.utterances)
    for name, values in of_utterances.items():
        if len(values) != count:
            raise ValueError(f"the column {name!r} has {len(values)} values for {count} utterances")
    if not is_set(talk.utterances) or count != len(talk.utterances):
        talk.utterances = [Utterance() for _ in range(count)]
    for name, values in of_utterances.items():
        field = _OF_UTTERANCE[name].field
        for utterance, value in zip(talk.utterances, values, strict=True):
            setattr(utterance, field, value)


def from_flat(
    rows: Iterable[Mapping[str, Any]], shared: Container[str]
) -> tuple[list[Conversation], list[Utterance]]:
    """Make the conversations of rows that are one utterance each, and their utterances in the order of the rows.

    Rows with the same `conversation_id` are one conversation; a row without it, or with null, is one by itself.
    The columns of `shared` are those of the conversation, as its first row has them.
    """
    talks: dict[object, Conversation] = {}
    utterances: list[Utterance] = []
    for row in rows:
        key = row.get("conversation_id")
        if key is None:
            key = object()
        if key not in talks:
            talks[key] = from_row({name: value for name, value in row.items() if name in shared})
            talks[key].utterances = []
        utterance = Utterance()
        assign_flat(utterance, {name: value for name, value in row.items() if name not in shared})
        talks[key].utterances.append(utterance)
        utterances.append(utterance)
    return [*talks.values()], utterances


def assign_flat(utterance: Utterance, row: Mapping[str, Any]) -> None:
    """Set these columns of an utterance; those without a field, or with a value not of its type, in `extra`."""
    for name, value in row.items():
        codec = _OF_UTTERANCE.get(name)
        utterance.extra[name] = value
        if codec is None:
            continue
        try:
            setattr(utterance, codec.field, codec.read(value))
            del utterance.extra[name]
        except msgspec.ValidationError:
            continue


def known_columns(utterance: Utterance, names: Iterable[str]) -> dict[str, Any]:
    """Return these columns of an utterance; null for those that no stage has made."""
    record: dict[str, Any] = {}
    for name in names:
        if name in _OF_UTTERANCE:
            codec = _OF_UTTERANCE[name]
            record[name] = codec.write(or_none(getattr(utterance, codec.field)))
        else:
            record[name] = utterance.extra.get(name)
    return record


def to_flat(utterance: Utterance, names: Iterable[str]) -> dict[str, Any]:
    """Return these columns of an utterance. Raises KeyError, with its name, for one that no stage has made."""
    return {name: _of_utterance(utterance, name) for name in names}


def has_column(talk: Conversation, name: str) -> bool:
    """Whether a column of a conversation is made; every column of utterances is where it has none."""
    if name in talk.extra:
        return True
    if name in _OF_CONVERSATION:
        return is_set(getattr(talk, _OF_CONVERSATION[name].field))
    if not is_set(talk.utterances):
        return False
    codec = _OF_UTTERANCE.get(name)
    if not talk.utterances:
        return codec is not None
    first = talk.utterances[0]
    return is_set(getattr(first, codec.field)) if codec else name in first.extra


def to_row(talk: Conversation, names: Iterable[str]) -> dict[str, Any]:
    """Return these columns of a conversation. Raises KeyError, with its name, for one that no stage has made."""
    row: dict[str, Any] = {}
    for name in names:
        if name in talk.extra:
            row[name] = talk.extra[name]
        elif name in _OF_CONVERSATION:
            codec = _OF_CONVERSATION[name]
            row[name] = _written(codec, talk, name)
        else:
            row[name] = values_of(talk.utterances, name)
    return row


def cues_of_row(row: Mapping[str, Any]) -> list[Cue]:
    """Read the cues of a row of a source; none where it has no transcript."""
    cues: list[Cue] = _OF_CONVERSATION["given"].read(row.get("given") or [])
    return cues


def rows_of_cues(cues: Sequence[Cue]) -> list[dict[str, Any]]:
    """Write cues as a row has them in `given`."""
    rows: list[dict[str, Any]] = _OF_CONVERSATION["given"].write(cues)
    return rows


def rows_of_words(words: Sequence[Word]) -> list[dict[str, Any]]:
    """Write words of a result as a row has them in `alignments`."""
    rows: list[dict[str, Any]] = _OF_CONVERSATION["alignments"].write(words)
    return rows


def values_of(utterances: Iterable[Utterance], name: str) -> list[Any]:
    """Return a column of utterances. Raises KeyError, with its name, for one that no stage has made."""
    return [_of_utterance(utterance, name) for utterance in utterances]


def _of_utterance(utterance: Utterance, name: str) -> Any:
    if name in utterance.extra or name not in _OF_UTTERANCE:
        return utterance.extra[name]
    return _written(_OF_UTTERANCE[name], utterance, name)


def _written(codec: _Codec, record: msgspec.Struct, name: str) -> Any:
    value = getattr(record, codec.field)
    if value is UNSET:
        raise KeyError(name)
    return codec.write(value)


def set_null(utterance: Utterance, names: Iterable[str]) -> None:
    """Set these columns of an utterance to null."""
    assign_flat(utterance, dict.fromkeys(names))


def share_out(talk: Conversation, names: Iterable[str]) -> None:
    """Give each utterance its value of the columns among these that no field has."""
    for name in names:
        values = talk.extra.get(name)
        if not is_set(talk.utterances) or not isinstance(values, list) or len(values) != len(talk.utterances):
            continue
        for utterance, value in zip(talk.utterances, values, strict=True):
            utterance.extra[name] = value


def gather(talk: Conversation, names: Iterable[str]) -> None:
    """Move the columns among these that utterances have in `extra` to the conversation."""
    if not is_set(talk.utterances):
        return
    for name in names:
        if name in _KNOWN and not talk.utterances:
            continue
        if all(name in utterance.extra for utterance in talk.utterances):
            talk.extra[name] = [utterance.extra[name] for utterance in talk.utterances]


def malformed(talk: Conversation, names: Iterable[str]) -> list[str]:
    """Return the columns among these whose values are not of the type of their field."""
    return [name for name in names if name in talk.extra and name in _KNOWN]


def copied(talk: Conversation) -> Conversation:
    """Copy a conversation and its utterances, so that changes to the copy leave the original as it is."""
    utterances = talk.utterances
    if is_set(utterances):
        utterances = [replace(utterance, extra={**utterance.extra}) for utterance in utterances]
    return replace(talk, utterances=utterances, extra={**talk.extra})


def with_only(talks: Iterable[Conversation], utterances: Container[int]) -> list[Conversation]:
    """Return conversations with those of their utterances whose `id()` is among `utterances`.

    A conversation without any of them is left out.
    """
    parts: list[Conversation] = []
    for talk in talks:
        chosen = [utterance for utterance in talk.utterances if id(utterance) in utterances]
        if chosen:
            parts.append(replace(talk, utterances=chosen))
    return parts


def as_stored(row: Mapping[str, Any], features: Features) -> dict[str, Any]:
    """Return these columns with the values that a file of these types would give back, between two stages.

    float64 becomes float32 where that is the type, a NumPy number a Python one, a tuple a list, and a missing
    field of a struct null. Raises the error of Arrow for a value of another type.
    """
    types = features.type
    stored: dict[str, Any] = {}
    for name, value in row.items():
        (stored[name],) = pa.array([value], types.field(name).type).to_pylist()
    return stored
