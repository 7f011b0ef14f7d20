"""Rebuilt sides: the sound of a conversation on its new timeline, and the measures of its sides."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.record import BuiltSide, LeakSpan, SoundSpan
from dailytalk_contiguous.core.records.schema import CHANNELS, NOBODY, result_sides
from dailytalk_contiguous.core.records.utterance import Utterance, or_none
from dailytalk_contiguous.core.sound.crosstalk import Leak
from dailytalk_contiguous.core.sound.loudness import Piece, lay, level, limit, loudness, rearrange, room_tone
from dailytalk_contiguous.core.sound.quality import SideMeter
from dailytalk_contiguous.core.sound.samples import Pcm, Samples, pcm_to_float
from dailytalk_contiguous.core.spans import TimeSpan
from dailytalk_contiguous.core.turns.timeline import TurnEvent
from dailytalk_contiguous.machine import audio
from dailytalk_contiguous.stages.recorded_sides import RecordedSides, audible_leak, leaks_in_tone, speech_of_side


@dataclass
class Part:
    """An event of the conversation.

    Attributes:
        event: its place in the source, and its length in the result.
        utterance: the utterance that it is; None for a sound.
        spoken: its new sound; None if it is as it was recorded.
        start: its start in the result, in seconds.
    """

    event: TurnEvent
    utterance: Utterance | None = None
    spoken: Samples | None = None
    start: float = 0.0


def sorted_parts(parts: Iterable[Part]) -> list[Part]:
    """Parts by rising start in the source."""
    return sorted(parts, key=lambda part: (part.event.start, part.event.channel, part.event.end))


class RebuiltSide(NamedTuple):
    """A side of the result.

    Attributes:
        samples: its sound.
        lost_speech: seconds of its speech that are not as they were.
        lost_sound: seconds of its other sounds that are not as they were.
        gain_db: gain by which another voice was made louder (`core.sound.loudness.Levelled`).
        missing_db: by how many dB it is quieter than the source.
    """

    samples: Samples
    lost_speech: float = 0.0
    lost_sound: float = 0.0
    gain_db: float = 0.0
    missing_db: float = 0.0


#: Seconds of source around a piece that its fades may use.
AROUND = 0.02


@dataclass(frozen=True)
class RebuiltSides:
    """The parts of a conversation at their new places.

    Attributes:
        recorded: the sides of the source.
        parts: all events.
        length: length of the result, in samples.
    """

    recorded: RecordedSides
    parts: Sequence[Part]
    length: int

    def moved(self, side: int) -> RebuiltSide:
        """A side with its own sound, whose events are elsewhere."""
        recorded = self.recorded
        rate = recorded.rate
        samples = recorded.sound[:, side]
        tone = self._tone(side)
        leaked = audible_leak(samples, recorded.leaks[side], tone, rate)
        parts = self._parts_of(side)
        moves = []
        for part in parts:
            first = round(part.event.start * rate)
            last = round(part.event.end * rate)
            moves.append((first, last, round(part.start * rate)))
        channel = rearrange(samples, moves, tone, self.length, rate, leaked)
        lost_speech = 0.0
        lost_sound = 0.0
        for part, (first, last, new) in zip(parts, moves, strict=True):
            if np.array_equal(channel[new : new + last - first], samples[first:last]):
                continue
            if part.utterance is None:
                lost_sound += part.event.end - part.event.start
            else:
                lost_speech += part.event.end - part.event.start
        return RebuiltSide(channel, lost_speech, lost_sound)

    def revoiced(self, side: int) -> RebuiltSide:
        """A side with the takes of another voice over its room tone, at the loudness of the source."""
        recorded = self.recorded
        rate = recorded.rate
        samples = recorded.sound[:, side]
        parts = self._parts_of(side)
        takes = [part.spoken for part in parts if part.spoken is not None]
        speech: list[Samples] = []
        for start, end in speech_of_side(recorded.talk, side):
            speech.append(samples[round(start * rate) : round(end * rate)])
        levelled = level(takes, _loudness(speech, rate), _loudness(takes, rate), rate)
        levelled_takes = iter(levelled.pieces)
        nothing = np.array([], np.float32)
        around = round(AROUND * rate)
        pieces = []
        for part in parts:
            begin = round(part.start * rate)
            if part.spoken is not None:
                take = next(levelled_takes)
                pieces.append(Piece(begin, take, nothing, nothing, over=True))
            else:
                first = round(part.event.start * rate)
                last = round(part.event.end * rate)
                before = samples[max(0, first - around) : first]
                after = samples[last : last + around]
                pieces.append(Piece(begin, samples[first:last], before, after))
        tone = self._tone(side)[: self.length]
        # Once more: what is kept here, and room tone under a voice, may still pass the ceiling.
        channel = limit(lay(pieces, tone, rate), rate)
        return RebuiltSide(channel, gain_db=levelled.gain_db, missing_db=levelled.missing_db)

    def _parts_of(self, side: int) -> list[Part]:
        return [part for part in self.parts if part.event.channel == CHANNELS[side]]

    def _tone(self, side: int) -> Samples:
        """Room tone of a side of the source, from where its speaker does nothing and nothing leaks."""
        recorded = self.recorded
        rate = recorded.rate
        length = max(self.length, len(recorded.sound))
        samples = recorded.sound[:, side]
        leaks = leaks_in_tone(samples, recorded.leaks[side], rate)
        busy: list[tuple[int, int]] = []
        for start, end in speech_of_side(recorded.talk, side):  # in dropped utterances, too
            busy.append((round(start * rate), round(end * rate)))
        for part in self._parts_of(side):
            busy.append((round(part.event.start * rate), round(part.event.end * rate)))
        return room_tone(samples, busy, length, rate, f"{recorded.talk.conversation_id}/{CHANNELS[side]}", leaks)


def result_measures(
    talk: Conversation,
    parts: Sequence[Part],
    revoice: str,
    leaks: tuple[Leak | None, Leak | None],
    result: Pcm,
    rate: int,
) -> list[BuiltSide]:
    """The measures of both sides of a result, shape (n, 2), and when anything can be heard there.

    A leak is still in it where an unchanged piece is under the other speaker's words. Its level is taken from
    the recording, because a rebuilt result no longer has the voice that leaked. So are, from its column `sides`,
    the clipping of a side that was recorded (what was resampled is flat no more) and the silence at its end.
    """
    recorded = {side.channel: side for side in or_none(talk.sides) or ()}
    sides: list[BuiltSide] = []
    for name, side in result_sides(revoice).items():
        heard: list[TimeSpan] = []
        speech: list[TimeSpan] = []
        for part in parts:
            if part.event.channel != side:
                continue
            span = (part.start, part.start + part.event.new_length)
            heard.append(span)
            if part.utterance is not None:
                speech.append(span)
        kept_parts = [part for part in parts if part.event.channel == side and part.event.is_kept]
        kept = [part.event for part in kept_parts]
        others = [part.event for part in parts if part.event.channel != side]
        is_leak_kept = any(
            event.start < other.end and other.start < event.end for event in kept for other in others
        )
        leak = leaks[CHANNELS.index(side)] if is_leak_kept else None
        channel = result[:, CHANNELS.index(name)]
        meter = SideMeter(rate, len(channel) / rate)
        step = round(audio.BLOCK_SECONDS * rate)
        for first in range(0, len(channel), step):  # a side is never held as floats
            meter.push(pcm_to_float(channel[first : first + step]))
        measured = BuiltSide(channel=name, **meter.measures(speech, heard, leak))
        if leak is not None and revoice != NOBODY:
            measured.leaks = _moved_spans(leak.spans, kept_parts) or None
        measured.audible = [SoundSpan(start, end) for start, end in meter.audible()]
        source = recorded.get(side)
        measured.silent_end = source.silent_end if source else None
        if kept and source:
            measured.clipping_ratio = source.clipping_ratio
        sides.append(measured)
    return sides


def _moved_spans(spans: Sequence[LeakSpan], kept: Sequence[Part]) -> list[LeakSpan]:
    """Return where spans of a leak are in the result: in what is kept of them, the rest is room tone."""
    moved = []
    for part in kept:
        event = part.event
        later = part.start - event.start
        for span in spans:
            start = max(span.start, event.start)
            end = min(span.end, event.end)
            if start < end:
                moved.append(LeakSpan(float(start + later), float(end + later), span.leak_db, span.leak_seconds))
    return sorted(moved, key=lambda span: span.start)


def _loudness(pieces: list[Samples], rate: int) -> float:
    return loudness(np.concatenate(pieces), rate) if pieces else float("-inf")
