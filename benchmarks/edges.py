"""What is measured of timing beside planted truth: where utterances start and end, and the figures that follow.

Phrases of the bundled voices, or of readers (`--readers FOLDER`: a folder of recordings of each), are planted in
conversations whose times are known. A phrase is between two silences of its reader, from the first to the last 10
ms that are at most 40 dB under its loudest; over a telephone, of what that passes. Readers whose room is less than
50 dB under their voice have no edges to be known, and are left out; so are those that set the constants of
`core.sound_edges.sounding`. All is heard in a studio, over a telephone, and in noise 20 dB under the voices.

With `--labelled FOLDER`, sentences that were labelled by hand are heard in place of planted phrases: a folder for
each speaker with `NAME.flac` and `NAME.wrd` (TIMIT; lost bytes are put back, as in `words.py`). What is judged
then is where an utterance begins, which decides what the recogniser hears and what a new voice replaces.
`core.sound_edges.ONSET` was set on the speakers of `ONSET_SET_BY`.
"""

import argparse
import io
import sys
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import measuring
import numpy as np
import soundfile
from audio_files import Samples, conversations, example, room_tone
from numpy.typing import NDArray
from scipy import signal
from words import sentence_samples

from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.scorecard import TurnTaking
from dailytalk_contiguous.core.turns import TURN_MEASURES, timed_conversations
from dailytalk_contiguous.stages.segment import Segment

RATE = 16000
TELEPHONE_RATE = 8000

#: dB under the loudest moment: of what is planted, and of the room of a reader whose edges are known.
UNDER = 40.0
QUIET = 50.0

#: Readers by whom the constants were set.
SET_BY = ("1088", "1116", "1355", "1578", "1841", "1898", "200", "2007", "3005")

#: Speakers by whom `core.sound_edges.ONSET` was set.
ONSET_SET_BY = ("dr1-fvmh0", "dr3-falk0", "dr5-ftlg0", "dr7-fblv0")

#: Seconds by which a start may be late.
LATE = 0.06

#: What a figure may be off: as a share or, of one in seconds, so much.
SHARE = 0.03
SECONDS = 0.032

#: Where it is heard, by the level of its room in dBFS.
ROOMS = {"studio": -65.0, "telephone": -60.0, "noise at 20 dB": None}


class Talk(NamedTuple):
    """A conversation without any room, shape (n, 2) at 16 kHz: its phrases as (channel, start, end) in seconds."""

    sound: Samples
    phrases: list[tuple[str, float, float]]


def levels(samples: Samples) -> NDArray[np.float64]:
    """Level in dB of each 10 ms, 5 ms apart."""
    windows = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), RATE // 100)[:: RATE // 200]
    return 10 * np.log10(np.mean(np.square(windows), axis=1) + 1e-14)


def trimmed(samples: Samples) -> tuple[int, int]:
    """The first and the last sample that are at most `UNDER` dB under the loudest moment."""
    heard = levels(samples)
    loud = np.flatnonzero(heard >= heard.max() - UNDER)
    return int(loud[0]) * RATE // 200, int(loud[-1]) * RATE // 200 + RATE // 100


def bundled() -> dict[str, list[Samples]]:
    """The lines of each voice of the bundled recordings."""
    voices: dict[str, list[Samples]] = {}
    for name, talk in measuring.references().items():
        for said in talk["utterances"]:
            part = slice(*(round(said[edge] * RATE) for edge in ("start", "end")))
            line = example(name)[part, CHANNELS.index(said["channel"])]
            voices.setdefault(talk["voices"][said["channel"]], []).append(line[slice(*trimmed(line))])
    return voices


def readers(folder: Path) -> dict[str, list[Samples]]:
    """The phrases of each reader in a folder who did not set a constant and has a quiet room."""
    voices = {}
    for path in sorted(folder.iterdir()):
        read = np.concatenate([soundfile.read(file, dtype="float32")[0] for file in sorted(path.glob("*.flac"))])
        heard = levels(read)
        if path.name in SET_BY or np.percentile(heard, 5) > heard.max() - QUIET:
            continue
        loud = np.flatnonzero(heard >= heard.max() - UNDER)
        cuts = np.flatnonzero(np.diff(loud) > 20)  # silences of over 0.1 s
        spans = zip([loud[0], *loud[cuts + 1]], [*loud[cuts], loud[-1]], strict=True)
        parts = [read[first * RATE // 200 : last * RATE // 200 + RATE // 100] for first, last in spans]
        voices[path.name] = [part[slice(*trimmed(part))] for part in parts[1:-1] if 0.4 <= len(part) / RATE <= 5]
    return {name: parts for name, parts in voices.items() if len(parts) > 1}


def planted(left: Sequence[Samples], right: Sequence[Samples], seed: int, count: int = 30) -> Talk:
    """Phrases of two voices with gaps, pauses, overlaps and backchannels, each at a whole sample."""
    random = np.random.default_rng(seed)
    free = dict.fromkeys(CHANNELS, 0.5)
    phrases: list[tuple[str, float, float]] = []
    pieces = []
    last = (CHANNELS[0], 0.0, 0.5)  # who reaches furthest
    for _ in range(count):
        channel = CHANNELS[random.integers(2)]
        phrase = (left, right)[channel == "right"][random.integers(len((left, right)[channel == "right"]))]
        gap = random.uniform(0.6, 1.4) if channel == last[0] else random.uniform(0.1, 1.2)
        kind = random.random()
        start = last[2] + gap
        if channel != last[0] and kind > 0.6:
            start = max(last[1] + 0.3 * (last[2] - last[1]), last[2] - random.uniform(0.1, 1.2))
        start = round(max(start, free[channel] + 0.6) * RATE) / RATE
        end = start + len(phrase) / RATE
        phrases.append((channel, start, end))
        pieces.append((CHANNELS.index(channel), round(start * RATE), phrase))
        last = max(last, (channel, start, end), key=lambda span: span[2])
        free[channel] = end
    sound = np.zeros((round((last[2] + 1.5) * RATE), 2), np.float32)
    for side, first, phrase in pieces:
        sound[first : first + len(phrase), side] += 0.5 * phrase / np.abs(phrase).max()
    return Talk(sound, phrases)


def heard_in(room: str, talk: Talk) -> tuple[Samples, int, list[tuple[str, float, float]]]:
    """A talk in a room with its rate, and where its phrases begin and end there."""
    sound = talk.sound
    phrases = talk.phrases
    rate = RATE
    if room == "telephone":
        rate = TELEPHONE_RATE
        sound = signal.resample_poly(sound, 1, 2, axis=0).astype(np.float32)
        passed = signal.resample_poly(sound, 2, 1, axis=0)
        phrases = []
        for channel, start, end in talk.phrases:
            first = round(start * RATE)
            last = round(end * RATE)
            edges = trimmed(passed[first:last, CHANNELS.index(channel)])
            phrases.append((channel, start + edges[0] / RATE, start + edges[1] / RATE))
    noise = np.stack([room_tone(len(sound), 0.0, seed) for seed in (1, 2)], 1)
    level = ROOMS[room]
    if level is None:  # under the voice of each side while it speaks, softer where it is higher
        noise = signal.lfilter([1], [1, -0.9], noise, axis=0)
        noise /= noise.std(axis=0)
        voices = np.array([np.mean(np.square(side[side != 0])) for side in sound.T])
        return (sound + noise * np.sqrt(voices) * 10 ** (-20 / 20)).astype(np.float32), rate, phrases
    return (sound + noise * 10 ** (level / 20)).astype(np.float32), rate, phrases


def row_of(utterances: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    row = dict.fromkeys(("language", "timeline")) | {"duration": seconds, "source_duration": seconds}
    said = dict.fromkeys(("status", "text", "event", "source_event", "source_start", "source_end"))
    return row | {"utterances": [said | utterance for utterance in utterances]}


def found(sound: Samples, rate: int) -> dict[str, Any]:
    """The row of what `Segment` finds."""
    file = io.BytesIO()
    soundfile.write(file, np.clip(sound, -1, 1), rate, format="WAV")
    batch = Segment()(conversations(file.getvalue()) | {"duration": [len(sound) / rate]})
    names = ("channel", "start", "end", "start_trim", "end_trim")
    columns = zip(*(batch[name][0] for name in names), strict=True)
    return row_of([dict(zip(names, values, strict=True)) for values in columns], len(sound) / rate)


def heard_and_planted(room: str, talks: Sequence[Talk]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of talks in a room: as they were planted, and as they are found."""
    truths = []
    rows = []
    for talk in talks:
        sound, rate, phrases = heard_in(room, talk)
        said = [dict(zip(("channel", "start", "end"), phrase, strict=True)) for phrase in phrases]
        truths.append(row_of(said, len(sound) / rate))
        rows.append(found(sound, rate))
    return truths, rows


def errors(truth: dict[str, Any], row: dict[str, Any]) -> Iterator[tuple[float, float]]:
    """Seconds by which each phrase is found too late, at its start and at its end."""
    spans = timed_conversations(row)["rebuilt"].timed
    for phrase in timed_conversations(truth)["rebuilt"].timed:
        same = [
            span
            for span in spans
            if span.channel == phrase.channel and min(span.end, phrase.end) > max(span.start, phrase.start)
        ]
        if same:
            yield min(span.start for span in same) - phrase.start, max(span.end for span in same) - phrase.end


def figures(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, str], float]:
    """What corpus-stats.json says of rows, all together."""
    taken = TurnTaking()
    for row in rows:
        taken.add(timed_conversations(row)["rebuilt"])
    stats = taken.stats()
    return {
        (name, side): of["pooled"] for name, sides in stats.items() for side, of in sides.items() if "pooled" in of
    }


def padded(row: dict[str, Any]) -> dict[str, Any]:
    """A row as if only speech activity said where its utterances are."""
    return row | {"utterances": [said | dict.fromkeys(("start_trim", "end_trim")) for said in row["utterances"]]}


def wrong(truths: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]]) -> dict[tuple[str, str], str]:
    """The figures of rows that are off by more than they may be, beside those of the truth."""
    ours = figures(rows)
    return {
        key: f"{ours.get(key, np.nan):.3f} for {value:.3f}"
        for key, value in figures(truths).items()
        if not abs(ours.get(key, np.nan) - value)
        <= max(SHARE * abs(value), SECONDS * (TURN_MEASURES[key[0]].unit == "s"))
    }


def labelled_starts(speaker: Path, room: str) -> Iterator[tuple[str, float]]:
    """Each sentence of a speaker, and by how many seconds its first utterance begins after its first word."""
    for path in sorted(speaker.glob("*.flac")):
        sound, _, _ = sentence_samples(path, mend=True)
        words = [line.split() for line in path.with_suffix(".wrd").read_text().splitlines()]
        first = int(words[0][0])
        last = int(words[-1][1])
        silence = np.zeros(RATE, np.float32)
        sentence = np.concatenate([silence, sound[first:last], silence])
        talk = Talk(np.stack([sentence, np.zeros_like(sentence)], axis=1), [])
        heard, rate, _ = heard_in(room, talk)
        spoken = [said for said in found(heard, rate)["utterances"] if said["channel"] == CHANNELS[0]]
        if spoken:
            yield f"{speaker.name}/{path.stem} ({words[0][2]})", spoken[0]["start"] - 1.0


def judge_labelled(folder: Path) -> bool:
    """Print how late utterances of labelled sentences begin, and return whether the goal is met."""
    met = True
    speakers = sorted(path for path in folder.iterdir() if path.is_dir())
    for room in ("studio", "telephone"):
        for about, chosen in (
            ("that ONSET was set on", [path for path in speakers if path.name in ONSET_SET_BY]),
            ("others", [path for path in speakers if path.name not in ONSET_SET_BY]),
        ):
            late = dict(start for speaker in chosen for start in labelled_starts(speaker, room))
            worst = max(late, key=late.__getitem__)
            seconds = np.array([*late.values()])
            n_late = int((seconds > LATE).sum())
            n_half_late = int((seconds > LATE / 2).sum())
            text = (
                f"{room}, {len(chosen)} speakers {about}: {len(late)} starts, {1000 * np.median(seconds):.0f} ms "
                f"late (median), earliest {1000 * seconds.min():.0f}, {n_half_late} over {500 * LATE:.0f} ms, "
                f"{n_late} over {1000 * LATE:.0f} ms, worst {1000 * late[worst]:.0f} ms in {worst}"
            )
            met &= measuring.judged(
                f"{text} (goal: 2 of 100 over {1000 * LATE:.0f} ms)", n_late <= 0.02 * len(late)
            )
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=Path)
    parser.add_argument("--labelled", type=Path)
    chosen = parser.parse_args()
    if chosen.labelled:
        return 0 if judge_labelled(chosen.labelled) else 1
    folder = chosen.readers
    voices = readers(folder) if folder else bundled()
    met = True
    talks = [planted(voices[a], voices[b], seed) for seed, (a, b) in enumerate(combinations(sorted(voices), 2))]
    print(f"{len(talks)} conversations, {sum(len(talk.phrases) for talk in talks)} phrases of {', '.join(voices)}")
    for room in ROOMS:
        truths, rows = heard_and_planted(room, talks)
        for about, measured in (("by speech activity", [*map(padded, rows)]), ("by their sound", rows)):
            late = [error for pair in zip(truths, measured, strict=True) for error in errors(*pair)]
            low, middle, high = 1000 * np.percentile(late, (10, 50, 90), axis=0)
            off = wrong(truths, measured)
            text = f"{room}, {about}: starts {middle[0]:.0f} ms late ({low[0]:.0f} to {high[0]:.0f} in 80 %), "
            text += f"ends {middle[1]:.0f} ({low[1]:.0f} to {high[1]:.0f}), {len(off)} figures off, "
            starts = np.array(late)[:, 0]
            n_late = int((starts > LATE).sum())
            text += f"worst start {1000 * starts.max():.0f} ms late, "
            text += f"{n_late} of {len(starts)} over {1000 * LATE:.0f} ms"
            if measured is not rows:
                print(text)
                continue
            met &= measuring.judged(f"{text} (goals: 15 ms, none)", max(abs(middle)) <= 15 and not off)
            for (name, side), figure in off.items():
                print(f"    {name}, {side}: {figure}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
