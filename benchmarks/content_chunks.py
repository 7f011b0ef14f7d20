"""Content-defined chunks of a file, as a store that keeps each chunk once would cut it.

A gear hash over 64 bytes with a mask of its 16 highest bits: chunks of 64 KiB in the mean, at least 8 and at most
128 KiB, which are the sizes that Xet tells of itself (https://huggingface.co/docs/xet/chunking). The table of the
hash is our own, so that chunks differ from Xet's in place but not in number.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LEAST, MOST = 8 * 1024, 128 * 1024
_MASK = np.uint64(0xFFFF << 48)
_WINDOW = 64
_BLOCK = 4 << 20
_GEAR = np.random.default_rng(1).integers(0, 2**64, 256, np.uint64)


def chunks(path: Path) -> Iterator[tuple[bytes, int]]:
    """Digest and number of bytes of each chunk of a file, in order."""
    data = np.fromfile(path, np.uint8)
    start = 0
    for border in [*_borders(data), len(data)]:
        while border - start > MOST:
            yield _chunk(data[start : start + MOST])
            start += MOST
        if border - start >= LEAST or (border == len(data) and border > start):
            yield _chunk(data[start:border])
            start = border


def _borders(data: NDArray[np.uint8]) -> Iterator[int]:
    """Places behind which the hash of the last 64 bytes says that a chunk ends."""
    for begin in range(0, len(data), _BLOCK):
        before = min(begin, _WINDOW)
        hashes = _GEAR[data[begin - before : begin + _BLOCK]]
        width = 1
        while width < _WINDOW:  # the hash of 2n bytes from those of n and n
            hashes[width:] += hashes[:-width] << np.uint64(width)
            width *= 2
        yield from (np.flatnonzero((hashes[before:] & _MASK) == 0) + begin + 1).tolist()


def _chunk(data: NDArray[np.uint8]) -> tuple[bytes, int]:
    return hashlib.blake2b(data.tobytes(), digest_size=16).digest(), len(data)
