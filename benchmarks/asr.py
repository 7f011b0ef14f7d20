"""Every way to hear with a Whisper model, side by side: words, word times and speed.

With `--model`, for whoever has weights. Windows of one utterance (as Whisper was trained), packed ones (our
default) and short ones (`--fast`), each in every precision asked for, on the bundled recordings or a folder of
your own with `NAME.reference.json` beside each file. Prints word error rate, distance of word edges, seconds of
processor and wall time, and how many times less of them (on CUDA: of wall time) than the first line's.

    python benchmarks/asr.py --model base [--compute-types float32 int8] [--device cuda]

With `--random`, on weights drawn at random of a real size: one thread a window and as many windows at once as
there are threads, which is ours on a CPU, against all threads on one window after another. Prints seconds of
processor and wall time of a turn, and what each way adds to the memory of a process of its own. Both ways take
turns, so that a machine that becomes slower meanwhile does so for both.

    python benchmarks/asr.py --random base [--windows 8] [--seconds 28] [--words 60]
"""

import argparse
import json
import os
import re
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from sides import THREADS, Clock, make_whisper

from dailytalk_contiguous import Folder, MatchTranscript, PerUtterance, Segment, Transcribe
from dailytalk_contiguous.core.audio import ANALYSIS_RATE
from dailytalk_contiguous.models.whisper import Whisper

EXAMPLES = Path(__file__).resolve().parents[1] / "examples/conversations"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    models = parser.add_mutually_exclusive_group(required=True)
    models.add_argument("--model", help="a Whisper size or a folder in CTranslate2 format")
    models.add_argument("--random", choices=("tiny", "base", "small", "medium"), help="a size, for threads alone")
    parser.add_argument("--windows", type=int, default=8, help="with --random: windows to hear")
    parser.add_argument("--seconds", type=float, default=28.0, help="with --random: length of a window")
    parser.add_argument("--words", type=int, default=60, help="with --random: words that are said of each")
    parser.add_argument("--recordings", type=Path, default=EXAMPLES)
    parser.add_argument("--compute-types", nargs="+", default=["float32", "int8"], help="CTranslate2's, or auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--beam", type=int, default=5)
    chosen = parser.parse_args()
    if chosen.random:
        _compare_threads(chosen)
    else:
        _compare_windows(chosen)


def _compare_windows(chosen: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as empty:  # transcripts beside the audio would be used instead
        rows = list(Folder(inputs=(str(chosen.recordings),), transcripts=empty).as_streaming_dataset("train"))
    batches = [{name: [value] for name, value in row.items()} for row in rows if not row["problem"]]
    for batch in batches:
        batch |= Segment()(batch)
        batch |= MatchTranscript()(batch)
    columns = f"{'WER':>8}{'edge median':>13}{'p90':>10}{'cpu s':>9}{'wall s':>9}{'times':>7}"
    print(f"{'windows':<12}{'precision':<14}{columns}")
    first = 0.0
    for compute_type in chosen.compute_types:
        for windows in ("utterance", "packed", "short"):
            stage = Transcribe(
                model=chosen.model,
                language="en",
                windows=windows,
                beam=chosen.beam,
                compute_type=compute_type,
                device=chosen.device,
            )
            heard, cpu, wall = _hear(PerUtterance(stage), batches)
            spent = wall if chosen.device == "cuda" else cpu
            first = first or spent
            errors, edges = _compare(chosen.recordings, batches, heard)
            print(f"{windows:<12}{compute_type:<14}{errors:>8.1%}{np.median(edges):>10.0f} ms", end="")
            print(f"{np.percentile(edges, 90):>7.0f} ms{cpu:>9.1f}{wall:>9.1f}{first / spent:>7.1f}")


def _hear(stage: PerUtterance, batches: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], float, float]:
    """What a stage hears, and its seconds of processor and wall time."""
    stage(batches[0])  # loads the model and warms it up
    cpu, wall = time.process_time(), time.perf_counter()
    heard = [stage(batch) for batch in batches]
    return heard, time.process_time() - cpu, time.perf_counter() - wall


def matched(reference: Sequence[str], heard: Sequence[str]) -> tuple[int, list[tuple[int, int]]]:
    """Levenshtein distance in words, and the places (reference, heard) of the words that are the same."""
    cost = np.zeros((len(reference) + 1, len(heard) + 1), np.int32)
    cost[:, 0] = np.arange(len(reference) + 1)
    cost[0] = np.arange(len(heard) + 1)
    for i, expected in enumerate(reference, 1):
        for j, found in enumerate(heard, 1):
            cost[i, j] = min(cost[i - 1, j - 1] + (expected != found), cost[i - 1, j] + 1, cost[i, j - 1] + 1)
    i, j, pairs = len(reference), len(heard), []
    while i and j:
        if cost[i, j] == cost[i - 1, j - 1] + (reference[i - 1] != heard[j - 1]):
            i, j = i - 1, j - 1
            if reference[i] == heard[j]:
                pairs.append((i, j))
        elif cost[i, j] == cost[i - 1, j] + 1:
            i -= 1
        else:
            j -= 1
    return int(cost[-1, -1]), pairs[::-1]


def words_of(utterances: list[dict[str, Any]]) -> list[tuple[str, float, float]]:
    """Words without case and marks, as word error rates are usually counted, with their times."""
    return [
        (part, word["start"], word["end"])
        for utterance in utterances
        for word in utterance["words"]
        for part in re.findall(r"[\w']+", word["word"].casefold().replace("’", "'"))
    ]


def _compare(folder: Path, batches: list[dict[str, Any]], heard: list[dict[str, Any]]) -> tuple[float, Any]:
    """The word error rate, and how many milliseconds edges of words are off."""
    found = [
        {
            "conversation_id": batch["conversation_id"][0],
            "channel": channel,
            "start": start,
            "end": end,
            "words": words,
        }
        for batch, made in zip(batches, heard, strict=True)
        for channel, start, end, words in zip(
            batch["channel"][0], batch["start"][0], batch["end"][0], made["words"][0], strict=True
        )
    ]
    errors, n_words, edges = 0, 0, []
    for path in sorted(folder.glob("*.reference.json")):
        name = path.name.removesuffix(".reference.json")
        reference = json.loads(path.read_text(encoding="utf-8"))["utterances"]
        for channel in ("left", "right"):
            said = words_of([line for line in reference if line["channel"] == channel])
            of_side = [line for line in found if (line["conversation_id"], line["channel"]) == (name, channel)]
            words = words_of(of_side)
            wrong, pairs = matched([word for word, *_ in said], [word for word, *_ in words])
            errors, n_words = errors + wrong, n_words + len(said)
            edges += [abs(said[i][edge] - words[j][edge]) for i, j in pairs for edge in (1, 2)]
    return errors / n_words, 1000 * np.array(edges or [np.nan])


def _compare_threads(chosen: argparse.Namespace) -> None:
    ways = ("one window after another", "side by side")
    noise = np.random.default_rng(0).standard_normal((chosen.windows, round(chosen.seconds * ANALYSIS_RATE)))
    windows = list((0.1 * noise).astype(np.float32))
    print(f"{chosen.windows} windows of {chosen.seconds:g} s, {chosen.words} words each; {THREADS} threads")
    print(f"{'precision':<12}{'':<28}{'cpu s':>9}{'wall s':>9}{'memory':>10}")
    with tempfile.TemporaryDirectory() as place:
        folder = str(make_whisper(Path(place), chosen.random, chosen.words))
        for compute_type in chosen.compute_types:
            load = partial(_load, folder, compute_type, chosen.beam)
            clock, models = Clock(), {way: load(way) for way in ways}
            heard = {way: model.transcribe(windows[:1], ["en"]) for way, model in models.items()}  # warms up
            for way in (*ways, *reversed(ways)):
                with clock.timed(way):
                    heard[way] = models[way].transcribe(windows, ["en"] * len(windows))
            for way in ways:
                with get_context("spawn").Pool(1) as pool:  # where nothing else has taken memory
                    memory = pool.apply(_memory, (load, way, windows))
                seconds = f"{clock.cpu[way] / 2:>9.1f}{clock.wall[way] / 2:>9.1f}"
                print(f"{compute_type:<12}{way:<28}{seconds}{memory:>7} MB")
            print(f"{compute_type:<12}equal to the bit: {heard[ways[0]] == heard[ways[1]]}")


def _load(folder: str, compute_type: str, beam: int, way: str) -> Whisper:
    model = Whisper(folder, "cpu", compute_type, beam, 1)
    if way != "side by side":
        from faster_whisper import WhisperModel

        model._model = WhisperModel(folder, "cpu", compute_type=compute_type, cpu_threads=THREADS)
        model._threads = ThreadPoolExecutor(1)
    return model


def _memory(load: partial[Whisper], way: str, windows: list[np.ndarray]) -> int:
    """Megabytes that a process grows by as it loads the model and hears the windows."""
    before = _resident()
    load(way).transcribe(windows, ["en"] * len(windows))
    return _resident() - before


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


if __name__ == "__main__":
    main()
