"""The shift engine: the recorded sound itself with another timbre, in any language, sample for sample in time.

It is McAdams' coefficient after Patino, Tomashenko, Todisco, Nautsch and Evans 2021 ("Speaker anonymisation using
the McAdams coefficient", Interspeech), the second baseline of the VoicePrivacy challenge, written from the paper:
the angles of the poles of linear prediction, which are the resonances of the vocal tract, are raised to the power
of a coefficient, and the residual of the prediction is filtered by the new poles. The words, the pitch, the timing
and the loudness stay. Two things are not the paper's: angles near the end of the band are spread over what is
left of it, and sound above 6 kHz is left alone, so that a wideband recording stays one. The pitch is left alone,
too: by two semitones a voice becomes hardly less like its speaker's. It is a change of voice for a dataset, and no
protection of a person: whoever knows the method can undo it.
"""

import hashlib

import numpy as np
import soxr
from numpy.typing import NDArray

from dailytalk_contiguous.core.errors import BadValue
from dailytalk_contiguous.core.licensing import Licence
from dailytalk_contiguous.core.sound.samples import Samples, of_length
from dailytalk_contiguous.models.contracts import Engine, VoiceConverter

#: The lowest coefficient that a speaker is given. Those further from 1 cost words (benchmarks/shift.py).
LOWEST = 0.77

#: The highest coefficient that a speaker is given. Those nearer to 1 leave a voice too much like the recorded one.
HIGHEST = 0.81

#: Hz. Sound above half of this rate stays as it is: the hiss of consonants tells words, and hardly a speaker.
HIGHEST_CONVERTED_RATE = 12000

#: Frames that are converted at once: 10 s.
BLOCK = 1000

FrameMatrix = NDArray[np.float64]


class Shift(VoiceConverter):
    """Converts sound by McAdams' coefficient. The same sound of the same speaker is always the same.

    Args:
        voice: a coefficient from `LEAST` to `MOST` for every speaker; empty draws one for each.
    """

    engine = "shift"
    model = "mcadams"

    def __init__(self, voice: str = "") -> None:
        self.voice = voice
        self._coefficient = coefficient_in(voice) if voice else None

    def settings(self) -> dict[str, object]:
        return {"lowest": LOWEST, "highest": HIGHEST}

    def preflight(self) -> None:
        """Nothing can be missing."""
        return

    def voice_of(self, speaker: str) -> str:
        return self.voice or f"{drawn_coefficient(speaker):.3f}"

    def convert(self, side: Samples, sample_rate: int, speaker: str) -> Samples:
        coefficient = self._coefficient or drawn_coefficient(speaker)
        if sample_rate <= HIGHEST_CONVERTED_RATE:
            return convert_timbre(side, sample_rate, coefficient)
        low = np.asarray(soxr.resample(side, sample_rate, HIGHEST_CONVERTED_RATE), np.float32)
        low_change = convert_timbre(low, HIGHEST_CONVERTED_RATE, coefficient) - low
        change = np.asarray(soxr.resample(low_change, HIGHEST_CONVERTED_RATE, sample_rate))
        return side + of_length(change, len(side))


#: The lowest coefficient that `--voice` may give. 1 changes nothing.
LEAST = 0.5

#: The highest coefficient that `--voice` may give.
MOST = 1.5


def coefficient_in(voice: str) -> float:
    """The coefficient that a voice names. Raises BadValue for what is none."""
    try:
        coefficient = float(voice)
    except ValueError:
        coefficient = float("nan")
    if not LEAST <= coefficient <= MOST:
        raise BadValue(
            f"--voice of shift can't be {voice!r}",
            f"give a coefficient from {LEAST} to {MOST}, such as 0.8, or leave it out: each speaker gets one",
        )
    return coefficient


def drawn_coefficient(speaker: str) -> float:
    """The coefficient of a speaker, evenly distributed from `LOWEST` to `HIGHEST`, to three digits."""
    digest = hashlib.sha256(speaker.encode("utf-8", "surrogateescape")).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return round(LOWEST + share * (HIGHEST - LOWEST), 3)


#: Seconds between frames; a frame is twice as long.
HOP_SECONDS = 0.01

#: Poles for each kHz of the sample rate: two for each kHz that is heard. With those of the slope, 20 at 16 kHz.
POLES_PER_KHZ = 1

#: Poles for the slope of the voice.
POLES_OF_SLOPE = 4


def convert_timbre(samples: Samples, sample_rate: int, coefficient: float) -> Samples:
    """Sound whose resonances are moved, float32, shape (n,) as before; each frame is as loud as it was.

    `sample_rate` is at most `HIGHEST_CONVERTED_RATE`. Digital silence stays what it is.
    """
    hop = round(HOP_SECONDS * sample_rate)
    length = 2 * hop
    order = round(POLES_PER_KHZ * sample_rate / 1000) + POLES_OF_SLOPE
    # Its square and that of the next frame add up to 1.
    window = np.sin(np.pi * (np.arange(length) + 0.5) / length)
    n_frames = -(-len(samples) // hop) + 1
    padded = np.zeros((n_frames + 1) * hop)
    padded[hop : hop + len(samples)] = samples
    converted = np.zeros_like(padded)
    for first in range(0, n_frames, BLOCK):
        count = min(BLOCK, n_frames - first)
        block = padded[first * hop : (first + count + 1) * hop]
        frames = np.lib.stride_tricks.sliding_window_view(block, length)[::hop] * window
        prediction = predict(frames, order)
        moved = move_poles(prediction, coefficient, sample_rate)
        refiltered = refilter(frames, prediction, moved) * window
        # Each new frame gets the energy of the old one.
        ratio = _share(np.sum((frames * window) ** 2, axis=1), np.sum(refiltered**2, axis=1))
        new_frames = refiltered * np.sqrt(ratio)[:, np.newaxis]
        halves = new_frames.reshape(count, 2, hop)
        hops = converted[first * hop : (first + count + 1) * hop].reshape(count + 1, hop)
        hops[:-1] += halves[:, 0]
        hops[1:] += halves[:, 1]
    return converted[hop : hop + len(samples)].astype(np.float32)


#: Share of the energy of a frame that is added as noise for the prediction, so that a band without sound has no
#: pole.
NOISE_FLOOR = 1e-9


def predict(frames: FrameMatrix, order: int) -> FrameMatrix:
    """Linear prediction of each frame by the Levinson-Durbin recursion: shape (frames, order + 1), the first 1.

    A frame of digital silence has no other coefficients.
    """
    n_frames, length = frames.shape
    spectra = np.fft.rfft(frames, 2 * length, axis=1)
    power = spectra.real**2 + spectra.imag**2
    correlation = np.fft.irfft(power, axis=1)[:, : order + 1]
    correlation[:, 0] *= 1 + NOISE_FLOOR
    coefficients = np.zeros((n_frames, order + 1))
    coefficients[:, 0] = 1.0
    error = correlation[:, 0].copy()
    for step in range(1, order + 1):
        products = coefficients[:, :step] * correlation[:, step:0:-1]
        reflection = _share(-products.sum(axis=1), error)
        backwards = coefficients[:, step - 1 :: -1]
        coefficients[:, 1 : step + 1] += reflection[:, np.newaxis] * backwards
        error *= 1 - reflection**2
    return coefficients


#: Hz. The paper's rate: angles are raised as at this rate, so that a resonance moves to the same frequency at any
#: rate.
REFERENCE_RATE = 16000


def move_poles(prediction: FrameMatrix, coefficient: float, sample_rate: int) -> FrameMatrix:
    """The prediction whose complex poles have other angles, raised to a power; the real poles stay."""
    n_frames = len(prediction)
    order = prediction.shape[1] - 1
    companions = np.zeros((n_frames, order, order))
    companions[:, 0] = -prediction[:, 1:]
    below = np.arange(1, order)
    companions[:, below, below - 1] = 1.0
    poles = np.linalg.eigvals(companions).astype(np.complex128)
    angles = np.abs(np.angle(poles))
    new_angles = _raised(angles, coefficient, sample_rate / REFERENCE_RATE)
    turned = np.abs(poles) * np.exp(1j * np.sign(poles.imag) * new_angles)
    poles = np.where(poles.imag == 0, poles, turned)
    polynomials = np.zeros((n_frames, order + 1), np.complex128)
    polynomials[:, 0] = 1.0
    for number in range(order):
        # The right side is computed before it is taken away.
        polynomials[:, 1 : number + 2] -= poles[:, number : number + 1] * polynomials[:, : number + 1]
    return polynomials.real


#: Share of the band up to which angles are raised. Above it they are spread evenly to the end of the band, where
#: raised ones would leave a gap, or pile up as a whistle.
KNEE = 0.75


def _raised(angles: FrameMatrix, coefficient: float, scale: float) -> FrameMatrix:
    """Angles from 0 to pi to the power of the coefficient, as at `scale` times their rate."""
    top = np.pi * scale
    knee = KNEE * top
    new_knee = knee**coefficient
    scaled = angles * scale
    above = new_knee + (scaled - knee) * (top - new_knee) / (top - knee)
    return np.where(scaled <= knee, scaled**coefficient, above) / scale


def refilter(frames: FrameMatrix, prediction: FrameMatrix, moved: FrameMatrix) -> FrameMatrix:
    """Frames without what their prediction explains, and with what the moved one does."""
    n_frames, length = frames.shape
    order = prediction.shape[1] - 1
    before = np.zeros((n_frames, order))
    padded = np.concatenate((before, frames), axis=1)
    excitation = np.zeros_like(frames)
    for delay in range(order + 1):
        delayed = padded[:, order - delay : order - delay + length]
        excitation += prediction[:, delay : delay + 1] * delayed
    filtered = np.concatenate((before, excitation), axis=1)
    backwards = moved[:, :0:-1]
    for sample in range(length):
        earlier = filtered[:, sample : sample + order]
        filtered[:, order + sample] -= np.einsum("ij,ij->i", backwards, earlier)
    return filtered[:, order:]


def _share(dividend: NDArray[np.float64], divisor: NDArray[np.float64]) -> NDArray[np.float64]:
    """The quotient; 0 where the divisor is 0."""
    quotient = np.zeros_like(dividend)
    np.divide(dividend, divisor, out=quotient, where=divisor > 0)
    return quotient


LICENCE = Licence(
    "MIT", "https://arxiv.org/abs/2011.01130", "of the program; the sound keeps that of its recordings"
)

ENGINE = Engine(
    "shift",
    lambda chosen: Shift(chosen.voice),
    LICENCE,
    model="mcadams",
    converts=True,
)
