"""The estimate of a run, before it begins, from a small sample that is run on this machine.

The sample is spread evenly over the whole corpus, so that it resembles it, and is run once the models are loaded.
Nothing is bought: paid speech is priced from the sample's text. Everything is written to a temporary folder.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

import numpy as np

from dailytalk_contiguous.core.cues import cues_within
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.run.run import RunOutcome, run, voice_stage_of
from dailytalk_contiguous.run.speaking import SpeakSpec, price_of, read_synthesis_input
from dailytalk_contiguous.run.tagging import FoundRecordings, TagSpec
from dailytalk_contiguous.shards import expand_row
from dailytalk_contiguous.stages.base import PerUtterance, Stage, find_stage
from dailytalk_contiguous.stages.synthesis import Speak
from dailytalk_contiguous.store.work_folder import TAGGED, TRANSCRIPT, rejects_in

#: Seconds of a piece of the sample: long enough for several turns, and for utterances to be packed into windows.
PIECE_SECONDS = 60.0

#: The fewest pieces of a sample, if there is enough audio: no recording is like all others.
LEAST_PIECES = 3

#: The largest share of a corpus that a sample is: an estimate must cost less than the work that it estimates.
MOST_SHARE = 0.1

#: Seconds that a sample may have in any case.
LEAST_SECONDS = 30.0

#: Bytes of FLAC for a byte of WAV, of recorded speech.
FLAC_SHARE = 0.5


@dataclass(frozen=True)
class Estimate:
    """The estimate of a corpus.

    Attributes:
        audio_hours, conversations, rejected: the whole input; not estimated.
        sample_pieces, sample_seconds: the sample that was run.
        quantities: `speech_hours`, `tag_seconds` and `speak_seconds` of wall time in one process, `usd`,
            `text_bytes` and `requests` of speech, `joined` utterances in `turns` that are said in one take each,
            and bytes on disk: `tagged_bytes`, `dataset_bytes` (FLAC), `wav_bytes`.
        stages: seconds of each stage in one process, by name.
    """

    audio_hours: float
    conversations: int
    rejected: int
    sample_pieces: int
    sample_seconds: float
    quantities: dict[str, float]
    stages: dict[str, float]


def estimate_run(
    recordings: FoundRecordings,
    folder: Path,
    stages: Sequence[Stage],
    spoken: Sequence[Stage] = (),
    sample_seconds: float = 180.0,
    seed: int = 0,
) -> Estimate:
    """Run a sample of the recordings and extrapolate. The time that models take to load is not in it.

    Args:
        recordings: the corpus.
        folder: an empty one, for the caller to remove.
        stages: of `tag`.
        spoken: the stages of `speak`; without them, it is left out.
        sample_seconds: the most seconds of audio to run; less for a small corpus (`MOST_SHARE`).
        seed: of the sample.

    Raises DailytalkError if there are no recordings, if all of the sample is rejected, and as the runs do.
    """
    if not recordings.rows:
        first = recordings.problems[0]
        raise DailytalkError(f"none of the recordings can be used ({first.id}: {first.reason})", first.remedy)
    total = sum(row["duration"] for row in recordings.rows)
    most_seconds = min(sample_seconds, max(LEAST_SECONDS, MOST_SHARE * total))
    pieces = sample(recordings.rows, most_seconds, seed)
    shortest = min(pieces, key=lambda row: float(row["duration"]))
    run(TagSpec(FoundRecordings([[shortest]], []), folder / "loading", stages))  # so that the models are loaded
    out = folder / "sample"
    tagged = run(TagSpec(FoundRecordings([pieces], []), out, stages))
    if not tagged.counts["conversations"]:
        why = next(rejects_in(out))["reason"]
        raise DailytalkError(f"none of the sample can be used ({why})", "draw another with --seed")
    seconds = _seconds(tagged)
    record = tagged.record or {}
    files = [*(out / TAGGED).iterdir(), out / TRANSCRIPT]
    quantities = {
        "speech_hours": record["hours"]["speech"],
        "tag_seconds": sum(seconds.values()),
        "tagged_bytes": float(sum(path.stat().st_size for path in files)),
    }
    if spoken:
        spoken_quantities, spoken_seconds = _estimate_speech(out, spoken)
        quantities |= spoken_quantities
        for name, value in spoken_seconds.items():
            seconds[f"{name} (speak)" if name in seconds else name] = value
    sampled = sum(row["duration"] for row in pieces)
    factor = total / sampled
    return Estimate(
        audio_hours=total / 3600,
        conversations=len(recordings.rows),
        rejected=len(recordings.problems),
        sample_pieces=len(pieces),
        sample_seconds=sampled,
        quantities={name: value * factor for name, value in quantities.items()},
        stages={name: value * factor for name, value in seconds.items()},
    )


def _estimate_speech(out: Path, stages: Sequence[Stage]) -> tuple[dict[str, float], dict[str, float]]:
    """The quantities of the second half for a tagged sample, and the seconds of each of its stages.

    Speech that is not free is priced, and not bought: then there are no seconds.
    """
    script = read_synthesis_input(out)
    voice = voice_stage_of(stages)
    wav_bytes = 0.0
    for unfolded, row in zip(script.unfolded(), script.rows, strict=True):
        rate = (voice and voice.sample_rate) or unfolded["sample_rate"]
        wav_bytes += 4.0 * rate * row["duration"]
    quantities = {"wav_bytes": wav_bytes, "dataset_bytes": FLAC_SHARE * wav_bytes}
    if isinstance(voice, Speak):
        # With an empty cache: the user's would make everything look cheap.
        voice = replace(voice, cache=str(out / "cache"))
        stages = [PerUtterance(voice) if find_stage(Speak, [stage]) else stage for stage in stages]
        cost = price_of(script, stages)
        quantities["usd"] = cost.price
        quantities["text_bytes"] = float(cost.text_bytes)
        quantities["requests"] = cost.requests
        quantities["joined"] = cost.joined
        quantities["turns"] = cost.turns
    if voice and not voice.synthesiser().deterministic:
        return quantities, {}
    seconds = _seconds(run(SpeakSpec(script, out, stages)))
    quantities["speak_seconds"] = sum(seconds.values())
    return quantities, seconds


def _seconds(done: RunOutcome) -> dict[str, float]:
    """Seconds that grow with the corpus, so without planning and the last outputs, which take little."""
    seconds = {name: wall for name, (wall, _) in done.run.stages.items()}
    seconds["reading, writing"] = done.run.outside
    return seconds


def sample(rows: Sequence[Row], seconds: float, seed: int) -> list[Row]:
    """About `seconds` of the rows' audio, in pieces of up to `PIECE_SECONDS` from all parts of it.

    The recordings are joined end to end and divided into equal parts, and a point is drawn at random from each:
    every hour is equally likely to be drawn from, whatever recording it is in.
    """
    generator = random.Random(seed)
    ends = np.cumsum([row["duration"] for row in rows])
    total = ends[-1]
    seconds = min(seconds, float(total))
    longest = min(PIECE_SECONDS, total / len(rows))
    n_pieces = max(LEAST_PIECES, ceil(seconds / longest))
    pieces: dict[str, Row] = {}
    for number in range(n_pieces):
        point = (number + generator.random()) * total / n_pieces
        index = min(int(np.searchsorted(ends, point)), len(rows) - 1)
        row = expand_row(rows[index])
        duration = min(seconds / n_pieces, row["duration"])
        start = generator.uniform(0.0, row["duration"] - duration)
        name = f"{row['conversation_id']}.{round(1000 * start)}"
        piece = {
            "conversation_id": name,
            "offset": row["offset"] + start,
            "duration": duration,
            "given": cues_within(row["given"] or [], start, duration),
        }
        pieces[name] = row | piece
    return list(pieces.values())
