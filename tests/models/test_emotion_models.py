import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emotional_voices import drawn_voices
from huggingface_hub import HfApi, constants
from safetensors.numpy import load_file, save_file

from dailytalk_contiguous.core.errors import DailytalkError, ModelMissing
from dailytalk_contiguous.core.style.emotions import SIX, ConfidenceLimits
from dailytalk_contiguous.models.contracts import EmotionGuess
from dailytalk_contiguous.models.emotion_features import MEASURES
from dailytalk_contiguous.models.emotion_folder import ABOUT, WEIGHTS, write_emotion_folder
from dailytalk_contiguous.models.emotion_models import load_emotion_model
from dailytalk_contiguous.models.linear_emotion import LinearEmotion, bundled_voice, linear_shapes, measure_voice

pytest_plugins = ["hub.hub_fixtures"]


def random_model(seed: int = 0) -> LinearEmotion:
    """A `LinearEmotion` of random weights around the usual of some voices."""
    rng = np.random.default_rng(seed)
    sounds, _, _ = drawn_voices(2, 1)
    measured = np.stack([measure_voice(sound) for sound in sounds])
    arrays = {}
    for name, shape in linear_shapes(len(SIX)).items():
        arrays[name] = rng.normal(0, 0.1, shape)
    arrays["usual"] = np.nanmean(measured, axis=0)
    for head in ("alone", "relative"):
        arrays[f"spread_{head}"] = np.nanstd(measured, axis=0) + 0.1
    return LinearEmotion("random", SIX, arrays, 1.5, ConfidenceLimits(0.3, 0.45))


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


def assert_equal(guesses: Sequence[EmotionGuess], others: Sequence[EmotionGuess]) -> None:
    for guess, other in zip(guesses, others, strict=True):
        assert guess.reason == other.reason
        np.testing.assert_array_equal(guess.probabilities, other.probabilities)


def test_a_model_is_the_same_out_of_its_folder(folder: Path) -> None:
    sounds, _, speakers = drawn_voices(2, 1)
    model = load_emotion_model(str(folder))
    assert model.name == "mood"
    assert model.classes == SIX
    assert model.limits == (0.3, 0.45)
    copy = folder.parent / "copy"
    write_emotion_folder(model, copy, {})
    assert (copy / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()
    again = load_emotion_model(str(copy))
    assert_equal(model.classify(sounds, speakers), again.classify(sounds, speakers))
    (alone,) = model.classify(sounds[:1])
    assert alone.probabilities.sum() == pytest.approx(1)


def test_a_model_is_not_written_over_another(folder: Path) -> None:
    with pytest.raises(DailytalkError, match="holds a model already"):
        write_emotion_folder(random_model(), folder, {})


def about(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        fields = json.loads((folder / ABOUT).read_text())
        (folder / ABOUT).write_text(json.dumps(fields | changes))

    return change


def weights(**changes: np.ndarray | None) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        arrays = load_file(folder / WEIGHTS) | changes
        kept = {name: array for name, array in arrays.items() if array is not None}
        save_file(kept, folder / WEIGHTS)

    return change


def replaced(name: str, content: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return change


def of_earlier_version(folder: Path) -> None:
    """Make a model one that has more measures, with weights for them."""
    about(settings={"measures": [*MEASURES, "seconds"]})(folder)
    arrays = load_file(folder / WEIGHTS)
    for name, array in arrays.items():
        if len(array) == len(MEASURES):
            arrays[name] = np.concatenate([array, array[:1]])
    save_file(arrays, folder / WEIGHTS)


WIDE = np.zeros((len(MEASURES), 7), np.float32)


@pytest.mark.parametrize(
    ("change", "file", "reason"),
    [
        (about(kind="forest"), ABOUT, "describes no model"),
        (about(limits={"alone": 0.3}), ABOUT, "limits from 0 to 1"),
        (about(limits={"alone": 0.3, "beside": 7}), ABOUT, "limits from 0 to 1"),
        (about(classes=["sad", 3]), ABOUT, "Expected `str`, got `int` - at `$.classes[1]`"),
        (about(settings={"measures": ["f0"]}), ABOUT, "other measures"),
        (about(kind="audio", settings={}), ABOUT, "settings: Object missing required field"),
        (weights(weights_alone=WIDE), WEIGHTS, "first, missing"),
        (weights(usual=None), WEIGHTS, "'usual' first"),
        (weights(usual=np.full(len(MEASURES), np.nan, np.float32)), ABOUT, "its weights are not numbers"),
        (of_earlier_version, ABOUT, "other measures of a voice than this version"),
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
    with pytest.raises(ModelMissing, match="is neither a folder nor the name of a model on the Hub"):
        load_emotion_model(str(tmp_path / "model.pkl"))
    with pytest.raises(ModelMissing, match=r"emotion\.json"):
        load_emotion_model(str(tmp_path / "runs"))


def test_an_utterance_alone_is_as_in_any_company() -> None:
    sounds, _, speakers = drawn_voices(3, 1)
    for model in (random_model(), bundled_voice()):
        together = model.classify(sounds)
        alone = [model.classify([sound])[0] for sound in sounds]
        assert_equal(alone, together)
        first_speaker = [index for index, speaker in enumerate(speakers) if speaker == speakers[0]]
        first_sounds = [sounds[index] for index in first_speaker]
        apart = model.classify(first_sounds, [speakers[0]] * len(first_speaker))
        beside = model.classify(sounds, speakers)
        assert_equal(apart, [beside[index] for index in first_speaker])
