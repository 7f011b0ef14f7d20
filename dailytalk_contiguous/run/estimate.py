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

#: The largest share of a corpus that a sample is, and the seconds that it may have in any case: an estimate must
#: cost less than the work that it estimates.
MOST_SHARE = 0.1
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
        recordings: the corpus. folder: an empty one, for the caller to remove.
        stages, spoken: what is to be computed; without `spoken`, `speak` is left out.
        sample_seconds: the most audio to run; less for a small corpus (`MOST_SHARE`). seed: of the sample.

    Raises DailytalkError if there are no recordings, if all of the sample is rejected, and as the runs do.
    """
    if not recordings.rows:
        first = recordings.problems[0]
        raise DailytalkError(f"none of the recordings can be used ({first.id}: {first.reason})", first.remedy)
    total = sum(row["duration"] for row in recordings.rows)
    pieces = sample(recordings.rows, min(sample_seconds, max(LEAST_SECONDS, MOST_SHARE * total)), seed)
    shortest = min(pieces, key=lambda row: float(row["duration"]))
    run(TagSpec(FoundRecordings([[shortest]], []), folder / "loading", stages))  # so that the models are loaded
    out = folder / "sample"
    tagged = run(TagSpec(FoundRecordings([pieces], []), out, stages))
    if not tagged.counts["conversations"]:
        why = next(rejects_in(out))["reason"]
        raise DailytalkError(f"none of the sample can be used ({why})", "draw another with --seed")
    seconds = _seconds(tagged)
    quantities = {
        "speech_hours": (tagged.record or {})["hours"]["speech"],
        "tag_seconds": sum(seconds.values()),
        "tagged_bytes": float(sum(path.stat().st_size for path in (*(out / TAGGED).iterdir(), out / TRANSCRIPT))),
    }
    if spoken:
        script = read_synthesis_input(out)
        voice = voice_stage_of(spoken)
        rates = [(voice and voice.sample_rate) or row["sample_rate"] for row in script.unfolded()]
        wav_bytes = sum(4.0 * rate * row["duration"] for rate, row in zip(rates, script.rows, strict=True))
        quantities |= {"wav_bytes": wav_bytes, "dataset_bytes": FLAC_SHARE * wav_bytes}
        if isinstance(voice, Speak):  # with an empty cache: the user's would make everything look cheap
            voice = replace(voice, cache=str(out / "cache"))
            spoken = [PerUtterance(voice) if find_stage(Speak, [stage]) else stage for stage in spoken]
            priced = price_of(script, spoken)
            quantities |= {"usd": priced.price, "text_bytes": float(priced.text_bytes)}
            quantities |= {"requests": priced.requests, "joined": priced.joined, "turns": priced.turns}
        if not voice or voice.synthesiser().deterministic:  # speech that is not free is priced, and not bought
            took = _seconds(run(SpeakSpec(script, out, spoken)))
            quantities["speak_seconds"] = sum(took.values())
            seconds |= {f"{name} (speak)" if name in seconds else name: value for name, value in took.items()}
    sampled = sum(row["duration"] for row in pieces)
    factor = total / sampled
    return Estimate(
        total / 3600,
        len(recordings.rows),
        len(recordings.problems),
        len(pieces),
        sampled,
        {name: value * factor for name, value in quantities.items()},
        {name: value * factor for name, value in seconds.items()},
    )


def _seconds(done: RunOutcome) -> dict[str, float]:
    """Seconds that grow with the corpus, so without planning and the last outputs, which take little."""
    return {name: took for name, (took, _) in done.run.stages.items()} | {"reading, writing": done.run.outside}


def sample(rows: Sequence[Row], seconds: float, seed: int) -> list[Row]:
    """About `seconds` of the rows' audio, in pieces of up to `PIECE_SECONDS` from all parts of it.

    The recordings are joined end to end and divided into equal parts, and a point is drawn at random from each:
    every hour is equally likely to be drawn from, whatever recording it is in.
    """
    generator = random.Random(seed)
    ends = np.cumsum([row["duration"] for row in rows])
    seconds = min(seconds, float(ends[-1]))
    n_pieces = max(LEAST_PIECES, ceil(seconds / min(PIECE_SECONDS, ends[-1] / len(rows))))
    pieces: dict[str, Row] = {}
    for number in range(n_pieces):
        point = (number + generator.random()) * ends[-1] / n_pieces
        row = expand_row(rows[min(int(np.searchsorted(ends, point)), len(rows) - 1)])
        taken = min(seconds / n_pieces, row["duration"])
        start = generator.uniform(0.0, row["duration"] - taken)
        name = f"{row['conversation_id']}.{round(1000 * start)}"
        pieces[name] = row | {
            "conversation_id": name,
            "offset": row["offset"] + start,
            "duration": taken,
            "given": cues_within(row["given"] or [], start, taken),
        }
    return list(pieces.values())
