"""The measures of benchmarks/separate.py, where what they must say is known."""

import sys

import numpy as np
import pytest
from audio_files import ROOT

from dailytalk_contiguous.core.audio import to_pcm
from dailytalk_contiguous.core.turns import Timed

BENCHMARKS = str(ROOT / "benchmarks")
sys.path.append(BENCHMARKS)

import held_out  # noqa: E402
from reader_talks import Reader, conversation, folds_of, pairs_of  # noqa: E402
from separate import Separated, Talk, measured  # noqa: E402

sys.path.remove(BENCHMARKS)  # its publish.py would hide our folder of that name

RATE, SECONDS = 8000, 100

#: Each speaks for 4 s in turn, with 1 s between; the right one says mm-hm into each turn of the left one, and
#: yes in the silence after every fourth turn of the left one.
TURNS = [Timed(("left", "right")[number % 2], 5.0 * number, 5.0 * number + 4) for number in range(20)]
INSIDE = [Timed("right", 10.0 * number + 2, 10.0 * number + 2.5) for number in range(10)]
ALONE = [Timed("right", 20.0 * number + 4.3, 20.0 * number + 4.7) for number in range(5)]


def talk_of(speech: list[Timed]) -> Talk:
    """Noise that is another for each speaker."""
    random, voices = np.random.default_rng(1), np.zeros((SECONDS * RATE, 2), np.float32)
    for channel, start, end, _ in speech:
        part = slice(round(start * RATE), round(end * RATE))
        voices[part, int(channel == "right")] = 0.1 * random.standard_normal(part.stop - part.start)
    return Talk("talk", voices, RATE, speech, [span._replace(end=span.start + 0.2) for span in speech])


def separated(talk: Talk, turns: list[Timed]) -> Separated:
    """The recording on the side of each turn, on both sides where two overlap."""
    sides = np.zeros((len(talk.voices), 2), np.int16)
    for channel, start, end, _ in turns:
        part = slice(round(start * RATE), round(end * RATE))
        sides[part, int(channel == "right")] = talk.mono[part]
    return Separated(talk.mono, sides, turns, turns)


def other(span: Timed) -> Timed:
    return span._replace(channel="left" if span.channel == "right" else "right")


def values(talk: Talk, result: Separated) -> dict[str, float]:
    return {name: figure.value for name, figure in measured(talk, result)[0].items()}


TALK = talk_of([*TURNS, *INSIDE, *ALONE])


@pytest.mark.parametrize("exchange", [False, True])
def test_a_perfect_result_has_no_error_whichever_side_is_left(exchange: bool) -> None:
    found = separated(TALK, [other(span) if exchange else span for span in TALK.speech])
    sides = to_pcm(TALK.voices[:, ::-1] if exchange else TALK.voices)
    figures = values(TALK, found._replace(sides=sides))
    wrong = ("errors", "errors_alone", "errors_short", "swaps", "words", "offsets")
    right = ("precision", "recall", "backchannels_in", "backchannels_out", "short_alone", "equal")
    assert [figures[name] for name in wrong] == [0] * 6
    assert [figures[name] for name in right] == [1] * 6
    assert figures["sdr"] > 40
    assert figures["leak"] < -60


def test_all_on_one_side_is_that_of_who_speaks_more_and_the_other_is_missed() -> None:
    figures = values(TALK, separated(TALK, [span._replace(channel="left") for span in TALK.speech]))
    # 47 s of the right speaker, and 40 s of the left one, of which the other says something into 5 s.
    assert figures["errors"] == pytest.approx(40 / 87)
    assert figures["errors_alone"] == pytest.approx(35 / 77)
    assert figures["recall"] == 0
    assert figures["equal"] == 1
    assert figures["leak"] == pytest.approx(10 * np.log10(35 / 42), abs=0.2)


def test_sides_that_change_halfway_are_one_swap() -> None:
    figures = values(TALK, separated(TALK, [other(span) if span.start >= 50 else span for span in TALK.speech]))
    assert figures["swaps"] == pytest.approx(3600 / SECONDS)
    assert figures["errors_alone"] == pytest.approx(0.5, abs=0.02)
    assert figures["leak"] == pytest.approx(0, abs=1)


def test_a_mixture_on_both_sides_has_its_backchannels_there_and_no_more_than_the_levels_allow() -> None:
    figures = values(TALK, separated(TALK, TALK.speech))
    assert figures["backchannels_in"] == 1
    assert figures["sdr"] == pytest.approx(0, abs=0.5)


def test_turns_that_begin_and_end_late_are_wrong_for_so_long() -> None:
    talk, late = talk_of(TURNS), [span._replace(start=span.start + 0.1, end=span.end + 0.1) for span in TURNS]
    figures = values(talk, separated(talk, late))
    assert figures["errors"] == pytest.approx(0.2 / 4, rel=0.05)
    assert figures["offsets"] == pytest.approx(0, abs=1e-9)
    longer = [span._replace(end=span.end + 0.1) for span in TURNS]
    assert values(talk, separated(talk, longer))["offsets"] == pytest.approx(0.1)


def test_a_voice_that_leaks_is_as_far_down_as_it_is() -> None:
    talk = talk_of(TURNS)
    leaking = talk.voices + 0.1 * talk.voices[:, ::-1]
    assert values(talk, separated(talk, TURNS)._replace(sides=to_pcm(leaking)))["leak"] == pytest.approx(
        -20, abs=0.1
    )


def test_a_turn_that_is_not_heard_on_its_side_is_lost_with_its_words() -> None:
    figures = values(TALK, separated(TALK, [*TURNS, *INSIDE, *map(other, ALONE)]))
    assert (figures["backchannels_out"], figures["backchannels_in"]) == (0, 1)
    assert figures["words"] == pytest.approx(2 * 5 / 35)


def test_samples_that_are_not_the_recording_s_are_counted() -> None:
    talk = talk_of(TURNS)
    found = separated(talk, TURNS)
    found.sides[: RATE * 2] += 1
    assert values(talk, found)["equal"] == pytest.approx(78 / 80)


def item_of(speech: list[Timed]) -> held_out.Item:
    return held_out.Item("two", "clean", "talk", 0, np.zeros(SECONDS * 16000, np.float32), speech)


def test_of_the_time_in_which_one_speaks_what_is_missed_and_what_is_on_the_other_side_is_wrong() -> None:
    assert {key: ratio.value for key, ratio in held_out.measured(item_of(TALK.speech), TALK.speech).items()} == {
        "wrong": 0,
        "extra": 0,
        **dict.fromkeys(("precision", "recall", "short", "inside"), 1),
    }
    one_lost = [span for span in TALK.speech if span not in (TURNS[1], INSIDE[0], ALONE[0])]
    figures = held_out.measured(item_of(TALK.speech), [*one_lost, other(TURNS[1])])
    assert figures["wrong"].value == pytest.approx((4 + 0.4) / 77)  # 4 s on the other side, 0.4 s missed
    assert figures["short"] == (4, 5)
    assert figures["inside"] == (9, 10)


def test_readers_of_one_group_meet_nobody_of_another_and_no_phrase_is_said_twice() -> None:
    chance = np.random.default_rng(5)
    noise = [chance.standard_normal(24000).astype(np.float32) for _ in range(300)]
    readers = [
        Reader(str(number), noise[10 * number : 10 * number + 10], 100.0 + 5 * number) for number in range(30)
    ]
    folds = folds_of(readers)
    assert sorted(reader.name for fold in folds for reader in fold) == sorted(reader.name for reader in readers)
    for fold in folds:
        names = {reader.name for reader in fold}
        assert all({one.name, two.name} <= names and one != two for one, two in pairs_of(fold, chance))
    voices, _ = conversation(readers[:2], chance)
    heard = np.count_nonzero(voices, axis=0)
    read = [sum(map(len, reader.phrases)) for reader in readers[:2]]
    assert (heard <= read).all()
    assert max(heard / read) > 0.98  # one of them has read everything, once
