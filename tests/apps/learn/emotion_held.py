"""Examples of made-up voices, held in memory."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np
from audio_files import Samples
from emotional_voices import drawn_voices

from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples
from dailytalk_contiguous.core.audio import pcm_to_float, to_pcm
from dailytalk_contiguous.core.sampling import joined_groups


class HeldSounds:
    """Sounds in memory, as 16-bit samples."""

    def __init__(self, sounds: Iterable[Samples]) -> None:
        self._sounds = [to_pcm(sound) for sound in sounds]

    def sounds(self, numbers: Sequence[int]) -> Iterator[Samples]:
        for number in numbers:
            yield pcm_to_float(self._sounds[number])


def held_examples(
    sounds: Iterable[Samples],
    emotions: Sequence[str],
    speakers: Sequence[str],
    genders: Sequence[str] | None = None,
    corpora: Sequence[str] | None = None,
) -> EmotionExamples:
    """Examples from sounds in memory (16 kHz mono in [-1, 1], shape (n,)), which are kept as 16-bit samples.

    Args:
        emotions, speakers: of each sound. genders, corpora: of each; None where unknown.

    Nothing is left out. Equal sound has one group, as of `read_examples`.
    """
    source, nothing = HeldSounds(sounds), np.full(len(emotions), "")
    classes = tuple(sorted({*emotions}))
    return EmotionExamples(
        classes,
        tuple(f"{number:06d}" for number in range(len(emotions))),
        nothing if corpora is None else np.array(corpora),
        np.array(speakers),
        nothing if genders is None else np.array(genders),
        nothing,
        np.array([classes.index(name) for name in emotions], np.intp),
        joined_groups([(sound.tobytes(),) for sound in source.sounds(range(len(emotions)))]),
        np.zeros(len(emotions), np.bool_),
        None,
        {},
        {},
        source,
        np.arange(len(emotions)),
    )


@lru_cache(maxsize=4)
def examples_of(speakers: int, each: int, seed: int = 0, spread: float = 0.06) -> EmotionExamples:
    """The same as examples, which measure a sound once."""
    return held_examples(*drawn_voices(speakers, each, seed, spread=spread))
