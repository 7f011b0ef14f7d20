import os
import re
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from emotion_held import held_examples
from hypothesis import given
from hypothesis import strategies as st
from tiny_speech_models import make_speech_model

from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples
from dailytalk_contiguous.apps.learn.emotion_networks_training import (
    altered,
    fit_network,
    held_out,
    save_spectrograms,
)
from dailytalk_contiguous.apps.learn.emotion_settings import EncoderSettings, SpectrogramSettings
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.models.emotion_networks import TrainedNetwork

CLASSES = ("angry", "happy", "sad")
SPECTROGRAM = SpectrogramSettings(epochs=3, batch=8)


def spoken(label: int, pitch: float, rng: np.random.Generator) -> Samples:
    """A buzz of 0.3 to 0.5 s that stays, rises or falls."""
    seconds = rng.uniform(0.3, 0.5)
    times = np.arange(int(seconds * 16000)) / 16000
    hertz = pitch * 2 ** ((0, 2, -2)[label] * (times / seconds - 0.5))
    phase = 2 * np.pi * np.cumsum(hertz) / 16000
    buzz = sum(np.sin(number * phase) / number for number in range(1, 8))
    return np.float32(0.05 * buzz + rng.normal(0, 0.002, len(times)))


def examples_of(labels: Sequence[int], speakers: Sequence[int]) -> EmotionExamples:
    rng = np.random.default_rng(0)
    pairs = zip(labels, speakers, strict=True)
    sounds = [spoken(label, 120 + 20 * (speaker % 5), rng) for label, speaker in pairs]
    return held_examples(sounds, [CLASSES[label] for label in labels], [f"speaker/{own}" for own in speakers])


@pytest.fixture(scope="module")
def examples() -> EmotionExamples:
    return examples_of([0, 1, 2] * 8, [number // 6 for number in range(24)])


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_speech_model(tmp_path_factory.mktemp("models") / "encoder", "wavlm"))


def same(model: TrainedNetwork, other: TrainedNetwork) -> bool:
    weights = other.weights()
    return model.temperature == other.temperature and all(
        np.array_equal(weight, weights[name]) for name, weight in model.weights().items()
    )


def test_classes_are_learned_for_speakers_who_were_not_heard(examples: EmotionExamples) -> None:
    model = fit_network("spectrogram", examples, SpectrogramSettings(epochs=12, batch=8))
    others = examples_of([0, 1, 2] * 4, [7] * 12)
    guesses = model.classify(list(others.sounds()))
    right = [guess.probabilities.argmax() == label for guess, label in zip(guesses, others.labels, strict=True)]
    assert np.mean(right) >= 0.75
    assert model.training["valid_loss"] == min(epoch["valid_loss"] for epoch in model.training["epochs"])


@pytest.mark.parametrize("kind", ["spectrogram", "fine-tuned"])
def test_ctrl_c_ends_a_training_that_goes_on_to_the_same_network(
    kind: str, examples: EmotionExamples, encoder: str, tmp_path: Path
) -> None:
    """Of the spectrogram: after the learning rate was halved, and before the loss has stayed for long enough."""
    name = "spectrogram" if kind == "spectrogram" else "ssl"
    settings: Any = SpectrogramSettings(epochs=40, batch=5, patience=5, seed=3, learning_rate=0.02)
    if kind == "fine-tuned":
        settings = EncoderSettings(epochs=3, batch=8, encoder=encoder, fine_tune=True)
    whole = fit_network(name, examples, settings)
    assert whole.training["stopped_early"] == (kind == "spectrogram")
    n_epochs = len(whole.training["epochs"])
    epochs: list[int] = []

    def press(epoch: int, *_: object) -> None:
        epochs.append(epoch)
        if epoch == n_epochs - 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), interrupts.watched():
        fit_network(name, examples, settings, work=tmp_path, on_epoch=press)
    resumed = fit_network(name, examples, settings, work=tmp_path, on_epoch=press)
    assert epochs == [*range(1, n_epochs + 1)]
    assert resumed.training == whole.training
    assert same(resumed, whole)
    done = fit_network(name, examples, settings, work=tmp_path, on_epoch=press)
    assert same(done, whole)
    assert len(epochs) == n_epochs, "what is finished is not trained again"


def test_without_accelerate_networks_say_what_to_install(
    examples: EmotionExamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DailytalkError, match=r"pip install 'dailytalk-contiguous\[train\]'"):
        fit_network("spectrogram", examples, SPECTROGRAM)


def test_a_fine_tuned_encoder_keeps_its_convolutions(examples: EmotionExamples, encoder: str) -> None:
    settings = EncoderSettings(epochs=1, batch=8, encoder=encoder, fine_tune=True, learning_rate=0.01)
    tuned, frozen = (
        fit_network("ssl", examples, replace(settings, fine_tune=fine_tune)).weights()
        for fine_tune in (True, False)
    )
    moved = {name for name, weight in tuned.items() if not np.array_equal(weight, frozen[name])}
    assert any(name.startswith("encoder.encoder.encoder.layers.1.") for name in moved)
    assert not any("feature_extractor" in name for name in moved)


def test_rare_classes_and_shares_of_votes_count() -> None:
    examples = examples_of([0] * 10 + [1, 2] * 2, [*([0, 1] * 5), 0, 0, 1, 1])
    votes = np.full((14, 3), 0.2, np.float32)
    votes[np.arange(14), examples.labels] = 0.6
    soft = replace(examples, votes=votes)
    settings = replace(SPECTROGRAM, epochs=1)
    losses = {
        name: fit_network("spectrogram", own, replace(settings, class_weights=weights)).training["valid_loss"]
        for name, own, weights in (("hard", examples, True), ("plain", examples, False), ("soft", soft, True))
    }
    assert len({*losses.values()}) == 3


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.booleans()), min_size=6, max_size=40),
    st.integers(0, 9),
)
def test_held_out_speakers_are_never_trained_on_and_every_class_stays(
    rows: list[tuple[int, int, bool]], seed: int
) -> None:
    labels, speakers, copies = zip(*rows, strict=True)
    examples = replace(SILENT, **vars_of(labels, speakers, copies))
    try:
        train, valid = held_out(examples, 0.2, seed)
    except DailytalkError:
        return
    assert len(valid)
    assert not {*train} & {*valid}
    assert {*examples.labels} == {*examples.labels[train]}
    assert not examples.copies[valid].any()
    shared = {*examples.speakers[train]} & {*examples.speakers[valid]}
    assert not shared or {*examples.speakers[train]} >= {*examples.speakers[valid]}


SILENT = held_examples([np.zeros(1, np.float32)] * 3, CLASSES, CLASSES)


def vars_of(labels: Sequence[int], speakers: Sequence[int], copies: Sequence[bool]) -> dict[str, Any]:
    return {
        "labels": np.array(labels),
        "numbers": np.zeros(len(labels), np.intp),
        "speakers": np.array([str(speaker) for speaker in speakers]),
        "groups": np.arange(len(labels)),
        "copies": np.array(copies),
        "ids": tuple(map(str, range(len(labels)))),
    }


def test_one_speaker_is_said_and_one_clip_of_a_class_is_trained_on(
    examples: EmotionExamples, caplog: pytest.LogCaptureFixture
) -> None:
    one = examples.take(examples.speakers == "speaker/0")
    fit_network("spectrogram", one, replace(SPECTROGRAM, epochs=1))
    assert "no speaker can be held out" in caplog.text
    rare = examples.take((examples.labels != 2) | (np.arange(24) == 5))
    train, _ = held_out(rare, 0.2, 0)
    assert 2 in rare.labels[train]
    caplog.clear()
    _, valid = held_out(replace(examples, mixed=True), 0.2, 0)
    assert len({*examples.speakers[valid]}) > 1
    assert not caplog.text
    with pytest.raises(DailytalkError, match="none of 3 utterances can be held out"):
        held_out(examples.take([0, 1, 2]), 0.2, 0)


def test_altered_sound_is_as_loud_and_of_nearly_the_same_length() -> None:
    sound = spoken(0, 150, np.random.default_rng(1))
    settings = EncoderSettings()
    first, second = (altered(sound, settings, np.random.default_rng(seed)) for seed in (1, 2))
    assert not np.array_equal(first[:4000], second[:4000])
    for other in (first, second):
        assert 0.88 < len(other) / len(sound) < 1.13
        assert 0.9 < np.std(other) / np.std(sound) < 1.1
    assert not altered(np.zeros(8000, np.float32), settings, np.random.default_rng(0)).any()


def test_pictures_are_in_a_folder_a_split_and_a_class_under_safe_names(
    examples: EmotionExamples, tmp_path: Path
) -> None:
    names = [f"../{speaker}/{number}" for number, speaker in enumerate(examples.speakers.tolist())]
    strange = replace(examples, ids=tuple(names), classes=("../x", *examples.classes[1:]))
    assert save_spectrograms(strange, tmp_path / "pictures", 0.2, 0) == len(examples)
    paths = {split: sorted((tmp_path / "pictures" / split).glob("*/*.png")) for split in ("train", "validation")}
    assert sum(map(len, paths.values())) == len(examples) == len([*tmp_path.rglob("*.png")])
    assert len({path.parent.name for path in paths["train"]}) == len(examples.classes)
    safe = re.compile(r"[\w.-]+")
    assert all(safe.fullmatch(part) and ".." not in part for path in paths["train"] for part in path.parts[-2:])
    train, validation = ({path.name.rsplit("-", 2)[0] for path in paths[split]} for split in paths)
    assert validation
    assert not train & validation  # speakers
    pictures = [matplotlib.image.imread(path) for path in paths["train"][:2]]
    assert {picture.shape[0] for picture in pictures} == {128}  # mel bands
    assert all(picture.max() > 0.9 > 0.1 > picture[:, :, :3].min() for picture in pictures)
