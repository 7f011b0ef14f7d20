"""Speech activity by Silero, and the spans of speech and sound in a clip of one speaker."""

import importlib.util
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import soxr
from numpy.typing import NDArray

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.sound.levels import frame_levels, gain_for, offset_of
from dailytalk_contiguous.core.sound.nonspeech_sounds import sounds_outside_speech
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Pcm, Samples, one_channel, pcm_to_float, to_pcm
from dailytalk_contiguous.core.sound.speech_runs import speech_spans
from dailytalk_contiguous.core.spans import TimeSpan, merge_gaps, true_runs
from dailytalk_contiguous.machine.audio import AudioStruct, blocks, read_header
from dailytalk_contiguous.models.contours import track_voice
from dailytalk_contiguous.models.devices import open_onnx
from dailytalk_contiguous.models.failures import ModelFailed, failing_softly

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

# Speech activity: Silero's probability that someone speaks, one value every 32 ms.
#
# Uses the sequence form of the model, which gives the same probabilities as the chunk-by-chunk one about six
# times faster. Its state is carried here, so that a recording of any length is read in blocks. One thread a
# session: the model is too small to gain from more, and two channels run side by side instead.
#
# A voice without what is above 4 kHz, as a telephone leaves it, is not always speech to Silero at 16 kHz: a hoarse
# one lost half of its speech. Such a signal is heard by the model for 8 kHz, too, which takes one frame at a time,
# and the surer of both counts: alone it begins later than the other, and loses first words.


#: Samples that one probability covers (32 ms at 16 kHz).
FRAME = 512

#: Samples before a frame that the model sees, too.
CONTEXT = 64

#: Seconds that one probability covers.
FRAME_SECONDS = FRAME / ANALYSIS_RATE

#: Frames in one call of the model: 16 s. More gains nothing.
MAX_FRAMES = 512

#: The name that goes into a dataset, with its licence.
NAME = "silero-vad"


@contextmanager
def refusing(place: str) -> Iterator[None]:
    """Raise BadInput, which names the place, in place of an error that speech activity raises on its sound."""
    try:
        with failing_softly(NAME):
            yield
    except ModelFailed as error:
        reason = f"speech activity of {place} can't be measured ({error})"
        raise BadInput(reason, "listen to it, and leave it out if there is nothing to hear") from error


#: Two channels run side by side, and the network is loaded once.
_loading = Lock()


@lru_cache(maxsize=2)
def _session(name: str) -> "InferenceSession":
    # The package itself would import torch (180 MB a process), which the network does not need.
    package = importlib.util.find_spec("silero_vad")
    assert package is not None
    assert package.origin is not None
    return open_onnx(Path(package.origin).parent / "data" / name)


class SpeechActivity:
    """Probabilities of speech in one channel that arrives in blocks.

    Feed 16 kHz samples of any length to `push` in order, then call `flush`. The results laid end to end are
    bit for bit those of the whole signal at once. An object is for one channel of one recording, a `narrow` one
    for a signal with nothing above 4 kHz.
    """

    def __init__(self, narrow: bool = False) -> None:
        self._narrow = narrow
        self._state = np.zeros((2, 1, 128), np.float32)
        self._narrow_tail = np.zeros(CONTEXT // 2, np.float32)
        self._hidden = np.zeros((1, 1, 128), np.float32)
        self._cell = np.zeros((1, 1, 128), np.float32)
        self._tail = np.zeros(CONTEXT, np.float32)
        self._waiting = np.zeros(0, np.float32)

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities in [0, 1] of the frames that `samples`, float32 in [-1, 1], complete; shape (frames,)."""
        signal = np.concatenate((self._waiting, samples))
        whole = len(signal) - len(signal) % FRAME
        self._waiting = signal[whole:]
        return self._run(signal[:whole])

    def flush(self) -> NDArray[np.float32]:
        """The probability of the last, zero-padded frame, if any samples are left; shape (0,) or (1,)."""
        waiting = self._waiting
        self._waiting = np.zeros(0, np.float32)
        n_missing = -len(waiting) % FRAME
        return self._run(np.pad(waiting, (0, n_missing)))

    def _run(self, signal: NDArray[np.float32]) -> NDArray[np.float32]:
        probabilities = [np.zeros(0, np.float32)]
        for first in range(0, len(signal), FRAME * MAX_FRAMES):
            frames = signal[first : first + FRAME * MAX_FRAMES].reshape(-1, FRAME)
            ends = np.concatenate((self._tail[None], frames[:, -CONTEXT:]))
            self._tail = ends[-1]
            with_context = np.concatenate((ends[:-1], frames), axis=1)
            inputs = {"input": with_context, "h": self._hidden, "c": self._cell}
            with _loading:
                session = _session("silero_vad_16k_sequence.onnx")
            values, self._hidden, self._cell = session.run(["speech_probs", "hn", "cn"], inputs)
            probabilities.append(values.reshape(-1))
        joined = np.concatenate(probabilities)
        if not self._narrow:
            return joined
        return np.maximum(joined, self._run_narrow(signal))

    def _run_narrow(self, signal: NDArray[np.float32]) -> NDArray[np.float32]:
        """The probabilities of the model for 8 kHz."""
        with _loading:
            session = _session("silero_vad.onnx")
        rate = np.array(ANALYSIS_RATE // 2, np.int64)
        probabilities = []
        for frame in signal[::2].reshape(-1, FRAME // 2):  # nothing is above 4 kHz that could fold back
            seen = np.concatenate((self._narrow_tail, frame))
            self._narrow_tail = frame[-CONTEXT // 2 :]
            inputs = {"input": seen[None], "state": self._state, "sr": rate}
            value, self._state = session.run(None, inputs)
            probabilities.append(value[0, 0])
        return np.array(probabilities, np.float32)


#: dB of sound above 4.2 kHz against all of a signal, under which it is a telephone's. All 100 readers,
#: meetings and acted lines have more than -33 dB; 80 that are cut to a telephone's band have -40 dB or less, and
#: two real calls have -49 to -56 dB.
NARROW_DB = -36.0

#: The most frames of a signal that its band is measured by.
_BAND_FRAMES = 4096


def is_narrow(samples: NDArray[np.generic]) -> bool:
    """Whether 16 kHz samples, shape (n,), have nothing above 4 kHz to speak of, as those of a telephone."""
    from scipy import fft  # here: commands that read no sound can spare it

    n_frames = len(samples) // FRAME
    every = math.ceil(n_frames / _BAND_FRAMES) or 1
    frames = samples[: n_frames * FRAME].reshape(-1, FRAME)[::every].astype(np.float32)
    spectra = fft.rfft(frames * np.hanning(FRAME).astype(np.float32))
    powers = (np.square(spectra.real) + np.square(spectra.imag)).sum(axis=0)
    first_above = round(4200 / ANALYSIS_RATE * FRAME)
    above = powers[first_above:].sum()
    return bool(above < powers.sum() * 10 ** (NARROW_DB / 10))


def at_heard_level(samples: Samples) -> Samples:
    """A whole channel at the level at which it is heard, without its offset."""
    centred = samples - np.float32(offset_of(samples))
    return np.asarray(centred * gain_for(frame_levels(centred, FRAME)), np.float32)


def speech_probabilities(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities of speech of a whole 16 kHz channel, float32 in [-1, 1]; shape (ceil(n / 512),)."""
    activity = SpeechActivity(is_narrow(samples))
    return np.concatenate((activity.push(samples), activity.flush()))


# Speech behind music.
#
# Silero remembers: behind 15 s of music on hold it notices speech 0.1 to 0.7 s late, and misses 3 of 24 utterances
# (`tests/stages/test_segment.py`). Begun anew it hears them, with a probability of 0.98 or more; in music alone it
# comes to 0.82.


#: Frames from one beginning to the next, 0.26 s.
ANEW_EVERY = 8

#: Frames that the model hears from each beginning, 1.3 s.
ANEW_FOR = 40

#: The probability that a stretch of speech comes to at least.
CERTAIN = 0.9

#: The probability from which on frames beside it belong to the stretch.
IN_STRETCH = 0.35


def certain_speech(sound: Samples, narrow: bool) -> NDArray[np.float32]:
    """Probabilities of speech in the whole frames of a sound; 0 where none is certain.

    Each is the highest that the model gives with a memory of 0 to 1 s.

    Args:
        sound: 16 kHz, in [-1, 1].
        narrow: whether its channel has nothing above 4 kHz.
    """
    highest = np.zeros(len(sound) // FRAME, np.float32)
    for first in range(0, len(highest), ANEW_EVERY):
        activity = SpeechActivity(narrow)
        heard = activity.push(sound[first * FRAME : (first + ANEW_FOR) * FRAME])
        overlapping = highest[first : first + len(heard)]
        overlapping[:] = np.maximum(overlapping, heard)
    for first, behind in true_runs(highest >= IN_STRETCH).tolist():
        if highest[first:behind].max() < CERTAIN:
            highest[first:behind] = 0
    highest[highest < IN_STRETCH] = 0
    return highest


# A second look at sound that speech activity has left out.
#
# Silero does not take a shout for speech at its own level, but does so at a fifth or a twentieth of it, in a
# telephone's band. In this way it finds four lines of RAVDESS of which it found none or a quarter before. It takes
# coughs and chords for speech then, too, but only a voice moves its pitch, so a stretch counts where that moves.


#: Gains at which the model gets a sound again.
GAINS = (0.2, 0.05)

#: The probability from which it may be speech then.
AGAIN = 0.2

#: Seconds between two sounds, up to which they are one.
TOGETHER = 0.25

#: Seconds of the shortest sound that the model gets again.
UNCOVERED = 1.0

#: Seconds before and behind it that the model gets with it.
AROUND = 0.5

# The four lines have 0.36, 3.3 and 0.23 of the next three, or more. Other sounds (`benchmarks/real.py`) have
# less: coughs have no pitch, chords a spread of 0.1, laughter steps of 0.09.


def missed_speech(channel: Pcm, sounds: Sequence[TimeSpan]) -> list[TimeSpan]:
    """Speech in sounds of a channel that speech activity has left out: starts and ends in seconds, in order.

    Args:
        channel: 16 kHz int16, shape (n,), at the level at which it is heard (`core.sound.levels.at_speech_level`).
        sounds: starts and ends in seconds, as `core.sound.nonspeech_sounds.sounds_outside_speech` gives them.
    """
    missed: list[TimeSpan] = []
    for start, end in merge_gaps(sounds, TOGETHER):
        if end - start < UNCOVERED:
            continue
        first = max(0, round((start - AROUND) * ANALYSIS_RATE))
        behind = round((end + AROUND) * ANALYSIS_RATE)
        part = pcm_to_float(channel[first:behind])
        half = soxr.resample(part, ANALYSIS_RATE, ANALYSIS_RATE // 2)
        narrow = np.asarray(soxr.resample(half, ANALYSIS_RATE // 2, ANALYSIS_RATE), np.float32)
        probabilities: list[NDArray[np.float32]] = []
        for gain in GAINS:
            activity = SpeechActivity(narrow=True)
            whole_frames = activity.push(np.float32(gain) * narrow)
            probabilities.append(np.concatenate((whole_frames, activity.flush())))
        likeliest = np.max(probabilities, axis=0)
        offset = first / ANALYSIS_RATE
        for span_start, span_end in speech_spans(likeliest, len(part) / ANALYSIS_RATE, FRAME_SECONDS, AGAIN):
            speech_start = max(span_start + offset, start)
            speech_end = min(span_end + offset, end)
            if speech_start >= speech_end:
                continue
            first_sample = round((speech_start - offset) * ANALYSIS_RATE)
            last_sample = round((speech_end - offset) * ANALYSIS_RATE)
            if _moves_as_a_voice(part[first_sample:last_sample]):
                missed.append((speech_start, speech_end))
    return missed


#: The least share of frames that have a pitch.
LEAST_VOICED = 0.2

#: The least standard deviation of the pitch, in semitones.
LEAST_SPREAD = 1.0

#: The least median of the steps of the pitch from a frame of 16 ms to the next, in semitones.
LEAST_STEP = 0.15

#: Samples of a frame in which pitch is looked for (50 ms).
_PITCH_FRAME = 800

#: Samples from one such frame to the next (16 ms).
_PITCH_HOP = 256


def _moves_as_a_voice(samples: Samples) -> bool:
    """Whether a pitch can be found in samples, and moves."""
    n_frames = math.ceil(len(samples) / _PITCH_HOP)
    f0 = track_voice(samples, n_frames, _PITCH_HOP, _PITCH_FRAME).f0
    voiced = f0 > 0
    if voiced.mean() < LEAST_VOICED:
        return False
    semitones = 12 * np.log2(np.where(voiced, f0, 1.0))
    if semitones[voiced].std() < LEAST_SPREAD:
        return False
    both_voiced = voiced[1:] & voiced[:-1]
    steps = np.abs(np.diff(semitones))[both_voiced]
    return bool(len(steps) and np.median(steps) >= LEAST_STEP)


# Sound in a clip: its one channel, where there is speech in it, and where there is any sound.
#
# Speech activity alone would cut the laugh before a line, a breath or the end of a scream off an expressive clip,
# so sounds that stand out of the clip's room tone count as well (`core.sound.nonspeech_sounds`).


#: Seconds of the longest clip. A longer file is not read.
LONGEST = 600.0

#: Seconds between two stretches of speech of which one was missed before: nearer ones are joined.
SHORTEST_PAUSE = 0.1


class Clip(NamedTuple):
    """One channel of a clip.

    Attributes:
        samples: float32, shape (n,).
        sample_rate: in Hz.
        channel: the name of the channel.
    """

    samples: Samples
    sample_rate: int
    channel: str


class Heard(NamedTuple):
    """Spans in seconds, in order: `speech`, and `sounds`, which are speech and all other sound."""

    speech: list[TimeSpan]
    sounds: list[TimeSpan]


def read_clip(audio: AudioStruct) -> Clip:
    """Read a clip, a `{"bytes", "path"}` struct, at its own rate.

    Raises:
        BadInput: it is longer than `LONGEST`, can't be read, or its two channels differ.
    """
    info = read_header(audio)
    if info.seconds > LONGEST:
        raise BadInput(f"it is {info.seconds:.0f} s long, which is too long for a clip", "cut it into clips")
    nothing = np.zeros((0, info.channels), np.float32)
    whole = np.concatenate([nothing, *blocks(audio)])
    samples, channel = one_channel(whole)
    return Clip(samples, info.sample_rate, channel)


#: Seconds of the shortest speech. Less than Silero's 0.25, because a clip may be one word ("no").
MIN_SPEECH = 0.1

#: Seconds of silence that Silero hears after a clip; otherwise speech whose end it can't hear lasts to the end
#: of the file.
SILENCE_AFTER = 0.5


def hear(samples: Samples, sample_rate: int) -> Heard:
    """Find speech and other sounds in one channel, float32 in [-1, 1], shape (n,).

    Raises BadInput for sound on which speech activity raises an error.
    """
    analysed = at_heard_level(np.asarray(soxr.resample(samples, sample_rate, ANALYSIS_RATE), np.float32))
    total = len(samples) / sample_rate
    n_silent = round(SILENCE_AFTER * ANALYSIS_RATE)
    with refusing("it"):
        probabilities = speech_probabilities(np.pad(analysed, (0, n_silent)))
    speech = speech_spans(probabilities, total, FRAME_SECONDS, min_speech=MIN_SPEECH, pad=0)
    pcm = to_pcm(analysed)
    sounds = sounds_outside_speech(pcm, speech)
    with refusing("it"):
        missed = missed_speech(pcm, sounds)
    if missed:
        speech = merge_gaps(sorted([*speech, *missed]), SHORTEST_PAUSE)
    others = [(start, min(end, total)) for start, end in sounds_outside_speech(pcm, speech)]
    return Heard(speech, merge_gaps(sorted([*speech, *others]), 0.0))
