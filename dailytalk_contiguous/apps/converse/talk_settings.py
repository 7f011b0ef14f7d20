"""The settings of a talk: its models, its voice, and the rules of turn-taking."""

from dataclasses import dataclass, replace
from typing import Any

from dailytalk_contiguous.core.emotions import VOICE_LINEAR
from dailytalk_contiguous.core.settings import SEED, setting
from dailytalk_contiguous.models.contracts import NO_OPTIONS
from dailytalk_contiguous.models.engines import TTS, TTS_MODEL
from dailytalk_contiguous.models.profiles import profile_named
from dailytalk_contiguous.stages.base import ASR_MODEL, DEVICE
from dailytalk_contiguous.stages.classify_emotion import CONFIDENCE, EMOTION_MODEL

#: The name of the chat model that is a few rules.
LISTENER = "listener"


@dataclass(frozen=True)
class TalkSettings:
    """The settings of a talk, with times in seconds. An empty name of a model is the profile's.

    The confidence under which the chat model gets no emotion is higher than that of a column. People leave about
    0.2 s between turns (Stivers et al. 2009, PNAS 106:10587) and pause longer inside them, so silence alone can't
    tell whether a turn is over. The words can: after "and" or a comma more comes.
    """

    recogniser: str = setting("", ASR_MODEL)
    language: str = setting("en", "ISO 639-1 code of what is spoken.", panel="models", metavar="CODE")
    emotion: str = setting(VOICE_LINEAR, EMOTION_MODEL)
    confidence: float = setting(0.5, CONFIDENCE)
    chat: str = setting(
        LISTENER,
        "Who answers: listener (rules), a model or its folder, or a server: http://HOST:PORT#MODEL.",
        panel="models",
        metavar="NAME|URL",
        reference=True,
    )
    chat_temperature: float | None = setting(
        None, "Randomness of answers, 0 for none.", least=0.0, most=2.0, shown="the model's"
    )
    seed: int | None = setting(None, SEED)
    reply_tokens: int = setting(200, "Tokens of a reply at most.", least=16)
    memory_tokens: int = setting(
        2000, "Tokens that the chat model reads at most; older turns are summed up.", least=256
    )
    reply_within: float = setting(
        30.0, "Without a first word for so long, a reply is given up.", panel="rare", unit="s", least=1.0
    )
    tts: str = setting("", TTS)
    tts_model: str = setting("", TTS_MODEL)
    options: Any = NO_OPTIONS
    voice: str = setting(
        "",
        "male, female, a voice of the synthesiser, or clone:FILE (asks for consent).",
        panel="voice",
        metavar="NAME|clone:FILE",
        shown="the synthesiser's",
        reference=True,
    )
    max_cost: float | None = setting(
        None, "What this run may spend, all workers together.", panel="run", least=0, metavar="USD", execution=True
    )
    device: str = setting("auto", DEVICE, execution=True)
    speech_from: float = setting(
        0.5, "Probability from which a sound is speech.", panel="rare", least=0.05, most=0.95
    )
    pause: float = setting(0.5, "Silence that ends a finished sentence.", unit="s", least=0.2)
    long_pause: float = setting(1.2, "Silence that ends a sentence that seems unfinished.", unit="s", least=0.2)
    longest_turn: float = setting(
        120.0, "A longer turn is answered as it is by then.", panel="rare", unit="s", least=5.0
    )
    interrupts_after: float = setting(
        1.2, "Speech over the voice that stops it, whatever it says.", panel="rare", unit="s", least=0.3
    )

    def of(self, profile: str) -> "TalkSettings":
        """The settings, with the models of a profile in place of empty names."""
        names = profile_named(profile).models
        return replace(
            self, recogniser=self.recogniser or names["recogniser"], tts=self.tts or names["synthesiser"]
        )
