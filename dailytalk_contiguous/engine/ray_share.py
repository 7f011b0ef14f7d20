"""How a Ray cluster is shared out: the number of actors, and what each of them gets.

One arithmetic for a laptop and for a cluster of unequal nodes. It knows nothing of Ray itself, so that it can be
tested without a cluster, and without a GPU.
"""

from dataclasses import dataclass

from dailytalk_contiguous.core.errors import DailytalkError

#: Cores of an actor where nobody says how many actors there should be: each holds all models in memory.
CORES_EACH = 2


@dataclass(frozen=True)
class Share:
    """What each of `actors` gets: whole cores, and a GPU, a part of one, or none."""

    actors: int
    cores: int
    gpus: float


def shared_out(nodes: list[tuple[int, int]], workers: int, gpus: bool, tasks: int) -> Share:
    """How many actors, and what each gets, of `nodes`: pairs of cores and GPUs.

    Never more than there are `tasks`. Without a number: one a GPU, or one for two cores each. Of more workers than
    GPUs, several share one. Raises DailytalkError if there is no room for one actor, or for so many.
    """
    n_gpus = sum(node[1] for node in nodes) if gpus else 0
    able = [node for node in nodes if node[1]] if n_gpus else nodes
    if gpus and not n_gpus:
        raise DailytalkError("the Ray cluster has no GPU", "pass --device cpu, or --device auto")
    total = sum(node[0] for node in able)
    if not total:
        raise DailytalkError("the Ray cluster has no cores to give away", "start it with `ray start --num-cpus N`")
    wanted = workers or n_gpus or max(1, total // CORES_EACH)
    if wanted > total:
        raise DailytalkError(f"the Ray cluster has {total} cores, too few for {wanted} workers", "ask for fewer")
    per_core = next(each for each in range(total // wanted, 0, -1) if _room(able, each) >= wanted)
    on_each = -(-wanted // n_gpus) if n_gpus else 0
    return Share(max(1, min(wanted, tasks)), per_core, 1 / on_each if on_each else 0.0)


def _room(nodes: list[tuple[int, int]], cores_each: int) -> int:
    return sum(node[0] // cores_each for node in nodes)
