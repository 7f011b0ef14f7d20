"""Recordings for tests: the bundled examples, small files made on the spot, and columns that stages ask for."""

import io
import json
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples/conversations"
EXAMPLE_NAMES = ("bicycle_repair", "burnt_dinner", "old_friends", "weekend_trip")

#: Two telephone calls that are not part of the repository.
REAL_CALLS = sorted((ROOT.parent / "shared" / "data" / "spokenwoz").glob("*.wav"))

Samples = NDArray[np.float32]


@lru_cache(maxsize=None)
def example(name: str) -> Samples:
    """Samples of a bundled conversation at 16 kHz, shape (n, 2); not to be written to."""
    samples, rate = soundfile.read(EXAMPLES / f"{name}.flac", dtype="float32")
    assert rate == 16000
    samples.setflags(write=False)
    return samples


def reference(name: str) -> list[dict[str, Any]]:
    """The utterances of a bundled conversation as they were made."""
    text = (EXAMPLES / f"{name}.reference.json").read_text(encoding="utf-8")
    return json.loads(text)["utterances"]


def wav_bytes(samples: Samples, rate: int = 16000, subtype: str = "PCM_16", kind: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, subtype=subtype, format=kind)
    return file.getvalue()


def wav_header(promised: int, rate: int = 16000, channels: int = 2, before: bytes = b"") -> bytes:
    """Header of a 16-bit WAV that promises so many bytes of samples; `before` is put in front of that chunk."""
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 2, channels * 2, 16)
    format_chunk = b"fmt " + struct.pack("<I", len(form)) + form
    chunks = format_chunk + before + b"data" + struct.pack("<I", promised)
    riff_size = min(promised + len(chunks) + 4, 0xFFFFFFFF)
    return b"RIFF" + struct.pack("<I", riff_size) + b"WAVE" + chunks


def tones(seconds: float, rate: int = 16000, channels: int = 2) -> Samples:
    """A different soft tone with a slow swell on each channel, so that no two moments are alike."""
    t = np.arange(round(seconds * rate)) / rate
    swell = 0.05 + 0.2 * t / max(seconds, 1e-9)
    sounds = [swell * np.sin(2 * np.pi * (200 + 110 * c) * t) for c in range(channels)]
    samples = np.stack(sounds, 1)
    return samples.astype("float32")


def room_tone(n_samples: int, dbfs: float = -62.0, seed: int = 1) -> Samples:
    """White noise of an RMS in dB of full scale, shape (n_samples,)."""
    rms = 10 ** (dbfs / 20)
    rng = np.random.default_rng(seed)
    samples = rms * rng.standard_normal(n_samples)
    return samples.astype("float32")


def stretched(samples: Samples, ppm: float, rate: int = 16000) -> Samples:
    """A recording whose right side lasts longer by so many parts in a million."""
    right = soxr.resample(samples[:, 1].astype(np.float64), rate, rate * (1 + ppm / 1e6))
    length = max(len(right), len(samples))
    result = np.zeros((length, 2), np.float32)
    result[: len(samples), 0] = samples[:, 0]
    result[: len(right), 1] = right
    return result


def struct_of(audio: bytes | Path) -> dict[str, Any]:
    """Encoded audio as it travels: bytes, or the path of a file."""
    if isinstance(audio, bytes):
        return {"bytes": audio, "path": None}
    return {"bytes": None, "path": str(audio)}


def conversations(*recordings: Samples | bytes | Path, **columns: list[Any]) -> dict[str, list[Any]]:
    """A batch of whole recordings as a source yields it, as far as Segment needs it."""
    names = []
    audios = []
    durations = []
    for number, recording in enumerate(recordings):
        names.append(f"call{number}")
        encoded = wav_bytes(recording) if isinstance(recording, np.ndarray) else recording
        audios.append(struct_of(encoded))
        file = io.BytesIO(encoded) if isinstance(encoded, bytes) else encoded
        durations.append(soundfile.info(file).duration)
    batch = {
        "conversation_id": names,
        "recording_id": names,
        "audio": audios,
        "offset": [0.0] * len(names),
        "duration": durations,
    }
    return batch | columns


#: The encoder of AAC takes a second for four otherwise.
_FAST = {"aac": {"aac_coder": "fast"}}


def encode(
    path: Path,
    samples: Samples,
    rate: int,
    codec: str = "aac",
    encoder: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
) -> Path:
    """Write samples of shape (n, channels) as M4A, WMA, WebM, …, which soundfile can't: a format by its ending.

    `codec` and the options of the encoder and the muxer have FFmpeg's names.
    """
    with av.open(str(path), "w", options=muxer or {}) as container:
        layout = "mono" if samples.shape[1] == 1 else "stereo"
        options = encoder or _FAST.get(codec, {})
        stream = container.add_stream(codec, rate=rate, options=options, layout=layout, bit_rate=128_000)
        pcm = (samples * np.float32(32767)).astype("int16")
        interleaved = np.ascontiguousarray(pcm.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(interleaved, "s16", layout)
        frame.sample_rate = rate
        frame.pts = 0
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return path
