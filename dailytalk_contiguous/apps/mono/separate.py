"""Separate: the voice of each speaker in overlaps; and PlaceOnSides: the two resulting channels."""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, BinaryIO, ClassVar

import numpy as np
import soundfile
import soxr
from datasets import Features, List, Value
from numpy.typing import NDArray

from dailytalk_contiguous.apps.mono.diarise import model_of
from dailytalk_contiguous.core import audio, interrupts
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import AUDIO, CHANNELS, MODEL, SECONDS, SEPARATED_TURN, Row
from dailytalk_contiguous.core.separated_turns import turns_within
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.spans import intersection, outside, speech_spans
from dailytalk_contiguous.models.checkpoints import find_speaker_encoder
from dailytalk_contiguous.models.contracts import Separator
from dailytalk_contiguous.models.speech_activity import FRAME_SECONDS, speech_probabilities
from dailytalk_contiguous.stages.base import DEVICE, Stage

#: No separator: where both speak, both sides have the recording as it is.
NO_SEPARATOR = "none"

#: Seconds of the shortest overlap that is separated (arXiv 2603.25750), and of what is heard before and after.
SHORTEST, CONTEXT = 0.2, 1.0

#: Of what the separator makes of a turn, the other's voice: by how much it may be more like the speaker's (what
#: leaks is so by more), and how far below it in dB.
ALIKE, FAINTEST_DB = 0.05, -30.0

#: Seconds of each person alone by which their voice is known.
KNOWN_BY = 10.0

#: Both voices of an overlap, stereo FLAC at the recording's rate.
OVERLAP = {"start": SECONDS, "end": SECONDS, "sound": Value("binary")}


@dataclass(frozen=True)
class Separate(Stage):
    """Each person's turns on a side of their own, and in overlaps the voice of each.

    The first speaker is on the left. The separator's two voices of an overlap are put on the sides by their sound,
    and by the speech before and after it.
    """

    model: str = setting(
        NO_SEPARATOR,
        "Separates what two people say at once: a SepFormer by name; none keeps the mixture.",
        option="separator",
        panel="models",
        metavar="NAME|DIR|none",
        reference=True,
    )
    hears: str = setting(
        "overlaps",
        "What the separator hears: {choices}. In all speech it hears backchannels that the diariser does not; it "
        "takes many times as long.",
        option="separator_hears",
        choices=("overlaps", "speech"),
    )
    device: str = setting("auto", DEVICE, execution=True)

    needs: ClassVar[tuple[str, ...]] = ("audio", "offset", "duration", "diarised", "separated_by")
    refuses: ClassVar[bool] = True
    batch_rows: ClassVar[int] = 1
    adds: ClassVar[Features] = Features(
        {"separated_turns": List(SEPARATED_TURN), "separated_by": List(MODEL), "overlaps": List(OVERLAP)}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hears == "speech" and self.model == NO_SEPARATOR:
            raise DailytalkError("--separator-hears speech needs --separator", "name one")

    def preflight(self, fetch: bool = True) -> None:
        if self.model != NO_SEPARATOR:
            from dailytalk_contiguous.apps.mono import separators

            find_speaker_encoder()
            separators.check_separator(self.model, fetch)

    def models(self) -> dict[str, str]:
        return {"separator": self.model} if self.model != NO_SEPARATOR else {}

    def row(self, row: Row) -> Row:
        models = [model for model in row["separated_by"] if model["role"] == "diariser"]
        turns, both = row["diarised"], overlaps_of(row["diarised"])
        separated, sounds = list[tuple[float, float]](), list[dict[str, Any]]()
        if self.model != NO_SEPARATOR:
            from dailytalk_contiguous.apps.mono import separators

            models.append(model_of("separator", self.model))
            sides = _Sides(row, separators.load_separator(self.model, self.device), self.device)
            if self.hears == "speech":
                turns = joined_turns([*turns, *sides.unheard()])
                both = overlaps_of(turns)
            separated = [(start, end) for start, end in both if end - start >= SHORTEST]
            for start, end in separated:
                interrupts.check_interrupt()
                sounds.append({"start": start, "end": end, "sound": sides.encoded(start, end)})
        return {
            "separated_turns": sided_turns(turns, both, separated),
            "separated_by": models,
            "overlaps": sounds,
        }


def spans_of(turns: Iterable[Row], speaker: int) -> list[tuple[float, float]]:
    """The spans of speech of one of two speakers, in seconds."""
    return [(turn["start"], turn["end"]) for turn in turns if turn["speaker"] == speaker]


def overlaps_of(turns: Sequence[Row]) -> list[tuple[float, float]]:
    """The spans in which both speak."""
    return intersection(spans_of(turns, 0), spans_of(turns, 1))


def joined_turns(turns: Iterable[Row]) -> list[Row]:
    """Turns by start, with those of one speaker that overlap as one."""
    joined: list[Row] = []
    for turn in sorted(turns, key=lambda turn: (turn["speaker"], turn["start"])):
        last = joined[-1] if joined else None
        if last and last["speaker"] == turn["speaker"] and turn["start"] < last["end"]:
            both = {name: max(last[name], turn[name]) for name in ("end", "confidence")}
            joined[-1] = last | both
        else:
            joined.append(turn)
    return sorted(joined, key=lambda turn: (turn["start"], turn["speaker"]))


def sided_turns(
    turns: Sequence[Row], both: Sequence[tuple[float, float]], separated: Sequence[tuple[float, float]]
) -> list[dict[str, Any]]:
    """Turns of two speakers as those of two sides, cut at the beginning and end of overlaps."""
    sided = []
    for turn in turns:
        inner = [(start, end) for start, end in both if turn["start"] <= start and end <= turn["end"]]
        edges = sorted({turn["start"], *(edge for span in inner for edge in span), turn["end"]})
        for start, end in pairwise(edges):
            shared = next((span for span in inner if span[0] <= start and end <= span[1]), None)
            origin = "recorded" if shared is None else "separated" if shared in separated else "mixed"
            side = {"channel": CHANNELS[turn["speaker"]], "confidence": turn["confidence"]}
            sided.append(side | {"start": start, "end": end, "origin": origin})
    return sorted(sided, key=lambda turn: (turn["start"], turn["channel"]))


class _Sides:
    """The voices of a recording's overlaps, each on its speaker's side."""

    def __init__(self, row: Row, separator: Separator, device: str) -> None:
        from dailytalk_contiguous.apps.mono.speaker_turns import known_voice

        self._row, self._separator, self._rate = row, separator, audio.read_header(row["audio"]).sample_rate
        self._voice_of = partial(known_voice, device=device)
        both = overlaps_of(row["diarised"])
        self._turns = [spans_of(row["diarised"], speaker) for speaker in (0, 1)]
        self._alone = [outside(spans, both) for spans in self._turns]
        self._known = [self._voice_of(self._longest(stretches)) for stretches in self._alone]

    def encoded(self, start: float, end: float) -> bytes:
        """Stereo FLAC of both voices of an overlap, at the recording's rate."""
        voices = soxr.resample(self._voices(start, end).T, self._separator.sample_rate, self._rate)
        return audio.encoded_sound(audio.to_pcm(voices), self._rate, "FLAC")

    def unheard(self) -> Iterator[dict[str, Any]]:
        """Turns inside of the other's by speech activity in what the separator makes of these."""
        for side, spans in enumerate(self._turns):
            other = 1 - side
            for start, end in spans:
                interrupts.check_interrupt()
                voices = soxr.resample(
                    self._voices(start, end).T, self._separator.sample_rate, audio.ANALYSIS_RATE
                ).T
                voice = np.ascontiguousarray(voices[other])
                loud = 10 ** (FAINTEST_DB / 10) * np.square(voices[side]).mean()
                for first, last in speech_spans(speech_probabilities(voice), end - start, FRAME_SECONDS, pad=0.0):
                    part = voice[round(first * audio.ANALYSIS_RATE) : round(last * audio.ANALYSIS_RATE)]
                    alike = [float(self._voice_of(part) @ known) for known in self._known]
                    if alike[other] > alike[side] - ALIKE and np.square(part).mean() >= loud:
                        sure = min(1.0, 0.5 + alike[other] - alike[side])
                        yield {"speaker": other, "start": start + first, "end": start + last, "confidence": sure}

    def _voices(self, start: float, end: float) -> audio.Samples:
        """The voices (2, n) of a stretch at the separator's rate, left one first, as loud as in the recording."""
        first, rate = max(0.0, start - CONTEXT), self._separator.sample_rate
        sound = self._sound(first, end + CONTEXT, rate)
        voices = self._separator.separate(sound).astype(np.float64)
        voices *= np.linalg.lstsq(voices.T, sound.astype(np.float64))[0].clip(0)[:, None]
        inner = slice(round((start - first) * rate), round((end - first) * rate))
        heard = [self._voice_of(soxr.resample(voice[inner], rate, audio.ANALYSIS_RATE)) for voice in voices]
        alike = [[float(voice @ known) for known in self._known] for voice in heard]
        # Of a shorter sound less can be heard of whose voice it is.
        by_voice = (alike[0][0] + alike[1][1] - alike[0][1] - alike[1][0]) * min(1.0, end - start)
        by_continuity = 0.0
        for stretches, sign in zip(self._alone, (1.0, -1.0), strict=True):
            power = np.zeros(2)
            for near_start, near_end in intersection(stretches, [(first, end + CONTEXT)]):
                places = slice(round((near_start - first) * rate), round((near_end - first) * rate))
                power += np.square(voices[:, places]).sum(axis=1)
            by_continuity += sign * float((power[0] - power[1]) / max(power.sum(), 1e-12))
        ordered = voices if by_voice + by_continuity >= 0 else voices[::-1]
        return np.asarray(ordered[:, inner], np.float32)

    def _sound(self, start: float, end: float, rate: int) -> audio.Samples:
        part = self._row["offset"] + start, min(end, self._row["duration"]) - start
        mono: audio.Samples = audio.read_at(self._row["audio"], rate, *part).mean(axis=1)
        return mono

    def _longest(self, stretches: Sequence[tuple[float, float]]) -> audio.Samples:
        """The sound of the longest stretches, up to `KNOWN_BY` seconds in all, at 16 kHz."""
        parts, seconds = [np.zeros(0, np.float32)], 0.0
        for start, end in sorted(stretches, key=lambda stretch: stretch[0] - stretch[1]):
            if seconds < KNOWN_BY:
                parts.append(self._sound(start, min(end, start + KNOWN_BY - seconds), audio.ANALYSIS_RATE))
                seconds += end - start
        return np.concatenate(parts)


@dataclass(frozen=True)
class PlaceOnSides(Stage):
    """The recording as two channels: `audio` becomes a FLAC of its own, at the rate of the recording.

    A row with parts to cut out is rejected, because a row stays one: `dailytalk separate` cuts.
    """

    needs: ClassVar[tuple[str, ...]] = ("audio", "offset", "duration", "parts", "separated_turns", "overlaps")
    refuses: ClassVar[bool] = True
    batch_rows: ClassVar[int] = 1
    adds: ClassVar[Features] = Features({"audio": AUDIO, "offset": SECONDS, "channels": Value("int32")})

    def row(self, row: Row) -> Row:
        if unusable := next((part for part in row["parts"] if part["reason"]), None):
            raise BadInput(
                f"{unusable['reason']} from {unusable['start']:.1f} to {unusable['end']:.1f} s",
                "run dailytalk separate, which cuts that out, and take what it makes",
            )
        file = io.BytesIO()
        write_part(file, row, 0.0, row["duration"])
        return {"audio": {"bytes": file.getvalue(), "path": None}, "offset": 0.0, "channels": 2}


def write_part(file: BinaryIO, row: Row, start: float, end: float, comment: str = "") -> list[dict[str, Any]]:
    """Write a part of a separated row as a FLAC of two channels; returns its turns, in seconds of the part."""
    from dailytalk_contiguous.apps.mono.two_sides import SeparatedVoices, two_channels

    rate = audio.read_header(row["audio"]).sample_rate
    first, last = (round((row["offset"] + edge) * rate) for edge in (start, end))
    turns = turns_within(row["separated_turns"], start, end - start)
    fine = audio.sample_format(row["audio"]).dtype != "int16"
    scale = 65536.0 if fine else 1.0

    def voices() -> Iterator[SeparatedVoices]:
        for overlap in sorted(row["overlaps"], key=lambda overlap: float(overlap["start"])):
            if start < overlap["end"] and overlap["start"] < end:
                pcm, _ = soundfile.read(io.BytesIO(overlap["sound"]), dtype="int16")
                at = round((overlap["start"] - start) * rate)  # negative where a part begins within it
                yield SeparatedVoices(max(0, at), pcm[max(0, -at) :] * scale)

    def read() -> Iterator[NDArray[Any]]:
        return mono_blocks(row["audio"], first, last, fine)

    # FLAC holds 24 bits at most.
    with soundfile.SoundFile(file, "w", rate, 2, "PCM_24" if fine else "PCM_16", format="FLAC") as flac:
        if comment:
            flac.comment = comment
        for block in two_channels(read, rate, turns, voices()):
            interrupts.check_interrupt()
            flac.write(block)
    return turns


def mono_blocks(sound: dict[str, Any], first: int, last: int, fine: bool) -> Iterator[NDArray[Any]]:
    """Samples [first, last) of a recording as one channel, int16 or, of more bits, int32 with 24 of them."""
    for block in audio.whole_blocks(sound, first):
        taken = block[: last - first]
        if not len(taken):  # before the part, where a file can't be read from its middle
            continue
        first += len(taken)
        if taken.dtype.kind == "f":
            taken = np.clip(np.rint(taken * 2.0**23), -(2**23), 2**23 - 1).astype(np.int32) << 8
        mono = taken[:, 0] if taken.shape[1] == 1 else np.round(taken.mean(axis=1)).astype(taken.dtype)
        yield mono & ~0xFF if fine else mono
        if first >= last:
            return
