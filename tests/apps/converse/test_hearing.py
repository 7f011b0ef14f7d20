"""Recognisers that hear a turn while it is spoken."""

import multiprocessing
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from talking import example

from dailytalk_contiguous.apps.converse.hearing import (
    LONGEST_WINDOW,
    ListeningProcess,
    SphinxListening,
    WindowListening,
    open_listening,
)
from dailytalk_contiguous.apps.converse.sound_blocks import BLOCK, AnalysisBlocks
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.word_times import Word
from dailytalk_contiguous.models.contracts import Recognised


def at_analysis_rate(samples: Samples) -> Samples:
    blocks = AnalysisBlocks()
    whole = samples[: len(samples) - len(samples) % BLOCK].reshape(-1, BLOCK)
    return np.concatenate([blocks.push(block) for block in whole])


def test_pocketsphinx_hears_both_parts_of_a_turn_with_a_pause_in_it() -> None:
    listening = SphinxListening()
    listening.begin()
    parts = [example("old_friends", 37.0, 39.2, 1), example("old_friends", 58.8, 60.8, 1)]
    first = 0
    for number, part in enumerate(map(at_analysis_rate, parts)):
        for start in range(0, len(part), 512):
            listening.push(part[start : start + 512])
        words = listening.words()
        first = first or len(words)
        assert listening.partial() == "".join(word.text for word in words).strip()
        assert (len(words) > first) == bool(number)
    text = "".join(word.text for word in words)
    assert "for the bread" in text
    assert "tell me" in text
    assert all(one.end <= other.start + 0.011 for one, other in pairwise(words))
    assert words[first].start >= 2.1
    listening.begin()
    assert listening.words() == []


class Counting:
    """A recogniser that hears a word a second, and keeps the lengths of its windows in seconds."""

    packs, punctuates = False, False

    def __init__(self) -> None:
        self.windows: list[float] = []

    def detect_languages(self, windows: Sequence[Samples]) -> list[str]:
        return ["en"] * len(windows)

    def transcribe(self, windows: Sequence[Samples], languages: Sequence[str]) -> list[Recognised]:
        seconds = [len(window) / ANALYSIS_RATE for window in windows]
        self.windows += seconds
        nan = float("nan")
        return [Recognised([Word(" one", i, i + 1, None) for i in range(round(s))], nan, nan) for s in seconds]


def test_a_recogniser_of_windows_hears_a_long_turn_in_windows_that_it_can_take() -> None:
    recogniser = Counting()
    listening = WindowListening(recogniser, "en")
    for seconds in (10, 20, 72, 5):
        listening.push(np.zeros(seconds * ANALYSIS_RATE, np.float32))
        words = listening.words()
        assert listening.words() == words  # nothing is heard twice
    assert len(words) == 107
    assert words[-1].end == pytest.approx(107)
    assert max(recogniser.windows) <= 30
    assert sum(recogniser.windows) == pytest.approx(10 + 30 + 72 + 5)
    assert LONGEST_WINDOW < 30


def test_a_recogniser_whose_process_is_killed_says_so_and_hears_the_next_turn() -> None:
    listening = open_listening("pocketsphinx", "en")
    assert isinstance(listening, ListeningProcess)
    listening.begin()
    listening.push(np.zeros(1600, np.float32))
    assert listening.words() == []
    (process,) = multiprocessing.active_children()
    process.kill()
    process.join()
    with pytest.raises(DailytalkError, match="the recogniser's process has ended"):
        listening.words()
    listening.begin()
    listening.close()


def test_pocketsphinx_speaks_no_german() -> None:
    with pytest.raises(DailytalkError, match="English only"):
        open_listening("pocketsphinx", "de")
