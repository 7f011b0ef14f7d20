"""Features of sounds on the disk, computed once: arrays of half precision by a digest of their source.

They are kept in packs of some megabytes, each a file of safetensors that is written whole or not at all, so that a
run that is killed continues after the last pack. Several trainings may share a folder.
"""

import hashlib
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.store.files import write_bytes

#: Bytes of a pack, about: the most that a killed run loses.
PACK_BYTES = 32 << 20

#: Sounds of one call, and samples of them: enough for every core, and few in memory.
MOST_SOUNDS, MOST_SAMPLES = 64, 64 * 16_000 * 10


class FeatureStore:
    """Features in a folder. Raises DailytalkError once they would take more than `most_bytes`.

    Args:
        name: of their computation, with everything that affects it; part of each digest.
        remedy: for features that take too much room, or are no numbers.
    """

    def __init__(self, folder: Path, name: str, most_bytes: float, remedy: str) -> None:
        self._folder, self._name, self._most_bytes, self._remedy = folder, name, most_bytes, remedy
        self._bytes = 0
        self._places: dict[str, Any] = {}
        self._waiting: dict[str, NDArray[np.float16]] = {}
        for path in sorted(folder.glob("features-*.safetensors")) if folder.is_dir() else ():
            self._open(path)

    def keys(
        self,
        sounds: Iterable[Samples],
        compute: Callable[[list[Samples]], Sequence[NDArray[Any]]],
    ) -> list[str]:
        """The key of each sound's features, which are computed and kept if they are missing."""
        keys: list[str] = []
        missing: dict[str, Samples] = {}

        def settle() -> None:
            for key, features in zip(missing, compute([*missing.values()]) if missing else (), strict=True):
                self._keep(key, features)
            missing.clear()

        for sound in sounds:
            interrupts.check_interrupt()
            digest = hashlib.sha256(self._name.encode())
            digest.update(np.ascontiguousarray(sound, "<f4").tobytes())
            keys.append(key := digest.hexdigest()[:40])
            if key not in self._places and key not in self._waiting:
                missing[key] = sound
            if len(missing) >= MOST_SOUNDS or sum(map(len, missing.values())) >= MOST_SAMPLES:
                settle()
        settle()
        self._write()
        return keys

    def __getitem__(self, key: str) -> NDArray[np.float16]:
        features: NDArray[np.float16] = self._places[key].get_tensor(key)
        return features

    def shape(self, key: str) -> tuple[int, ...]:
        return tuple(self._places[key].get_slice(key).get_shape())

    def _keep(self, key: str, features: NDArray[Any]) -> None:
        with np.errstate(over="ignore"):
            self._waiting[key] = half = np.ascontiguousarray(features, np.float16)
        if not np.isfinite(half).all():
            raise DailytalkError("features of an utterance are no numbers", self._remedy)
        self._bytes += half.nbytes
        if self._bytes > self._most_bytes:
            raise DailytalkError(
                f"the features of the utterances take more than {self._most_bytes / 1e9:g} GB in "
                f"{as_text(self._folder)!r}",
                self._remedy,
            )
        if sum(array.nbytes for array in self._waiting.values()) >= PACK_BYTES:
            self._write()

    def _write(self) -> None:
        if self._waiting:
            path = self._folder / f"features-{uuid.uuid4().hex[:12]}.safetensors"
            write_bytes(path, save(self._waiting))
            self._bytes -= sum(array.nbytes for array in self._waiting.values())
            self._waiting.clear()
            self._open(path)

    def _open(self, path: Path) -> None:
        try:
            file: Any = safe_open(path, "numpy")
            keys = file.keys()
        except (SafetensorError, OSError):  # damaged: its features are computed again
            path.unlink(missing_ok=True)
            return
        self._bytes += path.stat().st_size
        self._places |= dict.fromkeys(keys, file)
