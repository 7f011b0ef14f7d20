"""Cache of bought speech, in files named by everything that decides how it sounds.

It is in the user's cache folder, not beside the results, so that it outlives them. An entry is a FLAC file
and, written after it, a JSON file; it counts only when both exist, so a kill leaves a whole entry or none.
Locks are those of the operating system, which end with their process, so that a crash locks nobody out.
"""

import contextlib
import hashlib
import io
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, cast

import numpy as np
import soundfile
from filelock import FileLock
from numpy.typing import NDArray

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.machine.own_file import code_version
from dailytalk_contiguous.machine.resources import cache_folder, private_folder
from dailytalk_contiguous.models import contracts
from dailytalk_contiguous.store.files import write_bytes

#: Bytes that the disk must have left before anything is bought: over ten minutes of speech.
LEAST_FREE_BYTES = 32 << 20

#: Errors that reading the two files of an entry raises where they were changed.
_UNREADABLE = (ValueError, KeyError, TypeError, OverflowError, RecursionError, soundfile.LibsndfileError)

#: The verdict of a person or a later check on an entry, as JSON.
_Verdict = Mapping[str, object]


class _Receipt(TypedDict):
    """The cost of an entry in USD, and the time of its purchase (ISO 8601, UTC)."""

    cost: float
    time: str


class _Record(TypedDict):
    """The JSON file of an entry. A word is the list of the fields of `Word`."""

    flac_sha256: str
    words: list[list[Any]] | None
    receipt: _Receipt
    verdict: dict[str, object] | None


class CacheEntry(NamedTuple):
    """A take that was bought, and its verdict (None: not judged yet)."""

    spoken: contracts.Spoken
    verdict: dict[str, object] | None


def cache_key(
    synthesiser: contracts.Synthesiser, line: contracts.Line, samples: Sequence[contracts.VoiceSample] = ()
) -> str:
    """Hex SHA-256 of everything that decides how a line sounds, and of its take.

    The version of an engine that speaks on this machine counts, or the file of a person's own; what a server has
    said is never bought again because code changed.
    """
    kind = type(synthesiser)
    code = f"{kind.__qualname__} {code_version(kind, synthesiser.version)}"
    settings = {**synthesiser.settings(), **getattr(synthesiser, "other_options", {})}
    voices = [[hashlib.sha256(sample.wav).hexdigest(), sample.text] for sample in samples]
    parts: dict[str, object] = {
        "engine": synthesiser.engine,
        "model": synthesiser.model,
        "voice": synthesiser.voice,
        "settings": settings,
        "samples": voices,
        "text": line.text,
        "tag": line.tag,
        "language": line.language,
        "take": line.take,
    }
    if synthesiser.server:
        parts["server"] = synthesiser.served_by
    else:
        parts["code"] = code
    if line.rate is not None:
        parts["rate"] = line.rate
    # Keys are sorted, so their order above is of no consequence.
    canonical = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


class SpeechCache:
    """The cache in one folder. Any number of threads and processes may use it at once.

    Every method raises DailytalkError where the disk can't do what it should.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "speech"

    def get(self, key: str) -> CacheEntry | None:
        """The entry, if both of its files exist. Raises DailytalkError if they do not belong together."""
        audio, notes = self._files(key)
        record = self._record(key)
        if record is None:
            return None
        try:
            with self._disk():
                encoded = audio.read_bytes()
            if hashlib.sha256(encoded).hexdigest() != record["flac_sha256"]:
                raise ValueError("another file than was written")
            samples, sample_rate = soundfile.read(io.BytesIO(encoded), dtype="float32")
            words = None
            if record["words"] is not None:
                words = [Word(*word) for word in record["words"]]
            cost = float(record["receipt"]["cost"])
            spoken = contracts.Spoken(samples, int(sample_rate), words, cost)
            return CacheEntry(spoken, record["verdict"])
        except _UNREADABLE:
            raise _damaged(audio, notes) from None

    def verdict(self, key: str) -> _Verdict | None:
        """The verdict on an entry, empty where it is not judged yet; None for no entry. Its sound is not read.

        Raises DailytalkError for an entry whose notes are damaged.
        """
        record = self._record(key)
        if record is None:
            return None
        return record["verdict"] or {}

    def _record(self, key: str) -> _Record | None:
        """The notes of an entry, if both of its files exist."""
        audio, notes = self._files(key)
        with self._disk():
            if not (audio.exists() and notes.exists()):
                return None
            note = notes.read_bytes()
        try:
            record = {"verdict": None, **json.loads(note)}
        except _UNREADABLE:
            raise _damaged(audio, notes) from None
        return cast(_Record, record)  # who reads it is ready for another form

    def put(self, key: str, spoken: contracts.Spoken) -> CacheEntry:
        """Keep what was bought, at least one sample, in 24 bits.

        Call it inside `buying`. Returns the entry as `get` gives it from now on.
        """
        audio, notes = self._files(key)
        encoded, samples = _encoded(spoken.samples, spoken.sample_rate)
        words = None
        if spoken.words is not None:
            words = [[word.word, word.start, word.end, word.probability] for word in spoken.words]
        now = datetime.now(UTC).isoformat(timespec="seconds")
        record: _Record = {
            "flac_sha256": hashlib.sha256(encoded).hexdigest(),
            "words": words,
            "receipt": {"cost": spoken.cost, "time": now},
            "verdict": None,
        }
        with self._disk():
            private_folder(self.folder)
            audio.parent.mkdir(exist_ok=True)
            write_bytes(audio, encoded)
            write_bytes(notes, _json(record))
        return CacheEntry(spoken._replace(samples=samples), None)

    def set_verdict(self, key: str, verdict: _Verdict) -> None:
        """Store the verdict on an entry, in place of any earlier one."""
        _, notes = self._files(key)
        record: Mapping[str, object] = self._record(key) or {}
        with self._disk():
            write_bytes(notes, _json({**record, "verdict": dict(verdict)}))

    @contextlib.contextmanager
    def buying(self, key: str) -> Iterator[None]:
        """Hold the right to buy an entry; another thread or process waits here and should then `get` it first.

        Raises DailytalkError, before any money is spent, if the disk has no room for what would be bought.
        """
        with self._disk():
            private_folder(self.folder)
            if shutil.disk_usage(self.folder).free < LEAST_FREE_BYTES:
                raise DailytalkError(
                    f"the disk of {self.folder} has less than {LEAST_FREE_BYTES >> 20} MiB left",
                    "make room before anything is bought, or name another folder with --cache",
                )
            lock = FileLock(self.folder / f"{key[:3]}.lock")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _files(self, key: str) -> tuple[Path, Path]:
        folder = self.folder / key[:2]
        return folder / f"{key}.flac", folder / f"{key}.json"

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        """Raise DailytalkError in place of an error of the disk."""
        try:
            yield
        except OSError as error:
            raise DailytalkError(
                f"the cache {self.folder} can't be used ({error.strerror})",
                "make room there, or name another folder with --cache or DAILYTALK_CACHE",
            ) from error


def _encoded(samples: NDArray[np.float32], sample_rate: int) -> tuple[bytes, NDArray[np.float32]]:
    """A FLAC file of 24 bits, and the samples that will be read from it; zeros in its last bits take no room."""
    # As integers: libsndfile scales floats by 32767 on their way in, and by 32768 on their way out.
    limit = np.float32(2.0**23)
    whole = np.clip(np.rint(samples * limit), -limit, limit - 1)
    shifted = whole.astype(np.int32) << 8
    file = io.BytesIO()
    soundfile.write(file, shifted, sample_rate, format="FLAC", subtype="PCM_24")
    return file.getvalue(), whole / limit


def _damaged(audio: Path, notes: Path) -> DailytalkError:
    remedy = f"delete it and {notes.name}: it is then bought again"
    return DailytalkError(f"the cached speech {audio} is damaged", remedy)


def _json(record: Mapping[str, object]) -> bytes:
    return json.dumps(record, ensure_ascii=False, indent=1).encode()
