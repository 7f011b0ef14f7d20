"""The emotion in recordings over time: speech is found, each utterance classified, and each speaker summed up."""

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples, pcm_to_float, read_header
from dailytalk_contiguous.core.emotions import VOICE_LINEAR, choose_emotion
from dailytalk_contiguous.core.errors import BadInput, Reject
from dailytalk_contiguous.core.schema import MIX, Row
from dailytalk_contiguous.models.contracts import EmotionModel
from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows
from dailytalk_contiguous.sources.recordings import LeftOut
from dailytalk_contiguous.stages.rate_affect import RateAffect
from dailytalk_contiguous.stages.segment import Segment


class Mood(NamedTuple):
    """The emotion in a stretch of speech, or in all speech of one speaker.

    Attributes:
        speaker: `left`, `right`, or `mix` for a recording of one voice.
        start, end: seconds of the recording.
        emotion: a class or `core.emotions.UNSURE`; None without speech, for a `reason`.
        confidence: probability of the likeliest class. probabilities: of the classes of the model.
        valence, arousal: in [0, 1]; NaN if they are not known.
    """

    speaker: str
    start: float
    end: float
    emotion: str | None
    confidence: float
    probabilities: dict[str, float]
    valence: float
    arousal: float
    reason: str = ""


class RecordingMoods(NamedTuple):
    """The moods of a recording, in order of time, and one of each speaker.

    `seconds` is its length.
    """

    name: str
    seconds: float
    utterances: list[Mood]
    speakers: list[Mood]


@dataclass
class MoodReader:
    """Reads moods from recordings.

    Attributes:
        model: a classifier. confidence: a less likely class is unsure.
        affect_model: rates valence and arousal, as in `RateAffect`. device: of that model.
        rejects: unusable recordings, in the order of reading.
    """

    model: EmotionModel
    confidence: float
    affect_model: str = VOICE_LINEAR
    device: str = "cpu"
    rejects: list[Reject] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)

    def read(self, inputs: Sequence[str]) -> Iterator[RecordingMoods]:
        """Yield the moods of recordings in files and folders; unusable ones are in `rejects`.

        A recording of two channels that differ is one of two speakers, any other is one of one voice. A long one
        is read a quarter of an hour at a time, and a speaker's usual values are those of such a part.
        """
        config = FolderConfig(inputs=tuple(inputs), channel="any", given=False)
        parts: list[Row] = []
        for row in folder_rows(config, self.left_out):
            if row["problem"]:
                self.rejects.append(Reject(row["recording_id"], "listen", row["problem"], row["remedy"]))
                continue
            if parts and row["recording_id"] != parts[-1]["recording_id"]:
                yield from self._recording(parts)
                parts = []
            parts.append(row)
        if parts:
            yield from self._recording(parts)

    def of_samples(self, name: str, samples: Samples) -> RecordingMoods:
        """The moods of 16 kHz mono samples in [-1, 1], shape (n,)."""
        data = io.BytesIO()
        soundfile.write(data, samples, ANALYSIS_RATE, "FLOAT", format="WAV")
        seconds = len(samples) / ANALYSIS_RATE
        audio = {"bytes": data.getvalue(), "path": None}
        row = {"recording_id": name, "conversation_id": name, "audio": audio, "offset": 0.0, "duration": seconds}
        return _summed(name, seconds, self._utterances(row), self)

    def _recording(self, parts: Sequence[Row]) -> Iterator[RecordingMoods]:
        name = parts[0].get("audio_file") or parts[0]["recording_id"]
        utterances: list[tuple[Mood, NDArray[np.float64]]] = []
        try:
            for row in parts:
                utterances += self._utterances(row)
        except BadInput as problem:
            self.rejects.append(Reject(parts[0]["recording_id"], "listen", problem.reason, problem.remedy))
            return
        yield _summed(name, parts[-1]["offset"] + parts[-1]["duration"], utterances, self)

    def _utterances(self, row: Row) -> list[tuple[Mood, NDArray[np.float64]]]:
        """The moods of a conversation's utterances, and the probabilities of each (none without speech)."""
        segments = None  # of both speakers if there are two channels that differ
        if read_header(row["audio"]).channels == 2:
            with contextlib.suppress(BadInput):  # the same sound on both
                segments = Segment().row(row)
        segments = segments or Segment(channel=MIX).row(row)
        sounds = [pcm_to_float(speech) for speech in segments["speech"]]
        guesses = self.model.classify(sounds, segments["channel"])
        batch = {"speech": segments["speech"], "channel": segments["channel"]}
        batch["conversation_id"] = [row["conversation_id"]] * len(sounds)
        rated = RateAffect(self.affect_model, device=self.device)(batch)
        moods = []
        for place, guess in enumerate(guesses):
            shares = guess.probabilities.astype(np.float64)
            mood = Mood(
                segments["channel"][place],
                row["offset"] + segments["start"][place],
                row["offset"] + segments["end"][place],
                choose_emotion(shares, self.model.classes, self.confidence),
                float(shares.max()) if len(shares) else 0.0,
                dict(zip(self.model.classes, shares.tolist(), strict=False)),
                float(rated["valence"][place]),
                float(rated["arousal"][place]),
                guess.reason,
            )
            moods.append((mood, shares))
        return moods


def _summed(
    name: str, seconds: float, utterances: Sequence[tuple[Mood, NDArray[np.float64]]], reader: MoodReader
) -> RecordingMoods:
    speakers = []
    for speaker in dict.fromkeys(mood.speaker for mood, _ in utterances):
        spoken = [(mood, shares) for mood, shares in utterances if mood.speaker == speaker and len(shares)]
        if not spoken:
            continue
        lengths = np.array([mood.end - mood.start for mood, _ in spoken])
        shares = np.average([shares for _, shares in spoken], axis=0, weights=lengths)
        affect = np.array([(mood.valence, mood.arousal) for mood, _ in spoken])
        known = np.isfinite(affect).all(axis=1)
        mean = np.average(affect[known], axis=0, weights=lengths[known]) if known.any() else (np.nan, np.nan)
        speakers.append(
            Mood(
                speaker,
                spoken[0][0].start,
                spoken[-1][0].end,
                choose_emotion(shares, reader.model.classes, reader.confidence),
                float(shares.max()),
                dict(zip(reader.model.classes, shares.tolist(), strict=True)),
                float(mean[0]),
                float(mean[1]),
            )
        )
    return RecordingMoods(name, seconds, [mood for mood, _ in utterances], speakers)
