"""ChooseVoice: the cleanest speech of a conversation's own speaker, for a synthesiser that clones voices."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from datasets import Features, Value

from dailytalk_contiguous.core.audio import Samples, encoded_sound, read_at, to_pcm
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.quality import FULL_SCALE
from dailytalk_contiguous.core.schema import CHANNELS, STRING, Row
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.stages.base import REVOICE, Stage

#: Seconds of a sample of a voice.
SHORTEST = 3.0
LONGEST = 20.0


@dataclass(frozen=True)
class ChooseVoice(Stage):
    """Adds `voice_wav`, a WAV file of the re-voiced speaker, and `voice_text`, what is said in it.

    Taken are whole utterances with text during which the other speaker is silent and nothing is clipped, the
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
        channel = read_at(row["audio"], rate, row["offset"], row["duration"])[:, CHANNELS.index(self.revoice)]
        spans = list(zip(row["source_channel"], row["start"], row["end"], row["text"], strict=True))
        others = [(start, end) for side, start, end, _ in spans if side != self.revoice]
        stretches = [
            (start, channel[round(start * rate) : round(end * rate)], text)
            for side, start, end, text in spans
            if side == self.revoice
            and text.strip()
            and not any(first < end and last > start for first, last in others)
        ]
        clean = [
            stretch for stretch in stretches if len(stretch[1]) and float(np.abs(stretch[1]).max()) < FULL_SCALE
        ]
        chosen: list[tuple[float, Samples, str]] = []
        for stretch in sorted(clean, key=lambda stretch: len(stretch[1]), reverse=True):
            if sum(len(samples) for _, samples, _ in chosen) + len(stretch[1]) <= LONGEST * rate:
                chosen.append(stretch)
        seconds = sum(len(samples) for _, samples, _ in chosen) / rate
        if seconds < SHORTEST:
            raise BadInput(
                f"there are only {seconds:.1f} s of the {self.revoice} speaker alone to clone the voice from",
                "name a voice of the service with --voice",
            )
        chosen.sort(key=lambda stretch: stretch[0])
        wav = encoded_sound(to_pcm(np.concatenate([samples for _, samples, _ in chosen])), rate, "WAV")
        return {"voice_wav": wav, "voice_text": " ".join(text.strip() for _, _, text in chosen)}
