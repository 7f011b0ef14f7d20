"""Names and types of the columns that travel from the source to the end, in one place.

A row is a conversation. What belongs to an utterance is a list column with one item an utterance, all of the
same length (`utterance_id` gives it), so that a stage written for flat utterance columns can be lifted to
conversations by concatenating and splitting lists. Audio in flight is a plain struct, not `datasets.Audio`,
which would decode it at every door.
"""

from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa
from datasets import Features, List, Value

#: A batch in flight: column name to one value a row.
Batch = dict[str, list[Any]]

CHANNELS = ("left", "right")

STRING = Value("string")
SECONDS = Value("float64")
MEASURE = Value("float32")

#: Encoded audio: `bytes`, or null and a `path` (a plain path, or a `file://` URI where the name is not UTF-8).
AUDIO = {"bytes": Value("binary"), "path": STRING}

#: A word with its times in seconds of the conversation and its probability in [0, 1], null where a recogniser or a
#: format gives none.
WORD = {"word": STRING, "start": SECONDS, "end": SECONDS, "probability": MEASURE}

#: A stretch of a transcript that came with the recording. `words` is empty where only the text has times, `text`
#: null where it says who speaks but not what. `speaker` is a person's name, or null.
CUE = {
    "channel": STRING,
    "start": SECONDS,
    "end": SECONDS,
    "text": STRING,
    "words": List(WORD),
    "speaker": STRING,
}

#: Something smaller than a row that was rejected (an utterance, words of a given transcript).
REJECTED = {"id": STRING, "stage": STRING, "reason": STRING, "remedy": STRING}

#: What every source yields. `offset` and `duration` are the part of the recording that this conversation is.
#: `audio_identity` tells the file from another of its name (`sources.recorded` makes it; empty where there is a
#: `problem`). `problem` is null, or why this recording can't be used, and `remedy` what to do about it.
SOURCE = Features(
    {
        "conversation_id": STRING,
        "recording_id": STRING,
        "audio": AUDIO,
        "audio_file": STRING,
        "audio_identity": STRING,
        "offset": SECONDS,
        "duration": SECONDS,
        "sample_rate": Value("int32"),
        "channels": Value("int32"),
        "given": List(CUE),
        "input_digest": STRING,
        "problem": STRING,
        "remedy": STRING,
    }
)

#: Columns with one value a conversation that utterance stages may ask for; exploding repeats them.
CONVERSATION_COLUMNS = frozenset({"conversation_id", "recording_id", "sample_rate", "voice_wav", "voice_text"})

#: Prosodic measures in the order in which transcripts show them.
PROSODY = ("rms", "zcr", "f0_mean", "f0_std", "speech_rate", "voiced_fraction")
AFFECT = ("valence", "arousal", "dominance")


def per_utterance(features: Features) -> Features:
    """Features of flat utterance columns as list columns of conversations."""
    return Features({name: List(feature) for name, feature in features.items()})


def wrong_type(schema: pa.Schema, features: Features, columns: Iterable[str]) -> str | None:
    """Which of these columns of a file has another type than its feature, in words; None if all of them fit.

    Widths of numbers, large and dictionary encodings, and columns of nulls alone make no difference to a reader. A
    field that a struct lacks is no wrong type, and columns that the file lacks or no feature describes are none.
    """
    wanted = features.arrow_schema
    for name in columns:
        if name in schema.names and name in features:
            problem = _misfit(schema.field(name).type, wanted.field(name).type, name)
            if problem:
                return problem
    return None


_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
_PLAIN: tuple[tuple[Callable[[pa.DataType], bool], ...], ...] = (
    (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
    (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view),
    (pa.types.is_integer,),
    (pa.types.is_floating, pa.types.is_integer),
)


def _misfit(kind: pa.DataType, wanted: pa.DataType, place: str) -> str | None:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_null(kind):
        return None
    if pa.types.is_struct(wanted) and pa.types.is_struct(kind):
        parts = [
            (kind.field(field.name).type, field.type, f"{place}.{field.name}")
            for field in wanted
            if kind.get_field_index(field.name) >= 0
        ]
        return next((problem for part in parts if (problem := _misfit(*part))), None)
    if any(is_list(wanted) for is_list in _LISTS) and any(is_list(kind) for is_list in _LISTS):
        return _misfit(kind.value_type, wanted.value_type, place)
    for accepted in _PLAIN:
        if accepted[0](wanted) and any(is_one(kind) for is_one in accepted):
            return None
    return f"{place} is of the type {str(kind)[:80]}, not {str(wanted)[:80]}"
