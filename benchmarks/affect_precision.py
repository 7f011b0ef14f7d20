"""What the affect model's precision costs and changes: time, ratings and buckets beside those of float32.

Without `--model` the model has the real one's shape and random weights: right for time, and hard on the ratings,
since utterances hardly differ to it. So its ratings are stretched to the spread that a corpus has before they are
bucketed (those of a real model are taken as they are). Prints, for each precision, processor and wall seconds, how
many times less of them (on CUDA: of wall time) than float32, the relative error of the ratings, their mean error
in standard deviations, and the share of buckets (LOW, MID, HIGH of each conversation) that flip.

    python benchmarks/affect_precision.py [--model audeering/NAME] [--device cuda]

What it changes in your own calls: the first 100 utterances of a folder, with the real weights.

    python benchmarks/affect_precision.py --model audeering/NAME --recordings calls --utterances 100

With `--batches`, how a CPU is used instead: in float32, a loop over the utterances with all threads on each, the
same loop over what the stage hears (with what they borrow), and the stage with each utterance by itself (ours) and
with padded batches. Prints seconds of audio that are computed, padding included, and processor and wall seconds of
a turn; the ways take turns, so that a machine that becomes slower meanwhile does so for all.

    python benchmarks/affect_precision.py --batches 4 12 [--rounds 3] [--seconds 30]
"""

import argparse
import math
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from measuring import EXAMPLES
from numpy.typing import NDArray
from sides import THREADS, Clock, make_affect, recordings

from dailytalk_contiguous import PerUtterance, RateAffect, Segment
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, pcm_to_float
from dailytalk_contiguous.core.buckets import percentile
from dailytalk_contiguous.core.utterance import AFFECT
from dailytalk_contiguous.models.affect import PRECISIONS, fast_precisions
from dailytalk_contiguous.models.affect_network import load_affect_model
from dailytalk_contiguous.models.devices import SHORTEST, plan_batches, resolve_device
from dailytalk_contiguous.stages.base import flatten

#: Standard deviation that the ratings of a model with random weights are stretched to. An assumption: a seventh of
#: the scale, a step of the seven that raters of the model's training data had.
SPREAD = 1 / 7

Ratings = list[NDArray[np.float64]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--model", default="", help="a name on the Hub or a folder; without, one of random weights"
    )
    parser.add_argument("--recordings", type=Path, default=EXAMPLES)
    parser.add_argument("--utterances", type=int, help="the first so many; without, all")
    parser.add_argument("--avx2", action="store_true", help="as on a CPU that has no later instructions")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, help="by default those that the device has")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batches", nargs="+", type=float, help="seconds of padded audio in a batch on a CPU")
    parser.add_argument("--rounds", type=int, default=3, help="with --batches: turns of each way")
    parser.add_argument("--seconds", type=float, default=30.0, help="with --batches: of the first recording")
    chosen = parser.parse_args()
    if chosen.batches:
        _compare_batches(chosen)
        return
    device = resolve_device(chosen.device)
    others = chosen.precisions or [name for name in fast_precisions(device) if name != "float32"]
    with tempfile.TemporaryDirectory() as folder:
        model = chosen.model or str(make_affect(Path(folder)))
        batches = _first(_utterances(chosen, folder), chosen.utterances)
        exact, spent = _rate(model, device, "float32", batches)
        n_utterances = sum(map(len, exact))
        n_conversations = len(exact)
        print(f"{n_utterances} utterances of {n_conversations} conversations, {chosen.model or 'random weights'}")
        errors = f"{'relative error':>16}{'in std':>11}{'flips':>8}"
        print(f"{'precision':<12}{'cpu s':>8}{'wall s':>8}{'times':>7}{errors}")
        print(f"{'float32':<12}{spent[0]:>8.1f}{spent[1]:>8.1f}{1:>7.2f}")
        for precision in others:
            rated, seconds = _rate(model, device, precision, batches)
            which = 1 if device == "cuda" else 0
            relative, of_spread, flips = _compare(exact, rated, stretched=not chosen.model)
            print(
                f"{precision:<12}{seconds[0]:>8.1f}{seconds[1]:>8.1f}{spent[which] / seconds[which]:>7.2f}"
                f"{relative:>16.4f}{of_spread:>11.3f}{flips:>8.1%}"
            )


def _compare_batches(chosen: argparse.Namespace) -> None:
    import torch  # after `sides`, which says how its threads wait

    with tempfile.TemporaryDirectory() as folder:
        name = chosen.model or str(make_affect(Path(folder)))
        (conversation,) = _utterances(chosen, folder, 1, chosen.seconds)
        columns = [*RateAffect.needs, *(name for name in RateAffect.uses if name in conversation)]
        batch = flatten(conversation, columns, [len(conversation["speech"][0])])
        model = load_affect_model(name, "cpu")
        torch.set_num_threads(THREADS)  # speech activity leaves it at one
        stages = {
            seconds: RateAffect(name, context=3.0, precision="float32", device="cpu", batch_seconds=seconds)
            for seconds in (SHORTEST, *chosen.batches)
        }
        utterances = [pcm_to_float(speech) for speech in batch["speech"]]
        heard = [pcm_to_float(speech) for speech in stages[SHORTEST]._filled_up(batch)[0]]
        lengths = [len(samples) / ANALYSIS_RATE for samples in heard]
        ways: dict[str, tuple[float, Callable[[], object]]] = {
            "loop over the utterances": (
                sum(map(len, utterances)) / ANALYSIS_RATE,
                lambda: [model.rate([samples]) for samples in utterances],
            ),
            "loop over what is heard": (sum(lengths), lambda: [model.rate([samples]) for samples in heard]),
        }
        for seconds, stage in stages.items():
            label = "ours, one by one" if seconds == SHORTEST else f"ours, batches of {seconds:g} s"
            padded = sum(len(group) * lengths[group[0]] for group in plan_batches(lengths, seconds))
            ways[label] = (padded, partial(stage, batch))
        clock = Clock()
        for turn in range(chosen.rounds + 1):
            for label, (_, rate) in ways.items():
                with clock.timed(label if turn else "warming up"):
                    rate()
    print(f"{len(utterances)} utterances, {THREADS} threads")
    print(f"{'':<28}{'audio s':>9}{'cpu s':>8}{'wall s':>8}{'cpu s of an audio s':>21}")
    for label, (audio, _) in ways.items():
        cpu = clock.cpu[label] / chosen.rounds
        wall = clock.wall[label] / chosen.rounds
        print(f"{label:<28}{audio:>9.1f}{cpu:>8.2f}{wall:>8.2f}{cpu / audio:>21.3f}")


def _utterances(chosen: argparse.Namespace, empty: str, *first: Any) -> list[dict[str, Any]]:
    """The utterances of the recordings, or of the first ones."""
    return [batch | Segment()(batch) for batch in recordings(str(chosen.recordings), empty, *first)]


def _first(batches: list[dict[str, Any]], count: int | None) -> list[dict[str, Any]]:
    """The batches of the first `count` utterances."""
    first = []
    left = math.inf if count is None else count
    for batch in batches:
        n = len(batch["speech"][0])
        if n and left > 0:
            kept = int(min(n, left))
            first.append(
                {name: [value[:kept] if isinstance(value, list) else value] for name, (value,) in batch.items()}
            )
            left -= kept
    return first


def _rate(
    model: str, device: str, precision: str, batches: list[dict[str, Any]]
) -> tuple[Ratings, tuple[float, float]]:
    """Ratings, shape (utterances, 3), of each conversation, and seconds of processor and of wall time."""
    stage = PerUtterance(RateAffect(model, context=3.0, precision=precision, device=device))
    stage(
        {
            name: [values[0][:1] if isinstance(values[0], list) else values[0]]
            for name, values in batches[0].items()
        }
    )
    cpu = time.process_time()
    wall = time.perf_counter()
    columns = [stage(batch) for batch in batches]
    seconds = time.process_time() - cpu, time.perf_counter() - wall
    return [np.array([made[name][0] for name in AFFECT]).T for made in columns], seconds


def _compare(exact: Ratings, rated: Ratings, stretched: bool) -> tuple[float, float, float]:
    """Relative error of all ratings, mean error in units of their spread, and the share of flipped buckets."""
    a = np.concatenate(exact)
    b = np.concatenate(rated)
    relative = float(np.linalg.norm(b - a) / np.linalg.norm(a))
    of_spread = float(np.mean(np.abs(b - a) / a.std(axis=0)))
    mean = a.mean(axis=0)
    scale = SPREAD / a.std(axis=0)
    flips = 0
    n_buckets = 0
    for one, other in zip(exact, rated, strict=True):
        for column, name in enumerate(AFFECT):
            values = one[:, column], other[:, column]
            if stretched:
                values = tuple(0.5 + (side - mean[column]) * scale[column] for side in values)
            before, after = (percentile(side, name).labels for side in values)
            flips += sum(old != new for old, new in zip(before, after, strict=True))
            n_buckets += len(before)
    return relative, of_spread, flips / n_buckets


if __name__ == "__main__":
    main()
