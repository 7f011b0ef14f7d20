"""The row that an importer yields of a clip, and the clip's sound in flight.

Each importer has a map from the labels of its corpus to ours (`core.records.clip_records`).
"""

from typing import Annotated, TypedDict

from datasets import Features

from dailytalk_contiguous.core.records.arrow_types import record_features
from dailytalk_contiguous.core.records.clip_records import ClipPerformance
from dailytalk_contiguous.core.records.record import Count, EncodedAudio, Measure, Seconds, Text
from dailytalk_contiguous.core.words.word import TIMED, WordRow


class ClipFile(TypedDict):
    """The file of a clip, its words and its speaker.

    `id` is `corpus/…`, unique in the corpus. `audio` holds a path (or bytes from inside an archive). `sentence`
    names the text that several speakers say, for splits by sentence. `age` is in years.
    """

    id: Text
    corpus: Text
    audio: EncodedAudio
    audio_file: Text
    duration: Seconds
    sample_rate: Count
    channels: Count
    text: Text | None
    language: Text | None
    speaker: Text | None
    gender: Text | None
    age: Count | None
    sentence: Text | None


class ClipSource(ClipFile, ClipPerformance):
    """A clip as its importer yields it.

    Affect in `given_…` is rated by people, in [0, 1]. A row with a `problem` can't be used, and `remedy` says what
    to do about it; values of such a row that were not read are null.
    """

    given_valence: Measure | None
    given_arousal: Measure | None
    given_dominance: Measure | None
    official_split: Text | None
    licence: Text
    input_digest: Text
    problem: Text | None
    remedy: Text | None


#: What every importer of a corpus yields.
CLIP = Features(record_features(ClipSource))


class ClipSound(TypedDict):
    """The sound of a clip in flight, and its words in seconds of it; no words where it has no text."""

    audio: EncodedAudio
    duration: Seconds
    words: Annotated[list[WordRow], TIMED] | None
