"""How much of a conversation's turn-taking and of its background survives when one side gets another voice.

Simulated conversations with a fixed seed (60 easy ones; 200 in which 15 % of the turns are cut off early), each
utterance of the left side up to 20 % longer or shorter, and the bundled recordings with lengths from 0.8 to 1.25
times. Prints `anchor` and `sequential` side by side: distance of the floor-transfer
offsets to the source's, overlap kept of what the new lengths allow, backchannels inside their turn, those that
have room there, and all, and lost speech.

Then the sound between the utterances, of the bundled recordings and of the calls in a folder (stereo files, one
speaker a channel), each side resynthesised once, as they are and with each voice leaked into the other channel. On
the resynthesised channel: the loudest frame of 50 ms over the room tone of the recording, and the share of quarter
seconds that match the other speaker's voice of any time of the recording. On the kept channel: the share of the
background's energy that comes through to the bit, of what no leak covers and the new timeline does not take away;
the frames in which the leak of the replaced voice is over the room tone; and the largest step at a seam over the
largest of the source around it. Exits with 1 if a goal is missed. Takes some minutes.

    python benchmarks/timeline.py [--calls FOLDER]
"""

import argparse
import io
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import measuring
import numpy as np
import soundfile
import soxr
from audio_files import conversations, wav_bytes
from numpy.typing import NDArray
from revoicing import Said, columns
from scipy import fft, signal

from dailytalk_contiguous.core.audio import to_pcm
from dailytalk_contiguous.core.timeline import KEPT_PAUSE, MODES, TurnEvent, compare_turns, rebuild
from dailytalk_contiguous.core.turns import Timed, stretches
from dailytalk_contiguous.stages.reconstruct import Reconstruct
from dailytalk_contiguous.stages.segment import Segment

REVOICED = "left"
SAMPLE_RATE = 24000

#: Goals for `anchor` on every set: seconds, and shares.
DISTANCE_GOAL = 0.025
OVERLAP_GOAL = 0.95

#: Levels in dB at which each voice is leaked into the other channel; None for the recording as it is.
LEAKS = (None, -20.0, -25.0, -30.0)

#: Goals for the sound between utterances: dB over the room tone, shares, and a ratio.
OVER_TONE_DB = 6.0
BACKGROUND_GOAL = 0.99
VOICE_GOAL = 0.002
STEP_GOAL = 1.5

#: Seconds of a frame whose level is compared with the room tone, and of a stretch that is matched with a voice.
FRAME = 0.05
STRETCH = 0.25

#: Stretches of a channel that are matched, evenly spread, and the rate in Hz at which they are.
STRETCHES = 40
MATCH_RATE = 4000

#: Seconds beside utterances where their leak may still be heard.
ECHO = 0.2

#: Samples in a row that are equal for more than chance.
RUN = 16

#: Correlation from which a stretch is the other's voice: the hum of a telephone line reaches 0.45 by chance,
#: speech that is repeated in room tone 0.5 to 0.7. dB under the loudest part of the voice that are its speech.
MATCH = 0.5
SPEECH_DB = 30.0

Samples = NDArray[np.float32]


class Conversation(NamedTuple):
    """Who speaks when, in seconds, in order of start."""

    utterances: list[Timed]
    duration: float


#: Gives the new length in seconds of each utterance of the re-voiced side, in order.
Voice = Callable[[Conversation, list[Timed]], list[float]]


class Result(NamedTuple):
    """One conversation, rebuilt."""

    distance: float
    overlap_kept: float
    backchannels: int
    fitting: int
    inside: int
    lost: float


def main() -> int:
    """Rebuild every set in both modes and compare, then listen between the utterances."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=Path, help="folder of stereo recordings with one speaker a channel")
    calls = parser.parse_args().calls
    sets: list[tuple[str, list[Conversation], Voice]] = [
        ("60 simulated", [simulated(seed, 0.0) for seed in range(60)], varied(1, 0.8, 1.2)),
        ("200 interrupting", [simulated(1000 + seed, 0.15) for seed in range(200)], varied(2, 0.8, 1.2)),
        ("bundled, varied", list(bundled()), varied(3, 0.8, 1.25)),
    ]
    print(
        f"{'set':<18}{'timeline':<12}{'distance':>10}{'worst':>9}{'overlap':>9}{'worst':>7}"
        f"{'inside/fit/all':>18}{'lost s':>8}"
    )
    met = True
    for name, talks, voice in sets:
        built = [events(one, voice) for one in talks]
        for mode in MODES:
            results = [result(one, said, mode) for one, said in zip(talks, built, strict=True)]
            _print(name, mode, results)
            met &= mode != "anchor" or good(results)
    goals = f"distance at most {DISTANCE_GOAL} s on average, overlap kept at least {OVERLAP_GOAL:.0%}"
    measuring.judged(f"goals for anchor ({goals}, every backchannel that fits inside, no speech lost)", met)
    return 0 if background(calls) and met else 1


def varied(seed: int, low: float, high: float) -> Voice:
    """A voice that takes `low` to `high` times as long as the source, evenly spread."""
    rng = np.random.default_rng(seed)

    def lengths(_: Conversation, said: list[Timed]) -> list[float]:
        return [(one.end - one.start) * rng.uniform(low, high) for one in said]

    return lengths


def events(conversation: Conversation, voice: Voice) -> list[TurnEvent]:
    """The conversation with the new lengths of its re-voiced side."""
    lengths = iter(voice(conversation, [one for one in conversation.utterances if one.channel == REVOICED]))
    return [
        TurnEvent(one.channel, one.start, one.end, next(lengths), one.run)
        if one.channel == REVOICED
        else TurnEvent(one.channel, one.start, one.end, one.end - one.start, one.run, kept=True)
        for one in conversation.utterances
    ]


def result(conversation: Conversation, said: list[TurnEvent], mode: str) -> Result:
    """Rebuild one conversation and measure it."""
    rebuilt = rebuild(said, conversation.duration, mode, SAMPLE_RATE)
    measures = compare_turns(said, rebuilt.starts, conversation.duration, rebuilt.duration)
    found = stretches(conversation.utterances)
    hosted = [(index, found[one.host].members) for one in found if one.host is not None for index in one.members]
    fitting = sum(fits(index, turn, said, rebuilt.starts) for index, turn in hosted)
    return Result(
        measures["offset_distance"],
        measures["overlap_kept"],
        measures["backchannels"],
        fitting,
        measures["backchannels_kept"],
        measures["lost_speech_seconds"],
    )


def fits(index: int, turn: list[int], said: list[TurnEvent], starts: list[float]) -> bool:
    """Whether a backchannel has room in its rebuilt turn after what its own speaker says before it."""
    one = said[index]
    first = starts[turn[0]]
    end = max(starts[i] + said[i].new_length for i in turn)
    before = [i for i in range(index) if said[i].channel == one.channel]
    if before:
        last = before[-1]
        pause = min(one.start - said[last].end, KEPT_PAUSE)
        first = max(first, starts[last] + said[last].new_length + pause)
    return one.new_length <= end - first


def good(results: list[Result]) -> bool:
    """Whether a set meets the goals."""
    return bool(
        np.nanmean([one.distance for one in results]) <= DISTANCE_GOAL
        and np.nanmean([one.overlap_kept for one in results]) >= OVERLAP_GOAL
        and all(one.inside >= one.fitting for one in results)
        and all(one.lost == 0 for one in results)
    )


def bundled() -> Iterable[Conversation]:
    """The recordings of `examples/` with their exact times."""
    for reference in measuring.references().values():
        said = [Timed(one["channel"], one["start"], one["end"]) for one in reference["utterances"]]
        yield Conversation(said, reference["duration"])


def simulated(seed: int, interruptions: float, turns: int = 40) -> Conversation:
    """A conversation of `turns` turns with gaps, overlaps, backchannels, and that share of early interruptions.

    Turns last 2.2 s in the median (log-normal, 0.5 to 15 s); who comes next waits 0.2 ± 0.25 s, as offsets in
    telephone talk spread. A fifth of the turns goes on with another utterance of the same speaker. In two of five
    turns over 2.5 s the other says one or two backchannels.
    """
    rng = np.random.default_rng(seed)
    said: list[Timed] = []
    free = {"left": 0.0, "right": 0.0}  # the earliest time at which a channel may speak again
    speaker = "left"
    start = float(rng.uniform(0.3, 1.0))
    interrupted = False
    turn = Timed("", 0.0, 0.0)
    for _ in range(turns):
        length = float(np.clip(rng.lognormal(np.log(2.2), 0.7), 0.5, 15.0))
        start = max(start, free[speaker])
        if interrupted:
            length = max(length, turn.end - start + rng.uniform(0.5, 2.0))
        turn = Timed(speaker, start, max(start + length, turn.end + 0.2))
        said.append(turn)
        free[speaker] = turn.end + 0.2
        other = "right" if speaker == "left" else "left"
        interrupted = bool(rng.random() < interruptions) and turn.end - turn.start > 1.0
        following, start = _next(rng, turn, interrupted)
        last_word = min(start if following else turn.end, turn.end) - 0.3
        if turn.end - turn.start > 2.5 and rng.random() < 0.4:
            _add_backchannels(rng, said, other, max(turn.start + 0.3, free[other]), last_word)
            free[other] = max(free[other], said[-1].end + 0.2 if said[-1].channel == other else 0.0)
        speaker = other if following else speaker
    return Conversation(sorted(said, key=lambda one: (one.start, -one.end)), turn.end + 0.8)


def _next(rng: np.random.Generator, turn: Timed, interrupted: bool) -> tuple[bool, float]:
    """Whether the other speaks next, and when."""
    length = turn.end - turn.start
    if interrupted:
        return True, turn.start + length * rng.uniform(0.1, 0.6)
    if rng.random() < 0.2:
        return False, turn.end + rng.uniform(0.4, 1.2)
    return True, turn.end + max(rng.normal(0.2, 0.25), -length / 3)


def _add_backchannels(
    rng: np.random.Generator, said: list[Timed], channel: str, first: float, last: float
) -> None:
    for _ in range(rng.integers(1, 3)):
        length = rng.uniform(0.25, 0.6)
        if last - first < length:
            return
        start = rng.uniform(first, last - length)
        said.append(Timed(channel, start, start + length))
        first = start + length + 0.4


class Sound(NamedTuple):
    """A stereo recording: float32 samples of shape (n, 2), of whole 16-bit steps, and its rate in Hz."""

    samples: Samples
    rate: int


class Heard(NamedTuple):
    """What is heard between the utterances of a rebuilt conversation; what each means is in the module."""

    loudest_db: float
    matching: float
    kept: float
    replaced_voice: float
    step: float


def background(calls: Path | None) -> bool:
    """Measure the sound between utterances of every recording, at every leak; print it and judge it."""
    sets = {"bundled": recordings(measuring.EXAMPLES)} | ({"calls": recordings(calls)} if calls else {})
    print(
        f"\n{'set':<12}{'leak':<10}{'loudest':>10}{'matching':>10}"
        f"{'background kept':>17}{'worst':>9}{'replaced voice':>16}{'step':>7}"
    )
    met = True
    for name, sounds in sets.items():
        for leak_db in LEAKS:
            heard = [between(sound, leak_db, revoice) for sound in sounds for revoice in ("left", "right")]
            loudest = max(one.loudest_db for one in heard)
            step = max(one.step for one in heard)
            means = {field: np.mean([getattr(one, field) for one in heard]) for field in Heard._fields}
            worst = min(one.kept for one in heard)
            met &= loudest <= OVER_TONE_DB and means["matching"] == 0 and step <= STEP_GOAL
            met &= means["replaced_voice"] <= VOICE_GOAL and (worst >= BACKGROUND_GOAL or leak_db is not None)
            leak = "none" if leak_db is None else f"{leak_db:.0f} dB"
            print(
                f"{name:<12}{leak:<10}{loudest:>7.1f} dB{means['matching']:>10.1%}"
                f"{means['kept']:>17.2%}{worst:>9.2%}{means['replaced_voice']:>16.2%}{step:>7.2f}"
            )
    return measuring.judged(
        f"goals (nothing {OVER_TONE_DB:.0f} dB over the room tone, nothing that matches the other voice, "
        f"{BACKGROUND_GOAL:.0%} of the background of every recording as it is kept, the replaced voice in at most "
        f"{VOICE_GOAL:.1%} of the frames, no step at a seam over {STEP_GOAL} times the source's)",
        met,
    )


def recordings(folder: Path) -> list[Sound]:
    """The stereo recordings of a folder, in order of name."""
    sounds = []
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in (".wav", ".flac")):
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        if samples.shape[1] == 2:
            sounds.append(Sound(whole(samples), rate))
    return sounds


def whole(samples: Samples) -> Samples:
    """Samples in 16-bit steps, so that what comes through to the bit can be told."""
    return to_pcm(samples).astype(np.float32) / np.float32(32768)


def leak_of(sound: Sound, leak_db: float) -> Samples:
    """What of each voice is heard in the other channel: after 6 ms and with a tail of 40 ms, as in a room."""
    rng = np.random.default_rng(5)
    room = np.zeros(round(0.04 * sound.rate))
    first = round(0.006 * sound.rate)
    tail = np.arange(len(room) - first - 1) / sound.rate
    room[first] = 1.0
    room[first + 1 :] = 0.25 * rng.standard_normal(len(tail)) * np.exp(-tail / 0.008)
    room *= 10 ** (leak_db / 20) / np.sqrt(np.sum(room**2))
    other = sound.samples[:, ::-1]
    return signal.fftconvolve(other, room[:, None], axes=0)[: len(other)].astype(np.float32)


def between(sound: Sound, leak_db: float | None, revoice: str) -> Heard:
    """Resynthesise one side of a recording with that leak, and measure what is heard between the utterances."""
    rate = sound.rate
    leak = np.zeros_like(sound.samples) if leak_db is None else leak_of(sound, leak_db)
    mixed = whole(np.clip(sound.samples + leak, -1, 1))
    row = conversation(mixed, rate, revoice)
    built = {name: values[0] for name, values in Reconstruct(sample_rate=0, revoice=revoice)(row).items()}
    rebuilt, _ = soundfile.read(io.BytesIO(built["built_audio"]["bytes"]), dtype="float32", always_2d=True)
    side = ("left", "right").index(revoice)
    said = [(first, last) for *_, first, last in utterances(row, built, rate, side)]
    # Room tone of both sides without the leak: where neither has spoken for a while.
    quiet = ~covered([span[1:3] for name in (0, 1) for span in utterances(row, built, rate, name)], sound, ECHO)
    tones = [tone_level(sound.samples[:, place][quiet], rate) for place in (0, 1)]
    revoiced = Sound(rebuilt[:, :1], rate)
    gaps = ~covered([(0, first, last) for first, last in said], revoiced, 0.01)
    levels = frame_levels(rebuilt[:, 0], gaps, rate) / tones[side]
    loudest = 10 * np.log10(np.max(levels, initial=1e-9))
    kept, replaced, step = recorded(row, built, sound.samples, leak, mixed, rebuilt[:, 1], 1 - side, tones, rate)
    return Heard(
        float(loudest),
        matching(rebuilt[:, 0], gaps, sound, side),
        kept,
        replaced,
        step,
    )


def conversation(samples: Samples, rate: int, revoice: str) -> dict[str, list[Any]]:
    """The batch that `Reconstruct` gets: each utterance of one side 20 % shorter to 25 % longer."""
    pcm = to_pcm(samples)
    rng = np.random.default_rng(4)
    found = {name: values[0] for name, values in Segment()(conversations(wav_bytes(pcm, rate))).items()}
    spans = zip(found["channel"], found["start"], found["end"], found["run"], strict=True)
    said = [Said(channel, start, end, rng.uniform(0.8, 1.25), run=run) for channel, start, end, run in spans]
    return columns(said, pcm, rate, 0, revoice)


def utterances(
    row: dict[str, list[Any]], built: dict[str, Any], rate: int, side: int
) -> list[tuple[int, int, int, int, int]]:
    """Of one side of the source: place, first and last sample there, and in the rebuilt conversation."""
    times = (row["source_channel"][0], row["start"][0], row["end"][0], built["new_start"], built["new_end"])
    return [
        (place, *(round(seconds * rate) for seconds in seconds_of))
        for place, (channel, *seconds_of) in enumerate(zip(*times, strict=True))
        if channel == ("left", "right")[side]
    ]


def covered(spans: Iterable[tuple[int, ...]], sound: Sound, margin: float) -> NDArray[np.bool_]:
    """Which samples of a recording are inside a span, or up to `margin` seconds beside it."""
    mask = np.zeros(len(sound.samples), bool)
    for *_, first, last in spans:
        mask[max(0, first - round(margin * sound.rate)) : last + round(margin * sound.rate)] = True
    return mask


def frame_levels(channel: Samples, where: NDArray[np.bool_], rate: int) -> NDArray[np.float64]:
    """Mean squares of the frames of a channel that are wholly inside `where`, digital silence excepted."""
    size = round(FRAME * rate)
    count = len(channel) // size
    squares = (channel[: count * size].astype(np.float64) ** 2).reshape(count, size)
    levels = squares[where[: count * size].reshape(count, size).all(axis=1)].mean(axis=1)
    return np.asarray(levels[levels > 1e-9])


def tone_level(quiet: Samples, rate: int) -> float:
    """The median of frames in which nobody speaks."""
    levels = frame_levels(quiet, np.ones(len(quiet), bool), rate)
    return float(np.median(levels)) if len(levels) else 1e-8


def matching(channel: Samples, where: NDArray[np.bool_], sound: Sound, side: int) -> float:
    """Share of the stretches inside `where` that match the other speaker's voice of any time.

    A match is the largest normalised correlation of differentiated signals (which whitens speech).
    """
    size = round(STRETCH * MATCH_RATE)
    at_rate = lowered(channel, sound.rate)
    places = lowered(where.astype(np.float32), sound.rate)[: len(at_rate)] > 0.99
    starts = [first for first in range(0, len(at_rate) - size, size) if places[first : first + size].all()]
    voice = Voiceprint(lowered(sound.samples[:, 1 - side], sound.rate), size)
    chosen = starts[:: max(1, len(starts) // STRETCHES)]
    matches = [voice.match(at_rate[first : first + size]) for first in chosen]
    return float(np.mean(np.array(matches) > MATCH)) if chosen else 0.0


def lowered(samples: Samples, rate: int) -> Samples:
    """Samples of a channel at the rate at which voices are matched."""
    return np.asarray(soxr.resample(samples, rate, MATCH_RATE), np.float32)


class Voiceprint:
    """A voice that stretches of sound are matched with, at every moment of it."""

    def __init__(self, voice: Samples, size: int) -> None:
        self.voice = np.diff(voice.astype(np.float64))
        self.length = fft.next_fast_len(len(self.voice) + size, real=True)
        self.spectrum = fft.rfft(self.voice, self.length)
        energies = np.cumsum(np.concatenate(([0.0], self.voice**2)))
        self.energies = energies[size - 1 :] - energies[: len(energies) - size + 1]

    def match(self, stretch: Samples) -> float:
        """The largest normalised correlation of the stretch with the voice."""
        part = np.diff(stretch.astype(np.float64))
        product = fft.irfft(self.spectrum * np.conj(fft.rfft(part, self.length)), self.length)
        norms = np.sqrt(np.maximum(self.energies, self.energies.max() * 10 ** (-SPEECH_DB / 10)) * np.sum(part**2))
        return float(np.max(np.abs(product[: len(norms)]) / np.maximum(norms, 1e-12)))


def recorded(
    row: dict[str, list[Any]],
    built: dict[str, Any],
    clean: Samples,
    leak: Samples,
    mixed: Samples,
    channel: Samples,
    side: int,
    tones: list[float],
    rate: int,
) -> tuple[float, float, float]:
    """Of the kept side: the share of its background that comes through, the replaced voice in it, and its steps.

    The background is everything outside utterances. It is weighed without the leak, and only where the leak has
    been 10 dB under the room tone for a while.
    """
    source = mixed[:, side]
    weights = clean[:, side].astype(np.float64) ** 2
    bleed = leak[:, side]
    said = utterances(row, built, rate, side)
    window = round(0.02 * rate)
    leaked = signal.fftconvolve(bleed.astype(np.float64) ** 2, np.full(window, 1 / window), "same")
    edges = np.flatnonzero(np.diff((leaked > 0.1 * tones[side]).astype(np.int8), prepend=0, append=0)).reshape(
        -1, 2
    )
    weights[covered([(0, first, last) for first, last in edges.tolist()], Sound(mixed, rate), ECHO)] = 0
    weights[covered([span[:3] for span in said], Sound(mixed, rate), 0)] = 0
    events = [(first, last, new) for _, first, last, new, _ in said]
    events += [tuple(round(one[name] * rate) for name in ("start", "end", "new_start")) for one in built["sounds"]]
    events.append((len(source), len(source), len(channel)))
    voice = np.zeros(len(channel), np.float32)  # of the leak, what is still heard in the rebuilt channel
    at = 0
    at_new = 0
    came = 0.0
    gone = 0.0
    step = 0.0
    for first, last, new in sorted(events, key=lambda event: event[2]):
        old = source[at:first]
        out = channel[at_new:new]
        head, tail = survivors(old, out)
        came += float(weights[at:first][head | tail].sum() + weights[first:last].sum())
        gone += float(weights[at:first][~(head | tail) & ~taken(head, tail, len(out))].sum())
        voice[at_new + np.flatnonzero(head)] = bleed[at + np.flatnonzero(head)]
        voice[new - len(old) + np.flatnonzero(tail)] = bleed[at + np.flatnonzero(tail)]
        voice[new : new + last - first] = bleed[first:last]
        reach = slice(max(0, at - 1), first + 1)
        loudest = [
            np.max(np.abs(np.diff(part)), initial=0.0)
            for part in (source[reach], channel[max(0, at_new - 1) : new + 1])
        ]
        step = max(step, float(loudest[1] / max(loudest[0], 3 * np.sqrt(tones[side]))))
        at = max(at, last)
        at_new = max(at_new, new + last - first)
    silent = ~covered([(0, new, end) for *_, new, end in said], Sound(channel[:, None], rate), 0)
    size = round(FRAME * rate)
    count = silent[: len(silent) // size * size].reshape(-1, size).all(axis=1).sum()
    left = np.count_nonzero(frame_levels(voice, silent, rate) > tones[side])
    return came / (came + gone) if came + gone else 1.0, left / max(1, count), step


def survivors(old: Samples, out: Samples) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which samples of a stretch are in the rebuilt one, as far from its beginning, and as far from its end.

    Only in runs of `RUN`, because single samples of 16-bit room tone are equal by chance.
    """
    length = min(len(old), len(out))
    masks = []
    for same in (old[:length] == out[:length], (old[len(old) - length :] == out[len(out) - length :])[::-1]):
        mask = np.zeros(len(old), bool)
        edges = np.flatnonzero(np.diff(same.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
        for start, end in edges.tolist():
            mask[start:end] = end - start >= min(RUN, length)
        masks.append(mask)
    return masks[0], masks[1][::-1]


def taken(head: NDArray[np.bool_], tail: NDArray[np.bool_], length: int) -> NDArray[np.bool_]:
    """Which samples were taken away, where `length` are left: the middle of what is between head and tail."""
    away = np.zeros(len(head), bool)
    count = len(head) - length
    if count > 0:
        low = int(np.max(np.flatnonzero(head), initial=-1)) + 1
        after = np.flatnonzero(tail[low:])
        high = low + int(after[0]) if len(after) else len(tail)
        first = max(low, (low + high - count) // 2)
        away[first : first + count] = True
    return away


def _print(name: str, mode: str, results: list[Result]) -> None:
    distances = [one.distance for one in results]
    kept = [one.overlap_kept for one in results]
    counts = [sum(getattr(one, field) for one in results) for field in ("inside", "fitting", "backchannels")]
    print(
        f"{name:<18}{mode:<12}{np.nanmean(distances):>8.4f} s{np.nanmax(distances):>7.3f} s"
        f"{np.nanmean(kept):>9.1%}{np.nanmin(kept):>7.0%}{'/'.join(map(str, counts)):>18}"
        f"{sum(one.lost for one in results):>8.3f}"
    )


if __name__ == "__main__":
    sys.exit(main())
