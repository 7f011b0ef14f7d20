"""Subtitles: SubRip, WebVTT, YouTube's SBV and Audacity's labels, with the times of words in them.

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
from typing import NamedTuple

from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.core.style.tags import tags_among
from dailytalk_contiguous.core.words.cues import shared_time
from dailytalk_contiguous.core.words.transcript_marks import is_redacted, mark_of, without_control_tokens
from dailytalk_contiguous.sources.formats.channel_names import is_side_name, speaker_label, with_colons
from dailytalk_contiguous.sources.formats.private_names import is_private, is_private_alone, shown_line
from dailytalk_contiguous.sources.formats.records import ReadingChoice, TranscriptRecord
from dailytalk_contiguous.sources.formats.text_files import (
    CLOCK,
    NUMBER,
    broken,
    clock_seconds,
    lines_with_text,
    read_text,
)

# No pattern here may look at a character twice for one that it starts from: a file may hold a million of these.

_IN_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")


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


def subtitle_records(path: Path, choice: ReadingChoice) -> Iterator[TranscriptRecord]:
    """Yield the records of subtitles of one side, or (None) of both with a speaker's name in every subtitle.

    In a file of one side a name is taken off the text if every subtitle begins with the same one. Each sentence of
    karaoke and rolling captions is read once. People without names in one subtitle are a record each, in their
    order and with its times. Raises BadInput.
    """
    subtitles: list[Subtitle] = []
    for subtitle in _read_subtitles(path):
        subtitles += _turns(subtitle)
    named = [list(map(_named_line, item.lines)) for item in subtitles]
    prefixes = _prefixes_of_speakers(named, choice.side)
    keys = _names_of_speakers(named, choice.side) - prefixes
    names: dict[str, str] = {}
    has_times = any(word.start is not None for item in subtitles for word in item.words)
    for item, lines in zip(subtitles, named, strict=True):
        turns: dict[str | None, list[TimedWord]] = {}
        speaker = None
        for line in lines:
            if line.prefix.casefold() in prefixes:
                speaker = names.setdefault(line.prefix.casefold(), line.prefix)
                words = line.words_after_prefix
            elif line.name.casefold() in keys:
                speaker = names.setdefault(line.name.casefold(), line.name)
                words = line.words
            else:
                words = line.words if line.is_voice else line.all_words
            turns.setdefault(speaker, []).extend(words)
        for speaker, tagged_words in turns.items():
            words = tagged_words[_length_of_tag(tagged_words) :]
            is_timed = has_times and len(turns) == 1 and all(word.start is not None for word in words[1:])
            record = {
                "start": item.start,
                "end": item.end,
                "speaker": speaker,
                "text": _text(words),
                "words": [word._asdict() for word in words] if is_timed else [],
            }
            yield item.position, record


def _length_of_tag(words: Sequence[TimedWord]) -> int:
    """Return how many words are a style tag before what is said, as our exports write it: `(happy) Hi.`"""
    texts = [word.word for word in words]
    tags = tags_among(texts[:5])
    is_tag = tags and " ".join(texts).startswith(f"{tags[0]} ") and mark_of(tags[0]) is None
    return len(tags[0].split()) if is_tag else 0


#: What begins the words of another person in a subtitle: chevrons, or a dash that is no minus and no double one.
_CHANGE = re.compile(r"(?P<chevrons>>{2,})|[-–—‐](?![-–—‐\d])")

_SENTENCE_END = re.compile(r".*[.?!…。？！][\"'”’)\]]*")


def _turns(subtitle: Subtitle) -> list[Subtitle]:
    """Return the turns of a subtitle in which people change, without the signs of it, or the subtitle.

    Turns begin at chevrons, which are never words, and at dashes for which two reasons speak: the subtitle begins
    with one, a line does, a sentence ends before it. Other dashes stay.
    """
    first_sign = _CHANGE.match(subtitle.words[0].word)
    before = ""
    turns: list[list[list[TimedWord]]] = [[]]
    for line in subtitle.lines:
        turns[-1].append([])
        for index, word in enumerate(line):
            sign = _CHANGE.match(word.word)
            reasons = [bool(first_sign), index == 0, bool(_SENTENCE_END.fullmatch(before))]
            before = word.word
            if sign and (sign["chevrons"] or reasons.count(True) > 1):
                turns.append([[]])
                word = word._replace(word=before[sign.end() :])
            if word.word:
                turns[-1][-1].append(word)
    parts: list[Subtitle] = []
    for turn in turns:
        lines = [line for line in turn if line]
        if lines:
            parts.append(subtitle._replace(lines=lines))
    has_chevrons = first_sign is not None and first_sign["chevrons"]
    return parts if len(parts) > 1 or has_chevrons else [subtitle]


class _NamedLine(NamedTuple):
    """A line of a subtitle.

    Attributes:
        name: the text that may be its speaker; empty if none may.
        is_voice: whether it is a voice of WebVTT.
        words: the words without the name.
        all_words: the words with the name.
        prefix: the text that may be its speaker whatever it looks like; empty if none may.
        words_after_prefix: the words without the prefix.
    """

    name: str
    is_voice: bool
    words: Sequence[TimedWord]
    all_words: Sequence[TimedWord]
    prefix: str
    words_after_prefix: Sequence[TimedWord]


def _names_of_speakers(subtitles: Sequence[Sequence[_NamedLine]], side: str | None) -> set[str]:
    """Return the names before colons that are speakers, in lower case."""
    leads = [lines[0].name.casefold() for lines in subtitles]
    counts = Counter(filter(None, leads))
    repeated = {name for name, count in counts.items() if count > 1}
    # Where two names come again, a name that comes once is text before a colon.
    names = repeated if len(repeated) >= 2 else set(counts)
    if side is not None:
        is_one_speaker = len(names) == 1 and "" not in leads and len(subtitles) >= 2
        return names if is_one_speaker else set()
    if len(names) == 1 and "" in leads and all(map(speaker_label, names)):
        names = set()  # what both say, unless a file names no one else
    for line in itertools.chain.from_iterable(subtitles):
        if line.is_voice or is_side_name(line.name):
            names.add(line.name.casefold())
    return names


#: Cues that a name of any form begins, at least.
_LEAST_CUES = 3

#: Share of the cues of a file that names of any form begin together: over this.
_NAMED_SHARE = 0.5


def _prefixes_of_speakers(subtitles: Sequence[Sequence[_NamedLine]], side: str | None) -> set[str]:
    """Return the prefixes that are speakers whatever they look like: `+1 415-555-0100`, `lee, anna`; lower case.

    Prefixes that begin at least `_LEAST_CUES` cues each, and together over `_NAMED_SHARE` of all cues, are names.
    If every cue has a prefix, then all are. A prefix that begins with a number or an address is always a name. A
    prefix with one behind other words ("Caller +1 415-555-0100") is a name if it comes again. A single prefix in
    some of the cues of two people is a word that both of them say ("Yes: …").
    """
    leads = [lines[0].prefix.casefold() for lines in subtitles]
    counts = Counter(filter(None, leads))
    private = {prefix for prefix, count in counts.items() if count > 1 and is_private(prefix)}
    for line in itertools.chain.from_iterable(subtitles):
        if is_private_alone(line.prefix):
            private.add(line.prefix.casefold())
    common = private | {prefix for prefix, count in counts.items() if count >= _LEAST_CUES}
    n_named = sum(counts[prefix] for prefix in common)
    is_everywhere = "" not in leads
    if n_named <= _NAMED_SHARE * len(leads):
        return private
    if side is not None:
        is_word = all(map(str.isalpha, common))
        is_name = len(common) == 1 and (is_everywhere or not is_word)
        return common if is_name else private
    if is_everywhere:
        return common | set(counts)
    return common if len(common) > 1 else private


def _text(words: Iterable[TimedWord]) -> str:
    return " ".join(word.word for word in words)


# "A: hello", ">> MARY: hello", "[SPEAKER_00]: hello"; \0 encloses a name taken from VTT's <v Name>.
_NAMED_LINE = re.compile(
    r"\s*(?:\0(?P<voice>[^\0]+)\0|(?:[-–—>]+\s*)?[\[(]?(?P<name>[^\W_][\w.'-]*(?: [\w.'-]+){0,3})[\])]?\s*"
    r"(?::(?=\s|$)|：))\s*(?P<said>.*)"
)

#: What may be a name whatever it looks like: up to the first colon, or the first thing of a line in brackets.
#: A few digits in brackets are the beginning of a telephone number.
_PREFIX = re.compile(
    r"\s*(?:[-–—>]+\s*)?(?:(?P<enclosed>\((?![\d*•]{1,5}\))[^()]{1,80}\)|\[[^\[\]]{1,80}\])(?::|：)?(?=\s|$)"
    r"|(?P<name>[^\s:：\0](?:[^:：\0]|:(?=\S)){0,79})(?::(?=\s|$)|：))\s*(?P<said>.*)"
)

#: What may follow a name: of `Ben Ort [he/him]`.
_PRONOUNS = re.compile(rf"(?<=\S)\s*(?:{_IN_BRACKETS.pattern})$")


def _named_line(line: Sequence[TimedWord]) -> _NamedLine:
    text = _text(line)
    prefix = _PREFIX.fullmatch(text)
    form = ""
    words_after_prefix = line
    name_as_written = ""
    if prefix:
        name_as_written = prefix["enclosed"] or prefix["name"]
    is_name = mark_of(name_as_written) is None or is_redacted(name_as_written) or is_private(name_as_written)
    if prefix and is_name:
        form = " ".join(name_as_written.split())
        is_bracket = _IN_BRACKETS.fullmatch(form)
        form = form[1:-1].strip() if is_bracket else _PRONOUNS.sub("", form)
        words_after_prefix = _last_words(line, prefix["said"])
    named = _NAMED_LINE.fullmatch(text)
    if named is None:
        return _NamedLine("", False, line, line, form, words_after_prefix)
    words = _last_words(line, named["said"])
    name = named["voice"] or named["name"]
    return _NamedLine(" ".join(name.split()), bool(named["voice"]), words, line, form, words_after_prefix)


def _last_words(line: Sequence[TimedWord], spoken_text: str) -> list[TimedWord]:
    """Return the words that end a line; the first may be a part of one: "Ann：yes" is one word with the name."""
    texts = spoken_text.split()
    last = line[len(line) - len(texts) :]
    return [word._replace(word=text) for word, text in zip(last, texts, strict=True)]


#: A reference to a character by a number that no character has, longer than the numbers that Python reads.
_LONG_REFERENCE = re.compile(r"&#[0-9]{20,}+;?")

_TIME = r"((?:\d{1,4}:)?\d{1,2}:\d{1,2}[.,]\d{1,3})"
_TIMES = re.compile(rf"{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")

# What is left of "00:01:02,500 -->", or of a time inside a text, where a file breaks off.
_PART_OF_TIMES = re.compile(r"(?:^\d{1,2}:\d{2}:\d{0,2}(?:[,.]\d{0,3})?(?: *-{0,2})|<\d[\d:.,]*)$")


def _read_subtitles(path: Path) -> list[Subtitle]:
    """Return the subtitles that have text, by rising start.

    A text of SubRip goes on to the next times, or to the number above them where the first cue has one; one of
    WebVTT to an empty line. Raises BadInput.
    """
    suffix = path.suffix.lower()
    if suffix == ".sbv":
        text = _sbv_as_subtitles(path)
    elif suffix == ".txt":
        text = _labels_as_subtitles(path)
    else:
        text = read_text(path)
    reference = _LONG_REFERENCE.search(text)
    if reference:
        raise broken(path, f"{quoted(reference[0])} can't be used, as no character has this number", "delete it")
    text = with_colons(text)
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
            reason = f"subtitle {number} has no start and end time: {shown_line(times)}"
            raise broken(path, reason, "write 00:01:02.500 --> 00:01:04.000, with a comma in SubRip")
        if is_vtt:
            raw = re.split("(?m)^$", raw, maxsplit=1)[0]
        lines = _lines(raw)
        if lines:
            start = _seconds(match[1])
            subtitles.append(Subtitle(f"subtitle {number}", start, _seconds(match[2]), lines))
    _refuse_second_run(path, subtitles)
    unrolled = _unrolled([*_sung(subtitles)])
    return sorted(unrolled, key=lambda item: (item.start, item.end))


#: Subtitles before a clock begins again, and from there on, and the share of their time that both runs have in
#: common, at least. Those of people who wait for each other, listed one person after the other, share a tenth.
LEAST_OF_RUN = 3
COMMON_TO_RUNS = 0.5


def _refuse_second_run(path: Path, subtitles: Sequence[Subtitle]) -> None:
    """Raise BadInput where a clock begins again, as where two files were written into one."""
    falls = [before.start - item.start for before, item in itertools.pairwise(subtitles)]
    number = falls.index(max(falls)) + 1 if falls else 0
    spans = [(item.start, item.end) for item in subtitles]
    is_run = LEAST_OF_RUN <= number <= len(spans) - LEAST_OF_RUN
    if is_run and shared_time([(spans[:number], spans[number:])]) >= COMMON_TO_RUNS:
        before = f"{spans[number - 1][1]:.1f} s"
        reason = (
            f"its clock begins again at {subtitles[number].position}, at {spans[number][0]:.1f} s after {before}"
        )
        raise broken(
            path, reason, f"add {before}, or what the second part begins with, to the times from there on"
        )


def _seconds(clock: str) -> float:
    (time,) = CLOCK.finditer(clock)
    return round(clock_seconds(time), 3)


_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?\s([^<>]*)>")

#: What a text consists of: times of words, where a highlight ends and begins, breaks, spaces, and letters.
_PIECES = re.compile(
    r"<(?P<time>(?:\d{1,4}:)?\d{1,2}:\d{1,2}[.,]\d{1,3})>"
    r"|(?P<closing></[a-zA-Z0-9:.][^<>]*>)|(?P<opening><[a-zA-Z0-9:.][^<>]*>)|(?P<position>\{\\[^{}]*\})"
    r"|(?P<newline>\n)|(?P<space>[^\S\n]+)|(?P<letters>[^\s<{]+|[<{])"
)


def _lines(raw: str) -> list[list[TimedWord]]:
    """Return the lines of a cue. A word begins at the time before it; a time inside a word is ignored."""

    def line_of_voice(match: re.Match[str]) -> str:
        name = match[1].strip()
        return f"\n\0{name}\0 " if name else ""

    # A voice gets a line of its own, which begins with its name; one without a name gets nothing.
    raw = _VOICE.sub(line_of_voice, without_control_tokens(raw))
    lines: list[list[TimedWord]] = [[]]
    depth = 0
    time = None
    letters: list[str] = []  # of the word that is read
    start_of_word = None
    is_lit = False
    for piece in itertools.chain(_PIECES.finditer(raw.replace("&nbsp;", " ")), [None]):
        if piece is None or piece["space"] or piece["newline"]:
            if letters:
                lines[-1].append(TimedWord("".join(letters), start_of_word, is_lit=is_lit))
            letters = []
            is_lit = False
            if piece is not None and piece["newline"]:
                lines.append([])
        elif piece["letters"] or (piece["opening"] and mark_of(piece[0])):
            if not letters:
                start_of_word = time
            letters.append(html.unescape(piece[0]))
            is_lit = is_lit or depth > 0
            time = None
        elif piece["time"]:
            time = _seconds(piece["time"])
        elif piece["opening"]:
            depth += 1
        elif piece["closing"]:
            depth = max(0, depth - 1)
    return [line for line in lines if line]


# One sentence in many cues


#: Seconds between two cues of one karaoke sentence, at most.
_NEXT_CUE = 0.5


def _sung(subtitles: Iterable[Subtitle]) -> Iterator[Subtitle]:
    """Yield each run of karaoke cues as one: the texts are equal, and the highlight moves from word to word."""
    runs: list[list[Subtitle]] = []
    open_runs: dict[str, list[Subtitle]] = {}  # by text: two may speak at once
    last_lit: dict[str, int] = {}
    for cue in subtitles:
        text = _text(cue.words)
        lit = _lit(cue)
        run = open_runs.get(text)
        is_back = bool(lit) and lit[0] < last_lit.get(text, -1)
        if run is None or cue.start - run[-1].end > _NEXT_CUE or is_back:
            run = []
            runs.append(run)
            open_runs[text] = run
            last_lit[text] = -1
        run.append(cue)
        last_lit[text] = max([last_lit[text], *lit])
    for run in runs:
        is_karaoke = any(0 < len(_lit(cue)) < len(cue.words) for cue in run)
        if len(run) > 1 and is_karaoke:
            yield _joined_run(run)
        else:
            yield from run


def _joined_run(run: Sequence[Subtitle]) -> Subtitle:
    """Return the cues of a sentence of karaoke as one.

    A word has the times of the cue that highlights it alone.
    """
    times: dict[int, tuple[float, float]] = {}
    for cue in run:
        lit = _lit(cue)
        if len(lit) == 1:
            times.setdefault(lit[0], (cue.start, cue.end))
    lines = []
    number = 0
    for line in run[0].lines:
        words = []
        for word in line:
            start, end = times.get(number, (None, None))
            words.append(TimedWord(word.word, start, end))
            number += 1
        lines.append(words)
    return run[0]._replace(end=run[-1].end, lines=lines)


def _lit(cue: Subtitle) -> list[int]:
    """Return the numbers of the highlighted words; in a cue with times inside, a highlight says nothing."""
    has_times = any(word.start is not None for word in cue.words)
    return [number for number, word in enumerate(cue.words) if word.is_lit and not has_times]


#: In rolling captions at least this share of the cues has the last line of the cue before above a new one.
_ROLLING_SHARE = 0.3

#: Lines that captions show at once, at most; more are compared with no others, as a cue may hold a million.
_MOST_ROLLED = 16


def _unrolled(subtitles: Sequence[Subtitle]) -> list[Subtitle]:
    """Rolling captions without the lines that the cue before has shown; all others as they are."""
    carried = []
    n_rolling = 0
    before: list[str] = []
    for cue in subtitles:
        lines = [_text(line) for line in cue.lines]
        # Of its first lines that are the last ones of the cue before.
        count = min(len(lines), len(before), _MOST_ROLLED)
        while count and before[-count:] != lines[:count]:
            count -= 1
        carried.append(count)
        # Others may say a line again; that it stays above a new one is what captions do.
        if 0 < count < len(lines):
            n_rolling += 1
        before = lines
    if n_rolling < max(2, _ROLLING_SHARE * (len(subtitles) - 1)):
        return [*subtitles]
    unrolled = []
    for cue, count in zip(subtitles, carried, strict=True):
        new_lines = cue.lines[count:]
        if new_lines:
            unrolled.append(cue._replace(lines=new_lines))
    return unrolled


# Other captions, as WebVTT


#: A label of Audacity: start, end, text.
LABEL = re.compile(rf"({NUMBER.pattern})\t({NUMBER.pattern})(?:\t(.*))?")

_FREQUENCIES = re.compile(rf"\\\t{NUMBER.pattern}\t{NUMBER.pattern}")


def _labels_as_subtitles(path: Path) -> str:
    """Audacity's labels as WebVTT, whose lines may begin with the name of a speaker, too. Raises BadInput."""
    cues = ["WEBVTT\n"]
    for position, line in lines_with_text(path):
        if _FREQUENCIES.fullmatch(line):  # of the label above
            continue
        match = LABEL.fullmatch(line)
        if match is None:
            reason = f"{position} is no label: {shown_line(line)}"
            raise broken(path, reason, "export labels from Audacity again")
        start, end, label = match.groups()
        text = (label or "").replace("&", "&amp;").replace("<", "&lt;").replace("{", "&#123;")
        cues.append(f"{_clock(path, position, start)} --> {_clock(path, position, end)}\n{text.strip()}\n")
    return "\n".join(cues)


def _clock(path: Path, position: str, text: str) -> str:
    """Seconds as WebVTT writes them."""
    seconds = float(text)
    if not 0 <= seconds < 3_600_000:
        reason = f"{position} has the time {quoted(text)}"
        raise broken(path, reason, "give seconds from the start of the recording")
    whole, milliseconds = divmod(round(1000 * seconds), 1000)
    minutes, second = divmod(whole, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02d}:{minute:02d}:{second:02d}.{milliseconds:03d}"


#: `0:00:01.000,0:00:03.500`, the line above each caption.
_SBV_TIMES = re.compile(r"([^\s,]+),(\S+)")


def _sbv_as_subtitles(path: Path) -> str:
    """YouTube's `.sbv` as WebVTT. Raises BadInput."""
    cues = ["WEBVTT\n"]
    for caption in re.split(r"\n\s*\n", read_text(path).strip("\n")):
        times, _, text = caption.strip("\n").partition("\n")
        match = _SBV_TIMES.fullmatch(times.strip())
        if match is None:
            reason = f"a caption has no start and end time: {shown_line(times)}"
            raise broken(path, reason, "write 0:00:01.000,0:00:03.500 above each caption")
        cues.append(f"{match[1]} --> {match[2]}\n{text}\n")
    return "\n".join(cues)
