"""Condition: 24 kHz stereo at one loudness, silence cut from the edges alone, room tone that no order changes."""

import io
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from audio_files import Samples, room_tone, struct_of, wav_bytes
from clips import RATE, clips, line

from dailytalk_contiguous.apps.clips.condition import Condition
from dailytalk_contiguous.core.loudness import clip_loudness, true_peak_dbtp

OUT = 24000


def conditioned(batch: dict[str, list[Any]], **settings: Any) -> list[dict[str, Any]]:
    found = Condition(**settings)(batch)
    assert set(found) == set(Condition.adds)
    return [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]


def stereo(row: dict[str, Any]) -> Samples:
    info = soundfile.info(io.BytesIO(row["audio"]["bytes"]))
    assert info.samplerate == OUT
    assert info.channels == 2
    assert info.format == "FLAC"
    assert info.subtype == "PCM_16"
    assert row["duration"] == info.frames / OUT
    return soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")[0]


def dbfs(samples: Samples) -> float:
    return float(10 * np.log10(np.mean(samples.astype(np.float64) ** 2)))


@pytest.mark.parametrize(("rate", "level_db"), [(8000, -30.0), (48000, 0.0)])
def test_any_rate_and_level_become_24_khz_stereo_at_one_loudness(rate: int, level_db: float) -> None:
    source = soxr.resample(line(), RATE, rate) * 10 ** (level_db / 20)
    (row,) = conditioned(clips(wav_bytes(source, rate)))
    left, right = stereo(row).T
    assert clip_loudness(left, OUT) == pytest.approx(-23.0, abs=0.5)
    assert clip_loudness(left, OUT) == pytest.approx(row["loudness_lufs_after"], abs=0.05)
    assert true_peak_dbtp(left, OUT) <= -1.0
    assert true_peak_dbtp(left, OUT) == pytest.approx(row["true_peak_dbtp_after"], abs=0.05)
    assert dbfs(right) == pytest.approx(-70.0, abs=0.5)
    assert row["noise_reduced_db"] is None


@pytest.mark.needs("noisereduce")
def test_noise_is_reduced_in_clips_under_the_limit_alone_and_the_row_says_by_how_much() -> None:
    loud, soft = (np.random.default_rng(3).standard_normal(len(line())) * 10 ** (db / 20) for db in (-36, -60))
    batch = clips(line() + loud.astype(np.float32), line() + soft.astype(np.float32))
    noisy, clean = conditioned(batch, reduce_noise_under=25.0)
    noisy_before, clean_before = conditioned(batch)
    assert 5 < noisy["noise_reduced_db"] <= 11
    assert clean == clean_before
    assert noisy_before["noise_reduced_db"] is None
    assert noisy["loudness_lufs_after"] == pytest.approx(-23, abs=0.5)
    source = soxr.resample(line(), RATE, OUT)[round(noisy["trim_start"] * OUT) :]
    likeness = [
        np.corrcoef(left, source[: len(left)])[0, 1] for left, _ in (stereo(noisy).T, stereo(noisy_before).T)
    ]
    assert likeness[0] > likeness[1]
    assert conditioned(batch, reduce_noise_under=25.0) == [noisy, clean]


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
    hiss = np.concatenate((np.zeros(RATE // 2), np.hanning(RATE // 4), np.zeros(RATE // 4))).astype(np.float32)
    laugh = 0.2 * hiss * room_tone(len(hiss), 0.0)
    (row,) = conditioned(clips(np.concatenate((laugh, line())) + room_tone(len(laugh) + len(line()), -65)))
    assert 0.3 < row["trim_start"] < 0.5


def test_room_tone_depends_on_the_id_alone() -> None:
    batch = clips(line(), line(), line(number=1))
    backwards = {name: values[::-1] for name, values in batch.items()}
    forth = conditioned(batch)
    back = conditioned(backwards)
    assert forth == back[::-1]
    assert not np.array_equal(stereo(forth[0])[:, 1], stereo(forth[1])[:, 1])
    assert dbfs(stereo(forth[0])[:, 1]) == pytest.approx(-70.0, abs=0.5)


def test_a_prompt_is_a_turn_on_the_right_before_the_clip() -> None:
    question = 0.1 * line("burnt_dinner", "right")
    batch = clips(line(), line(), prompt=[struct_of(wav_bytes(question)), None])
    row, without = conditioned(batch)
    left, right = stereo(row).T
    start = round(row["clip_start"] * OUT)
    asked = start - round(0.2 * OUT)
    assert without["clip_start"] == 0
    assert row["duration"] == pytest.approx(row["clip_start"] + without["duration"])
    assert clip_loudness(right[:asked], OUT) == pytest.approx(-23.0, abs=0.5)
    assert dbfs(right[asked:]) == pytest.approx(-70.0, abs=1.0)
    assert dbfs(left[: start - 240]) == pytest.approx(-70.0, abs=0.5)
    assert np.array_equal(left[start:], stereo(without)[:, 0])
    assert row["gain_db"] == without["gain_db"]
    assert row["trim_start"] == without["trim_start"]


def test_words_move_with_the_edge_that_was_cut_off_and_the_prompt() -> None:
    words = [
        {"word": name, "start": at, "end": at + 0.2, "probability": None} for name, at in (("a", 0.9), ("b", 1.4))
    ]
    (row,) = conditioned(clips(line(edge=0.6), words=[words], prompt=clips(line(number=1))["audio"]))
    moved = row["clip_start"] - row["trim_start"]
    assert [word["start"] for word in row["words"]] == [0.9 + moved, 1.4 + moved]
