"""Sound in blocks: a microphone and a loudspeaker, of this machine or simulated by files.

A conversation is one loop: a block of the microphone comes in, a block for the loudspeaker goes out, and time is
the number of blocks. So a file can be played in real time, as a microphone would, or as fast as it is computed.
"""

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np

from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.sound.samples import Samples
from dailytalk_contiguous.machine import interrupts
from dailytalk_contiguous.machine.audio import audio_at, read_at
from dailytalk_contiguous.models.sound_card import refusals, sound_library

#: Hz of a conversation.
TALK_RATE = 24000

#: Samples of a block: one frame of speech activity.
BLOCK = 768

#: Seconds of a block.
BLOCK_SECONDS = BLOCK / TALK_RATE

#: Cut-off in Hz of the filter between the rates of a talk and of analysis. The filter is 1 ms late, and 60 dB down
#: from 9 kHz on. A resampler of quality would be 30 ms late, a sixth of what an interruption may take.
_CUTOFF = 7400.0

#: Taps of that filter, at 48 kHz.
_TAPS = 95


class AnalysisBlocks:
    """Blocks at 24 kHz as blocks at 16 kHz, each at once: a frame of speech activity for every block."""

    def __init__(self) -> None:
        positions = np.arange(_TAPS) - (_TAPS - 1) / 2
        taps = np.sinc(_CUTOFF / TALK_RATE * positions) * np.kaiser(_TAPS, 7.0)
        self._taps = (2 * taps / taps.sum()).astype(np.float32)
        self._before = np.zeros(_TAPS - 1, np.float32)

    def push(self, block: Samples) -> Samples:
        """The next `BLOCK` samples, as two thirds as many."""
        doubled = np.zeros(2 * len(block), np.float32)
        doubled[::2] = block
        signal = np.concatenate((self._before, doubled))
        self._before = signal[len(doubled) :]
        reduced: Samples = np.convolve(signal, self._taps, "valid")[::3]
        return reduced


class SoundBlocks(Protocol):
    """A source and a sink of sound, in blocks of `BLOCK` samples at `TALK_RATE`, float32 in [-1, 1].

    Attributes:
        name: for the screen.
        lag: seconds from playing a block to the block of the microphone in which it would be audible.
        echoes: whether the microphone records the played sound; not if the listener wears headphones.
    """

    name: str
    lag: float
    echoes: bool

    def read(self, idle: bool) -> Samples | None:
        """Wait for the next block of the microphone; None at the end. `idle`: the sound so far is answered."""

    def play(self, block: Samples) -> None:
        """Play a block; returns at once."""

    def mute(self) -> None:
        """Drop sound that has not been played."""

    def close(self) -> None:
        """Release devices."""


#: Seconds of silence after a file and its answer, before the next one.
BETWEEN_FILES = 0.6


class FileBlocks:
    """Files as a microphone, one after another, each once the one before has been answered.

    Args:
        paths: recordings of one speaker; of several channels the mean is taken.

    Raises DailytalkError for a file that can't be read.
    """

    lag = 0.0
    echoes = False

    def __init__(self, paths: Sequence[Path]) -> None:
        self.name = ", ".join(as_text(path.name) for path in paths)
        sounds = [_read_sound(path) for path in paths]
        self._blocks = self._played(sounds)
        self._idle = False
        self._due = 0.0

    def read(self, idle: bool) -> Samples | None:
        self._idle = idle
        block = next(self._blocks, None)
        now = time.monotonic()
        if not self._due:
            self._due = now
        self._due += BLOCK_SECONDS
        time.sleep(max(0.0, self._due - now))
        return block

    def play(self, block: Samples) -> None:
        """Nobody listens."""

    def mute(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """There is no device."""

    def _played(self, sounds: Sequence[Samples]) -> Iterator[Samples]:
        for sound in sounds:
            padded = np.pad(sound, (0, -len(sound) % BLOCK))
            yield from padded.reshape(-1, BLOCK)
            quiet = 0.0
            while quiet < BETWEEN_FILES:
                yield np.zeros(BLOCK, np.float32)
                quiet = quiet + BLOCK_SECONDS if self._idle else 0.0


def _read_sound(path: Path) -> Samples:
    """The sound of a file. Raises DailytalkError, which names it, if it can't be read."""
    name = as_text(path)
    try:
        sound: Samples = read_at(audio_at(path), TALK_RATE).mean(axis=1)
    except BadInput as error:
        raise DailytalkError(f"{name!r}: {error.reason}", error.remedy) from None
    except OSError as error:
        raise DailytalkError(f"{name!r} can't be read ({error.strerror})", "check the path") from None
    return sound


class _Stream(Protocol):
    """A stream of `sounddevice`: its device's number, and its latency in seconds."""

    device: int
    latency: float

    def start(self) -> None: ...

    def close(self) -> None: ...


#: Blocks that wait to be played, so that a moment's delay is no audible gap.
_AHEAD = 2

#: Seconds without a block after which a microphone counts as gone.
GONE_AFTER = 2.0

#: The remedy without a microphone.
_INPUT = "talk in the browser (--web), or give --input FILE"


class DeviceBlocks:
    """A microphone and a loudspeaker of this machine, through `sounddevice`.

    Args:
        device: its name or number (`python -m sounddevice` lists them); empty for the system's.

    Raises DailytalkError, in one sentence, if there is no such device, or it may not be used.
    """

    echoes = True

    def __init__(self, device: str = "") -> None:
        self._device = device
        self._recorded: queue.SimpleQueue[Samples] = queue.SimpleQueue()
        self._spoken: queue.SimpleQueue[Samples] = queue.SimpleQueue()
        self._reads = False

        # In threads of `sounddevice`, a block at a time.
        def take(samples: Samples, *_: object) -> None:
            self._recorded.put(samples[:, 0].copy())

        def fill(out: Samples, *_: object) -> None:
            out[:] = 0.0
            with suppress(queue.Empty):
                out[:, 0] = self._spoken.get_nowait()

        self._microphone = self._open("microphone", "InputStream", take)
        self._loudspeaker = self._open("loudspeaker", "OutputStream", fill)
        library = sound_library("microphone")
        about = library.query_devices(self._microphone.device, "input")
        self.name = str(about["name"])
        latency = float(self._microphone.latency) + float(self._loudspeaker.latency)
        self.lag = latency + _AHEAD * BLOCK_SECONDS

    def read(self, idle: bool) -> Samples | None:
        while not self._reads and not self._recorded.empty():  # of the time in which models were loaded
            self._recorded.get()
        self._reads = True
        interrupts.check_interrupt()
        try:
            return self._recorded.get(timeout=GONE_AFTER)
        except queue.Empty:
            raise DailytalkError(f"{self.name} sends no sound", "plug it in, and start again") from None

    def play(self, block: Samples) -> None:
        """Play a block. Silence is left out or doubled, so that some `_AHEAD` blocks wait."""
        waiting = self._spoken.qsize()
        if waiting > _AHEAD and not block.any():
            return
        if waiting < _AHEAD:
            self._spoken.put(np.zeros(BLOCK, np.float32))
        self._spoken.put(block)

    def mute(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._spoken.get_nowait()

    def close(self) -> None:
        for stream in (self._microphone, self._loudspeaker):
            with suppress(*refusals(sound_library("microphone"))):  # a device that is gone can't be closed, either
                stream.close()

    def _open(self, name: str, kind: str, callback: Callable[..., None]) -> _Stream:
        """Open and start a stream of a class of `sounddevice`; `name` is that of the device in errors."""
        library = sound_library(name, _INPUT)
        device = int(self._device) if self._device.isdigit() else self._device or None
        open_stream = getattr(library, kind)
        try:
            stream: _Stream = open_stream(
                samplerate=TALK_RATE,
                blocksize=BLOCK,
                channels=1,
                dtype="float32",
                device=device,
                latency="low",
                callback=callback,
            )
            stream.start()
        except refusals(library) as error:
            detail = " ".join(str(error).split())[:200]
            reason = f"no {name} can be opened ({detail})"
            remedy = f"plug one in and allow this program to use it, choose one with --sound-device, or {_INPUT}"
            raise DailytalkError(reason, remedy) from None
        return stream
