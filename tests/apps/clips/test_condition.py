"""Condition: 24 kHz stereo at one loudness, silence cut from the edges alone, room tone that no order changes."""

import io
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from audio_files import Samples, room_tone, struct_of, wav_bytes
from clips import RATE, clips, line
from stage_calls import columns_after

from dailytalk_contiguous.apps.clips.condition import Condition
from dailytalk_contiguous.core.sound.loudness import clip_loudness, true_peak_dbtp

OUT = 24000


def conditioned(batch: dict[str, list[Any]], **settings: Any) -> list[dict[str, Any]]:
    added = columns_after(Condition(**settings), batch)
    assert set(added) == set(Condition.adds)
    rows = zip(*added.values(), strict=True)
    return [dict(zip(added, values, strict=True)) for values in rows]


def stereo(row: dict[str, Any]) -> Samples:
    data = row["audio"]["bytes"]
    info = soundfile.info(io.BytesIO(data))
    assert info.samplerate == OUT
    assert info.channels == 2
    assert info.format == "FLAC"
    assert info.subtype == "PCM_16"
    assert row["duration"] == info.frames / OUT
    samples, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    return samples


def dbfs(samples: Samples) -> float:
    power = np.mean(samples.astype(np.float64) ** 2)
    return float(10 * np.log10(power))


@pytest.mark.parametrize(("rate", "level_db"), [(8000, -30.0), (48000, 0.0)])
def test_any_rate_and_level_become_24_khz_stereo_at_one_loudness(rate: int, level_db: float) -> None:
    source = soxr.resample(line(), RATE, rate) * 10 ** (level_db / 20)
    (row,) = conditioned(clips(wav_bytes(source, rate)))
    left, right = stereo(row).T
    loudness = clip_loudness(left, OUT)
    assert loudness == pytest.approx(-23.0, abs=0.5)
    assert loudness == pytest.approx(row["loudness_lufs_after"], abs=0.05)
    peak = true_peak_dbtp(left, OUT)
    assert peak <= -1.0
    assert peak == pytest.approx(row["true_peak_dbtp_after"], abs=0.05)
    assert dbfs(right) == pytest.approx(-70.0, abs=0.5)
    assert row["noise_reduced_db"] is None


@pytest.mark.needs("noisereduce")
def test_noise_is_reduced_in_clips_under_the_limit_alone_and_the_row_says_by_how_much() -> None:
    noise = np.random.default_rng(3).standard_normal(len(line()))
    loud = (noise * 10 ** (-36 / 20)).astype(np.float32)
    soft = (noise * 10 ** (-60 / 20)).astype(np.float32)
    batch = clips(line() + loud, line() + soft)
    noisy, clean = conditioned(batch, reduce_noise_under_db=25.0)
    noisy_before, clean_before = conditioned(batch)
    assert 5 < noisy["noise_reduced_db"] <= 11
    assert clean == clean_before
    assert noisy_before["noise_reduced_db"] is None
    assert noisy["loudness_lufs_after"] == pytest.approx(-23, abs=0.5)
    trimmed = round(noisy["trim_start"] * OUT)
    source = soxr.resample(line(), RATE, OUT)[trimmed:]

    def likeness(row: dict[str, Any]) -> float:
        left = stereo(row)[:, 0]
        return float(np.corrcoef(left, source[: len(left)])[0, 1])

    assert likeness(noisy) > likeness(noisy_before)
    assert conditioned(batch, reduce_noise_under_db=25.0) == [noisy, clean]


@pytest.mark.parametrize("edge", [0.3, 1.0])
def test_silence_is_cut_and_a_tenth_of_a_second_of_it_is_kept(edge: float) -> None:
    source = line(edge=edge)
    (row,) = conditioned(clips(source))
    assert edge - 0.2 < row["trim_start"] < edge
    assert edge - 0.2 < row["trim_end"] < edge
    assert row["clip_start"] == 0
    total = row["trim_start"] + row["duration"] + row["trim_end"]
    assert total == pytest.approx(len(source) / RATE, abs=1e-4)


def test_a_laugh_before_the_line_is_not_cut() -> None:
    burst = np.hanning(RATE // 4).astype(np.float32)
    hiss = np.pad(burst, (RATE // 2, RATE // 4))
    laugh = 0.2 * hiss * room_tone(len(hiss), 0.0)
    sound = np.concatenate((laugh, line()))
    sound += room_tone(len(sound), -65)
    (row,) = conditioned(clips(sound))
    assert 0.3 < row["trim_start"] < 0.5


def test_room_tone_depends_on_the_id_alone() -> None:
    batch = clips(line(), line(), line(number=1))
    backwards = {name: values[::-1] for name, values in batch.items()}
    forth = conditioned(batch)
    back = conditioned(backwards)
    assert forth == back[::-1]
    first = stereo(forth[0])[:, 1]
    second = stereo(forth[1])[:, 1]
    assert not np.array_equal(first, second)
    assert dbfs(first) == pytest.approx(-70.0, abs=0.5)


def test_a_prompt_is_a_turn_on_the_right_before_the_clip() -> None:
    question = 0.1 * line("burnt_dinner", "right")
    prompt = struct_of(wav_bytes(question))
    batch = clips(line(), line(), prompt=[prompt, None])
    row, without = conditioned(batch)
    left, right = stereo(row).T
    start = round(row["clip_start"] * OUT)
    asked = start - round(0.2 * OUT)
    assert without["clip_start"] == 0
    duration = row["clip_start"] + without["duration"]
    assert row["duration"] == pytest.approx(duration)
    assert clip_loudness(right[:asked], OUT) == pytest.approx(-23.0, abs=0.5)
    assert dbfs(right[asked:]) == pytest.approx(-70.0, abs=1.0)
    assert dbfs(left[: start - 240]) == pytest.approx(-70.0, abs=0.5)
    assert np.array_equal(left[start:], stereo(without)[:, 0])
    assert row["gain_db"] == without["gain_db"]
    assert row["trim_start"] == without["trim_start"]


def test_words_move_with_the_edge_that_was_cut_off_and_the_prompt() -> None:
    words = [
        {"word": "a", "start": 0.9, "end": 0.9 + 0.2, "probability": None},
        {"word": "b", "start": 1.4, "end": 1.4 + 0.2, "probability": None},
    ]
    prompt = clips(line(number=1))["audio"]
    batch = clips(line(edge=0.6), words=[words], prompt=prompt)
    (row,) = conditioned(batch)
    moved = row["clip_start"] - row["trim_start"]
    starts = [word["start"] for word in row["words"]]
    assert starts == [0.9 + moved, 1.4 + moved]
