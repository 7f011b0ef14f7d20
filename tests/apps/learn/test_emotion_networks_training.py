import re
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

from dailytalk_contiguous.apps.learn.emotion_evaluation import guesses_alone, guesses_of
from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples
from dailytalk_contiguous.apps.learn.emotion_networks_training import (
    fit_network,
    held_out,
    save_spectrograms,
)
from dailytalk_contiguous.apps.learn.emotion_settings import NetworkSettings
from dailytalk_contiguous.apps.learn.training import ResumingTrainer
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.sound.samples import Samples
from dailytalk_contiguous.core.style.emotions import CARE, RIGHT_ALONE, RIGHT_BESIDE, fit_limit, fit_temperature
from dailytalk_contiguous.models.emotion_features import at_one_level
from dailytalk_contiguous.models.emotion_networks import SpectrogramEmotions, classifier_on

CLASSES = ("angry", "happy", "sad")
SPECTROGRAM = NetworkSettings(epochs=3, batch=8)


def spoken(label: int, pitch: float, rng: np.random.Generator) -> Samples:
    """A buzz of 0.3 to 0.5 s that stays, rises or falls."""
    seconds = rng.uniform(0.3, 0.5)
    times = np.arange(int(seconds * 16000)) / 16000
    octaves = (0, 2, -2)[label]
    hertz = pitch * 2 ** (octaves * (times / seconds - 0.5))
    phase = 2 * np.pi * np.cumsum(hertz) / 16000
    buzz = sum(np.sin(number * phase) / number for number in range(1, 8))
    return np.float32(0.05 * buzz + rng.normal(0, 0.002, len(times)))


def examples_of(labels: Sequence[int], speakers: Sequence[int]) -> EmotionExamples:
    rng = np.random.default_rng(0)
    pairs = zip(labels, speakers, strict=True)
    sounds = [spoken(label, 120 + 20 * (speaker % 5), rng) for label, speaker in pairs]
    emotions = [CLASSES[label] for label in labels]
    names = [f"speaker/{speaker}" for speaker in speakers]
    return held_examples(sounds, emotions, names)


@pytest.fixture(scope="module")
def examples() -> EmotionExamples:
    return examples_of([0, 1, 2] * 8, [number // 6 for number in range(24)])


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models") / "encoder"
    return str(make_speech_model(folder, "wavlm"))


def test_classes_are_learned_for_speakers_who_were_not_heard(examples: EmotionExamples) -> None:
    model = fit_network("spectrogram", examples, NetworkSettings(epochs=12, batch=8))
    others = examples_of([0, 1, 2] * 4, [7] * 12)
    sounds = [others.sound(index) for index in range(len(others))]
    answers = [guess.probabilities.argmax() for guess in model.classify(sounds)]
    assert np.mean(answers == others.labels) >= 0.75


def test_a_network_is_more_careful_than_held_out_speakers_ask(examples: EmotionExamples) -> None:
    model = fit_network("spectrogram", examples, SPECTROGRAM)
    _, valid = held_out(examples, SPECTROGRAM.valid_share, SPECTROGRAM.seed)
    sounds = [examples.sound(index) for index in valid.tolist()]
    shares = [guess.probabilities for guess in model.classify(sounds)]
    assert CARE * fit_temperature(shares, examples.labels[valid]) == pytest.approx(1, rel=0.02)


def test_the_limits_of_a_network_are_those_of_the_speakers_held_out(examples: EmotionExamples) -> None:
    model = fit_network("spectrogram", examples, SPECTROGRAM)
    _, valid = held_out(examples, SPECTROGRAM.valid_share, SPECTROGRAM.seed)
    tested = examples.take(valid)
    sounds = [tested.sound(index) for index in range(len(tested))]
    alone = [guess.probabilities for guess in model.classify(sounds)]
    beside = [guess.probabilities for guess in model.classify(sounds, tested.speakers.tolist())]
    assert model.limits.alone == fit_limit(alone, tested.labels, RIGHT_ALONE)
    assert model.limits.beside == fit_limit(beside, tested.labels, RIGHT_BESIDE)


def test_a_speaker_is_compared_with_the_mean_picture_of_the_training(examples: EmotionExamples) -> None:
    model = fit_network("spectrogram", examples, replace(SPECTROGRAM, epochs=1))
    assert isinstance(model, SpectrogramEmotions)
    train, _ = held_out(examples, SPECTROGRAM.valid_share, SPECTROGRAM.seed)
    pictures = [model.prepared(at_one_level(examples.sound(index))) for index in train.tolist()]
    mean = np.mean([picture.mean(axis=0) for picture in pictures], axis=0)
    np.testing.assert_allclose(model.weights()["usual"], mean, atol=1e-5)


@pytest.mark.parametrize("kind", ["spectrogram", "audio"])
def test_a_training_that_was_stopped_goes_on_to_the_same_network(
    kind: str, examples: EmotionExamples, encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = NetworkSettings(epochs=3, batch=8, encoder=encoder, seed=3)
    whole = fit_network(kind, examples, settings)
    steps: list[int] = []
    step = ResumingTrainer.training_step

    def watched(trainer: Any, *args: Any, **kwargs: Any) -> Any:
        steps.append(trainer.state.global_step)
        if len(steps) == 5:
            raise KeyboardInterrupt
        return step(trainer, *args, **kwargs)

    monkeypatch.setattr(ResumingTrainer, "training_step", watched)
    with pytest.raises(KeyboardInterrupt):
        fit_network(kind, examples, settings, work=tmp_path)
    resumed = fit_network(kind, examples, settings, work=tmp_path)
    assert steps[5] > 0, "it begins at a checkpoint"
    assert resumed.temperature == whole.temperature
    assert resumed.limits == whole.limits
    assert (whole.limits.alone == whole.limits.beside) == (kind == "audio")  # which compares nothing
    for key, weight in whole.weights().items():
        np.testing.assert_array_equal(weight, resumed.weights()[key])


def test_without_accelerate_networks_say_what_to_install(
    examples: EmotionExamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DailytalkError, match=r"pip install '\.\[train\]'"):
        fit_network("spectrogram", examples, SPECTROGRAM)


def test_a_tuned_encoder_keeps_its_convolutions(examples: EmotionExamples, encoder: str) -> None:
    settings = NetworkSettings(epochs=1, batch=8, encoder=encoder)
    tuned = fit_network("audio", examples, settings).weights()
    before = classifier_on(encoder, CLASSES, "cpu").weights()
    moved = {name for name, weight in tuned.items() if not np.array_equal(weight, before[name])}
    assert any(name.startswith("wavlm.encoder.layers.1.") for name in moved)
    assert not any("feature_extractor" in name for name in moved)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.booleans()), min_size=6, max_size=40),
    st.integers(0, 9),
)
def test_what_is_held_out_is_not_trained_on_and_every_class_stays(
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


SILENT = held_examples([np.zeros(1, np.float32)] * 3, CLASSES, CLASSES)


def vars_of(labels: Sequence[int], speakers: Sequence[int], copies: Sequence[bool]) -> dict[str, Any]:
    numbers = np.arange(len(labels))
    return {
        "labels": np.array(labels),
        "numbers": np.zeros(len(labels), np.intp),
        "speakers": np.array(speakers).astype(str),
        "groups": numbers,
        "copies": np.array(copies),
        "ids": numbers.astype(str),
    }


def test_one_speaker_and_one_clip_of_a_class_are_trained_on(examples: EmotionExamples) -> None:
    alone = examples.take(examples.speakers == "speaker/0")
    fit_network("spectrogram", alone, replace(SPECTROGRAM, epochs=1))
    is_kept = examples.labels != 2
    is_kept[5] = True
    rare = examples.take(is_kept)
    train, _ = held_out(rare, 0.2, 0)
    assert 2 in rare.labels[train]
    train, valid = held_out(examples, 0.2, 0)
    trained = {*examples.speakers[train]}
    assert not trained & {*examples.speakers[valid]}
    with pytest.raises(DailytalkError, match="none of 3 utterances can be held out"):
        held_out(examples.take([0, 1, 2]), 0.2, 0)


def speakers_of(pictures: Sequence[Path]) -> set[str]:
    return {path.name.rsplit("-", 2)[0] for path in pictures}


def test_pictures_are_in_a_folder_a_split_and_a_class_under_safe_names(
    examples: EmotionExamples, tmp_path: Path
) -> None:
    names = [f"../{speaker}/{number}" for number, speaker in enumerate(examples.speakers.tolist())]
    classes = ("../x", *examples.classes[1:])
    strange = replace(examples, ids=np.array(names), classes=classes)
    pictures = tmp_path / "pictures"
    assert save_spectrograms(strange, pictures, 0.2, 0) == len(examples)
    train = sorted((pictures / "train").glob("*/*.png"))
    validation = sorted((pictures / "validation").glob("*/*.png"))
    assert len(train) + len(validation) == len(examples)
    assert len([*tmp_path.rglob("*.png")]) == len(examples)
    assert len({path.parent.name for path in train}) == len(examples.classes)
    safe = re.compile(r"[\w.-]+")
    for path in train:
        for part in path.parts[-2:]:
            assert safe.fullmatch(part)
            assert ".." not in part
    assert validation
    assert not speakers_of(train) & speakers_of(validation)
    for path in train[:2]:
        picture = matplotlib.image.imread(path)
        assert picture.shape[0] == 128  # mel bands
        assert picture.max() > 0.9
        assert picture[:, :, :3].min() < 0.1


def test_a_spectrogram_model_is_evaluated_beside_others_and_alone(examples: EmotionExamples) -> None:
    model = fit_network("spectrogram", examples, SPECTROGRAM)
    sounds = [examples.sound(index) for index in range(len(examples))]
    together = guesses_of(model, examples)
    alone = guesses_alone(model, examples, together)
    for guess, direct in zip(together, model.classify(sounds, examples.speakers.tolist()), strict=True):
        np.testing.assert_array_equal(guess.probabilities, direct.probabilities)
    for guess, direct in zip(alone, model.classify(sounds), strict=True):
        np.testing.assert_array_equal(guess.probabilities, direct.probabilities)
