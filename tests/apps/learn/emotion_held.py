"""Examples of made-up voices."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from audio_files import Samples
from emotional_voices import drawn_voices

from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples, Sounds
from dailytalk_contiguous.core.sampling import joined_groups


def held_examples(
    sounds: Iterable[Samples],
    emotions: Sequence[str],
    speakers: Sequence[str],
) -> EmotionExamples:
    """Examples from sounds (16 kHz mono in [-1, 1], shape (n,)), which are kept as 16-bit samples.

    Args:
        emotions, speakers: of each sound.

    Nothing is left out. Equal sound has one group, as of `read_examples`.
    """
    kept = Sounds()
    digests = [kept.append(sound) for sound in sounds]
    classes = tuple(sorted({*emotions}))
    return EmotionExamples(
        classes,
        np.array([f"{number:06d}" for number in range(len(emotions))]),
        np.full(len(emotions), ""),
        np.array(speakers),
        np.array([classes.index(name) for name in emotions], np.intp),
        joined_groups([(digest,) for digest in digests]),
        np.zeros(len(emotions), np.bool_),
        np.arange(len(emotions)),
        kept,
    )


@lru_cache(maxsize=4)
def examples_of(speakers: int, each: int, seed: int = 0, spread: float = 0.06) -> EmotionExamples:
    """The same as examples, which measure a sound once."""
    return held_examples(*drawn_voices(speakers, each, seed, spread=spread))
