"""ExtractContours: each utterance has its own contours, in flat rows and in conversations."""

import numpy as np
import pytest
from audio_files import EXAMPLES
from datasets import Dataset

from dailytalk_contiguous import ExtractContours, Folder, ProsodicFeatureExtractor, Segment
from dailytalk_contiguous.core.sound.samples import to_pcm


def test_each_utterance_has_its_own_contours() -> None:
    pitches = (120, 240)
    t = np.arange(8000) / 16000
    waves = [np.sin(2 * np.pi * pitch * t) for pitch in pitches]
    tones = [(0.1 * np.sign(wave)).astype(np.float32) for wave in waves]
    speech = [to_pcm(tone).tobytes() for tone in tones]
    rows = Dataset.from_dict({"speech": [*speech, b""]})
    *contours, empty = ExtractContours().map(rows)["contours"]
    extractor = ProsodicFeatureExtractor(emphasize_ratio=0.9)
    for row, tone, pitch in zip(contours, tones, pitches, strict=True):
        expected = extractor.extract(audio_tensor=tone)
        lengths = {name: len(values) for name, values in row.items()}
        assert lengths == dict.fromkeys(expected, 32)
        np.testing.assert_allclose(row["f0"], expected["f0"], atol=1e-3)
        hertz = np.median(row["f0"]) * 320 + 80
        assert hertz == pytest.approx(pitch, rel=0.02)
    assert empty == {name: [] for name in contours[0]}


def test_utterances_of_conversations_have_contours() -> None:
    recordings = Folder(inputs=(str(EXAMPLES),)).as_streaming_dataset("train")
    first = Dataset.from_list([next(iter(recordings))])
    (done,) = ExtractContours().map(Segment().map(first))
    assert len(done["contours"]) == len(done["utterance_id"])
    assert any(max(contour["f0"]) > 0 for contour in done["contours"])
