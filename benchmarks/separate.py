"""Whether `dailytalk separate` puts what each of two people says on a side of its own.

Recordings whose speakers are known are summed to one channel: the bundled ones, the calls of a folder (stereo, a
speaker a channel), and talks that `dailytalk converse` has with files. The embedded profile separates each as it
is, and degraded. True turns are the utterances that `Segment` finds on the true channels; left is the speaker whom
it fits best. Printed for each recording, and for all together:

DER: diarisation error of the turns that come with the result, without a collar; alone: outside overlaps; short:
    within true turns of at most 1 s. prec., recall: of the time in which both speak.
swaps: how often in an hour the sides change that fit best in a sliding minute (or half of a shorter recording).
bc in, bc out: share of backchannels on the right side: inside the other's speech, and others. <1 s: of all turns
    under 1 s outside overlaps. Half of one must be in utterances that `Segment` finds there in the result, and its
    voice not 6 dB softer there than on the other side.
SI-SDR: in dB, of both sides where both speak. leak: in dB, of the only speaker on the other side.
equal: samples of one turn alone, outside true overlaps, that are those of the recording, as 16-bit numbers.
cpWER: words of the transcripts in whose middle no utterance is on their side, or one on the side of who is silent.
W1: distance of the floor-transfer offsets of utterances to the true ones, in seconds.
time, cpu: seconds of the command by the clock, and of its processors, for a second of sound. kept: not rejected.

With --perfect the clean sums only, and the true sides stand in for a separator: what is judged is the rest.

First come conversations of readers who were not used to set what judges them, monologues, meetings and real calls,
in tables of their own (benchmarks/held_out.py), if there is a folder of them.

    python benchmarks/separate.py [--calls FOLDER] [--only clean telephone] [--detail] [--perfect]
        [--readers FOLDER]   # half an hour, of which the readers take twenty minutes
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import held_out
import numpy as np
import soundfile
import soxr
from measuring import EXAMPLES, ROOT, dailytalk, judged, references
from numpy.typing import NDArray
from reader_talks import active, each_in_a_room, in_pink_noise
from scipy import signal
from scipy.stats import wasserstein_distance

from dailytalk_contiguous import Folder, Segment
from dailytalk_contiguous.apps.mono import separators
from dailytalk_contiguous.cli.main import run_command
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Pcm, Samples, blocks, to_pcm
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.interaction import BACKCHANNEL_WORDS, TURN_SECONDS
from dailytalk_contiguous.core.turns import Ratio, Timed, stretches, turn_offsets
from dailytalk_contiguous.store.work_folder import REJECTS

#: Frames in a second by which turns are compared, seconds of a window of `swaps`, and of a frame of `leak`.
FRAMES, WINDOW, LEAK_FRAME = 100, 60.0, 0.05

#: dB between the speakers and over the noise; Hz of a telephone.
DIFFERENCE, NOISE, TELEPHONE = 12.0, 10.0, (300, 3400)

#: Titles of the figures, and how they are written.
COLUMNS = {
    "errors": ("DER", ".1%"),
    "errors_alone": ("alone", ".1%"),
    "errors_short": ("short", ".1%"),
    "swaps": ("swaps", ".1f"),
    "precision": ("prec.", ".1%"),
    "recall": ("recall", ".1%"),
    "backchannels_in": ("bc in", ".1%"),
    "backchannels_out": ("bc out", ".1%"),
    "short_alone": ("<1 s", ".1%"),
    "sdr": ("SI-SDR", ".1f"),
    "equal": ("equal", ".2%"),
    "leak": ("leak", ".1f"),
    "words": ("cpWER", ".1%"),
    "offsets": ("W1", ".3f"),
    "real_time": ("time", ".3f"),
    "processor": ("cpu", ".3f"),
    "kept": ("kept", ".0%"),
}

#: Where readers, meetings and calls are (`reader_talks`), if they are.
DATA = ROOT.parent / "shared/data"

#: Goals for what is not degraded.
AT_MOST = {"errors_alone": 0.02, "swaps": 0.0, "offsets": 0.05, "real_time": 0.15}
AT_LEAST = {"short_alone": 0.95, "equal": 1.0, "kept": 1.0}
PERFECT = {"backchannels_in": 0.99, "backchannels_out": 0.99, "kept": 1.0}

Frames = NDArray[np.bool_]
Figures = dict[str, Ratio]


class Talk(NamedTuple):
    """A recording whose speakers are known.

    `voices`: what each of them adds to its sound, shape (n, 2); `noise`: what else is in it.
    """

    name: str
    voices: Samples
    rate: int
    speech: list[Timed]
    words: list[Timed]
    noise: Samples | float = 0.0

    @property
    def mono(self) -> Pcm:
        """The sum, softer where it would be clipped."""
        samples = self.voices.sum(axis=1) + self.noise
        return to_pcm(samples / max(1.0, float(np.abs(samples).max())))


class Separated(NamedTuple):
    """What became of a recording: its samples, those of two sides, shape (n, 2), its turns, and its utterances."""

    recording: Pcm
    sides: Pcm
    turns: list[Timed]
    speech: list[Timed]


class Judged(NamedTuple):
    """A true turn of a kind: shares of it that are found on its own side and on the other, and if it is right."""

    turn: Timed
    kind: str
    own: float
    other: float
    right: bool


def decibels(energy: float, other: float = 1.0) -> float:
    """One energy over another; within 90 dB, since digital silence has no level."""
    return float(np.clip(10 * np.log10(max(energy, 1e-30) / max(other, 1e-30)), -90, 90))


# The truth, and what becomes of it on its way.


def talks_of(folder: Path, said: Mapping[str, Any] | None = None) -> Iterator[Talk]:
    """The recordings of a folder, with the words of `said` by name, or those of the transcripts beside them."""
    for row, speech in utterances(folder):
        path = Path(row["audio"]["path"])
        voices, rate = soundfile.read(path, dtype="float32")
        cues = said[path.stem]["utterances"] if said else row["given"]
        words = [Timed(cue["channel"], word["start"], word["end"]) for cue in cues for word in cue["words"]]
        yield Talk(path.stem, voices, rate, speech, words)


def utterances(folder: Path) -> Iterator[tuple[dict[str, Any], list[Timed]]]:
    """The rows of the recordings of a folder, each with what `Segment` finds; nothing of one that is rejected."""
    for row in Folder(inputs=(str(folder),)).as_streaming_dataset("train"):
        try:
            found = Segment()({name: [value] for name, value in row.items()})
        except BadInput as problem:
            print(f"    {row['conversation_id']}: {problem}")
            yield row, []
            continue
        spans = zip(*(found[name][0] for name in ("channel", "start", "end")), strict=True)
        yield row, [Timed(channel, row["offset"] + start, row["offset"] + end) for channel, start, end in spans]


def softer(talk: Talk) -> Talk:
    """The right speaker so far below the left one."""
    speaks = active(talk.speech, len(talk.voices), talk.rate)
    left, right = (float(np.mean(talk.voices[speaks[side], side] ** 2)) for side in (0, 1))
    gain = 10 ** ((decibels(left, right) - DIFFERENCE) / 20)
    return talk._replace(voices=talk.voices * np.array([1, gain], np.float32))


def in_noise(talk: Talk) -> Talk:
    mono = talk.voices.sum(axis=1)
    return talk._replace(noise=in_pink_noise(mono, talk.rate, NOISE) - mono)


def by_telephone(talk: Talk) -> Talk:
    band = signal.butter(4, TELEPHONE, "bandpass", fs=talk.rate, output="sos")
    return at_rate(talk._replace(voices=signal.sosfiltfilt(band, talk.voices, axis=0)), 8000)


def at_rate(talk: Talk, rate: int) -> Talk:
    return talk._replace(voices=soxr.resample(talk.voices, talk.rate, rate).astype(np.float32), rate=rate)


#: What may happen to a sum, by name; an MP3 is written with 64 kb/s.
DEGRADED: dict[str, Callable[[Talk], Talk]] = {
    "clean": lambda talk: talk,
    "12 dB": softer,
    "room": lambda talk: talk._replace(voices=each_in_a_room(talk.voices, talk.rate)),
    "noise": in_noise,
    "telephone": by_telephone,
    "MP3": lambda talk: at_rate(talk, 16000),
}
MP3_64 = {"bitrate_mode": "CONSTANT", "compression_level": 0.6}


def read_separated(mono: Path, folder: Path, found: Mapping[str, list[Timed]]) -> Separated | None:
    """What a folder has of a recording, in all its parts, and `found` of their utterances; None if rejected."""
    recording = np.concatenate([to_pcm(block[:, 0]) for block in blocks({"bytes": None, "path": str(mono)})])
    sides, turns, speech = np.zeros((len(recording), 2), np.int16), list[Timed](), list[Timed]()
    documents = sorted(folder.glob(f"{mono.stem}.*separated.json"))
    for path in documents:
        part = json.loads(path.read_text(encoding="utf-8"))
        name, offset = path.name.removesuffix(".separated.json"), part["offset"]
        samples, rate = soundfile.read(folder / f"{name}.flac", dtype="int16")
        first = round(offset * rate)
        sides[first : first + len(samples)] = samples[: len(sides) - first]
        turns += [Timed(turn["channel"], offset + turn["start"], offset + turn["end"]) for turn in part["turns"]]
        speech += [Timed(channel, offset + start, offset + end) for channel, start, end, _ in found[name]]
    return Separated(recording, sides, turns, speech) if documents else None


# The measures.


def errors(truth: Frames, found: Frames, where: Frames) -> Ratio:
    """Time in which a speaker is missed, or one too many is there, over the time of all speakers."""
    wrong = np.maximum(truth.sum(axis=0), found.sum(axis=0)) - (truth & found).sum(axis=0)
    return Ratio(float(wrong[where].sum()), float(truth[:, where].sum()))


def fit(truth: Frames, found: Frames) -> NDArray[np.int64]:
    """For each frame, how many more speakers agree with left and right as they are than exchanged."""
    return (truth & found).sum(axis=0) - (truth & found[::-1]).sum(axis=0)


def swaps(truth: Frames, found: Frames) -> int:
    """How often the sides change that fit a window best."""
    size = min(round(WINDOW * FRAMES), truth.shape[1] // 2)
    total = np.concatenate(([0], np.cumsum(fit(truth, found))))
    fits = np.sign(total[size:] - total[:-size])
    return int(np.count_nonzero(np.diff(fits[fits != 0])))


def measured(talk: Talk, result: Separated) -> tuple[Figures, list[Judged]]:
    """All figures of a recording, and its turns that were judged; left is the speaker whom it fits best."""
    length, rate = min(len(talk.voices), len(result.sides)), talk.rate
    count = math.ceil(length / rate * FRAMES)
    truth = active(talk.speech, count, FRAMES)
    turns, speech = (active(spans, count, FRAMES) for spans in (result.turns, result.speech))
    order = slice(None, None, -1 if fit(truth, turns).sum() < 0 else 1)
    turns, speech, sides = turns[order], speech[order], result.sides[:length, order]
    both, heard_both = truth.all(axis=0), turns.all(axis=0)
    short = active([turn for turn in talk.speech if turn.end - turn.start <= 1], count, FRAMES).any(axis=0)
    judged = [*judged_turns(talk, sides, truth, speech)]
    right = {kind: [each.right for each in judged if each.kind == kind] for kind in ("inside", "outside", "short")}
    offsets = [turn_offsets(stretches(spans)) for spans in (talk.speech, result.speech)]
    comparable = len(offsets[0]) and len(offsets[1])
    recording = result.recording[:length]
    speaks = active(talk.speech, length, rate)
    overlap = speaks.all(axis=0)
    return {
        "errors": errors(truth, turns, np.full(count, True)),
        "errors_alone": errors(truth, turns, ~both),
        "errors_short": errors(truth, turns, short),
        "swaps": Ratio(swaps(truth, turns), length / rate / 3600),
        "precision": Ratio(float((both & heard_both).sum()), float(heard_both.sum())),
        "recall": Ratio(float((both & heard_both).sum()), float(both.sum())),
        "backchannels_in": Ratio(sum(right["inside"]), len(right["inside"])),
        "backchannels_out": Ratio(sum(right["outside"]), len(right["outside"])),
        "short_alone": Ratio(sum(right["short"]), len(right["short"])),
        "sdr": sdr(talk.voices[:length][overlap], sides[overlap]),
        "equal": equal(recording, sides, active(result.turns, length, rate)[order], overlap),
        "leak": leak(recording, sides, speaks, rate),
        "words": words_by_side(talk.words, truth, speech),
        "offsets": Ratio(wasserstein_distance(*offsets), 1) if comparable else Ratio(),
    }, judged


def judged_turns(talk: Talk, sides: Pcm, truth: Frames, found: Frames) -> Iterator[Judged]:
    """Backchannels inside and outside the other's speech, and all turns under a second outside of it."""
    kinds = [("inside" if entry.event == "backchannel" else "outside", entry) for entry in stretches(talk.speech)]
    for kind, entry in (*kinds, *(("short", turn) for turn in talk.speech)):
        turn = Timed(entry.channel, entry.start, entry.end)
        side, part = int(turn.channel == "right"), slice(round(turn.start * FRAMES), round(turn.end * FRAMES))
        if kind != "inside" and (turn.end - turn.start >= TURN_SECONDS or truth[1 - side, part].any()):
            continue
        said = [turn.start <= (word.start + word.end) / 2 <= turn.end for word in talk.words]
        if kind == "outside" and sum(said) > BACKCHANNEL_WORDS:
            continue
        samples = slice(round(turn.start * talk.rate), round(turn.end * talk.rate))
        heard = np.abs(talk.voices[samples, side] @ sides[samples].astype(np.float32))
        own, other = found[side, part].mean(), found[1 - side, part].mean()
        yield Judged(turn, kind, own, other, bool(own >= 0.5 and heard[side] >= heard[1 - side] / 2))


def sdr(voices: Samples, sides: Pcm) -> Ratio:
    """Scale-invariant ratio in dB of voices to what else is on their sides; each sample counts as much."""
    levels = []
    for voice, side in zip(voices.T.astype(np.float64), sides.T.astype(np.float64), strict=True):
        target = voice * (side @ voice) / max(float(voice @ voice), 1e-9)
        levels.append(decibels(float(target @ target), float(np.sum((side - target) ** 2))))
    return Ratio(float(np.mean(levels)) * len(voices), len(voices))


def equal(recording: Pcm, sides: Pcm, turns: Frames, overlap: Frames) -> Ratio:
    """Samples of the recording on the side that speaks alone, of all of these."""
    alone = (turns.sum(axis=0) == 1) & ~overlap
    same = np.where(turns[0], sides[:, 0], sides[:, 1]) == recording
    return Ratio(float(same[alone].sum()), float(alone.sum()))


def leak(recording: Pcm, sides: Pcm, speaks: Frames, rate: int) -> Ratio:
    """Level in dB of the recording on the silent side over that on the other, where one speaks.

    It is that part of a side which the recording explains, frame by frame, so that room tone does not count.
    """
    size = round(LEAK_FRAME * rate)
    count = len(recording) // size
    frames = recording[: count * size].reshape(count, size).astype(np.float64)
    pieces = sides[: count * size].reshape(count, size, 2).astype(np.float64)
    explained = np.einsum("fn,fns->sf", frames, pieces) ** 2 / np.maximum(np.sum(frames**2, axis=1), 1.0)
    whole = speaks[:, : count * size].reshape(2, count, size)
    alone = whole.all(axis=2) & ~whole[::-1].any(axis=2)
    own, other = float(explained[alone].sum()), float(explained[::-1][alone].sum())
    return Ratio(decibels(other, own), 1) if own + other else Ratio()


def words_by_side(words: Sequence[Timed], truth: Frames, found: Frames) -> Ratio:
    """Words that are missing on their side, and that the other side has as well while only one speaks.

    Of words in the middle of which there is speech of their own side.
    """
    wrong = total = 0
    for word in words:
        side, at = int(word.channel == "right"), round((word.start + word.end) / 2 * FRAMES)
        if at < truth.shape[1] and truth[side, at]:
            total += 1
            wrong += int(not found[side, at]) + int(found[1 - side, at] and not truth[1 - side, at])
    return Ratio(wrong, total)


class Perfect:
    """A separator that knows the true sides, at 16 kHz: it looks for what it gets in their sums."""

    sample_rate = ANALYSIS_RATE

    def __init__(self, talks: Iterable[Talk]) -> None:
        resampled = [at_rate(talk, self.sample_rate) for talk in talks]
        self._sums = np.concatenate([talk.mono for talk in resampled]).astype(np.float64) / 32768
        self._voices = np.concatenate([talk.voices for talk in resampled])

    def separate(self, samples: Samples) -> Samples:
        """The voices where the sum is nearest to the samples."""
        energies = np.concatenate(([0.0], np.cumsum(self._sums**2)))
        powers = energies[len(samples) :] - energies[: -len(samples)]
        first = int(np.argmin(powers - 2 * signal.oaconvolve(self._sums, samples[::-1], "valid")))
        return self._voices[first : first + len(samples)].T


# Tables.


def print_row(how: str, name: str, figures: Mapping[str, Ratio]) -> None:
    values = {key: figures.get(key, Ratio()).value for key in COLUMNS}
    shown = ["–" if math.isnan(value) else format(value, COLUMNS[key][1]) for key, value in values.items()]
    print(f"{how:<10}{name:<22}" + "".join(f"{text:>8}" for text in shown), flush=True)


def print_wrong(talk: Talk, judged: Iterable[Judged]) -> None:
    """The turns on the wrong side, and how loud they are beside the other speaker."""
    for turn, kind, own, other, _ in (each for each in judged if not each.right):
        part = talk.voices[round(turn.start * talk.rate) : round(turn.end * talk.rate)]
        levels = ", ".join(f"{decibels(float(energy)):.0f}" for energy in np.mean(part**2, axis=0))
        print(
            f"    {kind:<8}{turn.start:8.2f} to {turn.end:.2f} s, {turn.channel}, voices at {levels} dB: ", end=""
        )
        print(f"{own:.0%} found there, {other:.0%} on the other side")


def separate(files: Iterable[Path], out: Path, perfect: Perfect | None) -> tuple[float, float]:
    """Run the command, in this process with a planted separator; seconds by the clock, and of processor time."""
    command = ("separate", *files, "--out", out, "--profile", "embedded")
    if perfect is None:
        return (cost := dailytalk(*command)).wall, cost.processor
    words, wall, processor = ["dailytalk", *map(str, command)], time.perf_counter(), time.process_time()
    planted = patch.multiple(separators, load_separator=lambda *_: perfect, check_separator=lambda *_: None)
    words += ("--separator", "perfect", "--separator-hears", "speech")
    with planted, patch.object(sys, "argv", words), suppress(SystemExit):
        run_command()
    return time.perf_counter() - wall, time.process_time() - processor


def compare(talks: Sequence[Talk], how: str, folder: Path, detail: bool, perfect: Perfect | None) -> Figures:
    """Separate all recordings, degraded in one way; print a row for each and one for all, which is given."""
    sums, out, rows = folder / f"{how} sums", folder / how, list[Figures]()
    sums.mkdir()
    degraded = {sums / f"{talk.name}.{'mp3' if how == 'MP3' else 'flac'}": DEGRADED[how](talk) for talk in talks}
    for path, talk in degraded.items():
        soundfile.write(path, talk.mono, talk.rate, **(MP3_64 if how == "MP3" else {}))
    wall, processor = separate(degraded, out, perfect)
    written = utterances(out) if any(out.glob("*.flac")) else ()
    found = {Path(row["audio"]["path"]).stem: spans for row, spans in written}
    for path, talk in degraded.items():
        result = read_separated(path, out, found)
        if result is None:
            print(f"{how:<10}{talk.name:<22}rejected")
            continue
        figures, judged = measured(talk, result)
        rows.append(figures)
        print_row(how, talk.name, figures)
        if detail:
            print_wrong(talk, judged)
    if len(rows) < len(talks):
        print((out / REJECTS).read_text(encoding="utf-8"), end="")
    together = (
        {key: Ratio(*map(sum, zip(*(row[key] for row in rows), strict=True))) for key in rows[0]} if rows else {}
    )
    seconds = sum(len(talk.voices) / talk.rate for talk in degraded.values())
    together |= {"real_time": Ratio(wall, seconds), "processor": Ratio(processor, seconds)}
    together["kept"] = Ratio(len(rows), len(talks))
    print_row(how, "all", together)
    return together


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=Path, metavar="FOLDER", help="more recordings whose speakers are known")
    parser.add_argument("--only", nargs="+", choices=DEGRADED, default=[*DEGRADED], help="by default, all")
    parser.add_argument("--detail", action="store_true", help="list the turns that are on the wrong side, too")
    parser.add_argument("--perfect", action="store_true", help="plant a separator that knows the true sides")
    parser.add_argument(
        "--readers", type=Path, metavar="FOLDER", default=DATA, help="of readers, meetings and calls"
    )
    chosen = parser.parse_args()
    met = chosen.perfect or not (chosen.readers / "readers").is_dir() or held_out.report(chosen.readers)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        turns = sorted((ROOT / "examples/spoken_user").glob("*.flac"))
        spoken = [part for path in turns for part in ("--input", path)]
        for voice in ("female", "male"):
            dailytalk("converse", "--profile", "embedded", "--voice", voice, "--out", folder / "talks", *spoken)
        talks = [*talks_of(EXAMPLES, references()), *talks_of(folder / "talks")]
        talks += talks_of(chosen.calls) if chosen.calls else []
        print(f"{'':32}" + "".join(f"{title:>8}" for title, _ in COLUMNS.values()))
        perfect = Perfect(talks) if chosen.perfect else None
        ways = ["clean"] if perfect else chosen.only
        figures = {how: compare(talks, how, folder, chosen.detail, perfect) for how in ways}
    goals = PERFECT if chosen.perfect else AT_MOST | AT_LEAST
    for key, limit in goals.items() if "clean" in figures else ():
        title, form = COLUMNS[key]
        value = figures["clean"].get(key, Ratio()).value
        goal = f"at {'most' if key in AT_MOST else 'least'} {limit:{form}}"
        good = not (value > limit if key in AT_MOST else value < limit)  # nor where there is nothing to measure
        met &= judged(f"clean, {title}: {value:{form}} (goal: {goal})", good)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
