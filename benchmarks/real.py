"""What Whisper and Piper do with trained weights: words that are wrong, words that are invented, and time.

    python benchmarks/real.py [FOLDER]
    python benchmarks/real.py --built out/demo

Everything is measured in one run, with the weights of the extra `offline`: word error rates and speed of `tag`
beside three ways of plain faster-whisper, on the bundled recordings and on calls (`spokenwoz` in FOLDER), by
Whisper base and tiny.en; words that are invented on 36 sounds without any; the error rate of what the voice says,
take by take, as Whisper tiny.en recognises it. `--built` compares what `build` has made of the bundled recordings,
and nothing else.
"""

import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import soxr
from measuring import Side, bundled_sides, call_sides, dailytalk, data_parser, judged, print_table, sound_alone
from rapidfuzz.distance import Levenshtein
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

from dailytalk_contiguous.models.whisper import RecogniserInput, recognise, resolve_whisper

#: Goals: word error rates of the recordings, the calls and the voice; sounds that get words of those without any.
RECORDINGS_GOAL = 0.03
CALLS_GOAL = 0.26
VOICE_GOAL = 0.10
INVENTED_GOAL = 2

normalise = EnglishTextNormalizer({})


class Rate(NamedTuple):
    """Words that were said, and those of them that are wrong, missing or invented."""

    words: int
    errors: int

    @property
    def share(self) -> float:
        return self.errors / max(1, self.words)


def error_rate(said: Iterable[str], recognised: Iterable[str]) -> Rate:
    """The word error rate of texts against what was recognised of each."""
    words = 0
    errors = 0
    for text, found in zip(said, recognised, strict=True):
        expected = normalise(text).split()
        errors += Levenshtein.distance(expected, normalise(found).split())
        words += len(expected)
    return Rate(words, errors)


def lines_of(work: Path, name: str = "transcript.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (work / name).read_text(encoding="utf-8").splitlines()]


def recognised_by_tag(work: Path, sides: Iterable[Side], ending: str = "") -> list[str]:
    """What `tag` has recognised of sides; its recordings may have an ending to their names."""
    texts: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for line in lines_of(work):
        texts[line["conversation_id"], line["channel"]].append(line["text_raw"])
    return [" ".join(texts[f"{side.path.stem}{ending}", side.channel]) for side in sides]


def plain_ways(size: str) -> dict[str, Callable[[np.ndarray], str]]:
    """Three ways of faster-whisper by itself, each with word times, as its README has them."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    model = WhisperModel(resolve_whisper(size), device="cpu", compute_type="int8")
    batched = BatchedInferencePipeline(model)

    def text(transcribe: Callable[..., Any], samples: np.ndarray) -> str:
        segments, _ = transcribe(samples, language="en", word_timestamps=True)
        return " ".join(segment.text for segment in segments)

    return {
        "faster-whisper, long-form": partial(text, model.transcribe),
        "faster-whisper, vad_filter": partial(text, partial(model.transcribe, vad_filter=True)),
        "faster-whisper, batched": partial(text, partial(batched.transcribe, batch_size=8)),
    }


def compare_ways(title: str, sides: Sequence[Side], size: str, goal: float | None, folder: Path) -> bool:
    """Word error rates and speed of `tag` and of plain faster-whisper, on the same sounds."""
    inputs = sorted({side.path for side in sides})
    seconds = sum(soundfile.info(path).duration for path in inputs)
    said = [side.text for side in sides]
    print(f"\n{title}: {len(inputs)} recordings, {seconds:.0f} s; Whisper {size}")
    work = folder / "tagged"
    options = ("--profile", "embedded", "--asr-model", size, "--language", "en")
    cost = dailytalk("tag", sound_alone(inputs, folder / "recordings"), "--out", work, *options)
    recognised = recognised_by_tag(work, sides)
    of_tag = error_rate(said, recognised)
    account = json.loads((work / "run.json").read_text())["time"]["stages"]
    ways = [
        ("tag, all stages", of_tag, cost.wall, f"{cost.processor:.1f}"),
        ("tag, Transcribe alone", of_tag, account["Transcribe"][0], ""),
    ]
    sounds = [np.asarray(soxr.resample(*side.sound(), 16000), np.float32) for side in sides]
    for name, recognise_way in plain_ways(size).items():
        recognise_way(sounds[0][:32000])
        started = time.perf_counter()
        started_processor = time.process_time()
        found = [recognise_way(sound) for sound in sounds]
        wall = time.perf_counter() - started
        processor = time.process_time() - started_processor
        ways.append((name, error_rate(said, found), wall, f"{processor:.1f}"))
    rows = [(name, f"{rate.share:.1%}", f"{seconds / wall:.1f}", spent) for name, rate, wall, spent in ways]
    print_table((f"way, {of_tag.words} words", "wrong", "x real time", "processor s"), rows)
    worst = max(error_rate([text], [found]).share for text, found in zip(said, recognised, strict=True))
    figure = f"  {title}: {of_tag.share:.1%} wrong, the worst side {worst:.1%}"
    if goal is None:
        print(figure)
        return True
    return judged(f"{figure} (goal {goal:.0%})", of_tag.share <= goal)


def built(work: Path) -> bool:
    """Word error rates of a finished folder of the bundled recordings: what was recognised, and what is said."""
    sides = bundled_sides()
    rate = error_rate([side.text for side in sides], recognised_by_tag(work, sides))
    wording = f"recognised: {rate.share:.1%} of {rate.words} words wrong (goal {RECORDINGS_GOAL:.0%})"
    return judged(wording, rate.share <= RECORDINGS_GOAL) and voice(work)


def sounds_without_words(seconds: float = 6.0, rate: int = 16000) -> Iterable[tuple[str, np.ndarray]]:
    """Thirty-six sounds: twelve kinds, each at three levels and seeds."""
    t = np.arange(round(seconds * rate)) / rate

    def coloured(rng: np.random.Generator, slope: float, low: float, high: float) -> np.ndarray:
        spectrum = np.fft.rfft(rng.standard_normal(len(t)))
        hertz = np.fft.rfftfreq(len(t), 1 / rate)
        shaped = np.where((hertz >= low) & (hertz <= high), np.maximum(hertz, 20.0) ** slope, 0.0)
        found = np.fft.irfft(spectrum * shaped, len(t))
        return found / np.abs(found).max()

    def bursts(rng: np.random.Generator, every: float, length: float) -> np.ndarray:
        envelope = np.zeros(len(t))
        for start in np.arange(0.3, seconds - length, every):
            first = round((start + rng.uniform(0, 0.1)) * rate)
            window = np.hanning(round(length * rate))
            envelope[first : first + len(window)] += window[: len(envelope) - first]
        return envelope

    def laugh(rng: np.random.Generator) -> np.ndarray:
        pitch = 220 * 2 ** (0.3 * np.sin(2 * np.pi * 0.4 * t))
        voice = np.sign(np.sin(2 * np.pi * np.cumsum(pitch) / rate)) * 0.3 + 0.7 * coloured(rng, -0.5, 300, 3000)
        return voice * bursts(rng, 0.22, 0.12)

    kinds: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
        "silence": lambda rng: rng.standard_normal(len(t)) * 1e-4,
        "white noise": lambda rng: coloured(rng, 0.0, 20, 8000),
        "pink noise": lambda rng: coloured(rng, -0.5, 20, 8000),
        "hum of 50 Hz": lambda rng: sum(np.sin(2 * np.pi * 50 * k * t) / k for k in range(1, 8)) / 2,
        "line noise": lambda rng: coloured(rng, -0.3, 300, 3400),
        "breath": lambda rng: coloured(rng, -0.2, 400, 5000) * bursts(rng, 1.9, 1.1),
        "laughter": laugh,
        "cough": lambda rng: coloured(rng, -0.6, 150, 6000) * bursts(rng, 1.4, 0.25),
        "clicks": lambda rng: bursts(rng, 0.5, 0.004),
        "dial tone": lambda rng: (np.sin(2 * np.pi * 350 * t) + np.sin(2 * np.pi * 440 * t)) / 2,
        "music": lambda rng: sum(np.sin(2 * np.pi * f * t) for f in (220, 277, 330)) / 3 * bursts(rng, 0.6, 0.55),
        "humming": lambda rng: (
            np.sin(2 * np.pi * np.cumsum(180 + 30 * np.sin(2 * np.pi * 0.7 * t)) / rate) * bursts(rng, 1.2, 1.0)
        ),
    }
    for kind, make in kinds.items():
        for number, level in enumerate((0.5, 0.1, 0.02)):
            rng = np.random.default_rng(number + 1)
            room = rng.standard_normal(len(t)) * 2e-4
            yield f"{kind.replace(' ', '_')}_{number}", np.asarray(level * make(rng) + room, np.float32)


def inventions(folder: Path) -> bool:
    """How many sounds without words have some after `tag`."""
    source = folder / "sounds"
    source.mkdir()
    for name, sound in sounds_without_words():
        soundfile.write(source / f"{name}.wav", np.stack([sound, 1e-4 * sound[::-1]], axis=1), 16000)
    dailytalk("tag", source, "--out", folder / "heard", "--profile", "embedded")
    lines = [line for line in lines_of(folder / "heard") if line["channel"] == "left"]
    invented = {line["conversation_id"]: line["text_raw"] for line in lines if line["text_raw"]}
    print(f"\n36 sounds without words: {len({line['conversation_id'] for line in lines})} taken for speech")
    for name, text in invented.items():
        print(f"  {name}: {text!r}")
    return judged(f"  words in {len(invented)} of 36 (goal {INVENTED_GOAL})", len(invented) <= INVENTED_GOAL)


def voice(work: Path) -> bool:
    """The word error rate of each resynthesised line, as Whisper tiny.en recognises it."""
    said = []
    found = []
    for line in lines_of(work, "transcript_shifted.jsonl"):
        if line["status"] != "spoken":
            continue
        path = next((work / "audio").glob(f"{line['conversation_id']}*.wav"))
        rate = soundfile.info(path).samplerate
        samples, _ = soundfile.read(path, dtype="float32", start=round(line["start"] * rate))
        take = samples[: round((line["end"] - line["start"]) * rate), 0]
        said.append(line["text"])
        (words,) = recognise("tiny.en", "cpu", "auto", [RecogniserInput(take, rate, "en")])
        found.append("".join(word.word for word in words))
    rate = error_rate(said, found)
    takes = [error_rate([text], [heard]).share for text, heard in zip(said, found, strict=True)]
    whole = sum(share == 0 for share in takes)
    print(f"the voice joe, {len(takes)} takes, recognised by Whisper tiny.en: {whole} of them without an error")
    wording = f"  {rate.share:.1%} of {rate.words} words wrong (goal {VOICE_GOAL:.0%})"
    return judged(wording, rate.share <= VOICE_GOAL)


def main() -> int:
    parser = data_parser(__doc__, optional=True)
    parser.add_argument("--built", type=Path, help="only compare what `build` has made of the bundled recordings")
    chosen = parser.parse_args()
    if chosen.built:
        return int(not built(chosen.built))
    recordings = bundled_sides()
    met = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = (("bundled", recordings, RECORDINGS_GOAL), ("calls", call_sides(chosen.data), CALLS_GOAL))
        for title, sides, goal in sources:
            for size in ("base", "tiny.en"):
                if sides:
                    goal_of_size = goal if size == "base" else None
                    met.append(compare_ways(title, sides, size, goal_of_size, folder / f"{title}-{size}"))
        met.append(inventions(folder))
        inputs = sorted({side.path for side in recordings})
        dailytalk("build", *inputs, "--out", folder / "built", "--profile", "embedded", "--language", "en")
        met.append(voice(folder / "built"))
    return int(not all(met))


if __name__ == "__main__":
    sys.exit(main())
