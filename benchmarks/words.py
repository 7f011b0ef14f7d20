"""How far words are from where people who labelled them by hand say that they are.

    python benchmarks/words.py FOLDER

`labelled/timit` in FOLDER holds a folder for each speaker of TIMIT with `NAME.flac` and `NAME.wrd`: start, end and
word, in samples of the recording. The sentences of a speaker become the left side of one conversation, with a
second of room tone between them, heard as recorded and by telephone (300 to 3,400 Hz, µ-law). Its words are placed
in these ways:

- given text: a transcript has the text and the times of each line, not of its words, as an SRT file does.
  `Segment`, `MatchTranscript`, `Transcribe` and `Align` do the rest, as in a run.
- base, aligned: Whisper base recognises the words, and an aligner places them.
- base's own: Whisper base recognises the words, and its times are kept.

Errors are those of all words that are in the text and in the output, whether the aligner has placed them or not.

Limits of `models.sphinx`, `models.aligners.pocketsphinx` and `models.whisper` were chosen on the speakers whose
names begin as `CHOSEN_ON`. Their figures are printed, but only those of others are judged.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
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
from stage_calls import columns_after, row_after

from dailytalk_contiguous import Align, Segment, Transcribe
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.words.word_times import normalise
from dailytalk_contiguous.stages.match_transcript import MatchTranscript

#: Seconds of a frame of Moshi's.
MOSHI_FRAME = 0.08

#: Speakers of TIMIT, by how their names begin, on whom limits were chosen; the others are those on whom none was.
CHOSEN_ON = ("dr1", "dr2", "dr3", "dr4")
CHOSEN_GROUP = "TIMIT dr1-dr4"
UNHEARD_GROUP = "TIMIT dr5-dr8"

#: Seconds of room tone around and between the sentences of a speaker, and its level.
BETWEEN = 1.0
ROOM_DBFS = -80.0

#: Where the voices are heard.
WIDE = "wide band"
TELEPHONE = "telephone"
#: The ways in which words are placed.
GIVEN = "given text"
BASE = "base, aligned"
BASE_OWN = "base's own"

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


class Timed(NamedTuple):
    """A word at `start`..`end` seconds; `aligned`: an aligner has placed it."""

    text: str
    start: float
    end: float
    aligned: bool = False


class Talk(NamedTuple):
    """What one voice says in mono `sound` at 16 kHz, by hand: the words of each line, in order."""

    group: str
    sound: Samples
    lines: list[list[Timed]]

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
    start_median: float
    end_median: float
    edge_mean: float
    within_20: float
    late_starts: float
    right_frame: float
    cost: float


class Goal(NamedTuple):
    """A limit of a figure of `Figures`, for a group of voices as they are heard, and a way to place words."""

    group: str
    channel: str
    way: str
    figure: str
    limit: float


GOALS = (
    Goal(UNHEARD_GROUP, WIDE, GIVEN, "placed", 0.98),
    Goal(UNHEARD_GROUP, WIDE, GIVEN, "edge_mean", 20),
    Goal(UNHEARD_GROUP, WIDE, GIVEN, "within_20", 0.70),
    Goal(UNHEARD_GROUP, WIDE, GIVEN, "late_starts", 0.02),
    Goal(UNHEARD_GROUP, WIDE, BASE, "edge_mean", 24),
    Goal(UNHEARD_GROUP, WIDE, BASE, "late_starts", 0.02),
    Goal(UNHEARD_GROUP, TELEPHONE, BASE, "edge_mean", 24),
    Goal(UNHEARD_GROUP, TELEPHONE, BASE, "late_starts", 0.025),
    Goal(UNHEARD_GROUP, WIDE, GIVEN, "cost", 0.05),
    Goal(UNHEARD_GROUP, TELEPHONE, BASE, "cost", 0.05),
)

#: Figures that should be at least as large as their limits; the others should be at most as large.
AT_LEAST = ("placed", "within_20", "right_frame")

#: A group of voices, where it is heard, and a way.
Key = tuple[str, str, str]


def main() -> int:
    chosen = measuring.data_parser(__doc__).parse_args()
    outcomes: dict[Key, list[Outcome]] = defaultdict(list)
    for folder in sorted((chosen.data / "labelled/timit").iterdir()):
        measure(spoken_talk(folder.name, sorted(folder.glob("*.flac"))), outcomes)
    figures = {key: figures_of(results) for key, results in outcomes.items()}
    print_figures(figures)
    met = [judged(goal, figures) for goal in GOALS]
    return int(not all(met))


def spoken_talk(speaker: str, paths: Sequence[Path]) -> Talk:
    """The sentences of a speaker one after the other, with room tone between them."""
    pieces = [room_tone(round(BETWEEN * ANALYSIS_RATE), ROOM_DBFS)]
    lines: list[list[Timed]] = []
    for number, path in enumerate(paths):
        samples, rate = sentence_samples(path)
        offset = sum(map(len, pieces)) / ANALYSIS_RATE
        line = []
        for row in path.with_suffix(".wrd").read_text(encoding="utf-8").splitlines():
            if not row.strip():
                continue
            first, last, text = row.split()
            line.append(Timed(text, offset + int(first) / rate, offset + int(last) / rate))
        lines.append(line)
        pieces.append(at_analysis_rate(samples, rate))
        pieces.append(room_tone(round(BETWEEN * ANALYSIS_RATE), ROOM_DBFS, seed=number + 2))
    group = CHOSEN_GROUP if speaker.startswith(CHOSEN_ON) else UNHEARD_GROUP
    return Talk(group, np.concatenate(pieces), lines)


def at_analysis_rate(samples: NDArray[np.float32], rate: int) -> Samples:
    return np.asarray(soxr.resample(samples, rate, ANALYSIS_RATE), np.float32)


def sentence_samples(path: Path) -> tuple[Samples, int]:
    """Samples of a sentence, shape (n,), with the bytes that they lost put back, and their rate."""
    if soundfile.info(path).subtype != "PCM_16":
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        return samples[:, 0], rate
    stored, rate = soundfile.read(path, dtype="int16", always_2d=True)
    return np.asarray(mended(stored[:, 0]) / 32768, np.float32), rate


def mended(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    """Samples, shape (n,), with the bytes that they lost put back.

    22 of the 80 sentences of TIMIT that we measure are damaged in the WAV files that they come from: each pair of
    the bytes 0x0D 0x0A became 0x0A, as if samples were lines of a text. One byte is lost there, so that the halves
    of all samples behind it are swapped, which is noise at full scale, until the next byte is lost. Here 0x0D is
    put back before the 0x0A at which the wave becomes smoothest, as often as there is such noise. Sound without it
    is returned as it is.

    A byte 0x0D without a 0x0A behind it became 0x0A, too, in all 80. That moves about one in 2,000 samples by 768
    steps of 16 bits, and stays: guessing which moves mean errors by up to 0.3 ms, to either side.

    Noise that no lost byte explains ends the benchmark.
    """
    data = samples.astype("<i2").tobytes()
    n_bytes = 0
    while True:
        wave = wave_of(data)
        is_rough = np.abs(np.diff(wave, 2)) > ROUGH
        rough_shares = np.convolve(is_rough, np.full(ROUGH_SAMPLES, 1 / ROUGH_SAMPLES), "same")
        noisy = np.flatnonzero(rough_shares > ROUGH_SHARE)
        if not len(noisy) or np.abs(wave).max() < LOUD:
            return wave.astype(np.int16)
        first = 2 * int(noisy[0])
        candidates = [
            position
            for position in range(max(0, first - NEAR_BYTES), min(len(data), first + NEAR_BYTES))
            if data[position : position + 1] == b"\n"
        ]
        if not candidates or n_bytes == MOST_BYTES:
            raise SystemExit("a sentence has noise at full scale that no lost byte explains")
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
    """How a voice is heard: as recorded, and by telephone."""
    yield WIDE, sound
    band_filter = scipy.signal.butter(6, (300, 3400), "bandpass", fs=ANALYSIS_RATE, output="sos")
    narrow = scipy.signal.resample_poly(scipy.signal.sosfilt(band_filter, sound), 1, 2)
    coded = np.round(127 * np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256)) / 127
    decoded = np.sign(coded) * (256 ** np.abs(coded) - 1) / 255
    yield TELEPHONE, np.asarray(scipy.signal.resample_poly(decoded, 2, 1)[: len(sound)], np.float32)


def measure(talk: Talk, outcomes: dict[Key, list[Outcome]]) -> None:
    """Add the outcome of each way to place the words of a talk, wherever it is heard."""
    for channel, sound in channels(talk.sound):
        segmented = segmented_batch(sound)
        for way, outcome in placed_in_all_ways(talk, segmented):
            outcomes[talk.group, channel, way].append(outcome)


def segmented_batch(sound: Samples) -> dict[str, list[Any]]:
    """A conversation with a voice on its left side, a room on its right one, and its utterances."""
    room = room_tone(len(sound), ROOM_DBFS)
    batch = conversations(np.stack([sound, room], axis=1))
    return batch | columns_after(Segment(), batch)


def placed_in_all_ways(talk: Talk, segmented: dict[str, list[Any]]) -> Iterator[tuple[str, Outcome]]:
    """Each way to place the words of a talk, and its outcome."""
    transcript = [cue_of(line) for line in talk.lines]
    matched = segmented | {"cues": [transcript]}
    matched |= columns_after(MatchTranscript(), matched)
    yield GIVEN, aligned(talk, transcribed(matched), "auto")
    row = transcribed(segmented)
    yield BASE, aligned(talk, row, "auto")
    yield BASE_OWN, aligned(talk, row, "none")


def cue_of(line: Sequence[Timed]) -> dict[str, Any]:
    """A line of a transcript as an SRT file has it: its text, with times that are rounded outwards to 0.1 s."""
    start = np.floor(10 * line[0].start) / 10
    end = np.ceil(10 * line[-1].end) / 10
    text = " ".join(word.text for word in line)
    return {"channel": "left", "start": float(start), "end": float(end), "text": text, "words": []}


def transcribed(batch: dict[str, list[Any]]) -> dict[str, Any]:
    """The row of a conversation with the words of each utterance, on the timeline that it was recorded on."""
    batch = batch | columns_after(Transcribe("base", "en"), batch)
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
    alignments = row_after(Align("none", aligner), row)["alignments"]
    processor_seconds = time.process_time() - began
    output = [
        Timed(word["word"], word["start"], word["end"], word["source"].startswith("aligned"))
        for word in alignments
    ]
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
        start_median=float(np.median(start_errors)),
        end_median=float(np.median(end_errors)),
        edge_mean=float(np.mean(edge_errors)),
        within_20=float(np.mean(edge_errors <= 20)),
        late_starts=float(np.mean(start_errors > 100)),
        right_frame=float(np.mean(frames_off == 0)),
        cost=processor_seconds / sum(outcome.speech_seconds for outcome in outcomes),
    )


def print_figures(figures: dict[Key, Figures | None]) -> None:
    """Print a table: errors in ms, shares, and the cost in processor seconds for a second of speech."""
    head = ("voices, heard, way", "words", "placed", "start", "end", "both", "<20 ms", ">100", "frame", "cost")
    rows = []
    for (group, channel, way), values in figures.items():
        name = f"{group}, {channel}, {way}"
        if values is None:
            print(f"{name}: no words")
            continue
        row = (
            name,
            f"{values.n_compared} of {values.n_said}",
            f"{values.placed:.1%}",
            f"{values.start_median:.1f}",
            f"{values.end_median:.1f}",
            f"{values.edge_mean:.1f}",
            f"{values.within_20:.1%}",
            f"{values.late_starts:.1%}",
            f"{values.right_frame:.1%}",
            f"{values.cost:.3f}",
        )
        rows.append(row)
    print("medians of starts and ends, mean of both; starts over 100 ms away")
    measuring.print_table(head, rows)


def judged(goal: Goal, figures: dict[Key, Figures | None]) -> bool:
    """Print whether a goal is met, and return it."""
    text = f"{goal.group}, {goal.channel}, {goal.way}: {goal.figure}"
    values = figures.get((goal.group, goal.channel, goal.way))
    if values is None:
        return measuring.judged(f"{text} without words", False)
    figure = getattr(values, goal.figure)
    is_large = goal.figure in AT_LEAST
    is_met = figure >= goal.limit if is_large else figure <= goal.limit
    sign = "at least" if is_large else "at most"
    return measuring.judged(f"{text} {figure:.3g} (goal {sign} {goal.limit:g})", is_met)


if __name__ == "__main__":
    sys.exit(main())
