import json
from pathlib import Path

import pytest
from audio_files import wav_bytes
from command import Command
from emotional_voices import drawn_voices
from finished_corpora import clip_row, corpus_folder
from huggingface_hub import ModelCard
from recordings import excerpt, save
from tiny_speech_models import make_speech_model

from dailytalk_contiguous.core.style.emotions import SIX


def corpus(folder: Path, speakers: int) -> Path:
    rows = []
    voices = zip(*drawn_voices(speakers, 1, 0), strict=True)
    for number, (sound, manner, speaker) in enumerate(voices):
        seconds = len(sound) / 16000
        audio = {"bytes": wav_bytes(sound, 16000), "path": None}
        columns = {"audio": audio, "sample_rate": 16000, "duration": seconds}
        columns["speaker"] = f"acted/{speaker}"
        rows.append(clip_row(f"{speaker}-{number}", manner, seconds, **columns))
    return corpus_folder(folder, rows)


@pytest.mark.nightly
def test_networks_are_trained_and_used(dailytalk: Command, tmp_path: Path) -> None:
    acted = corpus(tmp_path / "acted", 3)
    pictures = tmp_path / "pictures"
    shared = ("--epochs", "1", "--device", "cpu")
    done = dailytalk(
        "emotion train",
        acted,
        "--out",
        tmp_path / "small",
        "--kind",
        "spectrogram",
        *shared,
        "--save-spectrograms",
        pictures,
        "--json",
    )
    assert done.code == 0, done.err
    assert json.loads(done.out)["kind"] == "spectrogram"
    assert "eval_loss" in done.err
    assert {path.name for path in (pictures / "train").iterdir()} == {*SIX}
    assert {path.name for path in (pictures / "validation").iterdir()} == {*SIX}
    assert len([*pictures.rglob("*.png")]) == 18

    encoder = make_speech_model(tmp_path / "encoder", "whisper")
    done = dailytalk(
        "emotion train",
        acted,
        "--out",
        tmp_path / "heard",
        "--kind",
        "audio",
        "--speech-encoder",
        encoder,
        *shared,
    )
    assert done.code == 0, done.err
    assert {path.name for path in (tmp_path / "heard").iterdir()} == {
        "README.md",
        "emotion.json",
        "model.safetensors",
    }
    card = ModelCard.load(tmp_path / "heard/README.md")
    assert {result.metric_type for result in card.data.eval_results} >= {"recall", "accuracy"}
    assert "They also chose the epoch" in card.text
    call = save(tmp_path / "call.wav", excerpt(seconds=4))
    for model in ("small", "heard"):
        done = dailytalk("emotion predict", call, "--model", tmp_path / model, "--device", "cpu", "--json")
        assert done.code == 0, done.err
        (recording,) = json.loads(done.out)["recordings"]
        first = recording["utterances"][0]
        assert {*first["probabilities"]} == {*SIX}


def test_an_option_of_another_kind_is_an_error(dailytalk: Command, tmp_path: Path) -> None:
    done = dailytalk("emotion train", tmp_path, "--out", tmp_path / "mood", "--epochs", "3")
    assert done.code != 0
    assert "epochs is not for linear" in done.err
