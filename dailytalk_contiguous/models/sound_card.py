"""The microphone and the loudspeaker of this machine, by sounddevice, imported when it is needed."""

from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples
from dailytalk_contiguous.machine import interrupts

#: Seconds of sound that a microphone gives at a time: a Ctrl-C waits no longer.
BLOCK_SECONDS = 0.1

#: How to install sounddevice.
_INSTALL = "pip install '.[converse]' in a checkout of dailytalk_contiguous"

#: How to install its library.
_PORT_AUDIO = "install PortAudio (libportaudio2)"

#: The remedy for a missing loudspeaker.
_SAY_TO = "pass --say-to FILE.wav"


def record_sound(seconds: float) -> Samples:
    """Record the microphone, 16 kHz mono in [-1, 1], for so many seconds or until Ctrl-C.

    Raises DailytalkError where there is no microphone, or it goes away.
    """
    sounddevice = sound_library("microphone")
    length = round(BLOCK_SECONDS * ANALYSIS_RATE)
    blocks: list[NDArray[np.float32]] = []
    try:
        with sounddevice.InputStream(samplerate=ANALYSIS_RATE, channels=1, dtype="float32") as stream:
            while len(blocks) * BLOCK_SECONDS < seconds:
                try:
                    interrupts.check_interrupt()
                    block, _ = stream.read(length)
                except KeyboardInterrupt:
                    interrupts.answered()
                    break
                blocks.append(np.array(block[:, 0], np.float32))
    except refusals(sounddevice) as error:
        reason = f"the microphone can't be heard ({_reason(error)})"
        raise DailytalkError(reason, "plug one in and let this program use it") from None
    return np.concatenate([np.zeros(0, np.float32), *blocks])


def check_loudspeaker() -> None:
    """Raise DailytalkError where nothing can be played."""
    sounddevice = sound_library("loudspeaker", _SAY_TO)
    try:
        sounddevice.check_output_settings()
    except refusals(sounddevice) as error:
        raise DailytalkError(f"nothing can be played here ({_reason(error)})", _SAY_TO) from None


def play_sound(samples: Samples, sample_rate: int) -> None:
    """Play mono samples in [-1, 1], and wait until they are over. Raises DailytalkError without a loudspeaker."""
    sounddevice = sound_library("loudspeaker", _SAY_TO)
    try:
        sounddevice.play(samples, sample_rate)
        sounddevice.wait()
    except refusals(sounddevice) as error:
        raise DailytalkError(f"nothing can be played here ({_reason(error)})", _SAY_TO) from None


def sound_library(device: str, instead: str = "") -> ModuleType:
    """The module `sounddevice`.

    Args:
        device: the device that needs it, for messages: `microphone` or `loudspeaker`.
        instead: a way to do without it, for messages.

    Raises DailytalkError where it or PortAudio is not installed.
    """
    try:
        import sounddevice
    except ImportError:
        raise DailytalkError(f"the {device} needs sounddevice", _or(_INSTALL, instead)) from None
    except OSError as error:  # its library is not there
        reason = f"the {device} can't be used ({_reason(error)})"
        raise DailytalkError(reason, _or(_PORT_AUDIO, instead)) from None
    module: ModuleType = sounddevice
    return module


def refusals(library: ModuleType) -> tuple[type[Exception], ...]:
    """The errors of sounddevice if a device refuses or went away; ValueError if none has that name."""
    return library.PortAudioError, ValueError


def _or(remedy: str, instead: str) -> str:
    return f"{remedy}, or {instead}" if instead else remedy


def _reason(error: Exception) -> str:
    """The first line of an error's message."""
    message = str(error.args[0] if error.args else error)
    return message.splitlines()[0].rstrip(".")
