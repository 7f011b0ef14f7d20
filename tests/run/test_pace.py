"""How far a run is said to be, of stages whose wall time is known beforehand."""

from pathlib import Path

import pytest

from dailytalk_contiguous.pipelines.to_text import tag_stages
from dailytalk_contiguous.run.pace import Pace
from dailytalk_contiguous.run.shard import RunPlan, ShardReport, StageEvent, Task
from dailytalk_contiguous.stages.base import Stages
from dailytalk_contiguous.stages.segment import Segment
from dailytalk_contiguous.stages.style import Punctuate
from dailytalk_contiguous.stages.transcribe import Transcribe

#: Seconds of audio of a conversation.
AUDIO = 100.0

#: Wall seconds of each stage for a conversation, once its model is loaded, and those that loading takes.
TAKES = {"Segment": 2.0, "Transcribe": 17.0, "Punctuate": 1.0}
LOADING = 30.0

#: Wall seconds of a conversation in all of them.
WHOLE = sum(TAKES.values())


class Replay:
    """A run of as many conversations as `names`, whose clock goes on as the stages take their time."""

    def __init__(self, names: str, earlier: dict[str, float] | None = None) -> None:
        self.now = 0.0
        self.stages: Stages = (Segment(), Transcribe("base"), Punctuate())
        self.pace = Pace(earlier or {}, lambda: self.now)
        self.shares = [0.0]
        tasks = [Task(Path(f"{name}.parquet"), [{"conversation_id": name, "duration": AUDIO}]) for name in names]
        self.pace.plan(RunPlan([task.path for task in tasks], tasks, 0), self.stages)

    def wait(self, seconds: float) -> None:
        """Let time go by, and look at the share all the while."""
        for _ in range(10):
            self.now += seconds / 10
            self.shares.append(self.pace.share)

    def call(self, name: str, stage: str, loading: float = 0.0) -> None:
        event = StageEvent(stage, (name,), AUDIO)
        self.pace.note(event)
        self.wait(loading)
        n_steps = 4
        for done in range(n_steps + 1):
            self.pace.note(StageEvent(stage, (name,), AUDIO, kind="pieces", done=done, total=n_steps))
            self.wait(TAKES[stage] / n_steps if done < n_steps else 0.0)
        self.pace.note(StageEvent(stage, (name,), AUDIO, wall=loading + TAKES[stage]))

    def make(self, name: str, loading: float = 0.0) -> None:
        for stage in TAKES:
            self.call(name, stage, loading if stage == "Transcribe" else 0.0)
        self.report(name)

    def report(self, name: str) -> None:
        stages = {stage: (wall, AUDIO) for stage, wall in TAKES.items()}
        self.pace.made(ShardReport(Path(f"{name}.parquet"), 0, AUDIO, WHOLE, stages, conversations=1))


def test_share_is_that_of_the_work_inside_a_conversation_and_never_goes_back() -> None:
    run = Replay("abcd")
    for name in "abcd":
        run.make(name, LOADING if name == "a" else 0.0)
    assert run.shares == sorted(run.shares)
    assert run.pace.share == 1.0
    assert run.pace.audio_done == 4 * AUDIO


def test_half_of_the_dear_stage_of_a_conversation_is_nearly_half_of_its_work() -> None:
    run = Replay("ab")
    run.make("a")
    run.call("b", "Segment")
    run.pace.note(StageEvent("Transcribe", ("b",), AUDIO))
    run.wait(TAKES["Transcribe"] / 2)
    done = WHOLE + TAKES["Segment"] + TAKES["Transcribe"] / 2
    assert run.pace.share == pytest.approx(done / (2 * WHOLE), abs=0.01)
    assert run.pace.audio_done == pytest.approx(run.pace.share * 2 * AUDIO)
    assert run.pace.seconds_left == pytest.approx(2 * WHOLE - done, rel=0.05)


def test_loading_of_models_is_no_part_of_the_time_left() -> None:
    run = Replay("abcd")
    run.make("a", LOADING)
    assert run.pace.seconds_left == pytest.approx(3 * WHOLE, rel=0.1)


def test_first_call_counts_no_more_once_a_stage_was_called_again() -> None:
    run = Replay("abc")
    run.pace.note(StageEvent("Transcribe", ("a",), AUDIO))  # of a stage that reports no steps
    run.wait(LOADING + TAKES["Transcribe"])
    run.pace.note(StageEvent("Transcribe", ("a",), AUDIO, wall=LOADING + TAKES["Transcribe"]))
    run.call("b", "Transcribe")
    assert run.pace.rates["Transcribe"] == pytest.approx(TAKES["Transcribe"] / AUDIO)


def test_time_left_is_unknown_before_a_dear_stage_was_measured_unless_an_earlier_run_has() -> None:
    run = Replay("ab")
    run.call("a", "Segment")
    assert run.pace.seconds_left is None
    earlier = {stage: wall / AUDIO for stage, wall in TAKES.items()}
    again = Replay("ab", earlier)
    again.call("a", "Segment")
    assert again.pace.seconds_left == pytest.approx(2 * WHOLE - TAKES["Segment"], rel=0.05)


def test_only_reports_of_workers_give_share_and_time_left_by_audio_and_wall_time() -> None:
    run = Replay("abcd")
    run.wait(LOADING)
    assert (run.pace.share, run.pace.seconds_left) == (0.0, None)
    run.wait(10.0)
    run.report("a")
    assert run.pace.share == 0.25
    assert run.pace.audio_done == AUDIO
    assert run.pace.seconds_left == pytest.approx(3 * (LOADING + 10.0))


def test_conversation_at_hand_has_its_stage_and_step() -> None:
    run = Replay("ab")
    run.pace.note(StageEvent("Transcribe", ("a",), AUDIO, kind="pieces", done=3, total=12))
    assert (run.pace.conversation, run.pace.step) == ("a", "Transcribe, 3 of 12 pieces")
    run.pace.note(StageEvent("Segment", ("a", "b"), 2 * AUDIO))
    assert (run.pace.conversation, run.pace.step) == ("2 conversations", "Segment")


def test_added_work_is_not_done() -> None:
    run = Replay("a")
    run.make("a")
    assert run.pace.share == 1.0
    task = Task(Path("b.parquet"), [{"conversation_id": "b", "duration": AUDIO}])
    run.pace.plan(RunPlan([task.path], [task], 0), run.stages)
    assert run.pace.share == pytest.approx(0.5, abs=0.05)


def test_every_stage_of_tag_can_be_planned() -> None:
    pace = Pace()
    task = Task(Path("a.parquet"), [{"conversation_id": "a", "duration": AUDIO}])
    pace.plan(RunPlan([task.path], [task], 0), tag_stages(profile="embedded", language="en"))
    assert (pace.share, pace.seconds_left) == (0.0, None)
