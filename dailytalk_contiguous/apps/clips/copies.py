"""Changed copies of clips: their plans, and the noise and the rooms that they are put into.

Copies are shifted in pitch, stretched, with noise or in a room. A copy keeps the labels of its source, so a change
that would move the speaker's pitch or rate into another bucket is rejected. A copy is determined by the id of its
source, its kind and its number alone: neither the order of rows nor the division of the work changes it, and n
copies are the first n of any larger number. Noise and rooms are plain arithmetic on samples; pitch and rate need
more to leave the formants where they are (`apps.clips.voice_effects`).
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.buckets import HIGH, LOW, MID
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.spans import frame_levels

KINDS = ("pitch", "stretch", "noise", "room")
COLOURS = ("white", "pink", "brown")

#: Semitones of a pitch shift, either way. Less than the first is hardly another pitch: two steps of the grid on
#: which `core.prosody` measures it.
LEAST_SEMITONES, MOST_SEMITONES = 0.4, 2.0

#: The relative change of length of a stretched copy. Less than the first isn't audible: the just noticeable
#: difference of tempo in speech is about 5 % (Quené 2007, J. of Phonetics 35).
LEAST_STRETCH, MOST_STRETCH = 0.03, 0.1

#: dB of speech over noise: from a busy office to a quiet living room.
LOWEST_SNR, HIGHEST_SNR = 15.0, 30.0

#: Seconds of reverberation: listening rooms have 0.2 to 0.4 s (EBU Tech 3276), a treated booth about 0.1 s.
SHORTEST_RT60, LONGEST_RT60 = 0.1, 0.4

#: A draw stays this far inside what is allowed (semitones, or a share of the length): rounding must not lead out.
_INSIDE = 1e-9


class Thresholds(NamedTuple):
    """Bucket thresholds of one measure for one speaker, as `core.buckets.Buckets` has them."""

    low: float = -math.inf
    high: float = math.inf


class CopySource(NamedTuple):
    """A clip to copy: its id, its measures (`core.prosody`; NaN: unknown), and the thresholds of its speaker."""

    id: str
    f0_mean: float = math.nan
    f0_std: float = math.nan
    speech_rate: float = math.nan
    f0_mean_thresholds: Thresholds = Thresholds()
    f0_std_thresholds: Thresholds = Thresholds()
    speech_rate_thresholds: Thresholds = Thresholds()


class Recipe(NamedTuple):
    """The parameters of a copy.

    `amount`: semitones (pitch), times the length (stretch), dB of speech over noise (noise), or seconds of
    reverberation (room). `detail`: colour of the noise, or name of its file in the folder of noises, otherwise
    None. `seed`: of all that is random in it.
    """

    kind: str
    amount: float
    detail: str | None
    seed: int


class Refusal(NamedTuple):
    kind: str
    reason: str


class Copies(NamedTuple):
    recipes: list[Recipe]
    refused: list[Refusal]


def plan_copies(
    source: CopySource, kinds: Iterable[str], count: int, seed: int = 0, noises: Sequence[str] = ()
) -> Copies:
    """The first `count` copies of a clip, its kinds in turn; fewer only where every kind is rejected.

    Args:
        source: the clip.
        kinds: of `KINDS`; their order does not matter.
        count: how many.
        seed: another seed gives other copies.
        noises: names of recordings of noise in their folder; without them noise is of one of `COLOURS`.
    """
    requested = set(kinds)
    allowed = {kind: _allowed(kind, source) for kind in KINDS if kind in requested}
    refused = [Refusal(kind, _refusal(kind, source)) for kind, parts in allowed.items() if not parts]
    usable = [kind for kind in allowed if allowed[kind]]
    if not usable:
        return Copies([], refused)
    first = _draw(source.id, "order", 0, seed)[0] % len(usable)
    recipes = []
    for number in range(count):
        kind = usable[(first + number) % len(usable)]
        recipes.append(_recipe(source.id, kind, number, seed, allowed[kind], sorted(noises) or COLOURS))
    return Copies(recipes, refused)


def copy_id(source_id: str, recipe: Recipe) -> str:
    """The id of a copy: `ID~pitch+1.30-5f2c`, whose last four digits distinguish copies with the same figures."""
    amount = f"{recipe.amount:+.2f}" if recipe.kind == "pitch" else f"{recipe.amount:.2f}"
    return f"{source_id}~{recipe.kind}{amount}-{recipe.seed & 0xFFFF:04x}"


def copied_seconds(recipe: Recipe, seconds: float) -> float:
    """The length in seconds of a copy of a clip of `seconds`, to half a sample."""
    return seconds * recipe.amount if recipe.kind == "stretch" else seconds


def bucket(value: float, thresholds: Thresholds) -> str:
    """The bucket of one value by thresholds of `core.buckets.percentile`, whose rule for ties this is."""
    is_low, is_high = value <= thresholds.low, value >= thresholds.high
    return MID if is_low == is_high else LOW if is_low else HIGH


def flips(kind: str, amount: float, source: CopySource) -> str | None:
    """Return the name of the measure that this change would move into another bucket, or None."""
    for name, value, thresholds, ratio in _moved(kind, amount, source):
        if bucket(value * ratio, thresholds) != bucket(value, thresholds):
            return name
    return None


def _moved(kind: str, amount: float, source: CopySource) -> list[tuple[str, float, Thresholds, float]]:
    """The known measures that a change multiplies: name, value, thresholds, and factor."""
    if kind == "pitch":
        ratio = 2 ** (amount / 12)
        moved = [
            ("f0_mean", source.f0_mean, source.f0_mean_thresholds, ratio),
            ("f0_std", source.f0_std, source.f0_std_thresholds, ratio),
        ]
    elif kind == "stretch":
        moved = [("speech_rate", source.speech_rate, source.speech_rate_thresholds, 1 / amount)]
    else:
        moved = []
    return [measure for measure in moved if math.isfinite(measure[1])]


def _allowed(kind: str, source: CopySource) -> list[tuple[float, float]]:
    """Ranges of the amount in which no bucket flips; none if the kind is rejected."""
    if kind == "noise":
        return [(LOWEST_SNR, HIGHEST_SNR)]
    if kind == "room":
        return [(SHORTEST_RT60, LONGEST_RT60)]
    if kind == "pitch" and not math.isfinite(source.f0_mean):
        return []  # nothing voiced is left to shift
    parts = [(-MOST_SEMITONES, -LEAST_SEMITONES), (LEAST_SEMITONES, MOST_SEMITONES)]
    if kind == "stretch":
        parts = [(1 - MOST_STRETCH, 1 - LEAST_STRETCH), (1 + LEAST_STRETCH, 1 + MOST_STRETCH)]
    low, high = -math.inf, math.inf
    for _, value, thresholds, _ in _moved(kind, 1.0, source):
        # By what the value may be multiplied to stay in its bucket.
        least, most = 0.0, math.inf
        if value > 0:  # else it stays where it is
            at_low, at_high = (max(0.0, end) / value for end in thresholds)
            ratios = {LOW: (0.0, at_low), MID: (at_low, at_high), HIGH: (at_high, math.inf)}
            least, most = ratios[bucket(value, thresholds)]
        if kind == "pitch":
            least, most = (12 * math.log2(end) if end > 0 else -math.inf for end in (least, most))
        else:
            least, most = 1 / most, 1 / least if least > 0 else math.inf
        low, high = max(low, least + _INSIDE), min(high, most - _INSIDE)
    inside = [(max(start, low), min(end, high)) for start, end in parts]
    return [
        (start, end)
        for start, end in inside
        if start <= end and not flips(kind, start, source) and not flips(kind, end, source)
    ]


def _refusal(kind: str, source: CopySource) -> str:
    if kind == "pitch" and not math.isfinite(source.f0_mean):
        return "its pitch is not known: too little of it is voiced"
    least = f"{LEAST_SEMITONES} semitones" if kind == "pitch" else f"{LEAST_STRETCH:.0%}"
    amounts = (-LEAST_SEMITONES, LEAST_SEMITONES) if kind == "pitch" else (1 - LEAST_STRETCH, 1 + LEAST_STRETCH)
    names = sorted({name for amount in amounts if (name := flips(kind, amount, source))}) or ["pitch or rate"]
    return f"even {least} either way would move its {' or '.join(names)} into another bucket of its speaker"


def _recipe(
    name: str, kind: str, number: int, seed: int, parts: Sequence[tuple[float, float]], noises: Sequence[str]
) -> Recipe:
    drawn, choice, own_seed = _draw(name, kind, number, seed)
    rest = drawn / 2**63 * sum(end - start for start, end in parts)
    amount = parts[-1][1]
    for start, end in parts:
        if rest <= end - start:
            amount = min(start + rest, end)
            break
        rest -= end - start
    return Recipe(kind, amount, noises[choice % len(noises)] if kind == "noise" else None, own_seed)


def _draw(name: str, kind: str, number: int, seed: int) -> tuple[int, int, int]:
    text = f"{seed}\0{kind}\0{number}\0{name}".encode("utf-8", "surrogateescape")
    digest = hashlib.sha256(text).digest()
    first, second, third = (int.from_bytes(digest[at : at + 8], "big") >> 1 for at in (0, 8, 16))
    return first, second, third


#: Metres a second, in air of 20 °C.
SOUND_SPEED = 343.0

#: Metres: smallest and largest length, width and height. A booth to a living room.
SMALLEST, LARGEST = (2.8, 2.4, 2.3), (5.0, 4.0, 2.8)

#: Metres from the mouth to the microphone, and that both keep from the walls.
NEAREST, FARTHEST, FROM_WALL = 0.3, 0.9, 0.5

#: Metres that images are moved by at most.
JITTER = 0.05

#: The response ends after this share of the reverberation time, 45 dB down: 54 dB and more under the direct sound.
KEPT = 0.75

#: Hz. Images only add up below; real walls let the lowest frequencies out.
HIGH_PASS = 60.0

_BIN = 0.001  # seconds a step when a decay is measured
_REFLECTIONS = np.linspace(0.05, 0.995, 190)  # amplitudes that a wall may give back


def room_response(sample_rate: int, rt60: float, chance: np.random.Generator) -> Samples:
    """Impulse response of a random small room, float32, about KEPT·rt60 seconds long; it begins with the direct 1.

    The room is a shoebox, by the image method (Allen and Berkley 1979). The direct sound comes first and
    unchanged, so a clip in a room keeps the times of its words. Walls have the absorption whose decay, measured on
    these very images, is the requested one: formulas for it (Sabine, Eyring) assume a diffuse field that a small
    room does not have. Images are moved by a few centimetres, without which a perfect box audibly chirps (De Sena
    et al. 2015, "On the modeling of rectangular geometries in room acoustic simulations").

    `rt60` is the reverberation time in seconds, as extrapolated from the decay from −5 to −25 dB (ISO 3382-2,
    T20).
    """
    from scipy.signal import butter, sosfilt

    distances, orders, direct = _images(rt60, chance)
    delays = (distances - direct) / SOUND_SPEED
    inside = delays < KEPT * rt60
    distances, orders, delays = distances[inside], orders[inside], delays[inside]
    # The share of an amplitude that a wall reflects; of all candidates, the nearest to the requested decay.
    bins = (delays / _BIN).astype(np.int64)
    width = int(orders.max()) + 1
    energy = np.bincount(bins * width + orders, distances**-2.0, (int(bins.max()) + 1) * width).reshape(-1, width)
    powers = np.arange(width)
    times = [decay_time(energy @ reflection ** (2.0 * powers), _BIN) for reflection in _REFLECTIONS]
    kept = float(_REFLECTIONS[int(np.argmin(np.abs(np.array(times) - rt60)))])
    indices = np.rint(delays * sample_rate).astype(np.int64)
    response = np.bincount(indices, kept**orders * direct / distances).astype(np.float64)
    passing = butter(2, HIGH_PASS, "high", fs=sample_rate, output="sos")
    reflected = np.asarray(sosfilt(passing, response), np.float64)
    reflected[0] += 1.0
    return reflected.astype(np.float32)


def decay_time(energy: NDArray[np.float64], step: float) -> float:
    """Reverberation time in seconds of energies `step` seconds apart: T20 by Schroeder's backward integration."""
    left = np.cumsum(energy[::-1])[::-1]
    level = 10 * np.log10(np.maximum(left / left[0], 1e-30))
    used = np.flatnonzero((level <= -5) & (level >= -25))
    if len(used) < 2:
        return 0.0
    slope = np.polyfit(used * step, level[used], 1)[0]
    return float(-60 / slope)


def _images(rt60: float, chance: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int64], float]:
    """Distances in metres and numbers of reflections of the source's images, and the source's own distance."""
    size = chance.uniform(SMALLEST, LARGEST)
    direct = float(chance.uniform(NEAREST, FARTHEST))
    angle = chance.uniform(0, 2 * math.pi)
    toward = np.array([math.cos(angle), math.sin(angle), 0.0])
    middle = chance.uniform(FROM_WALL + FARTHEST / 2, size - FROM_WALL - FARTHEST / 2)
    mouth, microphone = middle + toward * direct / 2, middle - toward * direct / 2
    reach = direct + SOUND_SPEED * KEPT * rt60
    squared, orders = np.zeros(1), np.zeros(1, np.int64)
    for length, source, target in zip(size, mouth, microphone, strict=True):
        turns = np.arange(-math.ceil(reach / (2 * length)) - 1, math.ceil(reach / (2 * length)) + 2)
        away = np.concatenate([2 * turns * length + source, 2 * turns * length - source]) - target
        bounced = np.concatenate([np.abs(2 * turns), np.abs(2 * turns - 1)])
        squared = np.add.outer(squared, away**2).ravel()
        orders = np.add.outer(orders, bounced).ravel()
        near = squared <= reach**2
        squared, orders = squared[near], orders[near]
    reflected = orders > 0
    distances = np.sqrt(squared[reflected])
    distances += chance.uniform(-JITTER, JITTER, len(distances))
    return np.maximum(distances, direct), orders[reflected], direct


#: Seconds of a frame of energy; a frame counts as speech down to this many dB under the loudest.
FRAME, BELOW_LOUDEST = 0.02, 30.0

#: Hz under which noise has nothing: brown noise would be mostly a slow sway of the membrane.
LOWEST_NOISE = 40.0

#: Exponents of the fall of power with frequency: 1/f to this.
SLOPES = {"white": 0.0, "pink": 1.0, "brown": 2.0}

#: Seconds in which the reverberation that is left fades out at the end of the clip.
FADE = 0.03


def speech_power(samples: Samples, sample_rate: int) -> float:
    """Mean square of the frames of one channel, shape (n,), at most 30 dB under the loudest; 0 if silent."""
    levels = frame_levels(samples, round(FRAME * sample_rate)).astype(np.float64)
    loudest = float(levels.max(initial=0.0))
    return float(levels[levels >= loudest * 10 ** (-BELOW_LOUDEST / 10)].mean()) if loudest > 0 else 0.0


def coloured_noise(count: int, sample_rate: int, colour: str, chance: np.random.Generator) -> Samples:
    """`count` samples of noise of a colour of `SLOPES`, without frequencies under 40 Hz, at any level."""
    from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

    size = next_fast_len(count, real=True)
    frequency = rfftfreq(size, 1 / sample_rate)
    shape: NDArray[np.float64] = np.maximum(frequency, LOWEST_NOISE) ** (-SLOPES[colour] / 2)
    shape /= np.sqrt(np.mean(shape**2))
    shape[frequency < LOWEST_NOISE] = 0.0
    noise = irfft(rfft(chance.standard_normal(size)) * shape, size)[:count]
    return np.asarray(noise, np.float32)


def with_noise(samples: Samples, sample_rate: int, noise: Samples, snr_db: float) -> Samples:
    """Return one channel with `noise`, of the same length, so soft that speech has `snr_db` more power than it.

    The level is relative to the speech itself and not to the clip, whose pauses would make the noise louder.
    Raises BadInput if either is silent.
    """
    speech, power = speech_power(samples, sample_rate), float(np.mean(np.square(noise, dtype=np.float64)))
    if not speech:
        raise BadInput("it holds no sound that noise could be set against", "leave it out")
    if not power:
        raise BadInput("the recording of noise is silent", "take it out of the folder of noises")
    return samples + noise * np.float32(np.sqrt(speech / power * 10 ** (-snr_db / 10)))


def in_room(samples: Samples, sample_rate: int, response: Samples) -> Samples:
    """One channel through an impulse response that begins with the direct sound; of the same length."""
    from scipy.signal import fftconvolve

    wet = np.asarray(fftconvolve(samples, response)[: len(samples)], np.float32)
    width = min(round(FADE * sample_rate), len(wet))
    if width:
        wet[len(wet) - width :] *= np.linspace(1, 0, width, dtype=np.float32)
    return wet
