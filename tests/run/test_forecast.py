"""What is left of a run, by the seconds that its stages take."""

from pathlib import Path

import pytest

from dailytalk_contiguous.run.forecast import Forecast

A, B = Path("a"), Path("b")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def work(audio: float = 60.0) -> dict[str, float]:
    return {"Segment": audio, "Transcribe": audio}


def go(forecast: Forecast, clock: Clock, stage: str, audio: float, seconds: float) -> None:
    """A stage that takes so many seconds."""
    forecast.progress(stage, audio, None)
    clock.now += seconds
    forecast.progress(stage, audio, seconds)


def test_nothing_is_foretold_while_a_stage_to_come_was_never_measured(clock: Clock) -> None:
    forecast = Forecast(clock=clock)
    forecast.planned({A: work(), B: work()}, {})
    go(forecast, clock, "Segment", 60.0, 1.0)
    forecast.progress("Transcribe", 60.0, None)
    clock.now += 50
    assert (forecast.seconds_left, forecast.share) == (None, None)
    forecast.progress("Transcribe", 60.0, 50.0)
    assert forecast.seconds_left == pytest.approx(51)


def test_costs_of_the_last_run_stand_until_this_one_has_measured(clock: Clock) -> None:
    forecast = Forecast(clock=clock)
    forecast.planned({A: work(), B: work()}, {"Segment": 0.1, "Transcribe": 0.5})
    assert forecast.seconds_left == pytest.approx(2 * 36)
    go(forecast, clock, "Segment", 60.0, 12.0)
    assert forecast.seconds_left == pytest.approx(12 + 2 * 30)


def test_share_is_of_seconds_and_not_of_audio(clock: Clock) -> None:
    forecast = Forecast(clock=clock)
    forecast.planned({A: work()}, {"Segment": 0.01, "Transcribe": 0.99})
    go(forecast, clock, "Segment", 60.0, 0.6)
    assert forecast.share == pytest.approx(0.01)
    assert forecast.audio == (0, 60)
    forecast.progress("Transcribe", 60.0, None)
    clock.now += 29.4
    assert forecast.share == pytest.approx(0.5)
    assert forecast.seconds_left == pytest.approx(30)


def test_the_stage_at_hand_has_its_step_until_it_is_done(clock: Clock) -> None:
    forecast = Forecast(clock=clock)
    forecast.planned({A: work()}, {})
    forecast.progress("Transcribe", 60.0, None)
    forecast.progress("Transcribe", 60.0, None, "3 of 9 pieces of sound")
    assert forecast.at == "Transcribe, 3 of 9 pieces of sound"
    forecast.progress("Transcribe", 60.0, 5.0)
    assert forecast.at == "Transcribe"


def test_workers_share_what_is_left_as_far_as_there_are_shards(clock: Clock) -> None:
    forecast = Forecast(workers=4, clock=clock)
    forecast.planned({A: {"Transcribe": 60.0}, B: {"Transcribe": 60.0}}, {"Transcribe": 1.0})
    assert forecast.seconds_left == pytest.approx(60)
    forecast.progress("Transcribe", 60.0, None)
    forecast.progress("Transcribe", 60.0, None)
    clock.now += 30
    assert forecast.seconds_left == pytest.approx(30)
    assert forecast.share == pytest.approx(0.5)


def test_rejected_conversations_are_no_work_once_their_shard_is_made(clock: Clock) -> None:
    forecast = Forecast(clock=clock)
    forecast.planned({A: work(60.0)}, {"Segment": 0.1, "Transcribe": 1.0})
    go(forecast, clock, "Segment", 60.0, 6.0)
    go(forecast, clock, "Transcribe", 20.0, 20.0)
    assert forecast.seconds_left == pytest.approx(40)
    forecast.made(A, {"Segment": 60.0, "Transcribe": 20.0})
    assert (forecast.seconds_left, forecast.share, forecast.audio) == (0, 1, (60, 60))


def test_second_pass_begins_again_at_nothing(clock: Clock) -> None:
    forecast = Forecast(clock=clock)
    forecast.planned({A: work()}, {})
    go(forecast, clock, "Segment", 60.0, 1.0)
    go(forecast, clock, "Transcribe", 60.0, 9.0)
    forecast.made(A, work())
    assert forecast.share == 1
    forecast.planned({B: work(30.0)}, {})
    assert (forecast.share, forecast.elapsed, forecast.audio) == (0, 0, (0, 30))
    assert forecast.seconds_left == pytest.approx(5)
