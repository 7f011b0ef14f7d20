"""Augment: copies are what their recipes say, in any order and cut, and other rows stay as they are."""

import hashlib
import io
from typing import Any

import numpy as np
import pytest
import soundfile
from audio_files import EXAMPLES
from datasets import Dataset, Features, List, concatenate_datasets
from stage_calls import columns_after
from vowels import RATE

from dailytalk_contiguous.apps.clips.augment import (
    KINDS,
    Augment,
    CopySource,
    Measured,
    Recipe,
    copy_id,
    plan_copies,
)
from dailytalk_contiguous.core.records.schema import AUDIO, LABELS, PROBLEM, SECONDS, STRING, Batch
from dailytalk_contiguous.core.records.utterance import WORD
from dailytalk_contiguous.core.sound.loudness import CEILING_DBTP, clip_loudness, true_peak_dbtp
from dailytalk_contiguous.core.sound.samples import to_pcm
from dailytalk_contiguous.machine.audio import read_at

FEATURES = Features({"id": STRING, "audio": AUDIO, "duration": SECONDS, "words": List(WORD)})
FEATURES |= {"augmented_from": STRING, "augmentation": LABELS["augmentation"]}
WORDS = [
    {"word": "so", "start": 0.25, "end": 0.75, "probability": 0.5},
    {"word": "what", "start": 1.0, "end": 1.6, "probability": None},
]


def encoded(channels: np.ndarray) -> dict[str, Any]:
    file = io.BytesIO()
    soundfile.write(file, to_pcm(channels), RATE, format="FLAC", subtype="PCM_16")
    return {"bytes": file.getvalue(), "path": "clip.flac"}


def decoded(audio: dict[str, Any]) -> np.ndarray:
    file = io.BytesIO(audio["bytes"])
    samples, _ = soundfile.read(file, dtype="float32", always_2d=True)
    return samples


def speech(start: float = 1.0, seconds: float = 2.0) -> np.ndarray:
    """Two seconds of a bundled conversation on the left, faint noise on the right."""
    recording = {"bytes": None, "path": str(EXAMPLES / "bicycle_repair.flac")}
    left = read_at(recording, RATE, start, seconds)[:, 0]
    rng = np.random.default_rng(0)
    right = 1e-3 * rng.standard_normal(len(left), np.float32)
    return np.stack((left, right), axis=1)


def row(source: str, recipe: Recipe | None, channels: np.ndarray) -> dict[str, Any]:
    """The clip `source` itself, or the copy of it that a recipe asks for."""
    columns = {
        "id": source,
        "audio": encoded(channels),
        "duration": len(channels) / RATE,
        "words": WORDS,
        "augmented_from": None,
        "augmentation": None,
    }
    if recipe:
        columns["id"] = copy_id(source, recipe)
        columns["augmented_from"] = source
        columns["augmentation"] = recipe._asdict()
    return columns


def changed(recipe: Recipe, channels: np.ndarray) -> dict[str, Any]:
    batch: Batch = {name: [value] for name, value in row("c/1", recipe, channels).items()}
    added = columns_after(Augment(), batch)
    return {name: values[0] for name, values in added.items()}


def corpus() -> Dataset:
    """Two sources, each with four copies of four kinds, and the sources themselves."""
    rows = []
    for number in range(2):
        source = CopySource(f"c/{number}", {"f0_mean": Measured(150.0)})
        audio = speech(1.0 + 2 * number)
        recipes, _ = plan_copies(source, KINDS, 4)
        rows.append(row(source.id, None, audio))
        rows += [row(source.id, recipe, audio) for recipe in recipes]
    return Dataset.from_list(rows, features=FEATURES)


def digests(dataset: Dataset) -> dict[str, str]:
    sounds = {clip["id"]: clip["audio"]["bytes"] for clip in dataset}
    return {name: hashlib.sha256(sound).hexdigest() for name, sound in sounds.items()}


def test_copies_are_the_same_bits_in_any_order_and_cut() -> None:
    rows = corpus()
    expected = digests(Augment().map(rows))
    assert len(rows) == 10
    assert len(set(expected.values())) == 10
    backwards = rows.select(range(9, -1, -1))
    assert digests(Augment().map(backwards, batch_size=3)) == expected
    shards = [rows.shard(4, index, contiguous=False) for index in range(4)]
    augmented = [Augment().map(shard, batch_size=1) for shard in shards]
    assert digests(concatenate_datasets(augmented)) == expected


def test_rows_that_are_no_copies_stay_bit_for_bit() -> None:
    rows = corpus()
    made = Augment().map(rows)
    assert made.features == FEATURES | PROBLEM
    for before, after in zip(rows, made, strict=True):
        if before["augmentation"] is None:
            assert after == before | dict.fromkeys(PROBLEM)
        else:
            assert after["audio"]["bytes"] != before["audio"]["bytes"]


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_words_of_a_stretched_copy_are_at_exactly_so_many_times_their_times(factor: float) -> None:
    channels = speech()[:-11]
    made = changed(Recipe("stretch", factor, None, 1), channels)
    n_samples = round(len(channels) * factor)
    assert decoded(made["audio"]).shape == (n_samples, 2)
    assert made["duration"] == n_samples / RATE
    for before, after in zip(WORDS, made["words"], strict=True):
        moved = {"start": before["start"] * factor, "end": before["end"] * factor}
        assert after == before | moved


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_is_as_loud_as_its_source(kind: str) -> None:
    left = speech()[:, 0]
    gain_db = -23 - clip_loudness(left, RATE)
    left = left * np.float32(10 ** (gain_db / 20))
    source = CopySource("c/1", {"f0_mean": Measured(150.0)})
    (recipe,), _ = plan_copies(source, [kind], 1)
    audio = changed(recipe, left[:, None])["audio"]
    copied = decoded(audio)[:, 0]
    assert clip_loudness(copied, RATE) == pytest.approx(-23, abs=0.1)
    assert true_peak_dbtp(copied, RATE) <= CEILING_DBTP
