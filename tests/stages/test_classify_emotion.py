from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pytest
from audio_files import example
from stage_calls import columns_after

from dailytalk_contiguous.core.sound.samples import Samples, pcm_to_float
from dailytalk_contiguous.core.style.emotions import SIX, UNSURE, ConfidenceLimits
from dailytalk_contiguous.models import emotion_models
from dailytalk_contiguous.models.contracts import EmotionGuess
from dailytalk_contiguous.models.emotion_folder import nothing_said
from dailytalk_contiguous.models.linear_emotion import bundled_voice
from dailytalk_contiguous.stages.classify_emotion import ClassifyEmotion

TALK = (32767 * example("burnt_dinner")[9600:, 1]).astype(np.int16)
QUIET = (TALK[16000:40000] // 10).astype(np.int16)


#: Two loud stretches, one ten times as quiet, and silence.
SPEECH = [TALK[:16000], TALK[16000:40000], QUIET, np.zeros(8000, np.int16)]
BATCH: dict[str, list[Any]] = {"speech": [sound.tobytes() for sound in SPEECH]}
CALL = BATCH | {"conversation_id": ["a"] * 4, "channel": ["left"] * 4}


class Ear:
    """A model that hears how loud it is against the speaker, if it is told who speaks."""

    name = "ear"
    classes = ("angry", "sad")
    compares = True
    limits = ConfidenceLimits(alone=0.9, beside=0.5)

    def __init__(self) -> None:
        self.calls: list[int] = []

    def classify(
        self, sounds: Sequence[Samples], speakers: Sequence[Hashable] | None = None
    ) -> list[EmotionGuess]:
        self.calls.append(len(sounds))
        levels = np.array([np.abs(sound).mean() for sound in sounds])
        usual = np.median(levels) if speakers else 0.05
        return [guess_by_level(level, usual) for level in levels]


@pytest.fixture
def ear(monkeypatch: pytest.MonkeyPatch) -> Ear:
    model = Ear()
    monkeypatch.setattr(emotion_models, "load_emotion_model", lambda name, device: model)
    return model


def guess_by_level(level: float, usual: float) -> EmotionGuess:
    if level == 0:
        return nothing_said("it is silent")
    share = min(level / (level + usual + 1e-9), 1.0)
    return EmotionGuess(np.array([share, 1 - share], np.float32))


def shares_of(made: dict[str, list[Any]]) -> list[list[float] | None]:
    """Probabilities of the classes of each utterance; None or empty where it has none."""
    shares = []
    for classes in made["emotion_probabilities"]:
        shares.append(classes and [share["probability"] for share in classes])
    return shares


def test_the_bundled_model_classifies_beside_what_else_the_speaker_says() -> None:
    sounds = [pcm_to_float(speech) for speech in BATCH["speech"]]
    for batch, speakers in ((BATCH, None), (CALL, ["one"] * 4)):
        made = columns_after(ClassifyEmotion(), batch)
        guesses = bundled_voice().classify(sounds, speakers)
        expected = [guess.probabilities.tolist() or None for guess in guesses]
        assert shares_of(made) == expected
        assert made["emotion_model"] == ["voice-linear"] * 4
        shares, *_ = made["emotion_probabilities"]
        classes = [share["emotion"] for share in shares]
        assert classes == list(SIX)


def test_a_speaker_is_a_channel_of_a_conversation(ear: Ear) -> None:
    """What a model compares is what one of them says, in whatever order others come between."""
    stage = ClassifyEmotion("ear")
    others = CALL | {"channel": ["left", "right", "left", "right"]}
    made = shares_of(columns_after(stage, others))
    for first in (0, 1):
        speaker = {name: values[first::2] for name, values in others.items()}
        alone = shares_of(columns_after(stage, speaker))
        assert made[first::2] == alone
    speech = BATCH["speech"]
    conversations = {
        "utterance_id": [["a", "b"], ["c"]],
        "conversation_id": ["x", "y"],
        "channel": [["left"] * 2, ["left"]],
        "speech": [speech[:2], speech[2:3]],
    }
    lifted = columns_after(stage, conversations)
    first_call, second_call = lifted["emotion_class"]
    assert len(first_call) == 2
    assert len(second_call) == 1


def test_a_class_counts_from_the_models_limit_on_alone_or_beside_others(ear: Ear) -> None:
    """Probabilities are at most 0.83; the limit of three utterances of a speaker is 0.77, of one 0.9."""
    three = {name: values[:3] for name, values in CALL.items()}
    beside = columns_after(ClassifyEmotion("ear"), three)
    sure = [max(shares) >= 0.9 - 0.4 / 3 for shares in shares_of(beside)]
    assert [emotion != UNSURE for emotion in beside["emotion_class"]] == sure
    assert any(sure)
    one = {name: values[2:3] for name, values in CALL.items()}
    assert columns_after(ClassifyEmotion("ear"), one)["emotion_class"] == [UNSURE]
    assert UNSURE not in columns_after(ClassifyEmotion("ear", confidence=0.5), three)["emotion_class"]
