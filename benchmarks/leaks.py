"""Whose voice it is: what leaks from one side of a call into the other, beside the same call without the leak.

    python benchmarks/leaks.py [FOLDER] [--only PART …]

Leaks are mixed into recordings that have none: the bundled ones, and calls in FOLDER (`spokenwoz`, `talk`). They
are plain, through mu-law at 8 kHz, or through a room of 50 ms; those that begin, end or change come from the left
into the right side through a room of 0.25 s, 60 ms late; `recorders` of two people in one room differ. *False* is
speech of a side that is none without the leak, *lost* is speech that is not found any more. Limits were set on the
calls of `SET_BY`, and are reported on the others. Words are those of the recogniser of faster-whisper's `base`.
"""

import difflib
import functools
import io
import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import measuring
import numpy as np
import soundfile
import soxr
from audio_files import conversations
from numpy.typing import NDArray
from scipy.signal import correlate, fftconvolve
from stage_calls import columns_after

from dailytalk_contiguous.core.records.measures import longest_at_once, same_words
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.sound.crosstalk import separate_sides
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.core.words.word_times import normalise
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.stages.match_transcript import MatchTranscript
from dailytalk_contiguous.stages.segment import Segment
from dailytalk_contiguous.stages.transcribe import Transcribe

RATE = 16000

#: Frames of the masks of speech that are compared, a second.
FRAMES = 100

#: Calls by which the limits of `core.sound.crosstalk` were set.
SET_BY = ("cobalt_call", "MUL1423", "SNG1640", "old_friends")

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
        return _in_room(source, 0.05, 0)
    return source


def found(recording: Samples, **options: Any) -> Found:
    """What Segment finds in a recording, shape (n, 2) at 16 kHz."""
    batch = conversations(recording)
    columns = batch | columns_after(Segment(**options), batch)
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


def measured(figure: str, is_met: object, goal: str) -> bool:
    return measuring.judged(f"  {figure} (goal {goal})", is_met)


def one_way(calls: Sequence[Path]) -> bool:
    """False and lost speech with a leak into one side."""
    met = True
    for group, paths in _groups(calls):
        differences = []
        for path in paths:
            without_leak = found(sound_of(path), crosstalk=False)
            for leak in ONE_WAY:
                differences.append(difference(found(with_leaks(sound_of(path), (leak,))), without_leak))
        if not differences:
            continue
        false = [one.false for one in differences]
        lost = _share(sum(one.lost for one in differences), sum(one.speech for one in differences))
        figure = f"false {np.mean(false):.2f} s a call, worst {max(false):.2f} s; own lost {lost:.2f} %"
        is_met = np.mean(false) <= 0.3 and max(false) <= 1.5 and lost <= 1.5
        met &= measured(f"one way, {group}, {len(paths)} calls: {figure}", is_met, "0.3, 1.5 s; 1.5 %")
    return met


@functools.lru_cache(maxsize=None)
def transcript(path: Path, leaks: Sequence[Leak]) -> list[dict[str, Any]]:
    """The words of a call with leaks, by the recogniser, each with its `speaker`."""
    heard = found(with_leaks(sound_of(path), leaks), crosstalk=bool(leaks))
    texts = columns_after(Transcribe("base", "en", fillers="drop"), heard.columns)
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
        "both ways, -14 dB, 230 ms": (Leak(1, -14, 230, "plain"), Leak(0, -14, 230, "plain")),
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
    without = []
    runs = []
    for path in calls:
        words = [
            Word(word["word"], word["start"], word["end"], speaker=word["speaker"])
            for word in transcript(path, ())
        ]
        without.append(same_words(words))
        runs.append(longest_at_once(words))
    print("  same-words without a leak:", ", ".join(f"{share:.3f}" for share in without if share is not None))
    print("  words in a row on both sides without a leak:", [run["text"] for run in runs if run])
    return met


class Changing(NamedTuple):
    """A recording with a leak that changes, and the same without the leak, each of shape (n, 2)."""

    recording: Samples
    without_leak: Samples


#: Seconds of a call that are taken for leaks that change.
CHANGING_SECONDS = 115


def changing_leaks(samples: Samples) -> Iterator[tuple[str, Changing]]:
    """Leaks of the left voice that begin, end or change, each with the row that it belongs to."""
    left, right = samples.T
    share = np.arange(len(left)) / len(left)
    echo = _late(_in_room(left, 0.25, 3), 60)
    other_echo = _late(_in_room(left, 0.25, 9), 110)
    leaks = {}
    for level in (-8, -20):
        for first, last in ((0.5, 1.0), (0.7, 1.0), (0.8, 1.0), (0.0, 0.3)):
            leaks[f"parts, {first} {last} {level}"] = _gain(level) * echo * ((share >= first) & (share < last))
    leaks["steps, -14 to -10"] = np.where(share < 0.5, _gain(-14), _gain(-10)) * echo
    leaks["steps, -20 to -8"] = np.where(share < 0.5, _gain(-20), _gain(-8)) * echo
    leaks["ramp"] = _gain(-24 + 16 * share) * echo
    leaks["new path"] = _gain(-12) * np.where(share < 0.5, echo, other_echo)
    leaks["canceller"] = _canceller(left) * echo
    flicker = np.random.default_rng(1).uniform(-40, -12, len(left) // 1600 + 1)
    leaks["flicker"] = _gain(np.repeat(flicker, 1600)[: len(left)]) * echo
    for name, leak in leaks.items():
        yield name.partition(",")[0], Changing(_stereo(left, right + leak), samples)
    one = _stereo(left, _levelled(right + _gain(-15) * echo))
    yield "agc on one side", Changing(one, _stereo(left, _levelled(right)))
    other_way = _late(_in_room(right, 0.25, 5), 60)
    both = _stereo(_levelled(left + _gain(-25) * other_way), _levelled(right + _gain(-25) * echo))
    yield "agc on both sides", Changing(both, _stereo(_levelled(left), _levelled(right)))
    for name, coded in (
        ("gsm", _gsm(echo)),
        ("opus", _opus(echo)),
        ("lost packets", _with_losses(echo)),
        ("drift of 200 ppm", _drifting(echo, 200)),
        ("drift of 1,000 ppm", _drifting(echo, 1000)),
    ):
        for part in (share >= 0.5, share < 0.3):
            yield f"parts through {name}", Changing(_stereo(left, right + _gain(-12) * coded * part), samples)


def _gain(level_db: Any) -> Any:
    return np.float32(10) ** (np.asarray(level_db, np.float32) / 20)


def _stereo(left: Samples, right: Samples) -> Samples:
    return np.clip(np.stack([left, right], axis=1), -1, 1).astype(np.float32)


def _late(source: Samples, milliseconds: float) -> Samples:
    return np.pad(source, (round(milliseconds * RATE / 1000), 0))[: len(source)]


def _in_room(source: Samples, seconds: float, seed: int) -> Samples:
    """A voice as it is heard in a room that falls by 60 dB in so many seconds."""
    n_taps = round(seconds * RATE)
    taps = np.random.default_rng(seed).standard_normal(n_taps) * np.exp(-np.arange(n_taps) / (n_taps / 6.9))
    taps[0] += 2
    taps /= np.sqrt(np.square(taps).sum())
    return np.asarray(fftconvolve(source, taps)[: len(source)], np.float32)


def _level(source: Samples, seconds: float) -> Samples:
    n_samples = round(seconds * RATE)
    power = fftconvolve(np.square(source, dtype=np.float64), np.full(n_samples, 1 / n_samples))[: len(source)]
    return np.asarray(np.sqrt(np.maximum(power, 0) + 1e-12), np.float32)


def _levelled(source: Samples) -> Samples:
    """A side behind an automatic gain of up to 20 dB."""
    return np.asarray(source * np.clip(0.08 / _level(source, 0.5), 1, 10), np.float32)


def _canceller(source: Samples) -> Samples:
    """The gain of what an echo canceller leaves: -10 dB in the first 0.4 s of each phrase, then -34."""
    gains = np.full(len(source), _gain(-34), np.float32)
    is_heard = _level(source, 0.05) > 0.01
    began = ended = -RATE
    for start in range(0, len(source), 160):
        if is_heard[start]:
            began = start if start - ended > RATE / 2 else began
            ended = start
            if start - began < 0.4 * RATE:
                gains[start : start + 160] = _gain(-10)
    return gains


def _gsm(source: Samples) -> Samples:
    file = io.BytesIO()
    narrow = soxr.resample(source, RATE, 8000).clip(-1, 1)
    soundfile.write(file, narrow, 8000, format="WAV", subtype="GSM610")
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    wide = soxr.resample(decoded, 8000, RATE)
    return np.asarray(np.pad(wide, (0, max(0, len(source) - len(wide))))[: len(source)], np.float32)


def _opus(source: Samples) -> Samples:
    """A side through Opus at 12 kb/s."""
    file = io.BytesIO()
    soundfile.write(file, source.clip(-1, 1), RATE, format="OGG", subtype="OPUS", compression_level=0.96)
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    return np.asarray(decoded, np.float32)


def _with_losses(source: Samples) -> Samples:
    """A side of which 2 % of the packets of 20 ms are lost."""
    lost = np.random.default_rng(2).random(len(source) // 320 + 1) < 0.02
    return np.where(np.repeat(lost, 320)[: len(source)], np.float32(0), source)


def _drifting(source: Samples, ppm: float) -> Samples:
    moments = np.arange(len(source))
    return np.asarray(np.interp(moments * (1 + ppm * 1e-6), moments, source, right=0), np.float32)


#: The most false seconds of a call on average and at worst, by the rows of `changing_leaks`.
CHANGING_GOALS = {
    "parts": (0.3, 1.0),
    "steps": (0.3, 1.0),
    "ramp": (0.3, 1.0),
    "new path": (0.3, 1.0),
    "canceller": (1.5, math.inf),
    "flicker": (1.0, math.inf),
    "agc on one side": (2.5, math.inf),
    "agc on both sides": (5.0, math.inf),
    "parts through gsm": (0.6, 2.0),
    "parts through opus": (0.6, 2.0),
    "parts through lost packets": (0.6, 2.0),
    "parts through drift of 200 ppm": (0.6, 2.0),
    "parts through drift of 1,000 ppm": (0.6, 2.0),
}


def changing(calls: Sequence[Path]) -> bool:
    """False and lost speech with leaks that begin, end and change."""
    met = True
    for group, paths in _groups(calls):
        differences: dict[str, list[Difference]] = {name: [] for name in CHANGING_GOALS}
        for path in paths:
            samples = sound_of(path)[: CHANGING_SECONDS * RATE]
            for name, case in changing_leaks(samples):
                without = found(case.without_leak, crosstalk=False)
                differences[name].append(difference(found(case.recording), without))
        for name, (mean, worst) in CHANGING_GOALS.items():
            false = [one.false for one in differences[name]]
            if not false:
                continue
            n_lost = sum(one.lost for one in differences[name])
            lost = _share(n_lost, sum(one.speech for one in differences[name]))
            is_met = np.mean(false) <= mean and max(false) <= worst and lost <= 3
            figure = f"{name}, {group}: false {np.mean(false):.2f} s a call, worst {max(false):.2f} s"
            figure += f"; own lost {lost:.2f} %"
            goal = f"{mean} s" if math.isinf(worst) else f"{mean}, {worst} s"
            met &= measured(figure, is_met, f"{goal}; 3 %")
    return met


#: By how many dB the left recorder is softer, and by how many milliseconds the right one is late.
RECORDERS = [
    *((softer, 0) for softer in (0, 4, 8, 12, 16)),
    *((0, late) for late in (-150, -15, -5, 5, 15, 150)),
    *((12, late) for late in (-150, -15, 15, 150)),
]


def recorders(calls: Sequence[Path]) -> bool:
    """False and lost speech where both voices leak at -8 dB and 4 ms, and recorders differ."""
    met = True
    for group, paths in _groups(calls):
        for softer, late in RECORDERS if paths else ():
            differences = []
            for path in paths:
                left, right = sound_of(path)[: CHANGING_SECONDS * RATE].T
                in_room = (left + _gain(-8) * _late(right, 4), right + _gain(-8) * _late(left, 4))
                recordings = []
                for left_side, right_side in (in_room, (left, right)):
                    left_recorded = _gain(-softer) * _late(left_side, max(0, -late))
                    recordings.append(_stereo(left_recorded, _late(right_side, max(0, late))))
                without_leak = found(recordings[1], crosstalk=False)
                differences.append(difference(found(recordings[0]), without_leak))
            worst = max(one.false for one in differences)
            lost = _share(sum(one.lost for one in differences), sum(one.speech for one in differences))
            case = f"left {softer} dB softer, right {late} ms late, {group}"
            figure = f"{case}: worst {worst:.2f} s; own lost {lost:.2f} %"
            met &= measured(figure, worst <= 2 and lost <= 2, "2 s; 2 %")
    return met


#: Samples of a question and of an answer of one word, and the pairs of voices.
QUESTION = 6400
ANSWER = 5600
PAIRS = 40


def answers(calls: Sequence[Path]) -> bool:
    """Answers of one word to short questions that are lost, without a leak and beside one."""
    words = []
    for path in calls:
        for side in (0, 1):
            spans = found(sound_of(path), crosstalk=False).masks[side]
            starts = np.flatnonzero(np.diff(np.pad(spans, 1).astype(int)) == 1)
            words += [
                (path, side, int(start) * RATE // FRAMES) for start in starts[:: max(1, len(starts) // 8)][:8]
            ]
    rng = np.random.default_rng(4)
    met = True
    n_lost = {"without a leak": 0, "beside a leak of -12 dB": 0}
    n_said = 0
    for _ in range(0, PAIRS, 8):
        path, side, _ = words[rng.integers(4 * 16)]  # of a bundled recording, which is long enough
        recording = np.zeros((40 * RATE, 2), np.float32)
        recording += rng.normal(0, 3e-4, recording.shape).astype(np.float32)
        recording[: 12 * RATE, 0] += sound_of(path)[: 12 * RATE, side]
        answered = []
        for pair in range(8):
            path, side, start = words[rng.integers(len(words))]
            asked = (14 + 3 * pair) * RATE
            recording[asked : asked + QUESTION, 0] += sound_of(path)[start : start + QUESTION, side]
            path, side, start = words[rng.integers(len(words))]
            first = asked + QUESTION + 800 * pair
            recording[first : first + ANSWER, 1] += sound_of(path)[start : start + ANSWER, side]
            answered.append(slice(first * FRAMES // RATE, (first + ANSWER) * FRAMES // RATE))
        without = found(recording, crosstalk=False).masks[1]
        echo = np.stack([np.zeros(len(recording)), _gain(-12) * _late(_in_room(recording[:, 0], 0.25, 3), 60)], 1)
        for title, heard in zip(n_lost, (found(recording), found(recording + np.float32(echo))), strict=True):
            for answer in answered:
                n_lost[title] += heard.masks[1][answer].sum() < 0.5 * without[answer].sum()
        n_said += sum(bool(without[answer].any()) for answer in answered)
    for title, count in n_lost.items():
        met &= measured(f"answers of one word, {title}: {count} of {n_said} lost", count == 0, "0")
    return met


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


def given(_: Sequence[Path]) -> bool:
    """Given words that are elsewhere than without the leak, and lines without a word; bundled recordings."""
    met = True
    for kind in ("canceller", "agc on both sides"):
        moved = without_word = n_words = 0
        for name, reference in measuring.references().items():
            samples = sound_of(measuring.EXAMPLES / f"{name}.flac")
            case = next(case for title, case in changing_leaks(samples) if title == kind)
            words = given_words(case.recording, reference["utterances"])
            expected = given_words(case.without_leak, reference["utterances"])
            n_words += len(expected)
            without_word += len([text for _, text, _ in words if not text])
            starts = {(channel, text): start for channel, text, start in words}
            moved += sum(
                abs(starts.get((channel, text), math.inf) - start) > 0.3 for channel, text, start in expected
            )
        figure = f"given words, {kind}: {moved} of {n_words} moved over 0.3 s; {without_word} lines without a word"
        met &= measured(figure, moved <= 5 and not without_word, "5; 0")
    return met


def given_words(recording: Samples, lines: Sequence[dict[str, Any]]) -> list[tuple[str, str, float]]:
    """Channel, text with its number in the channel, and start of each word; empty for a line without words."""
    batch = conversations(recording)
    columns = batch | columns_after(Segment(), batch) | {"cues": [[{"speaker": None, **line} for line in lines]]}
    columns |= columns_after(MatchTranscript(), columns)
    n_words = dict.fromkeys(CHANNELS, 0)
    words = []
    for channel, of_line, start in zip(
        columns["channel"][0], columns["given_words"][0], columns["start"][0], strict=True
    ):
        if not of_line:
            words.append((channel, "", start))
        for word in of_line or ():
            words.append((channel, f"{word['word']} {n_words[channel]}", word["start"]))
            n_words[channel] += 1
    return words


def replaced(_: Sequence[Path]) -> bool:
    """How much of the replaced voice is heard on the kept side: correlation at 0 to 0.15 s; bundled recordings."""
    correlations: dict[str, list[float]] = {"parts": [], "ramp": [], "canceller": []}
    with tempfile.TemporaryDirectory() as folder:
        recordings = Path(folder, "recordings")
        recordings.mkdir()
        for path in sorted(measuring.EXAMPLES.glob("*.flac")):
            for number, (kind, case) in enumerate(changing_leaks(sound_of(path))):
                if kind in correlations:
                    soundfile.write(recordings / f"{kind}_{number}_{path.stem}.wav", case.recording, RATE)
        options = ("--profile", "embedded", "--language", "en", "--tts", "shift", "--source-licence", "CC0-1.0")
        measuring.dailytalk("build", recordings, "--out", Path(folder, "work"), *options)
        for row in open_items(Path(folder, "work")).rows():
            built, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")
            kept = soxr.resample(built[:, 1], rate, RATE)
            voice = sound_of(recordings / f"{row['recording_id']}.wav")[:, 0]
            n_samples = min(len(kept), len(voice))
            products = correlate(kept[:n_samples], voice[:n_samples], "full", "fft")[n_samples - 1 :]
            loudest = float(np.abs(products[: round(0.15 * RATE)]).max())
            correlation = loudest / float(np.linalg.norm(kept[:n_samples]) * np.linalg.norm(voice[:n_samples]))
            correlations[row["recording_id"].partition("_")[0]].append(correlation)
    met = True
    for kind, of_kind in correlations.items():
        met &= measured(
            f"replaced voice, {kind}: correlation {max(of_kind):.3f} at most", max(of_kind) <= 0.05, "0.05"
        )
    return met


PARTS: dict[str, Callable[[Sequence[Path]], bool]] = {
    "one_way": one_way,
    "changing": changing,
    "recorders": recorders,
    "answers": answers,
    "given": given,
    "replaced": replaced,
    "clean": clean,
    "words": words,
}


def main() -> int:
    parser = measuring.data_parser(__doc__, optional=True)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=[*PARTS])
    chosen = parser.parse_args()
    paths = sorted(measuring.EXAMPLES.glob("*.flac"))
    if chosen.data:
        paths += measuring.calls(chosen.data) + measuring.english_calls(chosen.data)
        paths += sorted((chosen.data / "talk").glob("jmoshi_prompt-*.flac"))
    print(", ".join(path.stem for path in paths))
    met = [PARTS[name](paths) for name in chosen.only]
    return int(not all(met))


if __name__ == "__main__":
    sys.exit(main())
