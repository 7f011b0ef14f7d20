"""Rows of a finished dataset, made on the spot: tones where somebody speaks, soft noise elsewhere."""

import io
from collections.abc import Sequence
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from datasets import Features, List, Value
from numpy.typing import NDArray

from dailytalk_contiguous.core.records.schema import (
    ALIGNED_WORD,
    AUDIO,
    BUILT,
    CHANNELS,
    SECONDS,
    SIDE,
    STRING,
    TIMELINE,
)
from dailytalk_contiguous.core.records.utterance import SYNTHESIS, UTTERANCE
from dailytalk_contiguous.shards import Entry, Shard, write_shard
from dailytalk_contiguous.sources.recordings.recording_files import identity_of

#: Channel, start, end, text: overlaps included, so that the conversation is fit for a duplex model.
LINES = (
    ("left", 0.5, 1.5, "Hello there."),
    ("right", 1.4, 2.4, "Hi, hello."),
    ("left", 2.6, 4.0, "How are you?"),
    ("right", 3.9, 5.0, "Quite well."),
)


#: Columns of a tagged shard, as far as recordings are found by them.
COLUMNS = Features(
    {
        "conversation_id": STRING,
        "recording_id": STRING,
        "audio_file": STRING,
        "audio_identity": STRING,
        "offset": SECONDS,
        "duration": SECONDS,
        "sample_rate": Value("int32"),
        "channels": Value("int32"),
        "audio": AUDIO,
        "utterance_id": List(STRING),
        "channel": List(STRING),
        "run": List(Value("int32")),
    }
)


def flac(pcm: NDArray[np.int16], rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, pcm, rate, subtype="PCM_16", format="FLAC")
    return file.getvalue()


@lru_cache(maxsize=64)
def sounding(lines: tuple[tuple[str, float, float, str], ...], seconds: float, rate: int) -> bytes:
    """A conversation as FLAC: most tests need the same ones."""
    return flac(stereo(lines, seconds, rate), rate)


def stereo(lines: Sequence[tuple[str, float, float, str]], seconds: float, rate: int) -> NDArray[np.int16]:
    """Samples of a conversation: 220 Hz on the left, 330 Hz on the right, noise at -66 dBFS below."""
    n_samples = round(seconds * rate)
    t = np.arange(n_samples) / rate
    rng = np.random.default_rng(0)
    samples = 0.0005 * rng.standard_normal((n_samples, 2))
    for channel, start, end, _ in lines:
        side = int(channel == "right")
        frequency = 220 + 110 * side
        on = (t >= start) & (t < end)
        samples[on, side] += 0.2 * np.sin(2 * np.pi * frequency * t[on])
    return np.rint(samples * 32768).astype(np.int16)


def built_row(
    name: str = "call",
    lines: Sequence[tuple[str, float, float, str]] = LINES,
    seconds: float = 6.0,
    rate: int = 24000,
    kept_speaker: str | None = None,
    sounds: Sequence[tuple[float, float]] = (),
    **columns: Any,
) -> dict[str, Any]:
    """A row with exactly the columns of BUILT. `sounds` are the kept speaker's laughs: told, and not heard."""
    hashable_lines = tuple(map(tuple, lines))
    encoded = sounding(hashable_lines, seconds, rate)
    words = [word for line in lines for word in _words(*line)]
    row = {
        "conversation_id": name,
        "recording_id": name,
        "audio": {"bytes": encoded, "path": f"{name}.flac"},
        "sample_rate": rate,
        "duration": round(seconds * rate) / rate,
        "source_duration": seconds,
        "language": "en",
        "utterances": [_utterance(name, number, *line) for number, line in enumerate(lines)],
        "alignments": sorted(words, key=lambda word: word["start"]),
        "sounds": [sound(start, end) for start, end in sounds],
        "sides": [dict.fromkeys(SIDE) | {"channel": channel} for channel in CHANNELS],
        "speakers": {"left": None, "right": kept_speaker},
        "timeline": dict.fromkeys(TIMELINE) | {"mode": "anchor"},
        "transcript_repair": None,
        "transcript_marks": None,
        "uncovered_sound": None,
        "sound_digest": None,
        "side_shift": None,
        "model_failures": None,
        "provenance": "{}",
    }
    row |= columns
    assert set(row) == set(BUILT)
    return row


def turns_row(
    name: str,
    left: Sequence[NDArray[np.float32]],
    right: Sequence[NDArray[np.float32]],
    is_swapped: bool = False,
    **columns: Any,
) -> dict[str, Any]:
    """A row in which two sides take turns with real sound at 16 kHz, a quarter of a second after the other's.

    Args:
        left, right: what each says, line by line; the rest of the longer side follows.
        is_swapped: whether each side is heard on the other's channel.
    """
    turns = []
    for left_line, right_line in zip_longest(left, right):
        if left_line is not None:
            turns.append(("left", left_line))
        if right_line is not None:
            turns.append(("right", right_line))
    gap = 4000
    n_samples = sum(len(line) + gap for _, line in turns)
    sound = np.zeros((n_samples, 2), np.float32)
    lines = []
    start = 0
    for channel, line in turns:
        side = int(channel == "right")
        end = start + len(line)
        sound[start:end, side] = line
        lines.append((channel, start / 16000, end / 16000, "Words."))
        start = end + gap
    if is_swapped:
        sound = sound[:, ::-1]
    pcm = np.rint(sound * 32767).astype(np.int16)
    audio = {"bytes": flac(pcm, 16000), "path": f"{name}.flac"}
    seconds = n_samples / 16000
    return built_row(name, lines, seconds, 16000, audio=audio, **columns)


def sound(start: float, end: float) -> dict[str, Any]:
    return {
        "channel": "right",
        "start": start,
        "end": end,
        "source_start": start,
        "source_end": end,
        "label": None,
    }


def write_dataset(folder: Path, *shards: list[dict[str, Any]]) -> Path:
    """Write rows as `dataset/*.parquet` of a work folder, one row group each."""
    (folder / "dataset").mkdir(parents=True, exist_ok=True)
    schema = BUILT.arrow_schema
    for number, rows in enumerate(shards):
        table = pa.Table.from_pylist(rows, schema=schema)
        pq.write_table(table, folder / "dataset" / f"shard-{number}.parquet", row_group_size=1)
    return folder


def _utterance(name: str, number: int, channel: str, start: float, end: float, text: str) -> dict[str, Any]:
    spoken = channel == "left"
    synthesis = dict.fromkeys(SYNTHESIS) | {"engine": "espeak", "voice": "anna"}
    return dict.fromkeys(UTTERANCE) | {
        "utterance_id": f"{name}/{channel}/{number:04d}",
        "channel": channel,
        "source_channel": channel,
        "start": start,
        "end": end,
        "kind": "speech",
        "status": "spoken" if spoken else "kept",
        "event": "turn",
        "text_raw": text,
        "text": text,
        "tagged_text": f"(calm) {text}",
        "tag": "calm",
        "synthesis": synthesis if spoken else None,
    }


def _words(channel: str, start: float, end: float, text: str) -> list[dict[str, Any]]:
    words = text.split()
    step = (end - start) / max(1, len(words))
    aligned = []
    for i, word in enumerate(words):
        fields = {"word": word, "start": start + i * step, "end": start + (i + 1) * step, "speaker": channel}
        aligned.append(dict.fromkeys(ALIGNED_WORD) | fields)
    return aligned


def work_with_recordings(tmp_path: Path) -> Path:
    """A work folder of three recordings: cut into two conversations, whole, and without a finished one."""
    for name in ("long", "short", "unused"):
        audio = built_row(name)["audio"]
        (tmp_path / f"{name}.FLAC").write_bytes(audio["bytes"])
    rows = [
        tagged(tmp_path, "long.000", "long", 0.0, 3.0),
        tagged(tmp_path, "long.001", "long", 3.0, 3.0),
        tagged(tmp_path, "short", "short", 0.0, 6.0),
        tagged(tmp_path, "unused", "unused", 0.0, 6.0),
    ]
    entries = {row["conversation_id"]: Entry(row["recording_id"], 3.0) for row in rows}
    shard_file = tmp_path / "work" / "tagged" / "shard-0.parquet"
    write_shard(shard_file, Shard(rows, entries), COLUMNS)
    recordings = {"long.000": "long", "long.001": "long", "short": "short"}
    finished = [built_row(name) | {"recording_id": recording} for name, recording in recordings.items()]
    return write_dataset(tmp_path / "work", finished)


def tagged(folder: Path, name: str, recording: str, offset: float, duration: float) -> dict[str, Any]:
    path = folder / f"{recording}.FLAC"
    return {
        "conversation_id": name,
        "recording_id": recording,
        "audio": {"bytes": None, "path": str(path)},
        "audio_file": path.name,
        "audio_identity": identity_of(path),
        "offset": offset,
        "duration": duration,
        "sample_rate": 24000,
        "channels": 2,
        "utterance_id": [],
        "channel": [],
        "run": [],
    }
