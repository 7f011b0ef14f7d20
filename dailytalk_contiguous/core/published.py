"""The columns of a published dataset, config by config: the contract between `push`, `load` and readers of tags.

`conversations` is the finished conversation of `core.built` with its provenance opened up; `utterances` is the
same cut into one row an utterance, for people who train on single lines; `source` is the untouched recordings. A
column that disappears or changes its type breaks readers, and takes a major version (`core.versions`).
"""

from datasets import Audio, Features, List, Value

from dailytalk_contiguous.core.built import BUILT, UTTERANCE
from dailytalk_contiguous.core.schema import MEASURE, SECONDS, STRING

#: The configs in the order in which a card lists them; the first is the default.
CONFIGS = ("conversations", "utterances", "source")

SPLITS = ("train", "validation", "test")

#: A model that had a part in a row: what it did, its name, licence, and home page.
MODEL = {"role": STRING, "name": STRING, "licence": STRING, "url": STRING}

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

#: A word in seconds of its utterance's own audio; `source` and `probability` as in `core.built.ALIGNED_WORD`.
WORD = {"word": STRING, "start": SECONDS, "end": SECONDS, "source": STRING, "probability": MEASURE}


def conversations(sample_rate: int | None) -> Features:
    """Columns of the config `conversations`; `sample_rate` in Hz, or None where rows differ.

    Those of `core.built.BUILT`, with `audio` (stereo FLAC) declared as such, `provenance` as a struct, and
    `audio_sha256`, the digest of the encoded audio, in hexadecimal.
    """
    return Features(
        {
            **BUILT,
            "audio": Audio(sampling_rate=sample_rate, num_channels=2),
            "audio_sha256": STRING,
            "provenance": PROVENANCE,
        }
    )


def utterances(sample_rate: int | None) -> Features:
    """Columns of the config `utterances`: one row for each utterance that can be heard.

    `audio` is mono FLAC of its speaker's channel from `start` to `end`, which stay seconds of the conversation;
    `duration` is that of this audio in seconds.
    """
    own = {name: feature for name, feature in UTTERANCE.items() if name != "utterance_id"}
    return Features(
        {
            "utterance_id": STRING,
            "conversation_id": STRING,
            "recording_id": STRING,
            "audio": Audio(sampling_rate=sample_rate, num_channels=1),
            "audio_sha256": STRING,
            "sample_rate": Value("int32"),
            "duration": SECONDS,
            "language": STRING,
            **own,
            "words": List(WORD),
        }
    )


#: Columns of the config `source`: one row a recording, its file byte for byte, and the conversations cut from it,
#: with the second of the recording at which each begins and its length in seconds.
SOURCE_RECORDINGS = Features(
    {
        "recording_id": STRING,
        "audio": Audio(),
        "audio_sha256": STRING,
        "audio_file": STRING,
        "sample_rate": Value("int32"),
        "channels": Value("int32"),
        "conversations": List({"conversation_id": STRING, "offset": SECONDS, "duration": SECONDS}),
        "source": STRING,
        "source_licence": STRING,
    }
)


def features_of(config: str, sample_rate: int | None) -> Features:
    """Columns of a config by its name; `sample_rate` as in `conversations`. Raises KeyError for another name."""
    if config == "source":
        return SOURCE_RECORDINGS
    return {"conversations": conversations, "utterances": utterances}[config](sample_rate)
