"""ExtractContours: each utterance has its own contours, in flat rows and in conversations."""

import numpy as np
import pytest
from audio_files import EXAMPLES
from datasets import Dataset

from dailytalk_contiguous import ExtractContours, Folder, PerUtterance, ProsodicFeatureExtractor, Segment
from dailytalk_contiguous.core.audio import to_pcm


def test_each_utterance_has_its_own_contours() -> None:
    t = np.arange(8000) / 16000
    tones = [(0.1 * np.sign(np.sin(2 * np.pi * f0 * t))).astype(np.float32) for f0 in (120, 240)]
    rows = Dataset.from_dict({"speech": [*(to_pcm(tone).tobytes() for tone in tones), b""]})
    contours = ExtractContours().map(rows)["contours"]
    for row, tone in zip(contours, tones, strict=False):
        expected = ProsodicFeatureExtractor(emphasize_ratio=0.9).extract(audio_tensor=tone)
        assert {name: len(values) for name, values in row.items()} == dict.fromkeys(expected, 32)
        np.testing.assert_allclose(row["f0"], expected["f0"], atol=1e-3)
    assert [np.median(row["f0"]) * 320 + 80 for row in contours[:2]] == [
        pytest.approx(f, rel=0.02) for f in (120, 240)
    ]
    assert contours[2] == {name: [] for name in contours[0]}


def test_utterances_of_conversations_have_contours() -> None:
    recordings = Folder(inputs=(str(EXAMPLES),)).as_streaming_dataset("train")
    row = Segment().map(Dataset.from_list([next(iter(recordings))]))
    done = PerUtterance(ExtractContours()).map(row)[0]
    assert len(done["contours"]) == len(done["utterance_id"])
    assert any(max(contour["f0"]) > 0 for contour in done["contours"])
