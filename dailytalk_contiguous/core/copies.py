"""Which changed copies of a clip there can be: how it is pitched, stretched, put into noise or into a room.

A copy keeps the labels of its source, so a change that would move the speaker's pitch or rate into another bucket
is refused. What a copy is follows from the id of its source, its kind and its number alone: neither the order of
rows nor how the work is cut changes it, and n copies are the first n of any larger number.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from datasets import Features, Value

from dailytalk_contiguous.core.buckets import HIGH, LOW, MID
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import STRING

KINDS = ("pitch", "stretch", "noise", "room")
COLOURS = ("white", "pink", "brown")

#: Semitones of a pitch shift, either way. Less than the first is hardly another pitch: two steps of the grid on
#: which `core.prosody` measures it.
LEAST_SEMITONES, MOST_SEMITONES = 0.4, 2.0

#: How much longer or shorter a stretched copy is. Less than the first isn't heard: the just noticeable
#: difference of tempo in speech is about 5 % (Quené 2007, J. of Phonetics 35).
LEAST_STRETCH, MOST_STRETCH = 0.03, 0.1

#: dB of speech over noise: from a busy office to a quiet living room.
LOWEST_SNR, HIGHEST_SNR = 15.0, 30.0

#: Seconds of reverberation: listening rooms have 0.2 to 0.4 s (EBU Tech 3276), a treated booth about 0.1 s.
SHORTEST_RT60, LONGEST_RT60 = 0.1, 0.4

#: A draw stays this far inside what is allowed (semitones, or a share of the length): rounding must not lead out.
_INSIDE = 1e-9

#: The columns of a copy; null in any other row. `augmentation` is its `Recipe`.
COPY = Features(
    {
        "augmented_from": STRING,
        "augmentation": {"kind": STRING, "amount": Value("float64"), "detail": STRING, "seed": Value("int64")},
    }
)


class Thresholds(NamedTuple):
    """Bucket thresholds of one measure for one speaker, as `core.buckets.Buckets` has them."""

    low: float = -math.inf
    high: float = math.inf


class Source(NamedTuple):
    """A clip to copy: its id, its measures (`core.prosody`; NaN: unknown), and the thresholds of its speaker."""

    id: str
    f0_mean: float = math.nan
    f0_std: float = math.nan
    speech_rate: float = math.nan
    f0_mean_thresholds: Thresholds = Thresholds()
    f0_std_thresholds: Thresholds = Thresholds()
    speech_rate_thresholds: Thresholds = Thresholds()


class Recipe(NamedTuple):
    """How a copy is made.

    `amount`: semitones (pitch), times the length (stretch), dB of speech over noise (noise), or seconds of
    reverberation (room). `detail`: colour of the noise, or name of its file in the folder of noises, else None.
    `seed`: of all that is random in it.
    """

    kind: str
    amount: float
    detail: str | None
    seed: int


class Refusal(NamedTuple):
    """A kind of copy that a clip can't have, and why."""

    kind: str
    reason: str


class Copies(NamedTuple):
    """What can be made of one clip."""

    recipes: list[Recipe]
    refused: list[Refusal]


def plan_copies(
    source: Source, kinds: Iterable[str], count: int, seed: int = 0, noises: Sequence[str] = ()
) -> Copies:
    """The first `count` copies of a clip, its kinds in turn; fewer only where every kind is refused.

    Args:
        source: the clip.
        kinds: of `KINDS`; their order does not matter.
        count: how many.
        seed: another seed gives other copies.
        noises: names of recordings of noise in their folder; without them noise is of one of `COLOURS`.

    Raises:
        DailytalkError: a kind is unknown.
    """
    asked = set(kinds)
    if unknown := sorted(asked - set(KINDS)):
        raise DailytalkError(f"there is no augmentation {unknown[0]!r}", f"choose among {', '.join(KINDS)}")
    allowed = {kind: _allowed(kind, source) for kind in KINDS if kind in asked}
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
    """The id of a copy: `ID~pitch+1.30-5f2c`, whose last four digits tell copies with the same figures apart."""
    amount = f"{recipe.amount:+.2f}" if recipe.kind == "pitch" else f"{recipe.amount:.2f}"
    return f"{source_id}~{recipe.kind}{amount}-{recipe.seed & 0xFFFF:04x}"


def copied_seconds(recipe: Recipe, seconds: float) -> float:
    """How long a copy of a clip of `seconds` is, to half a sample."""
    return seconds * recipe.amount if recipe.kind == "stretch" else seconds


def generator(seed: int) -> np.random.Generator:
    """What all chance in the copy with this `Recipe.seed` is drawn from."""
    return np.random.Generator(np.random.PCG64(seed))


def bucket(value: float, thresholds: Thresholds) -> str:
    """The bucket of one value by thresholds of `core.buckets.percentile`, whose rule for ties this is."""
    is_low, is_high = value <= thresholds.low, value >= thresholds.high
    return MID if is_low == is_high else LOW if is_low else HIGH


def flips(kind: str, amount: float, source: Source) -> str | None:
    """Name of the measure that this change would move into another bucket, or None."""
    for name, value, thresholds, ratio in _moved(kind, amount, source):
        if bucket(value * ratio, thresholds) != bucket(value, thresholds):
            return name
    return None


def _moved(kind: str, amount: float, source: Source) -> list[tuple[str, float, Thresholds, float]]:
    """The known measures that a change multiplies: name, value, thresholds, and by how much."""
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
    return [one for one in moved if math.isfinite(one[1])]


def _allowed(kind: str, source: Source) -> list[tuple[float, float]]:
    """Ranges of the amount in which no bucket flips; none where the kind is refused."""
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
        least, most = _ratios(value, thresholds)
        if kind == "pitch":
            least, most = (12 * math.log2(end) if end > 0 else -math.inf for end in (least, most))
        else:
            least, most = 1 / most, 1 / least if least > 0 else math.inf
        low, high = max(low, least + _INSIDE), min(high, most - _INSIDE)
    inside = [(max(start, low), min(end, high)) for start, end in parts]
    return [
        (start, end)
        for start, end in inside
        if start < end and not flips(kind, start, source) and not flips(kind, end, source)
    ]


def _ratios(value: float, thresholds: Thresholds) -> tuple[float, float]:
    """By what a value may be multiplied to stay in its bucket: from, to."""
    if value <= 0:
        return 0.0, math.inf  # it stays where it is
    now = bucket(value, thresholds)
    low, high = (max(0.0, end) / value for end in thresholds)
    return {LOW: (0.0, low), MID: (low, high), HIGH: (high, math.inf)}[now]


def _refusal(kind: str, source: Source) -> str:
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
    """Three whole numbers in [0, 2**63) from SHA-256, which is the same everywhere."""
    text = f"{seed}\0{kind}\0{number}\0{name}".encode("utf-8", "surrogateescape")
    digest = hashlib.sha256(text).digest()
    first, second, third = (int.from_bytes(digest[at : at + 8], "big") >> 1 for at in (0, 8, 16))
    return first, second, third
