"""espeak-ng, the synthesiser of the embedded profile: small, robotic, a hundred languages, exact word times.

Its library comes as the wheel `espeakng-loader` (an optional extra, GPL-3, loaded when it is first needed) and is
called through ctypes. It carries its noise and phase from one line into the next and no call clears them, so it is
loaded anew for each line (3 ms): otherwise a line would depend on those said before it, and so on how the work
was cut.
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
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.matching import split_words
from dailytalk_contiguous.core.packing import Word, fit
from dailytalk_contiguous.core.word_times import sound_length
from dailytalk_contiguous.models.manners import MANNERS, Manner, manner_of
from dailytalk_contiguous.models.synthesiser import Line, Reserve, Spoken, SynthesisFailed, VoiceSample, free

WHEEL = "espeakng-loader"
REMEDY = 'pip install "dailytalk-contiguous[espeak]"'

#: Voices of ISO 639-1 languages that espeak knows by another name than the language's.
VOICES = {"en": "en-us", "zh": "cmn", "no": "nb", "nn": "nb", "iw": "he", "in": "id"}

#: Words a minute that espeak takes for normal speech.
NEUTRAL_RATE = 175

# From espeak-ng's speak_lib.h (API revision 12).
_SYNCHRONOUS, _PHONEME_EVENTS, _DONT_EXIT, _UTF8 = 2, 0x0001, 0x8000, 1
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_WORD, _END, _PHONEME = 1, 5, 7

#: Its pitch setting runs from 0 to 100 around 50; 100 is about this multiple of the voice's pitch.
_HIGHEST_PITCH = 1.9

#: Volume setting of neutral speech. espeak's own 100 leaves no room for a louder manner before 16 bits overflow.
_NEUTRAL_VOLUME = 50.0

#: The variant of any voice that has breath in place of a tone.
_WHISPER = "+whisper"

#: Punctuation that is read aloud where it stands alone ("Tom & Jerry"); symbols ("+") always are.
_SPOKEN_MARKS = frozenset("&%@#*/\\")

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


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


class Event(NamedTuple):
    """An event of espeak: its type, the character of the text (from 0), the sample, and a phoneme's name."""

    type: int
    position: int
    sample: int
    phoneme: bytes


class Espeak:
    """Says lines with espeak-ng. Every take of a line is the same.

    Args:
        voice: an espeak voice such as `en-gb`; a variant such as `+f3`, added to the voice of the line's
            language; or nothing for that voice alone.
    """

    def __init__(self, voice: str = "") -> None:
        self.engine = "espeak"
        self.model = "espeak-ng"
        self.voice = voice
        self.concurrency = 1
        self.deterministic = True

    def settings(self) -> dict[str, object]:
        """The wheel's version and the table of manners."""
        return {"version": _wheel_version(), "manners": {tag: list(manner) for tag, manner in MANNERS.items()}}

    def price(self, lines: Sequence[Line]) -> float:
        return 0.0

    def preflight(self) -> None:
        """Raise DailytalkError unless the wheel is there, loads, and knows the voice."""
        _wheel_version()
        with _LOCK, _library() as (library, _rate):
            _choose_voice(library, self._voice_of("en", manner_of("")), "en")

    def speak(self, line: Line, samples: Sequence[VoiceSample] = (), reserve: Reserve = free) -> Spoken:
        """Say a line. Word times are espeak's own; a word is one of `core.matching.split_words`.

        Raises SynthesisFailed for a line with nothing to say or of a language without a voice, and DailytalkError
        for a voice that is not there, or if the voice of `samples` is asked for: espeak clones none.
        """
        if samples:
            raise DailytalkError(
                "espeak can't speak in the voice of a sample", "use --tts fish with --voice clone"
            )
        text = line.text.replace("\0", " ")
        voice = self._voice_of(line.language, manner_of(line.tag))
        sound, events, rate = _synthesise(text, voice, line)
        words = time_words(text, events, rate, len(sound) / rate)
        if not words:
            raise SynthesisFailed(
                f"espeak finds nothing to say in {line.text!r}", "give it words, or delete the line"
            )
        return Spoken(sound, rate, words, 0.0)

    def _voice_of(self, language: str, manner: Manner) -> str:
        spoken = VOICES.get(language or "en", language)
        voice = spoken + self.voice if self.voice[:1] in ("", "+") else self.voice
        return voice.split("+")[0] + _WHISPER if manner.whispered else voice


def time_words(text: str, events: Sequence[Event], sample_rate: int, duration: float) -> list[Word]:
    """Times of every written word of a text, from espeak's events; empty if it said nothing.

    espeak reads "25" as two words and "out of" as one. So each of its words goes to the written word in which it
    starts, and a written word without any shares the sound of the one before it, by `sound_length`. A word ends
    with its last sound, before any pause.
    """
    words = split_words(text)
    starts = _word_starts(text, words)
    sounds: dict[int, tuple[float, float]] = {}
    for place, first, last in _said(events):
        number = _written_word(text, words, starts, place)
        begun, _ = sounds.get(number, (first / sample_rate, 0.0))
        sounds[number] = (begun, last / sample_rate)
    if not sounds:
        return []
    timed: list[Word] = []
    heads = sorted(sounds)
    heads[0] = 0  # what has no sound before the first one shares with it
    sounds[0] = sounds.get(0, sounds[min(sounds)])
    for head, following in zip(heads, [*heads[1:], len(words)], strict=True):
        start, end = sounds[head]
        borders = np.cumsum([0.0, *(sound_length(word) for word in words[head:following])])
        edges = (start + (end - start) * borders / borders[-1]).tolist()
        timed += [
            Word(word, edges[index], edges[index + 1], 1.0) for index, word in enumerate(words[head:following])
        ]
    return fit(timed, duration)


def _said(events: Sequence[Event]) -> Iterator[tuple[int, int, int]]:
    """Text position, first sample and last sample of every word that espeak said, without pauses around it."""
    borders = [index for index, event in enumerate(events) if event.type in (_WORD, _END)]
    for index, following in pairwise(borders):
        if events[index].type != _WORD:
            continue
        inner = [event for event in events[index:following] if event.type == _PHONEME]
        voiced = [number for number, event in enumerate(inner) if not event.phoneme.startswith(b"_")]
        if not voiced:
            continue
        # The closure of a first stop lies before its phoneme's event, but after that of the word.
        start = inner[voiced[0]].sample if voiced[0] else events[index].sample
        end = inner[voiced[-1] + 1].sample if voiced[-1] + 1 < len(inner) else events[following].sample
        yield events[index].position, start, end


def _word_starts(text: str, words: Sequence[str]) -> list[int]:
    """The place in the text where each of its words begins."""
    starts = []
    at = 0
    for word in words:
        at = text.index(word.split()[0], at)
        starts.append(at)
        for piece in word.split():
            at = text.index(piece, at) + len(piece)
    return starts


def _written_word(text: str, words: Sequence[str], starts: Sequence[int], place: int) -> int:
    """The number of the written word that is meant by a place in the text.

    At the start of a clause espeak points at the dash or blank before the word that it says.
    """
    number = max(0, bisect_right(starts, place) - 1)
    end = starts[number + 1] if number + 1 < len(starts) else len(text)
    names_it = any(letter.isalnum() or _is_read(letter) for letter in text[place:end])
    return number if names_it or number + 1 == len(words) else number + 1


def _is_read(letter: str) -> bool:
    return letter in _SPOKEN_MARKS or unicodedata.category(letter).startswith("S")


def _synthesise(text: str, voice: str, line: Line) -> tuple[NDArray[np.float32], list[Event], int]:
    """Samples in [-1, 1], events, and the rate in Hz."""
    blocks: list[bytes] = []
    events: list[Event] = []

    def collect(wave: int | None, n_samples: int, given: Any) -> int:
        if wave and n_samples:
            blocks.append(ctypes.string_at(wave, 2 * n_samples))
        index = 0
        while given[index].type:
            event = given[index]
            events.append(Event(event.type, event.text_position - 1, event.sample, bytes(event.id)))
            index += 1
        return 0

    callback = _CALLBACK(collect)
    with _LOCK, _library() as (library, rate):
        library.espeak_SetSynthCallback(callback)
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        _choose_voice(library, voice, line.language)
        for parameter, value in parameters(manner_of(line.tag)).items():
            library.espeak_SetParameter(parameter, value, 0)
        encoded = text.encode()
        failed = library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded) + 1), 0, 1, 0, _UTF8, None, None)
    if failed:
        raise SynthesisFailed(f"espeak failed with status {failed} on {text!r}", "reword or delete the line")
    return np.frombuffer(b"".join(blocks), "<i2").astype(np.float32) / np.float32(32768), events, rate


def parameters(manner: Manner) -> dict[int, int]:
    """espeak's own settings for a manner, by parameter: words a minute, and numbers around 50."""
    return {
        _RATE: round(min(450.0, max(80.0, NEUTRAL_RATE * manner.rate))),
        _VOLUME: round(_NEUTRAL_VOLUME * 10 ** (manner.gain_db / 20)),
        _PITCH: round(min(100.0, max(0.0, 50 + 50 * log2(manner.pitch) / log2(_HIGHEST_PITCH)))),
        _RANGE: round(min(100.0, 50 * manner.pitch_range)),
    }


def _choose_voice(library: Any, voice: str, language: str) -> None:
    if library.espeak_SetVoiceByName(voice.encode()):
        # A language is of a line, and others may have a voice; a voice is of the run.
        error = SynthesisFailed if language and voice.startswith(language) else DailytalkError
        raise error(
            f"espeak has no voice {quoted(voice)} (language {quoted(language)})",
            "tag with --language, or choose another --voice (en-us, en-gb, de, +f3, ...), or another --tts",
        )


@contextmanager
def _library() -> Iterator[tuple[Any, int]]:
    """A freshly loaded library and its sample rate in Hz; the caller holds the lock."""
    try:
        loader: Any = importlib.import_module("espeakng_loader")
    except ImportError as error:
        raise DailytalkError("espeak's library is not installed", REMEDY) from error
    try:
        library = ctypes.CDLL(loader.get_library_path())
    except OSError as error:
        raise DailytalkError(f"espeak's library can't be loaded: {error}", REMEDY) from error
    try:
        data = loader.get_data_path().encode()
        rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS | _DONT_EXIT)
        if rate <= 0:
            raise DailytalkError(f"espeak can't read its data in {data.decode()}", REMEDY)
        yield library, rate
        library.espeak_Terminate()
    finally:
        _unload(library)


def _unload(library: Any) -> None:
    # ctypes itself never lets a library go.
    calls: Any = importlib.import_module("_ctypes")
    close = calls.FreeLibrary if sys.platform == "win32" else calls.dlclose
    close(library._handle)


def _wheel_version() -> str:
    try:
        return importlib.metadata.version(WHEEL)
    except importlib.metadata.PackageNotFoundError as error:
        raise DailytalkError("espeak's library is not installed", REMEDY) from error
