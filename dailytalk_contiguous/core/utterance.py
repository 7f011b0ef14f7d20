"""An utterance: every field that it has, once, in a row and in a line of transcript.jsonl.

Rows, transcripts, their readers and checks, exports, the review page and tables for people are made from `FIELDS`.
In flight an utterance is one item in each of many list columns, so that stages for flat columns can be lifted; in
what is finished it is a struct in the list `utterances`. `pack_utterances` and `unpack_utterances` are the way
from one to the other, `line_of` and `utterance_of` the way to a transcript and back.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from typing import Annotated, Any, NamedTuple, NotRequired, TypedDict, get_type_hints

import msgspec
import numpy as np
from datasets import List, Value

from dailytalk_contiguous.core.documents import LATEST, Number, Whole, fits, is_number, quoted
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records import (
    AlignedWord,
    Count,
    EmotionFields,
    EmotionShare,
    Flag,
    Measure,
    ModelsOfUtterance,
    Seconds,
    Stored,
    SynthesisRecord,
    Text,
    UtteredWord,
    WordRow,
    feature_of,
    record_features,
)

_TEXT = Value("string")
_MEASURE = Value("float32")

#: Ratings of affect, each in [0, 1].
AFFECT = ("valence", "arousal", "dominance")

#: Prosodic measures in the order in which transcripts show them.
PROSODY = ("rms", "zcr", "f0_mean", "f0_std", "speech_rate", "voiced_fraction")

#: Those of `PROSODY` that are measured on a take, to be compared with its source.
TAKE_PROSODY = ("rms", "f0_mean", "speech_rate")

#: How far a take is from its source in melody and loudness, how alike both are to an encoder of prosodic tokens,
#: and how far apart their ends are: the fields of `core.delivery.Delivery`.
DELIVERY = (
    "delivery_distance",
    "delivery_semitones",
    "delivery_decibels",
    "delivery_cosine",
    "delivery_ending",
)

#: The types of a word with its times.
WORD = record_features(WordRow)

#: The types of a word of an utterance.
UTTERED_WORD = record_features(UtteredWord)

#: What a word is beside its times: it is written to a line only where it is true.
_WORD_MARKS = ("fitted", "filler")

#: The types of what a synthesis cost, and how it sounds; null for utterances that were not resynthesised.
SYNTHESIS = record_features(SynthesisRecord)

#: `tries` of an utterance that is the recorded sound in another voice: no take of its text was made.
CONVERTED_TRIES = 0

#: Prosodic tokens of an utterance and the name of their codebook (see `models.codebook`).
PROSODIC_TOKENS = {"prosody_tokens": List(Value("int16")), "prosody_model": _TEXT}

#: The types of what a classifier of emotion says of an utterance.
EMOTION_GUESS = record_features(EmotionFields)

#: How an utterance came into the rebuilt conversation: resynthesised, kept sample for sample, kept although it was
#: to be resynthesised (flagged), or left out for want of text.
STATUSES = ("spoken", "kept", "kept-original", "dropped")

#: How an utterance enters (see `core.turns`).
EVENTS = ("turn", "overlap", "backchannel", "interruption")

#: What is put where a reply was interrupted.
CUT_MARK = "— [interrupted]"

#: The value of `recogniser` for utterances whose words came with the recording.
GIVEN = "given"

#: The source of words with the recogniser's times.
RECOGNISER = "recogniser"

#: The source of words whose given times were fitted to the speech that was found (see `core.cues`).
GIVEN_FITTED = "given-fitted"

#: The sources of words of a given, and of a synthesised, text by Whisper, which knows the text.
RECOGNISED_TEXT = "recognised-text"
RECOGNISED_SYNTHESIS = "recognised-synthesis"

#: The source of words that share the time of their utterance.
PROPORTIONAL = "proportional"

_STATUSES = ", ".join(STATUSES)
_EVENTS = ", ".join(EVENTS)

#: Characters of the text of one utterance; half an hour of speech has fewer.
LONGEST_TEXT = 20_000

#: The times of an utterance: its start and end, and how far inside these it sounds.
EDGES = ("start", "end", "start_trim", "end_trim")

#: Seconds beyond its start and end that an utterance may sound (`core.spans.sounding` looks no further than 0.2).
MOST_BEYOND = 1.0

#: Types that a stage may publish, for they are the same in Arrow, JSON and the Hub's viewer.
_PLAIN = ("string", "bool", "int8", "int16", "int32", "int64", "float32", "float64")


@dataclasses.dataclass(frozen=True, eq=False)
class Field:
    """A field of an utterance, as `FIELDS` has it, or a stage that publishes one (`Stage.publishes`).

    Attributes:
        name: in a row.
        feature: its type there; None takes the type of the column that the stage adds.
        about: what it is and where it comes from. unit: its unit or range, beside its type.
        key: of a line of transcript.jsonl, `vad.valence` of an object in it; empty for the name.
        digits: decimals of its numbers in a line; None for all.
        required: whether null is no value.
        editable: whether a person's edit of it counts; other fields follow from those.
        part: `row` of rows alone, `line` of lines alone, `built` of what `speak` makes: not in transcript.jsonl.
        only_with: the field without which a line has not this one either.
        optional: whether rows of earlier versions may lack it; readers see null.
        shape: its type in a line, where that is another. write, read: to this shape, and from it.
    """

    name: str = ""
    feature: Any = None
    about: str = dataclasses.field(default="", repr=False)
    unit: str = dataclasses.field(default="", repr=False)
    key: str = ""
    digits: int | None = None
    required: bool = False
    editable: bool = True
    part: str = ""
    only_with: str = ""
    optional: bool = False
    shape: Any = None
    write: Callable[[Any], Any] | None = None
    read: Callable[[Any], Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """The attributes alone: what is computed from them, such as `kind`, may not be picklable."""
        return {attribute.name: getattr(self, attribute.name) for attribute in dataclasses.fields(self)}

    @cached_property
    def path(self) -> tuple[str, ...]:
        return tuple((self.key or self.name).split("."))

    @cached_property
    def kind(self) -> Any:
        """The type of its value in a line, for `value_problem`."""
        return value_kind(self.feature if self.shape is None else self.shape)

    @cached_property
    def writer(self) -> Callable[[Any], Any] | None:
        """The function from a row's value, which is not null, to one of a line; None where it is unchanged."""
        if self.write or (isinstance(self.feature, Value) and not self.feature.dtype.startswith("float")):
            return self.write
        return partial(in_digits, digits=self.digits)

    def taken(self, line: Mapping[str, Any]) -> Any:
        """Its value in a line; null for what is empty or no number."""
        value: Any = line
        for name in self.path:
            value = value.get(name) if isinstance(value, Mapping) else None
        if self.read:
            return self.read(value)
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return None if value == "" else value


#: What is counted of a column: how often it has each value; of its numbers mean, least and most.
TALLIES = ("", "count", "mean")


@dataclasses.dataclass(frozen=True, eq=False)
class Column(Field):
    """A column of a row with one value a conversation, as `core.schema.COLUMNS` has it, or a stage publishes it.

    Attributes:
        tally: what is counted of it for reports and cards, one of `TALLIES`.
        in_lines: whether each line of a transcript says it, too; an edit of it there counts for nothing.
    """

    part: str = "line"  # of no utterance
    tally: str = ""
    in_lines: bool = False


def in_digits(value: Any, digits: int | None) -> Any:
    """A value with its numbers rounded to decimals, and None for those that are not finite."""
    if isinstance(value, (float, np.floating)):  # twice as fast as a union of types, and a corpus has millions
        return None if not math.isfinite(value) else value if digits is None else round(float(value), digits)
    if isinstance(value, list):
        return [in_digits(item, digits) for item in value]
    if isinstance(value, dict):
        return {name: in_digits(item, digits) for name, item in value.items()}
    return value


def texts_of(value: Any) -> list[str] | None:
    """One text or several as a list, each once and none empty; None where there is none.

    >>> texts_of("Ann"), texts_of(["tag", "text", "tag"]), texts_of([])
    (['Ann'], ['tag', 'text'], None)
    """
    texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return [*dict.fromkeys(text for text in texts if isinstance(text, str) and text.strip())] or None


def _shares_by_name(shares: Any) -> dict[str, float | None]:
    # What a file from outside holds may be empty.
    return {
        share["emotion"]: in_digits(share["probability"], 4)
        for share in shares or ()
        if share and share["emotion"]
    }


def _shares(by_name: Any) -> list[dict[str, Any]] | None:
    known = by_name.items() if isinstance(by_name, dict) else ()
    return [{"emotion": name, "probability": share} for name, share in known if is_number(share)] or None


def _words_written(words: Any) -> list[dict[str, Any]]:
    written = [{**word, "probability": in_digits(word.get("probability"), 3)} for word in words]
    for word in written:
        for mark in _WORD_MARKS:
            if not word.get(mark):
                word.pop(mark, None)
    return written


def _models_taken(by_role: Any) -> ModelsOfUtterance:
    named = by_role if isinstance(by_role, dict) else {}
    return {"recogniser": named.get("recogniser"), "affect": named.get("affect")}


def _synthesis_written(synthesis: Any) -> dict[str, Any]:
    return {name: None if value == "" else value for name, value in synthesis.items()}


def _words_taken(words: Any) -> list[dict[str, Any]]:
    return [
        {name: word.get(name) for name in WORD} | {mark: word.get(mark) is True for mark in _WORD_MARKS}
        for word in words or ()
    ]


_LEVELS = "LOW, MID, HIGH"
_OF_BUCKET = "among the speaker's utterances in this conversation"


class Utterance(TypedDict):
    """All fields of an utterance, in the order of a line of transcript.jsonl.

    Those of part `line` stand in transcripts alone, those of part `row` in finished rows alone. `start` and `end`
    are null in an utterance that was left out (`status` is `dropped`), which `heard_utterances` does not return;
    `source_channel`, `source_start` and `source_end` are null before `speak`.
    """

    segment_id: Annotated[Count, Field(about="counts through the whole file", unit="from 0", part="line")]
    audio_file: Annotated[Text, Field(about="path of the recording under the input", part="line")]
    channel: Annotated[
        Text, Field(about="of the recording; in what is finished, of the result", unit="`left`, `right`, `mix`")
    ]
    start: Annotated[
        Seconds,
        Field(
            about="where speech begins (Silero); in what is finished, null if `status` is `dropped`",
            unit="seconds",
        ),
    ]
    end: Annotated[
        Seconds,
        Field(
            about="where it ends, or null as `start`; over 12 s it is cut at the quietest point", unit="seconds"
        ),
    ]
    duration: Annotated[Seconds, Field(about="from start to end", unit="seconds", part="line", editable=False)]
    valence: Annotated[
        Measure | None,
        Field(about="by the affect model that `models.affect` names", unit="[0, 1]", key="vad.valence", digits=4),
    ]
    arousal: Annotated[
        Measure | None,
        Field(about="by the affect model that `models.affect` names", unit="[0, 1]", key="vad.arousal", digits=4),
    ]
    dominance: Annotated[
        Measure | None,
        Field(
            about="by the affect model that `models.affect` names", unit="[0, 1]", key="vad.dominance", digits=4
        ),
    ]
    rms: Annotated[
        Measure | None,
        Field(
            about="in frames of 1024/256 samples at 16 kHz", unit="linear full scale", key="features.rms", digits=5
        ),
    ]
    zcr: Annotated[
        Measure | None,
        Field(about="zero crossings", unit="crossings a sample", key="features.zcr", digits=5),
    ]
    f0_mean: Annotated[
        Measure | None,
        Field(
            about="pitch by pYIN, 65–500 Hz; null below 5 voiced frames",
            unit="Hz",
            key="features.f0_mean",
            digits=5,
        ),
    ]
    f0_std: Annotated[
        Measure | None,
        Field(about="its standard deviation", unit="Hz", key="features.f0_std", digits=5),
    ]
    speech_rate: Annotated[
        Measure | None,
        Field(about="of the words", unit="words a second of speech", key="features.speech_rate", digits=5),
    ]
    voiced_fraction: Annotated[
        Measure | None,
        Field(about="share of voiced frames", unit="[0, 1]", key="features.voiced_fraction", digits=5),
    ]
    valence_bucket: Annotated[
        Text | None,
        Field(about=_OF_BUCKET, unit=_LEVELS, key="vad_bucket.valence", editable=False),
    ]
    arousal_bucket: Annotated[
        Text | None,
        Field(about=_OF_BUCKET, unit=_LEVELS, key="vad_bucket.arousal", editable=False),
    ]
    dominance_bucket: Annotated[
        Text | None,
        Field(about=_OF_BUCKET, unit=_LEVELS, key="vad_bucket.dominance", editable=False),
    ]
    energy_bucket: Annotated[
        Text | None,
        Field(about=f"rms, {_OF_BUCKET}", unit=_LEVELS, key="prosody_bucket.energy", editable=False),
    ]
    rate_bucket: Annotated[
        Text | None,
        Field(about=f"speech_rate, {_OF_BUCKET}", unit=_LEVELS, key="prosody_bucket.rate", editable=False),
    ]
    zcr_bucket: Annotated[
        Text | None,
        Field(about=f"zcr, {_OF_BUCKET}", unit=_LEVELS, key="prosody_bucket.zcr", editable=False),
    ]
    pitch_bucket: Annotated[
        Text | None,
        Field(about=f"f0_mean, {_OF_BUCKET}", unit=_LEVELS, key="prosody_bucket.pitch", editable=False),
    ]
    pitch_var_bucket: Annotated[
        Text | None,
        Field(about=f"f0_std, {_OF_BUCKET}", unit=_LEVELS, key="prosody_bucket.pitch_var", editable=False),
    ]
    tag: Annotated[
        Text | None,
        Field(
            about="the style tag, of Fish Audio s1's list",
        ),
    ]
    text_raw: Annotated[
        Text | None,
        Field(
            about="recognised, or of the given transcript; empty where nothing was heard or believed",
        ),
    ]
    text: Annotated[
        Text | None,
        Field(
            about="`text_raw` with a capital, and an end mark that fits the tag where a recogniser wrote none",
        ),
    ]
    tagged_text: Annotated[
        Text | None,
        Field(
            about="`(tag) text`",
            unit="or null",
            editable=False,
        ),
    ]
    utterance_id: Annotated[
        Text,
        Field(
            about="counted within its channel",
            unit="`conversation/channel/0007`",
        ),
    ]
    conversation_id: Annotated[
        Text,
        Field(
            about="the recording's path without its ending, `.000` … if it was cut",
            part="line",
        ),
    ]
    speaker: Annotated[
        Text,
        Field(
            about="as `--speakers` or the given transcript name the person, or `recording/channel`",
        ),
    ]
    gender: Annotated[
        Text | None,
        Field(
            about="of the speaker, where `--speakers` has it",
            unit="or not there",
            part="line",
        ),
    ]
    rule: Annotated[
        Text | None,
        Field(
            about="what chose the tag; `emotion: CLASS` where `--emotion-vote` broke a tie",
            editable=False,
        ),
    ]
    kind: Annotated[
        Text,
        Field(
            about="`short`: under 0.8 s",
            unit="`speech`, `short`",
        ),
    ]
    words: Annotated[
        list[UtteredWord],
        Field(
            about="inside the utterance, sorted, none of no length (in finished rows: `alignments`). `fitted`, "
            "true or not there: the given transcript has no time of this word, or one that reaches beyond the "
            "speech. `filler`, true or not there: it is an um, uh … (see `--fillers`)",
            unit="seconds, [0, 1] or null",
            part="line",
            write=_words_written,
            read=_words_taken,
        ),
    ]
    language: Annotated[
        Text | None,
        Field(
            about="set, detected once a conversation, or found in given texts",
            unit="ISO 639-1, or `und`",
        ),
    ]
    confidence: Annotated[
        Measure | None,
        Field(
            about="geometric mean of the words' probabilities; null where a word has none (given transcripts)",
            unit="[0, 1] or null",
            digits=4,
        ),
    ]
    models: Annotated[
        ModelsOfUtterance,
        Field(
            about="names; `given` for a transcript by people; `voice-linear` for the model that comes with the "
            "package",
            shape={str: _TEXT},
            read=_models_taken,
        ),
    ]
    context_seconds: Annotated[
        Measure | None,
        Field(
            about="of the speaker's speech near it that was rated with it",
            unit="seconds",
            digits=3,
        ),
    ]
    text_reason: Annotated[
        Text | None,
        Field(
            about="why `text_raw` is empty",
            unit="or null",
            editable=False,
        ),
    ]
    start_trim: Annotated[
        Seconds | None,
        Field(
            about="from its start to where it sounds, which measures of timing begin with: over the room, and "
            "no more than 40 dB under its loudest moment; below 0 it sounds before its start",
            only_with="start_trim",
            unit="seconds, or not there",
            digits=4,
            editable=False,
            optional=True,
        ),
    ]
    end_trim: Annotated[
        Seconds | None,
        Field(
            about="from where it last sounds to its end",
            only_with="end_trim",
            unit="seconds, or not there",
            digits=4,
            editable=False,
            optional=True,
        ),
    ]
    emotion_class: Annotated[
        Text | None,
        Field(
            about="with `--emotion`: the class that a classifier hears, a guess from sound and no diagnosis; "
            "`unsure` where none reaches `--emotion-confidence`, null where nothing can be said (silence, under "
            "0.1 s)",
            unit="or not there",
            only_with="emotion_model",
            optional=True,
        ),
    ]
    emotion_probabilities: Annotated[
        list[EmotionShare] | None,
        Field(
            about="of all classes, sum 1; empty where nothing can be said. In a line {class: probability}",
            unit="[0, 1], or not there",
            shape={str: _MEASURE},
            write=_shares_by_name,
            read=_shares,
            only_with="emotion_model",
            optional=True,
        ),
    ]
    emotion_model: Annotated[
        Text | None,
        Field(
            about="the classifier; `voice-linear` comes with the package",
            unit="or not there",
            only_with="emotion_model",
            optional=True,
        ),
    ]
    joined: Annotated[
        list[Text] | None,
        Field(
            about="the ids of the parts that a speaker's pause had torn from one sentence; the first is its own",
            unit="or not there",
            only_with="joined",
            editable=False,
            optional=True,
            shape=[_TEXT],
            read=texts_of,
        ),
    ]
    edited_by: Annotated[
        list[Text] | None,
        Field(
            about="who corrected it",
            unit="or not there",
            only_with="edited_by",
            editable=False,
            optional=True,
            shape=[_TEXT],
            read=texts_of,
        ),
    ]
    edited_fields: Annotated[
        list[Text] | None,
        Field(
            about="what of it they corrected: `text`, `tag`, `start` …",
            unit="or not there",
            only_with="edited_fields",
            editable=False,
            optional=True,
            shape=[_TEXT],
            read=texts_of,
        ),
    ]
    source_channel: Annotated[
        Text,
        Field(
            about="in the recording",
            unit="`left`, `right`",
            part="built",
        ),
    ]
    source_start: Annotated[
        Seconds,
        Field(
            about="where it was",
            unit="seconds of the conversation",
            part="built",
        ),
    ]
    source_end: Annotated[
        Seconds,
        Field(
            about="where it was",
            unit="seconds of the conversation",
            part="built",
        ),
    ]
    source_start_trim: Annotated[
        Seconds | None,
        Field(
            about="its start_trim there",
            part="built",
            only_with="source_start_trim",
            unit="seconds, or not there",
            digits=4,
            editable=False,
            optional=True,
        ),
    ]
    source_end_trim: Annotated[
        Seconds | None,
        Field(
            about="its end_trim there",
            part="built",
            only_with="source_end_trim",
            unit="seconds, or not there",
            digits=4,
            editable=False,
            optional=True,
        ),
    ]
    status: Annotated[
        Text | None,
        Field(
            about="resynthesised; as recorded; kept all the same; left out",
            unit=_STATUSES,
            part="built",
        ),
    ]
    reason: Annotated[
        Text | None,
        Field(
            about="why it was dropped or kept",
            unit="or null",
            part="built",
        ),
    ]
    tag_said: Annotated[
        Flag | None,
        Field(
            about="whether the new voice was given the tag, or what `--map-tag` sends for it; false where it "
            "takes none",
            unit="or null (not resynthesised, or without a tag)",
            part="built",
            optional=True,
        ),
    ]
    event: Annotated[
        Text | None,
        Field(
            about="how it enters, from times alone",
            unit=_EVENTS,
            part="built",
        ),
    ]
    source_event: Annotated[
        Text | None,
        Field(
            about="the same in the recording",
            unit=_EVENTS,
            part="built",
        ),
    ]
    transition: Annotated[
        Text | None,
        Field(
            about="who speaks next where both are silent for 0.2 s behind its end: the other (`shift`) or the "
            "same (`hold`)",
            unit="`shift`, `hold` or null",
            only_with="transition",
            part="built",
            optional=True,
        ),
    ]
    source_transition: Annotated[
        Text | None,
        Field(
            about="the same in the recording",
            unit="`shift`, `hold` or null",
            only_with="source_transition",
            part="built",
            optional=True,
        ),
    ]
    turn_end: Annotated[
        Measure | None,
        Field(
            about="how finished it sounds at such an end, as Smart Turn hears it (see `--turn-ends`)",
            unit="[0, 1] or null",
            digits=4,
            only_with="transition",
            part="built",
            optional=True,
        ),
    ]
    source_turn_end: Annotated[
        Measure | None,
        Field(
            about="the same in the recording",
            unit="[0, 1] or null",
            digits=4,
            only_with="source_transition",
            part="built",
            optional=True,
        ),
    ]
    synthesis: Annotated[
        SynthesisRecord | None,
        Field(
            about="where it was resynthesised: take_part, from 1, if the utterances of its turn, which have the "
            "same cache_key, were said in one take; cost in USD, of which each of them has its share; tries is "
            "0 where the recorded sound was converted (`--tts shift`), of which there are no takes; rms, "
            "f0_mean, speech_rate of its take, as those of the source are measured; with `--delivery contours`, "
            "delivery_distance (0 to 2.3, 0 is alike), delivery_semitones and delivery_decibels: how far the "
            "take is from its source in melody and loudness, each against its own speaker, with time warped; "
            "delivery_ending (0 to 1, 0 is alike): how far in the pitch, length and level of its end; with "
            "`--delivery MODEL` delivery_cosine, too: of their embeddings by an encoder of prosodic tokens",
            unit="or null",
            part="built",
            write=_synthesis_written,
        ),
    ]
    prosody_tokens: Annotated[
        list[Annotated[int, Stored("int16")]] | None,
        Field(
            about="with `--prosodic-tokens`: how it sounds here, a token every 16 ms from its start "
            "(docs/tokens.md)",
            unit="0 to 119, or null",
            part="row",
            optional=True,
        ),
    ]
    prosody_model: Annotated[
        Text | None, Field(about="the name of their codebook", unit="or null", part="row", optional=True)
    ]


def fields_of(record: type) -> tuple[Field, ...]:
    """The fields of a class that are `Annotated` with a `Field`, with their names and features."""
    fields = []
    for name, hint in get_type_hints(record, include_extras=True).items():
        marks = [mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Field)]
        fields += [dataclasses.replace(mark, name=name, feature=feature_of(hint)) for mark in marks]
    return tuple(fields)


#: All fields, in the order of a line.
FIELDS = fields_of(Utterance)


def features_of_fields(fields: Iterable[Field] = FIELDS) -> dict[str, Any]:
    """The types of an utterance of a finished row."""
    return {field.name: field.feature for field in fields if field.part != "line"}


def columns_among(fields: Iterable[Field]) -> tuple["Column", ...]:
    return tuple(field for field in fields if isinstance(field, Column))


def columns_of_lines(row: Mapping[str, Any], fields: Iterable[Field]) -> dict[str, Any]:
    """Return the fields that each line of a conversation repeats of its row, by its columns."""
    values = ((column, row[column.name]) for column in columns_among(fields) if column.in_lines)
    return {
        column.path[0]: column.writer(value) if column.writer and value is not None else value
        for column, value in values
    }


UTTERANCE = features_of_fields()

#: Fields that rows of earlier versions, or of other programs, may lack; their readers see null.
OPTIONAL_FIELDS = frozenset(field.name for field in FIELDS if field.optional)

#: Keys of lines that follow from others, and are no edits themselves.
DERIVED_KEYS = frozenset(field.path[0] for field in FIELDS if not field.editable)


# Between list columns and structs.


def pack_utterances(row: Mapping[str, Any], fields: Sequence[Field] = FIELDS) -> list[dict[str, Any]]:
    """The utterances of a conversation whose columns are lists, each with all its fields; null for no column."""
    lacking = dict.fromkeys(features_of_fields(fields))
    names = [name for name in lacking if row.get(name) is not None]
    columns = [row[name] for name in names]
    count = len(row["utterance_id"])
    return [
        {**lacking, **dict(zip(names, values, strict=True))}
        for values in (zip(*columns, strict=True) if count else ())
    ]


def unpack_utterances(utterances: Iterable[Mapping[str, Any]], names: Iterable[str]) -> dict[str, list[Any]]:
    """Undo `pack_utterances`: the list columns of some fields."""
    listed = list(utterances)
    return {name: [utterance[name] for utterance in listed] for name in names}


def sounding_span(utterance: Mapping[str, Any], timeline: str = "") -> tuple[float, float] | None:
    """From when to when an utterance sounds, in seconds; with the timeline `source_`, in the recording.

    Its start and end where that is not known (rows of older versions, edges that people moved); None without any.

    >>> sounding_span({"start": 1.0, "end": 2.5, "start_trim": 0.02, "end_trim": 0.1})
    (1.02, 2.4)
    """
    get = utterance.get
    start, end = (get("source_start"), get("source_end")) if timeline else (get("start"), get("end"))
    if not is_number(start) or not is_number(end):
        return None
    trims = (
        (get("source_start_trim"), get("source_end_trim")) if timeline else (get("start_trim"), get("end_trim"))
    )
    if trims == (None, None):
        return start, end
    before, after = known_trims(utterance, timeline)
    return start + (before or 0.0), end - (after or 0.0)


def heard_utterances(row: Mapping[str, Any]) -> list[Utterance]:
    """The utterances of a finished row that are in its audio, each with a `start` and an `end` in seconds.

    Those that were left out (`status` is `dropped`) stay in the row, with a `reason` and without times.

    >>> from dailytalk_contiguous import heard_utterances
    >>> said = {"status": "spoken", "start": 0.5, "end": 2.0}
    >>> left_out = {"status": "dropped", "start": None, "end": None}
    >>> sum(said["end"] - said["start"] for said in heard_utterances({"utterances": [said, left_out]}))
    1.5
    """
    return [said for said in row["utterances"] or () if said["status"] != "dropped"]


def is_converted(utterance: Mapping[str, Any]) -> bool:
    """Whether an utterance is its recorded sound in another voice, and no take of its text."""
    synthesis = utterance.get("synthesis") or {}
    return synthesis.get("tries") == CONVERTED_TRIES


def said_tag(utterance: Utterance) -> str | None:
    """The style tag of what is heard: None where a new voice was not given the source's (`tag_said`)."""
    return None if utterance.get("tag_said") is False else utterance["tag"]


def known_trims(utterance: Mapping[str, Any], timeline: str = "") -> tuple[float | None, float | None]:
    """How far from its start and its end an utterance with both sounds; None where that is unknown or can't be."""
    trims = utterance.get(f"{timeline}start_trim"), utterance.get(f"{timeline}end_trim")
    if trims == (None, None):
        return trims
    length = utterance[f"{timeline}end"] - utterance[f"{timeline}start"]
    before, after = (trim if is_number(trim, -MOST_BEYOND, length) else None for trim in trims)
    return (before, after) if (before or 0.0) + (after or 0.0) < length else (None, None)


def words_within(words: Iterable[AlignedWord], utterance: Utterance) -> list[AlignedWord]:
    """The aligned words of an utterance's channel whose middle is in it; none of one without times."""
    start = utterance["start"]
    end = utterance["end"]
    return [
        word.copy()
        for word in words
        if start is not None
        and word["speaker"] == utterance["channel"]
        and start - 1e-6 <= (word["start"] + word["end"]) / 2 <= end + 1e-6
    ]


# Between utterances and the lines of a transcript.


def line_of(
    utterance: Mapping[str, Any], rebuilt: bool = False, fields: Iterable[Field] = FIELDS
) -> dict[str, Any]:
    """An utterance, with the fields of its line, as a line of transcript.jsonl or, `rebuilt`, of the shifted one.

    Times are written as they are.
    """
    line: dict[str, Any] = {}
    for name, only_with, objects, key, writer in _written(tuple(fields), rebuilt):
        if name in utterance and (not only_with or utterance.get(only_with)):
            value = utterance[name]
            holder = line.setdefault(objects[0], {}) if objects else line
            holder[key] = writer(value) if writer and value is not None else value
    return line


@lru_cache(maxsize=8)
def _written(fields: tuple[Field, ...], rebuilt: bool) -> list[tuple[Any, ...]]:
    """The values that `line_of` needs of each field, looked up once: a corpus has millions of lines."""
    parts = ("", "line", "built") if rebuilt else ("", "line")
    return [
        (field.name, field.only_with, field.path[:-1], field.path[-1], field.writer)
        for field in fields
        if field.part in parts
    ]


def utterance_of(line: Mapping[str, Any], fields: Iterable[Field] = FIELDS) -> dict[str, Any]:
    """The fields of an utterance, and its words, from a line; null for what it lacks, or `speak` makes."""
    return {
        field.name: field.taken(line) if field.part != "built" else None
        for field in fields
        if field.part != "line" or field.name == "words"
    }


class LineProblem(NamedTuple):
    key: str
    reason: str


def line_problem(
    line: Mapping[str, Any], fields: Sequence[Field] = FIELDS, mixed: bool = False
) -> LineProblem | None:
    """Return the problem of a line of a transcript, or None: its channel, its times, or the type of a field.

    `mixed`: whether its channel may be `mix`, of a recording that was tagged as one speaker.
    """
    if line.get("channel") not in ("left", "right", *(["mix"] if mixed else [])):
        what = "left, right or mix" if mixed else "left or right"
        return LineProblem("channel", f"channel is {quoted(line.get('channel'))}, not {what}")
    if line.get("status") != "dropped":  # what was left out has no times
        for edge in ("start", "end"):
            if not is_number(line.get(edge), 0, LATEST):
                reason = f"{edge} is {quoted(line.get(edge))}, not a number of seconds from 0"
                return LineProblem(edge, reason)
        if line["end"] <= line["start"]:
            return LineProblem("end", f"it ends at {line['end']} s, not after its start at {line['start']} s")
    for key, kind in _kinds(tuple(fields)).items():
        value = line.get(key)
        if value is not None and (misfit := value_problem(value, kind, key)):
            return LineProblem(key, misfit)
    for field in fields:
        if field.required and field.taken(line) is None:
            return LineProblem(field.name, f"{field.name} is missing")
    if len(line.get("text") or "") > LONGEST_TEXT:
        return LineProblem("text", f"text has more than {LONGEST_TEXT:,} characters")
    words = line.get("words") or []
    misfit = value_problem(words, _WORDS, "words")
    if misfit:
        return LineProblem("words", misfit)
    for word in words:
        start = word.get("start")
        end = word.get("end")
        if (
            not isinstance(word.get("word"), str)
            or not is_number(start, 0, LATEST)
            or not is_number(end, start, LATEST)
        ):
            return LineProblem("words", f"one of its words is {quoted(word)}, not a text with its start and end")
    return None


def emotion_guess(emotion: str | None, shares: Mapping[str, float], model: str) -> dict[str, Any]:
    """Fields of `EMOTION_GUESS`, by the probabilities of a model's classes; none where there is no estimate."""
    listed = [{"emotion": name, "probability": float(share)} for name, share in shares.items()]
    return dict(zip(EMOTION_GUESS, (emotion, listed or None, model), strict=True))


def no_text_reason(fields: Mapping[str, Any]) -> str:
    """Return why an utterance has no text, from its fields or its line; empty where no reason is known."""
    return str(fields.get("text_reason") or "")


#: What a line that gets a text says in place of that.
HAS_TEXT = {"text_reason": None}


@lru_cache(maxsize=8)
def _kinds(fields: tuple[Field, ...]) -> dict[str, Any]:
    """The type of each key of a line that the table says; of an object, that of all its values."""
    kinds: dict[str, Any] = {}
    for field in fields:
        if field.part != "row" and field.name != "words":  # which have sentences of their own
            kinds[field.path[0]] = value_kind({str: field.feature}) if len(field.path) > 1 else field.kind
    return kinds


def value_problem(value: Any, kind: Any, key: str) -> str | None:
    """Why a value of a line has not the type of its field (`Field.kind`), in a sentence.

    Null has any type, and so has an empty text. The NaN that the older tool wrote is as null in an object, and in
    place of one, of a number and of a truth value.
    """
    if value is None or value == "":
        return None
    try:
        msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        known = [0, False, {}] if value != value else [_known(value)]
        return None if any(fits(given, kind) for given in known) else f"{key}: {error}"
    return None


def _known(value: Any, depth: int = 9) -> Any:
    """A value without what is NaN in its objects, to a depth that no type has."""
    if depth and isinstance(value, dict):
        return {key: _known(part, depth - 1) for key, part in value.items() if part == part}
    return [_known(part, depth - 1) for part in value] if depth and isinstance(value, list) else value


def value_kind(feature: Any) -> Any:
    """The type of a feature's values for `value_problem`: what is in objects may be missing or null.

    A Python list is of one text, or of several.
    """
    if isinstance(feature, Value):
        if feature.dtype.startswith("int"):
            most = 1 << (int(feature.dtype[3:]) - 1)
            return Annotated[int, msgspec.Meta(ge=-most, le=most - 1)]
        return {"string": str, "bool": bool}.get(feature.dtype, Number)
    if isinstance(feature, List):
        return list[value_kind(feature.feature)]  # type: ignore[misc]
    if isinstance(feature, list):
        return str | list[value_kind(feature[0])]  # type: ignore[misc]
    if str in feature:
        return dict[str, value_kind(feature[str]) | None]  # type: ignore[misc]
    # No `msgspec.defstruct`: names may be of others, and no identifiers.
    parts = {key: value_kind(part) | None for key, part in feature.items()}
    return TypedDict("object", parts, total=False)  # type: ignore[operator]


_WORDS = value_kind(List(WORD))


def type_in_words(feature: Any) -> str:
    """A type for people: text, number, list of text, {word, start}.

    >>> type_in_words(List({"word": Value("string"), "start": Value("float64")}))
    'list of {word, start}'
    """
    if isinstance(feature, List):
        inner = type_in_words(feature.feature)
        return f"list of {inner}{'s' if inner in ('integer', 'number') else ''}"
    if isinstance(feature, dict):
        return f"{{{', '.join(feature)}}}"
    plain = {"string": "text", "bool": "true or false"}
    return plain.get(feature.dtype, "integer" if feature.dtype.startswith("int") else "number")


# What stages publish beside `FIELDS`, as run.json and a version's manifest keep it.


def described(fields: Iterable[Field]) -> list[dict[str, Any]]:
    """Fields that stages publish, as JSON."""
    return [
        {"name": field.name, "type": _type_text(field.feature), "unit": field.unit, "about": field.about}
        | {"digits": field.digits, "required": field.required}
        | ({"tally": field.tally, "in_lines": field.in_lines} if isinstance(field, Column) else {})
        for field in fields
    ]


#: Columns that rows have beside these (`core.schema.utterances`, `core.schema.LABELLED`).
_OF_ROWS = (
    "recording_id",
    "audio",
    "audio_sha256",
    "sample_rate",
    "labels",
    "split",
    "conversation_id",
    "duration",
    "source_duration",
    "language",
    "utterances",
    "alignments",
    "sounds",
    "sides",
    "speakers",
    "timeline",
    "transcript_repair",
    "transcript_marks",
    "uncovered_sound",
    "model_failures",
    "provenance",
    "problem",
    "problem_column",
    "remedy",
)

#: The most fields that a file may describe.
_MOST_FIELDS = 1000


class Described(TypedDict):
    """A field as `described` has it."""

    name: str
    type: Any
    unit: NotRequired[str | None]
    about: NotRequired[str | None]
    digits: NotRequired[Whole | None]
    required: NotRequired[bool | None]
    tally: NotRequired[str | None]
    in_lines: NotRequired[bool | None]


def _field_of(record: Mapping[str, Any]) -> Field:
    known: dict[str, Any] = {
        "feature": _type_of(record["type"]),
        "about": record.get("about") or "",
        "unit": record.get("unit") or "",
        "digits": record.get("digits"),
        "required": bool(record.get("required")),
    }
    tally = record.get("tally")
    if tally is None:
        return Field(record["name"], **known)
    return Column(record["name"], **known, tally=tally, in_lines=bool(record.get("in_lines")))


def published(records: Iterable[Mapping[str, Any]], where: str) -> tuple[Field, ...]:
    """The fields of `described`, which may come from outside; `where` is the file that has them.

    At most `_MOST_FIELDS` are read. Raises DailytalkError for a name or a type that no stage can publish.
    """
    return checked_fields(map(_field_of, itertools.islice(records, _MOST_FIELDS)), where)


def checked_fields(fields: Iterable[Field], where: str) -> tuple[Field, ...]:
    """Fields beside `FIELDS`. Raises DailytalkError for a name that is taken, or a type that none may have."""
    taken = {*_OF_ROWS, *(name for field in FIELDS for name in (field.name, field.path[0]))}
    kept: dict[str, Field] = {}
    for field in fields:
        problems = {
            "which is the name of another field": field.name in taken or field.name in kept,
            "which is no name of a column": not field.name.isidentifier() or len(field.name) > 100,
            f"of a tally that is none of {', '.join(filter(None, TALLIES))}": isinstance(field, Column)
            and field.tally not in TALLIES,
            f"of a type that is not made of {', '.join(_PLAIN)}": not _is_plain(field.feature),
        }
        wrong = [problem for problem, is_there in problems.items() if is_there]
        if wrong:
            raise DailytalkError(
                f"{where} publishes {field.name[:100]!r}, {wrong[0]}", "publish it in another way"
            )
        kept[field.name] = field
    return tuple(kept.values())


def _is_plain(feature: Any) -> bool:
    if isinstance(feature, Value):
        return feature.dtype in _PLAIN
    if isinstance(feature, List):
        return _is_plain(feature.feature)
    return isinstance(feature, dict) and bool(feature) and all(map(_is_plain, feature.values()))


def _type_text(feature: Any) -> Any:
    """A type as JSON: the name of a plain one, a list of one type, an object of types by name."""
    if isinstance(feature, List):
        return [_type_text(feature.feature)]
    if isinstance(feature, dict):
        return {name: _type_text(part) for name, part in feature.items()}
    return feature.dtype


def _type_of(text: Any) -> Any:
    if isinstance(text, list) and len(text) == 1:
        return List(_type_of(text[0]))
    if isinstance(text, dict):
        return {str(name): _type_of(part) for name, part in text.items()}
    return Value(text) if text in _PLAIN else None
