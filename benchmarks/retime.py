"""Whether `dailytalk retime` gives conversations the timing of others, and leaves their sounds alone.

Talks are made of the utterances of the bundled recordings, at times by a known law (`talk`): how long somebody
waits depends on what they did (another speaker takes the floor, or the same one goes on), on the offset before,
on how long the turn before was, and on the pair. With two real calls (`--calls`, stereo, a speaker a channel) they
are tagged and finished as they are, by speech activity alone. Times are those that this finds, everywhere.

The talks are divided into halves, in several ways. Of one half all transitions are made 0.4 s; then they are drawn
from the other half, and compared with what they were, beside what others do: always 0.64 s, uniform in 0.1 to 0.4
or 0.3 to 1.2 s, and independent draws from the other half by kind; and beside the other half itself, with its
offsets cut to its percentiles 5 and 95, beyond which nothing is drawn. Of the calls the first half of each is
drawn from the second ones, and the other way round.

W1: Wasserstein distance of the offsets, in ms. overlap: difference of the shares of time in which both speak, in
points. lag 1: difference of the correlations of an offset with the next one. entropy: difference of the entropies
of whether the same speaker goes on, in bits. All are means over the divisions; a figure is good if it is not much
more than that between the two true halves.

    python benchmarks/retime.py [--calls FOLDER]   # about ten minutes
"""

import argparse
import math
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import soundfile
from measuring import dailytalk, judged
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from dailytalk_contiguous import Folder, Segment
from dailytalk_contiguous.apps.retime.retime import draw
from dailytalk_contiguous.apps.retime.timing import Timing, timing_of, transitions_of
from dailytalk_contiguous.apps.retime.units import KINDS, Placing, Unit, units_of
from dailytalk_contiguous.core.audio import Pcm, read_pcm
from dailytalk_contiguous.core.schema import CHANNELS, Row
from dailytalk_contiguous.core.turn_ends import HOLD
from dailytalk_contiguous.core.turns import TERMINAL_OVERLAP, Timed, overlap_seconds, stretches
from dailytalk_contiguous.core.utterance import sounding_span
from dailytalk_contiguous.publish.opening import open_items

ROOT = Path(__file__).parents[1]

#: Talks, turns of a talk, divisions into halves, and Hz of everything.
TALKS = 60
TURNS = 32
DIVISIONS = 20
RATE = 16000

#: Seconds within which an event that is found again begins where it was written.
FOUND = 0.15

#: Goals: by how much a figure may be more than that between two true halves, points of overlap, and speed.
MOST = 1.25
POINT = 1.0
SPEED = 100.0

Offsets = Callable[[Unit, float], float]


class Figures(NamedTuple):
    """Of conversations: their offsets, and what they add up to."""

    offsets: NDArray[np.float64]
    overlap: float
    lag: float
    entropy: float

    def from_(self, other: "Figures") -> NDArray[np.float64]:
        """Distances: W1 in ms, overlap in points, lag-1 correlation, entropy in bits."""
        distance = 1000 * wasserstein_distance(self.offsets, other.offsets)
        pairs = zip(self[1:], other[1:], strict=True)
        return np.array([distance, *(abs(first - second) for first, second in pairs)])


def figures_of(rows: Iterable[Row]) -> Figures:
    offsets = list[float]()
    before = list[float]()
    after = list[float]()
    kept = list[bool]()
    overlap = 0.0
    seconds = 0.0
    for row in rows:
        timed = [Timed(said["channel"], *(sounding_span(said) or ())) for said in row["utterances"]]
        speech = [each for each in stretches(timed) if each.event != "backchannel"]
        own = [each.offset for each in speech if each.offset is not None]
        offsets += own
        before += own[:-1]
        after += own[1:]
        kept += [first.channel == second.channel for first, second in pairwise(speech)]
        overlap += overlap_seconds(timed)
        seconds += row["duration"]
    share = min(max(float(np.mean(kept)), 1e-9), 1 - 1e-9)
    entropy = -share * math.log2(share) - (1 - share) * math.log2(1 - share)
    has_lag = np.std(before) > 0 and np.std(after) > 0
    lag = float(np.corrcoef(before, after)[0, 1]) if has_lag else 0.0
    return Figures(np.array(offsets), 100 * overlap / seconds, lag, entropy)


def voices_of(folder: Path) -> list[list[Pcm]]:
    """The utterances of each side of finished conversations, as they sound."""
    voices = []
    items = open_items(folder)
    for row in items.rows():
        pcm = read_pcm(row["audio"], sample_rate=RATE)
        for side, channel in enumerate(CHANNELS):
            spans = [sounding_span(said) for said in row["utterances"] if said["channel"] == channel]
            pieces = [pcm[round(start * RATE) : round(end * RATE), side] for start, end in filter(None, spans)]
            voices.append([piece for piece in pieces if len(piece) > 0.3 * RATE])
    return voices


def talk(voices: Sequence[list[Pcm]], chance: np.random.Generator) -> Pcm:
    """A talk of two voices by the law, shape (n, 2), over faint noise.

    A pair waits 0.12 s more or less than others, a floor transfer 0.18 s and a pause 0.6 s on average; a third of
    what was unusual about the one before stays, and a turn twice as long is waited after for 50 ms more.
    """
    pair = [voices[number] for number in chance.permutation(len(voices))[:2]]
    pace = chance.normal(0.0, 0.12)
    unusual = dict.fromkeys(KINDS, 0.0)
    pieces = list[tuple[int, int, Pcm]]()
    side = int(chance.integers(2))
    at = RATE // 2
    turn = 0.0
    reach = [0, 0]  # where each side has ended
    for number in range(TURNS):
        goes_on = number > 0 and chance.random() < 0.3
        side = side if goes_on or not number else 1 - side
        piece = pair[side][int(chance.integers(len(pair[side])))]
        lasts = len(piece) / RATE
        if goes_on:
            unusual[HOLD] = 0.33 * unusual[HOLD] + chance.normal(0.0, 0.2)
            offset = 0.3 + 0.35 * math.exp(unusual[HOLD] + pace)
            offset = max(offset, 0.5)
        else:
            unusual["shift"] = 0.33 * unusual["shift"] + chance.gamma(4.0, 0.14) - 0.56
            offset = 0.18 + pace + unusual["shift"] + 0.07 * math.log2(max(turn, 0.5) / 2)
            offset = max(offset, -0.45, 0.2 - lasts)
        start = max(at + round(offset * RATE), reach[side] + round(0.5 * RATE), 0)
        if pieces:
            start = max(start, pieces[-1][1] + round(0.2 * RATE))
        pieces.append((side, start, piece))
        turn = turn + offset + lasts if goes_on else lasts
        at = reach[side] = start + len(piece)
        short = min(pair[1 - side], key=len)
        if lasts > 3.0 and chance.random() < 0.4 and reach[1 - side] < at - 2.5 * RATE:
            inside = round(chance.uniform(start + RATE, at - RATE - len(short)))
            if inside > reach[1 - side] + 0.5 * RATE and len(short) < 0.9 * RATE:
                pieces.append((1 - side, inside, short))
                reach[1 - side] = inside + len(short)
    sound = chance.normal(0.0, 4.0, (max(reach) + RATE // 2, 2))
    for side, start, piece in pieces:
        sound[start : start + len(piece), side] += piece
    return np.clip(np.round(sound), -32768, 32767).astype(np.int16)


def placed(row: Row, offsets: Offsets) -> Row:
    """A row whose transitions are these, as far as they can be."""
    units = units_of(row)
    placing = Placing(units, 1000)
    for unit in units[1:]:
        placing.place(max(offsets(unit, placing.least), placing.least))
    return shifted(row, units, placing.shifts)


def shifted(row: Row, units: Sequence[Unit], shifts: Sequence[float]) -> Row:
    utterances = [dict(said) for said in row["utterances"]]
    for unit, shift in zip(units, shifts, strict=True):
        for event in unit.events:
            if event.column == "utterances":
                utterances[event.number]["start"] += shift
                utterances[event.number]["end"] += shift
    utterances.sort(key=lambda said: said["start"])
    return {**row, "utterances": utterances, "sounds": [], "duration": row["duration"] + shifts[-1]}


def halves_of(row: Row) -> tuple[Row, Row]:
    """The first and the second half of a conversation."""
    middle = row["duration"] / 2
    parts = [[said for said in row["utterances"] if (said["end"] <= middle) == first] for first in (True, False)]
    first, second = ({**row, "utterances": part, "sounds": [], "duration": middle} for part in parts)
    return first, second


def others(timing: Timing, chance: np.random.Generator) -> dict[str, Offsets]:
    """What others do, by what it is called."""

    def independent(unit: Unit, _: float) -> float:
        assert unit.transition is not None
        law = timing.laws.get(unit.transition.kind)
        return unit.transition.offset if law is None else float(chance.choice(law.offset))

    return {
        "always 0.64 s": lambda *_: 0.64,
        "0.1 to 0.4 s": lambda *_: float(chance.uniform(0.1, 0.4)),
        "0.3 to 1.2 s": lambda *_: float(chance.uniform(0.3, 1.2)),
        "independent": independent,
    }


def compared(judged_half: Sequence[Row], drawn_from: Sequence[Row], seed: int) -> dict[str, NDArray[np.float64]]:
    """Distances of what a half becomes from what it was, by how it is drawn; of `retime` from the target, too."""
    chance = np.random.default_rng(seed)
    flat = [placed(row, lambda *_: 0.4) for row in judged_half]
    timing = timing_of(flat, "half", drawn_from)
    truth = figures_of(judged_half)
    target = figures_of(drawn_from)
    retimed = []
    for row in flat:
        units = units_of(row)
        transitions = [unit.transition for unit in units if unit.transition]
        pace = timing.pace_for(row["conversation_id"], transitions, 0.0, chance)
        retimed.append(shifted(row, units, draw(units, timing, pace, 1000, chance).shifts))
    made = {"retime": figures_of(retimed)}
    for name, offsets in others(timing, chance).items():
        made[name] = figures_of([placed(row, offsets) for row in flat])
    bounds = timing.laws["shift"]
    held = (target.offsets < -TERMINAL_OVERLAP) | (target.offsets > bounds.low) & (target.offsets < bounds.high)
    cut = np.where(held, target.offsets, np.clip(target.offsets, bounds.low, bounds.high))
    made["the target, cut"] = target._replace(offsets=cut)
    distances = {name: truth.from_(figures) for name, figures in made.items()}
    return {"two true halves": truth.from_(target), **distances, "target": target.from_(made["retime"])}


def divisions_of(rows: Sequence[Row]) -> list[tuple[list[Row], list[Row]]]:
    divisions = []
    for number in range(DIVISIONS):
        order = np.random.default_rng(number).permutation(len(rows))
        halves = [[rows[index] for index in half] for half in np.array_split(order, 2)]
        divisions += [(halves[0], halves[1]), (halves[1], halves[0])]
    return divisions


def shown(title: str, divisions: Sequence[tuple[list[Row], list[Row]]]) -> dict[str, NDArray[np.float64]]:
    found = [compared(first, second, seed) for seed, (first, second) in enumerate(divisions)]
    means = {name: np.mean([each[name] for each in found], axis=0) for name in found[0]}
    print(f"{title:<24}{'W1':>10}{'overlap':>10}{'lag 1':>10}{'entropy':>10}")
    for name, (distance, overlap, lag, entropy) in means.items():
        label = "retime from the target" if name == "target" else name
        print(f"{label:<24}{distance:>7.0f} ms{overlap:>8.2f} %{lag:>10.3f}{entropy:>10.3f}", flush=True)
    return means


def differing(parents: Path, variants: Path) -> tuple[int, int]:
    """Samples of utterances, laughs and breaths that are not those of the parents, and all of them."""
    originals = open_items(parents)
    other = 0
    count = 0
    sounds = {row["conversation_id"]: row for row in originals.rows()}
    for row in open_items(variants).rows():
        parent = sounds[row["retiming"]["parent"]]
        pcm, before = (read_pcm(each["audio"], sample_rate=each["sample_rate"]) for each in (row, parent))
        rate = row["sample_rate"]
        by_id = {said["utterance_id"]: said for said in parent["utterances"]}
        pairs = [
            (by_id[said["utterance_id"].replace(row["conversation_id"], parent["conversation_id"])], said)
            for said in row["utterances"]
        ]
        laughs = {(laugh["channel"], laugh["source_start"]): laugh for laugh in parent["sounds"]}
        pairs += [(laughs[laugh["channel"], laugh["source_start"]], laugh) for laugh in row["sounds"]]
        for old, new in pairs:
            side = CHANNELS.index(new["channel"])
            first = round(old["start"] * rate)
            at = round(new["start"] * rate)
            length = round(old["end"] * rate) - first
            other += int(np.count_nonzero(before[first : first + length, side] != pcm[at : at + length, side]))
            count += length
    return other, count


def found_again(variants: Path, scratch: Path) -> tuple[int, int]:
    """Events of variants that speech activity finds again in their sound alone, and all of them."""
    sounds = scratch / "sounds"
    sounds.mkdir()
    items = open_items(variants)
    truth = dict[str, Row]()
    for row in items.rows():
        name = row["conversation_id"]
        (sounds / f"{Path(name).name}.flac").write_bytes(row["audio"]["bytes"])
        truth[Path(name).name] = row
    rows = Segment().map(Folder(inputs=(str(sounds),)).as_streaming_dataset("train"))
    agree = 0
    count = 0
    for row in rows:
        columns = zip(*(row[name] for name in ("channel", "start", "end", "start_trim", "end_trim")), strict=True)
        names = ("channel", "start", "end", "start_trim", "end_trim")
        found = events_of([dict(zip(names, values, strict=True)) for values in columns])
        for event, channel, start in events_of(truth[Path(row["conversation_id"]).name]["utterances"]):
            count += 1
            agree += any((event, channel) == each[:2] and abs(start - each[2]) <= FOUND for each in found)
    return agree, count


def events_of(utterances: Iterable[Row]) -> list[tuple[str, str, float]]:
    timed = [Timed(said["channel"], *(sounding_span(said) or ())) for said in utterances]
    return [(each.event, each.channel, each.start) for each in stretches(timed)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    there = ROOT.parent / "shared" / "data" / "spokenwoz"
    parser.add_argument("--calls", type=Path, default=there, metavar="FOLDER", help="of real ones")
    calls = parser.parse_args().calls
    options = ("--profile", "embedded", "--asr-model", "none", "--revoice", "none", "--sample-rate", "source")
    options += ("--workers", "2", "--source-licence", "CC0-1.0")
    with TemporaryDirectory() as folder:
        work = Path(folder)
        dailytalk("build", ROOT / "examples" / "conversations", "--out", work / "bundled", *options)
        voices = voices_of(work / "bundled")
        (work / "talks").mkdir()
        for number in range(TALKS):
            sound = talk(voices, np.random.default_rng(1000 + number))
            soundfile.write(work / "talks" / f"talk{number:02d}.flac", sound, RATE)
        inputs = [work / "talks", *([calls] if calls.is_dir() else [])]
        dailytalk("build", *inputs, "--out", work / "recorded", *options)
        rows = [row for row in open_items(work / "recorded").rows() if not row["problem"]]
        rows.sort(key=lambda row: Path(row["conversation_id"]).name)
        talks = [row for row in rows if "talk" in Path(row["conversation_id"]).name]
        real = [row for row in rows if row not in talks]
        counts = [len(transitions_of(row)) for row in rows]
        print(f"{len(talks)} talks and {len(real)} calls, {sum(counts):,} transitions")
        means = shown("talks", divisions_of(talks))
        if real:
            first, second = zip(*map(halves_of, real), strict=True)
            shown("calls", [([*first], [*second]), ([*second], [*first])])
        started = time.perf_counter()
        dailytalk("retime", work / "recorded", "--out", work / "retimed", "--variants", "2", "--workers", "2")
        seconds = time.perf_counter() - started
        wrong, samples = differing(work / "recorded", work / "retimed")
        agree, events = found_again(work / "retimed", work)
        lasts = sum(row["duration"] for row in open_items(work / "retimed").rows(["conversation_id", "duration"]))
    true = means["two true halves"]
    retimed = means["retime"]
    for name, value, between in zip(("W1", "overlap", "lag 1", "entropy"), retimed, true, strict=True):
        what = f"talks, {name}: {value / between:.2f} times that between two true halves (goal: at most {MOST})"
        judged(what, value <= MOST * between)
    point = means["target"][1]
    judged(f"talks, overlap: {point:.2f} points from the target (goal: at most {POINT:g})", point <= POINT)
    judged(f"samples inside events that differ: {wrong:,} of {samples:,} (goal: 0)", not wrong)
    judged(f"events found again: {agree / events:.1%} of {events:,} (goal: 98%)", agree >= 0.98 * events)
    judged(f"{lasts / seconds:.0f} times as fast as they last (goal: {SPEED:g})", lasts >= SPEED * seconds)


if __name__ == "__main__":
    main()
