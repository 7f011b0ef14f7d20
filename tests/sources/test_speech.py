from pathlib import Path

import numpy as np
import pytest
from audio_files import tones, wav_bytes
from datasets import Audio, Dataset
from recordings import save

from dailytalk_contiguous import add_speech
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.sound.samples import pcm_to_float


def test_audio_column_becomes_16_khz_mono_samples(tmp_path: Path) -> None:
    paths = []
    for rate in (8000, 16000, 44100):
        path = save(tmp_path / f"{rate}.wav", tones(1.0, rate), rate)
        paths.append(str(path))
    recordings = Dataset.from_dict({"audio": paths})
    dataset = add_speech(recordings.cast_column("audio", Audio()))
    assert list(map(len, dataset["speech"])) == [2 * 16000] * 3
    speech = pcm_to_float(dataset[1]["speech"])
    expected = tones(1.0).mean(axis=1)
    assert np.abs(speech - expected).max() < 1e-4


def test_streams_and_structs_and_other_column_names_are_taken(tmp_path: Path) -> None:
    sound = {"bytes": wav_bytes(tones(0.5)), "path": None}
    dataset = Dataset.from_dict({"wav": [sound], "n": [7]})
    (row,) = add_speech(dataset.to_iterable_dataset(), audio="wav")
    assert row["n"] == 7
    assert len(row["speech"]) == 16000


def test_missing_column_is_named_with_those_that_are_there() -> None:
    dataset = Dataset.from_dict({"sound": [1]})
    with pytest.raises(DailytalkError, match=r"no audio in 'audio' among \['sound'\]"):
        add_speech(dataset)


def test_column_of_paths_is_refused_and_taken_once_it_is_cast_as_the_remedy_says(tmp_path: Path) -> None:
    path = save(tmp_path / "a.wav")
    dataset = Dataset.from_dict({"file": [str(path)]})
    with pytest.raises(DailytalkError, match=r"no audio in 'file'.*cast_column") as refused:
        add_speech(dataset, "file")
    _, _, code = refused.value.remedy.partition(": ")
    cast = eval(code, {"dataset": dataset, "Audio": Audio})
    (row,) = add_speech(cast, "file")
    assert len(row["speech"]) > 16000
