"""Segment: find the utterances of both speakers and cut their speech out of the recording, once.

Everything after this stage works on 16 kHz int16 speech (`speech`), so that no later stage decodes or resamples
again. That column is never stored: its times are, and `restore` cuts it again without running Silero.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from datasets import Features, List, Value
from numpy.typing import NDArray

from dailytalk_contiguous.core import audio
from dailytalk_contiguous.core.crosstalk import Leakage, leakage, leaked_spans
from dailytalk_contiguous.core.cutting import Span, cut_long
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.levels import frame_levels
from dailytalk_contiguous.core.nonspeech_sounds import FRAME as SOUND_FRAME
from dailytalk_contiguous.core.nonspeech_sounds import find_sounds
from dailytalk_contiguous.core.quality import SideMeter
from dailytalk_contiguous.core.schema import (
    CHANNELS,
    MEASURE,
    REJECTED,
    SECONDS,
    SIDE,
    STRING,
    Row,
    per_utterance,
)
from dailytalk_contiguous.core.settings import setting, unlisted
from dailytalk_contiguous.core.sound_edges import STEP, sounding, with_onsets
from dailytalk_contiguous.core.spans import merge_gaps
from dailytalk_contiguous.core.speech_runs import speech_seconds, speech_spans
from dailytalk_contiguous.core.synchrony import out_of_step
from dailytalk_contiguous.models import speech_activity
from dailytalk_contiguous.models.speech_activity import FRAME, FRAME_SECONDS, MAX_FRAMES, SpeechActivity, is_narrow
from dailytalk_contiguous.stages.base import Stage, find_stage

#: Which channels become utterances, by the value of `--channel`. `mix` is for recordings with a single channel,
#: or with one voice on both: the mean of the channels.
CHANNEL_CHOICES = {"both": ("left", "right"), "left": ("left",), "right": ("right",), "mix": ("mix",)}

#: Mean square of a channel that holds nothing (−80 dBFS): 16-bit dither is 10 dB below.
SILENT = 1e-8

#: Share of samples at full scale above which a channel is called clipped.
CLIPPED = 0.001

#: Samples that count as clipped, from here up and down: full scale, less what a codec takes off.
FULL = 32700

#: Channels that are listened to side by side.
CHANNEL_THREADS = 2

#: Samples at a time: what speech activity takes in one call.
BLOCK = FRAME * MAX_FRAMES


class FoundSpeech(NamedTuple):
    """The result for one channel: its utterances, how much of each is speech, and notes about it.

    `trims`: seconds from its start to where it sounds, and from there to its end. `uncovered`: sound in no
    utterance. `side` are the fields of `core.schema.SIDE`.
    """

    channel: str
    spans: list[Span]
    spoken: list[float]
    trims: list[tuple[float, float]]
    uncovered: list[tuple[float, float]]
    notes: list[str]
    side: dict[str, Any]


@dataclass(frozen=True)
class Segment(Stage):
    """Speech activity on each channel, as utterances with their samples.

    Times are seconds from the start of the conversation. Utterances are in order of start (the left one first
    where both start at once) and numbered within their channel. `start_trim` and `end_trim` are how far inside its
    edges an utterance sounds: speech activity ends late, and is padded. `sides` measures each channel that is
    listened to, at the rate of the file.

    Attributes:
        threshold: probability of speech at which an utterance begins (Silero's default).
        again: that in sound of a second or more that no utterance covers: of a hoarse voice Silero is less sure.
            Hum, noise and chords have less. What is not covered then is heard once more, as a shout is
            (`models.speech_activity.missed_speech`).
        min_speech: seconds; less is no speech. min_silence: seconds of silence that end an utterance.
        pad: seconds added on both sides.
        longest: seconds; a longer utterance is cut where it is quietest.
        short: seconds; a shorter utterance has the kind `short` instead of `speech`.
        crosstalk: whether the other speaker's leaked voice is left out (see `core.crosstalk`).
        mono: whether a recording of one channel is, with `both`, taken as one speaker, on the channel `mix`.
    """

    VERSION: ClassVar[int] = 2
    channel: str = setting("both", "Whose utterances are tagged: {choices}.", choices=tuple(CHANNEL_CHOICES))
    threshold: float = unlisted(0.5)
    again: float = unlisted(0.3)
    min_speech: float = unlisted(0.25)
    min_silence: float = unlisted(0.35)
    pad: float = unlisted(0.03)
    longest: float = unlisted(12.0)
    short: float = unlisted(0.8)
    min_duration: float = setting(0.0, "Shorter utterances are rejected: 0.8s. 0 keeps every mm-hm.", unit="s")
    crosstalk: bool = unlisted(True)
    mono: bool = unlisted(False)

    needs: ClassVar[tuple[str, ...]] = ("conversation_id", "recording_id", "audio", "offset", "duration")
    uses: ClassVar[tuple[str, ...]] = ("given",)
    transient: ClassVar[tuple[str, ...]] = ("speech",)
    batch_rows: ClassVar[int] = 1
    prepares: ClassVar[bool] = True
    refuses: ClassVar[bool] = True
    adds: ClassVar[Features] = Features(
        {
            **per_utterance(
                Features(
                    {
                        "utterance_id": STRING,
                        "channel": STRING,
                        "speaker": STRING,
                        "start": SECONDS,
                        "end": SECONDS,
                        "start_trim": SECONDS,
                        "end_trim": SECONDS,
                        "kind": STRING,
                        "run": Value("int32"),
                        "speech_seconds": MEASURE,
                        "speech": Value("binary"),
                    }
                )
            ),
            "uncovered_sound": List({"channel": STRING, "start": SECONDS, "end": SECONDS}),
            "sides": List(SIDE),
            "notes": List(STRING),
            "rejected": List(REJECTED),
        }
    )

    def models(self) -> dict[str, str]:
        return {"speech_activity": speech_activity.NAME}

    def row(self, row: Row) -> Row:
        info = audio.read_header(row["audio"])
        meters = {name: SideMeter(info.sample_rate, row["duration"]) for name in self._names(info.channels)}

        def measure(block: audio.Samples) -> None:
            for name, meter in meters.items():
                meter.push(block.mean(axis=1) if name == "mix" else block[:, ("left", "right").index(name)])

        samples = audio.read_pcm(row["audio"], row["offset"], row["duration"], measure)
        pcm = self._pcm(samples)
        total = len(samples) / audio.ANALYSIS_RATE
        leaks = self._leaks(samples)
        with ThreadPoolExecutor(CHANNEL_THREADS) as pool:
            searched = list(
                pool.map(lambda name: self._channel(name, pcm[name], meters[name], leaks.get(name), total), pcm)
            )
        numbered = [
            (f"{row['conversation_id']}/{side.channel}", side.channel, span, spoken, trims)
            for side in searched
            for span, spoken, trims in zip(side.spans, side.spoken, side.trims, strict=True)
        ]
        kept = [item for item in numbered if item[2].end - item[2].start >= self.min_duration]
        dropped = [item for item in numbered if item[2].end - item[2].start < self.min_duration]
        ids = []
        counts = dict.fromkeys((prefix for prefix, *_ in kept), 0)
        for prefix, *_ in kept:
            ids.append(f"{prefix}/{counts[prefix]:04d}")
            counts[prefix] += 1
        names = {cue["channel"]: cue.get("speaker") for cue in row.get("given") or ()}
        order = sorted(range(len(kept)), key=lambda index: (kept[index][2].start, kept[index][1]))
        spans = [(kept[index][1], kept[index][2].start, kept[index][2].end) for index in order]
        notes = [note for side in searched for note in side.notes]
        scale_note = audio.scale_note(row["audio"])
        if scale_note:
            notes.append(scale_note)
        by_side = {side.channel: [(span.start, span.end) for span in side.spans] for side in searched}
        if by_side.keys() == {*CHANNELS} and (apart := out_of_step(by_side["left"], by_side["right"])):
            notes.append(f"its sides may not be in step: {apart}")
        return {
            "utterance_id": [ids[index] for index in order],
            "channel": [channel for channel, _, _ in spans],
            "speaker": [names.get(channel) or f"{row['recording_id']}/{channel}" for channel, _, _ in spans],
            "start": [start for _, start, _ in spans],
            "end": [end for _, _, end in spans],
            "start_trim": [kept[index][4][0] for index in order],
            "end_trim": [kept[index][4][1] for index in order],
            "kind": ["short" if end - start < self.short else "speech" for _, start, end in spans],
            "run": [kept[index][2].run for index in order],
            "speech_seconds": [kept[index][3] for index in order],
            "speech": [audio.excerpt(pcm[channel], start, end).tobytes() for channel, start, end in spans],
            "uncovered_sound": [
                {"channel": side.channel, "start": start, "end": end}
                for side in searched
                for start, end in side.uncovered
            ],
            "sides": [side.side for side in searched],
            "notes": notes,
            "rejected": [
                {
                    "id": f"{prefix}@{start:.3f}",
                    "stage": self.name,
                    "reason": f"{end - start:.2f} s long, under the {self.min_duration:g} s of --min-duration",
                    "remedy": "lower --min-duration to keep it",
                }
                for prefix, _, (start, end, _), *_ in dropped
            ],
        }

    def _names(self, count: int) -> tuple[str, ...]:
        """The channels that are listened to of a recording with so many; none where it has no such channels."""
        if self.mono and self.channel == "both" and count == 1:
            return CHANNEL_CHOICES["mix"]
        return CHANNEL_CHOICES[self.channel] if not self.crosstalk or self.channel == "mix" or count == 2 else ()

    def _pcm(self, samples: audio.Pcm) -> dict[str, audio.Pcm]:
        """The chosen channels by name. Raises BadInput where the recording has no such channels."""
        count = samples.shape[1]
        names = self._names(count)
        if names == CHANNEL_CHOICES["mix"]:
            return {"mix": audio.mixed_down(samples)}
        if not names:
            raise BadInput(
                f"it has {count} channel{'s' * (count != 1)}, not one for each of two speakers",
                audio.ONE_CHANNEL if count == 1 else "pass --channel mix to take it as one speaker",
            )
        return {name: samples[:, ("left", "right").index(name)] for name in names}

    def _channel(
        self,
        name: str,
        pcm: audio.Pcm,
        meter: SideMeter,
        leak: Leakage | None,
        total: float,
    ) -> FoundSpeech:
        place = f"the {name} channel"
        with speech_activity.refusing(place):
            probabilities, levels = _listen(pcm)
        if not len(levels) or float(levels.mean()) < SILENT:
            notes = [f"the {name} channel is silent"]
            return FoundSpeech(name, [], [], [], [], notes, _side(name, meter, [], leak))
        share = (np.count_nonzero(pcm >= FULL) + np.count_nonzero(pcm <= -FULL)) / max(1, len(pcm))
        notes = [f"{share:.1%} of the {name} channel is clipped"] if share > CLIPPED else []
        if leak is not None:
            removed = float(np.count_nonzero(leak.mask & (probabilities >= self.threshold))) * FRAME_SECONDS
            probabilities = np.where(leak.mask, np.float32(0), probabilities)
            if removed >= self.min_speech:
                notes.append(
                    f"{removed:.1f} s of the other speaker, leaked into the {name} channel at "
                    f"{leak.level_db:.0f} dB, are not taken for speech"
                )

        def spoken_from(threshold: float) -> list[tuple[float, float]]:
            found = speech_spans(
                probabilities, total, FRAME_SECONDS, threshold, self.min_speech, self.min_silence, self.pad
            )
            frames = [(int(start / FRAME_SECONDS), int(end / FRAME_SECONDS) + 1) for start, end in found]
            return [
                span
                for span, between in zip(found, frames, strict=True)
                if leak is None or not leak.explains(*between)
            ]

        def uncovered(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
            leaked = np.repeat(leak.mask, FRAME)[::SOUND_FRAME] if leak is not None else None
            return find_sounds(pcm, spans, leaked)

        def named(sounds: list[tuple[float, float]]) -> list[tuple[float, float]]:
            return [(start, end) for start, end in sounds if end - start >= speech_activity.UNCOVERED]

        spans = spoken_from(self.threshold)
        sounds = uncovered(spans)
        missed = [
            span
            for span in (spoken_from(self.again) if named(sounds) else ())
            if any(span[0] < end and span[1] > start for start, end in named(sounds))
            and not any(span[0] < end and span[1] > start for start, end in spans)
        ]
        if missed:
            spans = sorted([*spans, *missed])
            sounds = uncovered(spans)
        with speech_activity.refusing(place):
            shouts = speech_activity.missed_speech(pcm, sounds)
        if shouts:
            spans = merge_gaps(sorted([*spans, *shouts]), speech_activity.SHORTEST_PAUSE)
            sounds = uncovered(spans)
        for start, end in (*missed, *shouts):
            frames = slice(int(start / FRAME_SECONDS), int(end / FRAME_SECONDS) + 1)
            probabilities[frames] = np.maximum(probabilities[frames], self.threshold)
        if not spans:
            notes.append(f"no speech in the {name} channel")
        silent = np.repeat(leak.mask, FRAME)[::STEP] if leak is not None else None
        edges = sounding(pcm, spans, silent)
        spans = with_onsets(spans, edges, probabilities, FRAME_SECONDS)
        # At the nearest sample, so that what is stored cuts exactly the same samples again.
        rate = audio.ANALYSIS_RATE
        pieces = [
            Span(round(start * rate) / rate, round(end * rate) / rate, run)
            for start, end, run in cut_long(spans, levels, FRAME_SECONDS, self.longest)
        ]
        spoken = [speech_seconds(piece[:2], probabilities, FRAME_SECONDS, self.threshold) for piece in pieces]
        trims = []
        for number, (start, end, run) in enumerate(pieces):  # where it is cut, speech goes on
            begun = number > 0 and pieces[number - 1].run == run
            goes_on = number + 1 < len(pieces) and pieces[number + 1].run == run
            trims.append((0.0 if begun else edges[run][0] - start, 0.0 if goes_on else end - edges[run][1]))
        return FoundSpeech(name, pieces, spoken, trims, named(sounds), notes, _side(name, meter, spans, leak))

    def _leaks(self, samples: audio.Pcm) -> dict[str, Leakage]:
        """Measure the leakage in each channel from the other one. Raises BadInput where both are one signal."""
        if not self.crosstalk or self.channel == "mix" or samples.shape[1] == 1:
            return {}
        leaks = leakage(samples[:, 0], samples[:, 1])
        if any(leak.same for leak in leaks):
            raise BadInput("both channels carry the same sound, not one speaker each", audio.ONE_CHANNEL)
        return dict(zip(("left", "right"), leaks, strict=True))


def _listen(channel: audio.Pcm) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Probability of speech and mean square of each frame, in blocks: a channel is never held as floats."""
    activity = SpeechActivity(is_narrow(channel))
    probabilities = []
    levels = [np.zeros(0, np.float32)]
    for start in range(0, len(channel), BLOCK):
        block = audio.pcm_to_float(channel[start : start + BLOCK])
        probabilities.append(activity.push(block))
        levels.append(frame_levels(block, FRAME))
    return np.concatenate((*probabilities, activity.flush())), np.concatenate(levels)


def _side(name: str, meter: SideMeter, spans: list[tuple[float, float]], leak: Leakage | None) -> dict[str, Any]:
    """The fields of `core.schema.SIDE`; a leak is no noise."""
    leaked = leaked_spans(leak.mask, audio.ANALYSIS_RATE) if leak else []
    heard = [*spans, *((start / audio.ANALYSIS_RATE, end / audio.ANALYSIS_RATE) for start, end in leaked)]
    return {"channel": name, **meter.measures(spans, heard, leak and leak.leak_db), "unheard_words": None}


def channel_of(stages: Iterable[Stage]) -> str:
    """Whose utterances a list of stages tags: one of `CHANNEL_CHOICES`."""
    segment = find_stage(Segment, stages)
    return segment.channel if segment else Segment.channel
