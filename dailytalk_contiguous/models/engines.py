"""Synthesisers by name: those of this package, a file each in `synthesisers`, and a person's own files.

An engine describes itself, in its `ENGINE`; no other code asks for its name. Its code is part of the digest of its
speech (`stages.synthesis.Speak.digest`), and that of no other engine is.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import is_dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path

import numpy as np

from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.settings import Setting, is_own_file, one_of, settings_in
from dailytalk_contiguous.core.sound.samples import HIGHEST_RATE, LOWEST_RATE, Samples
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.machine.own_file import from_own_file
from dailytalk_contiguous.models import synthesisers
from dailytalk_contiguous.models.contracts import (
    CLONE,
    NO_OPTIONS,
    Engine,
    Line,
    Reserve,
    Spoken,
    Synthesiser,
    SynthesisFailed,
    VoiceConverter,
    VoiceSample,
    VoiceSettings,
    free,
)

#: The names of the engines of this package: those of the files in `synthesisers`.
ENGINES = tuple(sorted(path.stem for path in Path(synthesisers.__path__[0]).glob("[a-z]*.py")))

#: The kinds of voices that `Engine.voices` may name, besides `any`.
VOICE_KINDS = ("male", "female")

# Settings that `speak`, `build` and `converse` have.

TTS = Setting(
    "Synthesiser: {choices}, or your own FILE.py that defines ENGINE.",
    option="tts",
    panel="voice",
    choices=ENGINES,
    takes_own_file=True,
    metavar="NAME|FILE.py",
    shown="the profile's",
    reference=True,
)
TTS_MODEL = Setting(
    "Model of the synthesiser: s1, s2-pro, …",
    option="tts_model",
    panel="voice",
    metavar="NAME",
    shown="the synthesiser's",
    reference=True,
)
VOICE = Setting(
    "Voice of the synthesiser: an ID, clone (the conversation's own speaker), or any (Fish chooses one for each "
    "line).",
    panel="voice",
    metavar="ID|clone|any",
    shown="the synthesiser's",
    reference=True,
)


def engine_named(name: str) -> Engine:
    """An engine of this package, or that of a person's own file (`my_voice.py`).

    Raises DailytalkError for a name that is none, and as `from_own_file` does.
    """
    if is_own_file(name):
        engine: Engine = from_own_file("--tts", name, "ENGINE", Engine, "ENGINE = Engine(...)")
        if engine.name in ENGINES:
            raise DailytalkError(f"--tts {name!r}: there is an engine {engine.name!r}", "give it another name")
        if not is_dataclass(engine.options) or isinstance(engine.options, type):
            reason = f"--tts {name!r}: the options of its ENGINE are no dataclass with values"
            remedy = "define a class with @dataclass(frozen=True), and give options=Options()"
            raise DailytalkError(reason, remedy)
        return engine
    listed = one_of("--tts", name, ENGINES)
    bundled: Engine = import_module(f"{synthesisers.__name__}.{listed}").ENGINE
    return bundled


@lru_cache(maxsize=4)
def load_synthesiser(name: str, chosen: VoiceSettings) -> Synthesiser:
    """The synthesiser of `engine_named` in this process. Raises DailytalkError for settings that it lacks.

    It has read the environment once: `load_synthesiser.cache_clear()` where that may have changed.
    """
    engine = engine_named(name)
    if chosen.voice == CLONE and not engine.clones:
        cloning = " or ".join(other for other in ENGINES if engine_named(other).clones)
        reason = f"{engine.name} can't speak in the voice of a sample"
        raise DailytalkError(reason, f"use --tts {cloning} with --voice clone")
    lacks_kind = chosen.voice in VOICE_KINDS and chosen.voice not in engine.voices
    if lacks_kind and engine.voices:  # without names for kinds, it may have a voice that is called so
        raise lacking_kind(engine, chosen.voice)
    options = engine.options if chosen.options == NO_OPTIONS else chosen.options
    model = chosen.model or engine.model
    voice = chosen.voice or engine.voice
    with one_sentence(engine.name):
        synthesiser = engine.load(chosen._replace(model=model, voice=voice, options=options))
        # Names that a person's own class has are left alone; they may be properties.
        if not synthesiser.engine:
            synthesiser.engine = engine.name
        if not synthesiser.model:
            synthesiser.model = model
        if not synthesiser.voice:
            synthesiser.voice = voice
        if is_own_file(name):
            synthesiser.other_options = _unnamed_options(synthesiser, options)
            # They go into the cache key, so they have to be JSON.
            json.dumps({**synthesiser.settings(), **synthesiser.other_options}, allow_nan=False)
    return synthesiser


def lacking_kind(engine: Engine, kind: str) -> DailytalkError:
    """The error for an engine without a voice of a kind (`VOICE_KINDS`); it names the engines that have one."""
    alternatives: list[str] = []
    for name in ENGINES:
        voice = engine_named(name).voices.get(kind)
        if voice is not None:
            alternatives.append(f"--tts {name} --voice {voice}" if voice else f"--tts {name}")
    remedy = f"name one of its voices, or use {' or '.join(alternatives)}"
    return DailytalkError(f"{engine.name} has no voice by the name {kind}", remedy)


def _unnamed_options(synthesiser: Synthesiser, options: object) -> dict[str, object]:
    """The options of an engine, by name, that its synthesiser does not name among its settings."""
    named = synthesiser.settings()
    unnamed: dict[str, object] = {}
    for placed in settings_in(options):
        is_named = placed.option in named or placed.name in named
        if not placed.execution and not is_named:
            unnamed[placed.option] = placed.value
    return unnamed


@contextmanager
def one_sentence(engine: str) -> Iterator[None]:
    """Raise DailytalkError in place of any exception of a person's own engine."""
    try:
        yield
    except DailytalkError:
        raise
    except Exception as error:  # whatever it does
        reason = f"the synthesiser {engine} can't be used ({_error_text(error)})"
        raise DailytalkError(reason, "fix it, or choose another --tts") from error


def _error_text(error: Exception) -> str:
    """An error of a person's own engine: its type and its message."""
    return f"{type(error).__name__}: {as_text(str(error))[:200]}"


def prepare_model(model: Synthesiser | VoiceConverter, fetch: bool) -> None:
    """Check that a model can be used and, if `fetch`, fetch its weights. Raises DailytalkError, whatever fails."""
    with one_sentence(model.engine):
        model.preflight()
        if fetch:
            model.fetch()


def portable_engine(name: str, options: object) -> tuple[str, object]:
    """Return the name and options of an engine for workers in another folder or process.

    A person's own file is named by its full path; NO_OPTIONS becomes the options of its ENGINE.
    """
    if not is_own_file(name):
        return name, options
    path = str(Path(name).absolute())
    if options == NO_OPTIONS:
        options = engine_named(path).options
    return path, options


def speaker_text(synthesiser: Synthesiser) -> str:
    """Who speaks, for people: the engine, and of a server where it is and whether it costs anything."""
    if not synthesiser.server:
        return synthesiser.engine
    costs = synthesiser.price([Line("a line", "", "en", 0)])
    text = f"{synthesiser.engine} at {synthesiser.server}"
    return text if costs else f"{text}, which costs nothing"


#: The largest sample of sound. Samples a little above 1 are limited where they are written; larger numbers are no
#: sound.
LOUDEST = 2.0


def synthesise(
    synthesiser: Synthesiser, line: Line, samples: Sequence[VoiceSample] = (), reserve: Reserve = free
) -> Spoken:
    """Say a line; the samples are float32. Raises as `Synthesiser.speak` does.

    It also raises SynthesisFailed for speech that can't be used, for any exception (one of a person's own engine
    costs a line, and not the run), and where the voice is to be cloned and `samples` are missing: services would
    take any voice.
    """
    if synthesiser.voice == CLONE and not samples:
        raise SynthesisFailed("there is no sample of the voice to clone", "name a voice for these lines")
    try:
        spoken = synthesiser.speak(line, samples, reserve)
        sound = np.asarray(spoken.samples)
        rate = int(spoken.sample_rate)
        cost = float(spoken.cost)
        words = None
        if spoken.words is not None:
            words = [Word(word.word, word.start, word.end, word.probability) for word in spoken.words]
        is_in_order = all(0 <= word.start <= word.end < np.inf for word in words or ())
    except DailytalkError:
        raise
    except Exception as error:  # whatever an engine does
        reason = f"{synthesiser.engine} failed ({_error_text(error)})"
        raise SynthesisFailed(reason, "fix it, or choose another --tts") from error
    is_mono = sound.ndim == 1 and sound.dtype.kind == "f"
    is_usable = {
        "mono samples from -1 to 1": is_mono and bool((np.abs(sound) <= LOUDEST).all()),
        "a sound": sound.size > 0,
        "words with their starts and ends in seconds, in order": is_in_order,
        f"{LOWEST_RATE} to {HIGHEST_RATE} Hz": LOWEST_RATE <= rate <= HIGHEST_RATE,
    }
    lacking = [name for name, usable in is_usable.items() if not usable]
    if lacking:
        raise SynthesisFailed(f"{synthesiser.engine} did not give {lacking[0]}", "run the same command again")
    return Spoken(sound.astype(np.float32, copy=False), rate, words, cost)


def load_converter(name: str, chosen: VoiceSettings) -> VoiceConverter:
    """The converter of an engine with `Engine.converts`.

    Raises DailytalkError as `load_synthesiser` does, and for an engine that loads no `VoiceConverter`.
    """
    converter = load_synthesiser(name, chosen)
    if not isinstance(converter, VoiceConverter):
        raise DailytalkError(
            f"--tts {name!r} converts, but its ENGINE loads no VoiceConverter", "let its class inherit from it"
        )
    return converter


def convert_side(converter: VoiceConverter, side: Samples, sample_rate: int, speaker: str) -> Samples:
    """Convert one side of a conversation: float32, shape (n,) as before. Raises as `VoiceConverter.convert` does.

    It also raises SynthesisFailed for sound that can't be used, and for any exception: one of a person's own
    engine costs a conversation, and not the run.
    """
    try:
        sound = np.asarray(converter.convert(side, sample_rate, speaker))
    except DailytalkError:
        raise
    except Exception as error:  # whatever an engine does
        reason = f"{converter.engine} failed ({_error_text(error)})"
        raise SynthesisFailed(reason, "fix it, or choose another --tts") from error
    is_sound = sound.shape == side.shape and sound.dtype.kind == "f"
    if not is_sound or not np.isfinite(sound).all():
        raise SynthesisFailed(
            f"{converter.engine} did not give {len(side):,} mono samples for as many", "choose another --tts"
        )
    return sound.astype(np.float32, copy=False)
