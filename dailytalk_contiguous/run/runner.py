"""Which engine makes the shards of a plan, and where they are kept.

The one place that chooses between this machine and Ray: whoever plans the work knows neither. It also knows whose
money may be spent, because that decides how many processes may ask for speech.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.models.devices import device_of, resolve_device
from dailytalk_contiguous.models.engines import Budget, open_budget
from dailytalk_contiguous.models.paid import SpeechCache
from dailytalk_contiguous.pipelines import SpeakSettings, speak_stage
from dailytalk_contiguous.run import local, on_ray
from dailytalk_contiguous.run.local import use_device
from dailytalk_contiguous.run.shard import Progress, ShardReport
from dailytalk_contiguous.run.storage import WorkFolder
from dailytalk_contiguous.sources.remote import Mirror
from dailytalk_contiguous.stages.base import Stage

RUNNERS = ("local", "ray")

#: Seconds after which the store is told again what happens in a run: its journal is written there as a whole.
TELL_SECONDS = 120.0


@dataclass(frozen=True)
class Runner:
    """How shards are made.

    Attributes:
        name: one of `RUNNERS`. address: of a Ray cluster; empty for one of this process.
        work: where results lie. inputs: mirrors of recordings that lie in a store.
    """

    name: str = "local"
    address: str = ""
    work: WorkFolder | None = None
    inputs: tuple[Mirror, ...] = ()

    @property
    def few(self) -> int:
        """Workers where nobody says how many."""
        return 0 if self.name == "ray" else 1

    @property
    def elsewhere(self) -> bool:
        """Whether other machines do the work, which may have GPUs that this one lacks."""
        return self.name == "ray" and bool(self.address)

    def device(self, device: str) -> str:
        """`device` (auto, cpu, cuda) for the settings of a run: `auto` is told for a cluster by its own GPUs."""
        if device != "auto" or not self.elsewhere:
            return device
        return "cuda" if on_ray.has_gpus(self.address) else "cpu"

    def on_cuda(self, device: str) -> bool:
        """Whether stages for `device` (auto, cpu, cuda) will run on a GPU, here or in the cluster."""
        return device_of(self.device(device)) == "cuda"

    def preflight(self, stages: Sequence[Stage], device: str, fetch: bool = True) -> None:
        """Make sure that stages can run before hours of work; `fetch` as in `Stage`. Raises DailytalkError."""
        if use_device(stages) and not self.elsewhere:
            resolve_device(device)
        for stage in stages:
            stage.preflight(fetch)

    def run(
        self,
        plan: local.RunPlan,
        stages: Sequence[Stage],
        workers: int,
        batch_seconds: float,
        progress: Progress,
        finished: Callable[[ShardReport], None] = lambda made: None,
        device: str = "cpu",
        money: Budget | None = None,
        shared: str = "",
    ) -> Iterator[Path]:
        """Make what is left of a plan; yields each shard once it is on disk, kept, and `finished` was told of it.

        `workers`: processes; 0 is 1 here, and as many as there is room for on Ray. `money`: what they spend, where
        they may spend anything, and `shared` the folder that all of them must see then.
        """

        told = -math.inf

        def kept(made: ShardReport) -> None:
            nonlocal told
            if self.work:
                self.work.keep(made.path)
            finished(made)
            if self.work and time.monotonic() - told >= TELL_SECONDS:
                told = time.monotonic()
                self.work.tell()

        if not plan.tasks:
            return
        if self.name == "ray":
            mirror = self.work.mirror if self.work else None
            setup = on_ray.WorkerConfig(tuple(stages), batch_seconds, mirror, self.inputs, shared=shared)
            cluster = on_ray.Cluster(self.address, workers, use_device(stages) and self.on_cuda(device))
            yield from on_ray.run_on_ray(plan, setup, cluster, progress, kept, money)
        else:
            yield from local.run_local(plan, stages, max(1, workers), batch_seconds, progress, kept)
        if self.work:
            self.work.gather()  # what other hosts have made of this plan meanwhile

    def say(
        self,
        plan: local.RunPlan,
        stages: Sequence[Stage],
        settings: SpeakSettings,
        workers: int,
        batch_seconds: float,
        progress: Progress,
        finished: Callable[[ShardReport], None] = lambda made: None,
    ) -> Iterator[Path]:
        """`run` for stages that say utterances anew, with the purse of this process.

        Of an engine that costs, the conversations of a batch ask together, all in one process where they are made
        here; on Ray, every worker asks one till before it buys, and finds what others bought in the cache.
        """
        if speak_stage(settings).synthesiser().deterministic:
            yield from self.run(plan, stages, workers, 0.0, progress, finished, settings.device)
            return
        cache = str(SpeechCache(Path(settings.cache) if settings.cache else None).folder.absolute())
        workers = 1 if self.name == "local" else workers
        money = open_budget(settings.max_cost)
        yield from self.run(
            plan, stages, workers, batch_seconds, progress, finished, settings.device, money, cache
        )


def runner_of(name: str, address: str, work: WorkFolder, inputs: tuple[Mirror, ...]) -> Runner:
    """The runner that a user asks for. Raises DailytalkError for one that there is not."""
    if name not in RUNNERS:
        raise DailytalkError(f"--runner can't be {name!r}", f"choose one of {', '.join(RUNNERS)}")
    if address and name != "ray":
        raise DailytalkError("--address is that of a Ray cluster", "add --runner ray, or leave it out")
    return Runner(name, address, work, inputs)
