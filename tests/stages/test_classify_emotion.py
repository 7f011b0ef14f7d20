from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pytest
from audio_files import example

from dailytalk_contiguous.core.audio import Samples, pcm_to_float
from dailytalk_contiguous.core.emotions import SIX
from dailytalk_contiguous.models import emotion_models
from dailytalk_contiguous.models.contracts import EmotionGuess
from dailytalk_contiguous.models.emotion_folder import nothing_said
from dailytalk_contiguous.models.linear_emotion import bundled_voice
from dailytalk_contiguous.stages.base import PerUtterance
from dailytalk_contiguous.stages.classify_emotion import ClassifyEmotion

TALK = (32767 * example("burnt_dinner")[9600:, 1]).astype(np.int16)
#: Two loud stretches, one ten times as quiet, and silence.
SPEECH = [TALK[:16000], TALK[16000:40000], TALK[16000:40000] // 10, np.zeros(8000, np.int16)]
BATCH: dict[str, list[Any]] = {"speech": [sound.astype(np.int16).tobytes() for sound in SPEECH]}
CALL = BATCH | {"conversation_id": ["a"] * 4, "channel": ["left"] * 4}


class Ear:
    """A model that hears how loud it is against the speaker, if it is told who speaks."""

    name = "ear"
    classes = ("angry", "sad")

    def __init__(self) -> None:
        self.calls: list[int] = []

    def classify(
        self, sounds: Sequence[Samples], speakers: Sequence[Hashable] | None = None
    ) -> list[EmotionGuess]:
        self.calls.append(len(sounds))
        levels = np.array([np.abs(sound).mean() for sound in sounds])
        usual = np.median(levels) if speakers else 0.05
        shares = np.clip(levels / (levels + usual + 1e-9), 0.0, 1.0)
        return [
            EmotionGuess(np.array([share, 1 - share], np.float32)) if level else nothing_said("it is silent")
            for share, level in zip(shares, levels, strict=True)
        ]


@pytest.fixture
def ear(monkeypatch: pytest.MonkeyPatch) -> Ear:
    model = Ear()
    monkeypatch.setattr(emotion_models, "load_emotion_model", lambda name, device: model)
    return model


def shares_of(made: dict[str, list[Any]]) -> list[list[float] | None]:
    return [own and [share["probability"] for share in own] for own in made["emotion_probabilities"]]


def test_the_bundled_model_classifies_beside_what_else_the_speaker_says() -> None:
    sounds = [pcm_to_float(speech) for speech in BATCH["speech"]]
    for batch, speakers in ((BATCH, None), (CALL, ["one"] * 4)):
        made = ClassifyEmotion()(batch)
        guesses = bundled_voice().classify(sounds, speakers)
        assert shares_of(made) == [guess.probabilities.tolist() or None for guess in guesses]
        assert made["emotion_model"] == ["voice-linear"] * 4
        assert [share["emotion"] for share in made["emotion_probabilities"][0]] == list(SIX)


def test_a_speaker_is_a_channel_of_a_conversation(ear: Ear) -> None:
    """What a model compares is what one of them says, in whatever order others come between."""
    others = CALL | {"channel": ["left", "right", "left", "right"]}
    made = shares_of(ClassifyEmotion("ear")(others))
    alone = [
        shares_of(ClassifyEmotion("ear")({name: of[first::2] for name, of in others.items()})) for first in (0, 1)
    ]
    assert made[0::2] + made[1::2] == alone[0] + alone[1]
    lifted = PerUtterance(ClassifyEmotion("ear"))(
        {"utterance_id": [["a", "b"], ["c"]], "conversation_id": ["x", "y"], "channel": [["left"] * 2, ["left"]]}
        | {"speech": [BATCH["speech"][:2], BATCH["speech"][2:3]]}
    )
    assert [len(own) for own in lifted["emotion_class"]] == [2, 1]
