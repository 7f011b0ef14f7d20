"""Recorded sides: both sides of a conversation as they were recorded, and what is heard on them beside speech."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from dailytalk_contiguous.core import audio
from dailytalk_contiguous.core.crosstalk import HOP, Leakage, leakage, leaked_spans
from dailytalk_contiguous.core.levels import frame_levels
from dailytalk_contiguous.core.nonspeech_sounds import FRAME, find_sounds, sound_blocks
from dailytalk_contiguous.core.schema import CHANNELS, Row
from dailytalk_contiguous.stages.base import each_utterance

#: dB over the room tone from which a leak is heard in it.
HEARD_DB = -3.0

#: dB over the leak from which a channel is its own speaker's.
OWN_DB = 10.0

#: Frames of 32 ms on both sides of a frame whose loudest leak counts: the tail of the leak in the room.
LEAK_EDGE = 3


class SourceSpan(NamedTuple):
    """Where an utterance, or a sound that is no speech, is in the recording.

    `start` and `end` are in seconds. What shares a `run` on a moved channel moves as one
    (`core.spans.sound_blocks`).
    """

    channel: str
    start: float
    end: float
    run: int


@dataclass(frozen=True)
class RecordedSides:
    """Both sides of a recording.

    Attributes:
        name: the id of the conversation.
        rate: in Hz, that of the result.
        sound: float32 in [-1, 1], shape (n, 2).
        leaks: what leaks into each channel.
        utterances: of both channels, in order.
        sounds: laughs, breaths and coughs of the moved channels.
        moved: numbers of the channels whose own sound is used: it is moved, and not replaced.
        loudest_leaks: `leak_levels` of each moved channel, by its number.
    """

    name: str
    rate: int
    sound: audio.Samples
    leaks: tuple[Leakage, Leakage]
    utterances: list[SourceSpan]
    sounds: list[SourceSpan]
    moved: list[int]
    loudest_leaks: dict[int, NDArray[np.floating]]

    @property
    def seconds(self) -> float:
        return len(self.sound) / self.rate

    def speech_of(self, side: int) -> list[tuple[float, float]]:
        """Start and end of the utterances of a side."""
        return [(span.start, span.end) for span in self.utterances if span.channel == CHANNELS[side]]

    def samples_between(self, start: float, end: float, side: int) -> audio.Samples:
        """The samples of a side between two times in seconds."""
        return self.sound[round(start * self.rate) : round(end * self.rate), side]


def record_sides(row: Row, rate: int, revoiced: int) -> RecordedSides:
    """The recorded sides of a conversation.

    A side that `Convert` has converted is in place of the recorded one, and its sound is moved, too.

    Args:
        row: with the columns that `Reconstruct` needs.
        rate: wanted, in Hz.
        revoiced: the number of the channel whose speaker gets another voice.
    """
    sound = audio.read_at(row["audio"], rate, row["offset"], row["duration"])
    moved = [1 - revoiced]
    if row.get("converted"):
        converted = audio.pcm_to_float(row["converted"])
        sound[:, revoiced] = audio.of_length(converted, len(sound))
        moved.append(revoiced)
    analysed = audio.read_pcm(row["audio"], row["offset"], row["duration"])
    leaks = leakage(analysed[:, 0], analysed[:, 1])
    columns = each_utterance(row, "source_channel", "start", "end", "run")
    utterances = [SourceSpan(channel, start, end, run) for channel, start, end, run in columns]
    sounds: list[SourceSpan] = []
    loudest_leaks: dict[int, NDArray[np.floating]] = {}
    for side in moved:
        channel = CHANNELS[side]
        indices = [index for index, span in enumerate(utterances) if span.channel == channel]
        spans = [(utterances[index].start, utterances[index].end, utterances[index].run) for index in indices]
        speech = [(start, end) for start, end, _ in spans]
        sounds_of_side, loudest_leaks[side] = sounds_of(analysed[:, side], speech, leaks[side])
        runs, runs_of_sounds = sound_blocks(spans, sounds_of_side)
        for index, run in zip(indices, runs, strict=True):
            utterances[index] = utterances[index]._replace(run=run)
        for (start, end), run in zip(sounds_of_side, runs_of_sounds, strict=True):
            sounds.append(SourceSpan(channel, start, end, run))
    return RecordedSides(
        name=row["conversation_id"],
        rate=rate,
        sound=sound,
        leaks=leaks,
        utterances=utterances,
        sounds=sounds,
        moved=moved,
        loudest_leaks=loudest_leaks,
    )


def sounds_of(
    channel: audio.Pcm, speech: Sequence[tuple[float, float]], leak: Leakage
) -> tuple[list[tuple[float, float]], NDArray[np.floating]]:
    """Laughs, breaths and coughs of a channel (mono, 16 kHz) beside its speech, in seconds, and its leak.

    The second is `leak_levels`, of frames of 32 ms.
    """
    loudest_leak = leak_levels(channel, leak)
    is_leaked = leak.mask | (loudest_leak > 0)
    leaked_frames = np.repeat(is_leaked, HOP)[::FRAME]
    return find_sounds(channel, speech, leaked_frames), loudest_leak


def leak_levels(channel: audio.Pcm, leak: Leakage) -> NDArray[np.floating]:
    """Mean square of the loudest leak around each frame of a channel; 0 where the channel is too loud for one."""
    samples = audio.pcm_to_float(channel)
    levels = frame_levels(samples, HOP)
    predicted = np.pad(leak.predicted(), LEAK_EDGE)
    windows = sliding_window_view(predicted, 2 * LEAK_EDGE + 1)
    loudest = np.max(windows, axis=1)
    own_speaker_from = loudest * 10 ** (OWN_DB / 10)
    return np.asarray(np.where(levels < own_speaker_from, loudest, 0.0))


def audible_leak(loudest_leak: NDArray[np.floating], tone: audio.Samples, rate: int) -> list[tuple[int, int]]:
    """(start, end) in samples of what would be heard of a leak in the room tone of its channel."""
    tone_power = float(np.mean(np.square(tone)))
    heard_from = tone_power * 10 ** (HEARD_DB / 10)
    return leaked_spans(loudest_leak > heard_from, rate)
