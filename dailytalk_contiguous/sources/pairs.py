"""Recordings with a file for each speaker: which two files are the sides of one call, by their names.

Recorders name the two by a side (`talk.left`, `talk.right`), by a role (`4711-agent`, `4711-customer`), by the
direction or the device (`_in`, `_out`; `_mic`, `_system`), by a number behind a word (`_spk0`, `_spk1`), or by the
person (Craig, Zoom, Daily, Riverside, Seamless Interaction). `ROLES` is the table of the words, `NUMBERED` that of
the words before numbers. A person names other files with `--pairs`.

Names and headers decide: two stereo files of such names are two recordings. Nothing is joined where a third file
has such a name, too: takes and tracks are counted in the same way.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import soundfile

from dailytalk_contiguous.core import audio
from dailytalk_contiguous.core.documents import (
    composed,
    csv_lines,
    is_number,
    quoted,
    read_bytes,
    shown,
    utf8_text,
)
from dailytalk_contiguous.core.errors import BadInput, BadValue, DailytalkError
from dailytalk_contiguous.core.regular_files import open_regular
from dailytalk_contiguous.core.schema import CHANNELS

#: How names end that mean the left and the right side of one recording, after a dot, `_`, `-` or a space.
SIDES = (("left", "right"), ("l", "r"), ("a", "b"), ("1", "2"), ("ch0", "ch1"), ("ch1", "ch2"))


class Roles(NamedTuple):
    """Words of which one names the left side and one the right side of a call."""

    left: frozenset[str]
    right: frozenset[str]


def _roles(left: str, right: str) -> Roles:
    return Roles(frozenset(left.split()), frozenset(right.split()))


#: Roles, legs, directions and devices by which recorders name the two sides; who serves is on the left.
ROLES = (
    _roles("left", "right"),
    _roles(
        "agent advisor adviser assistant bot consultant csr employee operator rep representative seller staff "
        "support",
        "caller client customer cust lead prospect user visitor",
    ),
    _roles("caller calling", "callee called receiver"),
    _roles("in inbound incoming", "out outbound outgoing"),  # MixMonitor of Asterisk, r() and t()
    _roles("rx recv receive received", "tx send sent transmit transmitted"),
    _roles("mic microphone", "computer desktop sys system speakers loopback"),
    _roles("me self own", "them other others you"),
    _roles("local near nearend", "remote far farend"),
    _roles("host moderator", "guest"),
    _roles("interviewer", "interviewee candidate respondent"),
    _roles("doctor clinician nurse physician dr", "patient"),
    _roles("therapist counsellor counselor", "client patient"),
    _roles("teacher tutor examiner instructor", "student pupil learner examinee candidate"),
    _roles("system wizard", "user"),
)

#: Words behind which 0 and 1, or 1 and 2, are the two sides.
NUMBERED = (
    "ch",
    "chan",
    "channel",
    "leg",
    "line",
    "mic",
    "participant",
    "party",
    "person",
    "side",
    "speaker",
    "spk",
    "spkr",
    "tr",
    "track",
    "user",
)

_WORDS = frozenset(word for roles in ROLES for word in (*roles.left, *roles.right))

#: Sides may differ in length by this share of the longer one.
MOST_APART = 0.1

#: Sides may always differ in length by so many seconds: tracks of one call end within a second of each other; two
#: takes do not.
ALWAYS_APART = 1.0

#: What comes one after the other where it is numbered: `part_1` and `part_2` are no sides.
_IN_TURN = re.compile(r"(?:.*[^a-z])?(?:chapter|day|disc|episode|lesson|part|section|session|take|vol|volume)")

#: Characters between the parts of a name.
_SEPARATORS = "._- ()[]"

#: Endings that number parts, takes or tracks; if there are three of them, none is a side.
_COUNTED = re.compile(r"(.+)[._ -](left|right|[a-z]|ch\d{1,2}|\d{1,3})", re.IGNORECASE | re.DOTALL)

#: Words in names: `call7Left_RX` has call, Left and RX.
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")

#: A number behind a word, `spk0`, `Tr_2`, `channel-01`.
_NUMBER = re.compile(rf"(?<![a-z])(?:{'|'.join(NUMBERED)})[._ -]?(\d{{1,2}})(?!\d)", re.IGNORECASE)

#: A capital at the end of a word: `callL`.
_CAPITAL = re.compile(r"(.*[a-z0-9])([A-Z])", re.DOTALL)

#: Meta's Seamless Interaction: vendor, session, interaction and participant (its README on Hugging Face).
_SEAMLESS = re.compile(r"(V\d+_S\d+_I\d+)_P(\d+[A-Z]?)")

#: Zoom's separate audio files: `audio`, the person's name and a number (Zoom's article KB0064394), that of the
#: person in the meeting before that of the meeting.
_ZOOM = re.compile(r"audio\D.*?(\d)(\d{6,})", re.DOTALL)

#: Craig, the recorder of Discord: the number of the track and the person (CraigChat/craig#231).
_CRAIG = re.compile(r"(\d{1,2})-(?!\d)(.+)", re.DOTALL)

#: Daily's raw tracks: when the recording began, the participant, what is recorded, and when the track began, in
#: milliseconds of Unix time (gen-manifest of daily-co/raw-tracks-tools).
DAILY = re.compile(r"(\d+)-(.{36})-(.*audio)-(\d+)")

#: Riverside: the person and the rest of the name, which both sides share.
_RIVERSIDE = re.compile(r"(.+)[._ -](riverside(?![a-z]).*)", re.DOTALL)

#: The ending of the recording that two files make.
_SUFFIX = ".flac"

#: Columns of a table of pairs: both files, and what it may have besides.
PAIR_COLUMNS = ("left", "right")

#: Seconds at which the files of a table begin, on one clock.
START_COLUMNS = ("left_start", "right_start")

#: Seconds by which the right file of a table begins after the left one.
OFFSET_COLUMN = "offset"

_TABLE_REMEDY = (
    "give a CSV table with the columns left and right (and left_start, right_start or offset, in seconds)"
)

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
    """A pair, the paths under the input that it replaces, and whether it is one by words that may mean others."""

    pair: Pair
    replaced: tuple[Path, ...]
    is_guessed: bool


class TableLine(NamedTuple):
    """A line of a person's table of pairs: paths under the input, and when both begin, if it says so."""

    left: str
    right: str
    starts: tuple[float, float] | None


@dataclass(frozen=True)
class PairChoice:
    """How a person wants files to be paired.

    Attributes:
        words: words, or endings, of the names of the left and the right side.
        table: pairs of paths.
        left: a word of the names of the sides that are to be on the left.
    """

    words: tuple[str, str] | None = None
    table: tuple[TableLine, ...] = ()
    left: str = ""


def pair_choice(pairs: str = "", left: str = "") -> PairChoice:
    """The choice of `--pairs` (two words, or the path of a table) and `--left` (a word).

    Raises BadValue, and DailytalkError for a table that can't be read.
    """
    if pairs.lower().endswith(".csv"):
        return PairChoice(table=_read_table(Path(pairs)), left=left)
    if not pairs:
        return PairChoice(left=left)
    words = [_folded(composed(word.strip())) for word in pairs.split(",")]
    if len(words) != 2 or not all(words) or words[0] == words[1]:
        reason = f"--pairs can't be {quoted(pairs)}"
        raise BadValue(reason, "name two words or endings, left first, such as agent,customer, or a CSV table")
    return PairChoice((words[0], words[1]), left=left)


def _read_table(path: Path) -> tuple[TableLine, ...]:
    text = utf8_text(read_bytes(path, _TABLE_REMEDY), shown(path))
    lines = []
    for number, line in enumerate(csv_lines(text, shown(path), PAIR_COLUMNS, _TABLE_REMEDY), 2):
        values = {name: (value or "").strip() for name, value in line.items() if isinstance(value, str)}
        names = [composed(values[column]).replace("\\", "/").removeprefix("./") for column in PAIR_COLUMNS]
        if not all(names) or names[0] == names[1]:
            reason = f"line {number} of {shown(path)!r} names no two files"
            raise DailytalkError(reason, _TABLE_REMEDY)
        try:
            starts = _starts_in(values)
        except ValueError as error:
            raise DailytalkError(f"line {number} of {shown(path)!r}: {error}", _TABLE_REMEDY) from None
        lines.append(TableLine(names[0], names[1], starts))
    return tuple(lines)


def _starts_in(values: Mapping[str, str]) -> tuple[float, float] | None:
    """When the files of a line begin; None if it does not say so. Raises ValueError."""
    offset = values.get(OFFSET_COLUMN)
    texts = [values.get(column, "") for column in START_COLUMNS]
    if offset and not any(texts):
        texts = ["0", offset]
    if not any(texts):
        return None
    starts = [float(text or "0") for text in texts]
    for start in starts:
        if not is_number(start, -LATEST_START, LATEST_START):
            raise ValueError(f"a start of {start:g} s can't be one")
    return starts[0], starts[1]


class Reading(NamedTuple):
    """A side that the name of a file may mean.

    Attributes:
        kind: of the name; the strongest kind decides.
        group: what the names of both sides share.
        label: what the sides differ in.
        name: of the recording that both make; empty if nothing of the name is shared.
    """

    kind: str
    group: tuple[str, ...]
    label: str
    name: str


#: Kinds of names, the strongest first. The last two say so little that the files have to be of one length, too.
KINDS = ("chosen", "daily", "word", "seamless", "zoom", "number", "capital", "ending", "riverside", "craig")
OF_ONE_LENGTH = frozenset({"riverside", "craig"})

#: Kinds of names that a person chooses, or gives a side as our documentation says: their pairs are no guess.
NAMED_SIDES = frozenset({"chosen", "ending"})


def readings(stem: str, words: tuple[str, str] | None = None) -> Iterator[Reading]:
    """All sides that the name of a file without its ending may mean.

    `words`: of a person's own choice (`PairChoice`).

    >>> [(reading.kind, reading.label, reading.name) for reading in readings("4711-agent_1")]
    [('word', 'agent', '4711-1'), ('ending', '1', '4711-agent')]
    """
    if words:
        yield from _chosen(stem, words)
    for word in _WORD.finditer(stem):
        label = word[0].casefold()
        if label in _WORDS:
            group = (stem[: word.start()], stem[word.end() :])
            yield Reading("word", group, label, _without(stem, *word.span()))
    for number in _NUMBER.finditer(stem):
        group = (stem[: number.start(1)], stem[number.end(1) :])
        yield Reading("number", group, str(int(number[1])), _without(stem, *number.span(1)))
    capital = _CAPITAL.fullmatch(stem)
    if capital:
        yield Reading("capital", (capital[1],), capital[2].casefold(), capital[1])
    counted = _COUNTED.fullmatch(stem)
    is_in_turn = counted and counted[2].isdigit() and _IN_TURN.fullmatch(counted[1].casefold())
    if counted and not is_in_turn:
        yield Reading("ending", (counted[1],), counted[2].casefold(), counted[1])
    seamless = _SEAMLESS.fullmatch(stem)
    if seamless:
        yield Reading("seamless", (seamless[1],), seamless[2], seamless[1])
    zoom = _ZOOM.fullmatch(stem)
    if zoom:
        yield Reading("zoom", (zoom[2],), zoom[1], f"audio{zoom[2]}")
    daily = DAILY.fullmatch(stem)
    if daily:
        yield Reading("daily", (daily[1], daily[3]), daily[2], f"{daily[1]}-{daily[3]}")
    riverside = _RIVERSIDE.fullmatch(stem)
    if riverside:
        yield Reading("riverside", (riverside[2],), riverside[1], "")
    craig = _CRAIG.fullmatch(stem)
    if craig:
        yield Reading("craig", (), str(int(craig[1])), "")


def _chosen(stem: str, words: tuple[str, str]) -> Iterator[Reading]:
    """The side that a person's own words give a file: the longer word first, at the end or as a word."""
    folded = _folded(stem)
    for word in sorted(words, key=len, reverse=True):
        position = folded.rfind(word)
        is_end = position >= 0 and folded.endswith(word)
        if not is_end:
            match = re.search(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])", folded)
            if match is None:
                continue
            position = match.start()
        end = position + len(word)
        yield Reading("chosen", (stem[:position], stem[end:]), word, _without(stem, position, end))
        return


def _folded(text: str) -> str:
    """A text in small letters, each at the position that it has: ß and İ, which would become two, stay."""
    letters = []
    for letter in text:
        small = letter.casefold()
        letters.append(small if len(small) == 1 else letter)
    return "".join(letters)


def _without(stem: str, start: int, end: int) -> str:
    """A name without the part from `start` to `end`, and without a separator too many."""
    before = stem[:start].rstrip(_SEPARATORS)
    after = stem[end:].lstrip(_SEPARATORS)
    if not before or not after:
        return before or after
    near = stem[len(before) : start] + stem[end : len(stem) - len(after)]
    return before + near[:1] + after


def common_names(stem: str) -> list[str]:
    """The names of the recordings of which a file of this stem may be a side: `talk` of `talk.left`."""
    names = [reading.name for reading in readings(stem)]
    return [name for name in dict.fromkeys(names) if name]


def sides_named(kind: str, labels: Sequence[str], words: tuple[str, str] | None = None) -> tuple[str, str] | None:
    """The labels of the left and the right side, of two labels of a kind; None if these don't name two sides."""

    def by_number(label: str) -> tuple[int, str]:
        digits = re.match(r"\d+", label)
        return int(digits[0]) if digits else 0, label

    first, second = sorted(labels, key=by_number)
    if kind == "chosen":
        return words
    if kind == "word":
        for left, right in ROLES:
            if first in left and second in right:
                return first, second
            if second in left and first in right:
                return second, first
        return None
    if kind in ("number", "craig", "zoom"):
        is_next = int(second) - int(first) == 1
        return (first, second) if is_next and int(first) < 2 else None
    if kind in ("capital", "ending"):
        return (first, second) if (first, second) in SIDES else None
    return first, second


#: The choice of a person who leaves all of it to the names of the files.
NO_CHOICE = PairChoice()


def pairs(
    recordings: Mapping[Path, Path],
    channels: Callable[[Path], int | None] | None = None,
    choice: PairChoice = NO_CHOICE,
    lengths: Callable[[Path], float | None] | None = None,
) -> dict[Path, FoundPair]:
    """The recordings that have a file for each side, by the name that they get.

    A side without the other counts too if its name ends in left or right. Nothing is joined where a third file has
    such a name as the two, where one is not mono, and where a recording already has the pair's name.

    Args:
        recordings: where each file is, by its path under the input, in Unicode's NFC.
        channels: how many channels a file has, None if unknown; by default from its header.
        choice: how a person wants them to be paired.
        lengths: seconds of a file, None if unknown; by default from its header.

    Raises DailytalkError for a choice that no file of the input fits.
    """
    search = _Search(recordings, channels or channels_of, lengths or length_of, choice)
    search.take_table()
    for kind in KINDS:
        search.take_named(kind)
    search.take_lone_sides()
    search.swap()
    return search.named()


class _Candidate(NamedTuple):
    """Two files that may be a pair, as paths under the input, and the name that they share."""

    left: Path | None
    right: Path | None
    name: str
    kind: str
    is_guessed: bool = False
    starts: tuple[float, float] | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(path for path in (self.left, self.right) if path)


class _Search:
    """The search for pairs among files; `taken`: those that are in a pair, or in two that exclude each other."""

    def __init__(
        self,
        recordings: Mapping[Path, Path],
        channels: Callable[[Path], int | None],
        lengths: Callable[[Path], float | None],
        choice: PairChoice,
    ) -> None:
        self.recordings = recordings
        self.channels = channels
        self.lengths = lengths
        self.choice = choice
        self.taken: set[Path] = set()
        self.found: list[_Candidate] = []
        self.groups: defaultdict[str, defaultdict[tuple[Path, tuple[str, ...]], list[tuple[Path, Reading]]]]
        self.groups = defaultdict(lambda: defaultdict(list))
        for relative in recordings:
            for reading in readings(relative.stem, choice.words):
                self.groups[reading.kind][relative.parent, reading.group].append((relative, reading))
        if choice.words and not self.groups["chosen"]:
            listed = " or ".join(map(quoted, choice.words))
            raise DailytalkError(
                f"--pairs fits no file: no name ends in {listed}", "name what your files' names end in"
            )

    @cached_property
    def stems(self) -> set[Path]:
        """The files without their endings; most folders hold no pair, and need none of them."""
        return {relative.with_suffix("") for relative in self.recordings}

    def take_table(self) -> None:
        """Take the pairs of a person's table.

        Raises DailytalkError for a name that is no file of the input, or is there twice.
        """
        if not self.choice.table:
            return
        by_name: dict[str, Path] = {}
        for relative, path in self.recordings.items():
            for name in (
                relative.as_posix(),
                relative.with_suffix("").as_posix(),
                composed(path.absolute().as_posix()),
            ):
                by_name.setdefault(name, relative)
        for line in self.choice.table:
            sides: list[Path] = []
            for name in (line.left, line.right):
                side = by_name.get(name)
                if side is None or side in self.taken:
                    why = "is no recording of this input" if side is None else "is in another pair, too"
                    raise DailytalkError(
                        f"the table of --pairs names {quoted(name)}, which {why}",
                        "name each file once, by its path under INPUT",
                    )
                sides.append(side)
                self.taken.add(side)
            left, right = sides
            shared = os.path.commonprefix([left.stem, right.stem])  # noqa: RUF071 (names, letter by letter)
            name = shared.rstrip(_SEPARATORS)
            self.found.append(_Candidate(left, right, name, "chosen", starts=line.starts))

    def take_named(self, kind: str) -> None:
        """Take the pairs that names of a kind make, of the files that no stronger kind has taken."""
        candidates: list[_Candidate] = []
        for group in self.groups[kind].values():
            free = [(relative, reading) for relative, reading in group if relative not in self.taken]
            labels = {reading.label: relative for relative, reading in free}
            if len(free) != 2 or len(labels) != 2:
                continue
            sides = sides_named(kind, [*labels], self.choice.words)
            if sides is None:
                continue
            left, right = (labels[side] for side in sides)
            is_guessed = kind not in NAMED_SIDES and sides != CHANNELS
            candidate = _Candidate(left, right, free[0][1].name, kind, is_guessed)
            if self._fits(candidate):
                candidates.append(candidate)
        counts = Counter(path for candidate in candidates for path in candidate.files)
        for candidate in candidates:
            if all(counts[path] == 1 for path in candidate.files):
                self.found.append(candidate)
        self.taken |= counts.keys()

    def take_lone_sides(self) -> None:
        """Take each file whose name ends in left or right, and whose other side is not there."""
        for group in self.groups["ending"].values():
            if len(group) > 1:
                continue
            ((relative, reading),) = group
            if reading.label not in CHANNELS or relative in self.taken:
                continue
            is_left = reading.label == "left"
            left = relative if is_left else None
            candidate = _Candidate(left, None if is_left else relative, reading.name, "ending")
            if self._fits(candidate):
                self.found.append(candidate)

    def _fits(self, candidate: _Candidate) -> bool:
        """Whether the sound of files is that of two sides, as far as headers say, and their name is free."""
        if candidate.name and candidate.files[0].with_name(candidate.name) in self.stems:
            return False
        if candidate.kind == "chosen":
            return True
        paths = [self.recordings[relative] for relative in candidate.files]
        counts = {self.channels(path) for path in paths}
        if 1 not in counts or counts - {1, None}:
            return False
        if candidate.kind not in OF_ONE_LENGTH:
            return True
        seconds = [self.lengths(path) or 0.0 for path in paths]
        return max(seconds) - min(seconds) <= ALWAYS_APART

    def swap(self) -> None:
        """Swap the sides of the pairs whose right side has the word that is to be on the left.

        Raises DailytalkError if no pair has a side of that word.
        """
        wanted = composed(self.choice.left).casefold()
        if not wanted:
            return
        kinds = [roles for roles in ROLES if wanted in roles.left | roles.right]
        is_met = False
        for number, candidate in enumerate(self.found):
            left = candidate.left
            right = candidate.right
            if left is None or right is None:
                continue
            left_words = _words_of(left.stem)
            right_words = _words_of(right.stem)
            left_only = left_words - right_words
            right_only = right_words - left_words
            is_left = wanted in left_only
            is_right = wanted in right_only
            for roles in kinds:
                group = roles.left if wanted in roles.left else roles.right
                is_left = is_left or bool(group & left_only)
                is_right = is_right or bool(group & right_only)
            is_met = is_met or is_left or is_right
            if is_right and not is_left:
                starts = candidate.starts and (candidate.starts[1], candidate.starts[0])
                self.found[number] = candidate._replace(left=right, right=left, starts=starts)
        if not is_met:
            raise DailytalkError(
                f"--left {self.choice.left}: no pair of files has a side of that name",
                "name a word of the side that is to be on the left, such as customer, or leave it out",
            )

    def named(self) -> dict[Path, FoundPair]:
        """The pairs by the path under the input of the recording that they make.

        What shares nothing of its name has that of its folder or, at the top or where two do, both names.
        """
        names = [candidate.name or candidate.files[0].parent.name for candidate in self.found]
        wholes = [
            candidate.files[0].with_name(name or "+") for candidate, name in zip(self.found, names, strict=True)
        ]
        counts = Counter(wholes)
        joined: dict[Path, FoundPair] = {}
        for candidate, name, whole in zip(self.found, names, wholes, strict=True):
            is_free = bool(name) and counts[whole] == 1 and whole not in self.stems
            if not is_free:
                name = "+".join(path.stem for path in candidate.files)
            paths = [None if side is None else self.recordings[side] for side in (candidate.left, candidate.right)]
            pair = Pair(paths[0], paths[1], candidate.starts)
            whole_name = whole.with_name(name + _SUFFIX)
            joined[whole_name] = FoundPair(pair, candidate.files, candidate.is_guessed)
        return joined


def _words_of(stem: str) -> set[str]:
    """The words of a name in small letters, and those between separators: `callL`, `L`."""
    words = [word.casefold() for word in _WORD.findall(stem)]
    parts = re.split(f"[{re.escape(_SEPARATORS)}]", stem.casefold())
    return {*words, *parts}


def other_side_of(stem: str) -> str | None:
    """A likely name of the other side of a file; None if its name does not say which side it is.

    >>> other_side_of("4711-agent"), other_side_of("call_spk1"), other_side_of("talk")
    ('4711-customer', 'call_spk0', None)
    """
    others = {"0": "1", "1": "0", "2": "1"}
    usual = {"agent": "customer", "caller": "callee", "client": "agent", "customer": "agent", "mic": "system"}
    for reading in readings(stem):
        if reading.kind == "word":
            for left, right in ROLES:
                group = right if reading.label in left else left
                if reading.label in left | right:
                    other = usual.get(reading.label) or min(group)
                    return reading.group[0] + other + reading.group[1]
        if reading.kind == "number" and reading.label in others:
            return reading.group[0] + others[reading.label] + reading.group[1]
    return None


def channels_of(path: Path) -> int | None:
    """How many channels a file has, by its header; None for what can't be read."""
    with suppress(BadInput, OSError):
        try:
            with open_regular(path) as opened, soundfile.SoundFile(opened) as file:
                return int(file.channels)
        except soundfile.LibsndfileError:
            return audio.read_header(audio.audio_at(path)).channels
    return None


def length_of(path: Path) -> float | None:
    """How long a file is, by its header; None for what can't be read."""
    with suppress(BadInput, OSError):
        return audio.read_header(audio.audio_at(path)).seconds
    return None
