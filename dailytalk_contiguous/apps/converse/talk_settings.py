"""The settings of a talk: its models and its voice."""

from dataclasses import dataclass, replace

from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.style.emotions import VOICE_LINEAR
from dailytalk_contiguous.models.contracts import NO_OPTIONS
from dailytalk_contiguous.models.engines import TTS, TTS_MODEL
from dailytalk_contiguous.models.profiles import profile_named
from dailytalk_contiguous.stages.base import ASR_MODEL, DEVICE
from dailytalk_contiguous.stages.classify_emotion import CONFIDENCE, EMOTION_MODEL
from dailytalk_contiguous.stages.transcribe import LANGUAGE


@dataclass(frozen=True)
class TalkSettings:
    """The settings of a talk. An empty name of a model is the profile's."""

    recogniser: str = setting("", ASR_MODEL)
    language: str = setting("en", LANGUAGE)
    emotion: str = setting(VOICE_LINEAR, EMOTION_MODEL)
    confidence: float | None = setting(None, CONFIDENCE)
    chat: str = setting(
        "",
        "Required. Who answers: the server of a language model, http://HOST:PORT#MODEL.",
        panel="models",
        metavar="URL",
        reference=True,
    )
    tts: str = setting("", TTS)
    tts_model: str = setting("", TTS_MODEL)
    options: object = NO_OPTIONS
    voice: str = setting(
        "",
        "male, female, a voice of the synthesiser, or clone:FILE (asks for consent).",
        panel="voice",
        metavar="NAME|clone:FILE",
        shown="the synthesiser's",
        reference=True,
    )
    max_cost_usd: float | None = setting(
        None,
        "Limit on what this run spends, all workers together.",
        option="max_cost",
        panel="run",
        least=0,
        metavar="USD",
        execution=True,
    )
    device: str = setting("auto", DEVICE, execution=True)

    def with_profile(self, profile: str) -> "TalkSettings":
        """The settings, with the models of a profile in place of empty names."""
        models = profile_named(profile).models
        recogniser = self.recogniser or models["recogniser"]
        synthesiser = self.tts or models["synthesiser"]
        return replace(self, recogniser=recogniser, tts=synthesiser)
