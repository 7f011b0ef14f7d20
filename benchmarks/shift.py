"""What a voice of `--tts shift` keeps and what it changes: words, likeness to the recorded speaker, and time.

    python benchmarks/shift.py FOLDER

FOLDER holds `spokenwoz` and `readers`; without one of them its part is left out. Words are recognised in the same
windows of each side of the calls and of the bundled recordings, as recorded and converted. Likeness is the cosine
of speaker embeddings by Resemblyzer, if that can be imported (`pip install --no-deps Resemblyzer
webrtcvad-wheels`). The coefficients were chosen on the readers with ten sentences; the goals are judged on the
others.
"""

import importlib
import itertools
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import soxr
from measuring import Side, bundled_sides, call_sides, data_parser, judged
from real import Rate, error_rate

from dailytalk_contiguous.core.sound.samples import Samples
from dailytalk_contiguous.models.synthesisers.shift import HIGHEST, LOWEST, Shift
from dailytalk_contiguous.models.whisper import RecogniserInput, recognise

#: Goals: multiples of real time on one core; points of words that are wrong, more than as recorded; likeness to
#: the recorded speaker, and of the halves of one converted speaker to each other.
SPEED_GOAL = 18.0
WORDS_GOAL = 0.02
LIKENESS_GOAL = 0.80
HALVES_GOAL = 0.90

#: Hz of speaker embeddings and of readers, of calls, and seconds of a window of words at most.
RATE = 16000
CALL_RATE = 8000
WINDOW_SECONDS = 28.0

#: Readers with as many files were listened to when the coefficients were chosen.
FILES_OF_TUNING = 10


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


def interval_of_more(before: Sequence[Rate], after: Sequence[Rate]) -> tuple[float, float]:
    """The 90 % interval of the share of words that are wrong in `after` alone, by a bootstrap over windows."""
    words = np.array([rate.words for rate in before])
    more = np.array([new.errors - old.errors for old, new in zip(before, after, strict=True)])
    drawn = np.random.default_rng(0).integers(0, len(words), (10_000, len(words)))
    low, high = np.percentile(more[drawn].sum(axis=1) / words[drawn].sum(axis=1), (5, 95))
    return float(low), float(high)


def speaker_encoder() -> Callable[[Samples], Any] | None:
    """Resemblyzer's embedding of 16 kHz sound, of length 1; None where it can't be imported."""
    try:
        resemblyzer: Any = importlib.import_module("resemblyzer")
    except ImportError:
        return None
    encoder = resemblyzer.VoiceEncoder("cpu", verbose=False)

    def embed(sound: Samples) -> Any:
        return encoder.embed_utterance(resemblyzer.preprocess_wav(sound, source_sr=RATE))

    return embed


def readers(folder: Path) -> dict[str, Samples]:
    """Up to 30 s of each reader at 16 kHz by whom no coefficient was chosen."""
    sounds = {}
    for reader in sorted(folder.iterdir()):
        files = sorted(reader.glob("*.flac"))
        if len(files) < FILES_OF_TUNING:
            sound = np.concatenate([soundfile.read(file, dtype="float32")[0] for file in files])
            sounds[reader.name] = sound[: 30 * RATE]
    return sounds


def likenesses(
    sounds: Mapping[str, Samples], sample_rate: int, voice: Shift, embed: Callable[[Samples], Any]
) -> dict[str, Likeness]:
    """How alike each speaker is before and after conversion, by the speaker's name."""

    def embedded(sound: Samples) -> Any:
        return embed(np.asarray(soxr.resample(sound, sample_rate, RATE), np.float32))

    measured = {}
    for speaker, sound in sounds.items():
        converted = voice.convert(sound, sample_rate, speaker)
        half = len(sound) // 2
        measured[speaker] = Likeness(
            float(embedded(sound) @ embedded(converted)),
            float(embedded(sound[:half]) @ embedded(sound[half:])),
            float(embedded(converted[:half]) @ embedded(converted[half:])),
        )
    return measured


def words_wrong(sides: Sequence[Side], converted: bool) -> list[Rate]:
    """Words that are wrong in each window, as recorded or converted. References may begin and end 0.3 s late."""
    texts = []
    sounds = []
    for side in sides:
        sound, rate = side.sound()
        if converted:
            sound = Shift().convert(sound, rate, side.speaker)
        for start, end, text in windows_of(side.said):
            first = max(0, round((start - 0.3) * rate))
            last = round((end + 0.3) * rate)
            sounds.append(RecogniserInput(sound[first:last], rate, "en"))
            texts.append(text)
    recognised = recognise("base", "cpu", "auto", sounds)
    found = ["".join(word.word for word in words) for words in recognised]
    return [error_rate([text], [text_found]) for text, text_found in zip(texts, found, strict=True)]


def judge_speed(sides: Sequence[Side]) -> bool:
    """Print the multiple of real time of all sides, one after another."""
    sounds = [(side, *side.sound()) for side in sides]
    started = time.perf_counter()
    for side, sound, rate in sounds:
        Shift().convert(sound, rate, side.speaker)
    taken = time.perf_counter() - started
    speed = sum(len(sound) / rate for _, sound, rate in sounds) / taken
    return judged(f"{speed:.0f} times real time (goal {SPEED_GOAL:g})", speed >= SPEED_GOAL)


def judge_words(title: str, sides: Sequence[Side]) -> bool:
    """Print how many more words are wrong when converted; a goal that can't be excluded is not missed."""
    before = words_wrong(sides, converted=False)
    after = words_wrong(sides, converted=True)
    n_words = sum(rate.words for rate in before)
    old = sum(rate.errors for rate in before) / n_words
    new = sum(rate.errors for rate in after) / n_words
    low, high = interval_of_more(before, after)
    print(f"{title}: {new:.1%} of {n_words} words wrong, as recorded {old:.1%}")
    what = f"  {new - old:+.1%} (90 %: {low:+.1%} to {high:+.1%}; goal {WORDS_GOAL:+.0%})"
    return judged(what, low <= WORDS_GOAL)


def judge_likeness(title: str, measured: Mapping[str, Likeness]) -> bool:
    """Print how like the recorded voices the converted ones are, and whether the mean meets both goals."""
    values = np.array([*measured.values()])
    means = Likeness(*values.mean(axis=0).tolist())
    likeness = f"{title}: like the recorded speaker {means.to_recorded:.2f}, at most {values[:, 0].max():.2f}"
    is_other = judged(f"{likeness} (goal {LIKENESS_GOAL:.2f})", means.to_recorded <= LIKENESS_GOAL)
    halves = f"  its halves {means.halves:.2f} (as recorded {means.recorded_halves:.2f}"
    return judged(f"{halves}; goal {HALVES_GOAL:.2f})", means.halves >= HALVES_GOAL) and is_other


def main() -> int:
    chosen = data_parser(__doc__).parse_args()
    sides = {"recordings": bundled_sides(), "calls": call_sides(chosen.data)}
    print(f"each speaker has a coefficient from {LOWEST} to {HIGHEST}")
    met = [judge_speed([side for of_title in sides.values() for side in of_title])]
    met += [judge_words(title, of_title) for title, of_title in sides.items() if of_title]
    embed = speaker_encoder()
    if embed is None:
        print("likeness: not measured, for want of Resemblyzer")
        return int(not all(met))
    if sides["calls"]:
        sounds = {side.speaker: side.sound() for side in sides["calls"]}
        of_calls = {speaker: sound for speaker, (sound, _) in sounds.items()}
        met.append(judge_likeness("calls", likenesses(of_calls, CALL_RATE, Shift(), embed)))
    folder = chosen.data / "readers"
    if folder.is_dir():
        of_readers = readers(folder)
        pairs = itertools.combinations([embed(sound) for sound in of_readers.values()], 2)
        different = np.mean([first @ second for first, second in pairs])
        print(f"{len(of_readers)} readers; two different ones are alike by {different:.2f}")
        met.append(judge_likeness("readers", likenesses(of_readers, RATE, Shift(), embed)))
    return int(not all(met))


if __name__ == "__main__":
    sys.exit(main())
