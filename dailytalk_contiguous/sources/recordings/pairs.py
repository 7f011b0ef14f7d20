"""Recordings with a file for each speaker: which two files are the sides of one call, by their names.

`PATTERNS` is the table of the ways in which recorders name the two, the strongest first, and `ROLES` that of their
words. A person names other files with `--pairs`.

Names and headers decide: two stereo files of such names are two recordings. Nothing is joined where a third file
has such a name, too: takes and tracks are counted in the same way.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import soundfile

from dailytalk_contiguous.core.documents import composed, csv_lines, is_number, printable_path, quoted, utf8_text
from dailytalk_contiguous.core.errors import BadInput, BadValue, DailytalkError
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.machine import audio
from dailytalk_contiguous.machine.read_documents import read_bytes
from dailytalk_contiguous.machine.regular_files import open_regular

#: Roles, legs, directions and devices of the left and of the right side; who serves is on the left.
ROLES = (
    ("left", "right"),
    ("caller calling", "callee called receiver"),
    (
        "agent advisor adviser assistant bot consultant csr employee operator rep representative seller staff "
        "support",
        "customer client caller cust lead prospect user visitor",
    ),
    ("in inbound incoming", "out outbound outgoing"),  # MixMonitor of Asterisk, r() and t()
    ("rx recv receive received", "tx send sent transmit transmitted"),
    ("mic microphone", "system sys computer desktop speakers loopback"),
    ("me self own", "them other others you"),
    ("local near nearend", "remote far farend"),
    ("host moderator", "guest"),
    ("interviewer", "interviewee candidate respondent"),
    ("doctor clinician nurse physician dr", "patient"),
    ("therapist counsellor counselor", "client patient"),
    ("teacher tutor examiner instructor", "student pupil learner examinee candidate"),
    ("system wizard", "user"),
)


class Pattern(NamedTuple):
    """A way in which the names of the two files of a call differ.

    Attributes:
        about: a description of it for people.
        regex: a match in a name without its ending. The two names differ in the group `side`, and may differ in
            other named groups; the rest is the same.
        sides: the texts that stand for the left and the right side; if empty, any two do, the lower number first.
        is_guess: whether its pairs are listed as guessed.
        of_one_length: whether it says so little that the files have to be of one length, too.
    """

    about: str
    regex: re.Pattern[str]
    sides: tuple[tuple[str, str], ...] = ()
    is_guess: bool = True
    of_one_length: bool = False


_NUMBERS = (("0", "1"), ("1", "2"), ("00", "01"), ("01", "02"))

#: Words of a name: `call7Left_RX` has call, Left and RX.
_WORD = r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])"

ROLE = Pattern(
    "a word of `ROLES`",
    re.compile(rf"(?P<side>{_WORD})"),
    tuple((left, right) for lefts, rights in ROLES for left in lefts.split() for right in rights.split()),
)
NUMBER = Pattern(
    "a number behind a word: `spk0`, `Tr_2`, `channel-01`",
    re.compile(
        r"(?i)(?<![a-z])(?:ch|chan|channel|leg|line|mic|participant|party|person|side|speaker|spk|spkr|tr|track|user)"
        r"[._ -]?(?P<side>\d{1,2})(?!\d)"
    ),
    _NUMBERS,
)
ENDING = Pattern(
    "an ending, except `part_1` and `part_2`, which come one after the other",
    re.compile(
        r"(?is)\A(?!(?:.*[^a-z])?(?:chapter|day|disc|episode|lesson|part|section|session|take|vol|volume)"
        r"[._ -]\d+\Z).+(?P<separator>[._ -])(?P<side>left|right|[a-z]|ch\d{1,2}|\d{1,3})\Z"
    ),
    (CHANNELS, ("l", "r"), ("a", "b"), ("1", "2"), ("ch0", "ch1"), ("ch1", "ch2")),
    is_guess=False,
)
DAILY = Pattern(  # gen-manifest of daily-co/raw-tracks-tools; both times in milliseconds of Unix time
    "Daily: when the recording began, the participant, what is recorded, and when the track began",
    re.compile(r"\A(\d+)(?P<separator>-)(?P<side>.{36})-.*audio(?P<start>-\d+)\Z"),
)

#: The strongest first: a file is a side by the first of them that makes a pair of it.
PATTERNS = (
    DAILY,
    ROLE,
    Pattern(
        "Seamless Interaction: the participant behind vendor, session and interaction",
        re.compile(r"\AV\d+_S\d+_I\d+(?P<mark>_P)(?P<side>\d+[A-Z]?)\Z"),
    ),
    Pattern(  # Zoom's article KB0064394
        "Zoom: `audio`, the person and a number, that of the person before that of the meeting",
        re.compile(r"(?s)\Aaudio(?P<person>\D.*?)(?P<side>\d)\d{6,}\Z"),
        _NUMBERS,
    ),
    NUMBER,
    Pattern("a capital behind a word", re.compile(r"(?s)\A.*[a-z0-9](?P<side>[A-Z])\Z"), (("l", "r"), ("a", "b"))),
    ENDING,
    Pattern(
        "Riverside: the person",
        re.compile(r"(?s)\A(?P<side>.+)(?P<separator>[._ -])riverside(?![a-z]).*\Z"),
        of_one_length=True,
    ),
    Pattern(  # CraigChat/craig#231
        "Craig: the number of the track and the person",
        re.compile(r"(?s)\A(?P<zero>0?)(?P<side>\d|[1-9]\d)(?P<person>-(?!\d).+)\Z"),
        _NUMBERS,
        of_one_length=True,
    ),
)

#: Sides may differ in length by this share of the longer one.
MOST_APART = 0.1

#: Sides may always differ in length by so many seconds: tracks of one call end within a second of each other; two
#: takes do not.
ALWAYS_APART = 1.0

#: Characters between the parts of a name.
_SEPARATORS = "._- ()[]"

#: Seconds on a clock, at most: those of the year 2286 since 1970.
LATEST_START = 1e10


class Pair(NamedTuple):
    """The files of one recording by channel; one of them is None where that side is not there.

    Attributes:
        left: the file of the left channel.
        right: that of the right channel.
        starts: seconds at which each begins, on one clock; None if nothing says so.
    """

    left: Path | None
    right: Path | None
    starts: tuple[float, float] | None = None

    @property
    def sides(self) -> dict[str, Path]:
        """The files that are there, by channel."""
        by_channel = zip(CHANNELS, (self.left, self.right), strict=True)
        return {channel: path for channel, path in by_channel if path}

    @property
    def files(self) -> tuple[Path, ...]:
        """The sides that are there, the left one first."""
        return tuple(self.sides.values())


class FoundPair(NamedTuple):
    """A pair among the files of an input.

    Attributes:
        pair: its files.
        replaced: the paths under the input that it replaces, the left one first.
        name: the name of the recording; empty if their names share nothing.
        is_guessed: whether it is a pair by words that may mean something else.
    """

    pair: Pair
    replaced: tuple[Path, ...]
    name: str
    is_guessed: bool = False


class PairChoice(NamedTuple):
    """A person's choice of how files are paired.

    Attributes:
        words: words, or endings, of the names of the left and the right side.
        table: pairs of paths under the input, as the person wrote them.
        left: a word of the names of the sides that are to be on the left.
    """

    words: tuple[str, str] | None = None
    table: tuple[Pair, ...] = ()
    left: str = ""


def pair_choice(pairs: str = "", left: str = "") -> PairChoice:
    """Return the choice of `--pairs` (two words, or the path of a table) and `--left` (a word).

    Raises BadValue, and DailytalkError for a table that can't be read.
    """
    if pairs.lower().endswith(".csv"):
        return PairChoice(table=_read_table(Path(pairs)), left=left)
    if not pairs:
        return PairChoice(left=left)
    words = [composed(word.strip()) for word in pairs.split(",")]
    if len(words) != 2 or not all(words) or words[0].lower() == words[1].lower():
        reason = f"--pairs can't be {quoted(pairs)}"
        raise BadValue(reason, "name two words or endings, left first, such as agent,customer, or a CSV table")
    return PairChoice((words[0], words[1]), left=left)


_TABLE_REMEDY = (
    "give a CSV table with the columns left and right (and left_start, right_start or offset, in seconds)"
)


def _read_table(path: Path) -> tuple[Pair, ...]:
    text = utf8_text(read_bytes(path, _TABLE_REMEDY), printable_path(path))
    pairs = []
    for number, line in enumerate(csv_lines(text, printable_path(path), ("left", "right"), _TABLE_REMEDY), 2):
        values = {name: value.strip() for name, value in line.items() if isinstance(value, str)}
        names = [composed(values.get(column, "")).replace("\\", "/") for column in ("left", "right")]
        times = [values.get(column, "") for column in ("left_start", "right_start")]
        if not any(times) and values.get("offset"):
            times = ["0", values["offset"]]
        try:
            if not all(names) or names[0] == names[1]:
                raise ValueError("it names no two files")
            starts = [float(time or "0") for time in times]
            for start in starts:
                if not is_number(start, -LATEST_START, LATEST_START):
                    raise ValueError(f"a start of {start:g} s can't be one")
        except ValueError as error:
            raise DailytalkError(f"line {number} of {printable_path(path)!r}: {error}", _TABLE_REMEDY) from None
        pairs.append(Pair(Path(names[0]), Path(names[1]), (starts[0], starts[1]) if any(times) else None))
    return tuple(pairs)


class Reading(NamedTuple):
    """A side that the name of a file may mean by a pattern: what both names share, and what they differ in."""

    pattern: Pattern
    shared: tuple[str, ...]
    label: str

    @property
    def name(self) -> str:
        """That of the recording of both files: what they share, with one separator between its parts."""
        if self.pattern.of_one_length:
            return ""
        name = self.shared[0]
        if self.pattern is ENDING:
            return name
        for part in self.shared[1:]:
            start = name.rstrip(_SEPARATORS)
            end = part.lstrip(_SEPARATORS)
            separators = name[len(start) :] + part[: len(part) - len(end)]
            name = start + separators[:1] + end if start and end else start or end
        return name


#: Files and what their names may mean, by their folder and what the names share.
_Groups = dict[tuple[Path, tuple[str, ...]], list[tuple[Path, Reading]]]

_WORDS = frozenset(word for left, right in ROLES for word in f"{left} {right}".split())


def readings(stem: str, patterns: Sequence[Pattern] = PATTERNS) -> Iterator[Reading]:
    """Yield the sides that the name of a file without its ending may mean.

    >>> [(reading.label, reading.name) for reading in readings("4711-agent_1")]
    [('agent', '4711-1'), ('1', '4711-agent')]
    """
    for pattern in patterns:
        for match in pattern.regex.finditer(stem):
            label = match["side"].lower() if pattern.sides else match["side"]
            if pattern is ROLE and label not in _WORDS:
                continue
            shared = []
            end = 0
            for group in match.groupdict():
                shared.append(stem[end : match.start(group)])
                end = match.end(group)
            yield Reading(pattern, (*shared, stem[end:]), label)


def common_names(stem: str) -> list[str]:
    """Return the names of the recordings of which a file of this stem may be a side: `talk` of `talk.left`."""
    names = [reading.name for reading in readings(stem)]
    return [name for name in dict.fromkeys(names) if name]


def other_side_of(stem: str) -> str | None:
    """Return a likely name of the other side of a file; None if its name does not say which side it is.

    >>> other_side_of("4711-agent"), other_side_of("call_spk1"), other_side_of("talk")
    ('4711-customer', 'call_spk0', None)
    """
    for reading in readings(stem, (ROLE, NUMBER)):
        for left, right in reading.pattern.sides:
            if reading.label in (left, right):
                other = right if reading.label == left else left
                return other.join(reading.shared)
    return None


#: The choice of a person who leaves all of it to the names of the files.
NO_CHOICE = PairChoice()


def pairs(recordings: Mapping[Path, Path], choice: PairChoice = NO_CHOICE) -> dict[Path, FoundPair]:
    """Return the recordings that have a file for each side, by the name that they get.

    A side without the other counts too if its name ends in left or right. Nothing is joined where a third file has
    such a name as the two, where one is not mono, and where a recording already has the pair's name.

    Args:
        recordings: where each file is, by its path under the input, in Unicode's NFC.
        choice: a person's choice of how they are paired.

    Raises DailytalkError for a choice that no file of the input fits.
    """
    stems = {(relative.parent, relative.stem) for relative in recordings}
    matches = _in_table(recordings, choice.table)
    taken = {relative for match in matches for relative in match.replaced}
    patterns = _patterns_of(choice)
    groups: dict[str, _Groups] = {pattern.about: defaultdict(list) for pattern in patterns}
    for relative in recordings:
        for reading in readings(relative.stem, patterns):
            groups[reading.pattern.about][relative.parent, reading.shared].append((relative, reading))
    if choice.words and not groups[patterns[0].about]:
        listed = " or ".join(map(quoted, choice.words))
        reason = f"--pairs fits no file: no name ends in {listed}"
        raise DailytalkError(reason, "name what your files' names end in")
    for pattern in patterns:
        candidates = [*_candidates(pattern, groups[pattern.about], recordings, taken, stems)]
        counts = Counter(relative for match in candidates for relative in match.replaced)
        for match in candidates:
            if all(counts[relative] == 1 for relative in match.replaced):
                matches.append(match)
        taken |= counts.keys()  # also by pairs that exclude each other
    for (folder, _), group in groups[ENDING.about].items():
        relative, reading = group[0]
        is_taken = relative in taken or (folder, reading.name) in stems
        if len(group) > 1 or reading.label not in CHANNELS or is_taken:
            continue
        path = recordings[relative]
        pair = Pair(path, None) if reading.label == "left" else Pair(None, path)
        if _has_sound_of_sides(pair, ENDING):
            matches.append(FoundPair(pair, (relative,), reading.name))
    if choice.left:
        matches = _with_left(matches, choice.left)
    return _named(matches, stems)


def _in_table(recordings: Mapping[Path, Path], table: Sequence[Pair]) -> list[FoundPair]:
    """Return the pairs of a person's table.

    Raises DailytalkError for a name that is no file of the input, or is there twice.
    """
    by_name: dict[Path, Path] = {}
    for relative, path in recordings.items() if table else ():
        for name in (relative, relative.with_suffix(""), Path(composed(str(path.absolute())))):
            by_name.setdefault(name, relative)
    matches = []
    free = {*by_name.values()}
    for line in table:
        sides = []
        for name in line.files:
            side = by_name.get(name)
            if side is None or side not in free:
                why = "is no recording of this input" if side is None else "is in another pair, too"
                reason = f"the table of --pairs names {quoted(name.as_posix())}, which {why}"
                raise DailytalkError(reason, "name each file once, by its path under INPUT")
            sides.append(side)
            free.remove(side)
        left, right = sides
        shared = os.path.commonprefix([left.stem, right.stem])  # noqa: RUF071 (names, letter by letter)
        pair = Pair(recordings[left], recordings[right], line.starts)
        matches.append(FoundPair(pair, (left, right), shared.rstrip(_SEPARATORS)))
    return matches


def _patterns_of(choice: PairChoice) -> tuple[Pattern, ...]:
    """`PATTERNS`, after what a person says the names differ in: at their end, or as a word."""
    if not choice.words:
        return PATTERNS
    left, right = choice.words
    either = "|".join(re.escape(word) for word in sorted(choice.words, key=len, reverse=True))
    regex = re.compile(rf"(?i)(?P<side>(?<![^\W_])(?:{either})(?![^\W_])|(?:{either})\Z)")
    chosen = Pattern("a person's words", regex, ((left.lower(), right.lower()),), is_guess=False)
    return (chosen, *PATTERNS)


def _candidates(
    pattern: Pattern,
    groups: _Groups,
    recordings: Mapping[Path, Path],
    taken: Collection[Path],
    stems: Collection[tuple[Path, str]],
) -> Iterator[FoundPair]:
    """Yield the pairs among the files that may be sides by a pattern, without files that are `taken`."""
    for (folder, _), group in groups.items():
        free = [(relative, reading) for relative, reading in group if relative not in taken]
        name = group[0][1].name
        if len(free) != 2 or (name and (folder, name) in stems):
            continue
        by_label = {reading.label: relative for relative, reading in free}
        sides = _sides([*by_label], pattern)
        if sides is None:
            continue
        left, right = (by_label[label] for label in sides)
        pair = Pair(recordings[left], recordings[right])
        if pattern not in PATTERNS or _has_sound_of_sides(pair, pattern):
            is_guessed = pattern.is_guess and sides != CHANNELS
            yield FoundPair(pair, (left, right), name, is_guessed)


def _sides(labels: Sequence[str], pattern: Pattern) -> tuple[str, str] | None:
    """Return the labels of the left and of the right side; None if these are not two sides."""

    def by_number(label: str) -> tuple[int, str]:
        digits = re.match(r"\d+", label)
        return int(digits[0]) if digits else 0, label

    if len(labels) != 2:
        return None
    first, second = sorted(labels, key=by_number)
    if not pattern.sides or (first, second) in pattern.sides:
        return first, second
    return (second, first) if (second, first) in pattern.sides else None


def _has_sound_of_sides(pair: Pair, pattern: Pattern) -> bool:
    """Whether files are mono and, where the pattern asks for it, of one length, as far as headers say."""
    counts = {channels_of(path) for path in pair.files}
    if 1 not in counts or counts - {1, None}:
        return False
    if not pattern.of_one_length:
        return True
    seconds = [length_of(path) or 0.0 for path in pair.files]
    return max(seconds) - min(seconds) <= ALWAYS_APART


def _with_left(matches: Sequence[FoundPair], word: str) -> list[FoundPair]:
    """Return the pairs with the sides of a word, or of another word of `ROLES` for them, on the left.

    Raises DailytalkError if no pair has a side of that word.
    """
    wanted = composed(word).casefold()
    names = {wanted}
    for roles in ROLES:
        for side in roles:
            if wanted in side.split():
                names.update(side.split())
    turned = []
    is_met = False
    for match in matches:
        is_left, is_right = _sides_called(match, names)
        is_met = is_met or is_left or is_right
        if is_right and not is_left:
            left, right, starts = match.pair
            pair = Pair(right, left, starts and (starts[1], starts[0]))
            match = match._replace(pair=pair, replaced=match.replaced[::-1])
        turned.append(match)
    if not is_met:
        raise DailytalkError(
            f"--left {word}: no pair of files has a side of that name",
            "name a word of the side that is to be on the left, such as customer, or leave it out",
        )
    return turned


def _sides_called(match: FoundPair, names: Set[str]) -> tuple[bool, bool]:
    """Whether the left and whether the right file of a pair has one of these words that the other lacks.

    The words of a name are those in it and those between separators: `callL`, `L`.
    """
    words: list[set[str]] = []
    for relative in match.replaced:
        parts = re.split(f"[{re.escape(_SEPARATORS)}]", relative.stem)
        words.append({word.casefold() for word in (*re.findall(_WORD, relative.stem), *parts)})
    if len(words) < 2:
        return False, False
    left, right = words
    return bool(names & (left - right)), bool(names & (right - left))


#: The ending of the recording that two files make.
_SUFFIX = ".flac"


def _named(matches: Sequence[FoundPair], stems: Collection[tuple[Path, str]]) -> dict[Path, FoundPair]:
    """Return the pairs by the path under the input of the recording that they make.

    A pair whose names share nothing is called like its folder or, at the top or where two pairs would be, by both
    names.
    """
    wholes = []
    for match in matches:
        first = match.replaced[0]
        wholes.append(first.with_name(match.name or first.parent.name or "+"))
    counts = Counter(wholes)
    named = {}
    for match, whole in zip(matches, wholes, strict=True):
        if whole.name == "+" or counts[whole] > 1 or (whole.parent, whole.name) in stems:
            whole = whole.with_name("+".join(relative.stem for relative in match.replaced))
        named[whole.with_name(whole.name + _SUFFIX)] = match
    return named


def channels_of(path: Path) -> int | None:
    """Return the number of channels in a file's header; None if it can't be read."""
    with suppress(BadInput, OSError):
        try:
            with open_regular(path) as opened, soundfile.SoundFile(opened) as file:
                return int(file.channels)
        except soundfile.LibsndfileError:
            return audio.read_header(audio.audio_at(path)).channels
    return None


def length_of(path: Path) -> float | None:
    """Return the length in seconds in a file's header; None if it can't be read."""
    with suppress(BadInput, OSError):
        return audio.read_header(audio.audio_at(path)).seconds
    return None
