"""When people sound, in conversations whose times are known.

Phrases of the bundled voices are planted. A phrase is from the first to the last 10 ms that are at most 40 dB
under its loudest; over a telephone, of what that passes. All is heard in a studio, over a telephone, and in noise
20 dB under the voices.
"""

import io
import json
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile
from audio_files import EXAMPLE_NAMES, EXAMPLES, Samples, conversations, example, room_tone
from numpy.typing import NDArray
from scipy import signal
from stage_calls import columns_after

from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.turns.turn_taking import timed_talk
from dailytalk_contiguous.stages.segment import Segment

RATE = 16000
TELEPHONE_RATE = 8000

#: dB under the loudest moment, of what is planted.
UNDER = 40.0

#: Where it is heard, by the level of its room in dBFS.
ROOMS = {"studio": -65.0, "telephone": -60.0, "noise at 20 dB": None}

Rows = list[dict[str, object]]


class Talk(NamedTuple):
    """A conversation without any room, shape (n, 2) at 16 kHz: its phrases as (channel, start, end) in seconds."""

    sound: Samples
    phrases: list[tuple[str, float, float]]


def levels(samples: Samples) -> NDArray[np.float64]:
    """Level in dB of each 10 ms, 5 ms apart."""
    windows = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), RATE // 100)[:: RATE // 200]
    return 10 * np.log10(np.mean(np.square(windows), axis=1) + 1e-14)


def trimmed(samples: Samples) -> tuple[int, int]:
    """The first and the last sample that are at most `UNDER` dB under the loudest moment."""
    heard = levels(samples)
    loud = np.flatnonzero(heard >= heard.max() - UNDER)
    return int(loud[0]) * RATE // 200, int(loud[-1]) * RATE // 200 + RATE // 100


def bundled() -> dict[str, list[Samples]]:
    """The lines of each voice of the bundled recordings."""
    voices: dict[str, list[Samples]] = {}
    for name in EXAMPLE_NAMES:
        talk = json.loads((EXAMPLES / f"{name}.reference.json").read_text(encoding="utf-8"))
        for said in talk["utterances"]:
            part = slice(*(round(said[edge] * RATE) for edge in ("start", "end")))
            line = example(name)[part, CHANNELS.index(said["channel"])]
            voices.setdefault(talk["voices"][said["channel"]], []).append(line[slice(*trimmed(line))])
    return voices


def planted(left: Sequence[Samples], right: Sequence[Samples], seed: int, count: int = 30) -> Talk:
    """Phrases of two voices with gaps, pauses, overlaps and backchannels, each at a whole sample."""
    random = np.random.default_rng(seed)
    free = dict.fromkeys(CHANNELS, 0.5)
    phrases: list[tuple[str, float, float]] = []
    pieces = []
    last = (CHANNELS[0], 0.0, 0.5)  # who reaches furthest
    for _ in range(count):
        channel = CHANNELS[random.integers(2)]
        phrase = (left, right)[channel == "right"][random.integers(len((left, right)[channel == "right"]))]
        gap = random.uniform(0.6, 1.4) if channel == last[0] else random.uniform(0.1, 1.2)
        kind = random.random()
        start = last[2] + gap
        if channel != last[0] and kind > 0.6:
            start = max(last[1] + 0.3 * (last[2] - last[1]), last[2] - random.uniform(0.1, 1.2))
        start = round(max(start, free[channel] + 0.6) * RATE) / RATE
        end = start + len(phrase) / RATE
        phrases.append((channel, start, end))
        pieces.append((CHANNELS.index(channel), round(start * RATE), phrase))
        last = max(last, (channel, start, end), key=lambda span: span[2])
        free[channel] = end
    sound = np.zeros((round((last[2] + 1.5) * RATE), 2), np.float32)
    for side, first, phrase in pieces:
        sound[first : first + len(phrase), side] += 0.5 * phrase / np.abs(phrase).max()
    return Talk(sound, phrases)


def heard_in(room: str, talk: Talk) -> tuple[Samples, int, list[tuple[str, float, float]]]:
    """A talk in a room with its rate, and where its phrases begin and end there."""
    sound = talk.sound
    phrases = talk.phrases
    rate = RATE
    if room == "telephone":
        rate = TELEPHONE_RATE
        sound = signal.resample_poly(sound, 1, 2, axis=0).astype(np.float32)
        passed = signal.resample_poly(sound, 2, 1, axis=0)
        phrases = []
        for channel, start, end in talk.phrases:
            first = round(start * RATE)
            last = round(end * RATE)
            edges = trimmed(passed[first:last, CHANNELS.index(channel)])
            phrases.append((channel, start + edges[0] / RATE, start + edges[1] / RATE))
    noise = np.stack([room_tone(len(sound), 0.0, seed) for seed in (1, 2)], 1)
    level = ROOMS[room]
    if level is None:  # under the voice of each side while it speaks, softer where it is higher
        noise = signal.lfilter([1], [1, -0.9], noise, axis=0)
        noise /= noise.std(axis=0)
        voices = np.array([np.mean(np.square(side[side != 0])) for side in sound.T])
        return (sound + noise * np.sqrt(voices) * 10 ** (-20 / 20)).astype(np.float32), rate, phrases
    return (sound + noise * 10 ** (level / 20)).astype(np.float32), rate, phrases


def row_of(utterances: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    row = dict.fromkeys(("language", "timeline")) | {"duration": seconds, "source_duration": seconds}
    said = dict.fromkeys(("status", "text", "event", "source_event", "source_start", "source_end"))
    return row | {"utterances": [said | utterance for utterance in utterances]}


def found(sound: Samples, rate: int) -> dict[str, Any]:
    """The row of what `Segment` finds."""
    file = io.BytesIO()
    soundfile.write(file, np.clip(sound, -1, 1), rate, format="WAV")
    batch = columns_after(Segment(), conversations(file.getvalue()) | {"duration": [len(sound) / rate]})
    names = ("channel", "start", "end", "start_trim", "end_trim")
    columns = zip(*(batch[name][0] for name in names), strict=True)
    return row_of([dict(zip(names, values, strict=True)) for values in columns], len(sound) / rate)


def heard_and_planted(room: str, talks: Sequence[Talk]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of talks in a room: as they were planted, and as they are found."""
    truths = []
    rows = []
    for talk in talks:
        sound, rate, phrases = heard_in(room, talk)
        said = [dict(zip(("channel", "start", "end"), phrase, strict=True)) for phrase in phrases]
        truths.append(row_of(said, len(sound) / rate))
        rows.append(found(sound, rate))
    return truths, rows


def errors(truth: dict[str, Any], row: dict[str, Any]) -> Iterator[tuple[float, float]]:
    """Seconds by which each phrase is found too late, at its start and at its end."""
    spans = timed_talk(from_finished(row)).timed
    for phrase in timed_talk(from_finished(truth)).timed:
        same = [
            span
            for span in spans
            if span.channel == phrase.channel and min(span.end, phrase.end) > max(span.start, phrase.start)
        ]
        if same:
            yield min(span.start for span in same) - phrase.start, max(span.end for span in same) - phrase.end


@pytest.fixture(scope="module")
def rooms() -> dict[str, tuple[Rows, Rows]]:
    """Conversations of the bundled voices in each room: the rows of what is planted, and of what is found."""
    voices = bundled()
    pairs = enumerate(combinations(sorted(voices), 2), 7)
    talks = [planted(voices[left], voices[right], seed, 20) for seed, (left, right) in pairs]
    return {room: heard_and_planted(room, talks) for room in ROOMS}


@pytest.mark.parametrize("room", ROOMS)
def test_starts_and_ends_are_where_people_sound(rooms: dict[str, tuple[Rows, Rows]], room: str) -> None:
    truths, rows = rooms[room]
    late = [error for pair in zip(truths, rows, strict=True) for error in errors(*pair)]
    assert len(late) == 60
    assert np.max(np.abs(np.median(late, axis=0))) <= 0.015
