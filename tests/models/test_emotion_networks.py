import json
import resource
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_speech_models import MODELS, make_speech_model

from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.core.sound.samples import Samples
from dailytalk_contiguous.core.style.emotions import ConfidenceLimits, class_of_label
from dailytalk_contiguous.models.emotion_features import at_one_level
from dailytalk_contiguous.models.emotion_folder import write_emotion_folder
from dailytalk_contiguous.models.emotion_models import load_emotion_model
from dailytalk_contiguous.models.emotion_networks import (
    AudioEmotions,
    NetworkEmotions,
    SpectrogramEmotions,
    SpectrogramNetwork,
    classifier_on,
)
from dailytalk_contiguous.models.speech_models import normalised

RNG = np.random.default_rng(3)
LENGTHS = (16000, 1600, 40000, 23456, 8000)
SOUNDS = [RNG.normal(0.02, 0.1, length).astype(np.float32) for length in LENGTHS]
CLASSES = ("angry", "happy", "sad")

#: As IEMOCAP's checkpoints name them, and one that nobody else has.
LABELS = ("neu", "hap", "ang", "Sadness", "bored")

#: What normalises its first frames over time, and what over channels.
GROUP = {"feat_extract_norm": "group"}
LAYER = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("speech")


@pytest.fixture(scope="module")
def checkpoint(models: Path) -> Path:
    return make_speech_model(models / "checkpoint", "wav2vec2", LABELS)


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "copy"))


def spectrogram_model() -> SpectrogramEmotions:
    torch.manual_seed(1)
    return SpectrogramEmotions("tiny", CLASSES, SpectrogramNetwork(len(CLASSES)), "cpu")


def encoder_model(folder: Path) -> AudioEmotions:
    torch.manual_seed(1)
    model = classifier_on(str(folder), CLASSES, "cpu")
    with torch.no_grad():  # at their first scale, random layers say nearly the same of every sound
        model.network.classifier.weight.mul_(30)
    return model


@torch.inference_mode()
def assert_padded_equals_alone(model: Any, sounds: Sequence[Samples] = SOUNDS) -> None:
    windows = [model.prepared(at_one_level(sound))[: model.longest] for sound in sounds]
    logits = model.network(**model.inputs(windows)).logits
    for sound, padded in zip(windows, logits, strict=True):
        alone = model.network(**model.inputs([sound])).logits
        torch.testing.assert_close(alone[0], padded, atol=1e-5, rtol=0)
    assert np.ptp(logits.numpy(), axis=0).min() > 1e-4, "they must differ for this to say anything"


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("wav2vec2", GROUP), ("wav2vec2", LAYER), ("hubert", GROUP), ("wavlm", GROUP), ("whisper", {})],
)
def test_padded_equals_alone(kind: str, settings: dict[str, Any], tmp_path: Path) -> None:
    """Those that normalise frames over time were not trained with masks, and transformers pads them wrongly."""
    encoder = make_speech_model(tmp_path / "encoder", kind, **settings)
    assert_padded_equals_alone(encoder_model(encoder))
    classifier = make_speech_model(tmp_path / "classifier", kind, LABELS, **settings)
    assert_padded_equals_alone(load_emotion_model(str(classifier)))


@pytest.mark.parametrize("kind", ["hubert", "wavlm"])
def test_a_checkpoint_says_what_it_says_in_transformers(kind: str, tmp_path: Path) -> None:
    folder = make_speech_model(tmp_path / kind, kind, LABELS)
    stock = MODELS[kind][2].from_pretrained(folder).eval()
    sound = at_one_level(SOUNDS[2])
    if kind != "hubert":  # by its preprocessor_config.json
        sound = normalised(sound)
    with torch.inference_mode():
        logits = stock(torch.from_numpy(sound)[None]).logits
    expected = logits.softmax(dim=1)[0].numpy()
    model = load_emotion_model(str(folder))
    assert model.classes == ("angry", "bored", "happy", "neutral", "sad")
    classes = [class_of_label(label) for label in LABELS]
    by_class = dict(zip(classes, expected, strict=True))
    in_order = [by_class[name] for name in model.classes]
    (guess,) = model.classify(SOUNDS[2:3])
    np.testing.assert_allclose(guess.probabilities, in_order, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"id2label": {"0": "yes", "1": "no", "2": "up", "3": "down", "4": "on"}},
            "does not choose one of several emotions, but .'yes', 'no'",
        ),
        (
            {"id2label": {"1": "happy", "2": "sad", "3": "angry"}},
            "does not choose one of several emotions, but .None",
        ),
        ({"problem_type": "regression"}, "does not choose one of several emotions, .*regression"),
        ({"num_hidden_layers": "many"}, "can't be loaded"),
        (dict.fromkeys(("conv_dim", "conv_kernel", "conv_stride"), [2] * 257), "257 layers"),
    ],
)
def test_a_checkpoint_of_something_else_is_one_sentence(changes: dict[str, Any], words: str, copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(ModelMissing, match=words):
        load_emotion_model(str(copy))


def test_no_code_of_a_checkpoint_is_looked_at(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    code = {"auto_map": {"AutoModelForAudioClassification": "evil.Evil"}, "attn_implementation": "evil/kernel"}
    (copy / "config.json").write_text(json.dumps(config | code))
    (copy / "evil.py").write_text("raise SystemExit")
    (guess,) = load_emotion_model(str(copy)).classify(SOUNDS[:1])
    assert guess.reason == ""
    load_emotion_model.cache_clear()
    (copy / "model.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(ModelMissing, match="can't be read"):
        load_emotion_model(str(copy))
    (copy / "model.safetensors").rename(copy / "best.pt")
    with pytest.raises(ModelMissing, match=r"no model\.safetensors and no pytorch_model\.bin"):
        load_emotion_model(str(copy))


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_weights_in_several_files_are_read_from_their_folder_alone(
    name: str, copy: Path, checkpoint: Path
) -> None:
    (whole,) = load_emotion_model(str(checkpoint)).classify(SOUNDS[:1])
    weights = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    suffix = Path(name).suffix
    write = save_file if suffix == ".safetensors" else torch.save
    keys = sorted(weights)
    write({key: weights[key] for key in keys[:9]}, copy / f"one{suffix}")
    write({key: weights[key] for key in keys[9:]}, copy / f"two{suffix}")
    index = {"weight_map": {"any": f"one{suffix}", "other": f"two{suffix}"}}
    (copy / f"{name}.index.json").write_text(json.dumps(index))
    (guess,) = load_emotion_model(str(copy)).classify(SOUNDS[:1])
    assert guess.probabilities.tobytes() == whole.probabilities.tobytes()


def test_what_has_no_sound_has_a_reason_and_others_go_on() -> None:
    empty = np.zeros(0, np.float32)
    silent = np.zeros(16000, np.float32)
    not_numbers = np.full(16000, np.nan, np.float32)
    too_short = SOUNDS[0][:100]
    click = silent.copy()
    click[8000] = 0.9
    inaudible = np.float32(1e-6) * SOUNDS[0]
    loudest = np.float32(1e30) * SOUNDS[0]
    without_sound = [empty, silent, not_numbers, too_short, click, inaudible]
    guesses = spectrogram_model().classify([loudest, SOUNDS[1], *without_sound])
    for fine in guesses[:2]:
        assert not fine.reason
        assert len(fine.probabilities) == len(CLASSES)
        np.testing.assert_allclose(fine.probabilities.sum(), 1, atol=1e-6)
    assert len(guesses) == 8
    for guess in guesses[2:]:
        assert guess.reason
        assert len(guess.probabilities) == 0


def test_bits_do_not_depend_on_company(checkpoint: Path) -> None:
    def bits(model: Any, sounds: Sequence[Samples]) -> list[bytes]:
        return [guess.probabilities.tobytes() for guess in model.classify(sounds)]

    for model in (spectrogram_model(), load_emotion_model(str(checkpoint))):
        together = bits(model, SOUNDS)
        first = bits(model, SOUNDS[:1])
        others = bits(model, SOUNDS[1:])
        assert first + others == together


@pytest.mark.parametrize("kind", ["spectrogram", "audio"])
def test_a_gain_and_silence_around_a_sound_change_no_answer(kind: str, checkpoint: Path) -> None:
    model: Any = spectrogram_model() if kind == "spectrogram" else load_emotion_model(str(checkpoint))
    sounds: list[Samples] = []
    for sound in SOUNDS[2:]:
        envelope = np.hanning(len(sound)).astype(np.float32)
        sounds.append(sound * envelope)
    before = model.classify(sounds)
    for decibels in (-24, -12, 6, 12):
        gain = np.float32(10 ** (decibels / 20))
        after = model.classify([np.pad(gain * sound, 8192) for sound in sounds])
        for first, second in zip(before, after, strict=True):
            np.testing.assert_allclose(first.probabilities, second.probabilities, atol=1e-4)


def test_utterances_of_a_speaker_are_compared_with_each_other() -> None:
    model = spectrogram_model()
    alone = model.classify(SOUNDS)
    others = model.classify(SOUNDS, ["a", "b", "c", "d", "e"])
    together = model.classify(SOUNDS, ["a", "a", "a", "a", "b"])
    for guess, beside_none in zip(alone, others, strict=True):
        assert guess.probabilities.tobytes() == beside_none.probabilities.tobytes()
    assert alone[4].probabilities.tobytes() == together[4].probabilities.tobytes()
    differences = [np.abs(alone[index].probabilities - together[index].probabilities).max() for index in range(4)]
    assert min(differences) > 1e-4


def saved(model: NetworkEmotions, folder: Path) -> Path:
    write_emotion_folder(model, folder, {})
    return folder


@pytest.mark.parametrize("kind", ["spectrogram", "wav2vec2"])
def test_a_model_folder_gives_the_same_model_without_its_encoder(kind: str, tmp_path: Path) -> None:
    model: Any = spectrogram_model()
    if kind != "spectrogram":
        model = encoder_model(make_speech_model(tmp_path / "encoder", kind))
        shutil.rmtree(tmp_path / "encoder")
    model.temperature = 2.0
    model.limits = ConfidenceLimits(0.3, 0.45)
    folder = saved(model, tmp_path / "model")
    loaded: Any = load_emotion_model(str(folder))
    assert loaded.kind == model.kind
    assert loaded.classes == model.classes
    assert loaded.limits == model.limits
    assert loaded.settings() == model.settings()
    before = model.classify(SOUNDS)
    after = loaded.classify(SOUNDS)
    for first, second in zip(before, after, strict=True):
        np.testing.assert_allclose(first.probabilities, second.probabilities, atol=1e-6)


@pytest.mark.parametrize(
    "lie",
    [
        {"hidden_size": 1 << 16},
        {"hidden_size": -1},
        {"num_hidden_layers": 250},
        {"intermediate_size": 1 << 20},
        {"num_attention_heads": 0},
        {"conv_dim": [1 << 16, 1 << 16]},
        {"classifier_proj_size": -1},
        {"num_hidden_layers": 1 << 30},
    ],
    ids=str,
)
def test_an_encoder_of_another_size_than_its_settings_takes_no_memory(lie: dict[str, Any], tmp_path: Path) -> None:
    encoder = make_speech_model(tmp_path / "encoder")
    config = json.loads((encoder / "config.json").read_text())
    (encoder / "config.json").write_text(json.dumps(config | lie))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelMissing, match="encoder"):
        classifier_on(str(encoder), CLASSES, "cpu")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB
