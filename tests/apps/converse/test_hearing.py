"""Recognition of a turn while it is spoken, with trained weights."""

import numpy as np
from audio_files import example as conversation
from audio_files import reference

from dailytalk_contiguous.apps.converse.talk_setup import open_listening
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE
from dailytalk_contiguous.core.words.word_times import normalise, split_words


def test_a_turn_that_is_longer_than_whisper_hears_at_once_is_recognised_as_a_whole() -> None:
    lines = [line for line in reference("bicycle_repair") if line["channel"] == "right"]
    turn = conversation("bicycle_repair")[:, 1]
    parts = []
    for line in lines:
        start = round(16000 * line["start"])
        end = round(16000 * line["end"])
        parts.append(turn[start - 1600 : end + 1600])
    spoken = np.concatenate(parts)
    seconds = len(spoken) / ANALYSIS_RATE
    words = open_listening("tiny.en", "en")(spoken)
    starts = [word.start for word in words]
    assert starts == sorted(starts)
    assert seconds - 2 <= words[-1].end <= seconds
    expected = [normalise(word) for line in lines for word in split_words(line["text"])]
    recognised = {normalise(word.word) for word in words}
    hits = [word for word in expected if word in recognised]
    assert len(hits) >= 0.85 * len(expected)
