"""Conversations with known samples, and the columns in which the stages after Speak get them."""

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import soundfile
from audio_files import Samples, room_tone, struct_of, wav_bytes

from dailytalk_contiguous.core.audio import pcm_to_float, to_pcm
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
    return (peak * noise * (0.3 + 0.7 * np.abs(np.sin(np.arange(n_samples) * 12 / rate)))).astype(np.float32)


def recording(said: Sequence[Said], seconds: float, rate: int, tone: float | None = -62.0) -> Samples:
    """Both channels with a voice wherever something is said, over room tone or (None) digital zero."""
    n_samples = round(seconds * rate)
    samples = np.zeros((n_samples, 2), np.float32)
    if tone is not None:
        samples = np.stack([room_tone(n_samples, tone, seed) for seed in (1, 2)], 1)
    for seed, one in enumerate(said):
        first = round(one.start * rate)
        last = min(n_samples, round(one.end * rate))
        side = ("left", "right").index(one.channel)
        samples[first:last, side] = voice((last - first) / rate, rate, 100 + seed, one.peak)
    return pcm_to_float(to_pcm(samples).tobytes()).reshape(-1, 2)


def columns(
    said: Sequence[Said],
    samples: Samples,
    rate: int,
    out_rate: int = 24000,
    revoice: str = "left",
    **others: list[Any],
) -> dict[str, list[Any]]:
    """A batch of one conversation as Reconstruct gets it."""
    status = [one.status or ("spoken" if one.channel == revoice else "kept") for one in said]
    spoken = [
        to_pcm(voice((one.end - one.start) * one.factor, out_rate or rate, 200 + place)).tobytes()
        if status[place] == "spoken"
        else b""
        for place, one in enumerate(said)
    ]
    return {
        "conversation_id": ["call"],
        "recording_id": ["call"],
        "audio": [struct_of(wav_bytes(samples, rate))],
        "offset": [0.0],
        "duration": [len(samples) / rate],
        "sample_rate": [rate],
        "utterance_id": [[f"call/{one.channel}/{place:04d}" for place, one in enumerate(said)]],
        "source_channel": [[one.channel for one in said]],
        "start": [[one.start for one in said]],
        "end": [[one.end for one in said]],
        "run": [[one.run for one in said]],
        "text": [[one.text for one in said]],
        "status": [status],
        "unspoken_reason": [[None] * len(said)],
        "unspoken_remedy": [[None] * len(said)],
        "spoken": [spoken],
    } | others


class Result(NamedTuple):
    """A rebuilt conversation: its columns, 16-bit samples of shape (n, 2), and rate."""

    row: dict[str, Any]
    pcm: np.ndarray
    rate: int

    def heard(self, side: int, place: int) -> np.ndarray:
        """Samples of an utterance at its new place on a side (0 is the re-voiced one)."""
        start = self.row["new_start"][place]
        end = self.row["new_end"][place]
        return self.pcm[round(start * self.rate) : round(end * self.rate), side]


def rebuilt(stage: Reconstruct, batch: dict[str, list[Any]]) -> Result:
    row = {name: values[0] for name, values in stage(batch).items()}
    pcm, rate = soundfile.read(io.BytesIO(row["built_audio"]["bytes"]), dtype="int16", always_2d=True)
    return Result(row, pcm, rate)


def longest_zero_run(pcm: np.ndarray) -> int:
    """Samples of the longest stretch of digital silence of a channel."""
    edges = np.flatnonzero(np.diff((pcm == 0).astype(np.int8), prepend=0, append=0))
    return int(np.max(edges[1::2] - edges[::2], initial=0))
