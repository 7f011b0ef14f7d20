"""The data of a conversation in the page: two strips for the table, and text, waveform and sound of the player.

The page's own script reads it as JSON and shows it as text. Inside the page sound is MP3 at a constant rate, the
one small format that every browser plays and seeks to the frame; both speakers stay on their sides. The player
ends after three minutes, which keeps a page with a few conversations small.
"""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import Samples, read_at
from dailytalk_contiguous.core.documents import has_length, is_number
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.utterance import heard_utterances
from dailytalk_contiguous.core.wording import counted

#: Seconds of a conversation that the player shows and plays, and the rate in Hz of sound inside the page.
LONGEST, RATE = 180.0, 24000

#: libsndfile's scale from 0 (best) to 1; at 24 kHz stereo this is a constant 80 kbit/s.
COMPRESSION = 0.5

#: Bytes of a page that a second of such sound takes: 80 kbit/s in base64.
BYTES_A_SECOND = 80_000 / 8 * 4 / 3

#: Cells of a strip.
CELLS = 256

#: The letters of 64 values: levels of a waveform, and runs of a strip.
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

_LETTER_BYTES = np.frombuffer(LETTERS.encode(), np.uint8)

#: Levels a second of a waveform: of a few conversations, and where there are so many that the page grows.
FINE, COARSE = 100, 20

#: Runs of one state in the cells of a strip, 16 at most (a longer one is several), and the letter of each.
_RUNS = re.compile(b"|".join(b"[\\x0%d]{1,16}" % state for state in range(4)))
_LETTER_OF = {bytes((state,)) * n: LETTERS[16 * state + n - 1] for state in range(4) for n in range(1, 17)}

_Span = tuple[float, float]

NO_SAMPLES = np.zeros((0, 2), np.float32)


def strips_of(row: Mapping[str, Any], rebuilt: bool) -> tuple[str, str]:
    """Draw the turns as recorded, and as rebuilt, both in `CELLS` cells over the longer of the two.

    `row` has columns of `core.schema.BUILT`. One strip is empty unless it was `rebuilt` from known times.
    """
    seconds = max(row["duration"] or 0.0, row["source_duration"] or 0.0)
    recorded: dict[str, list[_Span]] = {name: [] for name in CHANNELS}
    new: dict[str, list[_Span]] = {name: [] for name in CHANNELS}
    for utterance in row["utterances"] or ():
        channel = utterance["channel"]
        if has_length(utterance["source_start"], utterance["source_end"]):
            recorded[channel].append((utterance["source_start"], utterance["source_end"]))
        if utterance["status"] != "dropped" and has_length(utterance["start"], utterance["end"]):
            new[channel].append((utterance["start"], utterance["end"]))
    before = strip(recorded, seconds) if any(recorded.values()) else ""
    return (before, strip(new, seconds)) if rebuilt else (strip(new, seconds), "")


def strip(spans: Mapping[str, Sequence[_Span]], seconds: float) -> str:
    """Draw the speakers in each of `CELLS` even parts of a conversation, in runs, a letter each.

    A letter of `LETTERS` is 16 times a state and a run's length less one. States: 0 silence, 1 left, 2 right, 3
    both at once, for however short a time; if they take turns within a cell, the one who speaks longer.

    Args:
        spans: starts and ends in seconds of the speech of each channel.
        seconds: the length of the conversation.
    """
    if seconds <= 0:
        return ""
    edges, sides = np.linspace(0.0, seconds, CELLS + 1), [_merged(spans[name]) for name in CHANNELS]
    left, right, both = (_spoken_in(spoken, edges) for spoken in (*sides, [*_overlaps(*sides)]))
    least = 1e-9 * seconds / CELLS  # what only touches a cell's edge is not in it
    states = np.where(left >= right, 1, 2) * (np.maximum(left, right) > least)
    states[both > least] = 3
    return "".join(map(_LETTER_OF.__getitem__, _RUNS.findall(states.astype(np.uint8).tobytes())))


def _spoken_in(spans: Sequence[_Span], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds of spans, by start and apart from each other, in each of the cells between `edges`."""
    if not spans:
        return np.zeros(len(edges) - 1)
    lengths = np.cumsum([end - start for start, end in spans])
    so_far = np.column_stack([[0.0, *lengths[:-1]], lengths])
    return np.diff(np.interp(edges, np.ravel(spans), np.ravel(so_far)))


def _merged(spans: Sequence[_Span]) -> list[_Span]:
    merged: list[_Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged


def _overlaps(left: Sequence[_Span], right: Sequence[_Span]) -> Iterator[_Span]:
    """The overlaps of spans of both sides, those of a side by start and apart from each other."""
    n = m = 0
    while n < len(left) and m < len(right):
        start, end = max(left[n][0], right[m][0]), min(left[n][1], right[m][1])
        if end > start:
            yield start, end
        n, m = (n + 1, m) if left[n][1] <= right[m][1] else (n, m + 1)


def to_mp3(samples: Samples, sample_rate: int) -> bytes:
    """Encode samples, shape (n, channels), as MP3; values outside [-1, 1] are clipped."""
    file = io.BytesIO()
    samples = np.clip(samples, -1.0, 1.0)  # LAME ends the process on samples that are far larger
    options = {"format": "MP3", "compression_level": COMPRESSION, "bitrate_mode": "CONSTANT"}
    with soundfile.SoundFile(file, "w", sample_rate, samples.shape[1], "MPEG_LAYER_III", **options) as opened:
        for first in range(0, len(samples), sample_rate):
            opened.write(samples[first : first + sample_rate])
    return file.getvalue()


def peaks(channel: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return the largest absolute value in each of `count` even parts of a channel, shape (count,); 0 if empty."""
    if not len(channel) or not count:
        return np.zeros(count, np.float32)
    edges = np.linspace(0, len(channel), count, endpoint=False).astype(np.int64)
    return np.asarray(np.maximum.reduceat(np.abs(channel), edges), np.float32)


def shown_seconds(row: Mapping[str, Any]) -> float:
    return float(min(row["duration"] or 0.0, LONGEST))


def recorded_seconds(row: Mapping[str, Any]) -> float:
    return float(min(row["source_duration"] or 0.0, LONGEST))


def is_turned(row: Mapping[str, Any]) -> bool:
    """Whether the left side of a conversation is the right one of its recording."""
    return any(line["source_channel"] not in (None, line["channel"]) for line in row["utterances"] or ())


def sound_of(audio: dict[str, Any], offset: float, seconds: float) -> tuple[Samples, str]:
    """Decode the samples of the player, shape (n, 2), at `RATE`; also returns why there are none.

    `offset`: seconds of the encoded `audio` before the conversation begins.
    """
    try:
        samples = read_at(audio, RATE, offset, seconds)
    except (BadInput, OSError) as error:
        return NO_SAMPLES, f"No sound: {error}."
    if samples.shape[1] != 2:
        return NO_SAMPLES, f"No sound: the recording has {counted(samples.shape[1], 'channel')}, not 2."
    return samples, "" if len(samples) else "No sound: the recording is empty."


def detail(row: Mapping[str, Any], rebuilt: bool, samples: Samples, levels_a_second: int) -> dict[str, Any]:
    """Return the details of a conversation for the player; times are seconds.

    `lines` are side (0 left, 1 right), start, end, text, tag, event, other facts, start and end in the recording,
    and status; `words` side, start, end, word, probability and the source of the times, by its place in `sources`;
    `sounds` side, start and end; `both` the overlaps; `peaks` the waveform of each side, a letter of `LETTERS`
    each level, against the side's `loudest`.

    Args:
        row: columns of `core.schema.BUILT`.
        rebuilt: whether the left speaker is resynthesised.
        samples: of the player, shape (n, 2), at `RATE`; empty without sound.
        levels_a_second: of the waveform.
    """
    seconds = shown_seconds(row)
    utterances = [
        utterance
        for utterance in heard_utterances(row)
        if utterance["start"] is not None and utterance["start"] < seconds
    ]
    utterances.sort(key=lambda utterance: (utterance["start"], utterance["end"]))
    words = [
        word
        for word in row["alignments"] or ()
        if is_number(word["start"]) and is_number(word["end"]) and word["start"] < seconds
    ]
    sources = sorted({word.get("source") or "" for word in words})
    count = round(seconds * levels_a_second)
    levels = [peaks(channel, count) for channel in np.ascontiguousarray(samples.T)]
    loudest = [float(channel.max(initial=0.0)) for channel in levels]
    sides = [
        _merged([(item["start"], item["end"]) for item in utterances if item["channel"] == name])
        for name in CHANNELS
    ]
    titles = {"left": "left, re-voiced", "right": "right, kept"} if rebuilt else {name: name for name in CHANNELS}
    speakers, whole = row["speakers"] or {}, round(row["duration"] or 0.0)
    cut = f", of which the first {LONGEST / 60:g} minutes are shown" if (row["duration"] or 0.0) > LONGEST else ""
    n_utterances = counted(len(row["utterances"] or ()), "utterance")
    heights = [
        np.rint(channel / max(most, 1e-9) * (len(LETTERS) - 1)).astype(np.uint8)
        for channel, most in zip(levels, loudest, strict=True)
    ]
    return {
        "shown": round(seconds, 3),
        "names": [
            f"{titles[channel]} · {speakers[channel]}" if speakers.get(channel) else titles[channel]
            for channel in CHANNELS
        ],
        "about": f"{whole // 60}:{whole % 60:02d}{cut} · {n_utterances} · {row['language'] or 'language unknown'}",
        "rebuilt": rebuilt,
        "lines": [_line(utterance) for utterance in utterances],
        "words": [
            [
                *_placed(word, word["speaker"]),
                word["word"] or "",
                _rounded(word.get("probability")),
                sources.index(word.get("source") or ""),
            ]
            for word in sorted(words, key=lambda word: word["start"])
        ],
        "sources": sources,
        "sounds": [_placed(sound, sound["channel"]) for sound in row["sounds"] or () if sound["start"] < seconds],
        "both": [[round(start, 3), round(end, 3)] for start, end in _overlaps(*sides)],
        "peaks": [bytes(_LETTER_BYTES[steps]).decode() for steps in heights] if len(samples) else ["", ""],
        "peak_rate": levels_a_second,
        "loudest": [round(value, 4) for value in loudest],
    }


def _line(utterance: Mapping[str, Any]) -> list[Any]:
    recorded = [_rounded(utterance[name]) for name in ("source_start", "source_end")]
    measures = ", ".join(
        f"{name} {utterance[name]:.2f}"
        for name in ("valence", "arousal", "dominance")
        if is_number(utterance[name])
    )
    confidence, distance = utterance["confidence"], (utterance["synthesis"] or {}).get("delivery_distance")
    parts = (
        f"rule {utterance['rule']}" if utterance["tag"] and utterance["rule"] else "",
        "said without the tag" if utterance.get("tag_said") is False else "",
        measures,
        f"confidence {100 * confidence:.0f} %" if is_number(confidence) else "",
        f"delivery {distance:.2f} from the source" if is_number(distance) else "",
        utterance["reason"],
    )
    return [
        *_placed(utterance, utterance["channel"]),
        utterance["text"] or "",
        utterance["tag"] or "",
        utterance["event"] or "",
        " · ".join(part for part in parts if part),
        *(recorded if None not in recorded else (None, None)),
        utterance["status"] or "",
    ]


def _placed(item: Mapping[str, Any], channel: str) -> list[Any]:
    return [CHANNELS.index(channel), round(item["start"], 3), round(item["end"], 3)]


def _rounded(value: Any) -> float | None:
    return round(value, 3) if is_number(value) else None
