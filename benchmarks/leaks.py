"""Whose voice it is: what leaks from one side of a call into the other, beside the same call without the leak.

    python benchmarks/leaks.py [--calls FILE …] [--only PART …] [--beside CHECKOUT]

Leaks are mixed into recordings that have none: plain, through mu-law at 8 kHz, or through a room of 50 ms; one way
and both ways. *False* is speech of a side that is none without the leak, *lost* is speech that is not found any
more. Limits were set on the calls of `SET_BY`, and are reported on the others. Words are those of the recogniser
of faster-whisper's `base`; times of words, by which clocks are told, are exact in the bundled calls. `--beside`
names a checkout of another version, whose time Segment is compared with.
"""

import argparse
import difflib
import functools
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import measuring
import numpy as np
import soundfile
import soxr
from audio_files import conversations, stretched, wav_bytes
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from dailytalk_contiguous.core.audio import to_pcm
from dailytalk_contiguous.core.crosstalk import separate_sides
from dailytalk_contiguous.core.measures import same_words
from dailytalk_contiguous.core.records import Cue, WordRow
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.side_clocks import word_fit
from dailytalk_contiguous.core.side_shift import is_apart, side_shift_of
from dailytalk_contiguous.core.spans import true_runs
from dailytalk_contiguous.core.word_times import normalise
from dailytalk_contiguous.stages.base import PerUtterance
from dailytalk_contiguous.stages.segment import Segment
from dailytalk_contiguous.stages.transcribe import Transcribe

RATE = 16000

#: Frames of the masks of speech that are compared, a second.
FRAMES = 100

#: Calls by which the limits of `core.crosstalk` were set.
SET_BY = ("cobalt_call", "MUL1423", "SNG1640", "old_friends")

#: A recording of two microphones in one room, which leaks by itself.
TWO_MICS = "two_mics_bleed"

#: Seconds by which one side is moved, so that both speak at once.
MOVES = (9, 17, 29)

Samples = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Leak(NamedTuple):
    """A leak into a side (0 left, 1 right): dB and milliseconds after its source, and its way."""

    into: int
    level_db: float
    late: float
    way: str


class Found(NamedTuple):
    """What Segment finds: speech of both sides as masks, the row, and its columns of utterances."""

    masks: tuple[Mask, Mask]
    columns: dict[str, list[Any]]


class Difference(NamedTuple):
    """False speech, lost speech, and speech in all, in seconds of both sides."""

    false: float
    lost: float
    speech: float


ONE_WAY = [
    Leak(into, level, late, way)
    for into in (0, 1)
    for level, late, way in (
        (-6, 400, "plain"),
        (-6, 110, "room"),
        (-12, 20, "room"),
        (-12, 110, "mu-law"),
        (-12, 260, "plain"),
        (-20, 0, "plain"),
        (-20, 260, "mu-law"),
        (-27, 400, "mu-law"),
        (-30, 110, "room"),
    )
]
BOTH_WAYS = [
    (Leak(1, -10, 100, "room"), Leak(0, -10, 150, "mu-law")),
    (Leak(1, -14, 230, "plain"), Leak(0, -14, 230, "plain")),
    (Leak(1, -20, 300, "mu-law"), Leak(0, -16, 60, "room")),
]


@functools.lru_cache(maxsize=None)
def sound_of(path: Path) -> Samples:
    """A recording at 16 kHz, shape (n, 2); not to be written to."""
    samples, rate = soundfile.read(path, dtype="float32")
    if rate != RATE:
        samples = soxr.resample(samples, rate, RATE).astype(np.float32)
    samples.setflags(write=False)
    return samples


def with_leaks(samples: Samples, leaks: Sequence[Leak]) -> Samples:
    """A recording with leaks, each of which comes from the recording as it is."""
    mixed = samples.copy()
    for leak in leaks:
        source = _through(samples[:, 1 - leak.into], leak.way)
        n_late = round(leak.late * RATE / 1000)
        mixed[n_late:, leak.into] += np.float32(10 ** (leak.level_db / 20)) * source[: len(source) - n_late]
    return mixed


def _through(source: Samples, way: str) -> Samples:
    if way == "mu-law":
        heard = soxr.resample(source, RATE, 8000)
        compressed = np.sign(heard) * np.log1p(255 * np.abs(heard).clip(0, 1)) / np.log(256)
        coded = (np.round(compressed * 127.5 - 0.5) + 0.5) / 127.5
        decoded = np.sign(coded) * (256 ** np.abs(coded) - 1) / 255
        wide = soxr.resample(decoded, 8000, RATE)
        return np.asarray(np.pad(wide, (0, 8))[: len(source)], np.float32)
    if way == "room":
        n_taps = RATE // 20
        taps = np.random.default_rng(0).standard_normal(n_taps) * np.exp(-np.arange(n_taps) / (n_taps / 6.9))
        taps[0] += 2
        taps /= np.sqrt(np.square(taps).sum())
        return np.asarray(fftconvolve(source, taps)[: len(source)], np.float32)
    return source


def moved(samples: Samples, seconds: float) -> Samples:
    """A recording whose right side is later, and begins with what comes after its end."""
    other = samples.copy()
    other[:, 1] = np.roll(samples[:, 1], round(seconds * RATE))
    return other


def found(recording: Samples | bytes, **options: Any) -> Found:
    """What Segment finds in a recording: 16 kHz, shape (n, 2), or the bytes of a file."""
    batch = conversations(recording)
    columns = batch | Segment(**options)(batch)
    n_frames = round(batch["duration"][0] * FRAMES) + 1
    masks = (np.zeros(n_frames, bool), np.zeros(n_frames, bool))
    for channel, start, end in zip(columns["channel"][0], columns["start"][0], columns["end"][0], strict=True):
        masks[CHANNELS.index(channel)][round(start * FRAMES) : round(end * FRAMES)] = True
    return Found(masks, columns)


def difference(heard: Found, without_leak: Found) -> Difference:
    false = lost = speech = 0
    for now, before in zip(heard.masks, without_leak.masks, strict=True):
        false += int((now & ~before).sum())
        lost += int((before & ~now).sum())
        speech += int(before.sum())
    return Difference(false / FRAMES, lost / FRAMES, speech / FRAMES)


def _share(part: float, whole: float) -> float:
    return 100 * part / max(whole, 1e-9)


def _groups(calls: Sequence[Path]) -> Iterator[tuple[str, list[Path]]]:
    """The calls by which limits were set, and the others."""
    yield "set by these", [path for path in calls if path.stem in SET_BY]
    yield "others", [path for path in calls if path.stem not in SET_BY]


def print_leaks(
    calls: Sequence[Path], cases: Sequence[Sequence[Leak]], title: str, goals: tuple[float, ...]
) -> bool:
    """Print false and lost speech with leaks; `goals` are seconds a call in the mean, in the worst, and % lost."""
    met = True
    for group, paths in _groups(calls):
        differences = []
        for path in paths:
            without_leak = found(sound_of(path), crosstalk=False)
            for leaks in cases:
                differences.append(difference(found(with_leaks(sound_of(path), leaks)), without_leak))
        if not differences:
            continue
        false = [one.false for one in differences]
        lost = _share(sum(one.lost for one in differences), sum(one.speech for one in differences))
        figure = (
            f"{title}, {group}, {len(paths)} calls: false {np.mean(false):.2f} s a call, worst {max(false):.2f} s"
        )
        is_met = np.mean(false) <= goals[0] and max(false) <= goals[1] and lost <= goals[2]
        met &= measured(f"{figure}; own lost {lost:.2f} %", is_met, f"{goals[0]}, {goals[1]} s; {goals[2]} %")
    return met


def measured(figure: str, is_met: object, goal: str) -> bool:
    return measuring.judged(f"  {figure} (goal {goal})", is_met)


def one_way(calls: Sequence[Path]) -> bool:
    return print_leaks(calls, [(leak,) for leak in ONE_WAY], "one way", (0.3, 1.5, 1.5))


def both_ways(calls: Sequence[Path]) -> bool:
    return print_leaks(calls, BOTH_WAYS, "both ways", (2.0, 2.0, 4.0))


def both_speak(calls: Sequence[Path]) -> bool:
    """Sides that are moved, so that both speak at once."""
    room = Leak(1, -12, 150, "room")
    cases: dict[str, tuple[float, Sequence[Leak], float | None]] = {
        "no leak": (0.0, (), 0.5),
        "-12 dB": (0.0, (room,), 10.0),
        "-12 and -14 dB, both ways": (0.0, (room, Leak(0, -14, 200, "plain")), 10.0),
        "-20 dB": (0.0, (Leak(0, -20, 300, "mu-law"),), 10.0),
        "-12 dB, own side 12 dB softer": (-12.0, (room,), None),
    }
    met = True
    for group, paths in _groups(calls):
        for title, (gain, leaks, goal) in cases.items():
            differences = []
            doubted = n_frames = 0
            for path in paths:
                for seconds in MOVES:
                    recording = moved(sound_of(path), seconds)
                    recording[:, 1] *= np.float32(10 ** (gain / 20))
                    heard = found(with_leaks(recording, leaks))
                    differences.append(difference(heard, found(recording, crosstalk=False)))
                    shares = [share for share in heard.columns["leak_share"][0] if share is not None]
                    doubted += sum(share > 0 for share in shares)
                    n_frames += len(shares)
            if not differences:
                continue
            lost = _share(sum(one.lost for one in differences), sum(one.speech for one in differences))
            false = sum(one.false for one in differences) / len(differences)
            figure = f"both speak, {title}, {group}: own lost {lost:.2f} %, false {false:.2f} s a call"
            if goal is None:
                print(f"  {figure}; utterances with a share of leak: {doubted} of {n_frames} (reported)")
            else:
                met &= measured(figure, lost <= goal, f"{goal} %")
    return met


def backchannels(calls: Sequence[Path]) -> bool:
    """Backchannels of the bundled calls, 9 dB softer, under a leak of the other speaker."""
    kept = n_backchannels = 0
    for path in calls:
        said = measuring.references().get(path.stem)
        if said is None:
            continue
        softer = sound_of(path).copy()
        short = [one for one in said["utterances"] if one["event"] == "backchannel"]
        for one in short:
            span = slice(round(one["start"] * RATE), round(one["end"] * RATE))
            softer[span, CHANNELS.index(one["channel"])] *= np.float32(10 ** (-9 / 20))
        for level in (-12, -20):
            for late in (20, 230):
                heard = found(with_leaks(softer, (Leak(0, level, late, "room"), Leak(1, level, late, "room"))))
                for one in short:
                    span = slice(round(one["start"] * FRAMES), round(one["end"] * FRAMES))
                    kept += heard.masks[CHANNELS.index(one["channel"])][span].mean() >= 0.5
                    n_backchannels += 1
    share = _share(kept, n_backchannels)
    figure = f"backchannels 9 dB softer, leaks of -12 and -20 dB both ways: {kept} of {n_backchannels} kept"
    return measured(figure, share >= 70, "70 %")


def clean(calls: Sequence[Path]) -> bool:
    """Calls without a leak are as if none was searched."""
    equal = named = 0
    for path in calls:
        samples = sound_of(path)
        equal += found(samples).columns == found(samples, crosstalk=False).columns
        left, right = (np.ascontiguousarray(np.round(samples[:, side] * 32767), np.int16) for side in (0, 1))
        named += any(separate_sides(left, right).leaks)
    figure = f"without a leak: {equal} of {len(calls)} rows as with crosstalk=False, {named} named a leak"
    return measured(figure, equal == len(calls) and not named, "all; 0")


def named(calls: Sequence[Path]) -> bool:
    """The level and the delay that are named."""
    worst_db = worst_seconds = 0.0
    for path in calls:
        worst_of_call = 0.0
        for leak in ONE_WAY:
            sides = found(with_leaks(sound_of(path), (leak,))).columns["sides"][0]
            side = next(one for one in sides if one["channel"] == CHANNELS[leak.into])
            if side["leak_db"] is None:
                print(f"  {path.stem}: {leak} is not named")
                worst_db = np.inf
                continue
            added = with_leaks(sound_of(path), (leak,))[:, leak.into] - sound_of(path)[:, leak.into]
            source = sound_of(path)[:, 1 - leak.into]
            level_db = 10 * np.log10(np.square(added).sum() / np.square(source).sum())  # a room is no mere gain
            worst_of_call = max(worst_of_call, abs(side["leak_db"] - level_db))
            worst_seconds = max(worst_seconds, abs(side["leak_seconds"] - leak.late / 1000))
        print(f"    {path.stem}: at most {worst_of_call:.1f} dB off")
        worst_db = max(worst_db, worst_of_call)
    figure = f"named: worst {worst_db:.1f} dB and {1000 * worst_seconds:.0f} ms off"
    return measured(figure, worst_db <= 3 and worst_seconds <= 0.03, "3 dB, 30 ms")


@functools.lru_cache(maxsize=None)
def transcript(path: Path, leaks: Sequence[Leak]) -> list[dict[str, Any]]:
    """The words of a call with leaks, by the recogniser, each with its `speaker`."""
    heard = found(with_leaks(sound_of(path), leaks), crosstalk=bool(leaks))
    texts = PerUtterance(Transcribe("base", "en", fillers="drop"))(heard.columns)
    transcribed = []
    for channel, said in zip(heard.columns["channel"][0], texts["words"][0], strict=True):
        transcribed += [{**word, "speaker": channel} for word in said or ()]
    return transcribed


class SideWords(NamedTuple):
    """Words of a side with a leak: its own ones, those that are not found, and those that the other side says."""

    own: int
    lost: int
    other: int


def words_of_side(path: Path, leaks: Sequence[Leak], side: int) -> SideWords:
    """Own words are those without the leak; one of the other side is said there, too, within half a second."""
    before = [word for word in transcript(path, ()) if word["speaker"] == CHANNELS[side]]
    heard = transcript(path, leaks)
    now = [word for word in heard if word["speaker"] == CHANNELS[side]]
    there = [word for word in heard if word["speaker"] != CHANNELS[side]]
    texts_before = [normalise(word["word"]) for word in before]
    texts_now = [normalise(word["word"]) for word in now]
    blocks = difflib.SequenceMatcher(None, texts_before, texts_now, autojunk=False).get_matching_blocks()
    own = {block.b + number for block in blocks for number in range(block.size)}
    n_other = 0
    for number, word in enumerate(now):
        if number not in own:
            n_other += any(
                abs(word["start"] - other["start"]) <= 0.5 and normalise(other["word"]) == texts_now[number]
                for other in there
            )
    return SideWords(len(before), len(before) - len(own), n_other)


def words(calls: Sequence[Path]) -> bool:
    """Words of a side that are the other's, and own words that are lost, beside the call without a leak."""
    cases = {
        "-10 dB, 150 ms": (Leak(1, -10, 150, "room"),),
        "-20 dB, 100 ms": (Leak(1, -20, 100, "plain"),),
        "both ways, -14 dB, 230 ms": BOTH_WAYS[1],
    }
    met = True
    for title, leaks in cases.items():
        own = lost = other = 0
        for path in calls:
            for side in (0, 1):
                of_side = words_of_side(path, leaks, side)
                own += of_side.own
                lost += of_side.lost
                other += of_side.other
        figure = (
            f"words, {title}: {_share(other, own):.1f} are the other's, {_share(lost, own):.1f} lost, of 100 own"
        )
        met &= measured(figure, _share(other, own) <= 1 and _share(lost, own) <= 1, "1; 1")
    without = [same_words(transcript(path, ())) for path in calls]
    print("  same-words without a leak:", ", ".join(f"{share:.3f}" for share in without if share is not None))
    return met


def two_mics(calls: Sequence[Path]) -> bool:
    """Two microphones in one room: what is on both sides, and what is on none."""
    met = True
    for path in calls:
        if path.stem != TWO_MICS:
            continue
        unsplit = found(sound_of(path), crosstalk=False)
        left, right = found(sound_of(path)).masks
        overlap = int((left & right).sum()) / FRAMES
        lines = true_runs(unsplit.masks[0] | unsplit.masks[1]).tolist()
        on_both = on_none = 0
        for start, end in lines:
            on_both += (left & right)[start:end].mean() > 0.5
            on_none += (left | right)[start:end].mean() < 0.5
        figure = (
            f"two_mics: {overlap:.1f} s overlap; of {len(lines)} lines {on_both} on both sides, {on_none} on none"
        )
        met &= measured(figure, overlap <= 8 and on_both <= 1 and on_none <= 1, "8 s; 1; 1")
    return met


def edges_of(heard: Found) -> dict[str, Samples]:
    """Starts and ends of the utterances of each side, in seconds."""
    edges: dict[str, list[float]] = {channel: [] for channel in CHANNELS}
    for channel, start, end in zip(*(heard.columns[name][0] for name in ("channel", "start", "end")), strict=True):
        edges[channel] += [start, end]
    return {channel: np.array(times) for channel, times in edges.items()}


def levels(calls: Sequence[Path]) -> bool:
    """Edges of utterances under a gain or an offset, which should be where they are without it."""
    louder = np.float32(10**0.5)
    changes: dict[str, tuple[str, Callable[[Samples], Samples]]] = {
        "-20 dB": ("FLOAT", lambda samples: samples * np.float32(0.1)),
        "-10 dB": ("FLOAT", lambda samples: samples / louder),
        "+10 dB": ("FLOAT", lambda samples: samples * louder),
        "offset .005": ("FLOAT", lambda samples: samples + np.float32(0.005)),
        "offset .03": ("FLOAT", lambda samples: samples + np.float32(0.03)),
        "offset .1": ("FLOAT", lambda samples: samples + np.float32(0.1)),
        "-20 dB, 16 bits (reported)": ("PCM_16", lambda samples: samples * np.float32(0.1)),
        "+10 dB, clipped (reported)": ("FLOAT", lambda samples: (samples * louder).clip(-1, 1)),
    }
    n_same = n_edges = 0
    for title, (subtype, change) in changes.items():
        same = count = 0
        for path in calls:
            before = edges_of(found(wav_bytes(sound_of(path), RATE, "FLOAT")))
            now = edges_of(found(wav_bytes(change(sound_of(path)), RATE, subtype)))
            for channel in CHANNELS:
                count += max(len(before[channel]), len(now[channel]))
                if len(now[channel]):
                    nearest = np.abs(before[channel][:, np.newaxis] - now[channel]).min(axis=1)
                    same += int((nearest <= 0.01).sum())
        print(f"    {title}: {_share(same, count):.1f} % of {count} edges within 10 ms")
        if "reported" not in title:
            n_same += same
            n_edges += count
    figure = f"gain of -20 to +10 dB as floats, offset up to 0.1: {_share(n_same, n_edges):.1f} % within 10 ms"
    return measured(figure, _share(n_same, n_edges) >= 98, "98 %")


#: Parts in a million by which the clock of a side is slow.
DRIFTS_PPM = (0.0, 50.0, -100.0, 300.0, -1000.0, 3000.0, -3000.0)


def timed_cues(path: Path) -> list[Cue]:
    """The words of a call with their times: as it was made, or as a recogniser hears them."""
    cues: list[Cue] = []
    said = measuring.references().get(path.stem)
    words = [] if said else transcript(path, ())
    for one in said["utterances"] if said else ():
        words += [{**word, "speaker": one["channel"]} for word in one["words"]]
    for word in words:
        row: WordRow = {"word": word["word"], "start": word["start"], "end": word["end"], "probability": None}
        cue: Cue = {
            "channel": word["speaker"],
            "start": word["start"],
            "end": word["end"],
            "text": word["word"],
            "words": [row],
            "speaker": None,
            "language": None,
            "mark": None,
            "mark_kind": None,
            "tag": None,
        }
        cues.append(cue)
    return cues


def clocks(calls: Sequence[Path]) -> bool:
    """Clocks that drift: what is left of it at the end of a call; calls in step, and echoes, that are mended."""
    left: dict[str, list[float]] = {"words": [], "a leak": []}
    mended = n_in_step = 0
    for path in calls:
        samples = sound_of(path)
        seconds = len(samples) / RATE
        if seconds < 60:
            continue
        leaky = with_leaks(samples, (Leak(1, -20, 100, "room"),))
        told: dict[str, tuple[Samples, list[Cue]]] = {"words": (samples, timed_cues(path)), "a leak": (leaky, [])}
        for name, (recording, cues) in told.items():
            for ppm in DRIFTS_PPM:
                pcm = to_pcm(stretched(recording, ppm))
                shift = side_shift_of(pcm, cues, {"left": [], "right": []}, thorough=True)
                found_ppm = 0.0 if shift is None else shift["drift_ppm"]
                left[name].append(abs(found_ppm - ppm) / 1e6 * seconds)
                if ppm == 0:
                    mended += bool(shift and is_apart(shift))
                    n_in_step += 1
    met = True
    for name, seconds_left in left.items():
        share = _share(sum(one <= 0.04 for one in seconds_left), len(seconds_left))
        figure = f"drift of 50 to 3,000 ppm by {name}: {share:.0f} % of {len(seconds_left)} cases within 40 ms"
        met &= measured(f"{figure}, worst {1000 * max(seconds_left):.0f} ms", share >= 90, "90 %")
    figure = f"calls in step and echoes that are mended: {mended} of {n_in_step}"
    return measured(figure, not mended, "0") and met


def lacking(calls: Sequence[Path]) -> bool:
    """A side that has lost 5 % of its buffers of 20 ms: how far its words are off, with silence in their place."""
    generator = np.random.default_rng(0)
    errors = []
    for path in calls:
        samples = sound_of(path)
        if len(samples) < 60 * RATE:
            continue
        spans = [(cue["start"], cue["end"]) for cue in timed_cues(path) if cue["channel"] == "right"]
        buffers = samples[: len(samples) // 320 * 320, 1].reshape(-1, 320)
        is_kept = generator.random(len(buffers)) >= 0.05
        fit = word_fit(spans, to_pcm(buffers[is_kept].ravel()))
        if fit is None:
            errors.append(np.inf)
            continue
        at = np.arange(is_kept.sum()) * 0.02
        put_in = np.zeros(len(at))
        for piece in fit.lacking:
            put_in[at >= piece.start] += piece.seconds
        truth = np.flatnonzero(is_kept) * 0.02
        in_words = np.zeros(len(at), bool)
        for start, end in spans:
            in_words |= (truth >= start) & (truth < end)
        errors.append(float(np.percentile(np.abs(at + put_in - truth)[in_words], 95)))
    shown = ", ".join(f"{1000 * error:.0f}" for error in sorted(errors))
    figure = f"5 % of buffers lost, by words: 95th percentiles of {len(errors)} calls {shown} ms"
    return measured(figure, max(errors) <= 0.1, "100 ms")


#: Segment of a recording of so many minutes, in seconds of processor.
_TIMED = """
import sys, time
sys.path[:0] = [sys.argv[1] + "/tests", sys.argv[1]]
import numpy as np, soundfile
from audio_files import conversations
from dailytalk_contiguous.stages.segment import Segment
samples = np.load(sys.argv[2])
Segment()(conversations(samples[: 16000 * 30]))
row = conversations(samples)
started = time.process_time()
Segment()(row)
print(time.process_time() - started)
"""


def cost(calls: Sequence[Path], beside: Path | None) -> bool:
    """What Segment takes, beside another version."""
    if beside is None:
        print("  cost: not measured; name another version with --beside")
        return True
    met = True
    for minutes in (15, 60):
        lasting = np.concatenate([sound_of(path) for path in calls])
        n_samples = minutes * 60 * RATE
        samples = np.tile(lasting, (n_samples // len(lasting) + 1, 1))[:n_samples]
        for title, recording in (("no leak", samples), ("a leak", with_leaks(samples, (ONE_WAY[3],)))):
            with tempfile.NamedTemporaryFile(suffix=".npy") as file:
                np.save(file, recording)
                file.flush()
                seconds: dict[Path, list[float]] = {measuring.ROOT: [], beside: []}
                for _ in range(2):
                    for version, taken in seconds.items():
                        command = [sys.executable, "-c", _TIMED, str(version), file.name]
                        printed = subprocess.run(command, check=True, capture_output=True, text=True, cwd=version)
                        taken.append(float(printed.stdout))
            ours, theirs = min(seconds[measuring.ROOT]), min(seconds[beside])
            figure = (
                f"Segment of {minutes} minutes, {title}: {ours:.1f} s, {ours / theirs:.2f} times {beside.name}"
            )
            met &= measured(figure, ours <= 1.3 * theirs, "1.3 times")
    return met


PARTS: dict[str, Callable[[Sequence[Path]], bool]] = {
    "one_way": one_way,
    "both_ways": both_ways,
    "both_speak": both_speak,
    "backchannels": backchannels,
    "clean": clean,
    "named": named,
    "words": words,
    "two_mics": two_mics,
    "levels": levels,
    "clocks": clocks,
    "lacking": lacking,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=Path, nargs="+", default=[], help="other recordings")
    parser.add_argument("--only", choices=[*PARTS, "cost"], nargs="+", default=[*PARTS, "cost"])
    parser.add_argument("--beside", type=Path, help="checkout of another version, whose cost is compared")
    chosen = parser.parse_args()
    paths = [*sorted(measuring.EXAMPLES.glob("*.flac")), *chosen.calls]
    leaking = [path for path in paths if path.stem == TWO_MICS]
    calls = [path for path in paths if path not in leaking]
    print(", ".join(path.stem for path in paths))
    met = []
    for name, part in PARTS.items():
        if name in chosen.only:
            met.append(part(leaking if part is two_mics else calls))
    if "cost" in chosen.only:
        met.append(cost(calls, chosen.beside))
    return int(not all(met))


if __name__ == "__main__":
    sys.exit(main())
