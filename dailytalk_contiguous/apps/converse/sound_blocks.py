"""Sound in blocks: a microphone and a loudspeaker, of this machine or simulated by files.

A conversation is one loop: a block of the microphone comes in, a block for the loudspeaker goes out, and time is
the number of blocks. So a file can be played in real time, as a microphone would, or as fast as it is computed.
"""

import queue
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import Samples, blocks_at, read_header, to_uri
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.models.sound_card import refusals, sound_library

#: Hz of a conversation, and samples and seconds of a block: one frame of speech activity.
TALK_RATE, BLOCK = 24000, 768
BLOCK_SECONDS = BLOCK / TALK_RATE

#: Seconds of silence after a file and its answer, before the next one.
BETWEEN_FILES = 0.6

#: Blocks that wait to be played, so that a moment's delay is no audible gap.
_AHEAD = 2

#: Seconds without a block after which a microphone counts as gone, and for which it is waited for.
GONE_AFTER, WAITS_FOR_DEVICE = 2.0, 60.0

#: The remedy without a microphone.
_INPUT = "talk in the browser (--web), or give --input FILE"

#: Cut-off in Hz and taps, at 48 kHz, of the filter between the rates of a talk and of analysis: 1 ms late, and
#: 60 dB down from 9 kHz on. A resampler of quality would be 30 ms late, a sixth of what an interruption may take.
_CUTOFF, _TAPS = 7400.0, 95


class AnalysisBlocks:
    """Blocks at 24 kHz as blocks at 16 kHz, each at once: a frame of speech activity for every block."""

    def __init__(self) -> None:
        positions = np.arange(_TAPS) - (_TAPS - 1) / 2
        rate = 2 * TALK_RATE
        taps = np.sinc(2 * _CUTOFF / rate * positions) * np.kaiser(_TAPS, 7.0)
        taps *= 2 / taps.sum()
        # At 48 kHz every other sample is zero, and every third of the result is kept: two short filters.
        self._even, self._odd = taps[0::2], taps[1::2]
        self._before = np.zeros(len(self._even) - 1, np.float32)

    def push(self, block: Samples) -> Samples:
        """The next `BLOCK` samples, as two thirds as many."""
        known = np.concatenate((self._before, block))
        self._before = known[len(block) :]
        reduced = np.empty(2 * len(block) // 3, np.float32)
        reduced[0::2] = np.convolve(known, self._even, "valid")[0::3]
        reduced[1::2] = np.convolve(known[1:], self._odd, "valid")[1::3]
        return reduced


class SoundBlocks(Protocol):
    """A source and a sink of sound, in blocks of `BLOCK` samples at `TALK_RATE`, float32 in [-1, 1].

    Attributes:
        name: for the screen.
        lag: seconds from playing a block to the block of the microphone in which it would be audible.
        echoes: whether the microphone records the played sound, unless the listener wears headphones.
    """

    name: str
    lag: float
    echoes: bool

    def read(self) -> Samples | None:
        """The next block of the microphone; waits for it. None at the end."""

    def play(self, block: Samples) -> None:
        """Play a block; returns at once."""

    def hush(self) -> float:
        """Drop sound that has not been played. Returns its seconds, which were not audible."""

    def lateness(self) -> float:
        """Seconds since the last block that was read arrived."""

    def close(self) -> None:
        """Release devices."""


class FileBlocks:
    """Files as a microphone, one after another, each once the one before has been answered.

    Args:
        paths: recordings of one speaker; of several channels the mean is taken.
        answered: whether the sound so far has been answered; silence is sent until it is.
        play: plays blocks, if it is set.
        notify: gets a sentence on a file that turns out to be damaged; the next one is played.

    `rejects` has these files. Raises BadInput for a file that is no sound.
    """

    lag = 0.0
    echoes = False

    def __init__(
        self,
        paths: Sequence[Path],
        answered: Callable[[], bool],
        play: "Loudspeaker | None" = None,
        notify: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        for path in paths:
            try:
                read_header({"bytes": None, "path": to_uri(path)})
            except (BadInput, OSError) as error:
                raise BadInput(
                    f"{as_text(path)} can't be heard ({_problem(error)[0]})", "name a sound file"
                ) from None
        self.name = ", ".join(as_text(path.name) for path in paths)
        self._blocks = self._played(paths)
        self._answered, self._loudspeaker, self._notify = answered, play, notify
        self._begun: float | None = None
        self._due = 0.0
        self._count = 0
        self.rejects: list[Reject] = []

    def read(self) -> Samples | None:
        block = next(self._blocks, None)
        now = time.monotonic()
        self._begun = now if self._begun is None else self._begun
        self._count += 1
        self._due = self._begun + self._count * BLOCK_SECONDS
        if self._due > now:
            interrupts.sleep(self._due - now)
        return block

    def play(self, block: Samples) -> None:
        if self._loudspeaker:
            self._loudspeaker.play(block)

    def hush(self) -> float:
        return self._loudspeaker.hush() if self._loudspeaker else 0.0

    def lateness(self) -> float:
        return max(0.0, time.monotonic() - self._due)

    def close(self) -> None:
        self._blocks.close()  # with its resampler, of which soxr complains at the end of the program
        if self._loudspeaker:
            self._loudspeaker.close()

    def _played(self, paths: Sequence[Path]) -> Generator[Samples]:
        silence = np.zeros(BLOCK, np.float32)
        for path in paths:
            waiting = np.zeros(0, np.float32)
            try:
                for samples in blocks_at({"bytes": None, "path": to_uri(path)}, TALK_RATE):
                    waiting = np.concatenate((waiting, samples.mean(axis=1, dtype=np.float32)))
                    while len(waiting) >= BLOCK:
                        yield waiting[:BLOCK]
                        waiting = waiting[BLOCK:]
            except (BadInput, OSError) as error:
                reject = Reject(as_text(path.name), "converse", *_problem(error))
                self.rejects.append(reject)
                self._notify(f"{reject.id} can't be heard any further ({reject.reason}): {reject.remedy}")
            yield np.pad(waiting, (0, BLOCK - len(waiting)))
            quiet = 0.0
            while quiet < BETWEEN_FILES:
                yield silence
                quiet = quiet + BLOCK_SECONDS if self._answered() else 0.0


def _problem(error: BadInput | OSError) -> tuple[str, str]:
    """The reason why a file can't be read, and the remedy."""
    if isinstance(error, BadInput):
        return error.reason, error.remedy
    return error.strerror or "the disk failed", "check the path"


class Loudspeaker:
    """The loudspeaker alone: `sounddevice`'s, or the one of a name or number.

    Raises DailytalkError if there is none; `instead` is the remedy without it.
    """

    def __init__(self, device: str = "", instead: str = _INPUT) -> None:
        library = sound_library("loudspeaker", instead)
        self._ring: queue.SimpleQueue[Samples] = queue.SimpleQueue()
        self._rest = np.zeros(0, np.float32)
        try:
            self._stream = library.OutputStream(
                samplerate=TALK_RATE,
                channels=1,
                dtype="float32",
                device=_device(device),
                callback=self._fill,
                latency="low",
            )
            self._stream.start()
        except refusals(library) as error:
            raise _refused("loudspeaker", error, instead) from None
        self.latency = float(self._stream.latency) + _AHEAD * BLOCK_SECONDS

    def play(self, block: Samples) -> None:
        """Play a block; returns at once. Silence is left out or doubled, so that some `_AHEAD` blocks wait."""
        waiting = self._ring.qsize()
        if waiting > _AHEAD and not block.any():
            return
        if waiting < _AHEAD:
            self._ring.put(np.zeros(BLOCK, np.float32))
        self._ring.put(block)

    def hush(self) -> float:
        """Drop sound that has not been played. Returns its seconds."""
        dropped = 0
        while True:
            try:
                dropped += len(self._ring.get_nowait())
            except queue.Empty:
                return dropped / TALK_RATE

    def close(self) -> None:
        self._stream.close()

    def _fill(self, out: Any, frames: int, *_: Any) -> None:
        while len(self._rest) < frames:
            try:
                self._rest = np.concatenate((self._rest, self._ring.get_nowait()))
            except queue.Empty:
                self._rest = np.pad(self._rest, (0, frames - len(self._rest)))
        out[:, 0], self._rest = self._rest[:frames], self._rest[frames:]


class DeviceBlocks:
    """A microphone and a loudspeaker of this machine, through `sounddevice`.

    A microphone that is unplugged is waited for, up to `WAITS_FOR_DEVICE` seconds: `notify` gets the sentences.

    Raises DailytalkError, in one sentence, if there is none, or it may not be used.
    """

    echoes = True

    def __init__(self, device: str = "", notify: Callable[[str], None] = lambda sentence: None) -> None:
        self._library, self._device, self._notify = sound_library("microphone", _INPUT), device, notify
        self._ring: queue.SimpleQueue[tuple[Samples, float]] = queue.SimpleQueue()
        self._arrived = time.monotonic()
        self._reads = False
        self._open()
        self.name = str(self._library.query_devices(self._stream.device, "input")["name"])
        self._loudspeaker = Loudspeaker(device)
        self.lag = float(self._stream.latency) + self._loudspeaker.latency

    def read(self) -> Samples | None:
        gone_since: float | None = None
        while not self._reads and not self._ring.empty():  # of the time in which models were loaded
            self._ring.get()
        self._reads = True
        while True:
            interrupts.check_interrupt()
            try:
                block, self._arrived = self._ring.get(timeout=GONE_AFTER)
            except queue.Empty:
                now = time.monotonic()
                if gone_since is None:
                    gone_since = now
                    self._notify(f"{self.name} sends no sound: plug it in again, or end with Ctrl-C")
                elif now - gone_since > WAITS_FOR_DEVICE:
                    self._notify(f"{self.name} did not come back: the talk ends")
                    return None
                with suppress(*refusals(self._library), DailytalkError):  # it is not back yet
                    self._stream.close()
                    self._open()
                continue
            if gone_since is not None:
                self._notify(f"{self.name} is back")
            return block

    def play(self, block: Samples) -> None:
        self._loudspeaker.play(block)

    def hush(self) -> float:
        return self._loudspeaker.hush()

    def lateness(self) -> float:
        return max(0.0, time.monotonic() - self._arrived)

    def close(self) -> None:
        for opened in (self._stream, self._loudspeaker):
            with suppress(*refusals(self._library)):  # a device that is gone can't be closed, either
                opened.close()

    def _open(self) -> None:
        try:
            self._stream = self._library.InputStream(
                samplerate=TALK_RATE,
                blocksize=BLOCK,
                channels=1,
                dtype="float32",
                device=_device(self._device),
                callback=lambda samples, *_: self._ring.put((samples[:, 0].copy(), time.monotonic())),
                latency="low",
            )
            self._stream.start()
        except refusals(self._library) as error:
            raise _refused("microphone", error, _INPUT) from None


def sound_devices() -> list[str]:
    """A line for each sound device of this machine: its number, name, and channels in and out.

    Raises DailytalkError if sounddevice is not installed, or finds no library of PortAudio.
    """
    return [
        f"{number}: {device['name']} ({device['max_input_channels']} in, {device['max_output_channels']} out)"
        for number, device in enumerate(sound_library("list of sound devices").query_devices())
    ]


def _device(name: str) -> int | str | None:
    return int(name) if name.isdigit() else name or None


def _refused(what: str, error: Exception, instead: str) -> DailytalkError:
    detail = " ".join(str(error).split())[:200]
    return DailytalkError(
        f"no {what} can be opened ({detail})",
        f"plug one in and allow this program to use it, choose one with --sound-device, or {instead}",
    )
