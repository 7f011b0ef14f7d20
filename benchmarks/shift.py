"""What a voice of `--tts shift` keeps and what it changes: words, likeness to the recorded speaker, and time.

    python benchmarks/shift.py FOLDER [--voices 0.7,0.8] [--whisper base]

FOLDER holds `spokenwoz` (calls with a JSON of their words) and `readers` (a folder for each reader); without one
of them its part is left out. Words are recognised in the same windows of each side of the calls and of the bundled
recordings, as recorded and converted. Likeness is the cosine of speaker embeddings by Resemblyzer, if that can be
imported (`pip install --no-deps Resemblyzer webrtcvad-wheels`). The coefficients were chosen on the readers with
ten sentences; the goals are judged on the others. `--voices` compares coefficients, and judges nothing.
"""

import argparse
import importlib
import itertools
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
from measuring import EXAMPLES, judged, references
from real import Rate, error_rate

from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.models.synthesisers.shift import HIGHEST, LOWEST, Shift
from dailytalk_contiguous.models.whisper import RecogniserInput, recognise

#: Goals: multiples of real time on one core; points of words that are wrong, more than as recorded; likeness to
#: the recorded speaker, and of the halves of one converted speaker to each other.
SPEED_GOAL = 18.0
WORDS_GOAL = 0.02
LIKENESS_GOAL = 0.80
HALVES_GOAL = 0.90

#: Hz of speaker embeddings and of Whisper, and seconds of a window of words at most.
RATE = 16000
WINDOW_SECONDS = 28.0

#: Readers with as many files were listened to when the coefficients were chosen.
FILES_OF_TUNING = 10

Embed = Callable[[Samples], Any]


class Side(NamedTuple):
    """One speaker of a recording: who it is, its sound and rate, and what is said in windows of it (seconds)."""

    speaker: str
    sound: Samples
    sample_rate: int
    windows: list[tuple[float, float, str]]


class Likeness(NamedTuple):
    """Cosines of one speaker: converted to recorded, and halves as recorded and as converted."""

    to_recorded: float
    recorded_halves: float
    halves: float


def windows_of(words: Sequence[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    """Stretches of at most `WINDOW_SECONDS`, cut between two utterances or words, with their text."""
    windows: list[tuple[float, float, str]] = []
    for start, end, text in words:
        if windows and end - windows[-1][0] <= WINDOW_SECONDS:
            windows[-1] = (windows[-1][0], end, f"{windows[-1][2]} {text}")
        else:
            windows.append((start, end, text))
    return windows


def sides_of_recordings() -> list[Side]:
    sides = []
    for name, reference in references().items():
        sound, rate = soundfile.read(EXAMPLES / f"{name}.flac", dtype="float32")
        for number, channel in enumerate(("left", "right")):
            lines = [line for line in reference["utterances"] if line["channel"] == channel]
            said = [(line["start"], line["end"], line["text"]) for line in lines]
            sides.append(Side(f"{name}/{channel}", sound[:, number].copy(), rate, windows_of(said)))
    return sides


def sides_of_calls(folder: Path) -> list[Side]:
    sides = []
    for path in sorted(folder.glob("*.wav")):
        sound, rate = soundfile.read(path, dtype="float32")
        words = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        for number, speaker in enumerate("AB"):
            said = [(word["start"], word["end"], word["word"]) for word in words if word["speaker"] == speaker]
            sides.append(Side(f"{path.stem}/{speaker}", sound[:, number].copy(), rate, windows_of(said)))
    return sides


def words_wrong(sides: Sequence[Side], voice: Shift | None, whisper: str) -> list[Rate]:
    """Words that are wrong in each window, as recorded or in a voice. References may begin and end 0.3 s late."""
    texts = []
    sounds = []
    for side in sides:
        sound = voice.convert(side.sound, side.sample_rate, side.speaker) if voice else side.sound
        for start, end, text in side.windows:
            first = max(0, round((start - 0.3) * side.sample_rate))
            last = round((end + 0.3) * side.sample_rate)
            sounds.append(RecogniserInput(sound[first:last], side.sample_rate, "en"))
            texts.append(text)
    recognised = recognise(whisper, "cpu", "auto", sounds)
    found = ["".join(word.text for word in words) for words in recognised]
    return [error_rate([text], [text_found]) for text, text_found in zip(texts, found, strict=True)]


def total(rates: Sequence[Rate]) -> Rate:
    return Rate(sum(rate.words for rate in rates), sum(rate.errors for rate in rates))


def interval_of_more(before: Sequence[Rate], after: Sequence[Rate]) -> tuple[float, float]:
    """The 90 % interval of the share of words that are wrong in `after` alone, by a bootstrap over windows."""
    words = np.array([rate.words for rate in before])
    more = np.array([new.errors - old.errors for old, new in zip(before, after, strict=True)])
    drawn = np.random.default_rng(0).integers(0, len(words), (10_000, len(words)))
    low, high = np.percentile(more[drawn].sum(axis=1) / words[drawn].sum(axis=1), (5, 95))
    return float(low), float(high)


def speed(sides: Sequence[Side]) -> float:
    """Multiple of real time of all sides, one after another."""
    started = time.perf_counter()
    for side in sides:
        Shift().convert(side.sound, side.sample_rate, side.speaker)
    seconds = sum(len(side.sound) / side.sample_rate for side in sides)
    return seconds / (time.perf_counter() - started)


def speaker_encoder() -> Embed | None:
    """Resemblyzer's embedding of 16 kHz sound, of length 1; None where it can't be imported."""
    try:
        resemblyzer: Any = importlib.import_module("resemblyzer")
    except ImportError:
        return None
    encoder = resemblyzer.VoiceEncoder("cpu", verbose=False)

    def embed(sound: Samples) -> Any:
        return encoder.embed_utterance(resemblyzer.preprocess_wav(sound, source_sr=RATE))

    return embed


def readers(folder: Path, tuning: bool) -> dict[str, Samples]:
    """Up to 30 s of each reader at 16 kHz, of those for tuning or of the others."""
    sounds = {}
    for reader in sorted(folder.iterdir()):
        files = sorted(reader.glob("*.flac"))
        if (len(files) >= FILES_OF_TUNING) == tuning:
            sound = np.concatenate([soundfile.read(file, dtype="float32")[0] for file in files])
            sounds[reader.name] = sound[: 30 * RATE]
    return sounds


def likenesses(sounds: Mapping[str, Samples], voice: Shift, embed: Embed) -> dict[str, Likeness]:
    measured = {}
    for speaker, sound in sounds.items():
        converted = voice.convert(sound, RATE, speaker)
        half = len(sound) // 2
        measured[speaker] = Likeness(
            float(embed(sound) @ embed(converted)),
            float(embed(sound[:half]) @ embed(sound[half:])),
            float(embed(converted[:half]) @ embed(converted[half:])),
        )
    return measured


def between_speakers(sounds: Mapping[str, Samples], embed: Embed) -> float:
    """The mean cosine of two different speakers, as recorded."""
    embeddings = [embed(sound) for sound in sounds.values()]
    return float(np.mean([first @ second for first, second in itertools.combinations(embeddings, 2)]))


def print_likeness(name: str, measured: Mapping[str, Likeness]) -> Likeness:
    """Print the means over speakers, and return them."""
    values = np.array([*measured.values()])
    means = Likeness(*values.mean(axis=0).tolist())
    most = values[:, 0].max()
    halves = f"its halves {means.halves:.2f} (as recorded {means.recorded_halves:.2f})"
    print(f"  {name:14} like the recorded speaker {means.to_recorded:.2f} (most {most:.2f}); {halves}", flush=True)
    return means


def compare(names: Sequence[str], sides: Mapping[str, Sequence[Side]], folder: Path, whisper: str) -> None:
    """Words and likeness by several coefficients, on the readers for tuning."""
    embed = speaker_encoder()
    for title, of_title in sides.items():
        rate = total(words_wrong(of_title, None, whisper))
        print(f"{title}, as recorded: {rate.share:.1%} of {rate.words} words wrong", flush=True)
        for name in names:
            rate = total(words_wrong(of_title, Shift(name), whisper))
            print(f"  {name:14} {rate.share:.1%}", flush=True)
    if embed and folder.is_dir():
        sounds = readers(folder, tuning=True)
        for name in names:
            print_likeness(name, likenesses(sounds, Shift(name), embed))


def judge(sides: Mapping[str, Sequence[Side]], folder: Path, whisper: str) -> bool:
    every = [side for of_title in sides.values() for side in of_title]
    print(f"each speaker has a coefficient from {LOWEST} to {HIGHEST}")
    fast = speed(every)
    met = judged(f"{fast:.0f} times real time (goal {SPEED_GOAL:g})", fast >= SPEED_GOAL)
    for title, of_title in sides.items():
        before, after = (words_wrong(of_title, voice, whisper) for voice in (None, Shift()))
        old = total(before)
        new = total(after)
        low, high = interval_of_more(before, after)
        print(f"{title}: {new.share:.1%} of {new.words} words wrong, as recorded {old.share:.1%}")
        what = f"  {new.share - old.share:+.1%} (90 %: {low:+.1%} to {high:+.1%}; goal {WORDS_GOAL:+.0%})"
        # Whoever cannot exclude that a goal is met has not missed it.
        met &= judged(what, low <= WORDS_GOAL)
    embed = speaker_encoder()
    if embed is None or not folder.is_dir():
        print("likeness: not measured, for want of Resemblyzer or of readers")
        return met
    sounds = readers(folder, tuning=False)
    print(f"{len(sounds)} readers; two different ones are alike by {between_speakers(sounds, embed):.2f}")
    means = print_likeness("their own", likenesses(sounds, Shift(), embed))
    met &= judged(f"likeness (goal {LIKENESS_GOAL:.2f})", means.to_recorded <= LIKENESS_GOAL)
    return met & judged(f"halves (goal {HALVES_GOAL:.2f})", means.halves >= HALVES_GOAL)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--voices", default="", help="coefficients to compare, separated by commas")
    parser.add_argument("--whisper", default="base", choices=("base", "tiny.en"))
    chosen = parser.parse_args()
    sides = {"recordings": sides_of_recordings(), "calls": sides_of_calls(chosen.folder / "spokenwoz")}
    sides = {title: of_title for title, of_title in sides.items() if of_title}
    if chosen.voices:
        compare(chosen.voices.split(","), sides, chosen.folder / "readers", chosen.whisper)
        return 0
    return 0 if judge(sides, chosen.folder / "readers", chosen.whisper) else 1


if __name__ == "__main__":
    sys.exit(main())
