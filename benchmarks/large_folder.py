"""A finished work folder of many conversations, without the hours that models would take.

One short talk is tagged and resynthesised. Its rows, under other names, become those of every recording found in
a folder, and go into shards of the names that a run gives. The recordings are hard links of few files, and the
cuts of long ones are even. Transcripts, tables and `run.json` are written by `tag` and `speak` themselves.

    python benchmarks/large_folder.py FOLDER --recordings 1000 --pieces 100 --seconds 10
"""

import argparse
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import soundfile
from measuring import dailytalk
from numpy.typing import NDArray
from scaling import finished_by
from short_talks import RATE, short_talks

from dailytalk_contiguous.core.records import EncodedAudio
from dailytalk_contiguous.core.schema import SOURCE
from dailytalk_contiguous.pipelines.to_sound import speak_stages
from dailytalk_contiguous.pipelines.to_text import tag_stages
from dailytalk_contiguous.run.outputs import wav_path
from dailytalk_contiguous.run.run import RunOptions, Spec
from dailytalk_contiguous.run.shard import features_of
from dailytalk_contiguous.run.speaking import SpeakFolderSpec
from dailytalk_contiguous.run.tagging import TagSpec, find
from dailytalk_contiguous.shards import (
    Entry,
    Shard,
    expand_row,
    read_entries,
    shard_files,
    shard_path,
    write_shard,
)
from dailytalk_contiguous.sources import folder as folder_source
from dailytalk_contiguous.sources.inputs import open_inputs
from dailytalk_contiguous.store.owned_folder import mark, write_sound
from dailytalk_contiguous.store.work_folder import AUDIO, DATASET, TAGGED

#: Names of one file: ext4 takes 65,000.
MOST_LINKS = 10_000

#: Seconds of sound in a finished row: what a second run does not read need not be long.
SOUND_SECONDS = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recordings", type=int, required=True)
    parser.add_argument("--pieces", type=int, default=1, help="conversations that each recording is cut into")
    parser.add_argument("--seconds", type=float, default=300.0, help="of a conversation")
    chosen = parser.parse_args()
    folder = chosen.folder
    talks = folder / "talks"
    (talk,) = short_talks(talks, 1, 1)
    samples, _ = soundfile.read(talk, dtype="int16")
    dailytalk("build", talks, "--out", folder / "model", "--profile", "embedded", "--language", "en")
    _write_recordings(folder / "calls", samples, chosen.recordings, chosen.pieces * chosen.seconds)
    commands = finished_by(folder, chosen.seconds)
    _write_tagged(folder, chosen.seconds)
    dailytalk(*commands["tag"])
    _write_spoken(folder, samples[: round(SOUND_SECONDS * RATE)])
    dailytalk(*commands["speak"])


def _write_recordings(calls: Path, talk: NDArray[np.int16], count: int, seconds: float) -> None:
    """Write recordings of so many seconds, in which a talk is repeated."""
    calls.mkdir(parents=True)
    samples = np.resize(talk, (round(seconds * RATE), 2))
    source = calls
    for number in range(count):
        path = calls / f"call{number:06d}.flac"
        if number % MOST_LINKS == 0:
            soundfile.write(path, samples, RATE, "PCM_16")
            source = path
        else:
            path.hardlink_to(source)


def _even_cuts(audio: EncodedAudio, seconds: float, longest: float) -> list[float]:
    """The edges of pieces of one length: a search for silence would hear two minutes around each."""
    n_pieces = math.ceil(seconds / longest)
    return [number * seconds / n_pieces for number in range(n_pieces)] + [seconds]


def _write_tagged(folder: Path, seconds: float) -> None:
    """Write the shards of `tag`."""
    folder_source._find_cuts = _even_cuts
    work = folder / "work"
    config = folder_source.FolderConfig(language="en", max_conversation=seconds)
    recordings = find(open_inputs([str(folder / "calls")]), work, config)
    stages = tag_stages(profile="embedded", language="en", device="cpu")
    _write_shards(TagSpec(recordings, work, stages), folder / "model" / TAGGED)


def _write_spoken(folder: Path, samples: NDArray[np.int16]) -> None:
    """Write the shards of `speak`, and the sound file of each conversation, all of the same samples."""
    work = folder / "work"
    encoded = io.BytesIO()
    soundfile.write(encoded, samples, RATE, "PCM_16", format="FLAC")
    spec = SpeakFolderSpec(work, work, speak_stages("embedded", device="cpu"))
    spec.prepare()
    _write_shards(spec, folder / "model" / DATASET, encoded.getvalue())
    mark(work / AUDIO, "audio")
    for path in shard_files(work / DATASET):
        for name, entry in read_entries(path).items():
            with wav_path(work, name).open("wb") as file:
                write_sound(file, [samples], RATE, 2, digest=entry.audio)


def _write_shards(spec: Spec, model: Path, sound: bytes = b"") -> None:
    """Write all shards of the last pass of a spec, of the one row that a folder of shards has.

    Every row has the sound, encoded, if there is some.
    """
    (row,) = [row for path in shard_files(model) for row in pq.read_table(path).to_pylist()]
    *_, step = spec.passes(RunOptions())
    features = step.keeps or features_of(step.stages)
    made_by = step.made_by
    for group in step.groups:
        rows = []
        entries = {}
        for planned in map(expand_row, group):
            made = _renamed(row, row["conversation_id"], planned["conversation_id"])
            made |= {name: planned[name] for name in SOURCE if name in features and name in planned}
            if sound:
                made["audio"] = {"bytes": sound, "path": None}
            rows.append({name: made[name] for name in features})
            entries[planned["conversation_id"]] = Entry(planned["recording_id"], planned["duration"])
        write_shard(shard_path(step.folder, group, made_by), Shard(rows, entries), features)


def _renamed(value: Any, old: str, new: str) -> Any:
    """A value with the id of another conversation, also where an id begins with it."""
    if isinstance(value, str):
        is_id = value == old or value.startswith(f"{old}/")
        return new + value.removeprefix(old) if is_id else value
    if isinstance(value, list):
        return [_renamed(item, old, new) for item in value]
    if isinstance(value, Mapping):
        return {name: _renamed(item, old, new) for name, item in value.items()}
    return value


if __name__ == "__main__":
    main()
