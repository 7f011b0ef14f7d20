"""The columns of sound of a published conversation: a stereo `audio`, or a mono column for each side.

Plain `datasets` returns the mean of both people for a stereo column (huggingface/datasets#8005), so a version may
have a column for each side in its place. Readers of rows need both sides in one sound: `stereo_sound` returns it,
whichever columns a row has.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.record import AnyRecord
from dailytalk_contiguous.core.records.schema import AUDIO_COLUMN, CHANNELS, digest_column
from dailytalk_contiguous.core.sound.samples import HIGHEST_RATE, LOWEST_RATE, Pcm, encoded_sound
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.machine.audio import AudioStruct, embedded, read_header, read_pcm

#: The columns of sound that a version may have, by the value of `push --audio-columns`.
SOUND_LAYOUTS = {AUDIO_COLUMN: (AUDIO_COLUMN,), ",".join(CHANNELS): CHANNELS}

#: Bytes of the samples of one conversation that are held: two hours of stereo at 24 kHz.
MOST_PCM_BYTES = 700_000_000

#: Bytes of a sample: they are int16.
_SAMPLE_BYTES = 2

_REMEDY = "publish or build the dataset again"


def sound_columns(names: Collection[str]) -> tuple[str, ...]:
    """Return the columns of sound among these names: `audio`, or `left` and `right` in its place."""
    has_sides = all(side in names for side in CHANNELS)
    if has_sides and AUDIO_COLUMN not in names:
        return CHANNELS
    return (AUDIO_COLUMN,)


def stereo_sound(row: AnyRecord) -> AudioStruct:
    """Return the stereo sound of a row with columns of either kind, without the paths in it.

    Sides that can't be one sound raise BadInput where it is read.
    """
    if sound_columns(row) == CHANNELS:
        return JoinedSides(row["left"], row["right"])
    return embedded(row[AUDIO_COLUMN])


def changed_sounds(row: AnyRecord) -> list[str]:
    """Return the columns of sound whose bytes differ from their digest; without a digest none do."""
    changed = []
    for name in (AUDIO_COLUMN, *CHANNELS):
        if name in row and digest_column(name) in row:
            encoded = embedded(row[name])["bytes"] or b""
            if hashlib.sha256(encoded).hexdigest() != row[digest_column(name)]:
                changed.append(name)
    return changed


class JoinedSides(Mapping[str, Any]):
    """Encoded audio for `machine.audio`: FLAC of 16 bits, made of two mono sounds on the first access.

    Each side is a channel, sample for sample. `joined["bytes"]` raises BadInput if a side can't be decoded or is
    not mono, or if the sides differ in their rate or length.
    """

    def __init__(self, left: AudioStruct | None, right: AudioStruct | None) -> None:
        self._sides = {"left": embedded(left), "right": embedded(right)}

    def __getitem__(self, name: str) -> Any:
        if name == "bytes":
            return self._stereo
        if name == "path":
            return None
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(("bytes", "path"))

    def __len__(self) -> int:
        return 2

    @cached_property
    def _stereo(self) -> bytes:
        left = self._channel("left")
        right = self._channel("right")
        if left.sample_rate != right.sample_rate or len(left.pcm) != len(right.pcm):
            raise BadInput(
                f"its left side has {len(left.pcm):,} samples at {left.sample_rate} Hz, its right side "
                f"{len(right.pcm):,} at {right.sample_rate} Hz",
                _REMEDY,
            )
        pcm = np.concatenate([left.pcm, right.pcm], axis=1)
        return encoded_sound(pcm, left.sample_rate, "FLAC")

    def _channel(self, side: str) -> "_Channel":
        """Decode a side. Raises BadInput if it is not mono, has a rate out of range, or would fill memory."""
        audio = self._sides[side]
        try:
            header = read_header(audio)
            rate = header.sample_rate
            if header.channels != 1:
                raise BadInput(f"it has {counted(header.channels, 'channel')}, not 1", _REMEDY)
            if not LOWEST_RATE <= rate <= HIGHEST_RATE:
                raise BadInput(f"its rate is {rate} Hz, not {LOWEST_RATE} to {HIGHEST_RATE}", _REMEDY)
            stereo_bytes = _SAMPLE_BYTES * len(CHANNELS) * header.seconds * rate
            if stereo_bytes > MOST_PCM_BYTES:
                raise BadInput(
                    f"it has {header.seconds / 3600:.1f} h: with the other side {stereo_bytes / 1e6:,.0f} MB of "
                    f"samples, and at most {MOST_PCM_BYTES / 1e6:.0f} MB are read",
                    _REMEDY,
                )
            pcm = read_pcm(audio, duration=header.seconds, sample_rate=rate)
        except BadInput as problem:
            raise BadInput(f"its {side} side can't be used: {problem.reason}", problem.remedy) from None
        return _Channel(pcm, rate)


class _Channel(NamedTuple):
    """The samples of a side, int16, shape (n, 1), and their rate in Hz."""

    pcm: Pcm
    sample_rate: int
