"""Conversations with known samples, and the columns in which the stages after Speak get them."""

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import soundfile
from audio_files import Samples, room_tone, struct_of, wav_bytes
from stage_calls import columns_after

from dailytalk_contiguous.core.sound.samples import pcm_to_float, to_pcm
from dailytalk_contiguous.stages.reconstruct import Reconstruct


class Said(NamedTuple):
    """An utterance: its side of the recording, its times in seconds, and what became of it.

    `factor`: length of the resynthesised utterance over its source. `status`: by default `spoken` on the left and
    `kept` on the right. `peak` of the source.
    """

    channel: str
    start: float
    end: float
    factor: float = 1.0
    status: str = ""
    run: int = -1
    peak: float = 0.3
    text: str = ""


def voice(seconds: float, rate: int, seed: int, peak: float = 0.3) -> Samples:
    """Speech for tests: noise in syllables, never twice the same."""
    n_samples = round(seconds * rate)
    noise = np.random.default_rng(seed).uniform(-1, 1, n_samples)
    swing = np.sin(np.arange(n_samples) * 12 / rate)
    samples = peak * noise * (0.3 + 0.7 * np.abs(swing))
    return samples.astype(np.float32)


def recording(said: Sequence[Said], seconds: float, rate: int, tone: float | None = -62.0) -> Samples:
    """Both channels with a voice wherever something is said, over room tone or (None) digital zero."""
    n_samples = round(seconds * rate)
    samples = np.zeros((n_samples, 2), np.float32)
    if tone is not None:
        samples = np.stack([room_tone(n_samples, tone, seed) for seed in (1, 2)], 1)
    for index, utterance in enumerate(said):
        first = round(utterance.start * rate)
        last = min(n_samples, round(utterance.end * rate))
        side = ("left", "right").index(utterance.channel)
        seconds_of_voice = (last - first) / rate
        samples[first:last, side] = voice(seconds_of_voice, rate, 100 + index, utterance.peak)
    pcm = to_pcm(samples).tobytes()
    return pcm_to_float(pcm).reshape(-1, 2)


def columns(
    said: Sequence[Said],
    samples: Samples,
    rate: int,
    out_rate: int = 24000,
    revoice: str = "left",
    **others: list[Any],
) -> dict[str, list[Any]]:
    """A batch of one conversation as Reconstruct gets it."""
    utterance_ids = []
    statuses = []
    spoken = []
    for index, utterance in enumerate(said):
        utterance_ids.append(f"call/{utterance.channel}/{index:04d}")
        usual_status = "spoken" if utterance.channel == revoice else "kept"
        status = utterance.status or usual_status
        statuses.append(status)
        pcm = b""
        if status == "spoken":
            seconds = (utterance.end - utterance.start) * utterance.factor
            resynthesised = voice(seconds, out_rate or rate, 200 + index)
            pcm = to_pcm(resynthesised).tobytes()
        spoken.append(pcm)
    batch = {
        "conversation_id": ["call"],
        "recording_id": ["call"],
        "audio": [struct_of(wav_bytes(samples, rate))],
        "offset": [0.0],
        "duration": [len(samples) / rate],
        "sample_rate": [rate],
        "utterance_id": [utterance_ids],
        "source_channel": [[utterance.channel for utterance in said]],
        "start": [[utterance.start for utterance in said]],
        "end": [[utterance.end for utterance in said]],
        "run": [[utterance.run for utterance in said]],
        "text": [[utterance.text for utterance in said]],
        "status": [statuses],
        "reason": [[None] * len(said)],
        "unspoken_remedy": [[None] * len(said)],
        "spoken": [spoken],
    }
    return batch | others


class Result(NamedTuple):
    """A rebuilt conversation: its columns, 16-bit samples of shape (n, 2), and rate."""

    row: dict[str, Any]
    pcm: np.ndarray
    rate: int

    def heard(self, side: int, place: int) -> np.ndarray:
        """Samples of an utterance at its new place on a side (0 is the re-voiced one)."""
        start = self.row["new_start"][place]
        end = self.row["new_end"][place]
        first = round(start * self.rate)
        last = round(end * self.rate)
        return self.pcm[first:last, side]


def rebuilt(stage: Reconstruct, batch: dict[str, list[Any]]) -> Result:
    rows = columns_after(stage, batch)
    row = {name: values[0] for name, values in rows.items()}
    file = io.BytesIO(row["built_audio"]["bytes"])
    pcm, rate = soundfile.read(file, dtype="int16", always_2d=True)
    return Result(row, pcm, rate)


def longest_zero_run(pcm: np.ndarray) -> int:
    """Samples of the longest stretch of digital silence of a channel."""
    is_zero = (pcm == 0).astype(np.int8)
    steps = np.diff(is_zero, prepend=0, append=0)
    edges = np.flatnonzero(steps)
    lengths = edges[1::2] - edges[::2]
    return int(np.max(lengths, initial=0))
