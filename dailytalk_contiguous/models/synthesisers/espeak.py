"""The espeak-ng synthesiser: small, robotic, a hundred languages, exact word times.

Its library comes as the wheel `espeakng-loader` (an optional extra, GPL-3, loaded when it is first needed) and
is called through ctypes. It carries its noise and phase from one line into the next and no call clears them, so
it is loaded again for each line (3 ms): otherwise a line would depend on those said before it, and so on how the
work was cut.
"""

import ctypes
import importlib
import importlib.metadata
import sys
import threading
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from math import log2
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.licensing import Licence
from dailytalk_contiguous.core.sound.samples import pcm_to_float
from dailytalk_contiguous.core.spans import TimeSpan
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.core.words.word_times import share_spans, split_words
from dailytalk_contiguous.models.contracts import (
    Engine,
    Line,
    Reserve,
    Spoken,
    Synthesiser,
    SynthesisFailed,
    VoiceSample,
    free,
)
from dailytalk_contiguous.models.style_prosody import STYLE_PROSODY, StyleProsody, prosody_of_tag

WHEEL = "espeakng-loader"
ESPEAK_REMEDY = "pip install '.[espeak]' in a checkout of dailytalk_contiguous"

#: Voices of ISO 639-1 languages that espeak knows by another name than the language's.
VOICES = {"en": "en-us", "zh": "cmn", "no": "nb", "nn": "nb", "iw": "he", "in": "id"}

# Numbers from espeak-ng's speak_lib.h (API revision 12).

#: The variant of any voice that has breath in place of a tone.
_WHISPER = "+whisper"

#: The library is one set of global variables, so one line at a time in the whole process.
_LOCK = threading.Lock()


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


class EspeakEvent(NamedTuple):
    """An event of espeak: its type, the character of the text (from 0), the sample, and a phoneme's name."""

    type: int
    position: int
    sample: int
    phoneme: bytes


class Espeak(Synthesiser):
    """Says lines with espeak-ng. Every take of a line is the same.

    Args:
        voice: an espeak voice such as `en-gb-scotland`; a variant such as `+f3`, added to the voice of the line's
            language; or nothing for that voice alone.
    """

    engine = "espeak"
    model = "espeak-ng"
    deterministic = True

    def __init__(self, voice: str = "") -> None:
        self.voice = voice

    def settings(self) -> dict[str, object]:
        manners = {tag: list(manner) for tag, manner in STYLE_PROSODY.items()}
        return {"version": _wheel_version(), "manners": manners}

    def preflight(self) -> None:
        """Raise DailytalkError unless the wheel is there, loads, and knows the voice."""
        _wheel_version()
        with _LOCK, _library() as (library, _rate):
            _choose_voice(library, self._voice_of("en", prosody_of_tag("")), "en")

    def refuse_language(self, language: str) -> None:
        """Raise SynthesisFailed for a language of which espeak has no voice."""
        with _LOCK, _library() as (library, _rate):
            _choose_voice(library, self._voice_of(language, prosody_of_tag("")), language)

    def speak(self, line: Line, samples: Sequence[VoiceSample] = (), reserve: Reserve = free) -> Spoken:
        """Say a line. Word times are espeak's own; a word is one of `core.words.word_times.split_words`.

        Raises SynthesisFailed for a line with nothing to say or of a language without a voice, and DailytalkError
        for a voice that is not there, or if the voice of `samples` is requested: espeak clones none.
        """
        text = line.text.replace("\0", " ")
        voice = self._voice_of(line.language, prosody_of_tag(line.tag))
        sound, events, rate = _synthesise(text, voice, line)
        words = espeak_word_times(text, events, rate, len(sound) / rate)
        if not words:
            raise SynthesisFailed(
                f"espeak finds nothing to say in {line.text!r}", "give it words, or delete the line"
            )
        return Spoken(sound, rate, words, 0.0)

    def _voice_of(self, language: str, prosody: StyleProsody) -> str:
        voice = self.voice
        if voice == "" or voice.startswith("+"):
            voice = VOICES.get(language or "en", language) + voice
        if prosody.whispered:
            return voice.split("+")[0] + _WHISPER
        return voice


def espeak_word_times(text: str, events: Sequence[EspeakEvent], sample_rate: int, duration: float) -> list[Word]:
    """Times of every written word of a text, from espeak's events; empty if it said nothing.

    espeak reads "25" as two words and "out of" as one. So each of its words goes to the written word in which it
    starts, and a written word without any shares the sound of the one before it, by `sound_length`. A word ends
    with its last sound, before any pause.
    """
    words = split_words(text)
    letters = [position for position, letter in enumerate(text) if not letter.isspace()]
    starts: list[int] = []  # the position in the text where each of its words begins
    n_before = 0
    for word in words:
        starts.append(letters[n_before])
        n_before += len(word)
    sounds: dict[int, TimeSpan] = {}
    for position, first, last in _word_sounds(events):
        number = _written_word(text, words, starts, position)
        start, _ = sounds.get(number, (first / sample_rate, 0.0))
        sounds[number] = (start, last / sample_rate)
    return share_spans(words, sounds, duration)


#: Event: a word begins.
_WORD = 1

#: Event: a sentence or clause ends.
_END = 5

#: Event: a phoneme begins.
_PHONEME = 7


def _word_sounds(events: Sequence[EspeakEvent]) -> Iterator[tuple[int, int, int]]:
    """Text position, first sample and last sample of every word that espeak said, without pauses around it."""
    borders = [index for index, event in enumerate(events) if event.type in (_WORD, _END)]
    for index, following in pairwise(borders):
        if events[index].type != _WORD:
            continue
        phonemes = [event for event in events[index:following] if event.type == _PHONEME]
        voiced = [number for number, event in enumerate(phonemes) if not event.phoneme.startswith(b"_")]
        if not voiced:
            continue
        # The closure of a first stop is before its phoneme's event, but after that of the word.
        start = events[index].sample
        if voiced[0]:
            start = phonemes[voiced[0]].sample
        end = events[following].sample
        behind = voiced[-1] + 1
        if behind < len(phonemes):
            end = phonemes[behind].sample
        yield events[index].position, start, end


#: Punctuation that is read aloud where it is a word by itself ("Tom & Jerry"); symbols ("+") always are.
_SPOKEN_MARKS = frozenset("&%@#*/\\")


def _written_word(text: str, words: Sequence[str], starts: Sequence[int], position: int) -> int:
    """The number of the written word that is meant by a position in the text.

    At the start of a clause espeak points at the dash or blank before the word that it says.
    """
    number = max(0, bisect_right(starts, position) - 1)
    is_last = number + 1 >= len(words)
    if is_last:
        return number
    for letter in text[position : starts[number + 1]]:
        if letter.isalnum() or letter in _SPOKEN_MARKS or unicodedata.category(letter).startswith("S"):
            return number  # it is read aloud
    return number + 1


#: Seed of the noise in its consonants: the same line is the same sound.
NOISE_SEED = 1

#: The encoding of a text.
_UTF8 = 1

_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


def _synthesise(text: str, voice: str, line: Line) -> tuple[NDArray[np.float32], list[EspeakEvent], int]:
    """Samples in [-1, 1], events, and the rate in Hz."""
    blocks: list[bytes] = []
    events: list[EspeakEvent] = []

    def collect(wave: int | None, n_samples: int, first_event: "ctypes._Pointer[_Event]") -> int:
        if wave and n_samples:
            blocks.append(ctypes.string_at(wave, 2 * n_samples))
        index = 0
        while first_event[index].type:
            event = first_event[index]
            position = event.text_position - 1  # espeak counts from 1
            events.append(EspeakEvent(event.type, position, event.sample, bytes(event.id)))
            index += 1
        return 0

    callback = _CALLBACK(collect)
    with _LOCK, _library() as (library, rate):
        library.espeak_SetSynthCallback(callback)
        library.espeak_ng_SetRandSeed(ctypes.c_long(NOISE_SEED))
        _choose_voice(library, voice, line.language)
        for parameter, value in parameters(prosody_of_tag(line.tag)).items():
            library.espeak_SetParameter(parameter, value, 0)
        encoded = text.encode()
        n_bytes = ctypes.c_size_t(len(encoded) + 1)
        failed = library.espeak_Synth(encoded, n_bytes, 0, 1, 0, _UTF8, None, None)
    if failed:  # what it has said until then is not the line
        raise SynthesisFailed(f"espeak failed with status {failed} on {text!r}", "reword or delete the line")
    return pcm_to_float(b"".join(blocks)), events, rate


#: Words a minute that espeak takes for normal speech.
NEUTRAL_RATE = 175

#: Parameter: words a minute.
_RATE = 1

#: Parameter: loudness.
_VOLUME = 2

#: Parameter: pitch.
_ESPEAK_PITCH = 3

#: Parameter: range of pitch.
_RANGE = 4

#: Its pitch setting runs from 0 to 100 around 50; 100 is about this multiple of the voice's pitch.
_HIGHEST_PITCH = 1.9

#: Volume setting of neutral speech. espeak's own 100 leaves no room for a louder style before 16 bits overflow.
_NEUTRAL_VOLUME = 50.0


def parameters(prosody: StyleProsody) -> dict[int, int]:
    """Return the settings of espeak for a style, by parameter: words a minute, and numbers around 50."""
    rate = min(450.0, max(80.0, NEUTRAL_RATE * prosody.rate))
    volume = _NEUTRAL_VOLUME * 10 ** (prosody.gain_db / 20)
    pitch = 50 + 50 * log2(prosody.pitch) / log2(_HIGHEST_PITCH)
    pitch = min(100.0, max(0.0, pitch))
    pitch_range = min(100.0, 50 * prosody.pitch_range)
    return {_RATE: round(rate), _VOLUME: round(volume), _ESPEAK_PITCH: round(pitch), _RANGE: round(pitch_range)}


def _choose_voice(library: ctypes.CDLL, voice: str, language: str) -> None:
    failed = library.espeak_SetVoiceByName(voice.encode())
    if not failed:
        return
    reason = f"espeak has no voice {quoted(voice)} (language {quoted(language)})"
    remedy = "tag with --language, or choose another --voice (en-us, en-029, de, +f3, ...), or another --tts"
    # A language is of a line, and others may have a voice; a voice is of the run.
    if language and voice.startswith(language):
        raise SynthesisFailed(reason, remedy)
    raise DailytalkError(reason, remedy)


#: The output of `espeak_Initialize` that hands over samples and returns when all is said.
_SYNCHRONOUS = 2

#: Option of `espeak_Initialize`: phonemes are events, too.
_PHONEME_EVENTS = 0x0001

#: Option of `espeak_Initialize`: a missing file does not end the process.
_DONT_EXIT = 0x8000


@contextmanager
def _library() -> Iterator[tuple[ctypes.CDLL, int]]:
    """A freshly loaded library and its sample rate in Hz; the caller holds the lock."""
    try:
        loader = importlib.import_module("espeakng_loader")
    except ImportError as error:
        raise DailytalkError("espeak's library is not installed", ESPEAK_REMEDY) from error
    try:
        library = ctypes.CDLL(loader.get_library_path())
    except OSError as error:
        raise DailytalkError(f"espeak's library can't be loaded: {error}", ESPEAK_REMEDY) from error
    try:
        data = loader.get_data_path().encode()
        options = _PHONEME_EVENTS | _DONT_EXIT
        rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data, options)
        yield library, rate
        library.espeak_Terminate()
    finally:
        calls = importlib.import_module("_ctypes")  # ctypes itself never lets a library go
        if sys.platform == "win32":
            calls.FreeLibrary(library._handle)
        else:
            calls.dlclose(library._handle)


def _wheel_version() -> str:
    try:
        return importlib.metadata.version(WHEEL)
    except importlib.metadata.PackageNotFoundError as error:
        raise DailytalkError("espeak's library is not installed", ESPEAK_REMEDY) from error


LICENCE = Licence("GPL-3.0-or-later", "https://github.com/espeak-ng/espeak-ng", "of the program, not its output")

ENGINE = Engine(
    "espeak",
    lambda chosen: Espeak(chosen.voice),
    LICENCE,
    tags="fish-s1",
    voices={"male": "", "female": "+f3"},
)
