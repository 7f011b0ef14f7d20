"""Segment: find the utterances of both speakers and cut their speech out of the recording, once.

Everything after this stage works on 16 kHz int16 speech (`speech`), so that no later stage decodes or resamples
again. That column is never stored: its times are, and `restore` cuts it again without running Silero.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from datasets import Features
from numpy.typing import NDArray

from dailytalk_contiguous.core.errors import BadInput, Reject
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.record import Side, SideShift, UncoveredSound
from dailytalk_contiguous.core.records.rows import conversation_features
from dailytalk_contiguous.core.records.schema import CHANNELS, MIX
from dailytalk_contiguous.core.records.utterance import Utterance, or_none
from dailytalk_contiguous.core.settings import setting, unlisted
from dailytalk_contiguous.core.sound.crosstalk import Leak, separate_sides
from dailytalk_contiguous.core.sound.cutting import CutSpan, cut_long
from dailytalk_contiguous.core.sound.levels import at_speech_level, pcm_levels
from dailytalk_contiguous.core.sound.nonspeech_sounds import FRAME as SOUND_FRAME
from dailytalk_contiguous.core.sound.nonspeech_sounds import sounds_outside_speech
from dailytalk_contiguous.core.sound.quality import SideMeter
from dailytalk_contiguous.core.sound.samples import (
    ANALYSIS_RATE,
    Pcm,
    Samples,
    excerpt,
    mean_of_channels,
    mixed_down,
    pcm_to_float,
    to_pcm,
)
from dailytalk_contiguous.core.sound.side_shift import is_apart, shift_sentence, side_shift_of
from dailytalk_contiguous.core.sound.sound_edges import STEP, sounding, with_onsets
from dailytalk_contiguous.core.sound.speech_runs import speech_seconds, speech_spans
from dailytalk_contiguous.core.spans import TimeSpan, merge_gaps, true_runs
from dailytalk_contiguous.core.turns.synchrony import out_of_step
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.machine import audio
from dailytalk_contiguous.models import speech_activity
from dailytalk_contiguous.models.speech_activity import (
    FRAME,
    FRAME_SECONDS,
    MAX_FRAMES,
    SpeechActivity,
    is_narrow,
)
from dailytalk_contiguous.stages.base import Stage, find_stage

#: Which channels become utterances, by the value of `--channel`. `mix` is for recordings with a single channel,
#: or with one voice on both: the mean of the channels.
CHANNEL_CHOICES = {"both": ("left", "right"), "left": ("left",), "right": ("right",), "mix": ("mix",)}

#: Mean square of a channel that holds nothing (−80 dBFS): 16-bit dither is 10 dB below.
SILENT = 1e-8

#: The columns of utterances.
UTTERANCES = (
    "utterance_id",
    "channel",
    "speaker",
    "start",
    "end",
    "start_trim",
    "end_trim",
    "kind",
    "run",
    "speech_seconds",
    "leak_share",
    "speech",
)

#: Channels that are listened to side by side.
CHANNEL_THREADS = 2

#: Samples at a time: what speech activity takes in one call.
BLOCK = FRAME * MAX_FRAMES


class FoundSpeech(NamedTuple):
    """The result for one channel.

    Attributes:
        utterances: its utterances, in order, without names and samples.
        uncovered: its sound in no utterance.
        notes: notes about the channel for people.
        side: the measures of its sound.
    """

    utterances: list[Utterance]
    uncovered: list[UncoveredSound]
    notes: list[str]
    side: Side

    @property
    def spans(self) -> list[TimeSpan]:
        return [utterance.span for utterance in self.utterances]


@dataclass(frozen=True)
class HeardChannel:
    """A channel as speech activity has heard it.

    Attributes:
        name: `left`, `right` or `mix`.
        recorded: 16 kHz int16, shape (n,).
        pcm: the same without the other speaker's voice, at the level at which it is heard.
        probabilities: probabilities of speech, shape (frames,).
        levels: mean square of `pcm`, shape (frames,).
        leak: the leak from the other channel; None if there is none.
    """

    name: str
    recorded: Pcm
    pcm: Pcm
    probabilities: NDArray[np.float32]
    levels: NDArray[np.float32]
    leak: Leak | None

    @property
    def seconds(self) -> float:
        return len(self.pcm) / ANALYSIS_RATE

    def leaked_frames(self, step: int) -> NDArray[np.bool_] | None:
        """Which frames of so many samples are the other speaker's voice; None where nothing leaks."""
        if self.leak is None:
            return None
        return np.repeat(self.leak.is_other, FRAME)[::step]

    def uncovered(self, spans: Sequence[TimeSpan]) -> list[TimeSpan]:
        """The sounds in no span."""
        return sounds_outside_speech(self.pcm, spans, self.leaked_frames(SOUND_FRAME))

    def listen_afresh(self, sounds: Sequence[TimeSpan]) -> None:
        """Raise the probabilities in these sounds, and behind them, to what a model without memory hears."""
        narrow = is_narrow(self.pcm)
        for start, end in sounds:
            first = int(start / FRAME_SECONDS)
            behind = int((end + speech_activity.UNCOVERED) / FRAME_SECONDS) + 1
            part = pcm_to_float(self.pcm[first * FRAME : behind * FRAME])
            afresh = speech_activity.certain_speech(part, narrow)
            behind = first + len(afresh)
            if self.leak is not None:
                afresh = np.where(self.leak.is_other[first:behind], np.float32(0), afresh)
            heard = self.probabilities[first:behind]
            heard[:] = np.maximum(heard, afresh)

    def leak_share(self, start: float, end: float) -> float | None:
        """Return the share of energy between two times that is the other speaker's voice; None without a leak."""
        if self.leak is None:
            return None
        frames = slice(int(start / FRAME_SECONDS), int(end / FRAME_SECONDS) + 1)
        power = _power(excerpt(self.recorded, start, end))
        leaked = float(self.leak.power[frames].mean())
        return min(leaked / power, 1.0) if power else 0.0


@dataclass(frozen=True)
class Segment(Stage):
    """Speech activity on each channel, as utterances with their samples.

    Times are seconds from the start of the conversation. Utterances are in order of start (the left one first
    where both start at once) and numbered within their channel. `start_trim` and `end_trim` are how far inside its
    edges an utterance sounds: speech activity ends late, and is padded. `sides` measures each channel that is
    listened to, at the rate of the file. `sound_digest` is equal for equal sound, whichever side is which.
    `side_shift` is how far the sides are out of step (see `core.sound.side_shift`), or what the source says of
    that.

    Attributes:
        threshold: probability of speech at which an utterance begins (Silero's default).
        second_threshold: the same in sound of a second or more that no utterance covers: Silero is less sure of a
            hoarse voice. Hum, noise and chords have less. Sound that is still not covered is searched once more
            for shouts (`models.speech_activity.missed_speech`).
        min_speech_seconds: less speech than this is none.
        min_silence_seconds: silence that ends an utterance.
        pad_seconds: time that is added on both sides.
        longest_seconds: a longer utterance is cut where it is quietest.
        short_seconds: a shorter utterance has the kind `short` instead of `speech`.
        crosstalk: whether the other speaker's voice that leaks into a side is taken out (see
            `core.sound.crosstalk`).
        mono: whether a recording of one channel is, with `both`, taken as one speaker, on the channel `mix`.
    """

    VERSION: ClassVar[int] = 8
    channel: str = setting("both", "Whose utterances are tagged: {choices}.", choices=tuple(CHANNEL_CHOICES))
    threshold: float = unlisted(0.5)
    second_threshold: float = unlisted(0.3)
    min_speech_seconds: float = unlisted(0.25)
    min_silence_seconds: float = unlisted(0.35)
    pad_seconds: float = unlisted(0.03)
    longest_seconds: float = unlisted(12.0)
    short_seconds: float = unlisted(0.8)
    min_duration_seconds: float = setting(
        0.0,
        "Utterances shorter than this, such as 0.8s, are rejected; 0 keeps every mm-hm.",
        option="min_duration",
        unit="s",
    )
    crosstalk: bool = unlisted(True)
    mono: bool = unlisted(False)

    needs: ClassVar[tuple[str, ...]] = ("conversation_id", "recording_id", "audio", "offset", "duration")
    uses: ClassVar[tuple[str, ...]] = ("cues", "transcripts", "side_shift")
    transient: ClassVar[tuple[str, ...]] = ("speech",)
    batch_rows: ClassVar[int] = 1
    prepares: ClassVar[bool] = True
    refuses: ClassVar[bool] = True
    adds: ClassVar[Features] = conversation_features(
        *UTTERANCES,
        "uncovered_sound",
        "sound_digest",
        "side_shift",
        "sides",
        "notes",
        "rejected",
    )

    def models(self) -> dict[str, str]:
        return {"speech_activity": speech_activity.NAME}

    def of_talk(self, talk: Conversation) -> Conversation:
        info = audio.read_header(talk.audio)
        meters = {name: SideMeter(info.sample_rate, talk.duration) for name in self._names(info.channels)}

        def measure(block: Samples) -> None:
            for name, meter in meters.items():
                meter.push(mean_of_channels(block) if name == MIX else block[:, CHANNELS.index(name)])

        headroom = audio.float_headroom(talk.audio)
        samples = audio.read_pcm(talk.audio, talk.offset, talk.duration, measure, gain=headroom)
        recorded = self._pcm(samples)
        pcm = dict(recorded)
        leaks: dict[str, Leak | None] = dict.fromkeys(pcm)
        if self.crosstalk and recorded.keys() <= {*CHANNELS}:
            sides = separate_sides(samples[:, 0], samples[:, 1])
            if sides.is_one_signal:
                remedy = audio.same_sound_remedy(talk.audio)
                raise BadInput("both channels carry the same sound, not one speaker each", remedy)
            for name, channel, leak in zip(CHANNELS, sides.channels, sides.leaks, strict=True):
                if name in recorded:
                    pcm[name] = channel
                    leaks[name] = leak

        def search(name: str) -> FoundSpeech:
            if _power(recorded[name]) < SILENT * headroom**2:
                side = _side(name, meters[name], [], leaks[name])
                return FoundSpeech([], [], [f"the {name} channel is silent"], side)
            return self._channel(name, recorded[name], pcm[name], meters[name], leaks[name])

        with ThreadPoolExecutor(CHANNEL_THREADS) as pool:
            searched = list(pool.map(search, pcm))
        kept = self._long_enough(talk, searched)
        self._complete(kept, talk, pcm, headroom)
        talk.utterances = sorted(kept, key=lambda utterance: (utterance.start, utterance.channel))
        talk.uncovered_sound = []
        for side in searched:
            talk.uncovered_sound += side.uncovered
        # In whichever order the channels are.
        digests = sorted(hashlib.sha256(channel.tobytes()).digest() for channel in samples.T)
        talk.sound_digest = hashlib.sha256(b"".join(digests)).hexdigest()[:32]
        talk.side_shift = or_none(talk.side_shift) or _side_shift(talk, searched, samples)
        talk.sides = [side.side for side in searched]
        talk.notes = _notes(talk, searched)
        return talk

    def _long_enough(self, talk: Conversation, searched: Sequence[FoundSpeech]) -> list[Utterance]:
        """The utterances that are not shorter than `min_duration_seconds`; the others are rejected."""
        kept: list[Utterance] = []
        talk.rejected = []
        for side in searched:
            for utterance in side.utterances:
                seconds = utterance.span.seconds
                if seconds >= self.min_duration_seconds:
                    kept.append(utterance)
                    continue
                reject_id = f"{talk.conversation_id}/{utterance.channel}@{utterance.start:.3f}"
                reason = f"{seconds:.2f} s long, under the {self.min_duration_seconds:g} s of --min-duration"
                talk.rejected.append(Reject(reject_id, self.name, reason, "lower --min-duration to keep it"))
        return kept

    def _complete(
        self, utterances: Sequence[Utterance], talk: Conversation, pcm: Mapping[str, Pcm], headroom: float
    ) -> None:
        """Set ids, speakers, kinds and samples of utterances; `headroom` is that of `pcm` over the recording."""
        names = {cue.channel: cue.speaker for cue in or_none(talk.cues) or ()}
        counts: Counter[str] = Counter()
        for utterance in utterances:
            channel = utterance.channel
            is_short = utterance.span.seconds < self.short_seconds
            speech = excerpt(pcm[channel], utterance.start, utterance.end)
            if headroom != 1.0:
                speech = to_pcm(pcm_to_float(speech) / np.float32(headroom))
            utterance.utterance_id = f"{talk.conversation_id}/{channel}/{counts[channel]:04d}"
            utterance.speaker = names.get(channel) or f"{talk.recording_id}/{channel}"
            utterance.kind = "short" if is_short else "speech"
            utterance.speech = speech.tobytes()
            counts[channel] += 1

    def _names(self, count: int) -> tuple[str, ...]:
        """The channels that are listened to of a recording with so many; none where it has no such channels."""
        if self.mono and self.channel == "both" and count == 1:
            return CHANNEL_CHOICES[MIX]
        if self.channel != MIX and count != 2:
            return ()
        return CHANNEL_CHOICES[self.channel]

    def _pcm(self, samples: Pcm) -> dict[str, Pcm]:
        """The chosen channels by name. Raises BadInput where the recording has no such channels."""
        count = samples.shape[1]
        names = self._names(count)
        if names == CHANNEL_CHOICES[MIX]:
            return {MIX: mixed_down(samples)}
        if not names:
            raise BadInput(
                f"it has {counted(count, 'channel')}, not one for each of two speakers",
                audio.ONE_CHANNEL if count == 1 else "run dailytalk tag --channel mix to take it as one speaker",
            )
        return {name: samples[:, CHANNELS.index(name)] for name in names}

    def _channel(self, name: str, recorded: Pcm, pcm: Pcm, meter: SideMeter, leak: Leak | None) -> FoundSpeech:
        """Return the utterances of a channel; `pcm` is without the other speaker's voice."""
        pcm = at_speech_level(pcm)
        with speech_activity.refusing(f"the {name} channel"):
            probabilities, levels = _listen(pcm)
        if leak is not None:
            probabilities = np.where(leak.is_other, np.float32(0), probabilities)
        heard = HeardChannel(name, recorded, pcm, probabilities, levels, leak)
        spans, sounds = self._speech(heard)
        edges = sounding(pcm, spans, heard.leaked_frames(STEP))
        spans = with_onsets(spans, edges, probabilities, FRAME_SECONDS)
        utterances = self._cut(heard, spans, edges)
        side = _side(name, meter, spans, leak)
        notes = _notes_on_side(side, spans, leak)
        uncovered = [UncoveredSound(name, start, end) for start, end in _long_sounds(sounds)]
        return FoundSpeech(utterances, uncovered, notes, side)

    def _speech(self, heard: HeardChannel) -> tuple[list[TimeSpan], list[TimeSpan]]:
        """Starts and ends of the speech of a channel, and of the sounds beside it.

        `heard.probabilities` are raised where speech was only found at the second or third look.
        """
        spans = self._spans_from(heard, self.threshold)
        sounds = heard.uncovered(spans)
        long_sounds = _long_sounds(sounds)
        missed: list[TimeSpan] = []
        if long_sounds:
            heard.listen_afresh(long_sounds)
            spans = self._spans_from(heard, self.threshold)
            sounds = heard.uncovered(spans)
            long_sounds = _long_sounds(sounds)
            for span in self._spans_from(heard, self.second_threshold):
                if _touches(span, long_sounds) and not _touches(span, spans):
                    missed.append(span)
        if missed:
            spans = sorted([*spans, *missed])
            sounds = heard.uncovered(spans)
        with speech_activity.refusing(f"the {heard.name} channel"):
            shouts = speech_activity.missed_speech(heard.pcm, sounds)
        if shouts:
            spans = merge_gaps(sorted([*spans, *shouts]), speech_activity.SHORTEST_PAUSE)
            sounds = heard.uncovered(spans)
        for start, end in (*missed, *shouts):
            frames = slice(int(start / FRAME_SECONDS), int(end / FRAME_SECONDS) + 1)
            heard.probabilities[frames] = np.maximum(heard.probabilities[frames], self.threshold)
        return spans, sounds

    def _spans_from(self, heard: HeardChannel, threshold: float) -> list[TimeSpan]:
        """Return the spans of speech that begins at a probability."""
        return speech_spans(
            heard.probabilities,
            heard.seconds,
            FRAME_SECONDS,
            threshold,
            self.min_speech_seconds,
            self.min_silence_seconds,
            self.pad_seconds,
        )

    def _cut(self, heard: HeardChannel, spans: Sequence[TimeSpan], edges: Sequence[TimeSpan]) -> list[Utterance]:
        """The utterances of a channel: its speech, cut where it is too long."""
        # At the nearest sample, so that what is stored cuts exactly the same samples again.
        rate = ANALYSIS_RATE
        pieces = []
        for start, end, run in cut_long(spans, heard.levels, FRAME_SECONDS, self.longest_seconds):
            pieces.append(CutSpan(round(start * rate) / rate, round(end * rate) / rate, run))
        utterances = []
        for number, (start, end, run) in enumerate(pieces):
            # Where it is cut, speech goes on.
            begins_in_speech = number > 0 and pieces[number - 1].run == run
            ends_in_speech = number + 1 < len(pieces) and pieces[number + 1].run == run
            sound_start, sound_end = edges[run]
            utterance = Utterance(
                channel=heard.name,
                start=start,
                end=end,
                run=run,
                speech_seconds=speech_seconds((start, end), heard.probabilities, FRAME_SECONDS, self.threshold),
                start_trim=0.0 if begins_in_speech else sound_start - start,
                end_trim=0.0 if ends_in_speech else end - sound_end,
                leak_share=heard.leak_share(start, end),
            )
            utterances.append(utterance)
        return utterances


def _notes(talk: Conversation, searched: Sequence[FoundSpeech]) -> list[str]:
    """Return notes about the recording for people."""
    notes: list[str] = []
    for side in searched:
        notes += side.notes
    scale_note = audio.scale_note(talk.audio)
    if scale_note:
        notes.append(scale_note)
    side_shift = talk.side_shift
    if side_shift and is_apart(side_shift):
        clause = "its sides were laid on one clock" if side_shift["aligned"] else "its sides are out of step"
        notes.append(f"{clause}: {shift_sentence(side_shift)}")
        return notes
    if side_shift:
        notes.append(f"its sides were left as they are: {shift_sentence(side_shift)}")
    speech = {side.side.channel: side.spans for side in searched}
    leaks = any(side.side.leak_db is not None for side in searched)
    if speech.keys() == {*CHANNELS} and not leaks:  # what leaks is speech at once
        problem = out_of_step(speech["left"], speech["right"])
        if problem:
            notes.append(f"its sides may not be in step: {problem}")
    return notes


def _side_shift(talk: Conversation, searched: Sequence[FoundSpeech], samples: Pcm) -> SideShift | None:
    """Return how far the two channels are out of step; None if neither a leak nor a transcript tells."""
    speech = {side.side.channel: side.spans for side in searched}
    if speech.keys() != {*CHANNELS}:
        return None
    # Transcripts of a side each need not have one clock.
    is_one_clock = len(or_none(talk.transcripts) or ()) <= 1
    cues = or_none(talk.cues) or ()
    side_shift = side_shift_of(samples, cues if is_one_clock else (), speech)
    return side_shift if side_shift and is_apart(side_shift) else None


def _touches(span: TimeSpan, others: Sequence[TimeSpan]) -> bool:
    return any(span[0] < end and span[1] > start for start, end in others)


def _long_sounds(sounds: Sequence[TimeSpan]) -> list[TimeSpan]:
    """The sounds that are long enough to be speech."""
    return [(start, end) for start, end in sounds if end - start >= speech_activity.UNCOVERED]


def _listen(channel: Pcm) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Probability of speech and mean square of each frame, in blocks: a channel is never held as floats."""
    activity = SpeechActivity(is_narrow(channel))
    probabilities = []
    for start in range(0, len(channel), BLOCK):
        block = pcm_to_float(channel[start : start + BLOCK])
        probabilities.append(activity.push(block))
    return np.concatenate((*probabilities, activity.flush())), pcm_levels(channel, FRAME)


def _power(channel: Pcm) -> float:
    """Mean square of samples about their mean, in blocks: a channel is never held as floats."""
    total = 0.0
    squares = 0.0
    for start in range(0, len(channel), BLOCK):
        block = channel[start : start + BLOCK].astype(np.float64)
        total += float(block.sum())
        squares += float(np.square(block).sum())  # a product would start the threads of BLAS
    n_samples = max(1, len(channel))
    return (squares - total**2 / n_samples) / n_samples / 32768**2


#: Share of clipped samples (`core.sound.quality.clipping_ratio`) above which a channel is called clipped.
CLIPPED = 0.001


def _notes_on_side(side: Side, spans: Sequence[TimeSpan], leak: Leak | None) -> list[str]:
    """Return notes about a channel for people: it is clipped, has a leak of the other speaker, or no speech."""
    notes: list[str] = []
    if side.clipping_ratio and side.clipping_ratio > CLIPPED:
        notes.append(f"{side.clipping_ratio:.1%} of the {side.channel} channel is clipped")
    if leak is not None:
        seconds = float(np.count_nonzero(leak.loud_frames)) * FRAME_SECONDS
        level = f"{leak.level_db:.0f} dB"
        between = ""
        levels = sorted(span.leak_db for span in leak.spans)
        if levels and levels[-1] - levels[0] > 1:
            level = f"{levels[0]:.0f} to {levels[-1]:.0f} dB"
            between = f" between {leak.spans[0].start:.0f} and {leak.spans[-1].end:.0f} s"
        notes.append(
            f"{seconds:.1f} s of the other speaker, leaked into the {side.channel} channel at {level} and "
            f"{leak.delay * 1000:.0f} ms late{between}, are not taken for speech"
        )
    if not spans:
        notes.append(f"no speech in the {side.channel} channel")
    return notes


def _side(name: str, meter: SideMeter, spans: Sequence[TimeSpan], leak: Leak | None) -> Side:
    """The measures of a channel; a leak is no noise."""
    heard = [*spans]
    if leak is not None:
        for first, last in true_runs(leak.loud_frames).tolist():
            heard.append((first * FRAME_SECONDS, last * FRAME_SECONDS))
    return Side(channel=name, **meter.measures(spans, heard, leak))


def channel_of(stages: Iterable[Stage]) -> str:
    """Return the choice of channels that a list of stages tags: one of `CHANNEL_CHOICES`."""
    segment = find_stage(Segment, stages)
    return segment.channel if segment else Segment.channel
