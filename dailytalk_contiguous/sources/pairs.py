"""Recordings with a file for each speaker: `talk.left.mp3` and `talk.right.mp3` are the two channels of `talk`.

Which files belong together is told by their names and by their headers: two stereo files of such names are two
recordings. The two are put together once, in the user's cache folder, as the FLAC that every reader then takes for
the recording: samples of up to 24 bits are the same, and what was shorter ends in silence.
"""

import hashlib
import os
import re
import stat
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile
import soxr

from dailytalk_contiguous.core.audio import (
    HIGHEST_RATE,
    LOWEST_RATE,
    Probe,
    Samples,
    blocks,
    probe,
    to_pcm,
    to_uri,
)
from dailytalk_contiguous.core.documents import shown
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.machine import cache_folder
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.files.writing import write_atomically

#: How names end that mean the left and the right side of one recording, after a dot, `_`, `-` or a space.
SIDES = (("left", "right"), ("l", "r"), ("a", "b"), ("1", "2"), ("ch0", "ch1"), ("ch1", "ch2"))

#: Sides may differ in length by this share of the longer one, and always by so many seconds: tracks of one call
#: end within a second of each other; two takes do not.
MOST_APART, ALWAYS_APART = 0.1, 1.0

#: What an ending is that counts parts, takes or tracks; if there are three of them, none is a side.
_COUNTED = re.compile(r"(.+)[._ -](left|right|[a-z]|ch\d{1,2}|\d{1,3})", re.IGNORECASE | re.DOTALL)

#: Of the recording that two files make.
_SUFFIX = ".flac"

#: Subtypes of libsndfile of which 16 bits are not all.
_FINE = frozenset({"PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAC_20", "ALAC_24", "ALAC_32"})


def common_name(stem: str) -> str | None:
    """What both files of a pair are called, if one of this stem may be a side of it: `talk` of `talk.left`."""
    match = _COUNTED.fullmatch(stem)
    return match[1] if match else None


class Pair(NamedTuple):
    """The files of one recording by channel; one of them is None where that side is not there."""

    left: Path | None
    right: Path | None

    @property
    def there(self) -> tuple[Path, ...]:
        """The sides that are there, the left one first."""
        return tuple(path for path in (self.left, self.right) if path)


def pairs(
    recordings: Mapping[Path, Path], channels: Callable[[Path], int | None] | None = None
) -> dict[Path, tuple[Pair, tuple[Path, ...]]]:
    """The recordings that have a file for each side, by the name that they get, each with the names it replaces.

    A side whose other one is missing is one too if its name says left or right. Nothing is put together where a
    third file is counted on, where one is not mono, and where there is a recording of the pair's own name.

    Args:
        recordings: where each file is, by its path under the input.
        channels: how many channels a file has, None where it can't be told; by default from its header.
    """
    count = channels or channels_of
    names: defaultdict[Path, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    taken = {relative.with_suffix("") for relative in recordings}
    for relative in recordings:
        if match := _COUNTED.fullmatch(relative.stem):
            names[relative.with_name(match[1])][match[2].lower()].append(relative)
    found: dict[Path, tuple[Pair, tuple[Path, ...]]] = {}
    for base, endings in names.items():
        if base in taken or any(len(same) > 1 for same in endings.values()):
            continue
        whole = next((sides for sides in SIDES if set(sides) == set(endings)), None)
        if not whole and set(endings) not in ({"left"}, {"right"}):
            continue
        files = {ending: recordings[same[0]] for ending, same in endings.items()}
        counts = {count(path) for path in files.values()}
        if 1 not in counts or counts - {1, None}:
            continue
        pair = Pair(*(files.get(ending) for ending in whole or CHANNELS))
        found[base.with_name(base.name + _SUFFIX)] = pair, tuple(same[0] for same in endings.values())
    return found


def channels_of(path: Path) -> int | None:
    """How many channels a file has, by its header; None for what can't be read."""
    with suppress(BadInput, OSError):
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        try:
            with soundfile.SoundFile(os.fsencode(path)) as file:
                return int(file.channels)
        except soundfile.LibsndfileError:
            return probe(_audio(path)).channels
    return None


def put_together(pair: Pair, name: str) -> Path:
    """The recording that both sides make, a stereo FLAC called `name` in the user's cache folder.

    It is at the higher rate of the two, with 24 bits where one of them has more than 16.

    Raises BadInput, naming the side, if one is missing or can't be used, and if their lengths tell that they are
    not of one recording.
    """
    if pair.left is None or pair.right is None:
        missing = CHANNELS[pair.left is not None]
        raise BadInput(
            f"{_name(pair.there[0])} is one side of it, and its {missing} side is not there",
            f"put the {missing} side beside it, or pass --channel mix to take it as one speaker",
        )
    sides = {channel: _probed(path, channel) for channel, path in zip(CHANNELS, pair.there, strict=True)}
    left, right = (info.seconds for info in sides.values())
    if abs(left - right) > max(ALWAYS_APART, MOST_APART * max(left, right)):
        raise BadInput(
            f"its sides {_name(pair.left)} and {_name(pair.right)} last {left:.1f} and {right:.1f} s",
            "export both sides over the same time, or rename them if they are no sides of one recording",
        )
    target = cache_folder() / "pairs" / _key(pair) / name
    if not target.is_file():
        rate = max(info.sample_rate for info in sides.values())
        write_atomically(target, partial(_write, pair=pair, rate=rate))
    return target


def _probed(path: Path, channel: str) -> Probe:
    try:
        info = probe(_audio(path))
    except BadInput as error:
        raise BadInput(f"its {channel} side {_name(path)}: {error.reason}", error.remedy) from None
    if not info.seconds or info.channels != 1 or not LOWEST_RATE <= info.sample_rate <= HIGHEST_RATE:
        what = f"{info.seconds:g} s, {info.channels} channels, {info.sample_rate} Hz"
        raise BadInput(
            f"its {channel} side {_name(path)} is no mono recording that can be used ({what})",
            f"export it again with one channel at {LOWEST_RATE} to {HIGHEST_RATE} Hz",
        )
    return info


def _key(pair: Pair) -> str:
    """Another one for other files: their paths, sizes and dates."""
    stats = [(path.absolute(), path.stat()) for path in pair.there]
    told = [f"{os.fsencode(path)!r} {status.st_size} {status.st_mtime_ns}" for path, status in stats]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:20]


def _write(file: BinaryIO, pair: Pair, rate: int) -> None:
    fine = any(_is_fine(path) for path in pair.there)
    with soundfile.SoundFile(file, "w", rate, 2, "PCM_24" if fine else "PCM_16", format="FLAC") as flac:
        for both in _together(*(_at(path, rate) for path in pair.there)):
            flac.write(both if fine else to_pcm(both))  # soundfile clips floats


def _is_fine(path: Path) -> bool:
    try:
        return soundfile.info(os.fsencode(path)).subtype in _FINE
    except soundfile.LibsndfileError:
        return False


def _at(path: Path, rate: int) -> Iterator[Samples]:
    """The samples of a mono file at a rate in Hz, shape (n,), block by block."""
    info = probe(_audio(path))
    if info.sample_rate == rate:
        yield from (block[:, 0] for block in blocks(_audio(path)))
        return
    resampler = soxr.ResampleStream(info.sample_rate, rate, 1, dtype="float32")
    for block in blocks(_audio(path)):
        yield resampler.resample_chunk(block[:, 0])
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def _together(left: Iterator[Samples], right: Iterator[Samples]) -> Iterator[Samples]:
    """Both sides as blocks of shape (n, 2), with silence after the end of the shorter one."""
    nothing = np.zeros(0, np.float32)
    held = [nothing, nothing]
    ended = [False, False]
    while True:
        for side, stream in enumerate((left, right)):
            while not len(held[side]) and not ended[side]:
                block = next(stream, None)
                ended[side] = block is None
                held[side] = nothing if block is None else block
        lengths = [len(block) for block in held]
        n_samples = min(filter(None, lengths), default=0)
        if not n_samples:
            return
        padded = [block[:n_samples] if len(block) else np.zeros(n_samples, np.float32) for block in held]
        yield np.stack(padded, axis=1)
        held = [block[n_samples:] for block in held]


def _name(path: Path) -> str:
    return f"'{shown(Path(path.name))}'"


def _audio(path: Path) -> dict[str, str | None]:
    return {"bytes": None, "path": to_uri(path.absolute())}
