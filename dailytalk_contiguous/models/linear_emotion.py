"""The kind `linear`: emotion by a multinomial regression on a voice's statistics, relative to its speaker's usual.

There are two regressions. One sees how an utterance differs from the usual of the training set, and is asked of a
voice of which nothing else is known; the other how it differs from its speaker's own usual. The answer is a mean
of both, and a speaker's usual is a mean of his own and the training set's: the more of his utterances are
classified together, the more his own counts. So one utterance alone has an answer, and thirty have a better one.
"""

from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.core.sound.samples import Samples
from dailytalk_contiguous.core.style.emotions import DEFAULT_LIMITS, SIX, VOICE_LINEAR, ConfidenceLimits, softmax
from dailytalk_contiguous.models.contracts import EmotionGuess, EmotionModel
from dailytalk_contiguous.models.emotion_features import MEASURES, emotion_features
from dailytalk_contiguous.models.emotion_folder import (
    RETRAIN,
    EmotionFolder,
    heard_part,
    nothing_said,
    why_unheard,
)

#: The weights of the model that comes with the package: `benchmarks/voice_linear.py` made them from the Berlin
#: database (Burkhardt et al. 2005; CC0-1.0).
BUNDLED_WEIGHTS = Path(__file__).with_name("assets") / "voice_linear" / "model.safetensors"

#: Utterances of a speaker, beyond the first, whose mean counts as much as the usual of the training set.
SHRINKAGE = 4.0

#: Numbers of utterances, NaN where one is missing.
Numbers = NDArray[np.floating]


def measure_voice(samples: Samples) -> Numbers:
    """The numbers of an utterance (`MEASURES`); all NaN for one of which nothing can be said."""
    heard, reason = heard_part(samples)
    return np.full(len(MEASURES), np.nan, np.float32) if reason else emotion_features(heard)


def own_share(count: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weight of a speaker's own usual, in [0, 1], by the number of his utterances."""
    others = np.maximum(count - 1, 0)
    share: NDArray[np.float64] = others / (others + SHRINKAGE)
    return share


def limit_of(model: EmotionModel, count: int) -> float:
    """The confidence under which a guess is unsure, if `count` utterances of its speaker are judged together.

    It is a mean of the model's two limits, as a guess is of what is heard alone and beside others.
    """
    share = float(own_share(np.array(count)))
    return (1 - share) * model.limits.alone + share * model.limits.beside


def members_of(speakers: Sequence[Hashable]) -> list[list[int]]:
    """The indices of each speaker's utterances, in order."""
    indices: dict[Hashable, list[int]] = {}
    for index, speaker in enumerate(speakers):
        indices.setdefault(speaker, []).append(index)
    return list(indices.values())


def usual_of(
    numbers: Numbers, speakers: Sequence[Hashable] | None, usual: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The usual values of each utterance's speaker, shape (n, measures), and how far they are his own, shape (n,).

    Args:
        numbers: shape (n, measures), NaN where missing.
        speakers: the speaker of each utterance; None if they are unknown.
        usual: the usual values of the training set, shape (measures,).
    """
    usuals = np.tile(usual, (len(numbers), 1))
    shares = np.zeros(len(numbers))
    if speakers is None:
        return usuals, shares
    for members in members_of(speakers):
        values = numbers[members].astype(np.float64)
        is_measured = np.isfinite(values)
        count = is_measured.sum(axis=0)
        total = np.where(is_measured, values, 0.0).sum(axis=0)
        mean = total / np.maximum(count, 1)
        share = own_share(count)
        usuals[members] = share * mean + (1 - share) * usual
        n_heard = float(is_measured.any(axis=1).sum())
        shares[members] = own_share(np.array(n_heard))
    return usuals, shares


def spreads_of(
    numbers: Numbers,
    speakers: Sequence[Hashable] | None,
    usuals: NDArray[np.float64],
    spread: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The spreads that each utterance is measured in, shape (n, measures): its speaker's where those are larger.

    A voice that varies more than those of the training set has its own spread, the more of its utterances there
    are. One that varies less is calm, and keeps that of the training set: else calm talk would sound like acted
    emotion.

    Args:
        numbers: shape (n, measures), NaN where missing.
        speakers: the speaker of each utterance; None if they are unknown.
        usuals: the usual values of each utterance's speaker, shape (n, measures).
        spread: the spreads of the training set, shape (measures,).
    """
    spreads = np.tile(spread, (len(numbers), 1))
    for members in members_of(speakers or ()):
        offsets = numbers[members].astype(np.float64) - usuals[members]
        is_measured = np.isfinite(offsets)
        count = is_measured.sum(axis=0)
        squares = np.where(is_measured, offsets**2, 0.0).sum(axis=0)
        variance = squares / np.maximum(count, 1)
        share = own_share(count)
        mixed = share * variance + (1 - share) * spread**2
        spreads[members] = np.sqrt(np.maximum(mixed, spread**2))
    return spreads


#: Spreads from the usual beyond which a number counts no more: of a microphone or a voice unlike all that were
#: learned, many numbers are far out, and would make an answer sure that is not.
FARTHEST = 2.5


def standardised(
    numbers: Numbers, usuals: NDArray[np.float64], spreads: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the distance of numbers from the usual, in spreads, within `FARTHEST`; 0 where one is missing."""
    differences = numbers.astype(np.float64) - usuals
    offsets = np.nan_to_num(differences / spreads, nan=0.0)
    return np.clip(offsets, -FARTHEST, FARTHEST)


_UNHEARD = "no sound in it stands out"


class LinearEmotion:
    """A trained regression.

    Args:
        name: its name in rows.
        classes: sorted.
        arrays: its arrays, all finite, with the names and shapes of `linear_shapes`.
        temperature: over 0.
        limits: the limits of its confidence.
    """

    kind = "linear"
    compares = True

    def __init__(
        self,
        name: str,
        classes: Sequence[str],
        arrays: Mapping[str, Numbers],
        temperature: float = 1.0,
        limits: ConfidenceLimits = DEFAULT_LIMITS,
    ) -> None:
        self.name = name
        self.classes = tuple(classes)
        self.temperature = temperature
        self.limits = limits
        names = linear_shapes(len(classes))
        self._arrays = {key: np.asarray(arrays[key], np.float64) for key in names}

    @classmethod
    def of_folder(cls, folder: EmotionFolder) -> "LinearEmotion":
        """The model of a folder. Raises ModelMissing for weights that are not of this kind."""
        shapes = linear_shapes(len(folder.classes))
        if folder.settings.get("measures") != [*MEASURES]:
            reason = f"{folder.about}: it has other measures of a voice than this version"
            raise ModelMissing(reason, RETRAIN)
        weights = folder.weights(shapes)
        is_finite = all(np.isfinite(array).all() for array in weights.values())
        is_spread = all((weights[name] > 0).all() for name in ("spread_alone", "spread_relative"))
        if not is_finite or not is_spread:
            reason = f"{folder.about}: its weights are not numbers, or its spreads are not over 0"
            raise ModelMissing(reason, RETRAIN)
        return cls(folder.name, folder.classes, weights, folder.temperature, folder.limits)

    def settings(self) -> dict[str, object]:
        return {"measures": [*MEASURES]}

    def weights(self) -> dict[str, NDArray[np.float32]]:
        return {key: array.astype(np.float32) for key, array in self._arrays.items()}

    def classify(
        self, sounds: Sequence[Samples], speakers: Sequence[Hashable] | None = None
    ) -> list[EmotionGuess]:
        if not len(sounds):
            return []
        measured = np.stack([measure_voice(sound) for sound in sounds])
        guesses = self.of_measures(measured, speakers)
        for index, sound in enumerate(sounds):
            if guesses[index].reason:
                guesses[index] = nothing_said(why_unheard(sound) or _UNHEARD)
        return guesses

    def of_measures(self, measured: Numbers, speakers: Sequence[Hashable] | None) -> list[EmotionGuess]:
        """Guesses by the numbers of `measure_voice`, shape (n, measures); no class where all are missing."""
        logits = self._logits(measured, speakers)
        shares = softmax(logits, self.temperature).astype(np.float32)
        guesses: list[EmotionGuess] = []
        for row, share in zip(measured, shares, strict=True):
            is_heard = np.isfinite(row).any()
            guesses.append(EmotionGuess(share) if is_heard else nothing_said(_UNHEARD))
        return guesses

    def _logits(self, measured: Numbers, speakers: Sequence[Hashable] | None) -> NDArray[np.float64]:
        arrays = self._arrays
        usuals, shares = usual_of(measured, speakers, arrays["usual"])
        alone = standardised(measured, arrays["usual"], arrays["spread_alone"])
        spreads = spreads_of(measured, speakers, usuals, arrays["spread_relative"])
        relative = standardised(measured, usuals, spreads)
        # Row by row: a product of matrices sums in another order for another number of rows.
        rows: list[NDArray[np.float64]] = []
        for row_alone, row_relative, share in zip(alone, relative, shares, strict=True):
            logits_alone = row_alone @ arrays["weights_alone"] + arrays["bias_alone"]
            logits_relative = row_relative @ arrays["weights_relative"] + arrays["bias_relative"]
            rows.append((1 - share) * logits_alone + share * logits_relative)
        logits = np.stack(rows)
        # On the whole a speaker says what speakers of the training set said: of new voices, sentences and sexes at
        # once 67 % are then right, not 64 % (`benchmarks/voice_linear.py`), and talk as usual is of no class.
        for members in members_of(speakers or ()):
            heard = [index for index in members if np.isfinite(measured[index]).any()]
            if heard:
                offset = arrays["bias_relative"] - logits[heard].mean(axis=0)
                logits[members] += shares[members[0]] * offset
        return logits


def linear_shapes(classes: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays of a regression of so many classes, by name."""
    count = len(MEASURES)
    shapes: dict[str, tuple[int, ...]] = {"usual": (count,)}
    for head in ("alone", "relative"):
        shapes[f"spread_{head}"] = (count,)
        shapes[f"weights_{head}"] = (count, classes)
        shapes[f"bias_{head}"] = (classes,)
    return shapes


class BundledVoice(LinearEmotion):
    """The regression that comes with the package: six classes, and the affect that they add up to.

    Each class has its affect (Russell & Mehrabian 1977; valence is freed of what follows arousal). That of an
    utterance is theirs, weighted by how many times as likely each class is as in what the speaker usually says,
    which is 0.5.

    Attributes:
        affect_error: two standard deviations of valence, arousal and dominance among utterances of one emotion,
            where speaker and sentence are new, shape (3,): a smaller difference may be none.
    """

    def __init__(self, arrays: Mapping[str, Numbers]) -> None:
        limits = ConfidenceLimits(*arrays["limits"].tolist())
        super().__init__(VOICE_LINEAR, SIX, arrays, limits=limits)
        self.affect_error = arrays["affect_error"].astype(np.float64)
        self._affect = arrays["affect"].astype(np.float64)
        self._usual_shares = softmax(arrays["bias_relative"].astype(np.float64))

    def affect_of(self, shares: Sequence[Sequence[float] | Numbers]) -> NDArray[np.float64]:
        """Valence, arousal and dominance in [0, 1], shape (n, 3), by probabilities of the classes; NaN without."""
        affect = np.full((len(shares), 3), np.nan)
        for number, row in enumerate(shares):
            if len(row):
                times = np.asarray(row, np.float64) / self._usual_shares
                mean = times @ self._affect / times.sum()
                affect[number] = np.clip(mean, 0.0, 1.0)
        return affect


@lru_cache(maxsize=1)
def bundled_voice() -> BundledVoice:
    from safetensors.numpy import load_file

    return BundledVoice(load_file(BUNDLED_WEIGHTS))
