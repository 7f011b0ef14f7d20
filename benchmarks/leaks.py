"""Whose voice it is: what leaks from one side of a call into the other, beside the same call without the leak.

    python benchmarks/leaks.py [FOLDER] [--only PART …]

Leaks are mixed into recordings that have none: the bundled ones, and calls in FOLDER (`spokenwoz`, `talk`). They
are plain, through mu-law at 8 kHz, or through a room of 50 ms. *False* is speech of a side that is none without
the leak, *lost* is speech that is not found any more. Limits were set on the calls of `SET_BY`, and are reported
on the others. Words are those of the recogniser of faster-whisper's `base`.
"""

import difflib
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import measuring
import numpy as np
import soundfile
import soxr
from audio_files import conversations
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from dailytalk_contiguous.core.records.measures import same_words
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.sound.crosstalk import separate_sides
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.core.words.word_times import normalise
from dailytalk_contiguous.stages.base import PerUtterance
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
        n_taps = RATE // 20
        taps = np.random.default_rng(0).standard_normal(n_taps) * np.exp(-np.arange(n_taps) / (n_taps / 6.9))
        taps[0] += 2
        taps /= np.sqrt(np.square(taps).sum())
        return np.asarray(fftconvolve(source, taps)[: len(source)], np.float32)
    return source


def found(recording: Samples, **options: Any) -> Found:
    """What Segment finds in a recording, shape (n, 2) at 16 kHz."""
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
    for path in calls:
        words = [
            Word(word["word"], word["start"], word["end"], side=word["speaker"]) for word in transcript(path, ())
        ]
        without.append(same_words(words))
    print("  same-words without a leak:", ", ".join(f"{share:.3f}" for share in without if share is not None))
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


PARTS: dict[str, Callable[[Sequence[Path]], bool]] = {
    "one_way": one_way,
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
