"""Subtitles: SubRip, WebVTT, and SubStation by pysubs2, with the times of words in them.

Players show one sentence in many cues: karaoke repeats it for every word, rolling captions repeat each line in the
cue after it. A sentence is read once, and its words have the times that its cues, or the times inside them, give.

SubRip and WebVTT are split here. pysubs2 1.8 takes a last line that is a number for an index, and the name of a
cue or a damaged time for text, all without an error.
"""

import html
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import pysubs2
from pysubs2.time import timestamp_to_ms

from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.sources.channel_names import explains_itself, with_colons
from dailytalk_contiguous.sources.transcript_marks import mark_of, marks_in
from dailytalk_contiguous.sources.transcript_text import broken, readable_text, refuse_many

#: Seconds between two cues of one karaoke sentence, at most.
_NEXT_CUE = 0.5

#: Sentences that are looked at for the next cue: of both speakers, and those before them.
_AT_ONCE = 4

#: So many cues that each add words to the one before are one sentence that grows.
_GROWING = 3

#: In rolling captions at least this share of the cues has the last line of the cue before above a new one.
_ROLLING_SHARE = 0.3

#: A file in which at least this share of the cues has a single word gives the times of words.
_WORD_CUES_SHARE = 0.9

#: In a subtitle with times inside it at least this share of the words must have one: others are those of phrases.
_TIMED_SHARE = 0.7

# No pattern here may look at a character twice for one that it starts from: a file may hold a million of these.
# "A: hello", ">> MARY: hello", "[SPEAKER_00]: hello"; \0 encloses a name taken from VTT's <v Name>.
_NAMED_LINE = re.compile(
    r"\s*(?:\0(?P<voice>[^\0]+)\0|(?:[-–—>]+\s*)?[\[(]?(?P<name>[^\W_][\w.'-]*(?: [\w.'-]+){0,3})[\])]?\s*"
    r"(?::(?=\s|$)|：))\s*(?P<said>.*)"
)
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?\s([^<>]*)>")
_NO_CHARACTER = re.compile(r"&#[xX]?[0-9a-fA-F]{9,}+;?")  # more digits than html.unescape can make a number of

#: What a text consists of: times of words, where a highlight ends and begins, breaks, spaces, and letters.
_PIECES = re.compile(
    r"<(?P<time>(?:\d{1,4}:)?\d{1,2}:\d{1,2}[.,]\d{1,3})>"
    r"|\{\\[kK][fot]?(?P<centiseconds>\d{1,6})[^{}]*\}"
    r"|(?P<closing></[a-zA-Z0-9:.][^<>]*>|\{\\(?:r|[ubis]0|\d?c(?:&H[fF]+&)?)\})"
    r"|(?P<opening><[a-zA-Z0-9:.][^<>]*>|\{(?:\\|[a-zA-Z]:)[^{}]*\})"
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


@dataclass(frozen=True)
class SubtitleLine:
    """A line of a subtitle; `name` is what may be its speaker, `said` the rest, `words` all of it.

    `key` is the name in lower case: a file may write Anna and ANNA.
    """

    words: tuple[TimedWord, ...]
    name: str | None = None
    said: tuple[TimedWord, ...] = ()
    is_certain: bool = False

    @property
    def key(self) -> str | None:
        return self.name and self.name.casefold()

    @property
    def text(self) -> str:
        return " ".join(word.word for word in self.words)


@dataclass
class Subtitle:
    """A sentence or a part of one: `position` in the file, times in seconds, and its lines."""

    position: str
    start: float
    end: float
    lines: list[SubtitleLine] = field(default_factory=list)

    @property
    def words(self) -> list[TimedWord]:
        return [word for line in self.lines for word in line.words]

    @property
    def texts(self) -> list[str]:
        return [word.word for word in self.words]

    @property
    def lit(self) -> set[int]:
        """The numbers of the words that are highlighted."""
        return {number for number, word in enumerate(self.words) if word.is_lit}


def subtitle_records(path: Path, side: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """The records of subtitles of one `side`, or (None) of both with a speaker's name in every subtitle.

    In a file of one side a name is taken off the text if every subtitle begins with the same one. Each sentence of
    karaoke and rolling captions is read once. Raises BadInput.
    """
    subtitles = _read(path)
    leads = [next((line.key for line in item.lines), None) for item in subtitles]
    counts = Counter(key for key in leads if key is not None)
    # Where two names come again, what is before a colon but once is text.
    keys = {key for key, count in counts.items() if count > 1 or sum(n > 1 for n in counts.values()) < 2}
    if side is None:
        keys |= {line.key for item in subtitles for line in item.lines if line.key and line.is_certain}
    elif len(keys) != 1 or None in leads or not (len(subtitles) > 1 or explains_itself(*keys)):
        keys = set()
    names: dict[str, str] = {}
    n_words = sum(len(item.lines) == 1 and len(item.lines[0].said or item.words) == 1 for item in subtitles)
    are_words = n_words >= max(10, _WORD_CUES_SHARE * len(subtitles))
    have_times = any(word.start is not None for item in subtitles for word in item.words)
    for item in subtitles:
        said: dict[str | None, list[TimedWord]] = {}
        speaker = None
        for line in item.lines:
            if line.key in keys and line.key is not None:
                speaker = names.setdefault(line.key, line.name or line.key)
            said.setdefault(speaker, []).extend(line.said if line.key in keys else line.words)
        for speaker, words in said.items():
            record: dict[str, Any] = {"start": item.start, "end": item.end, "speaker": speaker}
            if are_words and len(words) == 1:
                record["word"] = words[0].word
            else:
                record["text"] = " ".join(word.word for word in words)
                record["words"] = _timed(words, item) if len(said) == 1 and have_times else []
            yield item.position, record


def _timed(words: Sequence[TimedWord], cue: Subtitle) -> list[dict[str, Any]]:
    """The words of a subtitle with the times inside it; none if too few have one, or these run backwards."""
    starts = [cue.start if words[0].start is None else words[0].start, *(word.start for word in words[1:])]
    edges = [cue.start, *(start for start in starts if start is not None), cue.end]
    if edges != sorted(edges) or len(edges) - 3 < _TIMED_SHARE * (len(words) - 1):
        return []
    # A word ends where the next one begins; one of which that is unknown shares the time to one that is known.
    return [
        {"word": word.word} | ({} if None in (start, end) else {"start": start, "end": end})
        for word, start, following in zip(words, starts, [*starts[1:], cue.end], strict=True)
        for end in [following if word.end is None else word.end]
    ]


def _read(path: Path) -> list[Subtitle]:
    """The subtitles that have text, by rising start."""
    text = with_colons(readable_text(path))
    refuse_many(path, text.count("-->") + text.count("\nDialogue:"), "subtitles")
    cues = [*(_substation(path, text) if path.suffix.lower() == ".ass" else _split(path, text))]
    if not cues:
        raise broken(path, "has no subtitles", "save it again as subtitles with their times, or take it away")
    subtitles = [
        Subtitle(f"subtitle {number}", start, end, _lines(raw, start))
        for number, (start, end, raw) in enumerate(cues, 1)
    ]
    shown = _unrolled(_sung([item for item in subtitles if item.lines]))
    return sorted(shown, key=lambda item: (item.start, item.end))


def _split(path: Path, text: str) -> Iterator[tuple[float, float, str]]:
    """Start, end and text of the cues of SubRip and WebVTT.

    A text of SubRip goes on to the next times, or to the number above them where the first cue has one; one of
    WebVTT to an empty line.
    """
    if cut := _PART_OF_TIMES.search(text.rstrip().rpartition("\n")[2].strip()):
        raise broken(path, f"breaks off in the times {quoted(cut[0])}", "save the file again")
    is_vtt = text.lstrip().startswith("WEBVTT") or path.suffix.lower() == ".vtt"
    above = text.partition("-->")[0].split("\n")[:-1]
    is_indexed = not is_vtt and "".join(above).strip() and [line for line in above if line.strip()][-1].isdecimal()
    index = r"(?:^[^\S\n]*\d+[^\S\n]*\n\s*)?" if is_indexed else ""
    _, *parts = re.split(rf"(?m){index}^(.*-->.*)$\n?", text)
    for number, (times, said) in enumerate(zip(parts[::2], parts[1::2], strict=True), 1):
        match = _TIMES.fullmatch(times.strip())
        if match is None:
            reason = f"subtitle {number} has no start and end time: {quoted(times.strip())}"
            raise broken(path, reason, "write 00:01:02.500 --> 00:01:04.000, with a comma in SubRip")
        yield _seconds(match[1]), _seconds(match[2]), re.split("(?m)^$", said, maxsplit=1)[0] if is_vtt else said


def _substation(path: Path, text: str) -> Iterator[tuple[float, float, str]]:
    try:
        events = pysubs2.SSAFile.from_string(text, format_="ass").get_text_events()
        if len(re.findall("(?m)^Dialogue:", text)) > len(re.findall(r"(?m)^Dialogue:(?:[^,\n]*,){9}", text)):
            raise ValueError("a line of dialogue has less than ten fields")
    except Exception as error:
        raise broken(path, f"can't be read by pysubs2 ({error})", "save it again as SubRip or WebVTT") from error
    for event in events:
        name = f"\0{event.name.strip()}\0 " if event.name.strip() else ""
        yield event.start / 1000, event.end / 1000, name + event.text


def _seconds(clock: str) -> float:
    parts = re.split("[:.,]", clock)
    return timestamp_to_ms(["0"] * (4 - len(parts)) + parts) / 1000


def _lines(raw: str, start: float) -> list[SubtitleLine]:
    """The lines of a cue that begins at `start`, whose words have the times inside it.

    A time between two words is the end of the first and the start of the second; one inside a word is of its
    syllables, and passed over.
    """
    raw = raw.replace(r"\h", " ").replace(r"\n", "\n").replace(r"\N", "\n").replace("&nbsp;", " ")
    # A voice gets a line of its own, which begins with its name; one without a name gets nothing.
    raw = _VOICE.sub(lambda match: f"\n\0{name}\0 " if (name := match[1].strip()) else "", raw)
    words: list[TimedWord] = []
    line_of: list[int] = []
    times: list[float] = []  # since the last letter
    sung, depth, n_line, is_inside = start, 0, 0, False
    for piece in _PIECES.finditer(raw):
        if piece["letters"] or (piece["opening"] and mark_of(piece[0])):
            letters = html.unescape(_NO_CHARACTER.sub("\ufffd", piece[0]))
            if is_inside:
                word = words.pop()
                words.append(word._replace(word=word.word + letters, is_lit=word.is_lit or depth > 0))
            else:
                words[-1:] = [word._replace(end=times[0]) if times else word for word in words[-1:]]
                words.append(TimedWord(letters, times[-1] if times else None, None, depth > 0))
                line_of.append(n_line)
            is_inside, times = True, []
        elif piece["time"]:
            times.append(_seconds(piece["time"]))
        elif piece["centiseconds"]:
            times.append(sung)
            sung += int(piece["centiseconds"]) / 100
        elif piece["opening"] or piece["closing"]:
            depth = depth + 1 if piece["opening"] else max(0, depth - 1)
        else:
            is_inside, n_line = False, n_line + bool(piece["newline"])
    times += [sung] * (sung > start)
    words[-1:] = [word._replace(end=times[0]) if times else word for word in words[-1:]]
    grouped = groupby(zip(line_of, words, strict=True), key=itemgetter(0))
    return [_named(tuple(word for _, word in of_line)) for _, of_line in grouped]


def _named(words: tuple[TimedWord, ...]) -> SubtitleLine:
    line = " ".join(word.word for word in words)
    # People write "[laughs] Anna: hello" as well as "Anna: [laughs] hello".
    first = next((line[:end] for start, end, _ in marks_in(line) if start == 0), "")
    match = _NAMED_LINE.fullmatch(line[len(first) :].lstrip())
    if match is None:
        return SubtitleLine(words)
    name = " ".join((match["voice"] or match["name"]).split())
    said_words = match["said"].split()  # "Ann：yes" is one word with the name
    last = words[len(words) - len(said_words) :]
    said = tuple(word._replace(word=text) for word, text in zip(last, said_words, strict=True))
    said = words[: len(first.split())] + said
    if match["voice"]:
        return SubtitleLine(said, name, said, is_certain=True)
    return SubtitleLine(words, name, said, explains_itself(name))


# One sentence in many cues


def _sung(subtitles: Sequence[Subtitle]) -> list[Subtitle]:
    """Each run of karaoke cues as one: texts that are equal and the highlight moves on, or that grow by a word."""
    runs: list[list[Subtitle]] = []
    open_runs: list[list[Subtitle]] = []  # more than one where two speak at once
    for cue in subtitles:
        open_runs = [run for run in open_runs[-_AT_ONCE:] if cue.start - run[-1].end <= _NEXT_CUE]
        run = next((run for run in open_runs if _goes_on(run, cue)), [])
        if not run:
            runs.append(run)
            open_runs.append(run)
        run.append(cue)
    return [cue for run in runs for cue in _sentences(run)]


def _goes_on(run: Sequence[Subtitle], cue: Subtitle) -> bool:
    """Whether a cue is the next of a sentence, whose last one is not long before it."""
    before = run[-1]
    if any(word.start is not None for part in (before, cue) for word in part.words):
        return False  # these have their times inside
    if cue.start < max(before.start, before.end - _NEXT_CUE):
        return False
    if len(cue.texts) == len(before.texts) + 1:  # it grows by a word, and has done so with every cue before
        return cue.texts[:-1] == before.texts and all(map(_is_longer, run, run[1:]))
    last_lit = next((max(known.lit) for known in reversed(run) if known.lit), -1)
    return cue.texts == before.texts and (not cue.lit or max(cue.lit) >= last_lit)


def _is_longer(cue: Subtitle, after: Subtitle) -> bool:
    return len(after.words) > len(cue.words)


def _sentences(run: list[Subtitle]) -> list[Subtitle]:
    """A run as one sentence whose words have the times at which each is first highlighted, or shown.

    As it is where it neither moves a highlight nor grows.
    """
    whole = run[-1]
    grows = len(whole.words) > len(run[0].words)
    is_lit = len(run) > 1 and any(0 < len(cue.lit) < len(cue.words) for cue in run)
    if not is_lit and not (grows and len(run) >= _GROWING):
        return run
    before, times = set[int](), dict[int, tuple[float, float]]()
    for cue in run:
        now = {*range(len(cue.words))} if grows else cue.lit
        if len(now - before) == 1:  # those that come up together have no times of their own
            times.setdefault(min(now - before), (cue.start, cue.end))
        before = now
    numbers = iter(range(len(whole.words)))
    lines = []
    for line in whole.lines:
        words = tuple(TimedWord(word.word, *times.get(next(numbers), (None, None))) for word in line.words)
        lines.append(replace(line, words=words, said=words[len(words) - len(line.said) :]))
    return [Subtitle(run[0].position, run[0].start, max(cue.end for cue in run), lines)]


def _unrolled(subtitles: Sequence[Subtitle]) -> list[Subtitle]:
    """Rolling captions without the lines that the cue before has shown; all others as they are."""
    carried = [0, *(_carried(before, cue) for before, cue in pairwise(subtitles))]
    # Others may say a line again; that it stays above a new one is what captions do.
    n_rolling = sum(0 < count < len(cue.lines) for count, cue in zip(carried, subtitles, strict=False))
    if n_rolling < max(2, _ROLLING_SHARE * (len(subtitles) - 1)):
        return [*subtitles]
    new = [replace(cue, lines=cue.lines[count:]) for cue, count in zip(subtitles, carried, strict=True)]
    return [cue for cue in new if cue.lines]


def _carried(before: Subtitle, cue: Subtitle) -> int:
    """How many lines at the top of a cue are those at the bottom of the one before."""
    texts, others = [line.text for line in cue.lines], [line.text for line in before.lines]
    return next((n for n in range(min(len(texts), len(others)), 0, -1) if others[-n:] == texts[:n]), 0)
