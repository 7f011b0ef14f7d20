"""How well the certainty of events says how often they are what they are called.

    python benchmarks/certainty.py [--calls FOLDER]

Talks are planted, whose times are known. Their edges are moved by the error of a band, as a recording moves them,
and their true kinds follow from the true times by limits that are up to a tenth off. Of the events with a
certainty c a share c should have their true kind. The figure is the expected calibration error (Naeini et al.
2015, AAAI, ten bins); at twice the error it says what happens where a band is misjudged.

Then phrases of the bundled voices are planted into noise, and `Segment` looks for them: by how much their edges
are off (`core.certainty.EDGE_ERRORS` was set on talks of seed 10), and how often the events of other talks are
what they are called. With `--calls`, a folder with `spokenwoz` and `talk`, the noise is also that of calls between
their lines, and the distributions of how finished holds and shifts sound are fitted: on the bundled recordings and
`FITTED_CALLS`, with figures of the other calls.
"""

import argparse
import math
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import measuring
import numpy as np
import soundfile
import soxr
from audio_files import Samples, room_tone
from cues import CALLS
from edges import RATE, Talk, bundled, errors, found, planted, row_of
from numpy.typing import NDArray
from scipy import signal, stats

from dailytalk_contiguous.core.certainty import (
    EDGE_ERRORS,
    HOLD_SHAPE,
    LEAST_FINISHED,
    LIMIT_SHARE,
    MOST_RATIO,
    SHIFT_SHAPE,
    SNR_DB,
    EndShares,
    UtteredWords,
    edge_error,
    event_certainties,
    interaction_certainties,
    transition_certainty,
)
from dailytalk_contiguous.core.interaction import InteractionLimits, find_interactions
from dailytalk_contiguous.core.quality import snr_db
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.turn_ends import HOLD, SHIFT, silent_ends
from dailytalk_contiguous.core.turns import (
    Timed,
    TurnLimits,
    labels_of,
    stretches,
    timed_conversations,
)
from dailytalk_contiguous.publish.opening import open_items

#: Largest expected calibration error.
GOAL = 0.05

#: Seconds of the error of an edge, by band.
BANDS = {f"{snr:g} dB": error for snr, error in zip(SNR_DB, EDGE_ERRORS, strict=True)}

#: Seeds of the talks that are judged; no choice was made by them.
SEEDS = range(100, 180)

#: Utterances of a talk.
LINES = 60

#: The calls by which the distributions of the judge were fitted; figures are of the others.
FITTED_CALLS = ("MUL1423", "aws_auto_repairs_40")


class Sample(NamedTuple):
    """An event's certainty, and whether its kind is the true one."""

    certainty: float
    is_true: bool


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=Path)
    arguments = parser.parse_args()
    met = [judge_band(name, error) for name, error in BANDS.items()]
    print_edges()
    judge_found_events()
    if arguments.calls:
        with tempfile.TemporaryDirectory() as scratch:
            works = build_calls(arguments.calls, Path(scratch))
            print_rooms(works)
            print_judge(works)
    return 0 if all(met) else 1


# Planted times.


def drawn_talk(random: np.random.Generator) -> list[Timed]:
    """Utterances of two speakers: pauses, gaps, overlaps, backchannels and interruptions of all lengths."""
    talk = [Timed("left", 0.0, random.uniform(1.0, 4.0))]
    floor = talk[0]
    for _ in range(LINES):
        other = "right" if floor.channel == "left" else "left"
        length = random.uniform(0.3, 4.0)
        match random.choice(["pause", "gap", "overlap", "backchannel"], p=[0.3, 0.4, 0.15, 0.15]):
            case "pause":
                start = floor.end + random.gamma(2.0, 0.25)
                floor = Timed(floor.channel, start, start + length)
            case "gap":
                start = floor.end + random.gamma(2.0, 0.2)
                floor = Timed(other, start, start + length)
            case "overlap":
                earliest = max(floor.start + 0.2, floor.end - 1.5)
                start = random.uniform(earliest, floor.end)
                floor = Timed(other, start, start + length)
            case _:
                start = random.uniform(floor.start, floor.end)
                end = start + random.uniform(0.2, 0.8)
                talk.append(Timed(other, start, end))
                continue
        talk.append(floor)
    return talk


def moved(talk: Sequence[Timed], error: float, random: np.random.Generator) -> list[Timed]:
    """A talk as it is found where edges have an error of so many seconds."""
    found_talk: list[Timed] = []
    for channel, start, end, run in talk:
        found_start = start + error * random.standard_normal()
        found_end = end + error * random.standard_normal()
        found_talk.append(Timed(channel, found_start, max(found_end, found_start + 0.01), run))
    return found_talk


def words_of(talk: Sequence[Timed]) -> list[Timed]:
    """Three words a second in each utterance."""
    words: list[Timed] = []
    for channel, start, end, _ in talk:
        n_words = max(1, round(3 * (end - start)))
        edges = np.linspace(start, end, n_words + 1).tolist()
        for word_start, word_end in pairwise(edges):
            words.append(Timed(channel, word_start, word_end))
    return words


def true_transitions(talk: Sequence[Timed], limits: TurnLimits) -> dict[int, str]:
    speech = stretches(talk, limits=limits)
    return {end.utterance: end.transition for end in silent_ends(speech, talk, limits.pause)}


def event_samples(
    true_talk: list[Timed], found_talk: list[Timed], error: float, limits: TurnLimits
) -> list[Sample]:
    """The events that are found, by the true times and limits."""
    true_labels = labels_of(stretches(true_talk, limits=limits), len(true_talk))
    labels = labels_of(stretches(found_talk), len(found_talk))
    certain = event_certainties(found_talk, [error] * len(found_talk))
    samples: list[Sample] = []
    for certainty, label, true_label in zip(certain.events, labels, true_labels, strict=True):
        samples.append(Sample(certainty, label == true_label))
    return samples


def transition_samples(
    true_talk: list[Timed],
    found_talk: list[Timed],
    error: float,
    limits: TurnLimits,
    random: np.random.Generator,
    hears: bool,
) -> list[Sample]:
    """The transitions that are found; `hears`: whether a judge, drawn from its distributions, hears them."""
    true_kinds = true_transitions(true_talk, limits)
    certain = event_certainties(found_talk, [error] * len(found_talk))
    samples: list[Sample] = []
    for utterance, transition in true_transitions(found_talk, TurnLimits()).items():
        # Where the silence is too short, the end sounds like one before the speaker who was found to follow.
        sounds_like = true_kinds.get(utterance, transition)
        finished = None
        if hears:
            shape = SHIFT_SHAPE if sounds_like == SHIFT else HOLD_SHAPE
            finished = float(random.beta(*shape))
        certainty = transition_certainty(certain.ends[utterance], transition, finished)
        samples.append(Sample(certainty, true_kinds.get(utterance) == transition))
    return samples


def interaction_samples(
    true_talk: list[Timed], found_talk: list[Timed], error: float, limits: InteractionLimits
) -> list[Sample]:
    """The interactions that are found, by the true times and limits."""
    words = words_of(true_talk)
    true_events, _ = find_interactions(true_talk, words, limits)
    starts = {(span.channel, span.start): index for index, span in enumerate(true_talk)}
    true_acts = {(event.kind, starts[event.who, event.act[0]]) for event in true_events}
    found_words = UtteredWords(words, true_talk).within(found_talk)
    events, _ = find_interactions(found_talk, found_words)
    said = UtteredWords(found_words, found_talk)
    certainties = interaction_certainties(
        events,
        found_talk,
        [error] * len(found_talk),
        InteractionLimits,
        lambda drawn, drawn_limits: find_interactions(drawn, said.within(drawn), drawn_limits)[0],
    )
    found_starts = {(span.channel, span.start): index for index, span in enumerate(found_talk)}
    samples: list[Sample] = []
    for event, certainty in zip(events, certainties, strict=True):
        act = (event.kind, found_starts[event.who, event.act[0]])
        samples.append(Sample(certainty, act in true_acts))
    return samples


def band_samples(error: float, true_error: float) -> dict[str, list[Sample]]:
    """The events of all planted talks, whose edges are off by `true_error` s, and as certain as at `error` s."""
    samples: dict[str, list[Sample]] = {
        "events": [],
        "transitions": [],
        "heard transitions": [],
        "interactions": [],
    }
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        true_talk = drawn_talk(random)
        found_talk = moved(true_talk, true_error, random)
        usual = np.array(InteractionLimits())
        factors = random.uniform(1 - LIMIT_SHARE, 1 + LIMIT_SHARE, len(usual))
        limits = InteractionLimits(*(usual * factors).tolist())
        samples["events"] += event_samples(true_talk, found_talk, error, limits.of_turns)
        for name, hears in (("transitions", False), ("heard transitions", True)):
            samples[name] += transition_samples(true_talk, found_talk, error, limits.of_turns, random, hears)
        samples["interactions"] += interaction_samples(true_talk, found_talk, error, limits)
    return samples


def calibration_error(samples: Sequence[Sample]) -> float:
    """The mean distance between certainty and the share that is true, over ten bins of certainty."""
    values = np.array(samples, float).reshape(-1, 2)
    bins = np.minimum((values[:, 0] * 10).astype(int), 9)
    distance = 0.0
    for number in range(10):
        inside = values[bins == number]
        if len(inside):
            certainty, true_share = inside.mean(axis=0)
            distance += len(inside) * abs(certainty - true_share)
    return distance / max(1, len(values))


def figures(samples: Sequence[Sample]) -> str:
    doubtful = [sample for sample in samples if sample.certainty < 0.8]
    n_true = sum(sample.is_true for sample in samples)
    text = f"{len(samples)}, {n_true / max(1, len(samples)):.1%} true, {len(doubtful)} under 0.8"
    if doubtful:
        mean = np.mean([sample.certainty for sample in doubtful])
        true_share = np.mean([sample.is_true for sample in doubtful])
        text += f" (mean {mean:.2f}, true {true_share:.2f})"
    return f"{text}; calibration error {calibration_error(samples):.3f}"


def judge_band(name: str, error: float) -> bool:
    met = True
    for kind, samples in band_samples(error, error).items():
        off = calibration_error(samples)
        text = f"{name}, edges off by {1000 * error:.0f} ms, {kind}: {figures(samples)} (goal {GOAL})"
        met &= measuring.judged(text, off <= GOAL)
    for kind, samples in band_samples(error, 2 * error).items():
        print(f"    at twice the error, {kind}: {figures(samples)}")
    return met


# Planted sound.


def noisy(talk: Talk, ratio_db: float) -> Samples:
    """A talk with noise that is softer than each voice by so many dB while it speaks."""
    noise = np.stack([room_tone(len(talk.sound), 0.0, seed) for seed in (1, 2)], axis=1)
    noise = signal.lfilter([1], [1, -0.9], noise, axis=0)
    noise /= noise.std(axis=0)
    voices = np.array([voice_power(side) for side in talk.sound.T])
    return (talk.sound + noise * np.sqrt(voices) * 10 ** (-ratio_db / 20)).astype(np.float32)


def voice_power(side: Samples) -> float:
    return float(np.mean(np.square(side[side != 0])))


def truth_of(talk: Talk) -> dict[str, Any]:
    said = [dict(zip(("channel", "start", "end"), phrase, strict=True)) for phrase in talk.phrases]
    return row_of(said, len(talk.sound) / RATE)


def deviations(late: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    """Standard deviations in seconds of normal errors with the same range of 80 %, of starts and of ends."""
    low, high = np.percentile(late, (10, 90), axis=0)
    width = 2 * stats.norm.ppf(0.9)
    return np.asarray((high - low) / width)


def planted_talks(first_seed: int) -> list[Talk]:
    voices = bundled()
    pairs = combinations(sorted(voices), 2)
    return [planted(voices[left], voices[right], first_seed + n) for n, (left, right) in enumerate(pairs)]


def print_edges() -> None:
    """By how much edges are off in noise, in the talks by which `EDGE_ERRORS` was set, and in others."""
    for ratio_db in (50.0, *reversed(SNR_DB)):
        parts: list[str] = []
        for about, seed in (("set on", 10), ("others", 20)):
            late: list[tuple[float, float]] = []
            for talk in planted_talks(seed):
                late += errors(truth_of(talk), found(noisy(talk, ratio_db), RATE))
            starts, ends = 1000 * deviations(late)
            both = 1000 * math.sqrt(float(np.mean(np.square(deviations(late)))))
            parts.append(
                f"{about}: starts {starts:.0f}, ends {ends:.0f}, both {both:.0f} ms ({len(late)} phrases)"
            )
        print(f"noise at {ratio_db:g} dB, {'; '.join(parts)}; taken: {1000 * edge_error(ratio_db):.0f} ms")


def judge_found_events() -> None:
    """How often the events that `Segment` finds in noise are those that were planted."""
    for ratio_db in (50.0, *reversed(SNR_DB)):
        events: list[Sample] = []
        transitions: list[Sample] = []
        for seed in (30, 40, 50):
            for talk in planted_talks(seed):
                add_found_events(talk, ratio_db, events, transitions)
        for kind, samples in (("events", events), ("transitions", transitions)):
            print(f"found in noise at {ratio_db:g} dB, {kind}: {figures(samples)}")


def add_found_events(talk: Talk, ratio_db: float, events: list[Sample], transitions: list[Sample]) -> None:
    """Add the events of a talk as `Segment` finds it, of utterances that are one phrase."""
    true_talk = timed_conversations(truth_of(talk))["rebuilt"].timed
    sound = noisy(talk, ratio_db)
    found_talk = timed_conversations(found(sound, RATE))["rebuilt"].timed
    true_labels = labels_of(stretches(true_talk), len(true_talk))
    true_kinds = true_transitions(true_talk, TurnLimits())
    labels = labels_of(stretches(found_talk), len(found_talk))
    kinds = true_transitions(found_talk, TurnLimits())
    certain = event_certainties(found_talk, [edge_error(ratio_db)] * len(found_talk))
    for number, span in enumerate(found_talk):
        same = [index for index, phrase in enumerate(true_talk) if overlaps(span, phrase)]
        if len(same) != 1:
            continue
        events.append(Sample(certain.events[number], labels[number] == true_labels[same[0]]))
        if number in kinds:
            is_true = true_kinds.get(same[0]) == kinds[number]
            transitions.append(Sample(certain.ends[number].kept, is_true))


def overlaps(span: Timed, phrase: Timed) -> bool:
    return span.channel == phrase.channel and min(span.end, phrase.end) > max(span.start, phrase.start)


# Calls.


class BuiltCall(NamedTuple):
    """A row of a recording as it is, and its sound at 16 kHz, shape (n, 2)."""

    row: dict[str, Any]
    sound: Samples
    is_bundled: bool


def build_calls(folder: Path, scratch: Path) -> list[BuiltCall]:
    calls = sorted((folder / "spokenwoz").glob("*.wav"))
    calls += [folder / "talk" / name for name in CALLS]
    calls += [measuring.EXAMPLES / f"{name}.flac" for name in sorted(measuring.references())]
    source = scratch / "source"
    source.mkdir()
    paths: dict[str, Path] = {}
    for path in calls:
        shutil.copy(path, source)
        paths[path.stem] = path
    work = scratch / "work"
    options = ("--profile", "embedded", "--language", "en", "--source-licence", "CC0-1.0", "--revoice", "none")
    measuring.dailytalk("build", source, "--out", work, *options, "--turn-ends", "smart-turn")
    built: list[BuiltCall] = []
    for row in open_items(work).rows():
        path = paths[row["conversation_id"]]
        samples, rate = soundfile.read(path, dtype="float32")
        sound = np.asarray(soxr.resample(samples, rate, RATE), np.float32)
        built.append(BuiltCall(row, sound, path.parent == measuring.EXAMPLES))
    return built


def backgrounds(call: BuiltCall) -> Iterator[tuple[str, Samples, float]]:
    """The name of each side, what is heard there beside its lines, and the power of its lines."""
    for number, channel in enumerate(CHANNELS):
        side = call.sound[:, number]
        is_said = np.zeros(len(side), bool)
        is_near = np.zeros(len(side), bool)
        for said in call.row["utterances"]:
            if said["channel"] == channel:
                is_said[round(said["start"] * RATE) : round(said["end"] * RATE)] = True
                first = max(0, round((said["start"] - 0.2) * RATE))
                is_near[first : round((said["end"] + 0.2) * RATE)] = True
        power = float(np.mean(np.square(side[is_said])))
        yield f"{call.row['conversation_id']}, {channel}", side[~is_near], power


def print_rooms(calls: Sequence[BuiltCall]) -> None:
    """By how much edges of planted phrases are off in what is heard beside the lines of calls."""
    talks = planted_talks(20)
    for call in calls:
        if call.is_bundled:
            continue
        for name, background, power in backgrounds(call):
            late: list[tuple[float, float]] = []
            ratios: list[float] = []
            for talk in talks:
                room = np.resize(background, len(talk.sound))
                sound = talk.sound + (room * math.sqrt(voice_power(talk.sound) / power))[:, None]
                row = found(sound.astype(np.float32), RATE)
                late += errors(truth_of(talk), row)
                lines = [(said["start"], said["end"]) for said in row["utterances"] if said["channel"] == "left"]
                ratio = snr_db(sound[:, 0], RATE, lines, lines)
                if ratio is not None:
                    ratios.append(ratio)
            ratio = float(np.median(ratios)) if ratios else None
            starts, ends = 1000 * deviations(late)
            known = "unknown" if ratio is None else f"{ratio:.0f} dB"
            print(
                f"background of {name} ({known}): starts off by {starts:.0f}, ends by {ends:.0f} ms; "
                f"taken: {1000 * edge_error(ratio):.0f} ms"
            )


def print_judge(calls: Sequence[BuiltCall]) -> None:
    """Fit how finished holds and shifts sound, and print what the judge tells on the other calls."""
    fitted: dict[str, list[float]] = {HOLD: [], SHIFT: []}
    others: list[tuple[str, float]] = []
    for call in calls:
        is_fitted = call.is_bundled or call.row["conversation_id"] in FITTED_CALLS
        for said in call.row["utterances"]:
            if said["transition"] is None or said["turn_end"] is None:
                continue
            if is_fitted:
                fitted[said["transition"]].append(said["turn_end"])
            else:
                others.append((said["transition"], said["turn_end"]))
    for transition, values in fitted.items():
        inside = np.clip(values, LEAST_FINISHED, 1 - LEAST_FINISHED)
        first, second, _, _ = stats.beta.fit(inside, floc=0, fscale=1)
        print(f"{transition}s fitted: {len(values)}, beta {first:.3f}, {second:.3f}")
    n_shifts = sum(transition == SHIFT for transition, _ in others)
    shift_share = n_shifts / len(others)
    alone = 0.0
    heard = 0.0
    for transition, finished in others:
        share = shift_share if transition == SHIFT else 1 - shift_share
        shares = EndShares(share, 1 - share)
        alone -= math.log(share) / len(others)
        heard -= math.log(transition_certainty(shares, transition, finished)) / len(others)
    print(
        f"{len(others)} ends of other calls, {n_shifts} of them shifts: log loss {alone:.3f} by that share alone, "
        f"{heard:.3f} with the judge (bound {MOST_RATIO:g})"
    )


if __name__ == "__main__":
    sys.exit(main())
