"""What is found wrong with the words of a file, at the limits: which word, when, and whether it is an error."""

import numpy as np
import pytest

from dailytalk_contiguous.core.records.schema import MAIN, OTHER
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.publish.checks.findings import Loudness, word_findings


def words(*times: tuple[float, float], speaker: str = MAIN) -> list[Word]:
    spoken = []
    for number, (start, end) in enumerate(times):
        spoken.append(Word(f"w{number}", start, end, speaker=speaker))
    return spoken


def found(spoken: list[Word], loudness: Loudness | None = None) -> list[tuple[str, str, str]]:
    findings = word_findings("x", spoken, loudness)
    return [(finding.level, finding.kind, finding.problem) for finding in findings]


def loud(seconds: float, *silent: tuple[float, float], channels: int = 2) -> Loudness:
    """Loud everywhere but in some stretches of the left channel."""
    n_frames = round(seconds / 0.02)
    dbfs = np.full((n_frames, channels), -10.0, np.float32)
    for start, end in silent:
        first = round(start / 0.02)
        last = round(end / 0.02)
        dbfs[first:last, 0] = -90.0
    return Loudness(24000, channels, seconds, dbfs, 0.02)


def test_words_that_follow_each_other_have_no_findings() -> None:
    spoken = words((0.0, 0.5), (0.5, 1.0), (0.9995, 1.5))
    assert found(spoken, loud(1.5)) == []
    other = words((0.1, 0.4), speaker=OTHER)
    first = words((0.1, 0.5))
    last = words((0.6, 0.9))
    both = [*first, *other, *last]
    assert found(both, loud(1.0)) == []


@pytest.mark.parametrize(
    ("times", "kind", "message"),
    [
        (
            [(1.0, 1.2), (0.0, 0.2)],
            "unsorted-words",
            "1 of 2 words start before the one in front of them",
        ),
        (
            [(0.0, 0.0), (1.0, 0.5)],
            "zero-length-word",
            '2 of 2 words have no length: "w0" at 0.00 s, "w1" at',
        ),
        (
            [(0.0, 1.0), (0.998, 2.0)],
            "overlapping-words",
            "1 of 2 words begin before the same speaker's last one",
        ),
    ],
)
def test_times_that_can_not_be_are_errors(times: list[tuple[float, float]], kind: str, message: str) -> None:
    [(level, reported_kind, sentence)] = found(words(*times))
    assert level == "error"
    assert reported_kind == kind
    assert sentence.startswith(message)


def test_words_of_two_speakers_may_overlap_and_be_in_one_frame() -> None:
    other = words((0.001, 0.5), speaker=OTHER)
    assert found(words((0.0, 1.0)) + other) == []
    alone = words((0.0, 0.01), (0.02, 0.03), speaker=OTHER)
    assert found(alone) == []


@pytest.mark.parametrize(("total", "level"), [(20, "advice"), (19, "error")])
def test_one_word_in_twenty_may_be_lost_to_another_in_its_frame(total: int, level: str) -> None:
    times = [(0.08 * n, 0.08 * n + 0.01) for n in range(1, total)]
    spoken = words((0.16 + 0.02, 0.16 + 0.03), *times)
    spoken.sort(key=lambda word: word.start)
    [(reported_level, kind, sentence)] = found(spoken)
    assert reported_level == level
    assert kind == "same-frame"
    assert sentence.startswith(f"1 of {total} words begin in the same 80 ms frame as the next, and are lost: ")


@pytest.mark.parametrize(("total", "level"), [(20, "advice"), (19, "error")])
def test_one_word_in_twenty_may_be_where_nothing_is_heard(total: int, level: str) -> None:
    times = [(float(n), n + 0.5) for n in range(total)]
    loudness = loud(float(total), (2.9, 3.6))
    [(reported_level, kind, sentence)] = found(words(*times), loudness)
    assert reported_level == level
    assert kind == "silent-word"
    assert sentence == f'1 of {total} words are where nothing is heard: "w3" at 3.00 s'


def test_word_may_end_a_millisecond_after_the_audio_and_not_later() -> None:
    assert found(words((0.5, 1.001)), loud(1.0)) == []
    sentence = '1 of 1 words are outside the 1.00 s of audio: "w0" at 0.50 s'
    late = found(words((0.5, 1.002)), loud(1.0))
    assert late == [("error", "word-outside-audio", sentence)]
    early = words((-0.01, 0.5))
    [(_, kind, _)] = found(early, loud(1.0))
    assert kind == "word-outside-audio"


def test_words_of_a_channel_that_is_silent_or_not_there_are_not_told_of_one_by_one() -> None:
    silent = loud(1.0, (0.0, 1.0))
    assert found(words((0.1, 0.5)), silent) == []
    mono = loud(1.0, channels=1)
    other = words((0.1, 0.5), speaker=OTHER)
    assert found(other, mono) == []
