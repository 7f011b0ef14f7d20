"""What measuring, planning and rebuilding give on the examples and on seeded input, figure by figure.

Data are published with these figures in them, and what was drawn with a seed must be drawn again. Whoever changes
one on purpose changes it here too (`python tests/test_published_measures.py` writes `published_measures.json`) and
says so in the changelog.
"""

import io
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from audio_files import Samples, conversations, example, room_tone, wav_bytes
from from_apps import from_app
from revoicing import Said, columns, recording
from stage_calls import columns_after

from dailytalk_contiguous.core.sound import prosody, quality, speech_runs
from dailytalk_contiguous.models.linear_emotion import bundled_voice
from dailytalk_contiguous.models.speech_activity import speech_probabilities
from dailytalk_contiguous.stages.reconstruct import Reconstruct
from dailytalk_contiguous.stages.segment import Segment

FIGURES = Path(__file__).with_name("published_measures.json")
RATE = 16000

MEASURES: dict[str, Callable[[], Any]] = {}


def measure(function: Callable[[], Any]) -> Callable[[], Any]:
    MEASURES[function.__name__] = function
    return function


def clip(start: float = 5.0, end: float = 9.0, name: str = "bicycle_repair", side: int = 0) -> Samples:
    first = round(start * RATE)
    last = round(end * RATE)
    return example(name)[first:last, side].copy()


def noise(seconds: float, seed: int = 3) -> Samples:
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal(round(seconds * RATE))
    return samples.astype(np.float32)


def shape_of(samples: Any) -> dict[str, Any]:
    """Length, power and some of the values."""
    values = np.asarray(samples, np.float64)
    weights = np.cos(np.arange(len(values)))
    step = max(1, len(values) // 7)
    return {
        "length": len(values),
        "power": float(np.mean(values**2)),
        "sum": float(np.sum(values * weights)),
        "values": values[::step].tolist(),
    }


def sound_of(encoded: bytes) -> list[dict[str, Any]]:
    samples, _ = soundfile.read(io.BytesIO(encoded), always_2d=True)
    return [shape_of(side) for side in samples.T]


@measure
def plan_of_copies() -> Any:
    copies = from_app("clips.augment")
    measured = copies.Measured
    free = {"f0_mean": measured(120.0), "f0_std": measured(15.0), "speech_rate": measured(3.0)}
    bound = {"f0_mean": measured(120.0, 100.0, 126.0), "speech_rate": measured(3.0, 2.8, 3.2)}
    sources = [copies.CopySource("corpus/a", free), copies.CopySource("corpus/b", bound)]
    plans = [copies.plan_copies(source, copies.KINDS, 6, seed) for source in sources for seed in (0, 1)]
    plans.append(copies.plan_copies(sources[0], ["noise"], 3, 5))
    figures = []
    for recipes, refused in plans:
        planned = [[copies.copy_id("x", recipe), recipe.amount, recipe.detail] for recipe in recipes]
        figures.append([planned, refused])
    return figures


def some_clips(speakers: int) -> pd.DataFrame:
    chance = random.Random(speakers)
    return pd.DataFrame(
        {
            "id": f"c/{number}",
            "seconds": chance.uniform(0.5, 12.0),
            "speaker": f"s{number % speakers}",
            "sentence": f"t{chance.randrange(9)}",
            "emotion": chance.choice(["happy", "sad", "angry", None]),
            "official_split": None,
            "most": 3,
        }
        for number in range(80)
    )


@measure
def sides_of_a_corpus() -> Any:
    split_corpus = from_app("clips.corpus_splits").split_corpus
    sides = {}
    for speakers in (3, 12, 40):
        for unit in ("speakers", "sentences"):
            clips = some_clips(speakers)
            split = split_corpus(clips, unit, 1)
            validating = sorted(name for name, side in split.side.items() if side == "validation")
            sides[f"{unit} {speakers}"] = [split[1:], validating]
    return sides


@measure
def balance_of_emotions() -> Any:
    clips = some_clips(4)
    clips["cell"] = clips["emotion"]
    plan_balance = from_app("clips.balance").plan_balance
    return [plan_balance(clips, hours, 1)[:4] for hours in (0.02, 0.1)]


@measure
def quality_of_clips() -> Any:
    cut = clip(5.0, 12.0)
    probabilities = speech_probabilities(cut)
    speech = speech_runs.speech_spans(probabilities, 7.0, 0.032)
    heard = [(max(0.0, start - 0.04), min(7.0, end + 0.04)) for start, end in speech]
    noisy = cut + 0.003 * noise(7.0)
    clipped = np.clip(3 * cut, -0.8, 0.8)
    overdriven = np.clip(8 * cut, -1, 1)
    shifted = cut + np.float32(0.01)
    sounds = (cut, noisy, clipped, overdriven, shifted)
    qualities = [quality.measure_quality(samples, RATE, speech, heard) for samples in sounds]
    brown_noise = np.cumsum(noise(0.5)) / 100
    sounds = (noise(0.5), brown_noise, cut[:600])
    bounds = [quality.bandwidth_hz(samples, RATE) for samples in sounds]
    tight = quality.snr_db(cut, RATE, [(0.0, 7.0)], [(0.0, 7.0)])
    unspoken = quality.snr_db(cut, RATE, [], [])
    return [qualities, bounds, tight, unspoken]


@measure
def prosody_of_clips() -> Any:
    return [
        prosody.measure_prosody(clip(), 9, 3.1),
        prosody.measure_prosody(clip(20.0, 22.0, "old_friends", 1), 3, 1.5),
        prosody.measure_prosody(0.01 * noise(0.5), 0, 0.0),
    ]


@measure
def affect_and_emotion_of_a_voice() -> Any:
    voice = bundled_voice()
    sounds = [clip(), clip(20.0, 22.0, "old_friends", 1), clip(5.0, 8.0)]
    affects = []
    for speakers in (None, ["a"] * 3):
        guesses = voice.classify(sounds, speakers)
        affect = voice.affect_of([guess.probabilities for guess in guesses])
        affects.append(affect.tolist())
    return affects


@measure
def utterances_of_a_recording() -> Any:
    rows = []
    recording_of_half_a_minute = wav_bytes(example("burnt_dinner")[: 30 * RATE])
    for settings in ({}, {"longest_seconds": 3.0, "short_seconds": 0.5, "min_duration_seconds": 1.0}):
        segment = Segment(**settings)
        row = columns_after(segment, conversations(recording_of_half_a_minute))
        rows.append({name: values[0] for name, values in row.items() if name != "speech"})
    return rows


@measure
def clip_conditioned_for_training() -> Any:
    line = np.concatenate([room_tone(RATE), clip(5.0, 8.0), room_tone(RATE, seed=2)])
    line = line + 0.004 * noise(5.0)
    audio = {"bytes": wav_bytes(line), "path": None}
    batch = {"id": ["a"], "audio": [audio], "prompt": [None]}
    condition = from_app("clips.condition").Condition()
    conditioned = columns_after(condition, batch)
    encoded = conditioned["audio"][0]["bytes"]
    fields = {name: values[0] for name, values in conditioned.items() if name not in ("audio", "words")}
    return [[fields], sound_of(encoded)]


@measure
def conversation_rebuilt_around_a_new_voice() -> Any:
    utterances = (
        Said("right", 0.005, 0.4),
        Said("left", 0.5, 2.5, 0.8),
        Said("right", 2.8, 5.0),
        Said("left", 4.6, 7.5, 1.3),
        Said("right", 5.5, 5.9),
        Said("right", 7.1, 9.0),
        Said("left", 9.4, 10.2, 0.6),
    )
    samples = recording(utterances, 12.0, RATE)
    first = round(11.2 * RATE)
    last = round(11.5 * RATE)
    samples[first:last, 1] += 0.05 * noise(0.3)
    rebuilt = []
    for mode, revoice in (("anchor", "left"), ("sequential", "right")):
        batch = columns(utterances, samples, RATE, 0, revoice)
        row = columns_after(Reconstruct(mode, 0, revoice), batch)
        fields = {name: values[0] for name, values in row.items() if name != "built_audio"}
        encoded = row["built_audio"][0]["bytes"]
        rebuilt.append([fields, *sound_of(encoded)])
    return rebuilt


def leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """What a measure gave, flat, as JSON can hold it."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from leaves(item, f"{place}/{name}")
    elif isinstance(value, list | tuple):
        yield f"{place}/count", len(value)
        for number, item in enumerate(value):
            yield from leaves(item, f"{place}/{number}")
    elif isinstance(value, float | np.floating):
        yield place, float(f"{value:.6g}")
    elif isinstance(value, bool | np.bool_):
        yield place, bool(value)
    elif isinstance(value, np.integer):
        yield place, int(value)
    else:
        yield place, value


@pytest.mark.parametrize("name", MEASURES)
def test_figures_are_those_that_were_published(name: str) -> None:
    measured = MEASURES[name]()
    figures = dict(leaves(measured))
    published = json.loads(FIGURES.read_text(encoding="utf-8"))[name]
    assert list(figures) == list(published)
    for path, value in published.items():
        figure = figures[path]
        if isinstance(value, float):
            assert figure == pytest.approx(value, rel=5e-4, abs=2e-6, nan_ok=True), path
        else:
            assert figure == value, path


if __name__ == "__main__":
    figures = {name: dict(leaves(function())) for name, function in MEASURES.items()}
    text = json.dumps(figures, indent=0, ensure_ascii=False)
    FIGURES.write_text(text + "\n", encoding="utf-8")
