import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emotional_voices import drawn_voices
from huggingface_hub import HfApi, constants
from safetensors.numpy import load_file, save_file

from dailytalk_contiguous.core.emotion_features import MEASURES, emotion_features
from dailytalk_contiguous.core.emotions import SIX
from dailytalk_contiguous.core.errors import DailytalkError, ModelMissing
from dailytalk_contiguous.models.contracts import EmotionGuess
from dailytalk_contiguous.models.emotion_folder import ABOUT, WEIGHTS, write_emotion_folder
from dailytalk_contiguous.models.emotion_models import load_emotion_model
from dailytalk_contiguous.models.linear_emotion import LinearEmotion, bundled_voice, linear_shapes

pytest_plugins = ["hub.hub_fixtures"]


def random_model(seed: int = 0) -> LinearEmotion:
    """A `LinearEmotion` of random weights around the usual of some voices."""
    rng = np.random.default_rng(seed)
    measured = np.stack([emotion_features(sound) for sound in drawn_voices(2, 1)[0]])
    arrays = {name: rng.normal(0, 0.1, shape) for name, shape in linear_shapes(len(SIX)).items()}
    arrays["usual"] = np.nanmean(measured, axis=0)
    for head in ("alone", "relative"):
        arrays[f"spread_{head}"] = np.nanstd(measured, axis=0) + 0.1
    return LinearEmotion("random", SIX, arrays, 1.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "mood"
    write_emotion_folder(random_model(), out, {"utterances": 12})
    return out


@pytest.mark.usefixtures("hub")
def test_published_model_loads_offline_once_it_was_fetched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = HfApi()
    upload.create_repo("tester/mood")
    upload.upload_folder(repo_id="tester/mood", folder_path=folder)
    assert load_emotion_model("tester/mood").classes == SIX
    load_emotion_model.cache_clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert load_emotion_model("tester/mood").name == "tester/mood"
    with pytest.raises(ModelMissing, match="HF_HUB_OFFLINE"):
        load_emotion_model("tester/none")


def equal(one: EmotionGuess, other: EmotionGuess) -> bool:
    return one.reason == other.reason and np.array_equal(one.probabilities, other.probabilities)


def test_a_model_is_the_same_out_of_its_folder(folder: Path) -> None:
    sounds, _, speakers = drawn_voices(2, 1)
    model = load_emotion_model(str(folder))
    assert (model.name, model.classes) == ("mood", SIX)
    write_emotion_folder(model, copy := folder.parent / "copy", {})
    assert (copy / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()
    again = load_emotion_model(str(copy))
    assert all(map(equal, model.classify(sounds, speakers), again.classify(sounds, speakers)))
    guess = model.classify(sounds[:1])[0]
    assert guess.probabilities.sum() == pytest.approx(1)


def test_a_model_is_not_written_over_another(folder: Path) -> None:
    with pytest.raises(DailytalkError, match="holds a model already"):
        write_emotion_folder(random_model(), folder, {})


def about(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        known = json.loads((folder / ABOUT).read_text()) | changes
        (folder / ABOUT).write_text(
            json.dumps({name: value for name, value in known.items() if value is not None})
        )

    return change


def weights(**changes: np.ndarray | None) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        known = {
            name: array for name, array in (load_file(folder / WEIGHTS) | changes).items() if array is not None
        }
        save_file(known, folder / WEIGHTS)

    return change


def replaced(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


WIDE = np.zeros((len(MEASURES), 7), np.float32)


@pytest.mark.parametrize(
    ("change", "file", "reason"),
    [
        (about(kind="forest"), ABOUT, "describes no model"),
        (about(classes=["sad", 3]), ABOUT, "Expected `str`, got `int` - at `$.classes[1]`"),
        (about(settings={"measures": ["f0"]}), ABOUT, "other measures"),
        (weights(weights_alone=WIDE), WEIGHTS, "first, missing"),
        (weights(usual=None), WEIGHTS, "'usual' first"),
        (replaced(WEIGHTS, b"\x80\x04pickle"), WEIGHTS, "can't be read"),
    ],
)
def test_a_damaged_folder_is_refused_in_a_sentence_that_names_the_file(
    change: Callable[[Path], None], file: str, reason: str, folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "damaged")
    change(tmp_path / "damaged")
    with pytest.raises(ModelMissing) as refused:
        load_emotion_model(str(tmp_path / "damaged"))
    assert file in refused.value.reason
    assert reason in refused.value.reason
    assert "\n" not in str(refused.value)


def test_no_pickle_is_read(tmp_path: Path) -> None:
    best = tmp_path / "runs" / "classify" / "weights" / "best.pt"
    best.parent.mkdir(parents=True)
    best.write_bytes(b"\x80\x04cos\nsystem\n(S'touch owned'\ntR.")
    with pytest.raises(ModelMissing, match=r"best\.pt/emotion\.json: it can't be read"):
        load_emotion_model(str(best))
    with pytest.raises(ModelMissing, match="is no folder, and no name of a model on the Hub"):
        load_emotion_model(str(tmp_path / "model.pkl"))
    with pytest.raises(ModelMissing, match=r"emotion\.json"):
        load_emotion_model(str(tmp_path / "runs"))


def test_an_utterance_alone_is_as_in_any_company() -> None:
    sounds, _, speakers = drawn_voices(3, 1)
    for model in (random_model(), bundled_voice()):
        together = model.classify(sounds)
        assert all(equal(model.classify([sound])[0], guess) for sound, guess in zip(sounds, together, strict=True))
        own = [place for place, speaker in enumerate(speakers) if speaker == speakers[0]]
        apart = model.classify([sounds[place] for place in own], [speakers[place] for place in own])
        beside = model.classify(sounds, speakers)
        assert all(equal(guess, beside[place]) for guess, place in zip(apart, own, strict=True))
