"""Reconstruct: a new timeline for a conversation whose one speaker was re-voiced, and its sound.

The kept speaker's utterances, and the laughs and breaths between them, move but are not touched: sample for
sample where the rate is kept. Between them is the recording's own background, stretched or cut where it is
quietest. The re-voiced speaker is on the left of the result, whichever side he was on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from datasets import Features

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.record import MovedSound
from dailytalk_contiguous.core.records.rows import conversation_features
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.records.utterance import Utterance, or_none
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.sound.nonspeech_sounds import sound_blocks
from dailytalk_contiguous.core.sound.samples import Samples, encoded_sound, pcm_to_float, to_pcm
from dailytalk_contiguous.core.sound.sound_edges import UNDER_PEAK_DB
from dailytalk_contiguous.core.style.takes import Gate, edges
from dailytalk_contiguous.core.turns import turn_taking as turns
from dailytalk_contiguous.core.turns.timeline import MODES, TurnEvent, compare_turns, rebuild, sounding_times
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.stages.base import REVOICE, SAMPLE_RATE, Stage
from dailytalk_contiguous.stages.rebuilt_sides import Part, RebuiltSides, result_measures, sorted_parts
from dailytalk_contiguous.stages.recorded_sides import RecordedSides, record_sides

#: Columns of a conversation with its sound and its times, rebuilt or as it was recorded.
RESULT = conversation_features(
    "built_audio",
    "built_rate",
    "built_duration",
    "built_sides",
    "timeline",
    "sounds",
    "new_start",
    "new_end",
    "new_start_trim",
    "new_end_trim",
    "event",
    "source_event",
)


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
        "reason",
        "unspoken_remedy",
    )
    uses: ClassVar[tuple[str, ...]] = ("start_trim", "end_trim", "converted", "sides")
    VERSION: ClassVar[int] = 3
    batch_rows: ClassVar[int] = 1
    retried: ClassVar[bool] = True
    refuses: ClassVar[bool] = True
    adds: ClassVar[Features] = RESULT

    def of_talk(self, talk: Conversation) -> Conversation:
        _refuse_failed(talk)
        rate = self.sample_rate or talk.sample_rate
        revoiced = CHANNELS.index(self.revoice)
        recorded = record_sides(talk, rate, revoiced)
        parts = _parts(recorded)
        starts, seconds = rebuild([part.event for part in parts], recorded.seconds, self.mode, rate)
        for part, start in zip(parts, starts, strict=True):
            part.start = start
        rebuilt = RebuiltSides(recorded, parts, round(seconds * rate))
        kept = rebuilt.moved(1 - revoiced)
        is_converted = revoiced in recorded.sounds
        voice = rebuilt.moved(revoiced) if is_converted else rebuilt.revoiced(revoiced)
        sound = to_pcm(np.stack((voice.samples, kept.samples), axis=1))
        speech = [part for part in parts if part.utterance is not None]
        events = [part.event for part in speech]
        new_starts = [part.start for part in speech]
        talk.built_audio = {"bytes": encoded_sound(sound, rate, "FLAC"), "path": None}
        talk.built_rate = rate
        talk.built_duration = len(sound) / rate
        talk.built_sides = result_measures(talk, parts, self.revoice, recorded.leaks, sound, rate)
        talk.timeline = compare_turns(events, new_starts, recorded.seconds, seconds, self.mode)
        talk.timeline.lost_speech_seconds = kept.lost_speech
        talk.timeline.lost_sound_seconds = kept.lost_sound
        talk.timeline.loudness_gain_db = voice.gain_db
        talk.timeline.loudness_missing_db = voice.missing_db
        set_times(talk, parts)
        return talk


def _parts(recorded: RecordedSides) -> list[Part]:
    """All events of a conversation, by rising start: its utterances, and the sounds of moved sides."""
    talk = recorded.talk
    rate = recorded.rate
    runs = [utterance.run for utterance in talk.utterances]
    sounds: list[Part] = []
    for side, spans in recorded.sounds.items():
        channel = CHANNELS[side]
        indices = [index for index, utterance in enumerate(talk.utterances) if utterance.source_channel == channel]
        speech = [(*talk.utterances[index].span, runs[index]) for index in indices]
        runs_of_speech, runs_of_sounds = sound_blocks(speech, spans)
        for index, run in zip(indices, runs_of_speech, strict=True):
            runs[index] = run
        for (start, end), run in zip(spans, runs_of_sounds, strict=True):
            sounds.append(Part(TurnEvent(channel, start, end, _cut_length(start, end, rate), run, is_kept=True)))
    parts: list[Part] = []
    for utterance, run in zip(talk.utterances, runs, strict=True):
        is_moved = CHANNELS.index(utterance.source_channel) in recorded.sounds
        if utterance.status == "spoken" and not is_moved:
            spoken = pcm_to_float(utterance.spoken)
            event = _event_of_take(utterance, spoken, rate, talk.duration)
            parts.append(Part(event, utterance, spoken))
        elif utterance.status != "dropped":
            length = _cut_length(utterance.start, utterance.end, rate)
            parts.append(Part(kept_event(utterance, length, run), utterance))
    return sorted_parts([*parts, *sounds])


def _cut_length(start: float, end: float, rate: int) -> float:
    """Seconds of the samples that times cut out."""
    return (round(end * rate) - round(start * rate)) / rate


def kept_event(utterance: Utterance, length: float, run: int) -> TurnEvent:
    """Return the event of an utterance that is used as recorded; `length` is in seconds of the result."""
    return TurnEvent(
        utterance.source_channel,
        utterance.start,
        utterance.end,
        length,
        run,
        is_kept=True,
        start_trim=or_none(utterance.start_trim),
        end_trim=or_none(utterance.end_trim),
    )


#: The gate by which a take sounds, as the sound that it replaces does (`core.sound.sound_edges.sounding`).
TAKE_SOUNDS = Gate(edge_db=UNDER_PEAK_DB, edge_kept=0.0)


def _event_of_take(utterance: Utterance, spoken: Samples, rate: int, duration: float) -> TurnEvent:
    """The event of an utterance with a take, which is where the source sounds.

    The silence before and after the sound of the take is in place of that of the source.
    """
    first, last = edges(spoken, rate, TAKE_SOUNDS)
    start = utterance.start
    end = utterance.end
    start_trim = or_none(utterance.start_trim)
    end_trim = or_none(utterance.end_trim)
    if start_trim is not None:
        before = first / rate
        start = max(0.0, start + start_trim - before)
        start_trim = before
    if end_trim is not None:
        after = (len(spoken) - last) / rate
        end = min(duration, end - end_trim + after)
        end_trim = after
    length = len(spoken) / rate
    channel = utterance.source_channel
    return TurnEvent(channel, start, end, length, start_trim=start_trim, end_trim=end_trim)


def _refuse_failed(talk: Conversation) -> None:
    """Hold a conversation back in which something could not be said, for the next run to try again."""
    failed = [utterance for utterance in talk.utterances if utterance.status == "failed"]
    if not failed:
        return
    # One reason for many is said once; the ids are details, in parentheses.
    ids_by_reason: dict[str, list[str]] = {}
    remedies: list[str] = []
    for utterance in failed:
        reason = (utterance.reason or "").removeprefix("could not be said: ")
        ids_by_reason.setdefault(reason, []).append(utterance.utterance_id)
        if utterance.unspoken_remedy:
            remedies.append(utterance.unspoken_remedy)
    reasons = []
    for reason, ids in ids_by_reason.items():
        listed = ", ".join(ids[:3])
        more = ", …" if len(ids) > 3 else ""
        reasons.append(f"{reason} ({listed}{more})")
    if len(reasons) > 3:
        reasons[3:] = [counted(len(reasons) - 3, "more reason")]
    raise BadInput(
        f"held back: {counted(len(failed), 'utterance')} could not be said: {'; '.join(reasons)}",
        "; ".join([*dict.fromkeys(remedies), "or pass --on-failure keep-original"]),
    )


def set_times(talk: Conversation, parts: Sequence[Part]) -> None:
    """Set new times and turn events of the utterances, and new times of other sounds.

    A dropped utterance has none: it stays where it would have been.
    """
    for utterance in talk.utterances:
        utterance.new_start = None
        utterance.new_end = None
        utterance.new_start_trim = None
        utterance.new_end_trim = None
        utterance.event = None
        utterance.source_event = None
    talk.sounds = []
    speech: list[Part] = []
    utterances: list[Utterance] = []
    for part in parts:
        event = part.event
        new_end = part.start + event.new_length
        if part.utterance is None:
            talk.sounds.append(MovedSound(event.channel, event.start, event.end, part.start, new_end))
            continue
        speech.append(part)
        utterances.append(part.utterance)
        part.utterance.new_start = part.start
        part.utterance.new_end = new_end
        part.utterance.new_start_trim = event.start_trim
        part.utterance.new_end_trim = event.end_trim
    source, result = sounding_times([part.event for part in speech], [part.start for part in speech])
    groups = turns.join_spans(source)  # the same stretches before and after
    labels = turns.label(result, groups)
    source_labels = turns.label(source, groups)
    for utterance, label, source_label in zip(utterances, labels, source_labels, strict=True):
        utterance.event = label
        utterance.source_event = source_label
