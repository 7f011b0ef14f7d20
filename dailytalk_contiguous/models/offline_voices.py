"""Synthesisers that need no service: espeak and flite, and what a style tag does to them."""

import ctypes
import importlib
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import accumulate, groupby, pairwise
from math import log2
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import pcm_to_float
from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.word_times import Word, fit, sound_length, split_words
from dailytalk_contiguous.models.contracts import Line, Reserve, Spoken, SynthesisFailed, VoiceSample, free

# Style tags for synthesisers that know only rate, pitch and loudness.
#
# One table for espeak and flite, in multiples of the voice's own neutral speech. The directions are those that
# studies of acted and real speech agree on (Murray and Arnott 1993, J. Acoust. Soc. Am. 93:1097; Scherer 2003,
# Speech Communication 40:227): joy, anger and fear faster, higher and wider, sadness slower, lower and narrower.
# The sizes are ours, kept small enough to stay intelligible.


class StyleProsody(NamedTuple):
    """Multiples of the neutral rate, mean pitch and pitch range; `gain_db` is added to the level."""

    rate: float = 1.0
    pitch: float = 1.0
    pitch_range: float = 1.0
    gain_db: float = 0.0
    whispered: bool = False


NEUTRAL = StyleProsody()

#: Every tag that a rule of `core.tags` can choose.
STYLE_PROSODY: dict[str, StyleProsody] = {
    "whispering": StyleProsody(0.92, 0.95, 0.6, -6.0, whispered=True),
    "soft tone": StyleProsody(0.94, 0.96, 0.8, -5.0),
    "shouting": StyleProsody(1.0, 1.3, 1.5, 5.0),
    "screaming": StyleProsody(1.05, 1.5, 1.7, 5.0),
    "in a hurry tone": StyleProsody(1.35, 1.05, 1.1, 1.0),
    "angry": StyleProsody(1.1, 1.12, 1.6, 4.0),
    "frustrated": StyleProsody(1.05, 1.06, 1.4, 2.5),
    "anxious": StyleProsody(1.15, 1.15, 1.2, 0.0),
    "nervous": StyleProsody(1.12, 1.1, 1.2, -0.5),
    "worried": StyleProsody(0.97, 1.04, 0.9, -1.0),
    "excited": StyleProsody(1.15, 1.2, 1.6, 3.0),
    "delighted": StyleProsody(1.1, 1.25, 1.7, 3.0),
    "surprised": StyleProsody(1.05, 1.3, 1.8, 2.5),
    "happy": StyleProsody(1.08, 1.15, 1.4, 1.5),
    "proud": StyleProsody(0.98, 1.08, 1.4, 2.0),
    "satisfied": StyleProsody(0.97, 1.04, 1.15, 0.5),
    "confident": StyleProsody(1.02, 0.98, 1.15, 1.5),
    "determined": StyleProsody(1.0, 0.97, 0.8, 2.5),
    "calm": StyleProsody(0.94, 0.98, 0.85, -1.0),
    "relaxed": StyleProsody(0.9, 0.97, 0.9, -1.5),
    "sad": StyleProsody(0.82, 0.92, 0.6, -3.0),
    "depressed": StyleProsody(0.75, 0.88, 0.4, -4.0),
    "disappointed": StyleProsody(0.88, 0.94, 0.7, -2.0),
    "uncertain": StyleProsody(0.9, 1.03, 1.05, -1.5),
    "doubtful": StyleProsody(0.9, 1.0, 1.2, -1.0),
    "confused": StyleProsody(0.92, 1.06, 1.3, -0.5),
    "curious": StyleProsody(1.0, 1.08, 1.35, 0.0),
}


def prosody_of_tag(tag: str) -> StyleProsody:
    """How to say something in the style `tag`: neutrally, for a tag that isn't in `STYLE_PROSODY` or for none."""
    return STYLE_PROSODY.get(tag, NEUTRAL)


# espeak-ng, the synthesiser of the embedded profile: small, robotic, a hundred languages, exact word times.
#
# Its library comes as the wheel `espeakng-loader` (an optional extra, GPL-3, loaded when it is first needed) and
# is called through ctypes. It carries its noise and phase from one line into the next and no call clears them, so
# it is loaded again for each line (3 ms): otherwise a line would depend on those said before it, and so on how the
# work was cut.


WHEEL = "espeakng-loader"
ESPEAK_REMEDY = 'pip install "dailytalk-contiguous[espeak]"'

#: Voices of ISO 639-1 languages that espeak knows by another name than the language's.
VOICES = {"en": "en-us", "zh": "cmn", "no": "nb", "nn": "nb", "iw": "he", "in": "id"}

#: Words a minute that espeak takes for normal speech.
NEUTRAL_RATE = 175

#: Of the noise in its consonants: the same line is the same sound.
NOISE_SEED = 1

# From espeak-ng's speak_lib.h (API revision 12).
_SYNCHRONOUS, _PHONEME_EVENTS, _DONT_EXIT, _UTF8 = 2, 0x0001, 0x8000, 1
_RATE, _VOLUME, _ESPEAK_PITCH, _RANGE = 1, 2, 3, 4
_WORD, _END, _PHONEME = 1, 5, 7

#: Its pitch setting runs from 0 to 100 around 50; 100 is about this multiple of the voice's pitch.
_HIGHEST_PITCH = 1.9

#: Volume setting of neutral speech. espeak's own 100 leaves no room for a louder style before 16 bits overflow.
_NEUTRAL_VOLUME = 50.0

#: The variant of any voice that has breath in place of a tone.
_WHISPER = "+whisper"

#: Punctuation that is read aloud where it is a word by itself ("Tom & Jerry"); symbols ("+") always are.
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


class EspeakEvent(NamedTuple):
    """An event of espeak: its type, the character of the text (from 0), the sample, and a phoneme's name."""

    type: int
    position: int
    sample: int
    phoneme: bytes


class Espeak:
    """Says lines with espeak-ng. Every take of a line is the same.

    Args:
        voice: an espeak voice such as `en-gb-scotland`; a variant such as `+f3`, added to the voice of the line's
            language; or nothing for that voice alone.
    """

    def __init__(self, voice: str = "") -> None:
        self.engine, self.server = "espeak", ""
        self.model = "espeak-ng"
        self.voice = voice
        self.concurrency = 1
        self.deterministic = True

    def settings(self) -> dict[str, object]:
        return {
            "version": _wheel_version(),
            "manners": {tag: list(manner) for tag, manner in STYLE_PROSODY.items()},
        }

    def price(self, lines: Sequence[Line]) -> float:
        return 0.0

    def preflight(self) -> None:
        """Raise DailytalkError unless the wheel is there, loads, and knows the voice."""
        _wheel_version()
        with _LOCK, _library() as (library, _rate):
            _choose_voice(library, self._voice_of("en", prosody_of_tag("")), "en")

    def speak(self, line: Line, samples: Sequence[VoiceSample] = (), reserve: Reserve = free) -> Spoken:
        """Say a line. Word times are espeak's own; a word is one of `core.word_times.split_words`.

        Raises SynthesisFailed for a line with nothing to say or of a language without a voice, and DailytalkError
        for a voice that is not there, or if the voice of `samples` is requested: espeak clones none.
        """
        if samples:
            raise DailytalkError(
                "espeak can't speak in the voice of a sample", "use --tts fish with --voice clone"
            )
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
        spoken = VOICES.get(language or "en", language)
        voice = spoken + self.voice if self.voice[:1] in ("", "+") else self.voice
        return voice.split("+")[0] + _WHISPER if prosody.whispered else voice


def espeak_word_times(text: str, events: Sequence[EspeakEvent], sample_rate: int, duration: float) -> list[Word]:
    """Times of every written word of a text, from espeak's events; empty if it said nothing.

    espeak reads "25" as two words and "out of" as one. So each of its words goes to the written word in which it
    starts, and a written word without any shares the sound of the one before it, by `sound_length`. A word ends
    with its last sound, before any pause.
    """
    words = split_words(text)
    starts = _word_starts(text, words)
    sounds: dict[int, tuple[float, float]] = {}
    for position, first, last in _word_sounds(events):
        number = _written_word(text, words, starts, position)
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


def _word_sounds(events: Sequence[EspeakEvent]) -> Iterator[tuple[int, int, int]]:
    """Text position, first sample and last sample of every word that espeak said, without pauses around it."""
    borders = [index for index, event in enumerate(events) if event.type in (_WORD, _END)]
    for index, following in pairwise(borders):
        if events[index].type != _WORD:
            continue
        inner = [event for event in events[index:following] if event.type == _PHONEME]
        voiced = [number for number, event in enumerate(inner) if not event.phoneme.startswith(b"_")]
        if not voiced:
            continue
        # The closure of a first stop is before its phoneme's event, but after that of the word.
        start = inner[voiced[0]].sample if voiced[0] else events[index].sample
        end = inner[voiced[-1] + 1].sample if voiced[-1] + 1 < len(inner) else events[following].sample
        yield events[index].position, start, end


def _word_starts(text: str, words: Sequence[str]) -> list[int]:
    """The place in the text where each of its words begins."""
    places = [place for place, letter in enumerate(text) if not letter.isspace()]
    return [places[before] for before in accumulate(map(len, words[:-1]), initial=0)] if words else []


def _written_word(text: str, words: Sequence[str], starts: Sequence[int], position: int) -> int:
    """The number of the written word that is meant by a place in the text.

    At the start of a clause espeak points at the dash or blank before the word that it says.
    """
    number = max(0, bisect_right(starts, position) - 1)
    end = starts[number + 1] if number + 1 < len(starts) else len(text)
    names_it = any(
        letter.isalnum() or letter in _SPOKEN_MARKS or unicodedata.category(letter).startswith("S")
        for letter in text[position:end]
    )
    return number if names_it or number + 1 == len(words) else number + 1


def _synthesise(text: str, voice: str, line: Line) -> tuple[NDArray[np.float32], list[EspeakEvent], int]:
    """Samples in [-1, 1], events, and the rate in Hz."""
    blocks: list[bytes] = []
    events: list[EspeakEvent] = []

    def collect(wave: int | None, n_samples: int, first_event: Any) -> int:
        if wave and n_samples:
            blocks.append(ctypes.string_at(wave, 2 * n_samples))
        index = 0
        while first_event[index].type:
            event = first_event[index]
            events.append(EspeakEvent(event.type, event.text_position - 1, event.sample, bytes(event.id)))
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
        failed = library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded) + 1), 0, 1, 0, _UTF8, None, None)
    if failed:
        raise SynthesisFailed(f"espeak failed with status {failed} on {text!r}", "reword or delete the line")
    return pcm_to_float(b"".join(blocks)), events, rate


def parameters(prosody: StyleProsody) -> dict[int, int]:
    """espeak's settings for a style, by parameter: words a minute, and numbers around 50."""
    return {
        _RATE: round(min(450.0, max(80.0, NEUTRAL_RATE * prosody.rate))),
        _VOLUME: round(_NEUTRAL_VOLUME * 10 ** (prosody.gain_db / 20)),
        _ESPEAK_PITCH: round(min(100.0, max(0.0, 50 + 50 * log2(prosody.pitch) / log2(_HIGHEST_PITCH)))),
        _RANGE: round(min(100.0, 50 * prosody.pitch_range)),
    }


def _choose_voice(library: Any, voice: str, language: str) -> None:
    if library.espeak_SetVoiceByName(voice.encode()):
        # A language is of a line, and others may have a voice; a voice is of the run.
        error = SynthesisFailed if language and voice.startswith(language) else DailytalkError
        raise error(
            f"espeak has no voice {quoted(voice)} (language {quoted(language)})",
            "tag with --language, or choose another --voice (en-us, en-029, de, +f3, ...), or another --tts",
        )


@contextmanager
def _library() -> Iterator[tuple[Any, int]]:
    """A freshly loaded library and its sample rate in Hz; the caller holds the lock."""
    try:
        loader: Any = importlib.import_module("espeakng_loader")
    except ImportError as error:
        raise DailytalkError("espeak's library is not installed", ESPEAK_REMEDY) from error
    try:
        library = ctypes.CDLL(loader.get_library_path())
    except OSError as error:
        raise DailytalkError(f"espeak's library can't be loaded: {error}", ESPEAK_REMEDY) from error
    try:
        data = loader.get_data_path().encode()
        rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS | _DONT_EXIT)
        if rate <= 0:
            raise DailytalkError(f"espeak can't read its data in {data.decode()}", ESPEAK_REMEDY)
        yield library, rate
        library.espeak_Terminate()
    finally:
        calls: Any = importlib.import_module("_ctypes")  # ctypes itself never lets a library go
        (calls.FreeLibrary if sys.platform == "win32" else calls.dlclose)(library._handle)


def _wheel_version() -> str:
    try:
        return importlib.metadata.version(WHEEL)
    except importlib.metadata.PackageNotFoundError as error:
        raise DailytalkError("espeak's library is not installed", ESPEAK_REMEDY) from error


# flite, a small English synthesiser: more natural than espeak, understood by a recogniser, and exactly timed.
#
# The program is run once a line and prints every phone with its end, but not where words begin. So each word is
# also spoken by itself, once per process, and its phones are laid along those of the line at the least cost; this
# works for numbers and abbreviations too, and a line whose phones differ a little still gets its times.


PROGRAM = "flite"
FLITE_REMEDY = "apt install flite (or brew install flite), or choose another engine with --tts"

#: Seconds after which a line is given up; flite speaks some fifty times faster than real time.
TIMEOUT = 60.0

#: dBFS. No sample passes this, however loud the style.
_PEAK_DBFS = -1.0

#: flite's pitch target in Hz, mean and standard deviation, that comes out as each voice's own pitch (fitted with
#: pyin; what is heard varies about half as much). `rms` follows no target, and speaks every tag at its own pitch.
_FLITE_PITCH: dict[str, tuple[float, float]] = {
    "slt": (170.0, 24.0),
    "awb": (125.0, 25.0),
    "kal": (95.0, 11.0),
    "kal16": (95.0, 11.0),
}

_PAUSE = "pau"
_VOWELS = frozenset(
    ("aa", "ae", "ah", "ao", "aw", "ax", "ay", "eh", "er", "ey", "ih", "iy", "ow", "oy", "uh", "uw")
)

# What a difference between a word's phones alone and in the line costs. Vowels weaken in running speech ("the",
# "to"), and a stop is sooner lost than changed.
_OTHER_VOWEL, _OTHER_PHONE, _GAP = 0.3, 1.2, 0.7


class Phone(NamedTuple):
    """A phone of flite and its times in seconds."""

    name: str
    start: float
    end: float


class Flite:
    """Says lines of English with the program flite.

    Args:
        voice: one that `flite -lv` lists: slt, rms, awb, kal or kal16.
    """

    def __init__(self, voice: str = "slt") -> None:
        self.engine, self.server = "flite", ""
        self.model = "flite"
        self.voice = voice
        self.concurrency = 2
        self.deterministic = True

    def settings(self) -> dict[str, object]:
        return {"version": _version(), "manners": {tag: list(manner) for tag, manner in STYLE_PROSODY.items()}}

    def price(self, lines: Sequence[Line]) -> float:
        return 0.0

    def preflight(self) -> None:
        """Raise DailytalkError unless the program is there and has the voice."""
        voices = _voices()
        if self.voice not in voices:
            raise DailytalkError(f"flite has no voice {self.voice!r}", f"choose one of {', '.join(voices)}")

    def speak(self, line: Line, samples: Sequence[VoiceSample] = (), reserve: Reserve = free) -> Spoken:
        """Say a line. Word times come from flite's phones; a word is one of `core.word_times.split_words`.

        Raises SynthesisFailed for a line with nothing to say or of another language than English; DailytalkError
        if the program is missing, or if the voice of `samples` is requested: flite clones none.
        """
        if samples:
            raise DailytalkError("flite can't speak in the voice of a sample", "use --tts fish with --voice clone")
        if line.language not in ("", "en"):
            raise SynthesisFailed(f"flite speaks English only, not {line.language!r}", "use --tts espeak or fish")
        prosody = prosody_of_tag(line.tag)
        with tempfile.TemporaryDirectory() as folder:
            wave = Path(folder) / "line.wav"
            features = {"duration_stretch": 1 / prosody.rate}
            if self.voice in _FLITE_PITCH and (prosody.pitch, prosody.pitch_range) != (1.0, 1.0):
                mean, deviation = _FLITE_PITCH[self.voice]
                features["int_f0_target_mean"] = mean * prosody.pitch
                features["int_f0_target_stddev"] = deviation * prosody.pitch_range
            shape = [part for name, value in features.items() for part in ("--setf", f"{name}={value:.4f}")]
            printed = _run(*("-voice", self.voice, "-psdur", *shape, "-t", plain(line.text), "-o", str(wave)))
            phones = parse_phones(printed)
            if all(phone.name == _PAUSE for phone in phones):
                raise SynthesisFailed(f"flite finds nothing to say in {line.text!r}", "give it English words")
            sound, rate = soundfile.read(wave, dtype="float32")
        peak, gain = float(np.abs(sound).max(initial=0.0)), 10 ** (prosody.gain_db / 20)
        if peak:
            gain = min(gain, 10 ** (_PEAK_DBFS / 20) / peak)
        sound = (sound * np.float32(gain)).astype(np.float32)
        return Spoken(sound, rate, flite_word_times(split_words(line.text), phones, len(sound) / rate), 0.0)


def plain(text: str) -> str:
    """A text in the letters that flite knows: straight quotes, no accents; what has no such form is left out.

    >>> plain("Café — it’s")
    "Cafe - it's"
    """
    straight = re.sub("[‘’]", "'", re.sub("[“”«»]", '"', re.sub("[–—]", "-", text)))
    decomposed = unicodedata.normalize("NFKD", straight)
    return decomposed.encode("ascii", "ignore").decode().replace("\0", " ")


def parse_phones(printed: str) -> list[Phone]:
    """The list that `flite -psdur` prints (`name:end` each) with starts."""
    phones: list[Phone] = []
    for item in printed.split():
        name, end = item.rsplit(":", 1)
        phones.append(Phone(name, phones[-1].end if phones else 0.0, float(end)))
    return phones


def flite_word_times(words: Sequence[str], phones: Sequence[Phone], duration: float) -> list[Word]:
    """Times of the words of a line, from its phones; one for which flite says nothing gets a moment."""
    alone = [(number, name) for number, word in enumerate(words) for name in phones_alone(plain(word))]
    spoken = [phone for phone in phones if phone.name != _PAUSE]
    times: dict[int, tuple[float, float]] = {}
    owners = owners_of([name for _, name in alone], [phone.name for phone in spoken])
    for number, group in groupby(
        zip(owners, spoken, strict=True), key=lambda pair: alone[pair[0]][0] if alone else 0
    ):
        word_phones = [phone for _, phone in group]
        times[number] = (word_phones[0].start, word_phones[-1].end)
    placed: list[Word] = []
    at = spoken[0].start
    for number in range(len(words)):
        start, at = times.get(number, (at, at))
        placed.append(Word("", start, at, 1.0))
    fitted = fit(placed, duration)
    return [timed._replace(text=word) for word, timed in zip(words, fitted, strict=True)]


def owners_of(alone: Sequence[str], spoken: Sequence[str]) -> list[int]:
    """For every spoken phone the place, in `alone`, of the phone that it is, never falling.

    The alignment of least cost (Needleman and Wunsch); a phone that only the line has belongs to the one before.
    """
    cost = np.zeros((len(alone) + 1, len(spoken) + 1))
    cost[:, 0] = _GAP * np.arange(len(alone) + 1)
    cost[0] = _GAP * np.arange(len(spoken) + 1)
    for i, phone in enumerate(alone):
        for j, spoken_phone in enumerate(spoken):
            cost[i + 1, j + 1] = min(
                cost[i, j] + _difference(phone, spoken_phone), cost[i, j + 1] + _GAP, cost[i + 1, j] + _GAP
            )
    i, j = len(alone), len(spoken)
    owners = [0] * len(spoken)
    while j:
        if i and np.isclose(cost[i, j], cost[i - 1, j - 1] + _difference(alone[i - 1], spoken[j - 1])):
            i, j = i - 1, j - 1
            owners[j] = i
        elif i and np.isclose(cost[i, j], cost[i - 1, j] + _GAP):
            i -= 1
        else:
            j -= 1
            owners[j] = max(0, i - 1)
    return owners


def _difference(first: str, second: str) -> float:
    if first == second:
        return 0.0
    return _OTHER_VOWEL if first in _VOWELS and second in _VOWELS else _OTHER_PHONE


@lru_cache(maxsize=100_000)
def phones_alone(word: str) -> tuple[str, ...]:
    """The phones of a word by itself, from the lexicon that all voices share; none if nothing is read."""
    printed = _run("-voice", "kal", "-ps", "-t", word, "none").split()
    return tuple(name for name in printed if name != _PAUSE)


def _run(*arguments: str, good_status: int = 0) -> str:
    """What flite prints. No shell is involved, and flite takes what follows `-t` as text even if it is a dash."""
    try:
        process = subprocess.run(
            (PROGRAM, *arguments),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
            check=False,
            process_group=0,  # a Ctrl-C of the terminal is for the command: flite would fail with the line
        )
    except FileNotFoundError as error:
        raise DailytalkError("the program flite is not installed", FLITE_REMEDY) from error
    except subprocess.TimeoutExpired as error:
        raise SynthesisFailed(f"flite took more than {TIMEOUT:.0f} s", "shorten the line") from error
    if process.returncode < 0:  # as for want of memory; the line is not the cause
        raise SynthesisFailed(f"flite was ended by signal {-process.returncode}", "run the same command again")
    if process.returncode != good_status:
        message = process.stderr.strip() or f"status {process.returncode}"
        raise SynthesisFailed(f"flite failed: {message}", "reword or delete the line")
    return process.stdout


@lru_cache(maxsize=1)
def _version() -> str:
    match = re.search(r"version:\s*(\S+)", _run("--version", good_status=1))
    return match.group(1) if match else "unknown"


@lru_cache(maxsize=1)
def _voices() -> tuple[str, ...]:
    if shutil.which(PROGRAM) is None:
        raise DailytalkError("the program flite is not installed", FLITE_REMEDY)
    return tuple(_run("-lv").partition(":")[2].split())
