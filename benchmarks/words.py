"""How far words are from where they are said, in hand-labelled speech and in Piper's, by recogniser and aligner.

    python benchmarks/words.py FOLDER

FOLDER holds WAV files of one voice, each with a Praat TextGrid beside it whose tier `words` people have labelled.
Each is heard as it is, through a telephone (300 to 3,400 Hz, µ-law), and in pink noise at 20 and 10 dB, is
transcribed, and its words are placed; the true text is laid over the recogniser's words. Piper's times of inner
borders are about 55 ms late: their spread counts.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import scipy.signal
import soundfile
import soxr

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from audio_files import EXAMPLES, conversations, reference

from dailytalk_contiguous import Align, PerUtterance, Segment, Transcribe
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.word_times import Word, by_edit_distance
from dailytalk_contiguous.models.alignment import align, aligner_of
from dailytalk_contiguous.models.contracts import Line, VoiceSettings
from dailytalk_contiguous.models.engines import load_synthesiser, synthesise

#: Seconds of a frame of Moshi's.
MOSHI = 0.08

Timed = tuple[str, float, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", help="WAV files with TextGrids of their words")
    folder = parser.parse_args().folder
    print(f"{'':30}start, ms: bias/median/p90  >100  end: median/p90  frame   ±1   cost")
    for path in sorted(folder.glob("*.wav")) if folder else ():
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        sound = np.asarray(soxr.resample(samples[:, 0], rate, ANALYSIS_RATE), np.float32)
        said = list(labelled(path.with_suffix(".TextGrid")))
        print(f"{path.stem}, {len(said)} words labelled by hand")
        for name, heard in channels(sound):
            given(f"  {name}, given text", heard, said)
            for model in ("base", "tiny.en"):
                recognised(f"  {name}, {model}", heard, said, model)
    print("60 lines by Piper, given text, against its own times")
    piper()


def labelled(path: Path) -> Iterator[Timed]:
    """The words of the tier `words` of a short TextGrid."""
    lines = path.read_text(encoding="utf-8").splitlines()
    first = lines.index('"words"') + 3
    for place in range(first + 1, first + 1 + 3 * int(lines[first]), 3):
        start, end, word = lines[place : place + 3]
        if word.strip('" '):
            yield word.strip('"'), float(start), float(end)


def channels(sound: Samples) -> Iterator[tuple[str, Samples]]:
    yield "studio", sound
    band = scipy.signal.sosfilt(scipy.signal.butter(6, (300, 3400), "bandpass", fs=16000, output="sos"), sound)
    narrow = scipy.signal.resample_poly(band, 1, 2)
    coded = np.round(127 * np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256)) / 127
    decoded = np.sign(coded) * (256 ** np.abs(coded) - 1) / 255
    yield "telephone", np.asarray(scipy.signal.resample_poly(decoded, 2, 1)[: len(sound)], np.float32)
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(len(sound)))
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(1, np.arange(len(spectrum)))), len(sound))
    for decibels in (20, 10):
        gain = np.sqrt(np.mean(sound**2) / np.mean(noise**2)) * 10 ** (-decibels / 20)
        yield f"noise {decibels} dB", np.asarray(sound + gain * noise, np.float32)


def recognised(name: str, sound: Samples, said: list[Timed], model: str) -> None:
    """Words that Whisper recognises on a side of a call, with its times and with an aligner's."""
    room = 1e-4 * np.random.default_rng(1).standard_normal(len(sound)).astype(np.float32)
    batch = conversations(np.stack([sound, room], 1))
    batch |= Segment()(batch)
    batch |= PerUtterance(Transcribe(model, "en"))(batch)
    row = {column: values[0] for column, values in batch.items()}
    kept = [None] * len(row["start"])
    row |= {"source_channel": row["channel"], "text": row["text_raw"], "status": ["kept"] * len(kept)}
    row |= {"new_start": row["start"], "new_end": row["end"], "spoken": kept, "spoken_words": kept}
    row |= {"built_rate": ANALYSIS_RATE, "built_duration": row["duration"], "built_audio": row["audio"]}
    for aligner in ("none", "auto"):
        began = time.perf_counter()
        words = Align("none", aligner).row(row)["alignments"]
        cost = (time.perf_counter() - began) / row["duration"]
        report(f"{name}, {aligner}", [(w["word"], w["start"], w["end"]) for w in words], said, cost)
    began, text = time.perf_counter(), [word for word, *_ in said]
    own = [Word(w["word"], w["start"], w["end"], None) for words in row["words"] for w in words]
    matched = by_edit_distance(text, own, row["duration"]) or []
    cost = (time.perf_counter() - began) / row["duration"]
    report(f"{name}, text over it", [word[:3] for word in matched], said, cost)


def given(name: str, sound: Samples, said: list[Timed]) -> None:
    """The words that were said, in groups of up to 12 s between pauses."""
    groups: list[list[Timed]] = []
    for word in said:
        if not groups or word[1] - groups[-1][-1][2] > 0.3 or word[2] - groups[-1][0][1] > 12.0:
            groups.append([])
        groups[-1].append(word)
    began, found = time.perf_counter(), list[Timed]()
    for group in groups:
        start = max(0.0, group[0][1] - 0.25)
        part = sound[round(start * ANALYSIS_RATE) : round((group[-1][2] + 0.25) * ANALYSIS_RATE)]
        found += placed([word for word, *_ in group], part, start)
    report(name, found, said, (time.perf_counter() - began) / (len(sound) / ANALYSIS_RATE))


def placed(words: list[str], sound: Samples, offset: float = 0.0) -> list[Timed]:
    aligner = aligner_of("auto", "en")
    assert aligner is not None
    return [(w.text, offset + w.start, offset + w.end) for w in align(aligner, sound, words, "en") or ()]


def piper() -> None:
    voice = load_synthesiser("piper", VoiceSettings("", ""))
    lines = [line["text"] for path in sorted(EXAMPLES.glob("*.flac")) for line in reference(path.stem)][:60]
    found, said, offset, seconds = list[Timed](), list[Timed](), 0.0, 0.0
    for text in lines:
        spoken = synthesise(voice, Line(text, "", "en", 0))
        sound = np.asarray(soxr.resample(spoken.samples, spoken.sample_rate, ANALYSIS_RATE), np.float32)
        own = spoken.words or []
        began = time.perf_counter()
        found += placed([word.text for word in own], sound, offset)
        seconds += time.perf_counter() - began
        said += [(word.text, offset + word.start, offset + word.end) for word in own]
        offset += len(sound) / ANALYSIS_RATE
    report("  Piper, given text", found, said, seconds / offset)


def report(name: str, found: list[Timed], said: list[Timed], cost: float) -> None:
    """Print how far the words that are those that were said are from where they are."""
    plain = [["".join(filter(str.isalnum, word.lower())) for word, *_ in words] for words in (said, found)]
    blocks = SequenceMatcher(None, *plain, autojunk=False).get_matching_blocks()
    pairs = [(said[b.a + n], found[b.b + n]) for b in blocks for n in range(b.size)]
    if not pairs:
        print(f"{name:30} no words")
        return
    start, end = (1000 * np.array([ours[edge] - true[edge] for true, ours in pairs]) for edge in (1, 2))
    frames = np.array([int(ours[1] / MOSHI) - int(true[1] / MOSHI) for true, ours in pairs])
    print(
        f"{name:30}{np.median(start):>12.0f} / {np.median(abs(start)):.0f} / {np.percentile(abs(start), 90):<5.0f}"
        f"{np.mean(abs(start) > 100):>6.0%}{np.median(abs(end)):>10.0f} / {np.percentile(abs(end), 90):<5.0f}"
        f"{np.mean(frames == 0):>7.0%}{np.mean(abs(frames) <= 1):>5.0%}{cost:>7.3f}  "
        f"{len(pairs)} of {len(said)} words"
    )


if __name__ == "__main__":
    main()
