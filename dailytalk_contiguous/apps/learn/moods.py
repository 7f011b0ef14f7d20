"""The emotion in recordings over time: lines are judged beside others of their speaker, and speakers summed up."""

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import pandas as pd

from dailytalk_contiguous.apps.learn.emotion_evaluation import MOST_TOGETHER
from dailytalk_contiguous.apps.learn.emotion_examples import Sounds
from dailytalk_contiguous.apps.learn.judged_lines import JudgedLine, JudgedRecording
from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.schema import MIX
from dailytalk_contiguous.core.records.utterance import Utterance
from dailytalk_contiguous.core.sound.samples import to_pcm
from dailytalk_contiguous.core.style.emotions import UNSURE, choose_emotion
from dailytalk_contiguous.machine import interrupts
from dailytalk_contiguous.models.contracts import EmotionModel
from dailytalk_contiguous.stages.classify_emotion import ClassifyEmotion
from dailytalk_contiguous.stages.rate_affect import RateAffect


class Mood(TypedDict):
    """The mood that an utterance, or all speech of a speaker, sounds like.

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


class JudgedSpeaker(TypedDict):
    """Beside how many lines those of a speaker of a recording were judged.

    `speaker` is the channel, as in `Mood`; `name` is who speaks there, None where that is not known. `lines` is
    how many there are in the recording, and `beside` how many lines of that person in other recordings were judged
    with them: 0 where the recording was judged alone.
    """

    speaker: str
    name: str | None
    lines: int
    beside: int


@dataclass(frozen=True)
class RecordingMoods:
    """The moods of a recording.

    Attributes:
        name: of the recording.
        seconds: its length.
        utterances: a mood of each, in order of time.
        speakers: a mood of each speaker.
        judged: beside what each speaker was judged.
    """

    name: str
    seconds: float
    utterances: list[Mood]
    speakers: list[Mood]
    judged: list[JudgedSpeaker]


#: A line by the number of its recording, and its own number in it.
_LineKey = tuple[int, int]


def moods_of(
    recordings: Sequence[JudgedRecording],
    sounds: Sounds,
    classify: ClassifyEmotion,
    rate: RateAffect,
    classifier: EmotionModel,
) -> tuple[list[RecordingMoods], list[Reject]]:
    """The moods of recordings, and the lines on which a model raises an error, which have none.

    The lines of a person are judged together, whatever recordings they are in; where it is not known who speaks,
    those of a channel of a recording (of a part of it, if that is long). `classifier` is the model of `classify`.
    """
    moods: dict[_LineKey, Mood] = {}
    beside: list[Counter[str]] = [Counter() for _ in recordings]
    failures: list[Reject] = []
    for keys in _lines_of_speakers(recordings):
        interrupts.check_interrupt()
        lines = [recordings[number].lines[index] for number, index in keys]
        judged, failed = _judged_together(lines, sounds, classify, rate)
        moods.update(zip(keys, judged, strict=True))
        failures += failed
        n_lines = Counter(number for number, _ in keys)
        sides = {(number, line.channel) for (number, _), line in zip(keys, lines, strict=True)}
        for number, channel in sides:
            beside[number][channel] += len(keys) - n_lines[number]
    results: list[RecordingMoods] = []
    for number, recording in enumerate(recordings):
        utterances = [moods[number, index] for index in range(len(recording.lines))]
        judged_speakers = _judged_speakers(recording, beside[number])
        limits: dict[str, float] = {}
        for judged_speaker in judged_speakers:
            n_together = judged_speaker["lines"] + judged_speaker["beside"]
            limits[judged_speaker["speaker"]] = classify.limit(classifier, n_together)
        speakers = _moods_of_speakers(utterances, limits)
        results.append(RecordingMoods(recording.name, recording.seconds, utterances, speakers, judged_speakers))
    return results, failures


def _judged_speakers(recording: JudgedRecording, beside: Mapping[str, int]) -> list[JudgedSpeaker]:
    """The speakers of a recording; `beside` are the lines of others that each was judged with, by channel."""
    n_lines = Counter(line.channel for line in recording.lines)
    speakers: list[JudgedSpeaker] = []
    for channel, count in n_lines.items():
        name = recording.people.get(channel)
        speakers.append({"speaker": channel, "name": name, "lines": count, "beside": beside[channel]})
    return speakers


def _moods_of_speakers(utterances: Sequence[Mood], limits: Mapping[str, float]) -> list[Mood]:
    """The mood of all speech of each speaker of whom something can be said; `limits` of confidence by speaker."""
    moods: list[Mood] = []
    for speaker in dict.fromkeys(mood["speaker"] for mood in utterances):
        spoken = [mood for mood in utterances if mood["speaker"] == speaker and mood["emotion"]]
        if spoken:
            moods.append(_mood_of_speaker(spoken, limits[speaker]))
    return moods


def _lines_of_speakers(recordings: Sequence[JudgedRecording]) -> Iterator[list[_LineKey]]:
    """The lines that are judged together, `MOST_TOGETHER` at most."""
    keys_of: dict[Hashable, list[_LineKey]] = {}
    for number, recording in enumerate(recordings):
        for index, line in enumerate(recording.lines):
            person = recording.people.get(line.channel)
            speaker: Hashable = person or (number, line.conversation, line.channel)
            keys_of.setdefault(speaker, []).append((number, index))
    for keys in keys_of.values():
        n_parts = math.ceil(len(keys) / MOST_TOGETHER)
        for part in np.array_split(np.arange(len(keys)), n_parts):
            yield [keys[position] for position in part]


def _judged_together(
    lines: Sequence[JudgedLine], sounds: Sounds, classify: ClassifyEmotion, rate: RateAffect
) -> tuple[list[Mood], list[Reject]]:
    """The moods of lines of one speaker, and those on which a model raises an error."""
    # Stages compare what is on one channel of one conversation.
    utterances = [
        Utterance(utterance_id=line.id, channel=MIX, speech=to_pcm(sounds[line.sound]).tobytes()) for line in lines
    ]
    talks = [Conversation(conversation_id=lines[0].id, utterances=utterances)]
    for stage in (classify, rate):
        talks = stage.apply(talks)
    (talk,) = talks
    moods: list[Mood] = []
    for line, utterance in zip(lines, talk.utterances, strict=True):
        shares = utterance.emotion_probabilities or ()
        probabilities = {share["emotion"]: share["probability"] for share in shares}
        mood: Mood = {
            "speaker": line.channel,
            "start": line.start,
            "end": line.end,
            "emotion": utterance.emotion_class,
            "confidence": max(probabilities.values(), default=0.0),
            "probabilities": probabilities,
            "valence": _finite(utterance.valence),
            "arousal": _finite(utterance.arousal),
        }
        moods.append(mood)
    return moods, talk.model_failures or []


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


def _finite(value: float | None) -> float | None:
    """A number; None for NaN and infinity."""
    return float(value) if value is not None and np.isfinite(value) else None


#: Arousal in [0, 1] below which a voice is low; 0.5 is the usual.
LOW_AROUSAL = 0.42

#: Arousal in [0, 1] above which a voice is high.
HIGH_AROUSAL = 0.62

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
