"""Whether `dailytalk separate` puts what each of two people says on a side of its own.

Recordings whose speakers are known are summed to one channel: the bundled ones, the calls of a folder (stereo, one
speaker a channel), and talks that `dailytalk converse` has with files. Each is separated as it is and degraded,
and both sides are compared with the true ones. The true turns are the utterances that `Segment` finds on the true
channels; the left side is the speaker whom it fits best. Printed are, for each recording and all together:

DER: diarisation error of the turns that come with the recording, without a collar; `alone`: outside overlaps;
    `short`: within true turns of at most 1 s.
swaps: how often in an hour the sides that fit a sliding minute best (or half of a shorter recording) change.
prec., recall: of the time in which both speak, by the same turns.
bc in, bc out: share of backchannels on the right side: those inside the other's speech, and others under a second
    and of at most two words (`core.turns`, `core.interaction`). `<1 s`: of all turns under 1 s outside overlaps.
    A turn is on the right side if `Segment` finds half of it there in the result, where the voice is no softer
    than on the other side.
SI-SDR: of both sides against the true voices, where both speak.
equal: samples of one turn alone, outside true overlaps, that are those of the recording, as 16-bit numbers.
leak: level of what the only speaker says on the other side, against that on the right one.
cpWER: given words that their own side lacks in the utterances, and that the other one has without speaking. Words
    and times are those of the transcripts.
W1: distance of the floor-transfer offsets of the utterances to the true ones.
time: seconds by the clock for a second of sound, with the start of the command.

    python benchmarks/separate.py [--calls FOLDER] [--only clean telephone] [--detail]   # ten minutes
    python benchmarks/separate.py --memory      # three hours in one file beside twenty minutes
"""

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import soxr
from measuring import EXAMPLES, ROOT, dailytalk, references, verdict
from numpy.typing import NDArray
from scipy import signal
from scipy.stats import wasserstein_distance

from dailytalk_contiguous import Folder, Segment
from dailytalk_contiguous.core.audio import Pcm, Samples, blocks, to_pcm
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.interaction import BACKCHANNEL_WORDS, TURN_SECONDS
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.turns import Ratio, Timed, stretches, turn_offsets

#: Frames in a second by which turns are compared, seconds of a window of `swaps`, and of a frame of `leak`.
FRAMES, WINDOW, LEAK_FRAME = 100, 60.0, 0.05

#: dB between the speakers and over the noise; seconds in which a room falls silent by 60 dB; Hz of a telephone.
DIFFERENCE, NOISE, ECHO, TELEPHONE = 12.0, 10.0, 0.4, (300, 3400)

#: dB between which levels are counted: digital silence has none.
LEAST_DB, MOST_DB = -90.0, 90.0

#: Minutes of the files of `--memory`, and how much more memory the longer one may take.
MINUTES, FLAT = (20, 180), 1.1

Frames = NDArray[np.bool_]


class Measure(NamedTuple):
    """How a figure is called and written, and the most (or the least) that it may be."""

    title: str
    format: str = ".1%"
    most: float | None = None
    least: float | None = None

    def met(self, value: float) -> bool:
        """Whether a value meets the goal; one that could not be measured does."""
        return not (value > (math.inf if self.most is None else self.most) or value < (self.least or -math.inf))


MEASURES = {
    "errors": Measure("DER"),
    "errors_alone": Measure("alone", most=0.02),
    "errors_short": Measure("short"),
    "swaps": Measure("swaps", ".1f", most=0.0),
    "precision": Measure("prec."),
    "recall": Measure("recall"),
    "backchannels_in": Measure("bc in"),
    "backchannels_out": Measure("bc out"),
    "short_alone": Measure("<1 s", least=0.95),
    "sdr": Measure("SI-SDR", ".1f"),
    "equal": Measure("equal", ".2%", least=1.0),
    "leak": Measure("leak", ".1f"),
    "words": Measure("cpWER"),
    "offsets": Measure("W1", ".3f", most=0.05),
    "real_time": Measure("time", ".3f", most=0.15),
}

Figures = dict[str, Ratio]


class Talk(NamedTuple):
    """A recording whose speakers are known.

    `voices`: what each of them adds to the sound of it, shape (n, 2); `noise`: what else is in it.
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

    def level(self, side: int) -> float:
        """Level of a voice while it speaks, in dB."""
        return decibels(self.voices[active(self.speech, len(self.voices), self.rate)[side], side])


class Separated(NamedTuple):
    """What became of a recording: its samples, those of two sides, shape (n, 2), its turns, and its utterances."""

    recording: Pcm
    sides: Pcm
    turns: list[Timed]
    speech: list[Timed]

    def exchanged(self) -> "Separated":
        """The same with left and right exchanged."""
        turns, speech = (
            [span._replace(channel=CHANNELS[span.channel == "left"]) for span in spans]
            for spans in (self.turns, self.speech)
        )
        return Separated(self.recording, self.sides[:, ::-1], turns, speech)


class Judged(NamedTuple):
    """A true turn: its kind, its share that is found on its own side and on the other one, and whether it is right."""

    turn: Timed
    kind: str
    own: float
    other: float
    right: bool


def decibels(samples: NDArray[Any]) -> float:
    return (
        10 * math.log10(max(float(np.mean(np.square(samples, dtype=np.float64))), 1e-9)) if len(samples) else 0.0
    )


# The truth, and what becomes of it on its way.


def talks_of(folder: Path, said: Mapping[str, Any] | None = None) -> Iterator[Talk]:
    """The recordings of a folder, with the words of `said` by name, or those of the transcripts beside them."""
    for row, speech in utterances(folder):
        name = Path(row["audio"]["path"]).stem
        voices, rate = soundfile.read(row["audio"]["path"], dtype="float32")
        cues = said[name]["utterances"] if said else row["given"]
        words = [Timed(cue["channel"], word["start"], word["end"]) for cue in cues for word in cue["words"]]
        yield Talk(name, voices, rate, speech, words)


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
    gain = 10 ** ((talk.level(0) - talk.level(1) - DIFFERENCE) / 20)
    return talk._replace(voices=talk.voices * np.array([1, gain], np.float32))


def in_a_room(talk: Talk) -> Talk:
    """Each voice from a place of its own: as it is, and half as strong its decaying echo."""
    random = np.random.default_rng(3)
    time = np.arange(round(ECHO * talk.rate))[:, None] / talk.rate
    room = random.standard_normal((len(time), 2)) * 10 ** (-3 * time / ECHO)
    room *= np.sqrt(0.5) / np.sqrt(np.sum(room**2, axis=0))
    room[0] = 1
    voices = signal.fftconvolve(talk.voices, room, axes=0)[: len(talk.voices)]
    return talk._replace(voices=voices.astype(np.float32))


def in_noise(talk: Talk) -> Talk:
    """Pink noise, so far below the speech of both."""
    spectrum = np.fft.rfft(np.random.default_rng(4).standard_normal(len(talk.voices)))
    noise = np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)), len(talk.voices))
    speaks = active(talk.speech, len(talk.voices), talk.rate).any(axis=0)
    gain = 10 ** ((decibels(talk.voices.sum(axis=1)[speaks]) - NOISE - decibels(noise)) / 20)
    return talk._replace(noise=(gain * noise).astype(np.float32))


def by_telephone(talk: Talk) -> Talk:
    band = signal.butter(4, TELEPHONE, "bandpass", fs=talk.rate, output="sos")
    return at_rate(talk._replace(voices=signal.sosfiltfilt(band, talk.voices, axis=0)), 8000)


def at_rate(talk: Talk, rate: int) -> Talk:
    return talk._replace(voices=soxr.resample(talk.voices, talk.rate, rate).astype(np.float32), rate=rate)


#: What may happen to a sum, by name.
DEGRADED: dict[str, Callable[[Talk], Talk]] = {
    "clean": lambda talk: talk,
    "12 dB": softer,
    "room": in_a_room,
    "noise": in_noise,
    "telephone": by_telephone,
    "MP3": lambda talk: at_rate(talk, 16000),
}


def write_mono(talk: Talk, folder: Path, how: str) -> Path:
    """The sum in a file: FLAC, or MP3 of 64 kb/s."""
    path = folder / f"{talk.name}.{'mp3' if how == 'MP3' else 'flac'}"
    options: dict[str, Any] = {"bitrate_mode": "CONSTANT", "compression_level": 0.6} if how == "MP3" else {}
    soundfile.write(path, talk.mono, talk.rate, **options)
    return path


# What was made of it.


def read_separated(mono: Path, folder: Path) -> Separated | None:
    """What is in a folder of a recording of one channel, of all its parts; None if it was rejected."""
    recording = np.concatenate([to_pcm(block[:, 0]) for block in blocks({"bytes": None, "path": str(mono)})])
    sides, turns, speech = np.zeros((len(recording), 2), np.int16), list[Timed](), list[Timed]()
    documents = sorted(folder.glob(f"{mono.stem}.*separated.json"))
    found = {Path(row["audio"]["path"]).stem: spans for row, spans in utterances(folder)} if documents else {}
    for path in documents:
        part = json.loads(path.read_text(encoding="utf-8"))
        name = path.name.removesuffix(".separated.json")
        samples, rate = soundfile.read(folder / f"{name}.flac", dtype="int16")
        first = round(part["offset"] * rate)
        sides[first : first + len(samples)] = samples[: len(sides) - first]
        spans = [Timed(turn["channel"], turn["start"], turn["end"]) for turn in part["turns"]]
        for shifted, unshifted in ((turns, spans), (speech, found[name])):
            shifted += [
                Timed(span.channel, part["offset"] + span.start, part["offset"] + span.end) for span in unshifted
            ]
    return Separated(recording, sides, turns, speech) if documents else None


# The measures.


def active(spans: Iterable[Timed], count: int, rate: float) -> Frames:
    """Whether each side speaks, for so many frames or samples, shape (2, count)."""
    frames = np.zeros((2, count), bool)
    for channel, start, end, _ in spans:
        frames[int(channel == "right"), round(start * rate) : round(end * rate)] = True
    return frames


def errors(truth: Frames, found: Frames, where: Frames) -> Ratio:
    """Seconds in which a speaker is missed, or one too many is there, over the seconds of all speakers."""
    wanted = truth.sum(axis=0)
    wrong = np.maximum(wanted, found.sum(axis=0)) - (truth & found).sum(axis=0)
    return Ratio(float(wrong[where].sum()) / FRAMES, float(wanted[where].sum()) / FRAMES)


def fit(truth: Frames, found: Frames) -> NDArray[np.int64]:
    """For each frame, over how many more of the speakers agree with left and right as they are than exchanged."""
    return (truth & found).sum(axis=0) - (truth & found[::-1]).sum(axis=0)


def swaps(truth: Frames, found: Frames) -> int:
    """How often the sides change that fit a window best."""
    size = min(round(WINDOW * FRAMES), truth.shape[1] // 2)
    total = np.concatenate(([0], np.cumsum(fit(truth, found))))
    fits = np.sign(total[size:] - total[:-size])
    return int(np.count_nonzero(np.diff(fits[fits != 0])))


def measured(talk: Talk, result: Separated) -> tuple[Figures, list[Judged]]:
    """All figures of a recording, and its turns that were judged; left is the speaker who fits it best."""
    length, rate = min(len(talk.voices), len(result.sides)), talk.rate
    count = math.ceil(length / rate * FRAMES)
    truth = active(talk.speech, count, FRAMES)
    if fit(truth, active(result.turns, count, FRAMES)).sum() < 0:
        result = result.exchanged()
    turns, speech = (active(spans, count, FRAMES) for spans in (result.turns, result.speech))
    both, heard_both = truth.all(axis=0), turns.all(axis=0)
    short = active([turn for turn in talk.speech if turn.end - turn.start <= 1], count, FRAMES).any(axis=0)
    agreed = float((both & heard_both).sum())
    judged = [*judged_turns(talk, result, truth, speech)]

    def right(kind: str) -> Ratio:
        of_kind = [one.right for one in judged if one.kind == kind]
        return Ratio(sum(of_kind), len(of_kind))

    offsets = [turn_offsets(stretches(spans)) for spans in (talk.speech, result.speech)]
    comparable = len(offsets[0]) and len(offsets[1])
    recording, sides = result.recording[:length], result.sides[:length]
    overlap = active(talk.speech, length, rate).all(axis=0)
    return {
        "errors": errors(truth, turns, np.full(count, True)),
        "errors_alone": errors(truth, turns, ~both),
        "errors_short": errors(truth, turns, short),
        "swaps": Ratio(swaps(truth, turns), length / rate / 3600),
        "precision": Ratio(agreed, float(heard_both.sum())),
        "recall": Ratio(agreed, float(both.sum())),
        "backchannels_in": right("inside"),
        "backchannels_out": right("outside"),
        "short_alone": right("short"),
        "sdr": sdr(talk.voices[:length][overlap], sides[overlap]),
        "equal": equal(recording, sides, active(result.turns, length, rate), overlap),
        "leak": leak(recording, sides, active(talk.speech, length, rate), rate),
        "words": words_by_side(talk.words, truth, speech),
        "offsets": Ratio(wasserstein_distance(*offsets), 1) if comparable else Ratio(),
    }, judged


def judged_turns(talk: Talk, result: Separated, truth: Frames, found: Frames) -> Iterator[Judged]:
    """Backchannels inside and outside the other's speech, and all turns under a second outside of it."""
    entries = stretches(talk.speech)
    inside = [(entry, "inside") for entry in entries if entry.event == "backchannel"]
    others = [(entry, "outside") for entry in entries if entry.event != "backchannel"]
    for entry, kind in (*inside, *others, *((turn, "short") for turn in talk.speech)):
        turn = Timed(entry.channel, entry.start, entry.end)
        side, part = int(turn.channel == "right"), slice(round(turn.start * FRAMES), round(turn.end * FRAMES))
        if kind != "inside" and (turn.end - turn.start >= TURN_SECONDS or truth[1 - side, part].any()):
            continue
        said = [turn.start <= (word.start + word.end) / 2 <= turn.end for word in talk.words]
        if kind == "outside" and sum(said) > BACKCHANNEL_WORDS:
            continue
        samples = slice(round(turn.start * talk.rate), round(turn.end * talk.rate))
        heard = np.abs(talk.voices[samples, side] @ result.sides[samples].astype(np.float32))
        own, other = found[side, part].mean(), found[1 - side, part].mean()
        yield Judged(turn, kind, own, other, bool(own >= 0.5 and heard[side] >= 0.99 * heard[1 - side]))


def sdr(voices: Samples, sides: Pcm) -> Ratio:
    """Scale-invariant ratio in dB of voices to what else is on their sides; each second counts as much."""
    total = 0.0
    for voice, side in zip(voices.T.astype(np.float64), sides.T.astype(np.float64), strict=True):
        target = voice * (side @ voice) / max(float(voice @ voice), 1e-9)
        total += level_of(float(target @ target), float(np.sum((side - target) ** 2)))
    return Ratio(total / 2 * len(voices), len(voices))


def level_of(energy: float, other: float) -> float:
    """One energy over another in dB."""
    return float(np.clip(10 * np.log10(max(energy, 1e-30) / max(other, 1e-30)), LEAST_DB, MOST_DB))


def equal(recording: Pcm, sides: Pcm, turns: Frames, overlap: Frames) -> Ratio:
    """Samples of the recording on the side that speaks alone, of all of these."""
    alone = (turns.sum(axis=0) == 1) & ~overlap
    return Ratio(
        float((np.where(turns[0], sides[:, 0], sides[:, 1]) == recording)[alone].sum()), float(alone.sum())
    )


def leak(recording: Pcm, sides: Pcm, speaks: Frames, rate: int) -> Ratio:
    """Level in dB of the recording on the silent side over that on the other, where one speaks.

    What is on a side is explained by the recording frame by frame, so that room tone does not count.
    """
    size = round(LEAK_FRAME * rate)
    count = len(recording) // size
    frames = recording[: count * size].reshape(count, size).astype(np.float64)
    energies = np.maximum(np.sum(frames**2, axis=1), 1.0)
    pieces = sides[: count * size].reshape(count, size, 2).astype(np.float64)
    explained = np.einsum("fn,fns->fs", frames, pieces) ** 2 / energies[:, None]
    whole = speaks[:, : count * size].reshape(2, count, size)
    own = other = 0.0
    for side in (0, 1):
        alone = whole[side].all(axis=1) & ~whole[1 - side].any(axis=1)
        own, other = own + explained[alone, side].sum(), other + explained[alone, 1 - side].sum()
    return Ratio(level_of(other, own), 1) if own + other else Ratio()


def words_by_side(words: Sequence[Timed], truth: Frames, found: Frames) -> Ratio:
    """Words that are missing on their side, and that the other side has as well while only one speaks.

    Of words in the middle of which there is speech of their own side.
    """
    wrong = total = 0
    for word in words:
        side, at = int(word.channel == "right"), round((word.start + word.end) / 2 * FRAMES)
        if at < truth.shape[1] and truth[side, at]:
            total += 1
            wrong += not found[side, at]
            wrong += bool(found[1 - side, at] and not truth[1 - side, at])
    return Ratio(wrong, total)


# Tables.


def print_row(how: str, name: str, figures: Mapping[str, Ratio]) -> None:
    shown = [format(figures.get(key, Ratio()).value, one.format) for key, one in MEASURES.items()]
    print(
        f"{how:<10}{name:<22}" + "".join(f"{text.replace('nan%', '–').replace('nan', '–'):>8}" for text in shown)
    )


def print_wrong(talk: Talk, judged: Iterable[Judged]) -> None:
    """The turns on the wrong side, and how loud they are beside the other speaker."""
    for turn, kind, own, other, is_right in judged:
        if not is_right:
            side = CHANNELS.index(turn.channel)
            part = talk.voices[round(turn.start * talk.rate) : round(turn.end * talk.rate)]
            print(
                f"    {kind:<8}{turn.start:8.2f} to {turn.end:.2f} s, {turn.channel:<6}"
                f"{decibels(part[:, side]):6.1f} dB, other {decibels(part[:, 1 - side]):6.1f} dB: "
                f"found {own:.0%} there, {other:.0%} on the other side"
            )


def pooled(all_figures: Sequence[Figures]) -> Figures:
    """Figures of all recordings together."""
    return {
        name: Ratio(*map(sum, zip(*(figures[name] for figures in all_figures), strict=True)))
        for name in (all_figures[0] if all_figures else ())
    }


def compare(talks: Sequence[Talk], how: str, folder: Path, detail: bool) -> Figures:
    """Separate all recordings, degraded in one way; print a row for each, and one for all."""
    sums, out = folder / f"{how} sums", folder / how
    sums.mkdir()
    degraded = [DEGRADED[how](talk) for talk in talks]
    files = [write_mono(talk, sums, how) for talk in degraded]
    cost = dailytalk("separate", *files, "--out", out, "--profile", "embedded")
    rows = []
    for talk, file in zip(degraded, files, strict=True):
        result = read_separated(file, out)
        if result is None:
            print(f"{how:<10}{talk.name:<22}rejected")
            continue
        figures, judged = measured(talk, result)
        rows.append(figures)
        print_row(how, talk.name, figures)
        if detail:
            print_wrong(talk, judged)
    seconds = sum(len(talk.voices) / talk.rate for talk in degraded)
    together = pooled(rows) | {"real_time": Ratio(cost.wall, seconds)}
    print_row(how, f"all {len(rows)} of {len(talks)}", together)
    return together if len(rows) == len(talks) else {}


def memory(folder: Path) -> bool:
    """Peak memory for a long file beside that for a short one: the bundled recordings again and again."""
    talks = [soundfile.read(path, dtype="float32") for path in sorted(EXAMPLES.glob("*.flac"))]
    peaks = []
    for minutes in MINUTES:
        path = folder / f"{minutes}.flac"
        with soundfile.SoundFile(path, "w", talks[0][1], 1, "PCM_16") as file:
            while file.tell() < minutes * 60 * file.samplerate:
                for voices, _ in talks:
                    file.write(voices.sum(axis=1))
        peaks.append(dailytalk("separate", path, "--out", folder / f"{minutes}", "--profile", "embedded").peak)
    ratio = peaks[1] / peaks[0]
    print(
        f"memory: {MINUTES[0]} min {peaks[0]:.0f} MB, {MINUTES[1]} min {peaks[1]:.0f} MB, ratio {ratio:.2f}",
        end="",
    )
    print(f" (goal: at most {FLAT}): {verdict(ratio <= FLAT)}")
    return ratio <= FLAT


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=Path, metavar="FOLDER", help="more recordings whose speakers are known")
    parser.add_argument("--only", nargs="+", choices=DEGRADED, default=[*DEGRADED], help="by default, all")
    parser.add_argument("--detail", action="store_true", help="list the turns that are on the wrong side, too")
    parser.add_argument("--memory", action="store_true", help="measure the memory for a long file instead")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if chosen.memory:
            return 0 if memory(folder) else 1
        spoken = [
            part for path in sorted((ROOT / "examples/spoken_user").glob("*.flac")) for part in ("--input", path)
        ]
        for voice in ("female", "male"):
            dailytalk("converse", "--profile", "embedded", "--voice", voice, "--out", folder / "talks", *spoken)
        talks = [*talks_of(EXAMPLES, references()), *talks_of(folder / "talks")]
        talks += talks_of(chosen.calls) if chosen.calls else []
        print(f"{'':32}" + "".join(f"{one.title:>8}" for one in MEASURES.values()))
        figures = {how: compare(talks, how, folder, chosen.detail) for how in chosen.only}
    met = True
    for key, one in MEASURES.items() if "clean" in figures else ():
        if one.most is not None or one.least is not None:
            value = figures["clean"].get(key, Ratio()).value
            goal = (
                f"at most {one.most:{one.format}}" if one.least is None else f"at least {one.least:{one.format}}"
            )
            good = one.met(value) and bool(figures["clean"])
            print(f"clean, {one.title}: {value:{one.format}} (goal: {goal}): {verdict(good)}")
            met &= good
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
