from pathlib import Path

import numpy as np
import pytest
from audio_files import tones, wav_bytes
from datasets import Audio, Dataset
from recordings import save

from dailytalk_contiguous import add_speech
from dailytalk_contiguous.core.audio import pcm_to_float
from dailytalk_contiguous.core.errors import DailytalkError


def test_audio_column_becomes_16_khz_mono_samples(tmp_path: Path) -> None:
    paths = [str(save(tmp_path / f"{rate}.wav", tones(1.0, rate), rate)) for rate in (8000, 16000, 44100)]
    dataset = add_speech(Dataset.from_dict({"audio": paths}).cast_column("audio", Audio()))
    assert [len(speech) for speech in dataset["speech"]] == [2 * 16000] * 3
    expected = tones(1.0).mean(axis=1)
    assert np.abs(pcm_to_float(dataset[1]["speech"]) - expected).max() < 1e-4


def test_streams_and_structs_and_other_column_names_are_taken(tmp_path: Path) -> None:
    structs = [{"bytes": wav_bytes(tones(0.5)), "path": None}]
    streamed = add_speech(Dataset.from_dict({"wav": structs, "n": [7]}).to_iterable_dataset(), audio="wav")
    (row,) = list(streamed)
    assert (row["n"], len(row["speech"])) == (7, 16000)


def test_missing_column_is_named_with_those_that_are_there() -> None:
    with pytest.raises(DailytalkError, match=r"no audio in 'audio' among \['sound'\]"):
        add_speech(Dataset.from_dict({"sound": [1]}))


def test_column_of_paths_is_refused_and_taken_once_it_is_cast_as_the_remedy_says(tmp_path: Path) -> None:
    paths = Dataset.from_dict({"file": [str(save(tmp_path / "a.wav"))]})
    with pytest.raises(DailytalkError, match=r"no audio in 'file'.*cast_column") as refused:
        add_speech(paths, "file")
    cast = eval(refused.value.remedy.partition(": ")[2], {"dataset": paths, "Audio": Audio})
    assert len(add_speech(cast, "file")[0]["speech"]) > 16000
