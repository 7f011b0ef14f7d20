"""What our side of buying speech costs: the loopback Fish server, 50 ms away, five requests at a time.

Every utterance is locked, asked for with word times, judged, and kept in a fresh cache, as `dailytalk speak` does.
The server runs in a process of its own. There are twice as many threads as requests at a time (the engine sees to
that itself), so that one utterance is written to disk while another is asked for. Prints throughput as a share of
the ideal (`concurrency` requests every `latency` seconds; goal: at least 90 %) and the processor time that one
utterance alone takes beside its request (median; goal: under 5 ms). Exits with 1 if a goal is missed.

    python benchmarks/synthesis.py [--utterances 300] [--latency 0.05] [--concurrency 5]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from measuring import ROOT, judged
from tts_server import TOKEN

from dailytalk_contiguous.core.takes import DEFAULT_VOICE, Gate, incomplete, trim
from dailytalk_contiguous.models.contracts import Line
from dailytalk_contiguous.models.speech_cache import SpeechCache, cache_key
from dailytalk_contiguous.models.synthesisers.fish import Fish

TEXT = "well so you know that was a really good day and I think we should go there again soon"

THROUGHPUT_GOAL = 0.9
OWN_GOAL_SECONDS = 0.005

#: Utterances to say one at a time.
ALONE = 40


def main() -> int:
    """Buy some utterances and print how long it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--utterances", type=int, default=300)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds")
    parser.add_argument("--concurrency", type=int, default=5)
    chosen = parser.parse_args()
    os.environ["FISH_API_KEY"] = TOKEN
    command = [sys.executable, str(ROOT / "tests" / "tts_server.py"), "--latency", str(chosen.latency)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        assert server.stdout is not None
        engine = Fish(base_url=server.stdout.readline().strip(), concurrency=chosen.concurrency)
        try:
            met = measure(engine, SpeechCache(Path(folder)), chosen.utterances, chosen.latency)
        finally:
            server.terminate()
    return 0 if met else 1


def measure(engine: Fish, cache: SpeechCache, n_utterances: int, latency: float) -> bool:
    """Print both figures; whether both goals are met."""
    lines = [sentence(number) for number in range(n_utterances)]
    with ThreadPoolExecutor(2 * engine.concurrency) as pool:
        list(pool.map(engine.speak, [sentence(-1)] * 2 * engine.concurrency))  # opens the connections
        began = time.perf_counter()
        list(pool.map(lambda line: buy(engine, cache, line), lines))
        seconds = time.perf_counter() - began
    share = n_utterances * latency / engine.concurrency / seconds
    own = beside_the_network(engine, cache, n_utterances)
    print(f"{n_utterances} utterances in {seconds:.2f} s")
    quick = judged(f"throughput: {share:.1%} of the ideal (goal: {THROUGHPUT_GOAL:.0%})", share >= THROUGHPUT_GOAL)
    own_goal = f"beside the network: {1e3 * own:.2f} ms an utterance (goal: {1e3 * OWN_GOAL_SECONDS:.0f} ms)"
    return judged(own_goal, own < OWN_GOAL_SECONDS) and quick


def beside_the_network(engine: Fish, cache: SpeechCache, first: int) -> float:
    """Processor seconds of an utterance without the exchange with the server.

    The median over some more utterances, one at a time.
    """
    exchange = engine._client._exchange
    network: list[float] = []

    def timed(*request: Any) -> Any:
        began = time.thread_time()
        reply = exchange(*request)
        network.append(time.thread_time() - began)
        return reply

    engine._client._exchange = timed  # type: ignore[method-assign]
    own = []
    for number in range(first, first + ALONE):
        began = time.thread_time()
        buy(engine, cache, sentence(number))
        own.append(time.thread_time() - began - network[-1])
    return statistics.median(own)


def buy(engine: Fish, cache: SpeechCache, line: Line) -> None:
    """Buy, judge and keep one line."""
    key = cache_key(engine, line)
    with cache.buying(key):
        if cache.get(key) is not None:
            raise ValueError(f"{line.text!r} was bought before")
        spoken = engine.speak(line)
        cache.put(key, spoken)
    judged = trim(spoken.samples, spoken.sample_rate, Gate())
    reason = judged.reason or incomplete(judged, line.text, None, None, Gate(), DEFAULT_VOICE, fades=False)
    if reason or spoken.words is None:
        raise ValueError(f"{line.text!r}: {reason or 'no words'}")


def sentence(number: int) -> Line:
    """A sentence of about two seconds, another one for every number."""
    known = TEXT.split()
    words = [known[(number * 7 + place * 3) % len(known)] for place in range(7)]
    return Line(f"{' '.join(words).capitalize()} {number}.", "calm", "en", 0)


if __name__ == "__main__":
    sys.exit(main())
