"""Speech without the pauses inside utterances: by words, and by what sounds between them."""

import numpy as np
import pytest

from dailytalk_contiguous.core.sound.sound_edges import without_pauses

RATE = 16000

Spans = list[tuple[float, float]]


def sounding_at(spans: Spans, seconds: float = 10.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 3, round(seconds * RATE))
    for start, end in spans:
        first = round(start * RATE)
        last = round(end * RATE)
        samples[first:last] += rng.normal(0, 3000, last - first)
    return samples.astype(np.int16)


@pytest.mark.parametrize(
    ("sounds", "utterances", "words", "expected"),
    [
        pytest.param([(1, 2), (3, 4)], [(1, 4)], [(1, 2), (3, 4)], [(1, 2), (3, 4)], id="a pause"),
        pytest.param(
            [(1, 2), (3, 4)], [(1, 4)], [(1, 2.15), (2.9, 4)], [(1, 2), (3, 4)], id="words beyond the sound"
        ),
        pytest.param(
            [(1, 2), (3, 4)], [(1, 4)], [(1, 1.9), (3.1, 4)], [(1, 2), (3, 4)], id="words inside the sound"
        ),
        pytest.param([(1, 4)], [(1, 4)], [(1, 2.3), (2.6, 4)], [(1, 4)], id="a sound between words"),
        pytest.param([(1, 4)], [(1, 4)], [(1, 1.9), (2.7, 4)], [(1, 4)], id="a word that is not written"),
        pytest.param(
            [(1, 2), (2.4, 2.8), (3.2, 4)],
            [(1, 4)],
            [(1, 2), (3.2, 4)],
            [(1, 2), (2.4, 2.8), (3.2, 4)],
            id="a word that is not written, between pauses",
        ),
        pytest.param([(1, 2), (2.1, 4)], [(1, 4)], [(1, 2), (2.1, 4)], [(1, 4)], id="less than a pause"),
        pytest.param(
            [(1, 2), (3, 4)],
            [(0.5, 4.5)],
            [(1, 2), (3, 4)],
            [(0.5, 2), (3, 4.5)],
            id="utterances keep their edges",
        ),
        pytest.param([(1, 4)], [(1, 4)], [], [(1, 4)], id="no words"),
        pytest.param([(1, 4)], [(3, 4), (1, 3.2)], [], [(1, 4)], id="utterances at once, in any order"),
        pytest.param([(8, 10)], [(8, 10.0005), (10.0004, 10.0006)], [], [(8, 10)], id="a sample past the end"),
        pytest.param([], [], [(1, 2)], [], id="nobody speaks"),
    ],
)
def test_speech_is_without_the_pauses_in_it(
    sounds: Spans, utterances: Spans, words: Spans, expected: Spans
) -> None:
    speech = without_pauses(sounding_at(sounds), utterances, words, 0.2)
    assert np.array(speech).ravel() == pytest.approx(np.array(expected).ravel(), abs=0.02)
