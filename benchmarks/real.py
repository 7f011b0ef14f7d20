"""What Whisper and Piper do with trained weights: words that are wrong, words that are invented, and time.

    python benchmarks/real.py [--calls FOLDER] [--whisper base]
    python benchmarks/real.py --built out/demo

Everything is measured in one run, with the weights of the extra `offline`: word error rates and speed of `tag`
beside three ways of plain faster-whisper, on the bundled recordings and on calls (WAVs with a JSON of their words
beside them; without the folder only the former); words that are invented on 36 sounds without any; the error rate
of what the voice says, take by take, as the other size of Whisper recognises it; seconds of each stage, and what
Align takes for a second of speech where the voice tells no word times. `--built` compares what `build` has made
of the bundled recordings, and nothing else.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import soxr
from measuring import EXAMPLES, dailytalk, judged, references
from rapidfuzz.distance import Levenshtein
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

from dailytalk_contiguous.models.whisper import RecogniserInput, find_whisper, recognise

#: Goals: word error rates of the recordings, the calls and the voice; the speed of `build` on calls; seconds that
#: Align may take for one of speech; utterances with words among the sounds without any.
RECORDINGS_GOAL = 0.03
CALLS_GOAL = 0.26
VOICE_GOAL = 0.10
SPEED_GOAL = 4.0
ALIGN_GOAL = 0.05
INVENTED_GOAL = 2

#: A voice that tells no word times: Piper, without what it knows.
UNTIMED = """
from dataclasses import replace
from dailytalk_contiguous.models.synthesisers.piper import ENGINE as PIPER, Piper

class Untimed(Piper):
    engine = "untimed"

    def speak(self, *line):
        return super().speak(*line)._replace(words=None)

ENGINE = replace(PIPER, name="untimed", load=lambda chosen: Untimed(chosen.voice), tells_words=False)
"""

normalise = EnglishTextNormalizer({})

#: What is said on each side of each recording, by the file and the side.
Texts = dict[tuple[Path, str], str]


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


def said_in_recordings() -> Texts:
    return {
        (EXAMPLES / f"{name}.flac", side): " ".join(
            line["text"] for line in reference["utterances"] if line["channel"] == side
        )
        for name, reference in references().items()
        for side in ("left", "right")
    }


def said_in_calls(folder: Path) -> Texts:
    texts = {}
    for path in sorted(folder.glob("*.wav")):
        words = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        for side, speaker in (("left", "A"), ("right", "B")):
            texts[path, side] = " ".join(word["word"] for word in words if word["speaker"] == speaker)
    return texts


def sound_alone(inputs: Iterable[Path], folder: Path) -> Path:
    """A folder of the recordings without the transcripts beside them, which `tag` would take."""
    source = folder / "recordings"
    source.mkdir(exist_ok=True)
    for path in inputs:
        shutil.copy(path, source)
    return source


def lines_of(work: Path, name: str = "transcript.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (work / name).read_text(encoding="utf-8").splitlines()]


def recognised_by_tag(work: Path, texts: Texts) -> list[str]:
    lines = lines_of(work)
    return [
        " ".join(
            line["text_raw"] for line in lines if line["conversation_id"] == path.stem and line["channel"] == side
        )
        for path, side in texts
    ]


def channels(texts: Texts) -> list[np.ndarray]:
    """The sound of each side at 16 kHz."""
    sounds = []
    for path, side in texts:
        samples, rate = soundfile.read(path, dtype="float32")
        channel = samples[:, ("left", "right").index(side)]
        sounds.append(np.asarray(soxr.resample(channel, rate, 16000), np.float32))
    return sounds


def plain_ways(size: str) -> dict[str, Callable[[np.ndarray], str]]:
    """Three ways of faster-whisper by itself, each with word times, as its README has them."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    model = WhisperModel(find_whisper(size), device="cpu", compute_type="int8")
    batched = BatchedInferencePipeline(model)

    def text(transcribe: Callable[..., Any], samples: np.ndarray) -> str:
        segments, _ = transcribe(samples, language="en", word_timestamps=True)
        return " ".join(segment.text for segment in segments)

    return {
        "faster-whisper, long-form": partial(text, model.transcribe),
        "faster-whisper, vad_filter": partial(text, partial(model.transcribe, vad_filter=True)),
        "faster-whisper, batched": partial(text, partial(batched.transcribe, batch_size=8)),
    }


def compare_ways(title: str, texts: Texts, size: str, goal: float | None, folder: Path) -> bool:
    """Word error rates and speed of `tag` and of plain faster-whisper, on the same sounds."""
    inputs = sorted({path for path, _ in texts})
    seconds = sum(soundfile.info(path).duration for path in inputs)
    source = sound_alone(inputs, folder)
    print(f"\n{title}: {len(inputs)} recordings, {seconds:.0f} s; Whisper {size}")
    work = folder / "tagged"
    cost = dailytalk(
        "tag", source, "--out", work, "--profile", "embedded", "--asr-model", size, "--language", "en"
    )
    recognised = recognised_by_tag(work, texts)
    of_tag = error_rate(texts.values(), recognised)
    account = json.loads((work / "run.json").read_text())["time"]["stages"]
    transcribe_wall = account["Transcribe"][0]
    rows: list[tuple[str, Rate, float, float | None]] = [
        ("tag, all stages", of_tag, cost.wall, cost.processor),
        ("tag, Transcribe alone", of_tag, transcribe_wall, None),
    ]
    for name, recognise_way in plain_ways(size).items():
        sounds = channels(texts)
        recognise_way(sounds[0][:32000])
        started = time.perf_counter()
        started_processor = time.process_time()
        found = [recognise_way(sound) for sound in sounds]
        wall = time.perf_counter() - started
        processor = time.process_time() - started_processor
        rows.append((name, error_rate(texts.values(), found), wall, processor))
    for name, rate, wall, seconds_of_processor in rows:
        processor_time = (
            "" if seconds_of_processor is None else f", {seconds_of_processor:.1f} s of processor time"
        )
        speed = f"{seconds / wall:8.1f} x real time{processor_time}"
        print(f"  {name:28}{rate.share:7.1%} of {rate.words} words wrong{speed}")
    sides = [error_rate([text], [found]) for text, found in zip(texts.values(), recognised, strict=True)]
    worst = max(side.share for side in sides)
    told = f"  {title}: {of_tag.share:.1%} wrong, the worst side {worst:.1%}"
    if goal is None:
        print(told)
        return True
    return judged(f"{told} (goal {goal:.0%})", of_tag.share <= goal)


def built(work: Path) -> bool:
    """Word error rates of a finished folder of the bundled recordings: what was recognised, and what is said."""
    texts = said_in_recordings()
    rate = error_rate(texts.values(), recognised_by_tag(work, texts))
    wording = f"recognised: {rate.share:.1%} of {rate.words} words wrong (goal {RECORDINGS_GOAL:.0%})"
    return judged(wording, rate.share <= RECORDINGS_GOAL) and voice(work, "tiny.en")


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


def inventions(size: str, folder: Path) -> bool:
    """How many sounds without words have some after `tag`."""
    source = folder / "sounds"
    source.mkdir()
    for name, sound in sounds_without_words():
        soundfile.write(source / f"{name}.wav", np.stack([sound, 1e-4 * sound[::-1]], axis=1), 16000)
    dailytalk("tag", source, "--out", folder / "heard", "--profile", "embedded", "--asr-model", size)
    lines = [line for line in lines_of(folder / "heard") if line["channel"] == "left"]
    invented = {line["conversation_id"]: line["text_raw"] for line in lines if line["text_raw"]}
    print(f"\n36 sounds without words: {len({line['conversation_id'] for line in lines})} taken for speech")
    for name, text in invented.items():
        print(f"  {name}: {text!r}")
    return judged(f"  words in {len(invented)} of 36 (goal {INVENTED_GOAL})", len(invented) <= INVENTED_GOAL)


def voice(work: Path, other: str) -> bool:
    """The word error rate of each resynthesised line, as the other size of Whisper recognises it."""
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
        (words,) = recognise(other, "cpu", "auto", [RecogniserInput(take, rate, "en")])
        found.append("".join(word.text for word in words))
    rate = error_rate(said, found)
    takes = [error_rate([text], [heard]).share for text, heard in zip(said, found, strict=True)]
    whole = sum(share == 0 for share in takes)
    print(f"the voice joe, {len(takes)} takes, recognised by Whisper {other}: {whole} of them without an error")
    for text, heard, share in zip(said, found, takes, strict=True):
        if share > 0.34:
            print(f"  {share:5.0%}  {text!r} -> {heard.strip()!r}")
    return judged(
        f"  {rate.share:.1%} of {rate.words} words wrong (goal {VOICE_GOAL:.0%})", rate.share <= VOICE_GOAL
    )


def stages(inputs: list[Path], folder: Path, size: str) -> bool:
    """Seconds of each stage of `build`, with a voice that tells word times and with one that does not."""
    seconds = sum(soundfile.info(path).duration for path in inputs)
    source = sound_alone(inputs, folder)
    cost = dailytalk(
        "build",
        source,
        "--out",
        folder / "timed",
        "--profile",
        "embedded",
        "--asr-model",
        size,
        "--language",
        "en",
    )
    own = folder / "untimed_voice.py"
    own.write_text(UNTIMED)
    dailytalk(
        "build",
        source,
        "--out",
        folder / "untimed",
        "--profile",
        "embedded",
        "--language",
        "en",
        "--asr-model",
        size,
        "--tts",
        own,
    )
    taken = {}
    speech = 0.0
    for name in ("timed", "untimed"):
        record = json.loads((folder / name / "run.json").read_text())
        speech = 3600 * record["hours"]["speech"]
        stages_of = record["time"]["stages"] | record["speak"]["time"]["stages"]
        taken[name] = {stage: took[0] for stage, took in stages_of.items()}
    print(f"\nseconds of each stage for {seconds:.0f} s, Whisper {size}:")
    for stage, took in taken["timed"].items():
        print(f"  {stage:16}{took:8.2f}{taken['untimed'][stage]:8.2f} with a voice that tells no word times")
    each = taken["untimed"]["Align"] / speech
    aligned = judged(f"  Align: {each:.3f} s a second of speech (goal {ALIGN_GOAL:g})", each <= ALIGN_GOAL)
    speed = seconds / cost.wall
    return judged(f"  build: {speed:.1f} x real time (goal {SPEED_GOAL:g})", speed >= SPEED_GOAL) and aligned


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=Path, help="a folder of recorded calls with the JSON of their words")
    parser.add_argument("--built", type=Path, help="only compare what `build` has made of the bundled recordings")
    parser.add_argument("--whisper", default="base", choices=("base", "tiny.en"))
    chosen = parser.parse_args()
    other = "tiny.en" if chosen.whisper == "base" else "base"
    if chosen.built:
        return 0 if built(chosen.built) else 1
    recordings = said_in_recordings()
    calls = said_in_calls(chosen.calls) if chosen.calls else {}
    met = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for title, texts, goal in (("bundled", recordings, RECORDINGS_GOAL), ("calls", calls, CALLS_GOAL)):
            if texts:
                for size in (chosen.whisper, other):
                    inside = folder / f"{title}-{size}"
                    inside.mkdir()
                    met.append(compare_ways(title, texts, size, goal if size == chosen.whisper else None, inside))
        met.append(inventions(chosen.whisper, folder))
        names = sorted({path for path, _ in recordings})
        dailytalk("build", *names, "--out", folder / "built", "--profile", "embedded", "--language", "en")
        print()
        met.append(voice(folder / "built", other))
        met.append(stages(sorted({path for path, _ in calls or recordings}), folder, chosen.whisper))
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
