"""Makes the bundled recordings: synthetic stereo conversations with exact word times.

Real conversations come with a licence to respect and with word times that are somebody's estimate.
Synthetic ones are free, repeatable, and their word times are known to the millisecond, so they
serve as a demonstration and as a yardstick. Decided here: flite speaks every line on its own;
word times come from the synthesiser's own phone times, never from recognition; one voice per
channel without leakage; a faint seeded room tone so that no channel is digitally silent.

Run `python examples/conversations/make_examples.py [FOLDER]`; it needs flite, numpy and soundfile. The same flite
version gives the same samples every time.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from dialogues import DIALOGUES, STYLES, Dialogue, Line
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
ROOM_TONE_DBFS = -62.0
PEAK_LIMIT_DBFS = -1.0
TAIL_SECONDS = 0.8
# flite leaves a pause before and after the words; this much is kept for breath and stop releases.
MARGIN_SECONDS = 0.01
FADE_SECONDS = 0.01
MIN_SAME_SPEAKER_GAP = 0.6
PUNCTUATION = ".,!?"
VOWELS = frozenset(
    ["aa", "ae", "ah", "ao", "aw", "ax", "ay", "eh", "er", "ey", "ih", "iy", "ow", "oy", "uh", "uw"]
)

Samples = NDArray[np.float64]


@dataclass(frozen=True)
class Voice:
    """What differs between the flite voices: level, and how their pitch can be moved.

    A voice with `f0` follows flite's pitch target. One without (rms, whose contours come from
    another model) is shifted by resampling, and the synthesis is stretched to make up for it; that
    moves the formants too, so it goes only part of the way.
    """

    gain_db: float
    f0: float | None


# The gains bring each voice to about -24 dBFS while it speaks.
VOICES: dict[str, Voice] = {
    "slt": Voice(gain_db=-8.5, f0=170.0),
    "rms": Voice(gain_db=-4.0, f0=None),
    "awb": Voice(gain_db=-4.5, f0=118.0),
}


@dataclass(frozen=True)
class Word:
    """A spoken word and its edges in seconds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Speech:
    """A synthesised line: samples, and words timed from the first sample."""

    samples: Samples
    words: tuple[Word, ...]


@dataclass(frozen=True)
class Phone:
    """A phone of flite's segment list and its edges in seconds; `pau` is silence."""

    name: str
    start: float
    end: float


def run_flite(voice: str, text: str, wave: Path, *options: str) -> str:
    """What flite prints while it speaks `text` into `wave`."""
    command = ["flite", "-voice", voice, *options, "-t", text, "-o", str(wave)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@cache
def phones_alone(word: str) -> tuple[str, ...]:
    """The phones of a word spoken by itself, from the lexicon that all the voices share."""
    printed = run_flite("slt", word, Path("none"), "-ps").split()
    return tuple(phone for phone in printed if phone != "pau")


def parse_phones(printed: str) -> list[Phone]:
    """flite's `name:end` list as phones with both edges."""
    phones: list[Phone] = []
    start = 0.0
    for item in printed.split():
        name, end = item.split(":")
        phones.append(Phone(name, start, float(end)))
        start = float(end)
    return phones


def words_of(text: str) -> list[str]:
    """The words of a line as spelled, without punctuation."""
    return [token.strip(PUNCTUATION) for token in text.split()]


def time_words(text: str, phones: list[Phone]) -> tuple[Word, ...]:
    """Word times from phone times.

    flite prints phones without word borders, so each word is also spoken by itself, and its phones
    are laid along those of the sentence. In running speech only vowels change ("the" before a
    vowel, a weak "to"); hence a vowel may stand for another, every consonant has to be the same,
    pauses may only fall between words, and nothing may be left over. A line that breaks one of
    these rules has unclear borders and is refused: it has to be reworded.
    """
    words: list[Word] = []
    position = 0
    for word in words_of(text):
        while phones[position].name == "pau":
            position += 1
        alone = phones_alone(word)
        spoken = phones[position : position + len(alone)]
        same = len(spoken) == len(alone) and all(
            phone.name == expected or (phone.name in VOWELS and expected in VOWELS)
            for phone, expected in zip(spoken, alone, strict=True)
        )
        if not same:
            raise ValueError(f"unclear borders of {word!r} in {text!r}: {alone} against {spoken}")
        words.append(Word(word, spoken[0].start, spoken[-1].end))
        position += len(alone)
    if any(phone.name != "pau" for phone in phones[position:]):
        raise ValueError(f"phones left over in {text!r}")
    return tuple(words)


def resample(samples: Samples, length: int) -> Samples:
    """The same sound in another number of samples, band-limited."""
    spectrum = np.fft.rfft(samples)
    bins = length // 2 + 1
    fitted = np.zeros(bins, dtype=complex)
    shared = min(bins, len(spectrum))
    fitted[:shared] = spectrum[:shared]
    return np.fft.irfft(fitted, length) * (length / len(samples))


def speak(voice_name: str, line: Line) -> Speech:
    """A line in its style, trimmed to its words and a small margin."""
    voice, style = VOICES[voice_name], STYLES[line.style]
    speed = style.pitch**0.6 if voice.f0 is None else 1.0
    options = ["-psdur", "--setf", f"duration_stretch={style.stretch * speed:.4f}"]
    if voice.f0 is not None and style.pitch != 1.0:
        options += ["--setf", f"int_f0_target_mean={voice.f0 * style.pitch:.1f}"]
    with tempfile.TemporaryDirectory() as folder:
        wave = Path(folder) / "line.wav"
        phones = parse_phones(run_flite(voice_name, line.text, wave, *options))
        samples, rate = sf.read(wave, dtype="float64")
    if rate != SAMPLE_RATE:
        raise ValueError(f"voice {voice_name} speaks at {rate} Hz")
    words = time_words(line.text, phones)
    if speed != 1.0:
        length = round(len(samples) / speed)
        scale = length / len(samples)
        samples = resample(samples, length)
        words = tuple(Word(word.text, word.start * scale, word.end * scale) for word in words)
    gain = 10 ** ((voice.gain_db + style.gain_db) / 20)
    return trim(Speech(samples * gain, words), line.keep)


def trim(speech: Speech, keep: int | None) -> Speech:
    """The speech from just before its first word to just after its last, faded at both ends.

    A line cut short ends sharply at its last kept word, since the next word follows at once.
    """
    words = speech.words[:keep]
    cut_short = len(words) < len(speech.words)
    first = max(0, round((words[0].start - MARGIN_SECONDS) * SAMPLE_RATE))
    last = round((words[-1].end + (0.0 if cut_short else MARGIN_SECONDS)) * SAMPLE_RATE)
    samples = speech.samples[first:last].copy()
    fade = round(FADE_SECONDS * SAMPLE_RATE)
    ramp = np.linspace(0.0, 1.0, fade)
    samples[:fade] *= ramp
    samples[-fade:] *= ramp[::-1]
    shift = first / SAMPLE_RATE
    return Speech(samples, tuple(Word(word.text, word.start - shift, word.end - shift) for word in words))


def room_tone(count: int, seed: int, tilt: float) -> Samples:
    """Noise that falls with frequency like the hum of a quiet room; `tilt` sets its colour."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    frequencies = np.fft.rfftfreq(count, 1 / SAMPLE_RATE)
    # Flat below 60 Hz, or the slope would put all of the energy into rumble.
    tone = np.fft.irfft(spectrum * np.maximum(frequencies, 60.0) ** -tilt, count)
    level = float(np.sqrt(np.mean(tone**2)))
    return tone * (10 ** (ROOM_TONE_DBFS / 20) / level)


def kept_text(line: Line) -> str:
    """What is heard of a line; three dots mark a sentence cut short."""
    if line.keep is None:
        return line.text
    return " ".join(line.text.split()[: line.keep]).rstrip(PUNCTUATION) + "..."


def describe(line: Line, words: tuple[Word, ...], offset: float) -> dict[str, Any]:
    """One utterance of the reference, its times counted from the start of the conversation."""
    timed = [
        {"word": word.text, "start": round(word.start + offset, 4), "end": round(word.end + offset, 4)}
        for word in words
    ]
    return {
        "channel": line.channel,
        "start": timed[0]["start"],
        "end": timed[-1]["end"],
        "text": kept_text(line),
        "style": line.style,
        "event": line.event,
        "words": timed,
    }


def check_gaps(name: str, utterances: list[dict[str, Any]]) -> None:
    """Refuses a speaker's utterances that are so close that they could pass for one."""
    for channel in ("left", "right"):
        own = [item for item in utterances if item["channel"] == channel]
        for before, after in pairwise(own):
            if after["start"] - before["end"] < MIN_SAME_SPEAKER_GAP:
                raise ValueError(f"{name}: too close: {before['text']!r} and {after['text']!r}")


def render(dialogue: Dialogue) -> tuple[NDArray[np.int16], dict[str, Any]]:
    """The stereo samples of a conversation and its reference."""
    voices = {"left": dialogue.left, "right": dialogue.right}
    placed: list[tuple[int, str, Samples]] = []
    utterances: list[dict[str, Any]] = []
    floor_start = floor_end = 0.0
    for line in dialogue.lines:
        speech = speak(voices[line.channel], line)
        if line.event == "backchannel":
            start = floor_start + line.at * (floor_end - floor_start)
        else:
            start = floor_end + line.gap
        sample = round((start - speech.words[0].start) * SAMPLE_RATE)
        utterance = describe(line, speech.words, sample / SAMPLE_RATE)
        if line.event != "backchannel":
            floor_start, floor_end = utterance["start"], utterance["end"]
        placed.append((sample, line.channel, speech.samples))
        utterances.append(utterance)
    utterances.sort(key=lambda item: item["start"])
    check_gaps(dialogue.name, utterances)

    count = round((max(item["end"] for item in utterances) + TAIL_SECONDS) * SAMPLE_RATE)
    tones = {
        "left": room_tone(count, dialogue.seed * 2, tilt=1.5),
        "right": room_tone(count, dialogue.seed * 2 + 1, tilt=1.8),
    }
    for sample, channel, samples in placed:
        tones[channel][sample : sample + len(samples)] += samples
    stereo = np.stack([tones["left"], tones["right"]], axis=1)
    if np.abs(stereo).max() > 10 ** (PEAK_LIMIT_DBFS / 20):
        raise ValueError(f"{dialogue.name}: peak above {PEAK_LIMIT_DBFS} dBFS")
    reference = {
        "sample_rate": SAMPLE_RATE,
        "duration": round(count / SAMPLE_RATE, 4),
        "voices": voices,
        "utterances": utterances,
    }
    return np.round(stereo * 32767).astype(np.int16), reference


def main(folder: Path) -> None:
    """Writes every conversation and its reference into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for dialogue in DIALOGUES:
        samples, reference = render(dialogue)
        sf.write(folder / f"{dialogue.name}.flac", samples, SAMPLE_RATE, subtype="PCM_16")
        text = json.dumps(reference, indent=1) + "\n"
        (folder / f"{dialogue.name}.reference.json").write_text(text, encoding="utf-8")
        print(f"{dialogue.name}: {reference['duration']:.1f} s, {len(reference['utterances'])} utterances")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent)
