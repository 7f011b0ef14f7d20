"""Recordings that are made of others: of two files, two channels of several, two tracks, or sides out of step.

Each is made once, in the user's cache folder, as the FLAC that every reader then takes for the recording: samples
of up to 24 bits are unchanged.
"""

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from dailytalk_contiguous.core.documents import printable_path, quoted
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.record import LackingSound, SideShift
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.sound.samples import HIGHEST_RATE, LOWEST_RATE, SILENT, Samples, to_pcm
from dailytalk_contiguous.core.sound.side_shift import later_side
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.machine import audio
from dailytalk_contiguous.machine.resources import cache_folder
from dailytalk_contiguous.sources.recordings.pairs import ALWAYS_APART, MOST_APART, Pair
from dailytalk_contiguous.sources.recordings.recording_files import stamp_of
from dailytalk_contiguous.store.files import Disk, replacing


def put_together(pair: Pair, name: str) -> Path:
    """Return the recording that both sides make, a stereo FLAC called `name` in the user's cache folder.

    It is at the higher rate of the two, with 24 bits where one of them has more than 16. Where it is known when
    the sides begin, silence is put before the later one; the side that ends first ends in silence.

    Raises BadInput, naming the side, if one is missing or can't be used, and if their lengths or their starts show
    that they are not of one recording.
    """
    if pair.left is None or pair.right is None:
        missing = "left" if pair.left is None else "right"
        raise BadInput(
            f"{_name(pair.files[0])} is one side of it, but its {missing} side is missing",
            f"put the {missing} side beside it, or run dailytalk tag --channel mix to take it as one speaker",
        )
    left = _header_of(pair.left, "left")
    right = _header_of(pair.right, "right")
    names = f"{_name(pair.left)} and {_name(pair.right)}"
    waits = waits_of(pair)
    apart = max(waits.values())
    if waits["left"] >= right.seconds or waits["right"] >= left.seconds:
        raise BadInput(
            f"its sides {names} begin {apart:,.1f} s apart, so that one begins after the other has ended",
            "give the starts of both on one clock, in seconds, or rename them if they are not of one recording",
        )
    longer = max(left.seconds, right.seconds)
    if not pair.starts and abs(left.seconds - right.seconds) > max(ALWAYS_APART, MOST_APART * longer):
        raise BadInput(
            f"its sides {names} last {left.seconds:.1f} and {right.seconds:.1f} s",
            "export both sides over the same time, give their starts (--pairs TABLE.csv), or rename them if they "
            "are not sides of one recording",
        )
    facts = [_fact(path) for path in pair.files]
    if apart:
        facts.append(repr((waits["left"], waits["right"])))
    target = _target("pairs", facts, name)
    if not target.is_file():
        rate = max(left.sample_rate, right.sample_rate)
        is_fine = any(audio.has_over_16_bits(audio.audio_at(path)) for path in pair.files)
        both = []
        for path, wait in zip(pair.files, waits.values(), strict=True):
            mono = (block[:, 0] for block in audio.blocks_at(audio.audio_at(path), rate))
            both.append(_after_silence(mono, round(wait * rate)))
        _write(target, _together(both[0], both[1]), rate, is_fine)
    return target


def waits_of(pair: Pair) -> dict[str, float]:
    """Seconds of silence before the file of each channel, where it is known when they begin."""
    if pair.starts is None:
        return dict.fromkeys(CHANNELS, 0.0)
    first = min(pair.starts)
    return {channel: start - first for channel, start in zip(CHANNELS, pair.starts, strict=True)}


#: Samples of silence that are written at a time.
_SILENCE_BLOCK = 1_000_000


def _after_silence(blocks: Iterator[Samples], length: int) -> Iterator[Samples]:
    """Blocks of one channel after so many samples of silence."""
    while length > 0:
        part = min(length, _SILENCE_BLOCK)
        yield np.zeros(part, np.float32)
        length -= part
    yield from blocks


def take_channels(path: Path, channels: tuple[int, int]) -> Path:
    """Return the recording that two channels of a file make, in the cache under the file's own name.

    It is FLAC whatever its name ends in: readers look at what a file holds.

    Args:
        path: a recording with more channels.
        channels: the numbers of the left and of the right one, from 1.

    Raises BadInput if the file has no such channels or can't be read.
    """
    recording = audio.audio_at(path)
    info = audio.read_header(recording)
    if max(channels) > info.channels:
        raise BadInput(
            f"it has {counted(info.channels, 'channel')}, and --sides names channel {max(channels)}",
            "name channels that it has, or take it in a run without --sides",
        )
    target = _target("sides", [_fact(path), repr(channels)], path.name)
    if not target.is_file():
        is_fine = audio.has_over_16_bits(recording)
        columns = [number - 1 for number in channels]
        blocks = (block[:, columns] for block in audio.blocks(recording))
        _write(target, blocks, info.sample_rate, is_fine)
    return target


def channels_with_sound(path: Path) -> list[int]:
    """Return the numbers of the channels of a file that hold any sound, from 1.

    Raises BadInput as `blocks` does.
    """
    recording = audio.audio_at(path)
    energy: NDArray[np.float64] = np.zeros(audio.read_header(recording).channels)
    length = 0
    for block in audio.blocks(recording):
        energy += np.square(block, dtype=np.float64).sum(axis=0)
        length += len(block)
    is_heard = energy > SILENT * length
    return [number for number, heard in enumerate(is_heard.tolist(), 1) if heard]


def take_tracks(path: Path, numbers: tuple[int, int]) -> Path:
    """Join two audio tracks of a container into a recording, which is in the cache under the file's own name.

    The channels of a track are averaged. A track that begins after the film, or lacks packets, has silence there.

    Args:
        path: a video or another container.
        numbers: the numbers of the left and of the right track, from 1.

    Raises BadInput if the file has no such tracks or can't be read.
    """
    container = audio.audio_at(path)
    tracks = audio.tracks(container)
    if max(numbers) > len(tracks):
        n_tracks = counted(max(1, len(tracks)), "audio track")
        raise BadInput(
            f"it has {n_tracks}, and --tracks names track {max(numbers)}",
            "name tracks that it has, or take it in a run without --tracks",
        )
    left = tracks[numbers[0] - 1]
    right = tracks[numbers[1] - 1]
    target = _target("tracks", [_fact(path), repr(numbers)], path.name)
    if not target.is_file():
        rate = max(left.sample_rate, right.sample_rate)
        both = [audio.track_at(container, number - 1, rate) for number in numbers]
        _write(target, _together(both[0], both[1]), rate, is_fine=False)
    return target


def put_in_step(path: Path, shift: SideShift, name: str) -> Path:
    """Return the recording with both sides on one clock, a FLAC called `name` in the user's cache folder.

    Where the clocks drift, the left side is resampled to the clock of the right one. Silence takes the place of
    sound that a side lacks, and is put before the earlier side. The file has the rate of the recording, and 24
    bits where that has more than 16. Raises BadInput if the recording can't be read.
    """
    mended = json.dumps([shift["seconds"], shift["drift_ppm"], shift["lacking"]], sort_keys=True)
    target = _target("aligned", [_fact(path), mended], name)
    if not target.is_file():
        recording = audio.audio_at(path)
        rate = audio.read_header(recording).sample_rate
        sides: dict[str, Iterator[Samples]] = {
            "left": (block[:, 0] for block in audio.blocks(recording)),
            "right": (block[:, 1] for block in audio.blocks(recording)),
        }
        if shift["drift_ppm"]:
            stretch = 1 + shift["drift_ppm"] / 1e6
            sides["left"] = audio.resampled(sides["left"], rate, rate * stretch)
        for channel, blocks in sides.items():
            pieces = [piece for piece in shift["lacking"] if piece["channel"] == channel]
            sides[channel] = _with_silences(blocks, pieces, rate)
        earlier = "right" if later_side(shift["seconds"]) == "left" else "left"
        sides[earlier] = _after_silence(sides[earlier], round(abs(shift["seconds"]) * rate))
        together = _together(sides["left"], sides["right"])
        _write(target, together, rate, audio.has_over_16_bits(recording))
    return target


def _with_silences(blocks: Iterator[Samples], pieces: Sequence[LackingSound], rate: int) -> Iterator[Samples]:
    """Yield the blocks of a side, with silence where it lacks sound."""
    waiting = deque(sorted((round(piece["start"] * rate), round(piece["seconds"] * rate)) for piece in pieces))
    n_before = 0
    for block in blocks:
        done = 0
        while waiting and waiting[0][0] <= n_before + len(block):
            start, length = waiting.popleft()
            upto = max(done, start - n_before)
            yield block[done:upto]
            yield np.zeros(length, np.float32)
            done = upto
        yield block[done:]
        n_before += len(block)


def _fact(path: Path) -> str:
    """Return a text that changes whenever a file does."""
    return f"{os.fsencode(path.absolute())!r} {stamp_of(path)}"


def _target(folder: str, facts: Sequence[str], name: str) -> Path:
    key = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:20]
    return cache_folder() / folder / key / name


def _header_of(path: Path, channel: str) -> audio.AudioHeader:
    try:
        info = audio.read_header(audio.audio_at(path))
    except BadInput as error:
        raise BadInput(f"its {channel} side {_name(path)}: {error.reason}", error.remedy) from None
    is_mono = info.seconds > 0 and info.channels == 1
    if not is_mono or not LOWEST_RATE <= info.sample_rate <= HIGHEST_RATE:
        facts = f"{info.seconds:g} s, {info.channels} channels, {info.sample_rate} Hz"
        raise BadInput(
            f"its {channel} side {_name(path)} is not a usable mono recording ({facts})",
            f"export it again with one channel at {LOWEST_RATE} to {HIGHEST_RATE} Hz",
        )
    return info


def _write(target: Path, blocks: Iterator[Samples], rate: int, is_fine: bool) -> None:
    """Write blocks of shape (n, 2) as a FLAC of 16 bits, or of 24 where they have more."""
    subtype = "PCM_24" if is_fine else "PCM_16"
    with (
        replacing(target) as file,
        Disk(file) as disk,
        soundfile.SoundFile(disk, "w", rate, 2, subtype, format="FLAC") as flac,
    ):
        for block in blocks:
            flac.write(block if is_fine else to_pcm(block))  # soundfile clips floats
            disk.check()


def _together(left: Iterator[Samples], right: Iterator[Samples]) -> Iterator[Samples]:
    """Yield both sides as blocks of shape (n, 2), with silence after the end of the shorter one."""
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
        silence = np.zeros(n_samples, np.float32)
        padded = [block[:n_samples] if len(block) else silence for block in held]
        yield np.stack(padded, axis=1)
        held = [block[n_samples:] for block in held]


def _name(path: Path) -> str:
    return quoted(printable_path(path.name))
