"""espeak: every written word has exact times, a line never depends on another, and tags are heard."""

from itertools import pairwise

import numpy as np
import pytest

from dailytalk_contiguous.core.words.word_times import split_words
from dailytalk_contiguous.models.contracts import Line, Spoken, Synthesiser
from dailytalk_contiguous.models.synthesisers.espeak import Espeak

TEXT = "Well, I never thought that she would come back."


pytestmark = pytest.mark.needs("espeakng_loader")


def say(text: str = TEXT, tag: str = "", language: str = "en", take: int = 0, voice: str = "") -> Spoken:
    engine: Synthesiser = Espeak(voice)
    return engine.speak(Line(text, tag, language, take))


def periodicity(samples: np.ndarray, rate: int) -> float:
    """How alike the loudest 50 ms and what lies 5 to 15 ms later are, in [-1, 1]: near 1 for a tone."""
    spectrum = np.fft.rfft(samples)
    hertz = np.fft.rfftfreq(len(samples), 1 / rate)
    is_low = (hertz > 80) & (hertz < 1000)
    low = np.fft.irfft(spectrum * is_low, len(samples))
    size = rate // 20
    starts = range(0, len(low) - 2 * size, 100)
    loudest = max(starts, key=lambda start: level(low[start : start + size]))
    part = low[loudest : loudest + size]
    alike = []
    for lag in range(rate // 200, rate // 66):
        later = low[loudest + lag : loudest + lag + size]
        alike.append(float(np.corrcoef(part, later)[0, 1]))
    return max(alike)


def level(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples**2)))


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        "It's 25 degrees, isn't it? Well-known Mr. Smith paid $5.50.",
        "Ok. -- Yes … well — “No” – he said... 'Twas fine",
        "- At 12:30 p.m. on 3/4/2020, the U.S.A. won 1,234 %",
    ],
)
def test_every_written_word_has_its_times(text: str) -> None:
    spoken = say(text)
    words = spoken.words
    rate = spoken.sample_rate
    assert words is not None
    assert [word.word for word in words] == split_words(text)
    assert all(word.end - word.start > 0.03 for word in words)
    assert all(first.end <= second.start for first, second in pairwise(words))
    assert words[-1].end <= len(spoken.samples) / rate
    for word in words:
        first = round(word.start * rate)
        last = round(word.end * rate)
        assert level(spoken.samples[first:last]) > 0.003, word


def test_a_line_does_not_depend_on_those_before_it() -> None:
    first = say()
    say("Was ist das?", "screaming", "de")
    say("Something else entirely.", "whispering")
    again = say()
    assert np.array_equal(first.samples, again.samples)
    assert first.words == again.words


def test_tags_are_heard_and_never_read() -> None:
    neutral = say().samples
    shouting = say(tag="shouting").samples
    sad = say(tag="sad").samples
    hurried = say(tag="in a hurry tone").samples
    assert level(shouting) > 1.5 * level(neutral)
    assert level(neutral) > level(sad)
    assert len(hurried) < 0.8 * len(neutral) < 0.7 * len(sad)
    assert len(shouting) < 1.1 * len(neutral)


def test_a_whisper_has_no_tone() -> None:
    whispered = say("Well, I am here.", "whispering")
    voiced = say("Well, I am here.")
    assert periodicity(voiced.samples, voiced.sample_rate) > 0.7
    assert periodicity(whispered.samples, whispered.sample_rate) < 0.5


@pytest.mark.parametrize("language", ["en", "de", "zh", "ja"])
def test_languages_have_voices(language: str) -> None:
    assert len(say("1 2 3", language=language).samples) > 5000
