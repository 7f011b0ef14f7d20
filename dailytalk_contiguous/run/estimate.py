"""The estimate of a run, before it begins, from a small sample that is run on this machine.

The sample is spread evenly over the whole corpus, so that it resembles it, and is run once the models are loaded.
Nothing is bought: paid speech is priced from the sample's text. Everything is written to a temporary folder.
"""

import os
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.machine import cores
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.models.devices import thread_count
from dailytalk_contiguous.run.price import price_of
from dailytalk_contiguous.run.run import RunOptions, RunOutcome, run
from dailytalk_contiguous.run.speaking import SpeakSpec, read_synthesis_input, speak_stage_of
from dailytalk_contiguous.run.tagging import FoundRecordings, TagSpec
from dailytalk_contiguous.shards import expand_row
from dailytalk_contiguous.sources.transcripts import cues_within
from dailytalk_contiguous.stages.base import PerUtterance, Stage, find_stage
from dailytalk_contiguous.stages.synthesis import Speak
from dailytalk_contiguous.store.work_folder import TAGGED, TRANSCRIPT, rejects_in

#: Seconds of a piece of the sample: long enough for several turns, and for utterances to be packed into windows.
PIECE_SECONDS = 60.0

#: The fewest pieces of a sample, if there is enough audio: no recording is like all others.
LEAST_PIECES = 3

#: The largest share of a corpus that a sample is, and the seconds that it may have in any case: an estimate must
#: cost less than the work that it estimates.
MOST_SHARE, LEAST_SECONDS = 0.1, 30.0

#: Stages that work on parts of a conversation in parallel, a thread for each: in a short one, threads stay idle.
SIDE_BY_SIDE = ("Transcribe", "RateAffect")

#: Bytes of FLAC for a byte of WAV, of recorded speech.
FLAC_SHARE = 0.5


@dataclass(frozen=True)
class Estimate:
    """The estimate of a corpus.

    Attributes:
        audio_hours, conversations, rejected: the whole input; not estimated.
        sample_pieces, sample_seconds: the sample that was run. workers: processes.
        quantities: `speech_hours`, `tag_seconds` and `speak_seconds` of wall time with `workers`, `usd`,
            `text_bytes` of speech, and bytes on disk: `tagged_bytes`, `dataset_bytes` (FLAC), `wav_bytes`.
        stages: seconds of each stage in one process, by name.
        loading_seconds: about how long the models of `tag` take to load, once a process.
    """

    audio_hours: float
    conversations: int
    rejected: int
    sample_pieces: int
    sample_seconds: float
    workers: int
    quantities: dict[str, float]
    stages: dict[str, float]
    loading_seconds: float


def estimate_run(
    recordings: FoundRecordings,
    folder: Path,
    stages: Sequence[Stage],
    spoken: Sequence[Stage] = (),
    workers: int = 1,
    sample_seconds: float = 180.0,
    seed: int = 0,
) -> Estimate:
    """Run a sample of the recordings and extrapolate.

    Args:
        recordings: the corpus. folder: an empty one, for the caller to remove.
        stages, spoken: what is to be computed; without `spoken`, `speak` is left out.
        workers: the sample is run by one process with the cores that one of so many would have.
        sample_seconds: the most audio to run; less for a small corpus (`MOST_SHARE`). seed: of the sample.

    Raises DailytalkError if there are no recordings, if all of the sample is rejected, and as the runs do.
    """
    if not recordings.rows:
        first = recordings.problems[0]
        raise DailytalkError(f"none of the recordings can be used ({first.id}: {first.reason})", first.remedy)
    total = sum(row["duration"] for row in recordings.rows)
    pieces = sample(recordings.rows, min(sample_seconds, max(LEAST_SECONDS, MOST_SHARE * total)), seed)
    shortest = min(pieces, key=lambda row: float(row["duration"]))
    with _share_of(workers):
        loaded, _ = _tagged([shortest], folder / "loading", stages)  # the models, for the first time
        seconds, record = _tagged(pieces, folder / "sample", stages)
        if not record["counts"]["conversations"]:
            why = next(rejects_in(folder / "sample"))["reason"]
            raise DailytalkError(f"none of the sample can be used ({why})", "draw another with --seed")
        quantities = {
            "speech_hours": record["hours"]["speech"],
            "tag_seconds": sum(seconds.values()),
            "tagged_bytes": sum(_size(folder / "sample" / name) for name in (TAGGED, TRANSCRIPT)),
        }
        if spoken:
            more, took = _spoken(folder / "sample", spoken)
            quantities |= more
            seconds |= {name if name not in seconds else f"{name} (speak)": value for name, value in took.items()}
    sampled = sum(row["duration"] for row in pieces)
    factor, at_once = total / sampled, min(workers, cores())
    return Estimate(
        total / 3600,
        len(recordings.rows),
        len(recordings.problems),
        len(pieces),
        sampled,
        workers,
        {
            name: value * factor / (at_once if name.endswith("_seconds") else 1)
            for name, value in quantities.items()
        },
        {name: value * factor for name, value in seconds.items()},
        max(0.0, sum(loaded.values()) - quantities["tag_seconds"] * shortest["duration"] / sampled),
    )


def sample(rows: Sequence[Row], seconds: float, seed: int) -> list[Row]:
    """About `seconds` of the rows' audio, in pieces of up to `PIECE_SECONDS` from all parts of it.

    The recordings are joined end to end and divided into equal parts, and a point is drawn at random from each:
    every hour is equally likely to be drawn from, whatever recording it is in.
    """
    generator, ends = random.Random(seed), np.cumsum([row["duration"] for row in rows])
    seconds = min(seconds, float(ends[-1]))
    length = min(PIECE_SECONDS, seconds / LEAST_PIECES)
    n_pieces = ceil(seconds / min(length, ends[-1] / len(rows)) - 1e-6)
    pieces: dict[str, Row] = {}
    for number in range(n_pieces):
        point = (number + generator.random()) * ends[-1] / n_pieces
        index = min(int(np.searchsorted(ends, point)), len(rows) - 1)
        row = expand_row(rows[index])
        inside = point - (ends[index] - row["duration"])
        start = float(max(0.0, min(inside - length / 2, row["duration"] - length)))
        taken = min(length, row["duration"])
        name = f"{row['conversation_id']}.{round(1000 * start)}"
        given = cues_within(row["given"], start, taken) if row["given"] else []
        pieces[name] = row | {
            "conversation_id": name,
            "offset": row["offset"] + start,
            "duration": taken,
            "given": given,
        }
    return list(pieces.values())


@contextmanager
def _share_of(workers: int) -> Iterator[None]:
    """Give this process the cores that each of so many workers would have, as `run.local` does."""
    if workers <= 1:
        yield
        return
    import torch

    threads, before = max(1, cores() // workers), (torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS"))
    torch.set_num_threads(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        os.environ.pop("OMP_NUM_THREADS")
        if before[1] is not None:
            os.environ["OMP_NUM_THREADS"] = before[1]


def _tagged(rows: Sequence[Row], out: Path, stages: Sequence[Stage]) -> tuple[dict[str, float], dict[str, Any]]:
    """Tag pieces: the seconds of each stage, as if each piece were in its whole conversation, and run.json."""
    began, processor = 0.0, dict[str, float]()

    def progress(stage: str, audio: float, wall: float | None) -> None:
        nonlocal began
        now = time.process_time()
        if wall is not None:
            processor[stage] = processor.get(stage, 0.0) + now - began
        began = now

    outcome = run(TagSpec(FoundRecordings([[*rows]], []), out, stages), progress=progress)
    seconds, threads = _seconds(outcome), 1 if RunOptions().runner.on_cuda(stages) else thread_count()
    for name in SIDE_BY_SIDE:
        if name in seconds and threads > 1:  # a whole conversation keeps all threads busy
            seconds[name] = min(seconds[name], processor[name] / threads)
    return seconds, outcome.record or {}


def _spoken(out: Path, stages: Sequence[Stage]) -> tuple[dict[str, float], dict[str, float]]:
    """Quantities and seconds by stage of the second half: it is run where speech is free, and else only priced."""
    script, voice = read_synthesis_input(out), speak_stage_of(stages)
    rows = [*script.unfolded()]
    wav_bytes = 4.0 * sum(row["duration"] * ((voice and voice.sample_rate) or row["sample_rate"]) for row in rows)
    quantities = {"wav_bytes": wav_bytes, "dataset_bytes": FLAC_SHARE * wav_bytes}
    if voice:  # with an empty cache: the user's would make everything look cheap
        voice = replace(voice, cache=str(out / "cache"))
        stages = [PerUtterance(voice) if find_stage(Speak, [stage]) else stage for stage in stages]
        priced = price_of(script, stages)
        quantities |= {"usd": priced.price, "text_bytes": float(priced.text_bytes)}
        if not voice.synthesiser().deterministic:
            return quantities, {}
    seconds = _seconds(run(SpeakSpec(script, out, stages)))
    return quantities | {"speak_seconds": sum(seconds.values())}, seconds


def _seconds(outcome: RunOutcome) -> dict[str, float]:
    """Seconds that grow with the corpus, so without planning and the last outputs, which take little."""
    return outcome.account.stages | {"reading, writing": outcome.account.outside}


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]))
