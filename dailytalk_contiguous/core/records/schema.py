"""The columns of every row, each declared once: of a source, a conversation in flight, a finished one, a version
on the Hub, and an expressive clip.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pyarrow as pa
from datasets import Audio, Features, List, Value

from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.records.arrow_types import Feature, record_features
from dailytalk_contiguous.core.records.clip_records import ClipSource, Conditioning, Labels
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.fields import Field, columns_among, declared_fields
from dailytalk_contiguous.core.records.record import (
    EncodedAudio,
    NonSpeechSound,
    Side,
    Speakers,
    TimelineMeasures,
    UsedModel,
)
from dailytalk_contiguous.core.records.rows import conversation_features
from dailytalk_contiguous.core.records.utterance import FIELDS, features_of_fields
from dailytalk_contiguous.core.words.word import ALIGNED, WordRow

# Columns of a conversation on its way through the stages.
#
# A row is a conversation. What belongs to an utterance is a list column with one item an utterance, all of the
# same length (`utterance_id` gives it); stages take and return objects (`core.records.conversation`). Audio in
# flight is a plain struct, not `datasets.Audio`, which would decode it at every step.


#: A batch in flight: column name to one value a row.
Batch = dict[str, list[Any]]

#: A row of a dataset: its columns by name.
Row = dict[str, Any]

CHANNELS = ("left", "right")

#: The mean of all channels, where a recording is taken as one speaker.
MIX = "mix"

STRING = Value("string")
SECONDS = Value("float64")

AUDIO = record_features(EncodedAudio)

#: The beginning of the channel of a cue whose transcript does not say its side. The name that the transcript gives
#: to its speaker follows.
OPEN = "?"

MODEL = record_features(UsedModel)

REJECTED = record_features(Reject)

#: The utterances of a conversation on which a model failed (`models.failures`): the id of the utterance, the
#: stage, the error, and what to do about it. Null where there are none.
MODEL_FAILURES = conversation_features("model_failures")

#: Why a row can not be used, which stage met it, and what to do about it; null in any other row.
PROBLEM = conversation_features("problem", "problem_stage", "remedy")

#: The columns that every source yields. `offset` and `duration` are the part of the recording that this
#: conversation is.
#: `audio_identity` distinguishes the file from another of its name (`sources.transcribed` makes it; empty where
#: there is a `problem`). `transcripts` names the files that `given` is from, `given_language` is the language of
#: its texts (`en,es` for left and right), null where they don't say and it is set, or a recogniser finds it.
#: `side_shift` says how the sides were laid on one clock; null where they were not.
#: `problem` is null, or why this recording can't be used, and `remedy` what to do about it.
SOURCE = conversation_features(
    "conversation_id",
    "recording_id",
    "audio",
    "audio_file",
    "audio_identity",
    "offset",
    "duration",
    "sample_rate",
    "channels",
    "cues",
    "given_language",
    "transcripts",
    "side_shift",
    "input_digest",
    "problem",
    "remedy",
)

#: Columns with one value a conversation that stages for utterances may ask for.
CONVERSATION_COLUMNS = frozenset(
    {"conversation_id", "recording_id", "sample_rate", "given_language", "voice_wav", "voice_text"}
)


def per_utterance(features: Features) -> Features:
    """Turn features of flat utterance columns into those of list columns of conversations."""
    return Features({name: List(feature) for name, feature in features.items()})


def wrong_type(schema: pa.Schema, features: Features, columns: Iterable[str]) -> str | None:
    """Say which of these columns of a file has another type than its feature; None if all fit.

    Widths of numbers, large and dictionary encodings, and columns of nulls alone make no difference to a reader. A
    missing field of a struct is no wrong type, nor is a column that is missing or that no feature describes.
    """
    wanted = features.type  # `arrow_schema` describes all features in words, too
    for name in columns:
        if name in schema.names and name in features:
            problem = _misfit(schema.field(name).type, wanted.field(name).type, name)
            if problem:
                return problem
    return None


#: Tests of whether a type is a list.
_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)

#: A test of the type that is wanted, and the tests of the types that are read as it.
_READABLE_AS: tuple[tuple[Callable[[pa.DataType], bool], ...], ...] = (
    (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
    (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view),
    (pa.types.is_integer,),
    (pa.types.is_floating, pa.types.is_integer),
)


def _misfit(kind: pa.DataType, wanted: pa.DataType, path: str) -> str | None:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_null(kind) or kind == wanted:
        return None
    if pa.types.is_struct(wanted) and pa.types.is_struct(kind):
        for field in wanted:
            if kind.get_field_index(field.name) >= 0:
                part = kind.field(field.name).type
                problem = _misfit(part, field.type, f"{path}.{field.name}")
                if problem:
                    return problem
        return None
    if _is_list(wanted) and _is_list(kind):
        return _misfit(kind.value_type, wanted.value_type, path)
    for is_type, *is_other_type in _READABLE_AS:
        is_readable = is_type(kind) or any(is_other(kind) for is_other in is_other_type)
        if is_type(wanted) and is_readable:
            return None
    return f"{path} is of the type {str(kind)[:80]}, not {str(wanted)[:80]}"


def _is_list(kind: pa.DataType) -> bool:
    return any(is_list(kind) for is_list in _LISTS)


# Columns of a finished conversation: what `dailytalk speak` writes, and everything after it reads.
#
# One row a conversation. `audio` is stereo FLAC with the resynthesised speaker on the left, whichever side of the
# recording that was. All times are seconds of the rebuilt conversation; what was measured on the source
# performance (affect, prosody, buckets) stays as it was.


#: The left channel in the alignments of a Moshi folder, which the model is to speak like
#: (kyutai-labs/moshi-finetune).
MAIN = "SPEAKER_MAIN"

#: The right channel in the alignments of a Moshi folder.
OTHER = "SPEAKER_OTHER"

#: Folder of the audio of a training folder, and of the words beside it.
AUDIO_FOLDER = "data_stereo"

#: In place of a channel: nobody is resynthesised, and both speakers are as they were recorded.
NOBODY = "none"


def result_sides(revoice: str) -> dict[str, str]:
    """Return the side of the result on which each channel of the recording is.

    >>> result_sides("right"), result_sides(NOBODY)
    ({'left': 'right', 'right': 'left'}, {'left': 'left', 'right': 'right'})
    """
    sides = ("right", "left") if revoice == "right" else CHANNELS
    return dict(zip(CHANNELS, sides, strict=True))


ALIGNED_WORD = record_features(WordRow, ALIGNED)

SOUND = record_features(NonSpeechSound)

TIMELINE = record_features(TimelineMeasures)

#: Measures of a timeline of which the mean is shown, and what they are where nothing could change.
TIMELINE_MEANS = {"offset_distance": 0.0, "overlap_kept": 1.0, "duration_ratio": 1.0}

SIDE = record_features(Side)


#: Columns that `Segment` or a source gives, and that go as they are from there into finished rows and transcripts.
#: Their readers see null where a dataset of another version lacks them.
COLUMNS = columns_among(declared_fields(Conversation))


def built(fields: Iterable[Field] = FIELDS) -> Features:
    """Return the columns of a finished conversation with these fields of utterances, and columns among them.

    Times are seconds of the rebuilt conversation.
    """
    fields = tuple(fields)
    features: dict[str, Feature] = {
        "conversation_id": STRING,
        "recording_id": STRING,
        "audio": Audio(num_channels=2),
        "sample_rate": Value("int32"),
        "duration": SECONDS,
        "source_duration": SECONDS,
        "language": STRING,
        "utterances": List(features_of_fields(fields)),
        "alignments": List(ALIGNED_WORD),
        "sounds": List(SOUND),
        "sides": List(SIDE),
        "speakers": record_features(Speakers),
        "timeline": TIMELINE,
    }
    for column in (*COLUMNS, *columns_among(fields)):
        features[column.name] = column.feature
    return Features(features | {"provenance": STRING})


BUILT = built()

#: Columns of `BUILT` that a dataset may lack, which another version or another program made; its readers see null.
OPTIONAL = frozenset({"sides", *(column.name for column in COLUMNS)})


# Columns of a published dataset, by config: the contract between `push`, `load` and readers of tags.
#
# `conversations` is the finished conversation of `core.records.schema` with its provenance opened up; `utterances`
# is the same cut into one row an utterance, for people who train on single lines.
# A column that disappears or changes its type breaks readers, and takes a major version (`publish.hub.compare`).


#: The configs in the order in which a card lists them; the first is the default.
CONFIGS = ("conversations", "utterances")

SPLITS = ("train", "validation", "test")

#: The column of stereo sound. A version may have a mono column for each of `CHANNELS` in its place.
AUDIO_COLUMN = "audio"


def digest_column(name: str) -> str:
    """Return the column with the digest of a column of sound, in hexadecimal.

    The digest of `audio` is that of the stereo file even where the sides are separate files, so that versions can
    be compared.
    """
    return f"{name}_sha256"


#: How a row came about. `source_id`: the recording; `source`: the dataset or place that it is from, where known;
#: `stages`: each with the digest of its settings and source code; `settings`: JSON of those that decide the sound.
PROVENANCE = {
    "source_id": STRING,
    "source": STRING,
    "source_licence": STRING,
    "tool": STRING,
    "voice": STRING,
    "models": List(MODEL),
    "stages": List({"name": STRING, "digest": STRING}),
    "settings": STRING,
}

#: A word in seconds of its utterance's own audio; its other fields are those of
#: `core.records.schema.ALIGNED_WORD`.
PUBLISHED_WORD = {name: kind for name, kind in ALIGNED_WORD.items() if name != "speaker"}


def published_features(
    config: str,
    sample_rate: int | None,
    labelled: bool = False,
    fields: Iterable[Field] = FIELDS,
    audio_columns: Sequence[str] = (AUDIO_COLUMN,),
) -> Features:
    """Return the columns of a config.

    Args:
        config: one of `CONFIGS`. `conversations` has the columns of `BUILT`, with `audio` (stereo FLAC) declared
            as such, `provenance` as a struct, and `audio_sha256`, the digest of the encoded audio, in hexadecimal.
            `utterances` has one row for each audible utterance: `audio` is mono FLAC of its speaker's channel from
            `start` to `end`, which stay seconds of the conversation, and `duration` that of this audio in seconds.
        sample_rate: Hz; None where rows differ.
        labelled: whether rows are clips, which have `LABELS`.
        fields: fields of utterances, and columns among them.
        audio_columns: with `CHANNELS`, `left` and `right` (mono FLAC) take the place of the `audio` of
            conversations, each with its digest.

    Raises KeyError for another config.
    """
    n_channels = 2 if len(audio_columns) == 1 else 1
    sounds = {name: Audio(sampling_rate=sample_rate, num_channels=n_channels) for name in audio_columns}
    digested = dict.fromkeys((AUDIO_COLUMN, *audio_columns))
    digests = {digest_column(name): STRING for name in digested}
    labels = {"labels": LABELS} if labelled else {}
    if config == "utterances":
        columns = {
            "utterance_id": STRING,
            "conversation_id": STRING,
            "recording_id": STRING,
            "audio": Audio(sampling_rate=sample_rate, num_channels=1),
            "audio_sha256": STRING,
            "sample_rate": Value("int32"),
            "duration": SECONDS,
            "language": STRING,
        }
        return Features(columns | features_of_fields(fields) | {"words": List(PUBLISHED_WORD)} | labels)
    if config != "conversations":
        raise KeyError(config)
    features: dict[str, Feature] = {}
    for name, feature in built(fields).items():
        features |= sounds if name == AUDIO_COLUMN else {name: feature}
    return Features(features | digests | {"provenance": PROVENANCE} | labels)


# Columns of expressive corpora: one acted or natural clip of one speaker (`core.records.clip_records`).


#: `other` is a label that has no counterpart here, or raters who did not agree; it is not "unknown" (null is).
EMOTIONS = (
    "neutral",
    "calm",
    "happy",
    "sad",
    "angry",
    "fearful",
    "disgusted",
    "surprised",
    "contemptuous",
    "other",
)

#: How it is said, apart from the emotion. Null where neither the corpus nor a rule says.
STYLES = ("normal", "whispered", "shouted", "sung")

#: What every importer of a corpus yields.
CLIP = Features(record_features(ClipSource))


# A finished clip: a conversation with labels, as a row of `clips/`, as it is published, and beside a WAV.
#
# What does not apply or isn't known is null. A copy is not measured again, so its prosody and its quality are
# null; its labels, affect and tag are those of its source, which `apps.clips.augment` sees to.


#: How a source was conditioned (`apps.clips.condition`).
CONDITIONING = record_features(Conditioning)

#: What the row of a clip has in addition to that of a conversation.
LABELS = record_features(Labels)

#: A row of `clips/`. Its one utterance is on the left, where there may be a prompt before it, as on the right.
LABELLED = Features({**BUILT, "labels": LABELS, "split": STRING})
