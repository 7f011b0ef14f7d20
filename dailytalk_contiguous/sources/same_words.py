"""Transcripts of one run: files of several formats that say the same, of which the richest is used.

Whisper writes JSON, SRT, VTT, TSV and text of one name by default. Two files say the same where their letters are
the same, whatever their case, marks and spaces, and the times that both give for a letter are within `APART`.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path, PurePosixPath

from dailytalk_contiguous.core.documents import composed
from dailytalk_contiguous.core.records.conversation import Cue
from dailytalk_contiguous.core.records.schema import OPEN
from dailytalk_contiguous.machine.audio import AUDIO_SUFFIXES
from dailytalk_contiguous.sources.transcript_formats import ending_of
from dailytalk_contiguous.sources.transcript_text import letters_of

#: Seconds by which times of the same words may differ in two files of one run.
APART = 0.1

#: Thousandths of a second within which a time is a whole number of tenths.
_ROUND = 0.001


def has_words_or_mark(cue: Cue) -> bool:
    """Whether a cue says anything, and not only who speaks."""
    return cue.text is not None or cue.mark is not None


def bare_name(name: str) -> str:
    """Return a transcript's name without its ending and a recording's: `call` of `call.json`, `call.wav.srt`."""
    name = composed(name)
    bare = name.removesuffix(ending_of(name) or "")
    path = PurePosixPath(bare)
    return path.stem if path.suffix.lower() in AUDIO_SUFFIXES else bare


def repeated_files(cues_of_files: Mapping[Path, Sequence[Cue]]) -> dict[Path, Path]:
    """Return the files that say the same as a richer one of their name, each with that one."""
    repeated: dict[Path, Path] = {}
    spoken: dict[Path, list[Cue]] = {}
    ranks: dict[Path, tuple[float, int, bool, str]] = {}
    for path, cues in cues_of_files.items():
        with_words = [cue for cue in cues if cue.text]
        if not with_words:
            continue
        spoken[path] = with_words
        # The richest has most word times, then most sides, then the finest times.
        timed_share = sum(bool(cue.words) for cue in with_words) / len(with_words)
        n_sides = len({cue.channel for cue in with_words})
        is_coarse = all(_is_coarse(cue.start) and _is_coarse(cue.end) for cue in with_words)
        ranks[path] = (-timed_share, -n_sides, is_coarse, path.name)
    ranked = sorted(spoken, key=ranks.__getitem__)
    namesakes: dict[str, list[Path]] = {}
    for path in ranked:
        namesakes.setdefault(bare_name(path.name), []).append(path)
    for paths in namesakes.values():
        for richer, poorer in combinations(paths, 2):
            if richer in repeated or poorer in repeated:
                continue
            if say_the_same(spoken[richer], spoken[poorer]):
                repeated[poorer] = richer
    return repeated


def _is_coarse(seconds: float) -> bool:
    tenths = seconds * 10
    return abs(tenths - round(tenths)) <= 10 * _ROUND


def say_the_same(cues: Sequence[Cue], others: Sequence[Cue]) -> bool:
    """Whether two transcripts have the same words at the same times, on the same sides as far as both tell."""
    channels = {cue.channel for cue in (*cues, *others)}
    if any(channel.startswith(OPEN) for channel in channels):
        return _are_alike(cues, others)
    for channel in channels:
        cues_of_side = [cue for cue in cues if cue.channel == channel]
        others_of_side = [cue for cue in others if cue.channel == channel]
        if not _are_alike(cues_of_side, others_of_side):
            return False
    return True


def _are_alike(cues: Sequence[Cue], others: Sequence[Cue]) -> bool:
    text, starts, ends = _letters_and_times(cues)
    other_text, other_starts, other_ends = _letters_and_times(others)
    if text != other_text:
        return False
    for times, other_times in ((starts, other_starts), (ends, other_ends)):
        for position in times.keys() & other_times.keys():
            differences = [abs(time - other) for time in times[position] for other in other_times[position]]
            if min(differences) > APART:
                return False
    return True


#: Seconds by the position of a letter in a text; a cue and its first word may give two.
_Times = defaultdict[int, list[float]]


def _letters_and_times(cues: Sequence[Cue]) -> tuple[str, _Times, _Times]:
    """Return the letters of a transcript, and the times at which some of them begin and end."""
    letters = ""
    starts: _Times = defaultdict(list)
    ends: _Times = defaultdict(list)
    ordered = sorted(cues, key=lambda cue: (round(cue.start, 2), round(cue.end, 2)))
    for cue in ordered:
        position = len(letters)
        for first, last, start, end in _pieces(cue):
            starts[position + first].append(start)
            ends[position + last].append(end)
        letters += letters_of(cue.text or "")
    return letters, starts, ends


def _pieces(cue: Cue) -> Iterator[tuple[int, int, float, float]]:
    """Yield a cue and its words, each as first letter, letter after the last, start and end.

    Letters are numbered within the cue; times are in seconds.
    """
    n_letters = len(letters_of(cue.text or ""))
    if n_letters:
        yield 0, n_letters, cue.start, cue.end
    first = 0
    for word in cue.words:
        last = first + len(letters_of(word.word))
        if last > first:
            yield first, last, word.start, word.end
        first = last
