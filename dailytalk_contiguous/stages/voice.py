"""ChooseVoice: the cleanest speech of a conversation's own speaker, for a synthesiser that clones voices."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from datasets import Features, Value

from dailytalk_contiguous.core.audio import Samples, encoded_sound, read_at, to_pcm
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.quality import FULL_SCALE
from dailytalk_contiguous.core.schema import CHANNELS, STRING, Row
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.stages.base import REVOICE, Stage
from dailytalk_contiguous.stages.columns import each_utterance

#: Seconds that a sample of a voice has at least.
SHORTEST = 3.0

#: Seconds that a sample of a voice has at most.
LONGEST = 20.0


class SpokenStretch(NamedTuple):
    """A stretch of one speaker: when it starts in seconds, its samples, and what is said in it."""

    start: float
    samples: Samples
    text: str


@dataclass(frozen=True)
class ChooseVoice(Stage):
    """Adds `voice_wav`, a WAV file of the re-voiced speaker, and `voice_text`, what is said in it.

    It consists of whole utterances with text, during which the other speaker is silent and nothing is clipped: the
    longest first, up to `LONGEST` seconds. A conversation that has less than `SHORTEST` of them can't be cloned:
    BadInput.
    """

    revoice: str = setting(CHANNELS[0], REVOICE)

    needs: ClassVar[tuple[str, ...]] = (
        "audio",
        "offset",
        "duration",
        "sample_rate",
        "utterance_id",
        "source_channel",
        "start",
        "end",
        "text",
    )
    batch_rows: ClassVar[int] = 1
    refuses: ClassVar[bool] = True
    adds: ClassVar[Features] = Features({"voice_wav": Value("binary"), "voice_text": STRING})

    def row(self, row: Row) -> Row:
        rate = row["sample_rate"]
        recording = read_at(row["audio"], rate, row["offset"], row["duration"])
        channel = recording[:, CHANNELS.index(self.revoice)]
        utterances = list(each_utterance(row, "source_channel", "start", "end", "text"))
        others = [(start, end) for side, start, end, _ in utterances if side != self.revoice]
        clean: list[SpokenStretch] = []
        for side, start, end, text in utterances:
            if side != self.revoice or not text.strip():
                continue
            if any(first < end and last > start for first, last in others):
                continue
            samples = channel[round(start * rate) : round(end * rate)]
            if len(samples) and float(np.abs(samples).max()) < FULL_SCALE:
                clean.append(SpokenStretch(start, samples, text))
        clean.sort(key=lambda stretch: len(stretch.samples), reverse=True)
        chosen: list[SpokenStretch] = []
        n_samples = 0
        for stretch in clean:
            if n_samples + len(stretch.samples) <= LONGEST * rate:
                chosen.append(stretch)
                n_samples += len(stretch.samples)
        seconds = n_samples / rate
        if seconds < SHORTEST:
            raise BadInput(
                f"there are only {seconds:.1f} s of the {self.revoice} speaker alone to clone the voice from",
                "name a voice of the service with --voice",
            )
        chosen.sort(key=lambda stretch: stretch.start)
        sample = np.concatenate([stretch.samples for stretch in chosen])
        wav = encoded_sound(to_pcm(sample), rate, "WAV")
        return {"voice_wav": wav, "voice_text": " ".join(stretch.text.strip() for stretch in chosen)}
