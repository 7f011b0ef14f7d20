"""Fillers and repeats: how many of those that people say are written, how many are invented, and what that costs.

    python benchmarks/fillers.py FOLDER [--only PART …]

FOLDER holds `spokenwoz`, `talk`, `labelled` and `fillers`; what is absent is left out. Words are those of Whisper
base. A filler is in place if `tag` writes one within 0.5 s of it. The parts:

- cost: processor time of `tag` beside `tag --fillers drop`, in turn three times each; the least of each is taken.
- real: fillers that people say in calls and in labelled readings.
- planted: "um" and "uh" that are mixed into pauses of the bundled recordings and of calls, at 70 % of the level of
  the line before. The bundled recordings have no other fillers: every further one there is an invention.
- repeats: in TIMIT one word of most sentences, or two, are said twice, or half a word before the whole one: a copy
  of its own sound. Limits of repeats were chosen on the speakers of `words.CHOSEN_ON`.

Limits of fillers in `models/hesitations.py` were chosen on the recordings of `real` and `planted`; where speech is
searched at all, on the calls and on all speakers of `repeats`, so no figure of these parts is of other data.
"""

import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import measuring
import numpy as np
import soundfile
import soxr
from audio_files import room_tone
from measuring import EXAMPLES, Side, dailytalk, judged, sound_alone
from words import ROOM_DBFS, Timed, spoken_talk

from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.words.fillers import are_fillers
from dailytalk_contiguous.core.words.word_times import normalise
from dailytalk_contiguous.models.contracts import Line, VoiceSettings
from dailytalk_contiguous.models.engines import load_synthesiser, synthesise
from dailytalk_contiguous.sources.tier_formats import read_tiers

#: Seconds between a filler and one that is written for it.
NEAR = 0.5

#: Seconds by which the labels of the calls begin early.
EARLY_LABELS = 0.3

#: Goals: shares of fillers in place and of those written that are right.
IN_PLACE_GOAL = 0.65
RIGHT_GOAL = 0.80

#: How often `tag` is timed with fillers and without.
N_TIMED = 3

#: Sentences in which the voice joe says a filler.
SENTENCES = ("I think, {filler}, we could go there tomorrow.", "So, {filler}, what do you want to eat?")

#: Where "um" and "uh" are in the single sounds, in seconds, and the seconds to which they are cut.
SINGLE_SOUNDS = {"mfa_um.flac": (3.79, 5.16), "mfa_uh.flac": (2.50, 3.60)}
LENGTHS = (0.4, 0.7, 1.1)

#: Seconds of silence on both sides of a filler that is planted.
GAP = 0.15

#: Seconds of the pauses between a word and its repetition.
PAUSES = (0.04, 0.12, 0.25)
LONGEST_PAUSE = max(PAUSES)


class Hesitation(NamedTuple):
    """A filler or a repeat on a side of a recording, from start to end in seconds."""

    recording: str
    channel: str
    start: float
    end: float

    @property
    def middle(self) -> float:
        return (self.start + self.end) / 2


def tag(source: Path, work: Path, fillers: str = "keep") -> measuring.Cost:
    options = ("--profile", "embedded", "--asr-model", "base", "--language", "en", "--fillers", fillers)
    return dailytalk("tag", source, "--out", work, *options)


def lines_of(work: Path) -> list[dict[str, Any]]:
    text = (work / "transcript.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def written_fillers(source: Path, work: Path) -> list[Hesitation]:
    """The fillers that `tag` writes."""
    tag(source, work)
    fillers = []
    for line in lines_of(work):
        for word in line["words"]:
            if word.get("filler"):
                fillers.append(Hesitation(line["conversation_id"], line["channel"], word["start"], word["end"]))
    return fillers


def is_filler(word: str) -> bool:
    """Whether a word is a filler inside an English sentence."""
    return are_fillers(["so", word], "en")[1]


def is_near(filler: Hesitation, others: Sequence[Hesitation]) -> bool:
    """Whether another filler of the same side begins, or has its middle, within `NEAR` seconds."""
    for other in others:
        is_same_side = other.recording == filler.recording and other.channel == filler.channel
        distance = min(abs(other.start - filler.start), abs(other.middle - filler.middle))
        if is_same_side and distance <= NEAR:
            return True
    return False


def n_near(fillers: Sequence[Hesitation], others: Sequence[Hesitation]) -> int:
    return sum(is_near(filler, others) for filler in fillers)


def resampled(samples: Samples, rate: int, new_rate: int = ANALYSIS_RATE) -> Samples:
    return np.asarray(soxr.resample(samples, rate, new_rate), np.float32)


def first_channel(path: Path) -> Samples:
    """The first channel of a file at 16 kHz."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return resampled(samples[:, 0], rate)


def softened(sound: Samples, seconds: float) -> Samples:
    """A sound that begins and ends within so many seconds."""
    ramp = np.linspace(0, 1, round(seconds * ANALYSIS_RATE), dtype=np.float32)
    result = sound.copy()
    result[: len(ramp)] *= ramp
    result[-len(ramp) :] *= ramp[::-1]
    return result


def readings(data: Path) -> list[Path]:
    return sorted(data.glob("labelled/*.wav"))


def full_of_fillers(data: Path, folder: Path) -> Path:
    """A folder of the calls, and of the readings as the left side of a conversation with an empty right side."""
    source = sound_alone(measuring.calls(data), folder)
    for path in readings(data):
        sound = first_channel(path)
        soundfile.write(source / path.name, np.stack([sound, room_tone(len(sound), -80)], 1), ANALYSIS_RATE)
    return source


def cost(data: Path, folder: Path) -> bool:
    """Processor time of `tag` beside `tag` without the search for fillers."""
    bundled = sound_alone(sorted(EXAMPLES.glob("*.flac")), folder / "bundled")
    calls = sound_alone([*measuring.calls(data), *measuring.english_calls(data)], folder / "calls")
    full = full_of_fillers(data, folder / "full of fillers")
    goals = {bundled: 1.05}
    if any(calls.iterdir()):
        goals[calls] = 1.08
    if any(full.iterdir()):
        goals[full] = 1.12
    seconds: dict[tuple[Path, str], list[float]] = defaultdict(list)
    for number in range(N_TIMED):
        for source in goals:
            for fillers in ("keep", "drop"):
                work = folder / f"{source.name}-{fillers}-{number}"
                took = tag(source, work, fillers).processor
                seconds[source, fillers].append(took)
                print(f"  {source.name}, --fillers {fillers}: {took:.1f} s", flush=True)
    met = True
    for source, goal in goals.items():
        ratio = min(seconds[source, "keep"]) / min(seconds[source, "drop"])
        figure = f"{source.name}: processor time of `tag` beside --fillers drop {ratio:.3f} (goal {goal})"
        met &= judged(figure, ratio <= goal)
    return met


def real(data: Path, folder: Path) -> bool:
    """Fillers of people, in calls and in labelled readings."""
    fillers = []
    for side in measuring.call_sides(data):
        for start, end, text in side.said:
            if is_filler(text):
                start += EARLY_LABELS
                fillers.append(Hesitation(side.path.stem, side.channel, start, end + EARLY_LABELS))
    for path in readings(data):
        for tier in read_tiers(path.with_suffix(".TextGrid")):
            if tier.name == "words":
                labels = [label for label in tier.labels if is_filler(label[2])]
                fillers += [Hesitation(path.stem, "left", start, end) for start, end, _ in labels]
    written = written_fillers(full_of_fillers(data, folder / "real"), folder / "work")
    n_found = n_near(fillers, written)
    n_right = n_near(written, fillers)
    print(f"real fillers: {n_found} of {len(fillers)} in place")
    print(f"  {n_right} of {len(written)} written are in the texts, which lack some; listen to the others:")
    for filler in written:
        if not is_near(filler, fillers):
            print(f"    {filler.recording} {filler.channel} {filler.start:.1f} s")
    share = n_found / max(1, len(fillers))
    return judged(f"  in place: {share:.0%} (goal {IN_PLACE_GOAL:.0%})", share >= IN_PLACE_GOAL)


def planted(data: Path, folder: Path) -> bool:
    """Single sounds in pauses of recordings: the bundled ones, and calls of another band and level."""
    bank = [*single_sounds(data), *sounds_of_the_voice("um"), *sounds_of_the_voice("uh")]
    met = planted_in("bundled", measuring.bundled_sides(), bank, folder)
    calls = measuring.english_calls(data)
    if calls:
        tag(sound_alone(calls, folder / "calls"), folder / "calls-work", "drop")
        lines = lines_of(folder / "calls-work")
        sides = []
        for path in calls:
            for channel in CHANNELS:
                spans = [
                    (line["start"], line["end"], line["text_raw"])
                    for line in lines
                    if line["conversation_id"] == path.stem and line["channel"] == channel
                ]
                sides.append(Side(path, channel, f"{path.stem}/{channel}", sorted(spans)))
        met &= planted_in("calls", sides, bank, folder)
    return met


def planted_in(title: str, sides: Sequence[Side], bank: Sequence[Samples], folder: Path) -> bool:
    source = folder / f"planted-{title}"
    source.mkdir()
    generator = np.random.default_rng(7)
    fillers: list[Hesitation] = []
    for path in sorted({side.path for side in sides}):
        samples, rate = soundfile.read(path, dtype="float32")
        for side in sides:
            if side.path == path:
                channel = samples[:, CHANNELS.index(side.channel)]
                fillers += plant(channel, rate, side, bank, generator)
        soundfile.write(source / f"{path.stem}.wav", samples, rate)
    written = written_fillers(source, folder / f"planted-{title}-work")
    n_found = n_near(fillers, written)
    n_right = n_near(written, fillers)
    print(f"planted in {title}: {n_found} of {len(fillers)} in place")
    print(f"  {n_right} of {len(written)} written are planted")
    share = n_found / max(1, len(fillers))
    met = judged(f"  in place: {share:.0%} (goal {IN_PLACE_GOAL:.0%})", share >= IN_PLACE_GOAL)
    if title == "bundled":  # people of the calls hesitate themselves
        share = n_right / max(1, len(written))
        met &= judged(f"  right: {share:.0%} (goal {RIGHT_GOAL:.0%})", share >= RIGHT_GOAL)
    return met


def plant(
    channel: Samples, rate: int, side: Side, bank: Sequence[Samples], generator: np.random.Generator
) -> Iterator[Hesitation]:
    """Mix sounds into pauses of a channel, in place, behind a line or before the next."""
    for (start, end, _), (following, _, _) in pairwise(side.said):
        sound = bank[generator.integers(len(bank))]
        seconds = len(sound) / ANALYSIS_RATE
        if following - end < seconds + 0.35 or generator.random() > 0.6:
            continue
        is_before_next = generator.random() < 0.5
        filler_start = following - seconds - GAP if is_before_next else end + GAP
        line = channel[round(start * rate) : round(end * rate)]
        level = 0.7 * float(line.std()) / float(sound.std())
        filler = level * resampled(sound, ANALYSIS_RATE, rate)
        first = round(filler_start * rate)
        channel[first : first + len(filler)] += filler
        yield Hesitation(side.path.stem, side.channel, filler_start, filler_start + seconds)


def single_sounds(data: Path) -> Iterator[Samples]:
    """ "um" and "uh" of a person, each in several lengths: the vowel from its beginning, and its end (an "m")."""
    for name, (start, end) in SINGLE_SOUNDS.items():
        path = data / "fillers" / name
        if not path.is_file():
            continue
        whole = first_channel(path)[round(start * ANALYSIS_RATE) : round(end * ANALYSIS_RATE)]
        for length in LENGTHS:
            n_samples = round(length * ANALYSIS_RATE)
            n_last = n_samples * 2 // 5
            sound = np.concatenate([whole[: n_samples - n_last], whole[len(whole) - n_last :]])
            yield softened(sound, 0.03)


def sounds_of_the_voice(filler: str) -> Iterator[Samples]:
    """A filler that the voice joe says in the midst of two sentences."""
    voice = load_synthesiser("piper", VoiceSettings("", ""))
    for sentence in SENTENCES:
        speech = synthesise(voice, Line(sentence.format(filler=filler), "", "en", 0))
        sound = resampled(speech.samples, speech.sample_rate)
        word = next(word for word in speech.words or () if is_filler(word.word))
        first = round((word.start - 0.02) * ANALYSIS_RATE)
        last = round((word.end + 0.04) * ANALYSIS_RATE)
        yield sound[first:last]


def repeats(data: Path, folder: Path) -> bool:
    """Words of labelled sentences that are said twice, or cut off and said again. No goals."""
    source = folder / "repeats"
    source.mkdir()
    generator = np.random.default_rng(1)
    planted_by_group: dict[str, list[Hesitation]] = defaultdict(list)
    group_of = {}
    for speaker in sorted((data / "labelled/timit").glob("*")):
        talk = spoken_talk(speaker.name, sorted(speaker.glob("*.flac")))
        group_of[speaker.name] = talk.group
        sound, spans = with_repeats(talk.sound, talk.lines, generator)
        both = np.stack([sound, room_tone(len(sound), ROOM_DBFS)], 1)
        soundfile.write(source / f"{speaker.name}.wav", both, ANALYSIS_RATE)
        planted_by_group[talk.group] += [Hesitation(speaker.name, "left", start, end) for start, end in spans]
    if not group_of:
        return True
    tag(source, folder / "kept")
    tag(source, folder / "dropped", "drop")
    added = added_words(lines_of(folder / "kept"), lines_of(folder / "dropped"))
    for group, again in planted_by_group.items():
        written = [word for word in added if group_of[word.recording] == group]
        n_found = sum(overlaps(span, written) for span in again)
        n_right = sum(overlaps(word, again) for word in written)
        print(
            f"words said twice by {group}: {n_found} of {len(again)} found; "
            f"{n_right} of {len(written)} words written are planted"
        )
    return True


def with_repeats(
    sound: Samples, lines: Sequence[Sequence[Timed]], generator: np.random.Generator
) -> tuple[Samples, list[tuple[float, float]]]:
    """Sound in which a part of most lines is said twice, and start and end of the first of both, in seconds."""
    pieces: list[Samples] = []
    spans: list[tuple[float, float]] = []
    n_added = 0
    n_copied = 0
    for number, line in enumerate(lines):
        span = span_to_repeat(line, ("one", "part", "two", "none", "one")[number % 5], generator)
        if span is None:
            continue
        first, last = (round(edge * ANALYSIS_RATE) for edge in span)
        copy = softened(sound[first:last], 0.01)
        pause = room_tone(round(generator.choice(PAUSES) * ANALYSIS_RATE), ROOM_DBFS)
        pieces += [sound[n_copied:first], copy, pause]
        n_copied = first
        shift = n_added / ANALYSIS_RATE
        spans.append((span[0] + shift, span[1] + shift))
        n_added += len(copy) + len(pause)
    return np.concatenate([*pieces, sound[n_copied:]]), spans


def span_to_repeat(line: Sequence[Timed], how: str, generator: np.random.Generator) -> tuple[float, float] | None:
    """Start and end of what is repeated: a short word (one), half of a long one (part), or two words (two)."""
    spans: list[tuple[float, float]] = []
    for word, following in zip_longest(line, line[1:]):
        length = word.end - word.start
        if how == "one" and len(word.text) <= 4 and length >= 0.06:
            spans.append((word.start, word.end))
        if how == "part" and length >= 0.28:
            spans.append((word.start, word.start + length / 2))
        if how == "two" and following and following.end - word.start <= 0.6:
            spans.append((word.start, following.end))
    return spans[generator.integers(len(spans))] if spans else None


def added_words(kept: Sequence[dict[str, Any]], dropped: Sequence[dict[str, Any]]) -> list[Hesitation]:
    """The words of transcripts that others of the same recordings lack."""
    added: list[Hesitation] = []
    for recording in sorted({line["conversation_id"] for line in kept}):
        more = words_of(kept, recording)
        fewer = words_of(dropped, recording)
        more_texts = [normalise(word["word"]) for word in more]
        fewer_texts = [normalise(word["word"]) for word in fewer]
        matcher = SequenceMatcher(None, more_texts, fewer_texts, autojunk=False)
        for action, first, last, _, _ in matcher.get_opcodes():
            if action != "equal":
                added += [Hesitation(recording, "left", word["start"], word["end"]) for word in more[first:last]]
    return added


def words_of(lines: Sequence[dict[str, Any]], recording: str) -> list[dict[str, Any]]:
    return [word for line in lines if line["conversation_id"] == recording for word in line["words"]]


def overlaps(span: Hesitation, others: Sequence[Hesitation]) -> bool:
    """Whether another span, or a copy that sounds alike right beside it, is of the same time."""
    return any(
        other.recording == span.recording
        and other.start < span.end + LONGEST_PAUSE
        and span.start < other.end + LONGEST_PAUSE
        for other in others
    )


#: Parts by name: each is given FOLDER and an empty folder to work in, and says whether its goals are met.
PARTS: dict[str, Callable[[Path, Path], bool]] = {
    "cost": cost,
    "real": real,
    "planted": planted,
    "repeats": repeats,
}


def main() -> int:
    parser = measuring.data_parser(__doc__)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=[*PARTS])
    chosen = parser.parse_args()
    met = []
    for name in chosen.only:
        with tempfile.TemporaryDirectory() as scratch:
            met.append(PARTS[name](chosen.data, Path(scratch)))
    return int(not all(met))


if __name__ == "__main__":
    sys.exit(main())
