"""Subtitles: SubRip and WebVTT, with the times of words in them.

Players show one sentence in many cues: karaoke repeats it for every word, rolling captions repeat each line in the
cue after it. A sentence is read once, and its words have the times that its cues, or the times inside them, give.

They are split here. pysubs2 1.8 takes a last line that is a number for an index, and the name of a
cue or a damaged time for text, all without an error.
"""

import html
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.sources.channel_names import explains_itself, with_colons
from dailytalk_contiguous.sources.transcript_marks import mark_of
from dailytalk_contiguous.sources.transcript_text import broken, read_text

#: Seconds between two cues of one karaoke sentence, at most.
_NEXT_CUE = 0.5

#: In rolling captions at least this share of the cues has the last line of the cue before above a new one.
_ROLLING_SHARE = 0.3

# No pattern here may look at a character twice for one that it starts from: a file may hold a million of these.
# "A: hello", ">> MARY: hello", "[SPEAKER_00]: hello"; \0 encloses a name taken from VTT's <v Name>.
_NAMED_LINE = re.compile(
    r"\s*(?:\0(?P<voice>[^\0]+)\0|(?:[-–—>]+\s*)?[\[(]?(?P<name>[^\W_][\w.'-]*(?: [\w.'-]+){0,3})[\])]?\s*"
    r"(?::(?=\s|$)|：))\s*(?P<said>.*)"
)
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?\s([^<>]*)>")

#: What a text consists of: times of words, where a highlight ends and begins, breaks, spaces, and letters.
_PIECES = re.compile(
    r"<(?P<time>(?:\d{1,4}:)?\d{1,2}:\d{1,2}[.,]\d{1,3})>"
    r"|(?P<closing></[a-zA-Z0-9:.][^<>]*>)|(?P<opening><[a-zA-Z0-9:.][^<>]*>)|(?P<position>\{\\[^{}]*\})"
    r"|(?P<newline>\n)|(?P<space>[^\S\n]+)|(?P<letters>[^\s<{]+|[<{])"
)

_TIME = r"((?:\d{1,4}:)?\d{1,2}:\d{1,2}[.,]\d{1,3})"
_TIMES = re.compile(rf"{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")

# What is left of "00:01:02,500 -->", or of a time inside a text, where a file breaks off.
_PART_OF_TIMES = re.compile(r"(?:^\d{1,2}:\d{2}:\d{0,2}(?:[,.]\d{0,3})?(?: *-{0,2})|<\d[\d:.,]*)$")


class TimedWord(NamedTuple):
    """A word of a subtitle with the times that are known of it, in seconds, and whether it is highlighted."""

    word: str
    start: float | None = None
    end: float | None = None
    is_lit: bool = False


class Subtitle(NamedTuple):
    """A sentence or a part of one: `position` in the file, times in seconds, and the words of its lines."""

    position: str
    start: float
    end: float
    lines: Sequence[Sequence[TimedWord]]

    @property
    def words(self) -> list[TimedWord]:
        return [word for line in self.lines for word in line]


def subtitle_records(path: Path, side: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """The records of subtitles of one `side`, or (None) of both with a speaker's name in every subtitle.

    In a file of one side a name is taken off the text if every subtitle begins with the same one. Each sentence of
    karaoke and rolling captions is read once. Raises BadInput.
    """
    subtitles = _read(path)
    named = [[_named(line) for line in item.lines] for item in subtitles]
    leads = [lines[0][0].casefold() for lines in named]
    counts = Counter(filter(None, leads))
    # Where two names come again, what is before a colon but once is text.
    keys = {key for key, count in counts.items() if count > 1 or sum(n > 1 for n in counts.values()) < 2}
    if side is None:
        keys |= {
            name.casefold() for lines in named for name, is_voice, _ in lines if is_voice or explains_itself(name)
        }
    elif len(keys) != 1 or "" in leads or len(subtitles) < 2:
        keys = set()
    names: dict[str, str] = {}
    has_times = any(word.start is not None for item in subtitles for word in item.words)
    for item, lines in zip(subtitles, named, strict=True):
        said: dict[str | None, list[TimedWord]] = {}
        speaker = None
        for line, (name, is_voice, rest) in zip(item.lines, lines, strict=True):
            is_name = name.casefold() in keys
            if is_name:
                speaker = names.setdefault(name.casefold(), name)
            said.setdefault(speaker, []).extend(rest if is_name or is_voice else line)
        for speaker, words in said.items():
            is_timed = has_times and len(said) == 1 and all(word.start is not None for word in words[1:])
            about = {"start": item.start, "end": item.end, "speaker": speaker, "text": _text(words)}
            yield item.position, about | {"words": [word._asdict() for word in words if is_timed]}


def _text(words: Iterable[TimedWord]) -> str:
    return " ".join(word.word for word in words)


def _named(line: Sequence[TimedWord]) -> tuple[str, bool, Sequence[TimedWord]]:
    """What may be the speaker of a line (empty if nothing may), whether it is a voice of WebVTT, and the rest."""
    match = _NAMED_LINE.fullmatch(_text(line))
    if match is None:
        return "", False, line
    texts = match["said"].split()  # "Ann：yes" is one word with the name
    last = line[len(line) - len(texts) :]
    said = [word._replace(word=text) for word, text in zip(last, texts, strict=True)]
    return " ".join((match["voice"] or match["name"]).split()), bool(match["voice"]), said


def _read(path: Path) -> list[Subtitle]:
    """The subtitles that have text, by rising start.

    A text of SubRip goes on to the next times, or to the number above them where the first cue has one; one of
    WebVTT to an empty line.
    """
    text = with_colons(read_text(path))
    cut = _PART_OF_TIMES.search(text.rstrip().rpartition("\n")[2].strip())
    if cut:
        raise broken(path, f"breaks off in the times {quoted(cut[0])}", "save the file again")
    is_vtt = text.lstrip().startswith("WEBVTT") or path.suffix.lower() == ".vtt"
    is_indexed = not is_vtt and re.match(r"\s*\d+\s*\n.*-->", text)
    index = r"(?:^[^\S\n]*\d+[^\S\n]*\n\s*)?" if is_indexed else ""
    _, *parts = re.split(rf"(?m){index}^(.*-->.*)$\n?", text)
    subtitles = list[Subtitle]()
    for number, (times, raw) in enumerate(zip(parts[::2], parts[1::2], strict=True), 1):
        match = _TIMES.fullmatch(times.strip())
        if match is None:
            reason = f"subtitle {number} has no start and end time: {quoted(times.strip())}"
            raise broken(path, reason, "write 00:01:02.500 --> 00:01:04.000, with a comma in SubRip")
        lines = _lines(re.split("(?m)^$", raw, maxsplit=1)[0] if is_vtt else raw)
        if lines:
            subtitles.append(Subtitle(f"subtitle {number}", _seconds(match[1]), _seconds(match[2]), lines))
    return sorted(_unrolled([*_sung(subtitles)]), key=lambda item: (item.start, item.end))


def _seconds(clock: str) -> float:
    from pysubs2.time import timestamp_to_ms  # an extra brings it

    parts = re.split("[:.,]", clock)
    return timestamp_to_ms(["0"] * (4 - len(parts)) + parts) / 1000


def _lines(raw: str) -> list[list[TimedWord]]:
    """The lines of a cue, whose words begin at the time before them; one inside a word is passed over."""
    # A voice gets a line of its own, which begins with its name; one without a name gets nothing.
    raw = _VOICE.sub(lambda match: f"\n\0{name}\0 " if (name := match[1].strip()) else "", raw)
    lines: list[list[TimedWord]] = [[]]
    depth = 0
    is_inside = False
    time = None
    for piece in _PIECES.finditer(raw.replace("&nbsp;", " ")):
        if piece["letters"] or (piece["opening"] and mark_of(piece[0])):
            word = lines[-1].pop() if is_inside else TimedWord("", time)
            text = word.word + html.unescape(piece[0])
            lines[-1].append(word._replace(word=text, is_lit=word.is_lit or depth > 0))
            is_inside = True
            time = None
        elif piece["time"]:
            time = _seconds(piece["time"])
        elif piece["opening"] or piece["closing"]:
            depth = depth + 1 if piece["opening"] else max(0, depth - 1)
        elif not piece["position"]:
            is_inside = False
            lines += [[]] if piece["newline"] else []
    return [*filter(None, lines)]


# One sentence in many cues


def _sung(subtitles: Iterable[Subtitle]) -> Iterator[Subtitle]:
    """Each run of karaoke cues as one: their texts are equal, and the highlight moves on from word to word."""
    runs: list[list[Subtitle]] = []
    open_runs: dict[str, tuple[list[Subtitle], int]] = {}  # by text: two may speak at once
    for cue in subtitles:
        text = _text(cue.words)
        lit = _lit(cue)
        run, at = open_runs.get(text, ([], -1))
        if not run or cue.start - run[-1].end > _NEXT_CUE or (lit and lit[0] < at):
            runs.append(run := [])
            at = -1
        run.append(cue)
        open_runs[text] = run, max([at, *lit])
    for run in runs:
        if len(run) == 1 or not any(0 < len(_lit(cue)) < len(cue.words) for cue in run):
            yield from run
            continue
        times: dict[int, tuple[float, float]] = {}
        for cue in run:
            lit = _lit(cue)
            if len(lit) == 1:
                times.setdefault(lit[0], (cue.start, cue.end))
        numbers = itertools.count()
        lines = [[TimedWord(word.word, *times.get(next(numbers), ())) for word in line] for line in run[0].lines]
        yield run[0]._replace(end=run[-1].end, lines=lines)


def _lit(cue: Subtitle) -> list[int]:
    """The numbers of the words that are highlighted; in a cue with times inside, a highlight says nothing."""
    has_times = any(word.start is not None for word in cue.words)
    return [number for number, word in enumerate(cue.words) if word.is_lit and not has_times]


def _unrolled(subtitles: Sequence[Subtitle]) -> list[Subtitle]:
    """Rolling captions without the lines that the cue before has shown; all others as they are."""
    texts = [[_text(line) for line in cue.lines] for cue in subtitles]
    carried = [
        next((count for count in range(len(lines), 0, -1) if before[-count:] == lines[:count]), 0)
        for before, lines in zip([[], *texts], texts, strict=False)
    ]
    # Others may say a line again; that it stays above a new one is what captions do.
    n_rolling = sum(0 < count < len(lines) for count, lines in zip(carried, texts, strict=True))
    if n_rolling < max(2, _ROLLING_SHARE * (len(subtitles) - 1)):
        return [*subtitles]
    new = [cue._replace(lines=cue.lines[count:]) for cue, count in zip(subtitles, carried, strict=True)]
    return [cue for cue in new if cue.lines]
