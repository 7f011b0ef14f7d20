"""The estimate of a run, before it begins, from a small sample that is run on this machine.

The sample is spread evenly over the whole corpus, so that it resembles it; each piece is run on its own, after
models are loaded, so that the spread between pieces is known. Nothing is bought: paid speech is priced from the
sample's text. Everything is written to a temporary folder, which is removed in the end.
"""

import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import NamedTuple

from dailytalk_contiguous.core.audio import encoded_sound, read_at, to_pcm
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.machine import cores
from dailytalk_contiguous.core.quality import QualityLimits
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.models.devices import thread_count
from dailytalk_contiguous.run import speaking
from dailytalk_contiguous.run.events import Account
from dailytalk_contiguous.run.price import price_of
from dailytalk_contiguous.run.run import RunOptions, run
from dailytalk_contiguous.run.speaking import SpeakSpec, speak_stage_of
from dailytalk_contiguous.run.tagging import FoundRecordings, TagSpec
from dailytalk_contiguous.shards import expand_row, read_rows
from dailytalk_contiguous.sources.transcripts import cues_within
from dailytalk_contiguous.stages.base import PerUtterance, Stage, find_stage
from dailytalk_contiguous.stages.synthesis import Speak
from dailytalk_contiguous.store import work_folder
from dailytalk_contiguous.store.work_folder import AUDIO, TAGGED, TRANSCRIPT, rejects_in

#: Seconds of a piece of the sample: long enough for several turns, and for utterances to be packed into windows.
PIECE_SECONDS = 60.0

#: The fewest pieces of a sample, if there is enough audio: one alone has no spread.
LEAST_PIECES = 3

#: The largest share of a corpus that a sample is, and the seconds that it may have in any case: an estimate must
#: cost less than the work that it estimates.
MOST_SHARE, LEAST_SECONDS = 0.1, 30.0

#: Stages that work on parts of a conversation in parallel, a thread for each: in a short one, threads stay idle.
SIDE_BY_SIDE = ("Transcribe", "RateAffect")

#: Hz: speech that ends below is that of a telephone, or of a recording no better (see `core.quality`).
NARROW_HZ = QualityLimits.lowest_bandwidth_hz or 0.0

#: Quantities that are divided among workers.
SHARED = ("tag_seconds", "speak_seconds")

#: Points drawn for every piece that is wanted: short conversations are drawn twice, and give less audio.
DRAWS = 8


class ProcessorTime:
    """Processor seconds of this process, all threads together, in each stage of a run: its `Progress`."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._begun = 0.0

    def __call__(self, stage: str, audio: float, wall: float | None) -> None:
        if wall is None:
            self._begun = time.process_time()
        else:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.process_time() - self._begun


class Range(NamedTuple):
    """The amount for the whole corpus if it were all like the lowest piece, the mean, the highest piece."""

    low: float
    expected: float
    high: float


@dataclass(frozen=True)
class Measured:
    """One piece of the sample: seconds of its audio, quantities of it by name, and wall seconds by stage.

    `bandwidth_hz` is that of its narrowest side, None where it was not measured.
    """

    audio_seconds: float
    quantities: dict[str, float]
    stages: dict[str, float]
    bandwidth_hz: float | None = None


@dataclass(frozen=True)
class Estimate:
    """The estimate of a corpus.

    Attributes:
        audio_hours, conversations, rejected: the whole input; not estimated.
        narrow_pieces, lowest_bandwidth_hz: pieces with a side whose speech ends below `NARROW_HZ`, and where that
            of the narrowest side ends; null where nobody speaks.
        sample_pieces, sample_seconds: the sample that was run. workers: processes.
        quantities: `speech_hours`, `tag_seconds` and `speak_seconds` of wall time with `workers`, `usd`,
            `text_bytes` of speech, and bytes on disk: `tagged_bytes`, `dataset_bytes` (FLAC), `wav_bytes`,
            `cache_bytes`.
        stages: seconds of each stage in one process, by name.
        loading_seconds: about how long the models take to load, once a process.
    """

    audio_hours: float
    conversations: int
    rejected: int
    sample_pieces: int
    sample_seconds: float
    workers: int
    quantities: dict[str, Range]
    stages: dict[str, Range]
    loading_seconds: float
    narrow_pieces: int = 0
    lowest_bandwidth_hz: float | None = None


def estimate_run(
    recordings: FoundRecordings,
    folder: Path,
    stages: Sequence[Stage],
    spoken: Sequence[Stage] = (),
    workers: int = 1,
    sample_seconds: float = 180.0,
    seed: int = 0,
    on_piece: Callable[[int, int], None] = lambda done, of: None,
) -> Estimate:
    """Run a sample of the recordings and extrapolate.

    Args:
        recordings: the corpus. folder: an empty one, for the caller to remove.
        stages, spoken: what is to be computed; without `spoken`, `speak` is left out.
        workers: the sample is run by one process with the cores that one of so many would have.
        sample_seconds: the most audio to run; less for a small corpus (`MOST_SHARE`). seed: of the sample.
        on_piece: called with the number of the piece that is about to be run, 0 before models are loaded, and how
            many pieces there are.

    Raises DailytalkError if there are no recordings, if all of the sample is rejected, and as the runs do.
    """
    if not recordings.rows:
        first = recordings.problems[0]
        raise DailytalkError(f"none of the recordings can be used ({first.id}: {first.reason})", first.remedy)
    total = sum(row["duration"] for row in recordings.rows)
    pieces = sample(recordings.rows, min(sample_seconds, max(LEAST_SECONDS, MOST_SHARE * total)), seed)
    lengths = {row["conversation_id"]: row["duration"] for row in recordings.rows}

    def measure(piece: Row, out: Path) -> Measured | None:
        conversation = piece["conversation_id"].rpartition(".")[0]
        return _measure(piece, out, stages, spoken, lengths[conversation] / piece["duration"])

    with _share_of(workers):
        # The models are loaded by a first run of the shortest.
        shortest = min(range(len(pieces)), key=lambda number: pieces[number]["duration"])
        on_piece(0, len(pieces))
        warm = measure(pieces[shortest], folder / "warm")
        measured: list[Measured | None] = []
        for number, piece in enumerate(pieces):
            on_piece(number + 1, len(pieces))
            measured.append(measure(piece, folder / str(number)))
    used = [measurement for measurement in measured if measurement]
    if not used:
        why = next(rejects_in(folder / "0"))["reason"]
        raise DailytalkError(f"none of the sample can be used ({why})", "draw another with --seed")
    again = measured[shortest]
    loading = sum(warm.stages.values()) - sum(again.stages.values()) if warm and again else 0.0
    return extrapolate(recordings, used, workers, max(0.0, loading))


def sample(rows: Sequence[Row], seconds: float, seed: int) -> list[Row]:
    """About `seconds` of the rows' audio, in pieces of up to `PIECE_SECONDS` from all parts of it.

    The recordings are joined end to end and divided into equal parts, and a point is drawn at random from each:
    every hour is equally likely to be drawn from, whatever recording it is in.
    """
    generator = random.Random(seed)
    total = sum(row["duration"] for row in rows)
    seconds = min(seconds, total)
    length = min(PIECE_SECONDS, seconds / LEAST_PIECES)
    wanted = ceil(seconds / min(length, total / len(rows)))
    pieces: dict[tuple[str, float], Row] = {}
    for draw in range(DRAWS * wanted):
        if sum(piece["duration"] for piece in pieces.values()) >= 0.999 * seconds:
            break
        inside = (draw % wanted + generator.random()) * total / wanted
        for row in rows[:-1]:
            if inside < row["duration"]:
                break
            inside -= row["duration"]
        else:
            row = rows[-1]
        start = max(0.0, min(inside - length / 2, row["duration"] - length))
        taken, row = min(length, row["duration"]), expand_row(row)
        cut = {
            "conversation_id": f"{row['conversation_id']}.{round(1000 * start)}",
            "offset": row["offset"] + start,
            "duration": taken,
            "given": cues_within(row["given"], start, taken) if row["given"] else [],
        }
        pieces.setdefault((row["conversation_id"], start), row | cut)
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


def _measure(
    piece: Row, out: Path, tagging: Sequence[Stage], spoken: Sequence[Stage], times_as_long: float
) -> Measured | None:
    """Run a piece of a conversation that is `times_as_long`; None if it was rejected."""
    processor = ProcessorTime()
    outcome = run(TagSpec(FoundRecordings([[piece]], []), out, tagging), progress=processor)
    record = outcome.record
    if record is None or not record["counts"]["conversations"]:
        return None
    stages = _stages(outcome.account)
    threads = 1 if RunOptions().runner.on_cuda(tagging) else thread_count()
    for name in SIDE_BY_SIDE:
        if name in stages:
            stages[name] = seconds_in_whole(stages[name], processor.seconds[name], times_as_long, threads)
    quantities = {
        "speech_hours": record["hours"]["speech"],
        "tag_seconds": sum(stages.values()),
        "tagged_bytes": _size(out / TAGGED) + _size(out / TRANSCRIPT),
    }
    if spoken and record["counts"]["utterances"]:
        more, took = _speak(piece, out, spoken)
        quantities |= more
        stages |= {name if name not in stages else f"{name} (speak)": seconds for name, seconds in took.items()}
    rows = [row for path in (out / TAGGED).glob("*.parquet") for row in read_rows(path, ["sides"]).values()]
    sides = [side for row in rows for side in row["sides"]]
    bandwidths = [side["bandwidth_hz"] for side in sides if side["bandwidth_hz"]]
    return Measured(piece["duration"], quantities, stages, min(bandwidths, default=None))


def seconds_in_whole(wall: float, processor: float, times_as_long: float, threads: int) -> float:
    """Seconds of a stage for a piece as part of its conversation, which keeps more threads busy.

    Args:
        wall, processor: seconds that the piece took alone. times_as_long: the conversation's length over the
            piece's.
        threads: how many the stage may use.

    >>> seconds_in_whole(wall=6.0, processor=12.0, times_as_long=10.0, threads=8)  # 2 of 8 threads were busy
    1.5
    """
    busy = max(1.0, processor / wall if wall else 1.0)
    return wall * busy / max(busy, min(threads, busy * times_as_long))


def _speak(piece: Row, out: Path, stages: Sequence[Stage]) -> tuple[dict[str, float], dict[str, float]]:
    """Quantities and seconds by stage of the second half: it is run where speech is free, and else only priced."""
    voice, quantities = speak_stage_of(stages), dict[str, float]()
    disk = {"dataset_bytes": out / work_folder.DATASET, "wav_bytes": out / AUDIO}
    script = speaking.read_synthesis_input(out)
    if voice:
        # With an empty cache: the user's would make everything look cheap.
        voice, disk["cache_bytes"] = replace(voice, cache=str(out / "cache")), out / "cache"
        stages = [PerUtterance(voice) if find_stage(Speak, [stage]) else stage for stage in stages]
        priced = price_of(script, stages)
        quantities = {"usd": priced.price, "text_bytes": float(priced.text_bytes)}
        if not voice.synthesiser().deterministic:
            return quantities | _like_the_source(piece, voice.sample_rate), {}
    outcome = run(SpeakSpec(script, out, stages))
    seconds = _stages(outcome.account)
    quantities["speak_seconds"] = sum(seconds.values())
    if voice and not outcome.counts.get("conversations"):  # held back: there are no files to measure
        return quantities | _like_the_source(piece, voice.sample_rate), seconds
    return quantities | {name: _size(path) for name, path in disk.items()}, seconds


def _like_the_source(piece: Row, sample_rate: int) -> dict[str, float]:
    """Bytes of the results if they are as long and as loud as the recording: as FLAC, as WAV, and one channel as
    FLAC."""
    rate = sample_rate or piece["sample_rate"]
    samples = read_at(piece["audio"], rate, piece["offset"], piece["duration"])
    return {
        "dataset_bytes": float(len(encoded_sound(to_pcm(samples), rate, "FLAC"))),
        "wav_bytes": 2.0 * samples.size,
        "cache_bytes": float(len(encoded_sound(to_pcm(samples[:, 0]), rate, "FLAC"))),
    }


def extrapolate(
    corpus: FoundRecordings, measured: Sequence[Measured], workers: int, loading_seconds: float
) -> Estimate:
    """Estimate the whole corpus as if it were like the sample, divided among the workers that have a core."""
    seconds = sum(row["duration"] for row in corpus.rows)

    def of(values: Sequence[Mapping[str, float]], shared: Mapping[str, int]) -> dict[str, Range]:
        ranges, audio = {}, [piece.audio_seconds for piece in measured]
        for name in dict.fromkeys(name for by_name in values for name in by_name):
            amounts = [by_name.get(name, 0.0) for by_name in values]
            rates = [amount / length for amount, length in zip(amounts, audio, strict=True)]
            expected = sum(amounts) / sum(audio)
            factor = seconds / shared.get(name, 1)
            ranges[name] = Range(*(rate * factor for rate in (min(rates), expected, max(rates))))
        return ranges

    bandwidths = [piece.bandwidth_hz for piece in measured if piece.bandwidth_hz is not None]
    return Estimate(
        seconds / 3600,
        len(corpus.rows),
        len(corpus.problems),
        len(measured),
        sum(piece.audio_seconds for piece in measured),
        workers,
        of([piece.quantities for piece in measured], dict.fromkeys(SHARED, min(workers, cores()))),
        of([piece.stages for piece in measured], {}),
        loading_seconds,
        narrow_pieces=sum(bandwidth < NARROW_HZ for bandwidth in bandwidths),
        lowest_bandwidth_hz=min(bandwidths, default=None),
    )


def _stages(account: Account) -> dict[str, float]:
    """Seconds that grow with the corpus, so without planning and the last outputs, which take little."""
    return account.stages | {"reading, writing": account.outside}


def _size(path: Path) -> float:
    """Bytes of a file, or of the files in a folder except hidden ones, such as the mark of a folder of results."""
    files = path.rglob("[!.]*") if path.is_dir() else [path]
    return float(sum(file.stat().st_size for file in files if file.is_file()))
