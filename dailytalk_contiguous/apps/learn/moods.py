"""The emotion in recordings over time: speech is found, each utterance classified, and each speaker summed up."""

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import SupportsFloat, TypedDict

import numpy as np
import pandas as pd
import soundfile

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples, read_header
from dailytalk_contiguous.core.emotions import UNSURE, choose_emotion
from dailytalk_contiguous.core.errors import BadInput, Reject
from dailytalk_contiguous.core.schema import MIX, Row
from dailytalk_contiguous.stages.base import PerUtterance
from dailytalk_contiguous.stages.classify_emotion import ClassifyEmotion
from dailytalk_contiguous.stages.rate_affect import RateAffect
from dailytalk_contiguous.stages.segment import Segment

#: Arousal in [0, 1] below which a voice is low; 0.5 is the usual.
LOW_AROUSAL = 0.42

#: Arousal in [0, 1] above which a voice is high.
HIGH_AROUSAL = 0.62


class Mood(TypedDict):
    """How an utterance, or all speech of a speaker, sounds.

    `speaker` is `left`, `right`, or `mix` for a recording of one voice. `start` and `end` are seconds of the
    recording. `emotion` is a class, `unsure`, or None where nothing can be said; `confidence` is the highest of
    the `probabilities` of the classes. `valence` and `arousal` are in [0, 1], None if unknown.
    """

    speaker: str
    start: float
    end: float
    emotion: str | None
    confidence: float
    probabilities: dict[str, float]
    valence: float | None
    arousal: float | None


#: Words for a class, and additions for low and for high arousal.
_SENTENCES: Mapping[str, tuple[str, str, str]] = {
    "angry": ("You sound angry", "though you hold it back", "and very tense"),
    "disgusted": ("You sound disgusted", "and weary", "and worked up"),
    "fearful": ("You sound afraid", "and very quiet", "and very tense"),
    "happy": ("You sound happy", "and relaxed", "and excited"),
    "neutral": ("You sound calm", "and a little tired", "and lively"),
    "sad": ("You sound sad", "and a little tired", "and upset"),
    "surprised": ("You sound surprised", "and thoughtful", "and excited"),
    UNSURE: ("I can't tell how you feel", "but you sound a little tired", "but you sound lively"),
}


@dataclass(frozen=True)
class RecordingMoods:
    """The moods of a recording.

    Attributes:
        name: of the recording.
        seconds: its length.
        utterances: a mood of each, in order of time.
        speakers: a mood of each speaker.
        failures: utterances without a mood, on which a model raised an error.
    """

    name: str
    seconds: float
    utterances: list[Mood]
    speakers: list[Mood]
    failures: list[Reject]


def moods_of(rows: Sequence[Row], classify: ClassifyEmotion, rate: RateAffect) -> RecordingMoods:
    """The moods of a recording, whose parts are rows as of `sources.folder.folder_rows`.

    Two channels that differ are two speakers, anything else is one voice. Raises BadInput for sound that can't be
    read.
    """
    failures: list[Reject] = []
    utterances: list[Mood] = []
    for row in rows:
        utterances += _utterances(row, classify, rate, failures)
    speakers: list[Mood] = []
    for speaker in dict.fromkeys(mood["speaker"] for mood in utterances):
        spoken = [mood for mood in utterances if mood["speaker"] == speaker and mood["emotion"]]
        if spoken:
            speakers.append(_mood_of_speaker(spoken, classify.confidence))
    first = rows[0]
    last = rows[-1]
    name = first.get("audio_file") or first["recording_id"]
    seconds = last["offset"] + last["duration"]
    return RecordingMoods(name, seconds, utterances, speakers, failures)


def _mood_of_speaker(spoken: Sequence[Mood], confidence: float) -> Mood:
    """The mood of all speech of a speaker, each utterance weighted by its length.

    An emotion of less than this confidence is `unsure`.
    """
    columns: list[dict[str, float | None]] = []
    for mood in spoken:
        columns.append({**mood["probabilities"], "valence": mood["valence"], "arousal": mood["arousal"]})
    table = pd.DataFrame(columns)
    lengths = np.array([mood["end"] - mood["start"] for mood in spoken])
    weights = table.notna().mul(lengths, axis=0)
    sums = (table.astype(float) * weights).sum()
    means: dict[str, float] = (sums / weights.sum()).to_dict()
    valence = means.pop("valence")
    arousal = means.pop("arousal")
    return {
        "speaker": spoken[0]["speaker"],
        "start": spoken[0]["start"],
        "end": spoken[-1]["end"],
        "emotion": choose_emotion([*means.values()], [*means], confidence),
        "confidence": max(means.values(), default=0.0),
        "probabilities": means,
        "valence": None if np.isnan(valence) else valence,
        "arousal": None if np.isnan(arousal) else arousal,
    }


def row_of(name: str, samples: Samples) -> Row:
    """16 kHz mono samples in [-1, 1], shape (n,), as a row for `moods_of`."""
    data = io.BytesIO()
    soundfile.write(data, samples, ANALYSIS_RATE, "FLOAT", format="WAV")
    seconds = len(samples) / ANALYSIS_RATE
    audio = {"bytes": data.getvalue(), "path": None}
    return {"recording_id": name, "conversation_id": name, "audio": audio, "offset": 0.0, "duration": seconds}


def _utterances(row: Row, classify: ClassifyEmotion, rate: RateAffect, failures: list[Reject]) -> Iterator[Mood]:
    """The moods of a row's utterances. `failures` gets those on which a model raises an error."""
    segments = None
    if read_header(row["audio"]).channels == 2:
        with contextlib.suppress(BadInput):  # the same sound on both
            segments = Segment().row(row)
    segments = segments or Segment(channel=MIX).row(row)
    conversation = {"conversation_id": row["conversation_id"]} | segments
    batch = {name: [value] for name, value in conversation.items()}
    for stage in (classify, rate):
        batch |= PerUtterance(stage)(batch)
    columns = {name: values[0] for name, values in batch.items()}
    for failure in columns["model_failures"] or ():
        failures.append(Reject(**failure))
    for index in range(len(columns["speech"])):
        shares = columns["emotion_probabilities"][index] or ()
        probabilities = {share["emotion"]: share["probability"] for share in shares}
        yield {
            "speaker": columns["channel"][index],
            "start": row["offset"] + columns["start"][index],
            "end": row["offset"] + columns["end"][index],
            "emotion": columns["emotion_class"][index],
            "confidence": max(probabilities.values(), default=0.0),
            "probabilities": probabilities,
            "valence": _finite(columns["valence"][index]),
            "arousal": _finite(columns["arousal"][index]),
        }


def _finite(value: SupportsFloat) -> float | None:
    """A number; None for NaN and infinity."""
    number = float(value)
    return number if np.isfinite(number) else None


def mood_sentence(emotion: str | None, arousal: float | None = None) -> str:
    """A sentence on a mood, to be spoken.

    Args:
        emotion: a class, `UNSURE`, or None without speech.
        arousal: in [0, 1]; None if it is not known.

    >>> mood_sentence("sad", 0.3), mood_sentence("angry", 0.5)
    ('You sound sad, and a little tired.', 'You sound angry.')
    """
    if emotion is None:
        return "I heard nobody speak."
    name = emotion.replace("_", " ")
    other = (f"You sound {name}", "and quiet", "and lively")
    sentence, low, high = _SENTENCES.get(emotion, other)
    if arousal is not None and arousal < LOW_AROUSAL:
        return f"{sentence}, {low}."
    if arousal is not None and arousal > HIGH_AROUSAL:
        return f"{sentence}, {high}."
    return f"{sentence}."
