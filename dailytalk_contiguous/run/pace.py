"""The pace of a run: the share of its work that is done, and the seconds that it still takes.

A stage may take a hundred times as long as another, so work is counted in the wall seconds that each takes for a
second of audio. They are measured as the run goes. The first call of a stage loads its model, and is forgotten
once there was another one. Workers report nothing before a shard is done: then only finished shards count.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dailytalk_contiguous.run.shard import RunPlan, ShardReport, StageEvent
    from dailytalk_contiguous.stages.base import Stage

#: Wall seconds that a stage is expected to take for a second of audio before it was measured, by the role of its
#: model: those of Whisper base and of Piper on two cores.
RATES = {"recogniser": 0.1, "synthesiser": 0.05}

#: The same for a stage with any other model.
RATE_OF_MODELS = 0.02

#: The same for a stage without a model.
RATE_WITHOUT_MODEL = 0.002

#: Seconds of audio after which a measured call counts half, as other work on the machine comes and goes.
HALF_LIFE = 600.0

#: The name of what a shard takes outside its stages: opening and writing it.
OUTSIDE = ""

#: The share of a call that is left while it takes longer than expected.
LEAST_LEFT = 0.05

#: The share of the work left whose rates must be known before the seconds left are.
LEAST_KNOWN = 0.5

#: The largest share of an unfinished run that is done.
MOST_DONE = 0.99


@dataclass
class StageCall:
    """A call of a stage that has not ended.

    Attributes:
        audio: seconds of audio that go through it.
        called: clock time at which it began.
        began: the same, or when its model was loaded.
        stepped: clock time of its last step.
        done: share of its steps that are done; 0 if it reports none.
        has_stepped: whether one of its steps is done.
    """

    audio: float
    called: float
    began: float
    stepped: float
    done: float = 0.0
    has_stepped: bool = False

    def left(self, rate: float, now: float) -> float:
        """Wall seconds that it still takes, at `rate` wall seconds a second of audio."""
        whole = rate * self.audio
        left = (1 - self.done) * whole - (now - self.stepped)
        return max(left, LEAST_LEFT * whole)


@dataclass
class StagePace:
    """The pace of a stage.

    Attributes:
        prior: wall seconds a second of audio that are expected before it is measured.
        is_known: whether an earlier run has measured `prior`.
        planned: seconds of audio that are to go through it.
        through: seconds of audio that went through it in its own calls.
        finished: seconds of audio of finished shards, whether it was called for them or not.
        n_calls: calls that have ended.
        wall: wall seconds of all of them but the first; of the first, as long as it is the only one. Those of
            earlier calls count less (`HALF_LIFE`).
        audio: seconds of audio in the same calls, which count as much.
        calls: those that have not ended, by their conversations.
    """

    prior: float
    is_known: bool = False
    planned: float = 0.0
    through: float = 0.0
    finished: float = 0.0
    n_calls: int = 0
    wall: float = 0.0
    audio: float = 0.0
    calls: dict[Sequence[str], StageCall] = field(default_factory=dict)

    def begin(self, conversations: Sequence[str], audio: float, now: float) -> None:
        self.calls[conversations] = StageCall(audio, now, now, now)

    def step(self, conversations: Sequence[str], done: int, total: int | None, now: float) -> None:
        """Note that `done` steps of a call are done, of `total`; None if unknown.

        A model is loaded before the first step begins.
        """
        call = self.calls.get(conversations)
        if call is None:
            return
        if done == 0:
            if self.n_calls == 0 and not call.has_stepped:
                call.began = now
                call.stepped = now
            return
        call.has_stepped = True
        # A single step is the whole call. Steps that begin anew after the last one are seldom many.
        share = done / total if total is not None and total > 1 else 0.0
        if share > call.done:
            call.done = share
            call.stepped = now

    def end(self, conversations: Sequence[str], now: float) -> float:
        """Note the end of a call; returns the wall seconds that it took."""
        call = self.calls.pop(conversations, None)
        if call is None:
            return 0.0
        self.through += call.audio
        self.measure(now - call.began, call.audio)
        return now - call.called

    def measure(self, wall: float, audio: float) -> None:
        """Note what a call took."""
        kept = 0.0 if self.n_calls == 1 else 0.5 ** (audio / HALF_LIFE)
        self.n_calls += 1
        self.wall = kept * self.wall + wall
        self.audio = kept * self.audio + audio

    def rate(self, now: float) -> float:
        """Wall seconds that it takes for a second of audio, as far as that is known."""
        if self.audio:
            return self.wall / self.audio
        rate = self.prior
        for call in self.calls.values():
            if call.audio and call.done:
                own_rate = (call.stepped - call.began) / (call.done * call.audio)
                rate += call.done * (own_rate - rate)
            elif call.audio and not self.is_known:
                rate = max(rate, (now - call.began) / call.audio)
        return rate

    @property
    def is_measured(self) -> bool:
        """Whether its rate is more than a guess."""
        return self.is_known or self.audio > 0 or any(call.done for call in self.calls.values())

    @property
    def done(self) -> float:
        """Seconds of audio that it has been done with."""
        return min(self.planned, max(self.through, self.finished))

    def left(self, now: float) -> float:
        """Wall seconds that it still takes."""
        rate = self.rate(now)
        at_work = sum(call.audio for call in self.calls.values())
        waiting = max(0.0, self.planned - self.done - at_work)
        left = rate * waiting
        for call in self.calls.values():
            left += call.left(rate, now)
        return left


class Pace:
    """Estimates how far a run is, from its plans, the events of its stages and the reports on its shards.

    Args:
        earlier: wall seconds a second of audio, by stage, that an earlier run has measured (`rates`).
        clock: returns wall seconds from any moment on.

    Attributes:
        audio_seconds: seconds of audio in all plans.
        conversation: the id of the conversation at hand, or how many there are.
        step: the stage at hand, and how many of its steps are done; empty between two shards.
    """

    def __init__(self, earlier: Mapping[str, float] = {}, clock: Callable[[], float] = time.monotonic) -> None:
        self.audio_seconds = 0.0
        self.conversation = ""
        self.step = ""
        self._earlier = earlier
        self._clock = clock
        self._began = clock()
        self._stages: dict[str, StagePace] = {}
        self._stages_of: dict[str, list[str]] = {}  # the stages that are left of each planned shard, by its name
        self._n_tasks = 0
        self._n_made = 0
        self._audio_made = 0.0
        self._least_share = 0.0
        self._first_event: float | None = None
        self._wall = 0.0  # of all calls of stages

    def plan(self, plan: "RunPlan", stages: Sequence["Stage"]) -> None:
        """Add work: the tasks of a plan, each of which goes through `stages` from its `first_stage` on."""
        self._stages.setdefault(OUTSIDE, StagePace(RATE_WITHOUT_MODEL))
        for stage in stages:
            if stage.name not in self._stages:
                earlier = self._earlier.get(stage.name)
                prior = expected_rate(stage) if earlier is None else earlier
                self._stages[stage.name] = StagePace(prior, is_known=earlier is not None)
        for task in plan.tasks:
            first_stage = task.first_stage
            if first_stage is None:  # all of it is copied
                continue
            names = [OUTSIDE, *(stage.name for stage in stages[first_stage:])]
            self._stages_of[task.path.stem] = names
            for name in names:
                self._stages[name].planned += task.seconds
        self.audio_seconds += plan.seconds
        self._n_tasks += len(plan.tasks)
        self._least_share = 0.0

    def note(self, event: "StageEvent") -> None:
        """Note the work of a stage."""
        now = self._clock()
        if self._first_event is None:
            self._first_event = now
        stage = self._stages.setdefault(event.stage, StagePace(RATE_WITHOUT_MODEL))
        n_conversations = len(event.conversations)
        if event.wall is not None:
            self._wall += stage.end(event.conversations, now)
        elif not event.kind:
            stage.begin(event.conversations, event.audio, now)
        else:
            # Steps inside one of several conversations say nothing of the others.
            counts_all = n_conversations == 1 or event.total == n_conversations
            total = event.total if counts_all else None
            stage.step(event.conversations, event.done, total, now)
        self.conversation = f"{n_conversations:,} conversations"
        if n_conversations == 1:
            self.conversation = event.conversations[0]
        self.step = step_text(event)

    def made(self, report: "ShardReport") -> None:
        """Note a shard that is done."""
        in_stages = sum(wall for wall, _ in report.stages.values())
        outside = max(0.0, report.wall_seconds - in_stages)
        if report.audio_seconds:
            self._stages[OUTSIDE].measure(outside, report.audio_seconds)
        for name in self._stages_of.get(report.path.stem.removesuffix(".held"), ()):
            self._stages[name].finished += report.audio_seconds
        self._audio_made += report.audio_seconds
        self._n_made += 1
        self.conversation = ""
        self.step = ""

    @property
    def is_all_made(self) -> bool:
        return self._n_made >= self._n_tasks

    @property
    def share(self) -> float:
        """Share of the work that is done, from 0 to 1. It decreases only if work is added."""
        if self.is_all_made:
            return 1.0
        share = self._share_of_audio if self._first_event is None else self._share_of_work
        self._least_share = max(self._least_share, min(share, MOST_DONE))
        return self._least_share

    @property
    def _share_of_audio(self) -> float:
        return self._audio_made / self.audio_seconds if self.audio_seconds else 0.0

    @property
    def _share_of_work(self) -> float:
        now = self._clock()
        whole = 0.0
        left = 0.0
        for stage in self._stages.values():
            whole += stage.rate(now) * stage.planned
            left += stage.left(now)
        return max(0.0, 1 - left / whole) if whole else 0.0

    @property
    def audio_done(self) -> float:
        """Seconds of audio that are done, of conversations at hand their share."""
        if self.is_all_made:
            return self._audio_made
        return max(self._audio_made, self.share * self.audio_seconds)

    @property
    def seconds_left(self) -> float | None:
        """Wall seconds until all shards are made; None if they are, or if too little of the work was measured."""
        if self.is_all_made:
            return None
        if self._first_event is None:
            share = self._share_of_audio
            spent = self._clock() - self._began
            return spent * (1 - share) / share if share else None
        now = self._clock()
        left = 0.0
        measured = 0.0
        for stage in self._stages.values():
            seconds = stage.left(now)
            left += seconds
            if stage.is_measured:
                measured += seconds
        if measured < LEAST_KNOWN * left:
            return None
        # On a GPU, the first stages of the next shard run beside the models of this one.
        side_by_side = max(1.0, self._wall / max(now - self._first_event, 1e-3))
        return left / side_by_side

    @property
    def rates(self) -> dict[str, float]:
        """Wall seconds a second of audio, of each stage that has ended a call."""
        rates = {}
        for name, stage in self._stages.items():
            if stage.audio and name != OUTSIDE:
                rates[name] = stage.wall / stage.audio
        return rates


def expected_rate(stage: "Stage") -> float:
    """Wall seconds that a stage is expected to take for a second of audio before it was measured."""
    models = stage.models()
    if not any(models.values()):
        return RATE_WITHOUT_MODEL
    return max(RATES.get(role, RATE_OF_MODELS) for role in models)


def step_text(event: "StageEvent") -> str:
    """The stage of an event and the step inside it, for people."""
    if not event.kind or event.total == 1:
        return event.stage
    if event.total is None:
        return f"{event.stage}, {event.kind}: {event.done:,}"
    return f"{event.stage}, {event.done:,} of {event.total:,} {event.kind}"
