"""Cache of bought speech, in files named by everything that decides how it sounds.

It is in the user's cache folder, not beside the results, so that it outlives them. An entry is a FLAC file
and, written after it, a JSON file; it counts only when both exist, so a kill leaves a whole entry or none.
Locks are `flock`s, which end with their process, so that a crash leaves none behind.
"""

import contextlib
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.machine import cache_folder, private_folder
from dailytalk_contiguous.core.own_file import code_version
from dailytalk_contiguous.core.word_times import Word
from dailytalk_contiguous.models import contracts
from dailytalk_contiguous.store.files import write_bytes

#: Bytes that the disk must have left before anything is bought: over ten minutes of speech.
LEAST_FREE_BYTES = 32 << 20

#: What reading the two files of an entry raises where they were changed.
_UNREADABLE = (ValueError, KeyError, TypeError, OverflowError, RecursionError, soundfile.LibsndfileError)

#: The verdict of a person or a later check on an entry, as JSON.
_Verdict = Mapping[str, Any]


class CacheEntry(NamedTuple):
    """A take that was bought, the receipt of its purchase, and its verdict (None: not judged yet)."""

    spoken: contracts.Spoken
    receipt: dict[str, Any]
    verdict: dict[str, Any] | None


def default_folder() -> Path:
    return cache_folder() / "speech"


def cache_key(
    synthesiser: contracts.Synthesiser, line: contracts.Line, samples: Sequence[contracts.VoiceSample] = ()
) -> str:
    """Hex SHA-256 of everything that decides how a line sounds, and of its take.

    The version of an engine that speaks on this machine counts, or the file of a person's own; what a server has
    said is never bought again because code changed.
    """
    kind = type(synthesiser)
    code = f"{kind.__qualname__} {code_version(kind, synthesiser.version)}"
    parts = {
        **({} if synthesiser.server else {"code": code}),
        "engine": synthesiser.engine,
        "model": synthesiser.model,
        "voice": synthesiser.voice,
        "settings": synthesiser.settings(),
        "samples": [[hashlib.sha256(sample.wav).hexdigest(), sample.text] for sample in samples],
        "text": line.text,
        "tag": line.tag,
        "language": line.language,
        "take": line.take,
        **({} if line.rate is None else {"rate": line.rate}),
    }
    canonical = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


class SpeechCache:
    """The cache in one folder. Any number of threads and processes may use it at once.

    Every method raises DailytalkError where the disk can't do what it should.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()

    def get(self, key: str) -> CacheEntry | None:
        """The entry, if both of its files exist. Raises DailytalkError if they do not belong together."""
        audio, notes = self._files(key)
        with self._disk():
            try:
                note = notes.read_bytes()
                encoded = audio.read_bytes()
            except FileNotFoundError:
                return None
        try:
            record = json.loads(note)
            if hashlib.sha256(encoded).hexdigest() != record["flac_sha256"]:
                raise ValueError("another file than was written")
            samples, sample_rate = soundfile.read(io.BytesIO(encoded), dtype="float32")
            words = None if record["words"] is None else [Word(*word) for word in record["words"]]
            spoken = contracts.Spoken(samples, int(sample_rate), words, float(record["receipt"]["cost"]))
            return CacheEntry(spoken, record["receipt"], record["verdict"])
        except _UNREADABLE:
            raise _damaged(audio, notes) from None

    def verdict(self, key: str) -> tuple[bool, _Verdict | None]:
        """Whether both files of an entry exist, and the verdict on it. Its sound is not read.

        Raises DailytalkError for an entry whose notes are damaged.
        """
        audio, notes = self._files(key)
        with self._disk():
            try:
                audio.stat()
                note = notes.read_bytes()
            except FileNotFoundError:
                return False, None
        try:
            return True, json.loads(note)["verdict"]
        except _UNREADABLE:
            raise _damaged(audio, notes) from None

    def put(self, key: str, spoken: contracts.Spoken) -> CacheEntry:
        """Keep what was bought, at least one sample: 16 bits where that loses nothing, otherwise 24.

        Call it inside `buying`. Returns the entry as `get` gives it from now on.
        """
        audio, notes = self._files(key)
        encoded, samples = _encoded(spoken.samples, spoken.sample_rate)
        record: dict[str, Any] = {
            "flac_sha256": hashlib.sha256(encoded).hexdigest(),
            "words": None if spoken.words is None else [list(word) for word in spoken.words],
            "receipt": {"cost": spoken.cost, "time": datetime.now(UTC).isoformat(timespec="seconds")},
            "verdict": None,
        }
        with self._disk():
            private_folder(self.folder)
            write_bytes(audio, encoded)
            write_bytes(notes, _json(record))
        return CacheEntry(spoken._replace(samples=samples), record["receipt"], None)

    def set_verdict(self, key: str, verdict: _Verdict) -> None:
        """Write down what was thought of an entry, in place of any earlier verdict. Raises KeyError if none is."""
        _, notes = self._files(key)
        with self._disk():
            try:
                record = json.loads(notes.read_bytes())
            except FileNotFoundError:
                raise KeyError(key) from None
            write_bytes(notes, _json({**record, "verdict": dict(verdict)}))

    @contextlib.contextmanager
    def buying(self, key: str) -> Iterator[None]:
        """Hold the right to buy an entry; another thread or process waits here and should then `get` it first.

        Raises DailytalkError, before any money is spent, if the disk has no room for what would be bought.
        """
        import fcntl  # here, so that the rest of the package loads where there is none

        with self._disk():
            path = self.folder / key[:2] / f"{key}.lock"
            private_folder(self.folder)
            path.parent.mkdir(exist_ok=True)
            if shutil.disk_usage(path.parent).free < LEAST_FREE_BYTES:
                raise DailytalkError(
                    f"the disk of {self.folder} has less than {LEAST_FREE_BYTES >> 20} MiB left",
                    "make room before anything is bought, or name another folder with --cache",
                )
            while True:
                lock = path.open("ab")
                fcntl.flock(lock, fcntl.LOCK_EX)
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                        break
                lock.close()  # who held it before has removed this file: the lock that counts is a newer one
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            lock.close()

    def _files(self, key: str) -> tuple[Path, Path]:
        folder = self.folder / key[:2]
        return folder / f"{key}.flac", folder / f"{key}.json"

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DailytalkError(
                f"the cache {self.folder} can't be used ({error.strerror})",
                "make room there, or name another folder with --cache or DAILYTALK_CACHE",
            ) from error


def _encoded(samples: NDArray[np.float32], sample_rate: int) -> tuple[bytes, NDArray[np.float32]]:
    """A FLAC file, and the samples that will be read from it."""
    scaled = samples * np.float32(32768.0)
    bits = 16 if scaled.max() <= 32767 and (scaled == np.rint(scaled)).all() else 24
    # As integers: libsndfile scales floats by 32767 on their way in, and by 32768 on their way out.
    limit = np.float32(2.0 ** (bits - 1))
    whole = np.clip(np.rint(samples * limit), -limit, limit - 1)
    integers = whole.astype(np.int16) if bits == 16 else whole.astype(np.int32) << 8
    file = io.BytesIO()
    soundfile.write(file, integers, sample_rate, format="FLAC", subtype=f"PCM_{bits}")
    return file.getvalue(), whole / limit


def _damaged(audio: Path, notes: Path) -> DailytalkError:
    remedy = f"delete it and {notes.name}: it is bought again then"
    return DailytalkError(f"the cached speech {audio} is damaged", remedy)


def _json(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, indent=1).encode()
