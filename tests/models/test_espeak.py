"""espeak: every written word has exact times, a line never depends on another, and tags are heard."""

from itertools import pairwise

import numpy as np
import pytest

from dailytalk_contiguous.core.word_times import split_words
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
    low = np.fft.irfft(spectrum * ((hertz > 80) & (hertz < 1000)), len(samples))
    size = rate // 20
    start = max(range(0, len(low) - 2 * size, 100), key=lambda at: level(low[at : at + size]))
    later = (low[start + lag : start + lag + size] for lag in range(rate // 200, rate // 66))
    return max(float(np.corrcoef(low[start : start + size], other)[0, 1]) for other in later)


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
    assert spoken.words is not None
    assert [word.text for word in spoken.words] == split_words(text)
    assert all(word.end - word.start > 0.03 for word in spoken.words)
    assert all(one.end <= two.start for one, two in pairwise(spoken.words))
    assert spoken.words[-1].end <= len(spoken.samples) / spoken.sample_rate
    for word in spoken.words:
        part = spoken.samples[round(word.start * spoken.sample_rate) : round(word.end * spoken.sample_rate)]
        assert level(part) > 0.003, word


def test_a_line_does_not_depend_on_those_before_it() -> None:
    first = say()
    say("Was ist das?", "screaming", "de")
    say("Something else entirely.", "whispering")
    again = say()
    assert np.array_equal(first.samples, again.samples)
    assert first.words == again.words


def test_tags_are_heard_and_never_read() -> None:
    neutral, shouting, sad, hurried = (say(tag=tag) for tag in ("", "shouting", "sad", "in a hurry tone"))
    assert level(shouting.samples) > 1.5 * level(neutral.samples) > 1.5 * level(sad.samples)
    assert len(hurried.samples) < 0.8 * len(neutral.samples) < 0.7 * len(sad.samples)
    assert len(shouting.samples) < 1.1 * len(neutral.samples)


def test_a_whisper_has_no_tone() -> None:
    whispered, voiced = (say("Well, I am here.", tag) for tag in ("whispering", ""))
    assert periodicity(voiced.samples, voiced.sample_rate) > 0.7
    assert periodicity(whispered.samples, whispered.sample_rate) < 0.5


@pytest.mark.parametrize("language", ["en", "de", "zh", "ja"])
def test_languages_have_voices(language: str) -> None:
    assert len(say("1 2 3", language=language).samples) > 5000
