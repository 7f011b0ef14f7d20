"""Retime: a conversation with another timing, which is drawn from that of recorded ones."""

import hashlib
import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, NamedTuple, TypedDict

import msgspec
import numpy as np
from datasets import Features

from dailytalk_contiguous.apps.retime.timing import Timing, read_timing
from dailytalk_contiguous.apps.retime.units import Placing, Unit, UnitEvent, units_of
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.arrow_types import record_features
from dailytalk_contiguous.core.records.conversation import (
    OF_RECORDING,
    Conversation,
    Utterance,
    copied,
    from_row,
    known_trims,
    to_flat,
)
from dailytalk_contiguous.core.records.fields import Column, Field
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.record import (
    Count,
    Flag,
    MovedSound,
    Seconds,
    Stored,
    Text,
    TimelineMeasures,
)
from dailytalk_contiguous.core.records.schema import (
    BUILT,
    CHANNELS,
    ORIGIN,
    STRING,
    Row,
)
from dailytalk_contiguous.core.settings import SEED, setting, unlisted
from dailytalk_contiguous.core.sound.loudness import rearrange, room_tone
from dailytalk_contiguous.core.sound.samples import Pcm, encoded_sound, pcm_to_float, to_pcm
from dailytalk_contiguous.core.turns.timeline import TurnEvent, compare_turns
from dailytalk_contiguous.core.turns.turn_ends import HOLD, SHIFT
from dailytalk_contiguous.core.turns.turn_taking import Stretch, Timed, label
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.machine import audio
from dailytalk_contiguous.machine.audio import from_uri
from dailytalk_contiguous.publish.exports.exporting import seen_row
from dailytalk_contiguous.stages.base import AnyDataset, Stage
from dailytalk_contiguous.stages.judge_turn_ends import (
    IF_INSTALLED,
    JUDGED,
    JUDGED_FIELDS,
    TURN_ENDS,
    check_judge,
    judge_utterances,
    settled_judge,
)
from dailytalk_contiguous.stages.recorded_sides import analysed_sides, audible_leak, leaks_in_tone

#: `timeline.mode` of a conversation that got another timing.
RETIMED = "retimed"

#: The column that says how a conversation came by its timing.
RETIMING = "retiming"

#: Columns with times, which a variant has anew.
_RETIMED_COLUMNS = ("audio", "duration", "utterances", "alignments", "sounds", "timeline")


class TransitionEvent(TypedDict):
    """A stretch of speech that takes the floor (`shift`) or goes on after a pause (`hold`).

    `recorded` and `offset` are the seconds from the end of the stretch before to its start, as it was recorded and
    in the variant. It is held as it was recorded where it was not `drawn`.
    """

    utterance_id: Text
    kind: Text
    recorded: Seconds
    offset: Seconds
    drawn: Flag


class Retiming(TypedDict):
    """The origin of the timing of a variant: a value of the column `RETIMING`."""

    parent: Text
    variant: Count
    seed: Annotated[int, Stored("int64")]
    target: Text
    timing: Text
    events: list[TransitionEvent]


COLUMN = Column(
    RETIMING,
    record_features(Retiming),
    "the conversation that this is a variant of, the corpus whose timing it has (`timing`: the digest of that), "
    "and for each stretch of speech that takes the floor (`shift`) or goes on after a pause (`hold`) how many "
    "seconds after the end of the one before it began, as `recorded` and here; what is not `drawn` is held",
)

#: The share of the conversations of one pace by which each moves up from a variant to the next: multiples of the
#: golden ratio, without their whole part, are never near each other.
GOLDEN = (math.sqrt(5) - 1) / 2


def name_of(parent: str, variant: int) -> str:
    """The id of a variant of a conversation."""
    return f"{parent}.retimed-{variant}"


@dataclass(frozen=True)
class Retime(Stage):
    """A variant of a finished conversation: other gaps, overlaps and pauses, and every sound as it was.

    An utterance, a laugh or a breath has the samples that it had. Sounds that belong to each other move as one
    (`apps.retime.units`); the transitions between them are drawn from a timing (`apps.retime.timing`), or are as
    recorded where no offset of that can be placed. Between them is the recording's own room. Times move by whole
    milliseconds, as far as these are whole samples.

    `timing` names a file that `Timing.save` wrote. `variant` tells variants of one conversation apart; a column of
    that name goes before it. With another one, or another `seed`, other offsets are drawn.
    """

    timing: str = unlisted("")
    variant: int = unlisted(1)
    seed: int = setting(0, replace(SEED, least=0, most=2**31 - 1))
    judge: str = setting(IF_INSTALLED, TURN_ENDS)

    needs: ClassVar[tuple[str, ...]] = (
        "conversation_id",
        "recording_id",
        "audio",
        "duration",
        "utterances",
        "alignments",
        "sounds",
        "timeline",
        "speakers",
        "language",
    )
    uses: ClassVar[tuple[str, ...]] = ("parent", "variant", "sides")
    publishes: ClassVar[tuple[Field | str, ...]] = (COLUMN, ORIGIN)
    VERSION: ClassVar[int] = 4
    batch_rows: ClassVar[int] = 1
    refuses: ClassVar[bool] = True
    adds: ClassVar[Features] = Features(
        {
            "conversation_id": STRING,
            **{name: BUILT[name] for name in _RETIMED_COLUMNS},
            RETIMING: COLUMN.feature,
            ORIGIN.name: ORIGIN.feature,
        }
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "judge", settled_judge(self.judge))

    @property
    def digest(self) -> str:
        """That of every stage, with the digest of the timing in place of the name of its file."""
        nameless = replace(self, timing="")
        timing_digest = self._timing.digest if self.timing else ""
        parts = [super(Retime, nameless).digest, timing_digest]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]

    def preflight(self, fetch: bool = True) -> None:
        check_judge(self.judge)
        _ = self._timing

    @property
    def _timing(self) -> Timing:
        return read_timing(from_uri(self.timing))

    def map(self, dataset: AnyDataset, **options: Any) -> AnyDataset:
        """That of every stage; columns keep their types, with the fields that stages have published."""
        features = dataset.features or dataset._resolve_features().features
        typed = replace(self)
        adds = Features({name: features.get(name, feature) for name, feature in self.adds.items()})
        object.__setattr__(typed, "adds", adds)
        if "audio_sha256" in features:  # it is that of the sound before
            options = {"remove_columns": ["audio_sha256"]} | options
        return super(Retime, typed).map(dataset, **options)

    def row(self, row: Row) -> Row:
        parent: str = row.get("parent") or row["conversation_id"]
        variant = row.get("variant")
        if variant is None:
            variant = self.variant
        name = name_of(parent, variant)
        rate = audio.read_header(row["audio"]).sample_rate
        pcm = seen_row(row, rate).pcm
        talk = from_finished(row)
        units = units_of(talk)
        if len(units) < 2:
            raise BadInput(
                "nothing in it can move: it has one turn, or what follows interrupts it", "leave it out"
            )
        timing = self._timing
        drawn = self._draw(units, timing, parent, variant, rate)
        moved = _moved(talk, units, drawn.shifts)
        for utterance in moved.utterances:
            within = (utterance.id or "").removeprefix(f"{parent}/")
            utterance.id = f"{name}/{within}"
        mode = f"{RETIMED}{OF_RECORDING}" if talk.has_recorded_voices else RETIMED
        sound = rearranged(row, pcm, rate, units, drawn.shifts, name)
        encoded = {"bytes": encoded_sound(sound, rate, "FLAC"), "path": None}
        judged_sound = audio.read_pcm(encoded) if self.judge == JUDGED else None
        judge_utterances(moved.utterances, judged_sound)
        retiming: Retiming = {
            "parent": parent,
            "variant": variant,
            "seed": self.seed,
            "target": timing.target,
            "timing": timing.digest,
            "events": [*_events(moved, units, drawn)],
        }
        return {
            **_written(row, moved),
            "conversation_id": name,
            "audio": encoded,
            "timeline": msgspec.structs.asdict(_timeline(talk, moved, mode)),
            RETIMING: retiming,
            ORIGIN.name: {"of": parent, "by": "dailytalk retime"},
        }

    def _draw(self, units: Sequence[Unit], timing: Timing, parent: str, variant: int, rate: int) -> "Drawn":
        """Draw the transitions of a variant, by its own chance."""
        key = hashlib.sha256(f"{self.seed}\0{parent}\0{variant}".encode()).digest()
        rng = np.random.default_rng([*key])
        spin = (self.seed + variant) * GOLDEN % 1.0
        transitions = [unit.transition for unit in units if unit.transition]
        pace = timing.pace_for(parent, transitions, spin, rng)
        return draw(units, timing, pace, rate, rng)


class Drawn(NamedTuple):
    """The seconds by which each unit moves, and whether its transition was drawn (the first has none)."""

    shifts: list[float]
    is_drawn: list[bool]


def draw(units: Sequence[Unit], timing: Timing, pace: float, rate: int, rng: np.random.Generator) -> Drawn:
    """Draw the transitions of a conversation in order, and place its units; shifts are whole samples at `rate`.

    `pace`: of the pair, as `Timing.pace_for` gives it. Raises BadInput where a unit can't be placed as it was
    recorded either.
    """
    placing = Placing(units, math.gcd(rate, 1000))
    is_drawn = [False]
    before: dict[str, float] = {}
    for unit in units[1:]:
        assert unit.transition is not None
        kind = unit.transition.kind
        recorded = unit.transition.offset
        offset = timing.draw_offset(unit.transition, before.get(kind), pace, placing.least, rng)
        if offset is not None:
            law = timing.laws[kind]
            offset = placing.place_next(offset, law.low, law.high)
        is_drawn.append(offset is not None)
        if offset is not None:
            before[kind] = offset
            continue
        if recorded < placing.least - 1e-6:
            raise BadInput(
                f"what begins at {unit.start:.2f} s has to begin {placing.least:.2f} s after the turn before, or "
                "something is cut; that is longer than recorded, and longer than others take",
                "leave it out, or draw from a corpus that waits longer (--like)",
            )
        before[kind] = recorded
        placing.place_next(recorded)
    return Drawn(placing.shifts, is_drawn)


def rearranged(row: Row, pcm: Pcm, rate: int, units: Sequence[Unit], shifts: Sequence[float], name: str) -> Pcm:
    """The sound `pcm` of a conversation whose units are later by `shifts`; `name` seeds its room tone.

    Raises BadInput where an event would be cut.
    """
    samples = pcm_to_float(pcm)
    length = len(samples) + round(shifts[-1] * rate)
    talk = from_row({"audio": row["audio"], "offset": 0.0, "duration": row["duration"], "sides": row.get("sides")})
    leaks = analysed_sides(talk).leaks
    result = np.empty((length, 2), np.int16)
    for side, channel in enumerate(CHANNELS):
        events: list[tuple[UnitEvent, float]] = []
        spans: list[tuple[int, int]] = []
        for unit, shift in zip(units, shifts, strict=True):
            for event in unit.events:
                if event.channel == channel:
                    events.append((event, shift))
                    spans.append(_samples(event, rate))
        recorded = samples[:, side]
        leaked = leaks_in_tone(recorded, leaks[side], rate)
        tone = room_tone(recorded, spans, max(length, len(samples)), rate, f"{name}/{channel}", leaked)
        replaced = audible_leak(recorded, leaks[side], tone, rate)
        moves = _moves(events, rate)
        rebuilt = rearrange(recorded, moves, tone, length, rate, replaced)
        result[:, side] = to_pcm(rebuilt)
        for start, end, new_start in moves:
            moved = result[new_start : new_start + end - start, side]
            if not np.array_equal(moved, pcm[start:end, side]):
                raise BadInput(f"what begins at {start / rate:.2f} s would be cut", "build the conversation again")
    return result


def _samples(event: UnitEvent, rate: int) -> tuple[int, int]:
    return round(event.start * rate), round(event.end * rate)


def _moves(events: Iterable[tuple[UnitEvent, float]], rate: int) -> list[tuple[int, int, int]]:
    """(start, end, new start) in samples of the events of a channel, each with the seconds by which it is later.

    The new start is that of the written time. Events that touch are one: a time on a half sample is rounded
    up or down, which would tear them apart.
    """
    moves: list[tuple[int, int, int]] = []
    shift_before = math.nan
    for event, shift in sorted(events, key=lambda pair: (pair[0].start, pair[0].end)):
        start, end = _samples(event, rate)
        touches = bool(moves) and shift == shift_before and start <= moves[-1][1]
        if touches:
            start_before, end_before, new_start = moves[-1]
            moves[-1] = start_before, max(end_before, end), new_start
        else:
            new_start = round(_later(event.start, shift) * rate)
            moves.append((start, end, new_start))
        shift_before = shift
    return moves


def _later(time: float, shift: float) -> float:
    return round(time + shift, 4)


class _MovedSpan(NamedTuple):
    """The span in which an utterance was, and the seconds by which it is later."""

    start: float
    end: float
    shift: float


def _moved(talk: Conversation, units: Sequence[Unit], shifts: Sequence[float]) -> Conversation:
    """A conversation at its new times, with the event of each utterance there; all in the order that it had."""
    shift_of: dict[tuple[str, int], float] = {}
    for unit, shift in zip(units, shifts, strict=True):
        for unit_event in unit.events:
            shift_of[unit_event.column, unit_event.number] = shift
    moved = copied(talk)
    heard: list[Utterance] = []
    timed: list[Timed] = []
    spans_of: dict[str, list[_MovedSpan]] = {channel: [] for channel in CHANNELS}
    for index, utterance in enumerate(moved.utterances):
        span = utterance.new_span
        if span is None or ("utterances", index) not in shift_of:
            continue
        shift = shift_of["utterances", index]
        spans_of[utterance.channel].append(_MovedSpan(span.start, span.end, shift))
        utterance.new_start = _later(span.start, shift)
        utterance.new_end = _later(span.end, shift)
        heard.append(utterance)
        timed.append(Timed(utterance.channel, *(utterance.new_sounding or span)))
    for utterance, entering in zip(heard, label(timed), strict=True):
        utterance.event = entering
    sounds: list[MovedSound] = []
    for index, sound in enumerate(talk.sounds):
        shift = shift_of["sounds", index]
        start = _later(sound.new_start, shift)
        end = _later(sound.new_end, shift)
        sounds.append(msgspec.structs.replace(sound, new_start=start, new_end=end))
    for channel_spans in spans_of.values():
        channel_spans.sort()
    moved.sounds = sounds
    moved.alignments = [_moved_word(word, spans_of[word.side]) for word in talk.alignments]
    moved.built_duration = round(talk.built_duration + shifts[-1], 6)
    return moved


def _moved_word(word: Word, spans: Sequence[_MovedSpan]) -> Word:
    """A word at its new times. It names no utterance: it is of the one of `spans` that it is in, or nearest to."""
    middle = word.middle
    after = bisect_left(spans, middle, key=lambda span: span.start)
    neighbours = spans[max(0, after - 1) : after + 1]
    shift = 0.0
    if neighbours:
        nearest = min(neighbours, key=lambda span: max(span.start - middle, middle - span.end))
        shift = nearest.shift
    return word.moved_to(_later(word.start, shift), _later(word.end, shift))


def _written(row: Row, moved: Conversation) -> Row:
    """The columns with times of a row, at their new times, and the events that follow from these, by start."""
    utterances: list[Row] = []
    for recorded, utterance in zip(row["utterances"], moved.utterances, strict=True):
        fields = to_flat(utterance, ("utterance_id", "event", *JUDGED_FIELDS))
        utterances.append({**recorded, **fields, "start": utterance.new_start, "end": utterance.new_end})
    words: list[Row] = []
    for recorded, word in zip(row["alignments"] or (), moved.alignments, strict=True):
        words.append({**recorded, "start": word.start, "end": word.end})
    sounds: list[Row] = []
    for recorded, sound in zip(row["sounds"] or (), moved.sounds, strict=True):
        sounds.append({**recorded, "start": sound.new_start, "end": sound.new_end})
    for column in (utterances, words, sounds):
        # dropped utterances have no start, and come last
        column.sort(key=lambda item: math.inf if item["start"] is None else item["start"])
    return {"duration": moved.built_duration, "utterances": utterances, "alignments": words, "sounds": sounds}


def _timeline(talk: Conversation, moved: Conversation, mode: str) -> TimelineMeasures:
    """Turn-taking before and after, as `core.turns.timeline` compares it; no sound is lost or gets louder."""
    events: list[TurnEvent] = []
    starts: list[float] = []
    for before, after in zip(talk.utterances, moved.utterances, strict=True):
        span = before.new_span
        if span is None or after.new_start is None or not before.is_heard:
            continue
        length = span.end - span.start
        start_trim, end_trim = known_trims(length, before.new_start_trim, before.new_end_trim)
        event = TurnEvent(
            channel=before.channel,
            start=span.start,
            end=span.end,
            new_length=length,
            is_kept=True,
            start_trim=start_trim,
            end_trim=end_trim,
        )
        events.append(event)
        starts.append(after.new_start)
    timeline = compare_turns(events, starts, talk.built_duration, moved.built_duration, mode)
    timeline.lost_speech_seconds = 0.0
    return timeline


def _events(talk: Conversation, units: Sequence[Unit], drawn: Drawn) -> Iterator[TransitionEvent]:
    """Each stretch that takes the floor or goes on with it, in order: its offset as recorded, and now."""
    last: tuple[Stretch, float] | None = None
    for unit, shift, is_drawn in zip(units, drawn.shifts, drawn.is_drawn, strict=True):
        for stretch in unit.speech:
            if stretch.event == "backchannel":
                continue
            if last is not None:
                before, shift_before = last
                recorded = stretch.start - before.end
                yield {
                    "utterance_id": talk.utterances[stretch.members[0]].id,
                    "kind": HOLD if stretch.channel == before.channel else SHIFT,
                    "recorded": round(recorded, 4),
                    "offset": round(recorded + shift - shift_before, 4),
                    "drawn": is_drawn and stretch is unit.speech[0],
                }
            last = stretch, shift
