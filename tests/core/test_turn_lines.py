"""Which utterances are said in one take, with which text, and where the take is cut."""

import numpy as np
import pytest

from dailytalk_contiguous.core.records.utterance import Utterance
from dailytalk_contiguous.core.turns.turn_lines import (
    cut_samples,
    find_cuts,
    group_turns,
    shared_by_text,
    turn_text,
)
from dailytalk_contiguous.core.words.word import Word

RATE = 16000


USUAL = {"text": "I see.", "text_raw": "", "tag": "calm", "language": "en"}


def said(start: float, end: float, channel: str = "left", **fields: str) -> Utterance:
    return Utterance(source_channel=channel, start=start, end=end, **(USUAL | fields))


@pytest.mark.parametrize(
    ("utterances", "turns"),
    [
        pytest.param([said(0, 2), said(9, 11)], [[0, 1]], id="a pause of any length"),
        pytest.param([said(0, 12), said(12, 20)], [[0, 1]], id="a cut in running speech"),
        pytest.param(
            [said(0, 2), said(2.5, 2.9, "right"), said(4, 5)], [[0], [2]], id="the other speaks in the pause"
        ),
        pytest.param(
            [said(0, 2), said(1, 2.1, "right"), said(4, 5)], [[0], [2]], id="the other speaks into the pause"
        ),
        pytest.param(
            [said(0, 2), said(2.5, 2.9, "right", text=""), said(4, 5)],
            [[0], [2]],
            id="the other speaks in the pause, without words",
        ),
        pytest.param(
            [said(0, 2), said(0.5, 1, "right"), said(4, 5)], [[0, 2]], id="the other speaks inside a piece"
        ),
        pytest.param(
            [said(0, 12), said(11.9, 12.2, "right"), said(12, 20)],
            [[0, 2]],
            id="the other speaks across a cut in running speech",
        ),
        pytest.param([said(0, 2), said(3, 4, tag="sad")], [[0], [1]], id="another tag"),
        pytest.param([said(0, 2), said(3, 4, language="de")], [[0], [1]], id="another language"),
        pytest.param([said(0, 2), said(3, 4, text=" "), said(5, 6)], [[0], [2]], id="no text between"),
        pytest.param([said(0, 2), said(3, 4, text="..."), said(5, 6)], [[0], [1], [2]], id="marks alone"),
        pytest.param([said(0, 2), said(1, 3)], [[0], [1]], id="both at once"),
        pytest.param(
            [said(0, 12), said(13, 24), said(30, 37), said(38, 40)],
            [[0, 1, 2], [3]],
            id="no more than 30 s of speech",
        ),
        pytest.param([said(5, 6), said(0, 2)], [[1, 0]], id="times out of order"),
        pytest.param([said(0, 2, "right")], [], id="nobody on this side"),
    ],
)
def test_utterances_of_a_turn_are_those_with_nothing_else_between(
    utterances: list[Utterance], turns: list[list[int]]
) -> None:
    assert group_turns(utterances, "left", str) == turns


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([("I think.", "I think."), ("It broke!", "it broke")], "I think. It broke!"),
        ([("I think", "I think"), ("it broke", "it broke")], "I think it broke"),
        ([("I think.", "I think"), ("It broke.", "it broke")], "I think it broke."),
        ([("I think?", "I think,"), ("It broke!", "it broke.")], "I think, it broke!"),
        ([("I think.", "I think"), ("Sure.", "Sure.")], "I think. Sure."),
        ([("I thought.", "I think"), ("It broke.", "it broke")], "I thought. It broke."),
        ([("I think.", ""), ("It broke.", "")], "I think. It broke."),
        ([("そうです。", "そうです。"), ("はい。", "はい。")], "そうです。はい。"),
    ],
)
def test_sentence_that_goes_on_after_a_pause_is_one_unless_a_person_wrote_two(
    pieces: list[tuple[str, str]], text: str
) -> None:
    spoken = []
    for written, raw in pieces:
        spoken.append(said(0, 1, text=written, text_raw=raw))
    assert turn_text(spoken) == text


def take(*spans: tuple[float, float], seconds: float = 3.0) -> np.ndarray:
    """A tone in these seconds, and faint noise elsewhere."""
    times = np.arange(round(seconds * RATE)) / RATE
    generator = np.random.default_rng(0)
    sound = generator.normal(0, 1e-4, len(times))
    for start, end in spans:
        is_inside = (times >= start) & (times < end)
        phase = 2 * np.pi * 200 * times[is_inside]
        sound[is_inside] += 0.3 * np.sin(phase)
    return sound.astype(np.float32)


def words(*spans: tuple[float, float]) -> list[Word]:
    return [Word("word", start, end, None) for start, end in spans]


@pytest.mark.parametrize(
    ("counts", "quiet"),
    [
        ([1, 2], [(1.0, 1.06)]),
        ([2, 1], [(1.5, 1.9)]),
        ([1, 1, 1], [(1.0, 1.06), (1.5, 1.9)]),
    ],
)
def test_take_is_cut_in_the_quiet_between_words_that_are_roughly_timed(
    counts: list[int], quiet: list[tuple[float, float]]
) -> None:
    sound = take((0.2, 1.0), (1.06, 1.5), (1.9, 2.8))
    timed = words((0.2, 1.03), (1.03, 1.5), (1.9, 2.8))
    points = find_cuts(sound, RATE, timed, counts)
    assert points is not None
    for point, (start, end) in zip(points, quiet, strict=True):
        assert start < point / RATE < end


def test_take_is_not_cut_in_sound_or_where_the_words_are_unknown() -> None:
    running = take((0.2, 2.8))
    within = words((0.2, 1.0), (1.0, 2.8))
    assert find_cuts(running, RATE, within, [1, 1]) is None
    apart = take((0.2, 1.0), (2.0, 2.8))
    timed = words((0.2, 1.0), (2.0, 2.8))
    assert find_cuts(apart, RATE, timed, [1, 1]) is not None
    half_timed = [timed[0], None]
    assert find_cuts(apart, RATE, half_timed, [1, 1]) is None
    # a mark of 100 ms in the wrong place is in the midst of a word
    misplaced = words((0.2, 0.5), (0.5, 2.8))
    assert find_cuts(apart, RATE, misplaced, [1, 1]) is None
    silence = np.zeros(RATE, np.float32)
    after_the_end = words((2.0, 2.5), (2.6, 3.0))
    assert find_cuts(silence, RATE, after_the_end, [1, 1]) is None


def test_pieces_of_a_cut_take_are_all_of_it_and_fade_at_the_cut_alone() -> None:
    sound = take((0.0, 3.0))
    pieces = cut_samples(sound, RATE, [RATE, 2 * RATE])
    assert [len(piece) for piece in pieces] == [RATE] * 3
    first, second, third = pieces
    assert first[0] == sound[0]
    assert first[-1] == 0
    assert second[0] == 0
    assert second[-1] == 0
    assert third[0] == 0
    unfaded = slice(200, RATE - 200)
    middle = sound[RATE : 2 * RATE]
    assert np.array_equal(second[unfaded], middle[unfaded])
    end = sound[2 * RATE :]
    assert np.array_equal(third[200:], end[200:])


def test_price_is_shared_by_bytes_and_the_shares_are_the_price() -> None:
    shares = shared_by_text(3e-5, ["abc", "é", " abcde "])
    assert shares == pytest.approx([0.9e-5, 0.6e-5, 1.5e-5])
    assert sum(shares) == pytest.approx(3e-5)
