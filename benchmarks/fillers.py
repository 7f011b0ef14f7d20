"""Fillers and repeats that are said, written, and invented: real, planted, of a voice; and what they cost.

    python benchmarks/fillers.py FOLDER

FOLDER holds `spokenwoz` (calls with a JSON of their words), `labelled` (WAVs with TextGrids), `fillers` (single
sounds) and `talk` (calls without a text); what is absent is left out. A filler is in place if `tag` writes one
within 0.5 s of it. Labels of the calls begin 0.3 s early, which is taken off. Sounds are planted into pauses of
the bundled recordings and of the calls of `talk`, at 70 % of the level of the line before: the former have no
other fillers, so that every further one there is an invention. Thresholds of fillers in `models/hesitations.py`
were chosen on these recordings; nothing else of this kind is at hand.

In `labelled/timit` one word of most sentences, or two, are said twice, or half a word before the whole one: a copy
of its own sound. Thresholds of repeats were chosen on the speakers dr1 to dr4.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import soxr
from measuring import EXAMPLES, Cost, dailytalk, judged, references
from words import ROOM_DBFS, Timed, room_tone, talks_in, textgrid_words

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.fillers import are_fillers
from dailytalk_contiguous.core.word_times import normalise
from dailytalk_contiguous.models.contracts import Line, VoiceSettings
from dailytalk_contiguous.models.engines import load_synthesiser, synthesise
from dailytalk_contiguous.models.whisper import load_whisper

#: Seconds between a filler and one that is written for it; by how much labels of calls are early.
NEAR = 0.5
EARLY_LABELS = 0.3

#: Goals: shares of fillers in place and of those written that are right; of the voice's that are heard again; how
#: much processor time `tag` may take beside `--fillers drop`.
IN_PLACE_GOAL = 0.65
RIGHT_GOAL = 0.80
VOICE_GOAL = 0.90
COST_GOAL = 1.25

#: Sentences in which the voice says a filler.
SENTENCES = (
    "{Filler}, I think so.",
    "I think, {filler}, we could go there tomorrow.",
    "So, {filler}, what do you want to eat?",
    "We went to the, {filler}, the new place by the river.",
    "{Filler}, maybe it is too late.",
    "I was going to say, {filler}, that it works.",
    "It costs, {filler}, twenty dollars.",
    "{Filler}, who is there?",
    "Yes, {filler}, I know him.",
    "You could, {filler}, try again.",
)

#: What somebody answers whose microphone hears the sentences, too, and how loud they leak in.
ANSWERS = (
    "That sounds lovely.",
    "Where was it?",
    "And was the weather good?",
    "I would like to go there too.",
    "Maybe next month then.",
    "Do you know when?",
)
LEAKS_DB = (-12, -20, -30)

#: Where "um" and "uh" are in the single sounds, in seconds.
SINGLE = {"mfa_um.flac": (3.79, 5.16), "mfa_uh.flac": (2.50, 3.60)}

#: Seconds to which they are cut.
LENGTHS = (0.4, 0.7, 1.1)

#: Seconds of the pauses between a word and its repetition.
PAUSES = (0.04, 0.12, 0.25)
LONGEST_PAUSE = max(PAUSES)


class Said(NamedTuple):
    """A filler on a side of a recording, from start to end in seconds."""

    recording: str
    channel: str
    start: float
    end: float


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    met = []
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        met.append(real(folder, work))
        met += planted(folder, work)
        if (folder / "labelled" / "timit").is_dir():
            repeats(folder / "labelled" / "timit", work)
        met.append(leak(work))
    met.append(voice())
    return 0 if all(met) else 1


def real(folder: Path, work: Path) -> bool:
    """Fillers of people, in calls and in labelled recordings."""
    source = work / "real"
    source.mkdir()
    said: list[Said] = []
    for path in sorted(folder.glob("spokenwoz/*.wav")):
        shutil.copy(path, source)
        words = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        for word in words:
            if are_fillers(["so", word["word"]], "en")[1]:
                channel = "left" if word["speaker"] == "A" else "right"
                said.append(Said(path.stem, channel, word["start"] + EARLY_LABELS, word["end"] + EARLY_LABELS))
    for path in sorted(folder.glob("labelled/*.wav")):
        sound = mono(path)
        room = 1e-4 * np.random.default_rng(1).standard_normal(len(sound)).astype(np.float32)
        soundfile.write(source / path.name, np.stack([sound, room], 1), ANALYSIS_RATE)
        labels = textgrid_words(path.with_suffix(".TextGrid"))
        fillers = [label for label in labels if are_fillers(["so", label.text], "en")[1]]
        said += [Said(path.stem, "left", label.start, label.end) for label in fillers]
    written, cost = tagged(source, work / "kept", "keep")
    _, without = tagged(source, work / "dropped", "drop")
    n_found = found(said, written)
    print(f"real fillers: {n_found} of {len(said)} in place; {len(written)} written")
    print(f"  {found(written, said)} of these are in the texts, which lack some; listen to the others:")
    for filler in written:
        if not is_near(filler, said):
            print(f"    {filler.recording} {filler.channel} {filler.start:.1f} s")
    ratio = cost.processor / without.processor
    figure = f"  processor time of `tag` beside --fillers drop: {ratio:.2f} (goal {COST_GOAL})"
    cheap = judged(figure, ratio <= COST_GOAL)
    share = n_found / max(1, len(said))
    return judged(f"  in place: {share:.0%} (goal {IN_PLACE_GOAL:.0%})", share >= IN_PLACE_GOAL) and cheap


def planted(folder: Path, work: Path) -> Iterator[bool]:
    """Single sounds in pauses of recordings: the bundled ones, and calls of another band and level."""
    bank = [*single_sounds(folder), *(sound for text in ("um", "uh") for sound in sounds_of_the_voice(text))]
    spans = {
        name: [(line["channel"], line["start"], line["end"]) for line in reference["utterances"]]
        for name, reference in references().items()
    }
    yield planted_in("bundled", [EXAMPLES / f"{name}.flac" for name in sorted(spans)], spans, bank, work)
    calls = sorted(path for path in folder.glob("talk/*.flac") if soundfile.info(path).samplerate == 8000)
    if calls:
        source = work / "talk"
        source.mkdir()
        for path in calls:
            shutil.copy(path, source)
        tagged(source, work / "talk-tagged", "drop")
        lines = read_lines(work / "talk-tagged")
        heard: dict[str, list[tuple[str, float, float]]] = {path.stem: [] for path in calls}
        for line in lines:
            heard[line["conversation_id"]].append((line["channel"], line["start"], line["end"]))
        yield planted_in("calls", calls, heard, bank, work)


def planted_in(
    title: str,
    paths: Sequence[Path],
    spans: dict[str, list[tuple[str, float, float]]],
    bank: Sequence[Samples],
    work: Path,
) -> bool:
    source = work / f"planted-{title}"
    source.mkdir()
    generator = np.random.default_rng(7)
    said: list[Said] = []
    for path in paths:
        samples, rate = soundfile.read(path, dtype="float32")
        for index, channel in enumerate(("left", "right")):
            own = sorted((start, end) for side, start, end in spans[path.stem] if side == channel)
            for (start, end), (following, _) in pairwise(own):
                sound = bank[generator.integers(len(bank))]
                seconds = len(sound) / ANALYSIS_RATE
                if following - end < seconds + 0.35 or generator.random() > 0.6:
                    continue
                at = following - seconds - 0.15 if generator.random() < 0.5 else end + 0.15
                line = samples[round(start * rate) : round(end * rate), index]
                level = 0.7 * float(line.std()) / float(sound.std())
                resampled = np.asarray(soxr.resample(sound, ANALYSIS_RATE, rate), np.float32)
                first = round(at * rate)
                samples[first : first + len(resampled), index] += level * resampled
                said.append(Said(path.stem, channel, at, at + seconds))
        soundfile.write(source / f"{path.stem}.wav", samples, rate)
    written, _ = tagged(source, work / f"planted-{title}-tagged", "keep")
    in_place = found(said, written)
    right = found(written, said)
    print(
        f"planted in {title}: {in_place} of {len(said)} in place; {len(written)} written, {right} of these planted"
    )
    share = in_place / max(1, len(said))
    share_right = right / max(1, len(written))
    met = judged(f"  in place: {share:.0%} (goal {IN_PLACE_GOAL:.0%})", share >= IN_PLACE_GOAL)
    if title != "bundled":  # people hesitate there themselves
        print(f"  of those written, {share_right:.0%} were planted")
        return met
    return judged(f"  right: {share_right:.0%} (goal {RIGHT_GOAL:.0%})", share_right >= RIGHT_GOAL) and met


def repeats(folder: Path, work: Path) -> None:
    """Words of labelled sentences that are said twice, or cut off and said again."""
    source = work / "repeats"
    source.mkdir()
    generator = np.random.default_rng(1)
    said: list[Said] = []
    groups: dict[str, str] = {}
    for talk in talks_in(folder, mend=True):
        groups[talk.name] = talk.group
        pieces: list[Samples] = []
        shift = 0.0
        copied = 0
        for number, line in enumerate(talk.lines):
            span = said_again(line, ("one", "part", "two", "none", "one")[number % 5], generator)
            if span is None:
                continue
            first, last = (round(edge * ANALYSIS_RATE) for edge in span)
            copy = softened(talk.sound[first:last])
            pause = room_tone(round(generator.choice(PAUSES) * ANALYSIS_RATE), ROOM_DBFS)
            pieces += [talk.sound[copied:first], copy, pause]
            copied = first
            said.append(Said(talk.name, "left", span[0] + shift, span[1] + shift))
            shift += (len(copy) + len(pause)) / ANALYSIS_RATE
        sound = np.concatenate([*pieces, talk.sound[copied:]])
        both = np.stack([sound, room_tone(len(sound), ROOM_DBFS)], 1)
        soundfile.write(source / f"{talk.name}.wav", both, ANALYSIS_RATE)
    tagged(source, work / "repeats-kept", "keep")
    tagged(source, work / "repeats-dropped", "drop")
    written = added(read_lines(work / "repeats-kept"), read_lines(work / "repeats-dropped"))
    for group in sorted({*groups.values()}):
        of_group = [again for again in said if groups[again.recording] == group]
        own = [word for word in written if groups[word.recording] == group]
        n_found = sum(overlaps(again, own) for again in of_group)
        n_right = sum(overlaps(word, of_group) for word in own)
        print(
            f"words said twice by {group}: {n_found} of {len(of_group)} found; {len(own)} words written, "
            f"{n_right} of these planted"
        )


def said_again(line: Sequence[Timed], how: str, generator: np.random.Generator) -> tuple[float, float] | None:
    """From where to where in a line the sound is copied: one short word, half of a long one, or two."""
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


def softened(sound: Samples) -> Samples:
    """A sound that begins and ends within 10 ms."""
    ramp = np.linspace(0, 1, ANALYSIS_RATE // 100, dtype=np.float32)
    result = sound.copy()
    result[: len(ramp)] *= ramp
    result[-len(ramp) :] *= ramp[::-1]
    return result


def added(kept: Sequence[dict[str, Any]], dropped: Sequence[dict[str, Any]]) -> list[Said]:
    """The words of transcripts that others of the same recordings lack."""
    result: list[Said] = []
    for recording in {line["conversation_id"] for line in kept}:
        more, fewer = (
            [word for line in lines if line["conversation_id"] == recording for word in line["words"]]
            for lines in (kept, dropped)
        )
        texts = [[normalise(word["word"]) for word in words] for words in (more, fewer)]
        for action, first, last, *_ in SequenceMatcher(None, *texts, autojunk=False).get_opcodes():
            if action != "equal":
                result += [Said(recording, "left", word["start"], word["end"]) for word in more[first:last]]
    return result


def overlaps(span: Said, others: Sequence[Said]) -> bool:
    """Whether another span, or a copy that sounds alike right beside it, is of the same time."""
    return any(
        other.recording == span.recording
        and other.start < span.end + LONGEST_PAUSE
        and span.start < other.end + LONGEST_PAUSE
        for other in others
    )


def leak(work: Path) -> bool:
    """Fillers of the left side that microphones of the right hear, too."""
    left: list[Samples] = []
    right: list[Samples] = []
    pause = np.zeros(ANALYSIS_RATE // 2, np.float32)
    for sentence, answer in zip(SENTENCES, ANSWERS, strict=False):
        said = sentence_of_the_voice(sentence.format(filler="um", Filler="Um"))
        answered = sentence_of_the_voice(answer)
        left += [said, pause, 0 * answered, pause]
        right += [0 * said, pause, answered, pause]
    sides = np.stack([np.concatenate(left), np.concatenate(right)], 1)
    room = room_tone(len(sides), ROOM_DBFS)[:, None]
    met = []
    for level in LEAKS_DB:
        source = work / f"leak{level}"
        source.mkdir()
        soundfile.write(source / "talk.wav", sides + 10 ** (level / 20) * sides[:, ::-1] + room, ANALYSIS_RATE)
        written, _ = tagged(source, work / f"leaked{level}", "keep")
        n_right = sum(filler.channel == "right" for filler in written)
        figure = (
            f"{len(ANSWERS)} fillers of the left side that leak in at {level} dB: "
            f"{len(written) - n_right} written left, {n_right} right (goal 0)"
        )
        met.append(judged(figure, n_right == 0))
    return all(met)


def sentence_of_the_voice(text: str) -> Samples:
    """What the voice joe says, at 16 kHz."""
    spoken = synthesise(load_synthesiser("piper", VoiceSettings("", "")), Line(text, "", "en", 0))
    return np.asarray(soxr.resample(spoken.samples, spoken.sample_rate, ANALYSIS_RATE), np.float32)


def voice() -> bool:
    """Fillers that the voice joe says, in sentences, heard again by Whisper base."""
    whisper = load_whisper("base", "cpu", "int8")
    met = []
    for filler in ("um", "uh", "er", "hm"):
        heard = 0
        for sentence in SENTENCES:
            text = sentence.format(filler=filler, Filler=filler.capitalize())
            (result,) = whisper.transcribe([sentence_of_the_voice(text)], ["en"], fillers=True)
            heard += any(are_fillers(["so", *(word.text for word in result.words)], "en"))
        figure = f"joe says {filler!r} in {len(SENTENCES)} sentences: heard again in {heard}"
        if filler in ("um", "uh"):
            goal = f"{figure} (goal {VOICE_GOAL:.0%})"
            met.append(judged(goal, heard >= VOICE_GOAL * len(SENTENCES)))
        else:
            print(figure)
    return all(met)


def single_sounds(folder: Path) -> Iterator[Samples]:
    """ "um" and "uh" of a person, each in several lengths, that begin and end softly."""
    for name, (start, end) in SINGLE.items():
        path = folder / "fillers" / name
        if not path.is_file():
            continue
        whole = mono(path)[round(start * ANALYSIS_RATE) : round(end * ANALYSIS_RATE)]
        for length in LENGTHS:
            # The vowel from the beginning, and the end, which is an "m".
            n_samples = round(length * ANALYSIS_RATE)
            n_last = n_samples * 2 // 5
            sound = np.concatenate([whole[: n_samples - n_last], whole[len(whole) - n_last :]])
            ramp = np.linspace(0, 1, 480, dtype=np.float32)
            sound[:480] *= ramp
            sound[-480:] *= ramp[::-1]
            yield sound


def sounds_of_the_voice(filler: str) -> Iterator[Samples]:
    """A filler that the voice joe says in the midst of two sentences."""
    joe = load_synthesiser("piper", VoiceSettings("", ""))
    for sentence in SENTENCES[1:3]:
        spoken = synthesise(joe, Line(sentence.format(filler=filler), "", "en", 0))
        words = spoken.words or []
        index = next(i for i, word in enumerate(words) if are_fillers(["so", word.text], "en")[1])
        sound = np.asarray(soxr.resample(spoken.samples, spoken.sample_rate, ANALYSIS_RATE), np.float32)
        first = round((words[index].start - 0.02) * ANALYSIS_RATE)
        last = round((words[index].end + 0.04) * ANALYSIS_RATE)
        yield sound[first:last]


def mono(path: Path) -> Samples:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(samples[:, 0], rate, ANALYSIS_RATE), np.float32)


def tagged(source: Path, work: Path, fillers: str) -> tuple[list[Said], Cost]:
    """The fillers that `tag` writes."""
    cost = dailytalk(
        "tag", source, "--out", work, "--profile", "embedded", "--language", "en", "--fillers", fillers
    )
    written = [
        Said(line["conversation_id"], line["channel"], word["start"], word["end"])
        for line in read_lines(work)
        for word in line["words"]
        if word.get("filler")
    ]
    return written, cost


def read_lines(work: Path) -> list[dict[str, Any]]:
    text = (work / "transcript.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def is_near(filler: Said, others: Sequence[Said]) -> bool:
    """Whether another filler of the same side begins, or has its middle, within `NEAR` seconds."""
    middle = (filler.start + filler.end) / 2
    same_side = [other for other in others if other[:2] == filler[:2]]
    distances = [
        min(abs(other.start - filler.start), abs((other.start + other.end) / 2 - middle)) for other in same_side
    ]
    return min(distances, default=np.inf) <= NEAR


def found(fillers: Sequence[Said], others: Sequence[Said]) -> int:
    return sum(is_near(filler, others) for filler in fillers)


if __name__ == "__main__":
    sys.exit(main())
