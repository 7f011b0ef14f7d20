"""Reconstruct: a new timeline for a conversation whose one speaker was re-voiced, and its sound.

The kept speaker's utterances, and the laughs and breaths between them, move but are not touched: sample for
sample where the rate is kept. Between them is the recording's own background, stretched or cut where it is
quietest. The re-voiced speaker is on the left of the result, whichever side he was on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from datasets import Features, List, Value
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from dailytalk_contiguous.core import audio, turns
from dailytalk_contiguous.core.crosstalk import HOP, Leakage, leakage, leaked_spans
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.levels import frame_levels
from dailytalk_contiguous.core.loudness import Levelled, Piece, lay, level, limit, loudness, rearrange, room_tone
from dailytalk_contiguous.core.nonspeech_sounds import FRAME, find_sounds, sound_blocks
from dailytalk_contiguous.core.quality import SideMeter
from dailytalk_contiguous.core.schema import (
    AUDIO,
    CHANNELS,
    SECONDS,
    SIDE,
    STRING,
    TIMELINE,
    Row,
    per_utterance,
    result_sides,
)
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.sound_edges import UNDER_PEAK_DB
from dailytalk_contiguous.core.takes import Gate, edges
from dailytalk_contiguous.core.timeline import MODES, TurnEvent, compare_turns, rebuild, sounding_times
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.stages.base import REVOICE, SAMPLE_RATE, Stage

#: Seconds of source around a piece that its fades may use.
AROUND = 0.02

#: dB over the room tone from which a leak is heard in it, and over the leak from which a channel is its own
#: speaker's. Frames of 32 ms on both sides whose loudest leak counts: its tail in the room.
HEARD_DB = -3.0
OWN_DB = 10.0
LEAK_EDGE = 3

#: By which a take sounds, as what it replaces does (`core.sound_edges.sounding`).
TAKE_SOUNDS = Gate(edge_db=UNDER_PEAK_DB, edge_kept=0.0)


#: Columns of a conversation with its sound and its times, rebuilt or as it was recorded.
RESULT = Features(
    {
        "built_audio": AUDIO,
        "built_rate": Value("int32"),
        "built_duration": SECONDS,
        "built_sides": List(SIDE | {"audible": List({"start": SECONDS, "end": SECONDS})}),
        "timeline": TIMELINE,
        "sounds": List({"channel": STRING, **dict.fromkeys(("start", "end", "new_start", "new_end"), SECONDS)}),
        **per_utterance(
            Features(
                {
                    **dict.fromkeys(("new_start", "new_end", "new_start_trim", "new_end_trim"), SECONDS),
                    **dict.fromkeys(("event", "source_event"), STRING),
                }
            )
        ),
    }
)


class Part(NamedTuple):
    """An event of the conversation: its place among the utterances (None for a sound), and its new sound."""

    event: TurnEvent
    utterance: int | None
    spoken: audio.Samples | None


@dataclass(frozen=True)
class Reconstruct(Stage):
    """The rebuilt conversation: stereo FLAC, new times of every utterance, and how turn-taking changed.

    `status` says what became of each utterance: `spoken` ones are laid from `spoken` (int16 PCM at `sample_rate`),
    `kept` and `kept-original` ones from the recording, `dropped` ones are left out. A conversation with a `failed`
    one is held back. Times are seconds and whole samples of the result. A take is placed by where it sounds, in
    place of where its source does. A side that `Convert` has `converted` as a whole is treated as the kept one.
    """

    mode: str = setting(
        "anchor", "How turns are placed: {choices}.", option="timeline", panel="result", choices=MODES
    )
    sample_rate: int = setting(24000, SAMPLE_RATE)
    revoice: str = setting(CHANNELS[0], REVOICE)

    needs: ClassVar[tuple[str, ...]] = (
        "conversation_id",
        "audio",
        "offset",
        "duration",
        "sample_rate",
        "utterance_id",
        "source_channel",
        "start",
        "end",
        "run",
        "status",
        "spoken",
        "unspoken_reason",
        "unspoken_remedy",
    )
    uses: ClassVar[tuple[str, ...]] = ("start_trim", "end_trim", "converted")
    batch_rows: ClassVar[int] = 1
    retried: ClassVar[bool] = True
    refuses: ClassVar[bool] = True
    adds: ClassVar[Features] = RESULT

    def row(self, row: Row) -> Row:
        _refuse_failed(row)
        rate = self.sample_rate or row["sample_rate"]
        source = audio.read_at(row["audio"], rate, row["offset"], row["duration"])
        total = len(source) / rate
        analysed = audio.read_pcm(row["audio"], row["offset"], row["duration"])
        leaks = leakage(analysed[:, 0], analysed[:, 1])
        side = 1 - CHANNELS.index(self.revoice)
        moved_sides = [side]
        if row.get("converted"):
            source[:, 1 - side] = audio.of_length(audio.pcm_to_float(row["converted"]), len(source))
            moved_sides.append(1 - side)
        sounds: dict[str, list[tuple[float, float]]] = {}
        loudest_leaks = {}
        for number in moved_sides:
            channel = CHANNELS[number]
            spans = [(start, end) for start, end, _ in _spans(row, channel)]
            sounds[channel], loudest_leaks[number] = sounds_of(analysed[:, number], spans, leaks[number])
        parts = self._parts(row, sounds, rate)
        events = [part.event for part in parts]
        starts, new_total = rebuild(events, total, self.mode, rate)
        utterances = [number for number, part in enumerate(parts) if part.utterance is not None]
        length = round(new_total * rate)
        tones = [self._tone(row, parts, source, leaks, side, max(length, len(source)), rate) for side in (0, 1)]
        moved = {}
        for number in moved_sides:
            replaced = audible_leak(loudest_leaks[number], tones[number], rate)
            moved[number] = self._moved(number, parts, starts, source, tones, replaced, length, rate)
        right, lost_speech, lost_sound = moved[side]
        if row.get("converted"):
            left = moved[1 - side][0]
            levelled = Levelled([], 0.0, 0.0)
        else:
            left, levelled = self._revoiced(row, parts, starts, source, tones, length, rate)
        rebuilt = audio.to_pcm(np.stack((left, right), axis=1))
        measures = compare_turns(
            [events[i] for i in utterances], [starts[i] for i in utterances], total, new_total
        )
        return {
            "built_audio": {"bytes": audio.encoded_sound(rebuilt, rate, "FLAC"), "path": None},
            "built_rate": rate,
            "built_duration": len(rebuilt) / rate,
            "built_sides": result_measures(parts, starts, self.revoice, leaks, rebuilt, rate),
            "timeline": measures
            | {
                "mode": self.mode,
                "lost_speech_seconds": lost_speech,
                "lost_sound_seconds": lost_sound,
                "loudness_gain_db": levelled.gain_db,
                "loudness_missing_db": levelled.missing_db,
            },
            **times_of(row, parts, starts),
        }

    def _parts(
        self, row: dict[str, Any], sounds: Mapping[str, Sequence[tuple[float, float]]], rate: int
    ) -> list[Part]:
        """All events; `sounds` are those of the channels whose own sound is used."""
        blocks = {name: sound_blocks(_spans(row, name), spans) for name, spans in sounds.items()}
        runs = {name: iter(numbers) for name, (numbers, _) in blocks.items()}
        parts: list[Part] = []
        columns = (row[name] for name in ("source_channel", "start", "end", "run", "status", "spoken"))
        listed = zip(*columns, trims_of(row), strict=True)
        for index, (channel, start, end, run, status, pcm, (start_trim, end_trim)) in enumerate(listed):
            run = next(runs[channel]) if channel in runs else run
            if status == "spoken" and channel not in runs:
                spoken = audio.pcm_to_float(pcm)
                first, last = edges(spoken, rate, TAKE_SOUNDS)
                if start_trim is not None:
                    start = max(0.0, start + start_trim - first / rate)
                    start_trim = first / rate
                if end_trim is not None:
                    after = (len(spoken) - last) / rate
                    end = min(row["duration"], end - end_trim + after)
                    end_trim = after
                event = TurnEvent(
                    channel, start, end, len(spoken) / rate, start_trim=start_trim, end_trim=end_trim
                )
                parts.append(Part(event, index, spoken))
            elif status != "dropped":
                length = _whole_seconds(start, end, rate)
                event = TurnEvent(channel, start, end, length, run, True, start_trim, end_trim)
                parts.append(Part(event, index, None))
        for name, (_, joined) in blocks.items():
            parts += [
                Part(TurnEvent(name, start, end, _whole_seconds(start, end, rate), run, True), None, None)
                for (start, end), run in zip(sounds[name], joined, strict=True)
            ]
        return sorted(parts, key=lambda part: (part.event.start, part.event.channel, part.event.end))

    def _tone(
        self,
        row: dict[str, Any],
        parts: list[Part],
        source: audio.Samples,
        leaks: tuple[Leakage, Leakage],
        side: int,
        length: int,
        rate: int,
    ) -> audio.Samples:
        """Room tone of a side of the source, from where neither speaker does anything and nothing leaks."""
        events, others = (
            [(round(start * rate), round(end * rate)) for start, end in _busy(row, parts, name)]
            for name in (CHANNELS[side], CHANNELS[1 - side])
        )
        others += leaked_spans(leaks[side].mask, rate)
        return room_tone(
            source[:, side], events, length, rate, f"{row['conversation_id']}/{CHANNELS[side]}", others
        )

    def _revoiced(
        self,
        row: dict[str, Any],
        parts: list[Part],
        starts: list[float],
        source: audio.Samples,
        tones: list[audio.Samples],
        length: int,
        rate: int,
    ) -> tuple[audio.Samples, Levelled]:
        number = CHANNELS.index(self.revoice)
        side = source[:, number]
        side_parts = [
            placed for placed in zip(parts, starts, strict=True) if placed[0].event.channel == self.revoice
        ]
        takes = [part.spoken for part, _ in side_parts if part.spoken is not None]
        spans = _spans(row, self.revoice)
        speech = [side[round(start * rate) : round(end * rate)] for start, end, _ in spans]
        levelled = level(takes, _loudness(speech, rate), _loudness(takes, rate), rate)
        ready = iter(levelled.pieces)
        nothing = np.array([], np.float32)
        pieces = []
        around = round(AROUND * rate)
        for part, start in side_parts:
            if part.spoken is not None:
                pieces.append(Piece(round(start * rate), next(ready), nothing, nothing, over=True))
            else:
                first = round(part.event.start * rate)
                last = round(part.event.end * rate)
                before = side[max(0, first - around) : first]
                after = side[last : last + around]
                pieces.append(Piece(round(start * rate), side[first:last], before, after))
        # Once more: what is kept here, and room tone under a voice, may still pass the ceiling.
        return limit(lay(pieces, tones[number][:length], rate), rate), levelled

    def _moved(
        self,
        number: int,
        parts: list[Part],
        starts: list[float],
        source: audio.Samples,
        tones: list[audio.Samples],
        replaced: list[tuple[int, int]],
        length: int,
        rate: int,
    ) -> tuple[audio.Samples, float, float]:
        """A channel with its own sound, and the seconds of speech and of sounds that are not as they were."""
        side = source[:, number]
        side_parts = [
            placed for placed in zip(parts, starts, strict=True) if placed[0].event.channel == CHANNELS[number]
        ]
        moves = [
            (round(part.event.start * rate), round(part.event.end * rate), round(start * rate))
            for part, start in side_parts
        ]
        channel = rearrange(side, moves, tones[number], length, rate, replaced)
        lost = [0.0, 0.0]
        for (part, _), (first, last, new) in zip(side_parts, moves, strict=True):
            if not np.array_equal(channel[new : new + last - first], side[first:last]):
                lost[part.utterance is None] += part.event.end - part.event.start
        return channel, lost[0], lost[1]


def _spans(row: Row, name: str) -> list[tuple[float, float, int]]:
    """Start, end and run of the utterances of a channel."""
    utterances = zip(row["source_channel"], row["start"], row["end"], row["run"], strict=True)
    return [(start, end, run) for channel, start, end, run in utterances if channel == name]


def trims_of(row: Row) -> list[tuple[float | None, float | None]]:
    """How far inside its start and its end each utterance sounds, in seconds; None where nobody knows."""
    unknown = [None] * len(row["utterance_id"])
    return list(zip(row.get("start_trim") or unknown, row.get("end_trim") or unknown, strict=True))


def sounds_of(
    channel: audio.Pcm, spans: Sequence[tuple[float, float]], leak: Leakage
) -> tuple[list[tuple[float, float]], NDArray[np.floating[Any]]]:
    """Laughs, breaths and coughs of a channel (mono, 16 kHz) beside its speech, in seconds, and its leak.

    The second is `leak_levels`, of frames of 32 ms.
    """
    loudest_leak = leak_levels(channel, leak)
    leaked = leak.mask | (loudest_leak > 0)
    return find_sounds(channel, spans, np.repeat(leaked, HOP)[::FRAME]), loudest_leak


def leak_levels(channel: audio.Pcm, leak: Leakage) -> NDArray[np.floating[Any]]:
    """Mean square of the loudest leak around each frame of a channel; 0 where the channel is too loud for one."""
    predicted = np.pad(leak.predicted(), LEAK_EDGE)
    loudest = np.max(sliding_window_view(predicted, 2 * LEAK_EDGE + 1), axis=1)
    levels = frame_levels(audio.pcm_to_float(channel), HOP)
    return np.asarray(np.where(levels < loudest * 10 ** (OWN_DB / 10), loudest, 0.0))


def audible_leak(loudest_leak: NDArray[np.floating[Any]], tone: audio.Samples, rate: int) -> list[tuple[int, int]]:
    """(start, end) in samples of what would be heard of a leak in the room tone of its channel."""
    heard = float(np.mean(np.square(tone))) * 10 ** (HEARD_DB / 10)
    return leaked_spans(loudest_leak > heard, rate)


def result_measures(
    parts: Sequence[Part],
    starts: Sequence[float],
    revoice: str,
    leaks: tuple[Leakage, Leakage],
    result: audio.Pcm,
    rate: int,
) -> list[dict[str, Any]]:
    """The measures of both sides of a result, shape (n, 2), and when anything can be heard there.

    A leak is still in it where an unchanged piece is under the other speaker's words. Its level is taken from
    the recording, because a rebuilt result no longer has the voice that leaked.
    """
    sides = []
    for name, side in result_sides(revoice).items():
        number = CHANNELS.index(name)
        placed = [pair for pair in zip(parts, starts, strict=True) if pair[0].event.channel == side]
        heard = [(start, start + part.event.new_length) for part, start in placed]
        speech = [span for span, (part, _) in zip(heard, placed, strict=True) if part.utterance is not None]
        kept = [part.event for part, _ in placed if part.event.kept]
        others = [part.event for part in parts if part.event.channel != side]
        leaky = any(event.start < other.end and other.start < event.end for event in kept for other in others)
        meter = SideMeter(rate, len(result) / rate)
        step = round(audio.BLOCK_SECONDS * rate)
        for first in range(0, len(result), step):  # a side is never held as floats
            meter.push(audio.pcm_to_float(result[first : first + step, number]))
        sides.append(
            {
                "channel": name,
                **meter.measures(speech, heard, leaks[CHANNELS.index(side)].leak_db if leaky else None),
                "unheard_words": None,
                "audible": [{"start": start, "end": end} for start, end in meter.audible()],
            }
        )
    return sides


def _refuse_failed(row: dict[str, Any]) -> None:
    """Hold a conversation back in which something could not be said, for the next run to try again."""
    failed = [index for index, status in enumerate(row["status"]) if status == "failed"]
    if not failed:
        return
    # One reason for many is said once; the ids are details, in parentheses.
    why: dict[str, list[str]] = {}
    for index in failed:
        reason = row["unspoken_reason"][index].removeprefix("could not be said: ")
        why.setdefault(reason, []).append(row["utterance_id"][index])
    reasons = [f"{reason} ({', '.join(names[:3])}{', …' * (len(names) > 3)})" for reason, names in why.items()]
    more = [counted(len(reasons) - 3, "more reason")] if len(reasons) > 3 else []
    remedies = dict.fromkeys(filter(None, (row["unspoken_remedy"][index] for index in failed)))
    raise BadInput(
        f"held back: {counted(len(failed), 'utterance')} could not be said: {'; '.join(reasons[:3] + more)}",
        "; ".join([*remedies, "or pass --on-failure keep-original"]),
    )


def _busy(row: dict[str, Any], parts: list[Part], name: str) -> list[tuple[float, float]]:
    """When anything happens in a channel of the source, dropped utterances too."""
    utterances = zip(row["source_channel"], row["start"], row["end"], strict=True)
    return [(start, end) for channel, start, end in utterances if channel == name] + [
        (part.event.start, part.event.end) for part in parts if part.event.channel == name
    ]


def _whole_seconds(start: float, end: float, rate: int) -> float:
    """How long the samples are that `start`..`end` of a source cut out of it."""
    return (round(end * rate) - round(start * rate)) / rate


def _loudness(pieces: list[audio.Samples], rate: int) -> float:
    return loudness(np.concatenate(pieces), rate) if pieces else float("-inf")


def times_of(row: Row, parts: Sequence[Part], starts: Sequence[float]) -> dict[str, Any]:
    """New times and turn events of the utterances; a dropped one has none (it stays where it would have been)."""
    utterances = [number for number, part in enumerate(parts) if part.utterance is not None]
    source, result = sounding_times(
        [parts[number].event for number in utterances], [starts[number] for number in utterances]
    )
    groups = turns.join_spans(source)  # the same stretches before and after
    before = dict(zip(utterances, turns.label(source, groups), strict=True))
    after = dict(zip(utterances, turns.label(result, groups), strict=True))
    names = ("new_start", "new_end", "new_start_trim", "new_end_trim", "event", "source_event")
    times: dict[str, Any] = {name: [None] * len(row["utterance_id"]) for name in names}
    times["sounds"] = []
    for number, (part, start) in enumerate(zip(parts, starts, strict=True)):
        end = start + part.event.new_length
        event = part.event
        if part.utterance is None:
            before_it = {"channel": event.channel, "start": event.start, "end": event.end}
            times["sounds"].append(before_it | {"new_start": start, "new_end": end})
            continue
        values = (start, end, event.start_trim, event.end_trim, after[number], before[number])
        for name, value in zip(names, values, strict=True):
            times[name][part.utterance] = value
    return times
