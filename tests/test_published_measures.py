"""What measuring, planning and rebuilding give on the examples and on seeded input, figure by figure.

Data are published with these figures in them, and what was drawn with a seed must be drawn again. Whoever changes
one on purpose changes it here too (`python tests/test_published_measures.py` writes `published_measures.json`) and
says so in the changelog.
"""

import io
import json
import random
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from audio_files import EXAMPLE_NAMES, Samples, conversations, example, reference, room_tone, wav_bytes
from revoicing import Said, columns, recording

from dailytalk_contiguous.core import (
    copies,
    crosstalk,
    loudness,
    prosody,
    quality,
    sampling,
    spans,
    turns,
    word_times,
)
from dailytalk_contiguous.core.audio import to_pcm
from dailytalk_contiguous.models import affect, voice_effects
from dailytalk_contiguous.models.speech_activity import speech_probabilities
from dailytalk_contiguous.stages.condition import Condition
from dailytalk_contiguous.stages.reconstruct import Reconstruct
from dailytalk_contiguous.stages.segment import Segment

FIGURES = Path(__file__).with_name("published_measures.json")
RATE = 16000

MEASURES: dict[str, Callable[[], Any]] = {}


def measure(function: Callable[[], Any]) -> Callable[[], Any]:
    MEASURES[function.__name__] = function
    return function


def clip(start: float = 5.0, end: float = 9.0, name: str = "bicycle_repair", side: int = 0) -> Samples:
    return example(name)[round(start * RATE) : round(end * RATE), side].copy()


def noise(seconds: float, seed: int = 3) -> Samples:
    return np.random.default_rng(seed).standard_normal(round(seconds * RATE)).astype(np.float32)


def shape_of(samples: Any) -> dict[str, Any]:
    """Length, power and some of the values."""
    values = np.asarray(samples, np.float64)
    return {
        "length": len(values),
        "power": float(np.mean(values**2)),
        "sum": float(np.sum(values * np.cos(np.arange(len(values))))),
        "values": values[:: max(1, len(values) // 7)].tolist(),
    }


def sound_of(encoded: bytes) -> list[dict[str, Any]]:
    samples, _ = soundfile.read(io.BytesIO(encoded), always_2d=True)
    return [shape_of(side) for side in samples.T]


@lru_cache(maxsize=None)
def spoken(name: str = "bicycle_repair", side: int = 0, seconds: float = 20.0) -> list[tuple[float, float]]:
    samples = clip(0.0, seconds, name, side)
    return spans.speech_spans(speech_probabilities(samples), seconds, 0.032)


@measure
def impulse_response_of_a_room() -> Any:
    response = copies.room_response(RATE, 0.3, copies.generator(1))
    other = copies.room_response(24000, 0.15, copies.generator(9))
    decay = copies.decay_time(response.astype(np.float64) ** 2, 1 / RATE)
    return [shape_of(response), shape_of(other), response[:3].tolist(), decay]


@measure
def noise_and_room_around_a_clip() -> Any:
    found = {}
    for colour in copies.SLOPES:
        drawn = copies.coloured_noise(len(clip()), RATE, colour, copies.generator(2))
        found[colour] = [shape_of(drawn), shape_of(copies.with_noise(clip(), RATE, drawn, 20.0))]
    found["power"] = [copies.speech_power(clip(), RATE), copies.speech_power(clip()[:RATE] * 0.1, RATE)]
    found["room"] = shape_of(copies.in_room(clip(), RATE, copies.room_response(RATE, 0.2, copies.generator(4))))
    return found


@measure
def plan_of_copies() -> Any:
    free = copies.CopySource("corpus/a", 120.0, 15.0, 3.0)
    bound = free._replace(
        id="corpus/b",
        f0_mean_thresholds=copies.Thresholds(100.0, 126.0),
        f0_std_thresholds=copies.Thresholds(16.0, 20.0),
        speech_rate_thresholds=copies.Thresholds(2.8, 3.2),
    )
    narrow = free._replace(f0_mean_thresholds=copies.Thresholds(119.5, 120.5), speech_rate=0.0)
    plans = [copies.plan_copies(one, copies.KINDS, 6, seed) for one in (free, bound, narrow) for seed in (0, 1)]
    named = copies.plan_copies(free, ["noise"], 3, 5, ["b.wav", "a.wav"])
    return [
        {
            "copies": [[copies.copy_id("x", one), one.amount, one.detail] for one in plan.recipes],
            "not": plan.refused,
        }
        for plan in (*plans, named)
    ]


@measure
def sides_of_a_corpus() -> Any:
    found = {}
    for speakers in (3, 6, 12, 13, 40):
        chance = random.Random(speakers)
        clips = [
            sampling.SplitItem(
                f"c/{number}",
                chance.uniform(0.5, 12.0),
                f"s{number % speakers}",
                f"t{chance.randrange(9)}",
                chance.choice(["happy", "sad", "angry", None]),
            )
            for number in range(80)
        ]
        for by in ("speakers", "sentences"):
            split = sampling.split_corpus(clips, by, 1)
            validating = sorted(name for name, side in split.side.items() if side == "validation")
            found[f"{by} {speakers}"] = [split[1:], validating]
    return found


@measure
def balance_of_emotions() -> Any:
    chance = random.Random(7)
    clips = [
        sampling.BalanceItem(
            f"c/{number:03}",
            chance.choices(["happy", "sad", "angry", None], [6, 3, 1, 1])[0],
            chance.choice(["normal", None]),
            chance.choice(["declarative", "interrogative", "exclamatory"]),
            chance.choice(["short", "medium", "long"]),
            f"speaker {chance.randrange(4)}",
            seconds := chance.uniform(0.5, 10.0),
            (seconds * 1.05, seconds * 0.95),
        )
        for number in range(70)
    ]
    plans = [
        sampling.plan_balance(clips, hours, mode, 1) for hours in (0.02, 0.1) for mode in ("sample", "weights")
    ]
    return [
        [plan.times, plan.before, plan.after, [[one, one.to_record()] for one in plan.shortfalls]]
        for plan in plans
    ]


@measure
def times_that_clips_are_listed() -> Any:
    clips = [sampling.Weighted(f"c{number}", 1.0 + number % 5, 1 + number % 3) for number in range(20)]
    held = {"a": 100.0, "b": 50.0}
    return [
        sampling.times(clips, 90.0),
        sampling.times(clips, 250.0, 3),
        sampling.goals(held, {"a": 1.0, "b": 3.0}, 0.5),
        sampling.goals(held, {"a": None, "b": None}, 0.5),
        sampling.goals(held, {"a": 1.0, "b": 3.0}, None),
    ]


@measure
def leak_of_the_other_voice() -> Any:
    both = example("burnt_dinner")[: 20 * RATE].copy()
    both[80:, 0] += 0.05 * both[:-80, 1]
    found = crosstalk.leakage(to_pcm(both[:, 0]), to_pcm(both[:, 1]))
    same = crosstalk.leakage(to_pcm(both[:, 1]), to_pcm(0.9 * both[:, 1]))
    return [
        {
            "mask": np.flatnonzero(np.diff(one.mask.astype(int), prepend=0, append=0)).tolist(),
            "level": one.level_db,
            "same": one.same,
            "explains": [one.explains(first, first + 12) for first in range(0, 600, 12)],
            "energies": (one.energies.sum(axis=1) / 1e9).tolist(),
        }
        for one in (*found, *same)
    ]


@measure
def sounds_beside_speech() -> Any:
    samples = clip(0.0, 20.0)
    said = spoken()
    for start, length, level in ((0.3, 0.2, 0.05), (9.0, 0.09, 0.02), (15.0, 0.06, 0.05), (14.2, 0.5, 0.01)):
        first = round(start * RATE)
        samples[first : first + round(length * RATE)] += level * noise(length)
    found = spans.find_sounds(to_pcm(samples), said)
    leaked = np.zeros(2000, bool)
    leaked[20:60] = True
    numbered = [(start, end, place // 2 - 1) for place, (start, end) in enumerate(said)]
    return [found, spans.find_sounds(to_pcm(samples), said, leaked), spans.sound_blocks(numbered, found)]


@measure
def quality_of_clips() -> Any:
    cut = clip(5.0, 12.0)
    said = spans.speech_spans(speech_probabilities(cut), 7.0, 0.032)
    heard = [(max(0.0, start - 0.04), min(7.0, end + 0.04)) for start, end in said]
    clipped = np.clip(3 * cut, -0.8, 0.8)
    found = [
        quality.measure_quality(samples, RATE, said, heard)
        for samples in (cut, cut + 0.003 * noise(7.0), clipped, np.clip(8 * cut, -1, 1), cut + np.float32(0.01))
    ]
    bounds = [
        quality.bandwidth_hz(samples, RATE) for samples in (noise(0.5), np.cumsum(noise(0.5)) / 100, cut[:600])
    ]
    tight = quality.snr_db(cut, RATE, [(0.0, 7.0)], [(0.0, 7.0)])
    return [found, bounds, tight, quality.snr_db(cut, RATE, [], [])]


@measure
def prosody_of_clips() -> Any:
    return [
        prosody.measure_prosody(clip(), 9, 3.1),
        prosody.measure_prosody(clip(20.0, 22.0, "old_friends", 1), 3, 1.5),
        prosody.measure_prosody(0.01 * noise(0.5), 0, 0.0),
    ]


@measure
def loudness_and_peaks() -> Any:
    found = []
    for samples in (clip(), clip()[:8000], 3 * clip(), np.clip(20 * clip(), -1, 1), 0.001 * clip()):
        level = loudness.levelled(samples, RATE, -23.0, -1.0)
        figures = [loudness.clip_loudness(samples, RATE), loudness.true_peak_dbtp(samples, RATE)]
        found.append([*figures, level and [*level[1:], shape_of(level.samples)]])
    return found


@measure
def channel_laid_over_its_room_tone() -> Any:
    channel = clip(0.0, 12.0) + room_tone(12 * RATE)
    busy = [(round(start * RATE), round(end * RATE)) for start, end in spoken(seconds=12.0)]
    tone = loudness.room_tone(channel, busy, 9 * RATE, RATE, "call/left")
    gated = loudness.room_tone(np.zeros(RATE, np.float32), [], 500, RATE, "call/right")
    cut = clip(6.0, 7.0)
    pieces = [
        loudness.Piece(40, cut[400:2000], cut[:400], cut[2000:2400]),
        loudness.Piece(1700, cut[3000:5000], cut[2900:3000], cut[5000:5050]),
        loudness.Piece(4000, cut[7000:9000], cut[:0], cut[:0], over=True),
    ]
    raised = [loudness.level([cut, 0.3 * cut], lufs, -25.0, RATE) for lufs in (-30.0, -20.0, -8.0)]
    return [
        *map(shape_of, (tone, gated, loudness.lay(pieces, tone[:8000], RATE), loudness.limit(6 * cut, RATE))),
        [[one.gain_db, one.missing_db, *map(shape_of, one.pieces)] for one in raised],
        [loudness.loudness(cut, RATE), loudness.loudness(cut[:3000], RATE)],
    ]


@measure
def speech_and_where_it_is_cut() -> Any:
    samples = clip(0.0, 30.0, "old_friends", 1)
    found = speech_probabilities(samples)
    said = spans.speech_spans(found, 30.0, 0.032)
    levels = spans.frame_levels(samples, 512)
    return [
        said,
        spans.speech_spans(found, 30.0, 0.032, threshold=0.8, min_speech=0.5, min_silence=0.1, pad=0.1),
        [tuple(piece) for piece in spans.cut_long(said, levels, 0.032, 3.0)],
        [spans.speech_seconds(span, found, 0.032) for span in said],
        [spans.balanced_range(length, 12.0) for length in (12.1, 24.0, 50.0)],
        spans.merge_gaps(said, 1.0),
    ]


@measure
def takes_of_a_synthesiser() -> Any:
    text = "Well, that is good to know."
    gate = quality.Gate()
    take = np.concatenate([np.zeros(3000, np.float32), clip(), 1e-4 * noise(0.3)])
    found = []
    for samples in (take, take[:40000], 10 * take, 1e-4 * take, take[3000:30000]):
        trimmed = quality.trim(np.clip(samples, -1, 1), RATE, gate)
        voice = quality.voice_of([(text, trimmed)] * 5)
        reasons = [
            quality.incomplete(trimmed, said, seconds, words, gate, voice, fades)
            for said in ("Well.", text, 8 * text)
            for seconds in (None, 1.0, 9.0)
            for words in (None, [word_times.Word("Well,", 0.2, 3.3, 1.0)])
            for fades in (False, True)
        ]
        found.append([trimmed[1:], shape_of(trimmed.samples), list(voice), reasons])
    return found


@measure
def turn_taking_before_and_after() -> Any:
    found = []
    for name in EXAMPLE_NAMES:
        chance = random.Random(name)
        said = sorted(reference(name), key=lambda one: (one["start"], one["channel"]))
        events = [
            turns.TurnEvent(
                one["channel"],
                one["start"],
                one["end"],
                (one["end"] - one["start"]) * (1.0 if one["channel"] == "right" else chance.uniform(0.6, 1.5)),
                place // 3,
                one["channel"] == "right",
            )
            for place, one in enumerate(said)
        ]
        timed = [turns.Timed(one.channel, one.start, one.end, one.run) for one in events]
        found.append([turns.label(timed), turns.fitness(timed, 70.0), turns.overlap_seconds(timed)])
        for mode in ("anchor", "sequential"):
            rebuilt = turns.rebuild(events, 70.0, mode, 24000)
            found.append(
                [rebuilt.starts, rebuilt.duration, turns.compare_turns(events, *rebuilt[:1], 70.0, rebuilt[1])]
            )
            found.append([turns.rebuild(events, 70.0, mode).starts, turns.lost_seconds(events, rebuilt[0], 60.0)])
    return found


@measure
def words_whose_times_were_sought() -> Any:
    said = reference("bicycle_repair")[2]
    words = [one["word"] for one in said["words"]]
    start, end = said["start"], said["end"]
    samples = clip(start, end, side=("left", "right").index(said["channel"]))
    sounding = word_times.voiced_spans(samples, RATE)
    heard = [word_times.Word(one["word"], one["start"] - start, one["end"] - start, 0.5) for one in said["words"]]
    misheard = [word._replace(text="noise") if place % 4 == 1 else word for place, word in enumerate(heard)]
    halves = [word for place, word in enumerate(heard) if place % 5]
    return [
        sounding,
        *(
            found and [tuple(word) for word in found]
            for found in (
                word_times.by_proportion(words, sounding, end - start),
                word_times.by_proportion(words, [(0.0, 0.6), (1.1, 2.0), (2.3, 2.4)], 2.5),
                word_times.by_edit_distance(words, misheard, end - start, sounding),
                word_times.by_edit_distance(words, halves, end - start),
                word_times.by_edit_distance(words, halves[3:-3], end - start, sounding),
            )
        ),
    ]


@measure
def transcript_laid_on_its_utterances() -> Any:
    said = [one for one in reference("weekend_trip") if one["channel"] == "left"]
    cues = [
        {
            "channel": "left",
            "start": one["start"] + 0.3,
            "end": one["end"] + 0.3,
            "text": one["text"],
            "words": [{**word, "start": word["start"] + 0.3, "end": word["end"] + 0.3} for word in one["words"]]
            if place % 2
            else [],
        }
        for place, one in enumerate(said)
    ]
    found = word_times.match_words(cues, [(one["start"], one["end"]) for one in said[:-1]], 0.5)
    timed = [[[word["word"], word["start"], word["end"]] for word in words] for words in found.words]
    return [found.texts, timed, [[number, len(words)] for number, words in found.left_over]]


@measure
def utterances_packed_into_windows() -> Any:
    seconds = [(7 * number) % 11 + 0.25 for number in range(16)]
    windows = word_times.pack_windows(seconds, [number % 2 for number in range(16)])
    words = [word_times.Word(str(number), number / 3, number / 3 + 0.4, 0.5) for number in range(60)]
    told = {place: [tuple(word) for word in got] for place, got in word_times.unpack(words, windows[0]).items()}
    tight = word_times.fit([word_times.Word("a", 0.5, 0.5, 1.0)] * 3 + [word_times.Word("b", 0.4, 2.0, 1.0)], 1.0)
    return [[[tuple(placed) for placed in window] for window in windows], told, [tuple(word) for word in tight]]


@measure
def affect_from_sound_and_words() -> Any:
    rows = ([0.02, 0.05, 0.2, 0.0], [110.0, np.nan, 260.0, 180.0], [2.0, 4.5, np.nan, 6.0])
    texts = ["I love this.", "No, that is terrible!", None, "It is a table."]
    found = [affect.estimate_affect(*rows, texts, groups) for groups in (None, ["a", "a", "b", "b"])]
    return [{name: values.tolist() for name, values in one.items()} for one in found]


@measure
def noise_that_was_reduced() -> Any:
    return shape_of(voice_effects.reduce_noise(clip() + 0.01 * noise(4.0), 0.01 * noise(1.0, 4), RATE))


@measure
def utterances_of_a_recording() -> Any:
    found = []
    for settings in ({}, {"longest": 3.0, "short": 0.5, "min_duration": 1.0}):
        row = Segment(**settings)(conversations(wav_bytes(example("burnt_dinner")[: 30 * RATE])))
        found.append({name: values[0] for name, values in row.items() if name != "speech"})
    return found


@measure
def clip_conditioned_for_training() -> Any:
    line = np.concatenate([room_tone(RATE), clip(5.0, 8.0), room_tone(RATE, seed=2)]) + 0.004 * noise(5.0)
    batch = {"id": ["a"], "audio": [{"bytes": wav_bytes(line), "path": None}], "prompt": [None]}
    done = [Condition(reduce_noise_under=limit)(batch) for limit in (None, 90.0)]
    told = [{name: values[0] for name, values in one.items() if name != "conditioned"} for one in done]
    return [told, *(sound_of(one["conditioned"][0]) for one in done)]


@measure
def conversation_rebuilt_around_a_new_voice() -> Any:
    said = (
        Said("right", 0.005, 0.4),
        Said("left", 0.5, 2.5, 0.8),
        Said("right", 2.8, 5.0),
        Said("left", 4.6, 7.5, 1.3),
        Said("right", 5.5, 5.9),
        Said("right", 7.1, 9.0),
        Said("left", 9.4, 10.2, 0.6),
    )
    samples = recording(said, 12.0, RATE)
    samples[round(11.2 * RATE) : round(11.5 * RATE), 1] += 0.05 * noise(0.3)
    found = []
    for mode, revoice in (("anchor", "left"), ("sequential", "right")):
        row = Reconstruct(mode, 0, revoice)(columns(said, samples, RATE, 0, revoice))
        told = {name: values[0] for name, values in row.items() if name != "built_audio"}
        found.append([told, *sound_of(row["built_audio"][0]["bytes"])])
    return found


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
    else:
        yield place, int(value) if isinstance(value, np.integer) else value


@pytest.mark.parametrize("name", MEASURES)
def test_figures_are_those_that_were_published(name: str) -> None:
    found, published = dict(leaves(MEASURES[name]())), json.loads(FIGURES.read_text(encoding="utf-8"))[name]
    assert list(found) == list(published)
    for place, value in published.items():
        if isinstance(value, float):
            assert found[place] == pytest.approx(value, rel=5e-4, abs=2e-6, nan_ok=True), place
        else:
            assert found[place] == value, place


if __name__ == "__main__":
    told = {name: dict(leaves(function())) for name, function in MEASURES.items()}
    FIGURES.write_text(json.dumps(told, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
