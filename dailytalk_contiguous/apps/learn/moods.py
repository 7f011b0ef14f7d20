"""The emotion in recordings over time: speech is found, each utterance classified, and each speaker summed up."""

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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

#: An utterance, or all speech of a speaker: `speaker` (`left`, `right`, or `mix` for a recording of one voice),
#: `start` and `end` in seconds of the recording, `emotion` (a class, `unsure`, or None where nothing can be said),
#: `confidence`, `probabilities` of the classes, `valence` and `arousal` in [0, 1] (None if unknown).
Mood = dict[str, Any]

#: Arousal in [0, 1] below which a voice is low, and above which it is high; 0.5 is the usual.
LOW_AROUSAL = 0.42
HIGH_AROUSAL = 0.62

_AXES = ("valence", "arousal")

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
    """The moods of a recording, in order of time, and one of each speaker.

    `seconds` is its length. `failures`: utterances without a mood, on which a model raised an error.
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
    failures = list[Reject]()
    utterances = [mood for row in rows for mood in _utterances(row, classify, rate, failures)]
    speakers = []
    for speaker in dict.fromkeys(mood["speaker"] for mood in utterances):
        spoken = [mood for mood in utterances if mood["speaker"] == speaker and mood["emotion"]]
        if not spoken:
            continue
        table = pd.DataFrame([mood["probabilities"] | {name: mood[name] for name in _AXES} for mood in spoken])
        lengths = np.array([mood["end"] - mood["start"] for mood in spoken])
        weights = table.notna().mul(lengths, axis=0)
        means: dict[str, Any] = ((table.astype(float) * weights).sum() / weights.sum()).to_dict()
        affect = {name: None if np.isnan(mean := means.pop(name)) else mean for name in _AXES}
        emotion = choose_emotion([*means.values()], [*means], classify.confidence)
        speakers.append(_mood(speaker, spoken[0]["start"], spoken[-1]["end"], emotion, means) | affect)
    name = rows[0].get("audio_file") or rows[0]["recording_id"]
    seconds = rows[-1]["offset"] + rows[-1]["duration"]
    return RecordingMoods(name, seconds, utterances, speakers, failures)


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
    heard = {name: values[0] for name, values in batch.items()}
    failures += [Reject(**failure) for failure in heard["model_failures"] or ()]
    for place in range(len(heard["speech"])):
        shares = {share["emotion"]: share["probability"] for share in heard["emotion_probabilities"][place] or ()}
        start, end = (row["offset"] + heard[name][place] for name in ("start", "end"))
        mood = _mood(heard["channel"][place], start, end, heard["emotion_class"][place], shares)
        affect = {name: float(heard[name][place]) for name in _AXES}
        yield mood | {name: value if np.isfinite(value) else None for name, value in affect.items()}


def _mood(speaker: str, start: float, end: float, emotion: str | None, probabilities: dict[str, float]) -> Mood:
    confidence = max(probabilities.values(), default=0.0)
    return {
        "speaker": speaker,
        "start": start,
        "end": end,
        "emotion": emotion,
        "confidence": confidence,
        "probabilities": probabilities,
    }


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
    other = f"You sound {emotion.replace('_', ' ')}", "and quiet", "and lively"
    start, low, high = _SENTENCES.get(emotion, other)
    if arousal is not None and not LOW_AROUSAL <= arousal <= HIGH_AROUSAL:
        start = f"{start}, {low if arousal < LOW_AROUSAL else high}"
    return f"{start}."
