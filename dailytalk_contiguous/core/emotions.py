"""Emotion in classes: which there are, what an estimate of affect says of them, and when nothing is said."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.schema import AFFECT

#: The classes where nobody names others: those that most acted corpora share.
SIX = ("angry", "disgusted", "fearful", "happy", "neutral", "sad")

#: What is said of an utterance whose likeliest class is less likely than the setting asks.
UNSURE = "unsure"

#: Valence, arousal and dominance that are typical of a class, in [-1, 1]: the means that people gave to words of
#: emotion (Russell & Mehrabian 1977, "Evidence for a three-factor theory of emotions"), to one decimal.
TYPICAL_AFFECT: Mapping[str, tuple[float, float, float]] = {
    "angry": (-0.5, 0.6, 0.3),
    "disgusted": (-0.6, 0.4, 0.1),
    "fearful": (-0.6, 0.6, -0.4),
    "happy": (0.8, 0.5, 0.5),
    "neutral": (0.0, 0.0, 0.0),
    "sad": (-0.6, -0.3, -0.3),
    "surprised": (0.4, 0.7, -0.1),
}

#: How far affect of one class spreads around what is typical, on the scale of [0, 1]. Chosen by hand: speech as
#: usual (0.5 throughout) is then neutral at 0.63 of six classes, and what is typical of anger is angry at 0.55.
SPREAD = 0.2


def affect_probabilities(affect: ArrayLike, classes: Sequence[str] = SIX) -> NDArray[np.float64]:
    """Probabilities of classes by affect: normal distributions around `TYPICAL_AFFECT`, all equally likely.

    Args:
        affect: valence, arousal and dominance in [0, 1], shape (n, 3).
        classes: at least two of `TYPICAL_AFFECT`.

    Returns shape (n, len(classes)), rows that sum to 1; NaN where affect is.

    Raises BadInput for a class without typical affect.
    """
    values = np.asarray(affect, np.float64).reshape(-1, len(AFFECT))
    unknown = [name for name in classes if name not in TYPICAL_AFFECT]
    if unknown:
        raise BadInput(
            f"nothing is known of the affect of {unknown[0]!r}", f"choose among {', '.join(TYPICAL_AFFECT)}"
        )
    centres = (np.array([TYPICAL_AFFECT[name] for name in classes]) + 1) / 2
    distances = ((values[:, None, :] - centres) ** 2).sum(axis=2)
    return softmax(-distances / (2 * SPREAD**2))


def softmax(logits: NDArray[np.float64], temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities of logits (…, classes), softened by a temperature over 1 (Guo et al. 2017)."""
    scaled = logits / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def choose_emotion(probabilities: ArrayLike, classes: Sequence[str], confidence: float) -> str | None:
    """The likeliest class; `UNSURE` if it is less likely than `confidence`, None where there are no numbers."""
    shares = np.asarray(probabilities, np.float64)
    if not len(shares) or not np.isfinite(shares).all():
        return None
    best = int(shares.argmax())
    return classes[best] if shares[best] >= confidence else UNSURE


#: What checkpoints of others call the classes, in lower case: words, and the abbreviations of IEMOCAP and CREMA-D.
#: Words that mean something else, such as `calm` or `excited`, are classes of their own.
CLASS_OF_LABEL: Mapping[str, str] = {
    **dict.fromkeys(("angry", "anger", "ang"), "angry"),
    **dict.fromkeys(("disgusted", "disgust", "dis"), "disgusted"),
    **dict.fromkeys(("fearful", "fear", "fea", "afraid", "scared"), "fearful"),
    **dict.fromkeys(("happy", "happiness", "hap", "joy", "joyful"), "happy"),
    **dict.fromkeys(("neutral", "neu", "no emotion"), "neutral"),
    **dict.fromkeys(("sad", "sadness"), "sad"),
    **dict.fromkeys(("surprised", "surprise", "sur"), "surprised"),
    **dict.fromkeys(("calm", "cal"), "calm"),
}


def class_of_label(label: str) -> str:
    """The class that a checkpoint's label means; the label itself, without spaces around it, if that is not known.

    >>> class_of_label("HAP"), class_of_label("bored")
    ('happy', 'bored')
    """
    return CLASS_OF_LABEL.get(label.strip().lower(), label.strip())
