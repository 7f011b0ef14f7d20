"""Figures of a model of turn-taking (benchmarks/turn_scores.py): who foresees everything has full marks."""

from pathlib import Path

import numpy as np
import pytest

from dailytalk_contiguous.core.turns.turn_taking import Timed

BENCHMARKS = str(Path(__file__).parents[1] / "benchmarks")

#: Frames a second.
RATE = 25


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)


def talk() -> list[Timed]:
    """Twenty seconds again and again: a pause of 0.6 s, a turn of the other after 0.6 s, and an "mm-hm" in it."""
    timed = []
    for start in range(0, 200, 20):
        timed += [Timed("left", start + 1, start + 4), Timed("left", start + 4.6, start + 8)]
        timed += [Timed("right", start + 8.6, start + 19), Timed("left", start + 12.0, start + 12.4)]
    return timed


def figures(foresight: float) -> dict[str, float]:
    """Figures of a model that awaits, with this weight, whoever will speak 0.52 s later."""
    from turn_projection import STRETCHES, talk_of
    from turn_scores import figures_of, scores_of

    sound = np.zeros((200 * 8000, 2), np.float32)
    conversation = talk_of("call", sound, 8000, talk())
    later = np.roll(conversation.active, -round(0.52 * RATE), axis=0).astype(np.float32)
    logits = np.repeat(foresight * (later[:, :, None] - 0.5), STRETCHES, axis=2)
    return {question: figure.value for question, figure in figures_of([scores_of(conversation, logits)]).items()}


def test_who_foresees_everything_has_full_marks() -> None:
    from turn_scores import PAUSES

    assert figures(4.0)[PAUSES] == 1.0


def test_who_foresees_the_opposite_has_none() -> None:
    from turn_scores import PAUSES

    assert figures(-4.0)[PAUSES] == 0.0


def test_who_knows_nothing_is_as_good_as_chance() -> None:
    from turn_scores import PAUSES

    assert figures(0.0)[PAUSES] == 0.5
