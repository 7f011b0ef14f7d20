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

from dailytalk_contiguous.core import audio, turns
from dailytalk_contiguous.core.conversation import Conversation, Utterance, conversation_features, or_none
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.loudness import Levelled
from dailytalk_contiguous.core.records import MovedSound
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.sound_edges import UNDER_PEAK_DB
from dailytalk_contiguous.core.takes import Gate, edges
from dailytalk_contiguous.core.timeline import MODES, TurnEvent, compare_turns, rebuild, sounding_times
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.stages.base import REVOICE, SAMPLE_RATE, Stage
from dailytalk_contiguous.stages.rebuilt_sides import (
    Part,
    RebuiltSides,
    RevoicedSide,
    result_measures,
    sorted_parts,
)
from dailytalk_contiguous.stages.recorded_sides import RecordedSides, SourceSpan, record_sides

#: By which a take sounds, as what it replaces does (`core.sound_edges.sounding`).
TAKE_SOUNDS = Gate(edge_db=UNDER_PEAK_DB, edge_kept=0.0)

#: Seconds from the start of an utterance to where it sounds, and from there to its end; None where unknown.
Trims = tuple[float | None, float | None]

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
        "unspoken_reason",
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
        parts = _parts(talk, recorded)
        events = [part.event for part in parts]
        starts, seconds = rebuild(events, recorded.seconds, self.mode, rate)
        rebuilt = RebuiltSides(recorded, parts, starts, round(seconds * rate))
        kept = rebuilt.moved(1 - revoiced)
        if revoiced in recorded.moved:
            voice = RevoicedSide(rebuilt.moved(revoiced).samples, Levelled([], 0.0, 0.0))
        else:
            voice = rebuilt.revoiced(revoiced)
        sound = audio.to_pcm(np.stack((voice.samples, kept.samples), axis=1))
        speech: list[TurnEvent] = []
        new_starts: list[float] = []
        for part, start in zip(parts, starts, strict=True):
            if part.utterance is not None:
                speech.append(part.event)
                new_starts.append(start)
        talk.built_audio = {"bytes": audio.encoded_sound(sound, rate, "FLAC"), "path": None}
        talk.built_rate = rate
        talk.built_duration = len(sound) / rate
        talk.built_sides = result_measures(talk, parts, starts, self.revoice, recorded.leaks, sound, rate)
        talk.timeline = compare_turns(speech, new_starts, recorded.seconds, seconds, self.mode)
        talk.timeline.lost_speech_seconds = kept.lost_speech
        talk.timeline.lost_sound_seconds = kept.lost_sound
        talk.timeline.loudness_gain_db = voice.levelled.gain_db
        talk.timeline.loudness_missing_db = voice.levelled.missing_db
        set_times(talk, parts, starts)
        return talk


def _parts(talk: Conversation, recorded: RecordedSides) -> list[Part]:
    """All events of a conversation, by rising start: its utterances, and the sounds of moved sides."""
    rate = recorded.rate
    parts: list[Part] = []
    for index, (span, utterance) in enumerate(zip(recorded.utterances, talk.utterances, strict=True)):
        is_moved = CHANNELS.index(span.channel) in recorded.moved
        trims = trims_of(utterance)
        if utterance.status == "spoken" and not is_moved:
            spoken = audio.pcm_to_float(utterance.spoken)
            event = _event_of_take(span, trims, spoken, rate, talk.duration)
            parts.append(Part(event, index, spoken))
        elif utterance.status != "dropped":
            parts.append(Part(_event_of_source(span, trims, rate), index, None))
    for sound in recorded.sounds:
        parts.append(Part(_event_of_source(sound, (None, None), rate), None, None))
    return sorted_parts(parts)


def _event_of_source(span: SourceSpan, trims: Trims, rate: int) -> TurnEvent:
    """The event of what is used as it was recorded. It is as long as the samples that its times cut out."""
    length = (round(span.end * rate) - round(span.start * rate)) / rate
    start_trim, end_trim = trims
    return TurnEvent(
        span.channel,
        span.start,
        span.end,
        length,
        run=span.run,
        kept=True,
        start_trim=start_trim,
        end_trim=end_trim,
    )


def _event_of_take(span: SourceSpan, trims: Trims, spoken: audio.Samples, rate: int, duration: float) -> TurnEvent:
    """The event of an utterance with a take, which is where the source sounds.

    The silence before and after the sound of the take is in place of that of the source.
    """
    first, last = edges(spoken, rate, TAKE_SOUNDS)
    start = span.start
    end = span.end
    start_trim, end_trim = trims
    if start_trim is not None:
        before = first / rate
        start = max(0.0, start + start_trim - before)
        start_trim = before
    if end_trim is not None:
        after = (len(spoken) - last) / rate
        end = min(duration, end - end_trim + after)
        end_trim = after
    length = len(spoken) / rate
    return TurnEvent(span.channel, start, end, length, start_trim=start_trim, end_trim=end_trim)


def trims_of(utterance: Utterance) -> Trims:
    """How far inside its start and its end an utterance sounds, in seconds; None where nobody knows."""
    return or_none(utterance.start_trim), or_none(utterance.end_trim)


def _refuse_failed(talk: Conversation) -> None:
    """Hold a conversation back in which something could not be said, for the next run to try again."""
    failed = [utterance for utterance in talk.utterances if utterance.status == "failed"]
    if not failed:
        return
    # One reason for many is said once; the ids are details, in parentheses.
    ids_by_reason: dict[str, list[str]] = {}
    remedies: list[str] = []
    for utterance in failed:
        reason = (utterance.unspoken_reason or "").removeprefix("could not be said: ")
        ids_by_reason.setdefault(reason, []).append(utterance.id)
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


def set_times(talk: Conversation, parts: Sequence[Part], starts: Sequence[float]) -> None:
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
    utterances: list[Utterance] = []
    events: list[TurnEvent] = []
    new_starts: list[float] = []
    talk.sounds = []
    for part, start in zip(parts, starts, strict=True):
        event = part.event
        if part.utterance is not None:
            utterances.append(talk.utterances[part.utterance])
            events.append(event)
            new_starts.append(start)
            continue
        new_end = start + event.new_length
        talk.sounds.append(MovedSound(event.channel, event.start, event.end, start, new_end))
    source, result = sounding_times(events, new_starts)
    groups = turns.join_spans(source)  # the same stretches before and after
    labels = turns.label(result, groups)
    source_labels = turns.label(source, groups)
    for utterance, event, start, label, source_label in zip(
        utterances, events, new_starts, labels, source_labels, strict=True
    ):
        utterance.new_start = start
        utterance.new_end = start + event.new_length
        utterance.new_start_trim = event.start_trim
        utterance.new_end_trim = event.end_trim
        utterance.event = label
        utterance.source_event = source_label
