"""Changed copies of clips: their plans, and Augment, which changes the rows that are to be copies.

Copies are shifted in pitch, stretched, with noise or in a room. A copy keeps the labels of its source, so a change
that would move the speaker's pitch or rate into another bucket is rejected. A copy is determined by the id of its
source, its kind and its number alone: neither the order of rows nor the division of the work changes it, and n
copies are the first n of any larger number. Copies are rows from the beginning, because a stage adds no rows; they
begin with the audio and the words of their source. Noise and rooms are plain arithmetic on samples; pitch and rate
need more to leave the formants where they are (`apps.clips.voice_effects`).
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from datasets import Features
from numpy.typing import NDArray

from dailytalk_contiguous.apps.clips import voice_effects
from dailytalk_contiguous.apps.clips.clip_source import ClipSound
from dailytalk_contiguous.core.records.arrow_types import record_features
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.sound.levels import frame_levels
from dailytalk_contiguous.core.sound.loudness import CEILING_DBTP, clip_loudness, levelled
from dailytalk_contiguous.core.sound.samples import Samples, encoded_sound, to_pcm
from dailytalk_contiguous.core.style.buckets import HIGH, LOW, MID
from dailytalk_contiguous.core.words.word import WordRow
from dailytalk_contiguous.machine import audio
from dailytalk_contiguous.stages.base import Stage

#: The amounts that each kind may have.
AMOUNTS = {
    # Semitones of a pitch shift, either way: less is hardly another pitch, two steps of the grid on which
    # `core.sound.prosody` measures it.
    "pitch": ((-2.0, -0.4), (0.4, 2.0)),
    # Times the length of a stretched copy: less isn't audible, the just noticeable difference of tempo in speech
    # is about 5 % (Quené 2007, J. of Phonetics 35).
    "stretch": ((0.9, 0.97), (1.03, 1.1)),
    # dB of speech over noise: from a busy office to a quiet living room.
    "noise": ((15.0, 30.0),),
    # Seconds of reverberation: listening rooms have 0.2 to 0.4 s (EBU Tech 3276), a treated booth about 0.1 s.
    "room": ((0.1, 0.4),),
}

#: The kinds of copies.
KINDS = tuple(AMOUNTS)

#: The colours of noise.
COLOURS = ("white", "pink", "brown")

#: The measures that each kind multiplies.
MOVED = {"pitch": ("f0_mean", "f0_std"), "stretch": ("speech_rate",)}

#: Amounts that are drawn until one moves no measure into another bucket; then the kind is refused.
DRAWS = 50


class Measured(NamedTuple):
    """A measure of a clip (`core.sound.prosody`; NaN: unknown), with the bucket thresholds of its speaker."""

    value: float
    low: float = -math.inf
    high: float = math.inf

    def bucket(self, factor: float = 1.0) -> str:
        """The bucket of the value times a factor, by the rule for ties of `core.style.buckets.percentile`."""
        value = self.value * factor
        is_low = value <= self.low
        is_high = value >= self.high
        if is_low == is_high:
            return MID
        return LOW if is_low else HIGH


class CopySource(NamedTuple):
    """A clip to copy: its id, and its measures by their names."""

    id: str
    measures: Mapping[str, Measured] = {}


class Recipe(NamedTuple):
    """The parameters of a copy.

    `amount`: semitones (pitch), times the length (stretch), dB of speech over noise (noise), or seconds of
    reverberation (room). `detail`: colour of the noise, otherwise None. `seed`: of all that is random in it.
    """

    kind: str
    amount: float
    detail: str | None
    seed: int


def plan_copies(
    source: CopySource, kinds: Iterable[str], count: int, seed: int = 0
) -> tuple[list[Recipe], list[str]]:
    """Return the first `count` copies of a clip, its kinds in turn, and the kinds that would flip a bucket.

    Args:
        source: the clip.
        kinds: of `KINDS`; their order does not matter.
        count: how many; there are fewer only if every kind is refused.
        seed: another seed gives other copies.
    """
    requested = set(kinds)
    usable = [kind for kind in KINDS if kind in requested]
    first = _seed(source.id, "order", 0, seed)
    recipes: list[Recipe] = []
    refused: list[str] = []
    while usable and len(recipes) < count:
        kind = usable[(first + len(recipes)) % len(usable)]
        number = len(recipes)
        own_seed = _seed(source.id, kind, number, seed)
        chance = np.random.default_rng(own_seed)
        detail = str(chance.choice(COLOURS)) if kind == "noise" else None
        ranges = AMOUNTS[kind]
        for _ in range(DRAWS):
            least, most = ranges[chance.integers(len(ranges))]
            amount = float(chance.uniform(least, most))
            if not flips(kind, amount, source):
                recipes.append(Recipe(kind, amount, detail, own_seed))
                break
        else:
            usable.remove(kind)
            refused.append(kind)
    return recipes, refused


def flips(kind: str, amount: float, source: CopySource) -> bool:
    """Whether a change would move a measure into another bucket; a pitch that is unknown can't be shifted."""
    factor = 2 ** (amount / 12) if kind == "pitch" else 1 / amount
    measures = []
    for name in MOVED.get(kind, ()):
        measure = source.measures.get(name)
        if measure and math.isfinite(measure.value):
            measures.append(measure)
    if kind == "pitch" and not measures:
        return True
    return any(measure.bucket(factor) != measure.bucket() for measure in measures)


def _seed(name: str, kind: str, number: int, seed: int) -> int:
    text = f"{seed}\0{kind}\0{number}\0{name}"
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def copy_id(source_id: str, recipe: Recipe) -> str:
    """The id of a copy: `ID~pitch+1.30-5f2c`, whose last four digits distinguish copies with the same figures."""
    amount = f"{recipe.amount:+.2f}" if recipe.kind == "pitch" else f"{recipe.amount:.2f}"
    return f"{source_id}~{recipe.kind}{amount}-{recipe.seed & 0xFFFF:04x}"


#: Cubic metres of a room, from a booth to a living room.
VOLUMES = (15.0, 56.0)

#: Metres from the mouth to the microphone.
DISTANCES = (0.3, 0.9)

#: Seconds until the first reflection, which has gone at least two metres further.
FIRST_REFLECTION = 0.006


def room_response(sample_rate: int, rt60: float, chance: np.random.Generator) -> Samples:
    """Impulse response of a random small room, float32, `rt60` seconds long; it begins with the direct 1.

    Reverberation is noise that decays by 60 dB in `rt60` seconds (Polack's model of a diffuse field). Its energy
    beside the direct sound follows from the room: both are equal at 0.057·√(volume/rt60) metres. The direct sound
    comes first and unchanged, so a clip in a room keeps the times of its words.
    """
    volume = chance.uniform(*VOLUMES)
    distance = chance.uniform(*DISTANCES)
    seconds = np.arange(round(rt60 * sample_rate)) / sample_rate
    decay = 10 ** (-3 * seconds / rt60)
    response = chance.standard_normal(len(seconds)) * decay
    response[seconds < FIRST_REFLECTION] = 0.0
    critical_distance = 0.057 * math.sqrt(volume / rt60)
    energy = np.sum(response**2)
    response *= distance / critical_distance / np.sqrt(energy)
    response[0] = 1.0
    return np.asarray(response, np.float32)


#: Seconds of a frame of energy.
FRAME = 0.02

#: A frame counts as speech down to this many dB under the loudest.
BELOW_LOUDEST = 30.0

#: Hz under which noise has nothing: brown noise would be mostly a slow sway of the membrane.
LOWEST_NOISE = 40.0

#: Exponents of the fall of power with frequency: 1/f to this.
SLOPES = {"white": 0.0, "pink": 1.0, "brown": 2.0}

#: Seconds in which the reverberation that is left fades out at the end of the clip.
FADE = 0.03


def speech_power(samples: Samples, sample_rate: int) -> float:
    """Mean square of the frames of one channel, shape (n,), at most 30 dB under the loudest; 0 if silent."""
    hop = round(FRAME * sample_rate)
    levels = frame_levels(samples, hop).astype(np.float64)
    loudest = float(levels.max(initial=0.0))
    if loudest <= 0:
        return 0.0
    is_speech = levels >= loudest * 10 ** (-BELOW_LOUDEST / 10)
    return float(levels[is_speech].mean())


def coloured_noise(count: int, sample_rate: int, colour: str, chance: np.random.Generator) -> Samples:
    """`count` samples of noise of a colour of `SLOPES`, without frequencies under 40 Hz, at any level."""
    from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

    size = next_fast_len(count, real=True)
    frequency = rfftfreq(size, 1 / sample_rate)
    audible = np.maximum(frequency, LOWEST_NOISE)
    shape: NDArray[np.float64] = audible ** (-SLOPES[colour] / 2)
    shape /= np.sqrt(np.mean(shape**2))
    shape[frequency < LOWEST_NOISE] = 0.0
    spectrum = rfft(chance.standard_normal(size))
    noise = irfft(spectrum * shape, size)[:count]
    return np.asarray(noise, np.float32)


def with_noise(samples: Samples, sample_rate: int, noise: Samples, snr_db: float) -> Samples:
    """Return one channel with `noise`, of the same length, so soft that speech has `snr_db` more power than it.

    The level is relative to the speech itself and not to the clip, whose pauses would make the noise louder. A
    silent clip, which `Condition` has rejected, gets none.
    """
    speech = speech_power(samples, sample_rate)
    power = float(np.mean(np.square(noise, dtype=np.float64)))
    gain = np.sqrt(speech / power * 10 ** (-snr_db / 10))
    return samples + noise * np.float32(gain)


def in_room(samples: Samples, sample_rate: int, response: Samples) -> Samples:
    """One channel through an impulse response that begins with the direct sound; of the same length."""
    from scipy.signal import fftconvolve

    convolved = fftconvolve(samples, response)[: len(samples)]
    wet = np.asarray(convolved, np.float32)
    width = min(round(FADE * sample_rate), len(wet))
    if width:
        fade = np.linspace(1, 0, width, dtype=np.float32)
        wet[len(wet) - width :] *= fade
    return wet


@dataclass(frozen=True)
class Augment(Stage):
    """Changes `audio`, `duration` and `words` by the row's `augmentation` if that is not null.

    A change is one of the left channel, which then has its loudness of before again (or is softer, where a true
    peak would pass −1 dBTP); only a stretch changes the right one too, or their times would differ. Words of a
    stretched copy begin and end at exactly `amount` times their times; its length is that of the source times
    `amount`, to the nearest sample. Changed audio is 16-bit FLAC at its own rate. Columns that were measured
    before (`f0_mean`, `snr_db`, …) are those of the source until they are measured again.

    `kinds` lists what may occur, so that a missing library is reported before the work begins. Raises BadInput for
    audio that can't be read, or is too short for another pitch.
    """

    kinds: tuple[str, ...] = setting(
        KINDS,
        f"Copies of training clips, by comma: {', '.join(KINDS)}.",
        option="augment",
        panel="balance",
        choices=KINDS,
        metavar="NAME,…",
        shown="none",
    )
    VERSION: ClassVar[int] = 4
    needs: ClassVar[tuple[str, ...]] = ("audio", "duration", "words", "augmentation")
    refuses: ClassVar[bool] = True
    adds: ClassVar[Features] = Features(record_features(ClipSound))

    def preflight(self, fetch: bool = True) -> None:
        if self.needs_praat:
            voice_effects.praat_version()

    def models(self) -> dict[str, str]:
        if self.needs_praat:
            return {"pitch_and_pace": f"{voice_effects.PRAAT_WHEEL} {voice_effects.praat_version()}"}
        return {}

    @property
    def needs_praat(self) -> bool:
        return "pitch" in self.kinds or "stretch" in self.kinds

    def row(self, row: Row) -> Row:
        if not row["augmentation"]:
            return row
        recipe = Recipe(**row["augmentation"])
        is_stretched = recipe.kind == "stretch"
        rate = audio.read_header(row["audio"]).sample_rate
        blocks = list(audio.blocks(row["audio"]))
        channels = np.concatenate(blocks)
        left = np.ascontiguousarray(channels[:, 0])
        after = change(left, rate, recipe)
        # As loud as before, or less where its peaks allow no more.
        loudness = clip_loudness(left, rate)
        matched = levelled(after, rate, loudness, CEILING_DBTP)
        if matched is not None and np.isfinite(matched.gain_db):
            after = matched.samples
        changed = [after]
        for other in channels.T[1:]:
            changed.append(change(other, rate, recipe) if is_stretched else other)
        words: list[WordRow] | None = row["words"]
        if words is not None and is_stretched:
            words = _stretched_words(words, recipe.amount)
        samples = np.stack(changed, axis=1)
        encoded = encoded_sound(to_pcm(samples), rate, "FLAC")
        sound: ClipSound = {
            "audio": {"bytes": encoded, "path": row["audio"]["path"]},
            "duration": len(after) / rate,
            "words": words,
        }
        return {**sound}


def _stretched_words(words: Sequence[WordRow], factor: float) -> list[WordRow]:
    """Words with their times multiplied by a factor."""
    stretched = []
    for word in words:
        moved = word.copy()
        moved["start"] = word["start"] * factor
        moved["end"] = word["end"] * factor
        stretched.append(moved)
    return stretched


def change(samples: Samples, sample_rate: int, recipe: Recipe) -> Samples:
    """One channel, float32, shape (n,), changed by a recipe; the same bits for the same recipe."""
    if recipe.kind == "pitch":
        return voice_effects.shift_pitch(samples, sample_rate, recipe.amount, recipe.seed)
    if recipe.kind == "stretch":
        return voice_effects.stretch(samples, sample_rate, recipe.amount, recipe.seed)
    chance = np.random.Generator(np.random.PCG64(recipe.seed))
    if recipe.kind == "room":
        response = room_response(sample_rate, recipe.amount, chance)
        return in_room(samples, sample_rate, response)
    assert recipe.detail
    noise = coloured_noise(len(samples), sample_rate, recipe.detail, chance)
    return with_noise(samples, sample_rate, noise, recipe.amount)
