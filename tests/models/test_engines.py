from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.models.budget import Budget, SpendingLimit, obtain
from dailytalk_contiguous.models.contracts import (
    Line,
    Reserve,
    Spoken,
    SynthesisFailed,
    VoiceSample,
    free,
)
from dailytalk_contiguous.models.speech_cache import SpeechCache

PRICE = 0.1


class Hummer:
    """Hums every line for ten cents."""

    engine = "hummer"
    model = ""
    voice = ""
    server = ""
    concurrency = 4
    deterministic = False
    version = 1

    def __init__(self, n_samples: int = 100, hold: Callable[[], object] = lambda: None) -> None:
        self.n_samples = n_samples
        self.hold = hold
        self.said: list[Line] = []

    def settings(self) -> dict[str, object]:
        return {}

    def price(self, lines: Sequence[Line]) -> float:
        return PRICE * len(lines)

    def preflight(self) -> None:
        pass

    def speak(self, line: Line, samples: Sequence[VoiceSample] = (), reserve: Reserve = free) -> Spoken:
        with reserve(PRICE) as pay:
            self.said.append(line)
            self.hold()
            pay(PRICE)
        return Spoken(np.full(self.n_samples, 0.25, np.float32), 8000, None, PRICE)


class Unreserved(Hummer):
    """Says what a line has cost without having asked whether there is so much."""

    def speak(self, line: Line, samples: Sequence[VoiceSample] = (), reserve: Reserve = free) -> Spoken:
        return super().speak(line, samples)


def line(number: int) -> Line:
    return Line(f"Line {number}.", "", "en", 0)


def test_line_is_bought_once_however_many_want_it_at_a_time(tmp_path: Path) -> None:
    hummer = Hummer()
    money = Budget(None)
    together = Barrier(8, timeout=20)

    def buy(number: int) -> str:
        together.wait()
        key, _ = obtain(hummer, line(number % 2), (), SpeechCache(tmp_path), money)
        return key

    with ThreadPoolExecutor(8) as pool:
        wanted = [pool.submit(buy, number) for number in range(16)]
    keys = {future.result() for future in wanted}
    assert len(keys) == 2
    assert len(hummer.said) == 2
    assert money.spent == pytest.approx(2 * PRICE)
    assert money.saved == pytest.approx(14 * PRICE)


@pytest.mark.parametrize("affordable", [0, 1, 3])
def test_limit_is_never_passed_and_all_of_it_can_be_spent(tmp_path: Path, affordable: int) -> None:
    """0.1 three times is more than 0.3 to a computer. Every line is asked for before the first is paid."""
    asked = Barrier(8, timeout=20)
    hummer = Hummer(hold=asked.wait)
    money = Budget(affordable * PRICE)

    def buy(number: int) -> None:
        try:
            obtain(hummer, line(number), (), SpeechCache(tmp_path), money)
        except SpendingLimit:
            asked.wait()
            raise

    with ThreadPoolExecutor(8) as pool:
        wanted = [pool.submit(buy, number) for number in range(8)]
    refused = [future.exception() for future in wanted if future.exception()]
    assert len(hummer.said) == affordable
    assert len(refused) == 8 - affordable
    for error in refused:
        assert "--max-cost" in str(error)
        assert not isinstance(error, SynthesisFailed)


def test_nothing_is_bought_while_purchases_are_halted_and_everything_afterwards() -> None:
    money = Budget(None)
    with money.halted(), pytest.raises(DailytalkError, match="being stopped"), money.paying(0.0):
        pass
    with money.paying(PRICE) as pay:
        pay(PRICE)
    assert money.spent == PRICE


def test_price_of_a_request_is_held_back_while_it_is_under_way() -> None:
    money = Budget(2 * PRICE)
    passed = r"limit of 0\.2 USD \(0\.0000 USD are spent\): raise --max-cost and run the same command again"
    with (
        money.paying(PRICE),
        money.paying(PRICE),
        pytest.raises(SpendingLimit, match=passed),
        money.paying(PRICE),
    ):
        pass
    with money.paying(PRICE) as pay:
        pay(PRICE)
    with pytest.raises(SpendingLimit, match=r"0\.1000 USD are spent"), money.paying(1.5 * PRICE):
        pass
    assert money.spent == PRICE


def test_line_from_the_cache_is_the_one_that_was_bought_and_costs_nothing(tmp_path: Path) -> None:
    hummer = Hummer()
    money = Budget(PRICE)
    bought = obtain(hummer, line(0), (), SpeechCache(tmp_path), money)
    kept = obtain(hummer, line(0), (), SpeechCache(tmp_path), money)
    assert kept[0] == bought[0]
    assert np.array_equal(kept[1].spoken.samples, bought[1].spoken.samples)
    assert money.spent == PRICE
    assert money.saved == PRICE
    assert len(hummer.said) == 1


def test_cost_of_an_engine_that_reserves_nothing_is_spent_and_ends_at_the_limit(tmp_path: Path) -> None:
    hummer = Unreserved()
    money = Budget(PRICE)
    obtain(hummer, line(0), (), SpeechCache(tmp_path), money)
    assert money.spent == PRICE
    with pytest.raises(SpendingLimit):
        obtain(hummer, line(1), (), SpeechCache(tmp_path), money)
    # It is bought all the same, and so it is kept.
    _, kept = obtain(hummer, line(1), (), SpeechCache(tmp_path), Budget(0.0))
    assert kept.spoken.cost == PRICE
    assert len(hummer.said) == 2
