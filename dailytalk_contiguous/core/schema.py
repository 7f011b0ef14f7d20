"""Names and types of the columns that travel from the source to the end, in one place.

A row is a conversation. What belongs to an utterance is a list column with one item an utterance, all of the
same length (`utterance_id` gives it), so that a stage written for flat utterance columns can be lifted to
conversations by concatenating and splitting lists. Audio in flight is a plain struct, not `datasets.Audio`,
which would decode it at every door.
"""

from typing import Any

from datasets import Features, List, Value

#: A batch in flight: column name to one value a row.
Batch = dict[str, list[Any]]

CHANNELS = ("left", "right")

STRING = Value("string")
SECONDS = Value("float64")
MEASURE = Value("float32")

#: Encoded audio: `bytes`, or null and a `path` (a plain path, or a `file://` URI where the name is not UTF-8).
AUDIO = {"bytes": Value("binary"), "path": STRING}

#: A word with its times in seconds of the conversation and the recogniser's probability in [0, 1] (or null).
WORD = {"word": STRING, "start": SECONDS, "end": SECONDS, "probability": MEASURE}

#: A stretch of a transcript that came with the recording. `words` is empty where only the text has times.
CUE = {"channel": STRING, "start": SECONDS, "end": SECONDS, "text": STRING, "words": List(WORD)}

#: Something smaller than a row that was set aside (an utterance, words of a given transcript).
SET_ASIDE = {"id": STRING, "stage": STRING, "reason": STRING, "remedy": STRING}

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
