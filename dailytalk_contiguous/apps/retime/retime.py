"""Retime: a conversation with another timing, which is drawn from that of recorded ones."""

import hashlib
import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
from datasets import Features, List, Value

from dailytalk_contiguous.apps.retime.timing import Timing, read_timing
from dailytalk_contiguous.apps.retime.units import Placing, Unit, UnitEvent, units_of
from dailytalk_contiguous.core import audio
from dailytalk_contiguous.core.audio import from_uri
from dailytalk_contiguous.core.crosstalk import leakage, leaked_spans
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.fields import Column, Field
from dailytalk_contiguous.core.loudness import rearrange, room_tone
from dailytalk_contiguous.core.schema import (
    BUILT,
    CHANNELS,
    OF_RECORDING,
    ORIGIN,
    SECONDS,
    STRING,
    Row,
    has_recorded_voices,
)
from dailytalk_contiguous.core.settings import setting, unlisted
from dailytalk_contiguous.core.timeline import TurnEvent, compare_turns
from dailytalk_contiguous.core.turn_ends import HOLD, SHIFT
from dailytalk_contiguous.core.turns import Stretch, Timed, label
from dailytalk_contiguous.core.utterance import known_trims, sounding_span
from dailytalk_contiguous.publish.conversation import conversation
from dailytalk_contiguous.stages.base import AnyDataset, Stage
from dailytalk_contiguous.stages.judge_turn_ends import (
    IF_INSTALLED,
    JUDGED,
    TURN_ENDS,
    check_judge,
    judge_utterances,
    settled_judge,
)
from dailytalk_contiguous.stages.recorded_sides import audible_leak, leak_levels

#: `timeline.mode` of a conversation that got another timing, and the column that says how it came by that.
RETIMED = "retimed"
RETIMING = "retiming"

COLUMN = Column(
    RETIMING,
    {
        "parent": STRING,
        "variant": Value("int32"),
        "seed": Value("int64"),
        "target": STRING,
        "timing": STRING,
        "events": List(
            {
                "utterance_id": STRING,
                "kind": STRING,
                "recorded": SECONDS,
                "offset": SECONDS,
                "drawn": Value("bool"),
            }
        ),
    },
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

    An utterance, a laugh or a breath has the samples that it had. Those that belong to each other move as one
    (`apps.retime.units`); the transitions between them are drawn from a timing (`apps.retime.timing`), or are as
    recorded where no offset of that can be placed. Between them is the recording's own room. Times move by whole
    milliseconds, as far as these are whole samples.

    `timing` names a file that `Timing.save` wrote. `variant` tells variants of one conversation apart; a column of
    that name goes before it. With another one, or another `seed`, other offsets are drawn.
    """

    timing: str = unlisted("")
    variant: int = unlisted(1)
    seed: int = setting(0, "Another number draws other offsets.", panel="result", least=0, most=2**31 - 1)
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
    uses: ClassVar[tuple[str, ...]] = ("parent", "variant")
    publishes: ClassVar[tuple[Field | str, ...]] = (COLUMN, ORIGIN)
    batch_rows: ClassVar[int] = 1
    refuses: ClassVar[bool] = True
    adds: ClassVar[Features] = Features(
        {
            "conversation_id": STRING,
            **{
                name: BUILT[name]
                for name in ("audio", "duration", "utterances", "alignments", "sounds", "timeline")
            },
            RETIMING: COLUMN.feature,
            ORIGIN.name: ORIGIN.feature,
        }
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "judge", settled_judge(self.judge))

    @property
    def digest(self) -> str:
        """As of every stage, with what is in the file of timing in place of its name."""
        parts = super(Retime, replace(self, timing="")).digest, self.timing and self._timing.digest
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]

    def preflight(self, fetch: bool = True) -> None:
        check_judge(self.judge)
        _ = self._timing

    @property
    def _timing(self) -> Timing:
        return read_timing(from_uri(self.timing))

    def map(self, dataset: AnyDataset, **options: Any) -> AnyDataset:
        """As of every stage; columns keep the types that they have, with the fields that stages have published."""
        features = dataset.features or dataset._resolve_features().features
        typed = replace(self)
        object.__setattr__(
            typed, "adds", Features({name: features.get(name, self.adds[name]) for name in self.adds})
        )
        stale = [name for name in ("audio_sha256",) if name in features]
        return super(Retime, typed).map(dataset, **({"remove_columns": stale} if stale else {}) | options)

    def row(self, row: Row) -> Row:
        parent = row.get("parent") or row["conversation_id"]
        variant = row["variant"] if row.get("variant") is not None else self.variant
        name = name_of(parent, variant)
        rate = audio.read_header(row["audio"]).sample_rate
        pcm = conversation(row, rate, swap=False).pcm
        units = units_of(row)
        if len(units) < 2:
            raise BadInput(
                "nothing in it can move: it has one turn, or what follows interrupts it", "leave it out"
            )
        timing = self._timing
        key = hashlib.sha256(f"{self.seed}\0{parent}\0{variant}".encode()).digest()
        rng = np.random.default_rng([*key])
        spin = (self.seed + variant) * GOLDEN % 1.0
        pace = timing.pace_for(parent, [unit.transition for unit in units if unit.transition], spin, rng)
        drawn = draw(units, timing, pace, rate, rng)
        moved = _moved(row, units, drawn.shifts)
        events = [*_events(row, units, drawn)]
        timeline = _timeline(row, moved)
        sound = rearranged(row, pcm, rate, units, drawn.shifts, name)
        encoded = {"bytes": audio.encoded_sound(sound, rate, "FLAC"), "path": None}
        judge_utterances(moved["utterances"], audio.read_pcm(encoded) if self.judge == JUDGED else None)
        for utterance in (*moved["utterances"], *events):
            utterance["utterance_id"] = f"{name}/{(utterance['utterance_id'] or '').removeprefix(f'{parent}/')}"
        for column in ("utterances", "alignments", "sounds"):  # dropped utterances have no times, and come last
            moved[column].sort(key=lambda item: math.inf if item["start"] is None else item["start"])
        return {
            **moved,
            "conversation_id": name,
            "audio": encoded,
            "timeline": timeline,
            RETIMING: {
                "parent": parent,
                "variant": variant,
                "seed": self.seed,
                "target": timing.target,
                "timing": timing.digest,
                "events": events,
            },
            ORIGIN.name: {"of": parent, "by": "dailytalk retime"},
        }


class Drawn(NamedTuple):
    """By how many seconds each unit moves, and whether its transition was drawn (the first has none)."""

    shifts: list[float]
    drawn: list[bool]


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
        offset = timing.drawn(unit.transition, before.get(kind), pace, placing.least, rng)
        if offset is not None:
            law = timing.laws[kind]
            offset = placing.place(offset, law.low, law.high)
        is_drawn.append(offset is not None)
        if offset is None and recorded < placing.least - 1e-6:
            raise BadInput(
                f"what begins at {unit.start:.2f} s has to begin {placing.least:.2f} s after the turn before, or "
                "something is cut; that is longer than it was, and than others take",
                "leave it out, or draw from a corpus that waits longer (--like)",
            )
        before[kind] = recorded if offset is None else offset
        if offset is None:
            placing.place(recorded)
    return Drawn(placing.shifts, is_drawn)


def rearranged(
    row: Row, pcm: audio.Pcm, rate: int, units: Sequence[Unit], shifts: Sequence[float], name: str
) -> audio.Pcm:
    """The sound `pcm` of a conversation whose units are later by `shifts`; `name` seeds its room tone.

    Raises BadInput where an event would be cut.
    """
    samples = audio.pcm_to_float(pcm)
    length = len(samples) + round(shifts[-1] * rate)
    at_16_khz = audio.read_pcm(row["audio"])
    leaks = leakage(at_16_khz[:, 0], at_16_khz[:, 1])
    events = [(event, shift) for unit, shift in zip(units, shifts, strict=True) for event in unit.events]
    result = np.empty((length, 2), np.int16)
    for side, channel in enumerate(CHANNELS):
        own = [_samples(event, rate) for event, _ in events if event.channel == channel]
        others = [_samples(event, rate) for event, _ in events if event.channel != channel]
        others += leaked_spans(leaks[side].mask, rate)
        tone = room_tone(samples[:, side], own, max(length, len(samples)), rate, f"{name}/{channel}", others)
        replaced = audible_leak(leak_levels(at_16_khz[:, side], leaks[side]), tone, rate)
        moves = _moves([(event, shift) for event, shift in events if event.channel == channel], rate)
        result[:, side] = audio.to_pcm(rearrange(samples[:, side], moves, tone, length, rate, replaced))
        for start, end, new in moves:
            if not np.array_equal(result[new : new + end - start, side], pcm[start:end, side]):
                raise BadInput(f"what begins at {start / rate:.2f} s would be cut", "build the conversation again")
    return result


def _samples(event: UnitEvent, rate: int) -> tuple[int, int]:
    return round(event.start * rate), round(event.end * rate)


def _moves(events: Iterable[tuple[UnitEvent, float]], rate: int) -> list[tuple[int, int, int]]:
    """(start, end, new start) in samples of the events of a channel, each with the seconds by which it is later.

    The new start is that of the written time. Those that touch are one: a time on a half sample is rounded
    up or down, which would tear them apart.
    """
    moves: list[tuple[int, int, int]] = []
    shift_before = math.nan
    for event, shift in sorted(events, key=lambda pair: (pair[0].start, pair[0].end)):
        start, end = _samples(event, rate)
        if moves and shift == shift_before and start <= moves[-1][1]:
            moves[-1] = moves[-1][0], max(moves[-1][1], end), moves[-1][2]
        else:
            moves.append((start, end, round(_later(event.start, shift) * rate)))
        shift_before = shift
    return moves


def _later(time: float, shift: float) -> float:
    return round(time + shift, 4)


def _moved(row: Row, units: Sequence[Unit], shifts: Sequence[float]) -> dict[str, Any]:
    """The columns with times of a conversation, at their new times; in the order that they had."""
    shift_of = {
        (event.column, event.number): shift
        for unit, shift in zip(units, shifts, strict=True)
        for event in unit.events
    }

    def at(item: Row, shift: float) -> Row:
        return item | {edge: _later(item[edge], shift) for edge in ("start", "end")}

    utterances = [
        at(said, shift_of["utterances", index]) if ("utterances", index) in shift_of else dict(said)
        for index, said in enumerate(row["utterances"])
    ]
    heard = [index for index in range(len(utterances)) if ("utterances", index) in shift_of]
    spans = [Timed(utterances[index]["channel"], *_sounds(utterances[index])) for index in heard]
    for index, event in zip(heard, label(spans), strict=True):
        utterances[index]["event"] = event
    sounds = [at(sound, shift_of["sounds", index]) for index, sound in enumerate(row["sounds"] or ())]
    # A word has no utterance: it is of the one of its channel that it is in, or nearest to.
    spans_of = {
        channel: sorted(
            (row["utterances"][index]["start"], row["utterances"][index]["end"], shift_of["utterances", index])
            for index in heard
            if utterances[index]["channel"] == channel
        )
        for channel in CHANNELS
    }
    words = []
    for word in row["alignments"] or ():
        middle = (word["start"] + word["end"]) / 2
        said = spans_of[word["speaker"]]
        after = bisect_right(said, (middle,))
        beside = said[max(0, after - 1) : after + 1]
        _, _, shift = min(
            beside, key=lambda span: max(span[0] - middle, middle - span[1]), default=(0.0, 0.0, 0.0)
        )
        words.append(at(word, shift))
    return {
        "duration": round(row["duration"] + shifts[-1], 6),
        "utterances": utterances,
        "alignments": words,
        "sounds": sounds,
    }


def _sounds(said: Row) -> tuple[float, float]:
    return sounding_span(said) or (said["start"], said["end"])


def _timeline(row: Row, moved: Row) -> dict[str, Any]:
    """Turn-taking before and after, as `core.timeline` compares it; no sound is lost or gets louder."""
    pairs = zip(row["utterances"], moved["utterances"], strict=True)
    heard = [(was, now) for was, now in pairs if was["status"] != "dropped"]
    events = [
        TurnEvent(was["channel"], was["start"], was["end"], was["end"] - was["start"], -1, True, *known_trims(was))
        for was, _ in heard
    ]
    starts = [now["start"] for _, now in heard]
    kept = {"lost_speech_seconds": 0.0, "lost_sound_seconds": 0.0}
    kept |= {"loudness_gain_db": 0.0, "loudness_missing_db": 0.0}
    mode = f"{RETIMED}{OF_RECORDING}" if has_recorded_voices(row) else RETIMED
    return compare_turns(events, starts, row["duration"], moved["duration"]) | kept | {"mode": mode}


def _events(row: Row, units: Sequence[Unit], drawn: Drawn) -> Iterator[dict[str, Any]]:
    """Each stretch that takes the floor or goes on with it, in order: its offset as recorded, and now."""
    last: tuple[Stretch, float] | None = None
    for unit, shift, is_drawn in zip(units, drawn.shifts, drawn.drawn, strict=True):
        for stretch in unit.speech:
            if stretch.event == "backchannel":
                continue
            if last is not None:
                before, shift_before = last
                recorded = stretch.start - before.end
                yield {
                    "utterance_id": row["utterances"][stretch.members[0]]["utterance_id"],
                    "kind": HOLD if stretch.channel == before.channel else SHIFT,
                    "recorded": round(recorded, 4),
                    "offset": round(recorded + shift - shift_before, 4),
                    "drawn": is_drawn and stretch is unit.speech[0],
                }
            last = stretch, shift
