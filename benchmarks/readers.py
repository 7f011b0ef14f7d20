"""Time that readers of untrusted files take for twice as many items: no reader is worse than linear.

Each transcript format of `formats.py` is written with 20,000 and 40,000 lines, words in a line, marks in a line,
and speakers, if it can have them. There are as many changed annotations, words of Moshi, tags of versions and
names of recordings. Each file is read once, the larger one right after the smaller one, and the processor times
are divided. A refusal that takes a while counts as a reading; one at once is only printed, since no format has all
shapes. Prints a line for each reader, and exits with 1 if a ratio misses its goal. All take ten minutes of a core.

    python benchmarks/readers.py [--items 20000] [--only srt]
"""

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from formats import NAME, WAYS_TO_WRITE, Said, Talk, Way
from measuring import judged

from dailytalk_contiguous.apps.review.annotation_edits import matched
from dailytalk_contiguous.apps.review.edits import EditedLines, Item, SpokenLine
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.moshi_words import SpokenWord, place_words, said_words
from dailytalk_contiguous.publish.annotation_formats import Label
from dailytalk_contiguous.publish.version import latest
from dailytalk_contiguous.sources.pairs import pairs
from dailytalk_contiguous.sources.transcripts import find_transcripts, read_transcripts

#: The highest ratio of the times for twice the items and for the items.
GOAL = 3.0

#: Seconds below which a ratio is noise.
LEAST_SECONDS = 0.05

#: Length of a word in seconds.
WORD = 0.25

#: Writes a file of so many items into a folder, and returns a function that reads it.
Reader = Callable[[int, Path], Callable[[], object]]


@dataclass(frozen=True)
class Measured:
    """Processor seconds for so many items and for twice as many."""

    name: str
    once: float
    twice: float

    @property
    def is_met(self) -> bool:
        return self.twice < max(GOAL * self.once, LEAST_SECONDS)


def many_lines(n_items: int) -> Talk:
    """So many lines of a word, by both speakers in turn."""
    talk: list[Said] = []
    for number in range(n_items):
        start = round(number * WORD, 3)
        end = round(start + WORD, 3)
        side = "right" if number % 2 else "left"
        talk.append(Said(side, start, end, "word", (("word", start, end),)))
    return talk


def many_words(n_items: int) -> Talk:
    """A line of so many words, and one of the other speaker."""
    words = [line.words[0] for line in many_lines(n_items)]
    end = words[-1][2]
    long_line = Said("left", 0.0, end, " ".join(word for word, _, _ in words), tuple(words))
    return [long_line, Said("right", end, end + WORD, "yes", (("yes", end, end + WORD),))]


def many_marks(n_items: int) -> Talk:
    """A line of so many marks between words."""
    talk = many_words(n_items)
    words = talk[0].words
    return [Said("left", 0.0, talk[0].end, "(laughs) word " * n_items, words), talk[1]]


def many_speakers(n_items: int) -> Talk:
    """So many lines, each of a speaker of its own."""
    talk: list[Said] = []
    for number, line in enumerate(many_lines(n_items)):
        talk.append(Said(f"Speaker {number + 10}x", line.start, line.end, line.text, line.words))
    return talk


SHAPES = {"lines": many_lines, "words": many_words, "marks": many_marks, "speakers": many_speakers}


def transcript_reader(way: Way, shape: Callable[[int], Talk]) -> Reader:
    """What reads a transcript of a shape in a format."""

    def write(n_items: int, folder: Path) -> Callable[[], object]:
        for name, content in way.write(shape(n_items), NAME).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        recording = Path(f"{NAME}.wav")
        paths = find_transcripts(folder / recording, None, recording, folder) or sorted(folder.iterdir())
        return lambda: read_transcripts(paths, recording.name)

    return write


def _labels(n_items: int, text: str) -> list[Label]:
    labels: list[Label] = []
    for number in range(n_items):
        start = round(number * WORD, 3)
        labels.append(Label(start, round(start + WORD, 3), f"{text} {number}", "left"))
    return labels


def changed_labels(n_items: int, folder: Path) -> Callable[[], object]:
    old = _labels(n_items, "before")
    new = _labels(n_items, "after")
    return lambda: matched(old, new)


def inserted_lines(n_items: int, folder: Path) -> Callable[[], object]:
    item = Item(0.0, n_items * WORD + 1.0, ("left", "right"), ("",))
    lines = EditedLines({}, item, "somebody")

    def insert() -> None:
        for label in _labels(n_items, "new"):
            times = {"start": label.start, "end": label.end}
            lines.act("", [{"do": "insert", "channel": label.side, "text": label.text, **times}])

    return insert


def changed_lines(n_items: int, folder: Path) -> Callable[[], object]:
    item = Item(0.0, n_items * WORD + 1.0, ("left", "right"), ("",))
    lines: dict[str, SpokenLine] = {}
    for number, label in enumerate(_labels(n_items, "old")):
        lines[f"call/left/{number:04d}"] = {
            "channel": "left",
            "start": label.start,
            "end": label.end,
            "text": "so",
        }
    edited = EditedLines(lines, item, "somebody")

    def change() -> None:
        for key in lines:
            edited.act(key, [{"do": "text", "text": "no"}, {"do": "swap"}])

    return change


def moshi_words(n_items: int, folder: Path) -> Callable[[], object]:
    entries = [["word", [number * WORD, number * WORD + WORD], "SPEAKER_MAIN"] for number in range(n_items)]
    return lambda: said_words(entries, "a.wav", "")


def moshi_frames(n_items: int, folder: Path) -> Callable[[], object]:
    words: list[SpokenWord] = []
    for number in range(n_items):
        start = number * 0.05
        words.append(SpokenWord(start, start + 0.05, 2, 0.0, n_items * 0.05))
    return lambda: place_words(words)


def version_tags(n_items: int, folder: Path) -> Callable[[], object]:
    return lambda: latest(f"v1.0.{'9' * 20}{number}" for number in range(n_items))


def recordings_of_pairs(n_items: int, folder: Path) -> Callable[[], object]:
    files = {}
    for number in range(n_items // 2):
        for side in ("left", "right"):
            path = folder / f"call{number}.{side}.wav"
            files[path] = path
    return lambda: pairs(files)


def shared_manifest(n_items: int, folder: Path) -> Callable[[], object]:
    """What looks for each of the recordings in a manifest that is about all of them."""
    line = '{"audio_filepath": "/data/%d.wav", "offset": 0, "duration": 1, "text": "so"}\n'
    path = folder / "manifest.json"
    path.write_text("".join(line % number for number in range(n_items)))
    return lambda: [read_transcripts([path], f"{number}.wav") for number in range(n_items)]


OTHERS: dict[str, Reader] = {
    "edits, changed labels": changed_labels,
    "edits, changed lines": changed_lines,
    "edits, new lines": inserted_lines,
    "Moshi, words": moshi_words,
    "Moshi, frames": moshi_frames,
    "tags of versions": version_tags,
    "pairs of files": recordings_of_pairs,
    "recordings of a manifest": shared_manifest,
}


def measured(name: str, reader: Reader, n_items: int) -> Measured | None:
    """The times of a reader, or None if it refuses the first file at once."""
    seconds: list[float] = []
    for count in (n_items, 2 * n_items):
        with tempfile.TemporaryDirectory() as folder:
            read = reader(count, Path(folder))
            gc.collect()
            gc.disable()  # its time comes in steps
            started = time.process_time()
            reason = ""
            try:
                read()
            except BadInput as problem:
                reason = problem.reason.replace(folder, "…")[:120]
            seconds.append(time.process_time() - started)
            gc.enable()
        if reason and count == n_items:
            print(f"    {name} is refused: {reason}")
            if seconds[0] < LEAST_SECONDS:
                return None
    return Measured(name, *seconds)


def readers() -> dict[str, Reader]:
    """All readers by their names."""
    named = {**OTHERS}
    for way in WAYS_TO_WRITE:
        for shape_name, shape in SHAPES.items():
            has_shape = way.words if shape_name == "words" else way.utterances
            # Karaoke has a line as often as it has words, so that no long line is written in it.
            is_short = shape_name in ("lines", "speakers") or "karaoke" not in way.name
            if has_shape and is_short:
                named[f"{way.name}, {shape_name}"] = transcript_reader(way, shape)
    return named


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--only", default="", help="readers with this in their names")
    chosen = parser.parse_args(arguments)
    n_missed = 0
    n_refused = 0
    worst = 0.0
    for name, reader in readers().items():
        if chosen.only.casefold() not in name.casefold():
            continue
        try:
            result = measured(name, reader, chosen.items)
        except (KeyError, ValueError) as error:
            print(f"    {name} can't be written ({error!r})")
            continue
        if result is None:
            n_refused += 1
            continue
        ratio = result.twice / max(0.001, result.once)
        figure = f"{name}: {result.once:.2f} s, twice as many {result.twice:.2f} s, {ratio:.1f} times"
        if result.twice >= LEAST_SECONDS:
            worst = max(worst, ratio)
        n_missed += not judged(figure, result.is_met)
    print(f"{n_refused} were refused at once; the largest ratio of the others is {worst:.1f}")
    return int(n_missed > 0)


if __name__ == "__main__":
    sys.exit(main())
