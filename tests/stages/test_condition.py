"""Condition: 24 kHz stereo at one loudness, silence cut from the edges alone, room tone that no order changes."""

import io
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from audio_files import Samples, room_tone, struct_of, tones, wav_bytes
from clips import RATE, clips, line
from datasets import Dataset, Features

from dailytalk_contiguous.core.audio import to_pcm
from dailytalk_contiguous.core.errors import BadInput, ModelMissing
from dailytalk_contiguous.core.loudness import clip_loudness, true_peak_dbtp
from dailytalk_contiguous.core.quality import MARGIN
from dailytalk_contiguous.core.schema import AUDIO, STRING
from dailytalk_contiguous.models import speech_activity, voice_effects
from dailytalk_contiguous.models.speech_activity import hear
from dailytalk_contiguous.stages.condition import Condition
from dailytalk_contiguous.stages.measure_quality import MeasureQuality

OUT = 24000


def conditioned(batch: dict[str, list[Any]], **settings: Any) -> list[dict[str, Any]]:
    found = Condition(**settings)(batch)
    assert set(found) == set(Condition.adds)
    return [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]


def stereo(row: dict[str, Any]) -> Samples:
    info = soundfile.info(io.BytesIO(row["conditioned"]))
    assert (info.samplerate, info.channels, info.format, info.subtype) == (OUT, 2, "FLAC", "PCM_16")
    assert (row["conditioned_rate"], row["conditioned_duration"]) == (OUT, info.frames / OUT)
    return soundfile.read(io.BytesIO(row["conditioned"]), dtype="float32")[0]


def dbfs(samples: Samples) -> float:
    return float(10 * np.log10(np.mean(samples.astype(np.float64) ** 2)))


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 44100, 48000])
@pytest.mark.parametrize("level_db", [-30.0, 0.0])
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


def test_clicks_keep_a_clip_under_the_target_and_its_peaks_under_the_ceiling() -> None:
    spiky = 0.02 * line()
    spiky[len(spiky) // 2] = 0.9
    (row,) = conditioned(clips(spiky))
    left = stereo(row)[:, 0]
    assert -1.2 < true_peak_dbtp(left, OUT) <= -1.0
    assert row["loudness_lufs_after"] < -24


def test_only_silence_is_cut_and_a_tenth_of_a_second_of_it_is_kept() -> None:
    (row,) = conditioned(clips(line(edge=1.0)))
    ends = hear(line(edge=1.0), RATE).sounds
    assert row["trim_start"] == pytest.approx(ends[0][0] - 0.1, abs=1e-4)
    assert row["trim_end"] == pytest.approx(len(line(edge=1.0)) / RATE - ends[-1][1] - 0.1, abs=1e-4)
    assert row["trim_start"] > 0.7
    assert row["clip_start"] == 0
    total = row["trim_start"] + row["conditioned_duration"] + row["trim_end"]
    assert total == pytest.approx(len(line(edge=1.0)) / RATE, abs=1e-4)


def test_what_is_kept_is_the_source_with_a_gain_and_nothing_else() -> None:
    source = soxr.resample(line(), RATE, OUT)
    (row,) = conditioned(clips(source, rate=OUT))
    first = round(row["trim_start"] * OUT)
    left = stereo(row)[:, 0]
    expected = source[first : first + len(left)] * 10 ** (row["gain_db"] / 20)
    assert np.abs(left - expected).max() < 2 / 32768


def test_a_laugh_before_the_line_is_not_cut() -> None:
    hiss = np.concatenate((np.zeros(RATE // 2), np.hanning(RATE // 4), np.zeros(RATE // 4))).astype(np.float32)
    laugh = 0.2 * hiss * room_tone(len(hiss), 0.0)
    (row,) = conditioned(clips(np.concatenate((laugh, line())) + room_tone(len(laugh) + len(line()), -65)))
    assert 0.3 < row["trim_start"] < 0.5


def test_what_measuring_heard_is_not_listened_to_again_and_gives_the_same() -> None:
    batch = clips(line() + room_tone(len(line()), -60), line(number=1))
    measured = MeasureQuality()(batch)
    assert conditioned(batch | measured) == conditioned(batch)
    told = {"heard": [[{"start": 1.0, "end": 1.5}]] * 2, "snr_db": [None] * 2}
    assert [row["trim_start"] for row in conditioned(batch | told)] == [0.9, 0.9]


def test_room_tone_depends_on_the_id_alone() -> None:
    batch = clips(line(), line(), line(number=1))
    backwards = {name: values[::-1] for name, values in batch.items()}
    forth, back = conditioned(batch), conditioned(backwards)
    assert forth == back[::-1]
    assert not np.array_equal(stereo(forth[0])[:, 1], stereo(forth[1])[:, 1])
    (softer,) = conditioned(clips(line()), room_tone_dbfs=-60.0)
    assert dbfs(stereo(softer)[:, 1]) == pytest.approx(-60.0, abs=0.5)


def test_a_prompt_is_a_turn_on_the_right_before_the_clip() -> None:
    question = 0.1 * line("burnt_dinner", "right")
    batch = clips(line(), line(), prompt=[struct_of(wav_bytes(question)), None])
    row, without = conditioned(batch, prompt_gap=0.3)
    left, right = stereo(row).T
    start = round(row["clip_start"] * OUT)
    asked = start - round(0.3 * OUT)
    assert without["clip_start"] == 0
    assert row["conditioned_duration"] == pytest.approx(row["clip_start"] + without["conditioned_duration"])
    assert clip_loudness(right[:asked], OUT) == pytest.approx(-23.0, abs=0.5)
    assert dbfs(right[asked:]) == pytest.approx(-70.0, abs=1.0)
    assert dbfs(left[: start - 240]) == pytest.approx(-70.0, abs=0.5)
    assert np.array_equal(left[start:], stereo(without)[:, 0])
    assert (row["gain_db"], row["trim_start"]) == (without["gain_db"], without["trim_start"])


def test_a_prompt_is_conditioned_as_a_clip_is() -> None:
    question = line("burnt_dinner", "right")
    (row,) = conditioned(clips(line(), prompt=[struct_of(wav_bytes(question))]))
    (alone,) = conditioned(clips(question))
    asked = stereo(alone)[:, 0]
    assert np.array_equal(stereo(row)[: len(asked), 1], asked)
    assert row["clip_start"] * OUT == len(asked) + 4800


def test_the_source_before_a_clip_is_faded_in_over_ten_milliseconds_after_a_prompt() -> None:
    floor = 0.01 * np.random.default_rng(5).standard_normal(len(line())).astype(np.float32)
    source = 0.1 * soxr.resample(line() + floor, RATE, OUT)
    heard = [{"start": 0.6, "end": len(line()) / RATE - 0.6}]
    batch = clips(source, rate=OUT, heard=[heard], snr_db=[None])
    (row,) = conditioned(batch | {"prompt": [struct_of(wav_bytes(line(number=1)))]})
    left, start, first = stereo(row)[:, 0], round(row["clip_start"] * OUT), round(row["trim_start"] * OUT)
    before = source[first - 480 : first] * 10 ** (row["gain_db"] / 20)
    assert np.abs(left[start - 5 : start] - before[-5:]).max() < 2e-4 < np.abs(before[-5:]).max() / 10
    assert 0.3 < np.std(left[start - 240 : start]) / np.std(before[-240:]) < 0.8
    assert dbfs(left[start - 480 : start - 240]) == pytest.approx(-70.0, abs=1.0)


@pytest.mark.parametrize(("start", "cut"), [(0.0, 0.0), (0.1, 0.0), (0.25, 0.15)])
def test_sound_at_an_edge_loses_nothing(start: float, cut: float) -> None:
    seconds = len(line()) / RATE
    heard = [{"start": start, "end": seconds - start}]
    (row,) = conditioned(clips(line(), heard=[heard], snr_db=[None]))
    assert row["trim_start"] == row["trim_end"] == pytest.approx(cut, abs=1e-4)
    assert row["conditioned_duration"] == pytest.approx(seconds - 2 * cut, abs=1e-4)


def test_edges_that_are_kept_loudness_and_peaks_are_settings() -> None:
    heard = [{"start": 0.6, "end": len(line()) / RATE - 0.6}]
    (row,) = conditioned(clips(line(), heard=[heard], snr_db=[None]), keep=0.25, target_lufs=-35.0)
    assert row["trim_start"] == row["trim_end"] == pytest.approx(0.35, abs=1e-4)
    assert clip_loudness(stereo(row)[:, 0], OUT) == pytest.approx(-35.0, abs=0.1)
    (row,) = conditioned(clips(line()), target_lufs=-10.0, ceiling_dbtp=-6.0)
    assert row["true_peak_dbtp_after"] == pytest.approx(-6.0, abs=0.2)


@pytest.mark.parametrize(("ratio", "reduced"), [(24.9, True), (25.0, False), (None, False)])
def test_noise_is_reduced_where_the_ratio_is_lower_than_the_setting(ratio: float | None, reduced: bool) -> None:
    noise = np.random.default_rng(3).standard_normal(len(line())) * 10 ** (-36 / 20)
    heard = [{"start": 0.7, "end": len(line()) / RATE - 0.7}]
    batch = clips(line() + noise.astype(np.float32), heard=[heard], snr_db=[ratio])
    (row,) = conditioned(batch, reduce_noise_under=25.0)
    assert (row["noise_reduced_db"] is not None) == reduced


@pytest.mark.parametrize(("missing", "reduced"), [(0, True), (1, False)])
def test_noise_is_learned_from_a_stretch_that_is_long_enough_and_its_reduction_told(
    missing: int, reduced: bool
) -> None:
    """A stretch of noise alone ends a margin before what is heard."""
    noise = np.random.default_rng(3).standard_normal(2 * OUT).astype(np.float32) * np.float32(0.01)
    noise[OUT:] += 0.1 * np.sin(np.arange(OUT) / 10).astype(np.float32)
    quiet = round(voice_effects.LEAST_NOISE * OUT) - missing
    heard = [{"start": quiet / OUT + MARGIN, "end": 2.0}]
    source = to_pcm(noise) / np.float32(32768)
    (row,) = conditioned(clips(source, rate=OUT, heard=[heard], snr_db=[10.0]), reduce_noise_under=25.0)
    if reduced:
        after = voice_effects.reduce_noise(source, source[:quiet], OUT)[:quiet]
        ratio = float(np.mean(source[:quiet] ** 2) / np.mean(after**2))
        assert row["noise_reduced_db"] == pytest.approx(10 * np.log10(ratio), abs=0.01)
    else:
        assert row["noise_reduced_db"] is None


def test_silence_between_sounds_is_no_noise_to_learn_from() -> None:
    heard = [{"start": 0.6, "end": len(line()) / RATE - 0.6}]
    batch = clips(line(), heard=[heard], snr_db=[10.0])
    assert conditioned(batch, reduce_noise_under=25.0) == conditioned(batch)


def test_reducer_of_noise_is_needed_only_where_noise_is_reduced(monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = f"{voice_effects.NOISEREDUCE_WHEEL}/{voice_effects.noisereduce_version()}"
    assert Condition().models() == {"speech_activity": speech_activity.NAME}
    assert Condition(reduce_noise_under=0.0).models() == Condition().models() | {"noise_reduction": wheel}

    def missing() -> str:
        raise ModelMissing("noisereduce is missing", "install it")

    monkeypatch.setattr(voice_effects, "noisereduce_version", missing)
    Condition().preflight()
    with pytest.raises(ModelMissing):
        Condition(reduce_noise_under=0.0).preflight()


def test_the_voice_is_taken_from_the_channel_that_has_it() -> None:
    dead = np.zeros_like(line())
    rows = conditioned(
        clips(line(), np.stack((dead, line()), 1), np.stack((line(), line()), 1), id=["corpus/same"] * 3)
    )
    assert rows[0] == rows[1] == rows[2]


@pytest.mark.parametrize("most_db", [4.0, 20.0])
def test_reduction_is_told_in_decibels(most_db: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice_effects, "MOST_DB", most_db)
    noise = np.random.default_rng(3).standard_normal(len(line())) * 10 ** (-36 / 20)
    (row,) = conditioned(clips(line() + noise.astype(np.float32)), reduce_noise_under=25.0)
    assert 0.8 * most_db < row["noise_reduced_db"] < 1.05 * most_db


def test_noise_is_reduced_only_under_the_setting_and_told() -> None:
    loud, soft = (np.random.default_rng(3).standard_normal(len(line())) * 10 ** (db / 20) for db in (-36, -60))
    batch = clips(line() + loud.astype(np.float32), line() + soft.astype(np.float32))
    noisy, clean = conditioned(batch, reduce_noise_under=25.0)
    assert 5 < noisy["noise_reduced_db"] <= 11
    untouched = conditioned(batch)
    assert clean == untouched[1]
    assert untouched[0]["noise_reduced_db"] is None
    assert noisy["loudness_lufs_after"] == pytest.approx(-23, abs=0.5)
    source = soxr.resample(line(), RATE, OUT)[round(noisy["trim_start"] * OUT) :]
    nearer, before = (
        np.corrcoef(left, source[: len(left)])[0, 1] for left in (stereo(noisy)[:, 0], stereo(untouched[0])[:, 0])
    )
    assert nearer > before


def test_noise_stays_where_no_stretch_of_it_alone_is_heard() -> None:
    noise = np.random.default_rng(3).standard_normal(len(line())) * 10 ** (-36 / 20)
    everywhere = [{"start": 0.0, "end": len(line()) / RATE}]
    batch = clips(line() + noise.astype(np.float32), heard=[everywhere], snr_db=[10.0])
    (noisy,), (untouched,) = conditioned(batch, reduce_noise_under=25.0), conditioned(batch)
    assert noisy == untouched


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"RIFF", "no audio that can be read"),
        (b"", "empty"),
        (wav_bytes(tones(1.0)), "channels differ"),
        (wav_bytes(np.zeros(RATE, np.float32)), "no speech"),
        (wav_bytes(np.zeros(0, np.float32)), "no speech"),
        (wav_bytes(room_tone(RATE)), "no speech"),
    ],
)
def test_a_clip_or_prompt_that_can_not_be_used_is_named_by_its_row(bad: bytes, reason: str) -> None:
    with pytest.raises(BadInput, match=reason) as caught:
        Condition()(clips(line(), bad))
    assert caught.value.row == 1
    with pytest.raises(BadInput, match=f"prompt can't be used: .*{reason}") as caught:
        Condition()(clips(line(), line(), prompt=[None, struct_of(bad)]))
    assert caught.value.row == 1


def test_a_clip_that_is_as_good_as_silent_is_refused() -> None:
    faint = wav_bytes(1e-5 * line(), subtype="FLOAT")
    with pytest.raises(BadInput, match="too soft"):
        Condition()(clips(faint, heard=[[{"start": 0.6, "end": 2.0}]], snr_db=[None]))


def test_a_dataset_is_mapped_with_types_and_a_null_prompt() -> None:
    features = Features({"id": STRING, "audio": AUDIO, "prompt": AUDIO})
    dataset = Dataset.from_dict(
        clips(line(), line(), prompt=[None, struct_of(wav_bytes(line()))]), features=features
    )
    rows = Condition().map(MeasureQuality().map(dataset))
    assert {name: rows.features[name] for name in Condition.adds} == dict(Condition.adds)
    assert rows[0]["clip_start"] == 0 < rows[1]["clip_start"]
