"""How far words are from where people who labelled them by hand say that they are, by recogniser and aligner.

    python benchmarks/words.py FOLDER

FOLDER holds recordings of one voice (`.wav`, `.flac`), at any depth. Beside each is a Praat TextGrid with a tier
`words`, or a `.wrd` file as TIMIT has it: start, end and word, in samples of the recording. The recordings with a
`.wrd` file in one folder are sentences of one speaker, and become the left side of one conversation, with a second
of room tone between them. A recording with a TextGrid is a conversation of its own.

Each conversation is heard as recorded and by telephone (300 to 3,400 Hz, µ-law), those with a TextGrid also in
pink noise at 20 and 10 dB. Its words are placed in these ways:

- given text: a transcript has the text and the times of each line, not of its words, as an SRT file does.
  `Segment`, `MatchTranscript`, `Transcribe` and `Align` do the rest, as in a run.
- base, aligned; tiny.en, aligned: Whisper recognises the words, and an aligner places them.
- base's own, tiny.en's own: Whisper recognises the words, and its times are kept.
- text over base: the true text gets the times of the words of Whisper base that it matches.

Errors are those of all words that are in the text and in the output, whether the aligner has placed them or not.

Limits of `models.sphinx`, `models.aligners.pocketsphinx` and `models.whisper` were chosen on the speakers of TIMIT
whose names begin as `CHOSEN_ON`. Their figures are printed, but only those of others are judged.
"""

import argparse
import operator
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, NamedTuple

import measuring
import numpy as np
import scipy.signal
import soundfile
import soxr
from audio_files import conversations, room_tone
from numpy.typing import NDArray

from dailytalk_contiguous import Align, PerUtterance, Segment, Transcribe
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.word_times import Word, by_edit_distance, normalise
from dailytalk_contiguous.models.alignment import align, aligner_of
from dailytalk_contiguous.models.contracts import Line, VoiceSettings
from dailytalk_contiguous.models.engines import load_synthesiser, synthesise
from dailytalk_contiguous.stages.match_transcript import MatchTranscript

#: Seconds of a frame of Moshi's.
MOSHI_FRAME = 0.08

#: Speakers of TIMIT, by how their names begin, on whom limits were chosen; and those on whom none was.
CHOSEN_ON = ("dr1", "dr2", "dr3", "dr4")
UNHEARD = ("dr5", "dr6", "dr7", "dr8")
CHOSEN_GROUP = "TIMIT dr1-dr4"
UNHEARD_GROUP = "TIMIT dr5-dr8"
OTHER_GROUP = "other speakers"

#: Seconds of room tone around and between the sentences of a speaker, and its level.
BETWEEN = 1.0
ROOM_DBFS = -80.0

#: A labelled pause of more seconds than this ends a line of the given transcript, whose times are in tenths.
LINE_PAUSE = 0.3

#: Where the voices are heard.
WIDE = "wide band"
TELEPHONE = "telephone"
NOISE = "noise 20 dB"
LOUD_NOISE = "noise 10 dB"

#: The ways in which words are placed.
GIVEN = "given text"
BASE = "base, aligned"
TINY = "tiny.en, aligned"
BASE_OWN = "base's own"
TINY_OWN = "tiny.en's own"
TEXT_OVER_BASE = "text over base"

#: Noise at full scale reaches `LOUD`. More than a share `ROUGH_SHARE` of `ROUGH_SAMPLES` samples have a step of
#: more than `ROUGH` between the slopes beside them, as loud sibilants do, too. The byte that was lost is less than
#: `NEAR_BYTES` away.
LOUD = 30000
ROUGH = 12000
ROUGH_SHARE = 0.15
ROUGH_SAMPLES = 160
NEAR_BYTES = 1600

#: Samples before and behind a byte in which it is judged how smooth the wave is with it.
SMOOTH_BEFORE = 100
SMOOTH_AROUND = 700

#: More bytes than this are not lost in one sentence.
MOST_BYTES = 20

#: What others publish about the test speakers of TIMIT, given the text.
PUBLISHED = (
    "Published for TIMIT with given text, mean error of both edges: MFA 18.8 ms, Qwen3-ForcedAligner 29.8 ms, "
    "WhisperX 47.0 ms; F1 of edges at 20 ms: MFA .730"
)


class Timed(NamedTuple):
    """A word at `start`..`end` seconds; `aligned`: an aligner has placed it. `line`: the sentence it is from."""

    text: str
    start: float
    end: float
    aligned: bool = False
    line: str = ""


class Talk(NamedTuple):
    """What one voice says in mono `sound` at 16 kHz, by hand: `said` in order, and the words of each line."""

    name: str
    group: str
    sound: Samples
    lines: list[list[Timed]]
    in_noise: bool

    @property
    def said(self) -> list[Timed]:
        return [word for line in self.lines for word in line]


class Outcome(NamedTuple):
    """The words that a way gives for a talk, and the seconds of processor time that placing them took."""

    said: list[Timed]
    output: list[Timed]
    processor_seconds: float
    speech_seconds: float


class Figures(NamedTuple):
    """How far words are from where they are said: milliseconds, shares, seconds of processor time a second."""

    n_said: int
    n_compared: int
    placed: float
    start_bias: float
    start_median: float
    start_mean: float
    end_median: float
    end_mean: float
    edge_mean: float
    within_20: float
    within_50: float
    late_starts: float
    right_frame: float
    near_frame: float
    cost: float


class Goal(NamedTuple):
    """A limit of a figure of `Figures`, for a group of voices as they are heard, and a way to place words."""

    group: str
    channel: str
    way: str
    figure: str
    compare: Callable[[float, float], bool]
    limit: float


AT_LEAST = operator.ge
AT_MOST = operator.le

GOALS = (
    Goal(UNHEARD_GROUP, WIDE, GIVEN, "placed", AT_LEAST, 0.98),
    Goal(UNHEARD_GROUP, WIDE, GIVEN, "edge_mean", AT_MOST, 20),
    Goal(UNHEARD_GROUP, WIDE, GIVEN, "within_20", AT_LEAST, 0.70),
    Goal(UNHEARD_GROUP, WIDE, GIVEN, "late_starts", AT_MOST, 0.02),
    Goal(UNHEARD_GROUP, WIDE, BASE, "edge_mean", AT_MOST, 24),
    Goal(UNHEARD_GROUP, WIDE, BASE, "late_starts", AT_MOST, 0.02),
    Goal(UNHEARD_GROUP, TELEPHONE, BASE, "edge_mean", AT_MOST, 24),
    Goal(UNHEARD_GROUP, TELEPHONE, BASE, "late_starts", AT_MOST, 0.025),
    Goal("cold_corpus", TELEPHONE, GIVEN, "start_median", AT_MOST, 30),
    Goal("cold_corpus", TELEPHONE, GIVEN, "late_starts", AT_MOST, 0.25),
    Goal("acoustic_corpus", WIDE, GIVEN, "start_median", AT_MOST, 15),
    Goal("acoustic_corpus", WIDE, GIVEN, "end_median", AT_MOST, 15),
    Goal("acoustic_corpus", WIDE, GIVEN, "late_starts", AT_MOST, 0.10),
    Goal("acoustic_corpus", TELEPHONE, GIVEN, "start_median", AT_MOST, 15),
    Goal("acoustic_corpus", TELEPHONE, GIVEN, "end_median", AT_MOST, 15),
    Goal("acoustic_corpus", TELEPHONE, GIVEN, "late_starts", AT_MOST, 0.10),
    Goal("acoustic_corpus", LOUD_NOISE, GIVEN, "start_median", AT_MOST, 15),
    Goal("acoustic_corpus", LOUD_NOISE, GIVEN, "end_median", AT_MOST, 15),
    Goal("acoustic_corpus", LOUD_NOISE, GIVEN, "late_starts", AT_MOST, 0.10),
    Goal("acoustic_corpus", WIDE, BASE, "start_median", AT_MOST, 20),
    Goal("acoustic_corpus", WIDE, BASE, "end_median", AT_MOST, 20),
    Goal("acoustic_corpus", WIDE, BASE, "late_starts", AT_MOST, 0.12),
    Goal("acoustic_corpus", WIDE, BASE, "right_frame", AT_LEAST, 0.65),
    Goal("acoustic_corpus", TELEPHONE, BASE, "start_median", AT_MOST, 25),
    Goal("acoustic_corpus", TELEPHONE, BASE, "end_median", AT_MOST, 35),
    Goal("acoustic_corpus", TELEPHONE, BASE, "late_starts", AT_MOST, 0.20),
    Goal("acoustic_corpus", TELEPHONE, BASE, "right_frame", AT_LEAST, 0.52),
    Goal(UNHEARD_GROUP, WIDE, GIVEN, "cost", AT_MOST, 0.05),
    Goal(UNHEARD_GROUP, TELEPHONE, BASE, "cost", AT_MOST, 0.05),
)

#: How the figures of goals are called, with the factor and the unit of their numbers.
NAMES = {
    "placed": ("words placed by the aligner", 100, "%"),
    "start_median": ("median error of starts", 1, "ms"),
    "end_median": ("median error of ends", 1, "ms"),
    "edge_mean": ("mean error of both edges", 1, "ms"),
    "within_20": ("edges within 20 ms", 100, "%"),
    "late_starts": ("starts over 100 ms away", 100, "%"),
    "right_frame": ("words in the right frame", 100, "%"),
    "cost": ("processor time of Align for a second of speech", 1, "s"),
}

#: A group of voices, where it is heard, and a way.
Key = tuple[str, str, str]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="recordings with their labels beside them")
    parser.add_argument("--as-given", action="store_true", help="measure damaged files without mending them")
    parser.add_argument("--worst", type=int, default=0, metavar="N", help="name the N words that are furthest off")
    chosen = parser.parse_args()
    outcomes: dict[Key, list[Outcome]] = defaultdict(list)
    if chosen.folder:
        for talk in talks_in(chosen.folder, not chosen.as_given):
            measure(talk, outcomes)
    figures = {key: figures_of(results) for key, results in outcomes.items()}
    print_figures(figures)
    print(f"\n{PUBLISHED}\n")
    is_met = True
    for goal in GOALS:
        if not judged(goal, figures):
            is_met = False
    if chosen.worst:
        print_worst(outcomes, chosen.worst)
    piper()
    return 0 if is_met else 1


def talks_in(folder: Path, mend: bool) -> list[Talk]:
    """The conversations of a folder: a speaker of TIMIT has one, a recording with a TextGrid is one."""
    talks: list[Talk] = []
    sentences: dict[Path, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.suffix not in (".wav", ".flac"):
            continue
        if path.with_suffix(".wrd").exists():
            sentences[path.parent].append(path)
        elif path.with_suffix(".TextGrid").exists():
            talks.append(recorded_talk(path))
        else:
            print(f"{path} is left out: there is neither a .TextGrid nor a .wrd file beside it")
    n_files = 0
    n_mended = 0
    for speaker, paths in sentences.items():
        talk, n_damaged = spoken_talk(speaker.name, paths, mend)
        talks.append(talk)
        n_files += len(paths)
        n_mended += n_damaged
    if n_files and mend:
        print(f"{n_mended} of {n_files} files with .wrd labels had lost bytes, and are mended")
    elif n_files:
        print(f"{n_files} files with .wrd labels are measured as they are, damaged or not")
    if not talks:
        raise SystemExit(f"{folder} has no recordings with a .TextGrid or a .wrd file beside them")
    return talks


def recorded_talk(path: Path) -> Talk:
    """A recording with a TextGrid, whose words are in one line up to each pause."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    lines: list[list[Timed]] = []
    for word in textgrid_words(path.with_suffix(".TextGrid")):
        if not lines or word.start - lines[-1][-1].end > LINE_PAUSE:
            lines.append([])
        lines[-1].append(word)
    named = [[word._replace(line=text_of(line)) for word in line] for line in lines]
    return Talk(path.stem, path.stem, at_analysis_rate(samples[:, 0], rate), named, in_noise=True)


def textgrid_words(path: Path) -> Iterator[Timed]:
    """The words of the tier `words` of a short TextGrid, in seconds."""
    rows = path.read_text(encoding="utf-8").splitlines()
    n_intervals_row = rows.index('"words"') + 3
    first_row = n_intervals_row + 1
    for row in range(first_row, first_row + 3 * int(rows[n_intervals_row]), 3):
        start, end, label = rows[row : row + 3]
        word = label.strip('" ')
        if word:
            yield Timed(word, float(start), float(end))


def spoken_talk(speaker: str, paths: Sequence[Path], mend: bool) -> tuple[Talk, int]:
    """The sentences of a speaker one after the other, with room tone between them; and how many were mended."""
    pieces = [room_tone(round(BETWEEN * ANALYSIS_RATE), ROOM_DBFS)]
    lines: list[list[Timed]] = []
    n_mended = 0
    for number, path in enumerate(paths):
        samples, rate, n_bytes = sentence_samples(path, mend)
        if n_bytes:
            n_mended += 1
        offset = sum(map(len, pieces)) / ANALYSIS_RATE
        line = []
        for row in path.with_suffix(".wrd").read_text(encoding="utf-8").splitlines():
            if not row.strip():
                continue
            first, last, text = row.split()
            line.append(Timed(text, offset + int(first) / rate, offset + int(last) / rate))
        lines.append([word._replace(line=f"{speaker}/{path.stem}: {text_of(line)}") for word in line])
        pieces.append(at_analysis_rate(samples, rate))
        pieces.append(room_tone(round(BETWEEN * ANALYSIS_RATE), ROOM_DBFS, seed=number + 2))
    return Talk(speaker, group_of(speaker), np.concatenate(pieces), lines, in_noise=False), n_mended


def group_of(speaker: str) -> str:
    if speaker.startswith(CHOSEN_ON):
        return CHOSEN_GROUP
    if speaker.startswith(UNHEARD):
        return UNHEARD_GROUP
    return OTHER_GROUP


def text_of(line: Sequence[Timed]) -> str:
    return " ".join(word.text for word in line)


def at_analysis_rate(samples: NDArray[np.float32], rate: int) -> Samples:
    return np.asarray(soxr.resample(samples, rate, ANALYSIS_RATE), np.float32)


def sentence_samples(path: Path, mend: bool) -> tuple[Samples, int, int]:
    """Samples of a sentence, shape (n,), their rate, and how many lost bytes were put back."""
    if soundfile.info(path).subtype != "PCM_16":
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        return samples[:, 0], rate, 0
    stored, rate = soundfile.read(path, dtype="int16", always_2d=True)
    whole = stored[:, 0]
    n_bytes = 0
    if mend:
        try:
            whole, n_bytes = mended(whole)
        except ValueError as error:
            raise SystemExit(f"{path}: {error}; --as-given measures it as it is") from None
    return np.asarray(whole / 32768, np.float32), rate, n_bytes


def mended(samples: NDArray[np.int16]) -> tuple[NDArray[np.int16], int]:
    """Samples, shape (n,), with the bytes that they lost put back, and how many these are.

    22 of the 80 sentences of TIMIT that we measure are damaged in the WAV files that they come from: each pair of
    the bytes 0x0D 0x0A became 0x0A, as if samples were lines of a text. One byte is lost there, so that the halves
    of all samples behind it are swapped, which is noise at full scale, until the next byte is lost. Here 0x0D is
    put back before the 0x0A at which the wave becomes smoothest, as often as there is such noise. Sound without it
    is returned as it is.

    A byte 0x0D without a 0x0A behind it became 0x0A, too, in all 80. That moves about one in 2,000 samples by 768
    steps of 16 bits, and stays: guessing which moves mean errors by up to 0.3 ms, to either side.

    Raises ValueError for noise that no lost byte explains.
    """
    data = samples.astype("<i2").tobytes()
    n_bytes = 0
    while True:
        wave = wave_of(data)
        is_rough = np.abs(np.diff(wave, 2)) > ROUGH
        rough_shares = np.convolve(is_rough, np.full(ROUGH_SAMPLES, 1 / ROUGH_SAMPLES), "same")
        noisy = np.flatnonzero(rough_shares > ROUGH_SHARE)
        if not len(noisy) or np.abs(wave).max() < LOUD:
            return wave.astype(np.int16), n_bytes
        first = 2 * int(noisy[0])
        candidates = [
            position
            for position in range(max(0, first - NEAR_BYTES), min(len(data), first + NEAR_BYTES))
            if data[position : position + 1] == b"\n"
        ]
        if not candidates or n_bytes == MOST_BYTES:
            raise ValueError("it has noise at full scale that no lost byte explains")
        best = min(candidates, key=lambda position: roughness(with_byte(data, position), position))
        data = with_byte(data, best)
        n_bytes += 1


def wave_of(data: bytes) -> NDArray[np.float64]:
    """The 16-bit samples of bytes, without half a sample at their end."""
    whole_samples = data[: len(data) // 2 * 2]
    return np.frombuffer(whole_samples, "<i2").astype(np.float64)


def with_byte(data: bytes, position: int) -> bytes:
    return data[:position] + b"\r" + data[position:]


def roughness(data: bytes, position: int) -> float:
    """How much the slope of the wave changes from sample to sample around a byte."""
    first = max(0, position // 2 - SMOOTH_BEFORE)
    wave = wave_of(data[2 * first : 2 * (first + SMOOTH_AROUND)])
    return float(np.abs(np.diff(wave, 2)).mean())


def channels(sound: Samples) -> Iterator[tuple[str, Samples]]:
    """How a voice is heard: as recorded, by telephone, and in pink noise at 20 and 10 dB."""
    yield WIDE, sound
    band_filter = scipy.signal.butter(6, (300, 3400), "bandpass", fs=ANALYSIS_RATE, output="sos")
    narrow = scipy.signal.resample_poly(scipy.signal.sosfilt(band_filter, sound), 1, 2)
    coded = np.round(127 * np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256)) / 127
    decoded = np.sign(coded) * (256 ** np.abs(coded) - 1) / 255
    yield TELEPHONE, np.asarray(scipy.signal.resample_poly(decoded, 2, 1)[: len(sound)], np.float32)
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(len(sound)))
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(1, np.arange(len(spectrum)))), len(sound))
    for name, decibels in ((NOISE, 20), (LOUD_NOISE, 10)):
        gain = np.sqrt(np.mean(sound**2) / np.mean(noise**2)) * 10 ** (-decibels / 20)
        yield name, np.asarray(sound + gain * noise, np.float32)


def measure(talk: Talk, outcomes: dict[Key, list[Outcome]]) -> None:
    """Add the outcome of each way to place the words of a talk, wherever it is heard."""
    for channel, sound in channels(talk.sound):
        if channel in (NOISE, LOUD_NOISE) and not talk.in_noise:
            continue
        segmented = segmented_batch(sound)
        for way, outcome in placed_in_all_ways(talk, segmented):
            outcomes[talk.group, channel, way].append(outcome)


def segmented_batch(sound: Samples) -> dict[str, list[Any]]:
    """A conversation with a voice on its left side, a room on its right one, and its utterances."""
    room = room_tone(len(sound), ROOM_DBFS)
    batch = conversations(np.stack([sound, room], axis=1))
    return batch | Segment()(batch)


def placed_in_all_ways(talk: Talk, segmented: dict[str, list[Any]]) -> Iterator[tuple[str, Outcome]]:
    """Each way to place the words of a talk, and its outcome."""
    transcript = [cue_of(line) for line in talk.lines]
    matched = segmented | {"given": [transcript]}
    matched |= MatchTranscript()(matched)
    row = transcribed(matched, "base")
    yield GIVEN, aligned(talk, row, "auto")
    row = transcribed(segmented, "base")
    yield BASE, aligned(talk, row, "auto")
    yield BASE_OWN, aligned(talk, row, "none")
    yield TEXT_OVER_BASE, laid_over(talk, row)
    row = transcribed(segmented, "tiny.en")
    yield TINY, aligned(talk, row, "auto")
    yield TINY_OWN, aligned(talk, row, "none")


def cue_of(line: Sequence[Timed]) -> dict[str, Any]:
    """A line of a transcript as an SRT file has it: its text, with times that are rounded outwards to 0.1 s."""
    start = np.floor(10 * line[0].start) / 10
    end = np.ceil(10 * line[-1].end) / 10
    return {"channel": "left", "start": float(start), "end": float(end), "text": text_of(line), "words": []}


def transcribed(batch: dict[str, list[Any]], model: str) -> dict[str, Any]:
    """The row of a conversation with the words of each utterance, on the timeline that it was recorded on."""
    batch = batch | PerUtterance(Transcribe(model, "en"))(batch)
    row = {column: values[0] for column, values in batch.items()}
    nothing = [None] * len(row["start"])
    row["source_channel"] = row["channel"]
    row["text"] = row["text_raw"]
    row["status"] = ["kept"] * len(nothing)
    row["new_start"] = row["start"]
    row["new_end"] = row["end"]
    row["spoken"] = nothing
    row["spoken_words"] = nothing
    row["built_rate"] = ANALYSIS_RATE
    row["built_duration"] = row["duration"]
    row["built_audio"] = row["audio"]
    return row


def aligned(talk: Talk, row: dict[str, Any], aligner: str) -> Outcome:
    """The words of a row as `Align` places them."""
    began = time.process_time()
    alignments = Align("none", aligner).row(row)["alignments"]
    processor_seconds = time.process_time() - began
    output = [
        Timed(word["word"], word["start"], word["end"], word["source"].startswith("aligned"))
        for word in alignments
    ]
    return Outcome(talk.said, output, processor_seconds, speech_seconds(row))


def laid_over(talk: Talk, row: dict[str, Any]) -> Outcome:
    """The true text with the times of the recognised words that it matches, as where no aligner can place it."""
    began = time.process_time()
    recognised = [Word(word["word"], word["start"], word["end"], None) for words in row["words"] for word in words]
    text = [word.text for word in talk.said]
    matched = by_edit_distance(text, recognised, row["duration"]) or []
    processor_seconds = time.process_time() - began
    output = [Timed(word.text, word.start, word.end) for word in matched]
    return Outcome(talk.said, output, processor_seconds, speech_seconds(row))


def speech_seconds(row: dict[str, Any]) -> float:
    return sum(row["end"]) - sum(row["start"])


def compared(outcome: Outcome) -> list[tuple[Timed, Timed]]:
    """The words that are in the text and in the output, in pairs: as said, and as placed."""
    said = [normalise(word.text) for word in outcome.said]
    output = [normalise(word.text) for word in outcome.output]
    pairs: list[tuple[Timed, Timed]] = []
    for block in SequenceMatcher(None, said, output, autojunk=False).get_matching_blocks():
        for number in range(block.size):
            pairs.append((outcome.said[block.a + number], outcome.output[block.b + number]))
    return pairs


def figures_of(outcomes: Sequence[Outcome]) -> Figures | None:
    """The figures of all words of some talks; None if none of them is in the output."""
    pairs = [pair for outcome in outcomes for pair in compared(outcome)]
    if not pairs:
        return None
    n_said = sum(len(outcome.said) for outcome in outcomes)
    n_aligned = sum(placed.aligned for _, placed in pairs)
    true_starts = np.array([said.start for said, _ in pairs])
    true_ends = np.array([said.end for said, _ in pairs])
    starts = np.array([placed.start for _, placed in pairs])
    ends = np.array([placed.end for _, placed in pairs])
    start_errors = 1000 * np.abs(starts - true_starts)
    end_errors = 1000 * np.abs(ends - true_ends)
    edge_errors = np.concatenate([start_errors, end_errors])
    frames_off = np.abs(np.floor(starts / MOSHI_FRAME) - np.floor(true_starts / MOSHI_FRAME))
    processor_seconds = sum(outcome.processor_seconds for outcome in outcomes)
    return Figures(
        n_said=n_said,
        n_compared=len(pairs),
        placed=n_aligned / n_said,
        start_bias=float(np.median(1000 * (starts - true_starts))),
        start_median=float(np.median(start_errors)),
        start_mean=float(np.mean(start_errors)),
        end_median=float(np.median(end_errors)),
        end_mean=float(np.mean(end_errors)),
        edge_mean=float(np.mean(edge_errors)),
        within_20=float(np.mean(edge_errors <= 20)),
        within_50=float(np.mean(edge_errors <= 50)),
        late_starts=float(np.mean(start_errors > 100)),
        right_frame=float(np.mean(frames_off == 0)),
        near_frame=float(np.mean(frames_off <= 1)),
        cost=processor_seconds / sum(outcome.speech_seconds for outcome in outcomes),
    )


def print_figures(figures: dict[Key, Figures | None]) -> None:
    """Print a table for each group of voices and each channel."""
    previous = ("", "")
    for (group, channel, way), values in figures.items():
        if (group, channel) != previous:
            previous = (group, channel)
            chosen_on = ", on whom limits were chosen" if group == CHOSEN_GROUP else ""
            print_head(f"{group}{chosen_on}, {channel}")
        print_line(way, values)


#: The columns of a table: their heads and widths.
COLUMNS = (
    ("words", 12),
    ("placed", 8),
    ("start: bias/median/mean", 25),
    ("end: median/mean", 18),
    ("both: mean", 12),
    ("<20 ms", 8),
    ("<50 ms", 8),
    ("start>100", 11),
    ("frame", 8),
    ("±1", 8),
    ("cost", 7),
)


def print_head(title: str) -> None:
    print(f"\n{title}")
    print(" " * 16 + "".join(f"{head:>{width}}" for head, width in COLUMNS))


def print_line(name: str, values: Figures | None) -> None:
    """Print the figures of a way: errors in ms, the cost in seconds of processor time for a second of speech."""
    if values is None:
        print(f"{name:16} no words")
        return
    texts = (
        f"{values.n_compared} of {values.n_said}",
        f"{values.placed:.1%}",
        f"{values.start_bias:.0f} / {values.start_median:.1f} / {values.start_mean:.1f}",
        f"{values.end_median:.1f} / {values.end_mean:.1f}",
        f"{values.edge_mean:.1f}",
        f"{values.within_20:.1%}",
        f"{values.within_50:.1%}",
        f"{values.late_starts:.1%}",
        f"{values.right_frame:.1%}",
        f"{values.near_frame:.1%}",
        f"{values.cost:.3f}",
    )
    cells = [f"{text:>{width}}" for text, (_, width) in zip(texts, COLUMNS, strict=True)]
    print(f"{name:16}{''.join(cells)}", flush=True)


def judged(goal: Goal, figures: dict[Key, Figures | None]) -> bool:
    """Print whether a goal is met, and return it; a goal about voices that are not in the folder is not judged."""
    name, factor, unit = NAMES[goal.figure]
    sign = "at least" if goal.compare is AT_LEAST else "at most"
    text = f"{goal.group}, {goal.channel}, {goal.way}: {name} {sign} {factor * goal.limit:g} {unit}"
    key = (goal.group, goal.channel, goal.way)
    if key not in figures:
        print(f"{text}: not judged, there are no such recordings")
        return True
    values = figures[key]
    if values is None:
        print(f"{text}: no words, missed")
        return False
    figure = getattr(values, goal.figure)
    is_met = goal.compare(figure, goal.limit)
    print(f"{text}: {factor * figure:.3g} {unit} {'✓' if is_met else 'missed'}")
    return is_met


def print_worst(outcomes: dict[Key, list[Outcome]], count: int) -> None:
    """Name the words of each group that are furthest from where they are said, given the text and recognised."""
    for (group, channel, way), results in outcomes.items():
        if channel not in (WIDE, TELEPHONE) or way not in (GIVEN, BASE):
            continue
        pairs = [pair for outcome in results for pair in compared(outcome)]
        pairs.sort(key=edge_error, reverse=True)
        print(f"\nFurthest off: {group}, {channel}, {way}")
        for said, placed in pairs[:count]:
            start = 1000 * (placed.start - said.start)
            end = 1000 * (placed.end - said.end)
            source = "aligned" if placed.aligned else "not aligned"
            print(f"  {said.text!r} at {said.start:.2f} s, {start:+.0f}, {end:+.0f} ms, {source}, in {said.line}")


def edge_error(pair: tuple[Timed, Timed]) -> float:
    """Seconds from where a word is said, at its edge that is further off."""
    said, placed = pair
    return max(abs(placed.start - said.start), abs(placed.end - said.end))


def piper() -> None:
    """Print how far the words of 60 lines by Piper, given the text, are from where Piper says that they are.

    Piper's times of inner borders are about 55 ms late: their spread counts.
    """
    voice = load_synthesiser("piper", VoiceSettings("", ""))
    talks = measuring.references().values()
    lines = [utterance["text"] for talk in talks for utterance in talk["utterances"]]
    outcomes = []
    for text in lines[:60]:
        spoken = synthesise(voice, Line(text, "", "en", 0))
        sound = at_analysis_rate(spoken.samples, spoken.sample_rate)
        said = [Timed(word.text, word.start, word.end) for word in spoken.words or []]
        outcomes.append(placed_alone(said, sound))
    print_head("60 lines by Piper, against its own times")
    print_line(GIVEN, figures_of(outcomes))


def placed_alone(said: list[Timed], sound: Samples) -> Outcome:
    """Words as the aligner for English places them in their sound, without any other stage."""
    aligner = aligner_of("auto", "en")
    assert aligner is not None
    began = time.process_time()
    words = align(aligner, sound, [word.text for word in said], "en") or []
    processor_seconds = time.process_time() - began
    output = [Timed(word.text, word.start, word.end, aligned=True) for word in words if word is not None]
    return Outcome(said, output, processor_seconds, len(sound) / ANALYSIS_RATE)


if __name__ == "__main__":
    sys.exit(main())
