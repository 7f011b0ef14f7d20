"""The parts of a talk, by its settings: recogniser, classifier, chat model, voice; and consent to a clone."""

import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict
from urllib.parse import urlsplit

import numpy as np

from dailytalk_contiguous.apps.converse.chat import load_chat
from dailytalk_contiguous.apps.converse.dialogue import REPLY_TAGS, ReplySentence
from dailytalk_contiguous.apps.converse.talk import TalkParts
from dailytalk_contiguous.apps.converse.talk_settings import TalkSettings
from dailytalk_contiguous.apps.converse.turn_emotions import TurnEmotions
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.records.record import Speakers
from dailytalk_contiguous.core.sound.cutting import cut_long
from dailytalk_contiguous.core.sound.levels import frame_levels
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples, encoded_sound, to_pcm
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.machine.audio import audio_at, read_at, read_header
from dailytalk_contiguous.models.budget import obtain, open_budget
from dailytalk_contiguous.models.contracts import CLONE, Line, Spoken, Synthesiser, VoiceSample, VoiceSettings
from dailytalk_contiguous.models.devices import resolve_device
from dailytalk_contiguous.models.emotion_models import load_emotion_model
from dailytalk_contiguous.models.engines import (
    VOICE_KINDS,
    engine_named,
    lacking_kind,
    load_synthesiser,
    synthesise,
)
from dailytalk_contiguous.models.speech_activity import FRAME_SECONDS
from dailytalk_contiguous.models.speech_cache import SpeechCache
from dailytalk_contiguous.models.whisper import (
    RecogniserInput,
    check_language,
    load_whisper,
    recognise,
    resolve_whisper,
)
from dailytalk_contiguous.pipelines.to_text import NO_MODEL
from dailytalk_contiguous.store.secrets import is_this_machine

#: Seconds of a turn that a recogniser gets at once; a longer turn is cut where it is quietest.
LONGEST_WINDOW = 24.0


def open_listening(model: str, language: str, device: str = "auto") -> Callable[[Samples], list[Word]]:
    """Load a recogniser (`models.whisper.load_whisper`) for turns in a language (ISO 639-1).

    Raises ModelMissing for a missing model, and DailytalkError for a language that it does not know.
    """
    check_language(model, language)
    whisper = load_whisper(model, device, beam=1)

    def recognise_turn(turn: Samples) -> list[Word]:
        seconds = len(turn) / ANALYSIS_RATE
        levels = frame_levels(turn, round(FRAME_SECONDS * ANALYSIS_RATE))
        pieces = cut_long([(0.0, seconds)], levels, FRAME_SECONDS, LONGEST_WINDOW)
        cuts = [round(piece.start * ANALYSIS_RATE) for piece in pieces[1:]]
        windows = np.split(turn, cuts)
        answers = whisper.transcribe(windows, [language] * len(windows))
        words: list[Word] = []
        for piece, answer in zip(pieces, answers, strict=True):
            for word in answer.words:
                start = word.start + piece.start
                end = word.end + piece.start
                words.append(word.moved_to(start, end))
        return words

    return recognise_turn


#: The prefix of `--voice` for a cloned voice.
CLONED = "clone:"

#: Hz of the sample that a synthesiser gets.
_SAMPLE_RATE = 24000

_TAGS = ", ".join(f"({tag})" for tag in REPLY_TAGS)

INSTRUCTIONS = f"""\
You talk with somebody by voice. Answer in one to three short spoken sentences, without lists, markup or code.
After their words there may be a line such as [sounds sad (confidence 0.71); valence 0.31, arousal 0.22], or
[valence 0.31, arousal 0.22] where no feeling is clear. It is a guess from the sound of their voice, each number
from 0 to 1. Let it guide your tone. Don't read it out, and never diagnose.
You may begin a sentence with one tag that says how it is spoken: {_TAGS}.
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
    engine = engine_named(settings.tts)
    if engine.converts:
        raise DailytalkError(
            f"--tts {settings.tts} converts recorded sound, but a talk has none",
            "choose one that says text",
        )
    voice = CLONE if settings.voice.startswith(CLONED) else settings.voice
    if voice in VOICE_KINDS:
        if voice not in engine.voices:
            raise lacking_kind(engine, voice)
        voice = engine.voices[voice]
    voice_settings = VoiceSettings(
        settings.tts_model, voice, concurrency=2, device=settings.device, options=settings.options
    )
    synthesiser = load_synthesiser(settings.tts, voice_settings)
    synthesiser.preflight()
    return synthesiser


class Consent(TypedDict):
    """The consent of a speaker to be cloned, as the record of a talk keeps it.

    `time` is in UTC, ISO 8601; `sample_sha256` is the digest of the sample's 16-bit PCM.
    """

    question: str
    answer: str
    time: str
    sample_sha256: str


class TalkVoice:
    """The voice of a talk.

    Args:
        settings: with no name left empty.
        ask: a question to the person, before a voice is cloned.

    Attributes:
        service: the host that sentences go to; empty where nothing leaves this machine.
        consent: of the cloned speaker; None without a clone.

    Raises DailytalkError for a missing model, a voice without consent, or an engine that can't clone.
    """

    def __init__(self, settings: TalkSettings, ask: Callable[[str], bool]) -> None:
        self.synthesiser = synthesiser_of(settings)
        host = urlsplit(self.synthesiser.server).hostname or ""
        self.service = "" if is_this_machine(host) else host
        self.consent: Consent | None = None
        self.samples: list[VoiceSample] = []
        self._language = settings.language
        self._cache = SpeechCache()
        self._budget = open_budget(settings.max_cost_usd)
        if settings.voice.startswith(CLONED):
            self._clone(settings, Path(settings.voice.removeprefix(CLONED)), ask)

    def speak(self, sentence: ReplySentence) -> Spoken:
        """The sound of a sentence."""
        line = Line(sentence.text, sentence.tag, self._language, 0)
        if self.synthesiser.deterministic:  # it is made again in less time than it is looked up
            return synthesise(self.synthesiser, line, self.samples)
        _, obtained = obtain(self.synthesiser, line, self.samples, self._cache, self._budget)
        return obtained.spoken

    def try_once(self) -> None:
        """Say a word, unless that costs money: it shows whether a server answers, and clones the voice."""
        hello = Line("Hello.", "", self._language, 0)
        if self.samples or not self.synthesiser.price([hello]):
            self.speak(ReplySentence("", "Hello.", "Hello."))

    def _clone(self, settings: TalkSettings, path: Path, ask: Callable[[str], bool]) -> None:
        """Read the sample of a voice, ask for consent, and recognise the words of the sample."""
        name = as_text(path)
        samples = _read_sample(path)
        question = f"Is the voice in {as_text(path.name)!r} yours, or has its speaker agreed to be cloned?"
        if not ask(question):
            raise DailytalkError(
                f"the voice in {name!r} is not cloned without consent",
                "ask its speaker, or choose another --voice",
            )
        pcm = to_pcm(samples)
        self.consent = {
            "question": question,
            "answer": "yes",
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "sample_sha256": hashlib.sha256(pcm.tobytes()).hexdigest(),
        }
        recogniser_input = RecogniserInput(samples, _SAMPLE_RATE, settings.language)
        (words,) = recognise(settings.recogniser, settings.device, "auto", [recogniser_input])
        text = "".join(word.word for word in words).strip()
        if not text:
            raise DailytalkError(f"no words were recognised in {name!r}", "give clear speech of one person")
        sound = encoded_sound(pcm, _SAMPLE_RATE, "WAV")
        self.samples = [VoiceSample(sound, text)]


#: Seconds that a sample of a voice to clone has at least.
SHORTEST_SAMPLE = 3.0


def _read_sample(path: Path) -> Samples:
    """The sample of a voice at `_SAMPLE_RATE`. Raises BadInput for one that is too short or can't be read."""
    audio = audio_at(path)
    name = as_text(path)
    try:
        seconds = read_header(audio).seconds
        both = read_at(audio, _SAMPLE_RATE, 0.0, min(seconds, 30.0))
    except OSError as error:
        raise BadInput(f"{name!r} can't be read ({error.strerror})", "check the path") from None
    if seconds < SHORTEST_SAMPLE:
        raise BadInput(f"{name!r} has {seconds:.1f} s of the voice", f"give {SHORTEST_SAMPLE:g} s or more of it")
    samples: Samples = both.mean(axis=1, dtype=np.float32)
    return samples


def open_parts(settings: TalkSettings, voice: TalkVoice, instructions: str) -> TalkParts:
    """Load all parts of a talk, and use each once, so that the first turn is as fast as any.

    Raises DailytalkError (ModelMissing) for a part that is missing or can't be reached.
    """
    if not re.fullmatch(r"[a-z]{2,3}", settings.language) or settings.language == "und":
        raise DailytalkError(
            f"a talk can't be in the language {settings.language!r}", "give one code of ISO 639-1, such as en"
        )
    resolve_whisper(settings.recogniser)
    chat = load_chat(settings.chat)
    chat.preflight()
    voice.try_once()
    recognise_turn = open_listening(settings.recogniser, settings.language, settings.device)
    hiss = np.random.default_rng(0).normal(0, 0.01, ANALYSIS_RATE).astype(np.float32)
    recognise_turn(hiss)
    classify = None
    if settings.emotion != NO_MODEL:
        classifier = load_emotion_model(settings.emotion, resolve_device(settings.device))
        TurnEmotions(classifier)(hiss, 0.0)  # nobody said it: the talk's own begins without it
        classify = TurnEmotions(classifier, settings.confidence)
    return TalkParts(recognise_turn, classify, chat, voice.speak, instructions)


class TalkProvenance(TypedDict):
    """The program, the voice and the models of a talk; a model by its role."""

    tool: str
    voice: str
    models: dict[str, dict[str, str]]


class TalkFacts(TypedDict):
    """The facts on a talk that its record has beside its utterances.

    `services` are the hosts that words or sound go to. `synthesis` has the `engine`, `model` and `voice`.
    """

    version: int
    language: str
    speakers: Speakers
    services: list[str]
    consent: Consent | None
    provenance: TalkProvenance
    synthesis: dict[str, str]


def about_talk(settings: TalkSettings, parts: TalkParts, voice: TalkVoice) -> TalkFacts:
    """The facts on a talk for its record: its speakers and its models."""
    synthesiser = voice.synthesiser
    voice_name = synthesiser.voice or synthesiser.engine
    services = {parts.chat.service, voice.service} - {""}
    models = {
        "recogniser": settings.recogniser,
        "emotion": settings.emotion,
        "chat": parts.chat.name,
        "synthesiser": synthesiser.model or synthesiser.engine,
    }
    provenance: TalkProvenance = {
        "tool": "dailytalk converse",
        "voice": voice_name,
        "models": {role: {"name": name} for role, name in models.items()},
    }
    synthesis = {
        "engine": synthesiser.engine,
        "model": synthesiser.model,
        "voice": synthesiser.voice,
    }
    return {
        "version": 1,
        "language": settings.language,
        "speakers": {"left": f"{synthesiser.engine} {voice_name}".strip(), "right": None},
        "services": sorted(services),
        "consent": voice.consent,
        "provenance": provenance,
        "synthesis": synthesis,
    }
