"""The parts of a talk, by its settings: recogniser, classifier, chat model, voice; and consent to a clone."""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from dailytalk_contiguous.apps.converse.chat import LISTENER, ChatSettings
from dailytalk_contiguous.apps.converse.chat_models import load_chat
from dailytalk_contiguous.apps.converse.dialogue import REPLY_TAGS, ReplySentence, SpokenFeeling, TurnRules
from dailytalk_contiguous.apps.converse.hearing import open_listening
from dailytalk_contiguous.apps.converse.talk import TalkParts, TurnFeeling
from dailytalk_contiguous.apps.converse.talk_record import keep_consent, talks_marker
from dailytalk_contiguous.core.audio import (
    ANALYSIS_RATE,
    Samples,
    encoded_sound,
    read_at,
    read_header,
    to_pcm,
    to_uri,
)
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.emotions import VOICE_LINEAR
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.machine import is_this_machine
from dailytalk_contiguous.core.outcome import to_run
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.utterance import AFFECT
from dailytalk_contiguous.models.budget import obtain, open_budget
from dailytalk_contiguous.models.contracts import (
    CLONE,
    NO_OPTIONS,
    Line,
    Spoken,
    Synthesiser,
    VoiceSample,
    VoiceSettings,
)
from dailytalk_contiguous.models.devices import resolve_device
from dailytalk_contiguous.models.emotion_models import load_emotion_model
from dailytalk_contiguous.models.engines import (
    ENGINES,
    TTS,
    TTS_MODEL,
    engine_named,
    load_synthesiser,
    speaker_text,
    synthesise,
)
from dailytalk_contiguous.models.linear_emotion import bundled_voice
from dailytalk_contiguous.models.profiles import EMBEDDED, profile_named
from dailytalk_contiguous.models.speech_cache import SpeechCache
from dailytalk_contiguous.models.whisper import RecogniserInput, check_whisper, recognise
from dailytalk_contiguous.pipelines.to_text import NO_MODEL
from dailytalk_contiguous.stages.base import ASR_MODEL, DEVICE
from dailytalk_contiguous.stages.classify_emotion import CONFIDENCE, EMOTION_MODEL

#: The prefix of `--voice` for a cloned voice, and the seconds of it that are used.
CLONED = "clone:"
SHORTEST_SAMPLE, LONGEST_SAMPLE = 3.0, 30.0

#: Bytes of a file of instructions.
_MOST_INSTRUCTIONS = 64 << 10

#: Confidence under which the chat model gets no emotion: higher than that of a column.
TOLD_CONFIDENCE = 0.5

_TAGS = ", ".join(f"({tag})" for tag in REPLY_TAGS)

INSTRUCTIONS = f"""\
You talk with somebody by voice. Answer in one to three short spoken sentences, without lists, markup or code.
After their words there may be a line such as [sounds sad (confidence 0.71); valence 0.31, arousal 0.22]. It is a
guess from the sound of their voice, each number from 0 to 1. Let it guide your tone. Don't read it out, and never
diagnose. You may begin a sentence with one tag that says how it is spoken: {_TAGS}.
A reply that ends in "— [interrupted]" was heard up to there.\
"""


@dataclass(frozen=True)
class TalkModels:
    """The models of a talk. An empty name is the profile's model."""

    recogniser: str = setting("", ASR_MODEL)
    language: str = setting("en", "ISO 639-1 code of what is spoken.", panel="models", metavar="CODE")
    emotion: str = setting(VOICE_LINEAR, EMOTION_MODEL)
    confidence: float = setting(TOLD_CONFIDENCE, CONFIDENCE)
    chat: str = setting(
        LISTENER,
        "Who answers: listener (rules), a model or its folder, or a server: http://HOST:PORT#MODEL.",
        panel="models",
        metavar="NAME|URL",
        reference=True,
    )
    reply_tokens: int = setting(200, "Tokens of a reply at most.", panel="models", least=16)
    memory_tokens: int = setting(
        2000, "Tokens that the chat model reads at most; older turns are summed up.", panel="models", least=256
    )
    patience: float = setting(
        30.0,
        "Without a first word for so long, a reply is given up.",
        option="reply_within",
        panel="rare",
        unit="s",
        least=1.0,
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
        None,
        "What this run may spend, all workers together.",
        panel="run",
        least=0,
        metavar="USD",
        execution=True,
    )
    device: str = setting("auto", DEVICE, execution=True)

    def of(self, profile: str) -> "TalkModels":
        """The models, with those of a profile in place of empty names."""
        names = profile_named(profile).models
        recogniser, tts = self.recogniser or names["recogniser"], self.tts or names["synthesiser"]
        return replace(self, recogniser=recogniser, tts=tts)


@dataclass(frozen=True)
class TalkVoice:
    """The voice of a talk, and its record. `sample`: of a cloned voice."""

    synthesiser: Synthesiser
    service: str
    sample: VoiceSample | None = None
    consent: dict[str, Any] | None = None


def read_instructions(path: Path | None) -> str:
    """The system prompt in a file or a pipe, or the default. Raises BadInput for what is too long or no text."""
    if path is None:
        return INSTRUCTIONS
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_INSTRUCTIONS + 1)
        if len(text) > _MOST_INSTRUCTIONS:
            raise BadInput(f"{as_text(path)!r} has more than {_MOST_INSTRUCTIONS >> 10} KiB", "shorten it")
        return text.decode("utf-8").strip()
    except OSError as error:
        raise BadInput(f"{as_text(path)!r} can't be read ({error.strerror})", "name a text file") from None
    except UnicodeDecodeError:
        raise BadInput(f"{as_text(path)!r} is no text in UTF-8", "save it as UTF-8") from None


def open_voice(models: TalkModels, out: Path | None, ask: Callable[[str], bool]) -> TalkVoice:
    """The synthesiser and voice of a talk.

    Args:
        models: the settings, with no name left empty.
        out: the folder of talks, which remembers consents; None for none.
        ask: a question to the person, before a voice is cloned for the first time.

    Raises DailytalkError for a missing model, a voice without consent, or an engine that can't clone.
    """
    synthesiser = synthesiser_of(models)
    host = urlsplit(synthesiser.server).hostname or ""
    service = "" if is_this_machine(host) else host
    if not models.voice.startswith(CLONED):
        return TalkVoice(synthesiser, service)
    path = Path(models.voice.removeprefix(CLONED))
    sample, digest = _read_sample(path)
    known = talks_marker(out)["consents"] if out else {}
    consent = known.get(digest)
    if consent is None:
        question = f"Is the voice in {as_text(path.name)!r} yours, or has its speaker agreed to be cloned?"
        if not ask(question):
            raise DailytalkError(
                f"the voice in {as_text(path)!r} is not cloned without consent",
                "ask its speaker, or choose another --voice",
            )
        now = datetime.now(UTC).isoformat(timespec="seconds")
        consent = {"question": question, "answer": "yes", "time": now, "sample_sha256": digest}
    spoken = RecogniserInput(sample, 24000, models.language)
    (words,) = recognise(models.recogniser, models.device, "auto", [spoken])
    text = "".join(word.text for word in words).strip()
    if not text:
        raise DailytalkError(f"no words are understood in {as_text(path)!r}", "give clear speech of one person")
    wav = encoded_sound(to_pcm(sample), 24000, "WAV")
    return TalkVoice(synthesiser, service, VoiceSample(wav, text), consent)


def free_voices(models: TalkModels) -> Iterator[tuple[str, str, TalkModels]]:
    """Yield the local voices without cost: name, command, and settings beside `EMBEDDED`."""
    for engine in ENGINES:
        chosen = replace(models, tts=engine, voice=models.voice or engine_named(engine).voices.get("any", ""))
        with suppress(DailytalkError):
            synthesiser = synthesiser_of(chosen)
            if not synthesiser.price([Line("Hello.", "", models.language, 0)]):
                voiced = ("--voice", chosen.voice) if chosen.voice else ()
                command = to_run("converse", "--profile", EMBEDDED, "--tts", engine, *voiced)
                yield speaker_text(synthesiser), command, chosen


def synthesiser_of(models: TalkModels) -> Synthesiser:
    """The synthesiser of a talk. Raises DailytalkError if it can't speak in the chosen voice."""
    voice = CLONE if models.voice.startswith(CLONED) else models.voice
    if voice in ("male", "female"):
        if voice not in (voices := engine_named(models.tts).voices):
            raise DailytalkError(f"{models.tts} has no voice by the name {voice}", "name one of its voices")
        voice = voices[voice]
    asked = VoiceSettings(models.tts_model, voice, concurrency=2, device=models.device, options=models.options)
    synthesiser = load_synthesiser(models.tts, asked)
    synthesiser.preflight()
    return synthesiser


def _read_sample(path: Path) -> tuple[Samples, str]:
    """Speech of a voice at 24 kHz, and its digest."""
    audio = {"bytes": None, "path": to_uri(path)}
    try:
        seconds = read_header(audio).seconds
        samples = read_at(audio, 24000, 0.0, min(seconds, LONGEST_SAMPLE)).mean(axis=1, dtype=np.float32)
    except OSError as error:
        raise BadInput(f"{as_text(path)!r} can't be read ({error.strerror})", "check the path") from None
    if seconds < SHORTEST_SAMPLE:
        raise BadInput(
            f"{as_text(path)!r} has {seconds:.1f} s of the voice", f"give {SHORTEST_SAMPLE:g} s or more of it"
        )
    return samples, hashlib.sha256(to_pcm(samples).tobytes()).hexdigest()


def _speaker_of(voice: TalkVoice, models: TalkModels) -> Callable[[ReplySentence], Spoken]:
    samples = [voice.sample] if voice.sample else []
    cache, money = SpeechCache(), open_budget(models.max_cost)

    def speak(sentence: ReplySentence) -> Spoken:
        line = Line(sentence.text, sentence.tag, models.language, 0)
        if voice.synthesiser.deterministic:  # it is made again in less time than it is looked up
            return synthesise(voice.synthesiser, line, samples)
        return obtain(voice.synthesiser, line, samples, cache, money)[1].spoken

    return speak


def _feeler(models: TalkModels) -> Callable[[Samples], TurnFeeling | None] | None:
    if models.emotion == NO_MODEL:
        return None
    classifier, rater = load_emotion_model(models.emotion, resolve_device(models.device)), bundled_voice()

    def feel(sound: Samples) -> TurnFeeling | None:
        (guess,) = classifier.classify([sound])
        (felt,) = (guess,) if classifier is rater else rater.classify([sound])
        if guess.reason or felt.reason:
            return None
        affect = dict(zip(AFFECT, rater.affect_of([felt.probabilities])[0].tolist(), strict=True))
        best = int(np.argmax(guess.probabilities))
        confidence = float(guess.probabilities[best])
        spoken = SpokenFeeling(classifier.classes[best], confidence, affect["valence"], affect["arousal"])
        shares = (float(share) for share in guess.probabilities)
        return TurnFeeling(classifier.name, dict(zip(classifier.classes, shares, strict=True)), affect, spoken)

    return feel


def open_parts(
    models: TalkModels,
    chatting: ChatSettings,
    rules: TurnRules,
    voice: TalkVoice,
    instructions: str,
    push_to_talk: bool = False,
    closes_microphone: bool = False,
) -> TalkParts:
    """Load all parts of a talk, and use each once, so that the first turn is as fast as any.

    Raises DailytalkError (ModelMissing) for a part that is missing or can't be reached.
    """
    if not re.fullmatch(r"[a-z]{2,3}", models.language) or models.language == "und":
        raise DailytalkError(
            f"a talk can't be in the language {models.language!r}", "give one code of ISO 639-1, such as en"
        )
    check_whisper(models.recogniser, models.device, "auto")
    chat = load_chat(models.chat, chatting)
    chat.preflight()
    speak, first = _speaker_of(voice, models), ReplySentence("", "Hello.", "Hello.")
    # Whether a server clones a voice, or is there, is known once it has spoken.
    if voice.sample or not voice.synthesiser.price([Line(first.text, "", models.language, 0)]):
        speak(first)
    listening = open_listening(models.recogniser, models.language, models.device)
    feel = _feeler(models)
    hiss = np.random.default_rng(0).normal(0, 0.01, ANALYSIS_RATE).astype(np.float32)
    if feel is not None:
        feel(hiss)
    listening().words(hiss)
    return TalkParts(
        listening,
        feel,
        chat,
        speak,
        instructions,
        models.language,
        rules,
        models.reply_tokens,
        models.memory_tokens,
        models.confidence,
        models.patience,
        push_to_talk,
        closes_microphone,
    )


def about_talk(models: TalkModels, parts: TalkParts, voice: TalkVoice) -> dict[str, Any]:
    """The facts on a talk for its record: its speakers and its models."""
    synthesiser = voice.synthesiser
    made_by = {
        "recogniser": models.recogniser,
        "emotion": models.emotion,
        "chat": parts.chat.name,
        "synthesiser": synthesiser.model or synthesiser.engine,
    }
    named = synthesiser.voice or synthesiser.engine
    return {
        "version": 1,
        "language": models.language,
        "speakers": {"left": f"{synthesiser.engine} {named}".strip(), "right": None},
        "services": sorted({*filter(None, (parts.chat.service, voice.service))}),
        "consent": voice.consent,
        "provenance": {
            "tool": "dailytalk converse",
            "voice": named,
            "models": {role: {"name": name} for role, name in made_by.items()},
        },
        "synthesis": {"engine": synthesiser.engine, "model": synthesiser.model, "voice": synthesiser.voice},
    }


def remember_consent(out: Path, voice: TalkVoice) -> None:
    """Keep the consent to a voice in the folder of talks, so that it is asked for once."""
    if voice.consent is not None:
        keep_consent(out, str(voice.consent["sample_sha256"]), voice.consent)
