"""Small look-alikes of corpora with speech in them, and runs over them without a recogniser."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from audio_files import Samples, wav_bytes
from clips import RATE, line
from corpus_trees import POINTER, put
from from_apps import from_app

from dailytalk_contiguous.core.records.schema import LABELLED, Row
from dailytalk_contiguous.run.run import RunOptions, RunOutcome
from dailytalk_contiguous.run.run import run as run_spec
from dailytalk_contiguous.shards import read_rows

EMOTIONS = ("ANG", "HAP", "NEU")

#: Neither a recogniser nor an affect model: words share the voiced time.
PLAIN: dict[str, Any] = {"profile": "embedded", "asr_model": "none"}


def spoken(number: int = 0, seconds: float = 1.5) -> bytes:
    """A WAV of a spoken line with half a second of silence around it."""
    samples = line(number=number, edge=0.0)[: round(seconds * RATE)]
    quiet = np.zeros(RATE // 2, np.float32)
    padded = np.concatenate((quiet, samples, quiet))
    return wav_bytes(padded, RATE)


def crema_d(root: Path, actors: Iterable[int] = range(1001, 1007), emotions: Iterable[str] = EMOTIONS) -> Path:
    """A clip of each emotion by each actor, all of one length."""
    files = {}
    for actor in actors:
        for number, emotion in enumerate(emotions):
            files[f"AudioWAV/{actor}_DFA_{emotion}_XX.wav"] = spoken(number)
    return put(root, files)


def faults() -> dict[str, bytes]:
    """Files that can't become clips, each for a reason of its own."""
    silent: Samples = np.zeros(RATE, np.float32)
    too_short = line(edge=0.0)[: round(0.4 * RATE)]
    return {
        "AudioWAV/1091_DFA_ANG_XX.wav": POINTER,
        "AudioWAV/1091_DFA_UPSET_XX.wav": spoken(),
        "AudioWAV/1091_DFA_SAD_XX.wav": wav_bytes(silent, RATE),
        "AudioWAV/1091_DFA_NEU_XX.wav": wav_bytes(too_short, RATE),
    }


def run(
    source: Path,
    out: Path,
    name: str = "crema_d",
    options: RunOptions | None = None,
    text_conditions: bool = False,
    **settings: Any,
) -> RunOutcome:
    """Build a corpus without models."""
    spec = spec_of(source, out, name, text_conditions, **settings)
    return run_spec(spec, options or from_app("clips.clip_run").OPTIONS)


def spec_of(
    source: Path,
    out: Path,
    name: str = "crema_d",
    text_conditions: bool = False,
    **settings: Any,
) -> Any:
    """What a run over a corpus without models is made of."""
    clip_run = from_app("clips.clip_run")
    clip_plan = from_app("clips.clip_plan")
    all_settings = PLAIN | settings
    stages, wanted = clip_plan.corpus_pipeline(**all_settings)
    read = clip_run.read_corpus(name, source, out)
    return clip_run.CorpusSpec(read, out, stages, wanted, {}, text_conditions)


def rows_of(out: Path, columns: Iterable[str] | None = None) -> dict[str, Row]:
    """The finished clips by their ids."""
    wanted = list(LABELLED if columns is None else columns)
    rows: dict[str, Row] = {}
    for path in sorted((out / "clips").glob("shard-*.parquet")):
        rows |= read_rows(path, wanted)
    return rows
