"""Recorded sides: both sides of a conversation as they were recorded, and what is heard on them beside speech."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.records.utterance import is_set, or_none
from dailytalk_contiguous.core.sound.crosstalk import Leak, SeparatedSides, leaked_spans, separate_sides
from dailytalk_contiguous.core.sound.leak_filter import FRAME
from dailytalk_contiguous.core.sound.levels import at_speech_level
from dailytalk_contiguous.core.sound.loudness import FADE
from dailytalk_contiguous.core.sound.nonspeech_sounds import FRAME as SOUND_FRAME
from dailytalk_contiguous.core.sound.nonspeech_sounds import sounds_outside_speech
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples, of_length, pcm_to_float
from dailytalk_contiguous.core.spans import TimeSpan
from dailytalk_contiguous.machine import audio


@dataclass(frozen=True)
class RecordedSides:
    """Both sides of a recording.

    Attributes:
        talk: the conversation.
        rate: the rate of the result in Hz.
        sound: float32 in [-1, 1], shape (n, 2).
        leaks: the leak into each channel.
        sounds: laughs, breaths and coughs, in seconds, by the numbers of the channels whose own sound is moved,
            and not replaced.
    """

    talk: Conversation
    rate: int
    sound: Samples
    leaks: tuple[Leak | None, Leak | None]
    sounds: dict[int, list[TimeSpan]]

    @property
    def seconds(self) -> float:
        return len(self.sound) / self.rate


def speech_of_side(talk: Conversation, side: int) -> list[TimeSpan]:
    """Start and end of the utterances of a side."""
    return [utterance.span for utterance in talk.side(CHANNELS[side])]


def record_sides(talk: Conversation, rate: int, revoiced: int) -> RecordedSides:
    """The recorded sides of a conversation.

    A side that `Convert` has converted is in place of the recorded one, and its sound is moved, too.

    Args:
        talk: with what `Reconstruct` needs.
        rate: wanted, in Hz.
        revoiced: the number of the channel whose speaker gets another voice.
    """
    sound = audio.read_at(talk.audio, rate, talk.offset, talk.duration)
    moved = [1 - revoiced]
    if is_set(talk.converted) and talk.converted:
        converted = pcm_to_float(talk.converted)
        sound[:, revoiced] = of_length(converted, len(sound))
        moved.append(revoiced)
    analysed = analysed_sides(talk)
    sounds = {side: sounds_of(analysed, side, speech_of_side(talk, side)) for side in moved}
    return RecordedSides(talk, rate, sound, analysed.leaks, sounds)


def analysed_sides(talk: Conversation) -> SeparatedSides:
    """Both sides of a recording at 16 kHz, without the voices that leak into them.

    They are what `Segment` has heard, whose measures of `sides` say where nothing leaks.
    """
    left, right = audio.read_pcm(talk.audio, talk.offset, talk.duration).T
    measured = {side.channel for side in or_none(talk.sides) or ()}
    if measured == {*CHANNELS} and not has_leak(talk):
        return SeparatedSides((left, right), (None, None), is_one_signal=False)
    return separate_sides(left, right)


def has_leak(talk: Conversation) -> bool:
    """Whether a voice leaks into the other side of a recording, by the measures of its sides."""
    return any(side.leak_db is not None for side in or_none(talk.sides) or ())


def sounds_of(sides: SeparatedSides, side: int, speech: Sequence[TimeSpan]) -> list[TimeSpan]:
    """Laughs, breaths and coughs of a side beside its speech, in seconds."""
    leak = sides.leaks[side]
    leaked_frames = None if leak is None else np.repeat(leak.is_other, FRAME)[::SOUND_FRAME]
    return sounds_outside_speech(at_speech_level(sides.channels[side]), speech, leaked_frames)


#: dB under a frame of a channel from which on a leak is part of it.
PART_DB = 10.0


def leaks_in_tone(samples: Samples, leak: Leak | None, rate: int) -> list[tuple[int, int]]:
    """(start, end) in samples of where a leak is part of what sounds in a channel, which is no room tone then."""
    if leak is None:
        return []
    return leaked_spans(leak.power > _levels(samples, leak, rate) * 10 ** (-PART_DB / 10), rate)


#: dB over the room tone from which a leak is heard in it.
HEARD_DB = -3.0

#: dB over the leak from which a frame of a channel is its own speaker's.
OWN_DB = 10.0


def audible_leak(samples: Samples, leak: Leak | None, tone: Samples, rate: int) -> list[tuple[int, int]]:
    """(start, end) in samples of where a leak is heard over the room tone of its channel, and nothing else is.

    Its replacement fades in before it, and out behind it.
    """
    if leak is None:
        return []
    tone_power = float(np.mean(np.square(tone)))
    is_heard = leak.power > tone_power * 10 ** (HEARD_DB / 10)
    is_own = _levels(samples, leak, rate) >= leak.power * 10 ** (OWN_DB / 10)
    fade = round(FADE * rate)
    return [(start - fade, end + fade) for start, end in leaked_spans(is_heard & ~is_own, rate)]


def _levels(samples: Samples, leak: Leak, rate: int) -> NDArray[np.float64]:
    """Mean square of a channel at a rate in each frame of a leak in it."""
    edges = np.round(np.arange(len(leak.power) + 1) * FRAME / ANALYSIS_RATE * rate).astype(int)
    summed = np.concatenate(([0.0], np.cumsum(np.square(samples), dtype=np.float64)))
    sums = np.diff(summed[np.minimum(edges, len(samples))])
    return np.asarray(sums / np.maximum(np.diff(edges), 1))
