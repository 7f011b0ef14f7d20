"""Speech activity by Silero, and the spans of speech and sound in a clip of one speaker."""

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import soxr
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import (
    ANALYSIS_RATE,
    Pcm,
    Samples,
    blocks,
    one_channel,
    pcm_to_float,
    read_header,
    to_pcm,
)
from dailytalk_contiguous.core.contours import track_voice
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.nonspeech_sounds import find_sounds
from dailytalk_contiguous.core.spans import merge_gaps
from dailytalk_contiguous.core.speech_runs import speech_spans
from dailytalk_contiguous.models.devices import open_onnx
from dailytalk_contiguous.models.failures import ModelFailed, failing_softly

# Speech activity: Silero's probability that someone speaks, one value every 32 ms.
#
# Uses the sequence form of the model, which gives the same probabilities as the chunk-by-chunk one about six
# times faster. Its state is carried here, so that a recording of any length is read in blocks. One thread a
# session: the model is too small to gain from more, and two channels run side by side instead.
#
# A voice without what is above 4 kHz, as a telephone leaves it, is not always speech to Silero at 16 kHz: a hoarse
# one lost half of its speech. Such a signal is heard by the model for 8 kHz, too, which takes one frame at a time,
# and the surer of both counts: alone it begins later than the other, and loses first words.


#: Samples that one probability covers (32 ms at 16 kHz), and the samples before them that the model sees.
FRAME = 512
CONTEXT = 64

#: Seconds that one probability covers.
FRAME_SECONDS = FRAME / ANALYSIS_RATE

#: Frames in one call of the model: 16 s. More gains nothing.
MAX_FRAMES = 512

#: The name and licence that go into a dataset.
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


#: dB of what is above 4.2 kHz against all of a signal, under which it is a telephone's. Of 100 readers, meetings
#: and acted lines all have more than -33 dB, and 80 that are cut to a telephone's band -40 dB or less; two real
#: calls have -49 to -56 dB.
NARROW_DB = -36.0

#: The most frames of a signal that its band is measured by.
_BAND_FRAMES = 4096

#: Two channels run side by side, and the network is loaded once.
_loading = Lock()


@lru_cache(maxsize=2)
def _session(name: str) -> Any:
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
        rest = self._waiting
        self._waiting = np.zeros(0, np.float32)
        return self._run(np.pad(rest, (0, -len(rest) % FRAME)))

    def _run(self, signal: NDArray[np.float32]) -> NDArray[np.float32]:
        probabilities = [np.zeros(0, np.float32)]
        for first in range(0, len(signal), FRAME * MAX_FRAMES):
            frames = signal[first : first + FRAME * MAX_FRAMES].reshape(-1, FRAME)
            ends = np.concatenate((self._tail[None], frames[:, -CONTEXT:]))
            self._tail = ends[-1]
            with _loading:
                session = _session("silero_vad_16k_sequence.onnx")
            values, self._hidden, self._cell = session.run(
                ["speech_probs", "hn", "cn"],
                {"input": np.concatenate((ends[:-1], frames), axis=1), "h": self._hidden, "c": self._cell},
            )
            probabilities.append(values.reshape(-1))
        found = np.concatenate(probabilities)
        return np.maximum(found, self._run_narrow(signal)) if self._narrow else found

    def _run_narrow(self, signal: NDArray[np.float32]) -> NDArray[np.float32]:
        with _loading:
            session = _session("silero_vad.onnx")
        rate = np.array(ANALYSIS_RATE // 2, np.int64)
        probabilities = []
        for frame in signal[::2].reshape(-1, FRAME // 2):  # nothing is above 4 kHz that could fold back
            seen = np.concatenate((self._narrow_tail, frame))
            self._narrow_tail = frame[-CONTEXT // 2 :]
            value, self._state = session.run(None, {"input": seen[None], "state": self._state, "sr": rate})
            probabilities.append(value[0, 0])
        return np.array(probabilities, np.float32)


def is_narrow(samples: NDArray[Any]) -> bool:
    """Whether 16 kHz samples, shape (n,), have nothing above 4 kHz to speak of, as those of a telephone."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    frames = frames[:: -(-len(frames) // _BAND_FRAMES) or 1].astype(np.float32)
    powers = np.square(np.abs(np.fft.rfft(frames * np.hanning(FRAME).astype(np.float32)))).sum(axis=0)
    above = powers[round(4200 / ANALYSIS_RATE * FRAME) :].sum()
    return bool(above < powers.sum() * 10 ** (NARROW_DB / 10))


def speech_probabilities(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities of speech of a whole 16 kHz channel, float32 in [-1, 1]; shape (ceil(n / 512),)."""
    activity = SpeechActivity(is_narrow(samples))
    return np.concatenate((activity.push(samples), activity.flush()))


# A second look at sound that speech activity has left out.
#
# A shout is no speech to Silero at its own level, but is at a fifth or a twentieth of it, in a telephone's band.
# Four lines of RAVDESS are heard so of which it hears none or a quarter. Coughs and chords are heard, too, but
# only a voice moves its pitch, so a stretch counts where that moves.


#: Gains at which a sound is heard again, and the probability from which it may be speech then.
GAINS = (0.2, 0.05)
AGAIN = 0.2

#: Seconds: sounds that are no further apart are one, a shorter one is not heard again, and so much around it is.
TOGETHER = 0.25
UNCOVERED = 1.0
AROUND = 0.5

#: The least share of frames that have a pitch, its standard deviation in semitones, and the median of its steps
#: from a frame of 16 ms to the next. The four lines have 0.36, 3.3 and 0.23 or more. Of what else is heard so
#: (`benchmarks/real.py`), coughs have no pitch, chords a spread of 0.1, laughter steps of 0.09.
LEAST_VOICED = 0.2
LEAST_SPREAD = 1.0
LEAST_STEP = 0.15

#: Samples of a frame in which pitch is looked for, and from one to the next (50 and 16 ms).
_PITCH_FRAME = 800
_PITCH_HOP = 256


def missed_speech(channel: Pcm, sounds: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Speech in sounds of a channel that speech activity has left out: starts and ends in seconds, in order.

    Args:
        channel: 16 kHz int16, shape (n,).
        sounds: starts and ends in seconds, as `core.nonspeech_sounds.find_sounds` gives them.
    """
    missed = []
    for start, end in merge_gaps(sounds, TOGETHER):
        if end - start < UNCOVERED:
            continue
        first = max(0, round((start - AROUND) * ANALYSIS_RATE))
        part = pcm_to_float(channel[first : round((end + AROUND) * ANALYSIS_RATE)])
        half = soxr.resample(part, ANALYSIS_RATE, ANALYSIS_RATE // 2)
        narrow = np.asarray(soxr.resample(half, ANALYSIS_RATE // 2, ANALYSIS_RATE), np.float32)
        heard = []
        for gain in GAINS:
            activity = SpeechActivity(narrow=True)
            heard.append(np.concatenate((activity.push(np.float32(gain) * narrow), activity.flush())))
        offset = first / ANALYSIS_RATE
        for begin, finish in speech_spans(np.max(heard, axis=0), len(part) / ANALYSIS_RATE, FRAME_SECONDS, AGAIN):
            begin = max(begin + offset, start)
            finish = min(finish + offset, end)
            if begin < finish and _moves_as_a_voice(part[_at(begin - offset) : _at(finish - offset)]):
                missed.append((begin, finish))
    return missed


def _at(seconds: float) -> int:
    return round(seconds * ANALYSIS_RATE)


def _moves_as_a_voice(samples: Samples) -> bool:
    f0 = track_voice(samples, -(-len(samples) // _PITCH_HOP), _PITCH_HOP, _PITCH_FRAME).f0
    voiced = f0 > 0
    if voiced.mean() < LEAST_VOICED:
        return False
    semitones = 12 * np.log2(np.where(voiced, f0, 1.0))
    steps = np.abs(np.diff(semitones))[voiced[1:] & voiced[:-1]]
    return bool(semitones[voiced].std() >= LEAST_SPREAD and len(steps) and np.median(steps) >= LEAST_STEP)


# Sound in a clip: its one channel, where there is speech in it, and where there is any sound.
#
# Speech activity alone would cut the laugh before a line, a breath or the end of a scream off an expressive clip,
# so sounds that stand out of the clip's room tone count as well (`core.nonspeech_sounds`).


#: Seconds over which a file is no clip, and not read.
LONGEST = 600.0

#: Seconds; shorter is no speech. Less than Silero's 0.25, because a clip may be one word ("no").
MIN_SPEECH = 0.1

#: Seconds between two stretches of speech of which one was missed before: nearer ones are one.
SHORTEST_PAUSE = 0.1

#: Seconds of silence that Silero hears after a clip; otherwise speech whose end it can't hear lasts to the end
#: of the file.
SILENCE_AFTER = 0.5

SpanList = list[tuple[float, float]]


class Clip(NamedTuple):
    """One channel of a clip: float32 samples of shape (n,), their rate in Hz, and which channel they are."""

    samples: Samples
    sample_rate: int
    taken: str


class Heard(NamedTuple):
    """Spans in seconds, in order: `speech`, and `sounds`, which are speech and all other sound."""

    speech: SpanList
    sounds: SpanList


def read_clip(audio: dict[str, Any]) -> Clip:
    """Read a clip, a `{"bytes", "path"}` struct, at its own rate.

    Raises:
        BadInput: it is longer than `LONGEST`, can't be read, or its two channels differ.
    """
    info = read_header(audio)
    if info.seconds > LONGEST:
        raise BadInput(f"it is {info.seconds:.0f} s long, which is no clip", "cut it into clips")
    samples, taken = one_channel(np.concatenate([np.zeros((0, info.channels), np.float32), *blocks(audio)]))
    return Clip(samples, info.sample_rate, taken)


def hear(samples: Samples, sample_rate: int) -> Heard:
    """Find speech and other sounds in one channel, float32 in [-1, 1], shape (n,).

    Raises BadInput for sound on which speech activity raises an error.
    """
    analysed = np.asarray(soxr.resample(samples, sample_rate, ANALYSIS_RATE), np.float32)
    total = len(samples) / sample_rate
    with refusing("it"):
        probabilities = speech_probabilities(np.pad(analysed, (0, round(SILENCE_AFTER * ANALYSIS_RATE))))
    speech = speech_spans(probabilities, total, FRAME_SECONDS, min_speech=MIN_SPEECH, pad=0)
    pcm = to_pcm(analysed)
    sounds = find_sounds(pcm, speech)
    with refusing("it"):
        missed = missed_speech(pcm, sounds)
    if missed:
        speech = merge_gaps(sorted([*speech, *missed]), SHORTEST_PAUSE)
    others = [(start, min(end, total)) for start, end in find_sounds(pcm, speech)]
    return Heard(speech, merge_gaps(sorted([*speech, *others]), 0.0))
