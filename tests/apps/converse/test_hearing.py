"""Recognition of a turn while it is spoken, with trained weights."""

from itertools import pairwise

import numpy as np
from audio_files import example as conversation
from audio_files import reference

from dailytalk_contiguous.apps.converse.talk_setup import open_listening
from dailytalk_contiguous.core.audio import ANALYSIS_RATE
from dailytalk_contiguous.core.word_times import normalise, split_words


def test_a_turn_that_is_longer_than_whisper_hears_at_once_is_recognised_as_a_whole() -> None:
    lines = [line for line in reference("bicycle_repair") if line["channel"] == "right"]
    turn = conversation("bicycle_repair")[:, 1]
    spoken = [turn[round(16000 * line["start"]) - 1600 : round(16000 * line["end"]) + 1600] for line in lines]
    seconds = sum(map(len, spoken)) / ANALYSIS_RATE
    words = open_listening("tiny.en", "en")(np.concatenate(spoken))
    assert all(one.start <= other.start for one, other in pairwise(words))
    assert seconds - 2 <= words[-1].end <= seconds
    said = [normalise(word) for line in lines for word in split_words(line["text"])]
    known = {normalise(word.text) for word in words}
    assert sum(word in known for word in said) >= 0.85 * len(said)
