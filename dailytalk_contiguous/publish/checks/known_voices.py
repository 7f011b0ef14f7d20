"""The vectors of voices that were heard already, kept in the cache: `check`, and a push after it, hear them once.

The vectors of a conversation are kept under a digest of its audio, of the stretches that were heard, and of the
code of this package.
"""

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.machine.resources import cache_folder, code_digest
from dailytalk_contiguous.store.files import inside, write_bytes

if TYPE_CHECKING:
    from dailytalk_contiguous.models.speaker_encoder import SpeakerEncoder

#: Starts and ends in seconds of the stretches of each half of a side's speech.
Halves: TypeAlias = Sequence[Sequence[tuple[float, float]]]


class HeardSide(NamedTuple):
    """The voice of a side, as an encoder hears it.

    Attributes:
        vectors: unit vectors of its halves, or of all of it, float32, shape (2, n) or (1, n).
        seconds: length of its speech.
    """

    vectors: NDArray[np.float32]
    seconds: float


class KnownVoices:
    """The cache of voices that an encoder heard before; one that is damaged, or can't be written, is empty."""

    def __init__(self, encoder: "SpeakerEncoder") -> None:
        self.encoder = encoder
        self._folder = cache_folder() / "voices"
        self._code = code_digest()

    def key(self, audio: bytes, halves: Mapping[str, Halves]) -> str:
        """Return the digest of what is heard: encoded audio, and the stretches of each channel."""
        digest = hashlib.sha256(audio)
        digest.update(f"{self._code}\0{sorted(halves.items())}".encode())
        return digest.hexdigest()[:32]

    def sides(self, key: str) -> dict[str, HeardSide] | None:
        """Return what was heard of each channel; None if it was never heard."""
        sides = dict[str, HeardSide]()
        try:
            path = inside(self._folder, self._name(key))
            with np.load(path, allow_pickle=False) as arrays:
                for channel in CHANNELS:
                    if channel in arrays:
                        seconds = float(arrays[f"{channel}_seconds"])
                        sides[channel] = HeardSide(arrays[channel], seconds)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return sides

    def keep(self, key: str, sides: Mapping[str, HeardSide]) -> None:
        """Keep what was heard of each channel."""
        arrays = dict[str, NDArray[np.float32]]()
        for channel, side in sides.items():
            arrays[channel] = side.vectors
            arrays[f"{channel}_seconds"] = np.array(side.seconds)
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **arrays)
        with suppress(OSError):
            write_bytes(self._folder / self._name(key), content.getvalue())

    def _name(self, key: str) -> Path:
        return Path(key[:2], f"{key}.npz")
