"""MeasureQuality: each clip's own figures in order, known noise is found, silence is null, bad files are named."""

from pathlib import Path

import numpy as np
import soxr
from audio_files import struct_of, wav_bytes
from clips import RATE, clips, line
from datasets import Dataset, Features

from dailytalk_contiguous.apps.clips.measure_quality import MeasureQuality
from dailytalk_contiguous.core.quality import NAMES, QualityLimits, failures
from dailytalk_contiguous.core.schema import AUDIO, STRING


def test_each_clip_has_its_own_figures_in_order_from_bytes_or_a_path(tmp_path: Path) -> None:
    path = tmp_path / "näme.wav"
    path.write_bytes(wav_bytes(0.1 * line(number=1)))
    narrow = soxr.resample(soxr.resample(line(), RATE, 8000), 8000, RATE)
    batch = clips(line(), b"", narrow)
    batch["audio"][1] = struct_of(path)
    found = MeasureQuality()(batch)
    assert set(found) == {*NAMES, "channel_taken", "heard"}
    assert found["peak_dbfs"][1] < found["peak_dbfs"][0] - 10
    assert found["bandwidth_hz"][2] < 4200 < 6500 < found["bandwidth_hz"][0]
    for index in range(3):
        alone = MeasureQuality()({"audio": [batch["audio"][index]]})
        assert {name: values[index] for name, values in found.items()} == {name: alone[name][0] for name in alone}


def test_silence_has_null_measures_and_keeps_its_row() -> None:
    dataset = Dataset.from_dict(
        clips(np.zeros(RATE, np.float32), line()), features=Features({"id": STRING, "audio": AUDIO})
    )
    silent, spoken = MeasureQuality().map(dataset)
    assert silent["snr_db"] is None
    assert silent["loudness_lufs"] is None
    assert silent["speech_ratio"] == 0
    assert silent["heard"] == []
    assert failures(silent | {"duration": 1.0}, QualityLimits()) == ["0% of it is speech (at least 40%)"]
    assert failures(spoken | {"duration": 3.0}, QualityLimits()) == []
