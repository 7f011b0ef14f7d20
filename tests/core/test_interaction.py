"""Events that are planted in long conversations, among others that are nearly such events."""

import random
from collections import Counter
from collections.abc import Callable

import pytest

from dailytalk_contiguous.core.turns.interaction import (
    KYUTAI_RULES,
    RULES,
    detect_interactions,
    detect_kyutai_interactions,
    window_around,
)
from dailytalk_contiguous.core.turns.turn_taking import Timed

#: Speech of a scene: its channel, start and end in seconds, and how many words it has.
Line = tuple[str, float, float, int]
#: The speech of an event, and when the event begins and ends.
Event = tuple[list[Line], float, float]
Scene = Callable[[random.Random], Event]


def said(channel: str, start: float, seconds: float, words: int | None = None) -> Line:
    if words is None:
        words = max(1, round(3 * seconds))
    return channel, start, start + seconds, words


def pause(chance: random.Random) -> Event:
    first = chance.uniform(1.2, 6.0)
    gap = chance.uniform(0.25, 1.9)
    end = first + gap
    before = said("right", 0.0, first)
    after = said("right", end, chance.uniform(1.2, 4.0))
    return [before, after], first, end


def turn(chance: random.Random) -> Event:
    first = chance.uniform(1.2, 6.0)
    gap = chance.uniform(-0.45, 1.9)
    end = first + gap
    before = said("right", 0.0, first)
    after = said("left", end, chance.uniform(1.2, 4.0))
    return [before, after], first, end


def backchannel(chance: random.Random, who: str = "left") -> Event:
    start = chance.uniform(0.6, 4.0)
    seconds = chance.uniform(0.2, 0.9)
    words = chance.randint(1, 2)
    host = "right" if who == "left" else "left"
    end = start + seconds
    whole = said(host, 0.0, end + chance.uniform(0.6, 3.0))
    answer = said(who, start, seconds, words)
    return [whole, answer], start, end


def user_backchannel(chance: random.Random) -> Event:
    return backchannel(chance, "right")


def interruption(chance: random.Random) -> Event:
    start = chance.uniform(1.1, 5.0)
    late = chance.uniform(0.55, 1.9)
    end = start + late
    interrupted = said("left", 0.0, end)
    interrupting = said("right", start, late + chance.uniform(1.0, 4.0))
    return [interrupted, interrupting], start, end


SCENES: tuple[Scene, ...] = (pause, turn, backchannel, user_backchannel, interruption)


#: What is nearly an event: a list of speech.
NEAR_MISSES: tuple[list[Line], ...] = (
    [said("right", 0.0, 2.0), said("right", 2.15, 2.0)],  # too short for a pause
    [said("right", 0.0, 2.0), said("right", 4.2, 2.0)],  # too long for one
    [said("right", 0.0, 2.0), said("left", 2.2, 0.4), said("right", 3.0, 2.0)],  # mm-hm in a pause
    [said("right", 0.0, 0.4), said("right", 1.0, 2.0)],  # nearly nothing before the pause
    [said("right", 0.0, 2.0), said("left", 4.2, 2.0)],  # an answer too late
    [said("right", 0.0, 2.0), said("left", 2.3, 0.5)],  # an answer of a word
    [said("right", 0.0, 2.0), said("left", 2.4, 2.0), said("right", 2.6, 2.0)],  # both begin
    [said("right", 0.0, 2.0), said("left", 2.3, 2.0, 0)],  # nobody knows what
    [said("right", 0.0, 4.0), said("left", 1.0, 1.4, 2)],  # too long for a backchannel
    [said("right", 0.0, 4.0), said("left", 1.0, 0.9, 4)],  # too many words
    [said("right", 0.0, 2.0), said("left", 1.3, 0.5, 1)],  # the user hardly goes on
    [said("right", 0.0, 2.0), said("left", 0.2, 0.5, 1)],  # both begin
    [
        said("left", 0.0, 4.0),
        said("right", 1.0, 0.4, 1),
        said("right", 1.7, 0.4, 1),
    ],  # more than one word at a time
    [said("left", 0.0, 2.0), said("right", 1.6, 2.0)],  # the agent was about to end
    [said("left", 0.0, 5.0), said("right", 2.0, 4.0)],  # the agent does not stop
    [said("left", 0.0, 3.0), said("right", 2.0, 1.4), said("left", 3.3, 2.0)],  # the agent goes on
    [said("left", 0.0, 1.5), said("right", 0.4, 3.0)],  # both begin
    [said("right", 0.0, 3.0), said("left", 2.0, 3.0)],  # the agent interrupts
)


def conversation(scenes: list[list[Line]]) -> tuple[list[Timed], list[Timed], list[float]]:
    """The utterances and words of scenes one after another, far apart, and when each begins."""
    utterances = []
    words = []
    starts = []
    scene_start = 5.0
    for lines in scenes:
        starts.append(scene_start)
        for channel, start, end, count in lines:
            first = scene_start + start
            utterances.append(Timed(channel, first, scene_start + end))
            step = (end - start) / max(1, count)
            for number in range(count):
                word_start = first + number * step
                word_end = first + (number + 1) * step
                words.append(Timed(channel, word_start, word_end))
        last_end = max(end for _, _, end, _ in lines)
        scene_start += last_end + 6.0
    return utterances, words, starts


@pytest.mark.parametrize("seed", range(3))
def test_planted_events_are_found_with_their_times_and_what_is_nearly_one_is_not(seed: int) -> None:
    chance = random.Random(seed)
    kinds = {scene.__name__: scene for scene in SCENES}
    assert kinds.keys() == RULES.keys()
    planted: list[tuple[str, list[Line], float, float]] = []
    for kind, scene in kinds.items():
        for _ in range(100):
            lines, start, end = scene(chance)
            planted.append((kind, lines, start, end))
    for number in range(200):
        near_miss = NEAR_MISSES[number % len(NEAR_MISSES)]
        planted.append(("", near_miss, 0.0, 0.0))
    chance.shuffle(planted)
    scenes = [lines for _, lines, _, _ in planted]
    utterances, words, starts = conversation(scenes)
    expected = set()
    for (kind, _, start, end), scene_start in zip(planted, starts, strict=True):
        if kind:
            first = round(scene_start + start, 2)
            last = round(scene_start + end, 2)
            expected.add((kind, first, last))
    chance.shuffle(utterances)
    chance.shuffle(words)
    events, left_out = detect_interactions(utterances, words)
    shown = set()
    for event in events:
        rule = RULES[event.kind]
        assert event.who == rule.who
        first = round(event.start, 2)
        last = round(event.end, 2)
        shown.add((event.kind, first, last))
    assert shown == expected
    assert left_out.total() > 100


def test_what_is_nearly_an_event_is_counted_with_its_reason() -> None:
    counts = Counter[str]()
    for lines in NEAR_MISSES:
        utterances, words, _ = conversation([lines])
        events, left_out = detect_interactions(utterances, words)
        assert events == []
        counts += left_out
    kinds = {name.partition(":")[0] for name in counts}
    assert kinds == set(RULES)
    assert counts["turn: nobody knows what is said"] == 1
    assert counts["interruption: the agent may have been about to end"] == 1


@pytest.mark.parametrize(
    ("busy", "window"),
    [
        ([(12.0, 14.0), (14.4, 29.0), (31.0, 36.0)], (14.3, 36.1, True, True)),
        ([(13.2, 40.0)], (13.1, 35.0, True, False)),
        ([(11.0, 17.5), (20.0, 34.0)], (15.0, 35.0, False, True)),
        ([(20.0, 30.0)], (15.0, 35.0, True, True)),
    ],
)
def test_clip_is_cut_where_nobody_speaks_or_says_that_it_is_not(
    busy: list[tuple[float, float]], window: tuple[float, float, bool, bool]
) -> None:
    cut = window_around(25.0, 30.0, busy, 60.0, 10.0, 5.0)
    assert cut == pytest.approx(window)


#: By Kyutai's rules: speech, and the kind, start and end of the only event in it, or None.
KYUTAI: tuple[tuple[list[Line], tuple[str, float, float] | None], ...] = (
    ([said("right", 0.0, 2.0), said("right", 2.9, 1.2)], ("pause", 2.0, 2.9)),
    ([said("right", 0.0, 2.0), said("right", 2.3, 1.0), said("right", 4.0, 1.0)], ("pause", 3.3, 4.0)),
    ([said("right", 0.0, 2.0), said("right", 3.01, 1.5)], None),  # a second of silence ends an utterance
    ([said("right", 0.0, 2.0), said("right", 2.9, 1.0)], None),  # under 4 s
    ([said("right", 0.0, 4.5), said("right", 4.6, 0.2)], None),  # too short for a pause
    ([said("right", 0.0, 2.0), said("left", 2.2, 1.5), said("right", 2.9, 1.5)], None),  # the agent speaks
    ([said("right", 0.0, 5.1), said("left", 5.49, 5.1)], ("turn", 5.1, 5.49)),
    ([said("right", 0.0, 5.1), said("left", 5.55, 5.1)], None),  # too late
    ([said("right", 0.0, 4.9), said("left", 5.0, 5.1)], None),  # too little before it
    ([said("right", 0.0, 5.1), said("left", 5.2, 4.9)], None),  # too little said
    ([said("right", 0.0, 5.1), said("left", 4.8, 5.1)], None),  # no gap
    ([said("right", 0.0, 5.1), said("left", 2.0, 0.98)], ("backchannel", 2.0, 2.98)),
    ([said("right", 0.0, 5.1), said("left", 2.0, 1.1)], None),  # too long
    ([said("right", 0.0, 4.9), said("left", 2.0, 0.5)], None),  # too little around it
    ([said("right", 0.0, 5.1), said("left", 1.0, 0.3), said("left", 3.0, 0.3)], None),  # not alone
    ([said("left", 0.0, 5.0), said("right", 2.0, 0.5)], None),  # the user's
    (
        [said("right", 0.0, 3.1), said("left", 3.9, 3.1), said("right", 6.5, 3.1), said("left", 10.0, 3.1)],
        ("interruption", 6.5, 7.0),
    ),
    (
        [said("right", 0.0, 3.1), said("left", 3.9, 3.1), said("right", 7.1, 3.1), said("left", 10.5, 3.1)],
        None,  # the agent has ended
    ),
    (
        [said("right", 0.0, 3.1), said("left", 3.9, 2.9), said("right", 6.5, 3.1), said("left", 10.0, 3.1)],
        None,  # the second is too short
    ),
)


def test_rules_of_kyutai_find_what_they_say_and_nothing_that_is_nearly_it() -> None:
    scenes = [lines for lines, _ in KYUTAI]
    utterances, _, starts = conversation(scenes)
    random.Random(0).shuffle(utterances)
    expected = []
    for scene_start, (_, event) in zip(starts, KYUTAI, strict=True):
        if event:
            kind, start, end = event
            first = pytest.approx(scene_start + start)
            last = pytest.approx(scene_start + end)
            expected.append((kind, first, last))
    events = detect_kyutai_interactions(utterances)
    shown = [event[:1] + event[2:4] for event in events]
    assert shown == expected
    assert {event.kind for event in events} == {*KYUTAI_RULES}
