"""Examples of made-up voices."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from audio_files import Samples
from emotional_voices import drawn_voices

from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples, Sounds
from dailytalk_contiguous.core.style.sampling import joined_groups


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
    count = len(digests)
    classes = tuple(sorted({*emotions}))
    ids = np.array([f"{number:06d}" for number in range(count)])
    corpora = np.full(count, "")
    labels = np.array([classes.index(name) for name in emotions], np.intp)
    groups = joined_groups([(digest,) for digest in digests])
    copies = np.zeros(count, np.bool_)
    numbers = np.arange(count)
    return EmotionExamples(classes, ids, corpora, np.array(speakers), labels, groups, copies, numbers, kept)


@lru_cache(maxsize=4)
def examples_of(speakers: int, each: int, seed: int = 0, spread: float = 0.06) -> EmotionExamples:
    """The same as examples, which measure a sound once."""
    return held_examples(*drawn_voices(speakers, each, seed, spread=spread))
