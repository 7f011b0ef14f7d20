"""MeasureQuality: each clip's own figures in order, known noise is found, silence is null, bad files are named."""

import numpy as np
from clips import RATE, clips, line
from datasets import Dataset, Features

from dailytalk_contiguous.apps.clips.measure_quality import MeasureQuality
from dailytalk_contiguous.core.records.schema import AUDIO, STRING
from dailytalk_contiguous.core.sound.quality import QualityLimits, failures


def test_silence_has_null_measures_and_keeps_its_row() -> None:
    silence = np.zeros(RATE, np.float32)
    features = Features({"id": STRING, "audio": AUDIO})
    dataset = Dataset.from_dict(clips(silence, line()), features=features)
    silent, spoken = MeasureQuality().map(dataset)
    assert silent["snr_db"] is None
    assert silent["loudness_lufs"] is None
    assert silent["speech_ratio"] == 0
    assert silent["heard"] == []
    silent["duration"] = 1.0
    spoken["duration"] = 3.0
    limits = QualityLimits()
    assert failures(silent, limits) == ["0% of it is speech (at least 40%)"]
    assert failures(spoken, limits) == []
