"""Augment: copies are what their recipes say, in any order and cut, and other rows stay as they are."""

import hashlib
import io
from typing import Any

import numpy as np
import pytest
import soundfile
from audio_files import EXAMPLES
from datasets import Dataset, Features, List, concatenate_datasets
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
from dailytalk_contiguous.core.audio import read_at, to_pcm
from dailytalk_contiguous.core.loudness import CEILING_DBTP, clip_loudness, true_peak_dbtp
from dailytalk_contiguous.core.schema import AUDIO, LABELS, PROBLEM, SECONDS, STRING, Batch
from dailytalk_contiguous.core.utterance import WORD

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
    return soundfile.read(io.BytesIO(audio["bytes"]), dtype="float32", always_2d=True)[0]


def speech(start: float = 1.0, seconds: float = 2.0) -> np.ndarray:
    """Two seconds of a bundled conversation on the left, faint noise on the right."""
    left = read_at({"bytes": None, "path": str(EXAMPLES / "bicycle_repair.flac")}, RATE, start, seconds)[:, 0]
    right = 1e-3 * np.random.default_rng(0).standard_normal(len(left), np.float32)
    return np.stack((left, right), axis=1)


def row(recipe: Recipe | None, channels: np.ndarray) -> dict[str, Any]:
    return {
        "id": copy_id("c/1", recipe) if recipe else "c/1",
        "audio": encoded(channels),
        "duration": len(channels) / RATE,
        "words": WORDS,
        "augmented_from": "c/1" if recipe else None,
        "augmentation": recipe._asdict() if recipe else None,
    }


def batch(*rows: dict[str, Any]) -> Batch:
    return {name: [one[name] for one in rows] for name in rows[0]}


def changed(recipe: Recipe, channels: np.ndarray, stage: Augment | None = None) -> dict[str, Any]:
    found = (stage or Augment())(batch(row(recipe, channels)))
    return {name: values[0] for name, values in found.items()}


def corpus() -> Dataset:
    """Two sources, each with four copies of four kinds, and the sources themselves."""
    rows = []
    for number in range(2):
        source = CopySource(f"c/{number}", {"f0_mean": Measured(150.0)})
        audio = speech(1.0 + 2 * number)
        own = [None, *plan_copies(source, KINDS, 4)[0]]
        rows += [
            row(recipe, audio) | {"id": copy_id(source.id, recipe) if recipe else source.id} for recipe in own
        ]
    return Dataset.from_list(rows, features=FEATURES)


def digests(dataset: Dataset) -> dict[str, str]:
    return {one["id"]: hashlib.sha256(one["audio"]["bytes"]).hexdigest() for one in dataset}


def test_copies_are_the_same_bits_in_any_order_and_cut() -> None:
    rows = corpus()
    wanted = digests(Augment().map(rows))
    assert len(set(wanted.values())) == len(rows) == 10
    assert digests(Augment().map(rows.select(range(9, -1, -1)), batch_size=3)) == wanted
    shards = [Augment().map(rows.shard(4, index, contiguous=False), batch_size=1) for index in range(4)]
    assert digests(concatenate_datasets(shards)) == wanted


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
    assert decoded(made["audio"]).shape == (round(len(channels) * factor), 2)
    assert made["duration"] == round(len(channels) * factor) / RATE
    for before, after in zip(WORDS, made["words"], strict=True):
        assert after == before | {"start": before["start"] * factor, "end": before["end"] * factor}


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_is_as_loud_as_its_source(kind: str) -> None:
    left = speech()[:, 0]
    left = left * np.float32(10 ** ((-23 - clip_loudness(left, RATE)) / 20))
    (recipe,), _ = plan_copies(CopySource("c/1", {"f0_mean": Measured(150.0)}), [kind], 1)
    found = decoded(changed(recipe, left[:, None])["audio"])[:, 0]
    assert clip_loudness(found, RATE) == pytest.approx(-23, abs=0.1)
    assert true_peak_dbtp(found, RATE) <= CEILING_DBTP
