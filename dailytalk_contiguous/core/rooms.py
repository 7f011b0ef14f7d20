"""Small rooms that never were: impulse responses of a shoebox by the image method (Allen and Berkley 1979).

The direct sound comes first and unchanged, so a clip in a room keeps the times of its words. Walls are given the
absorption whose decay, measured on these very images, is the one asked for: formulas for it (Sabine, Eyring)
assume a diffuse field that a small room does not have. Images are moved by a few centimetres, without which a
perfect box is heard to chirp (De Sena et al. 2015, "On the modeling of rectangular geometries in room acoustic
simulations").
"""

import math

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import Samples

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


def room_response(sample_rate: int, rt60: float, generator: np.random.Generator) -> Samples:
    """Impulse response of a random small room, float32, about KEPT·rt60 seconds long; it begins with the direct 1.

    `rt60` is the reverberation time in seconds, as extrapolated from the decay from −5 to −25 dB (ISO 3382-2,
    T20).
    """
    distances, orders, direct = _images(rt60, generator)
    delays = (distances - direct) / SOUND_SPEED
    inside = delays < KEPT * rt60
    distances, orders, delays = distances[inside], orders[inside], delays[inside]
    kept = _reflection(distances, orders, delays, rt60)
    places = np.rint(delays * sample_rate).astype(np.int64)
    response = np.bincount(places, kept**orders * direct / distances).astype(np.float64)
    reflected = _high_passed(response, sample_rate)
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


def _images(rt60: float, generator: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int64], float]:
    """Distances in metres and numbers of reflections of all images but the source, and the source's distance."""
    size = generator.uniform(SMALLEST, LARGEST)
    direct = float(generator.uniform(NEAREST, FARTHEST))
    angle = generator.uniform(0, 2 * math.pi)
    toward = np.array([math.cos(angle), math.sin(angle), 0.0])
    middle = generator.uniform(FROM_WALL + FARTHEST / 2, size - FROM_WALL - FARTHEST / 2)
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
    distances += generator.uniform(-JITTER, JITTER, len(distances))
    return np.maximum(distances, direct), orders[reflected], direct


def _reflection(
    distances: NDArray[np.float64], orders: NDArray[np.int64], delays: NDArray[np.float64], rt60: float
) -> float:
    """What a wall gives back of an amplitude for the wanted decay; of all tried, the nearest."""
    bins = (delays / _BIN).astype(np.int64)
    width = int(orders.max()) + 1
    energy = np.bincount(bins * width + orders, distances**-2.0, (int(bins.max()) + 1) * width).reshape(-1, width)
    powers = np.arange(width)
    found = [decay_time(energy @ reflection ** (2.0 * powers), _BIN) for reflection in _REFLECTIONS]
    return float(_REFLECTIONS[int(np.argmin(np.abs(np.array(found) - rt60)))])


def _high_passed(response: NDArray[np.float64], sample_rate: int) -> NDArray[np.float64]:
    from scipy.signal import butter, sosfilt

    return np.asarray(sosfilt(butter(2, HIGH_PASS, "high", fs=sample_rate, output="sos"), response), np.float64)
