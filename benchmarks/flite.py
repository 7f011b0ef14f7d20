"""flite, a small English synthesiser: more natural than espeak, understood by a recogniser, and exactly timed.

The program is run once a line and prints every phone with its end, but not where words begin. So each word is
also spoken by itself, once per process, and its phones are laid along those of the line at the least cost; this
works for numbers and abbreviations too, and a line whose phones differ a little still gets its times.
"""

import re
import shutil
import subprocess
import tempfile
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.word_times import Word, fit, split_words
from dailytalk_contiguous.models.contracts import (
    Line,
    Reserve,
    Spoken,
    Synthesiser,
    SynthesisFailed,
    VoiceSample,
    free,
)
from dailytalk_contiguous.models.style_prosody import prosody_of_tag

PROGRAM = "flite"
FLITE_REMEDY = "apt install flite (or brew install flite)"

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
_OTHER_VOWEL = 0.3
_OTHER_PHONE = 1.2
_GAP = 0.7


class Phone(NamedTuple):
    """A phone of flite and its times in seconds."""

    name: str
    start: float
    end: float


class Flite(Synthesiser):
    """Says lines of English with the program flite.

    Args:
        voice: one that `flite -lv` lists: slt, rms, awb, kal or kal16.
    """

    engine = "flite"
    model = "flite"
    concurrency = 2
    deterministic = True

    def __init__(self, voice: str = "slt") -> None:
        self.voice = voice

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
            printed = _run("-voice", self.voice, "-psdur", *shape, "-t", plain(line.text), "-o", str(wave))
            phones = parse_phones(printed)
            if all(phone.name == _PAUSE for phone in phones):
                raise SynthesisFailed(f"flite finds nothing to say in {line.text!r}", "give it English words")
            sound, rate = soundfile.read(wave, dtype="float32")
        peak = float(np.abs(sound).max(initial=0.0))
        gain = 10 ** (prosody.gain_db / 20)
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
    i = len(alone)
    j = len(spoken)
    owners = [0] * len(spoken)
    while j:
        if i and np.isclose(cost[i, j], cost[i - 1, j - 1] + _difference(alone[i - 1], spoken[j - 1])):
            i = i - 1
            j = j - 1
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
    """Run flite without a shell and return its output; what follows `-t` is text even if it is a dash."""
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
def _voices() -> tuple[str, ...]:
    if shutil.which(PROGRAM) is None:
        raise DailytalkError("the program flite is not installed", FLITE_REMEDY)
    return tuple(_run("-lv").partition(":")[2].split())
