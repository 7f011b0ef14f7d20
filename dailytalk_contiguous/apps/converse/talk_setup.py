"""The parts of a talk, by its settings: recogniser, classifier, chat model, voice; and consent to a clone."""

import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from dailytalk_contiguous.apps.converse.chat import load_chat
from dailytalk_contiguous.apps.converse.dialogue import REPLY_TAGS, Feeling, ReplySentence
from dailytalk_contiguous.apps.converse.talk import TalkParts
from dailytalk_contiguous.apps.converse.talk_settings import TalkSettings
from dailytalk_contiguous.core.audio import (
    ANALYSIS_RATE,
    Samples,
    encoded_sound,
    read_at,
    read_header,
    to_pcm,
    to_uri,
)
from dailytalk_contiguous.core.cutting import cut_long
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.levels import frame_levels
from dailytalk_contiguous.core.secrets import is_this_machine
from dailytalk_contiguous.core.utterance import AFFECT
from dailytalk_contiguous.core.word_times import Word
from dailytalk_contiguous.models.budget import obtain, open_budget
from dailytalk_contiguous.models.contracts import CLONE, Line, Spoken, Synthesiser, VoiceSample, VoiceSettings
from dailytalk_contiguous.models.devices import resolve_device
from dailytalk_contiguous.models.emotion_models import load_emotion_model
from dailytalk_contiguous.models.engines import engine_named, load_synthesiser, synthesise
from dailytalk_contiguous.models.linear_emotion import bundled_voice
from dailytalk_contiguous.models.speech_activity import FRAME_SECONDS
from dailytalk_contiguous.models.speech_cache import SpeechCache
from dailytalk_contiguous.models.whisper import (
    RecogniserInput,
    check_language,
    find_whisper,
    load_whisper,
    recognise,
)
from dailytalk_contiguous.pipelines.to_text import NO_MODEL

#: Seconds of a turn that a recogniser gets at once; a longer turn is cut where it is quietest.
LONGEST_WINDOW = 24.0


def open_listening(model: str, language: str, device: str = "auto") -> Callable[[Samples], list[Word]]:
    """Load a recogniser (`models.whisper.load_whisper`) for turns in a language (ISO 639-1).

    Raises ModelMissing for a missing model, and DailytalkError for a language that it does not know.
    """
    check_language(model, language)
    whisper = load_whisper(model, device, beam=1)

    def recognise_turn(turn: Samples) -> list[Word]:
        levels = frame_levels(turn, round(FRAME_SECONDS * ANALYSIS_RATE))
        pieces = cut_long([(0.0, len(turn) / ANALYSIS_RATE)], levels, FRAME_SECONDS, LONGEST_WINDOW)
        windows = np.split(turn, [round(piece.start * ANALYSIS_RATE) for piece in pieces[1:]])
        answers = whisper.transcribe(windows, [language] * len(windows))
        return [
            word._replace(start=word.start + piece.start, end=word.end + piece.start)
            for piece, answer in zip(pieces, answers, strict=True)
            for word in answer.words
        ]

    return recognise_turn


#: The prefix of `--voice` for a cloned voice, and the seconds of it that are used.
CLONED = "clone:"
SHORTEST_SAMPLE = 3.0
LONGEST_SAMPLE = 30.0

_TAGS = ", ".join(f"({tag})" for tag in REPLY_TAGS)

INSTRUCTIONS = f"""\
You talk with somebody by voice. Answer in one to three short spoken sentences, without lists, markup or code.
After their words there may be a line such as [sounds sad (confidence 0.71); valence 0.31, arousal 0.22]. It is a
guess from the sound of their voice, each number from 0 to 1. Let it guide your tone. Don't read it out, and never
diagnose. You may begin a sentence with one tag that says how it is spoken: {_TAGS}.
A reply that ends in "— [interrupted]" was heard up to there.\
"""


def read_instructions(path: Path | None) -> str:
    """The system prompt in a file or a pipe, or the default. Raises BadInput for what can't be read as UTF-8."""
    try:
        return path.read_text(encoding="utf-8").strip() if path else INSTRUCTIONS
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"--system can't be read ({error})", "name a text file in UTF-8") from None


def synthesiser_of(settings: TalkSettings) -> Synthesiser:
    """The synthesiser of a talk. Raises DailytalkError if it can't speak in the chosen voice."""
    if engine_named(settings.tts).converts:
        raise DailytalkError(
            f"--tts {settings.tts} converts recorded sound, and in a talk there is none",
            "choose one that says text",
        )
    voice = CLONE if settings.voice.startswith(CLONED) else settings.voice
    if voice in ("male", "female"):
        if voice not in (voices := engine_named(settings.tts).voices):
            raise DailytalkError(f"{settings.tts} has no voice by the name {voice}", "name one of its voices")
        voice = voices[voice]
    asked = VoiceSettings(
        settings.tts_model, voice, concurrency=2, device=settings.device, options=settings.options
    )
    synthesiser = load_synthesiser(settings.tts, asked)
    synthesiser.preflight()
    return synthesiser


class TalkVoice:
    """The voice of a talk.

    Args:
        settings: with no name left empty.
        ask: a question to the person, before a voice is cloned.

    Attributes:
        service: the host that sentences go to; empty where nothing leaves this machine.
        consent: to the clone, as the record keeps it; None without a clone.

    Raises DailytalkError for a missing model, a voice without consent, or an engine that can't clone.
    """

    def __init__(self, settings: TalkSettings, ask: Callable[[str], bool]) -> None:
        self.synthesiser = synthesiser_of(settings)
        host = urlsplit(self.synthesiser.server).hostname or ""
        self.service = "" if is_this_machine(host) else host
        self.consent: dict[str, Any] | None = None
        self.samples: list[VoiceSample] = []
        self._language = settings.language
        self._cache = SpeechCache()
        self._money = open_budget(settings.max_cost)
        if settings.voice.startswith(CLONED):
            self._clone(settings, Path(settings.voice.removeprefix(CLONED)), ask)

    def speak(self, sentence: ReplySentence) -> Spoken:
        line = Line(sentence.text, sentence.tag, self._language, 0)
        if self.synthesiser.deterministic:  # it is made again in less time than it is looked up
            return synthesise(self.synthesiser, line, self.samples)
        return obtain(self.synthesiser, line, self.samples, self._cache, self._money)[1].spoken

    def try_once(self) -> None:
        """Say a word, unless that costs money: whether a server clones a voice, or is there, is known then."""
        if self.samples or not self.synthesiser.price([Line("Hello.", "", self._language, 0)]):
            self.speak(ReplySentence("", "Hello.", "Hello."))

    def _clone(self, settings: TalkSettings, path: Path, ask: Callable[[str], bool]) -> None:
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
        question = f"Is the voice in {as_text(path.name)!r} yours, or has its speaker agreed to be cloned?"
        if not ask(question):
            raise DailytalkError(
                f"the voice in {as_text(path)!r} is not cloned without consent",
                "ask its speaker, or choose another --voice",
            )
        digest = hashlib.sha256(to_pcm(samples).tobytes()).hexdigest()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.consent = {"question": question, "answer": "yes", "time": now, "sample_sha256": digest}
        spoken = RecogniserInput(samples, 24000, settings.language)
        (words,) = recognise(settings.recogniser, settings.device, "auto", [spoken])
        text = "".join(word.text for word in words).strip()
        if not text:
            raise DailytalkError(
                f"no words are understood in {as_text(path)!r}", "give clear speech of one person"
            )
        self.samples = [VoiceSample(encoded_sound(to_pcm(samples), 24000, "WAV"), text)]


def _feeler(settings: TalkSettings) -> Callable[[Samples], Feeling | None]:
    classifier = load_emotion_model(settings.emotion, resolve_device(settings.device))
    rater = bundled_voice()

    def feel(sound: Samples) -> Feeling | None:
        (guess,) = classifier.classify([sound])
        (felt,) = (guess,) if classifier is rater else rater.classify([sound])
        if guess.reason or felt.reason:
            return None
        affect = rater.affect_of([felt.probabilities])[0].tolist()
        probabilities = map(float, guess.probabilities)
        return Feeling(
            classifier.name,
            dict(zip(classifier.classes, probabilities, strict=True)),
            dict(zip(AFFECT, affect, strict=True)),
        )

    return feel


def open_parts(settings: TalkSettings, voice: TalkVoice, instructions: str) -> TalkParts:
    """Load all parts of a talk, and use each once, so that the first turn is as fast as any.

    Raises DailytalkError (ModelMissing) for a part that is missing or can't be reached.
    """
    if not re.fullmatch(r"[a-z]{2,3}", settings.language) or settings.language == "und":
        raise DailytalkError(
            f"a talk can't be in the language {settings.language!r}", "give one code of ISO 639-1, such as en"
        )
    find_whisper(settings.recogniser)
    chat = load_chat(settings.chat, settings.device)
    chat.preflight()
    voice.try_once()
    recognise_turn = open_listening(settings.recogniser, settings.language, settings.device)
    feel = None if settings.emotion == NO_MODEL else _feeler(settings)
    hiss = np.random.default_rng(0).normal(0, 0.01, ANALYSIS_RATE).astype(np.float32)
    if feel is not None:
        feel(hiss)
    recognise_turn(hiss)
    return TalkParts(recognise_turn, feel, chat, voice.speak, instructions)


def about_talk(settings: TalkSettings, parts: TalkParts, voice: TalkVoice) -> dict[str, Any]:
    """The facts on a talk for its record: its speakers and its models."""
    synthesiser = voice.synthesiser
    named = synthesiser.voice or synthesiser.engine
    made_by = {
        "recogniser": settings.recogniser,
        "emotion": settings.emotion,
        "chat": parts.chat.name,
        "synthesiser": synthesiser.model or synthesiser.engine,
    }
    return {
        "version": 1,
        "language": settings.language,
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
