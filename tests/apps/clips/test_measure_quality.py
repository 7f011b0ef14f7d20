"""MeasureQuality: each clip's own figures in order, known noise is found, silence is null, bad files are named."""

import numpy as np
from clips import RATE, clips, line
from datasets import Dataset, Features

from dailytalk_contiguous.apps.clips.measure_quality import MeasureQuality
from dailytalk_contiguous.core.quality import QualityLimits, failures
from dailytalk_contiguous.core.schema import AUDIO, STRING


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
